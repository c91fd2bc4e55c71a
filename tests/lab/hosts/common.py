# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all parts of the laboratory of hosts share: its place, its locks, how it speaks, and how it acts as root."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
PLACE = CHECKOUT / ".cache/lab"
# Two checkouts on one machine have an engine each: what lies outside of them carries this.
MARK = "fieldops-lab-" + hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:8]


class LabError(RuntimeError):
    """The laboratory could not do what it was asked; the message says what it would have needed."""


def say(text: str) -> None:
    """Tell a person what takes so long, or what is not as it should be."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One process of this checkout at a time. The kernel opens the lock of a process that was killed."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / f"{name}.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def as_root(*argv: str) -> list[str]:
    """The command as root runs it, which needs sudo for anybody else."""
    if os.geteuid() == 0:
        return list(argv)
    if shutil.which("sudo") is None:
        raise LabError(f"{argv[0]} must be run by root: become root, or install sudo")
    return ["sudo", "--non-interactive", *argv]


def call(argv: Sequence[str], what: str, timeout: float | None = None) -> str:
    """Run a command to its end; its output, or an error that says what was to be done."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{what}: {error}") from error
    if done.returncode:
        raise LabError(f"{what}: {tail(done.stderr or done.stdout)}")
    return done.stdout


def install(programs: dict[str, str]) -> None:
    """Install Debian packages for the programs that are missing (program -> package)."""
    if not missing_of(programs):
        return
    with locked("apt"):  # two lanes of the checks may want the same
        if missing := missing_of(programs):
            _install(missing)


def missing_of(programs: dict[str, str]) -> list[str]:
    """The packages of those programs that this machine does not have."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return sorted({package for program, package in programs.items() if shutil.which(program, path=path) is None})


def _install(missing: list[str]) -> None:
    if shutil.which("apt-get") is None:
        raise LabError(f"this machine lacks {', '.join(missing)}, and has no apt-get to install it with")
    say(f"installing {', '.join(missing)} ...")
    apt = as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=600")
    call([*apt, "update"], "apt-get update", timeout=600)
    call([*apt, "install", "--yes", "--no-install-recommends", *missing], f"apt-get install {' '.join(missing)}", timeout=900)


def tail(text: str, lines: int = 15) -> str:
    """The end of what a program said."""
    return "\n".join(text.strip().splitlines()[-lines:]) or "(it said nothing)"
