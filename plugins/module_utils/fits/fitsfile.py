# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file is valid FITS as far as its structure goes: blocks, headers, and data units as long as the headers say.

Data is passed over, not looked at. A plain file costs a few reads; a compressed one is decompressed to its end, a piece at a time.
Source: the FITS standard 4.0, sections 3.1, 3.3, 4.4.1 and 7.
"""

from __future__ import annotations

import bz2
import os
import stat
import time
from dataclasses import dataclass, replace
from typing import IO, Dict, Optional

BLOCK = 2880
CARD = 80
_LONGEST_HEADER = 10000 * BLOCK
_MOST_UNITS = 100000
_PIECE = 65536
_BITPIX = (8, 16, 32, 64, -32, -64)
_FILLER = (b"\0", b" ")


@dataclass(frozen=True)
class Validity:
    """``opens`` is None where it could not be found out; ``reason`` says what is wrong, or why not."""

    opens: Optional[bool]
    reason: str = ""
    telescop: Optional[str] = None
    hdus: int = 0
    size: int = 0
    cut_off: bool = False
    """It ends too early, as a file does that is still being written."""

    @property
    def refused(self) -> str:
        """Why upstream's DHS copy would not take it, in upstream's words where it has them."""
        if self.opens is False:
            return "Unable to open file in astrodata (%s)" % self.reason
        if self.opens is None:
            return ""
        if self.telescop is None:
            return "TELESCOP keyword missing in file"
        return "Bad value %s for TELESCOP in file" % self.telescop if self.telescop == "0" else ""


class _Broken(Exception):
    """What is wrong with the file."""

    cut_off = False


class _CutOff(_Broken):
    cut_off = True


class _TimeIsUp(Exception):
    pass


def check(path: str, deadline: Optional[float] = None) -> Validity:
    """Look at a file, compressed if its name says so. ``deadline`` is of the monotonic clock. OSError only when it cannot be opened."""
    with open(path, "rb", opener=_regular, buffering=0) as raw:
        walk = _Walk(_Compressed(raw, deadline) if path.endswith(".bz2") else _Plain(raw))
        try:
            walk.run()
        except _Broken as exc:
            return replace(walk.seen, opens=False, reason=str(exc), cut_off=exc.cut_off)
        except _TimeIsUp:
            return replace(walk.seen, opens=None, reason="it was not decompressed to its end, because time was up")
        except OSError as exc:  # the disk, and not the file
            return replace(walk.seen, opens=None, reason="it cannot be read: %s" % exc.strerror)
    return replace(walk.seen, opens=True)


def _regular(path: str, flags: int) -> int:
    """Never waits for the writer of a pipe, and never touches a device."""
    found = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(0, "it is not a regular file", path)
    return found


class _Plain:
    """An uncompressed file: what is passed over is not read."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.raw = raw
        self.position = 0
        self.end = os.fstat(raw.fileno()).st_size

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.raw.read(size - len(data))
            if not piece:
                break
            data += piece
        self.position += len(data)
        return data

    def skip(self, size: int) -> int:
        """How many bytes there were to pass over."""
        there = min(size, max(0, self.end - self.position))
        self.position += there
        self.raw.seek(self.position)
        return there


class _Compressed:
    """A bzip2 file, of one stream or several; bytes after the last are passed over, as bunzip2 does."""

    def __init__(self, raw: IO[bytes], deadline: Optional[float]) -> None:
        self.deadline = deadline
        self.position = 0
        self.file = bz2.BZ2File(raw)

    def read(self, size: int) -> bytes:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise _TimeIsUp
        try:
            data = self.file.read(size)
        except EOFError:
            raise _CutOff("the compressed file ends in the middle, after %d bytes of data" % self.position) from None
        except OSError as exc:
            if exc.errno:
                raise
            raise _Broken("it is not intact bzip2 data after %d bytes" % self.position) from None
        self.position += len(data)
        return data

    def skip(self, size: int) -> int:
        left = size
        while left:
            got = len(self.read(min(left, _PIECE)))
            if not got:
                break
            left -= got
        return size - left


class _Walk:
    """From one header and data unit to the next."""

    def __init__(self, source: _Plain | _Compressed) -> None:
        self.source = source
        self.seen = Validity(None)

    def run(self) -> None:
        while self.seen.hdus < _MOST_UNITS:
            cards = self._header(self.seen.hdus)
            if cards is None:
                return
            if self.seen.hdus == 0:
                self.seen = replace(self.seen, telescop=cards.get("TELESCOP"))
            self._data(self.seen.hdus, cards)
            self.seen = replace(self.seen, hdus=self.seen.hdus + 1, size=self.source.position)
        raise _Broken("it has more than %d HDUs" % _MOST_UNITS)

    def _header(self, number: int) -> Optional[Dict[str, str]]:
        """The cards of the next unit; None at the end of the file."""
        block = self.source.read(BLOCK)
        if number and not block.startswith(b"XTENSION"):
            self._ends(number, block)
            return None
        if not number:
            _check_first(block)
        cards: Dict[str, str] = {}
        start = self.source.position - len(block)
        while True:
            if len(block) < BLOCK:
                raise _CutOff("header of HDU %d: no END card in %d bytes, where the file ends" % (number, self.source.position - start))
            if _collect(block, cards):
                return cards
            if self.source.position - start > _LONGEST_HEADER:
                raise _Broken("header of HDU %d: no END card in %d bytes" % (number, self.source.position - start))
            block = self.source.read(BLOCK)

    def _ends(self, number: int, block: bytes) -> None:
        """Nothing but filling may follow the last unit."""
        while block:
            if not any(block == filler * len(block) for filler in _FILLER):
                raise _Broken("what follows HDU %d, at byte %d, is no extension" % (number - 1, self.source.position - len(block)))
            block = self.source.read(BLOCK)

    def _data(self, number: int, cards: Dict[str, str]) -> None:
        size = _data_size(number, cards)
        padded = -(-size // BLOCK) * BLOCK
        got = self.source.skip(padded)
        if got < size:
            raise _CutOff("data of HDU %d ends after %d of %d bytes" % (number, got, size))
        if got < padded:
            raise _CutOff("data of HDU %d is not padded to a whole block of %d bytes" % (number, BLOCK))


def _check_first(block: bytes) -> None:
    if not block:
        raise _CutOff("it is empty")
    if block[:9] != b"SIMPLE  =":
        raise _Broken("it does not begin with SIMPLE, as every FITS file does")
    if _value(block[10:CARD]) != "T":
        raise _Broken("its SIMPLE is not T: it does not claim to follow the standard")


def _collect(block: bytes, cards: Dict[str, str]) -> bool:
    """Add the cards of a block, the first of each name; true when END was among them."""
    for start in range(0, BLOCK, CARD):
        card = block[start : start + CARD]
        if card[:8] == b"END     ":
            return True
        if card[8:9] == b"=":
            cards.setdefault(card[:8].rstrip().decode("latin-1"), _value(card[9:]))
    return False


def _value(field: bytes) -> str:
    """The value of a card without its comment; of a string, what is between the quotes."""
    text = field.decode("latin-1").strip()
    if not text.startswith("'"):
        return text.partition("/")[0].strip()
    inside, rest = "", text[1:]
    while True:
        part, quote, rest = rest.partition("'")
        inside += part
        if not quote or not rest.startswith("'"):
            return inside.rstrip()
        inside, rest = inside + "'", rest[1:]


def _data_size(number: int, cards: Dict[str, str]) -> int:
    """Bytes of the data unit, before padding."""
    bits = _integer(number, cards, "BITPIX", None)
    if bits not in _BITPIX:
        raise _Broken("header of HDU %d: BITPIX is %d, not one of %s" % (number, bits, ", ".join(map(str, _BITPIX))))
    axes = _integer(number, cards, "NAXIS", None)
    if not 0 <= axes <= 999:
        raise _Broken("header of HDU %d: NAXIS is %d, not 0 to 999" % (number, axes))
    lengths = [_integer(number, cards, "NAXIS%d" % n, None) for n in range(1, axes + 1)]
    if not lengths:
        return 0
    groups = lengths[0] == 0 and cards.get("GROUPS") == "T"  # random groups, of radio astronomy
    elements = 1
    for length in lengths[1:] if groups else lengths:
        elements *= length
    parameters, count = _integer(number, cards, "PCOUNT", 0), _integer(number, cards, "GCOUNT", 1)
    if min(lengths) < 0 or parameters < 0 or count < 0:
        raise _Broken("header of HDU %d: a negative length among NAXISn, PCOUNT and GCOUNT" % number)
    return abs(bits) // 8 * count * (parameters + elements)


def _integer(number: int, cards: Dict[str, str], key: str, default: Optional[int]) -> int:
    text = cards.get(key)
    if text is None:
        if default is None:
            raise _Broken("header of HDU %d: %s is missing" % (number, key))
        return default
    try:
        return int(text)
    except ValueError:
        raise _Broken("header of HDU %d: %s is %r, not an integer" % (number, key, text[:40])) from None
