# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pumps as the node tells them: which run, which started by themselves while somebody watched, and waiting until none does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .api import Node, quote
from .errors import SesamError
from .times import moment

NOT_READY = ("Deploying", "Removing")
_PASSING = ("unavailable", "unreachable", "timeout", "server_error")
"""Kinds of errors that a node may give while it is busy with itself."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


@dataclass(frozen=True)
class Pump:
    """A pipe's pump. ``cached``: the node that runs it did not answer, so this is how it was, not how it is."""

    id: str
    running: bool = False
    stoppable: bool = True
    last_run: Any = None
    next_run: Any = None
    state: str = ""
    cached: bool = False


@dataclass(frozen=True)
class Proof:
    """What was seen while the scheduler was watched."""

    seconds: float
    pumps: int
    due: Sequence[str] = ()
    """Their next run was to begin while they were watched, or before."""
    started: Sequence[str] = ()
    unknown: int = 0

    def to_dict(self) -> Dict[str, Any]:
        return {"seconds": self.seconds, "pipes": self.pumps, "due": len(self.due), "started": list(self.started), "unknown": self.unknown}


def pump_of(pipe: Mapping[str, Any]) -> Pump:
    """From one pipe. No key but its id is relied on."""
    runtime = pipe.get("runtime") or {}
    operations = runtime.get("supported-operations")
    return Pump(
        str(pipe.get("_id")),
        bool(runtime.get("is-running")),
        operations is None or "stop" in operations,
        runtime.get("last-run"),
        runtime.get("next-run"),
        str(runtime.get("state") or ""),
        bool(pipe.get("cached_response_info")),
    )


def read_pumps(node: Node) -> List[Pump]:
    """Of all pipes, an answer read piece by piece."""
    return [pump_of(pipe) for pipe in node.stream("pipes", {"fields": "runtime"}) if isinstance(pipe, Mapping)]


def not_ready(pumps: Sequence[Pump]) -> List[str]:
    return [pump.id for pump in pumps if pump.state in NOT_READY and not pump.cached]


def started(before: Sequence[Pump], after: Sequence[Pump]) -> List[str]:
    """Pipes that began to run between two looks, whether or not they still do."""
    known = {pump.id: pump for pump in before}
    return [pump.id for pump in after if pump.id in known and not pump.cached and _began(known[pump.id], pump)]


def _began(before: Pump, after: Pump) -> bool:
    return not before.running and (after.running or after.last_run != before.last_run)


def due(pumps: Sequence[Pump], since: float, until: float) -> List[str]:
    """Pipes whose next run the node had planned for no later than that. ``since`` they are as they were: of one that ran then, the past plan is made."""
    found = ((pump, moment(pump.next_run)) for pump in pumps)
    return [pump.id for pump, planned in found if planned is not None and planned <= until and (not pump.running or planned > since)]


def watch(node: Node, seconds: float, planned: Sequence[Pump] = (), since: float = 0.0) -> Proof:
    """Two looks, some seconds apart: with the scheduler off, nothing begins to run between them. ``planned`` are the pumps as they were before that."""
    first = time.time()
    before = read_pumps(node)
    begun = time.monotonic()
    time.sleep(seconds)
    after = read_pumps(node)
    passed = round(time.monotonic() - begun, 1)
    unknown = sum(pump.cached for pump in after)
    # A scheduler that is off may plan nothing.
    waiting = due(planned, since, time.time()) if planned else due(before, first, time.time())
    return Proof(passed, len(after), waiting, started(before, after), unknown)


def await_pumps(node: Node, wanted: Callable[[Sequence[Pump]], Sequence[str]], timeout: float) -> List[str]:
    """Look until nothing is left of what is waited for; what is left when the time is over. A node that is busy may fail to answer meanwhile."""
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        left: List[str] = []
        error: Optional[SesamError] = None
        try:
            left = list(wanted(read_pumps(node)))
        except SesamError as exc:
            if exc.kind not in _PASSING:
                raise
            error = exc
        if not left and error is None:
            return []
        if time.monotonic() >= deadline:
            if error is not None:
                raise error
            return left
        time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(_LONGEST_PAUSE, pause * 1.5)


def await_ready(node: Node, timeout: float) -> List[str]:
    """Until no pipe is being deployed or removed; those that still are."""
    return await_pumps(node, not_ready, timeout)


def await_idle(node: Node, timeout: float, only: Optional[Sequence[str]] = None) -> List[str]:
    """Until none of them runs; those that still do, and those of which only an old status is known."""

    def running(pumps: Sequence[Pump]) -> List[str]:
        return [pump.id for pump in pumps if (pump.running or pump.cached) and (only is None or pump.id in only)]

    return await_pumps(node, running, timeout)


def stop(node: Node, pipe: str, timeout: float) -> str:
    """Stop one pump and wait until it has stopped. Empty, or why it was not done: the node need not support it for this one."""
    reply = node.post_form("pipes/%s/pump" % quote(pipe), {"operation": "stop"}, accept=(400, 404))
    if reply.status != 200:
        return "the node does not stop it: %s" % (node.sentence(reply.body) or "status %d" % reply.status)
    if await_idle(node, timeout, [pipe]):
        raise SesamError("%s was told to stop, and is not seen to have stopped after %g s" % (pipe, timeout), kind="timeout")
    return ""
