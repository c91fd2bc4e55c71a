# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where units are: what real Motr computed, a second and simple telling of the same rules, and what holds for every tree."""

from __future__ import annotations

import json
from math import gcd
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import fdtree, layout
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from hypothesis import given, settings
from hypothesis import strategies as st

MAPS = json.loads((Path(__file__).parent / "fixtures" / "fdmap.json").read_text(encoding="ascii"))
NAMES = ["N%(N)dK%(K)dS%(S)d" % entry + "-" + "x".join(map(str, entry["sym_children"])) for entry in MAPS]
TREE, GFID = [[4], [3, 3, 4, 5]], "47000000001eb8b4:8743feb6d4ea65d0"
MASK = (1 << 64) - 1


@pytest.fixture(params=["plain", "numpy"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "numpy":
        pytest.importorskip("numpy")
    else:
        monkeypatch.setattr(fdtree, "numpy", None)
    return str(request.param)


def arguments(entry: Any) -> tuple[Any, ...]:
    return entry["tree_levels"], entry["N"], entry["K"], entry["S"], entry["gfid"]


def simply(levels: list[list[int]], n: int, k: int, s: int, gfid: tuple[int, int], group: int, unit: int) -> tuple[int, int]:
    """The rules told once more, one unit at a time and step by step as the C code has them."""
    size, children = n + k + s, [min(level) for level in levels]
    columns = 1
    for count in children:
        columns *= count
    rows = size // gcd(size, columns)
    omega, inside = divmod(group, rows * columns // size)
    index = inside * size + unit
    row, rest, digits = index // columns, index % columns, []
    for count in children:
        digits.append(rest % count)
        rest //= count
    node = 0
    for level, digit in zip(levels, digits):
        node = sum(level[:node]) + drawn(level[node], gfid, omega)[digit]
    return node, row + omega * rows


def drawn(length: int, gfid: tuple[int, int], omega: int) -> list[int]:
    seed = [int.from_bytes(part, "big") for part in (b"upjumpan", b"dpumpim,")]
    state = hashed(seed[0] + gfid[1] & MASK) ^ hashed(seed[1] + omega + gfid[0] & MASK)
    order = list(range(length))
    for i in range(length - 1):
        state = (state * 0x5DEECE66D + 0xB) & MASK
        chosen = i + (state >> 16) * (length - i) // ((1 << 48) - 1)
        order.insert(i, order.pop(chosen))
    return order


def hashed(x: int) -> int:
    y = x << 18 & MASK
    x -= y
    y <<= 33
    x -= y
    y <<= 3
    x += y
    y <<= 3
    x -= y
    y <<= 4
    x += y
    return x + (y << 2) & MASK


@pytest.mark.parametrize("entry", MAPS, ids=NAMES)
def test_real_maps(arithmetic: str, entry: Any) -> None:
    rows = entry["map_group_unit_target_frame"]
    for group, unit, target, frame in rows:
        assert layout.map_unit(*arguments(entry), group, unit) == (target, frame)
        assert layout.unmap_unit(*arguments(entry), target, frame) == (group, unit)
    one = layout.layout_of(*arguments(entry))
    assert one.tile.tree.symmetric == tuple(entry["sym_children"])
    groups, units, targets, frames = zip(*rows)
    expected = [list(targets), list(frames)]
    assert [part.tolist() for part in one.map_many(groups, units)] == expected
    size = one.tile.size
    assert [row[:2] for row in rows] == [[group, unit] for group in range(64) for unit in range(size)], "the fixture has all units in order"
    assert [part.tolist() for part in one.map_groups(0, 64)] == expected
    assert [part.tolist() for part in one.map_groups(5, 40)] == [part[5 * size : 45 * size] for part in expected]


@st.composite
def trees(draw: Any) -> list[list[int]]:
    levels: list[list[int]] = []
    nodes = 1
    for _level in range(draw(st.integers(1, 4))):
        levels.append(draw(st.lists(st.integers(1, 4 if levels else 6), min_size=nodes, max_size=nodes)))
        nodes = sum(levels[-1])
    return levels


@st.composite
def layouts(draw: Any) -> tuple[Any, ...]:
    levels = draw(trees())
    columns = 1
    for level in levels:
        columns *= min(level)
    size = draw(st.integers(1, columns))
    n = draw(st.integers(1, size))
    k = draw(st.integers(0, size - n))
    gfid = (0x47 << 56 | draw(st.integers(0, (1 << 32) - 1)), draw(st.integers(0, MASK)))
    return levels, n, k, size - n - k, gfid


@given(layouts(), st.integers(0, 1 << 40))
def test_every_tree_as_simply_told(shape: tuple[Any, ...], group: int) -> None:
    expected = [simply(*shape, group, unit) for unit in range(sum(shape[1:4]))]
    assert [layout.map_unit(*shape, group, unit) for unit in range(len(expected))] == expected
    assert len({target for target, _frame in expected}) == len(expected), "one drive never holds two units of a group"
    for unit, (target, frame) in enumerate(expected):
        assert layout.unmap_unit(*shape, target, frame) == (group, unit)


@given(layouts(), st.integers(0, 1 << 30))
def test_a_tile_is_a_permutation(shape: tuple[Any, ...], omega: int) -> None:
    one = layout.layout_of(*shape)
    tile = one.tile
    places = [one.map(omega * tile.groups + group, unit) for group in range(tile.groups) for unit in range(tile.size)]
    assert len(set(places)) == tile.rows * tile.cols
    assert {frame for _target, frame in places} == set(range(omega * tile.rows, (omega + 1) * tile.rows))
    empty = [one.unmap(target, frame) for frame in range(omega * tile.rows, (omega + 1) * tile.rows) for target in range(tile.tree.leaves)].count(None)
    assert empty == tile.rows * (tile.tree.leaves - tile.cols), "what the symmetric tree leaves out holds nothing"


@given(layouts(), st.integers(0, 1 << 30), st.integers(0, 40))
@settings(max_examples=60)
def test_with_and_without_numpy(shape: tuple[Any, ...], first: int, count: int) -> None:
    numpy = pytest.importorskip("numpy")
    one = layout.layout_of(*shape)
    pairs = [(group, unit) for group in range(first, first + count) for unit in range(one.tile.size)][::-1]
    groups, units = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    seen = []
    for each in (None, numpy):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fdtree, "numpy", each)
            seen.append((one.map_groups(first, count), one.map_many(groups, units)))
    assert seen[0] == seen[1]
    assert list(zip(*seen[0][1])) == list(zip(*seen[0][0]))[::-1] == [one.map(*pair) for pair in pairs]


def test_blocks_and_what_is_kept(arithmetic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = layout.Layout(fdtree.Tile(fdtree.Tree(TREE), 4, 2, 0), 0x47 << 56, 1)
    expected = list(zip(*one.map_groups(3, 500)))
    monkeypatch.setattr(layout, "_AT_ONCE", 50)
    monkeypatch.setattr(layout, "_KEPT", 50)
    assert list(zip(*one.map_groups(3, 500))) == expected
    groups, units = [3 + i // 6 for i in range(3000)], [i % 6 for i in range(3000)]
    assert list(zip(*one.map_many(groups, units))) == expected
    assert [one.map(group, unit) for group, unit in zip(groups, units)] == expected
    assert [one.unmap(*pair) for pair in expected] == list(zip(groups, units))
    assert len(one._targets) * one.tile.tree.leaves <= 50 + one.tile.tree.leaves


def test_gfids() -> None:
    pair = (0x47000000001EB8B4, 0x8743FEB6D4EA65D0)
    assert layout.map_unit(TREE, 4, 2, 0, pair, 63, 5) == layout.map_unit(TREE, 4, 2, 0, "<%x:%x>" % pair, 63, 5) == (3, 31)
    untyped = [layout.map_unit(TREE, 4, 2, 0, (0x1EB8B4, pair[1]), group, 0) for group in range(64)]
    assert untyped != [layout.map_unit(TREE, 4, 2, 0, pair, group, 0) for group in range(64)], "the type's byte counts"


def test_layout_ids() -> None:
    assert [layout.unit_size(lid) for lid in (1, 2, 9, 14)] == [4096, 8192, 1 << 20, 1 << 25]
    for lid in (0, 15, -1):
        with pytest.raises(MotrError, match="none of Motr's"):
            layout.unit_size(lid)
    for lid, why in ((1 << 48 | 9, "is composite .layout id 0x1000000000009"), (2 << 48 | 9, "captured layout"), (7 << 48 | 9, "type 7, which Motr")):
        with pytest.raises(MotrError, match=why):
            layout.unit_size(lid)


@given(st.integers(0, 1 << 50), st.integers(1, 128), st.sampled_from(sorted(layout.UNIT_SIZES.values())))
def test_bytes(offset: int, n: int, size: int) -> None:
    group, unit, rest = layout.place(offset, n, size)
    assert (group * n + unit) * size + rest == offset
    assert unit < n
    assert rest < size


def test_all_units_of_an_object(arithmetic: str) -> None:
    one = layout.layout_of(TREE, 4, 1, 1, GFID)
    size = 4096 * 4 * 1000 + 4096 + 10
    units = list(layout.object_units(one, 4096, size))
    assert len(units) == 1001 * 5
    assert sum(unit.length for unit in units if unit.kind == "data") == size
    assert [(unit.kind, unit.length, unit.offset) for unit in units[-5:]] == [
        ("data", 4096, 4096 * 4000),
        ("data", 10, 4096 * 4001),
        ("data", 0, 4096 * 4002),
        ("data", 0, 4096 * 4003),
        ("parity", 4096, None),
    ]
    for unit in units:
        assert (unit.target, unit.frame) == one.map(unit.group, unit.unit)
        assert unit.cob_offset == 4096 * unit.frame
        assert unit.offset is None or layout.place(unit.offset, 4, 4096)[:2] == (unit.group, unit.unit)
    whole = list(layout.object_units(one, 4096, size, start=4096 * 4 * 999 + 5, spares=True))
    assert [unit.kind for unit in whole] == 2 * (["data"] * 4 + ["parity", "spare"])
    assert [unit for unit in whole if unit.kind != "spare"] == units[-10:]
    assert not list(layout.object_units(one, 4096, 0))
    assert not list(layout.object_units(one, 4096, size, start=size))


def test_trees_of_pool_versions() -> None:
    levels = [[1], [2], [1, 2], [1, 1, 1], [4, 5, 6]]
    assert fdtree.from_pool_version(levels, [0, 0, 1, 0, 2]) == [[3], [1, 1, 1], [4, 5, 6]]
    assert fdtree.from_pool_version(levels, [0, 0, 0, 0, 2]) == fdtree.from_pool_version(levels, [0] * 5) == [[15]]
    assert fdtree.from_pool_version(levels, [1, 0, 0, 0, 2]) == levels
    with pytest.raises(MotrError, match="5 levels"):
        fdtree.from_pool_version(levels[1:], [0, 0, 0, 1])


def test_levels_without_children_are_refused() -> None:
    for levels, why in (
        ([[1], [2], [1, 0], [1], [4]], "no enclosures"),
        ([[0], [], [], [], []], "no sites"),
        ([[1], [1], [1], [2], [4, 0]], "no drives"),
    ):
        with pytest.raises(MotrError, match="%s below it" % why):
            fdtree.feasible(levels, [0, 0, 0, 0, 1], 2, 1, 0, 4)


def lost_units(levels: list[list[int]], tolerance: list[int], size: int) -> list[int]:
    """What tolerance_check() in fd/fd.c computes for each level but that of drives, step by step as it does."""
    children = [min(level) for level in levels]
    units, nodes, sums = {0: [size]}, 1, []
    for i in range(1, len(children)):
        child_nr = children[i - 1]
        units[i] = [0] * (nodes * child_nr)
        for pid in range(nodes):
            for cid in range(child_nr):
                units[i][pid * child_nr + cid] = units[i - 1][pid] // child_nr + (cid < units[i - 1][pid] % child_nr)
        places = [units[i][pid * child_nr + cid] for cid in range(child_nr) for pid in range(nodes)]
        sums.append(sum(places[: tolerance[i - 1]]))
        nodes *= child_nr
    return sums


@given(layouts(), st.data())
def test_tolerance_is_checked_as_motr_does(shape: tuple[Any, ...], data: Any) -> None:
    levels, n, k, s, _gfid = shape
    if s > k:
        n, s = n + s, 0
    # Levels above the tree are one node each, and tolerate nothing; the first of the tree itself tolerates something.
    above = 5 - len(levels)
    tolerance = [data.draw(st.integers(int(number == 0), sum(level))) for number, level in enumerate(levels)]
    whole = [[1]] * above + levels
    lost = lost_units(levels, tolerance, n + k + s) if tolerance[-1] else []
    arguments = (whole, [0] * above + tolerance, n, k, s, sum(levels[-1]))
    if all(units <= k for units in lost):
        assert fdtree.feasible(*arguments) == levels
    else:
        with pytest.raises(MotrError, match="parity units replace no more"):
            fdtree.feasible(*arguments)


@pytest.mark.parametrize(
    ("gfid", "why"),
    [
        (
            "4700000200000001:5",
            "0x2 in the bits of the device, which only a cob has. The object is <4700000000000001:5>, the cob .* is <4300000200000001:5>",
        ),
        ("4300000200000001:5", "is the fid of a cob, and its object <4700000000000001:5> is what is mapped"),
        ((-1, 5), "64 bits"),
        ((1 << 64, 5), "64 bits"),
    ],
)
def test_what_is_no_object_is_never_mapped(gfid: Any, why: str) -> None:
    with pytest.raises(MotrError, match=why):
        layout.map_unit(TREE, 4, 2, 0, gfid, 0, 0)


def wrong() -> Iterator[tuple[tuple[Any, ...], str]]:
    yield ([[2]], 2, 1, 0, GFID, 0, 0), "does not fit"
    yield ([[2], [3]], 2, 1, 0, GFID, 0, 0), "has 2 nodes, but numbers of children for 1"
    yield ([[2], [3, 0]], 2, 1, 0, GFID, 0, 0), "at least one child"
    yield ([], 2, 1, 0, GFID, 0, 0), "1 to 5 levels"
    yield ([[1]] * 6, 1, 0, 0, GFID, 0, 0), "1 to 5 levels"
    yield ([4], 2, 1, 0, GFID, 0, 0), "level by level"
    yield ([[1 << 25]], 2, 1, 0, GFID, 0, 0), "can number"
    yield ([[4]], 0, 1, 0, GFID, 0, 0), "at least 1 data unit"
    yield ([[4]], 2, 1, 0, GFID, -1, 0), "groups count from 0"
    yield ([[4]], 2, 1, 0, GFID, 0, 3), "units from 0 to 2"


@pytest.mark.parametrize(("arguments", "words"), list(wrong()))
def test_what_is_wrong_is_said(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(MotrError, match=words):
        layout.map_unit(*arguments)


def test_what_else_is_wrong_is_said(arithmetic: str) -> None:
    one = layout.layout_of([[4]], 2, 1, 0, GFID)
    unknown: list[tuple[Any, tuple[Any, ...], str]] = [
        (one.unmap, (4, 0), "targets from 0 to 3"),
        (one.unmap, (0, -1), "frames count from 0"),
        (one.map_groups, (-1, 5), "no 5 groups"),
        (one.map_many, ([1], [1, 2]), "make no pairs"),
        (one.map_many, ([1, 2], [1, 3]), "no unit 3 of group 2"),
        (layout.place, (-1, 2, 4096), "no byte -1"),
    ]
    for what, given_to_it, words in unknown:
        with pytest.raises(MotrError, match=words):
            what(*given_to_it)
    with pytest.raises(MotrError, match="no bytes"):
        next(layout.object_units(one, 4096, -1))
