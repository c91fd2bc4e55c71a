# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong between the rows of jobs and their Docker objects. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..procedure.envelope import Finding, Remedy
from .info_state import DEBUG, BackendState, Limits, exited, number, row_of, split_ids
from .objects import Objects

_FILE = "opensafely-jobrunner.md"
_REBOOT = (_FILE, "Preparing for reboot")
_RETRY = (_FILE, 'Retrying a job which failed with "Internal error"')
_KILL = (_FILE, "Killing a job")
_RUNNING = (_FILE, "Show currently running jobs")
_CLEANING = 120.0
"""Seconds that job-runner is given to clean up after a job."""
_MOUNT = (_FILE, "Mount the volume of a running job")


def diagnose_jobs(state: BackendState, limits: Limits) -> List[Finding]:
    if state.tables is None or state.engine is None:
        return []
    return [*_unfinished(state), *_not_taken_up(state, limits), *_not_finalised(state, limits), *_without_container(state), *_left(state), *_debugging(state)]


def _unfinished(state: BackendState) -> List[Finding]:
    """A preparation for reboot that was cut off: these jobs count as reset, and what is left of them would be taken for their end."""
    ids = [row["id"] for row in state.pending if row["status_code"] == "waiting_on_reboot" and state.objects(row["id"]).any]
    if not ids:
        return []
    listed, told = split_ids(ids)
    text = "a preparation for reboot was cut off: %s reset, but containers or volumes of it are still there (%s); job-runner would file that as failed"
    remedy = Remedy("finish the preparation before the service is started", "fieldops.runbooks.jobrunner_prepare_for_reboot", {"jobrunner_repair": True})
    detail = {"job_ids": listed, "count": len(ids)}
    return [
        Finding("jobrunner.reboot.unfinished", "critical", "waiting_on_reboot", text % (number(len(ids), "job is", "jobs are"), told), detail, remedy, _REBOOT)
    ]


def _not_taken_up(state: BackendState, limits: Limits) -> List[Finding]:
    ids = [row["id"] for row in state.pending if row["status_code"] == "waiting_on_reboot" and not state.objects(row["id"]).any]
    service = state.service
    if not ids or service is None or not service.up or service.age is None or service.age < limits.pick_up:
        return []
    listed, told = split_ids(ids)
    waiting = number(len(ids), "job still waits", "jobs still wait")
    text = "%s for a reboot, although the service has been up for %d s (%s)" % (waiting, service.age, told)
    remedy = Remedy("see in its log what the main loop does: it takes up such jobs in its next turn")
    return [Finding("jobrunner.reboot.waiting", "warning", "waiting_on_reboot", text, {"job_ids": listed, "count": len(ids)}, remedy, _REBOOT)]


def _not_finalised(state: BackendState, limits: Limits) -> List[Finding]:
    late: Dict[str, Any] = {}
    for row in state.running:
        ended = state.engine.ended.get(row["id"]) if state.engine else None
        if exited(state.objects(row["id"]).container) and ended is not None and state.now - ended > limits.finalise:
            late[row["id"]] = round(state.now - ended, 1)
    if not late:
        return []
    listed, told = split_ids(sorted(late))
    text = "%s ended more than %d s ago and their results are not filed away yet (%s)"
    text %= (number(len(late), "running job", "running jobs"), limits.finalise, told)
    remedy = Remedy("see whether the service works (its findings, its log); a large output may still be being copied")
    return [Finding("jobrunner.jobs.not_finalised", "warning", "running jobs", text, {"job_ids": listed, "ended_ago": late}, remedy, _RUNNING)]


def _without_container(state: BackendState) -> List[Finding]:
    ids = [row["id"] for row in state.running if row["status_code"] in ("executing", "executed") and state.objects(row["id"]).container is None]
    if not ids:
        return []
    listed, told = split_ids(ids)
    counting = number(len(ids), "job counts as executing or executed, but has", "jobs count as executing or executed, but have")
    text = "%s no container (%s): somebody removed it, or Docker lost it" % (counting, told)
    remedy = Remedy("kill them with fieldops.runbooks.jobrunner_job (state: killed, cleanup: true), and have them run again from job-server")
    return [Finding("jobrunner.jobs.without_container", "warning", "running jobs", text, {"job_ids": listed, "count": len(ids)}, remedy, _RUNNING)]


def _left(state: BackendState) -> List[Finding]:
    groups: Dict[str, List[str]] = {}
    for found in state.leftovers():
        kind = _kind(found, row_of(state, found.job_id), state.now)
        if kind:
            groups.setdefault(kind, []).append(found.job_id)
    return [_leftover(kind, ids) for kind, ids in sorted(groups.items())]


def _kind(found: Objects, row: Optional[Mapping[str, Any]], now: float) -> str:
    """Empty where it is no finding of this kind: job-runner may be cleaning up after a job that has just ended."""
    if row is None:
        return "unknown"
    if now - (row["completed_at"] or 0) < _CLEANING:
        return ""
    if row["state"] == "pending":
        return "" if row["status_code"] == "waiting_on_reboot" else "pending"
    if row["status_code"] == "internal_error" and found.container is not None:
        return "retryable"
    return "killed" if row["status_code"] == "killed_by_admin" else "ended"


_CLEAN = "when nobody needs them any more: fieldops.runbooks.jobrunner_job with state: killed and cleanup: true, which leaves the row as it is"
_KINDS: Dict[str, Tuple[str, str, str, str, str, Tuple[str, str]]] = {
    "ended": ("warning", "ended job still has", "ended jobs still have", "containers or volumes (%s)", _CLEAN, _KILL),
    "killed": ("info", "job was", "jobs were", "killed without cleaning up, so containers or volumes are still there (%s)", _CLEAN, _KILL),
    "pending": (
        *("warning", "pending job has", "pending jobs have"),
        "containers or volumes (%s): job-runner will take what it finds for a run of its own",
        "see who reset them; kill them with cleanup: true, and have them run again",
        _KILL,
    ),
    "retryable": (
        *("info", "job", "jobs"),
        "ended with an internal error and kept the container, so that a retry is possible (%s)",
        "fieldops.runbooks.jobrunner_job with state: retried takes up the results; state: killed with cleanup: true gives them up",
        _RETRY,
    ),
    "unknown": (
        *("warning", "job", "jobs"),
        "that the database does not know left containers or volumes (%s)",
        "they may be those of another database on this node (see workdir); else remove them with docker",
        _KILL,
    ),
}


def _leftover(kind: str, ids: List[str]) -> Finding:
    severity, one, several, text, remedy, runbook = _KINDS[kind]
    listed, told = split_ids(ids)
    said = "%s %s" % (number(len(ids), one, several), text % told)
    return Finding("jobrunner.leftover.%s" % kind, severity, "docker", said, {"job_ids": listed, "count": len(ids)}, Remedy(remedy), runbook)


def _debugging(state: BackendState) -> List[Finding]:
    names = sorted(container.name for container in state.engine.debugging) if state.engine else []
    if not names:
        return []
    ids = [name[len(DEBUG) :] for name in names]
    there = number(len(names), "container for debugging is", "containers for debugging are")
    text = "%s there (%s); a job's volume cannot be removed while one has it mounted" % (there, ", ".join(names[:5]))
    remedy = Remedy("fieldops.runbooks.jobrunner_debug with state: absent, when the looking is over")
    return [Finding("jobrunner.debug.present", "info", "docker", text, {"job_ids": ids}, remedy, _MOUNT)]
