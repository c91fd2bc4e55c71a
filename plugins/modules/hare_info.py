#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hare_info
short_description: Tell the state of a CORTX cluster as Hare has it
version_added: 1.0.0
description:
  - Rebuilds what C(hctl status --devices) shows from Consul alone, so it also answers where C(hctl) is not installed or hangs.
  - Hare keeps two states of each process, the last event in C(processes/), which C(hctl status) goes by, and a state in C(m0conf/nodes/),
    which hax goes by. Where they contradict each other, that is a finding.
  - Tells as well which drives are not online, which nodes are lost for Consul, and how many messages of the broadcast queue each hax has not read.
  - Reads only Hare's own keys, all of them as they were at one moment.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.hare
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  max_backlog:
    description: Messages of the broadcast queue that a hax on a living node may have left unread without a finding.
    type: int
    default: 10
  limit:
    description: Rows that are returned of each of RV(nodes), RV(processes), RV(drives) and RV(status). V(0) sets no limit. RV(totals) counts all.
    type: int
    default: 1000
notes:
  - An answer of Consul that is longer than 64 MiB is not read.
seealso:
  - module: fieldops.runbooks.hare_state
"""

EXAMPLES = r"""
- name: What does Hare say?
  fieldops.runbooks.hare_info:
  register: hare

- name: As hctl status has it
  ansible.builtin.debug:
    msg: "{{ hare.status }}"

- name: Drives that are not online
  ansible.builtin.debug:
    msg: "{{ hare.drives | rejectattr('state', 'in', ['online', 'M0_NC_UNKNOWN']) }}"
"""

RETURN = r"""
status:
  description: The lines that C(hctl status) prints of nodes and processes. C((RC)) marks the recovery coordinator.
  returned: always
  type: list
  elements: str
  sample: ["    ssc-vm-1  (RC)", "    [started]  ioservice           0x7200000000000001:0x13        inet:tcp:192.0.2.7@22002"]
nodes:
  description: Nodes of the configuration.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Hare's name of it.
      type: str
      sample: ssc-vm-1
    fid:
      description: Its fid.
      type: str
      sample: "0x6e00000000000001:0x10"
    health:
      description: What Consul says of it, by the check that Hare goes by. V(offline) where Consul does not know it.
      type: str
      sample: passing
    state:
      description: What Hare says of it in C(m0conf/nodes/).
      type: str
      sample: online
processes:
  description: Processes of the configuration, which C(hctl status) calls services.
  returned: always
  type: list
  elements: dict
  contains:
    fid:
      description: Its fid.
      type: str
      sample: "0x7200000000000001:0x13"
    node:
      description: Name of its node.
      type: str
      sample: ssc-vm-1
    name:
      description: What it is, as C(hctl status) names it.
      type: str
      sample: ioservice
    endpoint:
      description: Its endpoint.
      type: str
      sample: inet:tcp:192.0.2.7@22002
    status:
      description: What C(hctl status) shows, one of V(started), V(offline), V(unknown). Offline whenever its node is not passing.
      type: str
      sample: started
    event:
      description: The last event in C(processes/). Null if it never told of itself.
      type: str
      sample: M0_CONF_HA_PROCESS_DTM_RECOVERED
    type:
      description: The type in the same place.
      type: str
      sample: M0_CONF_HA_PROCESS_M0D
    state:
      description: Its state in C(m0conf/nodes/).
      type: str
      sample: online
    agree:
      description: Whether both can be right. Null without an event.
      type: bool
      sample: true
drives:
  description: Storage devices of the configuration.
  returned: always
  type: list
  elements: dict
  contains:
    fid:
      description: Fid of the drive. Null if the tree of sites has none for this device.
      type: str
      sample: "0x6b00000000000001:0x41"
    sdev:
      description: Fid of the storage device.
      type: str
      sample: "0x6400000000000001:0x31"
    node:
      description: Name of its node.
      type: str
      sample: ssc-vm-1
    service:
      description: Fid of its service.
      type: str
      sample: "0x7300000000000001:0x23"
    path:
      description: The device on the node.
      type: str
      sample: /dev/vda
    state:
      description: Its state in C(m0conf/nodes/), which Hare goes by.
      type: str
      sample: repairing
    site_state:
      description: Its state in C(m0conf/sites/), which Hare leaves at V(M0_NC_UNKNOWN).
      type: str
      sample: M0_NC_UNKNOWN
totals:
  description: Number of nodes, processes, services and drives.
  returned: always
  type: dict
  sample: {"nodes": 2, "processes": 8, "services": 8, "drives": 4}
leader:
  description: Name of the node whose hax is the recovery coordinator.
  returned: always
  type: str
  sample: ssc-vm-1
queue:
  description: The broadcast queue, through which each hax is told what to tell its Motr processes.
  returned: always
  type: dict
  contains:
    epoch:
      description: The counter, which is the number of the last message.
      type: int
      sample: 17
    messages:
      description: Messages in it. Hare removes none until the next bootstrap.
      type: int
      sample: 16
    newest:
      description: Number of the newest message.
      type: int
      sample: 17
    backlog:
      description: Messages that the hax of each node has not read.
      type: dict
      sample: {"ssc-vm-1": 0, "ssc-vm-2": 3}
    unread:
      description: The newest messages that somebody has not read, 10 at most.
      type: list
      elements: dict
      sample: [{"epoch": 17, "timestamp": "2026-01-31 23:59:59.000000", "message_type": "M0_HA_MSG_NVEC",
                "payload": {"node": "ssc-vm-1", "source_type": "drive", "device": "/dev/vda", "state": "failed"}}]
pools:
  description: Names of the data pools by fid.
  returned: always
  type: dict
  sample: {"0x6f00000000000001:0x1": "tier1-nvme"}
profiles:
  description: Profiles by fid.
  returned: always
  type: dict
  sample: {"0x7000000000000001:0x1": {"name": "default", "pools": ["tier1-nvme"]}}
bytecount:
  description: Bytes by the state of what holds them, as Hare last counted them.
  returned: always
  type: dict
  sample: {"healthy": 1048576, "degraded": 0, "critical": 0, "damaged": 0}
findings:
  description: What is so, worst or not.
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
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "hare_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.hare.argspec import CONSUL
from ..module_utils.motr.hare.info import HareInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "max_backlog": {"type": "int", "default": 10},
        "limit": {"type": "int", "default": 1000},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONSUL).recordable().to_kwargs())
    run_info(module, HareInfo, (MotrError,))


if __name__ == "__main__":
    main()
