# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # Who the tools of Motr are when they join the cluster
    DOCUMENTATION = r"""
options:
  endpoint:
    description:
      - Endpoint that the tool uses as a client, for example V(inet:tcp:192.168.1.1@22501) or V(192.168.1.1@tcp:12345:4:1).
      - It must be in the configuration and free. C(hctl fetch-fids) lists such ones as C(m0_client_other).
    type: str
  ha_endpoint:
    description: Endpoint of the node's C(hax), as C(hctl status) shows it.
    type: str
  profile:
    description: Fid of the profile, in any spelling, for example V(0x7000000000000001:0x5b) or V(^p|1:91).
    type: str
  process:
    description: Fid of the client's process, in any spelling. It is on the same line of C(hctl fetch-fids) as O(endpoint).
    type: str
  tools_dir:
    description: Directory of Motr's tools. Without it they are searched for where programs are.
    type: path
  tool_timeout:
    description: Seconds for one call of a tool, after which it is killed. Each call starts a client, which takes a second or more.
    type: float
    default: 60.0
requirements:
  - Motr's command-line tools on the managed node (package C(cortx-motr))
notes:
  - Tools run in a directory of their own, which is removed after that. They leave traces of 16 MB in it.
"""
