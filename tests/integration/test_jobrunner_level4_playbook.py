# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped playbook removes files from level 4, as an operator runs it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from play import BIN, ROOT, Run
from removing import WORKSPACE, Folders

PLAYBOOK = "jobrunner_level4_remove"


class Player:
    """An operator with an inventory of one backend."""

    def __init__(self, folders: Folders, directory: Path) -> None:
        self.folders = folders
        self.directory = directory
        self.environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache" / "tree"),
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(directory / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "FIELDOPS_REPORT": str(directory / "report.json"),
            "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        }

    def play(self, check: bool = False, **variables: Any) -> Run:
        folders = self.folders
        host = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "jobrunner_high_privacy_base": str(folders.high),
            "jobrunner_medium_privacy_base": str(folders.medium),
            "jobrunner_sync_sources": [str(folders.source)],
            "jobrunner_config_files": [],
            "jobrunner_journal_dir": folders.journal,
        }
        inventory = self.directory / "hosts.json"
        inventory.write_text(json.dumps({"jobrunner_backends": {"hosts": {"localhost": host}}}), encoding="utf-8")
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        playbook = str(ROOT / "playbooks" / f"{PLAYBOOK}.yml")
        done = self._call(["ansible-playbook", "-i", str(inventory), playbook, "-e", json.dumps(variables), *(["--check"] if check else [])])
        return Run(done.returncode, done.stdout, json.loads(report.read_text(encoding="utf-8")))

    def undo(self, run: Run) -> int:
        """Take a run back by the very command that its summary shows."""
        (entry,) = run.report["undo"]
        return self._call(shlex.split(entry["command"])).returncode

    def _call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, env=self.environment, cwd=self.directory, text=True, timeout=240, check=False, **pipes)
        print(done.stdout)
        return done


@pytest.fixture
def folders(tmp_path: Path, journal_dir: str) -> Folders:
    return Folders(tmp_path / "srv", journal_dir)


@pytest.fixture
def player(folders: Folders, tmp_path: Path) -> Player:
    return Player(folders, tmp_path)


@pytest.mark.step("O18")
def test_predicted_removed_repeated_undone(player: Player, folders: Folders) -> None:
    name = "output/table, 1 'old'.csv"
    folders.put(name)
    folders.put(name, "source")
    folders.put("output/table")
    before = folders.tree()
    asked = {"jobrunner_workspace": WORKSPACE, "jobrunner_output_files": name}
    predicted = player.play(check=True, **asked)
    assert (predicted.rc, len(predicted.changes)) == (0, 2)
    assert folders.tree() == before

    run = player.play(jobrunner_approved_plan=predicted.plans[0], **asked)
    assert (run.rc, run.plans, run.changes) == (0, predicted.plans, predicted.changes)
    assert not folders.at(name).exists()
    assert "jobrunner.output.level4" in run.standing
    assert r"D:\Level4Files\workspaces\my-study\output\table" in run.output

    again = player.play(**asked)
    assert (again.rc, again.changed) == (0, 0)
    assert player.undo(run) == 0
    assert folders.tree() == before


@pytest.mark.step("O18")
@pytest.mark.thorough
def test_refusals_reach_the_operator(player: Player, folders: Folders) -> None:
    folders.put("a.csv")
    assert "missing required arguments: jobrunner_output_files, jobrunner_workspace" in player.play().failures
    assert "files names no file" in player.play(jobrunner_workspace=WORKSPACE, jobrunner_output_files=[]).failures
    assert "exact paths relative to" in player.play(jobrunner_workspace=WORKSPACE, jobrunner_output_files="").failures
    assert "name of one workspace's directory" in player.play(jobrunner_workspace="", jobrunner_output_files="a.csv").failures
    assert "exact paths relative to" in player.play(jobrunner_workspace=WORKSPACE, jobrunner_output_files=["a.csv", "../x"]).failures
    assert folders.at("a.csv").exists()
