# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoke tests of the laboratory: if one of these fails, do not trust what the other tests say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from lab import procfs
from lab.fits import ctl, schema
from lab.fits.faults import AWKWARD
from lab.fits.site import Site
from lab.fits.workers import ledger, processed_twice, wait_until_idle
from lab.pg import Postgres

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is tested against it is tested all the time

TESTS = Path(__file__).resolve().parents[1]


def eventually(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


# -- the server ---------------------------------------------------------------------------------------------------------


def test_server_leaves_nothing_behind() -> None:
    with Postgres(major=18, timezone="Pacific/Honolulu") as server:
        pid, started, work = server.pid, procfs.start_time(server.pid or 0), server.work
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW timezone")
            assert cursor.fetchone() == ("Pacific/Honolulu",)
        connection.close()
        server.kill()
        server.start()
    assert pid is not None
    assert not procfs.is_running(pid, started)
    assert not work.exists()


def test_server_of_a_killed_run_is_cleaned_up() -> None:
    code = "import os, signal\nfrom lab.pg import Postgres\ns = Postgres().start()\nprint(s.pid, s.work, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run([sys.executable, "-c", code], cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    pid, work = done.stdout.split()
    eventually(lambda: not Path(work).exists() and procfs.start_time(int(pid)) is None)


def test_passwords_and_tls() -> None:
    with Postgres(auth="scram-sha-256", password="wrong horse", tls="require") as server:
        wanted: dict[str, Any] = {"host": "localhost", "port": server.tls_port, "user": "postgres", "dbname": "postgres", "sslrootcert": server.ca_cert}
        psycopg2.connect(**wanted, sslmode="verify-full", password="wrong horse").close()
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(**wanted, sslmode="verify-full", password="x")
        with pytest.raises(psycopg2.OperationalError, match="no encryption"):
            psycopg2.connect(**wanted, sslmode="disable", password="wrong horse")


# -- schema and faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("generation", "option", "expected"),
    [
        ("A", "", ["filename_inprogress_failed", "filename_path_destination", "filename_inprogress_failed", "filename_path"]),
        ("A", "lagging", ["filename_inprogress_failed", "filename_inprogress_failed"]),
        ("B", "", ["filename_inprogress_failed_destination", "filename_inprogress_failed", "filename_path"]),
        ("C", "", ["filename_inprogress_fail_dt_destination", "filename_path_inprogress_fail_dt"]),
        ("C", "lagging", []),
        ("C", "mixed", ["filename_inprogress_failed_destination", "filename_path_inprogress_fail_dt"]),
    ],
)
def test_constraints(make: Callable[..., Site], generation: str, option: str, expected: list[str]) -> None:
    site = make(generation, **({option: True} if option else {}))
    found = site.value(
        "SELECT array_agg(replace(replace(conname::text, conrelid::regclass || '_', ''), '_key', '')"
        " ORDER BY conrelid::regclass::text, conname::text) FROM pg_constraint"
        " WHERE contype = 'u' AND conrelid::regclass::text IN ('ingestqueue', 'exportqueue')"
    )
    assert (found or []) == expected


@pytest.mark.parametrize("generation", ["A", "B", "C", "mixed"])
def test_every_fault_can_be_made(make: Callable[..., Site], generation: str) -> None:
    site = make("C", mixed=True) if generation == "mixed" else make(generation)
    faults = site.faults
    for queue, table in faults.queues.items():
        assert set(faults.awkward(queue)) == set(AWKWARD)
        for method in ("pending", "in_progress", "failed", "stale"):
            getattr(faults, method)(queue, f"N20260105S0001_{method}.fits")
        if (table.generation, queue) != ("A", "export"):
            faults.deferred(queue, "N20260105S0002.fits")
        for variant in faults.unpoppable_variants(queue):
            faults.unpoppable(queue, f"N20260105S0003_{variant}.fits", variant)
        faults.starved_twin(queue, "N20260105S0004.fits")
        faults.failed_twin(queue, "N20260105S0005.fits")
        for bulk in (faults.healthy, faults.orphans, faults.failures):
            first, last = bulk(queue, 1000)
            assert last - first == 999
        if table.generation == "C":
            assert len(set(faults.failed_many(queue, "N20260105S0006.fits", 4))) == 4
    if faults.queues["export"].generation == "A":
        faults.back_off("N20260105S0007.fits")
    if faults.queues["export"].generation == "B":
        faults.export_failed("N20260105S0008.fits", "tt")
        faults.export_failed("N20260105S0009.fits", "ft")
    faults.two_present("N20260105S0010.fits")


def test_lagging_database_takes_twins_at_one_path(make: Callable[..., Site]) -> None:
    assert make("A", lagging=True).faults.starved_twin("ingest", "a.fits", same=True)
    with pytest.raises(psycopg2.IntegrityError):
        make("A").faults.starved_twin("ingest", "a.fits", same=True)


# -- services -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", schema.GENERATIONS)
def test_four_workers_take_every_row_once(make: Callable[..., Site], generation: str) -> None:
    site = make(generation)
    site.faults.healthy("ingest", 500)
    site.faults.healthy("export", 100)
    site.workers.define("ingest", 4)
    site.workers.define("export", 2)
    assert len(site.workers.start()) == 6
    for queue, count in (("ingest", 500), ("export", 100)):
        assert wait_until_idle(site.connection, queue)
        assert len(ledger(site.connection, queue)) == count
        assert processed_twice(site.connection, queue) == []
    assert len({entry["pid"] for entry in ledger(site.connection, "ingest")}) > 1
    assert site.value("SELECT count(*) FROM diskfile WHERE present AND canonical") == 500
    assert site.workers.stop() == []
    assert not list(site.root.lock_dir.glob("*.lock"))


@pytest.mark.parametrize("generation", schema.GENERATIONS)
def test_kill_leaves_an_orphan_and_a_stale_lock(make: Callable[..., Site], generation: str) -> None:
    site = make(generation, work=60)
    row_id = site.faults.pending("ingest", "N20260106S0001.fits")
    site.workers.define("ingest")
    (worker,) = site.workers.start("ingest")
    eventually(lambda: (site.row(row_id) or {})["inprogress"])
    site.workers.kill()
    assert site.workers.lock_file(worker).read_text() == f"{worker['pid']}\n"
    site.root.configure(work=0)
    (heir,) = site.workers.start("ingest")
    assert site.workers.lock_file(heir).read_text() == f"{heir['pid']}\n"
    later = site.faults.pending("ingest", "N20260106S0002.fits")
    eventually(lambda: site.row(later) is None)
    assert (site.row(row_id) or {})["inprogress"] is True
    assert wait_until_idle(site.connection, "ingest", stuck=[row_id])


def test_lock_of_a_living_process_is_respected_with_exit_0(make: Callable[..., Site]) -> None:
    site = make("C")
    lock = site.root.lock_dir / "service_ingest_queue.py-1.lock"
    lock.write_text(f"{os.getpid()}\n")
    worker = site.workers.spawn("ingest", "1")
    assert site.workers.wait(worker) == 0
    assert "which appears to be valid" in site.workers.log_file(worker).read_text()
    assert lock.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(("generation", "queue"), [("A", "ingest"), ("C", "ingest"), ("B", "export"), ("C", "export")])
def test_stuck_row_starves_its_twin(make: Callable[..., Site], generation: str, queue: str) -> None:
    site = make(generation)
    stuck, clean = site.faults.starved_twin(queue, "N20260107S0001.fits")
    assert site.run_once(queue) == 0
    assert site.row(clean, queue)
    site.faults.queues[queue].execute("DELETE FROM {table} WHERE id = %(id)s", id=stuck)
    assert site.run_once(queue) == 0
    assert site.row(clean, queue) is None


@pytest.mark.parametrize("generation", ["A", "C"])
def test_row_lock_of_a_client(make: Callable[..., Site], server: Postgres, generation: str) -> None:
    """A stalls as a whole until the client lets go; C does not see the row."""
    site = make(generation)
    locked = site.faults.pending("ingest", "N20260108S0002.fits")
    other = site.faults.pending("ingest", "N20260108S0001.fits")
    client = server.connect(site.database, autocommit=False)
    client.cursor().execute("SELECT 1 FROM ingestqueue WHERE id = %s FOR UPDATE", (locked,))
    site.workers.define("ingest")
    site.workers.start()
    if generation == "A":
        time.sleep(0.5)
        assert site.row(other)
    else:
        eventually(lambda: site.row(other) is None)
    assert site.row(locked)
    client.rollback()
    assert wait_until_idle(site.connection, "ingest")
    client.close()


def test_sigterm_finishes_the_file(make: Callable[..., Site]) -> None:
    site = make("B", work=1.5)
    row_id = site.faults.pending("ingest", "N20260109S0001.fits")
    site.faults.pending("ingest", "N20260109S0000.fits")
    site.workers.define("ingest")
    (worker,) = site.workers.start()
    eventually(lambda: (site.row(row_id) or {})["inprogress"])
    assert site.workers.stop() == []
    assert site.workers.wait(worker) == 0
    assert [entry["row_id"] for entry in ledger(site.connection)] == [row_id]


def test_ctl_by_path(make: Callable[..., Site], capsys: pytest.CaptureFixture[str]) -> None:
    site = make("C")
    site.workers.define("ingest", 2)

    def by_path(action: str) -> int:
        return subprocess.run([sys.executable, ctl.__file__, str(site.root.path), action, "ingest"], check=False).returncode

    assert [by_path(action) for action in ("status", "start", "status", "stop", "status", "stop")] == [3, 0, 0, 0, 3, 0]
    assert ctl.main([str(site.root.path), "status", "export"]) == 3
    assert capsys.readouterr().out == ""
