# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases with tables whose rows grow with time, and the few catalogue views that tell of them. SQLite answers the queries."""

from __future__ import annotations

import itertools
import re
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_PART = r"(?:\[(?:[^\]]|\]\])+\]|\w+)"
_NAME = re.compile(rf"({_PART})\.({_PART})?\.({_PART})")
_LITERAL = re.compile(r"(\[(?:[^\]]|\]\])*\])|N?'((?:[^']|'')*)'")
_VIEWS = {
    "schemas": "schema_id, name",
    "tables": "object_id, schema_id, name, create_date",
    "partitions": "object_id, index_id, rows",
    "dm_db_partition_stats": "object_id, index_id, row_count",
}
VERSION = "15.0.4210.1"


class ServerMessage(Exception):
    """An error as the server sends it."""

    def __init__(self, number: int, text: str, severity: int = 16) -> None:
        super().__init__(text)
        self.number, self.text, self.severity = number, text, severity


@dataclass
class Table:
    """``rate`` is in rows a second. ``indexes`` are the ids that have a row in sys.partitions: 0 is a heap, 1 a clustered index."""

    name: str
    rows: float = 0
    rate: float = 0
    schema: str = "dbo"
    indexes: Sequence[int] = (0,)
    age: float = 60
    denied: bool = False
    hidden: bool = False
    locked: bool = False
    count_seconds: float = 0
    object_id: int = 0
    since: float = field(default_factory=time.monotonic)

    def counted(self) -> int:
        return int(self.rows + self.rate * (time.monotonic() - self.since))

    def at(self, rows: float, rate: float) -> None:
        """From now on so many rows, at this rate."""
        self.rows, self.rate, self.since = rows, rate, time.monotonic()


@dataclass(frozen=True)
class Asked:
    """What a query touches besides the catalogue: how long it takes, and whether it waits for a lock."""

    seconds: float = 0
    locked: bool = False


class Catalogue:
    """All databases of one server."""

    def __init__(self) -> None:
        self.databases: dict[str, list[Table]] = {"master": [], "tempdb": [], "OpenCORONA": [], "OpenCORONATempTables": []}
        self.closed: set[str] = set()
        """Databases that the user may not enter."""
        self.denied_views: set[str] = set()
        self._ids = itertools.count(1013578649, 16)

    def table(self, database: str, name: str, **more: Any) -> Table:
        made = Table(name, object_id=next(self._ids), **more)
        self.databases[database].append(made)
        return made

    def temporary(self, name: str, session: int = 0x2D, **more: Any) -> Table:
        """A table of one session, under the name that tempdb gives it: 116 characters padded with underscores, and twelve digits."""
        return self.table("tempdb", name.ljust(116, "_") + "%012X" % session, **more)

    def drop(self, table: Table) -> None:
        for tables in self.databases.values():
            if table in tables:
                tables.remove(table)

    def renew(self, table: Table, **more: Any) -> Table:
        """Drop a table and make another of the same name."""
        database = next(name for name, tables in self.databases.items() if table in tables)
        self.drop(table)
        return self.table(database, table.name, schema=table.schema, **more)

    # -- queries ---------------------------------------------------------------------------------------------------------------

    def asked(self, statement: str) -> Asked:
        """What the tables of a statement will cost it."""
        found = [
            table for name in _NAME.finditer(_LITERAL.sub(lambda match: match.group(1) or "''", statement)) if (table := self._user_table(name)) is not None
        ]
        return Asked(max((table.count_seconds for table in found), default=0), any(table.locked for table in found))

    def query(self, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Columns and rows of one SELECT."""
        values: list[str] = []

        def literal(match: re.Match[str]) -> str:
            if match.group(1):
                return match.group(1)  # an identifier, whatever is in it
            values.append(match.group(2).replace("''", "'"))
            return f"?{len(values)}"

        connection = self._connection()
        try:
            text = _NAME.sub(lambda match: self._source(connection, match), _LITERAL.sub(literal, statement))
            text = re.sub(r"DATEDIFF\(second,", "DATEDIFF('second',", text, flags=re.IGNORECASE)
            text = re.sub(r"\bWITH \(NOLOCK\)|\bOPTION \(MAXDOP \d+\)", "", text, flags=re.IGNORECASE)
            text = re.sub(r"COUNT_BIG\(\*\)", "max(counted)", text, flags=re.IGNORECASE)
            cursor = connection.execute(text, values)
            return [column[0] for column in cursor.description], cursor.fetchall()
        except sqlite3.Error as exc:
            raise ServerMessage(102, f"Incorrect syntax near '{exc}'.", 15) from exc
        finally:
            connection.close()

    def _connection(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:")
        connection.create_function("like", 2, lambda pattern, text: _like(pattern, text, ""))
        connection.create_function("like", 3, _like)
        connection.create_function("SERVERPROPERTY", 1, {"ProductVersion": VERSION}.get)
        connection.create_function("GETDATE", 0, time.monotonic)
        connection.create_function("DATEDIFF", 3, lambda _part, start, end: int(end - start))
        return connection

    def _source(self, connection: sqlite3.Connection, match: re.Match[str]) -> str:
        """The table of SQLite that stands for a name of three parts."""
        database, schema, name = (_plain(part or "dbo") for part in match.groups())
        whole = f"{database}.{schema}.{name}"
        actual = next((known for known in self.databases if known.lower() == database.lower()), None)
        if actual is None:
            raise ServerMessage(208, f"Invalid object name '{whole}'.")
        if actual in self.closed:
            raise ServerMessage(916, f'The server principal "reader" is not able to access the database "{actual}" under the current security context.', 14)
        quoted = '"%s"' % whole.replace('"', '""')
        if schema.lower() == "sys":
            self._fill_view(connection, quoted, actual, name.lower())
            return quoted
        table = self._user_table(match)
        if table is None or table.hidden:
            raise ServerMessage(208, f"Invalid object name '{whole}'.")
        if table.denied:
            raise ServerMessage(229, f"The SELECT permission was denied on the object '{name}', database '{actual}', schema '{schema}'.", 14)
        connection.execute(f"CREATE TABLE {quoted} (counted)")
        connection.execute(f"INSERT INTO {quoted} VALUES (?)", (table.counted(),))
        return quoted

    def _fill_view(self, connection: sqlite3.Connection, quoted: str, database: str, view: str) -> None:
        if view not in _VIEWS:
            raise ServerMessage(208, f"Invalid object name '{database}.sys.{view}'.")
        if view in self.denied_views:
            raise ServerMessage(229, f"The SELECT permission was denied on the object '{view}', database 'mssqlsystemresource', schema 'sys'.", 14)
        columns = _VIEWS[view].replace("name", "name COLLATE NOCASE")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {quoted} ({columns})")
        rows = self._view_rows(database, view)
        connection.executemany(f"INSERT INTO {quoted} VALUES ({', '.join('?' * len(_VIEWS[view].split(',')))})", rows)

    def _view_rows(self, database: str, view: str) -> list[tuple[Any, ...]]:
        tables = [table for table in self.databases[database] if not table.hidden]
        schemas = {name: number for number, name in enumerate(["dbo", *sorted({table.schema for table in tables} - {"dbo"})], 1)}
        if view == "schemas":
            return [(number, name) for name, number in schemas.items()]
        if view == "tables":
            return [(table.object_id, schemas[table.schema], table.name, table.since - table.age) for table in tables]
        return [(table.object_id, index, table.counted()) for table in tables for index in table.indexes]

    def _user_table(self, match: re.Match[str]) -> Table | None:
        database, schema, name = (_plain(part or "dbo").lower() for part in match.groups())
        for known, tables in self.databases.items():
            for table in tables:
                if (known.lower(), table.schema.lower(), table.name.lower()) == (database, schema, name):
                    return table
        return None


def _plain(part: str) -> str:
    return part[1:-1].replace("]]", "]") if part.startswith("[") else part


def _like(pattern: str, text: str | None, escape: str) -> bool:
    """LIKE as Transact-SQL has it: sets of characters in brackets besides % and _, and no regard for case."""
    if text is None:
        return False
    made, position = "", 0
    while position < len(pattern):
        char = pattern[position]
        closing = pattern.find("]", position + 1) if char == "[" else -1
        if char == escape and position + 1 < len(pattern):
            position += 1
            made += re.escape(pattern[position])
        elif char == "[" and closing < 0:
            return False
        elif closing > 0:
            made += "[" + pattern[position + 1 : closing].replace("\\", "\\\\") + "]"
            position = closing
        else:
            made += {"%": ".*", "_": "."}.get(char) or re.escape(char)
        position += 1
    return re.fullmatch(made, text, re.IGNORECASE | re.DOTALL) is not None
