# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Destroy domains: all at the same time, by UUID, each waited for, and those that will not die told from the others.

The domains of a plan are one batch, which is not all or nothing: each is destroyed by itself, so that one that hangs delays no other. What a run that was
cut off has done is told by looking at each domain.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..connect.libvirt import Libvirt, LibvirtAway, together
from ..connect.procfs import Process, read_process
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Image, Outcome
from ..procedure.evidence import place
from ..procedure.journal import Journal
from ..procedure.undo import Store
from . import evidence
from .argspec import seconds
from .destroy_plan import DestroyState, Wish, diagnose, failure, plan, spared, targets
from .domains import Domain, DomainsState, read_domains
from .errors import VirtualError
from .kinds import Kinds

ANSWER = 30.0
"""Seconds for an answer of the daemon that is no matter of a domain's death."""
_SHORT = 5.0
"""The same, when it is known to be waiting for a process."""
_WORKERS = 10
_PAUSE = 0.1
_LEAST_WAIT = 2.0
"""Seconds that a process is given at least to be gone after libvirt says so."""


class Destroy(Procedure[DestroyState]):
    name = "libvirt_domain_destroy"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.kinds = Kinds.of(params)
        self.wish = Wish.of(params)
        self.uri: str = params["uri"]
        self.timeout = seconds("timeout", params["timeout"])
        self.libvirt = Libvirt(self.uri, ANSWER, readonly=False)
        self.kept = place(Journal(params["journal_dir"]).directory)
        self.planned: Dict[str, Domain] = {}
        self.seen: Sequence[Domain] = ()
        self.gone: List[str] = []
        self.late = False
        self.survivors: Dict[str, str] = {}
        self.lingering: Dict[str, int] = {}
        self.done = 0

    def close(self) -> None:
        self.libvirt.close()

    def observe(self) -> DestroyState:
        self.seen = self._as_left() if self.late else read_domains(self.libvirt, self.kinds)
        return DestroyState(DomainsState(self.seen, {}), dict(self.survivors), dict(self.lingering))

    def _as_left(self) -> List[Domain]:
        """While libvirt waits for a process to go, it does not even list its domains; then it is told what came of each, by libvirt's own answers."""
        libvirt = Libvirt(self.uri, _SHORT)
        try:
            return read_domains(libvirt, self.kinds)
        except LibvirtAway:
            left = [domain for domain in self.seen if domain.uuid not in self.gone or domain.persistent]
            return [replace(domain, active=False, state="shut off", id=None) if domain.uuid in self.gone else domain for domain in left]
        finally:
            libvirt.close()

    def diagnose(self, state: DestroyState) -> List[Finding]:
        return diagnose(state, self.wish)

    def plan(self, state: DestroyState) -> List[Change]:
        """After the attempt, one that did not die is no plan but a failure."""
        if state.survivors or state.lingering:
            raise VirtualError(failure(state, self.done))
        self.planned = {domain.uuid: domain for domain in targets(state.domains, self.wish)}
        return plan(state.domains, self.wish)

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        yield plan

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        domains = [self.planned[_uuid(change)] for change in changes]
        evidence.keep(self.kept, domains)
        deadline = time.monotonic() + self.timeout
        answers = together({domain.uuid: partial(self._destroy, domain.uuid, deadline) for domain in domains}, _WORKERS, self.timeout)
        self.late = any(_unanswered(answers.get(domain.uuid)) for domain in domains)
        certain = all(answer is True for answer in answers.values())
        running = set(self.planned) if self.late else set() if certain else self._running()
        outcomes = [self._outcome(domain, answers.get(domain.uuid), domain.uuid in running) for domain in domains]
        self.gone = [domain.uuid for domain, outcome in zip(domains, outcomes) if outcome.done]
        self._wait_for_processes([domain for domain, outcome in zip(domains, outcomes) if outcome.done], deadline)
        self.done = sum(outcome.done for outcome in outcomes) - len(self.lingering)
        return outcomes

    def _destroy(self, uuid: str, deadline: float) -> bool:
        """On a connection of its own: the daemon works on few calls of one connection at the same time."""
        left = max(0.5, deadline - time.monotonic())
        libvirt = Libvirt(self.uri, left, readonly=False)
        try:
            return libvirt.destroy(uuid, left)
        finally:
            libvirt.close()

    def _running(self) -> set[str]:
        return {row["uuid"] for row in self.libvirt.domains() if row["active"]}

    def _outcome(self, domain: Domain, answer: Any, runs: bool) -> Outcome:
        if answer is True or (isinstance(answer, Exception) and not runs):
            return Outcome(True)
        if answer is False:
            return Outcome(False, "it ended by itself meanwhile")
        late = "libvirt was not done within %g seconds, and goes on trying" % self.timeout
        self.survivors[domain.name] = why = late if _unanswered(answer) else str(answer)
        return Outcome(False, "it will not die: %s" % why)

    def _wait_for_processes(self, domains: Sequence[Domain], deadline: float) -> None:
        """libvirt gives up on a process that does not go, and calls its domain destroyed all the same."""
        left = {domain.name: domain.process for domain in domains if domain.process is not None}
        limit = max(deadline, time.monotonic() + _LEAST_WAIT)
        while True:
            left = {name: process for name, process in left.items() if _alive(process)}
            if not left or time.monotonic() > limit:
                break
            time.sleep(_PAUSE)
        self.lingering = {name: process.pid for name, process in left.items()}

    def facts(self, state: DestroyState) -> Mapping[str, Any]:
        return {
            "domains": [domain.to_dict() for domain in targets(state.domains, self.wish)],
            "spared": [domain.name for domain in spared(state.domains, self.wish)],
            "survivors": sorted({*state.survivors, *state.lingering}),
        }

    def evidence(self, state: DestroyState) -> Mapping[str, Any]:
        return {"uri": self.uri, "xml": self.kept if self.done or self.survivors else None}

    def context(self) -> Mapping[str, Any]:
        """Where the XML lies, and what became of which: transient ones are gone, persistent ones can be started."""
        domains = sorted(self.planned.values(), key=lambda domain: domain.name)
        transient = [domain.name for domain in domains if not domain.persistent]
        return {"uri": self.uri, "xml": self.kept, "transient": transient, "persistent": [domain.name for domain in domains if domain.persistent]}


def _uuid(change: Change) -> str:
    return str((change.before or {})["uuid"])


def _unanswered(answer: Any) -> bool:
    """Not in time."""
    return answer is None or (isinstance(answer, LibvirtAway) and answer.code is None)


def _alive(process: Process) -> bool:
    """The same process, by its start."""
    now = read_process(process.pid)
    return now is not None and now.start == process.start


class DomainStore(Store):
    """Reads domains; what a destroy has taken does not come back, and the plan has said so."""

    def __init__(self, _params: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        self.libvirt = Libvirt(str(header["uri"]), ANSWER)

    def close(self) -> None:
        self.libvirt.close()

    def read(self, changes: Sequence[Change]) -> List[Tuple[Optional[Image], Any]]:
        rows = {row["uuid"]: row for row in self.libvirt.domains()}
        return [(_now(change, rows.get(_uuid(change))), None) for change in changes]

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        raise VirtualError("a domain that was destroyed cannot be given back; virsh start or virsh create starts it anew")


def _now(change: Change, row: Optional[Mapping[str, Any]]) -> Optional[Image]:
    """The kind is what the run took it for."""
    return None if row is None else dict(change.before or {}, name=row["name"], persistent=row["persistent"], active=row["active"])
