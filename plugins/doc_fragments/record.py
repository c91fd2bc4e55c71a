# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  record:
    description:
      - Whether what was read is returned in RV(record), so that it can be judged again without the host. Secrets are taken out first.
      - P(fieldops.runbooks.collect#role) keeps it in a bundle.
    type: bool
    default: false
  replay:
    description:
      - A file with what RV(record) had, on the machine where the module runs. Then nothing is connected to, no other option counts, and what is
        returned are the findings on that record, as they were when it was made.
      - The file may come from anywhere. Nothing in it is run.
    type: path
"""
