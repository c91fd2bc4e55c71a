# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs to look through a long log for a few kinds of entries, beside `grep -c` with the same expressions on the same file.

Ends with 1 when both do not count the same.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from lab.keeper import keeper
from measure import CommandFailed, run
from run import rotated, snapshot
from table import Line, render

KINDS = {"error": "ERROR", "critical": "CRITICAL|FATAL", "trace": "^Traceback", "disk": "No space left on device", "smtp": "SMTP.* refused"}
START = 1767225600  # 2026-01-01
OURS = """
import json, sys
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.logs import Clock, Kind, Span, scan
path, kinds, since = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])
found = scan(Span(path, clock=Clock("python"), since=since or None), [Kind(*kind) for kind in kinds.items()], ["BrokenPipeError"])
print(json.dumps({kind.name: kind.count for kind in found.kinds}))
"""


def lines(every: int) -> Iterator[tuple[float, str]]:
    """An ingest service at work, with an error now and then; and when it says so."""
    for number in itertools.count(1):
        now = START + 0.02 * number
        head = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + ",%03d 4711:" % (now % 1 * 1000)
        name = "N20260131S%04d.fits" % (number % 10000)
        if number % every:
            yield now, f"{head}ingest:{number % 400} INFO: Ingesting {name} - ({number % 77} in queue)\n"
        else:
            yield now, f'{head}ingest:99 ERROR: cannot open {name}\nTraceback (most recent call last):\n  File "ingest.py", line 3\nOSError: [Errno 5] I/O\n'


def fill(path: Path, size: int, every: int) -> float:
    """Write a log; the time in its last line."""
    written, source, now = 0, lines(every), 0.0
    with path.open("w", encoding="ascii") as file:
        while written < size:
            now, line = next(source)
            written += file.write(line)
    return now


def commands(path: Path, end: float) -> dict[str, list[str]]:
    ours = [sys.executable, "-c", OURS, str(path), json.dumps(KINDS)]
    return {
        "grep: grep -c -E": ["grep", "-c", "-E", "|".join(KINDS.values()), str(path)],
        "scan: the whole log": [*ours, "0"],
        "scan: its last minute": [*ours, str(end - 60)],
    }


def counted(label: str, printed: str) -> int:
    """How many lines there are of all kinds together; no line is of two."""
    return int(printed) if label.startswith("grep") else sum(json.loads(printed).values())


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mib", type=int, default=1024, help="size of the log (default: %(default)s)")
    parser.add_argument("--every", type=int, default=2000, help="one line in so many is an error (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default: %(default)s)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as name:
        keeper().watch_directory(name)
        work, log = Path(name), Path(name) / "service.log"
        tree = snapshot(work / "tree")
        env = dict(os.environ, PYTHONPATH=str(tree), LC_ALL="C")
        todo = commands(log, fill(log, options.mib << 20, options.every))
        measured = {label: Line(label, "grep: grep -c -E") for label in todo}
        seen: dict[str, int] = {}
        try:
            for number in range(options.rounds + 1):
                for label in rotated(list(todo), number):
                    usage, printed = run(todo[label], work, env)
                    seen[label] = counted(label, printed)
                    if number:  # the first round only fills the page cache
                        measured[label].usages.append(usage)
        except CommandFailed as exc:
            print(f"The benchmark did not get to its end: {exc}", file=sys.stderr)
            return 1
    print(f"{options.mib} MiB, one error in {options.every} lines; median of {options.rounds} rounds, the log in the page cache")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; load {os.getloadavg()[0]:.1f}\n\n{render(measured)}\n")
    print("Lines found: " + ", ".join(f"{label}: {count:,}" for label, count in seen.items()))
    return 0 if seen["grep: grep -c -E"] == seen["scan: the whole log"] > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
