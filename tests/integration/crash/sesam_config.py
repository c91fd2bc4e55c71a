# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler and the configuration of a node: killed before each call that changes something, and before the file gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import startup_options
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.api import Node
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.config_saved import Saved
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.config_state import image_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.metadata import switch
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.startup_options import read_options
from crash.scenarios import Effect, Lab, Scenario
from lab.sesam import samples
from lab.sesam.plain import PlainSesam
from sesam_changing import KEY


def _changing(_node: Any, method: str, *_rest: Any, **_named: Any) -> str:
    """What a call does to the node; nothing for one that only asks."""
    return "" if method == "GET" else method


class DisableByMetadata(Scenario):
    """Metadata with much in them that is nobody's business."""

    module = "sesam_scheduler"
    effects: Sequence[Effect] = ((Node, "ask", _changing),)
    finely = False

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.node = PlainSesam(lab.path / "sesam", config=samples.config(), deploying_seconds=0.1).start()
        lab.finish(self.node.close)

    def known(self) -> dict[str, Any]:
        return {"api_url": self.node.url, "jwt": self.node.token()}

    def arguments(self) -> dict[str, Any]:
        return {**self.known(), "state": "disabled", "settle": 0, "timeout": 60, "docker_host": "unix:///nowhere.sock"}

    def undo_arguments(self) -> dict[str, Any]:
        return {"jwt": self.node.token()}

    def dump(self) -> Any:
        return self.node.config()

    def restore(self, dump: Any) -> None:
        assert self.node.ask("PUT", "/config", list(dump.values()))[0] == 200

    def look(self, change: Change) -> dict[str, Any] | None:
        assert change.subject.startswith("metadata:")
        return switch(self.node.metadata(), KEY)


class DisableByFile(Scenario):
    """The API does not answer, and the file has another option."""

    module = "sesam_scheduler"
    effects: Sequence[Effect] = ((startup_options, "_replace", lambda *_arguments: "file"), (Saved, "keep", lambda *_arguments: "file"))
    text: bytes | None = b'{"log_level":   "DEBUG"}'
    state = "disabled"

    def __init__(self, lab: Lab, journal_dir: str) -> None:
        super().__init__(lab, journal_dir)
        self.folder = lab.path / "data"
        self.folder.mkdir()
        self.file = self.folder / startup_options.FILE
        self.restore(self.text)

    def arguments(self) -> dict[str, Any]:
        known = {"api_url": "http://127.0.0.1:1", "docker_host": "unix:///nowhere.sock", "data_folder": str(self.folder)}
        return {**known, "state": self.state, "restart": False, "take_over": True}

    def undo_arguments(self) -> dict[str, Any]:
        return {}

    def dump(self) -> Any:
        return self.file.read_bytes() if self.file.exists() else None

    def restore(self, dump: Any) -> None:
        if dump is None:
            self.file.unlink(missing_ok=True)
        else:
            self.file.write_bytes(dump)

    def look(self, _change: Change) -> dict[str, Any] | None:
        return read_options(str(self.folder)).image(KEY)


class DisableByFirstFile(DisableByFile):
    """There is none."""

    text = None


class EnableByFile(DisableByFile):
    """Somebody else had turned it off."""

    text = b'{"task_manager": {"disable_pump_scheduler": true, "threads": 4}}'
    state = "enabled"


class Upload(DisableByMetadata):
    """Something is added, replaced and removed, and the scheduler goes off along the way."""

    module = "sesam_config"
    effects = ((Node, "ask", _changing), (Saved, "_write", lambda *_arguments: "file"))

    def arguments(self) -> dict[str, Any]:
        kept = [entity for entity in samples.config() if entity["_id"] not in ("node", "crm-0", "crm-1")]
        entities = [*kept, samples.pipe("crm-1", "manual", batch_size=5), samples.pipe("new")]
        return {**self.known(), "entities": entities, "delete": ["crm-0"], "timeout": 60}

    def look(self, change: Change) -> dict[str, Any] | None:
        return image_of(self.node.config().get(change.subject.removeprefix("entity:")))


SCENARIOS: dict[str, Sequence[type[Scenario]]] = {
    "sesam_scheduler": (DisableByMetadata, DisableByFile, DisableByFirstFile, EnableByFile),
    "sesam_config": (Upload,),
}
