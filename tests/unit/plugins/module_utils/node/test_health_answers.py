# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Web services, ports, certificates, logs and limits: what is told of what was seen, by tables."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.certificate import Certificate
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.http import Answer
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import certificates, health, logs, vitals, web
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.expect import Missed
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.observe import NodeState
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.vitals import Vitals
from hypothesis import given
from hypothesis import strategies as st

from .expectations import expected, told, wanted

URL = "http://example.org/"


def answer(body: bytes = b"", status: int = 200, **more: Any) -> Answer:
    return Answer(URL, status, body, **{"seconds": 0.5, **more})


@pytest.mark.parametrize(
    ("expectation", "saw", "findings"),
    [
        ({}, answer(), []),
        ({}, answer(status=500), [("wrong_status", "critical")]),
        ({"status": [200, 500]}, answer(status=500), []),
        ({"contains": ["Search"]}, answer(b"the Search form"), []),
        ({"contains": ["the", "Search"]}, answer(b"the form"), [("wrong_answer", "critical")]),
        ({"contains": ["\u2603"]}, answer("a \u2603".encode()), []),
        ({"json_has": {"result": True}}, answer(b'{"result": true, "more": 1}'), []),
        ({"json_has": {"result": True}}, answer(b'{"result": false}'), [("wrong_answer", "critical")]),
        ({"json_has": {"result": True}}, answer(b"<html>"), [("wrong_answer", "critical")]),
        ({"json_has": {"result": True}}, answer(b'{"result": tr', truncated=True), [("wrong_answer", "critical")]),
        ({"json_has": []}, answer(b"[]"), []),
        ({"max_seconds": 0.4}, answer(), [("slow", "warning")]),
        ({"max_seconds": 0.4, "contains": ["x"]}, answer(), [("wrong_answer", "critical"), ("slow", "warning")]),
        ({}, Answer(URL, kind="refused", error="it refuses"), [("refused", "critical")]),
        ({}, Answer(URL, kind="timeout", error="no answer"), [("timeout", "critical")]),
        ({}, Answer(URL, kind="bad_url", error="what is this"), [("unknown", "warning")]),
        ({}, Missed("no answer"), [("unknown", "warning")]),
    ],
)
def test_web_services(expectation: dict[str, Any], saw: web.Seen, findings: list[tuple[str, str]]) -> None:
    want = wanted("http", url=URL, **expectation)
    assert told(web.judge(want, saw)) == findings
    row = web.row(want, saw)
    assert bool(row["answer"]) is any(what in {"wrong_answer", "wrong_status", "slow"} for what, _severity in findings)


def test_of_a_page_its_words_are_told_and_no_secret() -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head>\n<body><password>hush</password><hr>nginx/1.22.1</body></html>"
    (finding,) = web.judge(wanted("http", url=URL), answer(page, 502))
    assert finding.summary.endswith("502 Bad Gateway ******** nginx/1.22.1"), finding.summary


@pytest.mark.parametrize(
    ("value", "want", "is_so"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [2]}}, True),
        ({"a": 1}, {"b": 1}, False),
        ([{"name": "x", "ok": True}, {"name": "y"}], [{"name": "y"}], True),
        ([{"name": "x"}], [{"name": "y"}], False),
        ({"a": 1}, [1], False),
        ([1], {"a": 1}, False),
        (True, 1, False),
        (1, 1.0, True),
        (None, None, True),
        ("x", "x", True),
    ],
)
def test_what_an_answer_has(value: Any, want: Any, is_so: bool) -> None:
    assert web.has(value, want) is is_so


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(JSON, JSON)
def test_an_answer_has_all_that_it_is(value: Any, other: Any) -> None:
    assert web.has(value, value)
    assert web.has({"a": value, "b": other}, {"a": value})
    assert web.has([other, value], [value])


def test_a_secret_header_is_sent_and_never_told() -> None:
    want = wanted("http", url=URL, secret_headers={"Authorization": "geheim"}, headers={"Accept": "*/*"}, json={"a": 1})
    assert want.headers == {"Authorization": "geheim", "Accept": "*/*", "Content-Type": "application/json"}
    assert want.body == b'{"a": 1}'
    echo = answer(b"you sent geheim\n\x1b[0m", status=403)
    told_all = str([finding.to_dict() for finding in web.judge(want, echo)]) + str(web.row(want, echo)) + repr(want)
    assert "geheim" not in told_all
    assert "\x1b" not in told_all


@pytest.mark.parametrize(
    ("saw", "findings"),
    [
        (web.Connection("", 0.5), []),
        (web.Connection("", 1.5), [("slow", "warning")]),
        (web.Connection("refused", 0.5), [("refused", "critical")]),
        (web.Connection("unreachable", 0.5), [("unreachable", "critical")]),
        (Missed("no answer"), [("unknown", "warning")]),
    ],
)
def test_ports(saw: web.SeenPort, findings: list[tuple[str, str]]) -> None:
    want = wanted("tcp", host="db.example.org", port=5432, max_seconds=1)
    assert told(web.judge_port(want, saw)) == findings
    assert web.row_port(want, saw)["connected"] is (isinstance(saw, web.Connection) and not saw.kind)


DAY = 86400.0
NOW = 1000 * DAY
GOOD = Certificate("CN=a", "CN=b", ("archive.example.org", "*.dev.example.org"), NOW - 10 * DAY, NOW + 80 * DAY, "0a", "00", False)


def sight(trust_error: Any = None, **more: Any) -> certificates.Sight:
    return certificates.Sight(replace(GOOD, **more), NOW, trust_error)


@pytest.mark.parametrize(
    ("expectation", "saw", "findings"),
    [
        ({}, sight(), []),
        ({"min_days": 90}, sight(), [("expires", "warning")]),
        ({}, sight(not_after=NOW - DAY), [("expired", "critical")]),
        ({}, sight(not_before=NOW + DAY), [("not_yet_valid", "critical")]),
        ({"names": ["archive.example.org", "X.DEV.example.org"]}, sight(), []),
        ({"names": ["archive.example.org", "other.example.org"]}, sight(), [("wrong_name", "critical")]),
        ({"names": ["a.b.dev.example.org"]}, sight(), [("wrong_name", "critical")]),
        ({"names": ["dev.example.org"]}, sight(), [("wrong_name", "critical")]),
        ({"trusted": True}, sight(trust_error=""), []),
        ({"trusted": True}, sight(trust_error="certificate has expired"), [("untrusted", "critical")]),
        ({"since": "1972-09-16T23:00Z"}, sight(), [("renewed", "warning")]),
        ({"since": "1972-09-17T23:00:00+0000"}, sight(), [("renewed", "warning")]),
        ({"since": "1972-09-18T01:00:00+00:00"}, sight(), []),
        ({"since": "1972-06-01"}, sight(), [("renewed", "warning")]),
        ({}, Missed("cannot be read"), [("unknown", "warning")]),
    ],
)
def test_certificates(expectation: dict[str, Any], saw: certificates.Seen, findings: list[tuple[str, str]]) -> None:
    want = wanted("certificates", host="archive.example.org", **expectation)
    assert told(certificates.judge(want, saw)) == findings
    assert set(certificates.row(want, saw)) == set(certificates.row(want, sight()))


def test_the_time_of_a_complaint_is_local() -> None:
    assert wanted("certificates", host="h", since="2026-01-30T08:00").since == time.mktime((2026, 1, 30, 8, 0, 0, 0, 0, -1))


def test_years_that_cannot_be_counted() -> None:
    assert certificates.iso(0.0) == "1970-01-01T00:00:00Z"
    assert certificates.iso(1e18) == "1000000000000000000 s after 1970"


ONE = logs.Sight("/log/a.log", 1000.0, 940.0, 50, 7, ("first", "exiting normally", "last"))
ERROR = logs.Matched("errors", "critical", 2, 100.0, 940.0, ("Traceback | NameError", "older"))


@pytest.mark.parametrize(
    ("expectation", "saw", "findings"),
    [
        ({}, (ONE,), []),
        ({}, (), [("missing", "warning")]),
        ({"optional": True}, (), []),
        ({}, Missed("too many"), [("unknown", "warning")]),
        ({}, (ONE, Missed("Permission denied")), [("unknown", "warning")]),
        ({"max_age": 61}, (ONE,), []),
        ({"max_age": 59}, (ONE,), [("stale", "warning")]),
        ({"must_end_with": "normally$"}, (ONE,), []),
        ({"must_end_with": "^normally"}, (ONE,), [("unfinished", "warning")]),
        ({"must_end_with": "x"}, (ONE._replace(ending=()),), [("unfinished", "warning")]),
        ({"must_grow": True}, (ONE._replace(growth=1),), []),
        ({"must_grow": True}, (ONE._replace(growth=0),), [("silent", "warning")]),
        ({"must_grow": True}, (ONE,), [("unknown", "warning")]),
        ({}, (ONE._replace(matched=(ERROR,)),), [("matched", "critical")]),
        ({"severity": "info"}, (ONE._replace(matched=(ERROR,)),), [("matched", "critical")]),
        ({}, (ONE._replace(matched=(ERROR._replace(found=0),)),), []),
        ({"since": 10, "patterns": [{"name": "a", "regex": "a"}]}, (ONE._replace(complete=False),), [("unknown", "warning")]),
        ({"patterns": [{"name": "a", "regex": "a"}]}, (ONE._replace(complete=False),), []),
    ],
)
def test_logs(expectation: dict[str, Any], saw: logs.Seen, findings: list[tuple[str, str]]) -> None:
    want = expected(watch=1, logs=[{"path": "/log/*.log", **expectation}]).logs[0]
    assert told(logs.judge(want, saw)) == findings


def test_what_is_told_of_matches() -> None:
    want = wanted("logs", path="/log/*.log", name="the logs", code="fits.log")
    [finding] = logs.judge(want, (ONE._replace(matched=(ERROR,)),))
    assert finding.code == "fits.log.matched"
    assert finding.summary == "the logs: a.log: 2 of class errors, the newest 60 s ago: Traceback | NameError"
    assert finding.detail["class"] == "errors"


def test_how_logs_grow() -> None:
    again = {"/log/a.log": (7, 60)}
    assert logs.compare((ONE,), again) == (ONE._replace(growth=10),)
    assert logs.compare((ONE,), {"/log/a.log": (8, 20)}) == (ONE._replace(growth=20),)
    assert logs.compare((ONE,), {"/log/a.log": (7, 20)}) == (ONE._replace(growth=20),)
    assert logs.compare((ONE, Missed("x")), {}) == (ONE, Missed("x"))
    assert logs.compare((ONE,), None) == logs.compare((ONE,), Missed("late")) == (ONE,)


@pytest.mark.parametrize(
    ("limits", "saw", "findings"),
    [
        ({"load_per_cpu": 1.0}, Vitals(load=(9.0, 2.0, 9.0), cpus=2), []),
        ({"load_per_cpu": 1.0}, Vitals(load=(0.0, 2.1, 0.0), cpus=2), ["node.load.high"]),
        ({"load_per_cpu": 1.0}, Vitals(), ["node.load.unknown"]),
        ({"min_available_memory": "10%"}, Vitals(memory_total=1000, memory_available=100), []),
        ({"min_available_memory": "10%"}, Vitals(memory_total=1000, memory_available=99), ["node.memory.low"]),
        ({"min_available_memory": "1K"}, Vitals(memory_total=9000, memory_available=1023), ["node.memory.low"]),
        ({"min_available_memory": "10%"}, Vitals(memory_total=1000), ["node.memory.unknown"]),
        ({"max_oom_kills": 0}, Vitals(oom_kills=0), []),
        ({"max_oom_kills": 0}, Vitals(oom_kills=1), ["node.memory.oom_kills"]),
        ({"max_oom_kills": 0}, Vitals(), ["node.memory.unknown"]),
    ],
)
def test_limits(limits: dict[str, Any], saw: Vitals, findings: list[str]) -> None:
    want = expected(**limits)
    assert [finding.code for finding in health.diagnose(want, NodeState(vitals=saw))] == (findings or ["node.limits.ok"])
    assert [finding.code for finding in vitals.judge(want.limits, saw)] == findings


def test_a_list_without_fault_gives_one_finding() -> None:
    want = expected(tcp=[{"host": "a", "port": 1}, {"host": "b", "port": 2}], http=[{"url": URL}])
    good = NodeState(tcp=[web.Connection("", 0.1)] * 2, http=[answer()])
    assert [(finding.code, finding.summary) for finding in health.diagnose(want, good)] == [
        ("node.http.ok", "1 web service answers as expected"),
        ("node.tcp.ok", "2 ports accept connections"),
    ]
    bad = good._replace(tcp=[web.Connection("", 0.1), web.Connection("refused", 0.1)])
    assert [finding.code for finding in health.diagnose(want, bad)] == ["node.http.ok", "node.tcp.refused"]
    assert [row["connected"] for row in health.facts(want, bad)["tcp"]] == [True, False]
