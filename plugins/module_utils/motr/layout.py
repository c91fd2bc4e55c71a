# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the units of a Motr object are: which drive (target) and which frame of the cob there, and the way back.

A group has n data, k parity and s spare units, numbered in this order from 0. As the client computes it (``m0_fd_fwd_map`` and ``m0_fd_bwd_map`` in
``fd/fd.c``, called in ``io_nw_xfer.c``). A target is a number of the pool version's drives in the order of the configuration; it is neither the device
number nor a drive's fid. The byte in the cob is frame * unit size. What a repair moved to a spare unit is not known here.
"""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import fdtree, ids, layout_id
from .errors import MotrError

UNIT_SIZES, unit_size = layout_id.UNIT_SIZES, layout_id.unit_size
DATA, PARITY, SPARE = "data", "parity", "spare"

Gfid = ids.AnyFid
"""An object's global fid, container and key. The container's first byte is the type, ``G`` (0x47), which counts in the map."""
if TYPE_CHECKING:
    Numbers = array[int]
else:
    Numbers = array  # no generic before Python 3.12
Maps = Tuple[Numbers, Numbers]

_KEPT = 1 << 18
"""Targets that a layout keeps in memory."""
_AT_ONCE = 1 << 20
"""Targets that are computed at once."""


class Place(NamedTuple):
    """Where a byte of an object is among its groups."""

    group: int
    unit: int
    offset: int
    """Bytes from the unit's start."""


class Unit(NamedTuple):
    """One unit of an object."""

    group: int
    unit: int
    kind: str
    """data, parity or spare"""
    target: int
    frame: int
    cob_offset: int
    """Its first byte in the cob."""
    offset: Optional[int]
    """Its first byte in the object, None for parity and spare units."""
    length: int
    """How many bytes of the object are in it: less than the unit size in the last unit, 0 behind it. For parity and spare units the unit size."""


def place(offset: int, n: int, size_of_unit: int) -> Place:
    """Group and data unit that hold a byte of an object."""
    if offset < 0:
        raise MotrError("an object has no byte %d" % offset)
    group, rest = divmod(offset, n * size_of_unit)
    return Place(group, *divmod(rest, size_of_unit))


class Layout:
    """The map of one object. Computes a tile's targets once and keeps some."""

    def __init__(self, tile: fdtree.Tile, container: int, key: int) -> None:
        self.tile, self.container, self.key = tile, container, key
        self._targets: Dict[int, List[int]] = {}
        self._columns: Dict[int, List[Optional[int]]] = {}

    def map(self, group: int, unit: int) -> Tuple[int, int]:
        """Target and frame of a unit."""
        tile = self.tile
        if group < 0 or not 0 <= unit < tile.size:
            raise MotrError("there is no unit %d of group %d: groups count from 0, units from 0 to %d" % (unit, group, tile.size - 1))
        omega, group = divmod(group, tile.groups)
        row, column = divmod(group * tile.size + unit, tile.cols)
        return self._tile_targets(omega)[column], row + omega * tile.rows

    def unmap(self, target: int, frame: int) -> Optional[Tuple[int, int]]:
        """Group and unit that are in a frame of a target; None where a tree that is not symmetric leaves the frame out."""
        tile = self.tile
        if frame < 0 or not 0 <= target < tile.tree.leaves:
            raise MotrError("there is no frame %d of target %d: frames count from 0, targets from 0 to %d" % (frame, target, tile.tree.leaves - 1))
        omega, row = divmod(frame, tile.rows)
        columns = self._columns.get(omega)
        if columns is None:
            self._make_room(self._columns)
            columns = self._columns[omega] = fdtree.columns_of(self._tile_targets(omega), tile.tree.leaves)
        column = columns[target]
        if column is None:
            return None
        group, unit = divmod(row * tile.cols + column, tile.size)
        return group + omega * tile.groups, unit

    def map_groups(self, first: int, count: int) -> Maps:
        """Targets and frames of all units of groups that follow each other: unit 0 of the first group, its unit 1, and so on."""
        tile = self.tile
        if first < 0 or count < 0:
            raise MotrError("there are no %d groups from group %d on" % (count, first))
        targets, frames = array("q"), array("q")
        if count:
            last = (first + count - 1) // tile.groups
            step = max(1, _AT_ONCE // (tile.rows * max(tile.cols, tile.tree.lengths[-1])))
            for omega in range(first // tile.groups, last + 1, step):
                self._whole_tiles(omega, min(step, last + 1 - omega), targets, frames)
        start = first % tile.groups * tile.size
        cut = slice(start, start + count * tile.size)
        return targets[cut], frames[cut]

    def map_many(self, groups: Sequence[int], units: Sequence[int]) -> Maps:
        """Targets and frames of any units: the first of the groups with the first of the units, and so on."""
        if len(groups) != len(units):
            raise MotrError("%d groups and %d units make no pairs" % (len(groups), len(units)))
        targets, frames = array("q"), array("q")
        if fdtree.numpy is None:
            for group, unit in zip(groups, units):
                target, frame = self.map(group, unit)
                targets.append(target)
                frames.append(frame)
            return targets, frames
        step = max(1, _AT_ONCE // max(self.tile.cols, self.tile.tree.lengths[-1]))
        for start in range(0, len(groups), step):
            self._pairs(groups[start : start + step], units[start : start + step], targets, frames)
        return targets, frames

    def _tile_targets(self, omega: int) -> List[int]:
        found = self._targets.get(omega)
        if found is None:
            self._make_room(self._targets)
            found = self._targets[omega] = self.tile.targets(fdtree.start_state(self.container, self.key, omega))
        return found

    def _make_room(self, kept: Dict[int, Any]) -> None:
        if len(kept) * self.tile.tree.leaves >= _KEPT:
            kept.clear()

    def _whole_tiles(self, omega: int, count: int, targets: Numbers, frames: Numbers) -> None:
        tile, numpy = self.tile, fdtree.numpy
        if numpy is None:
            for number in range(omega, omega + count):
                # Not kept: whoever asks for all has no use for one of them twice.
                targets.extend(array("q", tile.targets(fdtree.start_state(self.container, self.key, number))) * tile.rows)
                for frame in range(number * tile.rows, (number + 1) * tile.rows):
                    frames.extend(array("q", (frame,)) * tile.cols)
            return
        states = fdtree.start_states(self.container, self.key, numpy.arange(omega, omega + count))
        made = tile.targets_of_many(states)
        targets.frombytes(numpy.repeat(made[:, None, :], tile.rows, axis=1).tobytes())
        frames.frombytes(numpy.repeat(numpy.arange(omega * tile.rows, (omega + count) * tile.rows, dtype=numpy.int64), tile.cols).tobytes())

    def _pairs(self, groups: Sequence[int], units: Sequence[int], targets: Numbers, frames: Numbers) -> None:
        tile, numpy = self.tile, fdtree.numpy
        group, unit = numpy.array(groups, dtype=numpy.int64), numpy.array(units, dtype=numpy.int64)
        wrong = (group < 0) | (unit < 0) | (unit >= tile.size)
        if wrong.any():
            self.map(int(group[wrong][0]), int(unit[wrong][0]))  # says so
        omega, group = numpy.divmod(group, tile.groups)
        row, column = numpy.divmod(group * tile.size + unit, tile.cols)
        different, which = numpy.unique(omega, return_inverse=True)
        made = tile.targets_of_many(fdtree.start_states(self.container, self.key, different))
        targets.frombytes(made[which, column].astype(numpy.int64).tobytes())
        frames.frombytes((row + omega * tile.rows).tobytes())


def layout_of(tree_levels: Sequence[Sequence[int]], n: int, k: int, s: int, gfid: Gfid) -> Layout:
    """The map of an object: ``tree_levels`` as in fdtree.Tree, n data, k parity and s spare units in a group, the object's global fid."""
    try:
        levels = tuple(map(tuple, tree_levels))
    except TypeError:
        raise MotrError("a tree is lists of numbers of children, level by level, for example [[2], [3, 4]], not %r" % (tree_levels,)) from None
    return _layout(levels, n, k, s, *_fid(gfid))


def map_unit(tree_levels: Sequence[Sequence[int]], n: int, k: int, s: int, gfid: Gfid, group: int, unit: int) -> Tuple[int, int]:
    """Target and frame of one unit of an object; many are faster by a Layout."""
    return layout_of(tree_levels, n, k, s, gfid).map(group, unit)


def unmap_unit(tree_levels: Sequence[Sequence[int]], n: int, k: int, s: int, gfid: Gfid, target: int, frame: int) -> Optional[Tuple[int, int]]:
    """Group and unit in a frame of a target, None where there is none: the inverse of map_unit()."""
    return layout_of(tree_levels, n, k, s, gfid).unmap(target, frame)


def object_units(layout: Layout, size_of_unit: int, size: int, start: int = 0, spares: bool = False) -> Iterator[Unit]:
    """All units of the groups that hold the bytes from ``start`` of an object of ``size`` bytes on, group by group."""
    tile = layout.tile
    per_group = tile.n * size_of_unit
    if start < 0 or size < 0:
        raise MotrError("an object of %d bytes has no bytes from %d on" % (size, start))
    first, behind = start // per_group, -(-size // per_group) if size > start else 0
    step = max(1, 4096 // tile.size)
    for some in range(first, behind, step):
        places = zip(*layout.map_groups(some, min(step, behind - some)))
        for number, (target, frame) in enumerate(places, some * tile.size):
            group, unit = divmod(number, tile.size)
            kind = DATA if unit < tile.n else PARITY if unit < tile.n + tile.k else SPARE
            if kind != SPARE or spares:
                offset = group * per_group + unit * size_of_unit if kind == DATA else None
                length = size_of_unit if offset is None else max(0, min(size_of_unit, size - offset))
                yield Unit(group, unit, kind, target, frame, frame * size_of_unit, offset, length)


def _fid(gfid: Gfid) -> Tuple[int, int]:
    fid = ids.fid_of(gfid)
    if fid.type_name == "cob":
        raise MotrError("%s is the fid of a cob, and its object %s is what is mapped" % (fid, ids.gob_from_cob(fid)))
    if fid.type_name == "gob":
        ids.gob_checked(fid)
    return fid.container, fid.key


@lru_cache(maxsize=16)
def _layout(levels: fdtree.Levels, n: int, k: int, s: int, container: int, key: int) -> Layout:
    return Layout(_tile(levels, n, k, s), container, key)


@lru_cache(maxsize=16)
def _tile(levels: fdtree.Levels, n: int, k: int, s: int) -> fdtree.Tile:
    return fdtree.Tile(fdtree.Tree(levels), n, k, s)
