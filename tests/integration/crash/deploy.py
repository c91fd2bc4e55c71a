# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deploy is killed: between the checkouts, and between them and the restart."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.git import Git
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.config import read_config
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.deploy_act import Bench
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from crash.scenarios import Effect, Lab, Scenario
from deploying import UNIT, Backend, git


class DeployJobRunner(Scenario):
    """Dependencies and code are behind. A migration, which nothing takes back, is tested by itself."""

    module = "jobrunner_deploy"
    effects: tuple[Effect, ...] = (
        (Git, "fetch", lambda git_, _commit: git_.path),
        (Git, "reset", lambda git_, _commit: git_.path),
        (Bench, "ask", lambda _bench, verb: verb),
        (Bench, "watch", lambda _bench: "service"),
    )
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.backend = Backend(lab.path, journal_dir, lab.patch)
        lab.finish(self.backend.close)
        self.backend.dependencies("b")
        self.backend.release("2")

    def arguments(self) -> dict[str, Any]:
        arguments = self.backend.arguments(settle=0.1)
        del arguments["journal_dir"]
        return arguments

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        """Once nothing is on its way any more: git lives on when the module is killed beside it."""
        backend = self.backend
        deadline = time.monotonic() + 20
        while list(backend.directory.glob("*/.git/*.lock")) or backend.units.state(UNIT)["ActiveState"] != "active" or not self._told():
            assert time.monotonic() < deadline, backend.units.state(UNIT)
            time.sleep(0.02)
        status = {part: git(backend.directory / part, "status", "--porcelain") for part in ("lib", "code")}
        return {"heads": backend.heads(), "serving": backend.serving(), "status": status}

    def _told(self) -> bool:
        """The process has written down what it is."""
        path = self.backend.workdir / "serving"
        return path.exists() and path.stat().st_mtime >= time.time() - _age(self.backend.pid()) - 0.02

    def restore(self, dump: Any) -> None:
        backend = self.backend
        for part, head in dump["heads"].items():
            self.lab.patch.setenv("GIT_REFLOG_ACTION", f"fieldops {time.time():.6f}")  # several moves in a second can be told apart
            git(backend.directory / part, "reset", "--quiet", "--hard", head)
        self.lab.patch.delenv("GIT_REFLOG_ACTION")
        if self.dump() != dump:
            backend.units.stop(UNIT)
            backend.units.start(UNIT)
            backend.wait_serving(dump["serving"])

    def look(self, change: Change) -> dict[str, Any] | None:
        arguments = self.arguments()
        code, lib = Git(arguments["code_dir"]), Git(arguments["lib_dir"])
        if "path" in (change.before or {}):
            path = (change.before or {})["path"]
            return {"path": path, "commit": (code if path == code.path else lib).head()}
        return Bench(code, lib, UNIT, arguments["python"], read_config(arguments["config_files"]), 0.1, 60).service_image(0)


def _age(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        start = int(file.read().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK")
