# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs and flags of job-runner: killed between any two statements on a real SQLite file and any two requests to a real Docker Engine."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Pattern
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.sqlite import Database
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import job_logs, job_objects, reboot_service, reboot_timer
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.reboot_schedule import MaintenanceStore
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from lab.engine import Engine
from lab.jobrunner.backend import Backend
from support import run_ok
from timers import Timers

TIMES = ("updated_at", "completed_at", "status_code_updated_at")
STATEMENTS = ("UPDATE", "INSERT", "DELETE", "COMMIT")


def _statement(_database: Database, statement: str, *_values: Any) -> str:
    return next((word for word in STATEMENTS if statement.strip().startswith(word)), "")


DATABASE: Effect = (Database, "query", _statement)
ENGINE: Sequence[Effect] = tuple((Docker, name, lambda _docker, what: str(what)[:20]) for name in ("kill", "remove", "remove_volume"))


class OnBackend(Scenario):
    """A backend with its database; what is in the engine only where a scenario puts something there."""

    finely = False
    effects: Sequence[Effect] = (DATABASE,)

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        engine: Engine = lab.fixture("engine")
        self.backend = Backend(lab.path / "backend", engine)
        lab.finish(self.backend.close)
        lab.patch.setattr(reboot_service, "PROCESS", Pattern(args=("-m", f"jobrunner.service{lab.path}")))
        self.fill()

    def fill(self) -> None:
        """Break it."""

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """Rows without the time at which somebody touched them last."""
        rows = {job: {**row, "updated_at": 0} for job, row in self.backend.rows().items()}
        return {"rows": rows, "flags": self.backend.flags(), "objects": {job: self.backend.objects(job) for job in rows}, "logs": self._logs()}

    def restore(self, dump: Any) -> None:
        for job, row in dump["rows"].items():
            self.backend.change(job, **row)
            self._put(job, dump["objects"][job])
        with self.backend.connection() as connection:
            connection.execute("DELETE FROM flags")
        for name, (value, stamp) in dump["flags"].items():
            self.backend.set_flag(name, value, stamp)
        shutil.rmtree(self.backend.high / "logs", ignore_errors=True)
        for path, content in dump["logs"].items():
            (self.backend.high / path).parent.mkdir(parents=True, exist_ok=True)
            (self.backend.high / path).write_bytes(content)

    def service(self, dump: Any) -> Any:
        """Times are those of the run that made the change; so is what a container is called in its log."""
        rows = {job: {name: value for name, value in row.items() if name not in TIMES} for job, row in dump["rows"].items()}
        return {**dump, "rows": rows, "flags": {name: value for name, (value, _stamp) in dump["flags"].items()}, "logs": sorted(dump["logs"])}

    def look(self, change: Change) -> dict[str, Any] | None:
        kind, _colon, name = change.subject.partition(":")
        if kind == "job":
            return self.backend.row(name)
        if kind == "flag":
            value, stamp = self.backend.flags().get(name, (None, None))
            return {"id": name, "value": value, "timestamp": stamp} if name in self.backend.flags() else None
        if kind == "logs":
            return job_logs.now_image(change.subject)
        docker = Docker(self.backend.engine.docker_host)
        try:
            return job_objects.now_image(docker, change.subject)
        finally:
            docker.close()

    def _logs(self) -> dict[str, bytes]:
        """What counts: a directory that was not finished is none."""
        found = sorted(self.backend.high.glob("logs/*/os-job-*/*"))
        return {str(path.relative_to(self.backend.high)): path.read_bytes() for path in found if not path.parent.name.endswith(".new")}

    def _put(self, job: str, wanted: dict[str, Any]) -> None:
        if self.backend.objects(job) == wanted:
            return
        docker = self.backend.engine.docker
        for name in (f"os-job-{job}", f"os-volume-{job}-manager"):
            if self.backend.engine.inspect(name):
                docker("rm", "--force", name)
        if self.backend.engine.inspect(f"os-volume-{job}", "volume"):
            docker("volume", "rm", f"os-volume-{job}")
        mount = self.backend._add_volume(job, wanted["volume"] or False, wanted["manager"] is not None, stamped=False)
        if wanted["container"] is not None:
            self.backend._add_container(self.backend.row(job), wanted["container"], mount, database=False)


class Flag(OnBackend):
    """A flag that was never set, and the flags beside it."""

    module = "jobrunner_flag"
    wanted: str | None = "true"

    def fill(self) -> None:
        self.backend.set_flag("mode", "db-maintenance", 1706740000.25)

    def arguments(self) -> dict[str, Any]:
        return {"workdir": str(self.backend.workdir), "config_files": [], "name": "paused", "value": self.wanted}


class ClearedFlag(Flag):
    wanted = None

    def fill(self) -> None:
        super().fill()
        self.backend.set_flag("paused", "true", 1706740001.5)


class OfJob(OnBackend):
    """Jobs by their ids."""

    module = "jobrunner_job"
    state = "killed"
    jobs: Sequence[str] = ()
    cleanup = False

    def arguments(self) -> dict[str, Any]:
        return {**self.backend.params, "job_id": list(self.jobs), "state": self.state, "cleanup": self.cleanup, "settle": 0}


class KilledWaiting(OfJob):
    """A job that waits, and one that has ended and whose log is saved: nothing runs, so all of it can be taken back."""

    effects: Sequence[Effect] = (DATABASE, (job_logs, "_write", lambda *_arguments: "log"))

    def fill(self) -> None:
        waits = self.backend.add_job("pending", "waiting_on_workers", action="waits", volume=False)
        self.jobs = [waits, self.backend.add_job("running", "executed", action="ended", container="exited", volume=False)]


class Retried(OfJob):
    """A job that failed while its results were filed."""

    state = "retried"

    def fill(self) -> None:
        self.jobs = [self.backend.add_job("failed", "internal_error", container="exited")]


class KilledRunning(OfJob):
    """A job that runs, killed with all that there is of it."""

    undoable = False
    cleanup = True
    effects: Sequence[Effect] = (DATABASE, (job_logs, "_write", lambda *_arguments: "log"), *ENGINE)

    def fill(self) -> None:
        self.jobs = [self.backend.add_job("running", "executing", container="running", manager=False)]


class Rebooted(OnBackend):
    """Rows of jobs of which nothing was there yet."""

    module = "jobrunner_prepare_for_reboot"

    def fill(self) -> None:
        for action in ("one", "two"):
            self.backend.add_job("running", "preparing", action=action, volume=False)
        self.backend.add_job("pending", "created", action="waits", volume=False)

    def arguments(self) -> dict[str, Any]:
        return dict(self.backend.params)


class RebootedRunning(Rebooted):
    """A job that runs, with its volume."""

    undoable = False
    effects: Sequence[Effect] = (DATABASE, *ENGINE)

    def fill(self) -> None:
        self.backend.add_job("running", "executing", container="running", manager=False)


class PlannedMaintenance(OnBackend):
    """A timer is set in the place of another one."""

    module = "jobrunner_maintenance"
    effects: Sequence[Effect] = ((reboot_timer, "call", lambda argv, _timeout: str(argv[1])), (os, "rename", lambda *_arguments: "program"))
    state = "present"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root sets the timer")
        self.timers = Timers(lab.path / "timer.json", lab.patch)
        self.directory = lab.path / "maintenance"
        super().__init__(lab, journal_dir)

    def fill(self) -> None:
        run_ok("jobrunner_maintenance", {**self.place(), "on_active": "4h", "journal_dir": str(self.lab.path / "other-journal")})

    def place(self) -> dict[str, Any]:
        return {**self.backend.params, "directory": str(self.directory)}

    def arguments(self) -> dict[str, Any]:
        return {**self.place(), "on_calendar": "2030-01-31 04:00"}

    def dump(self) -> Any:
        program = self.directory / "maintenance.pyz"
        return {"timer": self.timers.set, "program": program.read_bytes() if program.exists() else None}

    def restore(self, dump: Any) -> None:
        self.timers.put(dump["timer"])
        shutil.rmtree(self.directory, ignore_errors=True)
        if dump["program"] is not None:
            self.directory.mkdir(mode=0o700)
            (self.directory / "maintenance.pyz").write_bytes(dump["program"])

    def service(self, dump: Any) -> Any:
        """The program knows its journal, which is another one for each death."""
        if dump["program"] is None:
            return dump
        with zipfile.ZipFile(io.BytesIO(dump["program"])) as archive:
            options = json.loads(archive.read("options.json"))
        options["guards"].pop("journal_dir")
        timer = dump["timer"]
        return {"options": options, "timer": timer and {**timer, "options": {**timer["options"], "description": ""}}}

    def look(self, change: Change) -> dict[str, Any] | None:
        ((now, _token),) = MaintenanceStore({}, {"path": str(self.directory / "maintenance.pyz")}).read([change])
        return now


class CancelledMaintenance(PlannedMaintenance):
    """A timer is cancelled."""

    def arguments(self) -> dict[str, Any]:
        return {**self.place(), "state": "absent"}
