# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test may expect of a host: systemd, files, names, and both ways that Ansible reaches it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.hosts import Host, Lab, LabError
from pages import blocks

UNIT = b"""[Service]
ExecStart=/bin/sh -c 'echo started; exec sleep infinity'
User=ops
Restart=always
"""


@pytest.fixture(scope="module")
def bare(host: Callable[..., Host]) -> Host:
    return host("bare")


def ansible(tmp_path: Path, inventory: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """The ad hoc command on all hosts; the result of each."""
    path = tmp_path / "inventory.json"
    path.write_text(json.dumps(inventory), encoding="utf-8")
    done = subprocess.run(["ansible", "-i", str(path), "all", "-o", *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (line.split(" => ", maxsplit=1) for line in done.stdout.splitlines() if " => " in line)
    return {name.split(" | ")[0]: json.loads(result) for name, result in lines}


def test_systemd_runs_the_host(bare: Host) -> None:
    assert bare.run(["systemctl", "is-system-running"]).stdout.strip() == "running"
    assert bare.run(["ps", "-o", "comm=", "-p", "1"]).stdout.strip() == "systemd"
    assert bare.active("cron") and bare.active("ssh") and not bare.active("nothing-like-it")


def test_a_unit_is_started_again_by_systemd(bare: Host) -> None:
    bare.put(UNIT, "/etc/systemd/system/probe.service")
    bare.run(["systemctl", "daemon-reload"])
    bare.run(["systemctl", "start", "probe"])

    def pid() -> str:
        return bare.run(["systemctl", "show", "--property=MainPID", "--value", "probe"]).stdout.strip()

    first = pid()
    assert bare.run(["ps", "-o", "user=", "-p", first]).stdout.strip() == "ops"
    bare.run(["kill", "-KILL", first])
    bare.wait_for(lambda: bare.active("probe") and pid() not in {"0", first}, "probe is started again", timeout=10)
    assert "started" in bare.run(["journalctl", "--unit=probe", "--output=cat"]).stdout


def test_files_and_their_owners(bare: Host, tmp_path: Path) -> None:
    bare.put(b"secret\n", "/srv/deep/down/file", owner="ops:adm", mode=0o640)
    assert bare.read("/srv/deep/down/file") == b"secret\n"
    assert bare.run(["stat", "-c", "%U:%G %a", "/srv/deep/down/file"]).stdout.strip() == "ops:adm 640"
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "script").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "inner" / "script").chmod(0o755)
    bare.put(tmp_path, "/opt/place", owner="ops")
    assert bare.run(["stat", "-c", "%U:%G %a", "/opt/place/inner/script", "/opt/place/inner"]).stdout.split("\n")[0] == "ops:ops 755"
    bare.put(b"in a file system of its own", "/run/here")
    assert bare.exists("/run/here") and not bare.exists("/run/there")
    with pytest.raises(LabError, match="No such file"):
        bare.read("/srv/nothing")


def test_commands(bare: Host) -> None:
    done = bare.run(["sh", "-c", "id -un; cat; echo $WHAT >&2; exit 3"], user="ops", input="given", env={"WHAT": "ever"}, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "ops\ngiven", "ever\n")
    with pytest.raises(LabError, match=r"bare: false ended with 1"):
        bare.run(["false"])
    with pytest.raises(LabError, match=r"did not end within 0\.5 s"):
        bare.run(["sleep", "5"], timeout=0.5)
    with pytest.raises(LabError, match=r"in vain: the impossible"):
        bare.wait_for(lambda: False, "the impossible", timeout=0.3)


def test_hosts_know_each_other_by_name(bare: Host, lab: Lab) -> None:
    other = lab.up("other", kind="bare")
    assert bare.run(["getent", "hosts", "other"]).stdout.split() == [other.address, "other"]
    banner = bare.run(["python3", "-c", "import socket; print(socket.create_connection(('other', 22), 5).recv(20))"])
    assert "SSH-2.0" in banner.stdout
    assert {found.name for found in lab.hosts()} >= {"bare", "other"}
    lab.down("other")
    assert "other" not in {found.name for found in lab.hosts()}


def test_halt_start_and_crash(lab: Lab) -> None:
    mine = lab.up("mine", kind="bare")
    mine.put(b"kept", "/srv/kept")
    mine.halt()
    assert not mine.running
    assert mine.start().read("/srv/kept") == b"kept"
    mine.crash()
    mine.wait_for(lambda: not mine.running, "the host is down", timeout=10)
    assert lab.up("mine").exists("/srv/kept") is False  # a fresh one
    lab.down("mine")


def test_a_failed_unit_is_told(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    mine = lab.up("mine", kind="bare")
    mine.put(b"[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n", "/etc/systemd/system/bad.service")
    mine.run(["systemctl", "enable", "bad"])
    mine.halt()
    mine.start()
    assert mine.failed_units() == ["bad.service"]
    assert "degraded: bad.service failed" in capfd.readouterr().err
    lab.down("mine")


def test_ansible_by_the_docker_connection(bare: Host, lab: Lab, tmp_path: Path) -> None:
    inventory = lab.inventory()
    assert ansible(tmp_path, inventory, "-m", "ping")["bare"]["ping"] == "pong"
    assert ansible(tmp_path, inventory, "-m", "service_facts")["bare"]["ansible_facts"]["services"]["cron.service"]["state"] == "running"


def test_ansible_by_ssh(bare: Host, lab: Lab, tmp_path: Path) -> None:
    inventory = lab.inventory("ssh")
    facts = ansible(tmp_path, inventory, "-m", "setup", "-a", "filter=ansible_user_id,ansible_virtualization_type")["bare"]["ansible_facts"]
    assert facts["ansible_user_id"] == "ops"
    assert ansible(tmp_path, inventory, "-b", "-m", "setup", "-a", "filter=ansible_user_id")["bare"]["ansible_facts"]["ansible_user_id"] == "root"


def test_the_line_of_the_page_on_rights_is_all_that_sudo_needs(lab: Lab, tmp_path: Path) -> None:
    """In place of all that sudo lets the user do; no other command is let through."""
    mine = lab.up("mine", kind="bare")
    (line,) = blocks("security.md", "text")
    mine.run(["sh", "-c", "rm -f /etc/sudoers.d/*"])
    mine.run(["gpasswd", "--delete", "ops", "sudo"], check=False)
    assert mine.run(["sudo", "-n", "/bin/sh", "-c", "id -u"], user="ops", check=False).returncode != 0, "before the line nothing may be done"
    mine.put(line.encode(), "/etc/sudoers.d/ops", mode=0o440)
    inventory = {"all": {"hosts": {"mine": mine.ssh_vars()}}}
    facts = ansible(tmp_path, inventory, "-b", "-m", "setup", "-a", "filter=ansible_user_id")["mine"]["ansible_facts"]
    assert facts["ansible_user_id"] == "root"
    looked = ansible(tmp_path, inventory, "-b", "-m", "fieldops.runbooks.node_health_info", "-a", '{"units": [{"name": "cron"}]}')["mine"]
    assert looked["changed"] is False
    assert mine.run(["sudo", "-n", "/usr/bin/id"], user="ops", check=False).returncode != 0
    lab.down("mine")
