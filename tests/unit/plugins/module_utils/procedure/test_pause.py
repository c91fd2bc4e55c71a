# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pause of all fixes: what counts as one, what it tells, and the fix that makes and ends it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import Refused, RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard import GuardOptions
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock_shared import user_name
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.pause import moment_of, pauses, read_pause, read_words, words
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.pause_run import PauseAll, PauseStore
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.run import Engine
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import Undo

from .shelf import Shelf, Tidy, engine

ME = user_name(os.geteuid())
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@pytest.mark.parametrize(
    ("text", "reason", "who", "until"),
    [
        ("storage moves\n", "storage moves", "root", None),
        ("", "", "root", None),
        ("\n  two\r\nlines \n", "two lines", "root", None),
        ("x\nwho: operator\nuntil: 1970-01-01T00:01:00Z\n", "x", "operator as root", 60.0),
        ("WHO: root\nUntil: 1970-01-01T01:01:00+01:00\nx", "x", "root", 60.0),
        ("until: 1970-01-01 00:01\nx", "x", "root", 60.0),
        ("x\nuntil: soon\n", "x until: soon", "root", None),
        ("see: the wiki\nwho:\n", "see: the wiki who:", "root", None),
        ("ask \udcff\n", "ask \udcff", "root", None),
    ],
)
def test_words(text: str, reason: str, who: str, until: float | None) -> None:
    pause = read_words("/p", text, "root", 5.0)
    assert (pause.reason, pause.who, pause.since, pause.until) == (reason, who, 5.0, until)


@pytest.mark.parametrize("until", [None, 1770000000.0])
def test_words_come_back(until: float | None) -> None:
    pause = read_words("/p", words("storage\nmoves  now", "op\nerator", until), "root", 5.0)
    assert (pause.reason, pause.who, pause.until) == ("storage moves now", "op erator as root", until)


@pytest.mark.parametrize("text", ["", "soon", "2026", "12:00", "2026-02-30T00:00:00Z", "tomorrow 06:00"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(RunbookError, match="accepted is a date with a time"):
        moment_of(text)


def test_what_holds_now(tmp_path: Path) -> None:
    one, two = tmp_path / "limits", tmp_path / "journal"
    one.mkdir()
    two.mkdir()
    both = (str(one), str(two))
    assert pauses(both, None) == []
    (one / "pause").write_text("until: 1970-01-01T00:01:00Z\nfirst", encoding="ascii")
    (two / "pause").write_text("second", encoding="ascii")
    assert [pause.reason for pause in pauses(both, None, now=59.0)] == ["first", "second"]
    assert [pause.reason for pause in pauses(both, "third", "operator", now=60.0)] == ["third", "second"]
    assert len(pauses((str(two), str(two)), None)) == 1


@pytest.mark.parametrize("word", [None, "", " ", "false", "False", "no", "off", "0"])
def test_words_for_no(word: str | None) -> None:
    assert pauses((), word) == []


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "binary"])
def test_whatever_lies_there_is_a_pause(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pause"
    make = {"link": lambda: path.symlink_to("/nowhere"), "fifo": lambda: os.mkfifo(path), "directory": path.mkdir, "binary": lambda: path.write_bytes(b"\xff")}
    make[kind]()
    found = read_pause(str(path))
    assert found is not None
    assert found.until is None
    assert found.who == ME
    assert "all fixes are paused: " in found.describe()


def test_none(tmp_path: Path) -> None:
    assert read_pause(str(tmp_path / "pause")) is None
    assert read_pause(str(tmp_path / "none" / "pause")) is None


# -- as a guard -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check_mode", [True, False])
def test_every_refusal_shows_the_reason(tmp_path: Path, check_mode: bool) -> None:
    directory = str(tmp_path / "journal")
    Journal(directory).prepare()
    (tmp_path / "journal" / "pause").write_text("storage moves\nwho: operator\n", encoding="ascii")
    fix = engine(Tidy(Shelf({}), {"cup": {}}), directory, check_mode, paused="and so do we")
    with pytest.raises(Refused, match=r"and so do we .*storage moves") as refused:
        fix.run()
    [refusal] = refused.value.refusals
    assert refusal.guard == "pause"
    assert "operator" in refusal.reason
    assert "since 2" in refusal.reason
    assert "by the option paused" in refusal.reason
    assert str(tmp_path / "journal" / "pause") in refusal.allow
    assert engine(Tidy(Shelf({}), {}), directory, check_mode).run().changed is False, "there is nothing to refuse"


# -- the fix ----------------------------------------------------------------------------------------------------------


class Node:
    def __init__(self, path: Path) -> None:
        self.options: dict[str, Any] = {"limits_dir": str(path / "limits"), "journal_dir": str(path / "journal")}
        self.file = path / "limits" / "pause"
        self.journal = Journal(self.options["journal_dir"])

    def run(self, check_mode: bool = False, **params: Any) -> Any:
        known = {"state": "present", "reason": None, "until": None, "initiator": {"user": "operator"}, **self.options, **params}
        return Engine(PauseAll(known), GuardOptions(paused="all the same", windows=["mon 00:00-00:01"], **self.options), check_mode).run()

    def undo(self, undo_id: str) -> Any:
        run = self.journal.read(undo_id)
        return Engine(Undo(run, PauseStore({}, run.header), (), self.journal), GuardOptions(**self.options), False).run()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_predicted_paused_again_undone(node: Node) -> None:
    predicted = node.run(check_mode=True, reason="storage  moves", until="2199-01-01T00:00:00Z")
    assert predicted.changed
    assert not node.file.parent.exists()
    real = node.run(reason="storage moves", until="2199-01-01T00:00:00Z")
    assert real.sha256 == predicted.sha256
    assert node.file.read_text(encoding="ascii") == "storage moves\nwho: operator\nuntil: 2199-01-01T00:00:00Z\n"
    assert node.file.stat().st_mode & 0o777 == 0o644
    assert [finding.code for finding in real.findings] == ["limits.paused"]
    assert not node.run(reason="storage moves", until="2199-01-01T01:00:00+01:00").changed
    assert node.run(reason="it takes longer").changed
    assert node.undo(node.run(state="absent").undo_id).changed, "an undo is not kept from it by the pause"
    assert node.file.read_text(encoding="ascii").startswith("it takes longer\n")
    assert node.run(state="absent").changed
    assert not node.file.exists()
    assert not node.run(state="absent").changed


def test_what_somebody_wrote_by_hand_comes_back_as_it_was(node: Node) -> None:
    node.run(reason="x")
    node.file.write_bytes(b"by hand \xff\r\n\n")
    undo_id = node.run(state="absent").undo_id
    assert not node.file.exists()
    node.undo(undo_id)
    assert node.file.read_bytes() == b"by hand \xff\r\n\n"


def test_what_killed_runs_have_left_is_removed(node: Node) -> None:
    node.run(reason="x")
    (node.file.parent / ".pause.0123").touch()
    node.run(reason="y")
    assert sorted(path.name.split(".")[0] for path in node.file.parent.iterdir()) == ["lease", "mutex", "pause"]


def test_both_places_are_cleared(node: Node) -> None:
    node.run(reason="x")
    (Path(node.journal.directory) / "pause").write_text("y", encoding="ascii")
    assert len(node.run(state="absent").changes) == 2
    assert not (Path(node.journal.directory) / "pause").exists()


def test_what_is_no_file_goes_and_cannot_come_back(node: Node) -> None:
    node.run(reason="x")
    node.file.unlink()
    node.file.symlink_to("/etc/passwd")
    result = node.run(state="absent")
    assert [change.reversible for change in result.changes] == [False]
    assert not os.path.lexists(node.file)
    assert Path("/etc/passwd").exists()


def test_what_changed_meanwhile_is_left_alone(node: Node) -> None:
    node.run(reason="x")
    procedure = PauseAll({"state": "absent", "reason": None, "until": None, "initiator": {}, **node.options})
    plan = procedure.plan(procedure.observe())
    node.file.write_text("another one", encoding="ascii")
    assert [outcome.done for outcome in procedure.apply(plan)] == [False]
    assert node.file.read_text(encoding="ascii") == "another one"


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "a pause needs a reason"),
        ({"reason": " \n"}, "a pause needs a reason"),
        ({"state": "absent", "until": "2199-01-01T00:00:00Z"}, "it goes with state: present only"),
        ({"reason": "x", "until": "1999-01-01T00:00:00Z"}, "is in the past"),
        ({"reason": "x", "until": "soon"}, "accepted is a date with a time"),
    ],
)
def test_what_makes_no_sense(node: Node, params: dict[str, Any], says: str) -> None:
    with pytest.raises(RunbookError, match=says):
        node.run(**params)


def test_one_that_is_over_is_replaced(node: Node) -> None:
    node.run(reason="x")
    node.file.write_text("x\nuntil: 1999-01-01T00:00:00Z\n", encoding="ascii")
    procedure = PauseAll({"state": "absent", "reason": None, "until": None, "initiator": {}, **node.options})
    assert [finding.code for finding in procedure.diagnose(procedure.observe())] == ["limits.pause_over"]
    assert node.run(reason="x", until="2199-01-01T00:00:00Z").changed
    assert pauses((str(node.file.parent),), None)[0].until == pytest.approx(moment_of("2199-01-01T00:00:00Z"))


def test_nothing_but_a_pause_is_touched(node: Node, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("x", encoding="ascii")
    for subject in ("pause:%s" % victim, "pause:pause", "%s" % victim):
        with pytest.raises(RunbookError, match="is not a pause"):
            PauseStore({}, {}).apply([Change("undo_pause", subject, {"text": "x"}, None, "r", token="x")])
    assert victim.read_text(encoding="ascii") == "x"


@ROOT_ONLY
def test_the_pause_of_another_user_is_theirs_to_end(node: Node, tmp_path: Path) -> None:
    node.run(reason="x")
    os.chown(node.file, 1, 1)
    for parent in tmp_path.parents[:3]:
        if parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o777)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            node.options["journal_dir"] = str(tmp_path / "other")
            try:
                node.run(state="absent")
            except Refused as exc:
                os._exit(0 if [refusal.guard for refusal in exc.refusals] == ["owner"] else 2)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert node.file.exists()
    assert node.run(state="absent").changed, "root may"


def test_since_is_when_it_was_written(node: Node) -> None:
    before = time.time() - 1
    node.run(reason="x")
    [pause] = pauses((str(node.file.parent),), None)
    assert pause.since is not None
    assert before <= pause.since <= time.time() + 1
