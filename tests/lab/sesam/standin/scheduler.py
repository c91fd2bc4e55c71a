# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler: starts pumps whose time has come, unless it is told not to; and the end of runs, which needs no scheduler."""

from __future__ import annotations

import threading
import time
from typing import Any

from lab.sesam.standin.pumps import Pumps

STEP = 0.1
SWITCHES = ("disable_pump_scheduler", "disable_user_pipes")
INTERVAL = 30.0


class Scheduler(threading.Thread):
    """A thread."""

    def __init__(self, pumps: Pumps, startup_options: Any) -> None:
        super().__init__(name="task-manager", daemon=True)
        self.pumps = pumps
        self.startup_options = startup_options
        self._first = True
        self._saved = 0.0

    @property
    def on(self) -> bool:
        """Whether anything is started by itself."""
        metadata = self.pumps.config.metadata()
        return self.pumps.licensed and not any(_off(each) for each in (metadata, self.startup_options))

    def run(self) -> None:
        """For ever."""
        while True:
            self.turn(time.time())
            time.sleep(STEP)

    def turn(self, now: float) -> None:
        """End what is over, start what is due."""
        for identity, pump in self.pumps.running():
            if pump.ends <= now:
                self.pumps.finish(identity, pump)
        pipes = self.pumps.config.pipes()
        if self.on:
            for identity, entity in pipes.items():
                self._consider(identity, entity, now)
        else:
            with self.pumps.lock:
                for pump in self.pumps.pumps.values():
                    pump.next_run = None
        self._first = False
        if now - self._saved > 1.0:
            self._saved = now
            self.pumps.save()

    def _consider(self, identity: str, entity: Any, now: float) -> None:
        pump = self.pumps.of(identity)
        if pump.disabled or self.pumps.mode(entity) != "scheduled":
            pump.next_run = None
            return
        if self._deploying(identity, now):
            return
        settings = entity.get("pump", {})
        interval = float(settings.get("schedule_interval", INTERVAL))
        if pump.next_run is None:
            pump.next_run = now if self._first and settings.get("run_at_startup") else now + interval
        if pump.next_run <= now and pump.began is None:
            pump.next_run = now + interval
            with self.pumps.lock:
                self.pumps.start(identity, pump)

    def _deploying(self, identity: str, now: float) -> bool:
        return bool(now - self.pumps.config.touched.get(identity, 0.0) < self.pumps.settings["deploying_seconds"])


def _off(options: Any) -> bool:
    manager = options.get("task_manager", {}) if isinstance(options, dict) else {}
    return isinstance(manager, dict) and any(manager.get(name) is True for name in SWITCHES)
