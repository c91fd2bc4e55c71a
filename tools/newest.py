# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The newest ansible-core, which needs a newer Python than the rest: tests of what runs inside of Ansible, in an environment of their own."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import project
from shell import Outcome, Shell
from suites import pytest

CORE = "ansible-core >= 2.21.5, < 2.22"
PYTHONS = ("3.12", "3.13", "3.14")
SECTIONS = ("tests", "real servers and files")
# The summary; looks that go together; the plan, its check mode, its approval and what is handed on; a bundle read elsewhere.
CHECKS = (
    "tests/unit/plugins/callback",
    "tests/integration/test_runbook_looks.py",
    "tests/integration/test_bundle.py::test_in_check_mode_nothing_is_written",
    "tests/integration/test_remediate.py::test_a_sweep_reads_and_hands_on_what_is_wrong_and_what_would_mend_it",
    "tests/integration/test_remediate.py::test_only_the_plan_that_was_approved",
)


def newest(shell: Shell) -> Outcome:
    """Skipped where no Python is new enough."""
    found = (shutil.which(f"python{version}") for version in PYTHONS)
    usable = (path for path in found if path and subprocess.run([path, "-c", "import ensurepip, venv"], check=False, capture_output=True).returncode == 0)
    python = next(usable, None)
    if python is None:
        return Outcome(None, 0, f"not on this machine: Python {PYTHONS[0]} or later, which {CORE} needs")
    wanted = [CORE, *_sections(), *_lines(project.ROOT / "requirements.txt")]
    made_from = "\n".join([python, str(project.ROOT), *wanted])
    place = project.CACHE / f"newest-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    if not (place / "ready").exists():
        made = shell.run(python, "-m", "venv", "--clear", place)[0] and shell.run(place / "bin/python", "-m", "pip", "install", "-qq", *wanted)[0]
        if not made:
            return Outcome(False, 0, f"no environment with {CORE}")
        (place / "ready").touch()
    shell.env.update(
        PATH=shell.env["PATH"].replace(str(project.virtual_environment()), str(place)),
        ANSIBLE_PYTHON_INTERPRETER=str(place / "bin/python"),
        PYTHONDONTWRITEBYTECODE="1",
    )
    outcome = pytest(shell, "newest", list(CHECKS), measured=False)
    outcome.note = "; ".join(filter(None, [f"{CORE}, {Path(python).name}", outcome.note]))
    return outcome


def _lines(path: Path) -> list[str]:
    """The requirements of a file."""
    return [line.split("  #")[0] for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"\w", line)]


def _sections() -> list[str]:
    """What the tests need of the project's own environment."""
    text = (project.ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    parts = dict(part.split("\n", 1) for part in text.split("\n# ") if "\n" in part)
    return [line.split("  #")[0] for name in SECTIONS for line in parts[name].splitlines() if line]
