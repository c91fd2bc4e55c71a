# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes from /proc: by exact argv and owner, never by a substring of a command line."""

from __future__ import annotations

import os
import pwd
import re
import stat
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

_HIDING = frozenset(("hidepid=1", "hidepid=2", "hidepid=4", "hidepid=noaccess", "hidepid=invisible", "hidepid=ptraceable"))
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
"""Options of Python that are followed by a value."""
_DELETED = " (deleted)"
_INTERPRETERS = frozenset(("sh", "bash", "dash", "ksh", "perl", "ruby", "node"))


@dataclass(frozen=True)
class Process:
    """One process. ``start`` is its start time in clock ticks after boot: with the pid it names a process for good."""

    pid: int
    start: int
    argv: Tuple[str, ...]
    owner: str

    def script(self) -> Optional[str]:
        """The script that an interpreter runs, or the program itself, as argv spells it."""
        if not self.argv or not os.path.basename(self.argv[0]).startswith("python"):
            return self.argv[0] if self.argv else None
        words = iter(self.argv[1:])
        for word in words:
            if word.startswith(("-c", "-m")):
                return None
            if word in _WITH_VALUE:
                next(words, None)
            elif not word.startswith("-"):
                return word
        return None


class Pattern(NamedTuple):
    """What a process must be like. What is not given does not count, and a pattern that gives nothing matches nothing.

    ``program`` is what :meth:`Process.script` tells, or the interpreter itself: compared whole where it has a slash, else by
    its last part. ``args`` are words that must all be among those after the program. ``title`` is a regular expression that
    must match the whole command line, for processes that set their own title.
    """

    program: Optional[str] = None
    args: Tuple[str, ...] = ()
    title: Optional[str] = None
    owner: Optional[str] = None

    def matches(self, process: Process) -> bool:
        return self.owner in {None, process.owner} and self.describes(process)

    def describes(self, process: Process) -> bool:
        """All but the owner."""
        if not (self.program or self.args or self.title) or not process.argv:
            return False
        if self.program and not any(self._is_program(word) for word in _programs(process)):
            return False
        if not set(self.args) <= set(process.argv[1:]):
            return False
        return not self.title or re.fullmatch(self.title, " ".join(process.argv)) is not None

    def _is_program(self, word: str) -> bool:
        return word == self.program if "/" in str(self.program) else os.path.basename(word) == self.program


def _programs(process: Process) -> Tuple[str, ...]:
    """What may be called the program of a process: what it is, and the script that it runs."""
    named = [process.argv[0], process.script() or ""]
    if os.path.basename(process.argv[0]) in _INTERPRETERS and len(process.argv) > 1 and not process.argv[1].startswith("-"):
        named.append(process.argv[1])
    return tuple(filter(None, named))


def age(process: Process) -> float:
    """Seconds since a process started. The clock is the one that its start is counted in, which setting the time does not move."""
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - process.start / os.sysconf("SC_CLK_TCK"))


def contained(process: Process, root: str = "/proc") -> bool:
    """Whether it runs in a container of this node: in a namespace of processes below the one that /proc shows."""
    try:
        with open("%s/%d/status" % (root, process.pid), "rb") as file:
            return any(line.startswith(b"NSpid:") and len(line.split()) > 2 for line in file)
    except OSError:
        return False


def started_at(process: Process) -> float:
    """When a process started, in seconds since the epoch."""
    return time.time() - age(process)


def read_process(pid: int, root: str = "/proc") -> Optional[Process]:
    """A process by its pid; ``None`` when it is gone, a zombie, or a kernel thread."""
    try:
        with open("%s/%d/cmdline" % (root, pid), "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
        with open("%s/%d/stat" % (root, pid), "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        uid = os.stat("%s/%d" % (root, pid)).st_uid
        state, start = fields[0], int(fields[19])
    except (OSError, IndexError):
        return None
    if words == [b""] or state in (b"Z", b"X"):
        return None
    return Process(pid, start, tuple(word.decode("utf-8", "replace") for word in words), _user(uid))


def processes(root: str = "/proc") -> Iterator[Process]:
    """All processes that can be seen."""
    for name in os.listdir(root):
        if name.isdigit():
            process = read_process(int(name), root)
            if process is not None:
                yield process


def hides_others(root: str = "/proc") -> bool:
    """True where /proc shows a user only their own processes (mount option hidepid), so that absence proves nothing."""
    if os.geteuid() == 0:
        return False
    try:
        with open("%s/mounts" % root, encoding="utf-8") as mounts:
            rows = [line.split() for line in mounts]
    except OSError:
        return True
    options = [row[3].split(",") for row in rows if len(row) > 3 and row[1] == root]
    # The last one mounted lies on top.
    return not options or not _HIDING.isdisjoint(options[-1])


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Deleted(NamedTuple):
    """A file that has no name any more, and is still there because a process has it open. ``size`` is what it takes on disk."""

    device: int
    inode: int
    size: int
    path: str
    pids: Tuple[int, ...]


class OpenFiles(NamedTuple):
    """What processes have open, apart from ordinary files. ``unseen`` are those whose descriptors this user may not see."""

    sockets: Mapping[int, Tuple[int, ...]] = MappingProxyType({})
    """Processes by the inode of a socket."""
    deleted: Tuple[Deleted, ...] = ()
    unseen: Tuple[int, ...] = ()


def open_files(pids: Iterable[int], root: str = "/proc") -> OpenFiles:
    """One pass over the descriptors of processes."""
    sockets: Dict[int, List[int]] = {}
    deleted: Dict[Tuple[int, int], Deleted] = {}
    unseen = [pid for pid in pids if not _note_open(pid, root, sockets, deleted)]
    return OpenFiles({inode: tuple(dict.fromkeys(holders)) for inode, holders in sockets.items()}, tuple(deleted.values()), tuple(unseen))


def _note_open(pid: int, root: str, sockets: Dict[int, List[int]], deleted: Dict[Tuple[int, int], Deleted]) -> bool:
    """Whether the descriptors of a process could be seen, which those of one that has ended count as."""
    try:
        for path, target in _descriptors(pid, root):
            if target.startswith("socket:["):
                sockets.setdefault(int(target[8:-1]), []).append(pid)
            elif target.endswith(_DELETED):
                _note_deleted(deleted, path, target, pid)
    except PermissionError:
        return False
    except OSError:
        return True
    return True


def _descriptors(pid: int, root: str) -> Iterator[Tuple[str, str]]:
    directory = "%s/%d/fd" % (root, pid)
    for name in os.listdir(directory):
        path = "%s/%s" % (directory, name)
        try:
            yield path, os.readlink(path)
        except FileNotFoundError:  # closed meanwhile
            continue


def _note_deleted(found: Dict[Tuple[int, int], Deleted], path: str, target: str, pid: int) -> None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return
    # A name may really end so; then the file still has it.
    if status.st_nlink or not stat.S_ISREG(status.st_mode):
        return
    key = (status.st_dev, status.st_ino)
    pids = found[key].pids if key in found else ()
    found[key] = Deleted(*key, status.st_blocks * 512, target[: -len(_DELETED)], tuple(dict.fromkeys(pids + (pid,))))
