# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an object's units are: what a running cluster's servers really had of it, in its own configuration, is what is right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import run_ok, run_refused

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/unit/plugins/module_utils/motr/fixtures"
CONF, LIVE, SCAN, MAPS = (FIXTURES / name for name in ("conf.xc", "confstr.txt", "be_seg_scan_ios1.txt", "fdmap.json"))
UNIT, BLOCK = 16384, 4096
GOB = "<4700000001234567:89abcdef>"
# What was written in the cluster: 64 units of data.
OBJECT: dict[str, Any] = {"object": "1234567:89abcdef", "conf": str(CONF), "layout_id": 3, "size": 64 * UNIT, "pool_version": "^v|1:10"}


def look(**options: Any) -> dict[str, Any]:
    return run_ok("motr_layout_info", {name: value for name, value in {**OBJECT, **options}.items() if value is not None})


def refused(**options: Any) -> str:
    return str(run_refused("motr_layout_info", {name: value for name, value in {**OBJECT, **options}.items() if value is not None})["msg"])


def codes(result: dict[str, Any]) -> list[str]:
    return [each["code"].removeprefix("motr.") for each in result["findings"]]


def on_disk() -> dict[str, set[int]]:
    """By storage object the blocks that the first server really had, as its extent maps list them."""
    blocks: dict[str, set[int]] = {}
    for stob, first, behind in re.findall(r"stob (\S+) \[(\d+),(\d+)\)", SCAN.read_text(encoding="ascii")):
        blocks.setdefault(f"<{stob}>", set()).update(range(int(first), int(behind)))
    return blocks


@pytest.mark.step("M2", "M3")
def test_the_cobs_and_extents_of_a_running_cluster() -> None:
    result = look()
    assert (result["changed"], codes(result)) == (False, ["layout.ok"])
    assert (result["gob"], result["replicated"], result["unit_size"]) == (GOB, False, UNIT)
    assert result["pool_version"] == {"fid": "<7600000000000001:a>", "n": 2, "k": 1, "s": 1, "p": 6, "tolerance": [0, 0, 0, 0, 1]}
    seen = on_disk()
    server = [cob for cob in result["cobs"] if cob["endpoint"] == "0@lo:12345:33:900"]
    assert {cob["stob"] for cob in server} == set(seen)
    cob_fids = set(re.findall(r"^COB_OBJECT_INDEX (43\S+)", SCAN.read_text(encoding="ascii"), re.MULTILINE))
    assert {cob["cob"] for cob in server} == {f"<{fid}>" for fid in cob_fids}
    expected: dict[str, set[int]] = {stob: set() for stob in seen}
    stobs = {cob["cob"]: cob["stob"] for cob in server}
    for unit in result["units"]:
        if unit["kind"] != "spare" and unit["cob"] in stobs:
            first = unit["cob_offset"] // BLOCK
            expected[stobs[unit["cob"]]].update(range(first, first + UNIT // BLOCK))
    assert expected == seen
    assert [cob["units"] for cob in result["cobs"]] == [[unit["target"] for unit in result["units"]].count(target) for target in range(6)]


@pytest.mark.step("M2", "M3")
def test_an_object_as_the_client_mapped_it() -> None:
    (entry,) = [each for each in json.loads(MAPS.read_text(encoding="ascii")) if (each["N"], each["K"], each["S"], each["tree_levels"]) == (2, 1, 1, [[6]])]
    result = look(object=entry["gfid"], size=64 * 2 * UNIT)
    assert [[unit[name] for name in ("group", "unit", "target", "frame")] for unit in result["units"]] == entry["map_group_unit_target_frame"]
    assert [unit["kind"] for unit in result["units"]] == ["data", "data", "parity", "spare"] * 64
    shared = ("cob", "device", "path", "node", "process", "endpoint")
    for unit in result["units"]:
        cob = result["cobs"][unit["target"]]
        assert [unit[name] for name in shared] == [cob[name] for name in shared]
        assert unit["cob_offset"] == unit["frame"] * UNIT


@pytest.mark.step("M3")
def test_from_a_cob_to_its_server() -> None:
    cob = look()["cobs"][3]
    assert cob == {
        "target": 3,
        "cob": "<4300000301234567:89abcdef>",
        "stob": "<200000301234567:89abcdef>",
        "device": 3,
        "sdev": "<6400000000000001:4>",
        "drive": "<6b00000000000001:4>",
        "path": "/dev/disk/by-id/ata-d4",
        "size": 596000000000,
        "state": None,
        "node": "<6e00000000000001:2>",
        "process": "<7200000000000001:1>",
        "service": "<7300000000000001:1>",
        "endpoint": "0@lo:12345:33:901",
        "units": cob["units"],
    }


def test_every_source_and_every_spelling_tells_the_same() -> None:
    def plain(**options: Any) -> dict[str, Any]:
        return {name: value for name, value in look(**options).items() if name not in ("evidence", "elapsed")}

    expected = plain()
    for source in (
        {"conf": str(LIVE)},
        {"conf": None, "conf_text": CONF.read_text(encoding="ascii")},
        {"pool_version": "^v|1:10"},
        {"layout_id": None, "unit_size": UNIT},
    ):
        assert plain(**source) == expected
    for spelling in (
        GOB,
        "^G|0x1234567:0x89abcdef",
        "(0x4700000001234567,0x89abcdef)",
        "0x1234567:0x89abcdef",
        "<4300000501234567:89abcdef>",
        "200000201234567:89abcdef",
    ):
        assert plain(object=spelling) == expected


def test_a_range_of_bytes() -> None:
    result = look(offset=5 * UNIT - 1, length=2, size=6 * UNIT - 100)
    assert [(unit["group"], unit["kind"], unit["offset"], unit["length"], unit["in_range"]) for unit in result["units"]] == [
        (2, "data", 4 * UNIT, UNIT, True),
        (2, "data", 5 * UNIT, UNIT - 100, True),
        (2, "parity", None, UNIT, False),
        (2, "spare", None, UNIT, False),
    ]
    whole = look()["units"]
    assert [unit["cob_offset"] for unit in result["units"]] == [unit["cob_offset"] for unit in whole[8:12]]
    one = look(offset=4 * UNIT, length=1, size=None)["units"]
    assert [(unit["in_range"], unit["length"]) for unit in one] == [(True, None), (False, None), (False, UNIT), (False, UNIT)]
    assert look(size=0)["units"] == look(offset=100, size=100)["units"] == []


def test_what_is_left_off_is_said_and_follows() -> None:
    whole, units, offset = look(), [], 0
    while offset is not None:
        part = look(limit=50, offset=offset)
        assert part["units_total"] == len(part["units"]) + part["units_left_off"]
        assert ("layout.left_off" in codes(part)) == (part["next_offset"] is not None)
        units += part["units"]
        offset = part["next_offset"]
    assert units == whole["units"]
    least = look(limit=1, size=1 << 62)
    assert (len(least["units"]), least["next_offset"]) == (4, 2 * UNIT)


def test_devices_that_are_not_online() -> None:
    states = {3: "REPAIRED", "/dev/disk/by-id/ata-d2": "M0_NC_REBALANCE", "6400000000000001:1": "offline", "^k|1:3": 1, "7": "failed"}
    result = look(states=states)
    assert [cob["state"] for cob in result["cobs"]] == ["transient", "rebalance", "online", "repaired", None, None]
    assert sorted((each["code"], each["subject"]) for each in result["findings"]) == [
        ("motr.device.moved", "device 1"),
        ("motr.device.moved", "device 3"),
        ("motr.device.unavailable", "device 0"),
    ]
    assert {unit["target"] for unit in result["units"] if not unit["certain"]} == {1, 3}
    for wrong, words in (
        ({3: "gone"}, "'gone' is no state"),
        ({"99": "failed"}, "device 99, which"),
        ({"3": "failed", "^d|1:4": "online"}, "twice"),
        ({"d4": "failed"}, "no fid"),
        ({"\u00b2": "failed"}, "no fid"),
    ):
        assert words in refused(states=wrong)


def changed(tmp_path: Path, old: str, new: str) -> str:
    text = CONF.read_text(encoding="ascii")
    assert old in text
    path = tmp_path / "conf.xc"
    path.write_text(text.replace(old, new), encoding="ascii")
    return str(path)


def test_copies_instead_of_parity(tmp_path: Path) -> None:
    result = look(conf=changed(tmp_path, "{0| (2, 1,", "{0| (1, 2,"))
    assert result["replicated"] is True
    assert "layout.copies" in codes(result)
    assert [unit["kind"] for unit in result["units"][:4]] == ["data", "parity", "parity", "spare"]
    assert len(result["units"]) == 64 * 4


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("1, 6,\n", "1, 7,\n", "conf.width"),
        ("[0], [3: ^d|1:4, ^d|1:5, ^d|1:6]", "[0], [2: ^d|1:5, ^d|1:6]", "device.unserved"),
        ('596000000000, 3, 4, "/dev/disk/by-id/ata-d4"', '596000000000, 1, 4, "/dev/disk/by-id/ata-d4"', "device.unavailable"),
        ("{0x73| ((^s|3:5), @M0_CST_RMS", "{0x73| ((^s|3:5), @M0_CST_NEW", "conf.unread"),
    ],
)
def test_a_configuration_that_does_not_hold(tmp_path: Path, old: str, new: str, code: str) -> None:
    assert codes(look(conf=changed(tmp_path, old, new))) == [code]


def test_a_pool_version_that_motr_cannot_map_either(tmp_path: Path) -> None:
    said = refused(conf=changed(tmp_path, "[5: 0, 0, 0, 0, 1],\n", "[5: 0, 0, 0, 1, 1],\n"))
    assert "pool version <7600000000000001:a> cannot be mapped, not by Motr either: it is to tolerate the loss of 1 of its controllers" in said
    assert codes(look(conf=changed(tmp_path, "[5: 0, 0, 0, 0, 1],\n", "[5: 0, 0, 0, 0, 0],\n"))) == ["conf.tolerance"]


def test_ids_that_cannot_be_an_objects() -> None:
    assert codes(look(object="100000001:1")) == ["object.bits_lost"]
    assert codes(look(object="0:5")) == ["object.reserved"]
    assert "is the fid of a pver" in refused(object="^v|1:10")


def test_which_pool_version(tmp_path: Path) -> None:
    several = changed(tmp_path, "^o|2:9, ^v|1:20, 1,", "^o|7:7, ^v|1:20, 1,")
    said = refused(conf=several, pool_version=None)
    assert "2 pool versions for data" in said
    assert "<7600000000000001:a> (N=2 K=1 S=1 P=6), <7600000000000002:a> (N=2 K=0 S=0 P=2)" in said
    other = look(conf=several, pool_version="7600000000000002:a")
    assert [cob["device"] for cob in other["cobs"]] == [0, 3], "a target is not a device's index"
    assert {unit["kind"] for unit in other["units"]} == {"data"}
    assert "made of <7600000000000001:a> anew" in refused(pool_version="^v|0x40000000000001:11")
    assert "has no pool version <7600000000000009:9>" in refused(pool_version="^v|9:9")
    assert "is the fid of a dix, not of a pool version" in refused(pool_version="^x|1:2")
    taken = look(pool_version=None)
    assert (codes(taken), taken["units"]) == (["layout.assumed", "layout.ok"], look()["units"])
    assert taken["findings"][0]["detail"]["formulaic"] == ["<7640000000000001:b>", "<7640000000000001:c>"]


def test_a_pool_version_that_was_made_for_failed_devices() -> None:
    said = refused(pool_version="<7680000000000001:3>")
    assert "is a virtual one, made by <7640000000000001:c> (id 1), of <7600000000000001:a>, for failed devices whose combination is number 3" in said
    assert "the formulaic one of the id 9, not there" in refused(pool_version="^v|0x80000000000009:0")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"object": "readme.txt"}, "is no fid; accepted are"),
        ({"conf": "/nowhere/conf.xc"}, "cannot read the configuration /nowhere/conf.xc: No such file"),
        ({"conf": "/"}, "Is a directory"),
        ({"conf": str(SCAN)}, "is no configuration of Motr"),
        ({"conf": None}, "one of the following is required: conf, conf_text"),
        ({"conf_text": "[0]"}, "mutually exclusive: conf|conf_text"),
        ({"conf": None, "conf_text": "[0]", "pool_version": None}, "there is none"),
        ({"object": "^G|0x200000001:1"}, "in the bits of the device, which only a cob has. The object is <4700000000000001:1>"),
        ({"layout_id": 1 << 48 | 9}, "the object is composite (layout id 0x1000000000009)"),
        ({"layout_id": 15}, "which are 1 (4 KiB) to 14 (32 MiB)"),
        ({"layout_id": None}, "one of the following is required: layout_id, unit_size"),
        ({"layout_id": None, "unit_size": 12288}, "power of two"),
        ({"layout_id": None, "unit_size": 512}, "unit_size must be 4096 to"),
        ({"size": None}, "one of the following is required: size, length"),
        ({"offset": -1}, "offset must be 0 to"),
        ({"offset": 64 * UNIT + 1}, "behind the end of the object"),
        ({"length": 0}, "length must be 1 to"),
        ({"limit": 0}, "limit must be 1 to 100000"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], words: str) -> None:
    assert words in refused(**options)


@pytest.mark.step("M2", "M3")
def test_by_ansible_in_check_mode(tmp_path: Path) -> None:
    """Packed by Ansible as for a host."""
    python = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps({"all": {"hosts": {"server": python}}}), encoding="utf-8")
    ansible = [str(Path(sys.executable).parent / "ansible"), "server", "-i", str(hosts), "--check"]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/tree"),
        "ANSIBLE_STDOUT_CALLBACK": "minimal",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    command = [*ansible, "-m", "fieldops.runbooks.motr_layout_info", "-a", json.dumps(OBJECT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.partition(" => ")[2])
    assert result["units"] == look()["units"]
    assert result["changed"] is False
