# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  scripts_dir:
    description:
      - Directory of FITS Storage's scripts on this node, for example V(/opt/FitsStorage/fits_storage/scripts).
      - When given, only processes that run a script of this directory count as workers. Without it, any process that runs a
        script of the service's name does.
    type: path
  worker_user:
    description: When given, only processes of this user count as workers.
    type: str
  log_dir:
    description: Directories of the services' logs.
    type: list
    elements: path
    default: [/data/logs]
  lockfile_dir:
    description: Directories of the services' lock files. Generation A keeps them with the logs, generation C by themselves.
    type: list
    elements: path
    default: [/data/locks, /data/logs]
  timezone:
    description:
      - Local time zone of the services, as PostgreSQL names it. Upstream stores some times in local time and some in UTC.
      - The default is the time zone of the node.
    type: str
"""
