# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler by tables: what is planned where, who is remembered, what is said, and what two looks at pumps prove."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Sequence

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.envelope import Change, Outcome
from ansible_collections.fieldops.runbooks.plugins.module_utils.procedure.journal import Journal
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.config_saved import name_of
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.metadata import KEYS, Comparison
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.scheduler_findings import diagnose
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.scheduler_memory import CONFIG, KEY, SCHEDULER, SWITCH, Memory, remember
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.scheduler_state import SchedulerState, Wanted, file_after, guards, plan, told
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.scheduler_watch import Proof, Pump, due, not_ready, pump_of, started
from ansible_collections.fieldops.runbooks.plugins.module_utils.sesam.startup_options import Options

SWITCH_KEY, OTHER = KEYS
URL = "http://localhost:9042/api"
METADATA, FILE = "metadata:" + URL, "file:/data/startup_options.json"
OFF = {"_id": "node", "type": "metadata", "task_manager": {SWITCH_KEY: True}}
ON = {"_id": "node", "type": "metadata"}
OURS = Memory(True, {"task_manager": False, "set": False, "value": None})


def options(document: dict[str, Any] | None = None, written: float = 50.0) -> Options:
    data = None if document is None else json.dumps(document).encode()
    return Options("/data", data, written if data is not None else 0.0, "v")


def state(entity: dict[str, Any] | None = None, **known: Any) -> SchedulerState:
    return SchedulerState(URL, **{"entity": entity or ON, "container": "sesam-node", "started_at": 100.0, **known})


def subjects(changes: Sequence[Change]) -> list[str]:
    return ["%s %s" % (change.action, change.subject.partition(":")[0]) for change in changes]


FILE_OFF = {"task_manager": {SWITCH_KEY: True}}
DOWN = "nobody listens"


@pytest.mark.parametrize(
    ("seen", "wanted", "planned"),
    [
        (state(), Wanted(True), ["disable metadata"]),
        (state(OFF), Wanted(True), []),
        (state(options=options()), Wanted(True), ["disable metadata"]),
        (state(options=options()), Wanted(True, "startup_options"), ["disable file", "restart container"]),
        (state(options=options()), Wanted(True, "startup_options", restart=False), ["disable file"]),
        (state(options=options(FILE_OFF)), Wanted(True, "startup_options"), []),
        # Written since the start: only the restart is left to do.
        (state(options=options(FILE_OFF, 150.0)), Wanted(True, "startup_options"), ["restart container"]),
        (state(options=options(FILE_OFF, 150.0)), Wanted(True, "startup_options", restart=False), []),
        # An earlier run found no API and wrote the file; the API answers now.
        (state(options=options(FILE_OFF)), Wanted(True), []),
        (state(options=options(FILE_OFF), started_at=None), Wanted(True), ["disable metadata"]),  # whether the node has read it, nobody knows
        (state(options=options(FILE_OFF)), Wanted(True, "metadata"), ["disable metadata"]),
        (state(None, away=DOWN, options=options()), Wanted(True), ["disable file", "restart container"]),
        # On again: wherever it is off.
        (state(OFF), Wanted(False), ["enable metadata"]),
        (state(OFF, options=options(FILE_OFF)), Wanted(False), ["enable metadata", "enable file", "restart container"]),
        (state(OFF, options=options(FILE_OFF)), Wanted(False, "metadata"), ["enable metadata"]),
        (state(OFF, options=options(FILE_OFF)), Wanted(False, "startup_options"), ["enable file", "restart container"]),
        (state(options=options()), Wanted(False), []),
        # The key has gone from the file, and the file with it, since the node was started.
        (state(options=options(), memory={FILE: Memory(False, None, 150.0)}), Wanted(False), ["restart container"]),
    ],
)
def test_plan(seen: SchedulerState, wanted: Wanted, planned: list[str]) -> None:
    assert subjects(plan(seen, wanted)) == planned


@pytest.mark.parametrize(
    ("known", "wanted", "refused"),
    [
        ({"pumps": [Pump("a", True)]}, Wanted(False), ["running_pipes"]),
        ({"pumps": [Pump("a", True)]}, Wanted(False, restart=False), []),
        ({"pumps": [Pump("a", True)]}, Wanted(False, "startup_options"), []),
        ({"pumps": [Pump("a", True)]}, Wanted(True, "startup_options"), []),
        ({"pumps": [Pump("a")]}, Wanted(False), []),
        ({"entity": None, "away": DOWN}, Wanted(False), []),
    ],
)
def test_runs_are_not_cut_off_to_forget_a_file(known: dict[str, Any], wanted: Wanted, refused: list[str]) -> None:
    seen = state(**{"options": options(None if wanted.off else FILE_OFF), "memory": {FILE: OURS}, **known})
    assert [refusal.guard for refusal in guards(seen, wanted, plan(seen, wanted))] == refused


def test_pumps_are_stopped_only_when_asked_and_only_those_that_can_be() -> None:
    seen = state(OFF, pumps=[Pump("b", True), Pump("a", True), Pump("fixed", True, stoppable=False), Pump("idle")])
    assert plan(seen, Wanted(True)) == []
    stops = plan(seen, Wanted(True, running="stop"))
    assert [(change.subject, change.reversible) for change in stops] == [("pump:a", False), ("pump:b", False)]
    assert plan(state(pumps=[Pump("a", True)]), Wanted(False, running="stop")) == []


@pytest.mark.parametrize(
    ("document", "memory", "after"),
    [
        (FILE_OFF, Memory(True, None), None),  # made here, and nothing is left in it
        (FILE_OFF, Memory(), {"task_manager": {}}),
        ({**FILE_OFF, "x": 1}, Memory(True, None), {"x": 1}),
        ({"task_manager": {SWITCH_KEY: True, "threads": 4}}, Memory(True, None), {"task_manager": {"threads": 4}}),
        (FILE_OFF, OURS, {}),  # there was a file before
    ],
)
def test_what_is_left_of_the_file(document: dict[str, Any], memory: Memory, after: dict[str, Any] | None) -> None:
    data = file_after(state(options=options(document), memory={FILE: memory}), Wanted(False))
    assert (None if data is None else json.loads(data.decode("ascii"))) == after


def test_the_file_is_merged() -> None:
    seen = state(options=options({"z": 1, "task_manager": {"threads": 4}, "a": [1]}))
    (change, _restart) = plan(seen, Wanted(True, "startup_options"))
    data = file_after(seen, Wanted(True, "startup_options"))
    assert data is not None
    assert list(json.loads(data.decode("ascii")).items()) == [("z", 1), ("task_manager", {"threads": 4, SWITCH_KEY: True}), ("a", [1])]
    assert change.after == {"task_manager": True, "set": True, "value": True, "file": name_of(data)}


@pytest.mark.parametrize(
    ("memory", "take_over", "refused"),
    [({}, False, ["foreign", "foreign"]), ({}, True, []), ({METADATA: OURS}, False, ["foreign"]), ({METADATA: OURS, FILE: OURS}, False, [])],
)
def test_what_nobody_here_set_is_not_removed(memory: dict[str, Memory], take_over: bool, refused: list[str]) -> None:
    seen, wanted = state(OFF, options=options(FILE_OFF), memory=memory), Wanted(False, take_over=take_over)
    assert [refusal.guard for refusal in guards(seen, wanted, plan(seen, wanted))] == refused


def test_a_file_of_another_user_is_refused_when_it_matters() -> None:
    seen = state(options=replace(options(), unwritable="it belongs to another user."))
    for wanted, expected in ((Wanted(True), []), (Wanted(True, "startup_options"), ["rights"])):
        assert [refusal.guard for refusal in guards(seen, wanted, plan(seen, wanted))] == expected


@pytest.mark.parametrize(
    ("seen", "off", "found"),
    [
        (state(), True, ["enabled"]),
        (state(OFF), True, ["disabled"]),
        (state({**OFF, "task_manager": {OTHER: True}}), True, ["disabled"]),
        (state(None, away=DOWN, options=options(FILE_OFF)), True, ["away", "disabled"]),
        (state(None, away=DOWN, options=options(FILE_OFF, 150.0)), True, ["away", "not_in_force"]),
        (state(options=options(FILE_OFF, 150.0)), False, ["enabled", "not_in_force", "stays_off"]),
        (state(OFF, unseen="no engine"), True, ["disabled"]),
        (state(ON, unseen="no engine"), False, ["enabled", "file_unknown"]),
        (state(OFF, pumps=[Pump("a", True)]), True, ["disabled", "running"]),
        (state(ON, pumps=[Pump("a", True)]), False, ["enabled"]),
        (state(OFF, proof=Proof(5.0, 2, ["a"], [])), True, ["disabled", "quiet"]),
        (state(OFF, proof=Proof(5.0, 2, [], [])), True, ["disabled", "not_due"]),
        (state(OFF, proof=Proof(5.0, 2, [], ["a"])), True, ["disabled", "started"]),
        (state(OFF, proof=Proof(5.0, 2, ["a"], [], unknown=1)), True, ["disabled", "unproven"]),
        (state(OFF, proof=Proof(5.0, 2, [], ["a"], unknown=1)), True, ["disabled", "started"]),
        (state(OFF, comparison=Comparison(5)), True, ["disabled"]),
        (state(OFF, comparison=Comparison(5, removed=["a"])), True, ["disabled", "entities_changed"]),
    ],
)
def test_findings(seen: SchedulerState, off: bool, found: list[str]) -> None:
    assert [finding.code.rpartition(".")[2] for finding in diagnose(seen, Wanted(off))] == found


@pytest.mark.parametrize(
    ("seen", "known"),
    [(state(), "enabled"), (state(OFF), "disabled"), (state(None, away=DOWN), "unknown"), (state(None, away=DOWN, options=options(FILE_OFF)), "disabled")],
)
def test_what_is_told_of_it(seen: SchedulerState, known: str) -> None:
    assert told(seen)["state"] == known


def test_pumps_from_whatever_the_node_tells() -> None:
    assert pump_of({"_id": "a"}) == Pump("a")
    assert pump_of({"_id": "a", "runtime": None}) == Pump("a")
    runtime = {"is-running": True, "supported-operations": ["start"], "state": "Deploying", "last-run": "2026-01-31T23:59:59Z"}
    seen = pump_of({"_id": "a", "runtime": runtime, "cached_response_info": {"age": 3600}})
    assert (seen.running, seen.stoppable, seen.cached, not_ready([seen]), not_ready([replace(seen, cached=False)])) == (True, False, True, [], ["a"])


def test_what_began_between_two_looks() -> None:
    before = [Pump("runs", True, last_run="1"), Pump("still", last_run="1"), Pump("quick", last_run="1"), Pump("now", last_run="1"), Pump("old", last_run="1")]
    after = [
        Pump("runs", False, last_run="2"),  # ran before the first look
        Pump("still", last_run="1"),
        Pump("quick", last_run="2"),  # began and ended between
        Pump("now", True, last_run="1"),
        Pump("old", True, last_run="2", cached=True),  # nobody knows
        Pump("new", True),
    ]
    assert started(before, after) == ["quick", "now"]


@pytest.mark.parametrize(("planned", "known"), [("1970-01-01T00:00:10Z", True), ("1970-01-01T00:00:30.5Z", False), (None, False), ("soon", False)])
def test_due(planned: Any, known: bool) -> None:
    assert bool(due([Pump("a", next_run=planned)], 15.0, 20.0)) is known
    assert due([Pump("a", True, next_run=planned)], 15.0, 20.0) == []  # that is what it runs for


def test_the_next_run_of_one_that_runs_is_due() -> None:
    assert due([Pump("a", True, next_run="1970-01-01T00:00:18Z")], 15.0, 20.0) == ["a"]


def journaled(journal: Journal, fix: str, changes: Sequence[Change], **header: Any) -> None:
    journal.prepare()
    known = {"who": {}, "plan_sha256": "", "total": len(changes), KEY: SWITCH_KEY}
    writer = journal.start(fix, {**known, **header})
    for n, change in enumerate(changes):
        writer.begin(n, [change])
        writer.done(n, [Outcome(True)])
    writer.end("ok")


def test_the_newest_run_of_a_subject_is_remembered(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"))
    unset, off = {"task_manager": False, "set": False, "value": None}, {"task_manager": True, "set": True, "value": True}

    def memory(key: str = SWITCH_KEY) -> Memory:
        return remember(journal, key, [METADATA]).get(METADATA, Memory())

    assert memory() == Memory()
    journaled(journal, SCHEDULER, [Change("disable", METADATA, unset, off, "")])
    assert (memory().ours, memory().before) == (True, unset)
    assert not memory(OTHER).ours
    assert not remember(journal, SWITCH_KEY, [FILE])
    journaled(journal, "runbook_undo", [Change("undo_disable", METADATA, off, unset, "")], context_of=SCHEDULER, undo_of="x")
    assert not memory().ours
    upload = [Change("replace", "entity:node", {"type": "metadata"}, {"type": "metadata"}, "")]
    turned = {SWITCH: {"subject": METADATA, "before": unset, "after": off}}
    journaled(journal, CONFIG, upload, **turned)
    assert memory().ours
    journaled(journal, "runbook_undo", upload, context_of=CONFIG, undo_of="x", **turned)
    assert not memory().ours
    # It was off already when it was uploaded: by somebody else.
    journaled(journal, CONFIG, upload, **{SWITCH: {"subject": METADATA, "before": off, "after": off}})
    assert not memory().ours
