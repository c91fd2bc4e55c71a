# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker processes of one root: started, listed and stopped by recorded pid and start time, and by nothing else.

`<root>/workers.json` holds what belongs to the root and what runs:

    {"workers": [{"queue": "ingest", "name": "siq1", "options": []}],
     "running": [{"queue": "ingest", "name": "siq1", "pid": 4711, "started": 123456}]}

Standard library only: a host without psycopg2 in its own python can run `ctl.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab import procfs
from lab.fits.root import Root
from lab.keeper import keeper

Entry = dict[str, Any]
PREFIX = {"ingest": "siq", "export": "seq"}


class Processes:
    """`guarded` processes end with the python that started them; `ctl.py` starts them unguarded."""

    def __init__(self, root: Root | str | os.PathLike[str], guarded: bool = True) -> None:
        self.root = root if isinstance(root, Root) else Root(Path(root).absolute())
        self._guarded = guarded
        self._children: dict[int, subprocess.Popen[bytes]] = {}

    @contextlib.contextmanager
    def _state(self) -> Iterator[Entry]:
        """The state file, locked against other users of the same root."""
        with open(self.root.workers_json, "a+", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            handle.seek(0)
            state = {"workers": [], "running": []} | json.loads(handle.read() or "{}")
            yield state
            handle.seek(0)
            handle.truncate()
            json.dump(state, handle, indent=2)
            handle.write("\n")

    def define(self, queue: str, count: int = 1, *options: str) -> list[str]:
        """Say which workers belong to a queue (siq1.. and seq1.. in A and B, 1.. in C); returns their names."""
        new = self.root.generation == "C"
        names = [f"{number}" if new else f"{PREFIX[queue]}{number}" for number in range(1, count + 1)]
        with self._state() as state:
            state["workers"] = [entry for entry in state["workers"] if entry["queue"] != queue]
            state["workers"] += [{"queue": queue, "name": name, "options": list(options)} for name in names]
        return names

    def defined(self, queue: str | None = None) -> list[Entry]:
        """The workers that should run."""
        with self._state() as state:
            return [entry for entry in state["workers"] if queue in (None, entry["queue"])]

    def running(self, queue: str | None = None) -> list[Entry]:
        """The workers that live now."""
        self._reap()
        with self._state() as state:
            state["running"] = [e for e in state["running"] if procfs.is_running(e["pid"], e["started"])]
            return [entry for entry in state["running"] if queue in (None, entry["queue"])]

    def start(self, queue: str | None = None, wait: float = 10.0) -> list[Entry]:
        """Start the defined workers that do not run, and wait until they hold their lock files or have ended."""
        living = {(entry["queue"], entry["name"]) for entry in self.running()}
        with self._state() as state:
            fresh = [self._spawn(entry) for entry in state["workers"] if queue in (None, entry["queue"]) and (entry["queue"], entry["name"]) not in living]
            state["running"] += fresh
        deadline = time.monotonic() + wait
        while not all(self._settled(entry) for entry in fresh) and time.monotonic() < deadline:
            time.sleep(0.02)
        return fresh

    def spawn(self, queue: str, name: str, *options: str) -> Entry:
        """Start one worker that is not defined, for instance a second one with the same name."""
        entry = self._spawn({"queue": queue, "name": name, "options": list(options)})
        with self._state() as state:
            state["running"].append(entry)
        return entry

    def _spawn(self, entry: Entry) -> Entry:
        script = f"service_{entry['queue']}_queue.py"
        command = self.root.command(script, "--demon", "--lockfile", f"--name={entry['name']}", *entry["options"])
        with open(self.root.log_dir / "console.log", "ab") as console:
            child = subprocess.Popen(
                command,
                env=self.root.environment(),
                cwd=self.root.path,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        self._children[child.pid] = child
        if self._guarded:
            keeper().watch_process(child.pid, signal.SIGKILL)
        return {"queue": entry["queue"], "name": entry["name"], "pid": child.pid, "started": procfs.start_time(child.pid)}

    def _settled(self, entry: Entry) -> bool:
        self._reap()
        if not procfs.is_running(entry["pid"], entry["started"]):
            return True
        try:
            return self.lock_file(entry).read_text(encoding="ascii").strip() == str(entry["pid"])
        except OSError:
            return False

    def lock_file(self, entry: Entry) -> Path:
        """Where this worker keeps its lock."""
        new = self.root.generation == "C"
        label = f"service_{entry['queue']}_queue.py-{entry['name']}" if new else entry["name"]
        return self.root.lock_dir / f"{label}.lock"

    def log_file(self, entry: Entry) -> Path:
        """Where this worker logs."""
        return self.root.log_dir / f"service_{entry['queue']}_queue.py-{entry['name']}.log"

    def wait(self, entry: Entry, timeout: float = 30.0) -> int | None:
        """Wait for a worker to end; its exit code if it is our child."""
        child = self._children.get(entry["pid"])
        if child is not None:
            return child.wait(timeout)
        procfs.wait_gone(entry["pid"], entry["started"], timeout)
        return None

    def stop(self, queue: str | None = None, timeout: float = 90.0) -> list[Entry]:
        """TERM, wait, KILL what stays, as systemd does. Returns what had to be killed: it may leave orphans."""
        living = self.running(queue)
        for entry in living:
            procfs.send(entry["pid"], entry["started"], signal.SIGTERM)
        deadline = time.monotonic() + timeout
        late = []
        for entry in living:
            if not self._gone(entry, max(0.0, deadline - time.monotonic())):
                procfs.send(entry["pid"], entry["started"], signal.SIGKILL)
                self._gone(entry, 5.0)
                late.append(entry)
        self.running()
        return late

    def kill(self, queue: str | None = None) -> list[Entry]:
        """KILL at once: rows stay in progress and lock files stay behind."""
        victims = self.running(queue)
        for entry in victims:
            procfs.send(entry["pid"], entry["started"], signal.SIGKILL)
        for entry in victims:
            self._gone(entry, 5.0)
        self.running()
        return victims

    def _gone(self, entry: Entry, timeout: float) -> bool:
        child = self._children.get(entry["pid"])
        if child is None:
            return procfs.wait_gone(entry["pid"], entry["started"], timeout)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            if child.poll() is not None and self._guarded:
                keeper().forget_process(pid)
