# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single steps with files that are reached by the handles of their directories."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import stat
from typing import IO, Any, Optional, Tuple

from ..connect.below import below, by_handle
from .errors import JobRunnerError

_NOREPLACE = 1
_CHUNK = 1024 * 1024
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def version(info: os.stat_result) -> Tuple[int, ...]:
    """Differs after every write, replacement and, in its last number, rename."""
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


def move(folder: int, name: str, target: int, new: str) -> None:
    """Rename without ever replacing anything."""
    if not _renamed(folder, name, target, new):
        # The file system cannot (a Windows share, an old kernel). What appears between these two calls would be replaced.
        with contextlib.suppress(FileNotFoundError):
            os.stat(new, dir_fd=target, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, "%s is there already" % new)
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=target)


def _renamed(folder: int, name: str, target: int, new: str) -> bool:
    """renameat2(2), which Python does not have. False where it is not supported."""
    call: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(folder, os.fsencode(name), target, os.fsencode(new), _NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _UNSUPPORTED:
        return False
    raise OSError(code, os.strerror(code), name)


def digest(file: IO[bytes]) -> str:
    """From where the file stands to its end."""
    known = hashlib.sha256()
    for chunk in iter(lambda: file.read(_CHUNK), b""):
        known.update(chunk)
    return known.hexdigest()


def copy_data(source: IO[bytes], target: IO[bytes]) -> None:
    """On disk, with the list of who may do what, and read back."""
    known = hashlib.sha256()
    for chunk in iter(lambda: source.read(_CHUNK), b""):
        known.update(chunk)
        target.write(chunk)
    for name in _listed(source.fileno()):
        with contextlib.suppress(OSError):  # not every file system keeps them, and some are root's
            os.setxattr(target.fileno(), name, os.getxattr(source.fileno(), name))
    target.flush()
    os.fsync(target.fileno())
    target.seek(0)
    if digest(target) != known.hexdigest():
        raise JobRunnerError("a copy came back from the disk with another content than was written; the file was left where it is")


def _listed(handle: int) -> Tuple[str, ...]:
    try:
        return tuple(os.listxattr(handle))
    except OSError:
        return ()


def may_give(uid: int, gid: int) -> bool:
    """Whether this user may make a file of its own one of these."""
    return os.geteuid() == 0 or (os.geteuid() == uid and gid in (os.getegid(), *os.getgroups()))


def same_attributes(folder: int, name: str, mode: int, owner: Optional[Tuple[int, int]], mtime_ns: int) -> None:
    """Set what differs, owner first: to change it clears special bits."""
    with below(by_handle(folder), name) as handle:
        if stat.S_ISLNK(os.fstat(handle).st_mode):
            raise FileNotFoundError(errno.ENOENT, "it is a link", name)
        info, path = os.fstat(handle), by_handle(handle)
        if owner is not None and owner != (info.st_uid, info.st_gid):
            os.chown(path, *owner)
        if stat.S_IMODE(os.fstat(handle).st_mode) != mode:
            os.chmod(path, mode)
        if info.st_mtime_ns != mtime_ns:
            os.utime(path, ns=(info.st_atime_ns, mtime_ns))


def sync(folder: int) -> None:
    """A directory's names to disk. ``folder`` may be a handle without any rights."""
    with contextlib.suppress(PermissionError):  # a directory that may be written and not read
        handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            os.fsync(handle)
        except OSError as exc:
            if exc.errno != errno.EINVAL:  # some file systems have nothing to sync
                raise
        finally:
            os.close(handle)
