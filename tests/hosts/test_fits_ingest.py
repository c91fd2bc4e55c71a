# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fits_ingest on hosts of both eras: services, the jobs that bring files, the queue, and single files."""

from __future__ import annotations

import datetime

import pytest
from lab.fits.sample_files import sample
from lab.hosts.fits_host import DATAFLOW, SCRIPTS, FitsHost
from operating import MAINLY_A, Operator
from play import Run

PLAYBOOK = "fits_ingest"
TODAY = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
OLD = "N20200804S0091.fits"
QUICK = {"fits_watch": 2, "fits_move_timeout": 40, "fits_unit_min_uptime": 1}
COPY = "fits-copy_from_dhs.service"
ALL = "fits-service_ingest_queue*"


def verdicts(run: Run) -> set[str]:
    """What was found of the files, by the last part of the code."""
    return {finding["code"].rpartition(".")[2] for finding in run.report["findings"] if finding["code"].startswith("fits.file.") and not finding["cleared"]}


@pytest.mark.step("F11", "F13", "F15", "F16", "F25")
def test_all_is_well(operator: Operator, fits: FitsHost) -> None:
    run = operator.play(PLAYBOOK, fits, fits_repair=True, **QUICK)
    assert (run.rc, run.changed, run.standing) == (0, 0, set())


# -- services ---------------------------------------------------------------------------------------------------------------


@pytest.mark.step("F15", "F25")
@pytest.mark.thorough
def test_ingest_does_not_run(operator: Operator, fits: FitsHost) -> None:
    fits.systemctl("stop", ALL)
    found = operator.play(PLAYBOOK, fits, **QUICK)
    assert {"fits.ingest.unit.inactive", "fits.ingest.workers.missing"} <= found.standing
    planned = operator.play(PLAYBOOK, fits, check=True, fits_repair=True, **QUICK)
    assert not fits.pids(fits.unit("ingest"))
    mended = operator.play(PLAYBOOK, fits, fits_repair=True, **QUICK)
    assert (mended.plans, mended.changes) == (planned.plans, planned.changes)
    assert fits.pids(fits.unit("ingest"))
    fits.file(OLD, sample())
    fits.rows("pending", "ingest", OLD)
    fits.host.wait_for(lambda: fits.diskfile(OLD), "files are ingested again")
    again = operator.play(PLAYBOOK, fits, fits_repair=True, **QUICK)
    assert (again.rc, again.changed, again.standing) == (0, 0, set())


@pytest.mark.step("F15")
@pytest.mark.thorough
def test_a_unit_that_was_disabled_is_not_started(operator: Operator, fits_a: FitsHost) -> None:
    """Somebody took the second ingest service out on purpose; only the first one, which is down, is started."""
    second = fits_a.unit("ingest", 2)
    fits_a.systemctl("stop", ALL)
    fits_a.systemctl("disable", second)
    try:
        mended = operator.play(PLAYBOOK, fits_a, fits_repair=True, **QUICK)
    finally:
        fits_a.systemctl("enable", second)
    assert [change["subject"] for change in mended.changes] == [f"service:{fits_a.unit('ingest')}"]
    assert not fits_a.host.active(second)


@pytest.mark.step("F15")
@pytest.mark.thorough
def test_a_lock_file_names_another_process(operator: Operator, fits_c: FitsHost) -> None:
    """The unit is "active" for a moment every ten seconds. A restart does not help, and says so."""
    pid = fits_c.stale_lock("ingest")
    found = operator.play(PLAYBOOK, fits_c, **QUICK)
    assert {"fits.ingest.unit.flapping", "fits.ingest.lock_recycled"} <= found.standing
    tried = operator.play(PLAYBOOK, fits_c, fits_repair=True, **QUICK)
    assert tried.rc != 0
    assert "fits-service_ingest_queue1" in tried.failures
    assert fits_c.host.exists(f"/proc/{pid}")


@pytest.mark.step("F11")
@MAINLY_A
@pytest.mark.thorough
def test_the_dhs_job_is_deaf(operator: Operator, fits: FitsHost) -> None:
    """Its process is there, and its unit is active; a file that came since then lies where it was."""
    before = fits.hang(COPY)
    name = f"N{TODAY}S0001.fits"
    fits.dhs(name, sample(date=TODAY))
    silent = {"fits_dhs_max_silence": 5, **QUICK}
    fits.host.wait_for(lambda: "fits.dhs.log.stale" in operator.play(PLAYBOOK, fits, **silent).standing, "the silence is noticed", 40)
    planned = operator.play(PLAYBOOK, fits, check=True, fits_repair=True, **silent)
    mended = operator.play(PLAYBOOK, fits, fits_repair=True, fits_force_kill=True, **silent)
    assert mended.rc == 0
    assert mended.plans == planned.plans
    assert not set(before) & set(fits.pids(COPY))
    fits.host.wait_for(lambda: fits.host.exists(f"{DATAFLOW}/{name}"), "the file is copied")


@pytest.mark.step("F13")
@pytest.mark.thorough
def test_the_job_for_visiting_instruments_is_down(operator: Operator, fits: FitsHost) -> None:
    fits.systemctl("stop", "fits-copy_from_visiting_instruments*")
    assert {"fits.visiting.unit.inactive", "fits.visiting.process.missing"} <= operator.play(PLAYBOOK, fits, **QUICK).standing
    mended = operator.play(PLAYBOOK, fits, fits_repair=True, **QUICK)
    assert (mended.rc, [change["action"] for change in mended.changes]) == (0, ["start"])
    assert operator.play(PLAYBOOK, fits, fits_repair=True, **QUICK).changed == 0


@pytest.mark.step("F14")
def test_no_skycam_file_arrives(operator: Operator, fits_c: FitsHost) -> None:
    asked = {"fits_sources": ["dhs", "skycam"], **QUICK}
    fits_c.file("skycam_old.fits", sample(), "skycam", age=3 * 86400)
    assert "fits.skycam.stale" in operator.play(PLAYBOOK, fits_c, **asked).standing
    fits_c.file("skycam_new.fits", sample(), "skycam", age=60)
    assert operator.play(PLAYBOOK, fits_c, **asked).standing == set()


# -- the queue --------------------------------------------------------------------------------------------------------------


@pytest.mark.step("F16", "F17", "F18", "F25")
@pytest.mark.thorough
def test_rows_that_nobody_serves(operator: Operator, fits: FitsHost) -> None:
    """A worker was killed in the middle of a file, another file failed. The workers come back, and leave both."""
    stuck, failed = "N20260101S0010.fits", "N20260101S0011.fits"
    fits.failed("ingest", failed, sample(), "no end card found")
    fits.orphan("ingest", stuck, sample())
    fits.host.wait_for(lambda: fits.host.active(fits.unit("ingest")), "systemd starts the worker again", 25)
    found = operator.play(PLAYBOOK, fits, **QUICK)
    assert "fits.ingest.failed" in found.standing
    assert {"fits.ingest.orphaned", "fits.ingest.suspect"} & found.standing
    assert "no end card found" in str(found.report["findings"])
    mended = operator.play(PLAYBOOK, fits, fits_repair=True, **QUICK)
    assert mended.rc == 0
    for name in (stuck, failed):
        fits.host.wait_for(lambda name=name: fits.diskfile(name), f"{name} is ingested")
    again = operator.play(PLAYBOOK, fits, fits_repair=True, **QUICK)
    assert (again.rc, again.changed, again.standing) == (0, 0, set())


@pytest.mark.step("F17", "F18")
def test_a_repair_is_predicted_and_taken_back(operator: Operator, fits: FitsHost) -> None:
    """With the workers stopped, so that nothing moves between plan, repair and undo."""
    fits.systemctl("stop", ALL)
    fits.rows("starved_twin", "ingest", "N20260101S0012.fits")
    fits.rows("failed", "ingest", "N20260101S0013.fits", error="OSError: no end card found")
    before = fits.sql("SELECT * FROM ingestqueue ORDER BY id")
    options = {"peer_user": "fitsdata", "scripts_dir": SCRIPTS, "queue": "ingest", "conditions": ["failed", "orphaned", "twin"]}
    planned = operator.module(fits, "fits_queue_reset", check=True, **options)
    mended = operator.module(fits, "fits_queue_reset", **options)
    assert mended["plan_sha256"] == planned["plan_sha256"]
    assert [dict(each, done=False) for each in mended["changes"]] == planned["changes"] != []
    assert operator.module(fits, "fits_queue_reset", **options)["changed"] is False
    undone = operator.module(fits, "runbook_undo", undo_id=mended["undo_id"], peer_user="fitsdata")
    assert undone["changed"]
    assert fits.sql("SELECT * FROM ingestqueue ORDER BY id") == before


# -- single files -----------------------------------------------------------------------------------------------------------


@pytest.mark.step("F8", "F12", "F19", "F25")
def test_a_file_that_cron_will_never_queue(operator: Operator, fits: FitsHost) -> None:
    """The date in its name is older than the window; the time of the file is today's."""
    fits.file(OLD, sample(), age=60)
    asked = {"fits_filename": [OLD], **QUICK}
    found = operator.play(PLAYBOOK, fits, **asked)
    assert verdicts(found) == {"outside_window"}
    planned = operator.play(PLAYBOOK, fits, check=True, fits_enqueue=True, **asked)
    assert fits.row("ingest", OLD) is None
    queued = operator.play(PLAYBOOK, fits, fits_enqueue=True, **asked)
    assert queued.rc == 0
    assert [change["subject"] for change in queued.changes] == [change["subject"] for change in planned.changes] != []
    fits.host.wait_for(lambda: fits.diskfile(OLD), "it is ingested")
    fits.wait_gone("ingest", OLD)
    assert operator.play(PLAYBOOK, fits, fits_enqueue=True, **asked).changes == []


@pytest.mark.step("F10", "F25")
@MAINLY_A
@pytest.mark.thorough
def test_graces_files_that_cannot_be_read(operator: Operator, fits: FitsHost) -> None:
    name = f"N{TODAY}G0001.fits"
    full = fits.unreadable(name, sample(date=TODAY))
    asked = {"fits_filename": [name], "fits_path": ["graces"], **QUICK}
    assert verdicts(operator.play(PLAYBOOK, fits, **asked)) == {"unreadable"}
    planned = operator.play(PLAYBOOK, fits, check=True, fits_permissions=True, **asked)
    assert fits.host.run(["stat", "-c", "%a", full]).stdout.strip() == "600"
    mended = operator.play(PLAYBOOK, fits, fits_permissions=True, **asked)
    assert (mended.plans, mended.changes) == (planned.plans, planned.changes)
    assert fits.host.run(["cat", full], user="fitsdata", check=False).returncode == 0
    assert verdicts(mended) == {"not_queued"}
    assert operator.play(PLAYBOOK, fits, fits_permissions=True, **asked).changed == 0
    assert operator.undo(mended).returncode == 0
    assert fits.host.run(["stat", "-c", "%a", full]).stdout.strip() == "600"


@pytest.mark.step("F9")
def test_a_file_that_is_somewhere_in_the_tree(operator: Operator, fits_c: FitsHost) -> None:
    fits_c.host.run(["install", "-d", "-o", "fitsdata", f"{DATAFLOW}/odd/place"])
    fits_c.file(OLD, sample(), "odd/place")
    missed = operator.play(PLAYBOOK, fits_c, fits_filename=[OLD], **QUICK)
    assert verdicts(missed) == {"not_found"}
    found = operator.play(PLAYBOOK, fits_c, fits_filename=[OLD], fits_search=True, fits_progress_file="/run/search.json", **QUICK)
    assert verdicts(found) == {"outside_window"}
    assert "odd/place" in str(found.report["findings"])
    assert fits_c.host.exists("/run/search.json")


@pytest.mark.step("F11", "F13")
def test_files_that_the_copy_jobs_refuse(operator: Operator, fits: FitsHost) -> None:
    name = "N20260101S0301.fits"
    fits.dhs(name, sample("truncated_header"))
    fits.wait_log("/data/logs/copy_from_dhs.py.log", f"{name} validation failed")
    instrument, letter = ("zorro", "Z") if fits.new else ("alopeke", "A")
    bad = f"{'S' if fits.new else 'N'}20261024{letter}0002b.fits.bz2"
    full = fits.visitor(instrument, "20261024", bad, sample("truncated_bz2", date="20261024"))
    source = full.rpartition("/")[0].rpartition("/")[0]
    run = operator.play(PLAYBOOK, fits, fits_filename=[name, bad], fits_visitor_dirs=[source], **QUICK)
    assert verdicts(run) == {"refused_by_copy"}
    summaries = " ".join(finding["summary"] for finding in run.report["findings"] if finding["code"].startswith("fits.file."))
    assert name in summaries
    assert bad in summaries


@pytest.mark.step("F7")
@pytest.mark.thorough
def test_a_full_disk_is_seen_beside_ingest(operator: Operator, fits_c: FitsHost) -> None:
    fits_c.fill(left="512K")
    assert "fits.disk.low_space" in operator.play(PLAYBOOK, fits_c, **QUICK).standing
