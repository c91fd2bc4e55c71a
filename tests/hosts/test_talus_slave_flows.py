# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped flows on a slave of Talus beside its master: virtual machines, libvirt's settings and network, and the daemon that must be connected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.hosts import Host
from lab.hosts.libvirt_host import LibvirtHost
from lab.hosts.talus_host import TalusHost, TalusSlave
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
    TalusSlave(server.host).mend()


def play(operator: Operator, machines: LibvirtHost, name: str, check: bool = False, **variables: Any) -> Run:
    return operator.play(name, machines, check=check, **{**FAST, **variables})


@pytest.mark.step("T7", "T8")
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
def test_machines_that_a_slave_has_left_go_with_its_restart(machines: LibvirtHost, operator: Operator) -> None:
    slave = TalusSlave(machines.host)
    (before,) = slave.host.wait_for(lambda: slave.daemons("slave"), "the slave runs", 60)
    machines.job_domains(2)
    done = play(operator, machines, "talus_daemon_restart", talus_repair=True)
    assert done.rc == 0, done.output
    assert machines.running() == []
    assert [each["pid"] for each in slave.daemons("slave")] != [before["pid"]]


@pytest.mark.step("T3", "T6", "T9", "T10")
def test_libvirt_as_talus_needs_it(machines: LibvirtHost, operator: Operator, talus: TalusHost) -> None:
    """Keys of qemu.conf by their right names, libvirtd restarted for them, and the slave after it, whose connection is gone."""
    slave = TalusSlave(machines.host)
    machines.host.run(["sh", "-c", f"sed -i '/^\\(mac_filter\\|vnc_listen\\) *=/d' {QEMU_CONF}"])
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
    settings = machines.host.read(QEMU_CONF).decode().splitlines()
    assert "mac_filter = 0" in settings
    assert 'vnc_listen = "0.0.0.0"' in settings
    assert machines.host.run(["systemctl", "show", "--property=MainPID", "libvirtd"]).stdout != pid
    slave.host.wait_for(lambda: slave.known_to(talus), "the master hears of the slave", 120)
    again = play(operator, machines, "talus_libvirt", talus_repair=True)
    assert (again.rc, again.changed) == (0, 0), again.output
