# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""B-trees: nodes of real Motr, made ones of every type, damaged ones, and walks through whole trees."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import btree_types as types
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree import Node, parse_node
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree_walk import USUAL, Limits, Range, read_node, records, walk
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from hypothesis import given, settings
from hypothesis import strategies as st

from .nodes import FF, FIXTURES, FKVV, REAL, VKVV, Memory, checksum, emap_pair, framed, head, internal, leaf, real, sealed, tree

NAMESPACE_KEY = b"%s\4\0\0\0ROOT\0\0\0\0" % struct.pack("<QQ", 1, 1)
names = st.binary(min_size=1, max_size=20)


def codes(node: Node) -> list[str]:
    return [fault.code for fault in node.faults]


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


def generic(data: bytes) -> bytes:
    return number(len(data)) + data


@pytest.mark.parametrize("told", REAL, ids=lambda told: "type%(tree_type)d-%(addr)s" % told)
def test_a_real_node(told: dict[str, object]) -> None:
    raw = real(str(told["addr"]))
    node = parse_node(raw, int(str(told["addr"]), 16))
    names = ("node_type", "tree_type", "used", "level")
    assert {name: getattr(node, name) for name in names} == {name: told[name] for name in names}
    assert (node.size, node.address) == (told["nsize"], int(str(told["addr"]), 16))
    assert node.checksum_ok and not node.faults
    if node.level:
        assert (len(node.children), len(node.keys), node.values) == (node.used, node.used - 1, ())
    else:
        assert len(node.keys) == len(node.values) == node.used
    decoded = [types.decode(node.tree_type, key, value) for key, value in zip(node.keys, node.values)]
    assert all(record["decoded"] and not record.get("fault") for record in decoded)
    assert parse_node(raw + b"more", node.address) == node


def test_what_real_records_say() -> None:
    def first(address: str) -> dict[str, object]:
        node = parse_node(real(address), 0)
        return types.decode(node.tree_type, node.keys[0], node.values[0])

    assert first("400000129400") == {"free_start": 24, "free_end": 44, "blocks": 20, "decoded": True}
    assert first("400000112050")["largest_free"] == 262144
    root = first("40000014f400")
    assert [root[name] for name in ("parent", "name", "fid", "links", "size")] == ["<1:1>", "ROOT", "<1:ffff>", 2, 4096]
    assert first("40000014d400") == {"fid": "<1:ffff>", "link": 0, "parent": "<1:1>", "name": "ROOT", "decoded": True}
    assert first("400000153400")["mode"] == "040755"
    assert first("4000001d9400") == {"pool_version": "<7600000000000001:a>", "user": 8881212, "bytes": 770048, "objects": 1, "decoded": True}


def test_keys_of_cobs_as_real_motr_listed_them() -> None:
    lines = (FIXTURES / "be_seg_scan_ios1.txt").read_text(encoding="ascii").splitlines()
    rows = [line.split() for line in lines if line.startswith("COB_NAMESPACE ")]
    found = set()
    for _name, fid, name, size in rows:
        key = struct.pack("<QQ", *(int(part, 16) for part in fid.split(":"))) + bytes.fromhex(name)
        value = framed(15, struct.pack("<QQIIIIQ", 1, 2, 0, 1, 0, 0, 0) + bytes(80))
        assert len(value) == int(size)
        record = types.decode(types.NAMESPACE, key, value)
        assert not record["fault"]
        found.add((record["parent"], record["name"]))
        assert types.decode(types.OBJECT_INDEX, bytes(24), key)["name"] == record["name"]
    gob = "<4700000001234567:89abcdef>"
    assert found == {("<1:1>", "ROOT"), (gob, "0"), (gob, "1"), (gob, "2"), (gob, "0x6745230100000047efcdab8900000000")}


@given(st.sampled_from([FF, FKVV, VKVV]), st.sets(names, max_size=30), names, st.sampled_from([0, 4]))
def test_what_a_leaf_was_made_of_is_read(kind: int, words: set, word: bytes, crc_type: int) -> None:
    def value(key: bytes) -> bytes:
        return word if kind == FF else word * (len(key) % 3)

    keys = [key.ljust(20, b"\0") if kind != VKVV else key for key in words]
    pairs = [(generic(key), value(key)) for key in sorted(set(keys))]
    node = parse_node(leaf(kind, types.CATALOGUE, pairs, crc_type=crc_type), 4096)
    assert not node.faults
    assert list(zip(node.keys, node.values)) == pairs


@given(st.sampled_from([FF, FKVV, VKVV]), st.sets(names, max_size=30), st.integers(1, 9))
def test_what_an_internal_node_was_made_of_is_read(kind: int, words: set, level: int) -> None:
    keys = [generic(key) for key in sorted({word.ljust(20, b"\0") if kind != VKVV else word for word in words})]
    children = tuple(0x400000100000 + 4096 * index for index in range(len(keys) + 1))
    node = parse_node(internal(kind, types.CATALOGUE, level, keys, children), 4096)
    assert not node.faults
    assert (node.children, list(node.keys), node.level) == (children, keys, level)


def test_any_flipped_bit_of_a_head_is_seen() -> None:
    raw = real("40000014f400")
    for bit in range(96 * 8):
        bad = bytearray(raw)
        bad[bit // 8] ^= 1 << bit % 8
        node = parse_node(bytes(bad), 0)
        assert not node.checksum_ok and node.faults, bit


@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=16)), max_size=6), st.booleans(), st.integers(0, 9000))
@settings(max_examples=300)
def test_damage_never_raises(told: dict[str, str], patches: list[tuple[int, bytes]], mended: bool, length: int) -> None:
    bad = bytearray(real(told["addr"]))
    for place, patch in patches:
        at = place % ((104 if mended else len(bad)) - len(patch))
        bad[at : at + len(patch)] = patch
    if mended:  # a head that is wrong, with a checksum that is right
        bad[88:96] = checksum(bytes(bad[:80]))
    for raw in (bytes(bad), bytes(bad[:length])):
        node = parse_node(raw, 0)
        assert sum(map(len, node.keys)) + sum(map(len, node.values)) <= len(raw)
        for key, value in zip(node.keys, node.values):
            types.decode(node.tree_type, key, value)


@given(st.binary(max_size=400), st.integers(0, 20))
def test_garbage_never_raises(raw: bytes, tree_type: int) -> None:
    assert parse_node(raw, 0).faults
    types.decode(tree_type, raw[:60], raw[60:])
    types.order(tree_type, raw)
    assert parse_node(sealed(head((FF, FKVV, VKVV)[len(raw) % 3], 5, 0, 300, raw[:12]), raw), 0).faults


FIXED = struct.pack("<HHI", 8, 8, 256)
PLACE = struct.pack("<III", 40, 256, 8)
DIRECTORY = struct.pack("<IIIIII", 0, 0, 16, 8, 8, 16)
DAMAGED = [
    ("cut_short", b"\0" * 103),
    ("magic", bytes(104)),
    ("node_type", sealed(head(3, 5, 0, 0, FIXED), bytes(152))),
    ("tree_type", sealed(head(FF, 77, 0, 0, FIXED), bytes(152))),
    ("size", sealed(head(FF, 5, 0, 0, struct.pack("<HHI", 8, 8, 104)), bytes(152))),
    ("size", sealed(head(FF, 5, 0, 0, struct.pack("<HHI", 8, 8, 1 << 31)), bytes(152))),
    ("crc_type", sealed(head(FF, 5, 0, 0, FIXED, 5), bytes(152))),
    ("used", sealed(head(FF, 5, 1, 0, FIXED), bytes(152))),
    ("bounds", sealed(head(FF, 5, 0, 1, struct.pack("<HHI", 200, 8, 256)), bytes(152))),
    ("overlap", sealed(head(FF, 5, 0, 10, FIXED), bytes(152))),
    ("cut_short", sealed(head(FF, 5, 0, 9, FIXED), bytes(90))),
    ("directory", sealed(head(FKVV, 5, 0, 2, FIXED), struct.pack("<QIQI", 1, 8, 2, 4) + bytes(128))),
    ("directory", sealed(head(VKVV, 5, 0, 2, PLACE), bytes(40) + DIRECTORY + bytes(88))),
    ("overlap", sealed(head(VKVV, 5, 0, 1, PLACE), bytes(40) + struct.pack("<IIII", 0, 0, 41, 8) + bytes(96))),
    ("overlap", sealed(head(FF, 5, 0, 60, FIXED), bytes(152))),
    ("bounds", sealed(head(VKVV, 5, 0, 9000, PLACE), bytes(152))),
    ("child", internal(FF, 5, 1, [generic(b"a")], [0, 8192], 256)),
    ("child", internal(VKVV, 5, 1, [generic(b"a")], [8192, 8192], 256)),
    ("child", internal(FF, 5, 1, [generic(b"a")], [1 << 60, 8192], 256)),
    ("key", leaf(VKVV, 5, [(b"short", b"")], 256)),
    ("key", internal(FF, 4, 1, [b"12345678"], [4096, 8192], 256)),
    ("order", leaf(VKVV, 5, [(generic(b"b"), b""), (generic(b"a"), b"")], 256)),
    ("order", leaf(FF, 3, [(b"\0" * 7 + b"\2", b""), (b"\1" + b"\0" * 7, b""), (b"\0" * 8, b"")], 256)),
    ("record_checksum", leaf(FKVV, 5, [(generic(b"b"), b"value")], 256, 4)[:-1] + b"x"),
    ("record_checksum", leaf(FF, 5, [(generic(b"b"), b"value" + checksum(b"other"))], 256, 1)),
    ("record_checksum", leaf(FF, 5, [(generic(b"b"), b"")], 256, 1)),
    ("record_checksum", leaf(VKVV, 5, [(generic(b"b"), bytes(7))], 256, 1)),
    ("record_checksum", leaf(FF, 5, [(generic(b"b"), b"")], 256, 2)),
    ("record_checksum", leaf(FF, 5, [(generic(b"b"), framed(6, b"value")[:-9])], 256, 2)),
    ("bounds", sealed(head(VKVV, 5, 0, 1, struct.pack("<III", 9, 256, 64), 4), generic(b"b") + struct.pack("<IIII", 0, 0, 9, 7) + bytes(127))),
    ("tree_type", sealed(head(FF, 1, 0, 0, FIXED), bytes(152))),
    ("record_checksum", leaf(FF, 5, [(generic(b"b"), framed(6, b"value")[:-1] + b"x")], 256, 2)),
]


@pytest.mark.parametrize(("code", "raw"), DAMAGED, ids=["%d-%s" % (index, damage[0]) for index, damage in enumerate(DAMAGED)])
def test_damage_has_a_name(code: str, raw: bytes) -> None:
    assert codes(parse_node(raw, 0)) == [code]


def test_a_format_that_is_not_known() -> None:
    raw = bytearray(leaf(FF, 5, [], 256))
    raw[14] = 2  # version
    raw[88:96] = checksum(bytes(raw[:80]))
    assert codes(parse_node(bytes(raw), 0)) == ["format"]


def test_checksums_of_records_that_are_right() -> None:
    for crc_type, value in ((1, b"value" + checksum(b"value")), (2, framed(6, b"value")), (4, b"value")):
        node = parse_node(leaf(VKVV, 5, [(generic(b"a"), value)], crc_type=crc_type), 0)
        assert (node.faults, node.values) == ((), (value,))


def test_what_cannot_be_decoded_is_told() -> None:
    unknown, short = types.decode(types.CONFDB, b"\1", b"\2"), types.decode(types.NAMESPACE, b"\1", b"\2")
    assert (unknown["decoded"], unknown["key"], unknown["value"]) == (False, "01", "02")
    assert "not known, so key and value are raw" in str(unknown["reason"])
    assert "(DTM0 log) is not known" in str(types.decode(types.DTM0_LOG, b"\1", b"\2")["reason"])
    assert "not known" in str(unknown["reason"]) and "16 bytes" in str(short["reason"])


def test_records_that_no_fixture_has() -> None:
    fid = struct.pack("<QQ", 0x7800000000000000, 0x100002)
    value = types.decode(types.CATALOGUE, generic(fid), number(3) + number(9) + b"abc")
    assert value == {"key": fid.hex(), "version": 9, "value": "616263", "index": "<7800000000000000:100002>", "decoded": True}
    extended = types.decode(types.EXTENDED_ATTRIBUTES, fid + b"\3\0\0\0acl", b"\2\0\0\0ok")
    assert (extended["name"], extended["value"]) == ("acl", "6f6b")
    linked = types.decode(types.FILE_ATTRIBUTES, fid, fid + number(4) + number(9) + b"\13\0\0\0/over/there")
    assert (linked["version"], linked["layout"], linked["link"]) == (4, 9, "/over/there")
    assert types.decode(types.GROUP_DESCRIPTORS, bytes(7) + b"\2", framed(16, struct.pack("<QQQQ", 1, 2, 3, 4)))["fault"] == "the key is of group 2"
    damaged = emap_pair((2 << 56, 1), 0, 4, 7, b"12345678")
    assert types.decode(types.EMAP, *damaged)["checksums"] == b"12345678".hex()
    assert types.decode(types.EMAP, damaged[0], damaged[1][:-1] + b"x")["fault"]


# Walks


@pytest.mark.parametrize("kind", [FF, FKVV, VKVV])
@pytest.mark.parametrize("count", [1, 4, 5, 300])
def test_a_walk_meets_all_keys_in_order(kind: int, count: int) -> None:
    keys = [generic(b"%04d" % index) for index in range(count)]
    root, nodes = tree(kind, types.CATALOGUE, keys, b"value", 4)
    memory = Memory(MotrError, nodes)
    found = list(records(memory.read, root))
    assert [record.key for record in found] == keys and not any(record.fault for record in found)
    visits = list(walk(memory.read, root))
    assert {visit.address for visit in visits} == set(nodes) and len(visits) == len(nodes)


@given(st.integers(0, 310), st.integers(0, 310))
@settings(max_examples=60)
def test_a_range_is_found_without_reading_all(low: int, high: int) -> None:
    keys = [generic(b"%04d" % index) for index in range(0, 300, 2)]
    root, nodes = tree(VKVV, types.CATALOGUE, keys, b"value", 4)
    memory = Memory(MotrError, nodes)
    found = [record.key[8:] for record in records(memory.read, root, within=Range((b"%04d" % low,), (b"%04d" % high,)))]
    assert found == [key[8:] for key in keys if b"%04d" % low <= key[8:] <= b"%04d" % high]
    assert len(set(memory.asked)) <= 2 * (len(found) // 2 + 8)


def test_a_range_of_keys_without_a_known_order_is_refused() -> None:
    root, nodes = tree(FF, types.CONFDB, [b"%08d" % index for index in range(20)], b"value", 4)
    memory = Memory(MotrError, nodes)
    assert len(list(records(memory.read, root))) == 20
    with pytest.raises(MotrError, match="configuration database"):
        list(walk(memory.read, root, within=Range((b"1",))))


def faults_of(nodes: dict[int, bytes], root: int, limits: Limits = USUAL) -> dict[int, list[str]]:
    memory = Memory(MotrError, nodes)
    return {visit.address: [fault.code for fault in visit.faults] for visit in walk(memory.read, root, limits) if visit.faults}


def test_circles_wrong_levels_and_other_trees_are_told_and_not_followed() -> None:
    a, b, c, d = (0x400000000000 + 4096 * index for index in range(4))
    one, two, three = (generic(name) for name in (b"1", b"2", b"3"))
    leaf_one = leaf(VKVV, 5, [(one, b"")])
    assert faults_of({a: internal(VKVV, 5, 1, [two], [b, a]), b: leaf_one}, a) == {a: ["cycle"]}
    assert faults_of({a: internal(VKVV, 5, 2, [two], [b, c]), b: leaf_one, c: internal(VKVV, 5, 1, [], [a])}, a) == {a: ["cycle"], b: ["level"]}
    other = leaf(VKVV, 5, [(three, b"")], fid=(0x6200000000000001, 8))
    assert faults_of({a: internal(VKVV, 5, 1, [two], [b, c]), b: leaf_one, c: other}, a) == {c: ["tree"]}
    assert faults_of({a: internal(VKVV, 5, 1, [two, three], [b, c, d]), b: leaf_one, d: bytes(4096)}, a) == {c: ["unreadable"], d: ["magic"]}


def test_a_child_that_is_led_to_twice_is_visited_where_it_belongs() -> None:
    """Pointers to a sibling, to itself, to a parent, and to a node that is another's: each is told once, and none costs the tree a leaf."""
    a, b, c, d, e = (0x400000000000 + 4096 * index for index in range(5))
    keys = [generic(b"%d" % index) for index in range(6)]
    leaves = {d: leaf(VKVV, 5, [(keys[0], b"")]), e: leaf(VKVV, 5, [(keys[4], b"")])}
    right = internal(VKVV, 5, 1, [], [e])
    for stray in (a, b, c):
        nodes = {a: internal(VKVV, 5, 2, [keys[3]], [b, c]), b: internal(VKVV, 5, 1, [keys[1]], [d, stray]), c: right, **leaves}
        memory = Memory(MotrError, nodes)
        visits = list(walk(memory.read, a))
        assert [(visit.address, visit.parent, [fault.code for fault in visit.faults]) for visit in visits if visit.faults] == [(stray, b, ["cycle"])]
        assert sorted(visit.address for visit in visits if visit.node) == [a, b, c, d, e]
        assert [found.key for found in records(memory.read, a) if not found.fault] == [keys[0], keys[4]]
    assert faults_of({a: internal(VKVV, 5, 1, [keys[1]], [d, a]), **leaves}, a) == {a: ["cycle"]}


@pytest.mark.parametrize("kind", [FF, FKVV, VKVV])
def test_keys_that_the_parent_does_not_leave_to_a_child_are_told(kind: int) -> None:
    a, b, c, d = (0x400000000000 + 4096 * index for index in range(4))

    def made(*numbers: int) -> bytes:
        return leaf(kind, 5, [(generic(b"%d" % number), b"") for number in numbers])

    root = internal(kind, 5, 1, [generic(b"3"), generic(b"6")], [b, c, d])
    assert faults_of({a: root, b: made(1, 2), c: made(3, 5), d: made(6, 9)}, a) == {}, "a separator is the smallest key of what follows"
    assert faults_of({a: root, b: made(1, 3), c: made(2, 5), d: made(5)}, a) == {b: ["range"], c: ["range"], d: ["range"]}
    assert faults_of({a: root, b: made(), c: made(1, 9), d: made(6)}, a) == {c: ["range", "range"]}
    # What bounds a node bounds all below it.
    top = internal(kind, 5, 2, [generic(b"3")], [b, c])
    below = {b: internal(kind, 5, 1, [], [d]), c: internal(kind, 5, 1, [generic(b"2")], [0x400000010000, 0x400000011000]), d: made(3)}
    assert faults_of({a: top, **below}, a) == {d: ["range"], c: ["range"]}


def test_a_tree_that_is_changed_while_it_is_walked() -> None:
    """Between the look at a node and that at its last child may lie seconds: what looks wrong then is judged by what the parent says by now."""
    a, b, c = (0x400000000000 + 4096 * index for index in range(3))

    def made(*numbers: int) -> bytes:
        return leaf(VKVV, 5, [(generic(b"%d" % number), b"") for number in numbers])

    def told(after: bytes, last: bytes) -> dict[int, list[str]]:
        nodes = {a: internal(VKVV, 5, 1, [generic(b"6")], [b, c]), b: made(1, 2), c: last}
        memory, found = Memory(MotrError, nodes), {}
        for visit in walk(memory.read, a):
            nodes[a] = after
            found[visit.address] = [fault.code for fault in visit.faults]
        return {address: codes for address, codes in found.items() if codes}

    moved = internal(VKVV, 5, 1, [generic(b"4")], [b, c])
    assert told(moved, made(4, 7)) == {}, "keys came over from the neighbour, and the separator with them"
    assert told(moved, made(3, 7)) == {c: ["range"]}
    assert told(internal(VKVV, 5, 1, [], [b]), bytes(4096)) == {c: ["moved"]}, "merged with its neighbour, and freed"
    assert told(bytes(4096), made(4, 7)) == {c: ["range"]}, "what the parent was is all that is known"


def test_a_real_child_is_within_its_parent() -> None:
    nodes = {int(str(told["addr"]), 16): real(str(told["addr"])) for told in REAL}
    found = faults_of(nodes, 0x400000106000)
    assert list(found.values()) == [["unreadable"]] * 3 and 0x400000112050 not in found, "the fixture has one of four leaves"


@given(st.integers(1, 60), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=4))
@settings(max_examples=80)
def test_whatever_pointers_lead_to_a_walk_ends_and_reads_nothing_twice(count: int, turned: list[tuple[int, int]]) -> None:
    keys = [generic(b"%04d" % index) for index in range(count)]
    root, nodes = tree(VKVV, types.CATALOGUE, keys, b"value", 3)
    inner = [address for address, raw in nodes.items() if raw[66]]
    for which, to in turned if inner else []:
        address = inner[which % len(inner)]
        raw = bytearray(nodes[address])
        child = which % int.from_bytes(raw[64:66], "little")
        at = len(raw) - 12 * (child + 1) + 4
        raw[at : at + 8] = number(sorted(nodes)[to % len(nodes)])
        nodes[address] = bytes(raw)
    memory = Memory(MotrError, nodes)
    read = [visit.address for visit in walk(memory.read, root, USUAL._replace(attempts=1)) if visit.node]
    assert len(read) == len(set(read)) <= len(nodes)
    told = list(records(memory.read, root, USUAL._replace(attempts=1)))
    found = [record.key for record in told if not record.fault]
    assert sorted(set(found)) == found, "no record is told twice, and none out of order"
    assert found == keys or any(record.fault for record in told)


def test_a_walk_has_limits() -> None:
    root, nodes = tree(FF, types.CATALOGUE, [generic(b"%04d" % index) for index in range(100)], b"value", 4)
    assert list(faults_of(nodes, root, Limits(nodes=5)).values()) == [["limit"]]
    assert list(faults_of(nodes, root, Limits(size=9000)).values()) == [["limit"]]
    assert faults_of(nodes, root, Limits(node_size=4095)) == {root: ["too_long"]}
    assert faults_of(nodes, root, Limits(node_size=4096)) == {}


def test_a_node_that_was_changed_meanwhile_is_read_again() -> None:
    raw = leaf(VKVV, 5, [(generic(b"1"), b"")])
    answers = [bytes(104), raw, raw]
    assert not read_node(lambda address, length: answers.pop(0)[:length], 8).faults
    assert codes(read_node(lambda address, length: bytes(length), 8)) == ["magic"]
