# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hare's words for states, its keys read, and what would be changed: without any Consul."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare import states
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare.change import StateView, Wish, guards, message_of, plan, target_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare.consul import Consul, Item
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare.kv import Cluster, cluster_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare.publish import equal
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare.verdict import diagnose, queue_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import make, parse

PROCESS, SERVICE, SDEV, DRIVE = make("r", 1, 0x13), make("s", 1, 0x23), make("d", 1, 0x31), make("k", 1, 0x41)
NODE = "m0conf/nodes/%s" % make("n", 1, 0x10).hare
PROCESS_KEY = "%s/processes/%s" % (NODE, PROCESS.hare)
EVENT_KEY = "processes/%s" % PROCESS.hare
SERVICE_KEY = "%s/services/%s" % (PROCESS_KEY, SERVICE.hare)
SDEV_KEY = "%s/sdevs/%s" % (SERVICE_KEY, SDEV.hare)
SITE_KEY = "m0conf/sites/0x5300000000000001:0x1/racks/0x6100000000000001:0x1/encls/0x6500000000000001:0x1/ctrls/0x6300000000000001:0x1/drives/%s" % DRIVE.hare
KEYS: dict[str, Any] = {
    "epoch": "7",
    "leader": "one",
    "m0_client_types": ["m0_client_other"],
    "consul/node/one": "consul-one",
    NODE: {"name": "one", "state": "online"},
    PROCESS_KEY: {"name": "m0_server", "state": "online"},
    EVENT_KEY: {"state": states.RECOVERED, "type": "M0_CONF_HA_PROCESS_M0D"},
    SERVICE_KEY: {"name": "ios", "state": "M0_NC_UNKNOWN"},
    SDEV_KEY: {"path": "/dev/vda", "state": "online"},
    SITE_KEY: {"sdev": SDEV.hare, "state": "M0_NC_UNKNOWN"},
    "m0conf/nodes/one/processes/19/services/ios": "35",
    "m0conf/nodes/one/processes/19/endpoint": "inet:tcp:192.0.2.1@1",
}


def cluster(health: str = "passing", **changed: Any) -> Cluster:
    keys = dict(KEYS, **changed)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in keys.items() if value is not None}
    return cluster_of({key: Item(key, text, 5) for key, text in texts.items()}, {"consul-one": health})


def found(seen: Cluster, **options: Any) -> dict[str, str]:
    return {finding.code: finding.severity for finding in diagnose(seen, queue_of(seen, options.get("epochs", [])), 0)}


@pytest.mark.parametrize("kind", ["process", "service", "drive"])
def test_whatever_is_planned_leaves_nothing_to_do(kind: str) -> None:
    fid = {"process": PROCESS, "service": SERVICE, "drive": DRIVE}[kind]
    for start in states.accepted(kind):
        for state in states.accepted(kind):
            wish = Wish(fid, kind, state, None, kind != "service")
            seen = cluster(**{SITE_KEY: {"sdev": SDEV.hare, "state": "online"}})
            first = plan(StateView(seen, target_of(seen, fid)), wish._replace(state=start))
            now = dict(first[0].after or {}) if first else {}
            seen = cluster(**{SITE_KEY: {"sdev": SDEV.hare, "state": "online"}, **now})
            changes = plan(StateView(seen, target_of(seen, fid)), wish)
            after = dict(now, **(changes[0].after or {})) if changes else now
            seen = cluster(**{SITE_KEY: {"sdev": SDEV.hare, "state": "online"}, **after})
            assert plan(StateView(seen, target_of(seen, fid)), wish) == []
            assert not [code for code in found(seen) if code.endswith("disagree")]
            assert bool(changes) == (start != state)


def test_two_vocabularies() -> None:
    seen = cluster()
    (change, event) = plan(StateView(seen, target_of(seen, SDEV)), Wish(SDEV, "drive", "rebalance", None, True))
    assert change.after == {SDEV_KEY: {"path": "/dev/vda", "state": "rebalancing"}}
    assert event.after is not None
    assert event.after["payload"] == {"node": "one", "source_type": "drive", "device": "/dev/vda", "state": "rebalance"}
    message = message_of(target_of(seen, PROCESS), "dtm_recovering")
    assert message is not None
    assert message.payload == {"fid": PROCESS.hare, "state": states.STARTED, "type": "M0_CONF_HA_PROCESS_M0D"}
    assert message_of(target_of(seen, SERVICE), "online") is None
    with pytest.raises(MotrError, match=r"rebalancing is what Hare keeps, rebalance is what it takes"):
        states.check("drive", "rebalancing")
    with pytest.raises(MotrError, match="fid of a gob"):
        states.kind_of(parse("<4700000000000001:1>"))


@pytest.mark.parametrize(
    ("event", "state", "together"),
    [
        (states.RECOVERED, "online", True),
        (states.RECOVERED, "dtm_recovering", False),
        (states.STARTED, "dtm_recovering", True),
        (states.STARTED, "failed", False),
        (states.STOPPED, "online", False),
        (states.STOPPED, "stopped", True),
        (states.STARTING, "failed", True),
        (states.STOPPED, "M0_NC_UNKNOWN", True),
        ("Unknown", "online", True),
    ],
)
def test_which_states_go_together(event: str, state: str, together: bool) -> None:
    assert states.agree(event, state) is together
    seen = cluster(**{EVENT_KEY: {"state": event, "type": "M0D"}, PROCESS_KEY: {"name": "m0_server", "state": state}})
    assert ("hare.process.disagree" in found(seen)) is not together


def test_faults_and_damage() -> None:
    assert found(cluster()) == {"hare.cluster.ok": "ok"}
    assert found(cluster("critical")) == {"hare.node.lost": "critical"}
    assert found(cluster(**{"consul/node/one": None})) == {"hare.node.lost": "critical"}
    assert found(cluster(**{SDEV_KEY: {"path": "/dev/vda", "state": "failed"}})) == {"hare.drive.not_online": "critical"}
    assert found(cluster(**{SITE_KEY: {"dev": SDEV.hare, "state": "failed"}})) == {"hare.drive.disagree": "warning"}
    for damage in ("", "[]", "{", '{"state": 3}', "null"):
        assert "hare.key.damaged" in found(cluster(**{SERVICE_KEY: damage}))
    assert found(cluster(epoch="six"), epochs=[]) == {"hare.queue.epoch": "critical"}
    assert found(cluster(), epochs=[8]) == {"hare.queue.backlog": "warning", "hare.queue.epoch": "critical"}
    for odd in ("m0conf/nodes/one/processes/x/endpoint", "m0conf/nodes/", "processes/", "processes/x", "m0conf", "m0conf/nodes/a:b:c"):
        assert found(cluster(**{odd: "odd"})) == {"hare.cluster.ok": "ok"}


def test_guards_want_a_plan() -> None:
    seen = cluster("critical", **{EVENT_KEY: None})
    wish = Wish(PROCESS, "process", "online", "failed", True)
    view = StateView(seen, target_of(seen, PROCESS))
    assert guards(view, wish, []) == []
    changes = plan(view, wish._replace(state="dtm_recovering"))
    assert [refusal.guard for refusal in guards(view, wish, changes)] == ["expected", "event", "node"]


def test_the_same_in_other_words() -> None:
    assert equal('{"a": 1, "b": 2}', '{"b":2,"a":1}')
    assert not equal('{"a": 1}', '{"a": 2}')
    assert not equal("x", "y")


@pytest.mark.parametrize("timeout", [0, -1, 601, float("inf"), float("nan")])
def test_a_time_limit_is_one(timeout: float) -> None:
    with pytest.raises(MotrError, match="timeout must be"):
        Consul({"consul_url": "127.0.0.1:8500", "timeout": timeout, "validate_certs": True, "ca_cert": None})
