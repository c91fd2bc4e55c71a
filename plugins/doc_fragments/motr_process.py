# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    # Which live process of Motr is meant, and how gdb attaches to it
    DOCUMENTATION = r"""
options:
  pid:
    description:
      - Process by its pid. It may be any program that has C(libmotr), such as an object gateway.
      - Without O(pid) and O(process) the only C(m0d) of the node is meant; where there are several, one must be named.
    type: int
  process:
    description:
      - The C(m0d) that was started with this fid (C(-f)), in any spelling, such as V(<7200000000000001:1>), V(0x7200000000000001:0x1) or V(^r|1:1).
    type: str
  gdb:
    description: Where gdb is. Without it, it is searched for where programs of the system are.
    type: path
  stop_limit:
    description:
      - Seconds, 0.1 to 60, that the process may stand still while gdb is attached. At four fifths of that gdb comes to an end with what it has read;
        after that it is killed, and the process runs on.
    type: float
    default: 5.0
  timeout:
    description: Seconds that gdb may take in all. Symbols are read before the process is stopped, which takes most of the time.
    type: float
    default: 120.0
requirements:
  - gdb with Python on the managed node
  - debugging symbols of the very build of Motr that runs (package C(cortx-motr-debuginfo)). They can be installed while it runs.
notes:
  - gdb stops all threads of the process while it is attached. It calls no function in the process, and passes on every signal.
  - A process is attached to by one at a time. One that is being traced already is left alone.
  - Run it as root, or as the owner of the process with the right to trace it. A process in a container is attached to from the node, with the files
    of its container.
"""
