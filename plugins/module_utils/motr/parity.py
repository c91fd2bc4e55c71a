# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parity of a parity group as Motr computes it (``sns/parity_math.c``, ``layout/pdclust.c``).

A group has n data units and k parity units, numbered in this order, each of the layout's unit size in bytes. With n = 1 parity units are copies, with k = 1 the
exclusive or of the data units, otherwise Reed-Solomon with ISA-L's Cauchy matrix; then n is 128 at most, and k not more than n. A tail that was not written
counts as zeros. Spare units hold nothing and are not part of this.
"""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from . import galois
from .errors import MotrError

UNITS_MAX = 128
"""Data units that Motr makes parity of (``SNS_PARITY_MATH_DATA_BLOCKS_MAX``)."""

FINE, LOCATED, DETECTED = "fine", "located", "detected"


class Checked(NamedTuple):
    """What a group's parity says of its units."""

    state: str
    """``fine``: parity and data agree. ``located``: they do not, and these units explain it. ``detected``: they do not, and nobody can say why."""
    wrong: Tuple[int, ...] = ()
    """Numbers of the wrong units, of data (below n) and of parity (from n on); empty unless located."""


def check_shape(n: int, k: int) -> None:
    """Whether Motr has parity groups of this shape."""
    if n < 1 or k < 0:
        raise MotrError("a parity group has at least 1 data unit and at least 0 parity units, not %d and %d" % (n, k))
    if n > 1 and (n > UNITS_MAX or k > n):
        raise MotrError("Motr makes parity of at most %d data units, and at most as many parity units as data units, not %d + %d" % (UNITS_MAX, n, k))


def padded(units: Sequence[bytes], unit_size: int) -> List[bytes]:
    """Units with zeros after a short one's end, as Motr counts what was not written."""
    for number, unit in enumerate(units):
        if len(unit) > unit_size:
            raise MotrError("unit %d has %d bytes, but a unit has %d" % (number, len(unit), unit_size))
    return [bytes(unit).ljust(unit_size, b"\0") for unit in units]


def encode(data: Sequence[bytes], k: int, unit_size: Optional[int] = None) -> List[bytes]:
    """The k parity units of a group's data units.

    With ``unit_size`` short units are filled up with zeros; without it all have to be equally long.
    """
    n = len(data)
    check_shape(n, k)
    units = list(data) if unit_size is None else padded(data, unit_size)
    _same_length(units)
    if n == 1:
        return [bytes(units[0])] * k
    return galois.combine(_rows(n, k), units)


def recover(units: Sequence[Optional[bytes]], n: int, k: int) -> List[bytes]:
    """All n + k units of a group of which up to k are None.

    Only as many units as are needed are read; whether the others agree with them tells verify().
    """
    check_shape(n, k)
    _counted(units, n, k)
    lost = [i for i, unit in enumerate(units) if unit is None]
    if len(lost) > k:
        raise MotrError("%d units of the group are lost (%s), its parity replaces at most %d" % (len(lost), ", ".join(map(str, lost)), k))
    present = {i: unit for i, unit in enumerate(units) if unit is not None}
    _same_length(list(present.values()))
    if not lost:
        return list(map(bytes, present.values()))
    if n == 1:
        return [bytes(next(iter(present.values())))] * (1 + k)
    _data(present, [i for i in lost if i < n], n, k)
    _parity(present, [i for i in lost if i >= n], n, k)
    return [bytes(present[i]) for i in range(n + k)]


def verify(units: Sequence[bytes], n: int, k: int) -> bool:
    """Whether parity and data of a whole group agree."""
    _whole(units, n, k)
    return all(made == found for made, found in zip(encode(units[:n], k), units[n:]))


def locate(units: Sequence[bytes], n: int, k: int) -> List[int]:
    """Numbers of the wrong units of a whole group, none where it is fine. MotrError where its parity cannot tell which they are."""
    if k == 0:
        check_shape(n, k)
        raise MotrError("a group without parity (K = 0) cannot be checked at all")
    found = check(units, n, k)
    if found.state != DETECTED:
        return list(found.wrong)
    if k == 1:
        raise MotrError("parity and data disagree, but one parity unit (K = 1) cannot tell which unit is wrong: it has to be named")
    raise MotrError(
        "parity and data disagree, but %d parity units locate no more than %s, and more than that are wrong: they have to be named"
        % (k, "one wrong unit" if k < 4 else "%d wrong units" % (k // 2))
    )


def check(units: Sequence[bytes], n: int, k: int) -> Checked:
    """Which units of a whole group are wrong, in one byte or in all: the only set of at most k // 2 units that explains it.

    Where more units than that are wrong, they are detected, yet not located; seldom other units are named then, as with every code. So with k = 1 nothing
    is ever located: whoever repairs has to know which unit it is.
    """
    _whole(units, n, k)
    if n == 1:
        return _odd_copies(units, k)
    wrong: Set[int] = set()
    while True:
        position = _disagreement(units, wrong, n, k)
        if position is None:
            return Checked(LOCATED, tuple(sorted(wrong))) if wrong else Checked(FINE)
        found = _errors([unit[position] for unit in units], n, k)
        if found is None or found <= wrong or len(found | wrong) > k // 2:
            return Checked(DETECTED)
        wrong |= found


def _rows(n: int, k: int) -> galois.Matrix:
    return [[1] * n] if k == 1 else galois.cauchy(n, k)


def _counted(units: Sequence[Optional[bytes]], n: int, k: int) -> None:
    if len(units) != n + k:
        raise MotrError("a group of %d + %d has %d units, not %d" % (n, k, n + k, len(units)))


def _same_length(units: Sequence[bytes]) -> None:
    sizes = sorted(set(map(len, units)))
    if len(sizes) > 1:
        raise MotrError("units of a group are equally long, these have %s bytes" % ", ".join(map(str, sizes)))


def _whole(units: Sequence[Optional[bytes]], n: int, k: int) -> None:
    check_shape(n, k)
    _counted(units, n, k)
    present = [unit for unit in units if unit is not None]
    if len(present) < len(units):
        raise MotrError("%d units of the group are missing, only a whole group can be checked" % (len(units) - len(present)))
    _same_length(present)


def _data(present: Dict[int, bytes], lost: List[int], n: int, k: int) -> None:
    """Put lost data units in: solve as many equations of parity as there are units lost."""
    if not lost:
        return
    parity = [i for i in sorted(present) if i >= n][: len(lost)]
    rows = _rows(n, k)
    used = [rows[i - n] for i in parity]
    solution = galois.inverted([[row[j] for j in lost] for row in used])
    if solution is None:
        raise MotrError("the matrix of parity has no inverse for lost units %s" % ", ".join(map(str, lost)))
    alive = [j for j in range(n) if j in present]
    columns = [galois.times(solution, [row[j] for row in used]) for j in alive]
    # solution * (parity + used * alive) = [solution * used | solution] * (alive, parity)
    factors = [[column[i] for column in columns] + solution[i] for i in range(len(lost))]
    present.update(zip(lost, galois.combine(factors, [present[i] for i in alive + parity])))


def _parity(present: Dict[int, bytes], lost: List[int], n: int, k: int) -> None:
    """Put lost parity units in, once all data units are there."""
    if lost:
        rows = _rows(n, k)
        present.update(zip(lost, galois.combine([rows[i - n] for i in lost], [present[j] for j in range(n)])))


def _odd_copies(units: Sequence[bytes], k: int) -> Checked:
    """Copies that differ from what more than half of them say."""
    (value, count), *others = Counter(map(bytes, units)).most_common()
    if not others:
        return Checked(FINE)
    if len(units) - count > k // 2:
        return Checked(DETECTED)
    return Checked(LOCATED, tuple(i for i, unit in enumerate(units) if unit != value))


def _disagreement(units: Sequence[bytes], doubted: Set[int], n: int, k: int) -> Optional[int]:
    """The first byte at which the units disagree, whatever the doubted ones hold; None when there is none."""
    whole = recover([None if i in doubted else unit for i, unit in enumerate(units)], n, k)
    for made, found in zip(encode(whole[:n], k), whole[n:]):
        if made != found:
            difference = int.from_bytes(made, "little") ^ int.from_bytes(found, "little")
            return ((difference & -difference).bit_length() - 1) // 8
    return None


def _errors(word: Sequence[int], n: int, k: int) -> Optional[Set[int]]:
    """The at most k // 2 units that are wrong at one byte, None when so few cannot explain it (Peterson's decoder).

    A code made by a Cauchy matrix is a Reed-Solomon code: with L the product of all (x - j), j below n, the values L'(j) * data and L(i) * parity are those
    of a polynomial of a degree below n at 0 ... n + k - 1. So its sums with x ** m are zero for all m below k, but for the wrong units' parts.
    """
    if k < 2:
        return None
    sums = _syndromes(word, n, k)
    for count in range(k // 2, 0, -1):
        solution = galois.inverted([sums[i : i + count] for i in range(count)])
        if solution is None:
            continue
        locator = galois.times(solution, sums[count : 2 * count]) + [1]
        found = {x for x in range(n + k) if not _value(locator, x)}
        expected = all(not galois.times([locator], sums[i : i + count + 1])[0] for i in range(k - count))
        return found if len(found) == count and expected else None
    return None


def _syndromes(word: Sequence[int], n: int, k: int) -> List[int]:
    sums = [0] * k
    for a, value in enumerate(word):
        if not value:
            continue
        # L(a) or L'(a), over the product of all (a - b): what is left of it is the product over the parity units, other than a.
        weight = value
        for b in range(n, n + k):
            if a != b:
                weight = galois.multiply(weight, galois.inverse(a ^ b))
        for m in range(k):
            sums[m] ^= weight
            weight = galois.multiply(weight, a)
    return sums


def _value(polynomial: Sequence[int], x: int) -> int:
    """Of a polynomial, its lowest factor first."""
    total = 0
    for factor in reversed(polynomial):
        total = galois.multiply(total, x) ^ factor
    return total
