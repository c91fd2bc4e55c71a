# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned maintenance: the program runs by itself, with real containers; systemd's timers are a stand-in here, and real on the laboratory's hosts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import reboot_run
from lab.jobrunner.backend import SECRETS, Backend
from support import run_ok, run_refused
from timers import Timers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root sets the timer")
RESULTS = {"output/table.csv": "a,b\n1,2\n", "output/dataset.arrow": "x"}


@pytest.fixture
def timers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Timers:
    return Timers(tmp_path / "timer.json", monkeypatch)


def options(backend: Backend, journal_dir: str, **more: Any) -> dict[str, Any]:
    place = {"directory": str(backend.folder / "maintenance"), "journal_dir": journal_dir, "patience": 0}
    when = {} if {"state", "on_calendar", "on_active"} & set(more) else {"on_active": "4h"}
    return {**backend.params, **place, **when, **more}


@pytest.mark.step("O20")
def test_it_is_set_seen_fires_and_leaves_a_report(backend: Backend, journal_dir: str, timers: Timers) -> None:
    job = backend.add_job("running", "executing", container="running")
    arguments = options(backend, journal_dir)
    predicted = run_ok("jobrunner_maintenance", arguments, check=True)
    assert timers.set is None
    assert not (backend.folder / "maintenance").exists()
    done = run_ok("jobrunner_maintenance", arguments)
    assert done["plan_sha256"] == predicted["plan_sha256"]
    assert [change["action"] for change in done["changes"]] == ["write", "set"]
    assert timers.set is not None
    assert timers.set["options"]["on-active"] == "4h"
    assert timers.set["options"]["unit"] == "fieldops-jobrunner-maintenance"
    assert done["timer"]["set"] is True
    again = run_ok("jobrunner_maintenance", arguments)
    assert (again["changed"], [finding["code"] for finding in again["findings"]]) == (False, ["jobrunner.maintenance.set"])

    assert timers.elapse() == 0
    assert backend.row(job)["status_code"] == "waiting_on_reboot"
    assert backend.objects(job) == {"container": None, "manager": None, "volume": None}
    after = run_ok("jobrunner_maintenance", options(backend, journal_dir, state="absent"), check=True)
    assert (after["report"]["status"], after["report"]["msg"], after["timer"]["set"]) == ("ok", "ready: True", False)
    assert [change["done"] for change in after["report"]["changes"]] == [True] * 5
    assert after["report"]["undo_id"] in [run["undo_id"] for run in run_ok("runbook_journal_info", {"journal_dir": journal_dir})["runs"]]
    text = (backend.folder / "maintenance/report.json").read_text(encoding="utf-8")
    assert not any(secret in text for secret in SECRETS.values())
    assert not any(secret.encode() in (backend.folder / "maintenance/maintenance.pyz").read_bytes() for secret in SECRETS.values())


@pytest.mark.step("O20")
def test_cancelled_it_leaves_nothing_behind(backend: Backend, journal_dir: str, timers: Timers) -> None:
    run_ok("jobrunner_maintenance", options(backend, journal_dir))
    cancel = options(backend, journal_dir, state="absent")
    predicted, done = run_ok("jobrunner_maintenance", cancel, check=True), run_ok("jobrunner_maintenance", cancel)
    assert done["plan_sha256"] == predicted["plan_sha256"]
    assert [change["action"] for change in done["changes"]] == ["cancel", "remove"]
    assert timers.set is None
    assert not (backend.folder / "maintenance").exists()
    assert run_ok("jobrunner_maintenance", cancel)["changed"] is False


@pytest.mark.step("O20")
def test_another_time_takes_its_place_and_each_is_undone(backend: Backend, journal_dir: str, timers: Timers) -> None:
    first = run_ok("jobrunner_maintenance", options(backend, journal_dir))
    before = timers.set
    second = run_ok("jobrunner_maintenance", options(backend, journal_dir, on_calendar="2030-01-31 04:00"))
    assert timers.set is not None
    assert timers.set["options"]["on-calendar"] == "2030-01-31 04:00"
    run_ok("runbook_undo", {"undo_id": second["undo_id"], "journal_dir": journal_dir})
    assert timers.set == before
    cancelled = run_ok("jobrunner_maintenance", options(backend, journal_dir, state="absent"))
    run_ok("runbook_undo", {"undo_id": cancelled["undo_id"], "journal_dir": journal_dir})
    assert timers.set == before
    run_ok("runbook_undo", {"undo_id": first["undo_id"], "journal_dir": journal_dir})
    assert timers.set is None
    assert not (backend.folder / "maintenance").exists()


@pytest.mark.step("O20")
@pytest.mark.parametrize(("redo", "status"), [(False, "failed"), (True, "ok")])
def test_results_that_are_not_filed_when_its_patience_is_over(backend: Backend, journal_dir: str, timers: Timers, redo: bool, status: str) -> None:
    job = backend.add_job("running", "executed", container="exited", outputs=RESULTS)
    run_ok("jobrunner_maintenance", options(backend, journal_dir, redo_finished=redo))
    timers.elapse()
    report = run_ok("jobrunner_maintenance", options(backend, journal_dir, state="absent"), check=True)
    assert report["report"]["status"] == status
    assert backend.row(job)["status_code"] == ("waiting_on_reboot" if redo else "executed")
    assert f"results of job {job} (a)" in report["report"]["tries"][0]
    assert report["report"]["accepted"] == ([f"results of job {job} (a)"] if redo else [])
    assert ("critical" in [finding["severity"] for finding in report["findings"]]) is not redo


@pytest.mark.step("O20")
def test_while_the_main_loop_files_results_it_waits(backend: Backend, journal_dir: str, timers: Timers) -> None:
    job = backend.add_job("running", "executed", container="exited", outputs=RESULTS)
    run_ok("jobrunner_maintenance", options(backend, journal_dir, patience=100))
    known = {**_options_of(backend), "patience": 100}
    report = reboot_run.prepare(known, lambda _seconds: backend.loop_turns(10, until="idle"))
    assert (report["status"], len(report["tries"])) == ("ok", 2)
    assert backend.row(job)["status_code"] == "succeeded"


def _options_of(backend: Backend) -> dict[str, Any]:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.reboot_program import options_of

    known = options_of(str(backend.folder / "maintenance/maintenance.pyz"))
    assert known is not None
    return known


@pytest.mark.step("O20")
def test_an_engine_that_is_away_at_that_time_is_in_the_report(backend: Backend, journal_dir: str, timers: Timers) -> None:
    job = backend.add_job("running", "executing", container="running")
    run_ok("jobrunner_maintenance", options(backend, journal_dir))
    backend.engine.kill()
    assert timers.elapse() == 1
    report = run_ok("jobrunner_maintenance", options(backend, journal_dir, state="absent"), check=True)["report"]
    assert report["status"] == "failed"
    assert "no engine answers" in report["msg"]
    assert backend.row(job)["status_code"] == "executing"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"on_calendar": "soon"}, "on_calendar 'soon' is no time to come for systemd: Failed to parse 'soon'"),
        ({"on_active": "infinity"}, "on_active 'infinity' is no time span for systemd: it never comes; accepted is for example 4h"),
        ({"on_calendar": "04:00", "patience": -1}, "patience takes seconds, 0 or more, and not -1"),
        ({"on_calendar": "04:00", "stop_timeout": 0}, "stop_timeout takes seconds, more than 0, and not 0"),
        ({"on_calendar": "04:00", "directory": "maintenance"}, "directory 'maintenance' is no absolute path"),
        ({"on_active": "4h", "on_calendar": "04:00"}, "mutually exclusive: on_calendar|on_active"),
        ({"state": "present"}, "any of the following are missing: on_calendar, on_active"),
        ({"on_calendar": "04:00", "workdir": "/nonexistent"}, "there is no database /nonexistent/db.sqlite"),
    ],
)
def test_bad_input_is_one_clear_error(backend: Backend, journal_dir: str, timers: Timers, arguments: dict[str, Any], words: str) -> None:
    assert words in run_refused("jobrunner_maintenance", options(backend, journal_dir, **arguments))["msg"]
    assert timers.set is None


@pytest.mark.step("O20")
def test_the_limit_of_changes_holds_at_night_as_well(backend: Backend, journal_dir: str, timers: Timers) -> None:
    job = backend.add_job("running", "executing", container="running")
    run_ok("jobrunner_maintenance", options(backend, journal_dir, max_changes=4))
    assert timers.elapse() == 1
    report = run_ok("jobrunner_maintenance", options(backend, journal_dir, state="absent"), check=True)["report"]
    assert "5 changes are planned, at most 4 are allowed" in report["msg"]
    assert backend.row(job)["status_code"] == "executing"


def test_a_directory_that_others_may_write_is_refused(backend: Backend, journal_dir: str, timers: Timers) -> None:
    directory = backend.folder / "maintenance"
    directory.mkdir(mode=0o777)
    directory.chmod(0o777)
    assert "others may write to" in run_refused("jobrunner_maintenance", options(backend, journal_dir))["msg"]
    assert timers.set is None
