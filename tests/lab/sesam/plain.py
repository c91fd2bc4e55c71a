# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in as an ordinary process, quick to start."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TypeVar

from lab.keeper import keeper
from lab.sesam.running import PATIENCE, Node, interpreter, script

TESTS = Path(__file__).resolve().parents[2]
Self = TypeVar("Self", bound="PlainSesam")


class PlainSesam(Node):
    """`PlainSesam(tmp_path / "node").start()`."""

    process: subprocess.Popen[bytes] | None = None

    def start(self: Self, wait: bool = True) -> Self:
        """Start it, and wait until it answers."""
        folder = self.path / "bin"
        if not folder.exists():
            folder.mkdir()
            (folder / "lake").write_text(script(interpreter(), TESTS), encoding="utf-8")
            (folder / "lake").chmod(0o755)
            (folder / "go").symlink_to("lake")
        words = ["-l", str(self.logs), "-d", str(self.data), *self.arguments]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LAB_SESAM": str(self.control), "LAB_SESAM_SCRIPT": str(folder / "lake")}
        with open(self.path / "output", "ab") as output:
            self.process = subprocess.Popen(
                [interpreter(), str(folder / "lake"), *words], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/"
            )
        keeper().watch_process(self.process.pid, signal.SIGKILL)
        return self.wait_up() if wait else self

    @property
    def pid(self) -> int:
        """The process; 0 when it has ended."""
        return self.process.pid if self.process is not None and self.process.poll() is None else 0

    @property
    def output(self) -> str:
        """What it said outside of its logs."""
        return (self.path / "output").read_text(encoding="utf-8", errors="replace")

    def wait_ended(self) -> int:
        """The exit status of a node that ends by itself."""
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it in the ordinary way; what does not go is killed."""
        if self.process is None:
            return
        if self.pid:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
        keeper().forget_process(self.process.pid)

    close = stop
