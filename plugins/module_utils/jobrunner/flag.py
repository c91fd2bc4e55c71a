# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags of job-runner: a value under a name, read by the main loop before each job, and written here as its own command writes them.

Source: job-runner ``queries.py`` (``set_flag``), ``run.py`` and ``service.py``. A row whose time stamp is a text, as the table's own default makes it, ends
the thread that talks to job-server.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ..connect.sqlite import Database
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome, Remedy
from .errors import JobRunnerError
from .place import Place
from .rows import FLAG, flag_rows, is_as, write_flag
from .tables import read_layout

KNOWN = {
    "paused": ("true",),
    "mode": ("db-maintenance",),
    "manual-db-maintenance": ("on",),
}
"""Flags that upstream reads, and what it looks for in them; anything else counts as not set. It compares ``paused`` in lower case."""
PAUSING = ("opensafely-jobrunner.md", "Pausing new jobs")


@dataclass(frozen=True)
class FlagState:
    """All flags, by name."""

    flags: Mapping[str, Mapping[str, Any]]


def checked(name: str, value: Optional[str], allow_unknown: bool) -> Optional[str]:
    """The value to write; refuses what upstream would not read."""
    value = None if value == "" else value  # `set paused=` clears
    if name not in KNOWN:
        if allow_unknown and name and name.isprintable() and "=" not in name:
            return value
        text = "upstream reads no flag %r; it reads %s. allow_unknown: true writes it all the same, if it is a name without '='"
        raise JobRunnerError(text % (name, ", ".join(sorted(KNOWN))))
    wanted = value.lower() if value is not None and name == "paused" else value  # YAML's true comes as True
    if wanted is not None and wanted not in KNOWN[name]:
        accepted = " or ".join("value: %s" % each for each in KNOWN[name])
        raise JobRunnerError("%s=%s would not count as set for upstream; accepted are %s, and null to clear it" % (name, value, accepted))
    return wanted


def readable(row: Mapping[str, Any]) -> bool:
    """Whether upstream's Python can make a time of the stamp."""
    return isinstance(row["timestamp"], (int, float))


def is_paused(flags: Mapping[str, Mapping[str, Any]]) -> bool:
    """As the main loop reads it."""
    return str(flags.get("paused", {}).get("value")).lower() == "true"


def plan(state: FlagState, name: str, value: Optional[str]) -> List[Change]:
    row = state.flags.get(name)
    after = {"id": name, "value": value}
    if row is None:
        return [Change("set", FLAG + name, None, after, "it was never set")]
    if not readable(row):
        reason = "its time stamp is %s, of which upstream's thread that talks to job-server dies" % _stamp(row)
        return [Change("set", FLAG + name, dict(row), after, reason, reversible=False)]
    if row["value"] == value:
        return []
    return [Change("set", FLAG + name, dict(row), after, "it is %s" % _told(row["value"]))]


def diagnose(state: FlagState, name: str) -> List[Finding]:
    findings = []
    for each, row in sorted(state.flags.items()):
        if not readable(row):
            remedy = Remedy("write it again: jobrunner_flag with the value that it has")
            text = "the time stamp of flag %s is %s, which upstream cannot read: its thread that talks to job-server dies of it" % (each, _stamp(row))
            findings.append(Finding("jobrunner.flag.unreadable", "critical", each, text, dict(row), remedy, PAUSING))
    row = state.flags.get(name, {})
    if name == "paused":
        text = "job-runner is paused: it starts no new jobs" if is_paused(state.flags) else "job-runner is not paused"
        findings.append(Finding("jobrunner.flag.paused" if is_paused(state.flags) else "jobrunner.flag.clear", "ok", name, text, dict(row), None, PAUSING))
    else:
        code = "jobrunner.flag.set" if row.get("value") is not None else "jobrunner.flag.clear"
        findings.append(Finding(code, "ok", name, "flag %s is %s" % (name, _told(row.get("value"))), dict(row), None, PAUSING))
    return findings


def _stamp(row: Mapping[str, Any]) -> str:
    return "missing" if row["timestamp"] is None else "the text %r" % (row["timestamp"],)


def _told(value: Optional[str]) -> str:
    return "not set" if value is None else repr(value)


class Flag(Procedure[FlagState]):
    """Sets or clears one flag."""

    name = "jobrunner_flag"

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self.flag: str = params["name"]
        self.value = checked(self.flag, params["value"], bool(params["allow_unknown"]))
        self.database = Database(Place.of(params).database)
        self.clock = clock

    def close(self) -> None:
        self.database.close()

    def observe(self) -> FlagState:
        with self.database.reading():
            read_layout(self.database)
            return FlagState(flag_rows(self.database))

    def diagnose(self, state: FlagState) -> List[Finding]:
        return diagnose(state, self.flag)

    def plan(self, state: FlagState) -> List[Change]:
        return plan(state, self.flag, self.value)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._write(change) for change in changes]

    def facts(self, state: FlagState) -> Mapping[str, Any]:
        flags: Dict[str, Any] = {name: dict(row) for name, row in sorted(state.flags.items())}
        return {"flags": flags, "paused": is_paused(state.flags)}

    def context(self) -> Mapping[str, Any]:
        return {"database": self.database.path}

    def _write(self, change: Change) -> Outcome:
        with self.database.writing():
            row = flag_rows(self.database).get(self.flag)
            if not (is_as(row, change.before) if change.before is not None else row is None):
                raise JobRunnerError("flag %s was written by somebody else since it was looked at, and left alone; run it again" % self.flag)
            made = {"id": self.flag, "value": self.value, "timestamp": self.clock()}
            write_flag(self.database, self.flag, made)
        return Outcome(True, actual=made)
