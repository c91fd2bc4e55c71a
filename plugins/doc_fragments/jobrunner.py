# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # The database, and the configuration that names it
    DOCUMENTATION = r"""
options:
  workdir:
    description:
      - Directory that holds job-runner's database C(db.sqlite).
      - Without it, E(WORKDIR) of O(config_files). It is never guessed, since job-runner's own fallback is another database.
    type: path
  config_files:
    description:
      - Environment files of the service, in the order in which it reads them. The last file that sets a variable wins.
      - They are parsed as systemd parses them. Values of secrets are never returned.
    type: list
    elements: path
    default:
      - /home/opensafely/config/01_defaults.env
      - /home/opensafely/config/02_secrets.env
      - /home/opensafely/config/03_backend.env
      - /home/opensafely/config/04_local.env
notes:
  - Run it as root, or as the user who owns the database (C(opensafely)). As root, everything that touches the database is done with
    the rights of its owner, so that no file is left that locks the service out.
  - Supported are databases of C(user_version) 2 and 3 (job-runner from 2024-01 to 2024-10). Later layouts are refused by name.
"""

    # The configuration alone
    CONFIG = r"""
options:
  config_files:
    description:
      - Environment files of the service, in the order in which it reads them. The last file that sets a variable wins.
      - They are parsed as systemd parses them. Values of secrets are never returned.
    type: list
    elements: path
    default:
      - /home/opensafely/config/01_defaults.env
      - /home/opensafely/config/02_secrets.env
      - /home/opensafely/config/03_backend.env
      - /home/opensafely/config/04_local.env
"""

    # The engine
    DOCKER = r"""
options:
  docker_host:
    description:
      - Address of the Docker Engine's socket, as in community.docker.
      - If it is not set, the environment variable E(DOCKER_HOST) is used.
    type: str
    default: unix:///var/run/docker.sock
requirements:
  - docker >= 4.1 on the managed node (Debian and Ubuntu C(python3-docker))
"""

    # The files
    FILES = r"""
options:
  high_privacy_base:
    description:
      - Directory of what only developers may see.
      - Without it, E(HIGH_PRIVACY_STORAGE_BASE) of O(config_files), else C(/srv/high_privacy).
    type: path
  medium_privacy_base:
    description:
      - Directory of what output checkers may see.
      - Without it, E(MEDIUM_PRIVACY_STORAGE_BASE) of O(config_files), else C(/srv/medium_privacy).
    type: path
"""
