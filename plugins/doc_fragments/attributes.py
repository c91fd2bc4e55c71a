# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return the status prediction without modifying the target.
  diff_mode:
    description: Returns what has changed, or would be changed in check mode, when in diff mode.
  idempotent:
    description: Run again without a change of the system in between, it changes nothing.
  action_group:
    description: Use C(group/fieldops.runbooks.runbooks) in C(module_defaults) to set defaults for all modules of this collection.
    support: full
    membership:
      - fieldops.runbooks.runbooks
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Reads only; check mode makes no difference.
  diff_mode:
    support: N/A
    details:
      - Reads only.
  idempotent:
    support: full
"""

    FIX = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
"""
