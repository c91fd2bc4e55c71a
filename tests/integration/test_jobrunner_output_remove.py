# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of level 4 with real directories, links and two file systems: found, predicted, removed, back by sync, told, taken back, purged."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import manifest as manifests
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import output, output_files, output_quarantine, output_undo
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from lab.jobrunner.backend import Backend
from lab.jobrunner.lab_secrets import SECRETS
from removing import ENTRY, MODULE, WORKSPACE, Folders, as_user, codes, finding, planned
from support import run_ok, run_refused

NAMES = (
    "output/table.csv",
    "output/plot 1.png",
    "-rf",
    'it\'s "quoted".txt',
    "r\u00e9sultats/\u00fcber \u4e2d.csv",
    "*.csv",
    "deep/er/and/[a-z]?.txt",
    "a\nb.log",
)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
OWNER, REVIEWERS = 10000, 10010


@pytest.fixture
def folders(tmp_path: Path, journal_dir: str) -> Folders:
    return Folders(tmp_path, journal_dir)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    memory = Path("/dev/shm")  # noqa: S108
    if memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("memory is not a file system of its own")
    path = Path(tempfile.mkdtemp(prefix="fieldops-test-", dir=memory))
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["one file system", "source on another", "quarantine on another"])
def spread(request: pytest.FixtureRequest, tmp_path: Path, journal_dir: str) -> Folders:
    if request.param == "one file system":
        return Folders(tmp_path, journal_dir)
    other: Path = request.getfixturevalue("elsewhere")
    if request.param == "source on another":
        return Folders(tmp_path, journal_dir, source=other)
    return Folders(tmp_path, journal_dir, quarantine=other / "quarantine")


# -- the whole way -------------------------------------------------------------------------------------------------------


@pytest.mark.step("O18")
@pytest.mark.parametrize("name", NAMES)
def test_found_predicted_removed_repeated_undone(spread: Folders, name: str) -> None:
    spread.put(name, "source", b"older")
    spread.put(name, data=b"data")
    spread.put(name, "high", b"original")
    spread.put("output/other.csv")
    spread.put("other.csv", "medium", workspace="another")
    before = spread.tree()

    predicted = spread.check(name)
    assert spread.tree() == before
    assert not spread.quarantine.exists()
    assert codes(predicted)[:2] == ["present", "present"]
    subjects = [("remove", str(spread.at(name, "source"))), ("remove", str(spread.at(name)))]
    assert planned(predicted) == subjects
    result = spread.ok(name, approved_plan=predicted["plan_sha256"])
    assert result["plan_sha256"] == predicted["plan_sha256"]
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    gone = {str(spread.at(name)), str(spread.at(name, "source"))}
    assert spread.tree() == {path: kept for path, kept in before.items() if path not in gone}
    copies = [spread.quarantine / name for name in spread.quarantined()]
    assert sorted(copy.read_bytes() for copy in copies) == [b"data", b"older"]
    assert sorted(result["files"][0]["quarantined"]) == sorted(map(str, copies))
    assert codes(result) == ["removed", "removed", "original", "level4", "jobs_unknown"]

    again = spread.ok(name)
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)

    assert spread.undo(result["undo_id"], check=True)["changed"]
    assert spread.quarantined()
    assert spread.undo(result["undo_id"])["changed"]
    assert spread.tree() == before
    assert spread.quarantined() == []
    assert spread.undo(result["undo_id"])["changed"] is False
    assert codes(spread.check(name))[:2] == ["present", "present"]


@pytest.mark.step("O18")
def test_what_a_person_must_do_is_told(folders: Folders) -> None:
    folders.put("output/table.csv")
    told = finding(folders.ok("output/table.csv"), "level4")
    assert told["subject"] == r"D:\Level4Files\workspaces\my-study\output\table.csv"
    assert "SHIFT+DEL" in told["summary"]
    assert told["runbook"]["heading"] == "Removing a Level 4 file from TPP"
    assert "level4" not in codes(folders.ok("output/table.csv", level4_path=""))


def test_an_undo_can_be_undone(spread: Folders) -> None:
    spread.put("table.csv")
    removed = spread.ok("table.csv")
    undone = spread.undo(removed["undo_id"])
    assert spread.at("table.csv").exists()
    assert spread.undo(undone["undo_id"])["changed"]
    assert not spread.at("table.csv").exists()
    assert len(spread.quarantined()) == 1


def test_several_files_are_one_plan(folders: Folders) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        folders.put(name)
    folders.put("b.csv", "source")
    result = folders.ok("b.csv", "a.csv", "b.csv", "missing.csv")
    assert planned(result) == [
        ("remove", str(folders.at("b.csv", "source"))),
        ("remove", str(folders.at("b.csv"))),
        ("remove", str(folders.at("a.csv"))),
    ]
    assert folders.at("c.csv").exists()
    assert "unknown" in codes(result)


@needs_root
def test_owner_and_mode_survive_the_way_there_and_back(spread: Folders) -> None:
    """Also when somebody changed every mode in between, as the backend's own installer does."""
    target = spread.put("table.csv", mode=0o4751)
    os.chown(target, OWNER, REVIEWERS)
    target.chmod(0o4751)
    os.utime(target, ns=(1, 1_700_000_000_123_456_789))
    before = spread.tree()
    result = spread.ok("table.csv")
    for path in [spread.quarantine, *spread.quarantine.rglob("*")]:
        path.chmod(0o750 if path.is_dir() else 0o640)
        os.chown(path, OWNER, OWNER)
    os.chown(spread.quarantine.parent, OWNER, OWNER)
    assert spread.undo(result["undo_id"])["changed"]
    assert spread.tree() == before


@needs_root
def test_the_quarantine_is_its_owners_alone(folders: Folders) -> None:
    os.chown(folders.high, OWNER, OWNER)
    folders.put("output/table.csv")
    folders.ok("output/table.csv")
    for path in [folders.quarantine, *(path for path in folders.quarantine.rglob("*") if path.is_dir())]:
        info = path.stat()
        assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o700, OWNER, OWNER), path
        path.chmod(0o750)  # as the backend's installer leaves every directory of level 3
    folders.put("output/table.csv")
    assert folders.ok("output/table.csv")["changed"]


# -- names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.step("O18")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("../another/other.csv", "exact paths relative to the workspace's directory"),
        ("output/../../another/other.csv", "exact paths"),
        ("/srv/medium_privacy/workspaces/my-study/a.csv", "exact paths"),
        ("", "exact paths"),
        (".", "exact paths"),
        ("./a.csv", "exact paths"),
        ("output//a.csv", "exact paths"),
        ("output/", "exact paths"),
        ("metadata/manifest.json", "belong to job-runner"),
        ("metadata/make_table.log", "belong to job-runner"),
        ("MetaData/manifest.json", "belong to job-runner"),
        ("metadata", "belong to job-runner"),
        ("manifest.json", "belong to job-runner"),
    ],
)
def test_names_that_are_refused(folders: Folders, name: str, says: str) -> None:
    folders.put("metadata/manifest.json")
    folders.put("metadata/make_table.log")
    folders.put("output/a.csv")
    folders.put("other.csv", workspace="another")
    before = folders.tree()
    message = folders.refused("output/a.csv", name)
    assert says in message
    assert repr(name) in message
    assert folders.tree() == before
    assert not Path(folders.journal).exists() or not list(Path(folders.journal, "runs").iterdir())


@pytest.mark.parametrize("workspace", ["", ".", "..", "../my-study", "my-study/output", "/my-study"])
def test_workspaces_that_are_refused(folders: Folders, workspace: str) -> None:
    folders.put("a.csv")
    assert "name of one workspace's directory" in folders.refused("a.csv", workspace=workspace)


def test_a_workspace_that_is_not_there(folders: Folders) -> None:
    assert "did you mean my-study" in folders.refused("a.csv", workspace="my-stduy")


def test_no_file_at_all(folders: Folders) -> None:
    assert "names no file" in folders.refused()


def test_a_name_that_is_not_utf_8(folders: Folders) -> None:
    with pytest.raises(output.JobRunnerError, match="not UTF-8"):
        output.checked_files(["caf\udce9.csv"])
    target = folders.at("x").parent / os.fsdecode(b"caf\xe9.csv")
    target.write_bytes(b"data")
    assert "unknown" in codes(folders.ok("caf\u00e9.csv"))
    assert target.exists()


@pytest.mark.parametrize("option", ["medium_privacy_base", "high_privacy_base", "quarantine_dir"])
def test_relative_places(folders: Folders, option: str) -> None:
    assert "absolute path" in folders.refused("a.csv", **{option: "somewhere"})


def test_globs_are_characters(folders: Folders) -> None:
    for name in ("a.csv", "b.csv", "[ab].csv"):
        folders.put(name)
    result = folders.ok("*.csv", "[ab].csv")
    assert planned(result) == [("remove", str(folders.at("[ab].csv")))]
    assert "stand for themselves" in finding(result, "unknown")["summary"]
    assert folders.at("a.csv").exists()


def test_a_misspelt_name_is_no_success(folders: Folders) -> None:
    folders.put("output/table_2024.csv", "high")
    result = folders.ok("output/table-2024.csv")
    assert (codes(result)[0], result["findings"][0]["severity"]) == ("unknown", "warning")
    assert result["findings"][0]["remedy"]["text"] == "it may have been meant for output/table_2024.csv"


def test_only_the_original_is_there(folders: Folders) -> None:
    folders.put("output/table.csv", "high")
    folders.put("output/table.csv.txt", data=b"The file was not copied")
    result = folders.ok("output/table.csv")
    assert not result["changed"]
    assert codes(result)[:2] == ["absent", "note"]
    assert "was not copied" not in json.dumps(result)


# -- what is no plain file -----------------------------------------------------------------------------------------------


def _link(folders: Folders, name: str) -> None:
    folders.put("other.csv", workspace="another")
    folders.at(name).symlink_to(folders.at("other.csv", workspace="another"))


def _broken(folders: Folders, name: str) -> None:
    folders.at(name).symlink_to("/nowhere")


def _directory(folders: Folders, name: str) -> None:
    folders.put(f"{name}/inner.csv")


def _pipe(folders: Folders, name: str) -> None:
    os.mkfifo(folders.at(name))


def _socket(folders: Folders, name: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        here = os.open(folders.at(name).parent, os.O_PATH)
        sock.bind(f"/proc/self/fd/{here}/{name}")
        os.close(here)


def _hard_link(folders: Folders, name: str) -> None:
    folders.put("copies/same.csv")
    os.link(folders.at("copies/same.csv"), folders.at(name))


@pytest.mark.step("O18")
@pytest.mark.parametrize(
    ("make", "guard", "says"),
    [
        (_link, "link", "is a link, and no link is followed"),
        (_broken, "link", "is a link"),
        (_directory, "directory", "is a directory"),
        (_pipe, "special", "neither a file nor a directory"),
        (_socket, "special", "neither a file nor a directory"),
        (_hard_link, "hard_link", "2 names (hard links), also as copies/same.csv"),
    ],
)
def test_what_is_no_plain_file_is_refused_with_all_the_rest(folders: Folders, make: Callable[[Folders, str], None], guard: str, says: str) -> None:
    make(folders, "bad.csv")
    folders.put("good.csv")
    before = folders.tree()
    result = run_refused(MODULE, folders.arguments("good.csv", "bad.csv"))
    assert [refusal["guard"] for refusal in result["refusals"]] == [guard]
    assert says in folders.refused("good.csv", "bad.csv")
    assert folders.tree() == before
    assert not folders.quarantine.exists()


@pytest.mark.step("O18")
@pytest.mark.parametrize("where", ["medium", "source"])
def test_a_link_on_the_way(folders: Folders, where: str) -> None:
    folders.put("output/a.csv", where, workspace="another")
    folders.at("output", where).symlink_to(folders.at("output", where, "another"))
    message = folders.refused("output/a.csv")
    assert "output in" in message
    assert "is a link" in message
    assert folders.at("output/a.csv", where, "another").exists()


def test_a_workspace_that_is_a_link(folders: Folders) -> None:
    folders.put("a.csv", workspace="another")
    for where in ("medium", "source"):
        folders.at("", where, "alias").symlink_to(folders.at("", where, "another"))
    assert "is a link, and no link is followed" in folders.refused("a.csv", workspace="alias")


def test_the_roots_themselves_may_be_links(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "srv").symlink_to(folders.medium)
    folders.put("a.csv")
    assert folders.ok("a.csv", medium_privacy_base=str(tmp_path / "srv"))["changed"]
    assert not folders.at("a.csv").exists()


def test_a_part_of_the_path_is_a_file(folders: Folders) -> None:
    folders.put("output")
    assert "unknown" in codes(folders.ok("output/a.csv"))


def test_a_name_that_is_too_long(folders: Folders) -> None:
    assert "unknown" in codes(folders.ok("x" * 300))


# -- the sync and the next run bring it back -----------------------------------------------------------------------------


@pytest.mark.step("O18", "O21")
def test_the_sync_does_not_bring_it_back(folders: Folders) -> None:
    """The loop of the runbook, with the real rsync."""
    rsync = shutil.which("rsync")
    if not rsync:
        pytest.skip("there is no rsync (Debian package rsync)")

    def sync() -> None:
        subprocess.run([rsync, "-au", f"{folders.source}/", f"{folders.medium}/workspaces/"], check=True)

    folders.put("output/table.csv", "source")
    folders.put("output/kept.csv", "source")
    sync()
    assert folders.at("output/table.csv").exists()
    folders.at("output/table.csv").unlink()  # as the runbook has it
    sync()
    assert folders.at("output/table.csv").exists(), "the sync should have brought it back"

    folders.ok("output/table.csv")
    sync()
    assert not folders.at("output/table.csv").exists()
    assert folders.at("output/kept.csv").exists()

    folders.put("output/table.csv", "source", b"again")
    sync()
    result = folders.check("output/table.csv")
    assert [each["code"] for each in result["findings"]].count("jobrunner.output.came_back") == 2
    assert str(folders.at("output/table.csv", "source")) in [each for each in result["findings"] if each["code"].endswith("came_back")][1]["summary"]
    after = folders.ok("output/table.csv")
    assert "has come back before" in finding(after, "came_back")["summary"]
    assert len(folders.quarantined()) == 4


@pytest.mark.step("O18")
def test_the_next_run_of_the_action_is_foretold_and_found(folders: Folders) -> None:
    folders.put("output/table.csv")
    folders.put("output/table.csv", "high")
    folders.job("ab2cd3ef4gh5ij6k", "make_table", "succeeded", "succeeded", {"output/table.csv": "moderately_sensitive"}, created=2)
    folders.job("olderolderolder2", "make_table", "succeeded", "succeeded", {"output/table.csv": "moderately_sensitive"}, created=1)
    folders.job("othersothersoth2", "other", "running", "executing", created=3)
    result = folders.ok("output/table.csv")
    told = finding(result, "original")
    assert (told["severity"], told["detail"]["producers"]) == (
        "info",
        [{"job_id": "ab2cd3ef4gh5ij6k", "action": "make_table", "status_code": "succeeded", "active": False, "level": "moderately_sensitive"}],
    )
    assert "action make_table (last made by job ab2cd3ef4gh5ij6k)" in told["summary"]

    folders.job("runningrunning22", "make_table", "running", "executing", created=4)
    told = finding(folders.check("output/table.csv"), "original")
    assert told["severity"] == "warning"
    assert "runningrunning22 (make_table, executing)" in told["summary"]

    folders.put("output/table.csv")  # what job-runner does when the job ends
    told = finding(folders.check("output/table.csv"), "came_back")
    assert "copies it from level 3" in told["summary"]


@pytest.mark.step("O18")
@pytest.mark.parametrize("backend", [pytest.param({"user_version": 2}, marks=pytest.mark.thorough), {"user_version": 3, "journal_mode": "wal"}], indirect=True)
def test_beside_job_runner(backend: Backend, journal_dir: str) -> None:
    """Its loop makes the file, and makes it again when the action is run again; meanwhile something else keeps writing to the database."""
    arguments = {name: value for name, value in backend.params.items() if name != "docker_host"}
    arguments |= {"workspace": "ws", "files": ["output/table.csv"], "sync_sources": [], "journal_dir": journal_dir}
    target = backend.medium / "workspaces/ws/output/table.csv"
    first = backend.add_job("running", "executing", container="exited", outputs={"output/table.csv": "a,b"})
    turns(backend)
    assert target.read_text() == "a,b"
    rows = backend.rows()

    with backend.writer() as writer:
        result = run_ok(MODULE, arguments)
    assert (writer.errors, writer.lost) == ([], [])
    assert not target.exists()
    assert {job: row for job, row in backend.rows().items() if job in rows} == rows
    assert finding(result, "original")["detail"]["producers"] == [
        {"job_id": first, "action": "a", "status_code": "succeeded", "active": False, "level": "moderately_sensitive"}
    ]
    assert json.loads((target.parents[1] / "metadata/manifest.json").read_text()) == {"repo": None, "workspace": "ws"}

    again = backend.add_job("running", "executing", container="exited", outputs={"output/table.csv": "c,d"})
    told = finding(run_ok(MODULE, arguments), "original")
    assert (told["severity"], again in told["summary"]) == ("warning", True)
    turns(backend)
    assert target.read_text() == "c,d"
    told = finding(run_ok(MODULE, arguments, check=True), "came_back")
    assert f"each run of action a (last made by job {again}) copies it from level 3" in told["summary"]
    shown = json.dumps([result, told])
    assert not [secret for secret in SECRETS.values() if secret in shown]


def turns(backend: Backend) -> None:
    """In this process, which lets go of the database then: it is another process that the fix works beside."""
    backend.loop_turns(5, until="idle")
    backend.restart()


def test_the_manifest_knows_the_action_of_a_file_that_the_database_forgot(folders: Folders) -> None:
    folders.put("output/table.csv")
    folders.put("output/table.csv", "high")
    folders.manifest({"output/table.csv": ENTRY})
    folders.job("runningrunning22", "make_table", "pending", "created", created=4)
    assert "runningrunning22" in finding(folders.check("output/table.csv"), "original")["summary"]


def test_a_database_that_cannot_be_used_is_told(folders: Folders) -> None:
    folders.put("a.csv")
    folders.workdir.mkdir()
    (folders.workdir / "db.sqlite").write_bytes(b"no database at all, and longer than sixteen bytes")
    assert "is no SQLite database" in finding(folders.ok("a.csv"), "jobs_unknown")["summary"]


def test_a_source_that_is_not_mounted(folders: Folders) -> None:
    folders.put("a.csv")
    shutil.rmtree(folders.source)
    told = finding(folders.ok("a.csv"), "source_away")
    assert (told["severity"], told["subject"]) == ("warning", str(folders.source))
    assert "source_away" not in codes(folders.ok("a.csv", sync_sources=[]))


def test_copies_on_their_way_are_told(folders: Folders) -> None:
    """What rsync and job-runner write before they rename it to its name."""
    folders.put("output/table.csv")
    for name in (".table.csv.Xy12zQ", "table.csv.0123456789abcdef.tmp", ".table.csv.swp", "table.csv.tmp"):
        folders.put(f"output/{name}")
    told = finding(folders.ok("output/table.csv"), "unfinished")
    assert told["detail"]["names"] == ["my-study/output/.table.csv.Xy12zQ", "my-study/output/table.csv.0123456789abcdef.tmp"]
    assert folders.ok(*told["remedy"]["vars"]["jobrunner_output_files"])["changed"]
    assert not folders.at("output/.table.csv.Xy12zQ").exists()


# -- the manifest --------------------------------------------------------------------------------------------------------


def test_an_entry_is_reported_and_kept(folders: Folders) -> None:
    folders.put("output/table.csv")
    manifest = folders.manifest({"output/table.csv": ENTRY, "output/other.csv": ENTRY})
    text = manifest.read_bytes()
    result = folders.ok("output/table.csv")
    assert manifest.read_bytes() == text
    told = finding(result, "manifest_entry")
    assert told["detail"] == {"level": "moderately_sensitive", "job_id": "ab2cd3ef4gh5ij6k", "action": "make_table", "excluded": False}
    assert told["remedy"]["vars"]["jobrunner_manifest_entry"] == "drop"


@needs_root
def test_an_entry_is_dropped_and_put_back(folders: Folders) -> None:
    folders.put("output/table.csv")
    manifest = folders.manifest({"output/other.csv": ENTRY, "output/table.csv": ENTRY})
    os.chown(manifest, OWNER, REVIEWERS)
    text, inode = manifest.read_bytes(), manifest.stat().st_ino
    predicted = folders.check("output/table.csv", manifest_entry="drop")
    result = folders.ok("output/table.csv", manifest_entry="drop", approved_plan=predicted["plan_sha256"])
    assert planned(result)[-1] == ("drop_entry", f"{manifest}: outputs/output/table.csv")
    info = manifest.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o640, OWNER, REVIEWERS)
    assert info.st_ino != inode
    assert json.loads(manifest.read_text()) == {"repo": None, "workspace": WORKSPACE, "outputs": {"output/other.csv": ENTRY}}
    assert "manifest_entry" not in codes(result)
    assert folders.ok("output/table.csv", manifest_entry="drop")["changed"] is False
    assert folders.undo(result["undo_id"])["changed"]
    assert manifest.read_bytes() == text
    assert sorted(path.name for path in manifest.parent.iterdir()) == ["manifest.json"]


def test_an_old_manifest_has_nothing_to_drop(folders: Folders) -> None:
    folders.put("table.csv")
    manifest = folders.manifest(None)
    text = manifest.read_bytes()
    assert [action for action, _subject in planned(folders.ok("table.csv", manifest_entry="drop"))] == ["remove"]
    assert manifest.read_bytes() == text


def test_what_a_job_writes_meanwhile_is_not_lost(folders: Folders) -> None:
    """A job ends between reading and writing: its entry is there afterwards."""
    folders.put("table.csv")
    manifest = folders.manifest({"table.csv": ENTRY})
    original = manifests.styled
    calls: list[int] = []

    def writing(*arguments: Any) -> str:
        if not calls:
            manifest.with_suffix(".tmp").write_text(json.dumps({"repo": None, "workspace": WORKSPACE, "outputs": {"table.csv": ENTRY, "new.csv": ENTRY}}))
            manifest.with_suffix(".tmp").replace(manifest)
        calls.append(1)
        return original(*arguments)

    with mock.patch.object(manifests, "styled", writing):
        folders.ok("table.csv", manifest_entry="drop")
    assert len(calls) == 2
    assert json.loads(manifest.read_text())["outputs"] == {"new.csv": ENTRY}


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff\xfe"])
def test_a_manifest_that_cannot_be_read(folders: Folders, text: bytes) -> None:
    folders.put("table.csv")
    folders.put("metadata/manifest.json", data=text)
    assert "manifest_entry: keep" in folders.refused("table.csv", manifest_entry="drop")
    assert "manifest" in codes(folders.ok("table.csv"))
    assert folders.at("metadata/manifest.json").read_bytes() == text


# -- for good ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_purge(spread: Folders, at_once: bool) -> None:
    spread.put("table.csv")
    spread.put("table.csv", "source", b"older")
    earlier = None if at_once else spread.ok("table.csv")
    refused = run_refused(MODULE, spread.arguments("table.csv", purge=True))
    assert [refusal["guard"] for refusal in refused["refusals"]] == ["accept_data_loss"]
    losses = [change["data_loss"] for change in refused["changes"] if "data_loss" in change]
    assert len(losses) == 2
    assert "sha256 " in losses[0]
    predicted = spread.check("table.csv", purge=True, accept_data_loss=losses)
    result = spread.ok("table.csv", purge=True, accept_data_loss=losses, approved_plan=predicted["plan_sha256"])
    assert [change["action"] for change in result["changes"]].count("purge") == 2
    assert all(not change["reversible"] for change in result["changes"] if change["action"] == "purge")
    assert [Path(name).name for name in spread.quarantined()] == ["purged.1", "purged.1"]
    assert result["files"][0]["quarantined"] == []
    assert "deleted for good" in finding(result, "removed")["summary"]
    assert spread.ok("table.csv", purge=True)["changed"] is False
    refusal = spread.undo((earlier or result)["undo_id"])
    assert refusal["failed"]
    assert not spread.at("table.csv").exists()
    spread.put("table.csv")
    assert "came_back" in codes(spread.check("table.csv"))


# -- races, rights, places -----------------------------------------------------------------------------------------------


def meddle(folders: Folders, what: str, victim: Path) -> None:
    target = folders.at("output/table.csv")
    if what == "written":
        target.write_bytes(b"other")
    elif what == "replaced":
        target.unlink()
        folders.put("output/table.csv", data=b"DATA")  # of the same size and time, and often with the same inode
    elif what == "gone":
        target.unlink()
    elif what == "link":
        target.unlink()
        target.symlink_to(victim)
    elif what == "directory":
        target.parent.rename(folders.at("moved"))
        target.parent.symlink_to(victim.parent)
    elif what == "workspace":
        folders.at("").rename(folders.at("", workspace="moved"))
        folders.at("").symlink_to(victim.parents[1])


@pytest.mark.step("O18")
@pytest.mark.parametrize("moment", ["planned", "opened"])
@pytest.mark.parametrize("what", ["written", "replaced", "gone", "link", "directory", "workspace"])
def test_what_changes_meanwhile_is_left_alone(folders: Folders, what: str, moment: str) -> None:
    """Between the plan and the change, and between the look at the file and its move."""
    folders.put("output/table.csv")
    victim = folders.put("output/table.csv", data=b"victim", workspace="another")
    module, name = (output, "carry_out") if moment == "planned" else (output_quarantine, "_moved")
    original = getattr(module, name)
    calls: list[str] = []

    def changing(*arguments: Any) -> Any:
        if not calls:
            meddle(folders, what, victim)
        calls.append(what)
        return original(*arguments)

    with mock.patch.object(module, name, changing):
        result = folders.ok("output/table.csv")
    assert victim.read_bytes() == b"victim"
    opened_before = moment == "opened" and what in ("directory", "workspace")
    if opened_before:  # the directory that was looked into is held by its handle, wherever it is moved
        assert result["changed"]
    else:
        assert not result["changed"]
        assert "since it was looked at" in result["changes"][0]["note"]
        assert folders.quarantined() == []
    if what == "written":
        assert folders.at("output/table.csv").read_bytes() == b"other"


def test_what_a_killed_run_copied_is_finished_and_never_lost(tmp_path: Path, journal_dir: str, elsewhere: Path) -> None:
    """It was killed when the file was gone and its copy had not got its name; then another version came."""
    folders = Folders(tmp_path, journal_dir, quarantine=elsewhere / "quarantine")
    folders.put("table.csv", data=b"first")
    killed = folders.ok("table.csv")
    copy = folders.quarantine / folders.quarantined()[0]
    copy.rename(f"{copy}.new")
    folders.put("table.csv", data=b"second")
    predicted = folders.check("table.csv")
    assert [action for action, _subject in planned(predicted)] == ["finish", "remove"]
    result = folders.ok("table.csv", approved_plan=predicted["plan_sha256"])
    assert [(folders.quarantine / name).read_bytes() for name in folders.quarantined()] == [b"first", b"second"]
    assert folders.ok("table.csv")["changed"] is False
    assert folders.undo(result["undo_id"])["changed"]
    assert folders.at("table.csv").read_bytes() == b"second"
    assert [Path(name).name for name in folders.quarantined()] == ["removed.1.new"]
    folders.at("table.csv").unlink()
    assert folders.undo(killed["undo_id"])["changed"]
    assert folders.at("table.csv").read_bytes() == b"first"


def test_a_purge_that_was_killed_is_finished(folders: Folders) -> None:
    folders.put("table.csv")
    folders.ok("table.csv")
    (copy,) = (folders.quarantine / name for name in folders.quarantined())
    (copy.parent / "purged.1").touch()
    losses = [change["data_loss"] for change in run_refused(MODULE, folders.arguments("table.csv", purge=True))["changes"]]
    assert folders.ok("table.csv", purge=True, accept_data_loss=losses)["changed"]
    assert [Path(name).name for name in folders.quarantined()] == ["purged.1"]


@pytest.mark.parametrize("what", ["written", "replaced", "gone", "link", "directory", "workspace"])
def test_what_changes_while_it_is_copied_is_left_alone(tmp_path: Path, journal_dir: str, elsewhere: Path, what: str) -> None:
    folders = Folders(tmp_path, journal_dir, quarantine=elsewhere / "quarantine")
    folders.put("output/table.csv")
    victim = folders.put("output/table.csv", data=b"victim", workspace="another")
    original = output_quarantine._copy_file

    def copying(*arguments: Any) -> None:
        original(*arguments)
        meddle(folders, what, victim)

    with mock.patch.object(output_quarantine, "_copy_file", copying):
        result = folders.ok("output/table.csv")
    assert victim.read_bytes() == b"victim"
    if what in ("directory", "workspace"):  # what was looked into is held by its handle, wherever it is moved
        assert result["changed"]
    else:
        assert not result["changed"]
        assert folders.quarantined() == []


def test_what_comes_meanwhile_is_not_replaced_by_an_undo(spread: Folders) -> None:
    spread.put("table.csv")
    result = spread.ok("table.csv")
    spread.put("table.csv", data=b"newer")
    refused = spread.undo(result["undo_id"])
    assert refused["refusals"][0]["guard"] == "changed_since"
    assert spread.at("table.csv").read_bytes() == b"newer"

    spread.at("table.csv").unlink()
    original = output_quarantine.same_attributes

    def coming(*arguments: Any) -> None:
        original(*arguments)
        if not spread.at("table.csv").exists():
            spread.put("table.csv", data=b"newest")

    with mock.patch.object(output_quarantine, "same_attributes", coming):
        late = spread.undo(result["undo_id"])
    assert not late["changed"]
    assert spread.at("table.csv").read_bytes() == b"newest"


def test_a_file_system_without_the_new_rename(folders: Folders) -> None:
    with mock.patch.object(output_files, "_renamed", lambda *_arguments: False):
        folders.put("table.csv")
        result = folders.ok("table.csv")
        assert folders.undo(result["undo_id"])["changed"]
        assert folders.at("table.csv").read_bytes() == b"data"


def test_the_directory_is_gone_when_it_is_to_be_taken_back(folders: Folders) -> None:
    folders.put("output/table.csv")
    result = folders.ok("output/table.csv")
    folders.at("output").rmdir()
    assert folders.undo(result["undo_id"])["refusals"][0]["guard"] == "directory"


def test_a_quarantine_where_it_must_not_be(folders: Folders) -> None:
    folders.put("a.csv")
    for place in (folders.medium, folders.medium / "quarantine", folders.source / "quarantine"):
        assert "choose a place outside" in folders.refused("a.csv", quarantine_dir=str(place))
    (folders.path / "alias").symlink_to(folders.medium)
    assert "which others read" in folders.refused("a.csv", quarantine_dir=str(folders.path / "alias" / "q"))
    open_ = folders.path / "open"
    open_.mkdir()
    open_.chmod(0o755)
    assert "mode 0755" in folders.refused("a.csv", quarantine_dir=str(open_))
    assert "there is no directory" in folders.refused("a.csv", quarantine_dir=str(folders.path / "no" / "where"))
    link = folders.path / "link"
    link.symlink_to(folders.high)
    assert "it is a link or a file" in folders.refused("a.csv", quarantine_dir=str(link))


@needs_root
def test_a_source_that_is_mounted_read_only(folders: Folders) -> None:
    """What cannot be removed there is not removed at level 4 either: it would come back."""
    if subprocess.run(["mount", "-t", "tmpfs", "lab", str(folders.source)], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        folders.put("a.csv", "source")
        folders.put("a.csv")
        subprocess.run(["mount", "-o", "remount,ro", str(folders.source)], check=True)
        assert "mounted read-only" in folders.refused("a.csv")
        assert folders.at("a.csv").exists()
    finally:
        subprocess.run(["umount", str(folders.source)], check=True)


@needs_root
def test_only_root_gives_files_back_to_others(folders: Folders) -> None:
    folders.put("a.csv")
    result = folders.ok("a.csv")
    with mock.patch.object(output_undo.os, "geteuid", lambda: OWNER):
        refused = output_undo.OutputStore({}, {"quarantine": str(folders.quarantine)}).guards(
            [Change("undo_remove", each["subject"], each["after"], each["before"], "") for each in result["changes"]]
        )
    assert [refusal.guard for refusal in refused] == ["rights"]


def test_a_link_in_the_quarantine_is_not_followed(folders: Folders) -> None:
    folders.put("a.csv")
    outside = folders.path / "outside"
    outside.mkdir()
    first = str(folders.medium).strip("/").split("/", maxsplit=1)[0]
    folders.quarantine.mkdir(mode=0o700)
    (folders.quarantine / first).symlink_to(outside)
    assert "is a link or a file" in folders.refused("a.csv")
    assert list(outside.iterdir()) == []
    assert folders.at("a.csv").exists()


@pytest.fixture
def open_folders(journal_dir: str) -> Iterator[Folders]:
    """Where any user may look, unlike in pytest's own directories."""
    base = Path(tempfile.mkdtemp(prefix="fieldops-test-", dir="/tmp"))
    base.chmod(0o755)
    yield Folders(base, journal_dir)
    shutil.rmtree(base)


@needs_root
def test_as_another_user(open_folders: Folders) -> None:
    """Rights are seen in the plan, and not found out in the middle."""
    open_folders.put("a.csv", mode=0o644)
    for path in (open_folders.path, *open_folders.path.rglob("*")):
        os.chown(path, OWNER, OWNER)

    def body() -> None:
        with tempfile.TemporaryDirectory() as journal:
            result = run_refused(MODULE, open_folders.arguments("a.csv", journal_dir=f"{journal}/j"))
            assert {refusal["guard"] for refusal in result["refusals"]} == {"rights", "quarantine"}

    as_user(body, 4242)
    open_folders.at("a.csv").chmod(0o600)

    def unreadable() -> None:
        with tempfile.TemporaryDirectory() as journal:
            assert "run this as root" in run_refused(MODULE, open_folders.arguments("a.csv", journal_dir=f"{journal}/j"))["msg"]

    as_user(unreadable, 4242)
    assert open_folders.at("a.csv").exists()


@needs_root
def test_as_the_owner(open_folders: Folders) -> None:
    """Opensafely can do all of it itself, and root can take back what opensafely did."""
    open_folders.put("a.csv")
    for path in (open_folders.path, *open_folders.path.rglob("*")):
        os.chown(path, OWNER, OWNER)
    before = open_folders.tree()
    journal = Path(tempfile.mkdtemp(dir=open_folders.path))
    os.chown(journal, OWNER, OWNER)
    open_folders.journal = str(journal / "journal")

    def remove() -> None:
        assert open_folders.ok("a.csv")["changed"]

    def take_back() -> None:
        (run,) = (Path(open_folders.journal) / "runs").glob("*-jobrunner_output_remove-*")
        assert open_folders.undo(run.stem)["changed"]

    as_user(remove, OWNER)
    assert not open_folders.at("a.csv").exists()
    as_user(take_back, OWNER)
    assert open_folders.tree() == before
    assert open_folders.ok("a.csv", journal_dir=str(open_folders.path / "roots"))["changed"]
