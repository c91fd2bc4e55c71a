#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_maintenance
short_description: Have job-runner made ready for a reboot at a time when nobody is there
version_added: 1.0.0
description:
  - Sets a timer of systemd on the node. At its time the node itself stops the service and resets the running jobs, as
    M(fieldops.runbooks.jobrunner_prepare_for_reboot) does, without a controller, a connection or anybody to ask, and leaves a report.
  - The timer has the fixed name C(fieldops-jobrunner-maintenance.timer), so C(systemctl list-timers) shows it, and is transient. It leaves no unit file, and a
    reboot before its time takes it along.
  - What it starts is one file made of the code of this collection. It is tried on the node before the timer is set, and so is the database.
  - In check mode it tells what is planned, and what the last one has left.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.jobrunner
  - fieldops.runbooks.jobrunner.docker
  - fieldops.runbooks.jobrunner.files
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) sets the timer. The same timer again is left as it is, and another time or other options take its place.
      - V(absent) cancels it and removes the program. A report stays. A preparation that is under way is not interrupted.
    type: str
    choices: [present, absent]
    default: present
  on_calendar:
    description: When, as a calendar event of systemd, for example V(2026-01-31 04:00). Times are those of the node.
    type: str
  on_active:
    description: How long from now, as a time span of systemd, for example V(4h).
    type: str
  patience:
    description:
      - Seconds to try again for, when the preparation is refused or fails. While jobs have results that are not filed yet, the service goes on and files them.
    type: float
    default: 600.0
  redo_finished:
    description:
      - What to do with jobs that still have results that are not filed when O(patience) is over. If true, they are done again after the reboot.
      - If false, nothing is reset for their sake, and the report says so; unless O(accept_data_loss) names them.
    type: bool
    default: false
  directory:
    description: Directory of the program and of the report, which only root may write.
    type: path
    default: /var/lib/fieldops/jobrunner-maintenance
  stop_timeout:
    description: Seconds to wait at its time until nothing of the service runs any more.
    type: float
    default: 100.0
  service:
    description: Unit of the service.
    type: str
    default: jobrunner
notes:
  - Must run as root.
  - The options of the guards hold for the preparation as well, apart from O(approved_plan) and O(cooldown).
  - What a preparation changes is in the journal, like every fix.
seealso:
  - module: fieldops.runbooks.jobrunner_prepare_for_reboot
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: The host is rebooted at five in the morning
  fieldops.runbooks.jobrunner_maintenance:
    on_calendar: "2026-01-31 04:30"
    redo_finished: true
  become: true

- name: In four hours, as the runbook does it with sleep
  fieldops.runbooks.jobrunner_maintenance:
    on_active: 4h
  become: true

- name: What is planned, and what did the last one report?
  fieldops.runbooks.jobrunner_maintenance:
    state: absent
  become: true
  check_mode: true

- name: The maintenance was called off
  fieldops.runbooks.jobrunner_maintenance:
    state: absent
  become: true
"""

RETURN = r"""
timer:
  description: The timer. Whether it is set, when it comes next in systemd's words, and whether the preparation is under way just now.
  returned: always
  type: dict
  sample: {"set": true, "next": "Sat 2026-01-31 04:30:00 UTC", "timers": "{ OnCalendar=2026-01-31 04:30:00 }", "works": false}
options:
  description: What the program on the node is to do; null when there is none.
  returned: always
  type: dict
  sample: {"when": "--on-calendar=2026-01-31 04:30", "patience": 600.0, "redo_finished": true}
report:
  description: What the last preparation has left, with status, message, findings and changes; null when there was none.
  returned: always
  type: dict
  sample: {"status": "ok", "msg": "ready: True", "undo_id": "20260131T043000-jobrunner_prepare_for_reboot-0123abcd", "changes_total": 5}
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
      sample: "timer:fieldops-jobrunner-maintenance.timer#6b1f0c3f5f6d2d3a"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: null
    after:
      description: The subject as it will be; null if it will not exist. Times of the change are not in it, the journal has them.
      type: dict
      sample: {"mark": "6b1f0c3f5f6d2d3a", "when": "--on-calendar=2026-01-31 04:30"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "it is asked for"
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
  sample: 20260131T235959-jobrunner_maintenance-0123abcd
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
      sample: jobrunner.maintenance.set
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: fieldops-jobrunner-maintenance.timer
    summary:
      description: One sentence for a person.
      type: str
      sample: "jobs are made ready for a reboot at Sat 2026-01-31 04:30:00 UTC"
    detail:
      description: The same for a program.
      type: dict
      sample: {"set": true}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.jobrunner_prepare_for_reboot", "vars": {}, "text": "prepare by hand before the reboot"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Planned maintenance"}
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

from ..module_utils.connect.docker import DockerError
from ..module_utils.connect.sqlite import SqliteError
from ..module_utils.jobrunner.argspec import PLACE
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.jobrunner.reboot_schedule import Schedule
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "on_calendar": {"type": "str"},
        "on_active": {"type": "str"},
        "patience": {"type": "float", "default": 600.0},
        "redo_finished": {"type": "bool", "default": False},
        "directory": {"type": "path", "default": "/var/lib/fieldops/jobrunner-maintenance"},
        "stop_timeout": {"type": "float", "default": 100.0},
        "service": {"type": "str", "default": "jobrunner"},
    },
    mutually_exclusive=[("on_calendar", "on_active")],
    required_if=[("state", "present", ("on_calendar", "on_active"), True)],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(PLACE, GUARDS).to_kwargs())
    run_fix(module, Schedule, (JobRunnerError, SqliteError, DockerError))


if __name__ == "__main__":
    main()
