# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are removed from level 4: killed between the sync source, level 4, the manifest and the quarantine."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import output_quarantine
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.output_undo import OutputStore
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from removing import ENTRY, Folders


class RemoveOutput(Scenario):
    """One file at level 4 and in the sync source, and its entry in the manifest."""

    module = "jobrunner_output_remove"
    effects: Sequence[Effect] = ((output_quarantine, "move", lambda *arguments: f"{arguments[1]} to {arguments[3]}"),)

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.folders = self.place()
        self.folders.put("output/table.csv")
        self.folders.put("output/table.csv", "source", b"older")
        self.folders.put("output/other.csv")
        self.folders.manifest({"output/other.csv": ENTRY, "output/table.csv": ENTRY})

    def place(self) -> Folders:
        return Folders(self.lab.path / "backend", self.journal_dir)

    def arguments(self) -> dict[str, Any]:
        arguments = self.folders.arguments("output/table.csv", manifest_entry="drop")
        del arguments["journal_dir"]
        return arguments

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """Files with owner, mode, time and content, and copies in quarantine that count."""
        present = self.folders.tree()
        manifest = str(self.folders.at("metadata/manifest.json"))
        kept = {path: (*entry[:4], 0 if path == manifest else entry[4]) for path, entry in present.items() if not path.endswith(".fieldops")}
        return {"files": kept, "quarantine": {str(path): self._of(path) for path in self._copies(present)}}

    def _copies(self, present: dict[str, Any]) -> list[Path]:
        """Half a copy never counts, and a whole one with a temporary name does not beside the file itself."""
        copies = [each for each in sorted(self.folders.quarantine.rglob("*")) if each.is_file() and each.suffix != ".part"]
        return [copy for copy in copies if copy.suffix != ".new" or self._file_of(copy) not in present]

    def _file_of(self, copy: Path) -> str:
        return f"/{copy.parent.relative_to(self.folders.quarantine)}"

    @staticmethod
    def _of(path: Path) -> tuple[Any, ...]:
        info = path.stat()
        return (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, path.read_bytes(), info.st_mtime_ns)

    def restore(self, dump: Any) -> None:
        shutil.rmtree(self.folders.quarantine, ignore_errors=True)
        wanted = {**dump["files"], **dump["quarantine"]}
        for base in (self.folders.high, self.folders.medium, self.folders.source):
            for path in [each for each in base.rglob("*") if each.is_file() and str(each) not in wanted]:
                path.unlink()
        for name, (mode, uid, gid, data, mtime_ns) in wanted.items():
            path = Path(name)
            self._make(path.parent)
            path.write_bytes(data)
            os.chown(path, uid, gid)
            path.chmod(mode)
            os.utime(path, ns=(mtime_ns, mtime_ns))

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            self._make(folder.parent)
            folder.mkdir(mode=0o700 if folder == self.folders.quarantine or self.folders.quarantine in folder.parents else 0o755)

    def look(self, change: Change) -> dict[str, Any] | None:
        return OutputStore({}, {"quarantine": str(self.folders.quarantine)}).read([change])[0][0]

    def service(self, dump: Any) -> Any:
        """The manifest is written as a whole, so its bytes are those of whoever wrote it last."""
        files = {path: json.loads(entry[3]) if path.endswith("manifest.json") else entry for path, entry in dump["files"].items()}
        return {"files": files, "quarantine": dump["quarantine"]}


class RemoveOutputElsewhere(RemoveOutput):
    """The quarantine is on another file system, so that files are copied, and then removed."""

    effects: Sequence[Effect] = (
        *RemoveOutput.effects,
        (output_quarantine, "_copy_file", lambda *arguments: f"{arguments[1]} to {arguments[3]}"),
        (output_quarantine, "same_attributes", lambda *arguments: f"{arguments[1]}"),
    )

    def place(self) -> Folders:
        other = Path(tempfile.mkdtemp(prefix="fieldops-test-", dir="/dev/shm"))
        self.lab.finish(lambda: shutil.rmtree(other))
        return Folders(self.lab.path / "backend", self.journal_dir, quarantine=other / "quarantine")
