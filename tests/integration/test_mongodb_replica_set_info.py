# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every condition of a replica set, brought about on real mongods; what the module says of reads and writes is tried on them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.mongo import Mongo
from lab.mongo import IN_COPYING, IN_ROLLBACK, TEST_COMMANDS, Cluster, Mongod, wait_for
from mongo_looking import codes, expect, look

VERSIONS = {"6.0": "6.0.5", "5.0": "5.0.4", "4.4": "4.4.2"}


# -- one member ---------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T13")
@pytest.mark.parametrize("version", ["6.0", *(pytest.param(version, marks=pytest.mark.thorough) for version in ("5.0", "4.4"))])
def test_a_set_of_one_through_all_its_conditions(version: str, tmp_path: Path) -> None:
    with Mongod(tmp_path / "db", version, replset=None) as mongod:
        alone = expect(mongod, "standalone")
        assert (alone["version"], alone["set_name"], alone["members"], alone["votes"], alone["command_line_set"]) == (VERSIONS[version], None, [], None, "")
        mongod.restart(replset="rs0")
        fresh = expect(mongod, "not_initiated")
        hello = mongod.hello()
        assert (fresh["set_name"], fresh["config"], fresh["detail"]) == ("rs0", None, {"command_line_set": "rs0"})

        mongod.initiate()
        healthy = expect(mongod, "healthy")
        assert (healthy["writes"], healthy["set_name"], healthy["primary"]) == ("yes", "rs0", mongod.host)
        assert healthy["votes"] == {"total": 1, "alive": 1, "needed": 1}
        (member,) = healthy["members"]
        assert {name: member[name] for name in ("host", "self", "state_name", "healthy", "behind")} == {
            "host": mongod.host,
            "self": True,
            "state_name": "PRIMARY",
            "healthy": True,
            "behind": 0,
        }
        assert healthy["config"]["settings"]["replicaSetId"]["$oid"] == str(mongod.config()["settings"]["replicaSetId"])

        mongod.step_down(600)
        expect(mongod, "stepped_down")
        mongod.maintenance(2)
        maintained = expect(mongod, "maintenance")
        assert (maintained["detail"]["maintenance"], maintained["members"][0]["maintenance"]) == (2, 2)

        former = mongod.host
        mongod.move()
        removed = expect(mongod, "removed")
        assert removed["detail"]["configured_hosts"] == [former]
        assert {name: mongod.hello().get(name) for name in ("info", "setName", "isreplicaset")} == {
            name: hello.get(name) for name in ("info", "setName", "isreplicaset")
        }  # as where nothing was initiated: hello does not tell the two apart
        mongod.restart(replset="rs1")
        wrong = expect(mongod, "wrong_set_name")
        assert (wrong["detail"]["stored_set"], wrong["detail"]["command_line_set"]) == ("rs0", "rs1")
        mongod.restart(replset=None)
        bare = expect(mongod, "standalone_on_replica_data")
        assert (bare["detail"]["stored_set"], bare["set_name"], bare["config"]["members"][0]["host"]) == ("rs0", "rs0", former)

        mongod.kill()
        dead = look(mongod)
        assert (dead["condition"], dead["writes"], dead["version"]) == ("unreachable", "no", None)
        assert dead["findings"][0]["summary"].endswith("Connection refused)")


@pytest.mark.step("T13")
def test_a_look_in_check_mode_costs_little_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = Mongo.command

    def counted(self: Mongo, name: str, *args: Any, **more: Any) -> dict[str, Any]:
        asked.append(name)
        return real(self, name, *args, **more)

    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate()
        before = mongod.config()
        monkeypatch.setattr(Mongo, "command", counted)
        result = look(mongod, check=True)
        monkeypatch.undo()
        assert result["condition"] == "healthy"
        assert asked == ["isMaster", "buildInfo", "replSetGetStatus", "getCmdLineOpts", "replSetGetConfig"]
        assert mongod.config() == before


@pytest.mark.step("T13")
def test_a_server_that_starts_is_never_taken_for_one_without_a_set(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate()
        seen: set[str] = set()
        for end in (mongod.stop, mongod.kill):
            end()
            starting = threading.Thread(target=mongod.start)
            starting.start()
            wait_for(lambda: seen.add(condition := look(mongod)["condition"]) or condition == "healthy", "it is PRIMARY")
            starting.join()
        assert "healthy" in seen
        assert seen <= {"unreachable", "starting", "stepped_down", "healthy"}


def test_the_name_of_the_set_in_a_configuration_file(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    (folder / "mongod.conf").write_text("replication:\n  replSetName: rs7\n")
    with Mongod(folder, replset=None, options=["--config", str(folder / "mongod.conf")]) as mongod:
        assert look(mongod)["command_line_set"] == "rs7"


@pytest.mark.step("T13")
def test_waiting_for_the_end_of_a_step_down(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db") as mongod:
        mongod.initiate().step_down(2)
        result = look(mongod, wait=120)
        assert (result["condition"], result["evidence"]["looks"] > 1) == ("healthy", True)
        mongod.step_down(600)
        given_up = look(mongod, wait=1)
        assert (given_up["condition"], given_up["evidence"]["looks"] > 1) == ("stepped_down", True)


# -- several members ----------------------------------------------------------------------------------------------------------


@pytest.mark.step("T13")
def test_a_set_of_three_that_loses_members_and_its_primary(tmp_path: Path) -> None:
    with Cluster(tmp_path / "set", 3) as cluster:
        cluster.initiate()
        first, second, third = cluster.members
        whole = expect(first, "healthy")
        assert [member["state_name"] for member in whole["members"]] == ["PRIMARY", "SECONDARY", "SECONDARY"]
        assert codes(whole) == ["replica_set.healthy"]
        other = expect(second, "secondary")
        assert (other["primary"], other["detail"]["primary"], other["healthy"]) == (first.host, first.host, True)

        third.kill()
        wait_for(lambda: not first.status()["members"][2]["health"], "the third is seen to be down")
        two = expect(first, "healthy")
        assert (codes(two), two["votes"]) == (["replica_set.healthy", "member.down"], {"total": 3, "alive": 2, "needed": 2})
        assert (two["findings"][1]["subject"], two["findings"][1]["severity"]) == (third.host, "warning")

        survivor = cluster.lose_majority(1)
        lost = expect(survivor, "no_majority")
        assert lost["votes"] == {"total": 3, "alive": 1, "needed": 2}
        assert lost["findings"][0]["remedy"]["playbook"] is None  # nothing does that by itself

        for member in (first, third):
            member.start()
        cluster.wait_primary()
        wait_for(lambda: [each["health"] for each in second.status()["members"]] == [1, 1, 1], "all are back")
        # The one of the highest priority is about to take over again.
        wait_for(first.is_primary, "the first one is PRIMARY again")
        for member in (second, third):
            member.command("replSetFreeze", 600)
        first.command("replSetStepDown", 600, secondaryCatchUpPeriodSecs=0, force=True)
        cluster.wait_no_primary()
        for member in cluster.members:
            expect(member, "stepped_down")


@pytest.mark.step("T13")
@pytest.mark.thorough
def test_rollback_and_initial_sync_are_waited_for_and_an_outcast_is_known(tmp_path: Path) -> None:
    with Cluster(tmp_path / "set", 3, options=TEST_COMMANDS) as cluster:
        cluster.initiate()
        loser = cluster.make_rollback(0)
        rolling = expect(loser, "rollback")
        assert (rolling["findings"][0]["severity"], rolling["findings"][0]["remedy"]["playbook"]) == ("warning", None)
        loser.let_go(IN_ROLLBACK).wait_state(1, 2)
        copying = cluster.make_copying(2)
        assert expect(copying, "starting")["detail"]["state"] == 5
        copying.let_go(IN_COPYING).wait_state(2)
        expect(copying, "secondary")

        primary = cluster.wait_primary()
        config = primary.config()
        kept = [row for row in config["members"] if row["host"] != copying.host]
        primary.command("replSetReconfig", {**config, "version": config["version"] + 1, "members": kept})
        out = wait_for(lambda: (result := look(copying))["condition"] == "removed" and result, "the member knows that it was taken out")
        assert out["detail"]["configured_hosts"] == [row["host"] for row in kept]


@pytest.mark.step("T13")
def test_a_member_that_is_too_stale_and_an_arbiter(tmp_path: Path) -> None:
    with Cluster(tmp_path / "set", 3, options=("--syncdelay", "1")) as cluster:
        cluster.initiate(members={0: {"priority": 2}, 1: {"priority": 0, "votes": 0}, 2: {"arbiterOnly": True}})
        expect(cluster[2], "arbiter")
        stale = cluster.make_too_stale(1)
        found = wait_for(lambda: (result := look(stale))["condition"] == "too_stale" and result, "the member knows that it is too stale")
        assert found["members"][1]["maintenance"] == 1  # as if somebody had asked for it
        assert found["detail"]["log_id"] == 21126
        assert (found["writes"], found["reads"], found["findings"][0]["remedy"]["playbook"]) == ("no", "no", None)
        behind = look(cluster[0], behind_max=1)
        assert codes(behind) == ["replica_set.healthy", "member.behind"]
        assert behind["findings"][1]["subject"] == stale.host
