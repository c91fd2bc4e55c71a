# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guards that hold for every fix. Each returns a refusal or nothing; the engine collects them all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Set

from .envelope import Change
from .errors import Refusal
from .journal import DONE, Journal
from .lock import Lease


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


def check_all(fix: str, plan: Sequence[Change], sha256: str, options: GuardOptions, journal: Journal, holder: Optional[Lease]) -> list[Refusal]:
    """Every refusal of a plan that is not empty."""
    checks = (
        too_many(plan, options.max_changes),
        not_approved(sha256, options.approved_plan),
        would_lose(plan, options.accept_data_loss),
        too_soon(fix, plan, options.cooldown, journal),
        locked(holder),
    )
    return [refusal for refusal in checks if refusal is not None]


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
    now = time.time()
    wanted = {change.subject for change in plan}
    undone: Dict[str, Set[int]] = {}
    for run in journal.all_runs():
        age = max(0.0, now - run.started)
        if age > cooldown:
            break
        if run.status != "ok":
            continue
        if run.header.get("undo_of") and run.undo_id not in undone:  # an undo that was undone itself releases nothing
            undone.setdefault(run.header["undo_of"], set()).update(run.header.get("undone", ()))
        if run.fix != fix:
            continue
        taken_back = undone.get(run.undo_id, set())
        made = {entry.change.subject for entry in journal.read(run.undo_id).changes if entry.state == DONE and entry.n not in taken_back}
        again = sorted(wanted & made)
        if again:
            return Refusal(
                "cooldown",
                "the same fix was run on %d of these subjects %d s ago (run %s), first %s: it does not hold." % (len(again), age, run.undo_id, again[0]),
                "find out why it came back; or wait %d s, or pass cooldown: 0." % (cooldown - age + 1),
            )
    return None


def locked(holder: Optional[Lease]) -> Optional[Refusal]:
    if holder is None:
        return None
    return Refusal(
        "lock",
        "another remediation is at work on this node: %s." % holder.describe(time.time()),
        "wait until it is done, or pass lock_wait with the seconds to wait for it.",
    )
