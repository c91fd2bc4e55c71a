# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One record is written: compared before, read back after, kept, and taken back."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.kv import M0kv
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.options import client_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.run import run
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import parse
from lab.motr.tools import Cluster
from support import run_module, run_ok, run_refused

MODULE = "motr_record"
INDEX = "<7800000000000000:100002>"
KEY = b"12345/backups"
OLD = b'{"Bucket-Name": "backups",\n\tKEY: "looks like a row"}'
NEW = b'{"Bucket-Name": "backups", "changed": true}'
ANY = bytes(range(256)) * 8


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    made = Cluster(tmp_path / "cluster").create()
    made.put(INDEX, KEY, OLD)
    made.put(INDEX, b"12345/other", b"{}")
    return made


@pytest.fixture
def wanted(cluster: Cluster, journal_dir: str) -> dict[str, Any]:
    return cluster.arguments(index="0x0:0x100002", key=KEY.decode(), value=NEW.decode(), journal_dir=journal_dir)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def undo(result: dict[str, Any], journal_dir: str, **others: Any) -> dict[str, Any]:
    return run_module("runbook_undo", {"undo_id": result["undo_id"], "journal_dir": journal_dir, **others})


@pytest.mark.step("M7")
def test_replaced_as_predicted_and_taken_back(cluster: Cluster, wanted: dict[str, Any], journal_dir: str) -> None:
    before = cluster.records(INDEX)
    blind = run_refused(MODULE, wanted)
    assert [refusal["guard"] for refusal in blind["refusals"]] == ["expected"]
    assert blind["record"]["sha256"] == sha256(OLD)
    wanted["expected"] = OLD.decode()
    predicted = run_ok(MODULE, wanted, check=True, diff=True)
    assert cluster.records(INDEX) == before
    assert not Path(journal_dir, "motr").exists()
    change = predicted["changes"][0]
    assert (change["action"], change["before"]["value"], change["after"]["value"], change["reversible"]) == ("replace", OLD.decode(), NEW.decode(), True)
    assert "no compare-and-set" in change["reason"]
    assert json.loads(predicted["diff"][0]["after"])["value"] == NEW.decode()
    done = run_ok(MODULE, {**wanted, "approved_plan": predicted["plan_sha256"]})
    assert done["plan_sha256"] == predicted["plan_sha256"]
    assert cluster.records(INDEX) == {**before, KEY: NEW}
    assert [finding["code"] for finding in done["findings"]] == ["motr.record.as_asked"]
    again = run_ok(MODULE, wanted)
    assert (again["changed"], again["changes"]) == (False, [])
    undone = undo(done, journal_dir)
    assert undone["changed"], undone
    assert cluster.records(INDEX) == before
    redone = undo(undone, journal_dir)
    assert redone["changed"], redone
    assert cluster.records(INDEX)[KEY] == NEW


@pytest.mark.step("M7")
@pytest.mark.parametrize("value_format", ["hex", "base64"])
def test_any_bytes_created_removed_and_bounded(cluster: Cluster, wanted: dict[str, Any], journal_dir: str, value_format: str) -> None:
    """Of what is no text, and of what is long, a result shows a bounded piece, or nothing; the value is kept where only its owner reads."""
    import base64

    spelt = ANY.hex() if value_format == "hex" else base64.b64encode(ANY).decode()
    odd = {"key": "0x00ff800a", "key_format": "hex", "value": spelt, "value_format": value_format, "shown_bytes": 16}
    done = run_ok(MODULE, {**wanted, **odd})
    assert cluster.records(INDEX)[b"\x00\xff\x80\n"] == ANY
    shown = done["record"]
    assert (shown["key"], shown["bytes"], shown["sha256"], shown["encoding"], shown["truncated"]) == ("0x00ff800a", len(ANY), sha256(ANY), "base64", True)
    assert base64.b64decode(shown["value"]) == ANY[:16]
    gone = {"state": "absent", "value": None, "expected_sha256": sha256(ANY), "shown_bytes": 0}
    removed = run_ok(MODULE, {**wanted, **odd, **gone})
    assert b"\x00\xff\x80\n" not in cluster.records(INDEX)
    assert removed["changes"][0]["before"]["value"] is None
    assert removed["record"]["exists"] is False
    assert run_ok(MODULE, {**wanted, **odd, **gone})["changed"] is False
    files = list(Path(journal_dir, "motr").iterdir())
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert undo(removed, journal_dir)["changed"]
    assert cluster.records(INDEX)[b"\x00\xff\x80\n"] == ANY
    for path in Path(journal_dir, "motr").iterdir():
        path.unlink()
    cluster.remove(INDEX, b"\x00\xff\x80\n")


@pytest.mark.step("M7")
def test_somebody_else_writes(cluster: Cluster, wanted: dict[str, Any], journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the look, between look and write, after the write, and before the undo."""
    wanted["expected"] = OLD.decode()
    cluster.put(INDEX, KEY, b"theirs")
    assert "it is another one" in run_refused(MODULE, wanted)["msg"]
    cluster.remove(INDEX, KEY)
    assert "there is none" in run_refused(MODULE, wanted)["msg"]
    cluster.put(INDEX, KEY, OLD)
    real = M0kv.get
    asked: list[bytes] = []

    def late(self: M0kv, index: Any, key: bytes) -> bytes | None:
        asked.append(key)
        if len(asked) == 2:
            cluster.put(INDEX, KEY, b"theirs")
        return real(self, index, key)

    with monkeypatch.context() as patch:
        patch.setattr(M0kv, "get", late)
        raced = run_module(MODULE, wanted)
    assert raced["changes"][0]["note"].startswith("the record was changed since")
    assert not raced["changed"]
    assert cluster.records(INDEX)[KEY] == b"theirs"
    cluster.put(INDEX, KEY, OLD)
    cluster.fault(overwritten_by=b"theirs".hex())
    assert "does not read back as it was written" in run_module(MODULE, wanted)["msg"]
    cluster.fault(lost_puts=True)
    cluster.put(INDEX, KEY, OLD)
    assert "does not read back as it was written" in run_module(MODULE, wanted)["msg"]
    cluster.fault()
    done = run_ok(MODULE, wanted)
    cluster.put(INDEX, KEY, b"theirs")
    refused = undo(done, journal_dir)
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["changed_since"]
    assert cluster.records(INDEX)[KEY] == b"theirs"
    cluster.put(INDEX, KEY, NEW)
    for path in Path(journal_dir, "motr").iterdir():
        path.unlink()
    assert [refusal["guard"] for refusal in undo(done, journal_dir)["refusals"]] == ["saved"]
    assert cluster.records(INDEX)[KEY] == NEW


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"value": ""}, "takes nothing empty"),
        ({"key": ""}, "key is empty"),
        ({"value": "0xzz", "value_format": "hex"}, "value is no hexadecimal"),
        ({"value": "a", "value_format": "base64"}, "value is no base64"),
        ({"expected_sha256": "abc"}, "64 hexadecimal digits"),
        ({"index": "^r|1:2"}, "an index has a fid of type x"),
        ({"index": "what"}, "is no fid"),
        ({"shown_bytes": -1}, "shown_bytes must be"),
        ({"value": "x" * ((1 << 20) + 1)}, "at most 1048576"),
        ({"value": None}, "value"),
        ({"index": "<7800000000000000:100003>"}, "there is no index <7800000000000000:100003>"),
        ({"index": "<7800000000000000:100003>", "state": "absent", "value": None}, "there is no index <7800000000000000:100003>"),
    ],
)
def test_bad_input(cluster: Cluster, wanted: dict[str, Any], given: dict[str, Any], why: str) -> None:
    before = cluster.records(INDEX)
    assert why in run_refused(MODULE, {**wanted, **given})["msg"]
    assert cluster.records(INDEX) == before


def test_what_users_have_typed_until_now(cluster: Cluster) -> None:
    """The stand-in prints what the real m0kv printed, in both modes, empty rows included; and every length of key and value comes through."""
    fixtures = Path(__file__).parents[1] / "unit" / "plugins" / "module_utils" / "motr" / "fixtures"
    told = cluster.arguments()
    common = [f"{cluster.bin}/m0kv", "-l", told["endpoint"], "-h", told["ha_endpoint"], "-p", told["profile"], "-f", told["process"]]
    text = (fixtures / "m0kv_index_next.txt").read_text(encoding="utf-8")
    value = text.split("VAL: ", 1)[1].split("\n", 1)[0]
    cluster.put("<7800000000000000:5>", b"12345/mybucket", value.encode())
    assert run([*common, "-s", "index", "next", "0:5", "1", "3"], 60).output == text
    listed = run([*common, "index", "next", "0:5", "[0x1:0x31]", "3"], 60).output
    assert listed.startswith((fixtures / "m0kv_index_next_xcode.txt").read_text(encoding="utf-8").split("/VAL/", 1)[0])
    absent = run([*common, "-s", "index", "get", "0:5", "gone"], 60)
    assert (absent.code, "rcs[0]: -2" in absent.output, absent.output.splitlines()[-1]) == (2, True, "Done, rc:  2")
    kv, index = M0kv(client_of({**told, "tool_timeout": 60.0})), parse("<7800000000000000:6>")
    for length in (1, 10, 19, 20, 40, 5000):
        data = (b"\x80" + ANY)[:length] if length < len(ANY) else ANY * 3
        kv.put(index, data[:200], data)
        assert kv.get(index, data[:200]) == data
    kv.delete(index, b"nothing of that name")
    assert len(list(kv.beginning_with(index, b"\x80", 4))) == 4
