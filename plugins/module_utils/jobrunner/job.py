# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killing jobs and trying their results again: reading database and engine, one change at a time, and seeing that it holds."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Callable, Dict, List, Mapping, Sequence, Set

from ..connect.docker import Docker
from ..connect.service import ServiceError
from ..connect.sqlite import Database
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.errors import Refusal
from . import job_logs, job_objects, job_plan
from .errors import JobRunnerError
from .job_plan import Job, JobsState, Wish
from .names import ID, checked_ids
from .objects import objects_of
from .place import Place
from .rows import JOB, change_job
from .service import read_service
from .tables import jobs, likenesses, read_layout, unknown_words
from .transitions import KILLED, RETRIED, killed, retried

_PAUSE = 0.2
_DEPENDANTS = """
SELECT waiting.id AS id, awaited.value AS awaited
  FROM job AS waiting, json_each(CASE WHEN json_valid(waiting.wait_for_job_ids) THEN waiting.wait_for_job_ids END) AS awaited
 WHERE waiting.state NOT IN ('failed', 'succeeded') AND waiting.state = 'pending' AND awaited.value IN (SELECT value FROM json_each(?))
 ORDER BY waiting.created_at, waiting.id
"""


class Jobs(Procedure[JobsState]):
    """Kills jobs, or has the main loop take their results once more."""

    name = "jobrunner_job"

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self.ids = checked_ids(params["job_id"])
        if not self.ids:
            raise JobRunnerError("job_id names no job: it takes whole ids, for example ab2cd3ef4gh5ij6k")
        self.wish = Wish(params["state"], bool(params["cleanup"]), bool(params["force"]))
        self.settle = float(params["settle"])
        if self.wish.state == "retried" and self.wish.cleanup:
            raise JobRunnerError("cleanup removes what a retry takes the results from; it goes with state: killed only")
        self.place = Place.of(params)
        job_objects.must_have(self.place.high)
        self.service = params["service"]
        self.database = Database(self.place.database)
        self.docker = Docker(self.place.docker_host)
        self.clock = clock
        self.made: Set[str] = set()
        self.unsettled: List[Change] = []
        self.rows: Dict[str, Mapping[str, Any]] = {}

    def close(self) -> None:
        self.database.close()
        self.docker.close()

    def observe(self) -> JobsState:
        state = self._look()
        deadline = time.monotonic() + self.settle
        # The main loop may hold a job as it was a moment ago, and write that back: only what stays so is done.
        while self.made and time.monotonic() < deadline and not job_plan.plan(state, self.wish):
            time.sleep(_PAUSE)
            state = self._look()
        return state

    def diagnose(self, state: JobsState) -> List[Finding]:
        return job_plan.diagnose(state, self.wish)

    def plan(self, state: JobsState) -> List[Change]:
        return job_plan.plan(state, self.wish)

    def guards(self, state: JobsState, plan: Sequence[Change]) -> List[Refusal]:
        return job_plan.guards(state, self.wish)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._apply(change) for change in changes]

    def facts(self, state: JobsState) -> Mapping[str, Any]:
        return {"jobs": [job_plan.told(job) for job in state.jobs]}

    def context(self) -> Mapping[str, Any]:
        return {"database": self.database.path, "docker_host": self.place.docker_host, "high": self.place.high}

    def _apply(self, change: Change) -> Outcome:
        if change.subject.startswith(job_logs.LOGS):
            job_id = os.path.basename(change.subject)[len("os-job-") :]
            return job_logs.apply(self.docker, self.database, change, self.rows[job_id])
        if not change.subject.startswith(JOB):
            self._let_rows_stand()
            return job_objects.apply(self.docker, change)
        job_id = change.subject[len(JOB) :]
        self.made.add(job_id)
        if self.wish.state == "retried":
            return change_job(self.database, change, lambda row: retried(row, self.clock()), RETRIED)
        outcome = self._kill_row(change)
        self.unsettled += [change] if outcome.done else []
        return outcome

    def _kill_row(self, change: Change, follow: bool = False) -> Outcome:
        return change_job(self.database, change, lambda row: killed(row, self.clock()), KILLED, follow)

    def _let_rows_stand(self) -> None:
        """Before the first container ends: the main loop writes back what it held, and then it holds these jobs no more."""
        deadline = time.monotonic() + self.settle
        while self.unsettled and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            for change in self.unsettled:
                self._kill_row(change, follow=True)
        self.unsettled = []

    def _look(self) -> JobsState:
        with self.database.reading():
            read_layout(self.database)
            rows = jobs(self.database, self.ids)
            waiting = self.database.query(_DEPENDANTS, [json.dumps(self.ids)])
            self._must_be_known(rows)
        self.rows = dict(rows)
        dependants = {job_id: tuple(row["id"] for row in waiting if row["awaited"] == job_id) for job_id in self.ids}
        found = tuple(self._job(rows[job_id], dependants[job_id]) for job_id in self.ids)
        return JobsState(found, self._service_state(), frozenset(self.made))

    def _job(self, row: Mapping[str, Any], dependants: Sequence[str]) -> Job:
        high, job_id = self.place.high, str(row["id"])
        objects = objects_of(self.docker, high, job_id)
        path = job_logs.directory(high, job_id, self.clock())
        container = objects.container
        saved = job_logs.saved(high, job_id, container.id, container.state not in job_objects.ALIVE) if container else ""
        return Job(row, objects, path, os.path.isdir(path), saved, tuple(dependants))

    def _must_be_known(self, rows: Mapping[str, Mapping[str, Any]]) -> None:
        for job_id in self.ids:
            if job_id not in rows:
                raise JobRunnerError(self._unknown(job_id))
        odd = unknown_words([dict(row) for row in rows.values()])
        if odd:
            text = "job %s is in state %r with code %r, which upstream does not know: its main loop dies of it. Mend that row first"
            raise JobRunnerError(text % (odd[0]["id"], odd[0]["state"], odd[0]["status_code"]))

    def _unknown(self, job_id: str) -> str:
        alike = likenesses(self.database, job_id)
        told = "upstream's command would have taken it for: %s" % ", ".join(alike) if alike else "no job has that in its id"
        fragment = "%s is no whole job id (16 characters of a to z and 2 to 7), which %s is not searched for"
        what = "there is no job %s in %s" if ID.fullmatch(job_id) else fragment
        return "%s; %s" % (what % (job_id, self.database.path), told)

    def _service_state(self) -> str:
        """Only to say who would take up a retry; what cannot be asked is left open."""
        if self.wish.state != "retried":
            return ""
        try:
            state = read_service(self.service)
        except ServiceError:
            return ""
        return state.active if state.known else ""
