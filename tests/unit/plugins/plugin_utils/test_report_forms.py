# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The document with history, and its other forms: what earlier runs say, and that no text from a host becomes markup."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema  # type: ignore[import-untyped]
import pytest
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import report_html
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report import Origin, Report
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_files import Kept
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_formats import FORMATS
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_history import read_run, with_history

SCHEMA = json.loads((Path(__file__).resolve().parents[4] / "docs" / "schemas" / "report.schema.json").read_text(encoding="utf-8"))
BAD = {"code": "fits.ingest.orphaned", "severity": "critical", "subject": "ingest queue", "summary": "12 files have no worker"}
FIXED = {"action": "reset", "subject": "row 1", "before": {"f": 1}, "after": {"f": 0}, "done": True}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \" onload='x' `a` [b](http://c.d) | @you \\ {e} \x1b[31m\x00\nsecond: 1"


def at(day: int, minute: int = 0) -> str:
    return (datetime(2026, 1, 1, 3, tzinfo=timezone.utc) + timedelta(days=day, minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ran(day: int, *results: Any, earlier: Any = (), gone: Any = ()) -> dict[str, Any]:
    """The document of one run; a result is (host, module, what it returned[, complete])."""
    report = Report()
    for minute, (host, module, result, *ok) in enumerate(results):
        report.add(Origin(host, "Look", "fieldops.runbooks." + module, at(day, minute)), result, *ok)
    for host in gone:
        report.add_trouble("unreachable", Origin(host, "Look", "setup", at(day)), {"msg": "no route"})
    run = {"playbooks": ["triage.yml"], "started": at(day), "ended": at(day, 9), "check_mode": False, "ansible_version": "2.19"}
    document = with_history(report.document(run, {}), [read_run(one) for one in earlier])
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(document, allow_nan=False)))
    return document


def look(*findings: Any, host: str = "fits-a") -> Any:
    return host, "fits_queue_info", {"findings": list(findings)}


def state(document: dict[str, Any]) -> Any:
    ((on,),) = [group["hosts"] for group in document["findings"]]
    return on["status"], on["since"], on["came_back"]


def test_new_then_persisting_then_cleared_then_back() -> None:
    runs = [ran(0, look(BAD))]
    assert state(runs[0]) == ("new", at(0), 0)
    runs.append(ran(1, look({**BAD, "severity": "warning", "summary": "other words"}), earlier=runs))
    assert state(runs[1]) == ("persisting", at(0), 0)
    runs.append(ran(2, look(), earlier=runs))
    assert [entry["since"] for entry in runs[2]["history"]["cleared"]] == [at(0)]
    runs.append(ran(3, look(BAD), earlier=runs))
    assert state(runs[3]) == ("new", at(3), 1)
    assert [run["critical"] for run in runs[3]["history"]["trend"]] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    "result",
    [
        look(host="fits-b"),
        ("fits-a", "fits_file_info", {"findings": []}),
        ("fits-a", "fits_queue_info", {"findings": [], "msg": "the server went away"}, False),
        ("fits-a", "fits_queue_info", {"findings": [], "refusals": [{"guard": "max_changes", "reason": "r", "allow": "a"}]}, False),
    ],
    ids=["another host", "another check", "a look that broke off", "a refused fix"],
)
def test_what_was_not_looked_at_is_not_cleared(result: Any) -> None:
    document = ran(1, result, earlier=[ran(0, look(BAD))])
    assert document["history"]["cleared"] == []
    assert [entry["host"] for entry in document["history"]["not_looked"]] == ["fits-a"]


def test_cleared_within_the_run_by_the_same_check() -> None:
    assert state(ran(1, look(BAD), look(), earlier=[ran(0, look(BAD))])) == ("cleared", at(0), 0)


def test_how_often_a_fix_was_made_before() -> None:
    fix = ("fits-a", "fits_queue_reset", {"changes": [FIXED]})
    runs = [ran(0, fix), ran(1, fix)]
    (entry,) = ran(2, fix, earlier=runs)["changes"]
    assert (entry["made_before"], entry["changes"][0]["made_before"]) == (2, 2)
    assert ran(2, ("fits-b", *fix[1:]), earlier=runs)["changes"][0]["made_before"] == 0


def test_guards_are_told_also_of_results_that_name_only_refusals() -> None:
    refusal = {"guard": "max_changes", "reason": "too many", "allow": "max_changes: 5"}
    told = {"changes": [{**FIXED, "done": False}], "refusals": [refusal], "guards": [{"guard": "cooldown", "decision": "off", "why": "cooldown: 0"}]}
    document = ran(0, ("fits-a", "fits_queue_reset", told, False))
    assert [(one["guard"], one["decision"]) for one in document["guards"][0]["decisions"]] == [("cooldown", "off"), ("max_changes", "refuse")]
    assert [event["kind"] for event in document["timeline"]] == ["refusal"]


class TestKept:
    def now(self, **ago: int) -> dict[str, Any]:
        document = ran(0, look(BAD))
        started = (datetime.now(timezone.utc) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {**document, "run": {**document["run"], "started": started}}

    def test_number_and_age_are_bounded_and_others_are_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        kept = Kept(str(tmp_path), 3, 30)
        for hours in (24 * 40, 5, 4, 3, 2, 1):
            kept.add(self.now(hours=hours))
        names = sorted(path.name for path in tmp_path.iterdir() if path.name != "mine.txt")
        assert len(names) == 3
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names} == {0o600}
        assert (tmp_path / "mine.txt").read_text() == "mine"

    def test_damaged_newer_and_linked_files_are_skipped_and_told(self, tmp_path: Path) -> None:
        kept = Kept(str(tmp_path), 9, 30)
        names = [kept.add(self.now(hours=hours)) for hours in (4, 3, 2, 1)]
        (tmp_path / names[0]).write_text('{"half": ')
        (tmp_path / names[1]).write_text(json.dumps({"schema_version": 99}))
        (tmp_path / names[2]).unlink()
        (tmp_path / names[2]).symlink_to("/dev/zero")
        runs, skipped = kept.read()
        assert len(runs) == 1
        assert {entry["file"] for entry in skipped} == set(names[:3])
        assert any("form 99" in entry["why"] for entry in skipped)

    def test_runs_that_end_at_once_keep_one_file_each(self, tmp_path: Path) -> None:
        document = self.now()
        threads = [threading.Thread(target=Kept(str(tmp_path), 50, 30).add, args=(document,)) for _turn in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(os.listdir(tmp_path)) == 8
        assert len(Kept(str(tmp_path), 50, 30).read()[0]) == 8


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def hostile() -> dict[str, Any]:
    remedy = {"playbook": EVIL, "vars": {"a": EVIL}, "text": EVIL}
    finding = {"code": EVIL, "severity": "critical", "subject": EVIL, "summary": EVIL, "detail": {EVIL: EVIL}, "remedy": remedy}
    finding["runbook"] = {"file": EVIL, "heading": EVIL}
    refusal = {"guard": EVIL, "reason": EVIL, "allow": EVIL}
    fix = {"findings": [finding], "changes": [{**FIXED, "subject": EVIL, "before": {EVIL: EVIL}}], "undo_id": EVIL}
    fix["guards"] = [{"guard": EVIL, "decision": "pass", "why": EVIL}]
    refused = {"findings": [finding], "changes": [{**FIXED, "done": False}], "refusals": [refusal]}
    results = [(EVIL, "fits_queue_info", {"findings": [finding]}), (EVIL, "fits_queue_reset", fix), (EVIL, "fits_enqueue", refused, False)]
    return ran(1, *results, earlier=[ran(0, *results)], gone=[EVIL])


class TestHostileText:
    def test_html(self, hostile: dict[str, Any]) -> None:
        page = Page(FORMATS["html"].render(hostile))
        assert [tag for tag, _attributes in page.tags].count("script") == 1
        assert "img" not in {tag for tag, _attributes in page.tags}
        assert not [name for _tag, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
        assert {attributes["href"][0] for _tag, attributes in page.tags if attributes.get("href")} <= {"#", "d"}

    def test_markdown(self, hostile: dict[str, Any]) -> None:
        text = re.sub(r"(?ms)^(`{3,})sh\n.*?^\1$", "", FORMATS["markdown"].render(hostile))
        assert "<" not in text
        assert "http://" not in text
        assert "@you" not in text
        assert "\x1b" not in text
        assert not re.search(r"(?<!\\)\[b(?<!\\)\]", text)

    def test_junit(self, hostile: dict[str, Any]) -> None:
        root = ET.fromstring(FORMATS["junit"].render(hostile))  # noqa: S314 # our own
        assert len(list(root.iter("testcase"))) == int(root.get("tests", "0")) == 4

    def test_prometheus(self, hostile: dict[str, Any]) -> None:
        label = r'[a-z]+="(?:[^"\\\n]|\\["\\n])*"'
        for line in FORMATS["prometheus"].render(hostile).rstrip("\n").split("\n"):
            assert re.fullmatch(r"# (HELP|TYPE) .*|fieldops_\w+\{%s(,%s)*\} -?[0-9.]+" % (label, label), line), line


def test_fifty_hosts_with_many_findings_are_below_300_kb() -> None:
    results = []
    for host in range(50):
        found = [
            {**BAD, "code": "fits.a%d.b" % n, "subject": "s%d" % n, "summary": "%d: " % (n * host) + "w" * 200, "detail": {"a": "e" * 900}} for n in range(20)
        ]
        results += [("fits-%d" % host, "fits_%d_info" % n, {"findings": [found[n]]}) for n in range(20)]
    page = FORMATS["html"].render(ran(0, *results))
    assert len(page.encode("utf-8")) <= report_html.BUDGET < 300_000
    assert "fits-49" in page
