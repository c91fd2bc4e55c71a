#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_domain_info
short_description: List virtual machines with what a person looks for
version_added: 1.0.0
description:
  - Lists all domains of a hypervisor with their state, what they are for, VNC display, MACs, addresses and disks, in one call.
  - Tells by its name what a domain is for. The machine of a Talus job is transient and belongs to the slave; one in which an image is configured holds
    work that nothing else has. The patterns are options, for other users of libvirt than Talus.
  - Says what is wrong with them, that is, those that are paused or have crashed, those whose disk is gone, and those that share a MAC.
  - Reads over libvirt's read-only socket, and changes nothing.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.record
  - fieldops.runbooks.libvirt
  - fieldops.runbooks.libvirt.kinds
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  name:
    description: Only domains of these names. Without it, all.
    type: list
    elements: str
    default: []
  kinds:
    description: Only domains of these kinds. Without it, all.
    type: list
    elements: str
    choices: [job, configuration, other]
    default: []
  agent:
    description:
      - Whether to ask the guest agents for addresses as well, where one is connected.
      - It needs the right to change domains, and waits up to O(timeout) seconds for each guest.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for one answer of libvirt.
    type: float
    default: 30.0
notes:
  - Files of disks and processes are looked at where libvirt is of this node. Files are looked for as the user who runs the module sees them.
  - A domain that neither has a lease nor was seen in the ARP table is shown with the address that its network's table promises it.
seealso:
  - module: fieldops.runbooks.libvirt_domain_destroy
  - module: fieldops.runbooks.libvirt_network_info
"""

EXAMPLES = r"""
- name: Which machines are there?
  fieldops.runbooks.libvirt_domain_info:
  become: true
  register: machines

- name: Where are the displays of those that run jobs?
  ansible.builtin.debug:
    msg: "{{ machines.domains | selectattr('kind', 'equalto', 'job') | map(attribute='vnc.display') | list }}"

- name: Machines of another user of libvirt
  fieldops.runbooks.libvirt_domain_info:
    job_pattern: "^ci-"
    configuration_pattern: "^golden-"
    agent: true
  become: true
"""

RETURN = r"""
domains:
  description: The domains, by name.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: 0123456789abcdef01234567_3.img
    uuid:
      description: Its UUID.
      type: str
      sample: 6263f433-1883-40c9-aa98-c09ed9cb299b
    kind:
      description: V(job), V(configuration) or V(other), by its name.
      type: str
      sample: job
    id:
      description: Its number while it runs; null while it does not.
      type: int
      sample: 12
    active:
      description: Whether it runs, or is paused.
      type: bool
      sample: true
    state:
      description: State in virsh's words.
      type: str
      sample: running
    reason:
      description: Why it is paused; null when it is not.
      type: str
      sample: by an I/O error of its disk
    persistent:
      description: Whether it stays defined when it ends. A transient one is gone then.
      type: bool
      sample: false
    autostart:
      description: Whether it is started at boot.
      type: bool
      sample: false
    vnc:
      description: Its VNC display, with C(port), C(listen), C(socket) and C(display) as a viewer takes it; null when it has none.
      type: dict
      sample: {"port": 5908, "listen": "0.0.0.0", "socket": null, "display": "0.0.0.0:8"}
    interfaces:
      description: Its network interfaces, each with C(mac), C(type), C(source) (a network or a bridge) and C(target) (the interface of the host).
      type: list
      elements: dict
      sample: [{"mac": "00:00:c0:a8:7b:05", "type": "network", "source": "talus-network", "target": "vnet3"}]
    macs:
      description: The MACs of its interfaces.
      type: list
      elements: str
      sample: ["00:00:c0:a8:7b:05"]
    ips:
      description:
        - Its addresses, each with the MAC, a name where one is known, and the source. V(lease) is a lease of a network, V(agent) is what the guest says,
          V(arp) is the ARP table of the host, and V(table) is only what the network's table of static hosts promises.
      type: list
      elements: dict
      sample: [{"address": "192.168.123.5", "mac": "00:00:c0:a8:7b:05", "source": "lease", "name": "vm_mac_5"}]
    disks:
      description:
        - Its disks, each with C(target), C(device), C(source), C(format), the files below it (C(backing)),
          and C(missing), those of all these files that are not there.
      type: list
      elements: dict
      sample:
        - target: vda
          device: disk
          source: /var/lib/libvirt/images/0123456789abcdef01234567_3.img
          format: qcow2
          backing: [/var/lib/libvirt/images/89abcdef0123456789abcdef_vagrant_box_image_0.img]
          missing: []
    pid:
      description: Its process; null where that is not of this node or cannot be told.
      type: int
      sample: 4711
    since:
      description: When its process was started, in UTC.
      type: str
      sample: "2026-01-31T23:59:59Z"
counts:
  description: Numbers of domains by kind, of those that run, and of all.
  returned: always
  type: dict
  sample: {"job": 27, "configuration": 3, "other": 0, "running": 30, "total": 30}
findings:
  description: What is so, worst or not.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: libvirt.domain.disk_missing
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: 0123456789abcdef01234567_3.img
    summary:
      description: One sentence for a person.
      type: str
      sample: "a disk file of domain 0123456789abcdef01234567_3.img is not there: /var/lib/libvirt/images/0123456789abcdef01234567_3.img"
    detail:
      description: The same for a program.
      type: dict
      sample: {"name": "0123456789abcdef01234567_3.img", "kind": "job", "missing": ["/var/lib/libvirt/images/0123456789abcdef01234567_3.img"]}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": "fieldops.runbooks.talus_domains", "vars": {"talus_domains": ["0123456789abcdef01234567_3.img"]}, "text": "destroy it"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "Virsh"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"uri": "qemu:///system", "versions": {"libvirt": "9.0.0", "library": "9.0.0"}, "missing": {}}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.24
record:
  description: What was read, without secrets, for O(replay).
  returned: when O(record)
  type: dict
  sample: {"version": 1, "check": "libvirt_domain_info", "state": {}, "judged_by": {}}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.libvirt import LibvirtError
from ..module_utils.libvirt.argspec import CONNECTION, KINDS
from ..module_utils.libvirt.domain_info import DomainInfo
from ..module_utils.libvirt.errors import VirtualError
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "name": {"type": "list", "elements": "str", "default": []},
        "kinds": {"type": "list", "elements": "str", "choices": ["job", "configuration", "other"], "default": []},
        "agent": {"type": "bool", "default": False},
        "timeout": {"type": "float", "default": 30.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONNECTION, KINDS).recordable().to_kwargs())
    run_info(module, DomainInfo, (LibvirtError, VirtualError))


if __name__ == "__main__":
    main()
