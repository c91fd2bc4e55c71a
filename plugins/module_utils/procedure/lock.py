# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One remediation at a time on a node: a lease in a file, with owner, age and expiry.

A lease ends when it is released, when its process is gone (told by pid and start time, so a recycled pid does not
count, or by a reboot), or when it expires. The holder renews it before every batch of changes and stops if it was taken over.
The lock of one user is here; what is common to all users of a node is in ``lock_shared``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import socket
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Callable, Iterator, Mapping, Optional

from .directory import open_regular
from .errors import JournalError, RunbookError

MUTEX_WAIT = 10.0
"""Seconds; only a process that was stopped in the middle of a write takes longer."""


@dataclass(frozen=True)
class Lease:
    """Who holds the lock. Times are seconds since the epoch."""

    run: str
    fix: str
    owner: str
    pid: int
    pid_start: str
    namespace: str
    since: float
    expires: float

    def describe(self, now: float) -> str:
        return "%s (run %s, pid %d, by %s) since %d s, expires in %d s" % (
            self.fix,
            self.run,
            self.pid,
            self.owner,
            max(0, now - self.since),
            max(0, self.expires - now),
        )


def process_start(pid: int) -> str:
    """Start time of a process in clock ticks after boot; empty when there is no such process, or only its corpse."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")
    except (OSError, IndexError):
        return ""


def process_namespace() -> str:
    """Host, boot and pid namespace: pids are only comparable where this is the same."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            return "/".join((socket.gethostname(), boot.read().strip(), os.readlink("/proc/self/ns/pid")))
    except OSError:
        return ""


def is_hidden(pid: int) -> bool:
    """Whether a process lives that /proc does not show to this user (``hidepid``). A corpse is shown, or is none."""
    if pid <= 0 or os.path.exists("/proc/%d" % pid):
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def is_gone(lease: Lease) -> bool:
    """Whether the holder has died for certain: its process, or the boot of this host that it ran in."""
    here, there = process_namespace().split("/"), lease.namespace.split("/")
    if here == there:
        return process_start(lease.pid) != lease.pid_start and not is_hidden(lease.pid)
    return len(here) == len(there) == 3 and here[0] == there[0] and here[1] != there[1]


class NodeLock:
    """The lease file ``lock`` in the journal directory: for one user, whom nobody else can get at."""

    def __init__(self, directory: str, expiry: float, clock: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self.path = os.path.join(directory, "lock")
        self.expiry = expiry
        self.clock = clock
        self.mine: Optional[Lease] = None

    def holder(self) -> Optional[Lease]:
        """Who holds the lock now, without touching it. ``None`` when nobody does."""
        lease = self._read()
        if lease is None or lease == self.mine or self.clock() >= lease.expires:
            return None
        return None if is_gone(lease) else lease

    def acquire(self, run: str, fix: str, owner: str, wait: float = 0.0) -> Optional[Lease]:
        """Take the lock, waiting up to ``wait`` seconds. Returns the other holder when it could not be had."""
        deadline = time.monotonic() + wait
        while True:
            with self._mutex():
                other = self.holder()
                if other is None:
                    now = self.clock()
                    pid = os.getpid()
                    mine = Lease(run, fix, owner, pid, process_start(pid), process_namespace(), now, now + self.expiry)
                    self._write(mine)
                    self.mine = mine
                    return None
            if time.monotonic() >= deadline:
                return other
            time.sleep(min(0.2, max(0.01, deadline - time.monotonic())))

    def renew(self) -> None:
        """Extend the lease; raises when another run has taken it over, so that this one stops."""
        if self.mine is None:
            raise RunbookError("the node's lock was never taken")
        with self._mutex():
            taker = self._taken_over(self.mine)
            if taker is not None:
                raise RunbookError("the node's lock expired and was taken over by %s" % (taker or "a run that has ended"))
            self.mine = Lease(**dict(asdict(self.mine), expires=self.clock() + self.expiry))
            self._write(self.mine)

    def release(self) -> None:
        if self.mine is None:
            return
        with self._mutex():
            current = self._read()
            if current is not None and current.run == self.mine.run:
                self._end(self.mine)
        self.mine = None

    def _taken_over(self, mine: Lease) -> Optional[str]:
        """The run that has the lock now, empty if that one has ended as well; nothing while it is still this one's."""
        current = self._read()
        if current is None:
            return ""
        return None if current.run == mine.run else current.run

    def _end(self, _mine: Lease) -> None:
        with suppress(OSError):
            os.unlink(self.path)

    def _read(self) -> Optional[Lease]:
        """A lease that makes no sense was not written by this class, and holds nothing."""
        try:
            with open_regular(self.path) as file:
                return parse_lease(json.loads(file.read(65536).decode("ascii")))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise JournalError("cannot read the node's lock %s: %s" % (self.path, exc.strerror)) from exc
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError):
            return None

    def _write(self, lease: Lease) -> None:
        """Atomic; not synced, because no process outlives a power cut."""
        temporary = self.path + ".new"
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump(asdict(lease), file)
            os.replace(temporary, self.path)
        except OSError as exc:
            raise JournalError("cannot write the node's lock %s: %s. Nothing more was changed." % (self.path, exc.strerror)) from exc

    @contextmanager
    def _mutex(self) -> Iterator[None]:
        """Held for microseconds around each read-modify-write; the kernel drops it when a process dies."""
        handle = self._locked()
        try:
            yield
        finally:
            os.close(handle)

    def _locked(self) -> int:
        try:
            handle = self._open_mutex()
        except OSError as exc:
            raise JournalError("cannot use the node's lock %s: %s" % (self.path, exc.strerror)) from exc
        try:
            self._wait_for(handle)
        except JournalError:
            os.close(handle)
            raise
        return handle

    def _open_mutex(self) -> int:
        return os.open(self.path + ".mutex", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _wait_for(self, handle: int) -> None:
        deadline = time.monotonic() + MUTEX_WAIT
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                if exc.errno not in (errno.EWOULDBLOCK, errno.EINTR) or time.monotonic() >= deadline:
                    raise JournalError("cannot use the node's lock %s: %s%s" % (self.path, exc.strerror, _held_by(handle))) from exc
            time.sleep(0.005)


def _held_by(handle: int) -> str:
    """The process that keeps a file locked, as far as the kernel tells."""
    inode = ":%d" % os.fstat(handle).st_ino
    try:
        with open("/proc/locks", encoding="ascii") as locks:
            pids = [line.split()[4] for line in locks if " FLOCK " in line and "->" not in line and line.split()[5].endswith(inode)]
    except (OSError, IndexError):
        return ""
    return "; process %s keeps it" % pids[0] if pids else ""


def parse_lease(known: Mapping[str, Any]) -> Lease:
    words = {name: str(known[name]) for name in ("run", "fix", "owner", "pid_start", "namespace")}
    since, expires = float(known["since"]), float(known["expires"])
    if not (math.isfinite(since) and math.isfinite(expires)):
        raise ValueError("not a time")
    return Lease(pid=int(known["pid"]), since=since, expires=expires, **words)
