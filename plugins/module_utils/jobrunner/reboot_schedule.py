# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Planned maintenance: a timer on the node, and the program that it starts."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.service import READ_TIMEOUT, ServiceError, call, last_line
from ..connect.sqlite import Database
from ..procedure.argspec import JOURNAL
from ..procedure.check import Procedure
from ..procedure.directory import make_directories, sync_directory, unsafe
from ..procedure.envelope import Change, Finding, Image, Outcome, Remedy
from ..procedure.errors import Refusal
from ..procedure.undo import Store
from . import reboot_program, reboot_timer
from .errors import JobRunnerError
from .place import Place
from .reboot_run import REPORT
from .reboot_service import checked_timeout
from .reboot_timer import TIMER, TimerSeen
from .tables import read_layout

MAINTENANCE = ("opensafely-jobrunner.md", "Planned maintenance")
PROGRAM = "maintenance.pyz"
FILE_SUBJECT, TIMER_SUBJECT = "file:", "timer:%s#" % TIMER
_SHARED = ("workdir", "config_files", "docker_host", "high_privacy_base", "medium_privacy_base", "service", "stop_timeout")
_GUARDS = ("max_changes", "lock_wait", "lock_expiry", "journal_dir", "journal_keep_days", "journal_keep_runs", "limits_dir", "paused")
_MARK = 16


@dataclass(frozen=True)
class Maintenance:
    """What there is. ``file`` is the hash of the program, ``report`` what the last one left."""

    timer: TimerSeen
    file: Optional[str]
    options: Optional[Mapping[str, Any]]
    report: Optional[Mapping[str, Any]]


def plan(seen: Maintenance, path: str, wanted: Optional[str], options: Optional[Mapping[str, Any]]) -> List[Change]:
    """An old timer goes first, then the program comes before its timer, or goes after it. Each timer is a subject of its own, by its mark."""
    now, after = seen.timer, {"mark": wanted[:_MARK], "when": options["when"]} if wanted and options else None
    changes = []
    if now.mark is not None and timer_image(now, now.mark) != after:
        changes.append(Change("cancel", timer_subject(now.mark), timer_image(now, now.mark), None, "it is asked for"))
    file_now, file_after = file_image(seen.file, seen.options), file_image(wanted, options)
    if file_now != file_after:
        changes.append(Change("write" if file_after else "remove", FILE_SUBJECT + path, file_now, file_after, "it is what the timer starts"))
    if after is not None and timer_image(now, after["mark"]) != after:
        changes.append(Change("set", timer_subject(after["mark"]), None, after, "it is asked for"))
    return changes


def timer_subject(mark: str) -> str:
    return "%s%s" % (TIMER_SUBJECT, mark)


def timer_image(seen: TimerSeen, mark: str) -> Optional[Image]:
    """The timer of one mark, if it is that which is set."""
    return {"mark": seen.mark, "when": seen.when} if seen.mark == mark else None


def file_image(digest: Optional[str], options: Optional[Mapping[str, Any]]) -> Optional[Image]:
    return None if digest is None else {"sha256": digest, "options": dict(options) if options else None}


def diagnose(seen: Maintenance, wanted: bool) -> List[Finding]:
    findings = []
    detail = dict(seen.timer.to_dict(), options=seen.options)
    if seen.timer.mark is not None:
        text = "jobs are made ready for a reboot at %s" % (seen.timer.next or "a time that systemd does not tell")
        findings.append(Finding("jobrunner.maintenance.set", "ok", TIMER, text, detail, None, MAINTENANCE))
    elif seen.timer.works:
        findings.append(Finding("jobrunner.maintenance.works", "info", TIMER, "jobs are being made ready for a reboot just now", detail, None, MAINTENANCE))
    else:
        findings.append(Finding("jobrunner.maintenance.none", "info" if wanted else "ok", TIMER, "no maintenance is planned", detail, None, MAINTENANCE))
    if seen.report is not None:
        ok = seen.report.get("status") == "ok"
        text = "the last planned maintenance %s: %s" % ("made jobs ready" if ok else "failed", seen.report.get("msg"))
        remedy = None if ok else Remedy("prepare by hand before the reboot", "fieldops.runbooks.jobrunner_prepare_for_reboot")
        findings.append(
            Finding("jobrunner.maintenance.report", "ok" if ok else "critical", TIMER, text, {"ended": seen.report.get("ended")}, remedy, MAINTENANCE)
        )
    return findings


class Schedule(Procedure[Maintenance]):
    """Sets the timer, or cancels it."""

    name = "jobrunner_maintenance"

    def __init__(self, params: Mapping[str, Any]) -> None:
        if os.geteuid() != 0:
            raise JobRunnerError("only root can set or cancel the timer; this module runs as user id %d" % os.geteuid())
        self.directory: str = params["directory"]
        self.path = os.path.join(self.directory, PROGRAM)
        self.wanted: Optional[Dict[str, Any]] = None
        self.data = b""
        if params["state"] == "present":
            self.wanted = _options(params)
            _check(params)
            reboot_timer.checked(params["on_calendar"], params["on_active"])
            database = Database(Place.of(params).database)
            read_layout(database)  # now, and not at night
            database.close()
            self.data = reboot_program.build(self.wanted)

    def observe(self) -> Maintenance:
        return Maintenance(reboot_timer.look(), digest_of(self.path), reboot_program.options_of(self.path), _report(self.directory))

    def diagnose(self, state: Maintenance) -> List[Finding]:
        return diagnose(state, self.wanted is not None)

    def plan(self, state: Maintenance) -> List[Change]:
        return plan(state, self.path, reboot_program.sha256(self.data) if self.data else None, self.wanted)

    def guards(self, state: Maintenance, plan: Sequence[Change]) -> List[Refusal]:
        if not state.timer.works:
            return []
        return [Refusal("under_way", "jobs are being made ready for a reboot just now, by the program that would be changed.", "waiting until it is done.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [apply(self.path, change, self.data) for change in changes]

    def facts(self, state: Maintenance) -> Mapping[str, Any]:
        return {"timer": state.timer.to_dict(), "options": state.options, "report": state.report}

    def context(self) -> Mapping[str, Any]:
        return {"path": self.path}


def _options(params: Mapping[str, Any]) -> Dict[str, Any]:
    """What the program is to know. No secrets: paths, names and numbers."""
    if (params["on_calendar"] is None) == (params["on_active"] is None):
        raise JobRunnerError("exactly one of on_calendar and on_active says when")
    when = "--on-calendar=%s" % params["on_calendar"] if params["on_calendar"] is not None else "--on-active=%s" % params["on_active"]
    return {
        "when": when,
        "directory": params["directory"],
        "patience": params["patience"],
        "redo_finished": params["redo_finished"],
        "accept_data_loss": list(params["accept_data_loss"]),
        "initiator": {key: value for key, value in (params["initiator"] or {}).items() if value is not None},
        "params": dict({name: params[name] for name in _SHARED}, stop_service=True),
        "guards": {name: params[name] for name in _GUARDS if name in params or name in JOURNAL.options},
    }


def _check(params: Mapping[str, Any]) -> None:
    """What would be wrong only at night, with nobody there."""
    checked_timeout(float(params["stop_timeout"]))
    if not 0 <= float(params["patience"]) < float("inf"):
        raise JobRunnerError("patience takes seconds, 0 or more, and not %g" % params["patience"])
    if not os.path.isabs(params["directory"]):
        raise JobRunnerError("directory %r is no absolute path; the timer would look for its program elsewhere" % params["directory"])


def digest_of(path: str) -> Optional[str]:
    try:
        with open(path, "rb") as file:
            return reboot_program.sha256(file.read())
    except FileNotFoundError:
        return None


def _report(directory: str) -> Optional[Dict[str, Any]]:
    try:
        with open(os.path.join(directory, REPORT), encoding="utf-8") as file:
            known = json.load(file)
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return known if isinstance(known, dict) else None


def apply(path: str, change: Change, data: bytes) -> Outcome:
    if change.subject.startswith(FILE_SUBJECT):
        return _write(path, data) if change.after is not None else _remove(path)
    if change.after is None:
        reboot_timer.stop()
    else:
        reboot_timer.start(change.after["when"], change.after["mark"], path)
    return Outcome(True)


def _write(path: str, data: bytes) -> Outcome:
    """Tried before it counts: what is missing on the node is missing at night as well."""
    directory = os.path.dirname(path)
    make_directories(directory)
    reason = unsafe(directory)
    if reason:
        raise JobRunnerError("the program cannot be kept in %s: %s. Nothing was changed; pass directory, one that only root may write" % (directory, reason))
    new = path + ".new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    with open(new, "xb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _must_run(new)
    os.rename(new, path)
    sync_directory(directory)
    return Outcome(True)


def _must_run(path: str) -> None:
    try:
        code, output, errors = call([sys.executable, "-I", path, "check"], READ_TIMEOUT)
    except ServiceError as exc:
        raise JobRunnerError(str(exc)) from exc
    if code != 0:
        os.unlink(path)
        raise JobRunnerError("the program does not run with %s on this node, so no maintenance was planned: %s" % (sys.executable, last_line(output, errors)))


def _remove(path: str) -> Outcome:
    """With its directory, unless a report or anything else is in it."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))
    return Outcome(True)


class MaintenanceStore(Store):
    """The timer and its program, on the node of one run."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.path = str(header["path"])

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        file, timer = file_image(digest_of(self.path), reboot_program.options_of(self.path)), reboot_timer.look()
        marks = [change.subject[len(TIMER_SUBJECT) :] for change in changes]
        return [(file if change.subject.startswith(FILE_SUBJECT) else timer_image(timer, mark), None) for change, mark in zip(changes, marks)]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """The program first where one comes, last where one goes: the other way round than they were made."""
        return [apply(self.path, change, self._data(change)) for change in changes]

    @staticmethod
    def _data(change: Change) -> bytes:
        wanted = change.after or {}
        if not change.subject.startswith(FILE_SUBJECT) or not wanted:
            return b""
        data = reboot_program.build(wanted.get("options") or {})
        if reboot_program.sha256(data) != wanted["sha256"]:
            raise JobRunnerError("the program of that run was made by another version of this collection, and cannot be made again; plan the maintenance anew")
        return data
