# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenance windows: ``mon-fri 22:00-06:00``. By the clock on the wall, so that a change to or from summer time moves nothing."""

from __future__ import annotations

import datetime
import importlib
import re
import time
from typing import Callable, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from .errors import RunbookError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60
ONLY_INSIDE, NEVER_INSIDE = MEANINGS = ("only_inside", "never_inside")
_ACCEPTED = (
    "accepted is [DAYS ]HH:MM-HH:MM, with DAYS out of %s as mon, mon-fri or mon-wed+sat, every day where none is named, for instance 'mon-fri 22:00-06:00'; "
    "the whole day is 00:00-24:00" % ", ".join(DAYS)
)
_WINDOW = re.compile(r"(?:(\S+)\s+)?([0-9]{1,2}):([0-9]{2})\s*-\s*([0-9]{1,2}):([0-9]{2})")
_LOOKED_AHEAD = 8 * DAY

Clock = Callable[[float], Tuple[int, int]]
"""From seconds since the epoch to the day of the week (Monday is 0) and the minute of the day."""


class Window(NamedTuple):
    """From a minute of the days named to a minute of the same day, or of the next one where that comes first."""

    days: FrozenSet[int]
    start: int
    end: int

    def has(self, day: int, minute: int) -> bool:
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % 7 in self.days and minute < self.end)


def parse(text: str) -> Window:
    """One window; one error that says what is accepted."""
    match = _WINDOW.fullmatch(text.strip().lower())
    if match is None:
        raise _bad(text, "it is no window")
    hours, minutes = [int(match[n]) for n in (2, 4)], [int(match[n]) for n in (3, 5)]
    start, end = (60 * hour + minute for hour, minute in zip(hours, minutes))
    if max(minutes) > 59 or start >= DAY or end > DAY:
        raise _bad(text, "there is no such time of day")
    if start == end:
        raise _bad(text, "it begins when it ends")
    return Window(_days(text, match[1]), start, end)


def _days(text: str, named: Optional[str]) -> FrozenSet[int]:
    if named is None:
        return frozenset(range(7))
    found: List[int] = []
    for part in named.split("+"):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise _bad(text, "%r is no day of the week" % part)
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if dash else 0  # sat-mon goes over Sunday
        found += [(begin + n) % 7 for n in range(length + 1)]
    return frozenset(found)


def _bad(text: str, why: str) -> RunbookError:
    return RunbookError("windows: %r is not accepted: %s; %s" % (text, why, _ACCEPTED))


def clock_of(zone: str) -> Clock:
    """``UTC``, ``local`` for what the node itself has, or a name like ``Europe/London``."""
    if zone == "UTC":
        return lambda seconds: _read(time.gmtime(seconds))
    if zone == "local":
        return lambda seconds: _read(time.localtime(seconds))
    try:
        known = importlib.import_module("zoneinfo").ZoneInfo(zone)
    except ImportError:
        raise RunbookError("windows_timezone: %r needs Python 3.9 on the node; accepted without it are UTC and local" % zone) from None
    except (KeyError, ValueError, OSError):
        raise RunbookError("windows_timezone: this node knows no %r; accepted are UTC, local (the node's own) and names like Europe/London" % zone) from None
    return lambda seconds: _read(datetime.datetime.fromtimestamp(seconds, known).timetuple())


def _read(moment: time.struct_time) -> Tuple[int, int]:
    return moment.tm_wday, 60 * moment.tm_hour + moment.tm_min


def inside(windows: Sequence[Window], clock: Clock, now: float) -> bool:
    day, minute = clock(now)
    return any(window.has(day, minute) for window in windows)


def changes_at(windows: Sequence[Window], clock: Clock, now: float) -> Optional[float]:
    """When inside becomes outside, or the other way round: to the minute; nothing where it never does."""
    state = inside(windows, clock, now)
    first = int(now // 60 + 1)
    return next((60.0 * minute for minute in range(first, first + _LOOKED_AHEAD) if inside(windows, clock, 60.0 * minute) != state), None)


class Opening(NamedTuple):
    """What the windows say of one moment."""

    allowed: bool
    inside: bool
    until: Optional[float]

    def told(self) -> str:
        until = " until %s" % utc(self.until) if self.until is not None else ""
        return "it is %s the maintenance windows%s" % ("inside" if self.inside else "outside", until)


def opening(texts: Sequence[str], meaning: str, zone: str, now: float) -> Optional[Opening]:
    """Nothing where there are no windows."""
    windows, clock = [parse(text) for text in texts], clock_of(zone)
    if not windows:
        return None
    within = inside(windows, clock, now)
    return Opening(within == (meaning == ONLY_INSIDE), within, changes_at(windows, clock, now))


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
