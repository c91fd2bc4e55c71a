# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options file: read without following anything, and exchanged in one stroke with its owner and its mode."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import startup_options
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.startup_options import CHANGED, FILE, read_options, write_options

KEY = "disable_pump_scheduler"


def test_made_replaced_and_removed(tmp_path: Path) -> None:
    folder, file = str(tmp_path), tmp_path / FILE
    seen = read_options(folder)
    assert (seen.data, seen.document, seen.image(KEY), seen.path) == (None, {}, None, str(file))
    assert write_options(folder, seen.version, b'{"a": 1}').done
    assert (file.read_bytes(), file.stat().st_mode & 0o7777, file.stat().st_uid) == (b'{"a": 1}', 0o644, tmp_path.stat().st_uid)
    file.chmod(0o640)
    assert write_options(folder, read_options(folder).version, b'{"a": 2}').done
    assert (read_options(folder).document, file.stat().st_mode & 0o7777) == ({"a": 2}, 0o640)
    assert write_options(folder, read_options(folder).version, None).done
    assert os.listdir(folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_it_stays_the_property_of_its_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    write_options(str(tmp_path), "absent", b"{}")
    assert ((tmp_path / FILE).stat().st_uid, (tmp_path / FILE).stat().st_gid) == (4711, 4712)
    os.chown(tmp_path / FILE, 4713, 4714)
    write_options(str(tmp_path), read_options(str(tmp_path)).version, b"[]")
    assert ((tmp_path / FILE).stat().st_uid, (tmp_path / FILE).stat().st_gid) == (4713, 4714)


def test_somebody_who_is_quicker_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, file = str(tmp_path), tmp_path / FILE
    version = read_options(folder).version
    file.write_text("{}", encoding="utf-8")
    assert write_options(folder, version, b"mine").note == CHANGED
    version = read_options(folder).version
    write = startup_options._write_new

    def interrupted(parent: int, data: bytes) -> None:
        write(parent, data)
        file.write_text('{"theirs": 1}', encoding="utf-8")

    monkeypatch.setattr(startup_options, "_write_new", interrupted)
    assert write_options(folder, version, b"mine").note == CHANGED
    assert (file.read_text(encoding="utf-8"), os.listdir(folder)) == ('{"theirs": 1}', [FILE])


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".startup_options.json.fieldops").write_text("half", encoding="utf-8")
    assert write_options(str(tmp_path), "absent", b"{}").done
    assert os.listdir(tmp_path) == [FILE]


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "large"])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: str) -> None:
    file = tmp_path / FILE
    if kind == "link":
        file.symlink_to("/etc/passwd")
    elif kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    else:
        file.write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(SesamError, match="link, which is not followed" if kind == "link" else "is not a file of at most"):
        read_options(str(tmp_path))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SesamError, match="cannot be read"):
        read_options(str(tmp_path / "none"))
