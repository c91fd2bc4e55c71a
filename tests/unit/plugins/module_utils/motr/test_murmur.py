# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids that are made of names."""

from __future__ import annotations

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import murmur
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError

FOX = b"The quick brown fox jumps over the lazy dog"


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", (0, 0)),
        (b"hello", (0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19)),
        (b"hello, world", (0x342FAC623A5EBC8E, 0x4CDCBC079642414D)),
        (FOX, (0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347)),
    ],
)
def test_published_hashes(data: bytes, wanted: tuple[int, int]) -> None:
    assert murmur.murmur3_x64_128(data) == wanted


def test_ids_leave_the_upper_bits_to_motr() -> None:
    made = murmur.object_id(FOX.decode())
    assert made == (0xE34BBC7BBC071B6C & 0x7FFFFFF, 0x7A433CA9C49A9347)
    assert not made.reserved
    with pytest.raises(MotrError, match="empty"):
        murmur.object_id("")
