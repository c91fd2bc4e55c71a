# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine has and uses: processors, load, memory, and the file systems that jobs write to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.disk import file_system, mounts


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
