# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of reports: written whole or not at all, and the directory of those of earlier runs."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
import time
import uuid
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .report_history import Run, read_run

PRIVATE, PUBLIC = 0o600, 0o644
LARGEST = 64 * 1024 * 1024
"""A report that is larger is not read again."""
TEMPORARY = ".report-"
LEFT_BEHIND = 86400.0
_OWN = re.compile(r"^run-(\d{8}T\d{6}Z)-[0-9a-f]{8}\.json$")
_STAMP = "%Y%m%dT%H%M%SZ"


def as_json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def write_whole(path: str, text: str, mode: int = PRIVATE) -> None:
    """Whole or not at all. A device or a pipe is refused: renaming over it would replace it."""
    directory = os.path.dirname(os.path.abspath(path))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if os.path.lexists(path) and not (os.path.islink(path) or stat.S_ISREG(os.lstat(path).st_mode)):
        raise OSError("it exists and is not a file")
    descriptor, name = tempfile.mkstemp(prefix=TEMPORARY, dir=directory)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(text)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class Kept:
    """A directory that keeps the reports of the last runs. Several runs may use it at once: each writes a file of its own."""

    def __init__(self, directory: str, number: int, days: float) -> None:
        self.directory = directory
        self.number = number
        self.days = days

    def read(self) -> Tuple[List[Run], List[Dict[str, str]]]:
        """The newest, oldest first; and the files that are there and were not read, with the reason."""
        runs: List[Run] = []
        skipped: List[Dict[str, str]] = []
        if not os.path.isdir(self.directory):
            return runs, skipped
        names = sorted(name for name in os.listdir(self.directory) if not name.startswith("."))
        skipped += [{"file": _shown(name), "why": "its name is not that of a kept report"} for name in names if not _OWN.match(name)]
        for name in self._wanted(names):
            run, why = self._read_one(name)
            runs += [run] if run else []
            skipped += [{"file": _shown(name), "why": why}] if why else []
        return runs, skipped

    def _read_one(self, name: str) -> Tuple[Optional[Run], str]:
        try:
            return read_run(_load(os.path.join(self.directory, name))), ""
        except FileNotFoundError:
            return None, ""  # pruned by another run
        except (OSError, ValueError, RecursionError) as exc:
            return None, str(getattr(exc, "strerror", None) or exc)

    def add(self, document: Mapping[str, Any]) -> str:
        """Keep this one, and drop those that are too many or too old."""
        started = document["run"]["started"].replace("-", "").replace(":", "")
        name = "run-%s-%s.json" % (started, uuid.uuid4().hex[:8])
        write_whole(os.path.join(self.directory, name), as_json(document))
        self._prune(name)
        return name

    def _wanted(self, names: List[str]) -> List[str]:
        own = [name for name in names if _OWN.match(name) and _age_days(name) <= self.days]
        return own[-self.number :]

    def _prune(self, newest: str) -> None:
        names = sorted(os.listdir(self.directory))
        wanted = {newest, *self._wanted(names)}
        for name in names:
            path = os.path.join(self.directory, name)
            if (_OWN.match(name) and name not in wanted) or (name.startswith(TEMPORARY) and _is_old(path)):
                _remove(path)


def _load(path: str) -> Any:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a file")
        if status.st_size > LARGEST:
            raise ValueError("it is larger than %d bytes" % LARGEST)
        return json.load(file)


def _age_days(name: str) -> float:
    match = _OWN.match(name)
    try:
        started = datetime.strptime(match.group(1) if match else "", _STAMP).replace(tzinfo=timezone.utc)
    except ValueError:
        return float("inf")
    return (datetime.now(timezone.utc) - started).total_seconds() / 86400


def _is_old(path: str) -> bool:
    """What a killed run has left; that of a run that is writing is younger."""
    try:
        return time.time() - os.lstat(path).st_mtime > LEFT_BEHIND
    except OSError:
        return False


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # by another run
        os.unlink(path)


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
