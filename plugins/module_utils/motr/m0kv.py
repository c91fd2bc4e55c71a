# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What m0kv reads and prints without -s: keys and values as lists of bytes. What it prints with -s is ambiguous where a value holds a line break."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Tuple

from .errors import MotrError

_LINE = re.compile(r"^/(KEY|VAL)/ ?(.*)$", re.MULTILINE)
# A plain char is signed on x86: bytes from 0x80 on are printed as 0xffffff80 (m0kv/index.c, log_hex_val).
_BYTE = re.compile(r"0x(?:[fF]{6}(?=[89a-fA-F]))?([0-9a-fA-F]{1,2})")
_RC = re.compile(r"^operation rc: *(-?\d+)$", re.MULTILINE)
_ITEM = re.compile(r"^rcs\[\d+\]: *(-?\d+)$", re.MULTILINE)
_FOUND = re.compile(r"^<[0-9a-fA-F]+:[0-9a-fA-F]+> found rc *(-?\d+)$", re.MULTILINE)
_STARTED = re.compile(r"^Initialization error *(-?\d+)$", re.MULTILINE)
_LONG = 200
"""m0kv reads lines of less than 100 characters otherwise than longer ones, and cuts them off (index_parser.c, item_load)."""


class Answer(NamedTuple):
    """``rows`` are (key, value); empty slots, which ``next`` always prints, are left out.

    ``rc`` is that of the operation, None where m0kv did not come to tell it; ``item`` that of the record, and ``started`` of the start of the
    client, both None where m0kv had nothing to say of them. The operation may have failed although m0kv exits with 0.
    """

    rows: Tuple[Tuple[bytes, bytes], ...]
    rc: Optional[int]
    item: Optional[int] = None
    started: Optional[int] = None
    found: Optional[int] = None
    """What ``lookup`` says of an index, of which the operation itself always succeeds."""

    @property
    def failed(self) -> int:
        """The first code that is not 0."""
        return next((code for code in (self.started, self.rc, self.item) if code), 0)


def parse(text: str) -> Answer:
    """The rows of an output in hexadecimal. MotrError for that of -s, and for a key without a value."""
    if re.search(r"^\t(KEY|VAL):", text, re.MULTILINE):
        raise MotrError("this is the output of m0kv -s, in which a value may look like a row: call m0kv without -s")
    rows: List[Tuple[bytes, bytes]] = []
    key: Optional[bytes] = None
    for row in _LINE.finditer(text):
        data = _bytes(row.group(2))
        if (row.group(1) == "KEY") != (key is None):
            raise MotrError("the output of m0kv does not alternate between keys and values")
        if key is None:
            key = data
            continue
        if key or data:
            rows.append((key, data))
        key = None
    if key:
        raise MotrError("the output of m0kv ends after a key")
    return Answer(tuple(rows), _code(_RC, text), _code(_ITEM, text), _code(_STARTED, text), _code(_FOUND, text))


def _bytes(text: str) -> bytes:
    found = [_BYTE.fullmatch(word) for word in text.split()]
    if not all(found):
        raise MotrError("the output of m0kv has a row that is no list of bytes")
    return bytes(int(each.group(1), 16) for each in found if each)


def _code(pattern: re.Pattern[str], text: str) -> Optional[int]:
    found = pattern.search(text)
    return int(found.group(1)) if found else None


def literal(data: bytes) -> str:
    """Bytes as m0kv takes them: its number, and each of them."""
    if not data:
        raise MotrError("m0kv takes no empty key or value")
    return "[0x%x:%s]" % (len(data), ",".join("0x%02x" % byte for byte in data))


def file_line(data: bytes) -> str:
    """Bytes as a line of a file that m0kv reads in place of an argument, which everybody on the node could see."""
    text = literal(data).ljust(_LONG)
    return "%d %s\n" % (len(text), text)
