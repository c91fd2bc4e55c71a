# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The container for development of Talus's web server: killed between any two requests to a real Docker Engine that change something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.docker import Docker
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from ansible_collections.fieldops.runbooks.plugins.module_utils.talus.web_dev_state import configuration, shape
from crash.scenarios import Effect, Lab, Scenario
from docker import APIClient
from lab.mongo import free_port
from support import run_ok
from talusing import Host

NAME = "talus-web_dev"


class StartWebDev(Scenario):
    """Beside a database and a production web server that run."""

    module = "talus_web_dev"
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
        self.host = Host(lab.path / "talus", lab.fixture("engine"))
        lab.finish(self.host.close)
        self.app = self.host.path / "app"
        self.app.mkdir()
        (self.app / "manage.py").touch()
        self.port = free_port()
        self.host.run("db")
        self.host.run("web")

    def arguments(self) -> dict[str, Any]:
        known = {"docker_host": self.host.engine.docker_host, "state": self.state, "source": str(self.app)}
        return {**known, "command": ["sh"], "address": "127.0.0.1", "port": self.port, "volumes": []}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """What it is like, and whose the production's life is: nothing of it may have changed."""
        seen, production = self.host.engine.inspect(NAME), self.host.engine.inspect("talus-web")
        return {
            "container": seen and (seen["State"]["Running"], shape(seen)),
            "production": production and (production["Id"], production["State"]["StartedAt"]),
        }

    def restore(self, dump: Any) -> None:
        if dump["container"] is None:
            self.host.engine.docker("rm", "--force", NAME)
        elif self.dump()["container"] is None:
            docker = Docker(self.host.engine.docker_host)
            docker.start(NAME, configuration(dump["container"][1]))
            docker.close()

    def look(self, change: Change) -> dict[str, Any] | None:
        seen = self.host.engine.inspect(change.subject.removeprefix("container:"))
        return shape(seen) if seen else None


class EndWebDev(StartWebDev):
    """The container is there and goes."""

    state = "absent"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        run_ok(self.module, {**self.arguments(), "state": "present", "journal_dir": str(lab.path / "other")})


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"talus_web_dev": (StartWebDev, EndWebDev)}
