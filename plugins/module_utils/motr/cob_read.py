# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a cob into a file: where the extent map says that they are, read off the device."""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import Any, Iterable, Mapping, NamedTuple, Optional

from .cob_info import CobInfo
from .cob_state import Look
from .device import read_extents
from .emap import Extents
from .errors import MotrError
from .source import within

MOST = 256 << 20
"""Bytes that are read at once."""
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

    def __init__(self, params: Mapping[str, Any]) -> None:
        within("length", params["length"], 1, MOST)
        self.dest: str = os.path.abspath(params["dest"])
        self.only_say: bool = params["check_mode"]
        self.copy: Optional[Copy] = None
        _check_dest(self.dest)
        for name in ("segment", "path", "device", "conf"):
            _check_other(self.dest, name, params[name])
        super().__init__(params)
        if self.source is None:
            raise MotrError("one of pid, process and segment is wanted: the map of where the bytes are is there")

    def observe(self) -> Look:
        state = super().observe()
        extents = state.extents
        if extents is None or extents.faults or not extents.known:
            return state
        path = self.params["path"] or (state.place.sdev.fields["path"] if state.place else None)
        if not path:
            raise MotrError("which device is it? Give its path as path, or the configuration of the cluster as conf")
        if sum(extent.length for extent in extents.extents) != self.params["length"]:
            raise MotrError("the extent map does not tell of all %d bytes" % self.params["length"])
        _check_other(self.dest, "the device", path)
        self.copy = self._write(read_extents(path, extents.extents), extents)
        return state

    def _check_moved(self, extents: Extents) -> None:
        """What was moved meanwhile was read where it no longer is."""
        again = super().observe()
        if again.extents is None or again.extents.extents != extents.extents:
            raise MotrError("the cob was written while it was read; run it again")

    def _write(self, pieces: Iterable[bytes], extents: Extents) -> Copy:
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
                self._check_moved(extents)
                new = _sha256(self.dest) != digest.hexdigest()
                if new and not self.only_say:
                    os.replace(unfinished, self.dest)
            finally:
                _forget(unfinished)
        except OSError as exc:
            raise MotrError("dest: %s cannot be written: %s" % (self.dest, exc.strerror)) from exc
        return Copy(self.dest, size, digest.hexdigest(), new)

    def facts(self, state: Look) -> Mapping[str, Any]:
        copy = self.copy
        told = {"path": copy.path, "bytes": copy.size, "sha256": copy.sha256} if copy else None
        facts = super().facts(state)
        return dict({name: facts[name] for name in _FACTS}, file=told, changed=bool(copy and copy.written))


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
