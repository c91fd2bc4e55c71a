# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite beside a program that owns the database: short reads, shorter writes, and no file that its owner cannot use.

Everything is done with the rights of the database file's owner. A ``-journal``, ``-wal`` or ``-shm`` file that root left behind would
lock the owner out. Nothing is ever created: a missing file is an error, where ``sqlite3`` by itself would make an empty database.
"""

from __future__ import annotations

import os
import pwd
import sqlite3
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from .command import Account, acting_as

BUSY_TIMEOUT = 10.0
"""Seconds to wait for other writers. Waiting holds no lock."""
LONGEST_WRITE = 0.5
"""Seconds that a write may hold its lock before it is taken back."""
_STEPS = 500


class SqliteError(Exception):
    """Anything that went wrong between here and the database file."""


class Database:
    """One database file, and a connection while it is needed."""

    def __init__(self, path: str, timeout: float = BUSY_TIMEOUT) -> None:
        self.path = path
        self.timeout = timeout
        self.statements = 0
        self._connection: Optional[sqlite3.Connection] = None
        self._owner: Optional[Account] = None

    @property
    def owner(self) -> Account:
        """Whose file it is."""
        if self._owner is None:
            self._owner = _owner(self.path)
        return self._owner

    @property
    def user_version(self) -> int:
        return int(self.query("PRAGMA user_version")[0][0])

    @property
    def journal_mode(self) -> str:
        """``delete``, ``wal`` and so on."""
        return str(self.query("PRAGMA journal_mode")[0][0])

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with acting_as(self.owner):
                connection.close()

    def query(self, statement: str, values: Sequence[Any] = ()) -> List[sqlite3.Row]:
        """All rows of one statement; values are bound."""
        self.statements += 1
        with self._errors(), acting_as(self.owner):
            return self._open().execute(statement, values).fetchall()

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """Queries in it see one moment. Keep it short: a reader keeps writers from their commit unless the database is in WAL mode."""
        with self._transaction("BEGIN DEFERRED"):
            yield self

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """One write transaction, all or nothing. Nothing else may be called from within: whoever owns the database waits meanwhile."""
        with self._transaction("BEGIN IMMEDIATE"):
            deadline = time.monotonic() + LONGEST_WRITE
            connection = self._open()
            connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
            try:
                yield self
            finally:
                connection.set_progress_handler(None, _STEPS)
            if time.monotonic() > deadline:
                raise SqliteError("the write to %s took longer than %s s and was taken back" % (self.path, LONGEST_WRITE))

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self.query(begin)
        try:
            yield
        except BaseException:
            with acting_as(self.owner):
                if self._open().in_transaction:
                    self._open().execute("ROLLBACK")
            raise
        self.query("COMMIT")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            uri = "%s?mode=rw" % Path(os.path.abspath(self.path)).as_uri()
            self._connection = sqlite3.connect(uri, uri=True, timeout=self.timeout, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
        return self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            if "not a database" in str(exc):
                raise SqliteError("%s is no SQLite database" % self.path) from exc
            raise SqliteError("%s: %s" % (self.path, _told(exc, self.timeout))) from exc


def row_dict(row: sqlite3.Row) -> Dict[str, Any]:
    """A row by column names."""
    return {name: row[name] for name in row.keys()}  # noqa: SIM118  a Row iterates over its values


def _owner(path: str) -> Account:
    """By its name: to open the file and close it again would drop every lock that this process holds on it (POSIX)."""
    try:
        info = os.stat(path)
    except OSError as exc:
        raise SqliteError("cannot open the database %s: %s" % (path, exc.strerror)) from exc
    if info.st_size == 0 or not stat.S_ISREG(info.st_mode):
        raise SqliteError("%s is no SQLite database" % path)
    if os.geteuid() not in (0, info.st_uid):
        raise SqliteError("%s belongs to user id %d; only that user or root can use it without leaving files that lock its owner out" % (path, info.st_uid))
    try:
        entry = pwd.getpwuid(info.st_uid)
    except KeyError:
        return Account(str(info.st_uid), info.st_uid, info.st_gid, "/")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


def _told(exc: sqlite3.Error, timeout: float) -> str:
    text = str(exc)
    if "locked" in text or "busy" in text:
        return "another program held it for more than %s s (%s)" % (timeout, text)
    if "interrupted" in text:
        return "the write took longer than %s s and was taken back" % LONGEST_WRITE
    return text
