# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags on a real database, beside a stand-in of job-runner that reads them."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.jobrunner.backend import Backend, can_run_python
from support import run_ok, run_refused

BOTH = pytest.mark.parametrize(
    "backend", [pytest.param({"user_version": 2}, marks=pytest.mark.thorough), {"user_version": 3, "journal_mode": "wal"}], indirect=True, ids=["v2", "v3-wal"]
)


def options(backend: Backend, journal_dir: str, **more: Any) -> dict[str, Any]:
    return {"workdir": str(backend.workdir), "config_files": backend.config_files, "journal_dir": journal_dir, "name": "paused", **more}


def by_upstream(backend: Backend, assignment: str) -> dict[str, str | None]:
    done = backend.cli("flags", "set", assignment)
    assert done.returncode == 0, done.stderr
    return {name: value for name, (value, _stamp) in backend.flags().items()}


@pytest.mark.step("O22")
def test_a_flag_without_a_time_stamp_is_mended_and_said_so(backend: Backend, journal_dir: str) -> None:
    with backend.connection() as connection:
        connection.execute("INSERT INTO flags (id, value, timestamp) VALUES ('paused', 'true', NULL)")
    done = run_ok("jobrunner_flag", options(backend, journal_dir, value="true"))
    assert "its time stamp is missing, of which" in done["changes"][0]["reason"]
    assert isinstance(backend.flags()["paused"][1], float)
    assert run_ok("jobrunner_flag", options(backend, journal_dir, value="true"))["changed"] is False


@pytest.mark.step("O22")
@BOTH
def test_paused_jobs_do_not_start_and_start_again(backend: Backend, journal_dir: str) -> None:
    job = backend.add_job("pending", "created", volume=False, run="sleep 100000")
    arguments = options(backend, journal_dir, value="True")
    predicted = run_ok("jobrunner_flag", arguments, check=True)
    assert backend.flags() == {}
    began = time.time()
    done = run_ok("jobrunner_flag", arguments)
    assert (done["plan_sha256"], done["changed"]) == (predicted["plan_sha256"], True)
    value, stamp = backend.flags()["paused"]
    assert value == "true"
    assert isinstance(stamp, float)
    assert began <= stamp <= time.time()
    assert done["paused"] is True
    backend.loop_turns(2)
    assert backend.row(job)["status_code"] == "paused"
    assert run_ok("jobrunner_flag", arguments)["changed"] is False
    assert backend.flags()["paused"] == (value, stamp)

    cleared = run_ok("jobrunner_flag", options(backend, journal_dir, value=None))
    assert cleared["paused"] is False
    assert backend.flags()["paused"][0] is None
    backend.loop_turns(2)
    assert (backend.row(job)["state"], backend.row(job)["status_code"]) == ("running", "executing")


@pytest.mark.step("O22")
@pytest.mark.parametrize(("assignment", "arguments"), [("paused=true", {"value": "true"}), ("paused=", {"value": ""}), ("paused=", {})])
def test_the_same_rows_as_upstreams_command(backend: Backend, journal_dir: str, tmp_path: Path, assignment: str, arguments: dict[str, Any]) -> None:
    other = Backend(tmp_path / "other", backend.engine)
    wanted = by_upstream(other, assignment)
    run_ok("jobrunner_flag", options(backend, journal_dir, **arguments))
    assert {name: value for name, (value, _stamp) in backend.flags().items()} == wanted
    assert isinstance(backend.flags()["paused"][1], float)
    read = backend.cli("flags", "get", "paused")
    assert read.returncode == 0, read.stderr


@pytest.mark.step("O22")
def test_undo_brings_the_old_row_back(backend: Backend, journal_dir: str) -> None:
    backend.set_flag("paused", "true", 1706745599.125)
    before = backend.flags()
    done = run_ok("jobrunner_flag", options(backend, journal_dir, value=None))
    run_ok("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert backend.flags() == before
    first = run_ok("jobrunner_flag", options(backend, journal_dir, name="mode", value="db-maintenance"))
    undone = run_ok("runbook_undo", {"undo_id": first["undo_id"], "journal_dir": journal_dir})
    assert backend.flags() == before
    run_ok("runbook_undo", {"undo_id": undone["undo_id"], "journal_dir": journal_dir})
    assert backend.flags()["mode"][0] == "db-maintenance"


def test_a_flag_that_was_set_again_is_not_undone(backend: Backend, journal_dir: str) -> None:
    done = run_ok("jobrunner_flag", options(backend, journal_dir, value="true"))
    backend.set_flag("paused", None)
    refused = run_refused("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert "changed since" in refused["msg"] or "changed_since" in refused["msg"]
    assert backend.flags()["paused"][0] is None


@pytest.mark.step("O22")
def test_a_text_for_a_time_stamp_ends_the_sync_thread_and_is_mended(backend: Backend, journal_dir: str) -> None:
    backend.set_flag("paused", "true", "now")
    assert isinstance(backend.flags()["paused"][1], str)
    assert backend.cli("flags", "get", "paused").returncode != 0
    done = run_ok("jobrunner_flag", options(backend, journal_dir, value="true"))
    assert done["changed"] is True
    assert done["changes"][0]["reversible"] is False
    assert [finding["code"] for finding in done["findings"]] == ["jobrunner.flag.paused"]
    assert backend.cli("flags", "get", "paused").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"value": "yes"}, "paused=yes would not count as set for upstream; accepted are value: true, and null to clear it"),
        ({"name": "Paused", "value": "true"}, "upstream reads no flag 'Paused'"),
        ({"workdir": "/nonexistent"}, "there is no database /nonexistent/db.sqlite"),
        ({"workdir": None, "config_files": []}, "no workdir"),
    ],
)
def test_bad_input_is_one_clear_error(backend: Backend, journal_dir: str, arguments: dict[str, Any], words: str) -> None:
    assert words in run_refused("jobrunner_flag", options(backend, journal_dir, **arguments))["msg"]
    assert backend.flags() == {}


def test_a_later_layout_is_refused_by_name(backend: Backend, journal_dir: str) -> None:
    with backend.connection() as connection:
        connection.execute("DROP TABLE flags")
        connection.execute("CREATE TABLE flags (id TEXT, value TEXT, backend TEXT, timestamp TIMESTAMP, PRIMARY KEY (id, backend))")
        connection.execute("PRAGMA user_version = 13")
    assert "of a later job-runner (user_version 13" in run_refused("jobrunner_flag", options(backend, journal_dir, value="true"))["msg"]


def test_a_database_that_somebody_holds_is_waited_for_and_then_told(backend: Backend, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import sqlite

    monkeypatch.setattr(sqlite.Database.__init__, "__defaults__", (0.3,))
    with backend.locked():
        refused = run_refused("jobrunner_flag", options(backend, journal_dir, value="true"))
    assert "another program held it for more than 0.3 s" in refused["msg"]
    assert run_ok("jobrunner_flag", options(backend, journal_dir, value="true"))["changed"] is True


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that another user can enter."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for the owner")
def test_no_file_is_left_that_the_owner_cannot_use(engine: Any, open_folder: Path, journal_dir: str) -> None:
    if not can_run_python(65534):
        pytest.skip("user nobody cannot run this Python")
    backend = Backend(open_folder / "backend", engine, user_version=3, journal_mode="wal", owner=(65534, 65534))
    reader = sqlite3.connect(backend.database)  # keeps the files of the log
    reader.execute("SELECT count(*) FROM job").fetchone()
    run_ok("jobrunner_flag", options(backend, journal_dir, value="true"))
    assert {path.stat().st_uid for path in backend.workdir.iterdir()} <= {65534}
    reader.close()
    assert backend.cli("flags", "get", "paused").returncode == 0
