# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the shipped playbooks with ansible-playbook, against one FITS server of the laboratory on this machine."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.fits import ctl
from lab.fits.site import Site

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
NAMED = "fieldops.runbooks."


def eventually(condition: Callable[[], Any], timeout: float = 30.0) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return value


@dataclass
class Run:
    """What one run of ansible-playbook came to, as the summary's report has it."""

    rc: int
    output: str
    report: dict[str, Any]

    @property
    def changed(self) -> int:
        """Tasks that changed something."""
        return sum(host["changed"] for host in self.report["hosts"])

    @property
    def standing(self) -> set[str]:
        """Codes of the findings that stand at the end, apart from those that say that all is well."""
        return {finding["code"] for finding in self.report["findings"] if not finding["cleared"] and finding["severity"] != "ok"}

    @property
    def changes(self) -> list[dict[str, Any]]:
        """All changes, made or planned."""
        return [{key: value for key, value in change.items() if key not in ("done", "note")} for entry in self.report["changes"] for change in entry["changes"]]

    @property
    def plans(self) -> list[str]:
        """Their hashes."""
        return [entry["plan_sha256"] for entry in self.report["changes"]]

    @property
    def failures(self) -> str:
        """Why tasks failed."""
        return "\n".join(entry["reason"] for entry in self.report["failed"])


@dataclass
class Player:
    """An operator with an inventory of one host."""

    site: Site
    directory: Path
    path: str = ""
    variables: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        root, server = self.site.root, self.site.server
        self.variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "fits_login_unix_socket": server.socket_dir,
            "fits_login_port": server.port,
            "fits_login_user": "fitsdata",
            "fits_login_db": self.site.database,
            "fits_scripts_dir": str(root.scripts),
            "fits_log_dir": [str(root.log_dir)],
            "fits_lockfile_dir": [str(root.lock_dir)],
            "fits_journal_dir": str(self.directory / "journal"),
            "fits_state_dir": str(self.directory / "state"),
            "fits_service_manager": "command",
            "fits_watch": 2,
        }

    @property
    def note(self) -> Path:
        """What a run that was cut off leaves behind."""
        return self.directory / "state" / "ingest_stopped.json"

    def control(self, action: str, queue: str = "ingest") -> list[str]:
        """The command of another supervisor than systemd."""
        return [sys.executable, ctl.__file__, str(self.site.root.path), action, queue]

    def environment(self) -> dict[str, str]:
        """As `make` sets it, with things to write of this test's own."""
        return {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "FIELDOPS_REPORT": str(self.directory / "report.json"),
            "PATH": os.pathsep.join(filter(None, [self.path, str(BIN), os.environ["PATH"]])),
        }

    def command(self, playbook: str, check: bool, variables: dict[str, Any]) -> list[str]:
        """As an operator types it."""
        inventory = self.directory / "hosts.json"
        inventory.write_text(json.dumps({"fits_servers": {"hosts": {"localhost": self.variables}}}), encoding="utf-8")
        where = playbook if playbook.startswith(NAMED) else str(ROOT / "playbooks" / f"{playbook}.yml")
        return ["ansible-playbook", "-i", str(inventory), where, "-e", json.dumps(variables), *(["--check"] if check else [])]

    def start(self, playbook: str = "fits_ingest_queue", check: bool = False, **variables: Any) -> subprocess.Popen[str]:
        """Start a run in a process group of its own."""
        command = self.command(playbook, check, variables)
        pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, env=self.environment(), cwd=self.directory, text=True, start_new_session=True, **pipes)

    def play(self, playbook: str = "fits_ingest_queue", check: bool = False, **variables: Any) -> Run:
        """Run a playbook to its end."""
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        process = self.start(playbook, check, **variables)
        output = process.communicate(timeout=240)[0]
        print(output)
        return Run(process.returncode, output, json.loads(report.read_text(encoding="utf-8")))

    def undo(self, run: Run) -> subprocess.CompletedProcess[str]:
        """Take a run back by the very command that its summary shows."""
        (entry,) = run.report["undo"]
        done = subprocess.run(
            shlex.split(entry["command"]), env=self.environment(), cwd=self.directory, text=True, capture_output=True, timeout=60, check=False
        )
        print(done.stdout, done.stderr)
        return done

    def pid_on(self, filename: str) -> int:
        """The worker that logged to be working on a file."""

        def find() -> int:
            text = "\n".join(path.read_text(encoding="utf-8") for path in self.site.root.log_dir.glob("service_*.log"))
            found = re.findall(rf"^\S+ \S+ (\d+):\S+ INFO: (?:Ing|Exp)\w+ {re.escape(filename)}\b", text, re.MULTILINE)
            return int(found[-1]) if found else 0

        return int(eventually(find))
