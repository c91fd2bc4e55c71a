# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What s3server's metadata says."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import s3names
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid, ObjectId

OID = "vgpIBgAAAAA=-RwAAAAAA8Jk="
PVER = Fid(0x7600000000000001, 10)


def packed(form: str, *numbers: int) -> str:
    return base64.b64encode(struct.pack(form, *numbers)).decode()


def test_object_of_upstream() -> None:
    value = json.dumps({"motr_oid": OID, "PVID": packed("<QQ", *PVER), "layout_id": 9, "Size": 3}).encode()
    record = s3names.decode_object(value)
    assert record[:3] == (ObjectId(0x06480ABE, 0x99F0000000000047), PVER, 9)
    assert record.values["Size"] == 3


@pytest.mark.parametrize("form", ["<QQQQi", "<QQQQi4x"])
def test_bucket(form: str) -> None:
    value = json.dumps({"motr_object_list_index_layout": packed(form, 1, 2, *PVER, 1)}).encode()
    assert s3names.decode_bucket(value) == (ObjectId(1, 2), PVER, 1)


def test_bucket_of_the_older_schema() -> None:
    assert s3names.decode_bucket(json.dumps({"motr_object_list_index_oid": OID}).encode()).oid.hi == 0x06480ABE


@pytest.mark.parametrize(
    "value",
    [b"{", b"[]", b"\xff", b"{}", json.dumps({"motr_object_list_index_layout": "AAAAAAAAAHgAAAAAAAAAAA=="}).encode(), b'{"motr_object_list_index_layout": 7}'],
)
def test_what_is_no_bucket(value: bytes) -> None:
    with pytest.raises(MotrError):
        s3names.decode_bucket(value)


@pytest.mark.parametrize("change", [{"motr_oid": "x-y"}, {"motr_oid": "AAAA"}, {"motr_oid": 1}, {"PVID": "AAAA"}, {"layout_id": "9"}])
def test_what_is_no_object(change: Any) -> None:
    with pytest.raises(MotrError):
        s3names.decode_object(json.dumps({"motr_oid": OID, "PVID": packed("<QQ", *PVER), "layout_id": 9, **change}).encode())


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("a|b|v1|P2|F1", ("v1", 2, 1)),
        ("a|b|v1|F3", ("v1", None, 3)),
        ("a|b||P1", ("", 1, None)),
        ("a|b|v1", None),
        ("a|b|c|v1|P1|F1", None),
        ("a|bc|v1|P1|F1", None),
    ],
)
def test_keys_of_parts(key: str, wanted: Any) -> None:
    """Names hold bars as well: only what follows the whole name counts."""
    value = json.dumps({"OID": OID, "PVID": s3names.encode_oid(PVER), "size": 5, "layout-id": 9}).encode()
    piece = s3names.decode_piece("a|b", key, value)
    assert (piece[:3] if piece else None) == wanted
    assert piece is None or piece[3:] == (s3names.decode_oid(OID), PVER, 9, 5)


def test_other_records() -> None:
    assert s3names.encode_oid(s3names.decode_oid(OID)) == OID
    assert s3names.decode_account(b'{"account_id": "12345"}') == "12345"
    with pytest.raises(MotrError, match="account_id"):
        s3names.decode_account(b"{}")
    assert s3names.decode_extended(b"{}") is None
    assert s3names.decode_extended(json.dumps({"extended_metadata_index_layout": packed("<QQQQi", 0, 0, *PVER, 1)}).encode()) is None
    with pytest.raises(MotrError, match="layout-id"):
        s3names.decode_piece("a", "a|v|F1", b'{"size": "5"}')


@pytest.mark.parametrize("more", range(6))
def test_what_a_compiler_put_behind_a_layout(more: int) -> None:
    raw = struct.pack("<QQQQi", 1, 2, *PVER, 3) + bytes(more)
    text = base64.b64encode(raw).decode("ascii")
    if more > 4:
        with pytest.raises(MotrError, match="has 41 bytes and not 36 to 40"):
            s3names.decode_layout(text, "layout")
    else:
        assert s3names.decode_layout(text, "layout") == ((1, 2), PVER, 3)
