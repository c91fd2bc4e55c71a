# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: reading and mending a long ingest queue with our modules, with the runbook's statements, with community.postgresql.

Ends with 1 when a step sends more statements to a long queue than to a short one, or leaves another table than it should.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import community
from contenders import CONTENDERS, Contender, Place, Step, Steps, WrongAnswer
from databases import Template, ask, copied, digest, fill
from lab import pg_binaries
from lab.fits.schema import OWNER
from lab.keeper import keeper
from lab.pg import Postgres
from lab.statements import StatementLog
from measure import CommandFailed, run
from table import Line, render, unsteady

ROOT = Path(__file__).resolve().parent.parent
MAJOR = 16
SHORT = 1000
T = TypeVar("T")


class Bench:
    """One run of the benchmark on one server."""

    def __init__(self, server: Postgres, work: Path, collections: Path) -> None:
        self.server = server
        self.work = work
        self.lines: dict[str, dict[str, Line]] = {}
        self.started = time.monotonic()
        tree, home = snapshot(work / "tree"), str(work / "ansible")
        self.env = dict(os.environ, PYTHONPATH=str(tree), ANSIBLE_COLLECTIONS_PATH=f"{tree}:{collections}")
        self.env.update(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg"), ANSIBLE_HOME=home, ANSIBLE_REMOTE_TMP=home, ANSIBLE_NOCOLOR="1")

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", file=sys.stderr, flush=True)

    def play(self, contender: Contender, template: Template, timed: bool) -> None:
        """Let a contender take its steps on a fresh copy: either timed, or counted and held against the whole table."""
        lines = self.lines.setdefault(template.generation, {})
        with copied(self.server, template) as database, tempfile.TemporaryDirectory(dir=self.work) as name:
            place = self._place(template, database, Path(name))
            log = None if timed else StatementLog(self.server, database, OWNER)
            steps = contender(place)
            step: Step | None = next(steps)
            while step is not None:
                usage, printed = run(step.command, place.directory, self.env, step.text)
                line = lines.setdefault(step.label, Line(step.label, step.against))
                if log is None:
                    line.usages.append(usage)
                else:
                    line.statements[template.rows] = len(log.taken())
                self._verify(template, database, step, whole=not timed)
                step = following(steps, printed)

    def _place(self, template: Template, database: str, directory: Path) -> Place:
        (directory / "nothing").mkdir()
        psql = pg_binaries.find(MAJOR) / "psql"
        return Place(template.generation, template.orphans, database, self.server.socket_dir, self.server.port, psql, directory)

    def _verify(self, template: Template, database: str, step: Step, whole: bool) -> None:
        """Every value of every row where nothing is timed; in between only that the orphans are there, or are not."""
        left = ask(self.server, database, "SELECT count(*) FROM ingestqueue WHERE inprogress")
        good = left == (template.orphans if step.leaves == "broken" else 0)
        if whole:
            good = good and digest(self.server, database) == getattr(template, step.leaves)
        if not good:
            raise WrongAnswer(f"generation {template.generation}, {template.rows} rows: the table is not {step.leaves} after {step.label}")


def snapshot(tree: Path) -> Path:
    """The collection as it is now, which is what every round measures, whatever is edited meanwhile."""
    place = tree / "ansible_collections" / "fieldops" / "runbooks"
    for name in ("plugins", "meta"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "galaxy.yml", place)
    return tree


def following(steps: Steps, printed: str) -> Step | None:
    try:
        return steps.send(printed)
    except StopIteration:
        return None


def rotated(things: Sequence[T], by: int) -> list[T]:
    """Nobody is always first."""
    return [*things[by % len(things) :], *things[: by % len(things)]]


def machine(server: Postgres, collections: Path) -> str:
    """What the figures depend on."""
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) / 1048576
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    postgres = ask(server, "postgres", "SELECT current_setting('server_version')")
    ansible = metadata.version("ansible-core")
    parts = [f"{os.cpu_count()} cores", f"{memory:.0f} GiB", system, f"PostgreSQL {postgres} on the same machine", f"Python {platform.python_version()}"]
    return ", ".join([*parts, f"ansible-core {ansible}", f"community.postgresql {community.version(collections)}"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the long queue (default: %(default)s)")
    parser.add_argument("--orphans", type=int, default=50_000, help="how many of them are orphans (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds (default: %(default)s)")
    parser.add_argument("--generations", default="CA", help="which of A, B and C (default: %(default)s)")
    options = parser.parse_args()
    if not (options.rows > SHORT and 0 < options.orphans <= options.rows and options.rounds > 0):
        parser.error(f"it takes more than {SHORT} rows, at least one of them an orphan, and at least one round")
    return options


def measure(bench: Bench, options: argparse.Namespace) -> None:
    """Every contender once on a short and a long queue, counted and checked in full; then the timed rounds, interleaved."""
    few = max(1, SHORT * options.orphans // options.rows)
    long = []
    for generation in options.generations:
        bench.say(f"generation {generation}: filling queues of {SHORT:,} and {options.rows:,} rows")
        short = fill(bench.server, generation, SHORT, few)
        long.append(fill(bench.server, generation, options.rows, options.orphans))
        for contender in CONTENDERS:
            bench.say(f"generation {generation}: {contender.__name__}, counted and checked")
            for template in (short, long[-1]):
                bench.play(contender, template, timed=False)
    for number in range(options.rounds):
        load = os.getloadavg()[0]
        bench.say(f"round {number + 1} of {options.rounds}; load {load:.1f}")
        for template in rotated(long, number):
            for contender in rotated(CONTENDERS, number):
                bench.play(contender, template, timed=True)


def report(bench: Bench, options: argparse.Namespace, described: str) -> int:
    """Print; the exit code."""
    print(
        f"{options.rows:,} rows, {options.orphans:,} orphans; median of {options.rounds} rounds; statements at {SHORT:,} and {options.rows:,} rows\n{described}"
    )
    bad = []
    for generation, lines in bench.lines.items():
        print(f"\nGeneration {generation}\n{render(lines)}")
        bad += [f"generation {generation}, {label}" for label in unsteady(list(lines.values()))]
    if bad:
        print(f"\nThe number of statements grows with the queue: {'; '.join(bad)}")
        return 1
    print("\nEvery step sent as many statements to the short queue as to the long one, and all ways left the very same table;")
    print("runbook_undo brought back every value of every row.")
    return 0


def main() -> int:
    options = arguments()
    collections = community.fetch()
    with tempfile.TemporaryDirectory(prefix="fieldops-bench-") as work, Postgres(fsync=True, major=MAJOR) as server:
        keeper().watch_directory(work)  # also when this run is killed
        before = os.getloadavg()[0]
        bench = Bench(server, Path(work), collections)
        try:
            measure(bench, options)
        except (CommandFailed, WrongAnswer) as exc:
            print(f"The benchmark did not get to its end: {exc}", file=sys.stderr)
            return 1
        described = f"{machine(server, collections)}; load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
        return report(bench, options, described)


if __name__ == "__main__":
    sys.exit(main())
