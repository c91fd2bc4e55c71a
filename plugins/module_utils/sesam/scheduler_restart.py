# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The restart that startup_options.json needs, and when the node was last started."""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Tuple

from ..connect.docker import Docker
from ..procedure.errors import Refusal
from ..procedure.journal import Journal
from .api import Node
from .container import Container, find
from .errors import SesamError
from .folders import folder
from .process import node_process
from .restart import CONTAINER, Manner, Restarted, restart, start_time
from .restart_evidence import keep
from .scheduler_watch import read_pumps
from .times import moment

_HEALTH = 60.0
_REST = 60.0
_SILENT = ("unreachable", "timeout", "unavailable", "server_error")


def lock_refusals(longest: float, lock_expiry: float) -> List[Refusal]:
    """Of seconds that may pass without the node's lock being renewed. Beside what is waited for, evidence is kept and much is read."""
    longest += _REST
    if longest < lock_expiry:
        return []
    reason = "it may take %d s in all, and the node's lock expires after %d s." % (longest, lock_expiry)
    return [Refusal("lock_expiry", reason, "lock_expiry: %d, or a shorter timeout." % (longest + _REST))]


def restart_node(docker: Docker, node: Node, name: str, timeout: float, settle: float) -> Restarted:
    """By the engine, whose word for the start is exact; it is proven by another start time, and by the API that answers again."""
    manner = Manner(CONTAINER, timeout, settle=settle, health_timeout=min(_HEALTH, timeout / 4))
    return restart(docker, find(docker, name), node, manner)


def keep_before(journal_dir: Optional[str], docker: Docker, node: Node, name: str, params: Mapping[str, Any]) -> str:
    """The directory in which the state is kept that a restart of this container ends."""
    container = find(docker, name)
    answers, running = _running(node)
    return keep(Journal(journal_dir).directory, docker, container, _logs(container, params), node, answers, running)


def _running(node: Node) -> Tuple[bool, Optional[List[str]]]:
    """Whether the API answers, and then the pipes that run; no long question to one that hangs."""
    told, kind = start_time(node)
    try:
        return kind not in _SILENT, [pump.id for pump in read_pumps(node) if pump.running] if told is not None else None
    except SesamError:
        return True, None


def _logs(container: Container, params: Mapping[str, Any]) -> str:
    """Nothing where it cannot be told: that keeps nobody from the restart."""
    try:
        argv = node_process(container).process.argv
    except SesamError:
        argv = ()
    try:
        return folder(container, "logs", params, argv)
    except SesamError:
        if params.get("log_folder"):
            raise
        return ""


def last_start(container: Optional[Container], node: Optional[Node]) -> Optional[float]:
    """The later one of what the engine and the node say: a restart by the API is none to the engine."""
    told = moment(start_time(node)[0]) if node is not None else None
    known = [each for each in (container.started_at if container is not None else None, told) if each is not None]
    return max(known) if known else None
