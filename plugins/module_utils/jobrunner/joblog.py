# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where what a job wrote is to be found: its container, its log directories of whatever month, and the journal of the service."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import select
import stat
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO, Any, Deque, Dict, Iterator, List, Mapping, Optional, Tuple

from ..connect.docker import Docker
from ..connect.service import ServiceError
from .errors import JobRunnerError
from .names import container_name
from .query import split_time
from .service import LogLine, journal_argv, line_of

_MONTH = re.compile(r"\d{4}-\d\d")
_BLOCK = 1 << 16
LARGEST = 32 << 20
"""Bytes that are read of a job's metadata."""
TAIL = 8 << 20
"""Bytes that are read of a log, from its end."""
_POLL = 0.5


@dataclass(frozen=True)
class Folder:
    """A log directory of a job. One job can have several: the month is that in which it was written."""

    path: str
    modified: float
    log_size: Optional[int] = None
    metadata: Optional[Mapping[str, Any]] = field(default=None, repr=False)
    problem: str = ""


def folders(high: str, job_id: str) -> List[Folder]:
    """All log directories of a job, the newest last."""
    base = os.path.join(high, "logs")
    try:
        months = sorted(name for name in os.listdir(base) if _MONTH.fullmatch(name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise JobRunnerError("the logs below %s cannot be read: %s" % (base, exc.strerror)) from exc
    paths = (os.path.join(base, month, container_name(job_id)) for month in months)
    found = [_folder(path) for path in paths if os.path.isdir(path) and not os.path.islink(path)]
    return sorted(found, key=lambda folder: folder.modified)


def _folder(path: str) -> Folder:
    modified = os.stat(path).st_mtime
    size: Optional[int] = None
    with contextlib.suppress(OSError):
        size = os.lstat(os.path.join(path, "logs.txt")).st_size
    try:
        with opened(os.path.join(path, "metadata.json")) as file:
            metadata = json.loads(file.read(LARGEST).decode("utf-8", "replace"))
    except FileNotFoundError:
        return Folder(path, modified, size, None, "there is no metadata.json")
    except (OSError, ValueError, RecursionError) as exc:
        return Folder(path, modified, size, None, "metadata.json cannot be read: %s" % (getattr(exc, "strerror", None) or exc))
    if not isinstance(metadata, dict):
        return Folder(path, modified, size, None, "metadata.json holds no object")
    return Folder(path, modified, size, metadata)


def opened(path: str) -> IO[bytes]:
    """A regular file itself; neither a link nor a pipe that a job may have left in its place."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(22, "it is no regular file", path)
    return os.fdopen(handle, "rb")


def file_tail(path: str, count: int) -> Tuple[List[str], bool]:
    """The last lines of a file, and whether that is all of it."""
    with opened(path) as file:
        end = file.seek(0, os.SEEK_END)
        data, at = b"", end
        while at > 0 and data.count(b"\n") <= count and end - at < TAIL:
            at = max(0, at - _BLOCK)
            file.seek(at)
            data = file.read(min(_BLOCK, end - at)) + data
    lines = data.decode("utf-8", "backslashreplace").splitlines()
    return lines[-count:] if count else [], at == 0 and len(lines) <= count


def container_tail(docker: Docker, name: str, count: int) -> List[str]:
    """The last lines of a container, each after Docker's time, ordered by it: both streams are written side by side."""
    return docker.logs(name, tail=count).decode("utf-8", "backslashreplace").splitlines()


def follow(docker: Docker, name: str, lines: List[str], seconds: float, most: int) -> Tuple[List[str], bool]:
    """What a container writes within some seconds after ``lines``, and whether it ended meanwhile. It never waits longer."""
    deadline = time.monotonic() + seconds
    seen: Deque[str] = collections.deque(lines, maxlen=max(most, len(lines), 1000))
    new: List[str] = []
    since = next((moment for moment in (split_time(line)[0] for line in reversed(lines)) if moment), None)
    while len(new) < most:
        ended = not _runs(docker, name)
        latest = docker.logs(name, tail=most, since=since).decode("utf-8", "backslashreplace").splitlines()
        fresh = [line for line in latest if line not in set(seen)]
        new += fresh
        seen.extend(fresh)
        since = next((moment for moment in (split_time(line)[0] for line in reversed(latest)) if moment), since)
        if ended:
            return new[:most], True
        if time.monotonic() >= deadline:
            break
        time.sleep(min(_POLL, max(0.0, deadline - time.monotonic())))
    return new[:most], False


def _runs(docker: Docker, name: str) -> bool:
    seen = docker.inspect(name)
    return bool(seen and seen["State"]["Running"])


def service_lines(unit: str, job_id: str, since: float, most: int, timeout: float) -> Tuple[List[LogLine], bool]:
    """What the service wrote about a job, and whether all was read. The id is compared whole, by no other program."""
    whole = re.compile(r"(?<![A-Za-z0-9])%s(?![A-Za-z0-9])" % re.escape(job_id))
    argv = journal_argv(unit, "--since=@%d" % since)
    found: Deque[LogLine] = collections.deque(maxlen=most)
    try:
        process = subprocess.Popen(argv, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as exc:
        raise ServiceError("cannot run %s: %s" % (argv[0], exc.strerror)) from exc
    with process:
        lines = _Lines(process, timeout)
        for record in lines:
            if job_id.encode() not in record and b'"MESSAGE":[' not in record.replace(b" ", b""):
                continue  # a message that is not UTF-8 comes as numbers
            line = line_of(record.decode("utf-8", "replace"))
            if line is not None and whole.search(line.text):
                found.append(line)
        errors = process.stderr.read() if process.stderr and lines.complete else b""
    if process.returncode and lines.complete:
        raise ServiceError("the log of %s cannot be read: %s" % (unit, errors.decode("utf-8", "replace").strip() or "exit code %d" % process.returncode))
    return list(found), lines.complete


class _Lines:
    """Lines of a program that may be silent for long. When time is up it is ended, and what it would have said is missing."""

    def __init__(self, process: subprocess.Popen[bytes], timeout: float) -> None:
        self.process = process
        self.deadline = time.monotonic() + timeout
        self.complete = True

    def __iter__(self) -> Iterator[bytes]:
        output, rest = self.process.stdout, b""
        if output is None:
            return
        while True:
            ready, _write, _except = select.select([output], [], [], max(0.0, self.deadline - time.monotonic()))
            data = os.read(output.fileno(), _BLOCK) if ready else b""
            if not ready:
                self.complete = False
                output.close()  # one of another user's cannot be killed, but ends when nobody listens
                with contextlib.suppress(OSError):
                    self.process.kill()
                return
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from lines


def folder_rows(found: List[Folder]) -> List[Dict[str, Any]]:
    return [{"path": each.path, "modified": each.modified, "log_size": each.log_size, "problem": each.problem} for each in found]
