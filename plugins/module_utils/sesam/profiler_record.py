# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the profiler of all calls writes: measured, and copied out of the container before it goes.

The bounded folder is in memory and only in the container's own view of its files, which goes when the container is stopped. It is reached through
the container's first process, without following any link in there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

from ..connect.below import NotBelow, below, by_handle
from ..procedure.directory import sync_directory
from .errors import SesamError
from .profile_files import safe_name
from .profiler_state import Usage

_MOST = 20000
_DEPTH = 3
_PIECE = 1 << 20
_DONE = b"d"


def root_of(pid: int) -> str:
    """A container's files, as its first process sees them."""
    return "/proc/%d/root" % pid


def usage(root: str, place: str, bounded: bool) -> Usage:
    """What is in a folder. Of a file system of its own, the kernel's numbers count."""
    files, used, complete = 0, 0, True
    try:
        with below(root, place.strip("/")) as handle:
            for _path, _folder, _name, status in _files(handle, "", 1):
                files, used = files + 1, used + status.st_blocks * 512
                if files >= _MOST:
                    complete = False
                    break
            if bounded:
                system = os.statvfs(by_handle(handle))
                return Usage(files, (system.f_blocks - system.f_bfree) * system.f_frsize, system.f_blocks * system.f_frsize, complete)
    except FileNotFoundError:
        return Usage(0, 0)
    except (OSError, NotBelow) as exc:
        raise SesamError("the profiles in %s cannot be looked at: %s" % (place, getattr(exc, "strerror", None) or exc)) from exc
    return Usage(files, used, None, complete)


def _files(handle: int, above: str, level: int) -> Iterator[Tuple[str, int, str, os.stat_result]]:
    """Regular files in a folder and some levels below it, by the handle of their folder."""
    with os.scandir(by_handle(handle)) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                yield above + name, handle, name, status
            elif stat.S_ISDIR(status.st_mode) and level < _DEPTH:
                inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
                try:
                    yield from _files(inner, "%s%s/" % (above, name), level + 1)
                finally:
                    os.close(inner)


def collect(root: str, place: str, target: str, limit: int, remove: bool = False) -> Tuple[List[Dict[str, Any]], int]:
    """Copies of the files in a private folder, up to ``limit`` bytes in all; and how many were left out for that.

    With ``remove``, a file goes as soon as its copy is whole and on disk.
    """
    copied: List[Dict[str, Any]] = []
    left_out, total = 0, 0
    try:
        with below(root, place.strip("/")) as handle:
            for path, folder, name, status in _files(handle, "", 1):
                if total + status.st_size > limit or len(copied) >= _MOST:
                    left_out += 1
                    continue
                size, whole = _copy(folder, name, target, "%05d-%s" % (len(copied), safe_name(path.replace("/", "_"), "")), limit - total)
                total += size
                if remove and whole[1]:
                    sync_directory(target)
                    _unlink(folder, name, status)
                copied.append({"path": whole[0], "name": path, "size": size, "whole": whole[1], "mtime": round(status.st_mtime, 3)})
        sync_directory(target)
    except FileNotFoundError:
        return copied, left_out
    except (OSError, NotBelow) as exc:
        raise SesamError("the profiles in %s cannot be copied to %s: %s" % (place, target, getattr(exc, "strerror", None) or exc)) from exc
    return copied, left_out


def _copy(folder: int, name: str, target: str, new: str, limit: int) -> Tuple[int, Tuple[str, bool]]:
    """Size and path of a copy, and whether nothing was written to the file meanwhile."""
    path = os.path.join(target, new)
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    with os.fdopen(source, "rb") as reading:
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(0, "%s is no regular file any more" % name)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as writing:
            size, piece = 0, reading.read(min(_PIECE, limit))
            while piece:
                writing.write(piece)
                size += len(piece)
                piece = reading.read(min(_PIECE, limit - size))
            writing.flush()
            os.fsync(writing.fileno())
        after = os.fstat(source)
    return size, (path, size == after.st_size and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns))


def _unlink(folder: int, name: str, seen: os.stat_result) -> None:
    """If it still is the file that was copied."""
    with contextlib.suppress(FileNotFoundError):
        now = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) == (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns):
            os.unlink(name, dir_fd=folder)


def watch(look: Callable[[], Usage], duration: float, limit: int, alive: Callable[[], str], step: float = 1.0) -> Tuple[float, str]:
    """Wait for ``duration`` seconds, or until there is more than ``limit``: how long it was, and why it was no longer."""
    began = time.monotonic()
    while True:
        seconds = time.monotonic() - began
        trouble = alive()
        if trouble:
            return seconds, trouble
        used = look().used
        if used >= limit:
            return seconds, "stopped early: %d of %d bytes were written" % (used, limit)
        if seconds >= duration:
            return seconds, ""
        time.sleep(min(step, max(0.01, duration - seconds)))


class Guardian:
    """Another process that calls ``off`` if this one goes without having let it go, however it goes.

    It holds nothing of Ansible's: no output, no terminal.
    """

    def __init__(self, off: Callable[[], None]) -> None:
        reading, self._writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _stand_by(reading, self._writing, off)
        os.close(reading)

    def release(self) -> None:
        """There is nothing to be switched off any more."""
        if self._pid:
            with contextlib.suppress(OSError):
                os.write(self._writing, _DONE)
            os.close(self._writing)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0


def _stand_by(reading: int, writing: int, off: Callable[[], None]) -> None:
    code = 1
    try:
        os.setsid()
        os.close(writing)
        for name in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        if os.read(reading, 1) != _DONE:
            off()
        code = 0
    finally:
        os._exit(code)
