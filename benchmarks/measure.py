# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole processes, timed from ``fork`` to ``wait``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")


class CommandFailed(RuntimeError):
    """Something that is measured did not work."""


@dataclass(frozen=True)
class Usage:
    """What one process took. The peak is that of the largest process among it and its descendants, not their sum."""

    wall: float
    cpu: float
    peak_mib: float


def run(command: Sequence[str], directory: Path, env: Mapping[str, str], text: str = "") -> tuple[Usage, str]:
    """Run a command with its streams in files of the directory; returns what it took and what it printed."""
    (directory / "stdin").write_text(text, encoding="utf-8")
    (directory / "usage").unlink(missing_ok=True)
    launched = subprocess.run([sys.executable, "-I", "-S", str(LAUNCHER), str(directory), *command], env=dict(env), check=False)
    if launched.returncode:
        raise CommandFailed(f"the launcher ended with {launched.returncode}")
    seen = json.loads((directory / "usage").read_text(encoding="ascii"))
    printed = (directory / "stdout").read_text(encoding="utf-8", errors="replace")
    if seen["status"]:
        complaint = (directory / "stderr").read_text(encoding="utf-8", errors="replace")
        raise CommandFailed(f"{os.path.basename(command[0])} ended with {seen['status']}:\n{printed[-2000:]}\n{complaint[-2000:]}")
    return Usage(seen["wall"], seen["cpu"], seen["peak_mib"]), printed
