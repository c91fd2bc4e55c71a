# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A variable of job-runner is set, replaced or removed, and the run is killed."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import setting_run
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.setting import image
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Lab, Scenario


class ReplaceSetting(Scenario):
    """A file is exchanged for another one; between the two there is a third, which nobody reads."""

    module = "jobrunner_setting"
    effects = ((setting_run, "_write", lambda *_arguments: "file"),)
    text = "# overrides\nMAX_WORKERS=10\nMAX_RETRIES=1"
    options: ClassVar[dict[str, Any]] = {"value": "4"}
    secret = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.directory = lab.path / "config"
        self.directory.mkdir()
        self.file = self.directory / "04_local.env"
        self.file.write_text(self.text, encoding="utf-8")
        self.file.chmod(0o640)

    def arguments(self) -> dict[str, Any]:
        return {"name": "MAX_WORKERS", "file": str(self.file), "config_files": [str(self.file)], "service": "no-such-unit", **self.options}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """What systemd and a shell may read: no file whose name begins with a dot."""
        found = sorted(path for path in self.directory.iterdir() if not path.name.startswith("."))
        return {path.name: (path.read_bytes(), path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in found}

    def restore(self, dump: Any) -> None:
        for name, (data, mode, *_owner) in dump.items():
            (self.directory / name).write_bytes(data)
            os.chmod(self.directory / name, mode & 0o7777)

    def look(self, change: Change) -> dict[str, Any] | None:
        return image(str(self.file), self.file.read_bytes(), "MAX_WORKERS", self.secret)


class AddSecretSetting(ReplaceSetting):
    text = "# overrides\nMAX_RETRIES=1"
    options: ClassVar[dict[str, Any]] = {"secret_value": "5555555555555"}
    secret = True


class RemoveSetting(ReplaceSetting):
    text = "MAX_WORKERS=1\nMAX_RETRIES=1\nMAX_WORKERS='2'\n"
    options: ClassVar[dict[str, Any]] = {"state": "absent"}
