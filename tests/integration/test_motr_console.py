# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instruments at a prompt: ansible-console on the group, as a person types into a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab.motr.segment import COB, GOB, MAP, Holder, Segments, build
from play import BIN, ROOT

PATIENCE = 120
PROMPT = re.compile(r"@motr_servers \(1\)\[f:\d+\][#$] $")
COLOURS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|[\x01\x02\r]")


class Terminal:
    """A terminal with a program in it."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=folder, start_new_session=True)
        os.close(slave)

    def until(self, wanted: re.Pattern[str]) -> str:
        """What is on the screen from now on, up to something that is waited for."""
        seen, limit = "", time.monotonic() + PATIENCE
        while not wanted.search(COLOURS.sub("", seen)):
            ready, _write, _wrong = select.select([self.master], [], [], max(0.0, limit - time.monotonic()))
            assert ready, f"nothing more came: {seen[-2000:]}"
            try:
                piece = os.read(self.master, 65536)
            except OSError:  # it has ended
                piece = b""
            assert piece, f"it ended: {seen[-2000:]}"
            seen += piece.decode("utf-8", "replace")
        return COLOURS.sub("", seen)

    def type(self, line: str) -> str:
        os.write(self.master, line.encode() + b"\n")
        return self.until(PROMPT)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self.master, b"exit\n")
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Terminal]:
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "inventory.json").write_text(json.dumps({"motr_servers": {"hosts": {"srvnode-1": host}}}), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "HOME": str(tmp_path),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "TERM": "dumb",
    }
    terminal = Terminal(["ansible-console", "-i", str(tmp_path / "inventory.json"), "motr_servers"], environment, tmp_path)
    try:
        terminal.until(PROMPT)
        yield terminal
    finally:
        terminal.close()


@pytest.mark.step("M4", "M6", "M12")
def test_instruments_are_typed(console: Terminal, tmp_path: Path) -> None:
    with Holder(build(tmp_path), Segments(tmp_path / "m0d").write()) as holder:
        node = console.type(f"fieldops.runbooks.motr_btree_info pid={holder.pid} address={MAP:#x}")
        assert "sound: true" in node and "used: 18" in node and f"pid: {holder.pid}" in node
        cob = console.type(f"fieldops.runbooks.motr_cob_info pid={holder.pid} cob={COB}")
        assert f"gob: {GOB}" in cob and "complete: true" in cob
        wrong = console.type(f"fieldops.runbooks.motr_cob_info pid={holder.pid} cob=nonsense")
        assert "FAILED" in wrong and "'nonsense'" in wrong
        assert holder.alive
