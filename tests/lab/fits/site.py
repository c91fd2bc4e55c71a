# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Database, root, workers and faults of one FITS server, together: what most tests and the benchmarks want.

with Postgres() as server, Site.build(server, tmp_path, "C") as site:
    stuck = site.faults.in_progress("ingest", "N20260101S0001.fits")
    site.run_once("ingest")
"""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.fits import schema
from lab.fits.faults import Faults
from lab.fits.root import Root, install
from lab.fits.workers import Workers
from lab.pg import Postgres

_numbers = itertools.count(1)


@dataclass
class Site:
    """One FITS server. Leaving the context kills its workers and drops its database."""

    server: Postgres
    database: str
    root: Root
    workers: Workers
    connection: Any
    faults: Faults

    @classmethod
    def build(
        cls,
        server: Postgres,
        directory: Path,
        generation: str,
        *,
        database: str | None = None,
        lagging: bool = False,
        mixed: bool = False,
        timezone: str | None = None,
        **options: Any,
    ) -> Site:
        """`options` go to `root.install`; idle services look at their queue every 0.1 s unless told otherwise."""
        name = database or f"fits_{next(_numbers)}"
        schema.create(server, name, generation, lagging=lagging, mixed=mixed)
        settings = {"idle": 0.1, "error_sleep": 0.1} | options
        root = install(directory / name, generation, server.dsn(name, user=schema.OWNER), timezone=timezone, **settings)
        connection = server.connect(name, user=schema.OWNER)
        return cls(server, name, root, Workers(root), connection, Faults(connection, timezone))

    def close(self) -> None:
        """Kill the workers and drop the database; the root's directory belongs to whoever named it."""
        self.workers.kill()
        self.connection.close()
        self.server.drop_database(self.database)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def row(self, row_id: int, queue: str = "ingest") -> dict[str, Any] | None:
        """A queue row as it is now; None when it is gone."""
        rows = self.faults.queues[queue].fetch("SELECT * FROM {table} WHERE id = %(id)s", id=row_id)
        return rows[0] if rows else None

    def value(self, query: str, *parameters: Any) -> Any:
        """The first column of the first row."""
        with self.connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchone()[0]

    def script(self, name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a script as the runbook does, in the environment of the units."""
        command = self.root.command(name, *arguments)
        env = self.root.environment() | environment
        return subprocess.run(command, env=env, cwd=self.root.path, text=True, capture_output=True, timeout=60, check=False)

    def run_once(self, queue: str = "ingest", *options: str) -> int | None:
        """One worker that empties the queue and ends; its exit code."""
        return self.workers.wait(self.workers.spawn(queue, "once", "--empty", *options))
