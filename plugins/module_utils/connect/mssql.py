# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQL Server, for looking only: one connection, time limits that hold, errors that a person can act on.

pymssql (on FreeTDS) is looked for when it is needed, so that the modules can be imported and documented without it. What FreeTDS is told
lies in a settings file of this run's own: pymssql passes the level of encryption on only from 2.4.3 on, and the node's own files and variables
could send the connection elsewhere, or write down what goes over it.
"""

from __future__ import annotations

import os
import re
import socket
import tempfile
import threading
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, TypeVar
from urllib.parse import quote, unquote

try:
    import pymssql

    IMPORT_ERROR: Optional[str] = None
except ImportError:
    pymssql = None  # type: ignore[assignment]
    IMPORT_ERROR = traceback.format_exc()

APPLICATION_NAME = "fieldops.runbooks"
OPTIONS: Dict[str, Dict[str, Any]] = {
    "login_host": {"type": "str"},
    "login_port": {"type": "int", "default": 1433},
    "login_user": {"type": "str"},
    "login_password": {"type": "str", "no_log": True},
    "login_db": {"type": "str"},
    "database_url": {"type": "str", "no_log": True},
    "encryption": {"type": "str", "default": "request", "choices": ["off", "request", "require"]},
    "ca_cert": {"type": "path"},
    "login_timeout": {"type": "int", "default": 15},
    "timeout": {"type": "int", "default": 60},
}
"""Documented in the fragment ``mssql``."""

HIDDEN = "********"
LONGEST_NAME = 128
_GRACE = 5.0
"""Seconds that the driver may be late with a time-out of its own. Some of its versions never come back from one."""
_URL = re.compile(
    r"mssql(?:\+\w+)?://(?P<user>[^:/@]+):(?P<password>[^@]*)@"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/:@?#\[\]]+)(?::(?P<port>\d{1,5}))?(?:/(?P<database>[^/?#]*))?/?(?:\?.*)?",
    re.DOTALL,
)
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]+")
_DRIVER = re.compile(r"DB-Lib error message (\d+), severity \d+:\n([^\n]*)")
_SYSTEM = re.compile(r"(?:Net-Lib|Operating System) error during [^\n]*\((\d+)\)")
_TIMED_OUT, _SEE_MESSAGES, _NOT_CONNECTED, _DEAD = 20003, 20018, 20002, 20047
_EOF = (20004, 20017)
_DENIED = (229, 230, 262, 297, 300, 371)
# LOCK_TIMEOUT: nobody waits long for a look. DEADLOCK_PRIORITY: if somebody must lose, it is the look.
_SESSION = "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED; SET LOCK_TIMEOUT 5000; SET DEADLOCK_PRIORITY LOW"
_ELSEWHERE = ("TDSHOST", "TDSPORT", "TDSVER", "TDSQUERY", "TDSDUMP", "TDSDUMPCONFIG", "FREETDS")
T = TypeVar("T")


class MssqlError(Exception):
    """The server refused, or could not be asked. ``number`` is that of its message, 0 where no server spoke."""

    def __init__(self, message: str, number: int = 0) -> None:
        super().__init__(message)
        self.number = number

    @property
    def denied(self) -> bool:
        """The user may not read this one thing."""
        return self.number in _DENIED


class MssqlTimeout(MssqlError):
    """No answer within the time limit; the server was told, or sees, that nobody waits for it any more."""


@dataclass(frozen=True)
class Server:
    """Where a server is, and as whom to log in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str = ""

    @property
    def where(self) -> str:
        return "[%s]:%d" % (self.host, self.port) if ":" in self.host else "%s:%d" % (self.host, self.port)

    @property
    def secrets(self) -> Tuple[str, ...]:
        """All spellings of what nothing may show."""
        return tuple({spelling for spelling in (self.password, quote(self.password, safe=""), quote(self.password)) if spelling})


def server_of(params: Mapping[str, Any]) -> Server:
    """The server that the options name, checked."""
    if params.get("database_url"):
        return parse_url(params["database_url"])
    if not params.get("login_user") or params.get("login_password") is None:
        raise MssqlError("login_host needs login_user and login_password as well")
    return checked(Server(params["login_host"], params["login_port"], params["login_user"], params["login_password"], params.get("login_db") or ""))


def parse_url(url: str) -> Server:
    """From a URL as SQLAlchemy has it. What is wrong with it is told without any part of it."""
    found = _URL.fullmatch(url.strip())
    if not found:
        raise MssqlError(
            "the database URL is not of the form mssql://USER:PASSWORD@HOST:PORT/DATABASE; "
            "special characters in it, above all @, must be percent-encoded (@ is %40)"
        )
    parts = found.groupdict()
    server = Server(parts["host"].strip("[]"), int(parts["port"] or 1433), unquote(parts["user"]), unquote(parts["password"]), unquote(parts["database"] or ""))
    return checked(server)


def checked(server: Server) -> Server:
    if not _HOST.fullmatch(server.host):
        raise MssqlError("%r is not the name or address of a host; an instance is reached by its port" % server.host)
    if not 0 < server.port < 65536:
        raise MssqlError("there is no port %d: ports are 1 to 65535" % server.port)
    if server.database:
        check_name("the database to log in to", server.database)
    for what, text in (("user", server.user), ("password", server.password)):
        if not text or len(text) > LONGEST_NAME or "\0" in text:
            raise MssqlError("the %s must have 1 to %d characters, none of them NUL" % (what, LONGEST_NAME))
    return server


def check_name(what: str, name: str) -> str:
    """A name that SQL Server can have given to something."""
    if not 0 < len(name) <= LONGEST_NAME or any(char < " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in name):
        raise MssqlError("%s must be a name of 1 to %d characters without control characters, not %r" % (what, LONGEST_NAME, name[: LONGEST_NAME + 1]))
    return name


def quote_name(name: str) -> str:
    """An identifier in brackets, as QUOTENAME makes it."""
    return "[%s]" % name.replace("]", "]]")


def quote_text(text: str) -> str:
    """A literal. The driver has no bound parameters, and its way of putting values in would take a % of an identifier for one."""
    if any(char < " " for char in text):  # a backslash before the end of a line is the one thing besides ' that means more than itself
        raise MssqlError("a text for SQL Server must be without control characters, not %r" % text)
    return "N'%s'" % text.replace("'", "''")


def like_prefix(text: str) -> str:
    """A pattern for LIKE ... ESCAPE '\\\\' that matches what begins with a text."""
    return re.sub(r"([\\%_\[])", r"\\\1", text) + "%"


class Mssql:
    """A server to ask. Connects when it is first asked, and again after a connection was lost. Time limits are in seconds."""

    def __init__(self, server: Server, encryption: str = "request", ca_cert: Optional[str] = None, login_timeout: int = 15, timeout: int = 60) -> None:
        if pymssql is None:
            raise MssqlError("the Python library pymssql is missing on this node (Debian: python3-pymssql)")
        for name, seconds in (("login_timeout", login_timeout), ("timeout", timeout)):
            if not 0 < seconds <= 86400:
                raise MssqlError("%s must be 1 to 86400 seconds, not %s" % (name, seconds))
        if ca_cert is not None and not (os.path.isfile(ca_cert) and os.access(ca_cert, os.R_OK) and "\n" not in ca_cert):
            raise MssqlError("ca_cert: %s is not a file that can be read" % ca_cert)
        if ca_cert is not None and encryption == "off":
            raise MssqlError("ca_cert is for encrypted connections; encryption is off")
        self.server = server
        self.encryption = "require" if ca_cert is not None else encryption
        self.ca_cert = ca_cert
        self.login_timeout = login_timeout
        self.timeout = timeout
        self._connection: Any = None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                _within(_GRACE, connection.close)

    def rows(self, statement: str, names: Optional[Mapping[str, str]] = None, texts: Optional[Mapping[str, str]] = None) -> List[Tuple[Any, ...]]:
        """The rows of one SELECT, in which ``{key}`` stands for an identifier or a text; both are quoted here."""
        parts = {key: quote_name(name) for key, name in (names or {}).items()}
        parts.update((key, quote_text(text)) for key, text in (texts or {}).items())
        return self._ask(statement.format(**parts))

    def _ask(self, statement: str) -> List[Tuple[Any, ...]]:
        if self._connection is None:
            self._connection = self._connect()
            self._ask(_SESSION)
        connection = self._connection

        def run() -> List[Tuple[Any, ...]]:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []

        try:
            return _within(self.timeout + _GRACE, run)
        except _Late:
            self._connection = None  # the driver still sits on it, until this process ends
            raise self._late() from None
        except Exception as exc:  # noqa: BLE001  whatever it is, it may have the password in its words
            raise self._told(exc) from None

    def _late(self) -> MssqlTimeout:
        return MssqlTimeout("SQL Server at %s did not answer within %d s" % (self.server.where, self.timeout))

    # -- connecting --------------------------------------------------------------------------------------------------------

    def _connect(self) -> Any:
        server = self.server

        def connect() -> Any:
            return pymssql.connect(
                server=self._section,
                user=server.user,
                password=server.password,
                timeout=self.timeout,
                login_timeout=self.login_timeout,
                appname=APPLICATION_NAME,
                autocommit=True,  # no transaction, not even an empty one
                conn_properties="",  # the driver would not tell of an error in them
            )

        what = "cannot connect to SQL Server at %s as %s: " % (server.where, server.user)
        try:
            _within(self.login_timeout, lambda: socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM))
            with self._settings():
                return _within(self.login_timeout + _GRACE, connect)
        except _Late:
            raise MssqlTimeout("%sit did not answer within %d s" % (what, self.login_timeout)) from None
        except OSError as exc:  # the driver would not say that the name is what is wrong
            raise MssqlError("%s%s" % (what, exc.strerror or exc)) from None
        except Exception as exc:  # noqa: BLE001  whatever it is, it may have the password in its words
            raise self._told_connecting(exc, what) from None

    @property
    def _section(self) -> str:
        """The name of the server's section, which is also the name of the server that is sent when logging in."""
        return self.server.host if ":" in self.server.host else "%s:%d" % (self.server.host, self.server.port)

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """For the time of connecting, FreeTDS reads these settings and no others."""
        lines: Dict[str, Any] = {
            "host": self.server.host,
            "port": self.server.port,
            "tds version": "7.4",
            "encryption": self.encryption,
            "connect timeout": self.login_timeout,
            "timeout": self.timeout,
            "client charset": "UTF-8",
        }
        if self.server.database:
            lines["database"] = self.server.database
        if self.ca_cert is not None:
            lines.update({"ca file": self.ca_cert, "check certificate hostname": "yes"})
        known = {name: os.environ.pop(name) for name in (*_ELSEWHERE, "FREETDSCONF") if name in os.environ}
        with tempfile.NamedTemporaryFile("w", prefix="fieldops-", suffix=".freetds.conf", encoding="utf-8") as file:
            file.write("[%s]\n%s" % (self._section, "".join("%s = %s\n" % line for line in lines.items())))
            file.flush()
            os.environ["FREETDSCONF"] = file.name
            try:
                yield
            finally:
                del os.environ["FREETDSCONF"]
                os.environ.update(known)

    # -- errors ------------------------------------------------------------------------------------------------------------

    def _told(self, exc: Exception) -> MssqlError:
        """What went wrong with a statement, in words without secrets."""
        said = _Said(exc)
        if said.server:
            return MssqlError(self._scrubbed("SQL Server at %s: %s" % (self.server.where, said.server)), said.number)
        self._connection = None  # of no use any more
        if _TIMED_OUT in said.driver:
            return self._late()
        what = "broke off the connection" if said.driver else "cannot be asked"
        return MssqlError(self._scrubbed("SQL Server at %s %s: %s" % (self.server.where, what, said.words)))

    def _told_connecting(self, exc: Exception, what: str) -> MssqlError:
        """The same for a connection that did not come about; ``what`` is how to begin."""
        said = _Said(exc)
        if said.server or _SEE_MESSAGES in said.driver:
            words = said.server or "the server refuses the login"  # the driver keeps only one message, and not always that
            if self.server.database:
                words += " (wrong user name or password, or the database %s cannot be opened)" % self.server.database
            return MssqlError(self._scrubbed(what + words), said.number)
        if _TIMED_OUT in said.driver:
            return MssqlTimeout("%sit did not answer within %d s" % (what, self.login_timeout))
        return MssqlError(self._scrubbed(what + said.words + self._doubt(said.driver)))

    def _doubt(self, driver: Sequence[int]) -> str:
        """The driver does not say so when TLS is what failed."""
        if self.encryption == "off" or not driver or not set(driver) <= {_NOT_CONNECTED, _DEAD, *_EOF}:
            return ""
        if self.ca_cert is not None:
            return " (encryption is required: perhaps the server offers none, or its certificate is not of an authority in %s, or not for %s)" % (
                self.ca_cert,
                self.server.host,
            )
        return " (perhaps no encryption could be agreed on: encryption is %s)" % self.encryption

    def _scrubbed(self, text: str) -> str:
        for secret in self.server.secrets:
            text = text.replace(secret, HIDDEN)
        return " ".join(text.split())


class _Late(Exception):
    """What was started has not ended in time."""


def _within(seconds: float, do: Callable[[], T]) -> T:
    """Do something of the driver's, but do not wait for ever for it: it does not always keep its own time limits."""
    done: List[T] = []
    failed: List[BaseException] = []

    def work() -> None:
        try:
            done.append(do())
        except BaseException as exc:  # noqa: BLE001  raised again by whoever waits
            failed.append(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise _Late
    return done[0]


class _Said:
    """An exception of the driver, whose arguments come in several shapes. ``server``: what the server itself said; ``driver``: the numbers of what
    the driver said; ``words``: that in words.
    """

    def __init__(self, exc: Exception) -> None:
        arguments: Any = exc.args
        while len(arguments) == 1 and isinstance(arguments[0], tuple):
            arguments = arguments[0]
        self.number = arguments[0] if len(arguments) == 2 and isinstance(arguments[0], int) else 0
        text = arguments[-1] if arguments else ""
        raw = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        self.server = raw.split("DB-Lib error message", 1)[0].strip() if self.number else ""
        found = _DRIVER.findall(raw)
        self.driver = [int(code) for code, _words in found]
        system = _SYSTEM.search(raw)
        told = os.strerror(int(system.group(1))) if system else "; ".join(dict.fromkeys(words for _code, words in found))
        self.words = told or "%s: %s" % (type(exc).__name__, raw.strip())
