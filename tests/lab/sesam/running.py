# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test does with a node, whatever it runs in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lab import procfs
from lab.hosts.common import as_root
from lab.mongo import free_port
from lab.sesam import samples
from lab.sesam.client import PATIENCE, Client
from lab.sesam.standin import auth, licence, settings

Self = TypeVar("Self", bound="Node")
SCRIPT = """#!{python}
import os
import sys

sys.path.insert(0, {code!r})
os.environ.setdefault("LAB_SESAM_SCRIPT", os.path.abspath(__file__))

from lab.sesam.standin.main import main

sys.exit(main())
"""


class Node(Client):
    """A node in `path`. `config` is the default group and `groups` others, of a fresh node; the other options are settings of the stand-in."""

    def __init__(
        self,
        path: Path,
        config: Sequence[Mapping[str, Any]] | None = None,
        groups: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        arguments: Sequence[str] = ("--microservices=engine",),
        licensed: bool = True,
        **chosen: Any,
    ) -> None:
        self.path, self.arguments = path, list(arguments)
        self.control = path / "lab"
        self.data, self.logs = self.folders()
        for folder in (self.control, self.data, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        chosen.setdefault("port", free_port())
        self.settings = {**settings.DEFAULTS, **chosen}
        settings.write(self.control, **chosen)
        self._wanted = dict(chosen)
        if not (self.data / "config.json").exists():
            everything = {"default": samples.config() if config is None else config, **(groups or {})}
            content = {group: {entity["_id"]: entity for entity in entities} for group, entities in everything.items()}
            (self.data / "config.json").write_text(json.dumps(content), encoding="utf-8")
        if licensed:
            (self.data / licence.NAME).write_text(licence.key(), encoding="utf-8")

    def folders(self) -> tuple[Path, Path]:
        """Data and logs, as they lie here."""
        return self.path / "data", self.path / "logs"

    def __enter__(self: Self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.close()

    # -- in each kind ---------------------------------------------------------------------------------------------------------

    def start(self: Self, wait: bool = True) -> Self:
        """Start it, and wait until it answers."""
        raise NotImplementedError

    def stop(self) -> None:
        """End it in the ordinary way."""
        raise NotImplementedError

    def close(self) -> None:
        """End it, and remove what it ran in; the folders stay."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process of the node itself; 0 when there is none."""
        raise NotImplementedError

    def restart(self: Self) -> Self:
        """Stop and start."""
        self.stop()
        return self.start()

    # -- faults ---------------------------------------------------------------------------------------------------------------

    def fault(self, **chosen: Any) -> None:
        """Change settings of the stand-in, from now on."""
        settings.write(self.control, **chosen)
        self.settings.update(chosen)
        time.sleep(3 * settings.FRESH)  # it looks that often

    def mend(self) -> None:
        """As it was made."""
        self.fault(**{**{name: value for name, value in settings.DEFAULTS.items() if name not in {"port", "address"}}, **self._wanted})

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What was asked by others than its own health thread; nothing has a token in it."""
        file = self.control / settings.REQUESTS
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["who"] != auth.HEALTH]

    def forget_requests(self) -> None:
        """From now on."""
        (self.control / settings.REQUESTS).unlink(missing_ok=True)

    @property
    def wiped(self) -> bool:
        """Whether anybody ever called `reset`."""
        return (self.data / "wiped.json").exists()

    def runs(self, pipe: str) -> int:
        """How often a pump has run to its end, as the node keeps it (a second late at most)."""
        file = self.data / "pumps.json"
        return int(json.loads(file.read_text(encoding="utf-8")).get(pipe, {}).get("runs", 0)) if file.exists() else 0

    def traces(self) -> list[str]:
        """Names of stack traces that lie in the log folder, the newest first."""
        return sorted((file.name for file in self.logs.glob("stacktrace.html*")), key=lambda name: (len(name), name))

    # -- the process ----------------------------------------------------------------------------------------------------------

    def signal(self, signum: int, pid: int | None = None) -> None:
        """Send a signal to the node's process."""
        target = self.pid if pid is None else pid
        assert target > 1, "the node does not run"
        try:
            os.kill(target, signum)
        except PermissionError:
            subprocess.run(as_root("kill", f"-{int(signum)}", str(target)), check=True)

    def freeze(self) -> None:
        """The whole process hangs: it does not answer, and a signal that it handles has no effect."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """It is killed."""
        self.signal(signal.SIGKILL)

    def catches_sigusr1(self) -> bool:
        """Whether the process has a handler."""
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines()
        return bool(int(next(line.split()[1] for line in lines if line.startswith("SigCgt")), 16) & 1 << (signal.SIGUSR1 - 1))


def script(python: str, code: Path) -> str:
    """The program `lake`."""
    return SCRIPT.format(python=python, code=str(code))


def interpreter() -> str:
    """The interpreter itself, and not a link of a virtual environment, which would say so in the process's arguments."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


__all__ = ["PATIENCE", "Node", "interpreter", "procfs", "script"]
