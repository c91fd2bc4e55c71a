# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stops and resumes the processing of incoming requests in a live process, by the state of its request handler, which m0_reqh_fop_allow asks."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ...procedure.argspec import ArgumentSpec
from ...procedure.check import Procedure
from ...procedure.envelope import Change, Finding, Image, Outcome
from ...procedure.errors import Refusal
from ...procedure.undo import Store, StoreFactory
from ..errors import MotrError
from .gdb import Limits, LiveError, attach
from .look import GDB, limits_of, look
from .processes import NotThere, Process, find_process
from .state import DRAIN, NORMAL, REQUESTS, STARTED, Live, diagnose, facts

NAME = "motr_process_requests"
SPEC = GDB.merge(ArgumentSpec({"state": {"type": "str", "choices": ["running", "stopped"], "required": True}}))
SUBJECT = "requests:"
_STATES = {word: state for state, word in REQUESTS.items()}
_ACTIONS = {"running": "resume", "stopped": "stop"}
_CHANGED = "the request handler went to another state since it was looked at: left alone"


class Requests(Procedure[Live]):
    """``state: running`` and ``state: stopped``."""

    name = NAME

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wanted: str = params["state"]
        self.limits = limits_of(params)
        self.process = find_process(params["pid"], params["process"])
        self.stops: List[float] = []

    def observe(self) -> Live:
        live = look(self.process, self.limits)
        self.stops.append(live.stopped_seconds)
        return live

    def diagnose(self, state: Live) -> List[Finding]:
        return diagnose(state, 0.0)

    def plan(self, state: Live) -> List[Change]:
        if state.requests not in _STATES or state.requests == self.wanted:
            return []
        reason = "incoming requests are to be %s" % ("served again" if self.wanted == "running" else "refused, while those under way come to their end")
        return [Change(_ACTIONS[self.wanted], subject_of(self.process), image(self.process, state), image(self.process, state, self.wanted), reason)]

    def guards(self, state: Live, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, self.wanted)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._move(change) for change in changes]

    def _move(self, change: Change) -> Outcome:
        outcome, seconds = move(self.process, change, self.limits)
        self.stops.append(seconds)
        return outcome

    def facts(self, state: Live) -> Mapping[str, Any]:
        told = facts(state)
        known = {name: told[name] for name in ("process", "handler", "requests", "services")}
        return dict(known, stopped_seconds=max(self.stops), stops=len(self.stops))

    def evidence(self, state: Live) -> Mapping[str, Any]:
        return {"stops": list(self.stops), "frozen": state.frozen}

    def context(self) -> Mapping[str, Any]:
        fid = str(self.process.fid) if self.process.fid is not None else None
        return {"of": {"pid": self.process.pid, "started": self.process.started, "process": fid}, "limits": list(self.limits)}


def subject_of(process: Process) -> str:
    return SUBJECT + process.name


def image(process: Process, state: Live, requests: Optional[str] = None) -> Image:
    """What becomes of requests in one life of a process: another life begins with requests that are served."""
    return {"requests": requests or state.requests, "pid": process.pid, "started": process.started}


def guards(state: Live, wanted: str) -> List[Refusal]:
    found = []
    name = state.process.name if state.process is not None else "the process"
    if state.ending:
        found.append(Refusal("ending", "%s is shutting down, and refuses requests for that." % name, "wait until it was started again."))
    elif state.requests not in _STATES:
        reason = "the request handler of %s is in the state %s, which is neither normal (%d) nor drain (%d)." % (name, state.state, NORMAL, DRAIN)
        found.append(Refusal("state", reason, "wait until it is up; it serves requests then."))
    elif wanted == "running" and state.requests == "stopped":
        halted = [row["type"] for row in (state.found or {})["services"] if row["machine"]["state"] > STARTED]
        if halted:
            reason = "services of %s are stopping or stopped (%s), and cannot serve requests." % (name, ", ".join(map(str, halted[:5])))
            found.append(Refusal("services", reason, "restart the process: only that starts them again."))
    return found


def move(process: Process, change: Change, limits: Limits) -> Tuple[Outcome, float]:
    """Compare and set, in one stop of the process, which is looked at right after."""
    before, after = (_STATES[str((side or {})["requests"])] for side in (change.before, change.after))
    try:
        told = attach(process, {"set": {"from": before, "to": after}}, limits)
    except LiveError as exc:
        return _after_all(process, before, after, limits, exc), limits.stop
    state = told.found["reqh"]["machine"]["state"]
    if told.found["before"] != before:
        return Outcome(False, _CHANGED), told.stopped_seconds
    if state != after:
        raise MotrError("the state of the request handler of %s was written as %d, and reads as %s" % (process.name, after, state))
    return Outcome(True), told.stopped_seconds


def _after_all(process: Process, before: int, after: int, limits: Limits, fault: LiveError) -> Outcome:
    """The debugger did not come to say whether it has written: another look does. Where that fails as well, only what is known is said."""
    try:
        state = look(process, limits).state
    except LiveError as exc:
        text = "%s The state of the request handler of %s may have been written or not (%d before, %d after), and could not be read again: %s"
        raise MotrError(text % (fault, process.name, before, after, exc)) from fault
    if state != after:
        raise fault
    return Outcome(True, "the debugger was ended before it had said so: %s" % fault)


class RequestsStore(Store):
    """The request handler of the process that a run was made on."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.of = header["of"]
        gdb, stop, timeout = header["limits"]
        self.limits = Limits(gdb, stop, timeout)
        self.process: Optional[Process] = None
        self.live: Optional[Live] = None

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        self.process = self._find()
        if self.process is None:
            return [(None, None) for _change in changes]
        self.live = look(self.process, self.limits)
        return [(image(self.process, self.live), None) for _change in changes]

    def _find(self) -> Optional[Process]:
        """The process, or the one that was started in its place; None where there is none."""
        try:
            found = find_process(pid=self.of["pid"])
            if found.started == self.of["started"]:
                return found
        except NotThere:
            pass
        try:
            return find_process(process=self.of["process"]) if self.of["process"] else None
        except NotThere:
            return None

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        live = self.live
        if live is None:
            return []
        return [refusal for change in plan if change.after is not None for refusal in guards(live, str(change.after["requests"]))]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        if self.process is None:
            return [Outcome(False, "the process has ended") for _change in changes]
        return [move(self.process, change, self.limits)[0] for change in changes]


STORES: Dict[str, StoreFactory] = {NAME: RequestsStore}
