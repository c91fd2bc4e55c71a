# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resetting rows of a FITS queue: what is planned, what refuses, how it is applied."""

from __future__ import annotations

import time
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Set

from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.errors import Refusal
from .errors import FitsError
from .findings import diagnose_queue
from .observe import FitsHost, FitsState, seconds
from .queue import QueueState, judge
from .queue_plan import plan_reset
from .reading import spellings
from .rows import RowStore
from .tables import RESETTABLE
from .workers import script_name


class QueueReset(Procedure[FitsState]):
    """Puts broken rows of one queue back in line, or removes the twin that blocks them."""

    name = "fits_queue_reset"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.queue: str = params["queue"]
        self.names: Optional[Sequence[str]] = params["filename"] or None
        self.conditions = tuple(params["conditions"])
        self.settle = seconds("settle", params["settle"])
        self.others_stopped: bool = params["other_hosts_stopped"]
        self.host = FitsHost(params)
        self.known_pids: Set[int] = set()

    def close(self) -> None:
        self.host.close()

    def observe(self) -> FitsState:
        if self.queue not in RESETTABLE:
            raise FitsError("rows of the %s queue cannot be reset: in progress is no fault there; queues that can: %s" % (self.queue, ", ".join(RESETTABLE)))
        states = self.host.observe([self.queue], self.names)
        if not states[self.queue].table.writable:
            table = states[self.queue].table.name
            raise FitsError("the database user may not mend %s: it needs SELECT, INSERT, UPDATE and DELETE on it" % table)
        self.known_pids = {process.pid for process in states[self.queue].workers.live}
        return FitsState(self.host.schema, states, {})

    def diagnose(self, state: FitsState) -> List[Finding]:
        """Without the finding that no worker runs: around a repair they are stopped on purpose."""
        found = diagnose_queue(state.queues[self.queue])
        return [finding for finding in found if not finding.code.endswith(".no_worker")]

    def plan(self, state: FitsState) -> List[Change]:
        return plan_reset(state.queues[self.queue], self.conditions)[0]

    def facts(self, state: FitsState) -> Mapping[str, Any]:
        _changes, left = plan_reset(state.queues[self.queue], self.conditions)
        return {
            "schema_generation": state.schema.generation,
            "left": [{"id": each.row.id, "filename": each.row.filename, "path": each.row.path, "why": each.why} for each in left[:1000]],
        }

    def evidence(self, state: FitsState) -> Mapping[str, Any]:
        return {"workers": {self.queue: state.queues[self.queue].workers.to_dict()}}

    def guards(self, state: FitsState, plan: Sequence[Change]) -> List[Refusal]:
        if "orphaned" not in self.conditions and "twin" not in self.conditions:
            return []
        return live_guard(state.queues[self.queue], self.names)

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """One transaction: a million rows are three statements, not a loop."""
        yield plan

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        if any(_was_in_progress(change) for change in changes):
            time.sleep(self.settle)
        table = self.host.schema.table(self.queue)
        return RowStore(self.host.postgres, table, self._recheck).apply(changes)

    def context(self) -> Mapping[str, Any]:
        return {"database": self.host.postgres.database, "queue": self.queue, "other_hosts_stopped": self.others_stopped, "places": self.host.places._asdict()}

    def _recheck(self, changes: Sequence[Change]) -> None:
        """Under the row locks: a worker that came up, or took one of these files, since the plan was made stops everything."""
        mended = {change.before["filename"] for change in changes if change.before and _was_in_progress(change) and "filename" in change.before}
        if not any(_was_in_progress(change) for change in changes):
            return
        workers = self.host.workers_now(self.queue)
        fresh = [process.pid for process in workers.live if process.pid not in self.known_pids]
        fresh += [pid for pid, line in workers.last_lines.items() if line.filename in mended]
        if fresh:
            raise FitsError(
                "a %s worker (pid %d) started, or took one of these files, while the queue was being mended; nothing was written."
                " Stop the workers and run it again." % (self.queue, fresh[0])
            )


def _was_in_progress(change: Change) -> bool:
    return bool(change.before and change.before.get("inprogress"))


def live_guard(state: QueueState, names: Optional[Sequence[str]]) -> List[Refusal]:
    """Refuses where a row that is asked for may have a worker on it.

    In the whole queue a row in progress under a live worker is simply healthy; what is refused is a file named outright,
    more rows in progress than there are workers, and a worker that cannot be ruled out.
    """
    verdict = judge(state)
    busy = [judged.row for judged in verdict.judged if judged.condition == "in_progress"]
    wanted = set(spellings(names or ()))
    named = [row for row in busy if row.filename in wanted]
    doubtful = named or (busy if verdict.suspects or state.workers.unknown else [])
    if not doubtful:
        return []
    pids = ", ".join("pid %d" % process.pid for process in state.workers.live)
    reasons = (["%s running (%s)." % (script_name(state.table.queue), pids)] if pids else []) + ["%s." % reason for reason in state.workers.unknown]
    return [
        Refusal(
            "live_worker",
            "a worker may be at work on %d rows in progress, first row %d (%s): %s" % (len(doubtful), doubtful[0].id, doubtful[0].filename, " ".join(reasons)),
            "stop every worker of this queue (the playbook fits_%s_queue.yml stops and starts those of its hosts; for sessions of other hosts that are no"
            " workers, or are stopped, other_hosts_stopped: true), or leave orphaned and twin out of conditions." % state.table.queue,
        )
    ]
