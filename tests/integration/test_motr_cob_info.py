# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cobs: whose they are and who serves them by a real configuration, and their extents from a live process and from the file of its segments."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.motr import maps
from lab.motr.maps import BLOCK, Extent
from lab.motr.segment import COB, FID, GOB, MAP, Holder, Segments, build
from support import run_ok, run_refused
from unit.plugins.module_utils.motr import nodes

CONF = nodes.FIXTURES / "conf.xc"
SECOND = "<4300000101234567:89abcdef>"
"""The cob of the same object on device 1."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("motr"))


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    return Segments(tmp_path / "m0d", maps.extent_map()).write()


@pytest.fixture
def holder(program: Path, segments: Segments) -> Iterator[Holder]:
    with Holder(program, segments) as running:
        yield running
        assert running.alive


def look(where: Holder | Segments | None, cob: str = COB, **options: Any) -> dict[str, Any]:
    place = {} if where is None else {"pid": where.pid} if isinstance(where, Holder) else {"segment": str(where.path)}
    result = run_ok("motr_cob_info", {"cob": cob, **place, **options})
    assert result["changed"] is False
    return result


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


def extents(result: dict[str, Any]) -> list[Extent]:
    """In blocks, each told in bytes and in blocks alike."""
    for row in result["extents"]:
        assert row["hole"] == (row["device_offset"] is None) == (row["block"] is None)
        assert row["hole"] or row["device_offset"] == row["block"] * BLOCK
        assert row["length"] == row["blocks"] * BLOCK
    return [Extent(row["offset"] // BLOCK, (row["offset"] + row["length"]) // BLOCK, row["block"]) for row in result["extents"]]


@pytest.mark.step("M3")
@pytest.mark.parametrize(
    "spelling",
    [
        COB,
        "4300000001234567:89abcdef",
        "0x4300000001234567:0x89abcdef",
        "(0x4300000001234567,0x89abcdef)",
        "^C|0x1234567:0x89abcdef",
        "C|19088743:2309737967",
        "^C|0x1234567.0x89abcdef",
        "<200000001234567:89abcdef>",
    ],
)
def test_a_fid_alone_tells_the_object_and_the_device(spelling: str) -> None:
    result = look(None, spelling)
    assert result["cob"] == {"fid": COB, "gob": GOB, "storage_object": "<200000001234567:89abcdef>", "tree": "<6200000000000004:0>"}
    assert result["device"] == {"index": 0, "path": None, "sdev": None, "drive": None, "size": None, "block_size": None}
    assert result["service"] is result["process"] is result["source"] is result["known"] is result["allocated"] is None
    assert result["extents"] == [] and codes(result) == [] and result["complete"] is False


@pytest.mark.step("M3")
@pytest.mark.parametrize("source", ["conf.xc", "confstr.txt"])
def test_the_configuration_tells_the_server(source: str) -> None:
    path = nodes.FIXTURES / source
    by_path, by_text = look(None, conf=str(path)), look(None, conf_text=path.read_text(encoding="utf-8"))
    assert by_path == by_text | {name: by_path[name] for name in ("evidence", "elapsed")}
    for device, drive, server in ((0, 1, 0), (2, 3, 0), (3, 4, 1), (5, 6, 1)):
        result = look(None, f"<43{device:06x}01234567:5>", conf=str(path))
        assert result["device"]["path"] == f"/dev/disk/by-id/ata-d{drive}" and result["device"]["size"] == 596000000000
        assert (result["device"]["sdev"], result["device"]["drive"]) == (f"<6400000000000001:{drive:x}>", f"<6b00000000000001:{drive:x}>")
        assert (result["service"], result["process"], result["node"]) == (
            f"<7300000000000001:{server}>",
            f"<7200000000000001:{server}>",
            "<6e00000000000001:2>",
        )
        assert result["endpoint"] == f"0@lo:12345:33:90{server}" and codes(result) == []


def test_what_the_configuration_lacks_is_found() -> None:
    text = CONF.read_text(encoding="utf-8")
    assert codes(look(None, "<430000ff01234567:5>", conf_text=text)) == ["motr.device.unknown"]
    assert codes(look(None, conf_text=text.replace("[3: ^d|1:1, ^d|1:2, ^d|1:3]", "[0]"))) == ["motr.device.unserved"]
    assert codes(look(None, conf_text=text.replace("{0x64| ((^d|1:1), 0,", "{0x64| ((^d|1:1), 1,"))) == ["motr.device.unknown"]
    twice = look(None, SECOND, conf_text=text.replace("{0x64| ((^d|1:1), 0,", "{0x64| ((^d|1:1), 1,"))
    assert codes(twice) == ["motr.device.ambiguous"] and "ata-d2" in twice["findings"][0]["summary"]
    assert codes(look(None, conf_text=text.replace("{0x6b| ((^k|1:5)", "{0x6d| ((^k|1:5)"))) == ["motr.conf.unread"]


@pytest.mark.step("M4")
def test_extents_are_those_of_the_real_device(holder: Holder, segments: Segments) -> None:
    result = look(holder, conf=str(CONF))
    assert extents(result) == maps.real_extents(0) == extents(look(segments))
    assert result["root"] == f"{MAP:#x}" and result["known"] and result["complete"] and codes(result) == ["motr.cob.ok"]
    assert result["allocated"] == sum(row.end - row.start for row in maps.real_extents(0) if row.block is not None) * BLOCK
    assert result["end"] == 84 * BLOCK and result["extents_total"] == len(result["extents"]) and result["process"] == result["source"]["process"] == FID


@pytest.mark.step("M4")
def test_a_map_of_several_nodes_beside_old_ones(holder: Holder, segments: Segments) -> None:
    result = look(holder, SECOND)
    assert extents(result) == maps.real_extents(1) == extents(look(segments, SECOND)) and result["complete"]
    assert result["root"] == f"{maps.ROOT:#x}" and result["candidates"] == [f"{maps.ROOT:#x}", f"{maps.OLD:#x}"]
    holder.poke(maps.ROOT - 8192, bytes(16))
    unsure = look(holder, SECOND)
    assert codes(unsure) == ["motr.tree.ambiguous"] and unsure["extents"] == [] and unsure["root"] is unsure["known"] is None
    assert "old ones" in unsure["findings"][0]["summary"] and not unsure["complete"]
    given = look(holder, SECOND, root=unsure["candidates"][0])
    assert extents(given) == maps.real_extents(1) and given["complete"]
    assert extents(look(holder, SECOND, root=str(maps.ROOT))) == maps.real_extents(1)


def test_a_range_and_a_limit(holder: Holder) -> None:
    whole = maps.real_extents(0)
    assert look(holder, offset=BLOCK * 5 + 7, length=10)["extents"] == [
        {"offset": BLOCK * 5 + 7, "length": 10, "hole": True, "device_offset": None, "block": None, "blocks": 1}
    ]
    (row,) = look(holder, offset=4095, length=2)["extents"]
    assert (row["device_offset"], row["block"], row["blocks"]) == (44 * BLOCK + 4095, 44, 2)
    few = look(holder, limit=3)
    assert extents(few) == whole[:3] and few["extents_total"] == len(whole) and few["extents_left_off"] == len(whole) - 3
    assert extents(look(holder, offset=BLOCK * 80)) == whole[-1:]


def test_what_the_process_changed_is_seen_before_it_is_in_the_file(holder: Holder, segments: Segments) -> None:
    raw = segments.raw(MAP)
    key, old = nodes.emap_pair((0x0200000001234567, 0x89ABCDEF), 0, 4, 44)
    new = nodes.emap_pair((0x0200000001234567, 0x89ABCDEF), 0, 4, 1000)[1]
    assert key in raw and raw.count(old) == 1
    holder.poke(MAP + raw.index(old), new)
    assert extents(look(holder))[0].block == 1000 and extents(look(segments))[0].block == 44


def flipped(raw: bytes, place: int) -> bytes:
    return bytes([raw[place] ^ 1])


@pytest.mark.step("M4")
def test_a_damaged_record_is_found_and_the_rest_is_told(holder: Holder, segments: Segments) -> None:
    raw = segments.raw(MAP)
    record = raw.index(nodes.emap_pair((0x0200000001234567, 0x89ABCDEF), 8, 12, 48)[1])
    holder.poke(MAP + record + 24, flipped(raw, record + 24))
    result = look(holder)
    assert codes(result) == ["motr.cob.record", "motr.cob.gap"] and not result["complete"] and result["known"]
    assert result["findings"][0]["severity"] == "critical" and "call those who support Motr" in result["findings"][0]["remedy"]["text"]
    assert extents(result) == [row for row in maps.real_extents(0) if row.start != 8]
    assert look(segments)["complete"]


@pytest.mark.parametrize(
    ("place", "data", "code"),
    [
        (maps.LEFT + 33, b"\1", "checksum"),
        (maps.LEFT, b"\0", "magic"),
        (maps.ROOT + 8192 - 8, struct.pack("<Q", maps.ROOT), "cycle"),
        (maps.ROOT + 8192 - 8, struct.pack("<Q", 0x500000000000), "unreadable"),
        (maps.ROOT + 8192 - 8, struct.pack("<Q", MAP), "tree"),
    ],
)
def test_a_damaged_node_is_found_and_the_rest_is_told(holder: Holder, place: int, data: bytes, code: str) -> None:
    holder.poke(place, data)
    result = look(holder, SECOND, root=f"{maps.ROOT:#x}")
    assert codes(result)[0] == f"motr.cob.{code}" and not result["complete"]
    whole = maps.real_extents(1)
    assert extents(result) == whole[(len(whole) + 1) // 2 :]


def test_a_damaged_root_is_no_root_by_guess(holder: Holder) -> None:
    holder.poke(MAP + 33, b"\1")
    result = look(holder)
    assert codes(result) == ["motr.tree.ambiguous"] and "damaged" in result["findings"][0]["summary"] and result["extents"] == []
    holder.poke(maps.ROOT + 33, b"\1")
    result = look(holder, SECOND)
    assert codes(result) == ["motr.cob.checksum"] and result["root"] == f"{maps.ROOT:#x}" and not result["known"]


def test_what_cannot_be_so_is_found(holder: Holder, segments: Segments) -> None:
    text = CONF.read_text(encoding="utf-8")
    assert codes(look(holder, conf_text=text.replace("596000000000", "262144"))) == ["motr.cob.beyond"]
    pair = (0x0200000001234567, 0x89ABCDEF)
    raw, old = segments.raw(MAP), nodes.emap_pair(pair, 8, 12, 48)[1]
    holder.poke(MAP + raw.index(old), nodes.emap_pair(pair, 8, 12, 46)[1])
    assert codes(look(holder)) == ["motr.cob.shared"]


def test_a_cob_that_is_not_there(program: Path, segments: Segments, holder: Holder) -> None:
    result = look(holder, "<4300000001234567:1>")
    assert codes(result) == ["motr.cob.absent"] and result["known"] is False and result["allocated"] == 0 and result["extents"] == []
    result = look(holder, "<4300000301234567:89abcdef>", conf=str(CONF))
    assert codes(result) == ["motr.cob.elsewhere", "motr.tree.none"] and "<7200000000000001:1>" in result["findings"][0]["remedy"]["text"]
    with Holder(program, segments, "<7200000000000001:1>") as other:
        assert codes(look(other, conf=str(CONF))) == ["motr.cob.elsewhere"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cob": GOB}, "motr_layout_info tells the cobs of an object"),
        ({"cob": "<7200000000000001:1>"}, "is of the type process"),
        ({"cob": "cob"}, "is no fid; accepted are"),
        ({"root": "0x10"}, "root 0x10 is in no segment"),
        ({"root": f"{maps.ROOT + 8:#x}"}, None),
        ({"root": "0x400000105000"}, "is no extent map, but of type 2 (balloc extents)"),
        ({"offset": -1}, "offset must be 0 to"),
        ({"length": 0}, "length must be 1 to"),
        ({"limit": -1}, "limit must be 0 to"),
        ({"block_size": 4095}, "block_size must be a power of two"),
        ({"conf": "/dev/null/x"}, "the configuration /dev/null/x cannot be read"),
        ({"conf": __file__}, "is no configuration of Motr"),
        ({"conf_text": "[1: {"}, "conf_text is no configuration of Motr"),
        ({"conf": "x", "conf_text": "x"}, "mutually exclusive"),
        ({"pid": os.getpid()}, "has no segment mapped"),
        ({"pid": None, "root": "0x1"}, "root is an address in a process or segment"),
    ],
)
def test_bad_input_is_one_clear_error(holder: Holder, options: dict[str, Any], message: str | None) -> None:
    asked = {"cob": COB, "pid": holder.pid, **options}
    if message is None:  # it is an address, and no node is there
        assert codes(run_ok("motr_cob_info", asked)) == ["motr.cob.magic"]
    else:
        assert message in run_refused("motr_cob_info", asked)["msg"]


def test_a_process_that_went_is_one_clear_error(program: Path, segments: Segments) -> None:
    with Holder(program, segments) as holder:
        holder.kill()
        assert run_refused("motr_cob_info", {"cob": COB, "pid": holder.pid})["msg"] == f"process {holder.pid} is gone"
