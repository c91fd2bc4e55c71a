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
_TURN = 0.2
"""Seconds for which readers are waited for at a time: meanwhile no new ones get in."""
_BETWEEN = 0.05
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
        self.query("BEGIN DEFERRED")
        with self._transaction():
            yield self

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """One write transaction, all or nothing. Nothing else may be called from within: whoever owns the database waits meanwhile."""
        self._begin_alone()
        with self._transaction():
            deadline = time.monotonic() + LONGEST_WRITE
            connection = self._open()
            connection.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
            try:
                yield self
            finally:
                connection.set_progress_handler(None, _STEPS)
            if time.monotonic() > deadline:
                raise SqliteError("the write to %s took longer than %s s and was taken back" % (self.path, LONGEST_WRITE))

    def _begin_alone(self) -> None:
        """Have the database to oneself before anything is written, so that the commit waits for nobody.

        Without WAL a writer that waits for a reader to end keeps every new reader out, the database's owner among them, who gives up after 5 s. So
        it waits for a moment, gets out of the way, and tries again.
        """
        deadline = time.monotonic() + self.timeout
        self._be_patient(min(_TURN, self.timeout))
        try:
            while True:
                try:
                    self.query("BEGIN EXCLUSIVE")
                    return
                except SqliteError as exc:
                    if not _is_busy(exc.__cause__) or time.monotonic() >= deadline:
                        raise
                time.sleep(_BETWEEN)
        finally:
            self._be_patient(self.timeout)

    def _be_patient(self, seconds: float) -> None:
        self.query("PRAGMA busy_timeout = %d" % int(seconds * 1000))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            yield
            self.query("COMMIT")
        except BaseException:
            with acting_as(self.owner):
                if self._open().in_transaction:
                    self._open().execute("ROLLBACK")
            raise

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
    if _is_busy(exc):
        return "another program held it for more than %s s (%s)" % (timeout, text)
    if "interrupted" in text:
        return "the write took longer than %s s and was taken back" % LONGEST_WRITE
    return text


def _is_busy(exc: Optional[BaseException]) -> bool:
    return isinstance(exc, sqlite3.Error) and ("locked" in str(exc) or "busy" in str(exc))
