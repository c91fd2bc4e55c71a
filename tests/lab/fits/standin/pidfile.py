"""The lock file, with upstream's idea of a valid one: any living process of this user that has the pid."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional

from .log import Log


class PidFileError(Exception):
    """Somebody else seems to hold the lock: the service says so and exits 0."""


class PidFile:
    """Context manager; a dummy without --lockfile."""

    def __init__(self, log: Log, generation: str, directory: str, name: Optional[str], dummy: bool) -> None:
        script = os.path.basename(sys.argv[0])
        if generation == "C":
            label = script if name is None else "{}-{}".format(script, name)
        else:
            label = name or os.path.splitext(script)[0]
        self.path = os.path.join(directory, label + ".lock")
        self._log = log
        self._new = generation == "C"
        self._dummy = dummy

    def __enter__(self) -> PidFile:
        if self._dummy:
            return self
        if os.path.exists(self.path):
            self._log.info("pidfile:55" if self._new else "pidfile:35",
                           "Lockfile %s exists; testing for viability", self.path)  # fmt: skip
            self._check()
            os.unlink(self.path)
        else:
            self._log.info("pidfile:81" if self._new else "pidfile:54", "Lockfile %s does not exist", self.path)
        self._log.info("pidfile:84" if self._new else "pidfile:56", "Creating new lockfile %s", self.path)
        with open(self.path, "w", encoding="ascii") as handle:
            handle.write("{}\n".format(os.getpid()))
        return self

    def _check(self) -> None:
        try:
            with open(self.path, encoding="ascii") as handle:
                pid = int(handle.read())
        except OSError:
            raise PidFileError("Could not read PID from lockfile {}".format(self.path)) from None
        except ValueError:
            raise PidFileError("Cannot recognize the PID in lockfile {}".format(self.path)) from None
        try:
            os.kill(pid, 0)
        except OSError:  # no such process, but also EPERM: the process of another user counts as stale
            if self._new:
                self._log.info("pidfile:74", "PID %s in lockfile refers to a process which either doesn't exist, or "
                               "is not ours.", pid)  # fmt: skip
                self._log.info("pidfile:78", "Removing the stale PID file")
            else:
                self._log.error("pidfile:49", "PID in lockfile refers to a process which either doesn't exist, or is "
                                "not ours - %s", pid)  # fmt: skip
                self._log.error("pidfile:51", "Removing the current PID file")
            return
        raise PidFileError("Lockfile {} refers to PID {} which appears to be valid".format(self.path, pid))

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if not self._dummy:
            self._log.info("pidfile:92" if self._new else "pidfile:64", "Removing the PID file")
            os.unlink(self.path)
