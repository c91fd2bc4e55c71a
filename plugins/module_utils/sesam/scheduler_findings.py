# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is so with the scheduler of a node, in sentences. Pure."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from ..procedure.envelope import Finding, Remedy
from .metadata import KEYS, SECTION
from .scheduler_state import SchedulerState, Wanted
from .scheduler_watch import Pump

RUNBOOK = ("sesam.rst", "Preventing pipes from automatically running")
FILE_RUNBOOK = ("sesam.rst", 'Writing a "/sesam/node/data/startup_options.json" file')
_MODULE = "fieldops.runbooks.sesam_scheduler"
_NAMED = 20
_SHOWN = 1000


def diagnose(state: SchedulerState, wanted: Wanted) -> List[Finding]:
    return [*_away(state), *_switch(state), *_file(state, wanted), *_unseen(state, wanted), *_running(state), *_proof(state), *_moved(state)]


def names(ids: Sequence[str]) -> str:
    more = " and %d more" % (len(ids) - _NAMED) if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def still_at_work(left: Sequence[str], pumps: Sequence[Pump], seconds: float) -> str:
    """What was waited for in vain: runs, and what nobody can tell of."""
    unknown = [pump.id for pump in pumps if pump.cached and pump.id in left]
    running = [each for each in left if each not in unknown]
    parts = ["%d pumps still run after %g s: %s" % (len(running), seconds, names(running))] if running else []
    if unknown:
        text = "of %d pumps it is not known after %g s whether they run, since the part of the node that runs them does not answer: %s"
        parts.append(text % (len(unknown), seconds, names(unknown)))
    return "the scheduler is off, and %s" % "; ".join(parts)


def _again(text: str, off: bool) -> Remedy:
    return Remedy(text, _MODULE, {"sesam_repair": True, "sesam_scheduler_state": "disabled" if off else "enabled"})


def _finding(
    state: SchedulerState, code: str, severity: str, text: str, detail: Optional[dict[str, object]] = None, remedy: Optional[Remedy] = None
) -> Finding:
    return Finding("sesam.scheduler.%s" % code, severity, state.url, text, detail or {}, remedy, RUNBOOK)


def _away(state: SchedulerState) -> List[Finding]:
    if not state.away:
        return []
    remedy = Remedy("see why: the frozen-node playbook keeps the evidence first", "fieldops.runbooks.sesam_frozen")
    return [_finding(state, "away", "critical", "the API does not tell what its scheduler does: %s" % state.away, {}, remedy)]


def _switch(state: SchedulerState) -> List[Finding]:
    keys = state.off_by()
    if not keys:
        return [] if state.away else [_finding(state, "enabled", "ok", "the scheduler is on: pipes start by themselves")]
    spelt = ", ".join("%s.%s" % (SECTION, key) for key in keys)
    remedy = _again("turn it on when the work is over", False)
    return [_finding(state, "disabled", "info", "the scheduler is off (%s): no pipe starts by itself" % spelt, {"stopped_by": keys}, remedy)]


def _file(state: SchedulerState, wanted: Wanted) -> List[Finding]:
    """What the file does that the metadata do not tell."""
    options = state.options
    if options is None:
        return []
    found = []
    if state.in_force is False:
        text = "%s was changed after the node was started: that takes effect at its next restart" % options.path
        found.append(_file_finding(state, "not_in_force", text, Remedy("restart the node when it suits: fieldops.runbooks.sesam_restart")))
    keys = [key for key in KEYS if state.file_off(key)]
    if keys and not wanted.off:
        text = "%s turns the scheduler off (%s) whenever the node is started" % (options.path, ", ".join(keys))
        found.append(_file_finding(state, "stays_off", text, _again("take it out of there", False)))
    return found


def _file_finding(state: SchedulerState, code: str, text: str, remedy: Remedy) -> Finding:
    path = state.options.path if state.options is not None else state.url
    return Finding("sesam.scheduler.%s" % code, "warning", path, text, {}, remedy, FILE_RUNBOOK)


def _unseen(state: SchedulerState, wanted: Wanted) -> List[Finding]:
    """Only where it matters: a file that nobody looked at may keep the scheduler off."""
    if wanted.off or not state.unseen:
        return []
    text = "whether startup_options.json turns the scheduler off as well is not known: %s" % state.unseen
    return [_finding(state, "file_unknown", "info", text, {}, Remedy("look on the node itself, or pass data_folder"))]


def _running(state: SchedulerState) -> List[Finding]:
    running = [pump.id for pump in state.running]
    if not running or not state.off_by():
        return []
    text = "%d pumps run on, since a scheduler that is off stops none: %s" % (len(running), names(running))
    fixed = [pump.id for pump in state.running if not pump.stoppable]
    more = "; %d of them cannot be stopped" % len(fixed) if fixed else ""
    remedy = Remedy("wait for them, or stop them: running: wait, running: stop")
    return [_finding(state, "running", "warning", text + more, {"pipes": running[:_SHOWN], "not_stoppable": fixed[:_SHOWN]}, remedy)]


def _proof(state: SchedulerState) -> List[Finding]:
    proof = state.proof
    if proof is None:
        return []
    if proof.started:
        text = "%d pumps began to run within %g s although the scheduler is off: %s" % (len(proof.started), proof.seconds, names(proof.started))
        remedy = Remedy("ask who started them; if nobody did, this node does not heed the setting: try the other key, or startup_options.json")
        return [_finding(state, "started", "critical", text, proof.to_dict(), remedy)]
    if proof.unknown:
        text = "no pump was seen to begin within %g s, and of %d of %d pipes nothing is known: the part of the node that runs them does not answer"
        remedy = Remedy("see why it does not answer; they may run, and may start", "fieldops.runbooks.sesam_triage")
        return [_finding(state, "unproven", "warning", text % (proof.seconds, proof.unknown, proof.pumps), proof.to_dict(), remedy)]
    if not proof.due:
        text = "no pump began to run within %g s, and none was due: watch for longer than a schedule takes to be sure (settle)" % proof.seconds
        return [_finding(state, "not_due", "info", text, proof.to_dict())]
    text = "no pump began to run within %g s, though %d were due" % (proof.seconds, len(proof.due))
    return [_finding(state, "quiet", "ok", text, proof.to_dict())]


def _moved(state: SchedulerState) -> List[Finding]:
    """Nothing of this collection changes another entity; if one changed, somebody else was at work."""
    seen = state.comparison
    if seen is None or seen.equal:
        return []
    parts: List[Tuple[str, Sequence[str]]] = [("added", seen.added), ("removed", seen.removed), ("changed", seen.changed)]
    told = "; ".join("%s: %s" % (word, names(ids)) for word, ids in parts if ids)
    text = "other entities of the configuration are not as they were when this run began (%s)" % told
    return [
        _finding(
            state,
            "entities_changed",
            "critical",
            text,
            seen.to_dict(),
            Remedy("ask who else changed the configuration; the node keeps the history of each entity"),
        )
    ]
