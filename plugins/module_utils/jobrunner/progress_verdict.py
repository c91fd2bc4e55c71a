# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two looks at the tables of SQL Server mean for the job that fills them. Pure."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..procedure.envelope import Finding, Remedy

RUNBOOK = ("opensafely-jobrunner.md", "Assessing query progress in mssql")
PADDED = 116
"""Characters to which tempdb pads the name of a session's own table; twelve digits follow, which tell the sessions apart."""
SHOWN = 50
_SUFFIX = re.compile(r"[0-9A-Fa-f]{12}")
_PREFIX = "jobrunner.table_progress."
_FARTHEST = 10 * 365 * 86400.0
_SEVERITIES = {
    "complete": "ok",
    "progressing": "ok",
    "seen": "info",
    "gone": "info",
    "new": "info",
    "no_estimate": "info",
    "not_moving": "warning",
    "shrinking": "warning",
}
_STUCK = (
    "find out what the query waits for before anything is killed: it may still sort or join what it is about to insert, wait for a lock, or have ended. "
    "The log of the job's container tells when it was sent; who administers the database server sees its wait type"
)
_ROLLBACK = "rows are deleted or an INSERT is rolled back: a killed query frees its table only when that is done, so do not start the job again before"


@dataclass(frozen=True)
class Wanted:
    """Which tables are meant. ``own``: the name begins with a single #, so that each session has its own table of that name."""

    name: str
    database: str
    schema: Optional[str]
    prefix: bool
    own: bool
    count: bool
    expected: Optional[int]

    def is_meant(self, name: str) -> bool:
        """Whether a table that the server found is one of them; only the padding of tempdb is not left to the server."""
        if not self.own:
            return True
        suffix = short_name(name)[1]
        return bool(suffix) and (self.prefix or not name[len(self.name) : PADDED].strip("_"))

    @property
    def called(self) -> str:
        schema = "%s." % self.schema if self.schema else ""
        return "%s%s%s in %s" % (schema, self.name, "..." if self.prefix else "", self.database)


@dataclass(frozen=True)
class Row:
    """One table at one moment. ``rows`` is None where the server keeps no count for it."""

    name: str
    schema: str
    object_id: int
    age: int
    rows: Optional[int]
    source: str


@dataclass(frozen=True)
class Look:
    """All tables at one moment. ``uncounted``: why there are estimates where rows were to be counted."""

    at: float
    rows: Tuple[Row, ...]
    uncounted: str = ""


@dataclass(frozen=True)
class ProgressState:
    """One or two looks. ``trouble`` is why there is no second one."""

    wanted: Wanted
    looks: Tuple[Look, ...]
    trouble: str
    now: float


@dataclass(frozen=True)
class Table:
    """One table in the looks that saw it. ``watched``: there were two looks, ``seconds`` apart."""

    wanted: Wanted
    first: Optional[Row]
    last: Optional[Row]
    watched: bool
    seconds: float
    now: float

    @property
    def expected(self) -> Optional[int]:
        return self.wanted.expected

    @property
    def row(self) -> Row:
        row = self.last or self.first
        if row is None:
            raise ValueError("a table that no look saw is none")
        return row

    @property
    def short(self) -> str:
        """Padding is not part of it, though what was asked for is, even if it ends like padding."""
        if not self.wanted.own:
            return self.row.name
        return self.row.name[: max(len(short_name(self.row.name)[0]), len(self.wanted.name))]

    @property
    def called(self) -> str:
        """A name for people."""
        if self.wanted.own:
            return "%s (%s)" % (self.short, short_name(self.row.name)[1])
        return "%s.%s.%s" % (self.wanted.database, self.row.schema, self.row.name)

    @property
    def grown(self) -> Optional[int]:
        """Rows that came between the looks; None where there are not two numbers of one kind."""
        first, last = self.first, self.last
        if first is None or last is None or first.rows is None or last.rows is None or first.source != last.source or not self.watched:
            return None
        return last.rows - first.rows

    @property
    def rate(self) -> Optional[float]:
        return None if self.grown is None or self.seconds <= 0 else self.grown / self.seconds

    @property
    def eta_seconds(self) -> Optional[float]:
        rows, rate = self.row.rows, self.rate
        if self.expected is None or rows is None or not rate or rate <= 0 or rows >= self.expected:
            return None
        left = (self.expected - rows) / rate
        return left if left <= _FARTHEST else None

    @property
    def status(self) -> str:
        if self.watched and (self.first is None or self.last is None):
            return "new" if self.first is None else "gone"
        if self.row.rows is None:
            return "no_estimate"
        if self.grown is not None and self.grown < 0:
            return "shrinking"
        if self.expected is not None and self.row.rows >= self.expected:
            return "complete"
        if self.grown is None:
            return "seen"
        return "progressing" if self.grown else "not_moving"

    def to_dict(self) -> Dict[str, Any]:
        rows, eta = self.row.rows, self.eta_seconds
        return {
            "name": self.row.name,
            "short_name": self.short,
            "schema": self.row.schema,
            "database": self.wanted.database,
            "object_id": self.row.object_id,
            "age": self.row.age,
            "status": self.status,
            "rows": rows,
            "rows_before": self.first.rows if self.watched and self.first else None,
            "source": self.row.source,
            "seconds": round(self.seconds, 3) if self.grown is not None else None,
            "rows_per_second": None if self.rate is None else round(self.rate, 3),
            "percent": None if rows is None or self.expected is None else round(100.0 * rows / self.expected, 1),
            "eta_seconds": None if eta is None else round(eta),
            "eta": None if eta is None else _utc(self.now + eta),
        }


def short_name(name: str) -> Tuple[str, str]:
    """The name that a session gave its own table, and what tempdb put behind it; the latter is empty when it is no such table."""
    if len(name) == PADDED + 12 and name.startswith("#") and _SUFFIX.fullmatch(name[PADDED:]):
        return name[:PADDED].rstrip("_"), name[PADDED:]
    return name, ""


def tables(state: ProgressState) -> List[Table]:
    """Each table of either look, by its id: a table that was made anew is another one. The biggest come first."""
    first, last = state.looks[0], state.looks[-1]
    watched = len(state.looks) > 1
    before, after = ({row.object_id: row for row in look.rows} for look in (first, last))
    found = [Table(state.wanted, before.get(number), after.get(number), watched, last.at - first.at, state.now) for number in dict.fromkeys([*after, *before])]
    return sorted(found, key=lambda table: (table.last is None, -(table.row.rows or 0), table.row.name))


def diagnose(state: ProgressState) -> List[Finding]:
    found = tables(state)
    told = [_of_table(table) for table in found[:SHOWN]] or [_missing(state)]
    if len(found) > 1:
        told.append(_several(state, found))
    uncounted = next((look.uncounted for look in reversed(state.looks) if look.uncounted), "")
    if uncounted:
        summary = "the rows of %s could not be counted, so they are estimated: %s" % (state.wanted.called, uncounted)
        told.append(_finding("count_unavailable", "warning", state.wanted.name, summary, {"reason": uncounted}))
    if state.trouble:
        summary = "there was no second look at %s: %s" % (state.wanted.called, state.trouble)
        told.append(_finding("interrupted", "warning", state.wanted.name, summary, {"reason": state.trouble}))
    return told


def _finding(what: str, severity: str, subject: str, summary: str, detail: Mapping[str, Any], text: str = "") -> Finding:
    return Finding(_PREFIX + what, severity, subject, summary, detail, Remedy(text) if text else None, RUNBOOK)


def _of_table(table: Table) -> Finding:
    status = table.status
    text = {"not_moving": _STUCK, "shrinking": _ROLLBACK}.get(status, "")
    return _finding(status, _SEVERITIES[status], table.called, _SENTENCES[status](table) + _outlook(table), table.to_dict(), text)


def _about(table: Table) -> str:
    return "%s%d rows" % ("" if table.row.source == "count" else "about ", table.row.rows or 0)


def _speed(table: Table) -> str:
    return "%d in %.1f s, %.3g a second" % (abs(table.grown or 0), table.seconds, abs(table.rate or 0))


_SENTENCES = {
    "seen": lambda table: "%s has %s" % (table.called, _about(table)),
    "progressing": lambda table: "%s grows: it has %s, and got %s" % (table.called, _about(table), _speed(table)),
    "not_moving": lambda table: "%s did not get a row in %.1f s: it has %s" % (table.called, table.seconds, _about(table)),
    "shrinking": lambda table: "%s loses rows: it has %s, and lost %s" % (table.called, _about(table), _speed(table)),
    "complete": lambda table: "%s has %s, which is all that is expected" % (table.called, _about(table)),
    "no_estimate": lambda table: "the server keeps no row count for %s" % table.called,
    "gone": lambda table: "%s went away while it was watched: whatever filled it is done with it" % table.called,
    "new": lambda table: "%s appeared while it was watched, and has %s" % (table.called, _about(table)),
}


def _outlook(table: Table) -> str:
    if table.expected is None or table.row.rows is None or table.status in ("complete", "gone"):
        return ""
    text = ", %.1f %% of %d" % (100.0 * table.row.rows / table.expected, table.expected)
    return (
        text
        if table.eta_seconds is None
        else "%s; at this rate it is done in %s, at %s" % (text, _duration(table.eta_seconds), _utc(table.now + table.eta_seconds))
    )


def _missing(state: ProgressState) -> Finding:
    wanted = state.wanted
    summary = "there is no table %s, or this user may not see it: SQL Server hides the names of tables that a user has no right to" % wanted.called
    text = "check the name in the job's log; the query may not have come to this table yet, or be done with it. Look as the user that the job logs in as"
    return _finding("missing", "warning", wanted.name, summary, {"table": wanted.name, "database": wanted.database, "schema": wanted.schema}, text)


def _several(state: ProgressState, found: List[Table]) -> Finding:
    wanted = state.wanted
    names = [table.called for table in found[:SHOWN]]
    why = "each session has its own, and nothing here tells which job it belongs to" if wanted.own and not wanted.prefix else "each is judged by itself"
    summary = "%d tables match %s; %s" % (len(found), wanted.called, why)
    text = "compare their ages and rows with what the job's log says; schema or a longer name narrows the choice"
    return _finding("several", "info" if wanted.prefix else "warning", wanted.name, summary, {"matched": len(found), "tables": names}, text)


def _duration(seconds: float) -> str:
    for size, unit in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return "%.1f %s" % (seconds / size, unit)
    return "%d seconds" % round(seconds)


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
