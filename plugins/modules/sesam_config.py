#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sesam_config
short_description: Upload a full configuration to a Sesam node, with its scheduler off
version_added: 1.0.0
description:
  - An upload replaces a whole group of the node's configuration. What it lacks is deleted, which is refused here unless it is named (O(delete)).
  - The plan, in check mode too, is entity by entity what is added, replaced and removed, with the keys that differ (RV(entities)).
  - The scheduler is turned off in what is uploaded (O(scheduler)), so that no pipe of it starts before somebody has looked. That is merged into the
    metadata of the upload or, where it has none, into the node's own, which are kept.
  - What was there is saved whole before anything is uploaded (RV(saved)). The configuration is read again right before the upload, which is not
    made when somebody else has changed it.
  - The node applies all of it or nothing. After it, the module waits until no pipe is being deployed or removed, and compares what is there with what was sent.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.sesam
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  src:
    description:
      - A file on the managed node with the configuration, a JSON array of entities or a zip archive of C(*.conf.json) files as the node itself gives it.
      - JSON in which a key is there twice in one object is refused, since one of the values would be lost.
    type: path
  entities:
    description:
      - The configuration itself. Ansible prints what a task is given, so an entity that seems to hold a credential in clear is refused here.
      - Exactly one of O(src) and O(entities) is required.
    type: list
    elements: dict
  group:
    description: The config group that is replaced. The node's metadata belong to V(default).
    type: str
    default: default
  scheduler:
    description:
      - V(disabled) turns the scheduler off with the upload. For another group than V(default) it must be off already.
      - V(as_uploaded) leaves it as the upload has it, or as it is where the upload has no metadata. Pipes may then run at once.
    type: str
    choices: [disabled, as_uploaded]
    default: disabled
  key:
    description: The key below C(task_manager) with which the scheduler is turned off, as in M(fieldops.runbooks.sesam_scheduler).
    type: str
    choices: [disable_pump_scheduler, disable_user_pipes]
    default: disable_pump_scheduler
  delete:
    description:
      - Ids of entities that the node has and the upload does not, and that are to be deleted.
      - V(all), alone, stands for every one of them. It is a loss that O(accept_data_loss) must name with its count and its ids.
    type: list
    elements: str
    default: []
  accept_invalid:
    description:
      - Have the node take a configuration in which it finds errors (its C(force=true)). Entities with errors do not work then, and
        the node's circuit breaker against changing too much at once is overridden as well.
    type: bool
    default: false
  max_size:
    description: Bytes that the configuration may have, that of the node and that of the upload, unpacked.
    type: int
    default: 67108864
  timeout:
    description: Seconds to wait until no pipe is being deployed or removed.
    type: float
    default: 300.0
notes:
  - What the node would say of a configuration is known only once it has been sent. Check mode does not send it.
  - The journal and the result hold fingerprints of entities, and no values that look like credentials. What is saved is the configuration itself,
    with whatever it holds, compressed and readable for its owner only. It is removed with the run's journal.
  - An undo puts back entities, not what the node kept for a pipe that was deleted, such as where it had read to.
  - More changes than O(max_changes) are refused, which a first upload of a large configuration exceeds.
  - A large configuration takes its time. O(request_timeout) limits the upload as well.
  - "For an undo, M(fieldops.runbooks.runbook_undo) needs the token again, as O(jwt)."
seealso:
  - module: fieldops.runbooks.sesam_scheduler
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
- name: What would be changed?
  fieldops.runbooks.sesam_config:
    src: /srv/sesam/config.zip
    jwt: "{{ vault_sesam_jwt }}"
  check_mode: true
  register: plan

- name: Upload just that, with the scheduler off, and without two pipes of before
  fieldops.runbooks.sesam_config:
    src: /srv/sesam/config.zip
    delete: [crm-person, crm-company]
    jwt: "{{ vault_sesam_jwt }}"

- name: A group of one's own, while the scheduler is off
  fieldops.runbooks.sesam_config:
    group: experiments
    entities:
      - _id: experiment-1
        type: pipe
        source: {type: dataset, dataset: crm-person}
    jwt: "{{ vault_sesam_jwt }}"
"""

RETURN = r"""
upload:
  description: The upload in numbers. It includes the node's metadata, where they were added to it.
  returned: always
  type: dict
  sample: {"group": "default", "entities": 412, "unchanged": 408, "added": 1, "changed": 3, "removed": 0}
entities:
  description: What the upload changes, by id; at most 1000.
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Its C(_id).
      type: str
      sample: crm-person
    type:
      description: Its type.
      type: str
      sample: pipe
    action:
      description: V(add), V(replace) or V(remove).
      type: str
      sample: replace
    differences:
      description: Keys that differ, at most 50, with their values before and after. What looks like a credential is stars, what is long is cut.
      type: list
      elements: dict
      sample: [{"key": "pump.schedule_interval", "before": 30, "after": 3600}]
lacking:
  description: Ids that the node had and the upload has not.
  returned: always
  type: list
  elements: str
  sample: []
validation_errors:
  description: What the node said of the upload. At most 100.
  returned: always
  type: list
  elements: dict
  sample: [{"id": "crm-person", "level": "warning", "message": "The system 'crm' does not exist.", "elements": ["source", "system"]}]
saved:
  description: The file on the node with the configuration as it was, a JSON array compressed with gzip. Null when nothing was uploaded.
  returned: always
  type: str
  sample: /var/lib/fieldops/runbooks/sesam/0123456789abcdef.gz
scheduler:
  description: Whether the metadata turn the scheduler off now, V(disabled) or V(enabled).
  returned: always
  type: str
  sample: disabled
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
      description: What is done to the subject, one of V(add), V(replace), V(remove).
      type: str
      sample: replace
    subject:
      description: What is changed.
      type: str
      sample: "entity:crm-person"
    before:
      description: The entity as it was, by a fingerprint of it; null if it did not exist.
      type: dict
      sample: {"type": "pipe", "fingerprint": "8d969eef6ecad3c29a3a629280e686cf"}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"type": "pipe", "fingerprint": "481f6cc0511143ccdd7e2d1b1b94faf0"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "these keys differ: pump.schedule_interval"
    reversible:
      description: Whether the change can be undone.
      type: bool
      sample: true
    data_loss:
      description: What would be lost, if anything.
      type: str
      sample: "2 entities of the configuration, and what the node keeps for them: crm-company, crm-person"
    done:
      description: Whether it was done. Always false in check mode.
      type: bool
      sample: true
    note:
      description: Why it was not done, if the subject changed between plan and change.
      type: str
      sample: "the configuration was changed by somebody else since it was looked at: nothing was uploaded"
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
  sample: 20260131T235959-sesam_config-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "delete", "reason": "an upload replaces the whole group, and this one lacks 1 of the 412 entities that the node has.",
           "allow": "put them into the upload; or name them: delete."}]
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
      sample: sesam.config.scheduler_off
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: info
    subject:
      description: What it is about.
      type: str
      sample: node
    summary:
      description: One sentence for a person.
      type: str
      sample: "the scheduler is off (task_manager.disable_pump_scheduler): no pipe starts by itself"
    detail:
      description: The same for a program.
      type: dict
      sample: {"stopped_by": ["disable_pump_scheduler"]}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook: fieldops.runbooks.sesam_scheduler
        vars: {"sesam_scheduler_state": "enabled"}
        text: turn it on when the work is over
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "sesam.rst", "heading": "Upload a full node-config with a node metadata entity"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"api_url": "http://localhost:9042/api", "group": "default", "entities_before": 411, "deploying": []}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 12.4
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix
from ..module_utils.sesam.argspec import API
from ..module_utils.sesam.config import ConfigUpload
from ..module_utils.sesam.errors import SesamError

OPTIONS = ArgumentSpec(
    {
        "src": {"type": "path"},
        "entities": {"type": "list", "elements": "dict"},
        "group": {"type": "str", "default": "default"},
        "scheduler": {"type": "str", "choices": ["disabled", "as_uploaded"], "default": "disabled"},
        "key": {"type": "str", "choices": ["disable_pump_scheduler", "disable_user_pipes"], "default": "disable_pump_scheduler", "no_log": False},
        "delete": {"type": "list", "elements": "str", "default": []},
        "accept_invalid": {"type": "bool", "default": False},
        "max_size": {"type": "int", "default": 64 * 1024 * 1024},
        "timeout": {"type": "float", "default": 300.0},
    },
    mutually_exclusive=[("src", "entities")],
    required_one_of=[("src", "entities")],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **API.merge(OPTIONS, GUARDS).to_kwargs())
    run_fix(module, ConfigUpload, (SesamError,))


if __name__ == "__main__":
    main()
