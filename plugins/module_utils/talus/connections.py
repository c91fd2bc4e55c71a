# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP connections of one process: its descriptors beside the table of its own network namespace. This is all there is to see of whether it consumes."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set

from ..connect.procfs import Process, open_files

_END = re.compile(r"(?:[0-9A-F]{8}|[0-9A-F]{32}):[0-9A-F]{4}")
_STATES = {"01": "established", "02": "syn_sent", "08": "close_wait"}
"""Those that tell something: a peer that answers, one that does not, and one that has gone while the process has not noticed."""
ESTABLISHED = "established"


@dataclass(frozen=True)
class Connection:
    """``address`` and ``port`` are the other end's, ``local`` that this is one of this host."""

    address: str
    port: int
    state: str
    local: bool = False

    def to_dict(self) -> Dict[str, Any]:
        return {"address": self.address, "port": self.port, "state": self.state}


def connections_of(process: Process, root: str = "/proc") -> Optional[List[Connection]]:
    """None where this user may not see the descriptors of the process."""
    opened = open_files([process.pid], root)
    if opened.unseen:
        return None
    own = "%s/%d" % (root, process.pid)
    found: List[Connection] = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open("%s/net/%s" % (own, table), encoding="ascii") as file:
            next(file, None)
            found += rows(file, set(opened.sockets))
    return [replace(each, local=is_local(each.address)) for each in found]


def rows(lines: Iterable[str], inodes: Set[int]) -> Iterator[Connection]:
    """Rows of the kernel's table that belong to one of the sockets."""
    wanted = set(map(str, inodes))
    for line in lines:
        columns = line.split(None, 10)
        if len(columns) > 9 and columns[3] in _STATES and columns[9] in wanted and _END.fullmatch(columns[2]):
            address, _colon, port = columns[2].partition(":")
            yield Connection(_address(address), int(port, 16), _STATES[columns[3]])


def is_local(address: str) -> bool:
    """Whether an address is one of this host: a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as tried:
            tried.bind((address, 0))
    except OSError:
        return False
    return True


def interface_there(name: str, sysfs: str = "/sys/class/net") -> bool:
    return "/" not in name and os.path.isdir("%s/%s" % (sysfs, name))


def _address(text: str) -> str:
    """The kernel prints each 32 bits as a number of its own byte order; an IPv4 address in IPv6 is told as what it is."""
    raw = b"".join(struct.pack("=I", int(text[start : start + 8], 16)) for start in range(0, len(text), 8))
    if len(raw) == 16 and raw.startswith(b"\0" * 10 + b"\xff\xff"):
        raw = raw[12:]
    return socket.inet_ntop(socket.AF_INET6 if len(raw) == 16 else socket.AF_INET, raw)
