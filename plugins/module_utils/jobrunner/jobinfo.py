# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Single jobs by their exact ids: row, container, logs, metadata, and the query they wait for."""

from __future__ import annotations

import math
import os
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..connect.docker import Docker, DockerError
from ..connect.service import ServiceError
from ..connect.sqlite import Database
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .errors import JobRunnerError
from .jobinfo_state import JobsState, JobView, Log, diagnose, shown
from .joblog import Folder, container_tail, file_tail, folders, follow, service_lines
from .metadata import Scrubber
from .names import checked_ids, container_name
from .objects import Objects, directory_of, objects_of
from .place import Place
from .query import Query, last_query
from .tables import jobs, likenesses, read_layout

LONGEST_FOLLOW = 600.0
MOST_LINES = 100000
_BEFORE = 3600.0
"""Seconds before its row was made from which on the service's log is read: its clock and its database's may differ a little."""


class JobInfo(Check[JobsState]):
    """Reads only."""

    name = "jobrunner_job_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.place = Place.of(params)
        self.params = params
        self.ids = checked_ids(params["job_id"])
        if not self.ids:
            raise JobRunnerError("job_id is empty: name at least one job")
        for name, most in (("log_lines", MOST_LINES), ("service_lines", MOST_LINES), ("query_lines", MOST_LINES), ("follow_seconds", LONGEST_FOLLOW)):
            if not 0 <= params[name] <= most or not math.isfinite(params[name]):
                raise JobRunnerError("%s must be 0 to %g, not %s" % (name, most, params[name]))
        self.docker = Docker(self.place.docker_host, timeout=params["timeout"])

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> JobsState:
        rows = self._rows()
        return JobsState(time.time(), [self._view(rows[job_id]) for job_id in self.ids])

    def diagnose(self, state: JobsState) -> List[Finding]:
        return diagnose(state, self.params["max_query_age"])

    def facts(self, state: JobsState) -> Mapping[str, Any]:
        told = []
        for view in state.jobs:
            scrubber = Scrubber(self.place.config.secrets())
            told.append(shown(view, state.now, scrubber, self.params["metadata"], self.params["statement"]))
        return {"jobs": told}

    def evidence(self, state: JobsState) -> Mapping[str, Any]:
        return {"database": self.place.database, "logs": os.path.join(self.place.high, "logs"), "docker_host": self.place.docker_host}

    def _rows(self) -> Dict[str, Dict[str, Any]]:
        database = Database(self.place.database)
        try:
            with database.reading():
                read_layout(database)
                rows = jobs(database, self.ids)
                unknown = [job_id for job_id in self.ids if job_id not in rows]
                if unknown:
                    raise JobRunnerError("; ".join(_no_job(job_id, likenesses(database, job_id)) for job_id in unknown))
                return rows
        finally:
            database.close()

    def _view(self, row: Mapping[str, Any]) -> JobView:
        job_id, missing = str(row["id"]), {}  # type: str, Dict[str, str]
        objects, inspected = self._docker(job_id, missing)
        found = folders(self.place.high, job_id)
        log = self._log(inspected, found, missing)
        lines, complete = self._service(row, missing)
        return JobView(row, objects, inspected, found, log, self._query(inspected, found, log), lines, complete, missing)

    def _docker(self, job_id: str, missing: Dict[str, str]) -> Any:
        try:
            inspected = self.docker.inspect(container_name(job_id))
            return objects_of(self.docker, self.place.high, job_id), inspected
        except DockerError as exc:
            missing["docker"] = str(exc)
            folder = directory_of(self.place.high, job_id)
            return Objects(job_id, directory=folder if os.path.isdir(folder) else None), None

    def _log(self, inspected: Optional[Mapping[str, Any]], found: Sequence[Folder], missing: Dict[str, str]) -> Log:
        count = self.params["log_lines"]
        if inspected is not None:
            try:
                return self._live(inspected["Name"].lstrip("/"), count)
            except DockerError as exc:
                missing["log"] = str(exc)
        for folder in reversed(found):
            if folder.log_size is not None:
                path = os.path.join(folder.path, "logs.txt")
                try:
                    lines, complete = file_tail(path, count)
                except OSError as exc:
                    missing["log"] = "%s cannot be read: %s" % (path, exc.strerror)
                    return Log(path)
                return Log(path, lines, complete)
        return Log()

    def _live(self, name: str, count: int) -> Log:
        lines = container_tail(self.docker, name, count + 1)
        complete, lines = len(lines) <= count, lines[-count:] if count else []
        seconds = self.params["follow_seconds"]
        if not seconds:
            return Log("container %s" % name, lines, complete)
        new, ended = follow(self.docker, name, lines, seconds, MOST_LINES)
        return Log("container %s" % name, [*lines, *new], complete, len(new), ended)

    def _query(self, inspected: Optional[Mapping[str, Any]], found: Sequence[Folder], log: Log) -> Optional[Query]:
        count = self.params["query_lines"]
        if not count or not log.source:
            return None
        try:
            if inspected is not None:
                return last_query(container_tail(self.docker, inspected["Name"].lstrip("/"), count))
            return last_query(file_tail(log.source, count)[0])
        except (DockerError, OSError):
            return None

    def _service(self, row: Mapping[str, Any], missing: Dict[str, str]) -> Any:
        most = self.params["service_lines"]
        if not most:
            return (), None
        try:
            return service_lines(self.params["service"], str(row["id"]), (row["created_at"] or 0) - _BEFORE, most, self.params["service_timeout"])
        except ServiceError as exc:
            missing["service_log"] = str(exc)
            return (), None


def _no_job(job_id: str, alike: Sequence[str]) -> str:
    text = "%r is no job of this backend; ids are compared whole" % job_id
    return "%s, and it is a part of: %s" % (text, ", ".join(alike)) if alike else text
