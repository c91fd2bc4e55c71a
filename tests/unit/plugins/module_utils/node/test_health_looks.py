# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks side by side, and that what could not be seen never counts as well."""

from __future__ import annotations

import errno
import threading
import time
from typing import Any, NoReturn

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import sockets
from ansible_collections.fieldops.runbooks.plugins.module_utils.node import certificates, health, observe, parallel, vitals
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.expect import Missed
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.observe import NodeState, Observer
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.paths import Seen
from hypothesis import given
from hypothesis import strategies as st

from .expectations import expected

ONE_OF_EACH: dict[str, Any] = {
    "processes": [{"program": "httpd"}],
    "units": [{"name": "fits-httpd"}],
    "sockets": [{"port": 80, "program": "httpd"}],
    "paths": [{"path": "/data", "min_free": "10%", "deleted_open": "1G", "account": True, "newest_max_age": 1, "readable_by": "root"}],
    "logs": [{"path": "/log"}],
    "http": [{"url": "http://example.org/"}],
    "tcp": [{"host": "example.org", "port": 80}],
    "certificates": [{"host": "example.org"}],
}


def refuse(error: Exception) -> NoReturn:
    raise error


def test_looks_run_side_by_side_and_keep_their_order() -> None:
    meeting = threading.Barrier(3)
    looks: parallel.Looks[str] = parallel.Looks(5)
    seen = looks.gather({name: lambda name=name: (meeting.wait(5), name)[1] for name in "cab"})
    assert list(seen.items()) == [("c", "c"), ("a", "a"), ("b", "b")]
    assert set(looks.taken) == set("abc")


def test_what_hangs_is_left_behind() -> None:
    never = threading.Event()
    looks: parallel.Looks[int] = parallel.Looks(1.0)
    started = time.monotonic()
    seen = looks.gather({1: never.wait, 2: lambda: "here", **dict.fromkeys(range(3, 9), never.wait)})
    assert time.monotonic() - started < 6  # one after the other they would take 7
    never.set()
    assert seen[2] == "here"
    assert seen[1] == Missed("it did not answer within 1 s")
    assert looks.left() == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/data"), "Permission denied: /data"),
        (OSError("no number"), "no number"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_why_a_look_saw_nothing(error: Exception, reason: str) -> None:
    assert parallel.attempt(lambda: refuse(error)) == Missed(reason)


@given(st.lists(st.sampled_from(sorted(ONE_OF_EACH)), min_size=1, unique=True))
def test_what_could_not_be_seen_never_counts_as_well(options: list[str]) -> None:
    want = expected(**{option: ONE_OF_EACH[option] for option in options})
    dark = {option: [Seen(Missed("dark"), 0.0) if option == "paths" else Missed("dark")] for option in options}
    found = health.diagnose(want, NodeState(**dark))
    assert [(finding.code.rpartition(".")[2], finding.severity) for finding in found] == [("unknown", "warning")] * len(options)
    assert set(health.facts(want, NodeState(**dark))) == {*ONE_OF_EACH, "node"}


def test_a_node_where_nothing_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look fails; the module still says so, one by one."""

    def fails(*_arguments: Any, **_more: Any) -> NoReturn:
        raise OSError(errno.EIO, "Input/output error")

    options = {**ONE_OF_EACH, "load_per_cpu": 1.0}
    for place, name in ((observe.procfs, "processes"), (observe, "services"), (sockets, "listeners"), (observe.place, "look"), (vitals.os, "cpu_count")):
        monkeypatch.setattr(place, name, fails)
    for kind in (observe.logs, observe.web, certificates):
        monkeypatch.setattr(kind, "look", fails)
    monkeypatch.setattr(observe.web, "look_port", fails)
    want = expected(**options)
    state = Observer(want, 5.0).observe()
    found = health.diagnose(want, state)
    assert {finding.code.rpartition(".")[2] for finding in found} == {"unknown"}
    assert len(found) == len(ONE_OF_EACH) + 1
