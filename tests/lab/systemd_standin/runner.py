# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab.systemd_standin.runner DIRECTORY UNIT`: what systemd does for one service, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from typing import Any

from lab import procfs
from lab.systemd_standin.units import NEVER_RAN, Units

ENTERED = {
    "active": "ActiveEnter",
    "inactive": "InactiveEnter",
    "failed": "InactiveEnter",
    "activating": "InactiveExit",
    "deactivating": "ActiveExit",
}
"""The time stamp that belongs to the beginning of a state."""


class Runner:
    """SIGTERM asks for a stop; SIGQUIT, and the end of the unit's owner, for an end without ceremony."""

    def __init__(self, units: Units, name: str) -> None:
        self.units = units
        self.name = name
        self.unit = units.unit(name)
        self.state = dict(NEVER_RAN)
        self.stopping = False
        self.over = False
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGQUIT, self._on_over)

    def _on_stop(self, _signum: int, _frame: Any) -> None:
        self.stopping = True

    def _on_over(self, _signum: int, _frame: Any) -> None:
        self.over = True

    def run(self) -> None:
        """Until stopped: Restart=always."""
        while not (self.stopping or self.over):
            worker = self._spawn()
            while worker.poll() is None and not self._told():
                time.sleep(0.02)
            self._after(worker)

    def _after(self, worker: subprocess.Popen[bytes]) -> None:
        if self.over:
            _kill(worker)
        elif self.stopping:
            self._stop(worker)
        else:
            self._restart_later(worker)

    def _told(self) -> bool:
        if not procfs.is_running(self.unit["owner"], self.unit["owner_started"]):
            self.over = True
        return self.stopping or self.over

    def _spawn(self) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        worker = subprocess.Popen(self.unit["command"], env=self.unit["environment"], cwd="/", start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet)
        self._say("active", "running", MainPID=worker.pid, Result="success", InvocationID=uuid.uuid4().hex, ExecMainCode=0, ExecMainStatus=0)
        return worker

    def _restart_later(self, worker: subprocess.Popen[bytes]) -> None:
        self._say("activating", "auto-restart", MainPID=0, NRestarts=self.state["NRestarts"] + 1, **_ending(worker.returncode))
        limit = time.monotonic() + self.unit["restart_sec"]
        while time.monotonic() < limit and not self._told():
            time.sleep(0.02)
        if self.stopping:
            self._say("inactive", "dead")

    def _stop(self, worker: subprocess.Popen[bytes]) -> None:
        self._say("deactivating", "stop-sigterm")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGTERM)
        limit = time.monotonic() + self.unit["timeout_stop"]
        while worker.poll() is None and time.monotonic() < limit and not self.over:
            time.sleep(0.02)
        late = worker.poll() is None
        if late:
            self._say("deactivating", "stop-sigkill", Result="timeout")
            _kill(worker)
        ending = _ending(worker.returncode) | ({"Result": "timeout"} if late else {})
        clean = ending["Result"] == "success"
        self._say("inactive" if clean else "failed", "dead" if clean else "failed", MainPID=0, **ending)

    def _say(self, active: str, sub: str, **others: Any) -> None:
        if active != self.state["ActiveState"]:
            others[f"{ENTERED[active]}TimestampMonotonic"] = time.monotonic_ns() // 1000
        self.state.update(ActiveState=active, SubState=sub, **others)
        self.units.write_state(self.name, self.state)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _ending(code: int) -> dict[str, Any]:
    """How a process ended: 1 is CLD_EXITED, 2 CLD_KILLED."""
    return {"Result": _result(code), "ExecMainCode": 1 if code >= 0 else 2, "ExecMainStatus": abs(code)}


def _result(code: int) -> str:
    """TERM counts as success, as SuccessExitStatus has it by default."""
    if code in (0, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGPIPE):
        return "success"
    return "signal" if code < 0 else "exit-code"


if __name__ == "__main__":
    Runner(Units(sys.argv[1]), sys.argv[2]).run()
