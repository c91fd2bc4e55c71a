# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of servers: until when they are valid, for which names, and whether this node trusts them.

Python's ssl shows the contents of a certificate only when it trusts it, and managed nodes have no other library for it; so they are
read here, as RFC 5280 describes them. What is read is only reported: whether a certificate is trusted, OpenSSL says.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
import ssl
import stat
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from ipaddress import ip_address
from typing import Iterator, List, Optional, Tuple

from .dial import Deadline, Failure, dial, place, secure
from .http import no_trust, trust

_LONGEST = 1 << 20
_LONGEST_OID = 64
_PEM = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END (?:X509 )?CERTIFICATE-----")

_INTEGER, _OID, _SEQUENCE, _SET, _UTC_TIME, _GENERALIZED_TIME = 0x02, 0x06, 0x30, 0x31, 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87
_OCTETS, _BOOLEAN = 0x04, 0x01
_ENCODINGS = {
    0x0C: "utf-8",
    0x12: "ascii",
    0x13: "ascii",
    0x14: "latin-1",  # formally T.61, which nobody meant
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_ALTERNATIVE_NAMES = "2.5.29.17"
_SHORT = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.15": "businessCategory",
    "2.5.4.17": "postalCode",
    "2.5.4.41": "name",
    "2.5.4.42": "GN",
    "2.5.4.97": "organizationIdentifier",
    "1.2.840.113549.1.9.1": "emailAddress",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}


class CertificateError(Exception):
    """There is no certificate, or none that can be read."""


@dataclass(frozen=True)
class Certificate:
    """What a certificate says of itself. Times are seconds since 1970; ``self_signed``: its issuer is its own subject."""

    subject: str
    issuer: str
    names: Tuple[str, ...]
    not_before: float
    not_after: float
    serial: str
    sha256: str
    self_signed: bool


def of_server(host: str, port: int, server_name: Optional[str] = None, timeout: float = 10.0) -> Certificate:
    """The certificate that a server shows, whatever it is worth."""
    context = no_trust()
    # What is only looked at need not be as strong as what is trusted.
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with suppress(ssl.SSLError):  # OpenSSL 1.0 has no such levels
        context.set_ciphers("ALL:@SECLEVEL=0")
    try:
        shown = _handshake(host, port, server_name, context, timeout)
    except Failure as failure:
        raise CertificateError(failure.text) from failure
    if not shown:
        raise CertificateError("%s shows no certificate" % place(host, port))
    return parse(shown)


def trusted(host: str, port: int, server_name: Optional[str] = None, ca_cert: Optional[str] = None, timeout: float = 10.0) -> str:
    """Nothing when this node trusts the server under that name, else OpenSSL's reason; CertificateError when the server cannot be asked.

    With ``ca_cert`` only the authorities in that file count.
    """
    try:
        _handshake(host, port, server_name, trust(ca_cert), timeout)
    except Failure as failure:
        if isinstance(failure.__cause__, ssl.SSLCertVerificationError):
            return failure.__cause__.verify_message.rstrip(".")
        raise CertificateError(failure.text) from failure
    return ""


def _handshake(host: str, port: int, server_name: Optional[str], context: ssl.SSLContext, timeout: float) -> Optional[bytes]:
    deadline = Deadline(timeout)
    with closing(dial(host, port, deadline)) as sock, closing(secure(sock, context, server_name or host, place(host, port), deadline)) as tls:
        return tls.getpeercert(binary_form=True)


def of_file(path: str) -> Certificate:
    """The first certificate in a file, PEM or DER: a server's own stands before those of its authorities."""
    try:
        # Not to wait for whoever should write into a pipe.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CertificateError("%s is not a regular file" % path)
            data = file.read(_LONGEST + 1)
    except (OSError, ValueError) as exc:
        raise CertificateError("cannot read %s: %s" % (path, getattr(exc, "strerror", None) or exc)) from exc
    if len(data) > _LONGEST:
        raise CertificateError("%s is longer than %d bytes: no certificate is" % (path, _LONGEST))
    try:
        return parse(data)
    except CertificateError as exc:
        raise CertificateError("%s: %s" % (path, exc)) from exc


def parse(der_or_pem: bytes) -> Certificate:
    """Read a certificate; CertificateError for anything else."""
    der = _der(der_or_pem)
    file = _Der(der)
    fields = file.inner(_SEQUENCE).inner(_SEQUENCE)
    if file.left():
        raise CertificateError("there is more than a certificate in it: %d bytes follow" % file.left())
    fields.optional(_VERSION)
    serial = fields.expect(_INTEGER)
    fields.expect(_SEQUENCE)  # how it was signed
    issuer = fields.expect(_SEQUENCE)
    validity = fields.inner(_SEQUENCE)
    not_before, not_after = _time(validity), _time(validity)
    subject = fields.expect(_SEQUENCE)
    fields.expect(_SEQUENCE)  # its key
    names: Tuple[str, ...] = ()
    for tag, content in fields.rest():
        if tag == _EXTENSIONS:
            names = tuple(_alternative_names(content))
    return Certificate(_name(subject), _name(issuer), names, not_before, not_after, _serial(serial), hashlib.sha256(der).hexdigest(), subject == issuer)


def _der(data: bytes) -> bytes:
    """The bytes of the certificate alone."""
    if b"-----BEGIN " not in data:
        return data
    found = _PEM.search(data)
    if not found:
        raise CertificateError("there is no whole certificate in it: -----BEGIN CERTIFICATE----- ... -----END CERTIFICATE-----")
    try:
        return binascii.a2b_base64(found.group(1))
    except binascii.Error as exc:
        raise CertificateError("the certificate is not base64: %s" % exc) from exc


class _Der:
    """DER elements one after another: a tag, a length, so many bytes. Nothing is read beyond the element that is being read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def left(self) -> int:
        return len(self._data) - self._at

    def next(self) -> Tuple[int, bytes]:
        head = self._data[self._at : self._at + 6]
        if len(head) < 2:
            raise CertificateError("the certificate is cut off, or not one")
        tag, length, size = head[0], head[1], 2
        if tag & 0x1F == 0x1F:
            raise CertificateError("this is no certificate: no element of one has the tag 0x%02x" % tag)
        if length & 0x80:
            size += length & 0x7F
            if not 2 < size <= 6:
                raise CertificateError("this is no certificate: an element has a length that DER does not allow")
            length = int.from_bytes(head[2:size], "big")
        if size + length > self.left():
            raise CertificateError("the certificate is cut off, or not one")
        start, self._at = self._at + size, self._at + size + length
        return tag, self._data[start : self._at]

    def expect(self, tag: int) -> bytes:
        found, content = self.next()
        if found != tag:
            raise CertificateError("this is no certificate: it has an element of type 0x%02x where 0x%02x belongs" % (found, tag))
        return content

    def inner(self, tag: int) -> _Der:
        return _Der(self.expect(tag))

    def optional(self, tag: int) -> Optional[bytes]:
        return self.expect(tag) if self.left() and self._data[self._at] == tag else None

    def rest(self) -> Iterator[Tuple[int, bytes]]:
        while self.left():
            yield self.next()


def _serial(content: bytes) -> str:
    """In hexadecimal, as openssl prints it."""
    number = int.from_bytes(content, "big", signed=True)
    digits = "%X" % abs(number)
    return ("-" if number < 0 else "") + ("0" if len(digits) % 2 else "") + digits


def _time(validity: _Der) -> float:
    tag, content = validity.next()
    text = content.decode("ascii", "replace")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise CertificateError("this is no certificate: it has an element of type 0x%02x where a time belongs" % tag)
    if not re.fullmatch(r"[0-9]{14}Z", text):
        raise CertificateError("the certificate has an invalid time in it: %r" % text[:32])
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
    except ValueError as exc:
        raise CertificateError("the certificate has an invalid time in it: %s" % text) from exc


def _name(content: bytes) -> str:
    """A distinguished name, in its own order."""
    parts: List[str] = []
    for tag, relative in _Der(content).rest():
        if tag != _SET:
            raise CertificateError("this is no certificate: it has an element of type 0x%02x in a name" % tag)
        pairs = []
        for _tag, pair in _Der(relative).rest():
            attribute = _Der(pair)
            kind = _oid(attribute.expect(_OID))
            pairs.append("%s=%s" % (_SHORT.get(kind, kind), _value(*attribute.next())))
        parts.append("+".join(pairs))
    return ", ".join(parts)


def _oid(content: bytes) -> str:
    if not content or content[-1] & 0x80 or len(content) > _LONGEST_OID:
        raise CertificateError("this is no certificate: an object identifier in it is cut off, or longer than any")
    numbers, number = [], 0
    for byte in content:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first] + numbers[1:]))


def _value(tag: int, content: bytes) -> str:
    """A value in a name, as RFC 4514 writes it; control characters become visible."""
    encoding = _ENCODINGS.get(tag)
    if encoding is None:
        return "#%s" % content.hex().upper()
    text = _visible(re.sub(r'[,+"\\<>;]', r"\\\g<0>", content.decode(encoding, "replace")))
    if text.endswith(" "):
        text = text[:-1] + "\\ "
    return "\\" + text if text.startswith(("#", " ")) and text != "\\ " else text


def _visible(text: str) -> str:
    return "".join("\\%02X" % ord(char) if ord(char) < 32 or 127 <= ord(char) < 160 else char for char in text)


def _alternative_names(content: bytes) -> Iterator[str]:
    for _tag, extension in _Der(_Der(content).expect(_SEQUENCE)).rest():
        fields = _Der(extension)
        if _oid(fields.expect(_OID)) != _ALTERNATIVE_NAMES:
            continue
        fields.optional(_BOOLEAN)
        for tag, name in _Der(_Der(fields.expect(_OCTETS)).expect(_SEQUENCE)).rest():
            if tag == _DNS_NAME:
                yield _visible(name.decode("ascii", "replace"))
            elif tag == _IP_ADDRESS:
                yield _address(name)


def _address(packed: bytes) -> str:
    try:
        return str(ip_address(packed))
    except ValueError:
        raise CertificateError("the certificate is for an IP address of %d bytes" % len(packed)) from None
