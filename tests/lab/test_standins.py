# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-ins of FITS Storage's programs behave as badly as the programs do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from lab.fits.site import Site

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is tested against it is tested all the time


def eventually(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait for something to become true."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


# -- failures -----------------------------------------------------------------------------------------------------------


def test_failed_ingest(make: Callable[..., Site]) -> None:
    old, new = make("A"), make("C")
    for site in (old, new):
        site.root.fail("S0001", "error", "no end card")
        row_id = site.faults.pending("ingest", "N20260110S0001.fits")
        done = site.faults.pending("ingest", "N20260110S0002.fits")
        assert site.run_once() == 0
        row = site.row(row_id)
        assert row is not None and row["inprogress"] is False and site.row(done) is None
    assert old.value("SELECT count(*) FROM queue_error WHERE queue = 'INGEST' AND error LIKE '%no end card%'") == 2
    assert old.value("SELECT failed FROM ingestqueue") is True
    assert new.value("SELECT error FROM ingestqueue WHERE fail_dt < 'now'::timestamp + interval '1 day'") == "no end card"
    new.root.heal()
    new.faults.pending("ingest", "N20260110S0001.fits")
    assert new.run_once() == 0
    assert new.value("SELECT count(*) FROM ingestqueue") == 0  # a success takes the failed row along


def test_success_keeps_the_failed_row_if_the_export_is_refused(make: Callable[..., Site]) -> None:
    site = make("C", destinations=("https://archive.example.org",))
    failed, _clean = site.faults.failed_twin("ingest", "N20260110S0003.fits")
    site.faults.pending("export", "N20260110S0003.fits")
    assert site.run_once() == 0
    assert site.row(failed) is not None


def test_failure_that_collides_loses_the_row(make: Callable[..., Site]) -> None:
    """A: the row is gone, no error is kept, and the second set_error() kills the process."""
    site = make("A")
    site.root.fail("S0001")
    failed, clean = site.faults.failed_twin("ingest", "N20260111S0001.fits")
    assert site.run_once() == 1
    assert site.row(failed) and site.row(clean) is None
    assert site.value("SELECT count(*) FROM queue_error") == 2


@pytest.mark.parametrize(
    ("generation", "state", "option"),
    [("A", (True, False, True), "--retry_mins=0"), ("B", (True, True, True), "--retry_mins=0"), ("C", (False, None, False), "--retry-delay=0")],
)
def test_failed_export(make: Callable[..., Site], generation: str, state: tuple[Any, ...], option: str) -> None:
    """A backs off and tries again, B clears one flag of two and never does, C un-fails everything."""
    site = make(generation)
    site.root.fail("S0001", "transfer")
    row_id = site.faults.pending("export", "N20260112S0001.fits")
    assert site.run_once("export") == 0
    row = site.row(row_id, "export") or {}
    assert (row["inprogress"], row.get("failed"), row.get("lastfailed") is not None) == state
    assert generation != "C" or row["error"].startswith("Failed to get destination file info")
    site.root.heal()
    site.workers.spawn("export", "9", option)
    if generation == "B":
        eventually(lambda: (site.row(row_id, "export") or {})["inprogress"] is False)
        assert (site.row(row_id, "export") or {})["failed"] is True
    else:
        eventually(lambda: site.row(row_id, "export") is None)


def test_failing_post_delays_the_destination(make: Callable[..., Site]) -> None:
    site = make("C")
    site.root.fail("S0002", "http500")
    ids = [site.faults.pending("export", f"N20260112S000{n}.fits") for n in (1, 2)]
    assert site.run_once("export") == 0
    ahead = "SELECT bool_and(after > (now() AT TIME ZONE 'UTC') + interval '4 minutes') FROM exportqueue"
    assert site.value(ahead) is True and all(site.row(i, "export") for i in ids)


def test_unsafe_resets_of_a_live_row(make: Callable[..., Site]) -> None:
    """C: deleting the row crashes the service and hides the file; clearing inprogress makes two present diskfiles."""
    site = make("C", work=2.0)
    present = "SELECT count(*) FROM diskfile WHERE present AND canonical AND filename = %s"
    site.faults.diskfile("N20260113S0001.fits")
    row_id = site.faults.pending("ingest", "N20260113S0001.fits")
    worker = site.workers.spawn("ingest", "1")
    eventually(lambda: site.value(present, "N20260113S0001.fits") == 0)
    site.faults.queues["ingest"].execute("DELETE FROM {table} WHERE id = %(id)s", id=row_id)
    assert site.workers.wait(worker) == 1
    assert site.value(present, "N20260113S0001.fits") == 0

    site.workers.define("ingest", 2, "--oneshot")
    workers = site.workers.start("ingest")
    row_id = site.faults.pending("ingest", "N20260113S0002.fits")
    eventually(lambda: (site.row(row_id) or {})["inprogress"])
    site.faults.queues["ingest"].execute("UPDATE {table} SET inprogress = false WHERE id = %(id)s", id=row_id)
    assert sorted(site.workers.wait(worker) or 0 for worker in workers) == [0, 1]
    assert site.value(present, "N20260113S0002.fits") == 2


def test_strict_files(make: Callable[..., Site]) -> None:
    for generation, left in (("A", 0), ("C", 1)):
        site = make(generation, strict=True)
        site.root.write_file("N20260114S0001.fits")
        site.faults.pending("ingest", "N20260114S0001.fits")
        site.faults.pending("ingest", "N20260114S0002.fits")
        assert site.run_once() == 0
        assert site.value("SELECT count(*) FROM ingestqueue") == left
        assert site.value("SELECT filename FROM diskfile WHERE present") == "N20260114S0001.fits"


# -- scripts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["A", "C"])
def test_add_to_ingest_queue_is_awkward(make: Callable[..., Site], generation: str) -> None:
    site = make(generation)

    def add(*arguments: str, **environment: str) -> tuple[int, int]:
        done = site.script("add_to_ingest_queue.py", *arguments, **environment)
        return done.returncode, site.value("SELECT count(*) FROM ingestqueue")

    today = time.strftime("%Y%m%d", time.gmtime())
    for name in (f"N{today}S0001.fits", "N20000101S0001.fits", "tmp_N1.fits", "N2_tiled.fits", "notes.txt", "N3xfits"):
        site.root.write_file(name)
    assert add("--file-re=nothing like it") == (0, 0)
    assert add("--file-re=twentyday") == (0, 1)
    assert add("--file-re=N3") == (0, 2)  # ".fits" is a pattern, too
    assert add("--filename=missing_on_disk.fits") == (0, 3)
    assert add("--filename=missing_on_disk.fits", "--force") == (0, 3)
    assert site.value("SELECT bool_or(force) FROM ingestqueue") is False
    assert add("--filename=notes.txt") == (0, 3)
    assert add("--path=nowhere") == (1, 3)
    assert add("--file-re=(") == (1, 3)
    assert add("--filename=x.fits", "--newfiles=1") == (1, 3)
    assert add() == (0, 4)
    site.value("UPDATE ingestqueue SET inprogress = true WHERE filename LIKE 'missing%' RETURNING 1")
    assert add("--filename=missing_on_disk.fits") == (0, 4 if generation == "A" else 5)
    assert add("--filename=y.fits", PYTHONPATH="")[0] == 1


def test_new_generation_without_its_configuration_does_nothing_silently(make: Callable[..., Site]) -> None:
    site = make("C")
    (site.root.path / "opt/FitsStorageConfigurations/fits_storage.conf").unlink()
    assert site.script("add_to_ingest_queue.py", "--filename=a.fits", HOME="/nonexistent").returncode == 0
    assert site.value("SELECT count(*) FROM ingestqueue") == 0


@pytest.mark.parametrize("generation", ["A", "C"])
def test_add_to_export_queue(make: Callable[..., Site], generation: str) -> None:
    site = make(generation)
    site.faults.diskfile("N20260115S0001.fits.bz2")
    site.faults.diskfile("N20260115S0002.fits", present=False)
    site.faults.diskfile("20260115_GMOS_obslog.txt", header=False)
    selections = ("filename=N20260115S0001.fits", "filename=N20260115S0002.fits", "filename=20260115_GMOS_obslog.txt")
    for selection in (*selections, *selections):
        arguments = (f"--selection={selection}", "--destination=https://archive.example.org")
        assert site.script("add_to_export_queue.py", *arguments).returncode == 0
    assert site.value("SELECT array_agg(filename) FROM exportqueue") == ["N20260115S0001.fits.bz2"]
    assert site.script("add_to_export_queue.py", "--selection=present").returncode == 1
