# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Queues to be measured on: each is filled once, and everything that is measured gets a copy of its own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lab.fits import schema
from lab.fits.faults import Faults
from lab.pg import Postgres

_numbers = itertools.count(1)

# All orphans reset and nothing else touched; every other row waits already.
_DIGEST = "SELECT md5(string_agg(md5((to_jsonb(q) || %s)::text), '' ORDER BY id)) FROM ingestqueue q"
_AS_IT_IS, _MENDED = "{}", '{"inprogress": false}'


@dataclass(frozen=True)
class Template:
    """A filled queue, and what its whole table adds up to with the orphans and without."""

    name: str
    generation: str
    rows: int
    orphans: int
    broken: str
    mended: str
    mib: float


def ask(server: Postgres, database: str, *statements: str, values: Any = None) -> Any:
    """The one value that the last statement gives, asked as the superuser, whose sessions are not counted."""
    connection = server.connect(database)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement, values)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def digest(server: Postgres, database: str) -> str:
    """Changes when any value of any row does."""
    return str(ask(server, database, _DIGEST, values=(_AS_IT_IS,)))


def fill(server: Postgres, generation: str, rows: int, orphans: int) -> Template:
    """Make a queue of ``rows`` rows in which ``orphans`` are in progress and nobody works on them."""
    name = f"template_{generation.lower()}_{rows}"
    schema.create(server, name, generation)
    connection = server.connect(name, user=schema.OWNER, autocommit=False)
    try:
        make = Faults(connection)
        make.healthy("ingest", rows - orphans)
        make.orphans("ingest", orphans)
    finally:
        connection.close()
    ask(server, name, "VACUUM (ANALYZE) ingestqueue")
    broken, mended = (str(ask(server, name, _DIGEST, values=(change,))) for change in (_AS_IT_IS, _MENDED))
    size = ask(server, name, "SELECT pg_total_relation_size('ingestqueue') / 1048576.0")
    return Template(name, generation, rows, orphans, broken, mended, float(size))


@contextlib.contextmanager
def copied(server: Postgres, template: Template) -> Iterator[str]:
    """A copy, read once so that none starts colder than another, with nothing left for the disk to do."""
    name = f"bench_{next(_numbers)}"
    ask(server, "postgres", f"CREATE DATABASE {name} OWNER {schema.OWNER} TEMPLATE {template.name}")
    try:
        ask(server, name, "SELECT count(*) FROM ingestqueue", "CHECKPOINT")
        yield name
    finally:
        server.drop_database(name)
