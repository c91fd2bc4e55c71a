# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one thing to do next for each verdict: a playbook of this collection with its variables, or who to call. Pure."""

from __future__ import annotations

from typing import Any, Dict

from ..procedure.envelope import Remedy
from .copyjob import too_new
from .filestate import DHS, FileState

_PLAYBOOKS = "fieldops.runbooks."
_FITS, _ARCHIVE = "fits_servers", "archive_servers"
_HEADINGS = {
    "queueing": "General Considerations",
    "ingest": "General Considerations",
    "database": "Ingest Issues",
    "storage": "FITS Server Ingest",
    "website": "Website Not Responding",
    "export": "Export Service",
    "archive": "Archive Ingest",
    "none": "Ingest Issues",
}


def heading(state: FileState, stopped_at: str) -> str:
    """Where the runbook speaks of it."""
    best = state.best()
    if best is not None and best.path.split("/")[0] == "graces" and stopped_at in ("storage", "copy"):
        return "GRACES"
    if stopped_at == "copy":
        if not state.sources:
            return "FITS Server Ingest"
        return "DHS (Regular) Data" if state.sources[0].area == DHS else "Visiting Instruments ('Alopeke, Zorro, IGRINS)"
    return _HEADINGS[stopped_at]


def _play(playbook: str, text: str, state: FileState, **variables: Any) -> Remedy:
    known: Dict[str, Any] = {"fits_filename": [state.name]}
    return Remedy(text, _PLAYBOOKS + playbook, dict(known, **variables))


def choose_canonical(state: FileState) -> Remedy:
    return Remedy(
        "decide which of the rows is true (the newest, if the file has not changed), and have the owner of the database set present and canonical"
        " to false on the others; upstream's page /curation lists such files"
    )


def permissions(state: FileState) -> Remedy:
    place = state.best() or state.stored[0]
    return _play("fits_ingest", "let %s read the file" % state.user, state, fits_permissions=True, fits_filename=[place.filename], fits_path=place.path)


def rewrite(state: FileState) -> Remedy:
    return Remedy("ask those who took or copied the file for a good copy; what is there cannot be ingested as it is")


def repair_ingest(state: FileState) -> Remedy:
    return _play("fits_ingest_queue", "repair the queue; the workers are stopped first where that must be", state, fits_repair=True)


def retry_ingest(state: FileState) -> Remedy:
    return _play("fits_ingest_queue", "mend what the error names, then put the row back in line", state, fits_repair=True)


def watch_ingest(state: FileState) -> Remedy:
    return _play("fits_ingest_queue", "wait; this tells whether the queue moves", state)


def rollcall(state: FileState) -> Remedy:
    return Remedy("restore the file from the archive or a backup; if it was cleared on purpose, have upstream's rollcall.py take note of that")


def ingest_by_force(state: FileState) -> Remedy:
    row, place = state.good or next(row for row in state.diskfiles if row.present), state.best()
    if place is None and state.disk_seen and not state.blind:  # nothing to ingest again
        return rollcall(state)
    filename, path = (place.filename, place.path) if place else (row.filename, row.path)
    text = "ingest it again, although it has not changed"
    return _play("fits_ingest", text, state, fits_enqueue=True, fits_force=True, fits_filename=[filename], fits_path=path)


def see(state: FileState) -> Remedy:
    return Remedy("remove what was in the way (%s), and look again" % (state.blind or (state.website.error if state.website else "")))


def enqueue(state: FileState) -> Remedy:
    place = state.best() or state.stored[0]
    if state.passed_over:
        return Remedy("have it renamed by those who made it; upstream queues no file of this name")
    return _play("fits_ingest", "put it on the ingest queue", state, fits_enqueue=True, fits_filename=[place.filename], fits_path=place.path)


def mend_source(state: FileState) -> Remedy:
    if too_new(state):
        return _play("fits_ingest", "wait until it has been unchanged for %.0f seconds, and look again" % state.min_age, state)
    return Remedy("have the file mended or written anew where it comes from (%s); the copy job then takes it by itself" % state.sources[0].full)


def copy_job(state: FileState) -> Remedy:
    return _play("fits_ingest", "look whether the copy job runs, and what it last did", state)


def find(state: FileState) -> Remedy:
    if state.site == "archive":
        return _play("fits_ingest", "follow it on the FITS servers: it must be ingested there before it can get here", state)._replace(hosts=_FITS)
    if not state.searched:
        return _play("fits_ingest", "search the whole tree of the storage root for it", state, fits_search=True)
    return Remedy("ask the observers or the staff of the instrument: it was never put where FITS Storage takes files from")


def from_archive(state: FileState) -> Remedy:
    return Remedy("get it from the archive; nothing is wrong")


def export(state: FileState) -> Remedy:
    if state.site == "archive":
        return _play("fits_export", "follow its export on the FITS servers", state)._replace(hosts=_FITS)
    if state.good is None:
        return Remedy("restore the file from a backup, ingest it, and let it be exported: neither this server nor the archive has it")
    text = "queue its export, unless it was exported minutes ago and waits on the archive's ingest queue, which the archive does not tell"
    return _play("fits_export", text, state, fits_enqueue=True, fits_filename=[state.good.filename])


def repair_export(state: FileState) -> Remedy:
    return _play("fits_export_queue", "repair the queue; the workers are stopped first where that must be", state, fits_repair=True)


def retry_export(state: FileState) -> Remedy:
    text = "mend what the error names, then put the row back in line%s" % (", which only saves a wait" if state.generation == "C" else "")
    return _play("fits_export_queue", text, state, fits_repair=True)


def wait_for_retry(state: FileState) -> Remedy:
    return _play("fits_export_queue", "wait: it is tried again by itself, and a reset would do no good; this tells whether the queue moves", state)


def watch_export(state: FileState) -> Remedy:
    return _play("fits_export_queue", "wait; this tells whether the queue moves", state)


def archive_server(state: FileState) -> Remedy:
    return Remedy("look after the archive's web server; exports cannot get there either", _PLAYBOOKS + "fits_website", hosts=_ARCHIVE)


def archive_queue(state: FileState) -> Remedy:
    text = "look at the archive's ingest queue; a row that failed there holds up every export"
    return _play("fits_ingest_queue", text, state)._replace(hosts=_ARCHIVE)


def web_server(state: FileState) -> Remedy:
    return Remedy("look after the web server", _PLAYBOOKS + "fits_website")


def remove_stale(state: FileState) -> Remedy:
    return _play("fits_ingest_queue", "remove the row when convenient", state, fits_repair=True, fits_conditions=["stale"])


def search_engineering(state: FileState) -> Remedy:
    return Remedy("search with engineering data turned on (/includeengineering); if it is science, have its header corrected by those who took it")


def nothing(state: FileState) -> Remedy:
    return Remedy("nothing: look at the search that missed it")
