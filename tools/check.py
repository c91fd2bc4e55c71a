# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the project's checks: ``check.py [STAGE ...]``, all of them when none is named.

A stage writes to ``.cache/logs/<stage>.log``; the end of it is shown when the stage fails, all of it when it is the only one. A stage that
found nothing to check, or that left a process running, has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import coverage
import project
from leftovers import end_leftovers

LOGS = project.CACHE / "logs"
COVERED = project.CACHE / "coverage"
PLUGINS = project.ROOT / "plugins"
LINKED = re.compile(rf"({re.escape(str(project.ROOT))}/)?\.cache/tree/{project.COLLECTION}/")
ENOUGH_COVERAGE = 90.0
TAIL = 60


@dataclasses.dataclass
class Outcome:
    """What a stage comes to. ``ok`` is None when it does not apply."""

    ok: bool | None
    count: int = 0
    note: str = ""
    seconds: float = 0.0

    @property
    def word(self) -> str:
        """One word for the summary."""
        return {True: "ok", False: "FAILED", None: "skipped"}[self.ok]


class Shell:
    """Runs the commands of one stage, into its log."""

    def __init__(self, stage: str, live: bool) -> None:
        self.stage = stage
        self.live = live
        self.log = open(LOGS / f"{stage}.log", "w", encoding="utf-8")  # noqa: SIM115  closed by the stage's end
        self.mark = f"{stage}-{os.getpid()}"

    def run(self, *command: str | Path, cwd: Path = project.ROOT, **env: str) -> tuple[bool, str]:
        """Run a command to its end: did it succeed, and what did it print."""
        argv = [str(word) for word in command]
        self.say(f"$ {' '.join(argv)}\n")
        with subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, "NO_COLOR": "1", **env, "FIELDOPS_STAGE": self.mark},
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            lines = [self.say(line) for line in process.stdout or ()]
        return process.returncode == 0, "".join(lines)

    def say(self, text: str) -> str:
        """Write to the log, with the paths that a person would open."""
        text = LINKED.sub("", text)
        self.log.write(text)
        self.log.flush()
        if self.live:
            sys.stdout.write(text)
            sys.stdout.flush()
        return text

    def run_each(self, commands: dict[str, Sequence[str | Path]], cwd: Path = project.ROOT, **env: str) -> Outcome:
        """Run them all, whatever became of the ones before; each is one check."""
        failed = [name for name, command in commands.items() if not self.run(*command, cwd=cwd, **env)[0]]
        return Outcome(not failed, len(commands), ("failed: " + ", ".join(failed)) if failed else ", ".join(commands))


@contextlib.contextmanager
def clean_copy() -> Iterator[tuple[Path, Path]]:
    """A copy of the checkout as git would have it, where Ansible wants it: the root of that path, and the copy.

    ansible-test follows no symbolic link to its collection, and other tools would walk through all of .cache. What is copied is what an
    empty repository sees as new in this folder: so a checkout that git does not trust, or that is none, does as well.
    """
    with tempfile.TemporaryDirectory(prefix="copy-", dir=project.CACHE) as root:
        copy = root / project.COLLECTION
        copy.mkdir(parents=True)
        subprocess.run(["git", "init", "--quiet", copy], check=True)
        listing = ["git", f"--git-dir={copy / '.git'}", f"--work-tree={project.ROOT}", "ls-files", "-z", "--others", "--exclude-standard"]
        names = subprocess.run(listing, check=True, cwd=project.ROOT, stdout=subprocess.PIPE, text=True).stdout
        for name in filter(None, names.split("\0")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project.ROOT / name, copy / name, follow_symlinks=False)
        yield Path(root), copy


def lint(shell: Shell) -> Outcome:
    """Style and types."""
    python = [path for path in ("tests/lab", "tools", "benchmarks") if any((project.ROOT / path).rglob("*.py"))]
    here = shell.run_each(
        {
            "ruff": ["ruff", "check", "."],
            "ruff format": ["ruff", "format", "--check", "--quiet", "--diff", "."],
            "mypy": ["mypy", project.TREE / project.COLLECTION / "plugins", *python],
        }
    )
    with clean_copy() as (root, copy):
        there = shell.run_each(
            {"yamllint": ["yamllint", "--strict", "."], "ansible-lint": ["ansible-lint", "--profile=production", "--offline"]},
            cwd=copy,
            ANSIBLE_COLLECTIONS_PATH=str(root),
        )
    notes = [each.note for each in (here, there) if each.ok == (here.ok and there.ok)]
    return Outcome(here.ok and there.ok, here.count + there.count, ", ".join(notes))


def docs(shell: Shell) -> Outcome:
    """What a reader of the documentation meets."""
    with clean_copy() as (root, copy):
        return shell.run_each(
            {
                "antsibull-docs": [
                    *("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=all"),
                    *("--disallow-unknown-collection-refs", "."),
                ],
                "antsibull-changelog": ["antsibull-changelog", "lint"],
            },
            cwd=copy,
            ANSIBLE_COLLECTIONS_PATH=str(root),
        )


def sanity(shell: Shell) -> Outcome:
    """Ansible's own checks; compiling and importing is tried with every Python that was found."""
    with clean_copy() as (root, copy):
        command = ["ansible-test", "sanity", "--color", "no"]
        # First the environments of the tests, so that what is printed at the end is about the collection.
        ok, output = shell.run(*command, "--prime-venvs", cwd=copy, ANSIBLE_COLLECTIONS_PATH=str(root))
        if ok:
            ok, output = shell.run(*command, cwd=copy, ANSIBLE_COLLECTIONS_PATH=str(root))
    count = len(re.findall(r"^Running sanity test", output, re.MULTILINE))
    absent = sorted(set(re.findall(r"Skipping .* on Python (\S+) .*could not be found", output)), key=lambda version: int(version.split(".")[1]))
    notes = [f"not on this machine: Python {', '.join(absent)}"] if absent else []
    for path in (project.ROOT / "tests/sanity").glob("ignore-*.txt"):
        notes += [f"{path.name}: no reason beside {line!r}" for line in path.read_text(encoding="utf-8").splitlines() if "#" not in line]
        ok = ok and not any("no reason" in note for note in notes)
    return Outcome(ok and count > 0, count, "; ".join(notes))


def unit(shell: Shell) -> Outcome:
    """No server, no network."""
    return pytest(shell, "unit", ["tests/unit"])


def integration(shell: Shell) -> Outcome:
    """Real servers."""
    paths = [path for path in ("tests/integration", "tests/lab") if (project.ROOT / path).is_dir()]
    return pytest(shell, "integration", [*paths, "--numprocesses=2", "--dist=loadscope"])


def pytest(shell: Shell, name: str, arguments: list[str]) -> Outcome:
    """Run pytest; child processes and modules that Ansible shipped are measured as well."""
    shutil.rmtree(COVERED / name, ignore_errors=True)
    (COVERED / name).mkdir(parents=True)
    results = LOGS / f"{name}.xml"
    results.unlink(missing_ok=True)
    ok, _output = shell.run("coverage", "run", "-m", "pytest", *arguments, f"--junitxml={results}", COVERAGE_FILE=str(COVERED / name / "data"))
    if not results.exists():
        return Outcome(False, 0, "pytest did not get to its end")
    suites = list(ET.parse(results).iter("testsuite"))  # noqa: S314  our own file
    tests, bad, skipped = (sum(int(suite.get(key, 0)) for suite in suites for key in keys) for keys in (("tests",), ("failures", "errors"), ("skipped",)))
    notes = [f"{number} {word}" for number, word in ((bad, "failed"), (skipped, "skipped")) if number]
    return Outcome(ok and tests > skipped, tests, ", ".join(notes))


def covered(shell: Shell) -> Outcome:
    """Whether unit and integration tests together run enough of plugins/. A file that no test imports counts with all its lines."""
    measured = [str(COVERED / name) for name in ("unit", "integration") if any((COVERED / name).glob("data*"))]
    if len(measured) < 2:
        return Outcome(False, 0, "run the stages unit and integration first")
    sources = sorted(str(path) for path in PLUGINS.rglob("*.py"))
    report = coverage.Coverage(data_file=COVERED / "all", config_file=project.ROOT / "pyproject.toml")
    report.combine(measured, keep=True)
    report.get_data().touch_files(sources)
    table = io.StringIO()
    share = report.report(file=table, sort="cover", skip_empty=True)
    shell.say(table.getvalue())
    worst = [line for line in table.getvalue().splitlines() if line.endswith("%") and not line.startswith("TOTAL")][:8]
    print("\nLeast covered:\n  " + "\n  ".join(worst))
    return Outcome(share > ENOUGH_COVERAGE, len(sources), f"{share:.1f} % of plugins/, more than {ENOUGH_COVERAGE:.0f} % is wanted")


def molecule(shell: Shell) -> Outcome:
    """Roles, as a person who changes one runs them."""
    scenarios = sorted((project.ROOT / "extensions/molecule").glob("*/molecule.yml"))
    if not scenarios:
        return Outcome(None, 0, "no scenario yet")
    ok, _output = shell.run("molecule", "test", "--all", cwd=project.ROOT / "extensions")
    return Outcome(ok, len(scenarios))


STAGES: dict[str, Callable[[Shell], Outcome]] = {
    "lint": lint,
    "docs": docs,
    "sanity": sanity,
    "unit": unit,
    "integration": integration,
    "coverage": covered,
    "molecule": molecule,
}
# Each lane is run from left to right, both at once.
LANES = (("lint", "docs", "sanity", "molecule"), ("unit", "integration", "coverage"))


def run_stage(name: str, live: bool) -> Outcome:
    """Run one stage, tell what became of it."""
    started = time.monotonic()
    shell = Shell(name, live)
    with shell.log:
        outcome = STAGES[name](shell)
        left = end_leftovers(shell.mark)
        for line in left:
            shell.say(f"left running: {line}\n")
    if left:
        outcome = dataclasses.replace(outcome, ok=False, note=f"{len(left)} processes were left running")
    outcome.seconds = time.monotonic() - started
    print(f"{name}: {outcome.word} after {outcome.seconds:.0f} s", flush=True)
    if outcome.ok is False and not live:
        print("\n".join(f"  | {line}" for line in Path(shell.log.name).read_text(encoding="utf-8").splitlines()[-TAIL:]))
        print(f"  the whole of it: {Path(shell.log.name).relative_to(project.ROOT)}", flush=True)
    return outcome


def run_lane(names: Sequence[str], live: bool) -> Iterator[tuple[str, Outcome]]:
    """Run some stages one after the other."""
    for name in names:
        yield name, run_stage(name, live)


def main() -> None:
    """Run what was asked for, then say it all once."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("stages", nargs="*", choices=[[], *STAGES], metavar="STAGE", help=", ".join(STAGES))
    wanted = parser.parse_args().stages or list(STAGES)
    LOGS.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(LANES)) as pool:
        lanes = pool.map(lambda lane: dict(run_lane([name for name in lane if name in wanted], len(wanted) == 1)), LANES)
        outcomes = {name: outcome for lane in lanes for name, outcome in lane.items()}
    print(f"\n{'stage':<13}{'result':<9}{'checks':>7}{'seconds':>9}")
    for name in (name for name in STAGES if name in outcomes):
        outcome = outcomes[name]
        print(f"{name:<13}{outcome.word:<9}{outcome.count:>7,}{outcome.seconds:>9.1f}  {outcome.note}".rstrip())
    sys.exit(any(outcome.ok is False for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
