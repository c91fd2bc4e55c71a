# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queues beside ingest and export, as each generation has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab.fits.faults import Faults
from support import run_module, run_ok, run_refused

OTHERS = {"A": ["preview", "calcache"], "B": ["preview", "calcache"], "C": ["preview", "calcache", "fileops", "reduce"]}
STAMP = "9999-12-31 23:59:59.999999"


@pytest.fixture
def run_sql(server: Any) -> Any:
    def run(name: str, statement: str, *values: Any) -> Any:
        connection = server.connect(name, user="fitsdata")
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            rows = cursor.fetchall() if cursor.description else []
        connection.close()
        return rows

    return run


@pytest.mark.parametrize("generation", sorted(OTHERS))
def test_all_that_the_schema_has_can_be_read(generation: str, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any]) -> None:
    options = connection | places | {"login_db": database(generation)}
    found = run_ok("fits_queue_info", options | {"queues": ["ingest", "export", *OTHERS[generation]]})
    assert list(found["queues"]) == ["ingest", "export", *OTHERS[generation]]
    assert {queue["total"] for queue in found["queues"].values()} == {0}
    for queue in {"fileops", "reduce"} - set(OTHERS[generation]):
        failed = run_refused("fits_queue_info", options | {"queues": [queue]})
        assert failed["msg"] == f"this database has no {queue} queue; it has: ingest, export, preview, calcache"


@pytest.mark.parametrize("generation", sorted(OTHERS))
@pytest.mark.parametrize("queue", ["preview", "calcache"])
def test_orphan_and_failure_are_mended(
    generation: str, queue: str, server: Any, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any], journal_dir: str, run_sql: Any
) -> None:
    name = database(generation)
    session = server.connect(name, user="fitsdata")
    make = Faults(session)
    for number in range(2):
        make.diskfile(f"N20200804S{number:04}.fits")
    session.close()
    key, source = ("diskfile_id", "diskfile") if queue == "preview" else ("obs_hid", "header")
    mark = f"fail_dt = CASE WHEN n = 2 THEN now()::timestamp ELSE timestamp '{STAMP}' END" if generation == "C" else "failed = (n = 2)"
    column, value = mark.split(" = ", 1)
    run_sql(
        name,
        f"INSERT INTO {queue}queue ({key}, inprogress, {column}) SELECT id, n = 1, {value}"
        f" FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM {source}) s",
    )
    before = run_sql(name, f"SELECT * FROM {queue}queue ORDER BY id")
    options = connection | places | {"login_db": name}
    found = run_ok("fits_queue_info", options | {"queues": [queue]})["queues"][queue]
    assert {condition: found[condition] for condition in ("orphaned", "failed", "total")} == {"orphaned": 1, "failed": 1, "total": 2}
    fix = options | {"queue": queue, "journal_dir": journal_dir, "settle": 0}
    result = run_ok("fits_queue_reset", fix)
    assert [change["action"] for change in result["changes"]] == ["reset", "reset"]
    still = "fail_dt <> '%s'" % STAMP if generation == "C" else "failed"
    assert run_sql(name, f"SELECT count(*) FROM {queue}queue WHERE inprogress OR {still}") == [(0,)]
    run_ok("runbook_undo", connection | {"undo_id": result["undo_id"], "journal_dir": journal_dir})
    assert run_sql(name, f"SELECT * FROM {queue}queue ORDER BY id") == before


def test_rows_without_a_file_cannot_be_asked_for_by_file(database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any]) -> None:
    options = connection | places | {"login_db": database("A")}
    failed = run_refused("fits_queue_info", options | {"queues": ["preview"], "filename": ["N20200804S0091.fits"]})
    assert "name no file" in failed["msg"]


@pytest.mark.parametrize("queue", ["fileops", "reduce"])
def test_what_is_not_stuck_is_refused(queue: str, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any], journal_dir: str) -> None:
    options = connection | places | {"login_db": database("C"), "queue": queue, "journal_dir": journal_dir}
    assert "cannot be reset" in run_refused("fits_queue_reset", options)["msg"]


@pytest.mark.parametrize(
    ("module", "options", "wanted"),
    [
        ("fits_queue_info", {"queues": ["inwards"]}, "ingest, export, preview, calcache, fileops, reduce"),
        ("fits_queue_reset", {"queue": "ingest", "conditions": ["stuck"]}, "failed, orphaned, twin, unpoppable, stale"),
        ("fits_queue_reset", {}, "missing required arguments: queue"),
        ("fits_queue_reset", {"queue": "ingest", "approved_plan": "yes"}, "64 hexadecimal digits"),
        ("fits_queue_reset", {"queue": "ingest", "max_changes": -1}, "max_changes must be 0 or more"),
    ],
)
def test_bad_options_name_what_is_accepted(
    module: str, options: dict[str, Any], wanted: str, database: Callable[..., str], connection: dict[str, Any], journal_dir: str
) -> None:
    more = {"journal_dir": journal_dir} if module == "fits_queue_reset" else {}
    failed = run_module(module, connection | {"login_db": database("C")} | options | more)
    assert failed["failed"]
    assert wanted in failed["msg"]


def test_a_database_of_something_else_is_refused(server: Any, databases: Any, connection: dict[str, Any], places: dict[str, Any]) -> None:
    failed = run_refused("fits_queue_info", connection | places | {"login_db": "postgres"})
    assert "not a FITS Storage database" in failed["msg"]
    assert "login_db" in failed["msg"]
