# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test may change while a stand-in runs: one file for each thing, with a number in it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FOLDER = "/etc/talus-lab"
MASTER_STOP = "master-stop-seconds"
SLAVE_STOP = "slave-stop-seconds"
HANG = "slave-hangs"
VM_SECONDS = "vm-seconds"
BRIDGE = "bridge"
FAREWELLS = "farewells"
DEFAULTS = {MASTER_STOP: 2.0, SLAVE_STOP: 1.0, HANG: 0.0, VM_SECONDS: 0.5}


def folder() -> Path:
    """Where they lie; tests without a host have another place."""
    return Path(os.environ.get("TALUS_LAB_SETTINGS", FOLDER))


def farewell(pid: int, seconds: float) -> None:
    """A daemon that ends by itself says so where nobody else need be alive to read it."""
    with contextlib.suppress(OSError), (folder() / FAREWELLS).open("a", encoding="ascii") as file:
        file.write(f"{pid} {seconds:.1f}\n")


def number(name: str) -> float:
    """The number that is set now, or the usual one."""
    try:
        return float((folder() / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return DEFAULTS[name]


def bridge() -> str:
    """The bridge of the virtual machines' network."""
    try:
        return (folder() / BRIDGE).read_text(encoding="ascii").strip()
    except OSError:
        return "virbr2"
