# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parity: what real Motr computed, and that what is lost or wrong is found again."""

from __future__ import annotations

import json
import random
from itertools import combinations
from pathlib import Path
from typing import Any, Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import galois, parity
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from hypothesis import given, settings
from hypothesis import strategies as st

SHAPES = json.loads((Path(__file__).parent / "fixtures" / "parity.json").read_text(encoding="ascii"))
NAMES = ["N%(N)dK%(K)d" % shape for shape in SHAPES]
SAID = {parity.FINE, parity.LOCATED, parity.DETECTED}


@pytest.fixture(params=["plain", "numpy"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "numpy":
        pytest.importorskip("numpy")
    else:
        monkeypatch.setattr(galois, "numpy", None)
    return str(request.param)


def group(n: int, k: int, size: int, seed: int = 0) -> list[bytes]:
    dice = random.Random(seed)  # noqa: S311  no secret
    data = [bytes(dice.choices(range(256), k=size)) for _unit in range(n)]
    return data + parity.encode(data, k)


def without(units: Sequence[bytes], lost: Sequence[int]) -> list[bytes | None]:
    return [None if i in lost else unit for i, unit in enumerate(units)]


def damaged(unit: bytes, position: int, by: int = 1) -> bytes:
    return unit[:position] + bytes([unit[position] ^ by]) + unit[position + 1 :]


@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
def test_real_parity(arithmetic: str, shape: Any) -> None:
    n, k = shape["N"], shape["K"]
    data, expected = [[bytes.fromhex(unit) for unit in shape[part]] for part in ("data", "parity")]
    assert parity.encode(data, k) == expected
    units = data + expected
    assert parity.verify(units, n, k)
    assert parity.check(units, n, k) == parity.Checked(parity.FINE)
    for count in range(k + 1):
        for lost in combinations(range(n + k), count):
            assert parity.recover(without(units, lost), n, k) == units


def slowly(data: Sequence[bytes], k: int) -> list[bytes]:
    """Byte by byte, with products made bit by bit and inverses that were searched for."""

    def product(a: int, b: int) -> int:
        total = 0
        while b:
            total ^= a if b & 1 else 0
            a, b = a << 1 ^ (0x11D if a & 0x80 else 0), b >> 1
        return total

    n = len(data)
    rows = [[1] * n] if k == 1 else [[next(c for c in range(256) if product(c, i ^ j) == 1) for j in range(n)] for i in range(n, n + k)]
    made = []
    for row in rows:
        unit = bytearray(len(data[0]))
        for factor, source in zip(row, data):
            for i, value in enumerate(source):
                unit[i] ^= product(factor, value)
        made.append(bytes(unit))
    return made


@pytest.mark.parametrize(("n", "k"), [(2, 1), (2, 2), (5, 3), (9, 5), (10, 9), (17, 16)])
def test_every_width_as_slowly_made(arithmetic: str, n: int, k: int) -> None:
    units = group(n, k, 33)
    assert units[n:] == slowly(units[:n], k)


def test_units_of_more_than_a_chunk(arithmetic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {k: group(4, k, 1000) for k in (1, 3)}
    monkeypatch.setattr(galois, "CHUNK", 64)
    for k, units in expected.items():
        assert parity.encode(units[:4], k) == units[4:]
        assert parity.recover(without(units, [1]), 4, k) == units


@st.composite
def groups_and_losses(draw: Any) -> tuple[list[bytes], int, int, list[int]]:
    n = draw(st.integers(1, 12))
    k = draw(st.integers(0, 4 if n == 1 else n))
    units = group(n, k, draw(st.integers(0, 40)), draw(st.integers(0, 1000)))
    return units, n, k, draw(st.lists(st.integers(0, n + k - 1), max_size=k, unique=True))


@given(groups_and_losses())
def test_what_is_lost_is_recovered(case: tuple[list[bytes], int, int, list[int]]) -> None:
    units, n, k, lost = case
    for each in dict.fromkeys((None, galois.numpy)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(galois, "numpy", each)
            assert parity.recover(without(units, lost), n, k) == units


@given(st.integers(1, 12), st.integers(0, 4), st.data())
def test_one_loss_too_many_is_an_error(n: int, k: int, data: Any) -> None:
    k = min(k, n)
    lost = data.draw(st.lists(st.integers(0, n + k - 1), min_size=k + 1, max_size=n + k, unique=True))
    with pytest.raises(MotrError, match="its parity replaces at most %d" % k):
        parity.recover(without(group(n, k, 4), lost), n, k)


def test_the_largest_group(arithmetic: str) -> None:
    units = group(128, 128, 3)
    dice = random.Random(1)  # noqa: S311  no secret
    lost = dice.sample(range(256), 128)
    assert parity.recover(without(units, lost), 128, 128) == units
    wrong = sorted(dice.sample(range(256), 5))
    bad = [damaged(units[i], 1, i % 255 + 1) if i in wrong else units[i] for i in range(256)]
    assert parity.check(bad, 128, 128) == parity.Checked(parity.LOCATED, tuple(wrong))


@given(st.integers(2, 12), st.integers(2, 8), st.data())
@settings(max_examples=150)
def test_what_is_wrong_is_located(n: int, k: int, data: Any) -> None:
    k = min(k, n)
    wrong = data.draw(st.lists(st.integers(0, n + k - 1), min_size=1, max_size=k // 2, unique=True))
    units = group(n, k, 16)
    for i in wrong:
        for position in data.draw(st.lists(st.integers(0, 15), min_size=1, max_size=4, unique=True)):
            units[i] = damaged(units[i], position, data.draw(st.integers(1, 255)))
    assert not parity.verify(units, n, k)
    found = parity.check(units, n, k)
    assert found == parity.Checked(parity.LOCATED, tuple(sorted(wrong)))
    assert parity.locate(units, n, k) == sorted(wrong)
    again = parity.recover(without(units, found.wrong), n, k)
    assert again == group(n, k, 16)


@given(st.integers(2, 10), st.integers(1, 6), st.data())
def test_up_to_k_wrong_units_are_never_fine(n: int, k: int, data: Any) -> None:
    k = min(k, n)
    wrong = data.draw(st.lists(st.integers(0, n + k - 1), min_size=1, max_size=k, unique=True))
    units = group(n, k, 8)
    for i in wrong:
        units[i] = damaged(units[i], data.draw(st.integers(0, 7)), data.draw(st.integers(1, 255)))
    assert not parity.verify(units, n, k)
    assert parity.check(units, n, k).state in SAID - {parity.FINE}


def test_wrong_units_that_have_no_byte_in_common(arithmetic: str) -> None:
    """At each byte one unit is wrong, which two parity units would locate; but they are two units."""
    units = group(6, 2, 9)
    units[0], units[3] = damaged(units[0], 2), damaged(units[3], 7)
    assert parity.check(units, 6, 2) == parity.Checked(parity.DETECTED)
    units = group(6, 4, 9)
    units[0], units[7] = damaged(units[0], 2), damaged(units[7], 7)
    assert parity.check(units, 6, 4) == parity.Checked(parity.LOCATED, (0, 7))


def test_one_parity_unit_locates_nothing(arithmetic: str) -> None:
    units = group(4, 1, 8)
    assert parity.check([damaged(units[0], 3)] + units[1:], 4, 1) == parity.Checked(parity.DETECTED)
    assert parity.check(group(1, 1, 8), 1, 1).state == parity.FINE
    assert parity.check([b"one", b"two"], 1, 1) == parity.Checked(parity.DETECTED)
    assert parity.check([b"one", b"two"], 2, 0) == parity.Checked(parity.FINE), "no parity, nothing to say"


def test_who_cannot_tell_says_why() -> None:
    assert parity.locate(group(4, 1, 8), 4, 1) == parity.locate(group(4, 3, 8), 4, 3) == []
    with pytest.raises(MotrError, match="K = 0"):
        parity.locate(group(4, 0, 8), 4, 0)
    with pytest.raises(MotrError, match="K = 1"):
        parity.locate([b"other..."] + group(4, 1, 8)[1:], 4, 1)
    for k, words in ((2, "one wrong unit"), (3, "one wrong unit"), (5, "2 wrong units")):
        units = group(6, k, 30)
        bad = [damaged(unit, i) if i <= k // 2 else unit for i, unit in enumerate(units)]
        with pytest.raises(MotrError, match="no more than %s," % words):
            parity.locate(bad, 6, k)
    with pytest.raises(MotrError, match="no more than one wrong unit,"):
        parity.locate([b"1", b"2", b"3"], 1, 2)


def test_copies() -> None:
    assert parity.encode([b"abc"], 3) == [b"abc"] * 3
    assert parity.recover([None, None, b"abc"], 1, 2) == [b"abc"] * 3
    assert parity.check([b"abc", b"abd", b"abc"], 1, 2) == parity.Checked(parity.LOCATED, (1,))
    assert parity.check([b"abd", b"abc", b"abc"], 1, 2) == parity.Checked(parity.LOCATED, (0,))
    assert parity.check([b"1", b"2", b"3"], 1, 2) == parity.Checked(parity.DETECTED)
    assert parity.check([b"1", b"1", b"2", b"2"], 1, 3) == parity.Checked(parity.DETECTED)
    assert parity.check([b"1", b"1", b"3", b"2", b"1"], 1, 4) == parity.Checked(parity.LOCATED, (2, 3))


def test_short_tail(arithmetic: str) -> None:
    whole = [b"12345678", b"abc\0\0\0\0\0", b"\0" * 8]
    for k in (1, 2, 3):
        assert parity.encode([b"12345678", b"abc", b""], k, unit_size=8) == parity.encode(whole, k)
    assert parity.padded([b"abc", b""], 4) == [b"abc\0", b"\0" * 4]
    with pytest.raises(MotrError, match="unit 0 has 3 bytes, but a unit has 2"):
        parity.encode([b"abc", b"a"], 1, unit_size=2)


def test_other_kinds_of_bytes(arithmetic: str) -> None:
    units = group(3, 2, 100)
    views = [bytearray(units[0]), memoryview(units[1]), units[2]]
    assert parity.encode(views, 2) == units[3:]
    assert parity.recover(without(views + units[3:], [2, 4]), 3, 2) == units


def test_nothing_in_the_units(arithmetic: str) -> None:
    assert parity.encode([b"", b""], 2) == [b"", b""]
    assert parity.recover([None, b"", b""], 2, 1) == [b""] * 3


def test_what_is_wrong_is_said() -> None:
    units = group(4, 2, 8)
    cases: list[tuple[Any, tuple[Any, ...], str]] = [
        (parity.encode, ([b"12", b"1"], 1), "equally long, these have 1, 2 bytes"),
        (parity.encode, ([b"12", b"13"], 3), "as many parity units as data units, not 2 . 3"),
        (parity.encode, ([b"1"] * 129, 2), "at most 128 data units"),
        (parity.encode, ([], 1), "at least 1 data unit"),
        (parity.encode, ([b"1"], -1), "at least 0 parity units"),
        (parity.recover, (units[:5], 4, 2), "has 6 units, not 5"),
        (parity.recover, (units[:5] + [b"1"], 4, 2), "equally long"),
        (parity.verify, (units, 5, 2), "has 7 units, not 6"),
        (parity.verify, (without(units, [1]), 4, 2), "1 units of the group are missing"),
        (parity.check, (without(units, [1]), 4, 2), "only a whole group"),
        (parity.check, (units[:5] + [b"1"], 4, 2), "equally long"),
        (galois.inverse, (0,), "no inverse"),
    ]
    for what, given_to_it, words in cases:
        with pytest.raises(MotrError, match=words):
            what(*given_to_it)


def test_field() -> None:
    assert galois.inverted([[1, 2], [1, 2]]) is None
    for a in range(1, 256):
        assert galois.multiply(a, galois.inverse(a)) == 1
        assert galois.products(a)[1] == a
    square = [row[:5] for row in galois.cauchy(5, 5)]
    back = galois.inverted(square)
    assert back is not None
    assert [galois.times(square, column) for column in zip(*back)] == [[int(i == j) for j in range(5)] for i in range(5)]
