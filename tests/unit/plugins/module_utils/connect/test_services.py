# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as their managers tell them: what is read from systemd and upstart, and real init scripts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import services as facade
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import sysv
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import read_process
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.service import ServiceError, family
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.signals import Interrupted, ancestors, interruptible, is_alive, send, unit_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.systemd import (
    _PROPERTIES,
    _answers,
    blocks_of,
    full_name,
    is_template,
    short_name,
    span,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.upstart import jobs_of

SHOWN = """\
Id=ssh.service
Names=ssh.service sshd.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
KillMode=process
MainPID=101
ControlGroup=
Result=success
ExecMainCode=0
ExecMainStatus=0
NRestarts=0
Type=notify
TriggeredBy=ssh.socket
Restart=on-failure
RestartUSec=100ms
TimeoutStopUSec=1min 30s
RequiredBy=b.service a.service
BoundBy=a.service
ConsistsOf=
InvocationID=0123456789abcdef0123456789abcdef
ActiveEnterTimestampMonotonic=5000000

Id=fits-a.service
Names=fits-a.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
UnitFileState=disabled
MainPID=0
Result=exit-code
ExecMainCode=1
ExecMainStatus=3
NRestarts=12
Restart=always
RestartUSec=10s
Job=77
InactiveExitTimestampMonotonic=9000000
NeedDaemonReload=yes
RefuseManualStop=yes

Id=gone.service
Names=gone.service
LoadState=not-found
ActiveState=inactive
SubState=dead
"""


def test_what_systemd_shows() -> None:
    blocks = blocks_of(SHOWN)
    assert [block["Id"] for block in blocks] == ["ssh.service", "fits-a.service", "gone.service"]
    (ssh,) = _answers("sshd", "sshd.service", blocks, 1000.0)
    assert (ssh.name, ssh.id, ssh.known, ssh.active, ssh.sub, ssh.enabled) == ("sshd", "ssh.service", True, "active", "running", True)
    assert (ssh.main_pid, ssh.pids, ssh.exit_code, ssh.restarts, ssh.since) == (101, (101,), None, 0, 1005.0)
    assert (ssh.stops, ssh.triggered, ssh.stop_timeout, ssh.restart_delay) == (("a.service", "b.service"), ("ssh.socket",), 90.0, 0.1)
    assert ssh.on and not ssh.restarting and not ssh.pending and ssh.manual and ssh.spares
    (flapping,) = _answers("fits-a", "fits-a.service", blocks, 1000.0)
    assert (flapping.exit_code, flapping.restarts, flapping.result, flapping.main_pid, flapping.enabled) == (3, 12, "exit-code", None, False)
    assert flapping.on and flapping.restarting and flapping.pending and flapping.reload_needed and not flapping.manual and not flapping.spares
    (gone,) = _answers("gone", "gone.service", blocks, 1000.0)
    assert (gone.known, gone.active, gone.load) == (False, "unknown", "not-found")


def test_whatever_a_stop_spreads_along() -> None:
    links = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo")
    assert set(links) <= set(_PROPERTIES)
    shown = "Id=a.service\nLoadState=loaded\nWantedBy=w.target\n" + "".join("%s=%s.service b.service\n" % (link, link) for link in links)
    (found,) = _answers("a", "a.service", blocks_of(shown), 0.0)
    assert found.stops == (*sorted("%s.service" % link for link in links), "b.service")


def test_a_stop_without_limit_of_an_old_systemd() -> None:
    (found,) = _answers("a", "a.service", blocks_of("Id=a.service\nLoadState=loaded\nTimeoutStopUSec=0\n"), 0.0)
    assert found.stop_timeout is None


def test_patterns_mean_what_there_is() -> None:
    blocks = blocks_of(SHOWN)
    assert [(each.name, each.asked) for each in _answers("*s*", "*s*.service", blocks, 0.0)] == [("fits-a", "*s*"), ("ssh", "*s*")]
    (nothing,) = _answers("x*", "x*.service", blocks, 0.0)
    assert (nothing.name, nothing.known) == ("x*", False)
    (template,) = _answers("w@", "w@.service", blocks, 0.0)
    assert (template.load, template.known) == ("template", False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("1min 30s", 90.0),
        ("100ms", 0.1),
        ("2h 3min 4.5s", 7384.5),
        ("1d", 86400.0),
        ("0", 0.0),
        ("infinity", float("inf")),
        ("", None),
        ("soon", None),
    ],
)
def test_time_spans(text: str, seconds: float | None) -> None:
    assert span(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("name", "full", "template"),
    [
        ("httpd", "httpd.service", False),
        ("php7.4-fpm", "php7.4-fpm.service", False),
        ("a.timer", "a.timer", False),
        ("worker@1", "worker@1.service", False),
        ("worker@", "worker@.service", True),
    ],
)
def test_names_of_units(name: str, full: str, template: bool) -> None:
    assert (full_name(name), is_template(full)) == (full, template)
    assert short_name(full) == (name if full.endswith(".service") else full)


def test_what_upstart_lists() -> None:
    text = (
        "rc stop/waiting\ntalus_slave start/running, process %d\nnetwork (lo) start/running\nbusy start/post-start, process 4000000\n"
        "\tpost-start process 4000001\nending stop/killed, process 4000002\nnonsense\n" % os.getpid()
    )
    jobs = jobs_of(text)
    assert [(name, job.active, job.sub) for name, job in jobs.items()] == [
        ("rc", "inactive", "waiting"),
        ("talus_slave", "active", "running"),
        ("network (lo)", "active", "running"),
        ("busy", "activating", "post-start"),
        ("ending", "deactivating", "killed"),
    ]
    assert jobs["talus_slave"].main_pid == os.getpid() and os.getpid() in jobs["talus_slave"].pids
    assert jobs["talus_slave"].since == pytest.approx(time.time(), abs=3600)


SCRIPT = """#!/bin/sh
# pidfile: {directory}/{name}.pid
pid=$(cat {directory}/{name}.pid 2>/dev/null)
case "$1" in
  start) sleep 1000 & echo $! >{directory}/{name}.pid; echo started ;;
  stop) test -n "$pid" && kill $pid && rm {directory}/{name}.pid ;;
  status) test -n "$pid" || exit 3; test -d /proc/$pid || exit 1; echo "running in $PWD with ${{SECRET-nothing}}" ;;
  *) exit 2 ;;
esac
"""


@pytest.fixture
def init_d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sysv, "INIT_D", str(tmp_path))
    monkeypatch.setenv("SECRET", "swordfish")
    return tmp_path


def install(init_d: Path, name: str, text: str = SCRIPT) -> None:
    (init_d / name).write_text(text.format(directory=init_d, name=name), encoding="utf-8")
    (init_d / name).chmod(0o755)


def test_an_init_script(init_d: Path) -> None:
    install(init_d, "one")
    manager = facade.manager_of("sysv")
    assert [(each.known, each.active) for each in manager.read(["one", "two"])] == [(True, "inactive"), (False, "unknown")]
    manager.start("one", 10)
    (running,) = manager.read(["on*"])
    process = read_process(running.main_pid or 0)
    assert process is not None and process.argv == ("sleep", "1000")
    try:
        assert (running.name, running.asked, running.active, running.sub) == ("one", "on*", "active", "running in / with nothing")
        assert running.pids == (process.pid,) and running.since == pytest.approx(time.time(), abs=60)
    finally:
        manager.stop("one", 10)
    (stopped,) = manager.read(["one"])
    assert (stopped.active, stopped.main_pid) == ("inactive", None)


def test_an_init_script_that_died_or_knows_no_status(init_d: Path) -> None:
    install(init_d, "dead")
    (init_d / "dead.pid").write_text("4194999", encoding="ascii")
    install(init_d, "mute", '#!/bin/sh\necho "Usage: $0 {{start|stop}}"; exit 1\n')
    (init_d / "no-program").write_text("", encoding="ascii")
    dead, mute, none, outside = facade.manager_of("sysv").read(["dead", "mute", "no-program", "../bin/sh"])
    assert (dead.active, mute.active, none.known, outside.known) == ("failed", "unknown", False, False)
    with pytest.raises(ServiceError, match="mute start failed with exit code 1: Usage"):
        facade.manager_of("sysv").start("mute", 10)
    install(init_d, "slow", "#!/bin/sh\nsleep 60\n")
    with pytest.raises(ServiceError, match=r"did not end within 0\.2 s"):
        facade.manager_of("sysv").start("slow", 0.2)


def test_the_manager_that_is_in_charge(init_d: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServiceError, match="no service manager 'runit'; known are systemd, upstart, sysv"):
        facade.services(["one"], "runit")
    assert facade.services([]) == []
    monkeypatch.setenv("PATH", str(init_d))
    for name in ("systemd", "upstart"):
        monkeypatch.setattr("ansible_collections.fieldops.runbooks.plugins.module_utils.connect.service.PATH", str(init_d))
        with pytest.raises(ServiceError, match="is not installed on this node"):
            facade.manager_of(name)


def test_a_signal_reaches_exactly_who_was_meant() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(1000)"], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()
        process = read_process(child.pid)
        assert process is not None and is_alive(process)
        recycled = replace(process, start=process.start - 1)
        assert not is_alive(recycled) and not send(recycled, signal.SIGKILL)
        assert child.poll() is None
        assert child.pid in family(os.getpid()) and os.getpid() in ancestors(child.pid)
        assert send(process, signal.SIGKILL)
        assert child.wait(10) == -signal.SIGKILL
        assert not send(process, signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()


def test_units_of_processes(tmp_path: Path) -> None:
    assert unit_of(4194999) == ""
    assert isinstance(unit_of(os.getpid()), str)


def test_an_interruption_can_be_brought_to_an_end() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        with pytest.raises(Interrupted, match="SIGTERM"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        os.kill(os.getpid(), signal.SIGTERM)  # what is done about it is not interrupted again
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) == before
