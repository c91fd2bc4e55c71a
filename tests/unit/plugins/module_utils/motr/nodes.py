# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of b-trees: those of real Motr, and others made from the layout of be/btree.c by an encoder that shares nothing with the reader."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any, Sequence

FIXTURES = Path(__file__).parent / "fixtures"
REAL: list[dict[str, Any]] = json.loads((FIXTURES / "btree_nodes.json").read_text(encoding="ascii"))
TREE = (0x6200000000000001, 7)
FF, FKVV, VKVV = 1, 2, 4
AREA = 104


def real(address: str) -> bytes:
    return base64.b64decode(next(node["raw_b64"] for node in REAL if node["addr"] == address))


def checksum(data: bytes) -> bytes:
    value = 14695981039346656037 if data else 0
    for byte in data:
        value = ((value * 1099511628211) % 2**64) ^ byte
    return struct.pack("<Q", value)


def framed(kind: int, body: bytes) -> bytes:
    """A record in header and footer."""
    data = struct.pack("<QQ", 0x33011CA5E511DE77, 1 << 48 | kind << 32 | (16 + len(body))) + body
    return data + struct.pack("<Q", 0x33F007E7F007E777) + checksum(data)


def sealed(head: bytes, rest: bytes) -> bytes:
    """A node from the first 80 bytes of its head and what follows the head."""
    return head + struct.pack("<Q", 0x33F007E7F007E777) + checksum(head) + bytes(8) + rest


def head(node_type: int, tree_type: int, level: int, used: int, special: bytes, crc_type: int = 0, fid: tuple[int, int] = TREE) -> bytes:
    start = struct.pack("<QQIIII", 0x33011CA5E511DE77, 1 << 48 | 4 << 32 | 80, node_type, tree_type, crc_type, 0)
    return start + struct.pack("<QQQQHBx", 11, *fid, 0, used, level) + special.ljust(12, b"\0")


def leaf(node_type: int, tree_type: int, pairs: Sequence[tuple[bytes, bytes]], size: int = 4096, crc_type: int = 0, fid: tuple[int, int] = TREE) -> bytes:
    """A leaf with these records; with ``crc_type`` 4 each value is followed by its checksum."""
    ksize, vsize = (len(pairs[0][0]), len(pairs[0][1])) if pairs else (8, 8)
    keys, values, places = b"", b"", [(0, 0)]
    for key, value in pairs:
        values = value + (checksum(value) if crc_type == 4 else b"") + values
        keys += key + (struct.pack("<I", len(values)) if node_type == FKVV else b"")
        places.append((len(keys), len(values)))
    if node_type == VKVV:
        special = struct.pack("<III", len(keys), size, 64)
        keys += b"".join(struct.pack("<II", *place) for place in places)
    else:
        special = struct.pack("<HHI", ksize, vsize if node_type == FF else 0, size)
    area = keys + bytes(size - AREA - len(keys) - len(values)) + values
    return sealed(head(node_type, tree_type, 0, len(pairs), special, crc_type, fid), area)


def internal(
    node_type: int, tree_type: int, level: int, keys: Sequence[bytes], children: Sequence[int], size: int = 4096, fid: tuple[int, int] = TREE
) -> bytes:
    """An internal node. The key after the last meaningful one is full of what was there before."""
    slots, end = b"", 0
    for index, child in enumerate(children):
        end += len(keys[index]) if index < len(keys) else 0
        slots = (struct.pack("<I", end) if node_type == VKVV else b"") + struct.pack("<Q", child) + slots
    area = b"".join(keys) + b"\xa5" * 16
    ksize = len(keys[0]) if keys else 8
    special = struct.pack("<III", 0, size, 64) if node_type == VKVV else struct.pack("<HHI", ksize, 24, size)
    return sealed(head(node_type, tree_type, level, len(children), special, 0, fid), area + bytes(size - AREA - len(area) - len(slots)) + slots)


def emap_pair(stob: tuple[int, int], start: int, end: int, value: int, checksums: bytes = b"") -> tuple[bytes, bytes]:
    key = framed(5, struct.pack("<QQQ", *stob, end))
    return key, framed(6, struct.pack("<QQQQ", start, value, 0, len(checksums)) + checksums)


class Memory:
    """What is at which address, and what was read of it."""

    def __init__(self, error: type, nodes: dict[int, bytes]) -> None:
        self.error, self.nodes = error, nodes
        self.asked: list[int] = []

    def read(self, address: int, length: int) -> bytes:
        for start, data in self.nodes.items():
            if start <= address and address + length <= start + len(data):
                self.asked.append(address)
                return data[address - start :][:length]
        raise self.error("nothing is at %#x" % address)


def tree(node_type: int, tree_type: int, keys: Sequence[bytes], value: bytes, fan: int, base: int = 0x400000000000) -> tuple[int, dict[int, bytes]]:
    """A tree with these keys, at most ``fan`` in a node. The root's address, and all nodes by theirs."""
    nodes: dict[int, bytes] = {}

    def place(raw: bytes) -> int:
        address = base + 8192 * len(nodes)
        nodes[address] = raw
        return address

    row = [(keys[i], place(leaf(node_type, tree_type, [(key, value) for key in keys[i : i + fan]]))) for i in range(0, len(keys), fan)]
    level = 0
    while len(row) > 1:
        level += 1
        groups = [row[i : i + fan] for i in range(0, len(row), fan)]
        row = [(part[0][0], place(internal(node_type, tree_type, level, [key for key, at in part[1:]], [at for key, at in part]))) for part in groups]
    return row[0][1], nodes
