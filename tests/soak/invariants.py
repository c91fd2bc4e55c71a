# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true after each round, judged from what was seen before and after. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Data that must survive, by a name and what is in it."""
    gone = [f"lost: {name}" for name in sorted(before) if name not in after]
    return gone + [f"damaged: {name}: {before[name]!r} became {after[name]!r}" for name in sorted(before) if name in after and after[name] != before[name]]


def locked(journal: Mapping[str, Any]) -> list[str]:
    """Nobody works any more, so nobody has the lock."""
    return [f"a lock is left: {journal['lock']}"] if journal.get("lock") else []


def incomplete(runs: Sequence[Mapping[str, Any]], known: Sequence[str], killed: bool) -> list[str]:
    """Each run that was started has an end; one that was killed is told as unfinished, and stays in the journal."""
    wrong = [f"a run has vanished from the journal: {each}" for each in known if each not in {run["undo_id"] for run in runs}]
    for run in runs:
        if run["status"] == "unfinished" and run["undo_id"] not in known and not killed:
            wrong.append(f"nothing was killed, and {run['undo_id']} has no end")
        if run["status"] != "unfinished" and not run["ended"]:
            wrong.append(f"{run['undo_id']} is {run['status']} and has no time of its end")
    return wrong


def unseen(wanted: Mapping[str, str], seen: Sequence[str]) -> list[str]:
    """A fault that was made, and no look has found."""
    return [f"not found: {fault} ({code})" for fault, code in sorted(wanted.items()) if code not in seen]
