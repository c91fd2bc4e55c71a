# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers for trees: the memory of a live process, and the file of its segments. Both only read.

The process is not stopped. What it changes while it is looked at may be seen in part, which readers of trees meet by reading again. The file
is behind the process by what is still in its log; both are equal when it is idle. A process is known by its pid and start time, so that
another one that got the same pid is never read.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType
from typing import Callable, Optional, Tuple, Type, TypeVar

from ..connect.procfs import Process, read_process
from .errors import MotrError
from .segment import HEADER_BYTES, Header, Mapping, block_device, parse_header, parse_maps, segments_of, to_offset

Ranges = Tuple[Tuple[int, int], ...]
"""Addresses of segments: the first one, and the first one behind."""
_Self = TypeVar("_Self", bound="_Source")
_Found = TypeVar("_Found", int, str)


class _Source:
    """Something that is open, and read at an offset."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self._descriptor = descriptor

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], exc: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _pread(self, offset: int, length: int) -> bytes:
        """All of ``length`` bytes, or MotrError."""
        if self._descriptor < 0:
            raise MotrError("%s was closed" % self.name)
        found = b""
        while len(found) < length:
            try:
                piece = os.pread(self._descriptor, length - len(found), offset + len(found))
            except (OSError, OverflowError) as exc:
                raise MotrError("%d bytes at %#x of %s cannot be read: %s" % (length, offset, self.name, getattr(exc, "strerror", exc))) from exc
            if not piece:
                raise MotrError("%s ended after %d of %d bytes at %#x" % (self.name, len(found), length, offset))
            found += piece
        return found


class ProcessMemory(_Source):
    """The segments of a process. ``device`` is where it keeps them if not in its file; else that is taken from its -B.

    ``start`` (clock ticks after boot) is for who has looked at the process before: another one with its pid is refused.
    Use it in a ``with`` statement. Every failure is a MotrError.
    """

    def __init__(self, pid: int, root: str = "/proc", device: Optional[str] = None, start: Optional[int] = None) -> None:
        self.root = root
        self.process = self._identify(pid, start)
        super().__init__("the memory of process %d" % pid, -1)
        self._descriptor = self._open("mem", lambda path: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            self.mappings = parse_maps(self._open("maps", _text))
            self.check()
        except BaseException:
            self.close()
            raise
        self.segments: Tuple[Mapping, ...] = segments_of(self.mappings, device or block_device(self.process.argv))
        if not self.segments:
            self.close()
            raise MotrError("process %d has no segment mapped: it is no m0d, or has not opened it yet, or keeps it elsewhere" % pid)

    def _identify(self, pid: int, start: Optional[int]) -> Process:
        process = read_process(pid, self.root)
        if process is None:
            raise MotrError("process %d is gone" % pid)
        if start not in {None, process.start}:
            raise MotrError("process %d is gone: another one has its pid" % pid)
        return process

    def _open(self, name: str, how: Callable[[str], _Found]) -> _Found:
        pid = self.process.pid
        try:
            return how("%s/%d/%s" % (self.root, pid, name))
        except PermissionError as exc:
            raise MotrError("the memory of process %d may be read only by root, or by %s with the right to trace it" % (pid, self.process.owner)) from exc
        except OSError as exc:
            self.check()
            raise MotrError("%s of process %d cannot be read: %s" % (name, pid, exc.strerror)) from exc

    def check(self) -> None:
        """MotrError if the process is not there any more."""
        self._identify(self.process.pid, self.process.start)

    @property
    def ranges(self) -> Ranges:
        return tuple((one.start, one.end) for one in self.segments)

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at an address, which must all be in one segment."""
        if not any(one.start <= address and address + length <= one.end for one in self.segments):
            raise MotrError("%d bytes at %#x are in no segment of process %d" % (length, address, self.process.pid))
        try:
            return self._pread(address, length)  # of the process that was identified, as what is open is its memory and not its pid's
        except MotrError:
            self.check()
            raise


class SegmentFile(_Source):
    """The file, or block device, of segments: read by the addresses that they have in the process. ``header`` says which those are."""

    def __init__(self, path: str) -> None:
        try:
            # A pipe of that name would be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as exc:
            raise MotrError("the file of segments %s cannot be opened: %s" % (path, getattr(exc, "strerror", exc))) from exc
        super().__init__(path, descriptor)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
                raise MotrError("%s is neither a file nor a block device" % path)
            self.header: Header = parse_header(self._pread(0, HEADER_BYTES))
            if self.header.fault:
                raise MotrError("the header of %s is damaged: %s" % (path, self.header.fault))
        except BaseException:
            self.close()
            raise

    @property
    def ranges(self) -> Ranges:
        return tuple((one.address, one.address + one.size) for one in self.header.items)

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes at an address, which must all be in one segment."""
        return self._pread(to_offset(self.header.items, address, length), length)


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
