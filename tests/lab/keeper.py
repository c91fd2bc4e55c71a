# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning up after a run that was killed.

The laboratory tells a small helper process, over a pipe, what it started and which directories it made. When the pipe
closes, because the run ended in whatever way, the helper ends those processes (only if pid and start time still agree),
removes those directories, and runs the commands that it was given.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import procfs


class Keeper:
    """The near end of the pipe. One per process is enough: see `keeper()`."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._helper = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    @property
    def usable(self) -> bool:
        """A fork inherits this object but must not speak for its parent."""
        return self._owner == os.getpid() and self._helper.poll() is None

    def watch_process(self, pid: int, signum: int = signal.SIGTERM) -> None:
        """End this process when the run is over."""
        self._tell({"op": "process", "pid": pid, "started": procfs.start_time(pid), "signal": int(signum)})

    def watch_directory(self, path: str | os.PathLike[str]) -> None:
        """Remove this directory when the run is over."""
        self._tell({"op": "directory", "path": os.fspath(path)})

    def watch_command(self, argv: list[str], cwd: str | os.PathLike[str]) -> None:
        """Run this command when the run is over."""
        self._tell({"op": "command", "argv": argv, "cwd": os.fspath(cwd)})

    def forget_process(self, pid: int) -> None:
        """The process was ended in the ordinary way."""
        self._tell({"op": "forget", "pid": pid})

    def forget_directory(self, path: str | os.PathLike[str]) -> None:
        """The directory was removed in the ordinary way."""
        self._tell({"op": "forget", "path": os.fspath(path)})

    def forget_command(self, argv: list[str]) -> None:
        """What the command was for was done in the ordinary way."""
        self._tell({"op": "forget", "argv": argv})

    def _tell(self, message: dict[str, Any]) -> None:
        if not self.usable or self._helper.stdin is None:
            return
        try:
            self._helper.stdin.write(json.dumps(message).encode() + b"\n")
            self._helper.stdin.flush()
        except BrokenPipeError:
            pass


_keeper: Keeper | None = None


def keeper() -> Keeper:
    """The keeper of this process, started on first use."""
    global _keeper
    if _keeper is None or not _keeper.usable:
        _keeper = Keeper()
    return _keeper


def _apply(message: dict[str, Any], processes: dict[int, dict[str, Any]], directories: list[str], commands: list[dict[str, Any]]) -> None:
    if message["op"] == "process":
        processes[message["pid"]] = message
    elif message["op"] == "directory":
        directories.append(message["path"])
    elif message["op"] == "command":
        commands.append(message)
    elif "pid" in message:
        processes.pop(message["pid"], None)
    elif "argv" in message:
        commands[:] = [command for command in commands if command["argv"] != message["argv"]]
    elif message["path"] in directories:
        directories.remove(message["path"])


def main(pipe: IO[bytes]) -> None:
    """The far end: listen until the pipe closes, then clean up, newest first."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    processes: dict[int, dict[str, Any]] = {}
    directories: list[str] = []
    commands: list[dict[str, Any]] = []
    for line in pipe:
        try:
            _apply(json.loads(line), processes, directories, commands)
        except (ValueError, KeyError):  # a half-written last line of a killed run
            continue
    for entry in reversed(list(processes.values())):
        procfs.end(entry["pid"], entry["started"], entry["signal"], grace=5.0)
    for path in reversed(directories):
        shutil.rmtree(path, ignore_errors=True)
    for command in reversed(commands):
        subprocess.run(command["argv"], cwd=command["cwd"], stdin=subprocess.DEVNULL, timeout=300, check=False)


if __name__ == "__main__":
    main(sys.stdin.buffer)
