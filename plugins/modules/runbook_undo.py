#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_undo
short_description: Take back what a fix of this collection did
version_added: 0.1.0
description:
  - Replays the before images that a fix journaled on the node, all of them or the ones named.
  - Looks at every subject first. What is as the fix left it is put back, what already is as it was before needs nothing, and
    where anything was changed since, the undo is refused as a whole, naming what is in the way.
  - Works for runs that were killed half way as well. What they did is found by looking.
  - Is itself planned, guarded and journaled, so an undo can be undone.
author: fieldops.runbooks contributors
extends_documentation_fragment:
  - fieldops.runbooks.postgres
  - fieldops.runbooks.guards
  - fieldops.runbooks.envelope
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  undo_id:
    description: The RV(undo_id) that a fix returned, or that M(fieldops.runbooks.runbook_journal_info) lists.
    type: str
    required: true
  changes:
    description: Numbers of the changes to take back. Without it, all.
    type: list
    elements: int
    default: []
  login_db:
    default:
    description:
      - Name of the database. The default is the database that the run was made on; any other is refused.
notes:
  - The connection options are needed only for runs that changed a database.
seealso:
  - module: fieldops.runbooks.runbook_journal_info
"""

EXAMPLES = r"""
- name: What would be taken back?
  fieldops.runbooks.runbook_undo:
    undo_id: 20260131T235959-fits_queue_reset-0123abcd
  check_mode: true
  diff: true

- name: Take back two changes of a run
  fieldops.runbooks.runbook_undo:
    undo_id: 20260131T235959-fits_queue_reset-0123abcd
    changes: [0, 3]
"""

RETURN = r"""
undone:
  description: The run that is taken back.
  returned: always
  type: dict
  sample: {"undo_id": "20260131T235959-fits_queue_reset-0123abcd", "fix": "fits_queue_reset", "status": "ok"}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.postgres import OPTIONS as POSTGRES_OPTIONS
from ..module_utils.connect.postgres import PostgresError
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.undo import STORES as FITS_STORES
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.procedure.undo import undo_factory

OPTIONS = ArgumentSpec({"undo_id": {"type": "str", "required": True}, "changes": {"type": "list", "elements": "int", "default": []}})
STORES = dict(FITS_STORES)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(ArgumentSpec(dict(POSTGRES_OPTIONS)), GUARDS).to_kwargs())
    run_fix(module, undo_factory(STORES), (PostgresError, FitsError))


if __name__ == "__main__":
    main()
