# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the FITS queues."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..procedure.check import Check
from ..procedure.envelope import Finding
from .findings import diagnose_watched, queue_facts
from .observe import FitsHost, FitsState, seconds
from .queue import QueueState, Verdict, judge
from .reading import queue_errors


class QueueInfo(Check[FitsState]):
    """Reads the queues."""

    name = "fits_queue_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.queues: Sequence[str] = params["queues"]
        self.names: Optional[Sequence[str]] = params["filename"] or None
        self.limit: int = params["max_entries"] or 10**9
        self.error_limit: int = params["max_errors"]
        self.watch_seconds = seconds("watch", params["watch"])
        self.host = FitsHost(params)

    def close(self) -> None:
        self.host.close()

    def observe(self) -> FitsState:
        queues = self.host.observe(self.queues, self.names)
        moves = self.host.watch(self.queues, self.watch_seconds) if self.watch_seconds else {}
        return FitsState(self.host.schema, queues, moves)

    def diagnose(self, state: FitsState) -> List[Finding]:
        return [finding for name, queue in state.queues.items() for finding in diagnose_watched(queue, state.moves.get(name))]

    def facts(self, state: FitsState) -> Mapping[str, Any]:
        facts: Dict[str, Any] = {}
        for name, queue in state.queues.items():
            verdict = judge(queue)
            facts[name] = queue_facts(queue, verdict, self.limit, self._errors(queue, verdict))
            facts[name]["moves"], facts[name]["moves_reason"] = moves(queue, verdict, state.moves.get(name), name in state.moves)
        return {"schema_generation": state.schema.generation, "database": self.host.postgres.database, "queues": facts}

    def evidence(self, state: FitsState) -> Mapping[str, Any]:
        return {"workers": {name: queue.workers.to_dict() for name, queue in state.queues.items()}, "timezone": self.host.timezone}

    def _errors(self, queue: QueueState, verdict: Verdict) -> Dict[str, List[Dict[str, str]]]:
        """Stored errors of A and B; C keeps them on the row."""
        broken = (judged.row.filename for judged in verdict.judged if judged.condition not in ("pending", "in_progress"))
        names = list(dict.fromkeys(name for name in broken if name))[: self.limit]
        if not names or not self.host.schema.has_queue_error or self.error_limit == 0:
            return {}
        return queue_errors(self.host.postgres, queue.table.queue, names, self.error_limit)


def moves(state: QueueState, verdict: Verdict, watched: Optional[bool], was_watched: bool) -> tuple[Optional[bool], str]:
    """Whether the queue moves, and how that is known. ``None``: nothing to do, or it cannot be told."""
    if was_watched and watched is not None:
        return watched, "rows changed while it was watched" if watched else "nothing changed while it was watched"
    waiting = verdict.counts["pending"] + verdict.counts["starved"]
    if not waiting and not verdict.counts["in_progress"]:
        return None, "nothing waits"
    if not state.workers.may_be_live:
        return False, "rows wait and no worker is running"
    return None, "a worker is, or may be, live; pass watch to see whether rows move"
