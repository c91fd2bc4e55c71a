# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what the e-mails about new data depend on: crontabs, logs, table notification, and the answers of two web sites."""

from __future__ import annotations

import os
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote

from ..connect.crontab import Line, parse
from ..connect.files import tail
from ..connect.http import ask
from ..connect.postgres import Postgres
from ..connect.procfs import hides_others, read_process, started_at
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .errors import FitsError
from .mail_findings import Asked, MailState, Row, diagnose, match, row_facts
from .mail_job import CHECK, DATA, SCRIPTS, CronLine, Run, cron_line, parse_log
from .observe import DEFAULT_DATABASE
from .ot import base_url, program, readable, time_limit
from .tables import read_schema

_ROWS = """
SELECT n.id, n.label, n.selection, n.piemail, n.ngoemail, n.csemail, n.internal FROM notification n
 WHERE %(programs)s::text[] IS NULL
    OR EXISTS (SELECT FROM unnest(%(programs)s::text[]) AS p(id) WHERE strpos(n.selection, p.id) > 0 OR strpos(n.label, p.id) > 0)
 ORDER BY n.id
"""
_COLUMNS = ("id", "label", "selection", "piemail", "ngoemail", "csemail", "internal")
_UNRECOGNISED = b"WARNING: I didn't recognize the following search terms"
_LOG_BYTES = 8 * 1024 * 1024
_CRONTAB_BYTES = 1024 * 1024
_ROTATIONS = 10
_PAGE_BYTES = 4 * 1024 * 1024
_PARALLEL = 8
_RUNS = 20
_QUIET_SENDING, _QUIET = 60.0, 600.0
"""Seconds of silence after which a run hangs: on a mail, or on anything else."""
_STARTING = 120.0
_GRACE = 600.0
"""Seconds between the time that a line is due and the time that its run must show in the log."""
_COPY = re.compile(r"^\.|~$|\.(rpm(save|orig|new)|dpkg-[a-z]+|bak|orig|sw[a-z])$")


class NotificationInfo(Check[MailState]):
    """Why somebody got no e-mail."""

    name = "fits_notification_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.programs = tuple(dict.fromkeys(program(name) for name in params["program_id"]))
        self.date = _date(params["date"])
        self.sites = {DATA: base_url("archive_url", params["archive_url"])}
        if params["fits_url"] is not None:
            self.sites[CHECK] = base_url("fits_url", params["fits_url"])
        self.ca_cert = readable("http_ca_cert", params["http_ca_cert"])
        self.timeout = time_limit(params["timeout"])
        self.limit: int = params["max_entries"] or 10**9
        if not 0 < params["max_age"] < float("inf"):
            raise FitsError("max_age must be more than 0 seconds, not %s" % params["max_age"])
        self.postgres = Postgres(params, DEFAULT_DATABASE)

    def close(self) -> None:
        self.postgres.close()

    def observe(self) -> MailState:
        now = time.time()
        generation = read_schema(self.postgres).generation
        unreadable: List[str] = []
        crontabs, lines = self._crontabs(unreadable)
        cron = tuple(found for found in (cron_line(line) for line in lines) if found is not None)
        logs, runs = self._logs(unreadable)
        rows = self._rows()
        return MailState(
            generation,
            self.date,
            now,
            self.params["max_age"],
            self.programs,
            tuple(_on_disk(line, now) for line in cron),
            tuple(crontabs),
            tuple(unreadable),
            tuple(sorted((judge(run, now) for run in runs), key=lambda run: run.started, reverse=True)),
            tuple(logs),
            rows,
            self._ask(rows, generation),
        )

    def diagnose(self, state: MailState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: MailState) -> Mapping[str, Any]:
        rows = sorted((row_facts(state, row) for row in state.rows), key=lambda row: not row["problems"])
        return {
            "schema_generation": state.generation,
            "database": self.postgres.database,
            "date": state.date,
            "cron": [line.to_dict() for line in state.cron],
            "notifications": rows[: self.limit],
            "answers": [answer.to_dict() for answer in state.answers],
            "runs": [run.to_dict() for run in state.runs[:_RUNS]],
        }

    def evidence(self, state: MailState) -> Mapping[str, Any]:
        return {
            "crontabs": list(state.crontabs),
            "logs": list(state.logs),
            "unreadable": list(state.unreadable),
            "not_asked": [] if CHECK in self.sites or not self.programs else ["fits_url is not given, so the question of --check was not asked"],
            "log_from": min((run.to_dict()["started"] for run in state.runs), default=None),
            "rows": len(state.rows),
        }

    # -- crontabs --------------------------------------------------------------------------------------------------------

    def _crontabs(self, unreadable: List[str]) -> Tuple[List[str], List[Line]]:
        """Names of the crontabs that were read, and their lines."""
        wanted: List[Tuple[str, Optional[str]]] = []
        for directory in self.params["cron_dirs"]:
            wanted += [(os.path.join(directory, _user(name)), name) for name in self.params["cron_users"]]
        for path in self.params["system_crontabs"]:
            wanted += [(file, None) for file in _system_crontabs(path, unreadable)]
        read: List[str] = []
        lines: List[Line] = []
        seen = set()
        for path, user in wanted:
            try:
                text, inode = _read(path)
            except FileNotFoundError:
                continue
            except OSError as exc:
                unreadable.append("%s: %s" % (path, exc.strerror or exc))
                continue
            if inode not in seen:  # one directory under two names
                seen.add(inode)
                read.append(path)
                lines += parse(text, path, user)
        return read, lines

    # -- logs ------------------------------------------------------------------------------------------------------------

    def _logs(self, unreadable: List[str]) -> Tuple[List[str], List[Run]]:
        read: List[str] = []
        runs: List[Run] = []
        for directory in self.params["log_dir"]:
            for script in SCRIPTS:
                path = os.path.join(directory, script + ".log")
                try:
                    lines = log_lines(path, _LOG_BYTES)
                except FileNotFoundError:
                    continue
                except OSError as exc:
                    unreadable.append("%s: %s" % (path, exc.strerror or exc))
                    continue
                read.append(path)
                runs += parse_log(lines, path)
        return read, runs

    # -- rows ------------------------------------------------------------------------------------------------------------

    def _rows(self) -> Tuple[Row, ...]:
        """A row is listed for each program that it may be taken for."""
        found: List[Row] = []
        for values in self.postgres.rows(_ROWS, {"programs": list(self.programs) or None}):
            row = dict(zip(_COLUMNS, values))
            if not self.programs:
                found.append(Row(row["id"], row, "any"))
                continue
            exact = [name for name in self.programs if match(name, row)]
            alike = [name for name in self.programs if name not in exact and name in "%s %s" % (row["selection"], row["label"])]
            found += [Row(row["id"], row, "exact", name) for name in exact] + [Row(row["id"], row, "look_alike", name) for name in alike if not exact]
        return tuple(found)

    # -- answers ---------------------------------------------------------------------------------------------------------

    def _ask(self, rows: Sequence[Row], generation: str) -> Tuple[Asked, ...]:
        """What the job would ask, all at once."""
        selections = {row.id: row.selection for row in rows if row.match == "exact" and row.selection}
        questions = [(number, job, selection) for number, selection in selections.items() for job in self.sites]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return tuple(pool.map(lambda question: self._ask_one(generation, *question), questions))

    def _ask_one(self, generation: str, number: int, job: str, selection: str) -> Asked:
        night = self.date if generation in ("A", "B") else "night=" + self.date
        plain = quote(selection, safe="/=,:;+~@()*!$&'?#%")
        url = "%s/summary/nolinks/%s/%s%s" % (self.sites[job], night, plain, "/CHECK" if job == CHECK else "")
        answer = ask(url, timeout=self.timeout, limit=_PAGE_BYTES, ca_cert=self.ca_cert)
        error = answer.error if answer.kind else "" if answer.ok else "%s answers with status %s" % (url, answer.status)
        recognised = None if error else _UNRECOGNISED not in answer.body
        matched = None if error else bool(recognised) and b".fits" in answer.body
        return Asked(number, job, url, "%s/searchform/%s/%s" % (self.sites[job], night, plain), answer.status, error, recognised, matched)


def judge(run: Run, now: float) -> Run:
    """What became of a run that has not said that it ended."""
    if run.ended:
        return replace(run, state="ended")
    process = read_process(run.pid)
    if process is None or os.path.basename(process.script() or "") != run.script or abs(started_at(process) - run.started) > _STARTING:
        return replace(run, state="unknown" if process is None and hides_others() else "died")
    job = run.job or (CHECK if "--check" in process.argv else DATA)
    quiet = now - run.last
    return replace(run, job=job, state="hung" if quiet > (_QUIET_SENDING if run.sending else _QUIET) else "running")


def log_lines(path: str, size: int) -> List[str]:
    """The last ``size`` bytes of a log and of those that it was rotated into, oldest first."""
    lines: List[str] = []
    for name in [path] + ["%s.%d" % (path, number) for number in range(1, _ROTATIONS + 1)]:
        try:
            if size <= 0 or not stat.S_ISREG(os.stat(name).st_mode):
                break
            lines[:0] = tail(name, size)
            size -= os.stat(name).st_size
        except FileNotFoundError:
            if name == path:
                raise
            break
    return lines


def _on_disk(line: CronLine, now: float) -> CronLine:
    """Whether its script is there, which other one is, and when it is due."""
    schedule = line.line.when()
    directory, name = os.path.split(line.script)
    other = next((os.path.join(directory, each) for each in SCRIPTS if each != name), "")
    exists = _exists(line.script)
    return replace(
        line,
        exists=exists,
        other_script=other if exists is False and _exists(other) else "",
        last_due=schedule.last(now) if schedule else None,
        next_due=schedule.next(now) if schedule else None,
        must_show=schedule.last(now - _GRACE) if schedule else None,
    )


def _exists(path: str) -> Optional[bool]:
    """None where it cannot be seen, or depends on the directory that it is run in."""
    if not os.path.isabs(path):
        return None
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None


def _system_crontabs(path: str, unreadable: List[str]) -> List[str]:
    """A file, or those of a directory that cron reads: no hidden files, no copies of editors and package managers."""
    if not os.path.isdir(path):
        return [path]
    try:
        names = sorted(os.listdir(path))
    except OSError as exc:
        unreadable.append("%s: %s" % (path, exc.strerror or exc))
        return []
    return [os.path.join(path, name) for name in names if not _COPY.search(name)]


def _read(path: str) -> Tuple[str, Tuple[int, int]]:
    """The text of a regular file, and which file it is."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(0, "it is not a regular file")
        return file.read(_CRONTAB_BYTES).decode("utf-8", "replace"), (info.st_dev, info.st_ino)


def _user(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._][A-Za-z0-9._@$-]*", name) or name in (".", ".."):
        raise FitsError("cron_users: %r is not the name of a user" % name)
    return name


def _date(text: str) -> str:
    if text == "today":
        return time.strftime("%Y%m%d", time.gmtime())
    try:
        if re.fullmatch(r"[0-9]{8}", text):
            return datetime.strptime(text, "%Y%m%d").strftime("%Y%m%d")
    except ValueError:
        pass
    raise FitsError("date must be today or a night such as 20190803 (YYYYMMDD), not %r" % text)
