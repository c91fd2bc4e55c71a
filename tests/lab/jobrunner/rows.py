# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of jobs as job-runner would have left them, by state and code."""

from __future__ import annotations

import json
import time
from typing import Any

from lab.jobrunner.standin import loop
from lab.jobrunner.standin.models import CODES, FINAL, columns, job_id

MESSAGES = {
    **loop.MESSAGES,
    "created": "Created",
    "paused": loop.PAUSED,
    "waiting_db_maintenance": "Waiting for database to finish maintenance",
    "waiting_on_dependencies": "Waiting on dependencies",
    "waiting_on_workers": "Waiting on available workers",
    "waiting_on_db_workers": "Waiting on available database workers",
    "waiting_on_reboot": "Job restarted - waiting for server to reboot",
    "succeeded": "Completed successfully",
    "dependency_failed": "Not starting as dependency failed",
    "nonzero_exit": "Job exited with an error",
    "cancelled_by_user": "Cancelled by user",
    "unmatched_patterns": "No outputs found matching patterns:\n - output/*.csv",
    "internal_error": loop.INTERNAL_ERROR,
    "killed_by_admin": "An OpenSAFELY admin manually killed this job",
    "stale_codelists": "Codelists are out of date (required by database actions)",
}
NEVER_STARTED = {"dependency_failed", "stale_codelists"}
OUTPUTS = {"moderately_sensitive": {"table": "output/*.csv"}}


def state_of(code: str) -> str:
    """The state that a code belongs to."""
    return next(state for state, codes in CODES.items() if code in codes)


def job_row(version: int, request: str, state: str, code: str, action: str, workspace: str, run_command: str, **given: Any) -> dict[str, Any]:
    """One row, with whatever the caller wants otherwise. Lists and mappings may be given as they are."""
    now = time.time()
    begun = state == "running" or (state in {"succeeded", "failed"} and code not in NEVER_STARTED)
    over = code in FINAL and code != "cancelled_by_user"
    name = job_id(request, action)
    row = dict.fromkeys(columns(version)) | {
        "id": name,
        "job_request_id": request,
        "state": state,
        "repo_url": "https://git.example.org/opensafely/study",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "workspace": workspace,
        "database_name": "default",
        "action": action,
        "requires_outputs_from": [],
        "wait_for_job_ids": [],
        "run_command": run_command,
        "output_spec": OUTPUTS,
        "outputs": {"output/table.csv": "moderately_sensitive"} if code == "succeeded" else None,
        "status_message": MESSAGES.get(code, code),
        "status_code": code,
        "cancelled": int(code == "cancelled_by_user"),
        "created_at": int(now) - 3600,
        "updated_at": int(now) - 30,
        "started_at": int(now) - 3000 if begun else None,
        "completed_at": int(now) - 30 if over else None,
        "trace_context": {"traceparent": f"00-{name}-01"},
        "status_code_updated_at": int((now - 30) * 1e9),
    }
    if version >= 3:
        row["requires_db"] = int(run_command.partition(":")[0] in {"cohortextractor", "databuilder", "ehrql", "sqlrunner"})
    unknown = set(given) - set(row)
    if unknown:
        raise TypeError(f"a job has no column {', '.join(sorted(unknown))}")
    row.update(given)
    return {key: json.dumps(value) if isinstance(value, (dict, list)) else value for key, value in row.items()}
