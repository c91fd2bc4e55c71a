# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins of Talus' daemons and web application do what the facts say, on a real database. With a broker they are tested on hosts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.mongo import Mongod, free_port, wait_for
from lab.talus import initiate, web
from lab.talus.seeds import image

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is tested against it is tested all the time

TESTS = Path(__file__).resolve().parents[1]
SOURCE = TESTS / "lab/talus/overlay/home/talus/talus/src"
PATIENCE = 60


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    """Started with --replSet, and not initiated."""
    with Mongod(tmp_path / "db") as running:
        yield running


class Daemon:
    """A daemon as its start script starts it, without a broker."""

    def __init__(self, folder: Path, *words: str, port: int = 1) -> None:
        self.folder = folder
        self.settings = folder / "settings"
        self.settings.mkdir(exist_ok=True)
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin/arp").symlink_to("/bin/true")
        about = {"TALUS_DB_PORT_27017_TCP": f"tcp://127.0.0.1:{port}", "TALUS_AMQP_PORT_5672_TCP": f"tcp://127.0.0.1:{free_port()}"}
        path = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(TESTS), "PYTHONDONTWRITEBYTECODE": "1"}
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=SOURCE,
                env={**os.environ, **about, **path, "TALUS_LAB_SETTINGS": str(self.settings)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def says(self, text: str) -> None:
        wait_for(lambda: text in self.log or self.process.poll() is not None, f"the log says {text}", PATIENCE)
        assert text in self.log

    def ends(self) -> int:
        return self.process.wait(PATIENCE)

    def set(self, name: str, value: str) -> None:
        (self.settings / name).write_text(value, encoding="ascii")


@pytest.fixture
def daemons() -> Iterator[list[Daemon]]:
    """Those that a test started; none outlives it."""
    started: list[Daemon] = []
    yield started
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait()


def begin(daemons: list[Daemon], *arguments: object, port: int = 1) -> Daemon:
    daemons.append(Daemon(*arguments, port=port))  # type: ignore[arg-type]
    return daemons[-1]


def test_a_master_without_an_oplog_ends_without_an_error(mongod: Mongod, daemons: list[Daemon], tmp_path: Path) -> None:
    master = begin(daemons, tmp_path, "master", "lo", port=mongod.port)
    assert master.ends() == 0
    assert "Master:done running" in master.log
    assert "NotPrimary" in master.log
    mongod.restart(replset=None)
    (tmp_path / "again").mkdir()
    master = begin(daemons, tmp_path / "again", "master", "lo", port=mongod.port)
    assert (master.ends(), "IndexError" in master.log) == (0, True)


@pytest.mark.parametrize(("interface", "why"), [("lo", "ServerSelectionTimeoutError"), ("nonesuch0", "You must specify a valid interface name")])
def test_a_master_that_lacks_what_it_needs_ends_at_once(daemons: list[Daemon], tmp_path: Path, interface: str, why: str) -> None:
    master = begin(daemons, tmp_path, "master", interface, port=free_port())
    assert master.ends() == 1
    assert why in master.log


def test_a_master_works_without_a_broker_and_takes_its_time_to_stop(mongod: Mongod, daemons: list[Daemon], tmp_path: Path) -> None:
    mongod.initiate()
    with mongod.client() as client:
        stuck, asked = (client.talus.image.insert_one(image(None, name, name)).inserted_id for name in ("configuring", "import"))  # type: ignore[arg-type]
        master = begin(daemons, tmp_path, "master", "lo", port=mongod.port)
        master.says("Exception in thread AmqpMan")  # there is no broker, and it lives on
        wait_for(lambda: client.talus.image.find_one({"_id": asked})["status"]["name"] == "ready", "the image is ready", PATIENCE)  # type: ignore[index]
        assert client.talus.image.find_one({"_id": stuck})["status"]["name"] == "configuring"  # type: ignore[index]
        assert [found["ip"] for found in client.talus.master.find()] == ["127.0.0.1"]
    mongod.step_down(600)  # what is lost now it finds again, the watcher at least
    assert master.process.poll() is None
    master.process.send_signal(signal.SIGTERM)
    master.says("Master:stopping")
    assert master.ends() == 0


def test_a_slave_needs_its_bridge_and_takes_its_time(daemons: list[Daemon], tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/bridge").write_text("nonesuch0", encoding="ascii")
    slave = begin(daemons, tmp_path, "slave", "127.0.0.1", "10", "lo")
    assert slave.ends() == 1
    assert "You must specify a valid interface name." in slave.log
    (tmp_path / "again/settings").mkdir(parents=True)
    (tmp_path / "again/settings/bridge").write_text("lo", encoding="ascii")
    slave = begin(daemons, tmp_path / "again", "slave", "127.0.0.1", "10", "lo")
    slave.says("Exception in thread AmqpMan")
    slave.set("slave-hangs", "1")
    slave.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        slave.process.wait(2)
    slave.set("slave-hangs", "0")
    slave.set("slave-stop-seconds", "600")
    slave.process.send_signal(signal.SIGTERM)
    slave.says("stopping!")
    assert slave.process.poll() is None
    slave.set("slave-stop-seconds", "0")
    assert slave.ends() == 0
    assert "all handlers have exited, goodbye" in slave.log


def test_the_web_application_reads_from_whoever_answers(mongod: Mongod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.Handler, "logs", tmp_path)
    monkeypatch.setattr(web.Handler, "database", ("127.0.0.1", mongod.port))
    mongod.initiate()
    with web.Server(("127.0.0.1", 0), web.Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert [request(address, "/api/job/", {"name": name, "priority": 50}) for name in ("a", "b")] == [201, 201]
        assert [job["name"] for job in documents(address, "/api/job/?sort=-name&num=1")] == ["b"]
        assert [job["name"] for job in documents(address, "/api/job/?name=a")] == ["a"]
        mongod.step_down(600)
        assert (request(address, "/api/job/"), request(address, "/api/job/", {"name": "c"})) == (200, 500)
        assert (request(address, "/"), request(address, "/api/nothing/")) == (200, 404)
        mongod.stop()
        assert request(address, "/api/job/") == 500
        server.shutdown()
    assert '"POST /api/job/ HTTP/1.1" 500' in (tmp_path / "access.log").read_text(encoding="utf-8")
    assert "NotPrimaryError" in (tmp_path / "error.log").read_text(encoding="utf-8")


def request(address: str, path: str, body: object = None) -> int:
    data = None if body is None else json.dumps(body).encode()
    with contextlib.closing(urllib.request.build_opener(urllib.request.ProxyHandler({}))) as opener:
        try:
            with opener.open(address + path, data, timeout=PATIENCE) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def documents(address: str, path: str) -> list[dict[str, object]]:
    with contextlib.closing(urllib.request.build_opener(urllib.request.ProxyHandler({}))) as opener, opener.open(address + path, timeout=PATIENCE) as answer:
        found: list[dict[str, object]] = json.load(answer)
        return found


def test_each_start_forces_a_new_configuration(mongod: Mongod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INITIATE", "no")
    initiate.main(mongod.host, mongod.port)
    with pytest.raises(Exception, match="no replset config has been received"):
        mongod.status()
    monkeypatch.delenv("INITIATE")
    initiate.main(mongod.host, mongod.port)
    mongod.wait_primary()
    first = mongod.config()["version"]
    initiate.main(mongod.host, mongod.port)
    assert mongod.config()["version"] > first + 1000
