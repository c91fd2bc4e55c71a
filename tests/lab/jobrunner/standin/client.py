# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker, by its command line client, as the real one calls it."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

LABEL = "job-runner"
MOUNT = "/workspace"


class DockerTimeout(Exception):
    """The client took too long."""


class Client:
    """The client, for one engine."""

    def __init__(self, registry: str, docker_host: str = "") -> None:
        self.registry = registry
        self.environment = {**os.environ, **({"DOCKER_HOST": docker_host} if docker_host else {})}

    def call(self, *arguments: str, timeout: float = 300.0, environment: Mapping[str, str] | None = None) -> str:
        """What the client says; CalledProcessError when it fails for whatever reason."""
        command = ["docker", *arguments]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=True,
                env={**self.environment, **(environment or {})},
            )
        except subprocess.TimeoutExpired as error:
            raise DockerTimeout from error
        return done.stdout

    def unless(self, excuses: tuple[str, ...], *arguments: str) -> bool:
        """Whether it was done; some failures are none."""
        try:
            self.call(*arguments)
        except subprocess.CalledProcessError as error:
            if error.returncode == 1 and any(excuse in error.stderr.lower() for excuse in excuses):
                return False
            raise
        return True

    # -- containers ---------------------------------------------------------------------------------------------------------

    def inspect(self, name: str, timeout: float = 300.0) -> dict[str, Any] | None:
        """A container; None when there is none."""
        try:
            found: dict[str, Any] = json.loads(self.call("container", "inspect", "--format", "{{json .}}", name, timeout=timeout))
        except subprocess.CalledProcessError as error:
            if error.returncode == 1 and "no such container" in error.stderr.lower():
                return None
            raise
        return found

    def kill(self, name: str) -> None:
        """End it at once; one that has ended, or never was, is as good."""
        self.unless(("no such container", "is not running"), "container", "kill", name)

    def remove(self, name: str) -> None:
        """Remove a container."""
        self.unless(("no such container",), "container", "rm", "--force", name)

    def run(self, name: str, command: list[str], volume: str, options: list[str], labels: Mapping[str, str], environment: Mapping[str, str]) -> None:
        """Start a container; values of its environment are not on the command line."""
        words = ["run", "--init", "--detach", "--label", LABEL, "--name", name, *options, "--volume", f"{volume}:{MOUNT}"]
        words += [word for key, value in labels.items() for word in ("--label", f"{key}={value}" if value else key)]
        words += [word for key in environment for word in ("--env", key)]
        self.call(*words, *command, environment=environment)

    def has_image(self, name: str) -> bool:
        """Whether the engine has an image; nothing is pulled."""
        return self.unless(("no such image",), "image", "inspect", "--format", "ok", name)

    def logs(self, name: str) -> str:
        """Both streams of a container."""
        command = ["docker", "container", "logs", "--timestamps", "--tail", "100000", name]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=True, env=self.environment).stdout

    # -- volumes and their managers --------------------------------------------------------------------------------------------

    def has_volume(self, name: str) -> bool:
        """Whether there is a volume; an engine that is away has none."""
        try:
            self.call("volume", "inspect", name)
        except subprocess.CalledProcessError:
            return False
        return True

    def create_volume(self, name: str) -> None:
        """A volume, and a container that keeps it in use and gives access to it."""
        self.call("volume", "create", "--label", LABEL, "--name", name)
        options = ["--interactive", "--restart=unless-stopped", "--network", "none"]
        try:
            self.run(manager(name), [f"{self.registry}/busybox", "sh"], name, options, {}, {})
        except subprocess.CalledProcessError as error:
            if error.returncode != 125 or "is already in use by container" not in error.stderr.lower():
                raise

    def remove_volume(self, name: str) -> None:
        """The manager first, then the volume."""
        self.unless(("no such container",), "rm", "--force", manager(name))
        self.unless(("no such volume",), "volume", "rm", name)

    def copy_in(self, volume: str, source: str, path: str) -> None:
        """Copy a file or folder into a volume."""
        self.call("cp", "--follow-link", source, f"{manager(volume)}:{MOUNT}/{path}")

    def copy_out(self, volume: str, path: str, target: str) -> None:
        """Copy a file out of a volume."""
        self.call("cp", "--follow-link", f"{manager(volume)}:{MOUNT}/{path}", target)

    def in_manager(self, volume: str, *command: str) -> str:
        """Run a command where the volume is mounted."""
        return self.call("container", "exec", manager(volume), *command)


def manager(volume: str) -> str:
    """The container beside a volume."""
    return f"{volume}-manager"


def nanoseconds(text: str) -> int:
    """A moment as Docker writes it."""
    whole, _point, rest = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.UTC).timestamp()
    return int(seconds) * 10**9 + int(rest.ljust(9, "0")[:9] or 0)
