# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One installation with its database, for the tests that put files on its queues."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab.fits.faults import Faults
from lab.fits.root import Root, install
from lab.fits.workers import Workers
from support import run_module, run_ok, run_refused

GENERATIONS = ("A", pytest.param("B", marks=pytest.mark.thorough), "C")
"""What is the same in all of them is tested in B by `make thorough` only."""
NAME = "N20200804S0091.fits"
OTHER = "N20200804S0092.fits"


class Host:
    """One installation with its database, a session on it, and the options that the module needs to find both."""

    def __init__(self, server: Any, database: str, generation: str, directory: Path, options: dict[str, Any]) -> None:
        self.generation = generation
        self.root: Root = install(directory, generation, server.dsn(database, user="fitsdata"), idle=0.05)
        self.session = server.connect(database, user="fitsdata")
        self.make = Faults(self.session)
        self.connection = {name: value for name, value in options.items() if name != "journal_dir"} | {"login_db": database}
        self.journal_dir = options["journal_dir"]
        self.options = self.connection | {
            "journal_dir": self.journal_dir,
            "scripts_dir": str(self.root.scripts),
            "log_dir": [str(self.root.log_dir)],
            "lockfile_dir": [str(self.root.lock_dir)],
            "storage_root": str(self.root.dataflow),
            "run_as": getpass.getuser(),
            "python": sys.executable,
            "pythonpath": [str(self.root.python_path)],
        }

    def rows(self, queue: str = "ingest") -> list[dict[str, Any]]:
        with self.session.cursor() as cursor:
            cursor.execute(f"SELECT to_jsonb(q) FROM {queue}queue q ORDER BY id")
            return [row for (row,) in cursor.fetchall()]

    def execute(self, statement: str, **values: Any) -> None:
        with self.session.cursor() as cursor:
            cursor.execute(statement, values)

    def present(self, name: str, path: str = "", header: bool = True) -> None:
        """The file as an ingest leaves it in the database."""
        self.execute("INSERT INTO file (name) VALUES (%(name)s) ON CONFLICT DO NOTHING", name=name.removesuffix(".bz2"))
        self.execute(
            "INSERT INTO diskfile (file_id, filename, path, present, canonical, entrytime)"
            " SELECT id, %(name)s, %(path)s, true, true, now() - interval '1 day' FROM file WHERE name = %(stem)s",
            name=name, path=path, stem=name.removesuffix(".bz2"),
        )  # fmt: skip
        if header:
            self.execute("INSERT INTO header (diskfile_id, engineering) SELECT max(id), false FROM diskfile")

    def ok(self, **options: Any) -> dict[str, Any]:
        return run_ok("fits_enqueue", self.options | options)

    def check(self, **options: Any) -> dict[str, Any]:
        return run_ok("fits_enqueue", self.options | options, check=True, diff=True)

    def refused(self, **options: Any) -> dict[str, Any]:
        """Refused or failed alike in check mode and for real, with nothing changed."""
        before = self.rows("ingest"), self.rows("export")
        predicted = run_refused("fits_enqueue", self.options | options, check=True)
        result = run_refused("fits_enqueue", self.options | options)
        assert (self.rows("ingest"), self.rows("export")) == before
        assert predicted["msg"] == result["msg"]
        assert not result.get("undo_id")
        return result

    def undo(self, undo_id: str, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_module("runbook_undo", self.connection | {"undo_id": undo_id, "journal_dir": self.journal_dir} | options, check=check)

    def workers(self, queue: str) -> Workers:
        workers = Workers(self.root)
        workers.define(queue)
        return workers


@contextmanager
def making(server: Any, database: Callable[..., str], options: dict[str, Any], directory: Path) -> Iterator[Callable[..., Host]]:
    """Makes hosts of a generation, and variants of its schema; they are closed in the end."""
    made: list[Host] = []

    def make(generation: str, **variant: bool) -> Host:
        made.append(Host(server, database(generation, **variant), generation, directory / f"root{len(made)}", options))
        return made[-1]

    try:
        yield make
    finally:
        for host in made:
            host.session.close()


def without_done(result: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in change.items() if key != "done"} for change in result["changes"]]


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in result["findings"]]


def guards(result: dict[str, Any]) -> list[str]:
    return [refusal["guard"] for refusal in result["refusals"]]
