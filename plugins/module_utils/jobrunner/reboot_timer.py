# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A timer of systemd that nobody has to wait for: made, seen and taken away by its fixed name.

It is transient: it belongs to the running system and leaves no unit file. A reboot before its time takes it along, and then there is nothing left to
prepare. What it starts is told apart by the mark in its description.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from ..connect.command import PATH
from ..connect.service import READ_TIMEOUT, ServiceError, call, last_line, program
from ..connect.systemd import blocks_of
from .errors import JobRunnerError

UNIT = "fieldops-jobrunner-maintenance"
TIMER, SERVICE = UNIT + ".timer", UNIT + ".service"
DESCRIPTION = "Prepare job-runner for a reboot"
_MARK = re.compile(re.escape(DESCRIPTION) + r" \((--on-[a-z]+=.*)\) \[([0-9a-f]{16})\]")
_PROPERTIES = "Id,LoadState,ActiveState,Description,Result,NextElapseUSecRealtime,NextElapseUSecMonotonic,TimersCalendar,TimersMonotonic,ExecMainExitTimestamp"


@dataclass(frozen=True)
class TimerSeen:
    """``mark`` is that of the program which it starts, ``when`` what systemd-run was told, ``works`` whether the program runs just now."""

    mark: Optional[str] = None
    when: str = ""
    next: str = ""
    timers: str = ""
    works: bool = False

    def to_dict(self) -> Dict[str, Any]:
        return {"set": self.mark is not None, "next": self.next, "timers": self.timers, "works": self.works}


def look() -> TimerSeen:
    code, output, errors = _systemctl("show", "--no-pager", "--property=" + _PROPERTIES, "--", TIMER, SERVICE)
    if code != 0:
        raise JobRunnerError("systemctl cannot tell the state of %s: %s" % (TIMER, last_line(output, errors)))
    units = {block.get("Id"): block for block in blocks_of(output)}
    timer, service = units.get(TIMER, {}), units.get(SERVICE, {})
    works = service.get("ActiveState") in ("activating", "active", "deactivating")
    if timer.get("ActiveState") not in ("active", "activating"):
        return TimerSeen(works=works)
    match = _MARK.fullmatch(timer.get("Description", ""))
    told = timer.get("NextElapseUSecRealtime") or timer.get("NextElapseUSecMonotonic") or ""
    when, mark = match.groups() if match else ("", "")
    return TimerSeen(mark, when, told, timer.get("TimersCalendar") or timer.get("TimersMonotonic") or "", works)


def checked(calendar: Optional[str], active: Optional[str]) -> None:
    """Refuse a time that systemd does not understand, or that never comes."""
    if calendar is not None:
        code, output, errors = _analyze("calendar", calendar)
        if code != 0 or "Next elapse: never" in " ".join(output.split()):
            said = "it never comes (any more)" if code == 0 else last_line(errors, output)
            raise JobRunnerError("on_calendar %r is no time to come for systemd: %s; accepted is for example 2026-01-31 04:00 or Sun 02:30" % (calendar, said))
    if active is not None:
        code, output, errors = _analyze("timespan", active)
        if code != 0 or active.strip() == "infinity":
            said = "it never comes" if code == 0 else last_line(errors, output)
            raise JobRunnerError("on_active %r is no time span for systemd: %s; accepted is for example 4h or 90min" % (active, said))


def start(when: str, mark: str, program_path: str) -> None:
    """``when`` is an option of systemd-run."""
    found = program("systemd-run")
    if found is None:
        raise JobRunnerError("systemd-run is not installed on this node, so no timer can be set")
    environment = ["--setenv=PATH=" + PATH, "--setenv=LC_ALL=C.UTF-8"]
    unit = ["--unit=" + UNIT, "--description=%s (%s) [%s]" % (DESCRIPTION, when, mark), "--collect", "--timer-property=AccuracySec=1s", *environment]
    argv = [found, *unit, when, "--", sys.executable, "-I", program_path, "run"]
    code, output, errors = _call(argv)
    if code != 0:
        raise JobRunnerError("systemd-run did not set the timer: %s" % last_line(errors, output))


def stop() -> None:
    """Of the timer alone: what it has started is not interrupted."""
    code, output, errors = _systemctl("stop", "--no-ask-password", "--", TIMER)
    if code not in (0, 5):  # 5: there is none
        raise JobRunnerError("%s was not stopped: %s" % (TIMER, last_line(errors, output)))


def _systemctl(*words: str) -> Any:
    return _call([_found("systemctl"), *words])


def _analyze(*words: str) -> Any:
    return _call([_found("systemd-analyze"), words[0], "--", words[1]])


def _found(name: str) -> str:
    path = program(name)
    if path is None:
        raise JobRunnerError("%s is not installed on this node: planned maintenance needs systemd" % name)
    return path


def _call(argv: List[str]) -> Any:
    try:
        return call(argv, READ_TIMEOUT)
    except ServiceError as exc:
        raise JobRunnerError(str(exc)) from exc
