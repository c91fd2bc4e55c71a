# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend to deploy to: remotes and checkouts of real git, a real database, and a unit whose process runs the code that is checked out.

The code is a stand-in of job-runner, no larger than a deploy needs: it migrates its database, refuses to start with another layout
of it, as upstream does, and writes down which version of it runs.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from lab.jobrunner.standin.models import schema
from lab.systemd_standin.units import Units
from support import run_module, run_ok, run_refused

UNIT = "jobrunner-test"
TOKEN = "ghp_0123456789abcdefSESAME"
MIGRATIONS = {
    1: "ALTER TABLE job ADD COLUMN trace_context TEXT",
    2: "ALTER TABLE job ADD COLUMN level4_excluded_files TEXT",
    3: "ALTER TABLE job ADD COLUMN requires_db BOOLEAN",
    4: "CREATE TABLE tasks (id TEXT)",
}
CONFIG = 'import os\n\nWORKDIR = os.environ.get("WORKDIR", "workdir")\nTOKEN = os.environ["JOB_SERVER_TOKEN"]\n'
MIGRATE = """
import sqlite3
from jobrunner import config, models

connection = sqlite3.connect(config.WORKDIR + "/db.sqlite", isolation_level=None)
(now,) = connection.execute("PRAGMA user_version").fetchone()
for version, statement in sorted(models.MIGRATIONS.items()):
    if version > now:
        connection.execute(statement)
        connection.execute("PRAGMA user_version = %d" % version)
"""
SERVICE = """
import sqlite3, sys, time
import dependency
from jobrunner import config, models

VERSION = {version!r}
if __name__ == "__main__":
    (now,) = sqlite3.connect(config.WORKDIR + "/db.sqlite").execute("PRAGMA user_version").fetchone()
    if now != max(models.MIGRATIONS):
        sys.exit("MigrationNeeded")
    with open(config.WORKDIR + "/serving", "w") as file:
        file.write(VERSION + " " + dependency.VERSION)
    time.sleep(1000)
"""


def git(path: Path, *arguments: str) -> str:
    """As somebody who writes job-runner, or works on the backend by hand."""
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    env = {**os.environ, **who, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", "-C", str(path), *arguments], env=env, check=True, capture_output=True, text=True).stdout.strip()


def models(version: int) -> str:
    """In upstream's form, from which a deploy reads what the code will make of the database."""
    calls = "\n".join(f"    migration(\n        {n},\n        {MIGRATIONS[n]!r},\n    )" for n in range(1, version + 1))
    return f"MIGRATIONS = {{}}\n\n\ndef migration(version, sql):\n    MIGRATIONS[version] = sql\n\n\nif True:\n{calls}\n"


class Remote:
    """A repository elsewhere, and somebody who commits to it."""

    def __init__(self, directory: Path, name: str) -> None:
        self.bare, self.author = directory / f"{name}.git", directory / f"{name}-author"
        git(directory, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        git(directory, "clone", "--quiet", str(self.bare), str(self.author))
        git(self.author, "checkout", "--quiet", "-b", "main")

    def commit(self, files: dict[str, str | None], subject: str) -> str:
        """One commit on main; a file that is None goes."""
        for name, text in files.items():
            path = self.author / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text, encoding="utf-8")
        git(self.author, "add", "--all")
        git(self.author, "commit", "--quiet", "--allow-empty", "-m", subject)
        git(self.author, "push", "--quiet", "origin", "main")
        return git(self.author, "rev-parse", "HEAD")


class Backend:
    """Version 1 is deployed, with a database at user_version 2, and runs."""

    def __init__(self, directory: Path, journal: str, monkeypatch: Any) -> None:
        self.directory, self.journal = directory / "backend", journal
        self.directory.mkdir()
        self.code_remote, self.lib_remote = Remote(self.directory, "code-remote"), Remote(self.directory, "lib-remote")
        self.release("1")
        self.lib_remote.commit({"dependency.py": "VERSION = 'a'\n"}, "dependencies a")
        self.code, self.lib = self.directory / "code", self.directory / "lib"
        git(self.directory, "clone", "--quiet", str(self.code_remote.bare), str(self.code))
        git(self.directory, "clone", "--quiet", str(self.lib_remote.bare), str(self.lib))
        self.workdir = self.directory / "workdir"
        self.workdir.mkdir()
        connection = sqlite3.connect(self.workdir / "db.sqlite")
        connection.executescript(schema(2))
        connection.execute("INSERT INTO flags VALUES ('paused', 'true', 1.5)")
        connection.commit()
        connection.close()
        self.config = self.directory / "02_secrets.env"
        self.config.write_text(f"WORKDIR={self.workdir}\nJOB_SERVER_TOKEN={TOKEN}\n", encoding="utf-8")
        self.units = Units(directory / "systemd").create()
        monkeypatch.setenv("PATH", f"{self.units.bin}:{os.environ['PATH']}")
        environment = {"PYTHONPATH": f"{self.code}:{self.lib}", "WORKDIR": str(self.workdir), "JOB_SERVER_TOKEN": TOKEN, "PYTHONDONTWRITEBYTECODE": "1"}
        self.units.define(UNIT, [sys.executable, "-m", "jobrunner.service"], environment, restart_sec=0.5)
        self.units.start(UNIT)
        self.wait_serving("1 a")

    def close(self) -> None:
        self.units.close()

    def release(self, version: str, database: int = 2, subject: str = "", **files: str | None) -> str:
        """A commit of the code."""
        known: dict[str, str | None] = {
            "jobrunner/__init__.py": "",
            "jobrunner/cli/__init__.py": "",
            "jobrunner/config.py": CONFIG,
            "jobrunner/models.py": models(database),
            "jobrunner/cli/migrate.py": MIGRATE,
            "jobrunner/service.py": SERVICE.format(version=version),
        }
        return self.code_remote.commit({**known, **files}, subject or f"version {version}")

    def dependencies(self, version: str) -> str:
        return self.lib_remote.commit({"dependency.py": f"VERSION = {version!r}\n"}, f"dependencies {version}")

    # -- what is so -------------------------------------------------------------------------------------------------------

    def heads(self) -> dict[str, str]:
        return {part: git(self.directory / part, "-c", f"safe.directory={self.directory / part}", "rev-parse", "HEAD") for part in ("lib", "code")}

    def serving(self) -> str:
        """What the process that runs now has written down."""
        path = self.workdir / "serving"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def wait_serving(self, what: str) -> None:
        deadline = time.monotonic() + 20
        while self.serving() != what or self.units.state(UNIT)["ActiveState"] != "active":
            assert time.monotonic() < deadline, (self.serving(), self.units.state(UNIT))
            time.sleep(0.02)

    def pid(self) -> int:
        return int(self.units.state(UNIT)["MainPID"])

    def user_version(self) -> int:
        connection = sqlite3.connect(self.workdir / "db.sqlite")
        try:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])
        finally:
            connection.close()

    def untouched(self) -> dict[str, Any]:
        """All of both checkouts, what they know of their remotes and their index included."""
        files = [path for part in (self.code, self.lib) for path in part.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files} | {"pid": self.pid(), "version": self.user_version()}

    # -- modules ----------------------------------------------------------------------------------------------------------

    def arguments(self, **options: Any) -> dict[str, Any]:
        known = {"code_dir": str(self.code), "lib_dir": str(self.lib), "service": UNIT, "config_files": [str(self.config)], "journal_dir": self.journal}
        return {**known, "python": sys.executable, "settle": 0.7, "timeout": 60, **options}

    def ok(self, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok("jobrunner_deploy", self.arguments(**options), check=check, diff=True)

    def fails(self, **options: Any) -> dict[str, Any]:
        result = run_module("jobrunner_deploy", self.arguments(**options))
        assert result.get("failed"), result
        return result

    def refused(self, *words: str, **options: Any) -> dict[str, Any]:
        before = self.untouched()
        result = run_refused("jobrunner_deploy", self.arguments(**options))
        for word in words:
            assert word in result["msg"], result["msg"]
        assert self.untouched() == before
        return result

    def undo(self, undo_id: str, check: bool = False, changes: list[int] | None = None) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": undo_id, "journal_dir": self.journal, "changes": changes or []}, check=check)
