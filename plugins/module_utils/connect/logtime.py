# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The times that lines of logs begin with, by the names of the formats."""

from __future__ import annotations

import calendar
import re
import time
from typing import Dict, Match, Optional, Tuple

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_YEAR = rb"(?P<year>[0-9]{4})"
_MONTH = rb"(?P<month>0[1-9]|1[0-2])"
_NAMED = rb"(?P<month>%s)" % b"|".join(_MONTHS)
_DAY = rb"(?P<day>0[1-9]|[12][0-9]|3[01])"
_DAY_OR_BLANK = rb"(?P<day>[ 0]?[1-9]|[12][0-9]|3[01])"
_CLOCK = rb"(?P<hour>[01][0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
_FRACTION = rb"(?P<fraction>[0-9]{1,9})"
_ZONE = rb"(?P<zone>[+-][0-9]{2}:?[0-9]{2})"

FORMATS: Dict[str, bytes] = {
    "python": _YEAR + b"-" + _MONTH + b"-" + _DAY + b" " + _CLOCK + b"," + _FRACTION,
    "iso": _YEAR + b"-" + _MONTH + b"-" + _DAY + b"[T ]" + _CLOCK + b"(?:[.,]" + _FRACTION + b")?(?:(?P<utc>Z)|" + _ZONE + b")?",
    "apache_error": rb"\[(?:[A-Z][a-z]{2} )?" + _NAMED + b" " + _DAY_OR_BLANK + b" " + _CLOCK + rb"(?:\." + _FRACTION + b")? " + _YEAR + rb"\]",
    "apache_access": rb"[^\n\[]{0,300}\[" + _DAY + b"/" + _NAMED + b"/" + _YEAR + b":" + _CLOCK + b" " + _ZONE + rb"\]",
    "nginx_error": _YEAR + b"/" + _MONTH + b"/" + _DAY + b" " + _CLOCK,
    "uwsgi": rb"[^\n]{0,600}?\[[A-Z][a-z]{2} " + _NAMED + b" " + _DAY_OR_BLANK + b" " + _CLOCK + b" " + _YEAR + rb"\]",
    "syslog": _NAMED + b" " + _DAY_OR_BLANK + b" " + _CLOCK,
}
"""``python`` is what its logging writes: 2026-01-31 13:36:00,123. ``syslog`` has no year: the one is taken that is not in the future."""

_REMEMBERED = 4096


class Clock:
    """Reads the times of one format. Times without a zone are this node's local time."""

    def __init__(self, name: str, now: Optional[float] = None) -> None:
        if name not in FORMATS:
            raise ValueError("there is no time format %s; there are %s" % (name, ", ".join(FORMATS)))
        self._pattern = re.compile(FORMATS[name])
        self._now = time.time() if now is None else now
        self._minutes: Dict[Tuple[Optional[bytes], ...], Optional[float]] = {}

    def at(self, data: bytes, position: int = 0) -> Optional[float]:
        """The time of the line that begins at a position, in seconds since 1970; None where it has none."""
        found = self._pattern.match(data, position)
        if not found:
            return None
        fields = found.groupdict()
        minute = self._minute(found, fields)
        if minute is None:
            return None
        fraction = fields.get("fraction")
        return minute + int(fields["second"] or b"0") + (int(fraction) / 10 ** len(fraction) if fraction else 0.0)

    def has(self, data: bytes, position: int) -> bool:
        """Whether the line that begins at a position has a time."""
        return self.at(data, position) is not None

    def first(self, data: bytes, lines: int) -> Optional[float]:
        """The time of the first among some lines that has one."""
        position = 0
        for _number in range(lines):
            found = self.at(data, position)
            position = data.find(b"\n", position) + 1
            if found is not None or not position:
                return found
        return None

    def _minute(self, found: Match[bytes], fields: Dict[str, Optional[bytes]]) -> Optional[float]:
        """Lines of the same minute follow each other; the calendar is asked once."""
        key = tuple(fields.get(name) for name in ("year", "month", "day", "hour", "minute", "zone", "utc"))
        if key not in self._minutes:
            if len(self._minutes) >= _REMEMBERED:
                self._minutes.clear()
            self._minutes[key] = self._epoch(*key)
        return self._minutes[key]

    def _epoch(
        self,
        year: Optional[bytes],
        month: Optional[bytes],
        day: Optional[bytes],
        hour: Optional[bytes],
        minute: Optional[bytes],
        zone: Optional[bytes],
        utc: Optional[bytes],
    ) -> Optional[float]:
        number = _MONTHS.index(month) + 1 if month in _MONTHS else int(month or 0)
        rest = (number, int(day or 0), int(hour or 0), int(minute or 0), 0, 0, 0, -1)
        try:
            if zone:
                shift = (int(zone[1:3]) * 60 + int(zone[-2:])) * 60
                return calendar.timegm((int(year or 0), *rest)) - (shift if zone.startswith(b"+") else -shift)
            if utc:
                return float(calendar.timegm((int(year or 0), *rest)))
            if year:
                return time.mktime((int(year), *rest))
            this_year = time.localtime(self._now).tm_year
            guess = time.mktime((this_year, *rest))
            return guess if guess <= self._now + 86400 else time.mktime((this_year - 1, *rest))
        except (ValueError, OverflowError):
            return None
