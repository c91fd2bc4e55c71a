# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The e-mails about new data: each thing that goes wrong is really made, with the job, its web site and its mail server running."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits import notification
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.addresses import split
from hypothesis import example, given
from hypothesis import strategies as st
from lab.fits.standin.mail import addresses
from mailing import NIGHT, PROGRAM, SCRIPTS, MailHost, codes, finding, kill
from support import run_refused

GENERATIONS = ("A", pytest.param("B", marks=pytest.mark.thorough), "C")
"""What is the same in all of them is tested in B by `make thorough` only."""


@pytest.fixture
def make_host(server: Any, database: Callable[..., str], connection: dict[str, Any], tmp_path: Path) -> Iterator[Callable[..., MailHost]]:
    with ExitStack() as stack:

        def make(generation: str, served: bool = True) -> MailHost:
            host = MailHost(server, database(generation), generation, tmp_path, connection)
            stack.callback(host.session.close)
            if served:
                stack.enter_context(host.serving())
            return host

        yield make


@pytest.fixture(params=GENERATIONS)
def host(request: Any, make_host: Callable[..., MailHost]) -> MailHost:
    return make_host(request.param)


@pytest.fixture
def current(make_host: Callable[..., MailHost]) -> MailHost:
    return make_host("C")


@pytest.fixture
def alone(make_host: Callable[..., MailHost]) -> MailHost:
    """Of the current generation, with neither web site nor mail server."""
    return make_host("C", served=False)


# -- all is well ---------------------------------------------------------------------------------------------------------


def test_all_is_well(host: MailHost) -> None:
    host.cron()
    number = host.notification(piemail="pi@example.org, coi@example.org", ngoemail="ngo@example.org", csemail="cs@example.org")
    host.file()
    host.file(name="N20190803S0002.fits", qa_state="CHECK")
    assert [host.run_job(), host.run_job("--check")] == [0, 0]
    result = host.info(program_id=[PROGRAM])
    assert codes(result, "warning", "critical") == []
    assert codes(result).count("ok") == 1
    assert codes(result).count("mailed") == 2
    row = result["notifications"][0]
    assert (row["id"], row["match"], row["problems"]) == (number, "exact", [])
    mails = {mail["subject"]: mail["to"] for mail in host.received()}
    assert mails[f"New Data for {PROGRAM}/science"][:-1] == row["recipients"] == ["pi@example.org", "coi@example.org", "ngo@example.org", "cs@example.org"]
    assert mails[f"Data set to CHECK for {PROGRAM}/science"][:-1] == row["check_recipients"] == ["cs@example.org"]
    assert len(row["mailed"]) == 2
    assert {run["job"] for run in result["runs"]} == {"data", "check"}
    assert {run["state"] for run in result["runs"]} == {"ended"}
    assert all(line["exists"] and line["active"] and line["next_due"].endswith("T08:00:00") for line in result["cron"])
    assert {answer["job"]: (answer["status"], answer["matched"]) for answer in result["answers"]} == {"data": (200, True), "check": (200, True)}
    night = f"night={NIGHT}" if host.generation == "C" else NIGHT
    assert f"{host.url}/summary/nolinks/{night}/{PROGRAM}/science" in {answer["url"] for answer in result["answers"]}


def test_a_reader_may_run_it(alone: MailHost) -> None:
    alone.notification()
    result = alone.info(login_user="fits_ro", program_id=[PROGRAM])
    assert result["schema_generation"] == "C"
    assert result["notifications"][0]["recipients"] == ["pi@example.org"]
    assert result["changed"] is False


# -- crontab -------------------------------------------------------------------------------------------------------------


def test_no_line_at_all(alone: MailHost) -> None:
    (alone.cron_dir / "fitsdata").write_text("*/4 * * * * python3 /opt/FitsStorage/fits_storage/scripts/add_to_ingest_queue.py --demon\n", encoding="utf-8")
    result = alone.info()
    assert codes(result, "critical").count("cron_missing") == 2
    assert "1 crontabs" in finding(result, "cron_missing")["summary"]


def test_commented_out_with_the_scripts_of_the_old_era(alone: MailHost) -> None:
    """As generation C ships its crontab."""
    alone.cron(script="/opt/FitsStorage/fits_storage/scripts/YouGotDataEmail.py", prefix="#")
    result = alone.info()
    assert codes(result, "critical").count("cron_commented") == 2
    assert [line["active"] for line in result["cron"]] == [False, False]


def test_a_script_that_is_not_there(alone: MailHost) -> None:
    alone.cron(script=str(alone.root.scripts / "YouGotDataEmail.py"))
    result = alone.info()
    assert codes(result, "critical").count("cron_script_missing") == 2
    assert "send_new_data_notification_emails.py is there" in finding(result, "cron_script_missing")["summary"]


def test_one_job_of_two_users_and_only_one_of_both(alone: MailHost) -> None:
    alone.cron(jobs=("",))
    (alone.cron_d / "fits").write_text(f"0 8 * * * root python3 {alone.script} --demon\n", encoding="utf-8")
    result = alone.info()
    assert codes(result).count("cron_duplicate") == 1
    assert codes(result, "critical").count("cron_missing") == 1
    assert {line["user"] for line in result["cron"]} == {"fitsdata", "root"}


def test_due_and_not_run(host: MailHost) -> None:
    """Both jobs ran, and since then one more time was due for each."""
    host.run_job()
    log = host.root.log_dir / (SCRIPTS[host.generation] + ".log")
    today = time.strftime("%Y-%m-%d")
    log.write_text(log.read_text(encoding="utf-8").replace(today, "2019-08-04"), encoding="utf-8")
    host.cron(schedule="*/5 * * * *")
    result = host.info()
    assert "overdue" in codes(result, "critical")
    assert "*/5" in finding(result, "overdue")["detail"]["lines"][0]["schedule"]
    (host.cron_dir / "fitsdata").unlink()
    host.cron(schedule="0 8 31 2 *")
    result = host.info()
    assert "stale" in codes(result, "warning")
    assert [line["next_due"] for line in result["cron"]] == [None, None]


# -- the log -------------------------------------------------------------------------------------------------------------


def test_it_never_ran(alone: MailHost) -> None:
    alone.cron()
    assert "never_ran" in codes(alone.info(), "critical")


def test_a_mail_server_that_hangs(host: MailHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notification, "_QUIET_SENDING", 0.0)
    host.notification()
    host.file()
    host.smtp("hang")
    job = host.start_job()
    try:
        host.wait_for_log("Sending Email-")
        time.sleep(1.1)  # times in logs are whole seconds
        result = host.info(program_id=[PROGRAM])
        hung = finding(result, "hung")
        assert hung["detail"]["pid"] == job.pid
        assert "ITOps" in hung["remedy"]["text"]
        assert f"--date={NIGHT}" in hung["remedy"]["text"]
        assert "died" not in codes(result)
        assert result["runs"][0]["mails"][0]["result"] == "sending"
    finally:
        kill(job)
    result = host.info(program_id=[PROGRAM])
    assert "hung" not in codes(result)
    assert "in the middle of sending" in finding(result, "died")["summary"]


def test_a_mail_server_that_refuses(host: MailHost) -> None:
    host.notification()
    host.file()
    host.smtp("refuse")
    assert host.run_job() == 0
    result = host.info(program_id=[PROGRAM])
    assert "smtp_refused" in codes(result, "critical")
    assert "not_mailed" in codes(result, "warning")
    assert finding(result, "smtp_refused")["remedy"]["text"].endswith("mail server's configuration")


def test_an_archive_that_fails_ends_the_old_job(host: MailHost) -> None:
    host.notification()
    host.file()
    host.web("500 summary")
    code = host.run_job()
    result = host.info(program_id=[PROGRAM])
    assert "unanswered" in codes(result, "critical")
    if host.generation == "C":
        assert code == 0
        assert "errors" in codes(result, "warning")
    else:
        assert code != 0
        assert "MAILTO" in finding(result, "died")["remedy"]["text"]


def test_files_that_came_after_the_job(host: MailHost) -> None:
    host.notification()
    assert host.run_job() == 0
    host.file()
    result = host.info(program_id=[PROGRAM])
    assert "they came later" in finding(result, "not_mailed")["summary"]


# -- rows and answers ----------------------------------------------------------------------------------------------------


def test_only_the_program_itself_is_a_match(host: MailHost) -> None:
    host.notification("GN-2019A-Q-10")
    result = host.info(program_id=["GN-2019A-Q-1"])
    assert "GN-2019A-Q-10/science" in finding(result, "no_row")["summary"]
    assert [row["match"] for row in result["notifications"]] == ["look_alike"]
    assert result["answers"] == []
    number = host.notification("GN-2019A-Q-1", selection="progid=GN-2019A-Q-1/science")
    result = host.info(program_id=["GN-2019A-Q-1"])
    assert "no_row" not in codes(result)
    assert [row["id"] for row in result["notifications"] if row["match"] == "exact"] == [number]


def test_a_row_that_is_skipped(host: MailHost) -> None:
    host.notification(piemail=None, csemail="cs@example.org")
    host.file(qa_state="CHECK")
    assert [host.run_job(), host.run_job("--check")] == [0, 0]
    assert host.received() == []
    result = host.info(program_id=[PROGRAM])
    assert "skipped" in codes(result, "critical")
    assert result["notifications"][0]["check_recipients"] == []


FIELDS = {
    "pi@example.org;coi@example.org": {"coi@example.org"},
    "pi@example.org  coi@example.org": {"pi@example.org", "coi@example.org"},
    "pi@example.org and coi@example.org": {"pi@example.org", "coi@example.org"},
    "Doe, Jane <pi@example.org>": set(),
    "Jane Doe <pi@example.org>": None,
    "pi@example.org coi@example.org": None,
    "pi@example.org, coi@example.org,": None,
}
"""Who is lost of each field; None where all is well."""


def test_who_gets_the_mail(current: MailHost) -> None:
    """What the module says of a field is what the mail server sees of it."""
    for n, field in enumerate(FIELDS):
        current.notification(f"GN-2019A-Q-1{n}", piemail=field)
        current.file(f"GN-2019A-Q-1{n}", f"N20190803S000{n}.fits")
    assert current.run_job() == 0
    got = {mail["subject"]: set(mail["to"][:-1]) for mail in current.received()}
    rows = current.info(program_id=[f"GN-2019A-Q-1{n}" for n in range(len(FIELDS))])["notifications"]
    assert len(rows) == len(got) == len(FIELDS)
    for row in rows:
        field = list(FIELDS)[int(row["label"][-1])]
        lost, received = FIELDS[field], got[f"New Data for {row['selection']}"]
        if lost is None:
            assert row["problems"] == []
            assert set(row["recipients"]) == received
        else:
            assert [problem["field"] for problem in row["problems"]] == ["piemail"]
            assert not lost & received
            assert all(address in row["problems"][0]["problem"] for address in lost)


@given(st.text(alphabet=st.sampled_from("ab@.,; <>\t"), max_size=30))
@example("@ \t@")
def test_addresses_are_parted_as_the_job_parts_them(text: str) -> None:
    assert split(text) == addresses(text)


def test_all_rows_without_a_program(alone: MailHost) -> None:
    for n in range(30):
        alone.notification(f"GN-2019A-Q-{n}")
    alone.notification("GN-2019A-Q-99", piemail="a@example.org;b@example.org")
    result = alone.info(max_entries=5)
    assert finding(result, "misread")["detail"]["count"] == 1
    assert len(result["notifications"]) == 5
    assert result["notifications"][0]["selection"] == "GN-2019A-Q-99/science"
    assert result["answers"] == []


def test_a_selection_that_the_archive_does_not_know(host: MailHost) -> None:
    host.notification(selection="GN-2019A-FT-211/sience")
    result = host.info(program_id=[PROGRAM])
    assert "selection_refused" in codes(result, "critical")


def test_no_data_is_no_fault(host: MailHost) -> None:
    host.cron(schedule="0 8 31 2 *")
    host.notification()
    assert host.run_job() == 0
    result = host.info(program_id=[PROGRAM])
    assert codes(result, "warning", "critical") == []
    assert "no_data" in codes(result, "info")


def test_an_archive_that_is_away(alone: MailHost) -> None:
    alone.notification()
    result = alone.info(program_id=[PROGRAM], archive_url="http://127.0.0.1:9")
    assert "refuses connections" in finding(result, "unanswered")["summary"]
    assert result["answers"][0]["status"] is None


def test_the_number_of_statements_does_not_grow(alone: MailHost) -> None:
    counts = []
    for number in (1, 500):
        for n in range(number):
            alone.notification(f"GN-2020A-Q-{number}-{n}")
        with_defaults = {"cron_users": ["fitsdata"], "max_age": 1.0, "max_entries": 10, "http_ca_cert": None, "connect_timeout": 5, "ssl_mode": "prefer"}
        check = notification.NotificationInfo({**with_defaults, **alone.options, "program_id": []})
        try:
            check.observe()
            counts.append(check.postgres.statements)
        finally:
            check.close()
    assert counts[0] == counts[1] <= 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"program_id": ["GN-2019A/../x"]}, "not the id of a program"),
        ({"program_id": ["%"]}, "not the id of a program"),
        ({"program_id": [""]}, "not the id of a program"),
        ({"date": "20190832"}, "date must be today or a night"),
        ({"date": "yesterday"}, "date must be today or a night"),
        ({"date": "2019-08-03"}, "date must be today or a night"),
        ({"archive_url": "archive.example.org"}, "archive_url must be"),
        ({"archive_url": "ftp://archive.example.org"}, "archive_url must be"),
        ({"fits_url": "http://me:secret@fits.example.org"}, "fits_url must be"),
        ({"http_ca_cert": "/nowhere/ca.pem"}, "http_ca_cert: /nowhere/ca.pem"),
        ({"cron_users": ["../root"]}, "not the name of a user"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"max_age": -1}, "max_age must be more than 0"),
        ({"login_db": "postgres"}, "not a FITS Storage database"),
    ],
)
def test_bad_input(alone: MailHost, options: dict[str, Any], words: str) -> None:
    result = run_refused("fits_notification_info", alone.options | options)
    assert words in result["msg"]
    assert "secret" not in result["msg"]
    assert "\n" not in result["msg"].strip()
