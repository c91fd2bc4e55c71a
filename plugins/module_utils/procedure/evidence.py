# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are kept for a person: in a directory that nobody else can read, each whole or not there.

Without a directory of the caller's own it is one for each run below ``evidence`` of the journal's directory, and the oldest go first.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from typing import Optional

from .directory import make_directories, sync_directory, unsafe
from .errors import JournalError

RUNS_KEPT = 100
_CUT = b"\n[... left out ...]\n"


def place(journal: str) -> str:
    """The directory of a run that begins now. It is not made yet."""
    seconds, rest = divmod(time.time_ns(), 10**9)  # a second may see several runs
    return os.path.join(journal, "evidence", "%s-%09d" % (time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)), rest))


def make(directory: str, what: str) -> str:
    """Make it, for its owner alone. JournalError where ``what`` cannot be kept there."""
    above = os.path.dirname(directory)
    reason = unsafe(above)
    if reason:
        raise JournalError("%s cannot be kept: %s. Nothing was changed" % (what, reason))
    try:
        make_directories(above)
        _prune(above)
        os.mkdir(directory, 0o700)
        sync_directory(above)
    except OSError as exc:
        raise JournalError("%s cannot be kept below %s: %s. Nothing was changed" % (what, above, exc.strerror)) from exc
    return directory


def run_directory(journal: str, what: str) -> str:
    """A new directory for the run that begins now."""
    return make(place(journal), what)


def own_directory(path: str) -> str:
    """A directory that the caller names: made, for its owner only, where it is not there."""
    try:
        make_directories(path)
    except OSError as exc:
        raise JournalError("dest: %s cannot be made: %s. Nothing was changed" % (path, exc.strerror)) from exc
    if not os.path.isdir(path):
        raise JournalError("dest: %s is not a directory. Nothing was changed" % path)
    return path


def write(directory: str, name: str, data: bytes, limit: Optional[int] = None) -> str:
    """The path of a new file: complete under its name and on disk, or not there. Of what is too long the beginning and the end are kept."""
    if limit is not None and len(data) > limit:
        half = max(0, limit - len(_CUT)) // 2
        data = data[:half] + _CUT + data[len(data) - half :]
    path = os.path.join(directory, file_name(name))
    unfinished = os.path.join(directory, ".%s.%s" % (file_name(name), secrets.token_hex(8)))
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, path)
        sync_directory(directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise
    return path


def file_name(text: str) -> str:
    """A plain name from any text."""
    return re.sub(r"[^A-Za-z0-9_.@-]", "_", text)[:120].lstrip(".") or "_"


def _prune(above: str) -> None:
    """The newest stay; their names begin with the time. Links are left alone."""
    names = sorted(name for name in os.listdir(above) if re.fullmatch(r"\d{8}T\d{6}-\d+", name))
    for name in names[: max(0, len(names) - RUNS_KEPT + 1)]:
        path = os.path.join(above, name)
        if not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
