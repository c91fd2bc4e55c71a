# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The master of Talus is what the facts describe: it works when it is started in order, and breaks as they say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab.hosts import Host
from lab.hosts.talus_host import LOGS, TalusHost, TalusSlave

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is shipped, and runs on it, is tested all the time
CONTAINERS = {"talus-db", "talus-amqp", "talus-web"}


def test_the_stack_is_up_and_the_daemons_consume(talus: TalusHost) -> None:
    assert set(talus.works().values()) == {True}
    assert set(talus.containers()) == CONTAINERS
    state = talus.state()
    assert [process["argv"] for process in state["daemons"]["master"]] == [["python3", "-m", "master", "eth0"]]
    assert [process["argv"] for process in state["daemons"]["slave"]] == [["python3", "-m", "slave", "talus-master", "10", "eth0"]]
    assert {unit["Id"]: unit["SubState"] for unit in state["units"].values()} == {
        **{f"docker.{name}.service": "running" for name in CONTAINERS},
        "talus-master.service": "running",
        "talus-slave.service": "running",
    }
    (slave,) = talus.find("slave")
    assert isinstance(slave["timestamps"]["modified"], float)
    image = talus.seed()["image"]
    job = talus.wait_job(talus.job("run", image=image, limit=2), "finished")
    assert job["progress"] == 2
    assert talus.wait_job(talus.job("run", name="too early", image=talus.image("configuring")), "cancelled")["errors"][0]["message"] == "image not ready"
    assert "talus_job" in talus.log("slave")  # as the daemon does, with the password beside it
    assert talus.web("/api/task/", {"name": "made"}) == 201


def test_a_broker_s_restart_makes_both_daemons_deaf(talus: TalusHost) -> None:
    before = talus.state()["daemons"]
    talus.restart_broker()
    assert talus.works(["db", "amqp", "web"]) == {"db": True, "amqp": True, "web": True}
    assert not talus.consumes("master", patience=3)
    assert not talus.consumes("slave", patience=3)
    assert talus.state()["daemons"] == before
    talus.systemctl("restart", "master")
    talus.wait_works("master")
    assert not talus.consumes("slave", patience=2)
    talus.systemctl("restart", "slave")
    talus.wait_works()


def test_a_database_that_moved_is_lost_to_those_who_knew_it(talus: TalusHost) -> None:
    before = talus.containers()["talus-db"]["address"]
    address = talus.restart_database()
    assert address != before
    assert talus.works(["db", "web"]) == {"db": True, "web": False}
    assert f"tcp://{before}:27017" in talus.host.run(["ps", "-eo", "args"]).stdout
    talus.up()
    assert set(talus.works().values()) == {True}
    assert f"tcp://{address}:27017" in talus.host.run(["ps", "-eo", "args"]).stdout


def test_everything_is_killed_and_started_in_order(talus: TalusHost) -> None:
    talus.decoys()
    talus.machines_take(3600)
    talus.seed()
    pids = talus.kill_everything()
    assert not any(talus.host.exists(f"/proc/{pid}/fd/0") for pid in pids)
    talus.host.wait_for(lambda: talus.host.active("docker"), "the engine runs again", 60)
    talus.up()
    assert set(talus.works().values()) == {True}
    assert {job["name"] for job in talus.find("job")} == {"done"}


def test_a_set_that_was_never_initiated_shows_as_a_master_that_dies(talus: TalusHost) -> None:
    talus.uninitiated()
    talus.host.wait_for(lambda: int(talus.show("master")["NRestarts"]) >= 2, "the master dies again and again", 60)
    assert "Master:done running" in talus.log("master")
    assert talus.web("/api/task/", {"name": "lost"}) == 500


def test_a_slave_takes_its_time_and_an_orphan_none_of_it(talus: TalusHost) -> None:
    """Units end what is theirs; processes that only look like it are nobody's."""
    decoys, orphan = talus.decoys(), talus.orphan_slave()
    (own,) = [process["pid"] for process in talus.daemons("slave") if process["pid"] != orphan]
    talus.slave_stop_takes(5)
    talus.systemctl("stop", "slave")
    assert "all handlers have exited, goodbye" in talus.host.read(f"{LOGS}/slave.log").decode() or not talus.host.exists(f"/proc/{own}")
    assert [process["pid"] for process in talus.daemons("slave")] == [orphan]
    talus.host.run(["kill", str(orphan)])
    talus.systemctl("stop", "master")
    assert talus.daemons("master") == []
    alive = [name for name, pid in decoys.items() if talus.host.exists(f"/proc/{pid}")]
    # The unit's own way to stop ends whatever has its words in its command line.
    assert alive == [name for name in decoys if name not in {"quoting", "module"}]
    assert [process["pid"] for process in talus.daemons("slave")] == [orphan]


def test_a_slave_on_a_host_of_its_own(talus: TalusHost, host: Callable[..., Host]) -> None:
    slave = TalusSlave(host("talus-slave"))
    slave.mend()
    slave.host.wait_for(lambda: slave.known_to(talus), "the master has heard of it", 60)
    (process,) = slave.daemons("slave")
    assert process["argv"] == ["python3", "-m", "slave", "talus-master", "10", "eth0"]
    assert "192.168.123.1:55555" in slave.host.run(["ss", "-ltn"]).stdout
    slave.host.run(["virsh", "net-destroy", "talus-network"])
    slave.host.run(["systemctl", "restart", slave.unit("slave")])
    slave.host.wait_for(lambda: "You must specify a valid interface name." in slave.log("slave"), "it dies without its bridge", 60)
    slave.host.run(["virsh", "net-start", "talus-network"])
    slave.mend()
    slave.host.wait_for(lambda: slave.daemons("slave"), "it runs again", 60)
