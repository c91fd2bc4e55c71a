# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of calls and of runs, as `pstats` and as `calltree`."""

from __future__ import annotations

import cProfile
import marshal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

KINDS = {"pstats": "pstat", "calltree": "calltree"}  # header value -> file name
_one = threading.Lock()  # some Pythons profile one thread at a time


def profiled(call: Callable[[], Any]) -> tuple[Any, dict[Any, Any]]:
    """What a call returned, and what it spent its time on."""
    with _one:
        profile = cProfile.Profile()
        value = profile.runcall(call)
        profile.create_stats()
        return value, profile.stats


def packed(stats: dict[Any, Any], kind: str) -> bytes:
    """The file."""
    return marshal.dumps(stats) if kind == "pstats" else calltree(stats)


def calltree(stats: dict[Any, Any]) -> bytes:
    """Callgrind's format, as KCachegrind reads it."""
    lines = ["version: 1", "creator: lake", "events: Nanoseconds", ""]
    for (file, line, name), (_primitive, calls, own, _total, callers) in stats.items():
        lines += [f"fl={file}", f"fn={name}", f"{max(line, 0)} {int(own * 1e9)}"]
        lines += [f"# called {calls} times from {caller[2]}" for caller in callers]
        lines.append("")
    return "\n".join(lines).encode()


def stamp(moment: float) -> str:
    """As in the names of files."""
    return time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e6):06d}"


def leave(folder: Path, name: str, moment: float, stats: dict[Any, Any]) -> list[Path]:
    """Both files of a profile."""
    folder.mkdir(exist_ok=True)
    made = []
    for kind, ending in KINDS.items():
        made.append(folder / f"{quote(name, safe='')}-{stamp(moment)}.{ending}")
        made[-1].write_bytes(packed(stats, kind))
    return made
