# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A log and what it was rotated to, read from the end in blocks of whole lines.

All files are opened before any is read, and opened again when a rotation came in between: no line is missed or read twice, whatever is
renamed or removed afterwards. How long a file is, is settled when it is opened; what is written later is not seen.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from .logtime import Clock

BLOCK = 1 << 18
LONGEST_LINE = 8192
MOST_FILES = 200
SLACK = 7200.0
"""Times go back by an hour when summer time ends, and several processes may write into one log: so much older must a line be to end a search."""
NEARBY = 200
"""A line without a time belongs to the last one with a time, when no more lines than these lie between their beginnings."""

_ROTATED = re.compile(r"(?:\.(?P<number>[0-9]{1,5})|[.-](?P<date>[0-9]{4}-?[0-9]{2}-?[0-9]{2}[0-9_.-]*))(?P<packed>\.(?:gz|bz2|xz|zst|Z))?")
_ATTEMPTS = 20
_PAUSE = 0.02


class LogError(Exception):
    """A log that cannot be read."""


@dataclass
class Log:
    """One open file. ``truncated``: it became shorter while it was read."""

    path: str
    fd: int
    device: int
    inode: int
    size: int
    modified: float
    truncated: bool = False

    def read(self, start: int, end: int) -> bytes:
        pieces, left = [], end - start
        while left > 0:
            piece = os.pread(self.fd, left, end - left)
            if not piece:
                self.truncated = True
                break
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Span(NamedTuple):
    """What is to be read of a log: its rotations too, up to so many bytes, and back to a time."""

    path: str
    rotated: bool = True
    max_bytes: Optional[int] = None
    since: Optional[float] = None
    clock: Optional[Clock] = None
    block: int = BLOCK
    longest_line: int = LONGEST_LINE
    nearby: int = NEARBY


@dataclass
class Reader:
    """The files of a log, newest first, and what became of reading them.

    ``complete`` is False when a limit ended it before the time asked for, or the beginning. ``begins`` is the first time in what was read.
    """

    span: Span
    logs: List[Log]
    unread: List[str]
    stable: bool = True
    covered: int = 0
    complete: bool = True
    begins: Optional[float] = None
    reached: bool = False
    read: List[Log] = field(default_factory=list)

    def files(self) -> Iterator[Log]:
        for number, log in enumerate(self.logs):
            if self.reached or (number and self._too_old(log.modified)):
                self.reached = True
                break
            if log.size and self._left() == 0:
                self.complete = False
                break
            self.read.append(log)
            yield log
        if (self.unread and not self.reached) or not self.stable:
            self.complete = False

    def blocks(self, log: Log) -> Iterator[bytes]:
        """Whole lines, from the end to the beginning; a line that is longer than a block is cut."""
        left = self._left()
        low = 0 if left is None else max(0, log.size - left)
        before = self.covered
        for start, data in _blocks(log, low, max(self.span.block, 2), self.span.longest_line):
            self.covered = before + log.size - start
            yield data
            self._look_at(data)
            if self.reached:
                return
        log.truncated = log.truncated or os.fstat(log.fd).st_size < log.size
        self.covered = before + log.size - low
        if low or log.truncated:
            self.complete = False

    def _left(self) -> Optional[int]:
        return None if self.span.max_bytes is None else max(0, self.span.max_bytes - self.covered)

    def _too_old(self, moment: float) -> bool:
        return self.span.since is not None and moment < self.span.since - SLACK

    def _look_at(self, data: bytes) -> None:
        if self.span.clock:
            first = self.span.clock.first(data, self.span.nearby)
            if first is not None:
                self.begins = first
                self.reached = self._too_old(first)


@contextlib.contextmanager
def reading(span: Span) -> Iterator[Reader]:
    """Open a log and its rotations for reading."""
    reader = _open_all(span)
    try:
        yield reader
    finally:
        _close(reader.logs)


def _close(logs: List[Log]) -> None:
    for log in logs:
        os.close(log.fd)


def _open_all(span: Span) -> Reader:
    """Open until nothing was renamed meanwhile."""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_PAUSE)
        last = attempt == _ATTEMPTS - 1
        logs: List[Log] = []
        unread: List[str] = []
        try:
            logs.append(_open(span.path, follow=True))
            if span.rotated:
                _open_older(span, logs, unread)
            stable = all(_is_there(log, number == 0) for number, log in enumerate(logs))
        except FileNotFoundError:
            # Between two steps of a rotation.
            _close(logs)
            if last:
                raise LogError("there is no file %s" % span.path) from None
            continue
        except (OSError, ValueError) as exc:
            _close(logs)
            raise LogError("cannot read %s: %s" % (span.path, getattr(exc, "strerror", None) or exc)) from exc
        if stable or last:
            return Reader(span, logs, unread, stable)
        _close(logs)
    raise AssertionError("the last attempt returns or raises")


def _open_older(span: Span, logs: List[Log], unread: List[str]) -> None:
    try:
        older = rotations(span.path)
    except PermissionError:
        # The directory can be passed but not listed.
        unread.append(os.path.dirname(span.path))
        return
    for path, packed in older:
        if packed or len(logs) >= MOST_FILES:
            if span.since is None or os.lstat(path).st_mtime >= span.since - SLACK:
                unread.append(path)
            continue
        try:
            logs.append(_open(path, follow=False))
        except FileNotFoundError:
            raise
        except OSError:
            unread.append(path)


def rotations(path: str) -> List[Tuple[str, bool]]:
    """What a log was rotated to, newest first: ``.1``, ``.2``, ``-20260131``, ``.2026-01-31``; and whether it is compressed."""
    folder, name = os.path.split(path)
    names: Dict[Tuple[int, str], Tuple[str, bool]] = {}
    for entry in os.listdir(folder or "."):
        found = _ROTATED.fullmatch(entry[len(name) :]) if entry.startswith(name) else None
        if not found:
            continue
        number, packed = found.group("number"), bool(found.group("packed"))
        key = (1, "%05d" % (99999 - int(number))) if number else (0, found.group("date"))
        # While it is compressed, both are there.
        if not packed or key not in names:
            names[key] = (os.path.join(folder, entry), packed)
    return [names[key] for key in sorted(names, reverse=True)]


def _open(path: str, follow: bool) -> Log:
    # Not to wait for whoever should write into a pipe.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
    except OSError:
        os.close(fd)
        raise
    return Log(path, fd, found.st_dev, found.st_ino, found.st_size, found.st_mtime)


def _is_there(log: Log, follow: bool) -> bool:
    found = os.stat(log.path, follow_symlinks=follow)
    return (found.st_dev, found.st_ino) == (log.device, log.inode) and found.st_size >= log.size


def _blocks(log: Log, low: int, size: int, longest: int) -> Iterator[Tuple[int, bytes]]:
    """Where each block begins, and its lines; what is left of a line that begins before ``low`` is left out."""
    end = log.size
    while end > low:
        start = max(low, end - size)
        # The byte before tells whether a line begins here. The last byte ends the last line.
        data = log.read(max(start - 1, 0), end)
        skipped = data.find(b"\n", 0, len(data) - 1) + 1
        if start and not skipped:
            begin = _line_start(log, low, start, size)
            if begin is None or log.truncated:
                return
            data = log.read(begin, min(end, begin + longest + 1))
        elif start:
            begin, data = start - 1 + skipped, data[skipped:]
        else:
            begin = 0
        if log.truncated:
            return
        yield begin, data if data.endswith(b"\n") else data + b"\n"
        end = begin


def _line_start(log: Log, low: int, end: int, size: int) -> Optional[int]:
    """Where the line begins that goes on at ``end``; None when that is before ``low``."""
    while not log.truncated:
        start = max(low, end - size)
        data = log.read(max(start - 1, 0), end)
        at = data.rfind(b"\n")
        if at >= 0:
            return max(start - 1, 0) + at + 1
        if start == low:
            return 0 if low == 0 else None
        end = start
    return None
