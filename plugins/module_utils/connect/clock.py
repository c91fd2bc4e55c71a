# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's own time zone, as PostgreSQL's ``AT TIME ZONE`` takes it."""

from __future__ import annotations

import os
import time
from typing import Optional


def local_timezone(localtime: str = "/etc/localtime", override: Optional[str] = None) -> str:
    """An IANA name where the node tells one (summer time included), else today's fixed offset in POSIX form."""
    name = override or os.environ.get("TZ", "").lstrip(":")
    if name and not name.startswith("/"):
        return name
    try:
        target = os.path.realpath(name or localtime)
    except OSError:
        target = ""
    if "/zoneinfo/" in target:
        return target.rpartition("/zoneinfo/")[2]
    west = -time.localtime().tm_gmtoff
    return "LOC%s%02d:%02d" % ("-" if west < 0 else "+", abs(west) // 3600, abs(west) % 3600 // 60)
