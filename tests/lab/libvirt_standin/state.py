# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that the stand-in of libvirt keeps its domains and networks in, and how a test fills it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VARIABLE = "LAB_LIBVIRT"
RUNNING, PAUSED, SHUT_OFF, CRASHED = 1, 3, 5, 6


class Hypervisor:
    """Domains and networks by name. A test is the only one who fills it; the library changes it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def install(self, patch: Any) -> Hypervisor:
        """Have `import libvirt` give the stand-in, on this file."""
        from lab.libvirt_standin import library

        self.path.write_text(json.dumps({"domains": {}, "networks": {}, "fault": None}), encoding="utf-8")
        module = types.ModuleType("libvirt")
        module.__dict__.update({name: value for name, value in vars(library).items() if not name.startswith("__")})
        patch.setitem(sys.modules, "libvirt", module)
        patch.setenv(VARIABLE, str(self.path))
        return self

    def read(self) -> dict[str, Any]:
        """All of it."""
        state: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Whole or not at all, whenever it is cut off."""
        part = self.path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(state), encoding="utf-8")
        part.rename(self.path)

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """One change at a time, of threads and of processes."""
        with open(self.path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            yield state
            self.write(state)

    def domain(self, name: str, xml: str = "<domain/>", state: int = RUNNING, reason: int = 1, **more: Any) -> str:
        """A domain; its UUID. More: `persistent`, `autostart`, `destroy` (an error number and a text, `late`, or `ended`), `agent`, `arp` (interfaces)."""
        number = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
        row = {"uuid": number, "xml": xml, "state": state, "reason": reason, "persistent": False, "autostart": False, "destroy": None, **more}
        with self.changing() as known:
            known["domains"][name] = row
        return number

    def network(self, name: str, xml: str | None, live_xml: str | None, autostart: bool = False, leases: list[dict[str, Any]] | None = None) -> None:
        """A network: what is defined, and what is active of it."""
        with self.changing() as known:
            known["networks"][name] = {"xml": xml, "live": live_xml, "autostart": autostart, "leases": leases or []}

    def fault(self, what: str | None) -> None:
        """`down`: no connection. `hang`: no answer."""
        with self.changing() as known:
            known["fault"] = what

    def running(self) -> list[str]:
        """Names of active domains."""
        return sorted(name for name, row in self.read()["domains"].items() if row["state"] in (RUNNING, PAUSED, CRASHED))
