# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at services, foms and connections of a live process. A process that cannot be looked at is a finding."""

from __future__ import annotations

from typing import Any, List, Mapping

from ...procedure.argspec import ArgumentSpec
from ...procedure.check import Check
from ...procedure.envelope import Finding
from ..errors import MotrError
from .gdb import Limits, LiveError, attach, is_frozen
from .processes import PROCESS, NotThere, Process, find_process
from .state import Live, diagnose, facts

GDB = PROCESS.merge(ArgumentSpec({"gdb": {"type": "path"}, "stop_limit": {"type": "float", "default": 5.0}, "timeout": {"type": "float", "default": 120.0}}))
_MOST = 100000


def limits_of(params: Mapping[str, Any]) -> Limits:
    return Limits(params["gdb"], params["stop_limit"], params["timeout"])


def look(process: Process, limits: Limits, **request: Any) -> Live:
    frozen = is_frozen(process)
    told = attach(process, request, limits)
    return Live(process, told.found, frozen, None, told.stopped_seconds, told.total_seconds)


class ProcessInfo(Check[Live]):
    name = "motr_process_info"
    judged_by = ("stuck_after",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        if not 0 <= params["limit"] <= _MOST:
            raise MotrError("limit must be 0 to %d, not %d" % (_MOST, params["limit"]))
        if not params["stuck_after"] > 0:
            raise MotrError("stuck_after must be more than 0 seconds, not %s" % params["stuck_after"])
        self.params = params
        self.stuck_after: float = params["stuck_after"]
        self.limits = limits_of(params)

    def observe(self) -> Live:
        wanted = {"foms": True, "rpc": self.params["connections"], "internal": self.params["internal"], "most_foms": self.params["limit"]}
        process = None
        try:
            process = find_process(self.params["pid"], self.params["process"])
            return look(process, self.limits, **wanted)
        except NotThere as exc:
            fault = LiveError("gone", str(exc), "see whether it was started, and why it ended: its journal, and hctl status")
            return Live(fault=fault.finding)
        except LiveError as exc:
            return Live(process, fault=exc.finding)

    def diagnose(self, state: Live) -> List[Finding]:
        return diagnose(state, self.stuck_after)

    def facts(self, state: Live) -> Mapping[str, Any]:
        return facts(state)

    def evidence(self, state: Live) -> Mapping[str, Any]:
        found = state.found or {}
        return {"gdb": found.get("gdb"), "threads": found.get("threads"), "attached_seconds": found.get("attached"), "frozen": state.frozen}
