# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removal of level 4 files without any file: names, the plan, refusals, what a person is told."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.errors import JobRunnerError
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.manifest import Manifest
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.output import guards, plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.output_findings import diagnose, told
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.output_state import (
    MEDIUM,
    SOURCE,
    Copy,
    Found,
    Obstacle,
    Output,
    OutputState,
    Producer,
    Root,
    Spot,
    Wanted,
    checked_files,
    checked_quarantine,
    checked_roots,
    checked_workspace,
)
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import plan_sha256
from hypothesis import given
from hypothesis import strategies as st

ROOTS = (Root("/e/FILESFORL4/workspaces", SOURCE), Root("/srv/medium_privacy/workspaces", MEDIUM))
WANTED = Wanted("ws", ("t.csv",), ROOTS, "/srv/high_privacy/workspaces", "/srv/high_privacy/quarantine")
FOUND = Found(4, 0o640, 10000, 10010, 1_700_000_000_000_000_000, "ab" * 32, (1, 2, 3))
ENTRY = {"level": "moderately_sensitive", "job_id": "ab2cd3ef4gh5ij6k", "action": "make", "excluded": False}


def copy(number: int = 1, root: Root = ROOTS[1], **values: Any) -> Copy:
    name = f"removed.{number}"
    return Copy(**{"number": number, "name": name, "path": f"/srv/high_privacy/quarantine{root.path}/ws/t.csv/{name}", "size": 4, "at": 1.0e9, **values})


def output(source: dict[str, Any] | None = None, medium: dict[str, Any] | None = None, **values: Any) -> Output:
    spots = tuple(Spot(root, "ws/t.csv", **(given or {})) for root, given in zip(ROOTS, (source, medium)))
    return Output("t.csv", spots, **values)


def state(*outputs: Output, wanted: Wanted = WANTED, **values: Any) -> OutputState:
    known: dict[str, Any] = {"manifest": Manifest("/srv/medium_privacy/workspaces/ws/metadata/manifest.json"), **values}
    return OutputState(wanted, outputs, **known)


def codes(seen: OutputState) -> list[str]:
    return [finding.code.replace("jobrunner.output.", "") for finding in diagnose(seen)]


# -- names ---------------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.sampled_from(["a", "..", ".", "", "metadata", "METADATA", "manifest.json", "*", "-rf", "b c", "\0", "\udce9", "\u00e9", "a\nb"]), max_size=5)
)
def test_what_is_accepted_stays_in_the_workspace(parts: list[str]) -> None:
    name = "/".join(parts)
    try:
        (accepted,) = checked_files([name])
    except JobRunnerError as exc:
        assert repr(name) in str(exc)
        assert parts == [] or {"", ".", "..", "\0", "\udce9"} & set(parts) or parts[0].lower() == "metadata" or parts == ["manifest.json"]
        return
    assert accepted == name
    assert os.path.normpath(os.path.join("/srv/ws", name)) == os.path.join("/srv/ws", name)
    assert parts[0].lower() != "metadata"


def test_each_file_once_in_the_order_given() -> None:
    assert checked_files(["b", "a", "b"]) == ("b", "a")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a/", "\udce9"])
def test_workspace_names(name: str) -> None:
    with pytest.raises(JobRunnerError):
        checked_workspace(name)


def test_sources_come_before_what_they_are_copied_to() -> None:
    roots = checked_roots("/srv/medium_privacy/", ["/e/x/", "/e/y", "/e/x"])
    assert [(root.path, root.kind) for root in roots] == [("/e/x", SOURCE), ("/e/y", SOURCE), ("/srv/medium_privacy/workspaces", MEDIUM)]
    with pytest.raises(JobRunnerError, match="itself"):
        checked_roots("/srv/medium_privacy", ["/srv/medium_privacy/workspaces/"])
    with pytest.raises(JobRunnerError, match="absolute"):
        checked_roots("/srv/medium_privacy", ["e"])


@pytest.mark.parametrize(
    "path", ["/srv/medium_privacy", "/srv/medium_privacy/q", "/srv/medium_privacy/workspaces/q", "/e/FILESFORL4/workspaces/../workspaces/q"]
)
def test_quarantine_is_outside_of_what_others_read(path: str) -> None:
    with pytest.raises(JobRunnerError, match="choose a place outside"):
        checked_quarantine(path, ROOTS)


def test_quarantine_beside_it_will_do() -> None:
    assert checked_quarantine("/srv/medium_privacy_quarantine/", ROOTS) == "/srv/medium_privacy_quarantine"


# -- the plan ------------------------------------------------------------------------------------------------------------


def test_nothing_there_needs_nothing() -> None:
    assert plan(state(output(), output(medium={"copies": (copy(),)}))) == []


def test_what_would_bring_it_back_goes_first() -> None:
    changes = plan(state(output({"found": FOUND}, {"found": FOUND, "copies": (copy(1), copy(2)), "free": 3})))
    assert [change.subject for change in changes] == ["/e/FILESFORL4/workspaces/ws/t.csv", "/srv/medium_privacy/workspaces/ws/t.csv"]
    last = changes[1].to_dict()
    assert last["before"] == {
        "root": "/srv/medium_privacy/workspaces",
        "path": "ws/t.csv",
        "size": 4,
        "sha256": "ab" * 32,
        "mode": "0640",
        "uid": 10000,
        "gid": 10010,
        "mtime_ns": 1_700_000_000_000_000_000,
    }
    assert last["after"]["quarantine"] == "/srv/high_privacy/quarantine/srv/medium_privacy/workspaces/ws/t.csv/removed.3"
    assert all(change.reversible and not change.data_loss for change in changes)


def test_the_plan_does_not_hang_on_inodes() -> None:
    """The same files elsewhere on the disk are the same plan."""
    one, other = (plan(state(output(None, {"found": replace(FOUND, version=version)}))) for version in ((1, 2), (3, 4)))
    assert plan_sha256("x", one) == plan_sha256("x", other)
    changed = plan(state(output(None, {"found": replace(FOUND, sha256="cd" * 32)})))
    assert plan_sha256("x", one) != plan_sha256("x", changed)


@pytest.mark.parametrize(("drop", "entry", "actions"), [(False, ENTRY, []), (True, None, []), (True, ENTRY, ["drop_entry"])])
def test_an_entry_is_dropped_on_request(drop: bool, entry: Any, actions: list[str]) -> None:
    changes = plan(state(output(entry=entry), wanted=replace(WANTED, drop_entry=drop)))
    assert [change.action for change in changes] == actions


def test_purge_names_every_loss() -> None:
    kept = copy(1, sha256="cd" * 32)
    purged = copy(2, name="purged.2", purged=True)
    changes = plan(state(output(None, {"found": FOUND, "copies": (kept, purged), "free": 3}), wanted=replace(WANTED, purge=True)))
    assert [change.action for change in changes] == ["remove", "purge", "purge"]
    assert [change.data_loss for change in changes[1:]] == [
        "the quarantined copy 1 of ws/t.csv from /srv/medium_privacy/workspaces (4 bytes, sha256 cdcdcdcdcdcd)",
        "the quarantined copy 3 of ws/t.csv from /srv/medium_privacy/workspaces (4 bytes, sha256 abababababab)",
    ]
    assert not any(change.reversible for change in changes[1:])
    assert changes[0].after["quarantine"] == changes[2].subject


def test_what_a_killed_run_left_is_finished_first() -> None:
    unfinished = copy(1, name="removed.1.new")
    changes = plan(state(output(None, {"found": FOUND, "copies": (unfinished,), "free": 2})))
    assert [(change.action, change.subject.rpartition("/")[2]) for change in changes] == [("finish", "removed.1"), ("remove", "t.csv")]
    assert (changes[0].before["name"], changes[0].after["name"]) == ("removed.1.new", "removed.1")


def test_refusals_name_all_that_is_in_the_way() -> None:
    link = Obstacle("link", "a link.", "name the file.")
    seen = state(output({"obstacle": link}, {"found": FOUND}), quarantine_trouble="it is not a directory")
    assert [refusal.guard for refusal in guards(seen, plan(seen))] == ["link", "quarantine"]
    assert guards(state(output(), quarantine_trouble="it is not a directory"), []) == []
    broken = state(output(), wanted=replace(WANTED, drop_entry=True), manifest=Manifest("/m", trouble="it is no JSON"))
    assert [refusal.guard for refusal in guards(broken, [])] == ["manifest"]


# -- what a person is told -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (output(), ["unknown"]),
        (output(original=4), ["absent"]),
        (output(original=4, note=True), ["absent", "note"]),
        (output(None, {"found": FOUND}), ["present", "level4"]),
        (output({"found": FOUND}, {"found": FOUND}, original=4), ["present", "present", "original", "level4"]),
        (output(None, {"copies": (copy(),)}), ["removed", "level4"]),
        (output(None, {"copies": (copy(),)}, entry=ENTRY), ["removed", "level4", "manifest_entry"]),
        (output(None, {"found": FOUND, "copies": (copy(),)}), ["present", "came_back", "level4"]),
        (output(None, {"copies": (copy(1), copy(2))}), ["came_back", "removed", "level4"]),
        (output(None, {"found": FOUND, "unfinished": (".t.csv.abcdef",)}), ["present", "unfinished", "level4"]),
    ],
)
def test_findings(seen: Output, expected: list[str]) -> None:
    assert codes(state(seen)) == expected


def test_findings_of_places() -> None:
    seen = state(away=(("/e/FILESFORL4/workspaces", "No such file or directory"),), manifest=Manifest("/m", trouble="bad"), jobs_unknown="no workdir")
    assert codes(seen) == ["source_away", "manifest", "jobs_unknown"]


@pytest.mark.parametrize(
    ("seen", "cause"),
    [
        (output({"found": FOUND}, {"found": FOUND, "copies": (copy(),)}), "the level 3 sync brings it from /e/FILESFORL4/workspaces/ws/t.csv"),
        (output(None, {"found": FOUND, "copies": (copy(),)}, original=4), "each run of the action that makes it copies it from level 3"),
        (
            output(None, {"found": FOUND, "copies": (copy(),)}, original=4, producers=(Producer("j", "make", "succeeded", False),)),
            "each run of action make (last made by job j) copies it from level 3",
        ),
        (output(None, {"found": FOUND, "copies": (copy(),)}), "so somebody copied it"),
        (output({"found": FOUND, "copies": (copy(),)}), "on the Windows side"),
    ],
)
def test_what_brought_it_back(seen: Output, cause: str) -> None:
    (finding,) = [each for each in diagnose(state(seen)) if each.code.endswith("came_back")]
    assert cause in finding.summary


def test_a_job_under_way_is_a_warning() -> None:
    producers = (Producer("j", "make", "succeeded", False), Producer("k", "make", "executing", True))
    (finding,) = [each for each in diagnose(state(output(None, {"found": FOUND}, original=4, producers=producers))) if each.code.endswith("original")]
    assert finding.severity == "warning"
    assert "k (make, executing)" in finding.summary


def test_windows_path_and_none() -> None:
    seen = state(output(None, {"copies": (copy(),)}))
    assert told(seen, seen.outputs[0])["level4_path"] == "D:\\Level4Files\\workspaces\\ws\\t.csv"
    assert told(seen, seen.outputs[0])["last_removed"] == "2001-09-09T01:46:40Z"
    nowhere = state(output(None, {"copies": (copy(),)}), wanted=replace(WANTED, level4=""))
    assert codes(nowhere) == ["removed"]
    assert told(nowhere, nowhere.outputs[0])["level4_path"] is None
