# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fids in every spelling, and the way from an object to its cobs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import ids, object_map
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid, ObjectId
from hypothesis import given
from hypothesis import strategies as st

HALVES = st.integers(0, 2**64 - 1)
FIDS = st.builds(Fid, HALVES, HALVES)
TYPED = st.builds(ids.make, st.sampled_from(sorted(ids.TYPES)), st.integers(0, 2**56 - 1), HALVES)
DEVICES = st.integers(0, 2**24 - 1)
U32 = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("text", "fid"),
    [
        ("<7200000000000001:10>", Fid(0x7200000000000001, 0x10)),
        ("7200000000000001:10", Fid(0x7200000000000001, 0x10)),
        ("0x7200000000000001:0xa", Fid(0x7200000000000001, 10)),
        ("(0x7200000000000001,0xa)", Fid(0x7200000000000001, 10)),
        ("(0x6b00000000000014,0)", Fid(0x6B00000000000014, 0)),
        ("^r|1:10", Fid(0x7200000000000001, 10)),  # not 0x10
        ("r|1:0x10", Fid(0x7200000000000001, 0x10)),
        ("r|1:010", Fid(0x7200000000000001, 8)),
        ("^k|1.5", Fid(0x6B00000000000001, 5)),
        ("^v|0x40000000000001:11", Fid(0x7640000000000001, 11)),
        (" <1:2>\n", Fid(1, 2)),
    ],
)
def test_spellings(text: str, fid: Fid) -> None:
    assert ids.parse(text) == fid


@pytest.mark.parametrize(
    "text", ["", "1", "1:2:3", "<1:2", "1:", "x:1", "r|1:08", "r|1:-1", "rr|1:2", "(1:2)", "<1,2>", "10000000000000000:1", "bucket/key", "^r|1:" + "9" * 5000]
)
def test_what_is_no_fid_is_refused_with_what_would_be_accepted(text: str) -> None:
    with pytest.raises(MotrError, match=r"no fid; accepted are <a:b>"):
        ids.parse(text)


def test_a_container_that_runs_into_its_type_is_refused() -> None:
    with pytest.raises(MotrError, match="56 bits"):
        ids.parse("^r|0x100000000000000:1")


@given(FIDS)
def test_every_fid_is_read_back(fid: Fid) -> None:
    for text in (str(fid), fid.plain, fid.hare, fid.pair, fid.xcode):
        assert ids.parse(text) == fid
        assert ids.fid_of(text) == ids.fid_of((fid.container, fid.key)) == fid


@given(TYPED)
def test_fids_with_a_type_are_read_back(fid: Fid) -> None:
    assert ids.parse(fid.xcode) == ids.parse(fid.xcode[1:]) == fid
    assert fid.type_name == ids.TYPES[fid.xcode[1]]


@given(U32, HALVES, DEVICES)
def test_from_an_object_to_its_storage_and_back(hi: int, lo: int, device: int) -> None:
    gob = ids.gob_of(ObjectId(hi, lo))
    cob = ids.cob_of(gob, device)
    stob = ids.ad_stob_of(cob)
    assert (gob.type_name, cob.type_name, stob.type_name) == ("gob", "cob", "ad-stob")
    assert ids.cob_from_ad_stob(stob) == cob
    assert (ids.gob_from_cob(cob), ids.device_from_cob(cob)) == (gob, device)
    assert ids.device_from_emap_tree(ids.emap_tree_of(device)) == device


@given(TYPED)
def test_the_spellings_of_tools_are_read_back(fid: Fid) -> None:
    """%i of fid_sscanf in each base, the dot of m0hagen, brackets, and 0x or none."""
    letter, low = chr(fid.type), fid.container & 2**56 - 1
    numbers = [("%d", "%d"), ("0x%x", "%d"), ("%d", "0x%X"), ("0%o", "0x%x")]
    for one, two in numbers:
        for sign, between in (("^", ":"), ("", ":"), ("^", "."), ("", ".")):
            assert ids.parse("%s%s|%s%s%s" % (sign, letter, one % low, between, two % fid.key)) == fid
    for text in ("<0x%x:0x%x>", "%X:%X", "0X%x:%x", "( 0x%x , 0x%x )"):
        assert ids.parse(text % fid) == fid


def test_the_patterns_of_motrs_own_unit_test() -> None:
    """fid_convert_ut: all of the bits of one field at a time, and of all of them."""
    for hi, lo, device in [(2**32 - 1, 0, 0), (0, 2**64 - 1, 0), (0, 0, 2**24 - 1), (2**32 - 1, 2**64 - 1, 2**24 - 1), (0, 0, 0)]:
        gob = Fid(0x47 << 56 | hi, lo)
        cob = ids.cob_of(gob, device)
        assert cob == Fid(0x43 << 56 | device << 32 | hi, lo)
        assert (ids.gob_from_cob(cob), ids.device_from_cob(cob)) == (gob, device)
        assert ids.ad_stob_of(cob) == Fid(2 << 56 | device << 32 | hi, lo)
        assert ids.ad_domain_of(device) == Fid(2 << 56, device)


def test_what_a_real_server_had() -> None:
    gob = ids.gob_of(ids.parse_object_id("1234567:89abcdef"))
    cob = ids.cob_of(gob, 2)
    assert str(gob) == "<4700000001234567:89abcdef>"
    assert cob.plain == "4300000201234567:89abcdef"
    assert ids.ad_stob_of(cob).plain == "200000201234567:89abcdef"
    assert ids.emap_tree_of(2).plain == "6200000000000004:2"
    assert [ids.device_from_disks_conf(number) for number in (1, 2, 3, 101)] == [0, 1, 2, 100]


@given(HALVES, HALVES)
def test_what_a_gob_loses_of_an_id(hi: int, lo: int) -> None:
    oid = ObjectId(hi, lo)
    gob = ids.gob_of(oid)
    assert (gob.container & 2**32 - 1 | oid.loses, gob.key) == (hi, lo)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda: ids.cob_of(Fid(0x4300000000000000, 1), 0), "not of a gob"),
        (lambda: ids.gob_from_cob(Fid(0x4700000000000000, 1)), "not of a cob"),
        (lambda: ids.cob_from_ad_stob(Fid(0x4700000000000000, 1)), "not of a ad-stob"),
        (lambda: ids.cob_of(Fid(0x4700000000000000, 1), 1 << 24), "24 bits"),
        (lambda: ids.device_from_disks_conf(0), "24 bits"),
        (lambda: ids.cob_of(Fid(0x4700000200000001, 1), 0), "the fid of no object.*only a cob has"),
        (lambda: ids.gob_checked(Fid(0x4700000000000001, -1)), "64 bits"),
        (lambda: ids.gob_of(ObjectId(-1, 1)), "64 bits"),
        (lambda: ids.gob_of(ObjectId(1, 1 << 64)), "64 bits"),
        (lambda: object_map.gob_of("4700000200000001:1"), "the fid of no object"),
        (lambda: ids.device_from_emap_tree(Fid(1, 1)), "not the tree"),
        (lambda: ids.parse_object_id("^G|1:2"), "no object id"),
        (lambda: ids.parse_object_id("1"), "no object id"),
        (lambda: ids.fid_of((1 << 64, 0)), "64 bits"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, why: str) -> None:
    with pytest.raises(MotrError, match=why):
        call()
