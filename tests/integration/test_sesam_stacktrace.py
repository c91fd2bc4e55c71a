# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stack traces of real processes in real containers: which way is taken, whom the signal may reach, and what counts as an answer to it."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect import procfs
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam import stacktrace_run
from lab.engine import Engine
from lab.sesam.container import SesamNode
from laking import BELOW_SHELL, CATCHES, DIRECT, IGNORES, NO_HTML, NOTHING, SLOW, STILL_PREPARING, TWICE, Lake, serving, wait
from sesaming import container_params
from support import run_module, run_ok, run_refused

MODULE = "sesam_stacktrace"
HTML = (200, "text/html", b"<!DOCTYPE html>\n<html><body>" + b"<p>thread</p>" * 1000 + b"</body></html>")
FORBIDDEN = (403, "text/html", b"<html><body><h1>403</h1>It&#x27;s not for you</body></html>")
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJwcmluY2lwYWxzIjp7fX0.c2lnbmF0dXJl"


@pytest.fixture
def lake(engine: Engine, tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path / "node", engine)
    yield made
    made.remove()


def codes(result: dict[str, Any]) -> set[str]:
    return {finding["code"] for finding in result["findings"]}


def lake_process(lake: Lake) -> procfs.Process:
    """The program, below whatever starts it."""
    container = str((lake.inspect() or {})["Id"])
    return next(each for each in procfs.processes() if "/bin/lake" in each.argv and container in Path(f"/proc/{each.pid}/cgroup").read_text())


@pytest.mark.step("S5")
def test_by_the_api_nothing_is_changed(lake: Lake, journal_dir: str) -> None:
    lake.run()
    lake.wait_until_up()
    with serving() as api:
        api.answers["/status/stacktrace"] = HTML
        arguments = lake.arguments(journal_dir, api_url=api.url, jwt=TOKEN, count=2, interval=0.2)
        predicted = run_ok(MODULE, arguments, check=True)
        assert (predicted["method"], predicted["changed"], predicted["stacktraces"], api.asked) == ("api", False, [], ["/status/stacktrace", "/ping"])
        assert not Path(journal_dir).exists()
        taken = run_ok(MODULE, arguments)
        cut = run_ok(MODULE, {**arguments, "count": 1, "max_bytes": 4096, "dest": f"{journal_dir}/own/place"})
    assert (taken["method"], taken["why"], taken["changed"], taken["changes"], taken["undo_id"]) == ("api", "the API answers", False, [], None)
    assert [Path(each["path"]).read_bytes() for each in taken["stacktraces"]] == [HTML[2]] * 2
    for each in taken["stacktraces"]:
        assert (each["source"], each["truncated"], each["bytes"], stat.S_IMODE(os.stat(each["path"]).st_mode)) == ("api", False, len(HTML[2]), 0o600)
    (short,) = cut["stacktraces"]
    assert (short["truncated"], short["bytes"], short["kept_bytes"], Path(short["path"]).read_bytes()) == (True, len(HTML[2]), 4096, HTML[2][:4096])
    assert Path(short["path"]).parent == Path(journal_dir) / "own/place"
    assert stat.S_IMODE(os.stat(Path(short["path"]).parent).st_mode) == 0o700
    assert not lake.traces()
    assert TOKEN not in str((taken, cut, predicted))


@pytest.mark.step("S6")
@pytest.mark.parametrize("command", [DIRECT, BELOW_SHELL])
def test_a_frozen_api_and_a_process_that_answers_the_signal(lake: Lake, journal_dir: str, command: tuple[str, ...]) -> None:
    """Also where the first process of the container is a shell that never gives way: ``docker kill`` would reach that alone."""
    lake.run(CATCHES, command)
    lake.wait_until_up()
    (lake.logs / "stacktrace.html").write_text("<html>former</html>", encoding="utf-8")
    with serving() as api:
        api.answers["/status/stacktrace"] = None
        arguments = lake.arguments(journal_dir, api_url=api.url, request_timeout=1, count=2, interval=0.2, timeout=60)
        predicted = run_ok(MODULE, arguments, check=True)
        assert list(lake.traces()) == ["stacktrace.html"]
        taken = run_ok(MODULE, {**arguments, "approved_plan": predicted["plan_sha256"]})
    process = lake_process(lake)
    assert predicted["changes"][0]["reason"].startswith(f"SIGUSR1 to pid {process.pid}, which catches it: the API gives none: no answer to /status/stacktrace")
    assert (predicted["changed"], taken["changed"], taken["method"]) == (True, True, "signal")
    assert [change["reversible"] for change in taken["changes"]] == [False, False]
    assert all(change["done"] for change in taken["changes"])
    assert len(lake.traces()) == 3
    assert lake.traces()["stacktrace.html.2"] == "<html>former</html>"
    assert [each["original"] for each in taken["stacktraces"]] == [str(lake.logs / "stacktrace.html")] * 2
    kept = [Path(each["path"]).read_text(encoding="utf-8") for each in taken["stacktraces"]]
    assert kept == [lake.traces()["stacktrace.html.1"], lake.traces()["stacktrace.html"]]
    assert taken["process"]["first"] is (command is DIRECT)
    assert codes(taken) == {"sesam.api.frozen", "sesam.stacktrace.taken", "sesam.stacktrace.left"}
    assert "hush" not in str(taken)
    undone = run_module("runbook_undo", {"undo_id": taken["undo_id"], "journal_dir": journal_dir})
    assert undone["failed"]


@pytest.mark.step("S6")
def test_a_process_that_does_not_catch_the_signal(lake: Lake, journal_dir: str) -> None:
    """As the runbook has it, the signal would have ended the node; here it stays as it is."""
    lake.run("", BELOW_SHELL)
    lake.wait_until_up()
    process = lake_process(lake)
    refused = run_refused(MODULE, lake.arguments(journal_dir, method="signal"))
    (refusal,) = refused["refusals"]
    assert (refusal["guard"], refusal["reason"]) == ("not_caught", f"pid {process.pid} does not catch SIGUSR1, which would end it.")
    assert "sesam.process.not_caught" in codes(refused)
    assert procfs.read_process(process.pid) == process
    assert run_refused(MODULE, lake.arguments(journal_dir, method="auto"), check=True)["refusals"][0]["guard"] == "not_caught"
    os.kill(process.pid, signal.SIGUSR1)  # the naive way
    wait(lambda: procfs.read_process(process.pid) != process, "the end of the node")
    wait(lambda: not lake.state["Running"], "the end of the container")


@pytest.mark.parametrize(
    ("traps", "command", "guard", "words"),
    [
        ("", DIRECT, "not_caught", "which would be lost"),
        (IGNORES, DIRECT, "not_caught", "ignores SIGUSR1, and would write nothing"),
        (CATCHES, STILL_PREPARING, "process", "it may still be about to start"),
    ],
)
def test_others_that_are_not_signalled(lake: Lake, journal_dir: str, traps: str, command: tuple[str, ...], guard: str, words: str) -> None:
    lake.run(traps, command)
    if command is DIRECT:
        lake.wait_until_up()
    refused = run_refused(MODULE, lake.arguments(journal_dir, method="signal"))
    refusal = refused["refusals"][0]
    assert (refusal["guard"], words in refusal["reason"]) == (guard, True)
    assert lake.state["Running"]
    assert not lake.traces()


@pytest.mark.step("S6")
def test_who_is_not_let_in_is_told_so(lake: Lake, journal_dir: str) -> None:
    """An API that refuses works: the signal is for one that does not."""
    lake.run()
    lake.wait_until_up()
    with serving() as api:
        api.answers["/status/stacktrace"] = FORBIDDEN
        arguments = lake.arguments(journal_dir, api_url=api.url, jwt=f'"Bearer {TOKEN}"', timeout=60)
        refused = run_refused(MODULE, arguments)
        assert refused["refusals"][0]["guard"] == "admin"
        assert "group:Admin" in refused["refusals"][0]["allow"]
        assert "It's not for you" in refused["refusals"][0]["reason"]
        assert "sesam.api.needs_admin" in codes(refused)
        assert not lake.traces()
        allowed = run_ok(MODULE, {**arguments, "signal_without_admin": True})
        assert (allowed["method"], len(allowed["stacktraces"])) == ("signal", 1)
        assert run_refused(MODULE, {**arguments, "method": "api"})["refusals"][0]["guard"] == "admin"
        api.answers["/status/stacktrace"] = (200, "application/json", b'{"status": "running"}')
        assert run_ok(MODULE, arguments)["why"].endswith("is no HTML")
    assert run_refused(MODULE, lake.arguments(journal_dir, method="api"))["refusals"][0]["guard"] == "api_silent"
    assert TOKEN not in str((refused, allowed))


@pytest.mark.step("S6")
def test_a_process_that_hangs_as_well(lake: Lake, journal_dir: str) -> None:
    """It ends by itself, with what was seen; no other signal is sent."""
    lake.run()
    lake.wait_until_up()
    process = lake_process(lake)
    os.kill(process.pid, signal.SIGSTOP)
    try:
        failed = run_module(MODULE, lake.arguments(journal_dir, count=3, interval=0, timeout=2))
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert failed["failed"]
    assert f"within 2 s none was written; pid {process.pid} (state T) has not even taken the signal" in failed["msg"]
    assert codes(failed) >= {"sesam.api.down", "sesam.process.stopped", "sesam.stacktrace.none"}
    assert failed["changed"]
    assert [change["done"] for change in failed["changes"]] == [True, False, False]


@pytest.mark.parametrize(
    ("traps", "words"), [(NOTHING, "took the signal, and its handler does not get to run"), (NO_HTML, "is there (16 bytes), and is no HTML")]
)
def test_a_signal_that_gives_nothing_of_use(lake: Lake, journal_dir: str, traps: str, words: str) -> None:
    lake.run(traps)
    lake.wait_until_up()
    failed = run_module(MODULE, lake.arguments(journal_dir, method="signal", timeout=3))
    assert failed["failed"]
    assert words in failed["msg"]
    assert failed["stacktraces"] == []


def test_one_that_is_written_slowly_is_kept_whole(lake: Lake, journal_dir: str) -> None:
    lake.run(SLOW)
    lake.wait_until_up()
    (kept,) = run_ok(MODULE, lake.arguments(journal_dir, method="signal", timeout=60))["stacktraces"]
    assert Path(kept["path"]).read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.step("S7")
def test_one_that_is_there_will_do(lake: Lake, journal_dir: str) -> None:
    lake.run()
    lake.wait_until_up()
    (lake.logs / "stacktrace.html").write_text("<html>by the health checker</html>", encoding="utf-8")
    arguments = lake.arguments(journal_dir, method="signal", max_age=3600)
    predicted, taken = run_ok(MODULE, arguments, check=True), run_ok(MODULE, arguments)
    assert (predicted["method"], predicted["changed"], predicted["stacktraces"]) == ("left", False, [])
    (kept,) = taken["stacktraces"]
    assert (taken["method"], taken["changed"], kept["source"], Path(kept["path"]).read_text(encoding="utf-8")) == (
        ("left", False, "left", "<html>by the health checker</html>")
    )
    os.utime(lake.logs / "stacktrace.html", (1, 1))
    assert run_ok(MODULE, {**arguments, "timeout": 60})["method"] == "signal"


@pytest.mark.step("S7")
def test_the_health_checker_writes_one_at_the_same_time(lake: Lake, journal_dir: str) -> None:
    """Both are rotated: neither the former one, now two further, nor a link that somebody left is taken for the answer."""
    lake.run(TWICE)
    lake.wait_until_up()
    (lake.logs / "stacktrace.html").write_text("<html>former</html>", encoding="utf-8")
    (lake.logs / "stacktrace.html.9").symlink_to("/etc/passwd")
    taken = run_ok(MODULE, lake.arguments(journal_dir, method="signal", timeout=60))
    (kept,) = taken["stacktraces"]
    assert kept["others"] == 1
    assert "health" in Path(kept["path"]).read_text(encoding="utf-8")
    assert lake.traces()["stacktrace.html.2"] == "<html>former</html>"
    assert [Path(each["path"]).name for each in taken["left"]] == ["stacktrace.html"]


def test_a_container_that_is_made_anew_between_look_and_act(lake: Lake, journal_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.run()
    lake.wait_until_up()
    real, made = stacktrace_run.traces, []

    def traces(folder: str) -> Any:
        if not made and Path(journal_dir, "evidence").exists():  # right before the signal
            made.append(lake.again())
        return real(folder)

    monkeypatch.setattr(stacktrace_run, "traces", traces)
    failed = run_module(MODULE, lake.arguments(journal_dir, method="signal"))
    assert made
    assert failed["failed"]
    assert "was started or made anew since it was looked at" in failed["msg"]
    assert (failed["changed"], failed["changes"][0]["done"]) == (False, False)
    assert not lake.traces()
    assert run_ok(MODULE, lake.arguments(journal_dir, method="signal", timeout=60))["stacktraces"]


# -- of the stand-in of a node, whose health checker writes stack traces as well ---------------------------------------


@pytest.mark.step("S6")
@pytest.mark.step("S7")
def test_a_node_that_is_frozen_and_whose_health_checker_says_so(sesam_node: Callable[..., SesamNode], journal_dir: str) -> None:
    """Found without a name, below a shell, of another owner; the token is nowhere."""
    node = sesam_node(begins="shell", owner="777:777", health_interval=1.0, health_timeout=1.0, stacktrace_seconds=0.5)
    node.fault(frozen_api=True)
    node.wait_for(lambda: "stacktrace.html.1" in node.traces(), "the health checker has written two")
    taken = run_ok(MODULE, {**container_params(node), "journal_dir": journal_dir, "request_timeout": 2, "timeout": 60})
    assert (taken["method"], taken["process"]["first"], taken["log_folder"]) == ("signal", False, str(node.logs))
    assert codes(taken) >= {"sesam.api.frozen", "sesam.stacktrace.left"}
    (kept,) = taken["stacktraces"]
    text = Path(kept["path"]).read_text(encoding="utf-8")
    assert "<html" in text.lower()
    assert (len(text.encode()), kept["truncated"]) == (kept["bytes"], False)
    assert node.token() not in str(taken)
    node.fault(frozen_api=False, not_json=True)  # a proxy's page, with 200
    proxy = run_refused(MODULE, {**container_params(node), "journal_dir": journal_dir})["refusals"][0]
    assert (proxy["guard"], "of something before the node" in proxy["reason"]) == ("api", True)
    node.fault(not_json=False)
    by_api = run_ok(MODULE, {**container_params(node), "journal_dir": journal_dir})
    assert (by_api["method"], by_api["changed"]) == ("api", False)
    assert run_refused(MODULE, {**container_params(node, "group:Developer"), "journal_dir": journal_dir})["refusals"][0]["guard"] == "admin"


@pytest.mark.step("S6")
def test_a_node_that_loses_the_signal(sesam_node: Callable[..., SesamNode], journal_dir: str) -> None:
    node = sesam_node(signal="lost", health_interval=600.0)
    failed = run_module(MODULE, {**container_params(node), "journal_dir": journal_dir, "method": "signal", "timeout": 3})
    assert failed["failed"]
    assert "sesam.stacktrace.none" in codes(failed)
    assert node.status() is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"count": 0}, "count must be 1 to 100, not 0"),
        ({"interval": -1}, "interval must be 0 or more seconds"),
        ({"max_age": -1}, "max_age must be 0 or more seconds"),
        ({"method": "api", "count": 100, "interval": 100}, "count and interval are 9900 s of waiting"),
        ({"timeout": 0}, "timeout must be 0.1 or more seconds"),
        ({"max_bytes": 10}, "max_bytes must be 4096 or more"),
        ({"method": "signal", "dest": "relative"}, "dest must be an absolute path"),
        ({"container": "no-such"}, "container: there is no container no-such."),
        ({"log_folder": "/no/such"}, "log_folder: /no/such does not exist"),
        ({"method": "signal", "timeout": 1000}, "lock_expiry: "),
    ],
)
def test_bad_input(lake: Lake, journal_dir: str, options: dict[str, Any], words: str) -> None:
    lake.run()
    lake.wait_until_up()
    assert words in run_refused(MODULE, lake.arguments(journal_dir, **options))["msg"]
    assert not lake.traces()
