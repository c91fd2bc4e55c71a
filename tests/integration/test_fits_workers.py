# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Live workers: who is on a row, what is refused while they live, and that a repair beside them loses nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.fits import root as lab_root
from lab.fits.faults import Faults
from lab.fits.workers import Workers, processed_twice, wait_until_idle
from support import run_module, run_ok, run_refused


class Site:
    """A root with its workers, its database, and the options by which the modules see only this root."""

    def __init__(self, tmp_path: Path, server: Any, name: str, connection: dict[str, Any], generation: str, **behaviour: Any) -> None:
        self.root = lab_root.install(tmp_path / "host", generation, server.dsn(name, user="fitsdata"), **behaviour)
        self.session = server.connect(name, user="fitsdata")
        self.make = Faults(self.session)
        self.workers = Workers(self.root)
        self.options = connection | {
            "login_db": name,
            "scripts_dir": str(self.root.scripts),
            "log_dir": [str(self.root.log_dir)],
            "lockfile_dir": [str(self.root.lock_dir)],
        }
        self.fix = self.options | {"queue": "ingest", "journal_dir": str(tmp_path / "journal")}

    def info(self, **more: Any) -> Any:
        return run_ok("fits_queue_info", self.options | {"queues": ["ingest"]} | more)

    def rows(self, what: str = "*") -> list[Any]:
        with self.session.cursor() as cursor:
            cursor.execute(f"SELECT {what} FROM ingestqueue ORDER BY id")
            rows = cursor.fetchall()
        return list(rows)

    def busy(self, count: int = 1) -> None:
        """Wait until that many rows are in progress."""
        deadline = time.monotonic() + 20
        while sum(inprogress for (inprogress,) in self.rows("inprogress")) < count:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def site(tmp_path: Path, server: Any, database: Callable[..., str], connection: dict[str, Any]) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(generation: str, **behaviour: Any) -> Site:
        made.append(Site(tmp_path, server, database(generation), connection, generation, **behaviour))
        return made[-1]

    yield make
    for each in made:
        each.workers.kill()
        each.session.close()


def add_files(site: Site, count: int, prefix: str = "N20260102S") -> None:
    for number in range(1, count + 1):
        site.root.write_file(f"{prefix}{number:07}.fits")
    site.make.healthy("ingest", count, prefix)


@pytest.mark.parametrize("generation", ["A", "B", "C"])
def test_a_killed_worker_leaves_an_orphan_and_a_live_one_does_not(site: Callable[..., Site], generation: str) -> None:
    here = site(generation, work=30)
    add_files(here, 1)
    here.workers.define("ingest", 1)
    here.workers.start("ingest")
    here.busy()
    found = here.info()
    queue = found["queues"]["ingest"]
    assert (queue["in_progress"], queue["orphaned"], queue["workers_live"], queue["may_be_live"]) == (1, 0, 1, 1)
    evidence = found["evidence"]["workers"]["ingest"]
    assert evidence["unknown"] == []
    assert evidence["lock_files"][0]["state"] == "live"
    assert "N20260102S0000001.fits" in evidence["processes"][0]["last_log_line"]
    before = here.rows()

    refused = run_refused("fits_queue_reset", here.fix | {"filename": ["N20260102S0000001.fits"]})
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["live_worker"]
    assert "stop every worker" in refused["refusals"][0]["allow"]
    assert not run_ok("fits_queue_reset", here.fix)["changed"]
    assert here.rows() == before

    here.workers.kill("ingest")
    found = here.info()
    assert (found["queues"]["ingest"]["in_progress"], found["queues"]["ingest"]["orphaned"]) == (0, 1)
    assert found["evidence"]["workers"]["ingest"]["lock_files"][0]["state"] == "stale"
    assert run_ok("fits_queue_reset", here.fix)["changed"]
    here.root.configure(work=0)
    here.workers.start("ingest")
    assert wait_until_idle(here.session, "ingest")
    assert here.rows() == []


def test_more_rows_in_progress_than_workers_are_suspect(site: Callable[..., Site], tmp_path: Path) -> None:
    """Without their logs nobody can tell which row a live worker is on."""
    here = site("A", work=30)
    here.make.in_progress("ingest", "stuck.fits", age=86400)
    add_files(here, 1)
    here.workers.define("ingest", 2)
    here.workers.start("ingest")
    here.busy(2)
    blind = {"log_dir": [str(tmp_path / "none")]}
    queue = here.info(**blind)["queues"]["ingest"]
    assert (queue["in_progress"], queue["orphaned"], queue["must_stop_workers"]) == (2, 0, False)
    here.make.in_progress("ingest", "stuck2.fits", age=86400)
    found = here.info(**blind)
    assert found["queues"]["ingest"]["must_stop_workers"]
    assert "fits.ingest.suspect" in [finding["code"] for finding in found["findings"]]
    assert [refusal["guard"] for refusal in run_refused("fits_queue_reset", here.fix | blind)["refusals"]] == ["live_worker"]


def test_c_log_lines_tell_the_orphan_from_the_row_at_work(site: Callable[..., Site]) -> None:
    here = site("C", work=30)
    stuck = here.make.in_progress("ingest", "stuck.fits", age=86400)
    add_files(here, 1)
    here.workers.define("ingest", 1)
    here.workers.start("ingest")
    here.busy(2)
    deadline = time.monotonic() + 10
    while here.info()["queues"]["ingest"]["orphaned"] != 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    result = run_ok("fits_queue_reset", here.fix)
    assert [change["before"]["id"] for change in result["changes"]] == [stuck]


@pytest.mark.parametrize("generation", [pytest.param("A", marks=pytest.mark.thorough), pytest.param("B", marks=pytest.mark.thorough), "C"])
def test_an_orphan_beside_the_worker_that_systemd_started_again(site: Callable[..., Site], generation: str) -> None:
    """The everyday case: the worker was killed, a new one runs and says that the queue is empty, and the file never comes."""
    here = site(generation, work=30)
    add_files(here, 1)
    here.workers.define("ingest", 1)
    here.workers.start("ingest")
    here.busy()
    here.workers.kill("ingest")
    here.root.configure(work=0)
    here.workers.start("ingest")
    deadline = time.monotonic() + 20
    while "Nothing on queue" not in str(here.info()["evidence"]["workers"]["ingest"]["processes"][0]["last_log_line"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = here.info()
    queue = found["queues"]["ingest"]
    assert queue["must_stop_workers"]
    if generation == "B":  # says it once and then keeps silent, so that it cannot be told from one that took the row just now
        assert (queue["orphaned"], queue["in_progress"]) in [(1, 0), (0, 1)]
        time.sleep(2)
        assert here.info()["queues"]["ingest"]["in_progress"] == 1
        assert "fits.ingest.suspect" in [finding["code"] for finding in here.info()["findings"]]
        assert [refusal["guard"] for refusal in run_refused("fits_queue_reset", here.fix)["refusals"]] == ["live_worker"]
    else:
        assert (queue["orphaned"], queue["in_progress"]) == (1, 0)
        assert run_ok("fits_queue_reset", here.fix)["changed"]
        assert wait_until_idle(here.session, "ingest")
        assert here.rows() == []


def test_a_recycled_lock_file_is_told(site: Callable[..., Site]) -> None:
    here = site("C")
    here.make.pending("ingest", "N20200804S0091.fits")
    lock = here.root.lock_dir / "service_ingest_queue.py-1.lock"
    lock.write_text(f"{os.getpid()}\n")
    found = here.info()
    assert found["evidence"]["workers"]["ingest"]["lock_files"] == [{"path": str(lock), "pid": os.getpid(), "state": "recycled"}]
    assert {"fits.ingest.lock_recycled", "fits.ingest.no_worker"} <= {finding["code"] for finding in found["findings"]}


def test_a_worker_elsewhere_may_be_live(site: Callable[..., Site], server: Any) -> None:
    """A session without a name, from an address that is not this node's, could be a worker on another host."""
    here = site("C")
    here.make.in_progress("ingest", "N20200804S0091.fits")
    stranger = server.connect(here.options["login_db"], user="fitsdata", host="127.0.0.1", port=server.port)
    alike = here.options | {"login_unix_socket": None, "login_host": "127.0.0.1"}
    try:
        assert run_ok("fits_queue_info", alike)["queues"]["ingest"]["orphaned"] == 1
    finally:
        stranger.close()


def test_watch_sees_movement(site: Callable[..., Site]) -> None:
    here = site("C", work=0.05)
    add_files(here, 100)
    assert here.info(watch=0.6)["queues"]["ingest"]["moves"] is False
    here.workers.define("ingest", 1)
    here.workers.start("ingest")
    queue = here.info(watch=20)["queues"]["ingest"]
    assert (queue["moves"], queue["moves_reason"]) == (True, "rows changed while it was watched")


def test_a_worker_that_starts_between_plan_and_change_stops_everything(site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.rows import RowStore

    here = site("C", work=30)
    here.make.in_progress("ingest", "stuck.fits")
    here.workers.define("ingest", 1)
    lock = RowStore._lock

    def start_first(store: Any, changes: Any) -> Any:
        here.workers.start("ingest")
        return lock(store, changes)

    monkeypatch.setattr(RowStore, "_lock", start_first)
    before = here.rows()
    failed = run_module("fits_queue_reset", here.fix)
    assert failed["failed"]
    assert not failed["changed"]
    assert "while the queue was being mended; nothing was written" in failed["msg"]
    assert here.rows() == before


LOAD = [("C", 1_600), *(pytest.param(generation, 19_600, marks=pytest.mark.thorough) for generation in "ABC")]


@pytest.mark.parametrize(("generation", "count"), LOAD)
def test_four_workers_and_a_repair_in_a_loop(site: Callable[..., Site], generation: str, count: int) -> None:
    """Thousands of rows, some of them failed, orphaned or never poppable: each is processed exactly once."""
    here = site(generation, work=0, strict=False)
    here.make.healthy("ingest", count)
    here.make.failures("ingest", 200)
    for number in range(200):
        here.make.unpoppable("ingest", f"N20260105S{number:04}.fits", "after_null")
    wanted = {row for (row,) in here.rows("filename")}
    assert len(wanted) == count + 400
    with here.session.cursor() as cursor:
        cursor.execute("ANALYZE ingestqueue")  # as autovacuum would, so that the workers' pops use the indexes
    here.workers.define("ingest", 4)
    here.workers.start("ingest")
    rounds, changes = 0, 0
    deadline = time.monotonic() + 240
    while not (rounds > 3 and not here.rows("id")):
        assert time.monotonic() < deadline, here.info()["queues"]["ingest"]
        result = run_module("fits_queue_reset", here.fix | {"conditions": ["failed", "orphaned", "twin", "unpoppable"], "max_changes": 0, "settle": 0})
        assert not result.get("failed"), result["msg"]
        changes += sum(change["done"] for change in result["changes"])
        rounds += 1
    with here.session.cursor() as cursor:
        cursor.execute("SELECT filename, count(*) FROM lab_processed WHERE queue = 'ingest' GROUP BY filename")
        processed = dict(cursor.fetchall())
    assert set(processed) == wanted
    assert set(processed.values()) == {1}
    assert processed_twice(here.session, "ingest") == []
    assert changes == 400
