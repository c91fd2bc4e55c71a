# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploys of job-runner: real repositories that are behind, dirty, detached, diverged; a database to be migrated; a process that must stay up."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deploying import TOKEN, UNIT, Backend, git

pytestmark = pytest.mark.step("O6")


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


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("jobrunner.deploy.") for finding in result["findings"]]


def actions(result: dict[str, Any]) -> list[str]:
    return [change["action"] for change in result["changes"]]


def looks_dirty(path: Path) -> bool:
    """To upstream's script."""
    return subprocess.run(["git", "-C", str(path), "diff-files", "--quiet"], check=False).returncode != 0


# -- the whole way -------------------------------------------------------------------------------------------------------


def test_predicted_deployed_repeated_undone(site: Backend) -> None:
    heads, untouched = site.heads(), site.untouched()
    lib, code = site.dependencies("b"), site.release("2")
    predicted = site.ok(check=True)
    assert site.untouched() == untouched
    assert actions(predicted) == ["update", "update", "restart"]
    assert [checkout["commits"][0].partition(" ")[2] for checkout in predicted["checkouts"]] == ["dependencies b", "version 2"]
    assert codes(predicted) == ["behind", "behind"]

    result = site.ok(approved_plan=predicted["plan_sha256"])
    assert [{**change, "done": False, "note": None} for change in result["changes"]] == [{**change, "note": None} for change in predicted["changes"]]
    assert all(change["done"] for change in result["changes"])
    assert site.heads() == {"lib": lib, "code": code}
    site.wait_serving("2 b")
    assert codes(result) == ["ok"]
    assert result["service"]["running"] == {"lib": lib, "code": code}
    assert git(site.code, "branch", "--show-current") == "main"
    assert git(site.code, "status", "--porcelain") == ""

    pid = site.pid()
    again = site.ok()
    assert (again["changed"], again["changes"], again["undo_id"], site.pid()) == (False, [], None, pid)

    assert site.undo(result["undo_id"], check=True)["changed"]
    assert site.heads() == {"lib": lib, "code": code}
    assert site.undo(result["undo_id"])["changed"]
    assert site.heads() == heads
    site.wait_serving("1 a")
    assert site.undo(result["undo_id"])["changed"] is False


def test_a_migration_is_told_done_and_never_taken_back(site: Backend) -> None:
    heads = site.heads()
    site.release("2", database=3)
    predicted = site.ok(check=True)
    assert site.user_version() == 2
    assert predicted["migration"] == {"database": str(site.workdir / "db.sqlite"), "present": 2, "wanted": 3, "pending": True}
    result = site.ok(approved_plan=predicted["plan_sha256"])
    assert actions(result) == ["update", "migrate", "restart"]
    assert [change["reversible"] for change in result["changes"]] == [True, False, True]
    site.wait_serving("2 a")
    assert site.user_version() == 3

    copy = Path(result["changes"][1]["note"].rpartition(" ")[2])
    assert copy.stat().st_mode & 0o077 == 0
    connection = sqlite3.connect(copy)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    assert connection.execute("SELECT * FROM flags").fetchall() == [("paused", "true", 1.5)]
    connection.close()

    undone = site.undo(result["undo_id"])
    assert "irreversible" in undone["msg"]
    undone = site.undo(result["undo_id"], changes=[0, 2])
    assert "starts only with 2" in undone["msg"]
    assert site.heads() != heads
    site.refused("the database is at user_version 3", ref=heads["code"])


def test_only_what_is_behind_is_moved(site: Backend) -> None:
    """Upstream's script pulls the code twice and the dependencies never."""
    lib = site.dependencies("b")
    result = site.ok()
    assert [change["subject"].partition(" ")[0] for change in result["changes"]] == ["lib", f"service:{UNIT}.service"]
    assert site.heads()["lib"] == lib
    site.wait_serving("1 b")


# -- checkouts -----------------------------------------------------------------------------------------------------------


def test_a_file_that_only_looks_changed_does_not_matter(site: Backend) -> None:
    code = site.release("2")
    for path in site.code.rglob("*.py"):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    assert looks_dirty(site.code), "upstream's script would not call it dirty"
    predicted = site.ok(check=True)
    assert "stale_index" in codes(predicted)
    assert looks_dirty(site.code), "the index was refreshed by a look"
    assert site.ok()["changed"]
    assert site.heads()["code"] == code


@pytest.mark.parametrize("staged", [False, True])
def test_local_changes_are_refused(site: Backend, staged: bool) -> None:
    site.release("2")
    (site.code / "jobrunner" / "config.py").write_text("hand = 'made'\n", encoding="utf-8")
    (site.code / "jobrunner" / "new.py").write_text("", encoding="utf-8")
    if staged:
        git(site.code, "add", "--all")
    result = site.refused("dirty", "jobrunner/config.py", "checkout -- FILE")
    assert ("jobrunner/new.py" in result["msg"]) == staged
    assert "dirty" in codes(result)


def test_a_file_that_git_does_not_know_is_not_overwritten(site: Backend) -> None:
    site.release("2", **{"jobrunner/extra.py": "theirs\n"})
    (site.code / "jobrunner" / "extra.py").write_text("mine\n", encoding="utf-8")
    site.refused("in_the_way", "jobrunner/extra.py")
    (site.code / "jobrunner" / "extra.py").write_text("theirs\n", encoding="utf-8")
    assert site.ok()["changed"]


def test_what_a_killed_deploy_has_left_is_finished(site: Backend) -> None:
    """git writes files first and moves HEAD last."""
    code = site.release("2", **{"jobrunner/extra.py": "new\n"})
    git(site.code, "fetch", "--quiet")
    git(site.code, "checkout", code, "--", "jobrunner/service.py")
    (site.code / "jobrunner" / "extra.py").write_text("new\n", encoding="utf-8")
    assert "jobrunner/service.py" in git(site.code, "status", "--porcelain")
    assert site.ok()["changed"]
    assert site.heads()["code"] == code
    assert git(site.code, "status", "--porcelain") == ""


def test_a_detached_head_stays_detached(site: Backend) -> None:
    git(site.code, "checkout", "--quiet", "--detach")
    code = site.release("2")
    result = site.ok()
    assert result["checkouts"][1]["branch"] is None
    assert site.heads()["code"] == code
    assert git(site.code, "branch", "--show-current") == ""


def test_commits_of_ones_own_are_left_only_when_that_is_accepted(site: Backend) -> None:
    site.release("2")
    (site.code / "own.py").write_text("", encoding="utf-8")
    git(site.code, "add", "own.py")
    git(site.code, "commit", "--quiet", "-m", "a quick fix")
    own = site.heads()["code"]
    assert site.ok(ref=own, restart="always", accept_data_loss=[])["changed"]
    refused = site.refused("a quick fix", "no remote has")
    assert "own_commits" in codes(refused)
    loss = refused["changes"][0]["data_loss"]
    result = site.ok(accept_data_loss=[loss])
    assert "it has 1 that origin/main has not" in result["changes"][0]["reason"]
    assert not (site.code / "own.py").exists()
    assert site.undo(result["undo_id"])["changed"]
    assert site.heads()["code"] == own


def test_back_to_an_earlier_tag(site: Backend) -> None:
    first = site.heads()["code"]
    git(site.code_remote.author, "tag", "v1")
    git(site.code_remote.author, "push", "--quiet", "origin", "v1")
    site.release("2")
    assert site.ok()["changed"]
    result = site.ok(ref="v1")
    assert result["checkouts"][1]["head"] == first
    assert "it has 1 that v1 has not" in result["changes"][0]["reason"]
    site.wait_serving("1 a")


def test_refs_that_are_not_there(site: Backend) -> None:
    git(site.code, "branch", "mine")
    git(site.code_remote.author, "tag", "v1")
    git(site.code_remote.author, "push", "--quiet", "origin", "v1")
    site.refused("has no origin/none", "branches origin/main", "newest tags v1", ref="origin/none")
    site.refused("only the checkout itself has a branch of that name", ref="mine")
    site.refused("perhaps origin/main is meant", ref="main")
    for ref in ("--upload-pack=x", "a..b", "HEAD@{1}", "a b", "", "$(id)"):
        site.refused("is not the name of a branch", ref=ref)
    site.refused("has no 0123456789", ref="0123456789" * 4)


def test_another_git_is_waited_for_and_then_told(site: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    site.release("2")
    monkeypatch.setattr("ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.checkout._LOCK_WAIT", 0.3)
    lock = site.code / ".git" / "index.lock"
    lock.touch()
    site.refused("locked", "index.lock")
    lock.unlink()
    assert site.ok()["changed"]


def test_a_remote_that_is_away_and_one_with_a_token(site: Backend) -> None:
    git(site.code, "remote", "set-url", "origin", f"https://user:{TOKEN}@127.0.0.1:9/code.git")
    result = site.refused("git fetch", "********@127.0.0.1:9")
    assert "SESAME" not in json.dumps(result)


def test_hooks_are_not_run(site: Backend) -> None:
    for name in ("post-checkout", "reference-transaction", "post-rewrite", "post-merge"):
        hook = site.code / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {site.directory}/hooked\n", encoding="utf-8")
        hook.chmod(0o755)
    git(site.code, "config", "core.fsmonitor", f"touch {site.directory}/hooked; false")
    site.release("2")
    assert site.ok()["changed"]
    assert not (site.directory / "hooked").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a checkout to somebody else")
def test_git_is_run_as_the_owner(open_site: Backend) -> None:
    """A checkout of another user is dubious to git, and files of root in it would lock that user out."""
    site = open_site
    code = site.release("2", database=3)
    for path in (site.directory, *site.directory.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    result = site.ok()
    assert result["checkouts"][1]["owner"] == "nobody"
    assert site.heads()["code"] == code
    assert site.user_version() == 3
    strangers = [path for path in site.directory.rglob("*") if path.lstat().st_uid != 65534]
    assert strangers == [site.workdir / "serving"] or strangers == [], "only the service of this test is root's"


# -- layouts -------------------------------------------------------------------------------------------------------------


def test_later_layouts_are_refused_by_name(site: Backend) -> None:
    site.release("2", database=4)
    site.refused("user_version 4", "knows it up to 3")
    site.code_remote.commit({"jobrunner/models.py": None, "agent/main.py": ""}, "the split")
    site.refused("Later layouts")


def test_variables_that_the_new_code_reads(site: Backend) -> None:
    site.release("2", **{"jobrunner/config.py": 'import os\nWORKDIR = os.environ["WORKDIR"]\nNEW = os.environ.get("BRAND_NEW", "x")\n'})
    result = site.ok(check=True)
    (finding,) = [each for each in result["findings"] if each["code"] == "jobrunner.deploy.new_variables"]
    assert finding["detail"] == {"names": ["BRAND_NEW"]}


# -- service -------------------------------------------------------------------------------------------------------------


def test_code_that_cannot_be_loaded_leaves_the_service_alone(site: Backend) -> None:
    pid = site.pid()
    site.release("2", **{"jobrunner/service.py": "import not_there\n"})
    result = site.fails()
    assert "the service was not restarted" in result["msg"]
    assert "not_there" in result["msg"]
    assert (site.pid(), site.serving()) == (pid, "1 a")
    assert result["undo_id"]
    undone = site.undo(result["undo_id"])
    assert undone["changed"]
    assert git(site.code, "log", "-1", "--format=%s") == "version 1"


def test_a_service_that_does_not_stay_up_is_a_failure(site: Backend) -> None:
    """Active for a moment, every half second."""
    site.release("2", **{"jobrunner/service.py": "import time\nif __name__ == '__main__':\n    time.sleep(0.4)\n    raise SystemExit('out')\n"})
    result = site.fails(settle=3)
    assert "does not stay up" in result["msg"]
    undone = site.undo(result["undo_id"])
    assert undone["changed"]
    site.wait_serving("1 a")


def test_a_migration_that_fails_names_its_copy(site: Backend) -> None:
    site.release("2", database=3, **{"jobrunner/cli/migrate.py": f"raise SystemExit('no: {TOKEN}')\n"})
    result = site.fails()
    assert "the migration failed (a copy of the database from before is" in result["msg"]
    assert TOKEN not in json.dumps(result)
    assert site.user_version() == 2
    assert site.serving() == "1 a"


def test_a_stopped_service_stays_stopped(site: Backend) -> None:
    site.units.stop(UNIT)
    site.release("2")
    result = site.ok()
    assert actions(result) == ["update"]
    assert "down" in codes(result)
    assert site.units.state(UNIT)["ActiveState"] == "inactive"
    result = site.ok(restart="always")
    assert actions(result) == ["start"]
    site.wait_serving("2 a")
    assert site.undo(result["undo_id"])["changed"]
    assert site.units.state(UNIT)["ActiveState"] == "inactive"


def test_a_process_that_is_older_than_the_checkout_is_restarted(site: Backend) -> None:
    """Somebody pulled and did not restart."""
    site.release("2")
    time.sleep(1.1)
    git(site.code, "pull", "--quiet")
    assert "older" in codes(site.ok(check=True))
    assert site.ok(restart="never")["changed"] is False
    result = site.ok()
    assert actions(result) == ["restart"]
    site.wait_serving("2 a")
    assert site.ok()["changed"] is False


def test_a_restart_that_is_asked_for(site: Backend) -> None:
    pid = site.pid()
    result = site.ok(restart="always")
    assert (actions(result), site.pid() != pid) == (["restart"], True)
    assert result["changes"][0]["reversible"] is False


def test_a_unit_that_is_not_there(site: Backend) -> None:
    site.release("2")
    result = site.ok(service="no-such-unit", check=True)
    assert "no_unit" in codes(result)
    assert actions(result) == ["update"]


def test_no_secret_anywhere(site: Backend) -> None:
    site.release("2", database=3)
    result = site.ok()
    journal = "".join(path.read_text(encoding="ascii") for path in Path(site.journal).rglob("*.jsonl"))
    assert "SESAME" not in json.dumps(result) + journal
