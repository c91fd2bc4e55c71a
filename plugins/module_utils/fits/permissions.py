# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Permissions of files that others copy in: looking with the user's real rights, changing modes by handle, and the way back."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from ..connect.below import NotBelow, below, by_handle, check_relative
from ..connect.command import account, acting_as
from ..connect.rights import ENTER, READ, identity, read_acl
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store
from .errors import FitsError
from .permission_plan import Entry, PermissionState, diagnose, image_of, left, plan

_REFUSED = (errno.EACCES, errno.EPERM)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Permissions(Procedure[PermissionState]):
    """Lets a user read the files of some directories."""

    name = "fits_permissions"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.user = account(params["user"])
        self.root: str = params["storage_root"]
        self.paths: Sequence[str] = list(dict.fromkeys(_path(each) for each in params["path"]))
        self.files: Sequence[str] = list(dict.fromkeys(_file(each) for each in params["files"]))
        self.limit: int = params["max_entries"]
        if not self.paths:
            raise FitsError("path names no directory: it takes directories relative to storage_root, for example graces")
        if not os.path.isabs(self.root):
            raise FitsError("storage_root must be an absolute path, not %r" % self.root)
        if os.geteuid() not in (0, self.user.uid):
            raise FitsError(
                "only root, or %s, can see what %s may read, and only root can mend the files of others; this module runs as user id %d"
                % (self.user.name, self.user.name, os.geteuid())
            )

    def observe(self) -> PermissionState:
        found: Dict[str, Entry] = {}
        names: Set[str] = set()
        for path in self.paths:
            for entry in self._way(path):
                found[entry.path] = _both(found.get(entry.path), entry)
            if not path or found[path].tried or os.geteuid() == 0:  # else nothing in it can be seen before the directory itself is mended
                looked = list(self._look(path))
                found.update((entry.path, entry) for entry in looked)
                names.update(os.path.basename(entry.path) for entry in looked)
            else:
                names.update(self.files)
        # Deepest last, so that a plan opens a directory before what is in it.
        entries = sorted(found.values(), key=lambda entry: (not entry.is_directory, entry.path.count("/"), entry.path))
        missing = tuple(name for name in self.files if name not in names)
        read_only = tuple(path for path in self.paths if self._is_read_only(path))
        return PermissionState(self.root, identity(self.user), os.geteuid(), tuple(entries), missing, self._shut(), read_only)

    def diagnose(self, state: PermissionState) -> List[Finding]:
        return diagnose(state)

    def plan(self, state: PermissionState) -> List[Change]:
        return plan(state)

    def guards(self, state: PermissionState, plan: Sequence[Change]) -> List[Refusal]:
        if not plan or not state.read_only:
            return []
        where = ", ".join(os.path.join(state.root, path) for path in state.read_only)
        return [Refusal("read_only", "the file system of %s is mounted read-only." % where, "find out why (often a failing disk), and remount it.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [change_mode(self.root, change) for change in changes]

    def facts(self, state: PermissionState) -> Mapping[str, Any]:
        return {"left": [each.to_dict() for each in left(state)[:1000]], "checked": len(state.entries)}

    def evidence(self, state: PermissionState) -> Mapping[str, Any]:
        return {"user": {"name": state.who.name, "uid": state.who.uid, "groups": sorted(state.who.gids)}}

    def context(self) -> Mapping[str, Any]:
        return {"storage_root": self.root}

    # -- looking -------------------------------------------------------------------------------------------------------

    def _way(self, path: str) -> Iterator[Entry]:
        """The directories from below the root to a path: each must be entered, the last one listed as well."""
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            need = ENTER | (READ if depth == len(parts) else 0)
            with _opened(self.root, part) as handle:
                info = os.fstat(handle)
                if not stat.S_ISDIR(info.st_mode):
                    kind = "a link, and no link is followed" if stat.S_ISLNK(info.st_mode) else "not a directory"
                    raise FitsError("%s is %s: check path and storage_root" % (os.path.join(self.root, part), kind))
                entry = _entry(part, info, need)
                with acting_as(self.user):
                    entry = _tried(entry, handle, ".", os.O_DIRECTORY | (os.O_RDONLY if need & READ else os.O_PATH))
                yield entry if entry.tried else replace(entry, acl=read_acl(by_handle(handle)))

    def _look(self, path: str) -> Iterator[Entry]:
        """The files of a directory, or those of them that were named."""
        with _opened(self.root, path) as handle:
            entries = [_entry(os.path.join(path, name), info, READ) for name, info in self._listing(handle, path)]
            with acting_as(self.user):
                entered = _can_enter(handle)
                if entered:
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
                    entries = [_tried(each, handle, os.path.basename(each.path), flags) if _can_be_tried(each) else each for each in entries]
            for entry in entries:
                yield self._with_acl(entry, handle) if _can_be_tried(entry) and not entry.tried else entry

    def _with_acl(self, entry: Entry, directory: int) -> Entry:
        try:
            with below(by_handle(directory), os.path.basename(entry.path)) as handle:
                if os.fstat(handle).st_ino != entry.inode:
                    return replace(entry, trouble="it was exchanged while it was looked at")
                return replace(entry, acl=read_acl(by_handle(handle)))
        except OSError as exc:
            return replace(entry, trouble=_unreadable(exc))

    def _listing(self, handle: int, path: str) -> Iterator[Tuple[str, os.stat_result]]:
        for name in self.files or self._names(handle, path):
            try:
                info = os.stat(name, dir_fd=handle, follow_symlinks=False)
            except OSError as exc:
                if exc.errno in _GONE:
                    continue
                raise FitsError("%s cannot be looked at: %s" % (os.path.join(self.root, path, name), exc.strerror)) from exc
            if not stat.S_ISDIR(info.st_mode):
                yield name, info
            elif self.files:
                raise FitsError("%s is a directory: directories go into path" % os.path.join(self.root, path, name))

    def _names(self, handle: int, path: str) -> List[str]:
        names: List[str] = []
        directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    names.append(entry.name)
                    if len(names) > self.limit:
                        full = os.path.join(self.root, path)
                        raise FitsError("%s has more than %d entries: name the files, or raise max_entries" % (full, self.limit))
        finally:
            os.close(directory)
        return names

    def _shut(self) -> str:
        """The first directory down to the root that the user cannot pass."""
        real = os.path.realpath(self.root)
        parts = [part for part in real.split("/") if part]
        with acting_as(self.user):
            for depth in range(len(parts) + 1):
                directory = "/" + "/".join(parts[:depth])
                try:
                    os.stat(os.path.join(directory, "."))
                except PermissionError:
                    return directory
        return ""

    def _is_read_only(self, path: str) -> bool:
        with _opened(self.root, path) as handle:
            return bool(os.statvfs(by_handle(handle)).f_flag & os.ST_RDONLY)


@contextmanager
def _opened(root: str, path: str) -> Iterator[int]:
    """``below``, with errors that a person can act on."""
    full = os.path.join(root, path)
    with ExitStack() as stack:
        try:
            handle = stack.enter_context(below(root, path))
        except NotBelow as exc:
            raise FitsError("%s, and no link is followed below storage_root" % exc) from exc
        except FileNotFoundError:
            raise FitsError("there is no %s: check path and storage_root" % full) from None
        except NotADirectoryError:
            raise FitsError("%s is not a directory all the way: check path and storage_root" % full) from None
        except OSError as exc:
            hint = "run this as root" if os.geteuid() else "a file server that maps root to nobody does that: run this as the user itself"
            raise FitsError("%s cannot be reached: %s; %s" % (full, exc.strerror, hint)) from exc
        yield handle


def _path(path: str) -> str:
    """Without what says nothing; empty for the root itself."""
    if path in ("", "."):
        return ""
    plain = path.rstrip("/") or path
    try:
        check_relative(plain)
    except NotBelow:
        raise FitsError("path %r must be a directory relative to storage_root, without . or .., for example graces" % path) from None
    return plain


def _file(name: str) -> str:
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise FitsError("%r is not the name of a file; directories go into path" % name)
    return name


def _entry(path: str, info: os.stat_result, need: int) -> Entry:
    shown = path.encode("utf-8", "backslashreplace").decode("utf-8")
    trouble = "" if shown == path else "its name is not valid UTF-8, so it cannot be ingested either"
    return Entry(shown, info.st_mode, info.st_uid, info.st_gid, info.st_dev, info.st_ino, info.st_nlink, need, None, None, trouble)


def _both(one: Optional[Entry], other: Entry) -> Entry:
    """A directory that is wanted twice needs what either needs."""
    if one is None:
        return other
    return replace(other, need=one.need | other.need, tried=bool(one.tried and other.tried), acl=one.acl or other.acl)


def _tried(entry: Entry, directory: int, name: str, flags: int) -> Entry:
    """Open it as the user, which is the only proof."""
    try:
        os.close(os.open(name, flags | os.O_CLOEXEC, dir_fd=directory))
    except OSError as exc:
        if exc.errno in _REFUSED:
            return replace(entry, tried=False)
        return replace(entry, tried=False, trouble=_unreadable(exc))
    return replace(entry, tried=True)


def _unreadable(exc: OSError) -> str:
    return "it cannot be read: %s" % (exc.strerror or exc)


def _can_be_tried(entry: Entry) -> bool:
    return stat.S_ISREG(entry.mode) and not entry.trouble


def _can_enter(handle: int) -> bool:
    try:
        os.stat(".", dir_fd=handle)
    except PermissionError:
        return False
    return True


# -- changing, and the way back ------------------------------------------------------------------------------------------


def change_mode(root: str, change: Change) -> Outcome:
    """Move one inode from ``before`` to ``after``, if it is still the one that was looked at and looks the same."""
    before, after = change.before or {}, change.after or {}
    try:
        with below(root, before["path"]) as handle:
            if _image(before["path"], handle) != before:
                return Outcome(False, "it was changed, replaced or removed since it was looked at: left alone")
            mode = int(after["mode"], 8)
            if (mode ^ int(before["mode"], 8)) & 0o070 and read_acl(by_handle(handle)) is not None:
                return Outcome(False, "it got an access control list since it was looked at: left alone")
            # By its handle: no other inode can slip in between, and a file that its owner may not read needs not be opened.
            os.chmod(by_handle(handle), mode)
    except (FileNotFoundError, NotADirectoryError, NotBelow):
        return Outcome(False, "it was changed, replaced or removed since it was looked at: left alone")
    except OSError as exc:
        raise FitsError("cannot change the mode of %s: %s" % (os.path.join(root, before["path"]), exc.strerror)) from exc
    return Outcome(True)


def _image(path: str, handle: int) -> Image:
    return image_of(_entry(path, os.fstat(handle), 0))


class PermissionStore(Store):
    """Modes of files below the root that a run was made on."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.root = str(header["storage_root"])

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        return [(self._now((change.before or change.after or {})["path"]), None) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        others = [change for change in plan if os.geteuid() not in (0, (change.before or {}).get("uid"))]
        if not others:
            return []
        reason = "%d files belong to other users, first %s: only root can change their mode." % (len(others), others[0].subject)
        return [Refusal("rights", reason, "run it as root.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [change_mode(self.root, change) for change in changes]

    def _now(self, path: str) -> Optional[Image]:
        try:
            with below(self.root, path) as handle:
                return _image(path, handle)
        except NotBelow:
            return None
        except OSError as exc:
            if exc.errno in _GONE:
                return None
            raise FitsError("%s cannot be looked at: %s" % (os.path.join(self.root, path), exc.strerror)) from exc
