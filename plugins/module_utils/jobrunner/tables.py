# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database of job-runner: its layout, and the words that it knows.

Source: job-runner ``models.py`` between 2024-01-03 (``user_version`` 2) and 2024-02-09 (3). A state or a status code that upstream does not
know makes its main loop and all its commands die, so nothing else is ever written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

from ..connect.sqlite import Database, row_dict
from .errors import JobRunnerError

CODES = {
    "pending": (
        "created",
        "paused",
        "waiting_db_maintenance",
        "waiting_on_dependencies",
        "waiting_on_workers",
        "waiting_on_db_workers",
        "waiting_on_reboot",
    ),
    "running": ("preparing", "prepared", "executing", "executed", "finalizing", "finalized"),
    "succeeded": ("succeeded",),
    "failed": (
        "dependency_failed",
        "nonzero_exit",
        "cancelled_by_user",
        "unmatched_patterns",
        "internal_error",
        "killed_by_admin",
        "stale_codelists",
    ),
}
"""Status codes by the state that they belong to."""
STATES = tuple(CODES)
ACTIVE = ("pending", "running")
RESULTS_UNSAVED = ("executed", "finalizing", "finalized")
"""Codes of running jobs whose work is done and not yet filed away: to reset one loses finished results."""

MESSAGES = {
    "waiting_on_reboot": "Job restarted - waiting for server to reboot",
    "killed_by_admin": "An OpenSAFELY admin manually killed this job",
    "retried": "Re-attempting to extract outputs",
}
"""Status messages, word for word as upstream's commands write them."""

JSON_COLUMNS = ("requires_outputs_from", "wait_for_job_ids", "output_spec", "outputs", "unmatched_outputs", "trace_context", "level4_excluded_files")
_COLUMNS = (
    *("id", "job_request_id", "state", "repo_url", "commit", "workspace", "database_name", "action", "action_repo_url", "action_commit"),
    *("requires_outputs_from", "wait_for_job_ids", "run_command", "image_id", "output_spec", "outputs", "unmatched_outputs", "status_message"),
    *("status_code", "cancelled", "created_at", "updated_at", "started_at", "completed_at", "trace_context", "status_code_updated_at"),
    "level4_excluded_files",
)
COLUMNS = {2: _COLUMNS, 3: (*_COLUMNS, "requires_db")}
"""Columns of ``job`` by ``user_version``."""
FLAG_COLUMNS = ("id", "value", "timestamp")
_ACCEPTED = "user_version 2 (from 2024-01) and 3 (from 2024-02) with the tables job(id) and flags(id)"
_LAYOUT = """
SELECT (SELECT user_version FROM pragma_user_version) AS version, m.name AS name, c.name AS column_name
  FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c
 WHERE m.type = 'table' AND m.name IN ('job', 'flags', 'tasks')
 ORDER BY m.name, c.cid
"""


@dataclass(frozen=True)
class Layout:
    """What kind of database it is."""

    version: int
    columns: Tuple[str, ...]


def read_layout(database: Database) -> Layout:
    """The layout in one statement; any but the supported ones is refused by name."""
    rows = database.query(_LAYOUT)
    tables: Dict[str, List[str]] = {}
    for row in rows:
        tables.setdefault(row["name"], []).append(row["column_name"])
    version = int(rows[0]["version"]) if rows else database.user_version
    if not tables:
        raise JobRunnerError(
            "%s has no tables of job-runner (user_version %d): is it the right workdir? Supported are %s" % (database.path, version, _ACCEPTED)
        )
    if version >= 4 or "tasks" in tables or "backend" in tables.get("flags", ()):
        text = (
            "%s is of a later job-runner (user_version %d: controller and agent were split in 2025-04); its jobs are run from the controller. Supported are %s"
        )
        raise JobRunnerError(text % (database.path, version, _ACCEPTED))
    if version not in COLUMNS:
        raise JobRunnerError("%s is of an earlier job-runner (user_version %d); supported are %s" % (database.path, version, _ACCEPTED))
    _same_columns(database.path, version, tables)
    return Layout(version, COLUMNS[version])


def _same_columns(path: str, version: int, tables: Dict[str, List[str]]) -> None:
    for table, wanted in (("job", COLUMNS[version]), ("flags", FLAG_COLUMNS)):
        there = tables.get(table, [])
        if sorted(there) != sorted(wanted):
            odd = sorted(set(there) ^ set(wanted))
            raise JobRunnerError(
                "%s says user_version %d, but its table %s differs in %s; supported are %s" % (path, version, table, ", ".join(odd), _ACCEPTED)
            )


def jobs(database: Database, ids: Sequence[str]) -> Dict[str, Dict[str, Any]]:
    """Whole rows of jobs by their exact ids. As upstream keeps them: JSON as text, times as numbers."""
    return {row["id"]: row_dict(row) for row in database.query("SELECT * FROM job WHERE id IN (SELECT value FROM json_each(?))", [json.dumps(list(ids))])}


def active_jobs(database: Database) -> List[Dict[str, Any]]:
    """Rows of all jobs that are pending or running, oldest first."""
    statement = "SELECT * FROM job WHERE state NOT IN ('failed', 'succeeded') ORDER BY created_at, id"
    return [row_dict(row) for row in database.query(statement)]


def counts(database: Database) -> List[Dict[str, Any]]:
    """Jobs by state and code: ``state``, ``status_code``, ``jobs``."""
    statement = "SELECT state, status_code, count(*) AS jobs FROM job GROUP BY state, status_code ORDER BY state, status_code"
    return [row_dict(row) for row in database.query(statement)]


def flags(database: Database) -> Dict[str, Dict[str, Any]]:
    """Flags by name: ``value``, and ``timestamp`` in seconds as upstream's Python sees it, a float unless somebody wrote the row by hand."""
    return {row["id"]: {"value": row["value"], "timestamp": row["timestamp"]} for row in database.query("SELECT id, value, timestamp FROM flags")}


def likenesses(database: Database, text: str, limit: int = 20) -> List[str]:
    """Ids that a fragment would match in upstream's own commands, newest first, for an error that says so. Their wildcards count, as they do there."""
    rows = database.query("SELECT id FROM job WHERE id LIKE ? ORDER BY created_at DESC, id LIMIT ?", ["%%%s%%" % text, limit])
    return [row["id"] for row in rows]


def unknown_words(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Of counts or rows, those with a state or code that upstream does not know."""
    return [row for row in rows if row["status_code"] not in CODES.get(row["state"], ())]
