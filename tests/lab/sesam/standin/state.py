# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node: its folders, its parts, and how it starts and leaves."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.sesam.standin import licence, stacktrace
from lab.sesam.standin.config import Config
from lab.sesam.standin.logs import Logs
from lab.sesam.standin.pumps import Pumps
from lab.sesam.standin.scheduler import Scheduler
from lab.sesam.standin.settings import Settings
from lab.sesam.standin.shapes import Shapes, moment
from lab.sesam.standin.storage import Storage

VERSION = "2.0.14-lab"
OPTIONS = "startup_options.json"


class CannotStart(Exception):
    """As its message says."""


class State:
    """One node."""

    def __init__(self, data: Path, logs: Path, settings: Settings, enforce_licence: bool, profile_calls: bool) -> None:
        self.data, self.settings, self.enforce_licence, self.profile_calls = data, settings, enforce_licence, profile_calls
        self.started = time.time()
        self.logs = Logs(logs, settings["log_mode"], settings["log_bytes"])
        self.storage = Storage(data)
        self.config = Config(self.storage, settings)
        self.pumps = Pumps(self.config, self.storage, settings, self.logs)
        self.shapes = Shapes(self.pumps)
        self.scheduler = Scheduler(self.pumps, self._startup_options())
        self.traces_wanted = threading.Event()
        self.end: Callable[[], Any] | None = None  # ends the server, and with it the process
        self.restarting = False

    @property
    def started_text(self) -> str:
        """When it started."""
        return str(moment(self.started))

    @property
    def starting(self) -> bool:
        """Whether it answers nothing but 503 yet."""
        return bool(time.time() - self.started < self.settings["start_seconds"])

    def _startup_options(self) -> Any:
        """Looked at here, and never again."""
        file = self.data / OPTIONS
        if not file.exists():
            return {}
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("not an object")
        except (OSError, ValueError) as error:
            self.logs.write("node", f"{file}: {error}", "ERROR")
            if self.settings["startup_invalid"] == "refuse":
                raise CannotStart(f"{file}: {error}") from error
            return {}
        return found

    def begin(self) -> None:
        """What runs beside the API."""
        self.logs.write("node", f"Starting node {VERSION}, pid {os.getpid()}, arguments {self.logs.folder} {self.data}")
        self.look_at_licence()
        self.scheduler.start()

    def look_at_licence(self) -> None:
        """Pipes stop where there is none, and there must be one."""
        allowed = not self.enforce_licence or bool(licence.state(self.data)["valid"])
        if self.pumps.licensed and not allowed:
            self.logs.write("node", "No valid license: all pumps are stopped", "ERROR")
        self.pumps.licensed = allowed

    def write_traces(self) -> None:
        """A file with where every thread is."""
        if self.settings["signal"] == "written":
            stacktrace.write(self.logs.folder, self.settings["stacktrace_bytes"], self.settings["stacktrace_seconds"])

    def leave(self) -> None:
        """End, in order to start again."""
        self.restarting = True
        self.logs.write("node", "Restarting")
        if self.end is not None:
            self.end()

    def wipe(self) -> None:
        """All is lost."""
        self.config.wipe()
        self.pumps.pumps.clear()
        self.storage.save("pumps", {})
        self.storage.save("wiped", True)
        self.logs.write("node", "The node was reset", "WARNING")
