# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FITS servers whose queues lie in real databases, and somebody who runs playbooks on all of them."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lab.fits.site import Site
from lab.pg import Postgres
from play import BIN, ROOT, Run


class Fleet:
    """An operator of two FITS servers, each with a worker that has so much to do that rows that were mended lie there for a while."""

    def __init__(self, sites: dict[str, Site], folder: Path) -> None:
        self.sites, self.folder = sites, folder
        self.hosts = {name: self._variables(name, site) for name, site in sites.items()}
        self.groups: dict[str, Any] = {}

    def _variables(self, name: str, site: Site) -> dict[str, Any]:
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "fits_login_unix_socket": site.server.socket_dir,
            "fits_login_port": site.server.port,
            "fits_login_user": "fitsdata",
            "fits_login_db": site.database,
            "fits_scripts_dir": str(site.root.scripts),
            "fits_log_dir": [str(site.root.log_dir)],
            "fits_lockfile_dir": [str(site.root.lock_dir)],
            "fits_journal_dir": str(self.folder / name / "journal"),
            "fits_state_dir": str(self.folder / name / "state"),
            "fits_service_manager": "none",
            "fits_watch": 1,
            "fits_move_timeout": 1,
        }

    def environment(self) -> dict[str, str]:
        return {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
            **os.environ,
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
            "FIELDOPS_HISTORY_DIR": str(self.folder / "history"),
            "FIELDOPS_REPORT": str(self.folder / "report.json"),
            "FIELDOPS_REPORT_DIR": str(self.folder / "forms"),
            "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        }

    def play(self, playbook: str, *words: str, **variables: Any) -> Run:
        inventory, report = self.folder / "hosts.json", self.folder / "report.json"
        inventory.write_text(json.dumps({"fits_servers": {"hosts": self.hosts}, **self.groups}), encoding="utf-8")
        report.unlink(missing_ok=True)
        command = ["ansible-playbook", "-i", str(inventory), f"fieldops.runbooks.{playbook}", "-e", json.dumps(variables), *words]
        pipes: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, env=self.environment(), cwd=self.folder, text=True, timeout=240, check=False, **pipes)
        print(done.stdout)
        assert list((self.folder / "tmp").glob("ansible-local-*/*")) == [], "the tasks of a remediation are left behind"
        return Run(done.returncode, done.stdout, json.loads(report.read_text(encoding="utf-8")))

    def take_back(self, run: Run) -> None:
        """By the commands that it shows."""
        for entry in run.report["undo"]:
            subprocess.run(shlex.split(entry["command"]), env=self.environment(), cwd=self.folder, timeout=60, check=True, capture_output=True)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Every row that failed or was mended, with what changes whenever anybody writes it."""
        found = {}
        for name, site in self.sites.items():
            found[name] = site.faults.queues["ingest"].fetch("SELECT xmin::text AS version, * FROM {table} WHERE filename < 'z' ORDER BY id")
            site.connection.rollback() if not site.connection.autocommit else None
        return found

    def repairs(self) -> dict[str, tuple[float, float]]:
        """When the rows of a host began to be mended, and when that had ended."""
        found = {}
        for name in self.hosts:
            for path in (self.folder / name / "journal" / "runs").glob("*.jsonl"):
                begun = float(json.loads(path.read_text(encoding="utf-8").splitlines()[0])["started"])
                found[name] = (begun, path.stat().st_mtime)
        return found

    def wrong(self) -> dict[str, int]:
        """Failed rows by host."""
        return {name: sum(bool(row.get("failed") or row.get("error")) for row in found) for name, found in self.rows().items()}


@contextmanager
def fleet_of(server: Postgres, folder: Path, faults: dict[str, int], waiting: int) -> Iterator[Fleet]:
    """Servers by name with so many failed rows, of which each is the first of its name; behind them lies work for some time."""
    with ExitStack() as stack:
        sites = {}
        for name, failed in faults.items():
            own = folder / name
            own.mkdir()
            site = sites[name] = Site.build(server, own, "C", work=0.2, database=f"fleet_{os.getpid()}_{time.monotonic_ns()}")
            stack.callback(site.close)
            for number in range(failed):
                site.faults.failed("ingest", f"{name[-1]}{number}.fits")
        for site in sites.values():
            for number in range(waiting):
                site.faults.pending("ingest", f"z{number}.fits")
            site.workers.define("ingest", 1)
            site.workers.start("ingest")
        yield Fleet(sites, folder)
