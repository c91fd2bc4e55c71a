# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems and what is in them, on the real one of the machine and on a small one of memory where root may mount it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import disk
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import open_files
from hypothesis import given, settings
from hypothesis import strategies as st

MIB = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB and 100 inodes."""
    place = tmp_path / "small disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=100", "small", str(place)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount: %s" % mounted.stderr.strip())
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_line_of_mountinfo(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
        "31 22 0:28 / /a\\040b\\134c ro,nosuid - tmpfs tmp\\040fs rw\n"
        "32 22 0:29 /sub /ro rw master:1 propagate_from:2 - xfs /dev/sdb ro,attr2\n"
        "broken\n",
        encoding="ascii",
    )
    assert disk.mounts(str(table)) == [
        disk.Mount((8, 1), "/", "ext4", "/dev/sda1", False),
        disk.Mount((0, 28), "/a b\\c", "tmpfs", "tmp fs", True),
        disk.Mount((0, 29), "/ro", "xfs", "/dev/sdb", True),
    ]


def mount(place: str, source: str = "") -> disk.Mount:
    return disk.Mount((0, 1), place, "x", source, False)


@pytest.mark.parametrize(
    ("path", "found"),
    [("/data/logs", "/data"), ("/data", "/data"), ("/database", "/"), ("/data/logs/old/x", "/data/logs/old"), ("/", "/")],
)
def test_the_mount_of_a_path(path: str, found: str) -> None:
    table = [mount("/"), mount("/data"), mount("/data/logs/old"), mount("/da")]
    seen = disk.mount_of(path, table)
    assert seen is not None
    assert seen.mount_point == found


def test_what_was_mounted_last_hides_the_other() -> None:
    assert disk.mount_of("/data/x", [mount("/data", "first"), mount("/data", "second")]) == mount("/data", "second")


def test_it_agrees_with_df(tmp_path: Path) -> None:
    seen = disk.file_system(str(tmp_path))
    df = subprocess.run(["df", "-B1", "--output=size,target,source,pcent", str(tmp_path)], capture_output=True, text=True, check=True)
    size, target, source, percent = df.stdout.splitlines()[1].split()
    assert (seen.size, seen.mount.mount_point, seen.mount.source) == (int(size), target, source)
    assert abs(100 * (1 - seen.share()) - float(percent.rstrip("%"))) <= 1.1


def test_a_small_file_system(small: Path) -> None:
    empty = disk.file_system(str(small))
    assert (empty.mount.mount_point, empty.mount.type, empty.mount.read_only) == (str(small), "tmpfs", False)
    assert (empty.size, empty.inodes) == (16 * MIB, 100)
    (small / "file").write_bytes(b"x" * MIB)
    full = disk.file_system(str(small))
    assert (full.used - empty.used, full.inodes_available) == (MIB, empty.inodes_available - 1)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    assert disk.file_system(str(small)).mount.read_only


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.file_system(str(tmp_path / "nothing"))


def test_a_deleted_file_holds_its_space_until_it_is_closed(small: Path) -> None:
    with open(small / "a (deleted)", "wb") as kept, open(small / "gone", "wb") as gone:
        kept.write(b"x" * MIB)
        gone.write(b"x" * 2 * MIB)
        gone.flush()
        kept.flush()
        (small / "gone").unlink()
        device = os.stat(small).st_dev
        [seen] = [each for each in open_files([os.getpid()]).deleted if each.device == device]
        assert (seen.path, seen.size, seen.pids) == (str(small / "gone"), 2 * MIB, (os.getpid(),))
        system = disk.file_system(str(small))
        assert system.used == disk.add_up(str(small)).size + seen.size
    assert disk.file_system(str(small)).used == disk.add_up(str(small)).size


def test_files_add_up_once_however_many_names_they_have(tmp_path: Path) -> None:
    (tmp_path / "sub" / "sub").mkdir(parents=True)
    (tmp_path / "sub" / "file").write_bytes(b"x" * 300000)
    os.link(tmp_path / "sub" / "file", tmp_path / "sub" / "sub" / "twin")
    os.symlink("/", tmp_path / "link")
    du = subprocess.run(["du", "-s", "-x", "-B1", str(tmp_path)], capture_output=True, text=True, check=True)
    assert disk.add_up(str(tmp_path)) == disk.Sum(int(du.stdout.split()[0]), 5, True)


def test_another_file_system_does_not_add_up(small: Path) -> None:
    alone = disk.add_up(str(small.parent)).size
    (small / "file").write_bytes(b"x" * MIB)
    assert disk.add_up(str(small.parent)).size == alone


def test_what_is_bounded_says_so(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / ("%02d" % number)).write_bytes(b"")
    assert disk.add_up(str(tmp_path), max_entries=10).complete is False
    assert disk.add_up(str(tmp_path), seconds=-1).complete is False
    assert disk.newest(str(tmp_path), max_entries=10).complete is False
    assert disk.newest(str(tmp_path), max_entries=21).complete is True
    assert disk.newest(str(tmp_path), max_entries=21).entries == 20


def tree(root: Path) -> None:
    """The deeper, the newer."""
    place = root
    for level in range(1, 5):
        (place / ("%d.fits" % level)).write_bytes(b"")
        os.utime(place / ("%d.fits" % level), (level, level * 1000))
        place = place / "sub"
        place.mkdir()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_newest_file_to_a_depth(tmp_path: Path, depth: int) -> None:
    tree(tmp_path)
    assert disk.newest(str(tmp_path), "*.fits", depth) == disk.Newest(
        str(tmp_path / "/".join(["sub"] * (depth - 1) + ["%d.fits" % depth])), depth * 1000.0, min(2 * depth, 8), True
    )


def test_links_and_other_names_are_not_the_newest(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "note.txt").write_bytes(b"")
    os.symlink(tmp_path / "note.txt", tmp_path / "link.fits")
    os.symlink(tmp_path / "sub", tmp_path / "way")
    assert disk.newest(str(tmp_path), "*.fits", 1).mtime == 1000.0
    assert disk.newest(str(tmp_path), "*.nothing", 9).path is None


def test_the_newest_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    os.utime(tmp_path / "a", (1, 2))
    assert disk.newest(str(tmp_path / "a")) == disk.Newest(str(tmp_path / "a"), 2.0, 1, True)


@settings(max_examples=25, deadline=None)
@given(ages=st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_no_file_is_newer_than_the_newest(tmp_path_factory: pytest.TempPathFactory, ages: list[int]) -> None:
    root = tmp_path_factory.mktemp("ages")
    for number, age in enumerate(ages):
        (root / str(number)).write_bytes(b"")
        os.utime(root / str(number), (0, age))
    assert disk.newest(str(root)).mtime == max(ages)


def test_snapshots_that_no_listing_shows(tmp_path: Path) -> None:
    (tmp_path / ".zfs" / "snapshot").mkdir(parents=True)
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume" / ".snapshot").mkdir()
    (tmp_path / "volume" / ".snapshots").write_text("no directory", encoding="ascii")
    found = disk.snapshots(str(tmp_path / "volume"), str(tmp_path), str(tmp_path))
    assert found == [str(tmp_path / "volume" / ".snapshot"), str(tmp_path / ".zfs" / "snapshot")]
