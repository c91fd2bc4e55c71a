# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``startup_options.json`` in a node's data folder, which the node reads when it starts and at no other time.

It is validated before anything is written, merged with what is there, and exchanged in one stroke; no link is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

from ..procedure.envelope import Image, Outcome
from .config_read import parse
from .config_saved import name_of
from .errors import SesamError
from .metadata import switch

FILE = "startup_options.json"
CHANGED = "the file was changed since it was looked at: left alone"
_LIMIT = 1 << 20
_NEW = ".startup_options.json.fieldops"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Options:
    """The file as it lies there. ``data`` is None where there is none."""

    folder: str
    data: Optional[bytes] = field(default=None, repr=False)
    written: float = 0.0
    version: str = "absent"
    """Names this very content in this very file."""
    unwritable: str = ""
    """Why this user cannot replace it."""

    @property
    def path(self) -> str:
        return os.path.join(self.folder, FILE)

    @property
    def document(self) -> Dict[str, Any]:
        """What is in it; an error says at which place it is no JSON object."""
        if self.data is None:
            return {}
        found = parse(self.data, self.path)
        if not isinstance(found, dict):
            raise SesamError("%s holds no JSON object: nothing can be merged into it" % self.path, kind="bad_request")
        return found

    def image(self, key: str) -> Optional[Image]:
        return image_of(self.data, self.document, key, self.path)


def image_of(data: Optional[bytes], document: Mapping[str, Any], key: str, path: str = FILE) -> Optional[Image]:
    """What the file is, for a plan and a journal: its switch, and a name for all of it, under which it is also saved."""
    return None if data is None else dict(switch(document, key, path), file=name_of(data))


def text_of(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode("ascii")


def read_options(folder: str) -> Options:
    """The file of a folder. What is no plain file is refused."""
    parent = _open_folder(folder)
    try:
        data, written, version = _read(parent, folder)
        return Options(folder, data, written, version, _unwritable(parent, folder))
    finally:
        os.close(parent)


def write_options(folder: str, version: str, data: Optional[bytes]) -> Outcome:
    """Replace the file as a whole, keeping owner and mode, or remove it, if it is still the one that was looked at."""
    parent = _open_folder(folder)
    try:
        if _read(parent, folder)[2] != version:
            return Outcome(False, CHANGED)
        if data is None:
            os.unlink(FILE, dir_fd=parent)
        elif not _replace(parent, folder, version, data):
            return Outcome(False, CHANGED)
        os.fsync(parent)
    except OSError as exc:
        raise SesamError("%s cannot be written: %s" % (os.path.join(folder, FILE), exc.strerror), kind="conflict") from exc
    finally:
        os.close(parent)
    return Outcome(True)


def _open_folder(folder: str) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise SesamError("the data folder %s cannot be read: %s" % (folder, exc.strerror), kind="not_found") from exc


def _read(parent: int, folder: str) -> Tuple[Optional[bytes], float, str]:
    path = os.path.join(folder, FILE)
    try:
        handle = os.open(FILE, _FLAGS, dir_fd=parent)
    except FileNotFoundError:
        return None, 0.0, "absent"
    except OSError as exc:
        if _is_link(parent):
            raise SesamError("%s is a link, which is not followed: put a file in its place" % path, kind="conflict") from exc
        raise SesamError("%s cannot be read: %s" % (path, exc.strerror), kind="conflict") from exc
    info = os.fstat(handle)
    if not stat.S_ISREG(info.st_mode) or info.st_size > _LIMIT:
        os.close(handle)
        raise SesamError("%s is not a file of at most %d bytes" % (path, _LIMIT), kind="conflict")
    with os.fdopen(handle, "rb") as file:
        data = file.read(_LIMIT)
    return data, info.st_mtime, "%d %s" % (info.st_ino, hashlib.sha256(data).hexdigest())


def _is_link(parent: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(FILE, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _unwritable(parent: int, folder: str) -> str:
    if os.geteuid() == 0:
        return ""
    with contextlib.suppress(FileNotFoundError):
        if os.stat(FILE, dir_fd=parent, follow_symlinks=False).st_uid != os.geteuid():
            return "%s belongs to another user, and must go on doing so." % os.path.join(folder, FILE)
    return "" if os.access(folder, os.W_OK | os.X_OK) else "%s is not writable for this user." % folder


def _replace(parent: int, folder: str, version: str, data: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_NEW, dir_fd=parent)  # of a run that was killed here
    try:
        _write_new(parent, data)
        if _read(parent, folder)[2] != version:
            return False
        os.rename(_NEW, FILE, src_dir_fd=parent, dst_dir_fd=parent)
        return True
    finally:
        with contextlib.suppress(FileNotFoundError):  # unless it has become the file
            os.unlink(_NEW, dir_fd=parent)


def _write_new(parent: int, data: bytes) -> None:
    """With the owner and mode of the file that it replaces; a first one belongs to the folder's owner, which is the node's user."""
    try:
        like, mode = os.stat(FILE, dir_fd=parent, follow_symlinks=False), None
    except FileNotFoundError:
        like, mode = os.fstat(parent), 0o644
    handle = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        made = os.fstat(handle)
        if (made.st_uid, made.st_gid) != (like.st_uid, like.st_gid) and os.geteuid() == 0:
            os.fchown(handle, like.st_uid, like.st_gid)
        os.fchmod(handle, stat.S_IMODE(like.st_mode) if mode is None else mode)
        os.fsync(handle)
