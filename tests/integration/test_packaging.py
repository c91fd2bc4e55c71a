# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody gets who has only the built collection: what is in it, that all of it is found from outside the checkout, and what images are made of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.hosts import common
from play import BIN, NAMED, ROOT

ABOUT = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
WHOLE = ("docs", "extensions", "inventories", "meta", "playbooks", "plugins", "roles")
WANTED = {"LICENSE", "MANIFEST.json", "FILES.json", "README.md", "changelogs/changelog.yaml", "execution-environment.yml", "requirements.txt"}
UNWANTED = re.compile(r"(^|/)(\.[^/]*|__pycache__|[^/]*\.pyc|Makefile|pyproject\.toml|requirements-dev\.txt|output)(/|$)|^(tools|benchmarks)/")


class Installed:
    """The collection in a path of its own, and Ansible's commands that know no other one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.collections = folder / "collections"
        self.collection = self.collections / "ansible_collections" / "fieldops" / "runbooks"
        self.run("ansible-galaxy", "collection", "build", str(ROOT), "--output-path", str(folder))
        (self.tarball,) = folder.glob("*.tar.gz")
        self.said = self.run("ansible-galaxy", "collection", "install", "--offline", "--collections-path", "collections", str(self.tarball)).stdout

    def run(self, *command: str | Path, path: Path = BIN, cwd: Path | None = None, fails: bool = False, **env: str) -> subprocess.CompletedProcess[str]:
        """Without all that leads to the checkout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE", "COVERAGE", "FIELDOPS", "PYTHON"))}
        here = {"ANSIBLE_COLLECTIONS_PATH": str(self.collections), "ANSIBLE_HOME": str(self.folder / "ansible"), "ANSIBLE_NOCOLOR": "1"}
        own = {**kept, **here, "PATH": os.pathsep.join([str(path), os.environ["PATH"]]), **env}
        done = subprocess.run(command, env=own, cwd=cwd or self.folder, text=True, capture_output=True, timeout=500, check=False)
        assert fails or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("elsewhere"))


def test_what_is_in_it(installed: Installed) -> None:
    assert installed.tarball.name == f"{ABOUT['namespace']}-{ABOUT['name']}-{ABOUT['version']}.tar.gz"
    with tarfile.open(installed.tarball) as packed:
        names = {member.name for member in packed.getmembers() if member.isfile() or member.issym()}
    assert sorted(name for name in names if UNWANTED.search(name)) == []
    there = {str(path.relative_to(ROOT)) for folder in WHOLE for path in (ROOT / folder).rglob("*") if path.is_file()}
    assert sorted((WANTED | {name for name in there if not UNWANTED.search(name)}) - names) == []
    assert f"{NAMED[:-1]}:{ABOUT['version']} was installed successfully" in installed.said


def test_every_playbook_is_found_by_its_name(installed: Installed) -> None:
    """With their roles and modules, from a folder that is not the checkout's: one command loads them all."""
    names = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    listed = installed.run("ansible-playbook", "-i", "localhost,", "--list-tasks", *(NAMED + name for name in names)).stdout
    assert re.findall(r"^playbook: (\S+)", listed, re.MULTILINE) == [str(installed.collection / "playbooks" / f"{name}.yml") for name in names]


def test_one_of_them_runs(installed: Installed) -> None:
    """A pause is set, is there, and is lifted, with no setting but the inventory."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (installed.folder / "hosts.json").write_text(json.dumps({"all": {"hosts": {"here": here}}}), encoding="utf-8")
    places = {"runbooks_limits_dir": str(installed.folder / "limits"), "runbooks_journal_dir": str(installed.folder / "journal")}
    known = ["-i", "hosts.json", "-e", json.dumps({**places, "runbooks_pause_reason": "storage moves"})]
    assert "changed=1" in installed.run("ansible-playbook", *known, f"{NAMED}pause").stdout
    again = installed.run("ansible-playbook", *known, f"{NAMED}pause", f"{NAMED}pause", "-e", "runbooks_pause_state=absent").stdout
    assert "changed=1" in again, "lifted, but not set once more"


def test_its_version_can_be_released(installed: Installed) -> None:
    """By the command of CONTRIBUTING.md: the fragments make a changelog, and every module is of some release."""
    copy = shutil.copytree(installed.collection, installed.folder / "release" / "ansible_collections" / "fieldops" / "runbooks")
    shutil.copy(ROOT / "galaxy.yml", copy)
    (copy / "MANIFEST.json").unlink()
    if ABOUT["version"] not in yaml.safe_load((copy / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]:
        installed.run("antsibull-changelog", "release", cwd=copy, ANSIBLE_COLLECTIONS_PATH=str(installed.folder / "release"))
        assert list((copy / "changelogs" / "fragments").glob("*.yml")) == []
    releases = yaml.safe_load((copy / "changelogs" / "changelog.yaml").read_text(encoding="utf-8"))["releases"]
    listed = {module["name"] for release in releases.values() for module in release.get("modules", [])}
    assert sorted(listed) == sorted(path.stem for path in (copy / "plugins" / "modules").glob("*.py"))
    assert f"v{ABOUT['version'].replace('.', '-')}" in (copy / "CHANGELOG.md").read_text(encoding="utf-8")


# -- execution environments --------------------------------------------------------------------------------------------------


LOOKS: dict[str, dict[str, Any]] = {
    "fits_queue_info": {"login_host": "127.0.0.1", "login_port": 1, "login_db": "fitsdata"},
    "libvirt_domain_info": {"uri": "qemu+unix:///system?socket=/nowhere.sock"},
    "mongodb_replica_set_info": {"login_host": "127.0.0.1", "login_port": 1},
    "mssql_table_progress_info": {
        "login_host": "127.0.0.1",
        "login_port": 1,
        "login_db": "a",
        "login_user": "b",
        "login_password": "none-is-needed",
        "table": "t",
    },
    "rabbitmq_info": {"docker_host": "unix:///nowhere.sock", "container": "rabbit"},
}
"""For each library a module that gets as far as to find no server."""
NO_SERVER = {
    "fits_queue_info": "cannot connect to database fitsdata",
    "libvirt_domain_info": "nowhere.sock",
    "mongodb_replica_set_info": "mongodb.replica_set.unreachable",
    "mssql_table_progress_info": "cannot connect to SQL Server",
    "rabbitmq_info": "no engine answers",
}


class Image:
    """What ansible-builder would make an image from: the shipped definition, and the steps of its Containerfile that need no container."""

    def __init__(self, installed: Installed) -> None:
        self.installed, self.context = installed, installed.folder / "context"
        definition = str(installed.collection / "execution-environment.yml")
        installed.run("ansible-builder", "create", "--file", definition, "--context", "context", "--output-filename", "Containerfile")
        self.steps = (self.context / "Containerfile").read_text(encoding="utf-8")

    def step(self, pattern: str) -> list[str]:
        """The words of a step."""
        (found,) = re.findall(rf"^(?:RUN|ARG) {pattern}", self.steps, re.MULTILINE)
        return str(found).split()

    def introspected(self) -> None:
        """Write the list of libraries and that of packages, by the image's command, with folders of here in place of the image's."""
        script, *words = self.step(r"\$PYCMD /output/scripts/(introspect\.py .*)$")
        there = {"/tmp/src": str(self.context), "=bindep.txt": f"={self.context}/_build/bindep.txt"}  # noqa: S108  the folder of the image
        for old, new in there.items():
            words = [word.replace(old, new) for word in words]
        self.installed.run(sys.executable, self.context / "_build" / "scripts" / script, *words, self.installed.collections)

    def missing(self, profile: str) -> list[str]:
        """The packages that this machine lacks."""
        done = self.installed.run("bindep", "--brief", "--file", self.context / "bindep.txt", profile, fails=True)
        return sorted(done.stdout.split())


def test_an_execution_environment_has_what_the_modules_need(installed: Installed) -> None:
    """What ansible-builder lists is installed as it would be in the image, and the modules run on it."""
    image = Image(installed)
    assert yaml.safe_load((image.context / "_build" / "requirements.yml").read_text(encoding="utf-8")) == {"collections": [{"name": NAMED[:-1]}]}
    image.introspected()
    told = {line.split("  # from collection ")[0] for line in (image.context / "requirements.txt").read_text(encoding="utf-8").splitlines()}
    assert {line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines() if line and line[0] != "#"} <= told
    assert {"libvirt-devel", "sshpass"} <= {line.split()[0] for line in (image.context / "bindep.txt").read_text(encoding="utf-8").splitlines() if line}
    if missing := image.missing("compile") + image.missing("default"):
        common._install(missing)
        assert image.missing("compile") + image.missing("default") == []
    place = installed.folder / "environment"
    installed.run(sys.executable, "-m", "venv", "--without-pip", place)
    pip: list[str | Path] = ["pip", "--python", place / "bin" / "python", "install", "-qq", "--no-compile"]
    installed.run(*pip, *image.step('ANSIBLE_INSTALL_REFS="(.*)"$'), "-r", image.context / "requirements.txt")
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{NAMED + name: options, "ignore_errors": True} for name, options in LOOKS.items()]}
    (installed.folder / "look.yml").write_text(json.dumps([play]), encoding="utf-8")
    looked = installed.run("ansible-playbook", "-v", "look.yml", path=place / "bin", ANSIBLE_CALLBACK_RESULT_FORMAT="json").stdout
    by_task = dict(re.findall(rf"^TASK \[{re.escape(NAMED)}(\w+)\] \**\n(.*?)(?=^TASK|^PLAY)", looked, re.MULTILINE | re.DOTALL))
    assert {name: said in by_task[name] for name, said in NO_SERVER.items()} == dict.fromkeys(LOOKS, True), looked
