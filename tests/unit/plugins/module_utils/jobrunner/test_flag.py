# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags: values that upstream reads, what is written and what is not, and time stamps that end its thread."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.errors import JobRunnerError
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.flag import FlagState, checked, diagnose, is_paused, plan

STAMP = 1706745599.25


def state(**rows: Any) -> FlagState:
    return FlagState({name: {"id": name, "value": value, "timestamp": stamp} for name, (value, stamp) in rows.items()})


@pytest.mark.step("O22")
@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("paused", "true", "true"),
        ("paused", "True", "true"),
        ("paused", "TRUE", "true"),
        ("paused", None, None),
        ("paused", "", None),
        ("mode", "db-maintenance", "db-maintenance"),
        ("mode", None, None),
        ("manual-db-maintenance", "on", "on"),
    ],
)
def test_what_upstream_reads_is_written(name: str, value: str | None, written: str | None) -> None:
    assert checked(name, value, False) == written


@pytest.mark.step("O22")
@pytest.mark.parametrize("value", ["1", "yes", "on", "paused", "false", "False", " true", "true\n"])
def test_what_would_not_pause_is_refused(value: str) -> None:
    with pytest.raises(JobRunnerError, match="value: true, and null to clear"):
        checked("paused", value, False)


@pytest.mark.parametrize(("name", "value"), [("mode", "maintenance"), ("manual-db-maintenance", "true"), ("mode", "DB-MAINTENANCE")])
def test_other_flags_take_what_upstream_compares_with(name: str, value: str) -> None:
    with pytest.raises(JobRunnerError, match="would not count as set"):
        checked(name, value, False)


def test_an_unknown_flag_is_refused_unless_allowed() -> None:
    with pytest.raises(JobRunnerError, match="upstream reads no flag 'pause'; it reads manual-db-maintenance, mode, paused"):
        checked("pause", "true", False)
    assert checked("pause", "x", True) == "x"
    for name in ("", "a=b", "a\n"):
        with pytest.raises(JobRunnerError, match="upstream reads no flag"):
            checked(name, "x", True)


@pytest.mark.parametrize(
    ("rows", "value", "before"),
    [
        ({}, "true", None),
        ({}, None, None),
        ({"paused": (None, STAMP)}, "true", {"id": "paused", "value": None, "timestamp": STAMP}),
        ({"paused": ("True", STAMP)}, None, {"id": "paused", "value": "True", "timestamp": STAMP}),
        ({"paused": ("1", 7)}, "true", {"id": "paused", "value": "1", "timestamp": 7}),
    ],
)
def test_a_flag_is_set(rows: dict[str, Any], value: str | None, before: Any) -> None:
    (change,) = plan(state(**rows), "paused", value)
    assert (change.action, change.subject, change.before) == ("set", "flag:paused", before)
    assert change.after == {"id": "paused", "value": value}
    assert change.reversible


@pytest.mark.parametrize("value", ["true", None])
def test_the_same_value_is_not_written_again(value: str | None) -> None:
    assert plan(state(paused=(value, STAMP)), "paused", value) == []


@pytest.mark.parametrize("stamp", ["2026-01-31 23:59:59", None])
def test_an_unreadable_stamp_is_told_and_mended_although_the_value_is_right(stamp: Any) -> None:
    seen = state(paused=("true", stamp), mode=(None, "2026-01-31 00:00:00"))
    (change,) = plan(seen, "paused", "true")
    assert not change.reversible
    found = {finding.subject: finding.severity for finding in diagnose(seen, "paused") if finding.code == "jobrunner.flag.unreadable"}
    assert found == {"paused": "critical", "mode": "critical"}


@pytest.mark.parametrize(("value", "paused"), [("true", True), ("TRUE", True), ("1", False), ("on", False), (None, False)])
def test_paused_is_read_as_upstream_reads_it(value: str | None, paused: bool) -> None:
    seen = state(paused=(value, STAMP))
    assert is_paused(seen.flags) is paused
    assert [finding.code for finding in diagnose(seen, "paused")] == ["jobrunner.flag.paused" if paused else "jobrunner.flag.clear"]


def test_a_flag_that_was_never_set_does_not_pause() -> None:
    assert not is_paused({})
    assert diagnose(state(), "mode")[0].summary == "flag mode is not set"
