# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a host with systemd: units that are well, and units that only look so."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.hosts import Host, Lab

WELL = "ExecStart=/bin/sleep infinity\nUser=ops\nRestart=always\nRestartSec=1"
UNITS = {
    "health-well1": WELL,
    "health-well2": WELL,
    # As upstream's services do when the lock file names a process that lives: exit 0, and again.
    "health-flaps": "ExecStart=/bin/sh -c 'sleep 0.3'\nRestart=always\nRestartSec=2\nStartLimitIntervalSec=0",
    "health-fails": "ExecStart=/bin/sh -c 'exit 3'",
    "health-deaf": "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\nTimeoutStopSec=1",
    "health-once": "Type=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true",
    "health-gone": "Type=forking\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'sleep 0.5 &'",
    "health-serves": "ExecStart=/usr/bin/python3 -m http.server --bind 127.0.0.1 8099\nUser=ops",
}


@pytest.fixture(scope="module")
def node(host: Callable[..., Host]) -> Host:
    """A host with these units, each in its state."""
    node = host("health", kind="bare")
    for name, service in UNITS.items():
        text = f"[Service]\n{service}\n[Install]\nWantedBy=multi-user.target\n"
        if "StartLimitIntervalSec" in text:
            text = "[Unit]\nStartLimitIntervalSec=0\n" + text.replace("\nStartLimitIntervalSec=0", "")
        node.put(text.encode(), f"/etc/systemd/system/{name}.service")
    node.run(["systemctl", "daemon-reload"])
    node.run(["systemctl", "enable", "--quiet", "health-well1"])
    node.run(["systemctl", "start", *UNITS], check=False)
    node.run(["systemctl", "stop", "health-deaf"])
    node.run(["systemctl", "mask", "--quiet", "health-off"])
    node.wait_for(lambda: b"8099" in node.run(["ss", "-ltn"]).stdout.encode(), "the web server listens", timeout=30)
    node.wait_for(lambda: int(restarts(node, "health-flaps")) > 1, "the unit flaps", timeout=30)
    return node


def restarts(node: Host, unit: str) -> str:
    return node.run(["systemctl", "show", "--property=NRestarts", "--value", unit]).stdout.strip()


@pytest.fixture
def look(node: Host, lab: Lab, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The module as Ansible runs it."""
    inventory = tmp_path / "inventory.json"
    inventory.write_text(json.dumps({"all": {"hosts": {"health": node.ansible_vars()}}}), encoding="utf-8")

    def run(**options: Any) -> dict[str, Any]:
        command = ["ansible", "-i", str(inventory), "all", "-o", "-m", "fieldops.runbooks.node_health_info", "-a", json.dumps(options)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout.split(" => ", maxsplit=1)[1])
        return result

    return run


def codes(result: dict[str, Any]) -> dict[str, str]:
    return {finding["code"]: finding["severity"] for finding in result["findings"]}


def test_what_is_well(look: Callable[..., dict[str, Any]]) -> None:
    result = look(
        units=[{"name": "health-well*", "min_uptime": 1}, {"name": "health-once"}, {"name": "cron.service"}, {"name": "health-well1", "enabled": True}],
        processes=[{"program": "/bin/sleep", "args": ["infinity"], "owner": "ops", "min": 2}, {"program": "systemd-journald"}],
        sockets=[{"port": 8099, "address": "127.0.0.1", "program": "python3", "owner": "ops"}, {"path": "/run/systemd/private"}],
        http=[{"url": "http://127.0.0.1:8099/", "contains": ["Directory listing"]}],
        tcp=[{"host": "localhost", "port": 8099}],
        paths=[{"path": "/run", "mounted": True, "min_free": "1%"}, {"path": "/etc/shadow", "exists": "file", "owner": "root", "readable_by": "root"}],
    )
    assert codes(result) == {f"node.{kind}.ok": "ok" for kind in ("process", "unit", "socket", "path", "http", "tcp")}
    assert [row["name"] for row in result["units"]] == [f"{name}.service" for name in ("health-well1", "health-well2", "health-once", "cron", "health-well1")]


def test_what_only_looks_well(look: Callable[..., dict[str, Any]]) -> None:
    result = look(
        units=[
            {"name": "health-flaps", "code": "flaps"},
            {"name": "health-fails", "code": "fails"},
            {"name": "health-deaf", "code": "deaf", "state": "any"},
            {"name": "health-gone", "code": "gone"},
            {"name": "health-off", "code": "off"},
            {"name": "health-nothing", "code": "nothing"},
            {"name": "health-nothing*", "code": "none"},
            {"name": "health-well2", "code": "boot", "enabled": True},
            {"name": "health-well2", "code": "runs", "state": "inactive"},
        ],
        watch=3,
    )
    assert codes(result) == {
        "flaps.flapping": "critical",
        "fails.failed": "critical",
        "deaf.failed": "critical",
        "deaf.killed": "warning",
        "gone.exited": "critical",
        "off.inactive": "critical",
        "nothing.unknown_unit": "critical",
        "none.unknown_unit": "critical",
        "boot.not_enabled": "warning",
        "runs.active": "critical",
    }
    told = {finding["code"]: finding["summary"] for finding in result["findings"]}
    assert "exit-code, exit code 3" in told["fails.failed"]
    assert "masked" in told["off.inactive"]


def test_a_unit_that_was_killed_comes_back_and_is_young(node: Host, look: Callable[..., dict[str, Any]]) -> None:
    """It is active again when one looks; only its restarts and its age tell."""
    node.run(["systemctl", "kill", "--signal=KILL", "health-well2"])
    node.wait_for(lambda: restarts(node, "health-well2") == "1" and node.active("health-well2"), "systemd starts it again", timeout=30)
    result = look(
        units=[{"name": "health-well2", "min_uptime": 3600, "code": "a"}, {"name": "health-well2", "max_restarts": 0, "code": "b"}, {"name": "health-well2"}],
        processes=[{"program": "sleep", "args": ["infinity"], "min": 2, "min_age": 3600, "code": "c"}],
    )
    assert codes(result) == {"a.flapping": "critical", "b.flapping": "critical", "c.young": "warning"}
