# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker objects of jobs: one container, one volume and its manager for each (job-runner ``executors``).

What job-runner believes of a running job comes from these alone, so they are read in two calls for all jobs together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..connect.docker import Docker, timestamp
from .names import ID, container_name, job_of_container, job_of_manager, job_of_volume, manager_name, volume_name


@dataclass(frozen=True)
class Container:
    """``state`` as the engine says it: created, running, paused, restarting, removing, exited, dead."""

    id: str
    name: str
    state: str
    status: str
    labels: Mapping[str, str]
    image: str
    created: int

    def to_dict(self) -> Dict[str, Any]:
        return {"name": self.name, "state": self.state, "status": self.status, "image": self.image, "created": self.created}


@dataclass(frozen=True)
class Objects:
    """What there is of one job. ``directory`` is a volume in its other form: a folder below the high privacy base."""

    job_id: str
    container: Optional[Container] = None
    manager: Optional[Container] = None
    volume: Optional[str] = None
    directory: Optional[str] = None

    @property
    def any(self) -> bool:
        return any((self.container, self.manager, self.volume, self.directory))

    def to_dict(self) -> Dict[str, Any]:
        return {
            "container": self.container.to_dict() if self.container else None,
            "manager": self.manager.to_dict() if self.manager else None,
            "volume": self.volume,
            "directory": self.directory,
        }


def all_objects(docker: Docker, high: str) -> Dict[str, Objects]:
    """Objects of every job that has any, by job id."""
    return objects_in([container_of(listed) for listed in docker.containers()], docker.volumes(), high)


def objects_in(containers: Sequence[Container], volumes: Sequence[Mapping[str, Any]], high: str) -> Dict[str, Objects]:
    """The same from lists that are there already. By their exact names: a container that lost its labels is taken for the job's by upstream too."""
    found: Dict[str, Objects] = {}
    for container in containers:
        job, managed = job_of_container(container.name), job_of_manager(container.name)
        if job:
            found[job] = replace(found.get(job, Objects(job)), container=container)
        elif managed:
            found[managed] = replace(found.get(managed, Objects(managed)), manager=container)
    for name in (volume["Name"] for volume in volumes):
        job = job_of_volume(name)
        if job:
            found[job] = replace(found.get(job, Objects(job)), volume=name)
    for job in directories(high):
        found[job] = replace(found.get(job, Objects(job)), directory=directory_of(high, job))
    return found


def objects_of(docker: Docker, high: str, job_id: str) -> Objects:
    """Objects of one job by their exact names, whatever their labels."""
    container, manager, volume = docker.inspect(container_name(job_id)), docker.inspect(manager_name(job_id)), docker.volume(volume_name(job_id))
    folder = directory_of(high, job_id)
    return Objects(
        job_id,
        inspected(container) if container else None,
        inspected(manager) if manager else None,
        volume["Name"] if volume else None,
        folder if os.path.isdir(folder) else None,
    )


def directories(high: str) -> List[str]:
    """Jobs whose volume is a folder."""
    try:
        return sorted(name for name in os.listdir(os.path.join(high, "volumes")) if ID.fullmatch(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def directory_of(high: str, job_id: str) -> str:
    return os.path.join(high, "volumes", job_id)


def container_of(listed: Mapping[str, Any]) -> Container:
    """From ``GET /containers/json``."""
    name = next((each for each in listed["Names"] if each.count("/") == 1), listed["Names"][0]).lstrip("/")
    return Container(listed["Id"], name, listed["State"], listed["Status"], dict(listed["Labels"] or {}), listed["Image"], listed["Created"])


def inspected(container: Mapping[str, Any]) -> Container:
    """From ``GET /containers/ID/json``."""
    state, config = container["State"], container["Config"]
    created = int(timestamp(str(container.get("Created", ""))) or 0)
    return Container(container["Id"], container["Name"].lstrip("/"), state["Status"], _status(state), dict(config["Labels"] or {}), config["Image"], created)


def _status(state: Mapping[str, Any]) -> str:
    return "Up" if state["Running"] else "Exited (%s)" % state["ExitCode"]
