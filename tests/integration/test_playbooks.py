# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped playbooks, run by ansible-playbook on real databases with real worker processes.

systemd is played by a stand-in that runs units and answers systemctl (tests/lab/systemd_standin); the real one is tested
on hosts that have it.
"""

from __future__ import annotations

import getpass
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import procfs
from lab.fits.sample_files import sample
from lab.fits.site import Site
from lab.fits.workers import ledger, wait_until_idle
from lab.pg import Postgres
from lab.systemd_standin.units import Units
from play import Player, Run, eventually

UNIT = "fits-service_ingest_queue%s.service"


@pytest.fixture
def play(server: Postgres, tmp_path: Path) -> Iterator[Callable[..., Player]]:
    """``play("C", work=6)`` gives an operator at a FITS server of that generation."""
    sites: list[Site] = []

    def build(generation: str = "C", **options: Any) -> Player:
        sites.append(Site.build(server, tmp_path, generation, database=f"play_{os.getpid()}_{time.monotonic_ns()}", **({"idle": 0.5} | options)))
        return Player(sites[-1], tmp_path)

    yield build
    for site in sites:
        site.close()


@pytest.fixture
def units(tmp_path: Path) -> Iterator[Units]:
    made = Units(tmp_path / "systemd").create()
    yield made
    made.close()


def workers_by_command(here: Player, count: int) -> None:
    """Workers that another supervisor than systemd runs."""
    here.site.workers.define("ingest", count)
    here.site.workers.start("ingest")
    here.variables.update(fits_workers_stop_command=here.control("stop"), fits_workers_start_command=here.control("start"))


def workers_by_systemd(here: Player, units: Units, count: int, **settings: float) -> None:
    """Workers that units run."""
    root = here.site.root
    for name in here.site.workers.define("ingest", count):
        number = name.removeprefix("siq")
        command = root.command("service_ingest_queue.py", "--demon", "--lockfile", f"--name={name}")
        units.define(UNIT % number, command, root.environment(), **settings)
        units.start(UNIT % number)
    here.path = str(units.bin)
    here.variables["fits_service_manager"] = "systemd"


def rows(here: Player, queue: str = "ingest") -> list[dict[str, Any]]:
    """Every row, with what changes whenever anybody writes it."""
    found = here.site.faults.queues[queue].fetch("SELECT xmin::text AS version, * FROM {table} ORDER BY id")
    here.site.connection.rollback() if not here.site.connection.autocommit else None
    return found


def orphans(here: Player, *filenames: str) -> None:
    """The workers that are on these files are killed."""
    for pid in [here.pid_on(name) for name in filenames]:
        started = procfs.start_time(pid)
        os.kill(pid, signal.SIGKILL)
        assert procfs.wait_gone(pid, started, 5)
    here.site.workers.running()


def served(here: Player) -> Counter[str]:
    """How often each file was worked on to its end."""
    return Counter(entry["filename"] for entry in ledger(here.site.connection, "ingest"))


def broken(here: Player) -> set[str]:
    """Two orphans, a worker that is busy, failures, and where the generation lets it be, a twin that an orphan starves: the names of all."""
    faults, names = here.site.faults, {"orphan1.fits", "orphan2.fits", "long.fits"}
    for name in sorted(names):
        faults.pending("ingest", name)
    here.pid_on("long.fits")
    orphans(here, "orphan1.fits", "orphan2.fits")
    here.site.root.configure(work=0.1)
    if here.site.root.generation == "C":
        faults.pending("ingest", "orphan1.fits")
    for number in range(3):
        faults.failed("ingest", f"failed{number}.fits")
        names.add(f"failed{number}.fits")
    return names


def told_wrong(row: dict[str, Any]) -> bool:
    """Rows that no worker touches by itself."""
    return bool(row.get("error") or row.get("failed") or row["filename"].startswith("orphan"))


def assert_repaired(here: Player, run: Run, names: set[str]) -> None:
    assert run.rc == 0
    assert not run.standing
    assert wait_until_idle(here.site.connection, "ingest")
    assert served(here) == dict.fromkeys(names, 1)
    assert rows(here) == []
    assert not here.note.exists()


# -- looking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("generation", "playbook"), [("A", "fits_ingest_queue"), ("B", "fieldops.runbooks.fits_ingest_queue"), ("C", "fits_ingest_queue")])
def test_a_run_without_repair_tells_and_changes_nothing(play: Callable[..., Player], generation: str, playbook: str) -> None:
    here = play(generation)
    here.variables["fits_become_user"] = getpass.getuser()  # who one is already, one becomes without any tool
    here.site.faults.failed("ingest", "failed.fits")
    here.site.faults.starved_twin("ingest", "stuck.fits")
    here.site.faults.unpoppable("ingest", "never.fits", "after_null")
    before = rows(here)
    run = here.play(playbook)
    assert (run.rc, run.changed, run.changes) == (0, 0, [])
    assert {f"fits.ingest.{code}" for code in ("failed", "orphaned", "starved", "unpoppable")} <= run.standing
    assert any("fits_repair" in (remedy["command"] or "") for remedy in run.report["remedies"])
    assert rows(here) == before
    assert not (here.directory / "journal").exists()
    assert not here.note.parent.exists()


def test_the_export_queue_and_its_backoff(play: Callable[..., Player]) -> None:
    here = play("A")
    here.site.faults.back_off("resting.fits")
    stuck = here.site.faults.in_progress("export", "stuck.fits")
    waiting = here.site.faults.pending("export", "waiting.fits")
    run = here.play("fieldops.runbooks.fits_export_queue", fits_repair=True, fits_move_timeout=1)
    assert [change["before"]["id"] for change in run.changes] == [stuck]
    assert {row["id"]: row["inprogress"] for row in rows(here, "export")} == {stuck: False, waiting: False, 1: True}


# -- plan, repair, undo ------------------------------------------------------------------------------------------------


def test_check_mode_tells_the_plan_and_undo_takes_it_back(play: Callable[..., Player]) -> None:
    """On a host without workers; the last step says that the queue does not move."""
    here = play("C")
    faults = here.site.faults
    faults.failed("ingest", "failed.fits")
    faults.starved_twin("ingest", "stuck.fits")
    faults.in_progress("ingest", "other.fits")
    before = rows(here)
    plan = here.play(fits_repair="true", check=True, fits_conditions="failed,orphaned,twin")
    assert (plan.rc, rows(here)) == (0, before)
    assert not (here.directory / "journal").exists()
    run = here.play(fits_repair="true", fits_conditions="failed,orphaned,twin", fits_move_timeout=1)
    assert (run.changes, run.plans) == (plan.changes, plan.plans)
    assert len(run.changes) == 3
    assert run.rc == 2
    assert "does not move" in run.failures
    assert run.report["undo"][0]["undo_id"] in run.failures
    assert here.undo(run).returncode == 0
    assert [{**row, "version": ""} for row in rows(here)] == [{**row, "version": ""} for row in before]


def test_named_files_only(play: Callable[..., Player]) -> None:
    here = play("C")
    wanted = here.site.faults.failed("ingest", "wanted.fits.bz2")
    other = here.site.faults.failed("ingest", "other.fits")
    run = here.play(fits_repair=True, fits_filename=["wanted.fits"], fits_move_timeout=1)
    assert [change["before"]["id"] for change in run.changes] == [wanted]
    assert [row["id"] for row in rows(here) if row["error"]] == [other]


def test_no_service_is_touched_where_live_workers_are_not_in_the_way(play: Callable[..., Player]) -> None:
    here = play("C")
    workers_by_command(here, 2)
    here.variables.update(fits_workers_stop_command=["false"], fits_workers_start_command=["false"])
    running = here.site.workers.running("ingest")
    here.site.faults.failed("ingest", "failed.fits")
    run = here.play(fits_repair=True)
    assert_repaired(here, run, {"failed.fits"})
    assert here.site.workers.running("ingest") == running
    assert run.changed == 1


@pytest.mark.parametrize(("generation", "manager"), [("C", "systemd"), ("A", "command")])
@pytest.mark.thorough
def test_orphans_beside_a_busy_worker(play: Callable[..., Player], units: Units, generation: str, manager: str) -> None:
    """The busy worker finishes its file, all of them stop, the rows are mended, all of them start."""
    here = play(generation, work=15)
    if manager == "systemd":
        workers_by_systemd(here, units, 3, restart_sec=300)
    else:
        workers_by_command(here, 3)
    names = broken(here)
    before = [row for row in rows(here) if told_wrong(row)]
    plan = here.play(fits_repair=True, check=True)
    assert plan.rc == 0
    assert "no worker is stopped" in plan.output
    assert {change["subject"].split(":")[1] for change in plan.changes} == {name for name in names if name.startswith("failed")}
    assert [row for row in rows(here) if told_wrong(row)] == before
    assert_repaired(here, here.play(fits_repair=True), names)
    again = here.play(fits_repair=True)
    assert (again.rc, again.changed) == (0, 0)
    if manager == "systemd":
        assert {units.state(name)["SubState"] for name in units.names()} == {"running"}
    else:
        assert len(here.site.workers.running("ingest")) == 3


# -- whatever happens in between ---------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_workers_are_started_when_the_repair_is_refused(play: Callable[..., Player], units: Units) -> None:
    here = play("C", work=600)
    workers_by_systemd(here, units, 3, restart_sec=300)
    units.define(UNIT % 4, ["/bin/false"], {})
    for name in ("orphan1.fits", "orphan2.fits"):
        here.site.faults.pending("ingest", name)
    orphans(here, "orphan1.fits", "orphan2.fits")
    before = rows(here)
    run = here.play(fits_repair=True, fits_max_changes=1)
    assert run.rc == 2
    assert [refusal["guard"] for entry in run.report["refusals"] for refusal in entry["refusals"]] == ["max_changes"]
    assert rows(here) == before
    assert [units.state(UNIT % number)["SubState"] for number in (1, 2, 3, 4)] == ["running", "running", "running", "dead"]
    assert not here.note.exists()


def test_workers_are_started_when_one_does_not_stop(play: Callable[..., Player]) -> None:
    here = play("C", work=600)
    workers_by_command(here, 3)
    names = ("orphan1.fits", "orphan2.fits", "long.fits")
    for name in names:
        here.site.faults.pending("ingest", name)
    busy = here.pid_on("long.fits")
    orphans(here, *names[:2])
    before = rows(here)
    started = here.directory / "started"
    here.variables.update(fits_workers_stop_command=["true"], fits_workers_start_command=["touch", str(started)])
    run = here.play(fits_repair=True, fits_stop_timeout=1)
    assert run.rc == 2
    assert f"pid {busy}" in run.failures or f" {busy} " in run.failures
    assert rows(here) == before
    assert started.exists()
    assert not here.note.exists()


@pytest.mark.thorough
def test_a_stop_that_ends_in_a_kill_is_not_clean(play: Callable[..., Player], units: Units) -> None:
    here = play("C", work=600)
    workers_by_systemd(here, units, 3, restart_sec=300, timeout_stop=1)
    names = ("orphan1.fits", "orphan2.fits", "long.fits")
    for name in names:
        here.site.faults.pending("ingest", name)
    killed = units.state(UNIT % number_of(here, "long.fits", units))["MainPID"]
    orphans(here, *names[:2])
    here.site.root.configure(work=0.1)
    before = rows(here)
    run = here.play(fits_repair=True)
    assert run.rc == 2
    assert "had to kill" in run.failures
    assert rows(here) == before
    assert killed not in {units.state(name)["MainPID"] for name in units.names()}
    assert {units.state(name)["SubState"] for name in units.names()} == {"running"}
    assert_repaired(here, here.play(fits_repair=True), set(names))


def number_of(here: Player, filename: str, units: Units) -> int:
    """The unit whose worker is on a file."""
    pid = here.pid_on(filename)
    return next(number for number in (1, 2, 3) if units.state(UNIT % number)["MainPID"] == pid)


@pytest.mark.thorough
def test_a_run_that_was_cut_off_is_told_and_made_good(play: Callable[..., Player], units: Units) -> None:
    here = play("C", work=600)
    workers_by_systemd(here, units, 3, restart_sec=300)
    names = ("orphan1.fits", "orphan2.fits", "long.fits")
    for name in names:
        here.site.faults.pending("ingest", name)
    here.pid_on("long.fits")
    orphans(here, *names[:2])
    cut = here.start(fits_repair=True)
    eventually(lambda: {"deactivating"} <= {units.state(name)["ActiveState"] for name in units.names()}, 60)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.communicate()
    assert set(json.loads(here.note.read_text())["units"]) == set(units.names())
    os.kill(here.pid_on("long.fits"), signal.SIGKILL)
    eventually(lambda: {units.state(name)["ActiveState"] for name in units.names()} <= {"inactive", "failed"})
    here.site.root.configure(work=0.1)
    told = here.play()
    assert (told.rc, told.changed) == (0, 0)
    assert "did not get to start" in told.output
    assert_repaired(here, here.play(fits_repair=True), set(names))
    assert {units.state(name)["SubState"] for name in units.names()} == {"running"}


def test_without_a_service_manager_the_module_refuses(play: Callable[..., Player]) -> None:
    here = play("C", work=600)
    workers_by_command(here, 1)
    here.variables.update(fits_service_manager="none", fits_log_dir=[str(here.directory)])  # no log line tells which row is whose
    for name in ("orphan1.fits", "orphan2.fits"):
        here.site.faults.in_progress("ingest", name)
    before = rows(here)
    run = here.play(fits_repair=True)
    assert run.rc == 2
    assert [refusal["guard"] for entry in run.report["refusals"] for refusal in entry["refusals"]] == ["live_worker"]
    assert rows(here) == before


def test_workers_that_nobody_can_stop_are_named(play: Callable[..., Player], units: Units) -> None:
    here = play("C", work=600)
    workers_by_command(here, 1)
    here.path = str(units.bin)
    here.variables.update(fits_service_manager="systemd", fits_workers_stop_command=[])
    for name in ("orphan1.fits", "orphan2.fits"):
        here.site.faults.in_progress("ingest", name)
    run = here.play(fits_repair=True)
    assert run.rc == 2
    assert str(here.site.workers.running("ingest")[0]["pid"]) in run.failures
    assert run.changed == 0


def a_host_to_look_at(here: Player) -> None:
    """What a look at the whole host takes besides: all of it below the root."""
    root = here.site.root
    here.variables.update(fits_storage_root=str(root.dataflow), fits_dhs_dir="", fits_disk=[{"path": str(root.path)}], fits_worker_user=getpass.getuser())
    here.variables.update(fits_reach_host="", fits_journal_dir=str(here.directory / "journal"))


@pytest.mark.thorough
def test_of_two_copies_only_the_one_that_counts_is_queued(play: Callable[..., Player]) -> None:
    here = play("C")
    a_host_to_look_at(here)
    names = ["N20200804S0001.fits", "tmp_N20200804S0002.fits"]
    for directory in (here.site.root.dataflow, here.site.root.dataflow / "20200804"):
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            (directory / name).write_bytes(sample())
    run = here.play("fits_ingest", check=True, fits_enqueue="true", fits_filename=",".join(names))
    assert run.rc == 0, run.output
    assert [change["subject"] for change in run.changes] == [f"ingest:{names[0]}"]
    run = here.play("fits_ingest", check=True, fits_enqueue="true", fits_filename=names[0], fits_path="20200804")
    assert [change["subject"] for change in run.changes] == [f"ingest:20200804/{names[0]}"]
    assert rows(here) == []


def test_the_flow_mends_the_queue_and_sees_that_it_moves(play: Callable[..., Player]) -> None:
    here = play("C", work=0.1)
    a_host_to_look_at(here)
    workers_by_command(here, 1)
    here.site.faults.failed("ingest", "failed.fits")
    here.site.faults.pending("ingest", "waits.fits")
    run = here.play("fits_ingest", fits_repair="true")
    assert run.rc == 0, run.output
    assert "Be sure that the queue moves" in run.output
    assert [change["subject"] for change in run.changes] != []


@pytest.mark.thorough
def test_lists_may_be_given_as_text(play: Callable[..., Player]) -> None:
    here = play("C")
    a_host_to_look_at(here)
    log = here.site.root.log_dir
    run = here.play("fits_website", fits_website_aspects="api,disk", fits_log_benign="what means nothing", fits_log_dir=str(log))
    assert run.rc == 0, run.output
    assert {finding["code"].split(".")[1] for finding in run.report["findings"]} >= {"api", "fileops"}
    run = here.play("fits_ingest", fits_sources="dhs,visiting", fits_log_dir=str(log))
    assert run.rc == 0, run.output
    assert str(log / "copy_from_dhs.py.log") in json.dumps(run.report["findings"])
    assert here.play("preflight", preflight_for="fits").rc == 0


def test_bad_variables_are_refused_before_anything_is_done(play: Callable[..., Player]) -> None:
    here = play("C")
    run = here.play(fits_repair=True, fits_conditions=["everything"], fits_service_manager="runit")
    assert run.rc == 2
    assert "fits_conditions" in run.output
    assert "fits_service_manager" in run.output


def test_the_password_is_shown_nowhere(play: Callable[..., Player]) -> None:
    here = play("C")
    here.variables["fits_login_password"] = "correct-horse-battery"
    here.site.faults.failed("ingest", "failed.fits")
    os.environ["ANSIBLE_VERBOSITY"] = "4"
    try:
        run = here.play(fits_repair=True, fits_move_timeout=1)
    finally:
        del os.environ["ANSIBLE_VERBOSITY"]
    assert len(run.changes) == 1
    assert "correct-horse-battery" not in run.output + json.dumps(run.report)
    for path in here.directory.rglob("*"):
        if path.is_file() and path.name != "hosts.json":
            assert b"correct-horse-battery" not in path.read_bytes()
