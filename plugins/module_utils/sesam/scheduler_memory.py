# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal remembers of a switch: whether this collection turned the scheduler off there, and what was there before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, Mapping, Optional, Sequence, Tuple

from ..procedure.envelope import Image
from ..procedure.errors import JournalError
from ..procedure.journal import Journal, Run
from .metadata import is_off

SCHEDULER = "sesam_scheduler"
CONFIG = "sesam_config"
SWITCH = "switch"
"""What the header of an upload says of the switch that it turned."""
KEY = "switch_key"


@dataclass(frozen=True)
class Memory:
    """Of one subject. ``ours``: the newest run that touched it turned the scheduler off."""

    ours: bool = False
    before: Optional[Image] = None
    """What was there before that, None where there was nothing."""
    touched: float = 0.0
    """When the newest run began that touched it."""


def remember(journal: Journal, key: str, subjects: Sequence[str]) -> Dict[str, Memory]:
    """Newest first, so that a subject is settled by the first run that touched it."""
    found: Dict[str, Memory] = {}
    for run in journal.all_runs():
        if len(found) == len(subjects):
            break
        fix = str(run.header.get("context_of") or run.fix)
        if fix not in (SCHEDULER, CONFIG) or run.header.get(KEY) != key:
            continue
        for subject, before, after in _touched(journal, run, fix):
            if subject in subjects and subject not in found:
                ours = after is not None and is_off(after) and not (before is not None and is_off(before))
                found[subject] = Memory(ours, before if ours else None, run.started)
    return found


def _touched(journal: Journal, run: Run, fix: str) -> Iterator[Tuple[str, Optional[Image], Optional[Image]]]:
    """Switches that a run turned, or may have, each with its image before and after."""
    try:
        entries = journal.read(run.undo_id).touched()
    except JournalError:
        return
    if fix == SCHEDULER:
        for entry in entries:
            yield entry.change.subject, entry.change.before, entry.actual or entry.change.after
    elif entries:
        told = run.header.get(SWITCH)
        if isinstance(told, Mapping):
            images = told.get("before"), told.get("after")
            yield str(told.get("subject")), *(images if not run.header.get("undo_of") else images[::-1])
