# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another session does between plan and change, and databases that are not quite as expected."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.rows import RowStore
from lab.fits.faults import Faults
from support import run_module, run_ok, run_refused


class Bench:
    """One database of generation C (or another), a session of its own, and the options of the modules."""

    def __init__(self, server: Any, name: str, options: dict[str, Any], journal_dir: str) -> None:
        self.session = server.connect(name, user="fitsdata")
        self.make = Faults(self.session)
        self.options = options | {"login_db": name}
        self.fix = self.options | {"queue": "ingest", "journal_dir": journal_dir, "settle": 0}

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with self.session.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall()) if cursor.description else []

    def ids(self) -> list[int]:
        return [row for (row,) in self.sql("SELECT id FROM ingestqueue ORDER BY id")]


@pytest.fixture
def bench(server: Any, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any], journal_dir: str) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(generation: str = "C", **variant: bool) -> Bench:
        made.append(Bench(server, database(generation, **variant), connection | places, journal_dir))
        return made[-1]

    yield make
    for each in made:
        each.session.close()


def test_a_twin_stays_when_the_row_that_it_makes_way_for_is_gone(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    here = bench()
    stuck, clean = here.make.starved_twin("ingest", "N20200804S0091.fits")
    lock = RowStore._lock

    def serve_first(store: Any, changes: Any) -> Any:
        here.sql("DELETE FROM ingestqueue WHERE id = %s", clean)
        return lock(store, changes)

    monkeypatch.setattr(RowStore, "_lock", serve_first)
    result = run_ok("fits_queue_reset", here.fix | {"conditions": ["twin"]})
    assert [(change["done"], "left alone" in change["note"]) for change in result["changes"]] == [(False, True)]
    assert (result["changed"], here.ids()) == (False, [stuck])


def test_a_duplicate_stays_when_the_one_to_be_tried_again_is_locked(bench: Callable[..., Bench], server: Any) -> None:
    here = bench()
    rows = here.make.failed_many("ingest", "N20200804S0091.fits", 2)
    other = server.connect(here.options["login_db"], user="fitsdata", autocommit=False)
    with other.cursor() as cursor:
        cursor.execute("DELETE FROM ingestqueue WHERE id = %s", (rows[-1],))
    result = run_ok("fits_queue_reset", here.fix)
    assert [change["done"] for change in result["changes"]] == [False, False]
    other.commit()
    other.close()
    assert here.ids() == rows[:1]


def test_rows_that_another_session_holds_are_left_alone(bench: Callable[..., Bench], server: Any) -> None:
    here = bench()
    held, free = here.make.failed("ingest", "a.fits"), here.make.failed("ingest", "b.fits")
    other = server.connect(here.options["login_db"], user="fitsdata", autocommit=False)
    with other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM ingestqueue WHERE id = %s FOR UPDATE", (held,))
    result = run_ok("fits_queue_reset", here.fix)
    other.close()
    assert {change["before"]["id"]: change["done"] for change in result["changes"]} == {held: False, free: True}


def test_an_undo_of_an_undo_asks_whether_a_worker_took_the_row(bench: Callable[..., Bench]) -> None:
    here = bench()
    row = here.make.in_progress("ingest", "N20200804S0091.fits")
    undo = {name: here.fix[name] for name in ("login_unix_socket", "login_port", "login_user", "journal_dir")}
    first = run_ok("fits_queue_reset", here.fix)
    second = run_ok("runbook_undo", undo | {"undo_id": first["undo_id"]})
    script = Path(here.options["scripts_dir"]) / "service_ingest_queue.py"
    script.write_text("import time\ntime.sleep(60)\n")
    worker = subprocess.Popen([sys.executable, str(script)])
    try:
        time.sleep(0.2)
        refused = run_refused("runbook_undo", undo | {"undo_id": second["undo_id"]})
    finally:
        worker.kill()
        worker.wait()
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["live_worker"]
    assert here.sql("SELECT inprogress FROM ingestqueue WHERE id = %s", row) == [(True,)]
    assert run_ok("runbook_undo", undo | {"undo_id": second["undo_id"]})["changed"]


def test_a_worker_started_by_a_relative_path_counts(bench: Callable[..., Bench]) -> None:
    here = bench()
    here.make.in_progress("ingest", "N20200804S0091.fits")
    folder = Path(here.options["scripts_dir"])
    (folder / "service_ingest_queue.py").write_text("import time\ntime.sleep(60)\n")
    worker = subprocess.Popen([sys.executable, "service_ingest_queue.py"], cwd=folder)
    try:
        time.sleep(0.2)
        assert run_ok("fits_queue_info", here.options)["queues"]["ingest"]["workers_live"] == 1
    finally:
        worker.kill()
        worker.wait()


def test_dropping_a_stale_row_names_the_instructions_that_go_with_it(bench: Callable[..., Bench]) -> None:
    here = bench()
    row = here.make.stale("ingest", "N20200804S0091.fits")
    here.sql("UPDATE ingestqueue SET force = true, header_update = '{}' WHERE id = %s", row)
    refused = run_refused("fits_queue_reset", here.fix | {"conditions": ["stale"]})
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["accept_data_loss"]
    loss = refused["changes"][0]["data_loss"]
    assert loss == f"force and header_update of ingest row {row}"
    assert run_ok("fits_queue_reset", here.fix | {"conditions": ["stale"], "accept_data_loss": [loss]})["changed"]


@pytest.mark.parametrize("generation", ["A", "B"])
def test_a_failure_without_a_recorded_error_is_not_called_stale(bench: Callable[..., Bench], generation: str) -> None:
    here = bench(generation)
    here.make.insert("ingest", "N20200804S0091.fits", age=3600, failed=True)
    here.make.diskfile("N20200804S0091.fits", age=60)  # the failing ingest itself may have made it
    queue = run_ok("fits_queue_info", here.options)["queues"]["ingest"]
    assert (queue["failed"], queue["stale"]) == (1, 0)


@pytest.mark.parametrize("value", ["infinity", "-infinity", None])
def test_times_that_are_none(bench: Callable[..., Bench], value: Any) -> None:
    here = bench()
    here.make.insert("ingest", "a.fits", added=value)
    here.make.insert("ingest", "b.fits", added=value, inprogress=True)
    queue = run_ok("fits_queue_info", here.options)["queues"]["ingest"]
    assert (queue["pending"], queue["orphaned"]) == (1, 1)
    assert run_ok("fits_queue_reset", here.fix)["changed"]


def test_indexes_that_are_no_constraints_are_passed_over(bench: Callable[..., Bench]) -> None:
    here = bench()
    here.sql("CREATE UNIQUE INDEX ON ingestqueue (lower(filename), id)")
    here.make.in_progress("ingest", "a.fits")
    assert run_ok("fits_queue_reset", here.fix)["changed"]


def test_removed_rows_come_back_where_the_server_generates_ids(bench: Callable[..., Bench]) -> None:
    here = bench()
    stuck, clean = here.make.starved_twin("ingest", "N20200804S0091.fits")
    here.sql("ALTER TABLE ingestqueue ALTER COLUMN id DROP DEFAULT, ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY")
    result = run_ok("fits_queue_reset", here.fix | {"conditions": ["twin"]})
    undo = {name: here.fix[name] for name in ("login_unix_socket", "login_port", "login_user", "journal_dir")}
    run_ok("runbook_undo", undo | {"undo_id": result["undo_id"]})
    assert here.ids() == [stuck, clean]


@pytest.mark.parametrize("value", [-1, 601, float("nan")])
def test_seconds_out_of_range_are_refused_before_anything_is_read(bench: Callable[..., Bench], value: float) -> None:
    here = bench()
    assert "must be 0 to 600 seconds" in run_module("fits_queue_reset", here.fix | {"settle": value}, check=True)["msg"]
    assert "must be 0 to 600 seconds" in run_module("fits_queue_info", here.options | {"watch": value})["msg"]
