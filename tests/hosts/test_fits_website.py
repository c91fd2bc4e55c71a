# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook fits_website on hosts of both eras: each breakage is found, mended, mended once, and taken back where it can be."""

from __future__ import annotations

import pytest
from lab.hosts.fits_host import FitsHost
from operating import MAINLY_A, Operator

PLAYBOOK = "fits_website"


@pytest.mark.step("F1", "F2", "F4", "F6", "F7", "F25")
def test_all_is_well(operator: Operator, fits: FitsHost) -> None:
    fits.benign_noise()  # astropy complains in the log, as ever
    run = operator.play(PLAYBOOK, fits)
    assert (run.rc, run.changed, run.standing) == (0, 0, set())
    again = operator.play(PLAYBOOK, fits, fits_repair=True)
    assert (again.rc, again.changed, again.changes) == (0, 0, [])


@pytest.mark.step("F1")
def test_a_host_that_cannot_be_reached_is_for_it(operator: Operator, fits_c: FitsHost) -> None:
    """Over real ssh, as an operator has it; then sshd is gone."""
    operator.connection = "ssh"
    reached = operator.play(PLAYBOOK, fits_c)
    assert (reached.rc, reached.standing) == (0, set())
    fits_c.host.run(["sh", "-c", "systemctl stop ssh.socket ssh.service; pkill -f '^sshd:' || true"])
    try:
        run = operator.play(PLAYBOOK, fits_c)
    finally:
        fits_c.systemctl("start", "ssh.service")
    assert run.rc != 0
    (finding,) = [each for each in run.report["findings"] if each["code"].startswith("fits.host.")]
    assert finding["severity"] == "critical"
    assert "call IT" in str(run.report["remedies"])


@pytest.mark.step("F1")
def test_the_site_is_asked_from_outside_as_well(operator: Operator, fits_c: FitsHost) -> None:
    """Also where the host itself is not reached by ssh."""
    run = operator.play(PLAYBOOK, fits_c, fits_public_url="https://127.0.0.1:9/")
    assert run.standing == {"fits.website.outside.refused"}


@pytest.mark.step("F2", "F3", "F25")
@MAINLY_A
@pytest.mark.thorough
def test_the_web_server_is_down(operator: Operator, fits: FitsHost) -> None:
    fits.systemctl("stop", fits.web_unit)
    found = operator.play(PLAYBOOK, fits)
    assert (found.rc, found.changed) == (0, 0)
    assert {"fits.website.unit.inactive", "fits.website.workers.missing"} <= found.standing
    assert {remedy["playbook"] for remedy in found.report["remedies"]} == {"fieldops.runbooks.fits_website"}

    planned = operator.play(PLAYBOOK, fits, check=True, fits_repair=True)
    assert fits.ask("")[0] != 200
    mended = operator.play(PLAYBOOK, fits, fits_repair=True)
    assert (mended.plans, mended.changes) == (planned.plans, planned.changes)
    assert (mended.rc, mended.standing) == (0, set())
    assert fits.ask("")[0] == 200

    again = operator.play(PLAYBOOK, fits, fits_repair=True)
    assert (again.rc, again.changed) == (0, 0)


@pytest.mark.step("F3", "F5")
@MAINLY_A
@pytest.mark.thorough
def test_a_start_can_be_taken_back(operator: Operator, fits: FitsHost) -> None:
    fits.systemctl("stop", fits.api_unit)
    assert "fits.api.unit.inactive" in operator.play(PLAYBOOK, fits).standing
    mended = operator.play(PLAYBOOK, fits, fits_repair=True)
    assert (mended.rc, mended.standing) == (0, set())
    assert [change["action"] for change in mended.changes] == ["start"]
    assert operator.undo(mended).returncode == 0
    assert not fits.host.active(fits.api_unit)


@pytest.mark.step("F2", "F3")
@pytest.mark.thorough
def test_the_web_server_ran_out_of_workers(operator: Operator, fits: FitsHost) -> None:
    """Units, processes and sockets are as they should be; only nobody gets an answer."""
    fits.exhaust_web()
    before = set(fits.pids(fits.web_unit))
    quick = {"fits_web_timeout": 3}
    found = operator.play(PLAYBOOK, fits, **quick)
    assert "fits.website.answer.timeout" in found.standing
    assert not {code for code in found.standing if "unit" in code or "workers" in code}
    planned = operator.play(PLAYBOOK, fits, check=True, fits_repair=True, **quick)
    mended = operator.play(PLAYBOOK, fits, fits_repair=True, fits_force_kill=True, **quick)
    assert (mended.plans, mended.changes) == (planned.plans, planned.changes)
    # The log now says why, on its side: all workers busy, and requests that were cut off by the restart.
    assert (mended.rc, mended.standing - {"fits.website.error_log.matched"}) == (0, set())
    assert fits.ask("")[0] == 200
    assert not before & set(fits.pids(fits.web_unit))
    assert operator.play(PLAYBOOK, fits, fits_repair=True, **quick).changed == 0


@pytest.mark.step("F4", "F5")
@pytest.mark.thorough
def test_the_api_back_end_is_deaf(operator: Operator, fits: FitsHost) -> None:
    """Its process is alive and takes connections; C's takes no requests off its queue."""
    before = fits.hang(fits.api_unit)
    if fits.new:
        fits.sql(
            "INSERT INTO fileopsqueue (request, response_required, inprogress, fail_dt, added, after, sortkey)"
            ' VALUES (\'{"request": "echo", "args": {"echo": "x"}}\', false, false, \'9999-12-31 23:59:59.999999\', now(), \'2020-01-01\', now())'
        )
    wanted = "fits.fileops.not_moving" if fits.new else "fits.api.answer.timeout"
    quick = {"fits_watch": 3, "fits_web_timeout": 3}
    assert wanted in operator.play(PLAYBOOK, fits, **quick).standing
    planned = operator.play(PLAYBOOK, fits, check=True, fits_repair=True, **quick)
    mended = operator.play(PLAYBOOK, fits, fits_repair=True, fits_force_kill=True, **quick)
    assert mended.plans == planned.plans
    assert (mended.rc, mended.standing) == (0, set())
    assert not set(before) & set(fits.pids(fits.api_unit))
    assert operator.play(PLAYBOOK, fits, fits_repair=True, **quick).changed == 0


@pytest.mark.step("F6")
def test_errors_in_the_log_are_told_from_noise(operator: Operator, fits: FitsHost) -> None:
    fits.benign_noise()
    fits.web_error()
    run = operator.play(PLAYBOOK, fits, fits_log_since=60)
    assert {code.rpartition(".")[0] for code in run.standing} == {"fits.website.error_log"}
    (finding,) = [each for each in run.report["findings"] if each["code"] in run.standing]
    assert "Traceback" in finding["summary"] or "Exception" in finding["summary"]
    assert "VerifyWarning" not in finding["summary"]


@pytest.mark.step("F7")
@pytest.mark.thorough
def test_disks(operator: Operator, fits: FitsHost) -> None:
    pid = fits.delete_but_hold(2**24, "/data/held")
    run = operator.play(PLAYBOOK, fits, fits_website_aspects=["disk"], fits_disk_deleted_open="8M")
    assert any(str(pid) in str(each) for each in run.report["findings"] if each["code"] == "fits.disk.deleted_open")
    fits.fill(left="1M")
    full = operator.play(PLAYBOOK, fits, fits_website_aspects=["disk"])
    assert "fits.disk.low_space" in full.standing


@pytest.mark.step("F7")
def test_space_that_a_delete_did_not_free(operator: Operator, fits_c: FitsHost) -> None:
    """A file was deleted and a process holds it; the space that was to come back did not."""
    fits_c.fill(left="1M", size="96M")
    fits_c.delete_but_hold(2**19, "/data/backups/fitsdata.dump")
    wanted = [{"path": "/data", "expect_free": "20M", "free_before": "1M", "min_free": "0", "min_free_inodes": "0"}]
    run = operator.play(PLAYBOOK, fits_c, fits_website_aspects=["disk"], fits_disk=wanted)
    assert "fits.disk.not_released" in run.standing
