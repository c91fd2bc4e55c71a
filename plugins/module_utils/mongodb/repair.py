# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The procedure that brings a replica set back to a writable PRIMARY, and proves it by a write that a majority has acknowledged."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set

from ..connect.mongo import Mongo, MongoError
from ..procedure.check import Procedure
from ..procedure.envelope import Change, Finding, Outcome
from ..procedure.errors import Refusal, RunbookError
from . import repair_act, repair_guards, repair_plan, restart
from .conditions import judge
from .errors import MongodbError
from .info import RUNBOOK, findings
from .observation import Observation
from .peers import doubt, look, silence, split
from .probe import observe
from .repair_plan import MEMBER, NODE, PASSING, SET, RepairState, Wish, election_timeout
from .restart_plan import FILE, SERVICE

BEHIND = 60.0
"""Seconds that a member may be behind without being told."""
STOP = 60.0
"""Seconds that a server may take to stop, and to answer after its start, at least."""
STEADY = 5.0
"""Seconds after which a condition that does not end by itself is taken for what is so now."""
_ALONE = ("not_initiated", "removed", "standalone")
_RESTARTED = ("standalone", "standalone_on_replica_data", "wrong_set_name")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NAME = re.compile(r"[^\s/\\\"\x00]{1,100}")


class NotWritable(RunbookError):
    """What was to be done was done, and yet no write is acknowledged."""


class Repair(Procedure[RepairState]):
    """One server, and through it its set."""

    name = "mongodb_replica_set_repair"

    def __init__(self, params: Mapping[str, Any]) -> None:
        host, name = params["host"] or "", params["replica_set"] or ""
        if host and not (_HOST.fullmatch(host) and 0 < split(host)[1] < 65536):
            raise MongodbError("host must be HOST or HOST:PORT, as the set is to name this server, for example db.example:27017, not %r" % host)
        if name and not _NAME.fullmatch(name):
            raise MongodbError("replica_set must be the name of a replica set, for example rs0, not %r" % name)
        if not 0 <= params["wait"] < math.inf:
            raise MongodbError("wait must be 0 seconds or more, not %s" % params["wait"])
        if 2 * max(params["wait"], STOP) >= params.get("lock_expiry", math.inf):
            raise MongodbError("wait must be less than half of lock_expiry (%g s): the node's lock is not renewed meanwhile" % params["lock_expiry"])
        self.database: str = params["probe_database"]
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", self.database) or self.database in repair_act.SYSTEM:
            raise MongodbError("probe_database must be the name of a database of its own, not %r" % self.database)
        self.wish = Wish(host, name, params["stepped_down"], tuple(params["accept_data_loss"]))
        self.wait: float = params["wait"]
        self.mongo = Mongo(params)
        self.state: Optional[RepairState] = None
        """The last look before anything was changed."""
        self.made: Set[str] = set()
        self.since: Optional[float] = None
        """When it was first seen that nobody is PRIMARY."""

    def close(self) -> None:
        self.mongo.close()

    # -- looking -----------------------------------------------------------------------------------------------------------

    def observe(self) -> RepairState:
        if self.made:
            return self._until_writable()
        state = self._look()
        for _again in repair_act.pauses(self.wait):
            if not self._passes(state):
                break
            state = self._look()
        self.state = state
        self.wish = replace(self.wish, host=repair_act.with_port(self.wish.host, state.own_host))
        return state

    def _look(self) -> RepairState:
        seen = observe(self.mongo)
        state = RepairState(seen, judge(seen), made=frozenset(self.made))
        if state.condition in _ALONE:
            state = replace(state, own_host=self._asked(seen), collections=self._collections(state.condition))
        if state.condition == "removed" and len(state.members) == 1:
            peers = look(self.mongo, [state.members[0].host])
            state = replace(state, peers=peers, doubt=doubt(self.mongo, seen, peers))
        if state.condition in _RESTARTED:
            state = replace(state, runner=restart.find(self.mongo.host, self.mongo.port))
        if state.condition == "no_majority":
            peers = look(self.mongo, [row.host for row in state.members if not row.itself])
            state = replace(state, peers=peers, silence=silence(seen))
        return state

    def _asked(self, seen: Observation) -> str:
        return repair_act.own_host(self.mongo, seen.version)

    def _collections(self, condition: str) -> Optional[int]:
        if condition == "removed":
            return None
        return (repair_act.databases if condition == "standalone" else repair_act.collections)(self.mongo)

    def _passes(self, state: RepairState) -> bool:
        """Whether what is so ends by itself: waiting is safer than any repair."""
        if state.condition in PASSING or (state.condition == "not_initiated" and repair_act.has_configuration(self.mongo)):
            return True
        if state.condition == "stepped_down":
            return self.wish.stepped_down == "wait" or (len(state.members) > 1 and not self._elections_are_over(state))
        if state.condition != "no_majority":
            return False
        return state.seen.state == 1 or any(refusal.guard == "too_soon" for refusal in repair_guards.guards(state, self.wish))

    def _elections_are_over(self, state: RepairState) -> bool:
        """An election that is under way ends within twice the time that begins it."""
        self.since = time.monotonic() if self.since is None else self.since
        return time.monotonic() - self.since > 2 * election_timeout(state)

    def _until_writable(self) -> RepairState:
        """Until this server, or the primary of its set, has taken a write and a majority has it."""
        started = changed = time.monotonic()
        state, failure = self._look(), ""
        for _again in repair_act.pauses(self.wait):
            before, state = state, self._look()
            changed = changed if state.condition == before.condition else time.monotonic()
            if state.condition in ("healthy", "secondary"):
                try:
                    return replace(state, proven=self._prove(state, self.wait - (time.monotonic() - started)))
                except MongoError as exc:
                    failure = str(exc)
                    if exc.unauthorized:
                        break
            elif state.condition not in PASSING and state.condition != "stepped_down" and time.monotonic() - changed > STEADY:
                break
        raise NotWritable(self._not_writable(state, failure), seen=repair_plan.told(state))

    def _not_writable(self, state: RepairState, failure: str) -> str:
        text = "the repair was made, but no write was acknowledged by a majority within %g s: %s is %s: %s" % (
            self.wait,
            state.seen.address,
            state.condition,
            state.verdict.meaning,
        )
        if failure:
            return "%s. The write failed: %s" % (text, failure)
        left = repair_plan.plan(state, self.wish)
        return "%s. Run it again: %s" % (text, left[0].reason) if left else "%s. %s" % (text, state.verdict.remedy)

    def _prove(self, state: RepairState, left: float) -> str:
        if state.condition == "healthy":
            repair_act.prove(self.mongo, self.database, max(1.0, left))
            return self.mongo.address
        primary = str(state.verdict.detail["primary"])
        with self.mongo.at(*split(primary)) as other:
            repair_act.prove(other, self.database, max(1.0, left))
        return primary

    # -- deciding ----------------------------------------------------------------------------------------------------------

    def plan(self, state: RepairState) -> List[Change]:
        return repair_plan.plan(state, self.wish)

    def guards(self, state: RepairState, plan: Sequence[Change]) -> List[Refusal]:
        return repair_guards.guards(state, self.wish)

    def batches(self, plan: Sequence[Change]) -> Iterator[Sequence[Change]]:
        """Members are dropped in one stroke; everything else goes step by step."""
        dropped = [change for change in plan if change.action == "drop_member"]
        if dropped:
            yield dropped
        for change in plan:
            if change.action != "drop_member":
                yield [change]

    def diagnose(self, state: RepairState) -> List[Finding]:
        subject = state.seen.address
        found = findings(state.seen, state.verdict, BEHIND)
        if state.doubt:
            text = "the data of %s may not be the newest of %s: %s" % (subject, state.stored_set, state.doubt)
            found.append(Finding("mongodb.replica_set.doubtful", "warning", subject, text, {}, None, RUNBOOK))
        if state.proven:
            text = "a write to %s at %s was acknowledged by a majority, and taken away again" % (self.database, state.proven)
            found.append(Finding("mongodb.write.acknowledged", "ok", subject, text, {"at": state.proven, "database": self.database}, None, RUNBOOK))
        return found

    def facts(self, state: RepairState) -> Mapping[str, Any]:
        return {"replica_set": repair_plan.told(state)}

    def evidence(self, state: RepairState) -> Mapping[str, Any]:
        return {
            "version": state.seen.version,
            "codes": {"status": state.seen.status_code, "config": state.seen.config_code, "stored": state.seen.stored_code},
            "peers": [
                {"host": peer.host, "listening": peer.listening, "state": peer.state, "condition": peer.condition, "why": peer.why} for peer in state.peers
            ],
        }

    def context(self) -> Mapping[str, Any]:
        """With the configuration as it was. It holds no secrets."""
        seen = self.state.seen if self.state else None
        known: Dict[str, Any] = {"login_host": self.mongo.host, "login_port": self.mongo.port, "wait": self.wait}
        return dict(known, configuration=(seen.config or seen.stored or None) if seen else None)

    # -- acting ------------------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        outcomes = self._apply(changes)
        self.made.update(change.subject for change, outcome in zip(changes, outcomes) if outcome.done)
        return outcomes

    def _apply(self, changes: Sequence[Change]) -> List[Outcome]:
        state, change = self.state, changes[0]
        if state is None:
            raise MongodbError("nothing was looked at")
        if change.subject.startswith(MEMBER):
            return repair_act.drop(self.mongo, changes, [row.host for row in state.members])
        if change.subject.startswith(FILE):
            return [restart.edit(change)]
        if change.subject.startswith(SERVICE):
            return [self._restart(state)]
        if change.subject.startswith(SET):
            return [repair_act.initiate(self.mongo, change, self.wait) if change.action == "initiate" else repair_act.correct_host(self.mongo, change)]
        if change.subject.startswith(NODE) and change.action == "leave_maintenance":
            return [repair_act.leave_maintenance(self.mongo, len(state.members) == 1)]
        return [repair_act.lift_step_down(self.mongo)]

    def _restart(self, state: RepairState) -> Outcome:
        if state.runner is None:
            raise MongodbError("nothing is known of what runs the server")
        restart.restart(state.runner, max(self.wait, STOP))
        self.mongo.close()
        for _again in repair_act.pauses(max(self.wait, STOP)):
            if not observe(self.mongo).unreachable:
                return Outcome(True)
        raise NotWritable("%s was started again with --replSet and does not answer; its log tells why" % state.runner.unit)
