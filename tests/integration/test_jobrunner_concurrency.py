# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fix beside a process that writes as job-runner's main loop does: no lock error on its side, no lost update on either."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Pattern
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import reboot_service, rows
from lab.jobrunner.backend import Backend
from support import run_module, run_ok

BOTH = pytest.mark.parametrize(
    "backend", [pytest.param({"user_version": 2}, marks=pytest.mark.thorough), {"user_version": 3, "journal_mode": "wal"}], indirect=True, ids=["v2", "v3-wal"]
)
PATIENCE = 5.0  # of upstream with a lock, in seconds
HOLD = 0.5  # the longest that a fix may hold one


@pytest.fixture(autouse=True)
def no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs as a service for another test is none to this one."""
    monkeypatch.setattr(reboot_service, "PROCESS", Pattern(args=("-m", f"jobrunner.service{tmp_path}")))


def options(backend: Backend, journal_dir: str, **more: Any) -> dict[str, Any]:
    return {**backend.params, "journal_dir": journal_dir, **more}


def all_fixes(backend: Backend, journal_dir: str, jobs: dict[str, str]) -> None:
    """Each transition once, and what can be undone undone."""
    flag = {"workdir": str(backend.workdir), "config_files": [], "journal_dir": journal_dir, "name": "paused"}
    paused = run_ok("jobrunner_flag", {**flag, "value": "true"})
    run_ok("runbook_undo", {"undo_id": paused["undo_id"], "journal_dir": journal_dir})
    run_ok("jobrunner_flag", {**flag, "value": None})
    run_ok("jobrunner_job", options(backend, journal_dir, job_id=[jobs["kept"]], state="killed", settle=0.2))
    run_ok("jobrunner_job", options(backend, journal_dir, job_id=[jobs["cleaned"]], state="killed", cleanup=True, settle=0.2))
    waits = run_ok("jobrunner_job", options(backend, journal_dir, job_id=[jobs["waits"]], state="killed", settle=0))
    run_ok("runbook_undo", {"undo_id": waits["undo_id"], "journal_dir": journal_dir})
    run_ok("jobrunner_job", options(backend, journal_dir, job_id=[jobs["broke"]], state="retried", settle=0.2))
    done = run_ok("jobrunner_prepare_for_reboot", options(backend, journal_dir, accept_data_loss=[f"results of job {jobs['broke']} (broke)"]))
    assert done["ready"] is True


@pytest.mark.step("O14")
@pytest.mark.step("O15")
@pytest.mark.step("O19")
@pytest.mark.step("O22")
@BOTH
def test_neither_loses_anything(backend: Backend, journal_dir: str) -> None:
    jobs = {
        "kept": backend.add_job("running", "executing", action="kept", container="running"),
        "cleaned": backend.add_job("running", "executing", action="cleaned", container="running"),
        "waits": backend.add_job("pending", "created", action="waits", volume=False),
        "broke": backend.add_job("failed", "internal_error", action="broke", container="exited", exit_code=0),
        "runs": backend.add_job("running", "executing", action="runs", container="running"),
    }
    with backend.writer() as writer:
        all_fixes(backend, journal_dir, jobs)
    assert (writer.errors, writer.lost) == ([], [])
    assert writer.writes > 100
    assert writer.longest < HOLD * 2, "it waited for a lock"
    codes = {name: backend.row(job)["status_code"] for name, job in jobs.items()}
    reset = "waiting_on_reboot"
    assert codes == {"kept": "killed_by_admin", "cleaned": "killed_by_admin", "waits": "created", "broke": reset, "runs": reset}
    assert backend.row(jobs["runs"])["trace_context"] is not None  # the writer's own column is as the writer left it


@pytest.mark.step("O15")
def test_a_kill_that_the_main_loop_wrote_over_does_not_pass_for_one(backend: Backend, journal_dir: str) -> None:
    """Upstream's loop writes whole rows as it read them a moment before; what was written in between is gone. It is seen, and the next run holds."""
    job = backend.add_job("pending", "created", volume=False)
    outcomes = []
    with backend.writer(stale=True) as writer:
        for _again in range(30):
            result = run_module("jobrunner_job", options(backend, journal_dir, job_id=[job], state="killed", settle=0.5))
            state = backend.row(job)["state"]
            outcomes.append((bool(result.get("failed")), state))
            if state == "failed":
                break
    assert writer.errors == []
    assert outcomes[-1] == (False, "failed")
    assert all(failed and state == "pending" for failed, state in outcomes[:-1]), outcomes


@pytest.mark.parametrize("backend", [{"user_version": 2}], indirect=True)
def test_who_was_overwritten_is_told(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = backend.add_job("pending", "created", volume=False)
    before = backend.row(job)

    def overwrite() -> None:
        time.sleep(0.3)
        backend.change(job, **{name: before[name] for name in ("state", "status_code", "status_message", "completed_at")})

    write, started = rows.write_job, []

    def written(*arguments: Any) -> None:
        write(*arguments)
        started.append(threading.Thread(target=overwrite))
        started[0].start()

    monkeypatch.setattr(rows, "write_job", written)
    failed = run_module("jobrunner_job", options(backend, journal_dir, job_id=[job], state="killed", settle=2.0))
    started[0].join()
    assert failed["failed"]
    assert "needed again at once" in failed["msg"]
    assert failed["undo_id"]


@pytest.mark.step("O15")
def test_a_job_that_moved_on_between_plan_and_change_is_left_alone(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = backend.add_job("pending", "created", volume=False)
    change = rows.change_job

    def moved(*arguments: Any, **named: Any) -> Any:
        backend.change(job, state="running", status_code="preparing")
        return change(*arguments, **named)

    monkeypatch.setattr("ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.job.change_job", moved)
    failed = run_module("jobrunner_job", options(backend, journal_dir, job_id=[job], state="killed", settle=0))
    assert "has moved on since it was looked at: it is running (preparing)" in failed["msg"]
    assert failed["changed"] is False
    assert backend.row(job)["status_code"] == "preparing"


@pytest.mark.step("O15")
def test_a_process_is_not_killed_when_its_job_has_moved_on(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have finished, and what it made would be lost."""
    job = backend.add_job("running", "executing", container="running")
    change = rows.change_job

    def moved(*arguments: Any, **named: Any) -> Any:
        backend.change(job, status_code="executed", status_message="Job has finished executing and is waiting to be finalized")
        return change(*arguments, **named)

    monkeypatch.setattr("ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.job.change_job", moved)
    failed = run_module("jobrunner_job", options(backend, journal_dir, job_id=[job], state="killed", settle=0))
    assert "has moved on since it was looked at: it is running (executed)" in failed["msg"]
    assert (failed["changed"], backend.row(job)["status_code"], backend.objects(job)["container"]) == (False, "executed", "running")
    monkeypatch.undo()
    run_ok("jobrunner_job", options(backend, journal_dir, job_id=[job], state="killed", settle=0))
    assert backend.row(job)["status_code"] == "killed_by_admin"


@pytest.mark.step("O15")
def test_a_job_that_ended_by_itself_meanwhile_stays_as_it_ended(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = backend.add_job("running", "executing", container="running")
    change = rows.change_job

    def ended(*arguments: Any, **named: Any) -> Any:
        backend.change(job, state="failed", status_code="nonzero_exit")
        return change(*arguments, **named)

    monkeypatch.setattr("ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.job.change_job", ended)
    failed = run_module("jobrunner_job", options(backend, journal_dir, job_id=[job], state="killed", settle=0))
    assert "it is failed (nonzero_exit). Its row was left alone; run it again" in failed["msg"]
    assert failed["changed"] is False
    assert backend.row(job)["status_code"] == "nonzero_exit"
