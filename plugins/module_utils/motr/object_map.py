# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an object is, by the configuration alone: its pool version, its cobs, and for each unit the cob, the device and the server."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from . import conf, ids, layout
from .errors import MotrError
from .ids import Fid

ONLINE = "online"
MOVED = ("repair", "repaired", "rebalance")
"""States in which units of a device are on spare units of their groups, or are being copied to or from them (``nw_xfer_tioreq_map`` in io_nw_xfer.c)."""
STATES = ("unknown", ONLINE, "failed", "transient", *MOVED)
"""By their numbers, which a pool machine and ha/note.h have in common."""
_SPELLINGS = {"offline": "transient", "repairing": "repair", "rebalancing": "rebalance", **{str(number): name for number, name in enumerate(STATES)}}
# Two bits of the fid of a pool version, below its type (m0_conf_pver_fid): actual, formulaic, virtual.
_PVER_KIND, _VIRTUAL = 54, 2
# conf/schema.h: bits of a device's state.
_BIT_ONLINE, _BIT_GOOD = 1, 2


class Asked(NamedTuple):
    """An object, and what of it is wanted: bytes from ``offset`` to ``end``. ``size`` is None where nobody said it."""

    gob: Fid
    unit_size: int
    offset: int
    end: int
    size: Optional[int]
    limit: int


class Located(NamedTuple):
    """A unit, and the number of its device in the pool version's table is its target."""

    unit: layout.Unit
    length: Optional[int]
    in_range: bool


class ObjectMap(NamedTuple):
    """An object in its pool version. ``states`` are by target."""

    asked: Asked
    pver: conf.Object
    devices: Tuple[conf.Device, ...]
    states: Tuple[Optional[str], ...]
    units: Tuple[Located, ...]
    units_total: int
    next_offset: Optional[int]
    """Where to go on, None where no unit was left off."""


def gob_of(text: str) -> Tuple[Fid, Optional[ids.ObjectId]]:
    """The object's global fid, and its id where that was given: the id as a client has it, the global fid, or the fid of a cob or of a cob's storage object."""
    fid = ids.parse(text)
    if fid.type == ids.AD_STOB:
        fid = ids.cob_from_ad_stob(fid)
    if fid.type_name == "gob":
        return ids.gob_checked(fid), None
    if fid.type_name == "cob":
        return ids.gob_from_cob(fid), None
    if chr(fid.type) in ids.TYPES:
        raise MotrError("%s is the fid of a %s. What is wanted is an object: its id, its global fid or the fid of one of its cobs." % (fid, fid.type_name))
    oid = ids.ObjectId(*fid)
    return ids.gob_of(oid), oid


def choose_pver(cluster: conf.Conf, wanted: Optional[str]) -> conf.Object:
    """The pool version that was asked for, else the only one that is for data."""
    real = cluster.of_kind("pver")
    if wanted is None:
        roots = cluster.of_kind("root")
        special = {fid for root in roots for fid in (root.fields["index_pver"], *_pvers_of(cluster, root.fields["metadata_pool"]))}
        # A cluster may keep metadata where its data are.
        data = [each for each in real if each.fid not in special] or real
        if len(data) == 1:
            return data[0]
        raise MotrError("the configuration has %s. Name one of them: %s." % (_count(len(data)), _listed(data) or "there is none"))
    fid = ids.parse(wanted)
    found = cluster.objects.get(fid)
    if found is not None and found.kind == "formulaic pver":
        raise MotrError(
            "pool version %s is made of %s anew for the devices that have failed, so the configuration does not tell its devices. "
            "Objects record the pool version that they were written in (PVID); name that." % (fid, found.fields["base"])
        )
    if fid.type_name != "pver":
        raise MotrError("%s is the fid of a %s, not of a pool version" % (fid, fid.type_name))
    if found is None and fid.container >> _PVER_KIND & 3 == _VIRTUAL:
        raise MotrError(_virtual(cluster, fid))
    if found is None or found.kind != "pver":
        raise MotrError("the configuration has no pool version %s, only %s." % (fid, _listed(real) or "none at all"))
    return found


def _virtual(cluster: conf.Conf, fid: Fid) -> str:
    """What the fid of a virtual pool version tells: the formulaic one that it was made by, and a number for the devices that had failed then."""
    number = fid.container & 0xFFFFFFFF
    formulas = [each for each in cluster.of_kind("formulaic pver") if each.fields["id"] == number]
    made = "%s (id %d), of %s" % (formulas[0].fid, number, formulas[0].fields["base"]) if formulas else "the formulaic one of the id %d, not there" % number
    return (
        "pool version %s is a virtual one, made by %s, for failed devices whose combination is number %d: the configuration does not have its tree, "
        "only processes that run have. Units are elsewhere than in any pool version that the configuration has." % (fid, made, fid.key)
    )


def virtual_ones(cluster: conf.Conf, pver: conf.Object) -> List[Fid]:
    """The formulaic pool versions by which others are made of this one while devices have failed."""
    return [each.fid for each in cluster.of_kind("formulaic pver") if each.fields["base"] == pver.fid]


def _pvers_of(cluster: conf.Conf, pool: Fid) -> Tuple[Fid, ...]:
    found = cluster.objects.get(pool)
    return found.fields["pvers"] if found is not None and found.kind == "pool" else ()


def _count(number: int) -> str:
    return "%d pool versions for data" % number if number else "no pool version"


def _listed(pvers: Iterable[conf.Object]) -> str:
    return ", ".join("%s (N=%d K=%d S=%d P=%d)" % ((each.fid, *(each.fields[name] for name in "nksp"))) for each in pvers)


def states_of(cluster: conf.Conf, devices: Iterable[conf.Device], given: Mapping[Any, Any]) -> Tuple[Optional[str], ...]:
    """By target the state of each device: as given, else as the configuration has it where that is not good; None where nobody knows."""
    told: Dict[int, str] = {}
    for name, state in given.items():
        index, word = _device_index(cluster, str(name)), state_name(str(state))
        if told.setdefault(index, word) != word:
            raise MotrError("states tells device %d twice, as %s and as %s" % (index, told[index], word))
    return tuple(told.get(each.dev_idx) or _configured(each.state) for each in devices)


def state_name(text: str) -> str:
    """A state of a device in Motr's word, from that of Hare, of ha/note.h or of a pool machine."""
    bare = text.strip().lower()
    bare = bare[len("m0_nc_") :] if bare.startswith("m0_nc_") else bare
    name = _SPELLINGS.get(bare, bare)
    if name not in STATES:
        raise MotrError("%r is no state of a device; accepted are %s." % (text, ", ".join(STATES)))
    return name


def _configured(bits: int) -> Optional[str]:
    if not bits & _BIT_GOOD:
        return "failed"
    return None if bits & _BIT_ONLINE else "transient"


def _device_index(cluster: conf.Conf, name: str) -> int:
    """A device by its index, its path, or the fid of its sdev or its drive."""
    if re.fullmatch("[0-9]{1,20}", name.strip()) or name.startswith("/"):
        field, wanted = ("path", name) if name.startswith("/") else ("index", int(name))
        found = [each for each in cluster.of_kind("sdev") if each.fields[field] == wanted]
        if len(found) > 1:
            raise MotrError("%d devices of the configuration have %s %s; name one by its index or fid" % (len(found), field, name))
    else:
        fid = ids.parse(name)
        drive = cluster.objects.get(fid)
        sdev = cluster.objects.get(drive.fields["sdev"] if drive is not None and drive.kind == "drive" else fid)
        found = [sdev] if sdev is not None and sdev.kind == "sdev" else []
    if not found:
        raise MotrError("states names device %s, which the configuration does not have" % name)
    return int(found[0].fields["index"])


def locate(cluster: conf.Conf, pver: conf.Object, asked: Asked, states: Mapping[Any, Any]) -> ObjectMap:
    """All units of the groups that hold the bytes asked for, as many whole groups as the limit lets through, and at least one."""
    devices = tuple(conf.devices(cluster, pver.fid))
    n, k, s = (pver.fields[name] for name in "nks")
    one = layout.layout_of(conf.tree_levels(cluster, pver.fid), n, k, s, asked.gob)
    tile, per_group = one.tile, one.tile.n * asked.unit_size
    first = asked.offset // per_group
    behind = max(first, -(-asked.end // per_group)) if asked.end > asked.offset else first
    until = min(behind, first + max(1, asked.limit // tile.size))
    found = layout.object_units(one, asked.unit_size, until * per_group, first * per_group, spares=True)
    units = tuple(_located(unit, asked) for unit in found)
    next_offset = until * per_group if until < behind else None
    return ObjectMap(asked, pver, devices, states_of(cluster, devices, states), units, (behind - first) * tile.size, next_offset)


def _located(unit: layout.Unit, asked: Asked) -> Located:
    if unit.offset is None:
        return Located(unit, unit.length, False)
    length = None if asked.size is None else max(0, min(asked.unit_size, asked.size - unit.offset))
    in_range = unit.offset < asked.end and unit.offset + asked.unit_size > asked.offset
    return Located(unit, length, in_range)


def unit_facts(found: ObjectMap) -> List[Dict[str, Any]]:
    """Units as a result has them."""
    rows = []
    for each in found.units:
        unit, device = each.unit, found.devices[each.unit.target]
        state = found.states[unit.target]
        rows.append(
            {
                "group": unit.group,
                "unit": unit.unit,
                "kind": unit.kind,
                "offset": unit.offset,
                "length": each.length,
                "in_range": each.in_range,
                "target": unit.target,
                "frame": unit.frame,
                "cob": str(ids.cob_of(found.asked.gob, device.dev_idx)),
                "cob_offset": unit.cob_offset,
                "device": device.dev_idx,
                "path": device.path,
                "state": state,
                "certain": state not in MOVED,
                "node": _or_none(device.node),
                "process": _or_none(device.process),
                "endpoint": device.endpoint or None,
            }
        )
    return rows


def cob_facts(found: ObjectMap) -> List[Dict[str, Any]]:
    """The object's cobs by target, one on each device of the pool version."""
    counts = [0] * len(found.devices)
    for each in found.units:
        counts[each.unit.target] += 1
    return [_cob_row(found, device, counts[device.target]) for device in found.devices]


def _cob_row(found: ObjectMap, device: conf.Device, units: int) -> Dict[str, Any]:
    cob = ids.cob_of(found.asked.gob, device.dev_idx)
    return {
        "target": device.target,
        "cob": str(cob),
        "stob": str(ids.ad_stob_of(cob)),
        "device": device.dev_idx,
        "sdev": str(device.sdev),
        "drive": str(device.drive),
        "path": device.path,
        "size": device.size,
        "state": found.states[device.target],
        "node": _or_none(device.node),
        "process": _or_none(device.process),
        "service": _or_none(device.service),
        "endpoint": device.endpoint or None,
        "units": units,
    }


def _or_none(fid: Optional[Fid]) -> Optional[str]:
    return None if fid is None else str(fid)
