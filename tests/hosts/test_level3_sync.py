# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copying of level 3 files as units of a real systemd, with a real rsync and a real mount."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab.hosts import Host
from operating import Operator

UNIT = "jobrunner-level3-sync"
SOURCE = "/e/FILESFORL4/workspaces"
TARGET = "/srv/medium_privacy/workspaces"
PLAY = """
- hosts: level3
  gather_facts: false
  tasks:
    - name: Copy level 3 files
      ansible.builtin.import_role:
        name: fieldops.runbooks.jobrunner
        tasks_from: level3_sync
"""


class Backend:
    """A host with the folders of both levels, of which one is mounted."""

    def __init__(self, host: Host, operator: Operator) -> None:
        self.host = host
        self.operator = operator
        if host.run(["id", "opensafely"], check=False).returncode:
            host.run(["groupadd", "--gid", "10010", "reviewers"])
            host.run(["useradd", "--uid", "10000", "--create-home", "--groups", "reviewers", "opensafely"])
        self.sh(f"mkdir -p /e {TARGET} && chown opensafely:reviewers {TARGET} && chmod 2750 {TARGET}")
        self.mount()

    def sh(self, script: str, check: bool = True) -> str:
        return self.host.run(["sh", "-c", script], check=check).stdout

    def mount(self) -> None:
        self.sh(f"mountpoint -q /e || mount -t tmpfs -o mode=0755 lab /e; mkdir -p {SOURCE}/my-study")

    def clear(self) -> None:
        self.sh(f"systemctl disable --now {UNIT}.timer; systemctl stop {UNIT}; rm -f /etc/systemd/system/{UNIT}.*; systemctl daemon-reload", check=False)
        self.sh("systemctl reset-failed; for p in /tmp/lab-loop-*.pid; do kill -- -$(cat $p); rm $p; done; umount /e; rm -rf /e", check=False)
        self.sh(f"rm -rf {TARGET}/* /srv/medium_privacy/elsewhere", check=False)

    def show(self, unit: str, name: str) -> str:
        return self.sh(f"systemctl show --value --property={name} {unit}").strip()

    def play(self, check: bool = False, **variables: Any) -> subprocess.CompletedProcess[str]:
        play = self.operator.directory / "level3.yml"
        play.write_text(PLAY.replace("level3\n", f"{self.host.name}\n", 1), encoding="utf-8")
        command = self.operator.command("ansible-playbook", str(play), "--diff", "-e", json.dumps(variables), *(["--check"] if check else []))
        return self.operator._call(command, timeout=300)

    def ok(self, check: bool = False, **variables: Any) -> bool:
        """Whether anything was changed."""
        done = self.play(check, **variables)
        assert done.returncode == 0
        report = json.loads((self.operator.directory / "report.json").read_text(encoding="utf-8"))
        return sum(each["changed"] for each in report["hosts"]) > 0

    def refused(self, *words: str, **variables: Any) -> None:
        """In check mode and in earnest, without a trace."""
        for check in (True, False):
            done = self.play(check, **variables)
            assert done.returncode != 0
            for word in words:
                assert word in done.stdout
            assert not self.host.exists(f"/etc/systemd/system/{UNIT}.service")

    def loop(self, name: str, script: str, user: str = "opensafely") -> None:
        """Something that somebody left running."""
        self.sh(f"setsid runuser -u {user} -- bash -c {json.dumps(script)} >/dev/null 2>&1 & echo $! > /tmp/lab-loop-{name}.pid")
        self.host.wait_for(lambda: bool(self.sh("pgrep -x rsync; pgrep -x sleep", check=False).strip()), "it runs")


@pytest.fixture
def backend(host: Callable[..., Host], operator: Operator) -> Iterator[Backend]:
    made = Backend(host("level3", kind="bare"), operator)
    yield made
    made.clear()


@pytest.mark.step("O21")
def test_installed_predicted_repeated_and_taken_away(backend: Backend) -> None:
    backend.sh(f"echo made by hand > '{SOURCE}/my-study/a file.csv'; ln -s /etc/passwd {SOURCE}/my-study/link")
    before = backend.sh("find /etc/systemd/system")
    assert backend.ok(check=True)
    assert backend.sh("find /etc/systemd/system") == before
    assert backend.ok()
    assert backend.sh(f"cat '{TARGET}/my-study/a file.csv'") == "made by hand\n"
    assert not backend.host.exists(f"{TARGET}/my-study/link")
    assert backend.sh(f"stat -c %U {TARGET}/my-study").strip() == "opensafely"
    assert backend.show(f"{UNIT}.timer", "ActiveState") == "active"
    assert backend.show(f"{UNIT}.timer", "UnitFileState") == "enabled"
    assert backend.show(f"{UNIT}.service", "Result") == "success"

    assert backend.ok() is False
    assert backend.ok(check=True) is False

    assert backend.ok(check=True, jobrunner_sync_state="absent")
    assert backend.show(f"{UNIT}.timer", "ActiveState") == "active"
    assert backend.ok(jobrunner_sync_state="absent")
    assert backend.sh("find /etc/systemd/system") == before
    assert backend.show(f"{UNIT}.timer", "LoadState") == "not-found"
    assert backend.host.exists(f"{TARGET}/my-study/a file.csv")
    assert backend.ok(jobrunner_sync_state="absent") is False


@pytest.mark.step("O21")
@pytest.mark.thorough
def test_rounds_follow_one_another(backend: Backend) -> None:
    """As the loop did: what is new comes, what is newer at level 4 stays, nothing is deleted."""
    backend.ok(jobrunner_sync_interval=2)
    backend.sh(f"echo kept > {TARGET}/my-study/own.csv; echo newer > {TARGET}/my-study/both.csv; echo first > {SOURCE}/my-study/new.csv")
    backend.sh(f"echo older > {SOURCE}/my-study/both.csv; touch -d '2 days ago' {SOURCE}/my-study/both.csv")
    backend.host.wait_for(lambda: backend.host.exists(f"{TARGET}/my-study/new.csv"), "a later round copies it", timeout=30)
    assert backend.sh(f"cat {TARGET}/my-study/own.csv {TARGET}/my-study/both.csv") == "kept\nnewer\n"
    backend.ok(jobrunner_sync_interval=120)
    assert "OnUnitInactiveUSec=2min" in backend.show(f"{UNIT}.timer", "TimersMonotonic")


@pytest.mark.step("O21")
def test_the_modes_of_the_source_open_nothing(backend: Backend) -> None:
    """A Windows share shows 0777 and a group of its own; the directory of all workspaces has neither afterwards, nor has what lies in it."""
    backend.sh(f"chmod 00750 {TARGET}; echo new > {SOURCE}/my-study/new.csv; chown -R opensafely:opensafely /e; chmod -R 0777 /e")
    before = backend.sh(f"stat -c '%a %U:%G' {TARGET}")
    backend.ok()
    assert backend.sh(f"stat -c '%a %U:%G' {TARGET}") == before == "750 opensafely:reviewers\n"
    assert backend.sh(f"stat -c '%a %U:%G' {TARGET}/my-study {TARGET}/my-study/new.csv") == "750 opensafely:reviewers\n" * 2


@pytest.mark.step("O21")
@pytest.mark.thorough
def test_it_fails_loudly_when_the_source_is_not_mounted(backend: Backend) -> None:
    backend.sh("umount /e")
    backend.refused("/e", "mounted")
    backend.mount()
    backend.ok(jobrunner_sync_interval=2)
    backend.sh(f"umount /e; mkdir -p {SOURCE}/my-study; echo on the wrong disk > {SOURCE}/my-study/wrong.csv")
    backend.host.wait_for(lambda: backend.show(f"{UNIT}.service", "ActiveState") == "failed", "a round fails", timeout=30)
    assert UNIT in " ".join(backend.host.failed_units())
    assert "/e is not a mountpoint" in backend.sh(f"journalctl -u {UNIT} -o cat --no-pager")
    assert not backend.host.exists(f"{TARGET}/my-study/wrong.csv")
    assert backend.play().returncode != 0
    backend.sh("rm -rf /e/*")
    backend.mount()
    backend.sh(f"echo back > {SOURCE}/my-study/back.csv")
    assert backend.ok()
    assert backend.host.exists(f"{TARGET}/my-study/back.csv")


@pytest.mark.step("O21")
def test_a_round_that_fails_is_told_with_what_it_said(backend: Backend) -> None:
    backend.sh(f"echo secret > {SOURCE}/my-study/shut.csv; chmod 600 {SOURCE}/my-study/shut.csv")
    done = backend.play()
    assert done.returncode != 0
    assert "shut.csv" in done.stdout
    assert "Permission denied" in done.stdout


@pytest.mark.step("O21")
@pytest.mark.thorough
def test_the_loop_of_the_runbook_is_found(backend: Backend) -> None:
    """Between two rounds, and in the middle of one."""
    backend.loop("waiting", f"while true; do rsync -auP {SOURCE}/ {TARGET}/ ; sleep 120; done")
    backend.host.wait_for(lambda: bool(backend.sh("pgrep -x sleep", check=False).strip()), "it waits")
    backend.refused("The loop of the runbook seems to run already", "tmux attach")
    assert backend.ok(jobrunner_sync_ignore_loop=True)


@pytest.mark.step("O21")
def test_a_round_of_the_loop_is_found(backend: Backend) -> None:
    backend.sh(f"mkdir -p {SOURCE}/big; truncate -s 3G {SOURCE}/big/file")
    backend.loop("copying", f"rsync -auP --bwlimit=10 {SOURCE}/ {TARGET}/")
    backend.refused("rsync with pid")


@pytest.mark.parametrize(
    "variables",
    [
        {"jobrunner_sync_source": "e/FILES"},
        {"jobrunner_sync_source": "/e/FILES FOR L4"},
        {"jobrunner_sync_source": "/e/%h"},
        {"jobrunner_sync_mount": "e"},
        {"jobrunner_sync_interval": 0},
        {"jobrunner_user": "open safely"},
        {"jobrunner_sync_group": "reviewers\nUser=root"},
        {"jobrunner_sync_on_failure": "mail.service\nExecStart=/bin/true"},
    ],
)
def test_values_that_are_refused(backend: Backend, variables: dict[str, Any]) -> None:
    done = backend.play(**variables)
    assert done.returncode != 0
    assert "Nothing was changed" in done.stdout
    assert not backend.host.exists(f"/etc/systemd/system/{UNIT}.service")


def test_a_state_that_is_refused(backend: Backend) -> None:
    done = backend.play(jobrunner_sync_state="gone")
    assert done.returncode != 0
    assert "must be one of: present, absent" in done.stdout
    assert not backend.host.exists(f"/etc/systemd/system/{UNIT}.service")


@pytest.mark.thorough
def test_no_mount_is_required_where_there_is_none(backend: Backend) -> None:
    backend.sh(f"umount /e; mkdir -p {SOURCE}/my-study; echo on this disk > {SOURCE}/my-study/a.csv")
    assert backend.ok(jobrunner_sync_mount="")
    assert backend.host.exists(f"{TARGET}/my-study/a.csv")


def test_the_units_are_what_systemd_takes(backend: Backend) -> None:
    backend.ok(jobrunner_sync_on_failure="mail@sync.service")
    verified = backend.host.run(["systemd-analyze", "verify", f"/etc/systemd/system/{UNIT}.service", f"/etc/systemd/system/{UNIT}.timer"], check=False)
    assert "Unknown" not in verified.stderr
    assert f"{UNIT}.timer" in backend.sh("systemctl list-timers --all --plain --no-legend")
