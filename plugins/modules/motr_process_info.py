#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_process_info
short_description: Tell what a live process of Motr is doing
version_added: 1.0.0
description:
  - Attaches gdb to a live process of Motr for a fraction of a second and tells its services with their states, the requests (foms) that are queued,
    waiting and running in its localities with phase and age, and its RPC connections and sessions.
  - A running fom is on no queue. It is found on the stack of the thread that runs it.
  - A process that cannot be looked at, since it is gone, has no debugging symbols, belongs to another user or is being traced already, is a finding,
    and the lists are empty. It is left running as it was.
  - For how long the process stood still is told in RV(stopped_seconds).
  - Nothing is changed.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.motr_process
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  internal:
    description:
      - Whether to return foms that serve no request. Motr has some that always wait, such as those of transaction groups.
      - They are counted in any case.
    type: bool
    default: false
  connections:
    description: Whether to return RPC machines with their connections and sessions.
    type: bool
    default: true
  stuck_after:
    description: Seconds that a fom of a request may stay in one phase and state before this is a finding.
    type: float
    default: 60.0
  limit:
    description: How many foms to return, 100000 at most. All are counted.
    type: int
    default: 1000
seealso:
  - module: fieldops.runbooks.motr_process_requests
"""

EXAMPLES = r"""
- name: What is the only m0d of this node doing?
  fieldops.runbooks.motr_process_info:
  become: true
  register: live

- name: Which requests run?
  ansible.builtin.debug:
    msg: "{{ live.foms | selectattr('queue', 'eq', 'running') | map(attribute='type') }}"

- name: Which requests have not moved for ten seconds?
  fieldops.runbooks.motr_process_info:
    process: <7200000000000001:1>
    stuck_after: 10
    connections: false
  become: true
"""

RETURN = r"""
process:
  description: The process. Null when there is none.
  returned: success
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
  returned: success
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
  returned: success
  type: str
  sample: running
services:
  description: Its services.
  returned: success
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
localities:
  description: Localities, each with a thread that runs foms, and how many it has.
  returned: success
  type: list
  elements: dict
  sample: [{"index": 0, "foms": 9, "queued": 3, "waiting": 5, "handler": true}]
foms:
  description: Foms, running ones first. At most O(limit), and without internal ones unless O(internal).
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: Where it is in memory.
      type: str
      sample: "0x7fe4ac1fc510"
    service:
      description: Type of the service that it belongs to.
      type: str
      sample: M0_CST_IOS
    type:
      description: What it is, by the name of its phases.
      type: str
      sample: io-fom
    phase:
      description: Its phase.
      type: int
      sample: 33
    phase_name:
      description: Motr's name of the phase.
      type: str
      sample: tx-sync
    state:
      description: Motr's name of its state.
      type: str
      sample: Waiting
    queue:
      description: One of V(queued), V(waiting), V(running).
      type: str
      sample: waiting
    locality:
      description: Index of its locality.
      type: int
      sample: 0
    fop:
      description: The request that it serves, null for an internal one.
      type: str
      sample: write
    transitions:
      description: How many steps it has made.
      type: int
      sample: 12
    internal:
      description: Whether it serves no request.
      type: bool
      sample: false
    age:
      description:
        - Seconds since its phase or state has changed, null where Motr does not keep that.
        - A build of Motr without statistics of states keeps only when the fom was made; it is the age of the fom then.
      type: float
      sample: 0.012
foms_total:
  description: How many foms there are, internal ones included.
  returned: success
  type: dict
  sample: {"queued": 3, "waiting": 5, "running": 1}
internal_foms:
  description: How many of them are internal.
  returned: success
  type: int
  sample: 2
rpc:
  description: RPC machines.
  returned: success
  type: list
  elements: dict
  contains:
    endpoint:
      description: Its own endpoint.
      type: str
      sample: inet:tcp:10.0.0.1@21001
    connections:
      description: Its connections, with their direction, the endpoint of the other side, the service there (of outgoing ones), and their sessions.
      type: list
      elements: dict
      sample:
        - address: "0x7fe4ac1fc510"
          direction: incoming
          peer: inet:tcp:10.0.0.2@21501
          state: 2
          state_name: Active
          service: <0:0>
          sender: false
          sessions: [{"id": "0x1f", "state": 2, "state_name": "Idle", "cancelled": false}]
complete:
  description: Whether all was read. Lists that were being changed when the process was stopped, and time that was up, make it false.
  returned: success
  type: bool
  sample: true
stopped_seconds:
  description: For how long the process stood still, from before gdb attached until it had detached.
  returned: success
  type: float
  sample: 0.0824
total_seconds:
  description: Seconds that gdb took in all, with reading symbols before the process was stopped.
  returned: success
  type: float
  sample: 0.9
findings:
  description: What is so, worst or not.
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
  returned: success
  type: dict
  sample: {"gdb": "13.1", "threads": 34, "attached_seconds": 0.05, "frozen": false}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.9
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "motr_process_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.live.look import GDB, ProcessInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "internal": {"type": "bool", "default": False},
        "connections": {"type": "bool", "default": True},
        "stuck_after": {"type": "float", "default": 60.0},
        "limit": {"type": "int", "default": 1000},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **GDB.merge(OPTIONS).recordable().to_kwargs())
    run_info(module, ProcessInfo, (MotrError,))


if __name__ == "__main__":
    main()
