# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a broker answers. That its port takes a connection proves nothing: Docker's proxy takes them for a container that is deaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict

from ..connect.dial import Deadline, Failure, dial, place

_HEADER = b"AMQP\x00\x00\x09\x01"
_METHOD = 1
"""Type of the first frame of a broker that speaks this version."""


@dataclass(frozen=True)
class Broker:
    """``problem`` is empty where it answers."""

    host: str
    port: int
    problem: str = ""

    @property
    def address(self) -> str:
        return place(self.host, self.port)

    def to_dict(self) -> Dict[str, Any]:
        return {"host": self.host, "port": self.port, "answers": not self.problem, "problem": self.problem}


def ask_broker(host: str, port: int, timeout: float) -> Broker:
    """Begin the protocol, and see that it is answered. Nobody logs in."""
    deadline = Deadline(timeout)
    try:
        with dial(host, port, deadline) as sock:
            sock.settimeout(deadline.left())
            sock.sendall(_HEADER)
            said = sock.recv(8)
    except Failure as exc:
        return Broker(host, port, exc.text)
    except OSError as exc:
        return Broker(host, port, "it took a connection and did not answer: %s" % (exc.strerror or exc))
    if not said:
        return Broker(host, port, "it took a connection and closed it")
    # A broker of another version answers with the version that it would have.
    return Broker(host, port, "" if said[0] == _METHOD or said.startswith(b"AMQP") else "what answers does not speak AMQP")
