# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploying where something about the checkout, its remotes or the node is odd: what nobody has committed is never destroyed, and nothing stays behind."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import command
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import git as connect_git
from deploying import TOKEN, Backend, git

pytestmark = [pytest.mark.step("O6"), pytest.mark.thorough]


@pytest.fixture
def site(tmp_path: Path, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    made = Backend(tmp_path, journal_dir, monkeypatch)
    yield made
    made.close()


@pytest.fixture
def open_site(journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """Where any user may go, unlike pytest's own directories."""
    base = Path(tempfile.mkdtemp(prefix="fieldops-test-", dir="/tmp"))
    base.chmod(0o755)
    made = Backend(base, journal_dir, monkeypatch)
    yield made
    made.close()
    shutil.rmtree(base)


# -- what nobody has committed -------------------------------------------------------------------------------------------


def test_a_file_where_a_folder_is_to_come(site: Backend) -> None:
    site.release("2", **{"extra/inner.py": "theirs\n"})
    (site.code / "extra").write_text("mine\n", encoding="utf-8")
    site.refused("in_the_way", "extra")
    assert (site.code / "extra").read_text(encoding="utf-8") == "mine\n"


def test_a_link_where_a_folder_is_to_come(site: Backend) -> None:
    site.release("2", **{"extra/inner.py": "theirs\n"})
    (site.code / "extra").symlink_to(site.workdir)
    site.refused("in_the_way", "extra")


def test_an_undo_goes_over_no_file_that_git_does_not_know(site: Backend) -> None:
    site.release("2", **{"notes.txt": "theirs\n"})
    assert site.ok()["changed"]
    site.release("3", **{"notes.txt": None})
    result = site.ok()
    assert not (site.code / "notes.txt").exists()
    (site.code / "notes.txt").write_text("mine\n", encoding="utf-8")
    undone = site.undo(result["undo_id"])
    assert undone.get("failed"), undone
    assert "notes.txt" in undone["msg"]
    assert (site.code / "notes.txt").read_text(encoding="utf-8") == "mine\n"
    (site.code / "notes.txt").unlink()
    assert site.undo(result["undo_id"])["changed"]


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
def test_changes_that_git_was_told_not_to_see(site: Backend, mark: str) -> None:
    git(site.code, "update-index", mark, "jobrunner/service.py")
    path = site.code / "jobrunner" / "service.py"
    path.write_text(path.read_text(encoding="utf-8") + "# by hand\n", encoding="utf-8")
    site.release("2")
    site.refused("dirty", "jobrunner/service.py")


def test_a_folder_that_becomes_a_file(site: Backend) -> None:
    site.release("2", **{"extra/inner.py": "theirs\n"})
    assert site.ok()["changed"]
    site.release("3", **{"extra/inner.py": None})
    (site.code_remote.author / "extra").rmdir() if (site.code_remote.author / "extra").exists() else None
    code = site.release("4", extra="a file\n")
    (site.code / "extra" / "own").write_text("mine\n", encoding="utf-8")
    site.refused("in_the_way", "extra/own")
    (site.code / "extra" / "own").unlink()
    (site.code / "extra" / "__pycache__").mkdir()
    (site.code / "extra" / "__pycache__" / "inner.pyc").write_text("", encoding="utf-8")
    result = site.ok()
    assert site.heads()["code"] == code
    assert (site.code / "extra").is_file()
    assert site.undo(result["undo_id"])["changed"]
    assert (site.code / "extra" / "inner.py").is_file()


# -- remotes -------------------------------------------------------------------------------------------------------------


def test_another_remote_that_is_gone_does_not_matter(site: Backend) -> None:
    git(site.code, "remote", "add", "fork", str(site.directory / "gone.git"))
    code = site.release("2")
    predicted = site.ok(check=True)
    result = site.ok(approved_plan=predicted["plan_sha256"])
    assert site.heads()["code"] == code
    assert result["changed"]
    site.refused("gone.git", ref="fork/main")


def test_two_remotes_with_other_ideas_of_a_tag(site: Backend) -> None:
    git(site.directory, "clone", "--quiet", "--bare", str(site.code_remote.bare), str(site.directory / "fork.git"))
    git(site.directory / "fork.git", "tag", "v1", "main")
    git(site.code, "remote", "add", "fork", str(site.directory / "fork.git"))
    code = site.release("2")
    git(site.code_remote.author, "tag", "v1")
    git(site.code_remote.author, "push", "--quiet", "origin", "v1")
    assert site.ok()["changed"]
    assert site.heads()["code"] == code


def test_a_tag_that_was_moved(site: Backend) -> None:
    git(site.code_remote.author, "tag", "v1")
    git(site.code_remote.author, "push", "--quiet", "origin", "v1")
    git(site.code, "fetch", "--quiet", "--tags")
    git(site.code, "config", "remote.origin.tagOpt", "--tags")
    code = site.release("2")
    git(site.code_remote.author, "tag", "--force", "v1", "-a", "-m", "annotated")
    git(site.code_remote.author, "push", "--quiet", "--force", "origin", "v1")
    assert site.ok(ref="v1")["changed"]
    assert site.heads()["code"] == code
    assert site.ok(ref="v1")["changed"] is False


def test_a_command_for_ssh_is_used(site: Backend) -> None:
    script = site.directory / "myssh"
    script.write_text(f"#!/bin/sh\ntouch {site.directory}/asked\nexit 1\n", encoding="utf-8")
    script.chmod(0o755)
    git(site.code, "config", "core.sshCommand", str(script))
    git(site.code, "remote", "set-url", "origin", "ssh://git@host.invalid/code.git")
    site.refused("git fetch")
    assert (site.directory / "asked").exists()


@pytest.mark.parametrize("scheme", ["git", "http"])
def test_a_remote_that_never_answers_leaves_no_process(site: Backend, scheme: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/code.git"
        git(site.code, "remote", "set-url", "origin", url)
        site.refused("within 1", timeout=1)
        time.sleep(0.2)
        left = [
            line
            for line in subprocess.run(["ps", "-eo", "pid,args"], check=True, capture_output=True, text=True).stdout.splitlines()
            if url in line or str(site.code) in line
        ]
    assert [line for line in left if "git" in line.split()[1]] == []


@pytest.mark.parametrize("secret", [f"user:{TOKEN}@more-SESAME", f"{TOKEN}", f"user:a@{TOKEN}"])
def test_no_form_of_a_secret_in_an_address(site: Backend, secret: str) -> None:
    git(site.code, "remote", "set-url", "origin", f"https://{secret}@127.0.0.1:9/code.git")
    result = site.refused("git fetch")
    assert "SESAME" not in json.dumps(result)


def test_a_subject_that_is_not_utf_8(site: Backend) -> None:
    (site.code_remote.author / "x").write_text("x", encoding="utf-8")
    git(site.code_remote.author, "add", "x")
    message = site.directory / "message"
    message.write_bytes(b"caf\xe9 \x1b[31m red\n")
    git(site.code_remote.author, "commit", "--quiet", "-F", str(message))
    git(site.code_remote.author, "push", "--quiet", "origin", "main")
    predicted = site.ok(check=True)
    result = site.ok(approved_plan=predicted["plan_sha256"])
    assert "\x1b" not in str(result["changes"])
    json.dumps(result).encode()


def test_history_that_was_rewritten(site: Backend) -> None:
    site.release("2")
    assert site.ok()["changed"]
    old = site.heads()["code"]
    git(site.code_remote.author, "reset", "--quiet", "--hard", "HEAD~1")
    git(site.code_remote.author, "commit", "--quiet", "--allow-empty", "-m", "instead")
    git(site.code_remote.author, "push", "--quiet", "--force", "origin", "main")
    refused = site.refused("no remote has")
    result = site.ok(accept_data_loss=[refused["changes"][0]["data_loss"]])
    assert site.undo(result["undo_id"])["changed"]
    assert site.heads()["code"] == old


# -- the owner's configuration -------------------------------------------------------------------------------------------


def test_configuration_of_the_owner(site: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    hooked = tmp_path / "hooked"
    (home / ".gitconfig").write_text(
        f"[core]\n\thooksPath = {home}/hooks\n\tpager = touch {hooked}\n\tfsmonitor = touch {hooked}\n[alias]\n\treset = !touch {hooked}\n"
        "[color]\n\tui = always\n[log]\n\tshowSignature = true\n\tdecorate = full\n\tfollow = true\n[fetch]\n\tprune = true\n\tpruneTags = true\n\tall = true\n"
        "[submodule]\n\trecurse = true\n[diff]\n\tnoprefix = true\n\trelative = true\n\torderFile = /nonexistent\n\trenames = copies\n"
        "[format]\n\tpretty = fuller\n"
        "[status]\n\tshort = true\n[core]\n\tautocrlf = input\n\tabbrev = 40\n",
        encoding="utf-8",
    )
    account = connect_git.owner_of(str(site.code))
    monkeypatch.setattr(connect_git, "owner_of", lambda _path: command.Account(account.name, account.uid, account.gid, str(home)))
    code = site.release("2")
    predicted = site.ok(check=True)
    result = site.ok(approved_plan=predicted["plan_sha256"])
    assert site.heads()["code"] == code
    assert not hooked.exists()
    assert site.undo(result["undo_id"])["changed"]


# -- the node ------------------------------------------------------------------------------------------------------------


def test_an_interpreter_that_is_not_there_is_told_before_anything_moves(site: Backend) -> None:
    site.release("2", database=3)
    site.refused("/nonexistent/python", python="/nonexistent/python")


def test_no_room_for_a_look(site: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    site.release("2")

    def full(_user: Any) -> str:
        raise command.CommandError("root can make a directory in none of /tmp")

    with monkeypatch.context() as patched:
        patched.setattr(command, "_make_directory", full)
        site.refused("can make a directory in none of")


def test_no_room_for_the_copy_of_the_index(site: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    site.release("2")

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(connect_git.shutil, "copyfile", full)
        site.refused("No space left on device")


def test_an_undo_after_another_deploy(site: Backend) -> None:
    site.release("2")
    first = site.ok()
    site.release("3")
    second = site.ok()
    heads = site.heads()
    refused = site.undo(first["undo_id"])
    assert refused["failed"]
    assert site.heads() == heads
    assert site.undo(second["undo_id"])["changed"]
    assert site.undo(first["undo_id"])["changed"]
    site.wait_serving("1 a")


def test_names_that_only_git_itself_has(site: Backend) -> None:
    site.release("2")
    for ref in ("FETCH_HEAD", "HEAD", "ORIG_HEAD"):
        site.refused("has no " + ref, ref=ref)


def test_a_tag_and_a_branch_of_one_name(site: Backend) -> None:
    code = site.release("2")
    git(site.code_remote.author, "tag", "-a", "-m", "x", "both", "HEAD~1")
    git(site.code_remote.author, "branch", "both")
    git(site.code_remote.author, "push", "--quiet", "origin", "refs/tags/both", "refs/heads/both")
    git(site.code_remote.author, "tag", "origin/main", "HEAD~1")
    git(site.code_remote.author, "push", "--quiet", "origin", "refs/tags/origin/main")
    assert site.ok()["changed"]
    assert site.heads()["code"] == code
    assert site.ok(ref="origin/both", check=True)["checkouts"][1]["target"] == code
    assert site.ok(ref="both", check=True)["checkouts"][1]["target"] == git(site.code_remote.author, "rev-parse", "HEAD~1")


def test_a_migration_that_fails_half_way(site: Backend) -> None:
    site.release("2", database=3)
    migrate = "import sqlite3\nfrom jobrunner import config\nc = sqlite3.connect(config.WORKDIR + '/db.sqlite', isolation_level=None)\n"
    migrate += "c.execute('ALTER TABLE job ADD COLUMN requires_db BOOLEAN')\nraise SystemExit('half way')\n"
    site.release("2", database=3, **{"jobrunner/cli/migrate.py": migrate})
    pid = site.pid()
    result = site.fails()
    assert "half way" in result["msg"]
    assert (site.user_version(), site.pid()) == (2, pid)
    assert site.undo(result["undo_id"])["changed"]
    site.fails()["msg"].index("differs in requires_db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_objects_of_root_in_the_repository_of_another(open_site: Backend) -> None:
    site = open_site
    site.release("2")
    site.dependencies("b")
    for path in (site.directory, *site.directory.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    for path in [site.code / ".git" / "objects", *(site.code / ".git" / "objects").iterdir()]:
        os.chown(path, 0, 0)
    heads = site.heads()
    result = site.fails()
    assert "nobody cannot write" in result["msg"]
    assert "chown -R nobody" in result["msg"]
    assert site.heads() == heads, "neither part was moved"


def test_a_shallow_clone_and_a_further_worktree(site: Backend) -> None:
    other = site.directory / "shallow"
    git(site.directory, "clone", "--quiet", "--depth=1", "file://" + str(site.code_remote.bare), str(other))
    site.release("2")
    code = site.release("3")
    assert site.ok(check=True, code_dir=str(other))["checkouts"][1]["target"] == code
    tree = site.directory / "tree"
    git(site.code, "worktree", "add", "--quiet", "--detach", str(tree))
    result = site.ok(code_dir=str(tree), restart="never")
    assert git(tree, "rev-parse", "HEAD") == code
    assert site.undo(result["undo_id"])["changed"]


def test_a_file_name_that_is_not_utf_8(site: Backend) -> None:
    name = os.fsdecode(b"jobrunner/caf\xe9 \x1b[31m\n")
    site.release("2", **{name: "x\n"})
    (site.code / name).write_text("mine", encoding="utf-8")
    site.refused("in_the_way")
    (site.code / name).unlink()
    assert site.ok()["changed"]
    (site.code / name).write_text("mine", encoding="utf-8")
    site.release("3", **{name: "y\n"})
    site.refused("dirty")
