# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of a node tells a person, and who is behind a run."""

from __future__ import annotations

import os
import pwd
import socket
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import inspect
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Outcome
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.history import History
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import NodeLock
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.who import who

from .shelf import FIX, Shelf, Tidy, engine, undo

START = 1700000000.0


@pytest.fixture
def directory(tmp_path: Path) -> str:
    Journal(str(tmp_path / "journal")).prepare()
    return str(tmp_path / "journal")


def run(directory: str, at: float, status: str = "ok", fix: str = FIX, pid: int = 4711, **header: Any) -> str:
    """One run at a time after ``START``; unfinished when the status is empty."""
    known = dict({"who": {"user": "operator", "pid": pid}, "plan_sha256": "00", "total": 2, "room": "cellar"}, **header)
    with mock.patch("time.time", return_value=START + at):
        writer = Journal(directory).start(fix, known)
        writer.begin(0, [Change("put", "cup", None, {"x": 1}, "r"), Change("put", "jug", None, {"x": 1}, "r")])
        writer.done(0, [Outcome(True), Outcome(False, "gone")])
        if status:
            writer.end(status, "it broke" if status == "failed" else "")
    return writer.undo_id


def look(directory: str, **params: Any) -> dict[str, Any]:
    result = inspect(History(dict({"journal_dir": directory, "undo_id": None, "fix": None, "limit": 50}, **params)))
    return dict(result.facts, findings=[finding.to_dict() for finding in result.findings])


def test_unfinished_first_then_the_newest(directory: str) -> None:
    old, killed, failed, new = run(directory, 0), run(directory, 100, ""), run(directory, 200, "failed"), run(directory, 300)
    seen = look(directory)
    assert [(each["undo_id"], each["status"]) for each in seen["runs"]] == [(killed, "unfinished"), (new, "ok"), (failed, "failed"), (old, "ok")]
    assert seen["runs"][2]["error"] == "it broke"
    assert seen["runs"][0] == {
        "undo_id": killed,
        "fix": FIX,
        "status": "unfinished",
        "error": "",
        "started": "2023-11-14T22:15:00Z",
        "ended": None,
        "who": {"user": "operator", "pid": 4711},
        "plan_sha256": "00",
        "total": 2,
        "context": {"room": "cellar"},
        "undo_of": None,
        "undone_by": [],
    }
    assert seen["runs"][1]["ended"] == "2023-11-14T22:18:20Z"
    [finding] = seen["findings"]
    assert (finding["code"], finding["severity"], finding["subject"]) == ("runbook.journal.unfinished", "warning", killed)
    assert "shelf_tidy by operator was stopped half way on 2023-11-14T22:15:00Z" in finding["summary"]
    assert killed in finding["remedy"]["text"]


def test_limit_and_fix(directory: str) -> None:
    killed = run(directory, 0, "")
    ids = [run(directory, 100 + n, fix="other_fix") for n in range(3)]
    assert [each["undo_id"] for each in look(directory, limit=2)["runs"]] == [killed, ids[2]]
    assert [each["undo_id"] for each in look(directory, fix="other_fix")["runs"]] == ids[::-1]
    assert look(directory, fix="no_fix")["runs"] == []
    for limit in (0, -1):
        with pytest.raises(RunbookError, match="limit must be 1 or more, not %d" % limit):
            look(directory, limit=limit)


def test_one_run_in_full(directory: str) -> None:
    undo_id = run(directory, 0)
    run(directory, 100)
    [seen] = look(directory, undo_id=undo_id)["runs"]
    assert [(change["n"], change["subject"], change["state"]) for change in seen["changes"]] == [(0, "cup", "done"), (1, "jug", "skipped")]
    assert "changes" not in look(directory)["runs"][0]
    with pytest.raises(JournalError, match="no run 20260131T235959-fix-0123abcd"):
        look(directory, undo_id="20260131T235959-fix-0123abcd")


def test_an_undo_names_what_it_took_back(directory: str) -> None:
    shelf = Shelf({})
    first = engine(Tidy(shelf, {"cup": {"x": 1}}), directory).run().undo_id
    back = engine(undo(shelf, directory, first), directory).run().undo_id
    seen = {each["undo_id"]: each for each in look(directory)["runs"]}
    assert seen[first]["undone_by"] == [back]
    assert seen[back]["undo_of"] == first
    assert seen[back]["context"] == {"room": "cellar"}


def test_a_killed_run_that_was_taken_back_is_no_worry(directory: str) -> None:
    killed = run(directory, 0, "")
    run(directory, 100, "failed", "runbook_undo", undo_of=killed)
    assert look(directory)["findings"][0]["severity"] == "warning"
    run(directory, 200, "ok", "runbook_undo", undo_of=killed)
    assert [finding["code"] for finding in look(directory)["findings"]] == ["runbook.journal.ok"]


def test_who_is_at_work(directory: str) -> None:
    """The run of the holder is no killed run; another one of a process that once had the same pid is."""
    killed = run(directory, 0, "", pid=os.getpid())
    lock = NodeLock(directory, 900)
    lock.acquire("run-1", "other_fix", "somebody")
    working = run(directory, time.time() - START, "", pid=os.getpid())
    seen = look(directory)
    assert seen["lock"]["owner"] == "somebody"
    assert [each["undo_id"] for each in seen["runs"]] == [working, killed]
    assert [finding["subject"] for finding in seen["findings"]] == [killed]
    lock.release()
    assert look(directory)["lock"] is None


def test_what_cannot_be_read_is_said(directory: str) -> None:
    good, bad = run(directory, 0), run(directory, 100)
    (Path(directory) / "runs" / (bad + ".jsonl")).write_bytes(b"garbage\n")
    seen = look(directory)
    assert [each["undo_id"] for each in seen["runs"]] == [good]
    [finding] = seen["findings"]
    assert (finding["code"], finding["severity"]) == ("runbook.journal.unreadable", "warning")
    assert bad in finding["summary"]


def test_nothing_is_created(tmp_path: Path) -> None:
    seen = look(str(tmp_path / "none"))
    assert (seen["runs"], seen["lock"]) == ([], None)
    assert [finding["severity"] for finding in seen["findings"]] == ["ok"]
    assert list(tmp_path.iterdir()) == []


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SUDO_USER", "AWX_JOB_ID", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_who(bare: pytest.MonkeyPatch) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    bare.setenv("LOGNAME", "somebody-else")
    known = {"node_user": user, "host": socket.gethostname(), "pid": os.getpid()}
    assert who({}) == dict(known, user=user, job_id=None)
    assert who({"user": None, "job_id": None}) == dict(known, user=user, job_id=None)
    bare.setenv("SUDO_USER", "operator")
    assert who({})["user"] == "operator"
    assert who({"user": "awx-operator", "job_id": "4711"}) == dict(known, user="awx-operator", job_id="4711")


def test_job_of_the_environment(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("JOB_ID", "1")
    assert who({})["job_id"] == "1"
    bare.setenv("AWX_JOB_ID", "2")
    assert who({})["job_id"] == "2"
    assert who({"job_id": "3"})["job_id"] == "3"


def test_a_user_without_a_name(bare: pytest.MonkeyPatch) -> None:
    bare.setattr("os.geteuid", lambda: 4711)
    with mock.patch("pwd.getpwuid", side_effect=KeyError):
        assert who({})["node_user"] == "4711"
