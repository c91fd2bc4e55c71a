# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of Motr's b-trees: what is in one, and what is wrong with one. No byte outside of a node is looked at.

Source: be/btree.c (node_header, ff_head, fkvv_head, vkvv_head, vkvv_child) and nodes of Motr 2.0.0. A node begins with 104 bytes:

    0 header (magic, version, type 4, length 80), 16 node type u32, 20 tree type u32, 24 checksums of records u32, 32 generation u64,
    40 fid of the tree 2 x u64, 56 opaque, 64 used u16, 66 level u8, 68 twelve bytes that depend on the node type, 80 footer, 96 opaque

An internal node's ``used`` counts its children. They have one key less between them: key i is the smallest that child i + 1 may hold.
Children are addresses in the memory of the process, which are the same after each start, as segments are mapped at fixed places.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import List, NamedTuple, Tuple

from . import formats
from .btree_types import ORDERED, TREES, order
from .ids import Fid

HEAD = 104
CHECKED = 80
"""Bytes of the head that its checksum is of."""
FF, FKVV, VKVV = 1, 2, 4
NODES = {FF: "fixed keys, fixed values", FKVV: "fixed keys, values of any length", VKVV: "keys and values of any length"}
MOST = 16 << 20
"""Bytes that no node is longer than."""
NO_CRC, VALUE_HASH, VALUE_FOOTER, USER_CRC, NODE_HASH = range(5)
"""m0_btree_crc_type: what guards each record of a leaf. NODE_HASH are 8 bytes behind the value that are no part of it."""

_HASH = 8
_POINTER = 8
_SLOT = 12
_ADDRESSES = 1 << 56
_NO_FID = Fid(0, 0)


class Fault(NamedTuple):
    """One thing that is wrong. ``code`` is a word for programs, ``text`` a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class Node:
    """One node. ``keys`` and ``values`` are of a leaf, in pairs; an internal node has ``children`` and one key less.

    ``size`` is in bytes, ``address`` and ``children`` are in the memory of the process. ``checksum_ok`` is of the head alone:
    Motr keeps none of keys and values, unless ``crc_type`` says so. Where there are ``faults`` the rest is what could be read.
    """

    address: int
    node_type: int = 0
    tree_type: int = 0
    level: int = 0
    used: int = 0
    size: int = 0
    crc_type: int = 0
    generation: int = 0
    fid: Fid = _NO_FID
    checksum_ok: bool = False
    keys: Tuple[bytes, ...] = ()
    values: Tuple[bytes, ...] = ()
    children: Tuple[int, ...] = ()
    faults: Tuple[Fault, ...] = ()

    @property
    def is_leaf(self) -> bool:
        return self.level == 0

    @property
    def node_name(self) -> str:
        return NODES.get(self.node_type, "unknown")

    @property
    def tree_name(self) -> str:
        return TREES.get(self.tree_type, "unknown")


class _Broken(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.fault = Fault(code, text)


@dataclass
class _Parts:
    """What of a node was found so far."""

    keys: List[bytes] = field(default_factory=list)
    values: List[bytes] = field(default_factory=list)
    children: List[int] = field(default_factory=list)
    faults: List[Fault] = field(default_factory=list)
    key_end: int = HEAD
    """Where the keys end and, below, where the values begin: they grow towards each other."""
    value_start: int = 0


class _Raw:
    """The bytes of one node and the fields of its head. Every look at the bytes goes through ``cut``."""

    def __init__(self, raw: bytes) -> None:
        self.node_type, self.tree_type, self.crc_type = struct.unpack_from("<III", raw, 16)
        self.generation, container, key = struct.unpack_from("<QQQ", raw, 32)
        self.fid = Fid(container, key)
        self.used, self.level = struct.unpack_from("<HB", raw, 64)
        self.ksize, self.vsize = struct.unpack_from("<HH", raw, 68)
        self.dir_offset = struct.unpack_from("<I", raw, 68)[0]
        self.size = struct.unpack_from("<I", raw, 72)[0]
        self.data = raw[: self.size]

    def cut(self, start: int, end: int, what: str) -> bytes:
        if not HEAD <= start <= end <= self.size:
            raise _Broken("bounds", "%s would be at [%d, %d), outside of the node's [%d, %d)" % (what, start, end, HEAD, self.size))
        if end > len(self.data):
            raise _Broken("cut_short", "%s is at [%d, %d), and only %d of %d bytes were read" % (what, start, end, len(self.data), self.size))
        return self.data[start:end]

    def number(self, offset: int, length: int, what: str) -> int:
        return int.from_bytes(self.cut(offset, offset + length, what), "little")


def node_size(head: bytes) -> int:
    """The length in bytes of the node that begins with these 104 bytes; 0 where no sound node does."""
    if len(head) < HEAD or _head_faults(head):
        return 0
    return int(struct.unpack_from("<I", head, 72)[0])


def parse_node(raw: bytes, address: int) -> Node:
    """The node in ``raw``, which may be longer than it. Never raises: what is wrong with the node is told by ``faults``.

    Codes: cut_short, magic, format, checksum, node_type, tree_type, size, used, crc_type, bounds, directory, overlap, key,
    order, child, record_checksum.
    """
    if len(raw) < HEAD:
        return Node(address, faults=(Fault("cut_short", "a node's head is %d bytes, here are %d" % (HEAD, len(raw))),))
    raw = bytes(raw)
    node, parts = _Raw(raw), _Parts()
    parts.faults += _head_faults(raw)
    codes = {fault.code for fault in parts.faults}
    if not codes & {"magic", "format", "node_type", "size"}:
        _read_body(node, parts)
    return Node(
        address,
        *(node.node_type, node.tree_type, node.level, node.used, node.size, node.crc_type, node.generation, node.fid),
        checksum_ok=not codes & {"magic", "checksum"},
        keys=tuple(parts.keys),
        values=tuple(parts.values),
        children=tuple(parts.children),
        faults=tuple(parts.faults),
    )


def _head_faults(raw: bytes) -> List[Fault]:
    node, found = _Raw(raw), []
    header = formats.read_header(raw)
    if header is None:
        return [Fault("magic", "there is no node: it begins with %s" % raw[:8].hex())]
    if header != (1, formats.BTREE_NODE, CHECKED):
        found.append(Fault("format", "version %d, type %d, length %d instead of 1, %d, %d" % (*header, formats.BTREE_NODE, CHECKED)))
    footer = formats.footer_fault(raw, CHECKED)
    if footer:
        found.append(Fault("checksum", "the head is damaged: %s" % footer))
    if node.node_type not in NODES:
        found.append(Fault("node_type", "the node type is %d; known are %s" % (node.node_type, ", ".join(map(str, sorted(NODES))))))
    if node.tree_type not in TREES:
        found.append(Fault("tree_type", "the tree type is %d; known are %d to %d" % (node.tree_type, min(TREES), max(TREES))))
    if not HEAD < node.size <= MOST:
        found.append(Fault("size", "the node would have %d bytes; more than %d and at most %d is possible" % (node.size, HEAD, MOST)))
    if node.crc_type > NODE_HASH:
        found.append(Fault("crc_type", "records would have checksums of type %d; known are 0 to %d" % (node.crc_type, NODE_HASH)))
    return found


def _read_body(node: _Raw, parts: _Parts) -> None:
    parts.value_start = node.size
    try:
        if node.level:
            _read_internal(node, parts)
        else:
            _LEAVES[node.node_type](node, parts)
            _check_records(node, parts)
        _check_order(node, parts)
    except _Broken as exc:
        parts.faults.append(exc.fault)


def _take(parts: _Parts, key_end: int, value_start: int) -> None:
    """Note where the keys now end and the values begin."""
    parts.key_end, parts.value_start = max(parts.key_end, key_end), min(parts.value_start, value_start)
    if parts.key_end > parts.value_start:
        raise _Broken("overlap", "keys reach to %d, and values begin at %d" % (parts.key_end, parts.value_start))


def _add_value(node: _Raw, parts: _Parts, start: int, end: int) -> None:
    """A value, of which the checksum that may follow it is no part."""
    value = node.cut(start, end, "value %d" % len(parts.values))
    if node.crc_type == NODE_HASH:
        index = len(parts.values)
        if len(value) < _HASH:
            raise _Broken("bounds", "value %d has no room for its checksum" % index)
        value, checksum = value[:-_HASH], int.from_bytes(value[-_HASH:], "little")
        _check_hash(parts, index, value, checksum)
    parts.values.append(value)


def _read_fixed(node: _Raw, parts: _Parts) -> None:
    """FF: key i at 104 + ksize x i, value i ends vsize x i before the end."""
    stride = node.vsize + (_HASH if node.crc_type == NODE_HASH else 0)
    for index in range(node.used):
        end = node.size - stride * index
        start = HEAD + node.ksize * index
        key = node.cut(start, start + node.ksize, "key %d" % index)
        _take(parts, start + node.ksize, end - stride)
        _add_value(node, parts, end - stride, end)
        parts.keys.append(key)


def _read_fixed_keys(node: _Raw, parts: _Parts) -> None:
    """FKVV: each key is followed by the distance of its value's beginning from the end of the node."""
    before = 0
    for index in range(node.used):
        start = HEAD + (node.ksize + 4) * index
        key = node.cut(start, start + node.ksize, "key %d" % index)
        distance = node.number(start + node.ksize, 4, "the place of value %d" % index)
        if distance < before:
            raise _Broken("directory", "value %d would begin %d bytes before the end, behind the one before at %d" % (index, distance, before))
        _take(parts, start + node.ksize + 4, node.size - distance)
        _add_value(node, parts, node.size - distance, node.size - before)
        parts.keys.append(key)
        before = distance


def _read_variable(node: _Raw, parts: _Parts) -> None:
    """VKVV: a directory of used + 1 pairs, distances of keys from the head and of values from the end."""
    at = HEAD + node.dir_offset
    length = 8 * (node.used + 1)
    if not node.used:
        return
    places = list(struct.iter_unpack("<II", node.cut(at, at + length, "the directory")))
    for index, ((key, value), (key_end, value_end)) in enumerate(zip(places, places[1:])):
        if key_end < key or value_end < value:
            raise _Broken("directory", "entry %d of the directory goes backwards" % (index + 1))
        if HEAD + key_end > at:
            raise _Broken("overlap", "key %d would end at %d, in the directory at %d" % (index, HEAD + key_end, at))
        raw_key = node.cut(HEAD + key, HEAD + key_end, "key %d" % index)
        _take(parts, at + length, node.size - value_end)
        _add_value(node, parts, node.size - value_end, node.size - value)
        parts.keys.append(raw_key)


_LEAVES = {FF: _read_fixed, FKVV: _read_fixed_keys, VKVV: _read_variable}


def _read_internal(node: _Raw, parts: _Parts) -> None:
    """Children lie at the end, the first one last. The key behind the last meaningful one is what was left there."""
    if not node.used:
        raise _Broken("used", "a node of level %d has no children" % node.level)
    stride = _SLOT if node.node_type == VKVV else _POINTER
    place, seen = HEAD, set()
    for index in range(node.used):
        slot = node.size - stride * (index + 1)
        child = node.number(slot + stride - _POINTER, _POINTER, "child %d" % index)
        _take(parts, place, slot)
        if not 0 < child < _ADDRESSES or child in seen:
            raise _Broken("child", "child %d is %#x, %s" % (index, child, "twice" if child in seen else "no address"))
        seen.add(child)
        parts.children.append(child)
        if index < node.used - 1:
            end = HEAD + node.number(slot, 4, "the end of key %d" % index) if stride == _SLOT else place + node.ksize
            if end < place:
                raise _Broken("directory", "key %d would end at %d, before it begins at %d" % (index, end, place))
            key = node.cut(place, end, "key %d" % index)
            _take(parts, end, slot)
            parts.keys.append(key)
            place = end


def _check_hash(parts: _Parts, index: int, data: bytes, checksum: int) -> None:
    wanted = formats.fnv1(data)
    if checksum != wanted:
        parts.faults.append(Fault("record_checksum", "value %d: the checksum is %#x, its bytes give %#x" % (index, checksum, wanted)))


def _check_records(node: _Raw, parts: _Parts) -> None:
    """Checksums that are a part of the values."""
    for index, value in enumerate(parts.values):
        if node.crc_type == VALUE_HASH and len(value) < _HASH:
            parts.faults.append(Fault("record_checksum", "value %d, of %d bytes, has no room for its checksum" % (index, len(value))))
        elif node.crc_type == VALUE_HASH:
            _check_hash(parts, index, value[:-_HASH], int.from_bytes(value[-_HASH:], "little"))
        elif node.crc_type == VALUE_FOOTER:
            header = formats.read_header(value)
            fault = formats.footer_fault(value, header.size) if header else "it has no header"
            if fault:
                parts.faults.append(Fault("record_checksum", "value %d: %s" % (index, fault)))


def _check_order(node: _Raw, parts: _Parts) -> None:
    """Keys ascend, where it is known how keys of such a tree are compared."""
    if node.tree_type not in ORDERED:
        return
    places = [order(node.tree_type, key) for key in parts.keys]
    if not all(places):
        index = places.index(())
        raise _Broken("key", "key %d, of %d bytes, is no key of a tree of type %d" % (index, len(parts.keys[index]), node.tree_type))
    for index, (one, two) in enumerate(zip(places, places[1:])):
        if not one < two:
            parts.faults.append(Fault("order", "key %d is not greater than key %d" % (index + 1, index)))
            return
