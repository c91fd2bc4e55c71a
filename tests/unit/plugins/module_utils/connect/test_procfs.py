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
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import (
    Pattern,
    Process,
    age,
    contained,
    hides_others,
    open_files,
    processes,
    read_process,
    started_at,
)


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


SERVICE = ("/usr/bin/python3", "-u", "/opt/scripts/service.py", "--demon", "--name=1")
HTTPD = ("httpd (mod_wsgi-express)", "-f", "/opt/modwsgi-default/httpd.conf", "-k", "start")
NGINX = ("nginx: worker process",)


@pytest.mark.parametrize(
    ("pattern", "argv", "matches"),
    [
        (Pattern("/opt/scripts/service.py"), SERVICE, True),
        (Pattern("service.py"), SERVICE, True),
        (Pattern("service.p"), SERVICE, False),
        (Pattern("scripts/service.py"), SERVICE, False),
        (Pattern("python3"), SERVICE, True),
        (Pattern("service.py", ("--demon",)), SERVICE, True),
        (Pattern("service.py", ("--demon", "--name=1")), SERVICE, True),
        (Pattern("service.py", ("--name",)), SERVICE, False),
        (Pattern(None, ("--name=1",)), SERVICE, True),
        (Pattern(None, ("/usr/bin/python3",)), SERVICE, False),
        (Pattern("service.py", (), None, "fitsdata"), SERVICE, True),
        (Pattern("service.py", (), None, "root"), SERVICE, False),
        (Pattern("service.py"), ("grep", "service.py"), False),
        (Pattern("service.py"), ("vi", "/opt/scripts/service.py"), False),
        (Pattern("run.sh"), ("/bin/sh", "/opt/run.sh", "x"), True),
        (Pattern("run.sh"), ("/bin/sh", "-c", "/opt/run.sh"), False),
        (Pattern("sh"), ("/bin/sh", "/opt/run.sh"), True),
        (Pattern(None, (), r"httpd \(mod_wsgi-express\) .*"), HTTPD, True),
        (Pattern(None, (), "httpd"), HTTPD, False),
        (Pattern(None, (), "nginx: worker process.*"), NGINX, True),
        (Pattern(None, (), "nginx: (master|worker) process"), ("grep", "nginx: worker process"), False),
        (Pattern("nginx", (), "nginx: worker process"), NGINX, False),
        (Pattern(), SERVICE, False),
        (Pattern(None, (), None, "fitsdata"), SERVICE, False),
        (Pattern("service.py"), (), False),
    ],
)
def test_a_pattern(pattern: Pattern, argv: Sequence[str], matches: bool) -> None:
    assert pattern.matches(Process(1, 1, tuple(argv), "fitsdata")) is matches


def test_the_owner_is_told_apart() -> None:
    pattern, process = Pattern("service.py", (), None, "root"), Process(1, 1, SERVICE, "fitsdata")
    assert pattern.describes(process)
    assert not pattern.matches(process)


def test_how_old_a_process_is() -> None:
    before = time.time()
    child = subprocess.Popen(["sleep", "600"])
    try:
        deadline = time.monotonic() + 10
        process = None
        while process is None and time.monotonic() < deadline:
            process = read_process(child.pid)  # it has no command line while it becomes another program
        assert process is not None
        tick = 1 / os.sysconf("SC_CLK_TCK")
        assert before - 2 * tick <= started_at(process) <= time.time() + tick
        time.sleep(0.2)
        assert 0.2 - 2 * tick <= age(process) <= time.time() - before + 2 * tick
    finally:
        child.kill()
        child.wait()


def test_what_a_process_has_open(tmp_path: Path) -> None:
    path = tmp_path / "held"
    hold = "import sys, time; file = open(sys.argv[1], 'wb'); file.write(b'x' * 100000); file.flush(); print(flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", hold, str(path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        assert open_files([child.pid]).deleted == ()
        with open(path, "rb") as again:
            path.unlink()
            [seen] = [each for each in open_files([child.pid, os.getpid()]).deleted if child.pid in each.pids]
            assert (seen.path, sorted(seen.pids)) == (str(path), sorted([child.pid, os.getpid()]))
            assert 100000 <= seen.size < 200000
            assert (seen.device, seen.inode) == (os.fstat(again.fileno()).st_dev, os.fstat(again.fileno()).st_ino)
    finally:
        child.kill()
        child.communicate()
    assert open_files([child.pid]).deleted == ()


def test_descriptors_that_one_may_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: str) -> None:
        raise PermissionError

    (tmp_path / "12" / "fd").mkdir(parents=True)
    assert open_files([12, 13], str(tmp_path)).unseen == ()
    monkeypatch.setattr("os.listdir", refused)
    assert open_files([12], str(tmp_path)).unseen == (12,)


@pytest.mark.parametrize(("line", "inside"), [("NSpid:\t12\n", False), ("NSpid:\t12\t1\n", True), ("Name:\tx\n", False)])
def test_processes_in_containers(tmp_path: Path, line: str, inside: bool) -> None:
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "status").write_text("Umask:\t0022\n" + line, encoding="ascii")
    assert contained(Process(12, 1, ("x",), "root"), str(tmp_path)) is inside
    assert not contained(Process(13, 1, ("x",), "root"), str(tmp_path))


def test_a_real_namespace_of_processes() -> None:
    child = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "600"], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        inner = None
        while inner is None or inner.argv[0] != "sleep":  # until then it is another unshare, or not even listed
            if child.poll() is not None:
                pytest.skip("only root may make one")
            assert time.monotonic() < deadline, "the inner process does not start"
            time.sleep(0.01)
            pids = Path("/proc/%d/task/%d/children" % (child.pid, child.pid)).read_text(encoding="ascii").split()
            inner = read_process(int(pids[0])) if pids else None
        outer = read_process(child.pid)
        assert outer is not None
        assert contained(inner)
        assert not contained(outer)
    finally:
        child.kill()
        child.communicate()
