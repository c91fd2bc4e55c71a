# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same tests against the stand-ins of the laboratory and against a real Motr: with --motr=FILE, that of the file (docs/motr_real.md)."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import parse_object_id
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.layout import unit_size
from lab.motr.target import VARIABLE, BadTarget, Target
from support import run_module, run_ok

HERE = Path(__file__).resolve()
SCRATCH = "scratch: {layout_id: 1, conf: /bin/sh, devices: [/bin/sh]"
CLIENT = "client: {endpoint: a, ha_endpoint: b, profile: '7000000000000001:0', process: '7200000000000001:25'"
REPLACED = b'{"fieldops": "probe"}'


def need(target: Target, section: str, permission: str = "") -> None:
    why = target.missing(section, permission)
    if why:
        pytest.skip(why)


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


# -- looks --------------------------------------------------------------------------------------------------------------------------------


def test_where_an_object_is(target: Target) -> None:
    need(target, "object")
    known = target.options("object")
    result = run_ok(
        "motr_layout_info", {"object": known["fid"], **{name: known[name] for name in ("conf", "layout_id", "size", "pool_version") if name in known}}
    )
    assert set(codes(result)) - {"motr.layout.assumed"} == {"motr.layout.ok"}
    shape = result["pool_version"]
    units = [unit for unit in result["units"] if unit["group"] == 0]
    assert len(units) >= shape["n"] + shape["k"]
    assert len({unit["target"] for unit in units}) == len(units), "two units of a group are on one device"
    if known.get("cobs"):  # what the servers really have of it, by m0kv or a scan
        assert {cob["cob"] for cob in result["cobs"]} >= set(known["cobs"])


def test_a_cob_is_that_objects(target: Target) -> None:
    need(target, "object")
    known = target.options("object")
    layout = run_ok(
        "motr_layout_info", {"object": known["fid"], **{name: known[name] for name in ("conf", "layout_id", "size", "pool_version") if name in known}}
    )
    for cob in layout["cobs"][:5]:
        result = run_ok("motr_cob_info", {"cob": cob["cob"], "conf": known["conf"]})
        assert (result["cob"]["gob"], result["endpoint"]) == (layout["gob"], cob["endpoint"])
        assert result["device"]["path"]


def test_a_name_is_that_object(target: Target) -> None:
    need(target, "name")
    asked = dict(target.options("name"))
    wanted = {name: asked.pop(name) for name in ("bucket", "key", "account", "tenant") if name in asked}
    how = {"transport": "s3", **asked} if "s3_url" in asked else {**target.options("client"), **asked}
    (found,) = run_ok("motr_object_info", {**how, "objects": [wanted]})["objects"]
    assert found["found"] and found["pver"].startswith("<76")
    if target.has("object"):
        known = target.options("object")
        assert (parse_object_id(found["oid"]), found["layout_id"], found["size"]) == (parse_object_id(known["fid"]), known["layout_id"], known["size"])


def units_of(target: Target, oid: str, section: str, length: int) -> list[dict[str, Any]]:
    """Data and parity units of the first bytes of an object."""
    known = target.options(section)
    options = {name: known[name] for name in ("conf", "layout_id", "pool_version") if name in known}
    return [each for each in run_ok("motr_layout_info", {"object": oid, "length": length, **options})["units"] if each["kind"] != "spare"]


def on_device(target: Target, unit: dict[str, Any], conf: str, size: int) -> dict[str, Any]:
    """Where its server has a unit."""
    where = {"offset": unit["cob_offset"], "length": size, "conf": conf}
    return run_ok("motr_cob_info", {"cob": unit["cob"], **target.place(unit["process"]), **where})


def test_the_servers_have_the_units_where_the_map_says(target: Target) -> None:
    """In their memory, or in the file of their segments."""
    need(target, "object")
    need(target, "servers")
    known = target.options("object")
    for unit in units_of(target, known["fid"], "object", 1):
        found = on_device(target, unit, known["conf"], unit_size(known["layout_id"]))
        assert found["known"] and found["complete"] and found["device"]["path"] == unit["path"], unit
        assert found["allocated"] == unit_size(known["layout_id"]), unit


def test_the_root_of_a_tree_is_read(target: Target) -> None:
    need(target, "object")
    need(target, "servers")
    known = target.options("object")
    unit = units_of(target, known["fid"], "object", 1)[0]
    place = target.place(unit["process"])
    told = on_device(target, unit, known["conf"], unit_size(known["layout_id"]))
    result = run_ok("motr_btree_info", {**place, "address": told["root"]})
    (node,) = result["nodes"]
    assert result["sound"] and node["checksum_ok"] and node["tree_type"] == 4
    assert told["root"] in run_ok("motr_btree_info", {**place, "tree": told["cob"]["tree"]})["candidates"]


def test_what_a_process_is_at(target: Target) -> None:
    need(target, "process")
    result = run_ok("motr_process_info", target.options("process"))
    assert not [code for code in codes(result) if code in ("motr.process.symbols", "motr.process.walk", "motr.process.version", "motr.requests.unknown")]
    assert result["services"] and result["localities"]
    assert 0 < result["stopped_seconds"] < 5


def test_the_state_of_a_cluster(target: Target) -> None:
    need(target, "hare")
    known = target.options("hare")
    result = run_ok("hare_info", {name: known[name] for name in ("consul_url", "ca_cert") if name in known})
    assert result["nodes"] and result["processes"]
    assert {node["health"] for node in result["nodes"]} <= {"passing", "warning", "critical", "offline"}


# -- what changes something, and puts it back ---------------------------------------------------------------------------------------------


def test_a_record_is_made_replaced_and_taken_back(target: Target, journal_dir: str) -> None:
    need(target, "record", "may_write")
    record = {**target.options("client", "record"), "journal_dir": journal_dir}
    first = {**record, "value": "{}"}
    if not target.real:
        assert run_ok("motr_record", first, check=True)["changed"]
    made = run_ok("motr_record", first)
    assert made["changed"], "the file names a record that is there already: take a key that nobody uses"
    runs = [made]
    try:
        wanted = {**record, "value": REPLACED.decode(), "expected": "{}"}
        predicted = run_ok("motr_record", wanted, check=True)
        done = run_ok("motr_record", wanted)
        runs.insert(0, done)
        assert (done["plan_sha256"], done["record"]["sha256"]) == (predicted["plan_sha256"], hashlib.sha256(REPLACED).hexdigest())
        assert run_ok("motr_record", wanted)["changed"] is False
    finally:
        taken = [run_module("runbook_undo", {"undo_id": each["undo_id"], "journal_dir": journal_dir}) for each in runs]
    assert all(each.get("changed") for each in taken), taken
    gone = run_ok("motr_record", {**record, "state": "absent"}, check=True)
    assert (gone["changed"], gone["record"]["exists"]) == (False, False)


def test_requests_are_refused_and_served_again(target: Target, journal_dir: str) -> None:
    need(target, "process", "may_stop")
    wanted = {**target.options("process"), "journal_dir": journal_dir}
    stopped = run_ok("motr_process_requests", {**wanted, "state": "stopped"})
    try:
        assert stopped["changed"] and stopped["requests"] == "stopped"
        assert run_ok("motr_process_requests", {**wanted, "state": "stopped"})["changed"] is False
    finally:
        back = run_module("runbook_undo", {"undo_id": stopped["undo_id"], "journal_dir": journal_dir})
    assert back.get("changed"), back
    assert run_ok("motr_process_requests", {**wanted, "state": "running"})["changed"] is False


def test_a_client_is_told(target: Target, journal_dir: str) -> None:
    need(target, "reset", "may_write")
    result = run_ok("motr_connection_reset", {**target.options("client", "reset"), "pause": 1, "journal_dir": journal_dir})
    assert result["changed"] and "motr.connection.told" in codes(result)


def test_a_state_in_hare_is_set_quietly_and_taken_back(target: Target, journal_dir: str) -> None:
    """Without the event: nothing of Motr hears of it."""
    need(target, "hare", "may_write")
    known = {**target.options("hare"), "journal_dir": journal_dir}
    if "object" not in known:
        pytest.skip("the section hare names no object")
    before = run_ok("hare_state", {**known, "state": "repaired", "publish": False}, check=True)["object"]["state"]
    done = run_ok("hare_state", {**known, "state": "repaired", "publish": False})
    taken = run_module("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert done["changed"] and done["object"]["state"] != before
    assert taken.get("changed"), taken
    assert run_ok("hare_state", {**known, "state": "repaired", "publish": False}, check=True)["object"]["state"] == before


def test_a_unit_is_damaged_on_its_device_and_mended(target: Target, journal_dir: str, tmp_path: Path) -> None:
    """Of an object that the test makes and removes."""
    for section in ("scratch", "servers"):
        need(target, section, "may_break")
    scratch, known, client = target.scratch(), target.options("scratch"), target.options("client")
    options = {name: known[name] for name in ("conf", "layout_id", "pool_version") if name in known}
    shape = run_ok("motr_layout_info", {"object": known["first"], "length": 1, **options})["pool_version"]
    n, k, size = shape["n"], shape["k"], unit_size(known["layout_id"])
    data = random.randbytes(n * size)  # noqa: S311  any bytes
    with scratch.object(data, n * size) as oid:
        units = units_of(target, oid, "scratch", n * size)
        assert {unit["process"] for unit in units if target.place(unit["process"])}  # all of them are named, or this fails before anything is damaged

        def gather() -> list[dict[str, Any]]:
            found = [{"unit": unit["unit"], "path": str(tmp_path / f"unit-{unit['unit']}")} for unit in units]
            for unit, file in zip(units, found, strict=True):
                where = {"offset": unit["cob_offset"], "length": size, "conf": known["conf"], "dest": file["path"]}
                run_ok("motr_cob_read", {"cob": unit["cob"], **target.place(unit["process"]), **where})
            return found

        def repair(**others: Any) -> dict[str, Any]:
            return {**client, **options, "object": oid, "group": 0, "units": gather(), "journal_dir": journal_dir, **others}

        assert run_ok("motr_block_repair", repair(), check=True)["wrong"] == []
        sound = [Path(file["path"]).read_bytes() for file in gather()]
        assert b"".join(sound[:n]) == data, "the units are not where the map and the extents say"
        place = on_device(target, units[0], known["conf"], size)
        (first, *_rest) = place["extents"]
        scratch.overwrite(place["device"]["path"], first["device_offset"], bytes(byte ^ 255 for byte in data[:4096]))
        assert not scratch.parity_fits(oid, n * size)
        # One parity unit tells that a unit is wrong, and not which one it is.
        loss = {"wrong": [0], "accept_data_loss": [f"object {oid} group 0 unit 0"]} if k == 1 else {}
        predicted = run_ok("motr_block_repair", repair(**loss), check=True)
        assert (predicted["changed"], predicted["wrong"]) == (True, [0])
        done = run_ok("motr_block_repair", repair(**loss))
        assert (done["mended"], done["parity_ok"], done["plan_sha256"]) == (True, True, predicted["plan_sha256"])
        assert [Path(file["path"]).read_bytes() for file in gather()] == sound
        assert scratch.parity_fits(oid, n * size)


# -- the file -----------------------------------------------------------------------------------------------------------------------------


def run_with(file: Path, *words: str) -> tuple[int, str]:
    """These tests in a run of their own, with a file."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE and not name.startswith("PYTEST_")}
    chosen = ["-k", "not test_a_file", f"--motr={file}", "-o", f"cache_dir={file.parent}", f"--basetemp={file.parent / 'run'}"]
    command = [sys.executable, "-m", "pytest", "-v", "-rs", "-p", "no:xdist", *chosen, *words, str(HERE)]
    done = subprocess.run(command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout + done.stderr


def in_laboratory(target: Target) -> None:
    if target.real:
        pytest.skip("it is with a file that this runs")


@pytest.mark.thorough
def test_a_file_is_run_against_as_the_stand_ins_are(target: Target, tmp_path: Path) -> None:
    """As somebody with a real cluster does it: what the file names is what is looked at, and what it does not permit is left out."""
    in_laboratory(target)
    file, sections = tmp_path / "motr.yml", dict(target.sections)
    # The tools by one path each.
    sections["client"] = {name: value for name, value in sections["client"].items() if name != "tools_dir"}
    folder = Path(target.sections["client"]["tools_dir"])
    sections["tools"] = {tool.name: str(tool) for tool in folder.iterdir()}
    file.write_text(yaml.safe_dump({**sections, "may_write": True, "may_stop": True, "may_break": True}), encoding="utf-8")
    code, said = run_with(file)
    assert code == 0 and "12 passed" in said and "skipped" not in said, said
    few = {name: target.sections[name] for name in ("object", "process", "servers")}
    file.write_text(yaml.safe_dump(few), encoding="utf-8")
    code, said = run_with(file)
    assert code == 0 and "5 passed" in said and "7 skipped" in said, said
    assert "the file does not say may_stop: true" in said and "the file has no section hare" in said


def test_a_file_that_cannot_be_meant_ends_the_run_before_a_test(tmp_path: Path) -> None:
    file = tmp_path / "motr.yml"
    for text, why in (
        ("object: {fid: '1234567:1', conf: /no/such.xc, layout_id: 1, size: 1}", "object.conf: there is no /no/such.xc on this machine"),
        ("may_brake: true", "may_brake: there is no such section; accepted are client, tools, object"),
        ("hare: {object: '0x6b00000000000001:0x41'}", "hare: consul_url missing"),
    ):
        file.write_text(text, encoding="utf-8")
        code, said = run_with(file)
        assert code == pytest.ExitCode.USAGE_ERROR and said.strip() == f"ERROR: {file} describes no Motr: {said.partition('no Motr: ')[2].strip()}", said
        assert why in said and "collected" not in said and "::test_" not in said, said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "has no sections; accepted are client, tools, object, name, process, hare, record, reset, scratch, servers, may_write, may_stop, may_break"),
        ("clients: {}", "clients: there is no such section; accepted are client"),
        ("client: {endpoint: 'a', endpoint: 'b'}", "a key is there twice"),
        ("hare: {consul_url: 'http://user:word@127.0.0.1:8500'}", "without a user or token"),
        ("process: {service: no-such-service}", "process.service: "),
        ("servers: {'7200000000000001:1': 999999999}", "servers: 7200000000000001:1: there is no process 999999999"),
        ("process: {pid: 999999999}", "process.pid: there is no process 999999999"),
        ("process: {process: '7300000000000001:1'}", "process.process: <7300000000000001:1> is the fid of a service; accepted is that of a process (r)"),
        ("process: {process: '7200000000000fff:fffffff1'}", "process.process: "),
        ("servers: {'7200000000000001:1': /no/such}", "servers: 7200000000000001:1: there is no /no/such on this machine"),
        ("servers: {'7200000000000001:1': /dev}", "/dev is no block device or file"),
        ("tools: {m0kv: /dev/null}", "tools.m0kv: /dev/null is no program that may be run"),
        ("object: {fid: 1234567:1, conf: /dev/null, layout_id: 1, size: 1}", "object.fid: str is accepted, not"),
        ("object: {fid: '0:1', conf: /bin/sh, layout_id: 1, size: 1}", "object.fid: 0:1 is one of Motr's own"),
        ("object: {fid: '1234567:1', conf: /bin/sh, layout_id: 15, size: 1}", "object.layout_id: "),
        (f"{SCRATCH}, first: '1234567:9', last: '1234567:1'}}", "scratch: 1234567:9 to 1234567:1 is no range"),
        (f"{SCRATCH}, first: '1234567:1', last: '1234567:9'}}", "scratch is reached through Motr's tools: the section client is missing"),
        (f"{SCRATCH}, first: '1234567:1', last: '1234567:9'}}\n{CLIENT}, tools_dir: /dev}}", "scratch: there is no m0cp in /dev"),
        (f"{CLIENT}, tools_dir: /dev}}\ntools: {{m0kv: /bin/sh}}", "tools and client.tools_dir: give one of them"),
        ("client: {end_point: a}", "client.end_point: there is no such option; accepted are endpoint, ha_endpoint"),
        ("client: {endpoint: a}", "client: ha_endpoint, profile, process missing"),
        ("process: {pid: many}", "process.pid: int is accepted, not 'many'"),
        ("process: {pid: 1, process: '1:2'}", "process: name one, by pid, by process (its fid) or by service"),
        ("object: {fid: '1234567:2', conf: /no/such.xc, layout_id: 1, size: 1}", "object.conf: there is no /no/such.xc on this machine"),
        ("record: {index: '1:2', key: a}", "the section client is missing"),
        ("may_write: often", "may_write: true or false is accepted, not 'often'"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_meant(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "motr.yml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadTarget) as caught:
        Target.read(file)
    assert said in str(caught.value)
