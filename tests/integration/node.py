# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node where a fix runs, is guarded, journaled and undone: a small broken queue, and the modules that meet there."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal, Run
from lab.fits.faults import Faults
from lab.pg import Postgres
from support import run_module, run_ok

Result = dict[str, Any]
NAMES = ("orphan1.fits", "orphan2.fits", "failed.fits")


class Node:
    """Rows 1 and 2 are orphans, row 3 has failed."""

    def __init__(self, server: Postgres, database: str, connection: dict[str, Any], places: dict[str, Any], journal_dir: str) -> None:
        self.server = server
        self.database = database
        self.connection = {**connection, "login_db": self.database}
        self.places = places
        self.journal_dir = journal_dir
        self.session = server.connect(self.database)
        self.make = Faults(self.session)
        self.ids = [self.make.in_progress("ingest", NAMES[0]), self.make.in_progress("ingest", NAMES[1]), self.make.failed("ingest", NAMES[2])]

    def options(self, **more: Any) -> dict[str, Any]:
        return {**self.connection, **self.places, "queue": "ingest", "settle": 0, "journal_dir": self.journal_dir, **more}

    def fix(self, check: bool = False, **options: Any) -> Result:
        return run_module("fits_queue_reset", self.options(**options), check)

    def fixed(self, **options: Any) -> Result:
        """A fix that changed something."""
        result = run_ok("fits_queue_reset", self.options(**options))
        assert result["changed"]
        return result

    def undo(self, undo_id: str | None, *changes: int, check: bool = False, **options: Any) -> Result:
        known = {**self.connection, "journal_dir": self.journal_dir, "undo_id": undo_id, "changes": list(changes)}
        return run_module("runbook_undo", {**known, **options}, check)

    def history(self, **options: Any) -> Result:
        return run_ok("runbook_journal_info", {"journal_dir": self.journal_dir, **options})

    def runs(self) -> list[Run]:
        """Newest first, with their changes."""
        journal = Journal(self.journal_dir)
        return [journal.read(run.undo_id) for run in journal.all_runs()]

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.session.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> dict[int, dict[str, Any]]:
        return {row["id"]: row for (row,) in self.execute("SELECT to_jsonb(q) FROM ingestqueue q ORDER BY id")}

    def kill(self, pid: int) -> None:
        """Until the process is dead, though not buried, and the server has seen it."""
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        deadline = time.monotonic() + 10
        while self.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"):
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def failed(self, result: Result, *words: str) -> None:
        """One clear error, and nothing was changed."""
        assert result.get("failed"), result
        assert not result.get("changed")
        for word in words:
            assert word in result["msg"]
        assert "Traceback" not in result["msg"]
        assert "exception" not in result


def guards(result: Result) -> list[str]:
    assert result.get("failed"), result
    assert not result["changed"]
    return [refusal["guard"] for refusal in result["refusals"]]
