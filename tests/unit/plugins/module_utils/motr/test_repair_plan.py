# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong in a parity group, and how sure that is."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import parity
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.repair_plan import Group, checked, judge, plan, told
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 64


def whole(n: int, k: int) -> list[bytes]:
    data = [bytes((17 * unit + 31 * position) % 256 for position in range(SIZE)) for unit in range(n)]
    return [*data, *parity.encode(data, k)]


def broken(unit: bytes) -> bytes:
    return bytes([unit[0] ^ 0x5A]) + unit[1:]


def group_of(n: int, k: int, wrong: tuple[int, ...] = (), lost: tuple[int, ...] = (), named: tuple[int, ...] = ()) -> Group:
    units = [None if number in lost else broken(unit) if number in wrong else unit for number, unit in enumerate(whole(n, k))]
    return checked(Group("object <1:2> group 0", n, k, SIZE, tuple(units), frozenset(named)))


@pytest.mark.parametrize(("n", "k"), [(1, 2), (2, 1), (4, 2), (8, 4)])
def test_nothing_is_wrong(n: int, k: int) -> None:
    group = group_of(n, k)
    judged = judge(group)
    assert judged.whole == tuple(whole(n, k))
    assert judged.wrong == ()
    assert plan(group, judged) == []


@pytest.mark.parametrize("wrong", range(6))
def test_one_wrong_unit_is_located_where_two_parity_units_tell(wrong: int) -> None:
    group = group_of(4, 2, (wrong,))
    judged = judge(group)
    assert judged.wrong == (wrong,)
    assert judged.certain
    assert judged.whole == tuple(whole(4, 2))
    [change] = plan(group, judged)
    assert change.subject == f"object <1:2> group 0 unit {wrong}"
    assert change.before != change.after
    assert change.reversible == (wrong < 4)
    assert not change.data_loss


def test_one_parity_unit_cannot_tell_which_is_wrong() -> None:
    group = group_of(2, 1, (0,))
    judged = judge(group)
    assert judged.whole is None
    assert "has to be named" in judged.why
    assert plan(group, judged) == []


def test_a_unit_that_is_named_where_nothing_confirms_it_is_a_loss_of_data() -> None:
    group = group_of(2, 1, (0,), named=(0,))
    judged = judge(group)
    assert judged.whole == tuple(whole(2, 1))
    assert not judged.certain
    [change] = plan(group, judged)
    assert change.data_loss == "object <1:2> group 0 unit 0"


def test_the_wrong_one_was_named_and_others_contradict_it() -> None:
    judged = judge(group_of(4, 2, wrong=(1,), named=(0,)))
    assert judged.whole is None
    assert "more is wrong than units 0" in judged.why


def test_a_good_unit_that_is_named_needs_no_change() -> None:
    group = group_of(4, 2, named=(3,))
    judged = judge(group)
    assert judged.wrong == ()
    assert plan(group, judged) == []


def test_what_could_not_be_read_is_made_anew_without_a_loss() -> None:
    group = group_of(2, 1, lost=(1,))
    judged = judge(group)
    [change] = plan(group, judged)
    assert change.before is None
    assert change.data_loss == ""


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([(2, 1), (4, 2), (5, 3), (8, 4)]), st.data())
def test_any_k_units_that_are_lost_or_named_come_back(shape: tuple[int, int], data: st.DataObject) -> None:
    n, k = shape
    gone = data.draw(st.sampled_from([each for count in range(1, k + 1) for each in itertools.combinations(range(n + k), count)]))
    cut = data.draw(st.integers(0, len(gone)))
    judged = judge(group_of(n, k, wrong=gone[cut:], lost=gone[:cut], named=gone[cut:]))
    assert judged.whole == tuple(whole(n, k))
    assert judged.wrong == gone


def test_more_than_the_parity_replaces() -> None:
    judged = judge(group_of(4, 2, lost=(0, 1), named=(2,)))
    assert judged.whole is None
    assert "units 0, 1, 2 are lost or wrong, and 2 parity units replace at most 2" in judged.why


def test_without_parity() -> None:
    assert "without parity" in judge(Group("g", 2, 0, SIZE, tuple(whole(2, 1)[:2]))).why


def test_what_is_told_has_no_bytes() -> None:
    group = group_of(4, 2, wrong=(1,), lost=(5,), named=(1,))
    rows = told(group, judge(group))
    assert [row["state"] for row in rows] == ["fine", "wrong", "fine", "fine", "fine", "lost"]
    assert [row["kind"] for row in rows] == ["data"] * 4 + ["parity"] * 2
    assert all(row["wanted_sha256"] for row in rows)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (Group("g", 4, 2, SIZE, (b"",)), "1 were given"),
        (Group("g", 2, 1, SIZE, tuple(whole(2, 1)), frozenset({3})), "there is no unit 3: data units are 0 to 1, parity units up to 2"),
        (Group("g", 2, 1, SIZE, (b"x", None, None)), "unit 0 has 1 bytes, and units of this layout have 64"),
    ],
)
def test_what_is_no_group(group: Group, said: str) -> None:
    with pytest.raises(MotrError, match=said):
        checked(group)
