# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a pipe's pump with the profiler: what would be done, what speaks against it, and what came of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..procedure.envelope import Change, Finding, Remedy
from ..procedure.errors import Refusal
from .profile_files import Profile

SUBJECT = "pipe:"
RUNBOOK = ("sesam.rst", "Profiling a pump run")
START = "start"
_BUSY = ("deploying", "removing")
_AGAIN = Remedy("read the reason, mend the pipe, and profile it again")


@dataclass(frozen=True)
class Pump:
    """A pipe and its pump as the node tells of them. What it does not tell is None."""

    pipe: str
    running: bool
    disabled: bool = False
    valid: bool = True
    mode: str = ""
    state: str = ""
    success: Optional[bool] = None
    last_run: Optional[str] = None
    error: str = ""
    operations: Optional[Tuple[str, ...]] = None
    cached: bool = False
    """It is what the node remembers: the part of it that runs the pipe did not answer."""


@dataclass(frozen=True)
class PumpRun:
    """What came of the run that was started here."""

    started: float
    seconds: float
    files: Sequence[Profile] = ()
    success: Optional[bool] = None
    reason: str = ""
    others: Sequence[str] = ()
    """New profiles of this pipe that are of another run."""
    waited: float = 0.0
    """Seconds that a run of somebody else was waited for."""

    def to_dict(self) -> Dict[str, Any]:
        return {
            "started": round(self.started, 3),
            "seconds": round(self.seconds, 3),
            "waited": round(self.waited, 3),
            "success": self.success,
            "reason": self.reason,
            "others": list(self.others),
        }


@dataclass(frozen=True)
class ProfileState:
    """``found`` are whole profiles of the pipe that are young enough to do without a run."""

    pump: Pump
    log_folder: str
    found: Sequence[Profile] = ()
    run: Optional[PumpRun] = None
    trouble: str = ""
    """Why profiles could not be read from the log folder."""
    detail: Mapping[str, Any] = field(default_factory=dict)


def pump_of(pipe: str, seen: Mapping[str, Any]) -> Pump:
    """From the node's answer about a pipe. Hardly any key is sure to be there."""
    runtime: Mapping[str, Any] = seen.get("runtime") or {}
    config = seen.get("config") or {}
    settings = (config.get("effective") or config.get("original") or {}).get("pump") or {}
    operations = runtime.get("supported-operations")
    return Pump(
        pipe,
        running=bool(runtime.get("is-running")),
        disabled=bool(runtime.get("is-disabled")),
        valid=runtime.get("is-valid-config") is not False,
        mode=str(settings.get("mode") or ""),
        state=str(runtime.get("state") or ""),
        success=runtime.get("success"),
        last_run=None if runtime.get("last-run") is None else str(runtime["last-run"]),
        error=str(runtime.get("last-original-error-message") or runtime.get("last-message") or ""),
        operations=tuple(map(str, operations)) if isinstance(operations, list) else None,
        cached=bool(seen.get("cached_response_info")),
    )


def plan(state: ProfileState) -> List[Change]:
    if state.run is not None or state.found:
        return []
    reason = "to see where pipe %s spends its time: it is run once, and what it moves is moved for good" % state.pump.pipe
    return [Change("profile", SUBJECT + state.pump.pipe, {"profiled": False}, {"profiled": True}, reason, reversible=False)]


def guards(state: ProfileState, plan: Sequence[Change], if_running: str, run_disabled: bool) -> List[Refusal]:
    if not plan:
        return []
    pump = state.pump
    found = []
    if pump.cached:
        reason = "what the node tells of pipe %s is only what it remembers: the part of it that runs the pipe does not answer." % pump.pipe
        found.append(Refusal("unknown", reason, "find out why with fieldops.runbooks.sesam_node_info, and try again."))
    if pump.state.lower() in _BUSY:
        found.append(Refusal("state", "pipe %s is %s." % (pump.pipe, pump.state), "wait until it is deployed."))
    if not pump.valid:
        found.append(
            Refusal("config", "the configuration of pipe %s is not valid." % pump.pipe, "mend it first; fieldops.runbooks.sesam_node_info names what is wrong.")
        )
    if pump.mode == "off":
        found.append(
            Refusal("mode", "the mode of the pump of pipe %s is off, so it cannot be started at all." % pump.pipe, "set its mode to manual or scheduled.")
        )
    elif pump.operations is not None and START not in pump.operations and not pump.running:
        told = ", ".join(pump.operations) or "none"
        found.append(
            Refusal("unsupported", "the pump of pipe %s does not support start; it supports: %s." % (pump.pipe, told), "profile a pipe that can be started.")
        )
    if pump.disabled and not run_disabled:
        reason = "pipe %s is disabled. It can be started by hand, but somebody did not want it to run." % pump.pipe
        found.append(Refusal("disabled", reason, "ask why; then run_disabled: true, which leaves it disabled."))
    if pump.running and if_running == "fail":
        reason = "pipe %s runs already. A start would be answered with 409 and give no profile, and a run of somebody else is not stopped." % pump.pipe
        found.append(Refusal("running", reason, "wait for its end: if_running: wait."))
    if state.trouble:
        found.append(Refusal("log_folder", state.trouble, "run as a user who may read the log folder (become), or name it: log_folder."))
    return found


def diagnose(state: ProfileState) -> List[Finding]:
    pipe, run = state.pump.pipe, state.run
    if run is None:
        if state.found:
            text = "pipe %s has profiles that are young enough: %s" % (pipe, ", ".join(each.path for each in state.found))
            return [Finding("sesam.profile.present", "ok", pipe, text, {"files": [each.to_dict() for each in state.found]}, None, RUNBOOK)]
        return [_waiting(state)]
    detail = dict(run.to_dict(), files=[each.to_dict() for each in run.files])
    found = []
    if run.success is False:
        text = "the run of pipe %s that was profiled failed: %s" % (pipe, run.reason or "the node gives no reason")
        found.append(Finding("sesam.profile.run_failed", "warning", pipe, text, detail, _AGAIN, RUNBOOK))
    kinds = {each.kind for each in run.files}
    lacking = [name for kind, name in (("pstats", "*.pstat"), ("calltree", "*.calltree")) if kind not in kinds]
    if lacking:
        text = "pipe %s was run, and no whole %s of it came to %s" % (pipe, " and no ".join(lacking), state.log_folder)
        remedy = Remedy("see in node.log what the node says, and whether its log folder is this one and has room")
        found.append(Finding("sesam.profile.missing", "warning", pipe, text, detail, remedy, RUNBOOK))
    if run.files:
        text = "the run of pipe %s took %.1f s; its profiles are %s" % (pipe, run.seconds, ", ".join(each.path for each in run.files))
        remedy = Remedy("fetch them; pstats with a Python of the node's version only, calltree with KCachegrind; then remove them: the node never does")
        found.append(Finding("sesam.profile.written", "info", pipe, text, detail, remedy, RUNBOOK))
    return found


def _waiting(state: ProfileState) -> Finding:
    pump = state.pump
    words = "runs" if pump.running else "does not run"
    detail = {"running": pump.running, "disabled": pump.disabled, "mode": pump.mode, "last_run": pump.last_run, "log_folder": state.log_folder}
    return Finding("sesam.profile.none", "info", pump.pipe, "pipe %s %s and has no profile of today's run" % (pump.pipe, words), detail, None, RUNBOOK)


def facts(state: ProfileState) -> Dict[str, Any]:
    files = state.run.files if state.run is not None else state.found
    pump = state.pump
    told = {"id": pump.pipe, "running": pump.running, "disabled": pump.disabled, "mode": pump.mode, "success": pump.success, "last_run": pump.last_run}
    return {"profiles": [each.to_dict() for each in files], "run": state.run.to_dict() if state.run else None, "pipe": told, "log_folder": state.log_folder}


def newest_mark(entries: Sequence[Mapping[str, Any]]) -> int:
    """How far the execution log goes."""
    return max((_mark(entry) for entry in entries), default=0)


def failure_of(entries: Sequence[Mapping[str, Any]], since: int) -> str:
    """Why the run failed, from the entries that came after a mark: the pump's own words first."""
    fresh = [entry for entry in entries if _mark(entry) > since]
    ordered = sorted(fresh, key=lambda entry: ("pump-failed" in str(entry.get("_id") or entry.get("event") or ""), _mark(entry)), reverse=True)
    for entry in ordered:
        reason = entry.get("original_error_message") or entry.get("reason_why_stopped")
        if reason:
            return " ".join(str(reason).split())[:500]
    return ""


def _mark(entry: Mapping[str, Any]) -> int:
    found = entry.get("_updated", entry.get("_ts", 0))
    return found if isinstance(found, int) else 0
