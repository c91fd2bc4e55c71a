# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What costs nothing to know of a node: load, memory, swap, file handles."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..procedure.envelope import Finding
from .expect import Options, Said
from .sizes import Amount, show_size


class Vitals(NamedTuple):
    """What a node does not tell is None."""

    uptime: Optional[float] = None
    load: Optional[Tuple[float, float, float]] = None
    cpus: Optional[int] = None
    memory_total: Optional[int] = None
    memory_available: Optional[int] = None
    swap_total: Optional[int] = None
    swap_free: Optional[int] = None
    oom_kills: Optional[int] = None
    files_open: Optional[int] = None
    files_max: Optional[int] = None

    def to_dict(self) -> Dict[str, Any]:
        return dict(self._asdict(), load=list(self.load) if self.load else None)


class Limits(NamedTuple):
    """What is expected of them."""

    load_per_cpu: Optional[float] = None
    min_available_memory: Optional[Amount] = None
    max_oom_kills: Optional[int] = None

    @property
    def asked(self) -> int:
        return sum(limit is not None for limit in (self.load_per_cpu, self.min_available_memory, self.max_oom_kills))


def parse(params: Mapping[str, Any]) -> Limits:
    options = Options("options", params)
    return Limits(options.number("load_per_cpu"), options.amount("min_available_memory"), options.whole("max_oom_kills"))


def look(root: str = "/proc") -> Vitals:
    memory = _numbers("%s/meminfo" % root)
    files = _words("%s/sys/fs/file-nr" % root)
    load = _words("%s/loadavg" % root)
    kills = _numbers("%s/vmstat" % root).get("oom_kill")
    return Vitals(
        round(time.clock_gettime(time.CLOCK_BOOTTIME), 1),
        (float(load[0]), float(load[1]), float(load[2])) if len(load) > 2 else None,
        os.cpu_count(),
        _bytes(memory, "MemTotal"),
        _bytes(memory, "MemAvailable"),
        _bytes(memory, "SwapTotal"),
        _bytes(memory, "SwapFree"),
        kills,
        int(files[0]) if len(files) > 2 else None,
        int(files[2]) if len(files) > 2 else None,
    )


def _words(path: str) -> List[str]:
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        return file.read().split()
    return []


def _numbers(path: str) -> Dict[str, int]:
    """Lines of a name, perhaps a colon, and a number."""
    found = {}
    with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            words = line.split()
            if len(words) > 1 and words[1].isdigit():
                found[words[0].rstrip(":")] = int(words[1])
    return found


def _bytes(memory: Mapping[str, int], name: str) -> Optional[int]:
    return memory[name] * 1024 if name in memory else None


def judge(limits: Limits, seen: Vitals) -> List[Finding]:
    found: List[Finding] = []
    load, memory = Said("load", "node.load", "node"), Said("memory", "node.memory", "node")
    if limits.load_per_cpu is not None:
        if seen.load is None or not seen.cpus:
            found.append(load.unknown("the kernel does not tell it"))
        elif seen.load[1] > limits.load_per_cpu * seen.cpus:
            text = "%.1f in the last 5 minutes on %d processors, and at most %g for each is right" % (seen.load[1], seen.cpus, limits.load_per_cpu)
            found.append(load.bad("high", "warning", text, load=list(seen.load), cpus=seen.cpus))
    wanted = limits.min_available_memory
    if wanted is not None:
        if seen.memory_available is None or seen.memory_total is None:
            found.append(memory.unknown("the kernel does not tell what is available"))
        elif seen.memory_available < wanted.of(seen.memory_total):
            text = "%s of %s available, and %s is wanted" % (show_size(seen.memory_available), show_size(seen.memory_total), wanted.text.strip())
            found.append(memory.bad("low", "warning", text, available=seen.memory_available, total=seen.memory_total))
    if limits.max_oom_kills is not None:
        if seen.oom_kills is None:
            found.append(memory.unknown("the kernel does not count the processes that it kills for want of it"))
        elif seen.oom_kills > limits.max_oom_kills:
            text = "the kernel has killed %d processes for want of it since the node was started" % seen.oom_kills
            found.append(memory.bad("oom_kills", "warning", text, oom_kills=seen.oom_kills))
    return found
