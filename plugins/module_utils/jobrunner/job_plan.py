# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Killing jobs and trying their results again: what is so, what is to be done, and what refuses. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Tuple

from ..procedure.envelope import Change, Finding, Remedy
from ..procedure.errors import Refusal
from . import job_logs, job_objects
from .objects import Objects
from .rows import row_change
from .tables import ACTIVE, MESSAGES
from .transitions import KILLED, RETRIED, Row, killed, retried

KILL = ("opensafely-jobrunner.md", "Killing a job")
RETRY = ("opensafely-jobrunner.md", 'Retrying a job which failed with "Internal error"')


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    state: str
    cleanup: bool = False
    force: bool = False


@dataclass(frozen=True)
class Job:
    """One job as the database and the engine have it."""

    row: Row
    objects: Objects
    log_path: str = ""
    """Where its log would be saved."""
    log_there: bool = False
    """There is something already."""
    saved: str = ""
    """Where the log of this container was saved."""
    dependants: Tuple[str, ...] = ()
    """Pending jobs that wait for it."""

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def active(self) -> bool:
        return self.row["state"] in ACTIVE

    @property
    def title(self) -> str:
        return "job %s (%s of %s)" % (self.id, self.row["action"], self.row["workspace"])


@dataclass(frozen=True)
class JobsState:
    """All jobs that were named. ``service`` is systemd's word for the unit; empty where it could not be asked."""

    jobs: Tuple[Job, ...]
    service: str = ""
    made: FrozenSet[str] = frozenset()
    """Ids of the jobs whose rows this run has written."""


# -- what to do --------------------------------------------------------------------------------------------------------


def plan(state: JobsState, wish: Wish) -> List[Change]:
    """Job by job, in the order in which they were named.

    Of a kill the rows come first, as in upstream's command: the main loop takes up no job that has ended, but of an active one whose container
    ends it files the results at once, and dies where the container is removed under it. What is cut off half way is finished by the next run.
    """
    if wish.state == "retried":
        return [change for job in state.jobs for change in _retry(job, wish, job.id in state.made)]
    parts = [_kill(job, wish) for job in state.jobs]
    return [change for row, _objects in parts for change in row] + [change for _row, objects in parts for change in objects]


def _kill(job: Job, wish: Wish) -> Tuple[List[Change], List[Change]]:
    """What is done to the row, and what to process, log and objects."""
    objects = job.objects
    ends = job_objects.kill(objects, "it is asked for")
    gone = job_objects.remove(objects, "its job is killed, with cleanup", job_objects.unsaved(job.row, objects)) if wish.cleanup else []
    logs = [] if job.saved else job_logs.plan(objects, job.log_path, job.log_there, "what it wrote is kept for whoever asks")
    row = row_change("kill", job.row, killed(job.row, 0.0), KILLED, "it is asked for", not ends and not gone)
    return row, [*ends, *logs, *gone]


def _retry(job: Job, wish: Wish, made: bool) -> List[Change]:
    if made and job.row["state"] != "failed":
        return []  # the main loop goes on with it
    if _refusal(job) and not wish.force:
        return []
    return row_change("retry", job.row, retried(job.row, 0.0), RETRIED, "its results are to be taken from its container once more", True)


# -- what refuses ------------------------------------------------------------------------------------------------------


def guards(state: JobsState, wish: Wish) -> List[Refusal]:
    if wish.state != "retried":
        return []
    return [refusal for refusal in (_container_gone(job) or (None if wish.force else _refusal(job)) for job in state.jobs) if refusal]


def _container_gone(job: Job) -> Optional[Refusal]:
    if job.objects.container is not None or _being_retried(job):
        return None
    reason = "Cannot reset job, associated container does not exist: there is no container of %s." % job.title
    return Refusal("container_gone", reason, "nothing here: what it made is gone with its container; the job has to be requested again.")


def _refusal(job: Job) -> Optional[Refusal]:
    """Where upstream's command would go on and do harm."""
    if _being_retried(job):
        return None
    if job.active:
        reason = "%s is %s (%s): nothing has failed, and a retry would only overwrite what the main loop knows of it." % (
            job.title,
            job.row["state"],
            job.row["status_code"],
        )
        return Refusal("not_failed", reason, "waiting until it has ended; force: true resets it all the same, as upstream's command does.")
    if job.row["state"] == "succeeded":
        reason = "%s has succeeded, and its results are filed." % job.title
        return Refusal("not_failed", reason, "force: true files them once more, over whatever a later run of the action has put there.")
    if job.objects.container is not None and not (job.objects.volume or job.objects.directory):
        reason = "the volume of %s is gone: there is nothing to take results from, and the main loop would end with an error at the attempt." % job.title
        return Refusal("volume_gone", reason, "force: true; else the job has to be requested again.")
    return None


def _being_retried(job: Job) -> bool:
    return bool(job.row["state"] == "running" and job.row["status_message"] == MESSAGES["retried"])


# -- what is so --------------------------------------------------------------------------------------------------------


def diagnose(state: JobsState, wish: Wish) -> List[Finding]:
    findings: List[Finding] = []
    for job in state.jobs:
        findings += _about_killed(job, wish, job.id in state.made) if wish.state == "killed" else _about_retried(job, state)
    return findings


def _about_killed(job: Job, wish: Wish, made: bool) -> List[Finding]:
    row = job.row
    findings = []
    if job.active:
        findings.append(_finding(job, "active", "info", "%s is %s (%s)" % (job.title, row["state"], row["status_code"]), KILL))
    elif made and row["status_code"] != "killed_by_admin":
        text = "%s is killed, but the main loop had it in hand and has ended it as %s: see whether the service still runs" % (job.title, row["status_code"])
        findings.append(_finding(job, "overtaken", "warning", text, KILL, Remedy("look at the service", "fieldops.runbooks.jobrunner_triage")))
    else:
        how = "was killed" if row["status_code"] == "killed_by_admin" else "has ended as %s, and stays so" % row["status_code"]
        findings.append(_finding(job, "ended", "ok", "%s %s" % (job.title, how), KILL))
    if job.objects.any and not job.active and not wish.cleanup:
        remedy = Remedy("when nobody needs them any more: jobrunner_job with state: killed and cleanup: true")
        text = "container and volume of %s are kept for debugging; cleanup: true removes them" % job.title
        findings.append(_finding(job, "kept", "info", text, KILL, remedy))
    if job.dependants and (job.active or row["state"] == "failed"):
        many = "%d jobs wait" % len(job.dependants) if len(job.dependants) > 1 else "job %s waits" % job.dependants[0]
        findings.append(_finding(job, "dependants", "warning", "%s for %s, and will fail with it (dependency_failed)" % (many, job.title), KILL))
    return findings


def _about_retried(job: Job, state: JobsState) -> List[Finding]:
    row = job.row
    findings = [_finding(job, str(row["state"]), "ok" if row["state"] != "failed" else "info", "%s is %s" % (job.title, row["status_code"]), RETRY)]
    if state.service not in ("active", "reloading", ""):
        text = "the service is %s: %s is taken up, and told to job-server, only when it runs again" % (state.service, job.title)
        findings.append(_finding(job, "service_down", "warning", text, RETRY, Remedy("start the service", "fieldops.runbooks.jobrunner_after_restart")))
    if row["cancelled"]:
        text = "%s was cancelled by its user: the main loop will end it as cancelled_by_user, without its results" % job.title
        findings.append(_finding(job, "cancelled", "warning", text, RETRY))
    return findings


def _finding(job: Job, code: str, severity: str, summary: str, runbook: Tuple[str, str], remedy: Optional[Remedy] = None) -> Finding:
    detail: Dict[str, Any] = {"state": job.row["state"], "status_code": job.row["status_code"], "dependants": list(job.dependants)}
    return Finding("jobrunner.job." + code, severity, job.id, summary, detail, remedy, runbook)


def told(job: Job) -> Mapping[str, Any]:
    """One job as results show it."""
    row = job.row
    known = {name: row[name] for name in ("state", "status_code", "status_message", "action", "workspace", "cancelled", "completed_at")}
    known["cancelled"] = bool(known["cancelled"])
    return dict(known, job_id=job.id, logs=job.saved or None, dependants=list(job.dependants), **job_objects.told(job.objects))
