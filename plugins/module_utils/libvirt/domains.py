# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Domains as they were at one moment, as values, and how they are read."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from ..connect.libvirt import PAUSED, Libvirt
from ..connect.procfs import Process, read_process, started_at
from . import network_xml
from .domain_xml import Description, parse
from .kinds import Kinds

PID_FILES = ("/run/libvirt/qemu/%s.pid", "/var/run/libvirt/qemu/%s.pid")
LEASE, ARP, AGENT, TABLE = "lease", "arp", "agent", "table"
"""Where an address is known from. The last is what a network's table of static hosts promises, and nobody was seen with."""


@dataclass(frozen=True)
class Address:
    mac: str
    address: str
    source: str
    name: Optional[str] = None

    def to_dict(self) -> Dict[str, Optional[str]]:
        return {"address": self.address, "mac": self.mac, "source": self.source, "name": self.name}


@dataclass(frozen=True)
class Domain:
    """One domain. ``pid`` is its process, where that is of this node and can be told."""

    name: str
    uuid: str
    kind: str
    id: Optional[int]
    active: bool
    state: str
    reason: int
    persistent: bool
    autostart: bool
    about: Description
    xml: str
    process: Optional[Process] = None
    since: Optional[float] = None
    addresses: Tuple[Address, ...] = ()
    missing: Tuple[str, ...] = ()
    """Files of its disks that are not there."""

    @property
    def why(self) -> Optional[str]:
        """Why it is paused."""
        return PAUSED.get(self.reason) if self.state == "paused" else None

    def to_dict(self) -> Dict[str, Any]:
        return {
            "name": self.name,
            "uuid": self.uuid,
            "kind": self.kind,
            "id": self.id,
            "active": self.active,
            "state": self.state,
            "reason": self.why,
            "persistent": self.persistent,
            "autostart": self.autostart,
            "vnc": self.about.vnc,
            "interfaces": [interface.to_dict() for interface in self.about.interfaces],
            "macs": [interface.mac for interface in self.about.interfaces],
            "ips": [address.to_dict() for address in self.addresses],
            "disks": [dict(disk.to_dict(), missing=[path for path in disk.files if path in self.missing]) for disk in self.about.disks],
            "pid": self.process.pid if self.process else None,
            "since": stamp(self.since),
        }


@dataclass(frozen=True)
class DomainsState:
    """All domains of a hypervisor."""

    domains: Sequence[Domain]
    versions: Mapping[str, str]
    addresses_unknown: str = ""
    """Why the addresses of domains cannot be told."""

    def named(self, name: str) -> Optional[Domain]:
        return next((domain for domain in self.domains if domain.name == name), None)


def stamp(seconds: Optional[float]) -> Optional[str]:
    """A time as results show it, in UTC."""
    return None if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def read_domains(libvirt: Libvirt, kinds: Kinds) -> List[Domain]:
    """All of them, with their processes."""
    return [_domain(row, kinds, libvirt.local) for row in libvirt.domains()]


def _domain(row: Mapping[str, Any], kinds: Kinds, local: bool) -> Domain:
    process = process_of(row["name"], row["uuid"]) if local and row["active"] else None
    return Domain(
        name=row["name"],
        uuid=row["uuid"],
        kind=kinds.kind(row["name"]),
        id=row["id"],
        active=row["active"],
        state=row["state"],
        reason=row["reason"],
        persistent=row["persistent"],
        autostart=row["autostart"],
        about=parse(row["xml"]),
        xml=row["xml"],
        process=process,
        since=started_at(process) if process else None,
    )


def process_of(name: str, uuid: str) -> Optional[Process]:
    """The process that runs a domain: the pid that libvirt wrote down, if what has it was started for this very domain."""
    for pattern in PID_FILES:
        try:
            with open(pattern % name, encoding="ascii") as file:
                process = read_process(int(file.read(32)))
        except (OSError, ValueError):
            continue
        return process if process is not None and uuid in process.argv else None
    return None


def with_files(domains: Iterable[Domain]) -> List[Domain]:
    """Which files of their disks are gone, as seen from this node."""
    return [replace(domain, missing=tuple(path for disk in domain.about.disks for path in disk.files if not _there(path))) for domain in domains]


def _there(path: str) -> bool:
    """What may not be looked at may be there."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def with_addresses(libvirt: Libvirt, domains: Sequence[Domain], agent: bool, networks: Sequence[Mapping[str, Any]]) -> List[Domain]:
    """Addresses from leases, from the guests if they are to be asked, and for MACs that are in neither from the ARP table; else what the table promises."""
    leases = {lease["mac"]: lease for network in networks for lease in network["leases"]}
    tables = {host.mac: host for network in networks if network["live_xml"] for host in network_xml.parse(network["live_xml"]).hosts}
    asked = [domain.uuid for domain in domains if agent and domain.active and domain.about.agent]
    said = libvirt.addresses(asked, agent=True) if asked else {}
    unknown = [domain.uuid for domain in domains if domain.active and any(face.mac not in leases for face in domain.about.interfaces)]
    seen = libvirt.addresses(unknown) if unknown else {}
    return [replace(domain, addresses=_addresses(domain, leases, said, seen, tables)) if domain.active else domain for domain in domains]


def _addresses(
    domain: Domain,
    leases: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, Sequence[Mapping[str, str]]],
    seen: Mapping[str, Sequence[Mapping[str, str]]],
    tables: Mapping[str, network_xml.StaticHost],
) -> Tuple[Address, ...]:
    found = [Address(row["mac"], row["address"], AGENT) for row in said.get(domain.uuid, ())]
    for face in domain.about.interfaces:
        lease = leases.get(face.mac)
        if lease is not None and lease["address"]:
            found.append(Address(face.mac, lease["address"], LEASE, lease["name"]))
    known = {address.mac for address in found}
    found += [Address(row["mac"], row["address"], ARP) for row in seen.get(domain.uuid, ()) if row["mac"] not in known]
    known = {address.mac for address in found}
    promised = [tables[face.mac] for face in domain.about.interfaces if face.mac in tables and face.mac not in known]
    found += [Address(host.mac, host.ip, TABLE, host.name) for host in promised]
    unique = {(address.mac, address.address): address for address in reversed(found)}
    return tuple(sorted(unique.values(), key=lambda address: (address.mac, address.address)))
