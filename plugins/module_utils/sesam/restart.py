# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarts a node, and believes it only when another start time is told, the API answers, and nothing of it ends again.

For every module that needs a restart. While the node is down its API refuses and breaks off; that is as it should be, and not an error.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set, Tuple

from ..connect.docker import Docker, DockerError, EngineAway
from .api import Node
from .container import Container, container_of
from .errors import SesamError

AUTO, API, CONTAINER = "auto", "api", "container"
OK, UNWELL, UNKNOWN = "ok", "unwell", "unknown"
_QUESTION = 5.0
_GRACE = 5.0
"""Seconds that a container may be seen as ended before it is taken for that."""
_ENGINE = 20.0
"""Seconds for the engine beside the time that a stop may take."""
_LIVES = 3
_API_PATIENCE = 60.0
"""Seconds for a restart by the API to begin, before the engine is asked for one."""


@dataclass(frozen=True)
class Manner:
    """How to restart. ``timeout`` is for all of it, health and settling included."""

    method: str = AUTO
    timeout: float = 600.0
    stop_timeout: int = 60
    settle: float = 10.0
    health_timeout: float = 60.0


@dataclass(frozen=True)
class Restarted:
    """A restart that was proven. ``proof`` says by what: ``node_start_time``, or ``container`` where the node does not tell its own."""

    method: str
    why: str
    proof: str
    before: Optional[str]
    after: Optional[str]
    container: Optional[Container]
    health: str
    seconds: float
    notes: Tuple[str, ...] = ()


class RestartFailed(SesamError):
    """It is not known to be up again. ``acted`` says whether anything was done to it; what was seen is in the text."""

    def __init__(self, text: str, acted: bool = True) -> None:
        super().__init__(text, "unavailable")
        self.acted = acted


def start_time(node: Node, timeout: float = _QUESTION) -> Tuple[Optional[str], str]:
    """The node's own start time, as it spells it; or None, and the kind of error: ``auth`` where a token is wanted."""
    try:
        status = node.get("/status", timeout=timeout)
    except SesamError as exc:
        return None, exc.kind
    told = status.get("node_start_time") if isinstance(status, dict) else None
    return (None, "not_told") if told is None else (str(told), "")


def restart(docker: Optional[Docker], container: Optional[Container], node: Node, manner: Manner) -> Restarted:
    """Restart and wait. ``container`` may be None for a node without one here; then only the API can do it."""
    return _Restart(docker if container is not None else None, container, node, manner).run()


@dataclass
class _Restart:
    docker: Optional[Docker]
    container: Optional[Container]
    node: Node
    manner: Manner
    notes: List[str] = field(default_factory=list)
    began: float = 0.0
    acted: bool = False
    seen: str = ""
    lives: Set[Any] = field(default_factory=set)
    """Of the container, since it was acted upon."""
    ended: Optional[float] = None

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    @property
    def left(self) -> float:
        return self.manner.timeout - (time.monotonic() - self.began)

    @property
    def engine(self) -> bool:
        """Whether the engine may be asked where the API does not do it."""
        return self.manner.method == AUTO and self.docker is not None

    def run(self) -> Restarted:
        before, kind = start_time(self.node, min(_QUESTION, self.manner.timeout))
        method, why = self._choose(before, kind)
        if method == API:
            after = self._by_api(before)
            if after is None and self.engine and self.left > 0:
                method, why = CONTAINER, "the API was asked for it and did not do it"
        if method == CONTAINER:
            self._by_container()
            after = self._wait(before, self.left)
        if after is None:
            raise self._failed("it did not come up within %.0f s" % self.manner.timeout)
        started, proof, now = after
        health = self._health()
        self._settle(started, now)
        return Restarted(method, why, proof, before, started, now, health, round(time.monotonic() - self.began, 3), tuple(self.notes))

    def _choose(self, before: Optional[str], kind: str) -> Tuple[str, str]:
        wanted = self.manner.method
        if wanted == CONTAINER or (wanted == AUTO and before is None and self.container is not None):
            if self.container is None:
                raise RestartFailed("there is no container to restart", acted=False)
            return CONTAINER, "it is asked for" if wanted == CONTAINER else "the API %s" % api_words(kind)
        if before is None:
            raise RestartFailed("the API %s: by it no restart can be asked for, nor proven" % api_words(kind), acted=False)
        return API, "it is asked for" if wanted == API else "the API answers"

    # -- by the API ----------------------------------------------------------------------------------------------------

    def _by_api(self, before: Optional[str]) -> Optional[Tuple[Optional[str], str, Optional[Container]]]:
        """None where nothing came of it, and the engine is to be asked."""
        self.acted = True
        try:
            self.node.post_form("/admin", {"operation": "restart"}, timeout=max(0.1, self.left))
        except SesamError as exc:
            if exc.kind not in ("timeout", "unreachable", "unavailable"):  # these may well be the restart
                self.acted = False
                if not self.engine:
                    raise RestartFailed("the API did not take the restart: %s" % exc.text, acted=False) from exc
                self.notes.append("the API did not take it: %s" % exc.text)
                return None
        try:
            found = self._wait(before, min(self.left, max(_API_PATIENCE, self.left / 3)) if self.engine else self.left, by_api=True)
            if found is None and self.engine and self._anew():  # the engine could only begin that once more
                found = self._wait(before, self.left, by_api=True)
        except RestartFailed as exc:
            if not self.engine:
                raise
            found, self.seen = None, exc.text
        if found is None and self.engine and self.left > 0:
            self.notes.append("the API took it, and nothing came of it: %s" % self.seen)
            return None
        return found

    def _anew(self) -> bool:
        """Whether its container was started since it was looked at."""
        now = self._look()
        return now is not None and self.container is not None and now.life[:2] != self.container.life[:2]

    # -- by the engine -------------------------------------------------------------------------------------------------

    def _by_container(self) -> None:
        docker, old = self._both()
        now = self._look() or old
        self.lives, self.ended = set(), None
        self.acted = True
        try:
            if now.running or now.restarting:
                self._restart_running(docker, now)
            else:
                docker.limit(max(1.0, min(_ENGINE, self.left)))
                docker.start_again(now.id)
        except EngineAway as exc:
            raise self._failed(str(exc)) from exc
        except DockerError as exc:
            again = self._look()
            if again is None or again.life == now.life or not again.running:
                raise self._failed(str(exc)) from exc
            self.notes.append("somebody else restarted it at the same time: %s" % exc)

    def _restart_running(self, docker: Docker, now: Container) -> None:
        """With its own stop time; a process that the engine cannot stop in that time is killed by it. Where the engine itself hangs, killed by us."""
        stop = int(max(1, min(self.manner.stop_timeout, self.left / 3)))
        docker.limit(max(1.0, min(_ENGINE, self.left - stop)))
        try:
            docker.restart(now.id, stop)
            return
        except EngineAway as exc:
            again = self._look()
            if again is not None and again.running and again.life != now.life:
                return
            self.notes.append("the engine did not restart it in time, so it was killed and started: %s" % exc)
        docker.limit(max(1.0, min(_ENGINE, self.left)))
        try:
            docker.kill(now.id)
        finally:
            docker.start_again(now.id)

    def _both(self) -> Tuple[Docker, Container]:
        if self.docker is None or self.container is None:
            raise RestartFailed("there is no container to restart", acted=False)
        return self.docker, self.container

    def _look(self) -> Optional[Container]:
        """The container as it is now, under its name: an updater makes it anew."""
        docker, old = self._both()
        docker.limit(max(1.0, min(_QUESTION, self.left)))
        try:
            seen = docker.inspect(old.name) or docker.inspect(old.id)
        except EngineAway as exc:
            self.seen = str(exc)
            return None
        return container_of(seen) if seen is not None else None

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _wait(self, before: Optional[str], seconds: float, by_api: bool = False) -> Optional[Tuple[Optional[str], str, Optional[Container]]]:
        """Until it is up and known to be another one; None when the time is over."""
        until, pause = time.monotonic() + seconds, 0.2
        while True:
            found = self._up(before, by_api)
            if found is not None or time.monotonic() >= until:
                return found
            time.sleep(max(0.0, min(pause, until - time.monotonic())))
            pause = min(pause * 1.5, 2.0)

    def _up(self, before: Optional[str], by_api: bool) -> Optional[Tuple[Optional[str], str, Optional[Container]]]:
        now: Optional[Container] = None
        if self.docker is not None:
            now = self._look()
            if now is None or not self._alive(now):
                return None
        if not self._answers():
            return None
        told, kind = start_time(self.node, max(0.1, min(_QUESTION, self.left)))
        other = now is not None and self.container is not None and now.life[:2] != self.container.life[:2]
        if told is not None and before is not None:
            self.seen = "the API answers, and tells the same start time as before (%s)" % before if told == before else ""
            return (told, "node_start_time", now) if told != before else None
        if told is None and kind not in ("auth", "not_told", "not_found", "bad_request"):
            self.seen = "/ping answers, /status does not (%s)" % kind
            return None
        self.seen = "" if other else "the API answers, and the container is still the same one"
        return (told, "container", now) if other and not by_api else None

    def _alive(self, now: Container) -> bool:
        """Whether it runs; RestartFailed when it has ended for good, or ends again and again."""
        if now.running and not now.restarting:
            self.ended = None
            self.lives.add(now.life)
        else:
            self.ended = self.ended or time.monotonic()
            self.seen = "container %s is %s%s" % (now.name, now.status, how(now))
        base = self.container.restart_count if self.container is not None and self.container.id == now.id else 0
        if len(self.lives) > _LIVES or now.restart_count - base > _LIVES:
            raise self._failed("container %s flaps: it has ended %d times since%s" % (now.name, max(len(self.lives) - 1, now.restart_count - base), how(now)))
        if self.ended is not None and not now.restarting and time.monotonic() - self.ended > _GRACE:
            raise self._failed("container %s did not stay up: it is %s%s" % (now.name, now.status, how(now)))
        return now.running and not now.restarting

    def _answers(self) -> bool:
        try:
            self.node.text("/ping", accept=(401, 403), limit=65536, timeout=max(0.1, min(_QUESTION, self.left)))
        except SesamError as exc:
            self.seen = exc.text
            return False
        return True

    def _health(self) -> str:
        until = time.monotonic() + min(self.manner.health_timeout, max(0.0, self.left - self.manner.settle))
        while True:
            word, said = health_of(self.node, max(0.1, min(_QUESTION, self.left)))
            if word == OK or time.monotonic() >= until or said == "auth":
                return word
            time.sleep(max(0.0, min(1.0, until - time.monotonic())))

    def _settle(self, started: Optional[str], now: Optional[Container]) -> None:
        """It must stay the same one for a while, and answer at the end of it."""
        until = time.monotonic() + max(0.0, min(self.manner.settle, self.left))
        while time.monotonic() < until:
            time.sleep(max(0.0, min(0.5, until - time.monotonic())))
            again = self._look() if now is not None else None
            if now is not None and again is not None and again.life != now.life:
                raise self._failed("container %s flaps: it came up, and is now %s%s" % (again.name, again.status, how(again)))
        if not self._answers():
            raise self._failed("it came up and answered, and does so no more: %s" % self.seen)
        told, kind = start_time(self.node, _QUESTION)
        if started is not None and told is not None and told != started:
            raise self._failed("the node flaps: it came up at %s, and again at %s" % (started, told))
        if started is not None and told is None:
            self.notes.append("its start time was told once, and then no more (%s)" % kind)

    def _failed(self, text: str) -> RestartFailed:
        seconds = time.monotonic() - self.began
        parts = [text, "last seen: %s" % self.seen if self.seen and self.seen not in text else "", "; ".join(self.notes)]
        return RestartFailed("%s (%.0f s after it was begun)" % (". ".join(filter(None, parts)), seconds), self.acted)


def health_of(node: Node, timeout: float) -> Tuple[str, str]:
    """What the node says of its own health: 503 is an answer. In the second place the kind of error, or a word of its own."""
    try:
        reply = node.text("/health", accept=(503,), limit=1 << 20, timeout=timeout)
        reply.json()  # the page of a proxy is no answer of the node
    except SesamError as exc:
        return UNKNOWN, exc.kind
    return (UNWELL, node.sentence(reply.body)) if reply.status == 503 else (OK, "")


def how(container: Container) -> str:
    """How it ended, in words."""
    parts = ["exit code %s" % container.exit_code] if container.exit_code is not None else []
    parts += ["killed for want of memory"] if container.oom_killed else []
    parts += [container.error] if container.error else []
    return " (%s)" % ", ".join(parts) if parts else ""


def api_words(kind: str) -> str:
    known: Dict[str, str] = {
        "auth": "does not let us in",
        "timeout": "does not answer",
        "unreachable": "is not there",
        "not_told": "does not tell its start time",
    }
    return known.get(kind, "does not tell its start time (%s)" % kind)
