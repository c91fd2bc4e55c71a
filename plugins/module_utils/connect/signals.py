# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals to exactly the processes that were meant, and signals to this one."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from types import FrameType
from typing import Iterator, Optional, Sequence, Set

from .procfs import Process, read_process

_UNIT = re.compile(r"/([^/\n]+\.service)(?=/|$)", re.MULTILINE)


class Interrupted(Exception):
    """This process was asked to end."""


def is_alive(process: Process, root: str = "/proc") -> bool:
    """Whether the very same process runs; a pid that went to another one does not count."""
    now = read_process(process.pid, root)
    return now is not None and now.start == process.start


def send(process: Process, signum: int) -> bool:
    """Signal a process, if it is still the same one. Its pid is held while that is asked, so that no other can get it."""
    with contextlib.ExitStack() as stack:
        try:
            # Python 3.8 and old kernels cannot hold a pid; there the question comes right before the signal.
            handle = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal") else None
        except ProcessLookupError:
            return False
        except OSError:
            handle = None
        if handle is not None:
            stack.callback(os.close, handle)
        if not is_alive(process):
            return False
        try:
            if handle is not None:
                signal.pidfd_send_signal(handle, signum)
            else:
                os.kill(process.pid, signum)
        except ProcessLookupError:
            return False
        return True


def ancestors(pid: int) -> Set[int]:
    """A process, its parent, and so on."""
    found: Set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            with open("/proc/%d/stat" % pid, "rb") as stat:
                pid = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return found


def unit_of(pid: int) -> str:
    """The systemd service that a process belongs to; empty when it belongs to none, or that cannot be told."""
    try:
        with open("/proc/%d/cgroup" % pid, encoding="utf-8", errors="replace") as file:
            found = _UNIT.findall(file.read())
    except OSError:
        return ""
    return str(found[-1]) if found else ""


@contextlib.contextmanager
def interruptible(signums: Sequence[int] = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)) -> Iterator[None]:
    """A signal that would end this process raises Interrupted once, so that what was begun can be brought to an end."""

    def interrupt(signum: int, _frame: Optional[FrameType]) -> None:
        for other in signums:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted("it was interrupted by %s" % signal.Signals(signum).name)

    before = {signum: signal.signal(signum, interrupt) for signum in signums}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler if handler is not None else signal.SIG_DFL)
