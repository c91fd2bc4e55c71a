# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows of the role with ansible-playbook, against a backend of the laboratory on this machine: images, single jobs, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.engine import busybox_root
from lab.jobrunner.backend import Backend
from lab.registry import Registry
from play import BIN, ROOT, Run

CORE = "opensafely-core"
PLAY = {"hosts": "jobrunner_backends", "gather_facts": False}


class Flows:
    """An operator of one backend."""

    def __init__(self, backend: Backend, directory: Path) -> None:
        self.backend, self.directory = backend, directory
        known = {f"jobrunner_{name}": value for name, value in backend.params.items()}
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "jobrunner_journal_dir": str(directory / "journal")}
        inventory = {"jobrunner_backends": {"hosts": {"localhost": {**known, **local}}}}
        (directory / "hosts.json").write_text(json.dumps(inventory), encoding="utf-8")

    def run(self, flow: str, check: bool = False, **variables: Any) -> Run:
        task = {"ansible.builtin.import_role": {"name": "fieldops.runbooks.jobrunner", "tasks_from": flow}}
        play = self.directory / f"{flow}.json"
        play.write_text(json.dumps([{**PLAY, "tasks": [task]}]), encoding="utf-8")
        report = self.directory / "report.json"
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "FIELDOPS_REPORT": str(report),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        command = ["ansible-playbook", "-i", str(self.directory / "hosts.json"), str(play), "-e", json.dumps(variables), *(["--check"] if check else [])]
        done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240, check=False)
        print(done.stdout)
        return Run(done.returncode, done.stdout, json.loads(report.read_text(encoding="utf-8")))


@pytest.fixture
def flows(backend: Backend, tmp_path: Path) -> Flows:
    return Flows(backend, tmp_path)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as made:
        made.put(f"{CORE}/r", "latest", busybox_root(), note="r")
        made.put(f"{CORE}/python", "v2", busybox_root(), note="python")
        yield made


@pytest.mark.step("O7")
def test_images_are_said_first_and_then_fetched(flows: Flows, registry: Registry) -> None:
    place = f"{registry.host}/{CORE}"
    variables = {"jobrunner_image": "r,python:v2", "jobrunner_registry": place}
    said = flows.run("image", **variables)
    assert said.rc == 0
    assert "jobrunner.image.missing" in said.standing
    assert flows.backend.engine.inspect(f"{place}/r:latest", "image") is None
    done = flows.run("image", jobrunner_repair=True, **variables)
    assert done.rc == 0
    assert sorted(done.plans) == sorted(said.plans)
    names = [f"{place}/r:latest", f"{registry.host}/opensafely/r:latest", f"{place}/python:v2", f"{registry.host}/opensafely/python:v2"]
    assert all(flows.backend.engine.inspect(name, "image") for name in names)
    assert flows.run("image", jobrunner_repair=True, **variables).changed == 0
    for name in names:
        flows.backend.engine.docker("image", "rm", name)


@pytest.mark.step("O9")
def test_single_jobs_by_whole_ids(flows: Flows) -> None:
    job = flows.backend.add_job("running", "executing", container="running", run="sh -c 'echo so far; sleep 1000'")
    run = flows.run("job_info", jobrunner_job_id=job, jobrunner_service_lines=0)
    assert (run.rc, run.changed) == (0, 0)
    assert f"container os-job-{job}" in run.output
    refused = flows.run("job_info", jobrunner_job_id=job[:6])
    assert refused.rc != 0
    assert job in refused.failures
    nobody = flows.run("job_info")
    assert nobody.rc != 0
    assert "jobrunner_job_id" in nobody.output
    assert "Name jobs by their whole ids" in flows.run("job_info", jobrunner_job_id=[]).failures


@pytest.mark.step("O2")
def test_no_unit_no_steering(flows: Flows) -> None:
    run = flows.run("service", jobrunner_service_state="restarted", jobrunner_service="nobody")
    assert run.rc != 0
    assert "There is no unit nobody to steer on this node" in run.failures
