# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the headers of a FITS file with the standard library only: what astrodata and fitsverify are asked for.

`astrodata.open` takes a file whose headers can be read, though its data may be cut off; fitsverify does not.
"""

from __future__ import annotations

import bz2
import os
from typing import IO

BLOCK = 2880
CARD = 80
Header = dict[str, object]


class NotFits(Exception):
    """The file cannot be opened."""


def read(path: str) -> bytes:
    """The uncompressed content."""
    with _open(path) as handle:
        try:
            return handle.read()
        except (OSError, EOFError) as error:
            raise NotFits(f"{path}: {error}") from error


def primary(path: str) -> Header:
    """The primary header, as astrodata finds it; every other header must be readable as well."""
    return headers(read(path))[0]


def errors(path: str) -> int:
    """What fitsverify counts: data that are cut off, or not padded to a block."""
    content = read(path)
    return int(_end(headers(content), content) != len(content))


def headers(content: bytes) -> list[Header]:
    """The headers of all extensions."""
    found: list[Header] = []
    start = 0
    while start < len(content):
        header, size = _header(content, start)
        if not found and header.get("SIMPLE") is not True:
            raise NotFits("No SIMPLE card found, this file does not appear to be a valid FITS file")
        found.append(header)
        start += size + _data_size(header)
    if not found:
        raise NotFits("Empty or corrupt FITS file")
    return found


def _open(path: str) -> IO[bytes]:
    return bz2.open(path, "rb") if path.endswith(".bz2") else open(path, "rb")


def _header(content: bytes, start: int) -> tuple[Header, int]:
    header: Header = {}
    for at in range(start, len(content), CARD):
        card = content[at : at + CARD].decode("ascii", errors="replace")
        if card.startswith("END") and not card[3:].strip():
            return header, -(-(at + CARD - start) // BLOCK) * BLOCK
        name, equals, value = card[:8].strip(), card[8:10], card[10:]
        if equals == "= ":
            header[name] = _value(value)
    raise NotFits("Header missing END card.")


def _value(text: str) -> object:
    text = text.strip()
    if text.startswith("'"):
        return text[1:].partition("'")[0].rstrip()
    text = text.partition("/")[0].strip()
    if text in ("T", "F"):
        return text == "T"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _number(header: Header, name: str, default: int = 0) -> int:
    value = header.get(name, default)
    return value if isinstance(value, int) else default


def _data_size(header: Header) -> int:
    axes = _number(header, "NAXIS")
    if not axes:
        return 0
    count = 1
    for axis in range(1, axes + 1):
        count *= _number(header, f"NAXIS{axis}")
    size = abs(_number(header, "BITPIX", 8)) // 8 * _number(header, "GCOUNT", 1) * (_number(header, "PCOUNT") + count)
    return -(-size // BLOCK) * BLOCK


def _end(found: list[Header], content: bytes) -> int:
    """Where the last extension should end."""
    start = 0
    for header in found:
        _header_again, size = _header(content, start)
        start += size + _data_size(header)
    return start


def exists(path: str) -> bool:
    """There, with or without .bz2."""
    other = path[:-4] if path.endswith(".bz2") else path + ".bz2"
    return any(os.access(name, os.F_OK | os.R_OK) for name in (path, other))
