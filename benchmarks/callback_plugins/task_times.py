# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes how long each task took on its host, as JSON lines, to the file that TASK_TIMES names."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: notification
short_description: Writes how long tasks took
description: For benchmarks/first_look.py.
"""


class CallbackModule(CallbackBase):
    """From the moment when a host is handed a task to the moment when its result is there."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"

    def __init__(self) -> None:
        super().__init__()
        self.started: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note the time."""
        self.started[host.get_name(), task._uuid] = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        """Write the difference."""
        self._write(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Failed tasks are no measurement, and the reader says so."""
        self._write(result, failed=True)

    def _write(self, result: Any, failed: bool = False) -> None:
        seconds = time.monotonic() - self.started[result.host.get_name(), result.task._uuid]
        with open(os.environ["TASK_TIMES"], "a", encoding="utf-8") as file:
            told = {"host": result.host.get_name(), "task": result.task.get_name(), "action": result.task.resolved_action or ""}
            file.write(json.dumps({**told, "seconds": seconds, "failed": failed}) + "\n")
