# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notification job: what its crontab lines and logs tell, and what a person is told of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.crontab import Line
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import read_process
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.mail_findings import Asked, MailState, Row, diagnose, match
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.mail_job import CronLine, Mail, Run, cron_line, local, parse_log, sent_for
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.notification import judge, log_lines
from hypothesis import given
from hypothesis import strategies as st

OLD, NEW = "YouGotDataEmail.py", "send_new_data_notification_emails.py"
NOW = time.mktime((2019, 8, 3, 12, 0, 0, 0, 0, -1))

OLD_LOG = """\
2019-08-03 08:00:01,100 11:YouGotDataEmail:66 INFO: YouveGotDataEmail.py starting for date today
2019-08-03 08:00:01,200 12:YouGotDataEmail:66 INFO: YouveGotDataEmail.py starting for date 20190802
2019-08-03 08:00:02,100 11:YouGotDataEmail:97 ERROR: Critical fields are None in notification id: 3; label: Auto - GN-2019A-Q-3
2019-08-03 08:00:02,200 12:YouGotDataEmail:116 INFO: Data set to CHECK for GN-2019A-Q-1/science
2019-08-03 08:00:02,300 12:YouGotDataEmail:152 INFO: Sending Email- To: cs@x.org; CC: ; Subject: Data set to CHECK for GN-2019A-Q-1/science
2019-08-03 08:00:03,100 11:YouGotDataEmail:152 INFO: Sending Email- To: a; b@x.org; CC: None; Subject: New Data for GN-2019A-Q-1/science
2019-08-03 08:00:03,200 11:YouGotDataEmail:157 INFO: SMTP seems to have worked OK: (221, b'bye')
2019-08-03 08:00:04,100 11:YouGotDataEmail:152 INFO: Sending Email- To: a@x.org; CC: None; Subject: New Data for GN-2019A-Q-2/science
2019-08-03 08:00:04,200 11:YouGotDataEmail:159 ERROR: Error sending mail message - Exception: <class 'smtplib.SMTPRecipientsRefused'>: {}
2019-08-03 08:00:05,100 11:YouGotDataEmail:161 INFO: YouveGotDataEmail.py exiting normally
"""
NEW_LOG = """\
2026-01-02 08:00:00,000 20:send_new_data_notification_emails:58 ERROR: No email_from defined in Fits Storage Configuration. Exiting
2026-01-03 08:00:00,000 21:new_data:68 INFO: send_new_data_notification_emails.py starting up at 2026-01-03 08:00:00.1. Processing date today
2026-01-03 08:00:01,000 21:send_new_data_notification_emails:119 DEBUG: URL is: http://fits.example.org/summary/nolinks/night=20260103/GN-1/science/CHECK
2026-01-03 08:00:02,000 21:send_new_data_notification_emails:129 ERROR: Unable to fetch http://me:secret@fits.example.org for notification id 3 GN-1/science
Traceback (most recent call last):
  File "x.py", line 1, in <module>
ConnectionError: no route
2026-01-03 08:00:09,000 21:send_new_data_notification_emails:199 INFO: send_new_data_notification_emails.py exiting normally at 2026-01-03 08:00:09.2
"""


def runs_of(text: str, log: str) -> list[Run]:
    return parse_log(text.split("\n")[:-1], "/data/logs/%s.log" % log)


def test_two_jobs_at_once_in_one_log() -> None:
    data, check = runs_of(OLD_LOG, OLD)
    assert (data.pid, data.job, data.ended, check.pid, check.job, check.ended) == (11, "data", True, 12, "check", False)
    assert (data.date, check.date) == (time.strftime("%Y%m%d", time.gmtime(data.started)), "20190802")
    assert [(mail.subject[-9:-8], mail.result) for mail in data.mails] == [("1", "accepted"), ("2", "refused")]
    assert check.sending
    assert [error.split(" ", 1)[1][:8] for error in data.errors] == ["Critical", "Error se"]
    assert [mail.result for _run, mail in sent_for([data, check], "GN-2019A-Q-1/science", data.date or "")] == ["accepted"]
    assert local(data.started) == "2019-08-03T08:00:01"


def test_the_log_of_the_new_era() -> None:
    early, run = runs_of(NEW_LOG, NEW)
    assert (early.pid, early.ended, early.date) == (20, False, None)
    assert (run.job, run.ended, run.script) == ("check", True, NEW)
    assert run.errors[0].endswith("| ConnectionError: no route")
    assert "secret" not in run.errors[0]


@given(st.lists(st.sampled_from(OLD_LOG.split("\n") + NEW_LOG.split("\n") + ["", "x", "2019-99-99 08:00:01,100 11:a:1 ERROR: x"]), max_size=30))
def test_any_lines(lines: list[str]) -> None:
    for run in parse_log(lines, "/l/" + OLD + ".log"):
        assert run.script == OLD
        assert run.to_dict()["pid"] == run.pid


@pytest.mark.parametrize(
    ("command", "script", "job", "active"),
    [
        ("python3 /opt/s/YouGotDataEmail.py --demon", "/opt/s/YouGotDataEmail.py", "data", True),
        ("python3 /opt/s/YouGotDataEmail.py --demon --check", "/opt/s/YouGotDataEmail.py", "check", True),
        ("cd /opt/s && ./send_new_data_notification_emails.py --check >> '/tmp/a b'", "./send_new_data_notification_emails.py", "check", True),
        ("/opt/s/send_new_data_notification_emails.py --dryrun", "/opt/s/send_new_data_notification_emails.py", "data", False),
        ("sh -c 'python3 /opt/s/YouGotDataEmail.py'", "/opt/s/YouGotDataEmail.py", "data", True),
        ("python3 /opt/s/MissingCalibrationEmail.py", None, "", True),
        ("python3 /opt/s/YouGotDataEmail.pyc", None, "", True),
        ("python3 /opt/s/YouGotDataEmail.py.old", None, "", True),
        ("echo it's YouGotDataEmail.py", "YouGotDataEmail.py", "data", True),
    ],
)
def test_lines_that_run_the_job(command: str, script: Any, job: str, active: bool) -> None:
    found = cron_line(Line("f", 1, "fitsdata", "0 8 * * *", command, True))
    assert (found.script if found else None) == script
    if found:
        assert (found.job, found.active) == (job, active)


# -- findings ------------------------------------------------------------------------------------------------------------


def cron(job: str = "data", number: int = 1, active: bool = True, **values: Any) -> CronLine:
    line = Line("/var/spool/cron/fitsdata", number, "fitsdata", "0 8 * * *", "x", active)
    return CronLine(line, "/opt/s/" + NEW, job, active, **{"exists": True, **values})


def ran(hours: float = 4.0, **values: Any) -> Run:
    started = NOW - hours * 3600
    known: dict[str, Any] = {"date": "20190803", "ended": True, **values}
    return Run("/data/logs/x.log", NEW, known.pop("pid", 11), started, started + 10, **known)


def row(**values: Any) -> Row:
    program = values.pop("program", "GN-1")
    known = {"label": "Auto - GN-1", "selection": "GN-1/science", "piemail": "pi@x.org", "ngoemail": None, "csemail": None, "internal": None}
    return Row(7, {**known, **values}, values.pop("match", "exact"), program)


def state(**values: Any) -> MailState:
    known: dict[str, Any] = {
        "cron": (cron("data", 1), cron("check", 2)),
        "crontabs": ("/var/spool/cron/fitsdata",),
        "runs": (ran(), ran(pid=12)),
        "rows": (row(),),
    }
    return MailState("C", values.pop("date", "20190803"), NOW, 93600.0, **{"programs": ("GN-1",), **known, **values})


def answer(**values: Any) -> Asked:
    known: dict[str, Any] = {"status": 200, "error": "", "recognised": True, "matched": True, **values}
    return Asked(7, known.pop("job", "data"), "http://a/x", "http://a/searchform/x", **known)


def mail(result: str = "accepted", subject: str = "New Data for GN-1/science") -> Mail:
    return Mail(subject, NOW - 4 * 3600, result)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({}, {"ok"}),
        ({"cron": ()}, {"cron_missing"}),
        ({"cron": (cron("data"), cron("check", active=False))}, {"cron_commented"}),
        ({"cron": (cron("data"), cron("check"), cron("data", 9))}, {"cron_duplicate"}),
        ({"cron": (cron("data", exists=False), cron("check"))}, {"cron_script_missing"}),
        ({"cron": (cron("data", exists=None), cron("check"))}, {"ok"}),
        ({"cron": (cron("data", must_show=NOW - 3600), cron("check", must_show=NOW - 3600))}, {"overdue"}),
        ({"cron": (cron("data", must_show=NOW - 4 * 3600), cron("check", must_show=NOW - 4 * 3600))}, {"ok"}),
        ({"cron": (cron("data", must_show=NOW - 4 * 3600), cron("check", must_show=NOW - 4 * 3600)), "runs": (ran(),)}, {"overdue"}),
        ({"unreadable": ("/var/spool/cron/root: Permission denied",)}, {"unreadable"}),
        ({"runs": ()}, {"never_ran"}),
        ({"runs": (ran(30.0),)}, {"stale"}),
        ({"runs": (ran(state="hung", mails=[mail("sending")]),)}, {"hung"}),
        ({"runs": (ran(state="hung"),)}, {"hung"}),
        ({"runs": (ran(state="died"),)}, {"died"}),
        ({"runs": (ran(), ran(24.5 * 9, state="died", date="20190725"))}, {"ok"}),
        ({"runs": (ran(), ran(24.5 * 9, state="hung", date="20190725"))}, {"hung"}),
        ({"runs": (ran(state="unknown"),)}, {"run_unknown"}),
        ({"runs": (ran(state="running"),)}, {"ok"}),
        ({"runs": (ran(mails=[mail("refused")], errors=["x"]),)}, {"smtp_refused"}),
        ({"runs": (ran(errors=["x"]),)}, {"errors"}),
        ({"rows": ()}, {"no_row"}),
        ({"rows": (row(match="look_alike"),)}, {"no_row"}),
        ({"rows": (row(), row())}, {"duplicate_rows"}),
        ({"rows": (row(piemail=None),)}, {"skipped"}),
        ({"rows": (row(selection=None),)}, {"skipped"}),
        ({"rows": (row(csemail="a@x.org;b@x.org"),)}, {"misread"}),
        ({"answers": (answer(error="refused", status=None, recognised=None, matched=None),)}, {"unanswered"}),
        ({"answers": (answer(recognised=False, matched=False),)}, {"selection_refused"}),
        ({"answers": (answer(matched=False),)}, {"no_data", "ok"}),
        ({"answers": (answer(),)}, {"not_mailed"}),
        ({"answers": (answer(),), "runs": (ran(mails=[mail()]),)}, {"mailed", "ok"}),
        ({"answers": (answer(job="check"),), "runs": (ran(mails=[mail()], job="data"),)}, {"no_run", "ok"}),
        ({"answers": (answer(),), "date": "20190802"}, {"no_run"}),
        ({"answers": (answer(),), "runs": (ran(state="died"),)}, {"died"}),
        ({"answers": (answer(),), "runs": (ran(mails=[mail(subject="New Data for GN-10/science")]),)}, {"not_mailed"}),
    ],
)
def test_findings(values: dict[str, Any], codes: set[str]) -> None:
    found = diagnose(state(**values))
    assert {finding.code for finding in found} == {"fits.notification." + code for code in codes}
    for finding in found:
        assert finding.runbook == ("fits.rst", "User Notifications")
        assert (finding.remedy is not None) or finding.severity in ("ok", "info")
        assert "\n" not in finding.summary


def test_a_job_that_ran_without_a_line_is_no_emergency() -> None:
    found = diagnose(state(cron=()))
    assert {finding.severity for finding in found} == {"warning"}
    assert "another user's crontab" in found[0].summary


def test_the_newest_error_of_several_runs() -> None:
    one, other = "2026-01-30T08:00:00 WARNING old", "2026-01-31T08:00:00 WARNING new"
    (found,) = [each for each in diagnose(state(runs=(ran(2, errors=[other]), ran(26, pid=12, errors=[one])))) if each.code == "fits.notification.errors"]
    assert found.summary.endswith("newest: " + other)
    assert found.detail["errors"] == [one, other]


@pytest.mark.parametrize(
    ("selection", "label", "exact"),
    [
        ("GN-1/science", None, True),
        (None, "Auto - GN-1", True),
        ("GN-10/science", "Auto - GN-10", False),
        ("XGN-1/science", "GN-1", False),
        (None, None, False),
    ],
)
def test_match(selection: Any, label: Any, exact: bool) -> None:
    assert match("GN-1", {"selection": selection, "label": label}) is exact


# -- processes and files -------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path: Path) -> Any:
    """A process of the job's name that does nothing."""
    script = tmp_path / OLD
    script.write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script), "--demon", "--check"])
    deadline = time.monotonic() + 10
    while read_process(process.pid) is None and time.monotonic() < deadline:  # for a moment it has no command line yet
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_what_became_of_a_run(job: Any) -> None:
    now = time.time()
    run = Run("l", OLD, job.pid, now, now)
    sending = Run("l", OLD, job.pid, now, now, mails=[Mail("s", now)])
    assert judge(run, now + 1).state == "running"
    assert judge(run, now + 1).job == "check"
    assert judge(run, now + 601).state == "hung"
    assert judge(sending, now + 59).state == "running"
    assert judge(sending, now + 61).state == "hung"
    assert judge(Run("l", NEW, job.pid, now, now), now).state == "died"
    assert judge(Run("l", OLD, job.pid, now - 86400, now - 86400), now).state == "died"
    assert judge(Run("l", OLD, job.pid, now, now, ended=True), now).state == "ended"
    job.kill()
    job.wait()
    assert judge(run, now + 1).state == "died"


def test_lines_of_rotated_logs(tmp_path: Path) -> None:
    for n, name in enumerate(("x.log.2", "x.log.1", "x.log")):
        (tmp_path / name).write_text("".join("%d %d\n" % (n, m) for m in range(3)), encoding="utf-8")
    (tmp_path / "x.log.4").write_text("left out\n", encoding="utf-8")
    path = str(tmp_path / "x.log")
    assert log_lines(path, 10**6) == ["%d %d" % (n, m) for n in range(3) for m in range(3)]
    assert log_lines(path, 12) == ["2 0", "2 1", "2 2"]
    with pytest.raises(FileNotFoundError):
        log_lines(str(tmp_path / "none.log"), 10**6)
