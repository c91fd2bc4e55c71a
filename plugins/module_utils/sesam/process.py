# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a node in its container, and what it does with signals.

The container's first process need not be it: a shell that never gives way, or one that still hands the folders to their owner, would be ended
by a signal that the node itself takes for a question.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence

from ..connect.procfs import Pattern, Process, processes, read_process, started_at
from .container import PROGRAM, Container, ContainerError

_NODE = Pattern(program=PROGRAM)
_START_SLACK = 30.0
"""Seconds between what the engine and the kernel call the start of a first process."""


@dataclass(frozen=True)
class NodeProcess:
    """The node's process. The sets of signals are those of the kernel: bit n is signal n + 1."""

    process: Process
    first: bool
    """It is the container's first process."""
    state: str = ""
    """The kernel's letter: R, S, D, T, ..."""
    caught: int = 0
    ignored: int = 0
    blocked: int = 0
    pending: int = 0
    threads: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def handles_sigusr1(self) -> bool:
        """Proof that SIGUSR1 does not end it: it has a handler of its own for that."""
        return self.catches(signal.SIGUSR1)

    def catches(self, signum: int) -> bool:
        return bool(self.caught & _bit(signum))

    def holds_back(self, signum: int) -> bool:
        """It was sent, and has not been taken yet."""
        return bool(self.pending & _bit(signum))


def _bit(signum: int) -> int:
    return 1 << (signum - 1)


def node_process(container: Container, root: str = "/proc") -> NodeProcess:
    """The process of the node among those of its container; an error says what runs there instead."""
    first = first_process(container, root)
    family = descendants(first, root)
    found = topmost(family, root)
    if not found:
        raise ContainerError(
            "none of the %d processes of container %s is %s; its first one is %s: it may still be about to start"
            % (len(family), container.name, PROGRAM, _told(first))
        )
    if len(found) > 1:
        raise ContainerError("several processes of container %s are %s: %s" % (container.name, PROGRAM, ", ".join(_told(each) for each in found)))
    return look(found[0], found[0].pid == first.pid, root)


def look(process: Process, first: bool, root: str = "/proc") -> NodeProcess:
    """What a process does with signals, now."""
    status = status_of(process.pid, root)
    again = read_process(process.pid, root)
    if again is None or again.start != process.start:
        raise ContainerError("%s ended while it was looked at" % _told(process))
    return NodeProcess(
        again,
        first,
        state=status.get("State", "")[:1],
        caught=_mask(status, "SigCgt"),
        ignored=_mask(status, "SigIgn"),
        blocked=_mask(status, "SigBlk"),
        pending=_mask(status, "SigPnd") | _mask(status, "ShdPnd"),
        threads=int(status.get("Threads") or 0),
    )


def first_process(container: Container, root: str = "/proc") -> Process:
    """The container's first process, after making sure that its pid means the same here as to the engine."""
    if not container.running or not container.pid:
        raise ContainerError("container %s does not run (%s): it has no process" % (container.name, container.status))
    process = read_process(container.pid, root)
    if process is None:
        raise ContainerError(
            "container %s is said to run as pid %d, which is no process of this machine: it ended just now, or the engine is elsewhere"
            % (container.name, container.pid)
        )
    if not _is_of(process, container, root):
        raise ContainerError(
            "pid %d, which the engine gives for container %s, is another process on this machine: the engine is elsewhere" % (container.pid, container.name)
        )
    return process


def _is_of(process: Process, container: Container, root: str) -> bool:
    """Its control group has the container's id; where that cannot be told, it started with the container, in a namespace of its own."""
    if container.id and container.id in _read("%s/%d/cgroup" % (root, process.pid)):
        return True
    inner = status_of(process.pid, root).get("NSpid", "").split()
    if len(inner) < 2 or inner[-1] != "1" or container.started_at is None:
        return False
    return abs(started_at(process) - container.started_at) <= _START_SLACK


def descendants(first: Process, root: str = "/proc") -> List[Process]:
    """A process and all below it. Within a container an orphan goes to the first process, so this is all that it has started."""
    parents: Dict[int, List[Process]] = {}
    for process in processes(root):
        parents.setdefault(parent_of(process.pid, root), []).append(process)
    found = [first]
    for each in found:  # grows as it is read
        found += [child for child in parents.get(each.pid, ()) if child not in found]
    return found


def topmost(family: Sequence[Process], root: str = "/proc") -> List[Process]:
    """Those that are the program, without the copies that such a one has made of itself."""
    matching = {process.pid: process for process in family if is_node(process)}
    return [process for pid, process in sorted(matching.items()) if not _has_above(pid, set(matching), root)]


def _has_above(pid: int, among: set[int], root: str) -> bool:
    seen = {pid}
    parent = parent_of(pid, root)
    while parent and parent not in seen:
        if parent in among:
            return True
        seen.add(parent)
        parent = parent_of(parent, root)
    return False


def is_node(process: Process) -> bool:
    """The program itself, or Python that runs it as a script or a module."""
    if _NODE.matches(process):
        return True
    words = process.argv[1:]
    return os.path.basename(process.argv[0]).startswith("python") and any(
        option == "-m" and name.partition(".")[0] == PROGRAM for option, name in zip(words, words[1:])
    )


def parent_of(pid: int, root: str = "/proc") -> int:
    """0 where there is none, or the process is gone."""
    fields = _read("%s/%d/stat" % (root, pid)).rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0


def status_of(pid: int, root: str = "/proc") -> Mapping[str, str]:
    """The kernel's status of a process, by name; empty when it is gone."""
    rows = (line.partition(":") for line in _read("%s/%d/status" % (root, pid)).splitlines())
    return {name: value.strip() for name, _colon, value in rows}


def _mask(status: Mapping[str, str], name: str) -> int:
    try:
        return int(status.get(name, "0"), 16)
    except ValueError:
        return 0


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""


def _told(process: Process) -> str:
    """For a person. The rest of a command line may hold a secret."""
    return "%s (pid %d of %s)" % (process.script() or process.argv[0], process.pid, process.owner)


def same(one: Optional[NodeProcess], other: Optional[NodeProcess]) -> bool:
    """Whether two looks saw the very same process."""
    return one is not None and other is not None and (one.pid, one.process.start) == (other.pid, other.process.start)
