# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes met in memory: which are there, which are roots, and when that is not certain."""

from __future__ import annotations

import struct
from typing import Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree_scan import Scan, in_map, root_of, scan, tops
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree_types import CATALOGUE, EMAP, NAMESPACE
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree_walk import Limits
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.damage import whole
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid

from .nodes import FF, FKVV, TREE, VKVV, Memory, emap_pair, framed, internal, leaf, tree

BASE = 0x400000000000
MIB = 1 << 20
MAP = (EMAP, Fid(0x6200000000000004, 3))
ROOT, LEFT, RIGHT, OLD = BASE + 0x10000, BASE + 0x20000, BASE + 0x30000, BASE + 0x40000


def memory_of(nodes: dict[int, bytes], size: int = MIB) -> Memory:
    data = bytearray(size)
    for address, raw in nodes.items():
        data[address - BASE : address - BASE + len(raw)] = raw[: BASE + size - address]
    return Memory(MotrError, {BASE: bytes(data)})


def look(nodes: dict[int, bytes], size: int = MIB, **options: object) -> tuple[Memory, Scan]:
    memory = memory_of(nodes, size)
    return memory, scan(memory.read, [(BASE, BASE + size)], **options)  # type: ignore[arg-type]


def codes(found: Scan) -> list[str]:
    return [fault.code for fault in found.faults]


def test_nodes_are_found_wherever_they_begin() -> None:
    keys = [struct.pack("<Q4s", 4, b"%04d" % index) for index in range(20)]
    root, nodes = tree(FF, CATALOGUE, keys, b"value", 4, BASE + 80)
    across = leaf(VKVV, NAMESPACE, [])
    nodes[BASE + MIB - 60] = across
    stale = bytearray(across)
    stale[90] ^= 1
    _memory, found = look({**nodes, BASE + MIB + 90000: bytes(stale), BASE + 2 * MIB - 50: across}, 2 * MIB)
    assert {node.address for node in found.nodes} == set(nodes)
    assert [(node.address, [fault.code for fault in node.faults]) for node in found.damaged] == [(BASE + MIB + 90000, ["checksum"])]
    assert tops(found.nodes) == {(CATALOGUE, Fid(*TREE)): (root,), (NAMESPACE, Fid(*TREE)): (BASE + MIB - 60,)}
    assert (found.size, found.scanned, found.faults) == (2 * MIB, 2 * MIB, ())


def test_nodes_of_one_tree_only() -> None:
    _memory, found = look({**extent_map(), BASE + 0x80000: leaf(FF, CATALOGUE, [])}, trees=[MAP[1]])
    assert {node.address for node in found.nodes} == {ROOT, LEFT, RIGHT}


def test_a_search_has_limits_and_says_what_it_left_off() -> None:
    nodes = {BASE + index * 8192: leaf(FF, CATALOGUE, []) for index in range(200)}
    _memory, found = look(nodes, 2 * MIB, most=MIB // 2)
    assert (codes(found), found.scanned, len(found.nodes)) == (["limit"], MIB // 2, 64)
    _memory, found = look(nodes, 2 * MIB, limits=Limits(nodes=10))
    assert codes(found) == ["limit"] and found.scanned == MIB


def test_what_cannot_be_read_is_told_and_the_rest_is_searched() -> None:
    memory = memory_of(extent_map())
    found = scan(memory.read, [(BASE - 5 * MIB, BASE - 4 * MIB), (BASE, BASE + MIB)])
    assert codes(found) == ["unreadable"] and len(found.nodes) == 3 and found.scanned == MIB


def test_a_segment_that_claims_more_than_there_can_be_is_given_up() -> None:
    memory = memory_of(extent_map())
    found = scan(memory.read, [(BASE, BASE + (1 << 60))], most=1 << 62)
    assert codes(found) == ["unreadable"] * 100 + ["limit"] and len(found.nodes) == 3
    assert found.faults[-1].text == "the search ended with 100 parts that cannot be read, after 1048576 of %d bytes" % (1 << 60)


def extent_map(fid: Sequence[int] = MAP[1]) -> dict[int, bytes]:
    """A root and two leaves."""
    stob = (0x0200000301234567, 1)
    rows = [emap_pair(stob, start, start + 4, start * 3) for start in (0, 4, 8, 12)]
    place = (fid[0], fid[1])
    return {
        ROOT: internal(FKVV, EMAP, 1, [rows[2][0]], [LEFT, RIGHT], 4096, place),
        LEFT: leaf(FKVV, EMAP, rows[:2], 4096, 0, place),
        RIGHT: leaf(FKVV, EMAP, rows[2:], 4096, 0, place),
    }


def flipped(raw: bytes) -> bytes:
    return raw[:64] + bytes([raw[64] ^ 1]) + raw[65:]


def test_the_only_one_that_is_nobodys_child_is_the_root() -> None:
    memory, found = look(extent_map(), trees=[MAP[1]])
    assert root_of(memory.read, found, MAP) == (ROOT, (ROOT,), None)


@pytest.mark.parametrize("distance", [1024, 8192])
def test_the_root_is_in_the_structure_of_its_map(distance: int) -> None:
    nodes = {**extent_map(), OLD: extent_map()[LEFT]}
    memory, found = look(nodes, trees=[MAP[1]])
    root = root_of(memory.read, found, MAP)
    assert (root.address, root.candidates) == (None, (ROOT, OLD))
    assert root.fault and root.fault.code == "ambiguous" and "old ones" in root.fault.text
    memory, found = look({**nodes, ROOT - distance: framed(7, b"")}, trees=[MAP[1]])
    assert in_map(memory.read, ROOT) and not in_map(memory.read, OLD)
    assert root_of(memory.read, found, MAP) == (ROOT, (ROOT, OLD), None)
    memory, found = look({**nodes, ROOT - distance: framed(7, b""), OLD - distance: framed(7, b"")}, trees=[MAP[1]])
    assert root_of(memory.read, found, MAP).address is None


def test_a_leaf_is_not_taken_for_the_root_where_the_root_is_damaged() -> None:
    nodes = extent_map()
    nodes[ROOT] = flipped(nodes[ROOT])
    del nodes[LEFT]
    memory, found = look(nodes, trees=[MAP[1]])
    root = root_of(memory.read, found, MAP)
    assert (root.address, root.candidates) == (None, (ROOT, RIGHT))
    assert root.fault and "one of them is damaged" in root.fault.text
    memory, found = look({**nodes, ROOT - 4096: framed(7, b"")}, trees=[MAP[1]])
    assert root_of(memory.read, found, MAP).address == ROOT


def test_a_search_that_did_not_end_proves_no_root() -> None:
    memory, found = look(extent_map(), trees=[MAP[1]], most=0x18000)
    root = root_of(memory.read, found, MAP)
    assert (root.address, root.candidates) == (None, (ROOT,))
    memory, found = look({}, trees=[MAP[1]])
    root = root_of(memory.read, found, MAP)
    assert root.fault and root.fault.code == "none" and "<6200000000000004:3>" in root.fault.text


def test_nodes_that_lead_in_a_circle_have_no_root() -> None:
    nodes = extent_map()
    top = internal(FKVV, EMAP, 2, [], [ROOT], 4096, (MAP[1][0], MAP[1][1]))
    nodes[OLD] = top
    nodes[ROOT] = internal(FKVV, EMAP, 1, [nodes[LEFT][104:160]], [OLD, RIGHT], 4096, (MAP[1][0], MAP[1][1]))
    del nodes[LEFT]
    memory, found = look(nodes, trees=[MAP[1]])
    assert tops(found.nodes) == {}
    root = root_of(memory.read, found, MAP)
    assert (root.address, root.candidates) == (None, (OLD,))
    assert root.fault and root.fault.code == "cycle" and "each of the 3 nodes" in root.fault.text
    assert whole(root.fault, "tree", "memory", {}).severity == "critical"
    memory, found = look({**nodes, OLD - 8192: framed(7, b"")}, trees=[MAP[1]])
    assert root_of(memory.read, found, MAP).address == OLD
