# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a job works: a Docker volume, or a folder. Which of them is told by what exists, for each job."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from .client import MOUNT, Client, manager

STAMP = ".opensafely-timestamp"


class DockerVolume:
    """A volume of Docker's."""

    def __init__(self, client: Client, job_id: str) -> None:
        self.client = client
        self.name = f"os-volume-{job_id}"

    def exists(self) -> bool:
        """Whether it is there."""
        return self.client.has_volume(self.name)

    def create(self) -> None:
        """Make it, or take it as it is."""
        self.client.create_volume(self.name)

    def remove(self) -> None:
        """Remove it."""
        self.client.remove_volume(self.name)

    def put(self, source: Path, path: str) -> None:
        """Copy a file in."""
        if "/" in path:
            self.client.in_manager(self.name, "mkdir", "-p", f"{MOUNT}/{Path(path).parent}")
        self.client.copy_in(self.name, str(source), path)

    def get(self, path: str, target: Path) -> None:
        """Copy a file out."""
        self.client.copy_out(self.name, path, str(target))

    def stamp(self) -> None:
        """Say that it is ready for the job."""
        with tempfile.NamedTemporaryFile("w", suffix=".stamp") as file:
            file.write(str(time.time_ns()))
            file.flush()
            self.put(Path(file.name), STAMP)

    def stamped(self) -> int | None:
        """When it was ready; None when it is not, or when its manager does not run."""
        if self.client.inspect(manager(self.name)) is None:
            return None
        try:
            return int(self.client.in_manager(self.name, "cat", f"{MOUNT}/{STAMP}").strip())
        except subprocess.CalledProcessError:
            return None

    def files(self, newer: bool = False) -> list[str]:
        """Files in it; or those that came after the stamp."""
        condition = ["-newer", f"{MOUNT}/{STAMP}"] if newer else []
        found = self.client.in_manager(self.name, "find", MOUNT, "-type", "f", *condition)
        return sorted(line[len(MOUNT) + 1 :] for line in found.splitlines())


class FolderVolume:
    """A folder below the high privacy base."""

    def __init__(self, high: Path, job_id: str) -> None:
        self.path = high / "volumes" / job_id
        self.name = str(self.path)

    def exists(self) -> bool:
        """Whether it is there."""
        return self.path.exists()

    def create(self) -> None:
        """Make it."""
        self.path.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Remove it; what cannot be removed stays, and nobody is told."""
        shutil.rmtree(self.path, ignore_errors=True)

    def put(self, source: Path, path: str) -> None:
        """Copy a file in."""
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, self.path / path)

    def get(self, path: str, target: Path) -> None:
        """Copy a file out."""
        shutil.copy(self.path / path, target)

    def stamp(self) -> None:
        """Say that it is ready for the job."""
        (self.path / STAMP).write_text(str(time.time_ns()), encoding="utf-8")

    def stamped(self) -> int | None:
        """When it was ready."""
        file = self.path / STAMP
        return int(file.read_text(encoding="utf-8") or 0) if file.exists() else None

    def files(self, newer: bool = False) -> list[str]:
        """Files in it; or those that came after the stamp."""
        after = (self.path / STAMP).stat().st_mtime if newer else 0.0
        return sorted(str(file.relative_to(self.path)) for file in self.path.rglob("*") if file.is_file() and file.stat().st_mtime > after)


Volume = DockerVolume | FolderVolume


def volume_of(client: Client, high: Path, job_id: str) -> Volume:
    """The job's volume; when it has none, the kind that it would get."""
    folder = FolderVolume(high, job_id)
    return folder if folder.exists() else DockerVolume(client, job_id)


def matching(files: Iterable[str], pattern: str) -> list[str]:
    """Files that a pattern means; its asterisks stop at slashes."""
    regex = re.compile("[^/]*".join(map(re.escape, pattern.split("*"))))
    return [file for file in files if regex.match(file)]
