# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a cob, its place and its extents. Pure."""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Optional

from ..procedure.envelope import Finding, Remedy
from .cob_place import process_of
from .cob_state import Look
from .damage import DAMAGE, whole
from .emap import Extents
from .source import RUNBOOK, hexadecimal, safe

SHOWN = 100
_CONF = "take the configuration from the confd that runs, with confstr"


def diagnose(look: Look, source: str) -> List[Finding]:
    """The place first, then the extents."""
    found = [*_of_the_configuration(look), *_of_the_process(look), *_of_the_root(look, source)]
    if look.extents is not None:
        found += _of_extents(look, look.extents, source)
    if look.extents is not None and look.extents.known and not found:
        text = "all of the map of cob %s could be read: %d extents" % (look.cob.fid, len(look.extents.extents))
        found.append(_finding(look, "motr.cob.ok", "ok", text))
    return found


def _finding(look: Look, code: str, severity: str, text: str, remedy: str = "", detail: Optional[Mapping[str, Any]] = None) -> Finding:
    return Finding(code, severity, str(look.cob.fid), text, dict(detail or {}), Remedy(remedy) if remedy else None, RUNBOOK)


def _of_the_configuration(look: Look) -> Iterator[Finding]:
    if look.cluster is None:
        return
    if look.cluster.problems:
        text = "%d records of the configuration could not be read, the first because: %s" % (len(look.cluster.problems), look.cluster.problems[0])
        yield _finding(look, "motr.conf.unread", "warning", text, "see that the configuration is of Motr 2 and whole", {"unread": len(look.cluster.problems)})
    device = look.cob.device
    if not look.served:
        yield _finding(look, "motr.device.unknown", "warning", "the configuration has no device with the index %d" % device, _CONF, {"device": device})
    if len(look.served) > 1:
        paths = [place.sdev.fields["path"] for place in look.served]
        text = "the configuration has %d devices with the index %d: %s" % (len(paths), device, ", ".join(paths))
        yield _finding(look, "motr.device.ambiguous", "warning", text, _CONF, {"device": device, "paths": paths})
    if look.place is not None and look.place.service is None:
        text = "no service of the configuration has the device %d (%s), so nothing tells its server" % (device, look.place.sdev.fields["path"])
        yield _finding(look, "motr.device.unserved", "warning", text, _CONF, {"device": device})


def _of_the_process(look: Look) -> Iterator[Finding]:
    wanted = process_of(look.place)
    if wanted is not None and look.server is not None and wanted != look.server:
        text = "the device %d of the cob is served by the process %s, and the one that was looked at is %s" % (look.cob.device, wanted, look.server)
        yield _finding(look, "motr.cob.elsewhere", "warning", text, "look at the process %s" % (wanted,), {"wanted": str(wanted), "read": str(look.server)})


def _of_the_root(look: Look, source: str) -> Iterator[Finding]:
    scanned = look.scanned
    if scanned is not None:
        told = {"scanned": scanned.scanned, "size": scanned.size}
        yield from (whole(fault, str(look.cob.tree), source, told) for fault in scanned.faults)
        if look.root is not None and look.root.address is not None:
            yield from (_old(look, node.address) for node in scanned.damaged[:SHOWN] if node.address != look.root.address)
    if look.root is not None and look.root.fault is not None:
        candidates = [hexadecimal(each) for each in look.root.candidates]
        yield whole(look.root.fault, str(look.cob.tree), source, {"candidates": candidates})


def _old(look: Look, address: int) -> Finding:
    text = "a damaged node of the tree %s is at %#x; either it is an old one in freed memory, or the map lacks it" % (look.cob.tree, address)
    return _finding(look, "motr.node.stray", "info", text, "walk the tree from its root with motr_btree_info", {"address": hexadecimal(address)})


def _of_extents(look: Look, extents: Extents, source: str) -> Iterator[Finding]:
    for fault in extents.faults[:SHOWN]:
        text = "the map of cob %s in %s: %s" % (look.cob.fid, source, fault.text)
        yield _finding(look, "motr.cob.%s" % fault.code, "critical", text, DAMAGE, {"fault": fault.code, "source": source, "total": len(extents.faults)})
    if not extents.known and not extents.faults:
        text = "the map of device %d has no cob %s" % (look.cob.device, look.cob.fid)
        remedy = "nothing of the object was written to this device, or it was deleted; see with motr_layout_info whether it should have a cob there"
        yield _finding(look, "motr.cob.absent", "warning", text, remedy, {"tree": str(look.cob.tree)})
    size = look.place.sdev.fields["size"] if look.place else 0
    ends = [extent.device_offset + extent.length for extent in extents.extents if extent.device_offset is not None]
    if size and ends and max(ends) > size:
        text = "an extent of the cob ends at byte %d of the device, which has %d by the configuration" % (max(ends), size)
        yield _finding(look, "motr.cob.beyond", "critical", text, _CONF, safe({"end": max(ends), "size": size}))
    yield from _shared(look, extents)


def _shared(look: Look, extents: Extents) -> Iterator[Finding]:
    """Two parts of a cob at one place of the device."""
    placed = sorted((extent.device_offset, extent.length, extent.offset) for extent in extents.extents if extent.device_offset is not None)
    clashes = [(one, two) for one, two in zip(placed, placed[1:]) if one[0] + one[1] > two[0]]
    if clashes:
        one, two = clashes[0]
        text = "bytes %d and %d of the cob are both at byte %d of the device" % (one[2] + two[0] - one[0], two[2], two[0])
        yield _finding(look, "motr.cob.shared", "critical", text, DAMAGE, safe({"device_offset": two[0], "clashes": len(clashes)}))
