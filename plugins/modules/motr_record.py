#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_record
short_description: Write or remove one record of an index of Motr, compared before and read back after
version_added: 1.0.0
description:
  - Reads a record, compares it with what is expected to be there, writes it with C(m0kv), and reads it back. The write is one transaction of Motr.
  - A record that exists is refused to be replaced or removed unless O(expected) or O(expected_sha256) is what is there.
  - Motr has no compare-and-set. A writer who comes between the last look and the write, some seconds, is overwritten; the plan says so. What that
    writer does after the write is seen, because the record is read back.
  - The old value is kept whole beside the journal, readable by its owner only, and an undo puts it back if nobody changed the record since.
  - Results show at most O(shown_bytes) of a value. Values are given to m0kv in files, since everybody on the node sees arguments.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.motr
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
attributes:
  idempotent:
    support: full
options:
  index:
    description: Fid of the index, in any spelling. Its type is that of an index (C(x)), also where the spelling leaves it out.
    type: str
    required: true
  key:
    description: Key of the record.
    type: str
    required: true
  key_format:
    description: How O(key) is spelt.
    type: str
    choices: [text, hex, base64]
    default: text
  state:
    description: Whether the record is there.
    type: str
    choices: [present, absent]
    default: present
  value:
    description:
      - The value that the record is to have. Required with O(state=present).
      - Ansible logs it. Where it is a secret, set C(no_log) on the task.
    type: str
  value_format:
    description: How O(value) and O(expected) are spelt.
    type: str
    choices: [text, hex, base64]
    default: text
  expected:
    description: The value that is expected to be there now. Without it, none is expected.
    type: str
  expected_sha256:
    description: The same by its hash, as RV(record.sha256) tells it.
    type: str
  shown_bytes:
    description: How many bytes of a value results and the journal may show. V(0) shows none.
    type: int
    default: 1024
notes:
  - Run it once in check mode first. RV(changes[].before) is what is there.
  - The bytes are written as they are. Nothing checks that they are what s3server, RGW or Motr can read.
seealso:
  - module: fieldops.runbooks.motr_object_info
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
# First with --check, and value as it is wanted: evidence and changes show what is there. What was read and judged is then the expected_sha256 of the run
# that writes; a comparison with what the same run has just read would compare nothing.
- name: Replace the value that was looked at, and no other
  fieldops.runbooks.motr_record:
    index: "<7800000000000000:100002>"
    key: 12345/backups
    value: "{{ lookup('ansible.builtin.file', 'backups.json') }}"
    expected_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    endpoint: inet:tcp:192.168.1.1@22501
    ha_endpoint: inet:tcp:192.168.1.1@22001
    profile: "0x7000000000000001:0x5b"
    process: "0x7200000000000001:0x25"
  become: true

- name: Remove a record
  fieldops.runbooks.motr_record:
    index: "<7800000000000000:100002>"
    key: 12345/backups
    state: absent
    expected: "{}"
    endpoint: inet:tcp:192.168.1.1@22501
    ha_endpoint: inet:tcp:192.168.1.1@22001
    profile: "0x7000000000000001:0x5b"
    process: "0x7200000000000001:0x25"
  become: true
"""

RETURN = r"""
record:
  description: The record as it is now; in check mode, as it is before the change.
  returned: always
  type: dict
  contains:
    index:
      description: Fid of the index.
      type: str
      sample: "<7800000000000000:100002>"
    key:
      description: The key; in hexadecimal after C(0x) where it is no plain text.
      type: str
      sample: 12345/backups
    exists:
      description: Whether it is there. The following are left out where it is not.
      type: bool
      sample: true
    bytes:
      description: Length of its value.
      type: int
      sample: 4
    sha256:
      description: Hash of its value.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    value:
      description: The beginning of its value, as O(shown_bytes) allows. Null where nothing may be shown.
      type: str
      sample: test
    encoding:
      description: How C(value) is spelt, V(text) or V(base64).
      type: str
      sample: text
    truncated:
      description: Whether the value is longer than what is shown.
      type: bool
      sample: false
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
      description: What is done, one of V(replace), V(create), V(delete).
      type: str
      sample: replace
    subject:
      description: What is changed.
      type: str
      sample: "record 12345/backups of index <7800000000000000:100002>"
    before:
      description: The value as it was, as in RV(record); null if there was none.
      type: dict
      sample: {"bytes": 4, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "value": "test", "encoding": "text"}
    after:
      description: The value as it will be; null if there will be none.
      type: dict
      sample: {"bytes": 4, "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "value": "test", "encoding": "text"}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "it is asked for; Motr has no compare-and-set: a writer who comes between the last look and the write is overwritten"
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
      description: Why it was not done, if things changed between plan and change.
      type: str
      sample: "the record was changed since it was looked at: left alone"
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
  sample: 20260131T235959-motr_record-0123abcd
refusals:
  description: Every guard that refused, why, and what would allow the plan. Nothing was changed.
  returned: when a guard refused
  type: list
  elements: dict
  sample: [{"guard": "expected", "reason": "the record is not what was expected: there is none.", "allow": "give what is there now as expected."}]
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
      sample: motr.record.as_asked
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: "record 12345/backups of index <7800000000000000:100002>"
    summary:
      description: One sentence for a person.
      type: str
      sample: "record 12345/backups of index <7800000000000000:100002> is as asked"
    detail:
      description: The same for a program.
      type: dict
      sample: {"index": "<7800000000000000:100002>", "key": "12345/backups"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: {"playbook": null, "vars": {}, "text": "run motr_record without check mode"}
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: Nothing beyond RV(record).
  returned: always
  type: dict
  sample: {}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 1.318
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.client.options import CLIENT
from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.record import Record
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

FORMATS = ["text", "hex", "base64"]
OPTIONS = ArgumentSpec(
    {
        "index": {"type": "str", "required": True},
        "key": {"type": "str", "required": True, "no_log": False},
        "key_format": {"type": "str", "choices": FORMATS, "default": "text", "no_log": False},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "value": {"type": "str"},
        "value_format": {"type": "str", "choices": FORMATS, "default": "text"},
        "expected": {"type": "str"},
        "expected_sha256": {"type": "str"},
        "shown_bytes": {"type": "int", "default": 1024},
    },
    mutually_exclusive=[("expected", "expected_sha256")],
    required_if=[("state", "present", ("value",))],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CLIENT, GUARDS).to_kwargs())
    run_fix(module, Record, (MotrError,))


if __name__ == "__main__":
    main()
