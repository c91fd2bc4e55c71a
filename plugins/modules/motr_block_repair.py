#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_block_repair
short_description: Repair a parity group of an object of Motr from what is left of it
version_added: 1.0.0
description:
  - Takes all data and parity units of one group as they are on their devices, which M(fieldops.runbooks.motr_cob_read) reads, tells which of them are
    wrong, makes them anew from the others, and has Motr's client write the whole group. Afterwards the client reads it back and verifies the parity.
  - With K parity units up to K / 2 wrong units are found, and K that are named in O(wrong) or could not be read are replaced. With one parity unit
    nothing is found, so that the wrong unit has to be named.
  - Where a unit is named and no other unit is left to confirm it, a mistake would replace a good unit by one that fits the bad one. Such a repair counts
    as a loss of data, and O(accept_data_loss) has to list it.
  - The units that were given have to be what the client reads now, and again right before the write. Where the object was written meanwhile nothing is
    changed. Motr has no compare-and-write; what others write into the group during the write itself, a second or more, is lost. Stop the writers first.
  - All units as they were, and those that were made anew, are kept in a file each below the journal's directory, until somebody removes them.
    M(fieldops.runbooks.runbook_undo) puts data units back as they were, by another write of the whole group; parity units follow the data.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.fix
  - fieldops.runbooks.motr
  - fieldops.runbooks.guards
  - fieldops.runbooks.guards.limits
attributes:
  idempotent:
    support: full
options:
  object:
    description:
      - The object, by its id as clients have it, its global fid, or the fid of one of its cobs, for example V(1234567:89abcdef).
    type: str
    required: true
  layout_id:
    description: The object's layout id, 1 to 14, which tells the size of its units. It is in the metadata of objects of S3 and RGW.
    type: int
    required: true
  conf:
    description:
      - File with the cluster's configuration on the node, as C(conf.xc) or as the line that C(spiel.confstr) gives.
      - One of O(conf) and O(conf_text) is required.
    type: path
  conf_text:
    description: The same as text.
    type: str
  pool_version:
    description:
      - Fid of the pool version that the object was written in. By default the only one that the configuration has for data.
    type: str
  group:
    description: Number of the group, from 0. M(fieldops.runbooks.motr_layout_info) tells that of any byte.
    type: int
    required: true
  units:
    description:
      - The units of the group as they are on their devices, each in a file on the node. One that is not listed counts as lost.
      - One of O(units) and O(units_dir) is required.
    type: list
    elements: dict
    suboptions:
      unit:
        description: Its number, data units from 0, parity units behind them.
        type: int
        required: true
      path:
        description: The file, which has exactly the bytes of the unit.
        type: path
        required: true
  units_dir:
    description: Directory on the node with the same, in files C(unit-0), C(unit-1) and so on.
    type: path
  wrong:
    description: Numbers of units that are known to be wrong. They are made anew from the others, whatever they have.
    type: list
    elements: int
    default: []
notes:
  - If somebody has rewritten a unit alone before, with C(m0cp -u), the data may be right and all parity wrong. That looks exactly as if this unit were wrong
    and should be what it was before. Name the parity units in O(wrong) then, and accept their loss.
  - Spare units have nothing to repair. A unit that a repair of the pool moved to a spare is not where the layout says; the units given are then not what
    the client reads, and nothing is changed.
  - A group may have 32 MiB of data at most, which is what Motr's tools write at once.
  - Checksums that a client like RGW keeps beside the blocks of an object are not written by Motr's tool.
seealso:
  - module: fieldops.runbooks.motr_layout_info
  - module: fieldops.runbooks.motr_cob_read
"""

EXAMPLES = r"""
- name: Mend group 1 of an object whose units were put into /root/group
  fieldops.runbooks.motr_block_repair:
    object: 1234567:89abcdef
    layout_id: 9
    conf: /var/lib/hare/confd.xc
    group: 1
    units_dir: /root/group
    endpoint: inet:tcp:192.168.1.1@22501
    ha_endpoint: inet:tcp:192.168.1.1@22001
    profile: "0x7000000000000001:0x5b"
    process: "0x7200000000000001:0x2b"

- name: One parity unit does not tell which unit is wrong, a person does
  fieldops.runbooks.motr_block_repair:
    object: 1234567:89abcdef
    layout_id: 9
    conf: /var/lib/hare/confd.xc
    group: 0
    units:
      - {unit: 0, path: /root/good-0}
      - {unit: 1, path: /root/good-1}
      - {unit: 2, path: /root/good-2}
    wrong: [0]
    accept_data_loss: ["object 1234567:89abcdef group 0 unit 0"]
  module_defaults:
    fieldops.runbooks.motr_block_repair: "{{ motr_client }}"
"""

RETURN = r"""
object:
  description: The object's id.
  returned: success
  type: str
  sample: 1234567:89abcdef
gob:
  description: Its global fid.
  returned: success
  type: str
  sample: <4700000001234567:89abcdef>
pool_version:
  description: The pool version that its layout is of.
  returned: success
  type: str
  sample: <7600000000000001:a>
group:
  description: The group, its shape (C(n), C(k), C(unit_size)), and which bytes of the object are in it.
  returned: success
  type: dict
  sample: {"number": 1, "n": 4, "k": 2, "unit_size": 1048576, "offset": 4194304, "length": 4194304}
units:
  description: What every unit is, and what it should be. C(state) is V(fine), V(wrong), V(lost), or V(unknown) where nobody can tell.
  returned: success
  type: list
  elements: dict
  sample:
    - unit: 2
      kind: data
      state: wrong
      sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      wanted_sha256: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
wrong:
  description: Units that are not as they should be, lost ones among them; after a repair those that still are not.
  returned: success
  type: list
  elements: int
  sample: [2]
certain:
  description: Whether other units of the group confirm that these are the wrong ones.
  returned: success
  type: bool
  sample: true
parity_ok:
  description: Whether the client, when it verifies the parity of the group, finds it right.
  returned: success
  type: bool
  sample: false
mended:
  description: Whether the group was written by this run, and read back.
  returned: success
  type: bool
  sample: false
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
      sample: reconstruct
    subject:
      description: What is changed.
      type: str
      sample: "object 1234567:89abcdef group 1 unit 2"
    before:
      description: The subject as it was; null if it did not exist.
      type: dict
      sample: {"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "bytes": 1048576}
    after:
      description: The subject as it will be; null if it will not exist.
      type: dict
      sample: {"sha256": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", "bytes": 1048576}
    reason:
      description: Why, in one sentence.
      type: str
      sample: "it does not fit the others"
    reversible:
      description: Whether the change can be undone. A data unit can be put back, a parity unit cannot.
      type: bool
      sample: true
    data_loss:
      description: The unit, where no other unit confirms that it is the wrong one; O(accept_data_loss) takes this text. Otherwise empty.
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
  sample: 1
plan_sha256:
  description: Hash of the plan. The same plan has the same hash in check mode and in the real run.
  returned: always
  type: str
  sample: 6b1f0c3f5f6d2d3a7f7c8f0d4f3c2a1b0e9d8c7b6a5948372615f4e3d2c1b0a9
undo_id:
  description: Names this run in the journal. M(fieldops.runbooks.runbook_undo) takes it. Null when nothing was changed.
  returned: always
  type: str
  sample: 20260131T235959-motr_block_repair-0123abcd
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
      sample: motr.group.ok
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: ok
    subject:
      description: What it is about.
      type: str
      sample: "object 1234567:89abcdef group 1"
    summary:
      description: One sentence for a person.
      type: str
      sample: "data and parity of object 1234567:89abcdef group 1 agree"
    detail:
      description: The same for a program.
      type: dict
      sample: {"wrong": [], "certain": true, "parity_ok": true}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample: null
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: The files that the units were read from, and the directory where the units as they were are kept.
  returned: always
  type: dict
  sample: {"kept": "/var/lib/fieldops/runbooks/evidence/20260131T235959-000000001-units", "files": {"0": "/root/group/unit-0"}}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 2.1
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.block_repair import BlockRepair
from ..module_utils.motr.client.options import CLIENT
from ..module_utils.motr.errors import MotrError
from ..module_utils.procedure.argspec import GUARDS, ArgumentSpec
from ..module_utils.procedure.module import run_fix

OPTIONS = ArgumentSpec(
    {
        "object": {"type": "str", "required": True},
        "layout_id": {"type": "int", "required": True},
        "conf": {"type": "path"},
        "conf_text": {"type": "str"},
        "pool_version": {"type": "str"},
        "group": {"type": "int", "required": True},
        "units": {
            "type": "list",
            "elements": "dict",
            "options": {"unit": {"type": "int", "required": True}, "path": {"type": "path", "required": True}},
        },
        "units_dir": {"type": "path"},
        "wrong": {"type": "list", "elements": "int", "default": []},
    },
    mutually_exclusive=[("conf", "conf_text"), ("units", "units_dir")],
    required_one_of=[("conf", "conf_text"), ("units", "units_dir")],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.merge(CLIENT, GUARDS).to_kwargs())
    run_fix(module, BlockRepair, (MotrError,))


if __name__ == "__main__":
    main()
