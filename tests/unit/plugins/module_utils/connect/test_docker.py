# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's measurements come to, its times, and errors that a person can act on."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker, EngineAway, Usage, timestamp, usage_between
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.images import Image, is_repository, is_tag, split


def stats(read: str, cpu: int, usage: int = 500, **inside: int) -> dict[str, Any]:
    return {
        "read": read,
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": 1, "online_cpus": 4},
        "memory_stats": {"usage": usage, "limit": 1000, "stats": inside},
    }


FIRST = stats("2026-01-31T23:59:58.500000000Z", 1_000_000_000)


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        (stats("2026-01-31T23:59:59.5Z", 2_500_000_000, inactive_file=100), Usage(1.5, 400, 1000)),  # control groups of version 2
        (stats("2026-01-31T23:59:59.5Z", 1_000_000_000, total_inactive_file=200), Usage(0.0, 300, 1000)),  # and of version 1
        (stats("2026-02-01T00:00:00.5Z", 2_000_000_000), Usage(0.5, 500, 1000)),
        (stats("2026-01-31T23:59:59.5Z", 500_000_000), Usage(0.0, 500, 1000)),  # restarted meanwhile
        (stats("2026-01-31T23:59:58.5Z", 2_000_000_000), None),  # no time between
        ({"read": "0001-01-01T00:00:00Z", "cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}, None),  # it has ended
        ({}, None),
    ],
)
def test_usage(second: dict[str, Any], wanted: Usage | None) -> None:
    assert usage_between(FIRST, second) == wanted


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-31T23:59:59Z", 1769903999.0),
        ("2026-01-31T23:59:59.25Z", 1769903999.25),
        ("1970-01-01T00:00:00.000000001Z", 1e-9),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_times(text: str, seconds: float | None) -> None:
    assert timestamp(text) == seconds


def test_an_engine_that_is_not_there_is_told_in_one_sentence() -> None:
    docker = Docker("unix:///nowhere/docker.sock", timeout=1)
    with pytest.raises(EngineAway, match=r"^no engine answers at unix:///nowhere/docker\.sock \(asked to connect\): .*No such file or directory"):
        docker.containers()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("hub.example.org/a/b:v1", ("hub.example.org/a/b", "v1")),
        ("hub.example.org:5000/a/b", ("hub.example.org:5000/a/b", "latest")),
        ("hub.example.org:5000/a/b:v1", ("hub.example.org:5000/a/b", "v1")),
        ("busybox", ("busybox", "latest")),
    ],
)
def test_a_port_is_no_tag(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts


def test_names_and_tags() -> None:
    assert all(map(is_repository, ("hub.example.org/a", "127.0.0.1:5000/a/b", "localhost:5000/x-y_z")))
    assert not any(map(is_repository, ("", "a", "https://a/b", "a/b c", "a//b", "../a", "A/b", "a/b@x")))
    assert all(map(is_tag, ("latest", "v1", "1.0-rc_1", "a" * 128)))
    assert not any(map(is_tag, ("", "-x", "a b", "a/b", "a" * 129, "a\n")))


def test_an_image_that_the_engine_lists_without_a_name() -> None:
    image = Image.of({"Id": "sha256:1", "RepoTags": ["<none>:<none>"], "RepoDigests": ["a/b@sha256:2", "<none>@<none>"]})
    assert (image.tags, image.digests) == ((), ("a/b@sha256:2",))
    assert (image.digest_of("a/b"), image.digest_of("a")) == ("sha256:2", None)
