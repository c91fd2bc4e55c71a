# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the processes that a stage left behind: they carry its mark in their environment, whoever became their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

PATIENCE = 10.0  # what is on its way out may take this long


def end_leftovers(mark: str) -> list[str]:
    """Wait for processes with this mark to end, then end them; what had to be ended is told."""
    limit = time.monotonic() + PATIENCE
    while (left := marked(mark)) and time.monotonic() < limit:
        time.sleep(0.1)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [f"{pid} {command}" for pid, command in left.items()]


def marked(mark: str) -> dict[int, str]:
    """The command line of every process with this mark, by pid."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"\0FIELDOPS_STAGE={mark}\0".encode() in b"\0" + (process / "environ").read_bytes():
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if command:  # a zombie has none
                    found[int(process.name)] = command
    return found
