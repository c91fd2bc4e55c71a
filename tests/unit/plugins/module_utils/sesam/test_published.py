# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of a container, from what an engine says of its ports."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.published import _same, addresses


def seen(ports: Any, running: bool = True) -> dict[str, Any]:
    return {"Id": "f" * 64, "Name": "/node", "State": {"Running": running}, "HostConfig": {"NetworkMode": "bridge"}, "NetworkSettings": {"Ports": ports}}


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        (None, []),
        ({"9042/tcp": None}, []),
        ({"9042/tcp": [{"HostIp": "0.0.0.0", "HostPort": "9043"}, {"HostIp": "::", "HostPort": "9043"}]}, [("127.0.0.1", 9043)]),  # noqa: S104
        ({"9042/tcp": [{"HostIp": "10.0.0.5", "HostPort": "80"}], "53/udp": [{"HostIp": "", "HostPort": "53"}]}, [("10.0.0.5", 80)]),
        ({"9042/tcp": [{"HostIp": "", "HostPort": ""}]}, []),
    ],
)
def test_what_is_published(ports: Any, found: list[Any]) -> None:
    assert addresses(seen(ports)) == found
    assert addresses(seen(ports, running=False)) == []


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("http://localhost:9042/api", True),
        ("http://127.0.0.1:9042/api", True),
        ("http://localhost:9043/api", False),
        ("https://localhost:9042/api", False),
        ("http://node.example:9042/api", False),
        ("http://localhost/api", False),
    ],
)
def test_what_was_asked_already(other: str, same: bool) -> None:
    assert _same("http://127.0.0.1:9042", other) is same
