# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which check looked at which host and what came of it, and what happened when. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Set, Tuple

from .report_read import Envelope, host_key

OWN = "fieldops.runbooks."
WORST_FIRST = ("critical", "warning", "info", "ok")


class Looks:
    """Every check of every host, as it ended last."""

    def __init__(self) -> None:
        self._last: Dict[Tuple[str, str], Dict[str, Any]] = {}
        self._actions: Set[str] = set()

    def add(self, named: Mapping[str, Any], check: str, envelope: Envelope, reason: str) -> None:
        self._actions.add(named["action"])
        if envelope.findings is None and not reason:
            return  # a fix that was refused before it looked, or a module that does not look
        outcome = "failed" if reason else "refused" if envelope.refusals else "looked"
        self._last[named["host"], check] = dict(named, id=check, outcome=outcome, reason=reason, elapsed=envelope.elapsed)

    def lost(self, named: Mapping[str, Any], check: str, reason: str) -> None:
        """A task that failed, and returned nothing that could be read."""
        self._last[named["host"], check] = dict(named, id=check, outcome="failed", reason=reason, elapsed=None)

    def told(self, worst: Mapping[Tuple[str, str], str]) -> List[Dict[str, Any]]:
        """By host and action. Of failed tasks only those that were checks, here or on another host."""
        kept = [look for look in self._last.values() if look["action"] in self._actions or look["action"].startswith(OWN)]
        kept.sort(key=lambda look: (host_key(look["host"]), look["action"], look["task"]))
        return [dict(look, severity=worst.get((look["host"], look["id"]), None if look["outcome"] == "failed" else "ok")) for look in kept]


class Timeline:
    """What happened, in the order in which it was told."""

    def __init__(self) -> None:
        self.events: List[Dict[str, Any]] = []

    def add(self, named: Mapping[str, Any], check_mode: bool, envelope: Envelope, reason: str, undone: str) -> None:
        done = sum(1 for change in envelope.changes if change["done"])
        severities = {finding["severity"] for finding in envelope.findings or ()}
        worst = next((word for word in WORST_FIRST if word in severities), None if envelope.findings is None else "ok")
        kind, text = _what(envelope, done, check_mode, reason, undone)
        self._put(named, check_mode, kind, worst, text, None if check_mode else envelope.undo_id)

    def lost(self, named: Mapping[str, Any], check_mode: bool, kind: str, reason: str) -> None:
        self._put(named, check_mode, "failure" if kind == "failed" else kind, None, reason, None)

    def _put(self, named: Mapping[str, Any], check_mode: bool, kind: str, severity: Any, text: str, undo_id: Any) -> None:
        self.events.append(dict(named, check_mode=check_mode, kind=kind, severity=severity, text=text, undo_id=undo_id))


def _what(envelope: Envelope, done: int, check_mode: bool, reason: str, undone: str) -> Tuple[str, str]:
    """The kind of an event, and a sentence on it."""
    if envelope.refusals:
        return "refusal", "; ".join("%s: %s" % (refusal["guard"], refusal["reason"]) for refusal in envelope.refusals[:5])
    if reason:
        return "failure", "%sfailed: %s" % ("%s, then " % _changes(done, "made") if done else "", reason)
    if done and not check_mode:
        verb = "took back %s: " % undone if undone else ""
        return "undo" if undone else "change", verb + _changes(max(done, envelope.total if done == len(envelope.changes) else done), "made")
    if envelope.changes:
        return "plan", _changes(envelope.total, "planned")
    if envelope.findings is None:
        return "look", "nothing to change"
    wrong = sum(1 for finding in envelope.findings if finding["severity"] in ("critical", "warning"))
    return "look", "%d finding%s to act on" % (wrong, "" if wrong == 1 else "s") if wrong else "nothing wrong"


def _changes(number: int, verb: str) -> str:
    return "%d change%s %s" % (number, "" if number == 1 else "s", verb)


def told_guards(envelope: Envelope) -> List[Dict[str, str]]:
    """What each guard decided; of results that name only the guards that refused, those."""
    decisions = [dict(decision) for decision in envelope.guards]
    told = {decision["guard"] for decision in decisions if decision["decision"] == "refuse"}
    return decisions + [{"guard": one["guard"], "decision": "refuse", "why": one["reason"]} for one in envelope.refusals if one["guard"] not in told]
