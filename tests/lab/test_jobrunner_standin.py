# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in of job-runner does what the facts say of the real one, its defects included."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.engine import CuttingProxy, Engine
from lab.jobrunner.backend import SECRETS, Backend, can_run_python

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is tested against it is tested all the time

Make = Callable[..., Backend]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running


@pytest.fixture
def make(engine: Engine, tmp_path: Path) -> Iterator[Make]:
    made: list[Backend] = []

    def build(**options: Any) -> Backend:
        made.append(Backend(tmp_path / f"backend{len(made)}", engine, **options))
        return made[-1]

    yield build
    for backend in made:
        backend.close()


@pytest.fixture
def backend(make: Make) -> Backend:
    return make()


def code(backend: Backend, job: str) -> tuple[str, str]:
    row = backend.row(job)
    return row["state"], row["status_code"]


NOTHING = {"container": None, "manager": None, "volume": None}

# -- the tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "columns"), [(2, 27), (3, 28)])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_tables(make: Make, version: int, columns: int, mode: str) -> None:
    backend = make(user_version=version, journal_mode=mode)
    ids = backend.add_every_code()
    assert len(ids) == 21
    assert {len(row) for row in backend.rows().values()} == {columns}
    with backend.connection() as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == version
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == mode
        tables = {row["name"]: row["sql"] for row in connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")}
    assert set(tables) == {"job", "job_request", "flags", "idx_job__job_request_id", "idx_job__state"}
    assert "WHERE state NOT IN ('failed', 'succeeded')" in tables["idx_job__state"]
    assert backend.row(ids["created"])["id"] == ids["created"]
    assert len(ids["created"]) == 16


def test_migration_of_an_old_database(make: Make) -> None:
    backend = make(user_version=2)
    job = backend.add_job("pending", "created", volume=False)
    before = backend.row(job)
    backend.user_version = 3
    done = backend.cli("migrate")
    assert done.stdout == "Applied migrations: 3\n"
    assert backend.row(job) == {**before, "requires_db": None}
    assert backend.cli("migrate").stdout == "Applied migrations: none were needed\n"


# -- the way of a job -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_a_job_runs_to_its_end(make: Make, version: int) -> None:
    backend = make(user_version=version)
    run = "sh -c 'cd /workspace; mkdir output; echo said; printf \"a,b\\n\" >output/table.csv; echo x >output/d.arrow'"
    levels = {"moderately_sensitive": {"table": "output/*.csv"}, "highly_sensitive": {"dataset": "output/*.arrow"}}
    job = backend.add_job("pending", "created", volume=False, run=run, output_spec=levels)
    needs: dict[str, Any] = {"wait_for_job_ids": [job], "requires_outputs_from": ["a"], "output_spec": {"highly_sensitive": {"copy": "output/d2"}}}
    late = backend.add_job("pending", "created", action="b", volume=False, run="cp /workspace/output/d.arrow /workspace/output/d2", **needs)
    backend.loop_turns()
    assert code(backend, job) == ("running", "executing")
    assert code(backend, late) == ("pending", "waiting_on_dependencies")
    assert backend.objects(job)["volume"] == "volume"
    backend.loop_turns(50, until="idle")
    row = backend.row(job)
    assert (row["state"], row["status_code"], row["status_message"]) == ("succeeded", "succeeded", "Completed successfully")
    assert json.loads(row["outputs"]) == {"output/table.csv": "moderately_sensitive", "output/d.arrow": "highly_sensitive"}
    assert row["started_at"] <= row["completed_at"] == row["updated_at"] == row["status_code_updated_at"] // 10**9
    assert backend.objects(job) == NOTHING
    assert (backend.high / "workspaces/ws/output/d.arrow").exists()
    assert (backend.medium / "workspaces/ws/output/table.csv").read_text() == "a,b\n"
    assert not (backend.medium / "workspaces/ws/output/d.arrow").exists()
    assert json.loads((backend.medium / "workspaces/ws/metadata/manifest.json").read_text()) == {"repo": None, "workspace": "ws"}
    log = next((backend.high / "logs").glob(f"*/os-job-{job}/logs.txt"))
    assert "said" in log.read_text()
    assert (backend.medium / "workspaces/ws/metadata/a.log").read_text() == log.read_text()
    assert code(backend, late) == ("succeeded", "succeeded")


def test_jobs_that_fail(backend: Backend) -> None:
    bad = backend.add_job("running", "executing", container="exited", exit_code=3, action="bad")
    dependant = backend.add_job("pending", "waiting_on_dependencies", action="next", volume=False, wait_for_job_ids=[bad])
    empty = backend.add_job("running", "executing", container="exited", outputs={"output/other.txt": "x"}, action="empty")
    backend.loop_turns(5, until="idle")
    assert code(backend, bad) == ("failed", "nonzero_exit")
    assert code(backend, dependant) == ("failed", "dependency_failed")
    assert code(backend, empty) == ("failed", "unmatched_patterns")
    assert json.loads(backend.row(empty)["unmatched_outputs"]) == ["output/other.txt"]


def test_level_4_gets_notes_instead_of_files(backend: Backend) -> None:
    outputs = {"output/ids.csv": "patient_id,b\n1,2\n", "output/kept.csv": "a\n1\n"}
    job = backend.add_job("running", "executing", container="exited", outputs=outputs)
    backend.loop_turns(5, until="idle")
    folder = backend.medium / "workspaces/ws/output"
    assert sorted(path.name for path in folder.iterdir()) == ["ids.csv.txt", "kept.csv"]
    assert json.loads(backend.row(job)["level4_excluded_files"]) == {"output/ids.csv": "File has patient_id column"}
    assert "1 file(s) marked as moderately_sensitive were excluded" in backend.row(job)["status_message"]


def test_folder_as_volume(backend: Backend) -> None:
    job = backend.add_job("running", "executing", container="exited", volume="directory")
    assert backend.objects(job) == {"container": "exited", "manager": None, "volume": "directory"}
    backend.loop_turns(5, until="idle")
    assert code(backend, job) == ("succeeded", "succeeded")
    assert backend.objects(job) == NOTHING


# -- cancelling, pausing, maintenance -----------------------------------------------------------------------------------------------


def test_cancelled_jobs(backend: Backend) -> None:
    executing = backend.add_job("running", "executing", container="running", cancelled=1)
    waiting = backend.add_job("pending", "created", volume=False, cancelled=1, action="b")
    prepared = backend.add_job("running", "prepared", cancelled=1, action="c")
    backend.loop_turns()
    assert code(backend, waiting) == ("failed", "cancelled_by_user")
    assert backend.row(waiting)["completed_at"] is None
    assert code(backend, executing) == ("running", "executed")
    assert code(backend, prepared) == ("failed", "cancelled_by_user")
    backend.loop_turns(5, until="idle")
    assert code(backend, executing) == ("failed", "cancelled_by_user")
    assert not (backend.medium / "workspaces/ws/metadata/a.log").exists()
    assert backend.objects(executing) == backend.objects(prepared) == NOTHING


@pytest.mark.parametrize(("value", "pauses"), [("true", True), ("True", True), ("1", False), ("yes", False), ("on", False), (None, False)])
def test_only_one_word_pauses(backend: Backend, value: str | None, pauses: bool) -> None:
    backend.set_flag("paused", value)
    waiting = backend.add_job("pending", "created", volume=False, cancelled=1)
    backend.loop_turns()
    assert code(backend, waiting) == (("pending", "paused") if pauses else ("failed", "cancelled_by_user"))
    backend.set_flag("paused", None)
    backend.loop_turns()
    assert code(backend, waiting) == ("failed", "cancelled_by_user")


def test_a_prepared_job_goes_on_while_paused(backend: Backend) -> None:
    backend.set_flag("paused", "true")
    prepared = backend.add_job("running", "prepared", run="sleep 1000")
    backend.loop_turns()
    assert code(backend, prepared) == ("running", "executing")


def test_database_maintenance(backend: Backend) -> None:
    job = backend.add_job("running", "executing", container="running", database=True)
    other = backend.add_job("running", "executing", container="running", action="b")
    backend.set_flag("mode", "db-maintenance")
    backend.loop_turns()
    assert code(backend, job) == ("pending", "waiting_db_maintenance")
    assert backend.row(job)["started_at"] is None
    assert backend.objects(job) == NOTHING
    assert code(backend, other) == ("running", "executing")


# -- what goes wrong ------------------------------------------------------------------------------------------------------------------


def test_an_internal_error_ends_the_loop_and_fails_the_job(backend: Backend) -> None:
    good = backend.add_job("running", "executing", container="running")
    bad = backend.add_job("pending", "created", volume=False, run_command="jupyter:missing x", action="b")
    with pytest.raises(Exception, match="is not currently available"):
        backend.loop_turns()
    assert code(backend, bad) == ("failed", "internal_error")
    backend.loop_turns()
    assert code(backend, good) == ("running", "executing")


def test_without_an_engine_every_start_fails_one_job(backend: Backend, engine: Engine) -> None:
    jobs = [backend.add_job("running", "executing", container="running", action=name) for name in "ab"]
    engine.kill()
    for failed in (1, 2):
        with pytest.raises(Exception, match="returned non-zero exit status 1"):
            backend.loop_turns()
        assert [code(backend, job)[1] for job in jobs].count("internal_error") == failed


@pytest.mark.parametrize(("column", "value"), [("status_code", "waiting_for_godot"), ("state", "resting")])
def test_unknown_words_end_everything(backend: Backend, column: str, value: str) -> None:
    job = backend.add_job("pending", "created", volume=False)
    backend.change(job, **{column: value})
    if column == "status_code":
        with pytest.raises(ValueError, match=f"'{value}' is not a valid StatusCode"):
            backend.loop_turns()
    for name, words, answer in (("kill_job", (job,), "\n"), ("retry_job", (job,), "\n")):
        done = backend.cli(name, *words, answer=answer)
        assert done.returncode == 1
        assert f"ValueError: '{value}' is not a valid Stat" in done.stderr


def test_a_flag_with_a_text_for_its_timestamp_stops_the_sync_thread(backend: Backend) -> None:
    with backend.job_server.serving():
        backend.configure()
        backend.set_flag("paused", "true", "now")
        assert isinstance(backend.flags()["paused"][1], str)
        assert "TypeError" in backend.cli("flags", "get").stderr
        with backend.service() as service:
            wait(lambda: "TypeError" in service.log, service.log)
            assert service.alive
        assert backend.job_server.seen == []


def test_a_lock_of_more_than_five_seconds_ends_the_loop(backend: Backend) -> None:
    backend.add_job("pending", "created", volume=False, cancelled=1)
    with backend.locked():
        began = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            backend.loop_turns()
        assert time.monotonic() - began >= 5


def test_a_reboot_that_nobody_prepared(backend: Backend, engine: Engine) -> None:
    job = backend.add_job("running", "executing", container="running")
    engine.reboot()
    backend.loop_turns(5, until="idle")
    assert code(backend, job) == ("failed", "nonzero_exit")
    assert backend.row(job)["status_message"].startswith("Job exited with an error")


def wait(condition: Callable[[], Any], what: str = "", timeout: float = 20.0) -> None:
    limit = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < limit, f"waited in vain: {what}"
        time.sleep(0.05)


# -- its commands -------------------------------------------------------------------------------------------------------------------------


def test_flags(backend: Backend) -> None:
    assert backend.cli("flags", "get", "paused").stdout == "paused=None (never set)\n"
    assert backend.cli("flags", "set", "paused=true").stdout.startswith("paused=true (20")
    first = backend.flags()
    assert isinstance(first["paused"][1], float)
    backend.cli("flags", "set", "paused=true")
    assert backend.flags() == first
    backend.cli("flags", "set", "paused=", "mode=")
    assert {name: value for name, (value, _stamp) in backend.flags().items()} == {"paused": None, "mode": None}


def test_prepare_for_reboot(backend: Backend) -> None:
    job = backend.add_job("running", "executing", container="running")
    executed = backend.add_job("running", "executed", container="exited", action="b")
    pending = backend.add_job("pending", "created", volume=False, action="c")
    before = backend.rows()
    for answer in ("", "n\n"):
        refused = backend.cli("prepare_for_reboot", answer=answer)
        assert (refused.returncode, backend.rows()) == (1, before)
    assert backend.cli("prepare_for_reboot", answer="y\n").returncode == 0
    for each in (job, executed):
        row = backend.row(each)
        assert (row["state"], row["status_code"], row["started_at"]) == ("pending", "waiting_on_reboot", None)
        same = set(row) - {"state", "status_code", "started_at", "status_message", "updated_at", "status_code_updated_at"}
        assert {name: row[name] for name in same} == {name: before[each][name] for name in same}
        assert backend.objects(each) == NOTHING
    assert backend.row(pending) == before[pending]
    backend.loop_turns()
    assert code(backend, job) == ("running", "executing")


def test_a_preparation_that_loses_the_engine_fails_the_job_after_the_reboot(backend: Backend, engine: Engine) -> None:
    """Upstream's order: the row first. A second run passes the job over, and the loop takes its dead container for the job's result."""
    job = backend.add_job("running", "executing", container="running")
    with CuttingProxy(engine, after=1) as proxy:
        done = backend.cli("prepare_for_reboot", answer="y\n", docker_host=proxy.docker_host)
    assert done.returncode == 1
    assert code(backend, job) == ("pending", "waiting_on_reboot")
    engine.reboot()
    backend.cli("prepare_for_reboot", answer="y\n")
    assert backend.objects(job) == {"container": "exited", "manager": "running", "volume": "volume"}
    backend.loop_turns(5, until="idle")
    assert code(backend, job) == ("failed", "nonzero_exit")
    assert backend.row(job)["status_message"] == "Job exited with an error: Job killed by OpenSAFELY admin or memory limits"


@pytest.mark.parametrize("cleanup", [False, True])
def test_kill_job(backend: Backend, cleanup: bool) -> None:
    job = backend.add_job("running", "executing", container="running", database=True)
    started = backend.row(job)["started_at"]
    words = ["--cleanup", job[:12]] if cleanup else [job[:12]]
    assert backend.cli("kill_job", *words).returncode == 1
    assert backend.cli("kill_job", *words, answer="\n").returncode == 0
    row = backend.row(job)
    assert (row["state"], row["status_code"], row["started_at"]) == ("failed", "killed_by_admin", started)
    assert row["completed_at"] == row["updated_at"]
    metadata = next((backend.high / "logs").glob(f"*/os-job-{job}/metadata.json")).read_text()
    assert SECRETS["DEFAULT_DATABASE_URL"] in metadata, "the real one leaves the secret in clear"
    assert not (backend.high / "workspaces/ws/metadata/a.log").exists()
    assert backend.objects(job) == (NOTHING if cleanup else {"container": "exited", "manager": "running", "volume": "volume"})


def test_kill_job_takes_wildcards_and_asks_for_a_number(backend: Backend) -> None:
    jobs = [backend.add_job("pending", "created", volume=False, action=name) for name in "ab"]
    done = backend.cli("kill_job", "%", answer="2\n")
    assert done.returncode == 0
    assert [code(backend, job)[0] for job in jobs] == ["pending", "failed"]


def test_kill_job_of_a_database_without_a_url(backend: Backend) -> None:
    """The row has failed and the container is dead before it is noticed: no logs, no cleanup."""
    job = backend.add_job("running", "executing", container="running", database=True)
    backend.configure(DEFAULT_DATABASE_URL="")
    done = backend.cli("kill_job", "--cleanup", job, answer="\n")
    assert "KeyError: 'default'" in done.stderr
    assert code(backend, job) == ("failed", "killed_by_admin")
    assert backend.objects(job)["container"] == "exited"
    assert not (backend.high / "logs").exists()


def test_retry_job(backend: Backend) -> None:
    job = backend.add_job("failed", "internal_error", container="exited")
    before = backend.row(job)
    refused = backend.cli("retry_job", job, answer="\n")
    assert refused.returncode == 1
    assert "Connection refused" in refused.stderr, "nobody serves jobs"
    assert code(backend, job) == ("running", "executing"), "the row was changed all the same"
    backend.change(job, **before)
    with backend.job_server.serving():
        backend.configure()
        assert backend.cli("retry_job", job, answer="\n").returncode == 0
    (post,) = backend.job_server.posts
    assert post["path"] == "/api/v2/jobs/"
    assert post["headers"]["Authorization"] == SECRETS["JOB_SERVER_TOKEN"]
    assert (post["body"][0]["identifier"], post["body"][0]["status"]) == (job, "running")
    row = backend.row(job)
    changed = {name for name in row if row[name] != before[name]}
    assert changed == {"state", "status_code", "status_message", "completed_at", "updated_at"}
    backend.loop_turns(5, until="idle")
    assert code(backend, job) == ("succeeded", "succeeded")


def test_retry_job_without_a_container(backend: Backend) -> None:
    job = backend.add_job("failed", "internal_error")
    assert "associated container does not exist" in backend.cli("retry_job", job, answer="\n").stderr


# -- the service ----------------------------------------------------------------------------------------------------------------------------


def test_service_takes_requests_and_tells_of_jobs(backend: Backend) -> None:
    with backend.job_server.serving() as server:
        backend.configure()
        actions = {"first": {"run": "python:v2 true", "outputs": {}}}
        workspace = {"name": "ws", "repo": "https://git.example.org/study"}
        server.request(identifier="r1", workspace=workspace, sha="0" * 40, requested_actions=["first"], lab_actions=actions)
        with backend.service() as service:
            wait(lambda: any(post["body"][0]["status"] == "succeeded" for post in server.posts), "job-server hears of the end")
            assert service.stop() == 0
        assert "jobrunner.service stopped" in service.log
        flags = json.loads(server.posts[0]["headers"]["Flags"])
        assert flags == {}


def test_service_ends_with_an_internal_error(backend: Backend) -> None:
    backend.add_job("pending", "created", volume=False, run_command="jupyter:missing x")
    with backend.service() as service:
        assert service.wait_ended() == 1
    assert "is not currently available" in service.log


def test_service_wants_its_layout(make: Make) -> None:
    backend = make(user_version=2)
    backend.user_version = 3
    with backend.service() as service:
        assert service.wait_ended() == 1
    assert "is out of date. Update with migrate command" in service.log


# -- the writer -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_writer_is_content_when_nobody_disturbs_it(make: Make, mode: str) -> None:
    backend = make(journal_mode=mode)
    job = backend.add_job("running", "executing", volume=False)
    with backend.writer() as writer:
        time.sleep(1.0)
        backend.change(job, state="pending", status_code="waiting_on_reboot")
        time.sleep(0.3)
    assert (writer.errors, writer.lost) == ([], [])
    assert writer.turns > 5
    assert writer.writes > 20
    assert "writer" in json.loads(backend.row(job)["trace_context"])
    assert backend.row(job)["status_code"] == "waiting_on_reboot"


def test_writer_notices_a_lock(backend: Backend) -> None:
    with backend.writer() as writer:
        with backend.locked():
            time.sleep(1.2)
        time.sleep(0.2)
    assert writer.errors == []
    assert writer.longest >= 1
    with backend.writer() as writer, backend.locked():
        time.sleep(6)
    assert writer.errors == ["OperationalError: database is locked"]


@pytest.mark.parametrize("over", [False, True])
def test_writer_notices_a_lost_update(backend: Backend, over: bool) -> None:
    job = backend.add_job("running", "executing", volume=False)
    with backend.writer() as writer:
        time.sleep(0.3)
        old = backend.row(job)
        time.sleep(0.3)
        if over:
            old.update(state="failed", status_code="killed_by_admin")
        with backend.connection() as connection:  # as a fix would that writes a whole row that it read before
            names = ", ".join(f'"{name}" = ?' for name in old)
            connection.execute(f"UPDATE job SET {names} WHERE id = ?", [*old.values(), job])
        time.sleep(0.3)
    assert [entry["id"] for entry in writer.lost] == [job]


def test_stale_writer_overwrites_what_came_between(backend: Backend) -> None:
    job = backend.add_job("running", "executing", volume=False)
    overwritten = 0
    with backend.writer(stale=True):
        for _attempt in range(60):
            backend.change(job, status_message="of a fix")
            time.sleep(0.1)
            overwritten += backend.row(job)["status_message"] != "of a fix"
            backend.change(job, status_message="before")
            time.sleep(0.05)
            if overwritten:
                break
    assert overwritten


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")
def test_a_backend_of_another_user(engine: Engine) -> None:
    nobody = 65534
    if not can_run_python(nobody):
        pytest.skip("user nobody cannot run this Python")
    with tempfile.TemporaryDirectory(prefix="lab-owned-") as folder:
        os.chmod(folder, 0o711)  # noqa: S103  or its files could not be reached
        backend = Backend(Path(folder) / "backend", engine, journal_mode="wal", owner=(nobody, nobody))
        job = backend.add_job("running", "executing", container="running")
        with backend.writer() as writer:
            time.sleep(0.5)
            owners = {path.name: path.stat().st_uid for path in backend.workdir.iterdir()}
        assert writer.errors == []
        assert owners == dict.fromkeys(["db.sqlite", "db.sqlite-shm", "db.sqlite-wal"], nobody)
        assert backend.cli("kill_job", "--cleanup", job, answer="\n").returncode == 0
        assert backend.objects(job) == NOTHING
        assert next((backend.high / "logs").glob("*/*/metadata.json")).stat().st_uid == nobody
        backend.close()
