# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What starts the parts of Talus: units of systemd, or jobs of upstart with their files."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..connect.service import Service
from ..connect.services import manager, manager_of
from .names import unit_named, unit_names

INIT_DIR = "/etc/init"
_STARTS = re.compile(r"^[^#\n]*?(\S*/(db|amqp|web|master|slave)/bin/(?:start|start_raw))\b(?:[ \t]+([^\n>|&;]*))?", re.MULTILINE)
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Unit:
    """A unit or job. ``component`` is what its name says."""

    component: str
    spelling: str
    service: Service

    @property
    def name(self) -> str:
        return self.service.name

    def to_dict(self) -> Dict[str, Any]:
        seen = self.service
        names = ("name", "manager", "active", "sub", "enabled", "main_pid", "restarts", "result", "exit_code")
        return {name: getattr(seen, name) for name in names}


@dataclass(frozen=True)
class JobFile:
    """A job file of upstart: what its name says that it starts, and what its script starts."""

    path: str
    named: str
    starts: Optional[str]
    script: Optional[str] = None

    def to_dict(self) -> Dict[str, Any]:
        return {"path": self.path, "named": self.named, "starts": self.starts}


@dataclass(frozen=True)
class Init:
    """The manager, what it knows of Talus, and job files."""

    manager: str
    units: Tuple[Unit, ...] = ()
    files: Tuple[JobFile, ...] = ()

    def unit(self, component: str) -> Optional[Unit]:
        """The one that is on, where a component has several."""
        fitting = sorted((unit for unit in self.units if unit.component == component), key=lambda unit: not unit.service.on)
        return fitting[0] if fitting else None


def read_init(name: Optional[str], init_dir: str) -> Init:
    name = name or manager()
    services = manager_of(name).read(unit_names())
    files = read_files(init_dir) if name == "upstart" else []
    return Init(name, tuple(units_of(services)), tuple(files))


def units_of(services: List[Service]) -> List[Unit]:
    """Those that exist; one that has several names once."""
    found: Dict[str, Unit] = {}
    for service in services:
        named = unit_named(service.name)
        if service.known and named is not None:
            found.setdefault(service.id or service.name, Unit(named.component, named.spelling, service))
    return list(found.values())


def read_files(init_dir: str) -> List[JobFile]:
    """Job files of Talus; none where there is no such directory."""
    found = []
    names: List[str] = []
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(init_dir))
    for name in names:
        named = unit_named(name[: -len(".conf")]) if name.endswith(".conf") else None
        path = os.path.join(init_dir, name)
        if named is not None and os.path.isfile(path):
            with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
                found.append(file_of(path, named.component, file.read(_LARGEST)))
    return found


def file_of(path: str, named: str, text: str) -> JobFile:
    """What a job file starts, by the start script that it runs."""
    starts: Mapping[str, str] = {component: script for script, component, _arguments in _STARTS.findall(text)}
    component = next(iter(starts), None)
    return JobFile(path, named, component, starts[component] if component else None)
