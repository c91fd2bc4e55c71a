# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where files are on this node. Places are asked for by name, never listed; readability is tried out as the user who will ingest them."""

from __future__ import annotations

import grp
import os
import pwd
import re
import stat
import time
from dataclasses import replace
from functools import lru_cache
from typing import Dict, List, Optional, Sequence, Tuple

from ..connect.command import Account, acting_as
from .filestate import DHS, STORAGE, Place
from .storage import NOT_REGULAR

_DATED = ("", "alopeke", "zorro", "igrins", "maroonx", "skycam")
_PLAIN = ("", "graces", "skycam", "obslogs", "masks")
_DATE = re.compile(r"(?=((?:19|20)\d\d[01]\d[0-3]\d))")
_LINK_OUT = "it is a link out of %s"


def likely(name: str) -> List[str]:
    """Directories below the storage root where a file of this name may be, without looking."""
    dates = dict.fromkeys(_DATE.findall(name))
    return list(_PLAIN) + [os.path.join(base, date) for date in dates for base in _DATED]


class Area:
    """One root. Nothing is followed out of it; ``unseen`` collects what was not looked into, and ``denied`` is that of it which could not be."""

    def __init__(self, kind: str, root: str, user: Account) -> None:
        self.kind = kind
        self.root = root
        self.user = user
        self.unseen: Dict[str, str] = {}
        self.denied = ""
        self._inside: Dict[str, bool] = {}

    def reason_unseen(self) -> str:
        """Why nothing can be said of what is in here; empty when the root can be looked into."""
        try:
            with_own = os.stat(self.root + "/.")
        except OSError as exc:
            return "the %s directory %s cannot be looked into: %s" % (self.kind, self.root, exc.strerror)
        return "" if stat.S_ISDIR(with_own.st_mode) else "%s is not a directory" % self.root

    def directory(self, path: str) -> Optional[str]:
        """A directory that is there and does not lead out."""
        full = os.path.join(self.root, path)
        return full if self._is_inside(full) and os.path.isdir(full) else None

    def reason(self, path: str) -> str:
        """Why a directory was not looked into; empty when it was."""
        return self.unseen.get(os.path.join(self.root, path) if path else self.root, "")

    def look(self, path: str, filename: str) -> Optional[Place]:
        """The file in one directory, or None."""
        directory = os.path.join(self.root, path) if path else self.root
        if not self._is_inside(directory):
            return None
        full = os.path.join(directory, filename)
        try:
            info = self._lstat(full)
        except PermissionError:
            self.denied = self.unseen[directory] = "%s cannot be looked into" % directory
            return None
        except (OSError, ValueError):  # not there, or no name that could be
            return None
        problem = ""
        if stat.S_ISLNK(info.st_mode):
            info, problem = self._resolved(full, info)
        if not problem and not stat.S_ISREG(info.st_mode):
            problem = NOT_REGULAR
        age = time.time() - info.st_mtime
        written = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(info.st_mtime))
        mode = "%04o" % stat.S_IMODE(info.st_mode)
        return Place(self.kind, path, filename, full, info.st_size, written, age, _owner(info.st_uid), _group(info.st_gid), mode, problem=problem)

    def found(self, full: str) -> Optional[Place]:
        """What a search of the tree has hit."""
        path = os.path.relpath(os.path.dirname(full), self.root)
        return self.look("" if path == "." else path, os.path.basename(full))

    def _lstat(self, full: str) -> os.stat_result:
        """With own rights; where a network file system gives root none, with those of the user."""
        try:
            return os.lstat(full)
        except PermissionError:
            with acting_as(self.user):
                return os.lstat(full)

    def _resolved(self, full: str, link: os.stat_result) -> Tuple[os.stat_result, str]:
        if not self._below(os.path.realpath(full)):
            return link, _LINK_OUT % self.root
        try:
            return os.stat(full), ""
        except OSError as exc:
            return link, "it is a link to nothing (%s)" % exc.strerror

    def _is_inside(self, directory: str) -> bool:
        if directory not in self._inside:
            self._inside[directory] = self._below(os.path.realpath(directory))
            if not self._inside[directory]:
                self.unseen[directory] = "%s is a link out of %s, and was not followed" % (directory, self.root)
        return self._inside[directory]

    def _below(self, real: str) -> bool:
        root = os.path.realpath(self.root)
        return real == root or real.startswith(root.rstrip("/") + "/")


def can_try(user: Account) -> bool:
    """Whether this process can take on the rights of a user."""
    return os.geteuid() in (0, user.uid)


def try_reading(places: Sequence[Place], user: Account) -> List[Place]:
    """The same places, with what stands between each and the user."""
    if not can_try(user):
        return [replace(place, readable=None) for place in places]
    passable: Dict[str, bool] = {}
    with acting_as(user):
        return [_tried(place, passable) for place in places]


def _tried(place: Place, passable: Dict[str, bool]) -> Place:
    if place.problem:
        return place
    blocked = next((part for part in _parts(os.path.dirname(os.path.realpath(place.full))) if not _enters(part, passable)), None)
    if blocked is None:
        try:
            os.close(os.open(place.full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except PermissionError:
            blocked = place.full
        except OSError as exc:
            return replace(place, problem="it cannot be read: %s" % exc.strerror)
    return replace(place, readable=blocked is None, blocked_at=blocked)


def _parts(directory: str) -> List[str]:
    """A directory and those above it, from the top."""
    parts = directory.strip("/").split("/") if directory.strip("/") else []
    return ["/"] + ["/" + "/".join(parts[: n + 1]) for n in range(len(parts))]


def _enters(directory: str, passable: Dict[str, bool]) -> bool:
    if directory not in passable:
        try:
            os.stat(directory + "/.")
            passable[directory] = True
        except PermissionError:
            passable[directory] = False
        except OSError:  # gone, which opening the file will say
            passable[directory] = True
    return passable[directory]


@lru_cache(maxsize=256)
def _owner(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


@lru_cache(maxsize=256)
def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def directories(kind: str, name: str, more: Sequence[str]) -> List[str]:
    """Where to look for a name in an area of one kind, without repeating any."""
    if kind == STORAGE:
        return list(dict.fromkeys([*more, *likely(name)]))
    if kind == DHS:
        return [""]
    return ["", *dict.fromkeys(_DATE.findall(name))]
