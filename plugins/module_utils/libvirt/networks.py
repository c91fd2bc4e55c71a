# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks as they were at one moment, as values, and how they are read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.libvirt import Libvirt
from .domain_xml import parse as parse_domain
from .domains import stamp
from .network_xml import Definition, parse

BRIDGES = "/sys/class/net/%s"


@dataclass(frozen=True)
class Network:
    """One network. ``kept`` is its definition, ``live`` what is active of it: an edit reaches the second only when it is started anew."""

    name: str
    uuid: str
    persistent: bool
    active: bool
    autostart: bool
    kept: Optional[Definition] = None
    live: Optional[Definition] = None
    leases: Sequence[Mapping[str, Any]] = ()
    attached: Tuple[str, ...] = ()
    """Running domains that are on it."""
    bridge_gone: bool = False
    """libvirt calls it active, and the node has no such interface."""

    @property
    def definition(self) -> Definition:
        """What it is, or what it will be when it is started anew."""
        return self.kept or self.live or Definition(self.name)

    @property
    def bridge(self) -> Optional[str]:
        return (self.live or self.definition).parts.get("bridge")

    def to_dict(self) -> Dict[str, Any]:
        live = {host.mac for host in self.live.hosts} if self.live else set()
        return {
            "name": self.name,
            "uuid": self.uuid,
            "persistent": self.persistent,
            "active": self.active,
            "autostart": self.autostart,
            "bridge": self.bridge,
            "bridge_exists": not self.bridge_gone if self.active else None,
            "forward": self.definition.parts.get("forward"),
            "addresses": self.definition.parts.get("addresses", []),
            "dhcp_ranges": self.definition.parts.get("dhcp_ranges", []),
            "static_hosts": [dict(host.to_dict(), live=host.mac in live) for host in self.definition.hosts],
            "leases": [dict(lease, expires=stamp(lease["expires"])) for lease in self.leases],
            "domains": list(self.attached),
        }


@dataclass(frozen=True)
class NetworksState:
    networks: Sequence[Network]

    def named(self, name: str) -> Optional[Network]:
        return next((network for network in self.networks if network.name == name), None)


def network_of(row: Mapping[str, Any], attached: Mapping[str, Sequence[str]], local: bool) -> Network:
    """From what the connection tells."""
    kept = parse(row["xml"]) if row["xml"] else None
    live = parse(row["live_xml"]) if row["live_xml"] else None
    bridge = live.parts.get("bridge") if live else None
    return Network(
        name=row["name"],
        uuid=row["uuid"],
        persistent=row["persistent"],
        active=row["active"],
        autostart=row["autostart"],
        kept=kept,
        live=live,
        leases=row["leases"],
        attached=tuple(attached.get(row["name"], ())),
        bridge_gone=bool(local and bridge and not os.path.exists(BRIDGES % bridge)),
    )


def read_networks(libvirt: Libvirt) -> List[Network]:
    """All of them, with who is on them."""
    attached = read_attached(libvirt)
    return [network_of(row, attached, libvirt.local) for row in libvirt.networks()]


def read_attached(libvirt: Libvirt) -> Dict[str, List[str]]:
    """Names of running domains by the network that they are on."""
    attached: Dict[str, List[str]] = {}
    for row in libvirt.domains():
        if row["active"]:
            sources = {face.source for face in parse_domain(row["xml"]).interfaces if face.kind == "network" and face.source}
            for source in sources:
                attached.setdefault(source, []).append(row["name"])
    return attached
