# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploys, settings and updates on a backend with a real systemd, sudo and git, by root and by opensafely."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lab.hosts.backend_host import BackendHost
from lab.jobrunner.lab_secrets import SECRETS
from operating import Operator

FAST = {"jobrunner_healthy_timeout": 60, "jobrunner_settle": 3, "jobrunner_service_settle": 3, "jobrunner_deploy_settle": 4}
OPENSAFELY = {"ansible_become": True, "ansible_become_user": "opensafely", "ansible_become_method": "ansible.builtin.su"}
MANAGE = {"jobrunner_manage_command": ["scripts/manage.sh"]}


def heads(backend: BackendHost) -> tuple[str, str]:
    return backend.git("code", "rev-parse", "HEAD"), backend.git("lib", "rev-parse", "HEAD")


def no_secret(text: str) -> None:
    assert all(secret not in text for secret in SECRETS.values() if len(secret) > 3)


@pytest.mark.step("O6")
@pytest.mark.parametrize("user", [pytest.param("root", marks=pytest.mark.thorough), "opensafely"])
def test_deployed_as_predicted_with_a_migration(backend: BackendHost, operator: Operator, user: str) -> None:
    """opensafely restarts the service by the one command that sudoers allows. A job that runs goes on."""
    if user != "root":
        operator.variables = OPENSAFELY
    job = backend.job_running()
    container = backend.objects(job)["container"]
    before, pid = heads(backend), backend.unit("MainPID")["MainPID"]
    backend.behind()
    backend.ctime_dirty()
    predicted = operator.play("jobrunner_deploy", backend, check=True, **FAST)
    assert (predicted.rc, heads(backend), backend.unit("MainPID")["MainPID"]) == (0, before, pid)
    run = operator.play("jobrunner_deploy", backend, jobrunner_approved_plan=predicted.plans[0], **FAST)
    assert run.rc == 0, run.failures
    assert run.changes == predicted.changes
    assert [change["action"] for change in run.changes] == ["update", "update", "migrate", "restart"]
    assert heads(backend) == (backend.git("code", "rev-parse", "origin/main"), backend.git("lib", "rev-parse", "origin/main"))
    assert heads(backend) != before
    assert backend.unit("MainPID")["MainPID"] not in (pid, "0")
    assert backend.objects(job)["container"] == container == "running"
    assert backend.host.run(["find", "/home/opensafely/jobrunner", "-user", "root"]).stdout == ""
    again = operator.play("jobrunner_deploy", backend, **FAST)
    assert (again.rc, again.changed) == (0, 0)
    no_secret(predicted.output + run.output + again.output)


@pytest.mark.step("O6")
@pytest.mark.thorough
def test_dependencies_alone_are_deployed_and_taken_back(backend: BackendHost, operator: Operator) -> None:
    before = heads(backend)
    backend.behind("lib")
    run = operator.play("jobrunner_deploy", backend, **FAST)
    assert run.rc == 0, run.failures
    assert [change["subject"].partition(" ")[0] for change in run.changes] == ["lib", "service:jobrunner.service"]
    pid = backend.unit("MainPID")["MainPID"]
    undone = operator.undo(run)
    assert undone.returncode == 0, undone.stdout
    assert heads(backend) == before
    assert backend.unit("MainPID")["MainPID"] not in (pid, "0")


@pytest.mark.step("O6")
def test_code_without_its_dependencies_is_not_restarted_into(backend: BackendHost, operator: Operator) -> None:
    """Upstream's script updates the code alone, and the service does not come up."""
    backend.behind("code")
    pid = backend.unit("MainPID")["MainPID"]
    run = operator.play("jobrunner_deploy", backend, **FAST)
    assert run.rc != 0
    assert "the dependencies are version 1" in run.failures
    assert backend.unit("MainPID", "ActiveState") == {"MainPID": pid, "ActiveState": "active"}


@pytest.mark.step("O6")
def test_local_changes_stop_a_deploy(backend: BackendHost, operator: Operator) -> None:
    before = heads(backend)
    backend.behind()
    file = backend.dirty_checkout()
    run = operator.play("jobrunner_deploy", backend, **FAST)
    assert run.rc != 0
    assert f"local changes that the deploy would destroy, in {file}" in run.output
    assert heads(backend) == before


@pytest.mark.step("O5")
@pytest.mark.parametrize("user", [pytest.param("root", marks=pytest.mark.thorough), "opensafely"])
def test_a_variable_is_set_seen_by_the_service_and_taken_back(backend: BackendHost, operator: Operator, user: str) -> None:
    if user != "root":
        operator.variables = OPENSAFELY
    local = "/home/opensafely/config/04_local.env"
    before = backend.host.run(["cat", local]).stdout
    wanted: dict[str, Any] = {"jobrunner_settings": [{"name": "POLL_INTERVAL", "value": "2"}], "jobrunner_setting_restart": True}
    predicted = operator.play("jobrunner_setting", backend, check=True, **wanted, **FAST)
    assert (predicted.rc, backend.host.run(["cat", local]).stdout) == (0, before)
    run = operator.play("jobrunner_setting", backend, **wanted, **FAST)
    assert run.rc == 0, run.failures
    environment = backend.host.run(["cat", f"/proc/{backend.unit('MainPID')['MainPID']}/environ"]).stdout
    assert "POLL_INTERVAL=2\0" in environment
    assert backend.host.run(["stat", "-c", "%U:%G %a", local]).stdout.split() == ["opensafely:opensafely", "640"]
    shell = backend.host.run(["bash", "-c", ". ~/config/load-env; echo $POLL_INTERVAL"], user="opensafely", env={"HOME": "/home/opensafely"}).stdout
    assert shell.strip() == "2"
    again = operator.play("jobrunner_setting", backend, **wanted, **FAST)
    assert (again.rc, again.changed) == (0, 0)


@pytest.mark.step("O1", "O4")
def test_an_update_mends_what_has_drifted(backend: BackendHost, operator: Operator) -> None:
    backend.drift()
    seen = operator.module(backend, "jobrunner_update_info", ref="origin/main")
    (drift,) = [finding for finding in seen["findings"] if finding["code"] == "jobrunner.config.drift"]
    assert "POLL_INTERVAL" in drift["summary"]
    no_secret(json.dumps(seen))
    checked = operator.play("jobrunner_update_backend", backend, check=True, **MANAGE, **FAST)
    assert checked.rc == 0, checked.failures
    assert "POLL_INTERVAL=99" in backend.host.run(["cat", "/home/opensafely/config/01_defaults.env"]).stdout
    run = operator.play("jobrunner_update_backend", backend, **MANAGE, **FAST)
    assert run.rc == 0, run.failures
    assert "POLL_INTERVAL=99" not in backend.host.run(["cat", "/home/opensafely/config/01_defaults.env"]).stdout
    assert "jobrunner.config.drift" not in run.standing
    assert "jobrunner.config.overwritten" in run.standing


@pytest.mark.step("O1")
def test_an_update_from_a_dirty_checkout_is_refused(backend: BackendHost, operator: Operator) -> None:
    backend.dirty_checkout("backend-server")
    run = operator.play("jobrunner_update_backend", backend, **MANAGE, **FAST)
    assert run.rc != 0
    assert "has local changes" in run.failures


@pytest.mark.step("O1")
def test_an_update_that_restarts_docker_waits_for_jobs(backend: BackendHost, operator: Operator) -> None:
    """The recipe of some backends upgrades all packages. What apt would do is told by a stand-in of it."""
    apt = "/usr/local/bin/apt-get"
    try:
        backend.host.put(b"manage-test: install-packages install\n", "/srv/backend-server/justfile", mode=0o644)
        backend.host.put(b"#!/bin/sh\necho 'Inst docker.io [20.10.24] (24.0.5 Debian:12 [amd64])'\n", apt, mode=0o755)
        job = backend.job_running()
        run = operator.play("jobrunner_update_backend", backend, **MANAGE, **FAST)
        assert run.rc != 0
        assert "docker.io to 24.0.5" in run.failures
        assert f"1 jobs run: {job}" in run.failures
        assert backend.objects(job)["container"] == "running"
        backend.clear()
        assert operator.play("jobrunner_update_backend", backend, check=True, **MANAGE, **FAST).rc == 0
    finally:
        backend.host.run(["rm", "-f", apt, "/srv/backend-server/justfile"])


@pytest.mark.step("O5")
def test_a_secret_is_set_and_shown_nowhere(backend: BackendHost, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_VERBOSITY", "3")
    secret = "sesame-4f1c9a77"
    run = operator.play("jobrunner_setting", backend, jobrunner_secret_settings={"STATA_LICENSE": secret}, **FAST)
    assert run.rc == 0, run.failures
    assert [change["subject"] for change in run.changes] == ["STATA_LICENSE in /home/opensafely/config/02_secrets.env"]
    assert f"STATA_LICENSE={secret}\n" in backend.host.run(["cat", "/home/opensafely/config/02_secrets.env"]).stdout
    assert backend.host.run(["stat", "-c", "%U %a", "/home/opensafely/config/02_secrets.env"]).stdout.split() == ["opensafely", "600"]
    kept = backend.host.run(["sh", "-c", "cat /var/lib/fieldops/runbooks/runs/*; journalctl --no-pager --since=-5min"]).stdout
    assert "jobrunner_setting" in kept
    assert secret not in run.output + json.dumps(run.report) + kept
    no_secret(run.output + kept)
