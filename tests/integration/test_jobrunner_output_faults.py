# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of level 4 files where something is wrong: places mixed up, nothing mounted, disks full or read-only, and runs that stopped halfway."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import output, output_quarantine
from removing import ENTRY, MODULE, Folders, as_user, codes, finding, planned
from support import run_module, run_refused

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
Mount = Callable[[Path, str], None]


@pytest.fixture
def folders(tmp_path: Path, journal_dir: str) -> Folders:
    return Folders(tmp_path, journal_dir)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another file system."""
    path = Path(tempfile.mkdtemp(prefix="fieldops-test-", dir="/dev/shm"))
    if path.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("memory is not a file system of its own")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def mount() -> Iterator[Mount]:
    """File systems in memory, with options."""
    mounted = []

    def make(path: Path, options: str) -> None:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "lab", str(path)], capture_output=True, check=False).returncode:
            pytest.skip("no file system may be mounted here")
        mounted.append(path)

    yield make
    for path in reversed(mounted):
        subprocess.run(["umount", str(path)], check=True)


# -- places that are mixed up --------------------------------------------------------------------------------------------


@pytest.mark.step("O18")
@pytest.mark.parametrize("how", ["source", "source within", "source around", "link", "medium"])
def test_originals_are_never_removed(folders: Folders, how: str) -> None:
    """Whatever the options say: level 3 is no place that files are removed from."""
    original = folders.put("output/table.csv", "high")
    folders.put("output/table.csv")
    (folders.path / "alias").symlink_to(folders.high)
    options: dict[str, Any] = {
        "source": {"sync_sources": [str(folders.high / "workspaces")]},
        "source within": {"sync_sources": [str(folders.high / "workspaces" / "my-study")], "workspace": "output", "files": ["table.csv"]},
        "source around": {
            "sync_sources": [str(folders.high)],
            "workspace": "workspaces",
            "files": ["my-study/output/table.csv"],
            "quarantine_dir": str(folders.path / "q"),
        },
        "link": {"sync_sources": [str(folders.path / "alias" / "workspaces")]},
        "medium": {"medium_privacy_base": str(folders.high)},
    }[how]
    assert "originals of level 3" in folders.refused("output/table.csv", **{"quarantine_dir": str(folders.path / "quarantine")} | options)
    assert original.exists()
    assert folders.at("output/table.csv").exists()


@pytest.mark.step("O18")
def test_a_mount_point_with_nothing_mounted(folders: Folders) -> None:
    """It is there and can be read, and what will be mounted there again is not seen."""
    folders.put("a.csv")
    shutil.rmtree(folders.source)
    folders.source.mkdir()
    told = finding(folders.ok("a.csv"), "source_away")
    assert (told["severity"], told["subject"]) == ("warning", str(folders.source))
    assert "empty" in told["summary"]
    assert finding(folders.ok("a.csv"), "source_away") == told


# -- disks ---------------------------------------------------------------------------------------------------------------


@needs_root
def test_a_quarantine_without_room_is_refused_before_anything(folders: Folders, mount: Mount, tmp_path: Path) -> None:
    """Each file would fit, and both do not."""
    room = tmp_path / "small"
    room.mkdir()
    mount(room, "size=1m,mode=0700")
    for name in ("a.csv", "b.csv"):
        folders.put(name, data=os.urandom(700_000))
    place = str(room / "quarantine")
    message = folders.refused("a.csv", "b.csv", quarantine_dir=place)
    assert "1400000 bytes" in message
    assert folders.at("a.csv").exists()
    assert folders.ok("a.csv", quarantine_dir=place)["changed"]


@needs_root
@pytest.mark.step("O18")
def test_an_undo_is_whole_or_not_at_all(folders: Folders, mount: Mount) -> None:
    """The source is read-only now: nothing is put back at level 4 either."""
    mount(folders.source, "size=1m")
    folders.put("a.csv", "source")
    folders.put("a.csv")
    result = folders.ok("a.csv")
    subprocess.run(["mount", "-o", "remount,ro", str(folders.source)], check=True)
    refused = folders.undo(result["undo_id"])
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["read_only"]
    assert "read-only" in refused["msg"]
    assert not folders.at("a.csv").exists()
    assert len(folders.quarantined()) == 2
    subprocess.run(["mount", "-o", "remount,rw", str(folders.source)], check=True)
    assert folders.undo(result["undo_id"])["changed"]
    assert folders.at("a.csv").exists()


# -- halfway -------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O18")
def test_what_a_killed_undo_left_at_level_4_is_told(folders: Folders, elsewhere: Path) -> None:
    """All that is in the file lies there under a name of our own, and is copied to level 4 like any other."""
    folders.quarantine = elsewhere / "quarantine"
    folders.put("output/table.csv")
    result = folders.ok("output/table.csv")

    original = output_quarantine.move

    def killed(folder: int, name: str, *arguments: Any) -> None:
        if name == ".fieldops-restoring":
            raise KeyboardInterrupt
        original(folder, name, *arguments)

    with mock.patch.object(output_quarantine, "move", killed), pytest.raises(KeyboardInterrupt):
        run_module("runbook_undo", {"undo_id": result["undo_id"], "journal_dir": folders.journal})
    told = finding(folders.ok("output/table.csv"), "unfinished")
    assert told["detail"]["names"] == ["my-study/output/.fieldops-restoring"]
    assert folders.ok(*told["remedy"]["vars"]["jobrunner_output_files"])["changed"]
    assert list(folders.at("output").iterdir()) == []


@pytest.mark.step("O18")
def test_the_entry_stays_with_a_file_that_stays(folders: Folders) -> None:
    """It was written again between the plan and its change. What lies at level 4 has to be in the manifest."""
    folders.put("table.csv")
    folders.put("other.csv")
    manifest = folders.manifest({"table.csv": ENTRY, "other.csv": ENTRY})
    original = output.carry_out

    def writing(*arguments: Any) -> Any:
        folders.put("table.csv", data=b"newer")
        return original(*arguments)

    with mock.patch.object(output, "carry_out", writing):
        result = folders.ok("table.csv", "other.csv", manifest_entry="drop")
    assert [(change["action"], change["done"]) for change in result["changes"]] == [
        ("remove", False),
        ("drop_entry", False),
        ("remove", True),
        ("drop_entry", True),
    ]
    assert folders.at("table.csv").read_bytes() == b"newer"
    assert '"table.csv"' in manifest.read_text()
    assert '"other.csv"' not in manifest.read_text()


@pytest.mark.step("O18")
def test_what_comes_while_a_copy_is_checked_is_not_deleted(folders: Folders, elsewhere: Path) -> None:
    """To read back a large copy takes minutes; a job that ends then puts a new file in the place of the old one."""
    folders.put("table.csv")
    original = output_quarantine._digest

    def checking(*arguments: Any) -> str:
        known = original(*arguments)
        folders.put("new.csv", data=b"newer").replace(folders.at("table.csv"))
        return known

    with mock.patch.object(output_quarantine, "_digest", checking):
        result = folders.ok("table.csv", quarantine_dir=str(elsewhere / "quarantine"))
    assert not result["changed"]
    assert folders.at("table.csv").read_bytes() == b"newer"
    assert [path for path in elsewhere.rglob("*") if path.is_file()] == []


# -- what brings it back -------------------------------------------------------------------------------------------------


@pytest.mark.step("O18")
def test_an_original_that_is_highly_sensitive_now_does_not_come_back(folders: Folders) -> None:
    """The researcher has done what the finding asks for, and the action was run again."""
    folders.put("output/table.csv")
    folders.put("output/table.csv", "high")
    folders.job("olderolderolder2", "make_table", "succeeded", "succeeded", {"output/table.csv": "moderately_sensitive"}, created=1)
    before = finding(folders.check("output/table.csv"), "original")
    assert "copies it to level 4 again" in before["summary"]
    assert before["detail"]["level"] == "moderately_sensitive"
    folders.job("ab2cd3ef4gh5ij6k", "make_table", "succeeded", "succeeded", {"output/table.csv": "highly_sensitive"}, created=2)
    told = finding(folders.ok("output/table.csv"), "original")
    assert (told["severity"], told["detail"]["level"], told["remedy"]) == ("info", "highly_sensitive", None)
    assert "highly_sensitive since job ab2cd3ef4gh5ij6k" in told["summary"]
    assert "again" not in told["summary"]


# -- whatever else -------------------------------------------------------------------------------------------------------


def test_one_bad_file_of_several_stops_after_the_others_with_a_way_back(folders: Folders) -> None:
    """What no plan can see: the disk fails at the second of three."""
    for name in ("a.csv", "b.csv", "c.csv"):
        folders.put(name)
    before = folders.tree()
    original = output_quarantine._moved
    calls: list[str] = []

    def failing(folder: int, name: str, target: int, new: str) -> bool:
        calls.append(name)
        if name == "b.csv" and calls.count(name) == 1:
            raise OSError(5, os.strerror(5))
        return original(folder, name, target, new)

    with mock.patch.object(output_quarantine, "_moved", failing):
        failed = run_module(MODULE, folders.arguments("a.csv", "b.csv", "c.csv"))
    assert failed["failed"]
    assert failed["changed"]
    assert "b.csv: remove cannot be done: Input/output error" in failed["msg"]
    assert [change["done"] for change in failed["changes"]] == [True, False, False]
    again = folders.ok("a.csv", "b.csv", "c.csv")
    assert [subject.rsplit("/", 1)[1] for _action, subject in planned(again)] == ["b.csv", "c.csv"]
    for each in (again, failed):
        assert folders.undo(each["undo_id"])["changed"]
    assert folders.tree() == before
    assert folders.quarantined() == []


def test_part_of_a_removal_is_taken_back(folders: Folders) -> None:
    folders.put("a.csv", "source")
    folders.put("a.csv")
    folders.put("b.csv")
    result = folders.ok("a.csv", "b.csv")
    undo = {"undo_id": result["undo_id"], "journal_dir": folders.journal}
    assert run_module("runbook_undo", undo | {"changes": [1]})["changed"]
    assert (folders.at("a.csv").exists(), folders.at("a.csv", "source").exists(), folders.at("b.csv").exists()) == (True, False, False)
    assert run_module("runbook_undo", undo | {"changes": [1]})["changed"] is False
    assert run_module("runbook_undo", undo)["changed"]
    assert folders.quarantined() == []
    assert "came_back" not in codes(folders.check("a.csv", "b.csv"))


def test_purged_in_part_and_taken_back(folders: Folders) -> None:
    folders.put("a.csv")
    folders.put("b.csv")
    result = folders.ok("a.csv", "b.csv")
    losses = [change["data_loss"] for change in run_refused(MODULE, folders.arguments("a.csv", purge=True))["changes"]]
    assert folders.ok("a.csv", purge=True, accept_data_loss=losses)["changed"]
    refused = folders.undo(result["undo_id"])
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["changed_since"]
    assert "changes: [1]" in refused["refusals"][0]["allow"]
    assert run_module("runbook_undo", {"undo_id": result["undo_id"], "journal_dir": folders.journal, "changes": [1]})["changed"]
    assert folders.at("b.csv").exists()
    assert not folders.at("a.csv").exists()


# -- as opensafely -------------------------------------------------------------------------------------------------------

OWNER, REVIEWERS = 10000, 10010


@pytest.fixture
def owned(elsewhere: Path) -> Iterator[Folders]:
    """All of it belongs to opensafely, the file to output checkers as well; the quarantine is on another file system."""
    base = Path(tempfile.mkdtemp(prefix="fieldops-test-", dir="/tmp"))
    made = Folders(base, str(base / "journal" / "runs"), quarantine=elsewhere / "quarantine")
    made.put("a.csv")
    (base / "journal").mkdir()
    for path in (base, elsewhere, *base.rglob("*")):
        os.chown(path, OWNER, OWNER)
    os.chown(made.at("a.csv"), OWNER, REVIEWERS)
    yield made
    shutil.rmtree(base)


def removed_by(folders: Folders) -> str:
    (run,) = Path(folders.journal, "runs").glob("*-jobrunner_output_remove-*")
    return run.stem


@needs_root
def test_the_group_of_output_checkers_survives_two_copies_without_root(owned: Folders) -> None:
    before = owned.tree()

    def body() -> None:
        assert owned.ok("a.csv")["changed"]
        assert owned.undo(removed_by(owned))["changed"]

    as_user(body, OWNER, [REVIEWERS])
    assert owned.tree() == before
    assert owned.quarantined() == []


@needs_root
def test_who_may_not_give_a_file_its_group_back_is_told_first(owned: Folders) -> None:
    before = owned.tree()

    def body() -> None:
        assert owned.ok("a.csv")["changed"]
        refused = owned.undo(removed_by(owned))
        assert [refusal["guard"] for refusal in refused["refusals"]] == ["rights"]

    as_user(body, OWNER)
    assert not owned.at("a.csv").exists()
    assert len(owned.quarantined()) == 1
    owned.journal = str(shutil.copytree(owned.journal, owned.path / "of root" / "journal"))
    for path in (owned.path / "of root").rglob("*"):
        os.chown(path, 0, 0)
    assert owned.undo(removed_by(owned))["changed"]
    assert owned.tree() == before


@needs_root
def test_within_a_file_system_the_group_stays_whoever_takes_it_back(owned: Folders) -> None:
    """Opensafely need not be one of the output checkers: nothing is given to anybody where nothing is copied."""
    owned.quarantine = owned.high / "quarantine"
    before = owned.tree()

    def body() -> None:
        assert owned.ok("a.csv")["changed"]
        assert owned.undo(removed_by(owned))["changed"]

    as_user(body, OWNER)
    assert owned.tree() == before
