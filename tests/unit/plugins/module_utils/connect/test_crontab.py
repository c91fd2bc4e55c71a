# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Crontabs: which lines are lines, and when they are due."""

from __future__ import annotations

import os
import time
from typing import Any, Iterator

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.crontab import parse, parse_schedule
from hypothesis import given, settings
from hypothesis import strategies as st

CRONTAB = """SHELL=/bin/bash
MAILTO=somebody@example.org
# Notifications
0 8 * * *  python3 /opt/x.py --demon
#0 9 * * * python3 /opt/x.py --check
 # 5 4 * * sun weekly
@daily /opt/daily
@reboot /opt/boot

* * * * *
61 * * * * never
not a line at all
#
# At 5 in the morning: 5 things
*/15 0-6/2 1,15 jan,Feb mon-fri ranges
"""


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_lines_of_a_user() -> None:
    lines = list(parse(CRONTAB, "f", "fitsdata"))
    assert [(line.number, line.schedule, line.command, line.active) for line in lines] == [
        (4, "0 8 * * *", "python3 /opt/x.py --demon", True),
        (5, "0 9 * * *", "python3 /opt/x.py --check", False),
        (6, "5 4 * * sun", "weekly", False),
        (7, "@daily", "/opt/daily", True),
        (8, "@reboot", "/opt/boot", True),
        (15, "*/15 0-6/2 1,15 jan,Feb mon-fri", "ranges", True),
    ]
    assert {line.user for line in lines} == {"fitsdata"}


def test_lines_of_the_system_name_their_user() -> None:
    lines = list(parse("0 8 * * * root python3 x\n@daily fitsdata y z\n0 8 * * * root\nCRON_TZ=UTC\n0 9 * * * root w\n", "f", None))
    assert [(line.user, line.command, line.other_zone) for line in lines] == [("root", "python3 x", False), ("fitsdata", "y z", False), ("root", "w", True)]
    assert lines[2].when() is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "5-1 * * * *",
        "a * * * *",
        "1, * * * *",
        "@reboot",
        "-1 * * * *",
        "1-2-3 * * * *",
    ],
)
def test_what_is_no_schedule(text: str) -> None:
    assert parse_schedule(text) is None


def at(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


@pytest.mark.parametrize(
    ("schedule", "last", "following"),
    [
        ("0 8 * * *", "2026-03-01 08:00", "2026-03-02 08:00"),
        ("0 13 * * *", "2026-02-28 13:00", "2026-03-01 13:00"),
        ("30 12 * * *", "2026-03-01 12:30", "2026-03-02 12:30"),
        ("0 8 * * Tue", "2026-02-24 08:00", "2026-03-03 08:00"),
        ("0 8 * * 7", "2026-03-01 08:00", "2026-03-08 08:00"),
        ("0 0 29 2 *", None, None),
        ("0 0 1 * mon", "2026-03-01 00:00", "2026-03-02 00:00"),
        ("0 0 */2 * mon", "2026-02-23 00:00", "2026-03-09 00:00"),
        ("@hourly", "2026-03-01 12:00", "2026-03-01 13:00"),
        ("@yearly", "2026-01-01 00:00", "2027-01-01 00:00"),
        ("* * * * *", "2026-03-01 12:30", "2026-03-01 12:31"),
    ],
)
def test_when(schedule: str, last: Any, following: Any) -> None:
    """A Sunday, at half past twelve."""
    now, found = at("2026-03-01 12:30"), parse_schedule(schedule)
    assert found is not None
    assert found.last(now) == (last and at(last))
    assert found.next(now) == (following and at(following))


FIELDS = [st.sampled_from(["*", "5", "*/7", "10-20", "1,30,59"]), st.sampled_from(["*", "8", "*/5", "0-3"]), st.sampled_from(["*", "1", "*/9", "10-12"])]
FIELDS += [st.sampled_from(["*", "2", "*/5"]), st.sampled_from(["*", "0", "1-5", "sat"])]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _fits(text: str, value: int) -> bool:
    """Read anew, for the few forms that are used here."""
    if text.startswith("*/"):
        step = int(text[2:])
        return (value - (1 if step == 9 else 0)) % step == 0  # days of the month are counted from 1
    if "-" in text:
        low, high = text.split("-")
        return int(low) <= value <= int(high)
    return text == "*" or value in [6 if part == "sat" else int(part) for part in text.split(",")]


@settings(max_examples=60, deadline=None)
@given(st.tuples(*FIELDS), st.integers(0, 10**9))
def test_every_minute_before_was_none(fields: list[str], seconds: int) -> None:
    """Looked for minute by minute, two days back."""
    found = parse_schedule(" ".join(fields))
    assert found is not None
    now = 1.5e9 + seconds
    month = {"*/5": lambda value: value in (1, 6, 11)}.get(fields[3], lambda value: _fits(fields[3], value))
    last = None
    for back in range(2 * 1440):
        moment = (now // 60 - back) * 60
        t = time.gmtime(moment)
        monthday, weekday = _fits(fields[2], t.tm_mday), _fits(fields[4], (t.tm_wday + 1) % 7)
        day = (monthday or weekday) if fields[2][0] != "*" and fields[4][0] != "*" else (monthday and weekday)
        if day and month(t.tm_mon) and _fits(fields[1], t.tm_hour) and _fits(fields[0], t.tm_min):
            last = moment
            break
    if last is not None:
        assert found.last(now) == last
    else:
        before = found.last(now)
        assert before is None or before <= now - 2 * 86400 + 60
