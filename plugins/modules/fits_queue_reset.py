#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: fits_queue_reset
short_description: Put broken rows of a FITS Storage queue back in line
version_added: 1.0.0
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
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.postgres
  - fieldops.runbooks.fits_workers
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
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
      - V(failed) is tried again. Of several failures of one file, the one queued last is tried again and the others are removed.
      - V(orphaned) is put back in line.
      - V(twin) removes an orphaned, failed or unpoppable row when another row of the same file waits, so that the reset would collide.
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
  other_hosts_stopped:
    description:
      - States that no worker of this queue runs on any other host. Without it, a session on the database that comes from another
        host and is not a tool that names itself counts as a worker, and rows in progress are not touched.
      - Kept in the journal.
    type: bool
    default: false
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
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it. At most 1000 are shown; the journal has all.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description: What is done to the subject.
      type: str
      sample: reset
    subject:
      description: What is changed.
      type: str
      sample: "ingest:N20200804S0091.fits"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"id": 12, "inprogress": true, "failed": false}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"id": 12, "inprogress": false, "failed": false}
    reason:
      description: Why, in one sentence.
      type: str
      sample: in progress, and no worker can be on it
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: force of ingest row 12
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: "the row was taken, changed or removed since it was read: left alone"
changes_total:
  description: Number of changes in the plan.
  returned: always
  type: int
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Takes this run back, with M(fieldops.runbooks.runbook_undo). Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-fits_queue_reset-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "max_changes", "reason": "50000 changes are planned, at most 1000 are allowed.", "allow": "read the plan, then pass max_changes: 50000"}]
guards:
  description: What each guard decided on the plan, those that let it pass as well. In the order in which they are told.
  returned: always
  type: list
  elements: dict
  contains:
    guard:
      description: Name of the guard; those that only this fix has are listed when they refuse.
      type: str
      sample: cooldown
    decision:
      description: V(pass), V(refuse), or V(off) where it was not asked.
      type: str
      sample: refuse
    why:
      description: Why, in words.
      type: str
      sample: "the same fix was run on 1 of these subjects 40 s ago (run 20260131T235959-fits_queue_reset-0123abcd), first ingest:a.fits: it does not hold."
    allow:
      description: What would allow the plan; empty unless it was refused.
      type: str
      sample: "find out why it came back; or wait 561 s, or pass cooldown: 0."
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: fits.ingest.orphaned
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: ingest queue
    summary:
      description: One sentence for a person.
      type: str
      sample: "1 ingest queue row in progress although no worker can be on it: N20200804S0091.fits; it will never be finished"
    detail:
      description: The same for a program.
      type: dict
      sample: {"count": 1, "ids": [12]}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.fits_ingest_queue", "vars": {"fits_repair": true}, "text": "repair the queue"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "fits.rst", "heading": "General Considerations"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"timezone": "Pacific/Honolulu"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.postgres import PostgresError
from ..module_utils.fits.argspec import POSTGRES, WORKERS
from ..module_utils.fits.errors import FitsError
from ..module_utils.fits.queue import REPAIRS
from ..module_utils.fits.queue_reset import QueueReset
from ..module_utils.fits.tables import QUEUES
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "queue": {"type": "str", "required": True, "choices": list(QUEUES)},
        "filename": {"type": "list", "elements": "str", "default": []},
        "conditions": {"type": "list", "elements": "str", "default": ["failed", "orphaned"], "choices": list(REPAIRS)},
        "settle": {"type": "float", "default": 1.0},
        "other_hosts_stopped": {"type": "bool", "default": False},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(POSTGRES, WORKERS, GUARDS).to_kwargs())
    run_fix(module, QueueReset, (PostgresError, FitsError))


if __name__ == "__main__":
    main()
