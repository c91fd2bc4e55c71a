# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a cob into a file: where the extent map says that they are, read off the device."""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from .cob_info import CobInfo, Common
from .cob_state import Look, cob_of
from .device import read_extents
from .emap import Extents
from .errors import MotrError
from .source import RUNBOOK, still_there, within

MOST = 256 << 20
"""Bytes of a cob that are read at once."""
MOST_UNITS = 256
_FACTS = ("cob", "device", "root", "known", "complete", "allocated")


class Copy(NamedTuple):
    """What became of the file."""

    path: str
    size: int
    sha256: str
    written: bool


class CobRead(CobInfo):
    """Looks as CobInfo does, then reads."""

    name = "motr_cob_read"

    def __init__(self, params: Mapping[str, Any], common: Optional[Common] = None) -> None:
        within("length", params["length"], 1, MOST)
        self.dest: str = os.path.abspath(params["dest"])
        self.only_say: bool = params["check_mode"]
        self.copy: Optional[Copy] = None
        _check_dest(self.dest)
        for name in ("segment", "path", "device", "conf"):
            _check_other(self.dest, name, params[name])
        super().__init__(params, common)
        if self.source is None:
            raise MotrError("one of pid, process and segment is wanted: the map of where the bytes are is there")

    def observe(self) -> Look:
        state = super().observe()
        extents, root = state.extents, state.root
        if extents is None or root is None or root.address is None or extents.faults or not extents.known:
            return state
        path = self.params["path"] or (state.place.sdev.fields["path"] if state.place else None)
        if not path:
            raise MotrError("which device is it? Give its path as path, or the configuration of the cluster as conf")
        if sum(extent.length for extent in extents.extents) != self.params["length"]:
            raise MotrError("the extent map does not tell of all %d bytes" % self.params["length"])
        _check_other(self.dest, "the device", path)
        self.copy = self._write(read_extents(path, extents.extents), extents, root.address)
        return state

    def _check_moved(self, extents: Extents, root: int) -> None:
        """What was moved meanwhile was read where it no longer is. The root of a tree never moves."""
        if self.source is None or self.extents_at(self.source, root) != extents:
            raise MotrError("the cob was written while it was read; run it again")
        still_there(self.source)

    def _write(self, pieces: Iterable[bytes], extents: Extents, root: int) -> Copy:
        digest, size = hashlib.sha256(), 0
        unfinished = "%s.%s" % (self.dest, secrets.token_hex(8))
        try:
            handle = os.open(os.devnull if self.only_say else unfinished, os.O_WRONLY | (0 if self.only_say else os.O_CREAT | os.O_EXCL), 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    for piece in pieces:
                        digest.update(piece)
                        size += len(piece)
                        file.write(piece)
                self._check_moved(extents, root)
                new = _sha256(self.dest) != digest.hexdigest()
                if new and not self.only_say:
                    os.replace(unfinished, self.dest)
            finally:
                _forget(unfinished)
        except OSError as exc:
            raise MotrError("dest: %s cannot be written: %s" % (self.dest, exc.strerror)) from exc
        return Copy(self.dest, size, digest.hexdigest(), new)

    def facts(self, state: Look) -> Mapping[str, Any]:
        told = self.told(state)
        return dict(told, units=[told], changed=self.written)

    @property
    def written(self) -> bool:
        return bool(self.copy and self.copy.written)

    def told(self, state: Look) -> Dict[str, Any]:
        """The cob, and what became of its file."""
        copy, facts = self.copy, super().facts(state)
        file = {"path": copy.path, "bytes": copy.size, "sha256": copy.sha256} if copy else None
        return dict({name: facts[name] for name in _FACTS}, file=file)


class Part(NamedTuple):
    """One of several cobs that were to be read. ``state`` is None where a device could not be, and ``why`` tells why."""

    read: CobRead
    state: Optional[Look]
    why: str = ""


class CobsRead(Check[Tuple[Part, ...]]):
    """Several cobs of the same process or segment, each into a file of its own. What is wrong with one of them does not keep the others."""

    name = "motr_cob_read"

    def __init__(self, params: Mapping[str, Any]) -> None:
        units = [_unit(number, each, params) for number, each in enumerate(params["units"])]
        within("the number of units", len(units), 1, MOST_UNITS)
        if params["offset"]:
            raise MotrError("offset is of a single cob: each of the units has its own")
        for unit in units:
            within("length", unit["length"], 1, MOST)
        files = [os.path.realpath(unit["dest"]) for unit in units]
        if len(set(files)) < len(files):
            raise MotrError("units: each of them needs a dest of its own")
        for dest, path in ((dest, unit["path"]) for unit in units for dest in files):
            _check_other(dest, "path", path)
        self.params = params
        self.common = Common(params, [cob_of(unit["cob"]).tree for unit in units])
        try:
            self.reads = [CobRead(unit, self.common) for unit in units]
        except BaseException:
            self.common.close()
            raise

    def close(self) -> None:
        self.common.close()

    def observe(self) -> Tuple[Part, ...]:
        parts = tuple(map(_part, self.reads))
        if self.common.source is not None:
            still_there(self.common.source)
        return parts

    def diagnose(self, state: Tuple[Part, ...]) -> List[Finding]:
        found: List[Finding] = []
        for part in state:
            found += part.read.diagnose(part.state) if part.state is not None else [_unread(part)]
        return found

    def facts(self, state: Tuple[Part, ...]) -> Mapping[str, Any]:
        units = [part.read.told(part.state or Look(part.read.cob)) for part in state]
        return {"units": units, "changed": any(part.read.written for part in state)}

    def evidence(self, state: Tuple[Part, ...]) -> Mapping[str, Any]:
        first = state[0]
        return first.read.evidence(next((part.state for part in state if part.state is not None), Look(first.read.cob)))


def _unit(number: int, given: Mapping[str, Any], params: Mapping[str, Any]) -> Dict[str, Any]:
    """The options of one unit, as if it were the only one."""
    length = given["length"] if given["length"] is not None else params["length"]
    if length is None:
        raise MotrError("units: unit %d has no length, and there is none for all of them" % number)
    own = {name: given[name] for name in ("cob", "dest", "path", "root", "offset")}
    return dict(params, **own, length=length)


def _part(read: CobRead) -> Part:
    try:
        return Part(read, read.observe())
    except MotrError as exc:
        return Part(read, None, str(exc))


def _unread(part: Part) -> Finding:
    remedy = Remedy("see the log of the node for errors of the device; the unit can be made again of the others of its group")
    detail = {"dest": part.read.dest}
    return Finding("motr.cob.unread", "critical", str(part.read.cob.fid), "cob %s was not read: %s" % (part.read.cob.fid, part.why), detail, remedy, RUNBOOK)


def _check_dest(path: str) -> None:
    """A file that is there is replaced only if it is one, and no link to another."""
    if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
        raise MotrError("dest: %s is there, and is no file" % path)
    if not os.path.isdir(os.path.dirname(path)):
        raise MotrError("dest: there is no directory %s" % os.path.dirname(path))


def _check_other(dest: str, name: str, path: Optional[str]) -> None:
    """MotrError where the file that is to be replaced is one that is read."""
    if path and os.path.exists(path) and os.path.exists(dest) and os.path.samefile(path, dest):
        raise MotrError("dest: %s is what %s names, and would be lost" % (dest, name))


def _sha256(path: str) -> Optional[str]:
    """Of the file that is there; None where there is none."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(1 << 20), b""):
                digest.update(piece)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _forget(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
