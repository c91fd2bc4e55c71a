# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database that belongs to somebody else is read and written as its owner, shortly, and never made."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import sqlite
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.sqlite import Database, SqliteError

OTHER = 65534


@pytest.fixture(params=["delete", "wal"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database in either journal mode, closed by its owner."""
    made = tmp_path / "place" / "db.sqlite"
    made.parent.mkdir()
    connection = sqlite3.connect(str(made), isolation_level=None)
    connection.execute("PRAGMA journal_mode=%s" % request.param)
    connection.execute("CREATE TABLE job (id TEXT PRIMARY KEY, state TEXT)")
    connection.execute("INSERT INTO job VALUES ('a', 'running'), ('b', 'pending')")
    connection.execute("PRAGMA user_version=3")
    connection.close()
    return made


@pytest.fixture
def database(path: Path):
    opened = Database(str(path), timeout=0.3)
    yield opened
    opened.close()


@pytest.fixture
def folder():
    """One that another user can enter."""
    made = tempfile.mkdtemp()
    os.chmod(made, 0o755)  # noqa: S103
    yield Path(made)
    shutil.rmtree(made)


def states(path: Path) -> dict:
    connection = sqlite3.connect(str(path))
    try:
        return dict(connection.execute("SELECT id, state FROM job"))
    finally:
        connection.close()


def test_it_is_read(database: Database) -> None:
    assert database.user_version == 3
    assert [row["id"] for row in database.query("SELECT id FROM job WHERE state = ?", ["running"])] == ["a"]


def test_a_write_is_made_whole(database: Database, path: Path) -> None:
    with database.writing():
        database.query("UPDATE job SET state = 'pending' WHERE id = 'a'")
        database.query("UPDATE job SET state = 'failed' WHERE id = 'b'")
    assert states(path) == {"a": "pending", "b": "failed"}


def test_a_write_that_fails_leaves_nothing(database: Database, path: Path) -> None:
    with pytest.raises(SqliteError, match="no such column: absent"), database.writing():
        database.query("UPDATE job SET state = 'pending' WHERE id = 'a'")
        database.query("UPDATE job SET absent = 1")
    assert states(path) == {"a": "running", "b": "pending"}
    with database.writing():  # and it can go on
        database.query("UPDATE job SET state = 'failed'")
    assert set(states(path).values()) == {"failed"}


def test_reads_in_one_see_one_moment(tmp_path: Path) -> None:
    """In WAL mode; otherwise the writer would wait."""
    path = tmp_path / "db.sqlite"
    writer = sqlite3.connect(str(path), isolation_level=None)
    writer.execute("PRAGMA journal_mode=wal")
    writer.execute("CREATE TABLE job (id TEXT)")
    database = Database(str(path))
    with database.reading():
        assert database.query("SELECT * FROM job") == []
        writer.execute("INSERT INTO job VALUES ('new')")
        assert database.query("SELECT * FROM job") == []
    assert len(database.query("SELECT * FROM job")) == 1
    database.close()
    writer.close()


def test_another_writer_is_waited_for_and_then_named(database: Database, path: Path) -> None:
    other = sqlite3.connect(str(path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(SqliteError, match=r"another program held it for more than 0\.3 s"), database.writing():
        pytest.fail("it must not get so far")
    assert time.monotonic() - started >= 0.3
    other.execute("ROLLBACK")
    other.close()
    with database.writing():
        database.query("UPDATE job SET state = 'failed'")


def test_a_write_that_takes_too_long_is_taken_back(database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LONGEST_WRITE", 0.2)
    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) UPDATE job SET state = (SELECT max(i) FROM n)"
    started = time.monotonic()
    with pytest.raises(SqliteError, match=r"took longer than 0\.2 s and was taken back"), database.writing():
        database.query(forever)
    assert time.monotonic() - started < 10
    with pytest.raises(SqliteError, match="was taken back"), database.writing():
        database.query("UPDATE job SET state = 'failed'")
        time.sleep(0.3)
    assert states(path) == {"a": "running", "b": "pending"}


def test_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(SqliteError, match=r"cannot open the database .*nowhere: No such file"):
        Database(str(tmp_path / "nowhere")).query("SELECT 1")
    assert os.listdir(tmp_path) == []
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(SqliteError, match="is no SQLite database"):
        Database(str(tmp_path / "empty")).query("SELECT 1")
    assert (tmp_path / "empty").read_bytes() == b""
    (tmp_path / "text").write_text("no database at all, but a text that is long enough to be one" * 100)
    with pytest.raises(SqliteError, match="is no SQLite database"):
        Database(str(tmp_path / "text")).query("SELECT name FROM sqlite_master")


def test_another_look_drops_no_lock(database: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that closes any handle of a file loses all its locks on it."""
    monkeypatch.setattr(sqlite, "LONGEST_WRITE", 60.0)
    with database.writing():
        database.query("UPDATE job SET state = 'failed'")
        second = Database(str(path), timeout=0.1)
        assert second.owner.uid == os.geteuid()
        third = [sys.executable, "-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0.1).execute('BEGIN IMMEDIATE')", str(path)]
        assert "locked" in subprocess.run(third, capture_output=True, text=True, check=False).stderr


def test_a_name_is_a_name(tmp_path: Path) -> None:
    """A question mark would begin the options of a URI."""
    path = tmp_path / "odd?mode=memory #1%20.sqlite"
    connection = sqlite3.connect(str(path))
    connection.execute("CREATE TABLE there (x)")
    connection.commit()
    connection.close()
    database = Database(str(path))
    assert database.query("SELECT name FROM sqlite_master")[0]["name"] == "there"
    database.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_files_stay_the_owners(path: Path, folder: Path) -> None:
    path = shutil.copytree(path.parent, folder / "place") / path.name
    for each in (path.parent, path):
        os.chown(each, OTHER, OTHER)
    database = Database(str(path))
    with database.writing():
        database.query("UPDATE job SET state = 'failed'")
        beside = {name: os.stat(path.parent / name).st_uid for name in os.listdir(path.parent)}
    assert os.geteuid() == 0
    assert len(beside) > 1  # a journal, or a WAL and its index
    assert set(beside.values()) == {OTHER}
    database.close()
    assert {os.stat(path.parent / name).st_uid for name in os.listdir(path.parent)} == {OTHER}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_only_the_owner_and_root_may(path: Path, folder: Path) -> None:
    path = Path(shutil.copy(path, folder))
    os.chmod(path, 0o666)  # noqa: S103
    os.seteuid(OTHER)
    try:
        with pytest.raises(SqliteError, match="belongs to user id 0; only that user or root"):
            Database(str(path)).query("SELECT 1")
    finally:
        os.seteuid(0)
