# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one command and write down what it took: ``python -I -S launcher.py <directory> <command>...``.

A process of its own, because Linux counts the memory that a process had before ``exec`` into its peak: a child of the benchmark
itself could never be seen to use less than the benchmark does. A bare interpreter is the smallest peak that can be told.
"""

from __future__ import annotations

import json
import os
import sys
import time


def become(directory: str, command: list[str]) -> None:
    """The child: files of the directory for its streams, then the command."""
    try:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
            os.dup2(os.open(os.path.join(directory, name), flags, 0o600), number)
        os.execvp(command[0], command)
    finally:
        os._exit(127)


def main() -> None:
    directory, *command = sys.argv[1:]
    started = time.monotonic()
    pid = os.fork()
    if pid == 0:
        become(directory, command)
    _pid, status, usage = os.wait4(pid, 0)
    seen = {
        "wall": time.monotonic() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
        "status": os.waitstatus_to_exitcode(status),
    }
    with open(os.path.join(directory, "usage"), "w", encoding="ascii") as file:
        json.dump(seen, file)


main()
