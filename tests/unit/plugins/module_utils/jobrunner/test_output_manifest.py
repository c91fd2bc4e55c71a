# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest is written as it had been written, and not over what somebody else wrote."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import manifest as manifests
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.errors import JobRunnerError
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.manifest import Manifest, read_manifest, set_entry, styled

DOCUMENT = {"repo": None, "workspace": "ws", "outputs": {"a.csv": {"size": 1, "timestamp": 1.5, "message": "caf\u00e9"}, "b.csv": {"size": 2}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "ws" / "metadata"
    folder.mkdir(parents=True)
    return folder / "manifest.json"


@pytest.mark.parametrize("style", [{"indent": 2}, {"indent": 4}, {}, {"indent": 2, "ensure_ascii": False}, {"separators": (",", ":")}])
@pytest.mark.parametrize("end", ["", "\n"])
def test_it_looks_as_it_did(style: dict[str, Any], end: str) -> None:
    text = json.dumps(DOCUMENT, **style) + end
    assert styled(Manifest("/m", DOCUMENT, "", text), DOCUMENT) == text


def test_another_style_becomes_the_usual_one() -> None:
    assert styled(Manifest("/m", DOCUMENT, "", json.dumps(DOCUMENT, indent=7)), DOCUMENT) == json.dumps(DOCUMENT, indent=2)


def test_one_entry_and_back(tmp_path: Path, path: Path) -> None:
    path.write_text(json.dumps(DOCUMENT, indent=2), encoding="utf-8")
    path.chmod(0o640)
    assert set_entry(str(tmp_path), "ws", "a.csv", DOCUMENT["outputs"]["a.csv"], None) == ""
    assert json.loads(path.read_text(encoding="utf-8")) == {**DOCUMENT, "outputs": {"b.csv": {"size": 2}}}
    assert path.stat().st_mode & 0o777 == 0o640
    assert set_entry(str(tmp_path), "ws", "a.csv", None, DOCUMENT["outputs"]["a.csv"]) == ""
    assert json.loads(path.read_text(encoding="utf-8")) == DOCUMENT
    assert os.listdir(path.parent) == ["manifest.json"]


def test_an_entry_that_changed_is_left_alone(tmp_path: Path, path: Path) -> None:
    path.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    before = path.read_bytes()
    assert "changed since" in set_entry(str(tmp_path), "ws", "a.csv", {"size": 3}, None)
    assert "changed since" in set_entry(str(tmp_path), "ws", "new.csv", {"size": 3}, None)
    assert path.read_bytes() == before


def test_it_gives_up_on_a_file_that_is_written_all_the_time(tmp_path: Path, path: Path) -> None:
    path.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    original = manifests.styled

    def writing(*arguments: Any) -> str:
        os.utime(path)
        return original(*arguments)

    with mock.patch.object(manifests, "styled", writing), pytest.raises(JobRunnerError, match="being finalised"):
        set_entry(str(tmp_path), "ws", "a.csv", DOCUMENT["outputs"]["a.csv"], None)
    assert json.loads(path.read_text(encoding="utf-8")) == DOCUMENT
    assert os.listdir(path.parent) == ["manifest.json"]


def test_none(tmp_path: Path, path: Path) -> None:
    found = read_manifest(str(tmp_path), "ws")
    assert (found.document, found.trouble, found.outputs) == (None, "", {})
    assert set_entry(str(tmp_path), "ws", "a.csv", {"size": 1}, None) == "it is not there"
    assert found.path == str(path)


@pytest.mark.parametrize(("data", "trouble"), [(b"{", "no JSON"), (b"[1]", "no JSON object"), (b"\xff", "no JSON")])
def test_damage_is_told(tmp_path: Path, path: Path, data: bytes, trouble: str) -> None:
    path.write_bytes(data)
    assert trouble in read_manifest(str(tmp_path), "ws").trouble


def test_no_link_is_followed(tmp_path: Path, path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps(DOCUMENT), encoding="utf-8")
    path.symlink_to(tmp_path / "other.json")
    assert "not a regular file" in read_manifest(str(tmp_path), "ws").trouble
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    assert "is a link" in read_manifest(str(tmp_path), "ws").trouble


def test_it_is_not_read_without_limit(tmp_path: Path, path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(65 * 1024 * 1024)
    assert "larger than" in read_manifest(str(tmp_path), "ws").trouble


@pytest.mark.parametrize("outputs", [None, [], "text"])
def test_outputs_of_another_shape_are_none(tmp_path: Path, path: Path, outputs: Any) -> None:
    path.write_text(json.dumps({"workspace": "ws", "outputs": outputs}), encoding="utf-8")
    assert read_manifest(str(tmp_path), "ws").outputs == {}
