# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of Motr on this node: m0d by the fid and the endpoint in its argv, any other by its pid. A pid counts only together with its start time."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Optional, Tuple

from ...connect.procfs import Process as Seen
from ...connect.procfs import hides_others, processes, read_process
from ...procedure.argspec import ArgumentSpec
from ..errors import MotrError
from ..ids import Fid, parse

PROCESS = ArgumentSpec({"pid": {"type": "int"}, "process": {"type": "str"}}, mutually_exclusive=[("pid", "process")])
SERVERS = ("m0d", "lt-m0d")
"""Names of the server's program; the second one is that of a build tree."""


class NotThere(MotrError):
    """No such process runs."""


class Process(NamedTuple):
    """One process. ``started`` is its start in clock ticks after boot; with the pid it names the process for good."""

    pid: int
    started: int
    fid: Optional[Fid]
    endpoint: Optional[str]
    argv: Tuple[str, ...]
    owner: str = ""

    @property
    def name(self) -> str:
        """As findings call it."""
        return str(self.fid) if self.fid is not None else "pid %d" % self.pid


def find_process(pid: Optional[int] = None, process: Optional[str] = None, root: str = "/proc") -> Process:
    """The process with a pid, or the m0d with a fid; without either the only m0d of this node. MotrError where there is not exactly one."""
    if pid is not None:
        found = _by_pid(pid, root)
        if process is not None and found.fid != parse(process):
            raise MotrError("process %d was not started as %s, but %s" % (pid, parse(process), "as %s" % str(found.fid) if found.fid else "without a fid"))
        return found
    wanted = parse(process) if process is not None else None
    running = servers(root)
    chosen = [each for each in running if wanted is None or each.fid == wanted]
    if len(chosen) == 1:
        return chosen[0]
    hidden = "; /proc shows only processes of the user %d" % os.geteuid() if hides_others(root) else ""
    there = ", ".join("%s (pid %d)" % (each.fid or "without a fid", each.pid) for each in running) or "none"
    if not chosen:
        what = "no m0d runs on this node" if wanted is None else "no m0d that was started as %s (-f) runs on this node; there are: %s" % (wanted, there)
        raise NotThere(what + hidden)
    how = "name one of them: process" if wanted is None else "name one by its pid: pid"
    raise MotrError("%d processes are meant, %s; %s" % (len(chosen), there, how))


def servers(root: str = "/proc") -> List[Process]:
    """Every m0d that can be seen, by pid."""
    found = [_told(seen) for seen in processes(root) if is_server(seen.argv)]
    return sorted(found)


def is_server(argv: Tuple[str, ...]) -> bool:
    return bool(argv) and os.path.basename(argv[0]) in SERVERS


def alive(process: Process, root: str = "/proc") -> bool:
    """Whether it is still the same process that has the pid."""
    seen = read_process(process.pid, root)
    return seen is not None and seen.start == process.started


def option(argv: Tuple[str, ...], letter: str) -> Optional[str]:
    """The value of an option of m0d, apart from its letter or right behind it."""
    words = iter(argv[1:])
    for word in words:
        if word == letter:
            return next(words, None)
        if word.startswith(letter):
            return word[len(letter) :]
    return None


def _by_pid(pid: int, root: str) -> Process:
    if pid < 1:
        raise MotrError("pid must be that of a process, 1 or more, not %d" % pid)
    seen = read_process(pid, root)
    if seen is None:
        raise NotThere("process %d is gone, or not to be seen" % pid)
    return _told(seen)


def _told(seen: Seen) -> Process:
    spelt = option(seen.argv, "-f")
    try:
        fid = parse(spelt) if spelt else None
    except MotrError:  # of another program, whose -f is something else
        fid = None
    return Process(seen.pid, seen.start, fid, option(seen.argv, "-e"), seen.argv, seen.owner)
