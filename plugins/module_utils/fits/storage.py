# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files below the storage root, seen with the rights of the user that will ingest them."""

from __future__ import annotations

import os
import stat
from typing import Dict, List, Sequence

from ..connect.command import Account, acting_as
from .errors import FitsError

NOT_REGULAR = "it is not a regular file"


class Storage:
    """One storage root. Nothing is followed out of it."""

    def __init__(self, root: str, user: Account) -> None:
        self.root = root
        self.user = user

    def directory(self, path: str) -> str:
        """The directory of a relative path; refuses what is not there, and what leads out of the root."""
        full = os.path.join(self.root, path) if path else self.root
        with acting_as(self.user):
            if not os.path.isdir(full):
                raise FitsError("there is no directory %s that %s can enter: check path and storage_root" % (full, self.user.name))
            if not self._below(os.path.realpath(full)):
                raise FitsError("directory %s is a link out of the storage root" % full)
        return full

    def listing(self, path: str) -> List[str]:
        """Names in a directory, not below it; one look."""
        directory = self.directory(path)
        try:
            with acting_as(self.user), os.scandir(directory) as entries:
                return [entry.name for entry in entries]
        except OSError as exc:
            raise FitsError("%s cannot list %s: %s" % (self.user.name, directory, exc.strerror)) from exc

    def problems(self, path: str, names: Sequence[str]) -> Dict[str, str]:
        """Why each of some files could not be ingested, by name; upstream finds out when the worker fails."""
        directory = self.directory(path)
        with acting_as(self.user):
            found = {name: self._problem(os.path.join(directory, name)) for name in names}
        return {name: problem for name, problem in found.items() if problem}

    def check(self, path: str, names: Sequence[str]) -> None:
        """Every file must be there to be read."""
        problems = self.problems(path, names)
        if problems:
            name = min(problems)
            more = " (and %d more such files)" % (len(problems) - 1) if len(problems) > 1 else ""
            raise FitsError("%s cannot be queued: %s%s" % (os.path.join(self.root, path, name), problems[name], more))

    def _problem(self, full: str) -> str:
        try:
            if not stat.S_ISREG(os.stat(full).st_mode):
                return NOT_REGULAR
            if not self._below(os.path.realpath(full)):
                return "it is a link out of the storage root"
            os.close(os.open(full, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except FileNotFoundError:
            return "it does not exist"
        except OSError as exc:
            return "%s cannot read it: %s" % (self.user.name, exc.strerror)
        return ""

    def _below(self, real: str) -> bool:
        root = os.path.realpath(self.root)
        return real == root or real.startswith(root.rstrip("/") + "/")
