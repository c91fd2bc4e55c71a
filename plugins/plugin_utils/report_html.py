# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML page: no network, dark and light, to be printed. Pure.

Text from hosts is hostile. It only reaches the page as an argument of Markup.format, which escapes it, and every attribute is quoted.
The policy in the page's head lets no script run but the one that is in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence

from markupsafe import Markup

from . import report_view as view
from .report_html_parts import changes_part, command, guards_part, heat_part, history_part, mark, timeline_part, trouble_rows
from .report_read import host_key
from .report_text import count

BUDGET = 290_000
FIRST = 5
"""Findings that are told at the top."""


class Detail(NamedTuple):
    """How much a page of a large run shows; the JSON report has all."""

    findings: int = 400
    hosts: int = 6
    rows: int = 200


DETAILS = (Detail(), Detail(200, 3, 120), Detail(120, 1, 60), Detail(40, 1, 20))


def render(document: Mapping[str, Any]) -> str:
    """With as much detail as fits."""
    page = ""
    for detail in DETAILS:
        page = _page(document, detail)
        if len(page.encode("utf-8", "backslashreplace")) <= BUDGET:
            break
    return page


def _static(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _page(report: Mapping[str, Any], detail: Detail) -> str:
    style, script = _static("report_page.css"), _static("report_page.js")
    policy = "default-src 'none'; img-src data:; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'" % (_hash(style), _hash(script))
    parts = [_head(report), _first(report), heat_part(report, _links(report, detail)), _findings(report, detail), changes_part(report, detail.rows)]
    parts += [guards_part(report, detail.rows), history_part(report, detail.rows), timeline_part(report, detail.rows), _foot(report)]
    shell = Markup(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="{}"><meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        '<title>{}</title><style>{}</style></head><body>{}<div id="live" role="status" class="quiet"></div><script>{}</script></body></html>\n'
    )
    # These two are files of the collection, and hold nothing of the report.
    return str(shell.format(policy, view.verdict(report), Markup(style), Markup("").join(parts), Markup(script)))  # noqa: S704


def _head(report: Mapping[str, Any]) -> Markup:
    run, word = report["run"], view.word_of(report)
    mode = ", check mode: nothing was touched" if run.get("check_mode") else ""
    played = ", ".join(view.one_line(name, 80) for name in run.get("playbooks", [])[:4])
    told, _sep, rest = view.verdict(report).partition(": ")
    hosts = view.broken_hosts(report)
    wrong = "to look at" if word == "warning" else "broken"
    where = "%s %s: %s" % (count(len(hosts), "host"), wrong, view.names(hosts, 8)) if hosts else "Nothing is wrong on %s" % count(len(report["hosts"]), "host")
    line = Markup('<div class="top"><span>{} &middot; {} UTC &middot; {}{}</span><button id="theme" type="button" hidden>Theme: auto</button></div>')
    lead = {"ok": "o", "critical": "c", "warning": "w", "failed": "f"}[word]
    box = Markup('<header class="verdict {}"><span class="m" aria-hidden="true"></span><div><h1>{}: {}</h1><p>{}</p></div></header>')
    return line.format(played, view.day(run.get("started", "")), view.duration(report), mode) + box.format(lead, told, where, rest) + _tiles(report)


def _tiles(report: Mapping[str, Any]) -> Markup:
    totals, history = report["totals"], report["history"]
    told = [(totals["ok"], "ok"), (totals["info"], "info"), (totals["cleared"], "cleared in this run")]
    counted = [("changes_done", "change", "made"), ("changes_planned", "change", "planned"), ("refused", "plan", "refused")]
    counted += [("hidden_results", "result", "hidden by no_log"), ("unreadable_entries", "item", "unreadable")]
    told += [(totals[name], "%s %s" % (count(totals[name], noun).partition(" ")[2], rest)) for name, noun, rest in counted]
    if history and history["runs"]:
        told += [(history["new"], "new"), (history["persisting"], "persisting"), (len(history["cleared"]), "cleared since earlier runs")]
        told += [(len(history["not_looked"]), "not looked at in this run")]
    return Markup('<div class="tiles">{}</div>').format(Markup("").join(Markup("<span><b>{}</b> {}</span>").format(*one) for one in told if one[0]))


def _first(report: Mapping[str, Any]) -> Markup:
    """The worst, each with the one command."""
    rows = [_first_row(report, group) for group in _leading(report)]
    rows = trouble_rows(report, 3) + rows
    if not rows:
        return Markup("")
    wrong = sum(1 for group in view.standing(report) if group["severity"] in view.WRONG)
    more = wrong - len(_leading(report))
    rest = Markup('<p class="quiet"><a href="#findings">All {} findings</a></p>').format(wrong) if more > 0 else Markup("")
    return Markup('<section><h2>Do this first</h2><ol class="first">{}</ol>{}</section>').format(Markup("").join(rows), rest)


def _leading(report: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    """The worst findings, of those with the same remedy the first."""
    taken: Dict[Any, Mapping[str, Any]] = {}
    for group in view.standing(report):
        if group["severity"] in view.WRONG:
            taken.setdefault(tuple(group["remedies"][:1]) or id(group), group)
    return list(taken.values())[:FIRST]


def _first_row(report: Mapping[str, Any], group: Mapping[str, Any]) -> Markup:
    remedy = report["remedies"][group["remedies"][0] - 1] if group["remedies"] else None
    told = Markup('<p class="t">{}</p>').format(view.one_line(remedy["texts"][0], 220)) if remedy and remedy["texts"] else Markup("")
    if remedy and remedy["command"]:
        told += command(remedy["command"])
    also = sum(1 for other in view.standing(report) if remedy and remedy["n"] in other["remedies"]) - 1
    mends = Markup(' <span class="quiet">and {} more that the same mends</span>').format(count(also, "finding")) if also > 0 else Markup("")
    row = Markup('<li>{}<div><p><strong>{}</strong> &middot; <a href="#f{}">{}</a>{}</p>{}</div></li>')
    number = report["findings"].index(group)
    return row.format(mark(group["severity"]), view.names(view.hosts_of(group), 4), number, view.title(group), mends, told)


def _links(report: Mapping[str, Any], detail: Detail) -> Dict[Any, int]:
    """The worst finding of a host and check, for the cells to lead to."""
    links: Dict[Any, int] = {}
    for number, group in enumerate(report["findings"][: detail.findings]):
        for on in group["hosts"] if not group["cleared"] and group["severity"] != "ok" else ():
            links.setdefault((on["host"], on["action"]), number)
            for check in on["checks"]:
                links.setdefault((on["host"], check), number)
    by_check = {(check["host"], check["id"]): check["action"] for check in report["checks"]}
    for (host, check), number in list(links.items()):
        action = by_check.get((host, check))
        links[host, action] = min(number, links.get((host, action), number))
    return links


def _findings(report: Mapping[str, Any], detail: Detail) -> Markup:
    groups = [(number, group) for number, group in enumerate(report["findings"]) if group["severity"] != "ok" or group["cleared"]]
    if not groups:
        return Markup('<section id="findings"><h2>Findings</h2><p>None.</p>{}</section>').format(_bar(report, []))
    rows = [_finding(report, number, group, detail) for number, group in groups[: detail.findings]]
    left = len(groups) - len(rows)
    more = Markup("<p>{} more are in the JSON report.</p>").format(left) if left > 0 else Markup("")
    return Markup('<section id="findings"><h2>Findings</h2>{}{}{}</section>').format(_bar(report, groups), Markup("").join(rows), more)


def _bar(report: Mapping[str, Any], groups: Sequence[Any]) -> Markup:
    words = [word for word in ("critical", "warning", "info", "cleared") if any(_word(group) == word for _n, group in groups)]
    buttons = [Markup('<button type="button" data-filter="{}" aria-pressed="false">{}</button>').format(word, mark(word, bare=True)) for word in words]
    hosts = sorted({host for _n, group in groups for host in view.hosts_of(group)}, key=host_key)
    choose = Markup('<select id="by-host" aria-label="Host"><option value="">all hosts</option>{}</select>').format(_options(hosts))
    known = [word for word in ("new", "persisting", "cleared") if any(word in view.statuses(group) for _n, group in groups)]
    status = Markup('<select id="by-status" aria-label="Against earlier runs"><option value="">new and old</option>{}</select>').format(_options(known))
    tail = Markup(
        '<input id="by-text" type="search" placeholder="Text, code, host" aria-label="Text"><button id="expand" type="button">Expand all</button>'
        '<button id="reset" type="button">Reset</button><output id="shown"></output>'
    )
    return Markup('<div class="bar js-only">{}{}{}{}</div>').format(Markup("").join(buttons), choose, status if known else Markup(""), tail)


def _options(values: Iterable[str]) -> Markup:
    return Markup("").join(Markup("<option>{}</option>").format(value) for value in values)


def _word(group: Mapping[str, Any]) -> str:
    return "cleared" if group["cleared"] else str(group["severity"])


def _finding(report: Mapping[str, Any], number: int, group: Mapping[str, Any], detail: Detail) -> Markup:
    hosts, word = view.hosts_of(group), _word(group)
    shell = Markup(
        '<details class="find" id="f{}" data-severity="{}" data-status="{}" data-hosts="{}"><summary>{}<span class="hosts">{}</span>'
        '<span class="what">{}</span><span class="tags">{}<span class="more" aria-hidden="true"></span></span></summary><div class="in">{}</div></details>'
    )
    inside = [_proposal(report, group)] + [_on_host(report, group, on, len(hosts) > 1) for on in group["hosts"][: detail.hosts]]
    left = len(group["hosts"]) - detail.hosts
    inside += [Markup('<p class="quiet">The same on {} more; their evidence is in the JSON report.</p>').format(count(left, "host"))] if left > 0 else []
    listed = json.dumps(hosts)
    return shell.format(
        number, word, " ".join(view.statuses(group)), listed, mark(word), view.names(hosts, 3), view.title(group), _tags(group), Markup("").join(inside)
    )


def _tags(group: Mapping[str, Any]) -> Markup:
    tags = [Markup('<span class="tag {}">{}</span>').format(status, status) for status in view.statuses(group) if status != "cleared"]
    times = view.came_back(group)
    tags += [Markup('<span class="tag">came back {}&times;</span>').format(times)] if times else []
    old = any(on["before_change"] for on in group["hosts"]) and not group["cleared"]
    return Markup("").join(tags + ([Markup('<span class="tag">seen before a change</span>')] if old else []))


def _proposal(report: Mapping[str, Any], group: Mapping[str, Any]) -> Markup:
    """What to do, and where the runbook has it."""
    parts: List[Markup] = []
    for number in group["remedies"]:
        remedy = report["remedies"][number - 1]
        parts += [Markup("<p>{}</p>").format(view.one_line(text, 500)) for text in remedy["texts"]]
        parts += [command(remedy["command"])] if remedy["command"] else []
    texts = [on["remedy"]["text"] for on in group["hosts"] if on["remedy"]] if group["cleared"] else []
    parts += [Markup('<p class="quiet">Was: {}</p>').format(view.one_line(text, 300)) for text in list(dict.fromkeys(texts))[:1] if text]
    title = Markup("<h3>{}</h3>").format("Cleared" if group["cleared"] else "Proposed change" if parts else "No remedy is known")
    books = dict.fromkeys((on["runbook"]["file"], on["runbook"]["heading"]) for on in group["hosts"] if on["runbook"])
    told = [Markup("{}, &ldquo;{}&rdquo;").format(*book) for book in list(books)[:3]]
    book = Markup("<h3>Runbook</h3><p>{}</p>").format(Markup("; ").join(told)) if told else Markup("")
    return title + Markup("").join(parts) + book


def _on_host(report: Mapping[str, Any], group: Mapping[str, Any], on: Mapping[str, Any], several: bool) -> Markup:
    rows: List[Any] = [("code", group["code"]), ("seen", _seen(on)), ("check", "%s (%s)" % (view.short(on["action"]), on["task"]))]
    rows += [("ran on", on["ran_on"])] if on["ran_on"] != on["host"] else []
    rows += [(name, view.value(thing)) for name, thing in list(on["detail"].items())[:20]]
    why = view.cause(on["detail"])
    name = Markup("<h3>Evidence{}</h3>").format(" on " + on["host"] if several else "")
    told = Markup("<h3>Cause</h3><p>{}</p>").format(why or group["summary"])
    return told + name + _pairs(rows) + _fixes(report, group, on)


def _fixes(report: Mapping[str, Any], group: Mapping[str, Any], on: Mapping[str, Any]) -> Markup:
    parts: List[Markup] = []
    for section, heading in (("changes", "Changed on this host since"), ("refusals", "Refused")):
        parts += [_fix(entry, heading) for entry in view.related(report, group, on, section)[:4]]
    for entry in view.related(report, group, on, "undo")[:4]:
        parts.append(Markup("<h3>Undo</h3>") + (Markup("<p>Already taken back.</p>") if entry["undone"] else command(entry["command"])))
    return Markup("").join(parts)


def _fix(entry: Mapping[str, Any], heading: str) -> Markup:
    reasons = "; ".join("%s: %s" % (one["guard"], one["reason"]) for one in entry.get("refusals", ()))
    title = "Planned" if entry["check_mode"] and not reasons else heading
    return Markup("<h3>{}</h3><p>{} {}, {}</p>").format(title, view.clock(entry["at"]), view.short(entry["action"]), reasons or view.fix_line(entry))


def _seen(on: Mapping[str, Any]) -> str:
    told = "since %s" % view.day(on["since"]) if on.get("since") else "first %s" % view.clock(on["first_seen"])
    told += ", last %s" % view.clock(on["last_seen"])
    return told + (", cleared %s" % view.clock(on["cleared_at"]) if on["cleared_at"] else "")


def _pairs(rows: Iterable[Any]) -> Markup:
    return Markup('<dl class="kv">{}</dl>').format(Markup("").join(Markup("<dt>{}</dt><dd>{}</dd>").format(*row) for row in rows))


def _foot(report: Mapping[str, Any]) -> Markup:
    return Markup('<p class="quiet">fieldops.runbooks, report form {}, ansible-core {}. Times are UTC.</p>').format(
        report["schema_version"], report["run"].get("ansible_version", "")
    )


__all__ = ["BUDGET", "render"]
