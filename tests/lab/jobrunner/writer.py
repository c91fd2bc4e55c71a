# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that writes to a database as job-runner's main loop and its sync thread do, and notices when something of it is lost.

It has pending jobs of its own, which go from code to code and are written whole, and it marks every other active job in a column that no fix
writes. Before each turn it looks whether it finds everything as it left it. Its patience with a lock is upstream's: five seconds.

``python -m lab.jobrunner.writer DATABASE USER_VERSION [stale]``: runs until its standard input ends, then prints what it found.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.jobrunner.processes import ended, pause
from lab.jobrunner.rows import MESSAGES, job_row
from lab.jobrunner.standin.models import CODES, JSON, Job, isoformat
from lab.jobrunner.standin.store import Store

WORKSPACE = "writer"
OWN = 3
CODES_IN_TURN = [code for code in CODES["pending"] if code != "waiting_on_reboot"]
BETWEEN_TURNS = 0.01
BETWEEN_READING_AND_WRITING = 0.02  # in the stale mode, as if Docker had been asked meanwhile


@dataclass
class Findings:
    """What it prints at the end."""

    errors: list[str] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    turns: int = 0
    writes: int = 0
    longest: float = 0.0


class Writer:
    """One connection, as the loop has."""

    def __init__(self, database: Path, user_version: int, stale: bool) -> None:
        self.store = Store(database, user_version)
        self.stale = stale
        self.found = Findings()
        self.marks: dict[str, str] = {}  # what was last written to other jobs
        self.own: dict[str, dict[str, Any]] = {}  # rows of its own as they were last written
        self.number = 0
        self.ready = False

    def turn(self) -> None:
        """Read, look, write."""
        self.found.turns += 1
        jobs = self._timed(self.store.active)
        self._compare(jobs)
        for row in self._timed(self.store.flags):
            isoformat(row["timestamp"])
        if self.stale:
            pause(BETWEEN_READING_AND_WRITING)
        for job in jobs:
            self._timed(lambda: self.store.flag_value("paused"))
            if job.workspace == WORKSPACE:
                self._move(job)
            else:
                self._mark(job)
        while len([row for row in self.own.values() if row["state"] == "pending"]) < OWN:
            self._begin()

    def _compare(self, jobs: list[Job]) -> None:
        there = {job.id: job for job in jobs}
        for name, written in self.own.items():
            if written["state"] == "pending":
                self._expect(name, written, there[name].row() if name in there else None)
        marked = self._timed(lambda: self.store.connection.execute("SELECT id, trace_context FROM job").fetchall())
        found = {row["id"]: {"trace_context": row["trace_context"]} for row in marked}
        for name, mark in list(self.marks.items()):  # also those that a fix has ended
            if not self._expect(name, {"trace_context": mark}, found.get(name)):
                del self.marks[name]  # told once

    def _expect(self, name: str, written: dict[str, Any], read: dict[str, Any] | None) -> bool:
        """Whether a row is as it was left."""
        different = {key: [value, (read or {}).get(key)] for key, value in written.items() if read is None or read[key] != value}
        if different:
            self.found.lost.append({"id": name, "turn": self.found.turns, "written_and_read": different})
        return not different

    def _move(self, job: Job) -> None:
        """A job of its own goes on to the next code, and fails after the last one."""
        step = CODES_IN_TURN.index(job.status_code) + 1
        code = CODES_IN_TURN[step] if step < len(CODES_IN_TURN) else "dependency_failed"
        moment = time.time()
        job.set(status_code=code, status_message=MESSAGES[code], updated_at=int(moment), status_code_updated_at=int(moment * 1e9))
        if code == "dependency_failed":
            job.set(state="failed", completed_at=int(moment))
        self._write(lambda: self._looking(job.id, self.own.get(job.id), lambda: self.store.update(job, but=("cancelled",))))
        self.own[job.id] = job.row()

    def _mark(self, job: Job) -> None:
        self.number += 1
        mark = {"traceparent": f"00-{job.id}-01", "writer": self.number}
        if self.stale:
            job.set(trace_context=mark, updated_at=int(time.time()))
            self._write(lambda: self.store.update(job, but=("cancelled",)))
        else:
            statement = "UPDATE job SET trace_context = ? WHERE id = ?"
            written = {"trace_context": self.marks[job.id]} if job.id in self.marks else None
            self._write(lambda: self._looking(job.id, written, lambda: self.store.connection.execute(statement, (json.dumps(mark), job.id))))
        self.marks[job.id] = json.dumps(mark)

    def _begin(self) -> None:
        """A request comes in."""
        self.number += 1
        request = f"writer-{os.getpid()}-{self.number}"
        row = job_row(self.store.user_version, request, "pending", "created", "w", WORKSPACE, "python:v2 true")
        job = Job({name: json.loads(value) if name in JSON and value is not None else value for name, value in row.items()})
        self._write(lambda: self.store.add_request({"identifier": request}))
        self._write(lambda: self.store.insert(job))
        self.own[job.id] = row

    def _looking(self, name: str, written: dict[str, Any] | None, write: Callable[[], Any]) -> None:
        """Look once more in the transaction of the write, or what was lost since the turn began would be covered by it."""
        if self.stale:
            write()
            return
        connection = self.store.connection
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            found = connection.execute("SELECT * FROM job WHERE id = ?", (name,)).fetchone()
            if written is not None:
                self._expect(name, written, {key: found[key] for key in written} if found is not None else None)
            write()

    def _write(self, write: Callable[[], Any]) -> None:
        self.found.writes += 1
        self._timed(write)

    def _timed(self, statement: Callable[[], Any]) -> Any:
        began = time.monotonic()
        try:
            return statement()
        finally:
            self.found.longest = max(self.found.longest, time.monotonic() - began)

    def run(self) -> None:
        """Until the input ends, or something happens that would end upstream's loop."""
        try:
            self.turn()
            print("ready", flush=True)
            self.ready = True
            while not ended(sys.stdin):
                self.turn()
                pause(BETWEEN_TURNS)
        except (sqlite3.Error, ValueError, TypeError) as error:
            self.found.errors.append(f"{type(error).__name__}: {error}")
            if not self.ready:
                print("ready", flush=True)  # whoever waits is told of the error at the end
            sys.stdin.read()
        print(json.dumps(vars(self.found)))


if __name__ == "__main__":
    Writer(Path(sys.argv[1]), int(sys.argv[2]), "stale" in sys.argv[3:]).run()
