# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles by tables: which calls are made, what an answer is, whose a file is, and when the pump of a pipe is started."""

from __future__ import annotations

import marshal
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profile_call import checked_path
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profile_files import (
    Profile,
    chosen,
    complete,
    content_kind,
    disposition_name,
    is_of,
    listing,
    new_ones,
    safe_name,
    write,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profile_state import (
    ProfileState,
    PumpRun,
    diagnose,
    failure_of,
    guards,
    newest_mark,
    plan,
    pump_of,
)

STATS = {("a.py", 1, "f"): (1, 1, 0.1, 0.2, {})}
TREE = b"version: 1\ncreator: x\nevents: Nanoseconds\n\nfl=a.py\nfn=f\n1 100\n"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("pipes", "/pipes"),
        ("/api/pipes/", "/pipes"),
        (" GET /pipes?fields=config ", "/pipes?fields=config"),
        ("/pipes/proxy/config", "/pipes/proxy/config"),
        ("/datasets/admin/entities?limit=5", "/datasets/admin/entities?limit=5"),
        ("/pipes/a%3Ab", "/pipes/a%3Ab"),
    ],
)
def test_what_is_asked(given: str, wanted: str) -> None:
    assert checked_path(given) == wanted


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("PUT /config", "PUT is not profiled"),
        ("post /pipes/x/pump", "POST is not profiled"),
        ("/admin", "does something"),
        ("/ADMIN?operation=reset", "does something"),
        ("/%61dmin", "does something"),
        ("/pipes/run-all-pipes", "does something"),
        ("/systems/x/proxy/orders", "does something"),
        ("/pipes/x/pump?operation=start", "the parameter operation"),
        ("/config?force=true", "the parameter force"),
        ("/pipes/../admin", "upwards"),
        ("/pipes/%2e%2e/config", "upwards"),
        ("http://other/api/pipes", "what comes after /api"),
        ("//other/pipes", "what comes after /api"),
        ("", "is empty"),
        ("/api/", "is empty"),
        ("/pipes/a b", "percent-encoded"),
        ("/pipes#x", "percent-encoded"),
    ],
)
def test_what_is_not_asked(given: str, words: str) -> None:
    with pytest.raises(SesamError, match=words):
        checked_path(given)


def test_another_method_is_told_why_not() -> None:
    with pytest.raises(SesamError, match="the call is made, only its answer is discarded"):
        checked_path("/config", "put")
    assert checked_path("/config", "get") == "/config"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (marshal.dumps(STATS), "pstats"),
        (marshal.dumps(STATS, 2), "pstats"),
        (marshal.dumps({}), "pstats"),
        (TREE, "calltree"),
        (b'{"status": "running"}', "json"),
        (b'{\n "a": 1}', "json"),
        (b"{}", "json"),
        (b"[]", "json"),
        (b"12", "json"),
        (b"<!DOCTYPE html><title>no</title>", "html"),
        (b" \n", "empty"),
        (b"\x80\x04pickled", "unknown"),
        (b"plain words", "unknown"),
    ],
)
def test_what_an_answer_is(data: bytes, kind: str) -> None:
    assert content_kind(data) == kind


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="pipes.pstat"', "pipes.pstat"),
        ("attachment; filename=pipes.pstat; size=3", "pipes.pstat"),
        ("attachment; filename*=UTF-8''a%2Fb%20c.calltree", "b_c.calltree"),
        ('attachment; filename="../../etc/cron.d/x"', "x"),
        (r'attachment; filename="..\\..\\boot.ini"', "boot.ini"),
        ('attachment; filename=".bashrc"', "bashrc"),
        ('attachment; filename="a;b\n$(x).pstat"', "a_b_x_.pstat"),
        ("attachment", "profile.pstat"),
        ('attachment; filename="/"', "profile.pstat"),
        ("attachment; filename*=no-such-code''x%20y.pstat", "profile.pstat"),
    ],
)
def test_what_a_file_is_called(header: str, name: str) -> None:
    assert safe_name(disposition_name(header), "pstats") == name


def test_written_whole_private_and_beside_what_is_there(tmp_path: Path) -> None:
    first, second = (write(str(tmp_path), "x.pstat", marshal.dumps(STATS)) for _n in range(2))
    assert first.path != second.path
    assert first.path.endswith("-x.pstat")
    assert {path.name for path in tmp_path.iterdir()} == {os.path.basename(first.path), os.path.basename(second.path)}
    assert os.stat(first.path).st_mode & 0o777 == 0o600
    assert (first.kind, first.size) == ("pstats", len(marshal.dumps(STATS)))


@pytest.mark.parametrize(
    ("name", "pipe", "others", "mine"),
    [
        ("foo-2026-11-22T23-05-00.123456.pstat", "foo", (), True),
        ("pump-foo-20261122T230500.calltree", "foo", (), True),
        ("foo_1700000000.pstat", "foo", (), True),
        ("20261122230500.foo.pstat", "foo", (), True),
        ("foo-bar-2026-11-22T23-05-00.pstat", "foo", (), False),
        ("my-foo-2026-11-22T23-05-00.pstat", "foo", (), False),
        ("foobar-2026-11-22T23-05-00.pstat", "foo", (), False),
        ("foo-2024-2026-11-22T23-05-00.pstat", "foo", (), True),
        ("foo-2024-2026-11-22T23-05-00.pstat", "foo", ("foo-2024",), False),
        ("foo-2024-2026-11-22T23-05-00.pstat", "foo-2024", ("foo-2024-x",), True),
        ("foo.pstat", "foo", (), False),
        ("foo-12.pstat", "foo", (), False),
        ("a%3Ab%2Fc-2026-11-22T23-05-00.pstat", "a:b/c", (), True),
        ("a%3ab%2fc-2026-11-22T23-05-00.pstat", "a:b/c", (), True),
        ("a_b_c-2026-11-22T23-05-00.pstat", "a:b/c", (), True),
        ("run-2026-11-22T23-05-00.pstat", "run", (), True),
        ("pump-2026-11-22T23-05-00.pstat", "foo", (), False),
    ],
)
def test_whose_a_file_is(name: str, pipe: str, others: Any, mine: bool) -> None:
    assert is_of(name, pipe, others) is mine


def file(name: str, mtime: float = 1.0, size: int = 10) -> Profile:
    return Profile("/logs/" + name, "pstats" if name.endswith("pstat") else "calltree", size, mtime)


def files(*names: str, **values: Any) -> dict[str, Profile]:
    return {name: file(name, **values) for name in names}


def test_new_files_whole_pairs_and_those_of_others() -> None:
    before = files("old.pstat", "again.pstat")
    now = {**before, **files("again.pstat", "b.calltree", "b.pstat", mtime=5.0), **files("c.pstat", "c.calltree", mtime=9.0)}
    names = new_ones(before, now)
    assert names == ["again.pstat", "b.calltree", "b.pstat", "c.calltree", "c.pstat"]
    assert chosen(names, now) == (["b.calltree", "b.pstat"], ["again.pstat", "c.calltree", "c.pstat"])
    assert chosen([], now) == ([], [])
    mine = ["b.calltree", "b.pstat"]
    assert complete(now, now, mine)
    assert not complete({}, now, mine)
    assert not complete(now, now, mine[:1])
    assert not complete(now, now, [])
    assert not complete({**now, "b.pstat": file("b.pstat", 5.0, 4)}, now, mine)
    empty = {**now, "b.pstat": file("b.pstat", 5.0, 0)}
    assert not complete(empty, empty, mine)


def test_the_folder_is_listed_without_links(tmp_path: Path) -> None:
    (tmp_path / "a-1.pstat").write_bytes(b"x")
    (tmp_path / "b.calltree").symlink_to(tmp_path / "a-1.pstat")
    (tmp_path / "c.pstat").mkdir()
    (tmp_path / "node.log").touch()
    assert list(listing(str(tmp_path))) == ["a-1.pstat"]
    with pytest.raises(SesamError, match="log_folder"):
        listing(str(tmp_path / "none"))


def seen(mode: str = "scheduled", cached: bool = False, **runtime: Any) -> dict[str, Any]:
    known = {"is-running": False, "is-valid-config": True, "supported-operations": ["start", "stop"], "state": "Deployed", **runtime}
    found: dict[str, Any] = {"_id": "foo", "runtime": known, "config": {"effective": {"pump": {"mode": mode}}}}
    return {**found, "cached_response_info": {"age": 5}} if cached else found


def state(**parts: Any) -> ProfileState:
    return ProfileState(pump_of("foo", seen(**parts)), "/logs")


@pytest.mark.parametrize(
    ("parts", "options", "refused"),
    [
        ({}, {}, []),
        ({"is-running": True, "supported-operations": ["stop"]}, {}, ["running"]),
        ({"is-running": True, "supported-operations": ["stop"]}, {"if_running": "wait"}, []),
        ({"mode": "off", "supported-operations": ["stop"]}, {}, ["mode"]),
        ({"supported-operations": ["stop"]}, {}, ["unsupported"]),
        ({"supported-operations": None}, {}, []),
        ({"is-disabled": True}, {}, ["disabled"]),
        ({"is-disabled": True}, {"run_disabled": True}, []),
        ({"is-valid-config": False}, {}, ["config"]),
        ({"state": "Deploying"}, {}, ["state"]),
        ({"cached": True}, {}, ["unknown"]),
    ],
)
def test_what_is_refused(parts: dict[str, Any], options: dict[str, Any], refused: list[str]) -> None:
    now = state(**parts)
    found = guards(now, plan(now), **{"if_running": "fail", "run_disabled": False, **options})
    assert [refusal.guard for refusal in found] == refused
    assert guards(replace(now, run=PumpRun(0, 0)), [], "fail", False) == []


def test_it_is_run_once() -> None:
    now = state()
    (change,) = plan(now)
    assert (change.subject, change.reversible, change.after) == ("pipe:foo", False, {"profiled": True})
    assert plan(replace(now, run=PumpRun(0, 0))) == plan(replace(now, found=[file("x.pstat")])) == []
    assert pump_of("foo", {}).operations is None


@pytest.mark.parametrize(
    ("run", "codes"),
    [
        (None, ["none"]),
        (PumpRun(1, 2, [file("a.pstat"), file("a.calltree")], True), ["written"]),
        (PumpRun(1, 2, [file("a.pstat")], False, "it broke"), ["run_failed", "missing", "written"]),
        (PumpRun(1, 2, [], True), ["missing"]),
    ],
)
def test_what_is_told(run: PumpRun | None, codes: list[str]) -> None:
    found = diagnose(replace(state(), run=run))
    assert [finding.code.removeprefix("sesam.profile.") for finding in found] == codes
    assert all("it broke" in finding.summary for finding in found if finding.code.endswith("run_failed"))


def test_the_reason_is_that_of_the_run() -> None:
    old = {"_id": "pump-failed", "_updated": 5, "original_error_message": "last year's"}
    entries = [
        old,
        {"_id": "read-error:1", "_updated": 7, "original_error_message": "a row"},
        {"_id": "pump-failed", "_updated": 6, "reason_why_stopped": "no\n disk"},
    ]
    assert newest_mark([old]) == 5
    assert failure_of(entries, 5) == "no disk"
    assert failure_of([old], 5) == ""
    assert failure_of(entries[:2], 5) == "a row"
