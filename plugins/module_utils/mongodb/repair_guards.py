# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a replica set is not repaired in, and why. Pure: no I/O.

A configuration is forced in two cases only: the one member of a set whose address has changed, and members that are gone for good, named
one by one. Anything else that force seems to cure, it does not cure, or it loses writes that somebody was told are safe.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional

from ..procedure.errors import Refusal
from . import restart_plan
from .observation import Member
from .repair_plan import DONE, Peer, RepairState, Wish, copy_of, election_timeout, host_of, lost_members, name_of, set_is_known

_HOST = "host: HOST:PORT, by which the server can reach itself; or the role clusterMonitor for the user, so that it can be asked."


def guards(state: RepairState, wish: Wish) -> List[Refusal]:
    """Everything that stands against a repair."""
    if state.condition in DONE:
        return []
    check = _GUARDS.get(state.condition)
    found = check(state, wish) if check else [_hopeless(state)]
    return [*_other_name(state, wish), *found]


def _hopeless(state: RepairState) -> Refusal:
    """What no command mends."""
    return Refusal(state.condition, "%s: %s." % (state.seen.address, state.verdict.meaning), "nothing here; %s." % (state.verdict.remedy or "look at its log"))


def _other_name(state: RepairState, wish: Wish) -> List[Refusal]:
    known = state.stored_set or state.seen.command_line_set
    if not wish.replica_set or not known or wish.replica_set == known:
        return []
    where = "its data are those of %s" if state.stored_set else "it was started with --replSet %s"
    reason = "replica_set is %s, and %s." % (wish.replica_set, where % known)
    return [Refusal("replica_set", reason, "replica_set: %s, or none; or make sure that this is the right server." % known)]


def _not_initiated(state: RepairState, wish: Wish) -> List[Refusal]:
    found = []
    if not name_of(state, wish):
        reason = "the name that it was started with may not be known to this user (code %s)." % state.seen.command_line_code
        found.append(Refusal("replica_set", reason, "replica_set with that name."))
    return found + _without_host(state, wish)


def _without_host(state: RepairState, wish: Wish) -> List[Refusal]:
    if host_of(state, wish):
        return []
    return [Refusal("host", "the server does not tell what it calls itself and where it listens.", _HOST)]


def _removed(state: RepairState, wish: Wish) -> List[Refusal]:
    rows = state.members
    if not rows:
        reason = "its configuration cannot be read (code %s), and none is made up." % state.seen.config_code
        return [Refusal("configuration", reason, "the role clusterManager for the user.")]
    if len(rows) != 1:
        reason = "%s has %d members (%s), and none of them is this server. A configuration forced here would part it from the others." % (
            state.stored_set,
            len(rows),
            ", ".join(row.host for row in rows),
        )
        allow = "start it again under the address that the configuration has for it; or correct its host at the primary, without force."
        return [Refusal("several_members", reason, allow)]
    if not set_is_known(state, wish):
        reason = "whether it was started with the name of its data (%s) may not be known to this user." % state.stored_set
        return [Refusal("set_name_unknown", reason, "the role clusterMonitor for the user; or replica_set: %s, if you know that it was." % state.stored_set)]
    copy = copy_of(state)
    if copy is not None:
        reason = "%s, the one member of %s, is another server, and it is there (%s). Forced here, the set would be there twice." % (
            copy.host,
            state.stored_set,
            copy.condition,
        )
        return [Refusal("copy", reason, "nothing here: this server was removed from the set, or is a copy. To join, it is emptied and added at the primary.")]
    missing = _without_host(state, wish)
    if not missing and rows[0].host == host_of(state, wish):
        reason = "the configuration names it %s, which is what it calls itself, yet that name does not lead back to it." % rows[0].host
        return [Refusal("host", reason, "host with another name of it; or mend the resolution of that name where mongod runs.")]
    return missing


def _stepped_down(state: RepairState, wish: Wish) -> List[Refusal]:
    if wish.stepped_down != "wait":
        return []
    reason = "it is still stepped down or frozen, or no election has ended."
    return [Refusal("stepped_down", reason, "a longer wait; or stepped_down: lift.")]


def _restart(state: RepairState, wish: Wish) -> List[Refusal]:
    if state.verdict.detail.get("data_unknown"):
        reason = "whether its data are those of a set may not be known to this user (code %s)." % state.seen.stored_code
        return [Refusal("data_unknown", reason, "a user that may read the database local, for example with the role root or backup.")]
    name = name_of(state, wish)
    if not name:
        return [Refusal("replica_set", "it has never been in a set, so the name of the set is not known.", "replica_set with that name, for Talus rs0.")]
    found = restart_plan.guards(state.runner, name)
    return found if state.stored_set else found + _without_host(state, wish)


# -- members that are gone -----------------------------------------------------------------------------------------------


def _no_majority(state: RepairState, wish: Wish) -> List[Refusal]:
    checks = (_configuration, _not_secondary, _primary_somewhere, _in_touch, _majority_here, _just_now, _not_newest, _not_electable)
    found = [refusal for refusal in (check(state) for check in checks) if refusal is not None]
    return found + _accepts_too_much(state, wish)


def _configuration(state: RepairState) -> Optional[Refusal]:
    if state.seen.config:
        return None
    return Refusal("configuration", "its configuration cannot be read (code %s), and none is made up." % state.seen.config_code, "the role clusterManager.")


def _not_secondary(state: RepairState) -> Optional[Refusal]:
    if state.seen.state == 2:
        return None
    reason = "it is still PRIMARY, and gives that up by itself within the election timeout."
    return Refusal("primary", reason, "waiting until it is SECONDARY.")


def _primary_somewhere(state: RepairState) -> Optional[Refusal]:
    claims = ["%s (says %s)" % (peer.primary, peer.host) for peer in state.peers if peer.primary]
    claims += ["%s (says %s)" % (row.host, state.seen.address) for row in state.members if row.state == 1 and row.healthy and not row.itself]
    if not claims:
        return None
    reason = "there is a primary: %s. Two of them would take writes, and those of one would be lost." % ", ".join(claims)
    return Refusal("primary", reason, "mending the network between this server and that one; there is nothing to force.")


def _in_touch(state: RepairState) -> Optional[Refusal]:
    """This server hears of a member that cannot be reached from this node."""
    heard = [row.host for row in lost_members(state) if row.alive]
    if not heard:
        return None
    reason = "%s cannot be reached from this node, but the server hears of it: it is alive." % ", ".join(heard)
    return Refusal("not_fenced", reason, "mending the way from this node to it; or stopping it for good.")


def _majority_here(state: RepairState) -> Optional[Refusal]:
    listening = {peer.host for peer in state.peers if peer.listening}
    voters = sum(row.votes for row in state.members if row.itself or row.host in listening)
    needed = sum(row.votes for row in state.members) // 2 + 1
    if voters < needed:
        return None
    reason = "%d votes are there of %d that it takes (%s take connections), so a primary can be elected." % (voters, needed, ", ".join(sorted(listening)))
    return Refusal("majority", reason, "waiting; or mending what keeps these members from seeing each other; or stopping for good what hangs.")


def _just_now(state: RepairState) -> Optional[Refusal]:
    limit = election_timeout(state)
    early = sorted(row.host for row in lost_members(state) if state.silence.get(row.host, 0.0) <= limit)
    if not early:
        return None
    return Refusal("too_soon", "%s was heard of less than %g s ago, the election timeout." % (", ".join(early), limit), "waiting a moment.")


def _not_newest(state: RepairState) -> Optional[Refusal]:
    """The survivor with the newest data is the one to go on with."""
    itself = next((row for row in state.members if row.itself), None)
    if itself is None:
        return Refusal("newest", "it does not find itself among the members.", "nothing here; look at its configuration.")
    dumb = [peer for peer in state.peers if peer.listening and (not peer.answered or peer.optime is None) and not _votes_only(state, peer)]
    if dumb:
        reason = "%s is there, but cannot be asked how new its data are: %s." % (dumb[0].host, dumb[0].why or dumb[0].condition)
        return Refusal("newest", reason, "making it answer (the same user is used); or stopping it for good, and accepting its loss.")
    newer = [peer for peer in state.peers if peer.optime is not None and peer.optime > itself.optime]
    if not newer:
        return None
    best = max(newer, key=lambda peer: peer.optime or (0, 0, 0))
    reason = "%s has newer data than this server, which would be lost." % best.host
    return Refusal("newest", reason, "running this there: login_host and login_port of %s." % best.host)


def _votes_only(state: RepairState, peer: Peer) -> bool:
    return any(row.host == peer.host and row.arbiter for row in state.members)


def _not_electable(state: RepairState) -> Optional[Refusal]:
    """An older one that is elected in its place would have it roll back what only it has."""
    if any(_electable(row) for row in state.members if row.itself):
        return None
    reason = "this server, which has the newest data of those that are left, may not become PRIMARY (priority 0, no vote, or arbiter)."
    return Refusal("electable", reason, "bringing back enough members for a majority; then it needs no force.")


def _electable(row: Member) -> bool:
    return row.votes > 0 and row.priority > 0 and not row.arbiter


def _accepts_too_much(state: RepairState, wish: Wish) -> List[Refusal]:
    lost = {row.host for row in lost_members(state)}
    extra = sorted(row.host for row in state.members if row.host in wish.accepted and row.host not in lost)
    if not extra:
        return []
    reason = "accept_data_loss names %s, which is there: it would not be dropped, and is not fenced." % ", ".join(extra)
    return [Refusal("accept_data_loss", reason, "leaving it out; or stopping it for good first.")]


_GUARDS: Dict[str, Callable[[RepairState, Wish], List[Refusal]]] = {
    "not_initiated": _not_initiated,
    "removed": _removed,
    "stepped_down": _stepped_down,
    "maintenance": lambda state, wish: [],
    "standalone": _restart,
    "standalone_on_replica_data": _restart,
    "wrong_set_name": _restart,
    "no_majority": _no_majority,
}
