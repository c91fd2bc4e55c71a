# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the user of FITS Storage cannot read: what is so, and the smallest change of mode that mends it. Pure."""

from __future__ import annotations

import os
import shlex
import stat
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Set, Tuple, Union

from ..connect.rights import ENTER, GROUP, LISTED, OTHER, OWNER, READ, Acl, Identity, decide
from ..procedure.envelope import Change, Finding, Image, Remedy

RUNBOOK = ("fits.rst", "GRACES")
_SHIFT = {OWNER: 6, GROUP: 3, OTHER: 0}
_SHOWN = 20


@dataclass(frozen=True)
class Entry:
    """A file or directory below the root. ``need`` are the bits that the user needs on it."""

    path: str
    mode: int
    uid: int
    gid: int
    device: int
    inode: int
    links: int
    need: int
    tried: Optional[bool] = None
    """Whether the user got it when it was tried; ``None`` when it could not be tried, behind a directory that is shut."""
    acl: Optional[Acl] = None
    trouble: str = ""
    """An error that is not about rights."""

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True)
class PermissionState:
    """All that was looked at. ``runner`` is the user id that would make the changes."""

    root: str
    who: Identity
    runner: int
    entries: Tuple[Entry, ...]
    missing: Tuple[str, ...] = ()
    shut: str = ""
    """The first directory on the way to the root that the user cannot enter."""
    read_only: Tuple[str, ...] = ()
    """Directories on file systems that are mounted read-only."""


@dataclass(frozen=True)
class Left:
    """What no change of mode mends, or may mend. ``what`` is link, special, or unmendable."""

    path: str
    what: str
    why: str
    mend: str

    def to_dict(self) -> Dict[str, str]:
        return {"path": self.path, "why": self.why, "mend": self.mend}


def image_of(entry: Entry, mode: Optional[int] = None) -> Image:
    bits = stat.S_IMODE(entry.mode if mode is None else mode)
    return {"path": entry.path, "mode": "%04o" % bits, "uid": entry.uid, "gid": entry.gid, "inode": entry.inode}


def plan(state: PermissionState) -> List[Change]:
    """Directories before what is in them; one change for each inode, however many names it has."""
    changes: List[Change] = []
    planned: Set[Tuple[int, int]] = set()
    for entry in state.entries:
        outcome = _judge(state, entry)
        if isinstance(outcome, Change) and (entry.device, entry.inode) not in planned:
            planned.add((entry.device, entry.inode))
            changes.append(outcome)
    return changes


def left(state: PermissionState) -> List[Left]:
    return [outcome for outcome in (_judge(state, entry) for entry in state.entries) if isinstance(outcome, Left)]


def _judge(state: PermissionState, entry: Entry) -> Union[Change, Left, None]:
    """A change, a Left, or nothing for what is as it should be."""
    name = state.who.name
    if stat.S_ISLNK(entry.mode):
        return Left(entry.path, "link", "it is a link, and no link is followed", "look into the directory that it leads to")
    if not entry.is_directory and not stat.S_ISREG(entry.mode):
        return Left(entry.path, "special", "it is neither a file nor a directory", "find out who put it there")
    if entry.trouble:
        return Left(entry.path, "unmendable", entry.trouble, "ask those who run the file server or disk")
    kind, granted = decide(state.who, entry.uid, entry.gid, entry.mode, entry.acl, entry.need)
    lacking = entry.need & ~granted
    if entry.tried or (entry.tried is None and not lacking):
        return None
    full = "%s/%s" % (state.root.rstrip("/"), entry.path)
    if not lacking:
        why = "mode %04o and owner let %s in, and yet it is refused: by a file server that maps users, or a security module" % (stat.S_IMODE(entry.mode), name)
        return Left(entry.path, "unmendable", why, "ask those who run the file server (exports, root squash, identity mapping), then look into the audit log")
    if kind == LISTED:
        wanted = "setfacl -m u:%s:%s %s" % (name, _letters(entry.need | granted), shlex.quote(full))
        return Left(entry.path, "unmendable", "its access control list decides for %s" % name, wanted)
    if state.runner not in (0, entry.uid) or (state.runner and entry.mode & stat.S_ISGID and entry.gid not in state.who.gids):
        return Left(entry.path, "unmendable", "only root may change its mode without side effects (its owner is uid %d)" % entry.uid, "run this as root")
    after = stat.S_IMODE(entry.mode) | lacking << _SHIFT[kind]
    return Change("chmod", entry.path, image_of(entry), image_of(entry, after), _reason(name, entry, kind, lacking))


def _reason(name: str, entry: Entry, kind: str, lacking: int) -> str:
    whose = {
        OWNER: "%s owns it, and so the owner gets" % name,
        GROUP: "%s is in its group (gid %d), and so the group gets" % (name, entry.gid),
        OTHER: "%s is neither its owner nor in its group, and so others get" % name,
    }
    also = "" if entry.is_directory or entry.links < 2 else "; it has %d hard links, and all these names share its mode" % entry.links
    return "%s %s%s" % (whose[kind], _letters(lacking).replace("-", ""), also)


def _letters(bits: int) -> str:
    return "".join(letter if bits & bit else "-" for letter, bit in (("r", READ), ("w", 2), ("x", ENTER)))


# -- what a person is told -----------------------------------------------------------------------------------------------


def diagnose(state: PermissionState) -> List[Finding]:
    found: List[Finding] = []
    if state.shut:
        found.append(_outside(state))
    changes, remains = plan(state), left(state)
    if changes:
        found.append(_unreadable(state, changes))
    for what, severity in (("unmendable", "warning"), ("special", "info"), ("link", "info")):
        rows = [each for each in remains if each.what == what]
        if rows:
            found.append(_remaining(state, rows, severity))
    if state.missing:
        found.append(_missing(state))
    if all(finding.severity == "info" for finding in found):
        checked = len(state.entries) - len(remains)
        summary = "%s can read all that was looked at: %d files and directories" % (state.who.name, checked)
        found.append(Finding("fits.permissions.ok", "ok", state.root, summary, {"checked": checked}, None, RUNBOOK))
    return found


def _outside(state: PermissionState) -> Finding:
    summary = "%s cannot enter %s, which lies on the way to every file below %s" % (state.who.name, state.shut, state.root)
    remedy = Remedy("let %s enter %s (chmod o+x, or its group); it is not below the storage root, so it is not touched here" % (state.who.name, state.shut))
    return Finding("fits.permissions.outside", "critical", state.shut, summary, {"directory": state.shut}, remedy, RUNBOOK)


def _unreadable(state: PermissionState, changes: Sequence[Change]) -> Finding:
    paths = [change.subject for change in changes]
    directories = {entry.path for entry in state.entries if entry.is_directory}
    count = len(directories.intersection(paths))
    counted = (("read", len(paths) - count, "file", "files"), ("enter", count, "directory", "directories"))
    what = " or ".join("%s %d %s" % (verb, number, one if number == 1 else many) for verb, number, one, many in counted if number)
    summary = "%s cannot %s: %s" % (state.who.name, what, _some(paths))
    remedy = _remedy(state, set(paths))
    return Finding("fits.permissions.unreadable", "warning", state.root, summary, {"count": len(paths), "paths": paths[:_SHOWN]}, remedy, RUNBOOK)


def _remedy(state: PermissionState, changed: Set[str]) -> Remedy:
    """The playbook takes files by name: those to be changed, and those in a directory that is."""
    files = [entry.path for entry in state.entries if not entry.is_directory and changed.intersection((entry.path, *_parents(entry.path)))]
    text = "give %s the rights to read and enter, nothing else" % state.who.name
    if not 0 < len(files) <= _SHOWN:
        return Remedy("%s: module fits_permissions without check mode" % text)
    names = sorted({os.path.basename(path) for path in files})
    paths = sorted({os.path.dirname(path) for path in files})
    return Remedy(text, "fieldops.runbooks.fits_ingest", {"fits_permissions": True, "fits_filename": names, "fits_path": paths})


def _parents(path: str) -> List[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _remaining(state: PermissionState, rows: Sequence[Left], severity: str) -> Finding:
    first = rows[0]
    paths = [each.path for each in rows]
    summary = "%d left alone: %s; %s is, because %s" % (len(rows), _some(paths), first.path, first.why)
    if len(rows) == 1:
        summary = "%s is left alone: %s" % (first.path, first.why)
    detail = {"count": len(rows), "left": [each.to_dict() for each in rows[:_SHOWN]]}
    return Finding("fits.permissions." + first.what, severity, state.root, summary, detail, Remedy(first.mend), RUNBOOK)


def _missing(state: PermissionState) -> Finding:
    summary = "not there: %s; their owners copy such files in by hand" % _some(state.missing)
    remedy = Remedy("ask the staff who copy such files; it may be an operator who is not familiar with the procedure")
    return Finding("fits.permissions.missing", "warning", state.root, summary, {"files": list(state.missing[:_SHOWN])}, remedy, RUNBOOK)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (" and %d more" % (len(names) - 2) if len(names) > 2 else "")
