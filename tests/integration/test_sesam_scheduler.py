# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler of a node, off and on by its metadata. A node that ticks shows whether it is; what the runbook's way loses is lost beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure import run as engine
from lab.sesam import samples
from lab.sesam.plain import PlainSesam
from sesam_changing import KEY, OTHER_KEY, Operator, codes, fine, guards
from support import run_module, run_refused

Make = Callable[..., PlainSesam]
SECTION = {"concurrent_tasks": 4}


@pytest.fixture
def ticking(plain_sesam: Make, journal_dir: str) -> Operator:
    """Two pipes that run twice a second by themselves."""
    return Operator(plain_sesam(config=samples.config(scheduled=2)), journal_dir)


def undisturbed(operator: Operator) -> dict[str, Any]:
    """All that nobody may lose: the configuration without the switch."""
    found = operator.node.config()
    section = found.get("node", {}).get("task_manager", {})
    return {**found, "node": {**found.get("node", {}), "task_manager": {key: value for key, value in section.items() if key not in (KEY, OTHER_KEY)}}}


@pytest.mark.step("S8")
def test_off_on_and_undone(ticking: Operator) -> None:
    node, before = ticking.node, undisturbed(ticking)
    node.wait_runs("tick-0")
    predicted = fine(ticking.scheduler("disabled", check=True))
    assert (predicted["changed"], predicted["scheduler"]["state"], ticking.writes()) == (True, "enabled", [])
    result = fine(ticking.scheduler("disabled", settle=2, approved_plan=predicted["plan_sha256"]))
    assert [dict(change, done=False) for change in result["changes"]] == predicted["changes"]
    assert ticking.writes() == [("PUT", "/api/metadata")]
    assert ticking.switch() is True
    assert undisturbed(ticking) == before
    assert result["scheduler"]["state"] == "disabled"
    assert result["comparison"] == {"same": len(before) - 1, "added": [], "removed": [], "changed": [], "equal": True}
    assert (result["proof"]["due"], result["proof"]["started"]) == (2, [])
    assert codes(result) == ["disabled", "quiet"]
    runs = node.runs("tick-0")
    again = fine(ticking.scheduler("disabled", settle=1))
    assert (again["changed"], again["changes"], again["undo_id"]) == (False, [], None)
    assert node.runs("tick-0") == runs
    on = fine(ticking.scheduler("enabled"))
    assert (ticking.switch(), codes(on)) == (None, ["enabled", "file_unknown"])
    assert undisturbed(ticking) == before
    node.wait_runs("tick-0")
    assert fine(ticking.scheduler("enabled"))["changed"] is False
    assert ticking.undone(on["undo_id"])["changed"]
    assert ticking.switch() is True
    assert fine(ticking.scheduler("enabled"))["changed"]
    assert node.config()["node"] == samples.metadata()


@pytest.mark.step("S8")
def test_what_the_runbook_says_wipes_the_node(plain_sesam: Make, ticking: Operator) -> None:
    """The bare entity, uploaded as it stands there, beside what the module does; and the way back that suggests itself."""
    other = plain_sesam(config=samples.config(scheduled=2))
    entity = {"_id": "node", "type": "metadata", "task_manager": {KEY: True}}
    assert other.ask("PUT", "/config", [entity])[0] == 200
    assert other.config() == {"node": entity}
    third = plain_sesam(config=samples.config())
    assert third.ask("PUT", "/metadata", entity)[0] == 200  # replaces what it does not merge
    assert third.metadata() == entity
    third.ask("DELETE", "/metadata")
    assert "global_defaults" not in third.metadata()
    fine(ticking.scheduler("disabled"))
    fine(ticking.scheduler("enabled"))
    assert ticking.node.config() == {each["_id"]: each for each in samples.config(scheduled=2)}


@pytest.mark.step("S8")
@pytest.mark.parametrize("others", [{}, {"task_manager": {}}, {"task_manager": {KEY: False}}], ids=["no-section", "empty", "false"])
def test_what_was_there_comes_back(plain_sesam: Make, journal_dir: str, others: dict[str, Any]) -> None:
    metadata = {**samples.metadata(), **others}
    if not others:
        del metadata["task_manager"]
    config = [each for each in samples.config() if each["_id"] != "node"]
    operator = Operator(plain_sesam(config=[*config, metadata]), journal_dir)
    first = fine(operator.scheduler("disabled"))
    assert operator.switch() is True
    fine(operator.scheduler("enabled"))
    assert operator.node.metadata() == metadata
    operator.undone(fine(operator.scheduler("disabled"))["undo_id"])
    assert operator.node.metadata() == metadata
    assert operator.undo(first["undo_id"]).get("changed") in (None, False)


@pytest.mark.step("S8")
def test_without_the_endpoint_the_whole_configuration_goes_back(plain_sesam: Make, journal_dir: str) -> None:
    for metadata in ([samples.metadata()], []):
        config = [*[each for each in samples.config(pipes=20) if each["_id"] != "node"], *metadata]
        operator = Operator(plain_sesam(config=config, missing=["metadata"]), journal_dir)
        before = operator.node.config()
        result = fine(operator.scheduler("disabled"))
        assert operator.writes() == [("PUT", "/api/config")]
        assert result["scheduler"]["metadata"] == {"via": "config", KEY: True, OTHER_KEY: None}
        assert result["comparison"]["equal"]
        after = operator.node.config()
        assert after.pop("node")["task_manager"][KEY] is True
        assert after == {name: entity for name, entity in before.items() if name != "node"}
        assert not [pipe for pipe in operator.node.pipes().values() if pipe["runtime"]["state"] == "Deploying"]
        operator.undone(result["undo_id"])
        assert operator.node.config() == before


@pytest.mark.step("S8")
def test_what_somebody_else_set_is_left(ticking: Operator) -> None:
    metadata = samples.metadata(task_manager={**SECTION, KEY: True})
    ticking.node.ask("PUT", "/metadata", metadata)
    assert fine(ticking.scheduler("disabled"))["changed"] is False
    refused = ticking.scheduler("enabled")
    assert guards(refused) == ["foreign"]
    assert ticking.node.metadata() == metadata
    taken = fine(ticking.scheduler("enabled", take_over=True))
    assert ticking.node.metadata() == samples.metadata()
    ticking.undone(taken["undo_id"])
    assert ticking.node.metadata() == metadata
    # A section that is empty then stays where nobody knows who made it.
    ticking.node.ask("PUT", "/metadata", {**metadata, "task_manager": {KEY: True}})
    fine(ticking.scheduler("enabled", take_over=True))
    assert ticking.node.metadata()["task_manager"] == {}


@pytest.mark.step("S8")
def test_somebody_who_is_quicker_loses_nothing(ticking: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their change comes between the look and the write; a client that writes what it read would take it back."""
    theirs = samples.metadata(global_defaults={"theirs": True})

    def reached(name: str) -> None:
        if name == "apply.before":
            ticking.node.ask("PUT", "/metadata", theirs)

    with monkeypatch.context() as patch:
        patch.setattr(engine, "boundary", reached)
        done = fine(ticking.scheduler("disabled"))
    assert done["changed"] is False
    assert "were changed since they were looked at" in done["changes"][0]["note"]
    assert ticking.node.metadata() == theirs
    assert fine(ticking.scheduler("disabled"))["changed"]
    assert ticking.node.metadata() == samples.metadata(global_defaults={"theirs": True}, task_manager={**SECTION, KEY: True})


@pytest.mark.step("S8")
def test_other_entities_that_change_meanwhile_are_told(ticking: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody uploads a configuration while this is at work: it was not this module, and it is said what they did."""

    def reached(name: str) -> None:
        if name == "apply.after":
            theirs = {name: entity for name, entity in ticking.node.config().items() if name != "crm-1"}
            theirs["crm-0"] = samples.pipe("crm-0", "manual", batch_size=9)
            ticking.node.ask("PUT", "/config", [*theirs.values(), samples.pipe("theirs")])

    monkeypatch.setattr(engine, "boundary", reached)
    result = fine(ticking.scheduler("disabled"))
    assert result["comparison"] == {"same": 5, "added": ["theirs"], "removed": ["crm-1"], "changed": ["crm-0"], "equal": False}
    assert codes(result) == ["disabled", "entities_changed"]


@pytest.mark.step("S8")
def test_what_cannot_be_looked_at_again_has_not_succeeded(ticking: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API goes away right after the write. Nothing proves that the scheduler is off, so it is not said; and it can be taken back."""
    with monkeypatch.context() as patch:
        patch.setattr(engine, "boundary", lambda name: ticking.node.fault(unavailable=True) if name == "apply.after" else None)
        failed = run_module("sesam_scheduler", ticking.scheduler_arguments("disabled", data_folder=str(ticking.node.data)))
    ticking.node.fault(unavailable=False)
    assert "cannot be seen" in failed.get("msg", ""), failed
    assert failed["failed"]
    assert failed["changed"]
    assert ticking.switch() is True
    assert ticking.undone(failed["undo_id"])["changed"]
    assert ticking.switch() is None


@pytest.mark.step("S8")
def test_an_undo_is_refused_once_somebody_changed_it(ticking: Operator) -> None:
    result = fine(ticking.scheduler("disabled"))
    ticking.node.ask("PUT", "/metadata", samples.metadata(task_manager={**SECTION, KEY: "later"}))
    assert guards(ticking.undo(result["undo_id"])) == ["changed_since"]
    # What does not touch the switch is theirs, and stays when it is turned.
    ticking.node.ask("PUT", "/metadata", samples.metadata(task_manager={**SECTION, KEY: True}, global_defaults={"theirs": 1}))
    assert ticking.undone(result["undo_id"])["changed"]
    assert ticking.node.metadata() == samples.metadata(global_defaults={"theirs": 1})


@pytest.mark.step("S8")
def test_pumps_that_run_are_left_waited_for_or_stopped(plain_sesam: Make, journal_dir: str) -> None:
    fixed = samples.pipe("fixed", pump={"lab-operations": ["start"]})
    operator = Operator(plain_sesam(config=[*samples.config(), fixed], run_seconds=300, stop_seconds=1), journal_dir)
    node = operator.node
    for pipe in ("crm-0", "global:person/merge åæ", "fixed"):
        node.operate(pipe, "start")
    left = fine(operator.scheduler("disabled"))
    assert sorted(left["running"]) == ["crm-0", "fixed", "global:person/merge åæ"]
    assert "running" in codes(left)
    assert [entry for entry in operator.writes() if entry[0] == "POST" and "stop" in str(entry)] == []
    waited = operator.scheduler("disabled", running="wait", timeout=1)
    assert "3 pumps still run after 1 s" in waited["msg"]
    predicted = fine(operator.scheduler("disabled", check=True, running="stop"))
    assert [change["subject"] for change in predicted["changes"]] == ["pump:crm-0", "pump:global:person/merge åæ"]
    stopped = fine(operator.scheduler("disabled", running="stop"))
    assert stopped["running"] == ["fixed"]  # which does not support it, and is told
    assert not node.runtime("crm-0")["is-running"]
    assert fine(operator.scheduler("disabled", running="stop"))["changed"] is False
    assert guards(operator.undo(stopped["undo_id"])) == ["irreversible"]
    node.fault(run_seconds=0.2)
    node.kill()
    node.stop()
    node.start()
    node.operate("crm-1", "start")
    assert fine(operator.scheduler("disabled", running="wait"))["running"] == []


@pytest.mark.step("S8")
def test_a_pump_of_which_nothing_is_known_is_not_taken_for_one_that_has_ended(plain_sesam: Make, journal_dir: str) -> None:
    operator = Operator(plain_sesam(config=samples.config(), run_seconds=300), journal_dir)
    node = operator.node
    node.operate("crm-0", "start")
    node.fault(subnode_down=["crm-0"])
    waited = operator.scheduler("disabled", running="wait", timeout=1)
    assert "of 1 pumps it is not known after 1 s whether they run" in waited["msg"]
    assert (waited["failed"], waited["changed"], operator.switch()) == (True, True, True)
    node.operate("crm-1", "start")
    assert "1 pumps still run after 1 s: crm-1; of 1 pumps" in operator.scheduler("disabled", running="wait", timeout=1)["msg"]


@pytest.mark.step("S8")
def test_a_pump_that_starts_all_the_same_is_told(ticking: Operator) -> None:
    """A person's start looks the same; here nobody but a timer is at it."""
    fine(ticking.scheduler("disabled"))
    timer = threading.Timer(1.0, lambda: ticking.node.operate("crm-0", "start"))
    timer.start()
    result = fine(ticking.scheduler("disabled", settle=4))
    timer.join()
    assert result["proof"]["started"] == ["crm-0"]
    assert "started" in codes(result)


@pytest.mark.step("S8")
def test_both_keys_are_told_and_one_is_written(ticking: Operator) -> None:
    ticking.node.ask("PUT", "/metadata", samples.metadata(task_manager={OTHER_KEY: True}))
    result = fine(ticking.scheduler("disabled"))
    assert result["scheduler"]["stopped_by"] == [KEY, OTHER_KEY]
    on = fine(ticking.scheduler("enabled"))
    assert (on["scheduler"]["state"], on["scheduler"]["stopped_by"]) == ("disabled", [OTHER_KEY])
    assert ticking.node.metadata()["task_manager"] == {OTHER_KEY: True}
    other = fine(ticking.scheduler("enabled", key=OTHER_KEY, take_over=True))
    assert other["scheduler"]["state"] == "enabled"


@pytest.mark.step("S8")
def test_a_token_that_is_not_accepted_restarts_nothing(ticking: Operator, tmp_path: Path) -> None:
    """The API answers: this is no node whose file must be written."""
    data = ticking.node.data
    for jwt in ("", "nonsense", ticking.node.token(lifetime=-10.0)):
        failed = run_refused("sesam_scheduler", {**ticking.scheduler_arguments("disabled", data_folder=str(data)), "jwt": jwt})
        assert "401" in failed["msg"]
        assert not jwt or jwt not in str(failed)
    reader = run_refused("sesam_scheduler", {**ticking.scheduler_arguments("disabled"), "jwt": ticking.node.token("group:Anonymous")})
    assert "403" in reader["msg"]
    ticking.node.fault(html_errors=True, echo_token=True)
    token = ticking.node.token("group:Anonymous")
    failed = run_refused("sesam_scheduler", {**ticking.scheduler_arguments("disabled"), "jwt": token})
    assert token not in str(failed)
    assert "<" not in failed["msg"]
    assert not (data / "startup_options.json").exists()
    assert ticking.switch() is None
    journal = "".join(path.read_text(encoding="utf-8") for path in Path(ticking.journal).rglob("*") if path.is_file())
    assert token not in journal


def test_metadata_that_nothing_can_be_merged_into_are_refused(ticking: Operator) -> None:
    ticking.node.ask("PUT", "/metadata", samples.metadata(task_manager=["x"]))
    failed = run_refused("sesam_scheduler", ticking.scheduler_arguments("disabled"))
    assert "task_manager of the metadata is an array" in failed["msg"]
    assert ticking.node.metadata()["task_manager"] == ["x"]


@pytest.mark.parametrize(
    ("options", "said"), [({"timeout": -1}, "timeout must be 0 to"), ({"settle": 1e9}, "settle must be 0 to"), ({"api_url": "x"}, "api_url")]
)
def test_bad_input(journal_dir: str, options: dict[str, Any], said: str) -> None:
    known = {"state": "disabled", "journal_dir": journal_dir, "api_url": "http://127.0.0.1:1", "method": "metadata"}
    assert said in run_refused("sesam_scheduler", {**known, **options})["msg"]
