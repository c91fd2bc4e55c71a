# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files put on the queues of each generation through the script that stands for upstream's: predicted, done, idempotent, undone, refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from enqueueing import GENERATIONS, NAME, OTHER, Host, codes, guards, making, without_done
from lab.fits.faults import DESTINATION, OTHER_DESTINATION
from support import run_ok


@pytest.fixture
def make_host(server: Any, database: Callable[..., str], connection: dict[str, Any], journal_dir: str, tmp_path: Path) -> Iterator[Callable[..., Host]]:
    with making(server, database, connection | {"journal_dir": journal_dir}, tmp_path) as make:
        yield make


@pytest.fixture(params=GENERATIONS)
def host(request: Any, make_host: Callable[..., Host]) -> Host:
    return make_host(request.param)


# -- found, predicted, done, idempotent, undone -------------------------------------------------------------------------


@pytest.mark.parametrize("force", [False, True])
def test_ingest_of_one_file(host: Host, force: bool) -> None:
    host.root.write_file(NAME)
    predicted = host.check(filename=NAME, force=force)
    assert host.rows() == []
    assert predicted["changed"]
    assert codes(predicted)[0] == "fits.ingest.not_queued"
    assert predicted["changes"][0]["subject"] == f"ingest:{NAME}"
    assert predicted["changes"][0]["before"] is None
    assert predicted["changes"][0]["after"] == {"filename": NAME, "path": "", "inprogress": False, "force": force}

    real = host.ok(filename=NAME, force=force)
    assert real["changed"]
    assert without_done(real) == without_done(predicted)
    assert [change["done"] for change in real["changes"]] == [True]
    assert real["plan_sha256"] == predicted["plan_sha256"]
    assert real["schema_generation"] == host.generation
    [row] = host.rows()
    assert (row["filename"], row["path"], row["inprogress"], row["force"]) == (NAME, "", False, force)
    assert codes(real) == ["fits.ingest.queued", "fits.ingest.no_worker"]

    again = host.ok(filename=NAME, force=force)
    assert not again["changed"]
    assert again["undo_id"] is None
    assert codes(again)[0] == "fits.ingest.already_queued"
    assert again["evidence"]["script"] == []

    assert host.undo(real["undo_id"], check=True)["changed"]
    undone = host.undo(real["undo_id"])
    assert undone["changed"], undone
    assert host.rows() == []
    assert not host.undo(real["undo_id"])["changed"]

    back = host.undo(undone["undo_id"])
    assert back["changed"], back
    assert host.rows() == [row]


def test_ingest_of_several_files_is_one_run_of_the_script(host: Host) -> None:
    names = ["N20200804S%04d.fits" % number for number in range(40)]
    for name in names:
        host.root.write_file(name)
    host.make.pending("ingest", names[7])
    host.make.failed("ingest", "S20200101S0001.fits")
    before = host.rows()
    real = host.ok(filename=names)
    assert [change["after"]["filename"] for change in real["changes"]] == [name for name in names if name != names[7]]
    assert all(change["done"] for change in real["changes"])
    [script] = real["evidence"]["script"]
    assert script["argv"][2].startswith("--path=")
    assert script["argv"][-1].startswith("--listfile=")
    assert not os.path.exists(script["argv"][-1].partition("=")[2])
    assert {row["filename"] for row in host.rows()} == {*names, "S20200101S0001.fits"}
    assert {"fits.ingest.queued", "fits.ingest.already_queued"} <= set(codes(real))

    part = host.undo(real["undo_id"], changes=[0, 1])
    assert part["changes_total"] == 2
    assert host.undo(real["undo_id"])["changes_total"] == 37
    assert host.rows() == before


def test_regular_expression(host: Host) -> None:
    for name in (
        NAME,
        OTHER,
        "S20200804S0091.fits",
        "tmpN20200804S0093.fits",
        "tiled_N20200804.fits",
        "N20200804.txt",
        "20200804_GN-Q-1_obslog.txt",
        "N20200804_preview.jpg",
    ):
        host.root.write_file(name)
    (host.root.dataflow / "N20200804dir.fits").mkdir()
    host.root.write_file("N20200804S0099.fits", path="sub")
    predicted = host.check(file_re="N?20200804(S|_GN)")
    real = host.ok(file_re="N?20200804(S|_GN)")
    assert without_done(real) == without_done(predicted)
    assert [change["after"]["filename"] for change in real["changes"]] == ["20200804_GN-Q-1_obslog.txt", NAME, OTHER, "S20200804S0091.fits"]
    assert [skipped["filename"] for skipped in real["skipped"]] == ["tmpN20200804S0093.fits"]
    assert {row["filename"] for row in host.rows()} == {change["after"]["filename"] for change in real["changes"]}
    skipped = host.check(file_re="N20200804")["skipped"]
    assert {each["filename"] for each in skipped} == {
        "tmpN20200804S0093.fits", "tiled_N20200804.fits", "N20200804.txt", "N20200804_preview.jpg", "N20200804dir.fits",
    }  # fmt: skip


def test_path_below_the_storage_root(host: Host) -> None:
    host.root.write_file(NAME, path="2020/raw")
    host.root.write_file(OTHER)
    real = host.ok(filename=NAME, path="./2020//raw/")
    assert real["changes"][0]["subject"] == f"ingest:2020/raw/{NAME}"
    assert [(row["filename"], row["path"]) for row in host.rows()] == [(NAME, "2020/raw")]
    assert host.undo(real["undo_id"])["changed"]
    again = host.ok(file_re=".", path="2020/raw")
    assert [(row["filename"], row["path"]) for row in host.rows()] == [(NAME, "2020/raw")]
    assert again["changed"]


@pytest.mark.parametrize("stored", [NAME, NAME + ".bz2"])
def test_export(host: Host, stored: str) -> None:
    host.present(stored, path="2020")
    host.present(OTHER)
    options = {"queue": "export", "filename": NAME, "destination": DESTINATION}
    predicted = host.check(**options)
    real = host.ok(**options)
    assert without_done(real) == without_done(predicted)
    assert real["changes"][0]["subject"] == f"export:2020/{stored} -> {DESTINATION}"
    assert real["changes"][0]["after"] == {"filename": stored, "path": "2020", "destination": DESTINATION, "inprogress": False}
    [row] = host.rows("export")
    assert (row["filename"], row["path"], row["destination"], row["inprogress"]) == (stored, "2020", DESTINATION, False)
    assert not host.ok(**options)["changed"]
    assert host.undo(real["undo_id"])["changed"]
    assert host.rows("export") == []


def test_export_of_two_files_to_two_destinations(host: Host) -> None:
    host.present(NAME)
    host.present(OTHER)
    options: dict[str, Any] = {"queue": "export", "filename": [OTHER, NAME], "destination": [DESTINATION, OTHER_DESTINATION]}
    if host.generation == "A":
        refusal = host.refused(**options)["refusals"][0]
        assert refusal["guard"] == "blocked"
        assert DESTINATION in refusal["reason"]
        return
    real = host.ok(**options)
    assert len(real["evidence"]["script"]) == 4
    assert len(host.rows("export")) == 4
    assert host.undo(real["undo_id"])["changes_total"] == 4


def test_mixed_schema(make_host: Callable[..., Host]) -> None:
    host = make_host("C", mixed=True)
    host.root.write_file(NAME)
    real = host.ok(filename=NAME)
    assert real["schema_generation"] == "mixed"
    assert host.undo(real["undo_id"])["changed"]


@pytest.mark.parametrize("generation", GENERATIONS)
def test_lagging_constraints_do_not_make_a_second_row(make_host: Callable[..., Host], generation: str) -> None:
    host = make_host(generation, lagging=True)
    host.root.write_file(NAME)
    assert host.ok(filename=NAME)["changed"]
    assert not host.ok(filename=NAME)["changed"]
    assert len(host.rows()) == 1


# -- what upstream would silently not do --------------------------------------------------------------------------------


def test_force_would_be_lost(host: Host) -> None:
    host.root.write_file(NAME)
    host.make.pending("ingest", NAME)
    result = host.refused(filename=NAME, force=True)
    assert guards(result) == ["force_lost"]
    assert "without force" in result["msg"]
    assert not host.ok(filename=NAME)["changed"]


def test_a_row_with_force_is_enough_for_both(host: Host) -> None:
    host.root.write_file(NAME)
    host.make.pending("ingest", NAME, force=True)
    assert not host.ok(filename=NAME, force=True)["changed"]
    assert not host.ok(filename=NAME)["changed"]


@pytest.mark.parametrize("path", ["", "sub"])
def test_an_orphan_is_in_the_way(host: Host, path: str) -> None:
    host.root.write_file(NAME)
    host.make.in_progress("ingest", NAME, path=path)
    result = host.refused(filename=NAME)
    assert guards(result) == ["starved" if host.generation == "C" or path else "blocked"]
    assert "fits_queue_reset" in result["refusals"][0]["allow"]
    assert "fits.ingest.orphaned" in codes(result)
    run_ok("fits_queue_reset", host.connection | {"queue": "ingest", "settle": 0, "journal_dir": host.journal_dir, "scripts_dir": str(host.root.scripts)})
    if not path:
        assert not host.ok(filename=NAME)["changed"]


def test_a_waiting_row_that_an_orphan_starves_is_said(make_host: Callable[..., Host]) -> None:
    host = make_host("C")
    host.root.write_file(NAME)
    host.make.in_progress("ingest", NAME)
    host.make.pending("ingest", NAME)
    assert guards(host.refused(filename=NAME)) == ["starved"]


def test_a_failed_row(host: Host) -> None:
    host.root.write_file(NAME)
    host.make.failed("ingest", NAME)
    if host.generation == "C":
        assert host.ok(filename=NAME)["changed"]
        return
    result = host.refused(filename=NAME, force=True)
    assert guards(result) == ["blocked"]
    assert "fits_queue_reset" in result["msg"]


def test_a_row_of_the_same_name_in_another_directory(host: Host) -> None:
    host.root.write_file(NAME)
    host.make.pending("ingest", NAME, path="sub")
    if host.generation == "C":
        assert host.ok(filename=NAME)["changed"]
        return
    result = host.refused(filename=NAME)
    assert guards(result) == ["blocked"]
    assert "has been served" in result["refusals"][0]["allow"]


def test_export_rows_in_the_way(host: Host) -> None:
    host.present(NAME)
    host.make.failed("export", NAME)
    options = {"queue": "export", "filename": NAME, "destination": DESTINATION}
    if host.generation == "A":
        assert guards(host.refused(**options)) == ["blocked"]
    else:
        assert host.ok(**options)["changed"]


def test_export_that_backs_off_is_on_the_queue(make_host: Callable[..., Host]) -> None:
    host = make_host("A")
    host.present(NAME)
    host.make.in_progress("export", NAME, lastfailed=host.make.local(60))
    options = {"queue": "export", "filename": NAME}
    again = host.ok(destination=DESTINATION, **options)
    assert not again["changed"]
    assert "backs off" in again["findings"][0]["detail"]["why"]
    assert guards(host.refused(destination=OTHER_DESTINATION, **options)) == ["blocked"]


def test_all_refusals_are_listed_and_nothing_is_done_by_halves(host: Host) -> None:
    for name in (NAME, OTHER, "N20200804S0093.fits"):
        host.root.write_file(name)
    host.make.pending("ingest", NAME)
    host.make.in_progress("ingest", OTHER, path="sub")
    result = host.refused(filename=[NAME, OTHER, "N20200804S0093.fits"], force=True, max_changes=1, approved_plan="0" * 64)
    assert guards(result) == ["force_lost", "starved", "approved_plan"]
