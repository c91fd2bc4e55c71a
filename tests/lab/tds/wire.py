# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TDS 7.4 on the wire: packets, the login record, and the tokens of an answer."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

BATCH, RPC, REPLY, ATTENTION, LOGIN7, PRELOGIN = 0x01, 0x03, 0x04, 0x06, 0x10, 0x12
ENCRYPT_OFF, ENCRYPT_ON, ENCRYPT_NOT_SUP, ENCRYPT_REQ = range(4)
DONE_FINAL, DONE_MORE, DONE_ERROR, DONE_COUNT, DONE_ATTENTION = 0x00, 0x01, 0x02, 0x10, 0x20
_TDS74 = 0x74000004
_COLLATION = bytes.fromhex("0904d00034")  # Latin1_General_CI_AS
_PACKET = 4096


class Closed(Exception):
    """The client went away."""


class Transport(Protocol):
    def recv(self, size: int, /) -> bytes: ...

    def sendall(self, data: bytes, /) -> None: ...


def read_exactly(transport: Transport, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = transport.recv(size - len(data))
        if not piece:
            raise Closed
        data += piece
    return data


def read_message(transport: Transport) -> tuple[int, bytes]:
    """Type and content of one message, however many packets it takes."""
    content = b""
    while True:
        kind, status, size = struct.unpack(">BBH4x", read_exactly(transport, 8))
        content += read_exactly(transport, size - 8)
        if status & 1:
            return kind, content


def send_message(transport: Transport, kind: int, content: bytes) -> None:
    pieces = [content[start : start + _PACKET - 8] for start in range(0, len(content), _PACKET - 8)] or [b""]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        transport.sendall(struct.pack(">BBHHBB", kind, int(last), len(piece) + 8, 52, (number + 1) % 256, 0) + piece)


# -- what the client says ---------------------------------------------------------------------------------------------------


def prelogin_encryption(content: bytes) -> int:
    """The level of encryption that the client asks for."""
    position = 0
    while content[position] != 0xFF:
        token, start, size = struct.unpack_from(">BHH", content, position)
        if token == 1 and size:
            return int(content[start])
        position += 5
    return ENCRYPT_NOT_SUP


def prelogin_answer(encryption: int) -> bytes:
    fields = [(0, bytes([15, 0, 0x10, 0x72, 0, 0])), (1, bytes([encryption]))]
    head, body, start = b"", b"", 5 * len(fields) + 1
    for token, value in fields:
        head += struct.pack(">BHH", token, start + len(body), len(value))
        body += value
    return head + b"\xff" + body


@dataclass(frozen=True)
class LoginRecord:
    """What a client says of itself when it logs in."""

    user: str
    password: str
    host: str
    application: str
    server: str
    database: str
    read_only: bool
    version: int


def login_record(content: bytes) -> LoginRecord:
    texts = [_text(content, 36 + 4 * number) for number in range(9)]
    start, size = struct.unpack_from("<HH", content, 44)
    return LoginRecord(
        user=texts[1],
        password=_revealed(content[start : start + 2 * size]),
        host=texts[0],
        application=texts[3],
        server=texts[4],
        database=texts[8],
        read_only=bool(content[26] & 0x20),
        version=int(struct.unpack_from("<I", content, 4)[0]),
    )


def _text(content: bytes, at: int) -> str:
    start, size = struct.unpack_from("<HH", content, at)
    return content[start : start + 2 * size].decode("utf-16-le", "replace")


def _revealed(hidden: bytes) -> str:
    """TDS hides a password by swapping half-bytes; without TLS that is all that protects it."""
    plain = bytes((byte ^ 0xA5) >> 4 | ((byte ^ 0xA5) & 0x0F) << 4 for byte in hidden)
    return plain.decode("utf-16-le")


def batch_text(content: bytes) -> str:
    """The statements of a batch, after its headers."""
    return content[struct.unpack_from("<I", content)[0] :].decode("utf-16-le")


# -- what the server says ---------------------------------------------------------------------------------------------------


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def _long(text: str) -> bytes:
    return struct.pack("<H", len(text)) + text.encode("utf-16-le")


def message(number: int, text: str, severity: int, state: int = 1) -> bytes:
    """An error, or from severity 10 down information."""
    body = struct.pack("<IBB", number, state, severity) + _long(text) + _short("STANDIN") + _short("") + struct.pack("<I", 1)
    return struct.pack("<BH", 0xAA if severity > 10 else 0xAB, len(body)) + body


def changed(kind: int, new: str, old: str = "") -> bytes:
    body = bytes([kind]) + _short(new) + _short(old)
    return struct.pack("<BH", 0xE3, len(body)) + body


def collation() -> bytes:
    body = bytes([7, 5]) + _COLLATION + b"\x00"
    return struct.pack("<BH", 0xE3, len(body)) + body


def login_acknowledged() -> bytes:
    body = b"\x01" + struct.pack(">I", _TDS74) + _short("Microsoft SQL Server") + bytes([15, 0, 0x10, 0x72])
    return struct.pack("<BH", 0xAD, len(body)) + body


def done(status: int = DONE_FINAL, rows: int = 0) -> bytes:
    return struct.pack("<BHHQ", 0xFD, status, 0xC1, rows)


def result(columns: Sequence[str], rows: Sequence[Sequence[Any]], more: int = DONE_FINAL) -> bytes:
    """Columns of whole numbers are bigint, the others nvarchar(4000)."""
    numeric = [all(row[n] is None or isinstance(row[n], int) for row in rows) for n in range(len(columns))]
    data = struct.pack("<BH", 0x81, len(columns))
    for name, number in zip(columns, numeric, strict=True):
        kind = b"\x26\x08" if number else b"\xe7" + struct.pack("<H", 8000) + _COLLATION
        data += struct.pack("<IH", 0, 1) + kind + _short(name)
    for row in rows:
        data += b"\xd1" + b"".join(_value(value, number) for value, number in zip(row, numeric, strict=True))
    return data + done(DONE_COUNT | more, len(rows))


def _value(value: Any, number: bool) -> bytes:
    if number:
        return b"\x00" if value is None else b"\x08" + struct.pack("<q", value)
    if value is None:
        return b"\xff\xff"
    text = str(value).encode("utf-16-le")
    return struct.pack("<H", len(text)) + text
