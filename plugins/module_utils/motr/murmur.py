# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids that s3server makes of names where S3_ENABLE_MURMURHASH_OID is set (server/s3_uri_to_motr_oid.cc). By default ids are random."""

from __future__ import annotations

import struct
from typing import Tuple

from .errors import MotrError
from .ids import LAST_RESERVED_ID, ObjectId

_WORD = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
_HIGH = 0x07FFFFFF
"""The upper 37 bits are Motr's."""
_RESERVED = LAST_RESERVED_ID + 255


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _WORD


def _mixed(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & _WORD
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & _WORD
    return value ^ value >> 33


def _low(word: int) -> int:
    return _rotated(word * _C1 & _WORD, 31) * _C2 & _WORD


def _high(word: int) -> int:
    return _rotated(word * _C2 & _WORD, 33) * _C1 & _WORD


def murmur3_x64_128(data: bytes, seed: int = 0) -> Tuple[int, int]:
    """MurmurHash3_x64_128."""
    one = two = seed
    whole = len(data) // 16 * 16
    for low, high in struct.iter_unpack("<QQ", data[:whole]):
        one = ((_rotated(one ^ _low(low), 27) + two) * 5 + 0x52DCE729) & _WORD
        two = ((_rotated(two ^ _high(high), 31) + one) * 5 + 0x38495AB5) & _WORD
    low, high = struct.unpack("<QQ", data[whole:].ljust(16, b"\0"))
    one, two = one ^ _low(low) ^ len(data), two ^ _high(high) ^ len(data)
    one = (one + two) & _WORD
    two = (two + one) & _WORD
    one, two = _mixed(one), _mixed(two)
    one = (one + two) & _WORD
    return one, (two + one) & _WORD


def object_id(name: str) -> ObjectId:
    """The id of a name, as long as no other name had it before."""
    if not name:
        raise MotrError("an empty name has no id")
    high, low = murmur3_x64_128(name.encode("utf-8"))
    found = ObjectId(high & _HIGH, low)
    if found <= (0, _RESERVED):
        found = ObjectId(0, found.lo + _RESERVED)
    return found
