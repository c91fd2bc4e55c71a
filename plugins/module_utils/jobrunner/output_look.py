# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the files that are to be removed, in every place that they lie in, without following a link."""

from __future__ import annotations

import difflib
import errno
import os
import re
import stat
from typing import Iterator, List, Mapping, Optional, Sequence, Tuple

from ..connect.below import NotBelow, below, by_handle
from .errors import JobRunnerError
from .manifest import Manifest
from .output_files import digest, version
from .output_quarantine import RESTORING, Quarantine
from .output_state import MEDIUM, Found, Obstacle, Output, OutputState, Producer, Root, Spot, Wanted

_GONE = (FileNotFoundError, NotADirectoryError)
_LINKS_SEARCHED = 20000
"""Entries that are looked at for the other names of a file."""
_ALIKE = 3
Seen = Tuple[Optional[Found], Optional[Obstacle]]


def observe(wanted: Wanted, manifest: Manifest, producers: Mapping[str, Sequence[Producer]], jobs_unknown: str) -> OutputState:
    """The files; manifest and database were read before."""
    _check_apart(wanted)
    away = tuple(_away(wanted.roots))
    roots = [root for root in wanted.roots if root.path not in dict(away)]
    _check_workspace(wanted, roots)
    quarantine = Quarantine(wanted.quarantine)
    outputs = tuple(_output(wanted, name, roots, manifest, quarantine, producers.get(name, ())) for name in wanted.files)
    shared = tuple(os.path.dirname(root.path) if root.kind == MEDIUM else root.path for root in wanted.roots)
    return OutputState(wanted, outputs, manifest, away, jobs_unknown, quarantine.trouble(shared) or _no_room(quarantine, outputs))


def _check_apart(wanted: Wanted) -> None:
    """Originals stay, whatever the options say."""
    high = os.path.realpath(wanted.high)
    for root in wanted.roots:
        real = os.path.realpath(root.path)
        if os.path.commonpath((real, high)) in (real, high):
            options = "medium_privacy_base and high_privacy_base" if root.kind == MEDIUM else "sync_sources and high_privacy_base"
            raise JobRunnerError("%s has the originals of level 3 (%s), which are never removed: check %s" % (root.path, wanted.high, options))


def _no_room(quarantine: Quarantine, outputs: Sequence[Output]) -> str:
    """Files of other file systems are copied to the quarantine, all of them before any copy may be deleted."""
    try:
        place = os.open(quarantine.path if os.path.lexists(quarantine.path) else os.path.dirname(quarantine.path), os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return ""  # told as its trouble
    try:
        device, room = os.fstat(place).st_dev, os.statvfs(by_handle(place))
    finally:
        os.close(place)
    needed = sum(spot.found.size for output in outputs for spot in output.spots if spot.found and spot.found.version[0] != device)
    free = (room.f_bavail if os.geteuid() else room.f_bfree) * room.f_frsize
    return "%d bytes are to be copied to it from other file systems, and it has room for %d" % (needed, free) if needed > free else ""


def _away(roots: Sequence[Root]) -> Iterator[Tuple[str, str]]:
    """A source that is not mounted hides files that will come back with it. Without the main root there is nothing to do."""
    for root in roots:
        why = _unseen(root)
        if why and root.kind == MEDIUM:
            raise JobRunnerError("%s cannot be read: %s; check medium_privacy_base, and run this as root or opensafely" % (root.path, why))
        if why:
            yield root.path, why


def _unseen(root: Root) -> str:
    try:
        names = os.listdir(root.path)
    except OSError as exc:
        return str(exc.strerror)
    return "" if names or root.kind == MEDIUM else "it is empty, as a mount point is where nothing is mounted"


def _check_workspace(wanted: Wanted, roots: Sequence[Root]) -> None:
    known: List[str] = []
    for base in [*(root.path for root in roots), wanted.high]:
        try:
            info = os.stat(os.path.join(base, wanted.workspace), follow_symlinks=False)
        except OSError:
            known += _names(base)
            continue
        if stat.S_ISLNK(info.st_mode):
            raise JobRunnerError("%s is a link, and no link is followed: name the workspace itself" % os.path.join(base, wanted.workspace))
        return
    close = difflib.get_close_matches(wanted.workspace, sorted(set(known)), _ALIKE)
    hint = "did you mean %s" % " or ".join(close) if close else "check workspace and medium_privacy_base"
    raise JobRunnerError("there is no workspace %s in %s, nor in %s: %s" % (wanted.workspace, wanted.medium, wanted.high, hint))


def _output(wanted: Wanted, name: str, roots: Sequence[Root], manifest: Manifest, quarantine: Quarantine, producers: Sequence[Producer]) -> Output:
    spots = tuple(_spot(wanted, root, name, quarantine) for root in roots)
    original = size_of(wanted.high, wanted.path(name))
    nowhere = original is None and not any(spot.found or spot.obstacle or spot.copies for spot in spots)
    note = size_of(wanted.medium, wanted.path(name + ".txt")) is not None
    alike = tuple(_alike(wanted, name)) if nowhere else ()
    entry = manifest.outputs.get(name)
    return Output(name, spots, original, note, entry if isinstance(entry, dict) else None, tuple(producers), alike)


def _spot(wanted: Wanted, root: Root, name: str, quarantine: Quarantine) -> Spot:
    path = wanted.path(name)
    found, obstacle = look(root.path, path)
    copies = tuple(quarantine.copies(root.path, path, found.sha256 if found else "", wanted.purge))
    free = max((copy.number for copy in copies), default=0) + 1
    return Spot(root, path, found, obstacle, copies, free, tuple(_unfinished(root.path, path)))


def look(root: str, path: str) -> Seen:
    """A file that can be removed, or why it cannot; neither where there is none."""
    full = os.path.join(root, path)
    try:
        with below(root, path) as handle:
            info = os.fstat(handle)
            obstacle = _obstacle(full, info)
            if obstacle is None and info.st_nlink > 1:
                obstacle = _hard_linked(root, path, info)
            if obstacle is not None:
                return None, obstacle
            with open(by_handle(handle), "rb") as file:
                sha256 = digest(file)
            info = os.fstat(handle)
    except _GONE:
        return None, None
    except NotBelow as exc:
        return None, Obstacle("link", "%s; no link is followed." % exc, "name the file where it really lies, if that is in this workspace.")
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            return None, None
        hint = "run this as root, or as the owner." if exc.errno == errno.EACCES else "mend that first."
        return None, Obstacle("unreadable", "%s cannot be read: %s." % (full, exc.strerror), hint)
    return Found(info.st_size, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns, sha256, version(info)), unwritable(root, path)


def _obstacle(full: str, info: os.stat_result) -> Optional[Obstacle]:
    if stat.S_ISREG(info.st_mode):
        return None
    if stat.S_ISLNK(info.st_mode):
        return Obstacle("link", "%s is a link, and no link is followed." % full, "name the file that it leads to, or remove the link by hand.")
    if stat.S_ISDIR(info.st_mode):
        return Obstacle("directory", "%s is a directory." % full, "name the files in it, each by itself.")
    return Obstacle("special", "%s is neither a file nor a directory (a pipe, socket or device)." % full, "find out what made it; job-runner did not.")


def _hard_linked(root: str, path: str, info: os.stat_result) -> Obstacle:
    others = _other_names(root, path, info)
    where = "also as %s" % ", ".join(others) if others else "the others are not in this workspace"
    reason = "%s has %d names (hard links), %s: what is in it would stay." % (os.path.join(root, path), info.st_nlink, where)
    return Obstacle("hard_link", reason, "remove the other names by hand first; job-runner makes none.")


def _other_names(root: str, path: str, info: os.stat_result) -> List[str]:
    workspace = path.split("/", maxsplit=1)[0]
    others: List[str] = []
    looked = 0
    for folder, _folders, files in os.walk(os.path.join(root, workspace)):
        for name in files:
            looked += 1
            full = os.path.join(folder, name)
            try:
                each = os.stat(full, follow_symlinks=False)
            except OSError:
                continue
            if (each.st_dev, each.st_ino) == (info.st_dev, info.st_ino) and full != os.path.join(root, path):
                others.append(os.path.relpath(full, os.path.join(root, workspace)))
        if len(others) >= info.st_nlink - 1 or looked > _LINKS_SEARCHED:
            break
    return sorted(others)


def unwritable(root: str, path: str) -> Optional[Obstacle]:
    """Why a file can be neither taken out of its directory nor put back."""
    directory = os.path.dirname(path)
    try:
        with below(root, directory) as handle:
            if os.access(by_handle(handle), os.W_OK | os.X_OK):
                return None
            read_only = os.statvfs(by_handle(handle)).f_flag & os.ST_RDONLY
    except (OSError, NotBelow):  # it was there a moment ago; what becomes of it is seen when it is to be moved
        return None
    full = os.path.join(root, directory)
    if read_only:
        return Obstacle("read_only", "the file system of %s is mounted read-only." % full, "have it mounted for writing, or do this on the other side.")
    return Obstacle("rights", "this user may not change what lies in %s." % full, "run this as root, or as the directory's owner.")


def _unfinished(root: str, path: str) -> Iterator[str]:
    """Copies on their way to this name, or left by a program that was killed: rsync's, job-runner's and those of an undo."""
    directory, base = os.path.split(path)
    pattern = re.compile(r"\.%s\.[A-Za-z0-9]{6}|%s\.[0-9a-f]{16}\.tmp|%s" % tuple(map(re.escape, (base, base, RESTORING))))
    return (name for name in sorted(_names_below(root, directory)) if pattern.fullmatch(name))


def _alike(wanted: Wanted, name: str) -> List[str]:
    directory, base = os.path.split(name)
    names = set(_names_below(wanted.medium, os.path.dirname(wanted.path(name)))) | set(_names_below(wanted.high, os.path.dirname(wanted.path(name))))
    return [os.path.join(directory, each) for each in difflib.get_close_matches(base, sorted(names), _ALIKE)]


def _names_below(root: str, directory: str) -> List[str]:
    try:
        with below(root, directory) as handle:
            return _names(by_handle(handle)) if stat.S_ISDIR(os.fstat(handle).st_mode) else []
    except (OSError, NotBelow):
        return []


def _names(path: str) -> List[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def size_of(root: str, path: str) -> Optional[int]:
    """Of a regular file that no link leads to."""
    try:
        with below(root, path) as handle:
            info = os.fstat(handle)
    except (OSError, NotBelow):
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None
