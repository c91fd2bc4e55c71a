# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as a node writes them."""

from __future__ import annotations

import calendar
import re
import time
from typing import Any, Optional

_TIME = re.compile(r"(?:~t)?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?")
_MILLISECONDS = 1e11
"""What is larger is no number of seconds since 1970."""


def moment(value: Any) -> Optional[float]:
    """Seconds since 1970, from a text (UTC where no zone is named) or a number; None for what is no time."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return float(value) / (1000 if value > _MILLISECONDS else 1) if value > 0 else None
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    try:
        seconds = calendar.timegm(time.strptime("%s %s" % found.group(1, 2), "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return None
    zone = found.group(4)
    if zone and zone != "Z":
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        seconds += (-60 if zone[0] == "+" else 60) * minutes
    return seconds + float(found.group(3) or 0)


def ago(seconds: float) -> str:
    """A length of time, for a person."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return "%d %s" % (seconds // size, name)
    return "%d s" % max(0, seconds)
