# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a file stands: one verdict and one next step for whatever is known of it. Pure.

Each rule says in words how it holds, or nothing. The order is that in which a person should mend things: what explains the rest comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Optional, Sequence, Tuple

from ..procedure.envelope import Finding, Remedy
from . import nextstep as step
from .copyjob import last_word, refusal
from .filestate import STORAGE, FileState, needs_header
from .queue import Judged

_ERROR_SHOWN = 160


@dataclass(frozen=True)
class Rule:
    """``holds`` gives the rest of a sentence that begins with the file's name; empty when the rule does not hold."""

    code: str
    severity: str
    stopped_at: str
    holds: Callable[[FileState], str]
    step: Callable[[FileState], Remedy]


@dataclass(frozen=True)
class Verdict:
    """What one file got."""

    code: str
    severity: str
    stopped_at: str
    summary: str
    next_step: Remedy
    also: Tuple[str, ...] = ()


def verdict(state: FileState) -> Verdict:
    """The first rule that holds, and the codes of the others."""
    said = [(rule, words) for rule, words in ((rule, rule.holds(state)) for rule in RULES) if words]
    rule, words = said[0]
    also = tuple(other.code for other, _words in said[1:] if other.severity != "ok")
    return Verdict(rule.code, rule.severity, rule.stopped_at, "%s %s." % (state.name, words), rule.step(state), also)


def diagnose_file(state: FileState) -> Finding:
    """The verdict as a finding."""
    found = verdict(state)
    detail = {"verdict": found.code, "stopped_at": found.stopped_at, "also": list(found.also), "unknown": list(state.unknown)}
    runbook = ("fits.rst", step.heading(state, found.stopped_at))
    return Finding("fits.file.%s" % found.code, found.severity, state.name, found.summary, detail, found.next_step, runbook)


def needs_archive(state: FileState) -> bool:
    """Whether the archive's answer could change the verdict."""
    return state.site == "fits" and verdict(state).code in _BEFORE_ARCHIVE


def needs_website(state: FileState) -> bool:
    """Whether the answer of the FITS server's web site could change it."""
    code = verdict(state).code
    return code in (("available", "engineering", "failed_stale") if state.site == "fits" else ("archive_missing", "not_found", "unknown"))


_BEFORE_ARCHIVE = ("not_present", "export_failed", "export_backoff", "export_waiting", "failed_stale", "engineering", "available")


# -- what the rules ask -----------------------------------------------------------------------------------------------


def _first(rows: Sequence[Judged], *conditions: str) -> Optional[Judged]:
    return next((judged for judged in rows if judged.condition in conditions), None)


def _active(rows: Sequence[Judged]) -> bool:
    return any(judged.condition != "stale" for judged in rows)


def _known(state: FileState) -> bool:
    """Some version of it is present, as far as the database goes."""
    return any(row.present for row in state.diskfiles)


def _absent(state: FileState) -> bool:
    """Neither on the storage root nor present in the database."""
    return not state.stored and not _known(state)


def _error(state: FileState, queue: str, judged: Judged) -> str:
    stored = state.errors.get(queue) or ()
    text = (judged.row.error or (stored[0][1] if stored else "")).strip()
    return text.splitlines()[-1][:_ERROR_SHOWN] if text else "no error is stored"


# -- database and storage ---------------------------------------------------------------------------------------------


def _duplicate_canonical(state: FileState) -> str:
    ids = ["%d" % row.id for row in state.diskfiles if row.good]
    return "has %d rows in diskfile that are present and canonical (ids %s)" % (len(ids), ", ".join(ids)) if len(ids) > 1 else ""


def _unreadable(state: FileState) -> str:
    place = state.best()
    if place is None or place.readable is not False:
        return ""
    return "is on the storage root as %s, but %s cannot read it: %s is in the way" % (place.full, state.user, place.blocked_at)


def _invalid(state: FileState) -> str:
    best, checked = state.best(), state.checked
    if best is not None and best.problem:
        return "is on the storage root as %s, but %s" % (best.full, best.problem)
    if state.validity is None or state.validity.opens is not False or checked is None or checked.area != STORAGE:
        return ""
    return "is on the storage root as %s, but is not valid FITS: %s" % (checked.full, state.validity.reason)


def _gone_from_disk(state: FileState) -> str:
    good = state.good
    if good is None or not state.disk_seen or state.blind or any((place.path, place.filename) == (good.path, good.filename) for place in state.stored):
        return ""
    other = state.best()
    elsewhere = "; it is there as %s" % other.full if other else ""
    return "is present in the database as %s, but not on the storage root%s" % (good.place, elsewhere)


def _not_canonical(state: FileState) -> str:
    if state.good is not None or not _known(state):
        return ""
    row = next(row for row in state.diskfiles if row.present)
    return "was ingested, but the row that is present (diskfile %d) is not canonical, so searches miss it" % row.id


def _no_header(state: FileState) -> str:
    good = state.good
    if good is None or good.header is not None or not needs_header(state):
        return ""
    return "was ingested (diskfile %d), but has no header row" % good.id


def _engineering(state: FileState) -> str:
    good = state.good
    hidden = good is not None and good.header is not None and good.header.engineering
    return "is ingested and marked as engineering data, which searches leave out" if hidden else ""


def _available(state: FileState) -> str:
    if state.good is None:
        return ""
    asked = state.archive is not None and state.archive.present
    return "is in the database and in searches%s" % (", and at the archive" if asked else "")


# -- the ingest queue -------------------------------------------------------------------------------------------------


def _starved(state: FileState) -> str:
    judged = _first(state.ingest, "starved")
    return "waits on the ingest queue (row %d) behind an orphan of the same file (row %s)" % (judged.row.id, judged.twin_of) if judged else ""


def _orphaned(state: FileState) -> str:
    judged = _first(state.ingest, "orphaned")
    return "is in progress on the ingest queue (row %d), and no worker can be on it" % judged.row.id if judged else ""


def _in_progress(state: FileState) -> str:
    judged = _first(state.ingest, "in_progress")
    return "is in progress on the ingest queue (row %d): %s" % (judged.row.id, judged.note) if judged else ""


def _queued(state: FileState) -> str:
    judged = _first(state.ingest, "pending")
    return "waits on the ingest queue (row %d)" % judged.row.id if judged else ""


def _deferred(state: FileState) -> str:
    judged = _first(state.ingest, "deferred")
    return "waits on the ingest queue (row %d) for a time that lies ahead (%s)" % (judged.row.id, judged.row.after) if judged else ""


def _unpoppable(state: FileState) -> str:
    judged = _first(state.ingest, "unpoppable")
    return "is on the ingest queue (row %d), but can never be popped" % judged.row.id if judged else ""


def _failed_ingest(state: FileState) -> str:
    judged = _first(state.ingest, "failed")
    return "failed to be ingested (row %d): %s" % (judged.row.id, _error(state, "ingest", judged)) if judged else ""


def _failed_stale(state: FileState) -> str:
    judged = _first(state.ingest, "stale")
    return "is ingested; row %d, which failed before that, is left on the ingest queue" % judged.row.id if judged and state.good else ""


# -- on the way there -------------------------------------------------------------------------------------------------


def _unqueued(state: FileState) -> bool:
    return bool(state.stored) and not _known(state) and not _active(state.ingest)


def _by_cron(state: FileState) -> bool:
    return state.in_window or bool(state.passed_over) or state.site != "fits"


def _not_queued(state: FileState) -> str:
    best = state.best()
    if best is None or not _unqueued(state) or not _by_cron(state):
        return ""
    why = ": upstream passes over it, because %s" % state.passed_over if state.passed_over else ""
    if not why and best.path:
        why = " (cron's line without a path looks into the storage root alone, and this is in %s)" % best.path
    return "is on the storage root as %s, but neither on the ingest queue nor present in the database%s" % (best.full, why)


def _outside_window(state: FileState) -> str:
    best = state.best()
    if best is None or not _unqueued(state) or _by_cron(state):
        return ""
    return "is on the storage root as %s, but cron will not queue it: the date in its name is not one of %s" % (best.full, state.window)


def _refused_by_copy(state: FileState) -> str:
    if not _absent(state) or state.diskfiles or not state.sources:
        return ""
    reason = refusal(state)
    return "is in %s, and the copy job refuses it: %s" % (state.sources[0].full, reason) if reason else ""


def _not_copied(state: FileState) -> str:
    if not _absent(state) or state.diskfiles or not state.sources or refusal(state):
        return ""
    valid = " and valid" if state.validity is not None and state.validity.opens and state.checked == state.sources[0] else ""
    return "is in %s%s, but was not copied to the storage root%s" % (state.sources[0].full, valid, last_word(state))


def _nowhere(state: FileState) -> bool:
    """On a FITS server: no trace of it, and nothing hid it. At the archive nobody copies, and what counts is what the FITS server has."""
    return _absent(state) and not state.diskfiles and not state.sources


def _unknown(state: FileState) -> str:
    if not _nowhere(state) or _active(state.ingest):
        return ""
    if state.blind:
        return "was not found, but %s" % state.blind
    if state.site == "archive" and state.website is not None and not state.website.answered:
        return "is not here, and whether the FITS server has it is not known: %s" % state.website.error
    return ""


def _not_found(state: FileState) -> str:
    if not _nowhere(state) or state.blind:
        return ""
    if state.site == "archive":
        return "is neither here nor at the FITS server" if state.website is not None and state.website.present is False else ""
    how = "searched through" if state.searched else "looked at in the likely places"
    sources = "where it comes from could not be looked at (%s)" % state.sources_unseen if state.sources_unseen else "not where files are copied from"
    return "is not in the database, not on the storage root, which was %s, and %s%s" % (how, sources, last_word(state))


def _not_present(state: FileState) -> str:
    if not state.diskfiles or not _absent(state) or state.site != "fits":
        return ""
    at = " (it is there)" if state.archive is not None and state.archive.present else ""
    return "was ingested, and later cleared from the storage root; it should be at the archive%s" % at


# -- export and archive -----------------------------------------------------------------------------------------------


def _export_orphaned(state: FileState) -> str:
    judged = _first(state.export, "orphaned", "starved")
    return "is held up on the export queue (row %d) by a row in progress that no worker can be on" % judged.row.id if judged else ""


def _export_failed(state: FileState) -> str:
    waiting = {judged.row.destination for judged in state.export if judged.condition in ("pending", "in_progress", "deferred")}
    judged = next((each for each in state.export if each.condition in ("failed", "unpoppable") and each.row.destination not in waiting), None)
    if judged is None:
        return ""
    if judged.condition == "unpoppable":
        return "is on the export queue (row %d), but can never be popped" % judged.row.id
    again = "; generation C's service tries it again by itself" if state.generation == "C" else ""
    return "failed to be exported to %s (row %d): %s%s" % (judged.row.destination, judged.row.id, _error(state, "export", judged), again)


def _export_backoff(state: FileState) -> str:
    judged = _first(state.export, "deferred")
    if judged is None:
        return ""
    return "backs off on the export queue (row %d): %s" % (judged.row.id, judged.note or "it waits for %s" % judged.row.after)


def _export_waiting(state: FileState) -> str:
    judged = _first(state.export, "pending", "in_progress")
    if judged is None:
        return ""
    return "%s (row %d)" % ("waits on the export queue" if judged.condition == "pending" else "is being exported", judged.row.id)


def _archive_unreachable(state: FileState) -> str:
    return "could not be asked for at the archive: %s" % state.archive.error if state.archive and not state.archive.answered else ""


def _archive_pending(state: FileState) -> str:
    reply = state.archive
    if reply is None or not reply.pending_ingest or (reply.present and state.same_data):
        return ""
    return "is on the archive's own ingest queue, or failed there"


def _exporting(state: FileState) -> bool:
    return _active(state.export) or bool(state.archive and state.archive.pending_ingest)


def _archive_differs(state: FileState) -> str:
    return "is at the archive with other data than here" if state.same_data is False and not _exporting(state) else ""


def _archive_missing(state: FileState) -> str:
    if state.site == "archive":
        return _not_arrived(state)
    if state.archive is None or state.archive.present is not False or _exporting(state):
        return ""
    if state.good:
        return "is in the database, but not at the archive, and no export of it is queued"
    gone = bool(state.diskfiles) and _absent(state)
    return "was ingested and later cleared from the storage root, and it is not at the archive either" if gone else ""


def _not_arrived(state: FileState) -> str:
    if not _absent(state) or _active(state.ingest) or _unknown(state) or _not_found(state):
        return ""
    asked = "the FITS server has it" if state.website is not None and state.website.present else "whether the FITS server has it was not asked"
    return "has not arrived here; %s" % asked


def _website_differs(state: FileState) -> str:
    reply = state.website
    if state.site != "fits" or state.good is None or reply is None or reply.present:
        return ""
    return "is in the database as it should be, but the web site %s" % ("does not show it" if reply.answered else "gave no answer: %s" % reply.error)


RULES: Tuple[Rule, ...] = (
    Rule("duplicate_canonical", "critical", "database", _duplicate_canonical, step.choose_canonical),
    Rule("unreadable", "critical", "storage", _unreadable, step.permissions),
    Rule("invalid", "warning", "storage", _invalid, step.rewrite),
    Rule("starved", "critical", "ingest", _starved, step.repair_ingest),
    Rule("orphaned", "critical", "ingest", _orphaned, step.repair_ingest),
    Rule("in_progress", "info", "ingest", _in_progress, step.watch_ingest),
    Rule("queued", "info", "ingest", _queued, step.watch_ingest),
    Rule("deferred", "info", "ingest", _deferred, step.watch_ingest),
    Rule("unpoppable", "critical", "ingest", _unpoppable, step.repair_ingest),
    Rule("failed_ingest", "warning", "ingest", _failed_ingest, step.retry_ingest),
    Rule("gone_from_disk", "warning", "storage", _gone_from_disk, step.rollcall),
    Rule("not_canonical", "warning", "database", _not_canonical, step.ingest_by_force),
    Rule("no_header", "warning", "database", _no_header, step.ingest_by_force),
    Rule("unknown", "warning", "storage", _unknown, step.see),
    Rule("not_queued", "warning", "queueing", _not_queued, step.enqueue),
    Rule("outside_window", "warning", "queueing", _outside_window, step.enqueue),
    Rule("refused_by_copy", "warning", "copy", _refused_by_copy, step.mend_source),
    Rule("not_copied", "warning", "copy", _not_copied, step.copy_job),
    Rule("archive_missing", "warning", "export", _archive_missing, step.export),
    Rule("not_present", "info", "database", _not_present, step.from_archive),
    Rule("not_found", "warning", "copy", _not_found, step.find),
    Rule("export_orphaned", "critical", "export", _export_orphaned, step.repair_export),
    Rule("archive_unreachable", "warning", "archive", _archive_unreachable, step.archive_server),
    Rule("export_failed", "warning", "export", _export_failed, step.retry_export),
    Rule("archive_pending", "info", "archive", _archive_pending, step.archive_queue),
    Rule("export_backoff", "info", "export", _export_backoff, step.wait_for_retry),
    Rule("export_waiting", "info", "export", _export_waiting, step.watch_export),
    Rule("archive_differs", "warning", "export", _archive_differs, step.export),
    Rule("website_differs", "warning", "website", _website_differs, step.web_server),
    Rule("failed_stale", "info", "none", _failed_stale, step.remove_stale),
    Rule("engineering", "info", "none", _engineering, step.search_engineering),
    Rule("available", "ok", "none", _available, step.nothing),
)
