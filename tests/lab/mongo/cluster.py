# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replica sets of several real mongods."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo.errors import PyMongoError

from lab.mongo.server import Mongod, wait_for

IN_ROLLBACK, IN_COPYING = "rollbackHangAfterTransitionToRollback", "initialSyncHangBeforeCopyingDatabases"
NOT_COPYING = "stopReplProducer"
SETTINGS = {"heartbeatIntervalMillis": 500, "heartbeatTimeoutSecs": 5, "electionTimeoutMillis": 5000}
"""Quicker than the default (2 s, 10 s, 10 s), so that tests wait less."""


class Cluster:
    """Members of one set, each a `Mongod`."""

    def __init__(self, folder: Path, size: int = 3, version: str = "6.0", replset: str = "rs0", options: Sequence[str] = ()) -> None:
        self.members = [Mongod(folder / f"member{n}", version, replset, options=options) for n in range(size)]
        self.replset = replset

    def __enter__(self) -> Cluster:
        for member in self.members:
            member.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        for member in self.members:
            member.close()

    def __getitem__(self, number: int) -> Mongod:
        return self.members[number]

    def initiate(self, settings: dict[str, Any] | None = None, members: dict[int, dict[str, Any]] | None = None) -> Cluster:
        """All of them in one set. `members` has more of a member's document, by its number: ``{1: {"priority": 0, "votes": 0}}``.

        The first one becomes PRIMARY, unless that was left to them by giving priorities.
        """
        rows = [{"_id": n, "host": member.host, **(members or {}).get(n, {})} for n, member in enumerate(self.members)]
        if members is None and len(rows) > 1:
            rows[0]["priority"] = 2
        config = {"_id": self.replset, "version": 1, "members": rows, "settings": SETTINGS if settings is None else settings}
        self.members[0].command("replSetInitiate", config)
        self.wait_primary()
        wait_for(lambda: all(member.state() in {1, 2, 7} for member in self.members), "all members have their data")
        if members is None:
            wait_for(self.members[0].is_primary, "the first member is PRIMARY")
        self._settle()
        return self

    def _settle(self) -> None:
        """A member that dies before its first checkpoint would have to copy everything anew, and two of those cannot help each other."""
        self.wait_primary().write(database="laboratory")
        for member in self.members:
            wait_for(functools.partial(member.command, "fsync"), f"{member.host} has a checkpoint")

    @property
    def alive(self) -> list[Mongod]:
        return [member for member in self.members if member.pid is not None]

    def primary(self) -> Mongod | None:
        """Who takes writes now."""
        for member in self.alive:
            try:
                if member.is_primary():
                    return member
            except PyMongoError:
                continue
        return None

    def wait_primary(self) -> Mongod:
        found = wait_for(self.primary, "one member is PRIMARY")
        if found is None:  # which wait_for does not return
            raise AssertionError
        return found

    def secondaries(self) -> list[Mongod]:
        primary = self.wait_primary()
        return [member for member in self.alive if member is not primary]

    def wait_no_primary(self) -> None:
        """Until those that live have noticed that nobody is PRIMARY."""
        wait_for(lambda: self.primary() is None and all(self._sees_none(member) for member in self.alive), "nobody is PRIMARY")

    @staticmethod
    def _sees_none(member: Mongod) -> bool:
        return not any(each["state"] == 1 and each["health"] for each in member.status()["members"])

    def lose_majority(self, survivor: int = 0) -> Mongod:
        """All members but one die, and that one has noticed. The survivor."""
        for n, member in enumerate(self.members):
            if n != survivor:
                member.kill()
        left = self.members[survivor]
        self.wait_no_primary()
        wait_for(lambda: all(not each["health"] for each in left.status()["members"] if not each.get("self")), "the others are seen to be down")
        return left

    def make_rollback(self, number: int = 0, document: dict[str, Any] | None = None) -> Mongod:
        """The PRIMARY, one of three, takes a write that nobody else gets, dies, and has to take it back. It is kept in ROLLBACK until
        `let_go(IN_ROLLBACK)`. The cluster must have the options `TEST_COMMANDS`."""
        loser, others = self.members[number], [member for n, member in enumerate(self.members) if n != number]
        for member in others:
            member.halt_at(NOT_COPYING)
        loser.write(document or {"nobody": "else has this"}, majority=False)
        loser.kill()
        for member in others:
            member.let_go(NOT_COPYING)
        self.wait_primary().write()
        return loser.start_halting(IN_ROLLBACK).wait_state(9)

    def make_copying(self, number: int) -> Mongod:
        """A member whose data directory was emptied copies everything, and is kept in STARTUP2; `let_go(IN_COPYING)`."""
        member = self.members[number]
        member.stop()
        shutil.rmtree(member.dbpath)
        return member.start_halting(IN_COPYING).wait_state(5)

    def make_too_stale(self, number: int = 1, documents: int = 300) -> Mongod:
        """A member that was away for longer than the oplog reaches back. Start the cluster with options ``--syncdelay 1`` and give that
        member priority 0 and votes 0."""
        stale = self.members[number]
        stale.stop()
        primary = self.wait_primary()
        payload = "x" * 900_000
        with primary.client() as client:
            oplog = client.local["oplog.rs"]
            first = oplog.find_one(sort=[("$natural", 1)], projection={"ts": 1}) or {}

            def passed() -> bool:
                client.talus.filler.insert_many([{"payload": payload} for _number in range(20)])
                return bool((oplog.find_one(sort=[("$natural", 1)], projection={"ts": 1}) or {})["ts"] > first["ts"])

            for _number in range(documents // 20):
                client.talus.filler.insert_many([{"payload": payload} for _each in range(20)])
            wait_for(passed, "the oplog no longer reaches back")
            client.talus.filler.drop()
        stale.start()
        return stale.wait_state(3)
