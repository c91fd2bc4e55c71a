# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking back what was done to jobs, flags and the service: rows in one transaction, saved logs, a stop.

A container that was killed or removed does not come back; a row whose container went with it is marked irreversible in the plan.
"""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker
from ..connect.sqlite import Database
from ..procedure.envelope import Change, Image, Outcome
from ..procedure.errors import Refusal
from ..procedure.undo import Store, StoreFactory
from . import job_logs, job_objects, reboot_service
from .errors import JobRunnerError
from .reboot_schedule import MaintenanceStore
from .reboot_service import SERVICE, UP
from .rows import FLAG, JOB, Moved, now_images, put_back
from .tables import read_layout

_ROWS = (JOB, FLAG)
Seen = Tuple[Optional[Image], Any]


class JobStore(Store):
    """Subjects of one run, on the database and the engine that it was made on."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.database = Database(str(header["database"]))
        self.docker = Docker(str(header["docker_host"])) if "docker_host" in header else None
        self.service = str(header.get("service", ""))
        self.timeout = float(header.get("timeout", 0.0))

    def close(self) -> None:
        self.database.close()
        if self.docker is not None:
            self.docker.close()

    def read(self, changes: Sequence[Change]) -> List[Seen]:
        rows = [change for change in changes if change.subject.startswith(_ROWS)]
        seen: Dict[str, Seen] = {}
        if rows:
            with self.database.reading():
                read_layout(self.database)
                seen = dict(zip([change.subject for change in rows], now_images(self.database, rows)))
        return [seen[change.subject] if change.subject in seen else (self._now(change), None) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        """Rows are put back only while the main loop cannot be at them."""
        back = [change for change in plan if change.subject.startswith(JOB) and (change.after or {}).get("state") == "running"]
        seen = reboot_service.look(self.service) if back and self.service else None
        if seen is None or not seen.runs:
            return []
        reason = "%d rows would be running again under a service that has gone on without them: %s." % (len(back), seen.told())
        return [Refusal("service_running", reason, "stopping the service first.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        rows = [change for change in changes if change.subject.startswith(_ROWS)]
        try:
            made = dict(zip([change.subject for change in rows], put_back(self.database, rows, time.time()) if rows else []))
        except Moved:
            raise JobRunnerError("a row was changed while the undo was made ready; nothing was put back, run it again") from None
        return [made[change.subject] if change.subject in made else self._apply(change) for change in changes]

    def _apply(self, change: Change) -> Outcome:
        if change.subject.startswith(SERVICE):
            verb = "start" if (change.after or {}).get("active") == UP else "stop"
            reboot_service.steer(verb, self.service, self.timeout)
            return Outcome(True)
        if change.after is not None:
            raise JobRunnerError("the log that was saved in %s cannot be written again: save it by killing the job once more" % change.subject)
        return job_logs.take_back(self.database, change)

    def _now(self, change: Change) -> Optional[Image]:
        if change.subject.startswith(job_logs.LOGS):
            return job_logs.now_image(change.subject)
        if change.subject.startswith(SERVICE):
            return reboot_service.look(self.service).image()
        if self.docker is None:
            raise JobRunnerError("the journal does not say which engine %s is on" % change.subject)
        return job_objects.now_image(self.docker, change.subject)


STORES: Dict[str, StoreFactory] = {
    "jobrunner_flag": JobStore,
    "jobrunner_job": JobStore,
    "jobrunner_maintenance": MaintenanceStore,
    "jobrunner_prepare_for_reboot": JobStore,
}
