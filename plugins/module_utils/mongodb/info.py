# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a server and its replica set stand. A server that is down is told as such: that is an answer as well."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

from ..connect.mongo import DRIVER, Mongo
from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from .conditions import Verdict, judge
from .errors import MongodbError
from .observation import ANSWERED, Member, Observation, members, votes
from .probe import observe

RUNBOOK = ("talus.rst", "MongoDB")
PLAYBOOK = "fieldops.runbooks.talus_replica_set"
MENDED = ("standalone", "standalone_on_replica_data", "not_initiated", "removed", "wrong_set_name", "stepped_down", "maintenance")
"""Conditions that the playbook mends, or says why not."""
LASTING = ("unauthorized", "unsupported_version")
"""Conditions that no waiting ends, and a login that is refused again and again may lock the user out."""
PAUSE, LONGEST_PAUSE = 0.2, 2.0
LONGEST_WAIT = 3600.0


@dataclass(frozen=True)
class Look:
    """What was seen at last, and how many looks it took."""

    seen: Observation
    verdict: Verdict
    looks: int = 1


class ReplicaSetInfo(Check[Look]):
    """One look, or looks until the server is fine."""

    name = "mongodb_replica_set_info"
    judged_by = ("behind_max",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.wait: float = params["wait"]
        self.behind_max: float = params["behind_max"]
        for name, least, most in (("wait", 0.0, LONGEST_WAIT), ("behind_max", 1.0, math.inf)):
            if not least <= params[name] <= most:  # which a NaN is not either
                raise MongodbError("%s must be %g %s seconds, not %s" % (name, least, "or more" if most == math.inf else "to %g" % most, params[name]))
        self.mongo = Mongo(params)

    def close(self) -> None:
        self.mongo.close()

    def observe(self) -> Look:
        deadline = time.monotonic() + self.wait
        looks, pause = 0, PAUSE
        while True:
            seen = observe(self.mongo)
            verdict = judge(seen)
            looks += 1
            if verdict.fine or verdict.condition in LASTING or time.monotonic() + pause > deadline:
                return Look(seen, verdict, looks)
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def diagnose(self, state: Look) -> List[Finding]:
        return findings(state.seen, state.verdict, self.behind_max)

    def facts(self, state: Look) -> Mapping[str, Any]:
        return facts(state.seen, state.verdict)

    def evidence(self, state: Look) -> Mapping[str, Any]:
        seen = state.seen
        codes = {
            "isMaster": seen.hello_code,
            "replSetGetStatus": seen.status_code,
            "replSetGetConfig": seen.config_code,
            "local.system.replset": seen.stored_code,
            "getCmdLineOpts": seen.command_line_code,
            "getLog": seen.log_code,
        }
        asked = {name: code for name, code in codes.items() if code is not None}
        return {"address": seen.address, "driver": DRIVER, "codes": asked, "state": seen.state, "looks": state.looks, "error": seen.error}


def facts(seen: Observation, verdict: Verdict) -> Dict[str, Any]:
    """The module's return values."""
    rows = members(seen)
    count = votes(seen)
    primary: Optional[str] = next((row.host for row in rows if row.state == 1 and row.alive), None)
    return {
        "condition": verdict.condition,
        "healthy": verdict.fine,
        "writes": verdict.writes,
        "reads": verdict.reads,
        "meaning": verdict.meaning,
        "detail": verdict.detail,
        "version": seen.version or None,
        "set_name": seen.set_name or None,
        "command_line_set": seen.command_line_set,
        "primary": primary,
        "members": [row.to_dict() for row in rows],
        "votes": {"total": count.total, "alive": count.alive, "needed": count.needed} if seen.status_code == ANSWERED else None,
        "config": seen.config or seen.stored or None,
    }


def findings(seen: Observation, verdict: Verdict, behind_max: float) -> List[Finding]:
    """The condition first, then what is wrong with members."""
    return [_main(seen, verdict)] + [each for row in members(seen) for each in _of_member(row, behind_max)] + _primaries(seen)


def _main(seen: Observation, verdict: Verdict) -> Finding:
    summary = "%s: %s" % (seen.address, verdict.meaning)
    remedy = None
    if verdict.remedy:
        remedy = Remedy(verdict.remedy, PLAYBOOK if verdict.condition in MENDED else None)
    detail = dict(verdict.detail, condition=verdict.condition, writes=verdict.writes, reads=verdict.reads)
    return Finding("mongodb.replica_set.%s" % verdict.condition, verdict.severity, seen.address, summary, detail, remedy, RUNBOOK)


def _of_member(row: Member, behind_max: float) -> List[Finding]:
    if row.itself or row.healthy is None:
        return []
    if not row.alive:
        summary = "the member %s of the set is not reached by the others" % row.host
        text = "see whether it runs, and whether the others reach it under this name and port"
        return [_member_finding("down", row, summary, text)]
    if row.behind is not None and row.behind > behind_max and row.state in (2, 3):
        summary = "the member %s is %d s behind the newest data" % (row.host, row.behind)
        text = "see its load, its disk and its network; once the oplog no longer reaches back, its data must be copied anew"
        return [_member_finding("behind", row, summary, text)]
    return []


def _member_finding(word: str, row: Member, summary: str, text: str) -> Finding:
    return Finding("mongodb.member.%s" % word, "warning", row.host, summary, row.to_dict(), Remedy(text), RUNBOOK)


def _primaries(seen: Observation) -> List[Finding]:
    """Two of them for more than a moment: the set was forced apart."""
    hosts = [row.host for row in members(seen) if row.state == 1 and row.alive]
    if len(hosts) < 2:
        return []
    summary = "%d members say that they are PRIMARY: %s" % (len(hosts), ", ".join(hosts))
    text = "stop writes at once and look again; if it stays so, a configuration was forced on a part of the set, and data of one side will be lost"
    return [Finding("mongodb.replica_set.two_primaries", "critical", seen.set_name, summary, {"hosts": hosts}, Remedy(text), RUNBOOK)]
