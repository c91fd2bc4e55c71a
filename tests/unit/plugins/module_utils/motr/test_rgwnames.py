# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From names in RGW to objects."""

from __future__ import annotations

import struct

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import rgwnames
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid, ObjectId
from hypothesis import given
from hypothesis import strategies as st

U64 = st.integers(0, 2**64 - 1)


def test_names_of_indexes() -> None:
    assert rgwnames.bucket_index_name("b") == "motr.rgw.bucket.index.b"
    assert rgwnames.bucket_index_name("b", "t") == "motr.rgw.bucket.index.t$b"


def test_fid_of_an_index() -> None:
    # RFC 1321: MD5 of "abc" is 900150983cd24fb0 d6963f7d28e17f72
    assert rgwnames.index_fid("abc") == Fid(0x7800000098500190, 0x727FE1287D3F96D6)


@given(st.binary(max_size=80), U64, U64, U64, U64, U64)
def test_the_end_of_a_record(before: bytes, high: int, low: int, container: int, key: int, layout: int) -> None:
    record = before + b"\x05\x05" + struct.pack("<I5Q", 40, high, low, container, key, layout)
    assert rgwnames.decode_meta(record) == (ObjectId(high, low), Fid(container, key), layout)


@pytest.mark.parametrize(
    "record", [b"", bytes(45), bytes(46), b"\x05\x05" + struct.pack("<I5Q", 39, 1, 2, 3, 4, 5), b"\x06\x06" + struct.pack("<I5Q", 40, 1, 2, 3, 4, 5)]
)
def test_what_is_no_record_of_an_object(record: bytes) -> None:
    with pytest.raises(MotrError, match="record"):
        rgwnames.decode_meta(record)
