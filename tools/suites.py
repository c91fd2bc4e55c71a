# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages that are pytest: what they came to, test by test, and a second look at the few that failed.

Two lanes share two cores, and tests of real servers wait for real time. A test that fails beside the others and passes alone is no fault of
what it tests; it is named in the summary all the same, for whoever mends the test. One that fails alone as well has failed.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import project
from leftovers import end_leftovers
from shell import Outcome, Shell, temporary

LOGS = project.CACHE / "logs"
COVERED = project.CACHE / "coverage"
FEW = 5  # more of them in a stage, and the machine's load is no excuse


@dataclasses.dataclass
class Suite(Outcome):
    """What a run of pytest comes to; ``failed`` are the names of the tests that did."""

    failed: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    """What it ran in: another Ansible, for one."""


def pytest(shell: Shell, name: str, arguments: list[str], measured: bool = True) -> Outcome:
    """Run pytest; when measured, child processes are as well, where the stage's conftest does not say otherwise."""
    shutil.rmtree(COVERED / name, ignore_errors=True)
    (COVERED / name).mkdir(parents=True)
    program = ["coverage", "run", "-m", "pytest"] if measured else ["python", "-m", "pytest"]
    results = LOGS / f"{name}.xml"
    results.unlink(missing_ok=True)
    options = ["--durations=10", "-o", f"cache_dir={cache_of(name)}", f"--junitxml={results}"]
    ok, output = shell.run(*program, *options, *arguments, COVERAGE_FILE=str(COVERED / name / "data"))
    if not results.exists():
        return Outcome(False, 0, "pytest did not get to its end")
    suites = list(ET.parse(results).iter("testsuite"))  # noqa: S314  our own file
    tests, skipped = (sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "skipped"))
    failed = tuple(f"{case.get('classname')}::{case.get('name')}" for suite in suites for case in suite.iter("testcase") if failed_in(case))
    notes = [f"{number} {word}" for number, word in ((len(failed), "failed"), (skipped, "skipped")) if number]
    if "INTERNALERROR" in output or "!!!!!!!!" in output:
        return Outcome(False, tests, "; ".join(["pytest was stopped", *notes]))
    paths = tuple(word for word in arguments if word[0] != "-")
    return Suite(ok and not failed and tests > skipped, tests, ", ".join(notes), failed=failed, paths=paths, env=shell.env)


def failed_in(case: ET.Element) -> bool:
    """Whether a test, or what it stood on, failed."""
    return case.find("failure") is not None or case.find("error") is not None


def cache_of(name: str) -> Path:
    """Where pytest keeps which tests of a stage failed."""
    return project.CACHE / f"pytest-{name}"


def alone(name: str, outcome: Outcome) -> Outcome:
    """Run the few that failed again, with the machine to themselves."""
    if not isinstance(outcome, Suite) or not 0 < len(outcome.failed) <= FEW:
        return outcome
    mark = f"{name}-alone-{os.getpid()}"
    options = ["--last-failed", "--last-failed-no-failures=none", "-o", f"cache_dir={cache_of(name)}"]
    with temporary(f"fieldops-{name}-") as folder:
        shell = Shell(LOGS / f"{name}-alone.log", False, {**outcome.env, "FIELDOPS_STAGE": mark, "TMPDIR": folder})
        passed, output = shell.run("python", "-m", "pytest", *options, *outcome.paths)
        # All of them, and no fewer.
        passed = not end_leftovers(mark) and passed and f" {len(outcome.failed)} passed" in output
    print(f"{name}: {len(outcome.failed)} again, alone: {'passed' if passed else 'FAILED'}", flush=True)
    if not passed:
        return outcome
    return dataclasses.replace(outcome, ok=True, note=f"{outcome.note}; alone they passed")
