# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs: whether they are fresh, how they end, and what is in them."""

from __future__ import annotations

import fnmatch
import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from ..procedure.envelope import Finding
from ..procedure.errors import RunbookError
from .expect import Missed, Options, Said, check_regex
from .sizes import show_age, show_size

if TYPE_CHECKING:
    from ..connect.logs import Line

_MOST_FILES = 100
_ENDING_READ = 1 << 16
_ENDING = 10
"""Lines at the end, one of which must be what the log must end with."""
_SPECIAL = re.compile(r"[*?\[]")


class Class(NamedTuple):
    """Lines to look for."""

    name: str
    regex: str
    severity: str


class Wanted(NamedTuple):
    """One expectation."""

    said: Said
    path: str
    optional: bool = False
    max_age: Optional[float] = None
    must_grow: bool = False
    must_end_with: Optional[str] = None
    patterns: Tuple[Class, ...] = ()
    benign: Tuple[str, ...] = ()
    since: Optional[float] = None
    time_format: str = "none"
    last: int = 5
    max_bytes: int = 64 << 20
    rotated: bool = True


class Matched(NamedTuple):
    """What was found of one class; the newest lines first."""

    name: str
    severity: str
    found: int
    first: Optional[float]
    last: Optional[float]
    lines: Tuple[str, ...]


class Sight(NamedTuple):
    """One log, as it was. ``growth`` is None when it was looked at only once."""

    path: str
    now: float
    mtime: float
    size: int
    inode: int
    ending: Tuple[str, ...] = ()
    matched: Tuple[Matched, ...] = ()
    bytes_read: int = 0
    complete: bool = True
    unread: Tuple[str, ...] = ()
    growth: Optional[int] = None

    @property
    def age(self) -> float:
        return max(0.0, self.now - self.mtime)


Seen = Union[Tuple[Union[Sight, Missed], ...], Missed]
Sizes = Mapping[str, Tuple[int, int]]
"""Inode and size by path."""


def parse(options: Options, runbook_file: Optional[str]) -> Wanted:
    path = options.absolute("path")
    if _SPECIAL.search(os.path.dirname(path)):
        raise options.refuse("path", "a path in which only the last part is a pattern")
    classes = []
    for number, given in enumerate(options["patterns"]):
        check_regex("%s.patterns[%d].regex" % (options.where, number), given["regex"])
        classes.append(Class(given["name"], given["regex"], given["severity"]))
    for number, regex in enumerate(options["benign"]):
        check_regex("%s.benign[%d]" % (options.where, number), regex)
    if len({each.name for each in classes}) < len(classes):
        raise RunbookError("%s.patterns must have names that differ" % options.where)
    max_bytes = options.size("max_bytes")
    if not max_bytes:
        raise options.refuse("max_bytes", "a size of more than nothing, such as 64M")
    return Wanted(
        options.said("log", path, runbook_file),
        path,
        options["optional"],
        options.number("max_age"),
        options["must_grow"],
        options.regex("must_end_with"),
        tuple(classes),
        tuple(options["benign"]),
        options.number("since"),
        options["time_format"],
        options.whole("last") or 0,
        max_bytes,
        options["rotated"],
    )


def files(wanted: Wanted) -> List[str]:
    """The logs that the path stands for: those of the directory, not of any below it."""
    directory, name = os.path.split(wanted.path)
    if _there(wanted.path):
        return [wanted.path]
    if not _SPECIAL.search(name):
        return []
    try:
        names = sorted(each for each in os.listdir(directory) if fnmatch.fnmatchcase(each, name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [os.path.join(directory, each) for each in names]


def _there(path: str) -> bool:
    """OSError where that cannot be told, as below a directory that one may not enter."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def look(wanted: Wanted) -> Seen:
    found = files(wanted)
    if len(found) > _MOST_FILES:
        return Missed("%s stands for %d files, and at most %d are looked at" % (wanted.path, len(found), _MOST_FILES))
    return tuple(_look_at(wanted, path) for path in found)


def _look_at(wanted: Wanted, path: str) -> Union[Sight, Missed]:
    from ..connect.logs import Kind, last_lines, scan  # noqa: PLC0415 - only where there are logs to look at
    from ..connect.logtime import Clock  # noqa: PLC0415
    from ..connect.rotation import LogError, Span  # noqa: PLC0415

    now = time.time()
    clock = None if wanted.time_format == "none" else Clock(wanted.time_format, now)
    span = Span(path, wanted.rotated, wanted.max_bytes, None if wanted.since is None else now - wanted.since, clock)
    try:
        status = os.stat(path)
        ending = tuple(line.text for line in last_lines(Span(path, wanted.rotated, _ENDING_READ), _ENDING))
        sight = Sight(path, now, status.st_mtime, status.st_size, status.st_ino, ending)
        if not wanted.patterns:
            return sight
        found = scan(span, [Kind(each.name, each.regex, each.severity) for each in wanted.patterns], wanted.benign, wanted.last)
    except LogError as exc:
        return Missed(str(exc))
    except OSError as exc:
        return Missed("cannot read %s: %s" % (path, exc.strerror))
    matched = tuple(Matched(each.name, each.severity, each.count, each.first, each.last, tuple(map(_told, reversed(each.lines)))) for each in found.kinds)
    sources = found.sources
    return sight._replace(matched=matched, bytes_read=sources.bytes_read, complete=sources.complete, unread=sources.unread)


def _told(line: Line) -> str:
    """The line, and how the entry that it begins ends: with a traceback that is what went wrong."""
    return "%s | %s" % (line.text, line.ends) if line.ends else line.text


def sizes(wanted: Wanted) -> Sizes:
    """The second look."""
    return {path: (status.st_ino, status.st_size) for path, status in ((path, os.stat(path)) for path in files(wanted))}


def compare(first: Seen, again: Union[Sizes, Missed, None]) -> Seen:
    """What each log gained. One that was rotated meanwhile has gained all that is in the new one. Pure."""
    if again is None or isinstance(again, Missed) or isinstance(first, Missed):
        return first
    return tuple(each if isinstance(each, Missed) or each.path not in again else _grown(each, *again[each.path]) for each in first)


def _grown(sight: Sight, inode: int, size: int) -> Sight:
    return sight._replace(growth=size - sight.size if inode == sight.inode and size >= sight.size else size)


def judge(wanted: Wanted, seen: Seen) -> List[Finding]:
    said = wanted.said
    if isinstance(seen, Missed):
        return [said.unknown(seen.reason, path=wanted.path)]
    if not seen and not wanted.optional:
        return [said.bad("missing", "warning", "there is no log %s" % wanted.path, path=wanted.path)]
    found: List[Finding] = []
    for each in seen:
        found += [said.unknown(each.reason, path=wanted.path)] if isinstance(each, Missed) else _judge_one(wanted, each)
    return found


def _judge_one(wanted: Wanted, seen: Sight) -> List[Finding]:
    said = wanted.said
    about = "" if seen.path in (wanted.path, said.name) else "%s: " % os.path.basename(seen.path)
    ending = seen.ending[-1] if seen.ending else ""
    found = []
    if wanted.max_age is not None and seen.age > wanted.max_age:
        text = "%slast written %s ago, and every %s is right" % (about, show_age(seen.age), show_age(wanted.max_age))
        found.append(said.bad("stale", "warning", text, path=seen.path, age=round(seen.age, 1), last_line=ending))
    if wanted.must_grow and seen.growth is None:
        found.append(said.unknown(about + "whether it grows cannot be told", path=seen.path))
    elif wanted.must_grow and not seen.growth:
        found.append(said.bad("silent", "warning", about + "nothing was written while it was watched", path=seen.path, last_line=ending))
    if wanted.must_end_with is not None and not any(re.search(wanted.must_end_with, line) for line in seen.ending):
        text = "%sdoes not end with %r; its last line is %r" % (about, wanted.must_end_with, ending[:200])
        found.append(said.bad("unfinished", "warning", text, path=seen.path, last_line=ending))
    return found + [_match_finding(wanted, seen, about, each) for each in seen.matched if each.found] + _incomplete(wanted, seen, about)


def _match_finding(wanted: Wanted, seen: Sight, about: str, matched: Matched) -> Finding:
    when = ", the newest %s ago" % show_age(max(0.0, seen.now - matched.last)) if matched.last else ""
    newest = ": %s" % matched.lines[0][:300] if matched.lines else ""
    text = "%s%d of class %s%s%s" % (about, matched.found, matched.name, when, newest)
    detail: Dict[str, Any] = {"path": seen.path, "class": matched.name, "found": matched.found, "lines": list(matched.lines)}
    finding = wanted.said.bad("matched", matched.severity, text, **detail)
    # The class knows better than the expectation how bad its lines are.
    return replace(finding, severity=matched.severity)


def _incomplete(wanted: Wanted, seen: Sight, about: str) -> List[Finding]:
    """Where the time to look back was given, everything since then was asked for."""
    if seen.complete or wanted.since is None or not wanted.patterns:
        return []
    text = "%sof what was logged in the last %s, only the newest %s could be read" % (about, show_age(wanted.since), show_size(seen.bytes_read))
    text += "; not %s" % ", ".join(map(os.path.basename, seen.unread[:3])) if seen.unread else " (max_bytes is %s)" % show_size(wanted.max_bytes)
    return [wanted.said.unknown(text, path=seen.path, bytes_read=seen.bytes_read, unread=list(seen.unread))]


def rows(wanted: Wanted, seen: Seen) -> List[Dict[str, Any]]:
    sights: Sequence[Union[Sight, Missed]] = (seen,) if isinstance(seen, Missed) else seen
    if not sights:
        return [_absent(wanted, False)]
    return [_absent(wanted, None) if isinstance(each, Missed) else _row(wanted, each) for each in sights]


def _absent(wanted: Wanted, exists: Optional[bool]) -> Dict[str, Any]:
    nothing = dict.fromkeys(("age", "size", "growth", "last_line", "complete"))
    return dict(nothing, name=wanted.said.name, path=wanted.path, exists=exists, matches=[], bytes_read=0)


def _row(wanted: Wanted, seen: Sight) -> Dict[str, Any]:
    return {
        "name": wanted.said.name,
        "path": seen.path,
        "exists": True,
        "age": round(seen.age, 1),
        "size": seen.size,
        "growth": seen.growth,
        "last_line": seen.ending[-1] if seen.ending else "",
        "matches": [
            {"class": each.name, "found": each.found, "first": each.first, "last": each.last, "lines": list(each.lines)} for each in seen.matched if each.found
        ],
        "bytes_read": seen.bytes_read,
        "complete": seen.complete,
    }
