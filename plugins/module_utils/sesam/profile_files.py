# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with profiles: what they are, whose they are by their names, and how one is written to the node.

A profile for Python's pstats is marshalled: made for one version of Python, and whoever loads a foreign one runs what is in it. It is handed
on as it is, and known by its first bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from dataclasses import dataclass
from typing import Collection, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote, unquote

from ..procedure.directory import sync_directory
from .errors import SesamError

KINDS = {".pstat": "pstats", ".pstats": "pstats", ".calltree": "calltree"}
SUFFIX = {"pstats": ".pstat", "calltree": ".calltree"}
_DICT = (0xFB, 0x7B)
"""First byte of a marshalled dictionary, with and without the mark for later references."""
_KEY = frozenset(b"()\xa8\xa90r")
"""What its first key, a tuple, begins with; JSON begins with the same brace, and never goes on so."""
_CALLTREE = re.compile(rb"^(?:events|fn|fl|creator|version|cmd|positions)\s*[:=]", re.MULTILINE)
_STAMP = re.compile(r"[0-9]{8,}")
_WORDS = re.compile(r"(?:^|(?<=[-_.]))(?:pump|pipe|profile|profiler|run)(?=$|[-_.])", re.IGNORECASE)
_BETWEEN = re.compile(r"[-_.:+TZ0-9 ]*")
_NAME = re.compile(r"[^A-Za-z0-9_.@+-]+")


@dataclass(frozen=True)
class Profile:
    """A file of the log folder, or one that was written here."""

    path: str
    kind: str
    size: int
    mtime: float

    def to_dict(self) -> Dict[str, object]:
        return {"path": self.path, "kind": self.kind, "size": self.size, "mtime": round(self.mtime, 3)}


def content_kind(data: bytes) -> str:
    """pstats, calltree, json, html, empty or unknown, from how it begins."""
    begin = data[:65536]
    if not begin.strip():
        return "empty"
    if begin[0] in _DICT and (begin[0] == _DICT[0] or begin[1:2] in (bytes((each,)) for each in _KEY)):
        return "pstats"
    text = begin.lstrip()
    if text[:1] == b"<":
        return "html"
    if text[:1] in b'[{"' or text[:4] in (b"null", b"true", b"fals"):
        return "json"
    if b"\0" not in begin and _CALLTREE.search(begin):
        return "calltree"
    return "json" if _is_json(data) else "unknown"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


def disposition_name(header: str) -> str:
    """The name of a file in ``Content-Disposition``, as it was given; empty where there is none."""
    extended = re.search(r"filename\*\s*=\s*([^']*)'[^']*'([^;\s]+)", header, re.IGNORECASE)
    if extended:
        with contextlib.suppress(LookupError):
            return unquote(extended.group(2), encoding=extended.group(1) or "utf-8", errors="replace")
    plain = re.search(r"filename\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;\s]+))", header, re.IGNORECASE)
    if plain is None:
        return ""
    return re.sub(r"\\(.)", r"\1", plain.group(1)) if plain.group(1) is not None else plain.group(2)


def safe_name(name: str, kind: str) -> str:
    """What a file is called here: no folder, nothing that a shell or a terminal takes for more than a name."""
    last = re.split(r"[/\\]", name)[-1]
    plain = _NAME.sub("_", last).lstrip(".-")[:100]
    return plain or "profile" + SUFFIX.get(kind, "")


def write(folder: str, name: str, data: bytes) -> Profile:
    """A new file that is whole under its name, or not there; nothing is replaced."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    part = os.path.join(folder, ".%s.%d.part" % (name, os.getpid()))
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path = _linked(part, os.path.join(folder, "%s-%s" % (stamp, name)))
        sync_directory(folder)
    except OSError as exc:
        raise SesamError("dest: the profile cannot be written to %s: %s" % (folder, exc.strerror)) from exc
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)
    status = os.stat(path)
    return Profile(path, content_kind(data), status.st_size, status.st_mtime)


def _linked(part: str, path: str) -> str:
    """Under the first of these names that nothing has."""
    stem, suffix = os.path.splitext(path)
    for number in range(1000):
        free = path if not number else "%s.%d%s" % (stem, number, suffix)
        try:
            os.link(part, free)
        except FileExistsError:
            continue
        return free
    raise FileExistsError(17, "a thousand files have the name", path)


# -- the log folder ---------------------------------------------------------------------------------------------------


def spellings(pipe: str) -> List[str]:
    """How a name of a file may spell the id of a pipe."""
    encoded = quote(pipe, safe="")
    plain = [re.sub(r"[^A-Za-z0-9_.-]", each, pipe) for each in ("_", "-", ".", "")]
    return list(dict.fromkeys([pipe, encoded, encoded.lower(), quote(pipe), *plain]))


def is_of(name: str, pipe: str, others: Collection[str] = ()) -> bool:
    """Whether a file is of this pipe: its id and a time make up the name. ``others`` are ids that contain this one, which win if they fit too."""
    stem = os.path.splitext(name)[0]
    if not _fits(stem, pipe):
        return False
    return not any(len(other) > len(pipe) and _fits(stem, other) for other in others)


def _fits(stem: str, pipe: str) -> bool:
    return any(_rest_is_time(stem, spelling) for spelling in spellings(pipe) if spelling)


def _rest_is_time(stem: str, spelling: str) -> bool:
    at = stem.find(spelling)
    while at >= 0:
        before, after = stem[:at], stem[at + len(spelling) :]
        apart = (not before or before[-1] in "-_.: ") and (not after or after[0] in "-_.: @")
        rest = [_WORDS.sub("", part.replace("@", "-")) for part in (before, after)]
        digits = re.sub(r"[^0-9]", "", "".join(rest))
        if apart and all(_BETWEEN.fullmatch(part) for part in rest) and _STAMP.search(digits):
            return True
        at = stem.find(spelling, at + 1)
    return False


def listing(folder: str) -> Dict[str, Profile]:
    """Files with profiles in the log folder, by name; no links."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                kind = KINDS.get(os.path.splitext(entry.name)[1].lower())
                if kind is None:
                    continue
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        found[entry.name] = Profile(entry.path, kind, status.st_size, status.st_mtime)
    except OSError as exc:
        raise SesamError("log_folder: %s cannot be read: %s" % (folder, exc.strerror)) from exc
    return found


def new_ones(before: Mapping[str, Profile], now: Mapping[str, Profile]) -> List[str]:
    """Names that were not there, or whose file was written again since."""
    return sorted(name for name, profile in now.items() if name not in before or profile.mtime > before[name].mtime)


def pairs(names: Sequence[str]) -> Dict[str, List[str]]:
    """Names by what they have in common but their endings."""
    found: Dict[str, List[str]] = {}
    for name in names:
        found.setdefault(os.path.splitext(name)[0], []).append(name)
    return found


def complete(before: Mapping[str, Profile], now: Mapping[str, Profile], names: Sequence[str]) -> bool:
    """Both kinds are there, have something in them, and have not grown between two looks."""
    kinds = {now[name].kind for name in names if name in now and now[name].size}
    stable = all(name in before and name in now and (before[name].size, before[name].mtime) == (now[name].size, now[name].mtime) for name in names)
    return kinds == set(SUFFIX) and stable


def chosen(names: Sequence[str], now: Mapping[str, Profile]) -> Tuple[List[str], List[str]]:
    """The files of one run, and those of others that were written meanwhile: the first whole pair is that of the run that was started first."""
    groups = pairs(names)
    whole = [group for group in groups.values() if {now[name].kind for name in group} == set(SUFFIX)]
    candidates = whole or list(groups.values())
    first: Optional[List[str]] = min(candidates, key=lambda group: (min(now[name].mtime for name in group), group[0]), default=None)
    return (first or [], [name for name in names if name not in (first or [])])
