# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job's state as Docker shows it, and what moves it on. Nothing is remembered but the results of jobs that were just finalised."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .client import Client, DockerTimeout, nanoseconds
from .config import Config
from .models import Job
from .results import Filing, Results, metadata_of, redact
from .volumes import volume_of


class ExecutorRetry(Exception):
    """Docker did not answer in time; to be asked again in the next turn."""


class ExecutorError(Exception):
    """The job cannot go on."""


@dataclass
class Status:
    """A state (`unknown`, `prepared`, `executing`, `executed`, `finalized`), and since when."""

    state: str
    timestamp_ns: int | None = None


@dataclass
class Definition:
    """What is run for a job. To make one of a database job needs that database's URL."""

    job: Job
    image: str
    arguments: list[str]
    environment: dict[str, str]
    database: str | None


def define(config: Config, job: Job) -> Definition:
    """A KeyError, where the configuration has no URL for the job's database."""
    image, *arguments = job.arguments
    environment, database = {"OPENSAFELY_BACKEND": config.backend}, None
    if job.needs_database and not config.dummy:
        environment["DATABASE_URL"] = config.database_urls[job.database_name]
        if config.temporary_database:
            environment["TEMP_DATABASE_NAME"] = config.temporary_database
        database = job.database_name
    return Definition(job, f"{config.registry}/{image}", arguments, environment, database)


class Executor:
    """Jobs of one backend, in one engine."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.client = Client(config.registry, config.docker_host)
        self.filing = Filing(config, self.client)
        self.finalized: dict[str, Results] = {}

    def status(self, job: Job) -> Status:
        """No container: prepared, if a volume says so. One that runs: executing. One that ended: executed, or finalized by this very process."""
        try:
            container = self.client.inspect(f"os-job-{job.id}", timeout=15)
        except DockerTimeout as error:
            raise ExecutorRetry(job.id) from error
        volume = volume_of(self.client, self.config.high, job.id)
        if container is None:
            if job.cancelled:
                return Status("finalized" if volume.exists() else "unknown")
            stamped = volume.stamped()
            return Status("unknown") if stamped is None else Status("prepared", stamped)
        if container["State"]["Running"]:
            return Status("executing", nanoseconds(container["State"]["StartedAt"]))
        if job.id in self.finalized:
            return Status("finalized", self.finalized[job.id].timestamp_ns)
        return Status("executed", nanoseconds(container["State"]["FinishedAt"]))

    def prepare(self, definition: Definition, inputs: list[str]) -> Status:
        """Make the volume, and put into it what the job needs."""
        if not self.client.has_image(definition.image):
            raise ExecutorError(f"Docker image {definition.image} is not currently available")
        current = self.status(definition.job)
        if current.state != "unknown":
            return current
        job = definition.job
        volume = volume_of(self.client, self.config.high, job.id)
        volume.create()
        with tempfile.TemporaryDirectory(prefix="study-") as folder:
            project = Path(folder) / "project.yaml"
            project.write_text(f"# {job.repo_url} at {job.commit}\n", encoding="utf-8")
            volume.put(project, "project.yaml")
        for name in inputs:
            source = self.filing.workspace(self.config.high, job) / name
            if not source.exists():
                raise ExecutorError(f"The file {name} doesn't exist in workspace {job.workspace} as requested for job {job.id}")
            volume.put(source, name)
        volume.stamp()
        return Status("prepared")

    def execute(self, definition: Definition) -> Status:
        """Start the container."""
        current = self.status(definition.job)
        if current.state != "prepared":
            return current
        job = definition.job
        options = ["--network", self.config.network if definition.database else "none"]
        options += ["--cpus", f"{self.config.cpu_count:g}"] if self.config.cpu_count else []
        options += ["--memory", self.config.memory] if self.config.memory else []
        volume = volume_of(self.client, self.config.high, job.id).name
        labels = {"jobrunner-local": "", "workspace": job.workspace, "action": job.action}
        try:
            self.client.run(f"os-job-{job.id}", [definition.image, *definition.arguments], volume, options, labels, definition.environment)
        except (subprocess.CalledProcessError, DockerTimeout) as error:
            raise ExecutorError(f"Failed to start docker container: {error}") from error
        return Status("executing")

    def terminate(self, job: Job) -> None:
        """Kill the container."""
        if self.status(job).state != "unknown":
            self.client.kill(f"os-job-{job.id}")

    def finalize(self, definition: Definition) -> Status:
        """File away outputs and logs."""
        job = definition.job
        container = self.client.inspect(f"os-job-{job.id}")
        if container is None:
            raise ExecutorError(f"failed to finalize job: Job container os-job-{job.id} has vanished")
        redact(container)
        found = self.filing.results(job, container)
        metadata = metadata_of(job, definition.database, container, found)
        if not job.cancelled:
            self.filing.keep(job, found)
        self.filing.write_logs(job, metadata, copy=not job.cancelled, excluded=found.excluded)
        self.finalized[job.id] = found
        return Status("finalized")

    def clean(self, job: Job) -> None:
        """Remove container, manager and volume."""
        self.client.remove(f"os-job-{job.id}")
        volume_of(self.client, self.config.high, job.id).remove()
        self.finalized.pop(job.id, None)


def admin_metadata(definition: Definition, container: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a job that an administrator killed: the container's environment in clear."""
    found = Results(container["State"]["ExitCode"], container["Image"], "job killed by OpenSAFELY administrator")
    return metadata_of(definition.job, definition.database, container, found)
