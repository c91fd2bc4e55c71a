# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of a log: a line with a time, and the lines without one that follow it. Which of them match is found in whole regions of a file at once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Pattern, Sequence, Set, Tuple

from .literals import required
from .rotation import Log, LogError, Reader, Span


@dataclass
class Entry:
    """Where an entry begins and ends, its time, and the first of its lines that each pattern, by its number, matches."""

    begin: int
    end: int
    time: Optional[float]
    matched: Dict[int, int] = field(default_factory=dict)


def compiled(regex: str) -> Pattern[bytes]:
    """A regular expression for lines; they are bytes, in which a character beyond ASCII is its UTF-8."""
    try:
        return re.compile(regex.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError, RecursionError) as exc:
        raise LogError("%s is no regular expression: %s" % (regex, exc)) from exc


def regions(reader: Reader, log: Log) -> Iterator[bytes]:
    """The blocks of a log, the last one first, moved so that each begins where an entry does."""
    carry = b""
    for block in reader.blocks(log):
        region = block + carry if carry else block
        begin = _first_entry(region, reader.span)
        carry = _shortened(region[:begin], reader.span)
        if begin < len(region):
            yield region[begin:] if begin else region
    if carry and not reader.reached:
        yield carry


def _first_entry(region: bytes, span: Span) -> int:
    """Past the lines that may belong to a line before the region."""
    at = 0
    for _number in range(span.nearby if span.clock else 0):
        if at >= len(region) or (span.clock and span.clock.has(region, at)):
            break
        at = region.index(b"\n", at) + 1
    return at


def _shortened(lines: bytes, span: Span) -> bytes:
    """Lines that are kept for the next block stay few, and each no longer than it is looked at and known to be longer."""
    if len(lines) <= span.nearby * span.longest_line:
        return lines
    return b"\n".join(line[: span.longest_line + 1] for line in lines.split(b"\n"))


def line_at(region: bytes, at: int, longest: int) -> Tuple[bytes, bool]:
    """A line without what ends it, and whether it was cut."""
    end = region.index(b"\n", at)
    if end - at > longest:
        return region[at : at + longest], True
    return region[at : end - 1 if end > at and region[end - 1] == 13 else end], False


class Search:
    """Patterns that are looked for in one pass."""

    def __init__(self, patterns: Sequence[Pattern[bytes]], benign: Sequence[Pattern[bytes]], span: Span) -> None:
        self._patterns = patterns
        self._benign = benign
        self._span = span
        self._everywhere: List[int] = []
        self._plain: Dict[bytes, List[int]] = {}
        self._folded: Dict[bytes, List[int]] = {}
        for number, pattern in enumerate(patterns):
            known = required(pattern)
            if known is None:
                self._everywhere.append(number)
                continue
            literals, folded = known
            for literal in literals:
                (self._folded if folded else self._plain).setdefault(literal, []).append(number)

    def entries(self, region: bytes) -> List[Entry]:
        """The entries that some pattern matches, and that are not to be left out."""
        heads = _Heads(region, self._span)
        found: List[Entry] = []
        for at, numbers in self._candidates(region):
            line, _cut = line_at(region, at, self._span.longest_line)
            matched = [number for number in numbers if self._patterns[number].search(line)]
            if not matched:
                continue
            head, moment = heads.of(at)
            begin = at if head is None else head
            if not found or found[-1].begin != begin:
                found.append(Entry(begin, -1, moment))
            for number in matched:
                found[-1].matched.setdefault(number, at)
        return [entry for entry in found if self._wanted(region, entry)]

    def _wanted(self, region: bytes, entry: Entry) -> bool:
        since = self._span.since
        if since is not None and entry.time is not None and entry.time < since:
            return False
        entry.end = self._end(region, entry)
        return not (self._benign and any(pattern.search(line) for line in self.lines(region, entry) for pattern in self._benign))

    def _end(self, region: bytes, entry: Entry) -> int:
        at = region.index(b"\n", entry.begin) + 1
        clock = self._span.clock
        if clock is None or entry.time is None:
            return at
        for _number in range(self._span.nearby):
            if at >= len(region) or clock.has(region, at):
                break
            at = region.index(b"\n", at) + 1
        return at

    def lines(self, region: bytes, entry: Entry) -> Iterator[bytes]:
        at = entry.begin
        while at < entry.end:
            yield line_at(region, at, self._span.longest_line)[0]
            at = region.index(b"\n", at) + 1

    def _candidates(self, region: bytes) -> List[Tuple[int, Set[int]]]:
        """Where lines begin that may match, and which patterns may match there."""
        found: Dict[int, Set[int]] = {}
        if self._everywhere:
            at = 0
            while at < len(region):
                found[at] = set(self._everywhere)
                at = region.index(b"\n", at) + 1
        _note(region, self._plain, found)
        if self._folded:
            _note(region.lower(), self._folded, found)
        return sorted(found.items())


def _note(region: bytes, literals: Dict[bytes, List[int]], found: Dict[int, Set[int]]) -> None:
    for literal, numbers in literals.items():
        for begin in containing(region, literal):
            found.setdefault(begin, set()).update(numbers)


def containing(region: bytes, literal: bytes) -> Iterator[int]:
    """Where the lines begin that contain some bytes."""
    at = region.find(literal)
    while at >= 0:
        yield region.rfind(b"\n", 0, at) + 1
        at = region.find(literal, region.index(b"\n", at))


class _Heads:
    """The line with a time that a line belongs to; asked for ascending lines, no line is looked at twice."""

    def __init__(self, region: bytes, span: Span) -> None:
        self._region = region
        self._clock = span.clock
        self._nearby = span.nearby
        self._seen = 0
        self._head: Optional[int] = None
        self._time: Optional[float] = None

    def of(self, line: int) -> Tuple[Optional[int], Optional[float]]:
        if self._clock is None:
            return None, None
        at = line
        for _number in range(self._nearby + 1):
            if at < self._seen:
                break
            moment = self._clock.at(self._region, at)
            if moment is not None:
                self._head, self._time = at, moment
                break
            at = self._region.rfind(b"\n", 0, max(at - 1, 0)) + 1 if at else -1
        if self._head is not None and self._region.count(b"\n", self._head, line) > self._nearby:
            self._head = self._time = None
        self._seen = line + 1
        return self._head, self._time
