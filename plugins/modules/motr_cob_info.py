#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_cob_info
short_description: Tell the object, the server, the device and the device blocks of a component object of Motr
version_added: 1.0.0
description:
  - The fid of a component object (cob) tells its object and the index of its device. With the configuration of the cluster, O(conf), the device, the
    service, the process and the node follow.
  - With O(pid), O(process) or O(segment) it tells as well in which blocks of the device the bytes of the cob are, from the device's extent map in the
    memory of the live process that serves it, or in the file of its segments.
  - Extents are where there was room when they were written. Where nothing was ever written, there is a hole, and no block.
  - The extent map is found by its fid, C(<6200000000000004:DEVICE>), unless O(root) says where it is. Where its root is not certain, no extent is told.
  - What is damaged in the map is a finding, and RV(complete) is false. Other extents are told all the same.
  - Nothing is changed.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  cob:
    description:
      - Fid of the cob, in any spelling of Motr or Hare, such as V(<4300000001234567:89abcdef>), V(4300000001234567:89abcdef),
        V(0x4300000001234567:0x89abcdef), V((0x4300000001234567,0x89abcdef\)) or V(^C|0x1234567:0x89abcdef).
      - The fid of its storage object, such as V(<200000001234567:89abcdef>), is taken as well.
    type: str
    required: true
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
  root:
    description:
      - Address of the root of the device's extent map, in hexadecimal, which saves the search for it. An earlier run returns it as RV(root).
      - Quote it in YAML, which takes V(0x40000011e000) without quotes for a number.
    type: str
  conf:
    description:
      - File on the node with the configuration of the cluster, such as Hare's C(/var/lib/hare/confd.xc).
      - Both the text that confd is started with (C(conf.xc)) and the one line that C(spiel.confstr(\)) gives of a running cluster are read.
    type: path
  conf_text:
    description: The same as text.
    type: str
  offset:
    description: First byte of the cob that is wanted. This counts in the cob, not in the object.
    type: int
    default: 0
  length:
    description: How many bytes from O(offset) on are wanted. By default all to the end of the cob.
    type: int
  block_size:
    description: Bytes of a block of the extent map. Motr makes them of 4096.
    type: int
    default: 4096
  limit:
    description: How many extents to return, 1000000 at most. RV(extents_left_off) counts the rest.
    type: int
    default: 1000
  max_scan:
    description: How many bytes of segments to search at most for the extent map.
    type: int
    default: 8589934592
notes:
  - Run it as root, or as the owner of the process with the right to trace it.
  - Integers above 9007199254740991, which not every reader of JSON keeps, are text in hexadecimal.
  - A device that was repaired has units of its cobs elsewhere, on spare units. M(fieldops.runbooks.motr_layout_info) tells which cobs an object has.
seealso:
  - module: fieldops.runbooks.motr_layout_info
  - module: fieldops.runbooks.motr_btree_info
"""

EXAMPLES = r"""
- name: Which server and device is a cob on?
  fieldops.runbooks.motr_cob_info:
    cob: <4300000001234567:89abcdef>
    conf: /var/lib/hare/confd.xc
  register: cob

- name: In which blocks of the device are its bytes?
  fieldops.runbooks.motr_cob_info:
    cob: <4300000001234567:89abcdef>
    process: "{{ cob.process }}"
  become: true

- name: Where is the first unit of 1 MiB, of a process that does not run?
  fieldops.runbooks.motr_cob_info:
    cob: ^C|0x1234567:0x89abcdef
    segment: /var/motr/m0d-0x7200000000000001:0x1/db/o/100000000000000:2a
    offset: 0
    length: 1048576
  become: true
"""

RETURN = r"""
cob:
  description: The cob, the object that it is a part of (C(gob)), the object that keeps it on the device (C(storage_object)), and the extent map (C(tree)).
  returned: success
  type: dict
  sample:
    fid: <4300000001234567:89abcdef>
    gob: <4700000001234567:89abcdef>
    storage_object: <200000001234567:89abcdef>
    tree: <6200000000000004:0>
device:
  description: The device. Without O(conf), or where that does not have the device, all but C(index) is null.
  returned: success
  type: dict
  sample:
    index: 0
    path: /dev/disk/by-id/ata-d1
    sdev: <6400000000000001:1>
    drive: <6b00000000000001:1>
    size: 596000000000
    block_size: 4096
service:
  description: Fid of the service that has the device.
  returned: success
  type: str
  sample: <7300000000000001:0>
process:
  description: Fid of its process, by the configuration.
  returned: success
  type: str
  sample: <7200000000000001:0>
endpoint:
  description: Endpoint of the process.
  returned: success
  type: str
  sample: "0@lo:12345:33:900"
node:
  description: Fid of the node.
  returned: success
  type: str
  sample: <6e00000000000001:2>
source:
  description: What extents were read from; null where neither a process nor a segment was given.
  returned: success
  type: dict
  sample:
    kind: process
    path: /var/motr/m0d-0x7200000000000001:0x0/db/o/100000000000000:2a
    pid: 4711
    process: <7200000000000001:0>
    owner: root
    ranges: [{"start": "0x400000000000", "end": "0x400000200000"}]
root:
  description: Root of the device's extent map; null where it is not known.
  returned: success
  type: str
  sample: "0x40000011e000"
candidates:
  description: Nodes that may be the root.
  returned: success
  type: list
  elements: str
  sample: ["0x40000011e000"]
known:
  description: Whether the map has the cob. Null where there is no map.
  returned: success
  type: bool
  sample: true
complete:
  description: Whether the map has the cob and all of what was asked for could be read.
  returned: success
  type: bool
  sample: true
block_size:
  description: Bytes of a block.
  returned: success
  type: int
  sample: 4096
extents:
  description: Where the bytes of the cob are, in the order of its bytes.
  returned: success
  type: list
  elements: dict
  contains:
    offset:
      description: First byte, in the cob.
      type: int
      sample: 0
    length:
      description: Bytes.
      type: int
      sample: 16384
    hole:
      description: Whether nothing was ever written there. It reads as zeros.
      type: bool
      sample: false
    device_offset:
      description: First byte on the device; null for a hole.
      type: int
      sample: 180224
    block:
      description: First block of the device; null for a hole.
      type: int
      sample: 44
    blocks:
      description: Number of blocks that it has a part of.
      type: int
      sample: 4
extents_total:
  description: How many extents there are.
  returned: success
  type: int
  sample: 17
extents_left_off:
  description: How many of them were not returned.
  returned: success
  type: int
  sample: 0
allocated:
  description: Bytes of what was asked for that are on the device. Null where there is no map.
  returned: success
  type: int
  sample: 229376
end:
  description: First byte of the cob behind the last one on the device, of what was asked for. Null where there is no map.
  returned: success
  type: int
  sample: 344064
findings:
  description: What is so.
  returned: success
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: motr.cob.absent
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: <4300000001234567:89abcdef>
    summary:
      description: One sentence for a person.
      type: str
      sample: "the map of device 0 has no cob <4300000001234567:89abcdef>"
    detail:
      description: The same for a program.
      type: dict
      sample: {"tree": "<6200000000000004:0>"}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: nothing of the object was written to this device, or it was deleted
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: What the findings rest on.
  returned: success
  type: dict
  sample: {"source": "the memory of process 4711", "scanned": 2097152, "uid": 0, "conf": "/var/lib/hare/confd.xc", "problems": []}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.05
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.cob_info import CobInfo
from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.source import SOURCE
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "cob": {"type": "str", "required": True},
        "root": {"type": "str"},
        "conf": {"type": "path"},
        "conf_text": {"type": "str"},
        "offset": {"type": "int", "default": 0},
        "length": {"type": "int"},
        "block_size": {"type": "int", "default": 4096},
        "limit": {"type": "int", "default": 1000},
        "max_scan": {"type": "int", "default": 8589934592},
    },
    mutually_exclusive=[("conf", "conf_text")],
)


def main() -> None:
    spec = SOURCE.merge(OPTIONS)
    run_info(AnsibleModule(supports_check_mode=True, **spec.to_kwargs()), CobInfo, (MotrError,))


if __name__ == "__main__":
    main()
