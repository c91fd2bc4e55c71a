# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images and containers for debugging: killed between any two requests to a real Docker Engine that change something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.images import Images
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.debug_state import configuration, shape
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.image_state import look
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from docker import APIClient
from lab.engine import Engine, busybox_root
from lab.jobrunner.backend import REGISTRY, Backend
from lab.registry import Registry

CORE, OTHER = "opensafely-core", "hub.example.org/opensafely-core"


class PullImage(Scenario):
    """A name that stands for an old image, a name that stands for another one, and a name that is not there."""

    module = "jobrunner_image"
    effects: Sequence[Effect] = tuple((Images, name, lambda *arguments: str(arguments[-1])) for name in ("pull", "tag", "remove"))
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.engine: Engine = lab.fixture("engine")
        self.registry = Registry().__enter__()
        lab.finish(lambda: self.registry.__exit__(None, None, None))
        self.repository = f"{self.registry.host}/{CORE}/python"
        self.names = [f"{self.repository}:v2", f"{OTHER}/python:v2", "hub.example.org/opensafely/python:v2"]
        lab.finish(self.forget)
        self.forget()
        self.registry.put(f"{CORE}/python", "v2", busybox_root(), note="old")
        self.engine.docker("pull", self.names[0])
        self.engine.docker("tag", self.engine.imported("busybox:lab"), self.names[1])
        self.registry.put(f"{CORE}/python", "v2", busybox_root(), note="new")

    def forget(self) -> None:
        for name in [*self.names, *self._digests()]:
            if self.engine.inspect(name, "image"):
                self.engine.docker("image", "rm", "--force", name)

    def _digests(self) -> list[str]:
        listed = self.engine.docker("image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}").split()
        return [name for name in listed if name.startswith(self.repository) and not name.endswith("<none>")]

    def arguments(self) -> dict[str, Any]:
        place = {"registry": OTHER, "proxy": f"{self.registry.host}/{CORE}", "config_files": []}
        return {"name": "python:v2", "docker_host": self.engine.docker_host, **place}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        return {name: (self.engine.inspect(name, "image") or {}).get("Id") for name in self.names}

    def restore(self, dump: Any) -> None:
        for name, wanted in dump.items():
            if wanted is None and self.engine.inspect(name, "image"):
                self.engine.docker("image", "rm", name)
            elif wanted is not None:
                self.engine.docker("tag", wanted, name)

    def look(self, change: Change) -> dict[str, Any] | None:
        docker = Docker(self.engine.docker_host)
        try:
            return look(Images(docker).get(change.subject.removeprefix("image:")), self.repository)
        finally:
            docker.close()


class LookAtVolume(Scenario):
    """A container beside a job that runs."""

    module = "jobrunner_debug"
    effects: Sequence[Effect] = (
        (APIClient, "create_container_from_config", lambda *_arguments: "container"),
        (APIClient, "start", lambda *_arguments: "container"),
        (APIClient, "rename", lambda *_arguments: "container"),
        (APIClient, "remove_container", lambda *_arguments, **_named: "container"),
    )
    finely = False
    state = "present"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.backend: Backend = lab.fixture("backend")
        self.job = self.backend.add_job("running", "executing", container="running")
        self.name = f"os-debug-{self.job}"

    def arguments(self) -> dict[str, Any]:
        return {**self.backend.params, "job_id": self.job, "image": f"{REGISTRY}/busybox:latest", "state": self.state}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """What it is like; nothing of it may be left half made beside the job."""
        seen = self.backend.engine.inspect(self.name)
        return {"container": seen and (seen["State"]["Running"], shape(seen)), "job": self.backend.objects(self.job)}

    def restore(self, dump: Any) -> None:
        if dump["container"] is None:
            self.backend.engine.docker("rm", "--force", self.name)
            return
        if self.dump()["container"] is None:
            docker = Docker(self.backend.engine.docker_host)
            docker.start(self.name, configuration(dump["container"][1]))
            docker.close()

    def look(self, change: Change) -> dict[str, Any] | None:
        seen = self.backend.engine.inspect(change.subject.removeprefix("container:"))
        return shape(seen) if seen else None


class LookNoMore(LookAtVolume):
    """The container is there and goes."""

    state = "absent"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        wanted = {"image": f"{REGISTRY}/busybox:latest", "volume": f"os-volume-{self.job}", "writable": False, "privileged": False, "lifetime": 5000}
        self.restore({"container": (True, wanted)})
