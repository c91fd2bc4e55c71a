# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS inside TDS 7: the handshake travels in PRELOGIN packets, what comes after it does not."""

from __future__ import annotations

import ssl

from lab.tds.wire import PRELOGIN, Closed, Transport, read_message, send_message


class Tls:
    """One connection's TLS, over a transport that stays usable in clear when only the login was to be encrypted."""

    def __init__(self, transport: Transport, context: ssl.SSLContext) -> None:
        self._transport = transport
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._answer()
                kind, content = read_message(transport)
                if kind != PRELOGIN:
                    raise Closed from None
                self._incoming.write(content)
            else:
                self._answer()
                return

    def recv(self, size: int, /) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                data = self._transport.recv(65536)
                if not data:
                    return b""
                self._incoming.write(data)
            except ssl.SSLError:
                return b""

    def sendall(self, data: bytes, /) -> None:
        self._tls.write(data)
        self._transport.sendall(self._outgoing.read())

    def pending(self) -> bool:
        return bool(self._incoming.pending or self._tls.pending())

    def _answer(self) -> None:
        if self._outgoing.pending > 0:
            send_message(self._transport, PRELOGIN, self._outgoing.read())


def context(certificate: str, key: str) -> ssl.SSLContext:
    """As SQL Server has it under TDS 7: no TLS 1.3."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate, key)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made
