# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a job from beside it: a real container with the job's volume, and a real trace of real processes, which are let go."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import debug
from lab.jobrunner.backend import REGISTRY, SECRETS, Backend
from play import eventually
from support import run_module, run_ok, run_refused

TOOLS = f"{REGISTRY}/busybox:latest"
needs_strace = pytest.mark.skipif(os.geteuid() != 0 or shutil.which("strace") is None, reason="only root can trace, with strace")


class Side:
    """A backend, and what stands beside its jobs."""

    def __init__(self, backend: Backend, journal: str) -> None:
        self.backend, self.journal = backend, journal

    def arguments(self, job: str, **options: Any) -> dict[str, Any]:
        return {**self.backend.params, "job_id": job, "image": TOOLS, "journal_dir": self.journal, **options}

    def ok(self, job: str, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok("jobrunner_debug", self.arguments(job, **options), check=check)

    def refused(self, job: str, **options: Any) -> str:
        return str(run_refused("jobrunner_debug", self.arguments(job, **options))["msg"])

    def undo(self, undo_id: str) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": undo_id, "journal_dir": self.journal})

    def status(self, job: str) -> str | None:
        seen = self.backend.engine.inspect(f"os-debug-{job}")
        return None if seen is None else str(seen["State"]["Status"])

    def exec(self, job: str, *command: str) -> str:
        return self.backend.engine.docker("exec", f"os-debug-{job}", *command)


@pytest.fixture
def side(backend: Backend, journal_dir: str) -> Side:
    return Side(backend, journal_dir)


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("jobrunner.debug.") for finding in result["findings"]]


# -- a container with the volume ------------------------------------------------------------------------------------------


@pytest.mark.step("O11")
@pytest.mark.parametrize("volume", [True, "directory"])
def test_a_container_beside_a_job(side: Side, volume: bool | str) -> None:
    job = side.backend.add_job("running", "executing", container="running", volume=volume)
    side.backend.engine.docker("exec", f"os-job-{job}", "sh", "-c", "echo so far >/workspace/partial.txt")
    predicted = side.ok(job, check=True)
    assert side.status(job) is None
    assert codes(predicted) == ["absent"]
    result = side.ok(job, approved_plan=predicted["plan_sha256"])
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    assert codes(result) == ["present"]
    assert side.status(job) == "running"
    assert side.exec(job, "cat", "/workspace/partial.txt") == "so far"
    with pytest.raises(Exception, match="Read-only"):
        side.exec(job, "sh", "-c", "echo mine >/workspace/partial.txt")
    again = side.ok(job)
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)
    assert side.undo(result["undo_id"])["changed"]
    assert side.status(job) is None
    assert side.undo(result["undo_id"])["changed"] is False
    assert side.backend.objects(job)["container"] == "running"


@pytest.mark.step("O11")
def test_removed_and_given_back(side: Side) -> None:
    job = side.backend.add_job("failed", "internal_error", container="exited")
    side.ok(job, writable=True, lifetime=900)
    side.exec(job, "sh", "-c", "echo mine >/workspace/mine.txt")
    result = side.ok(job, state="absent")
    assert (result["changes"][0]["reversible"], result["changes"][0].get("data_loss")) == (True, None)
    assert side.status(job) is None
    assert side.ok(job, state="absent")["changed"] is False
    assert side.undo(result["undo_id"])["changed"]
    assert side.status(job) == "running"
    assert side.exec(job, "cat", "/workspace/mine.txt") == "mine"
    assert side.ok(job, writable=True, lifetime=900)["changed"] is False


@pytest.mark.step("O11")
def test_what_was_written_beside_the_volume_is_not_lost_unseen(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    made = side.ok(job)
    side.exec(job, "sh", "-c", "echo notes >/etc/notes.txt")
    said = run_refused("jobrunner_debug", side.arguments(job, state="absent"))
    (change,) = said["changes"]
    assert change["data_loss"] == f"files written in os-debug-{job} outside /workspace"
    assert "which would be lost" in side.undo(made["undo_id"])["msg"]
    assert side.exec(job, "cat", "/etc/notes.txt") == "notes"
    side.ok(job, state="absent", accept_data_loss=[change["data_loss"]])
    assert side.status(job) is None


@pytest.mark.step("O11")
def test_its_time_ends(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    side.ok(job, lifetime=1)
    eventually(lambda: side.status(job) is None)


@pytest.mark.step("O11")
def test_privileged_only_when_asked(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    side.ok(job)
    seen = side.backend.engine.inspect(f"os-debug-{job}")
    assert seen is not None
    assert (seen["HostConfig"]["Privileged"], seen["HostConfig"]["PidMode"], seen["HostConfig"]["NetworkMode"]) == (False, "", "none")
    assert "other settings: privileged False" in side.refused(job, privileged=True)


@pytest.mark.step("O11")
def test_what_cannot_be_is_refused(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    gone = side.backend.add_job("succeeded", "succeeded", volume=False)
    assert "has no volume" in side.refused(gone)
    assert "nothing is pulled along the way" in side.refused(job, image="registry.example.org/none:at-all")
    assert "no whole job id" in side.refused(job[:8])
    assert "is no job id" in side.refused("a b; rm")
    assert "lifetime must be 1 to" in side.refused(job, lifetime=0)
    assert "image is empty" in side.refused(job, image="")
    assert "no engine answers" in side.refused(job, docker_host="unix:///nowhere.sock")
    side.backend.engine.docker("run", "--detach", "--network=none", "--name", f"os-debug-{gone}", TOOLS, "sleep", "1000")
    assert "did not make" in side.refused(gone)
    assert "did not make" in side.refused(gone, state="absent")
    assert side.status(gone) == "running"


@pytest.mark.step("O11")
def test_one_that_cannot_be_started_leaves_nothing(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    real = debug.configuration
    with mock.patch.object(debug, "configuration", lambda image: dict(real(image), Entrypoint=["no-such-program"])):
        said = side.refused(job)
    assert "refused to create container" in said
    assert side.status(job) is None
    assert side.backend.engine.inspect(f"os-debug-{job}.new") is None


@pytest.mark.step("O11")
def test_a_start_that_was_cut_off_is_taken_up_or_cleared_away(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    name = f"os-debug-{job}.new"
    options = ["--network=none", "--label=fieldops.runbooks.debug=x", f"--volume=os-volume-{job}:/workspace:ro", "--name", name]
    side.backend.engine.docker("create", *options, TOOLS, "sleep", "1000")
    assert side.ok(job)["changed"]
    assert side.backend.engine.inspect(name) is None
    side.ok(job, state="absent")
    side.backend.engine.docker("create", *options, TOOLS, "sleep", "1000")
    assert [change["subject"] for change in side.ok(job, state="absent")["changes"]] == [f"container:{name}"]
    assert side.backend.engine.inspect(name) is None


# -- a trace ------------------------------------------------------------------------------------------------------------------


def host_pid(backend: Backend, job: str) -> int:
    seen = backend.engine.inspect(f"os-job-{job}")
    assert seen is not None
    return int(seen["State"]["Pid"])


def tracer(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("TracerPid:"))


@needs_strace
@pytest.mark.step("O13")
def test_a_job_that_works(side: Side) -> None:
    busy = "sh -c 'while :; do cat /etc/passwd >/dev/null; sleep 0.05; done'"
    job = side.backend.add_job("running", "executing", container="running", run=busy)
    other = side.backend.add_job("running", "executing", container="running", run=busy)
    result = side.ok(job, state="traced", trace_seconds=1.5, trace_lines=20)
    assert result["changed"] is False
    assert codes(result) == ["working"]
    pids = {process["pid"] for process in result["processes"]}
    assert host_pid(side.backend, job) in pids
    assert host_pid(side.backend, other) not in pids
    assert {call["name"] for call in result["trace"]["syscalls"]} & {"read", "open", "openat", "wait4", "clock_nanosleep", "nanosleep"}
    assert 0 < len(result["trace"]["lines"]) <= 20
    assert not any("root:x:0" in line for line in result["trace"]["lines"])
    assert all(tracer(pid) == 0 for pid in pids if Path(f"/proc/{pid}").exists())
    assert side.backend.objects(job)["container"] == "running"


@needs_strace
@pytest.mark.step("O13")
def test_a_job_that_waits(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    result = side.ok(job, state="traced", trace_seconds=1)
    assert codes(result) == ["waiting"]
    assert any("sleep" in each["call"] or "restart_syscall" in each["call"] for each in result["trace"]["waiting"])
    assert "waits" in result["findings"][0]["summary"]


@needs_strace
@pytest.mark.step("O13")
def test_a_job_that_computes(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running", run="sh -c 'while :; do :; done'")
    result = side.ok(job, state="traced", trace_seconds=1)
    assert codes(result) == ["computing"]


@needs_strace
@pytest.mark.step("O13")
def test_check_mode_names_them_and_traces_nobody(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    result = side.ok(job, check=True, state="traced", trace_seconds=200)
    assert result["trace"] is None
    assert codes(result) == ["would_trace"]
    assert host_pid(side.backend, job) in {process["pid"] for process in result["processes"]}


@needs_strace
@pytest.mark.step("O13")
def test_one_process_only_and_only_of_the_job(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    pid = host_pid(side.backend, job)
    assert [process["pid"] for process in side.ok(job, state="traced", trace_seconds=0.5, pid=pid)["processes"]] == [pid]
    assert f"process {os.getpid()} is none of job {job}" in side.refused(job, state="traced", pid=os.getpid())


@needs_strace
@pytest.mark.step("O13")
def test_a_process_that_is_traced_already(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    pid = host_pid(side.backend, job)
    first = subprocess.Popen(["strace", "-q", "-p", str(pid)], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: tracer(pid))
        assert f"traced already, by process {first.pid}" in side.refused(job, state="traced")
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(10)


@needs_strace
@pytest.mark.step("O13")
def test_a_module_that_is_killed_leaves_no_tracer_behind(side: Side) -> None:
    job = side.backend.add_job("running", "executing", container="running")
    pid = host_pid(side.backend, job)
    child = os.fork()
    if child == 0:
        side.ok(job, state="traced", trace_seconds=2)
        os._exit(0)
    eventually(lambda: tracer(pid))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    eventually(lambda: tracer(pid) == 0)
    time.sleep(0.2)
    assert side.backend.objects(job)["container"] == "running"


@needs_strace
@pytest.mark.step("O13")
def test_no_secret_of_the_job_is_shown(side: Side) -> None:
    job = side.backend.add_job(
        "running", "executing", container="running", database=True, run="sh -c 'while :; do ls $DATABASE_URL 2>/dev/null; sleep 0.1; done'"
    )
    result = side.ok(job, state="traced", trace_seconds=1, trace_lines=1000)
    assert result["trace"]["lines"]
    assert not any(secret in str(result) for secret in SECRETS.values())
    assert "lab-secret" not in str(result)


@pytest.mark.step("O13")
def test_no_trace_of_what_does_not_run(side: Side) -> None:
    ended = side.backend.add_job("running", "executed", container="exited")
    none = side.backend.add_job("pending", "created", volume=False)
    assert "has ended" in side.refused(ended, state="traced")
    assert f"there is no os-job-{none}" in side.refused(none, state="traced")
    assert "trace_seconds must be" in side.refused(ended, state="traced", trace_seconds=301)
    assert "trace_lines must be" in side.refused(ended, state="traced", trace_lines=-1)
