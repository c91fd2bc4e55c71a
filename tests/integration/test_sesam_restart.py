# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts of a node in a real container: what is kept before, what proves it, and what is no restart although it looks like one."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker, EngineAway
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import restart_run
from lab.engine import Engine
from lab.sesam import samples
from lab.sesam.container import SesamNode
from lab.sesam.plain import PlainSesam
from laking import CATCHES, DIRECT, ENDS, Lake
from sesaming import container_params, params
from support import run_module, run_ok, run_refused

MODULE = "sesam_restart"
QUICK = {"settle": 1, "stop_timeout": 3, "health_timeout": 20, "timeout": 120, "request_timeout": 5}
Make = Callable[..., SesamNode]


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in result["findings"]}


def life(node: SesamNode) -> tuple[str, str]:
    seen = node.inspect()
    return seen["Id"], seen["State"]["StartedAt"]


def arguments(node: SesamNode, journal_dir: str, *roles: str, **others: Any) -> dict[str, Any]:
    return {**container_params(node, *roles), **QUICK, "container": node.name, "journal_dir": journal_dir, **others}


def kept(result: dict[str, Any]) -> dict[str, str]:
    return {Path(each["path"]).name: Path(each["path"]).read_text(encoding="utf-8", errors="replace") for each in result["evidence"]["files"]}


@pytest.mark.step("S6")
def test_by_the_api_and_predicted(sesam_node: Make, journal_dir: str) -> None:
    node = sesam_node()
    before, former = node.status(), life(node)
    wanted = arguments(node, journal_dir, policy="always")
    predicted = run_ok(MODULE, wanted, check=True)
    assert (predicted["changed"], predicted["method"], predicted["restart"]) == (True, "api", None)
    assert not Path(journal_dir).exists()
    assert node.status()["node_start_time"] == before["node_start_time"]
    done = run_ok(MODULE, {**wanted, "approved_plan": predicted["plan_sha256"]})
    after = node.status()
    assert done["restart"]["start_time_before"] == str(before["node_start_time"]) != done["restart"]["start_time_after"] == str(after["node_start_time"])
    assert (done["restart"]["proof"], done["restart"]["health"], done["restart"]["method"]) == ("node_start_time", "ok", "api")
    assert (done["changes"][0]["reversible"], done["changes"][0]["done"]) == (False, True)
    assert codes(done) == {"sesam.restart.done", "sesam.node.answers"}
    assert not node.wiped
    assert life(node)[0] == former[0]
    assert node.token() not in json.dumps(done)
    healthy = run_ok(MODULE, {**wanted, "policy": "unhealthy"})
    assert (healthy["changed"], healthy["changes"], healthy["evidence"]["directory"]) == (False, [], None)
    cool = run_refused(MODULE, {**wanted, "cooldown": 600})
    assert cool["refusals"][0]["guard"] == "cooldown"


@pytest.mark.step("S6")
@pytest.mark.parametrize("frozen", ["api", "process"])
def test_a_frozen_node(sesam_node: Make, journal_dir: str, frozen: str) -> None:
    """The evidence is of before the restart, without secrets; the engine does it, within the time that was given."""
    node = sesam_node(environment={"PORTAL_SECRET": "hush-hush"})
    (node.logs / "stacktrace.html").write_text("<html>left</html>", encoding="utf-8")
    with (node.logs / "node.log").open("a", encoding="utf-8") as log:
        log.write(f"the last line; Authorization: Bearer {node.token()}\n")
    if frozen == "api":
        node.fault(frozen_api=True)
    else:
        node.freeze()
    former = life(node)
    wanted = arguments(node, journal_dir, policy="unhealthy", request_timeout=1)
    assert run_refused(MODULE, {**wanted, "method": "api"})["refusals"][0]["guard"] == "api_silent"
    # In the one case the fault outlives the restart, in the other one it cannot.
    done = run_module(MODULE, {**wanted, "timeout": 12, "stop_timeout": 2} if frozen == "api" else wanted)
    assert life(node)[0] == former[0]
    assert life(node)[1] > former[1]
    files = kept(done)
    assert {"container.json", "container.log", "processes.txt", "log-node.log", "log-node_health.log", "stacktrace.html", "index.json"} <= set(files)
    assert "status.json" not in files
    assert "the last line" in files["log-node.log"]
    assert "PORTAL_SECRET" in files["container.json"]
    assert json.loads(files["container.json"])["State"]["StartedAt"] == former[1]
    assert f"process {json.loads(files['container.json'])['State']['Pid']}" in files["processes.txt"]
    everything = json.dumps(done) + "".join(files.values()) + "".join(path.read_text() for path in Path(journal_dir, "runs").rglob("*") if path.is_file())
    assert "hush-hush" not in everything
    assert node.token() not in everything
    assert {stat.S_IMODE(os.stat(each["path"]).st_mode) for each in done["evidence"]["files"]} == {0o600}
    assert stat.S_IMODE(os.stat(done["evidence"]["directory"]).st_mode) == 0o700
    if frozen == "api":
        assert done["failed"]
        assert done["changed"]
        assert "did not come up within" in done["msg"]
        assert "sesam.restart.failed" in codes(done)
        assert done["evidence"]["directory"] in done["msg"]
    else:
        assert (done["changed"], done["restart"]["method"], done["restart"]["proof"], done["restart"]["health"]) == (True, "container", "container", "ok")
        assert done["container"]["previous"]["started"] != done["container"]["started"] or done["container"]["previous"]["pid"] != done["container"]["pid"]
        undone = run_module("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
        assert undone["failed"]


@pytest.mark.step("S6")
@pytest.mark.parametrize("named", [{}, {"container": "sesam-node"}], ids=["found", "named"])
@pytest.mark.thorough
def test_an_api_and_an_engine_that_both_hang(plain_sesam: Callable[..., PlainSesam], journal_dir: str, named: dict[str, str]) -> None:
    """Nothing can be restarted. What lies in the log folder is kept all the same, and not when it is only looked at."""
    node = plain_sesam(config=[samples.pipe("crm-0", "manual")])
    with (node.logs / "node.log").open("a", encoding="utf-8") as log:
        log.write(f"the last line; Authorization: Bearer {node.token()}\n")
    (node.logs / "stacktrace.html").write_text("<html>left</html>", encoding="utf-8")
    node.fault(frozen_api=True)
    # A socket's path may have 107 bytes, which a test's own folder may need for itself.
    with socket.socket(socket.AF_UNIX) as hangs, tempfile.TemporaryDirectory(prefix="lab-hangs-") as folder:
        hangs.bind(f"{folder}/engine.sock")
        hangs.listen(64)
        known = {"docker_host": f"unix://{folder}/engine.sock", "log_folder": str(node.logs), "journal_dir": journal_dir, **QUICK, "request_timeout": 1}
        assert run_refused(MODULE, params(node, **known, **named), check=True)["evidence"]["directory"] is None
        refused = run_refused(MODULE, params(node, **known, **named))
        assert run_refused(MODULE, params(node, **known, **named, evidence=False))["evidence"]["directory"] is None
    assert "no engine answers" in refused["msg"]
    files = kept(refused)
    assert {"log-node.log", "stacktrace.html", "index.json"} <= set(files)
    assert "the last line" in files["log-node.log"]
    assert node.token() not in "".join(files.values()) + json.dumps(refused)


@pytest.mark.step("S6")
def test_without_a_token_the_container_is_the_proof(sesam_node: Make, journal_dir: str) -> None:
    node = sesam_node(begins="shell")
    wanted = {**arguments(node, journal_dir), "jwt": None}
    assert run_refused(MODULE, {**wanted, "method": "api"})["refusals"][0]["guard"] == "admin"
    former = life(node)
    done = run_ok(MODULE, wanted)
    assert (done["restart"]["proof"], done["restart"]["method"], done["restart"]["start_time_after"]) == ("container", "container", None)
    assert life(node)[1] > former[1]
    assert "sesam.api.needs_admin" in codes(done)
    assert done["running_pipes"] is None


@pytest.mark.step("S6")
@pytest.mark.thorough
def test_an_api_that_says_ok_and_does_nothing(sesam_node: Make, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A naive client takes the 200 for the restart."""
    node = sesam_node(restarts=False)
    former, before = life(node), node.status()
    failed = run_module(MODULE, arguments(node, journal_dir, method="api", timeout=10, evidence=False))
    assert failed["failed"]
    assert "tells the same start time as before" in failed["msg"]
    assert life(node) == former
    assert node.status()["node_start_time"] == before["node_start_time"]
    monkeypatch.setattr("ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.restart._API_PATIENCE", 2.0)
    done = run_ok(MODULE, arguments(node, journal_dir, timeout=36))
    assert done["restart"]["method"] == "container"
    assert "the API took it, and nothing came of it" in done["restart"]["notes"][0]
    assert life(node)[1] > former[1]


@pytest.mark.step("S6")
def test_pipes_that_run_are_not_cut_off(sesam_node: Make, journal_dir: str) -> None:
    node = sesam_node(run_seconds=600.0)
    pipe = next(name for name, seen in node.pipes().items() if not seen["runtime"].get("is-disabled"))
    node.operate(pipe, "start")
    node.wait_for(lambda: node.runtime(pipe)["is-running"], "the pipe runs")
    before = node.status()
    refused = run_refused(MODULE, arguments(node, journal_dir))
    (refusal,) = refused["refusals"]
    assert refusal["guard"] == "running_pipes"
    assert pipe in refusal["reason"]
    assert "sesam.pipes.running" in codes(refused)
    assert node.status()["node_start_time"] == before["node_start_time"]
    done = run_ok(MODULE, arguments(node, journal_dir, allow_running_pipes=True))
    assert pipe in json.loads(kept(done)["pipes_running.json"])


@pytest.mark.step("S6")
def test_one_that_is_unwell_afterwards(sesam_node: Make, journal_dir: str) -> None:
    node = sesam_node(unwell=["a system is unreachable"])
    done = run_ok(MODULE, arguments(node, journal_dir, policy="unhealthy", health_timeout=2))
    assert done["restart"]["health"] == "unwell"
    made = next(finding for finding in done["findings"] if finding["code"] == "sesam.restart.done")
    assert made["severity"] == "warning"
    assert "sesam.health.unwell" in codes(done)


def test_a_container_that_was_down(sesam_node: Make, journal_dir: str) -> None:
    node = sesam_node()
    node.stop()
    predicted = run_ok(MODULE, arguments(node, journal_dir, policy="unhealthy"), check=True)
    assert predicted["changes"][0]["action"] == "start"
    assert codes(predicted) == {"sesam.container.down", "sesam.api.down"}
    done = run_ok(MODULE, arguments(node, journal_dir, policy="unhealthy"))
    assert done["plan_sha256"] == predicted["plan_sha256"]
    assert node.status() is not None


# -- of a program that does as it is told ------------------------------------------------------------------------------


@pytest.fixture
def lake(engine: Engine, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path / "lake", engine)
    yield made
    made.remove()


def test_one_that_flaps(lake: Lake, journal_dir: str) -> None:
    lake.run(CATCHES, DIRECT, "--restart=always")
    lake.wait_until_up()
    lake.write(ENDS)
    failed = run_module(MODULE, lake.arguments(journal_dir, **QUICK))
    assert failed["failed"]
    assert "flaps: it has ended" in failed["msg"]
    assert failed["changed"]


def test_one_that_ends_at_once(lake: Lake, journal_dir: str) -> None:
    lake.run(CATCHES)
    lake.wait_until_up()
    lake.write(ENDS)
    failed = run_module(MODULE, lake.arguments(journal_dir, **QUICK, evidence=False))
    assert failed["failed"]
    assert "did not stay up: it is exited (exit code 3)" in failed["msg"]
    assert failed["evidence"]["directory"] is None


def test_a_container_that_is_made_anew_between_look_and_act(lake: Lake, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.run()
    lake.wait_until_up()
    real = restart_run.keep

    def keep(*values: Any) -> str:
        directory = real(*values)
        lake.again()
        return directory

    monkeypatch.setattr(restart_run, "keep", keep)
    failed = run_module(MODULE, lake.arguments(journal_dir, **QUICK))
    started = lake.state["StartedAt"]
    assert failed["failed"]
    assert "was started or made anew since it was looked at" in failed["msg"]
    assert (failed["changed"], failed["changes"][0]["done"]) == (False, False)
    assert lake.state["StartedAt"] == started


@pytest.mark.thorough
def test_an_engine_that_hangs_over_the_restart(lake: Lake, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed and started; where nothing helps, it ends by itself and says what was tried."""
    lake.run()
    lake.wait_until_up()
    former = lake.state

    def hangs(_docker: Docker, _name: str, _stop: int = 10) -> None:
        raise EngineAway("no engine answers at unix:///x (asked to restart container x): timed out")

    monkeypatch.setattr(Docker, "restart", hangs)
    began = time.monotonic()
    failed = run_module(MODULE, lake.arguments(journal_dir, **{**QUICK, "timeout": 10, "request_timeout": 1}))
    assert time.monotonic() - began < 120
    assert failed["failed"]  # nobody serves the API of this one
    assert "so it was killed and started" in failed["msg"]
    assert lake.state["StartedAt"] > former["StartedAt"]
    assert lake.state["Running"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 5}, "timeout must be 10 or more seconds"),
        ({"timeout": 20, "settle": 20}, "settle (20 seconds) must be less than timeout"),
        ({"stop_timeout": 0}, "stop_timeout must be 1 or more seconds"),
        ({"container": "no-such"}, "container: there is no container no-such."),
        ({"timeout": 890}, "lock_expiry: "),
        ({"method": "api"}, "api_silent: "),
        ({"log_folder": "/no/such"}, "log_folder: /no/such does not exist"),
    ],
)
def test_bad_input(lake: Lake, journal_dir: str, options: dict[str, Any], words: str) -> None:
    lake.run()
    lake.wait_until_up()
    former = lake.state
    assert words in run_refused(MODULE, lake.arguments(journal_dir, **{**QUICK, **options}))["msg"]
    assert lake.state == former
