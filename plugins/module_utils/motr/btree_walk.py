# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the root of a b-tree to its leaves, while the tree may be changing, be damaged, or lead in a circle.

A reader is any ``read(address, length) -> bytes`` that raises MotrError where it cannot: see memory.py.
Source: be/btree.c. Every leaf is as deep as every other: a child's level is its parent's less one.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from .btree import HEAD, Fault, Node, node_size, parse_node
from .btree_types import TREES, Order, order
from .errors import MotrError

Read = Callable[[int, int], bytes]


class Limits(NamedTuple):
    """How much is read at most. ``attempts``: a node that is damaged is read again, as it may have been changed meanwhile."""

    nodes: int = 100000
    size: int = 1 << 30
    """Bytes of all nodes."""
    node_size: int = 1 << 20
    """Bytes of one node."""
    attempts: int = 3


USUAL = Limits()


class Range(NamedTuple):
    """Keys from ``low`` to ``high``, both included, as btree_types.order() gives them. An empty one is no bound."""

    low: Order = ()
    high: Order = ()

    def holds(self, place: Order) -> bool:
        return not (self.low and place < self.low) and not (self.high and place > self.high)


ALL = Range()


class Visit(NamedTuple):
    """A node on the way. ``node`` is None where none was read. With ``faults`` its children are not followed.

    To those of the node itself come: unreadable, too_long, cycle, level, tree (it is of another one), range (keys that its parent does not
    leave it), moved (its parent no longer leads to it), limit (the walk ended here).
    """

    address: int
    parent: int
    node: Optional[Node]
    faults: Tuple[Fault, ...]


class _Place(NamedTuple):
    """Where to go next. ``level`` is the one that is expected, -1 for a root; keys may be from ``low`` on and must be below ``high``."""

    address: int
    parent: int
    level: int
    low: Order = ()
    high: Order = ()
    again: bool = False
    """Whether another node, or the same, has led there before."""


@dataclass
class _Walk:
    read: Read
    limits: Limits
    within: Range
    ahead: List[_Place]
    """A stack, so that leaves come in the order of their keys."""
    claimed: Set[int] = field(default_factory=set)
    """Addresses that were met in a node: the first that leads to one keeps it, which the children of one node do before theirs."""
    bounds: Dict[int, Tuple[Order, Order]] = field(default_factory=dict)
    """By address what the keys of internal nodes may be."""
    nodes: int = 0
    size: int = 0
    root: Optional[Node] = None

    def run(self) -> Iterator[Visit]:
        while self.ahead:
            place = self.ahead.pop()
            if place.again:
                text = "the node at %#x is reached a second time, from that at %#x" % (place.address, place.parent)
                yield Visit(place.address, place.parent, None, (Fault("cycle", text),))
                continue
            stop = self.spent()
            if stop:
                yield Visit(place.address, place.parent, None, (Fault("limit", stop),))
                return
            self.nodes += 1
            yield self.visit(place)

    def spent(self) -> str:
        if self.nodes >= self.limits.nodes:
            return "the walk ended after %d nodes" % self.limits.nodes
        return "the walk ended after %d bytes" % self.size if self.size >= self.limits.size else ""

    def visit(self, place: _Place) -> Visit:
        node, faults = self.look(place)
        if faults and place.parent:
            place, node, faults = self.settled(place, node, faults)
        if node is None:
            return Visit(place.address, place.parent, None, faults)
        self.size += max(HEAD, node.size)
        if self.root is None and not faults:
            self.root = node
            _refuse_unordered(node, self.within)
        if not faults:
            self.ahead += reversed(list(self.below(place, node)))
        return Visit(place.address, place.parent, node, faults)

    def look(self, place: _Place) -> Tuple[Optional[Node], Tuple[Fault, ...]]:
        """The node of a place, and what is wrong with it there."""
        try:
            node = read_node(self.read, place.address, self.limits)
        except MotrError as exc:
            return None, (Fault("unreadable", str(exc)),)
        return node, node.faults + tuple(self.strange(place, node))

    def settled(self, place: _Place, node: Optional[Node], faults: Tuple[Fault, ...]) -> Tuple[_Place, Optional[Node], Tuple[Fault, ...]]:
        """The same once more where the parent was changed since it was read, which may be long ago."""
        for _attempt in range(self.limits.attempts - 1):
            try:
                parent = read_node(self.read, place.parent, self.limits)
            except MotrError:
                break
            if parent.faults or parent.level != place.level + 1:
                break
            if place.address not in parent.children:
                return place, None, (Fault("moved", "the node at %#x was its child, and no longer is: the tree was changed meanwhile" % place.address),)
            at, (low, high) = parent.children.index(place.address), self.bounds[place.parent]
            between = [low, *(order(parent.tree_type, key) for key in parent.keys), high]
            now = place._replace(low=between[at], high=between[at + 1])
            if now == place:
                break
            place = now
            node, faults = self.look(place)
            if not faults:
                break
        return place, node, faults

    def below(self, place: _Place, node: Node) -> Iterator[_Place]:
        """The children that are wanted, and what keys they may have."""
        if node.is_leaf:
            return
        self.bounds[node.address] = place.low, place.high
        bounds = [place.low, *(order(node.tree_type, key) for key in node.keys), place.high]
        first, behind = _children(node, self.within)
        for child, low, high in list(zip(node.children, bounds, bounds[1:]))[first:behind]:
            yield _Place(child, node.address, node.level - 1, low, high, child in self.claimed)
            self.claimed.add(child)

    def strange(self, place: _Place, node: Node) -> Iterator[Fault]:
        """What is wrong with a sound node at this place."""
        if node.faults or self.root is None:
            return
        if node.level != place.level:
            yield Fault("level", "its level is %d, below its parent it should be %d" % (node.level, place.level))
        if (node.tree_type, node.fid) != (self.root.tree_type, self.root.fid):
            mine, wanted = ("%s %s" % (one.tree_name, one.fid) for one in (node, self.root))
            yield Fault("tree", "it is of the tree %s, the root of %s" % (mine, wanted))
            return
        # Of a sound node the keys ascend.
        if node.keys and place.low and order(node.tree_type, node.keys[0]) < place.low:
            yield Fault("range", "its first key is less than all that its parent leaves it")
        if node.keys and place.high and order(node.tree_type, node.keys[-1]) >= place.high:
            yield Fault("range", "its last key is greater than all that its parent leaves it")


def _refuse_unordered(root: Node, within: Range) -> None:
    if within != ALL and root.keys and not order(root.tree_type, root.keys[0]):
        raise MotrError("keys of a tree of type %d (%s) are not known to have an order to look up by" % (root.tree_type, TREES[root.tree_type]))


def _children(node: Node, within: Range) -> Tuple[int, int]:
    """The first child that may hold keys of a range, and the one behind the last: key i is the smallest that child i + 1 may hold."""
    places = [order(node.tree_type, key) for key in node.keys]
    if within == ALL or not all(places):
        return 0, len(node.children)
    first = bisect_right(places, within.low) if within.low else 0
    last = bisect_right(places, within.high) if within.high else len(places)
    return first, last + 1


def read_node(read: Read, address: int, limits: Limits = USUAL) -> Node:
    """The node at an address. Its length is believed only if the checksum of its head is right. MotrError where it cannot be read."""
    node = Node(address)
    for _attempt in range(max(1, limits.attempts)):
        head = read(address, HEAD)
        size = node_size(head)
        if size > limits.node_size:
            fault = Fault("too_long", "the node has %d bytes, and at most %d are read" % (size, limits.node_size))
            return replace(parse_node(head, address), faults=(fault,))
        node = parse_node(read(address, size) if size else head, address)
        if not size:  # that the rest of it was not read is no damage
            node = replace(node, faults=tuple(fault for fault in node.faults if fault.code != "cut_short"))
        if not node.faults:
            break
    return node


def walk(read: Read, root: int, limits: Limits = USUAL, within: Range = ALL) -> Iterator[Visit]:
    """Nodes from a root downwards, leaves in the order of their keys, each address once; with ``within`` only those that may hold such keys.

    A damaged node is told and not followed. MotrError only where keys have no known order and ``within`` asks for some.
    """
    return _Walk(read, limits, within, [_Place(root, 0, -1)], {root}).run()


class Found(NamedTuple):
    """A record, or, where ``fault`` is one, what may have been missed here."""

    key: bytes
    value: bytes
    visit: Visit
    fault: Optional[Fault] = None


def records(read: Read, root: int, limits: Limits = USUAL, within: Range = ALL) -> Iterator[Found]:
    """Records of a range in the order of their keys, read as they are asked for. Records of damaged leaves are left out, and that told."""
    for visit in walk(read, root, limits, within):
        for fault in visit.faults:
            yield Found(b"", b"", visit, fault)
        node = visit.node
        if node is None or visit.faults or not node.is_leaf:
            continue
        for key, value in zip(node.keys, node.values):
            if within == ALL or within.holds(order(node.tree_type, key)):
                yield Found(key, value, visit)
