# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Crontabs: the lines in them, commented out or not, and when a schedule was and will be due. Pure, but for the clock's time zone."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from typing import FrozenSet, Iterator, List, Optional, Set, Tuple

_NUMBER = re.compile(r"[0-9]{1,9}")
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_MONTHS = tuple(name.lower() for name in calendar.month_abbr)
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ASSIGNMENT = re.compile(r"\s*[\"']?([A-Za-z_][A-Za-z0-9_]*)[\"']?\s*=")
_DAYS_SEARCHED = 366


@dataclass(frozen=True)
class Schedule:
    """When a line is due: sets of minutes, hours, days of the month, months and days of the week (0 is Sunday)."""

    minutes: FrozenSet[int]
    hours: FrozenSet[int]
    days: FrozenSet[int]
    months: FrozenSet[int]
    weekdays: FrozenSet[int]
    either: bool
    """Day of the month or day of the week is enough, as cron has it where neither begins with a star."""

    def on(self, day: time.struct_time) -> bool:
        month_day, weekday = day.tm_mday in self.days, (day.tm_wday + 1) % 7 in self.weekdays
        return day.tm_mon in self.months and ((month_day or weekday) if self.either else (month_day and weekday))

    def last(self, now: float) -> Optional[float]:
        """The newest time up to ``now``."""
        return next((moment for day in range(_DAYS_SEARCHED) for moment in reversed(self._times(now, -day)) if moment <= now), None)

    def next(self, now: float) -> Optional[float]:
        """The first time after ``now``."""
        return next((moment for day in range(_DAYS_SEARCHED) for moment in self._times(now, day) if moment > now), None)

    def _times(self, now: float, offset: int) -> List[float]:
        today = time.localtime(now)
        day = time.localtime(time.mktime((today.tm_year, today.tm_mon, today.tm_mday + offset, 12, 0, 0, 0, 0, -1)))
        if not self.on(day):
            return []
        return sorted(
            time.mktime((day.tm_year, day.tm_mon, day.tm_mday, hour, minute, 0, 0, 0, -1)) for hour in sorted(self.hours) for minute in sorted(self.minutes)
        )


@dataclass(frozen=True)
class Line:
    """One line that runs, or would run, a command."""

    file: str
    number: int
    user: str
    schedule: str
    command: str
    active: bool
    other_zone: bool = False
    """A line before it (CRON_TZ) has it run by another time zone than the node's."""

    def when(self) -> Optional[Schedule]:
        """None for @reboot, for another time zone, and for what cron does not understand either."""
        return None if self.other_zone else parse_schedule(self.schedule)


def parse(text: str, file: str, user: Optional[str]) -> Iterator[Line]:
    """The lines of a crontab. ``user`` is its owner; None where each line names one."""
    other_zone = False
    for number, raw in enumerate(text.split("\n"), 1):
        stripped = raw.strip()
        active = not stripped.startswith("#")
        body = stripped.lstrip("# \t")
        assigned = _ASSIGNMENT.match(body)
        if assigned:
            other_zone = other_zone or (active and assigned.group(1) == "CRON_TZ")
            continue
        parts = _fields(body, user is None)
        if parts is not None:
            schedule, owner, command = parts
            yield Line(file, number, user or owner, schedule, command, active, other_zone)


def _fields(body: str, with_user: bool) -> Optional[Tuple[str, str, str]]:
    """Schedule, user and command; None for what is no such line, such as a comment in words."""
    count = 1 if body.startswith("@") else 5
    words = body.split(None, count + with_user)
    if len(words) <= count + with_user:
        return None
    schedule = " ".join(words[:count])
    if schedule != "@reboot" and parse_schedule(schedule) is None:
        return None
    return schedule, words[count] if with_user else "", words[-1].rstrip()


def parse_schedule(text: str) -> Optional[Schedule]:
    fields = _NICKNAMES.get(text.lower(), text).split()
    if len(fields) != len(_RANGES):
        return None
    sets: List[FrozenSet[int]] = []
    for field, (low, high), names in zip(fields, _RANGES, ((), (), (), _MONTHS, _DAYS)):
        values = _values(field, low, high, names)
        if values is None:
            return None
        sets.append(values)
    weekdays = frozenset(day % 7 for day in sets[4])
    return Schedule(sets[0], sets[1], sets[2], sets[3], weekdays, not (fields[2].startswith("*") or fields[4].startswith("*")))


def _values(field: str, low: int, high: int, names: Tuple[str, ...]) -> Optional[FrozenSet[int]]:
    """A list of numbers, ranges and steps; None when it is none."""
    found: Set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        if slash and not (_NUMBER.fullmatch(step) and int(step) > 0):
            return None
        first, dash, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            numbers = [_number(word, names) for word in ([first, last] if dash else [first])]
            if None in numbers:
                return None
            start = numbers[0] or 0
            end = (numbers[-1] or 0) if dash or not slash else high
        if not low <= start <= end <= high:
            return None
        found.update(range(start, end + 1, int(step) if slash else 1))
    return frozenset(found)


def _number(word: str, names: Tuple[str, ...]) -> Optional[int]:
    if _NUMBER.fullmatch(word):
        return int(word)
    return names.index(word.lower()) if word and word.lower() in names else None
