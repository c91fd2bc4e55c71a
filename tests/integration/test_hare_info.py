# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a cluster out of a real Consul that is filled as Hare fills it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from lab.consul import NODES, Consul, fid
from support import run_ok, run_refused

TOKEN = "4b5a1f7e-0000-4000-8000-9d8c7b6a5948"
IOS = fid("r", 0x13)
IOS_KEY = f"m0conf/nodes/{fid('n', 0x10)}/processes/{IOS}"
SDEV_KEY = f"{IOS_KEY}/services/{fid('s', 0x23)}/sdevs/{fid('d', 0x31)}"


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consul]:
    with Consul(tmp_path_factory.mktemp("consul")) as started:
        yield started


@pytest.fixture
def consul(lasting: Consul) -> Consul:
    lasting.fill()
    return lasting


def look(consul: Consul, **options: Any) -> dict[str, Any]:
    return run_ok("hare_info", {"consul_url": consul.url, **options})


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


@pytest.mark.step("M12")
@pytest.mark.step("M11")
def test_as_hctl_status_has_it(consul: Consul) -> None:
    before = consul.rows()
    result = look(consul)
    assert codes(result) == ["hare.cluster.ok"]
    assert result["totals"] == {"nodes": 2, "processes": 8, "services": 8, "drives": 4}
    assert result["status"][0] == f"    {NODES[0]}  (RC)"
    assert result["status"][3] == f"    [started]  {'ioservice':<18}  {IOS:<30}  inet:tcp:127.0.0.1@22019"
    assert [process["name"] for process in result["processes"]] == ["hax", "confd", "ioservice", "m0_client_other"] * 2
    assert all(process["agree"] for process in result["processes"])
    drive = next(each for each in result["drives"] if each["sdev"] == fid("d", 0x131))
    assert (drive["fid"], drive["node"], drive["path"], drive["state"]) == (fid("k", 0x141), NODES[1], "/dev/vda", "online")
    assert result["leader"] == NODES[0]
    assert result["queue"] == {"epoch": 1, "messages": 0, "newest": None, "backlog": dict.fromkeys(NODES, 0), "unread": []}
    assert result["pools"] == {fid("o", 1): "tier1-nvme"}
    assert result["bytecount"]["healthy"] == 0
    assert consul.rows() == before
    few = look(consul, limit=1)
    assert (len(few["processes"]), few["totals"]["processes"]) == (1, 8)


@pytest.mark.step("M11")
def test_each_fault_is_told(consul: Consul) -> None:
    consul.put(IOS_KEY, {"name": "m0_server", "state": "failed"})
    consul.put(f"processes/{fid('r', 0x12)}", {"state": "M0_CONF_HA_PROCESS_STOPPED", "type": "M0_CONF_HA_PROCESS_M0D"})
    consul.put(f"m0conf/nodes/{fid('n', 0x10)}/processes/{fid('r', 0x12)}", {"name": "m0_server", "state": "offline"})
    consul.put(SDEV_KEY, {"path": "/dev/vda", "state": "repairing"})
    consul.put(f"processes/{fid('r', 0x999)}", {"state": "M0_CONF_HA_PROCESS_STARTED", "type": "M0_CONF_HA_PROCESS_OTHER"})
    consul.put(f"m0conf/nodes/{fid('n', 0x10)}/processes/{fid('r', 0x14)}", "no JSON")
    consul.put("leader", "")
    consul.health("ssc-vm-2", "critical")
    result = look(consul)
    found = {finding["code"]: finding for finding in result["findings"]}
    assert set(found) == {
        "hare.node.lost",
        "hare.process.disagree",
        "hare.process.offline",
        "hare.drive.not_online",
        "hare.key.damaged",
        "hare.process.unlisted",
        "hare.leader.none",
    }
    assert codes(result).count("hare.node.lost") == codes(result).count("hare.process.offline") == 1
    assert found["hare.node.lost"]["subject"] == NODES[1]
    assert found["hare.process.disagree"]["subject"] == IOS
    assert "M0_CONF_HA_PROCESS_DTM_RECOVERED" in found["hare.process.disagree"]["summary"]
    assert found["hare.process.disagree"]["remedy"]["vars"] == {"motr_hare_object": IOS}
    assert {process["status"] for process in result["processes"] if process["node"] == NODES[1]} == {"offline"}
    consul.delete(f"consul/node/{NODES[0]}")
    assert codes(look(consul)).count("hare.node.lost") == 2


@pytest.mark.step("M11")
def test_a_process_of_a_first_start_is_no_contradiction(consul: Consul) -> None:
    consul.put(IOS_KEY, {"name": "m0_server", "state": "M0_NC_UNKNOWN"})
    assert codes(look(consul)) == ["hare.cluster.ok"]
    consul.delete(f"processes/{IOS}")
    result = look(consul)
    assert codes(result) == ["hare.process.unknown"]
    assert next(each for each in result["processes"] if each["fid"] == IOS)["agree"] is None


@pytest.mark.step("M11")
def test_the_queue(consul: Consul) -> None:
    for number in range(2, 32):
        consul.put(f"bq/{number}", {"timestamp": "then", "message_type": "M0_HA_MSG_NVEC", "payload": {"state": str(number)}})
    consul.put("epoch", "31")
    consul.put(f"bq-delivered/{NODES[0]}", "31")
    consul.put(f"bq-delivered/{NODES[1]}", "11")
    result = look(consul)
    assert codes(result) == ["hare.queue.backlog"]
    assert result["queue"]["backlog"] == {NODES[0]: 0, NODES[1]: 20}
    assert [row["epoch"] for row in result["queue"]["unread"]] == list(range(22, 32))
    assert result["queue"]["unread"][-1]["payload"] == {"state": "31"}
    assert codes(look(consul, max_backlog=20)) == ["hare.cluster.ok"]
    consul.put("epoch", "30")
    assert codes(look(consul, max_backlog=20)) == ["hare.queue.epoch"]


def test_what_is_not_there(consul: Consul) -> None:
    consul.delete()
    consul.put("somebody/else", "secret")
    assert "has no key below m0conf/nodes/" in run_refused("hare_info", {"consul_url": consul.url})["msg"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "did not" in run_refused("hare_info", {"consul_url": f"127.0.0.1:{port}", "timeout": 0.5})["msg"]
    assert "refuses" in run_refused("hare_info", {"consul_url": f"127.0.0.1:{port}", "timeout": 5})["msg"]
    for options, said in (({"timeout": 0}, "timeout must be"), ({"limit": -1}, "limit must be"), ({"consul_token": "a b"}, "no token has")):
        assert said in run_refused("hare_info", {"consul_url": consul.url, **options})["msg"]
    assert "a token as consul_token" in run_refused("hare_info", {"consul_url": "http://user:word@127.0.0.1:1"})["msg"]


def test_a_token_is_sent_and_never_shown(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    with Consul(tmp_path_factory.mktemp("locked"), TOKEN) as locked:
        locked.fill()
        known = {"consul_url": locked.url, "consul_token": TOKEN}
        result = run_ok("hare_info", known)
        assert codes(result) == ["hare.cluster.ok"]
        assert TOKEN not in str(result)
        assert "consul_token may not read" in run_refused("hare_info", {"consul_url": locked.url})["msg"]
        wrong = TOKEN[:-1] + "9"
        said = run_refused("hare_info", {**known, "consul_token": wrong})
        assert "does not permit this (403)" in said["msg"]
        assert wrong not in str(said)
        monkeypatch.setenv("CONSUL_HTTP_TOKEN", TOKEN)
        assert codes(run_ok("hare_info", {"consul_url": locked.url})) == ["hare.cluster.ok"]
