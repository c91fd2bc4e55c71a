# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedure that restarts a node, with what it was like kept before."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker, DockerError, EngineAway
from ..connect.signals import Interrupted, interruptible
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import JournalError, Refusal, RunbookError
from ..procedure.journal import Journal
from ..procedure.undo import Store
from .api import Node
from .container import Container, container_of, find
from .errors import SesamError
from .folders import folder
from .process import node_process
from .restart import API, CONTAINER, Manner, RestartFailed, health_of, restart, start_time
from .restart_evidence import by_process, keep, kept
from .restart_plan import ApiSeen, RestartState, Wish, container_shown, diagnose, guards, plan, restarted_shown, trouble, way

_QUESTION = 10.0
_PIPES = 30.0
_SUBJECT = "container:"
_LEAST = 10.0
"""Seconds for a restart, whatever looking and keeping took."""


class SesamRestart(Procedure[RestartState]):
    """Looks, keeps, restarts, and looks again. ``looking``: nothing may be written, since the node is only looked at."""

    name = "sesam_restart"

    def __init__(self, params: Mapping[str, Any], looking: bool = False) -> None:
        self.params = params
        self.looking = looking
        self.wish = wish_of(params)
        self.lock_expiry: float = params["lock_expiry"]
        self.node = Node(params)
        self.docker = Docker(params["docker_host"], timeout=min(_QUESTION, self.node.timeout))
        self.journal = Journal(params["journal_dir"])
        self.began = time.monotonic()
        self.first: Optional[RestartState] = None
        self.last: Optional[RestartState] = None
        self.directory: Optional[str] = None
        self.logs = ""
        self.away: Optional[EngineAway] = None
        """Why the engine could not be asked in the first look."""

    def close(self) -> None:
        self.docker.close()

    # -- looking -------------------------------------------------------------------------------------------------------

    def observe(self) -> RestartState:
        self.docker.limit(min(_QUESTION, self.node.timeout))
        container, unfit = self._container()
        state = RestartState(self._api(), self.node.url, container, unfit=unfit)
        if container is not None and container.running:
            try:
                process = node_process(container)
                state = replace(state, process=process)
            except SesamError as exc:
                state = replace(state, unfit=exc.text)
        if self.first is None:
            self.first = state
            self.logs = self._log_folder(state)
            if self.away is not None:
                self._without_engine(state, self.away)
        elif self.last is not None:
            state = replace(state, made=self.last.made, failed=self.last.failed)
        return state

    def _container(self) -> Tuple[Optional[Container], str]:
        """Needed unless the restart is to be by the API alone."""
        name = self.params["container"]
        if self.first is not None and self.first.container is not None:
            name = self.first.container.name  # whatever else has come since
        try:
            return find(self.docker, name), ""
        except (SesamError, DockerError) as exc:
            if self.first is None and isinstance(exc, EngineAway):
                self.away = exc
            elif self._needs_container(name):
                raise
            return None, str(exc)

    def _needs_container(self, name: Optional[str]) -> bool:
        return self.wish.manner.method == CONTAINER or bool(name and self.wish.manner.method != API)

    def _without_engine(self, state: RestartState, away: EngineAway) -> None:
        """Of a node that cannot be asked either, what lies in its log folder is all there is, and nobody may come back to it."""
        if state.api.kind and self.wish.evidence and not self.looking:
            with ExitStack() as stack:
                logs = self.logs or by_process(stack)
                if logs:
                    self.directory = keep(self.journal.directory, self.docker, None, logs, self.node, False, None)
        if self._needs_container(self.params["container"]):
            raise RunbookError(self._words(str(away)), evidence=self.evidence(state)) from away

    def _log_folder(self, state: RestartState) -> str:
        try:
            return folder(state.container, "logs", self.params, state.process.process.argv if state.process else ())
        except SesamError:
            if self.params["log_folder"]:
                raise
            return ""

    def _api(self) -> ApiSeen:
        """Once it does not answer, nothing more is asked: each question would take its whole time."""
        try:
            self.node.text("/ping", accept=(401, 403, 404), limit=65536, timeout=_QUESTION)
        except SesamError as exc:
            return ApiSeen(exc.kind, exc.text)
        started, kind = start_time(self.node, _QUESTION)
        if kind == "timeout":
            return ApiSeen(kind, "/ping answers, /status does not")
        health, said = health_of(self.node, _QUESTION)
        return ApiSeen("", "", started, kind, None, health, said, self._running())

    def _running(self) -> Optional[Tuple[str, ...]]:
        """Pipes that run. Where one tells only what it said some time ago, that counts: it is no reason to cut it off."""
        found = []
        try:
            for pipe in self.node.stream("/pipes", {"fields": "runtime"}, timeout=_PIPES):
                runtime = pipe.get("runtime") if isinstance(pipe, dict) else None
                if isinstance(runtime, dict) and runtime.get("is-running"):
                    found.append(str(pipe.get("_id")))
        except SesamError:
            return None
        return tuple(sorted(found))

    # -- what a result shows -------------------------------------------------------------------------------------------

    def diagnose(self, state: RestartState) -> List[Finding]:
        return diagnose(state, self.wish)

    def plan(self, state: RestartState) -> List[Change]:
        return plan(state, self.wish)

    def guards(self, state: RestartState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, self.wish, plan, self.lock_expiry)

    def facts(self, state: RestartState) -> Mapping[str, Any]:
        container = container_shown(state.container) if state.container is not None else None
        before = self.first.container if self.first is not None and state is not self.first else None
        if container is not None:
            container["previous"] = container_shown(before) if before is not None else None
        told = way(state, self.wish)[0]
        return {
            "container": container,
            "node": {"url": self.node.url, "start_time": state.api.start_time, "health": state.api.health, "trouble": trouble(state)},
            "method": state.made.method if state.made is not None else told or None,
            "restart": restarted_shown(state.made),
            "running_pipes": None if state.api.running is None else list(state.api.running),
            "log_folder": self.logs or None,
        }

    def evidence(self, state: RestartState) -> Mapping[str, Any]:
        return {"directory": self.directory, "files": kept(self.directory)}

    def context(self) -> Mapping[str, Any]:
        return {"docker_host": self.docker.docker_host}

    # -- acting --------------------------------------------------------------------------------------------------------

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """One change. What is kept is kept before it is journaled as begun; what went wrong is told when it is journaled."""
        if self.wish.evidence and self.first is not None:
            state = self.first
            try:
                self.directory = keep(self.journal.directory, self.docker, state.container, self.logs, self.node, not state.api.kind, state.api.running)
            except JournalError as exc:
                raise JournalError("%s. Pass evidence: false to do without." % exc) from exc
        yield plan
        if self.last is not None and self.last.failed:
            raise RunbookError(self._words(self.last.failed), **self._detail())

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        """Of the container as it is now: an updater may have made it anew since it was looked at, and then nothing is done."""
        state = self.first
        if state is None or len(changes) != 1:
            raise RunbookError("a restart is one change")
        moved = self._moved(state.container)
        if moved:
            self.last = replace(state, failed=moved)
            return [Outcome(False, moved)]
        manner = replace(self.wish.manner, timeout=max(_LEAST, self.wish.manner.timeout - (time.monotonic() - self.began)))
        try:
            with interruptible():
                made = restart(self.docker, state.container, self.node, manner)
        except RestartFailed as exc:
            self.last = replace(state, failed=exc.text)
            return [Outcome(exc.acted, exc.text)]
        except Interrupted as exc:
            self.last = replace(state, failed="%s while it was waited for" % exc)
            return [Outcome(True, str(exc))]
        self.last = replace(state, made=made)
        return [Outcome(True, diagnose(self.last, self.wish)[-1].summary)]

    def _moved(self, then: Optional[Container]) -> str:
        if then is None:
            return ""
        self.docker.limit(min(_QUESTION, self.node.timeout))
        seen = self.docker.inspect(then.name)
        now = container_of(seen) if seen is not None else None
        if now is not None and now.id == then.id and (now.started_at == then.started_at or then.restarting):
            return ""
        return "container %s was started or made anew since it was looked at, which may be all that was wanted: left alone, look again" % then.name

    def _words(self, text: str) -> str:
        return text + (". The state before was kept in %s" % self.directory if self.directory else "")

    def _detail(self) -> Dict[str, Any]:
        try:
            state = self.observe()
        except (SesamError, DockerError, OSError) as exc:
            return {"now": "what is up now cannot be told: %s" % exc, "evidence": {"directory": self.directory, "files": kept(self.directory)}}
        return dict(self.facts(state), findings=[finding.to_dict() for finding in self.diagnose(state)], evidence=self.evidence(state))


def wish_of(params: Mapping[str, Any]) -> Wish:
    for name, least in (("timeout", _LEAST), ("settle", 0.0), ("health_timeout", 0.0), ("stop_timeout", 1)):
        if not math.isfinite(params[name]) or params[name] < least:
            raise SesamError("%s must be %g or more seconds, not %s" % (name, least, params[name]))
    if params["settle"] >= params["timeout"]:
        raise SesamError("settle (%g seconds) must be less than timeout (%g), which is for all of it" % (params["settle"], params["timeout"]))
    manner = Manner(params["method"], params["timeout"], params["stop_timeout"], params["settle"], params["health_timeout"])
    return Wish(manner, params["policy"], params["allow_running_pipes"], params["evidence"])


class RestartStore(Store):
    """Restarts stay: what ran was ended."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.docker = Docker(str(header["docker_host"]))
        self.started = float(header["started"])

    def close(self) -> None:
        self.docker.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        return [(self._image(change), None) for change in changes]

    def _image(self, change: Change) -> Optional[Image]:
        """A node without a container is not asked: whether it was restarted, its journal says."""
        if not change.subject.startswith(_SUBJECT):
            return change.after
        seen = self.docker.inspect(change.subject[len(_SUBJECT) :])
        if seen is None:
            return None
        now = container_of(seen)
        again = now.started_at is not None and now.started_at >= self.started
        return {"running": now.running, "restarted": again}

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [Outcome(False, "a restart cannot be taken back") for _change in changes]


STORES = {"sesam_restart": RestartStore}
