# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to a broker: stand-ins of rabbitmqctl that say what the real ones of several versions say, and servers that are no management API."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.rabbitmq import (
    BrokerDown,
    BrokerError,
    BrokerSilent,
    Management,
    evaluate,
    resolve,
)

from .servers import Behaviour, answer, serving, silence

DOWN_3_10 = """\
Error: unable to perform an operation on node 'rabbit@broker'. Please see diagnostics information and suggestions below.

Most common reasons for this are:

 * Target node is unreachable (e.g. due to hostname resolution, TCP connection or firewall issues)
 * CLI tool fails to authenticate with the server (e.g. due to CLI tool's Erlang cookie not matching that of the server)

DIAGNOSTICS
===========

attempted to contact: [rabbit@broker]

rabbit@broker:
  * connected to epmd (port 4369) on broker
  * epmd reports: node 'rabbit' not running at all
                  no other nodes on broker
  * suggestion: start the node

Current node details:
 * node name: 'rabbitmqcli-175-rabbit@broker'
 * effective user's home directory: /var/lib/rabbitmq
 * Erlang cookie hash: abcdefghijklmnopqrstuv==
"""
COOKIE_3_10 = DOWN_3_10.replace("node 'rabbit' not running at all", "node 'rabbit' uses port 25672").replace(
    "  * suggestion: start the node", "  * TCP connection succeeded but Erlang distribution failed\n  * suggestion: check the cookie"
)
DOWN_3_2 = """\
Error: unable to connect to node rabbit@broker: nodedown

DIAGNOSTICS
===========

nodes in question: [rabbit@broker]

hosts, their running nodes and ports:
- broker: [{rabbitmqctl1234,43210}]

current node details:
- node name: rabbitmqctl1234@broker
- home dir: /var/lib/rabbitmq
- cookie hash: abcdefghijklmnopqrstuv==
"""
OTHER_USER = "Usage:\nrabbitmqctl [-n <node>] [-q] <command> [<command options>]\n\nOnly root or rabbitmq should run rabbitmqctl\n"


@pytest.fixture
def standin(tmp_path: Path) -> Path:
    """A program called as rabbitmqctl is; a test writes what it does."""
    program = tmp_path / "rabbitmqctl"
    program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def says(program: Path, code: int, output: str = "", errors: str = "", before: str = "") -> str:
    folder = program.parent
    (folder / "output").write_text(output, encoding="utf-8")
    (folder / "errors").write_text(errors, encoding="utf-8")
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/words\n{before}\ncat {folder}/output\ncat {folder}/errors >&2\nexit {code}\n', encoding="utf-8"
    )
    return str(program)


def test_one_expression_goes_to_the_node_and_its_value_comes_back(standin: Path) -> None:
    value = evaluate(says(standin, 0, "[{node,rabbit@broker}]\n"), "rabbit@broker", "f().", 20)
    assert value == [("node", "rabbit@broker")]
    assert (standin.parent / "words").read_text(encoding="utf-8").split() == ["-q", "-n", "rabbit@broker", "eval", "f()."]
    evaluate(str(standin), None, "g().", 20)
    assert (standin.parent / "words").read_text(encoding="utf-8").split() == ["-q", "eval", "g()."]


def test_an_answer_of_any_length_is_read_whole_and_warnings_beside_it_are_not(standin: Path) -> None:
    rows = ",".join("{queue,<<%d>>}" % (number % 256) for number in range(60000))
    value = evaluate(says(standin, 0, f"[{rows}]\n", "warning: the VM is running with native name encoding of latin1\n"), None, "f().", 60)
    assert len(value) == 60000


@pytest.mark.parametrize(
    ("code", "output", "errors", "kind", "text"),
    [
        (69, "", DOWN_3_10, BrokerDown, "epmd reports: node 'rabbit' not running at all"),
        (2, "", DOWN_3_2, BrokerDown, "broker: [{rabbitmqctl1234,43210}]"),
        (69, "", COOKIE_3_10, BrokerError, "refused by the node, as with another Erlang cookie"),
        (1, OTHER_USER, "", BrokerError, "must be run as root or as the user rabbitmq"),
        (64, "", 'Error (argument validation): "syntax error"\n', BrokerError, "exit code 64"),
        (127, "", "erl: not found\n", BrokerError, "cannot be run: erl: not found"),
        (3, "", "", BrokerError, "it said nothing"),
        (0, "Hello", "", BrokerError, "no Erlang term"),
    ],
)
def test_what_it_says_when_it_cannot(standin: Path, code: int, output: str, errors: str, kind: type[BrokerError], text: str) -> None:
    with pytest.raises(BrokerError) as caught:
        evaluate(says(standin, code, output, errors), None, "f().", 20)
    assert caught.type is kind
    assert text in str(caught.value)
    assert "abcdefghij" not in str(caught.value)
    assert "/var/lib/rabbitmq" not in str(caught.value)


def test_a_node_that_lets_the_handshake_run_out_is_there_and_silent(standin: Path) -> None:
    with pytest.raises(BrokerSilent, match="does not answer"):
        evaluate(says(standin, 69, "", COOKIE_3_10, before="sleep 7"), None, "f().", 60)


def test_one_that_hangs_is_ended_with_what_it_started(standin: Path) -> None:
    started = time.monotonic()
    program = says(standin, 0, "ok", before=f"sleep 600 & echo $! >{standin.parent}/child; wait")
    with pytest.raises(BrokerSilent, match="did not end within 1 s"):
        evaluate(program, None, "f().", 1)
    assert time.monotonic() - started < 60
    child = int((standin.parent / "child").read_text(encoding="utf-8"))
    while _runs(child):
        assert time.monotonic() - started < 60
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """A process that was killed takes a moment to go."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(BrokerError, match="there is no program /nowhere/rabbitmqctl on this node"):
        evaluate("/nowhere/rabbitmqctl", None, "f().", 5)


def http(status: str, body: bytes) -> Behaviour:
    return answer(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body))


@pytest.mark.parametrize(
    ("behaviour", "kind", "text"),
    [
        (http("401 Unauthorized", b'{"error":"not_authorised","reason":"Login failed"}'), BrokerError, "refuses user monitor: Login failed"),
        (http("403 Forbidden", b"no"), BrokerError, "refuses user monitor: it gave no reason"),
        (http("404 Not Found", b""), BrokerError, "answers overview with status 404"),
        (http("200 OK", b"<html>"), BrokerError, "its answer is no JSON"),
        (http("302 Found\r\nLocation: /elsewhere", b""), BrokerError, "status 302"),
        (silence, BrokerSilent, "does not answer"),
    ],
)
def test_what_is_no_management_api(behaviour: Behaviour, kind: type[BrokerError], text: str) -> None:
    with serving(behaviour) as server:
        api = Management(server.url(path=""), "monitor", "the-password")
        with pytest.raises(BrokerError) as caught:
            api.get("overview?columns=node", 1)
    assert caught.type is kind
    assert text in str(caught.value)
    assert "the-password" not in str(caught.value)


def test_the_management_api_is_asked_with_user_and_password() -> None:
    with serving(http("200 OK", json.dumps({"node": "rabbit@broker"}).encode())) as server:
        assert Management(server.url(), "monitor", "the-password").get("overview?columns=node", 20) == {"node": "rabbit@broker"}
    (request,) = server.requests
    assert request.startswith(b"GET /api/overview?columns=node HTTP/1.1\r\n")
    assert b"Authorization: Basic bW9uaXRvcjp0aGUtcGFzc3dvcmQ=\r\n" in request


def test_names_that_are_resolved_and_those_that_are_not() -> None:
    found = resolve(["127.0.0.1", "localhost", "no-such-host.invalid", "::1"], 20)
    assert found["127.0.0.1"] == ["127.0.0.1"]
    assert set(found["localhost"]) & {"127.0.0.1", "::1"}
    assert "no-such-host.invalid" not in found
