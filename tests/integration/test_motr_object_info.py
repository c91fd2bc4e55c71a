# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects by their names, through m0kv and through s3server, and what becomes of records that are not there or not whole."""

from __future__ import annotations

import base64
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import murmur, rgwnames
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.s3names import encode_oid
from lab.motr.tools import Cluster, S3Server
from support import run_ok, run_refused

MODULE = "motr_object_info"
BUCKETS, METADATA = "<7800000000000000:100001>", "<7800000000000000:100002>"
LISTING, EXTENDED = (0x7800000001234567, 0x8000000000000002), (0x7800000001234567, 3)
PVER = (0x7600000000000001, 10)
OID = (0x06480ABE, 0x99F0000000000047)


def name_of(index: tuple[int, int]) -> str:
    return f"<{index[0]:x}:{index[1]:x}>"


def layout(index: tuple[int, int], size: str = "<QQQQi4x") -> str:
    return base64.b64encode(struct.pack(size, *index, *PVER, 1)).decode()


def record(oid: tuple[int, int] = OID, **others: Any) -> bytes:
    pver = base64.b64encode(struct.pack("<QQ", *PVER)).decode()
    return json.dumps({"motr_oid": encode_oid(oid), "PVID": pver, "layout_id": 9, "FNo": 0, "PRTS": 0, "Size": 73400320, **others}).encode()


def piece(number: int) -> bytes:
    return json.dumps({"OID": encode_oid((1, number)), "PVID": encode_oid(PVER), "size": 16 << 20, "layout-id": 9}).encode()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Three buckets of one account: of today's schema, of the older one, and one that nobody knows the account of."""
    made = Cluster(tmp_path / "cluster").create()
    made.put(BUCKETS, b"new", json.dumps({"account_id": "12345", "account_name": "ops"}).encode())
    new = {"motr_object_list_index_layout": layout(LISTING), "extended_metadata_index_layout": layout(EXTENDED)}
    made.put(METADATA, b"12345/new", json.dumps(new).encode())
    made.put(METADATA, b"12345/old", json.dumps({"motr_object_list_index_oid": encode_oid(LISTING)}).encode())
    made.put(METADATA, b"12345/empty", json.dumps({"motr_object_list_index_layout": layout((0, 0), "<QQQQi")}).encode())
    made.put(name_of(LISTING), "pl\u00e4ne/a b".encode(), record())
    made.put(name_of(LISTING), b"large|odd", record(PRTS=2, FNo=2))
    for number in (1, 2):
        made.put(name_of(EXTENDED), f"large|odd|v1|P{number}|F1".encode(), piece(number))
    made.put(name_of(EXTENDED), b"large|odd|other|v1|P1|F1", piece(9))
    made.put(name_of(EXTENDED), b"large|odder", piece(9))
    return made


@pytest.fixture(params=["m0kv", "s3"])
def asked(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Options of either transport; that of s3server needs none of the client's."""
    with S3Server(cluster) as server:
        yield cluster.arguments(transport="m0kv") if request.param == "m0kv" else {"transport": "s3", "s3_url": server.url}


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others leave for a moment where everybody may write is none of this."""
    (tmp_path / "own").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "own"))


def traces() -> set[str]:
    return {name for name in (*os.listdir("."), *os.listdir(tempfile.gettempdir())) if name.startswith(("m0trace", "fieldops-motr-"))}


@pytest.mark.step("M1")
def test_the_chain_of_s3server(asked: dict[str, Any]) -> None:
    """Names with blanks and umlauts, bytes above 127 in records, parts of the very object, both schemas, several at once; no traces are left."""
    left = traces()
    wanted = [{"bucket": "new", "key": "pl\u00e4ne/a b"}, {"bucket": "old", "key": "pl\u00e4ne/a b", "account": "12345"}, {"bucket": "new", "key": "large|odd"}]
    result = run_ok(MODULE, {**asked, "objects": wanted})
    assert codes(result) == ["motr.object.found"] * 3
    first, second, large = result["objects"]
    told = ("6480abe:99f0000000000047", "<4700000006480abe:99f0000000000047>", "<7600000000000001:a>", 9, 1 << 20, 73400320)
    for each in (first, second, large):
        assert tuple(each[name] for name in ("oid", "fid", "pver", "layout_id", "unit_size", "size")) == told
    assert first["parts"] == second["parts"] == []
    assert [(part["part"], part["fragment"], part["fid"], part["pver"], part["size"], part["version"]) for part in large["parts"]] == [
        (number, 1, f"<4700000000000001:{number:x}>", "<7600000000000001:a>", 16 << 20, "v1") for number in (1, 2)
    ]
    assert first["murmurhash_oid"] == str(murmur.object_id("new/pl\u00e4ne/a b"))
    steps = result["evidence"]["lookups"]["new/pl\u00e4ne/a b"]
    assert [step["index"] for step in steps] == [BUCKETS, METADATA, name_of(LISTING)]
    assert traces() <= left


@pytest.mark.step("M1")
def test_what_is_not_there_or_not_whole(asked: dict[str, Any], cluster: Cluster) -> None:
    """Each is one finding that names the record; the others are resolved all the same."""
    cluster.put(name_of(LISTING), b"broken", b'{"motr_oid": "x')
    cluster.put(name_of(LISTING), b"odd", record(motr_oid="AAAA-AAAA"))
    cluster.put(name_of(LISTING), b"strange", record((1 << 40, 0x10), layout_id=99))
    cluster.put(name_of(LISTING), b"own", record((0, 0x100)))
    cluster.put(name_of(LISTING), b"layers", record(layout_id=1 << 48 | 9, **{"Size": "\u00b2", "System-Defined": [7]}))
    keys = [("new", "gone"), ("nowhere", "x"), ("empty", "x"), ("new", "broken"), ("new", "odd"), ("new", "strange"), ("new", "own"), ("new", "layers")]
    wanted = [{"bucket": bucket, "key": key, **({"account": "12345"} if bucket == "empty" else {})} for bucket, key in keys]
    result = run_ok(MODULE, {**asked, "objects": wanted})
    kinds = [
        "not_found",
        "not_found",
        "not_found",
        "unreadable",
        "unreadable",
        "found",
        "layout_unknown",
        "id_cut",
        "found",
        "id_reserved",
        "found",
        "not_plain",
    ]
    assert codes(result) == [f"motr.object.{kind}" for kind in kinds]
    assert [each["found"] for each in result["objects"]] == [False] * 5 + [True] * 3
    layers = result["objects"][-1]
    assert (layers["unit_size"], "is composite (layout id 0x1000000000009)" in result["findings"][-1]["summary"]) == (None, True)
    texts = [finding["summary"] for finding in result["findings"]]
    assert "the object gone in bucket new is not there" in texts[0]
    assert "no index of objects" in texts[2]
    assert "no JSON" in texts[3]
    assert f"the record is broken of index {name_of(LISTING)}" in texts[3]


@pytest.mark.step("M1")
def test_the_chain_of_rgw_and_fids(cluster: Cluster) -> None:
    def meta(number: int) -> bytes:
        return struct.pack("<BBIQQQQQ", 5, 5, 40, 1 if number else 0, number, *(PVER if number else (0, 0)), 9 if number else 0)

    def entry(name: str, category: int, number: int) -> bytes:
        inner = struct.pack("<BBIBQ", 7, 3, 9, category, 1000) + b"\xff\xfe attributes \x80"
        body = struct.pack("<I", len(name)) + name.encode() + struct.pack("<QB", 7, 1) + inner
        return struct.pack("<BBI", 8, 3, len(body)) + body + meta(number)

    plain = str(rgwnames.index_fid("motr.rgw.bucket.index.finance$books"))
    cluster.put(plain, b"one", entry("one", 1, 0x99))
    cluster.put(plain, b"many", entry("many", 3, 0))
    cluster.put(plain, b"short", b"\0" * 10)
    parts = str(rgwnames.index_fid("motr.rgw.object.finance$books.many.parts"))
    for number in (1, 2, 10):
        cluster.put(parts, b"part.%08d" % number, struct.pack("<BBIIQ", 5, 2, 12, number, 500) + meta(number))
    gob = "<4700000006480abe:99f0000000000047>"
    names = [{"bucket": "books", "key": key} for key in ("one", "many", "short")]
    fids = [{"fid": fid} for fid in (gob, "(0x4300000106480abe,0x99f0000000000047)", f"^G|{OID[0]}:{OID[1]}", "^x|1:2", "no", "4700000106480abe:1")]
    result = run_ok(MODULE, cluster.arguments(schema="rgw", tenant="finance", objects=[*names, *fids]))
    one, many, short, *same = result["objects"]
    assert (one["fid"], one["size"], one["unit_size"], one["murmurhash_oid"]) == ("<4700000000000001:99>", 1000, 1 << 20, None)
    assert (many["found"], many["fid"], [(part["part"], part["size"], part["oid"]) for part in many["parts"]]) == (
        True,
        None,
        [(1, 500, "1:1"), (2, 500, "1:2"), (10, 500, "1:a")],
    )
    assert not short["found"]
    assert {each["fid"] for each in same[:3]} == {gob}
    kinds = ["found", "found", "unreadable", "found", "found", "found", "bad_fid", "bad_fid", "bad_fid"]
    assert codes(result) == [f"motr.object.{kind}" for kind in kinds]
    assert "in the bits of the device, which only a cob has" in result["findings"][-1]["summary"]


def test_tools_that_do_not_work(cluster: Cluster, tmp_path: Path) -> None:
    """No object is blamed for that."""
    wanted = {"objects": [{"bucket": "new", "key": "x"}]}
    left = traces()
    cluster.fault(hang=True)
    assert "did not end within 2 s" in run_refused(MODULE, cluster.arguments(**wanted, tool_timeout=2))["msg"]
    assert traces() <= left
    cluster.wait_until_alone()
    cluster.fault(rc=-71)
    assert "m0kv get failed with -71" in run_refused(MODULE, cluster.arguments(**wanted))["msg"]
    cluster.fault()
    with cluster.joined(cluster.arguments()["endpoint"]):
        assert "the client's endpoint is taken" in run_refused(MODULE, cluster.arguments(**wanted))["msg"]
    assert "not in the configuration" in run_refused(MODULE, cluster.arguments(**wanted, process="^r|1:99"))["msg"]
    assert "there is no m0kv in" in run_refused(MODULE, cluster.arguments(**wanted, tools_dir=str(tmp_path)))["msg"]
    refused = run_refused(MODULE, {"objects": wanted["objects"], "transport": "s3", "s3_url": "http://127.0.0.1:9"})
    assert "s3server does not answer" in refused["msg"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"objects": []}, "objects is empty"),
        ({"objects": [{"bucket": "b"}]}, "either a fid, or a bucket and a key"),
        ({"objects": [{"bucket": "b", "key": "k", "fid": "1:2"}]}, "either a fid, or a bucket and a key"),
        ({"objects": [{"bucket": "b", "key": "k", "tenant": "t"}]}, "RGW's"),
        ({"objects": [{"bucket": "b", "key": "k"}], "schema": "rgw", "transport": "s3"}, "use transport m0kv"),
        ({"objects": [{"bucket": "b", "key": "k"}], "profile": "^r|1:1"}, "not of a profile"),
        ({"objects": [{"bucket": "b", "key": "k"}], "endpoint": "a b"}, "is no endpoint"),
        ({"objects": [{"bucket": "b", "key": "k"}], "ha_endpoint": ""}, "hax"),
        ({"objects": [{"bucket": "b", "key": "k"}], "tool_timeout": 0}, "more than 0 seconds"),
    ],
)
def test_bad_input(cluster: Cluster, given: dict[str, Any], why: str) -> None:
    assert why in run_refused(MODULE, cluster.arguments(**given))["msg"]
