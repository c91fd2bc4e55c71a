# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""community.postgresql, out of the Python package ``ansible``: no Galaxy, and none of the hundred other collections."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent / ".cache" / "benchmarks"
PREFIX = "ansible_collections/community/postgresql/"


def fetch() -> Path:
    """The directory that holds ``ansible_collections``; made when it is not there, or for other requirements."""
    requirements = (HERE / "requirements.txt").read_bytes()
    ready = PLACE / "requirements.txt"
    if not ready.exists() or ready.read_bytes() != requirements:
        shutil.rmtree(PLACE, ignore_errors=True)
        PLACE.mkdir(parents=True)
        _download(PLACE)
        ready.write_bytes(requirements)
    return PLACE


def version(place: Path) -> str:
    manifest = json.loads((place / PREFIX / "MANIFEST.json").read_text(encoding="utf-8"))
    return str(manifest["collection_info"]["version"])


def _download(place: Path) -> None:
    print("Fetching community.postgresql (the package ansible, some 50 MB, once) ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as wheels:
        pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--only-binary=:all:", "--dest", wheels]
        subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=True, stdout=sys.stderr)
        (wheel,) = Path(wheels).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(place, [name for name in archive.namelist() if name.startswith(PREFIX)])
