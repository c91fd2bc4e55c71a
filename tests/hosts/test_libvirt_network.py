# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talus' network on a real libvirt: each fault is made, found, foretold, mended without a restart where that can be, and taken back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.hosts import Host
from lab.hosts.libvirt_host import LibvirtHost
from lab.hosts.libvirt_machines import FIRST, LAST, NETWORK, mac, network_xml
from operating import Operator

UP = {"Active": "yes", "Persistent": "yes", "Autostart": "yes", "Bridge": "virbr2"}


@pytest.fixture
def slave(host: Callable[..., Host]) -> Iterator[LibvirtHost]:
    """A host that runs virtual machines; mended and emptied after the test."""
    made = LibvirtHost(host("libvirt"))
    yield made
    made.mend()
    made.clear()


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"].removeprefix("libvirt.network.") for finding in result["findings"]}


def ask(operator: Operator, slave: LibvirtHost, module: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """The result of a module, one of whose options is called `name`."""
    words = ("-m", f"fieldops.runbooks.{module}", "-a", json.dumps(arguments), *(["--check"] if check else []))
    environment = {**operator.environment, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline"}
    command = operator.command("ansible", slave.host.name, *words)
    done = subprocess.run(command, env=environment, cwd=operator.directory, text=True, capture_output=True, timeout=400, check=False)
    print(done.stdout, done.stderr)
    result: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :].splitlines()[0])
    return result


def look(operator: Operator, slave: LibvirtHost) -> dict[str, Any]:
    return ask(operator, slave, "libvirt_network_info", name=[NETWORK], xml=network_xml())


def have(operator: Operator, slave: LibvirtHost, check: bool = False, **options: Any) -> dict[str, Any]:
    return ask(operator, slave, "libvirt_network", check, **{"name": NETWORK, "xml": network_xml(), **options})


def state(slave: LibvirtHost) -> dict[str, str]:
    return {key: value for key, value in slave.network_state().items() if key in UP}


def rows(slave: LibvirtHost) -> tuple[int, int]:
    """Static hosts that are active, and that are defined."""
    live = slave.virsh("net-dumpxml", NETWORK).count("<host ")
    return live, slave.network_text().count("<host ")


def mended(operator: Operator, slave: LibvirtHost) -> dict[str, Any]:
    """Foretold, done as foretold, and not needed again; the result."""
    before = (state(slave), slave.virsh("net-list", "--all"))
    foretold = have(operator, slave, check=True)
    assert foretold["changed"]
    assert (state(slave), slave.virsh("net-list", "--all")) == before
    result = have(operator, slave)
    assert "msg" not in result, result["msg"]
    assert result["plan_sha256"] == foretold["plan_sha256"]
    assert (state(slave), codes(result)) == (UP, {"healthy"})
    assert not have(operator, slave)["changed"]
    return result


@pytest.mark.step("T9")
def test_there_is_none(slave: LibvirtHost, operator: Operator) -> None:
    slave.network_undefined()
    assert codes(look(operator, slave)) == {"undefined"}
    nothing = have(operator, slave, xml=None, check=True)
    assert nothing["refusals"][0]["guard"] == "undefined"
    result = mended(operator, slave)
    assert [change["action"] for change in result["changes"]] == ["define", "start", "autostart"]
    assert rows(slave) == (LAST - FIRST + 1, LAST - FIRST + 1)
    assert slave.host.exists("/sys/class/net/virbr2")
    (machine,) = slave.job_domains(1)
    refused = operator.module(slave, "runbook_undo", undo_id=result["undo_id"])
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["in_use"]
    slave.virsh("destroy", machine)
    undone = operator.module(slave, "runbook_undo", undo_id=result["undo_id"])
    assert "msg" not in undone, undone["msg"]
    assert slave.network_state() == {}


@pytest.mark.step("T9")
@pytest.mark.thorough
def test_it_is_down_and_would_not_come_back(slave: LibvirtHost, operator: Operator) -> None:
    slave.network_inactive()
    slave.network_not_autostarted()
    assert codes(look(operator, slave)) == {"inactive", "not_autostarted"}
    result = mended(operator, slave)
    assert [change["action"] for change in result["changes"]] == ["start", "autostart"]
    assert "msg" not in operator.module(slave, "runbook_undo", undo_id=result["undo_id"])
    assert state(slave) == {**UP, "Active": "no", "Autostart": "no"}


@pytest.mark.step("T9")
@pytest.mark.thorough
def test_rows_of_the_table_are_added_while_machines_run(slave: LibvirtHost, operator: Operator) -> None:
    (machine,) = slave.job_domains(1)
    served = slave.host.read("/run/libvirt/network/talus-network.pid")
    slave.network_static_hosts_missing(7, 8)
    slave.network_static_hosts_missing(9, config=False)
    slave.virsh("net-update", NETWORK, "modify", "ip-dhcp-host", f"<host mac='{mac(10)}' name='other' ip='192.168.123.60'/>", "--live", "--config")
    slave.virsh("net-update", NETWORK, "add", "ip-dhcp-host", "<host mac='52:54:00:00:00:01' ip='192.168.123.250'/>", "--live", "--config")
    slave.network_not_autostarted()
    seen = look(operator, slave)
    assert codes(seen) == {"not_autostarted", "static_hosts_missing"}
    (finding,) = [each for each in seen["findings"] if each["severity"] == "critical"]
    assert {row["mac"] for row in finding["detail"]["active"]} == {mac(number) for number in (7, 8, 9, 10)}
    before = rows(slave)
    result = mended(operator, slave)
    subjects = [change["subject"].removeprefix(f"network:{NETWORK}/") for change in result["changes"]]
    assert subjects == [mac(7), mac(8), mac(9), mac(10), "autostart"]
    assert rows(slave) == (LAST - FIRST + 2, LAST - FIRST + 2)
    assert f"{mac(9)},192.168.123.9,vm_mac_9" in slave.host.read("/var/lib/libvirt/dnsmasq/talus-network.hostsfile").decode()
    assert slave.host.read("/run/libvirt/network/talus-network.pid") == served
    assert slave.running() == [machine]
    undone = operator.module(slave, "runbook_undo", undo_id=result["undo_id"])
    assert "msg" not in undone, undone["msg"]
    assert rows(slave) == before
    assert state(slave) == {**UP, "Autostart": "no"}
    assert f"{mac(10)},192.168.123.60" in slave.host.read("/var/lib/libvirt/dnsmasq/talus-network.hostsfile").decode()


@pytest.mark.step("T9")
@pytest.mark.thorough
def test_another_one_of_that_name_is_not_replaced_unless_told(slave: LibvirtHost, operator: Operator) -> None:
    slave.network_other(bridge="virbr7", end="192.168.123.200")
    (machine,) = slave.job_domains(1)
    assert codes(look(operator, slave)) == {"differs"}
    refused = have(operator, slave)
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["differs"]
    assert "bridge is virbr7 and should be virbr2" in refused["msg"]
    busy = have(operator, slave, replace=True)
    assert [refusal["guard"] for refusal in busy["refusals"]] == ["in_use"]
    assert slave.network_state()["Bridge"] == "virbr7"
    slave.virsh("destroy", machine)
    old = slave.network_text()
    result = have(operator, slave, replace=True)
    assert "msg" not in result, result["msg"]
    assert [change["action"] for change in result["changes"]] == ["redefine", "restart"]
    assert state(slave) == UP
    assert slave.host.exists("/sys/class/net/virbr2") and not slave.host.exists("/sys/class/net/virbr7")
    assert not have(operator, slave)["changed"]
    undone = operator.module(slave, "runbook_undo", undo_id=result["undo_id"])
    assert "msg" not in undone, undone["msg"]
    assert (slave.network_text(), slave.network_state()["Active"]) == (old, "yes")
    assert slave.host.exists("/sys/class/net/virbr7")


@pytest.mark.step("T9")
@pytest.mark.thorough
def test_its_bridge_was_taken_away(slave: LibvirtHost, operator: Operator) -> None:
    slave.host.run(["ip", "link", "delete", "virbr2"])
    assert state(slave) == UP
    assert codes(look(operator, slave)) == {"bridge_missing"}
    result = mended(operator, slave)
    assert [change["action"] for change in result["changes"]] == ["restart"]
    assert slave.host.exists("/sys/class/net/virbr2")


@pytest.mark.step("T9")
def test_a_wish_that_cannot_be_is_refused_before_anything(slave: LibvirtHost, operator: Operator) -> None:
    before = slave.network_text()
    taken = have(operator, slave, xml=None, static_hosts=[{"mac": "52:54:00:00:00:09", "ip": "192.168.123.9"}])
    assert [refusal["guard"] for refusal in taken["refusals"]] == ["address_taken"]
    for options, said in (({"xml": "<network>"}, "cannot be read"), ({"xml": None, "static_hosts": [{"mac": "9", "ip": "1.2.3.4"}]}, "must be six bytes")):
        assert said in have(operator, slave, **options)["msg"]
    assert slave.network_text() == before
