# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last query of a log, as cohortextractor and ehrQL write it, with Docker's times and without."""

from __future__ import annotations

import calendar
import time

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.query import Query, entries, last_query
from hypothesis import given
from hypothesis import strategies as st


def at(text: str) -> float:
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S")))


COHORT = """2026-01-31 10:00:00 [info     ] cohortextractor-stats          [cohortextractor.tpp] state=started timing=start timing_id=6
2026-01-31 10:00:00 [info     ] cohortextractor-stats          [cohortextractor.tpp] sql=SELECT 1 timing_id=6
2026-01-31 10:00:05 [info     ] cohortextractor-stats          [cohortextractor.tpp] state=ok timing=stop timing_id=6
2026-01-31 10:00:05 [info     ] cohortextractor-stats          [cohortextractor.tpp] state=started timing=start timing_id=7
2026-01-31 10:00:05 [info     ] cohortextractor-stats          [cohortextractor.tpp] sql=-- a comment
SELECT patient_id
FROM t timing_id=7""".splitlines()

EHRQL = """[info   ] Running query 001 / 003
[info   ] SQL:
          SELECT * INTO #tmp
          FROM x
[info   ] 12 scans  Patient
[info   ] timings: cpu_sec=0.10 query_id=query 001 / 003
[info   ] Finished running query 001 / 003 (duration=0.20)


[info   ] Fetching results from query 002 / 003
[info   ] SQL:
          SELECT 2""".splitlines()


def test_cohortextractor_waits() -> None:
    assert last_query(COHORT) == Query("cohortextractor", "timing_id 7", at("2026-01-31 10:00:05"), True, "-- a comment\nSELECT patient_id\nFROM t")


def test_cohortextractor_got_its_answer() -> None:
    stop = "2026-01-31 10:30:00 [info     ] cohortextractor-stats [x] state=ok timing=stop timing_id=7"
    found = last_query([*COHORT, stop])
    assert found is not None
    assert (found.name, found.running, found.issued) == ("timing_id 7", False, at("2026-01-31 10:00:05"))
    other = stop.replace("timing_id=7", "timing_id=77")
    found = last_query([*COHORT, other])
    assert found is not None
    assert found.running


def test_colours_are_no_part_of_it() -> None:
    coloured = [f"\x1b[2m{line[:19]}\x1b[0m{line[19:]}" if line.startswith("2026") else line for line in COHORT]
    assert last_query(coloured) == last_query(COHORT)


def test_ehrql_waits() -> None:
    timed = [f"2026-02-01T08:00:{n:02d}.5Z {line}" for n, line in enumerate(EHRQL)]
    assert last_query(timed) == Query("ehrql", "query 002 / 003", at("2026-02-01 08:00:10") + 0.5, True, "SELECT 2")


def test_ehrql_without_times() -> None:
    found = last_query(EHRQL)
    assert found is not None
    assert (found.issued, found.name) == (None, "query 002 / 003")


@pytest.mark.parametrize("end", ["[info   ] Finished running query 001 / 003 (duration=1.00)", "[info   ] timings: exec_sec=1 query_id=query 001 / 003"])
def test_ehrql_got_its_answer(end: str) -> None:
    found = last_query([*EHRQL[:4], end])
    assert found is not None
    assert (found.running, found.statement) == (False, "SELECT * INTO #tmp\nFROM x")


def test_dockers_time_counts_before_the_programs() -> None:
    timed = [f"2026-02-01T09:00:00Z {line}" for line in COHORT]
    found = last_query(timed)
    assert found is not None
    assert found.issued == at("2026-02-01 09:00:00")


@pytest.mark.parametrize("lines", [[], ["starting"], ["2022-01-01 what is this"], ["Traceback (most recent call last):", "  File x"]])
def test_no_query(lines: list[str]) -> None:
    assert last_query(lines) is None


@given(st.lists(st.text(max_size=80), max_size=40))
def test_any_log_can_be_read(lines: list[str]) -> None:
    last_query(lines)
    assert len(entries(lines)) <= len(lines)
