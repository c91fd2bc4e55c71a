# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for a cluster that stores objects: device images, the extent maps of its two servers in files of segments, and a configuration.

    cluster = Cluster.make(tmp_path / "cluster", n=4, k=2, s=2, devices=10)
    cluster.tools                                  # folder with m0cp and m0cat
    cluster.create("<1234567:89abcdef>", data, layout_id=3)
    cluster.damage("<1234567:89abcdef>", group=0, unit=1)

Where units are and what their parity is comes from the code that is checked against maps and parity of real Motr. What a write does is as the real client does
it, for better or worse: one that covers less than a group reads either the rest of the group or what it replaces, whichever is less, and in the latter case
corrects the parity by the difference (`io_pargrp.c`). Where the bytes on the device were wrong before, the parity is wrong afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import conf, ids, layout, parity
from unit.plugins.module_utils.motr import nodes

from lab.motr import segment
from lab.motr.store.conf import PROCESSES, conf_text

BLOCK = 4096
DEVICE_BLOCKS = 512
LAST = (1 << 64) - 1
HOLE = LAST - 1
EMAP = 4
TOOL = """#!{python}
import sys

sys.path[:0] = {path!r}

from lab.motr.store.tools import main

sys.exit(main({name!r}, {folder!r}, sys.argv[1:]))
"""


class Cluster:
    """What is in `folder`. Everything is read from there anew, as the tools are processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "conf.xc"
        self.tools = folder / "bin"
        self.cluster = conf.parse(self.conf.read_text(encoding="utf-8"))
        [self.pver] = self.cluster.of_kind("pver")
        self.n, self.k, self.s = (self.pver.fields[name] for name in "nks")
        self.devices = conf.devices(self.cluster, self.pver.fid)
        self.levels = conf.tree_levels(self.cluster, self.pver.fid)

    @classmethod
    def make(cls, folder: Path, n: int, k: int, s: int, devices: int) -> Cluster:
        """A new one, without objects."""
        folder.mkdir(parents=True)
        images = [folder / f"device{number}" for number in range(devices)]
        for image in images:
            # Whatever was on a device before is no part of what is allocated on it later.
            image.write_bytes(b"\xa5" * (DEVICE_BLOCKS * BLOCK))
        (folder / "conf.xc").write_text(conf_text(n, k, s, images), encoding="utf-8")
        (folder / "state.json").write_text(json.dumps({"objects": {}, "extents": {}, "next": {}}), encoding="utf-8")
        (folder / "bin").mkdir()
        for name in ("m0cp", "m0cat"):
            tool = folder / "bin" / name
            tool.write_text(TOOL.format(python=sys.executable, path=sys.path, name=name, folder=str(folder)), encoding="utf-8")
            tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
        cluster = cls(folder)
        with cluster.changing():
            pass
        return cluster

    # -- for tests -------------------------------------------------------------------------------------------------------

    def create(self, oid: str, data: bytes, layout_id: int) -> None:
        """A new object with these bytes, all of its groups whole."""
        with self.changing() as state:
            state["objects"][oid] = {"lid": layout_id}
            per_group = self.n * layout.unit_size(layout_id)
            for start in range(0, len(data), per_group):
                self.write(state, oid, start, data[start : start + per_group].ljust(per_group, b"\0"))

    def unit(self, oid: str, group: int, unit: int) -> bytes:
        """What lies on the device."""
        return self.read_unit(self.state(), oid, group, unit)

    def whole(self, oid: str, group: int) -> bool:
        """Whether data and parity of a group agree."""
        return parity.verify([self.unit(oid, group, unit) for unit in range(self.n + self.k)], self.n, self.k)

    def damage(self, oid: str, group: int, unit: int, pattern: bytes = b"\xff\x00rot") -> None:
        """Bytes on the device change by themselves."""
        state = self.state()
        raw = self.read_unit(state, oid, group, unit)
        self.write_unit(state, oid, group, unit, pattern + raw[len(pattern) :])

    def place(self, oid: str, group: int, unit: int, unit_size: int) -> tuple[conf.Device, ids.Fid, int]:
        """Device, cob, and byte in the cob."""
        gob = ids.gob_of(ids.parse_object_id(oid))
        target, frame = layout.map_unit(self.levels, self.n, self.k, self.s, gob, group, unit)
        device = self.devices[target]
        return device, ids.cob_of(gob, device.dev_idx), frame * unit_size

    def segment_of(self, process: str) -> Path:
        """The file of segments of a server."""
        return self.folder / f"server{PROCESSES.index(process)}" / "db/o/100000000000000:2a"

    # -- for the tools ---------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Objects, extents by cob, and the next free block of each device."""
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text(encoding="utf-8"))
        return found

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """The state, kept afterwards together with the servers' extent maps."""
        with open(self.folder / "lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.state()
            yield state
            part = self.folder / "state.part"
            part.write_text(json.dumps(state), encoding="utf-8")
            part.replace(self.folder / "state.json")
            for index, process in enumerate(PROCESSES):
                self._segments(state, index, process)

    def read(self, state: dict[str, Any], oid: str, offset: int, length: int) -> bytes:
        """Bytes of an object, as the client has them: nobody looks at the parity."""
        size = layout.unit_size(state["objects"][oid]["lid"])
        per_group = self.n * size
        groups = range(offset // per_group, -(-(offset + length) // per_group))
        raw = b"".join(self.read_unit(state, oid, group, unit) for group in groups for unit in range(self.n))
        return raw[offset - groups.start * per_group :][:length]

    def write(self, state: dict[str, Any], oid: str, offset: int, data: bytes) -> None:
        """One write of the client."""
        per_group = self.n * layout.unit_size(state["objects"][oid]["lid"])
        while data:
            group, start = divmod(offset, per_group)
            piece = data[: per_group - start]
            self._write_group(state, oid, group, start, piece)
            offset, data = offset + len(piece), data[len(piece) :]

    def _write_group(self, state: dict[str, Any], oid: str, group: int, start: int, piece: bytes) -> None:
        size = layout.unit_size(state["objects"][oid]["lid"])
        old = b"".join(self.read_unit(state, oid, group, unit) for unit in range(self.n))
        new = old[:start] + piece + old[start + len(piece) :]
        rest, replaced = len(old) - len(piece), len(piece) + self.k * size
        if rest < replaced:
            sums = parity.encode(_cut(new, size), self.k)
        else:
            differences = parity.encode([_xor(*pair) for pair in zip(_cut(old, size), _cut(new, size), strict=True)], self.k)
            sums = [_xor(self.read_unit(state, oid, group, self.n + number), each) for number, each in enumerate(differences)]
        touched = range(start // size, -(-(start + len(piece)) // size))
        for unit in touched:
            self.write_unit(state, oid, group, unit, new[unit * size : (unit + 1) * size])
        for number, each in enumerate(sums):
            self.write_unit(state, oid, group, self.n + number, each)

    def read_unit(self, state: dict[str, Any], oid: str, group: int, unit: int) -> bytes:
        size = layout.unit_size(state["objects"][oid]["lid"])
        device, cob, offset = self.place(oid, group, unit, size)
        block = state["extents"].get(str(cob), {}).get(str(offset // BLOCK))
        if block is None:
            return bytes(size)
        with open(device.path, "rb") as image:
            image.seek(block * BLOCK)
            return image.read(size)

    def write_unit(self, state: dict[str, Any], oid: str, group: int, unit: int, raw: bytes) -> None:
        device, cob, offset = self.place(oid, group, unit, len(raw))
        extents = state["extents"].setdefault(str(cob), {})
        if str(offset // BLOCK) not in extents:
            # Extents lie in the order of their allocation, and not without gaps.
            extents[str(offset // BLOCK)] = state["next"].get(str(device.dev_idx), 3)
            state["next"][str(device.dev_idx)] = extents[str(offset // BLOCK)] + len(raw) // BLOCK + 1
        with open(device.path, "r+b") as image:
            image.seek(extents[str(offset // BLOCK)] * BLOCK)
            image.write(raw)
            os.fsync(image.fileno())

    def _segments(self, state: dict[str, Any], index: int, process: str) -> None:
        """One map for each device of a server, a leaf that has all of its cobs."""
        segments = segment.Segments(self.folder / f"server{index}")
        segments.nodes = {}
        for number, device in enumerate(each for each in self.devices if str(each.process) == process):
            rows = []
            for cob, extents in state["extents"].items():
                fid = ids.parse(cob)
                if ids.device_from_cob(fid) == device.dev_idx:
                    rows += _rows(ids.ad_stob_of(fid), extents, self._unit_blocks(state, ids.gob_from_cob(fid)))
            rows.sort(key=lambda row: (row[0], row[2]))
            pairs = [nodes.emap_pair(*row) for row in rows]
            tree = tuple(ids.emap_tree_of(device.dev_idx))
            segments.nodes[segment.ONE + 0x40000 * number] = nodes.leaf(nodes.FKVV, EMAP, pairs, 0x20000, 0, (tree[0], tree[1]))
        segments.write()

    def _unit_blocks(self, state: dict[str, Any], gob: ids.Fid) -> int:
        found = next(each for oid, each in state["objects"].items() if ids.gob_of(ids.parse_object_id(oid)) == gob)
        return layout.unit_size(found["lid"]) // BLOCK


Row = tuple[tuple[int, int], int, int, int]


def _rows(stob: ids.Fid, extents: dict[str, int], blocks: int) -> list[Row]:
    """Extents with the holes between them, and the endless one behind them."""
    rows: list[Row] = []
    fid, after = (stob.container, stob.key), 0
    for start, block in sorted((int(start), block) for start, block in extents.items()):
        if start > after:
            rows.append((fid, after, start, HOLE))
        rows.append((fid, start, start + blocks, block))
        after = start + blocks
    return [*rows, (fid, after, LAST, HOLE)]


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _xor(one: bytes, two: bytes) -> bytes:
    return (int.from_bytes(one, "little") ^ int.from_bytes(two, "little")).to_bytes(len(one), "little")
