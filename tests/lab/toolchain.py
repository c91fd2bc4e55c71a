# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A C compiler and a debugger, as Debian packages them: installed by whoever first asks for one on a machine that lacks it.

    program = compiled(SOURCE, tmp_path / "holder")      # -O2 -g -Wall -Werror; `options` are added
    subprocess.run([gdb(), "-nx", "-batch", ...])

No test is skipped for the want of one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.hosts.common import LabError, call, install

# gencat comes with the headers of the C library, which gcc only recommends.
PACKAGES = {"gcc": {"gcc": "gcc", "gencat": "libc6-dev"}, "gdb": {"gdb": "gdb"}}
COMPILE_TIMEOUT = 300.0


def gcc() -> str:
    """Path of the compiler, which has the headers of the C library."""
    return _program("gcc")


def gdb() -> str:
    """Path of the debugger."""
    return _program("gdb")


def compiled(source: Path, program: Path, *options: str) -> Path:
    """The program made of one C file."""
    call([gcc(), "-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", str(source), "-o", str(program), *options], f"gcc {source.name}", COMPILE_TIMEOUT)
    return program


def _program(name: str) -> str:
    install(PACKAGES[name])
    found = shutil.which(name)
    if found is None:
        raise LabError(f"{name} was installed, and is not on the PATH")
    return found


__all__ = ["compiled", "gcc", "gdb"]
