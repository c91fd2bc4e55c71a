# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out one planned change to the files of level 4, forwards or as the undo of an undo."""

from __future__ import annotations

import os
from typing import Any, Dict, Mapping

from ..procedure.envelope import Change, Outcome
from .errors import JobRunnerError
from .manifest import set_entry
from .output_look import size_of
from .output_quarantine import Quarantine


def carry_out(quarantine: Quarantine, change: Change) -> Outcome:
    before, after = change.before or {}, change.after or {}
    try:
        if "entry" in before and after["entry"] is None and size_of(before["root"], "%s/%s" % (before["workspace"], before["file"])) is not None:
            note = "the file was left where it is, or is back: its entry stays"
        elif "entry" in before:
            note = set_entry(before["root"], before["workspace"], before["file"], before["entry"], after["entry"])
        elif "copy" in before:
            note = quarantine.rename(before["root"], before["path"], before["name"], after["name"])
        elif change.after is None:
            note = quarantine.purge(before["root"], before["path"], _name_now(quarantine, before, change.token))
        else:
            note = quarantine.take(before["root"], before["path"], tuple(change.token), os.path.basename(after["quarantine"]), after["sha256"])
    except OSError as exc:
        raise JobRunnerError("%s: %s cannot be done: %s" % (change.subject, change.action.replace("_", " "), exc.strerror)) from exc
    return Outcome(not note, note)


def _name_now(quarantine: Quarantine, before: Mapping[str, Any], name: str) -> str:
    """A copy that a killed run left unfinished gets its name when it counts; it is deleted under whichever it has."""
    names: Dict[str, str] = {os.path.basename(copy.path): copy.name for copy in quarantine.copies(before["root"], before["path"])}
    return names.get(os.path.basename(before["quarantine"]), name)
