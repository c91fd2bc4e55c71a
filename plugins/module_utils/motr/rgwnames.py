# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From names in RGW to objects in Motr (rgw_sal_motr.cc): the index of a bucket, and what its records say of an object."""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple, Optional, Tuple

from . import ids
from .errors import MotrError
from .ids import Fid, ObjectId

# ENCODE_START(5, 5): version, compatible version, length; then five u64.
_META = struct.Struct("<BBIQQQQQ")
_VERSION = 5
_BODY = 40


_BLOCK = struct.Struct("<BBI")
_MULTIPART = 3
"""RGWObjCategory::MultiMeta"""


class Entry(NamedTuple):
    """What a record begins with, ``rgw_bucket_dir_entry``, as far as it is wanted here."""

    name: str
    category: int
    size: int

    @property
    def multipart(self) -> bool:
        return self.category == _MULTIPART


class Meta(NamedTuple):
    """The end of a record: the object, its pool version, its layout id."""

    oid: ObjectId
    pver: Fid
    layout_id: int


def bucket_index_name(bucket: str, tenant: str = "") -> str:
    """The name of a bucket's index."""
    return "motr.rgw.bucket.index.%s" % ("%s$%s" % (tenant, bucket) if tenant else bucket)


def parts_index_name(bucket: str, key: str, tenant: str = "") -> str:
    """The name of the index of a multipart object's parts."""
    return "motr.rgw.object.%s.%s.parts" % ("%s$%s" % (tenant, bucket) if tenant else bucket, key)


def index_fid(name: str) -> Fid:
    """The fid of an index of that name (index_name_to_motr_fid): its MD5 as two little-endian numbers, of the first the low 32 bits."""
    # A hash of a name that RGW chose, which protects nothing.
    digest = hashlib.md5(name.encode("utf-8")).digest()  # noqa: S324
    high, low = struct.unpack("<QQ", digest)
    return ids.make("x", high & 0xFFFFFFFF, low)


def decode_meta(value: bytes) -> Meta:
    """The Meta at the end of a record of a bucket's index."""
    if len(value) < _META.size:
        raise MotrError("the record has %d bytes, less than the %d that say which object it is" % (len(value), _META.size))
    version, compatible, length, high, low, container, key, layout_id = _META.unpack_from(value, len(value) - _META.size)
    if (compatible, length) != (_VERSION, _BODY) or version < _VERSION:
        raise MotrError(
            "the record does not end in the Meta of an object: version %d, compatible %d, length %d and not 5, 5, 40" % (version, compatible, length)
        )
    return Meta(ObjectId(high, low), Fid(container, key), layout_id)


def decode_entry(value: bytes) -> Optional[Entry]:
    """The beginning of a record of a bucket's index; None where it has another shape."""
    try:
        length = struct.unpack_from("<I", value, _BLOCK.size)[0]
        place = _BLOCK.size + 4 + length
        name = value[_BLOCK.size + 4 : place].decode("utf-8")
        # Epoch and existence, then rgw_bucket_dir_entry_meta.
        category, size = struct.unpack_from("<BQ", value, place + 9 + _BLOCK.size)
    except (struct.error, ValueError):
        return None
    return Entry(name, category, size)


def decode_part(value: bytes) -> Optional[Tuple[int, int]]:
    """Number and size of a part, RGWUploadPartInfo; None where the record has another shape."""
    try:
        number, size = struct.unpack_from("<IQ", value, _BLOCK.size)
    except struct.error:
        return None
    return number, size
