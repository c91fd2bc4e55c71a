# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Replica sets of one real mongod: broken in each way, predicted, repaired or refused, proven by a write, and looked at again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb import restart
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.restart import read_file
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.restart_plan import Runner, plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.mongodb.undo import STORES
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Outcome
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.errors import Refused
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard import GuardOptions
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.run import Engine
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import Undo
from lab.mongo import Mongod, free_port
from support import run_module, run_ok, run_refused

MODULE = "mongodb_replica_set_repair"
Result = dict[str, Any]


class Patient:
    """One mongod, and the module at its bedside."""

    def __init__(self, mongod: Mongod, journal_dir: str) -> None:
        self.mongod = mongod
        self.journal_dir = journal_dir

    def arguments(self, **options: Any) -> dict[str, Any]:
        return {**self.mongod.params, "journal_dir": self.journal_dir, "wait": 60, **options}

    def predicted(self, **options: Any) -> Result:
        return run_ok(MODULE, self.arguments(**options), check=True)

    def repaired(self, **options: Any) -> Result:
        """Predicted, and then done as it was predicted; a write is acknowledged, nothing of the proof is left, and nothing is done twice."""
        expected = self.predicted(**options)
        assert expected["changed"] and expected["undo_id"] is None
        assert not any(change["done"] for change in expected["changes"])
        made = run_ok(MODULE, self.arguments(**options, approved_plan=expected["plan_sha256"]))
        assert made["plan_sha256"] == expected["plan_sha256"]
        assert [change["action"] for change in made["changes"]] == [change["action"] for change in expected["changes"]]
        assert made["changed"] and all(change["done"] for change in made["changes"])
        assert made["replica_set"]["condition"] == "healthy"
        assert made["replica_set"]["proven_at"]
        self.mongod.write({"after": made["undo_id"]})
        assert {"after": made["undo_id"]}.items() <= self.mongod.documents()[-1].items()
        with self.mongod.client() as client:
            assert "fieldops_probe" not in client.list_database_names()
        self.untouched(**options)
        return made

    def untouched(self, **options: Any) -> Result:
        """A run that changes nothing, not even the version of the configuration."""
        before = self.mongod.config()
        again = run_ok(MODULE, self.arguments(**options))
        assert again["changed"] is False and again["changes"] == [] and again["undo_id"] is None
        assert self.mongod.config() == before
        return again

    def refused(self, *guards: str, **options: Any) -> Result:
        """Refused alike in check mode and without it."""
        result = run_refused(MODULE, self.arguments(**options))
        assert tuple(refusal["guard"] for refusal in result["refusals"]) == guards
        expected = run_refused(MODULE, self.arguments(**options), check=True)
        assert (expected["plan_sha256"], expected["refusals"]) == (result["plan_sha256"], result["refusals"])
        return result


@pytest.fixture
def ward(tmp_path: Path, journal_dir: str) -> Iterator[Callable[..., Patient]]:
    """``ward(version="5.0")`` starts a mongod with --replSet rs0 that is not initiated."""
    started: list[Mongod] = []

    def admit(**options: Any) -> Patient:
        mongod = Mongod(tmp_path / f"mongod{len(started)}", **options)
        started.append(mongod)
        mongod.start()
        return Patient(mongod, journal_dir)

    yield admit
    for mongod in started:
        mongod.close()


def actions(result: Result) -> list[tuple[str, str]]:
    return [(change["action"], change["subject"]) for change in result["changes"]]


def codes(result: Result) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


def doubtful(patient: Patient) -> str:
    return f"data of rs0 that {patient.mongod.host} does not have"


# -- what is repaired ------------------------------------------------------------------------------------------------------


@pytest.mark.step("T14")
@pytest.mark.parametrize("version", ["6.0", *(pytest.param(version, marks=pytest.mark.thorough) for version in ("5.0", "4.4"))])
def test_every_way_in_which_one_server_alone_is_not_primary(ward: Callable[..., Patient], version: str) -> None:
    """One after the other on one server; what was written after the first repair is there after the last one."""
    patient = ward(version=version)
    mongod = patient.mongod
    # Before 5.0 a server without a configuration cannot tell whether it holds data, so that its owner has to.
    agreed = [] if version != "4.4" else [doubtful(patient)]
    if agreed:
        assert "accept_data_loss" in patient.refused("accept_data_loss")["msg"]
    made = patient.repaired(accept_data_loss=agreed)
    assert actions(made) == [("initiate", "replica_set:rs0")]
    assert made["changes"][0]["after"] == {"hosts": [mongod.host]}
    assert codes(made) == ["mongodb.replica_set.healthy", "mongodb.write.acknowledged"]
    mongod.write({"_id": "first"})

    mongod.step_down(600)
    assert actions(patient.repaired()) == [("lift_step_down", f"mongodb:{mongod.host}")]

    mongod.maintenance(times=3)
    made = patient.repaired()
    assert actions(made) == [("leave_maintenance", f"mongodb:{mongod.host}")]
    assert "3 times" in made["changes"][0]["reason"]

    before, settings = mongod.host, mongod.config()["settings"]
    mongod.move()
    made = patient.repaired()
    assert actions(made) == [("correct_host", "replica_set:rs0")]
    assert (made["changes"][0]["before"], made["changes"][0]["after"]) == ({"hosts": [before]}, {"hosts": [mongod.host]})
    config = mongod.config()
    # The force has let the version jump; all else is as it was.
    assert [row["host"] for row in config["members"]] == [mongod.host]
    assert config["settings"] == settings
    assert "first" in [document["_id"] for document in mongod.documents()]


@pytest.mark.step("T14")
def test_a_step_down_is_waited_out(ward: Callable[..., Patient]) -> None:
    """Nothing is changed where waiting does; where it does not, that is said."""
    patient = ward()
    patient.mongod.initiate()
    patient.mongod.step_down(3)
    result = run_ok(MODULE, patient.arguments(stepped_down="wait"))
    assert result["changed"] is False
    assert result["replica_set"]["condition"] == "healthy"
    patient.mongod.step_down(600)
    assert "stepped_down: lift" in patient.refused("stepped_down", stepped_down="wait", wait=0.5)["msg"]
    assert patient.mongod.state() == 2


@pytest.mark.step("T14")
def test_another_host_name(ward: Callable[..., Patient]) -> None:
    """The name that is given is the one that the set gets; one that does not lead to the server is refused by it, and nothing is changed."""
    patient = ward()
    wrong = run_refused(MODULE, patient.arguments(host=f"127.0.0.1:{free_port()}"))
    assert "(code " in wrong["msg"]
    assert patient.mongod.hello().get("setName") is None
    patient.repaired(host=f"localhost:{patient.mongod.port}")
    assert [row["host"] for row in patient.mongod.config()["members"]] == [f"localhost:{patient.mongod.port}"]

    patient.mongod.move()
    version = patient.mongod.config()["version"]
    wrong = run_refused(MODULE, patient.arguments(host=f"127.0.0.1:{free_port()}"))
    assert "(code 74)" in wrong["msg"]
    assert patient.mongod.config()["version"] == version
    patient.repaired(host="localhost")  # the server's own port goes with it
    assert [row["host"] for row in patient.mongod.config()["members"]] == [f"localhost:{patient.mongod.port}"]


@pytest.mark.step("T14")
def test_the_configuration_is_kept_in_the_journal(ward: Callable[..., Patient]) -> None:
    """The whole of it, as it was, and no secret with it; a force cannot be taken back, which the plan says before."""
    patient = ward()
    patient.mongod.initiate()
    before = patient.mongod.config()
    patient.mongod.move()
    made = patient.repaired()
    kept = Path(patient.journal_dir, "runs", made["undo_id"] + ".jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert before["members"][0]["host"] in kept and str(before["settings"]["replicaSetId"]) in kept
    assert [change["reversible"] for change in made["changes"]] == [False]


# -- what is refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.step("T14")
def test_data_that_may_be_the_wrong_ones(ward: Callable[..., Patient]) -> None:
    """A server with data and without a configuration is initiated only by somebody who says that these are the data."""
    patient = ward(replset=None)
    patient.mongod.write(majority=False)
    patient.mongod.restart(replset="rs0")
    assert doubtful(patient) in patient.refused("accept_data_loss")["msg"]
    assert patient.mongod.hello().get("setName") is None
    patient.repaired(accept_data_loss=[doubtful(patient)])
    assert len(patient.mongod.documents()) == 2


@pytest.mark.step("T14")
def test_a_server_that_somebody_has_started_by_hand(ward: Callable[..., Patient]) -> None:
    """Alone on data of a set, under another name, or never in a set: it has no unit by which it could be started again."""
    patient = ward()
    patient.mongod.initiate()
    version = patient.mongod.config()["version"]
    patient.mongod.restart(replset="rs1")
    refused = patient.refused("restart")
    assert codes(refused)[0] == "mongodb.replica_set.wrong_set_name"
    assert f"pid {patient.mongod.pid}" in refused["msg"] and "started it by hand" in refused["msg"]
    patient.refused("replica_set", "restart", replica_set="rs1")
    patient.mongod.restart(replset=None)
    assert codes(patient.refused("restart"))[0] == "mongodb.replica_set.standalone_on_replica_data"
    patient.mongod.restart(replset="rs0").wait_primary()
    assert patient.mongod.config()["version"] == version

    alone = ward(replset=None)
    alone.refused("replica_set")
    alone.refused("restart", replica_set="rs0")


@pytest.mark.step("T14")
def test_a_server_that_was_taken_for_another_one(ward: Callable[..., Patient]) -> None:
    """The name that is given is not the set's."""
    patient = ward()
    patient.refused("replica_set", replica_set="rs7")
    patient.mongod.initiate()
    patient.mongod.move()
    assert "make sure that this is the right server" in patient.refused("replica_set", replica_set="rs7")["msg"]
    assert patient.mongod.hello().get("setName") is None


@pytest.mark.step("T14")
def test_nobody_there_and_nobody_allowed(ward: Callable[..., Patient]) -> None:
    """A server that does not answer, and a user who may not ask."""
    patient = ward(key="c2VjcmV0c2VjcmV0c2VjcmV0")
    mongod = patient.mongod
    mongod.initiate()
    mongod.add_user("root", "Zrgh7-rootword", ["root"])
    patient.refused("unauthorized")
    mongod.login = ("root", "Zrgh7-wrong")
    assert "Zrgh7" not in str(patient.refused("unauthorized"))
    mongod.login = ("root", "Zrgh7-rootword")
    mongod.add_user("manager", "Zrgh7-managerword", ["clusterManager", {"role": "readWrite", "db": "fieldops_probe"}])
    mongod.step_down(600)

    mongod.login = ("manager", "Zrgh7-managerword")
    made = run_ok(MODULE, patient.arguments())
    assert actions(made) == [("lift_step_down", f"mongodb:{mongod.host}")]
    assert made["replica_set"]["proven_at"] == mongod.host
    # What it was started with may not be known to this user, so that a moved server could be one under a wrong name.
    mongod.move()
    patient.refused("set_name_unknown", host=mongod.host)
    patient.refused("host", replica_set="rs0")
    made = run_ok(MODULE, patient.arguments(host=mongod.host, replica_set="rs0"))
    assert actions(made) == [("correct_host", "replica_set:rs0")]
    journal = "".join(path.read_text(encoding="utf-8") for path in Path(patient.journal_dir, "runs").iterdir())
    assert "Zrgh7" not in journal + str(made)

    mongod.stop()
    refused = patient.refused("unreachable")
    assert "does not answer" in refused["msg"]


@pytest.mark.step("T14")
def test_a_write_that_fails_is_told(ward: Callable[..., Patient]) -> None:
    """PRIMARY is not enough: the repair was made, and this user cannot prove it."""
    patient = ward(key="c2VjcmV0c2VjcmV0c2VjcmV0")
    patient.mongod.initiate()
    patient.mongod.add_user("root", "Zrgh7-rootword", ["root"])
    patient.mongod.login = ("root", "Zrgh7-rootword")
    patient.mongod.add_user("manager", "Zrgh7-managerword", ["clusterManager"])
    patient.mongod.step_down(600)
    patient.mongod.login = ("manager", "Zrgh7-managerword")
    result = run_module(MODULE, patient.arguments())
    assert result["failed"] and result["changed"] and result["undo_id"]
    assert "The write failed" in result["msg"] and "(code 13)" in result["msg"]
    assert result["seen"]["condition"] == "healthy"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "db:0"}, "host must be HOST or HOST:PORT"),
        ({"host": "a b"}, "host must be HOST or HOST:PORT"),
        ({"replica_set": "rs0/db"}, "replica_set must be the name"),
        ({"wait": -1}, "wait must be 0 seconds or more"),
        ({"wait": 450}, "wait must be less than half of lock_expiry"),
        ({"probe_database": "local"}, "probe_database must be"),
        ({"probe_database": "a.b"}, "probe_database must be"),
        ({"login_port": 0}, "login_port must be"),
    ],
)
def test_bad_input(journal_dir: str, options: dict[str, Any], words: str) -> None:
    assert words in run_refused(MODULE, {"journal_dir": journal_dir, **options})["msg"]


@pytest.mark.step("T14")
def test_what_was_written_into_a_file_is_taken_back(ward: Callable[..., Patient], tmp_path: Path) -> None:
    """Alone, by the number of that change; the whole run is not, as what was done to the set stays."""
    patient = ward()
    conf = tmp_path / "mongod.conf"
    conf.write_bytes(b"net:\n  port: 1 # one")
    runner = Runner(argv=("mongod", "-f", str(conf)), unit="mongod.service", manager="systemd", config=str(conf), data=conf.read_bytes())
    edit = replace(plan(runner, None, "rs0", "why")[0], token=read_file(str(conf))[1])
    initiate = Change("initiate", "replica_set:rs0", None, {"hosts": [patient.mongod.host]}, "why", reversible=False)
    journal = Journal(patient.journal_dir)
    journal.prepare()
    header = {"login_host": "127.0.0.1", "login_port": patient.mongod.port, "who": {}, "plan_sha256": "", "total": 2}
    writer = journal.start(MODULE, header)
    for number, change in enumerate([edit, initiate]):
        writer.begin(number, [change])
        if change is edit:
            assert restart.edit(change).done
        else:
            patient.mongod.initiate()
        writer.done(number, [Outcome(True)])
    writer.end("ok")
    assert conf.read_bytes() == b"net:\n  port: 1 # one\nreplication:\n  replSetName: rs0\n"

    def undo(*numbers: int) -> Result:
        options = GuardOptions(journal_dir=patient.journal_dir)
        undoing = Undo(journal.read(writer.undo_id), STORES[MODULE]({}, header), numbers, journal)
        try:
            return {"changed": Engine(undoing, options, check_mode=False).run().changed}
        except Refused as exc:
            return {"guards": [refusal.guard for refusal in exc.refusals]}
        finally:
            undoing.close()

    assert undo() == {"guards": ["irreversible"]}
    assert undo(0) == {"changed": True}
    assert conf.read_bytes() == b"net:\n  port: 1 # one"
    assert undo(0) == {"changed": False}
    assert patient.mongod.is_primary()
