# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes, from a /proc made of files and from the real one."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process, hides_others, processes, read_process


@pytest.mark.parametrize(
    ("argv", "script"),
    [
        ([], None),
        (["/opt/FitsStorage/service.py", "--demon"], "/opt/FitsStorage/service.py"),
        (["python3", "/opt/service.py", "--name=1"], "/opt/service.py"),
        (["/usr/bin/python3.11", "-u", "-O", "service.py"], "service.py"),
        (["python3", "-W", "ignore", "-X", "dev", "service.py"], "service.py"),
        (["python3", "-Wignore", "-Xdev", "service.py"], "service.py"),
        (["python3", "--check-hash-based-pycs", "never", "service.py"], "service.py"),
        (["python3", "-c", "import service", "service.py"], None),
        (["python3", "-m", "service", "service.py"], None),
        (["python3", "-mservice"], None),
        (["python3", "-W"], None),
        (["python3"], None),
        (["python3", "-u"], None),
        (["grep", "service.py"], "grep"),
        (["sh", "-c", "python3 service.py"], "sh"),
    ],
)
def test_the_script_that_a_process_runs(argv: Sequence[str], script: str | None) -> None:
    assert Process(1, 1, tuple(argv), "root").script() == script


def fake(root: Path, pid: int, cmdline: bytes, state: str = "S", name: str = "(python3)", start: int = 4711) -> None:
    (root / str(pid)).mkdir()
    (root / str(pid) / "cmdline").write_bytes(cmdline)
    fields = [str(pid), name, state] + ["0"] * 18 + [str(start), "0"]
    (root / str(pid) / "stat").write_text(" ".join(fields), encoding="ascii")


def test_a_process_is_read(tmp_path: Path) -> None:
    fake(tmp_path, 12, b"python3\0service.py\0a name with \xff\0", name="(a) R (b)")
    owner = pwd.getpwuid(os.geteuid()).pw_name
    assert read_process(12, str(tmp_path)) == Process(12, 4711, ("python3", "service.py", "a name with \ufffd"), owner)


@pytest.mark.parametrize(("cmdline", "state"), [(b"", "S"), (b"python3\0", "Z"), (b"python3\0", "X")], ids=["kernel thread", "zombie", "dead"])
def test_what_is_no_process_any_more(tmp_path: Path, cmdline: bytes, state: str) -> None:
    fake(tmp_path, 12, cmdline, state)
    assert read_process(12, str(tmp_path)) is None
    assert list(processes(str(tmp_path))) == []


def test_a_process_that_goes_while_it_is_read(tmp_path: Path) -> None:
    fake(tmp_path, 12, b"python3\0")
    (tmp_path / "12" / "stat").write_bytes(b"")
    assert read_process(12, str(tmp_path)) is None
    (tmp_path / "12" / "stat").unlink()
    assert read_process(12, str(tmp_path)) is None
    assert read_process(13, str(tmp_path)) is None


def test_all_processes(tmp_path: Path) -> None:
    for pid in (3, 12, 500):
        fake(tmp_path, pid, b"sleep\0")
    (tmp_path / "self").mkdir()
    assert sorted(process.pid for process in processes(str(tmp_path))) == [3, 12, 500]


def test_a_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError

    fake(tmp_path, 12, b"sleep\0")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    process = read_process(12, str(tmp_path))
    assert process is not None
    assert process.owner == str(os.geteuid())


def test_the_real_proc() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "a word"])
    try:
        deadline = time.monotonic() + 10
        while (read_process(child.pid) or Process(0, 0, (), "")).argv[-1:] != ("a word",) and time.monotonic() < deadline:
            time.sleep(0.01)
        [seen] = [process for process in processes() if process.pid == child.pid]
        assert seen == read_process(child.pid)
        assert seen.start > 0
    finally:
        child.kill()
    while read_process(child.pid) is not None:
        time.sleep(0.01)
    child.wait()
    assert read_process(child.pid) is None


@pytest.mark.parametrize(
    ("uid", "mounts", "hidden"),
    [
        (0, "proc /proc proc rw,hidepid=2 0 0", False),
        (1000, "proc /proc proc rw,nosuid,relatime 0 0", False),
        (1000, "proc /proc proc rw,hidepid=2 0 0", True),
        (1000, "proc /proc proc rw,hidepid=invisible,gid=4 0 0", True),
        (1000, "proc /proc proc rw,hidepid=0 0 0", False),
        (1000, "proc /proc proc rw 0 0\nproc /proc proc rw,hidepid=1 0 0", True),
        (1000, "proc /proc proc rw,hidepid=1 0 0\nproc /proc proc rw 0 0", False),
        (1000, "sysfs /sys sysfs rw 0 0", True),
        (1000, "", True),
    ],
)
def test_whether_others_are_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, mounts: str, hidden: bool) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    (tmp_path / "mounts").write_text(mounts.replace("/proc", str(tmp_path)) + "\n", encoding="ascii")
    assert hides_others(str(tmp_path)) is hidden


def test_mounts_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert hides_others(str(tmp_path)) is True
