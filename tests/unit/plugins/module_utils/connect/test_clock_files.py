# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's time zone, and the end of a log."""

from __future__ import annotations

import os
import time
from pathlib import Path
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.clock import local_timezone
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.files import tail
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture
def zoneinfo(tmp_path: Path) -> Path:
    """A localtime that is a link, as distributions make it."""
    (tmp_path / "zoneinfo" / "Pacific").mkdir(parents=True)
    (tmp_path / "zoneinfo" / "Pacific" / "Honolulu").write_bytes(b"TZif")
    (tmp_path / "localtime").symlink_to("zoneinfo/Pacific/Honolulu")
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "override", "zone"),
    [
        (None, None, "Pacific/Honolulu"),
        ("", None, "Pacific/Honolulu"),
        ("America/Santiago", None, "America/Santiago"),
        (":America/Santiago", None, "America/Santiago"),
        ("HST10", None, "HST10"),
        ("America/Santiago", "UTC", "UTC"),
    ],
)
def test_zone(zoneinfo: Path, monkeypatch: pytest.MonkeyPatch, variable: str, override: str, zone: str) -> None:
    monkeypatch.delenv("TZ", raising=False)
    if variable is not None:
        monkeypatch.setenv("TZ", variable)
    assert local_timezone(str(zoneinfo / "localtime"), override) == zone


def test_zone_named_by_a_path(zoneinfo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":%s" % (zoneinfo / "zoneinfo" / "Pacific" / "Honolulu"))
    assert local_timezone("/nowhere") == "Pacific/Honolulu"


@pytest.mark.parametrize(("offset", "zone"), [(-36000, "LOC+10:00"), (0, "LOC+00:00"), (20700, "LOC-05:45")])
def test_offset_where_no_name_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, offset: int, zone: str) -> None:
    """POSIX counts westwards."""
    monkeypatch.delenv("TZ", raising=False)
    (tmp_path / "localtime").write_bytes(b"TZif")
    with mock.patch("time.localtime") as localtime:
        localtime.return_value.tm_gmtoff = offset
        for path in (tmp_path / "localtime", tmp_path / "none"):
            assert local_timezone(str(path)) == zone


def test_an_unreadable_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TZ", raising=False)
    with mock.patch("os.path.realpath", side_effect=OSError):
        assert local_timezone().startswith("LOC")
    assert time.tzname


@pytest.mark.parametrize(
    ("text", "size", "lines"),
    [
        ("", 10, []),
        ("one\ntwo\n", 100, ["one", "two"]),
        ("one\ntwo\n", 8, ["one", "two"]),
        ("one\ntwo\n", 7, ["two"]),
        ("one\ntwo\n", 4, []),
        ("one\ntwo", 100, ["one"]),
        ("one", 100, []),
        ("no newline at all", 5, []),
        ("a\u2028b\x0bc\x1cd\re\n", 100, ["a\u2028b\x0bc\x1cd\re"]),
    ],
)
def test_tail(tmp_path: Path, text: str, size: int, lines: list[str]) -> None:
    path = tmp_path / "log"
    path.write_bytes(text.encode("utf-8"))
    assert tail(str(path), size) == lines


def test_tail_survives_what_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe one\ntwo\n")
    assert tail(str(path)) == ["\ufffd\ufffd one", "two"]
    with pytest.raises(FileNotFoundError):
        tail(os.fspath(tmp_path / "none"))


@settings(deadline=None)
@given(st.lists(st.text("ab", max_size=5), max_size=6), st.integers(1, 40))
def test_tail_gives_whole_lines_from_the_end(tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int) -> None:
    path = tmp_path_factory.mktemp("logs") / "log"
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")
    found = tail(str(path), size)
    assert found == lines[len(lines) - len(found) :]
    assert sum(len(line) + 1 for line in found) <= size
