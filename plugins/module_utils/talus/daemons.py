# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons master and slave: processes of exactly their argv, what they are connected to, and what they were told at their start."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ..connect.procfs import Pattern, Process, age, contained, processes, started_at
from .connections import Connection, connections_of, interface_there, is_local
from .containers import Held, environment_of, in_environment

_PYTHON = r"(?:\S*/)?python[0-9.]*"
_MASTER = Pattern(title=_PYTHON + r" -m master \S+")
_SLAVE = Pattern(title=_PYTHON + r" -m slave \S+ \S+ \S+")
_WORDS = {"master": 4, "slave": 6}
"""The title is words with spaces between them, which words may hold themselves."""
BRIDGE = "virbr2"
"""What slaves listen on for their guests; without it they do not start."""
_PAUSE = 0.1


@dataclass(frozen=True)
class Daemon:
    """One process. ``connections`` is None where they may not be seen; ``held`` are the addresses that it was started with."""

    kind: str
    process: Process
    age: float
    started: float
    connections: Optional[Tuple[Connection, ...]] = ()
    held: Tuple[Held, ...] = ()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def interface(self) -> str:
        return self.process.argv[-1]

    @property
    def broker(self) -> Optional[str]:
        """Host of the broker, which slaves are told by argv."""
        return self.process.argv[3] if self.kind == "slave" else None

    @property
    def max_vms(self) -> Optional[int]:
        return int(self.process.argv[4]) if self.kind == "slave" and self.process.argv[4].isdigit() else None


@dataclass(frozen=True)
class Vagrant:
    """A ``vagrant up``, and the master below which it runs; None where that master has ended."""

    process: Process
    age: float
    master: Optional[int]


@dataclass(frozen=True)
class Daemons:
    """All of one look. ``restarted`` are kinds whose process was seen to be replaced by another one."""

    found: Tuple[Daemon, ...] = ()
    vagrants: Tuple[Vagrant, ...] = ()
    restarted: Tuple[str, ...] = ()
    hidden: bool = False
    """/proc shows this user only their own processes: absence proves nothing."""
    interfaces: Dict[str, bool] = field(default_factory=dict)
    """Whether each network interface that a daemon is started with, and the slaves' bridge, is there."""

    def of(self, kind: str) -> List[Daemon]:
        return [each for each in self.found if each.kind == kind]


def kind_of(process: Process) -> Optional[str]:
    """master, slave, or None. Shells, sudo and start_raw, which have the same words behind others, are neither."""
    for kind, pattern in (("master", _MASTER), ("slave", _SLAVE)):
        if pattern.matches(process) and len(process.argv) == _WORDS[kind]:
            return kind
    return None


def is_vagrant_up(process: Process) -> bool:
    """``vagrant up``, also as ruby's script."""
    words = [os.path.basename(word) for word in process.argv[:8]]
    return any(pair == ("vagrant", "up") for pair in zip(words, words[1:]))


def read_daemons(hidden: bool, root: str = "/proc") -> Daemons:
    """Processes of this host; those in containers are none of it."""
    every = list(processes(root))
    daemons = [daemon_of(process, root) for process in every if kind_of(process) and not contained(process, root)]
    masters = {daemon.pid for daemon in daemons if daemon.kind == "master"}
    vagrants = [Vagrant(process, age(process), _ancestor(process.pid, masters, root)) for process in every if is_vagrant_up(process)]
    roots = [each for each in vagrants if not _parent_in(each.process.pid, {other.process.pid for other in vagrants}, root)]
    interfaces = {name: interface_there(name) for name in {BRIDGE, *(daemon.interface for daemon in daemons)}}
    return Daemons(tuple(sorted(daemons, key=lambda each: each.started)), tuple(roots), (), hidden, interfaces)


def daemon_of(process: Process, root: str = "/proc") -> Daemon:
    kind = str(kind_of(process))
    connections = connections_of(process, root)
    held = [replace(each, local=bool(each.address) and is_local(each.address)) for each in in_environment(kind, environment_of(process.pid, root))]
    return Daemon(kind, process, age(process), started_at(process), None if connections is None else tuple(connections), tuple(held))


def replaced(before: Sequence[Daemon], kinds: Sequence[str], seconds: float, root: str = "/proc") -> List[str]:
    """Kinds of which one process ends and another one comes up within some seconds: something starts them again and again."""
    lives = {kind: {(each.pid, each.process.start) for each in before if each.kind == kind} for kind in kinds}
    deadline = time.monotonic() + seconds
    found: List[str] = []
    while len(found) < len(kinds) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        now: Dict[str, Set[Tuple[int, int]]] = {kind: set() for kind in kinds}
        for process in processes(root):
            kind = kind_of(process)
            if kind in now and not contained(process, root):
                now[kind].add((process.pid, process.start))
        for kind in kinds:
            if kind not in found and lives[kind] - now[kind] and now[kind] - lives[kind]:
                found.append(kind)
            lives[kind] |= now[kind]
    return found


def _ancestor(pid: int, masters: Set[int], root: str) -> Optional[int]:
    """The master above a process; processes whose parent has ended have none."""
    for _generation in range(64):
        fields = _stat(pid, root)
        if len(fields) < 2:
            return None
        pid = int(fields[1])
        if pid in masters:
            return pid
    return None


def _parent_in(pid: int, others: Set[int], root: str) -> bool:
    fields = _stat(pid, root)
    return len(fields) > 1 and int(fields[1]) in others


def _stat(pid: int, root: str) -> List[str]:
    """What the kernel tells of a process after its name: its state, its parent ..."""
    try:
        with open("%s/%d/stat" % (root, pid), "rb") as file:
            return re.split(r"\s+", file.read().rpartition(b")")[2].decode("ascii").strip())
    except OSError:
        return []
