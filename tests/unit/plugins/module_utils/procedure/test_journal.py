# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The write-ahead journal: what is on disk, when, and for how long."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import journal as wal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Outcome
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal, RunWriter

from .journals import CHANGE, HEADER, path_of, write

# -- written ----------------------------------------------------------------------------------------------------------


def test_each_step_is_on_disk_before_the_next_begins(journal: Journal) -> None:
    steps: list[str] = []

    def noted(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            steps.append(name)
            return function(*arguments)

        return call

    with contextlib.ExitStack() as stack:
        for name in ("write", "fsync", "rename"):
            stack.enter_context(mock.patch.object(os, name, noted(name, getattr(os, name))))
        stack.enter_context(mock.patch.object(wal, "boundary", steps.append))
        writer = journal.start("fix", HEADER)
        writer.begin(0, [CHANGE])
        steps.append("apply")
        writer.done(0, [Outcome(True)])
        writer.end("ok")
    assert (
        steps
        == (
            "journal.run.before write fsync rename fsync journal.run.after journal.begin.before write fsync journal.begin.after apply"
            " journal.done.before write fsync journal.done.after journal.end.before write fsync journal.end.after"
        ).split()
    )


def test_new_directories_are_synced_into_their_parents(tmp_path: Path) -> None:
    synced = []

    def fsync(handle: int) -> None:
        synced.append(os.readlink("/proc/self/fd/%d" % handle))

    with mock.patch("os.fsync", fsync):
        Journal(str(tmp_path / "a" / "b")).prepare()
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_only_the_owner_can_read_whatever_the_umask_is(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        journal = Journal(str(tmp_path / "state" / "journal"))
        journal.prepare()
        undo_id = write(journal)
    finally:
        os.umask(old)
    for path in (tmp_path / "state", Path(journal.directory), Path(journal.runs)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(path_of(journal, undo_id).stat().st_mode) == 0o600


def test_two_runs_in_the_same_second_are_two_runs(journal: Journal) -> None:
    ids = {write(journal, at=1000000000.25 + n / 1000) for n in range(5)}
    assert len(ids) == 5
    assert {undo_id[:15] for undo_id in ids} == {"20010909T014640"}
    assert [run.started for run in journal.all_runs()] == [1000000000.25 + n / 1000 for n in (4, 3, 2, 1, 0)]


def test_short_writes_are_completed(journal: Journal) -> None:
    real = os.write
    with mock.patch("os.write", lambda handle, data: real(handle, bytes(data[:7]))):
        undo_id = write(journal)
    assert journal.read(undo_id).changes[0].state == wal.DONE


class FullDisk:
    """From the n-th write on nothing but a few bytes fits."""

    def __init__(self, after: int) -> None:
        self.left = after
        self.real = os.write

    def __call__(self, handle: int, data: Any) -> int:
        self.left -= 1
        if self.left >= 0:
            return self.real(handle, data)
        if self.left == -1:
            return self.real(handle, bytes(data[:9]))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_full_at_the_start_leaves_nothing(journal: Journal) -> None:
    with mock.patch("os.write", FullDisk(0)), pytest.raises(JournalError, match=r"No space left on device\. Nothing was changed\."):
        journal.start("fix", HEADER)
    assert os.listdir(journal.runs) == []


@pytest.mark.parametrize(
    ("writes", "state", "says"),
    [(1, None, "What was to be done next was not done"), (2, wal.UNKNOWN, "could not be marked"), (3, wal.DONE, "kept as unfinished")],
)
def test_disk_full_later_leaves_whole_lines(journal: Journal, writes: int, state: str | None, says: str) -> None:
    with mock.patch("os.write", FullDisk(writes)), pytest.raises(JournalError, match=says):
        write(journal)
    [undo_id] = journal.ids()
    run = journal.read(undo_id)
    assert run.status == "unfinished"
    assert [entry.state for entry in run.changes] == ([] if state is None else [state])
    assert path_of(journal, undo_id).read_bytes().endswith(b"}\n")


def test_space_that_comes_back_is_used(journal: Journal) -> None:
    writer = journal.start("fix", HEADER)
    with mock.patch("os.write", FullDisk(0)), pytest.raises(JournalError):
        writer.begin(0, [CHANGE])
    writer.end("failed", "disk full")
    run = journal.read(writer.undo_id)
    assert (run.status, run.error, run.changes) == ("failed", "disk full", [])


def test_no_file_is_left_open_by_a_run_that_could_not_start(journal: Journal) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with mock.patch("os.fsync", side_effect=OSError(errno.EIO, "Input/output error")), pytest.raises(JournalError, match="Input/output error"):
        journal.start("fix", HEADER)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_error_does_not_hide_the_end(journal: Journal) -> None:
    writer = journal.start("fix", HEADER)
    writer.end("failed", "\U0001f4a5" * 100000)
    run = journal.read(writer.undo_id, with_changes=False)
    assert run.status == "failed"
    assert len(run.error) == 4000


# -- pruned -----------------------------------------------------------------------------------------------------------

DAY = 86400.0


@pytest.fixture
def aged(journal: Journal) -> dict[str, str]:
    """Runs of 1, 2, 3 and 4 days ago; that of 3 days ago never ended."""
    now = time.time()
    ages = {"one": 1, "two": 2, "three": 3, "four": 4}
    return {name: write(journal, "" if name == "three" else "failed" if name == "two" else "ok", at=now - age * DAY) for name, age in ages.items()}


@pytest.mark.parametrize(
    ("days", "runs", "options", "gone"),
    [
        (90, 1000, {}, []),
        (2.5, 1000, {}, ["four"]),
        (0, 1000, {}, ["one", "two", "four"]),
        (90, 4, {}, []),
        (90, 3, {}, ["four"]),
        (90, 0, {}, ["one", "two", "four"]),
        (90, 0, {"keep_seconds": 2.5 * DAY}, ["four"]),
        (0, 0, {"keep_seconds": 10 * DAY}, []),
    ],
)
def test_prune_by_age_and_count(journal: Journal, aged: dict[str, str], days: float, runs: int, options: Any, gone: list[str]) -> None:
    assert journal.prune(days, runs, **options) == [aged[name] for name in gone]
    assert sorted(journal.ids()) == sorted(undo_id for name, undo_id in aged.items() if name not in gone)


def test_prune_spares_what_is_being_undone(journal: Journal, aged: dict[str, str]) -> None:
    assert journal.prune(0, 0, keep=[aged["four"]]) == [aged["one"], aged["two"]]


def test_prune_goes_on_where_a_file_cannot_be_removed(journal: Journal, aged: dict[str, str]) -> None:
    with mock.patch("os.unlink", side_effect=PermissionError):
        assert journal.prune(0, 0) == []
    assert len(journal.ids()) == 4


def test_prune_removes_what_never_became_a_run(journal: Journal) -> None:
    (Path(journal.runs) / "20260131T235959-fix-0123abcd.jsonl.new").write_bytes(b"{")
    journal.prune(90, 1000)
    assert os.listdir(journal.runs) == []


def test_nothing_is_pruned_where_nothing_is(tmp_path: Path) -> None:
    assert Journal(str(tmp_path / "none")).prune(0, 0) == []


# -- where it lies ----------------------------------------------------------------------------------------------------


def test_default_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/op")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Journal().directory == "/var/lib/fieldops/runbooks"
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Journal().directory == "/state/fieldops/runbooks"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert Journal().directory == "/home/op/.local/state/fieldops/runbooks"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert Journal().directory == "/home/op/.local/state/fieldops/runbooks"


def test_writers_do_not_share_a_file(journal: Journal) -> None:
    path = os.path.join(journal.runs, "20260131T235959-fix-0123abcd.jsonl")
    Path(path + ".new").write_bytes(b"")
    with pytest.raises(JournalError, match=r"File exists\. Nothing was changed\."):
        RunWriter(path, {"undo_id": "20260131T235959-fix-0123abcd"})
