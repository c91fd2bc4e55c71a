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
