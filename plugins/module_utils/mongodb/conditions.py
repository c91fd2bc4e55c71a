# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the conditions that look alike a server is in, from codes alone, since the texts differ from release to release. Pure.

A prompt that does not say PRIMARY has a dozen causes, each with a cure of its own, and for several of them the cure of another does harm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional, Tuple

from .observation import ANSWERED, NEW_STATE, STATES, TOO_STALE, Member, Observation, members, votes

UNAUTHORIZED, AUTHENTICATION_FAILED, MECHANISM_UNAVAILABLE = 13, 18, 334
NO_REPLICATION, INVALID_CONFIG, NOT_YET_INITIALIZED = 76, 93, 94
NO_SYNC_SOURCE_SECONDS = 60
"""A RECOVERING member that has been up for longer than this, and finds nobody to sync from, will not find anybody."""


@dataclass(frozen=True)
class Kind:
    """What is always so of a condition."""

    severity: str
    writes: str
    """V(yes), V(no), V(unsafe) when they are taken and may be lost, V(unknown)."""
    reads: str
    meaning: str
    remedy: str


CONDITIONS: Dict[str, Kind] = {
    "healthy": Kind("ok", "yes", "yes", "it is PRIMARY and a majority of its set is alive", ""),
    "secondary": Kind("ok", "no", "yes", "it is a SECONDARY of a set that has a primary; writes go to the primary", ""),
    "arbiter": Kind("ok", "no", "no", "it is an ARBITER: it votes and has no data", ""),
    "standalone": Kind(
        "critical",
        "unsafe",
        "yes",
        "it runs without --replSet and has never been in a set: it takes writes, but there is no oplog, so that whatever follows the oplog does not work",
        "restart it with --replSet and initiate the set; initiating alone is refused (code 76)",
    ),
    "standalone_on_replica_data": Kind(
        "critical",
        "unsafe",
        "yes",
        "it runs without --replSet on the data of a set: writes are taken and get into no oplog, so that other members will never have them",
        "stop writes, and restart it with --replSet and the name that its data have",
    ),
    "not_initiated": Kind(
        "critical",
        "no",
        "no",
        "it was started with --replSet, and no configuration of a set exists",
        "initiate the set, if its data are the right ones: an empty server where data were expected is a wrong or missing data directory",
    ),
    "removed": Kind(
        "critical",
        "no",
        "no",
        "a configuration exists, and none of its members is this server: its host name, address or port has changed, or it was removed from the set",
        "a set of one member: correct that member's host in the configuration that is there; several: let the primary's configuration name it. "
        "Initiating is refused (code 23)",
    ),
    "wrong_set_name": Kind(
        "critical",
        "no",
        "no",
        "the name given with --replSet is not the name that its data have",
        "restart it with --replSet and the stored name; neither initiating nor a forced configuration is taken",
    ),
    "stepped_down": Kind(
        "critical",
        "no",
        "yes",
        "it is SECONDARY and nobody is PRIMARY, though a majority is alive: stepped down or frozen by hand, or an election is under way",
        "wait for the step-down to end, or lift it (replSetFreeze 0); a forced configuration does not lift it",
    ),
    "no_majority": Kind(
        "critical",
        "no",
        "yes",
        "fewer voters are alive than it takes to have a primary",
        "bring the other members back. Dropping them from the configuration by force loses what only they have, and is the last resort",
    ),
    "maintenance": Kind(
        "critical",
        "no",
        "no",
        "it is RECOVERING because somebody put it in maintenance mode",
        "lift it as often as it was asked for (replSetMaintenance false)",
    ),
    "too_stale": Kind(
        "critical",
        "no",
        "no",
        "it is RECOVERING and can never catch up: it was away for longer than the oplog of the others reaches back",
        "empty the data directory of this one member and start it, so that it copies everything from another. Never do so with the only copy",
    ),
    "starting": Kind(
        "warning", "no", "no", "it is starting, or copies the data of another member, or catches up", "wait; a restart would start the copying over"
    ),
    "rollback": Kind(
        "warning",
        "no",
        "no",
        "it takes back writes that a majority never had, and keeps them in files below its data directory (rollback)",
        "wait until it is SECONDARY, then look at those files: whoever made the writes was told that they were done",
    ),
    "unauthorized": Kind(
        "warning",
        "unknown",
        "unknown",
        "it cannot be asked how its set stands: the user may not, or is not known, or the password is wrong",
        "log in as a user with the role clusterMonitor on the database admin (to repair: clusterManager, or root)",
    ),
    "unreachable": Kind(
        "critical", "no", "no", "it does not answer", "see whether it runs and listens; its log, and that of its container or unit, tell why not"
    ),
    "unsupported_version": Kind(
        "warning", "unknown", "unknown", "it and the driver on this node are of too different an age", "install another pymongo on the node that asks"
    ),
    "unknown": Kind("critical", "unknown", "unknown", "it answers in a way that is not known", "look at its log"),
}


@dataclass(frozen=True)
class Verdict:
    """What a look means."""

    condition: str
    detail: Dict[str, Any] = field(default_factory=dict)
    writes: str = ""
    """V(yes), V(no), V(unsafe) or V(unknown): what becomes of a write now."""
    reads: str = ""
    because: str = ""

    def __post_init__(self) -> None:
        kind = CONDITIONS[self.condition]
        object.__setattr__(self, "writes", self.writes or kind.writes)
        object.__setattr__(self, "reads", self.reads or kind.reads)

    @property
    def severity(self) -> str:
        return CONDITIONS[self.condition].severity

    @property
    def meaning(self) -> str:
        """The end of a sentence that begins with the server's name."""
        meaning = CONDITIONS[self.condition].meaning
        return "%s (%s)" % (meaning, self.because) if self.because else meaning

    @property
    def remedy(self) -> str:
        return CONDITIONS[self.condition].remedy

    @property
    def fine(self) -> bool:
        return self.severity == "ok"


def judge(seen: Observation) -> Verdict:
    """The condition of one server."""
    if seen.unsupported:
        return Verdict("unsupported_version", because=seen.error)
    if seen.unreachable:
        return Verdict("unreachable", because=seen.error)
    if seen.status_code == ANSWERED:
        return _BY_STATE.get(seen.state, _other_state)(seen)
    code = seen.hello_code if seen.hello_code != ANSWERED else seen.status_code
    return _BY_CODE.get(code, _other_code)(seen)


# -- without a state: by the code of the refusal -----------------------------------------------------------------------------


def _not_replicated(seen: Observation) -> Verdict:
    if seen.stored:
        return Verdict("standalone_on_replica_data", {"stored_set": seen.stored.get("_id")}, because="that is %s" % seen.stored.get("_id"))
    if seen.stored_code == ANSWERED:
        return Verdict("standalone")
    return Verdict("standalone", {"data_unknown": True}, because="whether its data are those of a set could not be read: code %s" % seen.stored_code)


def _not_initiated(seen: Observation) -> Verdict:
    return Verdict("not_initiated", {"command_line_set": seen.command_line_set})


def _outside(seen: Observation) -> Verdict:
    """A configuration is there and does not fit: hello is the same as where there is none."""
    stored, given = seen.config.get("_id"), seen.command_line_set
    hosts = [row.get("host") for row in seen.config.get("members", [])]
    detail = {"stored_set": stored, "command_line_set": given, "configured_hosts": hosts}
    if stored and given and stored != given:
        return Verdict("wrong_set_name", detail, because="%s instead of %s" % (given, stored))
    if seen.config_code != ANSWERED:
        return Verdict("removed", detail, because="the configuration could not be read: code %s" % seen.config_code)
    because = "the configuration names %s" % ", ".join(map(str, hosts))
    if given is None:
        because += "; it may as well be the wrong --replSet, which this user may not know"
    return Verdict("removed", detail, because=because)


def _unauthorized(seen: Observation) -> Verdict:
    login = AUTHENTICATION_FAILED in (seen.hello_code, seen.status_code) or MECHANISM_UNAVAILABLE in (seen.hello_code, seen.status_code)
    because = "the login was refused" if login else "code %s" % (seen.status_code or seen.hello_code)
    if seen.hello_code != ANSWERED:
        return Verdict("unauthorized", {"login_refused": login}, because=because)
    role, told = _role(seen)
    return Verdict("unauthorized", {"login_refused": login, "says": role}, told, "unknown", "%s; it says that it is %s" % (because, role))


def _role(seen: Observation) -> Tuple[str, str]:
    """What hello says, which anybody may ask, and what that means for writes of those who may write."""
    if seen.writable:
        return ("PRIMARY", "yes") if seen.hello.get("setName") else ("in no set", "unsafe")
    return "SECONDARY" if seen.hello.get("secondary") else "neither PRIMARY nor SECONDARY", "no"


def _other_code(seen: Observation) -> Verdict:
    if seen.hello.get("msg") == "isdbgrid":
        return Verdict("unknown", {"mongos": True}, because="it is a mongos, which is no member of a set: ask the shards")
    return Verdict("unknown", {"code": seen.status_code, "hello_code": seen.hello_code}, because=seen.error)


_BY_CODE: Dict[Optional[int], Callable[[Observation], Verdict]] = {
    UNAUTHORIZED: _unauthorized,
    AUTHENTICATION_FAILED: _unauthorized,
    MECHANISM_UNAVAILABLE: _unauthorized,
    NO_REPLICATION: _not_replicated,
    INVALID_CONFIG: _outside,
    NOT_YET_INITIALIZED: _not_initiated,
}


# -- with a state ---------------------------------------------------------------------------------------------------------------


def _primary(seen: Observation) -> Verdict:
    if not seen.writable:
        return Verdict("starting", {"state": 1}, reads="yes", because="it has just been elected, and does not take writes yet")
    count = votes(seen)
    if not count.majority:
        because = "%d of %d, and it takes %d; it is still PRIMARY, and will not be for long: what it takes now may be rolled back"
        return Verdict("no_majority", _counted(seen), "unsafe", because=because % (count.alive, count.total, count.needed))
    return Verdict("healthy", _counted(seen))


def _secondary(seen: Observation) -> Verdict:
    primary = next((row for row in members(seen) if row.state == 1 and row.alive), None)
    if primary:
        return Verdict("secondary", dict(_counted(seen), primary=primary.host))
    count = votes(seen)
    if not count.majority:
        return Verdict("no_majority", _counted(seen), because="%d of %d, and it takes %d" % (count.alive, count.total, count.needed))
    return Verdict("stepped_down", _counted(seen))


def _recovering(seen: Observation) -> Verdict:
    rows = members(seen)
    itself = next((row for row in rows if row.itself), None)
    if _said_stale(seen):
        return Verdict("too_stale", dict(_counted(seen), log_id=TOO_STALE, behind=itself.behind if itself else None))
    if itself and _lost(itself, any(row.alive and row.optime > itself.optime for row in rows)):
        because = "it has been up for %d s and finds nobody to catch up from, though others have newer data" % (itself.uptime or 0)
        return Verdict("too_stale", dict(_counted(seen), behind=itself.behind), because=because)
    if itself and itself.maintenance:
        detail = dict(_counted(seen), maintenance=itself.maintenance)
        return Verdict("maintenance", detail, because="asked for %d time%s" % (itself.maintenance, "" if itself.maintenance == 1 else "s"))
    return Verdict("starting", dict(_counted(seen), state=3), because="it is RECOVERING")


def _said_stale(seen: Observation) -> bool:
    """It said so, and has changed its state no more than once since: to RECOVERING, which is what follows."""
    if TOO_STALE not in seen.log_ids:
        return False
    after = seen.log_ids[len(seen.log_ids) - seen.log_ids[::-1].index(TOO_STALE) :]
    return after.count(NEW_STATE) <= 1


def _lost(itself: Member, others_newer: bool) -> bool:
    """Where no log tells: nothing to sync from, for long, though there is something to have. A member that is too stale has put itself in
    maintenance mode; one that somebody else put there catches up all the same."""
    return others_newer and not itself.sync_source and (itself.uptime or 0) >= NO_SYNC_SOURCE_SECONDS


def _starting(seen: Observation) -> Verdict:
    return Verdict("starting", dict(_counted(seen), state=seen.state), because="it is %s" % STATES.get(seen.state or 0))


def _arbiter(seen: Observation) -> Verdict:
    return Verdict("arbiter", _counted(seen))


def _rollback(seen: Observation) -> Verdict:
    return Verdict("rollback", _counted(seen))


def _other_state(seen: Observation) -> Verdict:
    return Verdict("unknown", dict(_counted(seen), state=seen.state), because="state %s" % seen.state)


def _counted(seen: Observation) -> Dict[str, Any]:
    count = votes(seen)
    return {"votes": count.total, "votes_alive": count.alive, "votes_needed": count.needed}


_BY_STATE: Dict[Optional[int], Callable[[Observation], Verdict]] = {
    0: _starting,
    1: _primary,
    2: _secondary,
    3: _recovering,
    5: _starting,
    7: _arbiter,
    9: _rollback,
}
