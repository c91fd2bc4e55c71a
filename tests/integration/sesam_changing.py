# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node whose configuration and scheduler are changed by modules, and looked at by other means."""

from __future__ import annotations

from typing import Any

from lab.sesam.running import Node
from sesaming import params
from support import run_module, run_ok

Result = dict[str, Any]
KEY = "disable_pump_scheduler"
OTHER_KEY = "disable_user_pipes"


class Operator:
    """Somebody at one node, with a journal."""

    def __init__(self, node: Node, journal: str, **options: Any) -> None:
        self.node, self.journal = node, journal
        self.options = {"journal_dir": journal, "docker_host": "unix:///nowhere.sock", **options}

    def scheduler_arguments(self, state: str, **options: Any) -> Result:
        return params(self.node, **{**self.options, "state": state, "settle": 0, "timeout": 60, **options})

    def config_arguments(self, **options: Any) -> Result:
        known = {name: value for name, value in self.options.items() if name == "journal_dir"}
        return params(self.node, **{**known, "timeout": 60, **options})

    def scheduler(self, state: str, check: bool = False, **options: Any) -> Result:
        return run_module("sesam_scheduler", self.scheduler_arguments(state, **options), check)

    def config(self, check: bool = False, diff: bool = False, **options: Any) -> Result:
        return run_module("sesam_config", self.config_arguments(**options), check, diff)

    def undo(self, undo_id: str, *changes: int, check: bool = False) -> Result:
        known = {"undo_id": undo_id, "journal_dir": self.journal, "changes": list(changes), "jwt": self.node.token()}
        return run_module("runbook_undo", known, check)

    def undone(self, undo_id: str) -> Result:
        known = {"undo_id": undo_id, "journal_dir": self.journal, "jwt": self.node.token()}
        return run_ok("runbook_undo", known)

    def switch(self, key: str = KEY) -> Any:
        """As the node itself has it."""
        return self.node.metadata().get("task_manager", {}).get(key)

    def writes(self) -> list[tuple[str, str]]:
        """What was asked of the node that could change something."""
        return [(each["method"], each["path"]) for each in self.node.requests if each["method"] != "GET"]


def codes(result: Result) -> list[str]:
    """What was found, in short."""
    return [finding["code"].rpartition(".")[2] for finding in result["findings"]]


def guards(result: Result) -> list[str]:
    """What refused."""
    assert result.get("failed"), result
    assert not result.get("changed")
    return [refusal["guard"] for refusal in result["refusals"]]


def fine(result: Result) -> Result:
    assert not result.get("failed"), result.get("msg")
    return result
