# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal beside a real queue: what it holds, what it never holds, and a disk that fills up at the worst time."""

from __future__ import annotations

import errno
import os
import signal
import stat
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.rows import RowStore
from node import NAMES, Node
from support import run_refused


def test_nothing_is_created_by_looking(node: Node) -> None:
    assert node.history()["runs"] == []
    assert node.fix(check=True)["changed"]
    assert not os.path.exists(node.journal_dir)


def test_what_is_kept(node: Node) -> None:
    before = node.rows()
    result = node.fixed(login_password="geheim-4711", initiator={"user": "operator", "job_id": "815"})
    [run] = node.history()["runs"]
    places = run["context"].pop("places")
    assert sorted(places) == ["lockfile_dir", "log_dir", "scripts_dir", "worker_user"]
    assert {name: run[name] for name in ("undo_id", "fix", "status", "error", "total", "context", "plan_sha256")} == {
        "undo_id": result["undo_id"],
        "fix": "fits_queue_reset",
        "status": "ok",
        "error": "",
        "total": 3,
        "context": {"database": node.database, "queue": "ingest", "other_hosts_stopped": False},
        "plan_sha256": result["plan_sha256"],
    }
    assert (run["who"]["user"], run["who"]["job_id"]) == ("operator", "815")
    [full] = node.history(undo_id=result["undo_id"])["runs"]
    assert [(change["n"], change["state"], change["subject"]) for change in full["changes"]] == [
        (change["n"], "done", change["subject"]) for change in result["changes"]
    ]
    for change in full["changes"]:
        row = before[change["before"]["id"]]
        assert {name: row[name] for name in change["before"]} == change["before"]
    for path in Path(node.journal_dir).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
        assert path.is_dir() or b"geheim" not in path.read_bytes()


@pytest.mark.parametrize(("environment", "job"), [({"AWX_JOB_ID": "77"}, "77"), ({"JOB_ID": "78"}, "78"), ({}, None)])
def test_the_job_of_the_environment(node: Node, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], job: str | None) -> None:
    for name in ("AWX_JOB_ID", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    node.fixed()
    assert node.history()["runs"][0]["who"]["job_id"] == job


def test_a_killed_run_comes_first_and_its_holder_is_gone(node: Node) -> None:
    first = node.fixed(filename=[NAMES[2]])
    pid = os.fork()
    if pid == 0:
        with mock.patch.object(RowStore, "_update", lambda *_arguments: os.kill(os.getpid(), signal.SIGSTOP)):
            node.fix()
        os._exit(1)
    os.waitpid(pid, os.WUNTRACED)
    try:
        at_work = node.history()
        assert at_work["lock"]["pid"] == pid
        assert [run["status"] for run in at_work["runs"]] == ["unfinished", "ok"]
        assert [finding["severity"] for finding in at_work["findings"]] == ["ok"]
        assert node.history(fix="no_fix")["runs"] == []
    finally:
        node.kill(pid)
    killed = node.history()  # before anybody has buried it
    assert killed["lock"] is None
    assert [finding["code"] for finding in killed["findings"]] == ["runbook.journal.unfinished"]
    os.waitpid(pid, 0)
    second = node.fixed(filename=[NAMES[0]])
    listed = node.history()["runs"]
    assert [run["status"] for run in listed] == ["unfinished", "ok", "ok"]
    assert [run["undo_id"] for run in listed[1:]] == [second["undo_id"], first["undo_id"]]
    assert [run["undo_id"] for run in node.history(limit=1)["runs"]] == [listed[0]["undo_id"]]


class FullDisk:
    """``os.write`` of the journal that fails from the n-th call on."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.real = os.write

    def __call__(self, handle: int, data: Any) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.real(handle, data)


@pytest.mark.parametrize(("writes", "applied"), [(0, False), (1, False), (2, True), (3, True)], ids=["header", "begin", "done", "end"])
def test_disk_full(node: Node, writes: int, applied: bool) -> None:
    before = node.rows()
    with mock.patch("os.write", FullDisk(writes)):
        result = node.fix()
    assert result["failed"]
    assert "No space left on device" in result["msg"]
    assert result["changed"] is applied
    assert [change["done"] for change in result["changes"]] == [applied] * 3
    assert (result["undo_id"] is not None) == applied
    assert (node.rows() != before) == applied
    if applied:
        assert node.undo(result["undo_id"])["changed"]
        assert node.rows() == before
    else:
        assert node.fix()["changed"]


def test_no_place_for_a_journal(node: Node, tmp_path: Path) -> None:
    before = node.rows()
    (tmp_path / "file").write_text("x", encoding="ascii")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "link").symlink_to("open")
    for path, says in (("file", "is not a directory"), ("file/below", "Not a directory"), ("open", "others may write to"), ("link", "others may write to")):
        for check in (True, False):
            node.failed(node.fix(check=check, journal_dir=str(tmp_path / path)), "the journal cannot be kept below", says, "Pass journal_dir")
    node.failed(node.fix(journal_dir="/proc/journal"), "the journal cannot be kept below /proc/journal", "Pass journal_dir")
    assert list((tmp_path / "open").iterdir()) == []
    assert node.rows() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_root_uses_no_journal_of_somebody_else(node: Node, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 65534, 65534)
    node.failed(node.fix(journal_dir=str(tmp_path / "theirs")), "belongs to another user (uid 65534)")
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "their_link").symlink_to("mine")
    os.chown(tmp_path / "their_link", 65534, 65534, follow_symlinks=False)
    node.failed(node.fix(journal_dir=str(tmp_path / "their_link")), "belongs to another user (uid 65534)")


def test_old_runs_are_removed_when_a_new_one_is_made(node: Node) -> None:
    ids = [node.fixed(filename=[name], journal_keep_runs=2)["undo_id"] for name in NAMES]
    assert [run["undo_id"] for run in node.history()["runs"]] == [ids[2], ids[1]]
    assert not node.fix(journal_keep_runs=0)["changed"]
    assert len(node.history()["runs"]) == 2
    assert node.undo(ids[1], journal_keep_runs=0)["changed"]
    assert sorted(run["status"] for run in node.history()["runs"]) == ["ok", "ok"]


def test_limit(node: Node) -> None:
    assert "limit must be 1 or more" in run_refused("runbook_journal_info", {"journal_dir": node.journal_dir, "limit": 0})["msg"]
