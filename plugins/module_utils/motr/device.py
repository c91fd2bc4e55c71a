# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a cob, read off its device.

The server writes past the page cache (O_DIRECT), so what another reader once left there may be old. It is read past the cache as well, or, where a file system
does not do that, after the cache was told to forget it.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from typing import Iterator, Sequence, Tuple

from .emap import Extent
from .errors import MotrError

SECTOR = 4096
"""Direct reads begin and end at multiples of this; blocks of a device are no smaller in Motr (``sad_bshift``)."""
_PIECE = 1 << 20


def read_extents(path: str, extents: Sequence[Extent]) -> Iterator[bytes]:
    """The bytes of these extents, one after the other, in pieces. Where nothing was ever written there are zeros."""
    handle, direct = _open(path)
    try:
        for extent in extents:
            if extent.device_offset is None:
                yield from _zeros(extent.length)
            else:
                yield from _read(handle, direct, path, extent.device_offset, extent.length)
    finally:
        os.close(handle)


def _zeros(length: int) -> Iterator[bytes]:
    for start in range(0, length, _PIECE):
        yield bytes(min(_PIECE, length - start))


def _open(path: str) -> Tuple[int, bool]:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            handle, direct = os.open(path, flags | os.O_DIRECT), True
        except OSError as exc:
            if exc.errno != errno.EINVAL:
                raise
            handle, direct = os.open(path, flags), False
    except OSError as exc:
        raise MotrError("the device %s cannot be read: %s" % (path, exc.strerror)) from exc
    mode = os.fstat(handle).st_mode
    if not stat.S_ISBLK(mode) and not stat.S_ISREG(mode):
        os.close(handle)
        raise MotrError("%s is neither a block device nor a file" % path)
    return handle, direct


def _read(handle: int, direct: bool, path: str, offset: int, length: int) -> Iterator[bytes]:
    end = offset + length
    at, until = offset - offset % SECTOR, -(-end // SECTOR) * SECTOR
    if not direct:
        os.posix_fadvise(handle, at, until - at, os.POSIX_FADV_DONTNEED)
    with mmap.mmap(-1, _PIECE) as buffer:  # which begins at a page, as direct reads want it
        while at < end:
            with memoryview(buffer) as view, view[: min(_PIECE, until - at)] as wanted:
                try:
                    count = os.preadv(handle, [wanted], at)
                except OSError as exc:
                    raise MotrError("the device %s cannot be read at byte %d: %s" % (path, at, exc.strerror)) from exc
                piece = bytes(wanted[max(0, offset - at) : min(count, end - at)])
            if not count or (count % SECTOR and at + count < end):
                raise MotrError("the device %s ends at byte %d, before the extent does at %d" % (path, at + count, end))
            yield piece
            at += count
