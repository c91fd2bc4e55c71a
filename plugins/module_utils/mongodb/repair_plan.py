# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a server says to what brings its set back to a writable PRIMARY. Pure: no I/O.

Images name members and states only. Versions and terms are not in them: a forced configuration makes the version jump at random, and
a plan that somebody has approved must still be the same plan a minute later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Tuple

from ..procedure.envelope import Change, Image
from . import restart_plan
from .conditions import Verdict
from .observation import Member, Observation, members
from .restart_plan import Runner

SET, NODE, MEMBER = "replica_set:", "mongodb:", "member:"
ELECTION_TIMEOUT = 10.0
PASSING = ("starting", "rollback")
"""What ends by itself."""
DONE = ("healthy", "secondary", "arbiter")


@dataclass(frozen=True)
class Wish:
    """What was asked for."""

    host: str = ""
    """HOST:PORT by which the set is to name this server; empty for what it calls itself."""
    replica_set: str = ""
    stepped_down: str = "lift"
    accepted: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Peer:
    """Another member, asked directly from this node."""

    host: str
    listening: bool
    """Something takes connections at its address, whether it answers or not."""
    why: str = ""
    """Why it could not be asked."""
    answered: bool = False
    condition: str = ""
    state: Optional[int] = None
    optime: Optional[Tuple[int, int, int]] = None
    primary: str = ""
    """Who is PRIMARY in its eyes, itself among them."""
    set_name: str = ""


@dataclass(frozen=True)
class RepairState:
    """Everything that a repair is decided by."""

    seen: Observation
    verdict: Verdict
    own_host: str = ""
    """HOST:PORT by which the server would name itself; empty where it does not tell."""
    collections: Optional[int] = None
    """Collections of users in a server without a configuration; None where that cannot be counted."""
    peers: Tuple[Peer, ...] = ()
    silence: Mapping[str, float] = field(default_factory=dict)
    """Seconds since this server last heard of a member, by its host."""
    doubt: str = ""
    """Why the data here may not be the newest of the set, where the one member of it is another address."""
    runner: Optional[Runner] = None
    made: FrozenSet[str] = frozenset()
    """Subjects that this run has dealt with."""
    proven: str = ""
    """The server at which a write was acknowledged by a majority."""

    @property
    def condition(self) -> str:
        return self.verdict.condition

    @property
    def members(self) -> List[Member]:
        return members(self.seen)

    @property
    def stored_set(self) -> str:
        return str((self.seen.config or self.seen.stored).get("_id") or "")


def host_of(state: RepairState, wish: Wish) -> str:
    return wish.host or state.own_host


def name_of(state: RepairState, wish: Wish) -> str:
    """The name that the set has, or is to have."""
    return state.stored_set or state.seen.command_line_set or wish.replica_set


def plan(state: RepairState, wish: Wish) -> List[Change]:
    """What is to be done, in its order. Nothing where nothing is wrong, and where nothing can be done."""
    make = _PLANS.get(state.condition)
    return make(state, wish) if make else []


def _initiate(state: RepairState, wish: Wish) -> List[Change]:
    host, name = host_of(state, wish), name_of(state, wish)
    if not host or not name:
        return []
    loss = "" if state.collections == 0 else what_others_have(state, name)
    reason = "no configuration exists, and this server becomes the one member of %s as %s" % (name, host)
    return [Change("initiate", SET + name, None, {"hosts": [host]}, reason, reversible=False, data_loss=loss)]


def what_others_have(state: RepairState, name: str) -> str:
    """What is lost if the data here are not the right ones."""
    return "data of %s that %s does not have" % (name, state.seen.address)


def _correct_host(state: RepairState, wish: Wish) -> List[Change]:
    rows, host = state.members, host_of(state, wish)
    if len(rows) != 1 or not host or rows[0].host == host or not set_is_known(state, wish) or copy_of(state):
        return []
    reason = "the only member is configured as %s, which is not this server any more; it is %s" % (rows[0].host, host)
    loss = what_others_have(state, state.stored_set) if state.doubt else ""
    images: List[Image] = [{"hosts": [rows[0].host]}, {"hosts": [host]}]
    return [Change("correct_host", SET + state.stored_set, images[0], images[1], reason, reversible=False, data_loss=loss)]


def copy_of(state: RepairState) -> Optional[Peer]:
    """Another server that is the one member of the set, and is there. The server itself would have no state to tell, asked by that name."""
    return next((peer for peer in state.peers if peer.answered and peer.set_name == state.stored_set), None)


def set_is_known(state: RepairState, wish: Wish) -> bool:
    """Whether it was started under the name that its data have; where it may not be asked, the operator says so."""
    given = state.seen.command_line_set
    return (wish.replica_set if given is None else given) == state.stored_set


def _lift(state: RepairState, wish: Wish) -> List[Change]:
    if wish.stepped_down == "wait":
        return []
    reason = "it is SECONDARY and nobody is PRIMARY, though a majority is alive"
    return [Change("lift_step_down", NODE + state.seen.address, {"state": "SECONDARY"}, {"state": "PRIMARY"}, reason, reversible=False)]


def _leave_maintenance(state: RepairState, _wish: Wish) -> List[Change]:
    count = next((row.maintenance for row in state.members if row.itself), 0)
    reason = "it was put in maintenance mode %d time%s" % (count, "" if count == 1 else "s")
    if len(state.members) == 1:
        reason += "; a step-down of before is lifted as well"
    return [Change("leave_maintenance", NODE + state.seen.address, {"maintenance": True}, {"maintenance": False}, reason, reversible=False)]


def _restart(state: RepairState, wish: Wish) -> List[Change]:
    name = name_of(state, wish)
    if state.condition == "standalone" and state.verdict.detail.get("data_unknown"):
        return []
    started = state.seen.command_line_set
    if state.condition == "wrong_set_name":
        reason = "it was started as one of %s, and its data are those of %s" % (started, state.stored_set)
    elif state.stored_set:
        reason = "it runs without --replSet on the data of %s" % state.stored_set
    else:
        reason = "it runs without --replSet"
    if not name:
        return []
    loss = (
        "writes to %s while it ran without --replSet" % state.seen.address if state.condition == "standalone_on_replica_data" and len(state.members) > 1 else ""
    )
    steps = restart_plan.plan(state.runner, started, name, reason, loss)
    if not steps or state.stored_set:
        return steps
    initiate = _initiate(state, wish)
    return [*steps, *initiate] if initiate else []


def _drop(state: RepairState, _wish: Wish) -> List[Change]:
    return [
        Change(
            "drop_member",
            "%s%s of %s" % (MEMBER, row.host, state.stored_set),
            {"host": row.host, "votes": row.votes, "priority": row.priority},
            None,
            "it cannot be reached, and without it the others are a majority; what only it has is lost",
            reversible=False,
            data_loss=row.host,
        )
        for row in lost_members(state)
    ]


def lost_members(state: RepairState) -> List[Member]:
    """Members that cannot be reached, neither by this server nor from this node."""
    reached = {peer.host for peer in state.peers if peer.listening}
    return [row for row in state.members if not row.itself and row.host not in reached]


def election_timeout(state: RepairState) -> float:
    return float((state.seen.config.get("settings") or {}).get("electionTimeoutMillis") or ELECTION_TIMEOUT * 1000) / 1000


_PLANS: Dict[str, Callable[[RepairState, Wish], List[Change]]] = {
    "not_initiated": _initiate,
    "removed": _correct_host,
    "stepped_down": _lift,
    "maintenance": _leave_maintenance,
    "standalone": _restart,
    "standalone_on_replica_data": _restart,
    "wrong_set_name": _restart,
    "no_majority": _drop,
}


def told(state: RepairState) -> Dict[str, Any]:
    """The set as results show it."""
    primary = next((row.host for row in state.members if row.state == 1 and row.healthy), None)
    return {
        "condition": state.condition,
        "set_name": state.seen.set_name or None,
        "writes": state.verdict.writes,
        "primary": primary,
        "members": [row.to_dict() for row in state.members],
        "own_host": state.own_host or None,
        "proven_at": state.proven or None,
    }
