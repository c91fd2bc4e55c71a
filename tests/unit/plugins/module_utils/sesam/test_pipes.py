# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipes as a node tells of them: what is with each, and that what is not told is not well."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.pipes import STATES, Limits, is_left_out, pipe_of, queue_of, read_pipes
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.times import ago, moment

NOW = 1769904000.0
LIMITS = Limits(running=3600.0, overdue=600.0)


def at(seconds: float) -> str:
    """So long after now."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW + seconds))


WELL: dict[str, Any] = {
    "is-running": False,
    "is-disabled": False,
    "is-valid-config": True,
    "success": True,
    "last-run": at(-60),
    "next-run": at(60),
    "queues": {"source": 3},
    "state": "Deployed",
}


def item(**changes: Any) -> dict[str, Any]:
    """A pipe that is well but for these; names with underscores stand for hyphens, and ``...`` takes a key away."""
    runtime = {**WELL, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return {"_id": "crm", "runtime": {name: value for name, value in runtime.items() if value is not ...}}


@pytest.mark.parametrize(
    ("changes", "state", "reasons"),
    [
        ({}, "ok", ()),
        ({"last_run": None}, "idle", ()),
        ({"success": ..., "last_run": ..., "next_run": ...}, "idle", ()),
        ({"success": ...}, "unknown", ("unknown",)),
        ({"success": None}, "unknown", ("unknown",)),
        ({"success": "true"}, "unknown", ("unknown",)),
        ({"is_running": ...}, "unknown", ("unknown",)),
        ({"is_valid_config": ...}, "unknown", ("unknown",)),
        ({"success": False}, "failed", ("failed",)),
        ({"success": False, "is_disabled": True}, "failed", ("failed", "disabled")),
        ({"success": False, "is_running": True}, "failed", ("failed", "running")),
        ({"is_valid_config": False}, "invalid", ("invalid",)),
        ({"config_errors": [{"level": "error", "msg": "no such system"}]}, "invalid", ("invalid",)),
        ({"config_errors": [{"level": "warning", "msg": "old"}]}, "ok", ()),
        ({"config_errors": "none"}, "ok", ()),
        ({"is_disabled": True}, "disabled", ("disabled",)),
        ({"is_disabled": ...}, "ok", ()),
        ({"is_running": True}, "running", ("running",)),
        ({"is_running": True, "success": ...}, "running", ("running",)),
        ({"is_running": True, "last_run": at(-3599)}, "running", ("running",)),
        ({"is_running": True, "last_run": at(-3601)}, "running_long", ("running_long", "running")),
        ({"is_running": True, "last_run": ...}, "running", ("running",)),
        ({"next_run": at(-599)}, "ok", ()),
        ({"next_run": at(-601)}, "overdue", ("overdue",)),
        ({"next_run": at(-601), "is_running": True}, "running", ("running",)),
        ({"next_run": at(-601), "is_disabled": True}, "disabled", ("disabled",)),
        ({"next_run": None, "last_run": at(-1e6)}, "ok", ()),
        ({"state": "Deploying"}, "deploying", ("deploying",)),
        ({"state": "Removing", "success": False}, "failed", ("failed", "removing")),
        ({"state": ...}, "ok", ()),
    ],
)
def test_states(changes: dict[str, Any], state: str, reasons: tuple[str, ...]) -> None:
    found = pipe_of(item(**changes), NOW, LIMITS)
    assert (found.state, found.reasons) == (state, reasons)


@pytest.mark.parametrize("extra", [{}, {"runtime": None}, {"runtime": []}, {"runtime": {}}, {"config": {"original": {}}}])
def test_a_pipe_that_tells_nothing(extra: dict[str, Any]) -> None:
    assert pipe_of({"_id": "crm", **extra}, NOW, LIMITS).state == "unknown"


@pytest.mark.parametrize(
    ("cached", "age"),
    [({"age": 3600, "timestamp": at(-1)}, 3600.0), ({"timestamp": at(-90)}, 90.0), ({"age": None}, None), (True, None), ({"age": "long"}, None)],
)
def test_an_old_answer_is_unknown_however_well_it_sounds(cached: Any, age: float | None) -> None:
    found = pipe_of({**item(), "cached_response_info": cached}, NOW, LIMITS)
    assert (found.state, found.success, found.cached_age) == ("unknown", True, age)


@pytest.mark.parametrize(
    ("queues", "waiting"),
    [
        ({"source": 12}, 12),
        ({"source": 0}, 0),
        ({"source": {"a": 1, "b": 2}}, 3),
        ({"source": {"a": 1, "b": None}}, None),
        ({"source": {}}, None),
        ({"source": None}, None),
        ({"source": "12"}, None),
        ({"source": True}, None),
        ({"dependencies": 4}, None),
        (None, None),
        ([], None),
    ],
)
def test_a_queue_that_is_not_known_is_not_empty(queues: Any, waiting: int | None) -> None:
    assert queue_of(queues) == waiting


def test_messages_are_those_of_pipes_in_trouble_and_cleaned() -> None:
    told = {"last_message": "The pump failed", "last_original_error_message": "refused by secret"}
    found = pipe_of(item(success=False, **told), NOW, LIMITS, lambda text: text.replace("secret", "*"))
    assert found.message == "refused by *"
    assert pipe_of(item(**told), NOW, LIMITS).message == ""
    assert len(pipe_of(item(success=False, last_message="x" * 9000), NOW, LIMITS).message) == 300
    assert pipe_of(item(success=False, last_message={"a": 1}), NOW, LIMITS).message == ""


def test_the_worst_come_first_and_no_more_than_are_wanted() -> None:
    kinds = [{}, {"success": False}, {"is_disabled": True}, {"is_valid_config": False}]
    rows = [{**item(**kinds[number % 4]), "_id": "p%03d" % number} for number in range(200)]
    found = read_pipes(rows, NOW, LIMITS, 60)
    assert found.total == 200
    assert {state: count for state, count in found.states.items() if count} == {"invalid": 50, "failed": 50, "disabled": 50, "ok": 50}
    assert set(found.states) == set(STATES)
    assert [pipe.state for pipe in found.listed] == ["invalid"] * 50 + ["failed"] * 10
    assert (found.queued, found.queues_unknown, found.scheduled) == (600, 0, 200)
    assert found.names["failed"] == ["p%03d" % number for number in range(1, 80, 4)]
    assert read_pipes(rows, NOW, LIMITS, 0).listed == []


@pytest.mark.parametrize("strange", [None, 1, [], {}, {"_id": 7}])
def test_what_is_no_pipe_is_counted_as_that(strange: Any) -> None:
    found = read_pipes([item(), strange], NOW, LIMITS, 10)
    assert (found.total, found.strange) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "config", "left_out"),
    [
        ({}, {"effective": {"pump": {"mode": "scheduled"}}}, True),
        ({}, {"original": {"pump": {"mode": "scheduled"}}}, True),
        ({}, {"effective": {"pump": {"mode": "manual"}}, "original": {"pump": {"mode": "scheduled"}}}, False),
        ({}, {"effective": {"pump": {"mode": "off"}}}, False),
        ({}, {"effective": {}}, False),
        ({}, None, False),
        ({"is_disabled": True}, {"effective": {"pump": {"mode": "scheduled"}}}, False),
        ({"is_disabled": ...}, {"effective": {"pump": {"mode": "scheduled"}}}, False),
        ({"is_running": True}, {"effective": {"pump": {"mode": "scheduled"}}}, False),
        ({"state": "Deploying"}, {"effective": {"pump": {"mode": "scheduled"}}}, False),
        ({"next_run": ...}, {"effective": {"pump": {"mode": "scheduled"}}}, False),
        ({"next_run": at(60)}, {"effective": {"pump": {"mode": "scheduled"}}}, False),
    ],
)
def test_a_pipe_that_should_be_due(changes: dict[str, Any], config: Any, left_out: bool) -> None:
    assert is_left_out({**item(**{"next_run": None, **changes}), "config": config}) is left_out


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-02-01T00:00:00Z", NOW),
        ("2026-02-01T00:00:00.250Z", NOW + 0.25),
        ("2026-02-01T00:00:00.123456789Z", NOW + 0.123456789),
        ("2026-02-01T00:00:00", NOW),
        ("2026-02-01 00:00:00", NOW),
        ("2026-02-01T01:30:00+01:30", NOW),
        ("2026-01-31T23:00:00-0100", NOW),
        ("~t2026-02-01T00:00:00Z", NOW),
        (NOW, NOW),
        (NOW * 1000, NOW),
        (None, None),
        ("", None),
        ("never", None),
        (True, None),
        (0, None),
        (-1, None),
        ("2026-13-01T00:00:00Z", None),
        ({}, None),
    ],
)
def test_times(text: Any, seconds: float | None) -> None:
    assert moment(text) == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


@pytest.mark.parametrize(("seconds", "text"), [(-5, "0 s"), (59.9, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200000, "2 d")])
def test_lengths_of_time(seconds: float, text: str) -> None:
    assert ago(seconds) == text
