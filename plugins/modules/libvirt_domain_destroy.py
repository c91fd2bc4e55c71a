#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_domain_destroy
short_description: Destroy virtual machines, all together, and prove that they are gone
version_added: 1.0.0
description:
  - Destroys domains by name, by what they are for, or by a pattern. That is virsh's word for pulling the plug. All are destroyed at the same time, by their
    UUIDs, and each is waited for.
  - Domains in which an image is configured are spared, whatever kind or pattern says. They hold work that nothing else has, so only O(names) destroys them.
  - A domain that will not die is told from the others, which are destroyed all the same. The module fails then, and says which and why.
  - libvirt itself gives up on a process that does not go, and calls its domain destroyed. Where the process is of this node, it is looked whether it is
    really gone.
  - The XML of each domain is kept below the journal's directory before, without passwords, because nothing else is left of a transient domain.
  - Domains that are named and do not run, or are not there, are as they should be.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.libvirt
  - fieldops.runbooks.libvirt.kinds
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  names:
    description:
      - Domains by their whole names, on top of what O(kinds) and O(pattern) say.
      - At least one of O(names), O(kinds) and O(pattern) is needed.
    type: list
    elements: str
    default: []
  kinds:
    description: Domains of these kinds.
    type: list
    elements: str
    choices: [job, other]
    default: []
  pattern:
    description: Domains whose names this regular expression is found in. With O(kinds), only those of these kinds.
    type: str
  timeout:
    description: Seconds in which the domains must be gone. libvirt itself takes up to 80 seconds to give up on a process.
    type: float
    default: 60.0
notes:
  - It cannot be undone. What was in a domain's memory is lost. A persistent domain stays defined and can be started (C(virsh start NAME)), a transient one
    can be made anew of the XML that was kept (C(virsh create FILE)). Talus' slaves make a new one for the next run of a job.
  - A slave that runs starts new machines as long as it has jobs. Stop it first where none may come back.
seealso:
  - module: fieldops.runbooks.libvirt_domain_info
"""

EXAMPLES = r"""
- name: What would be destroyed?
  fieldops.runbooks.libvirt_domain_destroy:
    kinds: [job]
  become: true
  check_mode: true

- name: Destroy all machines of jobs
  fieldops.runbooks.libvirt_domain_destroy:
    kinds: [job]
  become: true

- name: Destroy the machines of one job
  fieldops.runbooks.libvirt_domain_destroy:
    kinds: [job]
    pattern: "^0123456789abcdef01234567_"
  become: true

- name: Destroy a machine in which an image was configured, and that nobody uses any more
  fieldops.runbooks.libvirt_domain_destroy:
    names: [tmpAbCdEf_default]
  become: true
"""

RETURN = r"""
domains:
  description: The domains that are meant and run, after a fix those that still do.
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
      description: Not asked for here, so always empty.
      type: list
      elements: dict
      sample: []
    disks:
      description:
        - Its disks, each with C(target), C(device), C(source), C(format), the files below it (C(backing)),
          and C(missing), which is not asked for here.
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
spared:
  description: Running domains that configure an image, and were not named.
  returned: always
  type: list
  elements: str
  sample: [tmpAbCdEf_default]
survivors:
  description: Domains that would not die, or whose process is still there.
  returned: always
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
      sample: destroy
    subject:
      description: What is changed.
      type: str
      sample: "domain:0123456789abcdef01234567_3.img"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"name": "0123456789abcdef01234567_3.img", "uuid": "6263f433-1883-40c9-aa98-c09ed9cb299b", "kind": "job", "persistent": false, "active": true}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: null
    reason:
      description: Why, in one sentence.
      type: str
      sample: "it is of kind job; it is transient, so it will be gone"
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
      description: Why it was not done.
      type: str
      sample: "it ended by itself meanwhile"
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
  description: Names this run in the journal. M(fieldops.runbooks.runbook_undo) refuses it, because it is final. Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-libvirt_domain_destroy-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "max_changes", "reason": "50 changes are planned, at most 10 are allowed.", "allow": "read the plan, then pass max_changes: 50"}]
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
      sample: libvirt.domain.none_left
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: domains
    summary:
      description: One sentence for a person.
      type: str
      sample: "no domain that is meant runs"
    detail:
      description: The same for a program.
      type: dict
      sample: {"running": 3, "total": 3}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: null
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "talus.rst", "heading": "Virsh"}
evidence:
  description: Where libvirt was asked, and the directory that the XML of the domains was kept in.
  returned: always
  type: dict
  sample: {"uri": "qemu:///system", "xml": "/var/lib/fieldops/runbooks/evidence/20260131T235959-000000001"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 2.1
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.libvirt import LibvirtError
from ..module_utils.libvirt.argspec import CONNECTION, KINDS
from ..module_utils.libvirt.destroy import Destroy
from ..module_utils.libvirt.errors import VirtualError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "names": {"type": "list", "elements": "str", "default": []},
        "kinds": {"type": "list", "elements": "str", "choices": ["job", "other"], "default": []},
        "pattern": {"type": "str"},
        "timeout": {"type": "float", "default": 60.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CONNECTION, KINDS, GUARDS).to_kwargs())
    run_fix(module, Destroy, (LibvirtError, VirtualError))


if __name__ == "__main__":
    main()
