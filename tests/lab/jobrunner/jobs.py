# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of a backend, as rows and in Docker: made, looked at, and changed by a test. Used beside a folder of a test, and on a host."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from lab.jobrunner.rows import job_row, state_of
from lab.jobrunner.standin.client import LABEL, MOUNT
from lab.jobrunner.standin.models import ALL_CODES, Job
from lab.jobrunner.standin.volumes import STAMP

REGISTRY = "registry.example.org/opensafely-core"
IMAGES = ("busybox:latest", "python:v2", "ehrql:v0", "r:latest")
FOREVER = "sleep 100000"
PREPARED = 60 * 10**9  # nanoseconds ago: what busybox calls newer is so by a whole second


class Docker(Protocol):
    """What is needed of an engine."""

    def docker(self, *arguments: str) -> str:
        """What the client answers."""

    def inspect(self, thing: str, kind: str = "container") -> dict[str, Any] | None:
        """A container or volume, if there is one."""


class Jobs:
    """Jobs in one database and one engine."""

    def __init__(self, database: Path, high: Path, engine: Docker, user_version: int, database_url: str) -> None:
        self.database, self.high, self.engine, self.user_version, self.database_url = database, high, engine, user_version, database_url
        self._requests = (f"request-{os.getpid()}-{number}" for number in itertools.count(1))

    # -- rows -----------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection of the test's own, in one transaction."""
        connection = sqlite3.connect(self.database, timeout=10.0)
        connection.row_factory = sqlite3.Row
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def row(self, job_id: str) -> dict[str, Any]:
        """Every column of a job."""
        return self.rows()[job_id]

    def rows(self) -> dict[str, dict[str, Any]]:
        """Every job by its id, every column as it is stored."""
        with self.connection() as connection:
            return {row["id"]: dict(row) for row in connection.execute("SELECT * FROM job ORDER BY rowid")}

    def flags(self) -> dict[str, tuple[str | None, Any]]:
        """Value and timestamp of every flag that was ever set."""
        with self.connection() as connection:
            return {row["id"]: (row["value"], row["timestamp"]) for row in connection.execute("SELECT * FROM flags")}

    def set_flag(self, name: str, value: str | None, timestamp: float | str | None = None) -> None:
        """Set a flag as upstream does; `timestamp="now"` leaves it to SQLite, which writes text, as a careless person's INSERT does."""
        with self.connection() as connection:
            if timestamp == "now":
                connection.execute("INSERT OR REPLACE INTO flags (id, value) VALUES (?, ?)", (name, value))
            else:
                stamp = time.time() if timestamp is None else timestamp
                connection.execute("INSERT OR REPLACE INTO flags (id, value, timestamp) VALUES (?, ?, ?)", (name, value, stamp))

    def change(self, job_id: str, **columns: Any) -> None:
        """Write columns of a row as they are, also what upstream would never write."""
        with self.connection() as connection:
            for name, value in columns.items():
                connection.execute(f'UPDATE job SET "{name}" = ? WHERE id = ?', (value, job_id))

    def add_job(
        self,
        state: str,
        code: str,
        *,
        action: str = "a",
        workspace: str = "ws",
        container: str | None = None,
        volume: bool | str = True,
        manager: bool = True,
        stamped: bool = True,
        run: str | None = None,
        exit_code: int = 0,
        outputs: Mapping[str, str] | None = None,
        database: bool = False,
        request: str | None = None,
        **columns: Any,
    ) -> str:
        """A job as a row and in Docker; its id.

        `container` is None, "running" or "exited" (with `exit_code`, having left `outputs`); `volume` is True, False or "directory"; without
        `manager` the volume has none; `stamped` says that it was prepared. `run` is what the container does, now and when it is started anew.
        """
        name = request or next(self._requests)
        script = run or (FOREVER if container == "running" else _script({"output/table.csv": "a,b\n1,2\n"} if outputs is None else outputs, exit_code))
        command = f"ehrql:v0 generate-dataset {script}" if database else f"python:v2 {script}"
        row = job_row(self.user_version, name, state, code, action, workspace, columns.pop("run_command", command), **columns)
        mount = self._add_volume(row["id"], volume, manager, stamped)
        if container is not None:
            self._add_container(row, container, mount, database)
        self._insert(name, row)  # last: a job-runner that runs looks at rows, and then for what there is
        return str(row["id"])

    def _insert(self, request: str, row: Mapping[str, Any]) -> None:
        names, marks = ", ".join(f'"{column}"' for column in row), ", ".join("?" * len(row))
        with self.connection() as connection:
            connection.execute("INSERT OR IGNORE INTO job_request (id, original) VALUES (?, ?)", (request, json.dumps({"identifier": request})))
            connection.execute(f"INSERT INTO job ({names}) VALUES ({marks})", list(row.values()))

    def add_every_code(self, **columns: Any) -> dict[str, str]:
        """A row in every state and code, without Docker objects; ids by code."""
        return {code: self.add_job(state_of(code), code, action=f"every_{code}", volume=False, **columns) for code in sorted(ALL_CODES)}

    # -- Docker objects ---------------------------------------------------------------------------------------------------------

    def _add_volume(self, job_id: str, volume: bool | str, manager: bool, stamped: bool) -> str:
        """What the job's container mounts."""
        if volume == "directory":
            folder = self.high / "volumes" / job_id
            folder.mkdir(parents=True)
            if stamped:
                (folder / STAMP).write_text(str(time.time_ns() - PREPARED), encoding="utf-8")
                os.utime(folder / STAMP, ns=(time.time_ns() - PREPARED,) * 2)
            return str(folder)
        if not volume:
            return ""
        name = f"os-volume-{job_id}"
        self.engine.docker("volume", "create", "--label", LABEL, "--name", name)
        if manager:
            options = ["--interactive", "--restart=unless-stopped", "--network=none", f"--volume={name}:{MOUNT}"]
            self.engine.docker("run", "--init", "--detach", "--label", LABEL, f"--name={name}-manager", *options, f"{REGISTRY}/busybox", "sh")
        if manager and stamped:
            moment = time.time_ns() - PREPARED
            script = f"echo {moment} >{MOUNT}/{STAMP} && touch -d @{moment // 10**9} {MOUNT}/{STAMP}"
            self.engine.docker("exec", f"{name}-manager", "sh", "-c", script)
        return name

    def _add_container(self, row: Mapping[str, Any], state: str, mount: str, database: bool) -> None:
        image, *arguments = Job(dict(row)).arguments
        name = f"os-job-{row['id']}"
        labels = [f"--label={label}" for label in (LABEL, "jobrunner-local", f"workspace={row['workspace']}", f"action={row['action']}")]
        options = ["--init", "--detach", "--network=none", f"--name={name}", *labels, "--env=OPENSAFELY_BACKEND=test"]
        options += [f"--volume={mount}:{MOUNT}"] if mount else []
        options += [f"--env=DATABASE_URL={self.database_url}"] if database else []
        self.engine.docker("run", *options, f"{REGISTRY}/{image}", *arguments)
        if state == "exited":
            if "sleep 100000" in row["run_command"]:
                self.engine.docker("kill", name)
            self.engine.docker("wait", name)

    def objects(self, job_id: str) -> dict[str, str | None]:
        """What there is of a job: `container` and `manager` by their state, `volume` as "volume" or "directory"; None for what is not there."""
        folder = self.high / "volumes" / job_id
        volume = "volume" if self.engine.inspect(f"os-volume-{job_id}", "volume") else None
        return {
            "container": self._state(f"os-job-{job_id}"),
            "manager": self._state(f"os-volume-{job_id}-manager"),
            "volume": "directory" if folder.exists() else volume,
        }

    def _state(self, name: str) -> str | None:
        found = self.engine.inspect(name)
        return None if found is None else str(found["State"]["Status"])


def _script(outputs: Mapping[str, str], exit_code: int) -> str:
    """A command that leaves files and ends."""
    steps = ["echo working"]
    for path, content in outputs.items():
        steps.append(f'mkdir -p {MOUNT}/{Path(path).parent} && printf "{content}" >{MOUNT}/{path}'.replace("\n", "\\n"))
    steps.append(f"exit {exit_code}")
    return f"sh -c '{'; '.join(steps)}'"
