# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role sent to a database, as the server itself wrote it down: no client's own count is believed.

log = StatementLog(server, "fitsdata", "fitsdata")   # for sessions that begin from now on
...
log.taken()                                          # statements since then, or since the last call
"""

from __future__ import annotations

import re

from psycopg2 import sql

from lab.pg import Postgres

SHOWN = 200


class StatementLog:
    """Turns ``log_statement`` on for one database, and reads the server's log."""

    def __init__(self, server: Postgres, database: str, role: str) -> None:
        self._file = server.log_file
        # Under both protocols; the prefix is the one that lab.pg sets.
        self._line = re.compile(rb"^\S+ \S+ \S+ \[\d+\] " + re.escape(f"{role}@{database}".encode()) + rb" LOG:  (?:statement|execute [^:]*): (.*)")
        connection = server.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("ALTER DATABASE {} SET log_statement = 'all'").format(sql.Identifier(database)))
        finally:
            connection.close()
        self._read_to = self._file.stat().st_size

    def taken(self) -> list[str]:
        """The beginnings of the statements since the last call. A server logs a statement before it runs it."""
        with open(self._file, "rb") as file:
            file.seek(self._read_to)
            found = [match.group(1)[:SHOWN].decode(errors="replace") for match in map(self._line.match, file) if match]
            self._read_to = file.tell()
        return found
