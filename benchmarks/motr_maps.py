# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A million unit maps and the parity of 1 GiB, on one core, beside the loop that one would write first.

Ends with 1 when the ways do not come to the same.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import os
import platform
import random
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import fdtree, galois, layout, parity
from lab.keeper import keeper
from measure import CommandFailed, run
from run import rotated, snapshot

GFID = (0x4700000001EB8B40, 0x8743FEB6D4EA65D0)
TREES: dict[str, tuple[list[list[int]], int, int, int]] = {
    "4+2+2, 10 drives": ([[10]], 4, 2, 2),
    "8+2+2, 6 enclosures with 14 to 16 drives": ([[6], [14, 15, 16, 16, 16, 16]], 8, 2, 2),
}
SHAPES = ((4, 1), (4, 2), (8, 2))
UNIT = 1 << 18
DIFFERENT = 8
"""Groups that are made, and checked again and again."""
NAIVE_MAPS = 20_000


# -- what one would write first ------------------------------------------------------------------------------------------------


def naive_map(tile: fdtree.Tile, group: int, unit: int) -> tuple[int, int]:
    """All permutations drawn anew for each unit, as the C code does."""
    omega, inside = divmod(group, tile.groups)
    row, column = divmod(inside * tile.size + unit, tile.cols)
    targets = tile.targets(fdtree.start_state(*GFID, omega))
    return targets[column], row + omega * tile.rows


def naive_parity(data: list[bytes], k: int) -> list[bytes]:
    """A byte at a time, by tables of powers."""
    n, made = len(data), []
    rows = [[1] * n] if k == 1 else galois.cauchy(n, k)
    for row in rows:
        unit = bytearray(len(data[0]))
        for factor, source in zip(row, data, strict=True):
            for i, value in enumerate(source):
                if value:
                    unit[i] ^= galois.POWERS[galois.LOGARITHMS[factor] + galois.LOGARITHMS[value]]
        made.append(bytes(unit))
    return made


# -- what is measured, each in a process of its own ------------------------------------------------------------------------------


def map_units(which: str, how: str, share: int, amount: int) -> tuple[str, float]:
    """What the first units came to, and seconds of the processor for all of them."""
    levels, n, k, s = TREES[which]
    size, tile = n + k + s, fdtree.Tile(fdtree.Tree(levels), n, k, s)
    one = layout.Layout(tile, *GFID)
    if not how.endswith("numpy"):
        fdtree.numpy = None
    targets, frames = array("q"), array("q")
    pairs = [divmod(number, size) for number in range(amount)]
    groups, units = [list(each) for each in zip(*pairs, strict=True)]
    started = time.process_time()
    if how.startswith("groups"):
        targets, frames = one.map_groups(0, -(-amount // size))
    elif how.startswith("pairs"):
        targets, frames = one.map_many(groups, units)
    else:
        for group, unit in pairs:
            target, frame = naive_map(tile, group, unit) if how == "naive" else one.map(group, unit)
            targets.append(target)
            frames.append(frame)
    took = time.process_time() - started
    return hashlib.sha256(targets[:share].tobytes() + frames[:share].tobytes()).hexdigest(), took


def check_parity(which: str, how: str, share: int, amount: int) -> tuple[str, float]:
    """Parity made again for each group and held against what there is."""
    n, k = map(int, which.split("+"))
    dice = random.Random(1)  # noqa: S311  no secret
    groups = []
    for _group in range(DIFFERENT):
        data = [dice.randbytes(UNIT) for _unit in range(n)]
        groups.append((data, parity.encode(data, k)))
    if not how.endswith("numpy"):
        galois.numpy = None
    make = naive_parity if how == "naive" else parity.encode
    started = time.process_time()
    same = all(make(data, k) == there for data, there in itertools.islice(itertools.cycle(groups), -(-amount // share)))
    return "same" if same else "other", time.process_time() - started


WORK: dict[str, Callable[[str, str, int, int], tuple[str, float]]] = {"map": map_units, "check": check_parity}


# -- the comparison ----------------------------------------------------------------------------------------------------------------


@dataclass
class Contender:
    """One process. ``share`` is what every way does, so that they can be compared; ``amount`` what this one does in all."""

    kind: str
    which: str
    how: str
    share: int
    amount: int
    cpu: list[float] = field(default_factory=list)
    peak: float = 0.0

    @property
    def label(self) -> str:
        return f"{self.kind}: {self.which}: {self.how}"

    @property
    def command(self) -> list[str]:
        return [sys.executable, __file__, "--work", self.kind, self.which, self.how, str(self.share), str(self.amount)]

    @property
    def cost(self) -> float:
        """Seconds of the processor for one map, or for one byte."""
        return median(self.cpu) / self.amount


def contenders(maps: int, mib: int) -> Iterator[Contender]:
    faster = [""] if galois.numpy is None else ["", ", numpy"]
    for which in TREES:
        share = min(NAIVE_MAPS, maps)
        yield Contender("map", which, "naive", share, share)
        yield Contender("map", which, "one by one", share, maps)
        for how in ("pairs", "groups"):
            yield from (Contender("map", which, how + more, share, maps) for more in faster)
    for n, k in SHAPES:
        size = n * UNIT
        yield Contender("check", f"{n}+{k}", "naive", size, size)
        yield from (Contender("check", f"{n}+{k}", "parity" + more, size, mib << 20) for more in faster)


def measure(work: Path, rounds: int, known: list[Contender]) -> None:
    tree, streams = snapshot(work / "plugins"), work / "streams"
    streams.mkdir()
    env = dict(os.environ, PYTHONPATH=str(tree), OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    for number in range(rounds):
        said: dict[tuple[str, str], set[str]] = {}
        for index in rotated(list(range(len(known))), number):
            each = known[int(index)]
            usage, printed = run(each.command, streams, env)
            answer, took = printed.split()
            each.cpu.append(float(took))
            each.peak = max(each.peak, usage.peak_mib)
            said.setdefault((each.kind, each.which), {"same"} if each.kind == "check" else set()).add(answer)
        different = [f"{kind} {which}" for (kind, which), answers in said.items() if len(answers) > 1]
        if different:
            raise CommandFailed(f"not all ways come to the same: {', '.join(different)}")


def render(known: list[Contender]) -> str:
    rows = [("what", "amount", "cpu s", "min - max", "peak MiB", "per cpu second", "naive / this")]
    base: Any = None
    for each in known:
        base = each if each.how == "naive" else base
        unit, amount, speed = ("MiB", each.amount / 2**20, 1 / each.cost / 2**20) if each.kind == "check" else ("maps", each.amount, 1 / each.cost)
        spread = f"{min(each.cpu):.2f} - {max(each.cpu):.2f}"
        times = f"{base.cost / each.cost:.0f}"
        rows.append((each.label, f"{amount:,.0f} {unit}", f"{median(each.cpu):.2f}", spread, f"{each.peak:.0f}", f"{speed:,.0f} {unit}", times))
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) if n else cell.ljust(width) for n, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--maps", type=int, default=1_000_000, help="units to map (default: %(default)s)")
    parser.add_argument("--mib", type=int, default=1024, help="data whose parity is checked (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default: %(default)s)")
    parser.add_argument("--work", nargs=5, metavar=("KIND", "WHICH", "HOW", "SHARE", "AMOUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.maps, options.mib, options.rounds) < 1:
        parser.error("it takes at least one map, one MiB and one round")
    return options


def main() -> int:
    options = arguments()
    if options.work:
        kind, which, how, share, amount = options.work
        print(*WORK[kind](which, how, int(share), int(amount)))
        return 0
    before, known = os.getloadavg()[0], list(contenders(options.maps, options.mib))
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as work:
        keeper().watch_directory(work)  # also when this run is killed
        try:
            measure(Path(work), options.rounds, known)
        except CommandFailed as exc:
            print(f"The benchmark did not get to its end: {exc}", file=sys.stderr)
            return 1
    numpy = f"numpy {galois.numpy.__version__}" if galois.numpy is not None else "no numpy"
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    print(f"one core; units of {UNIT >> 10} KiB; median of {options.rounds} rounds, without the start of Python")
    print(f"{system}, Python {platform.python_version()}, {numpy}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after\n")
    print(render(known))
    return 0


if __name__ == "__main__":
    sys.exit(main())
