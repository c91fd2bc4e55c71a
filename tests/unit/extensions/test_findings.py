# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event source, loaded by its path as ansible-rulebook loads it, on real reports."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import logging
import os
import re
import runpy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLUGIN = ROOT / "extensions/eda/plugins/event_source/findings.py"
SOURCE: dict[str, Any] = runpy.run_path(str(PLUGIN))
TIME = "%Y-%m-%dT%H:%M:%SZ"
NOW = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
WEBSITE = ("fits-c", "fits.website.answer.wrong_status")


def shipped(name: str) -> dict[str, Any]:
    return dict(json.loads(gzip.decompress((ROOT / f"tests/fixtures/report/{name}.json.gz").read_bytes())))


@pytest.fixture
def triage() -> dict[str, Any]:
    return shipped("triage")


def ledger(**args: Any) -> Any:
    return SOURCE["Ledger"](SOURCE["Settings"].of({"reports": "r.json", **args}))


def events(known: Any, document: dict[str, Any], clock: float = 0, now: datetime = NOW) -> list[dict[str, Any]]:
    return list(known.events(SOURCE["Report"].of(document, "r.json"), now, clock))


def findings(told: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(event["finding"]["state"], event["finding"]["host"], event["finding"]["code"]) for event in told if "finding" in event]


def later(document: dict[str, Any], seconds: int = 60) -> dict[str, Any]:
    """The same, seen later."""

    def moved(found: re.Match[str]) -> str:
        return (datetime.strptime(found.group(), TIME) + timedelta(seconds=seconds)).strftime(TIME)

    return dict(json.loads(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moved, json.dumps(document))))


def entries(document: dict[str, Any], code: str) -> list[dict[str, Any]]:
    return [entry for group in document["findings"] if group["code"] == code for entry in group["hosts"]]


def without(document: dict[str, Any], *codes: str) -> dict[str, Any]:
    made = later(document)
    made["findings"] = [group for group in made["findings"] if group["code"] not in codes]
    return made


# -- what is told -------------------------------------------------------------------------------------------------------------------------


def test_what_stands_is_told_once_and_with_all_that_a_rule_needs(triage: dict[str, Any]) -> None:
    known = ledger(mend=[WEBSITE[1], "fits.website.socket.not_listening"])
    told = events(known, triage)
    bad = [(g["code"], e["host"]) for g in triage["findings"] if g["severity"] in ("critical", "warning") for e in g["hosts"]]
    assert sorted((code, host) for _state, host, code in findings(told)) == sorted(bad)
    assert all(event["meta"]["hosts"] == event["finding"]["host"] for event in told)
    (event,) = [event["finding"] for event in told if event["finding"]["code"] == WEBSITE[1]]
    assert {name: event[name] for name in ("state", "host", "check", "severity", "subject", "mend", "left", "told", "codes", "report")} == {
        "state": "standing",
        "host": "fits-c",
        "check": "node_health_info",
        "severity": "critical",
        "subject": "web site",
        "mend": True,
        "left": "",
        "told": 1,
        "codes": ["fits.website.answer.wrong_status", "fits.website.socket.not_listening"],
        "report": "r.json",
    }
    assert event["remedy"]["playbook"] == "fieldops.runbooks.fits_website"
    assert events(known, triage) == []
    assert events(known, later(triage)) == []


def test_what_is_no_longer_found_by_its_check_is_cleared_and_told_anew_when_it_comes_back(triage: dict[str, Any]) -> None:
    known = ledger()
    events(known, triage)
    gone = without(triage, WEBSITE[1])
    assert findings(events(known, gone)) == [("cleared", *WEBSITE)]
    assert events(known, triage) == [], "an older report tells nothing of what is known better"
    assert findings(events(known, later(gone))) == []
    assert findings(events(known, later(triage, 300))) == [("standing", *WEBSITE)]


def test_of_two_runs_side_by_side_the_later_look_counts_and_not_the_later_end(triage: dict[str, Any]) -> None:
    known = ledger()
    events(known, triage)
    mended = without(triage, WEBSITE[1])
    slow = later(triage, 30)  # it looked before that one
    slow["run"]["ended"] = "2026-11-23T16:59:00Z"
    assert findings(events(known, mended)) == [("cleared", *WEBSITE)]
    assert events(known, slow) == []
    assert findings(events(known, later(triage, 90))) == [("standing", *WEBSITE)]
    slow_and_clean = later(mended, 20)  # 80 s after the first
    slow_and_clean["run"]["ended"] = "2026-11-23T16:59:30Z"
    assert events(known, slow_and_clean) == []


@pytest.mark.parametrize("spoil", ["failed", "unreachable", "other_hosts", "doubtful"])
def test_a_check_that_did_not_look_clears_nothing(triage: dict[str, Any], spoil: str) -> None:
    known = ledger()
    events(known, triage)
    made = later(triage) if spoil == "doubtful" else without(triage, WEBSITE[1])
    if spoil == "doubtful":
        entries(made, WEBSITE[1])[0]["before_change"] = True
    for check in made["checks"]:
        check["outcome"] = "failed" if spoil == "failed" else check["outcome"]
    if spoil in ("unreachable", "other_hosts"):
        made["checks"] = [check for check in made["checks"] if check["host"] != "fits-c"]
        made["findings"] = [] if spoil == "other_hosts" else made["findings"]
        made["checks"] = [] if spoil == "other_hosts" else made["checks"]
    assert events(known, made) == []


def test_a_remediation_clears_what_it_has_mended(triage: dict[str, Any]) -> None:
    known = ledger()
    before = {(host, code) for _state, host, code in findings(events(known, triage))}
    told = findings(events(known, shipped("remediation")))
    groups = shipped("remediation")["findings"]
    doubtful = {(entry["host"], group["code"]) for group in groups if not group["cleared"] for entry in group["hosts"]}
    mended = {(entry["host"], group["code"]) for group in groups if group["cleared"] for entry in group["hosts"]} - doubtful
    cleared = {(host, code) for state, host, code in told if state == "cleared"}
    assert cleared
    assert cleared <= before
    assert mended & before <= cleared


def test_a_worse_severity_is_told_and_a_reminder_when_that_was_asked_for(triage: dict[str, Any]) -> None:
    known = ledger(repeat_after=600)
    events(known, triage)
    worse = later(triage)
    (group,) = [group for group in worse["findings"] if group["code"] == WEBSITE[1]]
    group["severity"] = "warning"
    assert [(event["finding"]["severity"], event["finding"]["told"]) for event in events(known, worse, clock=10)] == [("warning", 2)]
    assert events(known, later(worse), clock=599) == []
    reminded = events(known, later(worse, 120), clock=610)
    assert {event["finding"]["told"] for event in reminded} == {2, 3}
    group["severity"] = "info"
    assert findings(events(known, later(worse, 180), clock=620)) == [("cleared", *WEBSITE)]


def test_a_refusal_is_told_once(triage: dict[str, Any]) -> None:
    refusal: dict[str, Any] = {"host": "fits-c", "action": "fieldops.runbooks.fits_queue_reset", "at": "2026-11-23T15:59:49Z", "plan_sha256": None}
    refusal |= {"refusals": [{"guard": "pause", "reason": "paused by the night shift", "allow": "end the pause"}], "resolved": False, "check_mode": False}
    triage.update(findings=[], refusals=[refusal, {**refusal, "resolved": True, "host": "fits-d"}, {**refusal, "check_mode": True, "host": "fits-e"}])
    known = ledger()
    (event,) = events(known, triage)
    assert event["meta"] == {"hosts": "fits-c"}
    assert {name: event["refusal"][name] for name in ("host", "fix", "guards", "why", "allow")} == {
        "host": "fits-c",
        "fix": "fits_queue_reset",
        "guards": ["pause"],
        "why": "paused by the night shift",
        "allow": "end the pause",
    }
    assert events(known, triage) == []


def test_what_may_be_mended(triage: dict[str, Any]) -> None:
    def left(**changed: Any) -> str:
        made = copy.deepcopy(triage)
        entries(made, WEBSITE[1])[0]["remedy"] = {"playbook": "fieldops.runbooks.fits_website", "vars": {}, "text": "", **changed}
        (event,) = [event["finding"] for event in events(ledger(mend=WEBSITE[1]), made) if event["finding"]["code"] == WEBSITE[1]]
        assert event["mend"] == (not event["left"])
        return str(event["left"])

    assert left() == ""
    assert left(hosts="fits-c") == ""
    assert left(hosts="talus_slaves") == "what mends it runs on talus_slaves"
    assert left(playbook=None) == "no playbook mends it"
    assert left(playbook="evil.yml") == "no playbook mends it"


def test_a_report_is_data(triage: dict[str, Any]) -> None:
    """No host that is a pattern to --limit, no text that is a template to a playbook."""
    (group,) = [group for group in triage["findings"] if group["code"] == WEBSITE[1]]
    for host in ("all", "*", "fits-c,fits-a", "!fits-c", "~.*", "@/etc/passwd", "fits_servers:&x", "-x", ""):
        group["hosts"].append({**group["hosts"][0], "host": host})
    group["summary"] = group["hosts"][0]["remedy"]["text"] = "{{ lookup('pipe', 'id') }} {% if 1 %} {# x #}"
    told = [event for event in events(ledger(), triage) if event["finding"]["code"] == WEBSITE[1]]
    assert [event["meta"]["hosts"] for event in told] == ["fits-c"]
    assert not any(mark in json.dumps(told) for mark in ("{{", "{%", "{#"))
    group["code"] = "{{ lookup('pipe', 'id') }}"
    with pytest.raises(SOURCE["Unreadable"], match="is no severity, code and module"):
        events(ledger(), triage)


def test_what_tells_of_another_day_tells_nothing(triage: dict[str, Any]) -> None:
    assert events(ledger(), triage, now=NOW + timedelta(days=2)) == []
    assert events(ledger(max_age=0), triage, now=NOW + timedelta(days=2)) != []
    with pytest.raises(SOURCE["Unreadable"], match="still to come"):
        events(ledger(), triage, now=NOW - timedelta(days=1))
    triage["run"]["playbooks"] = ["diagnose.yml"]
    assert events(ledger(), triage) == []


# -- arguments ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "give reports .* or look_every"),
        ({"report": "x"}, "there is no argument report; there are reports, delay"),
        ({"reports": [1]}, "reports is a text or a list of texts, not"),
        ({"reports": "x", "delay": "soon"}, "delay is a number of seconds, 0.05 or more, not 'soon'"),
        ({"reports": "x", "delay": True}, "not True"),
        ({"reports": "x", "repeat_after": "nan"}, "repeat_after is a number of seconds"),
        ({"look_every": 5, "inventory": "x,"}, "look_every is a number of seconds, 10 or more, not 5"),
        ({"look_every": 60}, "needs an inventory"),
        ({"look_every": 60, "inventory": "/no/such"}, "there is no inventory /no/such"),
        ({"reports": "x", "severity": "bad"}, "severity is critical, warning or info, not 'bad'"),
        ({"reports": "x", "mend": "fits.*"}, r"mend takes exact codes such as fits.ingest.failed, not 'fits.\*'"),
        ({"reports": "x", "limit": ["a"]}, "limit is a text"),
    ],
)
def test_an_argument_that_is_wrong_ends_the_source_and_says_what_is_right(args: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        asyncio.run(SOURCE["main"](asyncio.Queue(), args))


@pytest.mark.parametrize("beside", ["group_vars", "host_vars"])
def test_nothing_is_mended_where_the_limits_of_the_inventory_would_be_lost(beside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hosts").write_text("fits-c\n", encoding="utf-8")
    (tmp_path / "other").mkdir()
    inventory = str(tmp_path / "hosts")

    def refused(**more: Any) -> bool:
        try:
            SOURCE["Settings"].of({"reports": "x", "mend": "fits.ingest.failed", **more})
        except ValueError as exc:
            assert "give the directory" in str(exc)
            return True
        return False

    asked = [["-i", inventory], ["--inventory", inventory], [f"--inventory={inventory}"]]
    for words in asked:
        monkeypatch.setattr("sys.argv", ["ansible-rulebook", *words])
        assert not refused()
    (tmp_path / beside).mkdir()
    for words in asked:
        monkeypatch.setattr("sys.argv", ["ansible-rulebook", *words])
        assert refused()
        assert not refused(mend=[])
    monkeypatch.setattr("sys.argv", ["ansible-rulebook", "-i", str(tmp_path)])
    assert not refused()
    assert refused(inventory=inventory)
    monkeypatch.setattr("sys.argv", ["ansible-rulebook"])
    monkeypatch.setenv("ANSIBLE_INVENTORY", inventory)
    assert refused()


def test_every_argument_is_documented_and_taken_by_the_rulebooks() -> None:
    documented = set(yaml.safe_load(SOURCE["DOCUMENTATION"])["options"])
    assert documented == set(SOURCE["Settings"]._fields)
    for path in sorted((ROOT / "extensions/eda/rulebooks").glob("*.yml")):
        ((ruleset),) = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert set(ruleset["sources"][0]["fieldops.runbooks.findings"]) <= documented
    for example in yaml.safe_load(SOURCE["EXAMPLES"]):
        SOURCE["Settings"].of({**example["sources"][0]["fieldops.runbooks.findings"], "inventory": "x,"})


@pytest.mark.parametrize("name", ["watch", "mend"])
def test_a_rulebook_is_one_and_only_the_one_that_mends_runs_anything(name: str) -> None:
    rulebook = yaml.safe_load((ROOT / f"extensions/eda/rulebooks/{name}.yml").read_text(encoding="utf-8"))
    schema = Path(str(find_spec("ansible_rulebook").submodule_search_locations[0])) / "schema/ruleset_schema.json"  # type: ignore[union-attr, index]
    jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8"))).validate(rulebook)
    running = [rule for rule in rulebook[0]["rules"] if "run_playbook" in json.dumps(rule)]
    assert [rule["throttle"]["group_by_attributes"] for rule in running] == [["event.finding.host", "event.finding.check"]] * (name == "mend")
    assert all("event.finding.mend == true and event.meta.hosts is defined" in rule["condition"] for rule in running)


# -- files --------------------------------------------------------------------------------------------------------------------------------


def fresh(document: dict[str, Any], seconds: int = 0) -> str:
    ended = datetime.strptime(document["run"]["ended"], TIME).replace(tzinfo=UTC)
    return json.dumps(later(document, int((datetime.now(UTC) - ended).total_seconds()) + seconds))


class Watched:
    """The source at work on a folder."""

    def __init__(self, folder: Path, queue: asyncio.Queue[Any]) -> None:
        self.folder, self.queue = folder, queue

    async def told(self, count: int) -> list[tuple[str, str, str]]:
        return findings([await asyncio.wait_for(self.queue.get(), 60) for _number in range(count)])


def watch(folder: Path, act: Callable[[Watched], Any], **args: Any) -> None:
    async def run() -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(1)  # as ansible-rulebook has it
        source = asyncio.ensure_future(SOURCE["main"](queue, {"reports": str(folder), "delay": 0.05, **args}))
        try:
            await act(Watched(folder, queue))
            assert queue.empty()
            assert not source.done()
        finally:
            source.cancel()
            with pytest.raises(asyncio.CancelledError):
                await source

    asyncio.run(run())


def test_a_folder_of_reports_is_watched_whatever_lies_in_it(triage: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    triage["findings"] = [group for group in triage["findings"] if group["code"] == WEBSITE[1]]
    whole = fresh(triage)
    (tmp_path / "foreign.json").write_text("{}", encoding="utf-8")
    (tmp_path / "list.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    caplog.set_level(logging.WARNING)

    async def complained(name: str) -> None:
        for _number in range(1200):
            if any(f"{name} is left out" in message for message in caplog.messages):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"nothing was said of {name}: {caplog.messages}")

    async def act(watched: Watched) -> None:
        (tmp_path / "half.json").write_text(whole[: len(whole) // 2], encoding="utf-8")
        for name in ("half.json", "foreign.json", "list.json", "folder.json", "pipe.json"):
            await complained(name)
        (tmp_path / "half.json").write_text(whole, encoding="utf-8")
        assert await watched.told(1) == [("standing", *WEBSITE)]
        (tmp_path / "half.json").unlink()
        (tmp_path / "second.json").write_text(fresh({**triage, "findings": []}, 1), encoding="utf-8")
        assert await watched.told(1) == [("cleared", *WEBSITE)]
        (tmp_path / "half.json").write_text(fresh(triage, 2), encoding="utf-8")
        assert await watched.told(1) == [("standing", *WEBSITE)]

    watch(tmp_path, act)
    assert len([message for message in caplog.messages if "foreign.json" in message]) == 1


def test_a_look_that_fails_is_said_and_ends_with_the_source(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The triage's program is one that hangs here; the real one is run by tests/integration/test_events.py."""
    program = tmp_path / "ansible-playbook"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho no such thing\n[ -e {tmp_path}/hang ] && exec sleep 600\nexit 4\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    settings = SOURCE["Settings"].of({"look_every": 60, "inventory": "fits-c,"})
    assert asyncio.run(SOURCE["look"](settings)) is None
    assert any("has left no report, and ended with 4: no such thing" in message for message in caplog.messages)
    (tmp_path / "hang").touch()
    (tmp_path / "pid").unlink()

    async def cancelled() -> int:
        task = asyncio.ensure_future(SOURCE["main"](asyncio.Queue(), {"look_every": 60, "inventory": "fits-c,"}))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return int((tmp_path / "pid").read_text())

    number = asyncio.run(asyncio.wait_for(cancelled(), 60))
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
