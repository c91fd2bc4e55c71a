#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sesam_scheduler
short_description: Stop a Sesam node from starting its pipes by itself, and let it again
version_added: 1.0.0
description:
  - With O(state=disabled) one key is set, C(task_manager.disable_pump_scheduler), in the metadata of the node where its API answers, else in
    C(startup_options.json) in its data folder, for which the node is restarted. It is merged into what is there, and everything else stays.
  - Pumps that run go on running, unless O(running) says otherwise.
  - With O(state=enabled) just this key goes again, from both places, and what was there before this collection set it comes back.
  - The metadata are read again right before they are written and once more afterwards. All other entities of the configuration are compared
    before and after (RV(comparison)), and with the scheduler off it is watched that nothing starts (RV(proof)).
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.sesam
  - fieldops.runbooks.sesam.container
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  state:
    description: Whether pipes start by themselves.
    type: str
    choices: [enabled, disabled]
    required: true
  method:
    description:
      - Where the key is set.
      - V(auto) takes the metadata where the API answers, and the file where it does not (nobody listens, no answer in time, 502 to 504).
        A token that is not accepted is an error with either, and so is an API that answers at another port of the node's container.
        For O(state=enabled) it is both, as far as the data folder can be seen.
      - V(metadata) takes effect at once, and needs the role C(group:Admin) or C(group:Developer).
      - V(startup_options) takes effect when the node is started, and works for a node that does not stay up long enough to be asked.
    type: str
    choices: [auto, metadata, startup_options]
    default: auto
  key:
    description:
      - The key below C(task_manager).
      - The runbook names V(disable_pump_scheduler). The vendor's own client uses V(disable_user_pipes). Both are read and told, one is written.
    type: str
    choices: [disable_pump_scheduler, disable_user_pipes]
    default: disable_pump_scheduler
  running:
    description:
      - What becomes of pumps that run when the scheduler is off, which stops none of them.
      - V(leave) tells which they are. V(wait) waits until none runs, in check mode too where the scheduler is off already;
        it fails after O(timeout) also where the part of the node that runs a pump does not answer, since nobody knows then.
        V(stop) stops each that supports it and waits until it has stopped. A stopped run cannot be taken back.
    type: str
    choices: [leave, wait, stop]
    default: leave
  restart:
    description:
      - Whether the node's container is restarted where the file was changed. The node reads it at no other time.
      - Without it, a finding says that the change takes effect at the next restart.
      - A restart cuts off runs of pipes. Where the API answers and tells of runs, O(state=enabled) with O(method=auto) is refused.
      - What the node is like is kept before anything is changed, as M(fieldops.runbooks.sesam_restart) does it (RV(evidence)), and before an undo restarts it
        as well. Stack traces of a node that is frozen are not taken, only those kept that are there; M(fieldops.runbooks.sesam_stacktrace) takes them.
    type: bool
    default: true
  take_over:
    description:
      - With O(state=enabled), remove the key also where no run in the journal has set it, which is refused otherwise, since somebody else may need it.
    type: bool
    default: false
  timeout:
    description:
      - Seconds to wait for pumps to end, for pipes to be deployed, and for a restarted node to answer; for each of them.
      - The node's lock must outlast it, and with O(running=wait) twice of it. What does not fit into O(lock_expiry) is refused.
    type: float
    default: 300.0
  settle:
    description:
      - Seconds to watch that no pump starts by itself, and that a node that was restarted stays up. It proves the more the longer it is than the
        schedules of the pipes.
      - V(0) does not watch.
    type: float
    default: 5.0
notes:
  - Metadata are never deleted, not even when nothing is left in them. The node's C(DELETE /metadata) drops all of them, and no more than the key was set.
  - A C(task_manager) that is empty once the key is gone stays, unless the journal says that this collection made it. The file goes only if the
    journal says so, too.
  - Without the endpoint C(/metadata) (404), the configuration is read as a whole and written back as a whole with nothing but the key changed.
  - A file that is no valid JSON is refused with the place of the error, and left alone. A link in its place is not followed.
  - The image of the file in the journal is its name; the file itself is kept beside the journal, readable for its owner only.
  - "For an undo, M(fieldops.runbooks.runbook_undo) needs the token again, as O(jwt)."
seealso:
  - module: fieldops.runbooks.sesam_config
  - module: fieldops.runbooks.sesam_node_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: No pipe starts by itself, and none runs
  fieldops.runbooks.sesam_scheduler:
    state: disabled
    running: stop
    jwt: "{{ vault_sesam_jwt }}"

- name: The node crashes soon after it is started, so it cannot be asked
  fieldops.runbooks.sesam_scheduler:
    state: disabled
    method: startup_options
    jwt: "{{ vault_sesam_jwt }}"
  become: true

- name: The work is over
  fieldops.runbooks.sesam_scheduler:
    state: enabled
    jwt: "{{ vault_sesam_jwt }}"
  become: true
"""

RETURN = r"""
scheduler:
  description: What turns the scheduler off, or does not, now.
  returned: always
  type: dict
  contains:
    state:
      description: V(enabled), V(disabled), or V(unknown) where the API does not answer and no file tells.
      type: str
      sample: disabled
    stopped_by:
      description: The keys that keep pipes from starting.
      type: list
      elements: str
      sample: [disable_pump_scheduler]
    metadata:
      description: The keys as the metadata set them, null where they do not, and how the metadata are written. Null where the API does not answer.
      type: dict
      sample: {"via": "metadata", "disable_pump_scheduler": true, "disable_user_pipes": null}
    startup_options:
      description: The same of the file, and whether the node was started after it was written. Null where it was not seen.
      type: dict
      sample: {"path": "/sesam/data/startup_options.json", "exists": false, "in_force": true, "disable_pump_scheduler": null, "disable_user_pipes": null}
running:
  description: Pipes whose pumps run now.
  returned: always
  type: list
  elements: str
  sample: []
comparison:
  description: All other entities of the configuration, before and after. Null where nothing was changed, or the API did not answer before.
  returned: always
  type: dict
  sample: {"same": 412, "added": [], "removed": [], "changed": [], "equal": true}
proof:
  description:
    - What was seen while the scheduler was watched. C(due) is the number of pipes whose next run was planned for that time, C(started) are those that
      began to run, C(unknown) those whose part of the node does not answer. Null where it was not watched.
  returned: always
  type: dict
  sample: {"seconds": 5.0, "pipes": 408, "due": 31, "started": [], "unknown": 0}
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
      description: What is done to the subject, one of V(disable), V(enable), V(restart), V(stop).
      type: str
      sample: disable
    subject:
      description: What is changed.
      type: str
      sample: "metadata:http://localhost:9042/api"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"task_manager": false, "set": false, "value": null}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"task_manager": true, "set": true, "value": true}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "pipes are not to start by themselves"
    reversible:
      description: Whether the change can be undone. A pump that was stopped is not started again.
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
      description: Why it was not done, if the subject changed between plan and change. After an undo, where the state before its restart was kept.
      type: str
      sample: "the metadata were changed since they were looked at: left alone"
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
  sample: 20260131T235959-sesam_scheduler-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "foreign", "reason": "metadata:http://localhost:9042/api turns the scheduler off, and no run in this journal set that.",
           "allow": "ask who set it, then pass take_over: true."}]
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
      sample: sesam.scheduler.disabled
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: What it is about.
      type: str
      sample: http://localhost:9042/api
    summary:
      description: One sentence for a person.
      type: str
      sample: "the scheduler is off (task_manager.disable_pump_scheduler): no pipe starts by itself"
    detail:
      description: The same for a program.
      type: dict
      sample: {"stopped_by": ["disable_pump_scheduler"]}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: fieldops.runbooks.sesam_scheduler
        vars: {"sesam_repair": true, "sesam_scheduler_state": "enabled"}
        text: turn it on when the work is over
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "sesam.rst", "heading": "Preventing pipes from automatically running"}
evidence:
  description:
    - What the findings rest on.
    - C(directory) is where on the managed node the state before a restart was kept (null where none was), and C(files) are the files in it with their sizes.
  returned: always
  type: dict
  sample: {"api_url": "http://localhost:9042/api", "away": "", "container": "sesam-node", "data_folder": "/srv/data/sesam/node-00/data", "others": 412,
           "directory": null, "files": []}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 12.4
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.sesam.argspec import API, CONTAINER
from ..module_utils.sesam.errors import SesamError
from ..module_utils.sesam.scheduler import Scheduler

OPTIONS = ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["enabled", "disabled"], "required": True},
        "method": {"type": "str", "choices": ["auto", "metadata", "startup_options"], "default": "auto"},
        "key": {"type": "str", "choices": ["disable_pump_scheduler", "disable_user_pipes"], "default": "disable_pump_scheduler", "no_log": False},
        "running": {"type": "str", "choices": ["leave", "wait", "stop"], "default": "leave"},
        "restart": {"type": "bool", "default": True},
        "take_over": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 300.0},
        "settle": {"type": "float", "default": 5.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **API.merge(CONTAINER, OPTIONS, GUARDS).to_kwargs())
    run_fix(module, Scheduler, (SesamError, DockerError))


if __name__ == "__main__":
    main()
