# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What upstream's commands make of a row of ``job``. Pure: a row and the time in, the columns to write out; nothing out means no write.

Source: job-runner af5b785a, ``run.py`` (``set_code``) and ``cli/``. Coarse times are whole seconds, ``status_code_updated_at`` is nanoseconds.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from .tables import ACTIVE, MESSAGES

Row = Mapping[str, Any]
Columns = Dict[str, Any]

TOUCHED = "updated_at"
"""Written with every change, and once a minute by the main loop of itself: no part of an image, or no plan would hold for a minute."""
CLAMP = 1_000_000
"""Nanoseconds by which a change follows the one before it where the clock says that it came first."""

KILLED = ("state", "status_code", "status_message", "completed_at", "status_code_updated_at")
RETRIED = ("state", "status_code", "status_message", "completed_at")
RESET = ("state", "status_code", "status_message", "started_at", "status_code_updated_at")
"""Columns that each transition writes, apart from ``updated_at``."""


def killed(row: Row, now: float) -> Columns:
    """``kill_job``: pending and running jobs fail; what has ended stays as it ended."""
    if row["state"] not in ACTIVE:
        return {}
    seconds, nanoseconds = _stamps(row, now)
    return {
        "state": "failed",
        "status_code": "killed_by_admin",
        "status_message": MESSAGES["killed_by_admin"],
        "completed_at": seconds,
        "status_code_updated_at": nanoseconds,
        TOUCHED: seconds,
    }


def retried(row: Row, now: float) -> Columns:
    """``retry_job``: whatever it was, it is executing again. When it started and when its code changed stay as they were."""
    wanted = {"state": "running", "status_code": "executing", "status_message": MESSAGES["retried"], "completed_at": None}
    return {} if all(row[name] == value for name, value in wanted.items()) else dict(wanted, **{TOUCHED: int(now)})


def reset(row: Row, now: float) -> Columns:
    """``prepare_for_reboot``: a running job waits for the reboot, as if it had never started."""
    if row["state"] != "running":
        return {}
    seconds, nanoseconds = _stamps(row, now)
    return {
        "state": "pending",
        "status_code": "waiting_on_reboot",
        "status_message": MESSAGES["waiting_on_reboot"],
        "started_at": None,
        "status_code_updated_at": nanoseconds,
        TOUCHED: seconds,
    }


def _stamps(row: Row, now: float) -> Tuple[int, int]:
    nanoseconds = int(now * 1e9)
    before = row["status_code_updated_at"]
    if isinstance(before, int) and before > nanoseconds:
        nanoseconds = before + CLAMP
        return nanoseconds // 10**9, nanoseconds
    return int(now), nanoseconds
