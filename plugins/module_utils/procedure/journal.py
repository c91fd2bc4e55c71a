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
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from .envelope import Change, Outcome
from .errors import JournalError

VERSION = 1
ID_PATTERN = re.compile(r"^[0-9]{8}T[0-9]{6}-[a-z0-9_]+-[0-9a-f]{8}$")
DONE, PENDING, UNKNOWN, SKIPPED = "done", "pending", "unknown", "skipped"


def default_directory() -> str:
    """Below /var/lib for root, below the state home of any other user."""
    if os.geteuid() == 0:
        return "/var/lib/fieldops/runbooks"
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "fieldops", "runbooks")


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

    def touched(self) -> List[JournaledChange]:
        """Changes that were made, or may have been."""
        return [entry for entry in self.changes if entry.state in (DONE, UNKNOWN)]


class Journal:
    """The journals of a node. Reading never creates anything."""

    def __init__(self, directory: Optional[str] = None) -> None:
        self.directory = directory or default_directory()
        self.runs = os.path.join(self.directory, "runs")

    def prepare(self) -> None:
        """Create the directory; raises a JournalError that says what to pass instead when it cannot."""
        try:
            os.makedirs(self.runs, mode=0o700, exist_ok=True)
            os.chmod(self.directory, 0o700)
        except OSError as exc:
            raise JournalError(
                "cannot write the journal below %s: %s. Nothing was changed. Pass journal_dir, a directory that %s may write."
                % (self.directory, exc.strerror, "this user")
            ) from exc

    def start(self, fix: str, header: Mapping[str, Any]) -> RunWriter:
        now = time.time()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
        undo_id = "%s-%s-%s" % (stamp, fix, secrets.token_hex(4))
        return RunWriter(self._path(undo_id), dict(header, type="run", v=VERSION, undo_id=undo_id, fix=fix, started=now))

    def ids(self) -> List[str]:
        """Ids of all runs, newest first."""
        try:
            names = os.listdir(self.runs)
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise JournalError("cannot read the journal below %s: %s" % (self.directory, exc.strerror)) from exc
        return sorted((name[:-6] for name in names if name.endswith(".jsonl") and ID_PATTERN.match(name[:-6])), reverse=True)

    def read(self, undo_id: str, with_changes: bool = True) -> Run:
        if not ID_PATTERN.match(undo_id):
            raise JournalError("undo_id %r is not an id as fixes return it, e.g. 20260131T235959-fits_queue_reset-0123abcd" % undo_id)
        try:
            with open(self._path(undo_id), encoding="utf-8") as file:
                return read_run(file, with_changes)
        except FileNotFoundError:
            raise JournalError("no run %s in the journal below %s" % (undo_id, self.directory)) from None
        except OSError as exc:
            raise JournalError("cannot read run %s below %s: %s" % (undo_id, self.directory, exc.strerror)) from exc

    def all_runs(self, with_changes: bool = False) -> Iterator[Run]:
        """Every readable run, newest first. Files that are not journals of this version are passed over."""
        for undo_id in self.ids():
            with contextlib.suppress(JournalError):
                yield self.read(undo_id, with_changes)

    def prune(self, keep_days: float, keep_runs: int) -> List[str]:
        """Delete finished runs beyond the newest ``keep_runs`` or older than ``keep_days``. Unfinished ones stay."""
        oldest = time.time() - keep_days * 86400
        gone = []
        for position, undo_id in enumerate(self.ids()):
            path = self._path(undo_id)
            with contextlib.suppress(JournalError, OSError):
                if position < keep_runs and os.path.getmtime(path) >= oldest:
                    continue
                if self.read(undo_id, with_changes=False).status != "unfinished":
                    os.unlink(path)
                    gone.append(undo_id)
        return gone

    def _path(self, undo_id: str) -> str:
        return os.path.join(self.runs, undo_id + ".jsonl")


class RunWriter:
    """Writes one run. Every method returns only when what it wrote is on disk."""

    def __init__(self, path: str, header: Mapping[str, Any]) -> None:
        self.undo_id = str(header["undo_id"])
        self._batch = -1
        boundary("journal.run.before")
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._append([header])
            self._sync_directory(os.path.dirname(path))
        except OSError as exc:
            raise JournalError("cannot write the journal %s: %s. Nothing was changed." % (path, exc.strerror)) from exc
        boundary("journal.run.after")

    def begin(self, first: int, changes: Sequence[Change]) -> None:
        """Before images of one batch, numbered from ``first``."""
        self._batch += 1
        boundary("journal.begin.before")
        lines: List[Mapping[str, Any]] = [dict(change.to_dict(), type="change", n=first + i) for i, change in enumerate(changes)]
        lines.append({"type": "begin", "batch": self._batch, "first": first, "count": len(changes), "at": time.time()})
        self._append(lines)
        boundary("journal.begin.after")

    def done(self, first: int, outcomes: Sequence[Outcome]) -> None:
        boundary("journal.done.before")
        skipped = {str(first + i): outcome.note for i, outcome in enumerate(outcomes) if not outcome.done}
        actual = {str(first + i): outcome.actual for i, outcome in enumerate(outcomes) if outcome.actual is not None}
        self._append([{"type": "done", "batch": self._batch, "skipped": skipped, "actual": actual, "at": time.time()}])
        boundary("journal.done.after")

    def end(self, status: str, error: str = "") -> None:
        boundary("journal.end.before")
        self._append([{"type": "end", "status": status, "error": error, "at": time.time()}])
        os.close(self._handle)
        boundary("journal.end.after")

    def _append(self, lines: Sequence[Mapping[str, Any]]) -> None:
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode("ascii")
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        os.fsync(self._handle)

    @staticmethod
    def _sync_directory(path: str) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_run(lines: Iterator[str], with_changes: bool = True) -> Run:
    """Rebuild a run from its lines. Pure but for reading ``lines``."""
    header = _parse(next(iter(lines), ""))
    if not header or header.get("type") != "run":
        raise JournalError("not a journal: its first line is not a run")
    if header.get("v") != VERSION:
        raise JournalError("journal version %s is not supported; this collection writes and reads version %d" % (header.get("v"), VERSION))
    run = Run(header)
    batches: Dict[int, range] = {}
    for line in lines:
        if not with_changes and line.startswith('{"action"'):
            continue
        record = _parse(line)
        if record:
            _replay(run, batches, record)
    return run


def _parse(line: str) -> Dict[str, Any]:
    """One record, or nothing for a line that was cut off by a crash."""
    if not line.endswith("\n"):
        return {}
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _replay(run: Run, batches: Dict[int, range], record: Mapping[str, Any]) -> None:
    kind = record.get("type")
    if kind == "change":
        known: Dict[str, Any] = {key: record.get(key) for key in ("action", "subject", "before", "after", "reason")}
        change = Change(reversible=bool(record.get("reversible", True)), data_loss=str(record.get("data_loss", "")), **known)
        run.changes.append(JournaledChange(int(record["n"]), change))
    elif kind == "begin":
        batches[record["batch"]] = range(record["first"], record["first"] + record["count"])
        for entry in run.changes[record["first"] : record["first"] + record["count"]]:
            entry.state = UNKNOWN
    elif kind == "done":
        for n in batches.get(record["batch"], ()):
            if n < len(run.changes):
                run.changes[n].state = SKIPPED if str(n) in record["skipped"] else DONE
                run.changes[n].actual = record["actual"].get(str(n))
    elif kind == "end":
        run.status, run.error, run.ended = record["status"], record.get("error", ""), record.get("at")
