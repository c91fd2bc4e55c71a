# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP questions to a server: one time limit for all of it, whatever the server does, and an answer instead of an exception.

The environment has no say: a proxy would answer for itself, and what is asked here is whether this node gets an answer from that server.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import ssl
from contextlib import closing
from types import MappingProxyType
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from .dial import Deadline, Failure, broken_off, dial, dial_unix, explain, place, secure

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_PORTS = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_PIECE = 16384
_USERINFO = re.compile(r"(//)[^/?#]*@")
_ASCII = "".join(map(chr, range(33, 127)))
_PRIVATE = ("authorization", "cookie", "proxy-authorization")


class Answer(NamedTuple):
    """What became of a question. ``kind`` is empty when an HTTP answer came, whatever its status.

    Else it is one of refused, timeout, dns, tls, closed, protocol, unreachable, bad_url, bad_request, redirects, and ``error`` says it in
    one phrase. An answer that broke off has its status, its headers and what came of its body.
    """

    url: str
    status: Optional[int] = None
    body: bytes = b""
    truncated: bool = False
    headers: Mapping[str, str] = NO_HEADERS
    seconds: float = 0.0
    kind: str = ""
    error: str = ""
    connected: bool = False
    """Whether something took the connection. With the kind timeout: it took it, and did not answer."""

    @property
    def ok(self) -> bool:
        return not self.kind and self.status is not None and 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none, or not all of it is there."""
        if self.kind or self.truncated:
            raise ValueError(self.error or "the answer is longer than the %d bytes that were read" % len(self.body))
        try:
            return json.loads(self.body.decode("utf-8"))
        except RecursionError:
            raise ValueError("it is nested too deeply") from None


class _Question(NamedTuple):
    method: str
    body: Optional[bytes]
    headers: Mapping[str, str]
    limit: int
    verify: bool
    ca_cert: Optional[str]
    address: Optional[str]
    unix_socket: Optional[str]

    def redirected(self, status: int, old: SplitResult, new: SplitResult) -> _Question:
        """The same question for where a redirect leads: what was meant for one server only does not go to another."""
        asked = self
        if status == 303 or (status in (301, 302) and self.method == "POST"):
            asked = asked._replace(method="HEAD" if self.method == "HEAD" else "GET", body=None)
        if new.hostname != old.hostname:
            asked = asked._replace(address=None)
        if (new.scheme, new.hostname, new.port) != (old.scheme, old.hostname, old.port):
            asked = asked._replace(headers={name: value for name, value in self.headers.items() if name.lower() not in (*_PRIVATE, "host")})
        return asked


def ask(
    url: str,
    method: str = "GET",
    body: Optional[bytes] = None,
    headers: Mapping[str, str] = NO_HEADERS,
    timeout: float = 10.0,
    limit: int = 65536,
    verify: bool = True,
    ca_cert: Optional[str] = None,
    address: Optional[str] = None,
    follow: int = 3,
    unix_socket: Optional[str] = None,
) -> Answer:
    """Ask a server, for ``timeout`` seconds in all; never raises for what a server or a network does.

    With ``ca_cert`` only the authorities in that file are trusted. ``address`` is connected to in place of the host in the URL, whose name
    is still the one that is asked for and verified. Up to ``follow`` redirects are followed, none from https to http; with 0 the redirect is the answer.
    """
    deadline = Deadline(timeout)
    question = _Question(method, body, headers, limit, verify, ca_cert, address, unix_socket)
    answer = Answer(_shown(url))
    try:
        parts = _split(url)
        for left in range(follow, -1, -1):
            answer = _exchange(parts, question, deadline)
            if not follow or answer.kind or answer.status not in _REDIRECTS or "location" not in answer.headers:
                break
            if not left:
                raise Failure("redirects", "%s redirects more often than %d times" % (_shown(url), follow))
            target = _redirect(parts, answer.headers["location"], question)
            question, parts = question.redirected(answer.status, parts, target), target
    except Failure as failure:
        answer = answer._replace(kind=failure.kind, error=failure.text)
    return answer._replace(seconds=deadline.elapsed())


def stream(
    url: str,
    headers: Mapping[str, str] = NO_HEADERS,
    timeout: float = 10.0,
    verify: bool = True,
    ca_cert: Optional[str] = None,
) -> Stream:
    """Ask for what may be too long to hold: the body is read by whoever wants it, and ``timeout`` counts until its end. No redirect is followed.

    Never raises for what a server or a network does until the body is read. Whoever asks closes it.
    """
    question = _Question("GET", None, headers, 0, verify, ca_cert, None, None)
    try:
        parts = _split(url)
    except Failure as failure:
        found = Stream(urlsplit("http://localhost/"), question, Deadline(timeout))
        found.answer = Answer(_shown(url), kind=failure.kind, error=failure.text)
        return found
    found = Stream(parts, question, Deadline(timeout))
    found.begin()
    return found


def connects(host: str, port: int, timeout: float = 5.0, greeting: bytes = b"") -> Tuple[bool, str, float]:
    """Whether a TCP connection can be made; else why not, as the kinds of an answer; and the seconds it took.

    What stands before a server may accept for it and then hang up: with ``greeting``, the server itself must begin so.
    """
    deadline = Deadline(timeout)
    kind = ""
    try:
        with dial(host, port, deadline) as sock:
            kind = _greeted(sock, greeting, deadline)
    except Failure as failure:
        kind = failure.kind
    return not kind, kind, deadline.elapsed()


def _greeted(sock: socket.socket, greeting: bytes, deadline: Deadline) -> str:
    """What is wrong with how the server begins: nothing, closed, timeout, or protocol when it says something else."""
    said = b""
    try:
        while len(said) < len(greeting):
            sock.settimeout(deadline.left())
            more = sock.recv(len(greeting) - len(said))
            if not more:
                return "closed"
            said += more
    except socket.timeout:
        return "timeout"
    except OSError:
        return "closed"
    return "" if said == greeting else "protocol"


def _shown(url: str) -> str:
    """A URL without the credentials that do not belong there."""
    return _USERINFO.sub(r"\1********@", url)


def _split(url: str) -> SplitResult:
    """The parts of a URL that can be asked for."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise Failure("bad_url", "%s is no URL: %s" % (_shown(url), exc)) from exc
    if parts.scheme not in _PORTS:
        raise Failure("bad_url", "%s begins neither with http:// nor with https://" % _shown(url))
    if any(char <= " " or char == "\x7f" for char in url):
        raise Failure("bad_url", "%r contains blanks or control characters, which a URL spells %%20 and the like" % _shown(url))
    if not parts.hostname or port == 0:
        raise Failure("bad_url", "%s names no host that could be asked" % _shown(url))
    if "@" in parts.netloc:
        raise Failure("bad_url", "%s has credentials in it, which would be seen in logs: give them as a header" % _shown(url))
    return parts


def _redirect(parts: SplitResult, location: str, question: _Question) -> SplitResult:
    old = parts.geturl()
    try:
        # Headers were read as Latin-1; most servers send UTF-8.
        target = _split(urljoin(old, quote(location.encode("latin-1"), safe=_ASCII)))
    except (Failure, ValueError) as exc:
        raise Failure("redirects", "%s redirects to what cannot be asked: %s" % (old, exc)) from exc
    if parts.scheme == "https" and target.scheme == "http":
        raise Failure("redirects", "%s redirects from https to http, which is not followed" % old)
    if question.unix_socket and target.netloc != parts.netloc:
        raise Failure("redirects", "%s redirects to another server, which is not behind %s" % (old, question.unix_socket))
    return target


def _exchange(parts: SplitResult, question: _Question, deadline: Deadline) -> Answer:
    """One question, one answer."""
    body = bytearray()
    with closing(Stream(parts, question, deadline)) as stream:
        stream.begin()
        try:
            for piece in () if stream.answer.kind else stream.pieces(question.limit + 1):  # one byte more, so that it is known whether that was all
                body += piece
        except Failure as failure:
            stream.answer = stream.answer._replace(kind=failure.kind, error=failure.text)
        return stream.answer._replace(body=bytes(body[: question.limit]), truncated=len(body) > question.limit)


class Stream:
    """An answer whose body is read piece by piece. ``answer`` has all but the body; with a kind, there is none."""

    def __init__(self, parts: SplitResult, question: _Question, deadline: Deadline) -> None:
        self.answer = Answer(parts.geturl())
        self._parts = parts
        self._question = question
        self._deadline = deadline
        self._where = question.unix_socket or place(question.address or parts.hostname or "", parts.port or _PORTS[parts.scheme])
        self._sock: Optional[socket.socket] = None
        self._response: Optional[http.client.HTTPResponse] = None

    def begin(self) -> None:
        """Ask, and read the head of the answer."""
        try:
            self._sock = _dial(self._parts, self._question, self._deadline)
            self.answer = self.answer._replace(connected=True)
            self._sock = _secured(self._sock, self._parts, self._question, self._where, self._deadline)
            self._response = _send(_Timed(self._sock, self._deadline), self._parts, self._question)
            self.answer = self.answer._replace(status=self._response.status, headers=_headers(self._response))
        except (Failure, http.client.HTTPException, OSError, ValueError) as exc:
            failure = self._meaning(exc)
            self.answer = self.answer._replace(kind=failure.kind, error=failure.text)

    def pieces(self, wanted: Optional[int] = None, size: int = _PIECE) -> Iterator[bytes]:
        """The body, up to ``wanted`` bytes of it, none longer than ``size``; Failure where it breaks off."""
        if self._response is None:
            raise Failure(self.answer.kind or "closed", self.answer.error or "there is no answer to be read")
        expected = self._response.length
        end = min((each for each in (expected, wanted) if each is not None), default=None)
        count = 0
        while end is None or count < end:
            try:
                piece = self._response.read1(size if end is None else min(size, end - count))
            except (http.client.HTTPException, OSError, ValueError) as exc:
                raise self._meaning(exc) from exc
            if not piece:
                break
            count += len(piece)
            yield piece
        if expected is not None and end is not None and count < end:
            raise Failure("closed", "%s closed the connection in the middle of its answer" % self._where)

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()

    def _meaning(self, exc: Exception) -> Failure:
        """Why there is no answer, or no more of it."""
        if isinstance(exc, Failure):
            return exc
        if isinstance(exc, (http.client.RemoteDisconnected, http.client.IncompleteRead)):
            what = "without an answer" if self.answer.status is None else "in the middle of its answer"
            return Failure("closed", "%s closed the connection %s" % (self._where, what))
        if isinstance(exc, http.client.HTTPException):
            return Failure("protocol", "%s does not answer with valid HTTP: %s" % (self._where, _reason(exc)))
        why = explain(exc, self._where, self._deadline)
        if why.kind == "timeout" and self.answer.status is not None:
            return Failure("timeout", "%s did not end its answer within %g s" % (self._where, self._deadline.seconds))
        return why


def _reason(exc: http.client.HTTPException) -> str:
    """What was wrong, safe to print and no longer than a line."""
    text = "bad status line %s" % exc if isinstance(exc, http.client.BadStatusLine) else str(exc) or type(exc).__name__
    return "".join(char if char.isprintable() else "?" for char in text)[:120]


def _headers(response: http.client.HTTPResponse) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for name, value in response.getheaders():
        key = name.lower()
        found[key] = "%s, %s" % (found[key], value) if key in found else value
    return found


def _dial(parts: SplitResult, question: _Question, deadline: Deadline) -> socket.socket:
    if question.unix_socket:
        return dial_unix(question.unix_socket, deadline)
    return dial(question.address or parts.hostname or "", parts.port or _PORTS[parts.scheme], deadline)


def _secured(sock: socket.socket, parts: SplitResult, question: _Question, where: str, deadline: Deadline) -> socket.socket:
    """With TLS where the URL says so."""
    return secure(sock, _context(question), parts.hostname or "", where, deadline) if parts.scheme == "https" else sock


def _context(question: _Question) -> ssl.SSLContext:
    return trust(question.ca_cert) if question.verify else no_trust()


def trust(ca_cert: Optional[str] = None) -> ssl.SSLContext:
    """TLS that verifies, by the authorities that this node trusts, or only by those in a file."""
    try:
        return ssl.create_default_context(cafile=ca_cert)
    except (OSError, ValueError) as exc:
        reason = "there is no certificate in it" if isinstance(exc, (ssl.SSLError, ValueError)) else exc.strerror
        raise Failure("tls", "the authorities in %s cannot be read: %s" % (ca_cert, reason)) from exc


def no_trust() -> ssl.SSLContext:
    """TLS with whoever answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _send(sock: _Timed, parts: SplitResult, question: _Question) -> http.client.HTTPResponse:
    path = quote(parts.path or "/", safe=_ASCII) + ("?" + quote(parts.query, safe=_ASCII) if parts.query else "")
    own = {"Host": _host(parts), "User-Agent": "fieldops.runbooks", "Accept-Encoding": "identity", "Connection": "close"}
    if question.body is not None or question.method in ("POST", "PUT", "PATCH"):
        own["Content-Length"] = str(len(question.body or b""))
    given = {name.lower() for name in question.headers}
    connection = http.client.HTTPConnection("localhost")
    connection.sock = sock
    try:
        connection.putrequest(question.method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in [*((name, value) for name, value in own.items() if name.lower() not in given), *question.headers.items()]:
            connection.putheader(name, value)
    except ValueError:
        # Not what the header contains: that may be a password.
        raise Failure("bad_request", "the method or a header contains what HTTP does not allow there, such as a line break") from None
    connection.endheaders(question.body)
    return connection.getresponse()


def _host(parts: SplitResult) -> str:
    host = parts.netloc.encode("idna").decode("ascii") if not parts.netloc.isascii() else parts.netloc
    return host[: -len(":%s" % parts.port)] if parts.port == _PORTS[parts.scheme] else host


class _Timed(io.RawIOBase):
    """A connection to http.client: before each step, however small, the time that is left is counted."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._sock = sock
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._sock.settimeout(self._deadline.left())
            view = view[self._sock.send(view) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        try:
            return self._sock.recv_into(buffer)
        except ssl.SSLError as exc:
            if broken_off(exc):
                return 0
            raise

    def close(self) -> None:
        """http.client closes early and reads on; whoever opened the connection closes it."""
