# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets that wait for others, from the kernel's own tables."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Iterable, Iterator, List, NamedTuple, Optional

_WAITING = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
"""States of sockets that take what anybody sends: TCP_LISTEN, and TCP_CLOSE, as an unconnected UDP socket is shown."""
_ACCEPTS = 0x10000
_ANY = ("0.0.0.0", "::")  # noqa: S104 - read, not bound to


class Listener(NamedTuple):
    """``address`` is the path of a Unix socket, after ``@`` where it is abstract; then there is no port."""

    protocol: str
    address: str
    port: Optional[int]
    inode: int

    def serves(self, address: Optional[str]) -> bool:
        """Whether a connection to an address of this node would reach it. ``::`` takes IPv4 as well unless its program forbids it."""
        if address is None or packed(self.address) == packed(address):
            return True
        if address in _ANY:
            return self.address == "::"
        return self.address in {"::", "::" if ":" in address else _ANY[0]}


def packed(address: str) -> bytes:
    """An IP address as the network has it, so that two spellings of one are equal; anything else as it is."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            return socket.inet_pton(family, address)
    return os.fsencode(address)


def listeners(protocols: Iterable[str] = ("tcp", "udp", "unix"), root: str = "/proc") -> List[Listener]:
    """All of this network namespace. A protocol that the kernel does not have is left out."""
    found: List[Listener] = []
    for protocol in protocols:
        for table in [protocol] if protocol == "unix" else [protocol, protocol + "6"]:
            with contextlib.suppress(FileNotFoundError), open("%s/net/%s" % (root, table), encoding="utf-8", errors="surrogateescape") as file:
                next(file, None)
                found += _unix(file) if protocol == "unix" else _internet(protocol, _WAITING[table], file)
    return found


def _internet(protocol: str, state: str, lines: Iterable[str]) -> Iterator[Listener]:
    for line in lines:
        columns = line.split(None, 10)
        # A connected UDP socket has a peer; one in state 07 without a port has not been bound.
        if len(columns) > 9 and columns[3] == state:
            address, _colon, port = columns[1].partition(":")
            if int(port, 16):
                yield Listener(protocol, _address(address), int(port, 16), int(columns[9]))


def _unix(lines: Iterable[str]) -> Iterator[Listener]:
    for line in lines:
        columns = line.rstrip("\n").split(None, 7)
        if len(columns) == 8 and int(columns[3], 16) & _ACCEPTS:
            yield Listener("unix", columns[7], None, int(columns[6]))


def _address(text: str) -> str:
    """The kernel prints each 32 bits as a number of its own byte order."""
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    raw = struct.pack("=%dI" % len(words), *words)
    return socket.inet_ntop(socket.AF_INET6 if len(raw) == 16 else socket.AF_INET, raw)
