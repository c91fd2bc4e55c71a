# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of records, kept whole beside the journal in files that only this user may read: a record may hold what is in no result.

A file is named by the hash of what is in it, and goes when no run of the journal names it any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from typing import Optional

from ...procedure.directory import make_directories, open_regular, sync_directory, unsafe
from ...procedure.journal import Journal
from ..errors import MotrError

HEADER = "saved"
"""What a run's header calls the names of its files."""
_NAME = re.compile(r"[0-9a-f]{64}")


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Saved:
    """The files of one journal."""

    def __init__(self, journal_dir: Optional[str]) -> None:
        self.journal = Journal(journal_dir)
        self.directory = os.path.join(self.journal.directory, "motr")

    def keep(self, data: bytes) -> str:
        """The name of a file with this content, on disk when this returns."""
        name = name_of(data)
        try:
            make_directories(self.directory)
            reason = unsafe(self.directory)
            if reason:
                raise MotrError("%s; nothing was changed" % reason)
            handle, temporary = tempfile.mkstemp(prefix=".", dir=self.directory)  # of mode 0600
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(handle)
                os.rename(temporary, os.path.join(self.directory, name))
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            sync_directory(self.directory)
        except OSError as exc:
            raise MotrError("the record cannot be saved below %s: %s; nothing was changed" % (self.directory, exc.strerror)) from exc
        return name

    def load(self, name: str) -> Optional[bytes]:
        """What is in it; None where it is gone."""
        reason = unsafe(self.directory) if _NAME.fullmatch(name) else "%r is not the name of a saved file" % name
        if reason:
            raise MotrError("%s, so what was saved is not put back" % reason)
        try:
            with open_regular(os.path.join(self.directory, name)) as file:
                data = file.read()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise MotrError("what was saved as %s cannot be read: %s" % (name, exc.strerror)) from exc
        if name_of(data) != name:
            raise MotrError("what was saved as %s is not what it was any more" % name)
        return data

    def sweep(self) -> None:
        """Remove what no run names. Only for the holder of the node's lock."""
        named = {str(name) for run in self.journal.all_runs() for name in run.header.get(HEADER) or ()}
        with contextlib.suppress(OSError):
            for entry in os.listdir(self.directory):
                if entry not in named:
                    os.unlink(os.path.join(self.directory, entry))
