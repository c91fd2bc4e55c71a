# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks fits_notifications and archive_ot: a mail that did not come, data that the OT does not find."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from lab.fits.sample_files import PROGRAM, sample
from lab.hosts.fits_host import ARCHIVE, CA_CERT, FitsHost
from operating import Operator
from play import Run

NOW = datetime.datetime.now(datetime.UTC)
TODAY = NOW.strftime("%Y%m%d")
NAME = f"N{TODAY}S0600.fits"


def codes(run: Run) -> set[str]:
    """All that is wrong, or worth knowing."""
    return {finding["code"] for finding in run.report["findings"] if finding["severity"] != "ok"}


@pytest.fixture
def data(archive: FitsHost) -> FitsHost:
    """The archive has data of the program."""
    archive.file(NAME, sample(date=TODAY))
    archive.rows("pending", "ingest", NAME)
    archive.host.wait_for(lambda: archive.jsonfilelist(NAME), "the archive has data")
    return archive


# -- e-mails ----------------------------------------------------------------------------------------------------------------


@pytest.mark.step("F23", "F25")
def test_all_is_well_in_the_runbooks_era(operator: Operator, fits_a: FitsHost, data: FitsHost) -> None:
    fits_a.notification(PROGRAM)
    fits_a.script(fits_a.mail_script, "--demon")
    fits_a.script(fits_a.mail_script, "--demon", "--check")
    run = operator.play("fits_notifications", fits_a, fits_program=[PROGRAM])
    assert (run.rc, run.changed, run.standing) == (0, 0, {"fits.notification.mailed"})


@pytest.mark.step("F23")
def test_addresses_that_are_misread(operator: Operator, fits: FitsHost, data: FitsHost) -> None:
    """The second address behind a semicolon never gets a mail, and the log says that all went well."""
    fits.notification(PROGRAM, piemail="pi@example.org;second@example.org")
    fits.notification(PROGRAM + "0", piemail=None)  # a longer id: LIKE would find it
    fits.script(fits.mail_script, "--demon")
    assert "second@example.org" not in str(fits.mails())
    run = operator.play("fits_notifications", fits, fits_program=[PROGRAM])
    told = str([finding["summary"] for finding in run.report["findings"]])
    assert "second@example.org" in told
    assert "fits.notification.misread" in codes(run)


@pytest.mark.step("F23")
@pytest.mark.thorough
def test_the_job_hangs_at_the_mail_server(operator: Operator, fits_a: FitsHost, data: FitsHost) -> None:
    """It is alive, and has been silent for a minute after "Sending Email-"."""
    fits_a.notification(PROGRAM)
    pid = fits_a.hung_mail()

    def found() -> Run | None:
        run = operator.play("fits_notifications", fits_a, fits_program=[PROGRAM])
        return run if "fits.notification.hung" in codes(run) else None

    run = fits_a.host.wait_for(found, "the silence is noticed", 100)
    assert str(pid) in str(run.report["findings"])


@pytest.mark.step("F23")
def test_the_lines_are_out_of_the_crontab(operator: Operator, fits_a: FitsHost) -> None:
    crontab = fits_a.host.read("/var/spool/cron/crontabs/fitsdata")
    fits_a.host.run(["crontab", "-u", "fitsdata", "-r"])
    try:
        run = operator.play("fits_notifications", fits_a)
    finally:
        fits_a.host.put(crontab, "/var/spool/cron/crontabs/fitsdata", owner="fitsdata:crontab", mode=0o600)
    assert "fits.notification.cron_missing" in codes(run)
    assert run.changed == 0


# -- the OT -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certificates(archive: FitsHost) -> Iterator[FitsHost]:
    yield archive
    archive.certificate()


def ask_ot(operator: Operator, archive: FitsHost, since: datetime.datetime, filename: str = NAME) -> Run:
    options = {"archive_url": ARCHIVE, "archive_filename": [filename], "archive_since": since.isoformat(), "archive_ca_cert": CA_CERT}
    return operator.play("archive_ot", archive, **options)


@pytest.mark.step("F24", "F25")
def test_the_certificate_was_renewed(operator: Operator, data: FitsHost, certificates: FitsHost) -> None:
    certificates.certificate(start=-1, end=89)
    run = ask_ot(operator, data, NOW)
    assert run.standing == {"fits.ot.certificate_renewed"}


@pytest.mark.step("F24")
def test_the_certificate_is_as_it_was(operator: Operator, data: FitsHost, certificates: FitsHost) -> None:
    certificates.certificate(start=-40, end=50)
    assert ask_ot(operator, data, NOW).standing == set()


@pytest.mark.step("F24")
def test_the_certificate_has_expired(operator: Operator, data: FitsHost, certificates: FitsHost) -> None:
    certificates.certificate(start=-90, end=-1)
    assert "fits.ot.certificate_bad" in ask_ot(operator, data, NOW).standing


@pytest.mark.step("F24")
def test_the_data_are_not_there(operator: Operator, certificates: FitsHost) -> None:
    certificates.certificate(start=-40, end=50)
    run = ask_ot(operator, certificates, NOW, "N20200101S0001.fits")
    assert run.standing == {"fits.ot.missing"}
    certificates.web("500")
    down = ask_ot(operator, certificates, NOW)
    certificates.web("ok")
    assert down.standing == {"fits.ot.archive_down"}
