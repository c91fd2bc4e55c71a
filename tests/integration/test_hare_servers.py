# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hare's state in a Consul of three servers that lose their leader while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.hare import consul as client
from lab.consul import Servers, fid
from lab.mongo import wait_for
from support import run_ok, run_refused

DRIVE, SDEV = fid("k", 0x41), fid("d", 0x31)
SDEV_KEY = f"m0conf/nodes/{fid('n', 0x10)}/processes/{fid('r', 0x13)}/services/{fid('s', 0x23)}/sdevs/{SDEV}"


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with Servers(tmp_path / "servers") as started:
        started.leader.fill()
        yield started


def before_the_write(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Between the module's last look and its first write, this happens."""
    write, acts = client.Consul.write, [act]

    def late(self: client.Consul, operations: Any) -> Any:
        if acts:
            acts.pop()()
        return write(self, operations)

    monkeypatch.setattr(client.Consul, "write", late)


@pytest.mark.step("M11")
def test_another_server_leads_from_now_on(servers: Servers, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is asked answers 500 until then. The same transaction is sent again, and made once."""
    asked = servers.followers[0]
    wanted = {"consul_url": asked.url, "journal_dir": journal_dir, "object": DRIVE, "state": "failed", "expected": "online", "timeout": 60}
    before_the_write(monkeypatch, servers.leader.kill)
    done = run_ok("hare_state", wanted)
    assert (done["changed"], done["published"], len(asked.events()), asked.values("epoch")["epoch"]) == (True, 2, 1, 2)
    assert asked.values(SDEV_KEY)[SDEV_KEY]["state"] == "failed"
    assert run_ok("hare_state", wanted)["changed"] is False


@pytest.mark.step("M11")
@pytest.mark.thorough
def test_no_server_leads_any_more(servers: Servers, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the last leader took may be made later, or never. It says so, and running it again does nothing twice."""
    asked, others = servers.leader, servers.followers
    wanted = {"consul_url": asked.url, "journal_dir": journal_dir, "object": DRIVE, "state": "failed", "expected": "online", "timeout": 8}
    before_the_write(monkeypatch, lambda: [each.freeze() for each in others] and None)
    said = run_refused("hare_state", wanted)
    assert "whether it was made is not known" in said["msg"]
    assert "(500)" in said["msg"]
    assert said["undo_id"]
    assert "cannot answer now (500)" in run_refused("hare_state", wanted)["msg"]
    for each in others:
        each.thaw()
    wait_for(lambda: asked.asked(f"/v1/kv/{SDEV_KEY}?consistent"), "a leader", timeout=90)
    run_ok("hare_state", {**wanted, "timeout": 60})
    assert (len(asked.events()), asked.values("epoch")["epoch"], asked.values(SDEV_KEY)[SDEV_KEY]["state"]) == (1, 2, "failed")
