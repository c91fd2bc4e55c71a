# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record is replaced, and another one removed, by m0kv, which goes on when its parent is killed; and connections are ended, which nothing gives back."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, ClassVar

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.kv import M0kv
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.ss import Ss
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.record_state import image
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from lab.motr.tools import Cluster

INDEX = "<7800000000000000:100002>"


class ReplaceRecord(Scenario):
    """Killed beside the look, the write, and the look after it."""

    module = "motr_record"
    effects: Sequence[Effect] = ((M0kv, "put", lambda *_arguments: "record"), (M0kv, "delete", lambda *_arguments: "record"))
    finely = False
    there = b'{"old": "\xc3\xa4"}'
    options: ClassVar[dict[str, Any]] = {"value": '{"new": 1}', "expected": '{"old": "\u00e4"}'}

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.cluster = Cluster(lab.path / "cluster").create()
        self.cluster.put(INDEX, b"neighbour", b"{}")
        self.cluster.put(INDEX, b"12345/backups", self.there)

    def arguments(self) -> dict[str, Any]:
        return self.cluster.arguments(index=INDEX, key="12345/backups", **self.options)

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """Once a client that lost its parent has come to its end."""
        self.cluster.wait_until_alone()
        return self.cluster.records(INDEX)

    def restore(self, dump: Any) -> None:
        with self.cluster.changing() as state:
            state["indices"] = {}
        for key, value in dump.items():
            self.cluster.put(INDEX, key, value)

    def look(self, change: Change) -> dict[str, Any] | None:
        return image(self.dump().get(b"12345/backups"), 1024)


class RemoveRecord(ReplaceRecord):
    there = bytes(range(256))
    options: ClassVar[dict[str, Any]] = {"state": "absent", "expected": base64.b64encode(there).decode(), "value_format": "base64"}


class EndConnection(Scenario):
    """One of two, with an ss that needs neither root nor a kernel that can."""

    module = "motr_connection_reset"
    effects: Sequence[Effect] = ((Ss, "kill", lambda *_arguments: "connection"),)
    undoable = False
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.cluster = Cluster(lab.path / "cluster").create("ss")
        lab.patch.setenv("PATH", str(self.cluster.bin), prepend=":")
        self.restore([["10.0.0.2:40000", "10.0.0.1:21002"], ["10.0.0.3:40000", "10.0.0.1:21002"]])

    def arguments(self) -> dict[str, Any]:
        return {"method": "tcp", "client_endpoint": "inet:tcp:10.0.0.2@22501", "server_endpoint": "inet:tcp:10.0.0.1@21002"}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        with self.cluster.changing() as state:
            return state["connections"]

    def restore(self, dump: Any) -> None:
        with self.cluster.changing() as state:
            state["connections"] = dump

    def look(self, change: Change) -> dict[str, Any] | None:
        return {"established": change.subject.removeprefix("connection ").split("-") in self.dump()}


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"motr_record": (ReplaceRecord, RemoveRecord), "motr_connection_reset": (EndConnection,)}
