# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""However long a queue is, the modules send the same statements: read from the server's own log, at two sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab.fits import schema
from lab.fits.faults import Faults
from lab.statements import StatementLog
from support import run_ok

SIZES = (100, 5000)


class Counted:
    """One queue of some size: a tenth of it orphans, a twentieth failed with stored errors, the rest healthy."""

    def __init__(self, server: Any, database: str, queue: str, rows: int, options: dict[str, Any], journal_dir: str) -> None:
        self.orphans, self.failures = rows // 10, rows // 20
        session = server.connect(database, user=schema.OWNER, autocommit=False)
        make = Faults(session)
        make.healthy(queue, rows - self.orphans - self.failures)
        make.orphans(queue, self.orphans)
        make.failures(queue, self.failures)
        session.close()
        self.options = options | {"login_db": database}
        self.fix = self.options | {"queue": queue, "journal_dir": journal_dir, "settle": 0, "max_changes": 0}
        self.log = StatementLog(server, database, schema.OWNER)

    def run(self, name: str, arguments: dict[str, Any], check: bool = False) -> tuple[dict[str, Any], int]:
        """The result, and the number of statements that arrived."""
        self.log.taken()
        return run_ok(name, arguments, check=check), len(self.log.taken())


def counts(queue: Counted, name: str) -> dict[str, int]:
    """Statements of everything that can be done to a queue."""
    found, info = queue.run("fits_queue_info", queue.options | {"queues": [name]})
    facts = found["queues"][name]
    assert (facts["orphaned"], facts["failed"]) == (queue.orphans, queue.failures)
    _planned, check = queue.run("fits_queue_reset", queue.fix, check=True)
    mended, reset = queue.run("fits_queue_reset", queue.fix)
    assert mended["changes_total"] == queue.orphans + queue.failures
    idle, again = queue.run("fits_queue_reset", queue.fix)
    assert not idle["changed"]
    undo_options = {key: value for key, value in queue.fix.items() if key.startswith(("login_", "journal_", "max_"))}
    undone, undo = queue.run("runbook_undo", undo_options | {"undo_id": mended["undo_id"]})
    assert undone["changes_total"] == mended["changes_total"]
    return {"info": info, "check": check, "reset": reset, "nothing left": again, "undo": undo}


@pytest.mark.parametrize("generation", [pytest.param("A", marks=pytest.mark.thorough), pytest.param("B", marks=pytest.mark.thorough), "C"])
@pytest.mark.parametrize("queue", ["ingest", "export"])
def test_the_number_of_statements_does_not_depend_on_the_length_of_the_queue(
    generation: str,
    queue: str,
    server: Any,
    database: Callable[..., str],
    connection: dict[str, Any],
    places: dict[str, Any],
    journal_dir: str,
) -> None:
    short, long = (counts(Counted(server, database(generation), queue, rows, connection | places, journal_dir), queue) for rows in SIZES)
    assert short == long
    assert all(count > 0 for count in short.values())


def test_the_log_has_every_statement_of_a_session(server: Any, database: Callable[..., str]) -> None:
    name = database("C")
    before = server.connect(name, user=schema.OWNER)
    log = StatementLog(server, name, schema.OWNER)
    session, other = server.connect(name, user=schema.OWNER), server.connect(name)
    for connection in (before, session, other):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute('SELECT 2 AS "fitsdata@x LOG:  statement: a\n[1] lie"')
        connection.close()
    assert [statement[:8] for statement in log.taken()] == ["SELECT 1", "SELECT 2"]
    assert log.taken() == []
