# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host of Talus looked like at one moment, as values. Nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from .boxes import Boxes
from .broker import Broker
from .connections import ESTABLISHED
from .containers import Container, Held
from .daemons import Daemon, Daemons
from .init import Init
from .names import COMPONENTS, DAEMONS, Named, majority
from .records import Database, Records

PARTS = ("containers", "daemons", "records", "boxes")
MASTER, SLAVE = DAEMONS


@dataclass(frozen=True)
class Limits:
    """From when on something is worth a finding, in seconds."""

    heartbeat: float = 15.0
    image: float = 7200.0
    settle: float = 30.0
    """How old a daemon must be before it is believed to stay, and to have made its connections."""
    slack: float = 1.0
    """What is started within this time of another thing was started with it."""


@dataclass(frozen=True)
class Ports:
    """Where broker and database are reached."""

    amqp: int = 5672
    mongodb: int = 27017


@dataclass(frozen=True)
class TalusState:
    """What could not be read is None, and ``missing`` says why, by part. What was not asked for is None as well."""

    now: float
    roles: Tuple[str, ...] = ()
    init: Optional[Init] = None
    containers: Optional[Mapping[str, Optional[Container]]] = None
    others: Tuple[Container, ...] = ()
    held: Tuple[Held, ...] = ()
    logs: Mapping[str, List[str]] = field(default_factory=dict)
    """The end of the log of each container, by its name, where that was asked for."""
    daemons: Optional[Daemons] = None
    broker: Optional[Broker] = None
    database: Optional[Database] = None
    records: Optional[Records] = None
    boxes: Optional[Boxes] = None
    missing: Mapping[str, str] = field(default_factory=dict)
    ports: Ports = field(default_factory=Ports)

    def container(self, component: str) -> Optional[Container]:
        return self.containers.get(component) if self.containers else None

    def all_held(self) -> List[Held]:
        """By containers and by daemons, each once."""
        found = list(self.held)
        for daemon in self.daemons.found if self.daemons else ():
            found += daemon.held
        return list(dict.fromkeys(found))

    def port_of(self, component: str) -> Set[int]:
        """Ports that a connection to the broker or the database may have at its other end."""
        container = self.container(component)
        inside = {int(port["container"].partition("/")[0]) for port in container.ports} if container else set()
        outside = {port["port"] for port in container.ports} if container else set()
        return inside | outside | {self.ports.amqp if component == "amqp" else self.ports.mongodb}


def connected(state: TalusState, daemon: Daemon, component: str) -> Optional[bool]:
    """Whether a daemon has an established connection to the broker or the database; None where that may not be seen."""
    if daemon.connections is None:
        return None
    ports = state.port_of(component)
    return any(each.state == ESTABLISHED and each.port in ports for each in daemon.connections)


def spelling(state: TalusState) -> Optional[str]:
    """How most names on this host are spelt."""
    named = [Named(container.component, container.spelling) for container in (state.containers or {}).values() if container]
    named += [Named(unit.component, unit.spelling) for unit in (state.init.units if state.init else ())]
    return majority(named)


def facts(state: TalusState, limits: Limits) -> Dict[str, Any]:
    """The module's return values but for what is judged."""
    return {
        "roles": list(state.roles),
        "spelling": spelling(state),
        "manager": state.init.manager if state.init else None,
        "units": _units(state),
        "containers": None if state.containers is None else {name: _container(state, state.container(name)) for name in COMPONENTS},
        "other_containers": [_container(state, container) for container in state.others],
        "daemons": None if state.daemons is None else {kind: [_daemon(state, each) for each in state.daemons.of(kind)] for kind in DAEMONS},
        "vagrants": None if state.daemons is None else [_vagrant(each) for each in state.daemons.vagrants],
        "broker": state.broker.to_dict() if state.broker else None,
        "database": _database(state.database) if state.database else None,
        "slaves": None if state.records is None else [_slave(each, state.records.now, limits) for each in state.records.slaves],
        "images": None if state.records is None else _images(state.records),
        "jobs": None if state.records is None else _jobs(state.records),
        "boxes": state.boxes.to_dict() if state.boxes else None,
        "missing": dict(state.missing),
    }


def _units(state: TalusState) -> Dict[str, Any]:
    if state.init is None:
        return {}
    found = {component: state.init.unit(component) for component in (*COMPONENTS, *DAEMONS)}
    return {component: unit.to_dict() if unit else None for component, unit in found.items()}


def _container(state: TalusState, container: Optional[Container]) -> Optional[Dict[str, Any]]:
    if container is None:
        return None
    names = ("id", "name", "component", "kind", "spelling", "found_by", "image", "hostname", "status", "running", "exit_code", "restarts", "started")
    shown = {name: getattr(container, name) for name in names}
    held = [each for each in state.held if each.holder == container.component and container is state.container(container.component)]
    return dict(
        shown,
        ports=[dict(port) for port in container.ports],
        mounts=[dict(mount) for mount in container.mounts],
        networks=dict(container.networks),
        network_mode=container.network_mode,
        links=list(container.links),
        holds=[_held(each) for each in held],
        log=state.logs.get(container.name, []),
    )


def _held(held: Held) -> Dict[str, Any]:
    return {"component": held.component, "where": held.where, "name": held.name, "address": held.address}


def _daemon(state: TalusState, daemon: Daemon) -> Dict[str, Any]:
    unit = state.init.unit(daemon.kind) if state.init else None
    return {
        "pid": daemon.pid,
        "start": daemon.process.start,
        "argv": list(daemon.process.argv),
        "owner": daemon.process.owner,
        "age": round(daemon.age, 1),
        "started": round(daemon.started, 1),
        "interface": daemon.interface,
        "broker": daemon.broker,
        "max_vms": daemon.max_vms,
        "unit": unit.name if unit and daemon.pid in unit.service.pids else None,
        "connected": {"amqp": connected(state, daemon, "amqp"), "mongodb": connected(state, daemon, "db")},
        "connections": None if daemon.connections is None else [each.to_dict() for each in daemon.connections],
        "holds": [_held(each) for each in daemon.held],
    }


def _vagrant(vagrant: Any) -> Dict[str, Any]:
    return {"pid": vagrant.process.pid, "argv": list(vagrant.process.argv[:8]), "age": round(vagrant.age, 1), "master": vagrant.master}


def _database(database: Database) -> Dict[str, Any]:
    names = ("address", "writable", "initiated", "replica_set", "primary")
    return {name: getattr(database, name) for name in names}


def _slave(slave: Any, now: float, limits: Limits) -> Dict[str, Any]:
    names = ("id", "hostname", "ip", "uuid", "max_vms", "running_vms", "total_jobs_run")
    age = slave.age(now)
    shown = {name: getattr(slave, name) for name in names}
    return dict(shown, vms=[dict(vm) for vm in slave.vms], heartbeat_age=None if age is None else round(age, 1), alive=slave.alive(now, limits.heartbeat))


def _images(records: Records) -> Dict[str, Any]:
    rows = [{"id": each.id, "name": each.name, "status": each.status, "base_image": each.base, "age": _since(records, each.since)} for each in records.images]
    return {"total": sum(records.counts["images"].values()), "by_status": dict(records.counts["images"]), "list": rows}


def _jobs(records: Records) -> Dict[str, Any]:
    names = ("id", "name", "status", "queue", "priority", "limit", "progress", "image", "debug")
    rows = [dict({name: getattr(each, name) for name in names}, age=_since(records, each.since)) for each in records.jobs]
    return {"total": sum(records.counts["jobs"].values()), "by_status": dict(records.counts["jobs"]), "active": rows}


def _since(records: Records, stamp: Optional[float]) -> Optional[float]:
    return None if stamp is None else round(max(0.0, records.now - stamp), 1)
