# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which process is meant, by a /proc made of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live.processes import alive, find_process, servers

FIRST, SECOND = Fid(0x7200000000000001, 0), Fid(0x7200000000000001, 0x1B)


def put(root: Path, pid: int, *argv: str, state: str = "S", start: int = 77) -> None:
    folder = root / str(pid)
    folder.mkdir(exist_ok=True)
    (folder / "cmdline").write_bytes("\0".join(argv).encode() + b"\0")
    fields = [state, *["0"] * 18, str(start), "0"]
    (folder / "stat").write_text(f"{pid} (a) b) {' '.join(fields)}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path, 10, "/usr/bin/m0d", "-e", "inet:tcp:127.0.0.1@3001", "-f", "<7200000000000001:0>", "-T", "ad")
    put(tmp_path, 11, "/opt/lt-m0d", "-einet:tcp:127.0.0.1@3002", "-f0x7200000000000001:0x1b")
    put(tmp_path, 12, "m0kv", "-f", "<7200000000000001:0>")
    put(tmp_path, 13, "grep", "m0d")
    put(tmp_path, 14, "tail", "-f", "log")
    put(tmp_path, 15, "m0d", "-f", "<7200000000000001:2>", state="Z")
    return tmp_path


@pytest.mark.parametrize("spelling", ["<7200000000000001:1b>", "0x7200000000000001:0x1b", "^r|1:27"])
def test_by_its_fid_in_any_spelling(root: Path, spelling: str) -> None:
    found = find_process(process=spelling, root=str(root))
    assert (found.pid, found.started, found.fid, found.endpoint) == (11, 77, SECOND, "inet:tcp:127.0.0.1@3002")
    assert found.argv[0] == "/opt/lt-m0d" and found.name == "<7200000000000001:1b>"


def test_by_its_pid_whatever_it_is(root: Path) -> None:
    assert find_process(10, root=str(root)).fid == FIRST
    assert find_process(10, "<7200000000000001:0>", root=str(root)).pid == 10
    other = find_process(14, root=str(root))
    assert other.fid is None and other.endpoint is None and other.name == "pid 14"


def test_servers_are_those_that_run_the_program(root: Path) -> None:
    assert [each.pid for each in servers(str(root))] == [10, 11]


@pytest.mark.parametrize(
    ("pid", "fid", "message"),
    [
        (None, None, "2 processes are meant, <7200000000000001:0> (pid 10), <7200000000000001:1b> (pid 11); name one of them: process"),
        (None, "<7200000000000001:2>", "no m0d that was started as <7200000000000001:2> (-f) runs on this node; there are: <7200000000000001:0> (pid 10)"),
        (None, "ios1", "is no fid"),
        (99, None, "process 99 is gone"),
        (15, None, "process 15 is gone"),
        (0, None, "pid must be that of a process"),
        (14, "<7200000000000001:0>", "process 14 was not started as <7200000000000001:0>, but without a fid"),
        (11, "<7200000000000001:0>", "but as <7200000000000001:1b>"),
    ],
)
def test_what_is_not_one_process_is_one_clear_error(root: Path, pid: int | None, fid: str | None, message: str) -> None:
    with pytest.raises(MotrError) as caught:
        find_process(pid, fid, root=str(root))
    assert message in str(caught.value)


def test_the_only_one_need_not_be_named(tmp_path: Path) -> None:
    with pytest.raises(MotrError, match="no m0d runs on this node"):
        find_process(root=str(tmp_path))
    put(tmp_path, 10, "m0d")
    assert find_process(root=str(tmp_path)).fid is None
    put(tmp_path, 11, "m0d", "-f", "<7200000000000001:0>")
    put(tmp_path, 12, "m0d", "-f", "<7200000000000001:0>")
    with pytest.raises(MotrError, match="name one by its pid"):
        find_process(process="<7200000000000001:0>", root=str(tmp_path))


def test_another_process_with_its_pid_is_another_one(root: Path) -> None:
    process = find_process(10, root=str(root))
    assert alive(process, str(root))
    put(root, 10, "/usr/bin/m0d", "-f", "<7200000000000001:0>", start=78)
    assert not alive(process, str(root))
