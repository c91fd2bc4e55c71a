# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems and what is in them: space, the newest file, what files add up to. Bounded, and no link is followed."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import time
from typing import Iterator, List, NamedTuple, Optional, Set, Tuple

_ESCAPED = re.compile(r"\\([0-7]{3})")
_SNAPSHOTS = (".snapshot", ".snapshots", ".zfs/snapshot")
"""Where file systems and appliances keep them; often no listing shows them and yet they answer to their name."""


class Mount(NamedTuple):
    """One line of mountinfo."""

    device: Tuple[int, int]
    mount_point: str
    type: str
    source: str
    read_only: bool


class FileSystem(NamedTuple):
    """The file system that a path is on; sizes in bytes. ``available`` is what is left to users other than root."""

    mount: Mount
    device: int
    size: int
    used: int
    available: int
    inodes: int
    inodes_available: int

    def share(self) -> float:
        """What is available of what users other than root could have, as df counts it."""
        usable = self.used + self.available
        return self.available / usable if usable else 0.0

    def inode_share(self) -> float:
        return self.inodes_available / self.inodes if self.inodes else 1.0


class Newest(NamedTuple):
    """The regular file that was written last; ``path`` is None when there is none."""

    path: Optional[str]
    mtime: float
    entries: int
    complete: bool


class Sum(NamedTuple):
    """What files take on disk."""

    size: int
    entries: int
    complete: bool


def mounts(path: str = "/proc/self/mountinfo") -> List[Mount]:
    """All that is mounted, in order: where two are mounted at one place the later one hides the other."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return [mount for mount in map(_mount, file) if mount]


def _mount(line: str) -> Optional[Mount]:
    left, dash, right = line.partition(" - ")
    one, two = left.split(" "), right.split(" ")
    if not dash or len(one) < 6 or len(two) < 3:
        return None
    major, _colon, minor = one[2].partition(":")
    # Either the mount or the file system under it may be read-only.
    read_only = "ro" in one[5].split(",") or "ro" in two[2].strip().split(",")
    return Mount((int(major), int(minor)), _unescaped(one[4]), two[0], _unescaped(two[1]), read_only)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 8)), text)


def mount_of(path: str, table: List[Mount]) -> Optional[Mount]:
    """The mount that a path lies in: the longest that it starts with, the last of those."""
    real = os.path.realpath(path)
    found = None
    for mount in table:
        inside = real == mount.mount_point or real.startswith(mount.mount_point.rstrip("/") + "/")
        if inside and (found is None or len(mount.mount_point) >= len(found.mount_point)):
            found = mount
    return found


def file_system(path: str, table: Optional[List[Mount]] = None) -> FileSystem:
    """Raises OSError where the path does not exist or the file system does not answer."""
    answer, device = os.statvfs(path), os.stat(path).st_dev
    mount = mount_of(path, mounts() if table is None else table)
    if mount is None:
        mount = Mount((os.major(device), os.minor(device)), "", "unknown", "", bool(answer.f_flag & os.ST_RDONLY))
    block = answer.f_frsize
    return FileSystem(
        mount,
        device,
        answer.f_blocks * block,
        (answer.f_blocks - answer.f_bfree) * block,
        answer.f_bavail * block,
        answer.f_files,
        answer.f_favail,
    )


def snapshots(*places: str) -> List[str]:
    """Directories of snapshots in these places, hidden or not."""
    candidates = (os.path.join(place, name) for place in dict.fromkeys(places) for name in _SNAPSHOTS)
    return [path for path in candidates if _is_directory(path)]


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def newest(path: str, match: str = "*", depth: int = 1, max_entries: int = 100000, seconds: float = 5.0) -> Newest:
    """The newest regular file in a directory and ``depth - 1`` levels below, or the file itself."""
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        return Newest(path, status.st_mtime, 1, True)
    walk = _Walk(path, max_entries, seconds)
    found: Optional[str] = None
    latest = 0.0
    for level, entry, seen in walk.entries(depth):
        if stat.S_ISREG(seen.st_mode) and (found is None or seen.st_mtime > latest) and fnmatch.fnmatchcase(entry.name, match) and level <= depth:
            found, latest = entry.path, seen.st_mtime
    return Newest(found, latest, walk.count, walk.complete)


def add_up(path: str, max_entries: int = 100000, seconds: float = 5.0) -> Sum:
    """What the files of one file system below a path take; a file of several names counts once."""
    top = os.lstat(path)
    walk = _Walk(path, max_entries, seconds, top.st_dev)
    size = top.st_blocks * 512
    known: Set[int] = set()
    for _level, _entry, seen in walk.entries(None):
        if seen.st_nlink > 1 and not stat.S_ISDIR(seen.st_mode):
            if seen.st_ino in known:
                continue
            known.add(seen.st_ino)
        size += seen.st_blocks * 512
    return Sum(size, walk.count, walk.complete)


class _Walk:
    """Goes through directories until it has seen all, or enough."""

    def __init__(self, path: str, max_entries: int, seconds: float, device: Optional[int] = None) -> None:
        self.path = path
        self.max_entries = max_entries
        self.deadline = time.monotonic() + seconds
        self.device = device
        self.count = 0
        self.complete = True

    def entries(self, depth: Optional[int]) -> Iterator[Tuple[int, os.DirEntry[str], os.stat_result]]:
        waiting = [(self.path, 1)]
        while waiting:
            directory, level = waiting.pop()
            for entry, seen in self._listed(directory, level == 1):
                yield level, entry, seen
                if stat.S_ISDIR(seen.st_mode) and (depth is None or level < depth):
                    waiting.append((entry.path, level + 1))
            if self._spent():
                self.complete = self.complete and not waiting
                return

    def _listed(self, directory: str, first: bool) -> Iterator[Tuple[os.DirEntry[str], os.stat_result]]:
        try:
            with os.scandir(directory) as listing:
                for entry in listing:
                    if self._spent():
                        self.complete = False
                        return
                    self.count += 1
                    try:
                        seen = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # deleted meanwhile
                        continue
                    if self.device in {None, seen.st_dev}:
                        yield entry, seen
        except OSError:
            if first:
                raise
            self.complete = False  # what may not be listed is not known

    def _spent(self) -> bool:
        return self.count >= self.max_entries or time.monotonic() > self.deadline
