# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells at the end of a run what is wrong, what to do, what was changed and how to take it back."""

from __future__ import annotations

DOCUMENTATION = r"""
name: summary
type: aggregate
short_description: What is wrong, what to do, what was changed, and how to take it back
version_added: 1.0.0
author:
  - The fieldops.runbooks contributors (@fieldops)
description:
  - Prints one page after the play recap, from the findings, changes, refusals and undo ids that the modules of this collection return.
  - Findings come worst first, and one that several hosts share is one line. Next to them stand the hosts that were not reached and the tasks
    that failed, so that a broken host is never silent.
  - A finding stands until a check that has reported it looks again, in the same run and at the same thing, and no longer reports it; it is then
    counted as cleared. A result that failed adds findings and clears none.
  - It prints nothing when no result of the run holds findings, changes or refusals, and nothing failed.
  - Works beside any standard output callback. Output is plain text when it does not go to a terminal, in jobs of AWX, and when E(NO_COLOR) is set.
    It is as wide as the terminal, or as E(COLUMNS) says, and 100 columns where neither is known. Commands are never wrapped, to be copied whole.
  - Results of tasks with C(no_log) are left out, and counted.
requirements:
  - enable in configuration, see the examples
options:
  show_info:
    description: List findings of severity V(info) as well; otherwise they are only counted.
    type: bool
    default: false
    env:
      - name: FIELDOPS_SHOW_INFO
    ini:
      - section: callback_summary
        key: show_info
  report_dir:
    description:
      - Directory that takes the whole report in every form, as C(report.json), C(report.html), C(report.md), C(report.junit.xml) and
        C(fieldops.prom). An option that names a file of its own for one of them puts that one there instead.
      - The text C({timestamp}) in it becomes the time at which the run started, such as V(20260102T030405Z). Without it, each run replaces the files of
        the one before.
      - A file appears whole or not at all, and only its owner can read it; that for Prometheus can be read by all. A directory that is missing is made.
      - When a file cannot be written there is a warning, and the run goes on to its end.
    type: path
    env:
      - name: FIELDOPS_REPORT_DIR
    ini:
      - section: callback_summary
        key: report_dir
  report_path:
    description:
      - File to which the whole report is written as JSON at the end, in the published form C(docs/schemas/report.schema.json).
      - C({timestamp}), modes and failures are as with O(report_dir).
    type: path
    env:
      - name: FIELDOPS_REPORT
    ini:
      - section: callback_summary
        key: report_path
  html_path:
    description: File for the report as one HTML page that needs no network, otherwise as O(report_path).
    type: path
    env:
      - name: FIELDOPS_REPORT_HTML
    ini:
      - section: callback_summary
        key: html_path
  markdown_path:
    description: File for the report as Markdown, otherwise as O(report_path).
    type: path
    env:
      - name: FIELDOPS_REPORT_MARKDOWN
    ini:
      - section: callback_summary
        key: markdown_path
  junit_path:
    description: File for the report as JUnit XML, one case for each check of each host, otherwise as O(report_path).
    type: path
    env:
      - name: FIELDOPS_REPORT_JUNIT
    ini:
      - section: callback_summary
        key: junit_path
  prometheus_path:
    description:
      - File for the report as metrics in Prometheus' text format, for the textfile collector of node_exporter; its name must end in C(.prom) there.
        Otherwise as O(report_path), but all can read it.
      - Playbooks that are run apart need files apart.
    type: path
    env:
      - name: FIELDOPS_REPORT_PROMETHEUS
    ini:
      - section: callback_summary
        key: prometheus_path
  history_dir:
    description:
      - Directory that keeps the JSON reports of the last runs. Without it nothing is said of earlier runs.
      - With it every finding is told as new, persisting or cleared, since when it stands and how often it came back, and every change how often it
        was made before. What a run did not look at is not called cleared.
      - Files in it that are not of this callback, damaged or of a newer form are left alone, skipped and told.
    type: path
    env:
      - name: FIELDOPS_HISTORY_DIR
    ini:
      - section: callback_summary
        key: history_dir
  history_keep:
    description: Number of reports that O(history_dir) keeps; the oldest are removed.
    type: int
    default: 50
    env:
      - name: FIELDOPS_HISTORY_KEEP
    ini:
      - section: callback_summary
        key: history_keep
  history_days:
    description: Days after which O(history_dir) drops a report.
    type: int
    default: 90
    env:
      - name: FIELDOPS_HISTORY_DAYS
    ini:
      - section: callback_summary
        key: history_days
notes:
  - The report holds what modules return as findings, changes, refusals and undo ids, and the messages of failed tasks with credentials masked.
    It holds no task arguments but the connection options of the commands that take changes back, and never a password.
seealso:
  - module: fieldops.runbooks.runbook_undo
"""

EXAMPLES = r"""
enable: |
  # ansible.cfg
  [defaults]
  callbacks_enabled = fieldops.runbooks.summary

  [callback_summary]
  report_dir = reports/{timestamp}
  history_dir = reports/history

enable_once: |
  # for one run
  ANSIBLE_CALLBACKS_ENABLED=fieldops.runbooks.summary FIELDOPS_REPORT=report.json ansible-playbook -i hosts.yml fieldops.runbooks.triage

awx: |
  # Environment of the job template. The container of the execution environment is gone when the job ends: /var/lib/fieldops is a path that the
  # settings of AWX mount into it ("Paths to expose to isolated jobs"), and that all nodes of the instance group have.
  ANSIBLE_CALLBACKS_ENABLED: fieldops.runbooks.summary
  FIELDOPS_REPORT_DIR: /var/lib/fieldops/reports/{timestamp}
  FIELDOPS_HISTORY_DIR: /var/lib/fieldops/history

cron: |
  # /etc/cron.d/fieldops on a host with node_exporter, started with --collector.textfile.directory=/var/lib/node_exporter
  ANSIBLE_CALLBACKS_ENABLED=fieldops.runbooks.summary
  FIELDOPS_REPORT_PROMETHEUS=/var/lib/node_exporter/fieldops_triage.prom
  FIELDOPS_REPORT_HTML=/srv/reports/triage.html
  FIELDOPS_HISTORY_DIR=/var/lib/fieldops/history
  */15 * * * *  ansible  ansible-playbook -i /etc/fieldops/hosts.yml fieldops.runbooks.triage >/dev/null
"""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Tuple

from ansible import constants as C
from ansible import context
from ansible.executor.stats import AggregateStats
from ansible.executor.task_result import CallbackTaskResult
from ansible.playbook.task import Task
from ansible.plugins.callback import CallbackBase
from ansible.release import __version__ as ansible_version
from ansible.utils.color import stringc
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report import Origin, Report, is_hidden
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_files import Kept, write_whole
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_formats import FORMATS
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_history import with_history
from ansible_collections.fieldops.runbooks.plugins.plugin_utils.report_text import Page, render, unstyled

DEFAULT_WIDTH = 100
TOGETHER = "fieldops.runbooks.runbook_looks"
PATHS = {"json": "report_path", "html": "html_path", "markdown": "markdown_path", "junit": "junit_path", "prometheus": "prometheus_path"}
COLORS = {"critical": "COLOR_ERROR", "warning": "COLOR_WARN", "ok": "COLOR_OK", "changed": "COLOR_CHANGED", "heading": "COLOR_HIGHLIGHT"}


class CallbackModule(CallbackBase):
    """Hands every result to the report; at the end writes it and shows it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fieldops.runbooks.summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started = datetime.now(timezone.utc)
        self._playbooks: List[str] = []
        self._report = Report(_inventory())
        self._turns: Dict[Tuple[str, str], List[Task]] = {}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        name = str(getattr(playbook, "_file_name", "") or "")
        self._playbooks.append("ad hoc" if name == "__adhoc_playbook__" else os.path.basename(name))

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        self._turn(result)

    def v2_runner_item_on_failed(self, result: CallbackTaskResult) -> None:
        self._turn(result)

    def v2_runner_item_on_skipped(self, result: CallbackTaskResult) -> None:
        self._turn(result)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        self._add(result)

    def v2_runner_on_skipped(self, result: CallbackTaskResult) -> None:
        if not is_hidden(result.result):
            self._add(result)

    def v2_runner_on_failed(self, result: CallbackTaskResult, ignore_errors: bool = False) -> None:
        if not self._add(result, failed=True):
            whole = self._origin(result, result.task)
            lost = [(origin, told) for origin, told in _looks(whole, result.result) if told.get("failed")]
            origin, told = lost[0] if len(lost) == 1 else (whole, result.result)
            self._report.add_trouble("failed", origin, told, bool(ignore_errors))

    def v2_runner_on_unreachable(self, result: CallbackTaskResult) -> None:
        self._add(result, failed=True)
        self._report.add_trouble("unreachable", self._origin(result, result.task), result.result)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        paths = self._paths()
        if not self._report and not paths:
            return
        run = {
            "playbooks": self._playbooks,
            "started": _iso(self._started),
            "ended": _iso(datetime.now(timezone.utc)),
            "check_mode": bool(context.CLIARGS.get("check")),
            "ansible_version": ansible_version,
        }
        document = self._report.document(run, {host: stats.summarize(host) for host in stats.processed})
        if self._report and self.get_option("history_dir"):
            document = self._remember(document)
        written = [path for name, path in paths.items() if self._write(name, path, document)]
        if self._report:
            self._show(document, next(iter(written), ""))

    def _paths(self) -> Dict[str, str]:
        """Where each form is to be written; JSON, which has all, comes first."""
        directory = self.get_option("report_dir")
        paths = {name: self.get_option(option) or (directory and os.path.join(directory, FORMATS[name].file)) for name, option in PATHS.items()}
        started = self._started.strftime("%Y%m%dT%H%M%SZ")
        return {name: path.replace("{timestamp}", started) for name, path in paths.items() if path}

    def _remember(self, document: Dict[str, Any]) -> Dict[str, Any]:
        """With what the earlier runs say; this one is kept for the next."""
        directory = self.get_option("history_dir")
        kept = Kept(directory, max(1, self.get_option("history_keep")), max(0, self.get_option("history_days")))
        try:
            runs, skipped = kept.read()
            document = with_history(document, runs, skipped)
            for entry in skipped[:3]:
                self._display.warning("%s in history_dir %s was skipped: %s" % (entry["file"], directory, entry["why"]))
            if len(skipped) > 3:
                self._display.warning("%d more files in history_dir %s were skipped; the report has them" % (len(skipped) - 3, directory))
            kept.add(document)
        except (OSError, ValueError) as exc:
            self._display.warning("The history in %s could not be read and kept: %s" % (directory, exc))
        return document

    def _turn(self, result: CallbackTaskResult) -> None:
        """Only here are the options of one turn of a loop known with their values filled in."""
        self._turns.setdefault((result.host.get_name(), result.task.get_path()), []).append(result.task)

    def _add(self, result: CallbackTaskResult, failed: bool = False) -> bool:
        """Take a result, and each turn of a loop; true when a refusal explains the failure."""
        values = result.result
        turns = self._turns.pop((result.host.get_name(), result.task.get_path()), [])
        loop = values.get("results") if result.task.loop is not None else None
        if not isinstance(loop, list) or is_hidden(values):
            return self._add_one(result, result.task, values, failed)
        refused = [True]
        for n, turn in enumerate(loop):
            if isinstance(turn, Mapping):
                lost = bool(turn.get("failed") or turn.get("unreachable"))
                told = self._add_one(result, turns[n] if n < len(turns) else result.task, turn, lost)
                refused += [told] if lost else []
        return len(refused) > 1 and all(refused)

    def _add_one(self, result: CallbackTaskResult, task: Task, values: Mapping[str, Any], failed: bool) -> bool:
        origin = self._origin(result, task, values.get(str(values.get("ansible_loop_var"))))
        for look, told in _looks(origin, values):
            self._report.add(look, told, not told.get("failed"))
        # failed_when judges a result, it does not make it less complete: the module itself said nothing of an error.
        complete = not failed or ("failed_when_result" in values and "msg" not in values)
        return self._report.add(origin, values, complete) and failed and bool(values.get("refusals"))

    def _origin(self, result: CallbackTaskResult, task: Task, item: Any = None) -> Origin:
        host = str(result.host.get_name())
        where = str(task.delegate_to or host)
        return Origin(
            host=host,
            task=str(task.name or task.action),
            action=str(task.resolved_action or task.action),
            at=_iso(datetime.now(timezone.utc)),
            check_mode=bool(task.check_mode),
            ran_on=host if "{{" in where else where,  # of a loop as a whole, nobody knows
            args={name: value for name, value in task.args.items() if not name.startswith("_ansible_")},
            item=item,
            become=task.become is True,
            become_user=str(task.become_user or ""),
        )

    def _write(self, name: str, path: str, document: Mapping[str, Any]) -> bool:
        try:
            write_whole(path, FORMATS[name].render(document), FORMATS[name].mode)
        except Exception as exc:  # noqa: BLE001 # one form that cannot be made must not cost the others, nor the page below
            self._display.warning("The report could not be written to %s: %s" % (path, exc))
            return False
        return True

    def _show(self, document: Mapping[str, Any], written: str) -> None:
        page = Page(_width(), bool(self.get_option("show_info")), unstyled, _short(written))
        plain = "\n".join(render(document, page))
        if not _colored():
            self._display.display(plain)
            return
        styled = render(document, Page(page.width, page.show_info, _styled, page.report_path))
        self._display.display("\n".join(styled), screen_only=True)
        self._display.display(plain, log_only=True)


def _looks(whole: Origin, values: Mapping[str, Any]) -> List[Tuple[Origin, Mapping[str, Any]]]:
    """What was looked at together, as if each look were a task of its own."""
    if whole.action != TOGETHER or not isinstance(values.get("results"), list) or is_hidden(values):
        return []
    asked = whole.args["looks"]
    return [(replace(whole, action=look["module"], args=look["args"]), told) for look, told in zip(asked, values["results"])]


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_awx() -> bool:
    """AWX runs Ansible on a pseudo-terminal and forces colour, whoever reads it."""
    return "AWX_PRIVATE_DATA_DIR" in os.environ or ("JOB_ID" in os.environ and ("AWX_HOST" in os.environ or "TOWER_HOST" in os.environ))


def _colored() -> bool:
    if _in_awx() or (os.environ.get("NO_COLOR") and not C.ANSIBLE_FORCE_COLOR):
        return False
    return bool(stringc("x", "red") != "x")


def _styled(text: str, role: str) -> str:
    name = COLORS.get(role)
    return str(stringc(text, getattr(C, name))) if name else text


def _width() -> int:
    known = sys.__stdout__ is not None and sys.__stdout__.isatty() and not _in_awx()
    return shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns if known or os.environ.get("COLUMNS") else DEFAULT_WIDTH


def _inventory() -> List[str]:
    """The inventories named on the command line, as one would type them here; those of AWX are gone when its job ends."""
    if _in_awx():
        return []
    given: Optional[Any] = context.CLIARGS.get("inventory")
    sources = [str(source) for source in given or ()]
    return [] if sources == [str(source) for source in C.DEFAULT_HOST_LIST] else [_short(source) for source in sources]


def _short(source: str) -> str:
    """Relative to the current folder when it lies below it."""
    here = os.path.relpath(source) if os.path.isabs(source) else source
    return source if here.startswith(os.pardir + os.sep) else here
