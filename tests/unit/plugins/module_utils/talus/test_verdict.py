# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a host of Talus, by tables: each finding, and what must not be one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.service import Service
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.boxes import BROKEN, LINK, MISSING, Box, Boxes, Volume
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.broker import Broker
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.connections import Connection
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.containers import Container, Held
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.daemons import Daemon, Daemons, Vagrant
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.init import Init, Unit, file_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.records import Database, Image, Job, Records, Slave
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.state import Limits, TalusState, facts, spelling
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.verdict import diagnose, healthy
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.verdict_daemons import in_touch

NOW = 1769904000.0
ID, OTHER = "5633f1c7a3e4b1d2c3f4a5b6", "5633f1c7a3e4b1d2c3f4a5b7"
IP = {"db": "172.18.0.2", "amqp": "172.18.0.3", "web": "172.18.0.4"}
PORT = {"db": 27017, "amqp": 5672, "web": 80}
DATA = {"source": "/talus/data", "destination": "/talus/data", "writable": True}
AMQP = Connection(IP["amqp"], 5672, "established")
MONGO = Connection(IP["db"], 27017, "established")


def container(component: str, **parts: Any) -> Container:
    name = "talus-%s" % component
    port = {"container": "%d/tcp" % PORT[component], "address": "192.0.2.1", "port": PORT[component]}
    started = NOW - 900 + 100 * ["db", "amqp", "web"].index(component)
    made = Container("c" * 64, name, component, "hyphen", "service", "name", "talus/" + name, name, "running", True, 4000, started=started, ports=(port,))
    return replace(made, mounts=(DATA,), networks={"talus_nw": IP[component]}, network_mode="talus_nw", **parts)


def daemon(kind: str = "master", age: float = 500.0, connections: Any = (AMQP, MONGO), held: Any = (), pid: int = 4711) -> Daemon:
    argv = ("python", "-m", "master", "em1") if kind == "master" else ("python", "-m", "slave", "192.0.2.1", "10", "em1")
    return Daemon(kind, Process(pid, 1, argv, "root"), age, NOW - age, connections, held)


def unit(component: str = "master", **parts: Any) -> Init:
    known = {"manager": "systemd", "known": True, "active": "active", "sub": "running", "restarts": 0, **parts}
    return Init("systemd", (Unit(component, "hyphen", Service(name="talus-%s" % component, **known)),))


def records(**parts: Any) -> Records:
    slaves = (Slave("1" * 24, "slave1", "192.0.2.11", "u", NOW - 2),)
    made = Records(NOW, slaves, (Image(ID, "win7", "ready", NOW - 9000),), (), {"images": {"ready": 1}, "jobs": {}}, {"hostname": "m", "started": NOW - 500})
    return replace(made, **parts)


def boxes(**parts: Any) -> Boxes:
    box = Box(ID, "0", "/root/.vagrant.d/boxes/" + ID, LINK, "/var/lib/libvirt/images/x.img", 5)
    return replace(
        Boxes((box,), (Volume(ID, "/var/lib/libvirt/images/x.img", 5),), {"path": "/files", "files": 0, "bytes": 0}, (("files", "/files"),)), **parts
    )


WELL = TalusState(
    NOW,
    ("master",),
    unit(),
    {name: container(name) for name in PORT},
    daemons=Daemons((daemon(),), interfaces={"em1": True, "virbr2": False}),
    broker=Broker("localhost", 5672),
    database=Database("localhost:27017", True, True, "rs0", "talus-db:27017"),
    records=records(),
    boxes=boxes(),
)
SLAVE = TalusState(NOW, ("slave",), unit("slave"), daemons=Daemons((daemon("slave", connections=(AMQP,)),), interfaces={"em1": True, "virbr2": True}))


def codes(state: TalusState, **limits: float) -> dict[str, str]:
    return {finding.code[len("talus.") :]: finding.severity for finding in diagnose(state, Limits(**limits))}


def one(state: TalusState, code: str) -> Any:
    (found,) = [finding for finding in diagnose(state, Limits()) if finding.code == "talus." + code]
    return found


def of(component: str, **parts: Any) -> TalusState:
    """All well but for one container."""
    return replace(WELL, containers=dict(WELL.containers or {}, **{component: container(component, **parts)}))


def daemons(*found: Daemon, **parts: Any) -> TalusState:
    return replace(WELL, daemons=Daemons(found, **parts))


def test_all_is_well() -> None:
    assert codes(WELL) == {"ok": "ok"}
    assert codes(SLAVE) == {"ok": "ok"}
    assert healthy(diagnose(WELL, Limits()))
    assert facts(WELL, Limits())["daemons"]["master"][0]["connected"] == {"amqp": True, "mongodb": True}


@pytest.mark.parametrize(
    ("component", "parts", "wanted"),
    [
        ("web", {"running": False, "status": "exited", "exit_code": 1}, {"container.stopped": "critical"}),
        ("web", {"status": "restarting"}, {"container.stopped": "critical"}),
        ("web", {"status": "paused"}, {"container.paused": "critical"}),
        ("web", {"restarts": 4, "started": NOW - 5}, {"container.flapping": "critical"}),
        ("web", {"restarts": 4}, {"ok": "ok"}),
        ("web", {"ports": ()}, {"container.port": "warning"}),
        ("db", {"hostname": "0e7dbe0b5bd6"}, {"container.hostname": "warning"}),
        ("db", {"mounts": ()}, {"container.volatile": "critical"}),
        ("amqp", {"mounts": ()}, {"ok": "ok", "container.volatile": "info"}),
        ("web", {"mounts": ()}, {"ok": "ok"}),
        ("web", {"spelling": "underscore", "name": "talus_web"}, {"container.spelling": "warning"}),
        ("web", {"networks": {"talus_default": "172.19.0.2"}}, {"link.none": "critical"}),
        ("web", {"networks": {"talus_default": "172.19.0.2", "talus_nw": ""}}, {"ok": "ok"}),
        ("db", {"started": NOW - 600}, {"order.web_before_db": "warning"}),
        ("db", {"started": NOW - 100}, {"order.web_before_db": "warning", "order.master_before_db": "warning"}),
        ("amqp", {"started": NOW - 100}, {"order.master_before_amqp": "critical"}),
        ("amqp", {"started": NOW - 499.5}, {"ok": "ok"}),
    ],
)
def test_containers(component: str, parts: dict[str, Any], wanted: dict[str, str]) -> None:
    if "networks" in parts or "mounts" in parts:
        made = replace(container(component), **parts)
        assert codes(replace(WELL, containers=dict(WELL.containers or {}, **{component: made}))) == wanted
    else:
        assert codes(of(component, **parts)) == wanted


def test_no_container_and_more_than_one() -> None:
    assert codes(replace(WELL, containers=dict(WELL.containers or {}, amqp=None))) == {"container.missing": "critical"}
    again = container("db", name="talus_db")
    assert codes(replace(WELL, others=(again,))) == {"container.duplicate": "critical"}
    assert codes(replace(WELL, others=(replace(again, running=False),))) == {"ok": "ok"}
    assert codes(replace(WELL, others=(replace(again, kind="shell"),))) == {"ok": "ok", "container.shell": "info"}
    assert codes(replace(WELL, others=(replace(again, kind="dev"),))) == {"ok": "ok", "container.dev": "info"}


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        (Held("web", "db", "hosts", "talus-db", IP["db"]), {"ok": "ok"}),
        (Held("web", "db", "hosts", "talus-db", "172.17.0.9"), {"link.stale": "critical"}),
        (Held("web", "db", "environment", "TALUS_DB_PORT_27017_TCP", "172.17.0.9"), {"link.stale": "critical"}),
        (Held("web", "db", "hosts", "talus-db", "192.0.2.1", local=True), {"ok": "ok"}),
        (Held("master", "amqp", "environment", "TALUS_AMQP_PORT_5672_TCP", ""), {"link.empty": "critical"}),
    ],
)
def test_addresses_that_are_held(held: Held, wanted: dict[str, str]) -> None:
    assert codes(replace(WELL, held=(held,))) == wanted
    stopped = replace(WELL, held=(held,), containers=dict(WELL.containers or {}, db=replace(container("db"), running=False, status="exited")))
    assert "link.stale" not in codes(stopped)


@pytest.mark.parametrize(
    ("connections", "wanted"),
    [
        ((AMQP, MONGO), {"ok": "ok"}),
        ((MONGO,), {"daemon.deaf": "critical"}),
        ((AMQP,), {"daemon.no_database": "critical"}),
        ((), {"daemon.deaf": "critical", "daemon.no_database": "critical"}),
        ((replace(AMQP, state="close_wait"), MONGO), {"daemon.deaf": "critical"}),
        ((replace(AMQP, state="syn_sent"), MONGO), {"daemon.deaf": "critical"}),
        ((replace(AMQP, address="172.18.0.77"), MONGO), {"daemon.deaf": "critical"}),
        ((replace(AMQP, address="127.0.0.1", local=True), MONGO), {"ok": "ok"}),
        ((replace(AMQP, port=4369), MONGO), {"daemon.deaf": "critical"}),
        (None, {"daemon.unseen": "warning"}),
    ],
)
def test_whether_a_master_consumes(connections: Any, wanted: dict[str, str]) -> None:
    assert codes(daemons(daemon(connections=connections))) == wanted
    if connections is not None:
        assert codes(daemons(daemon(age=5, connections=connections))) == {"ok": "ok"}, "one that is young may still be about to"


def test_one_that_is_young_is_waited_for_all_the_same() -> None:
    assert in_touch(daemons(daemon(age=1)))
    assert not in_touch(daemons(daemon(age=1, connections=())))
    assert not in_touch(daemons(daemon(age=1, connections=(AMQP,))))
    assert in_touch(replace(SLAVE, daemons=Daemons((daemon("slave", age=1, connections=(AMQP,)),))))


def test_whether_a_slave_consumes() -> None:
    assert codes(replace(SLAVE, daemons=Daemons((daemon("slave", connections=()),)))) == {"daemon.deaf": "critical"}
    assert codes(replace(SLAVE, broker=Broker("192.0.2.1", 5672, "it is gone"))) == {"amqp.unreachable": "critical"}


@pytest.mark.parametrize(
    ("parts", "found", "wanted"),
    [
        ({}, (), {"daemon.missing": "critical"}),
        ({}, (daemon(), daemon(pid=4712)), {"daemon.duplicate": "critical"}),
        ({"restarts": 3}, (daemon(age=3),), {"daemon.flapping": "critical"}),
        ({"restarts": 3}, (daemon(),), {"ok": "ok"}),
        ({"sub": "auto-restart", "active": "activating"}, (), {"daemon.flapping": "critical"}),
        ({"active": "failed", "sub": "failed", "result": "start-limit-hit"}, (), {"daemon.flapping": "critical"}),
        ({"active": "inactive", "sub": "dead"}, (daemon(),), {"daemon.unmanaged": "warning"}),
    ],
)
def test_whether_a_daemon_runs_and_stays(parts: dict[str, Any], found: Any, wanted: dict[str, str]) -> None:
    assert codes(replace(WELL, init=unit(**parts), daemons=Daemons(found))) == wanted


def test_why_a_daemon_flaps() -> None:
    flapping = replace(WELL, daemons=Daemons((daemon(age=1),), restarted=("master",), interfaces={"em1": False}))
    assert "there is no network interface em1" in one(flapping, "daemon.flapping").summary
    assert one(flapping, "daemon.flapping").remedy.playbook == "fieldops.runbooks.talus_daemon_restart"
    for database, said in (
        (Database("h:1", False, False), "not initiated"),
        (Database("h:1", False, None), "no oplog"),
        (Database("h:1", False, True), "no primary"),
    ):
        found = one(replace(flapping, database=database), "daemon.flapping")
        assert said in found.summary
        assert (found.remedy.playbook, found.detail["causes"]) == ("fieldops.runbooks.talus_replica_set", ["database", "interface"])
    slave = replace(SLAVE, daemons=Daemons((), restarted=("slave",), interfaces={"virbr2": False}))
    assert "talus-network is not active" in one(slave, "daemon.flapping").summary
    assert one(slave, "daemon.flapping").remedy.playbook == "fieldops.runbooks.talus_libvirt"


def test_what_cannot_be_seen_is_not_called_missing() -> None:
    assert codes(replace(WELL, daemons=Daemons((), hidden=True))) == {"daemon.unseen": "warning"}
    assert codes(replace(WELL, daemons=None)) == {"ok": "ok"}


def test_vagrant_without_its_master() -> None:
    process = Process(99, 1, ("vagrant", "up"), "root")
    assert codes(daemons(daemon(), vagrants=(Vagrant(process, 60.0, 4711),))) == {"ok": "ok"}
    assert codes(daemons(daemon(), vagrants=(Vagrant(process, 60.0, None),))) == {"daemon.orphan": "warning"}


@pytest.mark.parametrize(
    ("slaves", "wanted"),
    [
        ([("a", 2)], {"ok": "ok"}),
        ([("a", 16)], {"slave.silent": "critical"}),
        ([("a", 2), ("a", 9000)], {"ok": "ok", "slave.leftover": "info"}),
        ([("a", 2), ("b", 9000)], {"slave.silent": "critical"}),
        ([("a", None)], {"slave.silent": "critical"}),
        ([], {"slave.none": "warning"}),
    ],
)
def test_slaves(slaves: Any, wanted: dict[str, str]) -> None:
    made = tuple(Slave("%024d" % n, name, "", "", None if age is None else NOW - age) for n, (name, age) in enumerate(slaves))
    assert codes(replace(WELL, records=records(slaves=made))) == wanted


@pytest.mark.parametrize(
    ("status", "age", "wanted"),
    [
        ("configuring", 100, {"ok": "ok"}),  # the master is older
        ("configuring", 600, {"image.stuck": "critical"}),  # the master is younger
        ("import_error", 100, {"image.import_error": "warning"}),
        ("import", 90000, {"ok": "ok"}),
    ],
)
def test_images(status: str, age: float, wanted: dict[str, str]) -> None:
    image = Image(OTHER, "win8", status, NOW - age)
    assert codes(replace(WELL, records=records(images=(Image(ID, "w", "ready", NOW), image), counts={"images": {"ready": 2}, "jobs": {}}))) == wanted


def test_an_image_that_takes_too_long_and_one_without_a_master() -> None:
    image = Image(ID, "win7", "configuring", NOW - 7300)
    old = replace(WELL, records=records(images=(image,)), daemons=Daemons((daemon(age=90000),)))
    assert codes(old)["image.stuck"] == "warning"
    assert "image.stuck" not in codes(old, image=8000.0)
    gone = replace(WELL, records=records(images=(replace(image, since=NOW - 5),), master=None), daemons=Daemons(()))
    assert one(gone, "image.stuck").detail["master_runs"] is False


@pytest.mark.parametrize(
    ("status", "slaves", "wanted"),
    [
        ("running", [Slave("1", "a", "", "", NOW)], {"ok": "ok"}),
        ("running", [Slave("1", "a", "", "", NOW - 99)], {"slave.silent": "critical", "job.stuck": "critical"}),
        ("stopping", [Slave("1", "a", "", "", NOW, vms=({"job": ID},))], {"ok": "ok"}),
        ("stopping", [Slave("1", "a", "", "", NOW)], {"job.stuck": "warning"}),
        ("cancelling", [Slave("1", "a", "", "", NOW, vms=({"job": OTHER},))], {"job.stuck": "warning"}),
        ("run", [Slave("1", "a", "", "", NOW)], {"ok": "ok"}),
    ],
)
def test_jobs(status: str, slaves: Any, wanted: dict[str, str]) -> None:
    assert codes(replace(WELL, records=records(slaves=tuple(slaves), jobs=(Job(ID, "fuzz", status, NOW),)))) == wanted


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ({"boxes": ()}, {"box.missing": "critical", "box.volume_without_box": "warning"}),
        ({"boxes": (Box(ID, "0", "/b", BROKEN, "/gone"),)}, {"box.broken_link": "critical"}),
        ({"boxes": (Box(ID, "0", "/b", MISSING),)}, {"box.incomplete": "critical"}),
        ({"boxes": (Box(ID, "0", "/b", LINK, "/x", 5, metadata=False),)}, {"box.incomplete": "critical"}),
        ({"boxes": (Box(ID, "0", "/b", LINK), Box(OTHER, "0", "/o", LINK))}, {"box.without_image": "warning"}),
        ({"boxes": (Box(ID, "0", "/b", LINK), Box("debian/12", "1", "/o", LINK))}, {"ok": "ok"}),
        ({"volumes": (Volume(ID, "/v", 1), Volume(OTHER, "/w", 1))}, {"box.volume_without_box": "warning"}),
        ({"uploads": None}, {"files.missing": "warning"}),
    ],
)
def test_boxes(parts: dict[str, Any], wanted: dict[str, str]) -> None:
    assert codes(replace(WELL, boxes=boxes(**parts))) == wanted


def test_boxes_are_not_held_against_half_of_the_documents() -> None:
    some = records(counts={"images": {"ready": 5000}, "jobs": {}})
    assert codes(replace(WELL, records=some, boxes=boxes(boxes=(Box(ID, "0", "/b", LINK), Box(OTHER, "0", "/o", LINK))))) == {"ok": "ok"}


def test_the_database_and_parts_that_are_missing() -> None:
    away = replace(WELL, records=None, database=Database("h:27017", False, False), missing={"records": "not primary"})
    assert codes(away) == {"records.unreadable": "critical", "database.no_primary": "critical"}
    assert "is not initiated" in one(away, "records.unreadable").summary
    for part in ("containers", "links", "logs", "daemons", "manager", "boxes"):
        assert "%s.unreadable" % part in codes(replace(WELL, missing={part: "why"}))
    assert codes(TalusState(NOW)) == {"none": "warning"}


def test_job_files_of_upstart() -> None:
    wrong = file_of("/etc/init/talus-amqp.conf", "amqp", "respawn\nscript\n   /home/talus/talus/src/db/bin/start\nend script\n")
    right = file_of(
        "/etc/init/talus_slave.conf",
        "slave",
        "script\n  aa-complain /usr/sbin/libvirtd\n  /t/src/slave/bin/start_raw 192.0.2.1 10 em1 2>&1 >> /l\nend script\n",
    )
    comment = file_of("/etc/init/talus-web.conf", "web", "# was /t/src/db/bin/start\nexec something\n")
    assert (wrong.starts, right.starts, comment.starts) == ("db", "slave", None)
    assert codes(replace(WELL, init=Init("upstart", (), (wrong, right, comment)))) == {"init.wrong_job": "critical"}


def test_the_spelling_is_that_of_most_names() -> None:
    assert spelling(WELL) == "hyphen"
    assert spelling(TalusState(NOW)) is None
    made = {name: container(name, spelling="underscore") for name in PORT}
    assert spelling(replace(WELL, containers=made)) == "underscore"


def test_every_finding_says_what_to_do_and_where_it_is_written() -> None:
    broken = replace(
        WELL, held=(Held("web", "db", "hosts", "talus-db", "172.17.0.9"),), daemons=Daemons((daemon(connections=()),)), broker=Broker("h", 5672, "it is gone")
    )
    for finding in diagnose(broken, Limits()):
        assert finding.runbook is not None and finding.runbook[0] == "talus.rst"
        assert finding.remedy is not None and finding.remedy.text
