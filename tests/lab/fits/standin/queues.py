# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking rows off a queue by each generation's own rules and locks, and putting rows on it."""

from __future__ import annotations

import time
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from psycopg2 import errors, sql

from . import clock
from .sortkey import sortkey

Row = dict[str, Any]

_AB_BUSY = "SELECT filename FROM {table} WHERE failed = false AND inprogress = true"
_AB = "inprogress = false AND failed = false AND filename NOT IN (" + _AB_BUSY + ")"
_C_BUSY = "SELECT filename FROM {table} WHERE fail_dt = %(never)s AND inprogress = true AND filename IS NOT NULL"
_C = "inprogress = false AND fail_dt = %(never)s AND filename NOT IN (" + _C_BUSY + ") AND after < %(now)s"

CANDIDATES = {
    ("A", "ingest"): _AB + " AND after < %(now)s",
    ("A", "export"): _AB,
    ("B", "ingest"): _AB + " AND after < %(now)s",
    ("B", "export"): _AB + " AND after <= %(now)s",
    ("C", "ingest"): _C,
    ("C", "export"): _C,
    ("C", "fileops"): _C,
}
ORDER = {
    ("A", "export"): "filename DESC",
    ("B", "export"): "after, sortkey DESC, filename DESC",
}


def connect(database: str) -> psycopg2.extensions.connection:
    """One session, as upstream has it: no application_name."""
    return psycopg2.connect(database)


class Queue:
    """One queue table in one session."""

    def __init__(self, connection: psycopg2.extensions.connection | None, generation: str, name: str) -> None:
        self.connection = connection
        self.generation = generation
        self.name = name
        self.table = sql.Identifier(name + "queue")
        self._key = (generation, name)

    def fetch(self, text: str, /, **parameters: Any) -> list[Row]:
        """Rows of a query on this table."""
        assert self.connection is not None
        with self.connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(sql.SQL(text).format(table=self.table), parameters)
            return [dict(row) for row in cursor.fetchall()]

    def execute(self, text: str, /, **parameters: Any) -> int:
        """Run a statement on this table and return the number of rows it touched."""
        assert self.connection is not None
        with self.connection.cursor() as cursor:
            cursor.execute(sql.SQL(text).format(table=self.table), parameters)
            return cursor.rowcount

    def commit(self) -> None:
        """End the transaction."""
        assert self.connection is not None
        self.connection.commit()

    def rollback(self) -> None:
        """Give the transaction up."""
        assert self.connection is not None
        self.connection.rollback()

    def candidates(self) -> int:
        """How many rows could be taken now."""
        text = "SELECT count(*) AS n FROM {table} WHERE " + CANDIDATES[self._key]
        return int(self.fetch(text, **self._now())[0]["n"])

    def _now(self) -> dict[str, Any]:
        return {"now": clock.due(self.generation, self.name), "never": clock.FOR_EVER}

    def pop(self) -> Row | None:
        """Take the next row: mark it in progress and commit, so that nothing stays locked."""
        if self.connection is None:
            return None
        lock = " FOR UPDATE SKIP LOCKED" if self.generation == "C" else " FOR UPDATE NOWAIT"
        text = "SELECT * FROM {table} WHERE " + CANDIDATES[self._key] + " ORDER BY " + ORDER.get(self._key, "sortkey DESC") + " LIMIT 1" + lock
        while True:
            try:
                rows = self.fetch(text, **self._now())
                if rows:
                    self.execute("UPDATE {table} SET inprogress = true WHERE id = %(id)s", id=rows[0]["id"])
                self.commit()
                return rows[0] if rows else None
            except errors.LockNotAvailable:  # A and B spin until whoever holds the row lets go
                self.rollback()
                time.sleep(0.05)

    def length(self) -> int:
        """What the log lines call the queue's length: rows not in progress, failed ones included."""
        number = int(self.fetch("SELECT count(*) AS n FROM {table} WHERE inprogress = false")[0]["n"])
        self.commit()
        return number

    def insert(self, row: Row) -> int:
        """Insert a row as it is and return its id; the caller commits."""
        text = "INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING id"
        assert self.connection is not None
        with self.connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(text).format(
                    table=self.table,
                    columns=sql.SQL(", ").join(map(sql.Identifier, row)),
                    values=sql.SQL(", ").join(map(sql.Placeholder, row)),
                ),
                row,
            )
            found = cursor.fetchone()
            assert found is not None
            return int(found[0])

    def add(self, row: Row) -> bool:
        """Insert and commit; False, with everything since the last commit undone, if a constraint refuses."""
        if self.connection is None:
            return False
        try:
            self.insert(row)
            self.commit()
            return True
        except psycopg2.IntegrityError:
            self.rollback()
            return False


def new_row(generation: str, queue: str, filename: str, path: str | None, destination: str = "") -> Row:
    """A row as the program of that generation would add it: every column, for no server default exists."""
    added = clock.added(generation, queue)
    row: Row = {"filename": filename, "path": path, "inprogress": False, "added": added}
    if queue == "export":
        row["destination"] = destination
    else:
        row.update(force_md5=False, force=False)
    if generation == "C":
        row.update(fail_dt=clock.FOR_EVER, after=added, error=None, md5_before_header_update=None, md5_after_header_update=None, header_update=None)
        if queue == "ingest":
            row.update(no_defer=False, batch=None)
    else:
        row["failed"] = False
        if queue == "export":
            row["lastfailed"] = None
        if generation == "B":
            row.update(header_fields=None, md5_before_header=None, md5_after_header=None, reject_new=True)
        if (generation, queue) == ("B", "export"):
            row["after"] = clock.LONG_AGO
        elif queue == "ingest":
            row["after"] = added
    key = sortkey(generation, queue, filename, destination)
    if key is not None:
        row["sortkey"] = key
    return row
