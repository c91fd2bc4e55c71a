# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who the tools of Motr are when they join the cluster; documented in the fragment ``motr``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional

from ...procedure.argspec import ArgumentSpec
from .. import ids
from ..errors import MotrError
from ..ids import Fid

CLIENT = ArgumentSpec(
    {
        "endpoint": {"type": "str"},
        "ha_endpoint": {"type": "str"},
        "profile": {"type": "str"},
        "process": {"type": "str"},
        "tools_dir": {"type": "path"},
        "tool_timeout": {"type": "float", "default": 60.0},
    }
)
_WHERE = {
    "endpoint": "the client's own endpoint, one of type m0_client_other in hctl fetch-fids",
    "ha_endpoint": "the endpoint of the node's hax",
    "profile": "the fid of the profile",
    "process": "the fid of the client's process, of the same line of hctl fetch-fids as its endpoint",
}


@dataclass(frozen=True)
class Client:
    """A client of the cluster. What a call does not need may be missing."""

    endpoint: str = ""
    ha_endpoint: str = ""
    profile: Optional[Fid] = None
    process: Optional[Fid] = None
    tools_dir: Optional[str] = None
    timeout: float = 60.0

    def require(self, *names: str) -> None:
        """MotrError where one of these was not given."""
        absent = ["%s (%s)" % (name, _WHERE[name]) for name in names if not getattr(self, name)]
        if absent:
            raise MotrError("these options are required here: %s" % "; ".join(absent))

    def to_header(self) -> Dict[str, Any]:
        """For an undo."""
        return {
            "endpoint": self.endpoint,
            "ha_endpoint": self.ha_endpoint,
            "profile": str(self.profile) if self.profile else None,
            "process": str(self.process) if self.process else None,
            "tools_dir": self.tools_dir,
            "tool_timeout": self.timeout,
        }


def client_of(params: Mapping[str, Any]) -> Client:
    """From a module's options, or from a run's header."""
    timeout = float(params["tool_timeout"])
    if not math.isfinite(timeout) or timeout <= 0:
        raise MotrError("tool_timeout must be more than 0 seconds, not %s" % timeout)
    return Client(
        endpoint=_endpoint(params, "endpoint"),
        ha_endpoint=_endpoint(params, "ha_endpoint"),
        profile=_fid(params, "profile", "p"),
        process=_fid(params, "process", "r"),
        tools_dir=params.get("tools_dir"),
        timeout=timeout,
    )


def _endpoint(params: Mapping[str, Any], name: str) -> str:
    text = str(params.get(name) or "")
    if text.startswith("-") or any(char.isspace() for char in text):
        raise MotrError("%s: %r is no endpoint; one is like inet:tcp:192.168.1.1@22501 or 192.168.1.1@tcp:12345:4:1" % (name, text))
    return text


def _fid(params: Mapping[str, Any], name: str, letter: str) -> Optional[Fid]:
    text = params.get(name)
    if not text:
        return None
    try:
        fid = ids.parse(str(text))
    except MotrError as exc:
        raise MotrError("%s: %s" % (name, exc)) from None
    if fid.type != ord(letter):
        raise MotrError("%s: %s is the fid of a %s, not of a %s" % (name, fid, fid.type_name, ids.TYPES[letter]))
    return fid
