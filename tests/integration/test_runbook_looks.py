# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several checks in one round trip, by ansible-playbook on this machine: each returns what it returns alone, and none is hurt by what becomes of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LOOKS = "fieldops.runbooks.runbook_looks"
SECRET = "kept-to-itself-4711"


class Run:
    """What a play came to: what its tasks registered, what was printed, and the report."""

    def __init__(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        self.text = done.stdout + done.stderr
        assert done.returncode == 0, self.text
        self.kept: dict[str, Any] = json.loads((folder / "kept.json").read_text(encoding="utf-8"))
        self.report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))


def play(folder: Path, tasks: list[dict[str, Any]], *words: str, **keywords: Any) -> Run:
    """Run the tasks, each of which may fail, and keep what they register."""
    registers = [task["register"] for task in tasks if "register" in task]
    kept = "{{ {%s} | to_json }}" % ", ".join(f"'{name}': {name}" for name in registers)
    keep = {"ansible.builtin.copy": {"content": kept, "dest": str(folder / "kept.json"), "mode": "0600"}, "check_mode": False}
    plays = [{"hosts": "localhost", "gather_facts": False, "tasks": [*({**task, "ignore_errors": True} for task in tasks), keep], **keywords}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/tree"),
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "FIELDOPS_REPORT": str(folder / "report.json"),
    }
    command = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", str(folder / "play.yml"), *words]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return Run(done, folder)


@pytest.fixture
def checks(tmp_path: Path, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any]) -> list[dict[str, Any]]:
    """A look at a host, one at a database of its own, in which nothing grows older, one at a journal; the first finds something."""
    queues = {**connection, **places, "login_db": database(), "login_password": SECRET}
    return [
        {"module": "node_health_info", "args": {"paths": [{"path": str(tmp_path / "wanted"), "exists": "directory", "code": "test.path"}]}},
        {"module": "fits_queue_info", "args": queues},
        {"module": "fieldops.runbooks.runbook_journal_info", "args": {"journal_dir": str(tmp_path / "journal")}},
    ]


def alone(checks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{f"fieldops.runbooks.{look['module'].rpartition('.')[2]}": look["args"], "register": f"alone{n}"} for n, look in enumerate(checks)]


def plain(result: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from one time to the next."""
    return {name: value for name, value in result.items() if name not in {"elapsed", "look", "evidence", "failed", "node", "paths", "exception", "invocation"}}


def test_each_look_returns_what_it_returns_alone(tmp_path: Path, checks: list[dict[str, Any]]) -> None:
    together = [
        {LOOKS: {"looks": checks}, "register": "together"},
        {LOOKS: {"looks": checks}, "vars": {"ansible_pipelining": False}, "register": "copied"},
        {LOOKS: {"looks": checks}, "check_mode": True, "register": "checked"},
    ]
    run = play(tmp_path, [*alone(checks), *together], "-vvv")
    expected = [plain(run.kept[f"alone{n}"]) for n in range(len(checks))]
    assert [finding["code"] for finding in expected[0]["findings"] if finding["severity"] != "ok"] == ["test.path.missing"]
    assert expected[1]["queues"].keys() == {"ingest", "export"}
    for name in ("together", "copied", "checked"):
        told = run.kept[name]
        assert [each["look"].rpartition(".")[2] for each in told["results"]] == ["node_health_info", "fits_queue_info", "runbook_journal_info"]
        assert [plain(each) for each in told["results"]] == expected, name
        assert told["changed"] is False
        assert not told.get("failed")
    # For the report they are the checks that they are, whichever way they were sent.
    assert {look["action"].rpartition(".")[2] for look in run.report["checks"]} == {"node_health_info", "fits_queue_info", "runbook_journal_info"}
    assert len(run.report["checks"]) == 3
    assert SECRET not in run.text
    assert SECRET not in json.dumps(run.kept) + json.dumps(run.report)


def test_what_was_found_alone_is_cleared_together(tmp_path: Path, checks: list[dict[str, Any]]) -> None:
    mend = {"ansible.builtin.file": {"path": str(tmp_path / "wanted"), "state": "directory", "mode": "0755"}}
    run = play(tmp_path, [*alone(checks), mend, {LOOKS: {"looks": checks}, "register": "together"}])
    (wrong,) = (finding for finding in run.report["findings"] if finding["code"] == "test.path.missing")
    assert wrong["cleared"]


def test_one_that_fails_stops_no_other(tmp_path: Path, checks: list[dict[str, Any]]) -> None:
    lost = {"module": "fits_queue_info", "args": {"login_host": "127.0.0.1", "login_port": 1, "login_user": "nobody", "login_password": SECRET}}
    run = play(
        tmp_path,
        [
            {LOOKS: {"looks": [lost, {**lost, "args": {"nonsense": 1}}, *checks]}, "register": "seen"},
            {LOOKS: {"looks": [lost, *checks]}, "register": "one"},
        ],
    )
    seen = run.kept["seen"]
    assert seen["failed"]
    assert [bool(each.get("failed")) for each in seen["results"]] == [True, True, False, False, False]
    database, nonsense = seen["results"][:2]
    assert "cannot" in database["msg"]
    assert "nonsense" in nonsense["msg"]
    assert seen["msg"] == f"fits_queue_info: {database['msg']}; fits_queue_info: {nonsense['msg']}"
    assert SECRET not in run.text
    # One that failed is told by its own name, and counts once.
    troubles = [(each["action"].rpartition(".")[2], each["reason"]) for each in run.report["failed"]]
    assert troubles[1] == ("fits_queue_info", database["msg"])
    assert len(troubles) == 2
    outcomes = [look["outcome"] for look in run.report["checks"] if look["action"].endswith("fits_queue_info")]
    assert sorted(outcomes) == ["failed", "looked"]


def test_defaults_count_as_they_do_for_a_task(tmp_path: Path, checks: list[dict[str, Any]]) -> None:
    wanted = checks[0]["args"]["paths"]
    looks = [{"module": "node_health_info"}, {"module": "runbook_journal_info", "args": {"journal_dir": "{{ folder }}", "limits_dir": "{{ omit }}"}}]
    defaults = {"group/fieldops.runbooks.looks": {"record": True}, "fieldops.runbooks.node_health_info": {"paths": wanted}}
    task = {LOOKS: {"looks": looks}, "module_defaults": defaults, "vars": {"folder": str(tmp_path / "journal")}, "register": "seen"}
    run = play(tmp_path, [task])
    health, journal = run.kept["seen"]["results"]
    assert [health["record"]["check"], journal["record"]["check"]] == ["node_health_info", "runbook_journal_info"]
    assert health["paths"][0]["path"] == wanted[0]["path"]


def test_what_it_does_not_take(tmp_path: Path, checks: list[dict[str, Any]]) -> None:
    asked = {
        "unknown": [{"module": "nothing_info"}],
        "fix": [*checks, {"module": "fits_queue_reset", "args": checks[1]["args"]}],
        "ping": [{"module": "ansible.builtin.ping"}],
        "spelling": [{"module": "node_health_info", "argz": {}}],
        "nothing": [{**checks[0], "when": False}],
        "some": [{**checks[0], "when": False}, checks[2]],
    }
    run = play(tmp_path, [{LOOKS: {"looks": looks}, "register": name} for name, looks in asked.items()])
    assert run.kept["unknown"]["msg"].endswith("looks: there is no module nothing_info. Nothing was looked at.")
    for name, module in {"fix": "fits_queue_reset", "ping": "ansible.builtin.ping"}.items():
        assert f"looks: {module} is no check of this collection; their names end in _info" in run.kept[name]["msg"]
        assert "results" not in run.kept[name]
    assert "argz" in run.kept["spelling"]["msg"]
    assert run.kept["nothing"]["skipped"]
    assert [each["look"] for each in run.kept["some"]["results"]] == ["fieldops.runbooks.runbook_journal_info"]
