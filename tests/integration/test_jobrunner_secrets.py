# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret of a backend is shown or kept: every module of this system is run where secrets lie about, and everything that it leaves is searched.

Secrets are in the configuration, in the environment of a job's container, in what jobs print, in metadata that upstream left, in a git remote, and in
options. Searched are results, output at -vvv, the report, journal and evidence, log directories, and what Ansible sends to the log of the node.
"""

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
from lab.jobrunner.backend import REGISTRY, SECRETS, Backend
from lab.jobrunner.lab_secrets import MARK
from play import BIN, ROOT, eventually
from support import run_module

MODULES = ROOT / "plugins" / "modules"
URL = SECRETS["DEFAULT_DATABASE_URL"]
SPLIT = MARK.replace("-", '""-', 1)
"""As a shell puts it together: the command itself, which is public, does not have it."""
TALK = f"sh -c 'echo connecting to $DATABASE_URL; echo Authorization: {SPLIT}printed; echo token={SPLIT}too JOB_SERVER_TOKEN={SPLIT}third; sleep 1000'"


@dataclass
class Scene:
    """A backend full of secrets."""

    backend: Backend
    path: Path
    running: str = ""
    executed: str = ""
    failed: str = ""
    killed: str = ""

    def make(self) -> Scene:
        add = self.backend.add_job
        self.running = add("running", "executing", container="running", database=True, run=TALK)
        self.executed = add("running", "executed", container="exited", database=True, run="sh -c 'echo $DATABASE_URL; exit 3'")
        self.failed = add("failed", "internal_error", container="exited", database=True, run="sh -c 'echo $DATABASE_URL; exit 1'")
        self.killed = add("failed", "killed_by_admin", volume=False)
        folder = self.backend.high / "logs" / "2024-02" / f"os-job-{self.killed}"
        folder.mkdir(parents=True)
        (folder / "logs.txt").write_text(f"cannot log in to {URL}\n", encoding="utf-8")
        metadata = {"container_metadata": {"Id": "x", "Config": {"Env": [f"DATABASE_URL={URL}"], "Cmd": [URL]}}, "outputs": {}}
        (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
        self.planted = {path for path in self.path.rglob("*") if path.is_file()}
        place = self.backend.medium / "workspaces" / "ws" / "output"
        place.mkdir(parents=True)
        (place / "table.csv").write_text("a,b\n", encoding="utf-8")
        self._checkout()
        return self

    def _checkout(self) -> None:
        """A checkout whose remote has a token in its address, where nobody answers."""
        for name in ("code", "lib"):
            folder = self.path / name
            commands = (["init", "--quiet", "--initial-branch=main", str(folder)], ["-C", str(folder), "commit", "--quiet", "--allow-empty", "-m", "one"])
            for words in (*commands, ["-C", str(folder), "remote", "add", "origin", f"http://user:{MARK}git@127.0.0.1:9/x.git"]):
                subprocess.run(["git", "-c", "user.name=lab", "-c", "user.email=lab@example.org", *words], check=True)

    @property
    def journal(self) -> Path:
        return self.path / "journal"

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.backend.params)

    def of(self, *names: str) -> dict[str, Any]:
        return {name: self.backend.params[name] for name in names}

    def left(self) -> Iterator[tuple[Path, bytes]]:
        """Every file that was not there, or is none of those with the secrets in them.

        The saved log of a killed job is the job's own words among the high privacy files, without the secrets of its environment. What it made up
        itself, and nobody can know for a secret, stays.
        """
        made_up = [(MARK + word).encode() for word in ("printed", "too", "third")]
        for path in self.path.rglob("*"):
            if path.is_file() and not path.is_symlink() and path not in self.planted and ".git" not in path.parts:
                content = path.read_bytes()
                if path.name == "logs.txt" and self.backend.high in path.parents:
                    for words in made_up:
                        content = content.replace(words, b"")
                yield path, content


@pytest.fixture
def scene(backend: Backend, tmp_path: Path) -> Scene:
    return Scene(backend, tmp_path).make()


CALLS: dict[str, Callable[[Scene], tuple[dict[str, Any], bool | None]]] = {
    "jobrunner_info": lambda scene: ({**scene.params, "stats": True}, True),
    "jobrunner_job_info": lambda scene: (
        {**scene.params, "job_id": [scene.running, scene.executed, scene.failed, scene.killed], "statement": True, "service_lines": 0},
        True,
    ),
    "jobrunner_debug": lambda scene: ({**scene.params, "job_id": scene.running, "image": f"{REGISTRY}/busybox:latest"}, True),
    "jobrunner_image": lambda scene: (
        {**scene.of("config_files", "docker_host"), "name": "python:v2", "pull": False, "aliases": ["registry.example.org/opensafely"]},
        True,
    ),
    "jobrunner_flag": lambda scene: ({**scene.of("config_files", "workdir"), "name": "paused", "value": "true"}, True),
    "jobrunner_setting": lambda scene: (
        {
            **scene.of("config_files"),
            "name": "JOB_SERVER_TOKEN",
            "secret_value": f"{MARK}new",
            "file": scene.backend.config_files[1],
            "accept_data_loss": [_loss(scene)],
        },
        True,
    ),
    "jobrunner_job": lambda scene: ({**scene.params, "job_id": [scene.running], "state": "killed", "settle": 0}, True),
    "jobrunner_output_remove": lambda scene: (
        {
            **scene.of("config_files", "workdir", "high_privacy_base", "medium_privacy_base"),
            "workspace": "ws",
            "files": ["output/table.csv"],
            "sync_sources": [],
            "quarantine_dir": str(scene.path / "quarantine"),
        },
        True,
    ),
    "jobrunner_deploy": lambda scene: (
        {**scene.of("config_files", "workdir"), "code_dir": str(scene.path / "code"), "lib_dir": str(scene.path / "lib"), "restart": "never"},
        False,
    ),
    "jobrunner_update_info": lambda scene: ({**scene.of("config_files"), "backend_server_dir": str(scene.path / "code")}, None),
    "jobrunner_maintenance": lambda scene: ({**scene.params, "state": "absent", "directory": str(scene.path / "maintenance")}, None),
    "jobrunner_prepare_for_reboot": lambda scene: ({**scene.params, "accept_data_loss": []}, False),
    "mssql_table_progress_info": lambda scene: (
        {
            **scene.of("config_files"),
            "table": "t",
            "login_host": "127.0.0.1",
            "login_port": 9,
            "login_user": "runner",
            "login_password": f"{MARK}login",
            "login_timeout": 1,
        },
        False,
    ),
}
"""Arguments of each module, and whether it works with them, None where that depends on the machine: an error must not tell either. In this order."""


def _loss(scene: Scene) -> str:
    """What the plan to set a secret says that it would lose."""
    return f"the present value of JOB_SERVER_TOKEN in {scene.backend.config_files[1]} (a secret, of which nothing is kept)"


def arguments(scene: Scene, name: str) -> dict[str, Any]:
    given = CALLS[name](scene)[0]
    return given if name.endswith("_info") else {**given, "journal_dir": str(scene.journal)}


def test_every_module_is_among_them() -> None:
    assert {path.stem for pattern in ("jobrunner_*.py", "mssql_*.py") for path in MODULES.glob(pattern)} == set(CALLS)


def test_the_search_would_find_one(scene: Scene) -> None:
    """The secrets are where a careless module would take them from."""
    assert MARK in scene.backend.engine.docker("inspect", f"os-job-{scene.running}")
    eventually(lambda: MARK in scene.backend.engine.docker("logs", f"os-job-{scene.running}"))
    assert MARK in (scene.path / "code" / ".git" / "config").read_text(encoding="utf-8")
    (scene.path / "leak").write_text(f"{MARK}x", encoding="utf-8")
    assert [path.name for path, content in scene.left() if MARK.encode() in content] == ["leak"]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.thorough
def test_one_module(scene: Scene, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda _self, msg, log_args=None: logged.append(f"{msg} {log_args}"))
    eventually(lambda: MARK in scene.backend.engine.docker("logs", f"os-job-{scene.running}"))
    for check in (True, False):
        result = run_module(name, arguments(scene, name), check=check, diff=True)
        assert bool(result.get("failed")) is not CALLS[name](scene)[1], result.get("msg")
        assert MARK not in json.dumps(result)
    assert logged
    assert MARK not in " ".join(logged)
    assert [path for path, content in scene.left() if MARK.encode() in content] == []


@pytest.mark.parametrize("name", [name for name in CALLS if name.startswith("jobrunner_")])
@pytest.mark.thorough
def test_one_module_without_an_engine(scene: Scene, name: str) -> None:
    """What an error quotes is searched as well."""
    scene.backend.engine.kill()
    result = run_module(name, arguments(scene, name))
    assert MARK not in json.dumps(result)
    assert [path for path, content in scene.left() if MARK.encode() in content] == []


def test_all_of_them_at_vvv(scene: Scene) -> None:
    tasks: list[dict[str, Any]] = []
    for name, (_given, works) in ((name, CALLS[name](scene)) for name in CALLS):
        for check in (True, False):
            call = {f"fieldops.runbooks.{name}": arguments(scene, name), "check_mode": check, "diff": True, "register": "told", "ignore_errors": True}
            tasks += [call, {"ansible.builtin.assert": {"that": [{True: "told is succeeded", False: "told is failed", None: "true"}[works]]}}]
    play = scene.path / "secrets.json"
    play.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    scene.planted.add(play)  # it names the new secret that is to be set
    report = scene.path / "report.json"
    environment = {
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(scene.path / "ansible"),
        "ANSIBLE_LOG_PATH": str(scene.path / "ansible.log"),
        "FIELDOPS_REPORT": str(report),
        "PATH": f"{BIN}:{os.environ['PATH']}",
    }
    command = ["ansible-playbook", "-vvv", "-i", "localhost,", "-c", "local", str(play)]
    done = subprocess.run(command, env=environment, cwd=scene.path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    print(done.stdout.replace(MARK, "<<SECRET>>")[-20000:])
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if MARK in line]
    assert lines == []
    assert report.exists()
    assert (scene.path / "ansible.log").stat().st_size > 10000
    assert list(scene.journal.rglob("*.jsonl"))
    assert [path for path, content in scene.left() if MARK.encode() in content] == []
