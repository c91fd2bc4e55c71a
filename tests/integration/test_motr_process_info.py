# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a live process with a request handler is doing, by a real debugger; and that it runs on whatever becomes of the debugger."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.motr.reqh import ENDPOINT, FID, REFUSED, SERVED, Handler, build, build_client
from lab.toolchain import gdb
from support import run_ok, run_refused


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    gdb()
    return build(tmp_path_factory.mktemp("motr"))


@pytest.fixture
def handler(program: Path) -> Iterator[Handler]:
    with Handler(program) as running:
        yield running
        assert running.well and running.ask() == SERVED


def look(handler: Handler, **options: Any) -> dict[str, Any]:
    result = run_ok("motr_process_info", {"pid": handler.pid, **options})
    assert result["changed"] is False
    return result


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


@pytest.mark.step("M10")
def test_what_a_process_under_load_is_doing(handler: Handler) -> None:
    handler.do("spin 1")
    handler.do("wait 2")
    result = look(handler, internal=True)
    assert result["process"] == {"pid": handler.pid, "started": handler.started, "fid": FID, "endpoint": ENDPOINT, "owner": result["process"]["owner"]}
    assert (result["handler"]["fid"], result["handler"]["state"], result["handler"]["state_name"], result["requests"]) == (FID, 1, "Normal", "running")
    assert [(row["type"], row["fid"], row["state_name"]) for row in result["services"]] == [
        ("M0_CST_IOS", "<7300000000000001:0>", "Started"),
        ("M0_CST_CAS", "<7300000000000001:1>", "Started"),
        ("rpcservice", "<0:0>", "Started"),
        ("be-tx-service", "<0:0>", "Started"),
    ]
    assert codes(result) == ["motr.process.ok"] and result["complete"]
    # Two transaction groups, sixteen that are worked on, one that runs on and two that wait: whichever queue each was on.
    assert sum(result["foms_total"].values()) == len(result["foms"]) == 21 and result["internal_foms"] == 2
    assert len({row["address"] for row in result["foms"]}) == 21
    assert sum(row["foms"] for row in result["localities"]) == 21
    running = [row for row in result["foms"] if row["queue"] == "running"]
    assert (running[0]["type"], running[0]["fop"], running[0]["state"], running[0]["service"]) == ("io-fom", "write", "Running", "M0_CST_IOS")
    internal = [row for row in result["foms"] if row["internal"]]
    assert {(row["type"], row["fop"], row["queue"], row["phase_name"]) for row in internal} == {("m0_be_tx_group_fom", None, "waiting", "read-wait")}
    assert all(0 <= row["age"] < 600 for row in result["foms"])
    (machine,) = result["rpc"]
    assert machine["endpoint"] == ENDPOINT
    told = [(row["direction"], row["peer"], row["service"], row["sessions"][0]["id"]) for row in machine["connections"]]
    assert told == [
        ("incoming", "0@lo:12345:33:800", "<0:0>", f"{18122724565540012071:#x}"),
        ("incoming", "0@lo:12345:34:1", "<0:0>", f"{16359304575928369168:#x}"),
        ("outgoing", "0@lo:12345:33:900", "<7300000000000001:7>", f"{36455133118070829:#x}"),
    ]
    assert 0 < result["stopped_seconds"] < result["total_seconds"] and result["evidence"]["threads"] == 6
    few = look(handler, limit=3, connections=False)
    assert len(few["foms"]) == 3 and few["rpc"] == [] and sum(few["foms_total"].values()) == 21 and not any(row["internal"] for row in few["foms"])


@pytest.mark.step("M10")
def test_what_is_not_as_it_should_be_is_found(handler: Handler) -> None:
    handler.do("wait 2")
    handler.do("age 3600")
    handler.do("service 1 4")
    handler.do("state 2")
    result = look(handler)
    assert codes(result) == ["motr.requests.stopped", "motr.service.not_started", "motr.fom.stuck"]
    assert "Stopping" in result["findings"][1]["summary"] and result["findings"][2]["detail"]["count"] >= 2
    assert result["findings"][2]["detail"]["oldest"]["age"] >= 3600 and result["requests"] == "stopped"
    handler.do("service 1 6")
    handler.do("state 0")
    result = look(handler, stuck_after=100000)
    assert codes(result) == ["motr.requests.other", "motr.service.not_started"] and result["findings"][1]["severity"] == "critical"
    handler.do("state 1")
    handler.do("torn")
    result = look(handler)
    assert codes(result)[-1] == "motr.process.partial" and not result["complete"] and len(result["services"]) == 4


def test_a_process_is_found_by_its_fid_and_one_that_is_frozen_stays_so(program: Path) -> None:
    with Handler(program, "<7200000000000001:70>") as other:
        os.kill(other.pid, signal.SIGSTOP)
        wait_for(lambda: other.letter == "T")
        result = run_ok("motr_process_info", {"process": "^r|1:0x70", "stuck_after": 100000})
        assert codes(result) == ["motr.process.frozen"] and other.letter == "T" and result["process"]["pid"] == other.pid
        os.kill(other.pid, signal.SIGCONT)
        wait_for(lambda: other.letter != "T")
        assert other.well


def wait_for(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def wrapper(folder: Path, body: str) -> str:
    """A debugger that begins as the real one would, attaches, and then does something else. It is told the pid by the script that it is to run."""
    path = folder / "gdb"
    lines = [f"#!{sys.executable}", "import os, re, sys", "pid = re.search(r'pid\\W+(\\d+)', open(sys.argv[-1]).read()).group(1)"]
    path.write_text("\n".join([*lines, f"os.execv({gdb()!r}, ['gdb', '-nx', '-batch', '-ex', 'attach ' + pid, '-ex', {body!r}])", ""]))
    path.chmod(0o700)
    return str(path)


def test_a_debugger_that_hangs_is_ended_and_the_process_runs_on(handler: Handler, tmp_path: Path) -> None:
    result = look(handler, gdb=wrapper(tmp_path, "shell sleep 1000"), stop_limit=0.2)
    assert codes(result) == ["motr.process.watchdog"] and "stop_limit" in result["findings"][0]["summary"]
    assert handler.well and result["foms"] == [] and result["handler"] is None


def test_a_debugger_that_is_killed_leaves_the_process_running(handler: Handler, tmp_path: Path) -> None:
    def kill() -> None:
        wait_for(lambda: handler.tracer != 0)
        os.kill(handler.tracer, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    result = look(handler, gdb=wrapper(tmp_path, "shell sleep 1000"), stop_limit=60)
    killer.join()
    assert codes(result) == ["motr.process.killed"] and "signal 9" in result["findings"][0]["summary"]
    assert handler.well


def test_a_process_that_vanishes_meanwhile(program: Path, tmp_path: Path) -> None:
    with Handler(program) as handler:
        result = look(handler, gdb=wrapper(tmp_path, f"shell kill -9 {handler.pid}"))
        assert codes(result) == ["motr.process.gone"] and result["findings"][0]["severity"] == "critical"
        handler.kill()
        assert codes(look(handler)) == ["motr.process.gone"]


def test_one_tracer_at_a_time(handler: Handler) -> None:
    # The first one is there until its input ends.
    with subprocess.Popen([gdb(), "-nx", "-q", "-p", str(handler.pid)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        wait_for(lambda: handler.tracer != 0)
        result = look(handler)
        assert codes(result) == ["motr.process.traced"] and f"gdb (pid {handler.tracer})" in result["findings"][0]["summary"]
        assert handler.tracer
        first.communicate(b"detach\nquit\n", timeout=120)
    assert handler.well


def test_two_looks_at_once(handler: Handler) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from support import run_ok; print(run_ok('motr_process_info', {'pid': int(sys.argv[1])})['findings'][0]['code'])",
    ]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    others = [subprocess.Popen([*command, str(handler.pid)], stdout=subprocess.PIPE, env=env, text=True) for _number in range(2)]
    found = {other.communicate(timeout=120)[0].strip().splitlines()[-1] for other in others}
    assert "motr.process.ok" in found and found <= {"motr.process.ok", "motr.process.traced"}


def test_without_symbols_nothing_is_guessed(program: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copy(program, bare)
    subprocess.run(["strip", "--strip-all", str(bare)], check=True, timeout=60)
    with Handler(bare) as handler:
        result = look(handler)
        assert codes(result) == ["motr.process.symbols"] and "debuginfo" in result["findings"][0]["remedy"]["text"]
        assert handler.well and handler.ask() == SERVED


def test_a_client_is_looked_at_by_the_library_that_it_has(tmp_path: Path) -> None:
    with Handler(build_client(tmp_path), name="radosgw") as client:
        result = look(client)
        assert codes(result) == ["motr.process.ok"] and len(result["services"]) == 4 and sum(result["foms_total"].values()) == 18
        run_ok("motr_process_requests", {"pid": client.pid, "state": "stopped", "journal_dir": str(tmp_path / "journal")})
        assert client.ask() == REFUSED and client.well


def test_a_process_that_is_none_of_motr(program: Path) -> None:
    with Handler(program, name="httpd") as handler:
        result = look(handler)
        assert codes(result) == ["motr.process.unknown"] and "httpd" in result["findings"][0]["summary"] and handler.well


def test_a_process_of_another_user(handler: Handler) -> None:
    stranger = handler.pid if os.geteuid() == 0 else 1
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        result = run_ok("motr_process_info", {"pid": stranger})
    finally:
        os.seteuid(user)
    assert codes(result) == ["motr.process.foreign"] and "root" in result["findings"][0]["summary"] + result["findings"][0]["remedy"]["text"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pid": 0}, "pid must be that of a process"),
        ({"pid": None, "process": "ios1"}, "is no fid"),
        ({"process": FID}, "mutually exclusive"),
        ({"stop_limit": 0}, "stop_limit must be 0.1 to 60 seconds"),
        ({"timeout": 1}, "timeout must be more than stop_limit"),
        ({"limit": -1}, "limit must be 0 to"),
        ({"stuck_after": 0}, "stuck_after must be more than 0"),
    ],
)
def test_bad_input_is_one_clear_error(handler: Handler, options: dict[str, Any], message: str) -> None:
    asked = {"pid": handler.pid, **options}
    assert message in run_refused("motr_process_info", {name: value for name, value in asked.items() if value is not None})["msg"]


def test_without_gdb(handler: Handler) -> None:
    assert codes(look(handler, gdb="/nowhere/gdb")) == ["motr.process.gdb"]


def test_a_library_that_was_replaced_since_has_other_symbols(tmp_path: Path) -> None:
    with Handler(build_client(tmp_path), name="radosgw") as client:
        library = tmp_path / "libmotr.so"
        (tmp_path / "new").write_bytes(library.read_bytes())
        (tmp_path / "new").rename(library)
        result = look(client)
        assert [finding["code"] for finding in result["findings"]] == ["motr.process.replaced"]
        stopping = {"pid": client.pid, "state": "stopped", "journal_dir": str(tmp_path / "journal")}
        assert "was replaced on disk" in run_refused("motr_process_requests", stopping)["msg"]
        assert client.ask() == SERVED and client.well
