# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following files: reads each leg of their way for all of them at once, cheapest first, and only what a verdict needs."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.command import account, acting_as
from ..connect.tree import Outcome
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .copyjob import passes_over
from .enqueue import normal_path, skip_reason, stem
from .errors import FitsError
from .filelogs import LogOptions, read_logs
from .filestate import FileState, Place, Reply, facts, is_fits_name, needs_header
from .fitsfile import Validity, check
from .looking import Look
from .observe import FitsHost
from .queue import Judged, QueueState, judge
from .reading import spellings
from .records import Records
from .tables import Schema
from .treesearch import Limits, to_dict
from .verdict import diagnose_file, needs_archive, needs_website, verdict
from .webcheck import Site, ask_all

_QUEUES = ("ingest", "export")


@dataclass(frozen=True)
class Followed:
    """All files, as they were read."""

    schema: Schema
    files: Tuple[FileState, ...]
    search: Optional[Outcome]
    queues: Mapping[str, QueueState]


class FileInfo(Check[Followed]):
    """Follows files."""

    name = "fits_file_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.names = checked_names(params["filename"])
        self.user = account(params["run_as"])
        self.hints = [normal_path(path) for path in params["path"]]
        options = ("search_timeout", "search_workers", "search_max_entries", "search_one_file_system", "progress_file")
        self.limits = Limits(*(params[option] for option in options))
        self.window = window(params["window_days"])
        self.logs = LogOptions.of(params)
        for option in ("validity_timeout", "http_timeout", "min_age", "max_errors"):
            if not 0 <= params[option] <= 86400:
                raise FitsError("%s must be 0 to 86400, not %s" % (option, params[option]))
        self.host = FitsHost(params)
        if not self.host.schema.has_diskfile:
            self.host.close()
            raise FitsError("the database user may not read diskfile in %s: it needs SELECT on diskfile and header" % self.host.postgres.database)

    def close(self) -> None:
        self.host.close()

    def observe(self) -> Followed:
        files, queues = self._database()
        look = Look(self.params, self.user, self.hints)
        files = look.at_likely_places(files)
        files, outcome = look.through_the_tree(files, self.limits) if self.params["search"] else (files, None)
        files = look.readability(files)
        files = [self._named(state) for state in files]
        files = read_logs(self._validity(files), self.logs)
        return Followed(self.host.schema, tuple(self._web(files)), outcome, queues)

    def diagnose(self, state: Followed) -> List[Finding]:
        return [diagnose_file(file) for file in state.files]

    def facts(self, state: Followed) -> Mapping[str, Any]:
        files = [_file_facts(file) for file in state.files]
        return {
            "schema_generation": state.schema.generation,
            "database": self.host.postgres.database,
            "verdicts": dict(Counter(each["verdict"] for each in files)),
            "files": files,
            "search": to_dict(state.search) if state.search else None,
        }

    def evidence(self, state: Followed) -> Mapping[str, Any]:
        workers = {name: queue.workers.to_dict() for name, queue in state.queues.items()}
        return {"workers": workers, "timezone": self.host.timezone, "window": _told(self.window), "run_as": self.user.name}

    def _database(self) -> Tuple[List[FileState], Dict[str, QueueState]]:
        """Queues, diskfiles, headers and errors, in one snapshot."""
        records, wanted = Records(), spellings(self.names)
        host = self.host
        queues = host.observe(_QUEUES, self.names, lambda: records.read(host.postgres, host.schema, wanted, self.params["max_errors"]))
        rows = {queue: _by_stem(judge(state).judged) for queue, state in queues.items()}
        return [self._recorded(name, records, {queue: rows[queue].get(stem(name), ()) for queue in _QUEUES}) for name in self.names], queues

    def _recorded(self, name: str, records: Records, rows: Mapping[str, Tuple[Judged, ...]]) -> FileState:
        """One file as the database has it."""
        own, limit = spellings([name]), self.params["max_errors"]
        return FileState(
            name,
            site=self.params["site"],
            user=self.user.name,
            generation=self.host.schema.table("export").generation,
            diskfiles=records.of(own),
            ingest=rows["ingest"],
            export=rows["export"],
            errors={queue: (records.errors_of(queue, own) or _errors_of_rows(rows[queue]))[:limit] for queue in _QUEUES},
        )

    def _named(self, state: FileState) -> FileState:
        """What follows from the name alone, as it is on disk."""
        best, generation = state.best(), self.host.schema.generation
        source = state.sources[0] if state.sources else None
        return replace(
            state,
            passed_over=skip_reason(best.filename, self.host.schema.table("ingest")) if best else "",
            not_copied_for=passes_over(source.filename, generation, source.area) if source else "",
            in_window=any(day in state.name for day in self.window),
            window=_told(self.window),
            min_age=self.params["min_age"],
        )

    def _validity(self, files: Sequence[FileState]) -> List[FileState]:
        """One file after the other, until time is up."""
        if self.params["validity"] == "never":
            return list(files)
        deadline = time.monotonic() + self.params["validity_timeout"]
        with acting_as(self.user):
            return [_checked(state, self.params["validity"] == "always", deadline) for state in files]

    def _web(self, files: Sequence[FileState]) -> List[FileState]:
        """The archive first: what it says decides whether the site of the FITS server matters."""
        asked = self._ask("archive_url", files, needs_archive)
        files = [replace(state, archive=asked.get(stem(state.name))) for state in files]
        asked = self._ask("fits_url", files, needs_website)
        return [replace(state, website=asked.get(stem(state.name))) for state in files]

    def _ask(self, option: str, files: Sequence[FileState], needed: Callable[[FileState], bool]) -> Dict[str, Reply]:
        url = self.params[option]
        stems = list(dict.fromkeys(stem(state.name) for state in files if needed(state))) if url else []
        if not stems:
            return {}
        return ask_all(Site(url, self.params["http_timeout"], self.params["validate_certs"], self.params["http_ca_cert"]), stems)


def checked_names(names: Sequence[str]) -> List[str]:
    """Each name once; a FitsError for what cannot be one file's name."""
    if not names:
        raise FitsError("filename is empty: pass at least one name")
    for name in names:
        if not name or name in (".", "..") or "/" in name:
            raise FitsError("%r is not the name of a file: pass the name alone, and its directory as path" % name)
        if "\0" in name or len(name.encode("utf-8", "surrogateescape")) > 255:
            raise FitsError("%r is not the name of a file: names hold no NUL, and 255 bytes at most" % name)
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise FitsError("%r is not the name of a file in this database: it stores UTF-8" % name) from None
    return list(dict.fromkeys(names))


def window(days: int, today: Optional[datetime.date] = None) -> List[str]:
    """The dates that upstream's keyword stands for, newest first; it looks for them anywhere in the name, and counts in UTC."""
    if not 1 <= days <= 36500:
        raise FitsError("window_days must be 1 to 36500, not %d" % days)
    last = today or datetime.datetime.now(datetime.timezone.utc).date()
    return [(last - datetime.timedelta(days=n)).strftime("%Y%m%d") for n in range(days)]


def _told(days: Sequence[str]) -> str:
    return "%s to %s" % (days[-1], days[0])


def _by_stem(judged: Sequence[Judged]) -> Dict[str, Tuple[Judged, ...]]:
    found: Dict[str, Tuple[Judged, ...]] = {}
    for each in judged:
        name = stem(each.row.filename or "")
        found[name] = found.get(name, ()) + (each,)
    return found


def _errors_of_rows(rows: Sequence[Judged]) -> Tuple[Tuple[str, str], ...]:
    """C keeps the errors of a row on the row."""
    stored = [(each.row.failed_at or "", each.row.error.strip()) for each in rows if each.row.error and each.row.error.strip()]
    return tuple(sorted(stored, key=lambda error: error[0], reverse=True))


def _checked(state: FileState, always: bool, deadline: float) -> FileState:
    place = _to_check(state)
    if place is None or not (always or _needs_validity(state)):
        return state
    if time.monotonic() > deadline:
        return replace(state, unknown=state.unknown + ("whether it is valid FITS was not checked: validity_timeout was up",))
    try:
        seen = check(place.full, deadline)
    except OSError as exc:
        seen = Validity(None, "it cannot be read: %s" % exc.strerror)
    if seen.cut_off and place.age < state.min_age:
        seen = replace(seen, opens=None, reason="%s, but it was written %.0f seconds ago and may not be complete" % (seen.reason, max(0.0, place.age)))
    unknown = state.unknown + (("whether it is valid FITS is not known: %s" % seen.reason,) if seen.opens is None else ())
    return replace(state, validity=seen, checked=place, unknown=unknown)


def _to_check(state: FileState) -> Optional[Place]:
    """The copy that counts, if it is one that can be looked into."""
    place = state.best() or (state.sources[0] if state.sources else None)
    if place is None or place.problem or place.readable is False or not (is_fits_name(place.filename) and needs_header(state)):
        return None
    return place


def _needs_validity(state: FileState) -> bool:
    good = state.good
    return good is None or good.header is None or any(judged.condition == "failed" for judged in state.ingest)


def _file_facts(state: FileState) -> Dict[str, Any]:
    found = verdict(state)
    told = {
        "name": state.name,
        "verdict": found.code,
        "also": list(found.also),
        "severity": found.severity,
        "stopped_at": found.stopped_at,
        "summary": found.summary,
        "next_step": found.next_step.to_dict(),
    }
    return dict(told, **facts(state))
