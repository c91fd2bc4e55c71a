# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two looks at a table mean, by tables."""

from __future__ import annotations

from typing import Any, Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.progress_verdict import (
    Look,
    ProgressState,
    Row,
    Wanted,
    diagnose,
    short_name,
    tables,
)

NOW = 1_769_760_000.0  # 2026-01-30T08:00:00Z


def row(rows: int | None, number: int = 1, name: str = "t", source: str = "sys.partitions") -> Row:
    return Row(name, "dbo", number, 60, rows, source)


def state(looks: Sequence[Sequence[Row]], expected: int | None = None, trouble: str = "", **wanted: Any) -> ProgressState:
    options: Any = {"name": "t", "database": "d", "schema": None, "prefix": False, "own": False, "count": False, "expected": expected, **wanted}
    return ProgressState(Wanted(**options), tuple(Look(10.0 * n, tuple(rows)) for n, rows in enumerate(looks)), trouble, NOW)


def codes(of: ProgressState) -> list[str]:
    return [finding.code.replace("jobrunner.table_progress.", "") for finding in diagnose(of)]


@pytest.mark.parametrize(
    ("looks", "expected", "code", "rate", "eta"),
    [
        ([[row(100)]], None, "seen", None, None),
        ([[row(100)]], 100, "complete", None, None),
        ([[row(100)], [row(100)]], None, "not_moving", 0.0, None),
        ([[row(100)], [row(100)]], 1000, "not_moving", 0.0, None),
        ([[row(100)], [row(200)]], None, "progressing", 10.0, None),
        ([[row(100)], [row(200)]], 1200, "progressing", 10.0, 100),
        ([[row(100)], [row(200)]], 200, "complete", 10.0, None),
        ([[row(100)], [row(200)]], 150, "complete", 10.0, None),
        ([[row(200)], [row(100)]], 1200, "shrinking", -10.0, None),
        ([[row(200)], [row(150)]], 150, "shrinking", -5.0, None),
        ([[row(None)], [row(None)]], 5, "no_estimate", None, None),
        ([[row(None)], [row(5)]], None, "seen", None, None),
        ([[row(100)], [row(90, source="count")]], None, "seen", None, None),
        ([[row(0)], [row(1)]], 10**17, "progressing", 0.1, None),
    ],
)
def test_status_rate_and_end(looks: Sequence[Sequence[Row]], expected: int | None, code: str, rate: float | None, eta: int | None) -> None:
    seen = state(looks, expected)
    assert codes(seen) == [code]
    (table,) = tables(seen)
    told = table.to_dict()
    assert (told["status"], told["rows_per_second"], told["eta_seconds"]) == (code, rate, eta)
    assert (told["eta"] is None) == (eta is None)
    if eta == 100:
        assert told["eta"] == "2026-01-30T08:01:40Z"
        assert diagnose(seen)[0].summary.endswith("16.7 % of 1200; at this rate it is done in 100 seconds, at 2026-01-30T08:01:40Z")


def test_tables_that_come_and_go() -> None:
    assert codes(state([[], []])) == ["missing"]
    assert codes(state([[row(5)], []])) == ["gone"]
    assert codes(state([[], [row(5)]])) == ["new"]
    again = state([[row(5, 1)], [row(2, 2)]], expected=10)
    assert codes(again) == ["new", "gone", "several"]
    assert [table.to_dict()["rows_per_second"] for table in tables(again)] == [None, None]
    assert "%" not in diagnose(again)[1].summary


def test_several_come_biggest_first_and_only_some_are_told() -> None:
    many = state([[row(n, n, "t%d" % n) for n in range(200)]], prefix=True)
    assert [table.row.rows for table in tables(many)][:3] == [199, 198, 197]
    told = diagnose(many)
    assert len(told) == 51
    assert (told[-1].severity, told[-1].detail["matched"], len(told[-1].detail["tables"])) == ("info", 200, 50)


def test_a_second_look_that_failed() -> None:
    assert codes(state([[row(5)]], trouble="it went away")) == ["seen", "interrupted"]


@pytest.mark.parametrize(
    ("asked", "prefix", "stored", "meant", "short"),
    [
        ("#t", False, "#t".ljust(116, "_") + "00000000002D", True, "#t"),
        ("#t_", False, "#t".ljust(116, "_") + "00000000002D", True, "#t_"),
        ("#t", False, "#t_x".ljust(116, "_") + "00000000002D", False, "#t_x"),
        ("#t", True, "#t_x".ljust(116, "_") + "00000000002D", True, "#t_x"),
        ("#t", False, "#t", False, None),
        ("#t", True, "#t1234567", False, None),
        ("#t", False, "#t".ljust(116, "_") + "00000000002G", False, None),
        ("#" + "x" * 115, False, "#" + "x" * 115 + "0000000000FF", True, "#" + "x" * 115),
    ],
)
def test_names_of_temporary_tables(asked: str, prefix: bool, stored: str, meant: bool, short: str | None) -> None:
    seen = state([[row(1, 1, stored)]], name=asked, database="tempdb", own=True, prefix=prefix)
    assert seen.wanted.is_meant(stored) is meant
    assert (short_name(stored)[1] != "") == (short is not None)
    if short is not None:
        assert tables(seen)[0].short == short
