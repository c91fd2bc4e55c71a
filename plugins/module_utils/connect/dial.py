# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to a server within a time limit that counts everything, the look-up of its name included."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from typing import Any, List, Optional, Tuple, Union

_NO_WAY = (errno.EADDRNOTAVAIL, errno.ENETUNREACH, errno.EAFNOSUPPORT)
_GONE = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ESHUTDOWN, errno.ENOTCONN)


class Failure(Exception):
    """Why there is no answer: ``kind`` for programs, ``text`` for people."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text


class Deadline:
    """A point in time, by a clock that nobody sets."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def left(self) -> float:
        """Seconds until then, more than none."""
        left = self.seconds - self.elapsed()
        if left <= 0:
            raise socket.timeout("timed out")
        return left


def place(host: str, port: int) -> str:
    """A host and its port, as people write them."""
    return "[%s]:%d" % (host, port) if ":" in host else "%s:%d" % (host, port)


def dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """A TCP connection to the first address of a host that takes one."""
    if not 0 < port < 65536:
        raise Failure("unreachable", "there is no port %d: ports are 1 to 65535" % port)
    addresses = _resolve(host, port, deadline)
    problem: Optional[OSError] = None
    for number, (family, kind, protocol, _name, address) in enumerate(addresses):
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            # One address that does not answer must leave time for the others.
            sock.settimeout(deadline.left() / (len(addresses) - number))
            sock.connect(address)
            return sock
        except OSError as exc:
            if problem is None or problem.errno in _NO_WAY:  # the answer of one address tells more than another that has no way there
                problem = exc
            if sock is not None:
                sock.close()
    raise explain(problem or OSError("it has no address"), place(host, port), deadline)


def dial_unix(path: str, deadline: Deadline) -> socket.socket:
    """A connection to a socket in the file system."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(deadline.left())
        sock.connect(path)
    except OSError as exc:
        sock.close()
        raise explain(exc, path, deadline) from exc
    return sock


def secure(sock: socket.socket, context: ssl.SSLContext, name: str, where: str, deadline: Deadline) -> ssl.SSLSocket:
    """TLS on a connection; whoever opened the connection closes it when this fails."""
    try:
        sock.settimeout(deadline.left())
        return context.wrap_socket(sock, server_hostname=name)
    except (OSError, ValueError) as exc:
        if broken_off(exc):
            raise Failure("closed", "%s closed the connection while TLS was set up" % where) from exc
        raise explain(exc, where, deadline) from exc


def broken_off(exc: Exception) -> bool:
    """Whether the other side closed the connection without the goodbye of TLS."""
    # How OpenSSL 3 says so, Python before 3.10 does not know.
    eof = isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
    return eof or (isinstance(exc, ssl.SSLError) and exc.reason == "UNEXPECTED_EOF_WHILE_READING")


def explain(exc: Exception, where: str, deadline: Deadline) -> Failure:
    """What an exception of a socket means."""
    # socket.timeout is a TimeoutError only from Python 3.10 on.
    if isinstance(exc, (socket.timeout, TimeoutError)):
        return Failure("timeout", "%s did not answer within %g s" % (where, deadline.seconds))
    if isinstance(exc, ssl.SSLCertVerificationError):
        return Failure("tls", "the certificate of %s is not trusted: %s" % (where, exc.verify_message.rstrip(".")))
    if isinstance(exc, ssl.SSLError):
        return Failure("tls", "no TLS with %s: %s" % (where, (exc.reason or str(exc)).replace("_", " ").lower()))
    if isinstance(exc, ConnectionRefusedError):
        return Failure("refused", "%s refuses connections" % where)
    if isinstance(exc, OSError) and exc.errno in _GONE:
        return Failure("closed", "%s broke off the connection" % where)
    reason = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else str(exc)
    return Failure("unreachable", "%s cannot be reached: %s" % (where, reason))


_Addresses = List[Tuple[Any, Any, int, str, Any]]


def _resolve(host: str, port: int, deadline: Deadline) -> _Addresses:
    """The addresses of a host. The resolver has time limits of its own, which may be longer than ours: it is not waited for."""
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
    except (OSError, ValueError):
        pass
    found: List[Union[_Addresses, Exception]] = []

    def look_up() -> None:
        try:
            found.append(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, ValueError) as exc:
            found.append(exc)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(deadline.left())
    if not found:
        raise Failure("timeout", "the name %s was not resolved within %g s" % (host, deadline.seconds))
    result = found[0]
    if isinstance(result, Exception):
        reason = result.strerror if isinstance(result, OSError) else result
        raise Failure("dns", "the name %s cannot be resolved: %s" % (host, reason)) from result
    return result
