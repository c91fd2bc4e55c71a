# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers of a root, together with what the database says about their work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from lab.fits.procs import Processes
from lab.fits.standin.queues import Queue

__all__ = ["Workers", "ledger", "processed_twice", "wait_until_idle"]


class Workers(Processes):
    """A context manager: leaving it stops the workers (at once, for the test is over)."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()


def generation_of(connection: Any, queue: str) -> str:
    """A, B or C by the columns of one queue table, so that a mixed database gives two answers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND table_schema = 'public'",
            (f"{queue}queue",),
        )
        columns = {name for (name,) in cursor.fetchall()}
    if "fail_dt" in columns:
        return "C"
    return "B" if "header_fields" in columns else "A"


def wait_until_idle(connection: Any, queue: str, timeout: float = 30.0, stuck: Iterable[int] = ()) -> bool:
    """Wait until no row can be taken and none is in progress, apart from rows known to be stuck."""
    table = Queue(connection, generation_of(connection, queue), queue)
    not_failed = "fail_dt = 'infinity' OR fail_dt > '9999-12-31'" if table.generation == "C" else "NOT failed"
    busy = f"SELECT id FROM {{table}} WHERE inprogress AND ({not_failed})"
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        waiting = table.candidates()  # first: what is taken in between is in progress then
        in_progress = {row["id"] for row in table.fetch(busy)}
        table.commit()
        if not waiting and not in_progress - set(stuck):
            return True
        time.sleep(0.05)
    return False


def ledger(connection: Any, queue: str | None = None, filename: str | None = None) -> list[dict[str, Any]]:
    """What was taken off the queues, in order: queue, filename, row_id, pid, at, path, destination, outcome."""
    names = ("queue", "filename", "row_id", "pid", "at", "path", "destination", "outcome")
    text = f"SELECT {', '.join(names)} FROM lab_processed"
    text += " WHERE (%(q)s IS NULL OR queue = %(q)s) AND (%(f)s IS NULL OR filename = %(f)s) ORDER BY seq"
    with connection.cursor() as cursor:
        cursor.execute(text, {"q": queue, "f": filename})
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def processed_twice(connection: Any, queue: str) -> list[tuple[Any, ...]]:
    """(filename, path, destination, times) of everything that was processed more than once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT filename, path, destination, count(*) FROM lab_processed WHERE queue = %s GROUP BY 1, 2, 3 HAVING count(*) > 1 ORDER BY 1, 2, 3",
            (queue,),
        )
        return list(cursor.fetchall())
