# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests are stopped and resumed in a live process, as a client of it sees; and nothing is written that was not compared before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live import gdb as debugger
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live import requests as fix
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.live.gdb import Limits
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard import GuardOptions
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.run import Engine
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.undo import Undo
from lab.motr.reqh import FID, REFUSED, SERVED, Handler, build
from lab.toolchain import gdb
from support import run_module, run_ok, run_refused

MODULE = "motr_process_requests"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gdb()
    return build(tmp_path_factory.mktemp("motr"), "-static")


@pytest.fixture
def handler(program: Path) -> Iterator[Handler]:
    with Handler(program) as running:
        yield running
        assert running.well


def arguments(handler: Handler, state: str, journal_dir: str, **options: Any) -> dict[str, Any]:
    return {"pid": handler.pid, "state": state, "journal_dir": journal_dir, **options}


def undo(journal_dir: str, undo_id: str) -> Any:
    """As runbook_undo does it, by the store of this fix."""
    journal = Journal(journal_dir)
    run = journal.read(undo_id)
    store = fix.STORES[MODULE]({}, run.header)
    return Engine(Undo(run, store, (), journal), GuardOptions(journal_dir=journal_dir), False).run()


@pytest.mark.step("M5")
def test_requests_are_stopped_and_served_again(handler: Handler, journal_dir: str) -> None:
    asked = arguments(handler, "stopped", journal_dir)
    predicted = run_ok(MODULE, asked, check=True)
    assert predicted["changed"] and handler.ask() == SERVED and handler.state == 1 and predicted["requests"] == "running"
    made = run_ok(MODULE, asked)
    assert made["changed"] and made["plan_sha256"] == predicted["plan_sha256"] and made["requests"] == "stopped"
    (change,) = made["changes"]
    life = {"pid": handler.pid, "started": handler.started}
    assert (change["action"], change["subject"], change["done"], change["reversible"]) == ("stop", f"requests:{FID}", True, True)
    assert (change["before"], change["after"]) == ({"requests": "running", **life}, {"requests": "stopped", **life})
    assert handler.ask() == REFUSED and handler.state == 2 and handler.well
    assert [row["code"] for row in made["findings"]] == ["motr.requests.stopped"]
    assert made["handler"]["state_name"] == "Drain" and made["stops"] == 3 and 0 < made["stopped_seconds"] < made["elapsed"]
    assert run_ok(MODULE, asked)["changed"] is False
    again = run_ok(MODULE, arguments(handler, "running", journal_dir))
    assert again["changed"] and handler.ask() == SERVED and handler.state == 1
    assert [row["code"] for row in again["findings"]] == ["motr.process.ok"]
    assert run_ok(MODULE, arguments(handler, "running", journal_dir))["changed"] is False


@pytest.mark.step("M5")
def test_it_is_taken_back_from_the_journal(handler: Handler, journal_dir: str) -> None:
    made = run_ok(MODULE, arguments(handler, "stopped", journal_dir))
    assert handler.ask() == REFUSED
    taken = undo(journal_dir, made["undo_id"])
    assert taken.changed and handler.ask() == SERVED and handler.state == 1
    assert undo(journal_dir, made["undo_id"]).changed is False
    back = undo(journal_dir, taken.undo_id)
    assert back.changed and handler.ask() == REFUSED


def test_a_run_that_was_killed_leaves_a_state_that_is_known(handler: Handler, journal_dir: str, tmp_path: Path) -> None:
    """Killed while gdb is attached, which goes on by itself."""
    slow = tmp_path / "gdb"
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/begun-$$\n[ $(ls {tmp_path} | grep -c begun) -lt 2 ] || sleep 1\nexec {gdb()} "$@"\n')
    slow.chmod(0o700)
    asked = arguments(handler, "stopped", journal_dir, gdb=str(slow))
    code = "import sys, json; from support import run_module; run_module('motr_process_requests', json.loads(sys.argv[1]))"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(asked)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("begun-*"))) < 2:
            assert time.monotonic() < deadline and killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while handler.state != 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    handler.wait_untraced()
    listed = run_ok("runbook_journal_info", {"journal_dir": journal_dir})
    (run,) = [row for row in listed["runs"] if row["fix"] == MODULE]
    assert run["status"] == "unfinished"
    assert run_ok(MODULE, arguments(handler, "stopped", journal_dir), check=True)["requests"] == {1: "running", 2: "stopped"}[handler.state]
    undo(journal_dir, run["undo_id"])
    assert handler.ask() == SERVED and handler.state == 1


def altered(folder: Path, old: str, new: str, then: str = "") -> str:
    """A gdb that runs the script with another line in it, from its second call on; the first one looks."""
    lines = [
        "#!/bin/sh",
        f"touch {folder}/call-$$",
        f'[ $(ls {folder} | grep -c call) -lt 2 ] && exec {gdb()} "$@"',
        "for script; do :; done",
        f"sed -i 's/{old}/{new}/' \"$script\"",
        then or f'exec {gdb()} "$@"',
    ]
    path = folder / "gdb"
    path.write_text("\n".join([*lines, ""]))
    path.chmod(0o700)
    return str(path)


def test_a_debugger_that_is_killed_after_it_has_written_has_written(handler: Handler, journal_dir: str, tmp_path: Path) -> None:
    # Of its second call nobody hears; the others look.
    silent = altered(tmp_path, "x^", "", f'[ $(ls {tmp_path} | grep -c call) -gt 2 ] && exec {gdb()} "$@"\n{gdb()} "$@" > {tmp_path}/said 2>&1\nkill -9 $$')
    made = run_ok(MODULE, arguments(handler, "stopped", journal_dir, gdb=silent))
    (change,) = made["changes"]
    assert made["changed"] and change["done"] and "before it had said so" in change["note"]
    assert handler.ask() == REFUSED and handler.well
    undo(journal_dir, made["undo_id"])
    assert handler.ask() == SERVED


def test_a_pid_that_is_another_process_by_now_is_not_written_to(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was the right one when it was looked at, and is not any more when gdb has attached to it."""
    procedure = fix.Requests({"pid": handler.pid, "process": None, "state": "stopped", **Limits(None)._asdict(), "stop_limit": 5.0})
    plan = procedure.plan(procedure.observe())
    procedure.process = procedure.process._replace(started=handler.started - 1)
    monkeypatch.setattr(debugger, "refuse", lambda _process: None)
    with pytest.raises(MotrError, match="has ended"):
        procedure.apply(plan)
    assert handler.state == 1 and handler.ask() == SERVED and handler.well


def test_nobody_is_left_to_watch_over_a_debugger_that_hangs(handler: Handler, journal_dir: str, tmp_path: Path) -> None:
    """The module is killed while the process stands still; the debugger ends by itself soon after the time that the process may stand still."""
    hangs = altered(tmp_path, "^        walk(found)$", "        time.sleep(1000)")
    asked = arguments(handler, "stopped", journal_dir, gdb=hangs, stop_limit=5, timeout=600)
    code = "import sys, json; from support import run_module; run_module('motr_process_requests', json.loads(sys.argv[1]))"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(asked)], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("call-*"))) < 2 or handler.tracer == 0:
            assert time.monotonic() < deadline and killed.poll() is None
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
    assert handler.tracer
    handler.wait_untraced()
    assert handler.well and handler.ask() == SERVED


@pytest.mark.parametrize(("line", "guard"), [("state 0", "state"), ("state 3", "state"), ("fini", "ending"), ("service 0 4", "services")])
def test_what_is_refused_is_left_alone(program: Path, journal_dir: str, line: str, guard: str) -> None:
    with Handler(program) as handler:
        wanted = "stopped" if guard == "state" else "running"
        if guard == "services":
            handler.do("state 2")
        handler.do(line)
        refused = run_refused(MODULE, arguments(handler, wanted, journal_dir))
        assert [row["guard"] for row in refused["refusals"]] == [guard]
        assert handler.well and handler.ask() == REFUSED


def test_a_state_that_moved_meanwhile_is_left_alone(handler: Handler) -> None:
    procedure = fix.Requests({"pid": handler.pid, "process": None, "state": "stopped", **Limits(None)._asdict(), "stop_limit": 5.0})
    plan = procedure.plan(procedure.observe())
    handler.do("state 3")
    (outcome,) = procedure.apply(plan)
    assert not outcome.done and "left alone" in outcome.note and handler.state == 3
    handler.do("state 1")


def test_a_process_that_was_restarted_is_another_one(program: Path, journal_dir: str) -> None:
    with Handler(program) as handler:
        made = run_ok(MODULE, arguments(handler, "stopped", journal_dir))
    with pytest.raises(Exception, match="it is gone"):
        undo(journal_dir, made["undo_id"])
    assert "gone" in run_refused(MODULE, arguments(handler, "running", journal_dir))["msg"]
    with Handler(program) as handler:
        with pytest.raises(Exception, match="changed since the run"):
            undo(journal_dir, made["undo_id"])
        assert handler.ask() == SERVED


def test_one_that_cannot_be_looked_at_is_one_clear_error_with_a_finding(handler: Handler, journal_dir: str) -> None:
    result = run_module(MODULE, arguments(handler, "stopped", journal_dir, gdb="/nowhere/gdb"))
    assert result["failed"] and [row["code"] for row in result["findings"]] == ["motr.process.gdb"] and handler.ask() == SERVED
