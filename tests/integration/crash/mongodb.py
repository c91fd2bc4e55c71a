# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replica sets of one real mongod: the repair is killed between any two commands that it gives to the server."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.mongo import Mongo
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.repair_act import now_image
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from lab.mongo import Mongod, free_port, wait_for

COMMANDS = ("replSetInitiate", "replSetReconfig", "replSetFreeze", "replSetMaintenance")


def _command(_mongo: Mongo, name: str, *_arguments: Any, **_more: Any) -> str:
    return name if name in COMMANDS else ""


class OneServer(Scenario):
    """A server alone; what it is and what it holds is told by its configuration, its state and its documents."""

    module = "mongodb_replica_set_repair"
    finely = False
    undoable = False
    effects: Sequence[Effect] = ((Mongo, "command", _command),)

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.mongod = Mongod(lab.path / "mongod")
        lab.finish(self.mongod.close)
        self.mongod.start()
        self.fill()

    def fill(self) -> None:
        """Break it."""

    def arguments(self) -> dict[str, Any]:
        return {**self.mongod.params, "wait": 60}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def look(self, change: Change) -> dict[str, Any] | None:
        with Mongo(self.mongod.params) as mongo:
            return now_image(mongo, change)

    def hosts(self) -> list[str] | None:
        """Of the configuration, whether it is in force or not."""
        with self.mongod.client() as client:
            document = client.local["system.replset"].find_one()
        return None if document is None else [row["host"] for row in document["members"]]


class Initiated(OneServer):
    """A set that was never initiated."""

    def dump(self) -> Any:
        """A server that has just been initiated is PRIMARY in a moment."""
        initiated = self.hosts() is not None
        if initiated:
            self.mongod.wait_primary()
        return {"initiated": initiated}

    def restore(self, dump: Any) -> None:
        if self.dump() == dump:
            return
        if dump["initiated"]:
            raise AssertionError(dump)  # nothing ever has to be put back into that
        self.mongod.kill()
        shutil.rmtree(self.mongod.dbpath)
        self.mongod.start(port=free_port())


class Kept(OneServer):
    """In maintenance mode, for which it was asked twice."""

    def fill(self) -> None:
        self.mongod.initiate()
        self.mongod.maintenance(times=2)

    def dump(self) -> Any:
        """How often it is kept in the mode; one that is let out may go on being stepped down."""
        (itself,) = self.mongod.status()["members"]
        return {"times": int(itself.get("maintenanceMode", 0)), "primary": self.mongod.is_primary()}

    def restore(self, dump: Any) -> None:
        if self.dump() == dump:
            return
        if not dump["times"]:
            raise AssertionError(dump)  # nothing ever has to be put back into that
        now = self.dump()
        if now["primary"]:
            self.mongod.step_down(600)
        for _time in range(dump["times"] - now["times"]):
            self.mongod.command("replSetMaintenance", True)
        self.mongod.wait_state(3)


class Moved(OneServer):
    """On another port than its configuration says."""

    def fill(self) -> None:
        self.mongod.initiate()
        self.mongod.write({"_id": "kept"})
        self.move()

    def move(self) -> None:
        """A server that starts has no configuration yet."""
        self.mongod.kill()
        self.mongod.start(port=free_port())
        wait_for(self.mongod.config, "its configuration is loaded")

    def dump(self) -> Any:
        moved = self.hosts() != [self.mongod.host]
        if not moved:
            self.mongod.wait_primary()
        return {"moved": moved, "documents": None if moved else self.mongod.documents()}

    def restore(self, dump: Any) -> None:
        if self.dump() != dump:
            self.move()


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"mongodb_replica_set_repair": (Initiated, Kept, Moved)}
