# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that are made ready for a reboot, with real containers and an engine that is taken away in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Pattern
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import reboot_service
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.service import ServiceState
from lab.engine import CuttingProxy, Engine
from lab.jobrunner.backend import Backend
from support import run_module, run_ok, run_refused

BOTH = pytest.mark.parametrize(
    "backend", [pytest.param({"user_version": 2}, marks=pytest.mark.thorough), {"user_version": 3, "journal_mode": "wal"}], indirect=True, ids=["v2", "v3-wal"]
)
GONE = {"container": None, "manager": None, "volume": None}
RESULTS = {"output/table.csv": "a,b\n1,2\n", "output/dataset.arrow": "x"}
TIMES = ("updated_at", "status_code_updated_at")
TURNS = 80


@pytest.fixture(autouse=True)
def own_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What runs as a service for another test is none to this one."""
    name = f"jobrunner.service{tmp_path}"
    assert Pattern(args=("-m", "jobrunner.service")) == reboot_service.PROCESS
    monkeypatch.setattr(reboot_service, "PROCESS", Pattern(args=("-m", name)))
    return name


def options(backend: Backend, journal_dir: str, **more: Any) -> dict[str, Any]:
    return {**backend.params, "journal_dir": journal_dir, **more}


def fill(backend: Backend) -> list[str]:
    """Jobs that run, in each way in which a job can; and one that waits, which is nobody's business."""
    jobs = [
        backend.add_job("running", "executing", action="runs", container="running"),
        backend.add_job("running", "prepared", action="prepared", outputs=RESULTS),
        backend.add_job("running", "executing", action="directory", container="running", volume="directory"),
        backend.add_job("running", "preparing", action="preparing", volume=False, outputs=RESULTS),
    ]
    backend.add_job("pending", "created", action="waits", volume=False)
    backend.add_job("succeeded", "succeeded", action="done", volume=False)
    return jobs


def picture(backend: Backend, jobs: list[str]) -> dict[str, Any]:
    rows = {
        name: {key: value is not None if key in TIMES else value for key, value in row.items() if key != "created_at"} for name, row in backend.rows().items()
    }
    for row in rows.values():
        row["started_at"] = row["started_at"] is not None
        row["completed_at"] = row["completed_at"] is not None
    return {"rows": rows, "objects": [backend.objects(job) for job in jobs]}


def all_start_anew(backend: Backend, jobs: list[str]) -> None:
    """None is filed as failed: those that end do so with their results."""
    for _again in range(TURNS):
        backend.loop_turns(1)
        codes = [backend.row(job)["status_code"] for job in jobs]
        if set(codes) <= {"executing", "succeeded"}:
            return
        assert not {"failed"} & {backend.row(job)["state"] for job in jobs}, codes
        time.sleep(0.1)
    raise AssertionError(codes)


@pytest.mark.step("O19")
@pytest.mark.parametrize("version", [pytest.param(2, marks=pytest.mark.thorough), 3])
def test_the_same_as_upstream_leaves(engine: Engine, tmp_path: Path, journal_dir: str, version: int) -> None:
    pictures = []
    for number in (0, 1):
        backend = Backend(tmp_path / f"twin-{number}", engine, user_version=version)
        try:
            jobs = fill(backend)
            if number == 0:
                assert backend.cli("prepare_for_reboot", answer="y\n").returncode == 0
            else:
                predicted = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir), check=True)
                assert len(predicted["jobs"]) == len(jobs)
                done = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir))
                assert predicted["plan_sha256"] == done["plan_sha256"]
                assert [{**change, "done": True} for change in predicted["changes"]] == done["changes"]
                assert (done["ready"], done["jobs"]) == (True, [])
                assert run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir))["changed"] is False
            pictures.append(picture(backend, jobs))
        finally:
            backend.close()
    assert pictures[0] == pictures[1]
    assert set(map(str, pictures[0]["objects"])) == {str(GONE)}


@pytest.mark.step("O19")
@BOTH
def test_jobs_start_anew_after_the_reboot(backend: Backend, journal_dir: str) -> None:
    jobs = fill(backend)
    cancelled = backend.add_job("running", "executing", action="cancelled", container="running", cancelled=1)
    waits = backend.add_job("pending", "waiting_on_dependencies", action="after", volume=False, wait_for_job_ids=[cancelled])
    before = backend.row(jobs[0])
    run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir))
    after = backend.row(jobs[0])
    assert {key for key, value in after.items() if value != before[key]} == {
        "state",
        "status_code",
        "status_message",
        "started_at",
        "updated_at",
        "status_code_updated_at",
    }
    assert (after["started_at"], after["status_message"]) == (None, "Job restarted - waiting for server to reboot")
    backend.engine.reboot()
    all_start_anew(backend, jobs)
    assert backend.row(cancelled)["status_code"] == "cancelled_by_user"
    assert backend.row(waits)["status_code"] == "dependency_failed"


# -- the engine is taken away ------------------------------------------------------------------------------------------------


def cut(backend: Backend) -> list[str]:
    """One job of either kind: each change of Docker that there is."""
    return [
        backend.add_job("running", "executing", action="runs", container="running"),
        backend.add_job("running", "executing", action="directory", container="running", volume="directory"),
    ]


def changing_requests(engine: Engine, path: Path) -> int:
    """How many changes of the engine an undisturbed preparation takes."""
    backend = Backend(path / "counted", engine)
    try:
        cut(backend)
        with CuttingProxy(engine) as proxy:
            run_ok("jobrunner_prepare_for_reboot", options(backend, str(path / "counted-journal"), docker_host=proxy.docker_host))
            return len(proxy.made)
    finally:
        backend.close()


@pytest.mark.step("O19")
@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.timeout(900)
@pytest.mark.thorough
def test_an_engine_that_goes_away_anywhere_costs_no_job(engine: Engine, tmp_path: Path, answered: bool) -> None:
    total = changing_requests(engine, tmp_path)
    assert total >= 6
    for number in range(1 if answered else 0, total + (1 if answered else 0)):
        backend = Backend(tmp_path / f"cut-{number}", engine)
        try:
            cut_and_finish(backend, str(tmp_path / f"journal-{number}"), number, answered)
        except BaseException as exc:
            exc.add_note(f"cut at change {number} of {total}")
            raise
        finally:
            backend.close()


def cut_and_finish(backend: Backend, journal_dir: str, number: int, answered: bool) -> None:
    jobs = cut(backend)
    with CuttingProxy(backend.engine, after=number, answered=answered) as proxy:
        arguments = options(backend, journal_dir, docker_host=proxy.docker_host)
        first = run_module("jobrunner_prepare_for_reboot", arguments)
        assert first.get("failed"), first
        assert "no engine answers" in first["msg"]
        proxy.restore()
        reset = [job for job in jobs if backend.row(job)["state"] == "pending"]
        assert [backend.objects(job) for job in reset] == [GONE] * len(reset)  # the row is the last of a job
        second = run_ok("jobrunner_prepare_for_reboot", arguments)
    assert (second["ready"], second["jobs"]) == (True, [])
    assert {backend.row(job)["status_code"] for job in jobs} == {"waiting_on_reboot"}
    assert [backend.objects(job) for job in jobs] == [GONE] * len(jobs)
    all_start_anew(backend, jobs)


@pytest.mark.step("O19")
def test_what_upstreams_command_left_half_done_is_finished(backend: Backend, journal_dir: str) -> None:
    """Its own second run passes the job over, and the main loop files it as failed."""
    job = backend.add_job("pending", "waiting_on_reboot", container="exited", run="sleep 100000")
    paused = backend.add_job("pending", "paused", action="b", container="running")
    rows = backend.rows()
    assert backend.cli("prepare_for_reboot", answer="y\n").returncode == 0
    assert backend.objects(job) != GONE
    done = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir))
    assert [found["code"] for found in done["findings"]][-1:] == ["jobrunner.reboot.ready"]
    assert [backend.objects(job), backend.objects(paused)] == [GONE, GONE]
    assert backend.rows() == rows
    backend.loop_turns(2)
    assert {backend.row(job)["status_code"], backend.row(paused)["status_code"]} == {"executing"}


@pytest.mark.step("O19")
def test_finished_results_are_lost_only_by_name(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="exited", outputs=RESULTS)  # the main loop has not seen its end
    other = backend.add_job("running", "executing", action="b", container="running")
    before = (backend.rows(), backend.objects(job), backend.objects(other))
    refused = run_refused("jobrunner_prepare_for_reboot", options(backend, journal_dir))
    assert f"results of job {job} (a)" in refused["msg"]
    assert "jobrunner.reboot.unsaved" in [finding["code"] for finding in refused["findings"]]
    assert (backend.rows(), backend.objects(job), backend.objects(other)) == before
    run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir, accept_data_loss=[f"results of job {job} (a)"]))
    assert [backend.objects(job), backend.objects(other)] == [GONE, GONE]


@pytest.mark.step("O19")
def test_rows_without_objects_are_put_back(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "preparing", volume=False)
    before = backend.row(job)
    done = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir))
    assert all(change["reversible"] for change in done["changes"])
    run_ok("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert {**backend.row(job), "updated_at": 0} == {**before, "updated_at": 0}


@pytest.mark.step("O19")
def test_rows_whose_containers_went_are_not_put_back(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="running")
    predicted = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir), check=True)
    assert not any(change["reversible"] for change in predicted["changes"])
    done = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir))
    refused = run_refused("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["irreversible"]
    assert backend.row(job)["status_code"] == "waiting_on_reboot"


# -- the service --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def process(own_service: str) -> Iterator[subprocess.Popen[bytes]]:
    """Something that runs as the service does, whoever started it."""
    running = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)", "-m", own_service])
    yield running
    running.kill()
    running.wait()


@pytest.mark.step("O19")
def test_refused_while_a_process_of_the_service_runs(backend: Backend, journal_dir: str, process: subprocess.Popen[bytes]) -> None:
    job = backend.add_job("running", "executing", container="running")
    before = (backend.rows(), backend.objects(job))
    for stop in (False, True):
        refused = run_refused("jobrunner_prepare_for_reboot", options(backend, journal_dir, stop_service=stop))
        assert [refusal["guard"] for refusal in refused["refusals"]] == ["service_running"]
        assert f"process {process.pid} runs jobrunner.service" in refused["msg"]
    assert (backend.rows(), backend.objects(job)) == before


class Unit:
    """A unit that systemd would keep; the tests of the lab host have a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.active, self.asked = "active", []
        self.stopping: Any = lambda: None
        monkeypatch.setattr(reboot_service, "read_service", lambda name: ServiceState(f"{name}.service", True, self.active, "running"))
        monkeypatch.setattr(reboot_service, "call", self.call)

    def call(self, argv: list[str], _timeout: float) -> tuple[int, str, str]:
        self.asked.append([os.path.basename(argv[0]), *argv[1:]])
        if "stop" in argv:
            self.stopping()
        self.active = "inactive" if "stop" in argv else "active"
        return 0, "", ""


@pytest.mark.step("O19")
def test_the_service_is_stopped_first_and_started_again_by_the_undo(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Unit(monkeypatch)
    job = backend.add_job("running", "preparing", volume=False)
    before = backend.row(job)
    assert "service_running" in run_refused("jobrunner_prepare_for_reboot", options(backend, journal_dir))["msg"]
    arguments = options(backend, journal_dir, stop_service=True)
    predicted = run_ok("jobrunner_prepare_for_reboot", arguments, check=True)
    assert unit.asked == []
    done = run_ok("jobrunner_prepare_for_reboot", arguments)
    assert done["plan_sha256"] == predicted["plan_sha256"]
    assert [change["subject"] for change in done["changes"]] == ["service:jobrunner.service", f"job:{job}"]
    assert unit.asked == [["systemctl", "stop", "--no-ask-password", "jobrunner.service"]]
    assert done["ready"] is True
    run_ok("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert unit.active == "active"
    assert {**backend.row(job), "updated_at": 0} == {**before, "updated_at": 0}


@pytest.mark.step("O19")
def test_what_began_until_the_service_was_stopped_is_planned_anew(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Unit(monkeypatch)
    job = backend.add_job("running", "executing", container="running")
    begun = []
    unit.stopping = lambda: begun.append(backend.add_job("running", "executing", action="begun", container="running"))
    failed = run_module("jobrunner_prepare_for_reboot", options(backend, journal_dir, stop_service=True))
    assert failed["failed"]
    assert "the service is stopped now" in failed["msg"]
    assert begun[0] in failed["msg"]
    assert backend.objects(job)["container"] == "running"
    done = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir, stop_service=True))
    assert done["ready"] is True
    assert [backend.row(each)["status_code"] for each in (job, *begun)] == ["waiting_on_reboot"] * 2


def test_without_rights_it_is_stopped_by_the_words_of_sudoers(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Unit(monkeypatch)
    monkeypatch.setattr(reboot_service.os, "geteuid", lambda: 10000)
    reboot_service.steer("stop", "jobrunner", 1.0)
    assert unit.asked == [["sudo", "-n", "/usr/bin/systemctl", "stop", "jobrunner.service"]]


def test_a_service_that_does_not_stop_is_told(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Unit(monkeypatch)
    job = backend.add_job("running", "executing", container="running")
    monkeypatch.setattr(reboot_service, "call", lambda _argv, _timeout: (0, "", ""))
    failed = run_module("jobrunner_prepare_for_reboot", options(backend, journal_dir, stop_service=True, stop_timeout=0.5))
    assert "did not stop within 0.5 s: jobrunner.service is active (running)" in failed["msg"]
    assert unit.active == "active"
    assert backend.objects(job)["container"] == "running"
    monkeypatch.setattr(reboot_service, "call", lambda _argv, _timeout: (1, "", "Failed to stop: Access denied\n"))
    failed = run_module("jobrunner_prepare_for_reboot", options(backend, journal_dir, stop_service=True))
    assert "refused to stop: Failed to stop: Access denied" in failed["msg"]
