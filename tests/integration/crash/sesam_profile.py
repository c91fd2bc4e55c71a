# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of a Sesam node: killed beside the run of a pump, and between any two requests to a real Docker Engine that change something.

A recording that is killed is switched off by another process, and so is a switch ended that was cut off, which is tested with the module. Here that
other process is killed as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import profiler_guard
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.api import Node
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profile_files import is_of, listing
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler import image_of_place
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_act import Place, look
from crash.scenarios import Effect, Lab, Scenario
from docker import APIClient
from lab.mongo import free_port
from lab.sesam.container import SesamNode
from lab.sesam.plain import PlainSesam
from support import run_ok

PIPE = "crm-0"
MIB = 1 << 20


class ProfileRun(Scenario):
    """A pump is run once. It goes on when the module is killed beside it."""

    module = "sesam_profile"
    effects: Sequence[Effect] = ((Node, "post_form", lambda _node, path, *_arguments: path),)
    undoable = False
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.node = PlainSesam(lab.path / "sesam").start()
        lab.finish(self.node.close)

    def arguments(self) -> dict[str, Any]:
        known = {"api_url": self.node.url, "jwt": self.node.token(), "log_folder": str(self.node.logs)}
        return {**known, "pipe": PIPE, "if_running": "wait", "max_age": 3600, "timeout": 120}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def _files(self) -> list[str]:
        return sorted(name for name in listing(str(self.node.logs)) if is_of(name, PIPE))

    def dump(self) -> Any:
        """When nothing runs any more, and what was run has been written."""
        self.node.wait_for(lambda: not self.node.runtime(PIPE)["is-running"], "the run ends")
        begun = [entry for entry in self.node.requests if entry["method"] == "POST" and entry["status"] == 200]
        if begun:
            self.node.wait_for(lambda: len(self._files()) == 2, "the profiles are written")
        return {"profiles": self._files()}

    def restore(self, dump: Any) -> None:
        for name in set(self._files()) - set(dump["profiles"]):
            (self.node.logs / name).unlink()
        if not dump["profiles"]:
            self.node.forget_requests()

    def look(self, change: Change) -> dict[str, Any] | None:
        return {"profiled": bool(self.dump()["profiles"])}

    def service(self, dump: Any) -> Any:
        """Names have a time in them."""
        return len(dump["profiles"])


class Killed:
    """In the place of the one that would stand by."""

    def __init__(self, _off: Callable[[], None]) -> None:
        """Nobody."""

    def release(self) -> None:
        """Nothing."""


class SwitchOn(Scenario):
    """The profiler of all calls is switched on."""

    module = "sesam_api_profiler"
    effects: Sequence[Effect] = (
        (APIClient, "create_container_from_config", lambda *_arguments: "container"),
        (APIClient, "start", lambda *_arguments: "container"),
        (APIClient, "stop", lambda *_arguments: "container"),
        (APIClient, "rename", lambda *_arguments: "container"),
        (APIClient, "update_container", lambda *_arguments: "container"),
        (APIClient, "remove_container", lambda _api, name, *_arguments: "container" if ".new" not in name else ""),
    )
    finely = False
    state = "enabled"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        lab.patch.setattr(profiler_guard, "Guardian", Killed)
        self.node = SesamNode(lab.path / "sesam", lab.fixture("engine"), name=f"sesam-node-{free_port()}", begins="direct").start()
        self.docker = Docker(self.node.engine.docker_host)
        lab.finish(self._close)

    def _close(self) -> None:
        place = self.place()
        for seen in (place.kept, place.new, place.gone):
            if seen is not None:
                self.node.engine.docker("rm", "--force", str(seen["Id"]))
        self.docker.close()
        self.node.close()

    def arguments(self) -> dict[str, Any]:
        known = {"api_url": self.node.url, "jwt": self.node.token(), "docker_host": self.node.engine.docker_host, "container": self.node.name}
        return {**known, "state": self.state, "max_bytes": MIB, "settle": 0, "timeout": 120, "stop_timeout": 20}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def place(self) -> Place:
        return look(self.docker, self.node.name)

    def dump(self) -> Any:
        """What there is, and how far it came."""
        place = self.place()
        current, kept = place.current, place.kept
        return {
            "state": place.state,
            "running": place.running,
            "policy": current and current["HostConfig"]["RestartPolicy"]["Name"],
            "original": bool(current) and "fieldops.runbooks.sesam.api_profiler" not in current["Config"]["Labels"],
            "kept": kept and (kept["State"]["Running"], kept["HostConfig"]["RestartPolicy"]["Name"]),
        }

    def restore(self, dump: Any) -> None:
        """What was cut off in the middle is looked at by an undo alone."""
        if dump["state"] in ("on", "off") and self.dump() != dump:
            wanted = {**self.arguments(), "state": "enabled" if dump["state"] == "on" else "disabled", "interrupt_pipes": True}
            run_ok(self.module, {**wanted, "journal_dir": str(self.lab.path / f"restored-{time.monotonic_ns()}")})
            assert self.dump() == dump

    def look(self, change: Change) -> dict[str, Any] | None:
        return image_of_place(self.place(), change)


class SwitchOff(SwitchOn):
    """It is on, and goes off."""

    state = "disabled"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        run_ok(self.module, {**self.arguments(), "state": "enabled", "journal_dir": str(lab.path / "other")})


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"sesam_profile": (ProfileRun,), "sesam_api_profiler": (SwitchOn, SwitchOff)}
