# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a node stands: the stand-in with one fault after the other. Each test says what somebody would have believed who asks as the runbook does."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.sesam import samples
from lab.sesam.container import SesamNode
from lab.sesam.plain import PlainSesam
from lab.sesam.running import Node
from play import eventually
from sesaming import container_params, params
from support import run_module, run_ok, run_refused

NO_ENGINE = "unix:///nonexistent/docker.sock"
BY_API = ["health", "status", "license", "pipes", "scheduler"]
FILES = ["stacktraces", "health_log", "profiler", "space"]
Look = dict[str, Any]
Make = Callable[..., PlainSesam]


def look(node: Node, parts: list[str] | None = None, **options: Any) -> Look:
    """The module on a node without a container; whatever comes of it, the token is not in there."""
    given = {**params(node), "data_folder": str(node.data), "log_folder": str(node.logs), "docker_host": NO_ENGINE, "parts": parts or BY_API, **options}
    return checked(run_ok("sesam_node_info", given), given)


def checked(result: Look, given: dict[str, Any]) -> Look:
    """Nothing was changed, and no part of the token is told."""
    text = json.dumps(result)
    assert result["changed"] is False
    for part in (given["jwt"] or "").split("."):
        assert len(part) < 16 or part not in text
    return result


def codes(result: Look) -> set[str]:
    return {finding["code"].removeprefix("sesam.") for finding in result["findings"] if finding["severity"] != "info"}


def finding(result: Look, code: str) -> Look:
    (found,) = [each for each in result["findings"] if each["code"] == f"sesam.{code}"]
    assert found["runbook"]["file"] == "sesam.rst"
    return dict(found)


def pipe(result: Look, name: str) -> Look:
    (found,) = [each for each in result["pipes"]["list"] if each["id"] == name]
    return dict(found)


def asked(node: Node) -> list[str]:
    """Paths below /api, after making sure that nothing but questions was asked."""
    assert {entry["method"] for entry in node.requests} <= {"GET"}
    return [entry["path"].removeprefix("/api/") for entry in node.requests]


@contextlib.contextmanager
def as_somebody() -> Iterator[None]:
    """Root may read everything, so it is somebody else meanwhile."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


# -- a node that is well ------------------------------------------------------------------------------------------------------


@pytest.mark.step("S1")
def test_a_node_that_is_well(shared_sesam: PlainSesam) -> None:
    found = look(shared_sesam, [*BY_API, *FILES])
    assert (found["healthy"], found["condition"], found["missing"]) == (True, "running", {})
    assert codes(found) == {"ok"}
    assert asked(shared_sesam) == ["health", "status", "license", "metadata", "pipes"]
    assert found["status"]["start_time"] == shared_sesam.status()["node_start_time"]
    assert found["license"] == {"state": "present", "file": True, "enforced": False}
    assert found["pipes"]["total"] == len(shared_sesam.pipes())
    assert found["scheduler"]["enabled"] is True
    assert found["folders"] == {"data": str(shared_sesam.data), "logs": str(shared_sesam.logs)}
    key = (shared_sesam.data / "license.key").read_text(encoding="utf-8").split()[4]
    assert key not in json.dumps(found)


def test_only_what_is_asked_for(shared_sesam: PlainSesam) -> None:
    found = look(shared_sesam, ["space"])
    assert asked(shared_sesam) == []
    assert (found["healthy"], found["condition"], found["pipes"], found["stacktraces"]) == (None, "unknown", None, None)
    assert set(found["space"]) == {"data", "logs"}
    assert asked(shared_sesam) == []


@pytest.mark.parametrize("spelling", ['"{}"', "bearer {}", "  Bearer '{}' \n"])
def test_a_token_as_it_is_often_kept(shared_sesam: PlainSesam, spelling: str) -> None:
    """As it stands, it would have been sent as `Bearer bearer ...`."""
    assert look(shared_sesam, ["health"], jwt=spelling.format(shared_sesam.token()))["healthy"] is True


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "http://127.0.0.1:{}/api/"])
def test_api_is_appended(shared_sesam: PlainSesam, url: str) -> None:
    assert look(shared_sesam, ["health"], api_url=url.format(shared_sesam.port))["healthy"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_url": "localhost:9042"}, "must be like http://localhost:9042/api"),
        ({"api_url": "http://user:secret-word@localhost/api"}, "must not have credentials"),
        ({"api_url": "http://localhost/api?token=1"}, "no query"),
        ({"request_timeout": 0}, "request_timeout must be more than 0"),
        ({"jwt": "two words"}, "which no token has"),
        ({"max_pipes": -1}, "max_pipes must be 0 to"),
        ({"overdue_after": 0}, "overdue_after must be 1 to"),
    ],
)
def test_bad_input(options: dict[str, Any], words: str) -> None:
    given = {"api_url": "http://localhost:9/api", "docker_host": NO_ENGINE, **options}
    refused = run_refused("sesam_node_info", given)
    assert words in refused["msg"]
    assert "secret-word" not in refused["msg"]


# -- an API that misleads -----------------------------------------------------------------------------------------------------


@pytest.mark.step("S1")
def test_503_of_the_health_is_an_answer(shared_sesam: PlainSesam) -> None:
    """`curl --fail` would have taken it for a server that cannot be reached; and /ping says 200 {"status": "running"} all the while."""
    shared_sesam.fault(unwell=["the disk is almost full"])
    assert shared_sesam.ask("GET", "/ping") == (200, {"status": "running"})
    found = look(shared_sesam)
    assert (found["healthy"], found["condition"], found["missing"]) == (False, "unwell", {})
    assert codes(found) == {"health.unwell"}
    assert (found["health"]["status"], found["health"]["well"]) == (503, False)
    assert "the disk is almost full" in finding(found, "health.unwell")["summary"]
    assert found["pipes"]["total"] > 0


def test_503_to_everything_is_no_word_of_the_health(shared_sesam: PlainSesam) -> None:
    """Somebody who looks at the status of /health alone would have called it unwell, while it is starting."""
    shared_sesam.fault(unavailable=True)
    found = look(shared_sesam, ["health"])
    assert (found["healthy"], found["condition"]) == (False, "starting")
    assert codes(found) == {"api.starting"}


def test_200_of_a_proxy_is_no_health(shared_sesam: PlainSesam) -> None:
    """The status is 200, so it would have been taken for well; it is a page to log in."""
    shared_sesam.fault(not_json=True)
    found = look(shared_sesam)
    assert (found["healthy"], found["condition"], found["health"]["well"]) == (False, "unknown", None)
    assert finding(found, "health.unknown")["detail"] == {"status": 200}
    assert found["pipes"] is None
    assert "no array" in found["missing"]["pipes"]
    assert found["license"]["state"] == "unknown"


@pytest.mark.parametrize("html", [False, True])
def test_no_token(shared_sesam: PlainSesam, html: bool) -> None:
    """The error is HTML or JSON; it is one sentence either way, and five questions without an answer are one finding."""
    shared_sesam.fault(html_errors=html)
    found = look(shared_sesam, jwt=None)
    assert (found["healthy"], found["condition"], found["api"]["authenticated"]) == (False, "unknown", False)
    assert codes(found) == {"api.token_missing", "scheduler.unknown"}
    told = finding(found, "api.token_missing")
    assert told["detail"]["paths"] == ["health", "status", "license", "metadata", "pipes"]
    assert "<" not in told["detail"]["said"]
    assert "Missing 'Authorization' header" in told["detail"]["said"]


@pytest.mark.parametrize("which", ["expired", "foreign"])
def test_a_token_that_is_not_accepted(shared_sesam: PlainSesam, which: str) -> None:
    """A server that echoes the token back would have put it into the report."""
    shared_sesam.fault(html_errors=True, echo_token=True)
    token = shared_sesam.token(lifetime=-60.0)
    if which == "foreign":
        token = shared_sesam.token()[:-4] + "AAAA"
    found = look(shared_sesam, jwt=token)
    assert "api.unauthorized" in codes(found)
    assert finding(found, "api.unauthorized")["severity"] == "critical"


def test_a_token_that_may_not(shared_sesam: PlainSesam) -> None:
    found = look(shared_sesam, jwt=shared_sesam.token("group:Nobody"))
    told = finding(found, "api.forbidden")
    assert "group:Admin" in told["remedy"]["text"]
    assert found["healthy"] is False


def test_an_answer_that_breaks_off(plain_sesam: Make) -> None:
    """Half a list would have been thrown away as no JSON, or taken for all of it."""
    node = plain_sesam(config=samples.config(pipes=200))
    node.fault(cut_answers=True)
    found = look(node, ["pipes"], max_pipes=1000)
    assert found["pipes"]["complete"] is False
    assert 0 < found["pipes"]["total"] < 201
    assert "pipes.incomplete" in codes(found)
    assert "pipes" in found["missing"]


# -- an API that does not answer ----------------------------------------------------------------------------------------------


@pytest.mark.step("S11")
def test_frozen(plain_sesam: Make) -> None:
    """The client would have hung; and with the API, all the rest would have been lost that lies on the disk."""
    node = plain_sesam(health_interval=0.2, health_timeout=0.5)
    node.forget_requests()
    node.fault(frozen_api=True)
    node.wait_for(node.traces, "the health checker leaves a stack trace")
    found = look(node, [*BY_API, *FILES], request_timeout=3)
    assert (found["healthy"], found["condition"], found["api"]["ping"]) == (False, "frozen", False)
    told = finding(found, "api.frozen")
    assert (told["severity"], told["remedy"]["playbook"]) == ("critical", "fieldops.runbooks.sesam_frozen")
    assert asked(node) == ["health", "ping"]
    assert found["elapsed"] < 60
    assert {"stacktrace.left", "health_log.failures"} <= codes(found)
    assert found["space"]["data"]["available"] > 0


def test_ping_proves_nothing(shared_sesam: PlainSesam) -> None:
    """It is answered by a node whose health is not."""
    shared_sesam.fault(frozen_paths=["health"])
    found = look(shared_sesam, request_timeout=3)
    assert (found["healthy"], found["condition"], found["api"]["ping"]) == (False, "frozen", True)
    assert "/ping" in finding(found, "api.frozen")["summary"]
    assert found["pipes"]["total"] > 0


def test_one_question_hangs(shared_sesam: PlainSesam) -> None:
    """The list of pipes hangs; the node would have been given up, though it tells the rest."""
    shared_sesam.fault(frozen_paths=["pipes"])
    found = look(shared_sesam, request_timeout=3)
    assert (found["healthy"], found["condition"]) == (False, "running")
    assert finding(found, "api.hangs")["detail"]["paths"] == ["pipes"]
    assert found["scheduler"]["enabled"] is True
    assert found["pipes"] is None


def test_it_is_not_asked_again_and_again(shared_sesam: PlainSesam) -> None:
    """Each question to a frozen node would have taken the whole time."""
    shared_sesam.fault(frozen_paths=["status", "license", "metadata"])
    found = look(shared_sesam, request_timeout=3)
    assert asked(shared_sesam) == ["health", "status", "ping", "license"]
    assert "not asked" in found["missing"]["pipes"]


def test_down(plain_sesam: Make) -> None:
    node = plain_sesam(start=False)
    found = look(node, [*BY_API, "space"], request_timeout=5)
    assert (found["healthy"], found["condition"]) == (False, "down")
    assert {"api.down", "scheduler.unknown"} <= codes(found)
    assert found["space"]["data"]["available"] > 0
    assert set(BY_API) <= set(found["missing"])


def test_nothing_there() -> None:
    found = run_ok("sesam_node_info", {"api_url": "http://nowhere.invalid", "docker_host": NO_ENGINE, "parts": ["health"], "request_timeout": 20})
    assert found["condition"] == "unknown"
    assert codes(found) == {"api.unreachable"}


# -- pipes --------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("S1")
def test_pipes_and_what_is_with_them(plain_sesam: Make) -> None:
    """The cached answer says success and OK: it would have counted as well. And crm-1 fails while it is disabled, which is two things."""
    node = plain_sesam(config=samples.config(pipes=5), run_seconds=0.1)
    node.fault(failing_pipes=["crm-1"], subnode_down=["crm-2"])
    for name, operation in (("crm-0", "start"), ("crm-1", "start"), ("crm-3", "disable")):
        assert node.operate(name, operation)[0] == 200
    node.wait_for(lambda: all(node.runtime(name)["last-run"] and not node.runtime(name)["is-running"] for name in ("crm-0", "crm-1")), "both have run")
    assert node.operate("crm-1", "disable")[0] == 200
    found = look(node)
    states = {each["id"]: each["state"] for each in found["pipes"]["list"]}
    assert states == {"global:person/merge åæ": "idle", "crm-0": "ok", "crm-1": "failed", "crm-2": "unknown", "crm-3": "disabled", "crm-4": "idle"}
    assert [each["id"] for each in found["pipes"]["list"]][:2] == ["crm-2", "crm-1"]
    assert pipe(found, "crm-1")["reasons"] == ["failed", "disabled"]
    assert pipe(found, "crm-1")["message"]
    assert pipe(found, "crm-2")["cached_age"] == 3600
    assert {"pipes.failed", "pipes.unknown"} <= codes(found)
    assert finding(found, "pipes.disabled")["detail"]["pipes"] == ["crm-1", "crm-3"]
    assert found["healthy"] is False
    assert found["pipes"]["queues_unknown"] == found["pipes"]["total"]


def test_pipes_that_are_being_deployed(plain_sesam: Make) -> None:
    """Right after an upload nothing fails, so all would have been taken for well."""
    node = plain_sesam(deploying_seconds=600.0)
    entities = [entity for entity in node.config().values() if entity["_id"] != "crm-2"] + [samples.pipe("new")]
    assert node.ask("PUT", "/config", entities)[0] == 200
    found = look(node)
    assert pipe(found, "new")["state"] == "deploying"
    assert pipe(found, "crm-2")["state"] == "removing"


def test_pipes_that_run_too_long_and_that_should_have_run(plain_sesam: Make) -> None:
    """A pump that runs is not failed, and one that nobody starts any more keeps its last success."""
    node = plain_sesam(config=samples.config(pipes=1, scheduled=1, interval=2.0), run_seconds=0.1)
    node.wait_runs("tick-0")
    node.fault(run_seconds=600.0)
    node.wait_for(lambda: node.runtime("tick-0")["is-running"], "it runs")
    assert pipe(look(node), "tick-0")["state"] == "running"
    found = eventually(lambda: (seen := look(node, running_after=1)) and "pipes.running_long" in codes(seen) and seen)
    assert pipe(found, "tick-0")["state"] == "running_long"


def test_two_thousand_pipes_are_one_request(plain_sesam: Make) -> None:
    node = plain_sesam(config=samples.config(pipes=2000))
    node.forget_requests()
    found = look(node, ["pipes"], max_pipes=3)
    assert asked(node) == ["metadata", "pipes"]
    assert node.requests[-1]["query"] == {"fields": "runtime"}
    assert (found["pipes"]["total"], len(found["pipes"]["list"])) == (2001, 3)
    assert len(json.dumps(found)) < 20000


# -- the scheduler ------------------------------------------------------------------------------------------------------------


@pytest.mark.step("S8")
@pytest.mark.parametrize("key", ["disable_pump_scheduler", "disable_user_pipes"])
def test_the_scheduler_is_off_by_the_metadata(plain_sesam: Make, key: str) -> None:
    """No pipe fails and none has a next run: the node would have been called idle, and its pipes stale."""
    node = plain_sesam(config=samples.config(pipes=0, scheduled=1, task_manager={key: True, "concurrent_tasks": 4}))
    found = look(node, overdue_after=1)
    scheduler = found["scheduler"]
    assert (scheduler["enabled"], scheduler["stopped_by"], scheduler["metadata"]) == (False, ["metadata"], {key: True})
    assert {"scheduler.disabled"} == codes(found)
    assert finding(found, "scheduler.disabled")["remedy"]["playbook"] == "fieldops.runbooks.sesam_scheduler"
    assert pipe(found, "tick-0")["next_run_in"] is None


@pytest.mark.step("S9")
def test_startup_options_are_read_at_the_start(plain_sesam: Make) -> None:
    """The file is there, so the scheduler would have been believed to be off; and afterwards, gone with the file."""
    node = plain_sesam(config=samples.config(pipes=0, scheduled=1))
    file = node.data / "startup_options.json"
    file.write_text(json.dumps({"task_manager": {"disable_pump_scheduler": True}, "secret": "not-for-reports"}), encoding="utf-8")
    os.utime(file, (time.time() + 60, time.time() + 60))
    found = look(node)
    assert (found["scheduler"]["enabled"], found["scheduler"]["after_restart"], found["scheduler"]["startup_options"]["read"]) == (None, False, False)
    assert {"startup_options.left", "scheduler.unknown"} <= codes(found)
    assert "not-for-reports" not in json.dumps(found)
    os.utime(file, (time.time() - 60, time.time() - 60))
    node.restart()
    found = look(node)
    assert (found["scheduler"]["enabled"], found["scheduler"]["stopped_by"]) == (False, ["startup_options"])
    assert {"startup_options.left", "scheduler.disabled"} == codes(found)


@pytest.mark.step("S9")
def test_startup_options_that_were_removed_without_a_restart(plain_sesam: Make) -> None:
    """Nothing on the disk and nothing in the metadata stops the scheduler, so it would have been believed to be on."""
    node = plain_sesam(config=samples.config(pipes=1, scheduled=1), start=False)
    file = node.data / "startup_options.json"
    file.write_text('{"task_manager": {"disable_pump_scheduler": true}}', encoding="utf-8")
    node.start()
    file.unlink()
    node.wait_deployed()
    node.forget_requests()
    found = look(node, settle=0)
    scheduler = found["scheduler"]
    assert (scheduler["enabled"], scheduler["stopped_by"], scheduler["after_restart"]) == (False, [], True)
    assert {"scheduler.off", "scheduler.pending"} == codes(found)
    assert finding(found, "scheduler.off")["detail"] == {"pipe": "tick-0"}
    assert asked(node) == ["health", "status", "license", "metadata", "pipes", "pipes"]
    node.restart()
    node.wait_for(lambda: node.runtime("tick-0")["next-run"], "it is due")
    assert look(node, settle=0)["scheduler"]["enabled"] is True


def test_pipes_that_are_started_by_hand_alone(shared_sesam: PlainSesam) -> None:
    """None of them is due, and that is as it should be."""
    found = look(shared_sesam, settle=0)
    assert found["scheduler"]["enabled"] is True
    assert codes(found) == {"ok"}


def test_startup_options_that_are_no_json(plain_sesam: Make) -> None:
    """Nothing is wrong with the node that runs; it may not start the next time."""
    node = plain_sesam()
    (node.data / "startup_options.json").write_text("{task_manager: ", encoding="utf-8")
    found = look(node)
    assert finding(found, "startup_options.invalid")["severity"] == "critical"
    assert found["scheduler"]["enabled"] is None
    assert found["healthy"] is False


def test_no_metadata_at_all(plain_sesam: Make) -> None:
    node = plain_sesam(config=[samples.pipe("crm-0")], missing=["metadata"])
    assert look(node)["scheduler"]["enabled"] is True


def test_no_licence(plain_sesam: Make) -> None:
    """The answer is 200 with JSON."""
    node = plain_sesam(licensed=False)
    found = look(node)
    assert (found["license"]["state"], found["license"]["file"]) == ("absent", False)
    assert "license.absent" in codes(found)


# -- files --------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("S7")
def test_what_the_health_checker_left(plain_sesam: Make) -> None:
    """The node answers well again: nothing but the log folder tells that it did not hear itself. The log has been rotated meanwhile."""
    node = plain_sesam(health_interval=0.2, health_timeout=0.5)
    node.fault(frozen_paths=["health"])
    node.wait_for(lambda: len(node.traces()) >= 2, "it has left two stack traces")
    node.mend()
    node.fault(health_interval=0.2, health_timeout=60.0)
    node.wait_for(lambda: " 200 " in (node.logs / "node_health.log").read_text(encoding="utf-8"), "it hears itself again")
    shutil.move(node.logs / "node_health.log", node.logs / "node_health.log.1")
    node.wait_for(lambda: (node.logs / "node_health.log").exists() and (node.logs / "node_health.log").stat().st_size, "the log goes on")
    found = look(node, [*BY_API, *FILES])
    assert found["condition"] == "running"
    assert {"stacktrace.left", "health_log.failures"} <= codes(found)
    assert found["stacktraces"]["count"] == len(node.traces())
    assert found["stacktraces"]["list"][0]["path"] == str(node.logs / "stacktrace.html")
    assert found["stacktraces"]["list"][0]["bytes"] == (node.logs / "stacktrace.html").stat().st_size
    log = found["health_log"]
    assert log["failures"] >= 2
    assert "Writing a stacktrace" in log["last_failures"][-1]
    assert -5 < log["last_failure_age"] < 300
    assert finding(found, "stacktrace.left")["runbook"]["heading"].startswith("Checking if the health-checker")


def test_old_traces_are_no_alarm(shared_sesam: PlainSesam) -> None:
    trace = shared_sesam.logs / "stacktrace.html.3"
    trace.write_text("<html></html>", encoding="utf-8")
    os.utime(trace, (time.time() - 1e6, time.time() - 1e6))
    try:
        found = look(shared_sesam, ["stacktraces"])
        assert finding(found, "stacktrace.left")["severity"] == "info"
    finally:
        trace.unlink()


def test_profiles_that_fill_the_disk(shared_sesam: PlainSesam) -> None:
    folder = shared_sesam.logs / "api_profiler"
    folder.mkdir()
    (folder / "call.pstats").write_bytes(b"x" * 100000)
    try:
        assert "profiler.large" in codes(look(shared_sesam, ["profiler"], max_profiles=50000))
        found = look(shared_sesam, ["profiler"])
        assert finding(found, "profiler.left")["severity"] == "info"
        assert found["profiler"]["size"] >= 100000
    finally:
        shutil.rmtree(folder)


def test_little_space(shared_sesam: PlainSesam) -> None:
    free = min(space["percent"] for space in look(shared_sesam, ["space"])["space"].values())
    found = look(shared_sesam, ["space"], min_free=min(100.0, free + 1))
    assert "space.low" in codes(found)


def test_folders_that_may_not_be_read() -> None:
    """They would have looked empty: no stack trace, no failure."""
    with tempfile.TemporaryDirectory() as name:
        given = {"parts": ["stacktraces", "space"], "log_folder": name, "data_folder": "/", "docker_host": NO_ENGINE}
        Path(name).chmod(0)
        with as_somebody():
            found = run_ok("sesam_node_info", given)
        Path(name).chmod(0o700)
    assert found["stacktraces"] is None
    assert "run it as root" in found["missing"]["stacktraces"]
    assert "files.unseen" in codes(found)


def test_without_an_engine(shared_sesam: PlainSesam) -> None:
    """Container and folders are not known; the API is told, and what is missing is named."""
    given = {**params(shared_sesam), "docker_host": NO_ENGINE}
    found = checked(run_module("sesam_node_info", given), given)
    assert found["condition"] == "running"
    assert found["healthy"] is False
    assert set(found["missing"]) == {"container", "startup_options", "license_file", *FILES}
    assert NO_ENGINE in finding(found, "container.unseen")["summary"]
    assert found["scheduler"]["enabled"] is None


# -- a container --------------------------------------------------------------------------------------------------------------


def inside(node: SesamNode, **options: Any) -> Look:
    """Everything, with the container and the folders found."""
    given = container_params(node, **options)
    return checked(run_ok("sesam_node_info", given), given)


@pytest.mark.step("S1")
@pytest.mark.step("S11")
@pytest.mark.thorough
def test_a_container(sesam_node: Callable[..., SesamNode]) -> None:
    node = sesam_node(begins="shell", environment={"SECRET_WORD": "not-for-reports"})
    found = inside(node)
    assert (found["healthy"], found["missing"]) == (True, {}), found["findings"]
    container = found["container"]
    assert (container["name"], container["running"], container["restarts"]) == (node.name, True, 0)
    assert container["process"]["pid"] == node.pid != node.first_pid
    assert container["process"]["handles_sigusr1"] is True
    assert found["folders"] == {"data": os.path.realpath(node.data), "logs": os.path.realpath(node.logs)}
    assert (found["license"]["enforced"], found["profiler"]["enabled"]) == (True, False)
    assert "not-for-reports" not in json.dumps(found)
    node.freeze()  # the kernel goes on taking connections for it
    found = inside(node, request_timeout=2)
    assert (found["condition"], found["container"]["process"]["state"]) == ("frozen", "T")
    assert {"api.frozen", "process.stopped"} <= codes(found)
    assert found["health_log"]["exists"] is True
    node.thaw()
    node.stop()
    found = inside(node, request_timeout=5)
    assert (found["condition"], found["container"]["running"]) == ("down", False)
    assert {"api.down", "container.down"} <= codes(found)
    assert found["space"]["logs"]["available"] > 0


def test_a_container_that_a_signal_would_end(sesam_node: Callable[..., SesamNode]) -> None:
    """It looks like any other; `kill -SIGUSR1` would have ended it. Its profiler fills the disk, and its licence has gone."""
    node = sesam_node(sigusr1="default", licensed=False, arguments=("--enforce-license", "--enable-api-profiler"))
    found = inside(node)
    assert found["container"]["process"]["handles_sigusr1"] is False
    assert finding(found, "process.no_signal")["severity"] == "info"
    assert finding(found, "license.absent")["severity"] == "critical"
    assert {"profiler.on", "license.absent"} <= codes(found)
    assert found["healthy"] is False


def test_of_nowhere(tmp_path: Path) -> None:
    refused = run_module("sesam_node_info", {"parts": ["space"], "data_folder": str(tmp_path / "none"), "log_folder": str(tmp_path), "docker_host": NO_ENGINE})
    assert "does not exist" in refused["missing"]["space"]
