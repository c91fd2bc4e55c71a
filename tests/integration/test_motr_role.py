# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's flows with the shipped playbooks, by ansible-playbook on this machine: what is said, what is done, and that a token is printed nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from lab.consul import Consul, fid
from lab.motr.reqh import REFUSED, SERVED, Handler, build
from lab.motr.store.cluster import Cluster as Store
from lab.motr.store.conf import PROCESSES
from lab.motr.tools import Cluster
from lab.motr.tools.cluster import CLIENTS
from lab.toolchain import gdb
from play import BIN, ROOT
from support import run_ok

TOKEN = "4b5a1f7e-0000-4000-8000-9d8c7b6a5948"
PROCESS = fid("r", 0x13)
KEY = f"m0conf/nodes/{fid('n', 0x10)}/processes/{PROCESS}"


OID = "1234567:89abcdef"
UNIT = 16384
NODE = "<6e00000000000001:2>"


def start(playbook: str, folder: Path, hosts: dict[str, dict[str, Any]] | None = None, **variables: Any) -> subprocess.Popen[str]:
    """A shipped playbook on one host, or on some, with all that Ansible can print of it."""
    chosen = {"ansible_python_interpreter": sys.executable, "ansible_connection": "local", "motr_journal_dir": str(folder / "journal"), **variables}
    inventory = {"motr_servers": {"hosts": {name: {**chosen, **own} for name, own in (hosts or {"srvnode-1": {}}).items()}}}
    (folder / "inventory.json").write_text(json.dumps(inventory), encoding="utf-8")
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "TMPDIR": str(folder / "own"),
    }
    (folder / "own").mkdir(exist_ok=True)
    command = ["ansible-playbook", "-vvv", "-i", str(folder / "inventory.json"), f"fieldops.runbooks.{playbook}"]
    return subprocess.Popen(command, env=environment, cwd=folder, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def play(playbook: str, folder: Path, rc: int = 0, hosts: dict[str, dict[str, Any]] | None = None, **variables: Any) -> str:
    """The same to its end; what it printed."""
    running = start(playbook, folder, hosts, **variables)
    try:
        said = running.communicate(timeout=300)[0]
    finally:
        running.kill()
    # The inventory has it, and -vvv does not print that.
    assert TOKEN not in said, "the token is printed"
    assert running.returncode == rc, said[-5000:]
    return said


def switch_off(folder: Path) -> None:
    """Every process of a run dies at once, and what it has started on a host with it; a debugger has an environment of its own."""
    mark = f"ANSIBLE_HOME={folder / 'ansible'}".encode()

    def left() -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                found += [int(path.parent.name)] if mark in path.read_bytes() else []
        return found

    while pids := left():
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


@pytest.mark.step("M11")
def test_the_state_of_a_process_in_hare(tmp_path: Path) -> None:
    with Consul(tmp_path / "consul", TOKEN) as consul:
        consul.fill()
        reach = {"motr_hare_consul_url": consul.url, "motr_hare_consul_token": TOKEN}
        before = consul.values()
        assert "hare.cluster.ok" in play("motr_hare", tmp_path, **reach)
        wanted = {**reach, "motr_hare_object": PROCESS, "motr_hare_state": "failed", "motr_hare_expected": "online"}
        assert "changed=0" in play("motr_hare", tmp_path, **wanted)
        assert consul.values() == before
        assert "changed=1" in play("motr_hare", tmp_path, **wanted, motr_repair=True)
        assert consul.values()[KEY]["state"] == "failed"
        assert len(consul.events()) == 1
        assert "changed=0" in play("motr_hare", tmp_path, **wanted, motr_repair=True)
        assert len(consul.events()) == 1


class Group:
    """An object of two groups on two servers, each of which is a host of its own."""

    def __init__(self, folder: Path, n: int, k: int) -> None:
        self.folder, self.n = folder, n
        self.store = Store.make(folder / "cluster", n, k, k, n + 2 * k + 2)
        self.store.create(OID, bytes(range(256)) * (2 * n * UNIT // 256), 3)
        self.known = {"motr_repair_object": OID, "motr_repair_layout_id": 3, "motr_repair_offset": n * UNIT, "motr_conf": str(self.store.conf)}
        client = {"endpoint": "0@lo:12345:34:101", "ha_endpoint": "0@lo:12345:34:1", "profile": "^p|1:0", "process": "^r|1:100"}
        self.known |= {f"motr_client_{name}": value for name, value in client.items()} | {"motr_tools_dir": str(self.store.tools)}

    def play(self, rc: int = 0, alone: bool = False, **variables: Any) -> str:
        hosts = {}
        for number, process in enumerate(PROCESSES):
            hosts[f"srvnode-{number}"] = {"motr_node": f"<6e00000000000001:{number + 2:x}>", "motr_segment": str(self.store.segment_of(process))}
        if alone:
            hosts.popitem()
        return play("motr_repair_block", self.folder, rc, hosts, **{**self.known, **variables})

    def images(self) -> list[bytes]:
        return [Path(device.path).read_bytes() for device in self.store.devices]


@pytest.mark.step("M2", "M3", "M9")
@pytest.mark.thorough
def test_a_group_is_mended_from_the_devices_of_two_servers(tmp_path: Path) -> None:
    group = Group(tmp_path, 4, 2)
    sound = group.images()
    group.store.damage(OID, 1, 2)
    damaged = group.images()
    assert "motr.group.wrong" in group.play()
    assert group.images() == damaged
    told = group.play(motr_repair=True)
    assert "motr.group.ok" in told
    assert group.images() == sound
    assert list((tmp_path / "own").glob("fieldops-motr-*")) == []
    assert "were not read. They are on <6e00000000000001:3>" in group.play(rc=2, alone=True, motr_repair=True)
    assert group.images() == sound


@pytest.mark.step("M7", "M8")
def test_a_record_and_a_connection(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster").create()
    index, key, old, new = "<7800000000000000:100002>", "12345/backups", '{"a": 1}', '{"a": 2}'
    cluster.put(index, key.encode(), old.encode())
    known = cluster.arguments()
    client = {"motr_tools_dir" if name == "tools_dir" else f"motr_client_{name}": value for name, value in known.items()}
    # A text that looks like JSON would not come through as text: Ansible takes it from a file of variables as it is.
    record = {**client, "motr_record_index": index, "motr_record_key": key, "motr_record_value": new, "motr_record_expected": old}
    assert "changed=0" in play("motr_metadata", tmp_path, **record)
    assert cluster.records(index) == {key.encode(): old.encode()}
    assert "changed=1" in play("motr_metadata", tmp_path, **record, motr_repair=True)
    assert cluster.records(index) == {key.encode(): new.encode()}
    reset = {**client, "motr_reset_client_endpoint": list(CLIENTS)[1], "motr_reset_server_process": "^r|1:0x29", "motr_reset_pause": 0}
    assert "changed=0" in play("motr_connection_reset", tmp_path, **reset)
    assert cluster.state["delivered"] == []
    assert "changed=1" in play("motr_connection_reset", tmp_path, **reset, motr_repair=True)
    assert [each["state"] for each in cluster.state["delivered"]] == ["transient", "online"]
    assert "Name the client by motr_reset_client_endpoint" in play("motr_connection_reset", tmp_path, rc=2, **client)
    assert "Name the record by motr_record_index" in play("motr_metadata", tmp_path, rc=2, **client)


@pytest.mark.step("M1", "M5", "M10", "M12")
def test_a_server_is_looked_at_and_its_requests_are_stopped(tmp_path: Path) -> None:
    gdb()
    program = build(tmp_path, "-static")
    cluster = Cluster(tmp_path / "cluster").create()
    client = {"motr_tools_dir" if name == "tools_dir" else f"motr_client_{name}": value for name, value in cluster.arguments().items()}
    with Handler(program) as handler, Consul(tmp_path / "consul") as consul:
        consul.fill()
        this = {"motr_process_pid": handler.pid, "motr_hare_consul_url": consul.url}
        told = play("motr_inspect", tmp_path, **this, **client, motr_objects=[{"fid": "1234567:89abcdef"}])
        assert all(code in told for code in ("motr.process.ok", "hare.cluster.ok", "<4700000001234567:89abcdef>"))
        assert "changed=0" in play("motr_requests", tmp_path, **this, motr_requests_state="stopped")
        assert handler.ask() == SERVED
        assert "changed=1" in play("motr_requests", tmp_path, **this, motr_requests_state="stopped", motr_repair=True)
        assert handler.ask() == REFUSED
        assert "changed=1" in play("motr_requests", tmp_path, **this, motr_requests_state="running", motr_repair=True)
        assert handler.ask() == SERVED
        assert "Say what is wanted by motr_requests_state" in play("motr_requests", tmp_path, rc=2, **this)


@pytest.mark.step("M5")
def test_a_controller_that_goes_away_leaves_requests_in_a_state_that_is_known(tmp_path: Path) -> None:
    """The requests are stopped, and nobody is left who could have said so. Another run tells it, the journal names the run, and it is taken back by that."""
    program = build(tmp_path, "-static")
    slow = tmp_path / "gdb"
    # It writes, and does not come back.
    lines = ["#!/bin/sh", "for script; do :; done", f'{gdb()} "$@"', 'grep -q "from..: 1" "$script" || exit 0']
    slow.write_text("\n".join([*lines, f"echo $$ > {tmp_path}/pid", f"touch {tmp_path}/written", "exec sleep 100", ""]))
    slow.chmod(0o700)
    journal = {"journal_dir": str(tmp_path / "journal")}
    with Handler(program) as handler:
        this = {"motr_process_pid": handler.pid}
        running = start("motr_requests", tmp_path, **this, motr_gdb=str(slow), motr_requests_state="stopped", motr_repair=True)
        deadline = time.monotonic() + 120
        while not (tmp_path / "written").exists():
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.01)
        switch_off(tmp_path)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        running.communicate(timeout=60)
        assert handler.ask() == REFUSED and handler.well
        assert "motr.requests.stopped" in play("motr_requests", tmp_path, **this, motr_requests_state="stopped")
        listed = run_ok("runbook_journal_info", journal)
        (run,) = [row for row in listed["runs"] if row["fix"] == "motr_process_requests"]
        assert (run["status"], listed["lock"]) == ("unfinished", None)
        assert [finding["subject"] for finding in listed["findings"]] == [run["undo_id"]]
        assert run_ok("runbook_undo", {**journal, "undo_id": run["undo_id"]})["changed"]
        assert handler.ask() == SERVED and handler.state == 1
