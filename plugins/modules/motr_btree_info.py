#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_btree_info
short_description: Print nodes of Motr's b-trees, and walk trees, with checksums
version_added: 1.0.0
description:
  - Reads the b-trees in which a Motr process keeps its metadata, from the memory of the live process or from the file of its segments. Neither gdb nor
    symbols are needed, as segments are mapped at fixed addresses.
  - With O(address) it prints one node; with O(walk) as well, all nodes below it. With O(tree) it looks for the nodes of a tree by its fid, and with
    O(walk) it walks from the root of that tree. With none of them it lists the trees that there are.
  - Every type of node is read, the checksum of every head is verified, and records are decoded as their tree has them. Where records have checksums of
    their own, these are verified as well.
  - A node that is damaged is a finding, with what could be read of it, and its children are not followed. Neither is a child that was met before,
    that has the wrong level, that is of another tree, or that has keys which its parent does not leave it.
  - A process goes on while it is looked at. A node that looks damaged is read again, as it may just be changing, and so is its parent.
  - Nothing is changed, neither in memory nor in the file.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  pid:
    description:
      - Process whose memory is to be read, by its pid. It is not stopped, and nothing is written.
    type: int
  process:
    description:
      - The same by the fid that the process was started with (C(-f)), in any spelling, such as V(<7200000000000001:1>), V(0x7200000000000001:0x1) or
        V(^r|1:1).
    type: str
  segment:
    description:
      - File, or block device, of the segments, for processes that do not run. Motr keeps it in C(db/o/100000000000000:2a) below the
        directory of the process.
      - It lags behind the memory of a process by what is still in its log. Both are equal when the process is idle.
    type: path
  device:
    description:
      - Block device that the process has its segments on. By default what it was told with C(-B), or the file C(db/o/100000000000000:2a).
    type: path
  address:
    description:
      - Address of a node in the memory of the process, in hexadecimal, with or without C(0x). It is the same in the file of the segments.
      - Quote it in YAML, which takes V(0x400000105000) without quotes for a number. Digits alone that are no address in a segment are tried as decimal.
    type: str
  tree:
    description:
      - Fid of a tree, in any spelling. The extent map of the device with the index D is V(<6200000000000004:D>), with D in hexadecimal.
      - The segments are searched for its nodes. Nodes in freed memory may be among them, so the root is told only where it is certain.
    type: str
  walk:
    description: Whether to go from the node at O(address), or from the root of O(tree), down to the leaves.
    type: bool
    default: false
  damaged_only:
    description: Whether to return only nodes with something wrong. All are read and counted.
    type: bool
    default: false
  raw:
    description: Whether to return the bytes of keys and values beside what they mean.
    type: bool
    default: false
  max_nodes:
    description: How many nodes to read and return at most, 100000 at most. RV(left_off) says how many more are known.
    type: int
    default: 1000
  max_records:
    description: How many records to return at most, 100000 at most, the first ones of the first leaves. All are read and counted.
    type: int
    default: 1000
  max_scan:
    description: How many bytes of segments to search at most, where nodes are to be looked for.
    type: int
    default: 8589934592
notes:
  - Run it as root, or as the owner of the process with the right to trace it.
  - Records may hold names and metadata of users' objects. Register the result with C(no_log) where logs are read by others.
  - Integers above 9007199254740991, which not every reader of JSON keeps, are text in hexadecimal.
  - The search of a large segment reads all of it, through the memory of the process. To name an address is quicker.
seealso:
  - module: fieldops.runbooks.motr_cob_info
  - module: fieldops.runbooks.motr_layout_info
"""

EXAMPLES = r"""
- name: Which trees does the process have?
  fieldops.runbooks.motr_btree_info:
    process: <7200000000000001:1>
  become: true
  register: trees

- name: Print one node
  fieldops.runbooks.motr_btree_info:
    pid: 4711
    address: "0x40000011e000"
  become: true

- name: Is the extent map of device 0 sound?
  fieldops.runbooks.motr_btree_info:
    pid: 4711
    tree: <6200000000000004:0>
    walk: true
    damaged_only: true
    max_nodes: 100000
    max_records: 0
  become: true

- name: The same of a process that does not run
  fieldops.runbooks.motr_btree_info:
    segment: /var/motr/m0d-0x7200000000000001:0x1/db/o/100000000000000:2a
    tree: <6200000000000004:0>
    walk: true
  become: true
"""

RETURN = r"""
source:
  description: What was read. C(ranges) are the addresses of segments, the first one and the first one behind.
  returned: success
  type: dict
  sample:
    kind: process
    path: /var/motr/m0d-0x7200000000000001:0x1/db/o/100000000000000:2a
    pid: 4711
    process: <7200000000000001:1>
    owner: root
    ranges: [{"start": "0x400000000000", "end": "0x400000200000"}]
sound:
  description: Whether nothing was wrong with the nodes that were read, and the root of O(tree) is certain.
  returned: success
  type: bool
  sample: true
nodes:
  description:
    - The nodes, from the root down, leaves in the order of their keys. Of a search for O(tree) they come by level and address.
    - Where something is wrong with a node, C(faults) say what, and the rest is what could be read of it.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: Where it is.
      type: str
      sample: "0x40000011e000"
    parent:
      description: The node that it was reached from; null for the first one.
      type: str
      sample:
    read:
      description: Whether it could be read at all.
      type: bool
      sample: true
    node_type:
      description: V(1) for fixed keys and values, V(2) for fixed keys and values of any length, V(4) for both of any length.
      type: int
      sample: 2
    node_name:
      description: The same in words.
      type: str
      sample: fixed keys, values of any length
    tree_type:
      description: What the tree is for, as a number.
      type: int
      sample: 4
    tree_name:
      description: The same in words.
      type: str
      sample: extent map
    tree:
      description: Fid of the tree.
      type: str
      sample: <6200000000000004:0>
    level:
      description: V(0) for leaves.
      type: int
      sample: 0
    used:
      description: Number of its records, or of its children.
      type: int
      sample: 18
    size:
      description: Bytes.
      type: int
      sample: 16384
    crc_type:
      description: What guards each record, as a number; V(0) for nothing.
      type: int
      sample: 0
    generation:
      description: The generation in its head.
      type: int
      sample: 0
    checksum_ok:
      description: Whether the checksum of its head is right. It is not of keys and values, which have some of their own in certain trees only.
      type: bool
      sample: true
    children:
      description: Addresses of its children.
      type: list
      elements: str
      sample: []
    separators:
      description: The keys between its children in hexadecimal. Each is the smallest that the next child may hold.
      type: list
      elements: str
      sample: []
    records:
      description:
        - Records of a leaf, decoded by the type of the tree. Those of the configuration database and of the log of DTM0 are raw.
        - Where C(decoded) is false, C(reason) says why, and C(key) and C(value) are hexadecimal.
        - With O(raw), C(raw_key) and C(raw_value) are their bytes in hexadecimal.
      type: list
      elements: dict
      sample: [{"stob": "<200000001234567:89abcdef>", "start": 0, "end": 4, "hole": false, "block": 44, "unit_size": 0, "checksums": "", "fault": "",
                "decoded": true}]
    records_left_off:
      description: Records of this leaf that were not returned.
      type: int
      sample: 0
    faults:
      description: What is wrong with it, as C(code) and C(text).
      type: list
      elements: dict
      sample: []
nodes_read:
  description: How many nodes were read.
  returned: success
  type: int
  sample: 1
nodes_damaged:
  description: How many of them have something wrong, or could not be read.
  returned: success
  type: int
  sample: 0
records_total:
  description: How many records the leaves have that were read.
  returned: success
  type: int
  sample: 18
levels:
  description: How many nodes were read, by level.
  returned: success
  type: dict
  sample: {"0": 1}
root:
  description: Root of O(tree); null where it is not certain, or O(tree) was not given.
  returned: success
  type: str
  sample: "0x40000011e000"
candidates:
  description: Nodes of O(tree) that may be its root.
  returned: success
  type: list
  elements: str
  sample: ["0x40000011e000"]
trees:
  description:
    - Trees that nodes were found of. C(roots) are nodes that are no other's child; more than one means that old nodes in freed memory are among them.
    - Empty where O(address) was given.
  returned: success
  type: list
  elements: dict
  sample: [{"tree": "<6200000000000004:0>", "tree_type": 4, "tree_name": "extent map", "roots": ["0x40000011e000"], "nodes": 1, "records_counted": 18,
            "height": 1}]
left_off:
  description: What was not read or not returned. C(nodes) are those that are known; what is below them is not.
  returned: success
  type: dict
  sample: {"nodes": 0, "records": 0, "findings": 0, "bytes": 0}
findings:
  description: What is so.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: motr.node.checksum
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: critical
    subject:
      description: What it is about.
      type: str
      sample: "0x40000011e000"
    summary:
      description: One sentence for a person.
      type: str
      sample: "the node at 0x40000011e000 in the memory of process 4711: the head is damaged: the checksum is 0x1, its bytes give 0x2"
    detail:
      description: The same for a program.
      type: dict
      sample: {"fault": "checksum", "source": "the memory of process 4711"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: look again, as a node that is just being changed may look so
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: What the findings rest on.
  returned: success
  type: dict
  sample: {"source": "the memory of process 4711", "uid": 0, "scanned": 0}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.05
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.btree_info import BtreeInfo
from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.source import SOURCE
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "address": {"type": "str"},
        "tree": {"type": "str"},
        "walk": {"type": "bool", "default": False},
        "damaged_only": {"type": "bool", "default": False},
        "raw": {"type": "bool", "default": False},
        "max_nodes": {"type": "int", "default": 1000},
        "max_records": {"type": "int", "default": 1000},
        "max_scan": {"type": "int", "default": 8589934592},
    },
    mutually_exclusive=[("address", "tree")],
    required_one_of=[("pid", "process", "segment")],
)


def main() -> None:
    spec = SOURCE.merge(OPTIONS)
    run_info(AnsibleModule(supports_check_mode=True, **spec.to_kwargs()), BtreeInfo, (MotrError,))


if __name__ == "__main__":
    main()
