# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other thread: takes requests from job-server, and tells it of jobs."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from .config import Config
from .models import Job, columns, isoformat, job_id
from .store import Store

TIMEOUT = 30.0


class Sync:
    """What is exchanged with job-server."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store

    def once(self) -> None:
        """Take what is new and what was cancelled; tell of all jobs of requests that either side holds active, if job-server holds any."""
        requests = self.ask("GET", f"job-requests/?backend={self.config.backend}")["results"]
        if not requests:
            return
        known = self.store.requests()
        for request in requests:
            self._take(request, request["identifier"] in known)
        wanted = dict.fromkeys([request["identifier"] for request in requests] + [job.job_request_id for job in self.store.active()])
        jobs = self.store.jobs(f"job_request_id IN ({', '.join('?' * len(wanted))})", *wanted)
        self.ask("POST", "jobs/", [remote(job) for job in jobs])

    def ask(self, method: str, path: str, content: Any = None) -> Any:
        """Speak to job-server. A flag whose timestamp is text is a TypeError."""
        flags = {row["id"]: {"v": row["value"], "ts": isoformat(row["timestamp"])} for row in self.store.flags()}
        headers = {"Authorization": self.config.token, "Flags": json.dumps(flags, separators=(",", ":")), "Content-Type": "application/json"}
        url = f"{self.config.endpoint.rstrip('/')}/{path}"
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(url, data=body, headers=headers, method=method)  # noqa: S310  the endpoint of the laboratory
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return json.loads(answer.read() or b"{}")

    def _take(self, request: dict[str, Any], known: bool) -> None:
        if known:
            if request.get("cancelled_actions"):
                self.store.cancel(request["identifier"], request["cancelled_actions"])
            return
        self.store.add_request(request)
        for action in request["requested_actions"]:
            self.store.insert(self._job(request, action))

    def _job(self, request: dict[str, Any], action: str) -> Job:
        """The real one reads the study's project.yaml; here a request brings its actions along as `lab_actions`."""
        plan = request["lab_actions"][action]
        now = time.time()
        values = dict.fromkeys(columns(self.config.user_version)) | {
            "id": job_id(request["identifier"], action),
            "job_request_id": request["identifier"],
            "state": "pending",
            "status_code": "created",
            "status_message": "Created",
            "repo_url": request["workspace"]["repo"],
            "commit": request["sha"],
            "workspace": request["workspace"]["name"],
            "database_name": request.get("database_name", "default"),
            "action": action,
            "requires_outputs_from": plan.get("needs", []),
            "wait_for_job_ids": [job_id(request["identifier"], name) for name in plan.get("needs", []) if name in request["requested_actions"]],
            "run_command": plan["run"],
            "output_spec": plan.get("outputs", {}),
            "cancelled": False,
            "created_at": int(now),
            "updated_at": int(now),
            "status_code_updated_at": int(now * 1e9),
            "trace_context": {"traceparent": f"00-{job_id(request['identifier'], action)}-01"},
        }
        job = Job(values)
        if "requires_db" in values:
            image = job.arguments[0].partition(":")[0]
            job.set(requires_db=image in {"cohortextractor", "databuilder", "ehrql", "sqlrunner"})
        return job


def remote(job: Job) -> dict[str, Any]:
    """A job as job-server takes it."""
    same = ("job_request_id", "action", "run_command", "status_code", "trace_context")
    moments = ("created_at", "updated_at", "started_at", "completed_at")
    return {
        "identifier": job.id,
        "status": job.state,
        "status_message": job.status_message or "",
        "metrics": {},
        **{name: getattr(job, name) for name in same},
        **{name: isoformat(getattr(job, name)) for name in moments},
    }
