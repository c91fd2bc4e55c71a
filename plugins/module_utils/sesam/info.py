# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One look at a node."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any, List, Mapping, Optional

from ..connect.docker import Docker
from ..procedure.check import Check
from ..procedure.envelope import Finding
from .api import Node
from .asking import Asking
from .errors import SesamError
from .looking import Looking
from .pipes import Limits as PipeLimits
from .state import BY_API, Api, Host, Limits, NodeState, seen
from .switches import scheduler
from .verdict import diagnose, facts, healthy

LONGEST = 10 * 365 * 86400.0
_ENGINE_SECONDS = 30.0


class NodeInfo(Check[NodeState]):
    """Reads only. The machine first, since it answers where the API does not."""

    name = "sesam_node_info"
    judged_by = ("limits",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.parts = seen(params["parts"] or ())
        self.max_pipes = int(_within("max_pipes", params["max_pipes"], 0, 100000))
        self.pipe_limits = PipeLimits(_within("running_after", params["running_after"], 1), _within("overdue_after", params["overdue_after"], 1))
        self.limits = Limits(
            trace_age=_within("recent", params["recent"], 1),
            settle=_within("settle", params["settle"], 0),
            min_free=_within("min_free", params["min_free"], 0, 100),
            profiles=int(_within("max_profiles", params["max_profiles"], 0, 2**62)),
        )
        self.node = Node(params)
        self.docker = Docker(params["docker_host"], timeout=min(self.node.timeout, _ENGINE_SECONDS))

    def close(self) -> None:
        self.node.close()
        self.docker.close()

    def observe(self) -> NodeState:
        now = time.time()
        host = Looking(self.params, self.docker, self.limits.trace_age, now).all(self.parts)
        return NodeState(now, self.parts, self._api(host, now), host)

    def diagnose(self, state: NodeState) -> List[Finding]:
        return diagnose(state, self.limits)

    def facts(self, state: NodeState) -> Mapping[str, Any]:
        return dict(facts(state), healthy=healthy(state, diagnose(state, self.limits)))

    def evidence(self, state: NodeState) -> Mapping[str, Any]:
        return {"parts": list(self.parts), "uid": os.geteuid(), "time": round(state.now, 3), "request_timeout": self.node.timeout}

    def _api(self, host: Host, now: float) -> Api:
        if not set(BY_API) & set(self.parts):
            return Api(self.node.url, self.node.authenticates)

        def pipe_limits(metadata: Optional[Mapping[str, Any]]) -> PipeLimits:
            """Nothing is overdue while the scheduler is off."""
            known = NodeState(now, self.parts, Api(self.node.url, False, metadata=metadata), host)
            return replace(self.pipe_limits, overdue=float("inf")) if scheduler(known).enabled is False else self.pipe_limits

        return Asking(self.node, now, pipe_limits, self.max_pipes, self.limits.settle).all(self.parts)


def _within(option: str, value: float, least: float, most: float = LONGEST) -> float:
    if not least <= value <= most:
        raise SesamError("%s must be %g to %g, not %g" % (option, least, most, value))
    return value
