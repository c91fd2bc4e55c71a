# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strace writes. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence

_ROW = re.compile(r"\s*[\d.]+\s+(?P<seconds>[\d.]+)\s+\d+\s+(?P<calls>\d+)\s+(?:(?P<errors>\d+)\s+)?(?P<name>[a-z_]\w*)\s*$")
_LINE = re.compile(r"(?:\[pid\s+(?P<pid>\d+)\]\s+)?(?P<call>[a-z_]\w*\(.*)$")
_OPEN = re.compile(r"<(?:unfinished|detached) \.\.\.>\s*$|<unfinished \.\.\.$|<detached \.\.\.$")


@dataclass(frozen=True)
class Syscall:
    """One kind of system call: how many, how many failed, and how long they took in all."""

    name: str
    calls: int
    errors: int
    seconds: float


def summary(lines: Sequence[str]) -> List[Syscall]:
    """The tables at the end, the longest first. strace writes one for each kind of binary."""
    rows = [row for row in map(_ROW.match, lines) if row and row.group("name") != "total"]
    found = [Syscall(row.group("name"), int(row.group("calls")), int(row.group("errors") or 0), float(row.group("seconds"))) for row in rows]
    return sorted(found, key=lambda call: (-call.seconds, call.name))


def blocked(lines: Sequence[str]) -> List[Mapping[str, Any]]:
    """The calls that processes were in when strace let go of them."""
    found: Dict[int, str] = {}
    for line in lines:
        match = _LINE.match(line.strip())
        if match is None:
            continue
        pid = int(match.group("pid") or 0)
        if _OPEN.search(line):
            found[pid] = _OPEN.sub("", match.group("call")).strip()
        else:
            found.pop(pid, None)
    return [{"pid": pid or None, "call": call} for pid, call in sorted(found.items())]
