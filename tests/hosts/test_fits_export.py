# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fits_export: a FITS server of either era, the archive, and which leg of the way is broken."""

from __future__ import annotations

import re
from typing import Any

import pytest
from lab.fits.sample_files import sample
from lab.hosts.fits_host import FitsHost
from operating import MAINLY_A, Operator
from play import Run

PLAYBOOK = "fits_export"
NAME = "N20260101S0500.fits"
QUICK = {"fits_watch": 2, "fits_move_timeout": 40, "fits_unit_min_uptime": 1}
ALL = "fits-service_export_queue*"


def standing(run: Run, host: FitsHost) -> set[str]:
    """Codes of what is wrong on one host."""
    return {
        finding["code"]
        for finding in run.report["findings"]
        if not finding["cleared"] and finding["severity"] not in ("ok", "info") and host.host.name in str(finding["hosts"])
    }


def arrive(fits: FitsHost, name: str = NAME) -> None:
    """The file is ingested, and queued for export."""
    fits.file(name, sample())
    fits.rows("pending", "ingest", name)
    fits.host.wait_for(lambda: fits.diskfile(name), "it is ingested")


def play(operator: Operator, *hosts: FitsHost, **variables: Any) -> Run:
    return operator.play(PLAYBOOK, *hosts, fits_filename=[NAME], **QUICK, **variables)


@pytest.mark.step("F20", "F21", "F25")
@MAINLY_A
def test_a_file_that_arrived(operator: Operator, fits: FitsHost, archive: FitsHost) -> None:
    arrive(fits)
    archive.host.wait_for(lambda: archive.jsonfilelist(NAME), "the archive has it", 60)
    fits.wait_gone("export", NAME)
    archive.wait_gone("ingest", NAME + ".bz2")
    run = play(operator, fits, archive, fits_repair=True)
    assert (run.rc, run.changed) == (0, 0)
    assert standing(run, fits) | standing(run, archive) == set()
    assert len(re.findall(rf"{NAME}, [\w-]+: arrived", run.output)) == 2


@pytest.mark.step("F20", "F21", "F25")
@MAINLY_A
@pytest.mark.thorough
def test_export_does_not_run(operator: Operator, fits: FitsHost, archive: FitsHost) -> None:
    fits.systemctl("stop", ALL)
    arrive(fits)
    found = play(operator, fits, archive)
    assert {"fits.export.unit.inactive", "fits.export.workers.missing"} <= standing(found, fits)
    assert f"{NAME}, {fits.host.name}: waits for export" in " ".join(found.output.split())
    mended = play(operator, fits, fits_repair=True)
    assert mended.rc == 0
    archive.host.wait_for(lambda: archive.jsonfilelist(NAME), "the archive has it", 60)
    assert play(operator, fits, fits_repair=True).changed == 0


@pytest.mark.step("F20")
@pytest.mark.thorough
def test_the_archive_ingests_nothing(operator: Operator, fits_c: FitsHost, archive: FitsHost) -> None:
    """It takes the file, and leaves it on its own queue."""
    archive.systemctl("stop", "fits-service_ingest_queue*")
    arrive(fits_c)
    archive.wait_row("ingest", NAME + ".bz2")
    found = play(operator, fits_c, archive)
    assert "fits.ingest.unit.inactive" in standing(found, archive)
    assert not {code for code in standing(found, fits_c) if not code.startswith("fits.file.")}
    assert f"{NAME}, archive: waits for ingest" in " ".join(found.output.split())
    mended = play(operator, fits_c, archive, fits_repair=True)
    assert mended.rc == 0
    archive.host.wait_for(lambda: archive.jsonfilelist(NAME), "the archive has it", 60)


@pytest.mark.step("F20", "F21")
def test_the_archive_refuses_uploads(operator: Operator, fits: FitsHost, archive: FitsHost) -> None:
    """In A the row backs off, in progress and not failed, and is none to be reset; in C it failed, and is tried again."""
    archive.web("500", "upload_file")
    arrive(fits)
    failed = "error IS NOT NULL" if fits.new else "lastfailed IS NOT NULL"
    fits.host.wait_for(lambda: fits.sql(f"SELECT 1 FROM exportqueue WHERE {failed}"), "the export fails", 60)
    found = play(operator, fits)
    codes = {finding["code"] for finding in found.report["findings"]}
    assert {"fits.file.export_backoff", "fits.file.export_failed"} & codes
    if not fits.new:
        assert "fits.file.export_backoff" in codes
        assert play(operator, fits, fits_repair=True).changes == []


@pytest.mark.step("F22")
@pytest.mark.thorough
def test_an_export_that_was_cut_off(operator: Operator, fits: FitsHost, archive: FitsHost) -> None:
    """The service was killed in the middle of an upload: the row stays in progress for ever."""
    archive.web("hang", "upload_file")
    arrive(fits)
    fits.wait_row("export", NAME, inprogress=True)
    fits.wait_log(fits.log_file("export"), NAME)
    fits.systemctl("kill", "--signal=KILL", fits.unit("export"))
    archive.web("ok")
    fits.host.wait_for(lambda: fits.host.active(fits.unit("export")), "systemd starts the worker again", 25)
    found = play(operator, fits)
    assert {code for code in standing(found, fits) if code.startswith("fits.export.")} & {"fits.export.orphaned", "fits.export.suspect"}
    mended = play(operator, fits, fits_repair=True)
    assert [change["action"] for change in mended.changes] == ["reset"]
    archive.host.wait_for(lambda: archive.jsonfilelist(NAME), "the archive has it", 60)
    fits.wait_gone("export", NAME)
    assert play(operator, fits, fits_repair=True).changed == 0


@pytest.mark.step("F22")
def test_a_repair_is_predicted_and_taken_back(operator: Operator, fits: FitsHost) -> None:
    fits.systemctl("stop", ALL)
    row = fits.rows("in_progress", "export", NAME)
    options = {"peer_user": "fitsdata", "queue": "export"}
    before = fits.sql("SELECT * FROM exportqueue")
    planned = operator.module(fits, "fits_queue_reset", check=True, **options)
    mended = operator.module(fits, "fits_queue_reset", **options)
    assert mended["plan_sha256"] == planned["plan_sha256"]
    assert fits.sql(f"SELECT inprogress FROM exportqueue WHERE id = {row}") == [{"inprogress": False}]
    assert operator.module(fits, "fits_queue_reset", **options)["changed"] is False
    assert operator.module(fits, "runbook_undo", undo_id=mended["undo_id"], peer_user="fitsdata")["changed"]
    assert fits.sql("SELECT * FROM exportqueue") == before
