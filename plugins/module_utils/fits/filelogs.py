# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the services logged of some files: each log is read once for all of them, from its end."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.logs import Clock, Line, LogError, Span, lines_with
from .enqueue import stem
from .errors import FitsError
from .filestate import FileState, LogHit

_LOG = re.compile(
    r"^((copy_from_dhs|copy_from_visiting_instruments?|add_to_ingest_queue|add_to_export_queue|service_ingest_queue|service_export_queue)"
    r"\.py(?:-.*)?\.log)$"
)
_SINCE = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d")


@dataclass(frozen=True)
class LogOptions:
    """Which logs, and how much of them."""

    directories: Tuple[str, ...]
    lines: int
    max_bytes: Optional[int]
    since: Optional[float]

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> LogOptions:
        for option in ("max_log_lines", "max_log_bytes"):
            if params[option] < 0:
                raise FitsError("%s must be 0 or more, not %d" % (option, params[option]))
        return cls(tuple(params["log_dir"]), params["max_log_lines"], params["max_log_bytes"] or None, parse_since(params["since"]))


def parse_since(text: Optional[str]) -> Optional[float]:
    """Local time to seconds since 1970."""
    if text is None:
        return None
    found = next((moment for moment in (_moment(text, form) for form in _SINCE) if moment is not None), None)
    if found is None:
        raise FitsError("since must be written as 2026-01-30 or 2026-01-30 08:00:00, not %r" % text)
    return found


def _moment(text: str, form: str) -> Optional[float]:
    try:
        return time.mktime(time.strptime(text, form))
    except (ValueError, OverflowError):
        return None


def read_logs(files: Sequence[FileState], options: LogOptions) -> List[FileState]:
    """The files with the last lines that name each, newest first."""
    if not options.lines:
        return list(files)
    found: Dict[str, List[Tuple[float, LogHit]]] = {stem(state.name): [] for state in files}
    names = {_bytes(name): name for name in found}
    unread: List[str] = []
    logs, left = _logs(options.directories, unread), options.max_bytes
    for number, (path, job) in enumerate(logs):
        share = None if left is None else left // (len(logs) - number)
        span = Span(path, max_bytes=share, since=options.since, clock=Clock("python"))
        try:
            seen = lines_with(span, names, options.lines)
        except LogError as exc:
            unread.append(str(exc))
            continue
        left = None if left is None else left - seen.sources.bytes_read
        unread += ["%s cannot be read" % other for other in seen.sources.unread]
        for needle, lines in seen.lines.items():
            found[names[needle]] += [_hit(job, line) for line in lines if names_it(line.text, names[needle])]
    return [_with_lines(state, found[stem(state.name)], options.lines, unread) for state in files]


def names_it(line: str, name: str) -> bool:
    """Whether the line is about this very file, and not about one whose name is longer."""
    return re.search(r"(?<![\w.+-])%s(?:\.bz2)?(?![\w+-]|\.\w)" % re.escape(name), line) is not None


def _bytes(name: str) -> bytes:
    return name.encode("utf-8")


def _logs(directories: Sequence[str], unread: List[str]) -> List[Tuple[str, str]]:
    """The logs that there are, each with its job; rotations belong to the live one."""
    found: Dict[str, str] = {}
    for directory in dict.fromkeys(os.path.realpath(each) for each in directories):
        try:
            names = sorted(os.listdir(directory))
        except OSError as exc:
            unread.append("log directory %s cannot be read: %s" % (directory, exc.strerror))
            continue
        for match in filter(None, map(_LOG.match, names)):
            found[os.path.join(directory, match.group(1))] = match.group(2)
    return sorted(found.items())


def _hit(job: str, line: Line) -> Tuple[float, LogHit]:
    return (line.time or 0.0, LogHit(job, os.path.basename(line.path), line.text))


def _with_lines(state: FileState, hits: Sequence[Tuple[float, LogHit]], limit: int, unread: Sequence[str]) -> FileState:
    newest = sorted(hits, key=lambda hit: hit[0], reverse=True)[:limit]
    return replace(state, log=tuple(hit for _time, hit in newest), unknown=state.unknown + (() if state.good else tuple(unread)))
