# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reboots, planned and not, on a backend with a real systemd: the service is stopped, timers fire when nobody is there, jobs start anew."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lab.hosts.backend_host import BackendHost
from operating import Operator

DIRECTORY = "/var/lib/fieldops/jobrunner-maintenance"
UNIT = "fieldops-jobrunner-maintenance"
GONE = {"container": None, "manager": None, "volume": None}
RUNS = {"run": "sleep 100000"}


def timers(backend: BackendHost) -> str:
    return backend.host.run(["systemctl", "list-timers", "--all", "--no-pager", f"{UNIT}*"]).stdout


def report(backend: BackendHost) -> dict[str, Any]:
    """What the node itself has left, once it is there."""
    backend.host.wait_for(lambda: backend.host.run(["test", "-e", f"{DIRECTORY}/report.json"], check=False).returncode == 0, "the report", 60)
    found: dict[str, Any] = json.loads(backend.host.run(["cat", f"{DIRECTORY}/report.json"]).stdout)
    return found


@pytest.fixture(autouse=True)
def nothing_planned(backend: BackendHost) -> Any:
    yield
    backend.host.run(["systemctl", "stop", f"{UNIT}.timer"], check=False)
    backend.host.run(["rm", "-rf", DIRECTORY])


@pytest.mark.step("O20")
def test_it_fires_after_the_run_has_ended_and_leaves_its_report(backend: BackendHost, operator: Operator) -> None:
    job = backend.job_running(**RUNS)
    predicted = operator.play("jobrunner_planned_maintenance", backend, check=True, jobrunner_maintenance_in="12s")
    assert predicted.rc == 0
    assert UNIT not in timers(backend)
    planned = operator.play("jobrunner_planned_maintenance", backend, jobrunner_maintenance_in="12s")
    assert planned.rc == 0, planned.output
    # That run, its connection and its processes are gone. Nothing but the node is left.
    assert UNIT in timers(backend)
    assert backend.unit("ActiveState")["ActiveState"] == "active"
    found = report(backend)
    assert (found["status"], found["ready"]) == ("ok", True), found["msg"]
    assert backend.unit("ActiveState")["ActiveState"] == "inactive"
    assert backend.objects(job) == GONE
    assert backend.code(job) == "waiting_on_reboot"
    assert "0 timers listed" in timers(backend)
    seen = operator.play("jobrunner_planned_maintenance", backend)
    assert seen.rc == 0
    assert seen.changed == 0
    backend.start()
    backend.wait_code(job, "executing")


@pytest.mark.step("O20")
@pytest.mark.thorough
def test_cancelled_it_leaves_nothing_behind(backend: BackendHost, operator: Operator) -> None:
    assert operator.play("jobrunner_planned_maintenance", backend, jobrunner_maintenance_at="2099-01-31 04:00").rc == 0
    assert "2099-01-31" in timers(backend)
    again = operator.play("jobrunner_planned_maintenance", backend, jobrunner_maintenance_at="2099-01-31 04:00")
    assert (again.rc, again.changed) == (0, 0)
    cancelled = operator.play("jobrunner_planned_maintenance", backend, jobrunner_maintenance_state="absent")
    assert (cancelled.rc, cancelled.changed) == (0, 1)
    assert "0 timers listed" in timers(backend)
    for suffix in ("timer", "service"):
        shown = backend.host.run(["systemctl", "show", "--property=LoadState", f"{UNIT}.{suffix}"]).stdout
        assert shown.strip() == "LoadState=not-found"
    assert backend.host.run(["test", "-e", DIRECTORY], check=False).returncode == 1
    assert backend.unit("ActiveState")["ActiveState"] == "active"


@pytest.mark.step("O20")
def test_a_time_that_never_comes_is_refused(backend: BackendHost, operator: Operator) -> None:
    for wrong in ("2001-01-31 04:00", "at night"):
        failed = operator.module(backend, "jobrunner_maintenance", on_calendar=wrong)
        assert "is no time to come for systemd" in failed["msg"]
    assert "is no time span for systemd" in operator.module(backend, "jobrunner_maintenance", on_active="soon")["msg"]
    assert "0 timers listed" in timers(backend)


@pytest.mark.step("O19")
def test_jobs_are_reset_and_start_anew(backend: BackendHost, operator: Operator) -> None:
    job = backend.job_running(**RUNS)
    looked = operator.play("jobrunner_prepare_for_reboot", backend)
    assert looked.rc == 0, looked.output
    assert looked.changed == 0
    assert backend.code(job) == "executing"
    done = operator.play("jobrunner_prepare_for_reboot", backend, jobrunner_repair=True)
    assert done.rc == 0, done.output
    assert done.plans == looked.plans
    assert backend.unit("ActiveState")["ActiveState"] == "inactive"
    assert backend.objects(job) == GONE
    again = operator.play("jobrunner_prepare_for_reboot", backend, jobrunner_repair=True)
    assert (again.rc, again.changed) == (0, 0)
    backend.start()
    backend.wait_code(job, "executing")


@pytest.mark.step("O19")
@pytest.mark.thorough
def test_refused_while_the_service_runs_and_stopped_by_its_own_user(backend: BackendHost, operator: Operator) -> None:
    """opensafely may stop the service by one command, word for word, and by no other."""
    job = backend.job_running(**RUNS)
    operator.variables = {"ansible_become": True, "ansible_become_user": "opensafely"}
    refused = operator.module(backend, "jobrunner_prepare_for_reboot", stop_service=False)
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["service_running"]
    assert backend.code(job) == "executing"
    done = operator.module(backend, "jobrunner_prepare_for_reboot", stop_service=True)
    assert not done.get("failed"), done
    assert done["ready"] is True
    assert [change["subject"] for change in done["changes"]][:1] == ["service:jobrunner.service"]
    assert backend.unit("ActiveState")["ActiveState"] == "inactive"
    undone = operator.module(backend, "runbook_undo", undo_id=done["undo_id"], changes=[0])
    assert not undone.get("failed"), undone
    assert backend.unit("ActiveState")["ActiveState"] == "active"
    backend.wait_code(job, "executing")


@pytest.mark.step("O22")
@pytest.mark.step("O23")
def test_paused_drained_and_unpaused(backend: BackendHost, operator: Operator) -> None:
    job = backend.job_running(**RUNS)
    paused = operator.play("jobrunner_pause", backend, jobrunner_drain_timeout=2)
    assert paused.rc == 0, paused.output
    assert job in paused.output
    waits = backend.add_job("pending", "created", action="waits", volume=False, run="true")
    backend.wait_code(waits, "paused")
    assert backend.code(job) == "executing"
    assert operator.play("jobrunner_pause", backend).changed == 0
    assert operator.play("jobrunner_pause", backend, jobrunner_pause_state="unpaused").changed == 1
    backend.host.wait_for(lambda: backend.row(waits)["state"] != "pending", "the job starts")


@pytest.mark.step("O14")
@pytest.mark.step("O15")
def test_a_job_is_killed_and_another_retried_beside_the_service(backend: BackendHost, operator: Operator) -> None:
    job = backend.job_running(**RUNS)
    killed = operator.module(backend, "jobrunner_job", job_id=[job], state="killed", cleanup=True)
    assert not killed.get("failed"), killed
    assert backend.code(job) == "killed_by_admin"
    assert backend.objects(job) == GONE
    owners = backend.host.run(["sh", "-c", f"stat -c '%U:%G %a' /srv/high_privacy/logs/*/os-job-{job}/*"]).stdout.split("\n")
    assert set(owners) - {""} == {"opensafely:opensafely 640"}
    broke = backend.job_internal_error()
    backend.unblock()
    retried = operator.module(backend, "jobrunner_job", job_id=[broke], state="retried", settle=0)
    assert not retried.get("failed"), retried
    assert "jobrunner.job.service_down" in [finding["code"] for finding in retried["findings"]]
    backend.start()
    backend.host.wait_for(lambda: backend.row(broke)["state"] != "running", "the job is filed")
    assert backend.code(broke) in ("succeeded", "unmatched_patterns")


@pytest.mark.step("O21", "O23")
def test_the_whole_of_a_reboot(backend: BackendHost, operator: Operator) -> None:
    """Pause, prepare, reboot, see that it works, unpause; the machine is halted and booted again from outside."""
    job = backend.job_running(**RUNS)
    assert operator.play("jobrunner_pause", backend).rc == 0
    prepared = operator.play("jobrunner_prepare_for_reboot", backend, jobrunner_repair=True)
    assert prepared.rc == 0, prepared.output
    assert backend.objects(job) == GONE
    backend.host.halt()
    backend.host.start()
    after = operator.play("jobrunner_after_restart", backend, jobrunner_repair=True)
    assert after.rc == 0, after.output
    assert backend.unit("ActiveState")["ActiveState"] == "active"
    assert backend.code(job) == "paused"
    assert "jobrunner.flag.paused" in after.standing
    assert operator.play("jobrunner_pause", backend, jobrunner_pause_state="unpaused").changed == 1
    backend.wait_code(job, "executing")
