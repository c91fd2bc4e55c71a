# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits hold for every fix, and every role passes them on: what is repeated in many files is the same in all of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.argspec import LIMITS
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.guard import Decision
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_read import NOT_SCOPE

ROOT = Path(__file__).resolve().parents[5]
FIXES = sorted(path for path in (ROOT / "plugins/modules").glob("*.py") if "run_fix(module" in path.read_text(encoding="utf-8"))
ROLES = {"fits": "queue", "jobrunner": "common", "motr": "common", "sesam": "common", "talus": "common"}


def returned(path: Path) -> Any:
    """Its RETURN."""
    assigned = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    [value] = [ast.literal_eval(node.value) for node in assigned if getattr(node.targets[0], "id", "") == "RETURN"]
    return yaml.safe_load(value)


@pytest.mark.parametrize("path", FIXES, ids=lambda path: path.stem)
def test_every_fix_documents_its_guards(path: Path) -> None:
    documented = returned(path)["guards"]
    assert tuple(documented["contains"]) == Decision._fields
    assert documented["returned"] == "always"


def test_there_are_fixes() -> None:
    assert len(FIXES) > 25


@pytest.mark.parametrize("role", ROLES)
def test_roles_pass_them_on(role: str) -> None:
    variables = yaml.safe_load((ROOT / f"roles/{role}/vars/main/{ROLES[role]}.yml").read_text(encoding="utf-8"))
    guards = variables[f"__{role}_guards"]
    for name in LIMITS.options:
        assert f"runbooks_{name} " in guards[name]


@pytest.mark.parametrize("role", ROLES)
def test_roles_document_them_wherever_they_have_a_lock(role: str) -> None:
    specs = yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    entries = [entry["options"] for entry in specs.values() if f"{role}_lock_expiry" in entry["options"]]
    assert entries
    for options in entries:
        for name, option in LIMITS.options.items():
            assert {key: options[f"runbooks_{name}"].get(key) for key in ("type", "elements", "choices")} == {
                key: option.get(key) for key in ("type", "elements", "choices")
            }


def test_they_are_not_what_a_check_looks_at() -> None:
    """A check in a window is the same check as outside it."""
    assert set(LIMITS.options) <= NOT_SCOPE
