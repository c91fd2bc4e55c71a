# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in front of a PostgreSQL whose build has none.

The embedded binaries are built without OpenSSL. This front answers PostgreSQL's own SSLRequest, ends the TLS
session with a certificate from a throw-away authority, and passes the bytes on to the server's TCP port, as a pooler
or stunnel does in the field.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104


def make_certificates(directory: Path) -> None:
    """An authority and a certificate for `localhost` and 127.0.0.1, by openssl."""
    directory.mkdir(mode=0o700)
    names = directory / "names.ext"
    names.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n", encoding="utf-8")
    new_key = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    steps = [
        [*new_key, "-x509", "-days", "2", "-subj", "/CN=lab authority", "-keyout", "ca.key", "-out", "ca.crt"],
        [*new_key, "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"],
        [
            "openssl",
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            names.name,
            "-out",
            "server.crt",
        ],
    ]
    for step in steps:
        subprocess.run(step, cwd=directory, check=True, capture_output=True)


class TlsFront:
    """Listens on a free loopback port until closed. `insist` refuses connections without TLS."""

    def __init__(self, directory: Path, backend_port: int, insist: bool) -> None:
        make_certificates(directory)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / "server.crt", directory / "server.key")
        self._backend_port = backend_port
        self._insist = insist
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="pg-tls-front", daemon=True).start()

    def close(self) -> None:
        """Stop listening; connections that are open end with their server."""
        # close() alone does not wake a thread that waits in accept().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), contextlib.closing(client):
            first = self._read_packet(client)
            while first is not None and struct.unpack("!I", first[4:8])[0] == GSS_REQUEST:
                client.sendall(b"N")
                first = self._read_packet(client)
            if first is None:
                return
            if struct.unpack("!I", first[4:8])[0] == SSL_REQUEST:
                client.sendall(b"S")
                with contextlib.closing(self._context.wrap_socket(client, server_side=True)) as wrapped:
                    self._relay(wrapped, b"")
            elif self._insist:
                client.sendall(_refusal('no pg_hba.conf entry for host "127.0.0.1", no encryption'))
            else:
                self._relay(client, first)

    @staticmethod
    def _read_packet(client: socket.socket) -> bytes | None:
        head = client.recv(8, socket.MSG_WAITALL)
        if len(head) < 8:
            return None
        rest = struct.unpack("!I", head[:4])[0] - 8
        return head + (client.recv(rest, socket.MSG_WAITALL) if rest > 0 else b"")

    def _relay(self, client: socket.socket, already: bytes) -> None:
        """Pass bytes both ways. One thread only: a TLS session must not be read and written at the same time."""
        with contextlib.closing(socket.create_connection(("127.0.0.1", self._backend_port))) as backend:
            backend.sendall(already)
            while True:
                waiting = isinstance(client, ssl.SSLSocket) and client.pending() > 0
                ready = [client] if waiting else select.select([client, backend], [], [])[0]
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    (backend if source is client else client).sendall(data)


def _refusal(message: str) -> bytes:
    """An ErrorResponse as the server itself would send it."""
    fields = b"".join(b"%c%s\0" % (code, text.encode()) for code, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", "28000"), (b"M", message)))
    body = fields + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body
