# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may be working on a queue's rows: processes, lock files, logs, other clients of the database.

A row in progress carries no pid, host or time, so whether a worker is on it is always an inference. What cannot be
known is named in ``unknown`` and counts as "may be live". Sources: sections 4 and 5 of this system's facts.
"""

from __future__ import annotations

import os
import re
import time
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..connect.files import tail
from ..connect.postgres import Client
from ..connect.procfs import Process, hides_others, processes, read_process

_LOCK_NAMES = {"ingest": "siq", "export": "seq", "preview": "spq", "calcache": "ccq", "fileops": "sfq", "reduce": "srq"}
_LOG_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} (\d+):\w+:\d+ \w+: (.*)$")
_AT_WORK = re.compile(r"^(?:Ingesting|Exporting) (\S.*?)(?: - (?P<c>\d+)| \(id (?P<a>\d+)\))?(?:,? \(\d+ (?:on|in) queue\))?$")


_PAUSE = 1.5
"""An idle service writes a line, sleeps for 2 s, and only then pops again: for this long it is on no row."""


def script_name(queue: str) -> str:
    return "service_%s_queue.py" % queue


class Places(NamedTuple):
    """Where this host keeps what tells about workers; the defaults are production's."""

    scripts_dir: Optional[str] = None
    worker_user: Optional[str] = None
    log_dir: Sequence[str] = ("/data/logs",)
    lockfile_dir: Sequence[str] = ("/data/locks", "/data/logs")


class LockFile(NamedTuple):
    """A service's lock file. ``state``: live, stale (no such process), recycled (the pid is now something else)."""

    path: str
    pid: Optional[int]
    state: str


class LogLine(NamedTuple):
    """The last thing that a worker logged, in local time, and the row that it last said to be working on."""

    at: str
    message: str
    filename: Optional[str] = None
    row_id: Optional[int] = None
    idle: bool = False
    """It says that nothing is on the queue."""
    age: Optional[float] = None
    """Seconds since it was written; known where it is the newest line of its file."""


class Workers(NamedTuple):
    """Evidence about the workers of one queue."""

    live: Tuple[Process, ...] = ()
    lock_files: Tuple[LockFile, ...] = ()
    last_lines: Mapping[int, LogLine] = MappingProxyType({})
    clients: Tuple[Client, ...] = ()
    unknown: Tuple[str, ...] = ()

    @property
    def asleep(self) -> List[int]:
        """Workers that were certainly on no row when the rows were read: they said so less than one pause before."""
        return [pid for pid, line in self.last_lines.items() if line.idle and line.age is not None and line.age < _PAUSE]

    @property
    def idle(self) -> List[int]:
        """Workers that were on no row when they last wrote; B's say so once and then keep silent."""
        return [pid for pid, line in self.last_lines.items() if line.idle]

    @property
    def may_be_live(self) -> bool:
        return bool(self.live or self.unknown)

    def to_dict(self) -> Dict[str, Any]:
        return {
            "processes": [
                {
                    "pid": process.pid,
                    "owner": process.owner,
                    "argv": list(process.argv),
                    "last_log_line": self.last_lines[process.pid].message if process.pid in self.last_lines else None,
                }
                for process in self.live
            ],
            "lock_files": [{"path": lock.path, "pid": lock.pid, "state": lock.state} for lock in self.lock_files],
            "clients": [client.to_dict() for client in self.clients],
            "unknown": list(self.unknown),
        }


def is_worker(process: Process, queue: str, places: Places) -> bool:
    """By exact script name, and by folder and owner where those are given."""
    script = process.script()
    if script is None or os.path.basename(script) != script_name(queue):
        return False
    if places.worker_user and process.owner != places.worker_user:
        return False
    if places.scripts_dir:
        folder = _folder(process, script)
        return folder is None or folder == os.path.realpath(places.scripts_dir)
    return True


def _folder(process: Process, script: str) -> Optional[str]:
    """Where a script lies; ``None`` when it was named relative to a directory that cannot be seen."""
    if not os.path.isabs(script):
        try:
            script = os.path.join(os.readlink("/proc/%d/cwd" % process.pid), script)
        except OSError:
            return None
    return os.path.dirname(os.path.realpath(script))


def live_workers(queues: Sequence[str], places: Places) -> Dict[str, List[Process]]:
    """One look at /proc for several queues."""
    found: Dict[str, List[Process]] = {queue: [] for queue in queues}
    for process in processes():
        for queue in queues:
            if is_worker(process, queue, places):
                found[queue].append(process)
    return found


def gather(
    queue: str,
    places: Places,
    seen: Sequence[Process],
    lines: Mapping[int, LogLine],
    clients: Sequence[Client] = (),
    unknown: Sequence[str] = (),
) -> Workers:
    """All evidence for one queue. ``seen`` are the processes of one or more looks, ``unknown`` what the caller could not tell."""
    live = tuple({(process.pid, process.start): process for process in seen}.values())
    locks = tuple(lock for directory in _distinct(places.lockfile_dir) for lock in _lock_files(directory, queue, places))
    reasons = list(unknown)
    if hides_others():
        reasons.append("/proc hides the processes of other users from this one (hidepid): run as root")
    pids = {process.pid for process in live}
    return Workers(live, locks, {pid: line for pid, line in lines.items() if pid in pids}, tuple(clients), tuple(reasons))


def _distinct(directories: Sequence[str]) -> List[str]:
    return list(dict.fromkeys(os.path.realpath(directory) for directory in directories))


def _lock_files(directory: str, queue: str, places: Places) -> List[LockFile]:
    """Lock files of a queue's services under either generation's naming."""
    old = re.compile(r"^(?:%s\d+|service_%s_queue)\.lock$" % (_LOCK_NAMES[queue], queue))
    new = re.compile(r"^service_%s_queue\.py(?:-.*)?\.lock$" % queue)
    return [_lock_file(os.path.join(directory, name), queue, places) for name in _listed(directory) if old.match(name) or new.match(name)]


def _lock_file(path: str, queue: str, places: Places) -> LockFile:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read(32).strip()
    except OSError:
        return LockFile(path, None, "unreadable")
    if not text.isdigit():
        return LockFile(path, None, "stale")
    process = read_process(int(text))
    if process is None:
        return LockFile(path, int(text), "stale")
    return LockFile(path, process.pid, "live" if is_worker(process, queue, places) else "recycled")


def last_lines(queue: str, places: Places, seen: Sequence[Process]) -> Dict[int, LogLine]:
    """The last line of each worker, read from the end of the logs of its service."""
    last: Dict[int, LogLine] = {}
    pids = {process.pid for process in seen}
    if not pids:
        return last
    prefix = script_name(queue)
    for directory in _distinct(places.log_dir):
        for name in _listed(directory):
            if name.startswith(prefix) and name.endswith(".log"):
                _read_log(os.path.join(directory, name), pids, last)
    return last


def _listed(directory: str) -> List[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def _read_log(path: str, pids: set[int], last: Dict[int, LogLine]) -> None:
    """Note what this file says of the workers; the worker of its newest line gets the age of that line."""
    try:
        lines = tail(path)
        age = time.time() - os.stat(path).st_mtime
    except OSError:
        return
    newest = None
    for line in lines:
        newest = _note(last, line, pids) or newest
    if newest in last and lines and _LOG_LINE.match(lines[-1]):
        last[newest] = last[newest]._replace(age=age if age >= 0 else None)


def _note(last: Dict[int, LogLine], line: str, pids: set[int]) -> Optional[int]:
    """Take one line in; returns the worker that wrote it."""
    parsed = _LOG_LINE.match(line)
    if not parsed:
        return None
    at, worker, message = parsed.groups()
    pid = int(worker)
    if pid not in pids or (pid in last and last[pid].at > at):
        return pid
    named = _AT_WORK.match(message)
    if named:
        row_id = named.group("c") or named.group("a")
        last[pid] = LogLine(at, message, named.group(1), int(row_id) if row_id else None)
    elif message.startswith("Nothing on "):
        last[pid] = LogLine(at, message, idle=True)
    else:  # more about the row that it is on
        last[pid] = last.get(pid, LogLine(at, message))._replace(at=at, message=message, idle=False, age=None)
    return pid
