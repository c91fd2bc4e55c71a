# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The FITS hosts are what the runbook describes, files go through them to the archive, and every fault is real."""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Callable, Iterator

import pytest
from lab.fits.sample_files import PROGRAM, named, sample
from lab.hosts import Host
from lab.hosts.fits_host import ARCHIVE, DATAFLOW, FitsHost

pytestmark = pytest.mark.thorough  # of the laboratory alone; what is shipped, and runs on it, is tested all the time
TODAY = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")


@pytest.fixture(scope="module")
def archive(host: Callable[..., Host]) -> FitsHost:
    return FitsHost(host("archive"))


@pytest.fixture(scope="module", params=["fits-a", "fits-c"])
def server(request: pytest.FixtureRequest, host: Callable[..., Host], archive: FitsHost) -> FitsHost:
    """A FITS server of either era, with the archive beside it."""
    return FitsHost(host(request.param))


@pytest.fixture
def fits(server: FitsHost) -> Iterator[FitsHost]:
    """The server, mended and emptied after the test."""
    yield server
    server.mend()
    server.clear()


@pytest.fixture
def mended_archive(archive: FitsHost) -> Iterator[FitsHost]:
    yield archive
    archive.mend()
    archive.clear()


def processes(fits: FitsHost) -> str:
    return fits.host.run(["ps", "-eo", "user:12,args", "--cols", "300"]).stdout


# -- as it should be --------------------------------------------------------------------------------------------------------


def test_archive_runs(archive: FitsHost) -> None:
    assert archive.host.failed_units() == []
    assert not archive.host.exists("/etc/systemd/system/fits-copy_from_dhs.service")
    assert archive.jsonfilelist("N20260101S0001.fits") == []
    assert re.search(r"^fitsweb +/opt/miniforge3/envs/fitsdata/bin/uwsgi --ini /opt/uwsgi/fitsservice.ini$", processes(archive), re.MULTILINE)


def test_processes_are_those_of_the_runbook(server: FitsHost) -> None:
    assert server.host.failed_units() == []
    python = "python3" if server.new else "/usr/bin/python3"
    wanted = [rf"fitsdata +{python} /opt/FitsStorage/fits_storage/scripts/copy_from_dhs.py --debug --demon"]
    wanted += [
        rf"fitsdata +{python} /opt/FitsStorage/fits_storage/scripts/service_{queue}_queue.py --demon --lockfile --name={server.worker_name(queue)}"
        for queue in ("ingest", "export")
    ]
    if server.new:
        wanted += ["root +nginx: master process /usr/sbin/nginx", rf"fitsdata +{python} /opt/FitsStorage/fits_storage/scripts/service_fileops_queue.py .*"]
    else:
        wanted += [
            r"root +httpd \(mod_wsgi-express\) -f /opt/modwsgi-default/httpd.conf .* -k start",
            r"apache +\(wsgi:localhost:80:0\) +-f /opt/modwsgi-default/httpd.conf .* -k start",
            r"fitsdata +/usr/bin/python3 /opt/FitsStorage/fits_storage/scripts/api_backend.py --demon",
        ]
    seen = processes(server)
    assert [line for line in wanted if not re.search(f"^{line} *$", seen, re.MULTILINE)] == []
    for queue in ("ingest", "export"):
        assert int(server.host.read(server.lock_file(queue))) in server.pids(server.unit(queue))


def test_crontab(server: FitsHost) -> None:
    lines = server.host.run(["crontab", "-u", "fitsdata", "-l"]).stdout.splitlines()
    mail = [line for line in lines if "YouGotDataEmail.py --demon" in line]
    assert len(mail) == 2
    assert all(line.startswith("#") for line in mail) == server.new
    assert server.host.exists("/opt/FitsStorage/fits_storage/scripts/YouGotDataEmail.py") != server.new


def test_back_end_of_the_web_site(server: FitsHost) -> None:
    """A is healthy though GET / gives 500; C answers an `echo` row, which stays until its caller deletes it."""
    if not server.new:
        assert server.ask("", url="http://localhost:8000")[0] == 500
        done = server.host.run(["curl", "-s", "-X", "POST", "-d", '{"message": "x"}', "http://localhost:8000/log"])
        assert json.loads(done.stdout) == {"result": True}
        return
    columns = "request, response_required, inprogress, fail_dt, added, after, sortkey"
    request = json.dumps({"request": "echo", "args": {"echo": "hello"}})
    moment = "timezone('utc', now())"
    server.sql(f"INSERT INTO fileopsqueue ({columns}) VALUES ('{request}', true, false, '9999-12-31 23:59:59.999999', {moment}, {moment}, {moment})")
    row = server.host.wait_for(lambda: server.sql("SELECT * FROM fileopsqueue WHERE response IS NOT NULL"), "fileops answers")[0]
    assert json.loads(row["response"]) == {"ok": True, "error": "", "value": "hello"}
    assert row["inprogress"] is True
    server.sql("DELETE FROM fileopsqueue")


# -- the way of a file -------------------------------------------------------------------------------------------------------


def test_from_the_dhs_to_the_archive(fits: FitsHost, mended_archive: FitsHost) -> None:
    name = f"N{TODAY}S0001.fits"
    fits.dhs(name, sample("multi_extension", date=TODAY))
    found = mended_archive.host.wait_for(lambda: mended_archive.jsonfilelist(name), "the archive has the file", 60)
    there, here = found[0], fits.diskfile(name)
    assert there["filename"] == name + ".bz2"
    assert here is not None and here["present"] and here["canonical"]
    assert there["data_md5"] == here["data_md5"]
    fits.wait_gone("export", name)
    log = fits.log("/data/logs/copy_from_dhs.py.log")
    assert f"INFO: Copying {name} to {DATAFLOW}" in log
    header = fits.sql("SELECT program_id, engineering, qa_state FROM header")
    assert header == [{"program_id": PROGRAM, "engineering": False, "qa_state": "Undefined"}]


def test_queued_by_cron(fits: FitsHost, mended_archive: FitsHost) -> None:
    """A file that somebody copied is queued by the script that cron runs, if the date in its name is young enough."""
    young, old = f"N{TODAY}S0002.fits", "N20200101S0002.fits"
    for name in (young, old):
        fits.file(name, sample(date=name[1:9]))
    fits.script("add_to_ingest_queue.py", "--file-re=twentyday", "--demon")
    mended_archive.host.wait_for(lambda: mended_archive.jsonfilelist(young), "the archive has the file", 60)
    assert fits.diskfile(old) is None


def test_visiting_instrument(fits: FitsHost) -> None:
    instrument, letter = ("zorro", "Z") if fits.new else ("alopeke", "A")
    name = f"{'S' if fits.new else 'N'}20201024{letter}0001b.fits.bz2"
    fits.visitor(instrument, "20201024", name, sample("compressed", date="20201024"))
    bad = name.replace("0001", "0002")
    fits.visitor(instrument, "20201024", bad, sample("truncated_bz2", date="20201024"))
    arrived = name.removesuffix(".bz2") if fits.new else name
    assert fits.host.wait_for(lambda: fits.diskfile(arrived), "the file is ingested")["path"] == f"{instrument}/20201024"
    log = f"/data/logs/copy_from_visiting_instrument.py{f'-{instrument}' if fits.new else ''}.log"
    fits.wait_log(log, f"Exception copying and fixing Visitor Instrument file {bad}" if fits.new else "Problem copying")


def test_pages(fits: FitsHost) -> None:
    """Names with .bz2 find nothing in jsonfilelist, and searches hide what is engineering."""
    good, hidden = f"N{TODAY}S0003.fits.bz2", f"N{TODAY}S0004.fits"
    fits.file(good, sample("compressed", date=TODAY))
    fits.file(hidden, sample("engineering", date=TODAY))
    fits.script("add_to_ingest_queue.py", f"--file-re=N{TODAY}S000[34]", "--demon")
    fits.host.wait_for(lambda: len(fits.sql("SELECT 1 FROM header")) == 2, "both are ingested")
    assert fits.jsonfilelist(good) == []
    assert fits.jsonfilelist(good.removesuffix(".bz2"))[0]["filename"] == good
    assert len(fits.jsonfilelist(hidden)) == 1
    assert hidden not in fits.ask(f"searchform/filename={hidden}")[1]
    assert hidden in fits.ask(f"searchform/includeengineering/filename={hidden}")[1]
    assert ".fits" in fits.ask(f"summary/nolinks/night={TODAY}/{PROGRAM}/science")[1]
    assert ".fits" not in fits.ask(f"summary/nolinks/night={TODAY}/{PROGRAM}/science/CHECK")[1]
    assert "WARNING: I didn't recognize" in fits.ask("searchform/nonsense")[1]


# -- faults: queues -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue", ["ingest", "export"])
def test_orphan(fits: FitsHost, queue: str) -> None:
    name = f"N20260101S01{queue[0]}.fits"
    before = fits.systemctl("show", "--property=MainPID", fits.unit(queue))
    row = fits.orphan(queue, name, sample())
    if queue == "ingest":
        fits.host.wait_for(lambda: fits.host.active(fits.unit(queue)), "systemd starts the worker again", 25)
        assert fits.systemctl("show", "--property=MainPID", fits.unit(queue)) != before
    left = fits.row(queue, name)
    assert left is not None
    assert (left["id"], left["inprogress"]) == (row, True)


def test_failed(fits: FitsHost) -> None:
    name = "N20260101S0200.fits"
    row = fits.failed("ingest", name, sample(), "no end card found")
    if fits.new:
        assert row["error"] == "no end card found"
        return
    assert row["failed"] is True
    assert len(fits.sql("SELECT * FROM queue_error WHERE error LIKE '%no end card found%'")) == 2


def test_broken_file_is_canonical_without_header(fits: FitsHost) -> None:
    name = "N20260101S0201.fits"
    fits.file(name, sample("not_fits"))
    fits.rows("pending", "ingest", name)
    found = fits.host.wait_for(lambda: fits.diskfile(name), "there is a diskfile")
    assert found["present"] and found["canonical"]
    assert fits.sql("SELECT * FROM header") == []


def test_twin(fits: FitsHost) -> None:
    """The stuck row starves the clean one."""
    fits.systemctl("stop", "fits-service_ingest_queue*")
    stuck, clean = fits.rows("starved_twin", "ingest", "N20260101S0202.fits")
    fits.systemctl("start", fits.unit("ingest"))
    fits.wait_log(fits.log_file("ingest"), "Nothing on queue... Waiting")
    time.sleep(2)
    assert [row["id"] for row in fits.sql("SELECT id FROM ingestqueue ORDER BY id")] == [stuck, clean]


def test_lock_file_of_a_recycled_pid(fits: FitsHost) -> None:
    """The unit ends well and is started again: it is never failed, and never lasts."""
    fits.stale_lock("ingest")
    show = ["show", "--property=ActiveState,SubState,Result,ExecMainStatus", fits.unit("ingest")]
    state = fits.host.wait_for(lambda: next((text for text in [fits.systemctl(*show)] if "auto-restart" in text), ""), "it waits for a restart")
    assert "ActiveState=activating" in state and "Result=success" in state and "ExecMainStatus=0" in state


def test_termination_finishes_the_file(fits: FitsHost) -> None:
    name = "N20260101S0203.fits"
    fits.file(name, sample())
    fits.fail(re.escape(name), "slow", "3")
    fits.rows("pending", "ingest", name)
    fits.wait_row("ingest", name, inprogress=True)
    fits.systemctl("stop", "fits-service_ingest_queue*")
    assert fits.row("ingest", name) is None
    assert fits.diskfile(name) is not None
    assert not fits.host.exists(fits.lock_file("ingest"))


# -- faults: disks, permissions, copy jobs ----------------------------------------------------------------------------------------


def test_full_disk(fits: FitsHost) -> None:
    fits.fill(left="512K")
    free = int(fits.host.run(["stat", "-f", "-c", "%a", "/data"]).stdout) * int(fits.host.run(["stat", "-f", "-c", "%S", "/data"]).stdout)
    assert free < 2**20
    assert fits.host.active(fits.unit("ingest"))
    fits.mend()
    assert fits.host.run(["mountpoint", "-q", "/data"], check=False).returncode != 0
    fits.wait_log(fits.log_file("ingest"), "Nothing on queue... Waiting")


def test_deleted_but_open(fits: FitsHost) -> None:
    pid = fits.delete_but_hold(2**22)
    held = fits.host.run(["sh", "-c", f"stat -L -c '%s %h' /proc/{pid}/fd/3"]).stdout.split()
    assert held == [str(2**22), "0"]


def test_unreadable_in_graces(fits: FitsHost) -> None:
    name = "N20260101G0001.fits"
    full = fits.unreadable(name, sample())
    assert fits.host.run(["cat", full], user="fitsdata", check=False).returncode != 0
    fits.script("add_to_ingest_queue.py", "--path=graces", "--demon")
    if fits.new:
        row = fits.host.wait_for(lambda: fits.sql("SELECT error FROM ingestqueue WHERE error IS NOT NULL"), "it fails")[0]
        assert row["error"] == f"Cannot access {full}"
    else:
        found = "/data/logs/service_ingest_queue.py-siq?.log"
        fits.host.wait_for(lambda: fits.host.run(["sh", "-c", f"grep 'cannot access {full}' {found}"], check=False).stdout, "it is logged")
        fits.wait_gone("ingest", name)  # as if it had been ingested
    assert fits.diskfile(name) is None


def test_refused_by_the_copy_job(fits: FitsHost) -> None:
    log = "/data/logs/copy_from_dhs.py.log"
    cases = {
        "not_fits": "Unable to open file in astrodata, returning as invalid: /sci/dhs/{}",
        "truncated_header": "Unable to open file in astrodata, returning as invalid: /sci/dhs/{}",
    }
    if fits.new:
        cases["truncated"] = "File /sci/dhs/{} failed fitsverify check"
    else:
        cases["no_telescop"] = "TELESCOP keyword missing in file /sci/dhs/{}"
        cases["zero_telescop"] = "Bad value 0 for TELESCOP in file /sci/dhs/{}"
    names = {kind: f"N20260101S03{number:02}.fits" for number, kind in enumerate(cases)}
    for kind, name in names.items():
        fits.dhs(name, sample(kind))
    young, there = "N20260101S0390.fits", "N20260101S0391.fits"
    fits.file(there, sample())
    fits.dhs(there, sample())
    fits.dhs(young, sample(), age=-3600)  # the camera's clock is ahead
    for kind, name in names.items():
        fits.wait_log(log, cases[kind].format(name))
        fits.wait_log(log, f"{name} validation failed, not copying now")
        assert not fits.host.exists(f"{DATAFLOW}/{name}")
    fits.wait_log(log, f"{there} already exists on storage_root - skipping")
    fits.wait_log(log, f"{young} is too new")


def test_copy_job_hangs(fits: FitsHost) -> None:
    """Active for systemd, and deaf."""
    pids = fits.hang("fits-copy_from_dhs.service")
    assert fits.host.active("fits-copy_from_dhs")
    assert [fits.host.run(["ps", "-o", "stat=", "-p", str(pid)]).stdout[0] for pid in pids] == ["T"]
    fits.dhs("N20260101S0400.fits", sample())
    time.sleep(3)
    assert not fits.host.exists(f"{DATAFLOW}/N20260101S0400.fits")
    fits.mend()
    fits.host.wait_for(lambda: fits.host.exists(f"{DATAFLOW}/N20260101S0400.fits"), "it is copied in the end")


# -- faults: web, export, mail --------------------------------------------------------------------------------------------------------


def test_web_runs_out_of_workers(fits: FitsHost) -> None:
    fits.exhaust_web()
    assert fits.host.active(fits.web_unit)
    assert fits.ask("", timeout=1.0)[0] == 0
    fits.web("ok")
    fits.host.wait_for(lambda: fits.ask("", timeout=2.0)[0] == 200, "it answers again")


def test_errors_and_noise_in_the_error_log(fits: FitsHost) -> None:
    log = "/opt/uwsgi/fits.log" if fits.new else "/opt/modwsgi-default/error_log"
    fits.benign_noise()
    fits.wait_log(log, "[astropy.io.fits.card]")
    fits.web_error()
    fits.wait_log(log, "RuntimeError: no such column while answering /jsonfilelist/boom")


def test_back_end_hangs(fits: FitsHost) -> None:
    fits.hang(fits.api_unit)
    assert fits.host.active(fits.api_unit)
    if not fits.new:
        assert fits.host.run(["curl", "-s", "--max-time", "1", "-d", '{"message": "x"}', "http://localhost:8000/log"], check=False).returncode == 28


@pytest.mark.parametrize(("mode", "error"), [("500", "Bad HTTP status: 500"), ("bad_md5", "Transfer Verification md5 mismatch"), ("refused", "")])
def test_archive_takes_no_file(fits: FitsHost, mended_archive: FitsHost, mode: str, error: str) -> None:
    """A only backs off; C fails, and tries again."""
    name = "N20260101S0500.fits"
    mended_archive.web(mode, "jsonfilelist" if mode == "refused" else "upload_file")
    fits.file(name, sample())
    fits.rows("pending", "ingest", name)
    if not fits.new:
        row = fits.host.wait_for(lambda: fits.sql("SELECT * FROM exportqueue WHERE lastfailed IS NOT NULL"), "the export fails", 40)[0]
        assert (row["inprogress"], row["failed"]) == (True, False)
        return
    row = fits.host.wait_for(lambda: fits.sql("SELECT * FROM exportqueue WHERE error IS NOT NULL"), "the export fails", 40)[0]
    assert (error or "Failed to get destination file info") in row["error"]


def test_pending_at_the_archive(fits: FitsHost, mended_archive: FitsHost) -> None:
    """A failed ingest of the same name at the archive defers C's export again and again."""
    name = "N20260101S0501.fits"
    mended_archive.rows("diskfile", name)
    mended_archive.rows("failed", "ingest", name + ".bz2")
    assert mended_archive.jsonfilelist(name)[0]["pending_ingest"] is True
    fits.file(name, sample())
    fits.rows("pending", "ingest", name)
    if fits.new:
        fits.wait_log(fits.log_file("export"), f"File {name} is ingest pending at destination {ARCHIVE}")
    else:
        fits.wait_gone("export", name)
        fits.wait_log(fits.log_file("export"), f"Transferring file {name} to destination {ARCHIVE}")


def test_certificates(archive: FitsHost) -> None:
    def verdict() -> int:
        return archive.host.run(["curl", "-s", "-o", "/dev/null", f"{ARCHIVE}/"], check=False).returncode

    try:
        assert verdict() == 0
        archive.certificate(start=-90, end=-1)
        archive.host.wait_for(lambda: verdict() == 60, "curl does not trust it any more")
        archive.certificate(start=-80, end=5)
        archive.host.wait_for(lambda: verdict() == 0, "it is good again")
        dates = archive.host.run(["openssl", "x509", "-noout", "-enddate", "-in", "/etc/letsencrypt/live/site/fullchain.pem"]).stdout
        wanted = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=5)
        assert wanted.strftime("%b %e") in dates
    finally:
        archive.certificate()


def test_mail(fits: FitsHost, mended_archive: FitsHost) -> None:
    """The data are looked for at the archive. Where ; parts two addresses, the second is never told, and the log is content."""
    name, content = named("plain", f"N{TODAY}S0600")
    mended_archive.file(name, content)
    mended_archive.rows("pending", "ingest", name)
    mended_archive.host.wait_for(lambda: mended_archive.jsonfilelist(name), "the archive has data")
    fits.notification(PROGRAM, piemail="pi@example.org;second@example.org", ngoemail="a@example.org b@example.org")
    fits.notification("GN-2026A-Q-2", piemail=None)
    fits.script(fits.mail_script, "--demon")
    (mail,) = fits.mails()
    assert mail["subject"] == f"New Data for {PROGRAM}/science"
    others = ["a@example.org", "b@example.org", "cs@example.org", "fitsadmin@example.org"]
    assert mail["to"] in (others, ["pi@example.org", *others])
    log = fits.log(fits.mail_log())
    assert "SMTP seems to have worked OK" in log and "Critical fields are None in notification id" in log
    assert "exiting normally" in log.splitlines()[-1]
    fits.smtp("refuse")
    fits.script(fits.mail_script, "--demon")
    assert "rror sending" in fits.log(fits.mail_log())
    pid = fits.hung_mail()
    assert fits.host.exists(f"/proc/{pid}")
    assert "Sending Email-" in fits.log(fits.mail_log()).splitlines()[-1]
