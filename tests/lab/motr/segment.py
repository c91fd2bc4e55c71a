# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of Motr's back end: a file of them with real nodes in it, and a live process that maps it where m0d would.

segments = Segments(tmp_path / "m0d").write()
with Holder(program, segments) as holder:         # program = build(tmp_path); one for a session is enough
    holder.pid, holder.process                    # a pid, and the fid of the process that its argv has
    holder.poke(address, b"...")                  # in the process alone
    segments.poke(address, b"...")                # in the file, which a running process sees where it did not write itself
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from types import TracebackType

from unit.plugins.module_utils.motr import nodes

from lab import procfs
from lab.toolchain import compiled

SOURCE = Path(__file__).with_name("segment.c")
ZERO = 0x400000000000
ONE = ZERO + 0x100000
END = ZERO + 0x400000
MAP = 0x40000011E000
"""The real extent map of device 0, which has one cob."""
COB = "<4300000001234567:89abcdef>"
GOB = "<4700000001234567:89abcdef>"
FID = "<7200000000000001:0>"
"""The process that serves the devices 0, 1 and 2 in the real configuration, ^r|1:0."""


def build(folder: Path) -> Path:
    """The program, made of C."""
    return compiled(SOURCE, folder / "segment", "-pthread")


class Segments:
    """A file of two segments, 1 MiB and 3 MiB, at the addresses that Motr gives them. It has the real nodes; `nodes` are added."""

    def __init__(self, folder: Path, added: dict[int, bytes] | None = None) -> None:
        self.folder = folder
        self.path = folder / "db/o/100000000000000:2a"
        self.nodes = {int(node["addr"], 16): nodes.real(node["addr"]) for node in nodes.REAL} | (added or {})

    def write(self) -> Segments:
        """Make it, or make it whole again."""
        data = bytearray(_header().ljust(END - ZERO, b"\0"))
        for address, raw in self.nodes.items():
            data[address - ZERO : address - ZERO + len(raw)] = raw
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(data)
        return self

    def poke(self, address: int, data: bytes) -> None:
        """Change the file."""
        with open(self.path, "r+b") as file:
            file.seek(address - ZERO)
            file.write(data)

    def raw(self, address: int) -> bytes:
        """A node as it was written at first."""
        return self.nodes[address]


def _header() -> bytes:
    items = [(ONE - ZERO, ZERO, 0, 1, 5), (END - ONE, ONE, ONE - ZERO, 2, 5)]
    body = struct.pack("<QII", 2, len(items), 0) + b"".join(struct.pack("<QQQQQ", *item) for item in items).ljust(640, b"\0")
    return nodes.framed(9, body + b"fields 1".ljust(72, b"\0") + struct.pack("<Q", 5))


class Holder:
    """A live process with these segments mapped, or with none. It ends with whoever started it."""

    def __init__(self, program: Path, segments: Segments | None, process: str = FID) -> None:
        self.process = process
        words = ["m0d", "-e", "inet:tcp:127.0.0.1@3001", "-f", process, "-T", "ad"]
        words += ["-D", str(segments.path.parents[1])] if segments is not None else []
        self._running = subprocess.Popen(words, executable=program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._running.pid
        self._answer("mapped")
        self.started = procfs.start_time(self.pid)

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        """Whether it still runs, and is stopped by nobody."""
        return self._running.poll() is None and procfs.start_time(self.pid) == self.started

    def poke(self, address: int, data: bytes) -> None:
        """Change its memory, and not the file."""
        self._say(f"{address:x} {data.hex()}")

    def flip(self, address: int, data: bytes) -> None:
        """Change its memory and change it back, again and again, until the next poke."""
        self._say(f"flip {address:x} {data.hex()}")

    def kill(self) -> None:
        self._running.kill()
        self._running.wait()
        for stream in (self._running.stdin, self._running.stdout):
            if stream is not None:
                stream.close()

    def _say(self, line: str) -> None:
        if self._running.stdin is None:
            raise RuntimeError("no input")
        print(line, file=self._running.stdin, flush=True)
        self._answer("written")

    def _answer(self, wanted: str) -> None:
        line = self._running.stdout.readline() if self._running.stdout is not None else ""
        if line.strip() != wanted:
            self.kill()
            raise RuntimeError(f"a process with segments said {line!r} and not {wanted!r}")
