# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes, units and sockets: what is told of what was seen, by tables."""

from __future__ import annotations

from typing import Any, Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import OpenFiles, Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.service import Service
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.sockets import Listener
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import processes, sockets, units
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.expect import Missed

from .expectations import told, wanted

SCRIPT = "/opt/FitsStorage/scripts/service.py"


def running(pid: int, owner: str = "fitsdata", age: float = 1000.0, argv: Sequence[str] = ("python3", SCRIPT, "--demon")) -> processes.Running:
    return processes.Running(Process(pid, pid, tuple(argv), owner), age)


TWO = [running(1), running(2, age=2000.0)]


@pytest.mark.parametrize(
    ("expectation", "seen", "findings"),
    [
        ({}, TWO, []),
        ({"owner": "fitsdata", "args": ["--demon"], "min": 2, "max": 2}, TWO, []),
        ({}, [], [("missing", "critical")]),
        ({"min": 3}, TWO, [("missing", "critical")]),
        ({"args": ["--other"]}, TWO, [("missing", "critical")]),
        ({"max": 1}, TWO, [("too_many", "warning")]),
        ({"min": 0, "max": 0}, TWO, [("too_many", "warning")]),
        ({"min": 0, "max": 0}, [], []),
        ({"owner": "root"}, TWO, [("wrong_owner", "critical")]),
        ({"owner": "root"}, [*TWO, running(3, "root")], []),
        ({"owner": "root", "min": 2}, [*TWO, running(3, "root")], [("wrong_owner", "critical")]),
        ({"min_age": 1500}, TWO, [("young", "warning")]),
        ({"min_age": 500}, TWO, []),
        ({"max_age": 1500}, TWO, [("old", "warning")]),
        ({"max_age": 2500}, TWO, []),
        ({"min": 3, "min_age": 1500}, TWO, [("missing", "critical"), ("young", "warning")]),
        ({"severity": "info"}, [], [("missing", "info")]),
    ],
)
def test_processes(expectation: dict[str, Any], seen: list[processes.Running], findings: list[tuple[str, str]]) -> None:
    want = wanted("processes", program=SCRIPT, **expectation)
    assert told(processes.judge(want, processes.look(want, seen, False))) == findings


def test_processes_that_may_be_hidden_are_not_missing() -> None:
    want = wanted("processes", program=SCRIPT, min=3)
    assert told(processes.judge(want, processes.look(want, TWO, True))) == [("unknown", "warning")]
    at_most = wanted("processes", program=SCRIPT, max=3)
    assert told(processes.judge(at_most, processes.look(at_most, TWO, True))) == [("unknown", "warning")]
    too_many = wanted("processes", program=SCRIPT, max=1)
    assert told(processes.judge(too_many, processes.look(too_many, TWO, True))) == [("too_many", "warning")]
    assert told(processes.judge(want, Missed("no /proc"))) == [("unknown", "warning")]
    assert processes.row(want, Missed("no /proc"))["found"] is None


def test_what_is_told_of_processes() -> None:
    want = wanted("processes", program=SCRIPT, owner="root", name="worker")
    [finding] = processes.judge(want, processes.look(want, TWO, False))
    assert finding.summary == "worker: runs as fitsdata instead of root: pid 2 (fitsdata, for 33 min), pid 1 (fitsdata, for 17 min)"
    assert processes.row(want, processes.look(want, TWO, False)) == {
        "name": "worker",
        "found": 0,
        "processes": [],
        "in_containers": 0,
        "other_owners": [{"pid": pid, "owner": "fitsdata", "age": age, "program": SCRIPT} for pid, age in ((2, 2000.0), (1, 1000.0))],
    }


def test_processes_in_containers_count_only_where_they_are_asked_for() -> None:
    seen = [running(1), running(2)._replace(contained=True), running(3, "root")._replace(contained=True)]
    for expectation, findings in (
        ({}, []),
        ({"min": 2}, [("missing", "critical")]),
        ({"min": 2, "max": 2, "owner": "fitsdata", "containers": True}, []),
        ({"owner": "root"}, [("wrong_owner", "critical")]),
        ({"owner": "root", "containers": True}, []),
        ({"min": 0, "max": 0, "containers": True}, [("too_many", "warning")]),
    ):
        want = wanted("processes", program=SCRIPT, **expectation)
        assert told(processes.judge(want, processes.look(want, seen, False))) == findings
    want = wanted("processes", program=SCRIPT)
    [finding] = processes.judge(want, processes.look(want, seen[1:], False))
    assert finding.summary.endswith("no such process runs; 2 in containers do not count")


def test_a_password_on_a_command_line_is_not_told() -> None:
    want = wanted("processes", program=SCRIPT, max=0, min=0)
    seen = processes.look(want, [running(1, argv=("python3", SCRIPT, "--password=geheim"))], False)
    assert "geheim" not in str([finding.to_dict() for finding in processes.judge(want, seen)]) + str(processes.row(want, seen))


def unit(active: str = "active", sub: str = "running", **more: Any) -> Service:
    known = {"name": "x.service", "manager": "systemd", "known": True, "asked": "x", "since": 100.0, "restarts": 0, "result": "success", "type": "simple"}
    return Service(**{**known, "active": active, "sub": sub, **more})


@pytest.mark.parametrize(
    ("expectation", "services", "findings"),
    [
        ({}, [unit()], []),
        ({}, [unit(active="reloading", sub="reload")], []),
        ({}, [unit(known=False, active="unknown")], [("unknown_unit", "critical")]),
        ({"state": "any"}, [unit(known=False, active="unknown")], [("unknown_unit", "warning")]),
        ({}, [], [("unknown_unit", "critical")]),
        ({}, [unit("inactive", "dead")], [("inactive", "critical")]),
        ({}, [unit("inactive", "dead", load="masked")], [("inactive", "critical")]),
        ({}, [unit("activating", "start-pre")], [("inactive", "critical")]),
        ({}, [unit("deactivating", "stop-sigterm")], [("inactive", "critical")]),
        ({}, [unit("failed", "failed", result="exit-code", exit_code=1)], [("failed", "critical")]),
        ({"state": "any"}, [unit("failed", "failed", result="signal")], [("failed", "critical")]),
        ({"state": "any"}, [unit("inactive", "dead")], []),
        ({"state": "inactive"}, [unit("inactive", "dead")], []),
        ({"state": "inactive"}, [unit("failed", "failed")], []),
        ({"state": "inactive"}, [unit()], [("active", "critical")]),
        ({"state": "inactive"}, [unit("activating", "auto-restart")], [("active", "critical")]),
        ({}, [unit("activating", "auto-restart", restarts=7)], [("flapping", "critical")]),
        ({"state": "any"}, [unit("activating", "auto-restart", restarts=7)], [("flapping", "critical")]),
        ({}, [unit("activating", "auto-restart-queued")], [("flapping", "critical")]),
        ({"min_uptime": 60}, [unit(restarts=3, since=190.0)], [("flapping", "critical")]),
        ({"min_uptime": 60}, [unit(restarts=3, since=100.0)], []),
        ({"min_uptime": 60}, [unit(restarts=0, since=199.0)], []),
        ({"max_restarts": 2}, [unit(restarts=3)], [("flapping", "critical")]),
        ({"max_restarts": 3}, [unit(restarts=3)], []),
        # systemd before 235, and upstart, do not count.
        ({}, [unit(restarts=None, id="x.service")], []),
        ({"max_restarts": 3}, [unit(restarts=None, id="x.service")], [("unknown", "warning")]),
        ({"max_restarts": 3}, [unit(restarts=None, manager="upstart")], [("unknown", "warning")]),
        ({"max_restarts": 3}, [unit(restarts=None, manager="sysv")], []),
        ({"max_restarts": 3}, [unit(restarts=None, id="x.timer")], []),
        ({"max_restarts": 3, "state": "any"}, [unit("inactive", "dead", restarts=None, id="x.service")], []),
        ({"min_uptime": 60}, [unit(restarts=None, id="x.service", since=190.0)], [("unknown", "warning")]),
        ({"min_uptime": 60}, [unit(restarts=None, id="x.service")], []),
        ({}, [unit("active", "exited", type="forking")], [("exited", "critical")]),
        ({}, [unit("active", "exited", type="oneshot")], []),
        ({"state": "any"}, [unit("inactive", "dead", result="timeout")], [("killed", "warning")]),
        ({}, [unit("failed", "failed", result="timeout")], [("failed", "critical"), ("killed", "warning")]),
        ({"enabled": True}, [unit(enabled=True)], []),
        ({"enabled": True}, [unit(enabled=False)], [("not_enabled", "warning")]),
        ({"enabled": False}, [unit(enabled=True)], [("enabled", "warning")]),
        ({"enabled": True}, [unit(enabled=None)], [("unknown", "warning")]),
        ({}, [unit("unknown", "")], [("unknown", "warning")]),
        ({}, [unit(), unit("failed", "failed", name="y.service")], [("failed", "critical")]),
        ({}, [unit(asked="other", active="failed"), unit()], []),
    ],
)
def test_units(expectation: dict[str, Any], services: list[Service], findings: list[tuple[str, str]]) -> None:
    want = wanted("units", name="x", **expectation)
    seen = units.look(want, services, services, 200.0)
    assert told(units.judge(want, seen)) == findings


def test_a_unit_that_was_restarted_between_two_looks_flaps() -> None:
    want = wanted("units", name="x")
    seen = units.look(want, [unit(restarts=4)], [unit(restarts=5, since=199.5)], 200.0)
    [finding] = units.judge(want, seen)
    assert finding.code == "node.unit.flapping"
    assert units.rows(seen)[0]["restarts_seen"] == 1
    assert units.rows(seen)[0]["uptime"] == 0.5


def test_a_unit_of_a_manager_that_does_not_count_flaps_when_it_is_another_process() -> None:
    want = wanted("units", name="x")
    first, last = unit(restarts=None, main_pid=7), unit(restarts=None, main_pid=8)
    [finding] = units.judge(want, units.look(want, [first], [last], 200.0))
    assert (finding.code, finding.summary) == ("node.unit.flapping", "x: was restarted while it was watched (nobody counts how often)")
    assert units.judge(want, units.look(want, [first], [first], 200.0)) == []


def test_a_unit_that_waits_for_its_restart_at_either_look_flaps() -> None:
    want = wanted("units", name="x")
    waits = unit("activating", "auto-restart", restarts=5)
    for first, last in ((waits, unit(restarts=5)), (unit(restarts=5), waits)):
        assert told(units.judge(want, units.look(want, [first], [last], 200.0))) == [("flapping", "critical")]


def test_a_unit_that_is_gone_at_the_second_look_counts_as_it_was() -> None:
    want = wanted("units", name="x")
    assert units.judge(want, units.look(want, [unit()], [], 200.0)) == []


def test_a_manager_that_does_not_answer() -> None:
    want = wanted("units", name="x")
    for first, last in ((Missed("no answer"), []), ([], Missed("no answer"))):
        seen = units.look(want, first, last, 200.0)
        assert told(units.judge(want, seen)) == [("unknown", "warning")]
        assert units.rows(seen) == []


def test_the_unit_of_a_pattern_is_named() -> None:
    want = wanted("units", name="fits-*", code="fits.ingest.unit")
    failed = unit("failed", "failed", asked="fits-*", name="fits-a.service", result="exit-code", exit_code=1)
    [finding] = units.judge(want, units.look(want, [failed], [failed], 200.0))
    assert (finding.code, finding.summary) == ("fits.ingest.unit.failed", "fits-*: fits-a.service has failed (exit-code, exit code 1)")


TCP = Listener("tcp", "0.0.0.0", 80, 7)  # noqa: S104
LOCAL = Listener("tcp", "127.0.0.1", 80, 8)
UNIX = Listener("unix", "/run/x.sock", None, 9)
HTTPD = running(16, "root", argv=("/usr/sbin/httpd",))


@pytest.mark.parametrize(
    ("expectation", "listening", "opened", "findings"),
    [
        ({"port": 80}, [TCP], {}, []),
        ({"port": 80}, [LOCAL], {}, []),
        ({"port": 80}, [], {}, [("not_listening", "critical")]),
        ({"port": 81}, [TCP], {}, [("not_listening", "critical")]),
        ({"port": 80, "protocol": "udp"}, [TCP], {}, [("not_listening", "critical")]),
        ({"port": 80, "address": "127.0.0.1"}, [TCP], {}, []),
        ({"port": 80, "address": "192.0.2.1"}, [LOCAL], {}, [("not_listening", "critical")]),
        ({"port": 80, "address": "0.0.0.0"}, [LOCAL], {}, [("not_listening", "critical")]),  # noqa: S104
        ({"path": "/run/x.sock"}, [UNIX], {}, []),
        ({"path": "/run/y.sock"}, [UNIX], {}, [("not_listening", "critical")]),
        ({"port": 80, "program": "httpd"}, [TCP], {7: (16,)}, []),
        ({"port": 80, "program": "/usr/sbin/httpd", "owner": "root"}, [TCP], {7: (16,)}, []),
        ({"port": 80, "program": "nginx"}, [TCP], {7: (16,)}, [("wrong_program", "critical")]),
        ({"port": 80, "program": "httpd", "owner": "apache"}, [TCP], {7: (16,)}, [("wrong_program", "critical")]),
        ({"port": 80, "program": "httpd"}, [TCP], {}, [("unknown", "warning")]),
        ({"path": "/run/x.sock", "program": "httpd"}, [UNIX], {9: (16,)}, []),
    ],
)
def test_sockets(expectation: dict[str, Any], listening: list[Listener], opened: dict[int, tuple[int, ...]], findings: list[tuple[str, str]]) -> None:
    want = wanted("sockets", **expectation)
    seen = sockets.look(want, listening, OpenFiles(opened), {16: HTTPD})
    assert told(sockets.judge(want, seen)) == findings
    assert sockets.row(want, seen)["listening"] is (findings[:1] != [("not_listening", "critical")])


def test_sockets_that_cannot_be_looked_into() -> None:
    want = wanted("sockets", port=80, program="nginx")
    for seen in (
        sockets.look(want, [TCP], OpenFiles({}, (), (1,)), {}),
        sockets.look(want, [TCP, LOCAL], OpenFiles({7: (16,)}, (), (1,)), {16: HTTPD}),
        sockets.look(want, Missed("no table"), OpenFiles(), {}),
        sockets.look(want, [TCP], Missed("no answer"), {}),
    ):
        assert told(sockets.judge(want, seen)) == [("unknown", "warning")]
    assert sockets.row(want, Missed("no table"))["listening"] is None
