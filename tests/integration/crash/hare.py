# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hare's state of an object: killed before each transaction that a real Consul is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare.consul import Consul as Client
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from lab.consul import Consul, fid

KEPT = ("processes/", "m0conf/", "epoch", "bq/")


class SetProcess(Scenario):
    """Both trees and the event. What hax was told is not taken back, and so an undo of the whole run is refused."""

    module = "hare_state"
    effects: Sequence[Effect] = ((Client, "write", lambda *_arguments: "transaction"),)
    undoable = False
    publish = True

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.consul = Consul(lab.path / "consul").start()
        lab.finish(self.consul.close)
        self.consul.fill()

    def arguments(self) -> dict[str, Any]:
        return {"consul_url": self.consul.url, "object": fid("r", 0x13), "state": "failed", "expected": "online", "publish": self.publish}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """Values, and messages without the time at which they were sent."""
        found = {key: value for key, value in self.consul.values().items() if key.startswith(KEPT)}
        return {key: {**value, "timestamp": ""} if key.startswith("bq/") else value for key, value in found.items()}

    def restore(self, dump: Any) -> None:
        now = self.dump()
        for key in now.keys() - dump.keys():
            self.consul.delete(key)
        for key, value in dump.items():
            if now.get(key) != value:
                self.consul.put(key, value)

    def look(self, change: Change) -> dict[str, Any] | None:
        if change.action == "publish":
            found = ((key.rpartition("/")[2], said) for key, said in self.consul.values("bq/").items())
            return next(({**said, "epoch": int(epoch)} for epoch, said in found if said["payload"] == (change.after or {})["payload"]), None)
        values = self.consul.values()
        return {key: values[key] for key in change.before or {}}


class SetProcessQuietly(SetProcess):
    """Both trees, and nobody is told."""

    undoable = True
    publish = False


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"hare_state": (SetProcess, SetProcessQuietly)}
