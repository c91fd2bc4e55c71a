#!/usr/bin/python
# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: motr_layout_info
short_description: Tell where the units of a Motr object are
version_added: 1.0.0
description:
  - From an object's fid and the cluster's configuration to the object's cobs, and for each unit of it to the cob, the device, the server and the offset
    there, for a range of bytes or for the whole object.
  - Computes what Motr's own client computes (C(m0_fd_fwd_map)). No process of Motr is asked, so it runs anywhere, also while the cluster is down.
  - A group has N data units, K parity units and S spare units, in this order. Units are returned by whole groups, since parity belongs to a group.
  - What has no map of its own is refused by name. That is the fid of an object with bits in the place of a device, which only a cob has; a composite object,
    whose bytes are in the objects that are its layers; and a pool version that Motr itself makes no map of, as its tolerances, its tree or its widths
    do not fit each other.
  - Where N is 1, parity units are copies of the data unit, which RV(replicated) and a finding tell.
  - The configuration does not know where a repair has put what was on a device that failed. Give O(states), and the units that may have moved are
    marked; their places are told all the same.
author: fieldops.runbooks contributors (@fieldops)
extends_documentation_fragment:
  - fieldops.runbooks.attributes
  - fieldops.runbooks.attributes.info
options:
  object:
    description:
      - The object, in any spelling of Motr or Hare, for example V(<4700000001234567:89abcdef>), V(1234567:89abcdef), V(0x1234567:0x89abcdef) or
        V(^G|0x1234567:0x89abcdef).
      - Its id as clients have it, its global fid, or the fid of one of its cobs or of a cob's storage object; these are told apart by the type, the
        fid's first byte.
    type: str
    required: true
  conf:
    description:
      - File with the cluster's configuration on the node, such as Hare's C(/var/lib/hare/confd.xc).
      - Both the text that confd is started with (C(conf.xc)) and the one line that C(spiel.confstr) gives of a running cluster are read.
      - One of O(conf) and O(conf_text) is required.
    type: path
  conf_text:
    description: The same as text.
    type: str
  layout_id:
    description:
      - The object's layout id, 1 to 14, which tells the size of its units, from 4 KiB for V(1) doubling to 32 MiB for V(14). It is in the metadata of
        objects of S3 and RGW. Its highest 16 bits tell whether the object is a plain one, and only those are mapped.
      - One of O(layout_id) and O(unit_size) is required.
    type: int
  unit_size:
    description: Bytes of a unit, in place of O(layout_id).
    type: int
  pool_version:
    description:
      - Fid of the pool version that the object was written in, in any spelling. It is in the metadata of objects of S3 and RGW (C(PVID)).
      - By default the only one that the configuration has for data. Where it has several the module fails and lists them.
        Where Motr may have written the object in one that was made of it while devices had failed, the finding C(motr.layout.assumed) says so.
      - A formulaic pool version, and a virtual one that was made by it, are refused, since the configuration does not list their devices.
    type: str
  size:
    description:
      - Bytes of the object. Without O(length) all from O(offset) to its end is looked at.
      - At least one of O(size) and O(length) is required.
    type: int
  offset:
    description: First byte that is wanted.
    type: int
    default: 0
  length:
    description: How many bytes from O(offset) on are wanted. What is behind O(size), if that is given, is not there.
    type: int
  limit:
    description:
      - How many units to return, 100000 at most. Groups are not cut, and one is always returned. RV(next_offset) says where to go on.
    type: int
    default: 1000
  states:
    description:
      - States of devices, as far as they are not online. Keys are devices, by the index, the path, or the fid of the C(sdev) or the drive.
      - Values are the words of Motr or Hare, V(unknown), V(online), V(failed), V(transient) (also V(offline)), V(repair), V(repaired) and
        V(rebalance), with or without C(M0_NC_), or their numbers.
      - Devices of other pool versions may be among them; devices that the configuration does not have may not.
      - By default a device counts as what the configuration says of it, which nobody keeps up to date.
    type: dict
    default: {}
notes:
  - Needs nothing but Python. Where numpy is there, long lists are computed faster.
  - The seed in a pool version's attributes plays no part, since Motr always takes the same one.
  - C(spiel.confstr) is to be had by C(m0spiel); it is the only source that is sure to be what runs.
  - An offset in a cob is not one on the device. Where a cob's blocks are on the device is told by M(fieldops.runbooks.motr_cob_info).
  - This module was tested against maps that the functions of Motr 2.0.0 computed, and against the cobs and extents of an object in a running cluster of
    that version.
seealso:
  - module: fieldops.runbooks.motr_object_info
  - module: fieldops.runbooks.motr_cob_info
"""

EXAMPLES = r"""
- name: Which cobs has the object, and where is each of its units?
  fieldops.runbooks.motr_layout_info:
    object: "1234567:89abcdef"
    conf: /var/lib/hare/confd.xc
    layout_id: 9
    size: 104857600
  register: layout

- name: Which unit holds byte 5000000, and what else is in its group?
  fieldops.runbooks.motr_layout_info:
    object: "<4700000001234567:89abcdef>"
    conf: /var/lib/hare/confd.xc
    layout_id: 9
    offset: 5000000
    length: 1

- name: An object of another pool version, while a device is being repaired
  fieldops.runbooks.motr_layout_info:
    object: "1234567:89abcdef"
    conf: /var/lib/hare/confd.xc
    unit_size: 1048576
    pool_version: "^v|1:10"
    size: 104857600
    states:
      "3": repair

- name: With the configuration of the running cluster, as m0spiel gave it
  fieldops.runbooks.motr_layout_info:
    object: "1234567:89abcdef"
    conf_text: "{{ confstr.stdout }}"
    layout_id: 1
    length: 4096
"""

RETURN = r"""
gob:
  description: The object's global fid.
  returned: always
  type: str
  sample: <4700000001234567:89abcdef>
pool_version:
  description: The pool version, with the numbers of data, parity and spare units of a group, that of its devices, and the failures that it tolerates by level.
  returned: always
  type: dict
  sample: {"fid": "<7600000000000001:a>", "n": 2, "k": 1, "s": 1, "p": 6, "tolerance": [0, 0, 0, 0, 1]}
replicated:
  description: Whether parity units are copies of the data unit (N is 1).
  returned: always
  type: bool
  sample: false
unit_size:
  description: Bytes of a unit.
  returned: always
  type: int
  sample: 16384
cobs:
  description: The object's cobs, one on each device of the pool version, by target. A cob without a unit need not exist.
  returned: always
  type: list
  elements: dict
  contains:
    target:
      description: Number of the device in the pool version. It is not the device's index.
      type: int
      sample: 1
    cob:
      description: Fid of the cob.
      type: str
      sample: <4300000101234567:89abcdef>
    stob:
      description: Fid of its storage object, by which the extent map of the device has it.
      type: str
      sample: <200000101234567:89abcdef>
    device:
      description: Index of the device (C(sd_dev_idx)), which is part of the cob's fid.
      type: int
      sample: 1
    sdev:
      description: Fid of the storage device.
      type: str
      sample: <6400000000000001:2>
    drive:
      description: Fid of its drive.
      type: str
      sample: <6b00000000000001:2>
    path:
      description: Path of the device on its server.
      type: str
      sample: /dev/disk/by-id/ata-d2
    size:
      description: Bytes of the device, as configured.
      type: int
      sample: 596000000000
    state:
      description: Its state, as given by O(states), or where the configuration says that it is not well. Null where nobody said anything.
      type: str
      sample: online
    node:
      description: Fid of the server's node. Null, as the next three, where the configuration does not have it.
      type: str
      sample: <6e00000000000001:2>
    process:
      description: Fid of the server's process.
      type: str
      sample: <7200000000000001:0>
    service:
      description: Fid of the service that holds the device.
      type: str
      sample: <7300000000000001:0>
    endpoint:
      description: Address of the process.
      type: str
      sample: 0@lo:12345:33:900
    units:
      description: How many of the returned units are in this cob.
      type: int
      sample: 4
units:
  description: The units by group and number.
  returned: always
  type: list
  elements: dict
  contains:
    group:
      description: Number of the parity group, from 0.
      type: int
      sample: 0
    unit:
      description: Number in the group, from 0. Data units come first, then parity units, then spare units.
      type: int
      sample: 1
    kind:
      description: V(data), V(parity) or V(spare). Spare units hold nothing until a repair.
      type: str
      sample: data
    offset:
      description: First byte of the object that is in it. Null for parity and spare units.
      type: int
      sample: 16384
    length:
      description:
        - How many bytes of the object are in it, 0 behind the end. Null where O(size) was not given, and the size of a unit for parity and spare units.
      type: int
      sample: 16384
    in_range:
      description: Whether it holds any of the bytes that were asked for. Parity and spare units never do.
      type: bool
      sample: true
    target:
      description: Number of the device in the pool version.
      type: int
      sample: 4
    frame:
      description: Number of the unit in its cob.
      type: int
      sample: 0
    cob:
      description: Fid of the cob.
      type: str
      sample: <4300000401234567:89abcdef>
    cob_offset:
      description: First byte of the unit in the cob.
      type: int
      sample: 0
    device:
      description: Index of the device.
      type: int
      sample: 4
    path:
      description: Path of the device on its server.
      type: str
      sample: /dev/disk/by-id/ata-d5
    state:
      description: State of the device; see RV(cobs).
      type: str
      sample: online
    certain:
      description: V(false) where the device is being repaired, is repaired or is rebalanced, so that the unit may be on a spare unit of its group.
      type: bool
      sample: true
    node:
      description: Fid of the server's node.
      type: str
      sample: <6e00000000000001:2>
    process:
      description: Fid of the server's process.
      type: str
      sample: <7200000000000001:1>
    endpoint:
      description: Address of the process.
      type: str
      sample: 0@lo:12345:33:901
units_total:
  description: How many units the groups have that hold what was asked for.
  returned: always
  type: int
  sample: 4
units_left_off:
  description: How many of them are not returned, for O(limit).
  returned: always
  type: int
  sample: 0
next_offset:
  description: The byte at which the first group begins that was left off, for O(offset) of another call. Null when none was.
  returned: always
  type: int
  sample: 32768
findings:
  description: What is so, worst or not; after a fix, what is so now.
  returned: always
  type: list
  elements: dict
  contains:
    code:
      description: Stable name of the condition.
      type: str
      sample: motr.device.moved
    severity:
      description: One of V(ok), V(info), V(warning), V(critical).
      type: str
      sample: warning
    subject:
      description: What it is about.
      type: str
      sample: device 3
    summary:
      description: One sentence for a person.
      type: str
      sample: >-
        device 3 (/dev/disk/by-id/ata-d4) is in state repaired: 2 units may be on spare units of their groups, and not where they are told to be
    detail:
      description: The same for a program.
      type: dict
      sample: {"device": 3, "target": 3, "path": "/dev/disk/by-id/ata-d4", "state": "repaired", "units": 2}
    remedy:
      description: What would mend it, as a playbook with variables, or in words who to call.
      type: dict
      sample:
        playbook:
        vars: {}
        text: >-
          wait until rebalance has ended and the device is online; what is on spare units only the pool machine of a running process knows
    runbook:
      description: File and heading of the runbook.
      type: dict
      sample: {"file": "motr-run-time-instruments.rst", "heading": "Clarification (CLARIFY)"}
evidence:
  description: What the findings rest on.
  returned: always
  type: dict
  sample: {"conf": "/var/lib/hare/confd.xc", "objects": 90, "unread": 0, "problems": []}
elapsed:
  description: Seconds that the module took on the node.
  returned: always
  type: float
  sample: 0.02
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.motr.errors import MotrError
from ..module_utils.motr.layout_info import LayoutInfo
from ..module_utils.procedure.argspec import ArgumentSpec
from ..module_utils.procedure.info import run_info

OPTIONS = ArgumentSpec(
    {
        "object": {"type": "str", "required": True},
        "conf": {"type": "path"},
        "conf_text": {"type": "str"},
        "layout_id": {"type": "int"},
        "unit_size": {"type": "int"},
        "pool_version": {"type": "str"},
        "size": {"type": "int"},
        "offset": {"type": "int", "default": 0},
        "length": {"type": "int"},
        "limit": {"type": "int", "default": 1000},
        "states": {"type": "dict", "default": {}},
    },
    mutually_exclusive=[("conf", "conf_text"), ("layout_id", "unit_size")],
    required_one_of=[("conf", "conf_text"), ("layout_id", "unit_size"), ("size", "length")],
)


def main() -> None:
    module = AnsibleModule(supports_check_mode=True, **OPTIONS.to_kwargs())
    run_info(module, LayoutInfo, (MotrError,))


if __name__ == "__main__":
    main()
