# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback in real runs of ansible-playbook, with a module that returns what a task's environment tells it to."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import stat
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

ROOT = Path(__file__).resolve().parents[4]
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "report.schema.json").read_text(encoding="utf-8"))
SECRET = "hunter2-is-secret"

MODULE = """#!/usr/bin/python
import json
import os
from ansible.module_utils.basic import AnsibleModule

names = ["login_db", "login_user", "queue", "undo_id"]
spec = dict({name: {"type": "str"} for name in names}, max_changes={"type": "int"}, login_password={"type": "str", "no_log": True})
module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
said = json.loads(os.environ["SAYS"])
if said.get("msg"):
    module.fail_json(**said)
module.exit_json(**said)
"""

HOSTS = """
all:
  vars:
    ansible_python_interpreter: %s
    ansible_connection: local
    ansible_remote_tmp: %s
  children:
    fits:
      hosts:
        fits-1:
        fits-2:
        fits-10:
        fits-gone: {ansible_connection: gone}
"""

CONNECTION = """
DOCUMENTATION = 'name: gone'
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

class Connection(ConnectionBase):
    transport = 'gone'

    def _connect(self, *words, **more):
        raise AnsibleConnectionFailure('No route to host')

    exec_command = put_file = fetch_file = _connect

    def close(self):
        pass
"""

VARS: dict[str, Any] = {
    "orphaned": {
        "code": "fits.ingest.orphaned",
        "severity": "critical",
        "subject": "ingest queue",
        "summary": "12 files are in progress but no worker is",
        "detail": {"rows": 12},
        "remedy": {"playbook": "fieldops.runbooks.fits_ingest_queue", "vars": {"fits_repair": True}, "text": "Reset them."},
        "runbook": {"file": "fits.rst", "heading": "Ingest queue"},
    },
    "failed": {
        "code": "fits.export.failed",
        "severity": "warning",
        "subject": "export queue",
        "summary": "newest error: \u001b[31mrefused\u001b[0m\nby archive",
        "detail": {},
        "remedy": None,
        "runbook": None,
    },
    "fine": {"code": "fits.ingest.ok", "severity": "ok", "subject": "ingest queue", "summary": "all files move"},
    "plan": [{"n": n, "action": "reset", "subject": "N%d.fits" % n, "before": {"f": 1}, "after": {"f": 0}, "done": True} for n in range(4)],
}


@dataclass
class Place:
    """A folder with an inventory, the module and the collection."""

    path: Path
    output: str = ""

    def write(self, *tasks: dict[str, Any], hosts: str = "fits", **play: Any) -> None:
        text = json.dumps([{"hosts": hosts, "gather_facts": False, "vars": VARS, "tasks": list(tasks), **play}])
        (self.path / "play.yml").write_text(text, encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not re.match(r"ANSIBLE_|FIELDOPS_(REPORT|SHOW)|NO_COLOR|AWX|JOB_ID|COLUMNS", name)}
        own = {
            "HOME": str(self.path / "home"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.path / "tree"),
            "ANSIBLE_LIBRARY": str(self.path / "library"),
            "ANSIBLE_LOCAL_TEMP": str(self.path / "home" / "tmp"),
            "ANSIBLE_CALLBACKS_ENABLED": "fieldops.runbooks.summary",
            "ANSIBLE_CONNECTION_PLUGINS": str(self.path / "library" / "connection"),
            "FIELDOPS_REPORT": str(self.path / "report.json"),
        }
        return {**kept, **own, **more}

    def command(self, *options: str) -> list[str]:
        return [*_ansible("ansible-playbook"), "-i", str(self.path / "hosts.yml"), str(self.path / "play.yml"), *options]

    def execute(self, command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=self.path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
        self.output = done.stdout + done.stderr
        assert "Callback dispatch" not in self.output, self.output
        assert "DEPRECATION" not in self.output, self.output
        return done

    def run(self, *options: str, **environment: str) -> str:
        """Everything that is shown from the summary on."""
        shown = self.execute(self.command(*options), self.environment(**environment)).stdout
        return shown[shown.find("RUNBOOK SUMMARY") :] if "RUNBOOK SUMMARY" in shown else ""

    def report(self) -> dict[str, Any]:
        data = json.loads((self.path / "report.json").read_bytes())
        jsonschema.Draft202012Validator(SCHEMA).validate(data)
        return dict(data)


def _ansible(name: str) -> list[str]:
    beside = Path(sys.executable).parent / name
    return [str(beside)] if beside.exists() else [sys.executable, "-m", "ansible", name.replace("ansible-", "")]


def says(name: str, said: str, action: dict[str, Any] | None = None, **task: Any) -> dict[str, Any]:
    """A task whose module returns what the expression says."""
    told = {"environment": {"SAYS": "{{ said | to_json }}"}, "vars": {"said": "{{ %s }}" % said}}
    return {"name": name, "envelope": action or {"login_db": "fitsdata"}, **told, **task}


def make_place(path: Path) -> Place:
    for folder in ("library/connection", "home", "tree/ansible_collections/fieldops"):
        (path / folder).mkdir(parents=True)
    (path / "tree/ansible_collections/fieldops/runbooks").symlink_to(ROOT)
    (path / "library" / "envelope.py").write_text(MODULE, encoding="utf-8")
    (path / "library" / "connection" / "gone.py").write_text(CONNECTION, encoding="utf-8")
    (path / "hosts.yml").write_text(HOSTS % (sys.executable, path / "home" / "remote"), encoding="utf-8")
    return Place(path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


TASKS = (
    says("Read the queues", "{'findings': [orphaned, failed]}"),
    says("Read the archives", "{'findings': [fine]}", {"login_db": "{{ item }}", "login_password": SECRET}, loop=["one", "two"]),
    says(
        "Repair too much",
        "{'msg': 'refused', 'findings': [orphaned], 'changes': plan | map('combine', {'done': false}), 'changes_total': 1500, 'plan_sha256': 'f' * 64,"
        " 'refusals': [{'guard': 'max_changes', 'reason': '1500 changes', 'allow': 'max_changes: 1500'}]}",
        {"queue": "ingest"},
        when="inventory_hostname == 'fits-2'",
        ignore_errors=True,
    ),
    says(
        "Repair the queue",
        "{'changed': true, 'findings': [failed], 'changes': plan | map('combine', {'done': not ansible_check_mode}), 'changes_total': 4,"
        " 'plan_sha256': 'a' * 64, 'undo_id': none if ansible_check_mode else 'u-' ~ inventory_hostname}",
        {"login_db": "fitsdata", "login_user": "fits", "login_password": SECRET, "queue": "ingest"},
        when="inventory_hostname == 'fits-1'",
    ),
    says("Read the queues again", "{'findings': [fine if not ansible_check_mode else orphaned, failed]}", when="inventory_hostname == 'fits-1'"),
    says("Hide this", "{'findings': [orphaned | combine({'code': 'hidden.code'})]}", no_log=True, when="inventory_hostname == 'fits-1'"),
    {"name": "Break", "command": "false", "when": "inventory_hostname == 'fits-10'"},
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, str]:
    place = make_place(tmp_path_factory.mktemp("run"))
    place.write(*TASKS)
    return place, place.run(COLUMNS="110")


class TestOneRun:
    """Several hosts, one that is gone, one that breaks; a check, a loop, a refusal, a repair, and the check again."""

    def test_the_page(self, ran: tuple[Place, str]) -> None:
        page = re.sub(r"Break: .*", "Break: ...", ran[1])
        assert page.splitlines() == [
            "RUNBOOK SUMMARY  play.yml " + "-" * 84,
            "",
            "  BROKEN: 1 critical, 1 warning on 3 of 4 hosts; 1 host unreachable; 1 host failed; 1 plan refused",
            "  7 checks ok; cleared since the start of the run: 1; 1 result hidden by no_log left out",
            "",
            "  WHAT IS WRONG",
            "    unreachable  fits-gone            No route to host",
            "    failed       fits-10              Break: ...",
            "    critical     fits-2, fits-10      ingest queue: 12 files are in progress but no worker is [1]",
            "    warning      fits-1, fits-2 (+1)  export queue: newest error: refused by archive",
            "",
            "  WHAT TO DO",
            "    [1] Reset them.",
            "        ansible-playbook -i hosts.yml fieldops.runbooks.fits_ingest_queue -e fits_repair=true --limit fits-2,fits-10",
            '        Runbook: fits.rst, "Ingest queue"',
            "",
            "  WHAT WAS REFUSED (nothing of these plans was done)",
            "    fits-2  Repair too much, 1500 changes planned, plan ffffffffffff",
            "        max_changes: 1500 changes",
            "        to allow it: max_changes: 1500",
            "",
            "  WHAT WAS CHANGED",
            "    fits-1  Repair the queue, 4 changes made, plan aaaaaaaaaaaa",
            "        reset N0.fits, N1.fits, N2.fits (+1)",
            "",
            "  HOW TO TAKE IT BACK",
            "    ansible fits-1 -i hosts.yml -m fieldops.runbooks.runbook_undo -a 'undo_id=u-fits-1 login_user=fits login_db=fitsdata'",
            "    (Give it what the fix was given: inventory, connection options, become, and login_password. With --check",
            "    it only shows.)",
            "",
            "  Report: report.json",
        ]

    def test_the_report(self, ran: tuple[Place, str]) -> None:
        place, report = ran[0], ran[0].report()
        assert stat.S_IMODE((place.path / "report.json").stat().st_mode) == 0o600
        assert report["run"]["playbooks"] == ["play.yml"]
        assert report["run"]["check_mode"] is False
        assert [host["name"] for host in report["hosts"]] == ["fits-1", "fits-2", "fits-10", "fits-gone"]
        assert [host["unreachable"] for host in report["hosts"]] == [0, 0, 0, 1]
        (cleared,) = [group for group in report["findings"] if group["cleared"]]
        assert [entry["host"] for entry in cleared["hosts"]] == ["fits-1"]
        assert [entry["host"] for entry in report["unreachable"]] == ["fits-gone"]
        assert [(entry["host"], entry["task"]) for entry in report["failed"]] == [("fits-10", "Break")]
        assert report["refusals"][0]["changes"][3]["subject"] == "N3.fits"

    def test_nothing_secret_and_nothing_hidden_is_in_it(self, ran: tuple[Place, str]) -> None:
        place, page = ran
        text = (place.path / "report.json").read_text(encoding="utf-8")
        for word in (SECRET, "hidden.code", "_ansible_", "SAYS"):
            assert word not in text + page

    def test_it_stands_beside_the_usual_output(self, ran: tuple[Place, str]) -> None:
        assert ran[0].output.index("PLAY RECAP") < ran[0].output.index("RUNBOOK SUMMARY")


def test_check_mode(place: Place) -> None:
    place.write(*TASKS[3:5], hosts="fits-1")
    page = place.run("--check")
    assert "RUNBOOK SUMMARY  play.yml  check mode, nothing was touched ---" in page
    assert "  WHAT WOULD BE CHANGED (check mode)\n    fits-1  Repair the queue, would change 4 subjects, plan aaaaaaaaaaaa\n" in page
    assert "HOW TO TAKE IT BACK" not in page
    report = place.report()
    assert report["run"]["check_mode"] is True
    assert (report["totals"]["changes_planned"], report["totals"]["changes_done"], report["undo"]) == (4, 0, [])


def test_delegated_loops_rescues_and_defaults_of_the_module(place: Place) -> None:
    block = {
        "block": [says("Break in a block", "{'msg': 'caught'}")],
        "rescue": [
            says(
                "Repair",
                "{'undo_id': 'u-' ~ item, 'changes': plan[:1]}",
                {"queue": "ingest"},
                loop=["fits-2", "fits-10"],
                delegate_to="{{ item }}",
            )
        ],
    }
    place.write(block, hosts="fits-1", module_defaults={"envelope": {"login_db": "archive"}})
    page = place.run()
    assert "ALL CLEAR" in page or "DONE" in page
    assert "1 failure ignored or rescued" in page
    for host in ("fits-2", "fits-10"):
        words = ["ansible", host, "-i", "hosts.yml", "-m", "fieldops.runbooks.runbook_undo", "-a", "undo_id=u-%s login_db=archive" % host]
        assert words in [shlex.split(line) for line in page.splitlines() if "runbook_undo" in line]
    assert [entry["rescued"] for entry in place.report()["failed"]] == [True]


def test_two_playbooks_in_one_command(place: Place) -> None:
    place.write(TASKS[0], hosts="fits-1")
    (place.path / "second.yml").write_text(json.dumps([{"hosts": "fits-2", "gather_facts": False, "tasks": [{"command": "true"}]}]), encoding="utf-8")
    page = place.run(str(place.path / "second.yml"))
    assert page.count("RUNBOOK SUMMARY") == 2
    assert place.report()["run"]["playbooks"] == ["play.yml", "second.yml"]
    assert place.report()["totals"]["critical"] == 1


def test_a_run_that_is_none_of_its_business(place: Place) -> None:
    place.write({"command": "true"}, hosts="fits-1")
    assert place.run(FIELDOPS_REPORT="") == ""
    assert "PLAY RECAP" in place.output
    assert not (place.path / "report.json").exists()


def test_options_from_ansible_cfg_and_a_report_that_cannot_be_written(place: Place) -> None:
    (place.path / "file").write_text("", encoding="utf-8")
    settings = "[defaults]\ncallbacks_enabled = fieldops.runbooks.summary\n[callback_summary]\nreport_path = file/{timestamp}.json\nshow_info = true\n"
    (place.path / "ansible.cfg").write_text(settings, encoding="utf-8")
    place.write(says("Read", "{'findings': [fine | combine({'severity': 'info', 'summary': 'a note'})]}"), hosts="fits-1")
    environment = {name: value for name, value in place.environment().items() if name not in ("FIELDOPS_REPORT", "ANSIBLE_CALLBACKS_ENABLED")}
    done = place.execute(place.command(), environment)
    assert "    info  fits-1  ingest queue: a note" in done.stdout
    assert "The report could not be written to" in re.sub(r"\s+", " ", done.stderr)
    assert done.returncode == 0


def test_ad_hoc(place: Place) -> None:
    command = [*_ansible("ansible"), "-i", str(place.path / "hosts.yml"), "fits-1", "-m", "envelope", "-a", "login_db=x"]
    environment = place.environment(ANSIBLE_LOAD_CALLBACK_PLUGINS="1", SAYS=json.dumps({"findings": [VARS["orphaned"]]}))
    done = place.execute(command, environment)
    assert "RUNBOOK SUMMARY  ad hoc ---" in done.stdout, done.stdout + done.stderr
    assert "critical  fits-1  ingest queue: 12 files" in done.stdout
    assert place.report()["run"]["playbooks"] == ["ad hoc"]


@pytest.mark.parametrize(("awx", "width", "coloured"), [(False, 72, True), (True, 100, False)])
def test_on_a_terminal(place: Place, awx: bool, width: int, coloured: bool) -> None:
    place.write(TASKS[0], hosts="fits-1")
    more = {"AWX_PRIVATE_DATA_DIR": "/runner", "ANSIBLE_FORCE_COLOR": "true"} if awx else {"ANSIBLE_LOG_PATH": str(place.path / "log")}
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 72, 0, 0))
    with subprocess.Popen(
        place.command(), cwd=place.path, env=place.environment(TERM="xterm", **more), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        output = b"".join(iter(lambda: _read(ours), b"")).decode("utf-8")
    os.close(ours)
    assert process.returncode == 0, output
    page = output[output.index("RUNBOOK SUMMARY") :].replace("\r\n", "\n")
    assert ("\x1b[0;31mcritical\x1b[0m" in page) is coloured
    assert ("\x1b" in page) is coloured
    assert len(re.sub(r"\x1b\[[\d;]*m", "", page).splitlines()[0]) == width
    if not awx:
        log = (place.path / "log").read_text(encoding="utf-8")
        assert "WHAT IS WRONG" in log
        assert "\x1b[" not in log[log.index("RUNBOOK SUMMARY") :]


def _read(descriptor: int) -> bytes:
    """Until the other end is closed, which Linux tells by an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
