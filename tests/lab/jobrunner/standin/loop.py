# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main loop: every active job, one after the other, is moved on by what Docker says of it."""

from __future__ import annotations

import logging
import time
from collections import defaultdict

from .config import Config
from .executor import Definition, Executor, ExecutorError, ExecutorRetry, Status, define
from .models import FINAL, Job
from .results import Results
from .store import Store

log = logging.getLogger("run")
ONE_MINUTE = 60
ONE_MS = 10**6
MESSAGES = {
    "preparing": "Preparing your code and workspace files",
    "prepared": "Prepared and ready to run",
    "executing": "Executing job on the backend",
    "executed": "Job has finished executing and is waiting to be finalized",
    "finalizing": "Recording job results",
    "finalized": "Finished recording results",
}
INTERNAL_ERROR = (
    "Internal error: this usually means a platform issue rather than a problem for users to fix.\n"
    "The tech team are automatically notified of these errors and will be investigating."
)
DATABASE_EXITS = {
    3: "A transient database error occurred, your job may run if you try it again, if it keeps failing then contact tech support",
    4: "New data is being imported into the database, please try again in a few hours",
    5: "Something went wrong with the database, please contact tech support",
}
PAUSED = "Backend is currently paused for maintenance, job will start once this is completed"


class Loop:
    """One process's main loop."""

    def __init__(self, config: Config, store: Store) -> None:
        self.config = config
        self.store = store
        self.executor = Executor(config)

    def turn(self) -> list[Job]:
        """Every active job once: those that run first, then a fair order. Rows are read at the beginning."""
        waiting, handled = self.store.active(), []
        running: dict[str, int] = defaultdict(int)
        while waiting:
            waiting.sort(key=lambda job: (job.state != "running", running[job.workspace], not job.needs_database, job.created_at))
            job = waiting.pop(0)
            self.handle(job)
            running[job.workspace] += job.state == "running"
            handled.append(job)
        return handled

    def handle(self, job: Job) -> None:
        """One job; whatever goes wrong fails the job, and then ends the loop."""
        mode = self.store.flag_value("mode")
        paused = str(self.store.flag_value("paused", "False")).lower() == "true"
        try:
            if self._step(job, mode, paused):
                self._step(job, mode, paused)
        except Exception:
            self.set_code(job, "internal_error", INTERNAL_ERROR)
            raise

    # -- one step ---------------------------------------------------------------------------------------------------------

    def _step(self, job: Job, mode: str | None, paused: bool) -> bool:
        """Whether the job is to be looked at again at once."""
        definition = define(self.config, job)
        if paused and job.state == "pending":
            self.set_code(job, "paused", PAUSED)
            return False
        if mode == "db-maintenance" and definition.database:
            self._wait_for_maintenance(job)
            return False
        try:
            status = self.executor.status(job)
        except ExecutorRetry:
            return False
        if job.cancelled and self._cancel(job, status):
            return False
        if status.state in MESSAGES and status.state != job.status_code:
            self.set_code(job, status.state, MESSAGES[status.state], status.timestamp_ns)
        if status.state == "executing":
            self.set_code(job, "executing", MESSAGES["executing"])
            return False
        return self._advance(job, definition, status)

    def _advance(self, job: Job, definition: Definition, status: Status) -> bool:
        if status.state == "unknown":
            if not self._may_start(job):
                return False
            self.set_code(job, "preparing", MESSAGES["preparing"])
            return self._became(job, self.executor.prepare(definition, self._inputs(job)), status, "prepared")
        if status.state == "prepared":
            self._became(job, self.executor.execute(definition), status, "executing")
            return False
        if status.state == "executed":
            self.set_code(job, "finalizing", MESSAGES["finalizing"])
            return self._became(job, self.executor.finalize(definition), status, "finalized")
        self._finish(job)
        return False

    def _became(self, job: Job, new: Status, old: Status, expected: str) -> bool:
        if new.state == old.state:
            self.set_code(job, "waiting_on_workers", "Waiting on available resources")
            return False
        if new.state != expected:
            raise ExecutorError(f"unexpected state transition of job {job.id} from {old.state} to {new.state}")
        self.set_code(job, new.state, MESSAGES[new.state])
        return True

    def _wait_for_maintenance(self, job: Job) -> None:
        if job.state == "running":
            self.executor.terminate(job)
            self.executor.clean(job)
        self.set_code(job, "waiting_db_maintenance", "Waiting for database to finish maintenance")

    def _cancel(self, job: Job, status: Status) -> bool:
        """Whether that was all for this turn."""
        if status.state == "executing":
            self.executor.terminate(job)
            self.set_code(job, self.executor.status(job).state, "Cancelled whilst executing")
        elif status.state == "prepared":
            self.set_code(job, "finalized", "Cancelled whilst prepared")
        elif status.state == "unknown":
            self.set_code(job, "cancelled_by_user", "Cancelled by user")
        else:
            return False
        return True

    def _may_start(self, job: Job) -> bool:
        wanted = job.wait_for_job_ids or []
        states = [other.state for other in self.store.jobs(f"id IN ({', '.join('?' * len(wanted))})", *wanted)] if wanted else []
        running = self.store.jobs("state = 'running'")
        busy = sum(other.needs_database for other in running)
        if "failed" in states:
            self.set_code(job, "dependency_failed", "Not starting as dependency failed")
        elif any(state != "succeeded" for state in states):
            self.set_code(job, "waiting_on_dependencies", "Waiting on dependencies")
        elif len(running) + 1 > self.config.max_workers:
            self.set_code(job, "waiting_on_workers", "Waiting on available workers")
        elif job.needs_database and busy >= self.config.max_db_workers:
            self.set_code(job, "waiting_on_db_workers", "Waiting on available database workers")
        else:
            return True
        return False

    def _inputs(self, job: Job) -> list[str]:
        return [name for action in job.requires_outputs_from or [] for name in self.store.outputs(job.workspace, action)]

    def _finish(self, job: Job) -> None:
        if job.cancelled:
            self.set_code(job, "cancelled_by_user", "Cancelled by user")
            self.executor.clean(job)
            return
        results = self.executor.finalized[job.id]
        job.set(outputs=results.outputs, level4_excluded_files=results.excluded)
        code, message = verdict(job, results)
        if code == "unmatched_patterns":
            job.set(unmatched_outputs=results.unmatched_outputs)
        self.set_code(job, code, message)
        kept = {name.lower() for name in results.outputs}
        self.executor.filing.discard(job, [name for name in self.store.outputs(job.workspace, job.action) if name.lower() not in kept])
        self.executor.clean(job)

    # -- the row --------------------------------------------------------------------------------------------------------------

    def set_code(self, job: Job, code: str, message: str, timestamp_ns: int | None = None) -> None:
        """Move a job on, and write all of its row but `cancelled`; the same code again is written once a minute."""
        stamp = timestamp_ns if timestamp_ns is not None else time.time_ns()
        if job.status_code == code:
            if stamp // 10**9 - job.updated_at >= ONE_MINUTE:
                job.set(updated_at=stamp // 10**9)
                self.store.update(job, but=("cancelled",))
            return
        if job.status_code_updated_at > stamp:
            stamp = int(job.status_code_updated_at) + ONE_MS
        seconds = stamp // 10**9
        if code in {"preparing", "prepared"}:
            job.set(state="running", started_at=seconds)
        elif code == "cancelled_by_user":
            job.set(state="failed")
        elif code in FINAL:
            job.set(state="succeeded" if code == "succeeded" else "failed", completed_at=seconds)
        elif code in {"waiting_on_reboot", "waiting_db_maintenance"}:
            job.set(state="pending", started_at=None)
        job.set(status_code=code, status_message=message, updated_at=seconds, status_code_updated_at=stamp)
        self.store.update(job, but=("cancelled",))
        log.info("%s status=%s workspace=%s action=%s id=%s", message.splitlines()[0], code, job.workspace, job.action, job.id)


def verdict(job: Job, results: Results) -> tuple[str, str]:
    """How a finished job ended, and what its people are told."""
    if results.exit_code:
        reason = results.message or (DATABASE_EXITS.get(results.exit_code) if job.needs_database else None)
        return "nonzero_exit", "Job exited with an error" + (f": {reason}" if reason else "")
    if results.unmatched_patterns:
        return "unmatched_patterns", "No outputs found matching patterns:\n - " + "\n - ".join(results.unmatched_patterns)
    excluded = len(results.excluded)
    note = f", but {excluded} file(s) marked as moderately_sensitive were excluded. See job log for details." if excluded else ""
    return "succeeded", f"Completed successfully{note}"
