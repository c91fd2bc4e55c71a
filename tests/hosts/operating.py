# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An operator who runs the shipped playbooks on hosts of the laboratory."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from lab.hosts import Host, Lab
from play import ROOT, Run

BIN = Path(sys.executable).parent
MAINLY_A = pytest.mark.parametrize("fits", ["fits-a", pytest.param("fits-c", marks=pytest.mark.thorough)], indirect=True)
"""For a test whose fault shows more on a server of the runbook's era than on one of today."""


class Server(Protocol):
    """Whatever is done on one host."""

    host: Host


@dataclass
class Operator:
    """Reaches the hosts that run, by the docker connection or by ssh."""

    lab: Lab
    directory: Path
    variables: dict[str, Any] = field(default_factory=dict)
    connection: str = "docker"

    @property
    def environment(self) -> dict[str, str]:
        """As `make` sets it, with things to write of this operator's own."""
        return {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "FIELDOPS_REPORT": str(self.directory / "report.json"),
            "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        }

    def command(self, *words: str) -> list[str]:
        """Any of Ansible's commands, with the inventory of now."""
        inventory = self.directory / "hosts.json"
        content = self.lab.inventory(self.connection)
        become = {"ansible_become": True} if self.connection == "ssh" else {}
        content["all"].setdefault("vars", {}).update(become | self.variables)
        inventory.write_text(json.dumps(content), encoding="utf-8")
        program, *rest = words
        return [program, "-i", str(inventory), *rest]

    def play(self, playbook: str, *hosts: Server, check: bool = False, **variables: Any) -> Run:
        """Run a shipped playbook on some hosts, to its end."""
        limit = ",".join(each.host.name for each in hosts)
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        command = self.command("ansible-playbook", str(ROOT / "playbooks" / f"{playbook}.yml"), "--limit", limit, "-e", json.dumps(variables))
        done = self._call(command + (["--check"] if check else []), timeout=400)
        return Run(done.returncode, done.stdout, json.loads(report.read_text(encoding="utf-8")))

    def undo(self, run: Run) -> subprocess.CompletedProcess[str]:
        """Take a run back by the very command that its summary shows."""
        (entry,) = run.report["undo"]
        words = shlex.split(entry["command"])
        return self._call(words, timeout=120)

    def module(self, host: Server, name: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """The result of one module, failed or not."""
        command = self.command("ansible", host.host.name, "-m", f"fieldops.runbooks.{name}", "-a", json.dumps(arguments), *(["--check"] if check else []))
        environment = {**self.environment, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline"}
        done = subprocess.run(command, env=environment, cwd=self.directory, text=True, capture_output=True, timeout=400, check=False)
        print(done.stdout, done.stderr)
        result: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :].splitlines()[0])
        return result

    def _call(self, command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.directory,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        print(done.stdout)
        return done
