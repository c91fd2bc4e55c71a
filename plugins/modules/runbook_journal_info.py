#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_journal_info
short_description: List what the fixes of this collection did on a node
version_added: 1.0.0
description:
  - Reads the write-ahead journal of the node, unfinished runs first, then the newest.
  - A run that is unfinished was killed, or is at work right now; RV(lock) tells which.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  undo_id:
    description: Only this run, with all of its changes.
    type: str
  fix:
    description: Only runs of this module.
    type: str
  limit:
    description: At most this many runs.
    type: int
    default: 50
  journal_dir:
    description:
      - Directory of the journal on the node.
      - The default is C(/var/lib/fieldops/runbooks) for root, and C(fieldops/runbooks) below E(XDG_STATE_HOME) or
        C(~/.local/state) for any other user.
    type: path
  limits_dir:
    description: Directory of the lock of the node, see M(fieldops.runbooks.runbook_limits_info).
    type: path
seealso:
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What was changed on this host, by whom, and did anything stop half way?
  fieldops.runbooks.runbook_journal_info:

- name: One run in full
  fieldops.runbooks.runbook_journal_info:
    undo_id: 20260131T235959-fits_queue_reset-0123abcd
"""

RETURN = r"""
runs:
  description: The runs, unfinished ones first.
  returned: always
  type: list
  elements: dict
  contains:
    undo_id:
      description: Name of the run, for M(fieldops.runbooks.runbook_undo).
      type: str
      sample: 20260131T235959-fits_queue_reset-0123abcd
    fix:
      description: The module.
      type: str
      sample: fits_queue_reset
    status:
      description: V(unfinished), V(ok) or V(failed).
      type: str
      sample: ok
    error:
      description: Why it failed.
      type: str
      sample: ""
    started:
      description: When it started, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
    ended:
      description: When it ended, in UTC; null when it did not.
      type: str
      sample: "2026-01-31T23:59:59Z"
    who:
      description: Who ran it.
      type: dict
      sample: {"user": "operator", "node_user": "root", "job_id": "4711", "host": "fits-a", "pid": 812}
    plan_sha256:
      description: Hash of the plan.
      type: str
      sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
    total:
      description: Number of changes planned.
      type: int
      sample: 3
    context:
      description: What the run was made on.
      type: dict
      sample: {"database": "fitsdata", "queue": "ingest"}
    undo_of:
      description: The run that this one took back, if it is an undo.
      type: str
      sample:
    undone_by:
      description: The runs that took this one back, or part of it.
      type: list
      elements: str
      sample: []
    changes:
      description: The changes with their state (V(pending), V(unknown), V(done), V(skipped)); only with O(undo_id).
      type: list
      elements: dict
      sample: [{"n": 0, "state": "done", "action": "reset", "subject": "ingest:N20200804S0091.fits"}]
lock:
  description: Who holds the node's lock; null when nobody does.
  returned: always
  type: dict
  sample:
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
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "runbook_journal_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.procedure.argspec import JOURNAL, LIMITS, ArgumentSpec
from ..module_utils.procedure.history import History
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {"undo_id": {"type": "str"}, "fix": {"type": "str"}, "limit": {"type": "int", "default": 50}, "limits_dir": LIMITS.options["limits_dir"]}
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(JOURNAL).recordable().to_kwargs())
    run_info(module, History)


if __name__ == "__main__":
    main()
