# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that is known of one file, at one time. Frozen, and made of plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .findings import entry
from .fitsfile import Validity
from .queue import Judged

STORAGE, DHS, VISITOR = "storage", "dhs", "visitor"


@dataclass(frozen=True)
class Place:
    """The file in one directory. ``area`` is storage, dhs or visitor; ``path`` is relative to the root of that area."""

    area: str
    path: str
    filename: str
    full: str
    size: int = 0
    mtime: str = ""
    age: float = 0.0
    """Seconds since it was last written."""
    owner: str = ""
    group: str = ""
    mode: str = ""
    readable: Optional[bool] = True
    blocked_at: Optional[str] = None
    problem: str = ""

    def to_dict(self) -> Dict[str, Any]:
        facts = asdict(self)
        del facts["age"]
        return facts


@dataclass(frozen=True)
class Header:
    """What a header row says."""

    id: int
    program_id: Optional[str] = None
    qa_state: Optional[str] = None
    engineering: Optional[bool] = None


@dataclass(frozen=True)
class DiskFile:
    """One diskfile row, with its header row."""

    id: int
    filename: str
    path: str = ""
    present: bool = True
    canonical: bool = True
    file_size: Optional[int] = None
    file_md5: Optional[str] = None
    data_md5: Optional[str] = None
    lastmod: Optional[str] = None
    entrytime: Optional[str] = None
    isfits: Optional[bool] = None
    mdready: Optional[bool] = None
    header: Optional[Header] = None

    @property
    def good(self) -> bool:
        """What searches show."""
        return self.present and self.canonical

    @property
    def place(self) -> str:
        return "%s/%s" % (self.path, self.filename) if self.path else self.filename


@dataclass(frozen=True)
class Reply:
    """What a web server said of the file. ``present`` and ``pending_ingest`` are None where it gave no answer that makes sense."""

    url: str
    answered: bool
    error: str = ""
    present: Optional[bool] = None
    pending_ingest: Optional[bool] = None
    data_md5: Tuple[str, ...] = ()
    """Of every copy that it has."""


@dataclass(frozen=True)
class LogHit:
    """A line of a log that names the file."""

    job: str
    file: str
    line: str


@dataclass(frozen=True)
class FileState:
    """One file. ``unknown`` says what could not be found out; ``blind`` is that part of it without which nothing can be said of the disk."""

    name: str
    site: str = "fits"
    user: str = "fitsdata"
    """As whom FITS Storage runs."""
    generation: str = "A"
    """Of the export queue: C's service tries failed exports again by itself."""
    places: Tuple[Place, ...] = ()
    diskfiles: Tuple[DiskFile, ...] = ()
    ingest: Tuple[Judged, ...] = ()
    export: Tuple[Judged, ...] = ()
    validity: Optional[Validity] = None
    checked: Optional[Place] = None
    """The copy whose validity that is."""
    archive: Optional[Reply] = None
    website: Optional[Reply] = None
    errors: Mapping[str, Tuple[Tuple[str, str], ...]] = field(default_factory=dict)
    """By queue: time and text of the stored errors, newest first."""
    log: Tuple[LogHit, ...] = ()
    passed_over: str = ""
    """Why upstream would not take a file of this name to the queue."""
    not_copied_for: str = ""
    """Why upstream's copy job passes over a file of this name."""
    in_window: bool = True
    window: str = ""
    """The dates in names that cron takes, for a person."""
    min_age: float = 15.0
    searched: bool = False
    disk_seen: bool = True
    """Whether there is a storage root to look at."""
    sources_unseen: str = ""
    """Why a directory that files are copied from could not be looked into."""
    blind: str = ""
    unknown: Tuple[str, ...] = ()

    @property
    def stored(self) -> Tuple[Place, ...]:
        return tuple(place for place in self.places if place.area == STORAGE)

    @property
    def sources(self) -> Tuple[Place, ...]:
        return tuple(place for place in self.places if place.area != STORAGE)

    @property
    def good(self) -> Optional[DiskFile]:
        return next((row for row in self.diskfiles if row.good), None)

    @property
    def same_data(self) -> Optional[bool]:
        """Whether the archive's data is that of the database; None where that cannot be told."""
        mine = self.good.data_md5 if self.good else None
        if not mine or self.archive is None or not self.archive.data_md5:
            return None
        return mine in self.archive.data_md5

    def best(self) -> Optional[Place]:
        """The copy on the storage root that counts: where the database has it, else one that can be ingested, else any."""
        row = self.good or next((row for row in self.diskfiles if row.present), None)
        here = [place for place in self.stored if row and (place.path, place.filename) == (row.path, row.filename)]
        usable = [place for place in self.stored if place.readable is not False and not place.problem]
        return next(iter(here + usable + list(self.stored)), None)


def needs_header(state: FileState) -> bool:
    """Observing logs, miscfiles and what is no FITS file by its name have no header row."""
    return not ("_obslog.txt" in state.name or "miscfile_" in state.name) and is_fits_name(state.name)


def is_fits_name(name: str) -> bool:
    return ".fits" in name


def facts(state: FileState) -> Dict[str, Any]:
    """The part of a file's result that is what was read, as plain data."""
    return {
        "where": [place.to_dict() for place in state.places],
        "validity": _validity(state),
        "diskfiles": [asdict(row) for row in state.diskfiles],
        "queues": {"ingest": _entries(state, "ingest", state.ingest), "export": _entries(state, "export", state.export)},
        "errors": _errors(state),
        "log": [asdict(hit) for hit in state.log],
        "archive": _reply(state.archive, state),
        "website": _reply(state.website, state),
        "unknown": list(state.unknown),
    }


def _validity(state: FileState) -> Optional[Dict[str, Any]]:
    if state.validity is None or state.checked is None:
        return None
    return dict({"full": state.checked.full}, **asdict(state.validity))


def _entries(state: FileState, queue: str, rows: Tuple[Judged, ...]) -> List[Dict[str, Any]]:
    stored = [{"added": at, "error": text} for at, text in state.errors.get(queue, ())]
    return [entry(judged, {judged.row.filename or "": stored}) for judged in rows]


def _errors(state: FileState) -> List[Dict[str, str]]:
    found = [{"queue": queue, "at": at, "error": text} for queue, rows in state.errors.items() for at, text in rows]
    return sorted(found, key=lambda each: each["at"], reverse=True)


def _reply(reply: Optional[Reply], state: FileState) -> Optional[Dict[str, Any]]:
    if reply is None:
        return None
    mine = state.good.data_md5 if state.good else None
    same = mine in reply.data_md5 if mine and reply.data_md5 else None
    answer = asdict(reply)
    del answer["data_md5"]
    return dict(answer, same_data=same)
