# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stack traces that a node has written into its log folder: which there are, which are new, and when one is complete.

Their content is the node's own affair: they are kept as they are, and only asked whether they are HTML. The node's user may write in this
folder, so no link in it is followed.
"""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence, Tuple

from ..connect.below import NotBelow, below

FILE = "stacktrace.html"
_NAME = re.compile(r"stacktrace\.html(?:\.(\d{1,6}))?")
_HEAD = 4096
_STEADY = 4
_PAUSE = 0.2
_PIECE = 1 << 20


@dataclass(frozen=True)
class Trace:
    """One file. ``number`` is 0 for the newest one, and counts up with the rotations."""

    name: str
    number: int
    device: int
    inode: int
    size: int
    modified_ns: int

    @property
    def key(self) -> Tuple[int, int, int]:
        """What is this file's alone, under whatever name: an inode that was freed is soon another file's."""
        return self.device, self.inode, self.modified_ns

    @property
    def modified(self) -> float:
        return self.modified_ns / 1e9


@dataclass(frozen=True)
class Waited:
    """What came of waiting: the new files, newest first, and why there is none that is complete."""

    new: Tuple[Trace, ...] = ()
    complete: bool = False
    seconds: float = 0.0
    why: str = ""
    rotated: bool = True
    """What was newest before is one further now, or there was none."""


def is_html(head: bytes) -> bool:
    return b"<html" in head[:_HEAD].lower()


def traces(folder: str) -> List[Trace]:
    """The newest first. Rotated meanwhile, one may be missing or seen twice; the next look puts it right."""
    found = {}
    for name in os.listdir(folder):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        try:
            status = os.lstat(os.path.join(folder, name))
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            trace = Trace(name, int(match.group(1) or 0), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
            found[trace.key] = trace
    return sorted(found.values(), key=lambda trace: (trace.number, -trace.modified_ns))


def new_ones(before: Sequence[Trace], now: Sequence[Trace]) -> List[Trace]:
    """Those that were not there, or were written since: an inode may have been freed and taken again."""
    known = {(trace.device, trace.inode): trace for trace in before}
    found = []
    for trace in now:
        old = known.get((trace.device, trace.inode))
        if old is None or trace.modified_ns > old.modified_ns:
            found.append(trace)
    return found


def wait_for_new(
    folder: str, before: Sequence[Trace], until: float, alive: Callable[[], str] = lambda: "", sleep: Callable[[float], None] = time.sleep
) -> Waited:
    """Until a new one is there, does not grow any more and is HTML. ``alive`` says why waiting makes no sense any more."""
    started = time.monotonic()
    steady, last, new, why = 0, None, [], "none was written"
    while True:
        now = traces(folder)
        new = new_ones(before, now)
        if new:
            newest = new[0]
            shape = (newest.key, newest.size)
            steady, last = (steady + 1 if shape == last else 0), shape
            why = "%s is there, and still grows" % newest.name
            if steady >= _STEADY:
                if is_html(read(folder, newest, _HEAD) or b""):
                    return Waited(tuple(new), True, time.monotonic() - started, "", _rotated(before, now))
                why = "%s is there (%d bytes), and is no HTML" % (newest.name, newest.size)
        gone = alive()
        if gone or time.monotonic() >= until:
            return Waited(tuple(new), False, time.monotonic() - started, "; ".join(filter(None, [why, gone])), _rotated(before, now))
        sleep(max(0.0, min(_PAUSE, until - time.monotonic())))


def _rotated(before: Sequence[Trace], now: Sequence[Trace]) -> bool:
    if not before:
        return True
    old = before[0]
    return any(trace.key == old.key and trace.number > old.number for trace in now)


def read(folder: str, trace: Trace, limit: int) -> Optional[bytes]:
    """At most ``limit`` bytes of exactly this file, wherever a rotation has moved it; None when it is gone."""
    for _attempt in range(5):
        for each in [trace, *traces(folder)]:
            if (each.device, each.inode) == (trace.device, trace.inode):
                data = _read(folder, each.name, trace, limit)
                if data is not None:
                    return data
    return None


def _read(folder: str, name: str, trace: Trace, limit: int) -> Optional[bytes]:
    try:
        with below(folder, name) as handle:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) != (trace.device, trace.inode):
                return None
            with open("/proc/self/fd/%d" % handle, "rb") as file:
                return file.read(limit)
    except (OSError, NotBelow):
        return None


def shown(trace: Trace, folder: str) -> dict[str, object]:
    """For a result."""
    return {
        "path": os.path.join(folder, trace.name),
        "bytes": trace.size,
        "modified": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(trace.modified)),
    }
