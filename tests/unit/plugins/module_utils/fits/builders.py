# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queue states for tables and properties, and what a plan makes of them."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue import QueueState, Row, Totals, clean
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.tables import STAMP, Table
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.workers import LogLine, Workers
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change

FLAGS = ("id", "filename", "path", "inprogress", "failed", "added", "force", "after", "sortkey")
STAMPED = ("id", "filename", "path", "inprogress", "fail_dt", "added", "force", "after", "sortkey", "error")

INGEST_A = Table("ingest", "ingestqueue", "A", FLAGS, (("filename", "inprogress", "failed"), ("filename", "path")))
INGEST_A_LAGGING = Table("ingest", "ingestqueue", "A", FLAGS, (("filename", "inprogress", "failed"),))
INGEST_C = Table("ingest", "ingestqueue", "C", STAMPED, (("filename", "path", "inprogress", "fail_dt"),))
INGEST_C_LAGGING = Table("ingest", "ingestqueue", "C", STAMPED, ())
EXPORT_A = Table(
    "export",
    "exportqueue",
    "A",
    ("id", "filename", "path", "destination", "inprogress", "failed", "added", "lastfailed"),
    (("filename", "inprogress", "failed"), ("filename", "path", "destination")),
)
EXPORT_B = Table(
    "export",
    "exportqueue",
    "B",
    ("id", "filename", "path", "destination", "inprogress", "failed", "sortkey", "added", "lastfailed", "after"),
    (("filename", "inprogress", "failed", "destination"),),
)
EXPORT_C = Table(
    "export",
    "exportqueue",
    "C",
    ("id", "filename", "path", "destination", "inprogress", "fail_dt", "sortkey", "added", "after", "error"),
    (("filename", "inprogress", "fail_dt", "destination"),),
)
TABLES = (INGEST_A, INGEST_A_LAGGING, INGEST_C, INGEST_C_LAGGING, EXPORT_A, EXPORT_B, EXPORT_C)


def row(table: Table, number: int, kind: str = "clean", filename: str = "N20200804S0091.fits", path: str = "", **extra: Any) -> Row:
    """A row of one kind: clean, orphan (in progress), failed, stale, null or infinity (unpoppable)."""
    never: Any = STAMP if table.stamped else False
    failed: Any = "2026-01-%02dT00:00:00" % (number % 28 + 1) if table.stamped else True
    values = {
        "clean": {"fail_value": never},
        "orphan": {"inprogress": True, "fail_value": never},
        "failed": {"failed": True, "fail_value": failed},
        "stale": {"failed": True, "fail_value": failed, "ingested_later": True},
        "null": {"unpoppable": True, "fail_value": None},
        "late": {"unpoppable": True, "fail_value": never, "after": None, "due": False},
        "infinity": {"unpoppable": True, "fail_value": "infinity" if table.stamped else None},
        "both": {"inprogress": True, "failed": True, "fail_value": failed},
    }[kind]
    destination = extra.pop("destination", "https://archive.example.org" if table.has("destination") else None)
    full = {"id": number, "filename": filename, "path": path, "destination": destination, "force": bool(extra.pop("force", False))}
    known = {"filename": filename, "path": path, "destination": destination, "full": full, "added": "2026-01-01T00:00:00", "after": "2026-01-01T00:00:00"}
    return Row(number, "v%d" % number, filename, **dict(known, **dict(values, **extra)))


def state(table: Table, rows: Iterable[Row], workers: Workers | None = None, named: bool = False) -> QueueState:
    rows = tuple(rows)
    waiting = [each for each in rows if clean(each)]
    totals = Totals(len(rows), sum(each.due for each in waiting), sum(not each.due for each in waiting))
    return QueueState(table, totals, rows, workers or Workers(), named)


def workers(*lines: LogLine | None, unknown: Sequence[str] = ()) -> Workers:
    """One live worker for each line; ``None`` for one that has logged nothing."""
    live = tuple(Process(100 + n, n, ("python3", "service_ingest_queue.py"), "fitsdata") for n in range(len(lines)))
    last = {process.pid: line for process, line in zip(live, lines) if line is not None}
    return Workers(live, (), last, (), tuple(unknown))


def applied(before: QueueState, changes: Sequence[Change]) -> QueueState:
    """The state after a plan was carried out."""
    by_id = {change.before["id"]: change for change in changes if change.before is not None}
    left: list[Row] = []
    for each in before.rows:
        change = by_id.get(each.id)
        if change is None:
            left.append(each)
        elif change.after is not None:
            fail = change.after["fail_dt" if before.table.stamped else "failed"]
            left.append(each._replace(inprogress=False, failed=False, unpoppable=False, due=True, fail_value=fail, ingested_later=False, version="new"))
    return state(before.table, left, before.workers)


def collisions(table: Table, rows: Iterable[Row]) -> list[Any]:
    """Keys that a unique constraint would refuse."""
    seen = set()
    found = []
    for each in rows:
        values = each._asdict()
        values["fail_dt" if table.stamped else "failed"] = each.fail_value
        for unique in table.uniques:
            key = (unique, tuple(values[column] for column in unique))
            if None not in key[1] and key in seen:
                found.append(key)
            seen.add(key)
    return found
