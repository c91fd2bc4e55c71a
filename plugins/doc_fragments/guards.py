# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  max_changes:
    description: Refuse a plan of more changes than this. V(0) sets no limit.
    type: int
    default: 1000
  cooldown:
    description:
      - Refuse when the same fix has been made on one of the same subjects within this many seconds. A fix that does not hold
        wants a person, not another try.
      - Runs that failed and runs that were undone do not count.
    type: float
    default: 0.0
  lock_wait:
    description: Seconds to wait when another remediation is at work on the node. The default refuses at once.
    type: float
    default: 0.0
  lock_expiry:
    description:
      - Seconds after which the node's lock may be taken over if its holder has not renewed it. It is renewed before every
        batch of changes, and free at once when its process is gone.
    type: float
    default: 900.0
  accept_data_loss:
    description:
      - Losses that are accepted, in exactly the words in which the plan names them (RV(changes[].data_loss)).
    type: list
    elements: str
    default: []
  approved_plan:
    description:
      - The RV(plan_sha256) of a plan that somebody has read and approved. The fix is refused when today's plan is another one.
      - When nothing is left to do, there is nothing to refuse.
    type: str
  journal_dir:
    description:
      - Directory of the journal and of the lock on the node.
      - The default is C(/var/lib/fieldops/runbooks) for root, and C(fieldops/runbooks) below E(XDG_STATE_HOME) or
        C(~/.local/state) for any other user.
    type: path
  journal_keep_days:
    description: Finished runs older than this many days are removed from the journal. Unfinished runs stay.
    type: float
    default: 90.0
  journal_keep_runs:
    description: At most this many runs are kept in the journal. Unfinished runs stay.
    type: int
    default: 1000
  initiator:
    description: Who is behind this run, for the journal. The playbooks of this collection fill it from AWX's variables.
    type: dict
    default: {}
    suboptions:
      user:
        description: Name of the person.
        type: str
      job_id:
        description: Number of the AWX job.
        type: str
"""

    RETURN = r"""
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
"""
