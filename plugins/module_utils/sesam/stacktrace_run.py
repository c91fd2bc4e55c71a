# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes stack traces of a node: by its API, or by a signal to its process once that is known to handle it."""

from __future__ import annotations

import hashlib
import math
import os
import signal
import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker, DockerError
from ..connect.signals import is_alive, send
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import JournalError, Refusal, RunbookError
from ..procedure.evidence import own_directory, run_directory, write
from ..procedure.journal import Journal
from ..procedure.undo import Store
from .api import Node
from .container import Container, find
from .errors import SesamError
from .folders import folder
from .process import NodeProcess, node_process, same
from .stacktrace import API, LEFT, SIGNAL, Asked, Kept, StacktraceState, Wish, diagnose, guards, plan, process_detail, way
from .stacktrace_files import Trace, is_html, new_ones, read, shown, traces, wait_for_new

_PATH = "/status/stacktrace"
_PING = 5.0
_MOST = 100
_OLDER_SHOWN = 20


class Stacktrace(Procedure[StacktraceState]):
    """``looking``: nothing may be written, since the node is only looked at."""

    name = "sesam_stacktrace"

    def __init__(self, params: Mapping[str, Any], looking: bool = False) -> None:
        self.params = params
        self.looking = looking
        self.wish = wish_of(params)
        self.lock_expiry: float = params["lock_expiry"]
        self.node = Node(params)
        self.docker = Docker(params["docker_host"], timeout=self.node.timeout)
        self.journal = Journal(params["journal_dir"])
        self.directory: Optional[str] = None
        self.state: Optional[StacktraceState] = None
        self.kept: List[Kept] = []

    def close(self) -> None:
        self.docker.close()

    # -- looking -------------------------------------------------------------------------------------------------------

    def observe(self) -> StacktraceState:
        if self.state is not None:  # what was asked of the API before the signals is not asked again
            self.state = replace(self.state, kept=tuple(self.kept))
            return self.state
        state = StacktraceState(url=self.node.url)
        data, size = b"", None
        if self.wish.method != SIGNAL:
            asked, data, size = self._ask()
            state = replace(state, asked=asked)
        if way(state, self.wish)[0] == API and not self.looking:
            self._keep(data, size, API, asked.seconds)
            self._ask_again()
        state = self._with_process(state)
        if way(state, self.wish)[0] == LEFT and not self.looking:
            self._keep_left(state)
        self.state = replace(state, kept=tuple(self.kept))
        return self.state

    def _ask(self) -> Tuple[Asked, bytes, Optional[int]]:
        """A stack trace by the API, cut to the bound, and its size if that can be told."""
        started = time.monotonic()
        try:
            reply = self.node.text(_PATH, limit=self.wish.max_bytes)
        except SesamError as exc:
            kind = "bad_address" if exc.cause == "dns" else exc.kind
            return Asked(kind, exc.text, _seconds(started)), b"", 0
        if not is_html(reply.body):
            return Asked("not_html", "the answer to %s (%d bytes) is no HTML" % (_PATH, len(reply.body)), _seconds(started)), b"", 0
        if self._is_proxy():
            text = "/ping gives no JSON: the page is of something before the node, such as one to log in; give the node's own address as api_url"
            return Asked("not_the_node", text, _seconds(started)), b"", 0
        whole = reply.headers.get("content-length", "") if reply.truncated else str(len(reply.body))
        return Asked(seconds=_seconds(started)), reply.body, int(whole) if whole.isdigit() else None

    def _is_proxy(self) -> bool:
        """A page says nothing of who made it, so something is asked to which the node gives no page."""
        try:
            self.node.get("/ping", timeout=_PING)
        except SesamError as exc:
            return exc.kind == "not_json"
        return False

    def _ask_again(self) -> None:
        for _number in range(1, self.wish.count):
            time.sleep(self.wish.interval)
            asked, data, size = self._ask()
            if asked.kind:
                raise RunbookError("the API gave %d of %d stack traces: %s" % (len(self.kept), self.wish.count, asked.text), **self._detail())
            self._keep(data, size, API, asked.seconds)

    def _with_process(self, state: StacktraceState) -> StacktraceState:
        """What is known of container, process and log folder. Where the API has given what was wanted, nothing of it need be there."""
        container: Optional[Container] = None
        process: Optional[NodeProcess] = None
        place, unfit = "", ""
        needed = way(state, self.wish)[0] == SIGNAL
        try:
            container = find(self.docker, self.params["container"])
            if needed or container.running:
                process = node_process(container)
        except (SesamError, DockerError) as exc:
            if needed and container is None:
                raise
            unfit = str(exc)
        try:
            place = folder(container, "logs", self.params, process.process.argv if process else ())
        except SesamError as exc:
            unfit = unfit or exc.text
        left = tuple(_listed(place))
        age = max(0.0, time.time() - left[0].modified) if left else 0.0
        return replace(state, container=container, process=process, unfit=unfit, folder=place, left=left, age=age)

    def _keep_left(self, state: StacktraceState) -> None:
        """The newest one that is there, if it is still the same."""
        newest = state.left[0]
        data = read(state.folder, newest, self.wish.max_bytes)
        if data is None:
            raise RunbookError("%s was taken away before it could be read: run it again" % newest.name)
        self._keep(data, newest.size, LEFT, 0.0, os.path.join(state.folder, newest.name))

    # -- what a result shows -------------------------------------------------------------------------------------------

    def diagnose(self, state: StacktraceState) -> List[Finding]:
        return diagnose(state, self.wish)

    def plan(self, state: StacktraceState) -> List[Change]:
        return plan(state, self.wish)

    def guards(self, state: StacktraceState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, self.wish, self.lock_expiry)

    def facts(self, state: StacktraceState) -> Mapping[str, Any]:
        chosen, why = way(state, self.wish)
        return {
            "method": chosen or None,
            "why": why,
            "stacktraces": [kept.shown() for kept in state.kept],
            "container": {"name": state.container.name, "id": state.container.id, "status": state.container.status} if state.container else None,
            "process": process_detail(state.process) if state.process else None,
            "log_folder": state.folder or None,
            "left": [shown(trace, state.folder) for trace in state.left[:_OLDER_SHOWN]],
        }

    def evidence(self, state: StacktraceState) -> Mapping[str, Any]:
        return {"directory": self.directory, "api_url": self.node.url}

    def context(self) -> Mapping[str, Any]:
        return {"log_folder": self.state.folder if self.state else ""}

    def _detail(self) -> Dict[str, Any]:
        """Beside an error: what is known by now."""
        if self.state is None:
            return {"stacktraces": [kept.shown() for kept in self.kept]}
        state = self.observe()
        return dict(self.facts(state), findings=[finding.to_dict() for finding in self.diagnose(state)], evidence=self.evidence(state))

    # -- the signal ----------------------------------------------------------------------------------------------------

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """One by one; after one that gave nothing no other is sent."""
        for number, change in enumerate(plan):
            if number:
                time.sleep(self.wish.interval)
            yield [change]
            failed = self.state.failed if self.state else ""
            if failed:
                raise RunbookError("no stack trace: %s" % failed, **self._detail())

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._signal() for _change in changes]

    def _signal(self) -> Outcome:
        """One signal, and what came of it. What was looked at is looked at again, right before."""
        state = self.observe()
        if state.container is None or state.process is None:
            raise RunbookError("there is no process to be signalled")
        self._destination()  # what cannot be kept is not asked for
        before = traces(state.folder)
        process, why = self._again(state)
        if process is None:
            self.state = replace(state, failed=why)
            return Outcome(False, why)
        started = time.monotonic()
        if not self._send(process, state.container):
            self.state = replace(state, failed="pid %d ended before it was signalled" % process.pid)
            return Outcome(False, "pid %d ended before it was signalled" % process.pid)
        note = self._wait(state.folder, before, process, started)
        self.state = replace(self.state or state, made=state.made + 1, kept=tuple(self.kept))
        return Outcome(True, note)

    def _again(self, state: StacktraceState) -> Tuple[Optional[NodeProcess], str]:
        """The very same process in the very same container, which still handles the signal; or why not."""
        try:
            container = find(self.docker, self.params["container"])
            process = node_process(container)
        except SesamError as exc:
            return None, "the container was changed since it was looked at: %s; no signal was sent" % exc.text
        if state.container is None or container.id != state.container.id or not same(process, state.process):
            told = "it is now pid %d in %s" % (process.pid, container.id[:12])
            return None, "container %s was started or made anew since it was looked at (%s): no signal was sent, run it again" % (container.name, told)
        if not process.handles_sigusr1:
            return None, "pid %d does not catch SIGUSR1 any more: no signal was sent" % process.pid
        return process, ""

    def _send(self, process: NodeProcess, container: Container) -> bool:
        """To the process itself. Without the right to that the engine can do it, for the first process of a container."""
        try:
            return send(process.process, signal.SIGUSR1)
        except PermissionError as exc:
            if not process.first:
                reason = "pid %d of %s may not be signalled by this user, and the engine reaches only pid %d: become root"
                raise RunbookError(reason % (process.pid, process.process.owner, container.pid), **self._detail()) from exc
        return is_alive(process.process) and self.docker.kill(container.id, signal.SIGUSR1)

    def _wait(self, place: str, before: Sequence[Trace], process: NodeProcess, started: float) -> str:
        waited = wait_for_new(place, before, started + self.wish.timeout, lambda: "" if is_alive(process.process) else "pid %d has ended" % process.pid)
        for trace in waited.new[:1] if waited.complete else ():
            data = read(place, trace, self.wish.max_bytes)
            if data is not None:
                others = len(new_ones(before, traces(place))) - 1
                self._keep(data, trace.size, SIGNAL, round(waited.seconds, 3), os.path.join(place, trace.name), max(0, others))
                moved = "" if waited.rotated else "; the one before is gone, not renamed"
                return "%s of %d bytes after %.1f s%s" % (trace.name, trace.size, waited.seconds, moved)
            waited = replace(waited, why="%s was taken away before it could be read" % trace.name)
        why = "within %g s %s%s" % (self.wish.timeout, waited.why, self._hint(process))
        if self.state is not None:
            self.state = replace(self.state, failed=why)
        return why

    def _hint(self, process: NodeProcess) -> str:
        try:
            now = node_process(find(self.docker, self.params["container"]))
        except (SesamError, DockerError):
            return ""
        if not same(now, process):
            return "; the node was started anew meanwhile"
        if now.holds_back(signal.SIGUSR1):
            return "; pid %d (state %s) has not even taken the signal" % (now.pid, now.state)
        return "; pid %d (state %s) took the signal, and its handler does not get to run" % (now.pid, now.state)

    # -- keeping -------------------------------------------------------------------------------------------------------

    def _destination(self) -> str:
        if self.directory is None:
            dest = self.params["dest"]
            self.directory = own_directory(dest) if dest else run_directory(self.journal.directory, "stack traces")
        return self.directory

    def _keep(self, data: bytes, size: Optional[int], source: str, seconds: float, original: Optional[str] = None, others: int = 0) -> None:
        now = time.time()
        stamp = "%s-%03d" % (time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)), int(now * 1000) % 1000)
        directory = self._destination()
        try:
            path = write(directory, "stacktrace-%s-%s.html" % (source, stamp), data)
        except OSError as exc:
            raise JournalError("a stack trace of %d bytes could not be kept in %s: %s" % (len(data), directory, exc.strerror), **self._detail()) from exc
        taken = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        self.kept.append(Kept(path, source, size, len(data), hashlib.sha256(data).hexdigest(), taken, seconds, original, others))


def wish_of(params: Mapping[str, Any]) -> Wish:
    if not 1 <= params["count"] <= _MOST:
        raise SesamError("count must be 1 to %d, not %d" % (_MOST, params["count"]))
    for name, least in (("interval", 0.0), ("timeout", 0.1), ("max_age", 0.0)):
        if not math.isfinite(params[name]) or params[name] < least:
            raise SesamError("%s must be %g or more seconds, not %s" % (name, least, params[name]))
    if (params["count"] - 1) * params["interval"] >= params["lock_expiry"]:
        raise SesamError(
            "count and interval are %d s of waiting, and the node's lock expires after %d s"
            % ((params["count"] - 1) * params["interval"], params["lock_expiry"])
        )
    if params["max_bytes"] < 4096:
        raise SesamError("max_bytes must be 4096 or more, not %d" % params["max_bytes"])
    if params["dest"] and not os.path.isabs(params["dest"]):
        raise SesamError("dest must be an absolute path of a directory, not %r" % params["dest"])
    names = ("method", "count", "interval", "timeout", "max_bytes", "signal_without_admin", "max_age")
    return Wish(**{name: params[name] for name in names})


def _listed(place: str) -> List[Trace]:
    try:
        return traces(place) if place else []
    except OSError:
        return []


def _seconds(started: float) -> float:
    return round(time.monotonic() - started, 3)


class StacktraceStore(Store):
    """Stack traces that a run has caused: they stay, and so does what was renamed for them."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.folder = str(header["log_folder"])
        self.started = float(header["started"])

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        written = sum(trace.modified >= self.started for trace in _listed(self.folder))
        return [({"written": int(change.subject.rpartition("-")[2]) <= written}, None) for change in changes]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [Outcome(False, "a signal cannot be taken back") for _change in changes]


STORES = {"sesam_stacktrace": StacktraceStore}
