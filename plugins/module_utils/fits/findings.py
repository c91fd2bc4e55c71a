# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the state of a queue means for a person: findings, counts and entries. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..procedure.envelope import Finding, Remedy
from .queue import Judged, QueueState, Verdict, judge

_HEADINGS = {"ingest": "General Considerations", "export": "Export Service"}
_WORST_FIRST = ("orphaned", "unpoppable", "failed", "starved", "in_progress", "stale", "deferred", "pending")
_ERROR_SHOWN = 2000

_TOLD = {
    "orphaned": ("critical", "in progress although no worker can be on {them}", "never finished, and later rows of the file wait behind"),
    "unpoppable": ("critical", "can never be popped (NULL or infinity where the pop compares)", "{they} would wait for ever"),
    "failed": ("warning", "failed", "{why}"),
    "starved": ("warning", "kept waiting by an orphan of the same file", "mending the orphan releases {them}"),
    "stale": ("info", "failed before a later ingest of the same file succeeded", "nothing is missing; the {rows} can be removed"),
}


def runbook(queue: str) -> tuple[str, str]:
    return ("fits.rst", _HEADINGS.get(queue, "General Considerations"))


def diagnose_queue(state: QueueState, verdict: Optional[Verdict] = None) -> List[Finding]:
    """One finding for each condition that a person should know of; one of severity ok when there is none."""
    verdict = verdict or judge(state)
    found = [_condition_finding(state, verdict, condition) for condition in _TOLD if verdict.counts[condition]]
    found += _worker_findings(state, verdict)
    if any(finding.severity != "info" for finding in found):
        return found
    queue, counts = state.table.queue, verdict.counts
    summary = "the %s queue is healthy: %d waiting, %d deferred, %d in progress" % (queue, counts["pending"], counts["deferred"], counts["in_progress"])
    return found + [Finding("fits.%s.ok" % queue, "ok", queue + " queue", summary, dict(counts), None, runbook(queue))]


def diagnose_watched(state: QueueState, moved: Optional[bool]) -> List[Finding]:
    """The same for a queue that was watched: workers that are alive and take nothing are deaf. One that is on a row may take its time."""
    verdict = judge(state)
    found = diagnose_queue(state, verdict)
    queue, waiting = state.table.queue, verdict.counts["pending"]
    if moved is not False or not waiting or not state.workers.live or verdict.counts["in_progress"]:
        return found
    summary = "%d %s queue rows wait, %d workers are alive, and none of them takes a row" % (waiting, queue, len(state.workers.live))
    detail = {"pending": waiting, "pids": [process.pid for process in state.workers.live]}
    remedy = Remedy("keep what shows why (stack, log), then restart fits-service_%s_queue*" % queue)
    deaf = Finding("fits.%s.not_moving" % queue, "critical", queue + " queue", summary, detail, remedy, runbook(queue))
    return [finding for finding in found if finding.severity != "ok"] + [deaf]


def _condition_finding(state: QueueState, verdict: Verdict, condition: str) -> Finding:
    severity, what, so = _TOLD[condition]
    rows = [judged for judged in verdict.judged if judged.condition == condition]
    count, queue = len(rows), state.table.queue
    words = {"them": "it" if count == 1 else "them", "they": "it" if count == 1 else "they", "rows": "row" if count == 1 else "rows"}
    errors = _errors(rows)
    words["why"] = "the newest error is: %s" % errors[0].splitlines()[-1][:160] if errors else "no error is stored"
    names = sorted({str(judged.row.filename) for judged in rows if judged.row.filename})
    summary = "%d %s queue %s %s: %s; %s" % (count, queue, words["rows"], what.format(**words), _some(names), so.format(**words))
    remedy = Remedy(
        "repair the queue; it stops the workers first where it must",
        "fieldops.runbooks.fits_%s_queue" % queue if queue in _HEADINGS else None,
        {"fits_repair": True, "fits_conditions": ["stale"]} if condition == "stale" else {"fits_repair": True},
    )
    detail = {"count": count, "filenames": names[:20], "ids": [judged.row.id for judged in rows[:20]], "errors": errors}
    return Finding("fits.%s.%s" % (queue, condition), severity, queue + " queue", summary, detail, remedy, runbook(queue))


def _worker_findings(state: QueueState, verdict: Verdict) -> List[Finding]:
    queue, workers = state.table.queue, state.workers
    found = []
    if verdict.suspects:
        rows = verdict.counts["in_progress"]
        busy = len(workers.live) - len(workers.idle)
        summary = "%d %s queue rows are in progress but only %d workers seem to be at work: at least %d are stuck," % (rows, queue, busy, verdict.suspects)
        summary += " and which ones only shows when the workers stop"
        remedy = Remedy("repair the queue; it stops the workers first where it must", "fieldops.runbooks.fits_%s_queue" % queue, {"fits_repair": True})
        found.append(Finding("fits.%s.suspect" % queue, "warning", queue + " queue", summary, {"suspects": verdict.suspects}, remedy, runbook(queue)))
    recycled = [lock.path for lock in workers.lock_files if lock.state == "recycled"]
    if recycled:
        summary = "lock file %s names a process that is not this service: while that lives, the service exits at once without an error" % recycled[0]
        remedy = Remedy("make sure that no %s service runs, then delete the lock file and start the service" % queue)
        found.append(Finding("fits.%s.lock_recycled" % queue, "warning", recycled[0], summary, {"lock_files": recycled}, remedy, runbook(queue)))
    if not workers.may_be_live and verdict.counts["pending"] and queue in _HEADINGS:
        summary = "%d %s queue rows wait and no worker is running on this host" % (verdict.counts["pending"], queue)
        remedy = Remedy("start fits-service_%s_queue* (or run this on the host where the workers are)" % queue)
        found.append(Finding("fits.%s.no_worker" % queue, "warning", queue + " queue", summary, {}, remedy, runbook(queue)))
    if state.table.lagging:
        text = "; ".join("(%s)" % ", ".join(columns) for columns in state.table.lagging)
        summary = "%s lacks unique constraints that generation %s expects: %s" % (state.table.name, state.table.generation, text)
        detail = {"missing": [list(columns) for columns in state.table.lagging]}
        found.append(Finding("fits.%s.constraints_lag" % queue, "info", state.table.name, summary, detail, None, runbook(queue)))
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (" and %d more" % (len(names) - 2) if len(names) > 2 else "") if names else "no file name"


def _errors(rows: Sequence[Judged]) -> List[str]:
    """Distinct stored errors, newest first and shortened: usually one cause stands behind many rows."""
    newest = sorted((judged.row for judged in rows if (judged.row.error or "").strip()), key=lambda row: row.failed_at or "", reverse=True)
    return list(dict.fromkeys((row.error or "").strip()[-300:] for row in newest))[:5]


def queue_facts(state: QueueState, verdict: Verdict, limit: int, errors: Mapping[str, List[Dict[str, str]]]) -> Dict[str, Any]:
    """The part of ``queues`` that one queue gets."""
    listed = sorted((judged for judged in verdict.judged if state.named or judged.condition != "pending"), key=_rank)
    ages = [judged.row.age for judged in verdict.judged if judged.row.age is not None] + [state.totals.oldest_age or 0.0]
    facts: Dict[str, Any] = dict(verdict.counts)
    facts.update(
        table=state.table.name,
        generation=state.table.generation,
        total=state.totals.rows,
        oldest_age=round(max(ages), 1) if state.totals.rows else None,
        workers_live=len(state.workers.live),
        may_be_live=sum(judged.may_be_live for judged in verdict.judged),
        must_stop_workers=must_stop_workers(state, verdict),
        entries=[entry(judged, errors) for judged in listed[:limit]],
        entries_omitted=max(0, len(listed) - limit),
    )
    return facts


def must_stop_workers(state: QueueState, verdict: Verdict) -> bool:
    """Whether rows in progress can only be told apart, or safely mended, when the workers have stopped."""
    return bool(state.workers.may_be_live and (verdict.suspects or verdict.counts["orphaned"]))


def _rank(judged: Judged) -> tuple[int, float, int]:
    return (_WORST_FIRST.index(judged.condition), -(judged.row.age or 0.0), judged.row.id)


def entry(judged: Judged, errors: Mapping[str, List[Dict[str, str]]]) -> Dict[str, Any]:
    row = judged.row
    return {
        "id": row.id,
        "filename": row.filename,
        "path": row.path,
        "destination": row.destination,
        "condition": judged.condition,
        "age": None if row.age is None else round(row.age, 1),
        "added": row.added,
        "after": row.after,
        "failed_at": row.failed_at,
        "error": row.error[-_ERROR_SHOWN:] if row.error else None,
        "queue_errors": errors.get(row.filename or "", []),
        "may_be_live": judged.may_be_live,
        "twin_of": judged.twin_of,
        "note": judged.note,
    }
