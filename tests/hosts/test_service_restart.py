# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services are restarted, started and stopped by a real systemd, and by real init scripts beside it."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from lab.hosts import Host
from operating import Operator

Result = dict[str, Any]
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)"
JOURNAL = "/var/lib/fieldops/runbooks"


class Node:
    """A host, and the module on it."""

    def __init__(self, host: Host, operator: Operator) -> None:
        self.host = host
        self.operator = operator

    def unit(self, name: str, service: str, unit: str = "", install: str = "", start: bool = True) -> None:
        """Install a unit, and start it."""
        text = f"[Unit]\n{textwrap.dedent(unit)}\n[Service]\n{textwrap.dedent(service)}\n[Install]\n{textwrap.dedent(install)}\n"
        self.host.put(text.encode(), f"/etc/systemd/system/{name}.service")
        self.host.run(["systemctl", "daemon-reload"])
        if install:
            self.host.run(["systemctl", "enable", name])
        if start:
            self.host.run(["systemctl", "start", name])

    def script(self, path: str, text: str) -> None:
        self.host.put(textwrap.dedent(text).lstrip().encode(), path, mode=0o755)

    def show(self, name: str, key: str) -> str:
        return self.host.run(["systemctl", "show", "--value", f"--property={key}", name]).stdout.strip()

    def pid(self, name: str) -> int:
        return int(self.show(name, "MainPID"))

    def runs(self, pid: int) -> bool:
        return self.host.exists(f"/proc/{pid}")

    def restart(self, *services: Any, check: bool = False, **options: Any) -> Result:
        return self.module("service_restart", check, services=list(services), **options)

    def fixed(self, *services: Any, **options: Any) -> Result:
        result = self.restart(*services, **options)
        assert "msg" not in result, result["msg"]
        return result

    def failed(self, *services: Any, words: tuple[str, ...], **options: Any) -> Result:
        result = self.restart(*services, **options)
        for word in words:
            assert word in result.get("msg", "it did not fail")
        return result

    def undo(self, undo_id: str) -> Result:
        return self.module("runbook_undo", undo_id=undo_id)

    def module(self, name: str, check: bool = False, **arguments: Any) -> Result:
        """The result of one module, failed or not, as the JSON that comes back from the host."""
        command = self.operator.command("ansible", self.host.name, "-m", f"fieldops.runbooks.{name}", "-a", json.dumps(arguments))
        environment = {**self.operator.environment, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline"}
        done = subprocess.run([*command, *(["--check"] if check else [])], env=environment, text=True, capture_output=True, timeout=400, check=False)
        print(done.stdout, done.stderr)
        result: Result = json.loads(done.stdout[done.stdout.index("{") :].splitlines()[0])
        return result


@pytest.fixture
def node(host: Callable[..., Host], operator: Operator) -> Node:
    return Node(host("services", kind="bare"), operator)


def plan_of(result: Result) -> list[tuple[str, str]]:
    return [(change["action"], change["subject"]) for change in result["changes"]]


def codes(result: Result) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


def test_a_service_that_always_comes_back(node: Node) -> None:
    """Predicted, restarted, proven; and what was is kept, without its secrets."""
    secret = "--password=hunter2hunter2"
    node.unit("plain", f'ExecStart=/bin/sh -c "while :; do sleep 1; done" sh {secret}\nRestart=always\nRestartSec=10\nEnvironment=TOKEN=swordfish')
    old = node.pid("plain")
    predicted = node.restart("plain", check=True, settle=1)
    assert plan_of(predicted) == [("restart", "service:plain.service")]
    assert predicted["changed"]
    assert not predicted["changes"][0]["reversible"]
    assert node.pid("plain") == old

    made = node.fixed("plain", settle=1, approved_plan=predicted["plan_sha256"])
    new = node.pid("plain")
    assert made["changed"] and made["changes"][0]["done"]
    assert new not in {0, old} and node.show("plain", "NRestarts") == "0"
    assert not node.runs(old)
    (service,) = made["services"]
    assert (service["main_pid"], service["previous"]["main_pid"], service["healthy"]) == (new, old, True)
    assert codes(made) == ["node.service.ok"]

    kept = made["evidence"]["directory"]
    text = node.host.read(f"{kept}/plain.service.txt").decode()
    assert f"process {old}" in text and "kernel stack" in text and "systemctl status" in text and "Started plain.service" in text
    assert "hunter2" not in text and "swordfish" not in text
    modes = node.host.run(["stat", "-c", "%a", kept, f"{kept}/plain.service.txt", f"{JOURNAL}/evidence"]).stdout.split()
    assert modes == ["700", "600", "700"]
    refused = node.undo(made["undo_id"])
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["irreversible"]


def test_a_process_that_does_not_go(node: Node) -> None:
    """It is named, nothing is killed without permission, and the others are as before."""
    node.script("/opt/deaf.py", DEAF)
    node.unit("deaf", "ExecStart=/usr/bin/python3 /opt/deaf.py\nTimeoutStopSec=60\nRestart=always")
    node.unit("beside", "ExecStart=/bin/sleep 1000")
    old, beside = node.pid("deaf"), node.pid("beside")
    failed = node.failed("deaf", "beside", settle=1, stop_timeout=2, words=(f"pid {old} (/opt/deaf.py", "force_kill: true", "Up: beside.service"))
    assert failed["changed"]
    assert node.runs(old)
    # It was stopped first and is up again.
    assert node.pid("beside") not in {0, beside}
    bystander = node.host.run(["sh", "-c", "python3 /opt/deaf.py bystander >/dev/null 2>&1 & echo $!"]).stdout.strip()

    made = node.fixed("deaf", settle=1, stop_timeout=2, force_kill=True)
    assert not node.runs(old) and node.pid("deaf") not in {0, old}
    assert f"killed: pid {old}" in made["changes"][0]["note"]
    assert "node.service.killed" in codes(made)
    assert node.runs(int(bystander))
    node.host.run(["kill", "-KILL", bystander])
    node.host.run(["systemctl", "kill", "--signal=KILL", "deaf"])


def test_systemd_kills_what_takes_too_long(node: Node) -> None:
    node.script("/opt/deaf.py", DEAF)
    node.unit("slow", "ExecStart=/usr/bin/python3 /opt/deaf.py\nTimeoutStopSec=2")
    made = node.fixed("slow", state="stopped")
    assert made["changed"] and "had not ended in time" in made["changes"][0]["note"]
    assert codes(made) == ["node.service.killed"]
    assert not node.fixed("slow", state="stopped")["changed"]


@pytest.mark.thorough
def test_what_the_stop_of_a_daemon_leaves(node: Node) -> None:
    """KillMode=process: the child of a forking daemon survives its stop, and a start would meet it."""
    node.script(
        "/opt/daemon.py",
        """
        import os, signal, sys, time
        if os.fork():
            time.sleep(0.2)  # as long as it takes to write the file
            os._exit(0)
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execv("/usr/bin/python3", ["python3", "/opt/worker.py", "--name=1"])
        with open("/run/daemon.pid", "w") as file:
            file.write(str(os.getpid()))
        time.sleep(1000)
        """,
    )
    node.script("/opt/worker.py", "import time; time.sleep(1000)")
    node.unit("daemon", "Type=forking\nPIDFile=/run/daemon.pid\nExecStart=/usr/bin/python3 /opt/daemon.py\nKillMode=process")
    worker = {"program": "worker.py", "args": ["--name=1"]}
    pid = node.pid("daemon")
    failed = node.failed("daemon", state="stopped", stop_timeout=2, words=("worker.py", "force_kill"))
    assert not failed["changed"]
    # The unit is down by now, and no stop reaches what is left.
    refused = node.failed({"name": "daemon", "processes": [worker]}, state="stopped", words=("left_running", "worker.py"))
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["left_running"]
    other = node.host.run(["sh", "-c", "python3 /opt/worker.py --name=2 >/dev/null 2>&1 & echo $!"]).stdout.strip()
    made = node.fixed({"name": "daemon", "processes": [worker]}, settle=1, stop_timeout=1, force_kill=True)
    assert plan_of(made) == [("restart", "service:daemon.service")]
    assert node.pid("daemon") not in {0, pid}
    assert node.runs(int(other))
    left = node.host.run(["pgrep", "-f", "worker.py --name=1"]).stdout.split()
    assert len(left) == 1
    node.host.run(["kill", "-KILL", other, *left])
    node.host.run(["systemctl", "stop", "daemon"])


def test_a_stale_lock_makes_it_flap(node: Node) -> None:
    """The service finds the lock of a process that has gone, ends with exit code 0, and systemd starts it again and again."""
    node.script(
        "/opt/locked.sh",
        """
        #!/bin/sh
        test -e /run/locked.lock && { sleep 0.5; exit 0; }
        exec sleep 1000
        """,
    )
    node.host.put(b"4711\n", "/run/locked.lock")
    node.unit("locked", "ExecStart=/opt/locked.sh\nRestart=always\nRestartSec=2", start=False)
    failed = node.failed("locked", words=("locked.service does not stay up", "auto-restart", "exit code 0"))
    assert codes(failed) == ["node.service.flapping"]
    # It is started again and again. One that looks at it when it is active is not fooled either.
    node.host.wait_for(lambda: node.show("locked", "ActiveState") == "active", "it is up for a moment", step=0.05)
    again = node.failed("locked", policy="unhealthy", settle=3, words=("does not stay up",))
    assert again["changes"][0]["reason"].startswith("it flaps")
    node.host.run(["rm", "/run/locked.lock"])
    # systemd starts it once more, and that is watched until it has stayed up.

    def command() -> str:
        return node.host.run(["cat", f"/proc/{node.pid('locked')}/cmdline"], check=False).stdout

    node.host.wait_for(lambda: command().startswith("sleep"), "it stays up")
    assert not node.fixed("locked", policy="unhealthy", settle=3)["changed"]
    node.host.run(["systemctl", "stop", "locked"])
    assert plan_of(node.fixed("locked", policy="unhealthy", settle=3)) == [("start", "service:locked.service")]


@pytest.mark.thorough
def test_a_probe_that_fails_after_the_start(node: Node) -> None:
    node.host.put(b"welcome\n", "/srv/web/index.html")
    node.unit("web", "ExecStart=/usr/bin/python3 -m http.server 8321 --bind 127.0.0.1\nWorkingDirectory=/srv/web\nRestart=always")
    right = {"name": "web", "probe": {"http": {"url": "http://127.0.0.1:8321/", "contains": ["welcome"]}}}
    wrong = {"name": "web", "probe": {"http": {"url": "http://127.0.0.1:8321/nothing"}}}
    assert node.fixed(right, settle=1)["services"][0]["healthy"]
    assert not node.fixed(right, settle=1, policy="unhealthy")["changed"]
    failed = node.failed(wrong, settle=1, start_timeout=3, policy="unhealthy", words=("did not come up within 3 s", "status 404", "probe_failed"))
    assert codes(failed) == ["node.service.probe_failed"]
    assert node.fixed({"name": "web", "probe": {"tcp": {"port": 8321}}}, settle=1)["changed"]
    node.host.run(["systemctl", "stop", "web"])


@pytest.mark.thorough
def test_an_ordered_pair(node: Node) -> None:
    node.script("/opt/note.sh", '#!/bin/sh\necho "$*" >>/run/order\n')
    for name in ("lower", "upper"):
        node.unit(name, f"ExecStartPre=/opt/note.sh start {name}\nExecStart=/bin/sleep 1000\nExecStopPost=/opt/note.sh stop {name}")
    node.host.run(["rm", "/run/order"])
    node.fixed("lower", "upper", settle=0.5)
    assert node.host.read("/run/order").decode().splitlines() == ["stop upper", "stop lower", "start lower", "start upper"]
    stopped = node.fixed("lower", "upper", state="stopped")
    assert plan_of(stopped) == [("stop", "service:upper.service"), ("stop", "service:lower.service")]
    assert node.undo(stopped["undo_id"])["changed"]
    assert [node.show(name, "ActiveState") for name in ("lower", "upper")] == ["active", "active"]
    assert not node.fixed("lower", "upper", state="started", settle=0.5)["changed"]


def test_what_a_stop_takes_along(node: Node) -> None:
    """Units that require it, and those that are part of it, go down with it and come up again after it."""
    node.unit("base", "ExecStart=/bin/sleep 1000")
    node.unit("needs", "ExecStart=/bin/sleep 1000", unit="Requires=base.service\nAfter=base.service")
    node.unit("part", "ExecStart=/bin/sleep 1000", unit="PartOf=base.service")
    node.unit("idle", "ExecStart=/bin/sleep 1000", unit="Requires=base.service", start=False)
    before = {name: node.pid(name) for name in ("base", "needs", "part")}
    made = node.fixed("base", settle=0.5)
    subjects = [change["subject"] for change in made["changes"]]
    assert subjects[0] == "service:base.service"
    assert sorted(subjects[1:]) == ["service:needs.service", "service:part.service"]
    assert "needs.service" in made["changes"][0]["reason"]
    assert {change["reason"] for change in made["changes"][1:]} == {"systemd stops it together with base.service"}
    assert all(node.pid(name) not in {0, pid} for name, pid in before.items())
    assert node.pid("idle") == 0
    assert len(made["services"]) == 3
    node.host.run(["systemctl", "stop", "base", "part"])


@pytest.mark.thorough
def test_what_is_refused(node: Node) -> None:
    node.unit("masked", "ExecStart=/bin/sleep 1000", start=False)
    node.host.run(["rm", "/etc/systemd/system/masked.service"])
    node.host.run(["systemctl", "mask", "masked"])
    node.unit("worker@", "ExecStart=/bin/sleep 1000", start=False)
    node.unit("real", "ExecStart=/bin/sleep 1000", install="Alias=other.service")
    node.unit("once", "Type=oneshot\nExecStart=/bin/true", start=False)
    node.unit("guarded", "ExecStart=/bin/sleep 1000", unit="RefuseManualStop=yes")

    def refused(*services: str, **options: Any) -> list[str]:
        result = node.restart(*services, **options)
        assert not result["changed"]
        return [refusal["guard"] for refusal in result["refusals"]]

    assert refused("masked") == ["masked"]
    assert refused("nothing-like-it") == ["unknown_service"]
    assert refused("worker@") == ["unknown_service"]
    assert refused("real", "other") == ["ambiguous"]
    assert refused("once") == ["no_daemon"]
    assert refused("guarded") == ["by_hand"]
    assert refused("real", lock_expiry=120) == ["lock_expiry"]
    assert node.fixed("other", settle=0.5)["services"][0]["id"] == "real.service"
    assert node.fixed("worker@7", settle=0.5)["changed"]


@pytest.mark.thorough
def test_an_instance_a_start_limit_and_an_undo(node: Node) -> None:
    """A unit that systemd has given up is started all the same, because a person asked for it; the start can be taken back."""
    node.script("/opt/maybe.sh", "#!/bin/sh\ntest -e /run/broken && exit 3\nexec sleep 1000\n")
    node.host.put(b"", "/run/broken")
    node.unit("given-up", "ExecStart=/opt/maybe.sh\nRestart=on-failure\nRestartSec=100ms", unit="StartLimitBurst=2\nStartLimitIntervalSec=1h", start=False)
    node.host.run(["systemctl", "start", "given-up"])
    node.host.wait_for(lambda: node.show("given-up", "ActiveState") == "failed")
    node.failed("given-up", state="started", settle=1, words=("given-up.service", "exit code 3"))
    node.host.wait_for(lambda: node.show("given-up", "ActiveState") == "failed")
    node.host.run(["rm", "/run/broken"])
    made = node.fixed("given-up", state="started", settle=1)
    assert plan_of(made) == [("start", "service:given-up.service")]
    undone = node.undo(made["undo_id"])
    assert undone["changed"] and node.show("given-up", "ActiveState") == "inactive"


def test_init_scripts(node: Node) -> None:
    """As on hosts that have neither systemd nor upstart; these are called by their path, past systemd."""
    node.script(
        "/etc/init.d/old-style",
        """
        #!/bin/sh
        # pidfile: /run/old-style.pid
        pid=$(cat /run/old-style.pid 2>/dev/null)
        case "$1" in
            start) sleep 1000 & echo $! >/run/old-style.pid ;;
            stop) test -n "$pid" && kill $pid; rm -f /run/old-style.pid ;;
            status) test -n "$pid" || exit 3; test -d /proc/$pid || exit 1 ;;
            *) echo "Usage: $0 {start|stop|status}" >&2; exit 2 ;;
        esac
        """,
    )
    made = node.fixed("old-style", manager="sysv", settle=1)
    assert plan_of(made) == [("start", "service:old-style")]
    old = made["services"][0]["main_pid"]
    assert node.runs(old)
    again = node.fixed("old-style", manager="sysv", settle=1)
    assert plan_of(again) == [("restart", "service:old-style")]
    assert not node.runs(old) and node.runs(again["services"][0]["main_pid"])
    node.host.run(["kill", "-KILL", str(again["services"][0]["main_pid"])])
    mended = node.fixed("old-style", manager="sysv", settle=1, policy="unhealthy")
    assert mended["changes"][0]["reason"].startswith("it is down")
    assert node.fixed("old-style", manager="sysv", state="stopped")["changed"]
    assert json.loads(json.dumps(node.restart("none", manager="sysv")))["refusals"][0]["guard"] == "unknown_service"
