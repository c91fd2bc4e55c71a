# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for a cluster that stores objects is as awkward as the real one."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from lab.motr.store.cluster import Cluster

OID = "<1234567:89abcdef>"
CLIENT = ("-l", "0@lo:12345:34:101", "-H", "0@lo:12345:34:1", "-p", "<7000000000000001:0>", "-P", "<7200000000000001:64>")
UNIT = 16384


def run(cluster: Cluster, name: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([cluster.tools / name, *CLIENT, *words], cwd=cluster.folder, capture_output=True, check=False, env={**os.environ, "LC_ALL": "C"})


def data_of(size: int) -> bytes:
    return random.Random(7).randbytes(size)  # noqa: S311  any bytes


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster.make(tmp_path / "cluster", 4, 2, 2, 10)
    cluster.create(OID, data_of(3 * 4 * UNIT), 3)
    return cluster


def test_what_was_written_is_read(cluster: Cluster) -> None:
    done = run(cluster, "m0cat", "-o", OID, "-s", "16k", "-c", "12", "-L", "3", "-r", "out")
    assert (done.returncode, done.stderr) == (0, b"pver is : <0:0>\n")
    assert (cluster.folder / "out").read_bytes() == data_of(3 * 4 * UNIT)
    assert list(cluster.folder.glob("m0trace.*"))


def test_wrong_data_are_read_as_if_nothing_were_wrong(cluster: Cluster) -> None:
    cluster.damage(OID, 1, 2)
    words = ("-o", OID, "-s", str(4 * UNIT), "-c", "1", "-O", str(4 * UNIT), "-L", "3", "out")
    assert run(cluster, "m0cat", *words).returncode == 0
    assert (cluster.folder / "out").read_bytes() != data_of(3 * 4 * UNIT)[4 * UNIT : 8 * UNIT]
    done = run(cluster, "m0cat", "-r", *words)
    assert done.returncode == 1
    assert b"parity verification failed for 1 [0:0], rc -5" in done.stderr


def test_writing_the_wrong_unit_alone_spoils_both_parity_units(cluster: Cluster) -> None:
    cluster.damage(OID, 1, 2)
    whole = data_of(3 * 4 * UNIT)
    (cluster.folder / "unit").write_bytes(whole[6 * UNIT : 7 * UNIT])
    assert run(cluster, "m0cp", "-o", OID, "-u", "-s", "16k", "-c", "1", "-O", str(6 * UNIT), "-L", "3", "unit").returncode == 0
    assert cluster.unit(OID, 1, 2) == whole[6 * UNIT : 7 * UNIT]
    assert not cluster.whole(OID, 1)


def test_writing_the_whole_group_mends_it(cluster: Cluster) -> None:
    cluster.damage(OID, 1, 2)
    (cluster.folder / "group").write_bytes(data_of(3 * 4 * UNIT)[4 * UNIT : 8 * UNIT])
    assert run(cluster, "m0cp", "-o", OID, "-u", "-s", str(4 * UNIT), "-c", "1", "-O", str(4 * UNIT), "-L", "3", "group").returncode == 0
    assert all(cluster.whole(OID, group) for group in range(3))


def test_with_one_parity_unit_the_rest_of_the_group_is_read(tmp_path: Path) -> None:
    cluster = Cluster.make(tmp_path / "cluster", 2, 1, 1, 6)
    cluster.create(OID, data_of(2 * UNIT), 3)
    cluster.damage(OID, 0, 0)
    (cluster.folder / "unit").write_bytes(data_of(2 * UNIT)[:UNIT])
    assert run(cluster, "m0cp", "-o", OID, "-u", "-s", "16k", "-c", "1", "-L", "3", "unit").returncode == 0
    assert cluster.whole(OID, 0)


def test_how_they_end_otherwise(cluster: Cluster) -> None:
    (cluster.folder / "short").write_bytes(b"short")
    common = ("-s", "16k", "-c", "1", "-L", "3")
    assert b"already exists: rc=-17" in run(cluster, "m0cp", "-o", OID, *common, "short").stderr
    assert b"write failed: rc=-2" in run(cluster, "m0cp", "-o", "<1234567:1>", "-u", *common, "short").stderr
    assert b"m0_read failed! rc = -2" in run(cluster, "m0cat", "-o", "<1234567:1>", *common).stderr
    assert run(cluster, "m0cp", "-o", OID, "-u", *common, "short").returncode == -6
    assert b"out of range" in run(cluster, "m0cat", "-o", OID, "-s", "64m", "-c", "1", "-L", "3").stderr
