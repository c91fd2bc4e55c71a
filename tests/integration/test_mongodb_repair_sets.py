# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replica sets of several real mongods, written to all the while: whatever is repaired or refused, no write that a majority acknowledged is lost."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.mongo import Cluster, Mongod, wait_for
from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError
from support import run_module, run_ok, run_refused

MODULE = "mongodb_replica_set_repair"
TESTABLE = ("--setParameter", "enableTestCommands=1")
Result = dict[str, Any]


class Writer(threading.Thread):
    """Writes document after document to whoever is PRIMARY, and notes those that a majority has acknowledged."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.addresses = [(member.params["login_host"], member.port) for member in cluster.members]
        self.acknowledged: list[int] = []
        self.over = threading.Event()
        self.number = 0

    def run(self) -> None:
        clients = [self._client(*address) for address in self.addresses]
        turn = 0
        while not self.over.is_set():
            self.number += 1
            try:
                collection = clients[turn].talus.get_collection("ledger", write_concern=WriteConcern(w="majority", wtimeout=2000))
                collection.insert_one({"_id": self.number})
                self.acknowledged.append(self.number)
            except PyMongoError:
                turn = (turn + 1) % len(clients)
            self.over.wait(0.01)
        for client in clients:
            client.close()

    @staticmethod
    def _client(host: str, port: int) -> MongoClient[dict[str, Any]]:
        limits = {"serverSelectionTimeoutMS": 500, "connectTimeoutMS": 500, "socketTimeoutMS": 5000}
        return MongoClient(host, port, directConnection=True, retryWrites=False, **limits)

    def goes_on(self) -> None:
        """Another write is acknowledged from now on."""
        count = len(self.acknowledged)
        wait_for(lambda: len(self.acknowledged) > count, "a majority acknowledges writes")

    def stop(self) -> set[int]:
        self.over.set()
        self.join()
        return set(self.acknowledged)


class Set:
    """A replica set under a writer, and the module that is run on its members."""

    def __init__(self, cluster: Cluster, journal_dir: str) -> None:
        self.cluster = cluster
        self.journal_dir = journal_dir
        self.writer = Writer(cluster)

    def run(self, member: Mongod, check: bool = False, **options: Any) -> Result:
        return run_module(MODULE, self.arguments(member, **options), check)

    def arguments(self, member: Mongod, **options: Any) -> dict[str, Any]:
        return {**member.params, "journal_dir": self.journal_dir, "wait": 90, **options}

    def repaired(self, member: Mongod, **options: Any) -> Result:
        expected = run_ok(MODULE, self.arguments(member, **options), check=True)
        made = run_ok(MODULE, self.arguments(member, **options, approved_plan=expected["plan_sha256"]))
        assert made["changed"] and made["plan_sha256"] == expected["plan_sha256"]
        assert made["replica_set"]["proven_at"]
        return made

    def untouched(self, member: Mongod, condition: str) -> Result:
        before = member.config()
        result = run_ok(MODULE, self.arguments(member))
        assert result["changed"] is False and result["replica_set"]["condition"] == condition
        assert {**member.config(), "term": 0} == {**before, "term": 0}
        return result

    def refused(self, member: Mongod, *guards: str, **options: Any) -> Result:
        result = run_refused(MODULE, self.arguments(member, **options))
        assert tuple(refusal["guard"] for refusal in result["refusals"]) == guards
        return result

    def holds_all(self) -> None:
        """Everything that was acknowledged is there."""
        acknowledged = self.writer.stop()
        assert acknowledged
        assert acknowledged - ledger(self.cluster.wait_primary()) == set()


@pytest.fixture
def of(tmp_path: Path, journal_dir: str) -> Iterator[Callable[..., Set]]:
    """``of(3)`` is a set of three that is written to; at the end of the test nothing that was acknowledged may be missing."""
    with contextlib.ExitStack() as stack:

        def make(size: int = 3, options: tuple[str, ...] = (), **initiation: Any) -> Set:
            cluster = stack.enter_context(Cluster(tmp_path / "set", size, options=options))
            made = Set(cluster.initiate(**initiation), journal_dir)
            stack.callback(made.writer.stop)
            made.writer.start()
            made.writer.goes_on()
            return made

        yield make


def ledger(member: Mongod) -> set[int]:
    return {document["_id"] for document in member.documents(collection="ledger")}


def actions(result: Result) -> list[tuple[str, str]]:
    return [(change["action"], change["subject"]) for change in result["changes"]]


def hold_back(member: Mongod, held: bool) -> None:
    """A member that hears of everything and copies nothing."""
    member.command("configureFailPoint", "stopReplProducer", mode="alwaysOn" if held else "off")


@pytest.mark.step("T14")
@pytest.mark.thorough
def test_a_set_that_keeps_its_majority(of: Callable[..., Set]) -> None:
    """Who has a primary is left alone, wherever it is; who has none though a majority is alive gets one back; nothing is forced."""
    made = of(3)
    first, second, third = made.cluster.members
    made.untouched(first, "healthy")
    told = made.untouched(second, "secondary")
    assert told["replica_set"]["primary"] == first.host

    # One of them is gone: the others go on, and are left alone.
    third.kill()
    made.writer.goes_on()
    made.untouched(first, "healthy")
    third.start().wait_state(2)

    # The primary steps down, and the others have one of them elected.
    first.step_down(30)
    made.writer.goes_on()
    made.untouched(first, "secondary")

    # A member is kept from its work.
    other = made.cluster.secondaries()[0]
    other.maintenance(times=2)
    assert actions(made.repaired(other)) == [("leave_maintenance", f"mongodb:{other.host}")]
    other.wait_state(2)
    made.untouched(other, "secondary")

    # Nobody may be elected.
    primary = made.cluster.wait_primary()
    for member in made.cluster.secondaries():
        member.command("replSetFreeze", 600)
    primary.step_down(600)
    result = made.repaired(primary)
    assert actions(result) == [("lift_step_down", f"mongodb:{primary.host}")]
    made.writer.goes_on()
    assert made.cluster.wait_primary().config()["version"] == 1

    # The address of one has changed. A configuration that is forced on it would part it from the others.
    refused = made.refused(made.cluster.secondaries()[0].move(), "several_members")
    assert "at the primary, without force" in refused["msg"]
    made.writer.goes_on()
    made.holds_all()


@pytest.mark.step("T14")
@pytest.mark.thorough
def test_the_last_of_three(of: Callable[..., Set]) -> None:
    """Refused without the names of the lost ones, with one of them only, and with one that is there. What the last one has stays."""
    made = of(3)
    survivor, *lost = made.cluster.members
    hosts = [member.host for member in lost]
    version = survivor.config()["version"]
    # The survivor is the primary, without which no majority has acknowledged anything.
    made.cluster.lose_majority()

    # It has not been a moment ago that they were there, so the first run waits for that to be over.
    refused = made.refused(survivor, "accept_data_loss")
    assert all(host in refused["msg"] for host in hosts)
    assert [change["data_loss"] for change in refused["changes"]] == hosts
    made.refused(survivor, "accept_data_loss", accept_data_loss=hosts[:1])
    made.refused(survivor, "accept_data_loss", accept_data_loss=[*hosts, survivor.host])
    assert survivor.config()["version"] == version
    assert survivor.state() == 2

    result = made.repaired(survivor, accept_data_loss=hosts)
    assert actions(result) == [("drop_member", f"member:{host} of rs0") for host in hosts]
    assert not any(change["reversible"] for change in result["changes"])
    kept = Path(made.journal_dir, "runs", result["undo_id"] + ".jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert all(host in kept for host in hosts)
    made.untouched(survivor, "healthy")
    made.writer.goes_on()

    # One of the lost comes back. It finds itself removed, and must not be made a second set of the same name.
    (config,) = survivor.config()["members"]
    assert config["host"] == survivor.host
    back = lost[0].start()
    wait_for(lambda: "setName" not in back.hello(), "it has heard of the configuration without it")
    assert survivor.host in made.refused(back, "copy")["msg"]
    survivor.stop()
    refused = made.refused(back, "accept_data_loss")
    assert "another server was PRIMARY since" in str(refused["findings"])
    survivor.start().wait_primary()
    made.writer.goes_on()
    made.holds_all()


@pytest.mark.step("T14")
@pytest.mark.thorough
def test_one_that_somebody_else_has_dropped(of: Callable[..., Set]) -> None:
    """By a force of which no election has followed, as the runbook's: nothing tells of it but that this server never was the one member."""
    made = of(2)
    kept, dropped = made.cluster.members
    dropped.stop()
    config = kept.config()
    kept.command("replSetReconfig", {**config, "members": config["members"][:1]}, force=True)
    dropped.start()
    wait_for(lambda: "setName" not in dropped.hello(), "it has heard of the configuration without it")
    kept.wait_primary().stop()
    refused = made.refused(dropped, "accept_data_loss")
    assert "it may have been dropped" in str(refused["findings"])
    # The one that was kept is another matter: it has moved, and nothing else.
    made.repaired(kept.start().move())
    made.holds_all()


@pytest.mark.step("T14")
def test_the_newest_of_those_that_are_left(of: Callable[..., Set]) -> None:
    """Two of four are lost. The one that is behind is refused and names the other; on that one, nothing that was acknowledged is lost."""
    made = of(4, options=TESTABLE)
    newest, behind, *lost = made.cluster.members
    hosts = [member.host for member in lost]
    hold_back(behind, True)
    made.writer.goes_on()
    for member in lost:
        member.kill()
    made.cluster.wait_no_primary()
    refused = made.refused(behind, "newest", "accept_data_loss")
    assert f"{newest.host} has newer data" in refused["msg"]
    assert made.refused(behind, "newest", accept_data_loss=hosts)

    hold_back(behind, False)
    result = made.repaired(newest, accept_data_loss=hosts)
    assert [change["data_loss"] for change in result["changes"]] == hosts
    made.writer.goes_on()
    made.holds_all()
    assert {row["host"] for row in newest.config()["members"]} == {newest.host, behind.host}


@pytest.mark.step("T14")
@pytest.mark.thorough
def test_a_majority_that_is_not_lost_and_one_that_nobody_here_can_replace(of: Callable[..., Set]) -> None:
    """Members that hang may go on at any moment, with a primary of their own. One that may not be elected would have an older one elected in its place."""
    made = of(3, members={0: {"priority": 2}, 1: {"priority": 0}})
    survivor, *hung = made.cluster.members
    for member in hung:
        member.freeze()
    try:
        wait_for(lambda: survivor.state() == 2, "the survivor gives up")
        made.refused(survivor, "majority", "newest", "accept_data_loss", accept_data_loss=[member.host for member in hung], timeout=1)
    finally:
        for member in hung:
            member.thaw()
    made.writer.goes_on()
    assert made.cluster.wait_primary().config()["version"] == 1

    left = made.cluster.lose_majority(survivor=1)
    lost = [made.cluster[0], made.cluster[2]]
    refused = made.refused(left, "electable", accept_data_loss=[member.host for member in lost])
    assert "priority 0" in refused["msg"]
    for member in lost:
        member.start()
    made.writer.goes_on()
    made.holds_all()


@pytest.mark.step("T14")
def test_a_member_that_can_never_catch_up(of: Callable[..., Set]) -> None:
    """No command helps it, and its data are not touched."""
    made = of(2, options=("--syncdelay", "1"), members={1: {"priority": 0, "votes": 0}})
    stale = made.cluster.make_too_stale(1)
    started = time.monotonic()
    wait_for(lambda: made.run(stale, check=True, wait=5)["replica_set"]["condition"] == "too_stale", "it is found too stale")
    refused = made.refused(stale, "too_stale")
    assert time.monotonic() - started < 90
    assert "Never do so with the only copy" in refused["msg"]
    made.holds_all()
