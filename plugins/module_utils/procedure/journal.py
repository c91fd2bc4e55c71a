# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The write-ahead journal on the node: what a fix was about to do, kept before it does it.

One file per run below ``<directory>/runs``, JSON Lines, readable by its owner only:

    {"type": "run", "v": 1, "undo_id": ..., "fix": ..., "context": {...}, "who": {...}, ...}
    {"type": "change", "n": 0, "action": ..., "subject": ..., "before": ..., "after": ..., ...}
    {"type": "begin", "batch": 0, "first": 0, "count": 1}        on disk (fsync) before the batch is applied
    {"type": "done", "batch": 0, "skipped": {...}, "actual": {...}}
    {"type": "end", "status": "ok" | "failed", "error": ...}

A process killed anywhere leaves either no ``begin``, or a batch without ``done`` whose images say exactly what was
under way. A last line without its newline was never finished and is not read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import IO, Any, Collection, Dict, Iterable, List, Mapping, Optional, Sequence

from .directory import make_directories, open_regular, sync_directory, unsafe
from .envelope import Change, Outcome
from .errors import JournalError

VERSION = 1
ID_PATTERN = re.compile(r"[0-9]{8}T[0-9]{6}-[a-z0-9_]+-[0-9a-f]{8}")
DONE, PENDING, UNKNOWN, SKIPPED = "done", "pending", "unknown", "skipped"
_REQUIRED = ("undo_id", "fix", "started", "who", "plan_sha256", "total")
_OWN = ("type", "v", *_REQUIRED, "undo_of", "undo_changes", "undone", "context_of")
_NEW = ".new"
_TAIL = 65536
_ERROR_KEPT = 4000
"""Characters: however they are escaped, the last line of a run fits into ``_TAIL``."""


def default_directory() -> str:
    """Below /var/lib for root, below the state home of any other user."""
    if os.geteuid() == 0:
        return "/var/lib/fieldops/runbooks"
    state = os.environ.get("XDG_STATE_HOME", "")
    return os.path.join(state if os.path.isabs(state) else os.path.expanduser("~/.local/state"), "fieldops", "runbooks")


def boundary(name: str) -> None:
    """A point between two effects. The crash tests kill the process here; nothing else ever happens."""


@dataclass
class JournaledChange:
    """A change as the journal has it."""

    n: int
    change: Change
    state: str = PENDING
    """pending: not begun; unknown: begun, never marked; done; skipped: the subject had changed meanwhile."""
    actual: Optional[Dict[str, Any]] = None


@dataclass
class Run:
    """One run, read back. ``status`` is unfinished, ok or failed."""

    header: Mapping[str, Any]
    changes: List[JournaledChange] = field(default_factory=list)
    status: str = "unfinished"
    error: str = ""
    ended: Optional[float] = None

    @property
    def undo_id(self) -> str:
        return str(self.header["undo_id"])

    @property
    def fix(self) -> str:
        return str(self.header["fix"])

    @property
    def started(self) -> float:
        return float(self.header["started"])

    @property
    def context(self) -> Dict[str, Any]:
        """What the fix itself put into the header."""
        return {key: value for key, value in self.header.items() if key not in _OWN}

    def touched(self) -> List[JournaledChange]:
        """Changes that were made, or may have been."""
        return [entry for entry in self.changes if entry.state in (DONE, UNKNOWN)]


class Journal:
    """The journals of a node. Reading never creates anything."""

    def __init__(self, directory: Optional[str] = None) -> None:
        self.directory = directory or default_directory()
        self.runs = os.path.join(self.directory, "runs")

    def check(self) -> None:
        """Raise a JournalError where ``prepare`` would, as far as that shows without creating anything."""
        if not os.path.isabs(self.directory):
            raise self._unusable("it is not an absolute path")
        for path in (self.directory, self.runs):
            reason = unsafe(path)
            if reason:
                raise self._unusable(reason)
        nearest = self.runs
        while not os.path.lexists(nearest):
            nearest = os.path.dirname(nearest)
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise self._unusable("%s is not writable" % nearest)

    def prepare(self) -> None:
        """Create the directory; raises a JournalError that says what to pass instead when it cannot."""
        self.check()
        try:
            make_directories(self.runs)
        except OSError as exc:
            raise self._unusable(str(exc.strerror)) from exc

    def start(self, fix: str, header: Mapping[str, Any]) -> RunWriter:
        now = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        undo_id = "%s-%s-%s" % (stamp, fix, secrets.token_hex(4))
        return RunWriter(self._path(undo_id), dict(header, type="run", v=VERSION, undo_id=undo_id, fix=fix, started=now))

    def ids(self) -> List[str]:
        """Ids of all runs."""
        return [name[:-6] for name in self._names() if name.endswith(".jsonl") and ID_PATTERN.fullmatch(name[:-6])]

    def read(self, undo_id: str, with_changes: bool = True) -> Run:
        """One run. Without its changes only its first and last line are read, however long it is."""
        if not ID_PATTERN.fullmatch(undo_id):
            raise JournalError("undo_id %r is not an id as fixes return it, e.g. 20260131T235959-fits_queue_reset-0123abcd" % undo_id)
        try:
            with open_regular(self._path(undo_id)) as file:
                run = read_run(file) if with_changes else _read_ends(file)
        except FileNotFoundError:
            raise JournalError("no run %s in the journal below %s" % (undo_id, self.directory)) from None
        except OSError as exc:
            raise JournalError("cannot read run %s below %s: %s" % (undo_id, self.directory, exc.strerror)) from exc
        except JournalError as exc:
            raise JournalError("cannot read run %s below %s: %s" % (undo_id, self.directory, exc)) from exc
        if run.undo_id != undo_id:
            raise JournalError("cannot read run %s below %s: the file holds run %s" % (undo_id, self.directory, run.undo_id))
        return run

    def all_runs(self, unreadable: Optional[List[str]] = None) -> List[Run]:
        """Every run without its changes, newest first. Why a file cannot be read is added to ``unreadable``."""
        broken: List[str] = [] if unreadable is None else unreadable
        runs = [run for run in (self._read_if_possible(undo_id, broken) for undo_id in self.ids()) if run is not None]
        return sorted(runs, key=lambda run: (run.started, run.undo_id), reverse=True)

    def _read_if_possible(self, undo_id: str, broken: List[str]) -> Optional[Run]:
        try:
            return self.read(undo_id, with_changes=False)
        except JournalError as exc:
            broken.append(str(exc))
            return None

    def prune(self, keep_days: float, keep_runs: int, keep_seconds: float = 0.0, keep: Collection[str] = ()) -> List[str]:
        """Delete finished runs beyond the newest ``keep_runs`` or older than ``keep_days``, and what never became a run.

        Unfinished runs stay, and those named in ``keep`` or started within ``keep_seconds``. Only for the holder of the lock.
        """
        now = time.time()
        gone = []
        for position, run in enumerate(self.all_runs()):
            spared = run.ended is None or run.undo_id in keep or now - run.started <= keep_seconds
            if spared or (position < keep_runs and now - (run.ended or now) <= keep_days * 86400):
                continue
            with contextlib.suppress(OSError):
                os.unlink(self._path(run.undo_id))
                gone.append(run.undo_id)
        for name in self._names():
            if name.endswith(".jsonl" + _NEW):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(self.runs, name))
        return gone

    def _names(self) -> List[str]:
        try:
            return os.listdir(self.runs)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise JournalError("cannot read the journal below %s: %s" % (self.directory, exc.strerror)) from exc

    def _path(self, undo_id: str) -> str:
        return os.path.join(self.runs, undo_id + ".jsonl")

    def _unusable(self, reason: str) -> JournalError:
        return JournalError(
            "the journal cannot be kept below %s: %s. Nothing was changed. Pass journal_dir, a directory that only this user may write."
            % (self.directory, reason)
        )


class RunWriter:
    """Writes one run. Every method returns only when what it wrote is on disk."""

    def __init__(self, path: str, header: Mapping[str, Any]) -> None:
        self.undo_id = str(header["undo_id"])
        self._path = path
        self._size = 0
        self._batch = -1
        boundary("journal.run.before")
        try:
            self._handle = os.open(path + _NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise self._error(exc, "Nothing was changed.") from exc
        try:
            self._append([header], "Nothing was changed.")
            # Under its name only when it is whole: a run without a header never exists.
            os.rename(path + _NEW, path)
            sync_directory(os.path.dirname(path))
        except (OSError, JournalError) as exc:
            os.close(self._handle)
            with contextlib.suppress(OSError):
                os.unlink(path + _NEW)
            raise (self._error(exc, "Nothing was changed.") if isinstance(exc, OSError) else exc) from exc
        boundary("journal.run.after")

    def begin(self, first: int, changes: Sequence[Change]) -> None:
        """Before images of one batch, numbered from ``first``."""
        self._batch += 1
        boundary("journal.begin.before")
        lines: List[Mapping[str, Any]] = [dict(change.to_dict(), type="change", n=first + i) for i, change in enumerate(changes)]
        lines.append({"type": "begin", "batch": self._batch, "first": first, "count": len(changes), "at": time.time()})
        self._append(lines, "What was to be done next was not done.")
        boundary("journal.begin.after")

    def done(self, first: int, outcomes: Sequence[Outcome]) -> None:
        boundary("journal.done.before")
        skipped = {str(first + i): outcome.note for i, outcome in enumerate(outcomes) if not outcome.done}
        actual = {str(first + i): outcome.actual for i, outcome in enumerate(outcomes) if outcome.actual is not None}
        line = {"type": "done", "batch": self._batch, "skipped": skipped, "actual": actual, "at": time.time()}
        self._append([line], "The changes were made but could not be marked; runbook_undo tells by looking at them.")
        boundary("journal.done.after")

    def end(self, status: str, error: str = "") -> None:
        boundary("journal.end.before")
        try:
            self._append([{"type": "end", "status": status, "error": error[:_ERROR_KEPT], "at": time.time()}], "The run is kept as unfinished.")
        finally:
            os.close(self._handle)
        boundary("journal.end.after")

    def _append(self, lines: Sequence[Mapping[str, Any]], otherwise: str) -> None:
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode("ascii")
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._handle, view) :]
            os.fsync(self._handle)
        except OSError as exc:
            # Whole lines or nothing: a later line must not be glued to half of this one.
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise self._error(exc, otherwise) from exc
        self._size += len(data)

    def _error(self, exc: OSError, otherwise: str) -> JournalError:
        return JournalError("cannot write the journal %s: %s. %s" % (self._path, exc.strerror, otherwise))


# -- reading ----------------------------------------------------------------------------------------------------------


def read_run(lines: Iterable[bytes]) -> Run:
    """Rebuild a run from its lines. Pure but for reading ``lines``.

    What a crash leaves at the end is passed over: nothing of it had begun. Damage before a later record is refused.
    """
    source = iter(lines)
    run = _run_of(next(source, b""))
    batches: Dict[int, range] = {}
    bad = 0
    for number, line in enumerate(source, 2):
        record = _parse(line)
        if not record:
            bad = bad or number
        elif bad and record.get("type") != "change":
            raise JournalError("it is damaged at line %d" % bad)
        elif not bad:
            _take(run, batches, record, "line %d" % number)
    return run


def _read_ends(file: IO[bytes]) -> Run:
    """A run without its changes: its first line, and its end if it has one."""
    run = _run_of(file.readline())
    start = max(file.tell(), file.seek(0, os.SEEK_END) - _TAIL)
    file.seek(start)
    last = _parse(b"".join(file.read().splitlines(keepends=True)[-1:]))
    if last.get("type") == "end":
        _take(run, {}, last, "its last line")
    return run


def _run_of(line: bytes) -> Run:
    header = _parse(line)
    if header.get("type") != "run":
        raise JournalError("it is not a journal: its first line is not a run")
    if header.get("v") != VERSION:
        raise JournalError("journal version %s is not supported; this collection writes and reads version %d" % (header.get("v"), VERSION))
    if any(key not in header for key in _REQUIRED) or not isinstance(header["started"], (int, float)) or not isinstance(header["who"], dict):
        raise JournalError("it is damaged at line 1")
    return Run(header)


def _parse(line: bytes) -> Dict[str, Any]:
    """One record, or nothing for a line that was cut off by a crash."""
    if not line.endswith(b"\n"):
        return {}
    try:
        record = json.loads(line.decode("ascii"))
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _take(run: Run, batches: Dict[int, range], record: Mapping[str, Any], where: str) -> None:
    try:
        _replay(run, batches, record)
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise JournalError("it is damaged at %s" % where) from exc


def _replay(run: Run, batches: Dict[int, range], record: Mapping[str, Any]) -> None:
    kind = record.get("type")
    if kind == "change":
        if record["n"] != len(run.changes):
            raise ValueError("a change is missing")
        known = {key: record[key] for key in ("action", "subject", "before", "after", "reason", "reversible")}
        run.changes.append(JournaledChange(record["n"], Change(data_loss=str(record.get("data_loss", "")), **known)))
    elif kind == "begin":
        batch = range(record["first"], record["first"] + record["count"])
        if batch.start < 0 or batch.stop != len(run.changes):
            raise ValueError("a change is missing")
        batches[record["batch"]] = batch
        for n in batch:
            run.changes[n].state = UNKNOWN
    elif kind == "done":
        for n in batches[record["batch"]]:
            run.changes[n].state = SKIPPED if str(n) in record["skipped"] else DONE
            run.changes[n].actual = record["actual"].get(str(n))
    elif kind == "end":
        run.status, run.error, run.ended = str(record["status"]), str(record.get("error", "")), float(record["at"])
