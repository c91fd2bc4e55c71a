# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in a log: how often entries of some kinds came, and the last of them; read from the end, in constant memory.

Lines are bytes until they are shown. A line without a time, as in a traceback, belongs to the line with a time before it: together they are one
entry, which counts once for each kind that one of its lines matches, and not at all when one of them matches a benign pattern.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from itertools import groupby
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Pattern, Sequence, Tuple

from .command import redact
from .logentries import Entry, Search, compiled, containing, line_at, regions
from .logtime import Clock
from .rotation import LogError, Reader, Span, reading

__all__ = ["Clock", "Counted", "File", "Found", "Kind", "Line", "LogError", "Scan", "Span", "last_line", "last_lines", "lines_with", "scan"]

SHOWN = 500
_FEW = 4


class Kind(NamedTuple):
    """Entries to be looked for: a name, a regular expression for one line, and how bad they are."""

    name: str
    regex: str
    severity: str = "warning"


class Line(NamedTuple):
    """A line as it may be shown.

    ``time`` is that of the entry it belongs to, ``ends`` the last line of that entry if that is another. ``cut``: it was longer than what is looked at.
    """

    path: str
    text: str
    time: Optional[float] = None
    cut: bool = False
    ends: str = ""


@dataclass(frozen=True)
class Counted:
    """The entries of one kind: how many, from when to when, and the last ones, oldest first."""

    name: str
    severity: str
    count: int
    first: Optional[float]
    last: Optional[float]
    lines: Tuple[Line, ...]


class File(NamedTuple):
    """A file that was read, as it was when it was opened. ``truncated``: it became shorter meanwhile."""

    path: str
    size: int
    inode: int
    modified: float
    age: float
    truncated: bool


class Sources(NamedTuple):
    """What was read, newest first, and what could not be (``unread``).

    ``complete`` is False when a limit, or what was unread, kept it from the time asked for, or from the beginning. ``begins`` is the first time in it.
    """

    files: Tuple[File, ...]
    unread: Tuple[str, ...]
    bytes_read: int
    complete: bool
    begins: Optional[float]


class Scan(NamedTuple):
    kinds: Tuple[Counted, ...]
    sources: Sources


class Found(NamedTuple):
    """Lines by what is in them, newest first."""

    lines: Mapping[bytes, Tuple[Line, ...]]
    sources: Sources


@dataclass
class _Tally:
    count: int = 0
    first: Optional[float] = None
    last: Optional[float] = None
    lines: List[Line] = field(default_factory=list)

    def add(self, moment: Optional[float]) -> None:
        """The next older one."""
        self.count += 1
        if moment is not None:
            self.first = moment
            self.last = moment if self.last is None else self.last

    def counted(self, kind: Kind) -> Counted:
        return Counted(kind.name, kind.severity, self.count, self.first, self.last, tuple(reversed(self.lines)))


def scan(span: Span, kinds: Sequence[Kind], benign: Sequence[str] = (), last: int = 10) -> Scan:
    """Count the entries of some kinds since the time that the span names, and keep the last ones of each."""
    search = Search([compiled(kind.regex) for kind in kinds], [compiled(regex) for regex in benign], span)
    tallies = [_Tally() for _kind in kinds]
    with reading(span) as reader:
        for log in reader.files():
            for region in regions(reader, log):
                for entry in reversed(search.entries(region)):
                    for number, at in entry.matched.items():
                        tallies[number].add(entry.time)
                        if len(tallies[number].lines) < last:
                            tallies[number].lines.append(_show(log.path, region, at, entry, search, span))
        sources = _sources(reader)
    return Scan(tuple(tally.counted(kind) for tally, kind in zip(tallies, kinds)), sources)


def lines_with(span: Span, needles: Iterable[bytes], limit: int = 20) -> Found:
    """The last lines that contain some bytes, for many needles in one pass; it ends when there are enough of each."""
    found: Dict[bytes, List[Line]] = {needle: [] for needle in needles}
    if b"" in found:
        raise LogError("nothing is in every line: a text to look for is needed")
    wanted = set(found) if limit > 0 else set()
    where = _finder(wanted)
    with reading(span) as reader:
        for log in reader.files() if wanted else ():
            for block in reader.blocks(log):
                for at in sorted(where(block), reverse=True):
                    data, cut = line_at(block, at, span.longest_line)
                    moment = span.clock.at(block, at) if span.clock else None
                    if span.since is not None and moment is not None and moment < span.since:
                        continue
                    for needle in [needle for needle in wanted if needle in data]:
                        found[needle].append(Line(log.path, visible(data), moment, cut))
                        if len(found[needle]) >= limit:
                            wanted.discard(needle)
                if not wanted:
                    break
            if not wanted:
                break
        sources = _sources(reader)
    return Found({needle: tuple(lines) for needle, lines in found.items()}, sources)


def last_lines(span: Span, count: int = 10) -> List[Line]:
    """The last lines that are not blank, oldest first; also one that is still being written."""
    lines: List[Line] = []
    with reading(span) as reader:
        for log in reader.files():
            for block in reader.blocks(log):
                end = len(block)
                while end and len(lines) < count:
                    at = block.rfind(b"\n", 0, end - 1) + 1
                    data, cut = line_at(block, at, span.longest_line)
                    if data.strip():
                        lines.append(Line(log.path, visible(data), span.clock.at(block, at) if span.clock else None, cut))
                    end = at
                if len(lines) >= count:
                    return lines[::-1]
    return lines[::-1]


def last_line(path: str, clock: Optional[Clock] = None) -> Optional[Line]:
    """The last line of a log that is not blank; right after a rotation that is one of the file before."""
    lines = last_lines(Span(path, clock=clock, block=1 << 14), 1)
    return lines[0] if lines else None


def visible(data: bytes) -> str:
    """Bytes of a log as text that can be shown: control characters are spelt out, passwords in URLs hidden, and no more than some 500 characters."""
    text = redact(data.decode("utf-8", "backslashreplace"), ())
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text[: SHOWN + 1])
    return shown if len(shown) <= SHOWN else shown[: SHOWN - 3] + "..."


def _show(path: str, region: bytes, at: int, entry: Entry, search: Search, span: Span) -> Line:
    data, cut = line_at(region, at, span.longest_line)
    text, last = visible(data), b""
    for line in search.lines(region, entry):
        last = line if line.strip() else last
    ends = visible(last)
    return Line(path, text, entry.time, cut, "" if ends == text else ends)


def _sources(reader: Reader) -> Sources:
    now = time.time()
    files = tuple(File(log.path, log.size, log.inode, log.modified, now - log.modified, log.truncated) for log in reader.read)
    return Sources(files, tuple(reader.unread), reader.covered, reader.complete, reader.begins)


def _finder(needles: Iterable[bytes]) -> Callable[[bytes], Iterable[int]]:
    """What finds the lines with one of the needles: for a few of them one after the other, for many all at once."""
    known = sorted(needles)
    if len(known) <= _FEW:
        return lambda block: {at for needle in known for at in containing(block, needle)}
    # What begins alike is found fast, as names of files do: an expression is looked for by what all its branches begin with.
    groups = [list(group) for _first, group in groupby(known, lambda needle: needle[:1])]
    patterns = [re.compile(b"|".join(map(re.escape, group))) for group in (groups if len(groups) <= _FEW else [known])]
    return lambda block: {at for pattern in patterns for at in _matching(block, pattern)}


def _matching(block: bytes, pattern: Pattern[bytes]) -> Iterator[int]:
    """Where the lines begin that a pattern, none of whose matches has a line break in it, matches."""
    found = pattern.search(block)
    while found:
        yield block.rfind(b"\n", 0, found.start()) + 1
        found = pattern.search(block, block.index(b"\n", found.start()))
