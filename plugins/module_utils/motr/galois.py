# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The field of 256 elements that Motr's parity is made in, and sums of units in it.

As ISA-L has it (``gf_gen_cauchy1_matrix``, ``ec_encode_data``; Motr's ``sns/parity_math.c``): polynomials over two elements modulo 0x11d, 2 generates the
field, addition is exclusive or. The same sums are made with numpy where it is there and with what Python itself does fast where it is not.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from .errors import MotrError

numpy: Any
try:
    import numpy
except ImportError:  # not needed
    numpy = None

POLYNOMIAL = 0x11D
ORDER = 255
"""Of the multiplicative group."""
CHUNK = 1 << 16
"""Bytes of a unit that are worked on at a time, so that they stay in the processor's cache."""

Matrix = List[List[int]]


def _powers() -> Tuple[List[int], List[int]]:
    """2 to the n, twice around, and n by its power."""
    powers, logarithms, value = [0] * (2 * ORDER), [0] * 256, 1
    for n in range(ORDER):
        powers[n] = powers[n + ORDER] = value
        logarithms[value] = n
        value = value << 1 ^ (POLYNOMIAL if value & 0x80 else 0)
    return powers, logarithms


POWERS, LOGARITHMS = _powers()
_PRODUCTS: Dict[int, bytes] = {}
_WORDS: Dict[Tuple[int, ...], Any] = {}
_WORDS_KEPT = 4096


def multiply(a: int, b: int) -> int:
    """The product of two elements, 0 to 255."""
    return POWERS[LOGARITHMS[a] + LOGARITHMS[b]] if a and b else 0


def inverse(a: int) -> int:
    """What makes 1 with an element that is not 0."""
    if not a:
        raise MotrError("0 has no inverse in GF(256)")
    return POWERS[ORDER - LOGARITHMS[a]]


def products(factor: int) -> bytes:
    """A factor's products with 0 to 255, as a table for ``bytes.translate``."""
    table = _PRODUCTS.get(factor)
    if table is None:
        table = _PRODUCTS[factor] = bytes(multiply(factor, value) for value in range(256))
    return table


def cauchy(n: int, k: int) -> Matrix:
    """The k rows that make parity out of n units: 1 / (i xor j), i from n on, j below n (``gf_gen_cauchy1_matrix``). Every square part of it has an inverse."""
    return [[inverse(i ^ j) for j in range(n)] for i in range(n, n + k)]


def inverted(matrix: Sequence[Sequence[int]]) -> Optional[Matrix]:
    """The inverse of a square matrix, None where it has none."""
    size = len(matrix)
    rows = [list(row) + [int(i == j) for j in range(size)] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next((i for i in range(column, size) if rows[i][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        table = products(inverse(rows[column][column]))
        rows[column] = [table[value] for value in rows[column]]
        for i in range(size):
            factor = rows[i][column]
            if i != column and factor:
                table = products(factor)
                rows[i] = [value ^ table[other] for value, other in zip(rows[i], rows[column])]
    return [row[size:] for row in rows]


def times(rows: Sequence[Sequence[int]], vector: Sequence[int]) -> List[int]:
    """A matrix times a vector."""
    result = []
    for row in rows:
        total = 0
        for factor, value in zip(row, vector):
            total ^= multiply(factor, value)
        result.append(total)
    return result


def combine(rows: Sequence[Sequence[int]], units: Sequence[bytes]) -> List[bytes]:
    """For each row of factors the sum of all units, each times its factor. Units are equally long, and so is every sum."""
    if not units or not len(units[0]):
        return [b""] * len(rows)
    return (combine_plain if numpy is None else combine_numpy)(rows, units)


def combine_plain(rows: Sequence[Sequence[int]], units: Sequence[bytes]) -> List[bytes]:
    """The same without numpy: products by ``bytes.translate``, sums by one exclusive or of long numbers."""
    size = len(units[0])
    parts: List[List[bytes]] = [[] for _row in rows]
    for start in range(0, size, CHUNK):
        pieces = [bytes(unit[start : start + CHUNK]) for unit in units]
        numbers: List[Optional[int]] = [None] * len(pieces)
        for part, row in zip(parts, rows):
            part.append(_sum(row, pieces, numbers))
    return [b"".join(part) for part in parts]


def _sum(row: Sequence[int], pieces: Sequence[bytes], numbers: List[Optional[int]]) -> bytes:
    """One row's sum; pieces that are read as a number once are not read again."""
    total = 0
    for j, factor in enumerate(row):
        if factor == 1:
            number = numbers[j]
            if number is None:
                number = numbers[j] = int.from_bytes(pieces[j], "little")
            total ^= number
        elif factor:
            total ^= int.from_bytes(pieces[j].translate(products(factor)), "little")
    return total.to_bytes(len(pieces[0]), "little")


def combine_numpy(rows: Sequence[Sequence[int]], units: Sequence[bytes]) -> List[bytes]:
    """The same with numpy."""
    size = len(units[0])
    arrays = [numpy.frombuffer(unit, dtype=numpy.uint8) for unit in units]
    sums: List[bytes] = []
    for some in _eights(rows):
        sums += _xored(some[0], arrays, size) if len(some) == 1 and max(some[0], default=0) <= 1 else _packed(some, arrays, size)
    return sums


def _eights(rows: Sequence[Sequence[int]]) -> Iterator[Sequence[Sequence[int]]]:
    for start in range(0, len(rows), 8):
        yield rows[start : start + 8]


def _xored(row: Sequence[int], arrays: Sequence[Any], size: int) -> List[bytes]:
    total = numpy.zeros(size, dtype=numpy.uint8)
    for start in range(0, size, CHUNK):
        part = total[start : start + CHUNK]
        for factor, array in zip(row, arrays):
            if factor:
                numpy.bitwise_xor(part, array[start : start + CHUNK], out=part)
    return [total.tobytes()]


def _packed(rows: Sequence[Sequence[int]], arrays: Sequence[Any], size: int) -> List[bytes]:
    """Up to eight sums at once: a byte's products with the factors of all rows lie beside each other in one word, so that each byte is looked up once."""
    width = next(width for width in (1, 2, 4, 8) if width >= len(rows))
    tables = [_words(column, width) for column in zip(*rows)]
    sums = numpy.empty((len(rows), size), dtype=numpy.uint8)
    taken = numpy.empty(min(size, CHUNK), dtype="<u%d" % width)
    for start in range(0, size, CHUNK):
        length = min(CHUNK, size - start)
        total = numpy.zeros(length, dtype=taken.dtype)
        for table, array in zip(tables, arrays):
            numpy.take(table, array[start : start + length], out=taken[:length], mode="clip")
            numpy.bitwise_xor(total, taken[:length], out=total)
        sums[:, start : start + length] = total.view(numpy.uint8).reshape(length, width)[:, : len(rows)].T
    return [row.tobytes() for row in sums]


def _words(column: Tuple[int, ...], width: int) -> Any:
    table = _WORDS.get(column)
    if table is None:
        packed = numpy.zeros((256, width), dtype=numpy.uint8)
        for i, factor in enumerate(column):
            packed[:, i] = numpy.frombuffer(products(factor), dtype=numpy.uint8)
        if len(_WORDS) >= _WORDS_KEPT:
            _WORDS.clear()
        table = _WORDS[column] = packed.view("<u%d" % width).ravel()
    return table
