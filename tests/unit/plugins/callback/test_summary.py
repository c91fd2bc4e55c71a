# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants as C
from ansible import context
from ansible.utils import color
from ansible_collections.fieldops.runbooks.plugins.callback import summary
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_files import as_json, write_whole

FINDING = {"code": "fits.ingest.orphaned", "severity": "critical", "subject": "ingest queue", "summary": "12 files have no worker"}
NO_COUNTS = dict.fromkeys(("ok", "changed", "unreachable", "failures", "skipped", "rescued", "ignored"), 0)


class Screen:
    """Stands where Ansible's display is, and keeps what it is told."""

    verbosity = 0

    def __init__(self) -> None:
        self.shown: list[tuple[str, dict[str, Any]]] = []
        self.warnings: list[str] = []

    def display(self, text: str, **how: Any) -> None:
        self.shown.append((text, how))

    def warning(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "COLUMNS", "JOB_ID", "AWX_HOST", "TOWER_HOST", "AWX_PRIVATE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(color, "ANSIBLE_COLOR", False)
    monkeypatch.setattr(C, "ANSIBLE_FORCE_COLOR", False)


def callback(**options: Any) -> Any:
    module: Any = summary.CallbackModule(display=Screen())
    paths = dict.fromkeys(("report_dir", "report_path", "html_path", "markdown_path", "junit_path", "prometheus_path", "history_dir"))
    module._plugin_options = {"show_info": False, "history_keep": 50, "history_days": 90, **paths, **options}
    module.v2_playbook_on_start(SimpleNamespace(_file_name="/srv/play.yml"))
    return module


def result(values: dict[str, Any], host: str = "fits-a", **task: Any) -> Any:
    """A task's result, as far as the callback looks at it."""
    attributes: dict[str, Any] = {"name": "Read", "action": "fits_queue_info", "resolved_action": None, "loop": None, "args": {}}
    attributes.update(check_mode=False, delegate_to=None, become=None, become_user=None, get_path=lambda: "play.yml:3")
    return SimpleNamespace(host=SimpleNamespace(get_name=lambda: host), task=SimpleNamespace(**{**attributes, **task}), result=values)


def end(module: Any, *hosts: str) -> str:
    """Finish the run, and give what was shown."""
    module.v2_playbook_on_stats(SimpleNamespace(processed=dict.fromkeys(hosts, 1), summarize=lambda host: {**NO_COUNTS, "failures": 1}))
    return "\n".join(text for text, how in module._display.shown if not how.get("log_only"))


def test_nothing_to_say_says_nothing() -> None:
    module = callback()
    module.v2_runner_on_ok(result({"changed": True, "changes": {"installed": []}}))
    assert end(module, "fits-a") == ""


def test_a_plain_result() -> None:
    module = callback()
    module.v2_runner_on_ok(result({"findings": [FINDING]}))
    page = end(module, "fits-a")
    assert page.startswith("RUNBOOK SUMMARY  play.yml ---")
    assert "    critical  fits-a  ingest queue: 12 files have no worker" in page
    assert len(module._display.shown) == 1


def test_the_turns_of_a_loop_are_told_apart_by_their_own_options() -> None:
    module = callback()
    turns = [{"findings": [FINDING], "item": name, "ansible_loop_var": "item"} for name in ("a", "b")]
    for minute in range(2):
        for name in ("a", "b"):
            module.v2_runner_item_on_ok(result({}, loop=[], args={"login_db": name, "_ansible_tmpdir": str(minute)}))
        module.v2_runner_on_ok(result({"results": turns}, loop=[], args={"login_db": "{{ item }}"}))
        turns = [{**turns[0], "findings": []}, turns[1]]
    document = module._report.document({}, {})
    assert [len(group["hosts"]) for group in document["findings"]] == [1, 1]
    assert document["totals"]["cleared"] == 1


def test_items_that_were_skipped_keep_the_turns_in_step() -> None:
    module = callback()
    module.v2_runner_item_on_skipped(result({}, loop=[], args={"login_db": "a"}, delegate_to="db-a"))
    module.v2_runner_item_on_failed(result({}, loop=[], args={"login_db": "b"}, delegate_to="db-b"))
    failed = {"failed": True, "undo_id": "u-1", "changes": [{"action": "a", "subject": "s", "done": True}]}
    module.v2_runner_on_failed(
        result({"results": [{"skipped": True}, failed, "squashed"], "msg": "One or more items failed"}, loop=[], delegate_to="db-{{ item }}")
    )
    page = end(module, "fits-a")
    assert "ansible db-b -m fieldops.runbooks.runbook_undo -a 'undo_id=u-1 login_db=b'" in page
    assert "failed  fits-a  Read: One or more items failed" in page
    assert module._report.troubles[0]["ran_on"] == "fits-a"


def test_results_of_a_module_that_calls_them_so_are_no_loop() -> None:
    module = callback()
    module.v2_runner_on_ok(result({"results": [{"findings": [FINDING]}], "findings": []}))
    assert module._report.document({}, {})["findings"] == []


def test_a_refusal_is_not_told_as_a_failure_as_well() -> None:
    module = callback()
    refused = {"refusals": [{"guard": "max_changes", "reason": "too many", "allow": "max_changes: 0"}], "msg": "refused"}
    module.v2_runner_on_failed(result(refused), ignore_errors=None)
    module.v2_runner_on_failed(result({"results": [{**refused, "failed": True}], "msg": "One or more items failed"}, loop=[]))
    assert module._report.document({}, {})["failed"] == []
    module.v2_runner_on_failed(result({"results": [{**refused, "failed": True}, {"failed": True, "msg": "broken"}]}, loop=[]))
    assert [entry["reason"] for entry in module._report.document({}, {})["failed"]] == ["broken"]
    assert "to allow it: max_changes: 0" in end(module, "fits-a")


def test_failed_when_judges_a_complete_result() -> None:
    module = callback()
    module.v2_runner_on_failed(result({"findings": [FINDING], "failed_when_result": True}))
    module.v2_runner_on_failed(result({"findings": [], "failed_when_result": True}))
    assert module._report.document({}, {})["totals"]["cleared"] == 1
    module.v2_runner_on_failed(result({"findings": [FINDING], "failed_when_result": True}))
    module.v2_runner_on_failed(result({"findings": [], "failed_when_result": True, "msg": "the server went away"}))
    assert module._report.document({}, {})["totals"]["cleared"] == 0


def test_unreachable_hosts_are_named() -> None:
    module = callback()
    module.v2_runner_on_unreachable(result({"msg": "no route to host", "unreachable": True}))
    assert "    unreachable  fits-a  no route to host" in end(module, "fits-a")


def test_no_log_hides_all_and_a_skipped_task_hid_nothing() -> None:
    module = callback()
    module.v2_runner_on_skipped(result({"censored": "hidden", "_ansible_no_log": True}))
    module.v2_runner_on_ok(result({"censored": "hidden", "findings": [FINDING]}))
    module.v2_runner_on_skipped(result({"skip_reason": "Conditional result was False"}))
    module.v2_runner_on_failed(result({"censored": "hidden", "msg": "hunter2"}))
    page = end(module, "fits-a")
    assert "2 results hidden by no_log left out" in page
    assert "failed  fits-a  Read: hidden by no_log" in page
    assert "12 files" not in page
    assert "hunter2" not in page


def test_a_loop_that_is_hidden_hides_its_turns() -> None:
    module = callback()
    module.v2_runner_on_ok(result({"censored": "hidden", "results": [{"findings": [FINDING]}]}, loop=[]))
    assert module._report.document({}, {})["findings"] == []
    assert module._report.hidden == 1


def test_options_of_the_task_reach_the_command() -> None:
    module = callback()
    done = {"undo_id": "u-1", "changes": [{"action": "a", "subject": "s", "done": True}]}
    module.v2_runner_on_ok(result(done, become=True, become_user="postgres", resolved_action="fieldops.runbooks.fits_queue_reset", name=""))
    assert "-a undo_id=u-1 -b --become-user postgres" in end(module, "fits-a")
    assert module._report.changes[0]["task"] == "fits_queue_info"
    assert module._report.changes[0]["action"] == "fieldops.runbooks.fits_queue_reset"


def test_every_playbook_of_a_command_is_named() -> None:
    module = callback()
    module.v2_playbook_on_start(SimpleNamespace(_file_name="__adhoc_playbook__"))
    module.v2_runner_on_ok(result({"findings": []}))
    assert end(module).startswith("RUNBOOK SUMMARY  play.yml, ad hoc ---")


class TestReportFile:
    def test_it_is_private_and_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "{timestamp}-{x}.json"
        module = callback(report_path=str(path))
        module.v2_runner_on_ok(result({"findings": [{**FINDING, "summary": "caf\u00e9 \udcff"}]}))
        page = end(module, "fits-a")
        (written,) = (tmp_path / "new").iterdir()
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
        assert written.name == module._started.strftime("%Y%m%dT%H%M%SZ-{x}.json")
        assert json.loads(written.read_bytes())["findings"][0]["summary"] == "caf\u00e9 \\udcff"
        assert "  Report: " in page

    def test_a_run_without_findings_is_reported_too(self, tmp_path: Path) -> None:
        assert end(callback(report_path=str(tmp_path / "r.json")), "fits-a") == ""
        assert json.loads((tmp_path / "r.json").read_bytes())["hosts"][0]["name"] == "fits-a"

    def test_an_older_report_and_a_link_are_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "precious").write_text("precious")
        (tmp_path / "r.json").symlink_to(tmp_path / "precious")
        for turn in range(2):
            write_whole(str(tmp_path / "r.json"), as_json({"a": turn}))
        assert (tmp_path / "precious").read_text() == "precious"
        assert json.loads((tmp_path / "r.json").read_text()) == {"a": 1}
        assert sorted(os.listdir(tmp_path)) == ["precious", "r.json"]

    @pytest.mark.parametrize("kind", ["directory", "pipe", "below a file"])
    def test_what_cannot_be_written_is_a_warning(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "r.json"
        if kind == "directory":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.write_text("")
            path = path / "r.json"
        before = sorted(tmp_path.rglob("*"))
        module = callback(report_path=str(path))
        module.v2_runner_on_ok(result({"findings": [FINDING]}))
        page = end(module, "fits-a")
        assert "12 files have no worker" in page
        assert "Report:" not in page
        assert module._display.warnings[0].startswith("The report could not be written to %s: " % path)
        assert sorted(tmp_path.rglob("*")) == before

    def test_a_write_that_breaks_off_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(source: str, target: str) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            write_whole(str(tmp_path / "r.json"), "x")
        assert os.listdir(tmp_path) == []


class TestColour:
    @pytest.fixture
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(color, "ANSIBLE_COLOR", True)

    def page(self) -> str:
        module = callback()
        module.v2_runner_on_ok(result({"findings": [FINDING]}))
        self.module = module
        return end(module, "fits-a")

    def test_a_terminal_gets_colour_and_the_log_does_not(self, terminal: None) -> None:
        assert "\x1b[0;31mcritical\x1b[0m" in self.page()
        (logged,) = [text for text, how in self.module._display.shown if how.get("log_only")]
        assert "\x1b" not in logged

    def test_no_color_is_honoured(self, terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "please")
        assert "\x1b" not in self.page()
        monkeypatch.setattr(C, "ANSIBLE_FORCE_COLOR", True)
        assert "\x1b" in self.page()

    @pytest.mark.parametrize("names", [["AWX_PRIVATE_DATA_DIR"], ["JOB_ID", "AWX_HOST"], ["JOB_ID", "TOWER_HOST"]])
    def test_awx_gets_plain_text(self, terminal: None, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
        for name in names:
            monkeypatch.setenv(name, "1")
        monkeypatch.setattr(C, "ANSIBLE_FORCE_COLOR", True)
        assert "\x1b" not in self.page()


class TestInventory:
    def given(self, monkeypatch: pytest.MonkeyPatch, *sources: str) -> list[str]:
        monkeypatch.setattr(context, "CLIARGS", {"inventory": sources})
        return summary._inventory()

    def test_sources_are_named_as_one_would_type_them_here(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        sources = self.given(monkeypatch, str(tmp_path / "here" / "lab.yml"), str(tmp_path / "other.yml"), "localhost,")
        assert sources == ["lab.yml", str(tmp_path / "other.yml"), "localhost,"]

    def test_what_is_configured_need_not_be_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.given(monkeypatch, *C.DEFAULT_HOST_LIST) == []
        assert self.given(monkeypatch) == []

    def test_that_of_awx_is_gone_after_the_job(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWX_PRIVATE_DATA_DIR", "/runner")
        assert self.given(monkeypatch, "/runner/inventory/hosts") == []


def test_the_width_is_that_of_the_terminal_or_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", SimpleNamespace(isatty=lambda: False))
    assert summary._width() == 100
    monkeypatch.setenv("COLUMNS", "133")
    assert summary._width() == 133
    monkeypatch.setattr(sys, "__stdout__", None)
    assert summary._width() == 133
