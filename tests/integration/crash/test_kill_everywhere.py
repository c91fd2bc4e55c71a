# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kill -9 at every point of every fix: between any two writes of the journal, the lock and the system itself.

After each of these deaths the journal and the system must tell the same story, nothing may be stuck, running the fix
again must end where an undisturbed run ends, and undoing the killed run must give back exactly what was there.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest import mock

import coverage
import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import run as engine
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import DONE, PENDING, SKIPPED, UNKNOWN, Journal, Run
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import matches
from conftest import Databases
from crash.scenarios import SCENARIOS, Effect, Lab, Scenario
from support import run_module, run_ok

LOOKS = {"motr_cob_read", "runbook_bundle", "runbook_looks", "runbook_plan"}
"""What writes a file that it was asked for, and changes nothing else, is no fix, whatever its name."""
MUST_PASS = {"journal.run.before", "journal.begin.after", "apply.before", "apply.after", "journal.done.after", "journal.end.after"}
MODULES = Path(__file__).parents[3] / "plugins" / "modules"


def _name_of(_file: Any, *rest: Any) -> str:
    return "file"


FILES: Sequence[Effect] = tuple((os, name, _name_of) for name in ("mkdir", "write", "fsync", "rename", "replace", "unlink"))


def watched(scenario: Scenario, reached: Callable[[str], None]) -> ExitStack:
    """Have ``reached`` called at each boundary of the engine and before each effect; after one is before the next."""
    stack = ExitStack()
    for module in (journal, engine):
        stack.enter_context(mock.patch.object(module, "boundary", reached))
    for owner, attribute, describe in [*(FILES if scenario.finely else ()), *scenario.effects]:
        stack.enter_context(mock.patch.object(owner, attribute, _announced(getattr(owner, attribute), attribute, describe, reached)))
    return stack


def _announced(function: Any, attribute: str, describe: Callable[..., str], reached: Callable[[str], None]) -> Any:
    def announced(*arguments: Any, **named: Any) -> Any:
        what = describe(*arguments)
        if what:
            reached(f"{attribute} {what}")
        return function(*arguments, **named)

    return announced


def in_child(body: Callable[[], None]) -> int:
    """Run in a fork, which is not measured; its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            if measuring := coverage.Coverage.current():
                measuring.stop()
            body()
            os._exit(0)
        finally:
            os._exit(99)
    return os.waitpid(pid, 0)[1]


def points(scenario: Scenario, journal_dir: str, path: Path) -> list[str]:
    """Names of all points that an undisturbed run passes."""
    record = path / "points"

    def body() -> None:
        with open(record, "w", encoding="utf-8", buffering=1) as file, watched(scenario, lambda name: print(name, file=file)):
            run_ok(scenario.module, {**scenario.arguments(), "journal_dir": journal_dir})

    assert in_child(body) == 0
    return record.read_text(encoding="utf-8").splitlines()


def kill_at(scenario: Scenario, journal_dir: str, number: int) -> None:
    """Run the fix until it has passed ``number`` points, and kill it there."""
    passed: Iterator[int] = iter(range(number + 1))

    def reached(_name: str) -> None:
        if next(passed) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def body() -> None:
        with watched(scenario, reached):
            run_ok(scenario.module, {**scenario.arguments(), "journal_dir": journal_dir})

    status = in_child(body)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, f"it was not killed: status {status}"


def new_run(directory: str, known: Sequence[str]) -> Run | None:
    """The run that was killed, if its journal had been begun; all of the journal must be readable."""
    unreadable: list[str] = []
    runs = [run.undo_id for run in Journal(directory).all_runs(unreadable) if run.undo_id not in known]
    assert not unreadable
    assert len(runs) <= 1
    return Journal(directory).read(runs[0]) if runs else None


def tell_the_same_story(scenario: Scenario, run: Run) -> None:
    """Pending is as before, done is as after, and a batch of which nothing is known is one of both as a whole."""
    unknown = set()
    for entry in run.changes:
        now = scenario.look(entry.change)
        before, after = matches(entry.change.before, now), matches(entry.actual or entry.change.after, now)
        assert before != after
        if entry.state == UNKNOWN:
            unknown.add(after)
        else:
            assert after == (entry.state == DONE)
            assert entry.state in (PENDING, DONE, SKIPPED)
    assert len(unknown) <= 1, "half of a batch was made"


def is_listed(run: Run | None, directory: str) -> None:
    """Unfinished unless it ended, and then first; the lock is nobody's."""
    listed = run_ok("runbook_journal_info", {"journal_dir": directory})
    assert listed["lock"] is None
    if run is not None and run.status == "unfinished":
        assert (listed["runs"][0]["undo_id"], listed["runs"][0]["status"]) == (run.undo_id, "unfinished")
        assert [finding["subject"] for finding in listed["findings"]] == [run.undo_id]
    else:
        assert [finding["severity"] for finding in listed["findings"]] == ["ok"]


def undo_restores(scenario: Scenario, run: Run, directory: str, original: Any) -> None:
    arguments = {**scenario.undo_arguments(), "undo_id": run.undo_id, "journal_dir": directory}
    run_ok("runbook_undo", arguments)
    assert scenario.dump() == original
    assert run_ok("runbook_undo", arguments)["changed"] is False


def undo_is_honest(scenario: Scenario, run: Run, directory: str, left: Any) -> None:
    """What cannot be taken back is refused as such, and left as it is."""
    result = run_module("runbook_undo", {**scenario.undo_arguments(), "undo_id": run.undo_id, "journal_dir": directory})
    if result.get("failed"):
        assert [refusal["guard"] for refusal in result["refusals"]] == ["irreversible"]
        assert scenario.dump() == left


def again_converges(scenario: Scenario, directory: str, wanted: Any) -> None:
    arguments = {**scenario.arguments(), "journal_dir": directory}
    run_ok(scenario.module, arguments)  # at once: a lock that is stuck would refuse
    assert scenario.service(scenario.dump()) == wanted
    assert run_ok(scenario.module, arguments)["changed"] is False


def survives(scenario: Scenario, number: int, path: Path, original: Any, wanted: Any) -> None:
    """One death, and all that is asked after it."""
    killed, copied = str(path / f"killed-{number}"), str(path / f"copy-{number}")
    if os.path.exists(scenario.journal_dir):
        shutil.copytree(scenario.journal_dir, killed)
    known = Journal(killed).ids()
    kill_at(scenario, killed, number)
    left = scenario.dump()
    run = new_run(killed, known)
    is_listed(run, killed)
    if run is None:
        assert left == original
    else:
        tell_the_same_story(scenario, run)
        shutil.copytree(killed, copied)
        if scenario.undoable:
            undo_restores(scenario, run, copied, original)
        else:
            undo_is_honest(scenario, run, copied, left)
        scenario.restore(left)
    again_converges(scenario, killed, wanted)
    scenario.restore(original)


KINDS = pytest.mark.parametrize("kind", [pytest.param(kind, id=f"{name}-{kind.__name__}") for name, kinds in SCENARIOS.items() for kind in kinds])


@pytest.fixture
def deaths(
    database: Databases,
    connection: dict[str, Any],
    places: dict[str, Any],
    journal_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Callable[[type[Scenario], Callable[[list[str]], Sequence[int]]], None]:
    """Kills one kind of fix at the points that are chosen among those of an undisturbed run."""

    def die(kind: type[Scenario], choose: Callable[[list[str]], Sequence[int]]) -> None:
        scenario = kind(Lab(database, connection, places, tmp_path, monkeypatch, request.addfinalizer, request.getfixturevalue), journal_dir)
        original = scenario.dump()
        first = str(tmp_path / "undisturbed")
        if os.path.exists(journal_dir):
            shutil.copytree(journal_dir, first)
        names = points(scenario, first, tmp_path)
        wanted = scenario.service(scenario.dump())
        assert wanted != scenario.service(original)
        assert set(names) >= MUST_PASS
        scenario.restore(original)
        for number in choose(names):
            try:
                survives(scenario, number, tmp_path, original, wanted)
            except BaseException as exc:
                exc.add_note(f"killed at point {number}: {names[number]} (of {names})")
                raise

    return die


def around_the_change(names: list[str]) -> list[int]:
    """Where most is at stake: in the midst of the change, and where it is made and the journal does not know."""
    begun, made = names.index("apply.before"), names.index("apply.after")
    return sorted({(begun + made) // 2, made})


@KINDS
def test_killed_around_the_change(kind: type[Scenario], deaths: Callable[..., None]) -> None:
    deaths(kind, around_the_change)


@pytest.mark.thorough
@KINDS
def test_killed_at_every_point(kind: type[Scenario], deaths: Callable[..., None]) -> None:
    deaths(kind, lambda names: range(len(names)))


def test_every_fix_has_a_scenario() -> None:
    fixes = {path.stem for path in MODULES.glob("*.py") if not path.stem.endswith("_info") and not path.stem.startswith("_")}
    assert fixes - LOOKS == set(SCENARIOS)
    assert all(kind.module == name for name, kinds in SCENARIOS.items() for kind in kinds)
