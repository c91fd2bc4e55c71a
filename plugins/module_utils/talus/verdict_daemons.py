# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the daemons: whether they run and stay, and whether they consume. A process that is up proves nothing. Pure."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional

from ..procedure.envelope import Finding, Remedy
from .connections import ESTABLISHED
from .daemons import BRIDGE, Daemon
from .init import Unit
from .names import FILE, number
from .state import MASTER, SLAVE, Limits, TalusState
from .verdict_containers import HEADINGS

RESTART = "fieldops.runbooks.talus_daemon_restart"
REPLICA_SET = "fieldops.runbooks.talus_replica_set"
_AMQP = "fieldops.runbooks.talus_amqp"
_NEEDS = {MASTER: ("amqp", "db"), SLAVE: ("amqp",)}
"""What it is connected to as long as it lives. Slaves get the database's address later, from the master."""
_CALLED = {"amqp": "the broker", "db": "the database"}


def judge_daemons(state: TalusState, limits: Limits) -> List[Finding]:
    if state.daemons is None:
        return []
    found: List[Finding] = []
    for kind in state.roles:
        found += _kind(state, kind, limits)
    found += _broker(state)
    found += _vagrants(state)
    return found


def _kind(state: TalusState, kind: str, limits: Limits) -> Iterator[Finding]:
    """All daemons of one kind, of which there should be one."""
    daemons = state.daemons.of(kind) if state.daemons else []
    unit = state.init.unit(kind) if state.init else None
    if _flaps(state, kind, daemons, unit, limits):
        yield _flapping(state, kind, daemons, unit)
        return
    if not daemons:
        yield _absent(state, kind, unit)
        return
    if len(daemons) > 1:
        pids = [daemon.pid for daemon in daemons]
        text = "%d processes are %ss (%s): they take each other's messages" % (len(pids), kind, ", ".join(map(str, pids)))
        yield _said("duplicate", "critical", kind, kind, text, {"pids": pids}, _restart(kind))
    for daemon in daemons:
        yield from _one(state, daemon, unit, limits)


def _flaps(state: TalusState, kind: str, daemons: List[Daemon], unit: Optional[Unit], limits: Limits) -> bool:
    """Seen to be replaced, or waiting to be started again, or given up, or young and not for the first time."""
    if state.daemons is not None and kind in state.daemons.restarted:
        return True
    if unit is None:
        return False
    if unit.service.restarting or (not daemons and unit.service.result.startswith("start-limit")):
        return True
    young = not daemons or min(daemon.age for daemon in daemons) < limits.settle
    return bool(unit.service.restarts) and unit.service.on and young


def _flapping(state: TalusState, kind: str, daemons: List[Daemon], unit: Optional[Unit]) -> Finding:
    causes = _causes(state, kind, daemons)
    times = "" if unit is None or not unit.service.restarts else ", %s so far" % number(unit.service.restarts, "time", "times")
    text = "the %s ends and is started again and again%s" % (kind, times)
    if causes:
        text += ": %s" % "; ".join(causes.values())
    else:
        text += "; its log says why"
    detail = dict(_unit(unit), causes=list(causes), pids=[daemon.pid for daemon in daemons])
    return _said("flapping", "critical", kind, kind, text, detail, _cure(kind, causes))


def _causes(state: TalusState, kind: str, daemons: List[Daemon]) -> Dict[str, str]:
    """What is known to end a daemon at once, by a word."""
    causes: Dict[str, str] = {}
    if kind == MASTER and state.database is not None and state.database.why_not():
        causes["database"] = state.database.why_not()
    if kind == MASTER and state.database is None and "records" in state.missing:
        causes["database"] = "the database cannot be reached"
    if state.broker is not None and state.broker.problem:
        causes["broker"] = "the broker at %s does not answer" % state.broker.address
    interfaces = state.daemons.interfaces if state.daemons else {}
    for name in dict.fromkeys(daemon.interface for daemon in daemons):
        if not interfaces.get(name, True):
            causes["interface"] = "there is no network interface %s" % name
    if kind == SLAVE and not interfaces.get(BRIDGE, True):
        causes["bridge"] = "there is no bridge %s: libvirt's talus-network is not active" % BRIDGE
    return causes


def _cure(kind: str, causes: Mapping[str, str]) -> Remedy:
    if "database" in causes:
        return Remedy("give the database its primary back, then restart the %s" % kind, REPLICA_SET, {"talus_repair": True})
    if "bridge" in causes:
        return Remedy("start libvirt's talus-network, then the slave", "fieldops.runbooks.talus_libvirt", {"talus_repair": True})
    if "broker" in causes:
        return Remedy("see to the broker, then restart master and every slave", _AMQP)
    return _restart(kind)


def _absent(state: TalusState, kind: str, unit: Optional[Unit]) -> Finding:
    if state.daemons is not None and state.daemons.hidden:
        text = "whether a %s runs cannot be told: /proc shows this user only their own processes" % kind
        return _said("unseen", "warning", kind, kind, text, _unit(unit), Remedy("run it as root: become: true"))
    causes = _causes(state, kind, [])
    text = "no %s runs: no process is exactly python -m %s%s" % (kind, kind, " INTERFACE" if kind == MASTER else " BROKER VMS INTERFACE")
    if unit is not None:
        text += "; its unit %s is %s" % (unit.name, unit.service.active)
    if causes:
        text += "; %s" % "; ".join(causes.values())
    return _said("missing", "critical", kind, kind, text, dict(_unit(unit), causes=list(causes)), _cure(kind, causes))


def _one(state: TalusState, daemon: Daemon, unit: Optional[Unit], limits: Limits) -> Iterator[Finding]:
    subject = "%s %d" % (daemon.kind, daemon.pid)
    detail: Dict[str, Any] = {"pid": daemon.pid, "age": round(daemon.age, 1), "owner": daemon.process.owner}
    if unit is not None and not unit.service.on:
        text = "the %s (process %d) runs, and its unit %s is %s: somebody started it by hand, and the unit would start another one"
        remedy = _restart(daemon.kind)
        text %= (daemon.kind, daemon.pid, unit.name, unit.service.active)
        yield _said("unmanaged", "warning", daemon.kind, subject, text, dict(detail, **_unit(unit)), remedy)
    if daemon.connections is None:
        text = "whether the %s (process %d of %s) consumes cannot be told: its connections are not for this user to see"
        remedy = Remedy("run it as root: become: true")
        yield _said("unseen", "warning", daemon.kind, subject, text % (daemon.kind, daemon.pid, daemon.process.owner), detail, remedy)
        return
    if daemon.age < limits.settle:
        return
    seen = dict(detail, connections=[each.to_dict() for each in daemon.connections])
    for component in _NEEDS[daemon.kind]:
        why = _not_connected(state, daemon, component)
        if why:
            word = "deaf" if component == "amqp" else "no_database"
            text = "the %s (process %d) is up and does nothing: %s" % (daemon.kind, daemon.pid, why)
            yield _said(word, "critical", daemon.kind, subject, text, seen, _cure(daemon.kind, _broken(state, component)))


def in_touch(state: TalusState) -> bool:
    """Whether each daemon that is seen has what it needs, however young it is. One that is younger than ``settle`` is not blamed for it yet."""
    seen = [daemon for daemon in (state.daemons.found if state.daemons else ()) if daemon.connections is not None]
    return all(not _not_connected(state, daemon, component) for daemon in seen for component in _NEEDS[daemon.kind])


def _not_connected(state: TalusState, daemon: Daemon, component: str) -> str:
    """Why it is not in touch with the broker or the database; empty where it is."""
    ports, name = state.port_of(component), _CALLED[component]
    to = [each for each in daemon.connections or () if each.port in ports]
    alive = [each for each in to if each.state == ESTABLISHED]
    if not alive:
        left = " (what it had was closed by the other end)" if any(each.state == "close_wait" for each in to) else ""
        return "it has no connection to %s%s, and does not make a new one by itself" % (name, left)
    container = state.container(component)
    if daemon.kind == SLAVE or container is None or not container.running or any(each.local or each.address in container.addresses for each in alive):
        return ""
    return "its connection to %s leads to %s, which is nobody's any more" % (name, alive[0].address)


def _broken(state: TalusState, component: str) -> Dict[str, str]:
    if component == "amqp":
        return {"broker": ""} if state.broker is not None and state.broker.problem else {}
    down = (state.database is not None and state.database.why_not()) or "records" in state.missing
    return {"database": ""} if down else {}


def _broker(state: TalusState) -> Iterator[Finding]:
    if state.broker is not None and state.broker.problem:
        text = "no broker answers at %s: %s" % (state.broker.address, state.broker.problem)
        remedy = Remedy("see to the broker, then restart master and every slave: none of them connects again by itself", _AMQP)
        yield Finding("talus.amqp.unreachable", "critical", state.broker.address, text, state.broker.to_dict(), remedy, (FILE, "AMQP"))


def _vagrants(state: TalusState) -> Iterator[Finding]:
    """Runs of vagrant that outlived the master that began them."""
    for vagrant in state.daemons.vagrants if state.daemons else ():
        if vagrant.master is None:
            text = "vagrant up (process %d, for %d s) has lost its master: nobody waits for it, and its machine stays up" % (vagrant.process.pid, vagrant.age)
            detail = {"pid": vagrant.process.pid, "owner": vagrant.process.owner, "age": round(vagrant.age, 1), "argv": list(vagrant.process.argv[:8])}
            remedy = Remedy("end it and its configuration VM (tmp..._default), unless somebody runs vagrant by hand", "fieldops.runbooks.talus_images")
            yield Finding("talus.daemon.orphan", "warning", "vagrant %d" % vagrant.process.pid, text, detail, remedy, (FILE, "Vagrant"))


def _restart(kind: str) -> Remedy:
    return Remedy("restart the %s, and see that it consumes" % kind, RESTART, {"talus_daemons": [kind], "talus_repair": True})


def _unit(unit: Optional[Unit]) -> Dict[str, Any]:
    return {"unit": unit.name, "active": unit.service.active, "sub": unit.service.sub, "restarts": unit.service.restarts} if unit else {"unit": None}


def _said(word: str, severity: str, kind: str, subject: str, text: str, detail: Mapping[str, Any], remedy: Optional[Remedy]) -> Finding:
    return Finding("talus.daemon.%s" % word, severity, subject, text, dict(detail, kind=kind), remedy, (FILE, HEADINGS[kind]))
