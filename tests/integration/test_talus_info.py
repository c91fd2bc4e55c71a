# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a host of Talus stands: real containers, real processes and their connections, a real mongod; each fault is made, and the look must find it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus import daemons
from bson import ObjectId
from lab.engine import Engine
from lab.mongo import Mongod
from lab.systemd_standin.units import Units
from lab.upstart_standin import Jobs
from play import eventually
from support import run_ok, run_refused
from talusing import Host

SECRET = "lab-image-password"
IMAGE = ObjectId()


@pytest.fixture(scope="module")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    with Mongod(tmp_path_factory.mktemp("mongod")) as server:
        server.initiate()
        yield server


@pytest.fixture
def database(mongod: Mongod) -> Iterator[Any]:
    """Talus's database with one slave that lives, one image and one job, all well."""
    with mongod.client() as client:
        client.drop_database("talus")
        talus = client["talus"]
        talus.slave.insert_one(slave("slave1"))
        talus.image.insert_one({"_id": IMAGE, "name": "win7", "status": {"name": "ready"}, "username": "user", "password": SECRET, "timestamps": {}})
        talus.job.insert_one(job("fuzz", "running"))
        talus.job.insert_one(job("old", "finished"))
        yield talus


@pytest.fixture
def host(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host(tmp_path / "host", engine)
    monkeypatch.setattr(daemons, "processes", made.processes())
    yield made
    made.close()


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Units]:
    """A stand-in of systemd without units."""
    made = Units(tmp_path / "systemd").create()
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    yield made
    made.close()


@pytest.fixture
def look(host: Host, units: Units, mongod: Mongod, database: Any) -> Any:
    """The module on this host."""
    return lambda **options: run_ok("talus_info", {**host.params, **mongod.params, "manager": "systemd", **options})


def slave(hostname: str, age: float = 1.0, **fields: Any) -> dict[str, Any]:
    known = {"hostname": hostname, "uuid": str(ObjectId()), "ip": "192.0.2.11", "max_vms": 10, "running_vms": 0, "total_jobs_run": 7, "vms": []}
    return {**known, "timestamps": {"modified": time.time() - age}, **fields}


def job(name: str, status: str) -> dict[str, Any]:
    return {"name": name, "status": {"name": status}, "queue": "jobs", "priority": 50, "limit": 1, "image": IMAGE, "timestamps": {"created": time.time() - 100}}


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"].removeprefix("talus.") for finding in result["findings"]}


def finding(result: dict[str, Any], code: str) -> dict[str, Any]:
    (found,) = [each for each in result["findings"] if each["code"] == f"talus.{code}"]
    return dict(found)


# -- a host that is well ------------------------------------------------------------------------------------------------------


@pytest.mark.step("T1", "T5", "T11", "T19")
@pytest.mark.parametrize("spelling", ["underscore", "hyphen", "image"])
def test_a_master_that_works_under_every_spelling(host: Host, look: Any, mongod: Mongod, spelling: str) -> None:
    addresses = host.stack(spelling)
    where = {f"TALUS_{name.upper()}_PORT_{port}_TCP": f"tcp://{addresses[name]}:{port}" for name, port in (("db", 27017), ("amqp", 5672))}
    pid = host.daemon("master", host.amqp, f"127.0.0.1:{mongod.port}", **where)
    host.box(str(IMAGE))
    result = look()
    assert codes(result) == {"ok"}, result["findings"]
    assert (result["healthy"], result["missing"], result["changed"], result["restart"]) == (True, {}, False, [])
    assert look(components=["amqp"])["restart"] == ["amqp", "master", "slave"]
    assert (result["roles"], result["spelling"]) == (["master"], "underscore" if spelling == "underscore" else "hyphen")
    assert {name: result["containers"][name]["name"] for name in addresses} == {name: host.name(name, spelling) for name in addresses}
    assert {name: list(result["containers"][name]["networks"].values()) for name in addresses} == {name: [each] for name, each in addresses.items()}
    assert {result["containers"][name]["found_by"] for name in addresses} == {"image" if spelling == "image" else "name"}
    assert result["containers"]["db"]["ports"][0]["container"] == "27017/tcp"
    assert result["containers"]["db"]["mounts"][0]["destination"] == "/talus/data"
    (master,) = result["daemons"]["master"]
    assert (master["pid"], master["interface"], master["connected"]) == (pid, "lo", {"amqp": True, "mongodb": True})
    assert {held["address"] for held in master["holds"]} == {addresses["db"], addresses["amqp"]}
    assert (result["images"]["by_status"], result["jobs"]["by_status"]) == ({"ready": 1}, {"running": 1, "finished": 1})
    assert [row["name"] for row in result["jobs"]["active"]] == ["fuzz"]
    assert [(row["hostname"], row["alive"]) for row in result["slaves"]] == [("slave1", True)]
    assert [(row["name"], row["image"]) for row in result["boxes"]["boxes"]] == [(str(IMAGE), "link")]
    assert SECRET not in str(result)


@pytest.mark.step("T3")
def test_a_slave_that_works_and_needs_no_engine(host: Host, look: Any) -> None:
    host.daemon("slave", host.amqp)
    result = look(docker_host="unix:///nowhere.sock", login_port=1)
    assert codes(result) == {"ok"}, result["findings"]
    assert (result["roles"], result["missing"], result["containers"], result["slaves"], result["boxes"]) == (["slave"], {}, None, None, None)
    (found,) = result["daemons"]["slave"]
    assert (found["broker"], found["max_vms"], found["connected"]["amqp"]) == ("127.0.0.1", 10, True)
    assert (result["broker"]["host"], result["broker"]["answers"]) == ("127.0.0.1", True)


# -- daemons --------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T1")
def test_only_exact_argv_is_a_master(host: Host, look: Any) -> None:
    """Others have the word, or all of the words behind others: none of them is one."""
    wait = "import time; print('up', flush=True); time.sleep(1000)"
    host.process([sys.executable, "-c", wait, "-m", "master", "lo"])
    host.process(["/bin/sh", "-c", f"echo up; {sys.executable} -m master lo extra; true"])
    host.process(["/bin/sh", "-c", "echo up; sleep 1000; : python -m master lo"])
    host.process([sys.executable, "-m", "master", "two words", "three"], host.environment())
    result = look(parts=["daemons"], roles=["master"], watch=0)
    assert result["daemons"]["master"] == []
    assert finding(result, "daemon.missing")["severity"] == "critical"
    pid = host.daemon("master", host.amqp)
    assert [each["pid"] for each in look(parts=["daemons"], roles=["master"])["daemons"]["master"]] == [pid]


@pytest.mark.step("T1", "T3")
def test_up_is_not_healthy(host: Host, look: Any, mongod: Mongod) -> None:
    """After a restart of the broker both live on and neither consumes."""
    pid = host.daemon("master", host.amqp, f"127.0.0.1:{mongod.port}")
    other = host.daemon("slave", host.amqp)
    assert codes(look(parts=["daemons"])) == {"ok"}
    host.broker.drop()
    result = eventually(lambda: (seen := look(parts=["daemons"])) and "daemon.deaf" in codes(seen) and seen)
    deaf = {each["detail"]["pid"]: each for each in result["findings"] if each["code"] == "talus.daemon.deaf"}
    assert set(deaf) == {pid, other}
    assert deaf[pid]["remedy"]["playbook"] == "fieldops.runbooks.talus_daemon_restart"
    assert "closed by the other end" in deaf[pid]["summary"]
    assert "daemon.deaf" not in codes(look(parts=["daemons"], settle=3600, watch=0))
    assert result["restart"] == ["master", "slave"]
    host.broker.close()
    away = look(parts=["daemons"])
    assert away["restart"] == ["amqp", "master", "slave"]
    assert {"amqp.unreachable", "daemon.deaf"} <= codes(away)
    assert finding(away, "amqp.unreachable")["remedy"]["playbook"] == "fieldops.runbooks.talus_amqp"


@pytest.mark.step("T1")
def test_a_master_without_the_database_and_one_too_many(host: Host, look: Any, mongod: Mongod) -> None:
    host.daemon("master", host.amqp)
    assert finding(look(parts=["daemons"]), "daemon.no_database")["severity"] == "critical"
    host.daemon("master", host.amqp, f"127.0.0.1:{mongod.port}")
    assert len(finding(look(parts=["daemons"]), "daemon.duplicate")["detail"]["pids"]) == 2


@pytest.mark.step("T1")
def test_a_broker_that_takes_connections_and_says_nothing(host: Host, look: Any, mongod: Mongod) -> None:
    host.daemon("slave", host.amqp)
    said = finding(look(parts=["daemons"], amqp_host="127.0.0.1", amqp_port=mongod.port, timeout=1.0), "amqp.unreachable")
    assert "did not answer" in said["summary"] or "closed it" in said["summary"] or "does not speak" in said["summary"]


@pytest.mark.step("T1")
@pytest.mark.parametrize("manager", ["systemd", "upstart"])
def test_a_replica_set_that_is_not_initiated_shows_as_a_master_that_flaps(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manager: str, units: Units
) -> None:
    made: Any = units if manager == "systemd" else Jobs(tmp_path / "upstart").create()
    monkeypatch.setenv("PATH", f"{made.bin}:{os.environ['PATH']}")
    name = "talus-master" if manager == "systemd" else "talus_master"
    command = [sys.executable, "-m", "master", "lo"]
    try:
        with Mongod(tmp_path / "mongod") as server:
            made.define(name, command, host.environment(LAB_LIFE="0.4"), restart_sec=0.2)
            made.start(name)

            def look() -> dict[str, Any]:
                return run_ok("talus_info", {**host.params, **server.params, "manager": manager, "settle": 30, "watch": 20, "parts": ["daemons", "records"]})

            result = eventually(lambda: (seen := look()) and "daemon.flapping" in codes(seen) and seen)
            found = finding(result, "daemon.flapping")
            assert "is not initiated" in found["summary"]
            assert found["remedy"]["playbook"] == "fieldops.runbooks.talus_replica_set"
            assert finding(result, "database.no_primary")["severity"] == "critical"
            assert (result["database"]["initiated"], result["database"]["writable"]) == (False, False)
            assert "records.unreadable" in codes(result)
            assert result["units"]["master"]["name"] == name
    finally:
        made.close()


@pytest.mark.step("T1")
def test_a_unit_that_is_stopped_while_its_daemon_runs(host: Host, look: Any, units: Units, mongod: Mongod) -> None:
    units.define("talus-master", [sys.executable, "-m", "master", "lo"], host.environment())
    assert "its unit talus-master is inactive" in finding(look(parts=["daemons"], watch=0), "daemon.missing")["summary"]
    host.daemon("master", host.amqp, f"127.0.0.1:{mongod.port}")
    assert codes(look(parts=["daemons"])) == {"daemon.unmanaged"}


@pytest.mark.step("T1", "T5")
def test_vagrant_that_lost_its_master(host: Host, look: Any, tmp_path: Path) -> None:
    script = tmp_path / "vagrant"
    script.write_text("import time; print('up', flush=True); time.sleep(1000)", encoding="utf-8")
    pid = host.process([sys.executable, str(script), "up", "--provider", "libvirt"])
    host.process([sys.executable, "-c", script.read_text(encoding="utf-8"), "vagrant", "status"])
    found = finding(look(parts=["daemons"]), "daemon.orphan")
    assert (found["detail"]["pid"], found["severity"]) == (pid, "warning")


@pytest.mark.step("T1", "T12")
def test_it_waits_until_the_daemon_is_connected(host: Host, look: Any, mongod: Mongod, database: Any) -> None:
    """A process is there at once; it counts when it has made its connections. Slaves that are silent meanwhile are not waited for."""
    database.slave.update_one({}, {"$set": {"timestamps.modified": time.time() - 600}})
    parts = ["daemons", "records"]
    assert look(parts=parts, roles=["master"], watch=0)["restart"] == ["master"]
    pid = host.daemon("master", host.amqp, f"127.0.0.1:{mongod.port}", LAB_DELAY="3")
    began = time.monotonic()
    result = look(parts=parts, settle=3600, watch=0, wait=300)
    assert time.monotonic() - began < 200
    assert [(each["pid"], each["connected"]) for each in result["daemons"]["master"]] == [(pid, {"amqp": True, "mongodb": True})]
    assert (result["restart"], result["healthy"]) == ([], False)
    assert "slave.silent" in codes(result)


# -- containers -------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T11")
def test_containers_that_are_not_as_they_should_be(host: Host, look: Any) -> None:
    host.run("db", "hyphen", "--hostname", "elsewhere", data=False)
    host.run("web", "underscore", network=host.made_network(f"{host.network}_other"), publish=False)
    result = look(parts=["containers"])
    assert {"container.missing", "container.hostname", "container.volatile", "container.port", "container.spelling", "link.none"} <= codes(result)
    assert finding(result, "container.missing")["detail"]["component"] == "amqp"
    assert finding(result, "container.volatile")["severity"] == "critical"
    assert result["containers"]["amqp"] is None
    host.engine.docker("pause", "talus-db")
    host.engine.docker("kill", "talus_web")
    result = look(parts=["containers"])
    assert finding(result, "container.paused")["subject"] == "talus-db"
    stopped = finding(result, "container.stopped")
    assert (stopped["subject"], stopped["detail"]["exit_code"]) == ("talus_web", 137)
    assert stopped["remedy"]["playbook"] == "fieldops.runbooks.talus_stack_restart"


@pytest.mark.step("T11")
def test_two_databases_a_shell_and_a_container_for_development(host: Host, look: Any) -> None:
    host.stack("hyphen")
    host.run("db", "underscore")
    host.run("db", "hyphen", "--name", "talus-db_shell", publish=False)
    host.run("web", "hyphen", "--name", "talus-web_dev", publish=False)
    result = look(parts=["containers"])
    assert {"container.duplicate", "container.shell", "container.dev"} <= codes(result)
    assert {row["name"]: row["kind"] for row in result["other_containers"]}["talus-db_shell"] == "shell"
    assert len([row for row in result["other_containers"] if row["kind"] == "service"]) == 1


@pytest.mark.step("T11")
def test_the_end_of_a_log(host: Host, look: Any) -> None:
    said = f"for n in 1 2 3 4; do echo line $n; done; echo the password is {SECRET}"
    host.engine.docker("run", "--name", "talus-db", "--network=none", host.engine.imported("talus/talus-db"), "sh", "-c", said)
    result = look(parts=["containers"], log_lines=3)
    assert [line.partition(" ")[2] or line for line in result["containers"]["db"]["log"]][:2] == ["line 3", "line 4"]
    assert len(result["containers"]["db"]["log"]) == 3
    assert SECRET not in str(result)
    assert look(parts=["containers"])["containers"]["db"]["log"] == []


@pytest.mark.step("T11")
def test_a_link_that_broke_and_the_order_of_starts(host: Host, look: Any) -> None:
    """The database is started anew beside its dependants, and has another address: exactly that is found, and nothing when they were restarted."""
    network = host.made_network()
    old = host.run("db")
    host.run("amqp")
    host.run("web", "hyphen", "--add-host", f"talus-db:{old}", "--env", f"TALUS_DB_PORT_27017_TCP=tcp://{old}:27017")
    pid = host.daemon("master", host.amqp, TALUS_DB_PORT_27017_TCP=f"tcp://{old}:27017", TALUS_AMQP_PORT_5672_TCP="tcp://:5672")
    before = look(parts=["containers", "daemons"])
    assert not {code for code in codes(before) if code.startswith(("link.stale", "order."))}
    assert finding(before, "link.empty")["subject"] == "master -> amqp"
    host.engine.docker("rm", "--force", "talus-db")
    host.engine.docker("run", "--detach", f"--network={network}", "--name=in-its-place", host.engine.image, "sleep", "100000")
    time.sleep(1.2)  # what is started within a second was started together
    new = host.run("db")
    assert new != old
    result = look(parts=["containers", "daemons"])
    stale = {each["subject"]: each for each in result["findings"] if each["code"] == "talus.link.stale"}
    assert set(stale) == {"web -> db", "master -> db"}
    assert {held["where"] for held in stale["web -> db"]["detail"]["held"]} >= {"hosts"}
    assert {held["address"] for each in stale.values() for held in each["detail"]["held"]} == {old}
    assert stale["master -> db"]["remedy"]["playbook"] == "fieldops.runbooks.talus_daemon_restart"
    assert {"order.web_before_db", "order.master_before_db"} <= codes(result)
    assert "order.master_before_amqp" not in codes(result)
    assert {held["component"] for held in result["containers"]["web"]["holds"]} == {"db"}
    host.engine.docker("restart", "--time=0", "talus-amqp")
    assert finding(look(parts=["containers", "daemons"]), "order.master_before_amqp")["severity"] == "critical"
    assert [each["pid"] for each in result["daemons"]["master"]] == [pid]


@pytest.mark.step("T11")
def test_the_databases_installer_writes_the_brokers_job(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mongod: Mongod) -> None:
    jobs = Jobs(tmp_path / "upstart").create()
    monkeypatch.setenv("PATH", f"{jobs.bin}:{os.environ['PATH']}")
    (host.path / "init" / "talus-amqp.conf").write_text('description "Talus AMQP"\nrespawn\nscript\n   /home/talus/talus/src/db/bin/start\nend script\n')
    (host.path / "init" / "talus-web.conf").write_text("respawn\nscript\n   /home/talus/talus/src/web/bin/start\nend script\n")
    try:
        result = run_ok("talus_info", {**host.params, **mongod.params, "manager": "upstart", "parts": ["containers"]})
    finally:
        jobs.close()
    found = finding(result, "init.wrong_job")
    assert (found["detail"]["named"], found["detail"]["starts"]) == ("amqp", "db")
    assert (result["manager"], result["roles"]) == ("upstart", ["master"])


# -- records and boxes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T19")
def test_slaves_that_went_silent(look: Any, database: Any) -> None:
    database.slave.insert_one(slave("slave2", 60, vms=[{"job": str(ObjectId()), "idx": 1, "vnc_port": 5905}]))
    database.slave.insert_one(slave("slave1", 5000))
    result = look(parts=["records"])
    assert finding(result, "slave.silent")["detail"]["hostname"] == "slave2"
    assert finding(result, "slave.leftover")["detail"]["hostnames"] == ["slave1"]
    assert {row["hostname"] for row in result["slaves"] if row["alive"]} == {"slave1"}
    assert "slave.silent" not in codes(look(parts=["records"], heartbeat_timeout=600))
    database.slave.delete_many({})
    database.slave.insert_one(slave("slave3", 100))
    assert "No slave is heard of at all" in finding(look(parts=["records"]), "slave.silent")["summary"]
    assert finding(look(parts=["records"]), "job.stuck")["detail"]["status"] == "running"


@pytest.mark.step("T19")
def test_images_and_jobs_that_nobody_works_on(host: Host, look: Any, database: Any, mongod: Mongod) -> None:
    old, young = ObjectId(), ObjectId()
    base = {"status": {"name": "configuring"}, "username": "user", "password": SECRET}
    database.image.insert_one({"_id": old, "name": "old", "timestamps": {"modified": time.time() - 9000}, **base})
    database.image.insert_one({"_id": young, "name": "young", "timestamps": {"modified": time.time() - 60}, **base})
    busy = database.job.insert_one(job("busy", "cancelling")).inserted_id
    stuck = database.job.insert_one(job("stuck", "stopping")).inserted_id
    database.slave.update_one({}, {"$set": {"vms": [{"job": str(busy), "idx": 0}], "timestamps.modified": time.time() + 60}})
    result = look(parts=["records"])
    assert (finding(result, "image.stuck")["detail"]["id"], finding(result, "image.stuck")["severity"]) == (str(old), "warning")
    assert finding(result, "job.stuck")["detail"]["ids"] == [str(stuck)]
    host.daemon("master", host.amqp, f"127.0.0.1:{mongod.port}")
    again = look(parts=["records", "daemons"], roles=["master"])
    found = {each["detail"]["id"]: each for each in again["findings"] if each["code"] == "talus.image.stuck"}
    assert {each["severity"] for each in found.values()} == {"critical"}
    assert set(found) == {str(old), str(young)}
    assert found[str(young)]["remedy"]["playbook"] == "fieldops.runbooks.talus_images"
    assert SECRET not in str(again)


@pytest.mark.step("T5")
def test_boxes_and_what_is_behind_them(host: Host, look: Any, database: Any) -> None:
    broken, unknown, orphan = (ObjectId() for _number in range(3))
    host.box(str(broken), volume=False)
    host.box(str(unknown))
    host.box("debian-VAGRANTSLASH-bookworm64", volume=False, link=False)
    (host.path / "images" / f"{orphan}_vagrant_box_image_0.img").write_bytes(b"image")
    (host.path / "images" / "tmpAbCdEf_default.img").write_bytes(b"image")
    database.image.insert_one({"_id": broken, "name": "broken", "status": {"name": "ready"}})
    (host.path / "files").rmdir()
    result = look(parts=["boxes", "records"])
    assert finding(result, "box.broken_link")["detail"]["name"] == str(broken)
    assert finding(result, "box.without_image")["detail"]["ids"] == [str(unknown)]
    assert finding(result, "box.missing")["detail"]["id"] == str(IMAGE)
    assert [row["image_id"] for row in finding(result, "box.volume_without_box")["detail"]["volumes"]] == [str(orphan)]
    assert "files.missing" in codes(result)
    assert {row["name"] for row in result["boxes"]["boxes"]} == {str(broken), str(unknown), "debian/bookworm64"}
    assert "box.missing" not in codes(look(parts=["boxes"]))  # without records there is nothing to hold them against


# -- what cannot be looked at, and bad input ---------------------------------------------------------------------------------------------


def test_parts_that_cannot_be_looked_at(host: Host, look: Any) -> None:
    host.daemon("master", host.amqp)
    result = look(docker_host="unix:///nowhere.sock", login_port=1, boxes_dir=str(host.path / "nowhere"), manager="upstart")
    assert set(result["missing"]) == {"manager", "containers", "records", "boxes"}
    assert {f"{part}.unreadable" for part in result["missing"]} <= codes(result)
    assert len(result["daemons"]["master"]) == 1
    assert result["healthy"] is False


def test_nothing_of_talus(look: Any) -> None:
    result = look(docker_host="unix:///nowhere.sock")
    assert codes(result) == {"none"}
    assert (result["roles"], result["spelling"]) == ([], None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heartbeat_timeout": 0}, "heartbeat_timeout must be 1 or more"),
        ({"wait": 4000}, "wait must be 0 to 3600"),
        ({"log_lines": 1001}, "log_lines must be 0 to 1000"),
        ({"watch": -1}, "watch must be 0 to 60"),
        ({"amqp_port": 0}, "amqp_port must be 1 to 65535"),
        ({"database": "a b"}, "database must be the name of a database"),
        ({"login_port": 0}, "login_port must be 1 to 65535"),
        ({"parts": ["all"]}, "value of parts must be one or more of"),
    ],
)
def test_bad_input(options: dict[str, Any], said: str) -> None:
    assert said in run_refused("talus_info", {"docker_host": "unix:///nowhere.sock", **options})["msg"]
