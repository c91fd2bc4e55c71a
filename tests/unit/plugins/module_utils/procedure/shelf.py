# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The smallest system that can be mended: things on a shelf, by name. A procedure, its store, and runs of both."""

from __future__ import annotations

import copy
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence

from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import Procedure
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Finding, Image, Outcome, same
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import Refusal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard import GuardOptions
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.run import Engine
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import Store, Undo

FIX = "shelf_tidy"
Things = Dict[str, Image]


class Shelf(Store):
    """Every write gives a thing a new version, which is what its token is. What an image does not name is left alone."""

    def __init__(self, things: Mapping[str, Image]) -> None:
        self.things: Things = copy.deepcopy(dict(things))
        self.versions = dict.fromkeys(self.things, 0)

    def put(self, name: str, image: Image | None) -> None:
        self.versions[name] = self.versions.get(name, 0) + 1
        if image is None:
            self.things.pop(name, None)
        else:
            self.things[name] = copy.deepcopy(image)

    def read(self, changes: Sequence[Change]) -> list[tuple[Image | None, Any]]:
        return [(copy.deepcopy(self.things.get(change.subject)), self.versions.get(change.subject)) for change in changes]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        ready = [change for change in changes if self.versions.get(change.subject) == change.token]
        for change in ready:
            kept = self.things.get(change.subject, {}) if change.before is not None else {}
            self.put(change.subject, None if change.after is None else dict(kept, **change.after))
        made = {id(change) for change in ready}
        return [Outcome(True) if id(change) in made else Outcome(False, "changed since") for change in changes]


class Tidy(Procedure[Things]):
    """Makes things what they are wanted to be; ``None`` where one is to be gone."""

    name = FIX

    def __init__(self, shelf: Shelf, wanted: Mapping[str, Image | None], size: int = 0) -> None:
        self.shelf = shelf
        self.wanted = wanted
        self.size = size
        self.reason = "untidy"
        self.refusals: list[Refusal] = []
        self.losses: dict[str, str] = {}
        self.before_apply: Callable[[], None] = lambda: None

    def observe(self) -> Things:
        return copy.deepcopy(self.shelf.things)

    def diagnose(self, state: Things) -> list[Finding]:
        left = len(self.plan(state))
        return [Finding("shelf.untidy" if left else "shelf.ok", "warning" if left else "ok", "shelf", "%d things are untidy" % left)]

    def facts(self, state: Things) -> Mapping[str, Any]:
        return {"things": len(state)}

    def plan(self, state: Things) -> list[Change]:
        return [
            Change(
                "put" if after is not None else "throw",
                name,
                state.get(name),
                after,
                self.reason,
                data_loss=self.losses.get(name, ""),
                token=self.shelf.versions.get(name),
            )
            for name, after in self.wanted.items()
            if not same(state.get(name), after)
        ]

    def guards(self, state: Things, plan: Sequence[Change]) -> list[Refusal]:
        return list(self.refusals)

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        size = self.size or len(plan)
        for first in range(0, len(plan), size):
            yield plan[first : first + size]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        self.before_apply()
        return self.shelf.apply(changes)

    def context(self) -> Mapping[str, Any]:
        return {"room": "cellar"}


def engine(procedure: Procedure[Any], directory: str, check_mode: bool = False, **options: Any) -> Engine[Any]:
    return Engine(procedure, GuardOptions(journal_dir=directory, **options), check_mode)


def undo(shelf: Shelf, directory: str, undo_id: str | None, *numbers: int) -> Undo:
    journal = Journal(directory)
    return Undo(journal.read(str(undo_id)), shelf, numbers, journal)
