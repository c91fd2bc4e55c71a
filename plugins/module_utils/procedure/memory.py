# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal remembers of a fix: which subjects it was made on, when, and how often it came back."""

from __future__ import annotations

import time
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Set, Tuple

from .journal import DONE, Journal, Run


class Made(NamedTuple):
    """One run that held at the time, and what it was made on."""

    run: Run
    age: float
    subjects: FrozenSet[str]


class Again(NamedTuple):
    """A subject that the same fix was made on, and its runs, newest first."""

    fix: str
    subject: str
    runs: List[str]
    last: float


def made(journal: Journal, within: float, fix: str = "") -> Iterator[Made]:
    """Runs of the last seconds, newest first. One that failed does not count, nor what was undone."""
    now = time.time()
    undone: Dict[str, Set[int]] = {}
    for run in journal.all_runs():
        age = max(0.0, now - run.started)
        if age > within:
            return
        if run.status != "ok":
            continue
        if run.header.get("undo_of") and run.undo_id not in undone:  # an undo that was undone itself releases nothing
            undone.setdefault(run.header["undo_of"], set()).update(run.header.get("undone", ()))
        if run.fix == fix or not (fix or run.header.get("undo_of")):
            taken_back = undone.get(run.undo_id, set())
            changes = journal.read(run.undo_id).changes
            yield Made(run, age, frozenset(entry.change.subject for entry in changes if entry.state == DONE and entry.n not in taken_back))


def came_back(journal: Journal, within: float, times: int, fix: str = "") -> List[Again]:
    """Subjects that the same fix was made on that often, those that came back most first."""
    found: Dict[Tuple[str, str], Again] = {}
    for run, _age, subjects in made(journal, within, fix):
        for subject in subjects:
            found.setdefault((run.fix, subject), Again(run.fix, subject, [], run.started)).runs.append(run.undo_id)
    often = [again for again in found.values() if len(again.runs) >= times]
    return sorted(often, key=lambda again: (-len(again.runs), again.fix, again.subject))
