# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler by startup_options.json: a node in a container that cannot be asked, or does not stay up long enough for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import run as engine
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from lab.mongo import free_port
from lab.sesam import samples
from lab.sesam.container import SesamNode
from play import eventually
from sesam_changing import KEY, Operator, codes, fine, guards
from support import run_module, run_ok, run_refused

Make = Callable[..., SesamNode]
OPTIONS = {"log_level": "DEBUG", "task_manager": {"threads": 4}}


def operator_of(node: SesamNode, journal_dir: str) -> Operator:
    return Operator(node, journal_dir, docker_host=node.engine.docker_host, container=node.name)


def file_of(operator: Operator) -> Path:
    return operator.node.data / "startup_options.json"


def started(operator: Operator) -> str:
    return str(operator.node.get("/status")["node_start_time"])


@pytest.mark.step("S9")
@pytest.mark.thorough
def test_a_node_that_crashes_on_a_pipe_stays_up_and_runs_again(sesam_node: Make, journal_dir: str) -> None:
    """The runbook's second example. Its file is merged into the one that is there, and taken out again afterwards."""
    node = sesam_node(config=samples.config(scheduled=1), crash_pipe="tick-0", start=False)
    operator, file = operator_of(node, journal_dir), file_of(operator_of(node, journal_dir))
    file.write_text(json.dumps(OPTIONS), encoding="utf-8")
    file.chmod(0o640)
    node.start(wait=False)
    eventually(lambda: int((node.engine.inspect(node.name) or {}).get("RestartCount", 0)) > 0, 60)
    result = fine(operator.scheduler("disabled", method="startup_options", settle=2))
    assert [change["action"] for change in result["changes"]] == ["disable", "restart"]
    assert json.loads(file.read_text(encoding="utf-8")) == {**OPTIONS, "task_manager": {"threads": 4, KEY: True}}
    assert file.stat().st_mode & 0o7777 == 0o640
    node.wait_up()
    count = (node.engine.inspect(node.name) or {})["RestartCount"]
    again = fine(operator.scheduler("disabled", settle=2))  # auto: the file does it, so nothing is to be done
    assert (again["changed"], again["scheduler"]["state"], again["proof"]["started"]) == (False, "disabled", [])
    assert (node.engine.inspect(node.name) or {})["RestartCount"] == count
    node.fault(crash_pipe="")
    on = fine(operator.scheduler("enabled", settle=1))
    assert [change["action"] for change in on["changes"]] == ["enable", "restart"]
    assert json.loads(file.read_text(encoding="utf-8")) == OPTIONS
    node.wait_runs("tick-0")


@pytest.mark.step("S9")
def test_when_the_api_is_down_it_is_the_file_and_it_goes_again(sesam_node: Make, journal_dir: str) -> None:
    node = sesam_node(config=samples.config(scheduled=1))
    operator = operator_of(node, journal_dir)
    before = started(operator)
    node.fault(unavailable=True)
    predicted = fine(operator.scheduler("disabled", check=True))
    assert not file_of(operator).exists()
    assert [change["action"] for change in predicted["changes"]] == ["disable", "restart"]
    mended = threading.Timer(3.0, lambda: node.fault(unavailable=False))  # as a restart would
    mended.start()
    result = fine(operator.scheduler("disabled", approved_plan=predicted["plan_sha256"], settle=1))
    mended.join()
    assert predicted["plan_sha256"] == result["plan_sha256"]
    assert json.loads(file_of(operator).read_text(encoding="utf-8")) == {"task_manager": {KEY: True}}
    assert file_of(operator).stat().st_uid == node.data.stat().st_uid
    assert started(operator) != before
    assert (operator.switch(), result["scheduler"]["state"]) == (None, "disabled")
    runs = node.runs("tick-0")
    node.restart()  # what the file is not taken out of stays off
    assert fine(operator.scheduler("disabled", settle=2))["proof"]["started"] == []
    assert node.runs("tick-0") == runs
    undone = operator.undone(result["undo_id"])
    assert undone["changed"]
    assert not file_of(operator).exists()
    node.wait_runs("tick-0")
    assert operator.undone(result["undo_id"])["changed"] is False
    assert operator.undone(undone["undo_id"])["changed"]  # and the undo is undone
    assert json.loads(file_of(operator).read_text(encoding="utf-8")) == {"task_manager": {KEY: True}}
    on = fine(operator.scheduler("enabled"))
    assert not file_of(operator).exists()  # nothing was left in it, and this collection made it
    assert on["scheduler"]["state"] == "enabled"
    node.wait_runs("tick-0")


@pytest.mark.step("S9")
@pytest.mark.thorough
def test_what_a_frozen_node_was_like_is_kept_before_it_is_restarted(sesam_node: Make, journal_dir: str) -> None:
    """And before it is restarted once more, to take that back."""
    node = sesam_node(config=samples.config(scheduled=1))
    operator = operator_of(node, journal_dir)
    with (node.logs / "node.log").open("a", encoding="utf-8") as log:
        log.write(f"the last line before it froze; Authorization: Bearer {node.token()}\n")
    former = (node.engine.inspect(node.name) or {})["State"]
    node.freeze()
    predicted = fine(operator.scheduler("disabled", check=True, request_timeout=2))
    assert (predicted["evidence"]["directory"], predicted["evidence"]["files"]) == (None, [])
    assert not Path(journal_dir, "evidence").exists()
    result = fine(operator.scheduler("disabled", request_timeout=2, timeout=36))
    assert [change["action"] for change in result["changes"]] == ["disable", "restart"]
    files = {Path(each["path"]).name: Path(each["path"]).read_text(encoding="utf-8") for each in result["evidence"]["files"]}
    assert {"container.json", "container.log", "processes.txt", "log-node.log", "index.json"} <= set(files)
    assert "the last line before it froze" in files["log-node.log"]
    assert node.token() not in "".join(files.values())
    assert json.loads(files["container.json"])["State"]["StartedAt"] == former["StartedAt"]
    assert f"process {former['Pid']}" in files["processes.txt"]
    again = (node.engine.inspect(node.name) or {})["State"]["StartedAt"]
    node.freeze()
    short = {"undo_id": result["undo_id"], "journal_dir": journal_dir, "jwt": node.token(), "lock_expiry": 60}
    assert guards(run_refused("runbook_undo", short)) == ["lock_expiry"]
    undone = operator.undone(result["undo_id"])
    note = next(change["note"] for change in undone["changes"] if change["action"] == "undo_restart")
    kept = Path(note.removeprefix("the state before was kept in "))
    assert kept != Path(result["evidence"]["directory"])
    assert json.loads((kept / "container.json").read_text(encoding="utf-8"))["State"]["StartedAt"] == again


@pytest.mark.step("S9")
def test_what_the_runbook_writes_loses_the_rest_of_the_file(tmp_path: Path, sesam_node: Make, journal_dir: str) -> None:
    """Beside the module, which does not; without a restart, and with one afterwards."""
    naive = tmp_path / "startup_options.json"
    naive.write_text(json.dumps(OPTIONS), encoding="utf-8")
    naive.write_text(json.dumps({"task_manager": {KEY: True}}), encoding="utf-8")
    assert "log_level" not in naive.read_text(encoding="utf-8")
    operator = operator_of(sesam_node(), journal_dir)
    file, before = file_of(operator), started(operator)
    text = json.dumps(OPTIONS, indent=7)
    file.write_text(text, encoding="utf-8")
    result = fine(operator.scheduler("disabled", method="startup_options", restart=False))
    assert json.loads(file.read_text(encoding="utf-8")) == {**OPTIONS, "task_manager": {"threads": 4, KEY: True}}
    assert (codes(result), started(operator)) == (["enabled", "not_in_force"], before)
    assert result["scheduler"]["startup_options"]["in_force"] is False
    assert fine(operator.scheduler("disabled", method="startup_options", restart=False))["changed"] is False
    later = fine(operator.scheduler("disabled", method="startup_options"))
    assert [change["action"] for change in later["changes"]] == ["restart"]
    assert (later["scheduler"]["state"], later["scheduler"]["startup_options"]["in_force"]) == ("disabled", True)
    file.write_text(file.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert guards(operator.undo(result["undo_id"])) == ["changed_since"]
    file.write_text(file.read_text(encoding="utf-8")[:-1], encoding="utf-8")
    operator.undone(result["undo_id"])
    assert file.read_text(encoding="utf-8") == text  # byte for byte


@pytest.mark.step("S9")
def test_a_file_that_cannot_be_relied_on_is_left_alone(sesam_node: Make, journal_dir: str, tmp_path: Path) -> None:
    node = sesam_node()
    operator, file = operator_of(node, journal_dir), file_of(operator_of(node, journal_dir))
    before = started(operator)

    def refused() -> str:
        result = run_refused("sesam_scheduler", operator.scheduler_arguments("disabled", method="startup_options"))
        return str(result["msg"])

    for text, said in (
        ('{"task_manager": {\n  "x": 1,\n}}', "line 3 column 1"),
        ("", "line 1 column 1"),
        ("[1]", "no JSON object"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"task_manager": 5}', "task_manager of"),
    ):
        file.write_text(text, encoding="utf-8")
        assert said in refused()
        assert file.read_text(encoding="utf-8") == text
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text("{}", encoding="utf-8")
    file.unlink()
    file.symlink_to(elsewhere)
    assert "is a link, which is not followed" in refused()
    assert (elsewhere.read_text(encoding="utf-8"), started(operator)) == ("{}", before)
    # Where nothing is done with the file, it stops nobody.
    result = fine(operator.scheduler("disabled"))
    assert (operator.switch(), result["scheduler"]["startup_options"]) == (True, None)
    assert "is a link" in result["evidence"]["unseen"]


@pytest.mark.step("S9")
def test_a_folder_that_is_out_of_reach_is_told_with_the_reason_for_it(journal_dir: str, tmp_path: Path) -> None:
    known: dict[str, Any] = {"state": "disabled", "journal_dir": journal_dir, "api_url": "http://127.0.0.1:1", "docker_host": f"unix://{tmp_path}/none"}
    told = run_refused("sesam_scheduler", known)["msg"]
    assert "the API does not answer" in told
    assert "startup_options.json is out of reach" in told
    # With the folder named and no restart, no engine is needed.
    result = fine(Offline(known, tmp_path).run())
    assert json.loads((tmp_path / "startup_options.json").read_text(encoding="utf-8")) == {"task_manager": {KEY: True}}
    assert (result["scheduler"]["state"], "away" in codes(result)) == ("disabled", True)
    assert os.listdir(tmp_path / "journal" / "sesam")


def test_a_wrong_name_in_the_address_is_no_node_that_is_down(journal_dir: str, tmp_path: Path) -> None:
    """The node may well work, so neither its file nor its container is touched."""
    known: dict[str, Any] = {"state": "disabled", "journal_dir": journal_dir, "docker_host": f"unix://{tmp_path}/none", "restart": False}
    told = run_refused("sesam_scheduler", {**known, "api_url": "http://nowhere.invalid", "data_folder": str(tmp_path), "request_timeout": 60})["msg"]
    assert "nowhere.invalid" in told
    assert not (tmp_path / "startup_options.json").exists()


def test_a_lock_that_would_not_last_is_refused(journal_dir: str, tmp_path: Path) -> None:
    """Another remediation would take it over in the middle; an undo that restarts has its own."""
    offline = Offline({"state": "disabled", "journal_dir": journal_dir, "api_url": "http://127.0.0.1:1", "docker_host": f"unix://{tmp_path}/none"}, tmp_path)
    offline.known.update(timeout=900, lock_expiry=900)
    refused = run_refused("sesam_scheduler", offline.known)
    assert guards(refused) == ["lock_expiry"]
    assert guards(run_refused("sesam_scheduler", {**offline.known, "timeout": 500, "running": "wait"})) == ["lock_expiry"]
    assert not (tmp_path / "startup_options.json").exists()
    assert run_ok("sesam_scheduler", {**offline.known, "lock_expiry": 1200})["changed"]
    assert run_ok("sesam_scheduler", offline.known)["changed"] is False  # nothing to be done takes no time


@pytest.mark.step("S9")
def test_a_wrong_port_is_no_node_that_is_down(sesam_node: Make, journal_dir: str) -> None:
    """Nobody listens there, or somebody who never answers. One that does not answer anywhere is down, whatever the port."""
    node = sesam_node()
    operator = operator_of(node, journal_dir)
    before = started(operator)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        for port in (free_port(), silent.getsockname()[1]):
            known = operator.scheduler_arguments("disabled", api_url=f"http://127.0.0.1:{port}/api", request_timeout=2)
            for check in (True, False):
                assert f"its API answers at http://127.0.0.1:{node.port}:" in run_refused("sesam_scheduler", known, check)["msg"]
    assert (file_of(operator).exists(), started(operator), operator.switch()) == (False, before, None)
    node.fault(unavailable=True)
    planned = fine(operator.scheduler("disabled", check=True, api_url=f"http://127.0.0.1:{free_port()}/api"))
    assert [change["action"] for change in planned["changes"]] == ["disable", "restart"]


class Offline:
    """A data folder without a node."""

    def __init__(self, known: dict[str, Any], folder: Path) -> None:
        self.known = {**known, "data_folder": str(folder), "restart": False}

    def run(self) -> dict[str, Any]:
        return run_ok("sesam_scheduler", self.known)


def cut_off_before_the_restart(arguments: dict[str, Any]) -> None:
    """The module in a child, which dies with the file written and the restart journaled."""
    pid = os.fork()
    if pid == 0:
        batches: list[str] = []

        def reached(name: str) -> None:
            batches.append(name)
            if batches.count("apply.before") == 2:
                os.kill(os.getpid(), signal.SIGKILL)

        engine.boundary = reached
        try:
            run_module("sesam_scheduler", arguments)
        finally:
            os._exit(99)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


@pytest.mark.step("S9")
def test_cut_off_between_the_file_and_the_restart(sesam_node: Make, journal_dir: str, tmp_path: Path) -> None:
    """Run again, the restart is made up for; undone, the node was never told. The same for the way back, when the file is gone already."""
    operator = operator_of(sesam_node(config=samples.config(scheduled=1)), journal_dir)
    file, before = file_of(operator), started(operator)
    arguments = operator.scheduler_arguments("disabled", method="startup_options")
    cut_off_before_the_restart(arguments)
    assert json.loads(file.read_text(encoding="utf-8")) == {"task_manager": {KEY: True}}
    shutil.copytree(journal_dir, tmp_path / "copy")
    (run,) = Journal(journal_dir).all_runs()
    assert operator.undone(run.undo_id)["changed"]
    assert (file.exists(), started(operator)) == (False, before)
    assert operator.undone(run.undo_id)["changed"] is False

    other = operator_of(operator.node, str(tmp_path / "copy"))  # type: ignore[arg-type]
    cut_off_before_the_restart({**arguments, "journal_dir": other.journal})
    again = fine(other.scheduler("disabled", method="startup_options"))
    assert [change["action"] for change in again["changes"]] == ["restart"]
    assert (again["scheduler"]["state"], started(operator) != before) == ("disabled", True)
    assert fine(other.scheduler("disabled", method="startup_options"))["changed"] is False

    cut_off_before_the_restart(other.scheduler_arguments("enabled", method="startup_options"))
    assert not file.exists()
    back = fine(other.scheduler("enabled", method="startup_options"))
    assert [change["action"] for change in back["changes"]] == ["restart"]
    operator.node.wait_runs("tick-0")
    assert fine(other.scheduler("enabled", method="startup_options"))["changed"] is False
