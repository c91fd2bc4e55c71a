# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The token of a Sesam node is shown and kept nowhere: every module of this system is run with one that works and one that is refused, on a node whose errors
quote the header that has it, and everything that is left is searched. So are the licence, and the values of the node's environment and secrets."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from lab.sesam.container import SesamNode
from play import BIN, ROOT
from sesaming import DEVELOPER, container_params
from support import run_module

MODULES = ROOT / "plugins" / "modules"
PASSWORD = "hunter2-of-the-environment"


@dataclass
class Scene:
    """A node, and who works on it."""

    node: SesamNode
    path: Path
    token: str = ""

    def params(self, **others: Any) -> dict[str, Any]:
        return {**container_params(self.node), "jwt": self.token, "request_timeout": 10, **others}

    def api(self, **others: Any) -> dict[str, Any]:
        return {"api_url": self.node.url, "jwt": self.token, "request_timeout": 10, **others}

    def left(self) -> Iterator[tuple[Path, bytes]]:
        """Whatever modules have left: journal, evidence, reports, and what Ansible keeps."""
        for folder in ("journal", "ansible", "kept"):
            for path in (self.path / folder).rglob("*"):
                if path.is_file() and not path.is_symlink():
                    yield path, path.read_bytes()

    @property
    def secrets(self) -> list[str]:
        """The token, its signature alone, and what else nobody may see."""
        return [self.token, self.token.rsplit(".", 1)[-1], PASSWORD, (self.node.data / "license.key").read_text(encoding="utf-8").strip()]

    def found(self, text: str) -> list[str]:
        return [secret[:12] for secret in self.secrets if secret in text]

    def found_in_files(self) -> list[Path]:
        return [path for path, content in self.left() if any(secret.encode() in content for secret in self.secrets)]


@pytest.fixture
def scene(sesam_node: Callable[..., SesamNode], tmp_path: Path) -> Scene:
    node = sesam_node(environment={"CRM_PASSWORD": PASSWORD})
    node.fault(echo_token=True)
    return Scene(node, tmp_path, node.token())


CALLS: dict[str, Callable[[Scene], dict[str, Any]]] = {
    "sesam_node_info": lambda scene: scene.params(),
    "sesam_stacktrace": lambda scene: scene.params(),
    "sesam_profile": lambda scene: scene.params(path="/pipes", dest=str(scene.path / "kept")),
    "sesam_scheduler": lambda scene: scene.params(state="disabled", settle=0),
    "sesam_config": lambda scene: scene.api(entities=list(scene.node.config().values()), scheduler="as_uploaded"),
    "sesam_api_profiler": lambda scene: scene.params(state="disabled", settle=1),
    "sesam_restart": lambda scene: scene.params(settle=1, allow_running_pipes=True),
}
"""Arguments of each module, with which it works. In this order."""
NEEDING = {"sesam_stacktrace", "sesam_profile", "sesam_scheduler", "sesam_config"}
"""Those that can do nothing with a token that is refused."""


def arguments(scene: Scene, name: str) -> dict[str, Any]:
    given = CALLS[name](scene)
    return given if name.endswith("_info") else {**given, "journal_dir": str(scene.path / "journal")}


def test_every_module_is_among_them() -> None:
    assert {path.stem for path in MODULES.glob("sesam_*.py")} == set(CALLS)


def test_the_node_would_tell(scene: Scene) -> None:
    """Its errors quote the token, and the engine has the environment."""
    status, text = scene.node.ask("GET", "/pipes/none")
    assert status == 404
    assert "eyJ" in str(text)
    assert PASSWORD in json.dumps(scene.node.inspect())


@pytest.mark.parametrize("refused", [False, True], ids=["works", "refused"])
def test_no_module_tells(scene: Scene, monkeypatch: pytest.MonkeyPatch, refused: bool) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    if refused:
        scene.token = scene.node.token(DEVELOPER, lifetime=-60)
    given = {name: arguments(scene, name) for name in CALLS}
    for name in CALLS:
        for check in (True, False):
            result = run_module(name, given[name], check=check, diff=True)
            if not refused or (name in NEEDING and not check):
                assert bool(result.get("failed")) is refused, (name, result.get("msg"))
            assert scene.found(json.dumps(result)) == [], name
    assert logged
    assert scene.found(" ".join(logged)) == []
    assert scene.found_in_files() == []


def test_all_of_them_at_vvv(scene: Scene) -> None:
    """In Ansible itself, with everything that it prints, logs and reports."""
    tasks: list[dict[str, Any]] = []
    for name in CALLS:
        for check in (True, False):
            call = {f"fieldops.runbooks.{name}": arguments(scene, name), "check_mode": check, "diff": True, "register": "told", "ignore_errors": True}
            wrong = {f"fieldops.runbooks.{name}": {**arguments(scene, name), "jwt": scene.node.token(DEVELOPER, lifetime=-60)}, "ignore_errors": True}
            tasks += [call, {"ansible.builtin.assert": {"that": ["told is succeeded"]}}, *([wrong] if check else [])]
    play = scene.path / "secrets.json"
    for task in tasks:
        for value in task.values():
            if isinstance(value, dict) and "jwt" in value:
                # As from a vault: a variable, and not in the play itself.
                value["jwt"] = "{{ good }}" if value["jwt"] == scene.token else "{{ bad }}"
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    bad = scene.node.token(DEVELOPER, lifetime=-60)
    variables = scene.path / "variables.json"
    variables.write_text(json.dumps({"good": scene.token, "bad": bad}), encoding="utf-8")
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(scene.path / "ansible"),
        "ANSIBLE_LOG_PATH": str(scene.path / "kept" / "ansible.log"),
        "FIELDOPS_REPORT": str(scene.path / "kept" / "report.json"),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    (scene.path / "kept").mkdir(exist_ok=True)
    command = ["ansible-playbook", "-vvv", "-i", "localhost,", "-c", "local", str(play), "-e", f"@{variables}"]
    done = subprocess.run(command, env=environment, cwd=scene.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=400, check=False)
    shown = done.stdout
    for secret in scene.secrets:
        shown = shown.replace(secret, "<<SECRET>>")
    print(shown[-20000:])
    assert done.returncode == 0
    assert scene.found(done.stdout) == []
    assert bad.rsplit(".", 1)[-1] not in done.stdout
    assert (scene.path / "kept" / "ansible.log").stat().st_size > 10000
    assert (scene.path / "kept" / "report.json").exists()
    assert list((scene.path / "journal").rglob("*.jsonl"))
    assert scene.found_in_files() == []
