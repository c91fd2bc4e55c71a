# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rights of a user, as mode, groups and lists give them; and handles below a root."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.below import NotBelow, below, by_handle, check_relative
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.command import Account
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.rights import (
    GROUP,
    LISTED,
    OTHER,
    OWNER,
    Acl,
    Identity,
    decide,
    identity,
    parse_acl,
    read_acl,
)
from hypothesis import given
from hypothesis import strategies as st

WHO = Identity("fitsdata", 10, frozenset((20, 21)))


def packed(*entries: tuple[int, int, int], version: int = 2) -> bytes:
    return struct.pack("<I", version) + b"".join(struct.pack("<HHI", tag, bits, number & 0xFFFFFFFF) for tag, bits, number in entries)


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "acl", "answer"),
    [
        (10, 20, 0o077, None, (OWNER, 0)),
        (10, 99, 0o700, None, (OWNER, 7)),
        (99, 20, 0o707, None, (GROUP, 0)),
        (99, 21, 0o640, None, (GROUP, 4)),
        (99, 99, 0o774, None, (OTHER, 4)),
        (99, 99, 0o604, Acl(((11, 7),), (), 4, 7), (OTHER, 4)),
        (99, 99, 0o604, Acl(((10, 6),), (), 4, 4), (LISTED, 4)),
        (99, 20, 0o670, Acl(((11, 0),), (), 5, 1), (LISTED, 1)),
        (99, 99, 0o604, Acl((), ((20, 0), (21, 4)), 0, 7), (LISTED, 4)),
        (99, 99, 0o604, Acl((), ((20, 1), (21, 2)), 0, 7), (LISTED, 1)),
        (10, 99, 0o400, Acl(((10, 0),), (), 0, 0), (OWNER, 4)),
    ],
)
def test_decide(uid: int, gid: int, mode: int, acl: Any, answer: tuple[str, int]) -> None:
    assert decide(WHO, uid, gid, mode, acl, 4) == answer


def test_parse_acl() -> None:
    data = packed((1, 6, -1), (2, 4, 10), (4, 5, -1), (8, 1, 20), (16, 7, -1), (32, 0, -1))
    assert parse_acl(data) == Acl(((10, 4),), ((20, 1),), 5, 7)
    assert parse_acl(packed((1, 6, -1), (4, 5, -1), (32, 0, -1))) is None
    assert parse_acl(packed((1, 6, -1), version=3)) is None


@given(st.binary(max_size=60))
def test_any_bytes_may_be_a_list(data: bytes) -> None:
    found = parse_acl(data)
    assert found is None or len(data) % 8 == 4


def test_identity_and_a_file_without_a_list(tmp_path: Path) -> None:
    me = identity(Account("root", 0, 0, "/root")) if os.geteuid() == 0 else identity(Account("x", os.geteuid(), os.getegid(), "/"))
    assert os.getegid() in me.gids
    (tmp_path / "file").touch()
    assert read_acl(str(tmp_path / "file")) is None


@pytest.mark.parametrize("path", ["", "/", "/etc", ".", "..", "a/..", "a//b", "a/", "./a", "a\0b"])
def test_paths_that_are_none(path: str, tmp_path: Path) -> None:
    with pytest.raises(NotBelow):
        check_relative(path)
    if path:
        with pytest.raises(NotBelow), below(str(tmp_path), path):
            pass


def test_below(tmp_path: Path) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "file").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"outside")
    (tmp_path / "root" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "root" / "link").symlink_to("a/file")
    (tmp_path / "alias").symlink_to("root")
    before = len(os.listdir("/proc/self/fd"))
    for root in ("root", "alias"):
        with below(str(tmp_path / root), "a/file") as handle:
            assert os.fstat(handle).st_ino == (tmp_path / "root" / "a" / "file").stat().st_ino
            with open(by_handle(handle), "rb") as file:
                assert file.read() == b"inside"
    with pytest.raises((NotBelow, OSError)), below(str(tmp_path / "root"), "out/file"):
        pass
    with below(str(tmp_path / "alias"), "") as handle:
        assert os.fstat(handle).st_ino == (tmp_path / "root").stat().st_ino
    with below(str(tmp_path / "root"), "link") as handle:
        assert os.fstat(handle).st_ino == (tmp_path / "root" / "link").lstat().st_ino
    with pytest.raises(FileNotFoundError), below(str(tmp_path / "root"), "a/none"):
        pass
    with pytest.raises(NotADirectoryError), below(str(tmp_path / "root"), "a/file/x"):
        pass
    assert len(os.listdir("/proc/self/fd")) == before
