# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that do what a test tells them, however wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Callable, Iterator

Behaviour = Callable[[socket.socket, bytes], None]


class Server:
    """Reads one request from each connection and lets a function answer it."""

    def __init__(self, behaviour: Behaviour, listener: socket.socket, context: ssl.SSLContext | None, read: bool) -> None:
        self.requests: list[bytes] = []
        self.stopped = threading.Event()
        name = listener.getsockname()
        self.port = int(name[1]) if isinstance(name, tuple) else 0
        self._behaviour = behaviour
        self._listener = listener
        self._context = context
        self._read = read
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def url(self, host: str = "127.0.0.1", path: str = "/") -> str:
        return "http%s://%s:%d%s" % ("s" if self._context else "", host, self.port, path)

    def close(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        # Clients break off, which is what is tested.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            connection.settimeout(10)
            if self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
                stack.callback(connection.close)
            request = _request(connection) if self._read else b""
            self.requests.append(request)
            self._behaviour(connection, request)


@contextlib.contextmanager
def serving(
    behaviour: Behaviour,
    context: ssl.SSLContext | None = None,
    address: str = "127.0.0.1",
    unix_socket: str = "",
    read: bool = True,
) -> Iterator[Server]:
    """A server for the time of a test; ``read`` says whether it waits for the request."""
    family = socket.AF_UNIX if unix_socket else socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind(unix_socket or (address, 0))
    listener.listen(16)
    server = Server(behaviour, listener, context, read)
    try:
        yield server
    finally:
        server.close()


def answer(*parts: bytes) -> Behaviour:
    """Sends these bytes, then closes."""

    def behave(connection: socket.socket, _request: bytes) -> None:
        for part in parts:
            connection.sendall(part)

    return behave


def drip(head: bytes, piece: bytes, pause: float) -> Behaviour:
    """Sends a piece again and again, until the other side has had enough."""

    def behave(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            # Waiting for what never comes notices when the other side goes.
            connection.settimeout(max(pause, 0.0001))
            with contextlib.suppress(socket.timeout, ssl.SSLWantReadError):
                if not connection.recv(1):
                    return
            connection.settimeout(10)

    return behave


def silence(connection: socket.socket, _request: bytes) -> None:
    """Accepts, and never answers."""
    while connection.recv(65536):
        pass


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _end, body = data.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _colon, value = line.partition(b":")
        if name.lower() == b"content-length":
            while len(body) < int(value):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
