# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module as Ansible would, in this process, so that its coverage counts and a test costs milliseconds.

Whatever a look sees is recorded on the way and judged once more from the record: no connection, another time of day, and the same findings.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from ansible.module_utils.testing import patch_module_args

PACKAGE = "ansible_collections.fieldops.runbooks.plugins.modules."
LOOKS = frozenset(yaml.safe_load((Path(__file__).resolve().parents[2] / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"]["looks"])
LATER = 400 * 86400.0


class ModuleFailed(AssertionError):
    """A module failed where the test wanted it to work."""


def run_module(name: str, arguments: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
    """The module's result, failed or not, as it goes over the wire."""
    if name not in LOOKS or arguments.keys() & {"record", "replay"}:
        return _run(name, arguments, check, diff)
    result = _run(name, {**arguments, "record": True}, check, diff)
    if not result.get("failed"):
        assert replay(name, result.pop("record"))["findings"] == result["findings"], f"{name}: a replay finds something else"
    return result


def replay(name: str, record: Any) -> dict[str, Any]:
    """Much later, where nothing can be asked."""
    now = time.time() + LATER
    away = mock.Mock(side_effect=AssertionError("a replay asks nobody"))
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(record, file)
        file.flush()
        with mock.patch.object(socket.socket, "connect", away), mock.patch.object(subprocess, "Popen", away), mock.patch.object(time, "time", lambda: now):
            result = _run(name, {"replay": file.name})
    if result.get("failed"):
        raise ModuleFailed(f"{name} cannot be replayed: {result['msg']}")
    return result


def _run(name: str, arguments: dict[str, Any], check: bool = False, diff: bool = False) -> dict[str, Any]:
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
