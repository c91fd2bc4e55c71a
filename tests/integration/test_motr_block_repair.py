# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that change by themselves on a device are found, and made anew from the rest of their group, all of which is right afterwards."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import cob_info
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.block_repair import BlockRepair
from lab.motr.store.cluster import Cluster
from support import run_ok, run_refused

UNIT = 16384
OID = "1234567:89abcdef"
GOB = "<4700000001234567:89abcdef>"
CLIENT: dict[str, Any] = {"endpoint": "0@lo:12345:34:101", "ha_endpoint": "0@lo:12345:34:1", "profile": "^p|1:0", "process": "^r|1:100"}


class Bench:
    """A cluster with one object of three groups, and what an operator does with it."""

    def __init__(self, folder: Path, n: int, k: int) -> None:
        self.folder, self.n, self.k = folder, n, k
        self.cluster = Cluster.make(folder / "cluster", n, k, k, n + 2 * k + 2)
        self.data = random.Random(n).randbytes(3 * n * UNIT)  # noqa: S311  any bytes
        self.cluster.create(OID, self.data, 3)
        (folder / "units").mkdir()

    def layout(self, group: int) -> list[dict[str, Any]]:
        options = {"object": OID, "conf": str(self.cluster.conf), "layout_id": 3, "offset": group * self.n * UNIT, "length": self.n * UNIT}
        return [each for each in run_ok("motr_layout_info", options)["units"] if each["kind"] != "spare"]

    def gather(self, group: int) -> list[dict[str, Any]]:
        """Each unit of a group, off its device."""
        found = []
        for each in self.layout(group):
            dest = self.folder / "units" / f"unit-{each['unit']}"
            options = {"cob": each["cob"], "offset": each["cob_offset"], "length": UNIT, "conf": str(self.cluster.conf)}
            run_ok("motr_cob_read", {**options, "segment": str(self.cluster.segment_of(each["process"])), "dest": str(dest)})
            found.append({"unit": each["unit"], "path": str(dest)})
        return found

    def options(self, group: int, units: list[dict[str, Any]] | None, **others: Any) -> dict[str, Any]:
        where = {"conf": str(self.cluster.conf), "tools_dir": str(self.cluster.tools), "journal_dir": str(self.folder / "journal")}
        chosen = {**CLIENT, **where, "object": OID, "layout_id": 3, "group": group, "units": units, **others}
        return {name: value for name, value in chosen.items() if value is not None}

    def repair(self, group: int, units: list[dict[str, Any]] | None, check: bool = False, **others: Any) -> dict[str, Any]:
        return run_ok("motr_block_repair", self.options(group, units, **others), check=check)

    def refused(self, group: int, units: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
        return run_refused("motr_block_repair", self.options(group, units, **others))

    def images(self) -> dict[str, bytes]:
        return {device.path: Path(device.path).read_bytes() for device in self.cluster.devices}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, 4, 2)


@pytest.mark.step("M9")
@pytest.mark.parametrize("wrong", [1, 5])
def test_a_unit_that_went_bad(bench: Bench, wrong: int) -> None:
    sound = bench.images()
    bench.cluster.damage(OID, 1, wrong)
    damaged = bench.images()
    units = bench.gather(1)

    predicted = bench.repair(1, units, check=True)
    assert (predicted["changed"], predicted["wrong"], predicted["certain"], predicted["parity_ok"]) == (True, [wrong], True, False)
    assert [each["code"] for each in predicted["findings"]] == ["motr.group.wrong"]
    assert bench.images() == damaged
    assert not (bench.folder / "journal").exists()

    done = bench.repair(1, units)
    assert (done["changed"], done["mended"], done["parity_ok"], done["wrong"]) == (True, True, True, [])
    assert done["plan_sha256"] == predicted["plan_sha256"]
    assert [each["code"] for each in done["findings"]] == ["motr.group.ok"]
    assert bench.images() == sound

    was = Path(units[wrong]["path"]).read_bytes()
    files = {path.name: path for path in Path(done["evidence"]["kept"]).iterdir()}
    assert len(files) == bench.n + bench.k + 1
    kept = files[f"1234567_89abcdef-group-1-unit-{wrong}"]
    assert kept.read_bytes() == was
    assert files[f"{kept.name}-wanted"].read_bytes() == bench.cluster.unit(OID, 1, wrong)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files.values())

    # With the units as they were before, and as they are now.
    again = bench.repair(1, units)
    assert (again["changed"], again["changes"], again["undo_id"], again["wrong"]) == (False, [], None, [])
    bench.gather(1)
    again = bench.repair(1, None, units_dir=str(bench.folder / "units"))
    assert (again["changed"], again["changes"], again["undo_id"], again["wrong"]) == (False, [], None, [])
    undo = {"undo_id": done["undo_id"], "journal_dir": str(bench.folder / "journal")}
    if wrong >= bench.n:
        assert "cannot be undone" in run_refused("runbook_undo", undo)["msg"]
        assert bench.images() == sound
        return
    assert run_ok("runbook_undo", undo, check=True)["changed"]
    assert bench.images() == sound
    assert run_ok("runbook_undo", undo)["changed"]
    assert bench.cluster.unit(OID, 1, wrong) == kept.read_bytes()
    assert bench.cluster.whole(OID, 1)
    assert not run_ok("runbook_undo", undo)["changed"]


@pytest.mark.step("M9")
def test_a_unit_that_was_rewritten_alone_before(bench: Bench) -> None:
    """The data are right then, and both parity units are not: the same as if that unit were wrong, as the documentation says. It is taken back."""
    bench.cluster.damage(OID, 0, 2)
    bad = bench.cluster.unit(OID, 0, 2)
    with bench.cluster.changing() as state:
        bench.cluster.write(state, OID, 2 * UNIT, bench.data[2 * UNIT : 3 * UNIT])
    assert not bench.cluster.whole(OID, 0)
    misled = bench.repair(0, bench.gather(0))
    assert bench.cluster.unit(OID, 0, 2) == bad
    run_ok("runbook_undo", {"undo_id": misled["undo_id"], "journal_dir": str(bench.folder / "journal")})
    assert b"".join(bench.cluster.unit(OID, 0, unit) for unit in range(4)) == bench.data[: 4 * UNIT]
    assert bench.cluster.whole(OID, 0)


@pytest.mark.step("M9")
def test_all_parity_is_named(bench: Bench) -> None:
    sound = bench.images()
    for unit in (4, 5):
        bench.cluster.damage(OID, 0, unit)
    units = bench.gather(0)
    assert "they have to be named" in bench.refused(0, units)["msg"]
    loss = [f"object {OID} group 0 unit {unit}" for unit in (4, 5)]
    assert bench.repair(0, units, wrong=[4, 5], accept_data_loss=loss)["mended"]
    assert bench.images() == sound


@pytest.mark.step("M9")
def test_one_parity_unit(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 2, 1)
    sound = bench.images()
    bench.cluster.damage(OID, 2, 0)
    damaged = bench.images()
    units = bench.gather(2)
    said = bench.refused(2, units)
    assert "it has to be named" in said["msg"]
    assert [each["code"] for each in said["findings"]] == ["motr.group.unrepairable"]
    loss = f"object {OID} group 2 unit 0"
    assert loss in bench.refused(2, units, wrong=[0])["msg"]
    assert bench.images() == damaged
    assert bench.repair(2, units, wrong=[0], accept_data_loss=[loss])["mended"]
    assert bench.images() == sound


def test_a_unit_that_cannot_be_read(bench: Bench) -> None:
    sound = bench.images()
    bench.cluster.damage(OID, 2, 3)
    units = [each for each in bench.gather(2) if each["unit"] != 3]
    done = bench.repair(2, units)
    assert [change["before"] for change in done["changes"]] == [None]
    assert bench.images() == sound


def test_what_was_written_since_is_left_alone(bench: Bench) -> None:
    bench.cluster.damage(OID, 1, 1)
    units = bench.gather(1)
    with bench.cluster.changing() as state:
        bench.cluster.write(state, OID, 4 * UNIT, bytes(4 * UNIT))
    now = bench.images()
    assert "is not what the client reads" in bench.refused(1, units)["msg"]
    assert bench.images() == now


def test_what_is_written_between_the_look_and_the_write_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.cluster.damage(OID, 1, 1)
    units, kept = bench.gather(1), BlockRepair._keep

    def written(self: BlockRepair, path: str, unit: bytes) -> None:
        with bench.cluster.changing() as state:
            bench.cluster.write(state, OID, 4 * UNIT, bytes(4 * UNIT))
        kept(self, path, unit)

    monkeypatch.setattr(BlockRepair, "_keep", written)
    assert "was written since it was looked at" in bench.refused(1, units)["msg"]
    assert b"".join(bench.cluster.unit(OID, 1, unit) for unit in range(4)) == bytes(4 * UNIT)


def test_the_wrong_unit_is_named(bench: Bench) -> None:
    bench.cluster.damage(OID, 1, 1)
    assert "more is wrong than units 0" in bench.refused(1, bench.gather(1), wrong=[0])["msg"]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"group": -1}, "group must be 0 or more, not -1"),
        ({"layout_id": 15}, "layout id 15 is none of Motr's"),
        ({"layout_id": 4}, "has 16384 bytes, and units of this layout have 32768"),
        ({"layout_id": 14}, "Motr's tools write at most 33554432 at once"),
        ({"wrong": [6]}, "there is no unit 6"),
        ({"endpoint": None}, "endpoint (the client's own endpoint"),
        ({"tools_dir": "/nowhere"}, "there is no m0cat in /nowhere"),
        ({"object": "<7200000000000001:0>"}, "is the fid of a process"),
        ({"object": "<4700000201234567:89abcdef>"}, "in the bits of the device, which only a cob has"),
        ({"layout_id": 1 << 48 | 3}, "the object is composite (layout id 0x1000000000003)"),
    ],
)
def test_what_cannot_be(bench: Bench, others: dict[str, Any], said: str) -> None:
    units = [{"unit": 0, "path": str(bench.folder / "unit-0")}]
    Path(units[0]["path"]).write_bytes(bytes(UNIT))
    options = {name: value for name, value in {**bench.options(0, units), **others}.items() if value is not None}
    before = bench.images()
    assert said in run_refused("motr_block_repair", options)["msg"]
    assert bench.images() == before


@pytest.mark.step("M9")
def test_bytes_off_a_device(bench: Bench) -> None:
    [unit] = [each for each in bench.layout(1) if each["unit"] == 5]
    dest = bench.folder / "copy"
    options = {"cob": unit["cob"], "offset": unit["cob_offset"], "length": UNIT, "conf": str(bench.cluster.conf), "dest": str(dest)}
    options["segment"] = str(bench.cluster.segment_of(unit["process"]))
    predicted = run_ok("motr_cob_read", options, check=True)
    assert (predicted["changed"], dest.exists()) == (True, False)
    done = run_ok("motr_cob_read", options)
    assert dest.read_bytes() == bench.cluster.unit(OID, 1, 5)
    assert (done["file"], done["changed"], dest.stat().st_mode & 0o777) == (predicted["file"], True, 0o600)
    assert not run_ok("motr_cob_read", options)["changed"]
    # One block of it, and what was never written behind it.
    part = run_ok("motr_cob_read", {**options, "offset": unit["cob_offset"] + 4096 + 7, "length": 100})
    assert dest.read_bytes() == bench.cluster.unit(OID, 1, 5)[4103:4203]
    assert part["file"]["bytes"] == 100
    run_ok("motr_cob_read", {**options, "offset": 1 << 30, "length": 5000})
    assert dest.read_bytes() == bytes(5000)


def test_bytes_that_cannot_be_read(bench: Bench) -> None:
    [unit] = [each for each in bench.layout(0) if each["unit"] == 0]
    dest = bench.folder / "copy"
    options: dict[str, Any] = {"cob": unit["cob"], "length": UNIT, "conf": str(bench.cluster.conf), "dest": str(dest)}
    options["segment"] = str(bench.cluster.segment_of(unit["process"]))
    absent = run_ok("motr_cob_read", {**options, "cob": unit["cob"].replace("89abcdef", "89abcdee")})
    assert (absent["file"], absent["known"]) == (None, False)
    for name in ("segment", "conf"):
        assert f"is what {name} names, and would be lost" in run_refused("motr_cob_read", {**options, "dest": options[name]})["msg"]
    assert "is what the device names" in run_refused("motr_cob_read", {**options, "dest": unit["path"]})["msg"]
    assert "is there, and is no file" in run_refused("motr_cob_read", {**options, "dest": str(bench.folder)})["msg"]
    assert "one of pid, process and segment" in run_refused("motr_cob_read", {name: options[name] for name in ("cob", "length", "conf", "dest")})["msg"]
    assert "which device is it" in run_refused("motr_cob_read", {**options, "conf": None})["msg"].lower()
    Path(unit["path"]).write_bytes(b"short")
    assert "ends at byte" in run_refused("motr_cob_read", options)["msg"]
    assert "cannot be read" in run_refused("motr_cob_read", {**options, "path": "/nowhere"})["msg"]
    assert not dest.exists()
    assert [path.name for path in bench.folder.iterdir() if path.name.startswith("copy")] == []


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is opened and searched from here on."""
    seen: list[str] = []

    def count(name: str) -> None:
        real = getattr(cob_info, name)
        monkeypatch.setattr(cob_info, name, lambda *args: (seen.append(name), real(*args))[1])

    for name in ("open_source", "read_conf", "scan"):
        count(name)
    return seen


@pytest.mark.step("M9")
def test_several_units_in_one_call(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is opened once, the configuration read once, and one search finds the maps of all devices. A device that fails costs its own unit only."""
    rows = [each for group in range(3) for each in bench.layout(group)]
    process = rows[0]["process"]
    rows = [each for each in rows if each["process"] == process]
    assert len({each["device"] for each in rows}) > 1 < len(rows)
    units: list[dict[str, Any]] = [
        {"cob": each["cob"], "offset": each["cob_offset"], "dest": str(bench.folder / f"of-{each['group']}-{each['unit']}")} for each in rows
    ]
    units[0]["length"] = 100
    options = {"units": units, "length": UNIT, "conf": str(bench.cluster.conf), "segment": str(bench.cluster.segment_of(process))}
    seen = counted(monkeypatch)
    predicted = run_ok("motr_cob_read", options, check=True)
    assert sorted(seen) == ["open_source", "read_conf", "scan"]
    assert predicted["changed"] and not any(Path(unit["dest"]).exists() for unit in units)
    done = run_ok("motr_cob_read", options)
    assert [each["file"] for each in done["units"]] == [each["file"] for each in predicted["units"]]
    assert done["changed"] and "file" not in done and all(each["complete"] for each in done["units"])
    for each, unit in zip(rows, units, strict=True):
        assert Path(unit["dest"]).read_bytes() == bench.cluster.unit(OID, each["group"], each["unit"])[: unit.get("length", UNIT)]
    assert not run_ok("motr_cob_read", options)["changed"]
    single = run_ok("motr_cob_read", {name: each for name, each in {**options, **units[1]}.items() if name != "units"})
    assert single["units"] == [done["units"][1]] and single["file"] == done["units"][1]["file"]

    units[1]["path"] = "/nowhere"
    units[2]["cob"] = units[2]["cob"].replace("89abcdef", "89abcdee")
    some = run_ok("motr_cob_read", options)
    assert [each["file"] is None for each in some["units"]] == [index in {1, 2} for index in range(len(units))]
    assert [each["code"] for each in some["findings"] if each["severity"] != "ok"] == ["motr.cob.unread", "motr.cob.absent"]
    assert "/nowhere cannot be read" in some["findings"][1]["summary"]

    del units[2:], units[1]["path"]
    for others, words in (
        ({"units": []}, "the number of units must be 1 to 256, not 0"),
        ({"units": [units[0], {**units[1], "dest": units[0]["dest"]}]}, "needs a dest of its own"),
        ({"units": [units[0], {**units[1], "path": units[0]["dest"]}]}, "is what path names, and would be lost"),
        ({"offset": 4096}, "each of the units has its own"),
        ({"length": None}, "unit 1 has no length"),
        ({"cob": units[0]["cob"], "dest": units[0]["dest"]}, "mutually exclusive"),
        ({"units": None}, "one of the following is required: cob, units"),
        ({"units": None, "cob": units[0]["cob"]}, "missing parameter(s) required by 'cob': dest"),
    ):
        wanted = {name: value for name, value in {**options, **others}.items() if value is not None}
        assert words in run_refused("motr_cob_read", wanted)["msg"]
