# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a journal is believed when it is read back."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import journal as wal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Outcome, canonical
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from hypothesis import given, settings
from hypothesis import strategies as st

from .journals import CHANGE, HEADER, edit, path_of, write
from .test_envelope import CHANGES, JSON


@settings(deadline=None)
@given(st.lists(CHANGES, min_size=1, max_size=4), st.data())
def test_what_was_written_is_read(tmp_path_factory: Any, changes: list[Change], data: st.DataObject) -> None:
    journal = Journal(str(tmp_path_factory.mktemp("journal")))
    journal.prepare()
    outcomes = [Outcome(data.draw(st.booleans()), "note", data.draw(st.none() | st.dictionaries(st.text(max_size=3), JSON, max_size=2))) for _each in changes]
    writer = journal.start("fix", dict(HEADER, room=changes[0].before))
    writer.begin(0, changes)
    unmarked = journal.read(writer.undo_id)
    assert {entry.state for entry in unmarked.changes} == {wal.UNKNOWN}
    writer.done(0, outcomes)
    writer.end("ok")
    run = journal.read(writer.undo_id)
    assert canonical([entry.change.to_dict() for entry in run.changes]) == canonical([change.to_dict() for change in changes])
    assert [entry.n for entry in run.changes] == list(range(len(changes)))
    assert [entry.state for entry in run.changes] == [wal.DONE if outcome.done else wal.SKIPPED for outcome in outcomes]
    assert canonical([entry.actual for entry in run.changes]) == canonical([outcome.actual for outcome in outcomes])
    assert canonical(run.context) == canonical({"room": changes[0].before})
    short = journal.read(writer.undo_id, with_changes=False)
    assert (short.status, short.header, short.ended, short.changes) == (run.status, run.header, run.ended, [])


def test_batches_are_numbered_through(journal: Journal) -> None:
    writer = journal.start("fix", HEADER)
    writer.begin(0, [CHANGE, CHANGE])
    writer.done(0, [Outcome(True), Outcome(False, "gone")])
    writer.begin(2, [CHANGE])
    run = journal.read(writer.undo_id)
    assert [(entry.n, entry.state) for entry in run.changes] == [(0, wal.DONE), (1, wal.SKIPPED), (2, wal.UNKNOWN)]
    assert [entry.n for entry in run.touched()] == [0, 2]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_was_never_written(journal: Journal, cut: int) -> None:
    undo_id = write(journal)
    path = path_of(journal, undo_id)
    path.write_bytes(path.read_bytes()[:-cut])
    for with_changes in (True, False):
        assert journal.read(undo_id, with_changes).status == "unfinished"
    assert journal.read(undo_id).changes[0].state == wal.DONE


def test_every_prefix_of_a_journal_is_a_journal(journal: Journal) -> None:
    """A kill or a power cut leaves a prefix, and the states only ever move forward."""
    undo_id = write(journal, changes=[CHANGE, CHANGE])
    path = path_of(journal, undo_id)
    whole = path.read_bytes()
    rank = {wal.PENDING: 0, wal.UNKNOWN: 1, wal.DONE: 2}
    seen = [(0, 0)]
    for length in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:length])
        changes = journal.read(undo_id).changes
        assert len({entry.state for entry in changes}) <= 1 or {entry.state for entry in changes} == {wal.PENDING}
        seen.append((len(changes), max((rank[entry.state] for entry in changes), default=0)))
    assert seen == sorted(seen)
    assert seen[-1] == (2, 2)


def test_a_change_that_was_not_begun_is_pending(journal: Journal) -> None:
    undo_id = write(journal)
    path = path_of(journal, undo_id)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    run = journal.read(undo_id)
    assert [entry.state for entry in run.changes] == [wal.PENDING]
    assert run.touched() == []


@pytest.mark.parametrize(
    ("number", "text", "says"),
    [
        (0, "\n", "its first line is not a run"),
        (0, '{"type":"change"}\n', "its first line is not a run"),
        (0, '{"type":"run","v":1}\n', "damaged at line 1"),
        (0, '["run"]\n', "its first line is not a run"),
        (1, "\x00\x00\x00\n", "damaged at line 2"),
        (1, '{"type":"change","n":0}\n', "damaged at line 2"),
        (1, '{"action":"a","subject":"s","before":null,"after":null,"reason":"","reversible":true,"type":"change","n":7}\n', "damaged at line 2"),
        (1, "", "damaged at line 2"),
        (2, '{"type":"begin","batch":0,"first":0,"count":2}\n', "damaged at line 3"),
        (2, '{"type":"begin","batch":0,"first":-1,"count":2}\n', "damaged at line 3"),
        (2, '{"type":"begin","batch":0,"first":"x","count":2}\n', "damaged at line 3"),
        (2, "garbage\n", "damaged at line 3"),
        (3, '{"type":"done","batch":9,"skipped":{},"actual":{}}\n', "damaged at line 4"),
        (3, '{"type":"done","batch":0,"skipped":null,"actual":{}}\n', "damaged at line 4"),
        (4, '{"type":"end"}\n', "damaged at line 5"),
    ],
)
def test_damage_is_refused(journal: Journal, number: int, text: str, says: str) -> None:
    undo_id = write(journal)
    edit(journal, undo_id, number, text)
    with pytest.raises(JournalError, match=says):
        journal.read(undo_id)


def test_damage_at_the_very_end_is_what_a_power_cut_leaves(journal: Journal) -> None:
    undo_id = write(journal)
    edit(journal, undo_id, 4, "\x00\x00\xff\n")
    assert journal.read(undo_id).status == "unfinished"
    assert journal.read(undo_id, with_changes=False).status == "unfinished"


def test_a_damaged_end_is_named_in_the_short_reading(journal: Journal) -> None:
    undo_id = write(journal)
    edit(journal, undo_id, 4, '{"type":"end","status":"ok","at":"yesterday"}\n')
    with pytest.raises(JournalError, match="damaged at its last line"):
        journal.read(undo_id, with_changes=False)


def test_unknown_records_are_for_later_versions_of_this_one(journal: Journal) -> None:
    undo_id = write(journal)
    edit(journal, undo_id, 3, '{"type":"note","text":"x"}\n')
    assert journal.read(undo_id).changes[0].state == wal.UNKNOWN


def test_another_version_is_refused_by_name(journal: Journal) -> None:
    undo_id = write(journal)
    header = json.loads(path_of(journal, undo_id).read_text(encoding="ascii").splitlines()[0])
    edit(journal, undo_id, 0, json.dumps(dict(header, v=2)) + "\n")
    with pytest.raises(JournalError, match=undo_id + r" below .*: journal version 2 is not supported; this collection writes and reads version 1"):
        journal.read(undo_id)
    unreadable: list[str] = []
    assert journal.all_runs(unreadable) == []
    assert len(unreadable) == 1


def test_a_run_under_another_name_is_refused(journal: Journal) -> None:
    undo_id = write(journal)
    other = undo_id[:-8] + "00000000"
    path_of(journal, undo_id).rename(path_of(journal, other))
    with pytest.raises(JournalError, match="the file holds run " + undo_id):
        journal.read(other)


@pytest.mark.parametrize(
    "undo_id",
    [
        "",
        "../../etc/passwd",
        "20260131T235959-fix-0123abcd\n",
        "20260131T235959-../fix-0123abcd",
        "20260131T235959-fix-0123abcd/../20260131T235959-fix-0123abcd",
        "20260131T235959-fix-0123abcd.jsonl",
        "20260131T235959-fix-0123ABCD",
        "\u0662\u0660260131T235959-fix-0123abcd",
        "20260131T235959-fix-0123abcd\x00",
    ],
)
def test_what_is_no_id_never_becomes_a_path(journal: Journal, undo_id: str) -> None:
    with mock.patch("os.open", side_effect=AssertionError), pytest.raises(JournalError, match="is not an id as fixes return it"):
        journal.read(undo_id)


def test_unknown_id(journal: Journal) -> None:
    with pytest.raises(JournalError, match="no run 20260131T235959-fix-0123abcd in the journal below"):
        journal.read("20260131T235959-fix-0123abcd")


def test_garbage_in_the_directory(journal: Journal, tmp_path: Path) -> None:
    undo_id = write(journal)
    runs = Path(journal.runs)
    (runs / "notes.txt").write_text("x", encoding="ascii")
    (runs / "20260131T235959-fix-0123abcd.jsonl.bak").write_text("x", encoding="ascii")
    (runs / "20260131T235959-fix-00000001.jsonl").write_bytes(b"\xff\xfe\x00garbage\n")
    (runs / "20260131T235959-fix-00000002.jsonl").write_bytes(b"")
    (runs / "20260131T235959-fix-00000003.jsonl").mkdir()
    os.mkfifo(str(runs / "20260131T235959-fix-00000004.jsonl"))
    outside = tmp_path / "outside"
    outside.write_bytes(path_of(journal, undo_id).read_bytes())
    (runs / "20260131T235959-fix-00000005.jsonl").symlink_to(outside)
    unreadable: list[str] = []
    assert [run.undo_id for run in journal.all_runs(unreadable)] == [undo_id]
    assert len(unreadable) == 5
    assert all("cannot read run 20260131T235959-fix-0000000" in text for text in unreadable)
    journal.prune(0, 0)
    assert len(list(runs.iterdir())) == 7


def test_a_reader_without_rights_is_told(journal: Journal) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied")
    with mock.patch("os.listdir", side_effect=denied), pytest.raises(JournalError, match=r"cannot read the journal below .*: Permission denied"):
        journal.all_runs()
    undo_id = write(journal)
    with mock.patch("os.open", side_effect=denied), pytest.raises(JournalError, match=r"cannot read run .*: Permission denied"):
        journal.read(undo_id)


def test_reading_creates_nothing(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "none"))
    journal.check()
    assert journal.all_runs() == []
    assert journal.ids() == []
    assert list(tmp_path.iterdir()) == []
