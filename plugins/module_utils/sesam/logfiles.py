# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies in a node's folders: stack traces, the log of its health, profiles, startup options; and the space that is left."""

from __future__ import annotations

import os
import stat
from typing import Dict, Mapping, Optional

from ..connect.disk import add_up, file_system
from ..connect.logs import Clock, Kind, LogError, Span, last_line, scan
from .errors import SesamError
from .evidence import without_secrets
from .profiler_config import FOLDER as PROFILER_FOLDER
from .stacktrace_files import traces as trace_files
from .startup_options import FILE, read_options
from .state import HealthLog, Profiler, Space, StartupOptions, TraceFile, Traces
from .switches import switches

HEALTH_LOG = "node_health.log"
LICENSE = "license.key"
FAILURE = (
    r"(?i)\b(?:fail(?:ed|s|ure|ures|ing)?|error|exception|traceback|time(?:d)?[ -]?out|refused|unhealthy|unwell|unavailable|critical)\b"
    r"|\b(?:status|/health:?|code)\W{0,3}5\d\d\b"
)
"""Nobody has published what the node writes; so words are looked for that no call which went well has."""
BENIGN = (r"(?i)\b(?:0|no) (?:errors?|failures?)\b", r"(?i)\b(?:errors?|failures?|failed)\W{0,4}(?:0|none|false|null|\[\])(?:\W|$)")
MAX_BYTES = 8 * 1024 * 1024
"""Of the log of the health, from its end."""
TRACES_SHOWN = 20
LINES_SHOWN = 5
_PROFILES = (".pstat", ".calltree")
_QUARTER = 900.0
_MOST_HOURS = 14 * 3600.0


def read_startup(folder: str) -> StartupOptions:
    """Its switches and nothing else of it; a file that is none, or no JSON, is told as that."""
    path = os.path.join(folder, FILE)
    try:
        found = read_options(folder)
        if found.data is None:
            return StartupOptions(path, False)
    except SesamError as exc:
        return StartupOptions(path, os.path.lexists(path), _written(path), {}, exc.text)
    try:
        return StartupOptions(path, True, found.written, switches(found.document))
    except SesamError as exc:
        return StartupOptions(path, True, found.written, {}, exc.text)


def _written(path: str) -> Optional[float]:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None


def read_traces(folder: str) -> Traces:
    found = trace_files(folder)
    return Traces(len(found), tuple(TraceFile(os.path.join(folder, each.name), each.size, each.modified) for each in found[:TRACES_SHOWN]))


def read_health_log(folder: str, since: float) -> HealthLog:
    """From its end, in constant memory, across rotations."""
    path = os.path.join(folder, HEALTH_LOG)
    try:
        modified = os.stat(path).st_mtime
        clock = Clock("iso")
        last = last_line(path, clock)
        shift = offset(modified, last.time if last else None)
        found = scan(Span(path, max_bytes=MAX_BYTES, since=since - shift, clock=clock), [Kind("failures", FAILURE)], BENIGN, LINES_SHOWN)
    except FileNotFoundError:
        return HealthLog(path, False)
    except LogError as exc:
        raise OSError(0, str(exc), path) from exc
    failures = found.kinds[0]
    return HealthLog(
        path,
        True,
        modified,
        failures.count,
        None if failures.last is None else failures.last + shift,
        tuple(without_secrets(line.text) for line in failures.lines),
        without_secrets(last.text) if last else "",
        found.sources.bytes_read,
        found.sources.complete,
    )


def offset(modified: float, last: Optional[float]) -> float:
    """What is to be added to the log's times: a container has a time zone of its own, and writes none. The last line is as old as the file."""
    if last is None:
        return 0.0
    difference = modified - last
    shift = round(difference / _QUARTER) * _QUARTER
    return shift if abs(shift) <= _MOST_HOURS and abs(difference - shift) < _QUARTER / 3 else 0.0


def read_profiler(folder: str, enabled: Optional[bool]) -> Profiler:
    """What profiles take: those of all calls, and those of pumps that lie beside the logs."""
    place = os.path.join(folder, PROFILER_FOLDER)
    files = size = None
    complete = True
    if os.path.isdir(place) and not os.path.islink(place):
        found = add_up(place)
        files, size, complete = found.entries, found.size, found.complete
    count = used = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_PROFILES):
                seen = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(seen.st_mode):
                    count, used = count + 1, used + seen.st_blocks * 512
    return Profiler(enabled, place, files, size, complete, count, used)


def read_space(folders: Mapping[str, str]) -> Dict[str, Space]:
    found = {}
    for name, path in folders.items():
        seen = file_system(path)
        found[name] = Space(path, seen.size, seen.available, round(100 * seen.share(), 1), round(100 * seen.inode_share(), 1))
    return found


def has_license(folder: str) -> bool:
    """Whether there is a file with a licence in it; it is not read."""
    try:
        seen = os.stat(os.path.join(folder, LICENSE))
    except FileNotFoundError:
        return False
    return stat.S_ISREG(seen.st_mode) and seen.st_size > 0
