# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What limits the fixes of a node right now: its lock, its pause, its windows, and what came back too often."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

from .check import Check
from .envelope import Finding
from .errors import RunbookError
from .guard import GuardOptions, escalation_finding
from .journal import Journal
from .limits import Limits, limits_of
from .lock import Lease
from .memory import Again, came_back
from .pause import Pause, pauses
from .windows import Opening, opening, utc


class LimitsState(NamedTuple):
    limits: Limits
    holder: Optional[Lease]
    pauses: Sequence[Pause]
    window: Optional[Opening]
    again: Sequence[Again]
    now: float


class NodeLimits(Check[LimitsState]):
    """Reads; creates nothing, not even the directory."""

    name = "runbook_limits_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.options = GuardOptions(**{name: params[name] for name in GuardOptions.__dataclass_fields__ if name in params})
        if self.options.escalate_after < 0 or not 0 <= self.options.escalate_within < float("inf"):
            raise RunbookError("escalate_after and escalate_within must be 0 or more")
        self.journal = Journal(self.options.journal_dir)

    def observe(self) -> LimitsState:
        options, now = self.options, time.time()
        limits = limits_of(options.limits_dir, self.journal.directory)
        window = opening(options.windows, options.windows_mean, options.windows_timezone, now)
        again = came_back(self.journal, options.escalate_within, options.escalate_after) if options.escalate_after else []
        found = pauses((limits.directory, self.journal.directory), options.paused, now=now)
        return LimitsState(limits, limits.lock(0).holder(), found, window, again, now)

    def diagnose(self, state: LimitsState) -> List[Finding]:
        place = state.limits.directory
        found = [Finding("limits.paused", "warning", pause.path or place, pause.describe(), pause.to_dict()) for pause in state.pauses]
        found += [escalation_finding(each, self.options.escalate_within) for each in state.again]
        if state.holder is not None:
            told = "a remediation is at work on this node: %s" % state.holder.describe(state.now)
            found.append(Finding("limits.locked", "info", place, told, asdict(state.holder)))
        if state.window is not None and not state.window.allowed:
            found.append(Finding("limits.outside", "info", place, "fixes would be refused now: %s" % state.window.told(), {"windows": self.options.windows}))
        if not state.limits.common:
            found.append(Finding("limits.private", "info", place, "the lock and the pause hold %s" % state.limits.scope()))
        return found or [Finding("limits.ok", "ok", place, "nothing keeps fixes from being made on this node")]

    def facts(self, state: LimitsState) -> Mapping[str, Any]:
        window = state.window
        return {
            "limits": {"directory": state.limits.directory, "common": state.limits.common, "scope": state.limits.scope()},
            "lock": asdict(state.holder) if state.holder else None,
            "pauses": [pause.to_dict() for pause in state.pauses],
            "windows": window and {"allowed": window.allowed, "inside": window.inside, "until": None if window.until is None else utc(window.until)},
            "escalations": [
                {"fix": each.fix, "subject": each.subject, "times": len(each.runs), "runs": each.runs, "last": utc(each.last)} for each in state.again
            ],
        }
