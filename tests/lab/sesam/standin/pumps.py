# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pumps: what runs, what ran, and what may be asked of them. Runs take time and do nothing."""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
import time
import uuid
from typing import Any

from lab.sesam.standin import profiler
from lab.sesam.standin.config import Config
from lab.sesam.standin.logs import Logs
from lab.sesam.standin.settings import Settings
from lab.sesam.standin.storage import Storage

OPERATIONS = (
    *("start", "start-rescan", "stop", "enable", "disable", "update-last-seen", "set-last-seen-to-end", "reset-tracking", "reset-rescan"),
    *("discard-retries", "discard-inferred-schema", "set-tracking-to-start"),
)
STARTS = ("start", "start-rescan")
REASON = "No connection to the source"


@dataclasses.dataclass
class Pump:
    """What is known of one."""

    disabled: bool = False
    comment: str = ""
    last_seen: Any = ""
    last_run: float | None = None
    runs: int = 0
    success: bool = True
    processed: int = 0
    next_run: float | None = None
    began: float | None = None  # it runs since then
    ends: float = 0.0
    stopping: bool = False
    profile: bool = False


class Unsupported(Exception):
    """400."""


class Pumps:
    """All of them, by the pipe's id."""

    def __init__(self, config: Config, storage: Storage, settings: Settings, logs: Logs) -> None:
        self.config, self.storage, self.settings, self.logs = config, storage, settings, logs
        self.lock = threading.RLock()
        self.licensed = True
        kept = storage.load("pumps", {})
        self.pumps = {identity: Pump(**fields) for identity, fields in kept.items()}
        self.events: dict[str, collections.deque[Any]] = {}
        self._dirty = False

    def of(self, identity: str) -> Pump:
        """The pump of a pipe."""
        with self.lock:
            return self.pumps.setdefault(identity, Pump())

    @staticmethod
    def mode(entity: Any) -> str:
        """scheduled, manual, off."""
        return str(entity.get("pump", {}).get("mode", "scheduled"))

    def supported(self, entity: Any) -> list[str]:
        """What may be asked of it."""
        wanted = entity.get("pump", {}).get("lab-operations") or OPERATIONS
        return [name for name in wanted if self.mode(entity) != "off" or name not in STARTS]

    # -- operations -------------------------------------------------------------------------------------------------------

    def operate(self, identity: str, entity: Any, form: dict[str, str]) -> bool:
        """Do it; False if it runs already."""
        operation = form.get("operation", "")
        if operation not in self.supported(entity):
            raise Unsupported(f"The operation '{operation}' isn't supported by the pump of the pipe '{identity}'")
        pump = self.of(identity)
        with self.lock:
            if operation in STARTS:
                if not self.licensed:
                    raise Unsupported("The node has no valid license, pumps can't be started")
                return self.start(identity, pump, profile=form.get("profiler", "").lower() == "true")
            if operation == "stop":
                self._stop(pump)
            elif operation in {"enable", "disable"}:
                pump.disabled, pump.comment = operation == "disable", form.get("comment", "")
                self.event(identity, f"pump-{operation}d", {"comment": pump.comment})
            elif operation == "update-last-seen":
                if "last-seen" not in form:
                    raise Unsupported("Missing parameter 'last-seen'")
                pump.last_seen = form["last-seen"]
            elif operation == "set-last-seen-to-end":
                pump.last_seen = pump.processed
            self._dirty = True
            self.save()
        return True

    def start(self, identity: str, pump: Pump, profile: bool = False) -> bool:
        """Begin a run."""
        if identity == self.settings["crash_pipe"]:
            self.logs.write("node", f"Pump '{identity}': out of memory", "CRITICAL")
            os._exit(137)
        if pump.began is not None:
            return False
        pump.began = time.time()
        pump.ends, pump.stopping, pump.profile = pump.began + self.settings["run_seconds"], False, profile
        self.event(identity, "pump-started", {"pump-started": pump.began})
        return True

    def _stop(self, pump: Pump) -> None:
        if pump.began is not None and not pump.stopping:
            pump.stopping, pump.ends = True, time.time() + self.settings["stop_seconds"]

    def finish(self, identity: str, pump: Pump) -> None:
        """End a run."""
        with self.lock:
            if pump.began is None:
                return
            failed = identity in self.settings["failing_pipes"]
            began, pump.began = pump.began, None
            pump.last_run, pump.success, pump.runs = time.time(), not failed, pump.runs + 1
            pump.processed += 0 if failed else 10
            pump.last_seen = pump.processed
            total = {"total_time": pump.last_run - began, "entities_succeeded": 0 if failed else 10, "entities_failed": int(failed)}
            if failed:
                trouble = {"reason_why_stopped": "The pump failed", "original_error_message": REASON, "traceback": "Traceback ...", "next_interval": 30}
                self.event(identity, f"read-error:{uuid.uuid4()}", {"original_error_message": REASON})
                self.event(identity, "pump-failed", {**total, **trouble})
            else:
                self.event(identity, "pump-completed", {**total, "stopped": pump.stopping})
            self._dirty = True
        if pump.profile:
            self._leave_profile(identity, began)

    def _leave_profile(self, identity: str, began: float) -> None:
        """The pump's own work in short, under its name."""
        _value, stats = profiler.profiled(lambda: sorted(str(number) for number in range(2000)))
        for file in profiler.leave(self.logs.folder, f"pump-{identity}", began, stats):
            file.chmod(0o644)

    def event(self, identity: str, name: str, fields: dict[str, Any]) -> None:
        """Into the execution log."""
        entry = {"_id": name, "_updated": int(time.time() * 1e6), "pipe": identity, "_ts": int(time.time() * 1e6), **fields}
        self.events.setdefault(identity, collections.deque(maxlen=200)).append(entry)
        self.logs.write("node_pipe_execution", f"{identity} {name} {fields}")

    def save(self) -> None:
        """Keep what survives a restart, if anything is new."""
        with self.lock:
            if not self._dirty:
                return
            self._dirty = False
            kept = {name: {**dataclasses.asdict(pump), "began": None, "next_run": None} for name, pump in self.pumps.items()}
        self.storage.save("pumps", kept)

    def running(self) -> list[tuple[str, Pump]]:
        """Those under way."""
        with self.lock:
            return [(identity, pump) for identity, pump in self.pumps.items() if pump.began is not None]
