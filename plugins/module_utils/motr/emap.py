# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the bytes of a cob lie on its device, from the extent map of the device.

Source: stob/ad.c, be/extmap_internal.h. An AD stob is a map from its own blocks to those of the device; one tree has the maps of all stobs of
a device. A key holds the END of its extent, so that the first key after a block is of the extent that has it. Offsets and values are in
blocks of ``1 << bshift`` bytes, and a device has nothing but such blocks. Extents lie where there was room, not where the layout counts.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Tuple

from .btree import Fault
from .btree_types import EMAP, LAST_BLOCK, NO_BLOCK, EmapKey, EmapRecord, emap_key, emap_record
from .btree_walk import USUAL, Found, Limits, Range, Read, read_node, records
from .errors import MotrError
from .ids import Fid, ad_stob_of

BSHIFT = 12
"""Blocks of 4,096 bytes, as Motr makes them."""


class Extent(NamedTuple):
    """``offset`` in the cob, ``length``, and ``device_offset`` on the device, in bytes. ``device_offset`` is None where nothing was ever written."""

    offset: int
    length: int
    device_offset: Optional[int]


class Extents(NamedTuple):
    """``extents`` in the order of offsets, without the endless hole behind the last. ``known`` is false if the map has no such stob.

    ``faults`` tell what may be missing: those of nodes, and of the map: record (a damaged one), gap, overlap.
    """

    stob: Fid
    extents: Tuple[Extent, ...]
    faults: Tuple[Fault, ...]
    known: bool

    @property
    def size(self) -> int:
        """Bytes that lie on the device."""
        return sum(extent.length for extent in self.extents if extent.device_offset is not None)


def extents_of(read: Read, root: int, cob: Fid, first: int = 0, length: Optional[int] = None, bshift: int = BSHIFT, limits: Limits = USUAL) -> Extents:
    """Extents of a cob from the extent map at ``root`` that have bytes of a range, cut to it. Without ``length`` to the end of the cob.

    Only nodes that may have them are read.
    """
    if first < 0 or (length is not None and length < 1):
        raise MotrError("a range begins at 0 or later and has at least one byte: first %d, length %s" % (first, length))
    stob = ad_stob_of(cob)
    end = None if length is None else first + length
    low = first >> bshift
    within = Range((*stob, low + 1), (*stob, (1 << 64) - 1))
    if low > LAST_BLOCK:
        return Extents(stob, (), (), True)
    top = read_node(read, root, limits)
    if not top.faults and top.tree_type != EMAP:
        raise MotrError("the tree at %#x is no extent map, but of type %d (%s)" % (root, top.tree_type, top.tree_name))
    assembly = _Assembly(low, bshift)
    for found in records(read, root, limits, within):
        if assembly.take(found) and end is not None and assembly.after << bshift >= end:
            break
    return assembly.result(stob, first, end)


class _Assembly:
    """Extents in blocks, as they come. ``after`` is the block behind the last one."""

    def __init__(self, after: int, bshift: int) -> None:
        self.after = after
        self.bshift = bshift
        self.extents: List[Extent] = []
        self.faults: List[Fault] = []
        self.known = False

    def take(self, found: Found) -> bool:
        """Whether it was an extent."""
        if found.fault is not None:
            self.faults.append(Fault(found.fault.code, "node %#x: %s" % (found.visit.address, found.fault.text)))
            return False
        if len(found.key) < 56 or len(found.value) < 64:
            self.faults.append(Fault("record", "a record of %d and %d bytes is no extent" % (len(found.key), len(found.value))))
            return False
        key, record = emap_key(found.key), emap_record(found.value)
        fault = self._fault(key, record)
        if fault is not None:
            self.faults.append(fault)
        if fault is None or fault.code == "gap":
            self._add(key, record)
        return True

    def _fault(self, key: EmapKey, record: EmapRecord) -> Optional[Fault]:
        where = "the extent [%d, %d)" % (record.start, key.end)
        if key.fault or record.fault or record.start >= key.end:
            return Fault("record", "%s: %s" % (where, key.fault or record.fault or "it ends before it begins"))
        if self.known and record.start != self.after:
            return Fault("gap" if record.start > self.after else "overlap", "%s comes after block %d" % (where, self.after))
        if not self.known and record.start > self.after:
            return Fault("gap", "%s is the first one that reaches beyond block %d" % (where, self.after))
        return None

    def _add(self, key: EmapKey, record: EmapRecord) -> None:
        self.known = True
        self.after = key.end
        device = None if record.value >= NO_BLOCK else record.value << self.bshift
        self.extents.append(Extent(record.start << self.bshift, (key.end - record.start) << self.bshift, device))

    def result(self, stob: Fid, first: int, end: Optional[int]) -> Extents:
        extents = list(_cut(self.extents, first, end))
        if end is None and extents and extents[-1].device_offset is None and self.after >= LAST_BLOCK:
            extents.pop()
        return Extents(stob, tuple(extents), tuple(self.faults), self.known)


def _cut(extents: List[Extent], first: int, end: Optional[int]) -> Iterator[Extent]:
    for extent in extents:
        start = max(extent.offset, first)
        stop = extent.offset + extent.length if end is None else min(extent.offset + extent.length, end)
        if start < stop:
            yield Extent(start, stop - start, None if extent.device_offset is None else extent.device_offset + start - extent.offset)
