# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guards that hold for every fix. Each says pass, refuse or off, and why; the engine collects what all of them say."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

from .envelope import Change, Finding, Remedy
from .errors import Refusal
from .journal import Journal
from .limits import Limits, limits_of
from .lock import Lease
from .memory import Again, came_back, made
from .pause import Pause, pauses
from .windows import ONLY_INSIDE, Opening, opening

PASS, REFUSE, OFF = "pass", "refuse", "off"
NAMES = ("pause", "windows", "max_changes", "approved_plan", "accept_data_loss", "cooldown", "escalation", "lock")


@dataclass(frozen=True)
class GuardOptions:
    """The option group that every fix shares; documented in the fragment ``guards``."""

    max_changes: int = 1000
    cooldown: float = 0.0
    lock_wait: float = 0.0
    lock_expiry: float = 900.0
    accept_data_loss: Sequence[str] = ()
    approved_plan: Optional[str] = None
    journal_dir: Optional[str] = None
    journal_keep_days: float = 90.0
    journal_keep_runs: int = 1000
    initiator: Mapping[str, Any] = field(default_factory=dict)
    limits_dir: Optional[str] = None
    paused: Optional[str] = None
    windows: Sequence[str] = ()
    windows_mean: str = ONLY_INSIDE
    windows_timezone: str = "UTC"
    escalate_after: int = 0
    escalate_within: float = 86400.0

    @property
    def remembered(self) -> float:
        """Seconds for which the journal must know what was done."""
        return max(self.cooldown, self.escalate_within if self.escalate_after else 0.0)


class Decision(NamedTuple):
    """What one guard said of a plan, and what would allow it where it refused."""

    guard: str
    decision: str
    why: str
    allow: str = ""

    def to_dict(self) -> dict[str, str]:
        return {"guard": self.guard, "decision": self.decision, "why": self.why, "allow": self.allow}


class Verdict(NamedTuple):
    """What all guards said, and what a person is to hear of it."""

    decisions: List[Decision]
    findings: List[Finding]

    @property
    def refusals(self) -> List[Refusal]:
        return [Refusal(said.guard, said.why, said.allow) for said in self.decisions if said.decision == REFUSE]


def nothing_asked(own: Sequence[Refusal]) -> Verdict:
    """Where there is nothing to do, only the fix itself may object."""
    return Verdict(_own(own) + [Decision(name, OFF, "nothing is to be done") for name in NAMES], [])


def check_all(
    fix: str,
    plan: Sequence[Change],
    sha256: str,
    options: GuardOptions,
    journal: Journal,
    holder: Optional[Lease],
    own: Sequence[Refusal] = (),
    exempt: Sequence[str] = (),
    limits: Optional[Limits] = None,
    who: str = "",
) -> Verdict:
    """What every guard says of a plan that is not empty."""
    place = limits or limits_of(options.limits_dir, journal.directory)
    again = escalated(fix, plan, options, journal)
    window = opening(options.windows, options.windows_mean, options.windows_timezone, time.time())
    losses = sum(1 for change in plan if change.data_loss)
    told = (
        _said("pause", paused(pauses((place.directory, journal.directory), options.paused, who)), "", "nobody has paused the fixes"),
        _said("windows", outside(window, options.windows_mean), "" if window else "there are no maintenance windows", window.told() if window else ""),
        _said(
            "max_changes",
            too_many(plan, options.max_changes),
            "" if options.max_changes else "max_changes is 0",
            "%s planned, at most %d are allowed" % ("1 change is" if len(plan) == 1 else "%d changes are" % len(plan), options.max_changes),
        ),
        _said("approved_plan", not_approved(sha256, options.approved_plan), "" if options.approved_plan else "no plan was approved", "it is the approved plan"),
        _said(
            "accept_data_loss",
            would_lose(plan, options.accept_data_loss),
            "",
            "%d losses are accepted by name" % losses if losses else "nothing would be lost",
        ),
        _said(
            "cooldown",
            too_soon(fix, plan, options.cooldown, journal),
            "" if options.cooldown > 0 else "cooldown is 0",
            "not made on these subjects within %d s" % options.cooldown,
        ),
        _said(
            "escalation",
            too_often(again, options),
            "" if options.escalate_after else "escalate_after is 0",
            "made on none of these subjects %d times within %d s" % (options.escalate_after, options.escalate_within),
        ),
        _said("lock", locked(holder), "", "no other remediation is at work (%s)" % place.scope()),
    )
    decisions = [Decision(said.guard, OFF, "this fix may always be made") if said.guard in exempt else said for said in told]
    findings = [] if "escalation" in exempt else [escalation_finding(each, options.escalate_within) for each in again]
    return Verdict(_own(own) + decisions, findings)


def _own(refusals: Sequence[Refusal]) -> List[Decision]:
    return [Decision(refusal.guard, REFUSE, refusal.reason, refusal.allow) for refusal in refusals]


def _said(guard: str, refusal: Optional[Refusal], off: str, passed: str) -> Decision:
    if refusal is not None:
        return Decision(guard, REFUSE, refusal.reason, refusal.allow)
    return Decision(guard, OFF, off) if off else Decision(guard, PASS, passed)


def paused(found: Sequence[Pause]) -> Optional[Refusal]:
    if not found:
        return None
    ways = ["%s (runbook_pause with state: absent)" % pause.path if pause.path else "the option paused" for pause in found]
    told = "; ".join(pause.describe() for pause in found)
    return Refusal("pause", "%s." % told, "ask whoever paused them, or wait until the pause ends; it is ended by removing %s." % " and ".join(ways))


def outside(window: Optional[Opening], meaning: str) -> Optional[Refusal]:
    if window is None or window.allowed:
        return None
    rule = "fixes are made only inside them" if meaning == ONLY_INSIDE else "fixes are never made inside them"
    way = "wait for it, or pass windows: []" if window.until is not None else "pass other windows"
    return Refusal("windows", "%s, and %s." % (window.told(), rule), "%s." % way)


def too_many(plan: Sequence[Change], limit: int) -> Optional[Refusal]:
    if limit == 0 or len(plan) <= limit:
        return None
    return Refusal(
        "max_changes",
        "%d changes are planned, at most %d are allowed." % (len(plan), limit),
        "read the plan, then pass max_changes: %d, or name fewer subjects." % len(plan),
    )


def not_approved(sha256: str, approved: Optional[str]) -> Optional[Refusal]:
    if approved is None or approved.lower() == sha256:
        return None
    return Refusal(
        "approved_plan",
        "today's plan %s is not the approved one %s: what it acts on has changed since the approval." % (sha256, approved.lower()),
        "read today's plan and approve it: approved_plan: %s." % sha256,
    )


def would_lose(plan: Sequence[Change], accepted: Sequence[str]) -> Optional[Refusal]:
    losses = sorted({change.data_loss for change in plan if change.data_loss} - set(accepted))
    if not losses:
        return None
    return Refusal(
        "accept_data_loss",
        "the plan would lose: %s." % "; ".join(losses),
        "accept_data_loss listing exactly %s." % ", ".join(repr(loss) for loss in losses),
    )


def too_soon(fix: str, plan: Sequence[Change], cooldown: float, journal: Journal) -> Optional[Refusal]:
    """The journal is the memory: a run that failed does not count, nor what was undone."""
    if cooldown <= 0:
        return None
    wanted = {change.subject for change in plan}
    for run, age, subjects in made(journal, cooldown, fix):
        again = sorted(wanted & subjects)
        if again:
            return Refusal(
                "cooldown",
                "the same fix was run on %d of these subjects %d s ago (run %s), first %s: it does not hold." % (len(again), age, run.undo_id, again[0]),
                "find out why it came back; or wait %d s, or pass cooldown: 0." % (cooldown - age + 1),
            )
    return None


def escalated(fix: str, plan: Sequence[Change], options: GuardOptions, journal: Journal) -> List[Again]:
    """What is wanted again although it was made that often."""
    if options.escalate_after <= 0:
        return []
    wanted = {change.subject for change in plan}
    return [again for again in came_back(journal, options.escalate_within, options.escalate_after, fix) if again.subject in wanted]


def too_often(again: Sequence[Again], options: GuardOptions) -> Optional[Refusal]:
    if not again:
        return None
    worst = again[0]
    return Refusal(
        "escalation",
        "the same fix was made on %d of these subjects %d times or more within %d s, and each time it came back; most often (%d times) on %s."
        % (len(again), options.escalate_after, options.escalate_within, len(worst.runs), worst.subject),
        "a person must find out why it comes back; then pass escalate_after: 0 for this once.",
    )


def escalation_finding(again: Again, within: float) -> Finding:
    return Finding(
        "limits.escalated",
        "critical",
        again.subject,
        "%s was made on %s %d times within %d s and does not hold: somebody must find out why" % (again.fix, again.subject, len(again.runs), within),
        {"fix": again.fix, "times": len(again.runs), "within": within, "runs": again.runs[:20]},
        Remedy("no fix of this collection will do: find the cause, starting at the runs that runbook_journal_info lists"),
    )


def locked(holder: Optional[Lease]) -> Optional[Refusal]:
    if holder is None:
        return None
    return Refusal(
        "lock",
        "another remediation is at work on this node: %s." % holder.describe(time.time()),
        "wait until it is done, or pass lock_wait with the seconds to wait for it.",
    )
