# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock that all users of a node have in common, in a directory where each may write and none may touch what is another's.

Each user has a lease of their own there. Who wrote it is told by the owner of the file, not by what it says: a lease that names
another user's process holds nothing, and what a stranger left holds for a day at the most.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import Callable, Iterator, List, NamedTuple, Optional

from .directory import open_regular
from .errors import JournalError
from .lock import Lease, NodeLock, is_gone, parse_lease

MOST_TRUSTED = 86400.0
"""Seconds that the lease of another user holds after it was written, whatever it says."""
MUTEX = "mutex"
_NAME = re.compile(r"lease\.[0-9]+\.[0-9a-f]{16}")
_OURS = re.compile(_NAME.pattern + r"|\.[0-9a-f]{16}")
_TRIES = 50


class Found(NamedTuple):
    """A lease, and the file it is in."""

    lease: Lease
    path: str
    uid: int


class SharedLock(NodeLock):
    """Leases in a directory of mode 1777, read and written under a mutex that anybody may take for a moment."""

    def __init__(self, directory: str, expiry: float, clock: Callable[[], float] = time.time) -> None:
        super().__init__(directory, expiry, clock)
        # A name that nobody can guess: nobody can have made it before.
        self.path = os.path.join(directory, "lease.%d.%s" % (os.geteuid(), secrets.token_hex(8)))

    def holder(self) -> Optional[Lease]:
        now = self.clock()
        for found in self._leases():
            if found.path != self.path and now < found.lease.expires and not self._is_gone(found):
                return found.lease
        return None

    def _is_gone(self, found: Found) -> bool:
        if is_gone(found.lease):
            return True
        owners = process_uids(found.lease.pid) if found.uid != os.geteuid() else []
        return bool(owners) and found.uid not in owners

    def _leases(self) -> List[Found]:
        try:
            names = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise JournalError("cannot read the node's lock in %s: %s" % (self.directory, exc.strerror)) from exc
        found = [read_lease(os.path.join(self.directory, name)) for name in names if _NAME.fullmatch(name)]
        return [each for each in found if each is not None]

    def _read(self) -> Optional[Lease]:
        found = read_lease(self.path)
        return found.lease if found else None

    def _write(self, lease: Lease) -> None:
        temporary = os.path.join(self.directory, ".%s" % secrets.token_hex(8))
        try:
            with _readable():
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                json.dump(asdict(lease), file)
            os.replace(temporary, self.path)
        except OSError as exc:
            with suppress(OSError):
                os.unlink(temporary)
            raise JournalError("cannot write the node's lock %s: %s. Nothing more was changed." % (self.path, exc.strerror)) from exc
        self._tidy()

    def _tidy(self) -> None:
        """What earlier runs of this user have left, killed ones above all. What is another's stays, and counts or does not as it is."""
        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            with suppress(OSError):
                if _OURS.fullmatch(name) and path != self.path and os.lstat(path).st_uid == os.geteuid():
                    os.unlink(path)

    def _taken_over(self, mine: Lease) -> Optional[str]:
        """Another user can only have taken what had expired, and cannot remove this lease."""
        if self._read() is None:
            return next((found.lease.run for found in self._leases() if self.clock() < found.lease.expires), "")
        if self.clock() < mine.expires:
            return None
        later = [found.lease for found in self._leases() if found.path != self.path and found.lease.since >= mine.expires]
        return later[0].run if later else None

    def _end(self, mine: Lease) -> None:
        """It stays, ended, so that one whom this run took it over from learns of it."""
        with suppress(JournalError):
            self._write(replace(mine, expires=min(mine.expires, self.clock())))

    def _open_mutex(self) -> int:
        return open_mutex(os.path.join(self.directory, MUTEX))

    def _locked(self) -> int:
        """The mutex that is there now: who owns the directory may have put another one in its place meanwhile."""
        path = os.path.join(self.directory, MUTEX)
        for _try in range(_TRIES):
            handle = super()._locked()
            with suppress(OSError):
                if os.path.samestat(os.fstat(handle), os.lstat(path)):
                    return handle
            os.close(handle)
        raise JournalError("cannot use the node's lock %s: somebody removes it again and again" % path)


def read_lease(path: str) -> Optional[Found]:
    """Nothing for what no run can have written: a link, a file that others cannot read, nonsense."""
    try:
        with open_regular(path) as file:
            info = os.fstat(file.fileno())
            lease = parse_lease(json.loads(file.read(65536).decode("ascii")))
    except (OSError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None
    if info.st_uid != os.geteuid():
        user = user_name(info.st_uid)
        told = lease.owner if lease.owner == user else "%s as %s" % (lease.owner, user)
        lease = replace(lease, owner=told, since=min(lease.since, info.st_ctime), expires=min(lease.expires, info.st_ctime + MOST_TRUSTED))
    return Found(lease, path, info.st_uid)


def open_mutex(path: str) -> int:
    """For reading, which is enough to lock it. Nothing is followed, and nothing is created over what is there."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for _try in range(_TRIES):
        try:
            handle = os.open(path, flags)
        except FileNotFoundError:
            with suppress(FileExistsError), _readable():
                return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
            continue
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
        raise OSError(0, "it is not a regular file; whoever made it, %s, or root must remove it" % user_name(os.lstat(path).st_uid))
    raise OSError(0, "somebody removes it again and again")


@contextmanager
def _readable() -> Iterator[None]:
    """What is made in here can be read by all, whatever the umask is, from the first moment on."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def process_uids(pid: int) -> List[int]:
    """Real, effective and saved user of a process; empty where it cannot be seen."""
    try:
        with open("/proc/%d/status" % pid, "rb") as status:
            return [int(uid) for line in status if line.startswith(b"Uid:") for uid in line.split()[1:4]]
    except (OSError, ValueError):
        return []


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
