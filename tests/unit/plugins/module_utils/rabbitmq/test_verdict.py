# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a broker, as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Finding
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.state import SHOWN, Alarm, Broker, Connection, Down, Look, Queue, Wanted, facts
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.verdict import diagnose, healthy

A, B = "rabbit@a", "rabbit@b"
MASTER, SLAVE = Connection("192.0.2.1", 1, "guest", "/", "running", 1), Connection("192.0.2.2", 2, "guest", "/", "running", 1)
PROXY = Connection("172.17.0.1", 3, "guest", "/", "running", 1)
JOBS = Queue("/", "jobs", True, False, False, 2, 1, 3, 0, "running")
WELL = Broker(
    node=A, running=True, version="3.10.8", nodes=(A,), running_nodes=(A,), queues=(JOBS, Queue("other", "x")), connections=(MASTER, SLAVE), exchanges=()
)
EXPECTED = (("master", ("192.0.2.1",)), ("192.0.2.2", ("192.0.2.2",)))
REMOTE = ("192.0.2.9", ("192.0.2.9",))
BOTH = (Alarm("disk", A), Alarm("memory", B))


def codes(found: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.code.removeprefix("rabbitmq."), finding.severity, finding.subject) for finding in found]


CASES: list[tuple[str, dict[str, Any], dict[str, Any], Wanted, list[tuple[str, str, str]], bool]] = [
    ("well", {}, {}, Wanted(max_depth=3), [("ok", "ok", A)], True),
    ("well as wanted", {}, {"expected": EXPECTED}, Wanted("/", ("jobs", "j*"), 3, 2), [("ok", "ok", A)], True),
    ("a version that tells no state of queues", {"queues": (replace(JOBS, state=""),)}, {}, Wanted(), [("ok", "ok", A)], True),
    ("stopped", {"running": False, "alarms": None, "queues": None, "connections": None}, {}, Wanted(), [("node.stopped", "critical", A)], False),
    ("a member down", {"nodes": (A, B)}, {}, Wanted(), [("node.down", "critical", B)], False),
    ("partitioned", {"partitions": ((A, B),)}, {}, Wanted(), [("node.partitioned", "critical", A)], False),
    ("alarms", {"alarms": BOTH}, {}, Wanted(), [("alarm.disk", "critical", A), ("alarm.memory", "critical", B)], False),
    ("a local alarm", {"alarms": (Alarm("file_descriptor_limit", ""),)}, {}, Wanted(), [("alarm.file_descriptors", "warning", A)], True),
    ("a new kind of alarm", {"alarms": (Alarm("100%", A),)}, {}, Wanted(), [("alarm.other", "warning", A)], True),
    ("a queue missing", {}, {}, Wanted("/", ("jobs", "slaves", "slaves_*")), [(("queue.missing"), "critical", name) for name in ("slaves", "slaves_*")], False),
    ("a queue of another virtual host", {}, {}, Wanted("other", ("jobs",)), [("queue.missing", "critical", "jobs")], False),
    ("a queue down", {"queues": (replace(JOBS, state="down"),)}, {}, Wanted(), [("queue.down", "critical", "jobs")], False),
    ("a deep queue", {}, {}, Wanted(max_depth=2), [("queue.deep", "warning", "jobs")], True),
    ("none is deep", {"queues": (replace(JOBS, depth=10**9),)}, {}, Wanted(max_depth=0), [("ok", "ok", A)], True),
    ("a client missing", {}, {"expected": (*EXPECTED, REMOTE)}, Wanted(), [("connection.missing", "critical", "192.0.2.9")], False),
    ("one of two", {}, {"expected": (EXPECTED[0], EXPECTED[0])}, Wanted(), [("connection.missing", "critical", "master")], False),
    ("too few", {}, {}, Wanted(min_connections=3), [("connection.missing", "critical", A)], False),
    ("in another virtual host", {}, {"expected": EXPECTED[:1]}, Wanted("other"), [("connection.missing", "critical", "master")], False),
    (
        "by the name that the broker sees",
        {"connections": (replace(MASTER, host="Master."),)},
        {"expected": (("master", ()),)},
        Wanted(),
        [("ok", "ok", A)],
        True,
    ),
    ("an address in another form", {"connections": (replace(MASTER, host="::ffff:192.0.2.1"),)}, {"expected": EXPECTED[:1]}, Wanted(), [("ok", "ok", A)], True),
    ("behind a proxy", {"connections": (PROXY, PROXY)}, {"expected": EXPECTED, "proxies": (PROXY.host,)}, Wanted(), [("ok", "ok", A)], True),
    (
        "fewer behind a proxy",
        {"connections": (PROXY,)},
        {"expected": EXPECTED, "proxies": (PROXY.host,)},
        Wanted(),
        [("connection.missing", "critical", A)],
        False,
    ),
    ("seen beside a proxy", {"connections": (PROXY, SLAVE)}, {"expected": EXPECTED, "proxies": (PROXY.host,)}, Wanted(), [("ok", "ok", A)], True),
    (
        "guest kept out",
        {"loopback_users": ("guest",)},
        {"expected": (REMOTE,)},
        Wanted(),
        [("connection.missing", "critical", "192.0.2.9"), ("user.loopback_only", "warning", "guest")],
        False,
    ),
    (
        "guest kept out, and too few",
        {"loopback_users": ("guest",)},
        {},
        Wanted(min_connections=5),
        [("connection.missing", "critical", A), ("user.loopback_only", "warning", "guest")],
        False,
    ),
    (
        "a local client is not kept out",
        {"loopback_users": ("guest",)},
        {"expected": (("::1", ("::1",)),)},
        Wanted(),
        [("connection.missing", "critical", "::1")],
        False,
    ),
    ("guest kept out, nobody missing", {"loopback_users": ("guest",)}, {"expected": EXPECTED}, Wanted(), [("ok", "ok", A)], True),
    ("held back", {"connections": (replace(MASTER, state="blocked"), SLAVE)}, {}, Wanted(), [("connection.blocked", "warning", A)], True),
    ("in flow", {"connections": (replace(MASTER, state="flow"),)}, {}, Wanted(), [("ok", "ok", A)], True),
    ("not all read", {"alarms": None, "missing": {"alarms": "late"}}, {}, Wanted(), [("node.unread", "warning", A)], False),
    (
        "queues and connections not read",
        {"queues": None, "connections": None, "missing": {"queues": "late", "connections": "late"}},
        {"expected": EXPECTED},
        Wanted("/", ("jobs",), 1, 9),
        [("node.unread", "warning", A)],
        False,
    ),
]


@pytest.mark.parametrize(("changes", "more", "wanted", "found", "well"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_said(changes: dict[str, Any], more: dict[str, Any], wanted: Wanted, found: list[tuple[str, str, str]], well: bool) -> None:
    look = Look("rabbitmqctl", replace(WELL, **changes), **more)
    findings = diagnose(look, wanted)
    assert codes(findings) == found
    assert healthy(look, wanted) is well
    assert all(finding.runbook == ("talus.rst", "AMQP") for finding in findings)
    assert all(finding.remedy is not None for finding in findings if finding.severity == "critical")
    json.dumps([finding.to_dict() for finding in findings])


@pytest.mark.parametrize(("kind", "code"), [("down", "node.down"), ("silent", "node.silent")])
def test_nobody_answers(kind: str, code: str) -> None:
    look = Look("container", down=Down(kind, "talus-amqp", "there is no container talus-amqp"), tried={"management": "refused"})
    (finding,) = diagnose(look, Wanted())
    assert codes([finding]) == [(code, "critical", "talus-amqp")]
    assert "there is no container talus-amqp" in finding.summary
    assert finding.detail["tried"] == {"management": "refused"}
    assert not healthy(look, Wanted())
    assert facts(look)["running"] is False


def test_sentences() -> None:
    changes: dict[str, Any] = {"alarms": (Alarm("memory", A), Alarm("disk", A)), "memory_used": 3 << 20, "memory_limit": 2 << 20, "connections": (PROXY,)}
    look = Look("container", replace(WELL, **changes), expected=(*EXPECTED, REMOTE), proxies=(PROXY.host,))
    told = [finding.summary for finding in diagnose(look, Wanted())]
    assert told == [
        "rabbit@a uses more memory than it may (3 of 2 MiB): no publisher's messages are taken in the whole cluster",
        "the disk of rabbit@a has less space than its limit: no publisher's messages are taken in the whole cluster",
        "2 of master, 192.0.2.2, 192.0.2.9 have no connection to the broker; which is not known, as 1 connections come through a proxy (172.17.0.1)",
    ]
    assert diagnose(Look("x", WELL, expected=(EXPECTED[0],) * 2), Wanted())[0].summary == "master has 1 of 2 connections to the broker"


def test_facts_have_the_same_keys_whatever_was_seen_and_are_cut() -> None:
    many = replace(WELL, queues=tuple(Queue("/", str(number), depth=1, ready=1) for number in range(SHOWN + 5)))
    told, nothing = facts(Look("management", many)), facts(Look("management", down=Down("down", "x", "y")))
    assert set(told) == set(nothing)
    assert len(told["queues"]) == SHOWN
    assert (told["totals"]["queues"], told["totals"]["messages"], told["totals"]["messages_unacked"]) == (SHOWN + 5, SHOWN + 5, 0)
    assert nothing["totals"] == dict.fromkeys(told["totals"])
