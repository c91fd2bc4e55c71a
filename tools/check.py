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
import traceback
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import coverage
import project
from coverage.exceptions import CoverageWarning
from leftovers import end_leftovers

LOGS = project.CACHE / "logs"
COVERED = project.CACHE / "coverage"
PLUGINS = project.ROOT / "plugins"
LINKED = re.compile(rf"[^\s\"']*/{project.COLLECTION}/")
ENOUGH_COVERAGE = 90.0
TAIL = 60


@dataclasses.dataclass
class Outcome:
    """What a stage comes to. ``ok`` is None when it does not apply."""

    ok: bool | None
    count: int = 0
    note: str = ""
    seconds: float = 0.0
    text: str = ""  # to show in place of the end of the log

    @property
    def word(self) -> str:
        """One word for the summary."""
        return {True: "ok", False: "FAILED", None: "skipped"}[self.ok]


class Shell:
    """Runs the commands of one stage, into its log."""

    def __init__(self, log: Path, live: bool, env: dict[str, str]) -> None:
        self.log = log
        self.live = live
        self.env = {**os.environ, "NO_COLOR": "1", **env}
        log.write_bytes(b"")

    def run(self, *command: str | Path, cwd: Path = project.ROOT, **env: str) -> tuple[bool, str]:
        """Run a command to its end: did it succeed, and what did it print."""
        argv = [str(word) for word in command]
        self.say(f"$ {' '.join(argv)}\n")
        printed = []
        # Not a pipe: a process that is left running would hold it open, and this would wait for ever.
        with open(self.log, "ab") as log, open(self.log, encoding="utf-8", errors="replace") as reader:
            reader.seek(0, os.SEEK_END)
            process = subprocess.Popen(argv, cwd=cwd, env={**self.env, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            ended = False
            while not ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    ended = process.wait(timeout=0.1) is not None
                printed.append(self.show(reader.read()))
        return process.returncode == 0, "".join(printed)

    def say(self, text: str) -> None:
        """Add a remark to the log."""
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(self.show(text))

    def show(self, text: str) -> str:
        """What a person sees has the paths that they would open."""
        text = LINKED.sub("", text)
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
    report = coverage.Coverage(data_file=COVERED / "data", config_file=project.ROOT / "pyproject.toml")
    report.erase()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)  # a process that a test killed may have left half a file
        report.combine(measured, keep=True)
    report.get_data().touch_files(sources)
    table = io.StringIO()
    share = report.report(sources, file=table, sort="cover", skip_empty=True)
    shell.say(table.getvalue())
    worst = [line for line in table.getvalue().splitlines() if line.endswith("%") and not line.startswith("TOTAL")][:10]
    note = f"{share:.1f} % of plugins/, more than {ENOUGH_COVERAGE:.0f} % is wanted"
    return Outcome(share > ENOUGH_COVERAGE, len(sources), note, text="\n".join(["the least covered:", *worst]))


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
    path = LOGS / f"{name}.log"
    mark = f"{name}-{os.getpid()}"
    with temporary(f"fieldops-{name}-") as folder:
        shell = Shell(path, live, {"FIELDOPS_STAGE": mark, "TMPDIR": folder})
        try:
            outcome = STAGES[name](shell)
        except Exception as exc:  # noqa: BLE001  the other stages still have something to say
            shell.say(traceback.format_exc())
            outcome = Outcome(False, 0, f"{type(exc).__name__}: {exc}")
        if left := end_leftovers(mark):
            shell.say("".join(f"left running: {process}\n" for process in left))
            outcome = dataclasses.replace(outcome, ok=False, note=f"{len(left)} processes were left running")
    outcome.seconds = time.monotonic() - started
    print(f"{name}: {outcome.word} after {outcome.seconds:.0f} s", flush=True)
    if not live:
        shown = outcome.text.splitlines()
        if outcome.ok is False and not shown:
            shown = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
            shown.append(f"(all of it: {path.relative_to(project.ROOT)})")
        print("".join(f"  | {LINKED.sub('', line)}\n" for line in shown), end="", flush=True)
    return outcome


@contextlib.contextmanager
def temporary(prefix: str) -> Iterator[str]:
    """A folder for what a stage keeps for a while. Servers that run as users of their own must get through it."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # noqa: S103
        yield folder


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
