# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node looked like at one moment, as values. Nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

from .container import Container
from .pipes import Pipes
from .process import NodeProcess
from .times import moment

PARTS = ("health", "status", "license", "pipes", "scheduler", "stacktraces", "health_log", "container", "profiler", "space")
BY_API = ("health", "status", "license", "scheduler", "pipes")
"""In the order in which they are asked for."""


@dataclass(frozen=True)
class Limits:
    """From when on something is worth a finding."""

    trace_age: float = 86400.0
    """Stack traces, and failures in the log, that are younger are of now."""
    settle: float = 600.0
    """Seconds that a node may take to start."""
    min_free: float = 10.0
    """Per cent of a file system."""
    profiles: int = 1 << 30
    """Bytes of profiles."""


@dataclass(frozen=True)
class Unanswered:
    """A question that was not answered as it should be."""

    part: str
    path: str
    kind: str
    cause: str
    text: str
    status: Optional[int] = None
    connected: bool = False


@dataclass(frozen=True)
class Health:
    """``well`` is None where the answer does not tell."""

    status: int
    well: Optional[bool]
    body: Any = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Status:
    """What a node says of itself."""

    node_id: Optional[str] = None
    version: Optional[str] = None
    start_time: Optional[str] = None
    started: Optional[float] = None
    uptime: Optional[float] = None
    memory: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Api:
    """The answers, and what became of the questions that have none."""

    url: str
    authenticates: bool
    asked: Tuple[str, ...] = ()
    health: Optional[Health] = None
    status: Optional[Status] = None
    license: Optional[str] = None
    """present, absent, invalid, or unknown where the answer does not tell."""
    metadata: Optional[Mapping[str, Any]] = None
    pipes: Optional[Pipes] = None
    left_out: str = ""
    """A pipe that should be started by itself and has no next run, where no pipe has one."""
    unanswered: Tuple[Unanswered, ...] = ()
    ping: Optional[bool] = None
    """Whether it answers the simplest question, which was asked only where another one went unanswered."""
    requests: int = 0

    def of(self, *kinds: str) -> Tuple[Unanswered, ...]:
        return tuple(each for each in self.unanswered if each.kind in kinds)


@dataclass(frozen=True)
class StartupOptions:
    """startup_options.json. ``problem`` says why it is no JSON object, or cannot be read."""

    path: str
    exists: bool
    written: Optional[float] = None
    switches: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class TraceFile:
    path: str
    size: int
    modified: float


@dataclass(frozen=True)
class Traces:
    """The newest first; ``count`` counts those as well that are not listed."""

    count: int
    files: Tuple[TraceFile, ...] = ()


@dataclass(frozen=True)
class HealthLog:
    """node_health.log and its rotations, read from the end."""

    path: str
    exists: bool
    modified: Optional[float] = None
    failures: int = 0
    """Since the time from when on they count."""
    last_failure: Optional[float] = None
    lines: Tuple[str, ...] = ()
    """The last failures, oldest first."""
    last_line: str = ""
    bytes_read: int = 0
    complete: bool = True


@dataclass(frozen=True)
class Profiler:
    """Profiles of calls and pumps that take up the disk."""

    enabled: Optional[bool] = None
    folder: str = ""
    files: Optional[int] = None
    size: Optional[int] = None
    complete: bool = True
    pump_files: int = 0
    pump_size: int = 0


@dataclass(frozen=True)
class Space:
    """Free space where a folder is."""

    path: str
    size: int
    available: int
    percent: float
    inodes_percent: float


@dataclass(frozen=True)
class Host:
    """The container, its process, and its folders, seen from this machine. What could not be seen is None, and ``missing`` says why, by part."""

    container: Optional[Container] = None
    process: Optional[NodeProcess] = None
    process_started: Optional[float] = None
    process_problem: str = ""
    data: Optional[str] = None
    logs: Optional[str] = None
    license_file: Optional[bool] = None
    options: Optional[StartupOptions] = None
    traces: Optional[Traces] = None
    health_log: Optional[HealthLog] = None
    profiler: Optional[Profiler] = None
    space: Optional[Mapping[str, Space]] = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NodeState:
    """A node. What was not asked for is None."""

    now: float
    parts: Tuple[str, ...]
    api: Api
    host: Host = field(default_factory=Host)

    @property
    def started(self) -> Optional[float]:
        """When the node started: what it says, else its process, else its container."""
        told = self.api.status.started if self.api.status else None
        if told is not None:
            return told
        if self.host.process_started is not None:
            return self.host.process_started
        container = self.host.container
        return container.started_at if container is not None and container.running else None

    @property
    def missing(self) -> Dict[str, str]:
        """What could not be seen, by part, and why."""
        found = dict(self.host.missing)
        found.update({each.part: each.text for each in self.api.unanswered})
        return found


def status_of(body: Any) -> Status:
    """From the node's answer, of which only this is known."""
    if not isinstance(body, Mapping):
        return Status()
    memory = body.get("psutil.virtual_memory")
    numbers = {str(name): value for name, value in memory.items() if _is_number(value)} if isinstance(memory, Mapping) else {}
    uptime = body.get("node_uptime")
    return Status(
        _text(body.get("node_id")),
        _text(body.get("node_version")),
        _text(body.get("node_start_time")),
        moment(body.get("node_start_time")),
        float(uptime) if isinstance(uptime, (int, float)) and not isinstance(uptime, bool) else None,
        {name: numbers[name] for name in ("total", "available", "used", "free", "percent") if name in numbers},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> Optional[str]:
    return None if value is None or isinstance(value, (Mapping, list)) else str(value)[:200]


def seen(parts: Sequence[str]) -> Tuple[str, ...]:
    """The parts that are looked at, in their order; all of them where none is named."""
    return tuple(part for part in PARTS if not parts or part in parts)
