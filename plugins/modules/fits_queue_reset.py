#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fits_queue_reset
short_description: Put broken rows of a FITS Storage queue back in line
version_added: 0.1.0
description:
  - Resets rows that failed or were orphaned by a worker that died, removes the stuck twin of a row that waits for the same
    file, and mends rows that could never be popped, in the way of the schema's generation (see
    M(fieldops.runbooks.fits_queue_info)).
  - Works with set-based statements in one short transaction. Every row is checked again under its lock; a row that was taken
    or changed meanwhile is left alone. Nothing ever collides with a unique constraint, nor with another row of the same plan.
  - Refuses while a worker may be at work on a row that is asked for, because two services would then work on one file. The
    playbooks C(fieldops.runbooks.fits_ingest_queue) and C(fieldops.runbooks.fits_export_queue) stop and start the workers
    around it.
  - Old values and removed rows are journaled before anything is written, and come back with M(fieldops.runbooks.runbook_undo).
author: fieldops.runbooks contributors
extends_documentation_fragment:
  - fieldops.runbooks.postgres
  - fieldops.runbooks.fits_workers
  - fieldops.runbooks.guards
  - fieldops.runbooks.envelope
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  queue:
    description: The queue. Rows of V(fileops) and V(reduce) are not stuck in this sense and are refused.
    type: str
    required: true
    choices: [ingest, export, preview, calcache, fileops, reduce]
  filename:
    description: Only rows of these files, found with and without C(.bz2). Without it, all rows of the queue.
    type: list
    elements: str
    default: []
  conditions:
    description:
      - What to mend.
      - V(failed) is tried again. Of several failures of one file, the newest is tried again and the others are removed.
      - V(orphaned) is put back in line.
      - V(twin) removes an orphaned or failed row when another row of the same file waits, so that the reset would collide.
      - V(unpoppable) gets the values that the pop compares.
      - V(stale) is removed. The file was ingested after that failure.
    type: list
    elements: str
    choices: [failed, orphaned, twin, unpoppable, stale]
    default: [failed, orphaned]
  settle:
    description:
      - Seconds between reading and writing when rows in progress are mended. A row that changes in this time was not orphaned
        and is left alone.
    type: float
    default: 1.0
seealso:
  - module: fieldops.runbooks.fits_queue_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: Try all failed and orphaned ingests again
  fieldops.runbooks.fits_queue_reset:
    queue: ingest

- name: One file only, and remove the stuck row if another one waits for the same file
  fieldops.runbooks.fits_queue_reset:
    queue: export
    filename: N20200804S0091.fits
    conditions: [failed, orphaned, twin]

- name: Do exactly what was approved, or nothing
  fieldops.runbooks.fits_queue_reset:
    queue: ingest
    max_changes: 5000
    approved_plan: "{{ approved_sha256 }}"
"""

RETURN = r"""
schema_generation:
  description: As returned by M(fieldops.runbooks.fits_queue_info).
  returned: always
  type: str
  sample: C
left:
  description: Rows of the wanted conditions that were left as they are, and why.
  returned: always
  type: list
  elements: dict
  sample:
    - id: 12
      filename: N20200804S0091.fits
      path: ""
      why: "row 14 of the same file is waiting: it needs the condition twin"
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.postgres import PostgresError
from ..module_utils.fits.argspec import POSTGRES, WORKERS
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.procedures import QueueReset
from ..module_utils.fits.queue import REPAIRS
from ..module_utils.fits.tables import QUEUES
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "queue": {"type": "str", "required": True, "choices": list(QUEUES)},
        "filename": {"type": "list", "elements": "str", "default": []},
        "conditions": {"type": "list", "elements": "str", "default": ["failed", "orphaned"], "choices": list(REPAIRS)},
        "settle": {"type": "float", "default": 1.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(POSTGRES, WORKERS, GUARDS).to_kwargs())
    run_fix(module, QueueReset, (PostgresError, FitsError))


if __name__ == "__main__":
    main()
