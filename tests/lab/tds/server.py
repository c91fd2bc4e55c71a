# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server: sessions in threads, and everything that can go wrong with one."""

from __future__ import annotations

import re
import select
import socket
import socketserver
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from lab.tds import tls, wire
from lab.tds.catalogue import Catalogue, ServerMessage

_WORDS = re.compile(r"\s*(\w+)")
_LOCK_TIMEOUT = re.compile(r"\s*SET\s+LOCK_TIMEOUT\s+(-?\d+)\s*", re.IGNORECASE)
_SPLIT = re.compile(r"""((?:[^;'\[]|'(?:[^']|'')*'|\[(?:[^\]]|\]\])*\])*)(?:;|$)""")


@dataclass(frozen=True)
class Login:
    """One attempt to log in. ``clear``: the password could be read on the wire."""

    user: str
    application: str
    database: str
    server: str
    read_only: bool
    clear: bool
    accepted: bool


@dataclass
class Faults:
    """What is broken. Each holds for as long as it is set."""

    deaf: bool = False
    """Takes connections and says nothing."""
    mute: bool = False
    """Logs in, and then answers no query and no attention."""
    hang_query: bool = False
    """A query never ends of itself, though an attention ends it."""
    cut_answer: int | None = None
    """Sends so many bytes of an answer to a query with rows, and then breaks off."""
    down: bool = False
    """Closes each new connection at once."""


@dataclass
class Seen:
    """What clients did."""

    logins: list[Login] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    attentions: int = 0
    abandoned: int = 0
    """Queries whose client went away without an answer."""
    running: int = 0
    """Queries under way now."""


class SqlServer:
    """The stand-in on a port of its own. ``encryption``: none, available (the login is encrypted), or forced."""

    def __init__(self, encryption: str = "none", certificate: str = "", key: str = "") -> None:
        self.catalogue = Catalogue()
        self.users = {"reader": "s3cret&%/#Pass'wörd"}
        self.faults, self.seen = Faults(), Seen()
        self.encryption = encryption
        self.context: ssl.SSLContext | None = tls.context(certificate, key) if certificate else None
        self._server = _Listener(("127.0.0.1", 0), _Handler)
        self._server.standin = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> SqlServer:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    standin: SqlServer


class _Handler(socketserver.BaseRequestHandler):
    server: _Listener

    def handle(self) -> None:
        session = _Session(self.server.standin, self.request)
        try:
            session.run()
        except (wire.Closed, OSError):
            pass
        finally:
            self.request.close()


class _Session:
    """One connection."""

    def __init__(self, server: SqlServer, sock: socket.socket) -> None:
        self.server, self.sock = server, sock
        self.transport: wire.Transport = sock
        self.lock_timeout = -1

    def run(self) -> None:
        if self.server.faults.down:
            return
        if self.server.faults.deaf:
            self._stare()
        if not self._log_in():
            return
        while True:
            kind, content = wire.read_message(self.transport)
            if kind == wire.BATCH:
                self._batch(wire.batch_text(content))
            elif kind == wire.ATTENTION:
                self._reply(wire.done(wire.DONE_ATTENTION))
            else:
                self.server.seen.refused.append(f"message of type {kind}")
                self._reply(wire.message(2812, "The stand-in takes batches only.", 16) + wire.done(wire.DONE_ERROR))

    # -- logging in ------------------------------------------------------------------------------------------------------------

    def _log_in(self) -> bool:
        _kind, content = wire.read_message(self.transport)
        asked = wire.prelogin_encryption(content)
        level = self._level(asked)
        self._reply(wire.prelogin_answer(level))
        if level != wire.ENCRYPT_NOT_SUP:
            assert self.server.context is not None
            self.transport = tls.Tls(self.sock, self.server.context)
        kind, content = wire.read_message(self.transport)
        if kind != wire.LOGIN7:
            raise wire.Closed
        if level == wire.ENCRYPT_OFF:
            self.transport = self.sock
        record = wire.login_record(content)
        accepted = self.server.users.get(record.user) == record.password
        login = Login(record.user, record.application, record.database, record.server, record.read_only, level == wire.ENCRYPT_NOT_SUP, accepted)
        self.server.seen.logins.append(login)
        return self._welcome(record, accepted)

    def _level(self, asked: int) -> int:
        if self.server.encryption == "none":
            return wire.ENCRYPT_NOT_SUP
        if self.server.encryption == "forced":
            return wire.ENCRYPT_REQ
        return {wire.ENCRYPT_NOT_SUP: wire.ENCRYPT_NOT_SUP, wire.ENCRYPT_OFF: wire.ENCRYPT_OFF}.get(asked, wire.ENCRYPT_ON)

    def _welcome(self, record: wire.LoginRecord, accepted: bool) -> bool:
        refusal = b""
        if not accepted:
            refusal = wire.message(18456, f"Login failed for user '{record.user}'.", 14)
        elif record.database and record.database not in self.server.catalogue.databases:
            refusal = wire.message(4060, f'Cannot open database "{record.database}" requested by the login. The login failed.', 11)
            refusal += wire.message(18456, f"Login failed for user '{record.user}'.", 14)
        if refusal:
            self._reply(refusal + wire.done(wire.DONE_ERROR))
            return False
        database = record.database or "master"
        answer = wire.changed(1, database, "master") + wire.message(5701, f"Changed database context to '{database}'.", 0)
        self._reply(answer + wire.collation() + wire.changed(4, "4096", "4096") + wire.login_acknowledged() + wire.done())
        return True

    # -- statements ------------------------------------------------------------------------------------------------------------

    def _batch(self, text: str) -> None:
        self.server.seen.statements.append(text)
        if self.server.faults.mute:
            self._stare()
        with self.server.lock:
            self.server.seen.running += 1
        try:
            statements = [found.group(1) for found in _SPLIT.finditer(text) if found.group(1).strip()]
            answer, rows = b"", False
            for number, statement in enumerate(statements, 1):
                more = wire.DONE_MORE if number < len(statements) else wire.DONE_FINAL
                told = self._statement(statement)
                answer += wire.done(more) if told is None else wire.result(*told, more)
                rows = rows or told is not None
            self._reply(answer or wire.done(), rows)
        except _Attention:
            self._reply(wire.done(wire.DONE_ATTENTION))
        except ServerMessage as exc:
            self._reply(wire.message(exc.number, exc.text, exc.severity) + wire.done(wire.DONE_ERROR))
        except wire.Closed:
            self.server.seen.abandoned += 1
            raise
        finally:
            with self.server.lock:
                self.server.seen.running -= 1

    def _statement(self, statement: str) -> tuple[list[str], list[tuple[Any, ...]]] | None:
        """Columns and rows, if it has any."""
        found = _WORDS.match(statement)
        word = found.group(1).upper() if found else ""
        if word == "SET":
            timeout = _LOCK_TIMEOUT.fullmatch(statement)
            if timeout:
                self.lock_timeout = int(timeout.group(1))
            return None
        outside = re.sub(r"N?'(?:[^']|'')*'|\[(?:[^\]]|\]\])*\]", "", statement)
        if word != "SELECT" or re.search(r"\bINTO\b|\bEXEC\b|--|/\*", outside, re.IGNORECASE):
            self.server.seen.refused.append(statement)
            raise ServerMessage(262, f"The stand-in is only for looking: {word} is refused.", 14)
        self._wait(statement)
        return self.server.catalogue.query(statement)

    def _wait(self, statement: str) -> None:
        """For a lock as long as the session says, for the work as long as it takes; an attention ends both."""
        cost = self.server.catalogue.asked(statement)
        if cost.locked:
            self._pause(self.lock_timeout / 1000 if self.lock_timeout >= 0 else float("inf"))
            raise ServerMessage(1222, "Lock request time out period exceeded.")
        self._pause(float("inf") if self.server.faults.hang_query else cost.seconds)

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            pending = isinstance(self.transport, tls.Tls) and self.transport.pending()
            if pending or select.select([self.sock], [], [], min(left, 1))[0]:
                kind, _content = wire.read_message(self.transport)
                if kind == wire.ATTENTION:
                    self.server.seen.attentions += 1
                    raise _Attention

    def _reply(self, content: bytes, rows: bool = False) -> None:
        cut = self.server.faults.cut_answer
        if rows and cut is not None:
            whole = _Recorder()
            wire.send_message(whole, wire.REPLY, content)
            self.transport.sendall(whole.data[:cut])
            raise wire.Closed
        wire.send_message(self.transport, wire.REPLY, content)

    def _stare(self) -> None:
        """Say nothing until the client has had enough."""
        while self.sock.recv(4096):
            pass
        raise wire.Closed


class _Attention(Exception):
    """The client wants no answer any more."""


class _Recorder:
    def __init__(self) -> None:
        self.data = b""

    def recv(self, size: int, /) -> Any:
        raise NotImplementedError

    def sendall(self, data: bytes, /) -> None:
        self.data += data
