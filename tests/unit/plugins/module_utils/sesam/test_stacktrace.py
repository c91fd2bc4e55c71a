# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way to a stack trace is taken and why, whom a signal may reach, and which files are new."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.procfs import Process
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import plan_sha256
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.evidence import write
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import evidence
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.container import Container
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.process import NodeProcess
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.stacktrace import Asked, Kept, StacktraceState, Wish, diagnose, guards, plan, way
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.stacktrace_files import Trace, is_html, new_ones, read, traces, wait_for_new

NODE = Container("f" * 64, "sesam-node", "sesam/sesam-node", running=True, status="running", pid=50)
CATCHES = NodeProcess(Process(50, 77, ("lake", "-l", "/l", "--token", "hush"), "sesam"), first=True, state="S", caught=0x200)
READY = StacktraceState(Asked("timeout", "no answer"), NODE, CATCHES, folder="/logs")
AUTO = Wish("auto")


def refused(state: StacktraceState, wish: Wish = AUTO) -> list[str]:
    return [refusal.guard for refusal in guards(state, wish, 900.0)]


@pytest.mark.parametrize(
    ("kind", "method", "allowed", "wanted"),
    [
        ("", "auto", False, "api"),
        ("", "api", False, "api"),
        ("", "signal", False, "signal"),
        ("timeout", "auto", False, "signal"),
        ("unreachable", "auto", False, "signal"),
        ("unavailable", "auto", False, "signal"),
        ("server_error", "auto", False, "signal"),
        ("not_found", "auto", False, "signal"),
        ("not_html", "auto", False, "signal"),
        ("timeout", "api", False, ""),
        ("auth", "auto", False, ""),
        ("auth", "auto", True, "signal"),
        ("auth", "api", True, ""),
        ("tls", "auto", True, ""),
        ("bad_address", "auto", True, ""),
        ("bad_request", "auto", True, ""),
        ("redirect", "auto", True, ""),
    ],
)
def test_the_way(kind: str, method: str, allowed: bool, wanted: str) -> None:
    state, wish = replace(READY, asked=Asked(kind, "it says so")), Wish(method, signal_without_admin=allowed)
    assert way(state, wish)[0] == wanted
    assert bool(plan(state, wish)) == (wanted == "signal")
    assert bool(refused(state, wish)) == (wanted == "")
    if kind and wanted != "signal":
        assert "it says so" in guards(state, wish, 900.0)[0].reason


def test_a_plan_outlives_a_restart_of_the_node() -> None:
    """What was approved is a signal to this container, not to a pid; the reason names the pid."""
    wish = Wish("auto", count=2)
    other = replace(READY, process=replace(CATCHES, process=replace(CATCHES.process, pid=60)))
    assert plan_sha256("x", plan(READY, wish)) == plan_sha256("x", plan(other, wish))
    assert [change.subject for change in plan(READY, wish)] == ["container:sesam-node/stacktrace-1", "container:sesam-node/stacktrace-2"]
    assert "pid 60" in plan(other, wish)[0].reason
    assert not any(change.reversible for change in plan(READY, wish))
    assert [change.subject for change in plan(replace(READY, made=1), wish)] == ["container:sesam-node/stacktrace-2"]
    assert plan(replace(READY, made=2), wish) == []


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, []),
        ({"process": replace(CATCHES, caught=0x4000)}, ["not_caught"]),
        ({"process": replace(CATCHES, caught=0, ignored=0x200)}, ["not_caught"]),
        ({"process": None, "unfit": "it is a shell"}, ["process"]),
        ({"folder": ""}, ["log_folder"]),
        ({"container": replace(NODE, paused=True)}, ["paused"]),
    ],
)
def test_whom_it_may_reach(changed: dict[str, Any], wanted: list[str]) -> None:
    assert refused(replace(READY, **changed)) == wanted


def test_what_waiting_may_take() -> None:
    assert refused(READY, Wish("auto", count=30, interval=5, timeout=30)) == ["lock_expiry"]


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (READY, {"sesam.api.frozen": "critical"}),
        (replace(READY, asked=Asked("unreachable", "refused")), {"sesam.api.down": "critical"}),
        (replace(READY, asked=Asked("not_found", "404")), {"sesam.api.no_stacktrace": "warning"}),
        (replace(READY, asked=Asked("auth", "403")), {"sesam.api.needs_admin": "warning"}),
        (replace(READY, asked=Asked("tls", "no")), {"sesam.api.refused": "warning"}),
        (replace(READY, process=replace(CATCHES, caught=0, first=False)), {"sesam.api.frozen": "critical", "sesam.process.not_caught": "warning"}),
        (replace(READY, process=replace(CATCHES, state="D")), {"sesam.api.frozen": "critical", "sesam.process.stopped": "warning"}),
        (replace(READY, process=None), {"sesam.api.frozen": "critical", "sesam.process.unseen": "warning"}),
        (replace(READY, failed="nothing came"), {"sesam.api.frozen": "critical", "sesam.stacktrace.none": "warning"}),
        (replace(READY, asked=Asked(), kept=(Kept("/x", "api", 5, 5, "0", "now"),)), {"sesam.stacktrace.taken": "ok"}),
        (replace(READY, asked=Asked(), kept=(Kept("/x", "api", None, 5, "0", "now"),)), {"sesam.stacktrace.taken": "warning"}),
        (replace(READY, asked=Asked(), left=(Trace("stacktrace.html", 0, 1, 2, 3, 4),)), {"sesam.stacktrace.left": "info"}),
    ],
)
def test_findings(state: StacktraceState, wanted: dict[str, str]) -> None:
    found = diagnose(state, AUTO)
    assert {finding.code: finding.severity for finding in found} == wanted
    assert "hush" not in str(found)
    assert all(finding.runbook is not None and finding.runbook[0] == "sesam.rst" for finding in found)


# -- files -------------------------------------------------------------------------------------------------------------


def test_traces_are_listed_by_their_rotation(tmp_path: Path) -> None:
    for name in ("stacktrace.html.10", "stacktrace.html", "stacktrace.html.2", "stacktrace.html.bak", "other.html", "stacktrace.html.x"):
        (tmp_path / name).write_text("<html>", encoding="utf-8")
    (tmp_path / "stacktrace.html.1").symlink_to("/etc/passwd")
    (tmp_path / "stacktrace.html.3").mkdir()
    os.mkfifo(tmp_path / "stacktrace.html.4")
    assert [trace.name for trace in traces(str(tmp_path))] == ["stacktrace.html", "stacktrace.html.2", "stacktrace.html.10"]


def test_which_are_new() -> None:
    old, older = Trace("stacktrace.html", 0, 1, 10, 5, 100), Trace("stacktrace.html.1", 1, 1, 11, 5, 50)
    moved = [replace(old, name="stacktrace.html.1", number=1), replace(older, name="stacktrace.html.2", number=2)]
    ours = Trace("stacktrace.html", 0, 1, 12, 5, 200)
    assert new_ones([old, older], [ours, *moved]) == [ours]
    assert new_ones([old, older], [old, older]) == []
    taken_again = replace(ours, inode=11)  # the oldest was removed, and its inode is another file's
    assert new_ones([old, older], [taken_again, moved[0]]) == [taken_again]
    assert new_ones([], [ours]) == [ours]


def test_one_that_moves_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "stacktrace.html").write_text("<html>ours</html>", encoding="utf-8")
    (ours,) = traces(str(tmp_path))
    (tmp_path / "stacktrace.html").rename(tmp_path / "stacktrace.html.1")
    (tmp_path / "stacktrace.html").write_text("<html>later</html>", encoding="utf-8")
    assert read(str(tmp_path), ours, 100) == b"<html>ours</html>"
    assert read(str(tmp_path), ours, 6) == b"<html>"
    (tmp_path / "stacktrace.html.1").unlink()
    assert read(str(tmp_path), ours, 100) is None
    (tmp_path / "stacktrace.html.1").symlink_to(tmp_path / "stacktrace.html")
    assert read(str(tmp_path), replace(ours, inode=0), 100) is None


def test_waiting_ends_when_it_makes_no_sense(tmp_path: Path) -> None:
    gone = wait_for_new(str(tmp_path), [], time.monotonic() + 100, lambda: "pid 50 has ended", lambda _seconds: None)
    assert (gone.complete, gone.why) == (False, "none was written; pid 50 has ended")
    (tmp_path / "stacktrace.html").write_text("", encoding="utf-8")
    empty = wait_for_new(str(tmp_path), [], time.monotonic() + 0.1, sleep=lambda _seconds: None)
    assert (empty.complete, empty.why) == (False, "stacktrace.html is there (0 bytes), and is no HTML")
    assert [is_html(head) for head in (b"<HTML>", b"<!doctype html><html lang=en>", b"{}", b" " * 5000 + b"<html>")] == [True, True, False, False]


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_files_are_whole_private_and_bounded(tmp_path: Path) -> None:
    path = write(str(tmp_path), "../a/b c.html", b"x" * 100, limit=60)
    assert (os.path.dirname(path), os.path.basename(path)) == (str(tmp_path), "_a_b_c.html")
    data = Path(path).read_bytes()
    assert len(data) <= 60
    assert b"left out" in data
    assert (os.stat(path).st_mode & 0o777, [each.name for each in tmp_path.iterdir()]) == (0o600, ["_a_b_c.html"])
    (tmp_path / "link").symlink_to("/etc/passwd")
    write(str(tmp_path), "link", b"mine")  # in its place, not through it
    assert (tmp_path / "link").read_bytes() == b"mine"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer hush.hush",
        "GET /api HTTP/1.1 bearer hush",
        'password="hush hush", x',
        "token=hush&x=1",
        "https://user:hush@example.org/",
        "eyJhbGciOiJSUzI1NiJ9.eyJhIjoiaHVzaCJ9.hush",
        '"SECRET_KEY": "hush"',
    ],
)
def test_secrets_are_left_out(text: str) -> None:
    shown = evidence.without_secrets("before " + text)
    assert "hush" not in shown
    assert shown.startswith("before ")
    assert evidence.without_secret_words(["lake", "--api-key", "hush", "-l", "/l"]) == ["lake", "--api-key", "********", "-l", "/l"]
