#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_flag
short_description: Set or clear a flag of job-runner
version_added: 1.0.0
description:
  - Writes one flag as upstream's command C(flags set) writes it, with a time stamp that upstream can read, and only if its value differs.
  - The flag V(paused) keeps job-runner from starting jobs. Jobs that run go on, and requests for new ones are still accepted.
  - A value that upstream would not read as meant is refused. For V(paused) it knows V(true) only; V(1), V(yes) and V(on) would not pause it.
  - A flag whose time stamp is a text, as an C(INSERT) by hand leaves it, ends the thread of job-runner that talks to job-server. That is a finding, and
    writing the flag mends it.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  name:
    description:
      - Name of the flag.
      - V(paused) keeps jobs from being started. V(mode) set to V(db-maintenance) stops jobs that use the database; on some backends the service rewrites
        it every few minutes. V(manual-db-maintenance) set to V(on) does the same until it is cleared; job-runner knows it since October 2024.
    type: str
    required: true
  value:
    description:
      - The value; null clears the flag, whose row stays, as with upstream's command.
    type: str
  allow_unknown:
    description: Whether to write a flag that upstream is not known to read.
    type: bool
    default: false
notes:
  - It takes effect at once. Flags are read again before each job, so the service need not be restarted.
  - After the flag V(paused) is cleared, pending jobs keep the code C(paused) until the next turn of the main loop.
seealso:
  - module: fieldops.runbooks.jobrunner_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: Start no new jobs
  fieldops.runbooks.jobrunner_flag:
    name: paused
    value: "true"
  become: true

- name: Start new jobs again
  fieldops.runbooks.jobrunner_flag:
    name: paused
    value: ""
  become: true

- name: The database is being worked on
  fieldops.runbooks.jobrunner_flag:
    name: mode
    value: db-maintenance
  become: true
"""

RETURN = r"""
flags:
  description: All flags by name, with value and time stamp in seconds since the epoch.
  returned: always
  type: dict
  sample: {"paused": {"id": "paused", "value": "true", "timestamp": 1706745599.25}}
paused:
  description: Whether job-runner reads itself as paused.
  returned: always
  type: bool
  sample: true
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
      sample: set
    subject:
      description: What is changed.
      type: str
      sample: "flag:paused"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"id": "paused", "value": null, "timestamp": 1706745599.25}
    after:
      description: The subject as it will be; null if it will not exist. Times of the change are not in it, the journal has them.
      type: dict
      sample: {"id": "paused", "value": "true"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "it is not set"
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
      sample: ""
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
  sample: 20260131T235959-jobrunner_flag-0123abcd
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
      sample: jobrunner.flag.paused
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: paused
    summary:
      description: One sentence for a person.
      type: str
      sample: "job-runner is paused: it starts no new jobs"
    detail:
      description: The same for a program.
      type: dict
      sample: {"id": "paused", "value": "true", "timestamp": 1706745599.25}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "write it again: jobrunner_flag with the value that it has"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Pausing new jobs"}
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

from ..module_utils.connect.sqlite import SqliteError
from ..module_utils.jobrunner.argspec import WORKDIR
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.flag import Flag
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "name": {"type": "str", "required": True},
        "value": {"type": "str"},
        "allow_unknown": {"type": "bool", "default": False},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(WORKDIR, GUARDS).to_kwargs())
    run_fix(module, Flag, (JobRunnerError, SqliteError))


if __name__ == "__main__":
    main()
