# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines and networks on a stand-in of libvirt: what no real one does when it is asked to. The real one is in tests/hosts."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.libvirt import Libvirt
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import read_process
from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt import domains as reading
from lab.hosts.libvirt_machines import FIRST, NETWORK, domain_xml, mac, network_xml
from lab.libvirt_standin import state as standin
from lab.libvirt_standin.state import Hypervisor
from support import run_module, run_ok, run_refused

JOBS = [f"0123456789abcdef01234567_{number}.img" for number in range(4)]
CONFIGURATION = "tmpAbCdEf_default"
URI = {"uri": "qemu:///standin"}


@pytest.fixture
def hypervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hypervisor:
    """Empty."""
    monkeypatch.setattr(reading, "PID_FILES", (str(tmp_path / "%s.pid"),))
    return Hypervisor(tmp_path / "libvirt.json").install(monkeypatch)


@pytest.fixture
def destroy(journal_dir: str) -> Any:
    """All machines of jobs."""
    return lambda **options: run_module("libvirt_domain_destroy", {**URI, "journal_dir": journal_dir, "kinds": ["job"], **options})


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"].split(".", 1)[1] for finding in result["findings"]}


def done(result: dict[str, Any]) -> list[bool]:
    return [change["done"] for change in result["changes"]]


# -- looking -----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T7")
def test_addresses_from_every_source(hypervisor: Hypervisor) -> None:
    """A guest that does not answer its agent is no error."""

    def machine(number: int) -> str:
        xml = domain_xml({"name": "n", "vnc": 5900 + number, "number": number, "agent": True})
        return xml.replace("guest_agent.0'", "guest_agent.0' state='connected'")

    faces = {"eth0": {"hwaddr": mac(4).upper(), "addrs": [{"addr": "192.168.123.4"}, {"addr": "fe80::1"}]}, "lo": {"hwaddr": "", "addrs": None}}
    lease = {"mac": mac(2), "ipaddr": "192.168.123.2", "hostname": "two", "expirytime": 1769904000}
    hypervisor.network(NETWORK, network_xml(), network_xml(), leases=[lease])
    for number, more in ((2, {}), (3, {"arp": {"v": {"hwaddr": mac(3), "addrs": [{"addr": "192.168.123.99"}]}}}), (4, {"agent": faces}), (5, {})):
        hypervisor.domain(JOBS[number - 2], machine(number), **more)
    silent = run_ok("libvirt_domain_info", URI)
    assert [[(ip["address"], ip["source"]) for ip in row["ips"]] for row in silent["domains"]] == [
        [("192.168.123.2", "lease")],
        [("192.168.123.99", "arp")],
        [("192.168.123.4", "table")],
        [("192.168.123.5", "table")],
    ]
    asked = run_ok("libvirt_domain_info", {**URI, "agent": True, "name": JOBS[2:]})
    assert [[(ip["address"], ip["source"]) for ip in row["ips"]] for row in asked["domains"]] == [[("192.168.123.4", "agent")], [("192.168.123.5", "table")]]
    assert run_ok("libvirt_network_info", URI)["networks"][0]["leases"][0]["expires"] == "2026-02-01T00:00:00Z"


@pytest.mark.step("T7")
def test_networks_that_cannot_be_read_keep_no_machine_from_being_listed(hypervisor: Hypervisor) -> None:
    hypervisor.domain(JOBS[0])
    hypervisor.network(NETWORK, "<other/>", "<other/>")
    result = run_ok("libvirt_domain_info", URI)
    assert (codes(result), len(result["domains"])) == ({"domain.healthy", "domain.addresses_unknown"}, 1)


@pytest.mark.step("T7")
def test_machines_of_another_user(hypervisor: Hypervisor) -> None:
    hypervisor.domain("ci-1", state=standin.CRASHED)
    hypervisor.domain("golden", persistent=True, state=standin.PAUSED, reason=5)
    result = run_ok("libvirt_domain_info", {**URI, "job_pattern": "^ci-", "configuration_pattern": "^golden$"})
    assert [(row["kind"], row["state"]) for row in result["domains"]] == [("job", "crashed"), ("configuration", "paused")]
    assert codes(result) == {"domain.crashed", "domain.io_error"}


def test_a_node_without_the_library_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    for module in ("libvirt_domain_info", "libvirt_network_info"):
        assert "python3-libvirt" in run_refused(module, URI)["msg"]


@pytest.mark.parametrize("fault", ["down", "hang"])
def test_a_daemon_that_gives_no_answer(hypervisor: Hypervisor, journal_dir: str, fault: str) -> None:
    hypervisor.fault(fault)
    said = {"down": "cannot be reached", "hang": "did not answer within 0.2 seconds"}[fault]
    for module, options in (("libvirt_domain_info", {}), ("libvirt_network_info", {}), ("libvirt_network", {"name": "n", "journal_dir": journal_dir})):
        started = time.monotonic()
        assert said in run_refused(module, {**URI, **options, "timeout": 0.2})["msg"]
        assert time.monotonic() - started < 20


# -- destroying ----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T8")
def test_each_end_is_told_from_the_others(hypervisor: Hypervisor, destroy: Any) -> None:
    """One goes, one goes by itself, one is refused, one takes for ever."""
    for name, end in zip(JOBS, (None, "ended", [38, "Failed to terminate process 4711 with SIGKILL: Device or resource busy"], "late"), strict=True):
        hypervisor.domain(name, destroy=end)
    result = destroy(timeout=2)
    assert done(result) == [True, False, False, False]
    notes = [change.get("note", "").partition(":")[0] for change in result["changes"]]
    assert notes == ["", "it ended by itself meanwhile", "it will not die", "it will not die"]
    assert "Device or resource busy" in result["msg"] and "(code 38)" in result["msg"]
    assert "2 of 3 domains will not die" in result["msg"]
    assert result["survivors"] == hypervisor.running() == JOBS[2:]
    assert codes(result) == {"domain.will_not_die"}
    assert result["changed"]


@pytest.mark.step("T8")
def test_a_process_that_outlives_its_machine(hypervisor: Hypervisor, destroy: Any, tmp_path: Path) -> None:
    """libvirt calls the machine destroyed; the process is this one, which lives on."""
    number = hypervisor.domain(JOBS[0])
    (tmp_path / f"{JOBS[0]}.pid").write_text(str(os.getpid()))
    itself = read_process(os.getpid())
    assert itself is not None
    with mock.patch.object(reading, "read_process", lambda pid: itself.__class__(pid, itself.start, (*itself.argv, number), itself.owner)):
        result = destroy(timeout=1)
    assert done(result) == [True]
    assert f"its process {os.getpid()} is still there" in result["msg"]
    assert (codes(result), result["survivors"], hypervisor.running()) == ({"domain.process_left"}, [JOBS[0]], [])


@pytest.mark.step("T8")
def test_a_pid_that_another_process_has_by_now_is_not_the_machines(hypervisor: Hypervisor, destroy: Any, tmp_path: Path) -> None:
    hypervisor.domain(JOBS[0])
    (tmp_path / f"{JOBS[0]}.pid").write_text(str(os.getpid()))
    assert run_ok("libvirt_domain_info", URI)["domains"][0]["pid"] is None
    assert "msg" not in destroy(timeout=1)


@pytest.mark.step("T8")
def test_killed_between_two_machines(hypervisor: Hypervisor, journal_dir: str, destroy: Any) -> None:
    """What the run has done is told by looking, nothing is given back, and the next run does the rest."""
    for name in (*JOBS, CONFIGURATION):
        hypervisor.domain(name)
    original = Libvirt.destroy
    made: list[str] = []

    def until_the_third(self: Libvirt, uuid: str, timeout: float | None = None) -> bool:
        if len(made) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        made.append(uuid)
        return original(self, uuid, timeout)

    pid = os.fork()
    if pid == 0:
        with mock.patch.object(Libvirt, "destroy", until_the_third):
            from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt import destroy as destroying

            destroying._WORKERS = 1
            destroy()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert hypervisor.running() == [*JOBS[2:], CONFIGURATION]
    (run,) = run_ok("runbook_journal_info", {"journal_dir": journal_dir})["runs"]
    assert (run["status"], run["context"]["transient"]) == ("unfinished", JOBS)
    kept = Path(run["context"]["xml"])
    assert sorted(path.name for path in kept.iterdir()) == [f"{name}.transient.xml" for name in JOBS]
    result = destroy()
    assert "msg" not in result, result["msg"]
    assert ([change["subject"] for change in result["changes"]], hypervisor.running()) == ([f"domain:{name}" for name in JOBS[2:]], [CONFIGURATION])


@pytest.mark.step("T8")
def test_guards_hold_and_nothing_is_done_twice(hypervisor: Hypervisor, destroy: Any) -> None:
    for name in JOBS:
        hypervisor.domain(name)
    refused = destroy(max_changes=3)
    assert ([refusal["guard"] for refusal in refused["refusals"]], hypervisor.running()) == (["max_changes"], JOBS)
    foretold = run_module("libvirt_domain_destroy", {**URI, "kinds": ["job"]}, check=True)
    result = destroy(approved_plan=foretold["plan_sha256"])
    assert (done(result), hypervisor.running()) == ([True] * 4, [])
    assert destroy()["changed"] is False


# -- networks -------------------------------------------------------------------------------------------------------------------


@pytest.mark.step("T9")
def test_a_network_without_xml(hypervisor: Hypervisor, journal_dir: str) -> None:
    """On a hypervisor elsewhere, whose bridges are not this node's."""
    there = {"uri": "qemu+ssh://elsewhere/system", "journal_dir": journal_dir, "name": "lab"}
    parts = {"address": "10.0.0.1/24", "bridge": "virbr7", "forward": "nat", "dhcp_start": "10.0.0.50", "dhcp_end": "10.0.0.90"}
    hosts = [{"mac": "52:54:00:00:00:02", "ip": "10.0.0.2", "name": "builder"}]
    made = run_ok("libvirt_network", {**there, **parts, "static_hosts": hosts})
    assert (made["network"]["addresses"], made["network"]["bridge"], made["network"]["active"]) == (["10.0.0.1/24"], "virbr7", True)
    assert [(row["ip"], row["live"]) for row in made["network"]["static_hosts"]] == [("10.0.0.2", True)]
    assert not run_ok("libvirt_network", {**there, **parts, "static_hosts": hosts})["changed"]
    two = {"uri": there["uri"], "name": ["a", "b"], "static_hosts": hosts}
    assert "xml and static_hosts are of one network" in run_refused("libvirt_network_info", two)["msg"]
    assert codes(run_ok("libvirt_network_info", {"uri": there["uri"], "name": ["lab"], "static_hosts": hosts})) == {"network.healthy"}


@pytest.mark.step("T9")
def test_a_transient_network_is_kept_as_it_is(hypervisor: Hypervisor, journal_dir: str) -> None:
    hypervisor.network(NETWORK, None, network_xml(range(FIRST, 4)))
    there = {"uri": "test:///standin", "journal_dir": journal_dir, "name": NETWORK}
    assert codes(run_ok("libvirt_network_info", {"uri": there["uri"], "name": [NETWORK]})) == {"network.transient"}
    made = run_ok("libvirt_network", there)
    assert [change["action"] for change in made["changes"]] == ["define", "autostart"]
    assert made["network"]["persistent"]


@pytest.mark.step("T9")
def test_one_that_is_changed_meanwhile_is_left_alone(hypervisor: Hypervisor, journal_dir: str) -> None:
    """Somebody else adds the row between the look and the change."""
    hypervisor.network(NETWORK, network_xml(range(FIRST, 4)), None, autostart=True)
    from ansible_collections.fieldops.runbooks.plugins.module_utils.libvirt.network import HaveNetwork

    original = HaveNetwork.apply

    def after_another(self: HaveNetwork, changes: Any) -> Any:
        hypervisor.network(NETWORK, network_xml(range(FIRST, 5)), None, autostart=True)
        return original(self, changes)

    arguments = {"uri": "test:///standin", "journal_dir": journal_dir, "name": NETWORK, "xml": network_xml(range(FIRST, 5)), "active": False}
    with mock.patch.object(HaveNetwork, "apply", after_another):
        result = run_refused("libvirt_network", arguments)
    assert "was changed by somebody else" in result["msg"]
    assert not run_ok("libvirt_network", arguments)["changed"]
