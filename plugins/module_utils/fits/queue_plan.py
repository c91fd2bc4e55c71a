# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What would mend queue rows. Pure: conditions in, changes out. Apart from ``queue``, so that a look need not load it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..procedure.envelope import Change, Image
from .queue import Judged, QueueState, Row, Token, clean, judge, subject_of
from .tables import STAMP, Table

LONG_AGO = "1970-01-01T00:00:00"
_INSTRUCTIONS = (
    "force", "force_md5", "header_fields", "md5_before_header", "md5_after_header",
    "md5_before_header_update", "md5_after_header_update", "header_update", "scavengeonly",
)  # fmt: skip
"""Columns by which a row asks for more than plain processing: lost when the row is dropped for one that lacks them."""


class Left(NamedTuple):
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
