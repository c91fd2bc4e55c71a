# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo puts back exactly what was there, says what is in its way, and never overwrites what somebody else has changed."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Sequence
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import Result, shown
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Outcome
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, Refused, RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import DONE, SKIPPED, UNKNOWN, Journal, JournaledChange, Run
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import Subject, Undo, matches
from hypothesis import given, settings
from hypothesis import strategies as st

from .shelf import FIX, Shelf, Tidy, engine, undo
from .test_run import END, IMAGES, START, THINGS, WANTED, WISHES


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(START)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def mend(shelf: Shelf, directory: str, wanted: Any = None, size: int = 0) -> Result:
    return engine(Tidy(shelf, WANTED if wanted is None else wanted, size), directory).run()


def take_back(shelf: Shelf, directory: str, undo_id: str | None, *numbers: int, check_mode: bool = False) -> Result:
    return engine(undo(shelf, directory, undo_id, *numbers), directory, check_mode).run()


def refused(shelf: Shelf, directory: str, undo_id: str | None, *numbers: int) -> dict[str, Any]:
    """Alike in check mode and for real, with nothing changed; the refusals by guard."""
    before = copy.deepcopy(shelf.things)
    for check_mode in (True, False):
        with pytest.raises(Refused) as failed:
            take_back(shelf, directory, undo_id, *numbers, check_mode=check_mode)
    assert shelf.things == before
    return {refusal.guard: refusal for refusal in failed.value.refusals}


# -- how a subject stands ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "now", "like"),
    [
        (None, None, True),
        ({}, {"x": 1}, True),
        ({"x": 1}, {"x": 1, "y": 2}, True),
        ({"x": 1}, {"x": 2}, False),
        ({"x": 1}, {"x": True}, False),
        ({"x": None}, {}, False),
        ({"x": 1}, None, False),
        (None, {}, False),
    ],
)
def test_matches(image: Any, now: Any, like: bool) -> None:
    assert matches(image, now) is like


BEFORE, AFTER, OTHER = {"x": 1}, {"x": 2}, {"x": 3}


@pytest.mark.parametrize(
    ("state", "undone", "now", "standing"),
    [
        (DONE, False, AFTER, "made"),
        (DONE, False, OTHER, "changed"),
        (DONE, False, None, "changed"),
        (DONE, False, BEFORE, "changed"),
        (DONE, True, BEFORE, "as_before"),
        (DONE, True, AFTER, "made"),
        (DONE, True, OTHER, "changed"),
        (UNKNOWN, False, BEFORE, "as_before"),
        (UNKNOWN, False, AFTER, "made"),
        (UNKNOWN, False, OTHER, "changed"),
    ],
)
def test_standing(state: str, undone: bool, now: Any, standing: str) -> None:
    entry = JournaledChange(0, Change("put", "s", BEFORE, AFTER, "r"), state)
    assert Subject(entry, now, None, undone).standing() == standing


def test_what_came_about_counts_more_than_what_was_planned() -> None:
    entry = JournaledChange(0, Change("put", "s", None, AFTER, "r"), DONE, actual={"x": 2, "id": 7})
    assert Subject(entry, {"x": 2, "id": 7}, None).standing() == "made"
    assert Subject(entry, {"x": 2, "id": 8}, None).standing() == "changed"


# -- a whole run ------------------------------------------------------------------------------------------------------


def test_predicted_done_and_nothing_left(shelf: Shelf, directory: str) -> None:
    run = mend(shelf, directory)
    predicted = take_back(shelf, directory, run.undo_id, check_mode=True)
    assert shelf.things == END
    assert [finding.code for finding in predicted.findings] == ["runbook.undo.in_force"]
    real = take_back(shelf, directory, run.undo_id)
    assert shelf.things == START
    assert real.sha256 == predicted.sha256
    assert [(row["action"], row["subject"]) for row in shown(real.changes)] == [("undo_put", "jug"), ("undo_throw", "plate"), ("undo_put", "cup")]
    assert [finding.code for finding in real.findings] == ["runbook.undo.as_before"]
    assert real.facts["undone"] == {"undo_id": run.undo_id, "fix": FIX, "status": "ok"}
    for check_mode in (True, False):
        again = take_back(shelf, directory, run.undo_id, check_mode=check_mode)
        assert (again.changed, again.changes, again.undo_id) == (False, [], None)


def test_context_is_handed_on(shelf: Shelf, directory: str) -> None:
    run = mend(shelf, directory)
    first = take_back(shelf, directory, run.undo_id)
    second = take_back(shelf, directory, first.undo_id)
    headers = [Journal(directory).read(str(result.undo_id)).header for result in (first, second)]
    assert [(header["undo_of"], header["context_of"], header["room"]) for header in headers] == [
        (run.undo_id, FIX, "cellar"),
        (first.undo_id, FIX, "cellar"),
    ]


@settings(deadline=None, max_examples=40)
@given(THINGS, WISHES, st.integers(0, 3))
def test_undo_of_a_run_is_as_before_and_undo_of_that_is_the_run(tmp_path_factory: Any, things: Any, wanted: Any, size: int) -> None:
    directory = str(tmp_path_factory.mktemp("journal"))
    shelf = Shelf(things)
    run = mend(shelf, directory, wanted, size)
    after = copy.deepcopy(shelf.things)
    if run.undo_id is None:
        assert after == things
        return
    back = take_back(shelf, directory, run.undo_id)
    assert shelf.things == things
    redone = take_back(shelf, directory, back.undo_id)
    assert shelf.things == after
    take_back(shelf, directory, redone.undo_id)
    assert shelf.things == things
    assert not take_back(shelf, directory, run.undo_id).changed


@settings(deadline=None, max_examples=40)
@given(THINGS, WISHES, st.sets(st.integers(0, 5)))
def test_some_changes_then_the_rest(tmp_path_factory: Any, things: Any, wanted: Any, numbers: Any) -> None:
    directory = str(tmp_path_factory.mktemp("journal"))
    shelf = Shelf(things)
    run = mend(shelf, directory, wanted)
    after = copy.deepcopy(shelf.things)
    some = sorted(number for number in numbers if number < len(run.changes))
    if not some:
        return
    take_back(shelf, directory, run.undo_id, *some)
    for number, change in enumerate(run.changes):
        assert shelf.things.get(change.subject) == (things if number in some else after).get(change.subject)
    assert not take_back(shelf, directory, run.undo_id, *some).changed
    take_back(shelf, directory, run.undo_id)
    assert shelf.things == things


EDITS = st.dictionaries(st.sampled_from("abcdef"), st.none() | IMAGES | st.fixed_dictionaries({"z": st.integers()}), max_size=3)


@settings(deadline=None, max_examples=80)
@given(THINGS, WISHES, EDITS)
def test_an_edited_subject_is_never_overwritten(tmp_path_factory: Any, things: Any, wanted: Any, edits: Any) -> None:
    """Refused as a whole, naming who is in the way and what is free; what is free can then be taken back."""
    directory = str(tmp_path_factory.mktemp("journal"))
    shelf = Shelf(things)
    run = mend(shelf, directory, wanted)
    made = copy.deepcopy(shelf.things)
    for name, edit in edits.items():
        shelf.put(name, None if edit is None else dict(shelf.things.get(name, {}), **edit))
    edited = copy.deepcopy(shelf.things)
    if run.undo_id is None:
        return
    in_the_way = {n for n, change in enumerate(run.changes) if not matches(change.after, edited.get(change.subject))}
    free = [n for n in range(len(run.changes)) if n not in in_the_way]
    if in_the_way:
        refusal = refused(shelf, directory, run.undo_id)["changed_since"]
        assert "%d subjects were changed since the run (change %s)" % (len(in_the_way), ", ".join(map(str, sorted(in_the_way)))) in refusal.reason
        assert ("undo only others: changes: %s." % free if free else "nothing; the rest cannot be undone.") == refusal.allow
    if not free:
        return
    take_back(shelf, directory, run.undo_id, *(free if in_the_way else ()))
    for n, change in enumerate(run.changes):
        now = shelf.things.get(change.subject)
        if n in in_the_way:
            assert now == edited.get(change.subject)
        elif change.before is None:
            assert now is None
        else:
            assert matches(change.before, now)
            assert (now or {}).get("z") == (edited.get(change.subject) or {}).get("z")
    assert {name: image for name, image in shelf.things.items() if name not in wanted} == {name: image for name, image in edited.items() if name not in wanted}
    assert made.keys() - wanted.keys() == things.keys() - wanted.keys()


# -- what stands in the way -------------------------------------------------------------------------------------------


def test_who_is_in_the_way_and_what_is_free(shelf: Shelf, directory: str) -> None:
    run = mend(shelf, directory)
    shelf.put("cup", {"full": "half"})
    refusal = refused(shelf, directory, run.undo_id)["changed_since"]
    assert refusal.reason == "1 subjects were changed since the run (change 0), first cup: it is now {'full': 'half'}."
    assert refusal.allow == "undo only others: changes: [1, 2]."
    take_back(shelf, directory, run.undo_id, 1, 2)
    assert shelf.things == dict(START, cup={"full": "half"})


@pytest.mark.parametrize(
    ("name", "image", "says"),
    [
        ("cup", None, "first cup: it is gone"),
        ("plate", {"full": 1}, "first plate: it is there again"),
        ("jug", {"full": 1}, "first jug: it is now {'full': 1}"),
    ],
)
def test_how_it_was_changed(shelf: Shelf, directory: str, name: str, image: Any, says: str) -> None:
    run = mend(shelf, directory)
    shelf.put(name, image)
    assert says in refused(shelf, directory, run.undo_id)["changed_since"].reason


def test_what_another_run_made_again_is_its_own(shelf: Shelf, directory: str) -> None:
    """To name the first run once more takes nothing away from the second."""
    first = mend(shelf, directory)
    take_back(shelf, directory, first.undo_id)
    second = mend(shelf, directory)
    assert "another run, or somebody, has made it so again" in refused(shelf, directory, first.undo_id)["changed_since"].reason
    take_back(shelf, directory, second.undo_id)
    assert shelf.things == START
    assert not take_back(shelf, directory, first.undo_id).changed


def test_a_part_that_was_taken_back_and_made_again(shelf: Shelf, directory: str) -> None:
    first = mend(shelf, directory)
    take_back(shelf, directory, first.undo_id, 0)
    mend(shelf, directory)
    assert refused(shelf, directory, first.undo_id)["changed_since"].allow == "undo only others: changes: [1, 2]."
    assert take_back(shelf, directory, first.undo_id, 1, 2).changed


def test_what_was_put_back_and_then_redone_can_be_put_back_again(shelf: Shelf, directory: str) -> None:
    first = mend(shelf, directory)
    back = take_back(shelf, directory, first.undo_id)
    take_back(shelf, directory, back.undo_id)
    assert shelf.things == END
    assert take_back(shelf, directory, first.undo_id).changed
    assert shelf.things == START


def test_looking_as_before_is_a_change_by_somebody_else(shelf: Shelf, directory: str) -> None:
    """A row that was reset and taken by a worker looks like the orphan that it once was."""
    run = mend(shelf, directory)
    shelf.put("cup", START["cup"])
    assert "first cup" in refused(shelf, directory, run.undo_id)["changed_since"].reason


def test_many_in_the_way(directory: str) -> None:
    names = ["thing %02d" % n for n in range(60)]
    shelf = Shelf({})
    run = mend(shelf, directory, {name: {"x": 1} for name in names})
    for name in names[:30]:
        shelf.put(name, None)
    fix = engine(undo(shelf, directory, run.undo_id), directory)
    with pytest.raises(Refused) as failed:
        fix.run()
    [refusal] = failed.value.refusals
    assert "30 subjects were changed since the run (change 0, 1, 2" in refusal.reason
    assert "19 and more), first thing 29" in refusal.reason
    assert refusal.allow.endswith("49] (the first 20 of 30; the finding has them all).")
    assert fix.result is not None
    assert fix.result.findings[0].detail["free"] == list(range(30, 60))


def test_tens_of_thousands_in_the_way_take_seconds(directory: str) -> None:
    changes = [Change("put", "thing %d" % n, {"x": 1}, {"x": 2}, "r") for n in range(20000)]
    run = Run({"undo_id": "u", "fix": FIX}, [JournaledChange(n, change, DONE) for n, change in enumerate(changes)])
    procedure = Undo(run, Shelf({change.subject: {"x": 3 if n % 2 else 2} for n, change in enumerate(changes)}))
    state = procedure.observe()
    [refusal] = procedure.guards(state, procedure.plan(state))
    assert "10000 subjects" in refusal.reason


class Final(Tidy):
    def plan(self, state: Any) -> list[Change]:
        return [replace(change, reversible=change.subject != "plate") for change in super().plan(state)]


def test_irreversible(shelf: Shelf, directory: str) -> None:
    run = engine(Final(shelf, WANTED), directory).run()
    shelf.put("jug", None)
    refusals = refused(shelf, directory, run.undo_id)
    assert sorted(refusals) == ["changed_since", "irreversible"]
    assert refusals["irreversible"].reason == "1 changes cannot be taken back (change 1), first plate."
    assert {refusal.allow for refusal in refusals.values()} == {"undo only others: changes: [0]."}
    assert refused(shelf, directory, run.undo_id, 1)["irreversible"].allow == "nothing; the rest cannot be undone."
    take_back(shelf, directory, run.undo_id, 0)
    assert shelf.things["cup"] == START["cup"]


def test_irreversible_but_never_made(shelf: Shelf, directory: str) -> None:
    procedure = Final(shelf, WANTED)
    with mock.patch.object(procedure, "apply", side_effect=RunbookError("no")), pytest.raises(RunbookError):
        engine(procedure, directory).run()
    [run] = Journal(directory).all_runs()
    assert not take_back(shelf, directory, run.undo_id).changed


def test_skipped_changes_are_not_touched(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    procedure.before_apply = lambda: shelf.put("cup", {"full": True, "hot": True})
    run = engine(procedure, directory).run()
    assert [entry.state for entry in Journal(directory).read(str(run.undo_id)).changes] == [SKIPPED, DONE, DONE]
    take_back(shelf, directory, run.undo_id)
    assert shelf.things == dict(START, cup={"full": True, "hot": True})


def test_numbers_that_are_not_there(shelf: Shelf, directory: str) -> None:
    run = mend(shelf, directory)
    for numbers in ([3], [0, -1], [0, 3, 99]):
        with pytest.raises(JournalError, match=r"has no change .*; it has 0 to 2"):
            undo(shelf, directory, run.undo_id, *numbers)
    empty = Run({"undo_id": "u", "fix": FIX})
    with pytest.raises(JournalError, match="has no change 0; it was stopped before its first one"):
        Undo(empty, shelf, [0])


def test_changed_between_plan_and_change(shelf: Shelf, directory: str) -> None:
    run = mend(shelf, directory)
    back = undo(shelf, directory, run.undo_id)
    real = shelf.apply

    def apply(changes: Sequence[Change]) -> Sequence[Outcome]:
        shelf.put("cup", {"full": "half"})
        return real(changes)

    with mock.patch.object(shelf, "apply", apply):
        result = engine(back, directory).run()
    assert [(row["subject"], row["done"]) for row in shown(result.changes, result.outcomes)] == [("jug", True), ("plate", True), ("cup", False)]
    assert shelf.things == dict(START, cup={"full": "half"})


# -- unfinished runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [True, False])
def test_a_killed_run_is_judged_by_looking(shelf: Shelf, directory: str, made: bool) -> None:
    journal = Journal(directory)
    journal.prepare()
    procedure = Tidy(shelf, WANTED)
    plan = procedure.plan(procedure.observe())
    writer = journal.start(FIX, {"who": {}, "plan_sha256": "", "total": 3, "room": "cellar"})
    writer.begin(0, plan)
    if made:
        shelf.apply(plan)
    result = take_back(shelf, directory, writer.undo_id)
    assert result.changed == made
    assert result.facts["undone"]["status"] == "unfinished"
    assert shelf.things == START
    assert not take_back(shelf, directory, writer.undo_id).changed


def test_a_run_that_goes_on_while_the_undo_waits_for_it(shelf: Shelf, directory: str) -> None:
    """What is taken back is the run as it stands when the lock is had, not as it stood when the undo was called."""
    fix = Tidy(shelf, WANTED, size=1)
    waiting: list[Undo] = []

    def look() -> None:
        if not waiting:
            [run] = Journal(directory).all_runs()
            waiting.append(undo(shelf, directory, run.undo_id))

    fix.before_apply = look
    engine(fix, directory).run()
    assert shelf.things == END
    assert len(engine(waiting[0], directory).run().changes) == 3
    assert shelf.things == START


def test_the_run_is_not_pruned_while_it_is_undone(shelf: Shelf, directory: str) -> None:
    run = mend(shelf, directory)
    engine(undo(shelf, directory, run.undo_id), directory, journal_keep_runs=0, journal_keep_days=0.0).run()
    assert run.undo_id in Journal(directory).ids()
