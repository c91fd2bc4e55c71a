# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes from /proc: by exact argv and owner, never by a substring of a command line."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Iterator, Optional, Tuple

_HIDING = frozenset(("hidepid=1", "hidepid=2", "hidepid=4", "hidepid=noaccess", "hidepid=invisible", "hidepid=ptraceable"))
_WITH_VALUE = ("-W", "-X", "--check-hash-based-pycs")
"""Options of Python that are followed by a value."""


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
