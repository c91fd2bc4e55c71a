# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the journal of a node tells: runs, who made them, which never finished, which were taken back."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict, replace
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from .check import Check
from .envelope import Finding, Remedy
from .errors import RunbookError
from .journal import Journal, Run
from .limits import limits_of
from .lock import Lease


class HistoryState(NamedTuple):
    runs: List[Run]
    undone_by: Mapping[str, List[Run]]
    unreadable: List[str]
    holder: Optional[Lease]


class History(Check[HistoryState]):
    """Reads the journal; creates nothing, not even the directory."""

    name = "runbook_journal_info"
    judged_by = ("directory",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.journal = Journal(params["journal_dir"])
        self.limits = limits_of(params.get("limits_dir"), self.journal.directory)
        self.directory = self.journal.directory
        self.wanted: Optional[str] = params["undo_id"]
        self.fix: Optional[str] = params["fix"]
        self.limit: int = params["limit"]
        if self.limit < 1:
            raise RunbookError("limit must be 1 or more, not %d" % self.limit)

    def observe(self) -> HistoryState:
        undone_by: Dict[str, List[Run]] = defaultdict(list)
        unreadable: List[str] = []
        runs = []
        for run in self.journal.all_runs(unreadable):
            if run.header.get("undo_of"):
                undone_by[run.header["undo_of"]].append(run)
            if self.fix in (None, run.fix):
                runs.append(run)
        if self.wanted:
            runs = [self.journal.read(self.wanted)]
        runs.sort(key=lambda run: run.status != "unfinished")
        return HistoryState(runs[: self.limit], undone_by, unreadable, self.limits.lock(0).holder())

    def diagnose(self, state: HistoryState) -> List[Finding]:
        stopped = [run for run in state.runs if run.status == "unfinished" and not _at_work(run, state.holder)]
        found = [self._stopped(run) for run in stopped if not any(undo.status == "ok" for undo in state.undone_by.get(run.undo_id, ()))]
        found += [Finding("runbook.journal.unreadable", "warning", self.directory, text) for text in state.unreadable]
        return found or [Finding("runbook.journal.ok", "ok", self.directory, "no run was left unfinished")]

    def to_record(self, state: HistoryState) -> Tuple[HistoryState, Mapping[str, Any]]:
        """Without before images: what was in a table is nothing that a finding needs."""
        undone_by = {undo_id: [replace(run, changes=[]) for run in runs] for undo_id, runs in state.undone_by.items()}
        return super().to_record(state._replace(runs=[replace(run, changes=[]) for run in state.runs], undone_by=undone_by))

    def _stopped(self, run: Run) -> Finding:
        return Finding(
            "runbook.journal.unfinished",
            "warning",
            run.undo_id,
            "%s by %s was stopped half way on %s" % (run.fix, run.header["who"].get("user"), _utc(run.started)),
            {"total": run.header["total"]},
            Remedy("run the same fix again to finish it, or take it back with runbook_undo undo_id=%s" % run.undo_id),
        )

    def facts(self, state: HistoryState) -> Mapping[str, Any]:
        return {
            "runs": [self._run(run, [undo.undo_id for undo in state.undone_by.get(run.undo_id, ())]) for run in state.runs],
            "lock": asdict(state.holder) if state.holder else None,
        }

    def _run(self, run: Run, undone_by: List[str]) -> Dict[str, Any]:
        header = run.header
        shown = {
            "undo_id": run.undo_id,
            "fix": run.fix,
            "status": run.status,
            "error": run.error,
            "started": _utc(run.started),
            "ended": _utc(run.ended) if run.ended else None,
            "who": header["who"],
            "plan_sha256": header["plan_sha256"],
            "total": header["total"],
            "context": run.context,
            "undo_of": header.get("undo_of"),
            "undone_by": undone_by,
        }
        if self.wanted:
            shown["changes"] = [dict(entry.change.to_dict(), n=entry.n, state=entry.state) for entry in run.changes]
        return shown


def _at_work(run: Run, holder: Optional[Lease]) -> bool:
    return holder is not None and holder.pid == run.header["who"].get("pid") and run.started >= holder.since


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
