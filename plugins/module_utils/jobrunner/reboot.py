# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making running jobs ready for a reboot: reading, and one change at a time."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Mapping, Sequence

from ..connect.docker import Docker
from ..connect.sqlite import Database
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.errors import Refusal
from . import job_objects, reboot_plan, reboot_service
from .errors import JobRunnerError
from .objects import Objects, all_objects
from .place import Place
from .reboot_plan import ActiveJob, RebootState
from .reboot_service import SERVICE
from .rows import JOB, change_job
from .tables import active_jobs, read_layout, unknown_words
from .transitions import RESET, reset


class Reboot(Procedure[RebootState]):
    """Resets all running jobs, with nothing left of them."""

    name = "jobrunner_prepare_for_reboot"

    def __init__(self, params: Mapping[str, Any], clock: Callable[[], float] = time.time) -> None:
        self.service: str = params["service"]
        self.stop_service = bool(params["stop_service"])
        self.stop_timeout = reboot_service.checked_timeout(float(params["stop_timeout"]))
        self.place = Place.of(params)
        job_objects.must_have(self.place.high)
        self.database = Database(self.place.database)
        self.docker = Docker(self.place.docker_host)
        self.clock = clock
        self.left: List[Change] = []
        """What is still to be made of the plan."""

    def close(self) -> None:
        self.database.close()
        self.docker.close()

    def observe(self) -> RebootState:
        service = reboot_service.look(self.service)
        with self.database.reading():
            read_layout(self.database)
            rows = active_jobs(self.database)
        odd = unknown_words(rows)
        if odd:
            text = "job %s is in state %r with code %r, which upstream does not know: its main loop dies of it. Mend that row first"
            raise JobRunnerError(text % (odd[0]["id"], odd[0]["state"], odd[0]["status_code"]))
        objects = all_objects(self.docker, self.place.high)
        return RebootState(tuple(ActiveJob(row, objects.get(row["id"], Objects(row["id"]))) for row in rows), service)

    def diagnose(self, state: RebootState) -> List[Finding]:
        return reboot_plan.diagnose(state)

    def plan(self, state: RebootState) -> List[Change]:
        self.left = reboot_plan.plan(state, self.stop_service)
        return list(self.left)

    def guards(self, state: RebootState, plan: Sequence[Change]) -> List[Refusal]:
        return reboot_plan.guards(state, self.stop_service)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._apply(change) for change in changes]

    def facts(self, state: RebootState) -> Mapping[str, Any]:
        concerned = [job for job in state.jobs if job.running or job.unfinished]
        return {"ready": state.ready, "jobs": [reboot_plan.told(job) for job in concerned], "service": state.service.to_dict()}

    def context(self) -> Mapping[str, Any]:
        timeout, high = self.stop_timeout, self.place.high
        return {"database": self.database.path, "docker_host": self.place.docker_host, "high": high, "service": self.service, "timeout": timeout}

    def _apply(self, change: Change) -> Outcome:
        if change.subject.startswith(SERVICE):
            reboot_service.steer("stop", self.service, self.stop_timeout)
            self._still_so(self.left[1:])
            return Outcome(True)
        if change.subject.startswith(JOB):
            return change_job(self.database, change, lambda row: reset(row, self.clock()), RESET)
        return job_objects.apply(self.docker, change)

    def _still_so(self, planned: Sequence[Change]) -> None:
        """Until it was stopped the service went on: what nobody has seen in the plan is not done."""
        now = reboot_plan.plan_jobs(self.observe())
        if [change.identity() for change in now] != [change.identity() for change in planned]:
            moved = sorted({change.subject for change in [*now, *planned]} - {change.subject for change in now if change in planned})
            raise JobRunnerError(
                "the service is stopped now, but until then it went on with its jobs (%s), so that the plan is out of date and nothing else was done; "
                "run it again, which plans from what is there now" % ", ".join(moved[:5])
            )
