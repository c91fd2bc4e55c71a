# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the pump of a pipe once with the profiler, waits for its end, and finds its files among those of others."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.docker import Docker
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.errors import Refusal, RunbookError
from ..procedure.undo import Store
from .api import Node, quote
from .container import find
from .errors import SesamError
from .folders import folder
from .profile_files import Profile, chosen, complete, is_of, listing, new_ones
from .profile_state import SUBJECT, ProfileState, Pump, PumpRun, diagnose, facts, failure_of, guards, newest_mark, plan, pump_of

_STEP = 0.5
_SETTLE = 1.0
"""Seconds for which a file must not have grown to count as whole."""
_LOG_ENTRIES = 100


class PumpProfile(Procedure[ProfileState]):
    """``pipe``."""

    name = "sesam_profile"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.pipe: str = params["pipe"]
        self.path = "/pipes/%s" % quote(self.pipe)
        self.if_running: str = params["if_running"]
        self.run_disabled: bool = params["run_disabled"]
        self.timeout: float = params["timeout"]
        self.max_age: float = params["max_age"]
        if not 1 <= self.timeout <= 86400:
            raise SesamError("timeout must be 1 to 86400 seconds, not %g" % self.timeout)
        if self.timeout >= params["lock_expiry"]:
            raise SesamError("timeout must be less than lock_expiry (%g seconds), else another remediation could begin meanwhile" % params["lock_expiry"])
        if self.max_age < 0:
            raise SesamError("max_age must be 0 or more seconds, not %g" % self.max_age)
        self.node = Node(params)
        self.run: Optional[PumpRun] = None
        self._folder: Optional[str] = None
        self._others: Optional[List[str]] = None
        self.seen: Optional[Pump] = None
        """The pump before it was started here, and below: the files, the end of the log, and the time."""
        self.before: Mapping[str, Profile] = {}
        self.mark, self.wall, self.started = 0, 0.0, 0.0

    def close(self) -> None:
        self.node.close()

    # -- looking -------------------------------------------------------------------------------------------------------

    def observe(self) -> ProfileState:
        pump = self.pump()
        where = self.folder()
        trouble = "" if os.access(where, os.R_OK | os.X_OK) else "the log folder %s cannot be read by this user." % where
        found = self._young(where) if self.max_age and not trouble and self.run is None else ()
        return ProfileState(pump, where, found, self.run, trouble)

    def pump(self) -> Pump:
        try:
            return pump_of(self.pipe, self.node.get(self.path, {"fields": "config,runtime"}))
        except SesamError as exc:
            if exc.kind == "not_found":
                raise SesamError("there is no pipe %s on this node; ids are case-sensitive: %s" % (self.pipe, exc.text), exc.kind, exc.status) from exc
            raise

    def folder(self) -> str:
        """The log folder as this machine has it."""
        if self._folder is None:
            if self.params["log_folder"]:
                self._folder = folder(None, "logs", self.params)
            else:
                docker = Docker(self.params["docker_host"])
                try:
                    self._folder = folder(find(docker, self.params["container"]), "logs", self.params)
                finally:
                    docker.close()
        return self._folder

    def others(self) -> List[str]:
        """Ids of other pipes in which this one's is contained: a file of theirs has this id in its name too."""
        if self._others is None:
            ids = (str(each.get("_id", "")) for each in self.node.stream("/pipes", {"fields": "runtime"}) if isinstance(each, dict))
            self._others = [each for each in ids if self.pipe in each and each != self.pipe]
        return self._others

    def own(self, where: str) -> Dict[str, Profile]:
        """Profiles of this pipe."""
        return {name: profile for name, profile in listing(where).items() if is_of(name, self.pipe, self.others())}

    def _young(self, where: str) -> Sequence[Profile]:
        since = time.time() - self.max_age
        now = {name: profile for name, profile in self.own(where).items() if profile.mtime >= since}
        names, _rest = chosen(sorted(now), now)
        return [now[name] for name in names] if complete(now, now, names) else ()

    def diagnose(self, state: ProfileState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: ProfileState) -> Mapping[str, Any]:
        return facts(state)

    def evidence(self, state: ProfileState) -> Mapping[str, Any]:
        return {"api_url": self.node.url, "log_folder": state.log_folder, "pipe": self.pipe}

    def plan(self, state: ProfileState) -> List[Change]:
        return plan(state)

    def guards(self, state: ProfileState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, plan, self.if_running, self.run_disabled)

    def context(self) -> Mapping[str, Any]:
        return {"pipe": self.pipe, "log_folder": self.folder()}

    # -- the run -------------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        began = time.monotonic()
        deadline = began + self.timeout
        note = self._start(deadline)
        if note:
            return [Outcome(False, note) for _change in changes]
        self._finish(deadline, self.started - began)
        return [Outcome(True) for _change in changes]

    def _start(self, deadline: float) -> str:
        """Start a run of our own; why there is none, if that is so."""
        where = self.folder()
        while True:
            if not self._idle(deadline):
                return "another run of pipe %s began since it was looked at: no profile, and that run is left alone" % self.pipe
            self.seen = self.pump()
            self.before, self.mark = self.own(where), self._mark()
            self.wall, self.started = time.time(), time.monotonic()
            reply = self.node.post_form(self.path + "/pump", {"operation": "start", "profiler": "true"}, accept=(409,))
            if reply.status != 409:
                return ""
            if self.if_running == "fail":
                return "pipe %s was started by somebody else in the same moment (409): no profile, and that run is left alone" % self.pipe
            self._pause(deadline, "the runs of somebody else")

    def _idle(self, deadline: float) -> bool:
        while self.pump().running:
            if self.if_running == "fail":
                return False
            self._pause(deadline, "the end of the run of somebody else")
        return True

    def _pause(self, deadline: float, what: str) -> None:
        if time.monotonic() + _STEP > deadline:
            raise RunbookError("pipe %s: waited %g s for %s, which goes on; nothing was started: timeout" % (self.pipe, self.timeout, what))
        time.sleep(_STEP)

    def _finish(self, deadline: float, waited: float) -> None:
        pump = self._ended(deadline)
        seconds = time.monotonic() - self.started
        names, others, now = self._written(deadline)
        reason = (self._reason() or pump.error) if pump.success is False else ""
        self.run = PumpRun(self.wall, seconds, [now[name] for name in names], pump.success, reason, others, max(0.0, waited))

    def _ended(self, deadline: float) -> Pump:
        """Wait until the run is over. A run without work may be over before it is ever seen running."""
        seen_running = False
        while True:
            pump = self.pump()
            seen_running = seen_running or pump.running
            if not pump.running and (seen_running or self.seen is None or pump.last_run != self.seen.last_run):
                return pump
            if not pump.running and self._whole(self.own(self.folder())):
                return pump
            if time.monotonic() + _STEP > deadline:
                text = "the run of pipe %s that was started with the profiler did not end within %g s. It goes on and is not stopped; its profiles come to %s"
                raise RunbookError(text % (self.pipe, self.timeout, self.folder()), run={"started": self.wall, "running": pump.running})
            time.sleep(_STEP)

    def _whole(self, now: Mapping[str, Profile]) -> bool:
        return complete(now, now, chosen(new_ones(self.before, now), now)[0])

    def _written(self, deadline: float) -> Tuple[List[str], List[str], Mapping[str, Profile]]:
        """Files of this run, whole; those that there are when the time is over. They are written when the run has ended."""
        last: Mapping[str, Profile] = {}
        deadline = max(deadline, time.monotonic() + 2 * _SETTLE)
        while True:
            now = self.own(self.folder())
            names, others = chosen(new_ones(self.before, now), now)
            if complete(last, now, names) or time.monotonic() + _SETTLE > deadline:
                return names, others, now
            last = now
            time.sleep(_SETTLE)

    def _log(self) -> List[Mapping[str, Any]]:
        """The end of the pipe's execution log, as far as the node gives it."""
        try:
            found = self.node.get(self.path + "/log", {"limit": _LOG_ENTRIES, "reverse": True})
        except SesamError:
            return []
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def _mark(self) -> int:
        return newest_mark(self._log())

    def _reason(self) -> str:
        return self.node.scrub(failure_of(self._log(), self.mark))


class ProfileStore(Store):
    """What a run moved is moved: nothing is taken back. Whether there was a run is told from the files that it left."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.pipe, self.log_folder, self.since = str(header["pipe"]), str(header["log_folder"]), float(header["started"])

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        names = [name for name, profile in listing(self.log_folder).items() if profile.mtime >= self.since - 1 and is_of(name, self.pipe)]
        return [({"profiled": bool(names)}, None) for _change in changes]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [Outcome(False, "a run cannot be taken back") for _change in changes]


STORES = {"sesam_profile": ProfileStore}

__all__ = ["STORES", "SUBJECT", "ProfileStore", "PumpProfile"]
