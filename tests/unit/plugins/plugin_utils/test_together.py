# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module that runs others: what becomes of one is nothing to the others, and it brings what they import."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import together

BEGIN = "from ansible.module_utils.basic import AnsibleModule\nmodule = AnsibleModule({'n': {'type': 'int'}})\n"
MODULES = {
    "good": BEGIN + "module.exit_json(n=module.params['n'])",
    "failed": BEGIN + "module.fail_json(msg='no')",
    "killed": BEGIN + "import os\nos.kill(os.getpid(), 9)",
    "raised": BEGIN + "raise ValueError('what is that')",
    "silent": BEGIN,
    "garbled": BEGIN + "print('[]')",
    "loud": BEGIN + "import sys\nsys.stderr.write('e' * 3000000)\nmodule.exit_json(text='o' * 3000000, stdin=sys.stdin.read())",
    "untidy": BEGIN + "module.exit_json(folder=module.tmpdir)",
    "patient": BEGIN + "import time\ntime.sleep(1.5)\nmodule.exit_json()",
}


def run(tmp_path: Path, *names: str) -> list[dict[str, Any]]:
    """As Ansible runs it: the arguments are there, the output is one document."""
    internal = {"_ansible_remote_tmp": str(tmp_path), "_ansible_keep_remote_files": False, "_ansible_tracebacks_for": []}
    looks = [{"module": name, "args": {"n": n, **internal} if name == "good" else internal} for n, name in enumerate(names)]
    args = json.dumps({"ANSIBLE_MODULE_ARGS": {"looks": looks}})
    begin = f"from ansible.module_utils import basic\nbasic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = {args.encode()!r}, 'legacy'\n"
    text = together.module_of({name: MODULES[name] for name in names}).replace("from __future__ import annotations", "")
    done = subprocess.run([sys.executable, "-"], input=begin + text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout)["looks"])


def test_what_becomes_of_one_is_nothing_to_the_others(tmp_path: Path) -> None:
    good, failed, killed, raised, silent, garbled, loud, untidy, again = run(
        tmp_path, "good", "failed", "killed", "raised", "silent", "garbled", "loud", "untidy", "good"
    )
    assert (good["n"], again["n"]) == (0, 8)
    assert (failed["failed"], failed["msg"]) == (True, "no")
    assert (killed["failed"], killed["msg"]) == (True, "it was ended by signal 9, without a result")
    assert (raised["failed"], raised["msg"]) == (True, "ValueError: what is that")
    assert "what is that" in raised["module_stderr"]
    for nothing in (silent, garbled):
        assert (nothing["failed"], nothing["msg"]) == (True, "it ended with 0, without a result")
    assert garbled["module_stdout"] == "[]\n"
    assert (len(loud["text"]), loud["stdin"]) == (3000000, "")
    assert not os.path.exists(untidy["folder"])


def test_they_run_side_by_side(tmp_path: Path) -> None:
    started = time.monotonic()
    assert len(run(tmp_path, *["patient"] * 8)) == 8
    assert time.monotonic() - started < 8 * 1.5, "one after the other they would take longer than that"


def test_it_brings_what_they_import_by_full_names_and_no_documentation() -> None:
    text = together.module_of(
        {
            "one": "from __future__ import annotations\nDOCUMENTATION = 'long'\nfrom ..module_utils.fits.tables import QUEUES, Queue\nfrom json import loads\n",
            "two": "RETURN = 'long'\n"
            "from ..module_utils.fits.tables import QUEUES\n"
            "def main():\n    from ansible.module_utils.basic import missing_required_lib\n",
        }
    )
    imported = [(node.module, node.names[0].name) for node in ast.parse(text).body if isinstance(node, ast.ImportFrom)]
    tables = "ansible_collections.fieldops.runbooks.plugins.module_utils.fits.tables"
    assert imported[-3:] == [(tables, "QUEUES"), (tables, "Queue"), ("ansible.module_utils.basic", "missing_required_lib")]
    assert "long" not in text


def test_the_same_looks_are_written_once(tmp_path: Path) -> None:
    paths = {}
    for name in ("good", "failed"):
        (tmp_path / f"{name}.py").write_text(MODULES[name], encoding="utf-8")
        paths[name] = str(tmp_path / f"{name}.py")
    folder, name = together.written(paths, str(tmp_path))
    path = Path(folder) / f"{name}.py"
    assert path.read_text(encoding="utf-8") == together.module_of({name: MODULES[name] for name in paths})
    before = path.stat()
    assert together.written(dict(reversed(paths.items())), str(tmp_path)) == (folder, name)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert together.written({"good": paths["good"]}, str(tmp_path))[1] != name
    assert sorted(each.suffix for each in Path(folder).iterdir()) == [".py", ".py"]
    assert Path(folder).stat().st_mode & 0o077 == 0


def test_what_is_no_python_is_told(tmp_path: Path) -> None:
    with pytest.raises(SyntaxError):
        together.module_of({"one": "def"})
