# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The FITS servers of the molecule scenario, in the background between its steps.

    python tests/lab/molecule_host.py start STATE.json    three hosts, one of each generation; returns when they are up
    python tests/lab/molecule_host.py break STATE.json    orphans, failures, a twin; workers that live
    python tests/lab/molecule_host.py look STATE.json     JSON: rows of the queues, and how often each file was served
    python tests/lab/molecule_host.py halt STATE.json     the workers stop
    python tests/lab/molecule_host.py stop STATE.json     nothing is left; no error if nothing ran

STATE.json says how the hosts are reached, and which process looks after them. They also end when it is removed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psycopg2

from lab import procfs
from lab.fits import schema
from lab.fits.faults import Faults
from lab.fits.procs import Processes
from lab.fits.root import install
from lab.fits.workers import ledger
from lab.keeper import keeper
from lab.pg import Postgres

HOSTS = {"fits-a": "A", "fits-b": "B", "archive-c": "C"}
QUEUES = ("ingest", "export")
State = dict[str, Any]


class Over(Exception):
    """The servers are to end."""


def _on_term(_signum: int, _frame: Any) -> None:
    raise Over


def serve(path: Path) -> None:
    """The process in the background."""
    signal.signal(signal.SIGTERM, _on_term)
    folder = Path(tempfile.mkdtemp(prefix="lab-molecule-"))
    keeper().watch_directory(folder)
    places: list[Processes] = []
    try:
        with Postgres() as server:
            hosts = {name: _host(server, folder / name, name, generation, places) for name, generation in HOSTS.items()}
            me = {"pid": os.getpid(), "started": procfs.start_time(os.getpid())}
            _write(path, {"keeper": me, "hosts": hosts})
            while path.exists():
                time.sleep(0.5)
    except Over:
        pass
    finally:
        for place in places:
            place.kill()
        path.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _host(server: Postgres, folder: Path, name: str, generation: str, places: list[Processes]) -> State:
    """Database, root and workers of one host; the variables that reach it."""
    database = name.replace("-", "_")
    schema.create(server, database, generation)
    root = install(folder, generation, server.dsn(database, user=schema.OWNER), idle=0.5, error_sleep=0.1)
    places.append(Processes(root))
    places[-1].define("ingest", 2)
    places[-1].define("export", 1)
    return {
        "root": str(root.path),
        "login_unix_socket": server.socket_dir,
        "login_port": server.port,
        "login_db": database,
        "login_user": schema.OWNER,
        "scripts_dir": str(root.scripts),
        "log_dir": [str(root.log_dir)],
        "lockfile_dir": [str(root.lock_dir)],
    }


def _write(path: Path, state: State) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(state, indent=2), encoding="utf-8")
    part.replace(path)


def start(path: Path) -> None:
    """Start what `serve` does, and wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".log"), "w", encoding="utf-8") as log:
        command = [sys.executable, __file__, "serve", str(path)]
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
    limit = time.monotonic() + 120
    while not path.exists():
        if server.poll() is not None or time.monotonic() > limit:
            sys.exit(path.with_suffix(".log").read_text(encoding="utf-8"))
        time.sleep(0.1)


def stop(path: Path) -> None:
    """End it, by its recorded pid and start time, and wait until it has cleaned up."""
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))["keeper"]
        procfs.end(found["pid"], found["started"], grace=60)
    path.unlink(missing_ok=True)
    path.with_suffix(".log").unlink(missing_ok=True)


def _each(path: Path) -> list[tuple[str, Processes, Any]]:
    """Name, workers and a session of each host."""
    hosts = json.loads(path.read_text(encoding="utf-8"))["hosts"]
    found = []
    for name, host in hosts.items():
        session = psycopg2.connect(host=host["login_unix_socket"], port=host["login_port"], dbname=host["login_db"], user=host["login_user"])
        session.autocommit = True
        found.append((name, Processes(host["root"], guarded=False), session))
    return found


def break_all(path: Path) -> None:
    """Both workers of each host die on a file, two files have failed, and new workers have come up."""
    for name, workers, session in _each(path):
        faults, generation = Faults(session), HOSTS[name]
        workers.root.configure(work=600)
        orphans = {faults.pending("ingest", f"orphan{number}.fits") for number in (1, 2)}
        workers.start("ingest")
        while {row["id"] for row in faults.queues["ingest"].fetch("SELECT id FROM {table} WHERE inprogress")} != orphans:
            time.sleep(0.1)
        workers.kill("ingest")
        workers.root.configure(work=0.05)
        for number in (1, 2):
            # Now, not half a minute ago: the same file may have been ingested since, and the failure would be stale.
            faults.failed("ingest", f"failed{number}.fits", failed_age=0)
        if generation == "C":
            faults.starved_twin("ingest", "twin.fits")
        if generation == "B":
            faults.export_failed("stuck.fits")
        else:
            faults.in_progress("export", "stuck.fits")
        workers.start()
        session.close()


def look(path: Path) -> None:
    """For a check that does not use the collection."""
    found = {}
    for name, _workers, session in _each(path):
        with session.cursor() as cursor:
            rows = {}
            for queue in QUEUES:
                cursor.execute(f"SELECT to_jsonb(q) FROM {queue}queue q ORDER BY id")
                rows[queue] = [row for (row,) in cursor.fetchall()]
        served = {queue: dict(sorted(Counter(entry["filename"] for entry in ledger(session, queue)).items())) for queue in QUEUES}
        found[name] = {"rows": rows, "served": served}
        session.close()
    print(json.dumps(found))


def halt(path: Path) -> None:
    """The workers finish what they are on and stop."""
    for _name, workers, session in _each(path):
        workers.stop()
        session.close()


COMMANDS = {"serve": serve, "start": start, "break": break_all, "look": look, "halt": halt, "stop": stop}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](Path(sys.argv[2]))
