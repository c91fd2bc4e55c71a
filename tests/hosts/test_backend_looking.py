# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend with a real systemd, sudo and Docker: looked at, its service steered by root and by opensafely, and seen through a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lab.hosts.backend_host import BackendHost
from lab.jobrunner.lab_secrets import MARK, SECRETS
from operating import Operator
from play import Run

ROLE = """
- hosts: backend
  gather_facts: false
  tasks:
    - name: One flow of the role
      ansible.builtin.import_role:
        name: fieldops.runbooks.jobrunner
        tasks_from: {flow}
"""
FAST = {"jobrunner_healthy_timeout": 40, "jobrunner_settle": 3, "jobrunner_service_settle": 3}


def flow(operator: Operator, name: str, check: bool = False, **variables: Any) -> Run:
    """One entry point of the role."""
    play = operator.directory / "flow.yml"
    play.write_text(ROLE.format(flow=name), encoding="utf-8")
    report = operator.directory / "report.json"
    report.unlink(missing_ok=True)
    command = operator.command("ansible-playbook", str(play), "-e", json.dumps({**FAST, **variables}), *(["--check"] if check else []))
    done = operator._call(command, timeout=400)
    return Run(done.returncode, done.stdout, json.loads(report.read_text(encoding="utf-8")))


def look(operator: Operator, backend: BackendHost, **options: Any) -> dict[str, Any]:
    return operator.module(backend, "jobrunner_info", service="jobrunner", **options)


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"].removeprefix("jobrunner.") for finding in result["findings"]}


# -- looking ------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O8")
def test_a_backend_that_works_without_an_option(backend: BackendHost, operator: Operator) -> None:
    job = backend.job_running()
    result = look(operator, backend, wait=20, settle=2)
    assert result["healthy"] is True
    assert [row["id"] for row in result["running"]] == [job]
    assert result["database"]["path"] == "/home/opensafely/jobrunner/workdir/db.sqlite"
    assert result["service"]["restarts"] == 0
    assert result["service"]["last_line_at"]
    assert not {code for code in codes(result) if code.startswith(("service.", "jobs.", "leftover.", "docker."))}
    assert all(secret not in json.dumps(result) for secret in SECRETS.values())
    assert backend.host.run(["find", "/home/opensafely/jobrunner/workdir", "-user", "root"]).stdout == ""


@pytest.mark.step("O2")
@pytest.mark.thorough
def test_a_restart_loop_that_systemctl_calls_active_now_and_then(backend: BackendHost, operator: Operator) -> None:
    backend.restart_loop()
    result = look(operator, backend)
    assert {"service.restart_loop", "jobs.unknown_code"} <= codes(result)
    backend.host.run(["systemctl", "reset-failed", "jobrunner"])
    run = flow(operator, "after_restart")
    assert run.rc != 0
    assert "jobrunner.service.restart_loop" in run.standing


@pytest.mark.step("O3")
@pytest.mark.parametrize("user", [pytest.param("root", marks=pytest.mark.thorough), "opensafely"])
def test_the_services_log_of_one_job(backend: BackendHost, operator: Operator, user: str) -> None:
    """As opensafely by the one command that sudoers allows."""
    backend.request("request-one", {"first": {"run": "python:v2 true"}})
    backend.host.wait_for(lambda: len(backend.rows()) == 1, "job-runner takes the request")
    (job,) = backend.rows()
    backend.wait_code(job, "succeeded")
    operator.variables = {"ansible_become": user != "root", "ansible_become_user": user, "ansible_become_method": "ansible.builtin.su"}
    result = operator.module(backend, "jobrunner_job_info", job_id=[job])
    (found,) = result["jobs"]
    assert found["missing"] == {}
    assert any("Completed successfully" in line["text"] for line in found["service_log"])
    assert all(job in line["text"] for line in found["service_log"])
    assert found["folders"]


# -- the service -----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O2")
@pytest.mark.parametrize("user", [pytest.param("root", marks=pytest.mark.thorough), "opensafely"])
@pytest.mark.thorough
def test_the_service_is_steered(backend: BackendHost, operator: Operator, user: str) -> None:
    if user != "root":
        operator.variables = {"ansible_become": True, "ansible_become_user": user, "ansible_become_method": "ansible.builtin.su"}
    pid = backend.unit("MainPID")["MainPID"]
    assert flow(operator, "service", check=True, jobrunner_service_state="restarted").rc == 0
    assert backend.unit("MainPID")["MainPID"] == pid
    assert flow(operator, "service", jobrunner_service_state="restarted").rc == 0
    assert backend.unit("MainPID")["MainPID"] not in (pid, "0")
    stopped = flow(operator, "service", jobrunner_service_state="stopped")
    assert (stopped.rc, stopped.changed) == (0, 1)
    assert backend.unit("ActiveState")["ActiveState"] == "inactive"
    assert flow(operator, "service", jobrunner_service_state="stopped").changed == 0
    started = flow(operator, "service", jobrunner_service_state="started")
    assert (started.rc, started.changed) == (0, 1)
    assert flow(operator, "service", jobrunner_service_state="started").changed == 0
    assert backend.unit("ActiveState")["ActiveState"] == "active"


@pytest.mark.step("O2")
def test_a_service_that_dies_again_is_not_called_started(backend: BackendHost, operator: Operator) -> None:
    backend.stop()
    backend.unknown_code()
    run = flow(operator, "service", jobrunner_service_state="started")
    assert run.rc != 0
    assert "jobrunner.jobs.unknown_code" in run.standing or "restart" in run.failures or "ended" in run.failures


@pytest.mark.step("O2")
def test_another_state_is_refused(backend: BackendHost, operator: Operator) -> None:
    run = flow(operator, "service", jobrunner_service_state="reloaded")
    assert run.rc != 0
    assert all(word in run.failures for word in ("jobrunner_service_state", "started, stopped, restarted", "reloaded"))
    assert backend.unit("ActiveState")["ActiveState"] == "active"


# -- after a restart -----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O21")
@pytest.mark.thorough
def test_jobs_that_waited_are_taken_up_and_the_pause_is_not_forgotten(backend: BackendHost, operator: Operator) -> None:
    backend.stop()
    job = backend.add_job("pending", "waiting_on_reboot", volume=False, run="sh -c 'sleep 1000'")
    seen = operator.play("jobrunner_after_restart", backend, **{**FAST, "jobrunner_healthy_timeout": 3})
    assert seen.rc != 0
    assert "jobrunner.service.stopped" in seen.standing
    assert backend.code(job) == "waiting_on_reboot"
    assert operator.play("jobrunner_after_restart", backend, check=True, jobrunner_repair=True, **FAST).rc == 0
    assert backend.unit("ActiveState")["ActiveState"] == "inactive"
    run = operator.play("jobrunner_after_restart", backend, jobrunner_repair=True, **FAST)
    assert run.rc == 0
    assert backend.code(job) in ("preparing", "prepared", "executing")
    backend.paused()
    run = operator.play("jobrunner_after_restart", backend, **FAST)
    assert (run.rc, run.changed) == (0, 0)
    assert "jobrunner.flag.paused" in run.standing


@pytest.mark.step("O21")
def test_an_unfinished_preparation_keeps_it_from_starting(backend: BackendHost, operator: Operator) -> None:
    left = backend.leftovers()
    run = operator.play("jobrunner_after_restart", backend, jobrunner_repair=True, **FAST)
    assert run.rc != 0
    assert "was cut off" in run.failures
    assert backend.unit("ActiveState")["ActiveState"] == "inactive"
    assert backend.code(left["reset"]) == "waiting_on_reboot"
    assert {"jobrunner.reboot.unfinished", "jobrunner.leftover.unknown", "jobrunner.service.stopped"} <= run.standing


@pytest.mark.step("O9")
def test_no_secret_gets_into_the_log_of_the_node(backend: BackendHost, operator: Operator) -> None:
    """Ansible writes every call there."""
    job = backend.job_running(database=True)
    assert MARK in backend.host.run(["docker", "inspect", f"os-job-{job}"]).stdout
    result = operator.module(backend, "jobrunner_job_info", job_id=[job])
    look(operator, backend, stats=True)
    calls = [line for line in backend.host.run(["journalctl", "--output=short", "--no-pager"]).stdout.splitlines() if "ansible-fieldops" in line]
    assert {"jobrunner_job_info" in line for line in calls} == {True, False}
    assert MARK not in "".join(calls)
    assert MARK not in json.dumps(result)


@pytest.mark.step("O12")
def test_what_a_real_engine_measures(backend: BackendHost, operator: Operator) -> None:
    busy = backend.job_running(run="sh -c 'while :; do :; done'")
    idle = backend.job_running()
    used = {row["id"]: row for row in look(operator, backend, stats=True)["running"]}
    assert used[busy]["cpus"] > 0.2
    assert used[idle]["cpus"] < 0.1
    assert used[busy]["memory"] is not None


@pytest.mark.step("O8")
def test_the_sweep_changes_nothing_and_names_one_job(backend: BackendHost, operator: Operator) -> None:
    job = backend.job_running()
    before = backend.rows()
    run = operator.play("jobrunner_triage", backend, jobrunner_job_id=job)
    assert (run.rc, run.changed) == (0, 0)
    after = backend.rows()
    assert {key: value for key, value in after[job].items() if key != "updated_at"} == {key: value for key, value in before[job].items() if key != "updated_at"}
    assert any(finding["subject"] == job for finding in run.report["findings"])
    assert all(secret not in run.output for secret in SECRETS.values())
