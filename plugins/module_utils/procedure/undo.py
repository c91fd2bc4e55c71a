# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo: a procedure whose plan is a journaled run, read backwards.

What a system adds is a store: it reads subjects as they are now and moves them from one image to another. Whether a
change was really made is decided by looking, not by the journal's mark: a subject that matches ``after`` is put back,
one that matches ``before`` needs nothing, and anything else was changed since and is refused.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from .check import Procedure
from .envelope import Change, Finding, Image, Outcome, same
from .errors import JournalError, Refusal
from .journal import DONE, Journal, JournaledChange, Run


class Store(ABC):
    """Where the subjects of a fix live."""

    exempt: Sequence[str] = ()
    """Guards that are not asked about the undo, as they were not about the fix."""

    @abstractmethod
    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        """The subject of each change as it is now, with its version token; image ``None`` where it is gone."""

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        """Refusals that only this system knows."""
        return []

    @abstractmethod
    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Move each subject from ``before`` to ``after`` if it is still at ``token``; all in one stroke."""


@dataclass(frozen=True)
class Subject:
    """One journaled change beside what its subject looks like now."""

    entry: JournaledChange
    now: Optional[Image]
    token: Any
    undone: bool = False
    """An earlier undo has put it back, or had begun to."""
    settled: bool = False
    """An earlier undo has put it back for good: what looks made now was made by another run, or by somebody."""

    @property
    def made(self) -> Optional[Image]:
        """The image that the fix left behind."""
        return self.entry.actual if self.entry.actual is not None else self.entry.change.after

    def standing(self) -> str:
        """``made``, ``as_before``, or ``changed`` since.

        A change that was marked done and never undone, yet looks as before, was changed by somebody else: a queue
        row that was reset and taken by a worker looks like the orphan that it once was.
        """
        if matches(self.made, self.now):
            return "changed" if self.settled else "made"
        restored = self.undone or self.entry.state != DONE
        return "as_before" if restored and matches(self.entry.change.before, self.now) else "changed"


@dataclass(frozen=True)
class UndoState:
    run: Run
    subjects: Tuple[Subject, ...]


def matches(image: Optional[Image], now: Optional[Image]) -> bool:
    """Does the subject look like the image, in all that the image names?"""
    if image is None or now is None:
        return image is None and now is None
    return all(key in now and same(now[key], value) for key, value in image.items())


def select(run: Run, numbers: Sequence[int]) -> List[JournaledChange]:
    """The changes of a run to be undone, last first; all when none is named."""
    wanted = set(numbers)
    unknown = sorted(wanted - {entry.n for entry in run.changes})
    if unknown:
        has = "it has 0 to %d" % (len(run.changes) - 1) if run.changes else "it was stopped before its first one"
        raise JournalError("run %s has no change %s; %s" % (run.undo_id, ", ".join(map(str, unknown)), has))
    return [entry for entry in reversed(run.touched()) if not wanted or entry.n in wanted]


def undone_numbers(runs: Sequence[Run], undo_id: str) -> Set[int]:
    """Numbers of the changes of a run that earlier undo runs took back, or had begun to."""
    return {n for run in runs if run.header.get("undo_of") == undo_id for n in run.header.get("undone", ())}


def settled_numbers(journal: Journal, runs: Sequence[Run], run: Run) -> Set[int]:
    """Numbers of the changes of a run that an undo has put back to its end, and that undo was not taken back itself."""
    taken_back = {other.header.get("undo_of") for other in runs}
    numbers: Set[int] = set()
    for other in runs:
        if other.header.get("undo_of") == run.undo_id and other.status == "ok" and other.undo_id not in taken_back:
            made = {(entry.change.action, entry.change.subject) for entry in journal.read(other.undo_id).changes if entry.state == DONE}
            numbers |= {entry.n for entry in run.changes if ("undo_" + entry.change.action, entry.change.subject) in made} & set(other.header["undone"])
    return numbers


class Undo(Procedure[UndoState]):
    """Takes a run back. Journaled like any fix, so an undo can be undone."""

    name = "runbook_undo"

    def __init__(self, run: Run, store: Store, numbers: Sequence[int] = (), journal: Optional[Journal] = None) -> None:
        self.run = run
        self.store = store
        self.numbers = sorted(set(numbers))
        self.journal = journal
        self.undone: Set[int] = set()
        self.settled: Set[int] = set()
        self.entries = select(run, self.numbers)
        self.exempt = getattr(store, "exempt", ())

    def close(self) -> None:
        close = getattr(self.store, "close", None)
        if close is not None:
            close()

    def facts(self, state: UndoState) -> Mapping[str, Any]:
        return {"undone": {"undo_id": state.run.undo_id, "fix": state.run.fix, "status": state.run.status}}

    def observe(self) -> UndoState:
        if self.journal is not None:  # again, now that no other run can be at work
            self.run = self.journal.read(self.run.undo_id)
            runs = self.journal.all_runs()
            self.undone |= undone_numbers(runs, self.run.undo_id)
            self.settled = settled_numbers(self.journal, runs, self.run)
            self.entries = select(self.run, self.numbers)
        seen = self.store.read([entry.change if entry.actual is None else _with_actual(entry) for entry in self.entries])
        return UndoState(
            self.run,
            tuple(Subject(entry, now, token, entry.n in self.undone, entry.n in self.settled) for entry, (now, token) in zip(self.entries, seen)),
        )

    def diagnose(self, state: UndoState) -> List[Finding]:
        standing = [subject.standing() for subject in state.subjects]
        detail: Dict[str, Any] = {word: standing.count(word) for word in ("made", "as_before", "changed")}
        if detail["made"] or detail["changed"]:
            summary = "%d of %d changes of run %s are in force, %d were changed since" % (
                detail["made"],
                len(standing),
                state.run.undo_id,
                detail["changed"],
            )
            detail["free"] = _free(list(zip(state.subjects, standing)))
            return [Finding("runbook.undo.in_force", "info", state.run.undo_id, summary, detail)]
        return [Finding("runbook.undo.as_before", "ok", state.run.undo_id, "everything is as it was before run %s" % state.run.undo_id, detail)]

    def plan(self, state: UndoState) -> List[Change]:
        return [
            Change(
                action="undo_" + subject.entry.change.action,
                subject=subject.entry.change.subject,
                before=subject.made,
                after=subject.entry.change.before,
                reason="change %d of run %s is taken back" % (subject.entry.n, state.run.undo_id),
                token=subject.token,
            )
            for subject in state.subjects
            if subject.standing() == "made" and subject.entry.change.reversible
        ]

    def guards(self, state: UndoState, plan: Sequence[Change]) -> List[Refusal]:
        standing = [(subject, subject.standing()) for subject in state.subjects]
        changed = [subject for subject, word in standing if word == "changed"]
        final = [subject for subject, word in standing if word == "made" and not subject.entry.change.reversible]
        free = _free(standing)
        more = " (the first 20 of %d; the finding has them all)" % len(free) if len(free) > 20 else ""
        rest = "undo only others: changes: %s%s." % (free[:20], more) if free else "nothing; the rest cannot be undone."
        refusals = self.store.guards(plan)
        if changed:
            refusals.append(Refusal("changed_since", _told(changed), rest))
        if final:
            first = final[0].entry.change.subject
            refusals.append(Refusal("irreversible", "%d changes cannot be taken back (%s), first %s." % (len(final), _numbers(final), first), rest))
        return refusals

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """All at once: half an undo would be a third state."""
        yield plan

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        self.undone.update(entry.n for entry in self.entries)
        return self.store.apply(changes)

    def context(self) -> Mapping[str, Any]:
        inherited = self.run.header.get("context_of") or self.run.fix
        undone = [entry.n for entry in self.entries]
        return dict(self.run.context, undo_of=self.run.undo_id, undo_changes=self.numbers or None, undone=undone, context_of=inherited)


def _with_actual(entry: JournaledChange) -> Change:
    change = entry.change
    return Change(change.action, change.subject, change.before, entry.actual, change.reason, change.reversible)


def _free(standing: Sequence[Tuple[Subject, str]]) -> List[int]:
    """Numbers of the changes that nothing keeps from being taken back."""
    return sorted(subject.entry.n for subject, word in standing if word != "changed" and (word != "made" or subject.entry.change.reversible))


def _numbers(subjects: Sequence[Subject]) -> str:
    numbers = sorted(subject.entry.n for subject in subjects)
    return "change %s%s" % (", ".join(map(str, numbers[:20])), " and more" if len(numbers) > 20 else "")


def _told(changed: Sequence[Subject]) -> str:
    first = changed[0]
    if first.settled and matches(first.made, first.now):
        now = "it was taken back already, and another run, or somebody, has made it so again"
    elif first.now is None:
        now = "it is gone (served, or deleted)"
    elif first.made is None:
        now = "it is there again"
    else:
        now = "it is now %s" % {key: first.now.get(key) for key, value in sorted(first.made.items()) if not matches({key: value}, first.now)}
    return "%d subjects were changed since the run (%s), first %s: %s." % (len(changed), _numbers(changed), first.entry.change.subject, now)


StoreFactory = Callable[[Mapping[str, Any], Mapping[str, Any]], Store]


def undo_factory(stores: Mapping[str, StoreFactory]) -> Callable[[Mapping[str, Any]], Undo]:
    """From the stores of all systems, what makes the undo of one run out of module parameters."""

    def make(params: Mapping[str, Any]) -> Undo:
        journal = Journal(params["journal_dir"])
        journal.check()  # what others could have written is not replayed
        run = journal.read(params["undo_id"])
        fix = str(run.header.get("context_of") or run.fix)
        if fix not in stores:
            raise JournalError("runs of %s cannot be undone by this version; it undoes: %s" % (fix, ", ".join(sorted(stores))))
        select(run, params["changes"])  # refuses unknown numbers before a server is asked
        return Undo(run, stores[fix](params, run.header), params["changes"], journal)

    return make
