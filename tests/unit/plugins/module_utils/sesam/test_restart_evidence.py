# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where logs are found and read that a node's user may exchange for something else at any time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process, read_process
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import restart_evidence
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.api import Node
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.restart_evidence import by_process


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Process]:
    """A process that is the node, with its log folder."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "node.log").write_text("a line\n", encoding="utf-8")
    (tmp_path / "lake").write_text("import time\ntime.sleep(600)\n", encoding="utf-8")
    child = subprocess.Popen([sys.executable, str(tmp_path / "lake"), "-l", str(tmp_path / "logs")])
    try:
        limit = time.monotonic() + 60
        while (seen := read_process(child.pid)) is None or seen.argv[-1:] != (str(tmp_path / "logs"),):
            assert time.monotonic() < limit, "it does not start"
            time.sleep(0.01)
        yield seen
    finally:
        child.kill()
        child.wait()


def test_the_log_folder_of_the_process(node: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart_evidence, "processes", lambda: [node])
    with ExitStack() as stack:
        assert (Path(by_process(stack)) / "node.log").read_text(encoding="utf-8") == "a line\n"
    (tmp_path / "logs").rename(tmp_path / "away")
    with ExitStack() as stack:
        assert by_process(stack) == ""
    monkeypatch.setattr(restart_evidence, "processes", list)
    with ExitStack() as stack:
        assert by_process(stack) == ""


def test_a_log_that_becomes_a_link_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads here what the node's user may exchange: what is kept is the log that was looked at, never what the link leads to."""
    logs, secret, real = tmp_path / "logs", tmp_path / "secret", restart_evidence.tail
    logs.mkdir()
    secret.write_text("root's own\n", encoding="utf-8")
    (logs / "node.log").write_text("a line\n", encoding="utf-8")
    (logs / "node_health.log").symlink_to(secret)
    os.mkfifo(logs / "node_config.log")

    def late(path: str, size: int) -> list[str]:
        (logs / "node.log").unlink()
        (logs / "node.log").symlink_to(secret)
        return real(path, size)

    monkeypatch.setattr(restart_evidence, "tail", late)
    known = {"api_url": "http://localhost:9042/api", "jwt": None, "ca_cert": None, "validate_certs": True, "request_timeout": 1}
    directory = Path(restart_evidence.keep(str(tmp_path / "journal"), Docker("unix:///nowhere.sock"), None, str(logs), Node(known), False, None))
    assert (directory / "log-node.log").read_bytes() == b"a line"
    missing = json.loads((directory / "index.json").read_text(encoding="utf-8"))
    assert all("is no regular file" in missing[name] for name in ("log-node_health.log", "log-node_config.log"))
    assert not any(b"root's own" in path.read_bytes() for path in directory.iterdir())
