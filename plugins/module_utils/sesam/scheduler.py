# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the scheduler of a node off and on: one key of its metadata, or of the file that it reads when it starts."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ..connect.docker import Docker, DockerError
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.errors import Refusal
from ..procedure.journal import Journal
from . import scheduler_findings, scheduler_state
from .api import Node
from .config_saved import HEADER, Saved, name_of
from .container import Container, find
from .errors import SesamError
from .folders import folder
from .metadata import NODE, compare, digest
from .published import elsewhere
from .restart_evidence import kept
from .scheduler_memory import KEY, SCHEDULER, remember
from .scheduler_node import read_metadata, token_of, write_switch
from .scheduler_restart import keep_before, last_start, lock_refusals, restart_node
from .scheduler_state import METADATA, OPTIONS_FILE, PUMP, RESTART, SchedulerState, Wanted, file_after, uses_file
from .scheduler_watch import await_idle, await_ready, read_pumps, stop, watch
from .startup_options import Options, read_options, write_options

AWAY = ("unreachable", "timeout", "unavailable")
"""Kinds of errors with which the API does not answer, for whatever reason."""


def is_away(exc: SesamError) -> bool:
    """A name that nobody knows is a wrong ``api_url``, and says nothing of the node, which would be restarted for it."""
    return exc.kind in AWAY and exc.cause != "dns"


class Scheduler(Procedure[SchedulerState]):
    """``state: disabled`` and ``state: enabled``."""

    name = SCHEDULER

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        for name, most in (("timeout", 86400.0), ("settle", 3600.0)):
            if not (math.isfinite(params[name]) and 0 <= params[name] <= most):
                raise SesamError("%s must be 0 to %g seconds, not %s" % (name, most, params[name]))
        off = params["state"] == "disabled"
        self.wanted = Wanted(off, params["method"], params["key"], params["running"], params["restart"], params["take_over"])
        self.timeout: float = params["timeout"]
        self.node = Node(params)
        self.docker = Docker(params["docker_host"])
        self.saved = Saved(params["journal_dir"])
        self.first: Optional[SchedulerState] = None
        self.kept: List[bytes] = []
        self.began = time.time()
        self.directory: Optional[str] = None
        """Where the state before a restart is."""
        self.skipped = ""
        """Why the file was not written: then there is nothing to restart for."""

    def close(self) -> None:
        self.node.close()
        self.docker.close()

    def observe(self) -> SchedulerState:
        state = self._ask()
        if state.away and self.first is not None and not self.first.away:
            raise SesamError("what was changed cannot be seen, since the API does not answer any more: %s" % state.away, kind="unavailable")
        if self.first is None and state.away and self.wanted.method == "auto":
            self._check_address(state.away)
            self.wanted = replace(self.wanted, method="startup_options")  # also when it answers again, after the restart
        state = self._look(state)
        subjects = [state.metadata_subject, *([state.file_subject] if state.options is not None else [])]
        state = replace(state, memory=remember(Journal(self.params["journal_dir"]), self.wanted.key, subjects))
        if self.first is None:
            self.first = state
            self._prepare(state)
        elif not (state.away or self.first.away):
            state = replace(state, comparison=compare(self.first.others, state.others))
        return self._settle(state)

    def diagnose(self, state: SchedulerState) -> List[Finding]:
        return scheduler_findings.diagnose(state, self.wanted)

    def plan(self, state: SchedulerState) -> List[Change]:
        token = token_of(state.entity)
        return [replace(change, token=token if change.subject == state.metadata_subject else None) for change in scheduler_state.plan(state, self.wanted)]

    def guards(self, state: SchedulerState, plan: Sequence[Change]) -> List[Refusal]:
        longest = self.timeout * (2 if self.wanted.running == "wait" else 1) + self.params["settle"]
        return scheduler_state.guards(state, self.wanted, plan) + (lock_refusals(longest, self.params["lock_expiry"]) if plan else [])

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """What is to be replaced is saved before the first change is journaled, and so is what a restart ends."""
        self.saved.sweep([self.saved.keep(data) for data in self.kept])
        for change in plan:
            if change.subject.startswith(RESTART):
                self.directory = keep_before(self.params["journal_dir"], self.docker, self.node, change.subject[len(RESTART) :], self.params)
        for change in plan:
            yield [change]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        return [self._apply(change) for change in changes]

    def facts(self, state: SchedulerState) -> Mapping[str, Any]:
        return {
            "scheduler": scheduler_state.told(state),
            "running": [pump.id for pump in state.running],
            "comparison": state.comparison.to_dict() if state.comparison is not None else None,
            "proof": state.proof.to_dict() if state.proof is not None else None,
        }

    def evidence(self, state: SchedulerState) -> Mapping[str, Any]:
        found: Dict[str, Any] = {"api_url": self.node.url, "away": state.away, "container": state.container, "started_at": state.started_at}
        found.update(data_folder=state.options.folder if state.options is not None else None, unseen=state.unseen, others=len(state.others))
        return dict(found, directory=self.directory, files=kept(self.directory))

    def context(self) -> Mapping[str, Any]:
        state = self.first or SchedulerState(self.node.url)
        known = {name: self.params[name] for name in ("api_url", "ca_cert", "validate_certs", "request_timeout", "docker_host", "log_folder")}
        data_folder = state.options.folder if state.options is not None else None
        names = [name_of(data) for data in self.kept]
        return dict(
            known,
            **{KEY: self.wanted.key, HEADER: names},
            data_folder=data_folder,
            container=state.container,
            timeout=self.timeout,
            settle=self.params["settle"],
        )

    # -- looking ---------------------------------------------------------------------------------------------------------

    def _ask(self) -> SchedulerState:
        """What the API says."""
        try:
            via, entity = read_metadata(self.node)
            others = {str(each.get("_id")): digest(each) for each in self.node.stream("config") if isinstance(each, Mapping) and each.get("_id") != NODE}
            return SchedulerState(self.node.url, via=via, entity=entity, others=others, pumps=read_pumps(self.node))
        except SesamError as exc:
            if self.wanted.method == "metadata" or (self.wanted.method == "auto" and not is_away(exc)):
                raise
            return SchedulerState(self.node.url, away=exc.text)

    def _check_address(self, away: str) -> None:
        """A node that answers elsewhere is not down, and needs neither the file nor a restart."""
        found = elsewhere(self.docker, self.params["container"], self.node)
        if found:
            text = "api_url: %s. The node's container runs, and its API answers at %s: give that, or pass method: startup_options. Nothing was changed"
            raise SesamError(text % (away, found))

    def _look(self, state: SchedulerState) -> SchedulerState:
        """What the data folder says; where nothing is done with it, it may be out of sight."""
        needed = self.wanted.method == "startup_options"
        try:
            container = self._container(needed)
            options = read_options(folder(container, "data", self.params))
            if options.data is not None:
                options.image(self.wanted.key)  # which reads it
        except (SesamError, DockerError) as exc:
            if needed:
                why = "the API does not answer (%s), and " % state.away if state.away else ""
                raise SesamError("%sstartup_options.json is out of reach: %s" % (why, exc), kind="not_found") from exc
            return replace(state, unseen=str(exc))
        since = last_start(container, None if state.away else self.node)
        return replace(state, options=options, container=container.name if container is not None else "", started_at=since)

    def _container(self, needed: bool) -> Optional[Container]:
        try:
            return find(self.docker, self.params["container"])
        except (SesamError, DockerError):
            if self.params["data_folder"] and not (needed and self.wanted.restart):
                return None
            raise

    def _prepare(self, state: SchedulerState) -> None:
        """The file as it is and as it will be, for an undo, and for the undo of that."""
        if uses_file(state, self.wanted) and state.options is not None and state.file_off(self.wanted.key) != self.wanted.off:
            self.kept = [data for data in (state.options.data, file_after(state, self.wanted)) if data is not None]

    def _settle(self, state: SchedulerState) -> SchedulerState:
        """With the scheduler off: wait for what runs if that is wanted, and see that nothing starts."""
        if state.away or not self.wanted.off or self.wanted.key not in state.off_by():
            return state
        if self.wanted.running == "wait":
            left = await_idle(self.node, self.timeout)
            if left:
                raise SesamError(scheduler_findings.still_at_work(left, read_pumps(self.node), self.timeout), kind="timeout")
        planned = self.first.pumps if self.first is not None else ()
        proof = watch(self.node, self.params["settle"], planned, self.began) if self.params["settle"] else None
        return replace(state, proof=proof, pumps=read_pumps(self.node))

    # -- acting ----------------------------------------------------------------------------------------------------------

    def _apply(self, change: Change) -> Outcome:
        subject = change.subject
        if subject.startswith(METADATA):
            outcome = write_switch(self.node, change.token, self.wanted.key, change.after or {})
            await_ready(self.node, self.timeout)
            return outcome
        if subject.startswith(OPTIONS_FILE):
            outcome = self._write_file(self.first)
            self.skipped = outcome.note
            return outcome
        if subject.startswith(RESTART):
            if self.skipped:
                return Outcome(False, self.skipped)
            restart_node(self.docker, self.node, subject[len(RESTART) :], self.timeout, self.params["settle"])
            return Outcome(True)
        note = stop(self.node, subject[len(PUMP) :], self.timeout)
        return Outcome(not note, note)

    def _write_file(self, state: Optional[SchedulerState]) -> Outcome:
        options: Optional[Options] = state.options if state is not None else None
        if state is None or options is None:
            raise SesamError("the data folder was not looked at")
        return write_options(options.folder, options.version, file_after(state, self.wanted))
