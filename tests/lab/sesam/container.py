# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in in a container, as the documentation's compose file starts the real one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lab import procfs
from lab.engine import Engine
from lab.hosts.common import as_root
from lab.sesam import image
from lab.sesam.running import Node

ARGUMENTS = ("--microservices=engine", "--enforce-license", "-b", "/sesam/data/backup", "--backup-use-checkpoints")
DATA, LOGS, CONTROL = "/sesam/data", "/sesam/logs", "/lab"
LABELS = {
    "com.docker.compose.project": "sesam",
    "com.docker.compose.service": "sesam-node",
    "com.docker.compose.container-number": "1",
    "com.centurylinklabs.watchtower.enable": "true",
}
COMMANDS = {
    "exec": "{chown} && exec gosu {owner} lake {words}",  # PID 1 is a shell, and then the node
    "shell": "{chown} && gosu {owner} lake {words}; echo ended",  # PID 1 is a shell, and the node is its child
}
Self = TypeVar("Self", bound="SesamNode")


class SesamNode(Node):
    """`SesamNode(tmp_path / "node", engine).start()`.

    `begins` is how: "exec" and "shell" as above, or "direct" (the node is what the container is started with). The chown takes `chown_seconds`.
    `owner` is `uid:gid` of the node. On this machine the log folder is below `sesam/node-00` in `path`, and so is a link to the data folder, which lies
    elsewhere; with `linked=False` both are simply there.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine,
        name: str = "sesam-node",
        begins: str = "exec",
        owner: str | None = None,
        linked: bool = True,
        chown_seconds: float = 0,
        arguments: Sequence[str] = ARGUMENTS,
        labels: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        restart_policy: str = "always",
        image_name: str = image.IMAGE,
        **chosen: Any,
    ) -> None:
        self.engine, self.name, self.begins, self.linked, self.chown_seconds = engine, name, begins, linked, chown_seconds
        self.owner = owner or f"{os.getuid()}:{os.getgid()}"
        self.labels, self.environment, self.restart_policy, self.image_name = labels or LABELS, dict(environment or {}), restart_policy, image_name
        super().__init__(path, arguments=arguments, **chosen)
        self.control.chmod(0o777)
        if linked:
            (path / "sesam/node-00").mkdir(parents=True, exist_ok=True)
            if not (path / "sesam/node-00/data").is_symlink():
                (path / "sesam/node-00/data").symlink_to(self.data)

    def folders(self) -> tuple[Path, Path]:
        """As today's compose file and the documentation have them, below `path`."""
        if not self.linked:
            return self.path / "data", self.path / "logs"
        return self.path / "srv/data/sesam/node-00/data", self.path / "sesam/node-00/logs"

    # -- life -----------------------------------------------------------------------------------------------------------------

    def start(self: Self, wait: bool = True) -> Self:
        """Start the container, made if there is none."""
        if self.engine.inspect(self.name) is None:
            self.run()
        else:
            self.engine.docker("start", self.name)
        return self.wait_up() if wait else self

    def run(self) -> None:
        """Make and start the container."""
        image.provide(self.engine, self.image_name)
        labels = [f"--label={name}={value}" for name, value in self.labels.items()]
        values = [f"--env={name}={value}" for name, value in {"LAB_SESAM": CONTROL, **self.environment}.items()]
        named = [f"--name={self.name}", f"--hostname={self.name}", f"--restart={self.restart_policy}", "--network=host", "--stop-timeout=5"]
        self.engine.docker("run", "--detach", *named, *labels, *values, *self._volumes(), self.image_name, *self.command())

    def _volumes(self) -> list[str]:
        node = self.path / "sesam/node-00"
        places = {node: "/sesam", node / "data": DATA} if self.linked else {self.data: DATA, self.logs: LOGS}
        return [f"--volume={here}:{there}" for here, there in {**places, self.control: CONTROL}.items()]

    def command(self) -> list[str]:
        """What is run in the container."""
        words = ["-l", LOGS, "-d", DATA, *self.arguments]
        if self.begins == "direct":
            return ["lake", *words]
        chown = f"chown -R {self.owner} {LOGS} {DATA}/"
        if self.chown_seconds:
            chown = f"sleep {self.chown_seconds:g} && {chown}"
        return ["sh", "-c", COMMANDS[self.begins].format(chown=chown, owner=self.owner, words=" ".join(words))]

    def stop(self) -> None:
        """docker stop."""
        self.engine.docker("stop", self.name)

    def restart(self: Self) -> Self:
        """docker restart."""
        self.engine.docker("restart", self.name)
        return self.wait_up()

    def recreate(self: Self, updated: bool = True, wait: bool = True) -> Self:
        """As watchtower does it: another container in its place, from another image (or the same) of the same name."""
        self.engine.docker("rm", "--force", self.name)
        if updated:
            image.load(self.engine, self.image_name, f"lab.release={time.time_ns()}")
        self.run()
        return self.wait_up() if wait else self

    def close(self) -> None:
        """Remove the container; the folders are the test's again."""
        with contextlib.suppress(AssertionError, subprocess.CalledProcessError):
            self.thaw()
        if self.engine.inspect(self.name) is not None:
            self.engine.docker("rm", "--force", "--volumes", self.name)
        subprocess.run(as_root("chown", "-R", f"{os.getuid()}:{os.getgid()}", str(self.path)), check=False)

    # -- looking --------------------------------------------------------------------------------------------------------------

    def inspect(self) -> dict[str, Any]:
        """What the engine says of the container."""
        found = self.engine.inspect(self.name)
        assert found is not None, f"there is no container {self.name}"
        return found

    @property
    def id(self) -> str:
        """Of the container."""
        return str(self.inspect()["Id"])

    @property
    def first_pid(self) -> int:
        """PID 1 of the container, as this machine has it; 0 when it does not run."""
        return int(self.inspect()["State"]["Pid"])

    @property
    def pid(self) -> int:
        """The node's process; 0 when there is none, or not yet."""
        found = [self.first_pid] if self.first_pid else []
        for pid in found:
            if _is_node(pid):
                return pid
            found += procfs.children(pid)
        return 0

    @property
    def output(self) -> str:
        """What the container said."""
        done = subprocess.run(["docker", "--host", self.engine.docker_host, "logs", self.name], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def kill(self) -> None:
        """The container is killed; one that is killed by hand is not started again by its policy."""
        self.engine.docker("kill", self.name)

    def crash(self) -> None:
        """The process dies, and the policy starts it again."""
        super().kill()


def _is_node(pid: int) -> bool:
    """Whether a process is `lake` as a program or a script."""
    try:
        words = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return False
    return "lake" in {os.path.basename(word) for word in words[:2]}
