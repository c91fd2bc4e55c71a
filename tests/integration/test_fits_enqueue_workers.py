# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""fits_enqueue beside workers that take its rows, and killed at every point: what an undo finds, and what it leaves alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import journal, run
from enqueueing import GENERATIONS, NAME, OTHER, Host, guards, making
from lab.fits.faults import DESTINATION
from lab.fits.workers import ledger, wait_until_idle
from support import run_module


@pytest.fixture
def make_host(server: Any, database: Callable[..., str], connection: dict[str, Any], journal_dir: str, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    with making(server, database, connection | {"journal_dir": journal_dir}, tmp_path) as make:
        yield make


@pytest.fixture(params=GENERATIONS)
def host(request: Any, make_host: Callable[..., Host]) -> Host:
    return make_host(request.param)


# -- with workers -------------------------------------------------------------------------------------------------------


def test_undo_is_refused_once_a_worker_has_taken_the_row(host: Host) -> None:
    host.root.write_file(NAME)
    real = host.ok(filename=NAME)
    host.execute("UPDATE ingestqueue SET inprogress = true")
    result = host.undo(real["undo_id"])
    assert guards(result) == ["changed_since"]
    assert len(host.rows()) == 1
    host.execute("DELETE FROM ingestqueue")
    result = host.undo(real["undo_id"])
    assert guards(result) == ["changed_since"]
    assert "it is gone" in result["msg"]


@pytest.mark.parametrize("queue", ["ingest", "export"])
def test_a_worker_that_serves_at_once(host: Host, queue: str) -> None:
    """Whether it is quicker than the module's eye or not, the run is a success, and the undo says that nothing is left."""
    host.root.configure(idle=0.0)
    host.root.write_file(NAME)
    if queue == "export":
        host.present(NAME)
    options: dict[str, Any] = {"filename": NAME, "queue": queue} | ({"destination": DESTINATION} if queue == "export" else {})
    with host.workers(queue) as workers:
        workers.start()
        for _time in range(3):
            real = host.ok(**options)
            assert [change["done"] for change in real["changes"]] == [True]
            assert wait_until_idle(host.session, queue)
            result = host.undo(real["undo_id"])
            assert guards(result) == ["changed_since"]
            assert "it is gone" in result["msg"]
    assert [entry["filename"] for entry in ledger(host.session, queue)] == [NAME] * 3


def test_a_row_that_only_its_traces_tell_of(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module does not look while the script runs, and a worker serves the row meanwhile."""
    from ansible_collections.fieldops.runbooks.plugins.module_utils.fits import enqueue_run

    host.root.write_file(NAME)
    monkeypatch.setattr(enqueue_run.Appearing, "look", lambda _self: None)
    last_look = enqueue_run.Appearing.last_look

    def late(appearing: Any) -> None:
        assert wait_until_idle(host.session, "ingest")
        last_look(appearing)

    monkeypatch.setattr(enqueue_run.Appearing, "last_look", late)
    with host.workers("ingest") as workers:
        workers.start()
        first = host.ok(filename=NAME)
        assert "served already" in first["changes"][0]["note"]
        unchanged = host.ok(filename=NAME)  # leaves no diskfile row, only a line in the log
        assert "served already" in unchanged["changes"][0]["note"]
    host.make.pending("ingest", NAME)
    result = host.undo(unchanged["undo_id"])
    assert guards(result) == ["changed_since"]
    assert len(host.rows()) == 1


def test_a_worker_is_no_excuse_for_a_row_that_never_came(host: Host) -> None:
    host.root.write_file(NAME)
    (host.root.scripts / "add_to_ingest_queue.py").write_text("print('all is well')\n")
    with host.workers("ingest") as workers:
        workers.start()
        result = run_module("fits_enqueue", host.options | {"filename": NAME})
    assert result["failed"]
    assert "A live worker" in result["msg"]
    assert "all is well" in result["msg"]


def test_a_file_that_a_worker_is_on(host: Host) -> None:
    """C queues it once more, for it may have changed; in A and B it is on the queue."""
    host.root.configure(work=20.0)
    host.root.write_file(NAME)
    host.ok(filename=NAME)
    with host.workers("ingest") as workers:
        workers.start()
        deadline = time.monotonic() + 10
        while not host.rows()[0]["inprogress"] and time.monotonic() < deadline:
            time.sleep(0.02)
        again = host.ok(filename=NAME)
        assert again["changed"] == (host.generation == "C")
        if host.generation == "C":
            assert "comes first" in again["changes"][0]["reason"]
            assert host.undo(again["undo_id"])["changed"]
        assert len(host.rows()) == 1
        if host.generation != "C":
            assert guards(host.refused(filename=NAME, force=True)) == ["force_lost"]


def test_somebody_else_queues_it_between_plan_and_change(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (NAME, OTHER):
        host.root.write_file(name)

    def meanwhile(name: str) -> None:
        if name == "apply.before":
            host.make.pending("ingest", NAME)

    for module in (journal, run):
        monkeypatch.setattr(module, "boundary", meanwhile, raising=False)
    real = host.ok(filename=[NAME, OTHER])
    assert [change["done"] for change in real["changes"]] == [False, True]
    assert "somebody else" in real["changes"][0]["note"]
    monkeypatch.undo()
    assert host.undo(real["undo_id"])["changes_total"] == 1
    assert [row["filename"] for row in host.rows()] == [NAME]


# -- killed -------------------------------------------------------------------------------------------------------------

BOUNDARIES = ("journal.run.after", "journal.begin.after", "apply.before", "apply.after", "journal.done.before", "journal.done.after", "journal.end.before")


def killed_at(host: Host, point: str, options: dict[str, Any]) -> str:
    """Run the module in a child that dies at a boundary; returns the id of the run that it left."""
    pid = os.fork()
    if pid == 0:

        def die(name: str) -> None:
            if name == point:
                os.kill(os.getpid(), signal.SIGKILL)

        for module in (journal, run):
            vars(module)["boundary"] = die
        run_module("fits_enqueue", host.options | options)
        os._exit(1)
    _pid, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, "the module did not come to that boundary"
    [undo_id] = journal.Journal(host.journal_dir).ids()
    return undo_id


@pytest.mark.parametrize("point", BOUNDARIES)
def test_killed_and_undone(host: Host, point: str) -> None:
    for name in (NAME, OTHER):
        host.root.write_file(name)
    host.make.in_progress("ingest", "N20190101S0001.fits")
    host.make.pending("ingest", OTHER + ".bz2")
    before = host.rows()
    undo_id = killed_at(host, point, {"filename": [NAME, OTHER]})
    made = [row["filename"] for row in host.rows()[len(before) :]]
    assert made == ([] if point in BOUNDARIES[:3] else [NAME, OTHER])
    undone = host.undo(undo_id)
    assert undone["changed"] == bool(made), undone
    assert host.rows() == before
    assert not host.undo(undo_id)["changed"]


def test_killed_and_finished(host: Host) -> None:
    host.root.write_file(NAME)
    undo_id = killed_at(host, "apply.after", {"filename": NAME})
    assert not host.ok(filename=NAME)["changed"]
    undone = host.undo(undo_id)
    assert undone["changed"]
    assert "run fits_enqueue again" in host.undo(undone["undo_id"])["msg"]
    assert host.ok(filename=NAME)["changed"]


def test_killed_and_taken_by_a_worker(host: Host) -> None:
    host.root.write_file(NAME)
    undo_id = killed_at(host, "journal.done.before", {"filename": NAME})
    host.execute("UPDATE ingestqueue SET inprogress = true")
    assert guards(host.undo(undo_id)) == ["changed_since"]
    assert len(host.rows()) == 1


def test_killed_run_does_not_touch_an_older_row(make_host: Callable[..., Host]) -> None:
    """C: the row in progress was there before; only the new one is taken back."""
    host = make_host("C")
    host.present(NAME)
    host.make.failed("export", NAME)
    older = host.rows("export")
    undo_id = killed_at(host, "apply.after", {"queue": "export", "filename": NAME, "destination": DESTINATION})
    assert len(host.rows("export")) == 2
    assert host.undo(undo_id)["changed"]
    assert host.rows("export") == older


def test_killed_run_with_two_candidates_is_not_guessed_at(make_host: Callable[..., Host]) -> None:
    host = make_host("C", lagging=True)
    host.root.write_file(NAME)
    undo_id = killed_at(host, "apply.after", {"filename": NAME})
    host.make.pending("ingest", NAME)
    result = host.undo(undo_id)
    assert "cannot be told" in result["msg"]
    assert len(host.rows()) == 2


def test_a_read_only_role_cannot_spoil_anything(make_host: Callable[..., Host]) -> None:
    """The module itself only reads: the script has rights of its own."""
    host = make_host("C")
    host.root.write_file(NAME)
    real = host.ok(filename=NAME, login_user="fits_ro")
    assert real["changes"][0]["done"]
    assert "may not put rows of ingestqueue back" in host.undo(real["undo_id"], login_user="fits_ro")["msg"]
    assert len(host.rows()) == 1
