# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one look at a live process has seen, as people and programs are told, and what it means. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from ...procedure.envelope import Finding, Remedy
from .gdb import RUNBOOK
from .processes import Process

NORMAL, DRAIN = 1, 2
"""M0_REQH_ST_NORMAL and M0_REQH_ST_DRAIN (reqh/reqh.h:83)."""
REQUESTS = {NORMAL: "running", DRAIN: "stopped"}
STARTED, FAILED = 3, 6
"""M0_RST_STARTED and M0_RST_FAILED (reqh/reqh_service.h)."""
_SENDER = 1
_PLAYBOOK = "fieldops.runbooks.motr_requests"
_NANO = 1000000000
_EARLIEST = 1000000000 * _NANO
"""No machine of Motr has changed its state before 2001: such a time was never set."""
_AHEAD = 5.0


class Live(NamedTuple):
    """One look at one process. ``found`` is what the script has told; None where ``fault`` says why there is nothing."""

    process: Optional[Process] = None
    found: Optional[Mapping[str, Any]] = None
    frozen: bool = False
    fault: Optional[Finding] = None
    stopped_seconds: float = 0.0
    total_seconds: float = 0.0

    @property
    def state(self) -> Optional[int]:
        """The state of the request handler."""
        return self.found["reqh"]["machine"]["state"] if self.found and self.found["reqh"] else None

    @property
    def requests(self) -> Optional[str]:
        """What becomes of incoming requests; ``other`` in a state of the handler that is neither."""
        return None if self.state is None else REQUESTS.get(self.state, "other")

    @property
    def ending(self) -> bool:
        """Whether it is shutting down, by the stack of its first thread."""
        return bool(self.found) and "m0_cs_fini" in (self.found or {})["main"]

    @property
    def complete(self) -> bool:
        found = self.found
        return found is not None and not found["cut"] and not found["torn"]


def facts(live: Live) -> Dict[str, Any]:
    found = live.found
    if found is None:
        empty: Dict[str, Any] = {"handler": None, "services": [], "localities": [], "foms": [], "foms_total": {}, "rpc": []}
        return dict(empty, internal_foms=0, requests=None, complete=False, **_about(live))
    return dict(
        handler=_handler(found),
        requests=live.requests,
        services=[_machine(row, row["machine"], type=row["type"], fid=row["fid"]) for row in found["services"]],
        localities=[dict(row) for row in found["localities"]],
        foms=[fom(row, found["now"]) for row in found["foms"]],
        foms_total=dict(found["counted"]),
        internal_foms=found["internal"],
        rpc=[_rpc(row) for row in found["rpc"]],
        complete=live.complete,
        **_about(live),
    )


def process_facts(process: Optional[Process]) -> Optional[Dict[str, Any]]:
    if process is None:
        return None
    fid = str(process.fid) if process.fid is not None else None
    return {"pid": process.pid, "started": process.started, "fid": fid, "endpoint": process.endpoint, "owner": process.owner}


def _about(live: Live) -> Dict[str, Any]:
    return {"process": process_facts(live.process), "stopped_seconds": live.stopped_seconds, "total_seconds": live.total_seconds}


def _handler(found: Mapping[str, Any]) -> Optional[Dict[str, Any]]:
    reqh = found["reqh"]
    return _machine({}, reqh["machine"], address=reqh["address"], fid=reqh["fid"]) if reqh else None


def _machine(_row: Mapping[str, Any], machine: Mapping[str, Any], **named: Any) -> Dict[str, Any]:
    return dict(named, state=machine["state"], state_name=machine["name"])


def fom(row: Mapping[str, Any], now: float) -> Dict[str, Any]:
    """One fom. Its age is for how long neither its phase nor its state has changed; null where Motr does not keep that."""
    phase, state = row["phase"], row["state"]
    return {
        "address": row["address"],
        "service": row["service"],
        "type": row["type"],
        "phase": phase["state"],
        "phase_name": phase["name"],
        "state": state["name"],
        "queue": row["queue"],
        "locality": row["locality"],
        "fop": row["fop"],
        "transitions": row["transitions"],
        "internal": row["internal"],
        "age": age([phase["epoch"], state["epoch"]], now),
    }


def age(epochs: List[int], now: float) -> Optional[float]:
    """Seconds since the last of some times, in nanoseconds since the epoch."""
    known = [epoch / _NANO for epoch in epochs if epoch >= _EARLIEST and epoch / _NANO <= now + _AHEAD]
    return round(max(0.0, now - max(known)), 3) if known else None


def _rpc(row: Mapping[str, Any]) -> Dict[str, Any]:
    connections = [_connection(each, direction) for direction in ("incoming", "outgoing") for each in row[direction]]
    return {"endpoint": row["endpoint"], "connections": connections}


def _connection(row: Mapping[str, Any], direction: str) -> Dict[str, Any]:
    sessions = [_machine(each, each["machine"], id=each["id"], cancelled=each["cancelled"]) for each in row["sessions"]]
    told = _machine(row, row["machine"], address=row["address"], direction=direction, peer=row["peer"], service=row["service"])
    return dict(told, sender=bool(row["flags"] & _SENDER), sessions=sessions)


def diagnose(live: Live, stuck_after: float) -> List[Finding]:
    if live.fault is not None:
        return [live.fault]
    if live.process is None or live.found is None:
        return []
    name = live.process.name
    findings = _requests(live, name) + _services(live, name) + _stuck(live, name, stuck_after)
    if live.frozen:
        text = "%s is stopped by a signal: it answers nobody, and Hare will soon hold it for failed" % name
        findings.append(Finding("motr.process.frozen", "critical", name, text, {}, Remedy("let it run on: kill -CONT %d" % live.process.pid), RUNBOOK))
    if not live.complete:
        why = "time was up" if live.found["cut"] else "lists were being changed when it was stopped"
        text = "not all of %s could be read: %s" % (name, why)
        remedy = Remedy("run it again, with a longer stop_limit if time was up")
        findings.append(Finding("motr.process.partial", "info", name, text, {"torn": list(live.found["torn"][:20])}, remedy, RUNBOOK))
    if not any(each.severity in ("warning", "critical") for each in findings):
        counted = live.found["counted"]
        text = "%s takes requests, and its %d services are started" % (name, len(live.found["services"]))
        findings.insert(0, Finding("motr.process.ok", "ok", name, text, dict(counted), None, RUNBOOK))
    return findings


def _requests(live: Live, name: str) -> List[Finding]:
    handler = _handler(live.found or {"reqh": None}) or {}
    if live.ending:
        text = "%s is shutting down" % name
        return [Finding("motr.process.ending", "warning", name, text, handler, Remedy("wait until it has ended; see its journal if it does not"), RUNBOOK)]
    if live.state == DRAIN:
        text = "%s refuses incoming requests (%s): clients hang and try again" % (name, handler["state_name"])
        variables = {"motr_requests_state": "running", **({"motr_process": name} if live.process and live.process.fid else {})}
        remedy = Remedy("have them served again, when whoever stopped them is done", _PLAYBOOK, variables)
        return [Finding("motr.requests.stopped", "warning", name, text, handler, remedy, RUNBOOK)]
    if live.state not in (NORMAL, None):
        text = "the request handler of %s is in the state %s (%s), and serves no requests" % (name, live.state, handler["state_name"])
        return [Finding("motr.requests.other", "warning", name, text, handler, Remedy("wait until it is up, or see its journal"), RUNBOOK)]
    if live.state is None:
        text = "whether %s takes requests could not be read" % name
        remedy = Remedy("run it again; a program that was built otherwise keeps its request handler where this does not look for it")
        return [Finding("motr.requests.unknown", "warning", name, text, handler, remedy, RUNBOOK)]
    return []


def _services(live: Live, name: str) -> List[Finding]:
    findings = []
    for row in (live.found or {})["services"]:
        state = row["machine"]["state"]
        if state != STARTED:
            text = "service %s %s of %s is not started, but %s" % (row["type"], row["fid"], name, row["machine"]["name"] or state)
            remedy = Remedy("it starts only with its process: restart that, for example with hctl, after a look at its journal")
            severity = "critical" if state == FAILED else "warning"
            findings.append(Finding("motr.service.not_started", severity, row["fid"], text, {"type": row["type"], "state": state}, remedy, RUNBOOK))
    return findings


def _stuck(live: Live, name: str, stuck_after: float) -> List[Finding]:
    found = live.found or {}
    rows = [fom(row, found["now"]) for row in found["foms"] if not row["internal"]]
    old = sorted((row for row in rows if row["age"] is not None and row["age"] >= stuck_after), key=lambda row: -float(row["age"] or 0))
    if not old:
        return []
    first = old[0]
    text = "%d foms of %s have not moved for %s seconds or more, the oldest for %s: %s of %s in the phase %s" % (
        (len(old), name, stuck_after, first["age"], first["type"], first["service"], first["phase_name"] or first["phase"])
    )
    remedy = Remedy("see what they wait for by their phase (a transaction, a lock, the network); call those who support Motr before it is restarted")
    return [Finding("motr.fom.stuck", "warning", name, text, {"count": len(old), "oldest": first}, remedy, RUNBOOK)]
