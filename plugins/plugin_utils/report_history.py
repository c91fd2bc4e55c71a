# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier reports say of today's findings and fixes. Pure: documents in, a document out.

A finding is cleared only by a check that has reported it, that looked again and was not cut short. A run that looks at
some hosts, or with some of the checks, says nothing about the others.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from .report_read import SEVERITIES, host_key

KNOWN_VERSION = 2
_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

Key = Tuple[str, str, str]
Check = Tuple[str, str]
Made = Tuple[str, str, str, str]


class Stood(NamedTuple):
    """A finding of one run on one host."""

    key: Key
    severity: str
    summary: str
    cleared: bool
    checks: Tuple[str, ...]
    entry: Any
    """Where the document has it."""


class Run(NamedTuple):
    """What is read of one report."""

    started: str
    findings: List[Stood]
    looked: Set[Check]
    made: List[Made]
    trend: Dict[str, Any]


@dataclass
class Record:
    """One finding through the runs."""

    key: Key
    since: str
    severity: str = ""
    summary: str = ""
    last_seen: str = ""
    standing: bool = True
    came_back: int = 0
    touched: str = ""
    checks: Set[str] = field(default_factory=set)

    def told(self) -> Dict[str, Any]:
        host, code, subject = self.key
        past = {"host": host, "code": code, "severity": self.severity, "subject": subject, "summary": self.summary}
        return dict(past, since=self.since, last_seen=self.last_seen, came_back=self.came_back)


def read_run(document: Any) -> Run:
    """The parts that count; ValueError for what is no report of a form that is known."""
    if not isinstance(document, Mapping) or "schema_version" not in document:
        raise ValueError("no report")
    if document["schema_version"] != KNOWN_VERSION:
        raise ValueError("a report of form %.20s; this version reads %d" % (document["schema_version"], KNOWN_VERSION))
    try:
        started = document["run"]["started"]
        if not _TIME.match(started):
            raise ValueError("the time of its start cannot be read")
        looked = {(check["host"], check["id"]) for check in document["checks"] if check["outcome"] == "looked"}
        return Run(started, list(_stood(document)), looked, [key for entry, change in _fixes(document) for key in _made(entry, change)], _trend(document))
    except (KeyError, TypeError, AttributeError, IndexError) as exc:
        raise ValueError("damaged: %s %s" % (type(exc).__name__, exc)) from exc


def _stood(document: Mapping[str, Any]) -> Iterable[Stood]:
    for group in document["findings"]:
        if group["severity"] == "ok":
            continue
        code, subject, severity, summary = (str(group[name]) for name in ("code", "subject", "severity", "summary"))
        if severity not in SEVERITIES:
            raise ValueError("damaged: a severity that is not known")
        for entry in group["hosts"]:
            yield Stood((str(entry["host"]), code, subject), severity, summary, bool(group["cleared"]), tuple(map(str, entry["checks"])), entry)


def _fixes(document: Mapping[str, Any]) -> Iterable[Tuple[Dict[str, Any], Dict[str, Any]]]:
    for entry in document["changes"]:
        for change in entry["changes"]:
            yield entry, change


def _made(entry: Mapping[str, Any], change: Mapping[str, Any]) -> List[Made]:
    key = _fix_key(entry, change)
    return [key] if change["done"] and not entry["check_mode"] else []


def _fix_key(entry: Mapping[str, Any], change: Mapping[str, Any]) -> Made:
    return str(entry["ran_on"]), str(entry["action"]), str(change["action"]), str(change["subject"])


def _trend(document: Mapping[str, Any]) -> Dict[str, Any]:
    totals = document["totals"]
    numbers = {name: _number(totals[name]) for name in ("critical", "warning", "changes_done")}
    unreachable = len({str(entry["host"]) for entry in document["unreachable"]})
    playbooks = [str(name) for name in document["run"]["playbooks"]]
    return dict(numbers, started=document["run"]["started"], playbooks=playbooks, unreachable=unreachable, hosts=len(document["hosts"]))


def _number(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("damaged: a count that is no number")
    return value


def with_history(document: Mapping[str, Any], earlier: Sequence[Run], skipped: Sequence[Mapping[str, str]] = ()) -> Dict[str, Any]:
    """The same document, with what the earlier runs say. Changes its entries of findings and changes in place."""
    today = read_run(document)
    before = sorted((run for run in earlier if run.started <= today.started), key=lambda run: run.started)
    records = _Records()
    for run in before:
        records.walk(run)
    stood = {id(record) for record in records.standing()}
    matched = records.walk(today)
    counts = Counter(_tell(entry.entry, record, id(record) in stood, entry.cleared) for entry, record in matched)
    gone = [record for record in records.all() if id(record) in stood and not record.standing and record.touched != records.run]
    left = [record for record in records.standing() if record.touched != records.run]
    _count_fixes(document, before)
    history = {
        "runs": len(before),
        "first": before[0].started if before else None,
        "new": counts["new"],
        "persisting": counts["persisting"],
        "cleared": _past(gone),
        "not_looked": _past(left),
        "trend": [run.trend for run in before] + [today.trend],
        "skipped": [dict(entry) for entry in skipped],
    }
    return dict(document, history=history)


def _tell(entry: Dict[str, Any], record: Record, stood: bool, cleared: bool) -> str:
    status = "cleared" if cleared else "persisting" if stood else "new"
    entry.update(since=record.since, status=status, came_back=record.came_back)
    return status


def _past(records: Iterable[Record]) -> List[Dict[str, Any]]:
    order = {word: n for n, word in enumerate(reversed(SEVERITIES))}
    return [record.told() for record in sorted(records, key=lambda one: (order[one.severity], host_key(one.key[0]), one.key))]


class _Records:
    """All findings of all runs so far."""

    def __init__(self) -> None:
        self._by_key: Dict[Key, List[Record]] = {}
        self.run = ""

    def all(self) -> List[Record]:
        return [record for records in self._by_key.values() for record in records]

    def standing(self) -> List[Record]:
        return [record for record in self.all() if record.standing]

    def walk(self, run: Run) -> List[Tuple[Stood, Record]]:
        """Take one run, oldest first; its findings, each with its record."""
        self.run = "%s %d" % (run.started, id(run))
        matched = [(stood, self._stand(stood, run)) for stood in run.findings if not stood.cleared]
        matched += [(stood, self._clear(stood, run)) for stood in run.findings if stood.cleared]
        for record in self.standing():
            if record.touched != self.run and any((record.key[0], check) in run.looked for check in record.checks):
                record.standing = False
        return matched

    def _stand(self, stood: Stood, run: Run) -> Record:
        record = self._find(stood, run) or self._new(stood, run)
        if not record.standing:
            record.standing, record.since = True, run.started
            record.came_back += 1
        self._touch(record, stood, run)
        return record

    def _clear(self, stood: Stood, run: Run) -> Record:
        """Cleared within the run; not where the same stands on, of another severity or told in other words."""
        record = self._find(stood, run)
        if record is not None and record.touched == self.run:
            return record
        record = record or self._new(stood, run)
        if not record.standing:
            record.since = run.started
            record.came_back += 1
        record.standing = False
        self._touch(record, stood, run)
        return record

    def _touch(self, record: Record, stood: Stood, run: Run) -> None:
        record.severity, record.summary = stood.severity, stood.summary
        record.last_seen, record.touched = run.started, self.run
        record.checks.update(stood.checks)

    def _new(self, stood: Stood, run: Run) -> Record:
        record = Record(stood.key, run.started)
        self._by_key.setdefault(stood.key, []).append(record)
        return record

    def _find(self, stood: Stood, run: Run) -> Optional[Record]:
        """The one that a same check has reported; else one whose checks did not look, as their options may have changed since."""
        records = self._by_key.get(stood.key, [])
        same = next((record for record in records if record.checks & set(stood.checks)), None)
        unseen = (record for record in records if not any((stood.key[0], check) in run.looked for check in record.checks))
        return same or next(unseen, None)


def _count_fixes(document: Mapping[str, Any], before: Iterable[Run]) -> None:
    counts = Counter(key for run in before for key in run.made)
    for entry in document["changes"]:
        for change in entry["changes"]:
            change["made_before"] = counts[_fix_key(entry, change)]
            counts.update(_made(entry, change))
        entry["made_before"] = max((change["made_before"] for change in entry["changes"]), default=0)
