# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service while jobs are reset: whether anything of it runs, and stopping it by the one command that its own user may give."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from ..connect.procfs import Pattern, contained, hides_others, processes
from ..connect.service import RUNNING, ServiceError, call, last_line, program
from ..connect.systemd import full_name
from ..procedure.envelope import Change, Image
from .errors import JobRunnerError
from .service import ServiceState, read_service

SERVICE = "service:"
UP, DOWN = "active", "inactive"
PROCESS = Pattern(args=("-m", "jobrunner.service"))
_SYSTEMCTL = "/usr/bin/systemctl"
"""As sudoers has it (backend-server, ``services/jobrunner/jobrunner.sudo``)."""
_PAUSE = 0.2


@dataclass(frozen=True)
class ServiceSeen:
    """``unit`` is None where there is no systemd to ask. ``pids`` are processes that run the service, whoever started them."""

    name: str
    unit: Optional[ServiceState] = None
    pids: Tuple[int, ...] = ()
    blind: bool = False
    """Processes of others cannot be seen."""

    @property
    def known(self) -> bool:
        return self.unit is not None and self.unit.known

    @property
    def on(self) -> bool:
        """systemd keeps it up, or tries to: one that waits to be started again counts."""
        return self.unit is not None and self.unit.active in RUNNING

    @property
    def runs(self) -> bool:
        return self.on or bool(self.pids)

    def image(self) -> Image:
        return {"active": UP if self.runs else DOWN}

    def told(self) -> str:
        """Why it counts as running."""
        parts = []
        if self.unit is not None and self.on:
            parts.append("%s is %s (%s)" % (self.unit.unit, self.unit.active, self.unit.sub))
        if self.pids:
            parts.append("process %s runs jobrunner.service" % ", ".join(map(str, self.pids)))
        return " and ".join(parts)

    def to_dict(self) -> Dict[str, Any]:
        return {"unit": self.unit.to_dict() if self.unit else None, "pids": list(self.pids), "runs": self.runs}


def look(name: str) -> ServiceSeen:
    """The unit, and the processes by their command line."""
    try:
        unit: Optional[ServiceState] = read_service(name)
    except ServiceError:
        unit = None
    pids = tuple(sorted(process.pid for process in processes() if PROCESS.matches(process) and not contained(process)))
    return ServiceSeen(full_name(name), unit, pids, hides_others())


def checked_timeout(seconds: float) -> float:
    if not 0 < seconds < float("inf"):
        raise JobRunnerError("stop_timeout takes seconds, more than 0, and not %g" % seconds)
    return seconds


def plan_stop(seen: ServiceSeen, reason: str) -> Change:
    return Change("stop", SERVICE + seen.name, seen.image(), {"active": DOWN}, reason)


def steer(verb: str, name: str, timeout: float) -> ServiceSeen:
    """Start or stop it, and wait until it is so."""
    deadline = time.monotonic() + timeout
    systemctl = program("systemctl") or _SYSTEMCTL
    argv = [systemctl, verb, "--no-ask-password", full_name(name)] if os.geteuid() == 0 else ["sudo", "-n", _SYSTEMCTL, verb, full_name(name)]
    try:
        code, output, errors = call(argv, timeout)
    except ServiceError as exc:
        raise JobRunnerError("%s could not be asked to %s: %s" % (full_name(name), verb, exc)) from exc
    if code != 0:
        raise JobRunnerError("%s refused to %s: %s" % (full_name(name), verb, last_line(output, errors)))
    wanted = verb == "start"
    seen = look(name)
    while (seen.on if wanted else seen.runs) != wanted and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        seen = look(name)
    if (seen.on if wanted else seen.runs) != wanted:
        raise JobRunnerError("%s did not %s within %g s: %s" % (full_name(name), verb, timeout, seen.told() or "nothing of it runs"))
    return seen
