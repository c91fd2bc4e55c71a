# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of single jobs, and what it means. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..connect.docker import timestamp
from ..procedure.envelope import Finding, Remedy
from .joblog import Folder, folder_rows
from .metadata import Scrubber, leaked, redacted_container, redacted_metadata
from .names import container_name
from .objects import Objects
from .query import Query
from .service import LogLine, stamp
from .tables import JSON_COLUMNS

_FILE = "opensafely-jobrunner.md"
_ENDED, _LIVE = (_FILE, "View the logs of completed jobs"), (_FILE, "View the logs of running jobs")
_QUERIES, _RETRY = (_FILE, "Debugging slow queries"), (_FILE, 'Retrying a job which failed with "Internal error"')


@dataclass(frozen=True)
class Log:
    """The end of what a job wrote. ``source`` is its container, or the path of the file."""

    source: str = ""
    lines: Sequence[str] = ()
    complete: bool = False
    followed: int = 0
    ended: Optional[bool] = None


@dataclass(frozen=True)
class JobView:
    """One job from all sides. ``inspected`` is the engine's answer as it came: with secrets."""

    row: Mapping[str, Any]
    objects: Objects
    inspected: Optional[Mapping[str, Any]] = field(default=None, repr=False)
    folders: Sequence[Folder] = ()
    log: Log = field(default_factory=Log)
    query: Optional[Query] = None
    service: Sequence[LogLine] = ()
    service_complete: Optional[bool] = None
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.row["id"])


@dataclass(frozen=True)
class JobsState:
    now: float
    jobs: Sequence[JobView]


def shown(view: JobView, now: float, scrubber: Scrubber, with_metadata: bool, with_statement: bool) -> Dict[str, Any]:
    """One job as the module returns it, without secrets. What holds secrets teaches the scrubber before anything is shown."""
    container = redacted_container(view.inspected, scrubber) if view.inspected else None
    newest = next((folder for folder in reversed(view.folders) if folder.metadata), None)
    metadata = redacted_metadata(newest.metadata, scrubber) if newest and newest.metadata else None
    for folder in view.folders:
        if folder.metadata:
            redacted_metadata(folder.metadata, scrubber)
    told: Dict[str, Any] = scrubber.value(
        {
            "id": view.id,
            "row": {name: _column(name, value) for name, value in view.row.items()},
            "objects": view.objects.to_dict(),
            "container": _state(view.inspected),
            "folders": folder_rows(list(view.folders)),
            "log": {
                "source": view.log.source,
                "lines": list(view.log.lines),
                "complete": view.log.complete,
                "followed": view.log.followed,
                "ended": view.log.ended,
            },
            "query": _query(view.query, now, with_statement),
            "service_log": [{"time": stamp(line.time), "text": line.text} for line in view.service],
            "service_log_complete": view.service_complete,
            "missing": dict(view.missing),
        }
    )
    return dict(told, metadata=metadata, container_metadata=container) if with_metadata else dict(told, metadata=None, container_metadata=None)


def _column(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS and isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _state(inspected: Optional[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    if inspected is None:
        return None
    state = inspected["State"]
    return {
        "name": inspected["Name"].lstrip("/"),
        "status": state["Status"],
        "pid": state.get("Pid") or None,
        "exit_code": None if state["Running"] else state["ExitCode"],
        "oom_killed": bool(state.get("OOMKilled")),
        "started_at": stamp(timestamp(str(state.get("StartedAt", "")))),
        "finished_at": stamp(timestamp(str(state.get("FinishedAt", "")))),
    }


def _query(query: Optional[Query], now: float, with_statement: bool) -> Optional[Dict[str, Any]]:
    if query is None:
        return None
    age = None if query.issued is None else round(max(0.0, now - query.issued), 1)
    told = {"program": query.program, "name": query.name, "issued_at": stamp(query.issued), "age": age, "running": query.running}
    return dict(told, statement=query.statement if with_statement else None, statement_length=len(query.statement))


# -- findings ---------------------------------------------------------------------------------------------------------------


def diagnose(state: JobsState, max_query_age: float) -> List[Finding]:
    return [finding for view in state.jobs for finding in _job(view, state.now, max_query_age)]


def _job(view: JobView, now: float, max_query_age: float) -> List[Finding]:
    said = [_waiting(view, now, max_query_age), _internal(view), _memory(view), _leak(view), _no_log(view)]
    found = [finding for finding in said if finding is not None]
    for part, reason in sorted(view.missing.items()):
        found.append(Finding("jobrunner.job.unknown_%s" % part, "warning", view.id, "job %s: %s" % (view.id, reason), {"reason": reason}))
    if all(finding.severity == "info" for finding in found):
        row = view.row
        text = "job %s (%s in workspace %s) is %s: %s" % (view.id, row["action"], row["workspace"], row["status_code"], _first(row["status_message"]))
        found.insert(0, Finding("jobrunner.job.seen", "info" if row["state"] == "failed" else "ok", view.id, text, _detail(view)))
    return found


def _detail(view: JobView) -> Dict[str, Any]:
    return {name: view.row[name] for name in ("state", "status_code", "action", "workspace")}


def _first(message: Any) -> str:
    return str(message or "").partition("\n")[0]


def _waiting(view: JobView, now: float, most: float) -> Optional[Finding]:
    query = view.query
    if query is None or not query.running or query.issued is None or not _up(view):
        return None
    age = now - query.issued
    text = "job %s has been waiting for the database for %s, since %s (%s)" % (view.id, _span(age), stamp(query.issued), query.name or query.program)
    remedy = Remedy("see with fieldops.runbooks.mssql_table_progress_info whether the table that it writes grows") if age > most else None
    detail = {"age": round(age, 1), "program": query.program, "query": query.name}
    return Finding("jobrunner.job.query_running", "warning" if age > most else "info", view.id, text, detail, remedy, _QUERIES)


def _up(view: JobView) -> bool:
    return bool(view.inspected and view.inspected["State"]["Running"])


def _internal(view: JobView) -> Optional[Finding]:
    if view.row["status_code"] != "internal_error":
        return None
    there = view.objects.container is not None
    text = "job %s ended with an internal error; %s" % (
        view.id,
        "its container is still there, so it can be retried" if there else "its container is gone, so it must be run again from job-server",
    )
    remedy = Remedy("find the cause in service_log; then fieldops.runbooks.jobrunner_job with state: retried") if there else None
    return Finding("jobrunner.job.internal_error", "warning", view.id, text, dict(_detail(view), retryable=there), remedy, _RETRY)


def _memory(view: JobView) -> Optional[Finding]:
    state = view.inspected["State"] if view.inspected else {}
    if not state.get("OOMKilled"):
        return None
    text = "job %s: the kernel ended one of its processes for want of memory" % view.id
    return Finding("jobrunner.job.out_of_memory", "warning", view.id, text, {"exit_code": state.get("ExitCode")}, None, _LIVE)


def _leak(view: JobView) -> Optional[Finding]:
    places = {folder.path: leaked(folder.metadata) for folder in view.folders if folder.metadata}
    names = sorted({name for found in places.values() for name in found})
    if not names:
        return None
    paths = sorted(path for path, found in places.items() if found)
    text = "job %s: metadata.json in %s holds %s in clear, as job-runner leaves it when a job is killed" % (view.id, " and ".join(paths), ", ".join(names))
    remedy = Remedy("have the values in that file replaced, and the secrets changed if others could read it")
    return Finding("jobrunner.job.secrets_in_metadata", "warning", view.id, text, {"paths": paths, "variables": names}, remedy, _ENDED)


def _no_log(view: JobView) -> Optional[Finding]:
    if view.folders or view.objects.container is not None or view.row["state"] not in ("failed", "succeeded"):
        return None
    text = "job %s left no log: it has neither a log directory nor a container (%s was never started, or was cancelled before)" % (
        view.id,
        container_name(view.id),
    )
    return Finding("jobrunner.job.no_log", "info", view.id, text, _detail(view), None, _ENDED)


def _span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return "%s%d:%02d:%02d" % ("%d days " % days if days else "", hours, minutes, rest)
