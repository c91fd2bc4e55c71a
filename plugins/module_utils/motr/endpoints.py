# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints of Motr, and the TCP ports behind them."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple, Optional

from .errors import MotrError

# lnet: IP@tcp:PID:PORTAL:TMID; libfab and sock: inet:tcp:IP@PORT; or plainly IP:PORT.
_LNET = re.compile(r"([0-9.]+)@tcp\d*:([0-9]{1,9}):([0-9]{1,9}):([0-9]{1,9})")
_NATIVE = re.compile(r"inet6?:(?:tcp|stream):\[?([0-9a-fA-F.:]+?)\]?@([0-9]{1,9})")
_PLAIN = re.compile(r"\[?([0-9a-fA-F.:]+?)\]?:([0-9]{1,9})")
_RDMA = re.compile(r"@o2ib|:(?:verbs|o2ib):")
ACCEPTED = "inet:tcp:IP@PORT, IP@tcp:12345:PORTAL:TMID or IP:PORT"
_FIRST_PORTAL = 30


class Endpoint(NamedTuple):
    """``port`` is where it listens."""

    ip: str
    port: int


def parse_endpoint(text: str) -> Endpoint:
    """The address that an endpoint listens at, for the transports that go over TCP sockets of this node."""
    if _RDMA.search(text):
        raise MotrError("%r goes by RDMA, of which there is no TCP connection to be seen; method: ha resets it" % text)
    lnet = _LNET.fullmatch(text)
    found = _NATIVE.fullmatch(text) or _PLAIN.fullmatch(text) if lnet is None else lnet
    if found is None:
        raise MotrError("%r is no endpoint; accepted are %s" % (text, ACCEPTED))
    port = int(found.group(2)) if lnet is None else _sock_port(int(lnet.group(3)), int(lnet.group(4)))
    address = plain_address(found.group(1))
    if address is None or not 0 < port < 65536:
        raise MotrError("%r is no endpoint: its address, or its port, is none; accepted are %s" % (text, ACCEPTED))
    return Endpoint(address, port)


def _sock_port(portal: int, transfer_machine: int) -> int:
    """The port that the sock transport makes of an LNet address (net/sock/sock.c:2581)."""
    return transfer_machine | 1 << 10 | (portal - _FIRST_PORTAL) << 11 if portal >= _FIRST_PORTAL else 0


def plain_address(text: str) -> Optional[str]:
    """One spelling of an address; an IPv4 one that a socket for both kinds has is what it is."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def same_address(one: str, other: str) -> bool:
    """Whether two spellings are of one address."""
    return plain_address(one.strip("[]").partition("%")[0]) == plain_address(other.strip("[]").partition("%")[0])
