# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles of calls and of runs, from a node that does what is asked of it; beside each, what a client that follows the runbook's words would get."""

from __future__ import annotations

import marshal
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.profile import ProfileStore
from ansible_collections.fieldops.runbooks.plugins.modules import runbook_undo
from lab.sesam import samples
from lab.sesam.container import SesamNode
from lab.sesam.plain import PlainSesam
from lab.sesam.standin.auth import ANONYMOUS
from sesaming import container_params, params
from support import run_module, run_ok, run_refused

STRANGE = "global:person/merge åæ"


class Profiler:
    """A node, and the module beside it."""

    def __init__(self, node: PlainSesam, folder: Path) -> None:
        self.node, self.folder, self.journal = node, folder, str(folder / "journal")

    def arguments(self, **options: Any) -> dict[str, Any]:
        known = params(self.node, log_folder=str(self.node.logs), journal_dir=self.journal)
        return {**known, **({"timeout": 60} if "pipe" in options else {}), **options}

    def ok(self, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_ok("sesam_profile", self.arguments(**options), check=check)

    def refused(self, **options: Any) -> dict[str, Any]:
        return run_refused("sesam_profile", self.arguments(**options))


@pytest.fixture
def shared(shared_sesam: PlainSesam, tmp_path: Path) -> Profiler:
    return Profiler(shared_sesam, tmp_path)


@pytest.fixture
def own(plain_sesam: Callable[..., PlainSesam], tmp_path: Path) -> Callable[..., Profiler]:
    return lambda **options: Profiler(plain_sesam(**options), tmp_path)


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("sesam.profile.") for finding in result["findings"]]


def guards(result: dict[str, Any]) -> list[str]:
    return [refusal["guard"] for refusal in result["refusals"]]


@pytest.mark.step("S2")
def test_a_call_is_profiled_and_kept(shared: Profiler) -> None:
    result = shared.ok(path="/pipes?fields=runtime")
    assert (result["changed"], codes(result)) == (False, ["written", "written"])
    assert [profile["kind"] for profile in result["profiles"]] == ["pstats", "calltree"]
    stats, tree = (Path(profile["path"]) for profile in result["profiles"])
    assert any(name == "_complete" for _file, _line, name in marshal.loads(stats.read_bytes()))  # noqa: S302 - of this very Python
    assert tree.read_text(encoding="utf-8").startswith("version: 1\ncreator: lake\n")
    assert {os.stat(path).st_mode & 0o777 for path in (stats, tree)} == {0o600}
    assert os.stat(stats.parent).st_mode & 0o777 == 0o700
    assert result["profiles"][0]["given_name"].startswith("api-call-")
    assert [(entry["method"], entry["path"], entry["profiler"]) for entry in shared.node.requests] == [
        ("GET", "/api/pipes", kind) for kind in ("pstats", "calltree")
    ]


@pytest.mark.step("S2")
def test_in_check_mode_nothing_is_asked(shared: Profiler) -> None:
    result = shared.ok(check=True, path="/pipes")
    assert (codes(result), result["profiles"], shared.node.requests) == (["none"], [], [])
    assert not os.path.exists(shared.journal)


@pytest.mark.step("S2")
def test_a_call_that_changes_something_is_never_profiled(own: Callable[..., Profiler]) -> None:
    made = own(config=samples.config(pipes=2))
    # The runbook's header on another method: a profile comes back, and the configuration is gone.
    entity = [samples.metadata()]
    status, body = made.node.ask("PUT", "/config", entity, headers={"SESAM-API-PROFILER": "calltree"})
    assert (status, body[:7]) == (200, b"version")
    assert set(made.node.config()) == {"node"}
    made.node.forget_requests()
    assert "PUT is not profiled" in made.refused(path="/config", method="PUT")["msg"]
    for path in ("PUT /config", "/admin?operation=reset", "/pipes/x/pump?operation=start"):
        assert "is made, only its answer is discarded" in made.refused(path=path)["msg"]
    assert made.node.requests == []


@pytest.mark.step("S2")
def test_an_answer_that_is_no_profile_is_told(shared: Profiler) -> None:
    shared.node.fault(not_json=True)
    result = shared.ok(path="/pipes", format="pstats")
    assert (codes(result), result["profiles"]) == (["no_profile"], [])
    assert "a page of HTML" in result["findings"][0]["summary"]
    shared.node.mend()
    assert "max_bytes" in shared.refused(path="/pipes", max_bytes=1024)["msg"]
    assert "404" in shared.refused(path="/nothing")["msg"]
    told = shared.refused(path="/pipes", jwt="not-a-token-of-anybody")
    assert "401" in told["msg"]
    assert "not-a-token" not in str(told)


@pytest.mark.step("S2")
def test_a_folder_of_ones_own(shared: Profiler) -> None:
    place = shared.folder / "mine"
    first, second = (shared.ok(path="/ping", format="calltree", dest=str(place))["profiles"][0]["path"] for _n in range(2))
    assert first != second
    assert {str(path) for path in place.iterdir()} == {first, second}
    assert "absolute path" in shared.refused(path="/ping", dest="mine")["msg"]


@pytest.mark.step("S3")
@pytest.mark.parametrize("pipe", ["crm-0", STRANGE])
def test_a_run_is_profiled(own: Callable[..., Profiler], pipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = own()
    predicted = made.ok(check=True, pipe=pipe)
    assert (predicted["changed"], predicted["profiles"]) == (True, [])
    assert not [entry for entry in made.node.requests if entry["method"] != "GET"]
    result = made.ok(pipe=pipe, approved_plan=predicted["plan_sha256"])
    assert codes(result) == ["written"]
    assert [change["reversible"] for change in result["changes"]] == [False]
    names = sorted(Path(profile["path"]).name for profile in result["profiles"])
    assert all(quote(pipe, safe="") in name for name in names)
    assert [os.path.splitext(name)[1] for name in names] == [".calltree", ".pstat"]
    assert result["run"]["success"] is True
    assert made.node.wait_for(lambda: made.node.runs(pipe) == 1, "it ran once")
    monkeypatch.setitem(runbook_undo.STORES, "sesam_profile", ProfileStore)
    undone = run_module("runbook_undo", {"undo_id": result["undo_id"], "journal_dir": made.journal})
    assert guards(undone) == ["irreversible"]
    again = made.ok(pipe=pipe, max_age=3600)
    assert (again["changed"], codes(again)) == (False, ["present"])
    assert {profile["path"] for profile in again["profiles"]} == {profile["path"] for profile in result["profiles"]}


@pytest.mark.step("S3")
@pytest.mark.thorough
def test_a_pump_that_runs_gives_no_profile(own: Callable[..., Profiler]) -> None:
    made = own(run_seconds=10.0)
    assert made.node.operate("crm-0", "start")[0] == 200
    made.node.fault(run_seconds=0.5)  # of later runs
    # The runbook's call: 409, and nobody notices that there will be no profile.
    assert made.node.operate("crm-0", "start", profiler="true")[0] == 409
    told = made.refused(pipe="crm-0")
    assert guards(told) == ["running"]
    result = made.ok(pipe="crm-0", if_running="wait")
    assert codes(result) == ["written"]
    assert result["run"]["waited"] > 0
    made.node.wait_for(lambda: made.node.runs("crm-0") == 2, "both runs came to their end")
    assert not [entry for entry in made.node.requests if (entry.get("form") or {}).get("operation") == "stop"]
    stamps = {Path(profile["path"]).stem for profile in result["profiles"]}
    assert {path.stem for path in made.node.logs.glob("*.pstat")} == stamps


@pytest.mark.step("S3")
def test_files_of_a_pipe_with_the_same_beginning(own: Callable[..., Profiler]) -> None:
    config = [*samples.config(pipes=0), samples.pipe("foo"), samples.pipe("foo-bar"), samples.pipe("my-foo"), samples.pipe("foo-2024")]
    made = own(config=config, run_seconds=0.5)
    names = ("foo-bar", "my-foo", "foo-2024")
    others = [threading.Thread(target=made.node.operate, args=(pipe, "start"), kwargs={"profiler": "true"}) for pipe in names]
    for other in others:
        other.start()
    result = made.ok(pipe="foo")
    for other in others:
        other.join()
    made.node.wait_for(lambda: len(list(made.node.logs.glob("*.calltree"))) == 4, "all four have written")
    # What `*foo*` finds, as the runbook has it: the files of four pipes.
    assert len(list(made.node.logs.glob("*foo*.pstat"))) == 4
    (stem,) = {Path(profile["path"]).stem for profile in result["profiles"]}
    assert stem.startswith("pump-foo-")
    assert not stem.startswith(("pump-foo-bar", "pump-foo-2024-2"))
    assert len(result["profiles"]) == 2


@pytest.mark.step("S3")
def test_a_run_that_fails_is_told_with_its_reason(own: Callable[..., Profiler]) -> None:
    made = own(failing_pipes=["crm-1"])
    result = made.ok(pipe="crm-1")
    assert codes(result) == ["run_failed", "written"]
    assert result["run"]["success"] is False
    assert result["run"]["reason"]
    assert result["run"]["reason"] in result["findings"][0]["summary"]
    assert len(result["profiles"]) == 2


@pytest.mark.step("S3")
def test_a_run_that_takes_too_long_goes_on(own: Callable[..., Profiler]) -> None:
    made = own(run_seconds=6.0)
    told = run_module("sesam_profile", made.arguments(pipe="crm-0", timeout=2))
    assert told["failed"]
    assert "goes on and is not stopped" in told["msg"]
    assert told["undo_id"]
    made.node.wait_for(lambda: made.node.runs("crm-0") == 1, "it came to its end")
    later = made.node.wait_for(lambda: (found := made.ok(pipe="crm-0", max_age=600, check=True))["profiles"] and found, "its profiles are taken later")
    assert (later["changed"], len(later["profiles"])) == (False, 2)


@pytest.mark.step("S3")
def test_what_cannot_be_run_is_refused(own: Callable[..., Profiler]) -> None:
    made = own(config=[*samples.config(pipes=1), samples.pipe("never", "off")], subnode_down=["crm-0"])
    assert guards(made.refused(pipe="never")) == ["mode"]
    assert guards(made.refused(pipe="crm-0")) == ["unknown"]
    made.node.fault(subnode_down=[])
    made.node.operate("crm-0", "disable")
    assert guards(made.refused(pipe="crm-0")) == ["disabled"]
    assert made.ok(pipe="crm-0", run_disabled=True)["changed"]
    assert made.node.runtime("crm-0")["is-disabled"] is True
    assert "no pipe none at all" in made.refused(pipe="none at all")["msg"]
    assert "403" in made.refused(pipe="crm-0", jwt=made.node.token(ANONYMOUS), run_disabled=True)["msg"]
    assert "lock_expiry" in made.refused(pipe="crm-0", timeout=900)["msg"]
    assert "log_folder" in made.refused(pipe="crm-0", log_folder="/nowhere/at/all")["msg"]


@pytest.mark.step("S3")
def test_the_log_folder_is_found_from_the_container(sesam_node: Callable[..., SesamNode], journal_dir: str) -> None:
    node = sesam_node()
    known = container_params(node, container=node.name, journal_dir=journal_dir, timeout=60)
    result = run_ok("sesam_profile", {**known, "pipe": STRANGE})
    assert result["log_folder"] == str(node.logs)
    assert sorted(Path(profile["path"]).suffix for profile in result["profiles"]) == [".calltree", ".pstat"]
    assert all(Path(profile["path"]).parent == node.logs for profile in result["profiles"])
    journal = "".join(path.read_text(encoding="utf-8") for path in Path(journal_dir).glob("runs/*"))
    assert journal
    assert known["jwt"][:20] not in journal + str(result)
