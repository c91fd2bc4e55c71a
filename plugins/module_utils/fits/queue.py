# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state each queue row is in. Pure: rows and evidence in, conditions out.

A row counts once, under what explains it best:

    in progress  -> in_progress (a worker is, or may be, on it) | orphaned (no worker can be) | deferred (A's export backing off)
    never popped -> unpoppable (NULL, infinity, or a failure that lies ahead, where the pop compares)
    failed       -> failed | stale (a later ingest of the same file succeeded)
    waiting      -> starved (an orphan of the same file keeps it from being popped) | deferred (not due yet) | pending
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ..procedure.envelope import Image
from .tables import Table
from .workers import Workers

CONDITIONS = ("pending", "deferred", "in_progress", "orphaned", "failed", "stale", "starved", "unpoppable")
REPAIRS = ("failed", "orphaned", "twin", "unpoppable", "stale")


class Token(NamedTuple):
    """The version in which a row was observed, and that of the row for which it makes way."""

    version: str
    survivor: Optional[int] = None
    survivor_version: Optional[str] = None


class Row(NamedTuple):
    """One queue row that is not plainly waiting, or shares its file with one. Times are text as the server prints them."""

    id: int
    version: str
    group: Any
    filename: Optional[str]
    path: Optional[str] = None
    destination: Optional[str] = None
    inprogress: Optional[bool] = False
    failed: bool = False
    unpoppable: bool = False
    due: bool = True
    fail_value: Any = None
    """As stored: the ``failed`` flag of A and B, ``fail_dt`` of C."""
    after: Optional[str] = None
    added: Optional[str] = None
    added_usable: Optional[str] = None
    """``added`` if it is a time in the past, for rows whose ``after`` must be brought back."""
    backed_off: bool = False
    ingested_later: bool = False
    age: Optional[float] = None
    failed_at: Optional[str] = None
    error: Optional[str] = None
    full: Optional[Image] = None
    """The whole row, where it may have to be deleted."""


class Totals(NamedTuple):
    """Aggregates over all rows of a queue that wait in the plainest way: not in progress, not failed, poppable."""

    rows: int = 0
    ready: int = 0
    not_due: int = 0
    oldest_age: Optional[float] = None


class Judged(NamedTuple):
    """A row with its condition and what was inferred."""

    row: Row
    condition: str
    may_be_live: bool = False
    twin_of: Optional[int] = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class QueueState:
    """Everything about one queue at one time. Compared by identity: what is derived from it is remembered."""

    table: Table
    totals: Totals
    rows: Tuple[Row, ...]
    workers: Workers
    named: bool = False
    """Only certain file names were asked for."""


@dataclass
class Verdict:
    """What ``judge`` found in one queue."""

    judged: List[Judged] = field(default_factory=list)
    counts: Dict[str, int] = field(default_factory=dict)
    suspects: int = 0
    """Rows in progress that cannot all belong to the live workers, without telling which."""


def clean(row: Row) -> bool:
    """Waiting as upstream left it: would be popped when its time comes, were it not for a twin."""
    return row.inprogress is False and not row.failed and not row.unpoppable


def in_progress(row: Row) -> bool:
    return bool(row.inprogress) and not row.failed


def accounted_rows(table: Table, rows: Sequence[Row], workers: Workers) -> Set[int]:
    """Rows that live workers are on for certain: the last line that a worker logged names the row, and it is in progress.

    Not for A's export, which leaves rows in progress and goes on to the next.
    """
    if table.backs_off_in_progress:
        return set()
    by_id = {row.id: row for row in rows if in_progress(row)}
    by_name: Dict[Optional[str], List[int]] = {}
    for row in by_id.values():
        by_name.setdefault(row.filename, []).append(row.id)
    found: Set[int] = set()
    for process in workers.live:
        line = workers.last_lines.get(process.pid)
        if line is None or line.filename is None:
            continue
        named = [line.row_id] if line.row_id in by_id else by_name.get(line.filename, []) if line.row_id is None else []
        if len(named) == 1 and named[0] is not None:
            found.add(named[0])
    return found


@lru_cache(maxsize=4)
def judge(state: QueueState) -> Verdict:
    """Give every row its condition, and count."""
    verdict = Verdict()
    busy = [row for row in state.rows if in_progress(row) and not _backing_off(state.table, row)]
    accounted = accounted_rows(state.table, state.rows, state.workers)
    rest = [row for row in busy if row.id not in accounted]
    awake = len(state.workers.live) - len(accounted) - len(state.workers.asleep)
    working = len(state.workers.live) - len(accounted) - len(state.workers.idle)
    unsure = awake > 0 or bool(state.workers.unknown)
    verdict.suspects = max(0, len(rest) - working) if unsure else 0
    orphans: Set[int] = set() if unsure else {row.id for row in rest}
    blocker = _blockers(state.table, busy, orphans)
    verdict.judged = [_judge_row(state, row, orphans, accounted, blocker) for row in state.rows]
    verdict.counts = dict.fromkeys(CONDITIONS, 0)
    verdict.counts.update(pending=state.totals.ready, deferred=state.totals.not_due)
    for judged in verdict.judged:
        verdict.counts[judged.condition] += 1
        if clean(judged.row):
            verdict.counts["pending" if judged.row.due else "deferred"] -= 1
    return verdict


def _blockers(table: Table, busy: Iterable[Row], orphans: Set[int]) -> Dict[Any, int]:
    """For each file, the orphan that keeps its other rows from being popped."""
    return {row.group: row.id for row in busy if row.id in orphans and row.group is not None and table.group != "id"}


def _backing_off(table: Table, row: Row) -> bool:
    return table.backs_off_in_progress and row.backed_off


def _judge_row(state: QueueState, row: Row, orphans: Set[int], accounted: Set[int], blocker: Mapping[Any, int]) -> Judged:
    if in_progress(row):
        if _backing_off(state.table, row):
            return Judged(row, "deferred", note="the export service tries it again by itself")
        if row.id in orphans:
            return Judged(row, "orphaned")
        sure = "the last log line of a live worker names it" if row.id in accounted else "a worker may be on it"
        return Judged(row, "in_progress", may_be_live=True, note=sure)
    if row.failed:
        return Judged(row, "stale", note="the file was ingested after this failure") if row.ingested_later else Judged(row, "failed")
    if row.unpoppable:
        return Judged(row, "unpoppable", note="NULL, infinity or a time that lies ahead where the pop compares: it is never popped")
    if row.group in blocker:
        return Judged(row, "starved", twin_of=blocker[row.group], note="an orphan of the same file keeps it from being popped")
    return Judged(row, "pending" if row.due else "deferred")


def subject_of(table: Table, row: Row) -> str:
    """Queue, path and file, and the destination of an export: the same for a later row of the same work."""
    name = row.filename if row.filename is not None else "%s=%s" % (table.group, row.group)
    place = "%s/%s" % (row.path.strip("/"), name) if row.path else name
    return "%s:%s%s" % (table.queue, place, " -> %s" % row.destination if row.destination else "")
