#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_connection_reset
short_description: Reset the connection between one client and one server of Motr
version_added: 1.0.0
description:
  - With O(method=ha) the client is told that the server's process is transient, and then that it is online. It cancels every session to that server, and
    opens new ones. C(m0hagen) makes the messages and C(m0ham) delivers them to this client only, so nobody else takes the server for transient.
  - With O(method=tcp) the kernel of this node ends the TCP connections between the two endpoints, each by its four numbers. Both sides connect again.
  - With O(server_endpoint) the connections of this node before and after are the evidence.
  - A reset cannot be taken back, and the plan says so. Requests that were under way are sent again by Motr.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.motr
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: partial
    details:
      - Each run resets again. With O(method=tcp) and O(connections) only those are ended, and once they are gone there is nothing left to do.
options:
  client_endpoint:
    description:
      - Endpoint of the client, as C(hctl status) shows it.
      - Addresses of libfab and sock (V(inet:tcp:192.168.1.2@22501)), those of LNet (V(192.168.1.2@tcp:12345:4:1)), and with O(method=tcp)
        also plain ones (V(192.168.1.2:22501)).
    type: str
    required: true
  server_process:
    description: Fid of the server's process, in any spelling. Required with O(method=ha). A note of a service would reset nothing.
    type: str
  server_endpoint:
    description: Endpoint of the server. Required with O(method=tcp).
    type: str
  method:
    description:
      - How to reset. V(ha) works with every transport and from every node of the cluster.
      - V(tcp) works on a node that has one end of the connection, for transports that use TCP sockets of the node, as root, and with a kernel that
        was built with C(CONFIG_INET_DIAG_DESTROY). What the kernel refuses is told.
    type: str
    choices: [ha, tcp]
    default: ha
  client_pid:
    description:
      - Process of the client on this node. Only connections that it holds are looked at.
      - It tells clients apart that have the same address, because a connection leaves from any port.
    type: int
  connections:
    description:
      - With O(method=tcp), end only these, as RV(connections[].connection) names them. By default all of them.
    type: list
    elements: str
    default: []
  pause:
    description: With O(method=ha), seconds between transient and online, 60 at most. The client is cut off from the server for as long.
    type: float
    default: 1.0
notes:
  - With O(method=ha) the client holds the server for online afterwards, whatever Hare says. It is not for a server that is down.
  - With O(method=tcp) connections of several processes are refused unless O(client_pid) or O(connections) tells which are meant.
  - With O(method=ha), O(endpoint) is that of the tool, and another one than O(client_endpoint).
  - If the module is killed between the two messages, the client goes on taking the server for transient. Run it again.
seealso:
  - module: fieldops.runbooks.motr_process_info
"""

EXAMPLES = r"""
- name: A client that no longer gets answers from one server
  fieldops.runbooks.motr_connection_reset:
    client_endpoint: inet:tcp:192.168.1.2@22501
    server_process: "0x7200000000000001:0x29"
    server_endpoint: inet:tcp:192.168.1.1@21002
    endpoint: inet:tcp:192.168.1.2@22502
  become: true

- name: By the kernel, on the client's node
  fieldops.runbooks.motr_connection_reset:
    method: tcp
    client_endpoint: inet:tcp:192.168.1.2@22501
    server_endpoint: inet:tcp:192.168.1.1@21002
  become: true
"""

RETURN = r"""
connections:
  description: TCP connections of this node between the two endpoints, as they are now. Null where O(server_endpoint) was not given.
  returned: always
  type: list
  elements: dict
  contains:
    connection:
      description: Both ends, that of this node first.
      type: str
      sample: 192.168.1.2:40112-192.168.1.1:21002
    pids:
      description: Processes of this node that hold it, where that may be seen.
      type: list
      elements: int
      sample: [4711]
    program:
      description: Name of the first of them.
      type: str
      sample: radosgw
changed:
  description: Whether anything was changed; in check mode, whether anything would be.
  returned: always
  type: bool
  sample: true
changes:
  description: The plan, and what became of it.
  returned: always
  type: list
  elements: dict
  contains:
    n:
      description: Number of the change within the run, as M(fieldops.runbooks.runbook_undo) takes it.
      type: int
      sample: 0
    action:
      description: What is done, V(reset).
      type: str
      sample: reset
    subject:
      description: What is changed.
      type: str
      sample: "connection 192.168.1.2:40112-192.168.1.1:21002"
    before:
      description: How it was.
      type: dict
      sample: {"established": true}
    after:
      description: How it will be.
      type: dict
      sample: {"established": false}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "both ends connect again by themselves"
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: false
    data_loss:
      description: What would be lost, if anything. Nothing that has to be accepted here.
      type: str
      sample: ""
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if things changed between plan and change.
      type: str
      sample: "it had ended by itself"
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
  description: Names this run in the journal. A reset cannot be taken back. Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-motr_connection_reset-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "cooldown", "reason": "the same fix was run on 1 of these subjects 60 s ago: it does not hold.", "allow": "find out why it came back."}]
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
  description: What is so; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: motr.connection.told
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: What it is about.
      type: str
      sample: inet:tcp:192.168.1.2@22501
    summary:
      description: One sentence for a person.
      type: str
      sample: "inet:tcp:192.168.1.2@22501 was told that <7200000000000001:29> is transient and online"
    detail:
      description: The same for a program.
      type: dict
      sample: {"server": "<7200000000000001:29>"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: The connections before the reset, and after it. Null where they were not looked at.
  returned: always
  type: dict
  contains:
    before:
      description: As RV(connections).
      type: list
      elements: dict
      sample: [{"connection": "192.168.1.2:40112-192.168.1.1:21002", "pids": [4711], "program": "radosgw"}]
    after:
      description: As RV(connections). Null in check mode.
      type: list
      elements: dict
      sample: []
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 1.318
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.client.options import CLIENT
from ..module_utils.motr.connection_reset import ConnectionReset
from ..module_utils.motr.errors import MotrError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "client_endpoint": {"type": "str", "required": True},
        "server_process": {"type": "str"},
        "server_endpoint": {"type": "str"},
        "method": {"type": "str", "choices": ["ha", "tcp"], "default": "ha"},
        "client_pid": {"type": "int"},
        "connections": {"type": "list", "elements": "str", "default": []},
        "pause": {"type": "float", "default": 1.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CLIENT, GUARDS).to_kwargs())
    run_fix(module, ConnectionReset, (MotrError,))


if __name__ == "__main__":
    main()
