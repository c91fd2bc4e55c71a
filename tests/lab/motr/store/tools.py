# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for m0cp and m0cat of Motr 2.0.0 (motr/st/utils): their options, what they print, how they end, and the trace file that they leave behind."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, NoReturn

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import ids, layout
from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import parity as parities

from lab.motr.store.cluster import Cluster

SUFFIXES = {"b": 512, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "K": 1000, "M": 1000**2, "G": 1000**3}
MOST_BLOCKS = 100
LEAST_SIZE, MOST_SIZE = 4096, 32 << 20


class Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(message, file=sys.stderr)
        sys.exit(1)


def count(text: str) -> int:
    """A number with a suffix."""
    number, factor = (text[:-1], SUFFIXES[text[-1]]) if text[-1:] in SUFFIXES else (text, 1)
    return int(number, 0) * factor


def options(name: str, words: list[str]) -> Namespace:
    """As `m0_utility_args_init` takes them."""
    parser = Parser(prog=name, add_help=False, allow_abbrev=False)
    for short, long in (("l", "local"), ("H", "ha"), ("p", "profile"), ("P", "process"), ("o", "object")):
        parser.add_argument(f"-{short}", f"--{long}", required=True)
    parser.add_argument("-s", "--block-size", type=count, required=True)
    parser.add_argument("-c", "--block-count", type=count, required=True)
    parser.add_argument("-L", "--layout-id", type=int, required=True)
    parser.add_argument("-b", "--blocks-per-io", type=int, default=0)
    parser.add_argument("-O", "--offset", type=count, default=0)
    parser.add_argument("-S", "--msg_size", type=int)
    parser.add_argument("-q", "--min_queue", type=int)
    parser.add_argument("-e", "--enable-locks", action="store_true")
    parser.add_argument("-r", "--read-verify", action="store_true")
    parser.add_argument("-u", "--update_mode", action="store_true")
    parser.add_argument("-G", "--DI-generate", action="store_true")
    parser.add_argument("-v", "--pver")
    parser.add_argument("file", nargs="?")
    found = parser.parse_args(words)
    if not LEAST_SIZE <= found.block_size <= MOST_SIZE or found.block_size % LEAST_SIZE:
        parser.error(f"block_size ({found.block_size}) is out of range. Size range: [4k-32m] multiple of 4k")
    if found.offset % LEAST_SIZE:
        parser.error("Offset should be multiple of 4k")
    return found


def main(name: str, folder: str, words: list[str]) -> int:
    """Run one of them."""
    Path(f"m0trace.{os.getpid()}").write_bytes(b"trace" * 1000)
    with open(Path(folder) / f"{name}.log", "a", encoding="utf-8") as log:
        log.write(" ".join(words) + "\n")
    cluster, wanted = Cluster(Path(folder)), options(name, words)
    return {"m0cp": copy, "m0cat": cat}[name](cluster, wanted)


def copy(cluster: Cluster, wanted: Namespace) -> int:
    """m0cp."""
    try:
        source = open(wanted.file, "rb")  # noqa: SIM115  closed below
    except OSError:
        return failed(wanted, -1)
    with source, cluster.changing() as state:
        oid = known(state, wanted.object)
        if wanted.update_mode and oid is None:
            return failed(wanted, -2)
        if not wanted.update_mode and oid is not None:
            print(f"Object {wanted.object} already exists: rc=-17. To update an existing object, use -u=start index.", file=sys.stderr)
            return 1
        if oid is None:
            oid = wanted.object
            state["objects"][oid] = {"lid": wanted.layout_id}
        offset = wanted.offset if wanted.update_mode else 0
        left, step = wanted.block_count, wanted.blocks_per_io or MOST_BLOCKS
        while left:
            blocks = min(left, step)
            data = source.read(blocks * wanted.block_size)
            if len(data) != blocks * wanted.block_size:
                os.abort()  # M0_ASSERT(rc == bcount)
            cluster.write(state, oid, offset, data)
            offset, left = offset + len(data), left - blocks
    return 0


def failed(wanted: Namespace, rc: int) -> int:
    print(f"Object {wanted.object} write failed: rc={rc}", file=sys.stderr)
    return 1


def cat(cluster: Cluster, wanted: Namespace) -> int:
    """m0cat."""
    print("pver is : <0:0>", file=sys.stderr)
    state = cluster.state()
    oid = known(state, wanted.object)
    if oid is None:
        print("m0_read failed! rc = -2", file=sys.stderr)
        return 1
    length = wanted.block_size * wanted.block_count
    bad = wrong_groups(cluster, state, oid, wanted.offset, length) if wanted.read_verify else []
    if bad:
        told = f"motr[{os.getpid()}]: "
        for text in (
            f"{told} bad0  ERROR  [io_pargrp.c:2315:pargrp_iomap_parity_verify]  [0x5624d354f7a0] parity verification failed for {bad[0]} [0:0], rc -5",
            f"{told} bad0  ERROR  [io_pargrp.c:2320:pargrp_iomap_parity_verify]  <! rc=-5",
            f"{told} bb70  ERROR  [io_req.c:1756:ioreq_parity_verify]  <! rc=-5 Parity verification failed for grpid={bad[0]}",
            f"{told} bbd0  ERROR  [io_req.c:521:ioreq_iosm_handle_executed]  parity verification failed: rc=-5",
            "Reading from object failed!",
            "m0_read failed! rc = -5",
        ):
            print(text, file=sys.stderr)
        return 1
    data = cluster.read(state, oid, wanted.offset, length)
    if wanted.file is None:
        sys.stdout.buffer.write(data)
    else:
        Path(wanted.file).write_bytes(data)
    return 0


def wrong_groups(cluster: Cluster, state: dict[str, Any], oid: str, offset: int, length: int) -> list[int]:
    """Groups of the range of which the parity does not fit."""
    per_group = cluster.n * layout.unit_size(state["objects"][oid]["lid"])
    found = []
    for group in range(offset // per_group, -(-(offset + length) // per_group)):
        units = [cluster.read_unit(state, oid, group, unit) for unit in range(cluster.n + cluster.k)]
        if not parities.verify(units, cluster.n, cluster.k):
            found.append(group)
    return found


def known(state: dict[str, Any], text: str) -> str | None:
    """The object, by its id in any spelling."""
    wanted = ids.parse_object_id(text)
    return next((oid for oid in state["objects"] if ids.parse_object_id(oid) == wanted), None)
