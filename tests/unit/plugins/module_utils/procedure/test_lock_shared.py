# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock that users have in common: whose leases count, what strangers can and cannot do with it, and where it lies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Callable, Iterator
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import limits as limits_module
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import lock, lock_shared
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import JournalError, RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.limits import VARIABLE, limits_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import Lease, NodeLock, process_namespace, process_start
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock_shared import SharedLock

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
STRANGER = 65534


@pytest.fixture
def place(tmp_path: Path) -> str:
    """As it is made on a node; its own path does not matter to a process that is already in it."""
    directory = tmp_path / "limits"
    assert limits_of(str(directory), "/nowhere", make=True).common
    for parent in tmp_path.parents[:3]:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    return str(directory)


def as_stranger(body: Callable[[], Any]) -> Any:
    """What a process of another user returns."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            os.write(write, json.dumps(body()).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        return json.loads(pipe.read())


def run_of(lease: Lease | None) -> str | None:
    return None if lease is None else lease.run


@contextlib.contextmanager
def held_by_stranger(place: str, clock: Callable[[], float] = time.time) -> Iterator[int]:
    """Another user's process that took the lock and lives."""
    (ready, told), (go, stop) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(stop)
            os.setgroups([])
            os.setgid(STRANGER)
            os.setuid(STRANGER)
            taken = SharedLock(place, 900, clock).acquire("run-s", "their_fix", "somebody") is None
            os.write(told, b"1" if taken else b"0")
            os.read(go, 1)
        finally:
            os._exit(0)
    os.close(go)
    try:
        assert os.read(ready, 1) == b"1"
        yield pid
    finally:
        os.close(stop)
        os.waitpid(pid, 0)


# -- among processes of one user ---------------------------------------------------------------------------------------


def test_taken_renewed_released(place: str) -> None:
    mine, other = SharedLock(place, 900), SharedLock(place, 900)
    assert mine.acquire("run-1", "fix", "operator") is None
    assert mine.holder() is None
    assert other.holder() == mine.mine
    assert other.acquire("run-2", "fix", "somebody") == mine.mine
    mine.renew()
    mine.release()
    mine.release()
    assert other.holder() is None
    assert other.acquire("run-2", "fix", "somebody") is None
    assert sorted(name.split(".")[0] for name in os.listdir(place)) == ["lease", "mutex"], "one lease for each user is left"
    assert stat.S_IMODE(os.stat(other.path).st_mode) == 0o644


def test_expired_and_taken_over(place: str) -> None:
    now = [1000.0]
    mine, other = (SharedLock(place, 900, lambda: now[0]) for _number in range(2))
    mine.acquire("run-1", "fix", "operator")
    now[0] += 901
    assert other.acquire("run-2", "fix", "somebody") is None
    with pytest.raises(RunbookError, match="expired and was taken over by run-2"):
        mine.renew()
    other.release()
    with pytest.raises(RunbookError, match="taken over by a run that has ended"):
        mine.renew()


def test_expired_and_nobody_came(place: str) -> None:
    now = [1000.0]
    mine = SharedLock(place, 900, lambda: now[0])
    mine.acquire("run-1", "fix", "operator")
    now[0] += 5000
    mine.renew()
    assert SharedLock(place, 900, lambda: now[0]).holder() == mine.mine


def test_what_killed_runs_have_left_is_removed(place: str) -> None:
    for name in (".%s" % ("0" * 16), "lease.%d.%s" % (os.geteuid(), "1" * 16), "pause", ".other"):
        Path(place, name).touch()
    assert SharedLock(place, 900).acquire("run-1", "fix", "operator") is None
    assert sorted(name.split(".")[0] or name for name in os.listdir(place)) == [".other", "lease", "mutex", "pause"]


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    assert SharedLock(str(tmp_path / "none"), 900).holder() is None
    assert os.listdir(str(tmp_path)) == []


def test_of_ten_exactly_one_gets_it(place: str) -> None:
    (asked, ask), (results, result), (go, stop) = os.pipe(), os.pipe(), os.pipe()
    children = []
    for number in range(10):
        pid = os.fork()
        if pid == 0:
            try:
                os.close(stop)
                os.read(asked, 1)
                got = SharedLock(place, 900).acquire("run-%d" % number, "fix", "operator")
                os.write(result, b"1" if got is None else b"0")
                os.read(go, 1)
            finally:
                os._exit(0)
        children.append(pid)
    os.write(ask, b"." * 10)
    seen = sorted(os.read(results, 1) for _child in children)
    os.close(stop)
    for pid in children:
        os.waitpid(pid, 0)
    assert seen == [b"0"] * 9 + [b"1"]
    assert SharedLock(place, 900).acquire("last", "fix", "operator") is None


# -- among users ------------------------------------------------------------------------------------------------------


@ROOT_ONLY
def test_another_user_is_seen_and_named(place: str) -> None:
    with held_by_stranger(place) as pid:
        other = SharedLock(place, 900).acquire("run-1", "fix", "operator")
        assert other is not None
        assert (other.run, other.pid, other.owner) == ("run-s", pid, "somebody as nobody")
    assert SharedLock(place, 900).acquire("run-1", "fix", "operator") is None, "its process is gone"


@ROOT_ONLY
def test_root_is_seen_by_another_user(place: str) -> None:
    mine = SharedLock(place, 900)
    assert mine.acquire("run-1", "fix", "operator") is None
    assert as_stranger(lambda: run_of(SharedLock(place, 900).acquire("run-s", "fix", "x"))) == "run-1"
    mine.release()
    assert as_stranger(lambda: run_of(SharedLock(place, 900).acquire("run-s", "fix", "x"))) is None


@ROOT_ONLY
def test_another_users_lease_expires_although_it_cannot_be_removed(place: str) -> None:
    with held_by_stranger(place, lambda: time.time() - 901):
        assert SharedLock(place, 900).acquire("run-1", "fix", "operator") is None


@ROOT_ONLY
def test_who_was_overtaken_by_another_user_stops(place: str) -> None:
    late = SharedLock(place, 900, lambda: time.time() - 10000)
    late.acquire("run-1", "fix", "operator")
    late.clock = time.time
    with held_by_stranger(place), pytest.raises(RunbookError, match="taken over by run-s"):
        late.renew()


@ROOT_ONLY
def test_who_was_overtaken_by_one_who_has_ended_stops(place: str) -> None:
    late = SharedLock(place, 900, lambda: time.time() - 10000)
    late.acquire("run-1", "fix", "operator")
    late.clock = time.time

    def take_and_end() -> None:
        other = SharedLock(place, 900)
        other.acquire("run-s", "fix", "x")
        other.release()

    as_stranger(take_and_end)
    with pytest.raises(RunbookError, match="taken over by run-s"):
        late.renew()


# -- what strangers leave ---------------------------------------------------------------------------------------------


def forged(**values: Any) -> str:
    mine = Lease("run-f", "fix", "root", os.getpid(), process_start(os.getpid()), process_namespace(), time.time(), 9e15)
    return json.dumps(asdict(replace(mine, **values)))


@ROOT_ONLY
@pytest.mark.parametrize("pid", [1, None], ids=["init", "of root"])
def test_a_lease_of_a_process_of_another_user_holds_nothing(place: str, pid: int | None) -> None:
    """A living process that is not the writer's cannot be held against anybody."""
    text = forged() if pid is None else forged(pid=pid, pid_start=process_start(pid))
    as_stranger(lambda: Path(place, "lease.0.%s" % ("0" * 16)).write_text(text, encoding="ascii"))
    assert SharedLock(place, 900).acquire("run-1", "fix", "operator") is None


@ROOT_ONLY
def test_a_lease_for_ever_holds_for_a_day(place: str) -> None:
    """Of a process that cannot be looked at, in another container, only the time counts, and not the time that it says."""
    as_stranger(lambda: Path(place, "lease.0.%s" % ("0" * 16)).write_text(forged(namespace="a/b/c"), encoding="ascii"))
    holder = SharedLock(place, 900).holder()
    assert holder is not None
    assert holder.expires <= time.time() + lock_shared.MOST_TRUSTED
    assert SharedLock(place, 900, lambda: time.time() + lock_shared.MOST_TRUSTED).acquire("run-1", "fix", "operator") is None


@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "nonsense", "huge"])
def test_what_is_no_lease_holds_nothing(place: str, tmp_path: Path, kind: str) -> None:
    path = Path(place, "lease.0.%s" % ("0" * 16))
    if kind == "link":
        (tmp_path / "victim").write_text(forged(), encoding="ascii")
        path.symlink_to(tmp_path / "victim")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_text("{" * (100 if kind == "nonsense" else 10**6), encoding="ascii")
    mine = SharedLock(place, 900)
    assert mine.acquire("run-1", "fix", "operator") is None
    mine.renew()
    mine.release()
    assert kind != "link" or (tmp_path / "victim").read_text(encoding="ascii").startswith("{")


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_a_mutex_that_is_none_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "limits"
    place.mkdir()
    place.chmod(0o1777)
    mutex, victim = place / "mutex", tmp_path / "victim"
    {"link": lambda: mutex.symlink_to(victim), "fifo": lambda: os.mkfifo(mutex), "directory": mutex.mkdir}[kind]()
    with pytest.raises(JournalError, match="cannot use the node's lock"):
        SharedLock(str(place), 900).acquire("run-1", "fix", "operator")
    assert not victim.exists()


def test_who_keeps_the_mutex_is_named(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "MUTEX_WAIT", 0.05)
    with open(os.path.join(place, "mutex"), encoding="ascii") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        with pytest.raises(JournalError, match="process %d keeps it" % os.getpid()):
            SharedLock(place, 900).acquire("run-1", "fix", "operator")
    assert SharedLock(place, 900).acquire("run-1", "fix", "operator") is None


def test_a_mutex_that_was_replaced_is_not_taken_for_the_mutex(place: str) -> None:
    real = NodeLock._wait_for
    replaced: list[int] = []

    def wait_for(self: NodeLock, handle: int) -> None:
        real(self, handle)
        if not replaced:
            replaced.append(handle)
            os.unlink(os.path.join(place, "mutex"))

    with mock.patch.object(NodeLock, "_wait_for", wait_for):
        mine = SharedLock(place, 900)
        assert mine.acquire("run-1", "fix", "operator") is None
    assert os.path.exists(os.path.join(place, "mutex"))


def test_hidden_processes_are_believed_to_live() -> None:
    with mock.patch("os.path.exists", return_value=False), mock.patch("os.kill", side_effect=PermissionError):
        assert lock.is_hidden(4711)
    with mock.patch("os.path.exists", return_value=False), mock.patch("os.kill", side_effect=ProcessLookupError):
        assert not lock.is_hidden(4711)
    assert not lock.is_hidden(os.getpid())
    assert not lock.is_hidden(-1)


# -- where it lies ----------------------------------------------------------------------------------------------------


def test_it_is_made_for_all(tmp_path: Path) -> None:
    path = str(tmp_path / "limits")
    before = os.umask(0o077)
    try:
        assert limits_of(path, "/j").common
        assert not os.path.exists(path), "only looked"
        assert limits_of(path, "/j", make=True).common
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o1777
    assert stat.S_IMODE(os.stat(os.path.join(path, "mutex")).st_mode) == 0o644
    assert isinstance(limits_of(path, "/j").lock(900), SharedLock)


@pytest.mark.parametrize("kind", ["link", "file", "open", "no parent", "relative", "open parent"])
@pytest.mark.parametrize("make", [False, True])
def test_what_was_named_must_be_had(tmp_path: Path, kind: str, make: bool) -> None:
    path = tmp_path / "limits"
    target = tmp_path / "target"
    target.mkdir()
    if kind == "link":
        path.symlink_to(target)
    elif kind == "file":
        path.touch()
    elif kind == "open":
        path.mkdir()
        path.chmod(0o777)
    elif kind == "open parent":
        target.chmod(0o777)
    named = {"no parent": str(path / "below"), "relative": "limits", "open parent": str(target / "limits")}.get(kind, str(path))
    with pytest.raises(RunbookError, match=r"the limits of this node cannot be kept in .*: .*Pass limits_dir"):
        limits_of(named, "/j", make)


def test_beside_the_journal_when_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "other"))
    found = limits_of("", str(tmp_path))
    assert (found.directory, found.common, found.why) == (str(tmp_path), False, "limits_dir is empty")
    assert {type(found.lock(900))} == {NodeLock}
    assert limits_of(None, str(tmp_path)).directory == str(tmp_path / "other")
    monkeypatch.setenv(VARIABLE, "")
    assert limits_of(None, str(tmp_path)).directory == str(tmp_path)


def test_the_default_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(limits_module, "DEFAULT", str(tmp_path / "none" / "limits"))
    found = limits_of(None, "/j", make=True)
    assert (found.directory, found.common) == ("/j", False)
    assert found.scope().startswith("for this user alone, in /j: %s cannot be made" % (tmp_path / "none" / "limits"))
    monkeypatch.setattr(limits_module, "DEFAULT", str(tmp_path / "limits"))
    assert limits_of(None, "/j", make=True).scope() == "for all users, in %s" % (tmp_path / "limits")


@ROOT_ONLY
def test_root_makes_its_own_what_another_user_made_first(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(limits_module, "DEFAULT", place)
    os.chown(place, STRANGER, STRANGER)
    assert limits_of(None, "/j").common
    assert os.stat(place).st_uid == STRANGER, "only looked"
    assert limits_of(None, "/j", make=True).common
    assert (os.stat(place).st_uid, stat.S_IMODE(os.stat(place).st_mode)) == (0, 0o1777)


@ROOT_ONLY
def test_a_directory_that_others_may_not_write_is_none_for_them(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(limits_module, "DEFAULT", place)
    Path(place).chmod(0o755)
    assert as_stranger(lambda: list(limits_of(None, "/j", make=True))) == ["/j", "%s is not writable for this user" % place]
