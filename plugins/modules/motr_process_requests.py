#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_process_requests
short_description: Stop and resume the processing of incoming requests in a live process of Motr
version_added: 1.0.0
description:
  - With O(state=stopped) the request handler of a live process goes from its normal state to drain. From then on the process refuses incoming requests,
    while those under way come to their end. With O(state=running) it goes back, and serves requests again.
  - Only services that take part in running the cluster, such as RPC and HA, still accept requests, so that Hare holds the process for alive.
  - Clients do not fail at once. They hang and try again, and go on when requests are served again.
  - gdb writes one integer, compared before and read back after, in one stop of a fraction of a second. It is a state that Motr knows, and goes through
    when it shuts down.
  - Nothing is done to a process that is shutting down, or whose request handler is in neither of both states.
  - Motr's own way, C(process_quiesce(\)) of its spiel interface, is left out. It stops services for good, and only a restart of the process starts them again.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.motr_process
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  state:
    description: Whether the process serves incoming requests.
    type: str
    choices: [running, stopped]
    required: true
notes:
  - A process that is restarted serves requests. The state lives in its memory only.
  - The journal has the state as it was before it is written, so whoever comes next, even after this run was killed, can tell it and take it back.
seealso:
  - module: fieldops.runbooks.motr_process_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: No new requests for this process
  fieldops.runbooks.motr_process_requests:
    process: <7200000000000001:1>
    state: stopped
  become: true
  register: stopped

- name: Are those under way at their end?
  fieldops.runbooks.motr_process_info:
    process: <7200000000000001:1>
  become: true
  register: live
  until: live.foms | length == 0
  retries: 30
  delay: 2

- name: Serve requests again
  fieldops.runbooks.motr_process_requests:
    process: <7200000000000001:1>
    state: running
  become: true
"""

RETURN = r"""
process:
  description: The process. Null when there is none.
  returned: when the process could be looked at
  type: dict
  contains:
    pid:
      description: Its pid.
      type: int
      sample: 2153
    started:
      description: When it was started, in clock ticks after boot. With the pid it names the process for good.
      type: int
      sample: 987654
    fid:
      description: The fid that it was started with, null without one.
      type: str
      sample: <7200000000000001:1>
    endpoint:
      description: The endpoint that it was started with, null without one.
      type: str
      sample: inet:tcp:10.0.0.1@21001
    owner:
      description: Its owner.
      type: str
      sample: root
handler:
  description: The request handler, null when it could not be read.
  returned: when the process could be looked at
  type: dict
  contains:
    address:
      description: Where it is in memory.
      type: str
      sample: "0x7ffd56f11de8"
    fid:
      description: Fid of the process, as the handler has it.
      type: str
      sample: <7200000000000001:1>
    state:
      description: Its state. 1 is normal, 2 refuses requests.
      type: int
      sample: 1
    state_name:
      description: Motr's name of the state.
      type: str
      sample: Normal
requests:
  description: What becomes of incoming requests, V(running), V(stopped), or V(other) in a state that is neither.
  returned: when the process could be looked at
  type: str
  sample: running
services:
  description: Its services.
  returned: when the process could be looked at
  type: list
  elements: dict
  contains:
    type:
      description: Type of the service.
      type: str
      sample: M0_CST_IOS
    fid:
      description: Fid of the service. C(<0:0>) for those that are not in the configuration.
      type: str
      sample: <7300000000000001:1>
    state:
      description: Its state. 3 is started.
      type: int
      sample: 3
    state_name:
      description: Motr's name of the state.
      type: str
      sample: Started
stopped_seconds:
  description: The longest time that the process stood still, of the two or three times that gdb was attached.
  returned: when the process could be looked at
  type: float
  sample: 0.0612
stops:
  description: How often gdb was attached.
  returned: when the process could be looked at
  type: int
  sample: 3
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
      sample: stop
    subject:
      description: What is changed.
      type: str
      sample: requests:<7200000000000001:1>
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"requests": "running", "pid": 2153, "started": 987654}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"requests": "stopped", "pid": 2153, "started": 987654}
    reason:
      description: Why, in one sentence.
      type: str
      sample: incoming requests are to be refused, while those under way come to their end
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
      sample: "the request handler went to another state since it was looked at: left alone"
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
  sample: 20260131T235959-motr_process_requests-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "ending", "reason": "<7200000000000001:1> is shutting down, and refuses requests for that.", "allow": "wait until it was started again."}]
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
      sample: motr.requests.stopped
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: <7200000000000001:1>
    summary:
      description: One sentence for a person.
      type: str
      sample: "<7200000000000001:1> refuses incoming requests (Drain): clients hang and try again"
    detail:
      description: The same for a program.
      type: dict
      sample: {"state": 2, "state_name": "Drain"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: "fieldops.runbooks.motr_process_requests with state: running, when they are to be served again"
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: What the findings rest on.
  returned: when the process could be looked at
  type: dict
  sample: {"stops": [0.0612, 0.0593, 0.0601], "frozen": false}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.9
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.live.requests import SPEC, Requests
from ..module_utils.procedure.argspec import GUARDS
from ..module_utils.procedure.module import run_fix


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **SPEC.merge(GUARDS).to_kwargs())
    run_fix(module, Requests, (MotrError,))


if __name__ == "__main__":
    main()
