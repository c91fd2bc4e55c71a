# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at where an object's units are. Nothing of a running Motr is needed: what is computed is what its client computes."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from . import conf, layout, object_map
from .errors import MotrError
from .ids import Fid, ObjectId
from .object_map import MOVED, ONLINE, Asked, ObjectMap

RUNBOOK = ("motr-run-time-instruments.rst", "Clarification (CLARIFY)")
_LARGEST_FILE = 64 << 20
_MOST_UNITS = 100000
_LARGEST_OBJECT = 1 << 63
_SHOWN_PROBLEMS = 20


class LayoutState(NamedTuple):
    """What was found. ``oid`` is None where the object was named by a fid."""

    source: str
    objects: int
    problems: Tuple[str, ...]
    oid: Optional[ObjectId]
    found: ObjectMap
    others: Tuple[Fid, ...] = ()
    """Formulaic pool versions by which the object may have another one than was taken for it, where nobody named it."""


class LayoutInfo(Check[LayoutState]):
    """Reads a file, computes the rest."""

    name = "motr_layout_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.params = params
        self.gob, self.oid = object_map.gob_of(params["object"])
        self.asked = _asked(params, self.gob)

    def observe(self) -> LayoutState:
        source = self.params["conf"] or "conf_text"
        text = _read(source) if self.params["conf"] else self.params["conf_text"]
        try:
            cluster = conf.parse(text)
        except MotrError as exc:
            raise MotrError("%s is no configuration of Motr, neither conf.xc nor a dump by confstr: %s" % (source, exc)) from exc
        pver = object_map.choose_pver(cluster, self.params["pool_version"])
        found = object_map.locate(cluster, pver, self.asked, self.params["states"])
        others = () if self.params["pool_version"] else tuple(object_map.virtual_ones(cluster, pver))
        return LayoutState(source, len(cluster.objects), cluster.problems, self.oid, found, others)

    def diagnose(self, state: LayoutState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: LayoutState) -> Mapping[str, Any]:
        found = state.found
        fields, asked = found.pver.fields, found.asked
        return {
            "gob": str(asked.gob),
            "pool_version": {"fid": str(found.pver.fid), **{name: fields[name] for name in "nksp"}, "tolerance": list(fields["tolerance"])},
            "replicated": _replicated(found),
            "unit_size": asked.unit_size,
            "cobs": object_map.cob_facts(found),
            "units": object_map.unit_facts(found),
            "units_total": found.units_total,
            "units_left_off": found.units_total - len(found.units),
            "next_offset": found.next_offset,
        }

    def evidence(self, state: LayoutState) -> Mapping[str, Any]:
        problems = list(state.problems[:_SHOWN_PROBLEMS])
        return {"conf": state.source, "objects": state.objects, "unread": len(state.problems), "problems": problems}


def _asked(params: Mapping[str, Any], gob: Any) -> Asked:
    lid = params["layout_id"]
    unit_size = _between("unit_size", params["unit_size"], 4096, layout.UNIT_SIZES[14]) if lid is None else layout.unit_size(lid)
    if unit_size & (unit_size - 1):
        raise MotrError("unit_size must be a power of two, as all of Motr's are, not %d" % unit_size)
    offset = _between("offset", params["offset"], 0, _LARGEST_OBJECT)
    length, size = params["length"], params["size"]
    if size is not None and _between("size", size, 0, _LARGEST_OBJECT) < offset:
        raise MotrError("offset %d is behind the end of the object, which has %d bytes" % (offset, size))
    ends = [] if size is None else [size]
    if length is not None:
        ends.append(offset + _between("length", length, 1, _LARGEST_OBJECT))
    return Asked(gob, unit_size, offset, min(ends), size, _between("limit", params["limit"], 1, _MOST_UNITS))


def _between(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise MotrError("%s must be %d to %d, not %d" % (name, least, most, value))
    return value


def _read(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as exc:
        raise MotrError("cannot read the configuration %s: %s" % (path, exc.strerror)) from exc
    if len(data) > _LARGEST_FILE:
        raise MotrError("%s has more than %d MiB, which is no configuration" % (path, _LARGEST_FILE >> 20))
    return data.decode("utf-8", "replace")


def _replicated(found: ObjectMap) -> bool:
    return bool(found.pver.fields["n"] == 1 and found.pver.fields["k"])


# -- what is so ----------------------------------------------------------------------------------------------------------------


def diagnose(state: LayoutState) -> List[Finding]:
    """What a reader of the units has to know. Pure."""
    findings = [*_of_the_object(state), *_of_the_configuration(state), *_of_devices(state.found)]
    if not any(each.severity != "info" for each in findings):
        summary = "all %d units returned are on devices that a server of the configuration holds" % len(state.found.units)
        findings.append(_finding("layout.ok", "ok", str(state.found.asked.gob), summary, {"units": len(state.found.units)}))
    return findings


def _finding(code: str, severity: str, subject: str, summary: str, detail: Dict[str, Any], remedy: str = "") -> Finding:
    return Finding("motr." + code, severity, subject, summary, detail, Remedy(remedy) if remedy else None, RUNBOOK)


def _of_the_object(state: LayoutState) -> List[Finding]:
    found, oid, findings = state.found, state.oid, []
    gob = str(found.asked.gob)
    if oid is not None and oid.loses:
        summary = "only the low 32 bits of an id's first half are in the fid: %s has its cobs in common with other ids" % str(oid)
        findings.append(_finding("object.bits_lost", "warning", gob, summary, {"object": str(oid), "lost": "%x" % oid.loses}, "see that the id is an object's"))
    if oid is not None and oid.reserved:
        summary = "%s is an id that Motr keeps for itself, no client can have made such an object" % str(oid)
        findings.append(_finding("object.reserved", "warning", gob, summary, {"object": str(oid)}, "see that the id is an object's"))
    if _replicated(found):
        k = found.pver.fields["k"]
        summary = "a group has one unit of data (N=1), so its %d parity unit%s of it" % (k, " is a copy" if k == 1 else "s are copies")
        findings.append(_finding("layout.copies", "info", gob, summary, {"copies": k}))
    if state.others:
        summary = "%s was taken for the object's pool version; if it was made while devices had failed, it has another one, and its units are elsewhere" % str(
            found.pver.fid
        )
        remedy = "name the pool_version that the object's own records have: PVID, or the cob namespace"
        findings.append(_finding("layout.assumed", "info", gob, summary, {"formulaic": [str(each) for each in state.others]}, remedy))
    if found.next_offset is not None:
        detail = {"units": len(found.units), "units_total": found.units_total, "next_offset": found.next_offset}
        summary = "%(units)d of %(units_total)d units are returned; the next begin at byte %(next_offset)d" % detail
        findings.append(_finding("layout.left_off", "info", gob, summary, detail, "ask again with offset: %d, or with a higher limit" % found.next_offset))
    return findings


def _of_the_configuration(state: LayoutState) -> List[Finding]:
    findings, found = [], state.found
    if state.problems:
        summary = "%d of the configuration's records could not be read, the first because: %s" % (len(state.problems), state.problems[0])
        detail = {"problems": list(state.problems[:_SHOWN_PROBLEMS]), "unread": len(state.problems)}
        findings.append(_finding("conf.unread", "warning", state.source, summary, detail, "see that the configuration is of Motr 2 and whole"))
    if found.pver.fields["n"] != 1 and not any(found.pver.fields["tolerance"]):
        summary = "pool version %s tolerates no failure at all, which Motr refuses when it checks a configuration with N > 1" % str(found.pver.fid)
        remedy = "take the configuration from the confd that runs; where anything else is tolerated, units are elsewhere"
        findings.append(_finding("conf.tolerance", "warning", str(found.pver.fid), summary, {"n": found.pver.fields["n"]}, remedy))
    width, drives = found.pver.fields["p"], len(found.devices)
    if width != drives:
        summary = "pool version %s says that it has %d devices, but its tree has %d" % (found.pver.fid, width, drives)
        remedy = "take the configuration from the confd that runs; with another number of devices units are elsewhere"
        findings.append(_finding("conf.width", "critical", str(found.pver.fid), summary, {"p": width, "drives": drives}, remedy))
    return findings


def _of_devices(found: ObjectMap) -> List[Finding]:
    used: Dict[int, int] = {}
    for each in found.units:
        used[each.unit.target] = used.get(each.unit.target, 0) + 1
    findings = []
    for device in found.devices:
        units, state = used.get(device.target, 0), found.states[device.target]
        if not units:
            continue
        subject = "device %d" % device.dev_idx
        detail = {"device": device.dev_idx, "target": device.target, "path": device.path, "state": state, "units": units}
        if device.service is None:
            summary = "no service of the configuration holds device %d (%s), so nothing tells its server" % (device.dev_idx, device.path)
            findings.append(_finding("device.unserved", "warning", subject, summary, detail, "take the configuration from the confd that runs"))
        if state in MOVED:
            summary = "device %d (%s) is in state %s: %s may be on spare units of their groups, and not where they are told to be" % (
                device.dev_idx,
                device.path,
                state,
                _units(units),
            )
            remedy = "wait until rebalance has ended and the device is online; what is on spare units only the pool machine of a running process knows"
            findings.append(_finding("device.moved", "warning", subject, summary, detail, remedy))
        elif state not in (None, ONLINE):
            summary = "device %d (%s) is in state %s: %s of its cob cannot be read from it" % (device.dev_idx, device.path, state, _units(units))
            findings.append(_finding("device.unavailable", "warning", subject, summary, detail, "bring the device back, or begin to repair its pool"))
    return findings


def _units(number: int) -> str:
    return "1 unit" if number == 1 else "%d units" % number
