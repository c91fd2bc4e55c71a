# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit of job-runner: whether it is up, whether it stays up, and which layout it is of.

An error in one job ends the whole program on purpose (job-runner ``run.py``), and systemd starts it again a minute later. So the unit is
"active" now and then whatever happens; what tells is how often it was started, and how long ago.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from ..connect.procfs import age, read_process
from ..connect.service import ServiceError, call, last_line, program
from ..connect.systemd import blocks_of, full_name, span

UNIT = "jobrunner"
_PROPERTIES = (
    "Id LoadState ActiveState SubState UnitFileState Type Result MainPID NRestarts ExecMainCode ExecMainStatus ExecStart WorkingDirectory User"
    " RestartUSec NeedDaemonReload ActiveEnterTimestampMonotonic InactiveEnterTimestampMonotonic"
)
_JOURNALCTL = "/usr/bin/journalctl"
JOURNAL_TIMEOUT = 20.0


@dataclass(frozen=True)
class ServiceState:
    """What systemd says of the unit. ``age`` is that of the main process in seconds, ``since`` when the state began."""

    unit: str
    known: bool
    active: str = "unknown"
    sub: str = ""
    enabled: str = ""
    type: str = ""
    result: str = ""
    exit_code: Optional[int] = None
    main_pid: Optional[int] = None
    age: Optional[float] = None
    restarts: Optional[int] = None
    restart_delay: Optional[float] = None
    since: Optional[float] = None
    command: str = ""
    working_directory: str = ""
    reload_needed: bool = False

    @property
    def waiting(self) -> bool:
        """It has ended and waits to be started again."""
        return self.sub.startswith("auto-restart")

    @property
    def up(self) -> bool:
        return self.active in ("active", "reloading") and self.main_pid is not None

    @property
    def compose(self) -> bool:
        """The unit of the later layout, which starts containers and ends."""
        return self.known and (self.type == "oneshot" or "just deploy" in self.command or "docker compose" in self.command or "docker-compose" in self.command)

    def looping(self) -> bool:
        """Started again by systemd, and not for long enough to believe in it: three times the pause between two starts."""
        if self.waiting:
            return True
        settled = 3 * (self.restart_delay or 60.0)
        return self.up and bool(self.restarts) and self.age is not None and self.age < settled

    def to_dict(self) -> Dict[str, Any]:
        return {
            "unit": self.unit,
            "known": self.known,
            "active": self.active,
            "sub": self.sub,
            "enabled": self.enabled,
            "result": self.result,
            "exit_code": self.exit_code,
            "main_pid": self.main_pid,
            "age": None if self.age is None else round(self.age, 1),
            "restarts": self.restarts,
            "since": stamp(self.since),
            "working_directory": self.working_directory,
            "reload_needed": self.reload_needed,
        }


@dataclass(frozen=True)
class LogLine:
    """One line of the service's journal."""

    time: float
    text: str


def read_service(unit: str = UNIT) -> ServiceState:
    """One question to systemd; raises ServiceError where there is none."""
    systemctl = program("systemctl")
    if systemctl is None:
        raise ServiceError("systemctl is not installed on this node")
    code, output, errors = call([systemctl, "show", "--no-pager", "--property=" + ",".join(_PROPERTIES.split()), "--", full_name(unit)])
    if code != 0:
        raise ServiceError("systemctl cannot tell the state of %s: %s" % (unit, last_line(output, errors)))
    blocks = blocks_of(output)
    return service_of(unit, blocks[0] if blocks else {})


def service_of(unit: str, block: Mapping[str, str]) -> ServiceState:
    """From systemd's properties; the age of the main process is that of the process itself."""
    if block.get("LoadState", "not-found") == "not-found":
        return ServiceState(full_name(unit), False)
    pid = _number(block, "MainPID") or None
    process = read_process(pid) if pid else None
    entered = _number(block, "ActiveEnterTimestampMonotonic" if block.get("ActiveState") == "active" else "InactiveEnterTimestampMonotonic")
    delay = span(block.get("RestartUSec", ""))
    standing = time.clock_gettime(time.CLOCK_MONOTONIC) - entered / 1e6 if entered else None
    return ServiceState(
        unit=block.get("Id", full_name(unit)),
        known=True,
        active=block.get("ActiveState", "unknown"),
        sub=block.get("SubState", ""),
        enabled=block.get("UnitFileState", ""),
        type=block.get("Type", ""),
        result=block.get("Result", ""),
        exit_code=_number(block, "ExecMainStatus") if block.get("ExecMainCode") == "1" else None,
        main_pid=pid,
        age=age(process) if process else (standing if pid else None),  # it may have ended just now, or be hidden
        restarts=_number(block, "NRestarts"),
        restart_delay=delay if delay and delay != float("inf") else None,
        since=time.time() - standing if standing is not None else None,
        command=block.get("ExecStart", ""),
        working_directory=block.get("WorkingDirectory", ""),
        reload_needed=block.get("NeedDaemonReload") == "yes",
    )


def journal_argv(unit: str, *arguments: str) -> List[str]:
    """How to read the unit's journal: as root, or by the one command that sudo allows the service's own user."""
    found = program("journalctl")
    if found is None:
        raise ServiceError("journalctl is not installed on this node")
    words = ["-u", unit, "-o", "json", "--no-pager", "--output-fields=MESSAGE", *arguments]
    if os.geteuid() == 0:
        return [found, *words]
    return ["sudo", "-n", _JOURNALCTL, *words]


def last_log_line(unit: str = UNIT) -> Optional[LogLine]:
    """The newest line that the service wrote; None when it wrote none, or it may not be read."""
    try:
        code, output, _errors = call(journal_argv(unit, "-n", "1"), JOURNAL_TIMEOUT)
    except ServiceError:
        return None
    lines = [line for line in map(line_of, output.splitlines()) if line] if code == 0 else []
    return lines[-1] if lines else None


def line_of(record: str) -> Optional[LogLine]:
    """From one line of ``journalctl -o json``. A message that is not UTF-8 comes as a list of bytes."""
    try:
        entry = json.loads(record)
        moment = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    message = entry.get("MESSAGE")
    if isinstance(message, list):
        message = bytes(byte for byte in message if isinstance(byte, int) and 0 <= byte < 256).decode("utf-8", "backslashreplace")
    return LogLine(moment, str(message or ""))


def stamp(seconds: Optional[float]) -> Optional[str]:
    """A time as results show it, in UTC."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _number(block: Mapping[str, str], key: str) -> Optional[int]:
    text = block.get(key, "")
    return int(text) if text.isdigit() else None
