# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The FITS Storage databases of three generations, and of servers whose constraints lag behind the code.

create(server, "fitsdata", "C")            # on a lab.pg.Postgres
print(ddl("A", lagging=True))              # the same as text, for psql on any other server
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.pg import Postgres

GENERATIONS = ("A", "B", "C")
OWNER = "fitsdata"
READ_ONLY = "fits_ro"
WEB = "fitsweb"
SQL = Path(__file__).parent / "sql"

# What production databases are known to lack: `create_all` never alters a table that exists.
LAGGING = {
    # Without migration 011.
    "A": (
        "ALTER TABLE ingestqueue DROP CONSTRAINT ingestqueue_filename_path_key",
        "ALTER TABLE exportqueue DROP CONSTRAINT exportqueue_filename_path_destination_key",
    ),
    # The unique constraints of A, in spite of b9da4ba6.
    "B": (
        "ALTER TABLE ingestqueue DROP CONSTRAINT ingestqueue_filename_path_key",
        "ALTER TABLE exportqueue DROP CONSTRAINT exportqueue_filename_inprogress_failed_destination_key",
        ("ALTER TABLE exportqueue ADD CONSTRAINT exportqueue_filename_inprogress_failed_key UNIQUE (filename, inprogress, failed)"),
    ),
    "C": (
        "ALTER TABLE ingestqueue DROP CONSTRAINT ingestqueue_filename_path_inprogress_fail_dt_key",
        "ALTER TABLE exportqueue DROP CONSTRAINT exportqueue_filename_inprogress_fail_dt_destination_key",
    ),
}


def _read(name: str) -> str:
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def ddl(generation: str, *, lagging: bool = False, mixed: bool = False) -> str:
    """Everything inside the database, as SQL. `mixed`: C's ingestqueue beside B's exportqueue (generation C only)."""
    if generation not in GENERATIONS:
        raise ValueError(f"generation {generation!r}: one of {', '.join(GENERATIONS)}")
    if mixed and generation != "C":
        raise ValueError("mixed is C with the export queue of B")
    old = generation in "AB"
    extra = ",\n    datafile_timestamp timestamp with time zone" if old else ""
    parts = [
        f"SET ROLE {OWNER};",
        _read("core").replace("{datafile_timestamp}", extra),
        _read(f"ingestqueue_{generation}"),
        _read("exportqueue_B" if mixed else f"exportqueue_{generation}"),
        _read("others_AB" if old else "others_C"),
        _read("queue_error") if old or mixed else "",
    ]
    if lagging:
        parts += [f"{statement};" for statement in LAGGING[generation] if not (mixed and "exportqueue" in statement)]
    queues = "ingestqueue, exportqueue, previewqueue, calcachequeue" + ("" if old else ", fileopsqueue, reducequeue")
    parts += [
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READ_ONLY};",
        f"GRANT SELECT ON {queues} TO {WEB};",
        "RESET ROLE;",
    ]
    return "\n".join(parts) + "\n"


def roles_sql() -> str:
    """The roles: fitsdata owns everything, fits_ro may read everything, fitsweb may read the queues."""
    return _read("roles")


def create(
    server: Postgres,
    name: str = "fitsdata",
    generation: str = "C",
    *,
    lagging: bool = False,
    mixed: bool = False,
    password: str | None = None,
) -> None:
    """Make the roles (all with `password`, if given), the database and its tables."""
    connection = server.connect()
    with connection.cursor() as cursor:
        cursor.execute(roles_sql())
        if password is not None:
            for role in (OWNER, READ_ONLY, WEB):
                cursor.execute(f"ALTER ROLE {role} PASSWORD %s", (password,))
    connection.close()
    server.create_database(name, owner=OWNER)
    connection = server.connect(name)
    with connection.cursor() as cursor:
        cursor.execute(ddl(generation, lagging=lagging, mixed=mixed))
    connection.close()
