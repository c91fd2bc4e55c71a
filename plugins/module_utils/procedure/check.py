# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check and a procedure are, and what becomes of a check. Without the engine, so that a look need not load it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, Generic, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar

from .envelope import Change, Finding, Outcome
from .errors import Refusal

S = TypeVar("S")
SHOWN_CHANGES = 1000
"""Changes in a result; the journal has them all."""


class Check(ABC, Generic[S]):
    """The left half: reads, and says what it sees. ``diagnose`` and ``facts`` are pure."""

    name: str
    judged_by: Tuple[str, ...] = ()
    """Attributes that ``diagnose`` needs beside the state. They are recorded with it, so that it can be judged again without the options."""

    @abstractmethod
    def observe(self) -> S:
        """Read everything that the diagnosis needs."""

    @abstractmethod
    def diagnose(self, state: S) -> List[Finding]:
        """What is so."""

    def facts(self, state: S) -> Mapping[str, Any]:
        """The module's own return values."""
        return {}

    def evidence(self, state: S) -> Mapping[str, Any]:
        """What the findings rest on."""
        return {}

    def to_record(self, state: S) -> Tuple[S, Mapping[str, Any]]:
        """What is recorded: the state, and the values of ``judged_by``; without what no finding needs."""
        return state, {name: getattr(self, name) for name in self.judged_by}


class Procedure(Check[S]):
    """A check that can also mend. ``plan`` and ``guards`` are pure."""

    exempt: Sequence[str] = ()
    """Guards that are not asked about it: what ends a pause is not kept from it by the pause."""

    @abstractmethod
    def plan(self, state: S) -> List[Change]:
        """What would be changed; empty when nothing is to be done."""

    @abstractmethod
    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Make one batch of changes, all or none, skipping those whose subject has changed since it was observed."""

    def guards(self, state: S, plan: Sequence[Change]) -> List[Refusal]:
        """Refusals that only this fix knows."""
        return []

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """How the plan is cut up, in its order; each batch is journaled, applied and marked as one."""
        for change in plan:
            yield [change]

    def context(self) -> Mapping[str, Any]:
        """What an undo must know to find the same subjects again. No secrets."""
        return {}


@dataclass
class Result:
    """What the module returns."""

    findings: List[Finding]
    facts: Mapping[str, Any]
    evidence: Mapping[str, Any]
    changes: List[Change] = field(default_factory=list)
    outcomes: List[Outcome] = field(default_factory=list)
    sha256: Optional[str] = None
    undo_id: Optional[str] = None
    changed: bool = False
    guards: List[Mapping[str, str]] = field(default_factory=list)
    """What each guard decided, once they were asked."""


def inspect(check: Check[S]) -> Result:
    """Run the left half."""
    return judged(check, check.observe())


def judged(check: Check[S], state: S) -> Result:
    """What is said of a state."""
    return Result(check.diagnose(state), check.facts(state), check.evidence(state))


def shown(plan: Sequence[Change], outcomes: Sequence[Outcome] = ()) -> List[dict[str, Any]]:
    """The plan as a result shows it, with what became of each change."""
    rows = []
    for n, change in enumerate(plan[:SHOWN_CHANGES]):
        outcome = outcomes[n] if n < len(outcomes) else Outcome(False)
        row = dict(change.to_dict(), n=n, done=outcome.done)
        if outcome.note:
            row["note"] = outcome.note
        rows.append(row)
    return rows
