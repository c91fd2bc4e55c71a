# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedure that restarts, starts or stops services."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from ..connect.service import Service, ServiceError
from ..connect.services import manager_of
from ..connect.signals import Interrupted, interruptible
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.errors import JournalError, Refusal, RunbookError
from ..procedure.journal import Journal
from .restart import UP, RestartState, Seen, diagnose, guards, plan, problems, subject
from .restart_act import Steward, Trouble, Up
from .restart_evidence import keep
from .restart_options import read_wish

_FAILURES = (Trouble, ServiceError, OSError)
_ASK_TIMEOUT = 10.0


class ServiceRestart(Procedure[RestartState]):
    """Stops what is to be stopped, starts what is to be started, and looks whether it holds."""

    name = "service_restart"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wish = read_wish(params)
        self.lock_expiry: float = params["lock_expiry"]
        self.journal = Journal(params["journal_dir"])
        self.steward = Steward(manager_of(self.wish.manager), self.wish.force_kill)
        self.first: Optional[RestartState] = None
        self.kept: Optional[str] = None
        self.made: Dict[str, str] = {}
        """What this run has dealt with, and what it had to kill for that."""

        self.ups: List[Up] = []
        self.failures: List[str] = []

    # -- the left half -------------------------------------------------------------------------------------------------

    def observe(self) -> RestartState:
        wish = self.wish
        state = self.steward.look(wish.specs, wish.state != "started", wish.state != "stopped", wish.defaults)
        if self.first is None:
            if wish.policy == "unhealthy":
                state = self.steward.watch(state)
            self.first = state
        else:
            state = self._with_dependents(state)
        seen = tuple(replace(each, killed=self.made.get(each.id, "")) for each in state.seen)
        return replace(state, seen=seen, made=frozenset(self.made))

    def _with_dependents(self, state: RestartState) -> RestartState:
        """Those that were part of the plan are looked at again, although they are down by now, or nobody's dependents."""
        now = {seen.id for seen in state.seen}
        gone = [seen for seen in self._known().values() if seen.because_of and seen.id in self.made and seen.id not in now]
        again = self.steward.look([seen.spec for seen in gone], False, self.wish.state != "stopped", self.wish.defaults).seen if gone else ()
        found = tuple(replace(seen, because_of=old.because_of) for seen, old in zip(again, gone))
        return replace(state, seen=state.seen + found)

    def diagnose(self, state: RestartState) -> List[Finding]:
        return diagnose(state, self.wish)

    def plan(self, state: RestartState) -> List[Change]:
        return plan(state, self.wish)

    def guards(self, state: RestartState, plan: Sequence[Change]) -> List[Refusal]:
        return guards(state, self.wish, plan, self.lock_expiry)

    def facts(self, state: RestartState) -> Mapping[str, Any]:
        before = self._known()
        return {"services": [dict(_row(seen), previous=_shown(before[seen.id].service) if seen.id in before else None) for seen in state.seen]}

    def evidence(self, state: RestartState) -> Mapping[str, Any]:
        return {"directory": self.kept, "manager": self.steward.manager.name}

    def context(self) -> Mapping[str, Any]:
        """What an undo needs to steer the same services in the same way."""
        specs = {seen.id: seen.spec.kept() for seen in self._known().values()}
        return {"manager": self.steward.manager.name, "services": specs, "force_kill": self.wish.force_kill}

    def _known(self) -> Dict[str, Seen]:
        return {seen.id: seen for seen in (self.first.seen if self.first else ())}

    # -- the right half ------------------------------------------------------------------------------------------------

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Restarts are one batch: all are stopped before the first is started. What goes wrong is told when it is journaled."""
        self._keep_evidence(plan)
        for batch in [plan] if self.wish.state == "restarted" else [[change] for change in plan]:
            yield batch
            self._tell(plan)
        bad = self.steward.settle(self.ups)
        self.failures += list(bad.values())
        self._tell(plan)

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        known = {subject(id_): seen for id_, seen in self._known().items()}
        wanted = [(change, known[change.subject]) for change in changes]
        downs: Dict[str, str] = {}
        with interruptible():
            stopping = [seen for change, seen in reversed(wanted) if change.action != "start"]
            whole = self._stop_all(stopping, downs)
            if self.wish.state == "stopped":
                return [self._stopped(seen, downs) for _change, seen in wanted]
            # What was stopped is started whatever happened; what was down is started only when all went well so far.
            for seen in stopping:
                if seen.word == UP and downs.get(seen.id) == "":
                    downs[seen.id] = self._take_back(seen)
            starting = [seen for change, seen in wanted if whole or (change.action == "restart" and seen.word == UP and seen.id in downs)]
            ups = self._start_all([seen for seen in starting if seen.id in self.made or whole])
        return [self._outcome(seen, downs, ups, whole) for _change, seen in wanted]

    def _take_back(self, seen: Seen) -> str:
        """It was asked to stop and did not. Its manager starts it when it ends after all; that is not waited for."""
        failure = self.steward.ask("start", seen, _ASK_TIMEOUT)
        again = "could not be asked to start again: %s" % failure if failure else "was asked to start again when it has ended"
        self.failures.append("%s %s" % (seen.id, again))
        return "asked to stop, did not, and " + again

    def _stop_all(self, seen: Sequence[Seen], downs: Dict[str, str]) -> bool:
        """Stop them in this order, until one fails. ``downs`` gets what was asked to stop, and how that went."""
        for each in seen:
            downs[each.id] = ""
            try:
                downs[each.id], self.made[each.id] = self.steward.stop(each)
            except (*_FAILURES, Interrupted) as exc:
                self.failures.append(str(exc))
                return False
        return True

    def _start_all(self, seen: Sequence[Seen]) -> Dict[str, Up]:
        """Start them in this order; one that does not come up does not keep the others down."""
        ups: Dict[str, Up] = {}
        for each in seen:
            try:
                ups[each.id] = self.steward.start(each)
            except _FAILURES as exc:
                self.failures.append(str(exc))
            except Interrupted as exc:  # once; from here on signals are ignored
                self.failures.append("%s while %s was started" % (exc, each.id))
            self.made.setdefault(each.id, "")
        self.ups += list(ups.values())
        return ups

    def _stopped(self, seen: Seen, downs: Mapping[str, str]) -> Outcome:
        note = downs.get(seen.id, "")
        return Outcome(bool(note), note or "it is not down: %s" % "; ".join(self.failures))

    def _outcome(self, seen: Seen, downs: Mapping[str, str], ups: Mapping[str, Up], whole: bool) -> Outcome:
        went = "%s%s" % ("main process %d " % seen.service.main_pid if seen.service.main_pid else "", downs[seen.id]) if downs.get(seen.id) else ""
        up = ups.get(seen.id)
        if up is not None:
            process = "main process %d" % up.service.main_pid if up.service.main_pid else "it"
            return Outcome(True, "; ".join(filter(None, [went, "%s is up since %s" % (process, _utc(up.service.since) or "now")])))
        if seen.id not in downs and not whole:
            return Outcome(False, "left as it was, because another service could not be stopped")
        # What became of it is a change, though not the one that was planned.
        word = self.steward.word(seen)
        missed = "it did not come up%s" % (" again" if went else "") if seen.id in self.made else ""
        return Outcome(bool(went) or word != seen.word, "; ".join(filter(None, [went, missed])), {"active": word})

    def _keep_evidence(self, plan: Sequence[Change]) -> None:
        planned = {change.subject for change in plan}
        if self.wish.evidence:
            self.kept = keep(self.journal.directory, [seen for id_, seen in self._known().items() if subject(id_) in planned], self.wish.log_files)

    def _tell(self, plan: Sequence[Change]) -> None:
        """Raise what went wrong, with what is up and what is down now."""
        if not self.failures:
            return
        text = ". ".join(self.failures)
        try:
            state = self.observe()
        except (ServiceError, JournalError, OSError) as exc:
            raise RunbookError("%s. What is up now cannot be told: %s" % (text, exc)) from exc
        planned = {change.subject for change in plan}
        words: Dict[str, List[str]] = {}
        for seen in state.seen:
            if subject(seen.id) in planned:
                words.setdefault(_standing(seen), []).append(seen.id)
        text += "".join(". %s: %s" % (word, ", ".join(ids)) for word, ids in sorted(words.items(), reverse=True))
        if self.kept:
            text += ". The state before was kept in %s" % self.kept
        detail = dict(self.facts(state), findings=[finding.to_dict() for finding in self.diagnose(state)], evidence=self.evidence(state))
        raise RunbookError(text + ".", **detail)


def _standing(seen: Seen) -> str:
    wrong = problems(seen)
    if not wrong:
        return "Up"
    return "Down" if seen.word != UP else "Not well (%s)" % ", ".join(code for code, _text in wrong)


def _row(seen: Seen) -> Dict[str, Any]:
    wrong = [text for _code, text in problems(seen)] if seen.service.known else ["is unknown"]
    return dict(_shown(seen.service), name=seen.spec.name, id=seen.id, manager=seen.service.manager, healthy=not wrong, problems=wrong)


def _shown(service: Service) -> Dict[str, Any]:
    return {
        "active": service.active,
        "sub": service.sub,
        "main_pid": service.main_pid,
        "since": _utc(service.since),
        "restarts": service.restarts,
        "result": service.result,
    }


def _utc(seconds: Optional[float]) -> Optional[str]:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None
