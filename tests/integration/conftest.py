# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One real PostgreSQL and one Docker Engine for the whole session; each test gets databases of its own, copied from a template, and nodes of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.engine import Engine
from lab.fits import schema
from lab.jobrunner.backend import Backend
from lab.motr.target import VARIABLE, BadTarget, Target
from lab.pg import Postgres
from lab.sesam import samples
from lab.sesam.container import SesamNode
from lab.sesam.plain import PlainSesam
from node import Node

os.environ["FIELDOPS_LIMITS_DIR"] = ""  # also where pytest is not run by tools/project.py
_numbers = itertools.count()
MOTR = pytest.StashKey[Target]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--motr", metavar="FILE", help=f"run test_motr_targets.py against the Motr that this file describes (docs/motr_real.md); also {VARIABLE}")


def pytest_configure(config: pytest.Config) -> None:
    """A file that cannot be meant ends the run before any test. What tests start is not measured: it made each run of Ansible cost half as much again."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)
    file = config.getoption("--motr", None) or os.environ.get(VARIABLE)
    if file:
        if config.getoption("numprocesses", None) or os.environ.get("PYTEST_XDIST_WORKER"):
            raise pytest.UsageError("a real Motr is tested by one process, as a client's endpoint is had by one at a time: leave out -n")
        try:
            config.stash[MOTR] = Target.read(file)
        except BadTarget as exc:
            raise pytest.UsageError(f"{file} describes no Motr: {exc}") from exc


@pytest.fixture(scope="module")
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The Motr that a file describes, or the laboratory's stand-ins in the same form."""
    given = request.config.stash.get(MOTR, None)
    made = given or Target.stand_in(tmp_path_factory.mktemp("motr"))
    yield made
    if given is None:
        made.close()


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


@pytest.fixture
def plain_sesam(tmp_path: Path) -> Iterator[Callable[..., PlainSesam]]:
    """``plain_sesam(config=..., sigusr1="default")`` is a node as an ordinary process, which runs; ``start=False`` for one that does not yet."""
    made: list[PlainSesam] = []

    def make(start: bool = True, **options: Any) -> PlainSesam:
        made.append(PlainSesam(tmp_path / f"sesam-{next(_numbers)}", **options))
        return made[-1].start() if start else made[-1]

    yield make
    for node in made:
        node.close()


@pytest.fixture
def sesam_node(tmp_path: Path, engine: Engine) -> Iterator[Callable[..., SesamNode]]:
    """``sesam_node(begins="shell", owner="777:777")`` is a node in a container of the session's engine, which runs; ``start=False`` as above."""
    made: list[SesamNode] = []

    def make(start: bool = True, **options: Any) -> SesamNode:
        made.append(SesamNode(tmp_path / f"sesam-{next(_numbers)}", engine, **options))
        return made[-1].start() if start else made[-1]

    yield make
    for node in made:
        node.close()


@pytest.fixture(scope="module")
def lasting_sesam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainSesam]:
    """A node for all tests of a module; take `shared_sesam`."""
    with PlainSesam(tmp_path_factory.mktemp("sesam") / "node", config=samples.config()) as node:
        yield node


@pytest.fixture
def shared_sesam(lasting_sesam: PlainSesam) -> Iterator[PlainSesam]:
    """The same, without faults and without the requests of other tests. Only look at it, and switch faults."""
    lasting_sesam.forget_requests()
    yield lasting_sesam
    lasting_sesam.mend()
