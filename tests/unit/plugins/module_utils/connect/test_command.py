# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running other programs: as whom, for how long, and what is kept of them."""

from __future__ import annotations

import getpass
import os
import sys
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import command
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.command import (
    Account,
    CommandError,
    account,
    environment,
    redact,
    run,
    switch,
    workspace,
)

SOMEBODY = Account("somebody", 4711, 4712, "/home/somebody")


def nothing() -> None:
    pass


def pretend(monkeypatch: pytest.MonkeyPatch, euid: int, tools: list[str]) -> None:
    monkeypatch.setattr(command.os, "geteuid", lambda: euid)
    monkeypatch.setattr(command.shutil, "which", lambda name, path: "/usr/bin/" + name if name in tools else None)


def test_accounts() -> None:
    me = account(getpass.getuser())
    assert me.uid == os.geteuid()
    with pytest.raises(CommandError, match="no user no-such-user"):
        account("no-such-user")


@pytest.mark.parametrize(
    ("euid", "tools", "prefix"),
    [
        (4711, [], []),
        (0, ["setpriv", "runuser"], ["/usr/bin/setpriv", "--reuid=4711", "--regid=4712", "--init-groups", "--"]),
        (0, ["runuser"], ["/usr/bin/runuser", "-u", "somebody", "--"]),
    ],
)
def test_how_to_become_a_user(monkeypatch: pytest.MonkeyPatch, euid: int, tools: list[str], prefix: list[str]) -> None:
    pretend(monkeypatch, euid, tools)
    assert switch(SOMEBODY) == prefix


@pytest.mark.parametrize(("euid", "words"), [(1000, "only root, or somebody"), (0, "neither setpriv nor runuser")])
def test_who_cannot_become_a_user(monkeypatch: pytest.MonkeyPatch, euid: int, words: str) -> None:
    pretend(monkeypatch, euid, [])
    with pytest.raises(CommandError, match=words):
        switch(SOMEBODY)


def test_environment_has_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "yes")
    found = environment(SOMEBODY, {"PATH": "/opt/bin", "MORE": "1"})
    assert found == {"PATH": "/opt/bin", "HOME": "/home/somebody", "USER": "somebody", "LOGNAME": "somebody", "LC_ALL": "C.UTF-8", "MORE": "1"}


def test_output_and_exit_code_are_kept() -> None:
    looks: list[int] = []
    program = "import sys, time; time.sleep(0.1); print('out'); sys.stdout.flush(); print('err', file=sys.stderr); sys.exit(3)"
    ended = run([sys.executable, "-c", program], {}, 30, lambda: looks.append(1))
    assert (ended.code, ended.last_lines(5)) == (3, ["out", "err"])
    assert looks


def test_only_the_end_of_much_output_is_kept() -> None:
    ended = run([sys.executable, "-c", "print('x' * 200000); print('end')"], {}, 30, nothing)
    assert len(ended.output) == command.OUTPUT_KEPT
    assert ended.last_lines(1) == ["end"]


def test_a_program_that_is_not_there() -> None:
    for argv in (["/nowhere/program"], ["/bin/echo", "a\0b"]):
        with pytest.raises(CommandError, match="cannot run"):
            run(argv, {}, 30, nothing)


def test_time_is_up() -> None:
    ended = run([sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"], {}, 0.5, nothing)
    assert ended.code is None
    assert ended.seconds < 30


def test_a_watcher_that_fails_ends_the_program() -> None:
    pids: list[int] = []
    popen = command.subprocess.Popen

    class Noted(popen):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            pids.append(self.pid)

    def fail() -> None:
        raise RuntimeError("the server is gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command.subprocess, "Popen", Noted)
        with pytest.raises(RuntimeError):
            run([sys.executable, "-c", "import time; time.sleep(60)"], {}, 30, fail)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_workspace_is_private_and_goes_away() -> None:
    with workspace(account(getpass.getuser())) as path:
        assert os.stat(path).st_mode & 0o777 == 0o700
        with open(os.path.join(path, "file"), "w", encoding="utf-8") as file:
            file.write("x")
    assert not os.path.exists(path)


def test_workspace_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_named: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.tempfile, "mkdtemp", full)
    with pytest.raises(CommandError, match="in none of"), workspace(account(getpass.getuser())):
        pass


@pytest.mark.parametrize(
    ("text", "secrets", "shown"),
    [
        ("nothing", ["else"], "nothing"),
        ("sesame and sesame-open", ["sesame", "sesame-open"], "******** and ********"),
        ("1 of 10", ["1", "10", ""], "1 of 10"),
        ("postgresql://me:s3cret@host/db", [], "postgresql://me:********@host/db"),
        ("http://host:8080/x", [], "http://host:8080/x"),
    ],
)
def test_redaction(text: str, secrets: list[str], shown: str) -> None:
    assert redact(text, secrets) == shown
