# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The notification job: its scripts in both eras, the lines of crontabs that run it, and what its logs tell of its runs. Pure."""

from __future__ import annotations

import os
import re
import shlex
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ..connect.command import redact
from ..connect.crontab import Line

SCRIPTS = {"YouGotDataEmail.py": "A and B", "send_new_data_notification_emails.py": "C"}
"""Name of the script, and so of its log, by generation. The lines of the first one's log say YouveGotDataEmail.py."""
DATA, CHECK = "data", "check"
SUBJECTS = {DATA: "New Data for ", CHECK: "Data set to CHECK for "}

_SCRIPT = re.compile(r"(?:^|[\s'\"=])([^\s'\"=]*(?:%s))(?=$|[\s'\"])" % "|".join(map(re.escape, SCRIPTS)))
_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} ([0-9]{1,10}):[^ ]* ([A-Z]+): (.*)")
_START = re.compile(r"(?:YouveGotDataEmail\.py starting for date|send_new_data_notification_emails\.py starting up at .* Processing date) (\S+)")
_END = re.compile(r"(?:YouveGotDataEmail|send_new_data_notification_emails)\.py exiting normally")
_SEND = re.compile(r"Sending Email- To: .*; Subject: (.*)")
_KEPT = 20
_LONGEST = 500


@dataclass(frozen=True)
class CronLine:
    """A line of a crontab that runs the job, or would if it were not commented out (or a dry run)."""

    line: Line
    script: str
    job: str
    active: bool
    exists: Optional[bool] = None
    other_script: str = ""
    """The script of the other era, where that one is installed beside it."""
    last_due: Optional[float] = None
    next_due: Optional[float] = None
    must_show: Optional[float] = None
    """When it was last due so long ago that its run must show in the log."""

    def to_dict(self) -> Dict[str, Any]:
        return {
            "file": self.line.file,
            "line": self.line.number,
            "user": self.line.user,
            "job": self.job,
            "schedule": self.line.schedule,
            "script": self.script,
            "active": self.active,
            "exists": self.exists,
            "last_due": local(self.last_due),
            "next_due": local(self.next_due),
        }


@dataclass
class Mail:
    """One mail. ``result`` is sending, accepted or refused."""

    subject: str
    at: float
    result: str = "sending"


@dataclass
class Run:
    """One run of the job. ``state`` is ended, running, hung, died or unknown; decided by ``judge``."""

    log: str
    script: str
    pid: int
    started: float
    last: float
    date: Optional[str] = None
    job: Optional[str] = None
    ended: bool = False
    state: str = "ended"
    mails: List[Mail] = field(default_factory=list)
    errors: List[str] = field(default_factory=list)

    @property
    def sending(self) -> bool:
        return bool(self.mails) and self.mails[-1].result == "sending"

    def to_dict(self) -> Dict[str, Any]:
        return {
            "log": self.log,
            "pid": self.pid,
            "job": self.job,
            "date": self.date,
            "started": local(self.started),
            "last": local(self.last),
            "state": self.state,
            "mails": [{"subject": mail.subject, "at": local(mail.at), "result": mail.result} for mail in self.mails],
            "errors": self.errors[-_KEPT:],
        }


def cron_line(line: Line) -> Optional[CronLine]:
    """The line as one of this job; None for any other."""
    found = _SCRIPT.search(line.command)
    if found is None:
        return None
    try:
        words = shlex.split(line.command)
    except ValueError:
        words = line.command.split()
    return CronLine(line, found.group(1), CHECK if "--check" in words else DATA, line.active and "--dryrun" not in words)


def parse_log(lines: Iterable[str], log: str) -> List[Run]:
    """Runs in the order in which they began. Both jobs write to one log at the same time; the pid tells them apart."""
    runs: List[Run] = []
    current: Dict[int, Run] = {}
    newest: Optional[Run] = None
    for text in lines:
        found = _LINE.match(text)
        if found is None:
            _continue(newest, text)
            continue
        at, pid, level, message = _seconds(found.group(1)), int(found.group(2)), found.group(3), found.group(4)
        start = _START.search(message)
        if start or (pid not in current and level in ("ERROR", "CRITICAL")):  # it may fail before it says that it starts
            current[pid] = Run(log, os.path.basename(log)[:-4], pid, at, at, _date(start.group(1), at) if start else None)
            runs.append(current[pid])
        newest = current.get(pid)
        if newest is not None:
            newest.last = at
            _take(newest, at, level, message)
    return runs


def _take(run: Run, at: float, level: str, message: str) -> None:
    sent = _SEND.match(message)
    if _END.search(message):
        run.ended = True
    elif sent:
        run.mails.append(Mail(sent.group(1), at))
        run.job = next((job for job, subject in SUBJECTS.items() if sent.group(1).startswith(subject)), run.job)
    elif message.startswith("URL is: "):
        run.job = CHECK if message.endswith("/CHECK") else DATA
    elif run.sending and message.startswith("SMTP seems to have worked OK"):
        run.mails[-1].result = "accepted"
    elif run.sending and message.startswith("Error sending"):
        run.mails[-1].result = "refused"
    elif run.sending and level == "ERROR":
        run.mails[-1].result = "failed"
    if level in ("WARNING", "ERROR", "CRITICAL"):
        run.errors.append("%s %s" % (local(at), _shown(message)))


def _continue(run: Optional[Run], text: str) -> None:
    """A traceback follows its line; what it comes to stands in its last one."""
    if run is not None and run.errors and text.strip() and not text.startswith((" ", "Traceback")):
        run.errors[-1] = "%s | %s" % (run.errors[-1].split(" | ", 1)[0], _shown(text))


def _shown(text: str) -> str:
    return redact("".join(char if char.isprintable() else "?" for char in text.strip())[:_LONGEST], ())


def _seconds(text: str) -> float:
    try:
        return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    except (ValueError, OverflowError):
        return 0.0


def _date(text: str, at: float) -> str:
    """``today`` is that of UTC."""
    return time.strftime("%Y%m%d", time.gmtime(at)) if text == "today" else text


def local(seconds: Optional[float]) -> Optional[str]:
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def sent_for(runs: Sequence[Run], selection: str, date: str) -> List[Tuple[Run, Mail]]:
    """Mails about one selection on one night."""
    subjects = tuple(subject + selection for subject in SUBJECTS.values())
    return [(run, mail) for run in runs if run.date == date for mail in run.mails if mail.subject in subjects]
