# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One sweep and one guarded way to mend, with ansible-playbook on two FITS servers whose queues lie in real databases.

That these have no units, no web site and no storage root is among what the sweep finds; here the queues are mended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema  # type: ignore[import-untyped]
import pytest
from fits_fleet import Fleet, fleet_of
from lab.pg import Postgres
from play import ROOT, Run

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "report.schema.json").read_text(encoding="utf-8"))
QUEUE = "fieldops.runbooks.fits_ingest_queue"
FAILED = {"remediate_codes": ["fits.ingest.failed"]}


@pytest.fixture
def fleet(server: Postgres, tmp_path: Path) -> Iterator[Fleet]:
    with fleet_of(server, tmp_path, {"fits-a": 3, "fits-b": 1}, 2000) as made:
        yield made


def handed_on(run: Run) -> dict[str, Any]:
    """What a workflow gets."""
    found = re.search(r"CUSTOM STATS: \*+\s+RUN: (\{.*\})", run.output)
    assert found
    return dict(json.loads(found.group(1)))


def planned(run: Run, code: str = "fits.ingest.failed") -> dict[str, Any]:
    (step,) = [step for step in handed_on(run)["fieldops_plan"]["steps"] if code in step["codes"]]
    return dict(step)


def test_a_sweep_reads_and_hands_on_what_is_wrong_and_what_would_mend_it(fleet: Fleet) -> None:
    before = fleet.rows()
    fleet.hosts["fits-c"] = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_connection": "ssh"}
    fleet.hosts["fits-b"]["fits_login_db"] = "no_such_database"
    run = fleet.play("triage")
    told = handed_on(run)
    assert {name: told["fieldops_status"][name] for name in ("worst", "hosts", "unreachable", "failed_looks", "broken")} == {
        "worst": "critical",
        "hosts": 3,
        "unreachable": ["fits-c"],
        "failed_looks": ["fits-b"],
        "broken": ["fits-a", "fits-b", "fits-c"],
    }
    step = planned(run)
    assert (step["playbook"], step["hosts"]) == (QUEUE, ["fits-a"])
    assert step["vars"]["fits_repair"] is True
    assert len(json.dumps(told)) < 65536
    assert fleet.rows() == before
    assert run.changed == 0
    # A database that is down keeps the host from no other look.
    assert any(on["host"] == "fits-b" for group in run.report["findings"] if group["code"].startswith("fits.disk") for on in group["hosts"])


def test_a_sweep_fails_where_that_was_asked_for(fleet: Fleet) -> None:
    assert fleet.play("triage", "--limit", "fits-a").rc == 0
    failed = fleet.play("triage", "--limit", "fits-a", triage_fail_on="critical")
    assert failed.rc == 2
    assert "critical findings" in failed.failures
    assert handed_on(failed)["fieldops_status"]["hosts"] == 1
    narrowed = fleet.play("triage", "--tags", "talus", triage_fail_on="critical")
    assert (narrowed.rc, narrowed.report["findings"]) == (0, [])


def test_what_is_predicted_is_done_and_can_be_taken_back(fleet: Fleet) -> None:
    before = fleet.rows()
    check = fleet.play("remediate", "--check", **FAILED)
    assert (check.rc, fleet.rows()) == (0, before)
    assert sorted(change["subject"] for change in check.changes) == ["ingest:a0.fits", "ingest:a1.fits", "ingest:a2.fits", "ingest:b0.fits"]
    run = fleet.play("remediate", **FAILED)
    assert run.rc == 0
    assert by_host(run) == by_host(check)
    assert fleet.wrong() == {"fits-a": 0, "fits-b": 0}
    assert handed_on(run)["fieldops_remediation"] == {"sha256": planned_sha(check), "steps": 1, "failed": [], "standing": []}
    assert "fits.ingest.failed" not in run.standing
    again = fleet.play("remediate", **FAILED)
    assert (again.rc, again.changed, again.changes) == (0, 0, [])
    assert "No finding that stands has the code fits.ingest.failed" in again.output
    fleet.take_back(run)
    assert fleet.wrong() == {"fits-a": 3, "fits-b": 1}


@pytest.mark.thorough
def test_every_form_of_the_report_and_what_earlier_runs_said(fleet: Fleet) -> None:
    first = fleet.play("triage", "--limit", "fits-b")
    forms = {path.name: path.read_text(encoding="utf-8") for path in (fleet.folder / "forms").iterdir()}
    assert set(forms) == {"report.html", "report.md", "report.junit.xml", "fieldops.prom"}
    jsonschema.Draft202012Validator(SCHEMA).validate(first.report)
    told = {(group["code"], on["status"]) for group in first.report["findings"] for on in group["hosts"] if group["severity"] != "ok"}
    assert ("fits.ingest.failed", "new") in told
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", forms["report.html"])
    assert "fits.ingest.failed" in forms["report.md"]
    cases = ElementTree.fromstring(forms["report.junit.xml"]).iter("testcase")  # noqa: S314  it is our own
    assert sorted(case.attrib["name"].rpartition("[")[2].rstrip("]") for case in cases) == sorted(check["id"] for check in first.report["checks"])
    series = 'fieldops_finding{playbook="triage.yml",host="fits-b",code="fits.ingest.failed",severity="warning"} 1'
    assert series in forms["fieldops.prom"].splitlines()
    second = fleet.play("remediate", "--limit", "fits-b", **FAILED)
    assert {on["status"] for group in second.report["findings"] if group["code"] == "fits.ingest.failed" for on in group["hosts"]} == {"cleared"}
    fleet.take_back(second)
    third = fleet.play("remediate", "--limit", "fits-b", **FAILED)
    assert {entry["made_before"] for entry in third.report["changes"]} == {1}, "the same fix, and it did not hold"


def by_host(run: Run) -> dict[str, Any]:
    """Plans with their hashes, whichever host was faster."""
    return {entry["host"]: (entry["plan_sha256"], [change["subject"] for change in entry["changes"]]) for entry in run.report["changes"]}


def planned_sha(run: Run) -> str:
    found = re.search(r"Plan ([0-9a-f]{64}): ", run.output)
    assert found
    return found.group(1)


def test_only_the_plan_that_was_approved(fleet: Fleet) -> None:
    approved = planned_sha(fleet.play("remediate", "--check", **FAILED))
    fleet.sites["fits-b"].faults.queues["ingest"].execute("DELETE FROM {table}")
    fleet.sites["fits-b"].connection.commit() if not fleet.sites["fits-b"].connection.autocommit else None
    before = fleet.rows()
    refused = fleet.play("remediate", **FAILED, remediate_approved_plan=approved)
    assert refused.rc == 2
    assert f"is not the approved one {approved}" in refused.failures
    assert fleet.rows() == before
    today = re.search(r"today's plan ([0-9a-f]{64}) is not", refused.failures)
    assert today
    assert fleet.play("remediate", **FAILED, remediate_approved_plan=today.group(1)).rc == 0
    assert fleet.wrong()["fits-a"] == 0


@pytest.mark.thorough
def test_the_report_of_an_earlier_sweep_is_enough(fleet: Fleet) -> None:
    fleet.play("triage")
    report = fleet.folder / "earlier.json"
    (fleet.folder / "report.json").rename(report)
    run = fleet.play("remediate", "--limit", "fits-a", **FAILED, remediate_report=str(report))
    assert run.rc == 0
    assert fleet.wrong() == {"fits-a": 0, "fits-b": 1}
    assert "fits-b is not part of this run" in run.output
    document = json.loads(report.read_text(encoding="utf-8"))
    document["run"]["ended"] = "2026-01-02T03:04:05Z"
    report.write_text(json.dumps(document), encoding="utf-8")
    old = fleet.play("remediate", **FAILED, remediate_report=str(report))
    assert (old.rc, fleet.wrong()["fits-b"]) == (2, 1)
    assert "run the triage again" in old.failures
    report.write_text("{}", encoding="utf-8")
    foreign = fleet.play("remediate", **FAILED, remediate_report=str(report))
    assert "is no report of fieldops.runbooks.summary" in foreign.failures


def test_nothing_that_a_report_says_is_run_as_code(fleet: Fleet) -> None:
    fleet.play("triage", "--limit", "fits-a")
    report, trap = fleet.folder / "report.json", fleet.folder / "trap"
    document = json.loads(report.read_text(encoding="utf-8"))
    for remedy in document["remedies"]:
        if remedy["playbook"] == QUEUE:
            remedy["vars"]["fits_filename"] = ["{{ lookup('ansible.builtin.pipe', 'touch %s') }}" % trap]
    evil = fleet.folder / "evil.json"
    evil.write_text(json.dumps(document), encoding="utf-8")
    run = fleet.play("remediate", "--limit", "fits-a", **FAILED, remediate_report=str(evil))
    assert not trap.exists()
    assert fleet.wrong()["fits-a"] == 3
    assert run.rc == 2  # no file has that name, so what was to be mended is still so
    assert "Still so: " in run.failures


@pytest.mark.parametrize(("allowed", "left"), [(0, 1), pytest.param(1, 0, marks=pytest.mark.thorough)])
def test_no_more_hosts_may_fail_than_was_said(fleet: Fleet, allowed: int, left: int) -> None:
    fleet.hosts["fits-a"]["fits_max_changes"] = 1
    run = fleet.play("remediate", **FAILED, remediate_hosts_at_once=1, remediate_failures_allowed=allowed)
    assert run.rc == 2
    assert "Steps failed on fits-a" in run.failures
    assert fleet.wrong() == {"fits-a": 3, "fits-b": left}
    assert [refusal["guard"] for entry in run.report["refusals"] for refusal in entry["refusals"]] == ["max_changes"]


@pytest.mark.thorough
def test_limits_hold_over_a_fleet_with_many_forks(server: Postgres, tmp_path: Path) -> None:
    """Two hosts at a time, whatever Ansible could do at once; and where one has failed, those whose turn had not come are not touched."""
    names = [f"fits-{letter}" for letter in "abcdef"]
    with fleet_of(server, tmp_path, dict.fromkeys(names, 2), 500) as fleet:
        fleet.hosts["fits-c"]["fits_max_changes"] = 1
        run = fleet.play("remediate", "--forks", "20", **FAILED, remediate_hosts_at_once=2, remediate_failures_allowed=0)
        assert run.rc == 2
        assert "Steps failed on fits-c" in run.failures
        assert fleet.wrong() == {"fits-a": 0, "fits-b": 0, "fits-c": 2, "fits-d": 0, "fits-e": 2, "fits-f": 2}
        spans = fleet.repairs()
        assert set(spans) == {"fits-a", "fits-b", "fits-d"}
        assert max(sum(begun <= moment < ended for begun, ended in spans.values()) for moment, _end in spans.values()) <= 2
        assert max(spans["fits-a"][1], spans["fits-b"][1]) <= spans["fits-d"][0], "the third host's turn came before the first two were done"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"remediate_systems": ["fit"]}, "there is no system 'fit'; known are fits, jobrunner"),
        pytest.param({"remediate_hosts_at_once": -1}, "hosts_at_once must be 0 or more, not -1", marks=pytest.mark.thorough),
        pytest.param({"remediate_report": "/no/such.json"}, "the report /no/such.json cannot be read: No such file", marks=pytest.mark.thorough),
    ],
)
def test_bad_input_changes_nothing(fleet: Fleet, variables: dict[str, Any], said: str) -> None:
    run = fleet.play("remediate", "--limit", "fits-b", **variables)
    assert run.rc == 2
    assert said in run.failures
    assert run.changes == []
