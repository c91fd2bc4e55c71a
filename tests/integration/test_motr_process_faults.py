# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a live process where its debugger, or who runs that, is stopped or killed meanwhile: it is in the state that it was in before."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.motr.reqh import FID, REFUSED, SERVED, Handler, build
from lab.toolchain import gdb
from support import run_ok

INFO, STATE = "motr_process_info", "motr_process_requests"
_NEW_PIDS = 0x20000000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gdb()
    return build(tmp_path_factory.mktemp("motr"), "-static")


@pytest.fixture
def handler(program: Path) -> Iterator[Handler]:
    with Handler(program) as running:
        yield running
        assert running.well and running.ask() == SERVED


@pytest.fixture(params=["running", "frozen"])
def before(request: pytest.FixtureRequest, handler: Handler) -> Iterator[str]:
    """The state that the process is in, and in which it must be afterwards."""
    if request.param == "frozen":
        os.kill(handler.pid, signal.SIGSTOP)
        wait_for(lambda: handler.letter == "T")
    yield request.param
    unharmed(handler, request.param)
    os.kill(handler.pid, signal.SIGCONT)
    wait_for(lambda: handler.letter not in ("T", "t"))


def unharmed(handler: Handler, before: str) -> None:
    handler.wait_untraced()
    if before == "frozen":
        wait_for(lambda: handler.letter == "T")
        assert handler.tracer == 0
    else:
        wait_for(lambda: handler.letter not in ("T", "t"))
        assert handler.well


def wait_for(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def hanging(folder: Path) -> str:
    """The real debugger with the real script, which hangs where it would walk: the process is attached to, and stands still."""
    path = folder / "gdb"
    lines = ["#!/bin/sh", "for script; do :; done", "sed -i 's/^        walk(found)$/        time.sleep(1000)/' \"$script\"", f'exec {gdb()} "$@"', ""]
    path.write_text("\n".join(lines))
    path.chmod(0o700)
    return str(path)


def done_to_gdb(handler: Handler, signum: int, **options: Any) -> list[str]:
    """The findings of a look whose debugger gets that signal while it is attached."""

    def strike() -> None:
        wait_for(lambda: handler.tracer != 0)
        os.kill(handler.tracer, signum)

    striker = threading.Thread(target=strike)
    striker.start()
    result = run_ok(INFO, {"pid": handler.pid, **options})
    striker.join()
    assert result["foms"] == [] and result["handler"] is None and result["changed"] is False
    return [finding["code"] for finding in result["findings"]]


def test_a_debugger_that_is_killed(handler: Handler, before: str, tmp_path: Path) -> None:
    assert done_to_gdb(handler, signal.SIGKILL, gdb=hanging(tmp_path), stop_limit=60) == ["motr.process.killed"]
    unharmed(handler, before)


def test_a_debugger_that_is_stopped(handler: Handler, before: str, tmp_path: Path) -> None:
    assert done_to_gdb(handler, signal.SIGSTOP, gdb=hanging(tmp_path), stop_limit=1) == ["motr.process.watchdog"]
    unharmed(handler, before)


@pytest.mark.parametrize("stopped", [False, True], ids=["gdb-runs", "gdb-stopped"])
def test_a_module_that_is_killed(handler: Handler, before: str, stopped: bool, tmp_path: Path) -> None:
    """Nobody watches over the debugger from then on, even where it was stopped: it ends by itself."""
    asked = {"pid": handler.pid, "gdb": hanging(tmp_path), "stop_limit": 3}
    code = "import sys, json; from support import run_module; run_module('motr_process_info', json.loads(sys.argv[1]))"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(asked)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as module:
        wait_for(lambda: handler.tracer != 0)
        debugger = handler.tracer
        if stopped:
            os.kill(debugger, signal.SIGSTOP)
        module.send_signal(signal.SIGKILL)
    try:
        unharmed(handler, before)
    finally:
        if handler.tracer == debugger:
            os.kill(debugger, signal.SIGKILL)


def test_a_look_without_symbols(handler: Handler, before: str, tmp_path: Path) -> None:
    """What ends a look in good order leaves the process as it was, too."""
    path = tmp_path / "gdb"
    path.write_text(f'#!/bin/sh\nfor script; do :; done\nsed -i \'s/struct m0_/struct m9_/g\' "$script"\nexec {gdb()} "$@"\n')
    path.chmod(0o700)
    found = run_ok(INFO, {"pid": handler.pid, "gdb": str(path)})["findings"]
    assert [finding["code"] for finding in found] == ["motr.process.symbols"]
    unharmed(handler, before)


class Contained(Handler):
    """In its own namespace of processes, as in a container: pid 1 there."""

    def __init__(self, program: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        try:
            if libc.unshare(_NEW_PIDS):
                pytest.skip(f"no namespaces of processes here: {os.strerror(ctypes.get_errno())}")
            super().__init__(program)
        finally:
            libc.setns(own, _NEW_PIDS)
            os.close(own)


def test_a_process_in_a_container(program: Path, tmp_path: Path, journal_dir: str) -> None:
    with Contained(program) as handler:
        assert os.readlink(f"/proc/{handler.pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
        result = run_ok(INFO, {"pid": handler.pid})
        assert [finding["code"] for finding in result["findings"]] == ["motr.process.ok"] and result["process"]["fid"] == FID
        assert done_to_gdb(handler, signal.SIGKILL, gdb=hanging(tmp_path), stop_limit=60) == ["motr.process.killed"]
        assert handler.well and handler.ask() == SERVED
        assert run_ok(STATE, {"pid": handler.pid, "state": "stopped", "journal_dir": journal_dir})["changed"]
        assert handler.well and handler.ask() == REFUSED
