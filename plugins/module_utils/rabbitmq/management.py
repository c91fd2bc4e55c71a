# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker as its management API describes it. Its numbers are up to five seconds old; a queue or connection that is younger has none yet."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .state import Alarm, Broker, Connection, Exchange, Listener, Queue

_NODE = ("mem_used", "mem_limit", "mem_alarm", "disk_free", "disk_free_limit", "disk_free_alarm", "partitions", "uptime")
PATHS: Mapping[str, Tuple[str, ...]] = {
    "overview": ("node", "rabbitmq_version", "erlang_version", "listeners", "management_version"),
    "nodes": ("name", "running", "type", *_NODE),
    "queues": (
        *("vhost", "name", "durable", "auto_delete", "exclusive", "owner_pid_details", "messages_ready", "messages_unacknowledged", "messages", "consumers"),
        *("state", "status"),
    ),
    "connections": ("peer_host", "peer_port", "peer_address", "user", "vhost", "state", "channels", "protocol", "connected_at"),
    "exchanges": ("vhost", "name", "type", "durable"),
}
"""What is asked for: the API sends these columns and nothing else."""


def paths() -> Dict[str, str]:
    return {part: "%s?columns=%s" % (part, ",".join(columns)) for part, columns in PATHS.items()}


def broker_of(answers: Mapping[str, Any], missing: Mapping[str, str]) -> Broker:
    """The broker that answers by part describe; ``overview`` is there, others may be missing."""
    overview = answers["overview"]
    own = str(overview.get("node", ""))
    nodes = _rows(answers.get("nodes"))
    mine: Mapping[str, Any] = next((row for row in nodes or [] if row.get("name") == own), {})
    uptime = _number(mine.get("uptime"))
    return Broker(
        node=own,
        running=True,
        version=str(overview.get("rabbitmq_version") or overview.get("management_version") or ""),
        erlang=str(overview.get("erlang_version", "")),
        uptime=uptime / 1000 if uptime is not None else None,
        nodes=tuple(sorted(str(row.get("name")) for row in nodes or [])) or (own,),
        running_nodes=tuple(sorted(str(row.get("name")) for row in nodes or [] if row.get("running") is not False)) or (own,),
        memory_used=_number(mine.get("mem_used")),
        memory_limit=_number(mine.get("mem_limit")),
        disk_free=_number(mine.get("disk_free")),
        disk_free_limit=_number(mine.get("disk_free_limit")),
        alarms=None if nodes is None else tuple(_alarms(nodes)),
        partitions=tuple((str(row.get("name")), *map(str, row["partitions"])) for row in nodes or [] if row.get("partitions")),
        listeners=_each(overview.get("listeners") or [], _listener) or (),
        queues=_each(answers.get("queues"), _queue),
        connections=_each(answers.get("connections"), _connection),
        exchanges=_each(answers.get("exchanges"), _exchange),
        missing=dict(missing),
    )


def _rows(answer: Any) -> Optional[List[Mapping[str, Any]]]:
    return [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else None


def _each(answer: Any, make: Callable[[Mapping[str, Any]], Any]) -> Any:
    rows = _rows(answer)
    return None if rows is None else tuple(sorted(map(make, rows), key=lambda row: tuple(str(value) for value in vars(row).values())))


def _number(value: Any) -> Optional[int]:
    """What a node that is down, or that has told nothing yet, leaves out or says in a word."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _truth(value: Any) -> Optional[bool]:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str:
    return "" if value in (None, "none", "unknown", "undefined") else str(value)


def _alarms(nodes: List[Mapping[str, Any]]) -> List[Alarm]:
    named = (("disk", "disk_free_alarm"), ("memory", "mem_alarm"))
    return [Alarm(kind, str(row.get("name"))) for row in nodes for kind, key in named if row.get(key) is True]


def _listener(row: Mapping[str, Any]) -> Listener:
    options = row.get("socket_opts")
    own = options.get("ip") if isinstance(options, dict) else None
    return Listener(str(row.get("node")), str(row.get("protocol")), str(own or row.get("ip_address", "")), _number(row.get("port")) or 0)


def _queue(row: Mapping[str, Any]) -> Queue:
    exclusive = _truth(row.get("exclusive"))
    return Queue(
        str(row.get("vhost", "")),
        str(row.get("name", "")),
        _truth(row.get("durable")),
        _truth(row.get("auto_delete")),
        exclusive if exclusive is not None else bool(row.get("owner_pid_details")),
        _number(row.get("messages_ready")),
        _number(row.get("messages_unacknowledged")),
        _number(row.get("messages")),
        _number(row.get("consumers")),
        _text(row.get("state", row.get("status"))),
    )


def _connection(row: Mapping[str, Any]) -> Connection:
    since = _number(row.get("connected_at"))
    return Connection(
        _unmapped(_text(row.get("peer_host", row.get("peer_address")))),
        _number(row.get("peer_port")),
        _text(row.get("user")),
        _text(row.get("vhost")),
        _text(row.get("state")),
        _number(row.get("channels")),
        _text(row.get("protocol")),
        since / 1000 if since is not None else None,
    )


def _unmapped(address: str) -> str:
    return address[7:] if address.lower().startswith("::ffff:") and "." in address else address


def _exchange(row: Mapping[str, Any]) -> Exchange:
    return Exchange(str(row.get("vhost", "")), str(row.get("name", "")), str(row.get("type", "")), _truth(row.get("durable")))
