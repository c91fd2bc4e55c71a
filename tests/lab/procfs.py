# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling one process from another: a pid is only an identity together with the start time of its process."""

from __future__ import annotations

import os
import signal
import time


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the state onward, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            text = handle.read()
    except OSError:
        return None
    # The command name is in parentheses and may itself hold spaces and parentheses.
    return text.rpartition(")")[2].split()


def start_time(pid: int) -> int | None:
    """Clock ticks between boot and the start of the process; None when it is gone or a zombie."""
    fields = stat_fields(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return int(fields[19])


def is_running(pid: int, started: int | None) -> bool:
    """True when the very process that had this pid and start time still runs."""
    return started is not None and start_time(pid) == started


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields is not None and int(fields[1]) == pid:
                found.append(int(name))
    return found


def send(pid: int, started: int | None, signum: int) -> bool:
    """Signal the process if it is still the same one; False when it is not."""
    if not is_running(pid, started):
        return False
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def wait_gone(pid: int, started: int | None, timeout: float) -> bool:
    """Wait for the process to end, whoever its parent is."""
    deadline = time.monotonic() + timeout
    while is_running(pid, started):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def end(pid: int, started: int | None, signum: int = signal.SIGTERM, grace: float = 10.0) -> bool:
    """Signal, wait, and kill what did not go. True when the first signal was enough."""
    if not send(pid, started, signum):
        return True
    if wait_gone(pid, started, grace):
        return True
    send(pid, started, signal.SIGKILL)
    wait_gone(pid, started, 5.0)
    return False
