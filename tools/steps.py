# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/coverage.md: every step of the runbooks, what does it, and which tests prove it.

``steps.py`` writes the page; ``steps.py --check`` says what is wrong, and fails: a module or playbook that does not exist, a playbook that no
test runs, a built step that no test of `make test` proves, a test that names a step that there is not, a step written twice, a page that is not what
would be written.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from project import ROOT

PAGE = ROOT / "docs/coverage.md"
SOURCE = ROOT / "docs/steps.yml"
TESTS = ("tests/integration", "tests/hosts")
SCENARIOS = "extensions/molecule"
COLLECTION = "fieldops.runbooks."
THOROUGH = "pytest.mark.thorough"


@dataclass
class Tests:
    """What tests say of themselves: the steps that they prove, by test file, and the playbooks that they name."""

    steps: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    always: set[str] = field(default_factory=set)
    """Steps that are proved by a test that is not only thorough."""
    playbooks: set[str] = field(default_factory=set)

    def read_python(self, path: Path, known: set[str]) -> None:
        """Step ids of its marks; names of playbooks among its strings."""
        where = str(path.relative_to(ROOT))
        module = ast.parse(path.read_text(encoding="utf-8"))
        marks = [ast.unparse(node) for node in module.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"]
        for part in module.body:
            decorators = [ast.unparse(decorator) for decorator in getattr(part, "decorator_list", ())]
            always = THOROUGH not in decorators and not any(THOROUGH in mark for mark in marks)
            for node in ast.walk(part):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.step":
                    steps = [str(ast.literal_eval(argument)) for argument in node.args]
                    for step in steps:
                        self.steps[step].add(where)
                    self.always.update(steps if always else ())
                elif isinstance(node, ast.Constant) and isinstance(node.value, str) and always:
                    self.playbooks |= {node.value.removeprefix(COLLECTION)} & known

    def read_scenario(self, path: Path) -> None:
        """A molecule scenario: its "# Steps:" line, and the playbooks that it imports."""
        where = str(path.parent.relative_to(ROOT))
        for line in re.findall(r"^# Steps: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            for step in line.split():
                self.steps[step].add(where)
                self.always.add(step)
        for play in path.parent.glob("*.yml"):
            self.playbooks |= set(re.findall(r"fieldops\.runbooks\.(\w+)\s*$", play.read_text(encoding="utf-8"), re.MULTILINE))


def read_tests(playbooks: set[str]) -> Tests:
    """All of them."""
    tests = Tests()
    for folder in TESTS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            tests.read_python(path, playbooks)
    for path in sorted((ROOT / SCENARIOS).glob("*/molecule.yml")):
        tests.read_scenario(path)
    return tests


def built(step: dict[str, Any]) -> bool:
    """Something does it already."""
    return bool(step["modules"] or step["playbooks"])


def problems(systems: list[dict[str, Any]], tests: Tests) -> list[str]:
    """What is claimed and does not hold, one line each."""
    steps = [step for system in systems for step in system["steps"]]
    found = [f"{step['id']}: there is no module {name}" for step in steps for name in step["modules"] if not (ROOT / f"plugins/modules/{name}.py").is_file()]
    for step in steps:
        for name in step["playbooks"]:
            if not (ROOT / f"playbooks/{name}.yml").is_file():
                found.append(f"{step['id']}: there is no playbook {name}")
            elif name not in tests.playbooks:
                found.append(f"{step['id']}: no test of `make test` runs the playbook {name}")
    found += [f"{step['id']}: no test of `make test` proves it" for step in steps if built(step) and step["id"] not in tests.always]
    ids = Counter(step["id"] for step in steps)
    found += [f"{name}: written {times} times" for name, times in ids.items() if times > 1]
    return found + [f"{', '.join(sorted(where))}: there is no step {name}" for name, where in sorted(tests.steps.items()) if name not in ids]


def page(systems: list[dict[str, Any]], tests: Tests) -> str:
    """The page as it should be."""
    rows = ["# What is built", "", "Made from `docs/steps.yml` and the tests by `tools/steps.py`; do not edit.", ""]
    for system in systems:
        done = sum(built(step) for step in system["steps"])
        rows += [f"## {system['title']}", "", f"{done} of {len(system['steps'])} steps of the runbook `{system['runbook']}`.", ""]
        if done:
            rows += ["| step | | kind | modules | playbooks | tests |", "|---|---|---|---|---|---|"]
            rows += [row(step, tests) for step in system["steps"]]
            rows.append("")
    return "\n".join(rows)


def row(step: dict[str, Any], tests: Tests) -> str:
    """One line of the table."""
    modules, playbooks = (", ".join(f"`{name}`" for name in step[kind]) for kind in ("modules", "playbooks"))
    proofs = ", ".join(f"[{Path(where).name}](../{where})" for where in sorted(tests.steps.get(step["id"], ())))
    cells = (step["id"], step["step"].replace("|", "\\|"), ", ".join(step["kind"]), modules, playbooks, proofs or ("" if built(step) else "planned"))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Write the page, or compare it."""
    systems = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    tests = read_tests({path.stem for path in (ROOT / "playbooks").glob("*.yml")})
    text = page(systems, tests)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return
    found = problems(systems, tests)
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        found.append(f"{PAGE.relative_to(ROOT)} is not up to date: run tools/bootstrap python tools/steps.py")
    print("\n".join(found) or f"{sum(built(step) for system in systems for step in system['steps'])} steps are built and proved")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
