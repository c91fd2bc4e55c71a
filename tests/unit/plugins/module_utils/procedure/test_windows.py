# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows: what is accepted, when it is inside, when that changes, and what a change to summer time moves."""

from __future__ import annotations

import calendar
import os
import time
from typing import Iterator

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import RunbookError
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.windows import (
    DAYS,
    changes_at,
    clock_of,
    inside,
    opening,
    parse,
    utc,
)
from hypothesis import given
from hypothesis import strategies as st

UTC = clock_of("UTC")


def at(text: str) -> float:
    """2026-02-02 is a Monday."""
    return float(calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M")))


NIGHT = "mon-fri 22:00-06:00"


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        (NIGHT, "2026-02-02 22:00", True),
        (NIGHT, "2026-02-02 21:59", False),
        (NIGHT, "2026-02-02 05:59", False),  # the night of Sunday
        (NIGHT, "2026-02-03 05:59", True),
        (NIGHT, "2026-02-03 06:00", False),
        (NIGHT, "2026-02-07 05:59", True),  # the night of Friday ends on Saturday
        (NIGHT, "2026-02-07 22:00", False),
        ("sun 23:00-01:00", "2026-02-09 00:30", True),
        ("sun 23:00-01:00", "2026-02-08 00:30", False),
        ("sat-mon 09:00-10:00", "2026-02-08 09:30", True),
        ("sat-mon 09:00-10:00", "2026-02-02 09:30", True),
        ("sat-mon 09:00-10:00", "2026-02-03 09:30", False),
        ("mon+wed-thu 09:00-10:00", "2026-02-05 09:30", True),
        ("mon+wed-thu 09:00-10:00", "2026-02-03 09:30", False),
        ("02:00-04:00", "2026-02-04 03:00", True),
        ("00:00-24:00", "2026-02-04 23:59", True),
        ("  SAT   20:00 - 24:00 ", "2026-02-07 23:59", True),
        ("SAT 20:00-24:00", "2026-02-08 00:00", False),
        ("tue 6:00-7:30", "2026-02-03 07:29", True),
    ],
)
def test_inside(window: str, moment: str, expected: bool) -> None:
    assert inside([parse(window)], UTC, at(moment)) is expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no window"),
        ("mon", "it is no window"),
        ("mon-fri", "it is no window"),
        ("22:00", "it is no window"),
        ("mon 22-06", "it is no window"),
        ("mon 22:00-06:00 UTC", "it is no window"),
        ("mon 24:00-06:00", "no such time of day"),
        ("mon 22:00-24:01", "no such time of day"),
        ("mon 22:60-23:00", "no such time of day"),
        ("mon 22:00-22:00", "it begins when it ends"),
        ("monday 22:00-23:00", "'monday' is no day of the week"),
        ("mon-fry 22:00-23:00", "'mon-fry' is no day of the week"),
        ("mon- 22:00-23:00", "'mon-' is no day of the week"),
        ("mon,tue 22:00-23:00", "'mon,tue' is no day of the week"),
        ("mon++tue 22:00-23:00", "'' is no day of the week"),
        ("mon 22:00-\u0662\u0663:00", "it is no window"),
    ],
)
def test_bad_ones_say_what_is_accepted(text: str, why: str) -> None:
    with pytest.raises(RunbookError) as refused:
        parse(text)
    assert str(refused.value).startswith("windows: %r is not accepted: " % text)
    assert why in str(refused.value)
    assert "accepted is [DAYS ]HH:MM-HH:MM" in str(refused.value)
    assert "'mon-fri 22:00-06:00'" in str(refused.value)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "utc+1"])
def test_bad_zones_say_what_is_accepted(zone: str) -> None:
    with pytest.raises(RunbookError, match="accepted are UTC, local"):
        clock_of(zone)


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        (NIGHT, "2026-02-02 12:34", "2026-02-02T22:00:00Z"),
        (NIGHT, "2026-02-02 23:00", "2026-02-03T06:00:00Z"),
        (NIGHT, "2026-02-07 12:00", "2026-02-09T22:00:00Z"),
        ("00:00-24:00", "2026-02-07 12:00", None),
        ("mon 00:00-00:01", "2026-02-02 00:01", "2026-02-09T00:00:00Z"),
    ],
)
def test_when_it_changes(window: str, moment: str, expected: str | None) -> None:
    found = changes_at([parse(window)], UTC, at(moment))
    assert (None if found is None else utc(found)) == expected


# -- summer time, by the clock on the wall ----------------------------------------------------------------------------


@pytest.fixture
def berlin() -> Iterator[None]:
    """The node's own zone, without a database of zones."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize("zone", ["local", "Europe/Berlin"])
@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        ("22:00-06:00", "2026-03-29 03:59", True),  # 05:59 by the new time, seven hours after it began
        ("22:00-06:00", "2026-03-29 04:00", False),
        ("22:00-06:00", "2026-10-25 04:59", True),  # 05:59 again by the old time, nine hours after it began
        ("22:00-06:00", "2026-10-25 05:00", False),
        ("02:00-03:00", "2026-03-29 01:00", False),  # this hour does not exist that night
        ("02:00-03:00", "2026-10-25 00:30", True),  # and this one comes twice
        ("02:00-03:00", "2026-10-25 01:30", True),
        ("02:00-03:00", "2026-10-25 02:00", False),
        ("sun 00:00-01:00", "2026-03-28 23:30", True),
    ],
)
def test_summer_time(zone: str, window: str, moment: str, expected: bool) -> None:
    assert inside([parse(window)], clock_of(zone), at(moment)) is expected


@pytest.mark.usefixtures("berlin")
def test_the_night_that_is_an_hour_shorter_ends_in_time() -> None:
    found = changes_at([parse("22:00-06:00")], clock_of("local"), at("2026-03-28 22:00"))
    assert found is not None
    assert utc(found) == "2026-03-29T04:00:00Z"


# -- together ---------------------------------------------------------------------------------------------------------


def test_what_they_mean() -> None:
    night, day = at("2026-02-02 23:00"), at("2026-02-02 12:00")
    assert opening([], "only_inside", "UTC", day) is None
    for moment, within in ((night, True), (day, False)):
        for meaning, allowed in (("only_inside", within), ("never_inside", not within)):
            found = opening(["sun 01:00-02:00", NIGHT], meaning, "UTC", moment)
            assert found is not None
            assert (found.allowed, found.inside) == (allowed, within)
    told = opening([NIGHT], "only_inside", "UTC", day)
    assert told is not None
    assert told.told() == "it is outside the maintenance windows until 2026-02-02T22:00:00Z"


MINUTES = st.integers(0, 24 * 60 - 1)


@given(st.sets(st.sampled_from(DAYS), min_size=1), MINUTES, st.integers(1, 24 * 60 - 1), st.integers(0, 7 * 24 * 60 - 1))
def test_a_window_is_as_long_as_it_says(days: set[str], start: int, length: int, minute: int) -> None:
    """Of a week, it is open as many minutes as its days have, unless one runs into the next."""
    end = (start + length) % (24 * 60)
    window = parse("%s %02d:%02d-%02d:%02d" % ("+".join(sorted(days)), start // 60, start % 60, (end or 1440) // 60, (end or 1440) % 60))
    monday = at("2026-02-02 00:00")
    opens = {(DAYS.index(day) * 1440 + start + n) % (7 * 1440) for day in days for n in range(length)}
    assert inside([window], UTC, monday + 60.0 * minute) == (minute in opens)
