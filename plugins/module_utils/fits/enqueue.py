# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What upstream's add_to_<queue>_queue.py would do for some files, and what it would silently not do. Pure.

The script always exits 0. It ignores a file whose new row would violate a unique constraint, and so loses the ``force``
that was asked for; it never looks whether an orphan will keep the new row from being popped.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Pattern, Sequence, Tuple

from ..procedure.envelope import Change, Finding, Image
from ..procedure.errors import Refusal
from .errors import FitsError
from .findings import diagnose_queue, runbook
from .queue import Judged, QueueState, Row, clean, in_progress, judge, subject_of
from .tables import STAMP, Table

_KEYWORDS = ("today", "twoday", "fourday", "tenday", "twentyday")
_CONTROL = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")
_TAKEN = re.compile(".fits|_obslog.txt|miscfile_")
_TEMPORARY = re.compile("tmp|tiled")
_PREVIEWS = {True: re.compile(".jpg"), False: re.compile("_preview.jpg")}
_SHOWN = 20


class Target(NamedTuple):
    """One row that is wanted: names as the row will hold them."""

    filename: str
    path: str
    destination: Optional[str] = None


@dataclass(frozen=True)
class Wish:
    """What was asked for, checked as far as it can be without looking at anything."""

    queue: str
    names: Tuple[str, ...]
    pattern: Optional[Pattern[str]]
    path: str
    force: bool
    destinations: Tuple[str, ...]


@dataclass(frozen=True, eq=False)
class EnqueueState:
    """The rows of the files that are wanted, at one time. Compared by identity, as QueueState is."""

    queue: QueueState
    targets: Tuple[Target, ...]
    force: bool
    forced: Mapping[int, bool]
    """The ``force`` of each standing row, where the table has it."""
    skipped: Tuple[Tuple[str, str], ...] = ()
    made: FrozenSet[str] = frozenset()
    """Subjects that this run has queued; whether their rows are still there says nothing any more."""


@dataclass(frozen=True)
class Standing:
    """How one target stands: add, queued, or a guard's name. ``row`` is what stands there or in the way."""

    target: Target
    kind: str
    why: str = ""
    row: Optional[Row] = None
    passes: bool = False
    """What is in the way goes away by itself."""


# -- what was asked for -----------------------------------------------------------------------------------------------


def read_wish(params: Mapping[str, Any]) -> Wish:
    """Options in, wish out; a FitsError for the first thing that upstream would not do, or not as it was meant."""
    queue, file_re, destinations = params["queue"], params["file_re"], tuple(dict.fromkeys(params["destination"] or ()))
    if queue == "export":
        if file_re is not None:
            raise FitsError("file_re is for the ingest queue: files are exported by name")
        if params["force"]:
            raise FitsError("the export queue knows no force: an export always compares with what the destination has")
        if not destinations:
            raise FitsError("an export needs a destination")
    elif destinations:
        raise FitsError("destination is for the export queue")
    names = tuple(sorted(set(params["filename"] or ())))
    if file_re is None and not names:
        raise FitsError("no file is named: pass filename or file_re")
    for text in names:
        check_name(text)
    for text in destinations:
        if not text.strip() or _CONTROL.search(text):
            raise FitsError("destination %r cannot be passed to upstream's script" % text)
    pattern = None if file_re is None else compile_pattern(file_re)
    return Wish(queue, names, pattern, normal_path(params["path"]), bool(params["force"]), destinations)


def check_name(name: str) -> None:
    """Refuse what is not one file's name, or would reach upstream as another name."""
    if not name or name in (".", "..") or "/" in name:
        raise FitsError("%r is not the name of a file: pass its directory as path, relative to the storage root" % name)
    if _CONTROL.search(name) or name != name.strip() or not _encodable(name):
        raise FitsError(
            "file name %r cannot be queued: upstream reads names line by line, strips them, and stores UTF-8;"
            " control characters, outer blanks and other bytes do not survive that" % name
        )


def normal_path(text: str) -> str:
    """The path as upstream's rows have it: relative, without dots and outer slashes, empty for the storage root."""
    if text.startswith("/") or ".." in text.split("/"):
        raise FitsError("path %r must be relative to the storage root and stay below it" % text)
    if _CONTROL.search(text) or not _encodable(text):
        raise FitsError("path %r holds characters that cannot be queued" % text)
    path = posixpath.normpath(text)
    return "" if path == "." else path


def compile_pattern(file_re: str) -> Pattern[str]:
    if file_re in _KEYWORDS:
        raise FitsError(
            "file_re %s is not taken: it means dates in the file name, counted back from today in UTC, and a different number of"
            " days in different generations (fourday is 3 days or 4). Pass the dates, e.g. file_re: '20260130|20260131'." % file_re
        )
    try:
        return re.compile(file_re)
    except re.error as exc:
        raise FitsError("file_re %r is not a regular expression: %s" % (file_re, exc)) from exc


def skip_reason(name: str, table: Table) -> str:
    """Why upstream would pass over a file of this name without a word; empty when it would not."""
    if _TEMPORARY.search(name):
        return "its name holds tmp or tiled"
    if _PREVIEWS[table.stamped].search(name):
        return "its name is that of a preview"
    return "" if _TAKEN.search(name) else "its name holds none of .fits, _obslog.txt and miscfile_"


def check_not_skipped(names: Iterable[str], table: Table) -> None:
    """A file that is named outright and would be passed over is an error."""
    for name in names:
        reason = skip_reason(name, table)
        if reason:
            raise FitsError("upstream would silently skip %s: %s" % (name, reason))


def select(listing: Iterable[str], pattern: Pattern[str], table: Table) -> Tuple[List[str], List[Tuple[str, str]]]:
    """Names that upstream's unanchored search finds in a directory, sorted, and those of them that it would skip."""
    found = sorted(filter(pattern.search, listing))
    reasons = {name: skip_reason(name, table) for name in found}
    chosen = [name for name in found if not reasons[name]]
    for name in chosen:
        check_name(name)
    return chosen, [(name, reasons[name]) for name in found if reasons[name]]


def stem(name: str) -> str:
    """The name as ``file.name`` has it, which is what a selection compares."""
    return name[:-4] if name.endswith(".bz2") else name


def exported(name: str, present: Sequence[Tuple[Any, ...]], path: str) -> Tuple[str, str]:
    """File name and path of the one row that an export of this name would get, from the present diskfile rows of that name."""
    if not present:
        raise FitsError("%s has no present diskfile row: it was never ingested, or has been removed. Ingest it first." % name)
    places = ["%s/%s" % (row[2], row[1]) if row[2] else row[1] for row in present]
    if len(present) > 1:
        raise FitsError("%s is present %d times (%s): upstream would queue only one of them, and not say which" % (name, len(present), ", ".join(places)))
    _stem, filename, where, has_header = present[0]
    if not has_header:
        raise FitsError("%s has no header row (an obslog, a miscfile, or a broken file): upstream selects by header and would find nothing" % name)
    if path and path != where:
        raise FitsError("%s is present as %s, not in path %s" % (name, places[0], path))
    return filename, where


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


# -- how each file stands ---------------------------------------------------------------------------------------------


def row_of(table: Table, target: Target) -> Row:
    """The row that upstream would add, as far as constraints and subjects ask."""
    fail_value = STAMP if table.stamped else False
    return Row(0, "", target.filename, target.filename, target.path, target.destination, fail_value=fail_value)


def subject(table: Table, target: Target) -> str:
    return subject_of(table, row_of(table, target))


def same_work(row: Row, target: Target) -> bool:
    return (row.filename, row.path or "", row.destination) == (target.filename, target.path, target.destination)


@lru_cache(maxsize=2)
def standings(state: EnqueueState) -> Tuple[Standing, ...]:
    """How every target stands, in order; what this run has queued is left out."""
    table = state.queue.table
    by_name: Dict[Optional[str], List[Judged]] = {}
    for judged in judge(state.queue).judged:
        by_name.setdefault(judged.row.filename, []).append(judged)
    found = []
    for target in state.targets:
        if subject(table, target) in state.made:
            continue
        standing = _Looker(state, target, by_name.setdefault(target.filename, [])).look()
        if standing.kind == "add":
            by_name[target.filename].append(Judged(row_of(table, target), "pending"))
        found.append(standing)
    return tuple(found)


class _Looker:
    """One target beside the rows of its file."""

    def __init__(self, state: EnqueueState, target: Target, rows: Sequence[Judged]) -> None:
        self.state = state
        self.table = state.queue.table
        self.target = target
        self.rows = rows

    def look(self) -> Standing:
        mine = [judged for judged in self.rows if same_work(judged.row, self.target)]
        orphan = next((judged.row for judged in self.rows if judged.condition == "orphaned"), None)
        waiting = next((judged.row for judged in mine if clean(judged.row)), None)
        busy = next((judged for judged in mine if in_progress(judged.row) and judged.condition != "orphaned"), None)
        obstacle = next((judged for judged in self.rows if self._in_the_way(judged)), None)
        if orphan is not None:
            return self._orphan(orphan, obstacle)
        if waiting is not None:
            return self._there(waiting, "waits already")
        if obstacle is None:
            return self._free()
        if busy is not None:
            return self._there(busy.row, "is in progress" if busy.may_be_live else "backs off; the service tries it again by itself")
        return self._blocked(obstacle)

    def _there(self, row: Row, how: str) -> Standing:
        if self.state.force and not self.state.forced.get(row.id):
            return Standing(self.target, "force_lost", "row %d %s without force" % (row.id, how), row)
        return Standing(self.target, "queued", "row %d %s" % (row.id, how), row)

    def _orphan(self, orphan: Row, obstacle: Optional[Judged]) -> Standing:
        if obstacle is not None and obstacle.row is orphan:
            return Standing(self.target, "blocked", "row %d is in progress and no worker can be on it; upstream would ignore the new row" % orphan.id, orphan)
        return Standing(self.target, "starved", "row %d is in progress and no worker can be on it; nothing of the same file is popped" % orphan.id, orphan)

    def _blocked(self, obstacle: Judged) -> Standing:
        row, passes = obstacle.row, clean(obstacle.row) or in_progress(obstacle.row)
        if row.id == 0:
            why = "this schema lets a file wait for one destination at a time; %s comes first in this very plan" % row.destination
        elif passes:
            why = "row %d of the same file (%s) is on the queue, and a unique constraint allows one at a time" % (row.id, subject_of(self.table, row))
        else:
            why = "row %d is %s, and upstream would ignore the new row because of it" % (row.id, obstacle.condition)
        return Standing(self.target, "blocked", why, row, passes)

    def _free(self) -> Standing:
        ahead = next((judged.row for judged in self.rows if in_progress(judged.row)), None)
        if ahead is None:
            return Standing(self.target, "add", "it is not on the queue")
        return Standing(self.target, "add", "it is not on the queue; row %d of the same file is in progress and comes first" % ahead.id, ahead)

    def _in_the_way(self, judged: Judged) -> bool:
        """Would upstream leave the new row out because of this one?"""
        row = judged.row
        if (self.table.queue, self.table.generation) == ("export", "A") and same_work(row, self.target):
            return True
        if self.table.backs_off_in_progress and judged.condition == "deferred" and in_progress(row):
            # The service clears inprogress to try it again, and would then run into the new row.
            row = row._replace(inprogress=False)
        mine, theirs = constrained(self.table, row_of(self.table, self.target)), constrained(self.table, row)
        return any(
            all(mine[column] is not None and mine[column] == theirs[column] for column in unique)
            for unique in self.table.uniques
            if all(column in mine for column in unique)
        )


def constrained(table: Table, row: Row) -> Dict[str, Any]:
    """Values of the columns that unique constraints name."""
    values = {"filename": row.filename, "path": row.path, "destination": row.destination, "inprogress": row.inprogress}
    return dict(values, **{"fail_dt" if table.stamped else "failed": row.fail_value})


# -- what comes of it -------------------------------------------------------------------------------------------------


def plan_enqueue(state: EnqueueState) -> List[Change]:
    """A change for each file that would get a row."""
    table = state.queue.table
    return [
        Change("enqueue", subject(table, standing.target), None, image_of(table, standing.target, state.force), standing.why)
        for standing in standings(state)
        if standing.kind == "add"
    ]


def image_of(table: Table, target: Target, force: bool) -> Image:
    image: Image = {"filename": target.filename, "path": target.path, "inprogress": False}
    if table.has("destination"):
        image["destination"] = target.destination
    if table.has("force"):
        image["force"] = force
    return image


def refuse(state: EnqueueState) -> List[Refusal]:
    """A refusal for each way in which upstream would silently do something else."""
    table, refusals = state.queue.table, []
    for guard in ("force_lost", "starved", "blocked"):
        found = [standing for standing in standings(state) if standing.kind == guard]
        if found:
            more = ", and so for %d more of %d files" % (len(found) - 1, len(state.targets)) if len(found) > 1 else ""
            reason = "%s: %s%s." % (subject(table, found[0].target), found[0].why, more)
            refusals.append(Refusal(guard, reason, _allow(table.queue, guard, found)))
    return refusals


def _allow(queue: str, guard: str, found: Sequence[Standing]) -> str:
    if guard == "force_lost":
        return "leave force out, or run it again when the row has been served: upstream keeps the row that stands and forgets the force."
    waits = [standing.target.filename for standing in found if standing.passes]
    resets = [standing.target.filename for standing in found if not standing.passes]
    words = ["run fits_queue_reset on %s first, with the workers stopped (the playbook fits_%s_queue.yml does both)" % (_some(resets), queue)] if resets else []
    words += ["run it again for %s when the other row has been served" % _some(waits)] if waits else []
    return "; ".join(words) + "."


def diagnose(state: EnqueueState) -> List[Finding]:
    """What is there already, what this run has added, and what is wrong with the rows of these files."""
    queue = state.queue.table.queue
    found = []
    for kind, code, words in (
        ("add", "not_queued", "not on the %s queue: %s"),
        ("queued", "already_queued", "on the %s queue already: %s"),
    ):
        rows = [standing for standing in standings(state) if standing.kind == kind]
        if rows:
            names = [standing.target.filename for standing in rows]
            detail = {"count": len(rows), "filenames": names[:_SHOWN], "why": rows[0].why, "ids": [row.row.id for row in rows[:_SHOWN] if row.row]}
            summary = words % (queue, _some(names))
            found.append(Finding("fits.%s.%s" % (queue, code), "info", queue + " queue", summary, detail, None, runbook(queue)))
    if state.made:
        summary = "added to the %s queue: %s" % (queue, _some(sorted(name.partition(":")[2] for name in state.made)))
        found.append(Finding("fits.%s.queued" % queue, "ok", queue + " queue", summary, {"count": len(state.made)}, None, runbook(queue)))
    return found + [finding for finding in diagnose_queue(state.queue) if finding.severity in ("warning", "critical")]


def _some(names: Iterable[str]) -> str:
    listed = list(dict.fromkeys(names))
    return ", ".join(listed[:3]) + (" and %d more" % (len(listed) - 3) if len(listed) > 3 else "")
