#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: jobrunner_debug
short_description: Look at a job of an OpenSAFELY backend from beside it
version_added: 1.0.0
description:
  - With O(state=present) a container C(os-debug-ID) is started that has the job's volume at C(/workspace), for C(docker exec). It has no
    network, is read-only there unless O(writable) is set, and ends and removes itself when O(lifetime) is over.
  - With O(state=absent) it is removed. A job's volume cannot be removed while such a container has it.
  - With O(state=traced) the processes of the job's container are traced for some seconds with strace of the node itself, and what they did
    is summed up. Nothing is changed and no container is made. In check mode nobody is traced, and the processes are named.
  - Upstream's script for this looks for volumes by a label that volumes do not have, and finds none.
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
    description: Id of the job, whole. The name of its container is taken for its id.
    type: str
    required: true
  state:
    description: What to do, see the description.
    type: str
    choices: [present, absent, traced]
    default: present
  image:
    description:
      - Image of the container, by its whole name. It must be on the node; nothing is pulled.
      - Required with O(state=present).
    type: str
  lifetime:
    description: Seconds after which the container ends and is removed, at most a week.
    type: int
    default: 14400
  writable:
    description:
      - Whether the job's volume may be written. What is written there is the job's business at once, and no undo takes it back.
    type: bool
    default: false
  privileged:
    description:
      - Whether the container gets all rights on the node and sees all its processes, as that of upstream's script. Looking at files and
        tracing need neither.
    type: bool
    default: false
  trace_seconds:
    description: Seconds to trace, 300 at most. A traced process is slower while it lasts.
    type: float
    default: 10.0
  trace_lines:
    description:
      - System calls to return one by one, the last ones. Without it, only sums are returned.
      - Names of files are shown, and nothing of what is read or written.
    type: int
    default: 0
  pid:
    description: Trace only this process of the job, by its number on the node. Without it, all of them, at most 64.
    type: int
  timeout:
    description: Seconds to wait for one answer of the Docker Engine.
    type: float
    default: 30.0
requirements:
  - strace and timeout (coreutils) on the managed node, for O(state=traced)
notes:
  - Tracing needs root. The processes are those of the control group of the job's container, and it is made sure that strace let go of them.
  - Jobs that run are worked on by job-runner meanwhile. When it files a job away while the container is there, it cannot remove the volume.
seealso:
  - module: fieldops.runbooks.jobrunner_job_info
  - module: fieldops.runbooks.jobrunner_image
"""

EXAMPLES = r"""
- name: Look at what a job has written so far
  fieldops.runbooks.jobrunner_debug:
    job_id: ab2cd3ef4gh5ij6k
    image: registry.example.org/opensafely-core/tools
  become: true

- name: The looking is over
  fieldops.runbooks.jobrunner_debug:
    job_id: ab2cd3ef4gh5ij6k
    state: absent
  become: true

- name: Is the job doing anything?
  fieldops.runbooks.jobrunner_debug:
    job_id: ab2cd3ef4gh5ij6k
    state: traced
    trace_seconds: 20
  become: true
"""

RETURN = r"""
container:
  description: The container for debugging, null when there is none.
  returned: with O(state=present) and O(state=absent)
  type: dict
  sample:
    name: os-debug-ab2cd3ef4gh5ij6k
    image: registry.example.org/opensafely-core/tools
    volume: os-volume-ab2cd3ef4gh5ij6k
    writable: false
    privileged: false
    lifetime: 14400
    running: true
    written: []
    command: docker exec -it os-debug-ab2cd3ef4gh5ij6k sh
volume:
  description: The job's volume, or its folder; null when it has none.
  returned: with O(state=present) and O(state=absent)
  type: str
  sample: os-volume-ab2cd3ef4gh5ij6k
processes:
  description: The processes of the job, its first one first; processor time in seconds, as used during the trace.
  returned: with O(state=traced)
  type: list
  elements: dict
  sample: [{"pid": 4711, "argv": ["python", "-m", "ehrql"], "owner": "root", "state": "S (sleeping)", "waits_in": "do_poll", "cpu": 0.0}]
trace:
  description: What the processes did. Null in check mode.
  returned: with O(state=traced)
  type: dict
  contains:
    seconds:
      description: How long they were traced.
      type: float
      sample: 10.1
    syscalls:
      description: System calls that ended meanwhile, the longest first.
      type: list
      elements: dict
      sample: [{"name": "poll", "calls": 4, "errors": 0, "seconds": 9.9}]
    waiting:
      description: The calls that processes were in at the end. The process is null where there was only one.
      type: list
      elements: dict
      sample: [{"pid": null, "call": "poll([{fd=3<TCP:[172.18.0.2:50022->192.0.2.10:1433]>, events=POLLIN}], 1, -1"}]
    lines:
      description: The last calls, with O(trace_lines).
      type: list
      elements: str
      sample: []
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it. At most 1000 are shown; the journal has all.
  returned: with O(state=present) and O(state=absent)
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
      sample: create
    subject:
      description: What is changed.
      type: str
      sample: "container:os-debug-ab2cd3ef4gh5ij6k"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample:
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"image": "tools", "volume": "os-volume-ab2cd3ef4gh5ij6k", "writable": false, "privileged": false, "lifetime": 14400}
    reason:
      description: Why, in one sentence.
      type: str
      sample: to look at the volume of job ab2cd3ef4gh5ij6k
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
      sample: "the container was made, changed or removed since it was looked at: left alone"
changes_total:
  description: Number of changes in the plan.
  returned: with O(state=present) and O(state=absent)
  type: int
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: with O(state=present) and O(state=absent)
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Takes this run back, with M(fieldops.runbooks.runbook_undo). Null when nothing was changed.
  returned: with O(state=present) and O(state=absent)
  type: str
  sample: 20260131T235959-jobrunner_debug-0123abcd
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
      sample: jobrunner.debug.present
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: What it is about.
      type: str
      sample: "os-debug-ab2cd3ef4gh5ij6k"
    summary:
      description: One sentence for a person.
      type: str
      sample: "os-debug-ab2cd3ef4gh5ij6k has the volume of job ab2cd3ef4gh5ij6k at /workspace, read-only"
    detail:
      description: The same for a program.
      type: dict
      sample: {"image": "tools", "volume": "os-volume-ab2cd3ef4gh5ij6k", "writable": false, "running": true}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: fieldops.runbooks.jobrunner_debug with state absent when the looking is over
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "opensafely-jobrunner.md", "heading": "Mount the volume of a running job"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"docker_host": "unix:///var/run/docker.sock"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.45
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.jobrunner.argspec import PLACE
from ..module_utils.jobrunner.debug import JobDebug
from ..module_utils.jobrunner.debug_trace import JobTrace
from ..module_utils.jobrunner.errors import JobRunnerError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.info import run_info
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "job_id": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent", "traced"], "default": "present"},
        "image": {"type": "str"},
        "lifetime": {"type": "int", "default": 14400},
        "writable": {"type": "bool", "default": False},
        "privileged": {"type": "bool", "default": False},
        "trace_seconds": {"type": "float", "default": 10.0},
        "trace_lines": {"type": "int", "default": 0},
        "pid": {"type": "int"},
        "timeout": {"type": "float", "default": 30.0},
    },
    required_if=[("state", "present", ["image"])],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **PLACE.merge(OPTIONS, GUARDS).to_kwargs())
    errors = (JobRunnerError, DockerError)
    if module.params["state"] == "traced":
        run_info(module, lambda params: JobTrace(params, attach=not module.check_mode), errors)
    run_fix(module, JobDebug, errors)


if __name__ == "__main__":
    main()
