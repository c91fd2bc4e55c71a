# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What queueing a file comes to beside the rows that stand: tables of cases, then properties over arbitrary queues."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.enqueue import (
    EnqueueState,
    Target,
    check_name,
    check_not_skipped,
    compile_pattern,
    diagnose,
    exported,
    normal_path,
    plan_enqueue,
    read_wish,
    refuse,
    row_of,
    same_work,
    select,
    skip_reason,
    standings,
    stem,
    subject,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.errors import FitsError
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue import Row, clean, judge
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.tables import Table
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.workers import LogLine, Workers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from . import builders as b

NAME = "N20200804S0091.fits"
HERE = "https://archive.example.org"
THERE = "https://tape.example.org"
BUSY = b.workers(LogLine("2026-01-01 00:00:00", "Ingesting %s" % NAME, NAME, None))


def state(
    table: Table,
    rows: Iterable[Row] = (),
    targets: Sequence[Target] = (),
    force: bool = False,
    forced: Iterable[int] = (),
    workers: Workers | None = None,
    made: Iterable[str] = (),
) -> EnqueueState:
    wanted = tuple(targets) or (Target(NAME, "", HERE if table.has("destination") else None),)
    flags = dict.fromkeys(forced, True)
    return EnqueueState(b.state(table, rows, workers, named=True), wanted, force, flags, (), frozenset(made))


def kinds(of: EnqueueState) -> list[str]:
    return [standing.kind for standing in standings(of)]


A, B_, C = b.INGEST_A, b.EXPORT_B, b.INGEST_C


@pytest.mark.parametrize(
    ("table", "rows", "kind"),
    [
        (A, [], "add"),
        (A, [("clean", {})], "queued"),
        (A, [("clean", {"path": None})], "queued"),
        (A, [("clean", {"path": "sub"})], "blocked"),
        (A, [("failed", {})], "blocked"),
        (A, [("failed", {"path": "sub"})], "add"),
        (A, [("stale", {})], "blocked"),
        (A, [("both", {})], "blocked"),
        (A, [("null", {})], "blocked"),
        (A, [("orphan", {})], "blocked"),
        (A, [("orphan", {"path": "sub"})], "starved"),
        (A, [("orphan", {"path": "sub"}), ("clean", {})], "starved"),
        (A, [("clean", {"filename": NAME + ".bz2"})], "add"),
        (b.INGEST_A_LAGGING, [("failed", {})], "add"),
        (b.INGEST_A_LAGGING, [("clean", {})], "queued"),
        (C, [], "add"),
        (C, [("clean", {})], "queued"),
        (C, [("clean", {"path": "sub"})], "add"),
        (C, [("failed", {})], "add"),
        (C, [("failed", {}), ("failed", {}), ("clean", {})], "queued"),
        (C, [("null", {})], "add"),
        (C, [("infinity", {})], "add"),
        (C, [("clean", {"unpoppable": True})], "blocked"),
        (C, [("orphan", {})], "starved"),
        (C, [("orphan", {"path": "sub"})], "starved"),
        (C, [("orphan", {}), ("clean", {})], "starved"),
        (b.INGEST_C_LAGGING, [("clean", {})], "queued"),
        (b.EXPORT_A, [], "add"),
        (b.EXPORT_A, [("clean", {})], "queued"),
        (b.EXPORT_A, [("clean", {"destination": THERE})], "blocked"),
        (b.EXPORT_A, [("failed", {})], "blocked"),
        (b.EXPORT_A, [("failed", {"destination": THERE})], "add"),
        (b.EXPORT_A, [("orphan", {"backed_off": True})], "queued"),
        (b.EXPORT_A, [("orphan", {"backed_off": True, "destination": THERE})], "blocked"),
        (b.EXPORT_A, [("orphan", {"destination": THERE})], "starved"),
        (B_, [("clean", {"destination": THERE})], "add"),
        (B_, [("clean", {"path": "sub"})], "blocked"),
        (B_, [("failed", {})], "add"),
        (B_, [("both", {})], "add"),
        (b.EXPORT_C, [("clean", {"path": "sub"})], "blocked"),
        (b.EXPORT_C, [("clean", {"destination": THERE, "path": "sub"})], "add"),
        (b.EXPORT_C, [("failed", {})], "add"),
    ],
)
def test_one_file_beside_what_stands(table: Table, rows: list[Any], kind: str) -> None:
    of = state(table, [b.row(table, number, name, **extra) for number, (name, extra) in enumerate(rows, 1)])
    assert kinds(of) == [kind]
    assert [refusal.guard for refusal in refuse(of)] == ([kind] if kind not in ("add", "queued") else [])
    assert len(plan_enqueue(of)) == (kind == "add")


@pytest.mark.parametrize(("table", "kind"), [(A, "queued"), (C, "add"), (b.INGEST_A_LAGGING, "add")])
def test_a_row_that_a_worker_is_on(table: Table, kind: str) -> None:
    of = state(table, [b.row(table, 1, "orphan")], workers=BUSY)
    assert kinds(of) == [kind]
    if kind == "add":
        assert "comes first" in plan_enqueue(of)[0].reason


@pytest.mark.parametrize("table", [A, C], ids=["A", "C"])
@pytest.mark.parametrize(("force", "forced", "kind"), [(True, [], "force_lost"), (True, [1], "queued"), (False, [1], "queued"), (False, [], "queued")])
def test_force_of_a_row_that_waits(table: Table, force: bool, forced: list[int], kind: str) -> None:
    assert kinds(state(table, [b.row(table, 1)], force=force, forced=forced)) == [kind]


def test_force_of_a_row_that_a_worker_is_on() -> None:
    assert kinds(state(A, [b.row(A, 1, "orphan")], force=True, workers=BUSY)) == ["force_lost"]
    assert kinds(state(A, [b.row(A, 1, "orphan")], force=True, forced=[1], workers=BUSY)) == ["queued"]
    assert kinds(state(C, [b.row(C, 1, "orphan")], force=True, workers=BUSY)) == ["add"]


def test_rows_of_one_plan_may_not_collide_either() -> None:
    both = [Target(NAME, "", HERE), Target(NAME, "", THERE)]
    of = state(b.EXPORT_A, targets=both)
    assert kinds(of) == ["add", "blocked"]
    assert HERE in refuse(of)[0].reason
    assert "served" in refuse(of)[0].allow
    for table in (b.EXPORT_B, b.EXPORT_C):
        assert kinds(state(table, targets=both)) == ["add", "add"]


def test_change_and_its_image() -> None:
    [change] = plan_enqueue(state(A, targets=[Target(NAME, "sub")], force=True))
    assert (change.action, change.subject, change.before, change.reversible) == ("enqueue", "ingest:sub/" + NAME, None, True)
    assert change.after == {"filename": NAME, "path": "sub", "inprogress": False, "force": True}
    [change] = plan_enqueue(state(b.EXPORT_C))
    assert change.subject == "export:%s -> %s" % (NAME, HERE)
    assert change.after == {"filename": NAME, "path": "", "destination": HERE, "inprogress": False}


def test_what_the_run_has_made_is_not_planned_again() -> None:
    of = state(C, made=["ingest:" + NAME])
    assert plan_enqueue(of) == []
    assert [finding.code for finding in diagnose(of)] == ["fits.ingest.queued"]


def test_refusals_gather_files_and_say_what_helps() -> None:
    names = ["N%d.fits" % number for number in range(1, 6)]
    rows = [b.row(A, 1, "failed", "N1.fits"), b.row(A, 2, "orphan", "N2.fits"), b.row(A, 3, "clean", "N3.fits", path="sub"), b.row(A, 4, "clean", "N4.fits")]
    of = state(A, rows, [Target(name, "") for name in names], force=True)
    lost, blocked = refuse(of)
    assert (lost.guard, blocked.guard) == ("force_lost", "blocked")
    assert "2 more of 5 files" in blocked.reason
    assert "fits_queue_reset on N1.fits, N2.fits first" in blocked.allow
    assert "for N3.fits when" in blocked.allow
    assert [change.subject for change in plan_enqueue(of)] == ["ingest:N5.fits"]


def test_findings() -> None:
    of = state(C, [b.row(C, 1)], [Target(NAME, ""), Target("N2.fits", "")])
    found = {finding.code: finding for finding in diagnose(of)}
    assert set(found) == {"fits.ingest.not_queued", "fits.ingest.already_queued", "fits.ingest.no_worker"}
    assert found["fits.ingest.already_queued"].severity == "info"
    assert found["fits.ingest.already_queued"].detail["ids"] == [1]
    assert "fits.ingest.orphaned" in [finding.code for finding in diagnose(state(C, [b.row(C, 1, "orphan")]))]


# -- names, paths, expressions ----------------------------------------------------------------------------------------


def params(**given: Any) -> Any:
    return dict({"queue": "ingest", "filename": None, "file_re": None, "path": "", "force": False, "destination": None}, **given)


def test_wish() -> None:
    wish = read_wish(params(filename=["b.fits", "a.fits", "b.fits"], path="x/./y/", force=True))
    assert (wish.names, wish.path, wish.pattern, wish.force) == (("a.fits", "b.fits"), "x/y", None, True)
    assert read_wish(params(file_re="^N")).pattern is not None
    assert read_wish(params(queue="export", filename=["a.fits"], destination=[THERE, HERE, THERE])).destinations == (THERE, HERE)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"filename": []}, "no file"),
        ({"filename": ["a/b.fits"]}, "not the name"),
        ({"queue": "export", "filename": ["a.fits"]}, "needs a destination"),
        ({"queue": "export", "file_re": "a", "destination": [HERE]}, "for the ingest queue"),
        ({"queue": "export", "filename": ["a.fits"], "destination": [HERE], "force": True}, "no force"),
        ({"queue": "export", "filename": ["a.fits"], "destination": [" "]}, "cannot be passed"),
        ({"filename": ["a.fits"], "destination": [HERE]}, "for the export queue"),
        ({"filename": ["a.fits"], "path": "/a"}, "relative"),
    ],
)
def test_wishes_that_upstream_would_not_grant(given: Any, words: str) -> None:
    with pytest.raises(FitsError, match=words):
        read_wish(params(**given))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/", "a\nb.fits", "a\rb.fits", "a\0.fits", " a.fits", "a.fits ", "a\x1c.fits", "a\u2028.fits", "a\udc80.fits"]
)
def test_bad_names(name: str) -> None:
    with pytest.raises(FitsError):
        check_name(name)


@pytest.mark.parametrize(
    "name", [NAME, "--force.fits", "it's.fits", 'a"b.fits', "100%.fits", "%s.fits", "a\\n.fits", "a b.fits", "\u540d.fits", "$(x).fits", "..fits"]
)
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(("text", "path"), [("", ""), (".", ""), ("./", ""), ("a", "a"), ("a/", "a"), ("a//b/./c", "a/b/c"), ("a..b", "a..b"), ("%", "%")])
def test_paths(text: str, path: str) -> None:
    assert normal_path(text) == path


@pytest.mark.parametrize("text", ["/", "/a", "..", "a/..", "../a", "a/../b", "a\nb", "a\0", "\udc80"])
def test_bad_paths(text: str) -> None:
    with pytest.raises(FitsError):
        normal_path(text)


@pytest.mark.parametrize("file_re", ["today", "twoday", "fourday", "tenday", "twentyday", "(", "*", "[a", "(?P<x"])
def test_bad_expressions(file_re: str) -> None:
    with pytest.raises(FitsError):
        compile_pattern(file_re)


@pytest.mark.parametrize(
    ("name", "skipped"),
    [
        (NAME, False),
        (NAME + ".bz2", False),
        ("20200804_GN-Q-1_obslog.txt", False),
        ("miscfile_x", False),
        ("N1_fits", False),  # upstream's dot stands for any character
        ("fits", True),
        ("N1.txt", True),
        ("tmpN1.fits", True),
        ("N1tmp.fits", True),
        ("N1.tiled.fits", True),
        ("N1.fits_preview.jpg", True),
    ],
)
def test_names_that_upstream_skips(name: str, skipped: bool) -> None:
    for table in (A, C):
        assert bool(skip_reason(name, table)) == skipped
    if skipped:
        with pytest.raises(FitsError, match="silently skip"):
            check_not_skipped([NAME, name], C)


def test_only_c_skips_every_jpg() -> None:
    assert skip_reason("N1.fits.jpg", C)
    assert not skip_reason("N1.fits.jpg", A)


def test_selection_searches_anywhere_and_is_sorted() -> None:
    listing = ["xN2.fits", "N1.fits", "tmpN1.fits", "S1.fits", "N3.txt"]
    chosen, skipped = select(listing, compile_pattern("N."), C)
    assert chosen == ["N1.fits", "xN2.fits"]
    assert [name for name, _why in skipped] == ["N3.txt", "tmpN1.fits"]
    with pytest.raises(FitsError, match="cannot be queued"):
        select(["N1.fits\n"], compile_pattern("N"), C)


def test_the_row_that_an_export_gets() -> None:
    assert stem(NAME + ".bz2") == stem(NAME) == NAME
    assert exported(NAME, [(NAME, NAME + ".bz2", "2020", True)], "") == (NAME + ".bz2", "2020")
    assert exported(NAME, [(NAME, NAME, "2020", True)], "2020") == (NAME, "2020")
    for present, path, words in (
        ([], "", "never ingested"),
        ([(NAME, NAME, "", False)], "", "no header"),
        ([(NAME, NAME, "", True), (NAME, NAME, "x", True)], "", "present 2 times"),
        ([(NAME, NAME, "2020", True)], "2021", "not in path 2021"),
    ):
        with pytest.raises(FitsError, match=words):
            exported(NAME, present, path)


# -- properties -------------------------------------------------------------------------------------------------------


@st.composite
def queues(draw: Any) -> EnqueueState:
    """Any rows that the constraints allow, and any targets, with and without workers."""
    table = draw(st.sampled_from(b.TABLES))
    names, paths = st.sampled_from(["a.fits", "b.fits"]), st.sampled_from(["", "sub"])
    places = st.sampled_from([HERE, THERE]) if table.has("destination") else st.none()
    rows: list[Row] = []
    for number in range(1, draw(st.integers(0, 5)) + 1):
        kind = draw(st.sampled_from(["clean", "orphan", "failed", "stale", "null", "infinity", "both"]))
        new = b.row(table, number, kind, draw(names), draw(paths), destination=draw(places), backed_off=draw(st.booleans()))
        if not b.collisions(table, rows + [new]):
            rows.append(new)
    targets = draw(st.lists(st.builds(Target, names, paths, places), min_size=1, max_size=4, unique=True))
    workers = draw(st.sampled_from([None, BUSY, b.workers(unknown=["who knows"])]))
    forced = draw(st.sets(st.integers(1, 5)))
    return state(table, rows, targets, draw(st.booleans()), forced, workers)


def upstream(of: EnqueueState) -> list[Row]:
    """What the script does with the planned files, one by one: insert, or ignore what a constraint refuses."""
    table, rows = of.queue.table, list(of.queue.rows)
    for number, change in enumerate(plan_enqueue(of), 100):
        image = change.after or {}
        target = Target(image["filename"], image["path"], image.get("destination"))
        if table.queue == "export" and table.generation == "A" and any(same_work(row, target) for row in rows):
            continue
        new = row_of(table, target)._replace(id=number)
        if not b.collisions(table, rows + [new]):
            rows.append(new)
    return rows


@settings(max_examples=500, deadline=None)
@given(queues())
def test_every_planned_row_appears_and_then_nothing_is_left(of: EnqueueState) -> None:
    before, after = of.queue.rows, upstream(of)
    assert len(after) == len(before) + len(plan_enqueue(of))
    forced = {**dict.fromkeys(range(100, 200), of.force), **of.forced}
    again = EnqueueState(b.state(of.queue.table, after, of.queue.workers, named=True), of.targets, of.force, forced)
    assert plan_enqueue(again) == []


@settings(max_examples=500, deadline=None)
@given(queues())
def test_what_is_not_refused_will_be_popped_in_the_end(of: EnqueueState) -> None:
    """Every file has a row that waits, or that a worker or the service's own retry is on, and no orphan before it."""
    assume(not refuse(of))
    after = b.state(of.queue.table, upstream(of), of.queue.workers, named=True)
    for target in of.targets:
        mine = [judged for judged in judge(after).judged if same_work(judged.row, target)]
        assert any(clean(judged.row) or judged.condition in ("in_progress", "deferred") for judged in mine)
        assert all(judged.condition not in ("starved", "orphaned") for judged in mine)


@settings(max_examples=300, deadline=None)
@given(queues())
def test_every_file_is_planned_there_already_or_refused(of: EnqueueState) -> None:
    found = standings(of)
    assert [standing.target for standing in found] == list(of.targets)
    refused = [standing for standing in found if standing.kind not in ("add", "queued")]
    assert sorted({standing.kind for standing in refused}) == sorted(refusal.guard for refusal in refuse(of))
    assert len(plan_enqueue(of)) == sum(standing.kind == "add" for standing in found)
    for standing in found:
        if standing.kind == "queued":
            assert standing.row is not None
            assert same_work(standing.row, standing.target)
            assert not of.force or of.forced.get(standing.row.id)
    subjects = [change.subject for change in plan_enqueue(of)]
    assert len(set(subjects)) == len(subjects)
    assert all(subject(of.queue.table, standing.target) in subjects for standing in found if standing.kind == "add")
