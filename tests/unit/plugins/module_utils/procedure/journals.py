# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole journals to be read, pruned and damaged."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Outcome
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal

HEADER = {"who": {"user": "u"}, "plan_sha256": "00", "total": 1, "room": "cellar"}
CHANGE = Change("put", "cup", {"full": False}, {"full": True}, "thirst")


def write(journal: Journal, status: str = "ok", fix: str = "fix", at: float | None = None, changes: Any = (CHANGE,), **header: Any) -> str:
    """A whole run; unfinished when the status is empty."""
    with mock.patch("time.time", return_value=time.time() if at is None else at):
        writer = journal.start(fix, dict(HEADER, **header))
        writer.begin(0, changes)
        writer.done(0, [Outcome(True)] * len(changes))
        if status:
            writer.end(status, "" if status == "ok" else "it broke")
        else:
            os.close(writer._handle)
    return writer.undo_id


def path_of(journal: Journal, undo_id: str) -> Path:
    return Path(journal.runs) / (undo_id + ".jsonl")


def edit(journal: Journal, undo_id: str, number: int, text: str) -> None:
    """Replace one line, counted from 0."""
    path = path_of(journal, undo_id)
    lines = path.read_text(encoding="ascii").splitlines(keepends=True)
    lines[number] = text
    path.write_text("".join(lines), encoding="latin-1")
