# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of Sesam that is frozen: killed beside its restart by a real Docker Engine, and beside the signal to its process. Neither can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import stacktrace_run
from crash.scenarios import Effect, Lab, Scenario
from docker import APIClient
from lab.sesam.container import SesamNode
from laking import Lake


class RestartFrozen(Scenario):
    """The process hangs. Whether it was restarted shows by its being at work again."""

    module = "sesam_restart"
    effects: Sequence[Effect] = tuple((APIClient, name, lambda *_arguments: "container") for name in ("restart", "kill", "start"))
    undoable = False
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.node = SesamNode(lab.path / "sesam", lab.fixture("engine")).start()
        lab.finish(self.node.close)
        self.node.freeze()

    def arguments(self) -> dict[str, Any]:
        known = {"api_url": self.node.url, "jwt": self.node.token(), "docker_host": self.node.engine.docker_host, "container": self.node.name}
        return {**known, "policy": "unhealthy", "request_timeout": 1, "stop_timeout": 1, "settle": 0.1, "evidence": False}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        return {"works": self._works()}

    def _works(self) -> bool:
        """Once it is one or the other: one that was started a moment ago is no longer frozen, and does not answer yet."""
        state = Path(f"/proc/{self.node.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        if state == "T":
            return False
        self.node.wait_up()
        return True

    def restore(self, dump: Any) -> None:
        if self._works() and not dump["works"]:
            self.node.freeze()
        elif not self._works() and dump["works"]:
            self.node.restart()

    def look(self, change: Change) -> dict[str, Any] | None:
        return {"running": bool(self.node.inspect()["State"]["Running"]), "restarted": self._works()}


class SignalForStacktrace(Scenario):
    """The API is not there."""

    module = "sesam_stacktrace"
    effects: Sequence[Effect] = ((stacktrace_run, "send", lambda *_arguments: "signal"),)
    undoable = False
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.lake = Lake(lab.path / "lake", lab.fixture("engine"))
        lab.finish(self.lake.remove)
        self.lake.run()
        self.lake.wait_until_up()

    def arguments(self) -> dict[str, Any]:
        return {**self.lake.arguments(self.journal_dir), "max_age": 3600, "timeout": 60}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        return {"traces": len(self.lake.traces())}

    def restore(self, dump: Any) -> None:
        for name in list(self.lake.traces())[dump["traces"] :]:
            (self.lake.logs / name).unlink()

    def look(self, change: Change) -> dict[str, Any] | None:
        return {"written": bool(self.lake.traces())}


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"sesam_restart": (RestartFrozen,), "sesam_stacktrace": (SignalForStacktrace,)}
