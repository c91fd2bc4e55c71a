# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was there, kept whole beside the journal: gzip files that only this user may read, named by what is in them.

A configuration has megabytes, and may hold credentials in clear, so neither it nor an options file stands in the journal itself. A file goes
when no run of the journal names it any more.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import stat
import tempfile
import zlib
from typing import Any, Collection, Mapping, Optional, Sequence

from ..procedure.directory import make_directories, open_regular, sync_directory, unsafe
from ..procedure.journal import Journal
from .errors import SesamError

_NAME = re.compile(r"[0-9a-f]{16}\.gz")
_ROUNDS = 20_000
HEADER = "saved"
"""What a run's header calls the names of its files."""


class Saved:
    """The files of one journal."""

    def __init__(self, journal_dir: Optional[str]) -> None:
        self.journal = Journal(journal_dir)
        self.directory = os.path.join(self.journal.directory, "sesam")

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def keep(self, data: bytes) -> str:
        """The name of a file with this content, on disk when this returns."""
        name = name_of(data)
        try:
            make_directories(self.directory)
            reason = unsafe(self.directory)
            if reason:
                raise _error("%s; nothing was changed" % reason)
            if not self._whole(name):
                self._write(name, data)
        except OSError as exc:
            raise _error("what is there cannot be saved below %s: %s; nothing was changed" % (self.directory, exc.strerror)) from exc
        return name

    def load(self, name: str) -> bytes:
        """What is in it, as it was saved."""
        if not _NAME.fullmatch(name):
            raise _error("%r is not the name of a saved file" % name)
        reason = unsafe(self.directory)
        if reason:
            raise _error("%s, so what was saved there is not put back" % reason)
        try:
            with open_regular(self.path(name)) as file, gzip.GzipFile(fileobj=file) as unpacked:
                data = unpacked.read()
        except (OSError, EOFError, zlib.error) as exc:
            raise _error("what was saved in %s cannot be read: %s" % (self.path(name), exc)) from exc
        if name_of(data) != name:
            raise _error("what was saved in %s is not what it was any more" % self.path(name))
        return data

    def sweep(self, keep: Collection[str] = ()) -> None:
        """Remove what no run names. Only for the holder of the node's lock."""
        named = set(keep)
        for run in self.journal.all_runs():
            named |= {str(name) for name in run.header.get(HEADER) or ()}
        with contextlib.suppress(OSError):
            for entry in os.listdir(self.directory):
                if entry not in named:
                    os.unlink(self.path(entry))

    def _whole(self, name: str) -> bool:
        try:
            return stat.S_IMODE(os.lstat(self.path(name)).st_mode) == 0o600 and name_of(self.load(name)) == name
        except (OSError, SesamError):
            return False

    def _write(self, name: str, data: bytes) -> None:
        handle, temporary = tempfile.mkstemp(prefix=".", dir=self.directory)  # of mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed:
                    packed.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(temporary, self.path(name))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_directory(self.directory)


def name_of(data: bytes) -> str:
    """Slow and short: the name stands in results, and must not confirm a guess at a credential in there."""
    return hashlib.pbkdf2_hmac("sha256", hashlib.sha256(data).digest(), b"fieldops.runbooks", _ROUNDS).hex()[:16] + ".gz"


def packed(entities: Sequence[Mapping[str, Any]]) -> bytes:
    """A configuration as it is kept: by id, since a node has no order, and so that the same one is kept once. It can be uploaded as it is."""
    ordered = sorted(entities, key=lambda entity: str(entity.get("_id")))
    return json.dumps(ordered, separators=(",", ":"), sort_keys=True, ensure_ascii=True).encode("ascii")


def _error(text: str) -> SesamError:
    return SesamError(text, kind="conflict")
