# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that the user of FITS Storage cannot read: real users, modes, lists, links. Found, predicted, mended, seen by another process, undone."""

from __future__ import annotations

import dataclasses
import importlib
import os
import pwd
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits import permissions
from support import run_module, run_ok, run_refused

USER = "nobody"
"""Whom the tests let read; the files belong to another one."""
OWNER = 4242
GROUP = 4343
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")


class Tree:
    """A storage root with a folder of another user's files."""

    def __init__(self, root: Path, journal: str) -> None:
        self.root = root
        self.journal = journal
        self.user = USER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.folder("graces", 0o755)

    def folder(self, path: str, mode: int) -> Path:
        target = self.root / path
        target.mkdir(parents=True, exist_ok=True)
        return self._own(target, mode, OWNER)

    def file(self, name: str, mode: int, group: int = OWNER, path: str = "graces", owner: int = OWNER) -> Path:
        target = self.root / path / name
        target.write_bytes(b"data")
        return self._own(target, mode, owner, group)

    @staticmethod
    def _own(target: Path, mode: int, owner: int, group: int = OWNER) -> Path:
        if os.geteuid() == 0:
            os.chown(target, owner, group)
        target.chmod(mode)
        return target

    def arguments(self, **options: Any) -> dict[str, Any]:
        return {"path": ["graces"], "storage_root": str(self.root), "user": self.user, "journal_dir": self.journal} | options

    def ok(self, **options: Any) -> dict[str, Any]:
        return run_ok("fits_permissions", self.arguments(**options))

    def check(self, **options: Any) -> dict[str, Any]:
        return run_ok("fits_permissions", self.arguments(**options), check=True, diff=True)

    def undo(self, undo_id: str, check: bool = False) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": undo_id, "journal_dir": self.journal}, check=check)

    def modes(self) -> dict[str, int]:
        return {str(path.relative_to(self.root)): stat.S_IMODE(path.lstat().st_mode) for path in sorted(self.root.rglob("*"))}

    def reads(self, path: str) -> bool:
        """Asked of another process, which is the user."""
        # Programs of the system: the user need not be able to enter this checkout.
        command = ["/bin/sh", "-c", 'if [ -d "$1" ]; then ls "$1"; else cat "$1"; fi', "sh", str(self.root / path)]
        group = pwd.getpwnam(self.user).pw_gid
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(command, user=self.user, group=group, extra_groups=[], check=False, **quiet).returncode == 0


@pytest.fixture
def tree(journal_dir: str) -> Iterator[Tree]:
    """Where any user may go, unlike pytest's own directories."""
    base = Path(tempfile.mkdtemp(prefix="fieldops-test-", dir="/tmp"))
    base.chmod(0o755)
    made = Tree(base / "dataflow", journal_dir)
    (base / "dataflow").chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(base)


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("fits.permissions.") for finding in result["findings"]]


def planned(result: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {change["subject"]: (change["before"]["mode"], change["after"]["mode"]) for change in result["changes"]}


# -- the whole way -------------------------------------------------------------------------------------------------------


@needs_root
def test_found_predicted_mended_repeated_undone(tree: Tree) -> None:
    own_group = pwd.getpwnam(USER).pw_gid
    tree.folder("graces", 0o700)
    tree.file("N1.fits", 0o600)
    tree.file("N2.fits", 0o600, group=own_group)
    tree.file("N3.fits", 0o644)
    tree.file("N4.fits", 0o200, owner=pwd.getpwnam(USER).pw_uid)
    before = tree.modes()
    assert not any(tree.reads(name) for name in ("graces", "graces/N1.fits", "graces/N3.fits"))

    predicted = tree.check()
    assert tree.modes() == before
    assert predicted["changed"]
    assert codes(predicted) == ["unreadable"]
    result = tree.ok(approved_plan=predicted["plan_sha256"])
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    assert planned(result) == {
        "graces": ("0700", "0705"),
        "graces/N1.fits": ("0600", "0604"),
        "graces/N2.fits": ("0600", "0640"),
        "graces/N4.fits": ("0200", "0600"),
    }
    assert codes(result) == ["ok"]
    assert all(tree.reads(name) for name in ("graces", "graces/N1.fits", "graces/N2.fits", "graces/N3.fits", "graces/N4.fits"))

    again = tree.ok()
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)

    assert tree.undo(result["undo_id"], check=True)["changed"]
    assert tree.modes() != before
    assert tree.undo(result["undo_id"])["changed"]
    assert tree.modes() == before
    assert tree.undo(result["undo_id"])["changed"] is False


def as_user(body: Callable[[], None], uid: int, gid: int) -> None:
    """Run in a fork that is somebody else; whatever it raises is printed, and fails the test.

    What it will need is loaded before: that user need not be able to enter this checkout.
    """
    for name in ("modules.fits_permissions", "modules.runbook_undo", "module_utils.procedure.run"):
        importlib.import_module(f"ansible_collections.fieldops.runbooks.plugins.{name}")
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            body()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@needs_root
def test_as_the_user_itself(tree: Tree) -> None:
    """Without root's rights one's own files can be mended, those of others are told, and a shut folder shows nothing yet."""
    user = pwd.getpwnam(USER)
    tree.file("N1.fits", 0o000, owner=user.pw_uid)
    tree.file("N2.fits", 0o600)
    tree.folder("zorro", 0o700)
    folder = tree.folder("own", 0o300)
    os.chown(folder, user.pw_uid, user.pw_gid)
    tree.file("N3.fits", 0o000, path="own", owner=user.pw_uid)
    journal = Path(tempfile.mkdtemp(dir=tree.root.parent))
    os.chown(journal, user.pw_uid, user.pw_gid)

    def body() -> None:
        tree.journal = str(journal / "journal")
        result = tree.ok()
        assert planned(result) == {"graces/N1.fits": ("0000", "0400")}
        assert [(row["path"], row["mend"]) for row in result["left"]] == [("graces/N2.fits", "run this as root")]
        assert planned(tree.ok(path=["own"])) == {"own": ("0300", "0700")}
        assert planned(tree.ok(path=["own"], files=["N3.fits"])) == {"own/N3.fits": ("0000", "0400")}
        assert codes(tree.ok(path=["zorro"], files=["N9.fits"])) == ["unmendable"]
        assert "run this as root" in run_refused("fits_permissions", tree.arguments(path=["zorro/20201023"]))["msg"]

    as_user(body, user.pw_uid, user.pw_gid)
    assert tree.modes()["graces/N2.fits"] == 0o600


@needs_root
def test_only_root_takes_back_what_root_did(tree: Tree) -> None:
    user = pwd.getpwnam(USER)
    tree.file("N1.fits", 0o600)
    result = tree.ok()
    shutil.copytree(tree.journal, tree.root.parent / "copy")
    for path in (tree.root.parent / "copy", *(tree.root.parent / "copy").rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)

    def body() -> None:
        tree.journal = str(tree.root.parent / "copy")
        refused = tree.undo(result["undo_id"])
        assert refused["refusals"][0]["guard"] == "rights"

    as_user(body, user.pw_uid, user.pw_gid)
    assert tree.modes()["graces/N1.fits"] == 0o604


def test_a_file_system_that_is_read_only(tree: Tree) -> None:
    fix = permissions.Permissions({**tree.arguments(), "files": [], "max_entries": 10})
    state = fix.observe()
    assert (state.read_only, fix.guards(state, [])) == ((), [])
    (refusal,) = fix.guards(dataclasses.replace(state, read_only=("graces",)), [mock.sentinel.change])
    assert refusal.guard == "read_only"
    assert str(tree.root / "graces") in refusal.reason


@needs_root
def test_directories_on_the_way_are_entered_only(tree: Tree) -> None:
    tree.folder("zorro", 0o700)
    tree.folder("zorro/20201023", 0o700)
    tree.file("N1.fits.bz2", 0o640, path="zorro/20201023")
    tree.file("other.fits", 0o600, path="zorro")
    tree.folder("zorro/20201024", 0o700)
    assert planned(tree.ok(path=["zorro/20201023"])) == {
        "zorro": ("0700", "0701"),
        "zorro/20201023": ("0700", "0705"),
        "zorro/20201023/N1.fits.bz2": ("0640", "0644"),
    }
    assert tree.reads("zorro/20201023/N1.fits.bz2")
    assert not tree.reads("zorro")


@needs_root
def test_named_files_only(tree: Tree) -> None:
    for name in ("N1.fits", "N2.fits", "*"):
        tree.file(name, 0o600)
    result = tree.ok(files=["*", "N9.fits"])
    assert list(planned(result)) == ["graces/*"]
    assert "missing" in codes(result)
    assert "N9.fits" in next(finding for finding in result["findings"] if finding["code"].endswith("missing"))["summary"]
    assert tree.modes()["graces/N1.fits"] == 0o600


@needs_root
@pytest.mark.parametrize("path", ["", "."])
def test_the_root_itself_is_only_looked_into(tree: Tree, path: str) -> None:
    """Files that are copied from the DHS lie there."""
    tree.file("N20200804S0091.fits", 0o600, path="")
    result = tree.ok(path=[path, "graces"], files=["N20200804S0091.fits"])
    assert planned(result) == {"N20200804S0091.fits": ("0600", "0604")}
    assert codes(result) == ["ok"]
    assert tree.undo(result["undo_id"])["changed"]
    assert tree.modes()["N20200804S0091.fits"] == 0o600


@needs_root
def test_the_remedy_names_what_the_playbook_needs(tree: Tree) -> None:
    tree.folder("graces", 0o700)
    tree.file("N1.fits", 0o644)
    tree.file("N2.fits", 0o600)
    remedy = tree.check()["findings"][0]["remedy"]
    assert remedy["playbook"] == "fieldops.runbooks.fits_ingest"
    assert remedy["vars"] == {"fits_permissions": True, "fits_filename": ["N1.fits", "N2.fits"], "fits_path": ["graces"]}
    for n in range(30):
        tree.file(f"N2020{n}.fits", 0o600)
    assert tree.check()["findings"][0]["remedy"]["playbook"] is None


@needs_root
def test_special_bits_and_rights_to_write_stay(tree: Tree) -> None:
    tree.folder("graces", 0o3770)
    tree.file("N1.fits", 0o6660)
    assert planned(tree.ok()) == {"graces": ("3770", "3775"), "graces/N1.fits": ("6660", "6664")}


@needs_root
def test_hard_links_are_named_and_changed_once(tree: Tree) -> None:
    first = tree.file("N1.fits", 0o600)
    os.link(first, tree.root / "graces" / "N2.fits")
    os.link(first, tree.root / "elsewhere.fits")
    result = tree.ok()
    assert len(result["changes"]) == 1
    assert "3 hard links" in result["changes"][0]["reason"]
    assert tree.reads("elsewhere.fits")


# -- what is left alone --------------------------------------------------------------------------------------------------


@needs_root
def test_links_and_special_files(tree: Tree) -> None:
    secret = tree.file("secret", 0o600, path="")
    (tree.root / "graces" / "link.fits").symlink_to(secret)
    os.mkfifo(tree.root / "graces" / "pipe.fits")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tree.root / "graces" / "sock"))
        result = tree.ok()
    assert not result["changed"]
    assert {row["path"] for row in result["left"]} == {"graces/link.fits", "graces/pipe.fits", "graces/sock"}
    assert codes(result) == ["special", "link", "ok"]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def _acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, bits, number & 0xFFFFFFFF) for tag, bits, number in entries)


@needs_root
def test_access_control_lists_decide(tree: Tree) -> None:
    """An entry for the user shuts it out although others may read; one for somebody else leaves the class of others."""
    uid = pwd.getpwnam(USER).pw_uid
    shut, open_ = tree.file("N1.fits", 0o644), tree.file("N2.fits", 0o640)
    try:
        os.setxattr(shut, "system.posix_acl_access", _acl((1, 6, -1), (2, 0, uid), (4, 4, -1), (16, 4, -1), (32, 4, -1)))
        os.setxattr(open_, "system.posix_acl_access", _acl((1, 6, -1), (2, 4, OWNER + 1), (4, 4, -1), (16, 4, -1), (32, 0, -1)))
    except OSError:
        pytest.skip("this file system has no access control lists")
    assert not tree.reads("graces/N1.fits")
    result = tree.ok()
    assert planned(result) == {"graces/N2.fits": ("0640", "0644")}
    assert [row["path"] for row in result["left"]] == ["graces/N1.fits"]
    assert result["left"][0]["mend"].startswith(f"setfacl -m u:{USER}:r-- ")
    assert os.getxattr(open_, "system.posix_acl_access")[4:].count(struct.pack("<HHI", 16, 4, 0xFFFFFFFF)) == 1
    assert tree.reads("graces/N2.fits")
    assert not tree.reads("graces/N1.fits")


@needs_root
def test_what_lies_above_the_root_is_not_touched(tree: Tree) -> None:
    tree.file("N1.fits", 0o600)
    tree.root.chmod(0o700)
    result = tree.ok()
    assert codes(result) == ["outside"]
    assert result["findings"][0]["subject"] == str(tree.root)
    assert planned(result) == {"graces/N1.fits": ("0600", "0604")}
    assert stat.S_IMODE(tree.root.stat().st_mode) == 0o700


# -- races ---------------------------------------------------------------------------------------------------------------


def meddle(tree: Tree, what: str, target: Path, victim: Path) -> None:
    if what == "chmod":
        target.chmod(0o640)
    elif what == "chown":
        os.chown(target, OWNER + 1, OWNER)
    elif what == "parent":
        (tree.root / "graces").rename(tree.root / "moved")
        (tree.root / "graces").symlink_to(tree.root / "moved")
    else:
        target.unlink()
    if what == "replaced":
        tree.file("N1.fits", 0o600)
    elif what == "link":
        target.symlink_to(victim)


@needs_root
@pytest.mark.parametrize("what", ["chmod", "chown", "replaced", "link", "gone", "parent"])
def test_what_changes_meanwhile_is_left_alone(tree: Tree, what: str) -> None:
    target, victim = tree.file("N1.fits", 0o600), tree.file("victim", 0o600, path="")
    tree.file("N2.fits", 0o600)
    original = permissions.change_mode
    calls: list[str] = []

    def changing(root: str, change: Any) -> Any:
        if not calls:
            meddle(tree, what, target, victim)
        calls.append(change.subject)
        return original(root, change)

    with mock.patch.object(permissions, "change_mode", changing):
        result = run_module("fits_permissions", tree.arguments())
    assert calls[0] == "graces/N1.fits"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
    first, second = result["changes"]
    if what == "replaced" and target.stat().st_ino == first["before"]["inode"]:
        assert first["done"]  # the file system gave the new file the very same inode: nothing tells the two apart
    else:
        assert first["done"] is False
        assert "left alone" in first["note"]
    assert second["done"] is (what != "parent")


@needs_root
def test_a_list_that_comes_meanwhile(tree: Tree) -> None:
    """The group bits of the mode are the mask of the list by now."""
    target = tree.file("N1.fits", 0o600, group=pwd.getpwnam(USER).pw_gid)
    fix = permissions.Permissions({**tree.arguments(), "files": [], "max_entries": 10})
    (change,) = fix.plan(fix.observe())
    try:
        os.setxattr(target, "system.posix_acl_access", _acl((1, 6, -1), (2, 4, OWNER + 1), (4, 0, -1), (16, 0, -1), (32, 0, -1)))
    except OSError:
        pytest.skip("this file system has no access control lists")
    outcome = permissions.change_mode(str(tree.root), change)
    assert not outcome.done
    assert "access control list" in outcome.note


@needs_root
@pytest.mark.parametrize("what", ["chmod", "replaced", "gone", "link"])
def test_an_undo_leaves_alone_what_changed_since(tree: Tree, what: str) -> None:
    target = tree.file("N1.fits", 0o600)
    undo_id = tree.ok()["undo_id"]
    if what == "chmod":
        target.chmod(0o664)
    else:
        target.rename(tree.root / "kept")
        if what == "replaced":
            tree.file("N1.fits", 0o604)
        elif what == "link":
            target.symlink_to(tree.root / "kept")
    before = tree.modes()
    result = tree.undo(undo_id)
    assert result.get("failed")
    assert result["refusals"][0]["guard"] == "changed_since"
    assert tree.modes() == before


# -- guards and bad input ------------------------------------------------------------------------------------------------


@needs_root
def test_too_many_changes_are_refused(tree: Tree) -> None:
    for n in range(5):
        tree.file(f"N{n}.fits", 0o600)
    before = tree.modes()
    result = run_refused("fits_permissions", tree.arguments(max_changes=4))
    assert result["refusals"][0]["guard"] == "max_changes"
    assert tree.modes() == before
    assert "more than 3 entries" in run_refused("fits_permissions", tree.arguments(max_entries=3))["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": []}, "path names no directory"),
        ({"path": ["/etc"]}, "relative to storage_root"),
        ({"path": ["../x"]}, "relative to storage_root"),
        ({"path": ["graces/../.."]}, "relative to storage_root"),
        ({"path": ["/"]}, "relative to storage_root"),
        ({"path": ["./graces"]}, "relative to storage_root"),
        ({"path": ["graces//x"]}, "relative to storage_root"),
        ({"path": ["a\0b"]}, "relative to storage_root"),
        ({"path": ["nowhere"]}, "there is no"),
        ({"path": ["file"]}, "not a directory"),
        ({"path": ["file/x"]}, "not a directory"),
        ({"path": ["out"]}, "link"),
        ({"path": ["out/etc"]}, "link"),
        ({"files": ["a/b"]}, "not the name of a file"),
        ({"files": [".."]}, "not the name of a file"),
        ({"files": [""]}, "not the name of a file"),
        ({"files": ["sub"]}, "is a directory"),
        ({"user": "no-such-user"}, "no user no-such-user"),
        ({"storage_root": "/nowhere"}, "there is no"),
        ({"storage_root": "relative"}, "absolute"),
    ],
)
def test_bad_input(tree: Tree, options: dict[str, Any], words: str) -> None:
    (tree.root / "out").symlink_to("/")
    (tree.root / "file").touch()
    (tree.root / "graces" / "sub").mkdir()
    for check in (True, False):
        result = run_refused("fits_permissions", tree.arguments(**options), check=check)
        assert words in result["msg"]
        assert "\n" not in result["msg"].strip()


@needs_root
def test_only_root_or_the_user_may_run_it(tree: Tree) -> None:
    tree.file("N1.fits", 0o600)

    def body() -> None:
        with pytest.raises(permissions.FitsError, match="only root, or nobody"):
            permissions.Permissions({**tree.arguments(), "files": [], "max_entries": 10})

    as_user(body, OWNER, OWNER)


@needs_root
def test_a_name_that_is_not_utf8(tree: Tree) -> None:
    target = os.fsencode(tree.root / "graces") + b"/N\xff.fits"
    with open(target, "wb"):
        os.chmod(target, 0o600)
    result = tree.ok()
    assert not result["changed"]
    assert result["left"][0]["path"] == "graces/N\\udcff.fits"
    assert result["left"][0]["why"].startswith("its name is not valid UTF-8")
