# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes and shares as people write them, and as they read them."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

_UNITS = "KMGTP"
_SIZE = re.compile(r"([0-9]{1,30}(?:\.[0-9]+)?)\s*(?:([%s])(?:i?B)?|B)?" % _UNITS, re.IGNORECASE)
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


class Amount(NamedTuple):
    """A size, or a share of something."""

    text: str
    size: float = 0.0
    share: Optional[float] = None

    def of(self, whole: float) -> float:
        return self.size if self.share is None else self.share * whole


def parse_size(text: str) -> Optional[int]:
    """Bytes; None where the text is no size."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        return None
    power = _UNITS.index(match.group(2).upper()) + 1 if match.group(2) else 0
    return int(float(match.group(1)) * 1024**power)


def parse_amount(text: str) -> Optional[Amount]:
    """A share such as 10% or a size; None where the text is neither."""
    match = _SHARE.fullmatch(text.strip())
    if match:
        return Amount(text, share=float(match.group(1)) / 100) if float(match.group(1)) <= 100 else None
    size = parse_size(text)
    return None if size is None else Amount(text, float(size))


def show_size(size: float) -> str:
    """As df -h has it."""
    unit = ""
    for unit in ("", *_UNITS):
        if abs(size) < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return "%.0f%s" % (size, unit) if not unit or size >= 10 else "%.1f%s" % (size, unit)


def show_age(seconds: float) -> str:
    """In the unit that a person would choose."""
    for name, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return "%.0f %s" % (seconds / length, name)
    return "%.0f s" % seconds if seconds >= 10 else "%.1f s" % seconds


def number(count: int, one: str, several: str = "") -> str:
    """So many of a thing."""
    return "%d %s" % (count, one if count == 1 else several or one + "s")
