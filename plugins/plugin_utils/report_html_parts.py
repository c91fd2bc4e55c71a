# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sections of the HTML page. Pure; see report_html for what keeps hostile text out."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from markupsafe import Markup

from . import report_view as view
from .report_text import count

LETTERS = {"critical": "c", "warning": "w", "info": "i", "ok": "o", "unreachable": "u", "failed": "f", "cleared": "o", "off": "x", "pass": "o", "refuse": "w"}
SHORT = {"critical": "crit", "warning": "warn", "info": "info", "ok": "ok", "failed": "failed"}


def mark(word: str, bare: bool = False) -> Markup:
    """A status: its shape and its word, in its colour."""
    return Markup('<span class="s {}"><span class="m" aria-hidden="true"></span>{}</span>').format(LETTERS[word] + (" b" if bare else ""), word)


def command(text: str) -> Markup:
    """A command to be copied; one that holds something unprintable is not offered."""
    if not text.isprintable():
        return Markup('<p class="quiet">The command holds unprintable characters: see the JSON report.</p>')
    return Markup('<div class="cmd"><code>{}</code><button type="button">Copy</button></div>').format(text)


def trouble_rows(report: Mapping[str, Any], most: int) -> List[Markup]:
    """Hosts that were not reached and tasks that failed; those of the same reason together."""
    alike: Dict[Any, List[str]] = {}
    for word, entries in (("unreachable", report["unreachable"]), ("failed", report["failed"])):
        for entry in entries:
            if not entry["ignored"] and not entry["rescued"]:
                text = entry["reason"] if word == "unreachable" else "%s: %s" % (entry["task"], entry["reason"])
                alike.setdefault((word, text), []).append(entry["host"])
    row = Markup("<li>{}<div><p><strong>{}</strong> &middot; {}</p></div></li>")
    return [row.format(mark(word), view.names(hosts, 4), view.one_line(text, 300)) for (word, text), hosts in list(alike.items())[:most]]


def heat_part(report: Mapping[str, Any], links: Mapping[Any, int]) -> Markup:
    tables = view.heat(report)
    if not tables:
        return Markup("")
    legend = Markup("").join(mark(word) for word in ("critical", "warning", "info", "ok", "failed"))
    maps = Markup("").join(_heat_table(table, links) for table in tables)
    return Markup('<section><h2>Hosts by check</h2><div class="maps">{}</div><div class="legend">{}</div></section>').format(maps, legend)


def _heat_table(table: Mapping[str, Any], links: Mapping[Any, int]) -> Markup:
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(_heading(check)) for check in table["checks"])
    rows = Markup("").join(_heat_row(table, host, cells, links) for host, cells in table["rows"])
    top = Markup("<thead><tr><th></th>{}</tr></thead>").format(head) if head else ""
    shell = Markup('<div class="map" tabindex="0" role="group" aria-label="{}"><table class="heat"><caption>{}</caption>{}{}</table></div>')
    return shell.format(table["name"], table["name"], top, rows)


def _heading(check: str) -> str:
    words = view.short(check).split(".")[-1].split("_")
    return " ".join(words[:-1] if words[-1] == "info" and len(words) > 1 else words)


def _heat_row(table: Mapping[str, Any], host: str, cells: Mapping[str, str], links: Mapping[Any, int]) -> Markup:
    if not table["checks"]:
        return Markup('<tr><th scope="row">{}</th><td class="u"><span class="u"><span class="m"></span>unreachable</span></td></tr>').format(host)
    told = Markup("").join(_cell(host, check, cells.get(check), links) for check in table["checks"])
    return Markup('<tr><th scope="row">{}</th>{}</tr>').format(host, told)


def _cell(host: str, check: str, word: Any, links: Mapping[Any, int]) -> Markup:
    if word is None:
        return Markup("<td></td>")
    letter, number = LETTERS[word], links.get((host, check))
    if number is None or word == "ok":
        return Markup('<td class="{}"><span class="{}"><i class="m"></i>{}</span></td>').format(letter, letter, SHORT[word])
    return Markup('<td class="{}"><a class="{}" href="#f{}"><i class="m"></i>{}</a></td>').format(letter, letter, number, SHORT[word])


def changes_part(report: Mapping[str, Any], most: int) -> Markup:
    entries = report["changes"]
    if not entries:
        return Markup("")
    undo = {entry["undo_id"]: entry for entry in report["undo"]}
    rows = Markup("").join(_changed(entry, undo.get(entry["undo_id"])) for entry in entries[:most])
    return _table("Changes, and how to take them back", ("time", "host", "fix", "what"), rows, len(entries) - most)


def _changed(entry: Mapping[str, Any], undo: Any) -> Markup:
    lines = [Markup("<strong>{}</strong>").format(view.fix_line(entry))]
    again = entry.get("made_before", 0)
    lines[0] += Markup(' <span class="tag">made {}&times; before</span>').format(again) if again else Markup("")
    shown = entry["changes"][:5]
    lines += [Markup("{} {}{}{}").format(one["action"], view.one_line(one["subject"], 120), _images(one), _final(one)) for one in shown]
    left = entry["total"] - 5
    lines += [Markup('<span class="quiet">and {} more</span>').format(left)] if left > 0 else []
    if undo is not None:
        lines.append(Markup("<em>already taken back</em>") if undo["undone"] else command(undo["command"]))
    cells = Markup('<tr><td class="n">{}</td><td>{}</td><td>{}<br><span class="quiet">{}</span></td><td>{}</td></tr>')
    return cells.format(view.clock(entry["at"]), entry["host"], view.short(entry["action"]), view.one_line(entry["task"], 100), Markup("<br>").join(lines))


def _images(change: Mapping[str, Any]) -> Markup:
    before, after = change["before"] or {}, change["after"] or {}
    names = [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)][:4]
    told = ["%s: %s \u2192 %s" % (name, view.value(before.get(name))[:80], view.value(after.get(name))[:80]) for name in names]
    return Markup(' <span class="diff">{}</span>').format("; ".join(told)) if told else Markup("")


def _final(change: Mapping[str, Any]) -> Markup:
    lost = "; data lost: %s" % change["data_loss"] if change.get("data_loss") else ""
    return Markup("") if change["reversible"] else Markup(' <span class="tag">cannot be taken back{}</span>').format(lost)


def guards_part(report: Mapping[str, Any], most: int) -> Markup:
    entries = report["guards"]
    if not entries:
        return Markup("")
    allow = {(entry["host"], entry["at"], entry["action"], one["guard"]): one["allow"] for entry in report["refusals"] for one in entry["refusals"]}
    rows = Markup("").join(_guarded(entry, allow) for entry in entries[:most])
    return _table("What each guard decided", ("time", "host", "fix", "guards"), rows, len(entries) - most)


def _guarded(entry: Mapping[str, Any], allow: Mapping[Any, str]) -> Markup:
    lines = []
    asked = sorted((one for one in entry["decisions"] if one["decision"] != "off"), key=lambda one: str(one["decision"]) != "refuse")
    idle = [str(one["guard"]) for one in entry["decisions"] if one["decision"] == "off"]
    for one in asked:
        how = allow.get((entry["host"], entry["at"], entry["action"], one["guard"]), "")
        line = Markup("{} <strong>{}</strong> {}").format(mark(one["decision"]), one["guard"], one["why"])
        lines.append(line + (Markup("<br>To allow it: <code>{}</code>").format(how) if how and one["decision"] == "refuse" else Markup("")))
    lines += [Markup('<span class="quiet">not asked for: {}</span>').format(", ".join(idle))] if idle else []
    cells = Markup('<tr><td class="n">{}</td><td>{}</td><td>{}<br><span class="quiet">{}</span></td><td>{}</td></tr>')
    return cells.format(
        view.clock(entry["at"]), entry["host"], view.short(entry["action"]), count(entry["total"], "change") + " planned", Markup("<br>").join(lines)
    )


def _table(title: str, heads: Any, rows: Markup, left: int) -> Markup:
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in heads)
    more = Markup('<p class="quiet">{} more are in the JSON report.</p>').format(left) if left > 0 else Markup("")
    shell = Markup('<section><h2>{}</h2><div class="scroll"><table class="rows"><thead><tr>{}</tr></thead>{}</table></div>{}</section>')
    return shell.format(title, head, rows, more)


def history_part(report: Mapping[str, Any], most: int) -> Markup:
    history = report["history"]
    if not history or not (history["runs"] or history["skipped"]):
        return Markup("")
    parts = [Markup("<p>{} since {}.</p>").format(count(history["runs"], "earlier run"), view.day(history["first"] or "")), _trend(history["trend"][-60:])]
    for name, heading in (("cleared", "Cleared since the earlier runs"), ("not_looked", "Stood when it was last looked at; not looked at in this run")):
        entries = history[name]
        rows = Markup("").join(_past(entry) for entry in entries[:most])
        left = Markup('<p class="quiet">and {} more</p>').format(len(entries) - most) if len(entries) > most else Markup("")
        parts += [Markup('<h3>{}</h3><table class="rows">{}</table>{}').format(heading, rows, left)] if entries else []
    again = [entry for entry in report["changes"] if entry.get("made_before")]
    parts += [Markup("<h3>Fixes that were made before</h3>")] if again else []
    told = Markup("<p>{} on {}: made {}&times; before</p>")
    parts += [told.format(view.short(entry["action"]), entry["host"], entry["made_before"]) for entry in again[:20]]
    parts += [Markup('<p class="quiet">Not read: {}, {}</p>').format(entry["file"], entry["why"]) for entry in history["skipped"][:10]]
    return Markup("<section><h2>Against earlier runs</h2>{}</section>").format(Markup("").join(parts))


def _past(entry: Mapping[str, Any]) -> Markup:
    row = Markup('<tr><td>{}</td><td>{}</td><td>{}</td><td class="n quiet">since {}, last {}</td></tr>')
    return row.format(mark(entry["severity"]), entry["host"], view.title(entry), view.day(entry["since"]), view.day(entry["last_seen"]))


def _trend(runs: Any) -> Markup:
    """Findings of each run, oldest first; the newest is told in words as well."""
    most = max([run["critical"] + run["warning"] for run in runs] + [1])
    bars = []
    for n, run in enumerate(runs):
        critical, warning = 44.0 * run["critical"] / most, 44.0 * run["warning"] / most
        told = "%s: %d critical, %s" % (view.day(run["started"]), run["critical"], count(run["warning"], "warning"))
        shape = Markup(
            '<g><title>{}</title><rect class="tc" x="{}" y="{:.1f}" width="10" height="{:.1f}"/><rect class="tw" x="{}" y="{:.1f}" width="10" height="{:.1f}"/>'
        )
        bars.append(shape.format(told, n * 13, 46 - critical, critical, n * 13, 46 - critical - warning, warning))
        bars.append(Markup('<rect class="tz" x="{}" y="46" width="10" height="2"/></g>').format(n * 13))
    first, last = runs[0], runs[-1]
    words = "critical and warnings: %d in the first, %d in this one" % (first["critical"] + first["warning"], last["critical"] + last["warning"])
    shell = Markup('<div class="trend"><svg width="{}" height="48" role="img" aria-label="{}">{}</svg></div><p class="quiet">Findings run by run, {}</p>')
    return shell.format(len(runs) * 13, words, Markup("").join(bars), words)


KINDS = {"look": "looked", "plan": "planned", "refusal": "refused", "change": "changed", "undo": "took back", "failure": "failed", "unreachable": "unreachable"}


def timeline_part(report: Mapping[str, Any], most: int) -> Markup:
    events = view.moments(report)
    if not events:
        return Markup("")
    return _table("Timeline", ("time", "host", "what", ""), Markup("").join(_event(event) for event in events[:most]), len(events) - most)


def _event(event: Mapping[str, Any]) -> Markup:
    kind = event["kind"]
    several = len(event["hosts"]) > 1
    what = view.one_line(event["task"], 100)
    text = "" if kind == "look" and several else view.one_line(event["text"], 300)
    sign = (
        mark(event["worst"])
        if kind == "look" and event["worst"]
        else mark({"failure": "failed", "refusal": "refuse"}[kind])
        if kind in ("failure", "refusal")
        else Markup("")
    )
    row = Markup('<tr><td class="n">{}</td><td>{}</td><td><strong>{}</strong> {}</td><td>{} {}</td></tr>')
    return row.format(view.clock(event["at"]), view.names(event["hosts"], 4), KINDS[kind], what, sign, text)
