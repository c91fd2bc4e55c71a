# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One remediation at a time: who has the lock, who may take it over, and who must stop."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Callable, Iterator
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import lock
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import Lease, NodeLock, process_namespace, process_start


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Callable[..., NodeLock]:
    return lambda: NodeLock(str(tmp_path), 900.0, clock)


def lease(**values: Any) -> Lease:
    pid = os.getpid()
    return replace(Lease("run-1", "fix", "operator", pid, process_start(pid), process_namespace(), 1000.0, 1900.0), **values)


def leave(directory: Path, known: Any) -> None:
    (directory / "lock").write_text(known if isinstance(known, str) else json.dumps(asdict(known)), encoding="utf-8")


@contextlib.contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# -- taken and given back ---------------------------------------------------------------------------------------------


def test_taken_renewed_released(make: Callable[..., NodeLock], clock: Clock, tmp_path: Path) -> None:
    mine, other = make(), make()
    assert mine.acquire("run-1", "fix", "operator") is None
    assert mine.holder() is None
    assert other.holder() == mine.mine
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    assert other.acquire("run-2", "fix", "somebody") == mine.mine
    clock.now += 600
    mine.renew()
    holder = other.holder()
    assert holder is not None
    assert (holder.since, holder.expires) == (1000.0, 2500.0)
    mine.release()
    mine.release()
    assert other.holder() is None
    assert other.acquire("run-2", "fix", "somebody") is None
    assert sorted(os.listdir(str(tmp_path))) == ["lock", "lock.mutex"]


def test_release_leaves_a_lock_that_is_somebody_elses(make: Callable[..., NodeLock], clock: Clock) -> None:
    mine, other = make(), make()
    mine.acquire("run-1", "fix", "operator")
    clock.now += 901
    assert other.acquire("run-2", "fix", "somebody") is None
    mine.release()
    assert make().holder() == other.mine


def test_a_reader_creates_nothing(make: Callable[..., NodeLock], tmp_path: Path) -> None:
    assert make().holder() is None
    assert NodeLock(str(tmp_path / "none"), 900).holder() is None
    assert os.listdir(str(tmp_path)) == []


def test_it_is_waited_for(tmp_path: Path) -> None:
    mine, other = NodeLock(str(tmp_path), 900), NodeLock(str(tmp_path), 900)
    mine.acquire("run-1", "fix", "operator")
    started = time.monotonic()
    assert other.acquire("run-2", "fix", "somebody", wait=0.3) == mine.mine
    assert 0.3 <= time.monotonic() - started < 5
    with mock.patch("time.sleep", lambda _seconds: mine.release()):
        assert other.acquire("run-2", "fix", "somebody", wait=60) is None


# -- taken over -------------------------------------------------------------------------------------------------------


def test_expired(make: Callable[..., NodeLock], clock: Clock) -> None:
    mine, other = make(), make()
    mine.acquire("run-1", "fix", "operator")
    clock.now += 899.9
    assert other.acquire("run-2", "fix", "somebody") is not None
    clock.now += 0.1
    assert other.acquire("run-2", "fix", "somebody") is None
    with pytest.raises(RunbookError, match="the node's lock expired and was taken over by run-2"):
        mine.renew()
    other.release()
    with pytest.raises(RunbookError, match="taken over by a run that has ended"):
        mine.renew()


def test_expired_and_nobody_came(make: Callable[..., NodeLock], clock: Clock) -> None:
    mine = make()
    mine.acquire("run-1", "fix", "operator")
    clock.now += 5000
    mine.renew()
    assert make().holder() == mine.mine


def test_never_taken(make: Callable[..., NodeLock]) -> None:
    with pytest.raises(RunbookError, match="was never taken"):
        make().renew()


def test_a_live_process_holds_it(make: Callable[..., NodeLock], tmp_path: Path) -> None:
    with sleeper() as process:
        leave(tmp_path, lease(pid=process.pid, pid_start=process_start(process.pid)))
        assert make().holder() is not None
        os.kill(process.pid, signal.SIGSTOP)
        assert make().holder() is not None


def test_a_killed_process_holds_nothing_even_before_it_is_reaped(make: Callable[..., NodeLock], tmp_path: Path) -> None:
    with sleeper() as process:
        leave(tmp_path, lease(pid=process.pid, pid_start=process_start(process.pid)))
        process.kill()
        deadline = time.monotonic() + 10
        while make().holder() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        with open("/proc/%d/stat" % process.pid, "rb") as corpse:
            assert corpse.read().rpartition(b")")[2].split()[0] == b"Z"
        assert make().acquire("run-2", "fix", "somebody") is None


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({}, True),
        ({"pid_start": "1"}, False),
        ({"pid": 2**22 + 1}, False),
        ({"pid": -1}, False),
        ({"namespace": "elsewhere/another-boot/pid:[1]", "pid_start": "1"}, True),
        ({"namespace": "", "pid_start": "1"}, True),
        ({"namespace": "/".join(process_namespace().split("/")[:2] + ["pid:[1]"]), "pid_start": "1"}, True),
        ({"namespace": "%s/another-boot/pid:[1]" % process_namespace().partition("/")[0]}, False),
        ({"expires": 1000.0}, False),
        ({"expires": 999.0}, False),
    ],
    ids=["alive", "recycled pid", "no such pid", "nonsense", "other host", "no proc", "other container", "rebooted", "expires now", "expired"],
)
def test_who_is_believed_to_be_alive(make: Callable[..., NodeLock], tmp_path: Path, change: Any, held: bool) -> None:
    leave(tmp_path, lease(**change))
    assert (make().holder() is not None) == held


def test_without_proc_only_the_time_counts() -> None:
    with mock.patch("builtins.open", side_effect=FileNotFoundError):
        assert process_start(1) == ""
        assert process_namespace() == ""
        assert not lock.is_gone(lease(namespace="", pid_start=""))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"lock"',
        "{}",
        "\u00fc",
        '{"run": 1}',
        json.dumps(dict(asdict(lease()), pid="x")),
        json.dumps(dict(asdict(lease()), expires=float("inf"))),
    ],
)
def test_a_lock_that_makes_no_sense_is_nobodys(make: Callable[..., NodeLock], tmp_path: Path, text: str) -> None:
    leave(tmp_path, text)
    assert make().holder() is None
    mine = make()
    assert mine.acquire("run-2", "fix", "somebody") is None
    mine.renew()


def test_a_lease_of_a_later_version(make: Callable[..., NodeLock], tmp_path: Path) -> None:
    leave(tmp_path, json.dumps(dict(asdict(lease()), more="x")))
    assert make().holder() == lease()


# -- trouble ----------------------------------------------------------------------------------------------------------


def test_a_lock_that_cannot_be_read(make: Callable[..., NodeLock], tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(JournalError, match="cannot read the node's lock"):
        make().holder()


def test_disk_full(make: Callable[..., NodeLock], tmp_path: Path) -> None:
    mine = make()
    error = OSError(errno.ENOSPC, "No space left on device")
    with mock.patch("os.replace", side_effect=error), pytest.raises(JournalError, match=r"cannot write the node's lock .*: No space left on device"):
        mine.acquire("run-1", "fix", "operator")
    mine.release()
    assert make().holder() is None


def test_directory_gone(make: Callable[..., NodeLock], tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"cannot use the node's lock .*: No such file or directory"):
        NodeLock(str(tmp_path / "none"), 900).acquire("run-1", "fix", "operator")


def test_a_process_that_stopped_in_the_middle_of_a_write(make: Callable[..., NodeLock], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "MUTEX_WAIT", 0.05)
    with open(str(tmp_path / "lock.mutex"), "w", encoding="ascii") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        with pytest.raises(JournalError, match="cannot use the node's lock"):
            make().acquire("run-1", "fix", "operator")
    assert make().acquire("run-1", "fix", "operator") is None


def test_description() -> None:
    told = replace(lease(), pid=812).describe(1060.5)
    assert told == "fix (run run-1, pid 812, by operator) since 60 s, expires in 839 s"
    assert "since 0 s" in lease().describe(900.0)
    assert "expires in 0 s" in lease().describe(5000.0)


# -- many at once -----------------------------------------------------------------------------------------------------


def test_of_twenty_exactly_one_gets_it(tmp_path: Path) -> None:
    """All of them hold on to what they got until everybody has tried."""
    ready, go = os.pipe(), os.pipe()
    results = os.pipe()
    children: list[int] = []
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            try:
                os.write(ready[1], b".")
                os.read(go[0], 1)
                got: Lease | None = NodeLock(str(tmp_path), 900).acquire("run-%d" % number, "fix", "operator")
                os.write(results[1], b"1" if got is None else b"0")
                time.sleep(60)
            finally:
                os._exit(0)
        children.append(pid)
    try:
        assert sum(len(os.read(ready[0], 1)) for _child in children) == 20
        os.write(go[1], b"." * 20)
        assert sorted(os.read(results[0], 1) for _child in children) == [b"0"] * 19 + [b"1"]
        assert NodeLock(str(tmp_path), 900).holder() is not None
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert NodeLock(str(tmp_path), 900).acquire("last", "fix", "operator") is None


def test_twenty_take_turns(tmp_path: Path) -> None:
    """Nobody is in at the same time as somebody else: each reads a number and writes the next one."""
    counter = tmp_path / "counter"
    counter.write_text("0", encoding="ascii")
    children = []
    for number in range(20):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                mine = NodeLock(str(tmp_path), 900)
                with mock.patch("time.sleep", lambda _seconds, nap=time.sleep: nap(0.002)):
                    if mine.acquire("run-%d" % number, "fix", "operator", wait=60) is None:
                        before = int(counter.read_text(encoding="ascii"))
                        mine.renew()
                        counter.write_text(str(before + 1), encoding="ascii")
                        mine.release()
                        code = 0
            finally:
                os._exit(code)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 20
    assert counter.read_text(encoding="ascii") == "20"
