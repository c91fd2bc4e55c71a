# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits across jobs, with real fixes: one at a time on a node, whoever started it; none in a pause or outside a window; none that comes back for ever."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner import setting_run
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import limits as limits_module
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock_shared import SharedLock
from ansible_collections.fieldops.runbooks.plugins.modules import jobrunner_setting, runbook_journal_info, runbook_undo
from lab.fits.site import Site
from lab.pg import Postgres
from node import Node, guards
from play import BIN, ROOT, Player, eventually
from support import run_module, run_ok

Result = dict[str, Any]
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
STRANGER = 65534
ANYBODY = pytest.param(None, id="same user"), pytest.param(STRANGER, id="other user", marks=ROOT_ONLY)
LOADED = (jobrunner_setting, runbook_journal_info, runbook_undo)
"""By another user they may be out of reach."""


class Jobs:
    """One node, and users whose jobs set a variable of a service: each has a file and a journal, the limits are common."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.limits = str(directory / "limits")
        self.children: list[int] = []

    def options(self, uid: int | None, **more: Any) -> dict[str, Any]:
        home = self.directory / str(uid)
        if not home.exists():
            home.mkdir()
            (home / "local.env").write_text("MAX_WORKERS=10\n", encoding="utf-8")
            if uid is not None:
                for path in (home, home / "local.env"):
                    os.chown(path, uid, uid)
        file = str(home / "local.env")
        known = {"name": "MAX_WORKERS", "value": "4", "file": file, "config_files": [file], "service": "no-such-unit"}
        return {**known, "journal_dir": str(home / "journal"), "limits_dir": self.limits, **more}

    def fix(self, uid: int | None = None, check: bool = False, **more: Any) -> Result:
        return run_module("jobrunner_setting", self.options(uid, **more), check)

    def text(self, uid: int | None) -> str:
        return (self.directory / str(uid) / "local.env").read_text(encoding="utf-8")

    def start(self, uid: int | None, body: Callable[[], Any]) -> tuple[int, int]:
        """In a process of that user; its pid, and where its result can be read."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(read)
                become(uid)
                with os.fdopen(write, "w") as pipe:
                    json.dump(body(), pipe)
            finally:
                os._exit(0)
        os.close(write)
        self.children.append(pid)
        return pid, read

    def as_user(self, uid: int | None, body: Callable[[], Any]) -> Any:
        pid, read = self.start(uid, body)
        return self.result(pid, read)

    def result(self, pid: int, read: int) -> Any:
        with os.fdopen(read) as pipe:
            text = pipe.read()
        self.children.remove(pid)
        os.waitpid(pid, 0)
        return json.loads(text)

    def stopped(self, uid: int | None, late: float = 0.0) -> tuple[int, int]:
        """A remediation that has made its change, not told anybody, and gets no further for now; ``late`` seconds ago by its clock."""
        real = setting_run.edit

        def edit(*arguments: Any) -> Any:
            made = real(*arguments)
            os.kill(os.getpid(), signal.SIGSTOP)
            return made

        def body() -> Result:
            locks = mock.patch.object(limits_module, "SharedLock", partial(SharedLock, clock=lambda: time.time() - late))
            with locks, mock.patch.object(setting_run, "edit", edit):
                return self.fix(uid)

        self.options(uid)
        pid, read = self.start(uid, body)
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        return pid, read

    def kill(self, pid: int) -> None:
        """It is dead, though not buried."""
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        shutil.rmtree(self.directory)


def become(uid: int | None) -> None:
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def name_of(uid: int | None) -> str:
    return pwd.getpwuid(os.geteuid() if uid is None else uid).pw_name


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    """In a directory that another user can reach, as those of tests cannot."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o1777)  # as /run/lock: whoever comes first makes what is common to all
    made = Jobs(directory)
    yield made
    made.close()


# -- one at a time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", ANYBODY)
def test_the_second_is_refused_by_name(jobs: Jobs, other: int | None) -> None:
    pid, read = jobs.stopped(other)
    for check in (True, False):
        refused = jobs.fix(check=check, value="5")
        assert guards(refused) == ["lock"]
        assert "another remediation is at work on this node: jobrunner_setting (run jobrunner_setting-" in refused["msg"]
        assert f", pid {pid}, by {name_of(other)}) since " in refused["msg"]
        assert {told["guard"]: told["decision"] for told in refused["guards"]}["lock"] == "refuse"
    holder = run_ok("runbook_limits_info", {"limits_dir": jobs.limits, "journal_dir": jobs.options(None)["journal_dir"]})
    assert holder["lock"]["pid"] == pid
    assert [finding["code"] for finding in holder["findings"]] == ["limits.locked"]
    os.kill(pid, signal.SIGCONT)
    assert jobs.result(pid, read)["changed"]
    assert jobs.fix(value="5")["changed"]


@ROOT_ONLY
def test_an_ordinary_user_is_refused_by_root(jobs: Jobs) -> None:
    pid, read = jobs.stopped(None)
    jobs.options(STRANGER)
    refused = jobs.as_user(STRANGER, lambda: jobs.fix(STRANGER))
    assert guards(refused) == ["lock"]
    assert f"pid {pid}, by root" in refused["msg"]
    os.kill(pid, signal.SIGCONT)
    jobs.result(pid, read)
    assert jobs.as_user(STRANGER, lambda: jobs.fix(STRANGER))["changed"]


@pytest.mark.parametrize("other", ANYBODY)
def test_the_second_waits(jobs: Jobs, other: int | None) -> None:
    first, first_read = jobs.stopped(None)
    jobs.options(other)
    second, second_read = jobs.start(other, lambda: jobs.fix(other, value="5", lock_wait=120))
    begun = Path(jobs.directory / str(other) / "journal" / "runs")
    eventually(begun.is_dir)
    os.kill(first, signal.SIGCONT)
    assert jobs.result(first, first_read)["changed"]
    assert jobs.result(second, second_read)["changed"]
    assert jobs.text(other) == "MAX_WORKERS=5\n"


def test_many_at_once_of_two_users(jobs: Jobs) -> None:
    """All wait for one another, and each finds its own still to be done."""
    users = [None, STRANGER if os.geteuid() == 0 else None] * 3
    started = []
    for number, uid in enumerate(users):
        jobs.options(uid)
        started.append(jobs.start(uid, lambda uid=uid, number=number: jobs.fix(uid, name=f"V{number}", lock_wait=120)))
    results = [jobs.result(*each) for each in started]
    assert [result["changed"] for result in results] == [True] * len(users), results
    for uid in set(users):
        assert len(jobs.text(uid).splitlines()) == 1 + users.count(uid)


@pytest.mark.parametrize("other", ANYBODY)
def test_a_killed_ones_lock_is_free_and_its_journal_is_offered(jobs: Jobs, other: int | None) -> None:
    pid, read = jobs.stopped(other)
    os.close(read)
    jobs.kill(pid)
    assert jobs.fix(name="OTHER", value="5")["changed"], "at once, and nobody waited for its expiry"
    known = {name: jobs.options(other)[name] for name in ("journal_dir", "limits_dir")}
    told = jobs.as_user(other, lambda: run_module("runbook_journal_info", known))
    [finding] = told["findings"]
    assert finding["code"] == "runbook.journal.unfinished"
    undo_id = finding["subject"]
    assert f"runbook_undo undo_id={undo_id}" in finding["remedy"]["text"]
    undone = jobs.as_user(other, lambda: run_module("runbook_undo", {**known, "undo_id": undo_id}))
    assert not undone.get("failed"), undone
    assert "MAX_WORKERS=10" in jobs.text(other)
    assert undone["changed"]
    assert [each["code"] for each in jobs.as_user(other, lambda: run_module("runbook_journal_info", known))["findings"]] == ["runbook.journal.ok"]


@pytest.mark.parametrize("other", ANYBODY)
def test_one_that_hangs_is_overtaken(jobs: Jobs, other: int | None) -> None:
    """Its lease was over long ago. What it had begun ends; it was the only change, so nothing is left to stop."""
    pid, read = jobs.stopped(other, late=10000)
    assert jobs.fix(name="OTHER", value="5")["changed"]
    os.kill(pid, signal.SIGCONT)
    assert jobs.result(pid, read)["changed"]
    assert jobs.fix(name="OTHER", value="6")["changed"], "it has not taken the lock back"


# -- the pause --------------------------------------------------------------------------------------------------------


@pytest.fixture
def limits(tmp_path: Path) -> dict[str, Any]:
    return {"limits_dir": str(tmp_path / "limits")}


def test_a_pause_holds_for_fixes_and_undo_and_not_for_checks(node: Node, limits: dict[str, Any]) -> None:
    first = node.fixed(filename=["failed.fits"], **limits)
    known = {**limits, "journal_dir": node.journal_dir, "initiator": {"user": "operator"}}
    paused = run_ok("runbook_pause", {**known, "reason": "storage moves"})
    before = node.rows()
    for result in (node.fix(check=True, **limits), node.fix(**limits), node.undo(first["undo_id"], **limits)):
        assert guards(result) == ["pause"]
        for word in ("all fixes are paused: storage moves", "by operator", "since 20", f"{limits['limits_dir']}/pause", "runbook_pause with state: absent"):
            assert word in result["msg"]
    assert node.rows() == before
    told = run_ok("runbook_limits_info", {**limits, "journal_dir": node.journal_dir})
    assert [(pause["reason"], pause["since"][:2]) for pause in told["pauses"]] == [("storage moves", "20")]
    assert [finding["code"] for finding in told["findings"]] == ["limits.paused"]
    assert run_ok("runbook_undo", {**known, "undo_id": paused["undo_id"]})["changed"]
    assert node.fix(**limits)["changed"]


def test_a_pause_by_hand_and_by_option(node: Node, limits: dict[str, Any]) -> None:
    Path(limits["limits_dir"]).mkdir(mode=0o755)
    file = Path(limits["limits_dir"]) / "pause"
    file.write_text("ask Ann\n", encoding="utf-8")
    assert "all fixes are paused: ask Ann (by" in node.fix(**limits)["msg"]
    file.write_text("ask Ann\nuntil: 2020-01-01T00:00:00Z\n", encoding="utf-8")
    told = node.fix(paused="the release", **limits)
    assert guards(told) == ["pause"]
    assert "all fixes are paused: the release" in told["msg"]
    assert node.fix(**limits)["changed"], "it is over by itself"


@pytest.mark.parametrize("check", [True, False])
def test_the_playbook(tmp_path: Path, check: bool) -> None:
    inventory = tmp_path / "hosts.json"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "runbooks_limits_dir": str(tmp_path / "limits")}
    here["runbooks_journal_dir"] = str(tmp_path / "journal")
    inventory.write_text(json.dumps({"fits_servers": {"hosts": {"here": here}}}), encoding="utf-8")

    def play(**variables: Any) -> str:
        command = [str(BIN / "ansible-playbook"), "-i", str(inventory), str(ROOT / "playbooks" / "pause.yml"), "-e", json.dumps(variables)]
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run([*command, *(["--check"] if check else [])], env=env, cwd=tmp_path, text=True, capture_output=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    file = tmp_path / "limits" / "pause"
    assert "changed=1" in play(runbooks_pause_reason="storage moves", runbooks_pause_until="2199-01-01T00:00:00Z")
    if check:
        assert not file.exists()
    else:
        assert file.read_text(encoding="utf-8").startswith("storage moves\n")
        assert "changed=1" in play(runbooks_pause_state="absent")
        assert not file.exists()


# -- windows ----------------------------------------------------------------------------------------------------------


def test_windows(node: Node, limits: dict[str, Any]) -> None:
    """A window that is open, and one of half an hour that opens in two hours."""
    later = time.strftime("%H:00", time.gmtime(time.time() + 7200))
    closed, always = [f"{later}-{later[:2]}:30"], ["00:00-24:00"]
    refused = node.fix(windows=closed, **limits)
    assert guards(refused) == ["windows"]
    for word in ("it is outside the maintenance windows until 20", f"T{later}:00Z", "only inside them", "windows: []"):
        assert word in refused["msg"]
    assert guards(node.fix(windows=always, windows_mean="never_inside", **limits)) == ["windows"]
    node.failed(node.fix(windows=["weekdays 22-06"], **limits), "windows: 'weekdays 22-06' is not accepted", "accepted is [DAYS ]HH:MM-HH:MM")
    told = run_ok("runbook_limits_info", {**limits, "journal_dir": node.journal_dir, "windows": closed})
    assert (told["windows"]["allowed"], [finding["code"] for finding in told["findings"]]) == (False, ["limits.outside"])
    assert node.fix(check=True, windows=closed, windows_mean="never_inside", **limits)["changed"]
    assert node.fixed(windows=[*closed, *always], windows_timezone="local", **limits)["changed"]


# -- escalation -------------------------------------------------------------------------------------------------------


def test_what_comes_back_again_and_again_is_for_a_person(node: Node, limits: dict[str, Any]) -> None:
    options = {"escalate_after": 2, "escalate_within": 3600, "filename": ["orphan1.fits"], **limits}
    for _number in range(2):
        last = node.fixed(**options)
        node.execute("UPDATE ingestqueue SET inprogress = true WHERE id = %s", node.ids[0])
    for check in (True, False):
        refused = node.fix(check=check, **options)
        assert guards(refused) == ["escalation"]
        [finding] = [each for each in refused["findings"] if each["code"] == "limits.escalated"]
        assert (finding["severity"], finding["subject"], finding["detail"]["times"]) == ("critical", last["changes"][0]["subject"], 2)
        assert finding["detail"]["runs"][0] == last["undo_id"]
    told = run_ok("runbook_limits_info", {**limits, "journal_dir": node.journal_dir, "escalate_after": 2})
    assert [(each["fix"], each["times"]) for each in told["escalations"]] == [("fits_queue_reset", 2)]
    assert node.fix(**{**options, "filename": ["orphan2.fits"]})["changed"], "another one is not meant"
    assert node.fix(**{**options, "escalate_after": 0})["changed"], "a person has looked"


# -- by a role's variables --------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_variables_reach_the_fixes_of_a_role(server: Postgres, tmp_path: Path) -> None:
    """One run for each would take a minute; the first two are refused together."""
    site = Site.build(server, tmp_path, "C", database=f"limits_{os.getpid()}_{time.monotonic_ns()}", idle=0.5)
    try:
        here = Player(site, tmp_path)
        site.faults.failed("ingest", "N20200804S0091.fits")
        here.variables.update(runbooks_limits_dir=str(tmp_path / "limits"), fits_conditions=["failed"], fits_repair=True)
        closed = [time.strftime("%H:00-%H:30", time.gmtime(time.time() + 7200))]
        refused = here.play(runbooks_paused="storage moves", runbooks_windows=closed, runbooks_escalate_after=1)
        assert refused.rc != 0
        [entry] = refused.report["refusals"]
        assert [one["guard"] for one in entry["refusals"]] == ["pause", "windows"]
        assert "storage moves" in entry["refusals"][0]["reason"]
        decided = {one["guard"]: one["decision"] for entry in refused.report["guards"] for one in entry["decisions"]}
        assert (decided["pause"], decided["windows"], decided["escalation"], decided["approved_plan"]) == ("refuse", "refuse", "pass", "off")
        assert here.play(runbooks_windows=["00:00-24:00"]).changed
        assert sorted(name.split(".")[0] for name in os.listdir(tmp_path / "limits")) == ["lease", "mutex"]
    finally:
        site.close()


# -- what each guard decided ------------------------------------------------------------------------------------------


def test_the_result_tells_of_every_guard(node: Node, limits: dict[str, Any]) -> None:
    told = node.fixed(max_changes=10, **limits)["guards"]
    assert [each["guard"] for each in told] == ["pause", "windows", "max_changes", "approved_plan", "accept_data_loss", "cooldown", "escalation", "lock"]
    assert {each["guard"] for each in told if each["decision"] == "off"} == {"windows", "approved_plan", "cooldown", "escalation"}
    assert told[2]["why"] == "3 changes are planned, at most 10 are allowed"
    assert f"for all users, in {limits['limits_dir']}" in told[-1]["why"]
    without = node.fix(limits_dir="")["guards"]
    assert {each["decision"] for each in without} == {"off"}
