# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The privacy folders of a backend with one workspace, and a database that knows who made its files."""

from __future__ import annotations

import codecs
import importlib
import json
import os
import sqlite3
import stat
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.tables import COLUMNS
from support import run_module, run_ok, run_refused

WORKSPACE = "my-study"
MODULE = "jobrunner_output_remove"
ENTRY = {"level": "moderately_sensitive", "job_id": "ab2cd3ef4gh5ij6k", "action": "make_table", "size": 4, "timestamp": 1706000000.25, "excluded": False}


class Folders:
    """``source``: what the level 3 sync copies from; on another file system if it is told to be."""

    def __init__(self, path: Path, journal: str, source: Path | None = None, quarantine: Path | None = None) -> None:
        self.path = path
        self.journal = journal
        self.high = path / "high_privacy"
        self.medium = path / "medium_privacy"
        self.source = (source or path) / "e" / "FILESFORL4" / "workspaces"
        self.quarantine = quarantine or self.high / "quarantine"
        self.workdir = path / "workdir"
        for folder in (self.high / "workspaces", self.medium / "workspaces", self.source):
            (folder / WORKSPACE).mkdir(parents=True)

    # -- what lies where -------------------------------------------------------------------------------------------------

    def put(self, name: str, where: str = "medium", data: bytes = b"data", mode: int = 0o640, workspace: str = WORKSPACE) -> Path:
        target = self.at(name, where, workspace)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        target.chmod(mode)
        os.utime(target, ns=(1_700_000_000_000_000_000, 1_700_000_000_123_456_789))
        return target

    def at(self, name: str, where: str = "medium", workspace: str = WORKSPACE) -> Path:
        bases = {"medium": self.medium / "workspaces", "high": self.high / "workspaces", "source": self.source}
        return bases[where] / workspace / name

    def manifest(self, outputs: Mapping[str, Any] | None) -> Path:
        """As job-runner writes it, before and after the change of 2024-04-23."""
        document: dict[str, Any] = {"repo": None, "workspace": WORKSPACE}
        if outputs is not None:
            document["outputs"] = dict(outputs)
        return self.put("metadata/manifest.json", data=json.dumps(document, indent=2).encode())

    def job(self, job_id: str, action: str, state: str, code: str, outputs: Mapping[str, str] | None = None, created: int = 1) -> None:
        """A row of job-runner's database."""
        self.workdir.mkdir(exist_ok=True)
        connection = sqlite3.connect(self.workdir / "db.sqlite")
        columns = ", ".join(f'"{name}"' for name in COLUMNS[3])
        connection.execute(f"CREATE TABLE IF NOT EXISTS job ({columns})")
        connection.execute("CREATE TABLE IF NOT EXISTS flags (id TEXT PRIMARY KEY, value TEXT, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP)")
        connection.execute("PRAGMA user_version = 3")
        values = (job_id, WORKSPACE, action, state, code, json.dumps(outputs) if outputs is not None else None, created)
        connection.execute("INSERT INTO job (id, workspace, action, state, status_code, outputs, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        connection.commit()
        connection.close()

    # -- what is done about it -------------------------------------------------------------------------------------------

    def arguments(self, *files: str, **options: Any) -> dict[str, Any]:
        base: dict[str, Any] = {
            "workspace": WORKSPACE,
            "files": list(files),
            "medium_privacy_base": str(self.medium),
            "high_privacy_base": str(self.high),
            "sync_sources": [str(self.source)],
            "quarantine_dir": str(self.quarantine),
            "config_files": [],
            "journal_dir": self.journal,
        }
        if self.workdir.exists():
            base["workdir"] = str(self.workdir)
        return base | options

    def ok(self, *files: str, **options: Any) -> dict[str, Any]:
        return run_ok(MODULE, self.arguments(*files, **options))

    def check(self, *files: str, **options: Any) -> dict[str, Any]:
        return run_ok(MODULE, self.arguments(*files, **options), check=True, diff=True)

    def refused(self, *files: str, **options: Any) -> str:
        """The one error, in check mode and in earnest alike."""
        arguments = self.arguments(*files, **options)
        message: str = run_refused(MODULE, arguments)["msg"]
        assert run_refused(MODULE, arguments, check=True)["msg"] == message
        return message

    def undo(self, undo_id: str, check: bool = False) -> dict[str, Any]:
        return run_module("runbook_undo", {"undo_id": undo_id, "journal_dir": self.journal}, check=check)

    def tree(self) -> dict[str, tuple[int, int, int, bytes, int]]:
        """Every file outside of the quarantine: mode, owner, group, content, time."""
        found = {}
        for base in (self.high, self.medium, self.source):
            for path in sorted(base.rglob("*")):
                if self.quarantine not in path.parents and path.is_file() and not path.is_symlink():
                    info = path.stat()
                    found[str(path)] = (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, path.read_bytes(), info.st_mtime_ns)
        return found

    def quarantined(self) -> list[str]:
        return sorted(str(path.relative_to(self.quarantine)) for path in self.quarantine.rglob("*") if path.is_file())


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("jobrunner.output.") for finding in result["findings"]]


def finding(result: dict[str, Any], code: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in result["findings"] if each["code"] == f"jobrunner.output.{code}")
    return found


def planned(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change["action"], change["subject"]) for change in result["changes"]]


def as_user(body: Callable[[], None], uid: int, groups: Sequence[int] = ()) -> None:
    """Run in a fork that is somebody else; whatever it raises is printed, and fails the test."""
    for name in ("modules.jobrunner_output_remove", "modules.runbook_undo", "module_utils.procedure.run"):
        importlib.import_module(f"ansible_collections.fieldops.runbooks.plugins.{name}")
    codecs.lookup("ascii")  # which the other user may not be able to load
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(list(groups))
            os.setgid(uid)
            os.setuid(uid)
            body()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
