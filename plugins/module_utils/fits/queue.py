# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What state each queue row is in, and what would mend it. Pure: rows and evidence in, conditions and changes out.

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

from ..procedure.envelope import Change, Image
from .tables import STAMP, Table
from .workers import Workers

CONDITIONS = ("pending", "deferred", "in_progress", "orphaned", "failed", "stale", "starved", "unpoppable")
REPAIRS = ("failed", "orphaned", "twin", "unpoppable", "stale")
LONG_AGO = "1970-01-01T00:00:00"
_INSTRUCTIONS = (
    "force", "force_md5", "header_fields", "md5_before_header", "md5_after_header",
    "md5_before_header_update", "md5_after_header_update", "header_update", "scavengeonly",
)  # fmt: skip
"""Columns by which a row asks for more than plain processing: lost when the row is dropped for one that lacks them."""


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


@dataclass(frozen=True)
class Totals:
    """Aggregates over all rows of a queue that wait in the plainest way: not in progress, not failed, poppable."""

    rows: int = 0
    ready: int = 0
    not_due: int = 0
    oldest_age: Optional[float] = None


@dataclass(frozen=True)
class Judged:
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


# -- the plan ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """A row that asks for a repair which this plan does not make, and why."""

    row: Row
    why: str


@lru_cache(maxsize=1)
def plan_reset(state: QueueState, conditions: Tuple[str, ...]) -> Tuple[List[Change], List[Left]]:
    """Changes that mend the rows of the given conditions, never colliding with each other or with what stays."""
    changes: List[Change] = []
    left: List[Left] = []
    groups: Dict[Any, List[Judged]] = {}
    for judged in judge(state).judged:
        groups.setdefault(judged.row.group, []).append(judged)
    for rows in groups.values():
        if any(judged.condition in ("orphaned", "failed", "unpoppable", "stale") for judged in rows):
            planner = _GroupPlanner(state.table, rows, set(conditions))
            planner.run()
            changes += planner.changes
            left += planner.left
    return changes, left


_ORDER = {"orphaned": 0, "unpoppable": 1, "failed": 2, "stale": 3}


class _GroupPlanner:
    """The rows of one file: which are reset, which are dropped for another, which must wait."""

    def __init__(self, table: Table, rows: Sequence[Judged], conditions: Set[str]) -> None:
        self.table = table
        self.conditions = conditions
        self.broken = sorted((judged for judged in rows if judged.condition in _ORDER), key=self._rank)
        self.kept: List[Row] = [judged.row for judged in rows if judged.condition not in _ORDER]
        self.changes: List[Change] = []
        self.left: List[Left] = []

    def _rank(self, judged: Judged) -> Tuple[bool, bool, int, int]:
        """What is kept when only one can be: what is to be reset at all, what holds the key of a clean row already
        (only its time keeps it from being popped), an orphan before a failure, the newest of several."""
        row = judged.row
        holds_key = row.inprogress is False and row.fail_value == (STAMP if self.table.stamped else False)
        return (judged.condition not in self.conditions, not holds_key, _ORDER[judged.condition], -row.id)

    def run(self) -> None:
        for judged in self.broken:
            if judged.condition == "stale":
                self._stale(judged.row)
            else:
                self._broken(judged)

    def _stale(self, row: Row) -> None:
        if "stale" in self.conditions:
            self._drop(row, None, "the file was ingested after this failure: nothing is left to do for it")

    def _broken(self, judged: Judged) -> None:
        row, rival = judged.row, self._rival(judged)
        wanted = judged.condition in self.conditions
        if rival is None:
            if wanted:
                self._reset(judged)
        elif _same_work(row, rival):
            self._twin(row, rival, wanted)
        elif clean(rival) and "twin" in self.conditions and judged.condition == "orphaned":
            self._drop(row, rival, _forced_out(self.table, row, rival))
        elif wanted:
            then = "run again when that has been served" if clean(rival) else "that one must be mended with it"
            self.left.append(Left(row, "row %d of the same file collides with it under a unique constraint: %s" % (rival.id, then)))

    def _rival(self, judged: Judged) -> Optional[Row]:
        """A row that stays and does the same work, or that a unique constraint would not allow beside this one once reset."""
        target = reset_image(self.table, judged.row, judged.condition == "failed")
        same = next((other for other in self.kept if _same_work(judged.row, other)), None)
        gone = {change.before["id"] for change in self.changes if change.before is not None}
        staying = [other.row for other in self.broken if other.condition not in self.conditions and other.row.id not in gone | {judged.row.id}]
        return same or next((other for other in self.kept + staying if self._collide(target, judged.row, other)), None)

    def _twin(self, row: Row, rival: Row, wanted: bool) -> None:
        if self._resets(rival):
            if wanted or "twin" in self.conditions:
                self._drop(row, rival, "row %d of the same file is reset: one is enough" % rival.id)
        elif "twin" in self.conditions:
            self._drop(row, rival, "row %d waits for the same file: the stuck twin is removed so that it is served" % rival.id)
        elif wanted:
            self.left.append(Left(row, "row %d of the same file is waiting: it needs the condition twin" % rival.id))

    def _resets(self, rival: Row) -> bool:
        """Whether the rival waits only because this plan puts it back in line."""
        return any(change.after is not None and change.after["id"] == rival.id for change in self.changes)

    def _reset(self, judged: Judged) -> None:
        row, target = judged.row, reset_image(self.table, judged.row, judged.condition == "failed")
        reason = _RESET_REASONS[judged.condition]
        self.changes.append(Change("reset", subject_of(self.table, row), image_of(self.table, row), target, reason, token=Token(row.version)))
        self.kept.append(row._replace(inprogress=False, failed=False, unpoppable=False, due=True, fail_value=target[_fail_column(self.table)]))

    def _drop(self, row: Row, survivor: Optional[Row], reason: str) -> None:
        lost = lost_instructions(row, survivor)
        loss = "%s of %s row %d" % (" and ".join(lost), self.table.queue, row.id) if lost else ""
        token = Token(row.version, survivor.id if survivor else None, survivor.version if survivor else None)
        self.changes.append(Change("remove", subject_of(self.table, row), row.full, None, reason, data_loss=loss, token=token))

    def _collide(self, target: Image, row: Row, other: Row) -> bool:
        """Would the row, once reset, violate a unique constraint with the other as it stands? NULLs never collide."""
        mine = _values(self.table, row._replace(inprogress=target["inprogress"], fail_value=target[_fail_column(self.table)]))
        theirs = _values(self.table, other)
        return any(
            all(mine.get(column) is not None and mine.get(column) == theirs.get(column) for column in unique)
            for unique in self.table.uniques
            if all(column in mine for column in unique)
        )


_RESET_REASONS = {
    "orphaned": "in progress, and no worker can be on it",
    "failed": "failed; it is to be tried again",
    "unpoppable": "holds NULL or infinity where the pop compares, so it would never be taken",
}


def _forced_out(table: Table, row: Row, rival: Row) -> str:
    """An orphan that starves a row of other work and can neither stay nor be reset beside it."""
    return (
        "row %d of the same file waits for ever behind this orphan, and a unique constraint allows only one of them in line:"
        " the orphan is removed; queue %s again when row %d has been served" % (rival.id, subject_of(table, row), rival.id)
    )


def _fail_column(table: Table) -> str:
    return "fail_dt" if table.stamped else "failed"


def _values(table: Table, row: Row) -> Dict[str, Any]:
    values = {"filename": row.filename, "path": row.path, "destination": row.destination, "inprogress": row.inprogress}
    values[_fail_column(table)] = row.fail_value
    if table.group not in values:
        values[table.group] = row.group
    return values


def _same_work(row: Row, other: Row) -> bool:
    return clean(other) and row.group is not None and (row.group, row.path or "", row.destination) == (other.group, other.path or "", other.destination)


def lost_instructions(row: Row, survivor: Optional[Row]) -> List[str]:
    """Names of what a dropped row asks for and the surviving one does not."""
    if not row.full:
        return []
    other = (survivor.full if survivor else None) or {}
    return [name for name in _INSTRUCTIONS if row.full.get(name) and row.full.get(name) != other.get(name)]


def image_of(table: Table, row: Row) -> Image:
    """The columns that a reset may touch, as they are, with what names the row for a person."""
    image: Image = {"id": row.id, "inprogress": row.inprogress, _fail_column(table): row.fail_value}
    if table.has("filename"):
        image["filename"] = row.filename
    for column, value in (("path", row.path), ("destination", row.destination), ("after", row.after), ("error", row.error)):
        if table.has(column):
            image[column] = value
    return image


def reset_image(table: Table, row: Row, failed: bool) -> Image:
    """The row ready to be popped now. The error of a failure goes with it; ``after`` is brought back when it lies ahead."""
    image = image_of(table, row)
    image["inprogress"] = False
    image[_fail_column(table)] = STAMP if table.stamped else False
    if table.has("after") and not row.due:
        image["after"] = row.added_usable or LONG_AGO
    if table.has("error") and failed:
        image["error"] = None
    return image


def subject_of(table: Table, row: Row) -> str:
    """Queue, path and file, and the destination of an export: the same for a later row of the same work."""
    name = row.filename if row.filename is not None else "%s=%s" % (table.group, row.group)
    place = "%s/%s" % (row.path.strip("/"), name) if row.path else name
    return "%s:%s%s" % (table.queue, place, " -> %s" % row.destination if row.destination else "")
