# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows before and after upstream's three commands, for every state and code that it knows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.tables import CODES
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.transitions import KILLED, RESET, RETRIED, TOUCHED, killed, reset, retried

EVERY = [(state, code) for state, codes in CODES.items() for code in codes]
NOW = 1706745599.75
NANOSECONDS = int(NOW * 1e9)  # as upstream makes it, to the nearest 256
BEFORE = 1706740000000000000


def row(state: str, code: str, **columns: Any) -> dict[str, Any]:
    known = {"id": "a" * 16, "state": state, "status_code": code, "status_message": "as it was", "cancelled": 0, "updated_at": 1706740000}
    return {**known, "created_at": 1706730000, "started_at": 1706730001, "completed_at": None, "status_code_updated_at": BEFORE, **columns}


@pytest.mark.step("O15")
@pytest.mark.parametrize(("state", "code"), EVERY)
def test_kill_fails_what_has_not_ended(state: str, code: str) -> None:
    columns = killed(row(state, code), NOW)
    if state in ("succeeded", "failed"):
        assert columns == {}
    else:
        assert columns == {
            "state": "failed",
            "status_code": "killed_by_admin",
            "status_message": "An OpenSAFELY admin manually killed this job",
            "completed_at": 1706745599,
            "updated_at": 1706745599,
            "status_code_updated_at": NANOSECONDS,
        }
        assert set(columns) == {*KILLED, TOUCHED}


@pytest.mark.step("O19")
@pytest.mark.parametrize(("state", "code"), EVERY)
def test_reboot_resets_what_runs(state: str, code: str) -> None:
    columns = reset(row(state, code), NOW)
    if state != "running":
        assert columns == {}
    else:
        assert columns == {
            "state": "pending",
            "status_code": "waiting_on_reboot",
            "status_message": "Job restarted - waiting for server to reboot",
            "started_at": None,
            "updated_at": 1706745599,
            "status_code_updated_at": NANOSECONDS,
        }
        assert set(columns) == {*RESET, TOUCHED}


@pytest.mark.step("O14")
@pytest.mark.parametrize(("state", "code"), EVERY)
def test_retry_keeps_when_it_started_and_when_its_code_changed(state: str, code: str) -> None:
    columns = retried(row(state, code, completed_at=1706740001), NOW)
    assert columns == {
        "state": "running",
        "status_code": "executing",
        "status_message": "Re-attempting to extract outputs",
        "completed_at": None,
        "updated_at": 1706745599,
    }
    assert set(columns) == {*RETRIED, TOUCHED}


def test_a_retry_of_a_retry_writes_nothing() -> None:
    again = row("running", "executing", status_message="Re-attempting to extract outputs")
    assert retried(again, NOW) == {}
    assert retried({**again, "completed_at": 1}, NOW) != {}


@pytest.mark.parametrize("transition", [killed, reset])
@pytest.mark.parametrize(
    ("before", "after", "seconds"),
    [
        (BEFORE, NANOSECONDS, 1706745599),
        (NANOSECONDS, NANOSECONDS, 1706745599),
        (NANOSECONDS + 5, NANOSECONDS + 1_000_005, 1706745599),
        (NANOSECONDS + 60 * 10**9, NANOSECONDS + 60 * 10**9 + 10**6, 1706745659),
        (None, NANOSECONDS, 1706745599),
    ],
)
def test_the_stamp_of_a_code_never_goes_back(transition: Any, before: Any, after: int, seconds: int) -> None:
    columns = transition(row("running", "executing", status_code_updated_at=before), NOW)
    assert columns["status_code_updated_at"] == after
    assert columns["updated_at"] == seconds
    assert columns.get("completed_at", seconds) == seconds
