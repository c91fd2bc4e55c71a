# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo-queues`: three FITS hosts of three generations, broken in earnest, triaged, mended, and one mend taken back.

A real PostgreSQL, worker processes that pop rows by each generation's own rules, a million healthy rows beside the broken
ones. Everything runs as this user in a temporary directory, and is gone at the end.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import project
from stage import Stage, bad, expect, say, work_directory

sys.path.insert(0, str(project.ROOT / "tests"))

from lab.fits import root as lab_root
from lab.fits import schema
from lab.fits.faults import Faults
from lab.fits.workers import Workers
from lab.pg import Postgres

GENERATIONS = ("A", "B", "C")
HEALTHY = 1_000_000
PLAYBOOKS = ("fits_ingest_queue", "fits_export_queue")


class Host:
    """One FITS host of the demonstration: a database, an installation below its own folder, its workers."""

    def __init__(self, work: Path, server: Postgres, generation: str) -> None:
        self.name = f"fits-{generation.lower()}"
        self.database = f"fits_{generation.lower()}"
        schema.create(server, self.database, generation)
        dsn = server.dsn(self.database, user=schema.OWNER)
        self.root = lab_root.install(work / self.name, generation, dsn, destinations=("https://archive.example.org",), work=0.02)
        self.session = server.connect(self.database, user=schema.OWNER)
        self.make = Faults(self.session)
        self.workers = Workers(self.root)
        for queue in ("ingest", "export"):
            self.workers.define(queue, 1)
        ctl = [sys.executable, str(project.ROOT / "tests/lab/fits/ctl.py"), str(self.root.path)]
        self.variables: dict[str, Any] = {
            "fits_login_unix_socket": server.socket_dir,
            "fits_login_port": server.port,
            "fits_login_user": schema.OWNER,
            "fits_login_db": self.database,
            "fits_scripts_dir": str(self.root.scripts),
            "fits_log_dir": [str(self.root.log_dir)],
            "fits_lockfile_dir": [str(self.root.lock_dir)],
            "fits_journal_dir": str(work / self.name / "journal"),
            "fits_state_dir": str(work / self.name / "state"),
            "fits_service_manager": "command",
            "fits_workers_stop_command": [*ctl, "stop", "{{ fits_queue }}"],
            "fits_workers_start_command": [*ctl, "start", "{{ fits_queue }}"],
            "fits_watch": 5,
        }

    def kill_a_worker(self, filename: str) -> None:
        """A real orphan: a worker takes the file and dies of SIGKILL in the middle of it."""
        self.root.write_file(filename)
        self.make.pending("ingest", filename)
        self.root.configure(work=60)
        self.workers.start("ingest")
        deadline = time.monotonic() + 20
        with self.session.cursor() as cursor:
            row = None
            while row is None:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{self.name}: no worker took {filename}")
                time.sleep(0.05)
                cursor.execute("SELECT id FROM ingestqueue WHERE inprogress AND filename = %s", (filename,))
                row = cursor.fetchone()
        self.workers.kill("ingest")
        self.root.configure(work=0.02)

    def some_work(self, prefix: str, count: int = 20) -> None:
        """Healthy rows, and their files."""
        for number in range(1, count + 1):
            self.root.write_file(f"{prefix}{number:07}.fits")
        self.make.healthy("ingest", count, prefix)

    def close(self) -> None:
        self.workers.kill()
        self.session.close()


def break_hosts(hosts: dict[str, Host]) -> None:
    """Faults of each generation, made the way that they happen where that can be done."""
    for host in hosts.values():
        host.kill_a_worker("N20200804S0091.fits")
        host.some_work("N20200805S")
    old, middle, new = hosts["A"].make, hosts["B"].make, hosts["C"].make
    old.failed("ingest", "N20200101S0007.fits", error="OSError: no end card found")
    old.back_off("N20200101S0008.fits")  # looks stuck, and is not
    middle.export_failed("N20200101S0009.fits", "ft")
    middle.starved_twin("ingest", "N20200101S0010.fits")
    new.failed_many("ingest", "N20200101S0011.fits")
    new.unpoppable("ingest", "N20200101S0012.fits", "fail_dt_infinity")
    new.healthy("export", HEALTHY, "N20260102S")
    for number in range(3):
        new.failed("export", f"A2019S{number:04}.fits", error="Bad HTTP status: 500 from upload post to url: https://archive.example.org")
    with hosts["C"].session.cursor() as cursor:
        cursor.execute("ANALYZE")
    for host in hosts.values():
        host.workers.start()


class Operator(Stage):
    """Runs the queues' playbooks on the hosts, and takes a repair back."""

    def __init__(self, work: Path, hosts: dict[str, Host]) -> None:
        common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        members = {host.name: host.variables for host in hosts.values()}
        super().__init__(work, {"fits_servers": {"hosts": members, "vars": common}})
        play = [{"ansible.builtin.import_playbook": f"fieldops.runbooks.{name}"} for name in PLAYBOOKS]
        (work / "site.json").write_text(json.dumps(play))

    def playbook(self, *options: str) -> dict[str, Any]:
        return self.run(["ansible-playbook", "-i", str(self.inventory), str(self.work / "site.json"), *options], options)

    def undo(self, host: Host, undo_id: str, *options: str) -> dict[str, Any]:
        names = {"login_unix_socket": "login_unix_socket", "login_port": "login_port", "login_user": "login_user", "journal_dir": "journal_dir"}
        words = [f"{name}={host.variables['fits_' + variable]}" for name, variable in names.items()]
        command = ["ansible", host.name, "-i", str(self.inventory), "-m", "fieldops.runbooks.runbook_undo", "-a", " ".join([f"undo_id={undo_id}", *words])]
        return self.run([*command, *options], ["-m", "fieldops.runbooks.runbook_undo", "-a", f"undo_id={undo_id}", *options])


def show(stage: Operator, hosts: dict[str, Host]) -> None:
    say("1. Triage. Read-only, on three hosts of three generations: what is wrong, and what would mend it?")
    expect(len(bad(stage.playbook())) >= 5, "the triage did not find the faults")

    say("2. The plan. Check mode walks the same path as the repair and stops before the first change.")
    planned = stage.playbook("-e", "fits_repair=true", "--check")

    say("3. The repair. Workers are stopped where they must be, rows mended, workers started, movement seen.")
    repaired = stage.playbook("-e", "fits_repair=true")
    expect(repaired["returncode"] == 0, "the repair failed")
    expect(bool(planned["changes"]) and bool(repaired["undo"]), "no change was planned or made")

    say("4. Triage again.")
    expect(bad(stage.playbook()) == [], "the second triage is not green")

    say("5. Take one repair back: the failed exports of fits-c still wait behind a million rows, so they can be put back as they were.")
    undo_id = next(u["undo_id"] for u in repaired["undo"] if u["host"] == "fits-c" and undoable(hosts["C"], u["undo_id"]))
    expect(stage.undo(hosts["C"], undo_id)["returncode"] == 0, "the undo failed")

    say("6. And what workers have served meanwhile is not touched: that undo is refused as a whole, and says why.")
    served = next(u["undo_id"] for u in repaired["undo"] if u["host"] == "fits-a")
    expect(stage.undo(hosts["A"], served)["returncode"] != 0, "an undo of served rows was not refused")


def undoable(host: Host, undo_id: str) -> bool:
    """Whether the run was made on the export queue."""
    journal = Path(host.variables["fits_journal_dir"]) / "runs" / f"{undo_id}.jsonl"
    return bool(json.loads(journal.read_text().splitlines()[0])["queue"] == "export")


def main() -> None:
    started = time.monotonic()
    with work_directory() as work, Postgres() as server, contextlib.ExitStack() as stack:
        say("Starting a PostgreSQL and three FITS hosts, breaking them, and queueing a million healthy rows beside the faults ...")
        hosts = {generation: Host(work, server, generation) for generation in GENERATIONS}
        for host in hosts.values():
            stack.callback(host.close)
        break_hosts(hosts)
        show(Operator(work, hosts), hosts)
    say(f"Done in {time.monotonic() - started:.0f} s. Servers and workers are stopped and their files are gone.")


if __name__ == "__main__":
    main()
