#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hare_state
short_description: Set Hare's state of a process, a service or a drive
version_added: 1.0.0
description:
  - Sets the state of one object in every tree of Consul that Hare keeps it in, each in its own vocabulary, and publishes the event by which every
    hax tells its Motr processes, all in one transaction. Either all of it is done or nothing.
  - Nothing is overwritten that has changed since it was looked at. Where somebody else only publishes at the same time, it is tried again.
  - Where Consul loses its leader, or its answer is lost, the same transaction is sent again for O(timeout) seconds. Consul makes it once at most. Where it
    stays unknown whether it was made, the module fails and says so; running it again is safe.
  - A process has its last event in C(processes/) and a state in C(m0conf/nodes/). A drive has the state of its storage device there, and is set in
    C(m0conf/sites/) as well where somebody has given it a state, which Hare never does.
  - An event cannot be taken back, since hax may have acted on it. The plan says so, and an undo takes back the keys alone when it is told
    to by number. To take back what Motr was told, set the former state with this module.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.hare
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  object:
    description:
      - Fid of a process, of a service or of a drive, in any spelling of Motr or Hare, for example V(0x7200000000000001:0x13),
        V(<7200000000000001:13>) or V(^r|1:0x13).
      - Which of them it is, is told by the fid's type. A drive is named by its own fid (C(0x6b...)) or by that of its storage device (C(0x64...)).
      - What C(hctl status) lists as services are processes.
    type: str
    required: true
  state:
    description:
      - The state that Hare is to have.
      - Of a process and of a service V(online), V(dtm_recovering), V(failed), V(offline), V(stopped) or V(unknown).
      - Of a drive V(online), V(failed), V(offline), V(repair), V(repaired) or V(rebalance). Hare keeps V(repair) as C(repairing) and V(rebalance) as
        C(rebalancing), but drops an event with these words, although the help of C(hctl drive-state) lists them.
    type: str
    required: true
  expected:
    description:
      - Refuse unless the object has this state in C(m0conf/nodes/). In the words of O(state).
      - What Hare has never set has V(M0_NC_UNKNOWN), which is accepted here only.
      - Needed where all of Motr is to be told that something is out of service, since that is not taken back. That is so of V(failed) and V(offline), and of
        a process also of V(stopped) and V(unknown), which have the same event.
    type: str
  publish:
    description:
      - Whether the event is published. Without it, Hare shows the new state, and Motr knows nothing of it.
      - By default it is for processes and drives. Hare has no event for a service.
    type: bool
notes:
  - Where the state is as wanted already, nothing is published either.
  - A process cannot be set V(online) or V(dtm_recovering) while its node is not passing for Consul, as Hare would show it offline all the same.
  - hax goes on watching. A state that is not true of a process will be set back as soon as its systemd unit, or Consul's check of it, changes.
seealso:
  - module: fieldops.runbooks.hare_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: A repair has finished, but Hare has the drive as repairing
  fieldops.runbooks.hare_state:
    object: "0x6b00000000000001:0x41"
    state: repaired
    expected: repair

- name: The process runs and answers, but one of Hare's trees has it as failed
  fieldops.runbooks.hare_state:
    object: "0x7200000000000001:0x13"
    state: online
"""

RETURN = r"""
object:
  description: The object as it is now, or in check mode as it was found.
  returned: always
  type: dict
  contains:
    kind:
      description: One of V(process), V(service), V(drive).
      type: str
      sample: drive
    fid:
      description: Its fid, of a drive that of its storage device.
      type: str
      sample: "0x6400000000000001:0x31"
    node:
      description: Name of its node.
      type: str
      sample: ssc-vm-1
    node_health:
      description: What Consul says of the node.
      type: str
      sample: passing
    state:
      description: Its state in C(m0conf/nodes/).
      type: str
      sample: repaired
    event:
      description: The last event of a process in C(processes/), otherwise null.
      type: str
      sample:
    status:
      description: What C(hctl status) shows of a process, otherwise null.
      type: str
      sample:
    agree:
      description: Whether both trees can be right about a process, otherwise null.
      type: bool
      sample:
    path:
      description: The device of a drive, otherwise null.
      type: str
      sample: /dev/vda
    kv_keys:
      description: Keys that hold its state.
      type: list
      elements: str
      sample: ["m0conf/nodes/0x6e00000000000001:0x10/processes/0x7200000000000001:0x13/services/0x7300000000000001:0x23/sdevs/0x6400000000000001:0x31"]
published:
  description: Number of the event in the broadcast queue. Null when none was published.
  returned: always
  type: int
  sample: 18
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it. At most two changes, the state and its event.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description: What is done, V(set_state) or V(publish).
      type: str
      sample: set_state
    subject:
      description: What is changed.
      type: str
      sample: "drive:0x6400000000000001:0x31"
    before:
      description: The keys that change, with their values as they were; null for an event.
      type: dict
      sample: {"m0conf/nodes/0x6e00000000000001:0x10/processes/0x7200000000000001:0x13/services/0x7300000000000001:0x23/sdevs/0x6400000000000001:0x31":
               {"path": "/dev/vda", "state": "repairing"}}
    after:
      description: The same as they will be; the message of an event.
      type: dict
      sample: {"m0conf/nodes/0x6e00000000000001:0x10/processes/0x7200000000000001:0x13/services/0x7300000000000001:0x23/sdevs/0x6400000000000001:0x31":
               {"path": "/dev/vda", "state": "repaired"}}
    reason:
      description: Why, in one sentence.
      type: str
      sample: repaired is asked for
    reversible:
      description: Whether the change can be undone. An event cannot.
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
      description: Why it was not done.
      type: str
      sample: ""
changes_total:
  description: Number of changes in the plan.
  returned: always
  type: int
  sample: 2
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Takes this run back, with M(fieldops.runbooks.runbook_undo). Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-hare_state-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "expected", "reason": "drive:0x6400000000000001:0x31 is online, not repairing, as was expected.",
            "allow": "look at it again, then ask with expected: the state that it has."}]
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
      sample: hare.process.disagree
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: "0x7200000000000001:0x13"
    summary:
      description: One sentence for a person.
      type: str
      sample: "the two trees of Hare contradict each other about ioservice 0x7200000000000001:0x13 on ssc-vm-1: processes/ says
        M0_CONF_HA_PROCESS_DTM_RECOVERED, m0conf/nodes/ says failed"
    detail:
      description: The same for a program.
      type: dict
      sample: {"node": "ssc-vm-1", "name": "ioservice", "status": "started", "event": "M0_CONF_HA_PROCESS_DTM_RECOVERED", "state": "failed"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: fieldops.runbooks.motr_hare
        vars: {"motr_hare_object": "0x7200000000000001:0x13"}
        text: see whether the process runs and answers, then set the state that is true of it, in both trees at once
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: Where the findings come from.
  returned: always
  type: dict
  sample: {"consul_url": "http://127.0.0.1:8500", "epoch": 17}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.02
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.hare.argspec import CONSUL
from ..module_utils.motr.hare.run import HareState
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "object": {"type": "str", "required": True},
        "state": {"type": "str", "required": True},
        "expected": {"type": "str"},
        "publish": {"type": "bool"},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONSUL, GUARDS).to_kwargs())
    run_fix(module, HareState, (MotrError,))


if __name__ == "__main__":
    main()
