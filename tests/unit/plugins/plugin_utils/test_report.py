# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report import Origin, Report

SCHEMA = json.loads((Path(__file__).resolve().parents[4] / "docs" / "schemas" / "report.schema.json").read_text(encoding="utf-8"))
INFO, FIX, UNDO = "fieldops.runbooks.fits_queue_info", "fieldops.runbooks.fits_queue_reset", "fieldops.runbooks.runbook_undo"
RUN = {"playbooks": ["fits.yml"], "started": "2026-01-02T03:04:05Z", "ended": "2026-01-02T03:05:05Z", "check_mode": False, "ansible_version": "2.19.14"}
SHA = "3f9ac01b22d1" + "0" * 52


def origin(host: str = "fits-a", action: str = INFO, minute: int = 0, **more: Any) -> Origin:
    args = more.pop("args", {"login_db": "fitsdata"})
    return Origin(host=host, task="Read the queues", action=action, at="2026-01-02T03:%02d:00Z" % minute, args=args, **more)


def finding(code: str = "fits.ingest.orphaned", severity: str = "critical", **more: Any) -> dict[str, Any]:
    shape = {"subject": "ingest queue", "summary": "12 files have no worker", "detail": {"rows": 12}, "remedy": None, "runbook": None}
    return {**shape, "code": code, "severity": severity, **more}


def change(n: int = 0, done: bool = True, **more: Any) -> dict[str, Any]:
    shape = {"before": {"inprogress": True}, "after": {"inprogress": False}, "action": "reset", "reason": "orphaned", "reversible": True}
    return {**shape, "n": n, "subject": "row %d" % n, "done": done, **more}


def fixed(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"changes": list(changes), "changes_total": len(changes), "plan_sha256": SHA, "undo_id": "u-1", "findings": [], **more}


def document(report: Report, **failures: int) -> dict[str, Any]:
    """The report as a reader gets it: through JSON, and valid."""
    counts = dict.fromkeys(("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored"), 0)
    stats = {host.replace("_", "-"): dict(counts, failures=number) for host, number in failures.items()}
    read_back = json.loads(json.dumps(report.document(RUN, stats), allow_nan=False))
    jsonschema.Draft202012Validator(SCHEMA).validate(read_back)
    return dict(read_back)


def standing(report: Report) -> list[str]:
    return ["%s on %s" % (group["code"], entry["host"]) for group in document(report)["findings"] if not group["cleared"] for entry in group["hosts"]]


def test_the_schema_says_its_version() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$id"].endswith(":2")
    assert SCHEMA["properties"]["schema_version"] == {"const": 2}


def test_an_empty_report_is_valid_and_false() -> None:
    report = Report()
    assert not report
    assert document(report)["totals"]["critical"] == 0


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"changes": {"installed": ["vim"]}},
        {"changes": ["installed vim"]},
        {"findings": "none"},
        {"findings": [{"title": "of another module"}]},
        {"findings": [{"code": "E1"}]},
        {"refusals": [{"reason": "no guard"}]},
        {"findings": None, "changes": None},
    ],
)
def test_what_is_not_an_envelope_is_left_alone(result: dict[str, Any]) -> None:
    report = Report()
    assert report.add(origin(), result) is False
    assert not report


def test_one_broken_entry_among_good_ones_is_counted() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding(), 5, {"code": ""}], "changes": [change(), {"action": 1}], "refusals": []})
    assert document(report)["totals"]["unreadable_entries"] == 3


def test_an_unknown_severity_is_no_reason_to_be_calm() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding(severity="fatal", subject=None, summary=None, remedy="x", runbook={})]})
    (group,) = document(report)["findings"]
    assert (group["severity"], group["summary"], group["subject"]) == ("warning", "fits.ingest.orphaned", "")


def test_the_same_finding_on_many_hosts_is_one_worst_first() -> None:
    report = Report()
    for host in ("fits-10", "fits-2", "fits-1"):
        report.add(origin(host), {"findings": [finding("fits.a", "warning"), finding("fits.b"), finding("fits.c", "ok"), finding("fits.d", "info")]})
    report.add(origin("fits-3"), {"findings": [finding("fits.e", "critical", summary="another")]})
    groups = document(report)["findings"]
    assert [(group["code"], group["severity"]) for group in groups] == [
        ("fits.b", "critical"),
        ("fits.e", "critical"),
        ("fits.a", "warning"),
        ("fits.d", "info"),
        ("fits.c", "ok"),
    ]
    assert [entry["host"] for entry in groups[0]["hosts"]] == ["fits-1", "fits-2", "fits-10"]


def test_a_finding_told_twice_in_one_result_is_one_and_two_summaries_are_two() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding(), finding(), finding(summary="another")]})
    assert len(standing(report)) == 2
    report.add(origin(minute=1), {"findings": [finding(summary="another")]})
    assert document(report)["totals"]["cleared"] == 1


def test_the_same_check_again_clears_and_brings_back() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding()]})
    report.add(origin(minute=1), {"findings": [finding("fits.ingest.ok", "ok")]})
    data = document(report)
    (cleared,) = [group for group in data["findings"] if group["cleared"]]
    assert cleared["hosts"][0]["first_seen"] == "2026-01-02T03:00:00Z"
    assert cleared["hosts"][0]["cleared_at"] == "2026-01-02T03:01:00Z"
    assert data["totals"]["cleared"] == 1
    report.add(origin(minute=2), {"findings": [finding(summary="1 file has no worker")]})
    (group,) = [group for group in document(report)["findings"] if group["severity"] == "critical"]
    assert (group["cleared"], group["summary"]) == (False, "1 file has no worker")
    assert group["hosts"][0]["first_seen"] == "2026-01-02T03:00:00Z"
    assert document(report)["totals"]["cleared"] == 0


def test_one_code_for_good_and_bad_clears_as_well() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding("disk.space")]})
    report.add(origin(), {"findings": [finding("disk.space", "warning")]})
    assert document(report)["totals"]["cleared"] == 0
    report.add(origin(), {"findings": [finding("disk.space", "ok")]})
    data = document(report)
    assert (data["totals"]["cleared"], data["totals"]["ok"]) == (1, 1)
    report.add(origin(), {"findings": [finding("disk.space")]})
    data = document(report)
    assert (data["totals"]["cleared"], data["totals"]["ok"], data["totals"]["critical"]) == (0, 0, 1)


@pytest.mark.parametrize(
    "later",
    [
        origin("fits-b"),
        origin(action=FIX),
        origin(args={"login_db": "other"}),
        origin(args={}),
        origin(item="fitsdata"),
        origin(ran_on="fits-b"),
    ],
    ids=["host", "action", "option", "default", "item", "node"],
)
def test_another_check_clears_nothing(later: Origin) -> None:
    report = Report()
    report.add(origin(), {"findings": [finding()]})
    report.add(later, {"findings": []})
    assert standing(report) == ["fits.ingest.orphaned on fits-a"]


def test_guards_secrets_and_waiting_do_not_make_another_check() -> None:
    report = Report()
    report.add(origin(args={"login_db": "x", "max_changes": 10, "login_password": "a"}), {"findings": [finding()]})
    report.add(origin(args={"login_db": "x", "max_changes": 20, "login_user": "b", "filename": None}), {"findings": []})
    assert standing(report) == []


def test_a_module_that_says_what_it_checked_is_believed() -> None:
    report = Report()
    report.add(origin(args={"a": 1}), {"findings": [finding()], "checked": {"database": "fitsdata"}})
    report.add(origin(args={"a": 2}), {"findings": [], "checked": {"database": "archive"}})
    assert len(standing(report)) == 1
    report.add(origin(args={"a": 3}), {"findings": [], "checked": {"database": "fitsdata"}})
    assert standing(report) == []


def test_a_failed_result_adds_and_clears_nothing() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding()]})
    report.add(origin(), {"findings": [finding("fits.ingest.failed")]}, ok=False)
    assert len(standing(report)) == 2


def test_what_check_and_fix_both_report_is_one_and_cleared_by_the_check() -> None:
    report = Report()
    report.add(origin(args={"login_db": "x", "queues": ["ingest"]}), {"findings": [finding()]})
    report.add(origin(action=FIX, args={"login_db": "x", "queue": "ingest"}, check_mode=True), {"findings": [finding(summary="13 files")], "changes": []})
    assert standing(report) == ["fits.ingest.orphaned on fits-a"]
    report.add(origin(args={"login_db": "x", "queues": ["ingest"]}), {"findings": []})
    assert standing(report) == []


def test_check_and_fix_of_different_databases_are_two() -> None:
    report = Report()
    report.add(origin(args={"login_db": "x"}), {"findings": [finding()]})
    report.add(origin(action=FIX, args={"login_db": "y"}), {"findings": [finding(summary="13 files")]})
    report.add(origin(action=FIX, args={}), {"findings": [finding(summary="14 files")]})
    assert len(standing(report)) == 3


def test_findings_from_before_a_change_say_so_until_looked_at_again() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding()]})
    report.add(origin(action=FIX), fixed(change()))
    assert document(report)["findings"][0]["hosts"][0]["before_change"] is True
    report.add(origin(), {"findings": [finding()]})
    assert document(report)["findings"][0]["hosts"][0]["before_change"] is False


def test_check_mode_changes_nothing() -> None:
    report = Report()
    report.add(origin(), {"findings": [finding()]})
    report.add(origin(action=FIX, check_mode=True), fixed(change(done=False), undo_id=None))
    data = document(report)
    assert data["findings"][0]["hosts"][0]["before_change"] is False
    assert (data["totals"]["changes_done"], data["totals"]["changes_planned"]) == (0, 1)
    assert data["undo"] == []


@pytest.mark.parametrize(
    ("result", "ok", "made"),
    [
        (fixed(change(0), change(1)), True, 2),
        (fixed(change(0), change(1, done=False, note="changed since")), True, 1),
        (fixed(change(0), change(1), changes_total=5000), True, 5000),
        (fixed(change(0), change(1), changes_total=5000), False, 2),
        (fixed(change(0, done=False)), False, 0),
    ],
)
def test_changes_made_are_counted_no_higher_than_known(result: dict[str, Any], ok: bool, made: int) -> None:
    report = Report()
    report.add(origin(action=FIX), result, ok)
    assert document(report)["totals"]["changes_done"] == made


def test_refusals_are_kept_until_the_same_fix_is_accepted() -> None:
    report = Report()
    refusal = {"guard": "max_changes", "reason": "too many", "allow": "max_changes: 1500"}
    refused = fixed(change(done=False), undo_id=None, refusals=[refusal], changes_total=1500)
    report.add(origin(action=FIX, args={"max_changes": 1}), refused, ok=False)
    data = document(report)
    assert data["changes"] == []
    assert data["refusals"][0]["refusals"] == [refusal]
    assert (data["refusals"][0]["total"], data["totals"]["refused"]) == (1500, 1)
    report.add(origin(action=FIX, args={"max_changes": 2000}), fixed(change()))
    data = document(report)
    assert (data["refusals"][0]["resolved"], data["totals"]["refused"]) == (True, 0)


def test_undo_commands_are_exact_and_hold_no_secret() -> None:
    args = {"login_db": "fits data", "login_password": "hunter2", "login_port": 5433, "queue": "ingest", "journal_dir": "/srv/j"}
    report = Report(["hosts one.yml"])
    report.add(origin(action=FIX, args=args, ran_on="db-1", become=True, become_user="postgres"), fixed(change(), change(1, reversible=False)))
    (entry,) = document(report)["undo"]
    words = shlex.split(entry["command"])
    assert words[:7] == ["ansible", "db-1", "-i", "hosts one.yml", "-m", UNDO, "-a"]
    assert shlex.split(words[7]) == ["undo_id=u-1", "login_port=5433", "login_db=fits data", "journal_dir=/srv/j"]
    assert words[8:] == ["-b", "--become-user", "postgres"]
    assert entry["needs"] == ["login_password"]
    assert (entry["changes"], entry["irreversible"]) == (2, 1)
    assert "hunter2" not in json.dumps(document(report))


def test_an_undo_id_cannot_smuggle_options() -> None:
    report = Report()
    report.add(origin(action=FIX, args={}), fixed(change(), undo_id="u-1 login_host=evil; rm -rf /"))
    words = shlex.split(document(report)["undo"][0]["command"])
    assert words == ["ansible", "fits-a", "-m", UNDO, "-a", "undo_id='u-1 login_host=evil; rm -rf /'"]


def test_a_run_taken_back_is_no_longer_offered() -> None:
    report = Report()
    report.add(origin(action=FIX), fixed(change()))
    for later, ok, undone in (
        (origin(action=UNDO, args={"undo_id": "u-1"}, check_mode=True), True, False),
        (origin(action=UNDO, args={"undo_id": "u-1"}), False, False),
        (origin(action=UNDO, args={"undo_id": "u-1", "changes": [0]}), True, False),
        (origin(action=UNDO, args={"undo_id": "u-1"}), True, True),
    ):
        report.add(later, fixed(change(), undo_id="u-2"), ok)
        assert document(report)["undo"][0]["undone"] is undone
    assert document(report)["undo"][-1]["undone"] is False


def test_remedies_are_shared_numbered_and_limited_to_their_hosts() -> None:
    book = {"file": "fits.rst", "heading": "Ingest"}
    remedy = {"playbook": "fieldops.runbooks.fits_ingest_queue", "vars": {"fits_repair": True}, "text": "Reset them."}
    report = Report(["hosts.yml"])
    for host in ("fits-b", "fits-a"):
        report.add(origin(host), {"findings": [finding(remedy=remedy, runbook=book), finding("fits.x", "warning", remedy=dict(remedy, text="And these."))]})
    report.add(origin("fits-c"), {"findings": [finding("fits.y", "warning", remedy={"text": "Call the operator."}), finding("fits.z", "ok", remedy=remedy)]})
    data = document(report)
    assert [group["remedies"] for group in data["findings"]] == [[1], [1], [2], []]
    first, second = data["remedies"]
    assert first["command"] == "ansible-playbook -i hosts.yml fieldops.runbooks.fits_ingest_queue -e fits_repair=true --limit fits-a,fits-b"
    assert (first["texts"], first["runbooks"]) == (["Reset them.", "And these."], [book])
    assert (second["command"], second["texts"], second["hosts"]) == (None, ["Call the operator."], ["fits-c"])


def test_a_remedy_that_belongs_elsewhere_is_run_there() -> None:
    remedy = {"playbook": "fieldops.runbooks.fits_website", "vars": {}, "text": "Look after the archive."}
    report = Report(["hosts.yml"])
    report.add(origin("fits-a"), {"findings": [finding(remedy=dict(remedy, hosts="archive_servers")), finding("fits.x", "warning", remedy=remedy)]})
    commands = {each["command"].rpartition(" --limit ")[2] for each in document(report)["remedies"]}
    assert commands == {"archive_servers", "fits-a"}


def test_lists_for_the_same_playbook_and_hosts_are_one_command() -> None:
    def remedy(*conditions: str) -> dict[str, Any]:
        return {"playbook": "p.yml", "vars": {"fits_conditions": list(conditions), "fits_repair": True}, "text": "Repair it."}

    report = Report()
    for host in ("fits-a", "fits-b"):
        report.add(origin(host), {"findings": [finding(remedy=remedy("orphaned")), finding("fits.f", remedy=remedy("failed", "orphaned"))]})
    report.add(origin("fits-c"), {"findings": [finding("fits.s", "warning", remedy=remedy("stale"))]})
    data = document(report)
    assert [group["remedies"] for group in data["findings"]] == [[1], [1], [2]]
    words = shlex.split(data["remedies"][0]["command"])
    assert json.loads(words[words.index("-e") + 1]) == {"fits_conditions": ["failed", "orphaned"], "fits_repair": True}
    assert words[-1] == "fits-a,fits-b"
    assert shlex.split(data["remedies"][1]["command"])[-1] == "fits-c"


def test_troubles_are_told_apart() -> None:
    report = Report()
    report.add_trouble("failed", origin("fits-1"), {"msg": "first"})
    report.add_trouble("failed", origin("fits-1"), {"msg": "second"})
    report.add_trouble("failed", origin("fits-1"), {"msg": "third"}, ignored=True)
    report.add_trouble("failed", origin("fits-2"), {"msg": "caught"})
    report.add_trouble("unreachable", origin("fits-3"), {"msg": "Task failed: no route"})
    data = document(report, fits_1=1, fits_2=0)
    told = [(entry["reason"], entry["rescued"], entry["ignored"]) for entry in data["failed"]]
    assert told == [("first", True, False), ("second", False, False), ("third", False, True), ("caught", True, False)]
    assert [(entry["host"], entry["reason"]) for entry in data["unreachable"]] == [("fits-3", "no route")]


def test_hidden_results_are_left_out_and_counted() -> None:
    report = Report()
    assert report.add(origin(), {"_ansible_no_log": True, "findings": [finding(summary="hunter2")]}) is False
    assert report.add(origin(), {"censored": "the output has been hidden", "findings": [finding(summary="hunter2")]}) is False
    report.add_trouble("failed", origin(), {"censored": "the output has been hidden", "msg": "hunter2"})
    data = document(report)
    assert data["totals"]["hidden_results"] == 2
    assert data["failed"][0]["reason"] == "hidden by no_log"
    assert "hunter2" not in json.dumps(data)


@pytest.mark.parametrize("same", ["subject", "summary", "neither"])
def test_time_grows_no_faster_than_the_results(same: str) -> None:
    def seconds(count: int) -> float:
        findings = [finding(subject="s" if same == "subject" else "s%d" % n, summary="t" if same == "summary" else "t%d" % n) for n in range(count)]
        report = Report()
        started = time.process_time()
        for turn in range(2):
            report.add(origin(minute=turn), {"findings": findings, "changes": [change(n) for n in range(count)]})
        report.add(origin(minute=2), {"findings": []})
        report.document(RUN, {})
        return time.process_time() - started

    few, many = min(seconds(1000) for turn in range(3)), seconds(10000)
    assert many < 40 * max(few, 0.01)


def test_a_loop_of_thousands_of_checks_of_the_same_name_stays_linear() -> None:
    report = Report()
    started = time.process_time()
    for action in (INFO, FIX):
        for n in range(2000):
            report.add(origin(action=action, item=n), {"findings": [finding()]})
    assert time.process_time() - started < 10
    assert len(standing(report)) == 4000
