#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_network
short_description: Have a virtual network defined, active, started at boot, and with its table of static hosts
version_added: 1.0.0
description:
  - Looks at one network and does only what is missing. It defines a network that is not there, starts one that is not active, marks it for autostart, and
    adds static hosts to what is defined and to what is active.
  - Static hosts are added without a restart, so that machines keep their connections. A row that gives another address or name to a MAC is corrected the
    same way. Rows that were not asked for stay.
  - A network that differs in other parts, such as bridge, address or pool, is refused. With O(replace=true) it is defined anew and, where it is active,
    started anew, which is refused while running domains are on it.
  - An active network whose bridge is gone is started anew.
  - Only what is declared is compared. How it should be is said by O(xml), or by O(address) and the options beside it. With neither, a network that is there
    is only started, marked and given its static hosts.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.libvirt
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  name:
    description: Name of the network.
    type: str
    required: true
  xml:
    description: The network as libvirt's XML. It must have the name O(name).
    type: str
  address:
    description: Address of the host in the network, with the length of the prefix, for example V(192.168.123.1/24).
    type: str
  bridge:
    description: Name of the bridge. Without it, libvirt chooses one.
    type: str
  forward:
    description: How the network forwards. Without it, it is a network of its own.
    type: str
    choices: [nat, route, open]
  uuid:
    description: UUID of the network. Without it, libvirt makes one.
    type: str
  dhcp_start:
    description: First address of the pool.
    type: str
  dhcp_end:
    description: Last address of the pool.
    type: str
  static_hosts:
    description: Rows that the table must have, on top of those in O(xml).
    type: list
    elements: dict
    default: []
    suboptions:
      mac:
        description: MAC of the machine.
        type: str
        required: true
      ip:
        description: Address that it gets.
        type: str
        required: true
      name:
        description: Name that it gets.
        type: str
  active:
    description: Whether to start a network that is not active. With V(false), this is left as it is.
    type: bool
    default: true
  autostart:
    description: Whether to mark the network for autostart. With V(false), this is left as it is.
    type: bool
    default: true
  replace:
    description: Whether to define a network anew that differs in other parts than static hosts.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for one answer of libvirt.
    type: float
    default: 30.0
notes:
  - An undo stops a network that the run has started, and is refused while running domains are on it.
seealso:
  - module: fieldops.runbooks.libvirt_network_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What is missing?
  fieldops.runbooks.libvirt_network:
    name: talus-network
    xml: "{{ lookup('ansible.builtin.file', 'talus_network.xml') }}"
  become: true
  check_mode: true
  diff: true

- name: Have the network of the slaves
  fieldops.runbooks.libvirt_network:
    name: talus-network
    xml: "{{ lookup('ansible.builtin.file', 'talus_network.xml') }}"
  become: true

- name: Have a network without XML
  fieldops.runbooks.libvirt_network:
    name: lab
    address: 192.168.140.1/24
    bridge: virbr7
    forward: nat
    dhcp_start: 192.168.140.100
    dhcp_end: 192.168.140.200
    static_hosts:
      - mac: "52:54:00:00:00:02"
        ip: 192.168.140.2
        name: builder
  become: true

- name: Start a network that is down, whatever it looks like
  fieldops.runbooks.libvirt_network:
    name: default
  become: true
"""

RETURN = r"""
network:
  description: The network as it is now; null when there is none.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: talus-network
    uuid:
      description: Its UUID.
      type: str
      sample: 6137498b-f067-4fd7-cf64-69d2714f297b
    persistent:
      description: Whether it is defined. One that is not is gone as soon as it is stopped.
      type: bool
      sample: true
    active:
      description: Whether it is up.
      type: bool
      sample: true
    autostart:
      description: Whether it is started at boot.
      type: bool
      sample: true
    bridge:
      description: Its bridge.
      type: str
      sample: virbr2
    bridge_exists:
      description: Whether the node has this bridge; null while the network is not active.
      type: bool
      sample: true
    forward:
      description: How it forwards; null for a network of its own.
      type: str
      sample: nat
    addresses:
      description: Its addresses with the length of the prefix.
      type: list
      elements: str
      sample: [192.168.123.1/24]
    dhcp_ranges:
      description: Its pools.
      type: list
      elements: str
      sample: [192.168.123.55-192.168.123.254]
    static_hosts:
      description: Its table, each row with C(mac), C(ip), C(name), and whether what is active has it, too (C(live)).
      type: list
      elements: dict
      sample: [{"mac": "00:00:c0:a8:7b:02", "ip": "192.168.123.2", "name": "vm_mac_2", "live": true}]
    leases:
      description: Its leases, each with C(mac), C(address), C(name) and C(expires) (in UTC).
      type: list
      elements: dict
      sample: [{"mac": "00:00:c0:a8:7b:02", "address": "192.168.123.2", "name": "vm_mac_2", "expires": "2026-01-31T23:59:59Z"}]
    domains:
      description: Running domains that are on it.
      type: list
      elements: str
      sample: [0123456789abcdef01234567_3.img]
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
      sample: add_host
    subject:
      description: What is changed.
      type: str
      sample: "network:talus-network/00:00:c0:a8:7b:07"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"kept": null, "live": null}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"kept": "192.168.123.7 vm_mac_7", "live": "192.168.123.7 vm_mac_7"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "what is defined and what is active lack it"
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything. Nothing that has to be accepted here.
      type: str
      sample: ""
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done.
      type: str
      sample: "it was not reached"
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
  sample: 20260131T235959-libvirt_network-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "differs", "reason": "network talus-network is another one: bridge is virbr0 and should be virbr2.", "allow": "replace: true"}]
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
      sample: libvirt.network.healthy
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: talus-network
    summary:
      description: One sentence for a person.
      type: str
      sample: "network talus-network is active, is started at boot, and has what was asked for"
    detail:
      description: The same for a program.
      type: dict
      sample: {"name": "talus-network", "static_hosts": 53}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: null
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "Libvirtd"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"uri": "qemu:///system"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.12
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.libvirt import LibvirtError
from ..module_utils.libvirt.argspec import CONNECTION, HOSTS
from ..module_utils.libvirt.errors import VirtualError
from ..module_utils.libvirt.network import HaveNetwork
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

PARTS = ("address", "bridge", "forward", "uuid", "dhcp_start", "dhcp_end")
OPTIONS = ArgumentSpec(
    {
        "name": {"type": "str", "required": True},
        "xml": {"type": "str"},
        "address": {"type": "str"},
        "bridge": {"type": "str"},
        "forward": {"type": "str", "choices": ["nat", "route", "open"]},
        "uuid": {"type": "str"},
        "dhcp_start": {"type": "str"},
        "dhcp_end": {"type": "str"},
        "active": {"type": "bool", "default": True},
        "autostart": {"type": "bool", "default": True},
        "replace": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 30.0},
    },
    mutually_exclusive=[("xml", part) for part in PARTS],
    required_together=[("dhcp_start", "dhcp_end")],
    required_by=dict.fromkeys(PARTS[1:], ("address",)),
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONNECTION, HOSTS, GUARDS).to_kwargs())
    run_fix(module, HaveNetwork, (LibvirtError, VirtualError))


if __name__ == "__main__":
    main()
