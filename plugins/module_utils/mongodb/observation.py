# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one server of MongoDB says of itself and of its set. Plain data: documents are as `connect.mongo.plain` gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

ANSWERED = 0
NO_CODE = -1
TOO_STALE, NEW_STATE = 21126, 21358
LOG_IDS = (TOO_STALE, NEW_STATE)
"""Messages of the log that tell what the status does not."""
STATES = {
    0: "STARTUP",
    1: "PRIMARY",
    2: "SECONDARY",
    3: "RECOVERING",
    5: "STARTUP2",
    6: "UNKNOWN",
    7: "ARBITER",
    8: "DOWN",
    9: "ROLLBACK",
    10: "REMOVED",
}


@dataclass(frozen=True)
class Observation:
    """One look at one server. Each ``..._code`` is 0 where the question was answered, None where it was not asked, the server's code where it
    refused, and -1 where it refused without one."""

    address: str
    """HOST:PORT as it was asked for, which its set may know by another name."""
    hello: Dict[str, Any] = field(default_factory=dict)
    """What it answers to isMaster, with ``isWritablePrimary`` whatever its age."""
    hello_code: Optional[int] = None
    version: str = ""
    status: Dict[str, Any] = field(default_factory=dict)
    status_code: Optional[int] = None
    config: Dict[str, Any] = field(default_factory=dict)
    """The configuration of the set, as the server gives it."""
    config_code: Optional[int] = None
    stored: Dict[str, Any] = field(default_factory=dict)
    """The document of ``local.system.replset``; only asked for where the server runs without replication."""
    stored_code: Optional[int] = None
    command_line_set: Optional[str] = None
    """The name given with --replSet; empty where it was started without. None where this user may not know it."""
    command_line_code: Optional[int] = None
    log_ids: Tuple[int, ...] = ()
    """Those of `LOG_IDS` in the latest part of the log, oldest first; only asked for where the server is RECOVERING."""
    log_code: Optional[int] = None
    unreachable: bool = False
    unsupported: bool = False
    error: str = ""
    """Why the look is not a whole one."""

    @property
    def writable(self) -> bool:
        """Whether it says that it takes writes."""
        return bool(self.hello.get("isWritablePrimary"))

    @property
    def set_name(self) -> str:
        """Name of the set, from wherever it is known; empty where there is none."""
        named = self.hello.get("setName") or self.config.get("_id") or self.stored.get("_id") or self.command_line_set
        return str(named or "")

    @property
    def state(self) -> Optional[int]:
        """Its own state, where it has one."""
        return self.status.get("myState") if self.status_code == ANSWERED else None


@dataclass(frozen=True)
class Member:
    """One member as the server sees it; without its status, only what the configuration has of it."""

    id: int
    host: str
    itself: bool
    state: Optional[int]
    healthy: Optional[bool]
    votes: int
    priority: float
    arbiter: bool
    hidden: bool
    seconds: Optional[int]
    """Time stamp of the last operation that it has."""
    increment: int
    term: int
    behind: Optional[int]
    """Seconds between that and the newest one that any member has."""
    uptime: Optional[int]
    sync_source: str
    maintenance: int
    """How many times it was put in maintenance mode."""
    message: str

    @property
    def alive(self) -> bool:
        return bool(self.healthy) and self.state not in (None, 6, 8, 10)

    @property
    def optime(self) -> Tuple[int, int, int]:
        """What has more of these has newer data: term, seconds, increment."""
        return (self.term, self.seconds or 0, self.increment)

    def to_dict(self) -> Dict[str, Any]:
        return {
            "id": self.id,
            "host": self.host,
            "self": self.itself,
            "state": self.state,
            "state_name": None if self.state is None else STATES.get(self.state, str(self.state)),
            "healthy": self.healthy,
            "votes": self.votes,
            "priority": self.priority,
            "arbiter": self.arbiter,
            "hidden": self.hidden,
            "optime": self.seconds,
            "behind": self.behind,
            "uptime": self.uptime,
            "sync_source": self.sync_source,
            "maintenance": self.maintenance,
            "message": self.message,
        }


def members(seen: Observation) -> List[Member]:
    """All members, in the order of the configuration. Hosts are those of the configuration, which may lack what the status has, and the other way round."""
    known = {row.get("_id"): row for row in seen.status.get("members", [])} if seen.status_code == ANSWERED else {}
    configured = {row.get("_id"): row for row in (seen.config or seen.stored).get("members", [])}
    newest = max((_optime(row)[1] for row in known.values()), default=0)
    return [_member(number, known.get(number, {}), configured.get(number, {}), newest) for number in {**configured, **known}]


def _member(number: Any, row: Dict[str, Any], configured: Dict[str, Any], newest: int) -> Member:
    term, seconds, increment = _optime(row)
    arbiter = bool(configured.get("arbiterOnly")) or row.get("state") == 7
    dated = bool(seconds) and not arbiter
    return Member(
        id=number,
        host=str(configured.get("host") or row.get("name") or ""),
        itself=bool(row.get("self")),
        state=row.get("state"),
        healthy=bool(row["health"]) if "health" in row else None,
        votes=int(configured.get("votes", 1)),
        priority=float(configured.get("priority", 1)),
        arbiter=arbiter,
        hidden=bool(configured.get("hidden")),
        seconds=seconds if dated else None,
        increment=increment,
        term=term,
        behind=newest - seconds if dated else None,
        uptime=row.get("uptime"),
        sync_source=str(row.get("syncSourceHost") or row.get("syncingTo") or ""),
        maintenance=int(row.get("maintenanceMode") or 0),
        message=str(row.get("infoMessage") or row.get("lastHeartbeatMessage") or ""),
    )


def _optime(row: Dict[str, Any]) -> Tuple[int, int, int]:
    """Term, seconds and increment; before 3.2 an optime was a bare time stamp."""
    optime = row.get("optime") or {}
    stamp = (optime.get("ts") or optime).get("$timestamp") or {}
    term = optime.get("t", -1)
    return (int(term) if isinstance(term, (int, float)) else -1, int(stamp.get("t", 0)), int(stamp.get("i", 0)))


@dataclass(frozen=True)
class Votes:
    """How many voters there are, how many of them live, and how many it takes."""

    total: int
    alive: int
    needed: int

    @property
    def majority(self) -> bool:
        return self.alive >= self.needed


def votes(seen: Observation) -> Votes:
    rows = members(seen)
    total = sum(row.votes for row in rows)
    needed = int(seen.status.get("majorityVoteCount") or total // 2 + 1)
    return Votes(total, sum(row.votes for row in rows if row.alive), needed)
