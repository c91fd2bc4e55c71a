# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is so with the e-mails about new data: crontab, log, rows and answers become findings. Pure."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..procedure.envelope import Finding, Remedy
from .addresses import check_recipients, data_recipients, row_problems
from .mail_job import CHECK, DATA, CronLine, Mail, Run, local, sent_for

RUNBOOK = ("fits.rst", "User Notifications")
ITOPS = "work with ITOps to check the mail server's configuration"
_EARLY = 60.0
_SHOWN = 20
_JOBS = {DATA: "the job for new data", CHECK: "the job with --check"}
_EXACT, _ALIKE, _ANY = "exact", "look_alike", "any"


@dataclass(frozen=True)
class Row:
    """A row of table notification, and which program it was found for."""

    id: int
    values: Mapping[str, Any]
    match: str
    program: str = ""

    @property
    def selection(self) -> Optional[str]:
        selection = self.values["selection"]
        return None if selection is None else str(selection)


@dataclass(frozen=True)
class Asked:
    """What a server answered to the job's question about one row."""

    id: int
    job: str
    url: str
    searchform: str
    status: Optional[int]
    error: str
    recognised: Optional[bool]
    matched: Optional[bool]

    def to_dict(self) -> Dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class MailState:
    """All that was read."""

    generation: str
    date: str
    now: float
    max_age: float
    programs: Tuple[str, ...]
    cron: Tuple[CronLine, ...] = ()
    crontabs: Tuple[str, ...] = ()
    unreadable: Tuple[str, ...] = ()
    """Crontabs and logs that could not be read, and why."""
    runs: Tuple[Run, ...] = ()
    logs: Tuple[str, ...] = ()
    rows: Tuple[Row, ...] = ()
    answers: Tuple[Asked, ...] = ()


def match(program: str, row: Mapping[str, Any]) -> bool:
    """Exactly, as the loader writes them."""
    return bool(row["selection"] == program + "/science" or row["label"] == "Auto - " + program)


def diagnose(state: MailState) -> List[Finding]:
    found = _cron(state) + _runs(state) + _rows(state) + _answers(state)
    if any(finding.severity != "info" for finding in found):
        return found
    what = "%d programs" % len(state.programs) if state.programs else "%d notifications" % len(state.rows)
    summary = "the notification jobs are enabled and run, and nothing is wrong with %s" % what
    return [*found, Finding("fits.notification.ok", "ok", "notifications", summary, {"rows": len(state.rows)}, None, RUNBOOK)]


def _finding(what: str, severity: str, subject: str, summary: str, detail: Mapping[str, Any], remedy: Optional[Remedy] = None) -> Finding:
    return Finding("fits.notification." + what, severity, subject, summary, detail, remedy, RUNBOOK)


# -- crontab -------------------------------------------------------------------------------------------------------------


def _cron(state: MailState) -> List[Finding]:
    found = []
    if state.unreadable:
        summary = "%d crontabs or logs cannot be read, so what they hold is not known: %s" % (len(state.unreadable), state.unreadable[0])
        found.append(_finding("unreadable", "warning", "crontab", summary, {"files": list(state.unreadable)}, Remedy("run this as root")))
    for job, name in _JOBS.items():
        found += _cron_of(state, job, name)
    return found


def _cron_of(state: MailState, job: str, name: str) -> List[Finding]:
    lines = [line for line in state.cron if line.job == job]
    active = [line for line in lines if line.active]
    if not active:
        return [_disabled(state, lines, job, name)]
    found = [_script_missing(line, name) for line in active if line.exists is False]
    working = [line for line in active if line.exists is not False]
    if len(working) > 1:
        where = ["%s:%d" % (line.line.file, line.line.number) for line in working]
        summary = "%s is in %d crontab lines (%s), so its mails are sent %d times" % (name, len(where), ", ".join(where), len(where))
        found.append(_finding("cron_duplicate", "warning", job, summary, {"lines": where}, Remedy("leave one of them, in the crontab of fitsdata")))
    return found


def _disabled(state: MailState, lines: Sequence[CronLine], job: str, name: str) -> Finding:
    recent = [run for run in state.runs if run.job in (job, None) and state.now - run.started < state.max_age]
    also = "; yet something ran on %s: look for a timer or another user's crontab (cron_users)" % local(recent[0].started) if recent else ""
    severity = "warning" if recent else "critical"
    detail = {"crontabs": list(state.crontabs), "lines": [line.to_dict() for line in lines]}
    if lines:
        first = lines[0].line
        summary = "%s is commented out or a dry run in every crontab that was read, first in %s line %d%s" % (name, first.file, first.number, also)
        remedy = Remedy("find out why it was taken out, then enable the line; it must name the script of generation %s" % state.generation)
        return _finding("cron_commented", severity, job, summary, detail, remedy)
    summary = "%s is in none of the %d crontabs that were read%s" % (name, len(state.crontabs), also)
    remedy = Remedy("look for it in the crontabs of other users (cron_users), and else enter it again in that of fitsdata")
    return _finding("cron_missing", severity, job, summary, detail, remedy)


def _script_missing(line: CronLine, name: str) -> Finding:
    other = "; %s is there" % line.other_script if line.other_script else ""
    summary = "%s runs %s (%s line %d), which does not exist%s" % (name, line.script, line.line.file, line.line.number, other)
    remedy = Remedy(
        "have the line name the script that is installed; its options differ (see its --help)" if other else "install the script, or mend its path in the line"
    )
    return _finding("cron_script_missing", "critical", line.job, summary, line.to_dict(), remedy)


# -- log -----------------------------------------------------------------------------------------------------------------


def _runs(state: MailState) -> List[Finding]:
    if not state.runs:
        where = ", ".join(state.logs) or "no log of the job is there"
        summary = "the logs tell of no run of the job (%s)" % where
        remedy = Remedy("see whether cron runs at all, and what it mailed to its MAILTO")
        return [_finding("never_ran", "critical", "log", summary, {"logs": list(state.logs)}, remedy)]
    found = [_run_finding(state, run) for run in state.runs if run.state in ("hung", "died", "unknown") and _matters(state, run)]
    newest = state.runs[0]
    overdue = _overdue(state)
    if overdue:
        found.append(_late(overdue, newest))
    elif state.now - newest.started > state.max_age:
        hours = (state.now - newest.started) / 3600
        summary = "the job last ran on %s, %.0f hours ago" % (local(newest.started), hours)
        found.append(
            _finding("stale", "warning", newest.log, summary, {"run": newest.to_dict()}, Remedy("see whether cron runs, and whether this is the right host"))
        )
    return found + _errors(state)


def _matters(state: MailState, run: Run) -> bool:
    """Of the night that was asked for, or of the last day. One that hangs still stands."""
    return run.state == "hung" or run.date == state.date or state.now - run.started < state.max_age


def _run_finding(state: MailState, run: Run) -> Finding:
    detail = {"pid": run.pid, "since": local(run.last), "run": run.to_dict()}
    if run.state == "hung" and run.sending:
        text = "the job (pid %d) has been sending one e-mail since %s: the mail server took the connection and does not answer, and the job knows no time-out"
        remedy = Remedy(
            "%s; then end process %d and run the job again with --date=%s: everybody after this mail got none" % (ITOPS, run.pid, run.date or state.date)
        )
        return _finding("hung", "critical", run.log, text % (run.pid, local(run.last)), detail, remedy)
    if run.state == "hung":
        summary = "the job (pid %d) lives and has said nothing since %s: it waits for an answer of the archive, or of the database" % (run.pid, local(run.last))
        remedy = Remedy("see whether the archive answers; then end process %d and run the job again with --date=%s" % (run.pid, run.date or state.date))
        return _finding("hung", "critical", run.log, summary, detail, remedy)
    sending = ', in the middle of sending "%s"' % run.mails[-1].subject if run.sending else ""
    if run.state == "unknown":
        summary = "the job (pid %d) of %s has not said that it ended, and whether it lives cannot be seen by this user" % (run.pid, local(run.started))
        return _finding("run_unknown", "warning", run.log, summary, detail, Remedy("run this as root"))
    summary = "the job (pid %d) of %s did not come to its end%s: everybody after that got no mail" % (run.pid, local(run.started), sending)
    remedy = Remedy(
        "see what cron mailed to its MAILTO: the error is there, not in the log; mend its cause and run the job again with --date=%s" % (run.date or state.date)
    )
    return _finding("died", "critical", run.log, summary, detail, remedy)


def _overdue(state: MailState) -> List[CronLine]:
    """Lines that were due and have no run to show for it. Each run counts once; those that tell their job go first."""
    free = list(state.runs)
    late = []
    for line in state.cron:
        if not line.active or line.exists is False or line.must_show is None:
            continue
        due = line.must_show - _EARLY
        mine = [run for run in free if run.started >= due and line.script.endswith(run.script) and run.job in (line.job, None)]
        mine.sort(key=lambda run: run.job is None)
        if mine:
            free.remove(mine[0])
        else:
            late.append(line)
    return late


def _late(overdue: Sequence[CronLine], newest: Run) -> Finding:
    line = overdue[0]
    summary = "%s was due on %s (%s line %d) and has not run; the newest run began on %s" % (
        _JOBS[line.job],
        local(line.must_show),
        line.line.file,
        line.line.number,
        local(newest.started),
    )
    remedy = Remedy("see whether cron runs (systemctl status cron or crond), whether %s may use it, and what it mailed to its MAILTO" % line.line.user)
    return _finding("overdue", "critical", line.job, summary, {"lines": [each.to_dict() for each in overdue]}, remedy)


def _errors(state: MailState) -> List[Finding]:
    runs = [run for run in state.runs if run.date == state.date or state.now - run.started < state.max_age]
    found = []
    refused = [mail for run in runs for mail in run.mails if mail.result in ("refused", "failed")]
    if refused:
        summary = 'the mail server did not take %d mails, first "%s" on %s' % (len(refused), refused[0].subject, local(refused[0].at))
        errors = [error for run in runs for error in run.errors][:_SHOWN]
        found.append(_finding("smtp_refused", "critical", "mail server", summary, {"mails": _subjects(refused), "errors": errors}, Remedy(ITOPS)))
    errors = sorted(error for run in runs for error in run.errors if not refused)  # each begins with its time
    if errors:
        summary = "the job logged %d warnings and errors, newest: %s" % (len(errors), errors[-1])
        found.append(_finding("errors", "warning", runs[0].log, summary, {"errors": errors[-_SHOWN:]}, Remedy("see the log at these times")))
    return found


def _subjects(mails: Sequence[Mail]) -> List[str]:
    return [mail.subject for mail in mails][:_SHOWN]


# -- rows ----------------------------------------------------------------------------------------------------------------


def _rows(state: MailState) -> List[Finding]:
    found = []
    for program in state.programs:
        exact = [row for row in state.rows if row.program == program and row.match == _EXACT]
        alike = [row for row in state.rows if row.program == program and row.match == _ALIKE]
        if not exact:
            found.append(_no_row(program, alike))
        elif len(exact) > 1:
            summary = "%d notifications are of program %s, so its mails are sent %d times" % (len(exact), program, len(exact))
            found.append(_finding("duplicate_rows", "warning", program, summary, {"ids": [row.id for row in exact]}, _source()))
    judged = [(row, row_problems(row.values, state.generation)) for row in state.rows if row.match != _ALIKE]
    skipped = [(row, problems) for row, problems in judged if row.selection is None or row.values["piemail"] is None]
    misread = [(row, problems) for row, problems in judged if problems and (row, problems) not in skipped]
    for what, severity, rows, text in (
        ("skipped", "critical" if state.programs else "warning", skipped, "the job skips %d notifications (PI's address or selection is NULL): %s"),
        ("misread", "warning", misread, "%d notifications hold what the job will not read as it was meant: %s"),
    ):
        if rows:
            row, problems = rows[0]
            first = "%s, field %s (%s): %s" % (_name(row), problems[0]["field"], problems[0]["text"], problems[0]["problem"])
            detail = {"count": len(rows), "rows": [dict(problem, id=each.id, name=_name(each)) for each, told in rows[:_SHOWN] for problem in told]}
            found.append(_finding(what, severity, "notification", text % (len(rows), first), detail, _source()))
    return found


def _source() -> Remedy:
    return Remedy("have it mended in the observatory's database (ODB), where the next load takes it from; or make the job's script smarter")


def _no_row(program: str, alike: Sequence[Row]) -> Finding:
    summary = "no notification is of program %s" % program
    if alike:
        summary += "; %d only look like it: %s" % (len(alike), ", ".join(_name(row) for row in alike[:3]))
    detail = {"look_alikes": [{"id": row.id, "name": _name(row)} for row in alike[:_SHOWN]]}
    remedy = Remedy(
        "see whether notifications are enabled for the program in the observatory's database (ODB), and whether its load runs (get_notifications_from_odb.py)"
    )
    return _finding("no_row", "critical", program, summary, detail, remedy)


def _name(row: Row) -> str:
    return str(row.selection or row.values["label"] or "row %d" % row.id)


def row_facts(state: MailState, row: Row) -> Dict[str, Any]:
    return {
        "id": row.id,
        "label": row.values["label"],
        "selection": row.selection,
        "internal": row.values["internal"],
        "match": row.match,
        "recipients": data_recipients(row.values),
        "check_recipients": check_recipients(row.values),
        "problems": row_problems(row.values, state.generation),
        "mailed": [local(mail.at) for _run, mail in sent_for(state.runs, row.selection or "", state.date)],
    }


# -- answers -------------------------------------------------------------------------------------------------------------


def _answers(state: MailState) -> List[Finding]:
    found = []
    failed = [answer for answer in state.answers if answer.error]
    if failed:
        summary = "the job's question is not answered (%d of %d): %s" % (len(failed), len(state.answers), failed[0].error)
        detail = {"urls": [answer.url for answer in failed[:_SHOWN]]}
        remedy = Remedy("find out why this node does not reach that web site", "fieldops.runbooks.fits_website")
        found.append(_finding("unanswered", "critical", failed[0].job, summary, detail, remedy))
    names = {row.id: row for row in state.rows}
    for answer in state.answers:
        if answer.recognised is False:
            summary = "the selection %s is not understood by the server, so the job passes it over" % _name(names[answer.id])
            found.append(_finding("selection_refused", "critical", _name(names[answer.id]), summary, {"url": answer.url}, _source()))
        elif answer.matched is False:
            summary = "no files of %s are there for %s (%s), so no mail is due" % (_name(names[answer.id]), state.date, _JOBS[answer.job])
            found.append(_finding("no_data", "info", _name(names[answer.id]), summary, {"searchform": answer.searchform}))
        elif answer.matched:
            found += _due(state, names[answer.id], answer)
    return found


def _due(state: MailState, row: Row, answer: Asked) -> List[Finding]:
    """Files are there: was a mail sent?"""
    subject = {DATA: "New Data for ", CHECK: "Data set to CHECK for "}[answer.job] + str(row.selection)
    sent = [mail for _run, mail in sent_for(state.runs, row.selection or "", state.date) if mail.subject == subject and mail.result == "accepted"]
    if sent:
        whom = (data_recipients if answer.job == DATA else check_recipients)(row.values)
        summary = 'the mail server took "%s" on %s, for %s' % (subject, local(sent[0].at), ", ".join(whom) or "nobody but the administrator")
        return [_finding("mailed", "info", _name(row), summary, {"recipients": whom, "at": local(sent[0].at)}, Remedy("if it did not arrive, " + ITOPS))]
    about = [run for run in state.runs if run.date == state.date and run.job in (answer.job, None)]
    if not about:
        return [_no_run(state, row, answer)]
    ran = [run for run in about if run.state == "ended"]
    if not ran:
        return []  # what became of them is another finding
    summary = "files of %s are there for %s, and the run of %s sent no mail: they came later, or it got no answer" % (
        _name(row),
        state.date,
        local(ran[0].started),
    )
    remedy = Remedy("run the job again with --date=%s%s (it mails every program of that night again)" % (state.date, " --check" if answer.job == CHECK else ""))
    return [_finding("not_mailed", "warning", _name(row), summary, {"searchform": answer.searchform, "run": ran[0].to_dict()}, remedy)]


def _no_run(state: MailState, row: Row, answer: Asked) -> Finding:
    """Of the night that is not over the run may be still to come."""
    begin = local(state.runs[-1].started) if state.runs else None
    since = "they begin on %s" % begin if begin else "they are empty"
    summary = "files of %s are there for %s, and the logs tell of no run of %s about that night (%s)" % (_name(row), state.date, _JOBS[answer.job], since)
    severity = "info" if state.date >= time.strftime("%Y%m%d", time.gmtime(state.now)) else "warning"
    remedy = Remedy("if no mail came, run the job with --date=%s%s" % (state.date, " --check" if answer.job == CHECK else ""))
    return _finding("no_run", severity, _name(row), summary, {"searchform": answer.searchform, "log_from": begin}, remedy)
