# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the limits of a node are kept: its lock and its pause. One directory for all users, or beside the journal for one."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple, Optional

from .errors import RunbookError
from .lock import NodeLock
from .lock_shared import SharedLock, open_mutex

DEFAULT = "/run/lock/fieldops-runbooks"
VARIABLE = "FIELDOPS_LIMITS_DIR"
_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Limits(NamedTuple):
    """A directory; ``why`` it is not common to all users, if it is not."""

    directory: str
    why: str = ""

    @property
    def common(self) -> bool:
        return not self.why

    def lock(self, expiry: float) -> NodeLock:
        return SharedLock(self.directory, expiry) if self.common else NodeLock(self.directory, expiry)

    def scope(self) -> str:
        """For whom it holds, for a person."""
        return "for all users, in %s" % self.directory if self.common else "for this user alone, in %s: %s" % (self.directory, self.why)


def limits_of(wanted: Optional[str], journal_directory: str, make: bool = False) -> Limits:
    """The option, or the variable, or the default. Only the default may be out of reach; what somebody named must be had."""
    asked = os.environ.get(VARIABLE) if wanted is None else wanted
    if asked == "":
        return Limits(journal_directory, "limits_dir is empty")
    if asked is None:
        return Limits(DEFAULT) if not (why := unusable(DEFAULT, make)) else Limits(journal_directory, why)
    why = unusable(asked, make) if os.path.isabs(asked) else "it is not an absolute path"
    if why:
        raise RunbookError(
            "the limits of this node cannot be kept in %s: %s. Nothing was changed. Pass limits_dir, a directory of mode 1777 "
            "or one that is to be made, or an empty one to keep them beside the journal, for this user alone." % (asked, why)
        )
    return Limits(asked)


def unusable(path: str, make: bool) -> str:
    """Why a directory cannot be had; empty when it can. Without ``make`` nothing is created, and one that could be made will do."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return _not_made(path, make)
    except OSError as exc:
        return "%s: %s" % (path, exc.strerror)
    if not stat.S_ISDIR(info.st_mode):
        return "%s is a link" % path if stat.S_ISLNK(info.st_mode) else "%s is not a directory" % path
    if os.geteuid() == 0 and info.st_uid != 0 and make:
        info = _taken(path)
    if info.st_mode & _OTHERS and not info.st_mode & stat.S_ISVTX:
        return "others may remove what is in %s (mode %04o, not 1777)" % (path, stat.S_IMODE(info.st_mode))
    return "" if os.access(path, os.R_OK | os.W_OK | os.X_OK) else "%s is not writable for this user" % path


def _not_made(path: str, make: bool) -> str:
    parent = os.path.dirname(path)
    try:
        info = os.stat(parent)
    except OSError as exc:
        return "%s cannot be made: %s: %s" % (path, parent, exc.strerror)
    if info.st_mode & _OTHERS and not info.st_mode & stat.S_ISVTX:
        return "%s is not made, for others may remove what is in %s" % (path, parent)
    if not make:
        return "" if os.access(parent, os.W_OK | os.X_OK) else "%s cannot be made: %s is not writable for this user" % (path, parent)
    before = os.umask(0)
    try:
        os.mkdir(path, 0o1777)
        os.close(open_mutex(os.path.join(path, "mutex")))
    except FileExistsError:
        return unusable(path, make)
    except OSError as exc:
        return "%s cannot be made: %s" % (path, exc.strerror)
    finally:
        os.umask(before)
    return ""


def _taken(path: str) -> os.stat_result:
    """Made by another user who came first, and may remove what others put there: from now on it is root's."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if path == DEFAULT:
            os.fchown(handle, 0, 0)
            os.fchmod(handle, 0o1777)
        return os.fstat(handle)
    finally:
        os.close(handle)
