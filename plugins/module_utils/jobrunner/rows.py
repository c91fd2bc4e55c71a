# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of ``job`` and ``flags``, changed one short transaction at a time, and only where they are still as they were seen."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.sqlite import Database, row_dict
from ..procedure.envelope import Change, Image, Outcome, same
from .errors import JobRunnerError
from .tables import COLUMNS, jobs
from .transitions import TOUCHED, Columns, Row, killed, reset

JOB, FLAG = "job:", "flag:"
"""Subjects of changes."""
CHANGED = "the row was changed or removed since it was read: left alone"
KNOWN = frozenset(COLUMNS[max(COLUMNS)])
_UPSERT = """
INSERT INTO flags (id, value, timestamp) VALUES (?, ?, ?)
ON CONFLICT (id) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp
"""
_AGAIN: Dict[str, Callable[[Row, float], Columns]] = {"killed_by_admin": killed, "waiting_on_reboot": reset}


def job_subject(job_id: str) -> str:
    return JOB + job_id


def image(row: Row, columns: Sequence[str]) -> Image:
    """What a change writes of a row, and which row it is."""
    return {name: row[name] for name in ("id", *columns)}


def row_change(action: str, row: Row, columns: Columns, shown: Sequence[str], reason: str, reversible: bool) -> List[Change]:
    """A transition as a change. Times are those of the moment when it is made: the journal has them then, a plan cannot."""
    if not columns:
        return []
    timeless = {name: value for name, value in columns.items() if name != TOUCHED and not isinstance(value, int)}
    why = "%s; it is %s (%s)" % (reason, row["state"], row["status_code"])
    return [Change(action, job_subject(row["id"]), image(row, shown), dict(timeless, id=row["id"]), why, reversible)]


def is_as(row: Optional[Row], seen: Mapping[str, Any]) -> bool:
    return row is not None and all(same(row[name], value) for name, value in seen.items())


def write_job(database: Database, job_id: str, columns: Columns) -> None:
    """Within a transaction."""
    unknown = set(columns) - KNOWN
    if unknown:
        raise ValueError("no columns of job: %s" % ", ".join(sorted(unknown)))
    settings = ", ".join('"%s" = ?' % name for name in columns)
    database.query("UPDATE job SET %s WHERE id = ?" % settings, [*columns.values(), job_id])  # noqa: S608  names of columns, each known


def change_job(database: Database, change: Change, columns_of: Callable[[Row], Columns], shown: Sequence[str], follow: bool = False) -> Outcome:
    """Make one transition. ``follow``: the main loop may have moved the job on meanwhile; the transition is made from where it is."""
    seen = change.before or {}
    with database.writing():
        row = jobs(database, [seen["id"]]).get(seen["id"])
        if row is None or not (follow or is_as(row, seen)):
            now = "it is gone" if row is None else "it is %s (%s)" % (row["state"], row["status_code"])
            raise JobRunnerError("job %s has moved on since it was looked at: %s. Its row was left alone; run it again" % (seen["id"], now))
        columns = columns_of(row)
        if not columns:
            return Outcome(False, "it is %s by now: left as it is" % row["status_code"])
        write_job(database, row["id"], columns)
    return Outcome(True, actual=image(dict(row, **columns), shown))


def put_back(database: Database, changes: Sequence[Change], now: float) -> List[Outcome]:
    """Move rows of jobs and flags from ``before`` to ``after``, all or none."""
    with database.writing():
        outcomes = [_put_back(database, change, now) for change in changes]
        if not all(outcome.done for outcome in outcomes):
            raise Moved
    return outcomes


class Moved(Exception):
    """A row was changed between plan and change."""


def _put_back(database: Database, change: Change, now: float) -> Outcome:
    is_job = change.subject.startswith(JOB)
    name = change.subject[len(JOB if is_job else FLAG) :]
    row = (jobs(database, [name]) if is_job else flag_rows(database)).get(name)
    if not (is_as(row, change.before) if change.before is not None else row is None):
        return Outcome(False, CHANGED)
    if is_job:
        columns = {key: value for key, value in (change.after or {}).items() if key != "id"}
        again = _AGAIN.get(str(columns.get("status_code")))
        stamps = again(row or {}, now) if again and "status_code_updated_at" not in columns else {}  # never marked, so never kept
        write_job(database, name, dict(stamps, **columns, **{TOUCHED: int(now)}))
    else:
        write_flag(database, name, change.after and dict({"timestamp": now}, **change.after))
    return Outcome(True)


def flag_rows(database: Database) -> Dict[str, Dict[str, Any]]:
    """Rows of ``flags`` by name, whole."""
    return {row["id"]: row_dict(row) for row in database.query("SELECT id, value, timestamp FROM flags")}


def write_flag(database: Database, name: str, row: Optional[Mapping[str, Any]]) -> None:
    """Within a transaction. The time stamp is always given: the table's own default is a text that upstream cannot read."""
    if row is None:
        database.query("DELETE FROM flags WHERE id = ?", [name])
        return
    database.query(_UPSERT, [name, row["value"], row["timestamp"]])


def now_images(database: Database, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
    """Rows of jobs and flags as they are now, in the columns that the changes name."""
    found = jobs(database, [change.subject[len(JOB) :] for change in changes if change.subject.startswith(JOB)])
    flags = flag_rows(database)
    images: List[Tuple[Optional[Image], Any]] = []
    for change in changes:
        is_job = change.subject.startswith(JOB)
        row = found.get(change.subject[len(JOB) :]) if is_job else flags.get(change.subject[len(FLAG) :])
        names = set(change.before or {}) | set(change.after or {})
        images.append(({name: row[name] for name in row if name in names} if row is not None else None, None))
    return images
