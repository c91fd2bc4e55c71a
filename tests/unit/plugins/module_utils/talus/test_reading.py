# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How names, processes, addresses and documents are read."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus import records
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.boxes import BROKEN, FILE, LINK, MISSING, read_boxes
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.connections import Connection, is_local, rows
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.containers import Container, choose, container_of, in_environment, in_hosts
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.daemons import is_vagrant_up, kind_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.errors import TalusError
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.names import Named, container_name, container_named, image_named, majority, unit_named


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("talus_db", ("db", "underscore", "service")),
        ("talus-amqp", ("amqp", "hyphen", "service")),
        ("talus-web_dev", ("web", "hyphen", "dev")),
        ("talus_db_shell", ("db", "underscore", "shell")),
        ("talus-db-1", ("db", "hyphen", "service")),
        ("talus-master", None),
        ("my-talus-db", None),
        ("talus-dbs", None),
        ("talus", None),
    ],
)
def test_names_of_containers(name: str, wanted: Any) -> None:
    found = container_named(name)
    assert (found and (found.component, found.spelling, found.kind)) == wanted


@pytest.mark.parametrize("image", ["talus-db", "talus/talus-db", "registry.example.org:5000/talus/talus-db:3.0", "talus-db@sha256:" + "0" * 64])
def test_names_of_images(image: str) -> None:
    assert image_named(image) == Named("db", "hyphen")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("docker.talus-db", "db"), ("talus_slave", "slave"), ("talus-master.service", "master"), ("docker.talus-db.service", "db"), ("mastertalus-", None)],
)
def test_names_of_units(name: str, wanted: Any) -> None:
    found = unit_named(name)
    assert (found and found.component) == wanted


def test_spellings() -> None:
    assert majority([Named("db", "hyphen"), Named("web", "underscore"), Named("amqp", "underscore")]) == "underscore"
    assert majority([]) is None
    assert container_name("web", "hyphen", "_dev") == "talus-web_dev"


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["python", "-m", "master", "em1"], "master"),
        (["/usr/bin/python2.7", "-m", "master", "em1"], "master"),
        (["python", "-m", "slave", "192.0.2.1", "10", "em1"], "slave"),
        (["sudo", "TALUS_DB_PORT_27017_TCP=tcp://172.17.0.2:27017", "python", "-m", "master", "em1"], None),
        (["/bin/sh", "-c", "python -m master em1"], None),
        (["/bin/bash", "/home/talus/src/master/bin/start_raw", "em1"], None),
        (["python", "-m", "master"], None),
        (["python", "-m", "master", "em1", "more"], None),
        (["python", "-m", "master em1"], None),
        (["python", "-m", "masterful", "em1"], None),
        (["/usr/lib/postfix/master", "-w"], None),
        (["grep", "python -m master em1"], None),
        (["pythonic", "-m", "master", "em1"], None),
        (["python", "-m", "slave", "192.0.2.1", "10"], None),
    ],
)
def test_argv_of_daemons(argv: list[str], wanted: Any) -> None:
    assert kind_of(Process(1, 1, tuple(argv), "root")) == wanted


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["vagrant", "up"], True),
        (["/opt/vagrant/embedded/bin/ruby", "/opt/vagrant/bin/vagrant", "up", "--provider=libvirt"], True),
        (["vagrant", "status"], False),
        (["less", "vagrant", "-x", "up"], False),
    ],
)
def test_argv_of_vagrant(argv: list[str], wanted: bool) -> None:
    assert is_vagrant_up(Process(1, 1, tuple(argv), "root")) is wanted


def test_the_kernels_table_of_connections() -> None:
    lines = [
        "   0: 0100007F:B0CA 030011AC:1628 01 00000000:00000000 00:00000000 00000000     0        0 777 1 0 20 4 30 10 -1",
        "   1: 0100007F:B0CB 030011AC:1628 08 00000000:00000000 00:00000000 00000000     0        0 778 1 0 20 4 30 10 -1",
        "   2: 0100007F:B0CB 030011AC:1628 01 00000000:00000000 00:00000000 00000000     0        0 999 1 0 20 4 30 10 -1",
        "   3: 00000000:1628 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0 100 0 0 10 0",
        "   4: 0000000000000000FFFF00000100007F:B0CA 0000000000000000FFFF00000200007F:6989 01 0:0 00:0 0     0        0 778 1 0",
    ]
    assert list(rows(lines, {777, 778})) == [
        Connection("172.17.0.3", 5672, "established"),
        Connection("172.17.0.3", 5672, "close_wait"),
        Connection("127.0.0.2", 27017, "established"),
    ]


def test_addresses_of_this_host() -> None:
    assert is_local("127.0.0.1")
    assert not is_local("192.0.2.1")
    assert not is_local("no address")


def test_addresses_in_hosts_and_environment() -> None:
    text = "127.0.0.1 localhost\n172.17.0.2\ttalus-db 0e7dbe0b5bd6 talus-db # the link\n172.17.0.4 talus_web\n# 172.17.0.9 talus-amqp\n"
    assert [(held.component, held.address) for held in in_hosts(text)] == [("db", "172.17.0.2"), ("db", "172.17.0.2"), ("web", "172.17.0.4")]
    told = {"TALUS_DB_PORT_27017_TCP": "tcp://172.17.0.2:27017", "TALUS_AMQP_PORT_5672_TCP": "tcp://:5672", "PATH": "/bin", "X_DB_PORT_1_TCP": "nonsense"}
    assert [(held.component, held.address) for held in in_environment("master", told)] == [("amqp", ""), ("db", "172.17.0.2")]


def inspected(**parts: Any) -> dict[str, Any]:
    config = {"Image": "talus/talus-db", "Hostname": "talus-db", "Env": ["PASSWORD=secret"], "Cmd": ["/startup.sh"], **parts.pop("config", {})}
    state = {"Status": "running", "Running": True, "Pid": 42, "StartedAt": "2026-01-31T23:59:59.5Z", **parts.pop("state", {})}
    networks = {"talus_nw": {"IPAddress": "172.18.0.2", "Links": ["talus-db:db"]}}
    settings = {"IPAddress": "", "Networks": networks, "Ports": {"27017/tcp": [{"HostIp": "192.0.2.1", "HostPort": "27017"}], "28017/tcp": None}}
    host = {"NetworkMode": "talus_nw", "Links": ["/talus-amqp:/talus-db/amqp"]}
    return {"Id": "c" * 64, "Name": "/talus-db", "Config": config, "HostConfig": host, "State": state, "NetworkSettings": settings, "RestartCount": 2, **parts}


def test_what_the_engine_tells() -> None:
    found = container_of(inspected())
    assert found is not None
    assert (found.name, found.component, found.found_by, found.addresses) == ("talus-db", "db", "name", ["172.18.0.2"])
    assert (found.ports, found.links) == (({"container": "27017/tcp", "address": "192.0.2.1", "port": 27017},), ("talus-amqp:amqp", "talus-db:db"))
    assert (found.restarts, found.exit_code, found.started) == (2, None, 1769903999.5)
    assert "secret" not in repr(found)
    by_hostname = container_of(inspected(Name="/happy_bell", config={"Image": "mongo"}))
    assert by_hostname is not None and by_hostname.found_by == "hostname"
    assert container_of(inspected(Name="/happy_bell", config={"Image": "mongo", "Hostname": "x"})) is None
    ended = container_of(inspected(state={"Running": False, "Status": "exited", "ExitCode": 137, "StartedAt": "0001-01-01T00:00:00Z"}))
    assert ended is not None and (ended.exit_code, ended.started) == (137, None)


def test_which_container_serves() -> None:
    def made(name: str, running: bool, found_by: str = "name", started: float = 0.0, kind: str = "service") -> Container:
        return Container("i", name, "db", "hyphen", kind, found_by, "", "", "", running, started=started)

    old, new, image, shell = made("old", False), made("new", True), made("image", True, "image", 9.0), made("shell", True, kind="shell")
    chosen, others = choose([old, image, shell, new])
    assert chosen == {"db": new, "amqp": None, "web": None}
    assert others == [old, image, shell]


def test_times_of_either_kind() -> None:
    moment = datetime.datetime(2026, 2, 1, tzinfo=datetime.timezone.utc)
    assert records.seconds(moment) == records.seconds(moment.replace(tzinfo=None)) == 1769904000.0
    assert (records.seconds(5), records.seconds(2.5), records.seconds("5"), records.seconds(True), records.seconds(None)) == (5.0, 2.5, None, None, None)
    assert records.since({"timestamps": {"created": moment, "modified": 1769904001.5}}) == 1769904001.5
    assert records.since({"_id": "x", "timestamps": None}) is None


def test_documents_that_lack_everything() -> None:
    assert records.slave_of({"_id": 1, "vms": [None, {"job": 7}], "max_vms": "many"}).vms == (
        {"job": 7, "idx": None, "vnc_port": None, "tool": None, "start_time": None, "vm_status": None},
    )
    assert records.image_of({"_id": 1, "status": "odd"}).status == "none"
    assert records.job_of({"_id": 1}).status == "none"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"isWritablePrimary": True, "setName": "rs0"}, ""),
        ({"ismaster": True, "setName": "rs0"}, ""),
        ({"isWritablePrimary": False, "setName": "rs0"}, "no primary"),
        ({"isWritablePrimary": False, "setName": "rs0", "primary": "other:1"}, "other:1 is"),
        ({"isWritablePrimary": False, "isreplicaset": True}, "not initiated"),
        ({"isWritablePrimary": True}, "without a replica set"),
    ],
)
def test_what_the_server_says_of_itself(said: dict[str, Any], why: str) -> None:
    class Server:
        address = "h:1"

        def command(self, _name: str) -> dict[str, Any]:
            return said

    found = records.read_database(Server())  # type: ignore[arg-type]
    assert found.why_not() == "" if not why else why in found.why_not()


def test_an_older_server_knows_another_word() -> None:
    class Old:
        address = "h:1"

        def command(self, name: str) -> dict[str, Any]:
            if name == "hello":
                raise records.MongoError("no such command", code=59)
            return {"ismaster": True, "setName": "rs0"}

    assert records.read_database(Old()).writable  # type: ignore[arg-type]


def test_boxes_and_their_links(tmp_path: Path) -> None:
    image, base = "5633f1c7a3e4b1d2c3f4a5b6", tmp_path / "images"
    for name in ("a", "b", "c", image):
        (tmp_path / "boxes" / name / "0" / "libvirt").mkdir(parents=True)
    (tmp_path / "boxes" / "d" / "0" / "virtualbox").mkdir(parents=True)
    base.mkdir()
    volume = base / (image + "_vagrant_box_image_0.img")
    volume.write_bytes(b"12345")
    (tmp_path / "boxes" / "a" / "0" / "libvirt" / "box.img").symlink_to(base / "gone")
    (tmp_path / "boxes" / "b" / "0" / "libvirt" / "box.img").write_bytes(b"1")
    (tmp_path / "boxes" / image / "0" / "libvirt" / "box.img").symlink_to(os.path.relpath(str(volume), str(tmp_path / "boxes" / image / "0" / "libvirt")))
    found = read_boxes(str(tmp_path / "boxes"), str(base), str(tmp_path / "files"))
    assert [(box.name, box.image, box.of_image, box.size) for box in found.boxes] == [
        (image, LINK, True, 5),
        ("a", BROKEN, False, 0),
        ("b", FILE, False, 1),
        ("c", MISSING, False, 0),
    ]
    assert [(each.image_id, each.size) for each in found.volumes] == [(image, 5)]
    assert found.uploads is None
    with pytest.raises(TalusError, match="boxes_dir"):
        read_boxes(str(tmp_path / "nowhere"), str(base), str(base))
