# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check that docs/add_a_check.md adds: its files, as they are printed, in a copy of the collection."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS
from play import BIN, ROOT

FILE = re.compile(r"^`([\w./]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MODULE = "fieldops.runbooks.node_uptime_info"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A collection that has the example."""
    place = tmp_path / "ansible_collections" / "fieldops" / "runbooks"
    for name in ("plugins", "meta"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("galaxy.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, place)
    files = FILE.findall((DOCS / "add_a_check.md").read_text(encoding="utf-8"))
    assert len(files) == 3
    for name, content in files:
        assert not (ROOT / name).exists(), f"{name} is no example any more"
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content, encoding="utf-8")
    return tmp_path


def test_the_example_works(copy: Path) -> None:
    def run(*command: str | Path, fails: bool = False) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE", "COVERAGE", "PYTEST"))}
        own = {**kept, "ANSIBLE_COLLECTIONS_PATH": str(copy), "ANSIBLE_HOME": str(copy / "home"), "ANSIBLE_NOCOLOR": "1", "PYTHONPATH": str(copy)}
        own["PATH"] = os.pathsep.join([str(BIN), os.environ["PATH"]])
        done = subprocess.run(command, env=own, cwd=copy, text=True, capture_output=True, timeout=300, check=False)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout

    place = copy / "ansible_collections" / "fieldops" / "runbooks"
    (test,) = (place / "tests").rglob("test_*.py")
    pytest_ini = copy / "pytest.ini"
    pytest_ini.write_text("[pytest]\n", encoding="utf-8")
    known = [sys.executable, "-m", "pytest", "-q", "-c", str(pytest_ini), "--import-mode=importlib", str(test)]
    assert "2 passed" in run(*known)
    own = [test, place / "plugins/module_utils/node/uptime.py", place / "plugins/modules/node_uptime_info.py"]
    run("ruff", "check", "--no-cache", *own)
    run("ruff", "format", "--check", "--no-cache", *own)
    documented = json.loads(run("ansible-doc", "--json", MODULE))[MODULE]
    assert documented["doc"]["options"]["settled_after"]["default"] == 600
    local = ("ansible", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", "localhost", "-m", MODULE, "-a")
    assert '"node.uptime.settled"' in run(*local, "settled_after=0")
    assert '"node.uptime.restarted"' in run(*local, "settled_after=1e12", "--check")
    rule = own[1]
    rule.write_text(rule.read_text(encoding="utf-8").replace(">=", ">"), encoding="utf-8")
    assert "1 failed" in run(*known, fails=True), "the example's test can fail"
