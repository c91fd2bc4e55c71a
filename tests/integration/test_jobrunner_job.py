# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that are killed and retried, with real containers, beside a stand-in of job-runner: what its own commands leave, and where they are wrong."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine
from lab.jobrunner.backend import SECRETS, Backend
from support import run_module, run_ok, run_refused

BOTH = pytest.mark.parametrize(
    "backend", [pytest.param({"user_version": 2}, marks=pytest.mark.thorough), {"user_version": 3, "journal_mode": "wal"}], indirect=True, ids=["v2", "v3-wal"]
)
TIMES = ("completed_at", "updated_at", "status_code_updated_at", "started_at", "created_at")
RESULTS = {"output/table.csv": "a,b\n1,2\n", "output/dataset.arrow": "x"}
GONE = {"container": None, "manager": None, "volume": None}


def options(backend: Backend, journal_dir: str, *jobs: str, state: str = "killed", **more: Any) -> dict[str, Any]:
    return {**backend.params, "journal_dir": journal_dir, "job_id": list(jobs), "state": state, "settle": 0, **more}


def logs(backend: Backend, job: str) -> dict[str, Any]:
    """Names of the files that were saved of a job, and its metadata without what differs from container to container."""
    found = sorted(backend.high.glob(f"logs/*/os-job-{job}/*"))
    metadata = next((json.loads(path.read_text(encoding="utf-8")) for path in found if path.name == "metadata.json"), {})
    kept = {key: value for key, value in metadata.items() if key not in {"completed_at", "created_at", "container_metadata"}}
    return {"files": [str(path.relative_to(backend.high)) for path in found], "metadata": kept}


def picture(backend: Backend, *jobs: str) -> dict[str, Any]:
    """Everything that a kill may touch. Of times only whether they are there, and whether they are those of before."""
    rows = {name: {key: (value is not None) if key in TIMES else value for key, value in row.items()} for name, row in backend.rows().items()}
    return {"rows": rows, "objects": {job: backend.objects(job) for job in jobs}, "logs": {job: logs(backend, job) for job in jobs}}


def twins(engine: Engine, path: Path, fill: Callable[[Backend], list[str]], upstream: Callable[[Backend, list[str]], None], ours: Any, **layout: Any) -> None:
    """What upstream's command leaves on one backend, the module leaves on its twin."""
    pictures = []
    for number, act in enumerate((upstream, ours)):
        backend = Backend(path / f"twin-{number}", engine, **layout)
        try:
            jobs = fill(backend)
            act(backend, jobs)
            pictures.append(picture(backend, *jobs))
        finally:
            backend.close()
    assert pictures[0] == pictures[1]


def fill(backend: Backend) -> list[str]:
    jobs = [
        backend.add_job("running", "executing", action="runs", container="running"),
        backend.add_job("running", "executed", action="ended", container="exited", exit_code=3),
        backend.add_job("running", "prepared", action="prepared"),
        backend.add_job("pending", "waiting_on_workers", action="waits", volume=False),
        backend.add_job("failed", "internal_error", action="broke", container="exited", exit_code=1),
        backend.add_job("running", "executing", action="directory", container="running", volume="directory"),
        backend.add_job("succeeded", "succeeded", action="done", volume=False),
    ]
    backend.add_job("running", "executing", action="bystander", container="running")
    return jobs


@pytest.mark.step("O15")
@pytest.mark.parametrize("cleanup", [pytest.param(False, marks=pytest.mark.thorough), True], ids=["kept", "cleanup"])
@pytest.mark.parametrize("version", [pytest.param(2, marks=pytest.mark.thorough), 3])
def test_killed_as_upstream_kills(engine: Engine, tmp_path: Path, journal_dir: str, cleanup: bool, version: int) -> None:
    def upstream(backend: Backend, jobs: list[str]) -> None:
        for job in jobs:
            done = backend.cli("kill_job", *(["--cleanup"] if cleanup else []), job, answer="\n")
            assert done.returncode == 0, done.stderr

    def ours(backend: Backend, jobs: list[str]) -> None:
        accepted = [f"results of job {jobs[1]} (ended)"] if cleanup else []
        arguments = options(backend, journal_dir, *jobs, cleanup=cleanup, accept_data_loss=accepted)
        predicted = run_ok("jobrunner_job", arguments, check=True)
        done = run_ok("jobrunner_job", arguments)
        assert predicted["plan_sha256"] == done["plan_sha256"]
        assert [{**change, "done": True} for change in predicted["changes"]] == done["changes"]
        assert run_ok("jobrunner_job", arguments)["changed"] is False

    twins(engine, tmp_path, fill, upstream, ours, user_version=version)


@pytest.mark.step("O15")
@BOTH
def test_a_killed_job_ends_with_its_times_and_stays_killed(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="running", started_at=1706740000, status_code_updated_at=4102444800 * 10**9)
    other = backend.add_job("running", "executing", action="other", container="running")
    before = backend.row(other)
    done = run_ok("jobrunner_job", options(backend, journal_dir, job))
    row = backend.row(job)
    assert (row["state"], row["status_code"], row["status_message"]) == ("failed", "killed_by_admin", "An OpenSAFELY admin manually killed this job")
    assert row["started_at"] == 1706740000
    assert row["status_code_updated_at"] == 4102444800 * 10**9 + 10**6  # forced above the one before
    assert row["completed_at"] == row["updated_at"] == 4102444800
    assert backend.objects(job) == {"container": "exited", "manager": "running", "volume": "volume"}
    assert backend.row(other) == before
    backend.loop_turns(2)
    assert backend.row(job) == row
    assert [finding["code"] for finding in done["findings"]] == ["jobrunner.job.ended", "jobrunner.job.kept"]
    cleaned = run_ok("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert [change["action"] for change in cleaned["changes"]] == ["remove"] * 3
    assert backend.objects(job) == GONE
    assert backend.row(job) == row


@pytest.mark.step("O15")
def test_dependants_fail_in_the_next_turn_and_are_told_before(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="running")
    waits = backend.add_job("pending", "waiting_on_dependencies", action="b", volume=False, wait_for_job_ids=[job])
    predicted = run_ok("jobrunner_job", options(backend, journal_dir, job), check=True)
    assert [finding["detail"]["dependants"] for finding in predicted["findings"] if finding["code"] == "jobrunner.job.dependants"] == [[waits]]
    run_ok("jobrunner_job", options(backend, journal_dir, job))
    backend.loop_turns(1)
    assert backend.row(waits)["status_code"] == "dependency_failed"


@pytest.mark.step("O15")
def test_the_log_holds_no_secret_and_no_environment_is_needed(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="running", database=True, run="sh -c 'echo alive; sleep 100000'")
    broken = {**options(backend, journal_dir, job), "config_files": []}
    run_ok("jobrunner_job", broken)
    (folder,) = backend.high.glob(f"logs/*/os-job-{job}")
    metadata = json.loads((folder / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["status_message"] == "job killed by OpenSAFELY administrator"
    assert metadata["database_name"] == "default"
    assert metadata["exit_code"] == "137"
    assert any(line.startswith("DATABASE_URL=") for line in metadata["container_metadata"]["Config"]["Env"])
    everything = "".join(path.read_text(encoding="utf-8") for base in (backend.high, Path(journal_dir)) for path in base.rglob("*") if path.is_file())
    assert [secret for secret in SECRETS.values() if secret in everything] == []
    assert "lab-secret" not in everything
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


@pytest.mark.step("O15")
def test_finished_results_are_lost_only_by_name(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executed", container="exited", outputs=RESULTS)
    before = (backend.rows(), backend.objects(job))
    refused = run_refused("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert f"results of job {job} (a)" in refused["msg"]
    assert (backend.rows(), backend.objects(job)) == before
    run_ok("jobrunner_job", options(backend, journal_dir, job, cleanup=True, accept_data_loss=[f"results of job {job} (a)"]))
    assert backend.objects(job) == GONE


@pytest.mark.step("O15")
def test_a_kill_without_a_process_is_undone(backend: Backend, journal_dir: str) -> None:
    waits = backend.add_job("pending", "created", volume=False)
    ended = backend.add_job("running", "executed", action="ended", container="exited", outputs=RESULTS)
    before, files = backend.rows(), sorted(backend.high.rglob("*"))
    done = run_ok("jobrunner_job", options(backend, journal_dir, waits, ended))
    assert all(change["reversible"] for change in done["changes"])
    undone = run_ok("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    after = backend.rows()
    assert {job: {**row, "updated_at": 0} for job, row in after.items()} == {job: {**row, "updated_at": 0} for job, row in before.items()}
    assert [path for path in sorted(backend.high.rglob("*")) if path not in files and path.is_file()] == []
    assert run_ok("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})["changed"] is False
    assert undone["changed"] is True
    backend.loop_turns(20, until="idle")
    assert backend.row(ended)["status_code"] == "succeeded"


@pytest.mark.step("O15")
def test_an_older_log_of_the_month_is_written_over_and_not_undone(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("failed", "internal_error", container="exited", exit_code=1)
    folder = backend.high / "logs" / time.strftime("%Y-%m") / f"os-job-{job}"
    folder.mkdir(parents=True)
    (folder / "logs.txt").write_text("older", encoding="utf-8")
    (folder / "notes").write_text("of somebody", encoding="utf-8")
    done = run_ok("jobrunner_job", options(backend, journal_dir, job))
    assert [(change["action"], change["reversible"]) for change in done["changes"]] == [("save_logs", False)]
    assert "working" in (folder / "logs.txt").read_text(encoding="utf-8")
    assert sorted(path.name for path in folder.parent.rglob("*")) == sorted([folder.name, "logs.txt", "metadata.json", "notes"])
    assert done["jobs"][0]["logs"] == str(folder)
    assert run_ok("jobrunner_job", options(backend, journal_dir, job))["changed"] is False
    assert "irreversible" in run_refused("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})["msg"]


@pytest.mark.step("O15")
def test_what_cannot_be_undone_is_said_before_and_refused_after(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="running")
    predicted = run_ok("jobrunner_job", options(backend, journal_dir, job, cleanup=True), check=True)
    assert {change["subject"].partition(":")[0]: change["reversible"] for change in predicted["changes"]} == {
        "process": False,
        "container": False,
        "job": False,
        "logs": True,
        "volume": False,
    }
    done = run_ok("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    refused = run_refused("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert "irreversible" in [refusal["guard"] for refusal in refused["refusals"]]


# -- retry ------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O14")
@pytest.mark.parametrize("version", [pytest.param(2, marks=pytest.mark.thorough), 3])
def test_retried_as_upstream_retries(engine: Engine, tmp_path: Path, journal_dir: str, version: int) -> None:
    def fill(backend: Backend) -> list[str]:
        backend.add_job("running", "executing", action="bystander", container="running")
        return [
            backend.add_job("failed", "internal_error", action="broke", container="exited", outputs=RESULTS),
            backend.add_job("failed", "killed_by_admin", action="killed", container="exited"),
        ]

    def upstream(backend: Backend, jobs: list[str]) -> None:
        with backend.job_server.serving():
            backend.configure()
            for job in jobs:
                done = backend.cli("retry_job", job, answer="\n")
                assert done.returncode == 0, done.stderr

    def ours(backend: Backend, jobs: list[str]) -> None:
        before = backend.rows()
        arguments = options(backend, journal_dir, *jobs, state="retried")
        predicted, done = run_ok("jobrunner_job", arguments, check=True), run_ok("jobrunner_job", arguments)
        assert predicted["plan_sha256"] == done["plan_sha256"]
        for job in jobs:
            after = backend.row(job)
            assert {key for key, value in after.items() if value != before[job][key]} == {
                "state",
                "status_code",
                "status_message",
                "completed_at",
                "updated_at",
            }
        assert run_ok("jobrunner_job", arguments)["changed"] is False

    twins(engine, tmp_path, fill, upstream, ours, user_version=version)


@pytest.mark.step("O14")
@BOTH
def test_a_retried_job_is_filed_by_the_main_loop(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("failed", "internal_error", container="exited", outputs=RESULTS)
    done = run_ok("jobrunner_job", options(backend, journal_dir, job, state="retried"))
    assert done["jobs"][0]["status_code"] == "executing"
    backend.loop_turns(10, until="idle")
    assert backend.row(job)["status_code"] == "succeeded"
    assert (backend.high / "workspaces/ws/output/table.csv").read_text(encoding="utf-8") == RESULTS["output/table.csv"]
    assert backend.objects(job) == GONE
    refused = run_refused("jobrunner_job", options(backend, journal_dir, job, state="retried"))
    assert "Cannot reset job, associated container does not exist" in refused["msg"]


@pytest.mark.step("O14")
def test_a_retry_is_undone(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("failed", "internal_error", container="exited")
    before = backend.row(job)
    done = run_ok("jobrunner_job", options(backend, journal_dir, job, state="retried"))
    run_ok("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert {**backend.row(job), "updated_at": 0} == {**before, "updated_at": 0}


@pytest.mark.step("O14")
def test_a_job_that_runs_is_retried_only_by_force(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "finalizing", container="exited")
    before = backend.rows()
    refused = run_refused("jobrunner_job", options(backend, journal_dir, job, state="retried"))
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["not_failed"]
    assert backend.rows() == before
    assert run_ok("jobrunner_job", options(backend, journal_dir, job, state="retried", force=True))["changed"] is True
    assert backend.row(job)["status_message"] == "Re-attempting to extract outputs"


# -- bad input, and what goes wrong --------------------------------------------------------------------------------------------


def test_a_part_of_an_id_is_refused_with_what_upstream_would_take(backend: Backend, journal_dir: str) -> None:
    jobs = [backend.add_job("running", "executing", action=name, container="running") for name in ("a", "b")]
    before = (backend.rows(), [backend.objects(job) for job in jobs])
    for given in (jobs[0][:6], jobs[0][3:9].upper(), "_" * 16):
        refused = run_refused("jobrunner_job", options(backend, journal_dir, given))
        assert "upstream's command would have taken it for: " in refused["msg"]
        assert jobs[0] in refused["msg"]
    assert "no job has that in its id" in run_refused("jobrunner_job", options(backend, journal_dir, "a" * 16))["msg"]
    for given in ("", "a b", "%", "os-job-;x"):
        assert "is no job id" in run_refused("jobrunner_job", options(backend, journal_dir, given))["msg"]
    assert "names no job" in run_refused("jobrunner_job", options(backend, journal_dir))["msg"]
    assert (backend.rows(), [backend.objects(job) for job in jobs]) == before


def test_the_name_of_its_container_is_as_good_as_the_id(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("pending", "created", volume=False)
    done = run_ok("jobrunner_job", options(backend, journal_dir, f"os-job-{job}", job))
    assert [found["job_id"] for found in done["jobs"]] == [job]
    assert backend.row(job)["status_code"] == "killed_by_admin"


def test_cleanup_and_retry_do_not_go_together(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("failed", "internal_error", container="exited")
    assert "killed only" in run_refused("jobrunner_job", options(backend, journal_dir, job, state="retried", cleanup=True))["msg"]


def test_a_row_that_upstream_does_not_know_is_left_alone(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("pending", "created", volume=False)
    backend.change(job, status_code="initiated")
    assert "which upstream does not know" in run_refused("jobrunner_job", options(backend, journal_dir, job))["msg"]
    assert backend.row(job)["status_code"] == "initiated"


def test_without_an_engine_nothing_is_done(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("pending", "created", volume=False)
    arguments = {**options(backend, journal_dir, job), "docker_host": "unix:///nonexistent.sock"}
    assert "no engine answers at unix:///nonexistent.sock" in run_refused("jobrunner_job", arguments)["msg"]
    assert backend.row(job)["status_code"] == "created"


def test_a_job_that_finished_while_the_plan_was_made_keeps_its_results(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker

    job = backend.add_job("running", "executing", container="running", run="sh -c 'until [ -e /workspace/end ]; do sleep 0.05; done'")
    kill = Docker.kill

    def finishing(docker: Docker, name: str) -> bool:
        backend.engine.docker("exec", f"os-volume-{job}-manager", "touch", "/workspace/end")
        backend.engine.docker("wait", f"os-job-{job}")
        return kill(docker, name)

    monkeypatch.setattr(Docker, "kill", finishing)
    failed = run_module("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert "has finished its work since it was looked at" in failed["msg"]
    assert backend.objects(job) == {"container": "exited", "manager": "running", "volume": "volume"}
    # As the message says: nothing is lost.
    run_ok("jobrunner_job", options(backend, journal_dir, job, state="retried"))
    backend.loop_turns(20, until="idle")
    assert backend.row(job)["status_code"] in ("succeeded", "unmatched_patterns")


def test_another_container_of_the_same_name_is_left_alone(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker

    job = backend.add_job("running", "executing", container="running", volume=False)
    kill = Docker.kill

    def replaced(docker: Docker, name: str) -> bool:
        backend.engine.docker("rm", "--force", f"os-job-{job}")
        backend.engine.docker("run", "--detach", "--network=none", f"--name=os-job-{job}", backend.engine.image, "sleep", "100000")
        return kill(docker, name)

    monkeypatch.setattr(Docker, "kill", replaced)
    done = run_ok("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert backend.objects(job)["container"] == "running"
    assert [change["done"] for change in done["changes"]] == [True, False, False, False]
