# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that a test runs beside itself: the stand-in's service, and the writer."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.keeper import keeper

TESTS = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


@dataclass
class Service:
    """The stand-in's service."""

    environment: Mapping[str, str]
    log_file: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Service:
        # A test run in the background of a shell was told to ignore interrupts, and hands that on.
        command = ["/usr/bin/env", "--default-signal=INT", sys.executable, "-m", "lab.jobrunner.standin.service"]
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(command, env=dict(self.environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.options)
        keeper().watch_process(self.process.pid, signal.SIGKILL)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """What it said."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def alive(self) -> bool:
        """Whether its main loop runs."""
        return self.process.poll() is None

    def wait_ended(self) -> int:
        """The exit status of a main loop that ends by itself."""
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """End it as its unit does."""
        if self.alive:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        keeper().forget_process(self.process.pid)
        return self.process.wait()


@dataclass
class Writer:
    """The process of `lab.jobrunner.writer`; what it found is here after it ended."""

    database: Path
    user_version: int
    stale: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)  # of SQLite, or what would have ended upstream's loop
    lost: list[dict[str, Any]] = field(default_factory=list)  # what it wrote, and did not find again
    turns: int = 0
    writes: int = 0
    longest: float = 0.0  # seconds that it waited for one statement

    def __enter__(self) -> Writer:
        command = [sys.executable, "-m", "lab.jobrunner.writer", str(self.database), str(self.user_version), *(["stale"] if self.stale else [])]
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **self.options)
        keeper().watch_process(self._process.pid, signal.SIGKILL)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError("the writer did not start")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        said, _nothing = self._process.communicate(timeout=PATIENCE)  # the end of its input ends it
        keeper().forget_process(self._process.pid)
        for name, found in json.loads(said).items():
            setattr(self, name, found)


def ended(stream: Any) -> bool:
    """Whether the other end of a pipe was closed, without waiting."""
    return bool(select.select([stream], [], [], 0)[0])


def pause(seconds: float) -> None:
    """Between two turns."""
    time.sleep(seconds)
