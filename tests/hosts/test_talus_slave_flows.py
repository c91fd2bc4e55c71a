# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped flows on a slave of Talus beside its master: virtual machines, libvirt's settings and network, and the daemon that must be connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.hosts import Host
from lab.hosts.libvirt_host import LibvirtHost
from lab.hosts.talus_host import PARTS, TalusHost, TalusSlave
from operating import Operator
from play import Run

FAST = {"talus_daemon_settle": 3, "talus_start_timeout": 240}
QEMU_CONF = "/etc/libvirt/qemu.conf"


@pytest.fixture
def machines(host: Callable[..., Host], talus: TalusHost) -> Iterator[LibvirtHost]:
    """The slave's host, its master beside it."""
    server = LibvirtHost(host("talus-slave"))
    yield server
    server.mend()
    server.clear()
    talus.at_home()  # before a slave that is started looks for it
    TalusSlave(server.host).mend()


def play(operator: Operator, machines: LibvirtHost, name: str, check: bool = False, **variables: Any) -> Run:
    return operator.play(name, machines, check=check, **{**FAST, **variables})


def both(operator: Operator, machines: LibvirtHost, talus: TalusHost, name: str, **variables: Any) -> Run:
    """The master, which has a slave as well, and the slave's host, in one run."""
    return operator.play(name, talus, machines, **{**FAST, **variables})


@pytest.mark.step("T7", "T8")
@pytest.mark.thorough
def test_machines_of_jobs_are_destroyed_and_those_that_configure_are_spared(machines: LibvirtHost, operator: Operator) -> None:
    machines.job_domains(3)
    kept = {*machines.configuration_domains(1), *machines.other_domains("web")}
    running = set(machines.running())
    looked = play(operator, machines, "talus_domains", talus_domain_kinds=["job"])
    assert (looked.rc, looked.changed) == (0, 0), looked.output
    assert set(machines.running()) == running
    done = play(operator, machines, "talus_domains", talus_domain_kinds=["job"], talus_repair=True)
    assert done.rc == 0, done.output
    assert done.plans == looked.plans
    assert set(machines.running()) == kept
    assert play(operator, machines, "talus_domains", talus_domain_kinds=["job"], talus_repair=True).changed == 0


@pytest.mark.step("T4")
@pytest.mark.thorough
def test_a_slave_that_stops_in_50_s_is_waited_for_and_machines_that_it_has_left_go(machines: LibvirtHost, operator: Operator) -> None:
    """With what is set where nobody sets anything: no process is killed, and the virtual machines are destroyed by themselves."""
    slave = TalusSlave(machines.host)
    (before,) = slave.host.wait_for(lambda: slave.daemons("slave"), "the slave runs", 60)
    machines.job_domains(2)
    slave.slave_stop_takes(50)
    done = play(operator, machines, "talus_daemon_restart", talus_repair=True)
    assert done.rc == 0, done.output
    # It has said itself that it has ended, and neither systemd nor the module has anything to say of a kill.
    assert slave.farewells()[before["pid"]] >= 50
    assert not any(finding["code"].endswith(".killed") for finding in done.report["findings"])
    log = slave.log("slave")
    assert "Stopping talus-slave.service" in log and "SIGKILL" not in log and "timed out" not in log, log
    assert machines.running() == []
    assert [each["pid"] for each in slave.daemons("slave")] != [before["pid"]]


@pytest.mark.step("T12", "T17")
@pytest.mark.thorough
def test_two_hosts_of_which_everything_was_killed(machines: LibvirtHost, operator: Operator, talus: TalusHost) -> None:
    """Nothing starts it again but the flow, and that in order over both hosts: what each needs is there before it, and has proved that it works."""
    slave = TalusSlave(machines.host)
    slave.host.wait_for(lambda: slave.known_to(talus), "the master has heard of the slave", 60)
    talus.seed()
    talus.stay_dead(*PARTS)
    slave.stay_dead("slave")
    talus.kill_everything()
    slave.kill_daemon("slave")
    talus.host.wait_for(lambda: talus.host.active("docker"), "the engine runs again", 60)
    talus.host.wait_for(lambda: not any(talus.works().values()) and not slave.daemons("slave"), "nothing works", 60)
    looked = both(operator, machines, talus, "talus_stack_restart")
    assert (looked.rc, looked.changed) == (0, 0), looked.output
    assert not any(talus.works().values()) and not slave.daemons("slave")
    mended = both(operator, machines, talus, "talus_stack_restart", talus_repair=True)
    assert mended.rc == 0, mended.output
    assert talus.works() == dict.fromkeys(PARTS, True)
    assert slave.known_to(talus)
    containers, (master,), (here,), (there,) = talus.containers(), talus.daemons("master"), talus.daemons("slave"), slave.daemons("slave")
    order = [talus.started(containers[f"talus-{part}"]["pid"]) for part in ("db", "amqp", "web")] + [talus.started(master["pid"])]
    assert order == sorted(order)
    assert min(talus.started(here["pid"]), slave.started(there["pid"])) > order[-1]
    job = talus.job("run", image=str(talus.find("image")[0]["_id"]), limit=4)
    assert talus.wait_job(job, "finished")["progress"] == 4
    again = both(operator, machines, talus, "talus_stack_restart", talus_repair=True)
    assert (again.rc, again.changed) == (0, 0), again.output


@pytest.mark.step("T12", "T17")
@pytest.mark.thorough
def test_slaves_that_hold_an_address_of_their_broker_which_is_nobody_s(machines: LibvirtHost, operator: Operator, talus: TalusHost) -> None:
    """Their connections look alive from their own end. The master, which works, hears nothing of them: they are restarted, and nothing else is."""
    slave = TalusSlave(machines.host)
    slave.host.wait_for(lambda: slave.known_to(talus), "the master has heard of the slave", 60)
    old = talus.move(slave)
    (before,), containers, master = slave.daemons("slave"), talus.containers(), talus.daemons("master")
    slave.host.wait_for(lambda: not slave.known_to(talus), "the master hears no more of it", 60)
    held = slave.host.run(["ss", "--no-header", "--tcp", "--numeric", "state", "established"]).stdout
    assert f" {old}:5672 " in held
    looked = both(operator, machines, talus, "talus_stack_restart")
    assert (looked.rc, looked.changed) == (0, 0), looked.output
    assert "talus.slave.silent" in looked.standing
    assert slave.daemons("slave") == [before]
    mended = both(operator, machines, talus, "talus_stack_restart", talus_repair=True)
    assert mended.rc == 0, mended.output
    assert talus.works() == dict.fromkeys(PARTS, True)
    assert slave.known_to(talus)
    assert slave.daemons("slave") != [before]
    assert (talus.containers(), talus.daemons("master")) == (containers, master)


@pytest.mark.step("T3", "T6", "T9", "T10")
def test_libvirt_as_talus_needs_it(machines: LibvirtHost, operator: Operator, talus: TalusHost) -> None:
    """Keys of qemu.conf by their right names, libvirtd restarted for them, and the slave after it, whose connection is gone."""
    slave = TalusSlave(machines.host)
    machines.host.run(["sh", "-c", f"sed -i '/^\\(mac_filter\\|vnc_listen\\) *=/d' {QEMU_CONF}"])
    settings = machines.host.read(QEMU_CONF)
    machines.network_static_hosts_missing(7, 8)
    pid = machines.host.run(["systemctl", "show", "--property=MainPID", "libvirtd"]).stdout
    machines.host.run(["sh", "-c", "echo '2026-01-31 00:00:00.000+0000: 12: error : lab: no space left' >>/var/log/libvirt/libvirtd.log"])
    seen = play(operator, machines, "talus_triage")
    assert seen.rc == 0, seen.output
    assert {"libvirt.network.static_hosts_missing", "talus.libvirt.log.matched"} <= seen.standing
    looked = play(operator, machines, "talus_libvirt")
    assert (looked.rc, looked.changed) == (0, 0), looked.output
    done = play(operator, machines, "talus_libvirt", talus_repair=True)
    assert done.rc == 0, done.output
    found = machines.host.read(QEMU_CONF).decode().splitlines()
    assert "mac_filter = 0" in found
    assert 'vnc_listen = "0.0.0.0"' in found
    assert machines.host.run(["systemctl", "show", "--property=MainPID", "libvirtd"]).stdout != pid
    slave.host.wait_for(lambda: slave.known_to(talus), "the master hears of the slave", 120)
    again = play(operator, machines, "talus_libvirt", talus_repair=True)
    assert (again.rc, again.changed) == (0, 0), again.output
    # The command that it has shown takes the file back; nothing is set where nothing is asked for.
    (command,) = (line.strip().removeprefix("- ").strip("'\"") for line in done.output.splitlines() if "cp --preserve" in line)
    machines.host.run(["sh", "-c", command])
    assert machines.host.read(QEMU_CONF) == settings
    slave.host.wait_for(lambda: machines.host.active("libvirtd"), "libvirtd runs", 60)
    kept = play(operator, machines, "talus_libvirt", talus_repair=True, talus_qemu_conf={})
    assert kept.rc == 0, kept.output
    assert machines.host.read(QEMU_CONF) == settings
