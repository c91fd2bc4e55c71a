# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies below a directory, reached without following any link, and held by a handle that nobody can exchange."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import Iterator

_HANDLE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class NotBelow(Exception):
    """A path that does not stay below its root, or a link in it."""


def check_relative(path: str) -> None:
    """Raise unless a path is made of plain names."""
    if path.startswith("/") or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise NotBelow("%r is not a path of plain names relative to its root" % path)


@contextmanager
def below(root: str, path: str) -> Iterator[int]:
    """A handle (``O_PATH``) on what a relative path names, the root itself if it is empty.

    The root may be a link; nothing below it may, but for the last name.
    """
    if path:
        check_relative(path)
    parts = path.split("/") if path else []
    handle = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for position, part in enumerate(parts):
            if position and stat.S_ISLNK(os.fstat(handle).st_mode):
                raise NotBelow("%s in %s is a link" % (parts[position - 1], os.path.join(root, path)))
            handle = _exchange(handle, os.open(part, _HANDLE, dir_fd=handle))
        yield handle
    finally:
        os.close(handle)


def by_handle(handle: int) -> str:
    """The path of a handle, for the calls that take no ``O_PATH`` handle."""
    return "/proc/self/fd/%d" % handle


def _exchange(old: int, new: int) -> int:
    os.close(old)
    return new
