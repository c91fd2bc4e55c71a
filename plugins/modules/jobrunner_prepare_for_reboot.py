#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_prepare_for_reboot
short_description: Reset the running jobs of job-runner, so that they start anew after a reboot
version_added: 1.0.0
description:
  - Removes container, volume manager and volume of every running job, and sets the job back to pending, so that the service starts it anew when it is up
    again and nobody has to do anything. Without it, running jobs fail at a reboot.
  - For each job Docker comes first and the row second, unlike upstream's command. Where the engine is lost half way, the next run finishes; the database
    never says that a job is reset while its container is still there.
  - Pending jobs that have a container or a volume are what an earlier preparation left when it was cut off. They are finished as well.
  - Refused while the service runs, told by its unit and by its processes, unless O(stop_service=true) makes stopping it the first change of the plan. If
    the service has started or ended jobs until it was stopped, nothing else is done and the module fails; run again, it plans from what is there then.
  - Jobs that have finished and whose results are not filed yet are named in the plan, and must be named in O(accept_data_loss), because they are done again.
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
  stop_service:
    description:
      - Whether to stop the service first. As root directly, as another user with C(sudo), by exactly the command that OpenSAFELY's sudoers file allows.
    type: bool
    default: false
  stop_timeout:
    description: Seconds to wait until nothing of the service runs any more.
    type: float
    default: 100.0
  service:
    description: Unit of the service.
    type: str
    default: jobrunner
notes:
  - What was removed does not come back, so a preparation cannot be undone, apart from the stop of the service and the rows of jobs of which nothing was
    there. The plan says so for each change.
  - It does not pause job-runner. After the reboot the service starts the jobs by itself, unless the flag V(paused) is set.
seealso:
  - module: fieldops.runbooks.jobrunner_flag
  - module: fieldops.runbooks.jobrunner_job
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What would be lost at a reboot now?
  fieldops.runbooks.jobrunner_prepare_for_reboot:
    stop_service: true
  become: true
  check_mode: true

- name: Stop the service and reset all running jobs
  fieldops.runbooks.jobrunner_prepare_for_reboot:
    stop_service: true
  become: true

- name: The same although one job has just finished
  fieldops.runbooks.jobrunner_prepare_for_reboot:
    stop_service: true
    accept_data_loss:
      - results of job ab2cd3ef4gh5ij6k (generate_dataset)
  become: true
"""

RETURN = r"""
ready:
  description: Whether nothing runs, so that a reboot does no harm. In check mode, as it is before.
  returned: always
  type: bool
  sample: true
jobs:
  description: Jobs that are still to be reset.
  returned: always
  type: list
  elements: dict
  contains:
    job_id:
      description: Its id.
      type: str
      sample: ab2cd3ef4gh5ij6k
    state:
      description: State in upstream's words, V(pending), V(running), V(succeeded) or V(failed).
      type: str
      sample: running
    status_code:
      description: Status code in upstream's words.
      type: str
      sample: executing
    status_message:
      description: What users are told.
      type: str
      sample: Executing job on the backend
    action:
      description: Action of the study.
      type: str
      sample: generate_dataset
    workspace:
      description: Workspace that it belongs to.
      type: str
      sample: long-covid
    unfinished:
      description: Whether its row is reset already, and only its objects are left.
      type: bool
      sample: false
    container:
      description: Its container, with name, state, status, image and creation time; null when there is none.
      type: dict
      sample: {"name": "os-job-ab2cd3ef4gh5ij6k", "state": "exited", "status": "Exited (137)", "image": "registry.example/r:latest", "created": 0}
    manager:
      description: The container that keeps its volume in use; null when there is none.
      type: dict
      sample: {"name": "os-volume-ab2cd3ef4gh5ij6k-manager", "state": "running", "status": "Up", "image": "registry.example/busybox", "created": 0}
    volume:
      description: Name of its volume; null when there is none.
      type: str
      sample: os-volume-ab2cd3ef4gh5ij6k
    directory:
      description: Its volume in its other form, a directory; null when there is none.
      type: str
      sample: /srv/high_privacy/volumes/ab2cd3ef4gh5ij6k
    exit_code:
      description: With what the container ended; null while it runs, or when there is none.
      type: int
      sample: 137
service:
  description: The service. What systemd says of its unit, pids of processes that run it, and whether it counts as running.
  returned: always
  type: dict
  sample: {"unit": {"unit": "jobrunner.service", "active": "inactive"}, "pids": [], "runs": false}
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
      sample: "job:ab2cd3ef4gh5ij6k"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"id": "ab2cd3ef4gh5ij6k", "state": "running", "status_code": "executing"}
    after:
      description: The subject as it will be; null if it will not exist. Times of the change are not in it, the journal has them.
      type: dict
      sample: {"id": "ab2cd3ef4gh5ij6k", "state": "pending", "status_code": "waiting_on_reboot"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "it starts anew after the reboot; it is running (executing)"
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: false
    data_loss:
      description: Results that would be lost. The plan is refused unless O(accept_data_loss) lists these very words.
      type: str
      sample: "results of job ab2cd3ef4gh5ij6k (generate_dataset)"
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: "it ended by itself meanwhile"
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
  sample: 20260131T235959-jobrunner_prepare_for_reboot-0123abcd
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
      sample: jobrunner.reboot.ready
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: jobs
    summary:
      description: One sentence for a person.
      type: str
      sample: "nothing runs: safe to reboot; 3 jobs wait and start after it"
    detail:
      description: The same for a program.
      type: dict
      sample: {"pending": 3}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.jobrunner_prepare_for_reboot", "vars": {}, "text": "reset them, so that they start anew after it"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Preparing for reboot"}
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
from ..module_utils.jobrunner.reboot import Reboot
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "stop_service": {"type": "bool", "default": False},
        "stop_timeout": {"type": "float", "default": 100.0},
        "service": {"type": "str", "default": "jobrunner"},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(PLACE, GUARDS).to_kwargs())
    run_fix(module, Reboot, (JobRunnerError, SqliteError, DockerError))


if __name__ == "__main__":
    main()
