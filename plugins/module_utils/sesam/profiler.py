# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches the profiler of all API calls on and off, each time with a container like the one that was there, and takes what it recorded."""

from __future__ import annotations

import contextlib
import os
from typing import Any, ContextManager, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal, RunbookError
from ..procedure.evidence import own_directory, run_directory
from ..procedure.journal import default_directory
from ..procedure.undo import Store
from .api import Node
from .container import Container, ContainerError, container_of, folder_options
from .errors import SesamError
from .folders import folder
from .process import node_process
from .profiler_act import Place, back, locate, look, others_of, switch_off, switch_on
from .profiler_config import FOLDER, Unfaithful, bound_of, enabled, has_option, name_of, on_layer, unfaithful
from .profiler_guard import RECORDING, alone, finish, guarded
from .profiler_record import Guardian, collect, root_of, usage, watch
from .profiler_state import LARGEST, OFF, SMALLEST, SUBJECT, ProfilerState, Recording, Usage, Wish, diagnose, facts, guards, on, plan
from .profiler_wait import api_of, wait_up
from .restart import start_time

_KEPT = ("docker_host", "ca_cert", "validate_certs", "request_timeout", "timeout", "settle", "stop_timeout")


class ApiProfiler(Procedure[ProfilerState]):
    """``state``: recorded, enabled or disabled."""

    name = "sesam_api_profiler"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.wish = wish_of(params)
        self.timeout, self.settle, self.stop_timeout = params["timeout"], params["settle"], params["stop_timeout"]
        self.dest: Optional[str] = params["dest"]
        self.journal: str = params["journal_dir"] or default_directory()
        self.node = Node(params)
        self.docker = Docker(params["docker_host"], timeout=self.node.timeout + self.stop_timeout)
        self.container = ""
        self.logs = ""
        """The log folder as the node has it."""
        self.running: Sequence[str] = ()
        self.recording: Optional[Recording] = None
        self.swept: Optional[Recording] = None
        self.folder = ""
        """The log folder as this machine has it."""
        self.guardian: Optional[Guardian] = None

    def close(self) -> None:
        """However it came to its end, a recording leaves nothing on."""
        try:
            if self.guardian is not None:
                with alone(self.params):
                    self._off()
        finally:
            self.docker.close()

    # -- looking -------------------------------------------------------------------------------------------------------

    def observe(self) -> ProfilerState:
        self.container = self.container or locate(self.docker, self.params["container"])
        place = look(self.docker, self.container)
        seen = place.current or place.kept or place.new
        if seen is None:
            raise ContainerError("there is no container %s any more" % self.container)
        container = container_of(seen)
        self.running = self.running or running_argv(container)
        told = folder_options(container.argv).get("logs") or folder_options(self.running).get("logs")
        if told is None:
            raise ContainerError("the command of container %s does not tell the log folder (-l), so it is not known where the profiles go" % self.container)
        self.logs = os.path.normpath(os.path.join(container.working_dir or "/", told))
        bound = bound_of(seen) if place.state == "on" else None
        return ProfilerState(
            self.container,
            place.state,
            running=place.running,
            stale=name_of(place.kept) if place.stale and place.kept else "",
            kept=name_of(place.kept) if place.kept else "",
            bound=bound[0] if bound else None,
            memory_only=self._memory(place),
            disk=self._disk(container),
            folder="%s/%s" % (self.logs, FOLDER),
            unfaithful=self._unfaithful(place),
            lost=on_layer([path for path in (self.logs, *self._data(container)) if path], seen),
            available=available_memory(),
            limit=int((seen.get("HostConfig") or {}).get("Memory") or 0),
            active=self._active() if place.running else (),
            started=start_time(self.node)[0] if place.running else None,
            rights=os.geteuid() == 0,
            recording=self.recording,
            swept=self.swept,
        )

    @staticmethod
    def _data(container: Container) -> List[str]:
        told = folder_options(container.argv).get("data")
        return [os.path.normpath(os.path.join(container.working_dir or "/", told))] if told else []

    def _memory(self, place: Place) -> Optional[Usage]:
        bound = bound_of(place.current) if place.current is not None and place.running else None
        if bound is None or place.current is None or os.geteuid():
            return None
        with contextlib.suppress(SesamError):
            return usage(root_of(int(place.current["State"]["Pid"])), bound[1], bounded=True)
        return None

    def _disk(self, container: Container) -> Optional[Usage]:
        with contextlib.suppress(SesamError):
            self.folder = folder(container, "logs", self.params, self.running)
            return usage(self.folder, FOLDER, bounded=False)
        return None

    def _unfaithful(self, place: Place) -> List[str]:
        seen = place.current or place.kept
        if seen is None:
            return []
        found = unfaithful(seen, others_of(self.docker, place))
        if place.state == "off" and self.wish.state != "disabled":
            try:
                enabled(seen, self.wish.size, self.logs, self.running)
            except Unfaithful as exc:
                found.append(str(exc))
        return found

    def _active(self) -> Optional[Sequence[str]]:
        """Of a pipe whose part of the node does not answer, nobody knows whether it runs."""
        active, unknown = [], False
        try:
            for row in self.node.stream("/pipes", {"fields": "runtime"}):
                if isinstance(row, dict) and (row.get("runtime") or {}).get("is-running"):
                    active.append(str(row.get("_id")))
                unknown = unknown or not isinstance(row, dict) or bool(row.get("cached_response_info"))
        except SesamError:
            return None
        return None if unknown and not active else active

    def diagnose(self, state: ProfilerState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: ProfilerState) -> Mapping[str, Any]:
        return facts(state)

    def evidence(self, state: ProfilerState) -> Mapping[str, Any]:
        return {"docker_host": self.params["docker_host"], "api_url": self.node.url, "node_start_time": state.started}

    def plan(self, state: ProfilerState) -> List[Change]:
        return plan(state, self.wish)

    def guards(self, state: ProfilerState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, plan, self.wish)

    def context(self) -> Mapping[str, Any]:
        known = {key: self.params[key] for key in _KEPT}
        return dict(known, api_url=self.node.url, container=self.container, logs=self.logs, journal=self.journal)

    # -- acting --------------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        acts = {"enable": self._enable, "disable": self._disable, "sweep": self._sweep}
        return [acts[change.action](change) for change in changes]

    def _enable(self, change: Change) -> Outcome:
        place = look(self.docker, self.container)
        if place.state not in ("off", "half"):
            return Outcome(False, "somebody else has switched the profiler on since it was looked at: left alone")
        before = start_time(self.node)[0] if place.running else None
        if self.wish.state == "recorded":
            self._guard()
        with self._guarded():
            switch_on(self.docker, place, int((change.after or {})["max_bytes"]), self.logs, self.running, self.stop_timeout)
        try:
            self._up(before, True)
        except SesamError as exc:
            self._off()
            raise RunbookError("with the profiler %s. It is off again" % exc) from exc
        return Outcome(True)

    def _disable(self, change: Change) -> Outcome:
        del change
        place = look(self.docker, self.container)
        if place.state == "off":
            return Outcome(False, "somebody else has switched the profiler off since it was looked at")
        if self.wish.state == "recorded" and self.guardian is None:
            self._guard()
        if place.state == "on" and place.running:
            self._record(place)
        self._off()
        return Outcome(True)

    def _record(self, place: Place) -> None:
        """Wait, if that is asked for, and take what there is: with the container it goes."""
        bound = bound_of(place.current or {})
        if bound is None:
            return
        root = root_of(int((place.current or {})["State"]["Pid"]))
        seconds, stopped = 0.0, ""
        target = self._target()
        if self.wish.state == "recorded":
            seconds, stopped = watch(lambda: usage(root, bound[1], bounded=True), self.wish.duration, self.wish.max_bytes, lambda: self._gone(place))
        files, left_out = collect(root, bound[1], target, max(bound[0], self.wish.max_bytes))
        self.recording = Recording(seconds, target, files, stopped, left_out)

    def _sweep(self, change: Change) -> Outcome:
        del change
        target = self._target()
        files, left_out = collect(self.folder, FOLDER, target, self.wish.max_bytes, remove=True)
        self.swept = Recording(0.0, target, files, "", left_out)
        return Outcome(True)

    def _target(self) -> str:
        return own_directory(self.dest) if self.dest else run_directory(self.journal, "profiles")

    def _gone(self, place: Place) -> str:
        seen = self.docker.inspect(self.container)
        then = place.current
        if seen is None or then is None or seen["Id"] != then["Id"] or seen["State"]["StartedAt"] != then["State"]["StartedAt"]:
            return "stopped early: the container was started anew, and what was recorded went with it"
        return ""

    def _up(self, before: Optional[str], option: bool) -> None:
        wait_up(self.docker, self.container, self.node, before, self.timeout, self.settle)
        seen = self.docker.inspect(self.container)
        argv = running_argv(container_of(seen)) if seen is not None else ()
        if argv and has_option(argv) is not option:
            raise SesamError("the node's process was started %s the option" % ("without" if option else "with"))

    def _guard(self) -> None:
        params, host, name, stop_timeout = self.params, self.params["docker_host"], self.container, self.stop_timeout
        self.guardian = Guardian(lambda: finish(params, host, name, stop_timeout, RECORDING))

    def _guarded(self) -> ContextManager[None]:
        """For a step that stops the node before it starts it: a recording is guarded as a whole."""
        return contextlib.nullcontext() if self.guardian is not None else guarded(self.params, self.docker, self.container, self.stop_timeout)

    def _off(self) -> None:
        """Off, whatever there is; nobody need stand by after that."""
        place = look(self.docker, self.container)
        before = start_time(self.node)[0] if place.running and not place.half else None  # what is half need not be started anew
        if place.state != "off":
            with self._guarded():
                switch_off(self.docker, place, self.stop_timeout)
        if self.guardian is not None:
            self.guardian.release()
            self.guardian = None
        if place.state != "off":
            self._up(before, False)


def running_argv(container: Container) -> Sequence[str]:
    """The command line of the node's process; empty where it cannot be told."""
    try:
        return node_process(container).process.argv
    except SesamError:
        return ()


def available_memory(path: str = "/proc/meminfo") -> Optional[int]:
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def wish_of(params: Mapping[str, Any]) -> Wish:
    wish = Wish(params["state"], params["max_bytes"], params["duration"], params["recreate"], params["interrupt_pipes"], params["sweep"])
    if not SMALLEST <= wish.max_bytes <= LARGEST:
        raise SesamError("max_bytes must be %d to %d, not %d" % (SMALLEST, LARGEST, wish.max_bytes))
    if wish.max_bytes % os.sysconf("SC_PAGE_SIZE"):
        raise SesamError("max_bytes must be whole pages of %d bytes, as the kernel counts them, not %d" % (os.sysconf("SC_PAGE_SIZE"), wish.max_bytes))
    if not 0 <= wish.duration <= 86400:
        raise SesamError("duration must be 0 to 86400 seconds, not %g" % wish.duration)
    if not 1 <= params["timeout"] <= 3600 or not 0 <= params["settle"] <= 600 or not 1 <= params["stop_timeout"] <= 3600:
        raise SesamError("timeout and stop_timeout must be 1 to 3600 seconds, settle 0 to 600")
    longest = max(wish.duration if wish.state == "recorded" else 0.0, 0.0) + params["timeout"] + params["settle"] + params["stop_timeout"]
    if longest >= params["lock_expiry"]:
        raise SesamError("duration, timeout, settle and stop_timeout are %g seconds together; lock_expiry must be more than that" % longest)
    if params["dest"] and not os.path.isabs(params["dest"]):
        raise SesamError("dest must be an absolute path of a directory, not %r" % params["dest"])
    return wish


class ProfilerStore(Store):
    """The container of one run. What was put aside is on the engine, and its name tells the rest."""

    def __init__(self, params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.params, self.header = params, header
        self.name, self.stop_timeout = str(header["container"]), int(header["stop_timeout"])
        self.node = api_of(params, header)
        self.docker = Docker(str(header["docker_host"]), timeout=60.0 + self.stop_timeout)

    def close(self) -> None:
        self.docker.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        """What was cut off in the middle counts as done: only then is it taken back."""
        place = look(self.docker, self.name)
        return [(image_of_place(place, change), None) for change in changes]

    def guards(self, plan: Sequence[Change]) -> List[Refusal]:
        """What has no bound is the owner's own, and is only put back, never made."""
        unbounded = any((change.after or {}).get("profiler") and (change.after or {}).get("max_bytes") is None for change in plan)
        if not unbounded or look(self.docker, self.name).replaced:
            return []
        reason = "the container with the option in its owner's own command is gone from where it was put aside."
        return [Refusal("gone", reason, "have the owner make it anew.")]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        outcomes = []
        for change in changes:
            with guarded(self.params, self.docker, self.name, self.stop_timeout):
                self._move(change.after or OFF)
            wait_up(self.docker, self.name, self.node, None, float(self.header["timeout"]), float(self.header["settle"]))
            outcomes.append(Outcome(True))
        return outcomes

    def _move(self, wanted: Image) -> None:
        place = look(self.docker, self.name)
        if wanted["profiler"] and wanted["max_bytes"] is None:  # the owner's own, which was put aside
            back(self.docker, place, self.stop_timeout)
        elif wanted["profiler"]:
            argv = running_argv(container_of(place.current)) if place.current is not None else ()
            switch_on(self.docker, place, int(wanted["max_bytes"]), str(self.header["logs"]), argv, self.stop_timeout)
        else:
            self._take(place)
            switch_off(self.docker, place, self.stop_timeout)

    def _take(self, place: Place) -> None:
        """What was recorded goes with the container, so it is kept first."""
        bound = bound_of(place.current or {})
        if bound is None or place.current is None or not place.running or os.geteuid():
            return
        root = root_of(int(place.current["State"]["Pid"]))
        if usage(root, bound[1], bounded=True).files:
            collect(root, bound[1], run_directory(str(self.header["journal"]), "profiles"), bound[0])


def image_of_place(place: Place, change: Change) -> Optional[Image]:
    if change.action == "sweep" or place.half or not place.running:
        return change.after
    bound = bound_of(place.current or {})
    return on(bound[0] if bound else None) if place.option else OFF


STORES = {"sesam_api_profiler": ProfilerStore}

__all__ = ["STORES", "SUBJECT", "ApiProfiler", "ProfilerStore", "image_of_place"]
