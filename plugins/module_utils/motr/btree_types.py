# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keys and values of each kind of b-tree mean, and how its keys are compared.

Source: be/btree.h (m0_btree_types), cob/cob.h, balloc/balloc.h, be/extmap_internal.h, cas/ctg_store.c. Numbers are little endian, but for the
keys of group descriptors. Offsets and lengths of the allocator and of extent maps are in blocks.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Dict, NamedTuple, Tuple

from . import formats
from .ids import Fid
from .layout_id import layout_kind

GROUP_EXTENTS, GROUP_DESCRIPTORS, EMAP, CATALOGUE, NAMESPACE, OBJECT_INDEX = range(2, 8)
FILE_ATTRIBUTES, EXTENDED_ATTRIBUTES, OWNERS, BYTECOUNT, CONFDB, DTM0_LOG, UNIT_TEST = range(8, 15)
TREES = {
    GROUP_EXTENTS: "balloc extents",
    GROUP_DESCRIPTORS: "balloc descriptors",
    EMAP: "extent map",
    CATALOGUE: "CAS catalogue",
    NAMESPACE: "cob namespace",
    OBJECT_INDEX: "cob object index",
    FILE_ATTRIBUTES: "cob file attributes",
    EXTENDED_ATTRIBUTES: "cob extended attributes",
    OWNERS: "cob owner, mode, group",
    BYTECOUNT: "cob byte count",
    CONFDB: "configuration database",
    DTM0_LOG: "DTM0 log",
    UNIT_TEST: "unit test",
}
LAST_BLOCK = (1 << 64) - 2
"""M0_BINDEX_MAX."""
NO_BLOCK = LAST_BLOCK - (1 << 32)
"""AET_MIN: from here on the value of an extent is no block, but a mark; a hole is one more. stob/ad.h."""

Record = Dict[str, Any]
Order = Tuple[Any, ...]
"""What keys are compared by. Empty where that is not known, or a key is no such key."""

_FID = struct.Struct("<QQ")
_NSREC = struct.Struct("<QQIII4xQQQQQQQQQQQ")


class _Unfit(Exception):
    """Why these bytes are not what they should be."""


class EmapKey(NamedTuple):
    """``end`` is where the extent ends, in blocks: keys of a map are in order of that. ``fault`` is empty for a sound key."""

    stob: Fid
    end: int
    fault: str


class EmapRecord(NamedTuple):
    """``start`` of the extent and ``value``, the first block on the device, in blocks. ``unit`` is what a checksum is of."""

    start: int
    value: int
    unit: int
    checksums: bytes
    fault: str


def emap_key(raw: bytes) -> EmapKey:
    """A key of an extent map, 56 bytes: header, stob fid at 16, end of the extent at 32, footer."""
    _want(raw, 56)
    container, key, end = struct.unpack_from("<QQQ", raw, 16)
    return EmapKey(Fid(container, key), end, formats.frame_fault(raw, formats.EMAP_KEY))


def emap_record(raw: bytes) -> EmapRecord:
    """A record of an extent map, 64 bytes and its checksums: header, start at 16, value at 24, unit at 32, length of checksums at 40."""
    _want(raw, 64)
    start, value, unit, length = struct.unpack_from("<QQQQ", raw, 16)
    fault = formats.frame_fault(raw, formats.EMAP_RECORD)
    if length > len(raw) - 64:
        fault = fault or "it has no room for %d bytes of checksums" % length
        length = 0
    return EmapRecord(start, value, unit, raw[48 : 48 + length], fault)


def order(tree_type: int, key: bytes) -> Order:
    """What a key is compared by, among those of its tree. Never raises."""
    try:
        return _ORDERS[tree_type](key)
    except (KeyError, _Unfit):
        return ()


def decode(tree_type: int, key: bytes, value: bytes) -> Record:
    """A record in words and numbers, for JSON: fids as text, other bytes in hexadecimal. Never raises.

    ``decoded`` is false, with ``reason``, where the layout is not known or the bytes do not fit it; then ``key`` and ``value`` are hexadecimal.
    """
    if tree_type not in _DECODERS:
        reason = "the layout of records of a tree of type %d (%s) is not known, so key and value are raw" % (tree_type, TREES.get(tree_type, "unknown"))
    else:
        try:
            return dict(_DECODERS[tree_type](key, value), decoded=True)
        except _Unfit as exc:
            reason = str(exc)
    return {"decoded": False, "reason": reason, "key": key.hex(), "value": value.hex()}


def _want(raw: bytes, length: int) -> None:
    if len(raw) < length:
        raise _Unfit("there should be %d bytes, and there are %d" % (length, len(raw)))


def _fid(raw: bytes, at: int = 0) -> Fid:
    _want(raw, at + 16)
    return Fid(*_FID.unpack_from(raw, at))


def _number(raw: bytes, at: int = 0, length: int = 8) -> int:
    _want(raw, at + length)
    return int.from_bytes(raw[at : at + length], "little")


def _name(raw: bytes) -> Tuple[Fid, bytes]:
    """A fid and a counted string (m0_bitstring), as keys of the namespace and of extended attributes have them."""
    fid, length = _fid(raw), _number(raw, 16, 4)
    _want(raw, 20 + length)
    return fid, raw[20 : 20 + length]


def _generic_key(raw: bytes) -> bytes:
    """The bytes of a key of a catalogue, which its length in 8 bytes stands before."""
    length = _number(raw)
    _want(raw, 8 + length)
    return raw[8 : 8 + length]


def _text(raw: bytes) -> str:
    """A name as it reads; what is not ASCII that can be printed as hexadecimal."""
    return raw.decode("ascii") if all(32 <= byte < 127 for byte in raw) else "0x" + raw.hex()


def _order_name(key: bytes) -> Order:
    fid, name = _name(key)
    return (*fid, name)


def _order_emap(key: bytes) -> Order:
    found = emap_key(key)
    return (*found.stob, found.end)


_ORDERS: Dict[int, Callable[[bytes], Order]] = {
    GROUP_EXTENTS: lambda key: (_number(key),),
    GROUP_DESCRIPTORS: lambda key: (_group(key),),
    EMAP: _order_emap,
    CATALOGUE: lambda key: (_generic_key(key),),
    NAMESPACE: _order_name,
    OBJECT_INDEX: lambda key: (*_fid(key), _number(key, 16, 4)),
    FILE_ATTRIBUTES: lambda key: tuple(_fid(key)),
    EXTENDED_ATTRIBUTES: _order_name,
    OWNERS: lambda key: (_number(key),),
    BYTECOUNT: lambda key: (*_fid(key), _number(key, 16)),
}
ORDERED = frozenset(_ORDERS)
"""Types of trees whose order of keys is known."""


def _group(key: bytes) -> int:
    _want(key, 8)
    return int.from_bytes(key[:8], "big")


def _group_extent(key: bytes, value: bytes) -> Record:
    start, end = _number(value), _number(key)
    return {"free_start": start, "free_end": end, "blocks": end - start}


def _group_descriptor(key: bytes, value: bytes) -> Record:
    _want(value, 64)
    group, free, fragments, largest = struct.unpack_from("<QQQQ", value, 16)
    fault = formats.frame_fault(value, formats.GROUP_DESCRIPTOR)
    found = {"group": group, "free_blocks": free, "fragments": fragments, "largest_free": largest, "fault": fault}
    if _group(key) != group:
        found["fault"] = fault or "the key is of group %d" % _group(key)
    return found


def _extent(key: bytes, value: bytes) -> Record:
    place, record = emap_key(key), emap_record(value)
    return {
        "stob": str(place.stob),
        "start": record.start,
        "end": place.end,
        "hole": record.value >= NO_BLOCK,
        "block": None if record.value >= NO_BLOCK else record.value,
        "unit_size": record.unit,
        "checksums": record.checksums.hex(),
        "fault": place.fault or record.fault,
    }


def _catalogue(key: bytes, value: bytes) -> Record:
    length = _number(value)
    _want(value, 16 + length)
    raw_key = _generic_key(key)
    found = {"key": raw_key.hex(), "version": _number(value, 8), "value": value[16 : 16 + length].hex()}
    if len(raw_key) == 16 and raw_key[7:8] in b"xTi":
        found["index"] = str(_fid(raw_key))  # of meta and ctidx, whose keys are fids of other catalogues
    return found


def _namespace(key: bytes, value: bytes) -> Record:
    """m0_cob_nsrec, 152 bytes. A device's cob has its number in decimal for a name."""
    parent, name = _name(key)
    _want(value, 152)
    container, fid_key, link, links, counter, owner, size, count, block, blocks, *rest = _NSREC.unpack_from(value, 16)
    accessed, modified, changed, lid = rest[:4]
    return {
        "parent": str(parent),
        "name": _text(name),
        "fid": str(Fid(container, fid_key)),
        "link": link,
        "links": links,
        "link_counter": counter,
        "owner_slot": owner,
        "size": size,
        "byte_count": count,
        "block_size": block,
        "blocks": blocks,
        "accessed": accessed,
        "modified": modified,
        "changed": changed,
        "layout": lid,
        "layout_type": layout_kind(lid),
        "pool_version": str(_fid(value, 120)),
        "fault": formats.frame_fault(value, formats.COB_RECORD),
    }


def _object_index(key: bytes, value: bytes) -> Record:
    parent, name = _name(value)
    return {"fid": str(_fid(key)), "link": _number(key, 16, 4), "parent": str(parent), "name": _text(name)}


def _file_attributes(key: bytes, value: bytes) -> Record:
    length = _number(value, 32, 4)
    _want(value, 36 + length)
    return {
        "fid": str(_fid(key)),
        "pool_version": str(_fid(value)),
        "version": _number(value, 16),
        "layout": _number(value, 24),
        "layout_type": layout_kind(_number(value, 24)),
        "link": _text(value[36 : 36 + length]),
    }


def _extended_attribute(key: bytes, value: bytes) -> Record:
    fid, name = _name(key)
    length = _number(value, 0, 4)
    _want(value, 4 + length)
    return {"fid": str(fid), "name": _text(name), "value": value[4 : 4 + length].hex()}


def _owner(key: bytes, value: bytes) -> Record:
    """m0_cob_omgrec. The last slot, all ones, holds the place where slots are counted from."""
    _want(value, 12)
    uid, mode, gid = struct.unpack_from("<III", value)
    return {"slot": _number(key), "uid": uid, "mode": "%06o" % mode, "gid": gid}


def _byte_count(key: bytes, value: bytes) -> Record:
    return {"pool_version": str(_fid(key)), "user": _number(key, 16), "bytes": _number(value), "objects": _number(value, 8)}


_DECODERS: Dict[int, Callable[[bytes, bytes], Record]] = {
    GROUP_EXTENTS: _group_extent,
    GROUP_DESCRIPTORS: _group_descriptor,
    EMAP: _extent,
    CATALOGUE: _catalogue,
    NAMESPACE: _namespace,
    OBJECT_INDEX: _object_index,
    FILE_ATTRIBUTES: _file_attributes,
    EXTENDED_ATTRIBUTES: _extended_attribute,
    OWNERS: _owner,
    BYTECOUNT: _byte_count,
}
