# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a broker. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from fnmatch import fnmatchcase
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ..procedure.envelope import Finding, Remedy
from .state import Alarm, Broker, Connection, Look, Queue, Wanted, blocked, depths

_RUNBOOK = ("talus.rst", "AMQP")
_START = Remedy(
    "start the broker, then every daemon that used it: their connections are gone, and messages that were not persistent", "fieldops.runbooks.talus_amqp"
)
_DAEMONS = Remedy("restart the daemons on these hosts: they do not connect again by themselves after the broker was restarted", "fieldops.runbooks.talus_amqp")
_WELL = ("running", "idle", "flow", "syncing", "")
"""States of a queue that takes and gives messages; older versions tell none."""

_ALARMS = {
    "memory": ("%s uses more memory than it may", "find what fills the queues, or give it more memory; it takes messages again by itself when memory is free"),
    "disk": ("the disk of %s has less space than its limit", "make room on the disk of the broker's data; it takes messages again by itself when there is"),
    "file_descriptor_limit": ("%s has no file descriptors left", "raise LimitNOFILE of its service, or find who opens so many connections"),
}
_CODES = {"memory": "memory", "disk": "disk", "file_descriptor_limit": "file_descriptors"}
_TAKES_NONE = ": no publisher's messages are taken in the whole cluster"
SHOWN = 20


def diagnose(look: Look, wanted: Wanted) -> List[Finding]:
    """The worst first in each part: the node, its alarms, queues, connections."""
    if look.broker is None:
        return [_down(look)]
    broker = look.broker
    if not broker.running:
        text = "RabbitMQ is stopped on %s, whose Erlang machine runs: it takes no connections" % broker.node
        remedy = Remedy("rabbitmqctl start_app, when whoever stopped it is done; then restart the daemons that use it", "fieldops.runbooks.talus_amqp")
        return [Finding("rabbitmq.node.stopped", "critical", broker.node, text, {"version": broker.version}, remedy, _RUNBOOK)]
    found = [*_cluster(broker), *_alarms(broker), *_queues(broker, wanted), *_missing_clients(look, broker, wanted), *_blocked(broker), *_unread(broker)]
    if all(finding.severity in ("ok", "info") for finding in found):
        found.insert(0, _ok(broker))
    return found


def healthy(look: Look, wanted: Wanted) -> bool:
    """Whether nothing critical was found, and all was read that findings rest on."""
    broker = look.broker
    if broker is None or broker.alarms is None or broker.queues is None or broker.connections is None:
        return False
    return all(finding.severity != "critical" for finding in diagnose(look, wanted))


def _ok(broker: Broker) -> Finding:
    rows, messages = broker.connections or (), depths(broker.queues)["depth"]
    text = "%s runs without an alarm, with %d connections, %d queues and %d messages in them" % (broker.node, len(rows), len(broker.queues or ()), messages)
    detail = {"version": broker.version, "connections": len(rows), "queues": len(broker.queues or ()), "messages": messages}
    return Finding("rabbitmq.ok", "ok", broker.node, text, detail, None, _RUNBOOK)


def _down(look: Look) -> Finding:
    down = look.down
    if down is None:
        raise ValueError("a look has a broker, or says why there is none")
    if down.kind == "silent":
        text = "the broker on %s is there and does not answer: %s" % (down.subject, down.reason)
        remedy = Remedy("see what its processes wait for (disk, memory, a debugger); restart it if it does not come back", "fieldops.runbooks.talus_amqp")
        return Finding("rabbitmq.node.silent", "critical", down.subject, text, {"reason": down.reason, "tried": dict(look.tried)}, remedy, _RUNBOOK)
    text = "no broker runs on %s: %s" % (down.subject, down.reason)
    return Finding("rabbitmq.node.down", "critical", down.subject, text, {"reason": down.reason, "tried": dict(look.tried)}, _START, _RUNBOOK)


def _cluster(broker: Broker) -> List[Finding]:
    found = []
    for node in sorted(set(broker.nodes) - set(broker.running_nodes)):
        text = "%s is a member of the cluster and does not run" % node
        found.append(Finding("rabbitmq.node.down", "critical", node, text, {"running": list(broker.running_nodes)}, _START, _RUNBOOK))
    if broker.partitions:
        parts = [list(part) for part in broker.partitions]
        text = "the cluster is partitioned: %s" % "; ".join("%s sees no more of %s" % (part[0], ", ".join(part[1:]) or "others") for part in parts)
        remedy = Remedy("restart the nodes of the part whose messages may be lost (rabbitmqctl stop_app, start_app); the others keep theirs")
        found.append(Finding("rabbitmq.node.partitioned", "critical", broker.node, text, {"partitions": parts}, remedy, _RUNBOOK))
    return found


def _alarms(broker: Broker) -> List[Finding]:
    return [_alarm(broker, alarm) for alarm in broker.alarms or ()]


def _alarm(broker: Broker, alarm: Alarm) -> Finding:
    node = alarm.node or broker.node
    text, mend = _ALARMS.get(alarm.kind, ("%%s has the alarm %s" % alarm.kind.replace("%", "%%"), "see the broker's log"))
    limits = alarm.kind in ("memory", "disk")
    detail: Dict[str, Any] = {"alarm": alarm.kind}
    if node == broker.node and alarm.kind == "memory":
        detail.update(used=broker.memory_used, limit=broker.memory_limit)
    if node == broker.node and alarm.kind == "disk":
        detail.update(free=broker.disk_free, limit=broker.disk_free_limit)
    summary = text % node + _amount(detail) + (_TAKES_NONE if limits else "")
    severity = "critical" if limits else "warning"
    return Finding("rabbitmq.alarm.%s" % _CODES.get(alarm.kind, "other"), severity, node, summary, detail, Remedy(mend), _RUNBOOK)


def _amount(detail: Dict[str, Any]) -> str:
    have = detail.get("used", detail.get("free"))
    return " (%d of %d MiB)" % (have >> 20, detail["limit"] >> 20) if have is not None and detail.get("limit") is not None else ""


# -- queues ----------------------------------------------------------------------------------------------------------------


def _queues(broker: Broker, wanted: Wanted) -> List[Finding]:
    if broker.queues is None:
        return []
    return [*_missing_queues(broker.queues, wanted), *_bad_queues(broker.queues), *_deep_queues(broker.queues, wanted)]


def _missing_queues(queues: Sequence[Queue], wanted: Wanted) -> List[Finding]:
    names = [queue.name for queue in queues if queue.vhost == wanted.vhost]
    missing = [pattern for pattern in wanted.queues if not any(name == pattern or fnmatchcase(name, pattern) for name in names)]
    remedy = Remedy("restart the daemons that declare them when they start; a queue is lost with the broker's data", "fieldops.runbooks.talus_amqp")
    text = "there is no queue %s in virtual host %s"
    detail = {"vhost": wanted.vhost, "queues": names[:SHOWN]}
    return [Finding("rabbitmq.queue.missing", "critical", name, text % (name, wanted.vhost), detail, remedy, _RUNBOOK) for name in missing]


def _bad_queues(queues: Sequence[Queue]) -> List[Finding]:
    remedy = Remedy("see the broker's log for the queue; restart the broker if it does not come back")
    return [
        Finding(
            "rabbitmq.queue.down",
            "critical",
            queue.name,
            "queue %s is %s: it neither takes nor gives messages" % (queue.name, queue.state),
            {"vhost": queue.vhost, "state": queue.state},
            remedy,
            _RUNBOOK,
        )
        for queue in queues
        if queue.state not in _WELL
    ]


def _deep_queues(queues: Sequence[Queue], wanted: Wanted) -> List[Finding]:
    """Of all of them: what nobody fetches grows in any virtual host."""
    deep = [queue for queue in queues if wanted.max_depth and (queue.depth or 0) > wanted.max_depth]
    return [
        Finding(
            "rabbitmq.queue.deep",
            "warning",
            queue.name,
            "queue %s holds %d messages (%s ready, %s unacknowledged), more than %d"
            % (queue.name, queue.depth or 0, _told(queue.ready), _told(queue.unacked), wanted.max_depth),
            {"vhost": queue.vhost, "depth": queue.depth, "ready": queue.ready, "unacked": queue.unacked, "consumers": queue.consumers},
            Remedy("see whether whoever fetches from it is connected (its consumers may be 0: who polls is none) and works", "fieldops.runbooks.talus_amqp"),
            _RUNBOOK,
        )
        for queue in deep
    ]


def _told(number: Optional[int]) -> str:
    return "?" if number is None else str(number)


# -- connections -------------------------------------------------------------------------------------------------------------


def absent(look: Look, connections: Sequence[Connection]) -> Tuple[List[str], int]:
    """Names of expected clients without a connection of their own, and how many connections come from a proxy, behind which they may be.

    One who is named twice needs two.
    """
    proxies = {canonical(address) for address in look.proxies}
    peers = Counter(canonical(connection.host) for connection in connections)
    hidden = sum(count for peer, count in peers.items() if peer in proxies)
    left = []
    for name, addresses in look.expected:
        held = next((peer for peer in map(canonical, (*addresses, name)) if peers[peer] > 0 and peer not in proxies), None)
        if held is None:
            left.append(name)
        else:
            peers[held] -= 1
    return left, hidden


def canonical(address: str) -> str:
    """One text for one address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address.lower().rstrip(".")
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _missing_clients(look: Look, broker: Broker, wanted: Wanted) -> List[Finding]:
    if broker.connections is None:
        return []
    up = [row for row in broker.connections if row.vhost == wanted.vhost]
    left, hidden = absent(look, up)
    peers = sorted({connection.host for connection in up})[:SHOWN]
    found = []
    if len(left) > hidden > 0:
        text = "%d of %s have no connection to the broker; which is not known, as %d connections come through a proxy (%s)"
        summary = text % (len(left) - hidden, ", ".join(left[:SHOWN]), hidden, ", ".join(look.proxies))
        detail = {"missing": len(left) - hidden, "of": left[:SHOWN], "peers": peers}
        found.append(Finding("rabbitmq.connection.missing", "critical", broker.node, summary, detail, _DAEMONS, _RUNBOOK))
    elif not hidden:
        found.extend(_client(look, name, count, peers) for name, count in Counter(left).items())
    if len(up) < wanted.min_connections:
        text = "the broker has %d connections in virtual host %s, fewer than %d"
        detail = {"connections": len(up), "wanted": wanted.min_connections, "peers": peers}
        summary = text % (len(up), wanted.vhost, wanted.min_connections)
        found.append(Finding("rabbitmq.connection.missing", "critical", broker.node, summary, detail, _DAEMONS, _RUNBOOK))
    if found and broker.loopback_users:
        found.extend(_kept_out(look, broker, left))
    return found


def _client(look: Look, name: str, missing: int, peers: Sequence[str]) -> Finding:
    named = sum(1 for row in look.expected if row[0] == name)
    text = "%s has no connection to the broker" % name if missing == named else "%s has %d of %d connections to the broker" % (name, named - missing, named)
    detail = {"missing": missing, "peers": list(peers)}
    return Finding("rabbitmq.connection.missing", "critical", name, text, detail, _DAEMONS, _RUNBOOK)


def _kept_out(look: Look, broker: Broker, missing: Sequence[str]) -> List[Finding]:
    """Why they may be missing: from 3.3 on guest may come from the broker's own host only."""
    remote = sorted({name for name, addresses in look.expected if name in missing and not all(map(_loopback, addresses or (name,)))})
    if look.expected and not remote:
        return []
    users = ", ".join(broker.loopback_users or ())
    text = "user %s may only connect from the broker's own host (loopback_users)%s" % (users, ": it is refused on %s" % ", ".join(remote) if remote else "")
    remedy = Remedy("set loopback_users = none in the broker's configuration (3.2 needs no such thing), and restart it and the daemons")
    detail = {"loopback_users": list(broker.loopback_users or ()), "clients": remote[:SHOWN]}
    return [Finding("rabbitmq.user.loopback_only", "warning", users, text, detail, remedy, _RUNBOOK)]


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(canonical(address)).is_loopback
    except ValueError:
        return address == "localhost"


def _blocked(broker: Broker) -> List[Finding]:
    rows = blocked(broker)
    if not rows:
        return []
    peers: List[Tuple[str, int]] = sorted(Counter(row.host for row in rows).items())
    why = "because of the alarm" if broker.alarms else "for want of resources"
    text = "%d of %d connections are held back %s: what they publish waits" % (len(rows), len(broker.connections or ()), why)
    detail = {"peers": dict(peers[:SHOWN]), "states": dict(Counter(row.state for row in rows))}
    remedy = Remedy("mend what the alarm is about; they go on by themselves then")
    return [Finding("rabbitmq.connection.blocked", "warning", broker.node, text, detail, remedy, _RUNBOOK)]


def _unread(broker: Broker) -> List[Finding]:
    if not broker.missing:
        return []
    text = "not all of %s could be read: %s" % (broker.node, "; ".join("%s: %s" % item for item in sorted(broker.missing.items())))
    return [Finding("rabbitmq.node.unread", "warning", broker.node, text, {"missing": dict(broker.missing)}, None, _RUNBOOK)]
