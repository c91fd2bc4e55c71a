# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search of the storage root as one module run asks for it, and the file that tells how far it has come."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Sequence

from ..connect.tree import Outcome, search
from .errors import FitsError


@dataclass(frozen=True)
class Limits:
    """Options of the search."""

    timeout: float
    workers: int
    max_entries: int
    one_file_system: bool = True
    progress_file: Optional[str] = None

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= 86400:
            raise FitsError("search_timeout must be more than 0 and at most 86400 seconds, not %s" % self.timeout)
        if not 1 <= self.workers <= 64:
            raise FitsError("search_workers must be 1 to 64, not %d" % self.workers)
        if self.max_entries < 0:
            raise FitsError("search_max_entries must be 0 or more, not %d" % self.max_entries)


def search_storage(root: str, names: Mapping[str, Sequence[str]], first: Sequence[str], limits: Limits) -> Outcome:
    """Search for files; the progress file is written before anything else, so that a bad one costs no time."""
    report = _Progress(limits.progress_file) if limits.progress_file else None
    if report is not None:
        report(Outcome(len(names)))
    return search(root, names, first, limits.timeout, limits.workers, limits.max_entries, limits.one_file_system, report)


class _Progress:
    """Replaces a small JSON file; a reader sees the old one or the new one, never half of it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.started = time.time()

    def __call__(self, outcome: Outcome) -> None:
        facts = dict(to_dict(outcome), finished=bool(outcome.complete or outcome.stopped), started=round(self.started, 3), written=round(time.time(), 3))
        new = "%s.%d.new" % (self.path, os.getpid())
        try:
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with open(handle, "w", encoding="utf-8") as file:
                json.dump(facts, file)
            os.replace(new, self.path)
        except OSError as exc:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise FitsError("the progress file %s cannot be written: %s" % (self.path, exc.strerror)) from exc


def to_dict(outcome: Outcome) -> Dict[str, Any]:
    facts = asdict(outcome)
    return dict(facts, found=len(outcome.found), denied=list(outcome.denied), left_out=list(outcome.left_out))
