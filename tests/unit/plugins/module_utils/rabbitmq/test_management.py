# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the management API says, whole and in part."""

from __future__ import annotations

from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.management import broker_of, paths
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.state import Alarm, Connection, Exchange, Listener, Queue

OVERVIEW: dict[str, Any] = {
    "node": "rabbit@a",
    "rabbitmq_version": "3.10.8",
    "erlang_version": "25.2.3",
    "listeners": [
        {"node": "rabbit@a", "protocol": "http", "ip_address": "::", "port": 15672, "socket_opts": {"ip": "127.0.0.1", "port": 15672}},
        {"node": "rabbit@a", "protocol": "clustering", "ip_address": "::", "port": 25672, "socket_opts": []},
    ],
}
NODES: list[dict[str, Any]] = [
    {"name": "rabbit@a", "running": True, "mem_used": 10, "mem_limit": 9, "mem_alarm": True, "disk_free": 8, "disk_free_limit": 7, "disk_free_alarm": False}
    | {"partitions": ["rabbit@b"], "uptime": 2500},
    {"name": "rabbit@b", "running": False},
]


def test_all_of_it() -> None:
    queue = {"vhost": "/", "name": "jobs", "durable": True, "auto_delete": False, "exclusive": False, "messages_ready": 3, "messages_unacknowledged": 1}
    connection = {"peer_host": "::ffff:192.0.2.7", "peer_port": 5, "user": "guest", "vhost": "/", "state": "blocked", "channels": 2, "protocol": "AMQP 0-9-1"}
    answers = {
        "overview": OVERVIEW,
        "nodes": NODES,
        "queues": [{**queue, "messages": 4, "consumers": 0, "state": "running"}, {"vhost": "/", "name": "a", "owner_pid_details": {"name": "x"}}],
        "connections": [{**connection, "connected_at": 1500}],
        "exchanges": [{"vhost": "/", "name": "broadcast", "type": "fanout", "durable": False}],
    }
    broker = broker_of(answers, {})
    assert (broker.node, broker.running, broker.version, broker.erlang, broker.uptime) == ("rabbit@a", True, "3.10.8", "25.2.3", 2.5)
    assert (broker.nodes, broker.running_nodes) == (("rabbit@a", "rabbit@b"), ("rabbit@a",))
    assert broker.partitions == (("rabbit@a", "rabbit@b"),)
    assert broker.alarms == (Alarm("memory", "rabbit@a"),)
    assert (broker.memory_used, broker.memory_limit, broker.disk_free, broker.disk_free_limit) == (10, 9, 8, 7)
    assert broker.listeners == (Listener("rabbit@a", "clustering", "::", 25672), Listener("rabbit@a", "http", "127.0.0.1", 15672))
    assert broker.queues == (Queue("/", "a", exclusive=True), Queue("/", "jobs", True, False, False, 3, 1, 4, 0, "running"))
    assert broker.connections == (Connection("192.0.2.7", 5, "guest", "/", "blocked", 2, "AMQP 0-9-1", 1.5),)
    assert broker.exchanges == (Exchange("/", "broadcast", "fanout", False),)
    assert broker.loopback_users is None


def test_what_a_user_without_rights_does_not_see_is_missing_and_not_well() -> None:
    broker = broker_of({"overview": {"node": "rabbit@a", "management_version": "3.2.4"}, "nodes": None}, {"nodes": "refused"})
    assert (broker.version, broker.alarms, broker.queues, broker.connections) == ("3.2.4", None, None, None)
    assert (broker.nodes, broker.missing) == (("rabbit@a",), {"nodes": "refused"})


def test_numbers_that_are_not_there_yet() -> None:
    answers = {"overview": OVERVIEW, "nodes": [{"name": "rabbit@a", "running": True, "mem_used": "unknown", "mem_alarm": "unknown", "partitions": "none"[:0]}]}
    broker = broker_of({**answers, "queues": [{"vhost": "/", "name": "new"}], "connections": [{"peer_host": "unknown"}]}, {})
    assert (broker.memory_used, broker.alarms, broker.uptime, broker.partitions) == (None, (), None, ())
    assert broker.queues == (Queue("/", "new", exclusive=False),)
    assert broker.connections == (Connection(""),)


def test_bodies_and_settings_are_not_asked_for() -> None:
    assert set(paths()) == {"overview", "nodes", "queues", "connections", "exchanges"}
    assert not any("get" in path or "arguments" in path or "config" in path or "client_properties" in path for path in paths().values())
