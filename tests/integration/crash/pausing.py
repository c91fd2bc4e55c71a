# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All fixes are paused, or a pause is ended, and the run is killed, with the lock that all users have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import pause_run
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario


class Paused(Scenario):
    """A file is written under another name first, which nobody reads."""

    module = "runbook_pause"
    effects: Sequence[Effect] = ((pause_run, "put", lambda *_arguments: "file"),)
    options: ClassVar[dict[str, Any]] = {"reason": "storage moves", "until": "2199-01-01T00:00:00Z"}
    text: str | None = None

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.directory = lab.path / "limits"
        self.directory.mkdir()
        self.directory.chmod(0o1777)
        self.file = self.directory / "pause"
        self.restore(self.text)

    def arguments(self) -> dict[str, Any]:
        return {"limits_dir": str(self.directory), **self.options}

    def undo_arguments(self) -> dict[str, Any]:
        return {"limits_dir": str(self.directory)}

    def dump(self) -> Any:
        return self.file.read_text(encoding="utf-8") if self.file.exists() else None

    def restore(self, dump: Any) -> None:
        if dump is None:
            self.file.unlink(missing_ok=True)
        else:
            self.file.write_text(dump, encoding="utf-8")

    def look(self, change: Change) -> dict[str, Any] | None:
        assert change.subject == f"pause:{self.file}"
        text = self.dump()
        return None if text is None else {"text": text}


class PausedAnew(Paused):
    text = "by hand\n"


class PauseEnded(Paused):
    text = "by hand\n\n"
    options: ClassVar[dict[str, Any]] = {"state": "absent"}


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {"runbook_pause": (Paused, PausedAnew, PauseEnded)}
