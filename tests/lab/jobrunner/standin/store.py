# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: one connection to a thread, every statement its own transaction, five seconds' patience with a lock."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

from .models import MIGRATIONS, Job, columns, schema


class MigrationNeeded(Exception):
    """The database is not there, or not of this release's layout."""


class Store:
    """Rows of one database."""

    def __init__(self, path: Path, user_version: int) -> None:
        self.path = path
        self.user_version = user_version
        self.connection = sqlite3.connect(path)
        self.connection.isolation_level = None
        self.connection.row_factory = sqlite3.Row

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    # -- layout ---------------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """The layout that the database has."""
        return int(self.connection.execute("PRAGMA user_version").fetchone()[0])

    def migrate(self) -> list[int]:
        """Bring the database to this release's layout; the steps that were needed."""
        tables = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not tables:
            self.connection.executescript(schema(self.user_version))
            return [self.user_version]
        wanted = [number for number in sorted(MIGRATIONS) if self.version() < number <= self.user_version]
        for number in wanted:
            self.connection.executescript(f"BEGIN; {'; '.join(MIGRATIONS[number])}; PRAGMA user_version = {number}; COMMIT;")
        return wanted

    # -- jobs -----------------------------------------------------------------------------------------------------------

    def jobs(self, where: str = "1 = 1", *values: Any) -> list[Job]:
        """Jobs, whole; the columns are those that this release knows."""
        names = ", ".join(f'"{name}"' for name in columns(self.user_version))
        return [Job.of(row) for row in self.connection.execute(f"SELECT {names} FROM job WHERE {where}", values)]

    def active(self) -> list[Job]:
        """Jobs that are not over."""
        return self.jobs("state IN ('pending', 'running')")

    def like(self, part: str) -> list[Job]:
        """Jobs whose id holds this, as LIKE understands it."""
        return self.jobs("id LIKE ?", f"%{part}%")

    def insert(self, job: Job) -> None:
        """A new row."""
        row = job.row()
        names = ", ".join(f'"{name}"' for name in row)
        self.connection.execute(f"INSERT INTO job ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))

    def update(self, job: Job, but: tuple[str, ...] = ()) -> None:
        """Write every column of a job as it is in memory, but for some."""
        row = {name: value for name, value in job.row().items() if name not in but}
        names = ", ".join(f'"{name}" = ?' for name in row)
        self.connection.execute(f"UPDATE job SET {names} WHERE id = ?", [*row.values(), job.id])

    def cancel(self, request: str, actions: list[str]) -> None:
        """Somebody cancelled actions of a request."""
        marks = ", ".join("?" * len(actions))
        self.connection.execute(f"UPDATE job SET cancelled = 1 WHERE job_request_id = ? AND action IN ({marks})", [request, *actions])

    def outputs(self, workspace: str, action: str) -> dict[str, str]:
        """Outputs of the newest job of an action that nobody cancelled."""
        found = self.jobs("workspace = ? AND action = ? AND cancelled = 0 ORDER BY created_at DESC, rowid DESC LIMIT 1", workspace, action)
        return dict(found[0].outputs or {}) if found else {}

    def requests(self) -> set[str]:
        """Ids of the requests that were taken."""
        return {row["id"] for row in self.connection.execute("SELECT id FROM job_request")}

    def add_request(self, request: dict[str, Any]) -> None:
        """Keep a request as it came."""
        self.connection.execute("INSERT INTO job_request (id, original) VALUES (?, ?)", (request["identifier"], json.dumps(request)))

    # -- flags ----------------------------------------------------------------------------------------------------------

    def flags(self) -> list[sqlite3.Row]:
        """All that were ever set."""
        return self.connection.execute("SELECT id, value, timestamp FROM flags").fetchall()

    def flag(self, name: str) -> sqlite3.Row | None:
        """One of them."""
        found: sqlite3.Row | None = self.connection.execute("SELECT id, value, timestamp FROM flags WHERE id = ?", (name,)).fetchone()
        return found

    def flag_value(self, name: str, default: str | None = None) -> str | None:
        """Its value; NULL is a value, too."""
        found = self.flag(name)
        return default if found is None else found["value"]

    def set_flag(self, name: str, value: str | None) -> None:
        """Set it, unless it has that value."""
        found = self.flag(name)
        if found is not None and found["value"] == value:
            return
        upsert = "ON CONFLICT (id) DO UPDATE SET value = excluded.value, timestamp = excluded.timestamp"
        self.connection.execute(f"INSERT INTO flags (id, value, timestamp) VALUES (?, ?, ?) {upsert}", (name, value, time.time()))


def checked(path: Path, user_version: int) -> Store:
    """The database as the service wants it."""
    if not path.exists():
        raise MigrationNeeded(f"db {path} does not exist. Create with migrate command")
    store = Store(path, user_version)
    if store.version() != user_version:
        raise MigrationNeeded(f"db {path} is out of date. Update with migrate command")
    return store
