# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""service_restart where the machine has no systemd: real processes below stand-ins of systemd and upstart.

What systemd itself makes of it is tested on hosts that have it (tests/hosts/test_service_restart.py).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.services import services
from ansible_collections.fieldops.runbooks.plugins.module_utils.node.restart_act import Steward
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.modules import service_restart
from lab.systemd_standin.units import Units
from lab.upstart_standin import Jobs
from support import run_module, run_ok, run_refused

Result = dict[str, Any]
SLEEP = ["/bin/sleep", "1000"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"]


class Node:
    """Units of a stand-in, and the module that steers them."""

    def __init__(self, units: Units, journal_dir: str, manager: str = "systemd") -> None:
        self.units = units
        self.journal_dir = journal_dir
        self.manager = manager

    def define(self, *names: str, command: list[str] | None = None, start: bool = True, restart_sec: float = 0.2, **settings: float) -> None:
        for name in names:
            self.units.define(name, command or SLEEP, {"PATH": os.environ["PATH"]}, restart_sec=restart_sec, **settings)
            if start:
                self.units.start(name)

    def options(self, *wanted: Any, **options: Any) -> Result:
        return {"services": list(wanted), "manager": self.manager, "journal_dir": self.journal_dir, "settle": 0.3, **options}

    def ok(self, *wanted: Any, check: bool = False, **options: Any) -> Result:
        return run_ok("service_restart", self.options(*wanted, **options), check)

    def failed(self, *wanted: Any, **options: Any) -> Result:
        result = run_module("service_restart", self.options(*wanted, **options))
        assert result.get("failed"), result
        assert "exception" not in result, result
        return result

    def active(self, *names: str) -> list[str]:
        return [self.units.state(name)["ActiveState"] for name in names]

    def pid(self, name: str) -> int:
        return int(self.units.state(name)["MainPID"])


@pytest.fixture
def node(tmp_path: Path, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    units = Units(tmp_path / "systemd").create()
    monkeypatch.setenv("PATH", f"{units.bin}:{os.environ['PATH']}")
    yield Node(units, journal_dir)
    units.close()


@pytest.fixture
def upstart(tmp_path: Path, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    jobs = Jobs(tmp_path / "upstart").create()
    monkeypatch.setenv("PATH", f"{jobs.bin}:{os.environ['PATH']}")
    yield Node(jobs, journal_dir, "upstart")
    jobs.close()


# -- what is read ------------------------------------------------------------------------------------------------------


def test_services_by_name_and_pattern(node: Node) -> None:
    node.define("fits-one", "fits-two")
    node.define("fits-three", start=False)
    found = services(["fits-*", "fits-one", "none", "none-*"], "systemd")
    assert [(each.asked, each.name, each.known, each.active) for each in found] == [
        ("fits-*", "fits-one", True, "active"),
        ("fits-*", "fits-three", True, "inactive"),
        ("fits-*", "fits-two", True, "active"),
        ("fits-one", "fits-one", True, "active"),
        ("none", "none", False, "unknown"),
        ("none-*", "none-*", False, "unknown"),
    ]
    assert found[0].main_pid == node.pid("fits-one")
    assert found[0].since == pytest.approx(time.time(), abs=60)


# -- what is done ------------------------------------------------------------------------------------------------------


def test_check_mode_predicts_and_touches_nothing(node: Node) -> None:
    node.define("one")
    node.define("two", start=False)
    pid = node.pid("one")
    predicted = node.ok("one", "two", check=True)
    assert predicted["changed"] and node.pid("one") == pid and node.active("two") == ["inactive"]
    assert not os.path.exists(node.journal_dir)
    made = node.ok("one", "two", approved_plan=predicted["plan_sha256"])
    assert [change["done"] for change in made["changes"]] == [True, True]
    assert [{**change, "done": False, "note": ""} for change in made["changes"]] == [{**change, "note": ""} for change in predicted["changes"]]
    assert node.pid("one") != pid and node.active("one", "two") == ["active", "active"]


def test_the_same_plan_for_a_service_that_flaps(node: Node) -> None:
    """It is another process at every look, and now up, now waiting to be started again."""
    node.define("flapping", command=["/bin/sh", "-c", "sleep 0.1"], restart_sec=0.1)
    hashes = set()
    for _look in range(4):
        hashes.add(node.ok("flapping", check=True)["plan_sha256"])
        time.sleep(0.07)
    assert len(hashes) == 1


def test_cooldown(node: Node) -> None:
    node.define("one")
    node.ok("one", cooldown=600)
    refused = run_refused("service_restart", node.options("one", cooldown=600))
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["cooldown"]


def test_a_healthy_one_is_left_alone_and_a_young_one_is_watched(node: Node) -> None:
    node.define("one")
    started = time.monotonic()
    result = node.ok("one", policy="unhealthy", settle=1.5)
    assert not result["changed"] and result["undo_id"] is None and result["evidence"]["directory"] is None
    assert time.monotonic() - started > 0.7
    assert not node.ok("one", policy="unhealthy", settle=0.1)["changed"]


def test_processes_that_a_service_must_have(node: Node, tmp_path: Path) -> None:
    """One that is up without its worker is not healthy; and its stop takes the worker along only where that is allowed."""
    worker = tmp_path / "worker.py"
    worker.write_text("import time; time.sleep(1000)", encoding="utf-8")
    script = f"setsid {sys.executable} {worker} --name=1 & exec sleep 1000"
    node.define("one", command=["/bin/bash", "-c", script], start=False)
    wanted = {"name": "one", "processes": [{"program": str(worker), "args": ["--name=1"]}]}
    made = node.ok(wanted)
    assert made["services"][0]["healthy"]
    absent = {"name": "one", "processes": [{"program": str(worker), "args": ["--name=2"]}]}
    failed = node.failed(absent, policy="unhealthy", start_timeout=1)
    assert "has no process that is" in failed["msg"] and "--name=2" in failed["msg"]
    failed = node.failed(wanted, state="stopped", stop_timeout=0.5)
    assert "worker.py" in failed["msg"] and "force_kill: true" in failed["msg"]
    refused = run_refused("service_restart", node.options(wanted, state="stopped"))
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["left_running"]
    made = node.ok(wanted, state="stopped", stop_timeout=5, force_kill=True)
    # It was asked to end first, and did.
    assert made["changed"] and "killed" not in made["changes"][0]["note"]
    assert not made["changes"][0]["reversible"]


def test_the_same_program_in_a_container_is_another_service(node: Node, tmp_path: Path) -> None:
    """It neither counts nor dies."""
    worker = str(shutil.copy("/bin/sleep", tmp_path / "worker"))
    node.define("one", command=[worker, "1000"])
    inside = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", worker, "2000"], stderr=subprocess.PIPE)
    try:
        children = Path("/proc/%d/task/%d/children" % (inside.pid, inside.pid))
        deadline = time.monotonic() + 10
        while not children.read_text(encoding="ascii").strip() and inside.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if inside.poll() is not None:
            pytest.skip("only root may make a namespace of processes")
        wanted = {"name": "one", "processes": [{"program": worker}]}
        stopped = node.ok(wanted, state="stopped", force_kill=True, stop_timeout=5)
        assert stopped["changed"] and "killed" not in stopped["changes"][0]["note"]
        assert inside.poll() is None and children.read_text(encoding="ascii").strip()
        assert node.ok(wanted, state="started")["services"][0]["healthy"]
    finally:
        inside.kill()
        inside.communicate()


def test_one_that_cannot_be_stopped_and_the_others(node: Node) -> None:
    node.define("deaf", command=DEAF, timeout_stop=3)
    node.define("other")
    node.define("down", start=False)
    time.sleep(0.5)
    deaf, other = node.pid("deaf"), node.pid("other")
    failed = node.failed("down", "deaf", "other", stop_timeout=0.5)
    assert f"pid {deaf}" in failed["msg"] and "Up: other.service" in failed["msg"] and "Down: down.service" in failed["msg"]
    assert failed["changed"] and [change["done"] for change in failed["changes"]] == [False, True, True]
    assert node.pid("other") not in {0, other} and node.active("down") == ["inactive"]
    run = Journal(node.journal_dir).read(failed["undo_id"])
    assert (run.status, [entry.state for entry in run.changes]) == ("failed", ["skipped", "done", "done"])
    # It was asked to start again when it has ended.
    deadline = time.monotonic() + 20
    while node.pid("deaf") in {0, deaf}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_that_does_not_come_up_leaves_the_others_up(node: Node, tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    node.define("broken", command=["/bin/sh", "-c", f"test -e {flag} && exit 3; exec sleep 1000"])
    node.define("one", "two")
    flag.touch()
    failed = node.failed("one", "broken", "two")
    # Whether it was seen up for a moment is a matter of chance.
    assert failed["msg"].startswith(("broken.service flaps", "broken.service does not stay up")) and "exit code 3" in failed["msg"]
    assert "Up: one.service, two.service" in failed["msg"]
    assert [finding["code"] for finding in failed["findings"]] == ["node.service.flapping"]


class Answers(BaseHTTPRequestHandler):
    """200 for who knows the password."""

    def do_GET(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == "Bearer swordfish" else 403)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Nothing is logged."""


def test_a_probe_with_a_secret(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is neither shown, nor kept, nor written to the log of the node."""
    logged: list[Any] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _module, *told, **more: logged.append((told, more)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        node.define("web")
        http = {"url": f"http://127.0.0.1:{server.server_port}/", "secret_headers": {"Authorization": "Bearer swordfish"}}
        output = io.StringIO()
        arguments = node.options({"name": "web", "probe": {"http": http}})
        internal = {"_ansible_check_mode": False, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}  # noqa: S108
        with patch_module_args({**arguments, **internal}), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
            service_restart.main()
        result = json.loads(output.getvalue())
        assert result["changed"] and "invocation" in result
        assert "swordfish" not in output.getvalue()
        assert "secret_headers" in str(logged) and "swordfish" not in str(logged)
        kept = [path.read_text(encoding="utf-8", errors="replace") for path in Path(node.journal_dir).rglob("*") if path.is_file()]
        assert len(kept) > 1 and not any("swordfish" in text for text in kept)
        wrong = {**http, "secret_headers": {"Authorization": "Bearer herring"}}
        failed = node.failed({"name": "web", "probe": {"http": wrong}}, start_timeout=0.5)
        assert "status 403" in failed["msg"] and "herring" not in json.dumps(failed)
    finally:
        server.shutdown()
        server.server_close()


# -- what happens to the module itself ---------------------------------------------------------------------------------


def fork(body: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(1)
    return pid


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_module_that_is_asked_to_end_starts_what_it_has_stopped(node: Node, tmp_path: Path, signum: int) -> None:
    node.define("one", "two")
    node.define("slow", command=DEAF, timeout_stop=60)
    time.sleep(0.5)
    old, output = node.pid("two"), tmp_path / "result"

    def body() -> None:
        output.write_text(json.dumps(run_module("service_restart", node.options("one", "slow", "two", stop_timeout=60, lock_expiry=3000))), encoding="utf-8")
        os._exit(0)

    pid = fork(body)
    deadline = time.monotonic() + 20
    while node.units.state("slow")["ActiveState"] != "deactivating":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(pid, signum)
    assert os.waitpid(pid, 0)[1] == 0
    result = json.loads(output.read_text(encoding="utf-8"))
    assert signal.Signals(signum).name in result["msg"] and "Up: one.service, two.service" in result["msg"]
    assert node.pid("two") not in {0, old}
    assert Journal(node.journal_dir).read(result["undo_id"]).status == "failed"


@pytest.mark.thorough
def test_a_restart_that_is_killed_at_every_point(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services may be down then. The journal says what was under way, nothing is stuck, and the same fix brings them up."""
    real = Steward.ask
    for kill_at in range(4):  # two stops, two starts
        names = [f"one{kill_at}", f"two{kill_at}"]
        node.define(*names)
        count = iter(range(10))

        def ask(*arguments: Any, kill_at: int = kill_at, count: Iterator[int] = count) -> str:
            if next(count) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        journal = str(tmp_path / f"journal{kill_at}")
        with monkeypatch.context() as patch:
            patch.setattr(Steward, "ask", ask)
            pid = fork(lambda names=names, journal=journal: node.ok(*names, journal_dir=journal))  # type: ignore[misc]
            assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        (run,) = Journal(journal).all_runs()
        assert run.status == "unfinished"
        assert [finding["code"] for finding in run_ok("runbook_journal_info", {"journal_dir": journal})["findings"]] == ["runbook.journal.unfinished"]
        result = node.ok(*names, journal_dir=journal)
        assert result["changed"] and all(each["healthy"] for each in result["services"])
        undone = run_module("runbook_undo", {"journal_dir": journal, "undo_id": run.undo_id})
        assert {refusal["guard"] for refusal in undone["refusals"]} <= {"irreversible", "changed_since"} and node.active(*names) == ["active", "active"]


# -- upstart -----------------------------------------------------------------------------------------------------------


def test_jobs_of_upstart(upstart: Node) -> None:
    upstart.define("talus_master")
    upstart.define("talus_slave", start=False)
    old = upstart.pid("talus_master")
    made = upstart.ok("talus_master", "talus_slave")
    assert [change["action"] for change in made["changes"]] == ["restart", "start"]
    assert upstart.pid("talus_master") not in {0, old} and upstart.active("talus_slave") == ["active"]
    assert {each["manager"] for each in made["services"]} == {"upstart"}
    stopped = upstart.ok("talus_master", "talus_slave", state="stopped")
    assert upstart.active("talus_master", "talus_slave") == ["inactive", "inactive"]
    assert run_ok("runbook_undo", {"journal_dir": upstart.journal_dir, "undo_id": stopped["undo_id"]})["changed"]
    assert upstart.active("talus_master", "talus_slave") == ["active", "active"]
    refused = run_refused("service_restart", upstart.options("none"))
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["unknown_service"]


def test_a_job_that_respawns_again_and_again(upstart: Node) -> None:
    upstart.define("talus_slave", command=["/bin/sh", "-c", "sleep 0.4"], start=False)
    failed = upstart.failed("talus_slave", settle=1.5)
    assert "does not stay up" in failed["msg"] or "flaps" in failed["msg"]


def test_a_job_that_ignores_its_end_is_killed_by_name(upstart: Node) -> None:
    upstart.define("deaf", command=DEAF, timeout_stop=60)
    time.sleep(0.5)
    pid = upstart.pid("deaf")
    made = upstart.ok("deaf", stop_timeout=1, force_kill=True)
    assert f"killed: pid {pid}" in made["changes"][0]["note"]
    assert "node.service.killed" in [finding["code"] for finding in made["findings"]]
