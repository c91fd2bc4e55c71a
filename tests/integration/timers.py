# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in of systemd's timers: one timer in a file, set and stopped by the commands that the module gives. The real one is on the laboratory's hosts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import reboot_timer


class Timers:
    """What systemd would know."""

    def __init__(self, file: Path, patch: pytest.MonkeyPatch) -> None:
        self.file = file
        patch.setattr(reboot_timer, "call", self.call)
        patch.setattr(reboot_timer, "program", lambda name: f"/usr/bin/{name}")

    @property
    def set(self) -> dict[str, Any] | None:
        """The timer that is set: what systemd-run was given."""
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else None

    def put(self, timer: dict[str, Any] | None) -> None:
        if timer is None:
            self.file.unlink(missing_ok=True)
        else:
            self.file.write_text(json.dumps(timer), encoding="utf-8")

    def elapse(self) -> int:
        """Its time has come: what it starts runs to its end, and a transient timer is gone."""
        timer = self.set
        assert timer is not None
        self.put(None)
        return subprocess.run(timer["command"], cwd="/", env={"PATH": os.environ["PATH"], "FIELDOPS_LIMITS_DIR": ""}, check=False).returncode

    def call(self, argv: Sequence[str], _timeout: float) -> tuple[int, str, str]:
        name = os.path.basename(argv[0])
        if name == "systemd-analyze":
            return (1, "", f"Failed to parse '{argv[-1]}': Invalid argument\n") if argv[-1] == "soon" else (0, "", "")
        if name == "systemd-run":
            return self._run(argv[1:])
        if argv[1] == "show":
            return 0, self._show(), ""
        found = self.set is not None
        self.put(None)
        return (0, "", "") if found else (5, "", "Unit not loaded.\n")

    def _run(self, words: Sequence[str]) -> tuple[int, str, str]:
        split = list(words).index("--")
        options = dict(word.lstrip("-").partition("=")[::2] for word in words[:split])
        if self.set is not None:
            return 1, "", f"Failed to start transient timer unit: Unit {options['unit']}.timer was already loaded\n"
        self.put({"options": options, "command": list(words[split + 1 :])})
        return 0, "", ""

    def _show(self) -> str:
        timer = self.set
        lines = ["Id=" + reboot_timer.TIMER, "ActiveState=inactive", "Description=" + reboot_timer.TIMER]
        if timer is not None:
            options = timer["options"]
            told = options.get("on-calendar") or options.get("on-active")
            lines[1:] = ["ActiveState=active", "Description=" + options["description"], f"NextElapseUSecRealtime={told}", f"TimersCalendar={{ {told} }}"]
        return "\n".join([*lines, "", "Id=" + reboot_timer.SERVICE, "ActiveState=inactive", ""])
