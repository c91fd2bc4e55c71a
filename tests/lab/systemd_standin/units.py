# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of one stand-in: what they run, kept in files, and what they are doing, kept beside it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import procfs

State = dict[str, Any]
TESTS = Path(__file__).resolve().parents[2]
NEVER_RAN: State = {
    "ActiveState": "inactive",
    "SubState": "dead",
    "Result": "success",
    "MainPID": 0,
    "NRestarts": 0,
    "ExecMainCode": 0,
    "ExecMainStatus": 0,
    "InvocationID": "",
}


class NotFound(Exception):
    """No unit of that name."""


class Units:
    """Below one directory. Everything ends when the process that made it is gone."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    @property
    def bin(self) -> Path:
        """What goes first into PATH."""
        return self.directory / "bin"

    def create(self) -> Units:
        """Make the directory and the command."""
        self.bin.mkdir(parents=True)
        command = [sys.executable, "-m", "lab.systemd_standin.systemctl", str(self.directory)]
        script = self.bin / "systemctl"
        script.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(TESTS))} exec {shlex.join(command)} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
        return self

    def define(self, name: str, command: Sequence[str], environment: Mapping[str, str], *, timeout_stop: float = 90.0, restart_sec: float = 10.0) -> None:
        """A unit file, and `daemon-reload`. The process that defines a unit owns it."""
        owner = os.getpid()
        unit = {"command": list(command), "environment": dict(environment), "timeout_stop": timeout_stop, "restart_sec": restart_sec}
        _write(self.file(name, "unit"), unit | {"owner": owner, "owner_started": procfs.start_time(owner)})

    def names(self) -> list[str]:
        """All units, with suffix."""
        return sorted(path.name[: -len(".unit")] for path in self.directory.glob("*.service.unit"))

    def file(self, name: str, kind: str) -> Path:
        """The file of one unit that holds `kind`: unit, state or runner."""
        full = name if name.endswith(".service") else f"{name}.service"
        return self.directory / f"{full}.{kind}"

    def unit(self, name: str) -> State:
        """As it was defined."""
        found = _read(self.file(name, "unit"))
        if found is None:
            raise NotFound(name)
        return found

    def state(self, name: str) -> State:
        """What it is doing. A runner that was killed leaves a unit that failed."""
        state = _read(self.file(name, "state")) or NEVER_RAN
        if state["ActiveState"] in ("inactive", "failed") or self.runner(name):
            return state
        return dict(state, ActiveState="failed", SubState="failed", Result="signal", MainPID=0)

    def write_state(self, name: str, state: State) -> None:
        """Called by the runner."""
        _write(self.file(name, "state"), state)

    def runner(self, name: str) -> int:
        """The pid of the process that looks after a unit; 0 when none does."""
        found = _read(self.file(name, "runner"))
        return int(found["pid"]) if found and procfs.is_running(found["pid"], found["started"]) else 0

    def start(self, name: str, block: bool = True) -> None:
        """Type=simple: done as soon as the process runs, however soon it ends. A unit that is stopping is waited for, without `block` by another process."""
        self.unit(name)
        if not block and self.runner(name) and self.state(name)["ActiveState"] == "deactivating":
            _spawn([sys.executable, "-m", "lab.systemd_standin.systemctl", str(self.directory), "start", name])
            return
        while self.runner(name) and self.state(name)["ActiveState"] not in ("active", "activating"):
            time.sleep(0.02)
        if self.runner(name):
            return
        self.unit(name)  # it may be gone by now
        self.write_state(name, dict(NEVER_RAN, ActiveState="activating", SubState="start"))
        command = [sys.executable, "-m", "lab.systemd_standin.runner", str(self.directory), name]
        runner = _spawn(command)
        _write(self.file(name, "runner"), {"pid": runner.pid, "started": procfs.start_time(runner.pid)})
        while self.state(name)["SubState"] == "start" and runner.poll() is None:
            time.sleep(0.02)

    def stop(self, name: str, block: bool = True) -> None:
        """TERM, wait, KILL; done when the unit is down, or at once without `block`."""
        self.unit(name)
        pid = self.runner(name)
        if pid:
            os.kill(pid, signal.SIGTERM)
        while block and self.runner(name):
            time.sleep(0.02)

    def reset_failed(self, name: str) -> None:
        """A unit that failed counts as one that never ran."""
        self.unit(name)
        if self.state(name)["ActiveState"] == "failed":
            self.write_state(name, NEVER_RAN)

    def close(self) -> None:
        """The test is over: nothing of any unit may stay, nor be started by a command that still waits."""
        names = self.names()
        for name in names:
            self.file(name, "unit").unlink()
        while pids := [pid for pid in map(self.runner, names) if pid]:
            for pid in pids:
                os.kill(pid, signal.SIGQUIT)
            time.sleep(0.02)


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process of its own, which nobody waits for."""
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(command, env=environment, cwd="/", start_new_session=True, stdin=quiet, stdout=quiet, stderr=quiet)


def _read(path: Path) -> State | None:
    try:
        found: State = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _write(path: Path, value: State) -> None:
    """Whole or not at all: it is read all the time."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(value), encoding="utf-8")
    part.replace(path)
