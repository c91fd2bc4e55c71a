# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a real MongoDB within bounds, and nothing but reading."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from bson import Decimal128, Int64, ObjectId, Timestamp
from bson.raw_bson import RawBSONDocument
from lab.hosts.common import CHECKOUT
from lab.mongo import TEST_COMMANDS, Mongod
from support import run_ok, run_refused

MODULE = "mongodb_query_info"
ID = "54c1d5b9d5f1a31fcd8e5f5a"
PASSWORD = "plain-text-of-an-image"
NOON = datetime.datetime(2026, 1, 30, 12, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with Mongod(tmp_path_factory.mktemp("mongo") / "db", options=TEST_COMMANDS) as made:
        made.initiate()
        with made.client() as client:
            talus = client.talus
            talus.image.insert_many(
                [
                    {"_id": ObjectId(ID), "name": "win7", "username": "u", "password": PASSWORD, "status": {"name": "ready"}, "timestamps": {"created": NOON}},
                    {"name": "win10", "password": PASSWORD, "status": {"name": "configuring"}, "vms": [{"vnc": 5905, "admin_password": PASSWORD}]},
                ]
            )
            talus.job.insert_many([{"n": n, "queue": "jobs", "priority": n % 3, "status": {"name": "running" if n < 3 else "finished"}} for n in range(150)])
            talus.big.insert_many([{"n": n, "text": "x" * 3000} for n in range(20)])
            talus["fs.files"].insert_one({"filename": "a"})
        yield made


def query(mongod: Mongod, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_ok(MODULE, {**mongod.params, "timeout": 30, "database": "talus", **options}, check)


def refused(mongod: Mongod, **options: Any) -> str:
    return str(run_refused(MODULE, {**mongod.params, "database": "talus", "collection": "job", **options})["msg"])


@pytest.mark.step("T15")
def test_documents_by_filter_projection_and_order(mongod: Mongod) -> None:
    result = query(mongod, collection="job", filter={"status.name": "running"}, projection={"n": True, "_id": False}, sort=[{"n": -1}])
    assert (result["documents"], result["truncated"], result["changed"]) == ([{"n": 2}, {"n": 1}, {"n": 0}], False, False)
    assert query(mongod, collection="job", filter={"status.name": "running"}, projection={"n": 1, "_id": 0}, sort=[{"n": -1}], check=True)["documents"] == [
        {"n": 2},
        {"n": 1},
        {"n": 0},
    ]
    two = query(mongod, collection="job", sort=[{"priority": -1}, {"n": 1}], projection={"n": 1, "_id": 0}, skip=1, limit=2)
    assert [row["n"] for row in two["documents"]] == [5, 8]
    assert query(mongod, collection="image", filter={"_id": {"$oid": ID}})["documents"][0]["name"] == "win7"
    newer = {"timestamps.created": {"$gte": {"$date": "2026-01-30T00:00:00Z"}}}
    assert [row["name"] for row in query(mongod, collection="image", filter=newer)["documents"]] == ["win7"]
    assert query(mongod, collection="job", filter={"queue": {"$regex": "^JOB", "$options": "i"}, "n": {"$in": [1, 2]}}, limit=5)["truncated"] is False
    assert query(mongod, collection="nothing")["documents"] == []


@pytest.mark.step("T15")
def test_numbers_and_names(mongod: Mongod) -> None:
    assert query(mongod, what="count", collection="job")["count"] == 150
    assert query(mongod, what="count", collection="job", filter={"status.name": "running"})["count"] == 3
    names = query(mongod, what="collections")["collections"]
    assert names == [{"name": name, "type": "collection"} for name in ("big", "fs.files", "image", "job")]
    databases = run_ok(MODULE, {**mongod.params, "what": "databases"})["databases"]
    assert [row["name"] for row in databases] == ["admin", "config", "local", "talus"]
    assert all(row["size"] > 0 for row in databases)
    cut = run_ok(MODULE, {**mongod.params, "what": "databases", "limit": 1, "skip": 1})
    assert ([row["name"] for row in cut["databases"]], cut["truncated"]) == (["config"], True)


@pytest.mark.step("T15")
def test_passwords_of_images_are_hidden(mongod: Mongod) -> None:
    result = query(mongod, collection="image")
    assert PASSWORD not in json.dumps(result)
    assert [row["password"] for row in result["documents"]] == ["********"] * 2
    assert (result["hidden"], result["documents"][0]["username"]) == (["password", "vms.admin_password"], "u")
    shown = query(mongod, collection="image", hide=[])
    assert (shown["documents"][0]["password"], shown["hidden"]) == (PASSWORD, [])
    other = query(mongod, collection="image", hide=["username"])
    assert (other["documents"][0]["username"], other["documents"][0]["password"]) == ("********", PASSWORD)
    for bad in ({"filter": {"password": {"$regex": "^p"}}}, {"filter": {"$or": [{"vms.admin_password": "x"}]}}, {"sort": [{"password": 1}]}):
        assert "hide keeps back" in refused(mongod, collection="image", **bad)
    for bad in ({"x": "$password"}, {"x": {"$concat": ["$password", ""]}}):
        assert "projection: x must be true, false" in refused(mongod, collection="image", projection=bad)


@pytest.mark.step("T15")
def test_whatever_runs_code_or_writes_is_refused(mongod: Mongod) -> None:
    before = mongod.command("dbStats", database="talus")["objects"]
    for bad in ({"$where": "sleep(9999)"}, {"n": {"$not": {"$where": "1"}}}, {"$expr": {"$function": {}}}, {"$out": "x"}, {"$merge": "x"}):
        assert "is refused" in refused(mongod, filter=bad)
    for bad in ("$cmd", "a\0b", ".a", ""):
        assert "collection must be a name" in refused(mongod, collection=bad)
    assert "database must be a name" in refused(mongod, database="a/b")
    assert mongod.command("dbStats", database="talus")["objects"] == before


@pytest.mark.step("T15")
def test_bounds(mongod: Mongod) -> None:
    cut = query(mongod, collection="job")
    assert (len(cut["documents"]), cut["truncated"]) == (100, True)
    (finding,) = cut["findings"]
    assert (finding["code"], finding["severity"], finding["subject"]) == ("mongodb.query.truncated", "info", "talus.job")
    assert query(mongod, collection="job", limit=150)["truncated"] is False
    small = query(mongod, collection="big", max_bytes=10_000)
    assert (len(small["documents"]), small["truncated"]) == (3, True)
    assert small["evidence"]["bytes"] <= 10_000
    none = query(mongod, collection="big", max_bytes=1024)
    assert (none["documents"], none["truncated"]) == ([], True)
    for bad, message in (
        ({"limit": 0}, "limit must be 1 to 10000"),
        ({"limit": 10_001}, "limit must be 1 to 10000"),
        ({"skip": -1}, "skip must be 0"),
        ({"max_bytes": 10}, "max_bytes must be 1024"),
        ({"max_time": 0}, "max_time must be more than 0 and at most timeout"),
        ({"max_time": 11}, "at most timeout (10 s)"),
        ({"max_time": float("nan")}, "max_time must be"),
        ({"hide": [""]}, "hide: an empty word"),
        ({"filter": {"_id": {"$oid": "x"}}}, "no value of extended JSON"),
        ({"sort": [{"n": 2}]}, "sort: n must be 1"),
        ({"collection": None}, "what=documents needs collection"),
        ({"what": "count", "collection": None}, "what=count needs collection"),
        ({"what": "collections", "database": None}, "what=collections needs database"),
        ({"what": "documents", "filter": {"$bad": 1}}, "$bad is refused"),
    ):
        assert message in refused(mongod, **bad)


@pytest.mark.step("T15")
def test_the_server_stops_by_itself(mongod: Mongod) -> None:
    """With this fail point, whatever has a time limit has exceeded it."""
    mongod.command("configureFailPoint", "maxTimeAlwaysTimeOut", mode="alwaysOn")
    try:
        for what in ("documents", "count", "collections", "databases"):
            assert "stopped after max_time (5 s); narrow the filter" in refused(mongod, what=what)
    finally:
        mongod.let_go("maxTimeAlwaysTimeOut")


def test_whatever_others_stored_can_be_shown(mongod: Mongod) -> None:
    odd = {
        "double": float("nan"),
        "long": Int64(2**60),
        "decimal": Decimal128("1.10"),
        "stamp": Timestamp(5, 6),
        "binary": b"\x00\xff",
        "early": datetime.datetime(1, 1, 1, tzinfo=datetime.UTC),
        "a.b": {"$c": 1},
        "text": "ä\u0000\U0001f600",
    }
    with mongod.client() as client:
        client.odd.things.insert_one(odd | {"_id": 1})
        # {_id: 2, text: <no UTF-8>, far: a date in the year 275760}
        elements = b"\x10_id\x00\x02\x00\x00\x00" + b"\x02text\x00\x03\x00\x00\x00\xff\xfe\x00" + b"\x09far\x00" + (8_640_000_000_000_000).to_bytes(8, "little")
        client.odd.things.insert_one(RawBSONDocument((len(elements) + 5).to_bytes(4, "little") + elements + b"\x00"))
    first, second = query(mongod, database="odd", collection="things", sort=[{"_id": 1}])["documents"]
    assert (first["double"], first["long"], first["decimal"]) == ({"$numberDouble": "NaN"}, 2**60, {"$numberDecimal": "1.10"})
    assert (first["stamp"], first["a.b"], first["text"]) == ({"$timestamp": {"t": 5, "i": 6}}, {"$c": 1}, "ä\u0000\U0001f600")
    assert second["text"] == "\ufffd\ufffd"
    assert second["far"] == {"$date": {"$numberLong": "8640000000000000"}}


@pytest.mark.step("T15")
def test_reading_where_nothing_can_be_written(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db") as mongod:
        message = refused(mongod)
        assert "neither PRIMARY nor SECONDARY; mongodb_replica_set_info tells why" in message
        mongod.initiate()
        mongod.write(collection="job")
        mongod.step_down(600)
        assert query(mongod, what="count", collection="job")["count"] == 1
        assert len(query(mongod, collection="job")["documents"]) == 1
        assert [row["name"] for row in query(mongod, what="collections")["collections"]] == ["job"]
        mongod.kill()
        assert "cannot be reached: Connection refused" in refused(mongod)


@pytest.mark.step("T15")
def test_rights(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db", key="laboratory" * 4) as mongod:
        mongod.initiate()
        mongod.add_user("root", "root-password", ["root"])
        mongod.login = ("root", "root-password")
        mongod.write(collection="job")
        mongod.add_user("reader", "reader-password", [{"role": "read", "db": "talus"}])
        mongod.login = ("reader", "reader-password")
        assert query(mongod, what="count", collection="job")["count"] == 1
        assert "must have the role read on this database" in refused(mongod, database="other")
        mongod.login = ("reader", "wrong-password")
        message = refused(mongod)
        assert "code 18" in message
        assert "wrong-password" not in message


@pytest.mark.step("T15")
def test_from_a_playbook_order_and_types_arrive_as_written(mongod: Mongod, tmp_path: Path) -> None:
    task = {
        "fieldops.runbooks.mongodb_query_info": {
            **mongod.params,
            "database": "talus",
            "collection": "job",
            "filter": {"n": {"$lt": 6}, "status.name": {"$ne": "x"}},
            "projection": {"n": True, "_id": False},
            "sort": [{"priority": -1}, {"n": 1}],
        },
        "register": "found",
    }
    show = {"ansible.builtin.copy": {"content": "{{ found.documents | to_json }}", "dest": str(tmp_path / "found.json"), "mode": "0600"}}
    play = [{"hosts": "localhost", "gather_facts": False, "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, "tasks": [task, show]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".cache/tree"), "ANSIBLE_LOCALHOST_WARNING": "false"}
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "-c", "local", str(tmp_path / "play.yml")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["n"] for row in json.loads((tmp_path / "found.json").read_text())] == [2, 5, 1, 4, 0, 3]
