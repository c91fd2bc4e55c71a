# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock file, with upstream's idea of a valid one: any living process of this user that has the pid."""

from __future__ import annotations

import os
import sys
from typing import Any

from .log import Log


class PidFileError(Exception):
    """Somebody else seems to hold the lock: the service says so and exits 0."""


class PidFile:
    """Context manager; a dummy without --lockfile."""

    def __init__(self, log: Log, generation: str, directory: str, name: str | None, dummy: bool) -> None:
        script = os.path.basename(sys.argv[0])
        label = (script if name is None else f"{script}-{name}") if generation == "C" else name or os.path.splitext(script)[0]
        self.path = os.path.join(directory, label + ".lock")
        self._log = log
        self._new = generation == "C"
        self._dummy = dummy

    def __enter__(self) -> PidFile:
        if self._dummy:
            return self
        if os.path.exists(self.path):
            self._log.info("Lockfile %s exists; testing for viability", self.path, at="pidfile:55" if self._new else "pidfile:35")
            self._check()
            os.unlink(self.path)
        else:
            self._log.info("Lockfile %s does not exist", self.path, at="pidfile:81" if self._new else "pidfile:54")
        self._log.info("Creating new lockfile %s", self.path, at="pidfile:84" if self._new else "pidfile:56")
        with open(self.path, "w", encoding="ascii") as handle:
            handle.write(f"{os.getpid()}\n")
        return self

    def _check(self) -> None:
        try:
            with open(self.path, encoding="ascii") as handle:
                pid = int(handle.read())
        except OSError:
            raise PidFileError(f"Could not read PID from lockfile {self.path}") from None
        except ValueError:
            raise PidFileError(f"Cannot recognize the PID in lockfile {self.path}") from None
        try:
            os.kill(pid, 0)
        except OSError:  # no such process, but also EPERM: the process of another user counts as stale
            if self._new:
                self._log.info("PID %s in lockfile refers to a process which either doesn't exist, or is not ours.", pid, at="pidfile:74")
                self._log.info("Removing the stale PID file", at="pidfile:78")
            else:
                self._log.error("PID in lockfile refers to a process which either doesn't exist, or is not ours - %s", pid, at="pidfile:49")
                self._log.error("Removing the current PID file", at="pidfile:51")
            return
        raise PidFileError(f"Lockfile {self.path} refers to PID {pid} which appears to be valid")

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if not self._dummy:
            self._log.info("Removing the PID file", at="pidfile:92" if self._new else "pidfile:64")
            os.unlink(self.path)
