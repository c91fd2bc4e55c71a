# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs on a backend where other things are wrong as well: readers that stay, disks that are gone, rows and containers as nobody expects them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import sqlite
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Pattern
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import reboot_service
from lab.jobrunner.backend import SECRETS, Backend
from support import run_module, run_ok, run_refused

GONE = {"container": None, "manager": None, "volume": None}


@pytest.fixture(autouse=True)
def no_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs as a service for another test is none to this one."""
    monkeypatch.setattr(reboot_service, "PROCESS", Pattern(args=("-m", f"jobrunner.service{tmp_path}")))


def options(backend: Backend, journal_dir: str, *jobs: str, state: str = "killed", **more: Any) -> dict[str, Any]:
    return {**backend.params, "journal_dir": journal_dir, "job_id": list(jobs), "state": state, "settle": 0, **more}


def reboot(backend: Backend, journal_dir: str, **more: Any) -> dict[str, Any]:
    return {**backend.params, "journal_dir": journal_dir, **more}


# -- the database ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def owner_reads(path: Path, slow: list[float]) -> Iterator[None]:
    """Job-runner's own short reads all the while; how long each took."""
    over = threading.Event()

    def reads() -> None:
        while not over.wait(0.02):
            began = time.monotonic()
            with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection, contextlib.suppress(sqlite3.OperationalError):
                connection.execute("SELECT count(*) FROM job").fetchall()
            slow.append(time.monotonic() - began)

    thread = threading.Thread(target=reads)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.step("O15")
@pytest.mark.step("O22")
def test_a_reader_that_stays_is_waited_for_without_keeping_job_runner_out(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has a report open. A commit that waits for that lets no new reader in, and job-runner gives up after 5 s."""
    monkeypatch.setattr(sqlite.Database.__init__, "__defaults__", (3.0,))
    job = backend.add_job("pending", "created", volume=False)
    before, took = backend.row(job), []
    with contextlib.closing(sqlite3.connect(backend.database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM job").fetchall()
        with owner_reads(backend.database, took):
            failed = run_module("jobrunner_job", options(backend, journal_dir, job))
            flag = run_module("jobrunner_flag", {**_database(backend, journal_dir), "name": "paused", "value": "true"})
    for result in (failed, flag):
        assert "another program held it for more than 3.0 s" in result["msg"]
        assert result["changed"] is False
    assert len(took) > 20
    assert max(took) < 1.0
    assert (backend.row(job), backend.flags()) == (before, {})
    run_ok("jobrunner_job", options(backend, journal_dir, job))
    assert backend.row(job)["status_code"] == "killed_by_admin"


def _database(backend: Backend, journal_dir: str) -> dict[str, Any]:
    return {"workdir": str(backend.workdir), "config_files": [], "journal_dir": journal_dir}


@pytest.mark.step("O15")
def test_rows_with_nulls_and_nonsense_are_killed_all_the_same(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="running")
    nothing = dict.fromkeys(("status_code_updated_at", "updated_at", "started_at", "created_at", "action", "workspace", "commit", "action_commit"))
    backend.change(job, **nothing, outputs="{broken", wait_for_job_ids="[broken", trace_context="x")
    waits = backend.add_job("pending", "waiting_on_dependencies", action="waits", volume=False)
    backend.change(waits, wait_for_job_ids=json.dumps({"first": job}), status_code_updated_at="soon")
    arguments = options(backend, journal_dir, job, waits, cleanup=True)
    predicted, done = run_ok("jobrunner_job", arguments, check=True), run_ok("jobrunner_job", arguments)
    assert predicted["plan_sha256"] == done["plan_sha256"]
    assert all(change["done"] for change in done["changes"])
    for each in (job, waits):
        row = backend.row(each)
        assert row["status_code"] == "killed_by_admin"
        assert row["status_code_updated_at"] // 10**9 == row["completed_at"]
    assert (backend.row(job)["outputs"], backend.row(job)["started_at"]) == ("{broken", None)
    assert run_ok("jobrunner_job", arguments)["changed"] is False


@pytest.mark.step("O15")
def test_a_row_that_goes_while_its_container_is_killed_is_said(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker

    job = backend.add_job("running", "executing", container="running")
    kill = Docker.kill

    def deleting(docker: Docker, name: str) -> bool:
        with backend.connection() as connection:
            connection.execute("DELETE FROM job WHERE id = ?", (job,))
        return kill(docker, name)

    monkeypatch.setattr(Docker, "kill", deleting)
    result = run_module("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert f"there is no job {job} in {backend.database}" in result["msg"]
    assert all(change["done"] for change in result["changes"])
    assert backend.objects(job) == GONE


@pytest.mark.step("O15")
def test_a_row_that_the_main_loop_writes_back_is_written_again_before_the_container_ends(
    backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn had the job in hand: it writes the whole row as it was, once."""
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker

    job = backend.add_job("running", "executing", container="running")
    held, killed, when_it_ended = backend.row(job), Docker.kill, []

    def turn() -> None:
        while backend.row(job)["status_code"] != "killed_by_admin":
            time.sleep(0.01)
        backend.change(job, **held)

    def kill(docker: Docker, name: str) -> bool:
        when_it_ended.append(backend.row(job)["status_code"])
        return killed(docker, name)

    monkeypatch.setattr(Docker, "kill", kill)
    thread = threading.Thread(target=turn)
    thread.start()
    run_ok("jobrunner_job", options(backend, journal_dir, job, settle=2))
    thread.join()
    assert when_it_ended == ["killed_by_admin"]
    assert backend.row(job)["status_code"] == "killed_by_admin"


@pytest.mark.step("O15")
@pytest.mark.thorough
def test_jobs_are_killed_under_a_main_loop_that_goes_on(backend: Backend, journal_dir: str) -> None:
    """Were a container to end first, the loop would take its results, and die when the container is removed under it."""
    with backend.service() as service:
        jobs = [backend.add_job("running", "executing", action=f"a{number}", container="running") for number in range(4)]
        run_ok("jobrunner_job", options(backend, journal_dir, *jobs, cleanup=True, settle=1))
        time.sleep(1.0)
        assert service.alive, service.log
    assert {backend.row(job)["status_code"] for job in jobs} == {"killed_by_admin"}
    assert [backend.objects(job) for job in jobs] == [GONE] * 4


# -- logs --------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O15")
def test_a_job_that_prints_its_environment_has_no_secret_in_its_log(backend: Backend, journal_dir: str) -> None:
    script = "sh -c 'echo connecting to $DATABASE_URL; echo it is ${DATABASE_URL#*//}; touch /workspace/said; sleep 100000'"
    job = backend.add_job("running", "executing", container="running", database=True, run=script)
    backend.engine.docker("exec", f"os-volume-{job}-manager", "sh", "-c", "until [ -e /workspace/said ]; do sleep 0.05; done")
    run_ok("jobrunner_job", options(backend, journal_dir, job))
    (log,) = backend.high.glob(f"logs/*/os-job-{job}/logs.txt")
    text = log.read_text(encoding="utf-8")
    assert "connecting to ********\n" in text
    assert "it is " in text
    assert [secret for secret in (*SECRETS.values(), "lab-secret") if secret in text] == []


@pytest.mark.step("O15")
def test_the_log_that_the_main_loop_filed_is_not_written_over(backend: Backend, journal_dir: str) -> None:
    """It says what the job has made; that of the kill would say that it was killed and made nothing."""
    job = backend.add_job("succeeded", "succeeded", container="exited")
    other = backend.add_job("succeeded", "succeeded", action="other", container="exited")
    filed = {"status_message": "Completed successfully", "outputs": {"output/table.csv": "moderately_sensitive"}}
    for each, container in ((job, backend.engine.inspect(f"os-job-{job}")), (other, {"Id": "of an earlier container"})):
        folder = backend.high / "logs" / time.strftime("%Y-%m") / f"os-job-{each}"
        folder.mkdir(parents=True)
        (folder / "logs.txt").write_text("finished\n", encoding="utf-8")
        (folder / "metadata.json").write_text(json.dumps({**filed, "container_metadata": container}), encoding="utf-8")
    before = {path: path.read_bytes() for path in backend.high.glob(f"logs/*/os-job-{job}/*")}
    done = run_ok("jobrunner_job", options(backend, journal_dir, job, other, cleanup=True))
    assert [change["subject"].rpartition("os-job-")[2] for change in done["changes"] if change["action"] == "save_logs"] == [other]
    assert {path: path.read_bytes() for path in before} == before
    assert (backend.objects(job), backend.objects(other)) == (GONE, GONE)


@pytest.mark.step("O15")
def test_two_jobs_of_which_the_first_cannot_be_logged_are_finished_by_the_next_run(backend: Backend, journal_dir: str) -> None:
    jobs = [backend.add_job("running", "executing", action=name, container="running") for name in ("a", "b")]
    (backend.high / "logs").write_text("no directory", encoding="utf-8")
    arguments = options(backend, journal_dir, *jobs, cleanup=True)
    failed = run_module("jobrunner_job", arguments)
    assert f"the log of job {jobs[0]} cannot be saved" in failed["msg"]
    assert [backend.row(job)["status_code"] for job in jobs] == ["killed_by_admin", "killed_by_admin"]
    assert [backend.objects(job)["container"] for job in jobs] == ["exited", "running"]
    (backend.high / "logs").unlink()
    done = run_ok("jobrunner_job", arguments)
    assert [change["action"] for change in done["changes"]] == ["save_logs", *["remove"] * 3, "kill", "save_logs", *["remove"] * 3]
    assert [backend.objects(job) for job in jobs] == [GONE, GONE]
    assert run_ok("jobrunner_job", arguments)["changed"] is False


# -- volumes and containers ------------------------------------------------------------------------------------------------


@pytest.mark.step("O15")
@pytest.mark.step("O19")
def test_without_its_disk_nothing_is_done(backend: Backend, journal_dir: str) -> None:
    """A volume that is a directory on a disk that is not mounted would not be seen, and the jobs be called ready."""
    job = backend.add_job("running", "executing", container="running", volume="directory")
    backend.high.rename(backend.folder / "elsewhere")
    for name, arguments in (
        ("jobrunner_prepare_for_reboot", reboot(backend, journal_dir)),
        ("jobrunner_job", options(backend, journal_dir, job, cleanup=True)),
    ):
        assert f"the high privacy base {backend.high} is no directory" in run_refused(name, arguments)["msg"]
    assert not backend.high.exists()
    assert backend.row(job)["status_code"] == "executing"
    (backend.folder / "elsewhere").rename(backend.high)
    assert run_ok("jobrunner_prepare_for_reboot", reboot(backend, journal_dir))["ready"] is True
    assert not (backend.high / "volumes" / job).exists()


@pytest.mark.step("O15")
def test_a_link_in_the_place_of_a_volume_is_neither_followed_nor_removed(backend: Backend, journal_dir: str, tmp_path: Path) -> None:
    job = backend.add_job("running", "prepared", volume=False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").touch()
    (backend.high / "volumes").mkdir()
    (backend.high / "volumes" / job).symlink_to(tmp_path / "elsewhere")
    result = run_module("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert result["failed"]
    assert "cannot be removed: " in result["msg"]
    assert "None" not in result["msg"]
    assert (tmp_path / "elsewhere/file").exists()


@pytest.mark.step("O15")
@pytest.mark.parametrize("how", ["paused", "restarting", "created"])
def test_containers_in_rare_states_are_ended(backend: Backend, journal_dir: str, how: str) -> None:
    job = backend.add_job("running", "executing", container="running" if how == "paused" else None)
    name = f"os-job-{job}"
    if how == "paused":
        backend.engine.docker("pause", name)
    elif how == "created":
        backend.engine.docker("create", "--network=none", f"--name={name}", backend.engine.image, "true")
    else:
        backend.engine.docker("run", "--detach", "--restart=always", "--network=none", f"--name={name}", backend.engine.image, "false")
    run_ok("jobrunner_job", options(backend, journal_dir, job))
    time.sleep(1.0)
    assert backend.objects(job)["container"] in ("exited", "created")
    run_ok("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert backend.objects(job) == GONE


@pytest.mark.step("O15")
def test_a_volume_in_both_forms_goes_in_both(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("running", "executing", container="running")
    folder = backend.high / "volumes" / job
    folder.mkdir(parents=True)
    (folder / "file").touch()
    run_ok("jobrunner_job", options(backend, journal_dir, job, cleanup=True))
    assert backend.objects(job) == GONE
    assert not folder.exists()


@pytest.mark.step("O19")
def test_a_volume_that_somebody_looks_into_stops_it_and_the_next_run_goes_on(backend: Backend, journal_dir: str) -> None:
    jobs = [backend.add_job("running", "executing", action=name, container="running") for name in ("a", "b")]
    backend.engine.docker("run", "--detach", "--network=none", "--name=somebody", f"--volume=os-volume-{jobs[0]}:/x", backend.engine.image, "sleep", "1000")
    failed = run_module("jobrunner_prepare_for_reboot", reboot(backend, journal_dir))
    assert f"refused to remove volume os-volume-{jobs[0]}" in failed["msg"]
    assert [backend.row(job)["status_code"] for job in jobs] == ["executing", "executing"]
    backend.engine.docker("rm", "--force", "somebody")
    assert run_ok("jobrunner_prepare_for_reboot", reboot(backend, journal_dir))["ready"] is True
    assert [backend.objects(job) for job in jobs] == [GONE, GONE]
    assert run_ok("jobrunner_prepare_for_reboot", reboot(backend, journal_dir))["changed"] is False


# -- undo --------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O14")
@pytest.mark.step("O15")
def test_an_undo_after_the_main_loop_went_on_takes_back_only_what_is_still_so(backend: Backend, journal_dir: str) -> None:
    waits = backend.add_job("pending", "created", volume=False)
    depends = backend.add_job("pending", "waiting_on_dependencies", action="depends", volume=False, wait_for_job_ids=[waits])
    broke = backend.add_job("failed", "internal_error", action="broke", container="exited")
    killed = run_ok("jobrunner_job", options(backend, journal_dir, waits))
    retried = run_ok("jobrunner_job", options(backend, journal_dir, broke, state="retried"))
    backend.loop_turns(10, until="idle")
    filed = backend.row(broke)
    assert filed["status_code"] == "succeeded"
    refused = run_refused("runbook_undo", {"undo_id": retried["undo_id"], "journal_dir": journal_dir})
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["changed_since"]
    assert backend.row(broke) == filed
    run_ok("runbook_undo", {"undo_id": killed["undo_id"], "journal_dir": journal_dir})
    assert [backend.row(job)["status_code"] for job in (waits, depends)] == ["created", "dependency_failed"]
