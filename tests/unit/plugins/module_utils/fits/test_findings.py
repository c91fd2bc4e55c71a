# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person is told of a queue's state, and whether it moves."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.postgres import Client
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.findings import diagnose_queue, diagnose_watched, queue_facts
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.observe import unknown_clients
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue import judge
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue_info import moves
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue_reset import live_guard
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.workers import LockFile, LogLine, Workers

from . import builders as b


def told(state: Any) -> dict[str, Any]:
    return {finding.code: finding for finding in diagnose_queue(state)}


def test_a_healthy_queue_is_one_ok_finding() -> None:
    found = told(b.state(b.INGEST_C, [b.row(b.INGEST_C, 1)], b.workers(None)))
    assert list(found) == ["fits.ingest.ok"]
    assert found["fits.ingest.ok"].severity == "ok"


@pytest.mark.parametrize(
    ("kinds", "codes"),
    [
        (["orphan"], {"fits.ingest.orphaned"}),
        (["orphan", "clean"], {"fits.ingest.orphaned", "fits.ingest.starved"}),
        (["failed"], {"fits.ingest.failed"}),
        (["stale"], {"fits.ingest.stale", "fits.ingest.ok"}),
        (["null"], {"fits.ingest.unpoppable"}),
    ],
)
def test_conditions_become_findings_with_a_remedy(kinds: Any, codes: Any) -> None:
    found = told(b.state(b.INGEST_C, [b.row(b.INGEST_C, n, kind) for n, kind in enumerate(kinds, 1)]))
    assert set(found) == codes
    for finding in found.values():
        if finding.severity != "ok":
            assert finding.remedy is not None
            assert finding.remedy.playbook == "fieldops.runbooks.fits_ingest_queue"
            assert finding.remedy.vars["fits_repair"] is True
            assert "N20200804S0091.fits" in finding.summary
            assert finding.runbook == ("fits.rst", "General Considerations")


def test_the_newest_error_is_in_the_sentence() -> None:
    rows = [
        b.row(b.INGEST_C, 1, "failed", error="Traceback\nOSError: old", failed_at="2026-01-01 00:00:00+00"),
        b.row(b.INGEST_C, 2, "failed", "b.fits", error="Traceback\nOSError: new", failed_at="2026-01-02 00:00:00+00"),
    ]
    finding = told(b.state(b.INGEST_C, rows))["fits.ingest.failed"]
    assert finding.summary.endswith("the newest error is: OSError: new")
    assert [error.splitlines()[-1] for error in finding.detail["errors"]] == ["OSError: new", "OSError: old"]


def test_many_names_are_counted() -> None:
    rows = [b.row(b.INGEST_C, n, "failed", "f%d.fits" % n) for n in range(1, 6)]
    assert "f1.fits, f2.fits and 3 more" in told(b.state(b.INGEST_C, rows))["fits.ingest.failed"].summary


def test_workers_and_constraints_are_told() -> None:
    recycled = Workers(lock_files=(LockFile("/data/logs/siq1.lock", 7, "recycled"),))
    found = told(b.state(b.INGEST_C_LAGGING, [b.row(b.INGEST_C, 1)], recycled))
    assert set(found) == {"fits.ingest.lock_recycled", "fits.ingest.no_worker", "fits.ingest.constraints_lag"}
    assert found["fits.ingest.constraints_lag"].detail == {"missing": [["filename", "path", "inprogress", "fail_dt"]]}


@pytest.mark.parametrize(
    ("kinds", "workers", "moved", "deaf"),
    [
        (["clean"], b.workers(None), False, True),
        (["clean"], b.workers(None), True, False),
        (["clean"], b.workers(None), None, False),  # not watched
        ([], b.workers(None), False, False),  # nothing waits
        (["clean"], Workers(), False, False),  # that is no_worker
        (["orphan", "clean"], b.workers(None), False, False),  # may be busy with it
    ],
)
def test_a_worker_that_takes_nothing_is_deaf(kinds: Any, workers: Any, moved: Any, deaf: bool) -> None:
    state = b.state(b.INGEST_C, [b.row(b.INGEST_C, n, kind, "f%d.fits" % n) for n, kind in enumerate(kinds, 1)], workers)
    codes = [finding.code for finding in diagnose_watched(state, moved)]
    assert ("fits.ingest.not_moving" in codes) == deaf
    if deaf:
        assert "fits.ingest.ok" not in codes


def test_entries_are_worst_first_and_bounded() -> None:
    rows = [b.row(b.INGEST_C, 1, "stale", "a"), b.row(b.INGEST_C, 2, "failed", "b"), b.row(b.INGEST_C, 3, "orphan", "c", age=5.0)]
    state = b.state(b.INGEST_C, rows)
    facts = queue_facts(state, judge(state), 2, {"b": [{"added": "2026-01-01 00:00:00", "error": "boom"}]})
    assert [entry["condition"] for entry in facts["entries"]] == ["orphaned", "failed"]
    assert facts["entries"][1]["queue_errors"] == [{"added": "2026-01-01 00:00:00", "error": "boom"}]
    assert (facts["entries_omitted"], facts["oldest_age"], facts["total"]) == (1, 5.0, 3)


@pytest.mark.parametrize(
    ("kinds", "workers", "watched", "expected"),
    [
        ([], None, None, None),
        (["clean"], None, None, False),
        (["clean"], b.workers(None), None, None),
        (["clean"], b.workers(None), True, True),
        (["clean"], b.workers(None), False, False),
        ([], None, False, False),
    ],
)
def test_whether_the_queue_moves(kinds: Any, workers: Any, watched: Any, expected: Any) -> None:
    state = b.state(b.INGEST_C, [b.row(b.INGEST_C, n, kind) for n, kind in enumerate(kinds, 1)], workers)
    assert moves(state, judge(state), watched, watched is not None)[0] is expected


def on(row_id: int) -> LogLine:
    return LogLine("2026-01-01 00:00:00", "", "a.fits", row_id)


@pytest.mark.parametrize(
    ("workers", "names", "refused"),
    [
        (b.workers(on(1)), None, False),
        (b.workers(on(1)), ["a.fits"], True),
        (b.workers(on(1)), ["a.fits.bz2"], True),
        (b.workers(on(1)), ["b.fits"], False),
        (b.workers(unknown=["somebody elsewhere"]), None, True),
        (b.workers(), None, False),
    ],
)
def test_what_refuses_while_workers_live(workers: Any, names: Any, refused: bool) -> None:
    refusals = live_guard(b.state(b.INGEST_C, [b.row(b.INGEST_C, 1, "orphan", "a.fits")], workers), names)
    assert bool(refusals) is refused
    if refused:
        assert "fits_ingest_queue.yml" in refusals[0].allow


@pytest.mark.parametrize(
    ("place", "application", "doubt"),
    [("here", "", False), ("elsewhere", "", True), ("unknown", "", True), ("elsewhere", "psql", False)],
)
def test_sessions_that_may_be_workers_elsewhere(place: str, application: str, doubt: bool) -> None:
    assert bool(unknown_clients([Client(1, "fitsdata", application, "192.0.2.1", place)])) is doubt
