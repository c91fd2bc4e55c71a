# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is with pipes, scheduler and licence. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from ..procedure.envelope import Finding, Remedy
from .pipes import Pipes
from .state import NodeState
from .switches import FILE as FILE_SWITCH
from .switches import METADATA, Scheduler, scheduler, stops
from .times import ago
from .verdict_api import FILE, RUNNING, WHOLE, condition

PREVENTING = (FILE, "Preventing pipes from automatically running")
STARTUP = (FILE, 'Writing a "/sesam/node/data/startup_options.json" file')
_LOG = "see the pipe's execution log (GET /pipes/ID/log) and node_pipe_execution.log"
_SWITCH = "fieldops.runbooks.sesam_scheduler"
_ON = {"sesam_repair": True, "sesam_scheduler_state": "enabled"}
_NAMED = 3

_WAIT = "wait, and look again"
_PIPES: Sequence[Tuple[str, str, str, str]] = (
    (
        "unknown",
        "warning",
        "nothing is known of %s: the answer is an old one of a subnode that does not answer, or lacks what would tell",
        "see whether the subnode runs; what is shown of these pipes is no sign that they are well",
    ),
    (
        "invalid",
        "warning",
        "the configuration of %s is not valid",
        "mend the configuration and upload it; the errors are in the list of pipes",
    ),
    (
        "failed",
        "warning",
        "the last run of %s failed",
        _LOG,
    ),
    (
        "running_long",
        "warning",
        "%s runs, and its last run was longer ago than it should be",
        _LOG + "; take a stack trace if it does nothing (sesam_stacktrace)",
    ),
    (
        "overdue",
        "warning",
        "%s should have run again, and has not",
        "see whether pipes that run too long take all workers; a stack trace shows what the scheduler does (sesam_stacktrace)",
    ),
    (
        "removing",
        "info",
        "%s is being removed",
        _WAIT,
    ),
    (
        "deploying",
        "info",
        "%s is being deployed",
        _WAIT,
    ),
    (
        "disabled",
        "info",
        "%s is disabled",
        "enable it when whoever disabled it is done (POST /pipes/ID/pump operation=enable)",
    ),
)


def judge_pipes(state: NodeState) -> List[Finding]:
    """One finding for each thing that is with pipes, however many they are."""
    pipes = state.api.pipes
    if pipes is None:
        return []
    found = []
    for reason, severity, text, remedy in _PIPES:
        if pipes.reasons.get(reason):
            found.append(_pipes(pipes, reason, severity, text, remedy))
    if not pipes.complete:
        text = "the list of pipes broke off after %d: of the others nothing is known" % pipes.total
        found.append(Finding("sesam.pipes.incomplete", "warning", "pipes", text, {"read": pipes.total}, Remedy("look again; see node.log at this time"), WHOLE))
    if pipes.strange:
        text = "%d entries in the list of pipes are none" % pipes.strange
        found.append(
            Finding("sesam.pipes.strange", "warning", "pipes", text, {"count": pipes.strange}, Remedy("check api_url: what answers may be no node"), WHOLE)
        )
    return found


def _pipes(pipes: Pipes, reason: str, severity: str, text: str, remedy: str) -> Finding:
    count, names = pipes.reasons[reason], pipes.names[reason]
    detail: Dict[str, Any] = {"count": count, "of": pipes.total, "pipes": list(names)}
    return Finding("sesam.pipes.%s" % reason, severity, _some(names, count), text % _told(names, count), detail, Remedy(remedy), WHOLE)


def _told(names: Sequence[str], count: int) -> str:
    return "pipe %s" % names[0] if count == 1 else "%d pipes (%s)" % (count, _some(names, count))


def _some(names: Sequence[str], count: int) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if count > _NAMED else "")


def judge_scheduler(state: NodeState) -> List[Finding]:
    """Whether pipes start by themselves, and whether they will after the next start."""
    if "scheduler" not in state.parts:
        return []
    found = scheduler(state)
    findings = [*_file(state, found)]
    if found.enabled is False:
        findings.append(_stopped(state, found))
    elif found.enabled is None:
        text = "it is not known whether the scheduler runs: %s" % _unseen(state, found)
        remedy = Remedy("see that the API answers, and run it as root on the node's machine")
        findings.append(Finding("sesam.scheduler.unknown", "warning", "scheduler", text, {"missing": sorted(_gaps(state))}, remedy, PREVENTING))
    else:
        findings += _idle(state)
    if found.pending:
        findings.append(_pending(found))
    return findings


def _pending(found: Scheduler) -> Finding:
    text = "the scheduler will be off after the next start of the node: startup_options.json stops it"
    if found.after_restart:
        text = "the scheduler will be on after the next start of the node: what stopped it is gone"
    remedy = Remedy("restart the node, or have it stay as it is now", _SWITCH, dict(_ON, sesam_scheduler_state="enabled" if found.enabled else "disabled"))
    return Finding("sesam.scheduler.pending", "warning", "scheduler", text, {"after_restart": found.after_restart}, remedy, STARTUP)


def _stopped(state: NodeState, found: Scheduler) -> Finding:
    names = {METADATA: "the node's metadata", FILE_SWITCH: "startup_options.json, which it read when it started"}
    text = "no pipe starts by itself: the scheduler is off, by %s" % " and ".join(names[name] for name in found.stopped_by)
    if not found.stopped_by:
        text = "no pipe is due, not even %s, which should be: the scheduler is off, though nothing that is seen stops it" % state.api.left_out
        why = "see whether there is a licence; else restart the node: a startup_options.json that was removed since its start stops it until then"
        remedy = Remedy(why, _SWITCH, _ON)
        return Finding("sesam.scheduler.off", "warning", "scheduler", text, {"pipe": state.api.left_out}, remedy, STARTUP)
    remedy = Remedy("turn it on when whoever turned it off is done", _SWITCH, _ON)
    return Finding("sesam.scheduler.disabled", "warning", "scheduler", text, {"stopped_by": list(found.stopped_by)}, remedy, PREVENTING)


def _file(state: NodeState, found: Scheduler) -> List[Finding]:
    options = state.host.options
    if options is None or not options.exists:
        return []
    if options.problem:
        text = "%s is of no use: what the node does with it at its next start is not known: %s" % (options.path, options.problem)
        remedy = Remedy("mend it or remove it before the node is restarted")
        return [Finding("sesam.startup_options.invalid", "critical", options.path, text, {"problem": options.problem}, remedy, STARTUP)]
    if not stops(options.switches):
        return []
    read = {
        True: "the running node has read it",
        False: "the running node was started before it was written",
        None: "whether the running node has read it is not known",
    }
    age = "" if options.written is None else ", written %s ago" % ago(state.now - options.written)
    text = "%s stops the scheduler%s: %s; it does so at every start until it is removed" % (options.path, age, read[found.file_read])
    detail = {"switches": dict(options.switches), "read": found.file_read}
    remedy = Remedy("remove the switch when pipes are to start by themselves again", _SWITCH, _ON)
    return [Finding("sesam.startup_options.left", "warning", options.path, text, detail, remedy, STARTUP)]


def _unseen(state: NodeState, found: Scheduler) -> str:
    gaps = _gaps(state)
    if gaps:
        return "; ".join("%s: %s" % item for item in sorted(gaps.items()))
    return "startup_options.json was changed after the node was started, or when that was is not known"


def _gaps(state: NodeState) -> Dict[str, str]:
    names = {"scheduler": "the metadata", "startup_options": "startup_options.json"}
    return {names[part]: text for part, text in state.missing.items() if part in names}


def _idle(state: NodeState) -> List[Finding]:
    """Nothing that was read stops it, and yet nothing is due: a file that was read and removed leaves no trace but this."""
    pipes = state.api.pipes
    if pipes is None or not pipes.total or not pipes.complete or pipes.scheduled or pipes.states["running"]:
        return []
    text = "none of %d pipes has a next run, though nothing that was seen stops the scheduler" % pipes.total
    remedy = Remedy("none is needed where all pipes are manual or disabled; else look again when the node has run for a while")
    return [Finding("sesam.scheduler.idle", "info", "scheduler", text, {"pipes": pipes.total}, remedy, PREVENTING)]


def judge_license(state: NodeState) -> List[Finding]:
    word = state.api.license
    if word is None or word == "present":
        return []
    enforced = is_enforced(state)
    told = {
        "absent": "the node has no licence",
        "invalid": "the node says that its licence is not valid any more",
        "unknown": "the node's answer does not tell whether it has a licence",
    }[word]
    detail = {"state": word, "file": state.host.license_file, "enforced": enforced}
    if word == "unknown":
        severity = "info" if condition(state) == RUNNING else "warning"
        return [Finding("sesam.license.unknown", severity, "license", told, detail, Remedy("see in the portal whether it has one"), WHOLE)]
    text = "%s, and was started with --enforce-license: its pipes stop" % told if enforced else told
    remedy = Remedy("call Sesam for a licence; a new one is uploaded with PUT /license by somebody with the role group:Admin")
    return [Finding("sesam.license.%s" % word, "critical" if enforced else "warning", "license", text, detail, remedy, WHOLE)]


def is_enforced(state: NodeState) -> bool:
    """Whether the node was started so that pipes stop without a licence."""
    process, container = state.host.process, state.host.container
    words = process.process.argv if process is not None else container.argv if container is not None else ()
    return any("--enforce-license" in word for word in words)
