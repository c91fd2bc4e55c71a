# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, directories, and the file systems that they are on."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Union

from ..connect.disk import FileSystem, Newest, Sum
from ..connect.procfs import Deleted
from ..procedure.envelope import Finding
from .expect import Missed, Options, Said
from .processes import Running
from .sizes import Amount, number, show_age, show_size

_LISTED = 20
_RELEASED = 0.9
"""Of what was deleted so much must have come back; something is always written meanwhile."""


class Wanted(NamedTuple):
    """One expectation."""

    said: Said
    path: str
    exists: str
    owner: Optional[str] = None
    group: Optional[str] = None
    mode: Optional[int] = None
    readable_by: Optional[str] = None
    mounted: bool = False
    read_only: bool = False
    min_free: Optional[Amount] = None
    min_free_inodes: Optional[Amount] = None
    newest_max_age: Optional[float] = None
    newest_match: Optional[str] = None
    depth: int = 1
    listed: bool = True
    max_entries: int = 100000
    max_seconds: float = 5.0
    deleted_open: Optional[int] = None
    account: bool = False
    max_unaccounted: Amount = Amount("0")
    expect_free: Optional[int] = None
    free_before: int = 0

    @property
    def needs_open_files(self) -> bool:
        return self.deleted_open is not None or self.account or self.expect_free is not None


class Place(NamedTuple):
    """What is at a path. ``type`` is None when nothing is."""

    type: Optional[str]
    owner: str = ""
    group: str = ""
    mode: int = 0
    real: str = ""
    mtime: float = 0.0
    file_system: Optional[FileSystem] = None
    snapshots: Sequence[str] = ()


class Seen(NamedTuple):
    """What was found out; None where it was not asked for."""

    place: Union[Place, Missed]
    now: float
    readable: Union[str, Missed, None] = None
    """Empty, or what keeps the user from reading it."""
    newest: Union[Newest, Missed, None] = None
    total: Union[Sum, Missed, None] = None
    deleted: Union[Sequence[Deleted], Missed, None] = None
    unseen: int = 0
    """Processes that this user may not look into."""
    growth: Optional[float] = None
    running: Mapping[int, Running] = MappingProxyType({})

    @property
    def file_system(self) -> Optional[FileSystem]:
        return None if isinstance(self.place, Missed) else self.place.file_system

    @property
    def deleted_size(self) -> Optional[int]:
        return None if self.deleted is None or isinstance(self.deleted, Missed) else sum(each.size for each in self.deleted)

    @property
    def unaccounted(self) -> Optional[int]:
        """Used space that nothing explains."""
        held, system = self.deleted_size, self.file_system
        if system is None or held is None or not isinstance(self.total, Sum):
            return None
        return max(0, system.used - self.total.size - held)


def parse(options: Options, runbook_file: Optional[str]) -> Wanted:
    path = options.absolute("path")
    mode = options["mode"]
    if mode is not None and not re.fullmatch(r"0[0-7]{3,4}", mode):
        raise options.refuse("mode", 'octal digits in quotes that begin with 0, such as "0755"')
    if not options["list"]:
        for name in ("newest_match", "account"):
            if options[name]:
                raise options.refuse(name, "left out where list is false, because it needs the directory listed")
    depth, entries = options.whole("depth"), options.whole("max_entries")
    for name, value in (("depth", depth), ("max_entries", entries)):
        if not value:
            raise options.refuse(name, "1 or more")
    amounts = {name: options.amount(name) for name in ("min_free", "min_free_inodes", "max_unaccounted")}
    return Wanted(
        options.said("path", path, runbook_file),
        path,
        options["exists"],
        options["owner"],
        options["group"],
        None if mode is None else int(mode, 8),
        options["readable_by"],
        options["mounted"],
        options["read_only"],
        amounts["min_free"],
        amounts["min_free_inodes"],
        options.number("newest_max_age"),
        options["newest_match"],
        depth or 1,
        options["list"],
        entries or 1,
        options.number("max_seconds") or 0.0,
        options.size("deleted_open"),
        options["account"],
        amounts["max_unaccounted"] or Amount("0"),
        options.size("expect_free"),
        options.size("free_before") or 0,
    )


def judge(wanted: Wanted, seen: Seen) -> List[Finding]:
    """Everything that can be told of the path; when it does not exist, that alone."""
    said, place = wanted.said, seen.place
    if isinstance(place, Missed):
        return [said.unknown(place.reason, path=wanted.path)]
    if wanted.exists == "absent":
        return [said.bad("present", "warning", "it exists, and should not", path=wanted.path)] if place.type else []
    if place.type is None:
        return [said.bad("missing", "critical", "it does not exist" if said.name == wanted.path else "%s does not exist" % wanted.path, path=wanted.path)]
    found = [*_place_findings(wanted, seen, place), *_freshness_findings(wanted, seen)]
    if place.file_system:
        found += _space_findings(wanted, seen, place, place.file_system)
    return found


def _place_findings(wanted: Wanted, seen: Seen, place: Place) -> Iterator[Finding]:
    said, path, system = wanted.said, wanted.path, place.file_system
    if wanted.exists in {"file", "directory"} and place.type != wanted.exists:
        yield said.bad("wrong_type", "critical", "it is no %s" % wanted.exists, path=path, type=place.type)
    owner, group = wanted.owner or place.owner, wanted.group or place.group
    if (owner, group) != (place.owner, place.group):
        text = "it belongs to %s:%s instead of %s:%s" % (place.owner, place.group, owner, group)
        yield said.bad("wrong_owner", "warning", text, path=path, owner=place.owner, group=place.group)
    if wanted.mode is not None and wanted.mode != place.mode:
        yield said.bad("wrong_mode", "warning", "its permissions are %04o instead of %04o" % (place.mode, wanted.mode), path=path, mode="%04o" % place.mode)
    if isinstance(seen.readable, Missed):
        yield said.unknown(seen.readable.reason, path=path, user=wanted.readable_by)
    elif seen.readable:
        yield said.bad("unreadable", "critical", "%s cannot read it: %s" % (wanted.readable_by, seen.readable), path=path, user=wanted.readable_by)
    if wanted.mounted and system and system.mount.mount_point != place.real:
        text = "no file system is mounted there; what is written to it goes to %s" % (system.mount.mount_point or "another one")
        yield said.bad("not_mounted", "critical", text, path=path, mount_point=system.mount.mount_point)
    if system and system.mount.read_only and not wanted.read_only:
        text = "its file system (%s) is mounted read-only" % system.mount.mount_point
        yield said.bad("read_only", "critical", text, path=path, mount_point=system.mount.mount_point)


def _freshness_findings(wanted: Wanted, seen: Seen) -> Iterator[Finding]:
    said, newest, limit = wanted.said, seen.newest, wanted.newest_max_age
    if limit is None or newest is None:
        return
    if isinstance(newest, Missed):
        yield said.unknown(newest.reason, path=wanted.path)
        return
    what = "file" if wanted.newest_match is None else "file %s" % wanted.newest_match
    what = what if wanted.listed else "entry"
    age = max(0.0, seen.now - newest.mtime)
    if newest.path and age <= limit:
        return
    detail = {"path": wanted.path, "newest": newest.path, "entries": newest.entries}
    told = "the newest %s is %s old" % (what, show_age(age)) if newest.path else "there is no %s" % what
    if newest.complete:
        yield said.bad("stale", "warning", told, **detail)
    else:
        yield said.unknown("%s among the %d entries that could be looked at, which were not all" % (told, newest.entries), **detail)


def _space_findings(wanted: Wanted, seen: Seen, place: Place, system: FileSystem) -> Iterator[Finding]:
    said, mount = wanted.said, system.mount.mount_point
    detail = {"path": wanted.path, "mount_point": mount, "available": system.available, "size": system.size}
    low = False
    if wanted.min_free and system.available < wanted.min_free.of(system.used + system.available):
        low = True
        text = "%s (%.1f %%) of %s free on %s, and %s is wanted" % (
            show_size(system.available),
            100 * system.share(),
            show_size(system.size),
            mount,
            _text(wanted.min_free),
        )
        half = system.available < wanted.min_free.of(system.used + system.available) / 2
        yield said.bad("low_space", "critical" if half else "warning", text, **detail)
    if wanted.min_free_inodes and system.inodes and system.inodes_available < wanted.min_free_inodes.of(system.inodes):
        text = "%d inodes (%.1f %%) free on %s, and %s is wanted" % (system.inodes_available, 100 * system.inode_share(), mount, wanted.min_free_inodes.text)
        detail_inodes = {"path": wanted.path, "mount_point": mount, "inodes": system.inodes, "inodes_available": system.inodes_available}
        yield said.bad("low_inodes", "warning", text, **detail_inodes)
    yield from _deleted_findings(wanted, seen, mount)
    yield from _account_findings(wanted, seen, place, system)
    yield from _release_findings(wanted, seen, place, system)
    if place.snapshots and (low or wanted.account or wanted.expect_free is not None):
        text = "there are snapshots (%s): what is deleted is not free as long as one has it" % ", ".join(place.snapshots)
        yield said.note("snapshots", text, path=wanted.path, snapshots=list(place.snapshots))


def _text(amount: Amount) -> str:
    return amount.text.strip() if amount.share is not None else show_size(amount.size)


def _deleted_findings(wanted: Wanted, seen: Seen, mount: str) -> Iterator[Finding]:
    if wanted.deleted_open is None:
        return
    if isinstance(seen.deleted, Missed):
        yield wanted.said.unknown("which deleted files are open cannot be told: %s" % seen.deleted.reason, path=wanted.path)
        return
    if seen.unseen:
        text = "which deleted files are open cannot be told in full: this user may not look into %s" % number(seen.unseen, "process", "processes")
        yield wanted.said.unknown(text, path=wanted.path)
    large = [each for each in seen.deleted or () if each.size >= wanted.deleted_open]
    if large:
        size = sum(each.size for each in large)
        files = number(len(large), "deleted file that is", "deleted files that are")
        text = "%s on %s are in %s still open, the largest %s" % (show_size(size), mount, files, _held(_largest(large)[0], seen))
        yield wanted.said.bad("deleted_open", "warning", text, path=wanted.path, size=size, files=_deleted_rows(large, seen))


def _held(deleted: Deleted, seen: Seen) -> str:
    return "%s (%s) by %s" % (deleted.path, show_size(deleted.size), ", ".join(_holder_text(pid, seen) for pid in deleted.pids[:3]))


def _holder_text(pid: int, seen: Seen) -> str:
    holder = seen.running.get(pid)
    return "%s, pid %d" % (holder.to_dict()["program"], pid) if holder else "pid %d" % pid


def _largest(deleted: Sequence[Deleted]) -> List[Deleted]:
    return sorted(deleted, key=lambda each: (-each.size, each.path))


def _deleted_rows(deleted: Sequence[Deleted], seen: Seen) -> List[Dict[str, Any]]:
    return [
        {"path": each.path, "size": each.size, "holders": [seen.running[pid].to_dict() if pid in seen.running else {"pid": pid} for pid in each.pids]}
        for each in _largest(deleted)[:_LISTED]
    ]


def _account_findings(wanted: Wanted, seen: Seen, place: Place, system: FileSystem) -> Iterator[Finding]:
    if not wanted.account:
        return
    said, total, unaccounted = wanted.said, seen.total, seen.unaccounted
    if system.mount.mount_point != place.real:
        yield said.unknown("the used space can only be accounted for at a mount point, which is %s" % system.mount.mount_point, path=wanted.path)
    elif isinstance(total, Missed):
        yield said.unknown("the files could not be added up: %s" % total.reason, path=wanted.path)
    elif total is not None and not total.complete:
        yield said.unknown("not all files could be added up, only %d of them within the limits" % total.entries, path=wanted.path, accounted=total.size)
    elif total is not None and unaccounted is not None and unaccounted > wanted.max_unaccounted.of(system.used):
        text = "%s of the %s that are used on %s are in no file that can be seen" % (show_size(unaccounted), show_size(system.used), system.mount.mount_point)
        text += ": snapshots (%s) may hold them" % ", ".join(place.snapshots) if place.snapshots else "; snapshots, or files below a mount point, may hold them"
        if seen.unseen:
            text += ", or processes that this user may not look into"
        yield said.bad("unaccounted", "warning", text, path=wanted.path, unaccounted=unaccounted, accounted=total.size, snapshots=list(place.snapshots))


def _release_findings(wanted: Wanted, seen: Seen, place: Place, system: FileSystem) -> Iterator[Finding]:
    if wanted.expect_free is None:
        return
    released = system.available - wanted.free_before
    if released >= wanted.expect_free * _RELEASED:
        return
    held = seen.deleted_size
    reasons = []
    if held:
        reasons.append("%s are held by deleted files that are still open" % show_size(held))
    if place.snapshots:
        reasons.append("snapshots (%s) keep what was deleted" % ", ".join(place.snapshots))
    why = (
        "; ".join(reasons) or "no deleted file is open and no snapshot answers to its name; look for quotas, other writers and snapshots below the file system"
    )
    text = "%s should be free and %s are: %s" % (show_size(wanted.free_before + wanted.expect_free), show_size(system.available), why)
    detail = {"path": wanted.path, "released": released, "expected": wanted.expect_free, "deleted_open_size": held, "snapshots": list(place.snapshots)}
    yield wanted.said.bad("not_released", "warning", text, **detail)


def row(wanted: Wanted, seen: Seen) -> Dict[str, Any]:
    place = Place(None) if isinstance(seen.place, Missed) else seen.place
    there, newest, total = place.type is not None, seen.newest, seen.total
    return {
        "name": wanted.said.name,
        "path": wanted.path,
        "exists": None if isinstance(seen.place, Missed) else there,
        "type": place.type,
        "owner": place.owner if there else None,
        "group": place.group if there else None,
        "mode": "%04o" % place.mode if there else None,
        "file_system": _file_system_row(place.file_system),
        "newest": _newest_row(newest, seen.now) if isinstance(newest, Newest) else None,
        "deleted_open": None if seen.deleted is None or isinstance(seen.deleted, Missed) else _deleted_rows(seen.deleted, seen),
        "deleted_open_size": seen.deleted_size,
        "snapshots": list(place.snapshots),
        "accounted": total.size if isinstance(total, Sum) else None,
        "unaccounted": seen.unaccounted,
        "growth": None if seen.growth is None else round(seen.growth, 1),
    }


def _newest_row(newest: Newest, now: float) -> Dict[str, Any]:
    age = round(max(0.0, now - newest.mtime), 1) if newest.path else None
    return {"path": newest.path, "age": age, "entries": newest.entries, "complete": newest.complete}


def _file_system_row(system: Optional[FileSystem]) -> Optional[Dict[str, Any]]:
    if system is None:
        return None
    return {
        "mount_point": system.mount.mount_point,
        "type": system.mount.type,
        "source": system.mount.source,
        "read_only": system.mount.read_only,
        "size": system.size,
        "used": system.used,
        "available": system.available,
        "available_percent": round(100 * system.share(), 1),
        "inodes": system.inodes,
        "inodes_available": system.inodes_available,
        "inodes_available_percent": round(100 * system.inode_share(), 1),
    }
