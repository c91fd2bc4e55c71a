# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is asked, and what its answers mean."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.erlang import parse
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq import question
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.state import Alarm, Broker, Connection, Exchange, Listener, Queue

from .answers import LIKE_3_2, RECORDED_3_10, STOPPED


def told(text: str) -> Broker:
    broker = question.broker_of(parse(text))
    assert broker is not None
    return broker


def test_shells_leave_the_expression_as_it_is() -> None:
    """Debian's wrapper puts each word between quotation marks into a shell's here-document, and then into a command line."""
    text = question.expression(5)
    script = f'arg=$(cat <<-END\n{text}\nEND\n)\nsh -c "printf %s \\"${{arg}}\\""'
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout == text
    assert shlex.split(f'"{text}"') == [text]


def test_the_expression_gives_up_in_time_and_is_one() -> None:
    assert "start_timer(2500," in question.expression(2.5)
    assert "start_timer(1," in question.expression(0)
    text = question.expression(1)
    assert text.endswith("].")
    for opening, closing in ("()", "[]", "{}"):
        assert text.count(opening) == text.count(closing)


def test_nothing_is_asked_that_changes_the_node_or_tells_a_secret() -> None:
    called = set(re.findall(r"\b([a-z_]+:[a-z_]+)\(", " ".join(question.parts().values())))
    names = {name.partition(":")[2] for name in called}
    assert not {name for name in names if re.match(r"set|clear|delete|purge|stop|start|close|add|change|declare|write|put|kill|halt|cmd", name)}
    assert re.findall(r"application:get_env\(([^)]*)\)", question.expression(1)) == ["rabbit, loopback_users"]


def test_an_answer_of_3_10() -> None:
    broker = told(RECORDED_3_10)
    assert (broker.node, broker.running, broker.version, broker.erlang, broker.uptime) == ("rabbit@broker", True, "3.10.8", "25", 322.408)
    assert (broker.nodes, broker.running_nodes) == (("rabbit@broker", "rabbit@other"), ("rabbit@broker",))
    assert broker.partitions == (("rabbit@broker", "rabbit@other"),)
    assert broker.alarms == (Alarm("file_descriptor_limit", ""), Alarm("disk", "rabbit@broker"), Alarm("memory", "rabbit@broker"))
    assert (broker.memory_used, broker.memory_limit, broker.disk_free, broker.disk_free_limit) == (136962048, 10110604083, 77086498816, 50000000)
    assert broker.listeners == (
        Listener("rabbit@broker", "amqp", "192.0.2.1", 5672),
        Listener("rabbit@broker", "clustering", "::", 25672),
        Listener("rabbit@broker", "http", "127.0.0.1", 15672),
    )
    assert broker.loopback_users == ("guest",)
    assert broker.queues == (
        Queue("/", "slaves", True, False, False, 40, 2, 42, 0, "running"),
        Queue("/", "slaves_x", False, False, True, 0, 0, 0, 0, "running"),
        Queue("other", "q", True, None, None, None, None, None, None, "down"),
    )
    assert broker.connections == (
        Connection("127.0.0.1", 59352, "guest", "/", "running", 1, "AMQP 0-9-1", 1795375887.552),
        Connection("2001:db8::1", 1025, "", "", "starting", 0, "", 1795375887.0),
    )
    assert broker.exchanges == (Exchange("/", "", "direct", True), Exchange("/", "broadcast", "fanout", False))
    assert broker.missing == {}


def test_an_answer_of_3_2() -> None:
    broker = told(LIKE_3_2)
    assert (broker.version, broker.loopback_users, broker.disk_free) == ("3.2.4", None, None)
    assert broker.queues == (Queue("/", "jobs", True, False, False, 3, 0, 3, 0, "syncing"),)
    assert broker.connections == (Connection("172.17.0.1", 40000, "guest", "/", "blocking", 1, "AMQP 0-9-1", None),)
    assert broker.exchanges is None
    assert broker.missing == {"exchanges": "this version does not tell it"}


def test_a_node_whose_broker_is_stopped_lacks_nothing_that_is_worth_a_word() -> None:
    broker = told(STOPPED)
    assert (broker.running, broker.version, broker.queues, broker.connections, broker.alarms, broker.missing) == (False, "3.10.8", None, None, None, {})


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("{alarms,{told,[]}}", "{alarms,late}", "the node did not tell it in time"),
        ("{alarms,{told,[]}}", "{alarms,{failed,exit,noproc}}", "the node failed to tell it (exit, noproc)"),
        (",\n {alarms,{told,[]}}", "", "the node did not tell it"),
    ],
)
def test_a_part_that_fails_leaves_the_others(before: str, after: str, why: str) -> None:
    broker = told(LIKE_3_2.replace(before, after))
    assert broker.alarms is None
    assert broker.missing["alarms"] == why
    assert broker.queues is not None


@pytest.mark.parametrize("text", ["ok", "[]", "[{fieldops,2}]", '{error,"x"}'])
def test_another_answer_is_none(text: str) -> None:
    assert question.broker_of(parse(text)) is None
