# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees to put into segments: extent maps with the extents that real Motr had on its devices, and a catalogue of three levels."""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from unit.plugins.module_utils.motr import nodes

from lab.motr.segment import ONE

HOLE = (1 << 64) - 2 - (1 << 32) + 1
BLOCK = 4096
SCANNED = re.compile(r"emap tree 6200000000000004:(\d) node \S+ stob (\w+):(\w+) \[(\d+),(\d+)\) -> (\d+) .*")
ROOT, LEFT, RIGHT, OLD = (ONE + 0x110000 + 0x10000 * number for number in range(4))
"""Where the map of device 1 is, and a leaf that is not in use any more."""
CATALOGUE = ONE + 0x200000
CATALOGUE_FID = "<6200000000000001:7>"
KEYS = [struct.pack("<Q4s", 4, b"%04d" % index) for index in range(40)]


class Extent(NamedTuple):
    """In blocks; `block` is None for a hole."""

    start: int
    end: int
    block: int | None


def real_extents(device: int) -> list[Extent]:
    """The extents of the only cob of a device, as a scan of the real segment found them, and the holes between them."""
    found: list[Extent] = []
    for line in (nodes.FIXTURES / "be_seg_scan_ios1.txt").read_text(encoding="ascii").splitlines():
        match = SCANNED.fullmatch(line)
        if match and int(match[1]) == device:
            start, end, block = (int(match[index]) for index in (4, 5, 6))
            after = found[-1].end if found else 0
            found += [Extent(after, start, None)] if start > after else []
            found.append(Extent(start, end, block))
    return found


def extent_map(device: int = 1, header: bool = True, old: bool = True) -> dict[int, bytes]:
    """The map of a device in a root and two leaves, with the header that Motr has before its root, and an old leaf elsewhere in memory."""
    stob, fid = (0x0200000001234567 + (device << 32), 0x89ABCDEF), (0x6200000000000004, device)
    rows = [*real_extents(device)]
    rows.append(Extent(rows[-1].end, (1 << 64) - 1, None))
    pairs = [nodes.emap_pair(stob, row.start, row.end, HOLE if row.block is None else row.block) for row in rows]
    half = len(pairs) // 2
    made = {
        ROOT: nodes.internal(nodes.FKVV, 4, 1, [pairs[half][0]], [LEFT, RIGHT], 8192, fid),
        LEFT: nodes.leaf(nodes.FKVV, 4, pairs[:half], 16384, 0, fid),
        RIGHT: nodes.leaf(nodes.FKVV, 4, pairs[half:], 16384, 0, fid),
    }
    if header:
        made[ROOT - 8192] = nodes.framed(7, b"")
    if old:
        made[OLD] = nodes.leaf(nodes.FKVV, 4, pairs[:2], 16384, 0, fid)
    return made


def catalogue() -> tuple[int, dict[int, bytes]]:
    """The root of a catalogue with keys and values of any length, in nodes of at most four records, and all of its nodes."""
    return nodes.tree(nodes.VKVV, 5, KEYS, struct.pack("<QQ", 3, 1) + b"abc", 4, CATALOGUE)
