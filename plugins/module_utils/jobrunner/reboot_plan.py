# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making running jobs ready for a reboot: what is so, what is to be done, and what refuses. Pure: no I/O.

Upstream resets the row first and takes the containers away after it. Where the engine is lost in between, its second run passes the job over, and after
the reboot the job is filed as failed. Here the row comes last, and a pending job that has a container or a volume is unfinished business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ..procedure.envelope import Change, Finding, Remedy
from ..procedure.errors import Refusal
from . import job_objects
from .objects import Objects
from .reboot_service import ServiceSeen, plan_stop
from .rows import row_change
from .transitions import RESET, Row, reset

REBOOT = ("opensafely-jobrunner.md", "Preparing for reboot")
_SHOWN = 20


@dataclass(frozen=True)
class ActiveJob:
    """A job that has not ended, with what there is of it."""

    row: Row
    objects: Objects

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def running(self) -> bool:
        return bool(self.row["state"] == "running")

    @property
    def unfinished(self) -> bool:
        """An earlier preparation was cut off: the row is reset, and its objects are still there."""
        return not self.running and self.objects.any

    @property
    def title(self) -> str:
        return "%s (%s of %s, %s)" % (self.id, self.row["action"], self.row["workspace"], self.row["status_code"])


@dataclass(frozen=True)
class RebootState:
    """All active jobs, oldest first."""

    jobs: Tuple[ActiveJob, ...]
    service: ServiceSeen

    @property
    def running(self) -> List[ActiveJob]:
        return [job for job in self.jobs if job.running]

    @property
    def unfinished(self) -> List[ActiveJob]:
        return [job for job in self.jobs if job.unfinished]

    @property
    def ready(self) -> bool:
        return not (self.running or self.unfinished or self.service.runs)


def plan(state: RebootState, stop_service: bool) -> List[Change]:
    """The service first, then job by job: container, manager, volume, and the row when nothing of it is left."""
    stops = [plan_stop(state.service, "jobs are reset only while nothing works on them")] if stop_service and state.service.on else []
    return stops + plan_jobs(state)


def plan_jobs(state: RebootState) -> List[Change]:
    return [change for job in state.jobs for change in _of(job)]


def _of(job: ActiveJob) -> List[Change]:
    if not (job.running or job.unfinished):
        return []
    reason = "its job starts anew after the reboot" if job.running else "its job is reset already, and would be filed as failed if this were left"
    loss = job_objects.unsaved(job.row, job.objects)
    gone = [*job_objects.kill(job.objects, reason), *job_objects.remove(job.objects, reason, loss)]
    return [*gone, *row_change("reset", job.row, reset(job.row, 0.0), RESET, "it starts anew after the reboot", not gone)]


def guards(state: RebootState, stop_service: bool) -> List[Refusal]:
    if not state.service.runs or (stop_service and state.service.on):
        return []
    if state.service.on:
        allow = "stop_service: true, which stops it first; or stop it by hand (just jobrunner/stop)."
    else:
        allow = "ending that process, which systemd knows nothing of."
    return [Refusal("service_running", "job-runner works, and would start and end jobs meanwhile: %s." % state.service.told(), allow)]


# -- what is so --------------------------------------------------------------------------------------------------------


def diagnose(state: RebootState) -> List[Finding]:
    findings = [*_service(state.service), *_jobs(state), *_unsaved(state)]
    if state.ready:
        pending = len(state.jobs)
        text = "nothing runs: safe to reboot; %s" % ("%d jobs wait and start after it" % pending if pending else "no job waits")
        findings.append(Finding("jobrunner.reboot.ready", "ok", "jobs", text, {"pending": pending}, None, REBOOT))
    return findings


def _service(seen: ServiceSeen) -> List[Finding]:
    detail = seen.to_dict()
    if seen.runs:
        return [Finding("jobrunner.reboot.service_running", "info", seen.name, "the service runs: %s" % seen.told(), detail, None, REBOOT)]
    if not seen.known:
        blind = ", and processes of other users cannot be seen" if seen.blind else "; no process runs jobrunner.service"
        text = "systemd knows no unit %s%s: see that nothing works on the jobs" % (seen.name, blind)
        return [Finding("jobrunner.reboot.service_unknown", "warning", seen.name, text, detail, None, REBOOT)]
    return []


def _jobs(state: RebootState) -> List[Finding]:
    findings = []
    if state.running:
        text = "%d jobs run, and would fail at a reboot: %s" % (len(state.running), _titles(state.running))
        remedy = Remedy("reset them, so that they start anew after it", "fieldops.runbooks.jobrunner_prepare_for_reboot")
        findings.append(Finding("jobrunner.reboot.running", "warning", "jobs", text, _ids(state.running), remedy, REBOOT))
    if state.unfinished:
        text = "%d jobs are reset, but their containers or volumes are still there, so that they would be filed as failed: %s" % (
            len(state.unfinished),
            _titles(state.unfinished),
        )
        remedy = Remedy("finish the preparation", "fieldops.runbooks.jobrunner_prepare_for_reboot")
        findings.append(Finding("jobrunner.reboot.unfinished", "critical", "jobs", text, _ids(state.unfinished), remedy, REBOOT))
    return findings


def _unsaved(state: RebootState) -> List[Finding]:
    jobs = [job for job in state.jobs if job_objects.unsaved(job.row, job.objects) and job.objects.any]
    if not jobs:
        return []
    text = "%d jobs have finished, and their results are not filed yet: %s" % (len(jobs), _titles(jobs))
    remedy = Remedy("pause the service and let it run until they are filed; or accept that they are done again")
    return [Finding("jobrunner.reboot.unsaved", "warning", "jobs", text, _ids(jobs), remedy, REBOOT)]


def _ids(jobs: Sequence[ActiveJob]) -> Dict[str, Any]:
    return {"count": len(jobs), "job_ids": [job.id for job in jobs]}


def _titles(jobs: Sequence[ActiveJob]) -> str:
    shown = ", ".join(job.title for job in jobs[:_SHOWN])
    return shown + (" and %d more" % (len(jobs) - _SHOWN) if len(jobs) > _SHOWN else "")


def told(job: ActiveJob) -> Mapping[str, Any]:
    """One job as results show it."""
    known = {name: job.row[name] for name in ("state", "status_code", "status_message", "action", "workspace")}
    return dict(known, job_id=job.id, unfinished=job.unfinished, **job_objects.told(job.objects))
