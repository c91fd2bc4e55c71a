# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The profiler of all calls, by tables: what is planned, what speaks against it, what is told; and what is copied out of a folder of others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.lock import NodeLock
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import profiler_guard
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.errors import SesamError
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler import ApiProfiler, available_memory, image_of_place, wish_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_act import Place
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_config import LABEL, OPTION
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_record import Guardian, collect, usage, watch
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profiler_state import (
    OFF,
    ProfilerState,
    Recording,
    Usage,
    Wish,
    diagnose,
    guards,
    on,
    plan,
)

MIB = 1 << 20
STATE = ProfilerState("node", "off", active=(), available=1 << 40)


@pytest.mark.parametrize(
    ("situation", "wanted", "options", "actions"),
    [
        ("off", "enabled", {}, ["enable"]),
        ("half", "enabled", {}, ["enable"]),
        ("on", "enabled", {}, []),
        ("foreign", "enabled", {}, []),
        ("off", "disabled", {}, []),
        ("half", "disabled", {}, ["disable"]),
        ("on", "disabled", {}, ["disable"]),
        ("foreign", "disabled", {}, []),
        ("foreign", "disabled", {"recreate": True}, ["disable"]),
        ("off", "recorded", {}, ["enable", "disable"]),
        ("on", "recorded", {}, ["disable"]),
        ("foreign", "recorded", {}, []),
    ],
)
def test_plans(situation: str, wanted: str, options: dict[str, Any], actions: list[str]) -> None:
    now = replace(STATE, situation=situation, bound=64 * MIB if situation == "on" else None)
    changes = plan(now, Wish(wanted, 64 * MIB, **options))
    assert [change.action for change in changes] == actions
    assert all(change.subject == "container:node" for change in changes)
    assert [change.after["profiler"] for change in changes if change.after] == [action == "enable" for action in actions]
    assert plan(replace(now, recording=Recording(1, "/x")), Wish(wanted, 64 * MIB)) == []


def test_what_lies_on_disk_is_swept_once_nothing_writes_there() -> None:
    wish, left = Wish("disabled", MIB, sweep=True), replace(STATE, disk=Usage(3, 30), folder="/logs/api_profiler")
    (change,) = plan(left, wish)
    assert (change.action, change.subject, change.reversible) == ("sweep", "folder:/logs/api_profiler", False)
    assert guards(replace(left, active=["p"], running=False), [change], wish) == []
    assert plan(replace(left, swept=Recording(0, "/x")), wish) == plan(replace(left, disk=Usage(0, 0)), wish) == plan(left, replace(wish, sweep=False)) == []
    foreign = replace(left, situation="foreign")
    assert plan(foreign, wish) == []
    assert [change.action for change in plan(foreign, replace(wish, recreate=True))] == ["disable", "sweep"]


def test_a_recording_ends_before_its_file_system_is_full() -> None:
    assert Wish("enabled", 100 * MIB).size == 100 * MIB
    assert Wish("recorded", 100 * MIB).size == 125 * MIB
    assert Wish("recorded", MIB).size == 17 * MIB
    (enable, disable) = plan(STATE, Wish("recorded", MIB))
    assert (enable.after, disable.before, disable.reversible) == (on(17 * MIB), on(17 * MIB), False)


@pytest.mark.parametrize(
    ("parts", "wish", "refused"),
    [
        ({}, {}, []),
        ({"situation": "foreign"}, {}, ["foreign"]),
        ({"situation": "foreign"}, {"state": "disabled"}, ["foreign"]),
        ({"situation": "foreign"}, {"state": "disabled", "recreate": True}, []),
        ({"situation": "on", "bound": 5}, {}, ["bound"]),
        ({"situation": "on", "bound": 64 * MIB}, {}, []),
        ({"unfaithful": ["why"]}, {}, ["container"]),
        ({"lost": ["/data"]}, {}, ["folders"]),
        ({"rights": False}, {}, ["rights"]),
        ({"available": 100 * MIB}, {}, ["memory"]),
        ({"available": 128 * MIB}, {}, []),
        ({"limit": 200 * MIB}, {}, ["memory"]),
        ({"limit": 256 * MIB}, {}, []),
        ({"limit": 200 * MIB, "situation": "on"}, {"state": "disabled"}, []),
        ({"active": ["p"]}, {}, ["pipes"]),
        ({"active": None}, {}, ["pipes"]),
        ({"active": ["p"]}, {"interrupt_pipes": True}, []),
        ({"running": False}, {}, ["stopped"]),
        ({"running": False, "active": None, "situation": "half"}, {}, []),
        ({"active": ["p"]}, {"state": "disabled"}, []),
        ({"active": ["p"], "situation": "on"}, {"state": "disabled"}, ["pipes"]),
    ],
)
def test_what_is_refused(parts: dict[str, Any], wish: dict[str, Any], refused: list[str]) -> None:
    now, wanted = replace(STATE, **parts), Wish(**{"state": "enabled", "max_bytes": 64 * MIB, **wish})
    assert [refusal.guard for refusal in guards(now, plan(now, wanted), wanted)] == refused


@pytest.mark.parametrize(
    ("parts", "codes"),
    [
        ({}, ["off"]),
        ({"situation": "on", "memory_only": Usage(3, 10, 100)}, ["on"]),
        ({"situation": "on", "memory_only": Usage(3, 80, 100)}, ["on", "full"]),
        ({"situation": "foreign", "disk": Usage(5, 1 << 31)}, ["unbounded", "left_files"]),
        ({"situation": "half", "kept": "x"}, ["half"]),
        ({"stale": "x", "kept": "x"}, ["off", "left_container"]),
        ({"kept": "x"}, ["replaced"]),
        ({"recording": Recording(2, "/x", [], "stopped early")}, ["off", "recorded"]),
    ],
)
def test_what_is_told(parts: dict[str, Any], codes: list[str]) -> None:
    found = diagnose(replace(STATE, **parts))
    assert [finding.code.removeprefix("sesam.profiler.") for finding in found] == codes
    assert all(finding.remedy for finding in found if finding.severity in ("warning", "critical") and not finding.code.endswith("recorded"))


def test_full_is_worse_than_nearly_full() -> None:
    severities = [diagnose(replace(STATE, situation="on", memory_only=Usage(3, used, 100)))[1].severity for used in (80, 100)]
    assert severities == ["warning", "critical"]


# -- where a run was cut off -------------------------------------------------------------------------------------------


def seen(id_: str, option: bool = False, running: bool = True, bound: str = "") -> dict[str, Any]:
    labels = {LABEL: bound} if bound else {}
    return {"Id": id_, "Name": "/node", "Config": {"Cmd": ["lake", *([OPTION] if option else [])], "Labels": labels}, "State": {"Running": running}}


@pytest.mark.parametrize(
    ("place", "state"),
    [
        (Place("node", seen("1")), "off"),
        (Place("node", seen("1", running=False)), "off"),
        (Place("node", seen("2", True, bound="5:/x"), seen("1", running=False)), "on"),
        (Place("node", seen("2", True)), "foreign"),
        (Place("node", seen("1"), new=seen("2", True, False, "5:/x")), "half"),
        (Place("node", None, seen("1", running=False), seen("2", True, False, "5:/x")), "half"),
        (Place("node", seen("2", True, False, "5:/x"), seen("1", running=False)), "half"),
        (Place("node", None, seen("1", running=False), gone=seen("2", True, False, "5:/x")), "half"),
        (Place("node", seen("1"), gone=seen("2", True, False, "5:/x")), "half"),
        (Place("node", seen("3"), seen("1", running=False)), "off"),
        (Place("node", {**seen("3"), "State": {"Running": False, "Status": "created"}}, seen("1", True, running=False)), "half"),  # never started
        (Place("node", {**seen("3"), "State": {"Running": False, "Status": "exited"}}, seen("1", True, running=False)), "off"),
    ],
)
def test_the_names_tell_how_far_it_came(place: Place, state: str) -> None:
    assert place.state == state
    enable = Change("enable", "container:node", OFF, on(5), "")
    assert image_of_place(place, enable) == {"off": OFF if place.running else on(5), "on": on(5), "half": on(5), "foreign": on(None)}[state]


def test_what_was_put_aside_is_stale_or_replaced() -> None:
    assert Place("node", seen("3"), seen("1", running=False)).stale
    replaced = Place("node", seen("3"), seen("1", True, running=False))
    assert (replaced.stale, replaced.replaced) == (False, True)


# -- files of others ---------------------------------------------------------------------------------------------------


def test_files_are_copied_and_links_are_not(tmp_path: Path) -> None:
    folder, target = tmp_path / "root" / "logs" / "api_profiler", tmp_path / "kept"
    (folder / "deep" / "er" / "still").mkdir(parents=True)
    target.mkdir()
    (folder / "b.pstat").write_bytes(b"x" * 10)
    (folder / "a b.calltree").write_bytes(b"y" * 20)
    (folder / "deep" / "er" / "c").write_bytes(b"z")
    (folder / "deep" / "er" / "still" / "d").write_bytes(b"too deep")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    copied, left_out = collect(str(tmp_path / "root"), "/logs/api_profiler", str(target), 1000)
    assert [(row["name"], row["size"], row["whole"]) for row in copied] == [("a b.calltree", 20, True), ("b.pstat", 10, True), ("deep/er/c", 1, True)]
    assert sorted(path.name for path in target.iterdir()) == ["00000-a_b.calltree", "00001-b.pstat", "00002-deep_er_c"]
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o600}
    assert left_out == 0
    small = tmp_path / "small"
    small.mkdir()
    assert [[row["name"] for row in collect(str(tmp_path / "root"), "logs/api_profiler", str(small), 15)[0]]] == [["b.pstat", "deep/er/c"]]


def test_a_file_goes_when_its_copy_is_whole(tmp_path: Path) -> None:
    folder, target = tmp_path / "logs" / "api_profiler", tmp_path / "kept"
    folder.mkdir(parents=True)
    target.mkdir()
    for name, size in (("a", 10), ("b", 20), ("c", 5)):
        (folder / name).write_bytes(b"x" * size)
    copied, left_out = collect(str(tmp_path / "logs"), "api_profiler", str(target), 16, remove=True)
    assert ([row["name"] for row in copied], left_out) == (["a", "c"], 1)
    assert [path.name for path in folder.iterdir()] == ["b"]


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root" / "logs").mkdir(parents=True)
    (tmp_path / "root" / "logs" / "api_profiler").symlink_to("/etc")
    with pytest.raises(SesamError, match="cannot be"):
        collect(str(tmp_path / "root"), "logs/api_profiler", str(tmp_path), 1000)
    with pytest.raises(SesamError, match="cannot be"):
        usage(str(tmp_path / "root"), "logs/api_profiler", bounded=False)
    assert usage(str(tmp_path / "root"), "logs/nothing", bounded=True) == Usage(0, 0)
    assert collect(str(tmp_path / "root"), "nothing/at/all", str(tmp_path), 1000) == ([], 0)


def test_watched_until_the_time_is_over_or_the_bound_is_reached() -> None:
    sizes = iter([1, 5, 10])
    seconds, why = watch(lambda: Usage(1, next(sizes)), 60, 10, lambda: "", step=0.001)
    assert seconds < 30
    assert "10 of 10 bytes" in why
    assert watch(lambda: Usage(0, 0), 0.01, 10, lambda: "")[1] == ""
    assert watch(lambda: Usage(0, 0), 60, 10, lambda: "it is gone")[1] == "it is gone"


@pytest.mark.parametrize("end", ["release", "exit", "kill"])
def test_somebody_stands_by(tmp_path: Path, end: str) -> None:
    mark = tmp_path / "off"
    pid = os.fork()
    if not pid:
        guardian = Guardian(mark.touch)
        if end == "release":
            guardian.release()
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(pid, 0)
    limit = time.monotonic() + 30
    while end != "release" and not mark.exists():
        assert time.monotonic() < limit, "nobody switched it off"
        time.sleep(0.01)
    assert mark.exists() is (end != "release")


def test_who_stands_by_has_the_lock_while_it_works(tmp_path: Path) -> None:
    """And waits for others before that, with the killed run's own lock gone by itself."""
    params = {"journal_dir": str(tmp_path / "journal"), "lock_expiry": 900.0}
    (tmp_path / "journal").mkdir()
    lock, working, go = NodeLock(params["journal_dir"], 900.0), tmp_path / "working", tmp_path / "go"
    assert lock.acquire("other-1", "sesam_restart", "somebody") is None

    def looks(_docker: Any, name: str) -> Place:
        working.touch()
        until(go.exists, "it may go on")
        return Place(name)

    pid = os.fork()
    if not pid:
        with mock.patch.object(profiler_guard, "look", looks):
            Guardian(lambda: profiler_guard.finish(params, "unix:///nowhere.sock", "node", 1, profiler_guard.HALF))
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    try:
        time.sleep(1)
        assert not working.exists(), "it did not wait for the run that has the lock"
        lock.release()
        until(working.exists, "it begins")
        holder = lock.holder()
        assert holder is not None
        assert holder.fix == "sesam_api_profiler"
    finally:
        lock.release()
        go.touch()
    until(lambda: lock.holder() is None, "it gives the lock back")


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"in vain: {what}"
        time.sleep(0.01)


def test_options_are_checked() -> None:
    good = {"state": "recorded", "max_bytes": MIB, "duration": 60.0, "recreate": False, "interrupt_pipes": False, "dest": None, "sweep": False}
    good.update({"timeout": 300.0, "settle": 5.0, "stop_timeout": 60, "lock_expiry": 900.0})
    assert wish_of(good).duration == 60
    for bad in ({"max_bytes": 1}, {"max_bytes": MIB + 1}, {"duration": -1.0}, {"duration": 600.0}, {"timeout": 0}, {"dest": "here"}):
        with pytest.raises(SesamError, match=r"must be|lock_expiry"):
            wish_of({**good, **bad})


@pytest.mark.parametrize(
    ("pipes", "known"),
    [
        ([{"_id": "a", "runtime": {"is-running": False}}], []),
        ([{"_id": "a", "runtime": {"is-running": True}}, {"_id": "b"}], ["a"]),
        # What a part of the node that does not answer said some time ago is no word of now.
        ([{"_id": "a", "runtime": {"is-running": False}, "cached_response_info": {"age": 3600}}], None),
        ([{"_id": "a", "runtime": {"is-running": True}, "cached_response_info": {"age": 3600}}], ["a"]),
    ],
)
def test_pipes_that_run(pipes: list[dict[str, Any]], known: list[str] | None) -> None:
    seen = ApiProfiler.__new__(ApiProfiler)
    seen.node = type("Node", (), {"stream": lambda _self, _path, _params: iter(pipes)})()
    assert seen._active() == known


def test_memory_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   4 kB\n", encoding="ascii")
    assert available_memory(str(tmp_path / "meminfo")) == 4096
    assert available_memory(str(tmp_path / "none")) is None
