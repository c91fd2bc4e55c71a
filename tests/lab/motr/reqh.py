# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live process with Motr's request handler under load, which a debugger meets as it would m0d.

with Handler(program) as handler:           # program = build(tmp_path); one for a session is enough
    handler.pid, handler.fid                # what m0d would have in its argv
    handler.ask()                           # what a client's request gets: 0, or -108 when they are stopped
    handler.do("spin 1")                    # see reqh.c
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from lab import procfs
from lab.toolchain import compiled

SOURCE = Path(__file__).with_name("reqh.c")
FID = f"<7200000000000001:{os.getpid():x}>"
"""Of its own in each process that runs tests: one finds a process by its fid, and others may have some at the same time."""
ENDPOINT = "inet:tcp:127.0.0.1@3007"
SERVED, REFUSED = 0, -108


def build(folder: Path, *options: str) -> Path:
    """The program, made of C as Motr is: optimized, with symbols. With -static a debugger has no libraries to read, which takes most of its time."""
    return compiled(SOURCE, folder / "reqh", "-pthread", *options)


def build_client(folder: Path) -> Path:
    """The same as a program that has a library of Motr, as an object gateway does: its first thread leads to no request handler."""
    library, main = folder / "libmotr.so", folder / "main.c"
    compiled(SOURCE, library, "-shared", "-fPIC", "-pthread", "-Dmain=motr_main")
    main.write_text("int motr_main(int, char **);\nint main(int argc, char **argv) { return motr_main(argc, argv); }\n")
    return compiled(main, folder / "gateway", str(library), f"-Wl,-rpath,{folder}")


class Handler:
    """A live process. It ends with whoever started it."""

    def __init__(self, program: Path, fid: str = FID, name: str = "m0d") -> None:
        self.fid = fid
        words = [name, "-e", ENDPOINT, "-f", fid]
        self._running = subprocess.Popen(words, executable=program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._running.pid
        self.port = int(self._line())
        self.started = procfs.start_time(self.pid)

    def __enter__(self) -> Handler:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def ask(self) -> int:
        """What a client gets for a request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(b"write\n")
            return int(client.makefile().readline())

    def do(self, line: str) -> str:
        """Have something done; what it said besides."""
        if self._running.stdin is None:
            raise RuntimeError("no input")
        print(line, file=self._running.stdin, flush=True)
        said = ""
        while (answer := self._line()) != "done":
            said = answer
        return said

    @property
    def state(self) -> int:
        """The state of the request handler, as the process itself has it."""
        return int(self.do("normal"))

    @property
    def tracer(self) -> int:
        return next(int(line.split()[1]) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith("TracerPid:"))

    @property
    def letter(self) -> str:
        """The state of the process, as ps shows it."""
        fields = procfs.stat_fields(self.pid)
        return fields[0] if fields else ""

    @property
    def well(self) -> bool:
        """Whether it lives, is neither traced nor stopped, and answers."""
        return self._running.poll() is None and self.tracer == 0 and self.letter not in ("T", "t") and self.ask() in (SERVED, REFUSED)

    def wait_untraced(self, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while self.tracer and time.monotonic() < deadline:
            time.sleep(0.01)

    def kill(self) -> None:
        self._running.kill()
        self._running.wait()
        for stream in (self._running.stdin, self._running.stdout):
            if stream is not None:
                stream.close()

    def _line(self) -> str:
        line = self._running.stdout.readline() if self._running.stdout is not None else ""
        if not line:
            raise RuntimeError("the process with a request handler has ended")
        return line.strip()
