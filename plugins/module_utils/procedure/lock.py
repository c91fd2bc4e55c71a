# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One remediation at a time on a node: a lease in a file, with owner, age and expiry.

A lease ends when it is released, when its process is gone (told by pid and start time, so a recycled pid does not
count), or when it expires. The holder renews it before every batch of changes and stops if it was taken over.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Callable, Iterator, Optional

from .errors import JournalError, RunbookError


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
    """Start time of a process in clock ticks after boot; empty when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[19].decode("ascii")
    except (OSError, IndexError):
        return ""


def process_namespace() -> str:
    """Boot and pid namespace: pids are only comparable where this is the same."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            return boot.read().strip() + "/" + os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


class NodeLock:
    """The lease file ``lock`` in the journal directory."""

    def __init__(self, directory: str, expiry: float, clock: Callable[[], float] = time.time) -> None:
        self.path = os.path.join(directory, "lock")
        self.expiry = expiry
        self.clock = clock
        self.mine: Optional[Lease] = None

    def holder(self) -> Optional[Lease]:
        """Who holds the lock now, without touching it. ``None`` when nobody does."""
        lease = self._read()
        if lease is None or lease == self.mine or self.clock() >= lease.expires:
            return None
        if lease.namespace == process_namespace() and process_start(lease.pid) != lease.pid_start:
            return None
        return lease

    def acquire(self, run: str, fix: str, owner: str, wait: float = 0.0) -> Optional[Lease]:
        """Take the lock, waiting up to ``wait`` seconds. Returns the other holder when it could not be had."""
        deadline = time.monotonic() + wait
        while True:
            with self._mutex():
                other = self.holder()
                if other is None:
                    now = self.clock()
                    pid = os.getpid()
                    self.mine = Lease(run, fix, owner, pid, process_start(pid), process_namespace(), now, now + self.expiry)
                    self._write(self.mine)
                    return None
            if time.monotonic() >= deadline:
                return other
            time.sleep(min(0.2, max(0.01, deadline - time.monotonic())))

    def renew(self) -> None:
        """Extend the lease; raises when another run has taken it over, so that this one stops."""
        if self.mine is None:
            raise RunbookError("the node's lock was never taken")
        with self._mutex():
            current = self._read()
            if current is None or current.run != self.mine.run:
                raise RunbookError("the node's lock expired and was taken over by %s" % (current.run if current else "nobody"))
            self.mine = Lease(**dict(asdict(self.mine), expires=self.clock() + self.expiry))
            self._write(self.mine)

    def release(self) -> None:
        if self.mine is None:
            return
        with self._mutex():
            current = self._read()
            if current is not None and current.run == self.mine.run:
                os.unlink(self.path)
        self.mine = None

    def _read(self) -> Optional[Lease]:
        try:
            with open(self.path, encoding="utf-8") as file:
                return Lease(**json.load(file))
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise JournalError("cannot read the node's lock %s: %s" % (self.path, exc.strerror)) from exc
        except (ValueError, TypeError):
            return None

    def _write(self, lease: Lease) -> None:
        temporary = "%s.%d" % (self.path, os.getpid())
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(asdict(lease), file)
        os.replace(temporary, self.path)

    @contextmanager
    def _mutex(self) -> Iterator[None]:
        """Held for microseconds around each read-modify-write; the kernel drops it when a process dies."""
        try:
            handle = os.open(self.path + ".mutex", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise JournalError("cannot use the node's lock %s: %s" % (self.path, exc.strerror)) from exc
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
