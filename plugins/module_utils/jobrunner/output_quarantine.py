# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quarantine: where removed files are kept until somebody takes them back or deletes them for good.

A file of ``/srv/medium_privacy/workspaces/WS/table.csv`` becomes ``QUARANTINE/srv/medium_privacy/workspaces/WS/table.csv/removed.1``, the next
one ``removed.2``. Within a file system it is moved in one stroke. To another one it is copied as ``removed.1.part``, which is ``removed.1.new`` when
it is whole, and ``removed.1`` when the file itself is gone. A copy that is deleted for good leaves an empty ``purged.1``, so that a file that
comes back is still known.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ..connect.below import NotBelow, below
from .errors import JobRunnerError
from .output_files import copy_data, digest, may_give, move, same_attributes, sync, version
from .output_state import Copy

CHANGED = "it was changed, replaced or removed since it was looked at: left alone"
_NAME = re.compile(r"(removed|purged)\.([1-9][0-9]*)(\.new)?")
_NEW = ".new"
_PART = ".part"
RESTORING = ".fieldops-restoring"
"""What a file is on its way back from another file system."""
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_name(number: int) -> str:
    return "removed.%d" % number


@dataclass(frozen=True)
class Quarantine:
    """``path`` may not exist yet."""

    path: str

    def trouble(self, shared: Tuple[str, ...]) -> str:
        """Why it must not be used. ``shared`` are directories that others read, or that are copied to level 4."""
        real = os.path.realpath(self.path)
        for each in map(os.path.realpath, shared):
            if real == each or real.startswith(each + "/"):
                return "it lies below %s, which others read or which is copied to level 4" % each
        try:
            info = os.lstat(self.path)
        except FileNotFoundError:
            return self._not_makeable()
        except OSError as exc:
            return str(exc.strerror)
        if not stat.S_ISDIR(info.st_mode):
            return "it is not a directory"
        if info.st_uid not in (0, os.geteuid(), os.stat(os.path.dirname(self.path)).st_uid):
            return "it belongs to another user (uid %d)" % info.st_uid
        if info.st_mode & 0o027:
            return "others than its owner may use it (mode %04o); it should have 0700" % stat.S_IMODE(info.st_mode)
        return "" if os.access(self.path, os.W_OK | os.X_OK) else "this user may not write to it"

    def _not_makeable(self) -> str:
        parent = os.path.dirname(self.path)
        if not os.path.isdir(parent):
            return "there is no directory %s to make it in" % parent
        return "" if os.access(parent, os.W_OK | os.X_OK) else "this user may not make it in %s" % parent

    # -- looking -------------------------------------------------------------------------------------------------------

    def copies(self, root: str, path: str, present: str = "", hashed: bool = False) -> List[Copy]:
        """What earlier removals of a file left, oldest first.

        ``present`` is the SHA-256 of the file in its place: a whole copy of just that which has not got its name was never needed.
        """
        try:
            with self._opened(root, path) as folder:
                # A later chmod of everything moves the first of these times, a later removal the second.
                latest = os.fstat(folder).st_mtime
                names = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
                names = [name for name in names if not (present and name.endswith(_NEW) and _digest(folder, name) == present)]
                found = [self._copy(folder, root, path, name, hashed, latest) for name in names]
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise JobRunnerError("the quarantine %s cannot be looked into: %s" % (self.path, exc.strerror)) from exc
        whole = {copy.number for copy in found if not copy.purged}
        return sorted((copy for copy in found if not (copy.purged and copy.number in whole)), key=lambda copy: copy.number)

    def _copy(self, folder: int, root: str, path: str, name: str, hashed: bool, latest: float) -> Copy:
        match = _NAME.fullmatch(name)
        number, purged = (int(match.group(2)), match.group(1) == "purged") if match else (0, False)
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        sha256 = _digest(folder, name) if hashed and not purged else ""
        return Copy(number, name, self.full(root, path, copy_name(number)), info.st_size, round(min(info.st_ctime, latest), 3), purged, sha256)

    def full(self, root: str, path: str, name: str) -> str:
        return "/".join([self.path, root.strip("/"), path, name])

    def image(self, root: str, path: str, name: str) -> Optional[Dict[str, Any]]:
        """What a copy looks like, finished or not."""
        for each in (name, name + _NEW):
            with contextlib.suppress(FileNotFoundError):
                with self._opened(root, path) as folder:
                    handle = os.open(each, _READING, dir_fd=folder)
                with os.fdopen(handle, "rb") as file:
                    return {"quarantine": self.full(root, path, name), "size": os.fstat(file.fileno()).st_size, "sha256": digest(file)}
        return None

    # -- moving --------------------------------------------------------------------------------------------------------

    def take(self, root: str, path: str, seen: Tuple[int, ...], name: str, sha256: str) -> str:
        """Move a file in, if it still is the one that was seen, to the last byte. Why not, if it was not done."""
        try:
            with _parent(root, path) as (parent, base), self._opened(root, path, make=True) as folder:
                if not _still(parent, base, seen):
                    return CHANGED
                if not _moved(parent, base, folder, name):
                    return self._take_copy(parent, base, folder, name, seen, sha256)
                # Whatever had the name was moved, a link as a link; what nobody has looked at goes back.
                if version(os.stat(name, dir_fd=folder, follow_symlinks=False))[:-1] != seen[:-1] or _digest(folder, name) != sha256:
                    move(folder, name, parent, base)
                    return CHANGED
                sync(folder)
                sync(parent)
        except (FileNotFoundError, NotADirectoryError, NotBelow):
            return CHANGED
        return ""

    @staticmethod
    def _take_copy(parent: int, base: str, folder: int, name: str, seen: Tuple[int, ...], sha256: str) -> str:
        new, part = name + _NEW, name + _PART
        _copy_file(parent, base, folder, part)
        if not _still(parent, base, seen) or _digest(folder, part) != sha256:
            os.unlink(part, dir_fd=folder)
            return CHANGED
        known = _exists(new, folder)  # of a run that was killed, and just the same
        os.replace(part, new, src_dir_fd=folder, dst_dir_fd=folder)
        sync(folder)
        if not _still(parent, base, seen):  # to read back a large copy takes minutes
            if not known:
                os.unlink(new, dir_fd=folder)
            return CHANGED
        os.unlink(base, dir_fd=parent)
        sync(parent)
        move(folder, new, folder, name)
        sync(folder)
        return ""

    def rename(self, root: str, path: str, name: str, new: str) -> str:
        """Give a copy the name that it should have. Why not, if it was not done."""
        try:
            with self._opened(root, path) as folder:
                move(folder, name, folder, new)
                sync(folder)
        except (FileNotFoundError, FileExistsError):
            return CHANGED
        return ""

    def give_back(self, root: str, path: str, name: str, image: Mapping[str, Any]) -> str:
        """Move a copy back to where it was, with owner, mode and time as they were. Why not, if it was not done."""
        try:
            with _parent(root, path) as (parent, base), self._opened(root, path) as folder:
                if _exists(base, parent):
                    return CHANGED
                if not _exists(name, folder):
                    name += _NEW
                same_attributes(folder, name, int(image["mode"], 8), (image["uid"], image["gid"]), image["mtime_ns"])
                if not _moved(folder, name, parent, base):
                    self._give_copy(folder, name, parent, base)
                sync(parent)
                sync(folder)
        except (FileNotFoundError, NotADirectoryError, NotBelow, FileExistsError):
            return CHANGED
        return ""

    @staticmethod
    def _give_copy(folder: int, name: str, parent: int, base: str) -> None:
        if not name.endswith(_NEW):
            move(folder, name, folder, name + _NEW)  # from here on it counts only while the file is not in its place
            name += _NEW
        _copy_file(folder, name, parent, RESTORING)
        move(parent, RESTORING, parent, base)
        sync(parent)
        os.unlink(name, dir_fd=folder)

    def purge(self, root: str, path: str, name: str) -> str:
        """Delete a copy for good. Why not, if it was not done."""
        try:
            with self._opened(root, path) as folder:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
                note = os.open("purged." + name.split(".")[1], os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
                os.close(note)
                sync(folder)
                os.unlink(name, dir_fd=folder)
                for half in (each for each in os.listdir(folder) if each.endswith(_PART)):  # of a run that was killed
                    os.unlink(half, dir_fd=folder)
                sync(folder)
        except FileNotFoundError:
            return CHANGED
        return ""

    # -- its directories -----------------------------------------------------------------------------------------------

    @contextmanager
    def _opened(self, root: str, path: str, make: bool = False) -> Iterator[int]:
        """The directory with the copies of one file. No link is followed, since its owner need not be the one who runs this."""
        if make and not os.path.lexists(self.path):
            with below(os.path.dirname(self.path), "") as parent:
                _make(parent, os.path.basename(self.path), os.fstat(parent))
        handle = self._entered(self.path, None)
        try:
            for part in (*root.strip("/").split("/"), *path.split("/")):
                if make and not _exists(part, handle):
                    _make(handle, part, os.fstat(handle))
                inner = self._entered(part, handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def _entered(self, name: str, folder: Optional[int]) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=folder)
        except OSError as exc:
            if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            where = "%s in it" % name if folder is not None else "it"
            raise JobRunnerError("the quarantine %s is not as this collection makes it: %s is a link or a file" % (self.path, where)) from exc


def _make(parent: int, name: str, like: os.stat_result) -> None:
    """Private, and of the owner of what it is made in: root must not shut out the one who comes next."""
    os.mkdir(name, 0o700, dir_fd=parent)
    handle = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        if os.geteuid() == 0:
            os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, 0o700)
        os.fsync(handle)
    finally:
        os.close(handle)
    sync(parent)


@contextmanager
def _parent(root: str, path: str) -> Iterator[Tuple[int, str]]:
    """The directory that a file lies in, and its name there."""
    directory, base = os.path.split(path)
    with below(root, directory) as handle:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            raise NotBelow("%s is not a directory" % directory)
        yield handle, base


def _moved(folder: int, name: str, target: int, new: str) -> bool:
    """False where the two are on different file systems."""
    try:
        move(folder, name, target, new)
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            return False
        raise
    return True


def _copy_file(folder: int, name: str, target: int, new: str) -> None:
    """All of a file under a new name, on disk and read back."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=target)  # of a run that was killed
    source = os.open(name, _READING, dir_fd=folder)
    with os.fdopen(source, "rb") as file:
        info = os.fstat(source)
        if not stat.S_ISREG(info.st_mode):
            raise FileNotFoundError(errno.ENOENT, "it is not a regular file any more")
        copy = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            with os.fdopen(copy, "w+b") as out:
                copy_data(file, out)
        except BaseException:
            os.unlink(new, dir_fd=target)
            raise
    uid = info.st_uid if os.geteuid() == 0 else os.geteuid()
    owner = (uid, info.st_gid) if may_give(uid, info.st_gid) else None
    same_attributes(target, new, stat.S_IMODE(info.st_mode), owner, info.st_mtime_ns)


def _still(folder: int, name: str, seen: Tuple[int, ...]) -> bool:
    return _exists(name, folder) and version(os.stat(name, dir_fd=folder, follow_symlinks=False)) == seen


def _digest(folder: int, name: str) -> str:
    with os.fdopen(os.open(name, _READING, dir_fd=folder), "rb") as file:
        return digest(file)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
