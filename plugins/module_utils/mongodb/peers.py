# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other members of a set, asked directly from this node: all at once, each within the connection's time limit."""

from __future__ import annotations

import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ..connect.mongo import Mongo, MongoError, parsed
from .conditions import judge
from .observation import ANSWERED, Observation, members
from .probe import observe
from .repair_plan import Peer

_OUTSIDE = ("removed", "not_initiated", "wrong_set_name", "standalone", "standalone_on_replica_data")
MOST = 50
"""Members that a set can have."""
DEFAULT_PORT = 27017


def split(host: str) -> Tuple[str, int]:
    """Host and port of a member, which may be ``[::1]:27017``."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit() or name.endswith(":"):
        return host.strip("[]"), DEFAULT_PORT
    return name.strip("[]"), int(port)


def look(mongo: Mongo, hosts: Sequence[str]) -> Tuple[Peer, ...]:
    """Each member, in the order in which they were named."""
    if not hosts:
        return ()
    with ThreadPoolExecutor(max_workers=min(len(hosts), MOST)) as pool:
        return tuple(pool.map(lambda host: ask(mongo, host), hosts))


def ask(mongo: Mongo, host: str) -> Peer:
    """One member. That nothing listens is another thing than that nothing answers: what hangs may go on."""
    name, port = split(host)
    why = deaf(name, port, mongo.timeout)
    if why:
        return Peer(host, False, why)
    try:
        other = mongo.at(name, port)
    except MongoError as exc:
        return Peer(host, True, str(exc))
    with other:
        return _peer(host, observe(other))


def deaf(name: str, port: int, timeout: float) -> str:
    """Why no connection is taken there; empty where one is."""
    try:
        socket.create_connection((name, port), timeout=timeout).close()
    except OSError as exc:
        return exc.strerror or str(exc) or "no answer within %g s" % timeout
    return ""


def _peer(host: str, seen: Observation) -> Peer:
    rows = members(seen)
    itself = next((row for row in rows if row.itself), None)
    optime = itself.optime if itself is not None and itself.seconds is not None else None
    answered = seen.status_code == ANSWERED
    return Peer(host, True, seen.error, answered, judge(seen).condition, seen.state, optime, _primary(host, seen), seen.set_name)


def _primary(host: str, seen: Observation) -> str:
    if seen.writable:
        return host
    known = next((row.host for row in members(seen) if row.state == 1 and row.alive), "")
    return known or str(seen.hello.get("primary") or "")


def leads_elsewhere(name: str, here: str) -> bool:
    """Whether a name is that of another machine than this node, and than the one that the server is asked at. What nobody knows leads nowhere."""
    there = _addresses(name)
    return bool(there) and not there & _addresses(here) and not any(own(address) for address in there)


def _addresses(name: str) -> Set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def own(address: str) -> bool:
    """Whether an address is one of this node: only to those can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return True
    return False


def newest_term(mongo: Mongo) -> Optional[int]:
    """Term of the last operation that a server has, whatever its state; None where this user may not know."""
    try:
        last = next(mongo.find("local", "oplog.rs", projection={"t": 1}, sort=[("$natural", -1)], limit=1), {})
    except MongoError as exc:
        if exc.unreachable or exc.unsupported:
            raise
        return None
    return int(last["t"]) if isinstance(last.get("t"), int) else None


def former_hosts(mongo: Mongo) -> Set[str]:
    """What a server has called itself at each of its starts, as far back as it knows; nothing where this user may not know."""
    found: Set[str] = set()
    try:
        for start in mongo.find("local", "startup_log", projection={"hostname": 1, "cmdLine.net": 1}):
            net = (start.get("cmdLine") or {}).get("net") or {}
            names = [str(start.get("hostname") or ""), "localhost", *str(net.get("bindIp") or "").split(",")]
            found.update("%s:%d" % (name.strip().lower(), int(net.get("port") or DEFAULT_PORT)) for name in names)
    except MongoError as exc:
        if exc.unreachable or exc.unsupported:
            raise
    return found


def doubt(mongo: Mongo, seen: Observation, peers: Sequence[Peer]) -> str:
    """Why a server that is not the one member of its configuration may not have the newest data."""
    term, newest = seen.config.get("term", -1), newest_term(mongo)
    if newest is not None and newest < term:
        return "the configuration is of election %d, and the newest data here are of election %d: another server was PRIMARY since" % (term, newest)
    former = former_hosts(mongo)
    for peer in peers:
        if peer.listening and peer.condition not in _OUTSIDE:
            return "something listens at %s, and cannot be asked what it is (%s)" % (peer.host, peer.why or peer.condition)
        name, port = split(peer.host)
        if "%s:%d" % (name.lower(), port) in former:
            continue
        if leads_elsewhere(name, mongo.host):
            return "%s is another machine, and may have been the one that was written to last" % peer.host
        if term == -1:
            return "the configuration is of no election, and nothing tells that this server ever was %s: it may have been dropped from its set" % peer.host
    return ""


def silence(seen: Observation) -> Dict[str, float]:
    """Seconds since a server last heard of each of the others. Of whom it has heard nothing since it was started, for as long as it runs."""
    rows: List[Dict[str, object]] = seen.status.get("members", []) if seen.status_code == ANSWERED else []
    uptime = next((float(str(row.get("uptime") or 0)) for row in rows if row.get("self")), 0.0)
    found = {}
    for row in rows:
        if not row.get("self"):
            since = _seconds(seen.status.get("date"), row.get("lastHeartbeatRecv"))
            found[str(row.get("name"))] = uptime if since is None else min(uptime, since)
    return found


def _seconds(now: object, then: object) -> Optional[float]:
    if now is None or then is None:
        return None
    dates = parsed([now, then])
    return float((dates[0] - dates[1]).total_seconds())
