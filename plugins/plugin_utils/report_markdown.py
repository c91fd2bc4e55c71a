# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as Markdown, for a ticket or a chat. Pure. Text from hosts cannot become markup, a link or a mention."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence

from . import report_view as view
from .report_text import count

ROWS = 100
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~^$-])")


def render(document: Mapping[str, Any]) -> str:
    """The whole document."""
    report = document
    lines = ["# " + safe(view.verdict(report)), "", _run(report), ""]
    for heading, section in (
        ("Do this", _remedies(report)),
        ("Hosts by check", _heat(report)),
        ("Findings", _findings(report)),
        ("Changes", _changes(report)),
        ("Undo, newest first", _undo(report)),
        ("Guards", _guards(report)),
        ("Against earlier runs", _history(report)),
        ("Timeline", _timeline(report)),
    ):
        lines += ["## " + heading, "", *section, ""] if section else []
    return "\n".join(lines).rstrip() + "\n"


def safe(text: Any, length: int = 400) -> str:
    """One line in which nothing is markup: no HTML, no link that is made of itself, no mention of a person."""
    told = view.one_line(text, length)
    told = told.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    told = _SPECIAL.sub(r"\\\1", told)
    told = told.replace("@", "&#64;").replace("://", "&#58;//")
    return re.sub(r"(?i)\bwww\.", "www&#46;", re.sub(r"^(\d+)([.)])", r"\1\\\2", told))


def code(text: str) -> str:
    """A command as a block that it cannot leave. One that holds something unprintable is not shown."""
    if not text.isprintable():
        return "(see the JSON report: the command holds unprintable characters)"
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return "%ssh\n%s\n%s" % (fence, text, fence)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> List[str]:
    if not rows:
        return []
    lines = ["| %s |" % " | ".join(row) for row in [heads, ["---"] * len(heads), *rows[:ROWS]]]
    return lines + (["", "%d more are in the JSON report." % (len(rows) - ROWS)] if len(rows) > ROWS else [])


def _run(report: Mapping[str, Any]) -> str:
    run = report["run"]
    mode = ", check mode: nothing was touched" if run.get("check_mode") else ""
    return "%s, %s UTC%s" % (", ".join(safe(name, 80) for name in run.get("playbooks", [])), view.day(run.get("started", "")), mode)


def _remedies(report: Mapping[str, Any]) -> List[str]:
    lines: List[str] = []
    for remedy in report["remedies"][:ROWS]:
        books = ['%s, "%s"' % (safe(book["file"]), safe(book["heading"])) for book in remedy["runbooks"]]
        lines += ["**[%d]** %s (%s)" % (remedy["n"], " ".join(safe(text) for text in remedy["texts"]), safe(view.names(remedy["hosts"]))), ""]
        lines += [code(remedy["command"]), ""] if remedy["command"] else []
        lines += ["Runbook: " + "; ".join(books), ""] if books else []
    return lines[:-1]


def _heat(report: Mapping[str, Any]) -> List[str]:
    lines: List[str] = []
    for one in view.heat(report):
        rows = [[safe(host)] + ([cells.get(check) or "-" for check in one["checks"]] or ["unreachable"]) for host, cells in one["rows"]]
        lines += table(["host"] + ([safe(view.short(check)) for check in one["checks"]] or ["state"]), rows) + [""]
    return lines[:-1]


def _findings(report: Mapping[str, Any]) -> List[str]:
    rows = []
    for group in report["findings"]:
        if group["severity"] == "ok" and not group["cleared"]:
            continue
        word = "cleared" if group["cleared"] else group["severity"]
        back = "; came back %d times" % view.came_back(group) if view.came_back(group) else ""
        todo = " ".join("[%d]" % number for number in group["remedies"])
        book = next((on["runbook"] for on in group["hosts"] if on["runbook"]), None)
        where = '%s, "%s"' % (safe(book["file"]), safe(book["heading"])) if book else ""
        state = ", ".join(view.statuses(group)) + back
        rows.append([word, safe(view.names(view.hosts_of(group))), safe(view.title(group)), safe(group["code"]), state, todo, where])
    return table(("severity", "hosts", "finding", "code", "against earlier runs", "do", "runbook"), rows)


def _changes(report: Mapping[str, Any]) -> List[str]:
    rows = []
    for entry in report["changes"]:
        subjects = ", ".join("%s %s" % (change["action"], change["subject"]) for change in entry["changes"][:5])
        again = "%d times before" % entry["made_before"] if entry["made_before"] else ""
        rows.append([view.clock(entry["at"]), safe(entry["host"]), safe(view.short(entry["action"])), view.fix_line(entry), safe(subjects), again])
    return table(("time", "host", "fix", "what", "subjects", "made"), rows)


def _undo(report: Mapping[str, Any]) -> List[str]:
    return [code(entry["command"]) for entry in list(reversed(report["undo"]))[:ROWS] if not entry["undone"]]


def _guards(report: Mapping[str, Any]) -> List[str]:
    rows = [
        [view.clock(entry["at"]), safe(entry["host"]), safe(view.short(entry["action"])), safe(one["guard"]), one["decision"], safe(one["why"])]
        for entry in report["guards"]
        for one in entry["decisions"]
    ]
    return table(("time", "host", "fix", "guard", "decision", "why"), rows)


def _history(report: Mapping[str, Any]) -> List[str]:
    history: Dict[str, Any] = report["history"] or {}
    if not history or not (history["runs"] or history["skipped"]):
        return []
    lines = [
        "%s read: %d new, %d persisting, %d cleared." % (count(history["runs"], "earlier run"), history["new"], history["persisting"], len(history["cleared"]))
    ]
    rows = [
        [word, entry["severity"], safe(entry["host"]), safe(view.title(entry)), view.day(entry["since"]), view.day(entry["last_seen"])]
        for name, word in (("cleared", "cleared"), ("not_looked", "not looked at"))
        for entry in history[name]
    ]
    lines += ["", *table(("now", "severity", "host", "finding", "since", "last stood"), rows)] if rows else []
    return lines + ["", *("Not read: %s, %s" % (safe(entry["file"]), safe(entry["why"])) for entry in history["skipped"][:10])]


def _timeline(report: Mapping[str, Any]) -> List[str]:
    rows = [
        [view.clock(event["at"]), safe(view.names(event["hosts"], 4)), event["kind"], safe(event["task"], 100), safe(event["worst"] or ""), safe(event["text"])]
        for event in view.moments(report)
    ]
    return table(("time", "hosts", "what", "task", "worst", "said"), rows)
