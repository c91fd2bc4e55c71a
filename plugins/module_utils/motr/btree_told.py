# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of b-trees as values for JSON: addresses and bytes in hexadecimal, fids as text. What is not to be told is not kept."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .btree import Fault, Node
from .btree_types import ORDERED, decode
from .btree_walk import Visit
from .source import hexadecimal, safe

Row = Dict[str, Any]


class Seen(NamedTuple):
    """What is left of a node. ``row`` is None where it is not to be told, ``level`` where the node could not be read."""

    address: int
    faults: Tuple[Fault, ...]
    level: Optional[int]
    records: int
    row: Optional[Row]


class Teller:
    """Takes nodes as they are read, and tells as many records as were asked for."""

    def __init__(self, most: int, raw: bool, damaged_only: bool) -> None:
        self.most, self.raw, self.damaged_only = most, raw, damaged_only
        self.told = 0

    def take(self, visit: Visit) -> Seen:
        node = visit.node or Node(visit.address)
        records = [decode(node.tree_type, key, value) for key, value in zip(node.keys, node.values)] if node.is_leaf else []
        faults = (*visit.faults, *_record_faults(node, records))
        row = None
        if faults or not self.damaged_only:
            shown = records[: self.most - self.told]
            self.told += len(shown)
            row = dict(_row(visit, node, faults), records=self._told(node, shown), records_left_off=len(records) - len(shown))
        return Seen(visit.address, faults, None if visit.node is None else node.level, len(records), row)

    def _told(self, node: Node, records: List[Row]) -> List[Row]:
        if self.raw:
            pairs = zip(records, node.keys, node.values)
            return [safe(dict(record, raw_key=key.hex(), raw_value=value.hex())) for record, key, value in pairs]
        return [safe(record) for record in records]


def _record_faults(node: Node, records: List[Row]) -> Iterator[Fault]:
    """Records that have a checksum of their own, and those that are not what a tree of this type has."""
    if node.tree_type not in ORDERED:
        return
    wrong = [(index, record.get("fault") or record.get("reason")) for index, record in enumerate(records)]
    wrong = [(index, text) for index, text in wrong if text]
    if wrong:
        yield Fault("record", "%d of %d records are damaged, the first of them record %d: %s" % (len(wrong), len(records), *wrong[0]))


def _row(visit: Visit, node: Node, faults: Tuple[Fault, ...]) -> Row:
    """One node but for its records. What could be read of a damaged one is told as well."""
    return {
        "address": hexadecimal(visit.address),
        "parent": hexadecimal(visit.parent) if visit.parent else None,
        "read": visit.node is not None,
        "node_type": node.node_type,
        "node_name": node.node_name,
        "tree_type": node.tree_type,
        "tree_name": node.tree_name,
        "tree": str(node.fid),
        "level": node.level,
        "used": node.used,
        "size": node.size,
        "crc_type": node.crc_type,
        "generation": safe(node.generation),
        "checksum_ok": node.checksum_ok,
        "children": [hexadecimal(child) for child in node.children],
        "separators": [] if node.is_leaf else [key.hex() for key in node.keys],
        "faults": [{"code": fault.code, "text": fault.text} for fault in faults],
    }
