# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were really lost, in every way there is, on a real database of each generation: each is called by its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from following import GENERATIONS, LONG_AGO, TODAY, TWELVE, Archive, Host, following, lost, name_of
from lab.fits import root as lab_root
from lab.fits.workers import Workers
from lab.statements import StatementLog


@pytest.fixture(params=GENERATIONS)
def host(request: pytest.FixtureRequest, server: Any, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any]) -> Iterator[Host]:
    with following(server, database(request.param), request.param, connection, places) as made:
        yield made


@pytest.fixture
def modern(server: Any, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any]) -> Iterator[Host]:
    """A host of generation C, for what does not depend on the generation."""
    with following(server, database("C"), "C", connection, places) as made:
        yield made


@pytest.fixture
def archive() -> Iterator[Archive]:
    made = Archive()
    yield made
    made.close()


NAME = name_of(1)


@pytest.mark.parametrize("way", TWELVE)
def test_each_of_the_twelve_ways(host: Host, way: str) -> None:
    lose, code = TWELVE[way]
    name = name_of(7, LONG_AGO if way == "older than the window" else TODAY)
    lose(host, name)
    found = host.one(name)
    assert found["verdict"] == code, found["summary"]
    assert found["next_step"]["text"]
    assert found["summary"].startswith(name)


def test_all_twelve_in_one_call_and_once_more_in_check_mode(host: Host) -> None:
    expected = lost(host)
    result = host.follow(*expected)
    assert {found["name"]: found["verdict"] for found in result["files"]} == expected
    assert [found["name"] for found in result["files"]] == list(expected)
    assert result["verdicts"] == dict.fromkeys(expected.values(), 1)
    assert result["changed"] is False


def queued(host: Host) -> None:
    host.write(NAME)
    host.make.pending("ingest", NAME)


def deferred(host: Host) -> None:
    host.write(NAME)
    host.make.deferred("ingest", NAME)


def unpoppable(host: Host) -> None:
    host.write(NAME)
    host.make.unpoppable("ingest", NAME, "after_null")


def failed_though_a_twin_waits(host: Host) -> None:
    host.write(NAME)
    host.make.failed_twin("ingest", NAME)


def stale(host: Host) -> None:
    host.write(NAME)
    host.make.stale("ingest", NAME)


def duplicate(host: Host) -> None:
    host.write(NAME)
    host.make.two_present(NAME)


def gone(host: Host) -> None:
    host.ingested(NAME)
    (host.storage / NAME).unlink()


def moved(host: Host) -> None:
    gone(host)
    host.write(NAME, path="graces")


def cleared(host: Host) -> None:
    host.make.diskfile(NAME, present=False)


def ingested_in_vain(host: Host) -> None:
    """What generation A leaves of a file that could not be read: known, absent, and no row on the queue."""
    host.write(NAME)
    host.make.diskfile(NAME, present=False, canonical=False)


def broken_without_a_header(host: Host) -> None:
    """The runbook's odd state: canonical, present, and no header, because the file is broken."""
    host.ingested(NAME, header=False)
    host.write(NAME, "truncated_header")


def export_orphaned(host: Host) -> None:
    host.ingested(NAME)
    host.make.in_progress("export", NAME)


def export_waits(host: Host) -> None:
    host.ingested(NAME)
    host.make.pending("export", NAME)


STATES: dict[str, tuple[Callable[[Host], Any], str, tuple[str, ...]]] = {
    "queued": (queued, "queued", ()),
    "deferred": (deferred, "deferred", ()),
    "unpoppable": (unpoppable, "unpoppable", ()),
    "failed twin": (failed_though_a_twin_waits, "queued", ("failed_ingest",)),
    "stale": (stale, "failed_stale", ()),
    "duplicate": (duplicate, "duplicate_canonical", ()),
    "gone": (gone, "gone_from_disk", ()),
    "moved": (moved, "gone_from_disk", ()),
    "cleared": (cleared, "not_present", ()),
    "in vain": (ingested_in_vain, "not_queued", ()),
    "broken": (broken_without_a_header, "invalid", ("no_header",)),
    "nothing": (lambda host: None, "not_found", ()),
    "not queued": (lambda host: host.write(NAME), "not_queued", ()),
    "export orphaned": (export_orphaned, "export_orphaned", ()),
    "export waits": (export_waits, "export_waiting", ()),
    "available": (lambda host: host.ingested(NAME), "available", ()),
}


@pytest.mark.parametrize("state", STATES)
def test_every_other_state(host: Host, state: str) -> None:
    make, code, also = STATES[state]
    make(host)
    found = host.one(NAME)
    assert (found["verdict"], tuple(found["also"])) == (code, also), found["summary"]


# -- what is told of a file -------------------------------------------------------------------------------------------


def test_a_name_is_found_with_and_without_bz2(host: Host) -> None:
    """A visiting instrument's file, compressed in its directory of the date, and failed under that name."""
    name = f"N{TODAY}A0021.fits"
    host.write(name + ".bz2", "compressed", f"alopeke/{TODAY}")
    host.make.failed("ingest", name + ".bz2", path=f"alopeke/{TODAY}", error="KeyError: 'OBSID'")
    result = host.follow(name, name + ".bz2")
    for found in result["files"]:
        assert found["verdict"] == "failed_ingest"
        assert "KeyError: 'OBSID'" in found["summary"]
        assert [(place["path"], place["filename"]) for place in found["where"]] == [(f"alopeke/{TODAY}", name + ".bz2")]
        assert found["errors"][0]["error"] == "KeyError: 'OBSID'"
        assert found["validity"]["opens"] is True
        assert [row["condition"] for row in found["queues"]["ingest"]] == ["failed"]
    assert [found["name"] for found in result["files"]] == [name, name + ".bz2"]


def test_all_that_is_known_of_a_good_file(host: Host) -> None:
    number = host.ingested(NAME, md5="d41d8cd98f00b204e9800998ecf8427e")
    host.execute("UPDATE header SET program_id = 'GN-2026A-Q-1', qa_state = 'Pass'")
    found = host.one(NAME, validity="always")
    (row,), (place,) = found["diskfiles"], found["where"]
    assert (row["id"], row["present"], row["canonical"], row["data_md5"]) == (number, True, True, "d41d8cd98f00b204e9800998ecf8427e")
    assert {name: row["header"][name] for name in ("program_id", "qa_state", "engineering")} == {
        "program_id": "GN-2026A-Q-1", "qa_state": "Pass", "engineering": False,
    }  # fmt: skip
    assert (place["area"], place["full"], place["mode"], place["readable"]) == ("storage", str(host.storage / NAME), "0644", True)
    assert place["size"] == os.path.getsize(place["full"])
    assert (found["validity"]["opens"], found["validity"]["telescop"], found["validity"]["hdus"]) == (True, "Gemini-North", 2)
    assert (found["stopped_at"], found["unknown"]) == ("none", [])


def test_what_is_in_the_way_is_named(host: Host) -> None:
    """A file, and a directory above one, that only their owner may enter."""
    if os.geteuid():
        pytest.skip("only root can see what another user cannot")
    host.write(NAME, path="graces", mode=0o640)
    host.write(name_of(2), path=f"zorro/{TODAY}")
    (host.storage / "zorro").chmod(0o700)
    first, second = host.follow(NAME, name_of(2))["files"]
    assert (first["verdict"], first["where"][0]["blocked_at"]) == ("unreadable", str(host.storage / "graces" / NAME))
    assert (second["verdict"], second["where"][0]["blocked_at"]) == ("unreadable", str(host.storage / "zorro"))
    assert second["next_step"]["vars"] == {"fits_permissions": True, "fits_filename": [name_of(2)], "fits_path": f"zorro/{TODAY}"}


def test_a_link_out_of_the_storage_root_is_not_followed(host: Host) -> None:
    outside = host.write(NAME, area=host.top / "outside")
    (host.storage / NAME).symlink_to(outside)
    (host.storage / "graces").symlink_to(host.top / "outside")
    found = host.one(NAME)
    assert found["verdict"] == "invalid"
    assert [place["problem"] for place in found["where"]] == [f"it is a link out of {host.storage}"]
    assert found["validity"] is None
    assert f"{host.storage / 'graces'} is a link out of {host.storage}, and was not followed" in found["unknown"]


def test_a_directory_that_leads_out_does_not_make_a_file_gone(modern: Host) -> None:
    """The database has it behind a link that is not followed: whether it is there is not known, and it may well be."""
    modern.write(NAME, area=modern.top / "outside")
    (modern.storage / "graces").symlink_to(modern.top / "outside")
    modern.make.diskfile(NAME, "graces")
    modern.make.diskfile(name_of(2), "")
    first, second = modern.follow(NAME, name_of(2))["files"]
    assert (first["verdict"], second["verdict"]) == ("available", "gone_from_disk")


def test_a_pipe_is_not_opened(host: Host) -> None:
    os.mkfifo(host.storage / NAME)
    found = host.one(NAME)
    assert (found["verdict"], found["where"][0]["problem"]) == ("invalid", "it is not a regular file")


def test_observing_logs_have_no_header_and_are_not_the_worse_for_it(host: Host) -> None:
    name = f"{TODAY}_obslog.txt"
    host.ingested(name, header=False)
    assert host.one(name)["verdict"] == "available"


def test_names_that_upstream_passes_over(host: Host) -> None:
    name = f"tmp_{NAME}"
    host.write(name)
    found = host.one(name)
    assert found["verdict"] == "not_queued"
    assert "its name holds tmp or tiled" in found["summary"]
    assert found["next_step"]["playbook"] is None


# -- the copy job -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("no_telescop", "TELESCOP keyword missing in file"),
        ("zero_telescop", "Bad value 0 for TELESCOP in file"),
        ("truncated", "Unable to open file in astrodata (data of HDU 1 ends"),
        ("not_fits", "Unable to open file in astrodata (it does not begin with SIMPLE"),
    ],
)
def test_the_copy_job_refuses_it(host: Host, kind: str, reason: str) -> None:
    host.write(NAME, kind, area=host.dhs)
    found = host.one(NAME)
    assert found["verdict"] == "refused_by_copy"
    assert reason in found["summary"]
    assert [place["area"] for place in found["where"]] == ["dhs"]


def test_a_file_that_is_still_being_written(modern: Host) -> None:
    modern.write(NAME, "truncated", area=modern.dhs, written=time.time())
    modern.write(name_of(2), "truncated", written=time.time())
    young, partial = modern.follow(NAME, name_of(2))["files"]
    assert young["verdict"] == "refused_by_copy"
    assert "too new" in young["summary"]
    assert (partial["verdict"], partial["validity"]["opens"]) == ("not_queued", None)
    assert "may not be complete" in partial["unknown"][-1]
    assert modern.one(name_of(2), min_age=0)["verdict"] == "invalid"


def test_a_source_that_is_not_mounted_is_told_of(modern: Host) -> None:
    found = modern.one(NAME, dhs_dir=str(modern.top / "not mounted"))
    assert found["verdict"] == "not_found"
    assert "where it comes from could not be looked at (the dhs directory" in found["summary"]
    assert modern.one(NAME, dhs_dir="")["unknown"] == [f"the tree below {modern.storage} was not searched"]


def test_the_source_of_a_visiting_instrument(modern: Host) -> None:
    modern.write(f"N{TODAY}A0021.fits", path=TODAY, area=modern.visitor)
    found = modern.one(f"N{TODAY}A0021.fits")
    assert (found["verdict"], found["where"][0]["area"], found["where"][0]["path"]) == ("not_copied", "visitor", TODAY)


# -- the logs ---------------------------------------------------------------------------------------------------------


def test_the_log_of_the_copy_job_says_why(modern: Host) -> None:
    """A refusal that the content does not show; what is only said besides does not hide it."""
    modern.write(NAME, area=modern.dhs)
    full = modern.dhs / NAME
    modern.log("copy_from_dhs", f"File {full} failed fitsverify check:", f"{NAME} validation failed, not copying now")
    found = modern.one(NAME)
    assert found["verdict"] == "refused_by_copy"
    assert f"its log says: File {full} failed fitsverify check" in found["summary"]
    modern.log("copy_from_dhs", f"Copying {NAME} to {modern.storage}", day="2026-01-31")
    found = modern.one(NAME)
    assert found["verdict"] == "not_copied"
    assert f"the copy job last said of it: Copying {NAME}" in found["summary"]


def test_lines_of_all_logs_newest_first_and_only_those_of_the_file(modern: Host) -> None:
    modern.ingested(NAME)
    modern.log("service_export_queue", f"Exporting {NAME} - 12 (0 on queue)", ending=".py-seq1.log", day="2026-02-03")
    modern.log("service_ingest_queue", f"Ingesting {NAME}.bz2, (3 in queue)", ending=".py-siq1.log.1", day="2026-02-02")
    modern.log("service_ingest_queue", "Nothing on queue... Waiting", ending=".py-siq1.log", day="2026-02-03")
    modern.log("copy_from_dhs", f"Copying {NAME} to /sci/dataflow", f"Copying {NAME}_preview.jpg to x", f"Copying x{NAME} to x", day="2026-02-01")
    modern.log("service_api", f"Something about {NAME}")
    found = modern.one(NAME)
    assert [(hit["job"], hit["file"]) for hit in found["log"]] == [
        ("service_export_queue", "service_export_queue.py-seq1.log"),
        ("service_ingest_queue", "service_ingest_queue.py-siq1.log.1"),
        ("copy_from_dhs", "copy_from_dhs.py.log"),
    ]
    assert [hit["job"] for hit in modern.one(NAME, since="2026-02-02")["log"]] == ["service_export_queue", "service_ingest_queue"]
    assert [hit["job"] for hit in modern.one(NAME, max_log_lines=1)["log"]] == ["service_export_queue"]
    assert modern.one(NAME, max_log_lines=0)["log"] == []


def test_logs_that_cannot_be_read_are_told_of(modern: Host) -> None:
    found = modern.one(NAME, log_dir=[str(modern.top / "no logs")])
    assert any(reason.startswith(f"log directory {modern.top}/no logs cannot be read") for reason in found["unknown"])


# -- the archive ------------------------------------------------------------------------------------------------------

MD5 = "9e107d9d372bb6826bd81d3542a419d6"


def test_the_archive_has_it(host: Host, archive: Archive) -> None:
    """The archive keeps it compressed, and lists every file whose name begins alike."""
    host.ingested(NAME, md5=MD5)
    archive.has(NAME + ".bz2", MD5)
    archive.has(NAME.replace(".fits", ".fits_obslog.txt"), "other", pending=True)
    found = host.one(NAME, archive_url=archive.url)
    assert found["verdict"] == "available"
    assert found["archive"] == {
        "url": f"{archive.url}/jsonfilelist/present/filename={NAME}",
        "answered": True, "error": "", "present": True, "pending_ingest": False, "same_data": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("md5", "pending", "code"),
    [(None, False, "archive_missing"), ("0" * 32, False, "archive_differs"), (MD5, True, "available"), ("0" * 32, True, "archive_pending")],
)
def test_what_the_archive_says_decides(host: Host, archive: Archive, md5: str | None, pending: bool, code: str) -> None:
    host.ingested(NAME, md5=MD5)
    if md5 is not None:
        archive.has(NAME, md5, pending)
    assert host.one(NAME, archive_url=archive.url)["verdict"] == code


@pytest.mark.parametrize(("mode", "error"), [("500", "it answers with HTTP status 500"), ("html", "its answer is not JSON"), ("hang", "did not answer within")])
def test_an_archive_that_gives_no_answer(modern: Host, archive: Archive, mode: str, error: str) -> None:
    for number in range(20):
        modern.ingested(name_of(number))
    archive.mode = mode
    started = time.monotonic()
    result = modern.follow(*map(name_of, range(20)), archive_url=archive.url, http_timeout=1)
    assert time.monotonic() - started < 15  # one after the other they would take 20
    assert result["verdicts"] == {"archive_unreachable": 20}
    assert error in result["files"][0]["archive"]["error"]


def test_nobody_listens_at_the_archive(modern: Host, archive: Archive) -> None:
    archive.close()
    modern.ingested(NAME)
    found = modern.one(NAME, archive_url=archive.url)
    assert (found["verdict"], found["next_step"]["playbook"]) == ("archive_unreachable", "fieldops.runbooks.fits_website")


def test_an_archive_that_is_down_explains_a_back_off(host: Host, archive: Archive) -> None:
    TWELVE["archive back-off"][0](host, NAME)
    archive.mode = "500"
    found = host.one(NAME, archive_url=archive.url)
    assert (found["verdict"], found["also"]) == ("archive_unreachable", ["export_backoff"])


def test_the_archive_is_asked_only_where_it_matters(modern: Host, archive: Archive) -> None:
    expected = lost(modern)
    modern.follow(*expected, archive_url=archive.url)
    after = ("engineering", "export_failed", "export_backoff")
    assert sorted(archive.asked) == sorted(name for name, code in expected.items() if code in after)


def test_cleared_here_and_not_at_the_archive(modern: Host, archive: Archive) -> None:
    modern.make.diskfile(NAME, present=False)
    assert modern.one(NAME, archive_url=archive.url)["verdict"] == "archive_missing"
    archive.has(NAME)
    assert modern.one(NAME, archive_url=archive.url)["verdict"] == "not_present"


def test_the_web_site_of_the_fits_server(modern: Host, archive: Archive) -> None:
    modern.ingested(NAME)
    assert modern.one(NAME, fits_url=archive.url)["verdict"] == "website_differs"
    archive.has(NAME)
    assert modern.one(NAME, fits_url=archive.url)["verdict"] == "available"


def test_at_the_archive(modern: Host, archive: Archive) -> None:
    """Which leg is broken: the FITS server has it, has it not, or does not say."""
    there = {"site": "archive", "storage_root": str(modern.top / "none"), "dhs_dir": ""}
    assert modern.one(NAME, **there)["verdict"] == "archive_missing"
    assert modern.one(NAME, **there, fits_url=archive.url)["verdict"] == "not_found"
    archive.has(NAME)
    found = modern.one(NAME, **there, fits_url=archive.url)
    assert (found["verdict"], found["next_step"]["playbook"]) == ("archive_missing", "fieldops.runbooks.fits_export")
    archive.mode = "500"
    assert modern.one(NAME, **there, fits_url=archive.url)["verdict"] == "unknown"
    modern.make.diskfile(NAME)
    assert modern.one(NAME, **there, fits_url=archive.url)["verdict"] == "available"


# -- the search -------------------------------------------------------------------------------------------------------


def test_the_tree_is_searched_only_when_asked(modern: Host) -> None:
    modern.write(NAME, path="odd/place")
    found = modern.one(NAME)
    assert (found["verdict"], found["next_step"]["vars"]["fits_search"]) == ("not_found", True)
    assert f"the tree below {modern.storage} was not searched" in found["unknown"]
    progress = modern.top / "progress.json"
    result = modern.follow(NAME, name_of(2), search=True, progress_file=str(progress))
    first, second = result["files"]
    assert (first["verdict"], first["where"][0]["path"]) == ("not_queued", "odd/place")
    assert (second["verdict"], second["next_step"]["playbook"]) == ("not_found", None)
    search = result["search"]
    assert (search["wanted"], search["found"], search["complete"], search["stopped"]) == (2, 1, True, "")
    written = json.loads(progress.read_text(encoding="utf-8"))
    assert {name: written[name] for name in search} == search
    assert written["finished"] is True
    assert not [name for name in os.listdir(modern.top) if name.endswith(".new")]


def test_a_hint_saves_the_search(modern: Host) -> None:
    modern.write(NAME, path="odd/place")
    result = modern.follow(NAME, path=["odd/place"], search=True)
    assert (result["files"][0]["verdict"], result["search"]) == ("not_queued", None)


def test_a_search_that_did_not_get_to_the_end_proves_nothing(modern: Host) -> None:
    for number in range(50):
        modern.write(name_of(number), path=f"many/{number}")
    found = modern.one(name_of(99), search=True, search_max_entries=10)
    assert found["verdict"] == "unknown"
    assert "search_max_entries" in found["summary"]


def test_a_storage_root_that_is_not_there_proves_nothing(modern: Host) -> None:
    found = modern.one(NAME, storage_root=str(modern.top / "not mounted"), search=True)
    assert found["verdict"] == "unknown"
    assert "No such file or directory" in found["summary"]


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["*", "N2020*S0091.fits", "?.fits", "[NS]*.fits", "%", "_", "'; DROP TABLE diskfile; --", "new\nline.fits", "é☃.fits", "--x"])
def test_names_are_literal(modern: Host, name: str) -> None:
    modern.ingested(NAME)
    modern.make.failed("ingest", NAME)
    assert modern.one(name, search=True)["verdict"] == "not_found"
    modern.write(name)
    assert modern.one(name)["verdict"] in ("not_queued", "outside_window")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filename": []}, "filename is empty"),
        ({"filename": [""]}, "is not the name of a file"),
        ({"filename": ["graces/x.fits"]}, "pass the name alone, and its directory as path"),
        ({"filename": [".."]}, "is not the name of a file"),
        ({"filename": ["a\0b.fits"]}, "names hold no NUL"),
        ({"filename": ["x" * 252 + ".fits"]}, "255 bytes at most"),
        ({"filename": [NAME], "path": ["/etc"]}, "must be relative to the storage root"),
        ({"filename": [NAME], "path": ["a/../../b"]}, "must be relative to the storage root"),
        ({"filename": [NAME], "run_as": "nobody-of-that-name"}, "there is no user nobody-of-that-name"),
        ({"filename": [NAME], "window_days": 0}, "window_days must be 1 to 36500"),
        ({"filename": [NAME], "search_workers": 0}, "search_workers must be 1 to 64"),
        ({"filename": [NAME], "search_timeout": 0}, "search_timeout must be more than 0"),
        ({"filename": [NAME], "since": "yesterday"}, "since must be written as 2026-01-30"),
        ({"filename": [NAME], "max_log_lines": -1}, "max_log_lines must be 0 or more"),
        ({"filename": [NAME], "http_timeout": -1}, "http_timeout must be 0 to 86400"),
        ({"filename": [NAME], "search": True, "progress_file": "/nowhere/at/all.json"}, "the progress file /nowhere/at/all.json cannot be written"),
        ({"filename": [NAME], "login_db": "postgres"}, "is not a FITS Storage database"),
    ],
)
def test_bad_options(modern: Host, options: dict[str, Any], message: str) -> None:
    assert message in modern.refused(**options)


@pytest.mark.parametrize("url", ["ftp://archive.example.org", "archive.example.org", "", "http://user:hidden-word@127.0.0.1:1"])
def test_a_url_that_is_none(modern: Host, url: str) -> None:
    modern.ingested(NAME)
    result = modern.follow(NAME, archive_url=url)
    assert result["files"][0]["verdict"] == ("archive_unreachable" if url else "available")
    assert "hidden-word" not in json.dumps(result)


# -- how much it costs ------------------------------------------------------------------------------------------------


def test_the_number_of_statements_does_not_depend_on_the_number_of_files(host: Host, server: Any) -> None:
    names = [name_of(number) for number in range(200)]
    for number, name in enumerate(names):
        (host.ingested, host.write, lambda name: host.make.failed("ingest", name), lambda name: None)[number % 4](name)
    log = StatementLog(server, host.options["login_db"], "fitsdata")
    counts = []
    for asked in (names[:1], names):
        log.taken()
        result = host.follow(*asked)
        assert len(result["files"]) == len(asked)
        statements = log.taken()
        counts.append(len(statements))
        begun = [text for text in statements if "BEGIN" in text]
        assert len(begun) == 1
        assert "REPEATABLE READ READ ONLY" in begun[0]
    assert counts[0] == counts[1]
    assert counts[0] < 15


# -- beside live workers, and for users who are not root --------------------------------------------------------------


def test_a_file_that_a_worker_is_on(tmp_path: Path, server: Any, database: Callable[..., str], connection: dict[str, Any], places: dict[str, Any]) -> None:
    """A real worker in the middle of the file; killed, it leaves an orphan."""
    name = database("C")
    root = lab_root.install(tmp_path / "host", "C", server.dsn(name, user="fitsdata"), work=60)
    here = {"scripts_dir": str(root.scripts), "log_dir": [str(root.log_dir)], "lockfile_dir": [str(root.lock_dir)]}
    with following(server, name, "C", connection, here) as host, Workers(root) as workers:
        root.write_file(NAME)
        host.write(NAME)
        host.make.pending("ingest", NAME)
        workers.define("ingest", 1)
        workers.start("ingest")
        found = wait_for(lambda: host.one(NAME), "in_progress")
        assert "the last log line of a live worker names it" in found["summary"]
        assert any("Ingesting " + NAME in hit["line"] for hit in found["log"])
        workers.kill()
        assert wait_for(lambda: host.one(NAME), "orphaned")["next_step"]["playbook"] == "fieldops.runbooks.fits_ingest_queue"


def wait_for(look: Callable[[], dict[str, Any]], code: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        found = look()
        if found["verdict"] == code:
            return found
        assert time.monotonic() < deadline, found["summary"]
        time.sleep(0.2)


def test_a_user_who_cannot_be_another_does_not_guess(modern: Host) -> None:
    """As nobody, who cannot find out what the user of FITS Storage can read; in a process of its own."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    modern.write(NAME, mode=0o600)
    (modern.storage / "graces").mkdir(mode=0o700)
    program = (
        "import json, os\n"
        "from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.command import account\n"
        "from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.filestate import FileState\n"
        "from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.looking import Look\n"
        "from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.verdict import verdict\n"
        f"os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        f"params = dict(storage_root={str(modern.storage)!r}, dhs_dir='', visitor_dirs=[], site='fits')\n"
        f"look = Look(params, account('root'), [])\n"
        f"for name in ({NAME!r}, {name_of(2)!r}):\n"
        "    (state,) = look.readability(look.at_likely_places([FileState(name)]))\n"
        "    print(json.dumps([verdict(state).code, [place.readable for place in state.places], list(state.unknown)]))\n"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first[0], first[1]) == ("not_queued", [None])
    assert "whether root can read it was not tried: only root and that user can" in first[2]
    assert (second[0], second[1]) == ("unknown", [])
    assert f"{modern.storage}/graces cannot be looked into" in second[2]
