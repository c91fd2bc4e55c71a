# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A look at a cob: whose it is, who serves it, and where its bytes lie on the device."""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ..procedure.check import Check
from ..procedure.envelope import Finding
from . import cob_findings, cob_place, conf
from .btree_scan import MOST, Root, Scan, root_of, scan
from .btree_types import EMAP
from .btree_walk import Limits
from .cob_state import Look, cob_of
from .emap import Extent, Extents, extents_of
from .errors import MotrError
from .ids import Fid
from .source import Source, hexadecimal, open_source, parse_address, process_fid, safe, still_there, told_source, within

MOST_EXTENTS = 1000000
_MOST_BYTES = 1 << 62
_ATTEMPTS = 3
_LARGEST_CONF = 256 << 20
_PROBLEMS = 20


class Common:
    """What all cobs of a run have in common: a source that is opened once, a configuration that is read once, one search for the roots of all their trees."""

    def __init__(self, params: Mapping[str, Any], trees: Iterable[Fid]) -> None:
        self.params, self.trees = params, tuple(trees)
        self.source: Optional[Source] = open_source(params)
        self._cluster: Tuple[Optional[conf.Conf], ...] = ()
        self._found: Optional[Scan] = None

    def close(self) -> None:
        if self.source is not None:
            self.source.close()

    def cluster(self) -> Optional[conf.Conf]:
        """The configuration, if one was given."""
        if not self._cluster:
            self._cluster = (read_conf(self.params),)
        return self._cluster[0]

    def scan(self, source: Source, tree: Fid) -> Scan:
        """The nodes of one of the trees."""
        if self._found is None:
            self._found = scan(source.read, source.ranges, self.trees, self.params["max_scan"])
        return self._found.of(tree)


class CobInfo(Check[Look]):
    """Reads only."""

    name = "motr_cob_info"

    def __init__(self, params: Mapping[str, Any], common: Optional[Common] = None) -> None:
        self.params = params
        self.cob = cob_of(params["cob"])
        self.bshift = _shift(params["block_size"])
        within("limit", params["limit"], 0, MOST_EXTENTS)
        within("offset", params["offset"], 0, _MOST_BYTES)
        within("max_scan", params["max_scan"], 1, MOST << 17)
        if params["length"] is not None:
            within("length", params["length"], 1, _MOST_BYTES)
        self.common = common or Common(params, (self.cob.tree,))
        self.source = self.common.source
        if self.source is None and params["root"] is not None:
            raise MotrError("root is an address in a process or segment: one of pid, process and segment is wanted")

    def close(self) -> None:
        self.common.close()

    def observe(self) -> Look:
        cluster = self.common.cluster()
        served = tuple(cob_place.places(cluster, self.cob.device)) if cluster else ()
        if self.source is None:
            return Look(self.cob, served, cluster)
        root, scanned = self._root(self.source)
        extents = None if root.address is None else self.extents_at(self.source, root.address)
        still_there(self.source)
        return Look(self.cob, served, cluster, process_fid(self.source), root, scanned, extents)

    def diagnose(self, state: Look) -> List[Finding]:
        return cob_findings.diagnose(state, self.source.name if self.source else "")

    def facts(self, state: Look) -> Mapping[str, Any]:
        cob, extents = state.cob, state.extents
        rows = [told_extent(extent, self.bshift) for extent in extents.extents[: self.params["limit"]]] if extents else []
        return {
            "cob": {"fid": str(cob.fid), "gob": str(cob.gob), "storage_object": str(cob.stob), "tree": str(cob.tree)},
            **safe(cob_place.told(cob.device, state.place)),
            "source": told_source(self.source) if self.source else None,
            "root": hexadecimal(state.root.address) if state.root and state.root.address is not None else None,
            "candidates": [hexadecimal(each) for each in state.root.candidates] if state.root else [],
            "known": extents.known if extents else None,
            "complete": bool(extents and extents.known and not extents.faults),
            "block_size": 1 << self.bshift,
            "extents": safe(rows),
            "extents_total": len(extents.extents) if extents else 0,
            "extents_left_off": len(extents.extents) - len(rows) if extents else 0,
            "allocated": safe(extents.size) if extents else None,
            "end": safe(_end(extents)) if extents else None,
        }

    def evidence(self, state: Look) -> Mapping[str, Any]:
        problems = list(state.cluster.problems[:_PROBLEMS]) if state.cluster else []
        scanned = state.scanned.scanned if state.scanned else 0
        told = {"source": self.source.name if self.source else None, "scanned": scanned, "uid": os.geteuid()}
        return dict(told, conf=self.params["conf"], problems=problems)

    def _root(self, source: Source) -> Tuple[Root, Optional[Scan]]:
        if self.params["root"] is not None:
            address = parse_address(self.params["root"], source.ranges, "root")
            return Root(address, (address,)), None
        found = self.common.scan(source, self.cob.tree)
        return root_of(source.read, found, (EMAP, self.cob.tree)), found

    def extents_at(self, source: Source, root: int) -> Extents:
        """A map that is just being changed may look damaged: it is read again."""
        for _attempt in range(_ATTEMPTS):
            found = extents_of(source.read, root, self.cob.stob, self.params["offset"], self.params["length"], self.bshift, Limits())
            if not found.faults:
                break
        return found


def _shift(size: int) -> int:
    if size < 512 or size > 1 << 30 or size & (size - 1):
        raise MotrError("block_size must be a power of two from 512 to 1073741824, not %d" % size)
    return size.bit_length() - 1


def read_conf(params: Mapping[str, Any]) -> Optional[conf.Conf]:
    """The configuration, if one was given."""
    path, text = params["conf"], params["conf_text"]
    if path is not None:
        text = _text(path)
    if text is None:
        return None
    try:
        return conf.parse(text)
    except MotrError as exc:
        raise MotrError("%s is no configuration of Motr, neither conf.xc nor a dump by confstr: %s" % (path or "conf_text", exc)) from exc


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_CONF + 1)
    except OSError as exc:
        raise MotrError("the configuration %s cannot be read: %s" % (path, exc.strerror)) from exc
    if len(data) > _LARGEST_CONF:
        raise MotrError("%s has more than %d MiB, which is no configuration" % (path, _LARGEST_CONF >> 20))
    return data.decode("utf-8", "replace")


def told_extent(extent: Extent, bshift: int) -> Dict[str, Any]:
    """One extent in bytes and in blocks of the device. Blocks that it has a part of count."""
    place = extent.device_offset
    size = 1 << bshift
    start = extent.offset if place is None else place
    return {
        "offset": extent.offset,
        "length": extent.length,
        "hole": place is None,
        "device_offset": place,
        "block": None if place is None else place >> bshift,
        "blocks": (start + extent.length + size - 1 >> bshift) - (start >> bshift),
    }


def _end(extents: Extents) -> int:
    """Behind the last byte that is on the device."""
    return max((extent.offset + extent.length for extent in extents.extents if extent.device_offset is not None), default=0)
