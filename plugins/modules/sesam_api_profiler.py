#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sesam_api_profiler
short_description: Record all API calls of a Sesam node with its profiler, bounded
version_added: 1.0.0
description:
  - The node's own option C(--enable-api-profiler) writes a file for each call of the API into C(api_profiler) of its log folder, and never removes
    one. It stands on the node's command line, which the engine cannot change in a container.
  - So the container is stopped and put aside, and one like it is made with the option. What it was created with is all taken over,
    labels, networks, fixed addresses, ports and volumes without a name as well. When the profiler goes off, the container that was put aside comes back.
  - The folder is a file system in memory of O(max_bytes) meanwhile. The kernel keeps the bound, also when nobody looks, and nothing of
    it comes to the disk. When it is full, further profiles are lost, and the calls themselves may fail, since it is not known what the node does then.
  - The memory counts as the container's. More than a quarter of the container's limit, or half of what the machine has left, is refused.
  - The node is restarted each time, and its start time must be another one.
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
    support: partial
    details:
      - With O(state=recorded), each run records anew.
options:
  state:
    description:
      - V(recorded) switches the profiler on, waits O(duration) seconds, keeps what was recorded, and switches it off again. It ends early at
        O(max_bytes). The file system is a quarter larger, so that it is not full then. If the module is cut off, even killed, another process
        switches it off.
      - V(enabled) leaves it on. V(disabled) keeps what was recorded, and switches it off. Killed while the node is stopped for either, another process
        ends what was begun, with the profiler off.
    type: str
    choices: [recorded, enabled, disabled]
    required: true
  duration:
    description: Seconds to record.
    type: float
    default: 60.0
  max_bytes:
    description: Most that is recorded, in whole pages of memory.
    type: int
    default: 104857600
  dest:
    description:
      - Directory on the managed node to keep what was recorded in. It is made, for its owner only, where it is not there.
      - The default is a new directory for each run in C(evidence) below O(journal_dir), of which the newest 100 are kept.
    type: path
  recreate:
    description:
      - With O(state=disabled), whether to make a container without the option where the option stands in the owner's own command. It lasts until
        the owner makes the container anew, so the compose file must be changed too.
    type: bool
    default: false
  interrupt_pipes:
    description: Whether runs of pipes may be cut off by the restart, or it may happen unknown to anybody because the API does not tell.
    type: bool
    default: false
  sweep:
    description:
      - Whether to move what lies in C(api_profiler) of the log folder on disk, from a time without a bound, to O(dest). A file goes as soon as its
        copy is whole. At most O(max_bytes) are moved in one run; RV(swept.left_out) counts the rest.
      - Nothing is moved while a profiler without a bound writes there.
    type: bool
    default: false
  stop_timeout:
    description: Seconds that the node gets to stop before it is killed.
    type: int
    default: 60
  timeout:
    description: Seconds to wait until the node is up after each restart. If it does not come up with the profiler, the profiler is switched off again.
    type: float
    default: 300.0
  settle:
    description: Seconds for which the node must stay up to count as started.
    type: float
    default: 5.0
notes:
  - Run it as root. The file system in memory is only in the container's own view of its files.
  - O(duration), O(timeout), O(settle) and O(stop_timeout) together must be less than O(lock_expiry).
  - What was put aside has no restart policy, else the engine would start it beside the other one when the engine itself is started. Its
    name tells the policy, and it gets it back.
  - While the profiler is on, two containers have the labels of the compose file's service. Do not run docker compose meanwhile; it may remove
    the one that was put aside. Where that is gone, or older than the image that runs by then, a container is made without the option.
  - A container with C(--rm), with another's network, of an orchestrator, or on which other containers hang is refused.
seealso:
  - module: fieldops.runbooks.sesam_profile
  - module: fieldops.runbooks.sesam_restart
"""

EXAMPLES = r"""
- name: Record two minutes of API calls
  fieldops.runbooks.sesam_api_profiler:
    state: recorded
    duration: 120
    jwt: "{{ vault_sesam_jwt }}"
  become: true
  register: recorded

- name: Where are they?
  ansible.builtin.debug:
    msg: "{{ recorded.recording.folder }}"

- name: On until somebody switches it off, with a bound that holds without us
  fieldops.runbooks.sesam_api_profiler:
    state: enabled
    max_bytes: 268435456
    jwt: "{{ vault_sesam_jwt }}"
  become: true

- name: The profiler is off; take what an earlier one left on disk
  fieldops.runbooks.sesam_api_profiler:
    state: disabled
    sweep: true
    max_bytes: 4294967296
    dest: /srv/profiles
  become: true

- name: Off, whatever there is
  fieldops.runbooks.sesam_api_profiler:
    state: disabled
    interrupt_pipes: true
  become: true
"""

RETURN = r"""
profiler:
  description: The profiler of all calls, as it is now.
  returned: always
  type: dict
  contains:
    state:
      description: V(off), V(on), V(foreign) when the option stands in the owner's own command, or V(half) when a run was cut off.
      type: str
      sample: "on"
    container:
      description: Name of the node's container.
      type: str
      sample: sesam-node
    kept:
      description: The container that was put aside; null when there is none.
      type: str
      sample: sesam-node-fieldops-0123456789ab.always.aside
    max_bytes:
      description: The bound; null when it is not on, or has none.
      type: int
      sample: 104857600
    used:
      description: What the bounded folder holds; null when it is not on, or cannot be looked at.
      type: dict
      sample: {"files": 112, "used": 4587520, "size": 104857600, "complete": true}
    on_disk:
      description: What lies in the folder on disk, from a time without a bound; null when it cannot be looked at.
      type: dict
      sample: {"files": 0, "used": 0, "size": null, "complete": true}
    folder:
      description: The folder, as the node has it.
      type: str
      sample: /sesam/logs/api_profiler
recording:
  description: What was recorded and kept by this run; null when nothing was.
  returned: always
  type: dict
  contains:
    seconds:
      description: How long it was waited.
      type: float
      sample: 120.4
    folder:
      description: The directory on the managed node.
      type: str
      sample: /var/lib/fieldops/runbooks/evidence/20260131T235959-471100815
    files:
      description: The copies. C(whole) is false for a file that was being written.
      type: list
      elements: dict
      sample: [{"path": "/var/lib/x/00000-GET-pipes.pstat", "name": "GET-pipes.pstat", "size": 41230, "whole": true, "mtime": 1769903999.1}]
    stopped:
      description: Why it ended before its time; empty when it did not.
      type: str
      sample: ""
    left_out:
      description: Files that were not kept, since there are more than are kept.
      type: int
      sample: 0
swept:
  description: What was moved away from the disk, as RV(recording) has it; null when nothing was.
  returned: always
  type: dict
  contains:
    folder:
      description: The directory on the managed node.
      type: str
      sample: /var/lib/fieldops/runbooks/evidence/20260131T235959-471100815
    files:
      description: The copies.
      type: list
      elements: dict
      sample: []
    left_out:
      description: Files that are still there.
      type: int
      sample: 0
    seconds:
      description: Always 0.
      type: float
      sample: 0.0
    stopped:
      description: Always empty.
      type: str
      sample: ""
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
      sample: enable
    subject:
      description: What is changed.
      type: str
      sample: "container:sesam-node"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"profiler": false}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"profiler": true, "max_bytes": 104857600}
    reason:
      description: Why, in one sentence.
      type: str
      sample: to record the API calls of the node; it is restarted with --enable-api-profiler
    reversible:
      description: Whether the change can be undone. A finished recording has nothing to be taken back.
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
      sample: "somebody else has switched the profiler off since it was looked at"
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
  sample: 20260131T235959-sesam_api_profiler-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "pipes", "reason": "the node is restarted, which would cut off 1 runs of pipes: crm-0.", "allow": "wait for their end"}]
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
      sample: sesam.profiler.on
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: The container.
      type: str
      sample: sesam-node
    summary:
      description: One sentence for a person.
      type: str
      sample: the profiler of all API calls is on in container sesam-node, with a bound of 104857600 bytes in memory
    detail:
      description: The same for a program.
      type: dict
      sample: {"kept": "sesam-node-fieldops-0123456789ab.always.aside", "bound": 104857600}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "fieldops.runbooks.sesam_api_profiler with state: disabled"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "sesam.rst", "heading": "Profiling all Sesam API calls"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"api_url": "http://localhost:9042/api", "docker_host": "unix:///var/run/docker.sock", "node_start_time": "2026-01-31T23:59:59Z"}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 75.4
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.connect.docker import DockerError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.sesam.argspec import API, CONTAINER
from ..module_utils.sesam.errors import SesamError
from ..module_utils.sesam.profiler import ApiProfiler

OPTIONS = ArgumentSpec(
    {
        "state": {"type": "str", "choices": ["recorded", "enabled", "disabled"], "required": True},
        "duration": {"type": "float", "default": 60.0},
        "max_bytes": {"type": "int", "default": 104857600},
        "dest": {"type": "path"},
        "recreate": {"type": "bool", "default": False},
        "interrupt_pipes": {"type": "bool", "default": False},
        "sweep": {"type": "bool", "default": False},
        "stop_timeout": {"type": "int", "default": 60},
        "timeout": {"type": "float", "default": 300.0},
        "settle": {"type": "float", "default": 5.0},
    }
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **API.merge(CONTAINER, OPTIONS, GUARDS).to_kwargs())
    run_fix(module, ApiProfiler, (SesamError, DockerError))


if __name__ == "__main__":
    main()
