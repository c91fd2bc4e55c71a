# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs, requests and flags as rows; the words of their states."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CODES = {
    "pending": "created paused waiting_db_maintenance waiting_on_dependencies waiting_on_workers waiting_on_db_workers waiting_on_reboot".split(),
    "running": "preparing prepared executing executed finalizing finalized".split(),
    "succeeded": ["succeeded"],
    "failed": "dependency_failed nonzero_exit cancelled_by_user unmatched_patterns internal_error killed_by_admin stale_codelists".split(),
}
FINAL = {*CODES["succeeded"], *CODES["failed"]}
ALL_CODES = {code for codes in CODES.values() for code in codes}
LATEST = 3

COLUMNS = (
    *("id", "job_request_id", "state", "repo_url", "commit", "workspace", "database_name", "action", "action_repo_url", "action_commit"),
    *("requires_outputs_from", "wait_for_job_ids", "run_command", "image_id", "output_spec", "outputs", "unmatched_outputs"),
    *("status_message", "status_code", "cancelled", "created_at", "updated_at", "started_at", "completed_at"),
    *("trace_context", "status_code_updated_at", "level4_excluded_files", "requires_db"),
)
KINDS = {"cancelled": "BOOLEAN", "requires_db": "BOOLEAN", "status_code_updated_at": "INT"}
JSON = {"requires_outputs_from", "wait_for_job_ids", "output_spec", "outputs", "unmatched_outputs", "trace_context", "level4_excluded_files"}
MIGRATIONS = {
    1: ("ALTER TABLE job ADD COLUMN trace_context TEXT", "ALTER TABLE job ADD COLUMN status_code_updated_at INT"),
    2: ("ALTER TABLE job ADD COLUMN level4_excluded_files TEXT",),
    3: ("ALTER TABLE job ADD COLUMN requires_db BOOLEAN",),
}
DATABASE_COMMANDS = {
    "cohortextractor": ("generate_cohort", "generate_codelist_report"),
    "databuilder": ("generate-dataset",),
    "ehrql": ("generate-dataset", "generate-measures"),
}


def columns(version: int) -> tuple[str, ...]:
    """Columns of a job at a layout."""
    return COLUMNS if version >= LATEST else COLUMNS[:-1]


def schema(version: int) -> str:
    """The tables of a new database."""
    kinds = [(name, KINDS.get(name, "INT" if name.endswith("_at") else "TEXT")) for name in columns(version)]
    job = ", ".join(f'"{name}" {kind}' if name == "commit" else f"{name} {kind}" for name, kind in kinds)
    return f"""
        CREATE TABLE job_request (id TEXT, original TEXT, PRIMARY KEY (id));
        CREATE TABLE job ({job}, PRIMARY KEY (id));
        CREATE INDEX idx_job__job_request_id ON job (job_request_id);
        CREATE INDEX idx_job__state ON job (state) WHERE state NOT IN ('failed', 'succeeded');
        CREATE TABLE flags (id TEXT, value TEXT, timestamp TIMESTAMP DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id));
        PRAGMA user_version = {version};
    """


@dataclass
class Job:
    """A row of `job`; lists and mappings are decoded."""

    values: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError as error:
            raise AttributeError(name) from error

    def set(self, **values: Any) -> None:
        """Change it in memory."""
        self.values.update(values)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Job:
        """From a row; a state or code that there is not is a ValueError, and nobody catches it."""
        values = {name: json.loads(row[name]) if name in JSON and row[name] is not None else row[name] for name in row.keys()}  # noqa: SIM118  rows
        if values["state"] not in CODES:
            raise ValueError(f"{values['state']!r} is not a valid State")
        if values["status_code"] not in ALL_CODES:
            raise ValueError(f"{values['status_code']!r} is not a valid StatusCode")
        return cls(values)

    def row(self) -> dict[str, Any]:
        """As it is stored."""
        return {name: json.dumps(value) if name in JSON and value is not None else value for name, value in self.values.items()}

    @property
    def arguments(self) -> list[str]:
        """The command: image and its arguments."""
        return shlex.split(self.run_command or "")

    @property
    def needs_database(self) -> bool:
        """A column at the newer layout; before, told by the command."""
        if "requires_db" in self.values:
            return bool(self.values["requires_db"])
        image, _colon, _tag = (self.arguments[0] if self.arguments else "").partition(":")
        return len(self.arguments) > 1 and (image == "sqlrunner" or self.arguments[1] in DATABASE_COMMANDS.get(image, ()))

    @property
    def title(self) -> str:
        """How the commands call it."""
        return f"{self.workspace}-{self.action}-{self.id}"


def job_id(request: str, action: str) -> str:
    """The id of the job that a request makes of an action."""
    digest = hashlib.sha1(f"{request}\n{action}".encode(), usedforsecurity=False).digest()
    return base64.b32encode(digest[:10]).decode().lower()


def isoformat(seconds: float | None) -> str | None:
    """A moment as job-server takes it; text instead of a number is a TypeError."""
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None).isoformat() + "Z"
