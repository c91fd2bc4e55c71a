# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories that a journal may lie in, and those that it must not."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.directory import make_directories, open_regular, unsafe
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal

NOTHING_CHANGED = r"Nothing was changed\. Pass journal_dir, a directory that only this user may write\."


def refused(path: Any, says: str) -> None:
    """Alike in check mode and for real, and without a trace."""
    for attempt in (Journal(str(path)).check, Journal(str(path)).prepare):
        with pytest.raises(JournalError, match="the journal cannot be kept below .*%s.*" % says + NOTHING_CHANGED):
            attempt()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o720, 0o702])
def test_others_may_write(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "journal"
    path.mkdir()
    path.chmod(mode)
    refused(path, r"others may write to .* \(mode %04o\)" % mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(path.iterdir()) == []


def test_others_may_write_to_the_runs(tmp_path: Path) -> None:
    runs = tmp_path / "journal" / "runs"
    runs.mkdir(parents=True)
    (tmp_path / "journal").chmod(0o700)
    runs.chmod(0o777)
    refused(tmp_path / "journal", "others may write to .*runs")


def test_others_may_read_an_existing_directory(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.mkdir()
    path.chmod(0o755)
    Journal(str(path)).prepare()
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert stat.S_IMODE((path / "runs").stat().st_mode) == 0o700


class Owned:
    """``os.lstat`` or ``os.stat`` for which one path belongs to somebody else."""

    def __init__(self, real: Any, path: Path) -> None:
        self.real = real
        self.path = str(path)

    def __call__(self, path: Any, **options: Any) -> os.stat_result:
        status = list(self.real(path, **options))
        if str(path) == self.path:
            status[stat.ST_UID] = 4711
        return os.stat_result(status)


@pytest.mark.parametrize("function", ["os.lstat", "os.stat"])
@pytest.mark.parametrize("uid", [0, 1000])
def test_somebody_elses(tmp_path: Path, function: str, uid: int) -> None:
    """Root included: who owns the directory decides what a later undo does."""
    real = os.lstat if function == "os.lstat" else os.stat
    with mock.patch(function, Owned(real, tmp_path)), mock.patch("os.geteuid", lambda: uid):
        assert "belongs to another user (uid 4711)" in unsafe(str(tmp_path))


def test_roots_own_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk2").mkdir(mode=0o700)
    (tmp_path / "journal").symlink_to(tmp_path / "disk2")
    Journal(str(tmp_path / "journal")).prepare()
    assert (tmp_path / "disk2" / "runs").is_dir()


def test_a_link_into_the_open_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "journal").symlink_to(tmp_path / "open")
    refused(tmp_path / "journal", "others may write")


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "journal").symlink_to(tmp_path / "nowhere")
    with pytest.raises(JournalError, match=NOTHING_CHANGED):
        Journal(str(tmp_path / "journal")).prepare()
    assert not (tmp_path / "nowhere").exists()


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("x", encoding="ascii")
    refused(tmp_path / "journal", "is not a directory")
    refused(tmp_path / "journal" / "below", "Not a directory")


@pytest.mark.parametrize("path", ["journal", "./journal", "~nobody-there/journal"])
def test_a_relative_path(path: str) -> None:
    refused(path, "it is not an absolute path")


def test_a_path_that_the_system_does_not_take(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300), "File name too long")


def test_no_right_to_write(tmp_path: Path) -> None:
    with mock.patch("os.access", lambda path, _mode: str(path) != str(tmp_path)):
        refused(tmp_path / "a" / "b", "%s is not writable" % tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_turns_read_only(tmp_path: Path) -> None:
    error = OSError(errno.EROFS, os.strerror(errno.EROFS))
    with mock.patch("os.mkdir", side_effect=error), pytest.raises(JournalError, match=r"Read-only file system\. " + NOTHING_CHANGED):
        Journal(str(tmp_path / "journal")).prepare()


def test_another_process_makes_the_same_directory(tmp_path: Path) -> None:
    real = os.mkdir

    def mkdir(path: str, mode: int) -> None:
        real(path, mode)
        raise FileExistsError(errno.EEXIST, "File exists")

    with mock.patch("os.mkdir", mkdir):
        make_directories(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"text")
    with open_regular(str(tmp_path / "plain")) as file:
        assert file.read() == b"text"
    (tmp_path / "link").symlink_to("plain")
    os.mkfifo(str(tmp_path / "pipe"))
    before = len(os.listdir("/proc/self/fd"))
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError):
            open_regular(str(tmp_path / name))
    assert len(os.listdir("/proc/self/fd")) == before
