# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's connection to containers, `community.docker.docker`.

The collection is taken out of the package `ansible` of the Python index; the hundred others in there would only hide it if ours needed one of them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from lab.hosts.common import CHECKOUT, PLACE, LabError, call, locked, say

PACKAGE = "ansible==12.3.0"  # made for ansible-core 2.19
COLLECTIONS = ("community/docker", "community/library_inventory_filtering_v1")
TREE = CHECKOUT / ".cache/tree/ansible_collections"  # where every command of the project looks


def provide_docker_connection() -> None:
    """Put the collections where Ansible finds them, if they are not there."""
    with locked("connection"):
        if all((TREE / name / "MANIFEST.json").exists() for name in COLLECTIONS):
            return
        say(f"fetching {', '.join(name.replace('/', '.') for name in COLLECTIONS)} out of {PACKAGE} ...")
        with tempfile.TemporaryDirectory(dir=PLACE) as folder:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE]
            call(pip, f"pip download {PACKAGE}", timeout=600)
            wheel = next(Path(folder).glob("*.whl"))
            for name in COLLECTIONS:
                _take_out(wheel, f"ansible_collections/{name}/", Path(folder) / "taken", TREE / name)


def _take_out(wheel: Path, inside: str, work: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        members = [member for member in archive.namelist() if member.startswith(inside)]
        if not members:
            raise LabError(f"{wheel.name} holds no {inside}")
        archive.extractall(work, members)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(work / inside, target)
