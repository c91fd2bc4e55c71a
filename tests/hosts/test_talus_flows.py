# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped flows on a master of Talus with a real database and a real broker: what breaks is found, said, mended in order, and works again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab.hosts.talus_host import TalusHost
from operating import Operator
from play import Run

FAST = {"talus_daemon_settle": 3, "talus_settle": 1, "talus_libvirt": False, "talus_start_timeout": 240}
EVERYTHING = {"db", "amqp", "web", "master", "slave"}


def play(operator: Operator, talus: TalusHost, name: str, check: bool = False, **variables: Any) -> Run:
    return operator.play(name, talus, check=check, **{**FAST, **variables})


def working(talus: TalusHost) -> set[str]:
    return {part for part, works in talus.works().items() if works}


@pytest.fixture
def seeded(talus: TalusHost) -> Iterator[TalusHost]:
    talus.seed()
    yield talus


@pytest.mark.step("T1", "T11", "T16", "T18", "T19")
def test_all_is_well_and_the_sweep_changes_nothing(talus: TalusHost, operator: Operator) -> None:
    before = talus.state()
    run = play(operator, talus, "talus_triage")
    assert (run.rc, run.changed) == (0, 0)
    assert {code for code in run.standing if code.startswith("talus.")} <= {"talus.container.volatile"}  # that is how this fork runs its broker
    assert talus.state()["containers"] == before["containers"]


@pytest.mark.step("T12", "T16", "T17")
def test_a_broker_that_was_restarted_alone(seeded: TalusHost, operator: Operator) -> None:
    """Both daemons run, and are deaf. They are restarted; then the broker is, with them."""
    seeded.restart_broker()
    broker = seeded.containers()["talus-amqp"]["id"]
    looked = play(operator, seeded, "talus_stack_restart")
    assert (looked.rc, looked.changed) == (0, 0)
    assert {"talus.daemon.deaf", "talus.order.master_before_amqp"} <= looked.standing
    assert seeded.daemons("master")
    mended = play(operator, seeded, "talus_stack_restart", talus_repair=True)
    assert mended.rc == 0, mended.output
    assert not {code for code in mended.standing if code.startswith("talus.daemon")}
    assert working(seeded) == EVERYTHING
    again = play(operator, seeded, "talus_stack_restart", talus_repair=True)
    assert (again.rc, again.changed) == (0, 0)
    assert seeded.containers()["talus-amqp"]["id"] == broker
    done = play(operator, seeded, "talus_amqp", talus_repair=True)
    assert done.rc == 0, done.output
    assert seeded.containers()["talus-amqp"]["id"] != broker
    assert working(seeded) == EVERYTHING


@pytest.mark.step("T12")
@pytest.mark.thorough
def test_a_database_that_came_back_with_another_address(seeded: TalusHost, operator: Operator) -> None:
    """The link of the web application and the master's environment lead nowhere: both are restarted, the broker and the slave are not."""
    containers, slave = seeded.containers(), seeded.daemons("slave")
    seeded.restart_database()
    mended = play(operator, seeded, "talus_stack_restart", talus_repair=True)
    assert mended.rc == 0, mended.output
    units = {f"service:{seeded.unit(part)}": part for part in ("web", "master")}
    done = [(change["action"], units[change["subject"]]) for change in mended.changes if change["subject"] in units]
    assert done == [("stop", "master"), ("stop", "web"), ("start", "web"), ("start", "master")]
    assert working(seeded) == EVERYTHING
    assert seeded.containers()["talus-amqp"]["id"] == containers["talus-amqp"]["id"]
    assert [each["pid"] for each in seeded.daemons("slave")] == [each["pid"] for each in slave]


@pytest.mark.step("T12")
@pytest.mark.thorough
def test_the_power_is_back(seeded: TalusHost, operator: Operator) -> None:
    """Everything is started at once, in no order."""
    seeded.power_loss()
    mended = play(operator, seeded, "talus_stack_restart", talus_repair=True)
    assert mended.rc == 0, mended.output
    assert working(seeded) == EVERYTHING
    assert {code for code in mended.standing if code.startswith(("talus.daemon", "talus.container", "talus.link"))} <= {"talus.container.volatile"}


@pytest.mark.step("T13", "T14")
@pytest.mark.thorough
def test_a_set_that_was_never_initiated_shows_as_a_master_that_dies(seeded: TalusHost, operator: Operator) -> None:
    seeded.uninitiated()
    seen = play(operator, seeded, "talus_triage")
    assert "talus.database.no_primary" in seen.standing
    assert {"talus.daemon.flapping", "talus.daemon.missing"} & seen.standing, "it flaps, until systemd gives it up"
    looked = play(operator, seeded, "talus_replica_set")
    assert (looked.rc, looked.changed) == (0, 0), looked.output
    mended = play(operator, seeded, "talus_replica_set", talus_repair=True)
    assert mended.rc == 0, mended.output
    assert set(looked.plans) <= set(mended.plans)
    assert working(seeded) >= {"db", "amqp", "web", "master"}
    # Whom the lost documents knew, the new ones do not: a slave tells its master of itself when it starts.
    assert play(operator, seeded, "talus_daemon_restart", talus_repair=True, talus_daemons=["slave"]).rc == 0
    assert working(seeded) == EVERYTHING
    again = play(operator, seeded, "talus_replica_set", talus_repair=True)
    assert (again.rc, again.changed) == (0, 0)


@pytest.mark.step("T14", "T18")
@pytest.mark.thorough
def test_pages_are_shown_and_nothing_can_be_saved(seeded: TalusHost, operator: Operator) -> None:
    """A second time within the cool-down it is refused, unless it is a step of the stack's restart, which would be left with everything stopped."""
    seeded.stepped_down()
    assert not seeded.works(["db"])["db"]
    mended = play(operator, seeded, "talus_replica_set", talus_repair=True, talus_set_restart_master=False)
    assert mended.rc == 0, mended.output
    assert seeded.works(["db"])["db"]
    seeded.stepped_down()
    guarded = {"talus_repair": True, "talus_cooldown": 3600, "talus_approved_plan": mended.plans[0]}
    refused = play(operator, seeded, "talus_replica_set", **guarded)
    assert refused.rc != 0 and "cooldown: the same fix was run" in refused.output, refused.output
    assert not seeded.works(["db"])["db"]
    seeded.systemctl("stop", "master")
    restarted = play(operator, seeded, "talus_stack_restart", **{**guarded, "talus_approved_plan": "0" * 64})
    assert restarted.rc == 0, restarted.output
    assert working(seeded) == EVERYTHING


@pytest.mark.step("T2", "T4")
def test_a_slave_that_hangs_is_killed(seeded: TalusHost, operator: Operator) -> None:
    """And nothing else that merely has such words in its command line."""
    seeded.wait_works("slave")  # one that still starts would die of the signal
    decoys = seeded.decoys()
    seeded.slave_hangs()
    (before,) = seeded.daemons("slave")
    said = play(operator, seeded, "talus_daemon_restart", check=True, talus_repair=True)
    assert said.rc == 0
    assert [each["pid"] for each in seeded.daemons("slave")] == [before["pid"]]
    killed = play(operator, seeded, "talus_daemon_restart", talus_repair=True, talus_daemons=["slave"], talus_stop_timeout=5)
    assert killed.rc == 0, killed.output
    (after,) = seeded.daemons("slave")
    assert after["pid"] != before["pid"] and before["pid"] not in seeded.farewells()
    assert any(finding["code"].endswith(".killed") for finding in killed.report["findings"])
    seeded.slave_hangs(on=False)
    assert working(seeded) == EVERYTHING
    assert {name for name, pid in decoys.items() if seeded.host.exists(f"/proc/{pid}")} == set(decoys)


@pytest.mark.step("T5", "T15", "T19")
def test_records_and_images(seeded: TalusHost, operator: Operator) -> None:
    seeded.dead_slave()
    seeded.image(age=100000.0)
    run = play(operator, seeded, "talus_images")
    assert (run.rc, run.changed) == (0, 0)
    assert {"talus.slave.silent", "talus.image.stuck"} <= run.standing


@pytest.mark.step("T20")
@pytest.mark.thorough
def test_a_development_container_beside_the_web_application(seeded: TalusHost, operator: Operator) -> None:
    production = seeded.containers()["talus-web"]["id"]
    source = "/home/talus/talus/src/web"
    seeded.host.run(["sh", "-c", f"test -e {source}/manage.py || touch {source}/manage.py"])
    dev = {"talus_web_source": source, "talus_web_dev_command": ["sleep", "1000000"]}
    assert play(operator, seeded, "talus_web_dev", check=True, **dev).rc == 0
    assert "talus-web_dev" not in seeded.containers()
    started = play(operator, seeded, "talus_web_dev", **dev)
    assert started.rc == 0, started.output
    assert seeded.containers()["talus-web_dev"]["running"]
    assert play(operator, seeded, "talus_web_dev", **dev).changed == 0
    assert play(operator, seeded, "talus_web_dev", talus_web_dev_state="absent").rc == 0
    assert "talus-web_dev" not in seeded.containers()
    assert seeded.containers()["talus-web"]["id"] == production
