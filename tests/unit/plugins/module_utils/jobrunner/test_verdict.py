# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a backend, by tables: the service, its loop, rows against containers, flags, disks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import info_state
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.info_state import BackendState, Engine, Limits, Tables, facts, healthy
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.objects import Container, Objects
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.service import ServiceState, line_of, service_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.tables import CODES, Layout
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.usage import Disk, Machine
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.verdict import diagnose

NOW = 1769904000.0
UP = ServiceState("jobrunner.service", True, "active", "running", "enabled", "simple", "success", None, 42, 90000.0, 0, 60.0)
GOOD = Disk("/srv", {"high privacy files": "/srv"}, 100, 50, 0.5, 50, 0.5, False)
JOB = "ab2cd3ef4gh5ij6k"


def row(state: str = "running", code: str = "executing", **columns: Any) -> dict[str, Any]:
    known = {"id": JOB, "state": state, "status_code": code, "action": "a", "workspace": "w", "status_message": "", "cancelled": 0}
    return {**known, "started_at": NOW - 100, "updated_at": NOW - 10, "status_code_updated_at": (NOW - 90) * 1e9, "completed_at": None, **columns}


def container(state: str = "running", job: str = JOB) -> Container:
    return Container("c" * 64, f"os-job-{job}", state, "", {}, "i", 0)


def made(rows: list[dict[str, Any]], objects: Mapping[str, Objects], flags: Mapping[str, Any] | None = None, **parts: Any) -> BackendState:
    active = [each for each in rows if each["state"] in ("pending", "running")]
    others = {each["id"]: each for each in rows if each not in active}
    counts = [{"state": each["state"], "status_code": each["status_code"], "jobs": 1} for each in rows]
    tables = Tables(Layout(3, ()), "delete", counts, active, flags or {}, others)
    state = BackendState(NOW, UP, None, tables, Engine("20", "/var/lib/docker", objects), Machine(2, None, 100, 50), [GOOD])
    return replace(state, **parts)


def codes(state: BackendState, **limits: float) -> dict[str, str]:
    return {finding.code.removeprefix("jobrunner."): finding.severity for finding in diagnose(state, Limits(**limits))}


def service(**parts: Any) -> dict[str, str]:
    rows = [row(updated_at=NOW - parts.pop("beat", 10))]
    return codes(made(rows, {JOB: Objects(JOB, container())}, service=replace(UP, **parts)))


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ({}, {"ok": "ok"}),
        ({"restarts": 3}, {"ok": "ok", "service.restarted": "info"}),
        ({"restarts": 3, "age": 30.0}, {"service.restart_loop": "critical"}),
        ({"restarts": 1, "age": 179.0}, {"service.restart_loop": "critical"}),
        ({"restarts": 1, "age": 181.0}, {"ok": "ok", "service.restarted": "info"}),
        ({"restarts": 0, "age": 3.0}, {"ok": "ok"}),  # somebody has just started it
        ({"active": "activating", "sub": "auto-restart", "main_pid": None, "restarts": 9}, {"service.restart_loop": "critical"}),
        ({"active": "inactive", "sub": "dead", "main_pid": None}, {"service.stopped": "critical"}),
        ({"active": "failed", "sub": "failed", "main_pid": None, "result": "start-limit-hit"}, {"service.failed": "critical"}),
        ({"type": "oneshot", "active": "inactive", "main_pid": None}, {"service.later_layout": "critical"}),
        ({"known": False}, {"service.not_found": "critical"}),
        ({"enabled": "disabled"}, {"service.disabled": "warning"}),
        ({"reload_needed": True}, {"service.reload_needed": "warning"}),
        ({"beat": 301}, {"service.loop_stuck": "critical"}),
        ({"beat": 299}, {"ok": "ok"}),
        ({"beat": 4000, "age": 100.0}, {"ok": "ok"}),  # it may not have come round yet
        ({"beat": 4000, "active": "inactive", "sub": "dead", "main_pid": None}, {"service.stopped": "critical"}),
    ],
)
def test_the_service(parts: dict[str, Any], wanted: dict[str, str]) -> None:
    assert service(**parts) == wanted


@pytest.mark.parametrize(
    ("one", "objects", "wanted"),
    [
        (row(), Objects(JOB, container()), {"ok": "ok"}),
        (row(code="preparing"), Objects(JOB, volume="v"), {"ok": "ok"}),
        (row(code="executing"), Objects(JOB, volume="v"), {"jobs.without_container": "warning"}),
        (row(code="executed"), Objects(JOB), {"jobs.without_container": "warning"}),
        (row("pending", "waiting_on_reboot", started_at=None), Objects(JOB), {"reboot.waiting": "warning"}),
        (row("pending", "waiting_on_reboot", started_at=None), Objects(JOB, volume="v"), {"reboot.unfinished": "critical"}),
        (row("pending", "waiting_on_reboot"), Objects(JOB, directory="/v"), {"reboot.unfinished": "critical"}),
        (row("pending", "created"), Objects(JOB, container("exited")), {"leftover.pending": "warning"}),
        (row("failed", "internal_error", completed_at=NOW - 500), Objects(JOB, container("exited")), {"ok": "ok", "leftover.retryable": "info"}),
        (row("failed", "internal_error", completed_at=NOW - 500), Objects(JOB, volume="v"), {"leftover.ended": "warning"}),
        (row("failed", "killed_by_admin", completed_at=NOW - 500), Objects(JOB, container("exited")), {"ok": "ok", "leftover.killed": "info"}),
        (row("succeeded", "succeeded", completed_at=NOW - 500), Objects(JOB, volume="v"), {"leftover.ended": "warning"}),
        (row("succeeded", "succeeded", completed_at=NOW - 20), Objects(JOB, volume="v"), {"ok": "ok"}),
        (row("failed", "cancelled_by_user", completed_at=None), Objects(JOB, volume="v"), {"leftover.ended": "warning"}),
        (row("running", "what"), Objects(JOB, container()), {"jobs.unknown_code": "critical"}),
        (row("pending", "executing"), Objects(JOB), {"jobs.unknown_code": "critical"}),
    ],
)
def test_rows_against_docker(one: dict[str, Any], objects: Objects, wanted: dict[str, str]) -> None:
    assert codes(made([one], {JOB: objects} if objects.any else {})) == wanted


@pytest.mark.parametrize(("ended", "late"), [(NOW - 601, True), (NOW - 599, False), (None, False)])
def test_results_that_are_not_filed_away(ended: float | None, late: bool) -> None:
    engine = Engine("20", "/x", {JOB: Objects(JOB, container("exited"))}, ended={JOB: ended})
    assert ("jobs.not_finalised" in codes(made([row(code="executed")], {}, engine=engine))) is late


def test_objects_that_no_row_knows() -> None:
    assert codes(made([], {JOB: Objects(JOB, volume="v")})) == {"leftover.unknown": "warning"}


@pytest.mark.parametrize("state", list(CODES))
def test_every_word_that_upstream_knows_is_known(state: str) -> None:
    for code in CODES[state]:
        assert "jobs.unknown_code" not in codes(made([row(state, code, completed_at=NOW)], {}))


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ({"value": "true", "timestamp": 1.5}, {"flag.paused": "warning"}),
        ({"value": "TRUE", "timestamp": 1.5}, {"flag.paused": "warning"}),
        ({"value": None, "timestamp": 1.5}, {"ok": "ok"}),
        ({"value": "false", "timestamp": 1.5}, {"ok": "ok"}),
        ({"value": "on", "timestamp": 1.5}, {"flag.not_paused": "warning"}),
        ({"value": "1", "timestamp": None}, {"flag.not_paused": "warning"}),
        ({"value": None, "timestamp": "2026-01-31 10:00:00"}, {"flag.text_timestamp": "critical"}),
    ],
)
def test_flags(flag: dict[str, Any], wanted: dict[str, str]) -> None:
    assert codes(made([], {}, {"paused": flag})) == wanted


@pytest.mark.parametrize(
    ("disk", "wanted"),
    [
        (replace(GOOD, share=0.09), {"disk.space": "warning"}),
        (replace(GOOD, share=0.02), {"disk.space": "critical"}),
        (replace(GOOD, inode_share=0.01), {"disk.inodes": "critical"}),
        (replace(GOOD, read_only=True), {"disk.read_only": "critical"}),
    ],
)
def test_disks(disk: Disk, wanted: dict[str, str]) -> None:
    assert codes(made([], {}, disks=[disk])) == wanted


def test_memory() -> None:
    assert codes(made([], {}, machine=Machine(memory_total=100, memory_available=4))) == {"memory": "warning"}


def test_parts_that_are_missing() -> None:
    state = made([], {}, tables=None, engine=None, service=None, missing={"database": "x", "docker": "y", "service": "z"})
    assert codes(state) == {"database.unreadable": "critical", "docker.away": "critical", "service.unknown": "warning"}
    assert codes(replace(state, layout_refused=True))["layout.unsupported"] == "critical"
    told = facts(state, Limits())
    assert (told["service"], told["jobs"], told["docker"], told["paused"]) == (None, None, None, None)


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        ({}, True),
        ({"restarts": 3}, True),
        ({"age": 9.0}, False),
        ({"age": 11.0}, True),
        ({"restarts": 1, "age": 11.0}, False),
        ({"main_pid": None, "active": "inactive"}, False),
        ({"type": "oneshot"}, False),
    ],
)
def test_healthy_is_more_than_active(parts: dict[str, Any], wanted: bool) -> None:
    good = made([row()], {JOB: Objects(JOB, container())}, service=replace(UP, **parts))
    assert healthy(good, Limits()) is wanted
    assert not healthy(replace(good, tables=None), Limits())
    assert not healthy(replace(good, engine=None), Limits())


def test_what_a_reboot_left_to_do() -> None:
    waiting = made([row("pending", "waiting_on_reboot")], {})
    assert not healthy(waiting, Limits())
    assert codes(waiting) == {"reboot.waiting": "warning"}
    young = replace(waiting, service=replace(UP, age=30.0))
    assert codes(young) == {"ok": "ok"}
    assert not healthy(made([row(updated_at=NOW - 4000)], {}), Limits())


def test_a_heartbeat_is_the_newest_of_all_active_jobs() -> None:
    rows = [row(updated_at=NOW - 5000), row("pending", "created", id="x" * 16, updated_at=NOW - 7)]
    assert made(rows, {}).heartbeat() == 7
    assert made([], {}).heartbeat() is None


def test_every_remedy_names_a_playbook_with_a_name_of_this_system() -> None:
    assert info_state.DEBUG == "os-debug-"
    found = diagnose(made([row("pending", "waiting_on_reboot")], {JOB: Objects(JOB, volume="v")}, {"paused": {"value": "true", "timestamp": 1.0}}), Limits())
    assert {finding.remedy.playbook for finding in found if finding.remedy and finding.remedy.playbook} == {
        "fieldops.runbooks.jobrunner_prepare_for_reboot",
        "fieldops.runbooks.jobrunner_pause",
    }


# -- systemd's words ------------------------------------------------------------------------------------------------------------


def test_properties_of_the_unit() -> None:
    block = {
        "LoadState": "loaded",
        "Id": "jobrunner.service",
        "ActiveState": "activating",
        "SubState": "auto-restart",
        "MainPID": "0",
        "NRestarts": "17",
        "Result": "exit-code",
        "ExecMainCode": "1",
        "ExecMainStatus": "1",
        "RestartUSec": "1min",
        "Type": "simple",
        "ExecStart": "{ path=/usr/bin/python3 ; argv[]=/usr/bin/python3 -m jobrunner.service ; }",
        "WorkingDirectory": "/home/opensafely/jobrunner/code",
        "NeedDaemonReload": "no",
    }
    seen = service_of("jobrunner", block)
    assert (seen.waiting, seen.up, seen.compose, seen.restarts, seen.restart_delay, seen.exit_code) == (True, False, False, 17, 60.0, 1)
    assert seen.looping()
    assert service_of("jobrunner", {"LoadState": "not-found"}).known is False
    assert service_of("jobrunner", {**block, "Type": "oneshot"}).compose
    assert service_of("jobrunner", {**block, "RestartUSec": "infinity"}).restart_delay is None


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ('{"__REALTIME_TIMESTAMP": "1000000", "MESSAGE": "one"}', "one"),
        ('{"__REALTIME_TIMESTAMP": "1000000", "MESSAGE": [99, 97, 102, 233]}', "caf\\xe9"),
        ('{"__REALTIME_TIMESTAMP": "1000000", "MESSAGE": null}', ""),
        ('{"__REALTIME_TIMESTAMP": "x"}', None),
        ("no json", None),
        ("[]", None),
    ],
)
def test_lines_of_the_journal(record: str, text: str | None) -> None:
    line = line_of(record)
    assert (None if line is None else (line.time, line.text)) == (None if text is None else (1.0, text))
