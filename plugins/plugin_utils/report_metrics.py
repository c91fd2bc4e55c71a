# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as metrics in Prometheus' text format. Pure.

Every series has the label playbook, so that the files of two playbooks do not contradict each other. Subjects and texts are no labels:
they would make a series for every file.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional, Tuple

from . import report_view as view

HELP = {
    "fieldops_run_end_timestamp_seconds": "When the run ended.",
    "fieldops_run_duration_seconds": "How long the run took.",
    "fieldops_run_check_mode": "1 when the run was made with --check.",
    "fieldops_findings": "Findings that stand, by severity; one that hosts share is one.",
    "fieldops_host_findings": "Findings that stand on a host, by severity.",
    "fieldops_finding": "Findings of a code that stand on a host; critical, warning and info only.",
    "fieldops_finding_since_timestamp_seconds": "Start of the run since which a code stands on a host, of the runs that are kept.",
    "fieldops_finding_came_back": "How often findings of a code on a host were cleared and stood again, in the runs that are kept.",
    "fieldops_findings_cleared": "Critical findings and warnings cleared within the run.",
    "fieldops_host_unreachable": "1 when the host was not reached.",
    "fieldops_host_failed_tasks": "Tasks that failed on the host, and were neither ignored nor rescued.",
    "fieldops_check_severity": "The worst of what a check found on a host: 0 ok, 1 info, 2 warning, 3 critical.",
    "fieldops_check_failed": "1 when the check could not look.",
    "fieldops_check_duration_seconds": "How long the check took on the host.",
    "fieldops_changes_made": "Changes made by the run.",
    "fieldops_changes_planned": "Changes that the run has only planned.",
    "fieldops_plans_refused": "Plans that a guard refused, and that were not accepted later in the run.",
    "fieldops_guard_refusals": "Plans that a guard refused on a host.",
    "fieldops_fix_made_before": "How often the same change of a fix was made before on a host, in the runs that are kept.",
    "fieldops_results_hidden": "Results with no_log, of which nothing is known.",
    "fieldops_entries_unreadable": "Findings, changes and refusals that could not be read.",
}
LEVEL = {"ok": 0, "info": 1, "warning": 2, "critical": 3}

Series = Dict[Tuple[str, Tuple[Tuple[str, str], ...]], float]


def render(document: Mapping[str, Any]) -> str:
    """The text that a collector reads. A metric without a series is left out."""
    series: Series = {}
    _run(document, series)
    _findings(document, series)
    _hosts(document, series)
    _checks(document, series)
    _fixes(document, series)
    playbook = ", ".join(document["run"].get("playbooks", ()))
    lines: List[str] = []
    for name, text in HELP.items():
        of_name = [(labels, value) for (metric, labels), value in series.items() if metric == name]
        lines += ["# HELP %s %s" % (name, text), "# TYPE %s gauge" % name] if of_name else []
        lines += ["%s{%s} %s" % (name, _labels((("playbook", playbook), *labels)), _number(value)) for labels, value in of_name]
    return "\n".join(lines) + "\n"


def _put(series: Series, metric: str, value: Optional[float], **labels: str) -> None:
    if value is not None:
        series[metric, tuple(labels.items())] = value


def _run(document: Mapping[str, Any], series: Series) -> None:
    totals, run = document["totals"], document["run"]
    _put(series, "fieldops_run_end_timestamp_seconds", _seconds(run.get("ended")))
    _put(series, "fieldops_run_duration_seconds", view.run_seconds(document))
    _put(series, "fieldops_run_check_mode", int(bool(run.get("check_mode"))))
    for severity in LEVEL:
        _put(series, "fieldops_findings", totals[severity], severity=severity)
    named = {"cleared": "findings_cleared", "changes_done": "changes_made", "changes_planned": "changes_planned", "refused": "plans_refused"}
    for total, metric in dict(named, hidden_results="results_hidden", unreadable_entries="entries_unreadable").items():
        _put(series, "fieldops_" + metric, totals[total])


def _findings(document: Mapping[str, Any], series: Series) -> None:
    counts: Counter[Tuple[str, str, str]] = Counter()
    since: Dict[Tuple[str, str], str] = {}
    back: Counter[Tuple[str, str]] = Counter()
    for group in view.standing(document):
        for on in group["hosts"] if group["severity"] != "ok" else ():
            key = (on["host"], group["code"])
            counts[(*key, group["severity"])] += 1
            back[key] += on["came_back"]
            if on["since"]:
                since[key] = min(since.get(key, on["since"]), on["since"])
    for (host, code, severity), number in counts.items():
        _put(series, "fieldops_finding", number, host=host, code=code, severity=severity)
    for (host, code), when in since.items():
        _put(series, "fieldops_finding_since_timestamp_seconds", _seconds(when), host=host, code=code)
        _put(series, "fieldops_finding_came_back", back[host, code], host=host, code=code)


def _hosts(document: Mapping[str, Any], series: Series) -> None:
    standing = Counter((on["host"], group["severity"]) for group in view.standing(document) for on in group["hosts"])
    hosts = dict.fromkeys([host["name"] for host in document["hosts"]] + [host for host, _severity in standing])
    gone = {entry["host"] for entry in document["unreachable"]}
    failed = Counter(entry["host"] for entry in document["failed"] if not entry["ignored"] and not entry["rescued"])
    for host in dict.fromkeys([*hosts, *sorted(gone)]):
        _put(series, "fieldops_host_unreachable", int(host in gone), host=host)
        _put(series, "fieldops_host_failed_tasks", failed[host], host=host)
        for severity in LEVEL:
            _put(series, "fieldops_host_findings", standing[host, severity], host=host, severity=severity)


def _checks(document: Mapping[str, Any], series: Series) -> None:
    """Of several looks of one check on one host, the worst and the sum."""
    worst: Dict[Tuple[str, str], int] = {}
    failed: Dict[Tuple[str, str], int] = {}
    spent: Dict[Tuple[str, str], float] = {}
    for check in document["checks"]:
        key = (check["host"], view.short(check["action"]))
        failed[key] = max(failed.get(key, 0), int(check["outcome"] == "failed"))
        if check["severity"] is not None:
            worst[key] = max(worst.get(key, 0), LEVEL[check["severity"]])
        if check["elapsed"] is not None:
            spent[key] = spent.get(key, 0) + check["elapsed"]
    for metric, values in (("severity", worst), ("failed", failed), ("duration_seconds", spent)):
        for (host, name), value in values.items():
            _put(series, "fieldops_check_" + metric, value, host=host, check=name)


def _fixes(document: Mapping[str, Any], series: Series) -> None:
    refused = Counter((entry["host"], one["guard"]) for entry in document["refusals"] for one in entry["refusals"])
    for (host, guard), number in refused.items():
        _put(series, "fieldops_guard_refusals", number, host=host, guard=guard)
    for entry in document["changes"]:
        labels = {"host": entry["host"], "fix": view.short(entry["action"])}
        before = series.get(("fieldops_fix_made_before", tuple(labels.items())), 0)
        _put(series, "fieldops_fix_made_before", max(before, entry["made_before"]), **labels)


def _labels(labels: Tuple[Tuple[str, str], ...]) -> str:
    return ",".join('%s="%s"' % (name, _escaped(value)) for name, value in labels)


def _escaped(value: str) -> str:
    """Bounded; a line break would begin a new series, and what is no text would spoil the whole file."""
    text = str(value)[:200].encode("utf-8", "backslashreplace").decode("utf-8")
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", " ")


def _number(value: float) -> str:
    return "%d" % value if value == int(value) else "%.3f" % value


def _seconds(when: Any) -> Optional[float]:
    try:
        return datetime.strptime(when, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp()
    except (TypeError, ValueError):
        return None
