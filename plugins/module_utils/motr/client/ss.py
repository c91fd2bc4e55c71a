# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP connections of this node, by ss: which there are, and their end."""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ..endpoints import Endpoint, plain_address, same_address
from .errors import ToolError
from .run import Ended, find, run

_TIMEOUT = 30.0
_PORT = re.compile(r"[0-9]{1,5}")
_USER = re.compile(r'\("([^"]*)",pid=([0-9]{1,10}),fd=\d+\)')


class Connection(NamedTuple):
    """``pids`` are those of the processes of this node that hold this end of it, where that may be seen."""

    local: str
    local_port: int
    peer: str
    peer_port: int
    pids: Tuple[int, ...] = ()
    program: str = ""

    @property
    def name(self) -> str:
        """The same from both ends, but for their order."""
        local, peer = (plain_address(each) or each for each in (self.local, self.peer))
        return "%s:%d-%s:%d" % (local, self.local_port, peer, self.peer_port)

    def to_dict(self) -> Dict[str, Any]:
        return {"connection": self.name, "pids": list(self.pids), "program": self.program or None}


class Ss:
    """The tool of iproute2."""

    def __init__(self, directory: Optional[str] = None) -> None:
        self.program = find("ss", directory)

    def between(self, client: Endpoint, server: Endpoint) -> List[Connection]:
        """Established ones between two endpoints: either one may have dialled, from a port of its own."""
        found = []
        for each in self.established():
            for ours, theirs in ((client, server), (server, client)):
                addresses = same_address(each.local, ours.ip) and same_address(each.peer, theirs.ip)
                if addresses and (each.peer_port == theirs.port or each.local_port == ours.port):
                    found.append(each)
                    break
        return sorted(set(found))

    def established(self) -> List[Connection]:
        """All of this node. No expression is given: some of them are refused by some kernels."""
        ended = run([self.program, "-H", "-t", "-n", "-p", "state", "established"], _TIMEOUT)
        if ended.code:
            raise ToolError("ss ended with %d: %s" % (ended.code, ended.why()))
        return [row for row in map(_row, ended.output.splitlines()) if row is not None]

    def kill(self, connection: Connection) -> None:
        """End one, by all four numbers of it."""
        exact = ["src", _spelt(connection.local), "and", "sport", "=", ":%d" % connection.local_port]
        exact += ["and", "dst", _spelt(connection.peer), "and", "dport", "=", ":%d" % connection.peer_port]
        # It exits with 0 all the same, and says "RTNETLINK answers: ..." or "SOCK_DESTROY answers: ...".
        ended = run([self.program, "-K", "-H", "-t", "-n", " ".join(exact)], _TIMEOUT)
        if ended.code or "answers:" in ended.errors:
            raise _refused(connection, ended)


def _refused(connection: Connection, ended: Ended) -> ToolError:
    return ToolError(
        "the kernel does not end %s: %s. It needs root (CAP_NET_ADMIN) and a kernel with CONFIG_INET_DIAG_DESTROY; method: ha needs neither"
        % (connection.name, ended.why())
    )


def _row(line: str) -> Optional[Connection]:
    """Recv-Q, Send-Q, both ends, and who has it. With a state given, ss prints no column for it."""
    words = line.split()
    if len(words) < 4 or not words[0].isdigit():
        return None
    (local, _colon, local_port), (peer, _colon, peer_port) = words[2].rpartition(":"), words[3].rpartition(":")
    if not (_PORT.fullmatch(local_port) and _PORT.fullmatch(peer_port)):
        return None
    users = _USER.findall(line)
    pids = tuple(sorted({int(pid) for _name, pid in users}))
    return Connection(_bare(local), int(local_port), _bare(peer), int(peer_port), pids, users[0][0] if users else "")


def _spelt(address: str) -> str:
    """In an expression, the colons of an address would be taken for that of a port."""
    return "[%s]" % address if ":" in address else address


def _bare(address: str) -> str:
    return address.strip("[]").partition("%")[0]
