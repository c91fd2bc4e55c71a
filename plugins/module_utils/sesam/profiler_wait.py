# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waits until a node that was started in another container is up: it answers, as one that was started anew, and stays."""

from __future__ import annotations

import time
from typing import Any, Mapping, Optional

from ..connect.docker import Docker
from .api import Node
from .container import Container, container_of
from .errors import SesamError
from .restart import RestartFailed, how, start_time

_QUESTION = 5.0
_GRACE = 10.0
_STEP = 0.3
_LIVES = 3


def wait_up(docker: Docker, name: str, node: Node, before: Optional[str], timeout: float, settle: float) -> Optional[str]:
    """The new start time, None where the node does not tell any. RestartFailed when it does not come, or does not stay."""
    began = time.monotonic()
    ended: Optional[float] = None
    while True:
        seen = docker.inspect(name)
        container = container_of(seen) if seen is not None else None
        trouble = "there is no container %s" % name if container is None else _ended(container)
        if container is not None and not trouble:
            ended = None
            told, trouble = _told(node, before)
            if not trouble and _stays(docker, container, node, min(settle, timeout)):
                return told
        elif ended is None:
            ended = time.monotonic()
        elif time.monotonic() - ended > _GRACE and not (container is not None and container.restarting):
            raise RestartFailed("the node did not come up: %s" % trouble)
        if container is not None and container.restart_count > _LIVES:
            raise RestartFailed("container %s flaps: it was started again %d times%s" % (name, container.restart_count, how(container)))
        if time.monotonic() - began > timeout:
            raise RestartFailed("the node did not come up within %g s; last seen: %s" % (timeout, trouble or "it does not stay up"))
        time.sleep(_STEP)


def _ended(container: Container) -> str:
    return "" if container.running and not container.restarting else "container %s is %s%s" % (container.name, container.status, how(container))


def _told(node: Node, before: Optional[str]) -> tuple[Optional[str], str]:
    """The start time, and what is not yet as it should be."""
    try:
        node.text("/ping", accept=(401, 403), limit=65536, timeout=_QUESTION)
    except SesamError as exc:
        return None, exc.text
    told, kind = start_time(node)
    if told is not None:
        return told, "it tells the same start time as before" if told == before else ""
    return None, "" if kind in ("auth", "not_told", "not_found", "bad_request") else "/status does not answer (%s)" % kind


def _stays(docker: Docker, container: Container, node: Node, settle: float) -> bool:
    until = time.monotonic() + settle
    while time.monotonic() < until:
        time.sleep(max(0.0, min(0.5, until - time.monotonic())))
        seen = docker.inspect(container.name)
        if seen is None or container_of(seen).life != container.life:
            return False
    return not _told(node, None)[1]


def api_of(params: Mapping[str, Any], header: Mapping[str, Any]) -> Node:
    """The API of a run that is undone. The token is kept nowhere; without one, that the node answers has to do."""
    known = {name: header[name] for name in ("api_url", "ca_cert", "validate_certs", "request_timeout")}
    return Node(dict(known, jwt=params.get("jwt")))
