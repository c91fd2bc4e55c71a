# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes met anywhere in segments, for those who know no root, and which of them are roots.

Freed memory may hold old nodes: to walk from a root is better wherever one is known. Source: be/btree.c, be/extmap_internal.h (m0_be_emap),
format/format.h.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field, replace
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from . import formats
from .btree import CHECKED, HEAD, Fault, Node, parse_node
from .btree_types import EMAP
from .btree_walk import USUAL, Limits, Read, read_node
from .errors import MotrError
from .ids import Fid

Name = Tuple[int, Fid]
"""Type and fid of a tree."""
NODE_MAGIC = struct.pack("<QQ", formats.HEADER_MAGIC, 1 << 48 | formats.BTREE_NODE << 32 | CHECKED)
MOST = 8 << 30
"""Bytes that are looked through, if no other number is given."""
_BEGINNING = re.compile(re.escape(NODE_MAGIC))
"""On memory that is full of zeros this is five times as quick as bytes.find."""
_PIECE = 1 << 20
_UNREADABLE = 100
"""Pieces that cannot be read, before what is left is not tried: a header may claim more than there is."""
_MAP_HEADER = formats.HEADER_SIZE + formats.FOOTER_SIZE
_ALIGNMENTS = tuple(1 << shift for shift in range(9, 17))
"""m0_be_emap begins one alignment of its root node before it; which one that is has changed between versions."""


class Scan(NamedTuple):
    """``nodes`` have a sound head; of leaves that is all that was read. ``damaged`` begin like a node, and their head is wrong.

    ``size`` and ``scanned`` are in bytes: of what was to be looked through, and of what was. ``faults``: unreadable, limit.
    """

    nodes: Tuple[Node, ...]
    damaged: Tuple[Node, ...]
    size: int
    scanned: int
    faults: Tuple[Fault, ...]

    def of(self, tree: Fid) -> Scan:
        """What of it is of one tree."""
        nodes, damaged = (tuple(node for node in some if node.fid == tree) for some in (self.nodes, self.damaged))
        return self._replace(nodes=nodes, damaged=damaged)


@dataclass
class _Scan:
    read: Read
    trees: FrozenSet[bytes]
    """As heads have their fids; none for all trees."""
    nodes: List[Node] = field(default_factory=list)
    damaged: List[Node] = field(default_factory=list)
    faults: List[Fault] = field(default_factory=list)

    def piece(self, at: int, length: int, end: int) -> int:
        """Look for nodes that begin in a piece, which a head may reach out of. How many bytes were looked through."""
        data, why = b"", ""
        for wanted in (min(length + HEAD - 1, end - at), length):  # what follows may not be there
            try:
                data = self.read(at, wanted)
                break
            except MotrError as exc:
                why = str(exc)
        if not data:
            self.faults.append(Fault("unreadable", why))
            return 0
        for match in _BEGINNING.finditer(data):
            if match.start() < length:
                self.met(at + match.start(), data[match.start() : match.start() + HEAD])
        return length

    def met(self, address: int, head: bytes) -> None:
        if len(head) < HEAD or (self.trees and head[40:56] not in self.trees):
            return
        node = parse_node(head, address)
        node = replace(node, keys=(), values=(), children=(), faults=tuple(fault for fault in node.faults if fault.code in _OF_HEADS))
        if node.level or node.faults:  # what is damaged may only just have been changed
            try:
                node = read_node(self.read, address, USUAL)
            except MotrError as exc:
                node = replace(node, faults=(Fault("unreadable", str(exc)),))
        (self.damaged if node.faults else self.nodes).append(node)


_OF_HEADS = frozenset(("magic", "format", "checksum", "node_type", "tree_type", "size", "crc_type"))


def scan(read: Read, ranges: Sequence[Tuple[int, int]], trees: Iterable[Fid] = (), most: int = MOST, limits: Limits = USUAL) -> Scan:
    """Nodes that begin in these ranges of addresses, of these trees or of all, until ``most`` bytes or the limit of nodes are reached."""
    state, scanned = _Scan(read, frozenset(struct.pack("<QQ", *tree) for tree in trees)), 0
    size = sum(end - start for start, end in ranges)
    stop = ""
    for at, end in ((at, last) for first, last in ranges for at in range(first, last, _PIECE)):
        stop = _reached(state, scanned, size, most, limits)
        if stop:
            break
        scanned += state.piece(at, min(_PIECE, end - at, most - scanned), end)
    stop = stop or (_reached(state, scanned, size, most, limits) if scanned < size and not state.faults else "")
    faults = (*state.faults, *([Fault("limit", stop)] if stop else []))
    return Scan(tuple(state.nodes), tuple(state.damaged), size, scanned, faults)


def _reached(state: _Scan, scanned: int, size: int, most: int, limits: Limits) -> str:
    if scanned >= most:
        return "%d of %d bytes were looked through" % (scanned, size)
    if len(state.faults) >= _UNREADABLE:
        return "the search ended with %d parts that cannot be read, after %d of %d bytes" % (len(state.faults), scanned, size)
    if len(state.nodes) + len(state.damaged) >= limits.nodes:
        return "the search ended with %d nodes, after %d of %d bytes" % (len(state.nodes) + len(state.damaged), scanned, size)
    return ""


def tops(nodes: Sequence[Node]) -> Dict[Name, Tuple[int, ...]]:
    """Addresses that are no other's child, by tree. More than one means that old or damaged nodes are among them."""
    below = {child for node in nodes for child in node.children}
    found: Dict[Name, Tuple[int, ...]] = {}
    for node in nodes:
        if node.address not in below:
            name = (node.tree_type, node.fid)
            found[name] = found.get(name, ()) + (node.address,)
    return found


def in_map(read: Read, address: int) -> bool:
    """Whether the node at an address is where the root of an extent map is: behind the header of the map, in the same structure."""
    for distance in _ALIGNMENTS:
        try:
            raw = read(address - distance, _MAP_HEADER)
        except MotrError:
            continue
        if not formats.frame_fault(raw, formats.EMAP):
            return True
    return False


class Root(NamedTuple):
    """``address`` is None where it is not certain, and ``fault`` says why: none, ambiguous, cycle. ``candidates`` are those that may be it."""

    address: Optional[int]
    candidates: Tuple[int, ...]
    fault: Optional[Fault] = None


def _ring(read: Read, found: Scan, name: Name) -> Root:
    """A tree without a top: there are no nodes of it, or each of them is the child of another. What lies in the map's structure is its root all the same."""
    nodes = [node for node in found.nodes if (node.tree_type, node.fid) == name]
    if not nodes:
        return Root(None, (), Fault("none", "no node of the tree %s was found" % str(name[1])))
    highest = max(node.level for node in nodes)
    candidates = tuple(sorted(node.address for node in nodes if node.level == highest))
    placed = [node.address for node in nodes if name[0] == EMAP and in_map(read, node.address)]
    if len(placed) == 1:
        return Root(placed[0], candidates)
    text = "each of the %d nodes of the tree %s is the child of one of them: they lead in a circle, and none is the root" % (len(nodes), str(name[1]))
    return Root(None, candidates, Fault("cycle", text))


def root_of(read: Read, found: Scan, name: Name) -> Root:
    """The root of a tree, among the nodes that a scan found. A root never moves, and that of an extent map is a part of the map's structure."""
    damaged = tuple(node.address for node in found.damaged if (node.tree_type, node.fid) == name)
    candidates = tuple(sorted(set(tops(found.nodes).get(name, ()) + damaged)))
    placed = [address for address in candidates if name[0] == EMAP and in_map(read, address)]
    if len(placed) == 1:
        return Root(placed[0], candidates)
    if not candidates:
        return _ring(read, found, name)
    if len(candidates) == 1 and not damaged and not found.faults:
        return Root(candidates[0], candidates)
    places = ", ".join("%#x" % address for address in candidates[:10])
    why = "one of them is damaged" if damaged else "old ones may be among them" if len(candidates) > 1 else found.faults[0].text
    return Root(None, candidates, Fault("ambiguous", "which of the nodes of the tree %s is its root is not certain (%s): %s" % (name[1], why, places)))
