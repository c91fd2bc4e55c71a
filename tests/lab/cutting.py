# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A socket in front of a Docker Engine that lets some changing requests through, and then takes the engine away."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.engine import Engine

CHUNK = 65536
READS = ("/exec/", "/wait", "/attach")  # they are POST, and change nothing


def changes(method: str, path: str) -> bool:
    """Whether a request changes something on the engine."""
    bare = path.partition("?")[0]
    return method in {"POST", "PUT", "DELETE"} and not bare.endswith(("/exec", "/auth", *READS)) and "/exec/" not in bare


@dataclass
class Request:
    """One request as the client sent it: its head, and what is known of its body."""

    method: str
    path: str
    head: bytes
    rest: bytes
    length: int = 0
    chunked: bool = False
    upgrade: bool = False

    def forwarded(self) -> bytes:
        """The head, so that the engine closes after its answer: one request to a connection is easy to follow."""
        if self.upgrade:
            return self.head
        lines = [line for line in self.head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        return b"\r\n".join([*lines[:-2], b"Connection: close", b"", b""])


@dataclass
class CuttingProxy:
    """Forwards to `engine`. `answered=False`: the engine dies as change number `after` + 1 comes, which never reaches it.

    `answered=True`: it dies as soon as change number `after` was made, and the client gets that answer. `after=None` only looks on.
    """

    engine: Engine
    after: int | None = None
    answered: bool = False
    counts: Callable[[str, str], bool] = changes
    made: list[str] = field(default_factory=list)  # changes that the engine answered, as "METHOD /path"
    refused: list[str] = field(default_factory=list)  # changes that came when it was gone
    cut: bool = False

    def __post_init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="lab-cut-"))
        self._path = self._folder / "docker.sock"
        self.docker_host = f"unix://{self._path}"
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._listen()

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """No more proxy. The engine is left as it is."""
        self._deafen()
        self._path.unlink(missing_ok=True)
        self._folder.rmdir()

    def restore(self, after: int | None = None) -> None:
        """Start the engine again, if it is gone; listen at the same address, with a new number of changes or without end."""
        self.engine.start()
        self.after, self.made, self.refused = after, [], []
        if self.cut:
            self.cut = False
            self._listen()

    # -- connections ----------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._path.chmod(0o666)
        self._listener.listen(32)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _deafen(self) -> None:
        """Refuse connections, as the socket of a dead engine does."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _address = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            request = read_request(client)
            if request is None:
                return
            if not self.counts(request.method, request.path):
                if not self.cut:
                    self._forward(request, client)
                return
            with self._lock:  # changes one after the other, or their number would mean nothing
                self._change(request, client)

    def _change(self, request: Request, client: socket.socket) -> None:
        name = f"{request.method} {request.path}"
        if self.cut or (self.after is not None and not self.answered and len(self.made) >= self.after):
            self.refused.append(name)
            self._take_away()
            return
        self.made.append(name)
        if self.after is None or not self.answered or len(self.made) < self.after:
            self._forward(request, client)
            return
        answer = self._answer(request, client)
        self._take_away()
        client.sendall(answer)

    def _take_away(self) -> None:
        if not self.cut:
            self.cut = True
            self._deafen()
            self.engine.kill()

    # -- bytes ---------------------------------------------------------------------------------------------------------------------

    def _upstream(self, request: Request, client: socket.socket) -> socket.socket:
        engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        engine.connect(str(self.engine.socket))
        engine.sendall(request.forwarded() + request.rest)
        if not request.upgrade:
            send_body(request, client, engine)
        return engine

    def _forward(self, request: Request, client: socket.socket) -> None:
        with self._upstream(request, client) as engine:
            if request.upgrade:
                threading.Thread(target=pump, args=(client, engine), daemon=True).start()
            pump(engine, client)

    def _answer(self, request: Request, client: socket.socket) -> bytes:
        parts = []
        with self._upstream(request, client) as engine:
            while data := engine.recv(CHUNK):
                parts.append(data)
        return b"".join(parts)


def read_request(client: socket.socket) -> Request | None:
    """The next request's head; None when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(CHUNK)
        if not more:
            return None
        data += more
    head, _blank, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _version = first.split(" ", 2)
    fields = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    length, chunked = int(fields.get("content-length", 0)), "chunked" in fields.get("transfer-encoding", "")
    return Request(method, path, head + b"\r\n\r\n", rest, length, chunked, "upgrade" in fields)


def send_body(request: Request, client: socket.socket, engine: socket.socket) -> None:
    """The rest of a request's body; of a chunked one, up to its last chunk."""
    seen, end = request.rest, b"0\r\n\r\n"
    sent = len(seen)
    while (request.chunked and not seen.endswith(end)) or (not request.chunked and sent < request.length):
        data = client.recv(CHUNK)
        if not data:
            return
        engine.sendall(data)
        sent += len(data)
        seen = (seen + data)[-len(end) :]


def pump(source: socket.socket, target: socket.socket) -> None:
    """All that comes, until it ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
