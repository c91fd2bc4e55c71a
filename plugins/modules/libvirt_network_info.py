#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_network_info
short_description: List virtual networks and tell what is wrong with them
version_added: 1.0.0
description:
  - Lists the networks of a hypervisor with their tables of static hosts, their leases, and the running domains that are on them.
  - Of networks that are named it says whether they are defined, active, started at boot, and have their bridge; with O(xml) or O(static_hosts) also
    whether they are what they should be, in what is defined and in what is active.
  - Reads over libvirt's read-only socket, and changes nothing.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.libvirt
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  name:
    description: Networks that must be there and up. Without it, all are listed, and only those that contradict themselves are findings.
    type: list
    elements: str
    default: []
  xml:
    description: The one network of O(name) as it should be. Only what it declares is compared.
    type: str
  static_hosts:
    description: Rows that the table of the one network of O(name) must have.
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
  timeout:
    description: Seconds to wait for one answer of libvirt.
    type: float
    default: 30.0
seealso:
  - module: fieldops.runbooks.libvirt_network
  - module: fieldops.runbooks.libvirt_domain_info
"""

EXAMPLES = r"""
- name: Is the network of the slaves up?
  fieldops.runbooks.libvirt_network_info:
    name: [talus-network]
  become: true

- name: And has it these rows of its table?
  fieldops.runbooks.libvirt_network_info:
    name: [talus-network]
    static_hosts:
      - mac: "00:00:c0:a8:7b:02"
        ip: 192.168.123.2
        name: vm_mac_2
      - mac: "00:00:c0:a8:7b:03"
        ip: 192.168.123.3
  become: true
"""

RETURN = r"""
networks:
  description: The networks that were named, or all.
  returned: always
  type: list
  elements: dict
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
findings:
  description: What is so, worst or not.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: libvirt.network.inactive
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: talus-network
    summary:
      description: One sentence for a person.
      type: str
      sample: "network talus-network is defined and not active: machines that need it do not start"
    detail:
      description: The same for a program.
      type: dict
      sample: {"name": "talus-network", "autostart": true}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.talus_libvirt", "vars": {"talus_repair": true}, "text": "have the network as it should be"}
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
  sample: 0.05
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "libvirt_network_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.libvirt import LibvirtError
from ..module_utils.libvirt.argspec import CONNECTION, HOSTS
from ..module_utils.libvirt.errors import VirtualError
from ..module_utils.libvirt.network_info import NetworkInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "name": {"type": "list", "elements": "str", "default": []},
        "xml": {"type": "str"},
        "timeout": {"type": "float", "default": 30.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONNECTION, HOSTS).recordable().to_kwargs())
    run_info(module, NetworkInfo, (LibvirtError, VirtualError))


if __name__ == "__main__":
    main()
