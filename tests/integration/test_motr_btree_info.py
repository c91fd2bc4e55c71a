# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""B-trees of a live process, through its memory, and of the file of its segments: real nodes, each kind of damage, and what is no such thing."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.memory import ProcessMemory
from lab.motr import maps
from lab.motr.segment import FID, MAP, ONE, ZERO, Holder, Segments, build
from support import run_ok, run_refused
from unit.plugins.module_utils.motr import nodes

TREE = "<6200000000000004:0>"
LARGEST = (1 << 53) - 1
TOP, ADDED = maps.catalogue()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("motr"))


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    return Segments(tmp_path / "m0d", {**ADDED, **maps.extent_map()}).write()


@pytest.fixture
def holder(program: Path, segments: Segments) -> Iterator[Holder]:
    with Holder(program, segments) as running:
        yield running
        assert running.alive


def look(where: Holder | Segments, **options: Any) -> dict[str, Any]:
    place = {"pid": where.pid} if isinstance(where, Holder) else {"segment": str(where.path)}
    result = run_ok("motr_btree_info", {**place, **options})
    assert result["changed"] is False
    return result


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


def integers(value: Any) -> Iterator[int]:
    if isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from integers(each)
    elif isinstance(value, int):
        yield value


@pytest.mark.step("M6")
def test_every_real_node_is_read_from_memory_and_from_the_file(holder: Holder, segments: Segments) -> None:
    for told in nodes.REAL:
        result = look(holder, address=told["addr"], raw=True)
        (node,) = result["nodes"]
        assert [node[name] for name in ("node_type", "tree_type", "used", "level", "size")] == [
            told[name] for name in ("node_type", "tree_type", "used", "level", "nsize")
        ]
        assert node["checksum_ok"] and node["read"] and node["faults"] == [] and codes(result) == ["motr.node.ok"] and result["sound"]
        assert len(node["records"]) == (0 if told["level"] else told["used"]) and len(node["children"]) == (told["used"] if told["level"] else 0)
        assert all(record["decoded"] and len(record["raw_key"]) for record in node["records"])
        assert all(abs(number) <= LARGEST for number in integers(result)) and json.loads(json.dumps(result)) == result
        assert look(segments, address="0x" + told["addr"], raw=True)["nodes"] == result["nodes"]


def test_records_say_what_they_mean(holder: Holder) -> None:
    (node,) = look(holder, address=f"{MAP:#x}")["nodes"]
    extents = [(record["start"], record["end"], record["block"]) for record in node["records"]]
    assert extents[:-1] == [tuple(extent) for extent in maps.real_extents(0)]
    assert node["records"][-1]["hole"] and node["records"][-1]["end"] == "0xffffffffffffffff"
    (cobs,) = look(holder, address="0x40000014f400")["nodes"]
    assert [record["parent"] for record in cobs["records"]] == ["<1:1>"]


@pytest.mark.step("M6")
def test_a_walk_reads_every_node_and_says_what_it_left_off(holder: Holder, segments: Segments) -> None:
    result = look(holder, address=f"{TOP:#x}", walk=True)
    assert result == look(segments, address=f"{TOP:#x}", walk=True) | {name: result[name] for name in ("source", "evidence", "elapsed", "findings")}
    assert result["nodes_read"] == len(ADDED) and result["levels"] == {"0": 10, "1": 3, "2": 1}
    assert [bytes.fromhex(record["key"]) for node in result["nodes"] for record in node["records"]] == [key[8:] for key in maps.KEYS]
    assert result["left_off"] == {"nodes": 0, "records": 0, "findings": 0, "bytes": 0} and result["records_total"] == len(maps.KEYS)
    assert result["nodes"][0]["parent"] is None and result["nodes"][1]["parent"] == f"{TOP:#x}"
    few = look(holder, address=f"{TOP:#x}", walk=True, max_nodes=4, max_records=5)
    assert len(few["nodes"]) == 5 and few["nodes_read"] == 4 and codes(few) == ["motr.node.limit"] and few["sound"]
    assert few["left_off"]["nodes"] == 4 and sum(len(node["records"]) for node in few["nodes"]) == 5
    assert few["left_off"]["records"] == few["records_total"] - 5 > 0
    assert look(holder, address=f"{TOP:#x}", walk=True, damaged_only=True)["nodes"] == []


@pytest.mark.parametrize("spelling", [TREE, "6200000000000004:0", "0x6200000000000004:0x0", "(0x6200000000000004,0x0)", "^b|0x4:0x0", "b|4:0"])
def test_a_tree_is_found_by_its_fid(segments: Segments, spelling: str) -> None:
    result = look(segments, tree=spelling)
    assert result["root"] == f"{MAP:#x}" and result["candidates"] == [f"{MAP:#x}"]
    assert [node["address"] for node in result["nodes"]] == [f"{MAP:#x}"]


def test_the_root_is_told_from_old_nodes(program: Path, holder: Holder, tmp_path: Path) -> None:
    result = look(holder, tree="<6200000000000004:1>", walk=True)
    assert result["root"] == f"{maps.ROOT:#x}" and result["candidates"] == [f"{maps.ROOT:#x}", f"{maps.OLD:#x}"]
    assert [node["address"] for node in result["nodes"]] == [f"{address:#x}" for address in (maps.ROOT, maps.LEFT, maps.RIGHT)]
    assert result["sound"] and codes(result) == ["motr.node.ok"]
    holder.poke(maps.ROOT - 8192, bytes(16))
    result = look(holder, tree="<6200000000000004:1>", walk=True)
    assert result["root"] is None and codes(result) == ["motr.tree.ambiguous"] and not result["sound"]
    assert len(result["nodes"]) == 4
    assert codes(look(holder, tree="<6200000000000004:77>")) == ["motr.tree.none"]
    assert codes(look(holder, tree=TREE, max_scan=4096)) == ["motr.tree.limit", "motr.tree.none"]


def test_all_trees_are_listed(holder: Holder) -> None:
    result = look(holder)
    found = {(row["tree"], row["tree_type"]): row for row in result["trees"]}
    assert {("%x:%x" % struct.unpack_from("<QQ", nodes.real(node["addr"]), 40), node["tree_type"]) for node in nodes.REAL} <= {
        (tree.strip("<>"), kind) for tree, kind in found
    }
    row = found[(maps.CATALOGUE_FID, 5)]
    assert (row["roots"], row["nodes"], row["height"], row["records_counted"]) == ([f"{TOP:#x}"], len(ADDED), 3, len(maps.KEYS))
    assert result["nodes"] == [] and result["sound"] and result["source"]["process"] == FID


def leaves() -> list[int]:
    return sorted(address for address, raw in ADDED.items() if not raw[66])


SLOT = TOP + 4096 - 8
"""Where the address of the root's first child is."""
INNER = int.from_bytes(ADDED[TOP][-8:], "little")
DAMAGE: dict[str, tuple[int, bytes, str]] = {
    "the checksum of a leaf": (leaves()[0] + 80 + 8, b"\0\0", "checksum"),
    "one bit of a head": (leaves()[0] + 33, b"\1", "checksum"),
    "the magic": (INNER, b"\0", "magic"),
    "a child that is the root": (SLOT, struct.pack("<Q", TOP), "cycle"),
    "a child that is nowhere": (SLOT, struct.pack("<Q", 0x500000000000), "unreadable"),
    "a child that is no address": (SLOT, b"\xff" * 8, "child"),
    "a child of another tree": (SLOT, struct.pack("<Q", MAP), "tree"),
    "a child that is too deep": (SLOT, struct.pack("<Q", leaves()[0]), "level"),
    "a key": (leaves()[1] + nodes.AREA, struct.pack("<Q", 1 << 60), "key"),
}


def test_a_record_with_a_wrong_checksum_is_found(holder: Holder, segments: Segments) -> None:
    raw = segments.raw(MAP)
    record = raw.index(nodes.emap_pair((0x0200000001234567, 0x89ABCDEF), 8, 12, 48)[1])
    holder.poke(MAP + record + 24, bytes([raw[record + 24] ^ 1]))
    result = look(holder, address=f"{MAP:#x}")
    assert codes(result) == ["motr.node.record"] and "1 of 18 records are damaged, the first of them record 2" in result["findings"][0]["summary"]
    assert not result["sound"] and result["nodes"][0]["checksum_ok"] and result["nodes"][0]["records"][2]["fault"]
    assert [record["fault"] for record in result["nodes"][0]["records"]].count("") == 17


@pytest.mark.step("M6")
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_not_followed(holder: Holder, segments: Segments, name: str) -> None:
    place, data, code = DAMAGE[name]
    holder.poke(place, data)
    result = look(holder, address=f"{TOP:#x}", walk=True)
    assert f"motr.node.{code}" in codes(result) and not result["sound"] and result["nodes_damaged"] >= 1
    finding = next(finding for finding in result["findings"] if finding["code"] == f"motr.node.{code}")
    assert finding["severity"] == "critical" and finding["remedy"]["text"] and finding["runbook"]["file"].startswith("motr")
    assert result["nodes_read"] <= len(ADDED) + 1
    if place not in range(TOP, TOP + 4096) and code != "key":
        assert 0 < result["records_total"] < len(maps.KEYS)
    shown = look(holder, address=f"{TOP:#x}", walk=True, damaged_only=True)["nodes"]
    assert shown and all(node["faults"] for node in shown)
    assert look(segments, address=f"{TOP:#x}", walk=True)["sound"]


def test_every_flipped_bit_of_a_real_head_is_found(holder: Holder, segments: Segments) -> None:
    raw = segments.raw(MAP)
    for byte in range(16, 80, 5):
        holder.poke(MAP + byte, bytes([raw[byte] ^ 1 << byte % 8]))
        result = look(holder, address=f"{MAP:#x}")
        assert "motr.node.checksum" in codes(result) and not result["nodes"][0]["checksum_ok"]
        holder.poke(MAP + byte, raw[byte : byte + 1])
    assert look(holder, address=f"{MAP:#x}")["sound"]


def test_damage_in_the_file_is_found(segments: Segments) -> None:
    segments.poke(MAP + 90, b"\0")
    result = look(segments, tree=TREE)
    assert result["root"] is None and codes(result) == ["motr.node.checksum", "motr.tree.ambiguous"]
    assert {finding["severity"] for finding in result["findings"]} == {"warning"}
    listed = look(segments)
    assert "motr.node.checksum" in codes(listed) and not listed["sound"] and listed["nodes_damaged"] == 1


def test_a_tree_that_changes_all_the_time_is_looked_at_without_harm(holder: Holder, segments: Segments) -> None:
    changed = bytearray(segments.raw(MAP)[:104])
    changed[32] ^= 1
    changed[88:96] = nodes.checksum(bytes(changed[:80]))
    holder.flip(MAP, bytes(changed))
    for _again in range(20):
        result = look(holder, address=f"{MAP:#x}")
        assert codes(result) == (["motr.node.ok"] if result["sound"] else ["motr.node.checksum"])
        assert len(result["nodes"][0]["records"]) in {0, 18}
    holder.poke(MAP, segments.raw(MAP)[:104])
    assert look(holder, address=f"{MAP:#x}")["sound"]


def test_a_process_that_goes_is_one_clear_error(program: Path, segments: Segments, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Callable[..., bytes] = ProcessMemory.read
    with Holder(program, segments) as holder:
        left = iter(range(5))

        def counted(memory: ProcessMemory, address: int, length: int) -> bytes:
            if next(left, None) is None:
                holder.kill()
            return read(memory, address, length)

        with monkeypatch.context() as patch:
            patch.setattr(ProcessMemory, "read", counted)
            refused = run_refused("motr_btree_info", {"pid": holder.pid, "address": f"{TOP:#x}", "walk": True})
        assert refused["msg"].startswith(f"process {holder.pid} is gone")
        assert run_refused("motr_btree_info", {"pid": holder.pid})["msg"] == f"process {holder.pid} is gone"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "0x500000000000"}, "address 0x500000000000 is in no segment; there are [0x400000000000, 0x400000400000)"),
        ({"address": "seven"}, "must be an address in hexadecimal"),
        ({"address": "-1"}, "must be an address in hexadecimal"),
        ({"tree": "<6200000000000004>"}, "is no fid"),
        ({"walk": True}, "a walk begins at an address"),
        ({"max_nodes": 0}, "max_nodes must be 1 to 100000"),
        ({"max_records": -1}, "max_records must be 0"),
        ({"max_scan": 0}, "max_scan must be 1"),
        ({"address": "1", "tree": TREE}, "mutually exclusive"),
        ({"pid": 0}, "pid must be that of a process"),
        ({"pid": os.getpid()}, "has no segment mapped"),
        ({"pid": None}, "one of pid, process and segment is wanted"),
        ({"segment": "/dev/null"}, "mutually exclusive"),
    ],
)
def test_bad_input_is_one_clear_error(holder: Holder, options: dict[str, Any], message: str) -> None:
    assert message in run_refused("motr_btree_info", {"pid": holder.pid, **options})["msg"]


def test_nothing_to_look_at_is_refused() -> None:
    assert "one of the following is required: pid, process, segment" in run_refused("motr_btree_info", {"address": "1"})["msg"]


def test_what_is_no_segment_is_refused(program: Path, segments: Segments, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("nothing" * 1000, encoding="ascii")
    for path, message in (("nowhere", "No such file"), ("pipe", "neither a file nor"), ("text", "no file of segments"), ("", "neither a file nor")):
        assert message in run_refused("motr_btree_info", {"segment": str(tmp_path / path)})["msg"]
    segments.poke(ZERO + 40, b"\1")
    assert "header" in run_refused("motr_btree_info", {"segment": str(segments.path)})["msg"]
    with Holder(program, None) as holder:
        assert "has no segment mapped" in run_refused("motr_btree_info", {"pid": holder.pid})["msg"]
        assert holder.alive


def test_an_address_may_have_lost_its_quotes(segments: Segments) -> None:
    assert look(segments, address=str(MAP))["nodes"] == look(segments, address="40000011E000")["nodes"]


def test_a_file_that_is_too_short_is_searched_as_far_as_it_goes(segments: Segments) -> None:
    os.truncate(segments.path, ONE - ZERO + 0x120000 + 0x4000)
    result = look(segments, tree=TREE)
    assert "motr.tree.unreadable" in codes(result) and result["nodes"] and result["root"] is None
    assert result["left_off"]["bytes"] > 0


def test_who_may_not_read_the_memory_is_told_so(holder: Holder) -> None:
    with as_nobody():
        message = run_refused("motr_btree_info", {"pid": holder.pid if os.getuid() == 0 else 1})["msg"]
    assert "may be read only by root" in message


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """The test runs as root, or is nobody to process 1 anyway."""
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


def test_the_process_is_found_by_its_fid(program: Path, segments: Segments) -> None:
    key = uuid.uuid4().int >> 65  # other tests of this machine have processes of other fids
    with Holder(program, segments, f"<7200000000000001:{key:x}>") as holder:
        for spelling in (holder.process, f"0x7200000000000001:0x{key:x}", f"^r|1:{key}"):
            result = run_ok("motr_btree_info", {"process": spelling, "address": f"{MAP:#x}"})
            assert result["source"]["pid"] == holder.pid and result["source"]["owner"] and result["sound"]
        with Holder(program, segments, f"0x7200000000000001:0x{key:x}") as other:
            message = run_refused("motr_btree_info", {"process": holder.process})["msg"]
            assert "2 processes are meant" in message and str(holder.pid) in message and str(other.pid) in message
        assert holder.alive
    assert "no m0d that was started as" in run_refused("motr_btree_info", {"process": holder.process})["msg"]
    assert "is no fid" in run_refused("motr_btree_info", {"process": "m0d"})["msg"]
