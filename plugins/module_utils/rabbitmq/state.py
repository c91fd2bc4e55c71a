# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look at a broker saw. Numbers that it does not tell (yet) are None; a whole part that could not be read is None, and named in ``missing``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

SHOWN = 1000
"""Queues, connections and exchanges in a result; findings look at all of them."""


@dataclass(frozen=True)
class Alarm:
    """What made a node of the cluster stop taking messages: ``memory``, ``disk``, or the server's own word."""

    kind: str
    node: str


@dataclass(frozen=True)
class Listener:
    """Where a node listens; ``address`` is ``::`` for all."""

    node: str
    protocol: str
    address: str
    port: int


@dataclass(frozen=True)
class Queue:
    """A queue. ``depth`` is ready and unacknowledged together."""

    vhost: str
    name: str
    durable: Optional[bool] = None
    auto_delete: Optional[bool] = None
    exclusive: Optional[bool] = None
    ready: Optional[int] = None
    unacked: Optional[int] = None
    depth: Optional[int] = None
    consumers: Optional[int] = None
    state: str = ""


@dataclass(frozen=True)
class Connection:
    """A client. ``host`` is what the broker sees, which behind a proxy is the proxy."""

    host: str
    port: Optional[int] = None
    user: str = ""
    vhost: str = ""
    state: str = ""
    channels: Optional[int] = None
    protocol: str = ""
    connected_at: Optional[float] = None


@dataclass(frozen=True)
class Exchange:
    """An exchange; the one without a name is the default one."""

    vhost: str
    name: str
    type: str
    durable: Optional[bool] = None


@dataclass(frozen=True)
class Broker:
    """A node that answered, and the cluster as that node sees it."""

    node: str
    running: bool
    version: str = ""
    erlang: str = ""
    uptime: Optional[float] = None
    nodes: Tuple[str, ...] = ()
    running_nodes: Tuple[str, ...] = ()
    memory_used: Optional[int] = None
    memory_limit: Optional[int] = None
    disk_free: Optional[int] = None
    disk_free_limit: Optional[int] = None
    alarms: Optional[Tuple[Alarm, ...]] = ()
    partitions: Tuple[Tuple[str, ...], ...] = ()
    listeners: Tuple[Listener, ...] = ()
    loopback_users: Optional[Tuple[str, ...]] = None
    """Who may only come from the broker's own host; None where that is not told."""

    queues: Optional[Tuple[Queue, ...]] = None
    connections: Optional[Tuple[Connection, ...]] = None
    exchanges: Optional[Tuple[Exchange, ...]] = None
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Down:
    """No broker answered, and it is known that none can: ``kind`` is down or silent."""

    kind: str
    subject: str
    reason: str


@dataclass(frozen=True)
class Look:
    """What became of it all. One of ``broker`` and ``down`` is there."""

    via: str
    broker: Optional[Broker] = None
    down: Optional[Down] = None
    tried: Mapping[str, str] = field(default_factory=dict)
    """Ways that were tried before and gave nothing, and why."""

    proxies: Tuple[str, ...] = ()
    """Addresses behind which there may be any client: the gateways of a container's networks."""

    expected: Sequence[Tuple[str, Tuple[str, ...]]] = ()
    """Clients as they were named, each with its addresses."""


@dataclass(frozen=True)
class Wanted:
    """What the user expects of the broker."""

    vhost: str = "/"
    queues: Tuple[str, ...] = ()
    max_depth: int = 0
    min_connections: int = 0


def depths(queues: Optional[Sequence[Queue]]) -> Dict[str, int]:
    """Messages of all queues together."""
    every = queues or ()
    return {key: sum(getattr(queue, key) or 0 for queue in every) for key in ("ready", "unacked", "depth")}


def blocked(broker: Broker) -> List[Connection]:
    """Clients whose messages are not taken, or would not be."""
    return [connection for connection in broker.connections or () if connection.state in ("blocked", "blocking")]


def facts(look: Look) -> Dict[str, Any]:
    """The module's return values, the same keys whatever was seen."""
    broker = look.broker or Broker("", False, alarms=None)
    return {
        "via": look.via,
        "tried": dict(look.tried),
        "running": broker.running,
        "node": broker.node,
        "version": broker.version,
        "erlang": broker.erlang,
        "uptime": broker.uptime,
        "cluster": {"nodes": list(broker.nodes), "running": list(broker.running_nodes), "partitions": [list(part) for part in broker.partitions]},
        "memory": {"used": broker.memory_used, "limit": broker.memory_limit},
        "disk": {"free": broker.disk_free, "limit": broker.disk_free_limit},
        "alarms": [dict(vars(alarm)) for alarm in broker.alarms or ()],
        "listeners": [dict(vars(listener)) for listener in broker.listeners],
        "loopback_users": None if broker.loopback_users is None else list(broker.loopback_users),
        "queues": [dict(vars(queue)) for queue in (broker.queues or ())[:SHOWN]],
        "connections": [dict(vars(connection)) for connection in (broker.connections or ())[:SHOWN]],
        "exchanges": [dict(vars(exchange)) for exchange in (broker.exchanges or ())[:SHOWN]],
        "totals": _totals(broker),
        "missing": dict(broker.missing),
    }


def _totals(broker: Broker) -> Dict[str, Optional[int]]:
    counted = {name: None if rows is None else len(rows) for name, rows in _parts(broker)}
    messages = depths(broker.queues) if broker.queues is not None else {"ready": None, "unacked": None, "depth": None}
    blocked_ones = None if broker.connections is None else len(blocked(broker))
    return dict(counted, blocked=blocked_ones, messages=messages["depth"], messages_ready=messages["ready"], messages_unacked=messages["unacked"])


def _parts(broker: Broker) -> List[Tuple[str, Optional[Sequence[Any]]]]:
    return [("queues", broker.queues), ("connections", broker.connections), ("exchanges", broker.exchanges)]
