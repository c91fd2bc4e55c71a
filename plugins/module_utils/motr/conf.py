# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a Motr cluster, from conf.xc or a live dump of it, and what is where in it.

A record that is damaged, or of a kind or form that is not known, is told in ``problems`` and left out.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from . import fdtree, xcode
from .errors import MotrError
from .ids import Fid

Fids = Tuple[Fid, ...]
# Numbers that a live dump has in place of the names in conf.xc (conf/schema.h).
_SERVICES = "MDS IOS CONFD RMS STATS HA SSS SNS_REP SNS_REB ADDB2 CAS DIX_REP DIX_REB DS1 DS2 FIS FDMI BE M0T1FS CLIENT ISCS DTM0"
SERVICES: Dict[str, int] = {"M0_CST_" + name: number for number, name in enumerate(_SERVICES.split(), 1)}
_NAMES = {number: name for name, number in SERVICES.items()}
# From the pool version down to its drives: sites, racks, enclosures, controllers, drives.
LEVELS = 5
_REAL = ("site", "rack", "enclosure", "controller", "drive")


class Object(NamedTuple):
    """One object: its kind, and its fields by name as FORMS lists them. References are fids."""

    fid: Fid
    kind: str
    fields: Dict[str, Any]


class Device(NamedTuple):
    """A device of a pool version. ``target`` is its place there, ``dev_idx`` the ``sd_dev_idx`` that cobs carry."""

    target: int
    dev_idx: int
    drive: Fid
    sdev: Fid
    path: str
    size: int
    state: int
    service: Optional[Fid]
    process: Optional[Fid]
    endpoint: str
    node: Optional[Fid]


class Conf(NamedTuple):
    """All objects by fid, and one sentence for each record that could not be read."""

    objects: Dict[Fid, Object]
    problems: Tuple[str, ...]

    def of_kind(self, kind: str) -> List[Object]:
        """The objects of a kind by fid, which does not depend on the order of the source."""
        return [self.objects[fid] for fid in sorted(self.objects) if self.objects[fid].kind == kind]

    def get(self, fid: Fid, kind: str) -> Object:
        """The object of a fid; MotrError when it is not there, or is something else."""
        found = self.objects.get(fid)
        if found is None or found.kind != kind:
            raise MotrError("the configuration has no %s %s" % (kind, fid))
        return found


def _fid(value: Any) -> Fid:
    if not isinstance(value, tuple) or isinstance(value, xcode.Tagged) or len(value) != 2 or not all(_is_u64(half) for half in value):
        raise ValueError("%r is no fid" % (value,))
    return Fid(*value)


def _fids(value: Any) -> Fids:
    return tuple(_fid(each) for each in _list(value))


def _list(value: Any) -> List[Any]:
    if not isinstance(value, list):
        raise ValueError("%r is no sequence" % (value,))
    return value


def _is_u64(value: Any) -> bool:
    """All numbers of a configuration are without sign, and none is longer."""
    return isinstance(value, int) and 0 <= value < 1 << 64


def _int(value: Any) -> int:
    if not _is_u64(value):
        raise ValueError("%r is no number" % (value,))
    return int(value)


def _ints(value: Any) -> Tuple[int, ...]:
    return tuple(_int(each) for each in _list(value))


def _text(value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, xcode.Name):
        raise ValueError("%r is no text" % (value,))
    return value


def _texts(value: Any) -> Tuple[str, ...]:
    return tuple(_text(each) for each in _list(value))


def _service(value: Any) -> str:
    name = value if isinstance(value, xcode.Name) else _NAMES.get(value)
    if name not in SERVICES:
        raise ValueError("%r is no known type of a service" % (value,))
    return str(name)


Reader = Callable[[Any], Any]
Form = Tuple[Tuple[str, Reader], ...]
FORMS: Dict[int, Tuple[str, Form]] = {
    0x74: (
        "root",
        (
            ("version", _int),
            ("fid", _fid),
            ("metadata_pool", _fid),
            ("index_pver", _fid),
            ("metadata_redundancy", _int),
            ("parameters", _texts),
            ("nodes", _fids),
            ("sites", _fids),
            ("pools", _fids),
            ("profiles", _fids),
            ("fdmi_groups", _fids),
        ),
    ),
    0x70: ("profile", (("pools", _fids),)),
    0x6E: ("node", (("memory", _int), ("cpus", _int), ("state", _int), ("flags", _int), ("processes", _fids))),
    0x72: (
        "process",
        (
            ("cores", _ints),
            ("limit_as", _int),
            ("limit_rss", _int),
            ("limit_stack", _int),
            ("limit_memlock", _int),
            ("endpoint", _text),
            ("services", _fids),
        ),
    ),
    0x73: ("service", (("type", _service), ("endpoints", _texts), ("parameters", _texts), ("sdevs", _fids))),
    0x64: (
        "sdev",
        (
            ("index", _int),
            ("interface", _int),
            ("media", _int),
            ("block_size", _int),
            ("size", _int),
            ("state", _int),
            ("flags", _int),
            ("path", _text),
        ),
    ),
    0x53: ("site", (("racks", _fids), ("pvers", _fids))),
    0x61: ("rack", (("enclosures", _fids), ("pvers", _fids))),
    0x65: ("enclosure", (("node", _fid), ("controllers", _fids), ("pvers", _fids))),
    0x63: ("controller", (("drives", _fids), ("pvers", _fids))),
    0x6B: ("drive", (("sdev", _fid), ("pvers", _fids))),
    0x6F: ("pool", (("policy", _int), ("pvers", _fids))),
    0x6A: ("objv", (("real", _fid), ("children", _fids))),
}
_ACTUAL: Form = (("n", _int), ("k", _int), ("s", _int), ("p", _int), ("tolerance", _ints), ("sites", _fids))
_FORMULAIC: Form = (("id", _int), ("base", _fid), ("allowance", _ints))


def parse(text: str) -> Conf:
    """The configuration in the text. MotrError when it is no text of xcode at all."""
    records = xcode.parse(text)
    if not isinstance(records, list):
        raise MotrError("a configuration is a sequence of objects: [n: {type| (...)}, ...]")
    objects: Dict[Fid, Object] = {}
    problems: List[str] = []
    for number, record in enumerate(records, 1):
        try:
            found = _object(record)
            if found.fid in objects:
                raise ValueError("%s is there twice" % (str(found.fid),))
            objects[found.fid] = found
        except ValueError as exc:  # noqa: PERF203  each record on its own
            problems.append("record %d: %s" % (number, exc))
    return Conf(objects, tuple(problems))


def _object(record: Any) -> Object:
    if not isinstance(record, xcode.Tagged) or not isinstance(record.value, tuple) or not isinstance(record.value[0], tuple):
        raise ValueError("it is no object: {type| ((fid), ...)} is wanted")
    if len(record.value[0]) != 1:
        raise ValueError("its first field is not one fid in parentheses")
    fid = _fid(record.value[0][0])
    if fid.type != record.tag:
        raise ValueError("%s is in a record of type 0x%02x" % (fid, record.tag))
    if record.tag == 0x76:
        return _pver(fid, record.value[1:])
    if record.tag not in FORMS:
        raise ValueError("type 0x%02x of %s is not known" % (record.tag, fid))
    kind, form = FORMS[record.tag]
    return Object(fid, kind, _fields(kind, fid, form, record.value[1:]))


def _pver(fid: Fid, values: Any) -> Object:
    """1.x had no number of spare units."""
    if len(values) != 1 or not isinstance(values[0], xcode.Tagged) or values[0].tag not in (0, 1) or not isinstance(values[0].value, tuple):
        raise ValueError("pver %s is neither {0| (N, K, S, P, ...)} nor {1| (id, base, ...)}" % (str(fid),))
    form = _FORMULAIC if values[0].tag else _ACTUAL
    if form is _ACTUAL and len(values[0].value) == len(_ACTUAL) - 1:
        raise ValueError("pver %s has the form of Motr 1.x: (N, K, P, ...) without the number of spare units" % (str(fid),))
    return Object(fid, "formulaic pver" if values[0].tag else "pver", _fields("pver", fid, form, values[0].value))


def _fields(kind: str, fid: Fid, form: Form, values: Any) -> Dict[str, Any]:
    if len(values) != len(form):
        raise ValueError("%s %s has %d fields, %d are known" % (kind, fid, len(values), len(form)))
    return {name: _field(name, kind, fid, reader, value) for (name, reader), value in zip(form, values)}


def _field(name: str, kind: str, fid: Fid, reader: Reader, value: Any) -> Any:
    try:
        return reader(value)
    except ValueError as exc:
        raise ValueError("%s of %s %s: %s" % (name, kind, fid, exc)) from None


def levels(conf: Conf, pver: Fid) -> Tuple[List[List[int]], List[Object]]:
    """Numbers of children, level by level from the pool version down to controllers, and its drives in Motr's order (pool/pool_machine.c:236)."""
    above = [list(conf.get(pver, "pver").fields["sites"])]
    counts: List[List[int]] = []
    for level in range(LEVELS):
        counts.append([len(children) for children in above])
        fids = [fid for children in above for fid in children]
        if len(set(fids)) < len(fids):
            raise MotrError("the tree of pool version %s has an objv twice" % str(pver))
        below = [_at_level(conf, pver, level, fid) for fid in fids]
        if level == LEVELS - 1:
            return counts, below
        above = [list(each.fields["children"]) for each in below]
    return counts, []


def _at_level(conf: Conf, pver: Fid, level: int, fid: Fid) -> Object:
    """An objv of a pool version, if it is of what belongs at its level."""
    objv = conf.get(fid, "objv")
    real = objv.fields["real"]
    if real.type_name != _REAL[level]:
        raise MotrError("the tree of pool version %s has %s, of the %s %s, where a %s is wanted" % (pver, fid, real.type_name, real, _REAL[level]))
    if level == LEVELS - 1 and objv.fields["children"]:
        raise MotrError("the tree of pool version %s has children below %s, of the drive %s" % (pver, fid, real))
    return objv


def tree_levels(conf: Conf, pver: Fid) -> List[List[int]]:
    """What ``layout.map_unit`` takes: the levels from the first one on that tolerates failures (fd/fd.c:298); drives alone if none does.

    MotrError for a pool version that Motr itself makes no map of.
    """
    fields, counts = conf.get(pver, "pver").fields, levels(conf, pver)[0]
    try:
        return fdtree.feasible(counts, fields["tolerance"], *(fields[name] for name in "nksp"))
    except MotrError as exc:
        raise MotrError("pool version %s cannot be mapped, not by Motr either: %s" % (pver, exc)) from None


def devices(conf: Conf, pver: Fid) -> List[Device]:
    """The devices of a pool version by target."""
    services = _holders(conf, "service", "sdevs")
    processes = _holders(conf, "process", "services")
    nodes = _holders(conf, "node", "processes")
    made = []
    for target, objv in enumerate(levels(conf, pver)[1]):
        drive = objv.fields["real"]
        sdev = conf.get(conf.get(drive, "drive").fields["sdev"], "sdev")
        service = services.get(sdev.fid)
        process = processes.get(service.fid) if service else None
        made.append(_device(target, drive, sdev, service, process, nodes.get(process.fid) if process else None))
    indices = [each.dev_idx for each in made]
    twice = sorted({index for index in indices if indices.count(index) > 1}) if len(set(indices)) < len(indices) else []
    if twice:
        raise MotrError("pool version %s has the device with the index %d twice, and so the same cob on two targets" % (pver, twice[0]))
    return made


def _holders(conf: Conf, kind: str, field: str) -> Dict[Fid, Object]:
    """By fid the object of a kind that lists it; where several do, the one of the lowest fid."""
    return {fid: each for each in reversed(conf.of_kind(kind)) for fid in each.fields[field]}


def _device(target: int, drive: Fid, sdev: Object, service: Optional[Object], process: Optional[Object], node: Optional[Object]) -> Device:
    return Device(
        target,
        sdev.fields["index"],
        drive,
        sdev.fid,
        sdev.fields["path"],
        sdev.fields["size"],
        sdev.fields["state"],
        service.fid if service else None,
        process.fid if process else None,
        process.fields["endpoint"] if process else "",
        node.fid if node else None,
    )
