#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_job
short_description: Kill jobs of job-runner, or try their results again
version_added: 1.0.0
description:
  - With O(state=killed), a job's container is killed, its row says that an admin killed it, its log is saved where finished jobs have theirs,
    and with O(cleanup=true) container, volume manager and volume are removed. It works on jobs in any state. A job that has ended stays as it ended,
    so that the module can be run again with O(cleanup=true).
  - With O(state=retried), a job that failed while its results were being filed is put back, and the main loop takes its results from its container once more.
  - Of a kill the rows come first, and they are watched for O(settle) seconds before a container ends. Else the main loop would take the results of a job
    whose container has just ended, call it failed by itself, and die with an internal error when the container is removed under it.
  - Every step is a change of its own in the journal. What is cut off half way is finished by the next run.
  - Rows are written in the very words of upstream's commands C(kill_job) and C(retry_job). A row is compared and written in one short transaction, which
    spans no call to the engine.
  - Unlike upstream's command, the log that it saves does not hold the values of the container's environment, among them the URL of the database, not even
    where the job itself has printed them, and no environment is needed to run it.
  - A log that the main loop has filed of the same container is kept as it is. Upstream's command writes over it, and with it over the list of outputs.
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
  job_id:
    description:
      - Jobs by their whole ids, which have 16 characters. The name of a job's container is taken as well.
      - A part of an id is refused with the list of jobs that upstream's commands would have taken it for.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(killed) for jobs that must not run, or not go on.
      - V(retried) for jobs that have failed with an internal error, and whose container and volume are still there.
    type: str
    choices: [killed, retried]
    required: true
  cleanup:
    description:
      - Whether to remove container, manager and volume of a killed job. Without it they are kept for debugging.
      - Where results would be lost that are finished and not filed, they must be named in O(accept_data_loss).
    type: bool
    default: false
  force:
    description:
      - Whether to retry also a job that has not failed, or whose volume is gone, as upstream's command does.
      - Only with O(state=retried).
    type: bool
    default: false
  settle:
    description:
      - Seconds to watch the rows that were written. The main loop may hold a job as it was a moment ago, and write that back.
      - Before a container of a killed job ends, a row that was written back is written again. At the end of the run, the module fails and says so.
    type: float
    default: 2.0
  service:
    description: Unit of the service. It is asked only whether it runs, for a retry.
    type: str
    default: jobrunner
notes:
  - job-server is not told by this module. The service reports all active jobs every few seconds, a retried one among them.
  - Jobs that wait for a killed job fail with it in the next turn of the main loop, and no undo of the kill brings these back. The findings count them.
  - A killed process does not come back. The row of a job that had neither process nor cleanup can be put back with M(fieldops.runbooks.runbook_undo).
seealso:
  - module: fieldops.runbooks.jobrunner_job_info
  - module: fieldops.runbooks.jobrunner_prepare_for_reboot
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What would killing this job do?
  fieldops.runbooks.jobrunner_job:
    job_id: ab2cd3ef4gh5ij6k
    state: killed
    cleanup: true
  become: true
  check_mode: true
  diff: true

- name: Kill two jobs and keep their containers for a look
  fieldops.runbooks.jobrunner_job:
    job_id:
      - ab2cd3ef4gh5ij6k
      - zz2cd3ef4gh5ij7y
    state: killed
  become: true

- name: Remove what was kept, although one of them had finished
  fieldops.runbooks.jobrunner_job:
    job_id: ab2cd3ef4gh5ij6k
    state: killed
    cleanup: true
    accept_data_loss:
      - results of job ab2cd3ef4gh5ij6k (generate_dataset)
  become: true

- name: The disk is mounted again, so file the results of the job that failed of it
  fieldops.runbooks.jobrunner_job:
    job_id: ab2cd3ef4gh5ij6k
    state: retried
  become: true
"""

RETURN = r"""
jobs:
  description: The jobs that were named, as they are now.
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
      sample: failed
    status_code:
      description: Status code in upstream's words.
      type: str
      sample: killed_by_admin
    status_message:
      description: What users are told.
      type: str
      sample: An OpenSAFELY admin manually killed this job
    action:
      description: Action of the study.
      type: str
      sample: generate_dataset
    workspace:
      description: Workspace that it belongs to.
      type: str
      sample: long-covid
    cancelled:
      description: Whether its user has cancelled it.
      type: bool
      sample: false
    completed_at:
      description: When it ended, in seconds since the epoch; null while it has not.
      type: int
      sample: 1706745599
    logs:
      description: Where the log of its container lies, saved here or filed by the main loop; null when there is none, or the container is gone.
      type: str
      sample: /srv/high_privacy/logs/2026-01/os-job-ab2cd3ef4gh5ij6k
    dependants:
      description: Pending jobs that wait for it.
      type: list
      elements: str
      sample: []
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
      sample: kill
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
      sample: {"id": "ab2cd3ef4gh5ij6k", "state": "failed", "status_code": "killed_by_admin"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "it is asked for; it is running (executing)"
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
  sample: 20260131T235959-jobrunner_job-0123abcd
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
      sample: jobrunner.job.ended
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: ab2cd3ef4gh5ij6k
    summary:
      description: One sentence for a person.
      type: str
      sample: "job ab2cd3ef4gh5ij6k (generate_dataset of long-covid) was killed"
    detail:
      description: The same for a program.
      type: dict
      sample: {"state": "failed", "status_code": "killed_by_admin", "dependants": []}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "when nobody needs them any more: jobrunner_job with state: killed and cleanup: true"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Killing a job"}
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
from ..module_utils.jobrunner.job import Jobs
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "job_id": {"type": "list", "elements": "str", "required": True},
        "state": {"type": "str", "choices": ["killed", "retried"], "required": True},
        "cleanup": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "settle": {"type": "float", "default": 2.0},
        "service": {"type": "str", "default": "jobrunner"},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(PLACE, GUARDS).to_kwargs())
    run_fix(module, Jobs, (JobRunnerError, SqliteError, DockerError))


if __name__ == "__main__":
    main()
