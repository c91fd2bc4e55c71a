# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What s3server's metadata says of buckets and objects. Its base64 is of memory bytes, numbers in them little endian."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from typing import Any, Dict, NamedTuple, Optional, Tuple

from .errors import MotrError
from .ids import Fid, ObjectId

# server/s3server.cc:67-69
BUCKET_LIST = Fid(0x7800000000000000, 0x100001)
BUCKET_METADATA = Fid(0x7800000000000000, 0x100002)
_PAIR = struct.Struct("<QQ")
_LAYOUT = struct.Struct("<QQQQi")


class IndexLayout(NamedTuple):
    """``struct s3_motr_idx_layout``; of the older schema only the id is known."""

    oid: ObjectId
    pver: Optional[Fid]
    layout_type: Optional[int]


class ObjectRecord(NamedTuple):
    """An object (s3_object_metadata.cc:744). ``values`` is all of its record."""

    oid: ObjectId
    pver: Fid
    layout_id: int
    values: Dict[str, Any]


def _bytes(text: Any, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise MotrError("%s is no base64: %r" % (what, text)) from None


def decode_oid(text: Any) -> ObjectId:
    """``b64(u_hi)-b64(u_lo)``."""
    halves = [_bytes(half, "motr_oid") for half in text.split("-")] if isinstance(text, str) else []
    if [len(half) for half in halves] != [8, 8]:
        raise MotrError("%r is no object id: two numbers of 8 bytes in base64 with - between them are wanted" % (text,))
    return ObjectId(*(int.from_bytes(half, "little") for half in halves))


def encode_oid(oid: Tuple[int, int]) -> str:
    """The other way."""
    return "-".join(base64.b64encode(half.to_bytes(8, "little")).decode("ascii") for half in oid)


def decode_pver(text: Any) -> Fid:
    """``PVID``: a raw m0_fid; in records of parts, as an object id."""
    if isinstance(text, str) and "-" in text:
        return Fid(*decode_oid(text))
    raw = _bytes(text, "PVID")
    if len(raw) != _PAIR.size:
        raise MotrError("PVID has %d bytes and not 16" % len(raw))
    return Fid(*_PAIR.unpack(raw))


def _load(value: bytes) -> Dict[str, Any]:
    try:
        found = json.loads(value.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise MotrError("the record is no JSON: %s" % exc) from None
    if not isinstance(found, dict):
        raise MotrError("the record is no JSON object")
    return found


def decode_layout(text: Any, name: str) -> IndexLayout:
    """A raw ``struct s3_motr_idx_layout``, with or without what a compiler puts at its end."""
    raw = _bytes(text, name)
    if not _LAYOUT.size <= len(raw) <= _LAYOUT.size + 4:
        raise MotrError("%s has %d bytes and not 36 to 40" % (name, len(raw)))
    high, low, container, key, kind = _LAYOUT.unpack_from(raw)
    return IndexLayout(ObjectId(high, low), Fid(container, key), kind)


def decode_bucket(value: bytes) -> IndexLayout:
    """The index of a bucket's objects, from the bucket's metadata of either schema (s3_bucket_metadata.cc:152)."""
    record = _load(value)
    if "motr_object_list_index_layout" in record:
        return decode_layout(record["motr_object_list_index_layout"], "motr_object_list_index_layout")
    if "motr_object_list_index_oid" in record:
        return IndexLayout(decode_oid(record["motr_object_list_index_oid"]), None, None)
    raise MotrError("the record is no bucket's: neither motr_object_list_index_layout nor motr_object_list_index_oid is in it")


def decode_extended(value: bytes) -> Optional[IndexLayout]:
    """The index of the parts and fragments of a bucket's objects; None where its schema has none."""
    text = _load(value).get("extended_metadata_index_layout")
    found = decode_layout(text, "extended_metadata_index_layout") if text else None
    return found if found and any(found.oid) else None


def decode_account(value: bytes) -> str:
    """The account that a bucket belongs to, from the list of all buckets."""
    account = _load(value).get("account_id")
    if not isinstance(account, str) or not account:
        raise MotrError("the record of the bucket names no account_id")
    return account


class Piece(NamedTuple):
    """A part, or a fragment of one, of an object; numbers begin with 1, and are None where it has none."""

    version: str
    part: Optional[int]
    fragment: Optional[int]
    oid: ObjectId
    pver: Fid
    layout_id: int
    size: int


_PIECE = re.compile(r"\|([^|]*)(?:\|P([0-9]{1,18}))?(?:\|F([0-9]{1,18}))?")


def decode_piece(name: str, key: str, value: bytes) -> Optional[Piece]:
    """A record of the extended index (s3_object_metadata.cc), if it is one of this object: a name may hold bars itself."""
    found = _PIECE.fullmatch(key[len(name) :]) if key.startswith(name) else None
    if found is None or not (found.group(2) or found.group(3)):
        return None
    record = _load(value)
    layout_id, size = record.get("layout-id"), record.get("size")
    if not isinstance(layout_id, int) or not isinstance(size, int):
        raise MotrError("the record of the part %s has no layout-id, or no size" % key)
    part, fragment = (int(number) if number else None for number in found.group(2, 3))
    return Piece(found.group(1), part, fragment, decode_oid(record.get("OID")), decode_pver(record.get("PVID")), layout_id, size)


def decode_object(value: bytes) -> ObjectRecord:
    """An object's own record in the index of its bucket."""
    record = _load(value)
    absent = [name for name in ("motr_oid", "PVID", "layout_id") if name not in record]
    if absent:
        raise MotrError("the record is no object's: %s not in it" % ", ".join(absent))
    layout_id = record["layout_id"]
    if not isinstance(layout_id, int):
        raise MotrError("layout_id is no number: %r" % (layout_id,))
    return ObjectRecord(decode_oid(record["motr_oid"]), decode_pver(record["PVID"]), layout_id, record)
