# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the index of a device, which a cob carries, to the device, its service, process and node, by the configuration. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

from .conf import Conf, Object
from .ids import Fid

IOS = "M0_CST_IOS"


class Place(NamedTuple):
    """A device and who serves it; None where the configuration does not tell."""

    sdev: Object
    drive: Optional[Object]
    service: Optional[Object]
    process: Optional[Object]
    node: Optional[Object]


def places(cluster: Conf, index: int) -> List[Place]:
    """The devices of an index. Those of services for data come alone where there are any, as cobs are on no others."""
    found = [_place(cluster, sdev) for sdev in cluster.of_kind("sdev") if sdev.fields["index"] == index]
    return [place for place in found if place.service is not None and place.service.fields["type"] == IOS] or found


def _place(cluster: Conf, sdev: Object) -> Place:
    service = _listing(cluster, "service", "sdevs", sdev)
    process = _listing(cluster, "process", "services", service)
    drive = next((each for each in cluster.of_kind("drive") if each.fields["sdev"] == sdev.fid), None)
    return Place(sdev, drive, service, process, _listing(cluster, "node", "processes", process))


def _listing(cluster: Conf, kind: str, field: str, what: Optional[Object]) -> Optional[Object]:
    """Who of a kind lists an object."""
    return next((each for each in cluster.of_kind(kind) if what is not None and what.fid in each.fields[field]), None)


def told(index: int, place: Optional[Place]) -> Dict[str, Any]:
    """The device and its server as the module returns them."""
    return {
        "device": {
            "index": index,
            "path": place.sdev.fields["path"] if place else None,
            "sdev": _fid(place.sdev if place else None),
            "drive": _fid(place.drive if place else None),
            "size": place.sdev.fields["size"] if place else None,
            "block_size": place.sdev.fields["block_size"] if place else None,
        },
        "service": _fid(place.service if place else None),
        "process": _fid(place.process if place else None),
        "endpoint": place.process.fields["endpoint"] if place and place.process else None,
        "node": _fid(place.node if place else None),
    }


def process_of(place: Optional[Place]) -> Optional[Fid]:
    """The process that serves the device."""
    return place.process.fid if place and place.process else None


def _fid(found: Optional[Object]) -> Optional[str]:
    return str(found.fid) if found is not None else None
