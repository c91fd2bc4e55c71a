# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # The hypervisor
    DOCUMENTATION = r"""
options:
  uri:
    description:
      - Where libvirt is reached.
      - If it is not set, the environment variable E(LIBVIRT_DEFAULT_URI) is used.
    type: str
    default: qemu:///system
requirements:
  - libvirt >= 4.0 on the managed node, with its Python library (Debian and Ubuntu C(python3-libvirt))
notes:
  - libvirt's calls have no time-out of their own. A daemon that hangs is given up after the time that O(timeout) says, and the error says so.
"""

    # What domains are for
    KINDS = r"""
options:
  job_pattern:
    description: Regular expression for the names of domains that run jobs.
    type: str
    default: '^[0-9a-f]{24}_\d+\.img$'
  configuration_pattern:
    description: Regular expression for the names of domains in which an image is configured. A name that both match is taken for one of these.
    type: str
    default: '^tmp[A-Za-z0-9_]{6,8}_default$'
"""
