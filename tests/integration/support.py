# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module as Ansible would, in this process, so that its coverage counts and a test costs milliseconds."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from typing import Any

from ansible.module_utils.testing import patch_module_args

PACKAGE = "ansible_collections.fieldops.runbooks.plugins.modules."


class ModuleFailed(AssertionError):
    """A module failed where the test wanted it to work."""


def run_module(name: str, arguments: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
    """The module's result, failed or not, as it goes over the wire."""
    module = importlib.import_module(PACKAGE + name)
    internal = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}  # noqa: S108
    output = io.StringIO()
    with patch_module_args({**arguments, **internal}), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        module.main()
    text = output.getvalue().strip().splitlines()
    result: dict[str, Any] = json.loads(text[-1])
    result.pop("invocation", None)
    return result


def run_ok(name: str, arguments: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
    result = run_module(name, arguments, check, diff)
    if result.get("failed"):
        raise ModuleFailed(f"{name}: {result['msg']}")
    return result


def run_refused(name: str, arguments: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """The result of a module that had to fail without having changed anything."""
    result = run_module(name, arguments, check)
    assert result.get("failed"), f"{name} did not fail: {result}"
    assert not result.get("changed")
    return result
