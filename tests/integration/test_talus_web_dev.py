# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The web server's container for development, in a real engine, beside a production that must not notice."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus import web_dev_state
from docker import APIClient
from lab.engine import Engine
from lab.mongo import free_port
from play import eventually
from support import run_module, run_ok, run_refused
from talusing import Host

SECRET = "lab-secret-of-a-developer"


class Developer:
    """A host of Talus, and what a developer does there."""

    def __init__(self, host: Host, journal: str) -> None:
        self.host, self.journal = host, journal
        self.app = host.path / "talus" / "src" / "web" / "app"
        self.app.mkdir(parents=True)
        (self.app / "manage.py").write_text("sources\n", encoding="utf-8")
        self.port = free_port()

    def arguments(self, **options: Any) -> dict[str, Any]:
        known = {"docker_host": self.host.engine.docker_host, "journal_dir": self.journal, "source": str(self.host.path / "talus")}
        return {**known, "command": ["sh"], "address": "127.0.0.1", "port": self.port, "volumes": [], **options}

    def ok(self, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok("talus_web_dev", self.arguments(**options), check=check)

    def refused(self, **options: Any) -> dict[str, Any]:
        return run_refused("talus_web_dev", self.arguments(**options))

    def undo(self, undo_id: str) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": undo_id, "journal_dir": self.journal})

    def seen(self, name: str = "talus-web_dev") -> dict[str, Any] | None:
        found = self.host.engine.inspect(name)
        if found:
            found["Mounts"].sort(key=lambda mount: mount["Destination"])  # which the engine lists in any order
        return found

    def exec(self, *command: str) -> str:
        return self.host.engine.docker("exec", "talus-web_dev", *command)


@pytest.fixture
def host(tmp_path: Path, engine: Engine) -> Iterator[Host]:
    made = Host(tmp_path / "host", engine)
    yield made
    made.close()


@pytest.fixture
def developer(host: Host, journal_dir: str) -> Developer:
    """Beside a database and a production web server that run."""
    host.run("db")
    host.run("web", "hyphen", "--volume", f"{host.path}/files:/tmp", "--volume", f"{host.path}/images:/images:ro")
    return Developer(host, journal_dir)


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("talus.web_dev.") for finding in result["findings"]]


def guards(result: dict[str, Any]) -> list[str]:
    return [refusal["guard"] for refusal in result["refusals"]]


@pytest.mark.step("T20")
def test_it_is_started_used_and_taken_back(developer: Developer) -> None:
    production = developer.seen("talus-web")
    predicted = developer.ok(check=True, volumes=None)
    assert developer.seen() is None
    assert codes(predicted) == ["absent"]
    result = developer.ok(approved_plan=predicted["plan_sha256"], volumes=None)
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    assert codes(result) == ["present"]
    assert result["container"]["shell"] == "docker exec -it talus-web_dev sh"
    seen = developer.seen()
    assert seen is not None
    assert seen["State"]["Running"]
    assert set(seen["HostConfig"]["Binds"]) == {
        f"{developer.app}:/web:rw",
        f"{developer.host.path}/files:/tmp:rw",
        f"{developer.host.path}/images:/images:ro",
    }
    assert list(seen["NetworkSettings"]["Networks"]) == [developer.host.network]
    assert seen["HostConfig"]["PortBindings"] == {f"{developer.port}/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(developer.port)}]}
    assert developer.exec("sh", "-c", "pwd; cat manage.py").split() == ["/web", "sources"]
    (developer.app / "manage.py").write_text("changed\n", encoding="utf-8")
    assert developer.exec("cat", "/web/manage.py") == "changed"
    assert developer.exec("nslookup", "talus-db", "127.0.0.11")  # its name resolves
    again = developer.ok(volumes=None)
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)
    assert developer.undo(result["undo_id"])["changed"]
    assert developer.seen() is None
    assert developer.undo(result["undo_id"])["changed"] is False
    assert developer.seen("talus-web") == production


@pytest.mark.step("T20")
def test_a_development_server_is_reached(developer: Developer) -> None:
    serve = f"while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nhello' | nc -l -p {developer.port}; done"
    result = developer.ok(command=["sh", "-c", serve])
    assert result["container"]["shell"].endswith("talus-web_dev sh")

    def answer() -> bytes:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", developer.port), timeout=5) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return sock.recv(1000)
        return b""

    eventually(lambda: answer().startswith(b"HTTP/1.0 200"), 60)


@pytest.mark.step("T20")
def test_removed_and_given_back(developer: Developer) -> None:
    developer.ok()
    result = developer.ok(state="absent", source=None)
    assert (result["changes"][0]["reversible"], result["changes"][0].get("data_loss")) == (True, None)
    assert developer.seen() is None
    assert developer.ok(state="absent", source=None)["changed"] is False
    assert developer.undo(result["undo_id"])["changed"]
    assert developer.exec("cat", "/web/manage.py") == "sources"
    assert developer.ok()["changed"] is False
    assert developer.seen("talus-web") is not None


@pytest.mark.step("T20")
def test_values_of_variables_are_given_and_kept_nowhere(developer: Developer) -> None:
    result = developer.ok(environment={"DEBUG_TOKEN": SECRET})
    assert developer.exec("sh", "-c", "echo $DEBUG_TOKEN") == SECRET
    assert result["container"]["environment"] == ["DEBUG_TOKEN"]
    assert developer.ok(environment={"DEBUG_TOKEN": "another-value"})["changed"] is False
    assert guards(developer.refused()) == ["settings"]
    kept = "".join(path.read_text(encoding="utf-8") for path in Path(developer.journal).rglob("*") if path.is_file())
    assert "DEBUG_TOKEN" in kept
    assert SECRET not in kept + str(result)
    gone = developer.ok(state="absent", environment={})
    assert gone["changes"][0]["reversible"] is False
    assert guards(developer.undo(gone["undo_id"])) == ["irreversible"]


@pytest.mark.step("T20")
def test_what_was_written_beside_its_mounts_is_not_lost_unseen(developer: Developer) -> None:
    made = developer.ok()
    developer.exec("sh", "-c", "echo mine >/web/mine.txt")
    assert developer.ok()["container"]["written"] == []
    developer.exec("sh", "-c", "echo notes >/etc/notes.txt")
    said = developer.refused(state="absent")
    (change,) = said["changes"]
    assert change["data_loss"] == "files written in talus-web_dev outside its mounts"
    assert "which would be lost" in developer.undo(made["undo_id"])["msg"]
    assert developer.exec("cat", "/etc/notes.txt") == "notes"
    developer.ok(state="absent", accept_data_loss=[change["data_loss"]])
    assert developer.seen() is None
    assert (developer.app / "mine.txt").read_text(encoding="utf-8") == "mine\n"


@pytest.mark.step("T20")
def test_without_the_database_it_is_refused(developer: Developer) -> None:
    developer.host.engine.docker("kill", "talus-db")
    said = developer.refused()
    assert guards(said) == ["database"]
    assert "talus-db does not run" in said["msg"]
    developer.host.engine.docker("rm", "talus-db")
    assert "no container of the database" in developer.refused()["msg"]
    assert developer.seen() is None


@pytest.mark.step("T20")
def test_the_spelling_is_the_databases(host: Host, journal_dir: str) -> None:
    host.run("db", "underscore")
    developer = Developer(host, journal_dir)
    host.engine.imported("talus_web")
    assert developer.ok(check=True)["changes"][0]["subject"] == "container:talus_web_dev"
    assert developer.ok(check=True, spelling="hyphen", image=host.engine.image)["changes"][0]["subject"] == "container:talus-web_dev"
    developer.ok()
    seen = developer.seen("talus_web_dev")
    assert seen is not None
    assert seen["Config"]["Image"] == "talus_web"
    host.engine.docker("rm", "--force", "talus_db")
    assert developer.ok(state="absent")["changes"][0]["subject"] == "container:talus_web_dev"


@pytest.mark.step("T20")
def test_what_cannot_be_is_refused(developer: Developer) -> None:
    assert guards(developer.refused(image="talus/none:at-all")) == ["image"]
    assert "would make empty ones" in developer.refused(volumes=["/nowhere/at/all:/logs"])["msg"]
    with socket.create_server(("127.0.0.1", developer.port)):
        assert guards(developer.refused()) == ["port"]
    assert "no engine answers" in developer.refused(docker_host="unix:///nowhere.sock")["msg"]
    developer.ok()
    for options in ({"command": ["sh", "-x"]}, {"port": free_port()}, {"image": "other"}, {"source": str(developer.app), "volumes": [f"{developer.app}:/x"]}):
        assert guards(developer.refused(**options)) == ["settings"]
    assert developer.ok(source=str(developer.app))["changed"] is False  # the same place in other words


@pytest.mark.step("T20")
def test_one_of_somebody_else_is_left_alone(developer: Developer) -> None:
    developer.host.run("web", "hyphen", "--name", "talus-web_dev", publish=False)
    before = developer.seen()
    assert guards(developer.refused()) == guards(developer.refused(state="absent")) == ["foreign"]
    assert developer.seen() == before


@pytest.mark.step("T20")
def test_a_database_that_was_started_anew_is_told(developer: Developer) -> None:
    developer.ok(environment={"TALUS_DB_PORT_27017_TCP": "tcp://192.0.2.77:27017"})
    assert codes(developer.ok(environment={"TALUS_DB_PORT_27017_TCP": ""})) == ["present", "stale"]


@pytest.mark.step("T20")
def test_one_that_cannot_be_started_leaves_nothing(developer: Developer) -> None:
    assert "refused to create container" in developer.refused(command=["no-such-program"])["msg"]
    assert (developer.seen(), developer.seen("talus-web_dev.new")) == (None, None)


@pytest.mark.step("T20")
def test_a_start_that_was_cut_off_is_taken_up_or_cleared_away(developer: Developer) -> None:
    """Killed between making and naming: the next run takes its place, and so does a removal."""
    half = web_dev_state.configuration(developer.ok(check=True)["changes"][0]["after"])
    client = APIClient(developer.host.engine.docker_host)
    try:
        for state, subject in (("present", "container:talus-web_dev"), ("absent", "container:talus-web_dev.new")):
            client.start(client.create_container_from_config(half, "talus-web_dev.new")["Id"])
            assert [change["subject"] for change in developer.ok(state=state)["changes"]] == [subject]
            assert developer.seen("talus-web_dev.new") is None
            developer.ok(state="absent")
    finally:
        client.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"source": "/nowhere"}, "there is no manage.py in /nowhere"),
        ({"source": None}, "source"),
        ({"port": 0}, "port must be 1 to 65535"),
        ({"address": "localhost"}, "address must be an address"),
        ({"command": []}, "command is empty"),
        ({"image": ""}, "image is empty"),
        ({"volumes": ["logs"]}, "is not of the form"),
        ({"volumes": ["/x:/web"]}, "is where the sources go"),
        ({"environment": {"A B": "x"}}, "is not the name of a variable"),
    ],
)
def test_bad_input(tmp_path: Path, journal_dir: str, options: dict[str, Any], said: str) -> None:
    (tmp_path / "manage.py").touch()
    known = {"docker_host": "unix:///nowhere.sock", "journal_dir": journal_dir, "source": str(tmp_path), **options}
    assert said in run_refused("talus_web_dev", {name: value for name, value in known.items() if value is not None})["msg"]
