# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame that Motr puts around what it keeps: a header with magic and length, a footer with magic and checksum.

Source: format/format.h (m0_format_header, m0_format_footer) and lib/hash_fnc.c. All numbers are little endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

HEADER_MAGIC = 0x33011CA5E511DE77
FOOTER_MAGIC = 0x33F007E7F007E777
HEADER_SIZE = 16
FOOTER_SIZE = 16
BTREE_NODE, EMAP_KEY, EMAP_RECORD, EMAP, SEGMENT_HEADER, COB_RECORD, GROUP_DESCRIPTOR, CATALOGUE = 4, 5, 6, 7, 9, 15, 16, 23
"""Values of m0_format_type."""

_BASIS = 14695981039346656037
_PRIME = 1099511628211
_WORD = (1 << 64) - 1


def fnv1(data: bytes) -> int:
    """FNV-1 of 64 bits: multiply, then xor. 0 of nothing, as in lib/hash_fnc.c."""
    value = _BASIS if data else 0
    for byte in data:
        value = value * _PRIME & _WORD ^ byte
    return value


class Header(NamedTuple):
    """``size`` is the number of bytes from the header to the footer, which the checksum is of."""

    version: int
    type: int
    size: int


def read_header(raw: bytes) -> Optional[Header]:
    """The header at the beginning of ``raw``; None where there is none."""
    if len(raw) < HEADER_SIZE:
        return None
    magic, bits = struct.unpack_from("<QQ", raw)
    return Header(bits >> 48, bits >> 32 & 0xFFFF, bits & 0xFFFFFFFF) if magic == HEADER_MAGIC else None


def footer_fault(raw: bytes, size: int) -> str:
    """What is wrong with the footer at ``size``, in a few words; empty where it is right."""
    if len(raw) < size + FOOTER_SIZE:
        return "it ends before its footer"
    magic, checksum = struct.unpack_from("<QQ", raw, size)
    if magic != FOOTER_MAGIC:
        return "the footer's magic is %#x" % magic
    wanted = fnv1(raw[:size])
    return "" if checksum == wanted else "the checksum is %#x, its bytes give %#x" % (checksum, wanted)


def frame_fault(raw: bytes, kind: int) -> str:
    """What is wrong with a whole record of a type in a frame; empty where nothing is."""
    header = read_header(raw)
    if header is None:
        return "it has no header"
    if header.type != kind:
        return "its type is %d and not %d" % (header.type, kind)
    if header.size < HEADER_SIZE:
        return "its length is %d" % header.size
    return footer_fault(raw, header.size)
