# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extents of cobs: those that real Motr had on its devices, and made maps of many."""

from __future__ import annotations

import re

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree_types import EMAP, LAST_BLOCK, NO_BLOCK
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.emap import Extent, Extents, extents_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid, ad_stob_of, device_from_cob
from hypothesis import given
from hypothesis import strategies as st

from .nodes import FIXTURES, FKVV, VKVV, Memory, emap_pair, internal, leaf, real

COB = Fid(0x4300000001234567, 0x89ABCDEF)
STOB = (0x0200000001234567, 0x89ABCDEF)
HOLE = NO_BLOCK + 1
ROOT = 0x400000200000
SCANNED = re.compile(r"emap tree (\S+) node (\S+) stob (\S+) \[(\d+),(\d+)\) -> (\d+) .*")


def scanned() -> list[tuple[str, str, int, int, int]]:
    """Tree, stob, start, end and device block, as the scan of a real segment has them. Holes it leaves out."""
    rows = filter(None, map(SCANNED.fullmatch, (FIXTURES / "be_seg_scan_ios1.txt").read_text(encoding="ascii").splitlines()))
    return [(row[1], row[3], int(row[4]), int(row[5]), int(row[6])) for row in rows]


def test_extents_of_a_real_cob() -> None:
    memory = Memory(MotrError, {0x40000011E000: real("40000011e000")})
    found = extents_of(memory.read, 0x40000011E000, COB)
    assert (found.known, found.faults, str(found.stob)) == (True, (), "<200000001234567:89abcdef>")
    wanted = [(start * 4096, (end - start) * 4096, block * 4096) for tree, _stob, start, end, block in scanned() if tree == "6200000000000004:0"]
    assert [extent for extent in found.extents if extent.device_offset is not None] == wanted
    assert found.size == sum(length for _offset, length, _device in wanted)
    assert [extent.offset for extent in found.extents if extent.device_offset is None] == [4 * 4096, 12 * 4096, 36 * 4096, 52 * 4096, 76 * 4096]
    assert not extents_of(memory.read, 0x40000011E000, Fid(COB.container + (1 << 32), COB.key)).known


@pytest.mark.parametrize("device", [0, 1, 2])
def test_maps_made_of_real_extents(device: int) -> None:
    """The scan has all three devices; of their nodes only one was kept."""
    rows = [row for row in scanned() if row[0] == "6200000000000004:%d" % device]
    cob = Fid(COB.container + (device << 32), COB.key)
    assert {row[1] for row in rows} == {"%x:%x" % ad_stob_of(cob)} and device_from_cob(cob) == device
    blocks = {block: rows[0] and start for _tree, _stob, start, _end, block in rows}
    found = extents_of(Memory(MotrError, {ROOT: a_map(rows_of(rows), ad_stob_of(cob))}).read, ROOT, cob)
    assert not found.faults
    assert {extent.device_offset: extent.offset for extent in found.extents if extent.device_offset is not None} == {
        block * 4096: start * 4096 for block, start in blocks.items()
    }


def rows_of(rows: list[tuple[str, str, int, int, int]]) -> list[tuple[int, int, int]]:
    """With the holes between them."""
    result, after = [], 0
    for _tree, _stob, start, end, block in rows:
        result += [(after, start, HOLE)] if start > after else []
        result.append((start, end, block))
        after = end
    return result + [(after, LAST_BLOCK + 1, HOLE)]


def a_map(rows: list[tuple[int, int, int]], stob: tuple[int, int] = STOB) -> bytes:
    return leaf(FKVV, EMAP, [emap_pair(stob, *row) for row in rows], 16384)


def look(rows: list[tuple[int, int, int]], first: int = 0, length: int | None = None) -> Extents:
    return extents_of(Memory(MotrError, {ROOT: a_map(rows)}).read, ROOT, COB, first, length)


ROWS = [(0, 4, 100), (4, 8, HOLE), (8, 16, 50), (16, LAST_BLOCK + 1, HOLE)]


def test_a_range_is_cut_out() -> None:
    assert look(ROWS).extents == (Extent(0, 16384, 409600), Extent(16384, 16384, None), Extent(32768, 32768, 204800))
    assert look(ROWS, 100, 50).extents == (Extent(100, 50, 409700),)
    assert look(ROWS, 16383, 2).extents == (Extent(16383, 1, 425983), Extent(16384, 1, None))
    assert look(ROWS, 16384, 16384).extents == (Extent(16384, 16384, None),)
    assert look(ROWS, 40960).extents == (Extent(40960, 24576, 212992),)
    assert look(ROWS, 1 << 30, 10).extents == (Extent(1 << 30, 10, None),)
    assert look(ROWS, 1 << 90).extents == look(ROWS, 1 << 30).extents == ()


@given(
    st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 3)), min_size=1, max_size=20),
    st.integers(0, 100 * 4096),
    st.integers(1, 100 * 4096),
    st.sampled_from([FKVV, VKVV]),
)
def test_every_byte_lies_where_the_map_says(parts: list[tuple[int, bool, int]], first: int, length: int, kind: int) -> None:
    rows, at, block = [], 0, 7
    for blocks, hole, apart in parts:
        block += apart
        rows.append((at, at + blocks, HOLE if hole else block))
        at, block = at + blocks, block + blocks
    rows.append((at, LAST_BLOCK + 1, HOLE))
    pairs = [emap_pair(STOB, *row) for row in rows]
    fid, half = (0x6200000000000004, 0), len(pairs) // 2
    nodes: dict[int, bytes] = {
        ROOT: internal(kind, EMAP, 1, [pairs[half][0]], [ROOT + 65536, ROOT + 131072], 8192, fid),
        ROOT + 65536: leaf(kind, EMAP, pairs[:half], 16384, 0, fid),
        ROOT + 131072: leaf(kind, EMAP, pairs[half:], 16384, 0, fid),
    }
    found = extents_of(Memory(MotrError, nodes).read, ROOT, COB, first, length)
    assert not found.faults
    assert sum(extent.length for extent in found.extents) == length
    at = first
    for extent in found.extents:
        assert extent.offset == at
        for byte in (extent.offset, extent.offset + extent.length - 1):
            start, _end, value = next(row for row in rows if row[0] * 4096 <= byte < row[1] * 4096)
            place = None if value >= NO_BLOCK else (value - start) * 4096 + byte
            assert place == (None if extent.device_offset is None else extent.device_offset + byte - extent.offset)
        at += extent.length


@pytest.mark.parametrize(
    ("rows", "code", "text"),
    [
        ([(0, 4, 1), (8, 12, 5)], "gap", r"\[8, 12\) comes after block 4"),
        ([(4, 8, 1)], "gap", "first one"),
        ([(0, 4, 1), (2, 12, 5)], "overlap", "after block 4"),
        ([(0, 4, 1), (9, 8, 5)], "record", "before it begins"),
    ],
)
def test_what_is_wrong_with_a_map(rows: list[tuple[int, int, int]], code: str, text: str) -> None:
    (fault,) = look(rows).faults
    assert fault.code == code and re.search(text, fault.text)


def test_a_damaged_record_is_left_out() -> None:
    pairs = [emap_pair(STOB, *row) for row in ROWS]
    pairs[1] = (pairs[1][0], pairs[1][1][:-1] + b"x")
    pairs[2] = (pairs[2][0], b"short")
    found = extents_of(Memory(MotrError, {ROOT: leaf(FKVV, EMAP, pairs, 16384)}).read, ROOT, COB)
    assert [fault.code for fault in found.faults] == ["record", "record", "gap"]
    assert found.extents == (Extent(0, 16384, 409600),)


def test_damaged_nodes_are_told_with_their_address() -> None:
    (fault,) = extents_of(Memory(MotrError, {ROOT: bytes(4096)}).read, ROOT, COB).faults
    assert fault.code == "magic" and "node 0x400000200000" in fault.text


def test_what_is_no_cob_or_no_map_is_refused() -> None:
    assert ad_stob_of(COB) == ad_stob_of(Fid(*STOB)) == STOB
    with pytest.raises(MotrError, match="not of a cob"):
        ad_stob_of(Fid(0x4700000001234567, 1))
    other = Memory(MotrError, {0x4000001D9400: real("4000001d9400")})
    with pytest.raises(MotrError, match="no extent map"):
        extents_of(other.read, 0x4000001D9400, COB)
    for first, length in ((-1, 5), (0, 0)):
        with pytest.raises(MotrError, match="at least one byte"):
            look(ROWS, first, length)
