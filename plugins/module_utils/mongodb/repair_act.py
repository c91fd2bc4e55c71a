# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of a repair, what a server is called, how a change stands now, and the write that proves it.

A configuration is always the one that the server has, read again right before, with nothing changed in it but what the plan says.
"""

from __future__ import annotations

import secrets
import time
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from ..connect.mongo import Mongo, MongoError
from ..procedure.envelope import Change, Image, Outcome
from .errors import MongodbError
from .observation import ANSWERED, STATES, Observation, members
from .peers import DEFAULT_PORT, deaf, split
from .probe import observe
from .repair_plan import MEMBER, NODE, SET

ALREADY_INITIALIZED, NOT_YET_INITIALIZED, NOT_SECONDARY, NOT_IN_MAINTENANCE = 23, 94, 95, 96
MOST_TIMES = 1000
WITH_TERM = 9
"""Wire version of 4.4, the first whose configurations have a term."""
ELECTION = 10.0
"""Seconds to try to be elected; after that the members do it among themselves."""
RENEWAL = 5.0
"""Seconds to try to give a forced configuration its term back."""
COLLECTION = "writes"
SYSTEM = ("admin", "config", "local")
_EVERYWHERE = ("2.", "3.0.", "3.2.", "3.4.")
"""Versions that listen on every address unless they are told otherwise; later ones on localhost."""


def pauses(limit: float) -> Iterator[None]:
    """Again and again at ever longer intervals, until the time is up."""
    deadline, pause = time.monotonic() + limit, 0.02
    while True:
        yield
        left = deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, 1.0)


# -- what the server is ----------------------------------------------------------------------------------------------------


def own_host(mongo: Mongo, version: str) -> str:
    """HOST:PORT as the server itself would choose it; empty where it may not be asked."""
    asked: Dict[str, Dict[str, Any]] = {}
    if _refusal(lambda: asked.update({name: mongo.command(name) for name in ("getCmdLineOpts", "hostInfo")})):
        return ""
    net = asked["getCmdLineOpts"].get("parsed", {}).get("net", {})
    system = str(asked["hostInfo"].get("system", {}).get("hostname", ""))
    name, colon, port = system.rpartition(":")
    name = name if colon and port.isdigit() else system
    bound = [each.strip() for each in str(net.get("bindIp") or "").split(",") if each.strip() and not each.strip().startswith("/")]
    if not bound and not version.startswith(_EVERYWHERE):
        bound = ["localhost"]
    if bound and all(each in ("localhost", "::1") or each.startswith("127.") for each in bound) and not net.get("bindIpAll"):
        name = "[%s]" % bound[0] if ":" in bound[0] else bound[0]
    number = int(net.get("port") or (port if colon and port.isdigit() else DEFAULT_PORT))
    return "%s:%d" % (name, number) if name else ""


def with_port(host: str, own: str) -> str:
    """A name that was given without a port gets the server's own."""
    if not host or split(host)[1] != DEFAULT_PORT or host.endswith(":%d" % DEFAULT_PORT):
        return host
    return "%s:%d" % (host, split(own)[1] if own else DEFAULT_PORT)


def collections(mongo: Mongo) -> Optional[int]:
    """How many collections users have in a server that has no configuration; None where that cannot be told, as before 5.1."""
    stats: Dict[str, Any] = {}
    if _refusal(lambda: stats.update(mongo.command("serverStatus").get("catalogStats") or {})) or not stats:
        return None
    return sum(int(stats.get(kind, 0)) for kind in ("collections", "views", "timeseries"))


def databases(mongo: Mongo) -> Optional[int]:
    """How many databases users have in a server that runs alone."""
    found: List[Dict[str, Any]] = []
    if _refusal(lambda: found.extend(mongo.command("listDatabases", nameOnly=True)["databases"])):
        return None
    return len([each for each in found if each["name"] not in SYSTEM])


def has_configuration(mongo: Mongo) -> bool:
    """Whether there is one that a server which has just been started has not read yet."""
    found: List[Dict[str, Any]] = []
    _refusal(lambda: found.extend(mongo.find("local", "system.replset", limit=1)))
    return bool(found)


# -- changes -----------------------------------------------------------------------------------------------------------------


def initiate(mongo: Mongo, change: Change, limit: float) -> Outcome:
    """A set of this one member. A server that has just been started may not have looked for a configuration yet."""
    name, host = change.subject[len(SET) :], (change.after or {})["hosts"][0]
    document = {"_id": name, "version": 1, "members": [{"_id": 0, "host": host}]}
    for _again in pauses(limit):
        refusal = _refusal(lambda: mongo.command("replSetInitiate", document))
        if refusal is None:
            return Outcome(True)
        if refusal.code == ALREADY_INITIALIZED:
            return Outcome(False, "it has a configuration by now")
        if refusal.code != NOT_YET_INITIALIZED:
            raise refusal
    raise MongodbError("%s does not take a configuration within %g s" % (mongo.address, limit))


def correct_host(mongo: Mongo, change: Change) -> Outcome:
    """The configuration as it is, with another host for its one member."""
    config = _config(mongo)
    if [row["host"] for row in config["members"]] != (change.before or {})["hosts"]:
        return Outcome(False, "the configuration was changed since it was looked at: left alone")
    config["members"][0]["host"] = (change.after or {})["hosts"][0]
    mongo.command("replSetReconfig", config, force=True)
    _stand(mongo)
    return Outcome(True)


def drop(mongo: Mongo, changes: Sequence[Change], hosts: Sequence[str]) -> List[Outcome]:
    """The configuration as it is, without members that are gone. In one stroke: in between nobody could be elected."""
    lost = [str((change.before or {})["host"]) for change in changes]
    config = _config(mongo)
    status = mongo.command("replSetGetStatus")
    reason = ""
    if sorted(row["host"] for row in config["members"]) != sorted(hosts):
        reason = "the configuration was changed since it was looked at: left alone"
    elif status["myState"] != 2 or any(row["state"] == 1 for row in status["members"]):
        reason = "there is a primary by now: left alone"
    elif any(not deaf(*split(host), timeout=mongo.timeout) for host in lost):
        reason = "a member that was to be dropped is back: left alone"
    if reason:
        return [Outcome(False, reason) for _change in changes]
    config["members"] = [row for row in config["members"] if row["host"] not in lost]
    mongo.command("replSetReconfig", config, force=True)
    _stand(mongo)
    return [Outcome(True) for _change in changes]


def _stand(mongo: Mongo) -> None:
    """Let this server be elected, which has the newest data, as soon as the others have heard of the configuration.

    A forced configuration has no term. It gets one back from the primary, so that a member that comes back can see that there was an election without it.
    """
    for _again in pauses(ELECTION):
        hello = mongo.command("isMaster")
        if hello.get("ismaster"):
            _renew_term(mongo, hello)
            return
        if hello.get("primary") and hello["primary"] != hello.get("me"):
            return
        if not hello.get("primary"):  # one that is elected names itself before it takes writes
            _refusal(lambda: mongo.command("replSetStepUp"))


def _renew_term(mongo: Mongo, hello: Mapping[str, Any]) -> None:
    """A primary that has just been elected refuses that until it has had a write of its own acknowledged."""
    if hello.get("maxWireVersion", 0) < WITH_TERM:
        return
    for _again in pauses(RENEWAL):
        config = _config(mongo)
        if config.get("term", -1) != -1:
            return
        _refusal(partial(mongo.command, "replSetReconfig", dict(config, version=config["version"] + 1)))


def _config(mongo: Mongo) -> Dict[str, Any]:
    return dict(mongo.command("replSetGetConfig")["config"])


def lift_step_down(mongo: Mongo) -> Outcome:
    refusal = _refusal(lambda: mongo.command("replSetFreeze", 0))
    if refusal is None:
        return Outcome(True)
    if refusal.code != NOT_SECONDARY:
        raise refusal
    return Outcome(False, "it became PRIMARY, or stands for election, by itself")


def leave_maintenance(mongo: Mongo, alone: bool) -> Outcome:
    """The mode is a counter. A set of one has nobody else to become PRIMARY."""
    times = 0
    while times < MOST_TIMES:
        refusal = _refusal(lambda: mongo.command("replSetMaintenance", False))
        if refusal is not None:
            if refusal.code not in (NOT_IN_MAINTENANCE, NOT_SECONDARY) and not (times and refusal.code is None):  # 3.0 has no codes for many errors
                raise refusal
            break
        times += 1
    if alone:
        lift_step_down(mongo)
    return Outcome(times > 0, "" if times else "it had left maintenance mode by itself")


# -- how a change stands now ---------------------------------------------------------------------------------------------------


def now_image(mongo: Mongo, change: Change) -> Optional[Image]:
    """The subject of a change as it is now, in the terms of the change."""
    seen = observe(mongo)
    if seen.unreachable or seen.unsupported:
        raise MongodbError(seen.error)
    if change.subject.startswith(NODE):
        return _node(seen)
    if change.subject.startswith(MEMBER):
        host = str((change.before or {})["host"])
        return next(({"host": row.host, "votes": row.votes, "priority": row.priority} for row in members(seen) if row.host == host), None)
    if not change.subject.startswith(SET):
        raise MongodbError("%s is no subject of a replica set" % change.subject)
    hosts = [row.host for row in members(seen)] if seen.config_code == ANSWERED or seen.stored else seen.hello.get("hosts")
    return {"hosts": list(hosts)} if hosts else None


def _node(seen: Observation) -> Image:
    itself = next((row for row in members(seen) if row.itself), None)
    state = STATES.get(-1 if seen.state is None else seen.state)
    if state is None:
        state = "PRIMARY" if seen.writable else "SECONDARY" if seen.hello.get("secondary") else "RECOVERING"
    return {"state": state, "maintenance": bool(itself.maintenance) if itself is not None else state == "RECOVERING"}


# -- proof ---------------------------------------------------------------------------------------------------------------------


def prove(mongo: Mongo, database: str, limit: float) -> None:
    """Write a document that a majority acknowledges, and take it away again, with its collection where that is empty then."""
    identity = "fieldops-%s" % secrets.token_hex(8)
    mongo.write(database, COLLECTION, {"by": "fieldops.runbooks.mongodb_replica_set_repair"}, limit, identity)
    mongo.remove(database, COLLECTION, identity, limit)
    # Tidying up is not worth a failure: the user may lack the right to it.
    _refusal(lambda: mongo.count(database, COLLECTION) == 0 and mongo.command("drop", COLLECTION, database=database))


def _refusal(act: Callable[[], object]) -> Optional[MongoError]:
    """What the server says against a command; None where it has taken it."""
    try:
        act()
    except MongoError as exc:
        if exc.unreachable or exc.unsupported:
            raise
        return exc
    return None
