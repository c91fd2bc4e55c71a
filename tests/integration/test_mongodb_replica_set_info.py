# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every condition of a replica set, brought about on real mongods; what the module says of reads and writes is tried on them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.mongo import Mongo
from ansible_collections.fieldops.runbooks.plugins.modules import mongodb_replica_set_info
from lab.hosts.common import CHECKOUT, call, locked
from lab.mongo import IN_COPYING, IN_ROLLBACK, TEST_COMMANDS, Cluster, Mongod, free_port, wait_for
from pymongo.errors import PyMongoError
from support import run_ok, run_refused
from unit.plugins.module_utils.connect.certificates import Authority, day

MODULE = "mongodb_replica_set_info"
VERSIONS = {"6.0": "6.0.5", "5.0": "5.0.4", "4.4": "4.4.2"}
KEY = "laboratory" * 4


def look(mongod: Mongod, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_ok(MODULE, {**mongod.params, "timeout": 30, **options}, check)


def expect(mongod: Mongod, condition: str, **options: Any) -> dict[str, Any]:
    """The condition, and whether the server does with reads and writes what the module says that it does."""
    result = look(mongod, **options)
    assert result["condition"] == condition, result["evidence"]
    assert result["changed"] is False
    first = result["findings"][0]
    assert (first["code"], first["subject"]) == (f"mongodb.replica_set.{condition}", f"{mongod.params['login_host']}:{mongod.port}")
    assert result["healthy"] == (first["severity"] == "ok") == (first["remedy"] is None)
    if result["writes"] != "unknown":
        assert works(lambda: mongod.write(majority=False)) == (result["writes"] != "no")
    if result["reads"] != "unknown":
        assert works(mongod.documents) == (result["reads"] == "yes")
    return result


def works(attempt: Any) -> bool:
    try:
        attempt()
    except PyMongoError:
        return False
    return True


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("mongodb.") for finding in result["findings"]]


# -- one member ---------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T13")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_set_of_one_through_all_its_conditions(version: str, tmp_path: Path) -> None:
    with Mongod(tmp_path / "db", version, replset=None) as mongod:
        alone = expect(mongod, "standalone")
        assert (alone["version"], alone["set_name"], alone["members"], alone["votes"], alone["command_line_set"]) == (VERSIONS[version], None, [], None, "")
        mongod.restart(replset="rs0")
        fresh = expect(mongod, "not_initiated")
        hello = mongod.hello()
        assert (fresh["set_name"], fresh["config"], fresh["detail"]) == ("rs0", None, {"command_line_set": "rs0"})

        mongod.initiate()
        healthy = expect(mongod, "healthy")
        assert (healthy["writes"], healthy["set_name"], healthy["primary"]) == ("yes", "rs0", mongod.host)
        assert healthy["votes"] == {"total": 1, "alive": 1, "needed": 1}
        (member,) = healthy["members"]
        assert {name: member[name] for name in ("host", "self", "state_name", "healthy", "behind")} == {
            "host": mongod.host,
            "self": True,
            "state_name": "PRIMARY",
            "healthy": True,
            "behind": 0,
        }
        assert healthy["config"]["settings"]["replicaSetId"]["$oid"] == str(mongod.config()["settings"]["replicaSetId"])

        mongod.step_down(600)
        expect(mongod, "stepped_down")
        mongod.maintenance(2)
        maintained = expect(mongod, "maintenance")
        assert (maintained["detail"]["maintenance"], maintained["members"][0]["maintenance"]) == (2, 2)

        former = mongod.host
        mongod.move()
        removed = expect(mongod, "removed")
        assert removed["detail"]["configured_hosts"] == [former]
        assert {name: mongod.hello().get(name) for name in ("info", "setName", "isreplicaset")} == {
            name: hello.get(name) for name in ("info", "setName", "isreplicaset")
        }  # as where nothing was initiated: hello does not tell the two apart
        mongod.restart(replset="rs1")
        wrong = expect(mongod, "wrong_set_name")
        assert (wrong["detail"]["stored_set"], wrong["detail"]["command_line_set"]) == ("rs0", "rs1")
        mongod.restart(replset=None)
        bare = expect(mongod, "standalone_on_replica_data")
        assert (bare["detail"]["stored_set"], bare["set_name"], bare["config"]["members"][0]["host"]) == ("rs0", "rs0", former)

        mongod.kill()
        dead = look(mongod)
        assert (dead["condition"], dead["writes"], dead["version"]) == ("unreachable", "no", None)
        assert dead["findings"][0]["summary"].endswith("Connection refused)")


@pytest.mark.step("T13")
def test_a_look_in_check_mode_costs_little_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = Mongo.command

    def counted(self: Mongo, name: str, *args: Any, **more: Any) -> dict[str, Any]:
        asked.append(name)
        return real(self, name, *args, **more)

    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate()
        before = mongod.config()
        monkeypatch.setattr(Mongo, "command", counted)
        result = look(mongod, check=True)
        monkeypatch.undo()
        assert result["condition"] == "healthy"
        assert asked == ["isMaster", "buildInfo", "replSetGetStatus", "getCmdLineOpts", "replSetGetConfig"]
        assert mongod.config() == before


@pytest.mark.step("T13")
def test_a_server_that_starts_is_never_taken_for_one_without_a_set(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate()
        seen: set[str] = set()
        for end in (mongod.stop, mongod.kill):
            end()
            starting = threading.Thread(target=mongod.start)
            starting.start()
            wait_for(lambda: seen.add(condition := look(mongod)["condition"]) or condition == "healthy", "it is PRIMARY")
            starting.join()
        assert "healthy" in seen
        assert seen <= {"unreachable", "starting", "stepped_down", "healthy"}


def test_the_name_of_the_set_in_a_configuration_file(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "mongod.conf").write_text("replication:\n  replSetName: rs7\n")
    with Mongod(folder, replset=None, options=["--config", str(folder / "mongod.conf")]) as mongod:
        assert look(mongod)["command_line_set"] == "rs7"


@pytest.mark.step("T13")
def test_waiting_for_the_end_of_a_step_down(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate().step_down(2)
        result = look(mongod, wait=120)
        assert (result["condition"], result["evidence"]["looks"] > 1) == ("healthy", True)
        mongod.step_down(600)
        given_up = look(mongod, wait=1)
        assert (given_up["condition"], given_up["evidence"]["looks"] > 1) == ("stepped_down", True)


# -- several members ----------------------------------------------------------------------------------------------------------


@pytest.mark.step("T13")
def test_a_set_of_three_that_loses_members_and_its_primary(tmp_path: Path) -> None:
    with Cluster(tmp_path / "set", 3) as cluster:
        cluster.initiate()
        first, second, third = cluster.members
        whole = expect(first, "healthy")
        assert [member["state_name"] for member in whole["members"]] == ["PRIMARY", "SECONDARY", "SECONDARY"]
        assert codes(whole) == ["replica_set.healthy"]
        other = expect(second, "secondary")
        assert (other["primary"], other["detail"]["primary"], other["healthy"]) == (first.host, first.host, True)

        third.kill()
        wait_for(lambda: not first.status()["members"][2]["health"], "the third is seen to be down")
        two = expect(first, "healthy")
        assert (codes(two), two["votes"]) == (["replica_set.healthy", "member.down"], {"total": 3, "alive": 2, "needed": 2})
        assert (two["findings"][1]["subject"], two["findings"][1]["severity"]) == (third.host, "warning")

        survivor = cluster.lose_majority(1)
        lost = expect(survivor, "no_majority")
        assert lost["votes"] == {"total": 3, "alive": 1, "needed": 2}
        assert lost["findings"][0]["remedy"]["playbook"] is None  # nothing does that by itself

        for member in (first, third):
            member.start()
        cluster.wait_primary()
        wait_for(lambda: [each["health"] for each in second.status()["members"]] == [1, 1, 1], "all are back")
        # The one of the highest priority is about to take over again.
        wait_for(first.is_primary, "the first one is PRIMARY again")
        for member in (second, third):
            member.command("replSetFreeze", 600)
        first.command("replSetStepDown", 600, secondaryCatchUpPeriodSecs=0, force=True)
        cluster.wait_no_primary()
        for member in cluster.members:
            expect(member, "stepped_down")


@pytest.mark.step("T13")
def test_rollback_and_initial_sync_are_waited_for_and_an_outcast_is_known(tmp_path: Path) -> None:
    with Cluster(tmp_path / "set", 3, options=TEST_COMMANDS) as cluster:
        cluster.initiate()
        loser = cluster.make_rollback(0)
        rolling = expect(loser, "rollback")
        assert (rolling["findings"][0]["severity"], rolling["findings"][0]["remedy"]["playbook"]) == ("warning", None)
        loser.let_go(IN_ROLLBACK).wait_state(1, 2)
        copying = cluster.make_copying(2)
        assert expect(copying, "starting")["detail"]["state"] == 5
        copying.let_go(IN_COPYING).wait_state(2)
        expect(copying, "secondary")

        primary = cluster.wait_primary()
        config = primary.config()
        kept = [row for row in config["members"] if row["host"] != copying.host]
        primary.command("replSetReconfig", {**config, "version": config["version"] + 1, "members": kept})
        out = wait_for(lambda: (result := look(copying))["condition"] == "removed" and result, "the member knows that it was taken out")
        assert out["detail"]["configured_hosts"] == [row["host"] for row in kept]


@pytest.mark.step("T13")
def test_a_member_that_is_too_stale_and_an_arbiter(tmp_path: Path) -> None:
    with Cluster(tmp_path / "set", 3, options=("--syncdelay", "1")) as cluster:
        cluster.initiate(members={0: {"priority": 2}, 1: {"priority": 0, "votes": 0}, 2: {"arbiterOnly": True}})
        expect(cluster[2], "arbiter")
        stale = cluster.make_too_stale(1)
        found = wait_for(lambda: (result := look(stale))["condition"] == "too_stale" and result, "the member knows that it is too stale")
        assert found["members"][1]["maintenance"] == 1  # as if somebody had asked for it
        assert found["detail"]["log_id"] == 21126
        assert (found["writes"], found["reads"], found["findings"][0]["remedy"]["playbook"]) == ("no", "no", None)
        behind = look(cluster[0], behind_max=1)
        assert codes(behind) == ["replica_set.healthy", "member.behind"]
        assert behind["findings"][1]["subject"] == stale.host


# -- who may ask ----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T13")
def test_users_who_may_and_may_not_ask(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db", key=KEY) as mongod:
        assert look(mongod)["condition"] == "not_initiated"  # asked without a user, as long as there is none
        mongod.initiate()
        mongod.add_user("root", "root-password", ["root"])
        mongod.login = ("root", "root-password")
        expect(mongod, "healthy")
        mongod.add_user("monitor", "monitor-password", ["clusterMonitor"])
        mongod.add_user("manager", "manager-password", ["clusterManager"])
        mongod.add_user("writer", "writer-password", [{"role": "readWrite", "db": "talus"}])

        def as_user(name: str, password: str = "") -> dict[str, Any]:
            return look(mongod, login_user=name, login_password=password or f"{name}-password")

        assert as_user("monitor")["condition"] == "healthy"
        manager = as_user("manager")
        assert (manager["condition"], manager["command_line_set"], manager["evidence"]["codes"]["getCmdLineOpts"]) == ("healthy", None, 13)
        writer = as_user("writer")
        assert (writer["condition"], writer["writes"], writer["detail"]) == ("unauthorized", "yes", {"login_refused": False, "says": "PRIMARY"})
        for name, password in (("monitor", "wrong-password"), ("nobody", "some-password")):
            refused = as_user(name, password)
            assert (refused["condition"], refused["detail"], refused["evidence"]["codes"]) == ("unauthorized", {"login_refused": True}, {"isMaster": 18})
            assert password not in json.dumps(refused)
        assert look(mongod, login_password="wrong-password", wait=600)["evidence"]["looks"] == 1  # which would lock some users out
        anonymous = run_ok(MODULE, {"login_host": "127.0.0.1", "login_port": mongod.port})
        assert (anonymous["condition"], anonymous["detail"]["login_refused"]) == ("unauthorized", False)

        mongod.restart(replset="rs1")
        assert as_user("monitor")["condition"] == "wrong_set_name"
        blind = as_user("manager")  # who sees that the configuration does not fit, but not why
        assert (blind["condition"], blind["command_line_set"]) == ("removed", None)
        assert "--replSet" in blind["meaning"]
        mongod.restart(replset=None)
        assert as_user("monitor")["condition"] == "standalone_on_replica_data"
        outside = as_user("writer")
        assert (outside["condition"], outside["writes"], outside["detail"]["says"]) == ("unauthorized", "unsafe", "in no set")


# -- servers that cannot be asked -------------------------------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=10)
    for connection in kept:
        connection.close()


@pytest.mark.step("T13")
def test_a_server_that_says_nothing(silent: int, tmp_path: Path) -> None:
    started = time.monotonic()
    mute = run_ok(MODULE, {"login_host": "127.0.0.1", "login_port": silent, "timeout": 1})
    assert (mute["condition"], "no answer within 1 s" in mute["meaning"]) == ("unreachable", True)
    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate()
        mongod.freeze()
        frozen = look(mongod, timeout=1)
        mongod.thaw()
        assert (frozen["condition"], frozen["writes"]) == ("unreachable", "no")
        assert frozen["findings"][0]["severity"] == "critical"
        expect(mongod, "healthy")
    assert time.monotonic() - started < 120


def test_a_name_that_nobody_has() -> None:
    result = run_ok(MODULE, {"login_host": "no-such-host.invalid"})
    assert (result["condition"], result["evidence"]["error"].startswith("MongoDB at no-such-host.invalid:27017 cannot be reached: ")) == ("unreachable", True)


@pytest.mark.step("T13")
def test_a_server_older_than_the_driver_and_the_older_driver(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db", "4.2") as mongod:
        result = look(mongod)
        assert (result["condition"], result["writes"]) == ("unsupported_version", "unknown")
        for words in ("a MongoDB 4.2", "MongoDB 4.4 and later", "pymongo>=3.13,<4"):
            assert words in result["meaning"]
        older = {"PYTHONPATH": os.pathsep.join([str(old_driver()), str(CHECKOUT / ".cache/tree"), str(CHECKOUT / "tests/integration")])}

        def told() -> dict[str, Any]:
            program = f"import json; from support import run_ok; print(json.dumps(run_ok({MODULE!r}, {mongod.params!r})))"
            done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **older}, capture_output=True, text=True, check=True, timeout=120)
            return dict(json.loads(done.stdout))

        fresh = told()
        assert (fresh["condition"], fresh["version"], fresh["evidence"]["driver"]) == ("not_initiated", "4.2.6", "3.13.0")
        assert fresh["config"] is None
        initiate = "import pymongo; pymongo.MongoClient('127.0.0.1', %d, directConnection=True).admin.command('replSetInitiate', %r)"
        config = {"_id": "rs0", "version": 1, "members": [{"_id": 0, "host": mongod.host}]}
        subprocess.run([sys.executable, "-c", initiate % (mongod.port, config)], env={**os.environ, **older}, check=True, timeout=120)
        wait_for(lambda: told()["condition"] == "healthy", "it is PRIMARY")
        mongod.move()
        removed = told()
        assert removed["condition"] == "removed", removed["evidence"]


def old_driver() -> Path:
    """A folder with pymongo 3.13, fetched once."""
    place = CHECKOUT / ".cache/mongod/pymongo-3.13.0"
    with locked("pymongo-3.13.0"):
        if not (place / "pymongo").exists():
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
            call([*pip, "--no-deps", "--target", str(place), "pymongo==3.13.0"], "pip install pymongo==3.13.0", timeout=600)
    return place


# -- bad input ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"login_port": 0}, "login_port must be 1 to 65535, not 0"),
        ({"login_port": 70000}, "login_port must be 1 to 65535"),
        ({"login_host": "mongodb://db:27017"}, "login_host must be the name or address of one host"),
        ({"login_host": "db:27017"}, "without a port"),
        ({"login_host": "a,b"}, "login_host must be the name or address of one host"),
        ({"login_host": ""}, "login_host must be"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": float("inf")}, "timeout must be more than 0"),
        ({"wait": -1}, "wait must be 0 to 3600 seconds, not -1"),
        ({"wait": float("nan")}, "wait must be"),
        ({"behind_max": 0}, "behind_max must be 1 or more seconds"),
        ({"login_user": "a"}, "login_user needs login_password"),
        ({"login_password": "secret-secret"}, "login_password needs login_user"),
        ({"ssl_ca_certs": "/etc/hostname"}, "ssl_ca_certs is for encrypted connections"),
        ({"ssl": True, "ssl_ca_certs": "/no/such/file"}, "not a file that can be read"),
        ({"auth_mechanism": "NONE"}, "value of auth_mechanism must be one of"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    result = run_refused(MODULE, options)
    assert message in result["msg"]
    assert "secret-secret" not in json.dumps(result)


@pytest.mark.parametrize("host", ["::1", "talus_db.invalid", "talus-db.invalid", "127.0.0.1", "localhost"])
def test_hosts_that_are_taken(host: str) -> None:
    """Whether somebody is there or not."""
    result = run_ok(MODULE, {"login_host": host, "login_port": free_port(), "timeout": 2})
    assert (result["condition"], "cannot be reached: " in result["meaning"]) == ("unreachable", True)


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongodb_replica_set_info, "IMPORT_ERROR", "Traceback: no pymongo")
    assert "pymongo" in run_refused(MODULE, {})["msg"]


@pytest.mark.step("T13")
def test_encrypted_connections(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.make("server", "/CN=mongod", names=("IP:127.0.0.1",), start=day(-1), end=day(30))
    both = tmp_path / "both.pem"
    both.write_text(pair.certificate.read_text() + pair.key.read_text())
    tls = [
        "--tlsMode",
        "preferTLS",
        "--tlsCertificateKeyFile",
        str(both),
        "--tlsCAFile",
        str(authority.own.certificate),
        "--tlsAllowConnectionsWithoutCertificates",
    ]
    with Mongod(tmp_path / "db", options=tls) as mongod:
        mongod.initiate()
        assert look(mongod, ssl=True, ssl_ca_certs=str(authority.own.certificate))["condition"] == "healthy"
        assert look(mongod, tls=True, ssl_cert_reqs="CERT_NONE")["condition"] == "healthy"
        stranger = look(mongod, ssl=True, timeout=5)  # an authority that the node does not know
        assert (stranger["condition"], "CERTIFICATE_VERIFY_FAILED" in stranger["meaning"]) == ("unreachable", True)
    with Mongod(tmp_path / "other") as mongod:
        result = look(mongod, ssl=True, timeout=2)  # who does not speak TLS at all
        assert (result["condition"], result["evidence"]["error"].startswith(f"MongoDB at {mongod.host} cannot be reached: ")) == ("unreachable", True)
