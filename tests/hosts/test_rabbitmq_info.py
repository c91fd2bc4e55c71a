# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real broker, its faults made first, seen by all three ways."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import inspect
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.errors import RabbitMQError
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.info import BrokerInfo
from ansible_collections.fieldops.runbooks.plugins.modules.rabbitmq_info import OPTIONS
from lab.hosts import Host, Lab
from lab.hosts.rabbitmq_host import QUEUES, RabbitHost
from operating import Operator
from play import ROOT

pytestmark = pytest.mark.step("T16")

Looks = Callable[..., dict[str, Any]]
EVERYBODY = {"expected_queues": [*QUEUES, "slaves_slave*"], "min_connections": 3, "max_depth": 20}
PLACE = "/usr/local/lib/fieldops-lab/look"
LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from module_utils.procedure.check import inspect
from module_utils.rabbitmq.errors import RabbitMQError
from module_utils.rabbitmq.info import BrokerInfo
try:
    seen = inspect(BrokerInfo(json.loads(sys.argv[2])))
    print(json.dumps(dict(seen.facts, findings=[finding.to_dict() for finding in seen.findings])))
except RabbitMQError as exc:
    print(json.dumps({"msg": str(exc)}))
"""


@pytest.fixture(scope="module")
def talus(host: Callable[..., Host]) -> Iterator[RabbitHost]:
    """A broker with a master and two slaves."""
    broker = RabbitHost(host("rabbitmq"))
    for part in ("__init__.py", "startup.py", "connect", "procedure", "rabbitmq"):
        broker.host.put(ROOT / "plugins/module_utils" / part, f"{PLACE}/module_utils/{part}")
    broker.talus()
    yield broker
    broker.mend()
    broker.clear()


@pytest.fixture
def broker(talus: RabbitHost) -> Iterator[RabbitHost]:
    """The same, mended after the test; whoever went deaf is started again."""
    yield talus
    talus.mend()
    if talus.connections() != 3:
        talus.clear()
        talus.talus()


def params(options: dict[str, Any]) -> dict[str, Any]:
    """As Ansible fills them in."""
    return {name: options.get(name, option.get("default")) for name, option in OPTIONS.options.items()}


@pytest.fixture
def look(broker: RabbitHost) -> Looks:
    """What the module does, by the Python of the broker's host, without Ansible around it."""

    def run(**options: Any) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(broker.host.run(["python3", "-c", LOOK, PLACE, json.dumps(params(options))]).stdout)
        return result

    return run


@pytest.fixture
def inside(broker: RabbitHost, lab: Lab) -> Looks:
    """The same on the engine's host: there, the broker is one that runs in a container."""

    def run(**options: Any) -> dict[str, Any]:
        given = {"via": "container", "container": broker.host.container, "docker_host": lab.run.engine.url, **options}
        try:
            with contextlib.closing(BrokerInfo(params(given))) as check:
                seen = inspect(check)
        except RabbitMQError as exc:
            return {"msg": str(exc)}
        return dict(seen.facts, findings=[finding.to_dict() for finding in seen.findings])

    return run


def codes(result: dict[str, Any]) -> dict[str, str]:
    assert "findings" in result, result
    return {finding["code"]: finding["severity"] for finding in result["findings"]}


def shape(result: dict[str, Any]) -> dict[str, Any]:
    """What every way tells alike: no numbers that move."""
    connections = sorted((row["host"], row["user"], row["vhost"], row["protocol"]) for row in result["connections"])
    queues = [(row["vhost"], row["name"], row["durable"], row["auto_delete"], row["exclusive"], row["consumers"], row["state"]) for row in result["queues"]]
    same = ("running", "node", "version", "cluster", "alarms", "listeners", "exchanges", "missing", "healthy")
    limits = {"memory": result["memory"]["limit"], "disk": result["disk"]["limit"]}
    return {"connections": connections, "queues": queues, **limits, **{key: result[key] for key in same}}


def test_all_ways_tell_the_same_of_a_broker_that_is_well(broker: RabbitHost, operator: Operator, inside: Looks) -> None:
    by_management = operator.module(broker, "rabbitmq_info", wait=60, **EVERYBODY)  # its numbers come some seconds late
    by_ctl = operator.module(broker, "rabbitmq_info", check=True, via="rabbitmqctl", **EVERYBODY)
    in_container = inside(**EVERYBODY)
    assert [each["via"] for each in (by_management, by_ctl, in_container)] == ["management", "rabbitmqctl", "container"]
    assert shape(by_management) == shape(by_ctl) == shape(in_container)
    assert codes(by_management) == codes(by_ctl) == codes(in_container) == {"rabbitmq.ok": "ok"}
    assert not any(each["tried"] for each in (by_management, by_ctl, in_container))
    assert (by_management["changed"], by_ctl["changed"]) == (False, False)
    version = broker.host.run(["dpkg-query", "--show", "--showformat=${source:Upstream-Version}", "rabbitmq-server"]).stdout
    assert (by_ctl["version"], by_ctl["node"], by_ctl["loopback_users"]) == (version, "rabbit@rabbitmq", [])
    assert {queue["name"] for queue in by_ctl["queues"]} == {*QUEUES, "slaves_slave1", "slaves_slave2"}
    assert {queue["name"] for queue in by_ctl["queues"] if queue["exclusive"]} == {"slaves_slave1", "slaves_slave2"}
    assert {queue["consumers"] for queue in by_ctl["queues"]} == {0}, "who polls is no consumer"
    assert {"vhost": "/", "name": "broadcast", "type": "fanout", "durable": False} in by_ctl["exchanges"]
    assert all(row["channels"] == 1 and row["connected_at"] and row["host"] == "127.0.0.1" for row in by_ctl["connections"])
    assert {row["address"]: row["port"] for row in by_ctl["listeners"] if row["protocol"] == "http"} == {"127.0.0.1": 15672}


def test_a_queue_that_nobody_fetches_from(broker: RabbitHost, look: Looks) -> None:
    broker.publish("jobs", 30)
    result = look(via="rabbitmqctl", **EVERYBODY)
    assert codes(result) == {"rabbitmq.queue.deep": "warning"}
    assert result["findings"][0]["detail"] == {"vhost": "/", "depth": 30, "ready": 30, "unacked": 0, "consumers": 0}
    assert "secret-of-message" not in json.dumps(result)
    broker.ctl("purge_queue", "jobs")
    assert codes(look(via="rabbitmqctl", **EVERYBODY)) == {"rabbitmq.ok": "ok"}


@pytest.mark.thorough
def test_alarms_and_who_is_held_back(broker: RabbitHost, look: Looks, inside: Looks) -> None:
    broker.memory_alarm()
    broker.host.wait_for(lambda: "blocked" in broker.ctl("list_connections", "state"), "a publisher is held back", 60)
    broker.disk_alarm()
    expected = {"rabbitmq.alarm.memory": "critical", "rabbitmq.alarm.disk": "critical", "rabbitmq.connection.blocked": "warning"}
    by_ctl, in_container = look(via="rabbitmqctl"), inside()
    assert codes(by_ctl) == codes(in_container) == expected
    assert not by_ctl["healthy"]
    assert by_ctl["alarms"] == [{"kind": "disk", "node": "rabbit@rabbitmq"}, {"kind": "memory", "node": "rabbit@rabbitmq"}]
    assert by_ctl["memory"]["used"] > by_ctl["memory"]["limit"] == 10_000_000
    assert by_ctl["disk"]["free"] < by_ctl["disk"]["limit"]

    def management_sees() -> bool:
        return codes(look(via="management")) == expected

    broker.host.wait_for(management_sees, "the management API shows the alarms and who is held back", 60, step=1)
    broker.mend()
    assert codes(look(via="rabbitmqctl")) == {"rabbitmq.ok": "ok"}
    assert look(via="management", wait=60, **EVERYBODY)["healthy"]


@pytest.mark.thorough
def test_a_broker_that_is_frozen(broker: RabbitHost, look: Looks, inside: Looks) -> None:
    broker.freeze()
    by_ctl = look(via="rabbitmqctl", timeout=3)
    assert "rabbitmqctl" not in broker.host.run(["ps", "-eo", "args"]).stdout, "nothing is left of it"
    for result in (by_ctl, inside(timeout=3), look(via="management", timeout=2)):
        assert codes(result) == {"rabbitmq.node.silent": "critical"}
    broker.mend()
    assert codes(look()) == {"rabbitmq.ok": "ok"}


@pytest.mark.thorough
def test_a_broker_that_is_stopped_then_down_and_started_again_with_deaf_daemons(broker: RabbitHost, look: Looks, inside: Looks) -> None:
    broker.publish("jobs", 5)
    broker.publish("jobs", 2, persistent=True)
    broker.stop_app()
    for result in (look(), inside()):  # the management API goes with it, so that rabbitmqctl is asked
        assert codes(result) == {"rabbitmq.node.stopped": "critical"}
        assert (result["running"], result["node"], result["healthy"], result["totals"]["queues"]) == (False, "rabbit@rabbitmq", False, None)

    broker.stop()
    by_ctl, in_container = look(), inside()
    assert "refuses connections" in by_ctl["tried"]["management"]
    for result in (by_ctl, in_container):
        assert codes(result) == {"rabbitmq.node.down": "critical"}
        assert "not running" in result["findings"][0]["summary"]
        assert "cookie" not in json.dumps(result).lower()
    assert look(via="management")["msg"].startswith("nothing can be said of the broker: management: no management API answers")

    broker.mend()
    assert all(broker.clients.running(name) for name in ("master", "slave1", "slave2")), "all processes are up"
    result = look(via="rabbitmqctl", **EVERYBODY)
    assert codes(result) == {"rabbitmq.connection.missing": "critical", "rabbitmq.queue.missing": "critical"}
    assert {finding["subject"] for finding in result["findings"]} == {"rabbit@rabbitmq", "slaves_slave*"}
    assert {queue["name"]: queue["depth"] for queue in result["queues"]} == {"slaves": 0, "slave_status": 0, "jobs": 2, "job_status": 0}
    broker.clients.stop_all()
    broker.talus()
    broker.ctl("purge_queue", "jobs")
    assert codes(look(via="rabbitmqctl", wait=60, **EVERYBODY)) == {"rabbitmq.ok": "ok"}


@pytest.mark.thorough
def test_expected_clients_by_name_and_number(broker: RabbitHost, look: Looks) -> None:
    here = broker.host.address
    broker.client("remote", host=here, poll=["jobs"])
    assert codes(look(via="rabbitmqctl", expected_clients=["rabbitmq", "127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1"])) == {"rabbitmq.ok": "ok"}
    broker.clients.stop("remote")
    broker.host.wait_for(lambda: broker.connections() == 3, "the broker knows that it is gone", 60)
    broker.guest_only_from_here()
    result = look(via="rabbitmqctl", expected_clients=[here, here, "127.0.0.1", "no-such-host.invalid"])
    assert codes(result) == {"rabbitmq.connection.missing": "critical", "rabbitmq.user.loopback_only": "warning"}
    told = {finding["subject"]: finding["summary"] for finding in result["findings"]}
    assert told[here] == f"{here} has no connection to the broker"
    assert told["guest"].endswith(f"refused on {here}, no-such-host.invalid")
    assert look(via="rabbitmqctl", expected_clients=[here], proxies=["127.0.0.1"])["healthy"], "behind the proxy there may be anyone"


@pytest.mark.thorough
def test_ways_that_lead_to_nothing_are_told(broker: RabbitHost, operator: Operator, look: Looks, inside: Looks) -> None:
    broker.guest_password("another-password")
    result = look()
    assert (result["via"], codes(result)) == ("rabbitmqctl", {"rabbitmq.ok": "ok"})
    assert "refuses user guest" in result["tried"]["management"]
    refused = operator.module(broker, "rabbitmq_info", via="management", management_password="wrong-password")
    assert refused["msg"].startswith("nothing can be said of the broker: management: the management API at http://127.0.0.1:15672 refuses user guest")
    assert "wrong-password" not in json.dumps(refused)
    assert look(via="management", management_password="another-password")["running"]

    broker.management_off()
    assert look()["via"] == "rabbitmqctl"
    broker.rabbitmqctl_away()
    assert "there is no program rabbitmqctl on this node" in look()["msg"]
    assert "cannot be run" in inside()["msg"]
    assert "needs the name of a container" in inside(container="")["msg"]
    assert codes(inside(container="no-such-container")) == {"rabbitmq.node.down": "critical"}
    assert "no engine answers" in inside(docker_host="unix:///nowhere.sock")["msg"]
