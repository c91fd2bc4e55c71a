# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections are reset: by what a client is told, and by a real kernel on real connections where it can."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.errors import ToolError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.ha import Ham
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.client.ss import Connection, Ss
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.endpoints import parse_endpoint
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from lab.motr.tools import Cluster
from lab.motr.tools.cluster import CLIENTS
from support import run_module, run_ok, run_refused

MODULE = "motr_connection_reset"
TOOL, CLIENT = CLIENTS
SERVER = "<7200000000000001:29>"


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path / "cluster").create()


@pytest.fixture
def told(cluster: Cluster, journal_dir: str) -> dict[str, Any]:
    """By HA, with no pause that a test would have to wait for."""
    known = {"client_endpoint": CLIENT, "server_process": "^r|1:0x29", "pause": 0}
    return {"endpoint": TOOL, "tools_dir": str(cluster.bin), "journal_dir": journal_dir, **known}


class Wire:
    """A server that listens, and two connections to it, of which one leaves from the port of the client."""

    def __init__(self) -> None:
        self.open = ExitStack()
        self.server = self.open.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.dialled = [self.dial(), self.dial()]

    def dial(self) -> tuple[socket.socket, socket.socket]:
        near = self.open.enter_context(socket.create_connection(self.server.getsockname()))
        far, _address = self.server.accept()
        self.open.enter_context(far)
        near.settimeout(60)
        far.settimeout(60)
        return near, far

    @property
    def names(self) -> list[set[str]]:
        """Each connection, from either end."""
        return [
            {f"{ends[a]}-{ends[1 - a]}" for a in (0, 1)}
            for ends in [["%s:%d" % near.getsockname(), "%s:%d" % near.getpeername()] for near, _far in self.dialled]
        ]

    def alive(self, number: int) -> bool:
        near, far = self.dialled[number]
        try:
            near.sendall(b"x")
            return far.recv(1) == b"x"
        except OSError:
            return False

    def arguments(self, journal_dir: str, **others: Any) -> dict[str, Any]:
        here = "127.0.0.1:%d" % self.dialled[0][0].getsockname()[1]
        there = "inet:tcp:127.0.0.1@%d" % self.server.getsockname()[1]
        return {"method": "tcp", "client_endpoint": here, "server_endpoint": there, "journal_dir": journal_dir, **others}


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    with made.open:
        yield made


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in result["findings"]}


@pytest.mark.step("M8")
def test_a_client_is_told(cluster: Cluster, told: dict[str, Any], journal_dir: str, wire: Wire) -> None:
    """Transient, then online, to this client alone; the connections of the node are in the evidence."""
    known = wire.arguments(journal_dir)
    told["server_endpoint"] = known["server_endpoint"]
    predicted = run_ok(MODULE, told, check=True)
    assert cluster.state["delivered"] == []
    assert (predicted["changed"], predicted["changes"][0]["reversible"], predicted["evidence"]["after"]) == (True, False, None)
    done = run_ok(MODULE, {**told, "approved_plan": predicted["plan_sha256"]})
    assert cluster.state["delivered"] == [{"to": CLIENT, "fid": SERVER, "state": state} for state in ("transient", "online")]
    assert "motr.connection.told" in codes(done)
    for when in ("before", "after"):
        assert {each["connection"] for each in done["evidence"][when]} <= set().union(*wire.names)
        assert len(done["evidence"][when]) == 2
    assert all(map(wire.alive, (0, 1)))
    undone = run_module("runbook_undo", {"undo_id": done["undo_id"], "journal_dir": journal_dir})
    assert [refusal["guard"] for refusal in undone["refusals"]] == ["irreversible"]
    again = run_refused(MODULE, {**told, "cooldown": 600})
    assert again["refusals"][0]["guard"] == "cooldown"


@pytest.mark.step("M8")
def test_a_client_that_cannot_be_told(cluster: Cluster, told: dict[str, Any], tmp_path: Path) -> None:
    cluster.fault(unreachable=True)
    failed = run_module(MODULE, told)
    assert failed["failed"]
    assert f"so {CLIENT} was not told: m0ham: cannot connect" in failed["msg"]
    assert not failed["changed"]
    assert "there is no m0hagen" in run_refused(MODULE, {**told, "tools_dir": str(tmp_path)})["msg"]


@pytest.mark.step("M8")
def test_the_kernel_ends_a_connection(wire: Wire, journal_dir: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real ss on real connections, where this kernel lets this user; else its refusal is told, and nothing is ended."""
    wanted = wire.arguments(journal_dir)
    predicted = run_ok(MODULE, wanted, check=True)
    assert len(predicted["changes"]) == 2
    chosen = next(each["connection"] for each in predicted["connections"] if each["connection"] in wire.names[0])
    wanted["connections"] = [chosen]
    result = run_module(MODULE, wanted)
    if result.get("failed"):
        assert "CONFIG_INET_DIAG_DESTROY" in result["msg"]
        assert not result["changed"]
        assert wire.alive(0)
    else:
        assert [change["done"] for change in result["changes"]] == [True]
        assert not wire.alive(0)
        assert len(result["connections"]) == 1
        assert run_ok(MODULE, wanted)["changed"] is False
        undone = run_module("runbook_undo", {"undo_id": result["undo_id"], "journal_dir": journal_dir})
        assert [refusal["guard"] for refusal in undone["refusals"]] == ["irreversible"]
    assert wire.alive(1)


@pytest.mark.step("M8")
def test_a_kernel_that_cannot(tmp_path: Path, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels without the option say so, or say nothing at all."""
    cluster = Cluster(tmp_path / "cluster").create("ss")
    monkeypatch.setenv("PATH", str(cluster.bin), prepend=":")
    with cluster.changing() as state:
        state["connections"] = [
            ["127.0.0.1:40000", "127.0.0.1:21002"],
            ["[::ffff:127.0.0.1]:22501", "[::ffff:127.0.0.1]:50000"],
            ["127.0.0.9:1", "127.0.0.1:21002"],
        ]
    wanted = {"method": "tcp", "client_endpoint": "inet:tcp:127.0.0.1@22501", "server_endpoint": "127.0.0.1:21002", "journal_dir": journal_dir}
    assert len(run_ok(MODULE, wanted, check=True)["changes"]) == 2
    assert run_ok(MODULE, {**wanted, "client_pid": 77}, check=True)["changes"] == []
    cluster.fault(refuses=True)
    failed = run_module(MODULE, wanted)
    assert "SOCK_DESTROY answers: Operation not supported" in failed["msg"]
    assert not failed["changed"]
    cluster.fault()
    done = run_ok(MODULE, wanted)
    assert cluster.state["connections"] == [["127.0.0.9:1", "127.0.0.1:21002"]]
    assert "motr.connection.none" in codes(done)


def test_endpoints_in_every_spelling() -> None:
    assert parse_endpoint("inet:tcp:10.0.0.1@3001") == parse_endpoint("inet:stream:10.0.0.1@3001") == parse_endpoint("10.0.0.1:3001") == ("10.0.0.1", 3001)
    assert parse_endpoint("10.0.0.1@tcp:12345:34:101") == ("10.0.0.1", 101 | 1 << 10 | 4 << 11)
    assert parse_endpoint("[::ffff:10.0.0.1]:5") == ("10.0.0.1", 5)
    assert parse_endpoint("inet6:tcp:[fe80::1]@7") == ("fe80::1", 7)
    for wrong in ("", "host:1", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.1@tcp:12345:4:1", "300.0.0.1:5"):
        with pytest.raises(MotrError, match="is no endpoint"):
            parse_endpoint(wrong)


@pytest.mark.parametrize("endpoint", ["10.0.0.1@o2ib:12345:34:101", "inet:verbs:10.0.0.1@3001"])
def test_what_goes_by_rdma_is_no_tcp_connection(endpoint: str) -> None:
    with pytest.raises(MotrError, match=r"goes by RDMA.*method: ha resets it"):
        parse_endpoint(endpoint)


def test_what_was_named_and_is_not_there_is_said(wire: Wire, journal_dir: str) -> None:
    here = min(wire.names[0])
    mistyped = run_ok(MODULE, wire.arguments(journal_dir, connections=["127.0.0.1:1-127.0.0.1:2"]))
    found = {finding["code"]: finding for finding in mistyped["findings"]}
    assert (mistyped["changed"], found["motr.connection.unknown"]["severity"]) == (False, "warning")
    assert "127.0.0.1:1-127.0.0.1:2" in found["motr.connection.unknown"]["summary"]
    assert any(name in found["motr.connection.unknown"]["summary"] for name in wire.names[0])
    good = run_ok(MODULE, wire.arguments(journal_dir, connections=[here]), check=True)
    assert "motr.connection.unknown" not in [finding["code"] for finding in good["findings"]]
    stale = run_ok(MODULE, wire.arguments(journal_dir, client_pid=2**22 - 1))
    assert [finding["subject"] for finding in stale["findings"] if finding["code"] == "motr.connection.unknown"] != []
    assert wire.alive(0) and wire.alive(1)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"server_process": None}, "needs server_process"),
        ({"server_process": "^s|1:1"}, "not of a process"),
        ({"client_endpoint": TOOL}, "are the same"),
        ({"endpoint": None}, "m0_client_other"),
        ({"pause": -1}, "pause must be"),
        ({"pause": 600}, "pause must be 0 to 60 seconds"),
        ({"method": "tcp"}, "needs server_endpoint"),
        ({"method": "tcp", "server_endpoint": "what"}, "is no endpoint"),
    ],
)
def test_bad_input(told: dict[str, Any], cluster: Cluster, given: dict[str, Any], why: str) -> None:
    assert why in run_refused(MODULE, {**told, **given})["msg"]
    assert cluster.state["delivered"] == []


def test_online_is_told_again_where_it_did_not_arrive(cluster: Cluster, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tell, failed = Ham.tell, []

    def sometimes(self: Ham, target: str, process: Any, state: str) -> None:
        if state == "online" and not failed:
            failed.append(state)
            raise ToolError("m0ham ended with 1")
        tell(self, target, process, state)

    monkeypatch.setattr(Ham, "tell", sometimes)
    assert run_ok(MODULE, told)["changed"]
    assert failed == ["online"]
    assert [each["state"] for each in cluster.state["delivered"]] == ["transient", "online"]


def test_connections_of_several_processes_are_not_cut_together(wire: Wire, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ss tells them on a client's node, where only this end of each is."""
    rows = [Connection("127.0.0.1", 40000 + pid, "127.0.0.1", 3001, (pid,)) for pid in (11, 12)]
    monkeypatch.setattr(Ss, "between", lambda *_arguments: rows)
    monkeypatch.setattr(Ss, "kill", lambda _self, connection: pytest.fail(f"{connection.name} was cut"))
    refused = run_refused(MODULE, wire.arguments(journal_dir))
    assert [each["guard"] for each in refused["refusals"]] == ["several"]
    assert "belong to 2 processes (11, 12)" in refused["msg"]
    assert len(run_ok(MODULE, wire.arguments(journal_dir, client_pid=11), check=True)["changes"]) == 1
