# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines that really run: told apart, destroyed all together, and those that will not die told from the others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.hosts import Host
from lab.hosts.libvirt_host import PASSWORD, LibvirtHost
from lab.hosts.libvirt_machines import BOX, IMAGES, mac
from operating import Operator


@pytest.fixture
def slave(host: Callable[..., Host]) -> Iterator[LibvirtHost]:
    """A host that runs virtual machines; mended and emptied after the test."""
    made = LibvirtHost(host("libvirt"))
    yield made
    made.mend()
    made.clear()


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"].removeprefix("libvirt.domain.") for finding in result["findings"]}


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {domain["name"]: domain for domain in result["domains"]}


@pytest.mark.step("T7")
@pytest.mark.thorough
def test_machines_are_told_apart(slave: LibvirtHost, operator: Operator) -> None:
    (asking,) = slave.job_domains(1, disk=True, boot="network")
    (lost,) = slave.job_domains(1, disk=True)
    (configuration,) = slave.configuration_domains(1)
    (other,) = slave.other_domains("web")
    slave.virsh("destroy", other)
    slave.virsh("suspend", lost)
    gone = slave.disk_gone(lost)
    slave.host.wait_for(lambda: mac(2) in slave.virsh("net-dhcp-leases", "talus-network"), "a machine has asked for its address", 120)

    result = operator.module(slave, "libvirt_domain_info", timeout=60)
    assert "msg" not in result, result
    seen = by_name(result)
    assert {name: row["kind"] for name, row in seen.items()} == {asking: "job", lost: "job", configuration: "configuration", other: "other"}
    assert {name: row["state"] for name, row in seen.items()} == {asking: "running", lost: "paused", configuration: "running", other: "shut off"}
    assert {name: row["persistent"] for name, row in seen.items()} == {asking: False, lost: False, configuration: True, other: True}
    assert seen[asking]["macs"] == [mac(2)]
    assert seen[asking]["ips"] == [{"address": "192.168.123.2", "mac": mac(2), "source": "lease", "name": "vm_mac_2"}]
    assert seen[configuration]["ips"] == [{"address": "192.168.123.4", "mac": mac(4), "source": "table", "name": "vm_mac_4"}]
    assert slave.virsh("vncdisplay", asking).strip() == seen[asking]["vnc"]["display"] == "127.0.0.1:5"
    assert str(seen[asking]["id"]) == slave.virsh("domid", asking).strip()
    assert (seen[asking]["pid"], seen[other]["pid"]) == (slave.pid(asking), None)
    assert seen[asking]["since"]
    (disk,) = seen[asking]["disks"]
    assert (disk["source"], disk["backing"], disk["missing"]) == (f"{IMAGES}/{asking}", [f"{IMAGES}/{BOX}"], [])
    assert seen[lost]["disks"][0]["missing"] == [gone]
    assert result["counts"] == {"job": 2, "configuration": 1, "other": 1, "running": 3, "total": 4}
    assert codes(result) == {"paused", "disk_missing"}
    assert {finding["subject"] for finding in result["findings"]} == {lost}
    assert PASSWORD not in json.dumps(result)

    few = operator.module(slave, "libvirt_domain_info", kinds=["configuration"], check=True)
    assert (list(by_name(few)), codes(few), few["changed"]) == ([configuration], {"healthy"}, False)
    slave.virsh("resume", lost)
    slave.other_domains("twin", number=2)
    assert codes(operator.module(slave, "libvirt_domain_info", timeout=60)) == {"disk_missing", "same_mac"}


@pytest.mark.step("T8")
def test_all_job_domains_and_no_configuration(slave: LibvirtHost, operator: Operator) -> None:
    jobs = slave.job_domains(26) + slave.job_domains(1, disk=True)
    spared = slave.configuration_domains(3)
    assert len(slave.running()) == 30

    foretold = operator.module(slave, "libvirt_domain_destroy", check=True, kinds=["job"])
    assert foretold["changed"]
    assert len(slave.running()) == 30
    result = operator.module(slave, "libvirt_domain_destroy", kinds=["job"])
    assert "msg" not in result, result["msg"]
    assert sorted(slave.all_domains()) == spared
    assert sorted(slave.running()) == spared
    assert slave.host.run(["pgrep", "--count", "--exact", "qemu-system-x86"]).stdout.strip() == "3"
    assert {change["subject"] for change in result["changes"]} == {f"domain:{name}" for name in jobs}
    assert all(change["done"] and not change["reversible"] for change in result["changes"])
    assert result["plan_sha256"] == foretold["plan_sha256"]
    assert (result["spared"], result["domains"], codes(result)) == (spared, [], {"none_left", "spared"})

    kept = slave.host.run(["ls", result["evidence"]["xml"]]).stdout.split()
    assert sorted(kept) == sorted(f"{name}.transient.xml" for name in jobs)
    text = slave.host.read(f"{result['evidence']['xml']}/{jobs[-1]}.transient.xml").decode()
    assert PASSWORD not in text
    slave.virsh("create", f"{result['evidence']['xml']}/{jobs[-1]}.transient.xml")
    slave.virsh("destroy", jobs[-1])

    again = operator.module(slave, "libvirt_domain_destroy", kinds=["job"])
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)
    named = operator.module(slave, "libvirt_domain_destroy", names=[spared[0], "no-such-machine"], pattern="^tmp")
    assert "msg" not in named, named["msg"]
    assert sorted(slave.running()) == spared[1:]
    assert slave.state(spared[0]) == "shut off (destroyed)"
    assert codes(named) == {"none_left", "spared", "not_there"}


@pytest.mark.step("T8")
@pytest.mark.thorough
def test_one_that_libvirt_may_not_kill(slave: LibvirtHost, operator: Operator) -> None:
    others = slave.job_domains(2, network=False, owner="+0:+0")
    immortal = slave.immortal_domain()
    result = operator.module(slave, "libvirt_domain_destroy", kinds=["job"])
    assert slave.running() == [immortal]
    assert result["changed"]
    assert "Operation not permitted" in result["msg"]
    assert {change["subject"]: change["done"] for change in result["changes"]} == {**{f"domain:{name}": True for name in others}, f"domain:{immortal}": False}
    assert result["survivors"] == [immortal]
    (finding,) = [each for each in result["findings"] if each["code"] == "libvirt.domain.will_not_die"]
    assert (finding["severity"], finding["subject"], finding["detail"]["pid"]) == ("critical", immortal, slave.pid(immortal))
    slave.mend()
    assert "msg" not in operator.module(slave, "libvirt_domain_destroy", kinds=["job"])
    assert slave.running() == []


@pytest.mark.step("T8")
@pytest.mark.thorough
def test_one_whose_process_does_not_go_delays_no_other(slave: LibvirtHost, operator: Operator) -> None:
    names = slave.job_domains(3)
    held = slave.hold(names[0])
    result = operator.module(slave, "libvirt_domain_destroy", kinds=["job"], timeout=5)
    assert (result["survivors"], [change["done"] for change in result["changes"]]) == ([names[0]], [False, True, True])
    assert "goes on trying" in result["msg"]
    assert slave.host.exists(f"/proc/{held}")
    slave.release()
    slave.host.wait_for(lambda: not slave.host.exists(f"/proc/{held}"), "the process is gone", 60)
    slave.host.wait_for(lambda: slave.running() == [], "libvirt has noticed that its process is gone", 60)


@pytest.mark.step("T7")
@pytest.mark.thorough
def test_a_daemon_that_is_away_or_hangs(slave: LibvirtHost, operator: Operator) -> None:
    (name,) = slave.job_domains(1)
    slave.daemon_down()
    for module, options in (("libvirt_domain_info", {"timeout": 20}), ("libvirt_domain_destroy", {"kinds": ["job"]})):
        down = operator.module(slave, module, **options)
        assert not down["changed"]
        assert "cannot be reached" in down["msg"] and "libvirt-sock" in down["msg"]
    slave.mend()
    slave.daemon_hangs()
    started = time.monotonic()
    hung = operator.module(slave, "libvirt_domain_info", timeout=2)
    assert "did not answer within 2 seconds" in hung["msg"]
    assert time.monotonic() - started < 60
    slave.mend()
    assert list(by_name(operator.module(slave, "libvirt_domain_info", timeout=60))) == [name]


@pytest.mark.step("T8")
def test_nothing_is_taken_for_everything(slave: LibvirtHost, operator: Operator) -> None:
    (name,) = slave.job_domains(1)
    for options, said in (
        ({"timeout": 9}, "pass names, kinds"),
        ({"pattern": "["}, "no regular expression"),
        ({"kinds": ["job"], "timeout": 0}, "more than 0"),
    ):
        result = operator.module(slave, "libvirt_domain_destroy", **options)
        assert said in result["msg"]
    result = operator.module(slave, "libvirt_domain_destroy", kinds=["configuration"])
    assert "value of kinds" in result["msg"]
    assert slave.running() == [name]
