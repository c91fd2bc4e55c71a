# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: observe, diagnose, plan, guard, journal, apply, verify. It knows no system and no server.

Check mode walks the same path and stops after the guards, so the plan is the prediction.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Generic, Optional, Sequence

from .check import Procedure, Result, S, shown
from .envelope import Change, plan_sha256
from .errors import JournalError, NotConverged, Refusal, Refused, RunbookError
from .guard import GuardOptions, check_all, nothing_asked
from .journal import Journal, RunWriter, boundary
from .limits import limits_of
from .who import who


class Engine(Generic[S]):
    """Runs one procedure once."""

    def __init__(self, procedure: Procedure[S], options: GuardOptions, check_mode: bool) -> None:
        self.procedure = procedure
        self.options = options
        self.check_mode = check_mode
        self.journal = Journal(options.journal_dir)
        self.limits = limits_of(options.limits_dir, self.journal.directory)
        self.lock = self.limits.lock(options.lock_expiry)
        self.who = who(options.initiator)
        self.result: Optional[Result] = None
        """What is known so far, also when ``run`` raised."""

    def run(self) -> Result:
        if self.check_mode:
            self.journal.check()
            return self._run(self.lock.holder())
        self.journal.prepare()
        self.limits = limits_of(self.options.limits_dir, self.journal.directory, make=True)
        self.lock = self.limits.lock(self.options.lock_expiry)
        try:
            return self._run(self.lock.acquire("%s-%d" % (self.procedure.name, time.time_ns()), self.procedure.name, self.who["user"], self.options.lock_wait))
        finally:
            with contextlib.suppress(JournalError):  # it ends with this process all the same
                self.lock.release()

    def _run(self, holder: Any) -> Result:
        procedure = self.procedure
        state = procedure.observe()
        plan = procedure.plan(state)
        result = Result(procedure.diagnose(state), procedure.facts(state), procedure.evidence(state), plan, [], plan_sha256(procedure.name, plan))
        self.result = result
        self._ask(result, procedure.guards(state, plan), holder)
        result.changed = bool(plan)
        if plan and not self.check_mode:
            self._change(result)
        return result

    def _ask(self, result: Result, own: Sequence[Refusal], holder: Any) -> None:
        """All guards, so that one refusal tells everything that is in the way."""
        procedure, plan = self.procedure, result.changes
        verdict = nothing_asked(own)
        if plan:
            told = (procedure.exempt, self.limits, self.who["user"])
            verdict = check_all(procedure.name, plan, str(result.sha256), self.options, self.journal, holder, own, *told)
        result.guards = [decision.to_dict() for decision in verdict.decisions]
        result.findings = result.findings + verdict.findings
        if verdict.refusals:
            raise Refused(procedure.name, verdict.refusals, len(plan))

    def _change(self, result: Result) -> None:
        result.changed = False
        options = self.options
        header = dict(self.procedure.context(), who=self.who, plan_sha256=result.sha256, total=len(result.changes))
        self.journal.prune(options.journal_keep_days, max(0, options.journal_keep_runs - 1), options.remembered, [header.get("undo_of", "")])
        writer = self.journal.start(self.procedure.name, header)
        try:
            for batch in self.procedure.batches(result.changes):
                self._change_batch(result, writer, batch)
            if len(result.outcomes) != len(result.changes):
                raise RunbookError("%s left out %d planned changes" % (self.procedure.name, len(result.changes) - len(result.outcomes)))
            self._verify(result)
        except Exception as exc:
            with contextlib.suppress(JournalError):  # what went wrong first is what counts
                writer.end("failed", str(exc))
            raise
        writer.end("ok")

    def _change_batch(self, result: Result, writer: RunWriter, batch: Sequence[Change]) -> None:
        first = len(result.outcomes)
        if list(batch) != result.changes[first : first + len(batch)]:
            raise RunbookError("%s would make its changes in another order than it planned them" % self.procedure.name)
        self.lock.renew()
        writer.begin(first, batch)
        undo_id, result.undo_id = result.undo_id, writer.undo_id
        boundary("apply.before")
        outcomes = self.procedure.apply(batch)
        boundary("apply.after")
        if len(outcomes) != len(batch):
            raise RunbookError("%s gave %d outcomes for %d changes" % (self.procedure.name, len(outcomes), len(batch)))
        result.outcomes.extend(outcomes)
        result.changed = any(outcome.done for outcome in result.outcomes)
        if not any(outcome.done for outcome in outcomes):
            result.undo_id = undo_id
        writer.done(first, outcomes)

    def _verify(self, result: Result) -> None:
        """Look again: of what was planned, nothing may be left to do."""
        state = self.procedure.observe()
        result.findings = self.procedure.diagnose(state)
        result.facts, result.evidence = self.procedure.facts(state), self.procedure.evidence(state)
        made = {change.subject for change, outcome in zip(result.changes, result.outcomes) if outcome.done}
        left = [change for change in self.procedure.plan(state) if change.subject in made]
        if left:
            raise NotConverged(
                "%s made its changes, but %d of them are needed again at once, first %s: %s"
                % (self.procedure.name, len(left), left[0].subject, left[0].reason),
                left=shown(left),
            )
