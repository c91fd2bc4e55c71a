# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tree of failure domains of a pool version, the tile that spreads parity groups over it, and the permutations that mix it (Motr's ``fd/fd.c``).

Everything is counted in units and targets; nothing here knows bytes. A target is the number of a drive, counted through the tree's leaves from left to right.
"""

from __future__ import annotations

from math import gcd
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .errors import MotrError

numpy: Any
try:
    import numpy
except ImportError:  # not needed
    numpy = None

NAMES = ("sites", "racks", "enclosures", "controllers", "drives")
HEIGHT = len(NAMES)
"""Levels below a pool version (``M0_CONF_PVER_HEIGHT``)."""
DRIVES_MAX = 1 << 24
"""Device numbers have 24 bits."""
WORD = (1 << 64) - 1
_LARGEST = (1 << 48) - 1


def _seed() -> Tuple[int, int]:
    """The seed of every pool version, whatever its configuration says (``M0_PDCLUST_SEED``, ``layout/layout_pver.c``)."""
    text = b"upjumpandpumpim,"
    return int.from_bytes(text[:8], "big"), int.from_bytes(text[8:], "big")


SEED = _seed()

Levels = Tuple[Tuple[int, ...], ...]


class Tree:
    """The numbers of children of all nodes, level by level from the root: ``[[2], [3, 4]]`` is a root with two nodes that have 3 and 4 drives."""

    def __init__(self, levels: Sequence[Sequence[int]]) -> None:
        self.levels: Levels = tuple(tuple(level) for level in levels)
        _check(self.levels)
        self.depth = len(self.levels)
        self.leaves = sum(self.levels[-1])
        self.symmetric = tuple(min(level) for level in self.levels)
        """Children of every node of the largest symmetric tree within; data are on no more than this (``symm_tree_attr_get``)."""
        self.lengths = tuple(sorted({count for level in self.levels for count in level}))
        self.firsts = tuple(_firsts(level) for level in self.levels)
        """For each node of a level the number of its first child, counted through the level below."""


def _check(levels: Levels) -> None:
    if not 1 <= len(levels) <= HEIGHT:
        raise MotrError("a tree of failure domains has 1 to %d levels, not %d" % (HEIGHT, len(levels)))
    nodes = 1
    for number, level in enumerate(levels):
        if len(level) != nodes:
            raise MotrError("level %d of the tree has %d nodes, but numbers of children for %d" % (number, nodes, len(level)))
        if not all(isinstance(count, int) and count > 0 for count in level):
            raise MotrError("every node of level %d of the tree needs at least one child, not %s" % (number, ", ".join(map(str, level))))
        nodes = sum(level)
    if nodes > DRIVES_MAX:
        raise MotrError("the tree has %d drives, more than the %d that Motr can number" % (nodes, DRIVES_MAX))


def _firsts(level: Sequence[int]) -> Tuple[int, ...]:
    firsts, total = [], 0
    for count in level:
        firsts.append(total)
        total += count
    return tuple(firsts)


def from_pool_version(levels: Sequence[Sequence[int]], tolerance: Sequence[int]) -> List[List[int]]:
    """The levels that Motr makes its tree of, out of all five of a pool version: those from the first with a tolerance on, with none drives only.

    ``levels`` are the numbers of children as in Tree, from the pool version's sites to its controllers' drives, ``tolerance`` is its vector of tolerances.
    """
    if len(levels) != HEIGHT or len(tolerance) != HEIGHT:
        raise MotrError("a pool version has %d levels and as many tolerances, not %d and %d" % (HEIGHT, len(levels), len(tolerance)))
    first = next((number for number, value in enumerate(tolerance) if value), HEIGHT - 1)
    tree = [[sum(levels[first])]] + [list(level) for level in levels[first + 1 :]]
    Tree(tree)
    return tree


def feasible(levels: Sequence[Sequence[int]], tolerance: Sequence[int], n: int, k: int, s: int, p: int) -> List[List[int]]:
    """The same for the groups of a pool version, if Motr makes a map of it (conf/validation.c, m0_pdclust_attr_check, ``symm_tree_attr_get``)."""
    for name, counts, tolerated in zip(NAMES, levels, tolerance):
        if not all(counts):
            raise MotrError("something in its tree has no %s below it" % name)
        if not 0 <= tolerated <= sum(counts):
            raise MotrError("it is to tolerate the loss of %d of its %d %s" % (tolerated, sum(counts), name))
    tree = from_pool_version(levels, tolerance)
    if s > k or n + k + s > p:
        raise MotrError("N=%d K=%d S=%d P=%d: a group has no more spare units than parity units, and no more units than there are devices" % (n, k, s, p))
    Tile(Tree(tree), n, k, s)
    if tolerance[-1]:
        _check_tolerance(tree, tolerance[HEIGHT - len(tree) :], n, k, s)
    return tree


def _check_tolerance(tree: Sequence[Sequence[int]], tolerance: Sequence[int], n: int, k: int, s: int) -> None:
    """Whether what is lost of a group with as many nodes as may be lost can be made again (``tolerance_check``). That of drives is K, whatever is said."""
    units = [n + k + s]
    for number, (counts, tolerated) in enumerate(zip(tree[:-1], tolerance)):
        children = min(counts)
        shares = [divmod(unit, children) for unit in units]
        # Ordered as units_calc() takes them: the first child of every node, then the second.
        lost = sum([share + (child < rest) for child in range(children) for share, rest in shares][:tolerated])
        if lost > k:
            name = NAMES[HEIGHT - len(tree) + number]
            raise MotrError(
                "it is to tolerate the loss of %d of its %s, which may hold %d units of a group, and its K=%d parity units replace no more than %d"
                % (tolerated, name, lost, k, k)
            )
        units = [share + (child < rest) for share, rest in shares for child in range(children)]


class Tile:
    """What is the same for all objects of a layout: n data, k parity and s spare units of each group, spread over a tree's symmetric part.

    A tile has ``rows`` frames of ``cols`` units, in which ``groups`` groups fit without rest. Its cells are counted row by row, and are in the order of
    groups and their units.
    """

    def __init__(self, tree: Tree, n: int, k: int, s: int) -> None:
        if n < 1 or k < 0 or s < 0:
            raise MotrError("a parity group has at least 1 data unit and no negative number of others, not N=%d K=%d S=%d" % (n, k, s))
        self.tree, self.n, self.k, self.s = tree, n, k, s
        self.size = n + k + s
        self.cols = 1
        for children in tree.symmetric:
            self.cols *= children
        if self.size > self.cols:
            raise MotrError(
                "a group of %d units does not fit the tree: its symmetric part (%s) has %d drives"
                % (self.size, " x ".join(map(str, tree.symmetric)), self.cols)
            )
        self.rows = self.size // gcd(self.size, self.cols)
        self.groups = self.rows * self.cols // self.size
        self.places = [self._place(column) for column in range(self.cols)]
        """For each column the drive of the symmetric tree, so that neighbours are in different domains (``fault_tolerant_idx_get``)."""

    def _place(self, column: int) -> int:
        place = 0
        for children in self.tree.symmetric:
            column, digit = divmod(column, children)
            place = place * children + digit
        return place

    def targets(self, state: int) -> List[int]:
        """For each column of one tile the target that an object has it on, by the state that permutations() starts from (``permuted_tgt_get``)."""
        orders = permutations(self.tree.lengths, state)
        nodes = [0]
        for level, firsts, children in zip(self.tree.levels, self.tree.firsts, self.tree.symmetric):
            nodes = [firsts[node] + child for node in nodes for child in orders[level[node]][:children]]
        return [nodes[place] for place in self.places]

    def targets_of_many(self, states: Any) -> Any:
        """The same with numpy, for an array of states: an array of a row for each of them."""
        orders = permutations_of_many(self.tree.lengths, states)
        nodes = numpy.zeros((len(states), 1), dtype=numpy.int64)
        every = numpy.arange(len(states))[:, None]
        for level, firsts, children in zip(self.tree.levels, self.tree.firsts, self.tree.symmetric):
            chosen = numpy.empty((len(states), nodes.shape[1], children), dtype=numpy.int64)
            counts = numpy.array(level)[nodes]
            for length in set(level):
                rows, columns = numpy.nonzero(counts == length)
                chosen[rows, columns] = orders[length][rows, :children]
            nodes = (numpy.array(firsts)[nodes][:, :, None] + chosen).reshape(len(states), -1)
        return nodes[every, numpy.array(self.places)]


def m0_hash(x: Any) -> Any:
    """Motr's hash of a number of 64 bits, or of an array of them (``lib/hash.c``)."""
    return (x - (x << 18) - (x << 51) + (x << 54) - (x << 57) + (x << 61) + (x << 63)) & WORD


def start_state(container: int, key: int, omega: int) -> int:
    """What the permutations of an object's tile number ``omega`` are drawn from; ``container`` has its type's byte (``fd_permute``)."""
    return int(m0_hash(SEED[0] + key & WORD) ^ m0_hash(SEED[1] + omega + container & WORD))


def start_states(container: int, key: int, omegas: Any) -> Any:
    """The same with numpy, for an array of tiles."""
    moved = omegas.astype(numpy.uint64) + numpy.uint64(SEED[1] + container & WORD)
    return m0_hash(moved) ^ numpy.uint64(m0_hash(SEED[0] + key & WORD))


def permutations(lengths: Sequence[int], state: int) -> Dict[int, List[int]]:
    """For each length the permutation that Motr draws from a state (``fd_permute``, ``m0_permute``): each draw takes one of the elements that remain."""
    draws = []
    for _turn in range(max(lengths) - 1):
        state = (state * 0x5DEECE66D + 0xB) & WORD
        draws.append(state >> 16)
    orders = {}
    for length in lengths:
        rest = list(range(length))
        take = rest.pop
        orders[length] = [take((draw * left & WORD) // _LARGEST) for draw, left in zip(draws, range(length, 1, -1))] + rest
    return orders


def permutations_of_many(lengths: Sequence[int], states: Any) -> Dict[int, Any]:
    """The same with numpy: for each length an array of a row for each state."""
    u64, draws, state = numpy.uint64, [], states.astype(numpy.uint64)
    for _turn in range(max(lengths) - 1):
        state = state * u64(0x5DEECE66D) + u64(0xB)
        draws.append(state >> u64(16))
    orders = {}
    for length in lengths:
        order = numpy.zeros((length, len(states)), dtype=numpy.int32)
        for i in range(length - 2, -1, -1):
            # What was drawn later was drawn from what was left.
            order[i] = draws[i] * u64(length - i) // u64(_LARGEST)
            rest = order[i + 1 :]
            rest += rest >= order[i]
        orders[length] = numpy.ascontiguousarray(order.T)
    return orders


def columns_of(targets: Sequence[int], leaves: int) -> List[Optional[int]]:
    """For each leaf the column that is on it, None where the symmetric tree left it out."""
    columns: List[Optional[int]] = [None] * leaves
    for column, target in enumerate(targets):
        columns[target] = column
    return columns
