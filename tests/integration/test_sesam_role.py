# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role with ansible-playbook on this machine, against a node that is an ordinary process: what comes to the controller, and what is printed."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import NodeLock
from lab.sesam import samples
from lab.sesam.plain import PlainSesam
from play import BIN, ROOT
from sesaming import params

QUICK = {"sesam_settle": 1, "sesam_stacktrace_interval": 0, "sesam_request_timeout": 10}


def frozen(node: PlainSesam, folder: Path, rc: int = 0, **variables: Any) -> str:
    """The flow for a frozen node, with all that Ansible can print of it."""
    known = {f"sesam_{name}": value for name, value in params(node).items()}
    places = {"sesam_docker_host": "unix:///nowhere.sock", "sesam_log_folder": str(node.logs), "sesam_data_folder": str(node.data)}
    kept = {"sesam_journal_dir": str(folder / "journal"), "sesam_fetch_dir": str(folder / "fetched")}
    chosen = {**known, **QUICK, **places, **kept, "ansible_python_interpreter": sys.executable, **variables}
    (folder / "variables.json").write_text(json.dumps(chosen), encoding="utf-8")
    task = {"ansible.builtin.import_role": {"name": "fieldops.runbooks.sesam", "tasks_from": "frozen"}}
    (folder / "play.json").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    command = ["ansible-playbook", "-vvv", "-i", "localhost,", "-c", "local", str(folder / "play.json"), "-e", f"@{folder / 'variables.json'}"]
    done = subprocess.run(command, env=environment, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=400, check=False)
    token = str(chosen["sesam_jwt"])
    assert not any(secret in done.stdout for secret in (token, token.rsplit(".", 1)[-1])), "the token is printed"
    assert done.returncode == rc, done.stdout[-5000:]
    return done.stdout


@pytest.mark.thorough
def test_evidence_of_an_earlier_time_stays(plain_sesam: Callable[..., PlainSesam], tmp_path: Path) -> None:
    """A node that freezes again tomorrow must not cost what it was like today; and a flow that was given more time must not be refused for that."""
    node = plain_sesam(config=[samples.pipe("crm-0", "manual")])
    before = node.get("/status")["node_start_time"]
    given = {"sesam_repair": True, "sesam_frozen_restart": "always", "sesam_frozen_timeout": 3600}
    frozen(node, tmp_path, **given)
    assert node.get("/status")["node_start_time"] != before
    first = {path: path.read_bytes() for path in (tmp_path / "fetched").rglob("*") if path.is_file()}
    assert {"index.json", "health.json"} <= {path.name for path in first}, sorted(first)
    frozen(node, tmp_path, **given)
    now = {path for path in (tmp_path / "fetched").rglob("*") if path.is_file()}
    assert [path for path, content in first.items() if path.read_bytes() != content] == []
    assert len([path for path in now if path.name == "index.json"]) == 2, sorted(now)


class Dripping:
    """An engine that answers a byte now and then and never comes to an end: no time-out of a single read bounds it."""

    def __init__(self) -> None:
        # A socket's path may have 107 bytes, which a test's own folder may need for itself.
        self.folder = tempfile.TemporaryDirectory(prefix="lab-drip-")
        path = Path(self.folder.name) / "engine.sock"
        self.address = f"unix://{path}"
        self.over = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                peer, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(peer,), daemon=True).start()

    def _drip(self, peer: socket.socket) -> None:
        with peer:
            try:
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not self.over.wait(0.2):
                    peer.sendall(b" ")
            except OSError:
                return

    def close(self) -> None:
        self.over.set()
        self.listener.close()
        self.folder.cleanup()


def test_it_ends_in_time_whatever_hangs(plain_sesam: Callable[..., PlainSesam], tmp_path: Path) -> None:
    """By the time-outs that its steps were given, since how long Ansible takes beside them is the machine's affair; without any it would never end."""
    node = plain_sesam(config=[samples.pipe("crm-0", "manual")])
    engine = Dripping()
    try:
        told = frozen(node, tmp_path, rc=2, sesam_repair=True, sesam_frozen_timeout=60, sesam_docker_host=engine.address)
    finally:
        engine.close()
    periods = [int(period) for period in re.findall(r"\bperiod: (\d+)", told)]
    assert periods, told[-5000:]
    assert sum(periods) <= 60, periods


@pytest.mark.thorough
def test_a_lock_that_is_still_held_keeps_nobody_from_the_restart(plain_sesam: Callable[..., PlainSesam], tmp_path: Path) -> None:
    """Stack traces that took too long are left to themselves, with the lock."""
    node = plain_sesam(config=[samples.pipe("crm-0", "manual")])
    before = node.get("/status")["node_start_time"]
    journal = Journal(str(tmp_path / "journal"))
    journal.prepare()
    lock = NodeLock(journal.directory, 900.0)
    assert lock.acquire("stacktrace-1", "sesam_stacktrace", "somebody") is None
    held = threading.Timer(25.0, lock.release)
    held.start()
    frozen(node, tmp_path, sesam_repair=True, sesam_frozen_restart="always", sesam_frozen_timeout=300)
    held.join()
    assert node.get("/status")["node_start_time"] != before
