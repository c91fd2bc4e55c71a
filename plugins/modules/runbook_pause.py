#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: runbook_pause
short_description: Pause all fixes of a node, or end the pause
version_added: 1.0.0
description:
  - Writes a file with a reason, and every fix of this collection on that node refuses and shows the reason, who paused it and since when,
    until the file is removed or its time is over. Checks go on.
  - A person can do the same by hand, C(echo 'storage moves, ask the night shift' > /run/lock/fieldops-runbooks/pause).
  - C(/run) is emptied at a reboot, which ends such a pause.
  - A run that is at work when the pause begins is not interrupted. With O(lock_wait), the pause begins when it is done.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
attributes:
  idempotent:
    support: full
options:
  state:
    description: Whether fixes are paused. V(absent) removes the file in O(limits_dir) as well as one in O(journal_dir), whoever wrote it.
    type: str
    choices: [present, absent]
    default: present
  reason:
    description: Why, in words for whoever is refused. Needed with O(state=present).
    type: str
  until:
    description: When the pause ends by itself, a date with a time, in UTC or with its offset, for instance V(2026-02-01T06:00:00Z).
    type: str
seealso:
  - module: fieldops.runbooks.runbook_limits_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: Nothing is to be mended here until tomorrow
  fieldops.runbooks.runbook_pause:
    reason: The storage moves to the new rack, ask the night shift
    until: "2026-02-01T06:00:00Z"

- name: Fixes may be made again
  fieldops.runbooks.runbook_pause:
    state: absent
"""

RETURN = r"""
pauses:
  description: What lies where a pause may lie, after the run.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /run/lock/fieldops-runbooks/pause
    reason:
      description: Why, as every refusal shows it.
      type: str
      sample: storage moves
    who:
      description: Who paused the fixes, with the owner of the file where that is another one.
      type: str
      sample: operator as root
    since:
      description: Since when, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
    until:
      description: When it ends by itself, in UTC; null when it does not.
      type: str
      sample:
limits:
  description: Where the pause lies, and for whom it holds.
  returned: always
  type: dict
  sample: {"directory": "/run/lock/fieldops-runbooks", "scope": "for all users, in /run/lock/fieldops-runbooks"}
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
      sample: pause
    subject:
      description: What is changed.
      type: str
      sample: "pause:/run/lock/fieldops-runbooks/pause"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample:
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"text": "storage moves\nwho: operator\n"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: storage moves
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: ""
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: "the file was changed since it was looked at: left alone"
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
  sample: 20260131T235959-runbook_pause-0123abcd
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
      sample: max_changes
    decision:
      description: V(pass), V(refuse), or V(off) where it was not asked.
      type: str
      sample: refuse
    why:
      description: Why, in words.
      type: str
      sample: "50 changes are planned, at most 1 are allowed."
    allow:
      description: What would allow the plan; empty unless it was refused.
      type: str
      sample: "read the plan, then pass max_changes: 50, or name fewer subjects."
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: limits.paused
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: /run/lock/fieldops-runbooks/pause
    summary:
      description: One sentence for a person.
      type: str
      sample: "all fixes are paused: storage moves (by operator, since 2026-01-31T23:59:59Z, /run/lock/fieldops-runbooks/pause)"
    detail:
      description: The same for a program.
      type: dict
      sample: {"reason": "storage moves", "who": "operator", "since": "2026-01-31T23:59:59Z", "until": null}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample:
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.041
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.procedure.pause_run import PauseAll

OPTIONS = ArgumentSpec(
    {
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        "reason": {"type": "str"},
        "until": {"type": "str"},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(GUARDS).to_kwargs())
    run_fix(module, PauseAll)


if __name__ == "__main__":
    main()
