# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What m0kv printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import m0kv
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError

FIXTURES = Path(__file__).parent / "fixtures"


def test_rows_of_a_real_answer() -> None:
    answer = m0kv.parse((FIXTURES / "m0kv_index_next_xcode.txt").read_text(encoding="utf-8"))
    assert answer.rc == 0
    assert [key for key, _value in answer.rows] == [b"12345/mybucket"]
    assert answer.rows[0][1].startswith(b'{"Bucket-Name":"mybucket","motr_object_list_ind')


@pytest.mark.parametrize(
    "text",
    [(FIXTURES / "m0kv_index_next.txt").read_text(encoding="utf-8"), "/VAL/ 0x31\n", "/KEY/ 0x31\n", "/KEY/ 0x31\n/KEY/ 0x32\n", "/KEY/ 0x31\n/VAL/ 0x131\n"],
)
def test_what_cannot_be_told_for_sure_is_refused(text: str) -> None:
    with pytest.raises(MotrError, match="m0kv"):
        m0kv.parse(text)


def test_bytes_of_a_signed_char() -> None:
    """A byte from 0x80 on is printed as the int that it becomes on x86, and as itself elsewhere."""
    answer = m0kv.parse("operation rc: 0\n[0]:\n/KEY/ 0x7f 0xffffff80 \n/VAL/ 0xffffffff 0x00 0x80 \nselected 1 records\n")
    assert answer.rows == ((b"\x7f\x80", b"\xff\x00\x80"),)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("operation rc: 0\nrcs[0]: -2\nget done, rc: -2\n", (0, -2, None, -2)),
        ("operation rc: -5\nput done, rc: 0\n", (-5, None, None, -5)),
        ("Initialization error -98\nGot error -98\n", (None, None, -98, -98)),
        ("operation rc: 0\nput done, rc: 0\n", (0, None, None, 0)),
    ],
)
def test_what_went_wrong(text: str, wanted: Any) -> None:
    """An operation may fail while m0kv exits with 0."""
    answer = m0kv.parse(text)
    assert (answer.rc, answer.item, answer.started, answer.failed) == wanted


@pytest.mark.parametrize("length", [1, 18, 19, 20, 3000])
def test_lines_of_files_are_long(length: int) -> None:
    """The number is the length of what follows it."""
    data = bytes(range(256)) * 12
    size, _blank, text = m0kv.file_line(data[:length]).partition(" ")
    assert text.startswith(m0kv.literal(data[:length]))
    assert int(size) == len(text) - 1 >= 200
    with pytest.raises(MotrError, match="empty"):
        m0kv.literal(b"")
