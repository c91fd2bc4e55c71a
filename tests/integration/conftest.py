# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real PostgreSQL for the whole session; each test gets databases of its own, copied from a template."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine
from lab.fits import schema
from lab.jobrunner.backend import Backend
from lab.pg import Postgres
from node import Node

_numbers = itertools.count()


class Databases:
    """Makes databases on one server. A template is filled once; a copy costs some 30 ms."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.templates: set[str] = set()
        self.made: list[str] = []

    def __call__(self, generation: str = "C", lagging: bool = False, mixed: bool = False) -> str:
        """A fresh database of a generation; ``lagging`` and ``mixed`` as ``lab.fits.schema.create`` takes them."""
        template = f"template_{generation.lower()}{'_lagging' if lagging else ''}{'_mixed' if mixed else ''}"
        if template not in self.templates:
            schema.create(self.server, template, generation, lagging=lagging, mixed=mixed)
            self.templates.add(template)
        return self.copy(template)

    def copy(self, source: str) -> str:
        """A database just like another one, which nobody may be connected to."""
        name = f"fits_{next(_numbers)}"
        self.execute(f'CREATE DATABASE {name} OWNER {schema.OWNER} TEMPLATE "{source}"')
        self.made.append(name)
        return name

    def execute(self, statement: str, values: Any = None, database: str = "postgres") -> list[tuple[Any, ...]]:
        """One statement as the superuser."""
        connection = self.server.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def drop(self) -> None:
        while self.made:
            self.server.drop_database(self.made.pop())


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    with Postgres(listen="127.0.0.1") as started:
        yield started


@pytest.fixture(scope="session")
def databases(server: Postgres) -> Databases:
    return Databases(server)


@pytest.fixture
def database(databases: Databases) -> Iterator[Callable[..., str]]:
    """``database("A", lagging=True)`` gives the name of a fresh database, dropped after the test."""
    yield databases
    databases.drop()


@pytest.fixture
def journal_dir(tmp_path: Path) -> str:
    """Where a fix keeps its journal; it does not exist yet."""
    return str(tmp_path / "journal")


@pytest.fixture
def connection(server: Postgres) -> dict[str, Any]:
    """Connection options of a module, as the owner of the tables; ``login_db`` is the test's to add."""
    return {"login_unix_socket": server.socket_dir, "login_port": server.port, "login_user": schema.OWNER}


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Any]:
    """Worker options that look at this test's own directories, so that no other test's workers are seen."""
    for name in ("scripts", "logs", "locks"):
        (tmp_path / name).mkdir()
    return {"scripts_dir": str(tmp_path / "scripts"), "log_dir": [str(tmp_path / "logs")], "lockfile_dir": [str(tmp_path / "locks")]}


@pytest.fixture(scope="session")
def shared_database(server: Postgres) -> str:
    schema.create(server, "shared", "C")
    return "shared"


@pytest.fixture
def node(databases: Databases, shared_database: str, connection: dict[str, Any], places: dict[str, Any], journal_dir: str) -> Iterator[Node]:
    """A node with a journal of its own, and a queue of generation C with two orphans and a failure. Only rows may be changed."""
    databases.execute("TRUNCATE ingestqueue RESTART IDENTITY", database=shared_database)
    made = Node(databases.server, shared_database, connection, places, journal_dir)
    yield made
    made.session.close()


@pytest.fixture
def own_node(database: Databases, connection: dict[str, Any], places: dict[str, Any], journal_dir: str) -> Iterator[Node]:
    """The same with a database of its own, of which anything may be changed."""
    made = Node(database.server, database("C"), connection, places, journal_dir)
    yield made
    made.session.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker Engine that tests may kill."""
    with Engine() as running:
        yield running


@pytest.fixture
def backend(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[Backend]:
    """A job-runner backend; ``@pytest.mark.parametrize("backend", [{"user_version": 3}], indirect=True)`` makes another one."""
    made = Backend(tmp_path / "backend", engine, **getattr(request, "param", {}))
    yield made
    made.close()
