# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a deploy plans and refuses, by tables; and which commit a process runs, by the log of HEAD."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.git import GitError, checked_ref, without_userinfo
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.checkout import Checkout, Release, head_at
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.deploy import DeployState, diagnose, guards, plan
from ansible_collections.fieldops.runbooks.plugins.module_utils.jobrunner.service import ServiceState

A, B, C, ZERO = ("%s" % letter * 40 for letter in ("a", "b", "c", "0"))
UP = ServiceState("jobrunner.service", True, "active", "running", main_pid=7, restarts=0, restart_delay=60.0, age=1000.0)


def checkout(part: str, head: str = A, target: str = A, **values: Any) -> Checkout:
    return Checkout(part, "/srv/%s" % part, "opensafely", "origin/main", "", head, target, "main", incoming=int(head != target), **values)


LIB = checkout("lib")


def state(code: Checkout, lib: Checkout = LIB, service: ServiceState = UP, restart: str = "auto", **values: Any) -> DeployState:
    known: dict[str, Any] = {"version": 2, "running": {"lib": lib.head, "code": code.head} if service.main_pid else None, **values}
    present, wanted = known.pop("present", Release(2)), known.pop("wanted", Release(2))
    return DeployState((lib, code), present, wanted, service, restart, "/w/db.sqlite", **known)


BEHIND = checkout("code", A, B)
SAME = checkout("code")


@pytest.mark.parametrize(
    ("given", "actions"),
    [
        (state(SAME), []),
        (state(BEHIND), ["update", "restart"]),
        (state(BEHIND, checkout("lib", A, C)), ["update", "update", "restart"]),
        (state(BEHIND, wanted=Release(3)), ["update", "migrate", "restart"]),
        (state(SAME, wanted=Release(3)), ["migrate", "restart"]),
        (state(BEHIND, restart="never"), ["update"]),
        (state(SAME, restart="always"), ["restart"]),
        (state(SAME, restart="always", restarted=True), []),
        (state(SAME, running={"lib": A, "code": C}), ["restart"]),
        (state(SAME, running={"lib": A, "code": None}), []),
        (state(BEHIND, service=ServiceState("j", True, "inactive", "dead")), ["update"]),
        (state(BEHIND, service=ServiceState("j", True, "inactive", "dead"), restart="always"), ["update", "start"]),
        (state(SAME, service=ServiceState("j", True, "failed", "failed")), ["restart"]),
        (state(SAME, service=ServiceState("j", True, "activating", "auto-restart")), ["restart"]),
        (state(BEHIND, service=ServiceState("j", False)), ["update"]),
    ],
)
def test_what_is_planned(given: DeployState, actions: list[str]) -> None:
    planned = plan(given)
    assert [change.action for change in planned] == actions
    assert all(change.before != change.after for change in planned)


def test_what_can_be_taken_back() -> None:
    assert [change.reversible for change in plan(state(BEHIND, wanted=Release(3)))] == [True, False, True]
    assert [change.reversible for change in plan(state(SAME, restart="always"))] == [False]
    assert [change.reversible for change in plan(state(SAME, running={"lib": A, "code": C}))] == [False]


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (state(BEHIND), []),
        (state(checkout("code", A, B, dirty=("x.py",))), ["dirty"]),
        (state(checkout("code", dirty=("x.py",)), checkout("lib", A, B)), []),
        (state(checkout("code", A, B, in_the_way=("x.py",), locked="/l")), ["in_the_way", "locked"]),
        (state(BEHIND, wanted=Release(None)), ["layout"]),
        (state(BEHIND, wanted=Release(4)), ["layout"]),
        (state(BEHIND, wanted=Release(1)), ["layout"]),
        (state(BEHIND, forbidden="no."), ["rights"]),
        (state(BEHIND, forbidden="no.", restart="never"), []),
        (state(SAME, wanted=Release(1), restart="always"), []),
    ],
)
def test_what_is_refused(given: DeployState, refused: list[str]) -> None:
    assert [refusal.guard for refusal in guards(given, plan(given))] == refused


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (state(SAME), "ok"),
        (state(BEHIND), "behind"),
        (state(checkout("code", own=("abc mine",))), "own_commits"),
        (state(checkout("code", stale_index=True)), "stale_index"),
        (state(BEHIND, wanted=Release(3)), "migration"),
        (state(BEHIND, wanted=Release(2, ("NEW",))), "new_variables"),
        (state(SAME, running={"lib": A, "code": C}), "older"),
        (state(SAME, service=ServiceState("j", False)), "no_unit"),
        (state(SAME, service=ServiceState("j", True, "failed", "failed")), "down"),
        (state(SAME, service=ServiceState("j", True, "activating", "auto-restart", restarts=9)), "looping"),
    ],
)
def test_what_is_told(given: DeployState, code: str) -> None:
    assert "jobrunner.deploy." + code in [finding.code for finding in diagnose(given)]


def test_a_variable_that_is_set_is_not_new() -> None:
    given = state(BEHIND, wanted=Release(2, ("NEW", "OLD")), present=Release(2, ("OLD",)), variables=frozenset({"NEW"}))
    assert "jobrunner.deploy.new_variables" not in [finding.code for finding in diagnose(given)]


# -- which commit a process runs -----------------------------------------------------------------------------------------


def move(before: str, after: str, second: int, exact: str = "") -> str:
    return "%s %s a <a@example.org> %d +0000\t%s\n" % (before, after, second, "fieldops %s: updating HEAD" % exact if exact else "pull")


@pytest.mark.parametrize(
    ("lines", "head", "moment", "wanted"),
    [
        ([move(ZERO, A, 100), move(A, B, 200)], B, 300.0, B),
        ([move(ZERO, A, 100), move(A, B, 200)], B, 150.0, A),
        ([move(ZERO, A, 100), move(A, B, 200)], B, 50.0, None),
        ([move(A, B, 200)], B, 50.0, A),
        ([move(ZERO, A, 100), move(A, B, 200), move(B, C, 300)], C, 250.0, B),
        ([move(ZERO, A, 100), move(A, B, 200, "200.500000")], B, 200.4, A),
        ([move(ZERO, A, 100), move(A, B, 200, "200.500000")], B, 200.6, B),
        ([move(ZERO, A, 200), move(A, B, 200, "200.300000"), move(B, A, 200, "200.700000")], A, 200.5, B),
        ([move(ZERO, A, 100), move(A, B, 200), move(B, A, 300)], A, 200.5, A),
        ([], A, 10.0, None),
    ],
)
def test_the_commit_of_a_process(tmp_path: Path, lines: list[str], head: str, moment: float, wanted: Any) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "HEAD"
    log.write_text("".join(lines), encoding="utf-8")
    os.utime(log, (1000.0, 1000.0))
    assert head_at(str(tmp_path), head, moment) == wanted


def test_within_the_second_of_the_last_move_the_file_tells(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "HEAD"
    log.write_text(move(ZERO, A, 100) + move(A, B, 200), encoding="utf-8")
    os.utime(log, (200.5, 200.5))
    assert head_at(str(tmp_path), B, 200.4) == A
    assert head_at(str(tmp_path), B, 200.6) == B
    assert head_at(str(tmp_path / "none"), B, 200.6) is None


# -- names ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["origin/main", "v1.2.3", "a" * 40, "feature/x-1_y+z"])
def test_refs(name: str) -> None:
    assert checked_ref(name, "ref") == name


@pytest.mark.parametrize("name", ["", "-x", "a..b", "a b", "HEAD@{1}", "a~1", "a^", "a:b", "x.lock", "x/", "a\nb", "$(id)"])
def test_names_that_are_no_refs(name: str) -> None:
    with pytest.raises(GitError, match="is not the name of a branch"):
        checked_ref(name, "ref")


def test_secrets_in_addresses() -> None:
    assert without_userinfo("fatal: https://user:sesame@host/x and ssh://token@host") == "fatal: https://********@host/x and ssh://********@host"
