# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped flows on a host with a Sesam node in a container: broken first, looked at, said, done, proven, done again, taken back."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from lab.hosts.sesam_host import CONTAINER, LOGS, SesamHost
from lab.sesam import samples
from operating import Operator
from play import Run

FAST = {"sesam_request_timeout": 3, "sesam_settle": 3, "sesam_stop_timeout": 5, "sesam_stacktrace_interval": 1, "sesam_scheduler_settle": 3}


class Site:
    """One operator at one host."""

    def __init__(self, operator: Operator, sesam: SesamHost, folder: Path) -> None:
        self.operator, self.sesam, self.folder = operator, sesam, folder / "fetched"

    def play(self, name: str, check: bool = False, **variables: Any) -> Run:
        return self.operator.play(name, self.sesam, check=check, **{**FAST, "sesam_fetch_dir": str(self.folder), **variables})

    def fetched(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / self.sesam.host.name).rglob("*") if path.is_file()}

    def undo(self, run: Run) -> dict[str, Any]:
        (entry,) = run.report["undo"]
        return self.operator.module(self.sesam, "runbook_undo", undo_id=entry["undo_id"], jwt=self.sesam.token())

    @property
    def started(self) -> str:
        return str(self.sesam.container()["State"]["StartedAt"])


@pytest.fixture
def site(operator: Operator, sesam: SesamHost, tmp_path: Path) -> Site:
    return Site(operator, sesam, tmp_path)


def critical(run: Run) -> set[str]:
    return {finding["code"] for finding in run.report["findings"] if finding["severity"] == "critical" and not finding["cleared"]}


@pytest.mark.step("S1", "S7", "S11", "S6")
def test_an_api_that_hangs(site: Site) -> None:
    """It takes connections, so that whoever only connects believes it well. Evidence, a restart, a node that works."""
    well = site.play("sesam_triage")
    assert (well.rc, well.changed, critical(well)) == (0, 0, set()), well.output
    site.sesam.freeze_api(once=True)
    site.sesam.wait_for(site.sesam.traces, "the health checker leaves a stack trace")
    looked = site.play("sesam_triage")
    assert (looked.rc, looked.changed) == (0, 0), looked.output
    assert "sesam.api.frozen" in critical(looked) and "sesam_frozen" in looked.output
    assert any(code.startswith("sesam.stacktrace") for code in looked.standing), looked.standing
    before = site.started
    said = site.play("sesam_frozen")
    assert (said.rc, said.changed, site.started, site.fetched()) == (0, 0, before, {}), said.output
    assert [change["action"] for change in said.changes] == ["signal", "signal", "restart"]
    done = site.play("sesam_frozen", sesam_repair=True)
    assert (done.rc, critical(done)) == (0, set()), done.output
    assert done.plans == said.plans
    assert site.started != before and site.sesam.get("/health")["status"] == "ok"
    kept = site.fetched()
    assert sum(name.startswith("stacktrace-signal") and b"<html" in content[:1000].lower() for name, content in kept.items()) == 2, sorted(kept)
    assert "container.json" in kept and any("node.log" in name for name in kept), sorted(kept)
    again = site.play("sesam_frozen", sesam_repair=True, sesam_stacktrace_method="api")
    assert (again.rc, again.changed) == (0, 0), again.output


@pytest.mark.step("S11", "S5")
@pytest.mark.thorough
def test_a_process_that_hangs(site: Site) -> None:
    """Even a signal comes to nothing. What can be kept is kept, and all of it ends within the time that was given."""
    site.sesam.freeze_process()
    before, begun = site.sesam.pid, time.monotonic()
    done = site.play("sesam_frozen", sesam_repair=True, sesam_frozen_timeout=120, sesam_stacktrace_timeout=10)
    took = time.monotonic() - begun
    assert (done.rc, critical(done)) == (0, set()), done.output
    assert took < 120 + 60, f"it was to end within 120 s and the start of Ansible, and took {took:.0f} s"
    assert site.sesam.pid not in {0, before} and site.sesam.get("/health")["status"] == "ok"
    assert "container.json" in site.fetched()
    traced = site.play("sesam_frozen", sesam_frozen_restart="never", sesam_repair=True)
    assert (traced.rc, traced.changed) == (0, 0), traced.output
    assert any(name.startswith("stacktrace-api") for name in site.fetched())


@pytest.mark.step("S6")
@pytest.mark.thorough
def test_a_node_that_would_die_of_the_signal_is_not_sent_it(site: Site) -> None:
    site.sesam.not_caught()
    site.sesam.freeze_api(once=True)
    before = site.sesam.pid
    kept = site.play("sesam_frozen", sesam_repair=True, sesam_frozen_restart="never")
    assert (kept.rc, kept.changed) == (0, 0), kept.output
    assert site.sesam.pid == before
    assert "does not catch" in kept.output


@pytest.mark.step("S8")
@pytest.mark.thorough
def test_the_scheduler_by_metadata(site: Site) -> None:
    """Nothing but the one key, and everything as it was after it."""
    before, known = site.sesam.metadata(), site.sesam.config("*")
    said = site.play("sesam_scheduler", sesam_scheduler_state="disabled")
    assert (said.rc, said.changed) == (0, 0), said.output
    assert site.sesam.metadata() == before
    done = site.play("sesam_scheduler", sesam_scheduler_state="disabled", sesam_repair=True)
    assert (done.rc, done.plans) == (0, said.plans), done.output
    assert site.sesam.metadata() == {**before, "task_manager": {**before["task_manager"], "disable_pump_scheduler": True}}
    assert {key for key, value in site.sesam.config("*").items() if value != known[key]} == {"node"}
    runs = site.sesam.runs("tick-0")
    looked = site.play("sesam_triage")
    assert (looked.rc, site.sesam.runs("tick-0")) == (0, runs), looked.output
    assert site.play("sesam_scheduler", sesam_scheduler_state="disabled", sesam_repair=True).changed == 0
    undone = site.undo(done)
    assert undone["changed"], undone
    assert site.sesam.config("*") == known
    site.sesam.wait_for(lambda: site.sesam.runs("tick-0") > runs, "pipes start by themselves again")


@pytest.mark.step("S9")
@pytest.mark.thorough
def test_a_node_that_crashes_whenever_a_pipe_starts(site: Site) -> None:
    """The API is never up for long. A file in the data folder and a restart; and the file goes again."""
    site.sesam.crash_loop()
    site.sesam.wait_for(lambda: site.sesam.container()["RestartCount"] >= 2, f"Docker starts {CONTAINER} again and again")
    done = site.play("sesam_scheduler", sesam_scheduler_state="disabled", sesam_scheduler_method="startup_options", sesam_repair=True)
    assert done.rc == 0, done.output
    assert site.sesam.startup_options() == {"task_manager": {"disable_pump_scheduler": True}}
    count = site.sesam.container()["RestartCount"]
    looked = site.play("sesam_triage")
    assert "sesam.startup_options.left" in looked.standing, looked.standing
    assert (site.sesam.container()["RestartCount"], site.sesam.get("/health")["status"]) == (count, "ok")
    site.sesam.fault(crash_pipe="")
    back = site.play("sesam_scheduler", sesam_scheduler_state="enabled", sesam_repair=True)
    assert back.rc == 0, back.output
    assert site.sesam.startup_options() is None
    site.sesam.wait_runs("tick-0")


@pytest.mark.step("S10")
@pytest.mark.thorough
def test_a_configuration_is_uploaded_with_the_scheduler_off(site: Site, tmp_path: Path) -> None:
    before = site.sesam.config()
    wanted = [entity for entity in before.values() if entity["_id"] != "crm-1"]
    wanted = [entity for entity in wanted if entity["_id"] != "node"] + [samples.pipe("tick-9", "scheduled", 0.5)]
    source = tmp_path / "node.conf.json"
    source.write_text(json.dumps(wanted), encoding="utf-8")
    refused = site.play("sesam_config", sesam_config_src=str(source), sesam_repair=True)
    assert refused.rc != 0 and "deleted: crm-1" in refused.output, refused.output
    assert site.sesam.config() == before
    variables = {"sesam_config_src": str(source), "sesam_config_delete": ["crm-1"]}
    said = site.play("sesam_config", **variables)
    assert (said.rc, said.changed) == (0, 0), said.output
    assert site.sesam.config() == before
    done = site.play("sesam_config", sesam_repair=True, **variables)
    assert (done.rc, done.plans) == (0, said.plans), done.output
    now = site.sesam.config()
    assert now["node"]["task_manager"] == {**before["node"]["task_manager"], "disable_pump_scheduler": True}
    assert "crm-1" not in now and "tick-9" in now
    assert site.sesam.host.run(["sh", "-c", "ls -d /tmp/fieldops-sesam-* 2>/dev/null || true"]).stdout == ""
    assert site.play("sesam_config", sesam_repair=True, **variables).changed == 0
    assert site.sesam.runs("tick-9") == 0
    assert site.undo(done)["changed"]
    assert site.sesam.config() == before


@pytest.mark.step("S2", "S3", "S4")
@pytest.mark.thorough
def test_profiles_come_to_the_controller(site: Site) -> None:
    """Of a call, of a run of a pipe, of all calls."""
    nothing = site.play("sesam_profile")
    assert nothing.rc != 0 and "exactly one of" in nothing.failures
    call = site.play("sesam_profile", sesam_profile_path="pipes")
    assert (call.rc, call.changed) == (0, 0), call.output
    assert {content[:1] in {b"\xfb", b"{"} for content in site.fetched().values()} == {True, False}, sorted(site.fetched())
    said = site.play("sesam_profile", sesam_profile_pipe="crm-0")
    assert (said.rc, said.changed, site.sesam.runs("crm-0")) == (0, 0, 0), said.output
    run = site.play("sesam_profile", sesam_profile_pipe="crm-0", sesam_repair=True)
    assert (run.rc, run.plans) == (0, said.plans), run.output
    site.sesam.wait_for(lambda: site.sesam.runs("crm-0") == 1, "the pipe has run once")
    assert {Path(name).suffix for name in site.fetched() if "crm-0" in name} >= {".pstat", ".calltree"}, sorted(site.fetched())
    before, known = site.sesam.container(), set(site.fetched())
    everything = site.play("sesam_profile", sesam_profile_all_calls=True, sesam_profile_duration=8, sesam_allow_running_pipes=True, sesam_repair=True)
    assert everything.rc == 0, everything.output
    after = site.sesam.container()
    assert (after["Id"], after["Config"]["Cmd"], after["HostConfig"]["RestartPolicy"]) == (
        before["Id"],
        before["Config"]["Cmd"],
        before["HostConfig"]["RestartPolicy"],
    )
    assert set(site.fetched()) > known
    assert site.sesam.host.run(["sh", "-c", f"ls {LOGS}/api_profiler 2>/dev/null | wc -l"]).stdout.strip() == "0"
    assert site.sesam.host.run(["docker", "ps", "-aq"]).stdout.split() == [before["Id"][:12]]
