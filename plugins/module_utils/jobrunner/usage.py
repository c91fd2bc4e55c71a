# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine has and uses: processors, load, memory, and the file systems that jobs write to."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.disk import file_system, mounts
from ..connect.docker import Usage


@dataclass(frozen=True)
class Machine:
    """Sizes in bytes. What the node does not tell is None."""

    cpus: Optional[int] = None
    load: Optional[Tuple[float, float, float]] = None
    memory_total: Optional[int] = None
    memory_available: Optional[int] = None
    swap_total: Optional[int] = None
    swap_free: Optional[int] = None

    def to_dict(self) -> Dict[str, Any]:
        return {
            "cpus": self.cpus,
            "load": list(self.load) if self.load else None,
            "memory_total": self.memory_total,
            "memory_available": self.memory_available,
            "swap_total": self.swap_total,
            "swap_free": self.swap_free,
        }


@dataclass(frozen=True)
class Disk:
    """One file system, with all of the places that lie on it. Shares are of what users other than root could have."""

    mount_point: str
    places: Mapping[str, str]
    size: int
    available: int
    share: float
    inodes_available: int
    inode_share: float
    read_only: bool

    def to_dict(self) -> Dict[str, Any]:
        return {
            "mount_point": self.mount_point,
            "places": dict(self.places),
            "size": self.size,
            "available": self.available,
            "available_percent": round(100 * self.share, 1),
            "inodes_available": self.inodes_available,
            "inodes_available_percent": round(100 * self.inode_share, 1),
            "read_only": self.read_only,
        }


def read_machine(root: str = "/proc") -> Machine:
    memory = _memory(root)
    return Machine(
        cpus=os.cpu_count(),
        load=_load(root),
        memory_total=memory.get("MemTotal"),
        memory_available=memory.get("MemAvailable"),
        swap_total=memory.get("SwapTotal"),
        swap_free=memory.get("SwapFree"),
    )


def read_disks(places: Sequence[Tuple[str, str]]) -> Tuple[List[Disk], Dict[str, str]]:
    """File systems of places, each once, and why a place could not be looked at."""
    table = mounts()
    found: Dict[int, Disk] = {}
    unread: Dict[str, str] = {}
    for what, path in places:
        try:
            seen = file_system(path, table)
        except OSError as exc:
            unread[what] = "%s: %s" % (path, exc.strerror)
            continue
        known = dict(found[seen.device].places) if seen.device in found else {}
        found[seen.device] = Disk(
            mount_point=seen.mount.mount_point or path,
            places=dict(known, **{what: path}),
            size=seen.size,
            available=seen.available,
            share=seen.share(),
            inodes_available=seen.inodes_available,
            inode_share=seen.inode_share(),
            read_only=seen.mount.read_only,
        )
    return list(found.values()), unread


def process_usage(containers: Mapping[str, str], interval: float = 1.0) -> Dict[str, Usage]:
    """What containers use, by the processes of their control groups: for engines that cannot measure, as where a group is not accounted for.

    ``containers`` gives ids by name. Memory that processes share is counted for each of them.
    """
    first, began = _used(containers), time.monotonic()
    if first:
        time.sleep(interval)
    second, seconds = _used(containers), time.monotonic() - began
    shared = set(first) & set(second)
    return {name: Usage(round(max(0.0, second[name][0] - first[name][0]) / seconds, 3), second[name][1], None) for name in shared}


def _used(containers: Mapping[str, str]) -> Dict[str, Tuple[float, int]]:
    """Processor time in seconds, with that of children that have ended, and memory in bytes."""
    found: Dict[str, Tuple[float, int]] = {}
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cgroup" % pid, encoding="ascii", errors="replace") as file:
                groups = file.read()
            name = next((name for name, container in containers.items() if container in groups), None)
            if name is None:
                continue
            with open("/proc/%s/stat" % pid, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        cpu, memory = found.get(name, (0.0, 0))
        found[name] = (cpu + sum(map(int, fields[11:15])) / tick, memory + int(fields[21]) * page)
    return found


def _memory(root: str) -> Dict[str, int]:
    try:
        with open(os.path.join(root, "meminfo"), encoding="ascii") as file:
            rows = [line.split() for line in file]
    except OSError:
        return {}
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) > 1 and row[1].isdigit()}


def _load(root: str) -> Optional[Tuple[float, float, float]]:
    try:
        with open(os.path.join(root, "loadavg"), encoding="ascii") as file:
            words = file.read().split()
        return float(words[0]), float(words[1]), float(words[2])
    except (OSError, ValueError, IndexError):
        return None
