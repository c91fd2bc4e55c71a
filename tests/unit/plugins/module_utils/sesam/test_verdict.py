# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node, by tables: one thing changed in a node that is well."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Finding
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import logfiles
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.asking import cleaned, is_well, license_word
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.container import Container
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.pipes import Pipes
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.process import NodeProcess
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.state import (
    PARTS,
    Api,
    Health,
    HealthLog,
    Host,
    Limits,
    NodeState,
    Profiler,
    Space,
    StartupOptions,
    Status,
    TraceFile,
    Traces,
    Unanswered,
    seen,
    status_of,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.switches import scheduler
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.verdict import diagnose, facts, healthy
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.verdict_api import condition

NOW = 1769904000.0
URL = "http://localhost:9042/api"
STARTED = NOW - 86400
ARGV = ("/entrypoint.sh", "lake", "-l", "/sesam/logs", "-d", "/sesam/data", "--enforce-license")
OFF = {"disable_pump_scheduler": True}
NEW_TRACE, OLD_TRACE = TraceFile("/logs/stacktrace.html", 9, NOW - 60), TraceFile("/logs/stacktrace.html.1", 9, NOW - 1e6)
CONTAINER = Container("a" * 64, "sesam-node", "sesam/sesam-node", True, "running", started_at=STARTED - 2, argv=ARGV, pid=10)
PROCESS = NodeProcess(Process(10, 1, "sesam", ARGV[1:]), True, "S", caught=1 << 9, threads=60)
OPTIONS = StartupOptions("/data/startup_options.json", False)
LOG = HealthLog("/logs/node_health.log", True, NOW - 10, last_line="ok")
SPACE = Space("/data", 100, 50, 50.0, 90.0)
PROFILER = Profiler(False, "/logs/api_profiler")
API = Api(
    URL,
    True,
    ("health", "status", "license", "scheduler", "pipes"),
    Health(200, True, {"status": "ok"}),
    Status("id", "2.0", "then", STARTED, 86400.0),
    "present",
    {"_id": "node"},
    Pipes(total=3, scheduled=3),
)
HOST = Host(CONTAINER, PROCESS, STARTED - 1, "", "/data", "/logs", True, OPTIONS, Traces(0), LOG, PROFILER, {"data": SPACE, "logs": SPACE})
WELL = NodeState(NOW, PARTS, API, HOST)


def node(api: dict[str, Any] | None = None, host: dict[str, Any] | None = None, parts: tuple[str, ...] = PARTS) -> NodeState:
    return NodeState(NOW, parts, replace(API, **(api or {})), replace(HOST, **(host or {})))


def silent(*unanswered: Unanswered, **more: Any) -> dict[str, Any]:
    """An API of which nothing came."""
    gone = {"health": None, "status": None, "license": None, "metadata": None, "pipes": None}
    return {**gone, "unanswered": unanswered, **more}


def no(part: str, kind: str, status: int | None = None, cause: str = "", connected: bool = True) -> Unanswered:
    return Unanswered(part, part, kind, cause or kind, "no answer: %s" % kind, status, connected)


def codes(found: list[Finding]) -> set[str]:
    return {finding.code.removeprefix("sesam.") for finding in found}


def test_a_node_that_is_well() -> None:
    found = diagnose(WELL, Limits())
    assert codes(found) == {"ok"}
    assert healthy(WELL, found) is True
    assert condition(WELL) == "running"
    json.dumps(facts(WELL))


HANGS = no("health", "timeout")
UNCONNECTED = no("health", "timeout", connected=False)
NOTHING: dict[str, Any] = {"container": None, "process": None}
ENDED = {"container": replace(CONTAINER, running=False, status="exited", exit_code=1), "process": None}
REFUSED = no("health", "unreachable", cause="refused", connected=False)


@pytest.mark.parametrize(
    ("state", "word", "wanted"),
    [
        (node({"health": Health(503, False, {"a": 1})}), "unwell", {"health.unwell"}),
        (node({"health": Health(200, None)}), "unknown", {"health.unknown"}),
        (node(silent(HANGS, ping=False)), "frozen", {"api.frozen", "scheduler.unknown"}),
        (node({"health": None, "unanswered": (HANGS,), "ping": True}), "frozen", {"api.frozen"}),
        (node({"pipes": None, "unanswered": (no("pipes", "timeout"),), "ping": True}), "running", {"api.hangs"}),
        # Its queue of connections is full, and it runs: not even the connection is taken.
        (node(silent(UNCONNECTED, ping=False)), "frozen", {"api.frozen", "scheduler.unknown"}),
        (node(silent(UNCONNECTED, ping=False), NOTHING), "unknown", {"api.unreachable", "scheduler.unknown"}),
        (node(silent(REFUSED)), "down", {"api.down", "scheduler.unknown"}),
        (node(silent(no("health", "unreachable", cause="closed"))), "down", {"api.down", "scheduler.unknown"}),
        (node(silent(no("health", "unavailable", 502))), "down", {"api.down", "scheduler.unknown"}),
        (node(silent(REFUSED), ENDED), "down", {"api.down", "container.down", "scheduler.unknown"}),
        (node({"health": Health(503, False), "status": None, "unanswered": (no("status", "unavailable", 503),)}), "starting", {"api.starting"}),
        (node(silent(no("health", "unreachable", cause="dns", connected=False))), "unknown", {"api.unreachable", "scheduler.unknown"}),
        (node(silent(no("health", "tls"))), "unknown", {"api.unreachable", "scheduler.unknown"}),
        (node(silent(no("health", "redirect", 302))), "unknown", {"api.unreachable", "scheduler.unknown"}),
        (node(silent(no("health", "auth", 401), no("pipes", "auth", 401))), "unknown", {"api.unauthorized", "scheduler.unknown"}),
        (node(silent(no("health", "auth", 401), authenticates=False)), "unknown", {"api.token_missing", "scheduler.unknown"}),
        (node({"license": None, "unanswered": (no("license", "auth", 403),)}), "running", {"api.forbidden"}),
        (node({"pipes": None, "unanswered": (no("pipes", "server_error", 500),)}), "running", {"api.error"}),
        (node({"pipes": None, "unanswered": (no("pipes", "unreachable", 200, cause="closed"),)}), "running", {"api.error"}),
        (node({"license": None, "unanswered": (no("license", "not_found", 404),)}), "running", {"api.error"}),
    ],
)
def test_the_api(state: NodeState, word: str, wanted: set[str]) -> None:
    """Whatever is not known: the node does not count as well."""
    found = diagnose(state, Limits())
    assert condition(state) == word
    assert codes(found) == wanted
    assert healthy(state, found) is False
    json.dumps([facts(state), [each.to_dict() for each in found]])


@pytest.mark.parametrize(("age", "severity"), [(30.0, "warning"), (601.0, "critical"), (None, "critical")])
def test_starting_is_fine_for_a_while(age: float | None, severity: str) -> None:
    started = None if age is None else NOW - age
    state = node(silent(no("status", "unavailable", 503)), {"container": replace(CONTAINER, started_at=started)})
    (found,) = [each for each in diagnose(state, Limits()) if each.code == "sesam.api.starting"]
    assert found.severity == severity


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"container": replace(CONTAINER, paused=True)}, "paused"),
        ({"process": replace(PROCESS, state="T")}, "stopped"),
        ({}, "takes connections and does not answer /health"),
    ],
)
def test_why_it_is_frozen(host: dict[str, Any], words: str) -> None:
    found = diagnose(node(silent(HANGS, ping=False), host), Limits())
    assert words in found[0].summary
    assert found[0].remedy is not None
    assert (found[0].remedy.playbook, found[0].remedy.vars) == ("fieldops.runbooks.sesam_frozen", {"sesam_repair": True})


def file(written: float, switches: dict[str, Any] | None = None, problem: str = "") -> StartupOptions:
    return StartupOptions("/data/startup_options.json", True, written, OFF if switches is None else switches, problem)


READ, NEWER = STARTED - 60, STARTED + 60
ON_BY_METADATA, OFF_BY_METADATA = {"_id": "node"}, {"_id": "node", "task_manager": OFF}


@pytest.mark.parametrize(
    ("metadata", "options", "enabled", "stopped_by", "after", "wanted"),
    [
        (ON_BY_METADATA, OPTIONS, True, [], True, {"ok"}),
        ({"task_manager": {"disable_pump_scheduler": False}}, OPTIONS, True, [], True, {"ok"}),
        ({"task_manager": {"disable_pump_scheduler": "true"}}, OPTIONS, True, [], True, {"ok"}),
        ({"task_manager": []}, OPTIONS, True, [], True, {"ok"}),
        (OFF_BY_METADATA, OPTIONS, False, ["metadata"], False, {"scheduler.disabled"}),
        ({"task_manager": {"disable_user_pipes": True}}, OPTIONS, False, ["metadata"], False, {"scheduler.disabled"}),
        (ON_BY_METADATA, file(READ), False, ["startup_options"], False, {"scheduler.disabled", "startup_options.left"}),
        (OFF_BY_METADATA, file(READ), False, ["metadata", "startup_options"], False, {"scheduler.disabled", "startup_options.left"}),
        # It was written after the start: what the file said then is not known.
        (ON_BY_METADATA, file(NEWER), None, [], False, {"scheduler.unknown", "startup_options.left"}),
        (ON_BY_METADATA, file(NEWER, {}), None, [], True, {"scheduler.unknown"}),
        (ON_BY_METADATA, file(READ, {}), True, [], True, {"ok"}),
        (OFF_BY_METADATA, file(NEWER), False, ["metadata"], False, {"scheduler.disabled", "startup_options.left"}),
        (ON_BY_METADATA, file(READ, {}, "no JSON"), None, [], None, {"scheduler.unknown", "startup_options.invalid"}),
        (ON_BY_METADATA, None, None, [], None, {"scheduler.unknown"}),
        (None, OPTIONS, None, [], None, {"scheduler.unknown"}),
        (None, file(READ), False, ["startup_options"], False, {"scheduler.disabled", "startup_options.left"}),
    ],
)
def test_the_scheduler(metadata: Any, options: Any, enabled: bool | None, stopped_by: list[str], after: bool | None, wanted: set[str]) -> None:
    state = node({"metadata": metadata}, {"options": options})
    found = scheduler(state)
    assert (found.enabled, list(found.stopped_by), found.after_restart) == (enabled, stopped_by, after)
    assert codes(diagnose(state, Limits())) == wanted


def test_when_the_node_started_if_it_does_not_say() -> None:
    """Its process, and then its container, tell it."""
    told = {"status": None}
    assert scheduler(node(told, {"options": file(NEWER)})).file_read is False
    assert scheduler(node(told, {"options": file(NEWER), "process_started": None})).file_read is False
    assert scheduler(node(told, {"options": file(READ), "process_started": None, "container": None})).file_read is None


def test_a_scheduler_that_is_off_though_nothing_stops_it() -> None:
    """The file that stopped it has gone since."""
    state = node({"pipes": Pipes(total=3), "left_out": "tick"})
    found = scheduler(state)
    assert (found.enabled, found.stopped_by, found.after_restart, found.pending) == (False, (), True, True)
    assert codes(diagnose(state, Limits())) == {"scheduler.off", "scheduler.pending"}


def test_nothing_is_due_though_nothing_stops_it() -> None:
    state = node({"pipes": Pipes(total=3)})
    assert codes(diagnose(state, Limits())) == {"ok", "scheduler.idle"}


@pytest.mark.parametrize(
    ("reason", "severity"),
    [
        *((reason, "warning") for reason in ("unknown", "invalid", "failed", "running_long", "overdue")),
        *((reason, "info") for reason in ("deploying", "removing", "disabled")),
    ],
)
@pytest.mark.parametrize("count", [1, 2000])
def test_pipes(reason: str, severity: str, count: int) -> None:
    """One finding, however many they are."""
    pipes = Pipes(total=count, scheduled=1, reasons={reason: count}, names={reason: ["p%d" % number for number in range(min(count, 20))]})
    pipes.states[reason] = count
    (found,) = [each for each in diagnose(node({"pipes": pipes}), Limits()) if each.severity != "ok"]
    assert (found.code, found.severity, found.detail["count"]) == ("sesam.pipes.%s" % reason, severity, count)
    assert len(found.summary) < 250
    assert healthy(node({"pipes": pipes}), []) is (reason != "unknown")


def test_pipes_that_did_not_come() -> None:
    state = node({"pipes": Pipes(total=3, scheduled=3, complete=False, strange=2)})
    assert codes(diagnose(state, Limits())) == {"pipes.incomplete", "pipes.strange"}
    assert healthy(state, []) is False


@pytest.mark.parametrize(
    ("word", "argv", "code", "severity"),
    [
        ("absent", ARGV, "license.absent", "critical"),
        ("absent", ARGV[:-1], "license.absent", "warning"),
        ("invalid", ("sh", "-c", "exec lake --enforce-license"), "license.invalid", "critical"),
        ("unknown", ARGV, "license.unknown", "info"),
    ],
)
def test_licences(word: str, argv: tuple[str, ...], code: str, severity: str) -> None:
    state = node({"license": word}, {"container": replace(CONTAINER, argv=argv), "process": None, "process_problem": "not there"})
    (found,) = [each for each in diagnose(state, Limits()) if each.code.startswith("sesam.license")]
    assert (found.code, found.severity) == ("sesam.%s" % code, severity)


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ({"container": replace(CONTAINER, oom_killed=True)}, {("container.out_of_memory", "critical")}),
        ({"container": replace(CONTAINER, paused=True)}, {("container.paused", "critical")}),
        ({"container": replace(CONTAINER, health="unhealthy")}, {("container.unhealthy", "warning")}),
        ({"container": replace(CONTAINER, restart_count=3)}, set()),
        ({"container": replace(CONTAINER, restart_count=3, started_at=NOW - 60)}, {("container.restarts", "warning")}),
        ({"container": replace(CONTAINER, restarting=True), "process": None}, {("container.down", "critical"), ("process.unseen", "warning")}),
        ({"process": None, "process_problem": "a shell"}, {("process.unseen", "warning")}),
        ({"process": replace(PROCESS, state="T")}, {("process.stopped", "critical")}),
        ({"process": replace(PROCESS, caught=0)}, {("process.no_signal", "info")}),
        ({"traces": Traces(2, (NEW_TRACE, OLD_TRACE))}, {("stacktrace.left", "warning")}),
        ({"traces": Traces(1, (OLD_TRACE,))}, {("stacktrace.left", "info")}),
        ({"health_log": replace(LOG, failures=2, last_failure=NOW - 60, lines=("failed",))}, {("health_log.failures", "warning")}),
        ({"health_log": replace(LOG, modified=NOW - 7200)}, {("health_log.silent", "warning")}),
        ({"health_log": HealthLog("/logs/node_health.log", False)}, {("health_log.absent", "info")}),
        ({"profiler": replace(PROFILER, enabled=True)}, {("profiler.on", "warning")}),
        ({"profiler": replace(PROFILER, files=9, size=2 << 30)}, {("profiler.large", "warning")}),
        ({"profiler": replace(PROFILER, files=9, size=9, complete=False)}, {("profiler.large", "warning")}),
        ({"profiler": replace(PROFILER, pump_files=2, pump_size=9)}, {("profiler.left", "info")}),
        ({"space": {"data": replace(SPACE, percent=9.9)}}, {("space.low", "warning")}),
        ({"space": {"data": replace(SPACE, percent=2.9)}}, {("space.low", "critical")}),
        ({"space": {"data": replace(SPACE, inodes_percent=1.0)}}, {("space.low", "critical")}),
        ({"missing": {"stacktraces": "no right", "health_log": "no right"}}, {("files.unseen", "warning")}),
        ({"missing": {"container": "no engine", "space": "no engine"}}, {("container.unseen", "warning")}),
    ],
)
def test_the_machine(host: dict[str, Any], wanted: set[tuple[str, str]]) -> None:
    state = node(None, host)
    found = diagnose(state, Limits())
    assert {(each.code.removeprefix("sesam."), each.severity) for each in found if each.severity != "ok"} == wanted
    good = not state.missing and not any(severity == "critical" for _code, severity in wanted)
    assert healthy(state, found) is good
    json.dumps([facts(state), [each.to_dict() for each in found]])


def test_health_that_was_not_asked_for() -> None:
    assert healthy(node(parts=("pipes",)), []) is None


def test_secrets_of_a_command_line_are_not_told() -> None:
    state = node(None, {"container": replace(CONTAINER, argv=("lake", "--password", "hunter2", "--token=abc123"))})
    assert "hunter2" not in json.dumps(facts(state))
    assert "abc123" not in json.dumps(facts(state))


@pytest.mark.parametrize(
    ("status", "body", "well"),
    [
        (200, {"status": "ok"}, True),
        (200, {}, True),
        (200, {"status": "unwell"}, False),
        (200, {"healthy": False}, False),
        (503, {"status": "ok"}, False),
        (503, {}, False),
        (200, None, None),
        (200, [], None),
        (503, None, None),
        (200, "ok", None),
    ],
)
def test_what_health_says(status: int, body: Any, well: bool | None) -> None:
    assert is_well(status, body) is well


@pytest.mark.parametrize(
    ("status", "body", "found", "word"),
    [
        (404, b"", None, "absent"),
        (200, b"", None, "absent"),
        (200, b"{}", {}, "absent"),
        (200, b"{...}", {"status": "missing", "valid": False}, "absent"),
        (200, b"{...}", {"status": "expired"}, "invalid"),
        (200, b"{...}", {"valid": False}, "invalid"),
        (200, b"{...}", {"valid": True}, "present"),
        (200, b"{...}", {"anything": "else"}, "present"),
        (200, b"<html>", None, "unknown"),
        (200, b'"text"', "text", "unknown"),
    ],
)
def test_what_the_licence_says(status: int, body: bytes, found: Any, word: str) -> None:
    assert license_word(status, body, found) == word


def test_an_answer_of_unknown_shape_is_cut_and_cleaned() -> None:
    body = {"password": "p", "api_key": "k", "deep": {"a": {"b": {"c": {"d": 1}}}}, "list": list(range(500)), "text": "x eyJ y", "number": 1}
    found = cleaned(body, lambda text: text.replace("eyJ", "*"))
    assert (found["password"], found["api_key"], found["text"], found["number"]) == ("********", "********", "x * y", 1)
    assert len(found["list"]) == 50
    assert found["deep"] == {"a": {"b": {"c": "..."}}}
    assert cleaned({"secrets": ["a"], "tokens": 5}, str) == {"secrets": "********", "tokens": 5}


@pytest.mark.parametrize("body", [None, [], "x", {}, {"node_uptime": "long", "psutil.virtual_memory": [], "node_start_time": {"a": 1}}])
def test_a_status_of_another_shape(body: Any) -> None:
    assert status_of(body) == Status()


def test_parts() -> None:
    assert seen(()) == PARTS
    assert seen(("space", "health")) == ("health", "space")


# -- what is in the log -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("INFO /api/health: 200 {}", False),
        ("INFO health check ok, 0 errors", False),
        ('INFO {"errors": [], "failed": 0}', False),
        ("ERROR The call to /api/health failed: timed out. Writing a stacktrace.", True),
        ("WARNING /api/health: 503 {'problems': ['disk']}", True),
        ("INFO status=503", True),
        ("INFO took 503 ms", False),
        ("Traceback (most recent call last):", True),
        ("INFO connection refused", True),
    ],
)
def test_what_counts_as_a_failure(tmp_path: Any, line: str, counts: bool) -> None:
    (tmp_path / "node_health.log").write_text("2026-02-01 00:00:00,000 %s\n" % line, encoding="utf-8")
    assert logfiles.read_health_log(str(tmp_path), 0.0).failures == counts


@pytest.mark.parametrize(
    ("difference", "shift"), [(0, 0), (4, 0), (3600 + 4, 3600), (-19800, -19800), (-3600 + 100, -3600), (450, 0), (10 * 86400, 0), (None, 0)]
)
def test_the_zone_of_a_container(difference: float | None, shift: float) -> None:
    """A container writes the time of its own zone, and does not name it."""
    assert logfiles.offset(NOW, None if difference is None else NOW - difference) == shift


def test_a_log_that_is_not_there(tmp_path: Any) -> None:
    assert logfiles.read_health_log(str(tmp_path), 0.0).exists is False
