# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal of level 4 files is about: names, places, and what was seen there. No I/O."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.below import NotBelow, check_relative
from .errors import JobRunnerError
from .manifest import Manifest

METADATA = "metadata"
MANIFEST = "metadata/manifest.json"
MEDIUM, SOURCE = "medium", "sync source"
"""Kinds of places that a file is removed from."""
_LEVEL4 = "D:\\Level4Files\\workspaces"


@dataclass(frozen=True)
class Root:
    """A directory that holds one directory per workspace."""

    path: str
    kind: str


@dataclass(frozen=True)
class Wanted:
    """What was asked for, checked as far as that goes without looking."""

    workspace: str
    files: Tuple[str, ...]
    roots: Tuple[Root, ...]
    """In the order in which a file goes: what would bring it back comes first."""
    high: str
    """Directory of the originals."""
    quarantine: str
    drop_entry: bool = False
    purge: bool = False
    level4: str = _LEVEL4

    @property
    def medium(self) -> str:
        return self.roots[-1].path

    def path(self, name: str) -> str:
        """Below any of the roots."""
        return "%s/%s" % (self.workspace, name)

    def on_level4(self, name: str) -> str:
        """As Windows spells it; empty where there is no such place."""
        return "\\".join([self.level4.rstrip("\\"), *self.path(name).split("/")]) if self.level4 else ""


@dataclass(frozen=True)
class Found:
    """A regular file. ``version`` changes with every write, rename and replacement."""

    size: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    sha256: str
    version: Tuple[int, ...] = field(default=(), compare=False)

    def image(self) -> Dict[str, Any]:
        return {"size": self.size, "sha256": self.sha256, "mode": "%04o" % self.mode, "uid": self.uid, "gid": self.gid, "mtime_ns": self.mtime_ns}


@dataclass(frozen=True)
class Obstacle:
    """Why a file cannot be removed as it lies there, and what would help."""

    guard: str
    reason: str
    allow: str


@dataclass(frozen=True)
class Copy:
    """What an earlier removal left in quarantine. ``purged``: only the note that it was there."""

    number: int
    name: str
    path: str
    size: int
    at: float
    purged: bool = False
    sha256: str = ""
    """Only where the copy is about to be deleted."""

    @property
    def unfinished(self) -> bool:
        """A run that was killed had removed the file, and did not give its copy the final name."""
        return self.name != os.path.basename(self.path) and not self.purged


@dataclass(frozen=True)
class Spot:
    """One file in one place."""

    root: Root
    path: str
    found: Optional[Found] = None
    obstacle: Optional[Obstacle] = None
    copies: Tuple[Copy, ...] = ()
    free: int = 1
    """Number of the next copy."""
    unfinished: Tuple[str, ...] = ()
    """Files that a copy to this one was written to: rsync's and job-runner's own temporary names."""

    @property
    def full(self) -> str:
        return os.path.join(self.root.path, self.path)


@dataclass(frozen=True)
class Producer:
    """A job whose action makes the file. ``active``: it will copy it again."""

    job_id: str
    action: str
    code: str
    active: bool
    level: Optional[str] = None
    """Privacy level that it gave the file; None while it is not known."""

    def to_dict(self) -> Dict[str, Any]:
        return {"job_id": self.job_id, "action": self.action, "status_code": self.code, "active": self.active, "level": self.level}


@dataclass(frozen=True)
class Output:
    """One file in all its places."""

    name: str
    spots: Tuple[Spot, ...]
    original: Optional[int] = None
    """Size of the original of level 3; None where there is none."""
    note: bool = False
    entry: Optional[Mapping[str, Any]] = None
    """What the manifest says of it."""
    producers: Tuple[Producer, ...] = ()
    alike: Tuple[str, ...] = ()
    """Names that it may have been meant for, where it is nowhere."""

    @property
    def present(self) -> List[Spot]:
        return [spot for spot in self.spots if spot.found]

    @property
    def level(self) -> Optional[str]:
        """Privacy level as the last job left it; the manifest has only what is at level 4."""
        levels = [each.level for each in self.producers if not each.active and each.level]
        return levels[0] if levels else (self.entry or {}).get("level")

    @property
    def stays_high(self) -> bool:
        """No run copies it to level 4, as long as project.yaml is not changed."""
        return self.level == "highly_sensitive"

    @property
    def removals(self) -> List[Copy]:
        return [copy for spot in self.spots for copy in spot.copies]


@dataclass(frozen=True)
class OutputState:
    wanted: Wanted
    outputs: Tuple[Output, ...]
    manifest: Manifest
    away: Tuple[Tuple[str, str], ...] = ()
    """Sync sources that cannot be looked into, and why."""
    jobs_unknown: str = ""
    """Why the database was not asked."""
    quarantine_trouble: str = ""


# -- what may be named ---------------------------------------------------------------------------------------------------


def checked_workspace(name: str) -> str:
    try:
        check_relative(name)
    except NotBelow:
        raise JobRunnerError("workspace %r must be the name of one workspace's directory, for example my-study" % name) from None
    if "/" in name:
        raise JobRunnerError("workspace %r must be the name of one workspace's directory, without a slash" % name)
    return _utf8(name, "workspace")


def checked_files(names: Sequence[str]) -> Tuple[str, ...]:
    """Names relative to the workspace, each once."""
    if not names:
        raise JobRunnerError("files names no file: it takes paths relative to the workspace's directory, for example output/table.csv")
    return tuple(dict.fromkeys(_checked_file(name) for name in names))


def _checked_file(name: str) -> str:
    try:
        check_relative(name)
    except NotBelow:
        raise JobRunnerError(
            "files has %r: it takes exact paths relative to the workspace's directory, without . and .., without a slash at either end, "
            "for example output/table.csv" % name
        ) from None
    first = name.split("/", maxsplit=1)[0].casefold()  # a sync source may lie on a file system that does not tell case apart
    if first == METADATA or name.casefold() == "manifest.json":
        raise JobRunnerError("files has %r: manifest and metadata belong to job-runner and are not removed; files takes outputs only" % name)
    return _utf8(name, "files")


def _utf8(name: str, option: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise JobRunnerError("%s has %r, which is not UTF-8; such a file can only be removed by hand" % (option, name)) from None
    return name


def checked_roots(medium: str, sources: Sequence[str]) -> Tuple[Root, ...]:
    for path in (medium, *sources):
        if not os.path.isabs(path):
            raise JobRunnerError("%r must be an absolute path: medium_privacy_base and sync_sources are directories of the node" % path)
    workspaces = os.path.normpath(os.path.join(medium, "workspaces"))
    plain = [os.path.normpath(path) for path in sources]
    if workspaces in plain:
        raise JobRunnerError("sync_sources has %s itself; it takes the directories that are copied there, for example /e/FILESFORL4/workspaces" % workspaces)
    return (*(Root(path, SOURCE) for path in dict.fromkeys(plain)), Root(workspaces, MEDIUM))


def checked_quarantine(path: str, roots: Sequence[Root]) -> str:
    """Outside of what is synced or may be read by others."""
    if not os.path.isabs(path):
        raise JobRunnerError("quarantine_dir must be an absolute path, not %r" % path)
    plain = os.path.normpath(path)
    for root in roots:
        shared = os.path.dirname(root.path) if root.kind == MEDIUM else root.path
        if plain == shared or plain.startswith(shared + "/"):
            raise JobRunnerError("quarantine_dir %s lies below %s, which others read and what level 4 is copied from; choose a place outside" % (plain, shared))
    return plain
