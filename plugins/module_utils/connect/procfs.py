# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes from /proc: by exact argv and owner, never by a substring of a command line."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple


@dataclass(frozen=True)
class Process:
    """One process. ``start`` is its start time in clock ticks after boot: with the pid it names a process for good."""

    pid: int
    start: int
    argv: Tuple[str, ...]
    owner: str

    def script(self) -> Optional[str]:
        """The script that an interpreter runs, or the program itself, as argv spells it."""
        if len(self.argv) > 1 and os.path.basename(self.argv[0]).startswith("python"):
            return next((word for word in self.argv[1:] if not word.startswith("-")), None)
        return self.argv[0] if self.argv else None


def read_process(pid: int, root: str = "/proc") -> Optional[Process]:
    """A process by its pid; ``None`` when it is gone, a zombie, or a kernel thread."""
    try:
        with open("%s/%d/cmdline" % (root, pid), "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
        with open("%s/%d/stat" % (root, pid), "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        uid = os.stat("%s/%d" % (root, pid)).st_uid
    except OSError:
        return None
    if words == [b""] or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[19]), tuple(word.decode("utf-8", "replace") for word in words), _user(uid))


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
            options: List[str] = next(line.split()[3].split(",") for line in mounts if line.split()[1] == root)
    except (OSError, StopIteration):
        return True
    return any(option in ("hidepid=1", "hidepid=2", "hidepid=4", "hidepid=noaccess", "hidepid=invisible", "hidepid=ptraceable") for option in options)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
