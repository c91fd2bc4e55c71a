# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL: one connection per module run, named options, errors that a person can act on.

psycopg2 is looked for when it is needed, so that the modules can be imported and documented without it.
"""

from __future__ import annotations

import os
import traceback
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

try:
    import psycopg2
    from psycopg2 import errors as pg_errors
    from psycopg2 import sql
    from psycopg2.extras import Json

    IMPORT_ERROR: Optional[str] = None
except ImportError:
    psycopg2 = None  # type: ignore[assignment]
    IMPORT_ERROR = traceback.format_exc()

from .command import CommandError, account, acting_as

APPLICATION_NAME = "fieldops.runbooks"

OPTIONS: Dict[str, Dict[str, Any]] = {
    "login_host": {"type": "str"},
    "login_port": {"type": "int", "default": 5432},
    "login_unix_socket": {"type": "path"},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "ssl_mode": {"type": "str", "default": "prefer", "choices": ["allow", "disable", "prefer", "require", "verify-ca", "verify-full"]},
    "ca_cert": {"type": "path"},
    "connect_timeout": {"type": "int", "default": 10},
    "peer_user": {"type": "str"},
}
"""Options as community.postgresql names them, and ``peer_user``; documented in the fragment ``postgres``."""


_CLIENTS = """
SELECT current_setting('listen_addresses'), inet_client_addr()::text, inet_server_addr()::text,
       (SELECT coalesce(json_agg(json_build_object('pid', pid, 'user', usename, 'application', application_name, 'address', host(client_addr),
                                                   'hidden', state IS NULL AND query = '<insufficient privilege>')), '[]')
          FROM pg_stat_activity
         WHERE datname = current_database() AND usename IS NOT NULL AND pid <> pg_backend_pid())
"""
_LOOPBACK = ("127.0.0.1", "::1", "localhost", "")


class Client(NamedTuple):
    """Another session on the same database. ``place`` is here, elsewhere, or unknown."""

    pid: int
    user: str
    application: str
    address: Optional[str]
    place: str

    def to_dict(self) -> Dict[str, Any]:
        return {"pid": self.pid, "user": self.user, "application": self.application, "address": self.address, "place": self.place}


class PostgresError(Exception):
    """Anything that went wrong between here and the server. ``sqlstate`` is empty where no server spoke."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Postgres:
    """One connection. Statements outside of ``transaction()`` commit by themselves.

    Statement and lock time-outs are in milliseconds.
    """

    def __init__(self, params: Mapping[str, Any], default_db: str, statement_timeout: int = 60000, lock_timeout: int = 5000) -> None:
        if psycopg2 is None:
            raise PostgresError("the Python library psycopg2 is missing on this node (Debian: python3-psycopg2)")
        self.database = params.get("login_db") or default_db
        self.where = params.get("login_unix_socket") or params.get("login_host") or "the local socket"
        settings = "-c statement_timeout=%d -c lock_timeout=%d -c idle_in_transaction_session_timeout=60000" % (statement_timeout, lock_timeout)
        self.statements = 0
        try:
            with peer(params.get("peer_user")):
                self._connection = psycopg2.connect(options=settings, **connect_arguments(params, self.database))
            self._connection.autocommit = True
        except (psycopg2.Error, ValueError) as exc:
            raise PostgresError("cannot connect to database %s on %s: %s" % (self.database, self.where, _text(exc)), _state(exc)) from exc

    def close(self) -> None:
        self._connection.close()

    @property
    def alive(self) -> bool:
        return not self._connection.closed

    @property
    def server_version(self) -> int:
        """As libpq gives it: 150004 for 15.4, 90624 for 9.6.24."""
        return int(self._connection.server_version)

    def rows(self, statement: Any, values: Any = None) -> List[Tuple[Any, ...]]:
        """Run one statement and return all its rows. Values are always bound."""
        self.statements += 1
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        except (psycopg2.Error, ValueError) as exc:  # ValueError: a value that no server takes, such as one with a NUL
            raise self._error(exc) from exc

    def row(self, statement: Any, values: Any = None) -> Tuple[Any, ...]:
        return self.rows(statement, values)[0]

    def clients(self) -> List[Client]:
        """Other sessions on this database, and whether each comes from this node. Needs no special rights."""
        listens, own, server, sessions = self.row(_CLIENTS)
        own, server = ((address or "").split("/")[0] for address in (own, server))
        server_here = own in _LOOPBACK or own == server
        closed = server_here and all(word.strip() in _LOOPBACK for word in listens.split(","))
        return [Client(each["pid"], each["user"], each["application"] or "", each["address"], _place(each, own, server_here, closed)) for each in sessions]

    def transaction(self, read_only: bool = False) -> Transaction:
        """A short transaction; reads in one see one snapshot."""
        return Transaction(self, read_only)

    def _error(self, exc: Exception) -> PostgresError:
        if isinstance(exc, pg_errors.InsufficientPrivilege):
            return PostgresError("the database user may not do this in %s: %s" % (self.database, _text(exc)), _state(exc))
        if self._connection.closed:
            return PostgresError(
                "the connection to database %s on %s was lost: %s. What had not been committed was rolled back." % (self.database, self.where, _text(exc)),
                _state(exc),
            )
        return PostgresError("database %s: %s" % (self.database, _text(exc)), _state(exc))


class Transaction:
    """``with postgres.transaction():`` commits at the end, rolls back when anything is raised."""

    def __init__(self, postgres: Postgres, read_only: bool) -> None:
        self._postgres = postgres
        self._begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

    def __enter__(self) -> Postgres:
        self._postgres.rows(self._begin)
        return self._postgres

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        if kind is None:
            self._commit()
        elif self._postgres.alive:
            with suppress(PostgresError):  # a server that cannot be told rolls back all the same
                self._postgres.rows("ROLLBACK")

    def _commit(self) -> None:
        try:
            self._postgres.rows("COMMIT")
        except PostgresError as exc:
            if self._postgres.alive:
                raise
            text = "the connection to database %s on %s was lost in the very moment of the commit: whether it was made only shows by looking"
            raise PostgresError(text % (self._postgres.database, self._postgres.where), exc.sqlstate) from exc


@contextmanager
def peer(name: Optional[str]) -> Iterator[None]:
    """While connecting, be the system user whom the server knows by peer authentication: it looks at the moment of the connection."""
    if name is None:
        yield
        return
    try:
        user = account(name)
    except CommandError as exc:
        raise PostgresError("peer_user: %s" % exc) from exc
    if os.geteuid() not in (0, user.uid):
        raise PostgresError("peer_user: only root, or %s, can connect as %s; this module runs as user id %d" % (name, name, os.geteuid()))
    with acting_as(user):
        yield


def connect_arguments(params: Mapping[str, Any], database: str) -> Dict[str, Any]:
    """Arguments for psycopg2 from module options; what is not given is left to libpq and its environment."""
    arguments = {
        "host": params.get("login_unix_socket") or params.get("login_host"),
        "port": params.get("login_port"),
        "user": params.get("login_user"),
        "password": params.get("login_password"),
        "sslmode": params.get("ssl_mode"),
        "sslrootcert": params.get("ca_cert"),
        "connect_timeout": params.get("connect_timeout"),
    }
    known = {name: value for name, value in arguments.items() if value is not None}
    return dict(known, dbname=database, application_name=APPLICATION_NAME, client_encoding="UTF8")


def identifier(*names: str) -> Any:
    """A quoted SQL identifier."""
    return sql.Identifier(*names)


def compose(template: str, **parts: Any) -> Any:
    """SQL from a template whose ``{name}`` parts are composed objects or identifiers, never values."""
    return sql.SQL(template).format(**parts)


def raw(text: str) -> Any:
    """A piece of SQL that this collection wrote itself."""
    return sql.SQL(text)


def json_value(value: Any) -> Any:
    """A value to be bound as JSON."""
    return Json(value)


def comma(parts: Sequence[Any]) -> Any:
    return sql.SQL(", ").join(parts)


def _place(session: Mapping[str, Any], own: str, server_here: bool, closed: bool) -> str:
    """Where a session comes from. ``closed``: the server is on this node and takes no connection from outside."""
    if closed:
        return "here"
    if session["hidden"]:
        return "unknown"
    address = session["address"] or ""
    if server_here and address in _LOOPBACK:
        return "here"
    return "here" if own and address == own else "elsewhere"


def _text(exc: Exception) -> str:
    """The server's words on one line, without the statement and without anything that was bound."""
    diag = getattr(exc, "diag", None)
    primary = getattr(diag, "message_primary", None)
    if primary:
        hint = getattr(diag, "message_detail", None) if getattr(exc, "pgcode", "") == "23505" else None
        return "%s%s" % (primary, " (%s)" % hint if hint else "")
    return " ".join(str(exc).split()) or type(exc).__name__


def _state(exc: Exception) -> str:
    return getattr(exc, "pgcode", None) or ""
