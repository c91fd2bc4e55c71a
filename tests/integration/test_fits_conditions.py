# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every condition of every generation on a real server: made, found, predicted, mended, verified by another session, undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lab.fits.faults import Faults
from lab.fits.standin.queues import CANDIDATES, Queue
from lab.fits.workers import generation_of
from support import run_ok

GENERATIONS = ("A", "B", "C")
QUEUES = ("ingest", "export")
ALL = ["failed", "orphaned", "twin", "unpoppable", "stale"]


class Host:
    """One database, seen by the modules and by a session of its own."""

    def __init__(self, server: Any, name: str, options: dict[str, Any], queue: str) -> None:
        self.name = name
        self.queue = queue
        self.options = options | {"login_db": name}
        self.session = server.connect(name, user="fitsdata")
        self.make = Faults(self.session)

    def info(self, **more: Any) -> dict[str, Any]:
        found = run_ok("fits_queue_info", self.options | {"queues": [self.queue]} | more)
        queue: dict[str, Any] = found["queues"][self.queue]
        return queue

    def counts(self) -> dict[str, int]:
        found = self.info()
        names = ("pending", "deferred", "in_progress", "orphaned", "failed", "stale", "starved", "unpoppable")
        assert sum(found[name] for name in names) == found["total"]
        return {name: found[name] for name in names if found[name]}

    def poppable(self) -> set[int]:
        """Ids that a service of this generation would take now, by its own rule."""
        table = Queue(self.session, generation_of(self.session, self.queue), self.queue)
        rule = CANDIDATES[table.generation, self.queue]
        ids = {row["id"] for row in table.fetch("SELECT id FROM {table} WHERE " + rule, **table._now())}
        table.commit()
        return ids

    def dump(self) -> list[Any]:
        with self.session.cursor() as cursor:
            cursor.execute(f"SELECT to_jsonb(q) FROM {self.queue}queue q ORDER BY id")
            return [row for (row,) in cursor.fetchall()]

    def ids(self) -> set[int]:
        return {row["id"] for row in self.dump()}


PAIRS = [
    pytest.param((generation, queue), id=f"{generation}-{queue}", marks=[pytest.mark.thorough] if generation == "B" else [])
    for generation in GENERATIONS
    for queue in QUEUES
]


@pytest.fixture(params=PAIRS)
def host(request: Any, server: Any, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any], journal_dir: str) -> Any:
    generation, queue = request.param
    made = Host(server, database(generation), connection | places, queue)
    made.options_fix = made.options | {"queue": queue, "journal_dir": journal_dir, "settle": 0}
    yield made
    made.session.close()


def repair_and_undo(host: Host, conditions: list[str]) -> dict[str, Any]:
    """Check mode, real run, second run and undo, each held against the table as another session sees it."""
    before = host.dump()
    options = host.options_fix | {"conditions": conditions}
    predicted = run_ok("fits_queue_reset", options, check=True, diff=True)
    assert host.dump() == before
    real = run_ok("fits_queue_reset", options, diff=True)
    assert predicted["changed"]
    assert real["changed"]
    assert [dict(change, done=None) for change in predicted["changes"]] == [dict(change, done=None) for change in real["changes"]]
    assert not any(change["done"] for change in predicted["changes"])
    assert all(change["done"] for change in real["changes"])
    assert (predicted["diff"], predicted["plan_sha256"]) == (real["diff"], real["plan_sha256"])
    mended = host.dump()
    again = run_ok("fits_queue_reset", options)
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)
    assert host.dump() == mended
    undo = {name: host.options[name] for name in ("login_unix_socket", "login_port", "login_user")}
    undo |= {"undo_id": real["undo_id"], "journal_dir": host.options_fix["journal_dir"]}
    assert len(run_ok("runbook_undo", undo, check=True)["changes"]) == len(real["changes"])
    assert run_ok("runbook_undo", undo)["changed"]
    assert host.dump() == before
    assert not run_ok("runbook_undo", undo)["changed"]
    run_ok("fits_queue_reset", options)
    assert host.dump() == mended
    return real


def test_healthy_queue_is_left_alone(host: Host) -> None:
    ready = host.make.pending("ingest" if host.queue == "ingest" else "export", "N20200804S0091.fits")
    assert host.counts() == {"pending": 1}
    assert host.poppable() == {ready}
    result = run_ok("fits_queue_reset", host.options_fix | {"conditions": ALL})
    assert (result["changed"], result["changes"]) == (False, [])


def test_orphan(host: Host) -> None:
    row = host.make.in_progress(host.queue, "N20200804S0091.fits")
    assert host.counts() == {"orphaned": 1}
    assert host.poppable() == set()
    repair_and_undo(host, ["orphaned"])
    assert host.counts() == {"pending": 1}
    assert host.poppable() == {row}


def test_failed_with_its_error(host: Host) -> None:
    row = host.make.failed(host.queue, "N20200804S0091.fits.bz2")
    found = host.info(filename=["N20200804S0091.fits"])
    assert found["failed"] == 1
    entry = found["entries"][0]
    stored = [entry["error"]] if entry["error"] else [error["error"] for error in entry["queue_errors"]]
    assert len(stored) == 1
    assert "no end card found" in stored[0]
    assert entry["failed_at"] is not None
    repair_and_undo(host, ["failed"])
    assert host.poppable() == {row}


def test_deferred_is_normal(host: Host) -> None:
    if host.queue == "export" and host.make.queues["export"].generation == "A":
        host.make.back_off("N20200804S0091.fits")
    else:
        host.make.deferred(host.queue, "N20200804S0091.fits")
    assert host.counts() == {"deferred": 1}
    assert not run_ok("fits_queue_reset", host.options_fix | {"conditions": ALL})["changed"]


def test_stale_failure(host: Host) -> None:
    if host.queue == "export":
        pytest.skip("a later ingest says nothing about an export")
    host.make.stale("ingest", "N20200804S0091.fits")
    host.make.failed("ingest", "N20200804S0092.fits", failed_age=60, age=90)
    host.make.diskfile("N20200804S0092.fits", age=3600)  # an ingest before the failure proves nothing
    assert host.counts() == {"stale": 1, "failed": 1}
    repair_and_undo(host, ["stale"])
    assert host.counts() == {"failed": 1}


def test_twins(host: Host) -> None:
    stuck, clean = host.make.starved_twin(host.queue, "N20200804S0091.fits")
    assert host.counts() == {"orphaned": 1, "starved": 1}
    assert host.poppable() == set()
    left = run_ok("fits_queue_reset", host.options_fix)["left"]
    assert [row["id"] for row in left] == [stuck]
    result = repair_and_undo(host, ["twin"])
    assert [change["action"] for change in result["changes"]] == ["remove"]
    assert host.counts() == {"pending": 1}
    assert host.poppable() == {clean}


def test_failed_twin(host: Host) -> None:
    failed, clean = host.make.failed_twin(host.queue, "N20200804S0091.fits")
    assert host.counts() == {"failed": 1, "pending": 1}
    assert host.poppable() == {clean}
    same_work = len({(row.get("path"), row.get("destination")) for row in host.dump()}) == 1
    if same_work:
        repair_and_undo(host, ALL)
        assert host.ids() == {clean}
    else:  # other work: it waits until the clean one has been served
        result = run_ok("fits_queue_reset", host.options_fix | {"conditions": ALL})
        assert [row["id"] for row in result["left"]] == [failed]
        with host.session.cursor() as cursor:
            cursor.execute(f"DELETE FROM {host.queue}queue WHERE id = %s", (clean,))
        repair_and_undo(host, ALL)
        assert host.poppable() == {failed}


def test_unpoppable(host: Host) -> None:
    rows = {host.make.unpoppable(host.queue, f"N20200804S{n:04}.fits", variant) for n, variant in enumerate(host.make.unpoppable_variants(host.queue))}
    assert host.counts() == {"unpoppable": len(rows)}
    assert host.poppable() == set()
    repair_and_undo(host, ["unpoppable"])
    assert host.poppable() == rows


def test_c_failures_of_one_file_do_not_collide(host: Host) -> None:
    if host.make.queues[host.queue].generation != "C":
        pytest.skip("only C keeps several failed rows of one file")
    rows = host.make.failed_many(host.queue, "N20200804S0091.fits")
    repair_and_undo(host, ["failed"])
    assert host.ids() == {rows[-1]}


@pytest.mark.parametrize("state", ["tt", "ft"])
def test_b_export_failures(host: Host, state: str) -> None:
    if (host.make.queues[host.queue].generation, host.queue) != ("B", "export"):
        pytest.skip("only B's export marks failures like this")
    row = host.make.export_failed("N20200804S0091.fits", state)
    assert host.counts() == {"failed": 1}
    repair_and_undo(host, ["failed"])
    assert host.poppable() == {row}


def test_awkward_names(host: Host) -> None:
    rows = host.make.awkward(host.queue)
    found = {entry["filename"] for entry in host.info()["entries"]}
    assert found == set(rows)
    for name in rows:
        only = run_ok("fits_queue_reset", host.options_fix | {"filename": [name]}, check=True)
        assert [change["before"]["filename"] for change in only["changes"]] == [name]
    repair_and_undo(host, ["failed"])
    assert host.poppable() == set(rows.values())


def test_everything_at_once(host: Host) -> None:
    host.make.in_progress(host.queue, "orphan.fits")
    host.make.failed(host.queue, "failed.fits")
    host.make.starved_twin(host.queue, "twin.fits")
    for n, variant in enumerate(host.make.unpoppable_variants(host.queue)):
        host.make.unpoppable(host.queue, f"never{n}.fits", variant)
    host.make.healthy(host.queue, 50)
    if host.queue == "ingest":
        host.make.stale("ingest", "stale.fits")
    repair_and_undo(host, ALL)
    assert set(host.counts()) == {"pending"}
    assert host.poppable() == host.ids()


def test_a_read_only_role_is_enough_to_look(host: Host) -> None:
    host.make.starved_twin(host.queue, "N20200804S0091.fits")
    as_owner = host.info()
    as_reader = host.info(login_user="fits_ro")
    ageless = [{name: value for name, value in entry.items() if name != "age"} for entry in as_reader["entries"]]
    assert ageless == [{name: value for name, value in entry.items() if name != "age"} for entry in as_owner["entries"]]
    assert {name: as_reader[name] for name in ("orphaned", "starved")} == {"orphaned": 1, "starved": 1}


@pytest.mark.parametrize("variant", [{"lagging": True}, {"lagging": True, "mixed": True}, {"mixed": True}])
def test_lagging_and_mixed_schemas(
    variant: dict[str, bool], server: Any, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any], journal_dir: str
) -> None:
    for generation in ("C",) if "mixed" in variant else GENERATIONS:
        for queue in QUEUES:
            host = Host(server, database(generation, **variant), connection | places, queue)
            host.options_fix = host.options | {"queue": queue, "journal_dir": journal_dir, "settle": 0, "conditions": ALL}
            found = run_ok("fits_queue_info", host.options)
            assert found["schema_generation"] == ("mixed" if "mixed" in variant else generation)
            lag = {finding["subject"] for finding in found["findings"] if finding["code"].endswith("constraints_lag")}
            assert bool(lag) == ("lagging" in variant)
            same = "lagging" in variant and not (queue == "export" and generation in "AB") and generation != "B"
            host.make.starved_twin(queue, "twin.fits", same=same or None)
            host.make.failed(queue, "failed.fits")
            repair_and_undo(host, ALL)
            assert host.poppable() == host.ids()
            host.session.close()
