# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backend looked like at one moment, as values. Nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Usage
from ..procedure.envelope import Finding
from .config import Config
from .names import container_name
from .objects import Container, Objects
from .service import LogLine, ServiceState, stamp
from .tables import ACTIVE, Layout
from .usage import Disk, Machine

DEBUG = "os-debug-"
"""What names of containers for debugging begin with (module jobrunner_debug)."""


@dataclass(frozen=True)
class Limits:
    """From when on something is worth a finding. Times in seconds, shares between 0 and 1."""

    loop: float = 300.0
    finalise: float = 600.0
    disk: float = 0.10
    memory: float = 0.05
    settle: float = 10.0
    """Seconds that the main process must be old before it is believed to stay."""
    pick_up: float = 60.0
    """Seconds that a main loop is given to take up jobs that waited for a reboot; a turn of it takes some seconds."""


@dataclass(frozen=True)
class Tables:
    """The database, read in one transaction. Active rows are whole; others are only counted."""

    layout: Layout
    journal_mode: str
    counts: Sequence[Dict[str, Any]]
    active: Sequence[Mapping[str, Any]]
    flags: Mapping[str, Mapping[str, Any]]
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Rows of jobs that have Docker objects and are not active, by id."""


@dataclass(frozen=True)
class Engine:
    """The Docker Engine. ``ended`` says when the containers of running jobs ended that do not run any more."""

    version: str
    root: str
    objects: Mapping[str, Objects]
    debugging: Sequence[Container] = ()
    ended: Mapping[str, Optional[float]] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)


@dataclass(frozen=True)
class BackendState:
    """What could not be read is None, and ``missing`` says why, by part: service, database, docker."""

    now: float
    service: Optional[ServiceState]
    last_line: Optional[LogLine]
    tables: Optional[Tables]
    engine: Optional[Engine]
    machine: Machine
    disks: Sequence[Disk]
    missing: Mapping[str, str] = field(default_factory=dict)
    layout_refused: bool = False
    config: Sequence[Mapping[str, Any]] = ()
    config_findings: Sequence[Finding] = ()
    places: Mapping[str, Optional[str]] = field(default_factory=dict)

    @property
    def running(self) -> List[Mapping[str, Any]]:
        return [row for row in self.tables.active if row["state"] == "running"] if self.tables else []

    @property
    def pending(self) -> List[Mapping[str, Any]]:
        return [row for row in self.tables.active if row["state"] == "pending"] if self.tables else []

    def objects(self, job_id: str) -> Objects:
        found = self.engine.objects.get(job_id) if self.engine else None
        return found or Objects(job_id)

    def heartbeat(self) -> Optional[float]:
        """Seconds since the main loop last touched an active job; it does so at least once a minute for each (``run.py``, ``set_code``)."""
        times = [row["updated_at"] for row in self.running + self.pending if isinstance(row["updated_at"], (int, float))]
        return self.now - max(times) if times else None

    def leftovers(self) -> List[Objects]:
        """Objects of jobs that are not active, and of pending jobs, which have none by rights."""
        if not self.engine or not self.tables:
            return []
        running = {row["id"] for row in self.running}
        return [found for job_id, found in sorted(self.engine.objects.items()) if job_id not in running and found.any]


def healthy(state: BackendState, limits: Limits) -> bool:
    """Up, and staying so, with nothing left of a reboot: not merely active."""
    service = state.service
    if service is None or not service.up or service.compose or service.looping() or state.tables is None or state.engine is None:
        return False
    if service.age is None or service.age < limits.settle:
        return False
    beat = state.heartbeat()
    stuck = beat is not None and beat > limits.loop and service.age > limits.loop
    return not stuck and not any(row["status_code"] == "waiting_on_reboot" for row in state.pending)


def row_of(state: BackendState, job_id: str) -> Optional[Mapping[str, Any]]:
    """What the database says of a job that has objects."""
    if state.tables is None:
        return None
    active = next((row for row in state.tables.active if row["id"] == job_id), None)
    return active or state.tables.others.get(job_id)


def is_paused(value: Any) -> bool:
    """As upstream reads it (``run.py``): nothing but ``true`` pauses."""
    return str(value).lower() == "true"


def facts(state: BackendState, limits: Limits) -> Dict[str, Any]:
    """The module's return values."""
    tables, database = state.tables, None
    if tables is not None:
        database = {"user_version": tables.layout.version, "journal_mode": tables.journal_mode, "path": state.places.get("database")}
    return {
        "healthy": healthy(state, limits),
        "service": dict(state.service.to_dict(), **_log(state)) if state.service else None,
        "database": database,
        "flags": {name: dict(flag) for name, flag in tables.flags.items()} if tables else None,
        "paused": is_paused(tables.flags.get("paused", {}).get("value")) if tables else None,
        "jobs": _jobs(tables) if tables else None,
        "running": [_running(state, row) for row in state.running] if tables else None,
        "leftovers": [dict(found.to_dict(), job_id=found.job_id, **_standing(state, found.job_id)) for found in state.leftovers()] if tables else None,
        "docker": {"version": state.engine.version, "root": state.engine.root} if state.engine else None,
        "machine": state.machine.to_dict(),
        "disks": [disk.to_dict() for disk in state.disks],
        "config": [dict(entry) for entry in state.config],
        "missing": dict(state.missing),
    }


def config_rows(config: Config) -> List[Dict[str, Any]]:
    """Assignments in the order in which the service reads them, each with the file that makes it."""
    names = ("name", "path", "line", "secret", "shadowed")
    return [dict({name: getattr(entry, name) for name in names}, value=entry.shown) for entry in config.entries]


def _log(state: BackendState) -> Dict[str, Any]:
    line = state.last_line
    beat = state.heartbeat()
    return {
        "last_line_at": stamp(line.time) if line else None,
        "last_line_age": round(max(0.0, state.now - line.time), 1) if line else None,
        "heartbeat_age": None if beat is None else round(beat, 1),
    }


def _jobs(tables: Tables) -> Dict[str, Any]:
    by_state: Dict[str, int] = {}
    by_code: Dict[str, int] = {}
    for row in tables.counts:
        by_state[str(row["state"])] = by_state.get(str(row["state"]), 0) + row["jobs"]
        by_code[str(row["status_code"])] = by_code.get(str(row["status_code"]), 0) + row["jobs"]
    return {"total": sum(by_state.values()), "active": sum(by_state.get(word, 0) for word in ACTIVE), "by_state": by_state, "by_code": by_code}


def _running(state: BackendState, row: Mapping[str, Any]) -> Dict[str, Any]:
    found = state.objects(row["id"])
    usage = state.engine.usage.get(container_name(row["id"])) if state.engine else None
    return {
        "id": row["id"],
        "action": row["action"],
        "workspace": row["workspace"],
        "status_code": row["status_code"],
        "status_message": row["status_message"],
        "cancelled": bool(row["cancelled"]),
        "age": _since(state, row["started_at"]),
        "code_age": _since(state, (row["status_code_updated_at"] or 0) / 1e9),
        "container": found.container.to_dict() if found.container else None,
        "cpus": usage.cpus if usage else None,
        "memory": usage.memory if usage else None,
        "memory_limit": usage.limit if usage else None,
    }


def _standing(state: BackendState, job_id: str) -> Dict[str, Any]:
    row = row_of(state, job_id) or {}
    return {"state": row.get("state"), "status_code": row.get("status_code"), "workspace": row.get("workspace"), "action": row.get("action")}


def _since(state: BackendState, seconds: Any) -> Optional[float]:
    return round(max(0.0, state.now - seconds), 1) if isinstance(seconds, (int, float)) and seconds else None


def exited(container: Optional[Container]) -> bool:
    return container is not None and container.state in ("exited", "dead")


def number(count: int, one: str, several: str) -> str:
    """``1 job is``, ``2 jobs are``."""
    return "%d %s" % (count, one if count == 1 else several)


def split_ids(ids: Sequence[str], limit: int = 20) -> Tuple[List[str], str]:
    """The first ids, and the words for a sentence."""
    told = ", ".join(ids[:5]) + (" and %d more" % (len(ids) - 5) if len(ids) > 5 else "")
    return list(ids[:limit]), told
