# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in the log folder, which are rotated to .1, .2 and so on."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path

NAMES = ("node", "node_access", "node_config", "node_health", "node_memory_profile", "node_metrics", "node_pipe_execution")
KEPT = 9


class Logs:
    """All of them."""

    def __init__(self, folder: Path, mode: int, largest: int) -> None:
        self.folder, self.mode, self.largest = folder, mode, largest
        self._lock = threading.Lock()
        for name in NAMES:
            self._append(folder / f"{name}.log", "")

    def write(self, name: str, text: str, level: str = "INFO") -> None:
        """One line; a log that cannot be written to holds nobody up."""
        moment = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment)) + f",{int(moment % 1 * 1000):03d}"
        with self._lock, contextlib.suppress(OSError):
            file = self.folder / f"{name}.log"
            if file.exists() and file.stat().st_size > self.largest:
                rotate(file)
            self._append(file, f"{stamp} {level} {threading.current_thread().name}: {text}\n")

    def _append(self, file: Path, text: str) -> None:
        fresh = not file.exists()
        with open(file, "a", encoding="utf-8") as handle:
            handle.write(text)
        if fresh:
            file.chmod(self.mode)


def rotate(file: Path) -> None:
    """Make room: file -> file.1 -> file.2."""
    for number in range(KEPT, 0, -1):
        older = file.with_name(f"{file.name}.{number}")
        newer = file if number == 1 else file.with_name(f"{file.name}.{number - 1}")
        if newer.exists():
            os.replace(newer, older)
