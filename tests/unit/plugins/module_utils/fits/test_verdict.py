# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every verdict by a table, what comes before what, and that whatever is known of a file gives one verdict and one next step."""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.copyjob import passes_over
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.errors import FitsError
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.filelogs import names_it, parse_since
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.filestate import (
    DHS,
    STORAGE,
    VISITOR,
    DiskFile,
    FileState,
    Header,
    LogHit,
    Place,
    Reply,
    facts,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.fitsfile import Validity
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.follow import window
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.queue import CONDITIONS, Judged, Row
from ansible_collections.fieldops.runbooks.plugins.module_utils.fits.verdict import RULES, diagnose_file, needs_archive, needs_website, verdict
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import SEVERITIES
from ansible_collections.fieldops.runbooks.plugins.modules import fits_file_info
from hypothesis import given, settings
from hypothesis import strategies as st

NAME = "N20200804S0091.fits"
HERE = Place(STORAGE, "", NAME, "/sci/dataflow/" + NAME, age=7200.0)
IN_DHS = Place(DHS, "", NAME, "/sci/dhs/" + NAME, age=7200.0)
AT_VISITOR = Place(VISITOR, "20200804", NAME, "/net/alopeke/20200804/" + NAME, age=3.0)
SHUT = replace(HERE, readable=False, blocked_at="/sci/dataflow/graces")
LINK = replace(HERE, problem="it is a link out of the storage root")
GOOD = DiskFile(7, NAME, data_md5="abc", header=Header(5, "GN-2020B-Q-1", "Pass", False))
BARE = replace(GOOD, header=None)
CLEARED = replace(GOOD, present=False)
NEVER_CANONICAL = replace(GOOD, canonical=False)
BROKEN = Validity(False, "it is empty", cut_off=True)
YES = Reply("https://archive.example.org/x", True, "", True, False, ("abc",))
NO = Reply("https://archive.example.org/x", True, "", False, False)
SILENT = Reply("https://archive.example.org/x", False, "connection refused")


def rows(*conditions: str, destination: str | None = None, error: str = "") -> tuple[Judged, ...]:
    return tuple(
        Judged(Row(number, "v", NAME, NAME, "", destination, error=error or None), condition, note="it is tried again")
        for number, condition in enumerate(conditions, 1)
    )


def there(**known: Any) -> FileState:
    """On the storage root and as it should be, but for what is given."""
    return FileState(NAME, **dict({"places": (HERE,), "diskfiles": (GOOD,)}, **known))


def not_yet(**known: Any) -> FileState:
    """On the storage root, and nothing is known of it, but for what is given."""
    return there(**dict({"diskfiles": ()}, **known))


def nowhere(**known: Any) -> FileState:
    return FileState(NAME, **known)


def logged(*lines: str) -> tuple[LogHit, ...]:
    return tuple(LogHit("copy_from_dhs", "copy_from_dhs.py.log", "2026-01-30 08:00:00,123 47:copy_from_dhs:79 WARNING: " + line) for line in lines)


TABLE: dict[str, list[FileState]] = {
    "duplicate_canonical": [there(diskfiles=(GOOD, replace(GOOD, id=8))), there(diskfiles=(GOOD, replace(GOOD, id=8)), ingest=rows("orphaned"))],
    "unreadable": [
        not_yet(places=(SHUT,)),
        not_yet(places=(SHUT,), ingest=rows("failed")),
        there(places=(SHUT,)),
        there(places=(replace(HERE, path="old"), SHUT)),
    ],
    "invalid": [
        not_yet(validity=BROKEN, checked=HERE),
        not_yet(places=(LINK,)),
        there(diskfiles=(BARE,), validity=BROKEN, checked=HERE),
        not_yet(validity=BROKEN, checked=HERE, ingest=rows("failed")),
    ],
    "starved": [not_yet(ingest=rows("orphaned", "starved"))],
    "orphaned": [not_yet(ingest=rows("orphaned")), there(ingest=rows("failed", "orphaned"))],
    "in_progress": [not_yet(ingest=rows("in_progress")), not_yet(ingest=rows("failed", "in_progress"))],
    "queued": [not_yet(ingest=rows("pending")), not_yet(ingest=rows("failed", "unpoppable", "pending")), nowhere(ingest=rows("pending"))],
    "deferred": [not_yet(ingest=rows("deferred"))],
    "unpoppable": [not_yet(ingest=rows("failed", "unpoppable"))],
    "failed_ingest": [not_yet(ingest=rows("failed")), there(ingest=rows("failed", "stale")), nowhere(ingest=rows("failed"), blind="it is dark")],
    "gone_from_disk": [there(places=()), there(places=(replace(HERE, path="graces"),)), there(places=(), export=rows("failed"))],
    "not_canonical": [there(diskfiles=(NEVER_CANONICAL,)), there(diskfiles=(NEVER_CANONICAL, replace(CLEARED, id=3)))],
    "no_header": [there(diskfiles=(BARE,)), there(diskfiles=(BARE,), validity=Validity(True, telescop="Gemini-North"), checked=HERE)],
    "unknown": [
        nowhere(blind="the tree was not seen"),
        nowhere(blind="the tree was not seen", site="archive"),
        nowhere(site="archive", website=SILENT),
    ],
    "not_queued": [not_yet(), not_yet(diskfiles=(CLEARED,)), not_yet(ingest=rows("stale")), not_yet(in_window=False, passed_over="its name holds tmp")],
    "outside_window": [not_yet(in_window=False), not_yet(in_window=False, diskfiles=(replace(CLEARED, canonical=False),))],
    "refused_by_copy": [
        nowhere(places=(IN_DHS,), validity=BROKEN, checked=IN_DHS),
        nowhere(places=(IN_DHS,), validity=Validity(True), checked=IN_DHS),
        nowhere(places=(IN_DHS,), validity=Validity(True, telescop="0"), checked=IN_DHS),
        nowhere(places=(replace(IN_DHS, age=3.0),)),
        nowhere(places=(replace(IN_DHS, readable=False, blocked_at="/sci/dhs"),)),
        nowhere(places=(IN_DHS,), not_copied_for="its name holds tmp"),
        nowhere(places=(IN_DHS,), log=logged("%s validation failed, not copying now" % NAME, "Bad value 0 for TELESCOP in file /sci/dhs/" + NAME)),
        nowhere(places=(AT_VISITOR,), log=logged("Problem copying a to b")),
    ],
    "not_copied": [
        nowhere(places=(IN_DHS,)),
        nowhere(places=(IN_DHS,), validity=Validity(True, telescop="Gemini-North"), checked=IN_DHS),
        nowhere(places=(IN_DHS,), log=logged("Copying it", "TELESCOP keyword missing in file")),
        nowhere(places=(AT_VISITOR,)),
    ],
    "archive_missing": [
        there(archive=NO),
        there(archive=NO, export=rows("stale")),
        nowhere(diskfiles=(CLEARED,), archive=NO),
        nowhere(site="archive"),
        nowhere(site="archive", website=YES),
        nowhere(site="archive", diskfiles=(CLEARED,)),
    ],
    "not_present": [nowhere(diskfiles=(CLEARED,)), nowhere(diskfiles=(CLEARED,), archive=YES), nowhere(diskfiles=(CLEARED,), places=(IN_DHS,))],
    "not_found": [nowhere(), nowhere(searched=True), nowhere(site="archive", website=NO)],
    "export_orphaned": [there(export=rows("orphaned")), there(export=rows("failed", "orphaned", "starved"), archive=SILENT)],
    "archive_unreachable": [there(archive=SILENT), there(archive=SILENT, export=rows("failed")), there(archive=SILENT, export=rows("deferred"))],
    "export_failed": [there(export=rows("failed")), there(export=rows("unpoppable")), there(export=rows("failed"), archive=NO)],
    "archive_pending": [
        there(archive=replace(YES, pending_ingest=True, data_md5=("other",))),
        there(archive=replace(NO, pending_ingest=True), export=rows("deferred")),
    ],
    "export_backoff": [there(export=rows("deferred")), there(export=rows("failed", "deferred"), archive=NO)],
    "export_waiting": [there(export=rows("pending"), archive=NO), there(export=rows("in_progress")), there(export=rows("failed", "pending"))],
    "archive_differs": [there(archive=replace(YES, data_md5=("other",)))],
    "website_differs": [there(website=NO), there(website=SILENT)],
    "failed_stale": [there(ingest=rows("stale"))],
    "engineering": [there(diskfiles=(replace(GOOD, header=Header(5, "GN-ENG", None, True)),))],
    "available": [
        there(),
        there(archive=YES, website=YES),
        there(archive=replace(YES, pending_ingest=True)),
        there(archive=replace(YES, data_md5=("other", "abc"))),
        there(places=(), disk_seen=False),
        there(places=(), blind="the search did not get there"),
        replace(there(diskfiles=(BARE,)), name="20200804_obslog.txt"),
        replace(there(diskfiles=(BARE,)), name="miscfile_x.fits"),
    ],
}


@pytest.mark.parametrize(
    ("code", "state"), [pytest.param(code, state, id="%s-%d" % (code, n)) for code, states in TABLE.items() for n, state in enumerate(states)]
)
def test_the_table(code: str, state: FileState) -> None:
    found = verdict(state)
    assert found.code == code, found.summary


def test_the_table_is_complete_and_in_the_order_of_the_rules() -> None:
    assert list(TABLE) == [rule.code for rule in RULES]


def test_the_documentation_has_every_verdict_in_that_order_with_its_severity() -> None:
    documented = re.findall(r"^ +- V\((\w+)\) \((\w+)\) - ", fits_file_info.RETURN, re.MULTILINE)
    assert documented == [(rule.code, rule.severity) for rule in RULES]


def test_others_that_hold_are_told_in_order() -> None:
    state = there(diskfiles=(BARE,), ingest=rows("failed", "stale"), export=rows("failed"), archive=SILENT, website=SILENT)
    assert verdict(state).also == ("no_header", "archive_unreachable", "export_failed", "website_differs", "failed_stale")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (not_yet(places=(SHUT,), user="sorter"), "but sorter cannot read it: /sci/dataflow/graces is in the way"),
        (not_yet(ingest=rows("failed", error="Traceback\n  File x\nOSError: no end card found\n")), "(row 1): OSError: no end card found."),
        (not_yet(ingest=rows("failed"), errors={"ingest": (("2026-01-30", "KeyError: 'OBSID'"),)}), "KeyError: 'OBSID'"),
        (not_yet(ingest=rows("failed")), "no error is stored"),
        (not_yet(places=(replace(HERE, path="graces"),)), "cron's line without a path looks into the storage root alone, and this is in graces"),
        (not_yet(in_window=False, window="20261103 to 20261122"), "is not one of 20261103 to 20261122"),
        (nowhere(places=(replace(IN_DHS, age=3.0),)), "it was written 3 seconds ago, and 15 are waited for"),
        (nowhere(places=(IN_DHS,), validity=Validity(True), checked=IN_DHS), "TELESCOP keyword missing in file"),
        (nowhere(places=(IN_DHS,), log=logged("TELESCOP keyword missing in file /sci/dhs/x")), "its log says: TELESCOP keyword missing in file /sci/dhs/x"),
        (nowhere(log=logged("Copying x to /sci/dataflow")), "the copy job last said of it: Copying x to /sci/dataflow"),
        (
            there(export=rows("failed", destination="https://archive.example.org", error="Bad HTTP status: 500")),
            "to https://archive.example.org (row 1): Bad HTTP status: 500",
        ),
        (there(export=rows("failed"), generation="C"), "generation C's service tries it again by itself"),
        (there(archive=SILENT), "connection refused"),
        (there(places=(replace(HERE, full="/sci/dataflow/graces/x", path="graces"),)), "it is there as /sci/dataflow/graces/x"),
    ],
)
def test_words_for_a_person(state: FileState, words: str) -> None:
    assert words in verdict(state).summary


@pytest.mark.parametrize(
    ("state", "playbook", "variables"),
    [
        (not_yet(places=(replace(SHUT, path="graces"),)), "fits_ingest", {"fits_permissions": True, "fits_filename": [NAME], "fits_path": "graces"}),
        (not_yet(ingest=rows("orphaned")), "fits_ingest_queue", {"fits_repair": True, "fits_filename": [NAME]}),
        (not_yet(in_window=False), "fits_ingest", {"fits_enqueue": True, "fits_filename": [NAME], "fits_path": ""}),
        (there(places=(replace(SHUT, path="old"), SHUT)), "fits_ingest", {"fits_permissions": True, "fits_filename": [NAME], "fits_path": ""}),
        (there(diskfiles=(NEVER_CANONICAL,), places=()), None, {}),
        (
            there(diskfiles=(replace(NEVER_CANONICAL, path="new"),), places=(HERE, replace(HERE, path="new"))),
            "fits_ingest",
            {"fits_enqueue": True, "fits_force": True, "fits_filename": [NAME], "fits_path": "new"},
        ),
        (there(diskfiles=(BARE,)), "fits_ingest", {"fits_enqueue": True, "fits_force": True, "fits_filename": [NAME], "fits_path": ""}),
        (there(export=rows("failed")), "fits_export_queue", {"fits_repair": True, "fits_filename": [NAME]}),
        (there(export=rows("deferred")), "fits_export_queue", {"fits_filename": [NAME]}),
        (there(ingest=rows("stale")), "fits_ingest_queue", {"fits_repair": True, "fits_conditions": ["stale"], "fits_filename": [NAME]}),
        (nowhere(), "fits_ingest", {"fits_search": True, "fits_filename": [NAME]}),
        (nowhere(searched=True), None, {}),
        (nowhere(site="archive", website=YES), "fits_export", {"fits_filename": [NAME]}),
        (there(archive=NO), "fits_export", {"fits_enqueue": True, "fits_filename": [NAME]}),
        (nowhere(diskfiles=(CLEARED,), archive=NO), None, {}),
        (there(archive=SILENT), "fits_website", {}),
        (not_yet(in_window=False, passed_over="its name holds tmp"), None, {}),
    ],
)
def test_next_steps(state: FileState, playbook: str | None, variables: dict[str, Any]) -> None:
    step = verdict(state).next_step
    assert (step.playbook, dict(step.vars)) == ("fieldops.runbooks.%s" % playbook if playbook else None, variables)


@pytest.mark.parametrize(
    ("state", "hosts"),
    [
        (there(archive=SILENT), "archive_servers"),
        (there(archive=replace(NO, pending_ingest=True)), "archive_servers"),
        (nowhere(site="archive", website=YES), "fits_servers"),
        (nowhere(site="archive", website=NO), "fits_servers"),
        (there(export=rows("failed")), ""),
    ],
)
def test_next_steps_elsewhere(state: FileState, hosts: str) -> None:
    assert verdict(state).next_step.to_dict().get("hosts", "") == hosts


def test_where_the_runbook_speaks_of_it() -> None:
    headings = [diagnose_file(state).runbook for state in (
        not_yet(places=(replace(SHUT, path="graces"),)), nowhere(places=(IN_DHS,)), nowhere(places=(AT_VISITOR,)), not_yet(ingest=rows("failed")),
        there(export=rows("failed")), there(archive=SILENT), there(website=SILENT),
    )]  # fmt: skip
    assert [heading for _file, heading in filter(None, headings)] == [
        "GRACES", "DHS (Regular) Data", "Visiting Instruments ('Alopeke, Zorro, IGRINS)", "General Considerations",
        "Export Service", "Archive Ingest", "Website Not Responding",
    ]  # fmt: skip


# -- whatever is known ------------------------------------------------------------------------------------------------

texts = st.sampled_from(["", "graces", "x"])
booleans = st.booleans()
maybe = st.none() | booleans
places = st.builds(
    Place, st.sampled_from([STORAGE, DHS, VISITOR]), texts, st.sampled_from([NAME, NAME + ".bz2"]), st.just("/x/" + NAME), age=st.sampled_from([0.0, 7200.0]),
    readable=maybe, blocked_at=st.none() | st.just("/x"), problem=texts,
)  # fmt: skip
headers = st.none() | st.builds(Header, st.integers(1, 9), st.none(), st.none(), maybe)
diskfiles = st.builds(
    DiskFile,
    st.integers(1, 99),
    st.sampled_from([NAME, NAME + ".bz2"]),
    texts,
    booleans,
    booleans,
    data_md5=st.sampled_from([None, "abc", "def"]),
    header=headers,
)
judged = st.builds(
    Judged,
    st.builds(
        lambda number, path, destination, error: Row(number, "v", NAME, NAME, path, destination, error=error),
        st.integers(1, 99),
        texts,
        st.sampled_from([None, "https://a"]),
        st.none() | texts,
    ),
    st.sampled_from(CONDITIONS),
)
replies = st.none() | st.builds(Reply, st.just("https://a/x"), booleans, texts, maybe, maybe, st.sampled_from([(), ("abc",), ("def",)]))
hits = st.builds(
    LogHit, st.sampled_from(["copy_from_dhs", "service_ingest_queue"]), st.just("x.log"), st.sampled_from(["Copying x", "TELESCOP keyword missing in file x"])
)


@st.composite
def states(draw: Any) -> FileState:
    found = draw(
        st.builds(
            FileState, st.sampled_from([NAME, "20200804_obslog.txt", "%s{}%d"]), st.sampled_from(["fits", "archive"]), st.just("fitsdata"),
            st.sampled_from(["A", "C"]),
            st.lists(places, max_size=3).map(tuple), st.lists(diskfiles, max_size=3).map(tuple), st.lists(judged, max_size=3).map(tuple),
            st.lists(judged, max_size=3).map(tuple), archive=replies, website=replies, log=st.lists(hits, max_size=2).map(tuple), passed_over=texts,
            not_copied_for=texts, in_window=booleans, searched=booleans, disk_seen=booleans, blind=texts,
        )
    )  # fmt: skip
    checked = draw(st.none() | st.sampled_from(found.places)) if found.places else None
    validity = draw(st.builds(Validity, maybe, texts, st.none() | texts)) if checked else None
    return replace(found, checked=checked, validity=validity)


@settings(max_examples=400, deadline=None)
@given(states())
def test_whatever_is_known_there_is_one_verdict_and_one_next_step(state: FileState) -> None:
    found, finding = verdict(state), diagnose_file(state)
    rule = next(rule for rule in RULES if rule.code == found.code)
    assert (found.severity, found.stopped_at) == (rule.severity, rule.stopped_at)
    assert found.severity in SEVERITIES
    assert found.code not in found.also
    assert found.summary.startswith(state.name)
    assert found.next_step.text
    assert bool(found.next_step.playbook) or not found.next_step.vars
    assert finding.remedy == found.next_step
    assert finding.runbook
    json.dumps([finding.to_dict(), facts(state)])


@settings(max_examples=100, deadline=None)
@given(states(), st.sampled_from(["S20260101S0001.fits", "%s%(x)d.fits", "{name}.fits", "a b\n.fits"]))
def test_the_name_does_not_matter(state: FileState, other: str) -> None:
    """But for what needs no header by its name."""
    known = replace(state, name=NAME)
    first, second = verdict(known), verdict(replace(known, name=other))
    assert (first.code, first.also) == (second.code, second.also)


@settings(max_examples=100, deadline=None)
@given(states(), replies.filter(bool))
def test_who_is_not_asked_could_not_have_changed_the_verdict(state: FileState, reply: Reply) -> None:
    alone = replace(state, archive=None, website=None)
    if not needs_archive(alone):
        told = verdict(replace(alone, archive=reply)) if alone.site == "fits" else verdict(alone)
        assert told.code == verdict(alone).code
    if not needs_website(alone):
        assert verdict(replace(alone, website=reply)).code == verdict(alone).code


# -- names, dates, lines ----------------------------------------------------------------------------------------------


def test_the_window_counts_dates_as_upstreams_keyword_does() -> None:
    days = window(20, datetime.date(2026, 1, 5))
    assert (len(days), days[0], days[-1]) == (20, "20260105", "20251217")
    assert window(1, datetime.date(2026, 3, 1)) == ["20260301"]


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("Copying N20200804S0091.fits to /sci/dataflow", True),
        ("TELESCOP keyword missing in file /sci/dhs/N20200804S0091.fits", True),
        ("Exporting N20200804S0091.fits.bz2 - 12 (0 on queue)", True),
        ("Ingesting N20200804S0091.fits, (3 in queue)", True),
        ("'N20200804S0091.fits': failed.", True),
        ("Copying N20200804S0091.fits.", True),
        ("Copying gN20200804S0091.fits", False),
        ("Copying N20200804S0091.fits_preview.jpg", False),
        ("Copying N20200804S0091.fits.md5", False),
        ("Copying tmp-N20200804S0091.fits", False),
    ],
)
def test_which_lines_are_about_a_file(line: str, about: bool) -> None:
    assert names_it(line, NAME) is about


@pytest.mark.parametrize(
    ("name", "generation", "area", "passed"),
    [
        (NAME, "C", DHS, False),
        ("tmp" + NAME, "A", DHS, True),
        (NAME + ".bz2", "C", DHS, True),
        (NAME + ".bz2", "A", DHS, False),
        (NAME + ".bz2", "C", VISITOR, False),
    ],
)
def test_names_that_copy_jobs_pass_over(name: str, generation: str, area: str, passed: bool) -> None:
    assert bool(passes_over(name, generation, area)) is passed


def test_since_is_local_time() -> None:
    moment = datetime.datetime(2026, 1, 30, 8, 0, 0).timestamp()
    assert [parse_since(text) for text in ("2026-01-30 08:00:00", "2026-01-30T08:00:00", None)] == [moment, moment, None]
    with pytest.raises(FitsError, match="since must be written as"):
        parse_since("30 January")
