# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions and plans of queue rows: tables of cases, then properties over arbitrary queues."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue import (
    CONDITIONS,
    REPAIRS,
    QueueState,
    Row,
    clean,
    judge,
    subject_of,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue_plan import LONG_AGO, plan_reset
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.tables import STAMP
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.workers import LogLine
from hypothesis import given, settings
from hypothesis import strategies as st

from . import builders as b


def conditions(state: QueueState) -> list[str]:
    return [judged.condition for judged in judge(state).judged]


def plan(state: QueueState, *wanted: str) -> list[Any]:
    return [(change.action, change.before["id"]) for change in plan_reset(state, wanted or REPAIRS)[0] if change.before]


@pytest.mark.parametrize(
    ("kind", "condition"),
    [
        ("clean", "pending"),
        ("orphan", "orphaned"),
        ("failed", "failed"),
        ("stale", "stale"),
        ("null", "unpoppable"),
        ("infinity", "unpoppable"),
        ("both", "failed"),
    ],
)
@pytest.mark.parametrize("table", b.TABLES, ids=lambda table: table.queue + table.generation + ("" if not table.lagging else "-lagging"))
def test_condition_of_a_single_row(table: Any, kind: str, condition: str) -> None:
    state = b.state(table, [b.row(table, 1, kind)])
    assert conditions(state) == [condition]
    counts = judge(state).counts
    assert counts[condition] == 1
    assert sum(counts.values()) == 1


def test_a_export_in_backoff_is_deferred_and_left_alone() -> None:
    state = b.state(b.EXPORT_A, [b.row(b.EXPORT_A, 1, "orphan", backed_off=True)])
    assert conditions(state) == ["deferred"]
    assert plan(state) == []


def test_b_export_lastfailed_is_no_backoff() -> None:
    assert conditions(b.state(b.EXPORT_B, [b.row(b.EXPORT_B, 1, "orphan", backed_off=True)])) == ["orphaned"]


def test_waiting_row_beside_an_orphan_is_starved() -> None:
    state = b.state(b.INGEST_C, [b.row(b.INGEST_C, 1, "orphan"), b.row(b.INGEST_C, 2)])
    assert conditions(state) == ["orphaned", "starved"]
    assert judge(state).judged[1].twin_of == 1
    assert judge(state).counts["pending"] == 0


def test_waiting_row_beside_a_working_worker_just_waits() -> None:
    line = LogLine("2026-01-01 00:00:00", "Ingesting", "N20200804S0091.fits", 1)
    state = b.state(b.INGEST_C, [b.row(b.INGEST_C, 1, "orphan"), b.row(b.INGEST_C, 2)], b.workers(line))
    assert conditions(state) == ["in_progress", "pending"]


def test_not_due_row_is_deferred() -> None:
    assert conditions(b.state(b.INGEST_C, [b.row(b.INGEST_C, 1, due=False)])) == ["deferred"]


# -- who is on a row ---------------------------------------------------------------------------------------------------


def two_in_progress(workers: Any, table: Any = b.INGEST_C) -> QueueState:
    return b.state(table, [b.row(table, 1, "orphan", "a.fits"), b.row(table, 2, "orphan", "b.fits")], workers)


def on(filename: str, row_id: Any) -> LogLine:
    return LogLine("2026-01-01 00:00:00", "Ingesting %s" % filename, filename, row_id)


def asleep(age: Any) -> LogLine:
    return LogLine("2026-01-01 00:00:00", "Nothing on queue... Waiting", idle=True, age=age)


@pytest.mark.parametrize(
    ("workers", "expected", "suspects"),
    [
        (b.workers(), ["orphaned", "orphaned"], 0),
        (b.workers(on("a.fits", 1)), ["in_progress", "orphaned"], 0),
        (b.workers(on("a.fits", None)), ["in_progress", "orphaned"], 0),
        (b.workers(on("gone.fits", 9)), ["in_progress", "in_progress"], 1),
        (b.workers(None), ["in_progress", "in_progress"], 1),
        (b.workers(None, None), ["in_progress", "in_progress"], 0),
        (b.workers(on("a.fits", 1), None), ["in_progress", "in_progress"], 0),
        (b.workers(unknown=["a session from elsewhere"]), ["in_progress", "in_progress"], 2),
        (b.workers(asleep(1.0)), ["orphaned", "orphaned"], 0),
        (b.workers(asleep(1.9)), ["in_progress", "in_progress"], 2),
        (b.workers(asleep(None)), ["in_progress", "in_progress"], 2),
        (b.workers(asleep(1.0), None), ["in_progress", "in_progress"], 1),
        (b.workers(asleep(1.0), on("a.fits", 1)), ["in_progress", "orphaned"], 0),
        (b.workers(on("a.fits", 1), unknown=["a session from elsewhere"]), ["in_progress", "in_progress"], 1),
    ],
)
def test_rows_in_progress_against_live_workers(workers: Any, expected: list[str], suspects: int) -> None:
    verdict = judge(two_in_progress(workers))
    assert [judged.condition for judged in verdict.judged] == expected
    assert verdict.suspects == suspects


def test_a_export_log_lines_prove_nothing() -> None:
    """A's export leaves a row in progress and goes on, so its last line may be about another row."""
    verdict = judge(two_in_progress(b.workers(on("a.fits", None)), b.EXPORT_A))
    assert [judged.condition for judged in verdict.judged] == ["in_progress", "in_progress"]
    assert verdict.suspects == 1


# -- plans -------------------------------------------------------------------------------------------------------------


def test_default_conditions_do_not_touch_twins() -> None:
    state = b.state(b.INGEST_C, [b.row(b.INGEST_C, 1, "orphan"), b.row(b.INGEST_C, 2)])
    changes, left = plan_reset(state, ("failed", "orphaned"))
    assert changes == []
    assert [each.row.id for each in left] == [1]
    assert "twin" in left[0].why


@pytest.mark.parametrize(
    ("table", "rows", "expected"),
    [
        # The stuck twin of a clean row is removed, never the clean one.
        (b.INGEST_C, [("orphan", ""), ("clean", "")], [("remove", 1)]),
        (b.INGEST_C, [("failed", ""), ("clean", "")], [("remove", 1)]),
        # Another path is other work; where no constraint forbids it, both are served.
        (b.INGEST_C, [("orphan", ""), ("clean", "sub")], [("reset", 1)]),
        # A allows only one row of a file in the same state, whatever its path.
        (b.INGEST_A, [("orphan", ""), ("clean", "sub")], [("remove", 1)]),
        (b.INGEST_A_LAGGING, [("orphan", ""), ("clean", "")], [("remove", 1)]),
        (b.INGEST_A_LAGGING, [("failed", ""), ("orphan", "")], [("reset", 2), ("remove", 1)]),
        # Of two broken rows of different paths A can only take one at a time.
        (b.INGEST_A, [("failed", ""), ("orphan", "sub")], [("reset", 2)]),
        # Several failures of one file collide with themselves: the newest is tried again.
        (b.INGEST_C, [("failed", ""), ("failed", ""), ("failed", "")], [("reset", 3), ("remove", 2), ("remove", 1)]),
        (b.INGEST_C, [("failed", ""), ("failed", "sub")], [("reset", 2), ("reset", 1)]),
        # Without the constraint the same is right: one is enough.
        (b.INGEST_C_LAGGING, [("failed", ""), ("failed", "")], [("reset", 2), ("remove", 1)]),
        # Export C has no path in its constraint.
        (b.EXPORT_C, [("orphan", ""), ("clean", "sub")], [("remove", 1)]),
        (b.INGEST_C, [("null", ""), ("infinity", "sub")], [("reset", 2), ("reset", 1)]),
        # A row that is never popped because of its time holds the key that the failed one would get.
        (b.INGEST_C, [("late", ""), ("failed", "")], [("reset", 1), ("remove", 2)]),
        (b.INGEST_C, [("stale", "")], [("remove", 1)]),
        (b.EXPORT_B, [("both", "")], [("reset", 1)]),
    ],
)
def test_plan_for_one_file(table: Any, rows: Any, expected: Any) -> None:
    state = b.state(table, [b.row(table, n, kind, path=path) for n, (kind, path) in enumerate(rows, 1)])
    assert plan(state) == expected


def test_a_row_waits_for_another_that_this_plan_does_not_mend() -> None:
    state = b.state(b.INGEST_C, [b.row(b.INGEST_C, 1, "late"), b.row(b.INGEST_C, 2, "failed")])
    changes, left = plan_reset(state, ("failed", "orphaned"))
    assert changes == []
    assert [(each.row.id, "must be mended with it" in each.why) for each in left] == [(2, True)]


def test_destinations_are_different_work() -> None:
    rows = [b.row(b.EXPORT_C, 1, "orphan", destination="https://one"), b.row(b.EXPORT_C, 2, destination="https://two")]
    assert plan(b.state(b.EXPORT_C, rows)) == [("reset", 1)]


def test_reset_of_a_failed_c_row_clears_what_would_hold_it_back() -> None:
    failed = b.row(b.INGEST_C, 1, "failed", due=False, after="2999-01-01T00:00:00", added_usable="2026-01-01T00:00:00", error="boom")
    change = plan_reset(b.state(b.INGEST_C, [failed]), ("failed",))[0][0]
    assert change.after == dict(change.before or {}, inprogress=False, fail_dt=STAMP, error=None, after="2026-01-01T00:00:00")


def test_orphans_keep_their_error_and_a_due_after() -> None:
    change = plan_reset(b.state(b.INGEST_C, [b.row(b.INGEST_C, 1, "orphan", error="older")]), ("orphaned",))[0][0]
    assert change.after == dict(change.before or {}, inprogress=False)


def test_after_without_a_usable_added_becomes_long_ago() -> None:
    change = plan_reset(b.state(b.INGEST_A, [b.row(b.INGEST_A, 1, "null", due=False, after=None)]), ("unpoppable",))[0][0]
    assert change.after is not None
    assert change.after["after"] == LONG_AGO


def test_instructions_that_the_survivor_lacks_are_a_loss() -> None:
    rows = [b.row(b.INGEST_C, 1, "orphan", force=True), b.row(b.INGEST_C, 2)]
    assert plan_reset(b.state(b.INGEST_C, rows), ("twin",))[0][0].data_loss == "force of ingest row 1"
    rows = [b.row(b.INGEST_C, 1, "orphan", force=True), b.row(b.INGEST_C, 2, force=True)]
    assert plan_reset(b.state(b.INGEST_C, rows), ("twin",))[0][0].data_loss == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, "ingest:N.fits"), ({"path": "alopeke/20201023"}, "ingest:alopeke/20201023/N.fits"), ({"destination": "https://a"}, "ingest:N.fits -> https://a")],
)
def test_subject(changes: Any, expected: str) -> None:
    assert subject_of(b.INGEST_C, b.row(b.INGEST_C, 1, filename="N.fits", **changes)) == expected


# -- properties --------------------------------------------------------------------------------------------------------

kinds = st.sampled_from(("clean", "orphan", "failed", "stale", "null", "late", "infinity", "both"))


@st.composite
def queues(draw: Any) -> QueueState:
    """Any queue that its own constraints allow."""
    table = draw(st.sampled_from(b.TABLES))
    rows: list[Row] = []
    for number in range(1, draw(st.integers(0, 9)) + 1):
        each = b.row(
            table,
            number,
            draw(kinds),
            draw(st.sampled_from(("a.fits", "b.fits"))),
            draw(st.sampled_from(("", "sub"))),
            backed_off=draw(st.booleans()),
            force=draw(st.booleans()),
        )
        if table.has("destination"):
            each = each._replace(destination=draw(st.sampled_from(("https://one", "https://two"))))
        if not b.collisions(table, rows + [each]):
            rows.append(each)
    lines = [draw(st.sampled_from((None, on("a.fits", 1), on("b.fits", 2), on("a.fits", None)))) for _each in range(draw(st.integers(0, 3)))]
    return b.state(table, rows, b.workers(*lines))


wanted_conditions = st.sets(st.sampled_from(REPAIRS)).map(lambda chosen: tuple(sorted(chosen)))


@given(queues(), wanted_conditions)
@settings(max_examples=1500, deadline=None)
def test_a_plan_carried_out_leaves_an_empty_plan(state: QueueState, wanted: Any) -> None:
    changes, _left = plan_reset(state, wanted)
    after = b.applied(state, changes)
    assert plan_reset(after, wanted)[0] == []


@given(queues(), wanted_conditions)
@settings(max_examples=1500, deadline=None)
def test_a_plan_collides_with_nothing(state: QueueState, wanted: Any) -> None:
    after = b.applied(state, plan_reset(state, wanted)[0])
    assert b.collisions(state.table, after.rows) == []


@given(queues(), wanted_conditions)
@settings(max_examples=1500, deadline=None)
def test_healthy_rows_are_never_touched(state: QueueState, wanted: Any) -> None:
    healthy = {judged.row.id for judged in judge(state).judged if judged.condition in ("pending", "deferred", "in_progress", "starved")}
    ids = [change.before["id"] for change in plan_reset(state, wanted)[0] if change.before]
    assert healthy.isdisjoint(ids)
    assert len(ids) == len(set(ids))


@given(queues())
@settings(max_examples=300, deadline=None)
def test_a_full_repair_loses_no_work(state: QueueState) -> None:
    """Whatever was to be done for a file at a path and destination is still to be done, unless it is done already,
    or a constraint forces it out, which the reason says."""
    changes = plan_reset(state, ("failed", "orphaned", "twin", "unpoppable"))[0]
    gone = {change.before["id"]: change for change in changes if change.after is None and change.before}
    after = b.applied(state, changes)
    waiting = {(each.filename, each.path, each.destination) for each in after.rows if clean(each)}
    for each in state.rows:
        if each.id in gone:
            assert (each.filename, each.path, each.destination) in waiting or "again when row" in gone[each.id].reason


@given(queues())
@settings(max_examples=300, deadline=None)
def test_every_row_counts_once(state: QueueState) -> None:
    counts = judge(state).counts
    assert set(counts) == set(CONDITIONS)
    assert all(count >= 0 for count in counts.values())
    assert sum(counts.values()) == len(state.rows)
