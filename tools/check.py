# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the project's checks: ``check.py [STAGE ...]``, all of them when none is named.

A stage writes to ``.cache/logs/<stage>.log``; the end of it is shown when the stage fails, all of it when it is the only one. A stage that
found nothing to check, or that left a process running, has failed.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import re
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import coverage
import project
from coverage.exceptions import CoverageWarning
from leftovers import end_leftovers
from newest import newest
from shell import Outcome, Shell, clean_copy, plain, temporary
from suites import COVERED, LOGS, Suite, alone, pytest

PLUGINS = project.ROOT / "plugins"
ENOUGH_COVERAGE = 90.0
TAIL = 60
PYTHONS = [f"3.{minor}" for minor in range(8, 14)]
"""What ansible-core 2.19 supports on managed nodes."""
EVERYTHING = "FIELDOPS_THOROUGH" in os.environ  # make thorough


def lint(shell: Shell) -> Outcome:
    """Style and types."""
    here = project.ROOT
    typed = [path for path in ("extensions/eda", "tests/lab", "tools", "benchmarks") if any((here / path).rglob("*.py"))]
    with clean_copy() as (root, copy):
        return shell.run_each(
            {
                "ruff": [here, "ruff", "check", "."],
                "ruff format": [here, "ruff", "format", "--check", "--quiet", "--diff", "."],
                "mypy": [here, "mypy", project.TREE / project.COLLECTION / "plugins", *typed],
                "yamllint": [copy, "yamllint", "--strict", "."],
                "ansible-lint": [copy, "ansible-lint", "--profile=production", "--offline"],
            },
            ANSIBLE_COLLECTIONS_PATH=str(root),
        )


def docs(shell: Shell) -> Outcome:
    """What a reader of the documentation meets."""
    references = ["--validate-collection-refs=all", "--disallow-unknown-collection-refs"]
    with clean_copy() as (root, copy):
        return shell.run_each(
            {
                "antsibull-docs": [copy, "antsibull-docs", "lint-collection-docs", "--plugin-docs", *references, "."],
                "antsibull-changelog": [copy, "antsibull-changelog", "lint"],
                "steps": [project.ROOT, "python", "tools/steps.py", "--check"],
                "site": [project.ROOT, "python", "tools/site.py", copy],
            },
            ANSIBLE_COLLECTIONS_PATH=str(root),
        )


def sanity_parts() -> list[list[str]]:
    """What ansible-test is asked for. Two of its tests take longer than all others together.

    All is compiled with every Python that was found, and imported with the oldest and the newest. pylint is had over what is shipped: of the rest, ruff
    has nearly all that it would say. `make thorough` leaves nothing out.
    """
    if EVERYTHING:
        return [[]]
    found = [version for version in PYTHONS if shutil.which(f"python{version}")]
    imports = [["--test", "import", "--python", version] for version in sorted({found[0], found[-1]}, key=found.index)] if found else []
    return [["--skip-test", "pylint", "--skip-test", "import"], ["--test", "pylint", "plugins/"], *imports]


def sanity(shell: Shell) -> Outcome:
    """Ansible's own checks."""
    command = ["ansible-test", "sanity", "--color", "no"]
    output = ""
    with clean_copy() as (root, copy):
        ok = True
        for part in sanity_parts():
            # First the environments of the tests, so that what is printed at the end is about the collection.
            primed, said = shell.run(*command, *part, "--prime-venvs", cwd=copy, ANSIBLE_COLLECTIONS_PATH=str(root))
            passed = False
            if primed:
                passed, said = shell.run(*command, *part, cwd=copy, ANSIBLE_COLLECTIONS_PATH=str(root))
            ok, output = ok and passed, output + said
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
    # A machine that cannot have these tests less.
    programs = {"rsync": "rsync", "strace": "strace", "ss": "iproute2", "java": "default-jre-headless"}
    shell.run("python", "-c", f"from lab.hosts.common import install; install({programs})", cwd=project.ROOT / "tests")
    paths = [path for path in ("tests/integration", "tests/lab") if (project.ROOT / path).is_dir()]
    return pytest(shell, "integration", [*paths, "--numprocesses=3", "--dist=loadscope"])


def hosts(shell: Shell) -> Outcome:
    """Hosts with systemd. Building their images is no test's time."""
    ok, output = shell.run("python", "-m", "lab.hosts", "build", cwd=project.ROOT / "tests")
    if not ok:
        return Outcome(False, 0, f"no laboratory: {(output.splitlines() or ['?'])[0]}")
    # They mostly wait; and what runs on a host is not measured from here.
    return pytest(shell, "hosts", ["tests/hosts", "--numprocesses=2", "--dist=loadfile"], measured=False)


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
    scenarios = list((project.ROOT / "extensions/molecule").rglob("molecule.yml"))
    if not scenarios:
        return Outcome(None, 0, "no scenario yet")
    ok, output = shell.run("molecule", "test", "--all")
    idle = "no hosts matched" in output  # which Ansible takes for a success
    return Outcome(ok and not idle, len(scenarios), "a play had no hosts" if idle else "")


STAGES: dict[str, Callable[[Shell], Outcome]] = {
    "lint": lint,
    "docs": docs,
    "sanity": sanity,
    "unit": unit,
    "integration": integration,
    "coverage": covered,
    "hosts": hosts,
    "molecule": molecule,
    "newest": newest,
}
# Each lane is run from left to right, both at once.
LANES = (("lint", "docs", "sanity", "hosts", "molecule", "newest"), ("unit", "integration", "coverage"))


def run_stage(name: str, live: bool) -> Outcome:
    """Run one stage, tell what became of it."""
    path = LOGS / f"{name}.log"
    mark = f"{name}-{os.getpid()}"
    with project.locked(path.with_suffix(".lock")), temporary(f"fieldops-{name}-") as folder:
        started = time.monotonic()
        shell = Shell(path, live, {"FIELDOPS_STAGE": mark, "TMPDIR": folder, **({"PYTEST_ADDOPTS": "-m ''"} if EVERYTHING else {})})
        try:
            outcome = STAGES[name](shell)
        except Exception as exc:  # noqa: BLE001  the other stages still have something to say
            shell.say(traceback.format_exc())
            outcome = Outcome(False, 0, f"{type(exc).__name__}: {exc}")
        if left := end_leftovers(mark):
            shell.say("".join(f"left running: {process}\n" for process in left))
            outcome = Outcome(False, outcome.count, f"{len(left)} processes were left running")  # whatever its tests would say alone
    outcome.seconds = time.monotonic() - started
    print(f"{name}: {outcome.word} after {outcome.seconds:.0f} s", flush=True)
    if not live:
        shown = outcome.text.splitlines()
        if outcome.ok is False and not shown:
            shown = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
            shown.append(f"(all of it: {path.relative_to(project.ROOT)})")
        print("".join(f"  | {plain(line)}\n" for line in shown), end="", flush=True)
    return outcome


def main() -> None:
    """Run what was asked for, then say it all once."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("stages", nargs="*", choices=[[], *STAGES], metavar="STAGE", help=", ".join(STAGES))
    wanted = parser.parse_args().stages or list(STAGES)
    LOGS.mkdir(parents=True, exist_ok=True)
    live = len(wanted) == 1
    with ThreadPoolExecutor(len(LANES)) as pool:
        lanes = pool.map(lambda lane: {name: run_stage(name, live) for name in lane if name in wanted}, LANES)
        outcomes = {name: outcome for lane in lanes for name, outcome in lane.items()}
    outcomes = {name: alone(name, outcome) for name, outcome in outcomes.items()}
    if "molecule" in outcomes and outcomes["molecule"].ok is False and not live:
        again = run_stage("molecule", live)  # for the reason that tools/suites.py gives
        outcomes["molecule"] = dataclasses.replace(again, note=again.note or "failed beside the others; alone it passed") if again.ok else again
    print(f"\n{'stage':<13}{'result':<9}{'checks':>7}{'seconds':>9}")
    for name in (name for name in STAGES if name in outcomes):
        outcome = outcomes[name]
        print(f"{name:<13}{outcome.word:<9}{outcome.count:>7,}{outcome.seconds:>9.1f}  {outcome.note}".rstrip())
        if isinstance(outcome, Suite):
            print("".join(f"{'':<13}failed: {test}\n" for test in outcome.failed), end="")
    sys.exit(any(outcome.ok is False for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
