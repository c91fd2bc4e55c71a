#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_cob_read
short_description: Read bytes of a component object of Motr off its device into a file
version_added: 1.0.0
description:
  - Reads a range of a component object (cob) as it is on the device, wherever its extent map says that it is, and writes it into a file on the node. That is
    the only way to see a parity unit, or a data unit beside what Motr's client makes of it.
  - The map is read from the memory of the live process that serves the device, or from the file of its segments, as M(fieldops.runbooks.motr_cob_info) does.
  - Where nothing was ever written, the file has zeros. Where the map is damaged, or does not have the cob, no file is written.
  - The device is only read, past the page cache. The map is read again afterwards, so that a cob that was moved meanwhile is not mistaken.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
attributes:
  check_mode:
    support: full
    details:
      - Reads the device as well, and writes no file.
  diff_mode:
    support: N/A
    details:
      - The bytes of objects are not shown.
  idempotent:
    support: full
options:
  cob:
    description:
      - Fid of the cob, in any spelling, such as V(<4300000001234567:89abcdef>) or V(^C|0x1234567:0x89abcdef).
      - One of O(cob) and O(units) is required.
    type: str
  dest:
    description:
      - File on the node that the bytes are written to. Only its owner can read it. A file that is there is replaced.
      - Required with O(cob).
    type: path
  path:
    description:
      - The device. By default that of the configuration, O(conf).
    type: path
  units:
    description:
      - Several cobs, 256 at most, of the same process or segment in place of one, such as the units of a parity group that one process keeps. The process or
        segment is opened once, the configuration is read once, and the roots of all extent maps are found by one search.
      - One that cannot be read is a finding, C(motr.cob.unread), and the others are read all the same.
    type: list
    elements: dict
    suboptions:
      cob:
        description: Fid of the cob, in any spelling.
        type: str
        required: true
      dest:
        description: File on the node that the bytes are written to, a file of its own for each.
        type: path
        required: true
      offset:
        description: First byte of the cob that is wanted.
        type: int
        default: 0
      length:
        description: How many bytes are wanted. By default O(length).
        type: int
      path:
        description: The device. By default that of the configuration, O(conf).
        type: path
      root:
        description: Address of the root of the device's extent map.
        type: str
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
    description: How many bytes from O(offset) on are wanted of a cob, 268435456 at most. Required with O(cob), and with O(units) that have none of their own.
    type: int
  block_size:
    description: Bytes of a block of the extent map. Motr makes them of 4096.
    type: int
    default: 4096
  max_scan:
    description: How many bytes of segments to search at most for the extent map.
    type: int
    default: 8589934592
notes:
  - The file has data of users. Remove it when it is no longer wanted.
  - Run it as root, or as a user who may read the device and trace the process.
seealso:
  - module: fieldops.runbooks.motr_cob_info
  - module: fieldops.runbooks.motr_layout_info
  - module: fieldops.runbooks.motr_block_repair
"""

EXAMPLES = r"""
- name: Where is each unit of the first megabyte of an object?
  fieldops.runbooks.motr_layout_info:
    object: <1234567:89abcdef>
    conf: /var/lib/hare/confd.xc
    layout_id: 9
    length: 1048576
  register: layout

- name: Read the first of them
  fieldops.runbooks.motr_cob_read:
    cob: "{{ layout.units[0].cob }}"
    offset: "{{ layout.units[0].cob_offset }}"
    length: 1048576
    process: "{{ layout.units[0].process }}"
    conf: /var/lib/hare/confd.xc
    dest: /root/unit-0
  become: true

- name: Read all that one process keeps of the first group
  fieldops.runbooks.motr_cob_read:
    units:
      - cob: <4300000001234567:89abcdef>
        dest: /root/group/unit-0
        offset: 0
      - cob: <4300000201234567:89abcdef>
        dest: /root/group/unit-2
        offset: 1048576
    length: 1048576
    process: <7200000000000001:0>
    conf: /var/lib/hare/confd.xc
  become: true
"""

RETURN = r"""
file:
  description: The file. Null where none could be made, which a finding explains. In check mode what it would be.
  returned: with O(cob)
  type: dict
  sample: {"path": "/root/unit-0", "bytes": 1048576, "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"}
cob:
  description: The cob, the object that it is a part of (C(gob)), the object that keeps it on the device (C(storage_object)), and the extent map (C(tree)).
  returned: with O(cob)
  type: dict
  sample:
    fid: <4300000001234567:89abcdef>
    gob: <4700000001234567:89abcdef>
    storage_object: <200000001234567:89abcdef>
    tree: <6200000000000004:0>
device:
  description: The device. Without O(conf), or where that does not have the device, all but C(index) is null.
  returned: with O(cob)
  type: dict
  sample:
    index: 0
    path: /dev/disk/by-id/ata-d1
    sdev: <6400000000000001:1>
    drive: <6b00000000000001:1>
    size: 596000000000
    block_size: 4096
root:
  description: Root of the device's extent map; null where it is not known.
  returned: with O(cob)
  type: str
  sample: "0x40000011e000"
known:
  description: Whether the map has the cob. Null where there is no map.
  returned: with O(cob)
  type: bool
  sample: true
complete:
  description: Whether the map has the cob and all of what was asked for could be read.
  returned: with O(cob)
  type: bool
  sample: true
allocated:
  description: Bytes of what was asked for that are on the device. Null where there is no map.
  returned: with O(cob)
  type: int
  sample: 229376
units:
  description: What became of each of O(units), in their order, or of the only cob, with the same keys as a single one has.
  returned: success
  type: list
  elements: dict
  sample:
    - file: {"path": "/root/unit-0", "bytes": 1048576, "sha256": "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58"}
      cob:
        fid: <4300000001234567:89abcdef>
        gob: <4700000001234567:89abcdef>
        storage_object: <200000001234567:89abcdef>
        tree: <6200000000000004:0>
      device: {"index": 0, "path": "/dev/disk/by-id/ata-d1", "sdev": null, "drive": null, "size": 596000000000, "block_size": 4096}
      root: "0x40000011e000"
      known: true
      complete: true
      allocated: 229376
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

from ..module_utils.motr.cob_read import CobRead, CobsRead
from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.source import SOURCE
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "cob": {"type": "str"},
        "dest": {"type": "path"},
        "units": {
            "type": "list",
            "elements": "dict",
            "options": {
                "cob": {"type": "str", "required": True},
                "dest": {"type": "path", "required": True},
                "offset": {"type": "int", "default": 0},
                "length": {"type": "int"},
                "path": {"type": "path"},
                "root": {"type": "str"},
            },
        },
        "path": {"type": "path"},
        "root": {"type": "str"},
        "conf": {"type": "path"},
        "conf_text": {"type": "str"},
        "offset": {"type": "int", "default": 0},
        "length": {"type": "int"},
        "block_size": {"type": "int", "default": 4096},
        "max_scan": {"type": "int", "default": 8589934592},
    },
    mutually_exclusive=[("conf", "conf_text"), ("cob", "units"), ("dest", "units"), ("path", "units"), ("root", "units")],
    required_one_of=[("cob", "units")],
    required_by={"cob": ["dest", "length"]},
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **SOURCE.merge(OPTIONS).to_kwargs())
    read = CobRead if module.params["units"] is None else CobsRead
    run_info(module, lambda params: read(dict(params, limit=0, check_mode=module.check_mode)), (MotrError,))


if __name__ == "__main__":
    main()
