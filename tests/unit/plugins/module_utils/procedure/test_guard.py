# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each guard alone, all of them together, and the memory of the cooldown."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.doc_fragments.guards import ModuleDocFragment
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.argspec import GUARDS
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, plan_sha256
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, Refusal, Refused
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard import (
    NAMES,
    GuardOptions,
    check_all,
    escalated,
    locked,
    not_approved,
    too_many,
    too_soon,
    would_lose,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import Lease
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.memory import came_back

from .shelf import FIX, Shelf, Tidy, engine, undo


def change(subject: str, loss: str = "") -> Change:
    return Change("put", subject, None, {}, "r", data_loss=loss)


PLAN = [change("cup"), change("plate", "the pattern of plate"), change("bowl", "the pattern of bowl")]
SHA = plan_sha256(FIX, PLAN)
LEASE = Lease("run-1", "other_fix", "somebody", 812, "1", "here", time.time() - 60, time.time() + 600)


def guard_of(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.guard


@pytest.mark.parametrize(("limit", "refused"), [(0, False), (1, True), (2, True), (3, False), (4, False)])
def test_max_changes(limit: int, refused: bool) -> None:
    refusal = too_many(PLAN, limit)
    assert (refusal is not None) == refused
    if refusal is not None:
        assert refusal.reason == "3 changes are planned, at most %d are allowed." % limit
        assert "pass max_changes: 3" in refusal.allow


@pytest.mark.parametrize(("approved", "refused"), [(None, False), (SHA, False), (SHA.upper(), False), ("0" * 64, True)])
def test_approved_plan(approved: str | None, refused: bool) -> None:
    refusal = not_approved(SHA, approved)
    assert (refusal is not None) == refused
    if refusal is not None:
        assert SHA in refusal.reason
        assert str(approved) in refusal.reason
        assert SHA in refusal.allow


@pytest.mark.parametrize(
    ("accepted", "named"),
    [
        ([], ["the pattern of bowl", "the pattern of plate"]),
        (["the pattern of plate"], ["the pattern of bowl"]),
        (["the pattern of plate "], ["the pattern of bowl", "the pattern of plate"]),
        (["The pattern of plate", "all", "*", ""], ["the pattern of bowl", "the pattern of plate"]),
        (["the pattern of plate", "the pattern of bowl", "more"], []),
    ],
)
def test_accept_data_loss_takes_the_very_words(accepted: list[str], named: list[str]) -> None:
    refusal = would_lose(PLAN, accepted)
    if not named:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.reason == "the plan would lose: %s." % "; ".join(named)
        assert refusal.allow == "accept_data_loss listing exactly %s." % ", ".join(map(repr, named))


def test_lock() -> None:
    assert locked(None) is None
    refusal = locked(LEASE)
    assert refusal is not None
    assert "other_fix (run run-1, pid 812, by somebody)" in refusal.reason


def test_all_together(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path))
    options = GuardOptions(max_changes=2, approved_plan="0" * 64, cooldown=60, accept_data_loss=["nothing"])
    with mock.patch("ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard.too_soon") as soon:
        soon.return_value = Refusal("cooldown", "r", "a")
        refusals = check_all(FIX, PLAN, SHA, options, journal, LEASE).refusals
    assert [refusal.guard for refusal in refusals] == ["max_changes", "approved_plan", "accept_data_loss", "cooldown", "lock"]
    text = str(Refused(FIX, refusals, len(PLAN)))
    assert text.startswith("shelf_tidy refused; nothing was changed (3 planned).\n- max_changes: 3 changes")
    assert text.count("To allow: ") == 5
    assert check_all(FIX, PLAN[:1], SHA, GuardOptions(), journal, None).refusals == []


# -- cooldown ---------------------------------------------------------------------------------------------------------


class Node:
    """Runs of a fix and of undo, one after the other, on one node."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.shelf = Shelf({})
        self.count = 0

    def mend(self, *subjects: str, **options: Any) -> str | None:
        self.count += 1
        return engine(self._tidy(*subjects), self.directory, **options).run().undo_id

    def fail(self, *subjects: str) -> None:
        procedure = self._tidy(*subjects)
        with mock.patch.object(procedure, "apply", side_effect=JournalError("broken")), pytest.raises(JournalError):
            engine(procedure, self.directory).run()

    def undo(self, undo_id: str | None, *numbers: int) -> str | None:
        return engine(undo(self.shelf, self.directory, undo_id, *numbers), self.directory).run().undo_id

    def _tidy(self, *subjects: str) -> Tidy:
        return Tidy(self.shelf, {subject: {"count": self.count} for subject in subjects})

    def refuses(self, *subjects: str, cooldown: float = 3600, fix: str = FIX) -> bool:
        refusal = too_soon(fix, [change(subject) for subject in subjects], cooldown, Journal(self.directory))
        assert guard_of(refusal) in (None, "cooldown")
        return refusal is not None


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(str(tmp_path / "journal"))


def test_same_fix_on_the_same_subject(node: Node) -> None:
    assert not node.refuses("cup")
    undo_id = node.mend("cup", "plate")
    assert node.refuses("cup")
    assert node.refuses("bowl", "plate")
    assert not node.refuses("bowl")
    assert not node.refuses("cup", fix="another_fix")
    assert not node.refuses("cup", cooldown=0)
    refusal = too_soon(FIX, [change("plate"), change("cup")], 3600, Journal(node.directory))
    assert refusal is not None
    assert "on 2 of these subjects 0 s ago (run %s), first cup" % undo_id in refusal.reason
    assert "wait 3600 s" in refusal.allow or "wait 3601 s" in refusal.allow


def test_it_ends(node: Node) -> None:
    with mock.patch("time.time", return_value=time.time() - 100):
        node.mend("cup")
    assert node.refuses("cup", cooldown=110)
    assert not node.refuses("cup", cooldown=90)


def test_a_clock_that_was_set_back_makes_it_no_shorter(node: Node) -> None:
    with mock.patch("time.time", return_value=time.time() + 500):
        node.mend("cup")
    assert node.refuses("cup", cooldown=10)


def test_failed_runs_do_not_count(node: Node) -> None:
    node.fail("cup")
    assert not node.refuses("cup")


def test_undone_runs_do_not_count(node: Node) -> None:
    node.undo(node.mend("cup", "plate"))
    assert not node.refuses("cup", "plate")


def test_what_was_undone_of_a_run_does_not_count(node: Node) -> None:
    node.undo(node.mend("cup", "plate"), 1)
    assert not node.refuses("plate")
    assert node.refuses("cup")


def test_redone_runs_count_again(node: Node) -> None:
    node.undo(node.undo(node.mend("cup")))
    assert node.shelf.things == {"cup": {"count": 1}}
    assert node.refuses("cup")


def test_an_undo_that_failed_releases_nothing(node: Node) -> None:
    undo_id = node.mend("cup")
    with mock.patch.object(node.shelf, "apply", side_effect=JournalError("broken")), pytest.raises(JournalError):
        node.undo(undo_id)
    assert node.refuses("cup")


def test_all_in_the_same_second(node: Node) -> None:
    """Ids tell seconds only; what came first is told all the same."""
    start = 1700000000.0
    for step in range(20):
        now = iter(start + step / 50 + n / 100000 for n in range(10000))
        with mock.patch("time.time", lambda now=now: next(now)):
            if step % 2 == 0:
                last = node.mend("cup")
            else:
                node.undo(last)
            assert node.refuses("cup") == (step % 2 == 0)


def test_skipped_changes_do_not_count(node: Node) -> None:
    procedure = Tidy(node.shelf, {"cup": {"count": 1}})
    procedure.before_apply = lambda: node.shelf.put("cup", {"count": 7})
    result = engine(procedure, node.directory).run()
    assert (result.changed, result.undo_id) == (False, None)
    assert not node.refuses("cup")


def test_pruning_does_not_forget_it(node: Node) -> None:
    """The runs of the last ``cooldown`` seconds stay, whatever the journal is to keep."""
    node.mend("cup")
    node.mend("plate", journal_keep_runs=0, journal_keep_days=0.0, cooldown=60.0)
    assert node.refuses("cup")
    node.mend("bowl", journal_keep_runs=0, journal_keep_days=0.0)
    assert not node.refuses("cup")


def test_a_run_that_cannot_be_read_is_no_licence(node: Node) -> None:
    undo_id = node.mend("cup")
    path = Path(node.directory) / "runs" / ("%s.jsonl" % undo_id)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + [b"garbage\n"] + lines[2:]))
    with pytest.raises(JournalError, match="damaged at line 2"):
        node.refuses("cup")


# -- escalation -------------------------------------------------------------------------------------------------------


def test_what_comes_back_is_for_a_person(node: Node) -> None:
    journal, options = Journal(node.directory), GuardOptions(escalate_after=3, escalate_within=3600.0)
    for _number in range(3):
        assert escalated(FIX, [change("cup")], options, journal) == []
        last = node.mend("cup", "plate")
    node.mend("bowl")
    [again] = escalated(FIX, [change("cup"), change("bowl")], options, journal)
    assert (again.fix, again.subject, len(again.runs), again.runs[0]) == (FIX, "cup", 3, last)
    verdict = check_all(FIX, [change("cup")], SHA, options, journal, None)
    assert [refusal.guard for refusal in verdict.refusals] == ["escalation"]
    [finding] = verdict.findings
    assert (finding.code, finding.severity, finding.subject) == ("limits.escalated", "critical", "cup")
    assert check_all("another_fix", [change("cup")], SHA, options, journal, None).refusals == []
    assert check_all(FIX, [change("cup")], SHA, GuardOptions(), journal, None).refusals == []
    assert check_all(FIX, [change("cup")], SHA, options, journal, None, exempt=("escalation",)).findings == []
    assert [each.subject for each in came_back(journal, 3600, 3)] == ["cup", "plate"]
    with mock.patch("time.time", return_value=time.time() + 4000):
        assert escalated(FIX, [change("cup")], options, journal) == []
    node.undo(last)
    assert escalated(FIX, [change("cup")], options, journal) == []


def test_a_refused_run_has_the_finding(node: Node) -> None:
    node.mend("cup")
    node.count += 1
    for check_mode in (True, False):
        fix = engine(node._tidy("cup"), node.directory, check_mode, escalate_after=1)
        with pytest.raises(Refused):
            fix.run()
        assert fix.result is not None
        assert [finding.code for finding in fix.result.findings] == ["shelf.untidy", "limits.escalated"]
        assert {told["guard"]: told["decision"] for told in fix.result.guards}["escalation"] == "refuse"


def test_pruning_does_not_forget_what_came_back(node: Node) -> None:
    for _number in range(2):
        node.mend("cup", journal_keep_runs=0, escalate_after=5)
    assert [len(again.runs) for again in came_back(Journal(node.directory), 3600, 1)] == [2]


# -- all of them are told ---------------------------------------------------------------------------------------------


def test_each_guard_says_what_it_decided(node: Node) -> None:
    fix = engine(node._tidy("cup"), node.directory, max_changes=5, cooldown=60.0)
    told = {each["guard"]: each["decision"] for each in fix.run().guards}
    assert list(told) == list(NAMES)
    passed = {"pause", "max_changes", "accept_data_loss", "cooldown", "lock"}
    assert told == {name: "pass" if name in passed else "off" for name in NAMES}
    assert {each["decision"] for each in engine(node._tidy("cup"), node.directory).run().guards} == {"off"}, "nothing was to be done"


def test_own_guards_are_told_when_they_refuse(node: Node) -> None:
    procedure = node._tidy("cup")
    procedure.refusals = [Refusal("own", "it says so.", "ask it.")]
    fix = engine(procedure, node.directory, True)
    with pytest.raises(Refused):
        fix.run()
    assert fix.result is not None
    assert fix.result.guards[0] == {"guard": "own", "decision": "refuse", "why": "it says so.", "allow": "ask it."}
    assert [each["guard"] for each in fix.result.guards[1:]] == list(NAMES)


@pytest.mark.parametrize(("meaning", "refused"), [("only_inside", False), ("never_inside", True)])
def test_windows(node: Node, meaning: str, refused: bool) -> None:
    options = GuardOptions(windows=["00:00-24:00"], windows_mean=meaning)
    refusals = check_all(FIX, PLAN[:1], SHA, options, Journal(node.directory), None).refusals
    assert [refusal.guard for refusal in refusals] == ["windows"] * refused
    assert not refused or "never made inside them" in refusals[0].reason


def test_options_dataclass_and_documentation_name_the_same_things() -> None:
    fragments = (ModuleDocFragment.DOCUMENTATION, ModuleDocFragment.LIMITS)
    documented: dict[str, Any] = {name: option for text in fragments for name, option in yaml.safe_load(text)["options"].items()}
    assert {name: option.get("default") for name, option in documented.items()} == {name: option.get("default") for name, option in GUARDS.options.items()}
    assert set(documented) == set(GuardOptions.__dataclass_fields__)
