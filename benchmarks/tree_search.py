# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file in a tree of a million: `connect/tree.py`, which fits_file_info searches with, beside the runbook's `find`.

Ends with 1 when the two do not find the same.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from lab.keeper import keeper
from measure import CommandFailed, run
from run import rotated, snapshot
from table import Line

PER_DIRECTORY = 1000
NIGHTS = 50
NAMES = 20
SEARCH = """
import sys
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.tree import search
root, workers, *names = sys.argv[1:]
found = search(root, {name: [name, name + ".bz2"] for name in names}, workers=int(workers))
assert found.complete
print(*sorted(found.found.values()), sep="\\n")
"""


def grow(root: Path, files: int) -> str:
    """Nights below instruments, as the storage root has them; returns the last file of the last night, which is the newest."""
    for number in range(max(1, files // PER_DIRECTORY)):
        night = root / f"instrument{number // NIGHTS:02d}" / f"2026{number % NIGHTS:04d}"
        night.mkdir(parents=True)
        handle = os.open(night, os.O_RDONLY)
        for each in range(PER_DIRECTORY):
            os.mknod(f"N2026{number:05d}S{each:04d}.fits", dir_fd=handle)
        os.close(handle)
    return f"N2026{number:05d}S{PER_DIRECTORY - 1:04d}.fits"


def contenders(root: Path, newest: str) -> dict[str, tuple[str, list[str]]]:
    """By label: what it is held against, and the command."""
    absent = [f"absent{number:02d}.fits" for number in range(NAMES)]
    many = [word for name in absent for spelling in (name, name + ".bz2") for word in ("-o", "-name", spelling)][1:]

    def ours(workers: int, *names: str) -> list[str]:
        return [sys.executable, "-c", SEARCH, str(root), str(workers), *names]

    one, twenty, hit = "find: a name that is not there", f"find: {NAMES} names, each with .bz2", "find: the newest file, -quit"
    return {
        one: ("", ["find", str(root), "-name", absent[0]]),
        twenty: ("", ["find", str(root), *many]),
        hit: ("", ["find", str(root), "-name", newest, "-print", "-quit"]),
        "tree: a name that is not there, 1 worker": (one, ours(1, absent[0])),
        "tree: a name that is not there, 4 workers": (one, ours(4, absent[0])),
        f"tree: {NAMES} names, each with .bz2, 4 workers": (twenty, ours(4, *absent)),
        "tree: the newest file, 4 workers": (hit, ours(4, newest)),
        "python: nothing but start and import": ("", [sys.executable, "-c", SEARCH.partition("root,")[0]]),
    }


def render(lines: dict[str, Line]) -> str:
    rows = [("what", "wall s", "min - max", "cpu s", "peak MiB", "ratio")]
    for line in lines.values():
        label, wall, spread, cpu, peak, _statements, _ratio = line.cells(None)
        against = lines.get(line.against)
        rows.append((label, wall, spread, cpu, peak, f"{line.wall / against.wall:.2f} x find" if against else ""))
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if n in (0, 5) else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=1_000_000, help="files in the tree (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default: %(default)s)")
    options = parser.parse_args()
    if options.files < PER_DIRECTORY or options.rounds < 1:
        parser.error(f"it takes {PER_DIRECTORY} files or more, and a round")
    return options


def measure(work: Path, options: argparse.Namespace) -> dict[str, Line]:
    tree, root, streams = snapshot(work / "plugins"), work / "dataflow", work / "streams"
    root.mkdir()
    streams.mkdir()
    started = time.monotonic()
    newest = grow(root, options.files)
    print(f"{options.files:,} files made in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    env = dict(os.environ, PYTHONPATH=str(tree))
    known = contenders(root, newest)
    lines = {label: Line(label, against) for label, (against, _command) in known.items()}
    for number in range(-1, options.rounds):  # the first one only fills the caches
        printed = {}
        for label in rotated(list(known), max(0, number)):
            usage, printed[label] = run(known[label][1], streams, env)
            if number >= 0:
                lines[label].usages.append(usage)
        wrong = [label for label, line in lines.items() if line.against and printed[label].split() != printed[line.against].split()]
        if wrong:
            raise CommandFailed(f"{wrong[0]} and find do not find the same")
    return lines


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as work:
        keeper().watch_directory(work)  # also when this run is killed
        before = os.getloadavg()[0]
        try:
            lines = measure(Path(work), options)
        except CommandFailed as exc:
            print(f"The benchmark did not get to its end: {exc}", file=sys.stderr)
            return 1
        system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
        print(f"{options.files:,} files, {PER_DIRECTORY} to a directory; caches warm; median of {options.rounds} rounds")
        print(f"{os.cpu_count()} cores, {system}, Python {platform.python_version()}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after\n")
        print(render(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
