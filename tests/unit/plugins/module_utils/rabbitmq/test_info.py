# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ways are tried, what is refused, and a whole look by stand-ins of old and new programs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.check import Result, inspect
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.errors import RabbitMQError
from ansible_collections.fieldops.runbooks.plugins.module_utils.rabbitmq.info import BrokerInfo, gateways, ways
from ansible_collections.fieldops.runbooks.plugins.modules.rabbitmq_info import OPTIONS

from .answers import LIKE_3_2, RECORDED_3_10

NOWHERE = "http://127.0.0.1:1"


def params(**given: Any) -> dict[str, Any]:
    return {name: given.get(name, option.get("default")) for name, option in OPTIONS.options.items()}


def look(**given: Any) -> Result:
    with closing(BrokerInfo(params(**given))) as check:
        return inspect(check)


def program(folder: Path, script: str) -> str:
    path = folder / "rabbitmqctl"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def printing(folder: Path, text: str) -> str:
    (folder / "answer").write_text(text, encoding="utf-8")
    return program(folder, f"cat {folder}/answer")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("management", "rabbitmqctl")),
        ({"rabbitmqctl": "/x"}, ("rabbitmqctl",)),
        ({"container": "c"}, ("container",)),
        ({"container": "c", "rabbitmqctl": "/x"}, ("container",)),
        ({"management_url": "http://x"}, ("management",)),
        ({"management_url": "http://x", "rabbitmqctl": "/x"}, ("management", "rabbitmqctl")),
        ({"management_url": "http://x", "container": "c", "rabbitmqctl": "/x"}, ("management", "container")),
        ({"via": "rabbitmqctl", "container": "c"}, ("rabbitmqctl",)),
        ({"via": "management"}, ("management",)),
        ({"via": "container", "container": "c"}, ("container",)),
    ],
)
def test_what_is_named_is_tried(given: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert ways(params(**given)) == expected


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"via": "container"}, "via=container needs the name of a container"),
        ({"timeout": 0.5}, "timeout must be from 1 to 600, not 0.5"),
        ({"timeout": float("nan")}, "timeout must be"),
        ({"wait": 3601}, "wait must be from 0 to 3600"),
        ({"max_depth": -1}, "max_depth must be from 0"),
        ({"min_connections": -1}, "min_connections must be from 0"),
        ({"via": "management", "management_user": "monitor"}, "management_password is missing for user monitor"),
        ({"via": "management", "management_url": "ftp://x"}, "begins neither with http:// nor with https://"),
        ({"via": "management", "management_url": "http://u:the-password@x"}, "management_url must be http(s)://host:port alone"),
        ({"management_url": NOWHERE}, "no management API answers at http://127.0.0.1:1"),
        ({"rabbitmqctl": "/nowhere/rabbitmqctl"}, "there is no program /nowhere/rabbitmqctl"),
        ({"container": "c", "docker_host": "unix:///nowhere.sock"}, "no engine answers at unix:///nowhere.sock"),
    ],
)
def test_bad_input_and_what_cannot_be_asked_is_told(given: dict[str, Any], text: str) -> None:
    with pytest.raises(RabbitMQError) as caught:
        look(**given)
    assert text in str(caught.value)
    assert "the-password" not in str(caught.value)


def test_an_old_broker_whose_rabbitmqctl_knows_no_json(tmp_path: Path) -> None:
    result = look(rabbitmqctl=printing(tmp_path, LIKE_3_2), expected_queues=["jobs"], proxies=["172.17.0.1"], expected_clients=["192.0.2.1"])
    assert result.facts["version"] == "3.2.4"
    assert {finding.code: finding.severity for finding in result.findings} == {"rabbitmq.connection.blocked": "warning", "rabbitmq.node.unread": "warning"}
    assert result.facts["healthy"]
    assert result.evidence["clients"] == {"192.0.2.1": ["192.0.2.1"]}


def test_the_first_way_that_leads_to_a_broker_counts(tmp_path: Path) -> None:
    result = look(management_url=NOWHERE, rabbitmqctl=printing(tmp_path, RECORDED_3_10))
    assert result.facts["via"] == "rabbitmqctl"
    assert list(result.facts["tried"]) == ["management"]
    assert "refuses connections" in result.facts["tried"]["management"]


@pytest.mark.parametrize(("text", "told"), [("{ok,1}", "did not answer what it was asked"), ("[{fieldops,1},{listeners,{told,[{a}]}}]", "is not understood")])
def test_an_answer_that_is_none_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RabbitMQError, match=told):
        look(rabbitmqctl=printing(tmp_path, text))


def test_waiting_ends_when_all_is_well(tmp_path: Path) -> None:
    """The first answers are of a broker that is down."""
    (tmp_path / "answer").write_text(LIKE_3_2, encoding="utf-8")
    down = "echo 'Error: unable to connect to node a: nodedown' >&2; exit 2"
    script = f'echo >>{tmp_path}/asked; test "$(wc -l <{tmp_path}/asked)" -gt 2 && exec cat {tmp_path}/answer; {down}'
    result = look(rabbitmqctl=program(tmp_path, script), wait=120)
    assert result.facts["healthy"]
    assert len((tmp_path / "asked").read_text(encoding="utf-8")) == 3


def test_waiting_ends_in_time_with_what_was_seen_last(tmp_path: Path) -> None:
    result = look(rabbitmqctl=printing(tmp_path, RECORDED_3_10), wait=0.2)
    assert not result.facts["healthy"]
    assert result.facts["version"] == "3.10.8"


class Inspected:
    """An engine that knows one container."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self.found = found

    def inspect(self, _name: str) -> dict[str, Any] | None:
        return self.found

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("found", "code", "text"),
    [
        (None, "rabbitmq.node.down", "no broker runs on talus-amqp: there is no container talus-amqp"),
        (
            {"Id": "1", "State": {"Running": False, "Status": "exited", "ExitCode": 137}},
            "rabbitmq.node.down",
            "container talus-amqp is exited with exit code 137",
        ),
        ({"Id": "1", "State": {"Running": False, "Status": "created"}}, "rabbitmq.node.down", "container talus-amqp is created"),
        ({"Id": "1", "State": {"Running": True, "Paused": True, "Status": "paused"}}, "rabbitmq.node.silent", "container talus-amqp is paused"),
    ],
)
def test_a_container_that_does_not_run_is_a_broker_that_does_not(found: dict[str, Any] | None, code: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check = BrokerInfo(params(container="talus-amqp"))
    monkeypatch.setattr(check, "docker", Inspected(found))
    (finding,) = inspect(check).findings
    assert finding.code == code
    assert finding.subject == "talus-amqp"
    assert text in finding.summary


def test_gateways_of_a_container() -> None:
    networks = {
        "talus_nw": {"Gateway": "172.18.0.1", "IPv6Gateway": ""},
        "bridge": {"Gateway": "172.17.0.1", "IPv6Gateway": "fd00::1"},
        "none": {"Gateway": ""},
    }
    assert gateways({"NetworkSettings": {"Networks": networks}}) == ("172.17.0.1", "172.18.0.1", "fd00::1")
    assert gateways({}) == ()
