# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of the journal: private, durable, and nobody else's."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import IO


def unsafe(path: str) -> str:
    """Why a directory must not hold the journal: who may write here decides what a later undo does. Empty when it may."""
    try:
        link, target = os.lstat(path), os.stat(path)
    except FileNotFoundError:
        return ""
    except OSError as exc:
        return "%s: %s" % (path, exc.strerror)
    if not stat.S_ISDIR(target.st_mode):
        return "%s is not a directory" % path
    strangers = {link.st_uid, target.st_uid} - {0, os.geteuid()}
    if strangers:
        return "%s belongs to another user (uid %d)" % (path, min(strangers))
    if target.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to %s (mode %04o)" % (path, stat.S_IMODE(target.st_mode))
    return ""


def make_directories(path: str) -> None:
    """Private, whatever the umask is, and on disk: a parent is synced when its child was made."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_directories(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    sync_directory(parent)


def sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_regular(path: str) -> IO[bytes]:
    """For reading; no link, and nothing that would block."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "it is not a regular file")
    return os.fdopen(handle, "rb")
