# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: one path for check mode and real runs, and what is left when a step of it fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Sequence
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import journal as wal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import inspect, shown
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Outcome
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, NotConverged, Refusal, Refused, RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import NodeLock
from hypothesis import given, settings
from hypothesis import strategies as st

from .shelf import FIX, Shelf, Tidy, engine, undo

START = {"cup": {"full": True}, "plate": {"full": True}, "bowl": {"full": False}}
WANTED: dict[str, Any] = {"cup": {"full": False}, "plate": None, "bowl": {"full": False}, "jug": {"full": False}}
END = {"cup": {"full": False}, "bowl": {"full": False}, "jug": {"full": False}}


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(START)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "journal")


def runs(directory: str) -> list[wal.Run]:
    return [Journal(directory).read(run.undo_id) for run in Journal(directory).all_runs()]


def states(directory: str) -> list[str]:
    [run] = runs(directory)
    return [entry.state for entry in run.changes]


# -- one path ---------------------------------------------------------------------------------------------------------


def test_check_mode_predicts_and_touches_nothing(shelf: Shelf, directory: str, tmp_path: Path) -> None:
    predicted = engine(Tidy(shelf, WANTED), directory, check_mode=True).run()
    assert shelf.things == START
    assert list(tmp_path.iterdir()) == []
    assert (predicted.changed, predicted.undo_id, predicted.outcomes) == (True, None, [])
    real = engine(Tidy(shelf, WANTED), directory, approved_plan=str(predicted.sha256).upper()).run()
    assert shelf.things == END
    assert real.changed
    assert real.sha256 == predicted.sha256
    assert [dict(row, done=None) for row in shown(real.changes, real.outcomes)] == [dict(row, done=None) for row in shown(predicted.changes)]
    assert {row["done"] for row in shown(real.changes, real.outcomes)} == {True}
    assert {row["done"] for row in shown(predicted.changes)} == {False}
    assert [finding.code for finding in real.findings] == ["shelf.ok"]
    assert real.facts == {"things": 3}
    [run] = runs(directory)
    assert (run.undo_id, run.status, run.context, run.header["plan_sha256"], run.header["total"]) == (
        real.undo_id,
        "ok",
        {"room": "cellar"},
        real.sha256,
        3,
    )


def test_a_second_run_changes_nothing(shelf: Shelf, directory: str) -> None:
    engine(Tidy(shelf, WANTED), directory).run()
    for check_mode in (True, False):
        again = engine(Tidy(shelf, WANTED), directory, check_mode, approved_plan="0" * 64, cooldown=3600.0).run()
        assert (again.changed, again.undo_id, again.changes) == (False, None, [])
    assert len(runs(directory)) == 1


def test_refused_where_anything_moved_since_the_approval(shelf: Shelf, directory: str) -> None:
    approved = engine(Tidy(shelf, WANTED), directory, check_mode=True).run().sha256
    shelf.put("cup", {"full": True, "hot": True})
    for check_mode in (True, False):
        fix = engine(Tidy(shelf, WANTED), directory, check_mode, approved_plan=approved)
        with pytest.raises(Refused) as refused:
            fix.run()
        assert [refusal.guard for refusal in refused.value.refusals] == ["approved_plan"]
        assert fix.result is not None
        assert len(fix.result.changes) == 3
        assert not fix.result.changed
    assert shelf.things["plate"] == START["plate"]


def test_every_refusal_at_once(shelf: Shelf, directory: str) -> None:
    engine(Tidy(shelf, {"cup": {"full": None}}), directory).run()
    other = NodeLock(directory, 900)
    other.acquire("run-1", "other_fix", "somebody")
    procedure = Tidy(shelf, WANTED)
    procedure.losses = {"plate": "the plate"}
    procedure.refusals = [Refusal("own", "it says so.", "ask it.")]
    for check_mode in (True, False):
        fix = engine(procedure, directory, check_mode, max_changes=1, cooldown=3600.0, approved_plan="0" * 64)
        with pytest.raises(Refused) as refused:
            fix.run()
        assert [refusal.guard for refusal in refused.value.refusals] == ["own", "max_changes", "approved_plan", "accept_data_loss", "cooldown", "lock"]
    other.release()
    assert len(runs(directory)) == 1


def test_a_fix_may_refuse_although_nothing_is_planned(directory: str) -> None:
    procedure = Tidy(Shelf(END), WANTED)
    procedure.refusals = [Refusal("own", "it says so.", "ask it.")]
    with pytest.raises(Refused, match=r"nothing was changed \(0 planned\)"):
        engine(procedure, directory).run()


def test_check_mode_sees_a_journal_that_could_not_be_kept(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for check_mode in (True, False):
        with pytest.raises(JournalError, match="others may write to"):
            engine(Tidy(shelf, WANTED), str(tmp_path / "open"), check_mode).run()
    assert shelf.things == START


def test_a_check_has_no_right_half(shelf: Shelf) -> None:
    result = inspect(Tidy(shelf, WANTED))
    assert [finding.code for finding in result.findings] == ["shelf.untidy"]
    assert (result.facts, result.evidence, result.changes, result.sha256) == ({"things": 3}, {}, [], None)


def test_a_thousand_changes_are_shown(directory: str) -> None:
    result = engine(Tidy(Shelf({}), {"thing %d" % n: {} for n in range(1234)}), directory, max_changes=0).run()
    rows = shown(result.changes, result.outcomes)
    assert (len(rows), rows[-1]["n"], len(result.changes)) == (1000, 999, 1234)
    assert len(runs(directory)[0].changes) == 1234


# -- batches ----------------------------------------------------------------------------------------------------------


def test_batches_are_marked_one_by_one(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED, size=1)
    seen = []
    procedure.before_apply = lambda: seen.append(states(directory))
    engine(procedure, directory).run()
    assert seen == [["unknown"], ["done", "unknown"], ["done", "done", "unknown"]]


def test_what_changed_meanwhile_is_left_alone(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    procedure.before_apply = lambda: shelf.put("cup", {"full": True, "hot": True})
    result = engine(procedure, directory).run()
    assert result.changed
    assert [(row["subject"], row["done"], row.get("note")) for row in shown(result.changes, result.outcomes)] == [
        ("cup", False, "changed since"),
        ("plate", True, None),
        ("jug", True, None),
    ]
    assert shelf.things["cup"] == {"full": True, "hot": True}
    assert states(directory) == ["skipped", "done", "done"]


class Unruly(Tidy):
    """Breaks the promises that a procedure makes to the engine."""

    def __init__(self, shelf: Shelf, how: str) -> None:
        super().__init__(shelf, WANTED)
        self.how = how

    def batches(self, plan: Sequence[Change]) -> Any:
        yield {"reversed": plan[::-1], "some": plan[:1], "none": plan, "few": plan, "again": plan}[self.how]
        if self.how == "again":
            yield plan[:1]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        outcomes = super().apply(changes)
        return outcomes[:1] if self.how == "few" else [] if self.how == "none" else outcomes


@pytest.mark.parametrize(
    ("how", "says", "changed", "undoable"),
    [
        ("reversed", "would make its changes in another order", False, False),
        ("some", "left out 2 planned changes", True, True),
        ("few", "gave 1 outcomes for 3 changes", False, True),
        ("none", "gave 0 outcomes for 3 changes", False, True),
        ("again", "would make its changes in another order", True, True),
    ],
)
def test_promises_are_checked(shelf: Shelf, directory: str, how: str, says: str, changed: bool, undoable: bool) -> None:
    fix = engine(Unruly(shelf, how), directory)
    with pytest.raises(RunbookError, match=says):
        fix.run()
    assert fix.result is not None
    assert fix.result.changed is changed
    assert (fix.result.undo_id is not None) == undoable
    assert runs(directory)[0].status == "failed"
    if undoable:
        engine(undo(shelf, directory, fix.result.undo_id), directory).run()
        assert shelf.things == START


# -- failures ---------------------------------------------------------------------------------------------------------


def broken_at(batch: int, error: BaseException) -> Any:
    calls = iter(range(100))

    def apply() -> None:
        if next(calls) == batch:
            raise error

    return apply


@pytest.mark.parametrize("error", [RunbookError("the shelf fell"), ValueError("the shelf fell")])
def test_apply_fails(shelf: Shelf, directory: str, error: Exception) -> None:
    procedure = Tidy(shelf, WANTED, size=1)
    procedure.before_apply = broken_at(1, error)
    fix = engine(procedure, directory)
    with pytest.raises(type(error), match="the shelf fell"):
        fix.run()
    [run] = runs(directory)
    assert (run.status, run.error) == ("failed", "the shelf fell")
    assert states(directory) == ["done", "unknown"]
    result = fix.result
    assert result is not None
    assert result.undo_id == run.undo_id
    assert result.changed
    assert [row["done"] for row in shown(result.changes, result.outcomes)] == [True, False, False]
    assert NodeLock(directory, 900).holder() is None
    engine(undo(shelf, directory, run.undo_id), directory).run()
    assert shelf.things == START


def test_interrupted(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    procedure.before_apply = broken_at(0, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        engine(procedure, directory).run()
    assert runs(directory)[0].status == "unfinished"
    assert NodeLock(directory, 900).holder() is None


def test_observing_fails(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    with mock.patch.object(procedure, "observe", side_effect=RunbookError("dark")), pytest.raises(RunbookError, match="dark"):
        engine(procedure, directory).run()
    assert runs(directory) == []
    assert NodeLock(directory, 900).holder() is None


def test_it_does_not_hold(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    real = shelf.apply

    def apply(changes: Sequence[Change]) -> Sequence[Outcome]:
        outcomes = real(changes)
        shelf.put("cup", {"full": True})
        return outcomes

    fix = engine(procedure, directory)
    with mock.patch.object(shelf, "apply", apply), pytest.raises(NotConverged, match="1 of them are needed again at once, first cup: untidy") as failed:
        fix.run()
    assert [row["subject"] for row in failed.value.detail["left"]] == ["cup"]
    assert fix.result is not None
    assert fix.result.changed
    assert fix.result.findings[0].code == "shelf.untidy"
    assert runs(directory)[0].status == "failed"
    assert fix.result.undo_id == runs(directory)[0].undo_id


def test_verification_fails(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    seen = [procedure.observe()]
    with mock.patch.object(procedure, "observe", side_effect=[seen[0], RunbookError("dark")]):
        fix = engine(procedure, directory)
        with pytest.raises(RunbookError, match="dark"):
            fix.run()
    assert fix.result is not None
    assert fix.result.changed
    assert fix.result.undo_id is not None
    assert shelf.things == END


class FullDisk:
    """``os.write`` that fails from the n-th call on."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.real = os.write

    def __call__(self, handle: int, data: Any) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(handle, data)


@pytest.mark.parametrize(("writes", "applied"), [(0, False), (1, False), (2, True), (3, True)], ids=["header", "begin", "done", "end"])
def test_disk_full(shelf: Shelf, directory: str, writes: int, applied: bool) -> None:
    fix = engine(Tidy(shelf, WANTED), directory)
    with mock.patch("os.write", FullDisk(writes)), pytest.raises(JournalError, match="No space left on device"):
        fix.run()
    assert fix.result is not None
    assert fix.result.changed is applied
    assert shelf.things == (END if applied else START)
    assert NodeLock(directory, 900).holder() is None
    if applied:
        assert runs(directory)[0].undo_id == fix.result.undo_id
        engine(undo(shelf, directory, fix.result.undo_id), directory).run()
        assert shelf.things == START
    else:
        assert fix.result.undo_id is None
        engine(Tidy(shelf, WANTED), directory).run()
        assert shelf.things == END


def test_a_lock_that_cannot_be_given_back_hides_no_error(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    procedure.before_apply = broken_at(0, RunbookError("the shelf fell"))
    with mock.patch.object(NodeLock, "release", side_effect=JournalError("no lock")), pytest.raises(RunbookError, match="the shelf fell"):
        engine(procedure, directory).run()


# -- the lock ---------------------------------------------------------------------------------------------------------


def test_the_lock_is_held_all_the_while(shelf: Shelf, directory: str) -> None:
    procedure = Tidy(shelf, WANTED)
    holders = []
    procedure.before_apply = lambda: holders.append(NodeLock(directory, 900).holder())
    engine(procedure, directory, initiator={"user": "operator"}).run()
    assert holders[0] is not None
    assert (holders[0].fix, holders[0].owner, holders[0].pid) == (FIX, "operator", os.getpid())
    assert NodeLock(directory, 900).holder() is None


def test_who_was_overtaken_stops_before_the_next_batch(shelf: Shelf, directory: str) -> None:
    """Paused for longer than its lease, in the middle of a batch: what was begun ends, nothing more is begun."""
    procedure = Tidy(shelf, WANTED, size=1)
    other = NodeLock(directory, 900, clock=lambda: 9e9)

    def pause() -> None:
        assert other.acquire("run-2", "other_fix", "somebody") is None

    procedure.before_apply = pause
    fix = engine(procedure, directory)
    with pytest.raises(RunbookError, match="expired and was taken over by run-2"):
        fix.run()
    assert states(directory) == ["done"]
    assert runs(directory)[0].status == "failed"
    assert shelf.things["plate"] == START["plate"]
    assert fix.result is not None
    assert fix.result.changed
    assert fix.result.undo_id is not None
    assert NodeLock(directory, 900).holder() == other.mine


def test_it_is_waited_for(shelf: Shelf, directory: str) -> None:
    other = NodeLock(directory, 900)
    Journal(directory).prepare()
    other.acquire("run-1", "other_fix", "somebody")
    with pytest.raises(Refused):
        engine(Tidy(shelf, WANTED), directory).run()
    with mock.patch("time.sleep", lambda _seconds: other.release()):
        assert engine(Tidy(shelf, WANTED), directory, lock_wait=60.0).run().changed


# -- properties -------------------------------------------------------------------------------------------------------

IMAGES = st.fixed_dictionaries({"x": st.integers(0, 2), "y": st.booleans()})
THINGS = st.dictionaries(st.sampled_from("abcdef"), IMAGES, max_size=6)
WISHES = st.dictionaries(st.sampled_from("abcdef"), st.none() | IMAGES, max_size=6)


@settings(deadline=None, max_examples=40)
@given(THINGS, WISHES, st.integers(0, 3))
def test_a_plan_applied_leaves_an_empty_plan(tmp_path_factory: Any, things: Any, wanted: Any, size: int) -> None:
    directory = str(tmp_path_factory.mktemp("journal"))
    shelf = Shelf(things)
    predicted = engine(Tidy(shelf, wanted, size), directory, check_mode=True).run()
    real = engine(Tidy(shelf, wanted, size), directory).run()
    assert (real.sha256, real.changed) == (predicted.sha256, predicted.changed)
    assert real.changed == bool(predicted.changes)
    assert engine(Tidy(shelf, wanted), directory).run().changes == []
    assert {name: shelf.things.get(name) for name in wanted} == wanted
    assert {name: image for name, image in shelf.things.items() if name not in wanted} == {name: image for name, image in things.items() if name not in wanted}
