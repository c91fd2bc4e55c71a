# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done about each condition, and what is not, by tables; and a property: a repair that was carried out leaves nothing to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.conditions import CONDITIONS, judge
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.observation import Observation
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.peers import split
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.repair_act import with_port
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.repair_guards import guards
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.repair_plan import Peer, RepairState, Wish, plan, told
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.restart_plan import Runner
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import plan_sha256
from hypothesis import given
from hypothesis import strategies as st

HOSTS = ("a:1", "b:1", "c:1", "d:1", "e:1")
STARTED = {"command_line_set": "rs0", "command_line_code": 0}
UNIT = Runner(pid=7, argv=("/usr/bin/mongod", "--port", "1"), unit="mongod.service", manager="systemd", drop_in="/etc/systemd/system/mongod.service.d/x.conf")
BY_HAND = Runner("mongod (pid 7) belongs to no service.", "start it as a service.", 7)
EMPTY = Wish()


def config(*hosts: str, name: str = "rs0", version: int = 1, **of_first: Any) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [{"_id": n, "host": host, "votes": 1, "priority": 1.0} for n, host in enumerate(hosts)]
    if rows:
        rows[0].update(of_first)
    return {"_id": name, "version": version, "term": version, "members": rows, "settings": {"electionTimeoutMillis": 10000}}


def state(seen: Observation, **more: Any) -> RepairState:
    return RepairState(seen, judge(seen), **more)


def refused(code: int, **more: Any) -> Observation:
    return Observation("a:1", {"isWritablePrimary": code == 76}, 0, "6.0.5", status_code=code, **{**STARTED, **more})


def answered(*states: int, optimes: tuple[int, ...] = (), of_first: dict[str, Any] | None = None, **of_itself: Any) -> Observation:
    rows: list[dict[str, Any]] = []
    for n, each in enumerate(states):
        stamp = {"ts": {"$timestamp": {"t": optimes[n] if optimes else 1000, "i": 1}}, "t": 1}
        rows.append({"_id": n, "name": HOSTS[n], "state": each, "health": 0.0 if each == 8 else 1.0, "optime": stamp, "uptime": 500})
    rows[0].update({"self": True}, **of_itself)
    hello = {"isWritablePrimary": states[0] == 1, "setName": "rs0"}
    seen = {"myState": states[0], "members": rows}
    return Observation("a:1", hello, 0, "6.0.5", seen, 0, config(*HOSTS[: len(states)], **(of_first or {})), 0, **STARTED)


def lost(*gone: int, size: int = 3, **more: Any) -> RepairState:
    """A survivor, some members that are gone, and others that are there as well."""
    optimes = more.pop("optimes", tuple([1000] * size))
    seen = answered(*[8 if n in gone else 2 for n in range(size)], optimes=optimes, of_first=more.pop("of_first", None))
    peers = tuple(
        Peer(HOSTS[n], False, "Connection refused") if n in gone else Peer(HOSTS[n], True, "", True, "no_majority", 2, (1, optimes[n], 1))
        for n in range(1, size)
    )
    known = {"peers": peers, "silence": {HOSTS[n]: 60.0 for n in range(1, size)}, **more}
    return state(seen, **known)


NOT_INITIATED = state(refused(94), own_host="a:1", collections=0)
REMOVED = state(refused(93, config=config("old:1"), config_code=0), own_host="a:1", peers=(Peer("old:1", False, "Name or service not known"),))
ALONE = refused(76, stored_code=0, command_line_set="")
ON_DATA = refused(76, stored=config("a:1"), stored_code=0, command_line_set="")
WRONG_NAME = refused(93, config=config("a:1"), config_code=0, command_line_set="rs1")


@pytest.mark.step("T14")
@pytest.mark.parametrize(
    ("seen", "wish", "actions", "losses"),
    [
        (state(answered(1)), EMPTY, [], []),
        (state(answered(1, 2, 8)), EMPTY, [], []),
        (state(answered(2, 1, 2)), EMPTY, [], []),
        (NOT_INITIATED, EMPTY, ["initiate"], [""]),
        (replace(NOT_INITIATED, collections=3), EMPTY, ["initiate"], ["data of rs0 that a:1 does not have"]),
        (replace(NOT_INITIATED, collections=None), EMPTY, ["initiate"], ["data of rs0 that a:1 does not have"]),
        (REMOVED, EMPTY, ["correct_host"], [""]),
        (replace(REMOVED, doubt="it may have been dropped"), EMPTY, ["correct_host"], ["data of rs0 that a:1 does not have"]),
        (state(answered(2)), EMPTY, ["lift_step_down"], [""]),
        (state(answered(2)), Wish(stepped_down="wait"), [], []),
        (state(answered(3, maintenanceMode=2)), EMPTY, ["leave_maintenance"], [""]),
        (state(answered(3, 1, 2, maintenanceMode=1)), EMPTY, ["leave_maintenance"], [""]),
        (state(ALONE, own_host="a:1", collections=0, runner=UNIT), Wish(replica_set="rs0"), ["set_replset", "restart", "initiate"], ["", "", ""]),
        (state(ON_DATA, runner=UNIT), EMPTY, ["set_replset", "restart"], ["", ""]),
        (state(WRONG_NAME, runner=UNIT), EMPTY, ["set_replset", "restart"], ["", ""]),
        (lost(1, 2), EMPTY, ["drop_member", "drop_member"], ["b:1", "c:1"]),
        (lost(2, 3, 4, size=5), EMPTY, ["drop_member"] * 3, ["c:1", "d:1", "e:1"]),
    ],
)
def test_what_is_done(seen: RepairState, wish: Wish, actions: list[str], losses: list[str]) -> None:
    changes = plan(seen, wish)
    assert [change.action for change in changes] == actions
    assert [change.data_loss for change in changes] == losses
    if actions:
        assert guards(seen, wish) == []
    assert all(change.reversible == (change.action == "set_replset") for change in changes)


@pytest.mark.step("T14")
@pytest.mark.parametrize(
    ("seen", "wish", "refusals"),
    [
        # what no command mends
        (state(Observation("a:1", unreachable=True)), EMPTY, ["unreachable"]),
        (state(Observation("a:1", unsupported=True)), EMPTY, ["unsupported_version"]),
        (state(refused(13)), EMPTY, ["unauthorized"]),
        (state(answered(5, 1)), EMPTY, ["starting"]),
        (state(answered(9, 1)), EMPTY, ["rollback"]),
        (state(answered(3, 1, optimes=(900, 1000))), EMPTY, ["too_stale"]),
        (state(refused(12345)), EMPTY, ["unknown"]),
        # what is not known
        (replace(NOT_INITIATED, own_host=""), EMPTY, ["host"]),
        (state(refused(94, command_line_set=None, command_line_code=13)), EMPTY, ["replica_set", "host"]),
        (state(ALONE, runner=UNIT), EMPTY, ["replica_set"]),
        (state(refused(76, stored_code=13), runner=UNIT), Wish(replica_set="rs0"), ["data_unknown"]),
        (state(refused(93, config_code=13)), EMPTY, ["configuration"]),
        (state(refused(93, config=config("old:1"), config_code=0, command_line_set=None), own_host="a:1"), EMPTY, ["set_name_unknown"]),
        # what is another server, or another set
        (NOT_INITIATED, Wish(replica_set="rs7"), ["replica_set"]),
        (replace(REMOVED, own_host="old:1"), EMPTY, ["host"]),
        (replace(REMOVED, peers=(Peer("old:1", True, "", True, "healthy", 1, (1, 1, 1), "old:1", "rs0"),)), EMPTY, ["copy"]),
        (replace(REMOVED, own_host="", peers=(Peer("old:1", True, "", True, "healthy", 1, (1, 1, 1), "old:1", "other"),)), EMPTY, ["host"]),
        (state(refused(93, config=config("b:1", "c:1"), config_code=0), own_host="a:1"), EMPTY, ["several_members"]),
        # what cannot be started again
        (state(ON_DATA, runner=BY_HAND), EMPTY, ["restart"]),
        (state(WRONG_NAME, runner=replace(UNIT, drop_in="")), EMPTY, ["restart"]),
        (state(WRONG_NAME, runner=replace(UNIT, config="/c", data=b"replication: {replSetName: rs1}\n")), EMPTY, ["restart"]),
        (state(WRONG_NAME, runner=replace(UNIT, unwritable="/etc is not writable.")), EMPTY, ["rights"]),
        (state(answered(2)), Wish(stepped_down="wait"), ["stepped_down"]),
    ],
)
def test_what_is_refused(seen: RepairState, wish: Wish, refusals: list[str]) -> None:
    found = guards(seen, wish)
    assert [refusal.guard for refusal in found] == refusals
    assert all(refusal.reason.endswith(".") and refusal.allow.endswith(".") for refusal in found)


LOSS = lost(1, 2)
THERE = Peer("b:1", True, "", True, "no_majority", 2, (1, 1000, 1))


@pytest.mark.step("T14")
@pytest.mark.parametrize(
    ("seen", "accepted", "refusals"),
    [
        (LOSS, (), []),
        (LOSS, ("b:1", "c:1"), []),
        (replace(LOSS, silence={"b:1": 60.0, "c:1": 9.0}), (), ["too_soon"]),
        (replace(LOSS, silence={}), (), ["too_soon"]),
        (LOSS, ("b:1", "c:1", "a:1"), ["accept_data_loss"]),
        # somebody is PRIMARY, or may be in a moment
        (state(answered(1, 8, 8), peers=LOSS.peers, silence=LOSS.silence), (), ["primary"]),
        (replace(LOSS, peers=(replace(THERE, primary="c:1"), LOSS.peers[1])), (), ["primary", "majority"]),
        (replace(LOSS, peers=(THERE, LOSS.peers[1])), (), ["majority"]),
        # it hears of a member that cannot be reached from here
        (replace(lost(2, 3, 4, size=5), peers=tuple(Peer(host, False, "timed out") for host in HOSTS[1:])), (), ["not_fenced"]),
        # of those that are left, another one is newer, or cannot be asked
        (lost(2, 3, 4, size=5, optimes=(1000, 1001, 0, 0, 0)), (), ["newest"]),
        (lost(2, 3, 4, size=5, optimes=(1001, 1000, 0, 0, 0)), (), []),
        (replace(lost(2, 3, 4, size=5), peers=(Peer("b:1", True, "no answer"), *lost(2, 3, 4, size=5).peers[1:])), (), ["newest"]),
        # it could not be elected
        (lost(1, 2, of_first={"priority": 0}), (), ["electable"]),
        (lost(1, 2, of_first={"votes": 0, "priority": 0}), (), ["electable"]),
        (replace(LOSS, seen=replace(LOSS.seen, config={}, config_code=13)), (), ["configuration"]),
    ],
)
def test_members_that_are_gone(seen: RepairState, accepted: tuple[str, ...], refusals: list[str]) -> None:
    found = [refusal.guard for refusal in guards(seen, Wish(accepted=accepted))]
    assert found[: len(refusals)] == refusals
    assert bool(found) == bool(refusals)


def test_the_newer_one_is_named() -> None:
    seen = lost(2, 3, 4, size=5, optimes=(1000, 1001, 0, 0, 0))
    assert "b:1 has newer data" in guards(seen, EMPTY)[0].reason


def test_every_condition_is_thought_of() -> None:
    """Each is fine, is repaired, or is refused."""
    for condition, kind in CONDITIONS.items():
        seen = replace(state(answered(1)), verdict=replace(judge(answered(1)), condition=condition), runner=BY_HAND)
        if kind.severity != "ok":
            assert plan(seen, EMPTY) or guards(seen, EMPTY), condition
        assert told(seen)["condition"] == condition


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_plan_does_not_depend_on_versions(one: int, other: int) -> None:
    """A force lets them jump at random; what was approved must stay approved."""
    hashes = set()
    for version in (one, other):
        seen = replace(REMOVED, seen=replace(REMOVED.seen, config=config("old:1", version=version)))
        gone = replace(LOSS, seen=replace(LOSS.seen, config=config("a:1", "b:1", "c:1", version=version)), silence={"b:1": one + 10.0, "c:1": other + 10.0})
        hashes.add((plan_sha256("x", plan(seen, EMPTY)), plan_sha256("x", plan(gone, EMPTY))))
    assert len(hashes) == 1


@given(st.lists(st.booleans(), min_size=2, max_size=4), st.integers(0, 3))
def test_what_was_carried_out_leaves_nothing(gone: list[bool], behind: int) -> None:
    """Whoever is dropped, the others are a set with a majority."""
    numbers = [n for n, away in enumerate(gone, 1) if away]
    seen = lost(*numbers, size=len(gone) + 1, optimes=(1000, *[1000 - behind] * len(gone)))
    if seen.condition != "no_majority" or guards(seen, EMPTY):
        assert seen.condition in ("no_majority", "stepped_down")
        return
    dropped = {change.data_loss for change in plan(seen, EMPTY)}
    left = [row for row in seen.members if row.host not in dropped]
    after = state(answered(1, *[2] * (len(left) - 1)))
    assert after.condition == "healthy"
    assert plan(after, EMPTY) == [] and guards(after, EMPTY) == []


@pytest.mark.parametrize(
    ("host", "parts"),
    [("db:27018", ("db", 27018)), ("db", ("db", 27017)), ("[::1]:7", ("::1", 7)), ("[::1]", ("::1", 27017)), ("::1", ("::1", 27017))],
)
def test_hosts(host: str, parts: tuple[str, int]) -> None:
    assert split(host) == parts


@pytest.mark.parametrize(
    ("host", "own", "wanted"),
    [("", "a:1", ""), ("db", "a:1", "db:1"), ("db:5", "a:1", "db:5"), ("db:27017", "a:1", "db:27017"), ("db", "", "db:27017")],
)
def test_a_host_without_a_port(host: str, own: str, wanted: str) -> None:
    assert with_port(host, own) == wanted
