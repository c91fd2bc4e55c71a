# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service answers: the question that its users would ask."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Union

from . import web
from .argspec import COMMON
from .expect import Options

_UNSAID: Mapping[str, Any] = dict.fromkeys([*COMMON, "max_seconds"])
"""What only an expectation has to say."""


@dataclass(frozen=True)
class UnixSocket:
    path: str
    timeout: float = 5.0


Probe = Union[web.Wanted, web.WantedPort, UnixSocket]


def parse(where: str, options: Optional[Mapping[str, Any]]) -> Optional[Probe]:
    if options is None:
        return None
    for kind in ("http", "tcp"):
        if options[kind]:
            known = Options("%s.%s" % (where, kind), dict(_UNSAID, **options[kind]))
            if not known.number("timeout"):
                raise known.refuse("timeout", "more than 0")
            return web.parse(known, None) if kind == "http" else web.parse_port(known, None)
    return UnixSocket(Options(where, options).absolute("unix"))


def ask(probe: Optional[Probe], limit: float) -> str:
    """What is wrong with the answer; empty when it is right, or when there is nothing to ask. Takes ``limit`` seconds at most."""
    if probe is None:
        return ""
    if isinstance(probe, UnixSocket):
        return _connect(probe, limit)
    found = web.judge(probe, web.look(probe, limit)) if isinstance(probe, web.Wanted) else web.judge_port(probe, web.look_port(probe, limit))
    return "; ".join(finding.summary for finding in found)


def _connect(probe: UnixSocket, limit: float) -> str:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
        client.settimeout(min(probe.timeout, max(limit, 0.01)))
        try:
            client.connect(probe.path)
        except OSError as exc:
            return "socket %s: %s" % (probe.path, exc.strerror or exc)
    return ""
