# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments: of a real process that maps a file with real nodes where Motr would, and of the file."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import read_process
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree_scan import scan, tops
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.btree_walk import read_node
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.emap import extents_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.errors import MotrError
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.ids import Fid
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.memory import ProcessMemory, SegmentFile
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr.segment import block_device, parse_header, parse_maps, segments_of, to_address, to_offset

from .nodes import REAL, framed, real

ZERO, ONE, SIZE = 0x400000000000, 0x400000100000, 0x100000
COB = Fid(0x4300000001234567, 0x89ABCDEF)
HOLDER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
descriptor = os.open(sys.argv[1], os.O_RDWR)
for offset in (0, 0x100000):
    # Read and write, fixed and private.
    wanted = 0x400000000000 + offset
    if libc.mmap(wanted, 0x100000, 3, 0x12, descriptor, offset) != wanted:
        sys.exit("not mapped")
print("mapped", flush=True)
for line in sys.stdin:
    address, value = line.split()
    ctypes.memmove(int(address, 16), bytes.fromhex(value), len(value) // 2)
    print("written", flush=True)
"""


def segment_file() -> bytes:
    """Both segments, with the real nodes where they were. Their header is made from be/seg_internal.h."""
    items = [(SIZE, ZERO, 0, 1, 5), (SIZE, ONE, SIZE, 2, 5)]
    body = struct.pack("<QII", 2, len(items), 0) + b"".join(struct.pack("<QQQQQ", *item) for item in items).ljust(640, b"\0")
    header = framed(9, body + b"fields 1".ljust(72, b"\0") + struct.pack("<Q", 5))
    data = bytearray(header.ljust(2 * SIZE, b"\0"))
    for node in REAL:
        at = int(node["addr"], 16) - ZERO
        raw = real(node["addr"])
        data[at : at + len(raw)] = raw[: max(0, 2 * SIZE - at)]
    return bytes(data)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "db" / "o" / "100000000000000:2a"
    path.parent.mkdir(parents=True)
    path.write_bytes(segment_file())
    return path


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "mapped\n"
        yield process
        process.kill()


def inside() -> dict[int, bytes]:
    return {int(node["addr"], 16): real(node["addr"]) for node in REAL if int(node["addr"], 16) < ZERO + 2 * SIZE - 16384}


def test_real_nodes_in_a_live_process(holder: subprocess.Popen[str]) -> None:
    with ProcessMemory(holder.pid) as memory:
        assert [(one.start, one.end) for one in memory.segments] == [(ZERO, ZERO + 2 * SIZE)]
        for address, raw in inside().items():
            assert memory.read(address, len(raw)) == raw
            assert not read_node(memory.read, address).faults
        found = extents_of(memory.read, 0x40000011E000, COB)
        assert (len(found.extents), found.size, found.faults) == (17, 56 * 4096, ())
        assert memory.ranges == ((ZERO, ZERO + 2 * SIZE),)
        assert tops(scan(memory.read, memory.ranges).nodes)[(4, Fid(0x6200000000000004, 0))] == (0x40000011E000,)


def test_what_the_process_changed_is_in_its_memory_and_not_in_the_file(holder: subprocess.Popen[str], path: Path) -> None:
    assert holder.stdin is not None and holder.stdout is not None
    print("%x %s" % (0x40000011E000 + 80, "00" * 8), file=holder.stdin, flush=True)
    assert holder.stdout.readline() == "written\n"
    with ProcessMemory(holder.pid) as memory, SegmentFile(str(path)) as file:
        assert [fault.code for fault in read_node(memory.read, 0x40000011E000).faults] == ["checksum"]
        assert not read_node(file.read, 0x40000011E000).faults


def test_the_file_is_read_by_address(path: Path) -> None:
    with SegmentFile(str(path)) as file:
        assert file.ranges == ((ZERO, ZERO + SIZE), (ONE, ONE + SIZE))
        assert (file.header.version, file.header.generation, len(file.header.items)) == ("fields 1", 5, 2)
        for address, raw in inside().items():
            assert file.read(address, len(raw)) == raw
        for address, length in ((ZERO - 1, 1), (ZERO + 2 * SIZE, 1), (ONE - 1, 2), (1 << 70, 1)):
            with pytest.raises(MotrError, match="in no segment"):
                file.read(address, length)
    with pytest.raises(MotrError, match="was closed"):
        file.read(ONE, 1)


def test_outside_of_segments_nothing_is_read(holder: subprocess.Popen[str]) -> None:
    with ProcessMemory(holder.pid) as memory:
        for address, length in ((ZERO - 1, 2), (ZERO + 2 * SIZE - 1, 2), (1 << 70, 1), (-1, 1)):
            with pytest.raises(MotrError, match="in no segment of process %d" % holder.pid):
                memory.read(address, length)


def test_a_process_that_goes_is_one_clear_error(holder: subprocess.Popen[str]) -> None:
    pid = holder.pid
    with ProcessMemory(pid) as memory:
        holder.kill()
        holder.wait()
        with pytest.raises(MotrError, match="process %d is gone" % pid):
            memory.read(ONE, 8)
    with pytest.raises(MotrError, match="process %d is gone" % pid):
        ProcessMemory(pid)


def test_another_process_with_the_same_pid_is_refused(holder: subprocess.Popen[str]) -> None:
    process = read_process(holder.pid)
    assert process is not None
    ProcessMemory(holder.pid, start=process.start).close()
    with pytest.raises(MotrError, match="another one has its pid"):
        ProcessMemory(holder.pid, start=process.start - 1)


def test_memory_that_ends_early_is_told(holder: subprocess.Popen[str], path: Path) -> None:
    """The file was cut off below the mapping: its pages cannot be had any more."""
    with ProcessMemory(holder.pid) as memory:
        os.truncate(path, SIZE)
        with pytest.raises(MotrError, match="process %d" % holder.pid):
            memory.read(ONE + 4096, 8192)
        assert memory.read(ZERO, 8) == segment_file()[:8]
    with SegmentFile(str(path)) as file, pytest.raises(MotrError, match="ended after 0 of 8 bytes"):
        file.read(ONE, 8)


def test_a_process_without_segments_is_refused(path: Path) -> None:
    with pytest.raises(MotrError, match="has no segment mapped"):
        ProcessMemory(os.getpid())


def fake(root: Path, maps: str) -> str:
    (root / "7").mkdir()
    (root / "7" / "cmdline").write_bytes(b"m0d\0-B\0/dev/vg/seg\0")
    (root / "7" / "stat").write_text("7 (m0d) S " + "0 " * 18 + "4711 0", encoding="ascii")
    (root / "7" / "maps").write_text(maps, encoding="ascii")
    (root / "7" / "mem").write_bytes(b"\0" * 0x2000 + b"here")
    return str(root)


def test_a_block_device_is_found_by_the_option_of_the_process(tmp_path: Path) -> None:
    root = fake(tmp_path, "2000-3000 rw-p 00000000 fd:00 12 /dev/vg/seg\n4000-5000 rw-p 00000000 fd:00 13 /srv/o/100000000000000:2a\n")
    with ProcessMemory(7, root) as memory:
        assert memory.read(0x2000, 4) == b"here"
        assert [one.path for one in memory.segments] == ["/dev/vg/seg"]
        with pytest.raises(MotrError, match="ended after 4 of 8 bytes"):
            memory.read(0x2000, 8)
    assert block_device(["m0d", "-B/dev/sdb", "x"]) == "/dev/sdb"
    assert block_device(["m0d", "-D", "/srv"]) is block_device(["m0d", "-B"]) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read all")
def test_who_may_not_read_is_told_so(tmp_path: Path) -> None:
    root = fake(tmp_path, "")
    (tmp_path / "7" / "mem").chmod(0)
    with pytest.raises(MotrError, match="only by root"):
        ProcessMemory(7, root)


def test_mappings_that_continue_each_other_are_one() -> None:
    text = """\
400000000000-400000001000 rw-p 00000000 08:01 12                         /m0/db/o/100000000000000:2a
400000001000-400000100000 rw-p 00001000 08:01 12                         /m0/db/o/100000000000000:2a (deleted)
400000100000-400000200000 rw-p 00200000 08:01 12                         /m0/db/o/100000000000000:2a
400000200000-400000300000 ---p 00300000 08:01 12                         /m0/db/o/100000000000000:2a
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f0000001000-7f0000002000 rw-p 00001000 08:01 14                         /m0/db/o/100000000000000:2b
7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0                          [stack]
nonsense
"""
    mappings = parse_maps(text)
    assert len(mappings) == 6
    assert [(one.start, one.size, one.offset) for one in segments_of(mappings)] == [(ZERO, SIZE, 0), (ONE, SIZE, 2 * SIZE)]


def test_addresses_and_offsets() -> None:
    items = parse_header(segment_file()).items
    for address in (ZERO, ONE - 1, ONE, ONE + SIZE - 1):
        assert to_address(items, to_offset(items, address)) == address
    with pytest.raises(MotrError, match="in no segment"):
        to_address(items, 2 * SIZE)


@pytest.mark.parametrize("at", [20, 24, 40, 700, 745, 755, 765])
def test_a_damaged_header_is_refused(path: Path, at: int) -> None:
    data = bytearray(segment_file())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(MotrError, match="damaged"):
        SegmentFile(str(path))


def test_what_is_no_file_of_segments_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(segment_file()[:700])
    (tmp_path / "other").write_bytes(bytes(4096))
    os.mkfifo(str(tmp_path / "pipe"))
    many = bytearray(segment_file()[:4096])
    many[24] = 17
    (tmp_path / "many").write_bytes(many)
    for name, text in {"none": "No such file", "short": "ended after 700", "other": "no file of segments", "pipe": "neither", "many": "17 segments"}.items():
        with pytest.raises(MotrError, match=text):
            SegmentFile(str(tmp_path / name))
