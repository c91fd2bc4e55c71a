# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What another process ends if this one is killed: a recording, and a container that is stopped and not yet replaced."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from typing import Any, Iterator, Mapping, Sequence

from ..connect.docker import Docker, DockerError
from ..procedure.errors import RunbookError
from ..procedure.journal import Journal
from ..procedure.limits import Limits, limits_of
from ..procedure.lock import NodeLock
from ..procedure.who import who
from .errors import SesamError
from .profiler_act import look, switch_off
from .profiler_record import Guardian

HALF: Sequence[str] = ("half",)
RECORDING: Sequence[str] = ("on", "half")
_FIX = "sesam_api_profiler"
_RETRIES = 30
_PATIENCE = 86400.0
"""Seconds for others to end what they do: their lease ends long before, unless they go on renewing it."""


@contextmanager
def alone(params: Mapping[str, Any]) -> Iterator[NodeLock]:
    """With the node's lock, which the run itself has lost by its end. Without it where the journal is out of reach: the node counts for more."""
    limits = Limits(Journal(params["journal_dir"]).directory, "its place is out of reach")
    with suppress(RunbookError):
        limits = limits_of(params.get("limits_dir"), limits.directory, make=True)
    lock = limits.lock(params["lock_expiry"])
    with suppress(RunbookError):
        lock.acquire("%s-%d" % (_FIX, time.time_ns()), _FIX, who({})["user"], _PATIENCE)
    try:
        yield lock
    finally:
        with suppress(RunbookError):
            lock.release()


def finish(params: Mapping[str, Any], docker_host: str, name: str, stop_timeout: int, states: Sequence[str]) -> None:
    """The profiler off, if it is in one of these states: in a process of its own, after the one that was at it was killed."""
    with alone(params) as lock:
        for _number in range(_RETRIES):
            with suppress(RunbookError):
                lock.renew()
            if _finished(docker_host, name, stop_timeout, states):
                return
            time.sleep(2)


def _finished(docker_host: str, name: str, stop_timeout: int, states: Sequence[str]) -> bool:
    docker = Docker(docker_host, timeout=60.0 + stop_timeout)
    try:
        place = look(docker, name)
        if place.state in states:
            switch_off(docker, place, stop_timeout)
    except (DockerError, SesamError):
        return False
    finally:
        docker.close()
    return True


@contextmanager
def guarded(params: Mapping[str, Any], docker: Docker, name: str, stop_timeout: int) -> Iterator[None]:
    """Whatever becomes of this process in here, the node is not left stopped."""
    host = docker.docker_host
    guardian = Guardian(lambda: finish(params, host, name, stop_timeout, HALF))
    try:
        yield
    finally:
        place = look(docker, name)
        if place.state in HALF:
            switch_off(docker, place, stop_timeout)
        guardian.release()
