# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments, in which a Motr process keeps its metadata: where they are mapped, and where an address is in their file.

Source: be/seg_internal.h (m0_be_seg_hdr), be/seg.c. A segment is mapped at a fixed address from a file or a block device, privately: what the
process changed is written there later, through its log. The header at the beginning of the file tells of all that lie in it:

    0 header (type 9, length up to the footer), 16 id u64, 24 number of items u32, 32 items of 5 x u64: size, address, offset, id, generation;
    there is room for 16 items; 672 version of the format, 65 bytes, 744 generation u64, 752 footer
"""

from __future__ import annotations

import re
import struct
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

from . import formats
from .errors import MotrError

FILE = re.compile(r"(?:.*/)?o/100000000000000:2a")
"""The file of the segments below a process's stob directory."""
HEADER_BYTES = 768

_ITEM = struct.Struct("<QQQQQ")
_ITEMS_AT = 32
_MOST_ITEMS = 16
_VERSION_AT = 672
_GENERATION_AT = 744
_FOOTER_AT = 752
_MAP = re.compile(r"([0-9a-f]+)-([0-9a-f]+) ([-rwxsp]{4}) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)")
_DELETED = " (deleted)"


class Mapping(NamedTuple):
    """A part of a process's memory, from ``start`` up to ``end``, that is mapped from ``offset`` of a file. ``path`` is empty where it is none."""

    start: int
    end: int
    rights: str
    offset: int
    path: str

    @property
    def size(self) -> int:
        return self.end - self.start


class Item(NamedTuple):
    """One segment of a file. Sizes and offsets are in bytes."""

    size: int
    address: int
    offset: int
    id: int
    generation: int


class Header(NamedTuple):
    """What the file of segments says of itself. ``fault`` is empty where its checksum is right."""

    id: int
    items: Tuple[Item, ...]
    version: str
    generation: int
    fault: str


def parse_maps(text: str) -> Tuple[Mapping, ...]:
    """The mappings in the text of /proc/PID/maps. Neighbours that continue each other in the same file are one, whatever split them."""
    found: List[Mapping] = []
    for line in text.splitlines():
        match = _MAP.fullmatch(line)
        if match is None:
            continue
        start, end, offset = (int(match.group(index), 16) for index in (1, 2, 4))
        path = match.group(7)
        if path.endswith(_DELETED):
            path = path[: -len(_DELETED)]
        here = Mapping(start, end, match.group(3), offset, path)
        if found and _continues(found[-1], here):
            here = here._replace(start=found[-1].start, offset=found[-1].offset)
            found.pop()
        found.append(here)
    return tuple(found)


def _continues(one: Mapping, two: Mapping) -> bool:
    return bool(two.path) and (one.end, one.rights, one.path, one.offset + one.size) == (two.start, two.rights, two.path, two.offset)


def block_device(argv: Sequence[str]) -> Optional[str]:
    """The block device that a process was told to keep its segments on, with -B; None if with none."""
    for word, after in zip(argv, [*argv[1:], ""]):
        if word == "-B":
            return after or None
        if word.startswith("-B"):
            return word[2:]
    return None


def segments_of(mappings: Iterable[Mapping], device: Optional[str] = None) -> Tuple[Mapping, ...]:
    """Those mappings that are segments: of the file that Motr keeps them in, or of a block device."""
    return tuple(one for one in mappings if "r" in one.rights and (one.path == device if device else FILE.fullmatch(one.path)))


def parse_header(raw: bytes) -> Header:
    """The header at the beginning of a file of segments, of which 768 bytes are wanted. MotrError where there is none."""
    header = formats.read_header(raw)
    if len(raw) < HEADER_BYTES or header is None or header.type != formats.SEGMENT_HEADER:
        raise MotrError("this is no file of segments: it does not begin with a segment's header")
    identity, count = struct.unpack_from("<QI", raw, 16)
    if not 0 < count <= _MOST_ITEMS:
        raise MotrError("the header tells of %d segments; 1 to %d are possible" % (count, _MOST_ITEMS))
    items = tuple(Item(*_ITEM.unpack_from(raw, _ITEMS_AT + _ITEM.size * index)) for index in range(count))
    fault = formats.footer_fault(raw, _FOOTER_AT) if header.size == _FOOTER_AT else "its length is %d and not %d" % (header.size, _FOOTER_AT)
    version = raw[_VERSION_AT : _VERSION_AT + 65].split(b"\0")[0].decode("ascii", "backslashreplace")
    return Header(identity, items, version, struct.unpack_from("<Q", raw, _GENERATION_AT)[0], fault)


def to_offset(items: Iterable[Item], address: int, length: int = 1) -> int:
    """Where in the file the ``length`` bytes from an address are. MotrError where they are not all in one segment."""
    for item in items:
        if item.address <= address and address + length <= item.address + item.size:
            return item.offset + address - item.address
    raise MotrError("%d bytes at %#x are in no segment" % (length, address))


def to_address(items: Iterable[Item], offset: int) -> int:
    """The address of a byte of the file. MotrError where it is in no segment."""
    for item in items:
        if item.offset <= offset < item.offset + item.size:
            return item.address + offset - item.offset
    raise MotrError("byte %d of the file is in no segment" % offset)
