# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each of our modules is compiled once where Ansible runs it, in the zip that Ansible itself makes, on each Python that is here."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import zipimport
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils import startup

OURS = "ansible_collections/fieldops/runbooks/plugins/"
RUN = """
import builtins, json, runpy, sys
compiled, make = [], builtins.compile
def counting(source, path, *rest, **named):
    compiled.append(str(path))
    return make(source, path, *rest, **named)
builtins.compile = counting
path, counts = sys.argv[1:3]
sys.argv = [path]
try:
    runpy.run_path(path, run_name="__main__")
finally:
    with open(counts, "w") as file:
        json.dump(compiled, file)
"""


@pytest.fixture(scope="module")
def payload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Ansible sends for one look, as Ansible leaves it when it is asked to keep it."""
    kept = tmp_path_factory.mktemp("kept")
    env = dict(os.environ, ANSIBLE_KEEP_REMOTE_FILES="1", ANSIBLE_REMOTE_TMP=str(kept), ANSIBLE_PIPELINING="0")
    program = Path(sys.executable).with_name("ansible")
    options = json.dumps({"paths": [{"path": str(kept), "exists": "directory"}]})
    command = [str(program), "localhost", "--connection", "local", "--module-name", "fieldops.runbooks.node_health_info", "--args", options]
    done = subprocess.run(command, env=env, text=True, capture_output=True, timeout=120, check=False)
    found = list(kept.glob("*/AnsiballZ_node_health_info.py"))
    assert len(found) == 1, done.stdout + done.stderr
    return found[0]


def pythons() -> list[str]:
    """This one, and whichever of the others that a node may have can be found."""
    named = [shutil.which("python3.%d" % minor) for minor in range(8, 15) if minor != sys.version_info.minor]
    return [sys.executable, *(path for path in named if path)]


@pytest.mark.parametrize("python", pythons())
def test_each_module_is_compiled_once(python: str, payload: Path, tmp_path: Path) -> None:
    if subprocess.run([python, "-c", ""], capture_output=True, timeout=60, check=False).returncode:
        pytest.skip(f"{python} does not start")
    done = subprocess.run([python, "-c", RUN, str(payload), str(tmp_path / "counts")], text=True, capture_output=True, timeout=120, check=False)
    told = json.loads(done.stdout)
    assert [each["exists"] for each in told["paths"]] == [True], told
    paths = json.loads((tmp_path / "counts").read_text(encoding="utf-8"))
    compiled = Counter(path.partition(OURS)[2] for path in paths if OURS in path)
    helpers = {name: times for name, times in compiled.items() if name.startswith("module_utils/")}
    # What was read before our own first line could run: the packages on the way, and the file with that line.
    before = {"module_utils/__init__.py", "module_utils/node/__init__.py", "module_utils/startup.py"}
    assert {name for name in helpers if name not in before} >= {"module_utils/node/paths.py", "module_utils/procedure/info.py", "module_utils/connect/disk.py"}
    assert {name: times for name, times in helpers.items() if times != 1 and name not in before} == {}


def test_a_second_answer_is_the_first_and_a_third_is_new() -> None:
    asked: list[tuple[str, str]] = []

    def make(importer: Any, name: str) -> Any:
        asked.append((importer, name))
        return object()

    take = startup.in_pairs(make)
    first, other = take("zip", "one"), take("zip", "two")
    assert take("zip", "one") is first
    assert take("zip", "two") is other
    assert take("zip", "one") is not first
    assert asked == [("zip", "one"), ("zip", "two"), ("zip", "one")]


def test_what_cannot_be_made_is_asked_for_again() -> None:
    def make(importer: Any, name: str) -> Any:
        raise ImportError(name)

    take = startup.in_pairs(make)
    for _again in range(2):
        with pytest.raises(ImportError, match="one"):
            take("zip", "one")


@pytest.mark.parametrize("make", [None, 1, len, lambda self: 0, lambda self, fullname, more: 0, lambda self, path: 0])
def test_a_python_that_does_it_another_way_is_left_alone(make: Any) -> None:
    module = SimpleNamespace(_get_module_code=make)
    startup.compile_once(module)
    assert module._get_module_code is make
    startup.compile_once(SimpleNamespace())
    startup.leave_in_peace(SimpleNamespace())


def test_this_python_does_it_as_expected() -> None:
    made = vars(zipimport)["_get_module_code"]
    module = SimpleNamespace(_get_module_code=made)
    startup.compile_once(module)
    assert module._get_module_code is not made


def test_nothing_is_done_without_a_zip() -> None:
    program = "import gc, zipimport; made = zipimport._get_module_code; import %s; print(zipimport._get_module_code is made, gc.get_freeze_count())"
    done = subprocess.run([sys.executable, "-c", program % "runpy"], text=True, capture_output=True, timeout=60, check=True)
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    ours = subprocess.run([sys.executable, "-c", program % startup.__name__], env=env, text=True, capture_output=True, timeout=60, check=True)
    assert ours.stdout == done.stdout
    assert gc.isenabled()
