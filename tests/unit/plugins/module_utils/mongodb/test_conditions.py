# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a look at a server means, by tables. The answers are those of real servers; the integration tests get them from real ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.conditions import CONDITIONS, Verdict, judge
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.info import MENDED, facts, findings
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.observation import Observation, members, votes

SAME_HELLO = {"isWritablePrimary": False, "ismaster": False, "secondary": False, "isreplicaset": True, "info": "Does not have a valid replica set config"}
PRIMARY_HELLO = {"isWritablePrimary": True, "setName": "rs0"}
SECONDARY_HELLO = {"isWritablePrimary": False, "secondary": True, "setName": "rs0"}
LOST_HELLO = {"isWritablePrimary": False, "secondary": False, "setName": "rs0"}
ALONE_HELLO = {"isWritablePrimary": True}


def config(*hosts: str, name: str = "rs0", **of_member: Any) -> dict[str, Any]:
    rows = [{"_id": n, "host": host, "votes": 1, "priority": 1.0} for n, host in enumerate(hosts or ("a:1",))]
    rows[-1].update(of_member)
    return {"_id": name, "version": 73386, "members": rows}


def optime(seconds: int, increment: int = 1, term: int = 1) -> dict[str, Any]:
    return {"ts": {"$timestamp": {"t": seconds, "i": increment}}, "t": term}


def status(*states: int, **of_itself: Any) -> dict[str, Any]:
    """The first member is the one that was asked."""
    rows: list[dict[str, Any]] = [
        {
            "_id": n,
            "name": "%s:1" % "abcde"[n],
            "state": state,
            "health": 0.0 if state == 8 else 1.0,
            "optime": optime(0 if state == 8 else 1000),
            "uptime": 500,
        }
        for n, state in enumerate(states)
    ]
    rows[0].update({"self": True}, **of_itself)
    return {"set": "rs0", "myState": states[0], "members": rows}


def refused(code: int, hello: dict[str, Any] | None = None, **more: Any) -> Observation:
    return Observation("a:1", SAME_HELLO if hello is None else hello, 0, "6.0.5", status_code=code, **more)


def answered(hello: dict[str, Any], seen: dict[str, Any], **more: Any) -> Observation:
    hosts = [row["name"] for row in seen["members"]]
    known: dict[str, Any] = {"config": config(*hosts), "config_code": 0, "command_line_set": "rs0", "command_line_code": 0, **more}
    return Observation("a:1", hello, 0, "6.0.5", seen, 0, **known)


@pytest.mark.parametrize(
    ("seen", "condition", "writes"),
    [
        # no server, or none to speak with
        (Observation("a:1", unreachable=True), "unreachable", "no"),
        (Observation("a:1", unsupported=True), "unsupported_version", "unknown"),
        (replace(answered(PRIMARY_HELLO, status(1)), unreachable=True), "unreachable", "no"),  # gone while it was asked
        # refused, by code
        (Observation("a:1", hello_code=18), "unauthorized", "unknown"),
        (Observation("a:1", hello_code=334), "unauthorized", "unknown"),
        (refused(13, PRIMARY_HELLO, config_code=13, command_line_code=13), "unauthorized", "yes"),
        (refused(13, SECONDARY_HELLO), "unauthorized", "no"),
        (refused(13, ALONE_HELLO), "unauthorized", "unsafe"),
        (refused(76, ALONE_HELLO, stored_code=0), "standalone", "unsafe"),
        (refused(76, ALONE_HELLO, stored_code=13), "standalone", "unsafe"),
        (refused(76, ALONE_HELLO, stored=config(), stored_code=0), "standalone_on_replica_data", "unsafe"),
        (refused(94, config_code=94, command_line_set="rs0", command_line_code=0), "not_initiated", "no"),
        (refused(93, config=config(), config_code=0, command_line_set="rs0", command_line_code=0), "removed", "no"),
        (refused(93, config=config(), config_code=0, command_line_set="rs1", command_line_code=0), "wrong_set_name", "no"),
        (refused(93, config=config(), config_code=0, command_line_code=13), "removed", "no"),
        (refused(93, config_code=13, command_line_set="rs1", command_line_code=0), "removed", "no"),
        (refused(59, {"isWritablePrimary": True, "msg": "isdbgrid"}), "unknown", "unknown"),
        (refused(-1), "unknown", "unknown"),
        (refused(12345), "unknown", "unknown"),
        # by state
        (answered(PRIMARY_HELLO, status(1)), "healthy", "yes"),
        (answered(PRIMARY_HELLO, status(1, 2, 2)), "healthy", "yes"),
        (answered(PRIMARY_HELLO, status(1, 2, 8)), "healthy", "yes"),
        (answered(PRIMARY_HELLO, status(1, 8, 8)), "no_majority", "unsafe"),
        (answered(PRIMARY_HELLO, status(1, 2)), "healthy", "yes"),  # an even number is nothing bad
        (answered(LOST_HELLO, status(1)), "starting", "no"),  # elected, and still draining
        (answered(SECONDARY_HELLO, status(2, 1, 2)), "secondary", "no"),
        (answered(SECONDARY_HELLO, status(2, 1)), "secondary", "no"),
        (answered(SECONDARY_HELLO, status(2)), "stepped_down", "no"),
        (answered(SECONDARY_HELLO, status(2, 2, 2)), "stepped_down", "no"),
        (answered(SECONDARY_HELLO, status(2, 2, 8)), "stepped_down", "no"),
        (answered(SECONDARY_HELLO, status(2, 8, 8)), "no_majority", "no"),
        (answered(SECONDARY_HELLO, status(2, 8)), "no_majority", "no"),
        (answered(SECONDARY_HELLO, status(2, 6, 6)), "no_majority", "no"),
        (answered(LOST_HELLO, status(3, maintenanceMode=2)), "maintenance", "no"),
        (answered(LOST_HELLO, status(3, 1, maintenanceMode=1)), "maintenance", "no"),
        (answered(LOST_HELLO, status(3, 1)), "starting", "no"),
        (answered(LOST_HELLO, status(3, 1, maintenanceMode=1), log_ids=(21358, 21358, 21126, 21358)), "too_stale", "no"),
        (answered(LOST_HELLO, status(3, 1, maintenanceMode=1), log_ids=(21126, 21358, 21358, 21358)), "maintenance", "no"),  # it had caught up since
        (answered(LOST_HELLO, status(3, 1, maintenanceMode=1, optime=optime(900))), "too_stale", "no"),  # before 4.4, by what it lacks
        (answered(LOST_HELLO, status(3, 1, maintenanceMode=1, optime=optime(900), uptime=5)), "maintenance", "no"),
        (answered(LOST_HELLO, status(3, 1, maintenanceMode=1, optime=optime(900), syncSourceHost="b:1")), "maintenance", "no"),
        (answered(LOST_HELLO, status(0)), "starting", "no"),
        (answered(LOST_HELLO, status(5, 1)), "starting", "no"),
        (answered(LOST_HELLO, status(9, 1)), "rollback", "no"),
        (answered(LOST_HELLO, status(7, 1)), "arbiter", "no"),
        (answered(LOST_HELLO, status(4)), "unknown", "unknown"),
    ],
)
def test_every_condition(seen: Observation, condition: str, writes: str) -> None:
    verdict = judge(seen)
    assert (verdict.condition, verdict.writes) == (condition, writes)
    assert verdict.meaning
    assert verdict.fine == (condition in ("healthy", "secondary", "arbiter")) == (not verdict.remedy)
    first = findings(seen, verdict, 60.0)[0].to_dict()
    assert (first["code"], first["subject"]) == ("mongodb.replica_set." + condition, "a:1")
    assert (first["remedy"] or {}).get("playbook") == ("fieldops.runbooks.talus_replica_set" if condition in MENDED else None)
    assert facts(seen, verdict)["condition"] == condition


def test_every_condition_has_a_test() -> None:
    (mark,) = test_every_condition.pytestmark  # type: ignore[attr-defined]
    assert {row[1] for row in mark.args[1]} == set(CONDITIONS)


def test_texts_decide_nothing() -> None:
    """The same answers with other words."""
    removed = refused(93, {**SAME_HELLO, "info": "anything"}, config=config(), config_code=0, command_line_set="rs0", command_line_code=0)
    assert judge(removed).condition == "removed"
    seen = status(3, infoMessage="Could not find member to sync from", maintenanceMode=1)
    assert judge(answered(LOST_HELLO, seen)).condition == "maintenance"


def test_votes_are_counted_not_members() -> None:
    seen = answered(SECONDARY_HELLO, status(2, 2, 8), config=config("a:1", "b:1", "c:1", votes=0, priority=0))
    assert (votes(seen).total, votes(seen).alive, votes(seen).needed) == (2, 2, 2)
    assert judge(seen).condition == "stepped_down"
    without = answered(SECONDARY_HELLO, status(2, 8, 2), config=config("a:1", "b:1", "c:1", votes=0, priority=0))
    assert judge(without).condition == "no_majority"
    told = answered(SECONDARY_HELLO, {**status(2, 8, 2), "majorityVoteCount": 3})
    assert votes(told).needed == 3


def test_members_as_they_are_seen() -> None:
    rows = status(1, 2, 8)
    rows["members"][1]["optime"] = optime(900, 5)
    rows["members"][2]["lastHeartbeatMessage"] = "Connection refused"
    seen = answered(PRIMARY_HELLO, rows)
    first, second, third = members(seen)
    assert (first.itself, first.behind, second.behind, third.behind) == (True, 0, 100, None)
    assert second.optime == (1, 900, 5) < first.optime
    assert (third.alive, third.message) == (False, "Connection refused")
    codes = [(each.code, each.subject) for each in findings(seen, judge(seen), 60.0)]
    assert codes == [("mongodb.replica_set.healthy", "a:1"), ("mongodb.member.behind", "b:1"), ("mongodb.member.down", "c:1")]
    assert len(findings(seen, judge(seen), 100.0)) == 2


def test_optimes_of_before_3_2_and_none_at_all() -> None:
    rows = status(1, 7)
    rows["members"][0]["optime"] = {"$timestamp": {"t": 1000, "i": 3}}
    rows["members"][1].pop("optime")
    first, arbiter = members(answered(PRIMARY_HELLO, rows))
    assert (first.optime, first.behind) == ((-1, 1000, 3), 0)
    assert (arbiter.arbiter, arbiter.behind) == (True, None)


def test_two_primaries() -> None:
    seen = answered(PRIMARY_HELLO, status(1, 1, 2))
    found = findings(seen, judge(seen), 60.0)
    assert (found[-1].code, found[-1].severity, found[-1].detail) == ("mongodb.replica_set.two_primaries", "critical", {"hosts": ["a:1", "b:1"]})


def test_a_name_that_may_not_be_known_is_said_so() -> None:
    unknown = judge(refused(93, config=config("old:1"), config_code=0, command_line_code=13))
    assert unknown.detail == {"stored_set": "rs0", "command_line_set": None, "configured_hosts": ["old:1"]}
    assert "old:1" in unknown.meaning
    assert "--replSet" in unknown.meaning
    known = judge(refused(93, config=config("old:1"), config_code=0, command_line_set="rs0", command_line_code=0))
    assert "--replSet" not in known.meaning


def test_a_verdict_of_an_unknown_condition_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        Verdict("ill")
