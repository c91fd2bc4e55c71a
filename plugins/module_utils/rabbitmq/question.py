# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is asked through ``rabbitmqctl eval``, and what its answer means.

Each start of rabbitmqctl costs as much as all that it asks, and only an expression asks everything in one: it works from 3.2 on, where there is no JSON.
The node answers each part by itself, so that a queue that hangs or a function that this version lacks leaves the others, and gives up by itself.
Neither messages nor settings that may hold a password are asked for.

Debian's wrapper hands the words through a shell twice: no quotation mark, dollar, backslash or backquote may be in here, nor a line break.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..connect.erlang import Atom, proplist
from .state import Alarm, Broker, Connection, Exchange, Listener, Queue

_PARTS = {
    "version": "element(2, {ok, _} = application:get_key(rabbit, vsn))",
    "running": "lists:keymember(rabbit, 1, application:which_applications())",
    "erlang": "erlang:system_info(otp_release)",
    "uptime": "element(1, erlang:statistics(wall_clock))",
    "nodes": "First([fun () -> {rabbit_mnesia:cluster_nodes(all), rabbit_mnesia:cluster_nodes(running)} end,"
    " fun () -> {rabbit_nodes:list_members(), rabbit_nodes:list_running()} end])",
    # Versions that store in Khepri only have no partitions: it works by majority.
    "partitions": "First([fun () -> rabbit_node_monitor:partitions() end, fun () -> [] end])",
    "alarms": "[Alarm || {Alarm, _} <- rabbit_alarm:get_alarms()]",
    "memory_used": "First([fun () -> vm_memory_monitor:get_process_memory() end, fun () -> erlang:memory(total) end])",
    "memory_limit": "vm_memory_monitor:get_memory_limit()",
    "disk_free": "rabbit_disk_monitor:get_disk_free()",
    "disk_free_limit": "rabbit_disk_monitor:get_disk_free_limit()",
    # The rest of a listener are options of TLS, with a password among them.
    "listeners": "[{element(2, L), element(3, L), element(5, L), element(6, L),"
    " if tuple_size(L) > 6, is_list(element(7, L)) -> proplists:get_value(ip, element(7, L)); true -> undefined end}"
    " || L <- rabbit_networking:active_listeners()]",
    "loopback_users": "element(2, application:get_env(rabbit, loopback_users))",
    "queues": "[rabbit_amqqueue:info_all(V, [I || I <- [name, durable, auto_delete, exclusive, owner_pid, messages_ready, messages_unacknowledged, messages,"
    " consumers, state, status], lists:member(I, rabbit_amqqueue:info_keys())]) || V <- rabbit_vhost:list()]",
    "connections": "First([fun () -> rabbit_networking:connection_info_all([peer_host, peer_port, user, vhost, state, channels, protocol, connected_at]) end,"
    " fun () -> rabbit_networking:connection_info_all([peer_host, peer_port, user, vhost, state, channels, protocol]) end])",
    "exchanges": "[rabbit_exchange:info_all(V, [name, type, durable]) || V <- rabbit_vhost:list()]",
}
_ASK = (
    "Try = fun (Look) -> try {told, Look()} catch error:undef -> undef; throw:{bad_argument, _} -> undef end end,"
    " First = fun ([One, Other]) -> case Try(One) of {told, Value} -> Value; undef -> Other() end end,"
    " Ask = fun ({Part, Look}) -> {Part, spawn_monitor(fun () ->"
    " try Look() of Value -> exit({told, Value})"
    " catch Class:Why -> exit({failed, Class,"
    " if is_atom(Why) -> Why; is_tuple(Why), tuple_size(Why) > 0, is_atom(element(1, Why)) -> element(1, Why); true -> other end}) end end)} end,"
    " Timer = erlang:start_timer(%d, self(), late),"
    " Answer = fun ({Part, {Pid, Ref}}) -> receive {'DOWN', Ref, process, Pid, Said} -> {Part, Said};"
    " {timeout, Timer, late} -> self() ! {timeout, Timer, late}, exit(Pid, kill), {Part, late} end end,"
    " [{fieldops, 1}, {node, {told, node()}} | [Answer(Asked) || Asked <- [Ask(One) || One <- [%s]]]]."
)
_UNREADABLE = re.compile(r"[\"$`\\\n]")


def expression(seconds: float) -> str:
    """One Erlang expression, whose value is told after so many seconds at the latest."""
    parts = ", ".join("{%s, fun () -> %s end}" % part for part in _PARTS.items())
    text = _ASK % (max(1, int(seconds * 1000)), parts)
    found = _UNREADABLE.search(text)
    if found is not None:
        raise ValueError("a shell would not leave %r in the expression as it is" % found.group())
    return text


def broker_of(value: Any) -> Optional[Broker]:
    """The broker that an answer describes; None when it is no answer to the expression."""
    said = proplist(value)
    if said.get("fieldops") != 1:
        return None
    told = {part: answer[1] for part, answer in said.items() if isinstance(answer, tuple) and len(answer) == 2 and answer[0] == "told"}
    running = told.get("running") == "true"
    missing = {part: _why(said.get(part)) for part in _PARTS if part not in told and _counts(part, running)}
    nodes, running_nodes = told.get("nodes", ((), ()))
    alarms = told.get("alarms")
    return Broker(
        node=str(told.get("node", "")),
        running=running,
        version=str(told.get("version", "")),
        erlang=str(told.get("erlang", "")),
        uptime=told["uptime"] / 1000 if "uptime" in told else None,
        nodes=tuple(sorted(map(str, nodes))),
        running_nodes=tuple(sorted(map(str, running_nodes))),
        **{name: _number(told.get(name)) for name in ("memory_used", "memory_limit", "disk_free", "disk_free_limit")},
        alarms=None if alarms is None else tuple(sorted(map(_alarm, alarms), key=lambda alarm: (alarm.node, alarm.kind))),
        partitions=tuple(tuple(map(str, part)) for part in _islands(told.get("partitions", []))),
        listeners=_sorted(_listener(row) for row in told.get("listeners", [])),
        loopback_users=tuple(map(str, told["loopback_users"])) if "loopback_users" in told else None,
        queues=_sorted(_queue(proplist(row)) for rows in told["queues"] for row in rows) if "queues" in told else None,
        connections=_sorted(_connection(proplist(row)) for row in told["connections"] if row) if "connections" in told else None,
        exchanges=_sorted(_exchange(proplist(row)) for rows in told["exchanges"] for row in rows) if "exchanges" in told else None,
        missing=missing,
    )


def _counts(part: str, running: bool) -> bool:
    """Whether it is worth a word that a part is missing: old versions have no loopback_users, and a stopped broker has little to tell."""
    return part != "loopback_users" and (running or part == "running")


def _why(said: Any) -> str:
    if isinstance(said, tuple) and said and said[0] == "failed":
        return "this version does not tell it" if said[-1] == "undef" else "the node failed to tell it (%s)" % ", ".join(map(str, said[1:]))
    return "the node did not tell it in time" if said == "late" else "the node did not tell it"


def _sorted(rows: Any) -> Tuple[Any, ...]:
    return tuple(sorted(rows, key=lambda row: tuple(str(value) for value in vars(row).values())))


def _number(value: Any) -> Optional[int]:
    return value if isinstance(value, int) else None


def _truth(value: Any) -> Optional[bool]:
    return {"true": True, "false": False}.get(value) if isinstance(value, Atom) else None


def _text(value: Any) -> str:
    """Where there is none, versions say none, undefined, or an empty list or text; of ``{syncing, Count}`` it is the word."""
    if isinstance(value, tuple) and value:
        return str(value[0])
    return "" if isinstance(value, list) or value in ("undefined", "none", "unknown", "nouser") else str(value)


def _alarm(said: Any) -> Alarm:
    """``{resource_limit, memory, Node}``, or a word of this node alone."""
    if isinstance(said, tuple) and len(said) == 3:
        return Alarm(str(said[1]), str(said[2]))
    return Alarm(str(said), "")


def _islands(said: Any) -> List[Any]:
    """``[{Node, [Node, ...]}]``: who sees a partition, and from whom."""
    if isinstance(said, list):
        return [[each[0], *each[1]] if isinstance(each, tuple) and len(each) == 2 and isinstance(each[1], list) else [each] for each in said]
    return []


def _listener(row: Any) -> Listener:
    node, protocol, address, port, own = row
    return Listener(str(node), str(protocol), _address(address if own == "undefined" else own), port)


def _address(said: Any) -> str:
    """An address as Erlang keeps it: numbers of four bytes, or of eight pairs of them; a name where names are looked up."""
    if isinstance(said, tuple) and len(said) == 4:
        return ".".join(map(str, said))
    if isinstance(said, tuple) and len(said) == 8:
        if said[:6] == (0, 0, 0, 0, 0, 0xFFFF):
            return "%d.%d.%d.%d" % (said[6] >> 8, said[6] & 255, said[7] >> 8, said[7] & 255)
        return _shortened(":".join("%x" % part for part in said))
    return _text(said)


def _shortened(address: str) -> str:
    import ipaddress  # noqa: PLC0415  few brokers have such addresses

    return str(ipaddress.ip_address(address))


def _named(said: Any) -> Tuple[str, str]:
    """Virtual host and name of ``{resource, VHost, Kind, Name}``."""
    return (str(said[1]), str(said[3])) if isinstance(said, tuple) and len(said) == 4 else ("", str(said))


def _queue(row: Mapping[str, Any]) -> Queue:
    vhost, name = _named(row.get("name"))
    ready, unacked = _number(row.get("messages_ready")), _number(row.get("messages_unacknowledged"))
    owner = str(row.get("owner_pid", ""))
    exclusive = _truth(row.get("exclusive"))
    return Queue(
        vhost,
        name,
        _truth(row.get("durable")),
        _truth(row.get("auto_delete")),
        exclusive if exclusive is not None else owner.startswith("<") if "owner_pid" in row else None,
        ready,
        unacked,
        _number(row.get("messages")),
        _number(row.get("consumers")),
        _text(row.get("state", row.get("status", ""))),
    )


def _connection(row: Mapping[str, Any]) -> Connection:
    since = _number(row.get("connected_at"))
    return Connection(
        _address(row.get("peer_host", "")),
        _number(row.get("peer_port")),
        _text(row.get("user", "")),
        _text(row.get("vhost", "")),
        _text(row.get("state", "")),
        _number(row.get("channels")),
        _protocol(row.get("protocol")),
        since / 1000 if since is not None else None,
    )


def _protocol(said: Any) -> str:
    return "AMQP %s" % "-".join(map(str, said)) if isinstance(said, tuple) else _text(said if said is not None else "")


def _exchange(row: Mapping[str, Any]) -> Exchange:
    vhost, name = _named(row.get("name"))
    return Exchange(vhost, name, str(row.get("type", "")), _truth(row.get("durable")))


def parts() -> Dict[str, str]:
    """Names of what is asked, for those who check the expression."""
    return dict(_PARTS)
