# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings where value, file or node is odd: what is asked for arrives as it is, or nothing is changed and nothing is left lying about."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import setting_run
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.envfile import parse
from support import run_module, run_ok
from test_jobrunner_setting import SECRET, Configuration, in_a_shell

pytestmark = pytest.mark.step("O5")


@pytest.fixture
def configuration(tmp_path: Path, journal_dir: str) -> Configuration:
    return Configuration(tmp_path, journal_dir)


@pytest.mark.parametrize(
    "value",
    [
        "  leading",
        "trailing  ",
        "it's",
        '"',
        "'",
        "''",
        '"$HOME"',
        "\\",
        "a\\",
        "\\n",
        "a\\\\b",
        "ünï ✓",
        "#no",
        "a #b",
        ";",
        "~/x",
        "a=b",
        "$(id)",
        "`id`",
        "!x",
        "\u2028",
        "\u0085",
        "a\u00a0",
        "*",
    ],
)
def test_any_line_arrives(configuration: Configuration, value: str) -> None:
    before = configuration.contents()
    predicted = configuration.ok(check=True, name="ALLOWED_GITHUB_ORGS", value=value)
    result = configuration.ok(name="ALLOWED_GITHUB_ORGS", value=value, approved_plan=predicted["plan_sha256"])
    assert parse(configuration.local.read_bytes()).values()["ALLOWED_GITHUB_ORGS"] == value
    assert in_a_shell(configuration.local, "ALLOWED_GITHUB_ORGS") == value
    assert result["setting"]["value"] == value
    assert configuration.ok(name="ALLOWED_GITHUB_ORGS", value=value)["changed"] is False
    assert configuration.undo(result["undo_id"])["changed"]
    assert configuration.contents() == before


@pytest.mark.parametrize("name", ["", " A", "A ", "A B", "1A", "A-B", "É", "A=B", "export A", "A\n", "-A", "UID", "A\0"])
def test_names_that_are_none(configuration: Configuration, name: str) -> None:
    configuration.refused(name=name, value="1")


@pytest.mark.parametrize("value", ["a\0b", "a\rb", "a\tb", "\x7f", "a\n"])
def test_values_that_are_none(configuration: Configuration, value: str) -> None:
    configuration.refused(name="ALLOWED_GITHUB_ORGS", value=value)


@pytest.mark.parametrize("data", [b"A=1\\", b"# comment \\", b"A='1", b"A=1\0B=2\n", b"\xff=1\n", b"A=\xff\n"])
def test_files_to_which_nothing_can_be_added(configuration: Configuration, data: bytes) -> None:
    configuration.local.write_bytes(data)
    before = configuration.contents()
    result = run_module("jobrunner_setting", configuration.arguments(value="4"))
    if result.get("failed"):
        assert configuration.contents() == before
    else:
        assert parse(configuration.local.read_bytes()).values()["MAX_WORKERS"] == "4"
        assert configuration.undo(result["undo_id"])["changed"]
        assert configuration.contents() == before


@pytest.mark.parametrize(
    "data",
    [
        b"MAX_WORKERS=1\rB=2\r",
        b"\xef\xbb\xbfMAX_WORKERS=1\n",
        b"MAX_WORKERS=1\nMAX_WORKERS=1\n",
        b"MAX_WORKERS=1\r\nMAX_WORKERS=2",
        b"\tMAX_WORKERS=1 # x\nB=1",
    ],
)
@pytest.mark.parametrize("wanted", [{"value": "4"}, {"state": "absent"}])
def test_odd_files(configuration: Configuration, data: bytes, wanted: dict[str, str]) -> None:
    configuration.local.write_bytes(data)
    rest = {name: value for name, value in parse(data).values().items() if name != "MAX_WORKERS"}
    result = run_ok("jobrunner_setting", configuration.arguments(**wanted))
    values = parse(configuration.local.read_bytes()).values()
    assert values.pop("MAX_WORKERS", None) == wanted.get("value")
    assert values == rest
    assert configuration.ok(**wanted)["changed"] is False
    if result["changed"]:
        undone = configuration.undo(result["undo_id"])
        assert undone.get("changed"), undone
        assert parse(configuration.local.read_bytes()).values() == parse(data).values()


@pytest.mark.parametrize("step", ["fsync", "fchmod"])
def test_a_full_disk_leaves_nothing_beside_the_file(configuration: Configuration, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    before = configuration.contents()

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(setting_run.os, step, full)
        options: dict[str, Any] = {"name": "STATA_LICENSE", "file": str(configuration.secrets), "secret_value": SECRET + "!"}
        result = run_module("jobrunner_setting", configuration.arguments(**options))
    assert result["failed"]
    assert "No space left" in result["msg"]
    assert configuration.contents() == before
    assert SECRET not in json.dumps(result) + configuration.journaled()


def test_a_file_that_is_replaced_between_look_and_write(configuration: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another file with the same contents, which may have another owner."""
    edit = setting_run.edit

    def late(path: str, *arguments: Any) -> Any:
        other = configuration.directory / "other"
        other.write_bytes(configuration.local.read_bytes())
        other.rename(configuration.local)
        return edit(path, *arguments)

    monkeypatch.setattr(setting_run, "edit", late)
    result = configuration.ok(value="4")
    assert result["changed"] is False
    assert "left alone" in result["changes"][0]["note"]


def test_a_read_only_file_keeps_its_mode(configuration: Configuration) -> None:
    configuration.local.chmod(0o440)
    result = configuration.ok(value="4")
    assert configuration.local.stat().st_mode & 0o777 == 0o440
    assert configuration.undo(result["undo_id"])["changed"]
    assert configuration.local.stat().st_mode & 0o777 == 0o440


def test_nothing_is_written_in_check_mode(configuration: Configuration) -> None:
    before = {path: path.stat() for path in (configuration.directory, *configuration.files)}
    configuration.ok(check=True, value="4")
    assert {path: path.stat().st_mtime_ns for path in before} == {path: info.st_mtime_ns for path, info in before.items()}
    assert not os.path.exists(configuration.journal) or configuration.journaled() == ""


@pytest.mark.parametrize("value", ["7", "2026", "jobrunner", "setting", "deadbeef"])
def test_a_secret_that_would_garble_the_result_is_refused(configuration: Configuration, value: str) -> None:
    """Ansible replaces it wherever it occurs, in the name of the way back as well."""
    configuration.refused("too short for a secret", name="STATA_LICENSE", file=str(configuration.secrets), secret_value=value)


@pytest.mark.parametrize("value", ["true1", "config", "JOB_SERVER_TOKEN", "0123456789abc", ""])
def test_secrets_of_common_words(configuration: Configuration, value: str) -> None:
    options: dict[str, Any] = {"name": "STATA_LICENSE", "file": str(configuration.secrets), "secret_value": value}
    result = configuration.ok(**options)
    assert configuration.undo(result["undo_id"]).get("changed")
