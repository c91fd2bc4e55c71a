# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of a Sesam node is as awkward as the real one."""

from __future__ import annotations

import http.client
import json
import marshal
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from lab.engine import Engine
from lab.sesam import samples
from lab.sesam.container import SesamNode
from lab.sesam.plain import PlainSesam
from lab.sesam.standin import licence
from lab.sesam.standin.auth import ADMIN, ANONYMOUS, DEVELOPER

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is tested against it is tested all the time

ODD = "global:person/merge åæ"
OFF = {"task_manager": {"disable_pump_scheduler": True}}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Callable[..., PlainSesam]]:
    """A node with these settings, which runs."""
    made: list[PlainSesam] = []

    def make(wait: bool = True, **options: Any) -> PlainSesam:
        made.append(PlainSesam(tmp_path / f"node-{len(made)}", **options))
        return made[-1].start(wait)

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running


def code(answer: tuple[int, Any]) -> int:
    return answer[0]


def test_it_lets_nobody_in_who_may_not(node: Callable[..., PlainSesam]) -> None:
    sesam = node()
    strange = {"": 401, "Bearer": 401, "Bearer no.tok.en": 401, f"Bearer {sesam.token(lifetime=-5)}": 401, f"bearer {sesam.token()}": 200}
    for header, expected in strange.items():
        assert code(sesam.ask("GET", "/pipes", headers={"Authorization": header})) == expected
    assert code(sesam.ask("GET", "/pipes", roles=["group:Nobody"])) == 403
    assert code(sesam.ask("PUT", "/metadata", {}, roles=[ANONYMOUS])) == 403
    assert [code(sesam.ask("GET", "/status/stacktrace", roles=[role])) for role in (ANONYMOUS, DEVELOPER, ADMIN)] == [403, 403, 200]
    assert code(sesam.ask("PUT", "/license", licence.key().encode(), roles=[DEVELOPER])) == 403
    assert code(sesam.ask("POST", "/admin", form={"operation": "reset"}, roles=[DEVELOPER])) == 403
    page = sesam.ask("GET", "/pipes/it's", headers={"Accept": "*/*"})[1]
    assert b"<html>" in page
    assert b"it&#x27;s" in page
    sesam.fault(echo_token=True)
    assert "Bearer" in sesam.ask("GET", "/pipes/nothing")[1]["message"]
    assert sesam.token().rpartition(".")[2] not in json.dumps(sesam.requests)
    sesam.fault(auth=False)
    assert code(sesam.ask("GET", "/status/stacktrace", headers={"Authorization": ""})) == 200
    assert not sesam.wiped


def test_pumps_do_what_they_can_and_say_what_they_cannot(node: Callable[..., PlainSesam]) -> None:
    sesam = node(run_seconds=3600, stop_seconds=1, config=[*samples.config(), samples.pipe("off", "off")])
    assert code(sesam.ask("GET", f"/pipes/{quote(ODD)}")) == 404  # `/` must be encoded, too
    assert sesam.runtime(ODD)["state"] == "Deployed"
    assert code(sesam.operate(ODD, "start", profiler="true")) == 200
    status, pump = sesam.operate(ODD, "start")
    assert (status, pump["runtime"]["is-running"]) == (409, True)
    assert code(sesam.operate("off", "start")) == 400
    assert code(sesam.operate("crm-0", "dance")) == 400
    assert code(sesam.ask("POST", f"/pipes/{quote(ODD, safe='')}/pump", {"operation": "stop"})) == 400  # not a form
    assert sesam.operate(ODD, "stop")[1]["runtime"]["is-running"]  # it takes its time
    sesam.wait_for(lambda: not sesam.runtime(ODD)["is-running"], "it has stopped")
    assert code(sesam.operate("crm-0", "disable", comment="broken")) == 200
    names = [file.name for file in sesam.logs.iterdir() if file.suffix in {".pstat", ".calltree"}]
    assert len(names) == 2
    assert all(quote(ODD, safe="") in name for name in names)
    assert marshal.loads(next(sesam.logs.glob("*.pstat")).read_bytes())  # noqa: S302
    sesam.restart()
    assert sesam.runtime("crm-0")["is-disabled"]
    assert (code(sesam.ask("POST", "/pipes", [samples.pipe("crm-0")])), code(sesam.ask("POST", "/pipes", [samples.pipe("new")]))) == (409, 201)
    events = [entry["_id"] for entry in sesam.get(f"/pipes/{quote('new')}/log")]
    assert events == []
    internal = {pipe["_id"] for pipe in sesam.get("/pipes?include-internal-pipes=true")} - set(sesam.pipes())
    assert internal
    sesam.fault(subnode_down=["crm-1"])
    assert set(sesam.get("/pipes/crm-1?fields=runtime")) == {"_id", "runtime", "cached_response_info"}


def test_an_upload_replaces_the_group(node: Callable[..., PlainSesam]) -> None:
    sesam = node(groups={"others": [samples.pipe("other")]}, deploying_seconds=3)
    before = sesam.config()
    bodies = [sesam.ask("GET", "/config")[1] for _again in range(8)]
    assert len({json.dumps([entity["_id"] for entity in body]) for body in bodies}) > 1
    assert len({json.dumps(sorted(json.dumps(entity, sort_keys=True) for entity in body)) for body in bodies}) == len(bodies)  # $audit
    assert set(sesam.config("*")) == {*before, "other"}
    broken, odd = {"_id": "bad", "type": "pipe"}, samples.pipe("odd", colour="blue")
    status, said = sesam.ask("PUT", "/config", [*before.values(), broken])
    assert (status, said["validation_errors"][0]["config-errors"][0]["level"]) == (400, "error")
    assert sesam.config() == before
    status, said = sesam.ask("PUT", "/config", [*before.values(), odd])
    assert (status, said["validation_errors"][0]["config-errors"][0]["level"]) == (200, "warning")
    assert sesam.runtime("odd")["state"] == "Deploying"
    sesam.wait_deployed()
    assert code(sesam.ask("PUT", "/config?force=true", [*before.values(), broken])) == 200
    assert not sesam.runtime("bad")["is-valid-config"]
    assert code(sesam.ask("PUT", "/config", [{"_id": "node", "type": "metadata", **OFF}])) == 200  # as the runbook has it
    assert set(sesam.config()) == {"node"}
    assert {pipe["runtime"]["state"] for identity, pipe in sesam.pipes().items() if identity != "other"} == {"Removing"}
    assert set(sesam.config("others")) == {"other"}
    assert len(sesam.get("/config-history/entity?entity_id=crm-0")) == 2
    assert code(sesam.ask("PUT", "/config/others", [{"_id": "node", "type": "metadata"}])) == 400


def test_the_circuit_breaker_and_the_zip(node: Callable[..., PlainSesam]) -> None:
    sesam = node(config=samples.config(pipes=20, global_defaults={"use_config_circuit_breaker": True}))
    before = sesam.config()
    assert code(sesam.ask("PUT", "/config", [before["node"]])) == 400
    packed = sesam.ask("GET", "/config", headers={"Accept": "application/zip"})[1]
    assert code(sesam.ask("PUT", "/config", packed, headers={"Content-Type": "application/zip"})) == 200
    assert sesam.config() == before


def test_metadata_is_one_object(node: Callable[..., PlainSesam]) -> None:
    sesam = node()
    assert sesam.metadata() == samples.metadata()
    assert code(sesam.ask("PUT", "/metadata", OFF)) == 200
    assert sesam.metadata() == {"_id": "node", "type": "metadata", **OFF}
    assert code(sesam.ask("PUT", "/metadata", [OFF])) == 400
    assert code(sesam.ask("DELETE", "/metadata")) == 200
    assert "node" not in sesam.config()
    sesam.fault(intruder=["default", samples.pipe("intruder")])
    assert ["intruder" in sesam.config() for _again in range(2)] == [False, True]


def test_the_scheduler_stops_and_what_runs_goes_on(node: Callable[..., PlainSesam]) -> None:
    sesam = node(config=samples.config(scheduled=1, interval=0.2), run_seconds=0.1)
    sesam.wait_runs("tick-0")
    assert sesam.runtime("tick-0")["next-run"]
    sesam.fault(run_seconds=1.5)
    sesam.wait_for(lambda: sesam.runtime("tick-0")["is-running"], "it runs")
    assert code(sesam.ask("PUT", "/metadata", {"task_manager": {"disable_user_pipes": True}})) == 200
    assert sesam.runtime("tick-0")["is-running"]
    sesam.wait_for(lambda: not sesam.runtime("tick-0")["is-running"], "it has ended by itself")
    sesam.wait_for(lambda: sesam.runtime("tick-0")["next-run"] is None, "nothing comes next")
    assert code(sesam.ask("DELETE", "/metadata")) == 200
    sesam.fault(run_seconds=0.1)
    sesam.wait_runs("tick-0")
    (sesam.data / "startup_options.json").write_text(json.dumps(OFF), encoding="utf-8")
    sesam.wait_runs("tick-0")  # it is read when the node starts
    sesam.restart()
    sesam.wait_for(lambda: sesam.runtime("tick-0")["next-run"] is None, "nothing comes next")
    assert not sesam.runtime("tick-0")["is-running"]


@pytest.mark.parametrize("invalid", ["{", "[]"])
def test_startup_options_that_are_none(node: Callable[..., PlainSesam], invalid: str) -> None:
    sesam = node()
    sesam.stop()
    (sesam.data / "startup_options.json").write_text(invalid, encoding="utf-8")
    assert sesam.start(wait=False).wait_ended() == 1
    sesam.fault(startup_invalid="ignore")
    sesam.start()


def test_a_pipe_that_takes_the_node_with_it(node: Callable[..., PlainSesam]) -> None:
    sesam = node(wait=False, config=samples.config(scheduled=1, interval=0.3), crash_pipe="tick-0")
    assert sesam.wait_ended() == 137
    (sesam.data / "startup_options.json").write_text(json.dumps(OFF), encoding="utf-8")
    sesam.start()
    sesam.wait_for(lambda: sesam.runtime("tick-0")["next-run"] is None, "nothing comes next")
    assert code(sesam.operate("crm-0", "start")) == 200


def test_health_restart_and_what_it_says_of_itself(node: Callable[..., PlainSesam]) -> None:
    sesam = node(restart_seconds=2)
    assert (code(sesam.ask("GET", "/health")), sesam.get("/ping")) == (200, {"status": "running"})
    sesam.fault(unwell=["queue is stuck"])
    assert sesam.ask("GET", "/health") == (503, {"status": "unhealthy", "problems": ["queue is stuck"]})
    assert code(sesam.ask("GET", "/ping")) == 200
    former, pid = sesam.status(), sesam.pid
    assert sesam.ask("POST", "/admin", form={"operation": "restart"}) == (200, {"message": "OK"})
    sesam.wait_for(lambda: sesam.status() is None, "it is away")
    sesam.wait_up(former["node_start_time"])
    assert sesam.pid == pid
    sesam.fault(restarts=False)
    former = sesam.status()
    assert code(sesam.ask("POST", "/admin", form={"operation": "restart"})) == 200
    assert sesam.status()["node_start_time"] == former["node_start_time"]
    assert {"node_id", "node_version", "node_uptime", "psutil.virtual_memory"} <= set(former)
    sesam.fault(start_seconds=3600)
    assert code(sesam.ask("GET", "/ping")) == 503
    sesam.fault(start_seconds=0, cut_answers=True)
    with pytest.raises(http.client.IncompleteRead):
        sesam.ask("GET", "/pipes")
    sesam.fault(cut_answers=False, not_json=True)
    assert sesam.ask("GET", "/pipes")[1].startswith(b"<!DOCTYPE html>")


def test_a_frozen_api_is_noticed_by_the_node_itself(node: Callable[..., PlainSesam]) -> None:
    sesam = node(health_interval=0.2, health_timeout=1)
    sesam.wait_for(lambda: "200" in (sesam.logs / "node_health.log").read_text(encoding="utf-8"), "it asks itself")
    assert sesam.traces() == []
    sesam.fault(frozen_api=True)
    with pytest.raises(TimeoutError):
        sesam.ask("GET", "/health", timeout=0.5)
    sesam.wait_for(lambda: len(sesam.traces()) >= 2, "two stack traces")
    assert "The call to /api/health failed" in (sesam.logs / "node_health.log").read_text(encoding="utf-8")


def test_the_signal(node: Callable[..., PlainSesam]) -> None:
    sesam = node()
    assert sesam.catches_sigusr1()
    for names in (["stacktrace.html"], ["stacktrace.html", "stacktrace.html.1"]):
        sesam.signal(signal.SIGUSR1)
        sesam.wait_for(lambda expected=names: sesam.traces() == expected, "a stack trace")  # type: ignore[misc]
    file = sesam.logs / "stacktrace.html"
    sesam.wait_for(lambda: file.read_bytes().rstrip().endswith(b"</html>"), "it is complete")
    assert (file.stat().st_size, stat.S_IMODE(file.stat().st_mode)) == (279164, 0o644)
    assert b"in _wait" in file.read_bytes()
    sesam.fault(stacktrace_seconds=3)
    sesam.signal(signal.SIGUSR1)
    sesam.wait_for(lambda: 0 < file.stat().st_size < 279164, "half of it is there")
    sesam.wait_for(lambda: file.stat().st_size == 279164, "all of it is there")
    sesam.fault(signal="lost", stacktrace_seconds=0)
    sesam.signal(signal.SIGUSR1)
    sesam.freeze()
    sesam.signal(signal.SIGUSR1)
    with pytest.raises(TimeoutError):
        sesam.ask("GET", "/ping", timeout=0.5)
    sesam.thaw()
    assert code(sesam.ask("GET", "/ping")) == 200
    assert len(sesam.traces()) == 3


def test_the_signal_kills_who_does_not_catch_it(node: Callable[..., PlainSesam]) -> None:
    sesam = node(sigusr1="default")
    assert not sesam.catches_sigusr1()
    sesam.signal(signal.SIGUSR1)
    assert sesam.wait_ended() == -signal.SIGUSR1


def test_profiles_take_the_place_of_answers_and_calls_are_made_all_the_same(node: Callable[..., PlainSesam]) -> None:
    sesam = node(arguments=["--enable-api-profiler"])
    profile = sesam.ask("GET", "/pipes", headers={"SESAM-API-PROFILER": "pstats"})[1]
    assert any(function[2] == "listed" for function in marshal.loads(profile))  # noqa: S302
    assert sesam.ask("GET", "/pipes", headers={"SESAM-API-PROFILER": "calltree"})[1].startswith(b"version: 1\n")
    assert code(sesam.ask("PUT", "/metadata", OFF, headers={"SESAM-API-PROFILER": "pstats"})) == 200
    assert sesam.metadata()["task_manager"] == OFF["task_manager"]
    assert len(list((sesam.logs / "api_profiler").iterdir())) >= 2 * 4
    assert [entry["profiler"] for entry in sesam.requests if entry["profiler"]] == ["pstats", "calltree", "pstats"]


def test_without_a_licence_pipes_stop(node: Callable[..., PlainSesam]) -> None:
    sesam = node(arguments=["--enforce-license"], licensed=False, config=samples.config(scheduled=1), health_interval=0.2)
    assert not sesam.get("/license")["valid"]
    assert code(sesam.operate("crm-0", "start")) == 400
    assert code(sesam.ask("PUT", "/license", b"nonsense")) == 400
    assert code(sesam.ask("PUT", "/license", licence.key(-1).encode())) == 200
    assert sesam.get("/license")["status"] == "expired"
    assert code(sesam.ask("PUT", "/license", licence.key().encode())) == 200
    sesam.wait_runs("tick-0")
    assert code(sesam.ask("PUT", "/secrets", {"password": "hidden"})) == 200
    assert sesam.get("/secrets") == ["password"]


def test_thousands_of_pipes(node: Callable[..., PlainSesam]) -> None:
    sesam = node(config=[*samples.config(), *(samples.pipe(f"pipe-{number}", "scheduled", 3600) for number in range(2000))], log_bytes=1000)
    status, body = sesam.ask("GET", "/pipes")
    assert (status, len(body)) == (200, 2004)
    assert 2000 < len(json.dumps(body[1000])) < 4500
    for _again in range(20):
        sesam.get("/ping")
    assert (sesam.logs / "node_access.log.1").exists()


@pytest.mark.parametrize(
    ("begins", "argv0", "owner"),
    [("exec", "python", "777:777"), ("shell", "lake", None), ("direct", "lake", None)],
)
def test_in_a_container(engine: Engine, tmp_path: Path, begins: str, argv0: str, owner: str | None) -> None:
    with SesamNode(tmp_path / "node", engine, name=f"sesam-{begins}", begins=begins, owner=owner, argv0=argv0) as sesam:
        words = os.fsdecode(Path(f"/proc/{sesam.pid}/cmdline").read_bytes()).split("\0")
        assert words[:3] == ["lake", "-l", "/sesam/logs"] if argv0 == "lake" else words[:3] == ["/usr/bin/python3", "/usr/bin/lake", "-l"]
        assert (sesam.pid != sesam.first_pid) == (begins == "shell")
        assert (tmp_path / "node/sesam/node-00/data").is_symlink()
        sesam.signal(signal.SIGUSR1)
        sesam.wait_for(sesam.traces, "a stack trace")
        assert (sesam.logs / "stacktrace.html").stat().st_uid == int(sesam.owner.partition(":")[0])
        if begins == "exec":
            former, before = sesam.status()["node_start_time"], (sesam.id, sesam.pid, sesam.inspect()["Image"])
            sesam.crash()
            sesam.wait_up(former)
            sesam.recreate()
            assert not set(before) & {sesam.id, sesam.pid, sesam.inspect()["Image"]}
            sesam.stop()
            assert sesam.pid == 0


def test_a_shell_owns_the_container_at_first(engine: Engine, tmp_path: Path) -> None:
    sesam = SesamNode(tmp_path / "node", engine, name="sesam-slow", chown_seconds=2, linked=False).start(wait=False)
    try:
        assert sesam.first_pid
        assert sesam.pid == 0
        assert sesam.wait_up().pid == sesam.first_pid
    finally:
        sesam.close()
