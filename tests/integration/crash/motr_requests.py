# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests of a live process of Motr, killed before each time that gdb is started, which itself goes on when the module is killed beside it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live.state import REQUESTS
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from lab.motr.reqh import Handler, build
from lab.toolchain import gdb


class StopRequests(Scenario):
    """A process that serves requests, under load."""

    module = "motr_process_requests"
    effects: Sequence[Effect] = ((subprocess, "Popen", lambda *_arguments, **_named: "gdb"),)
    finely = False
    state = "stopped"
    begins = 1

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        gdb()
        self.handler = Handler(build(lab.path, "-static"))
        lab.finish(self.handler.kill)
        self.handler.do(f"state {self.begins}")

    def arguments(self) -> dict[str, Any]:
        return {"pid": self.handler.pid, "state": self.state}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        self.handler.wait_untraced()
        return self.handler.state

    def restore(self, dump: Any) -> None:
        self.handler.do(f"state {dump}")

    def look(self, change: Change) -> dict[str, Any] | None:
        return {"requests": REQUESTS[self.dump()], "pid": self.handler.pid, "started": self.handler.started}


class ResumeRequests(StopRequests):
    """One that refuses them."""

    state = "running"
    begins = 2


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"motr_process_requests": (StopRequests, ResumeRequests)}
