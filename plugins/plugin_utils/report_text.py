# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as a page for a tired person: what is wrong, what to do, what was changed, how to take it back. Pure.

Everything that a module said may come from a foreign system (a file name, an error): it is cleaned before it is shown.
Commands are never cut nor wrapped, so that they can be copied.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple

from .report_read import host_key

ROWS = 20
"""Entries of a section; the JSON report has them all."""
SUBJECTS = 3
NAMED_HOSTS = 2
LIMIT_HOSTS = 20
"""A command for more hosts than this is in the JSON report only: nobody could read it."""
LONGEST = 2000
"""No text that is longer is even looked at to its end."""
NARROWEST = 60

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.?", re.DOTALL)

Style = Callable[[str, str], str]
"""Gives a text the look of a role: critical, warning, info, ok, changed or heading."""


class Row(NamedTuple):
    """One line of what is wrong."""

    word: str
    hosts: Sequence[str]
    text: str
    remedies: str = ""
    note: str = ""


def unstyled(text: str, role: str) -> str:
    return text


@dataclass(frozen=True)
class Page:
    """How the report is to be shown."""

    width: int = 100
    show_info: bool = False
    style: Style = unstyled
    report_path: str = ""
    """Where the JSON report was written; empty when it was not."""

    def more(self, count: int) -> str:
        where = "see the JSON report" if self.report_path else "a JSON report has them all: set report_path"
        return "... and %d more (%s)" % (count, where)


def clean(text: Any, length: int = LONGEST) -> str:
    """One line without anything that a terminal would obey: escapes, control and direction marks, lone surrogates."""
    shown = _ESCAPES.sub("", str(text)[:LONGEST])
    if not shown.isascii() or not shown.isprintable():
        shown = "".join(char if unicodedata.category(char)[0] != "C" else " " for char in shown)
    return cut(" ".join(shown.split()), length)


def cells(text: str) -> int:
    """Columns on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def cut(text: str, length: int) -> str:
    if cells(text) <= length:
        return text
    while text and cells(text) > length - 3:
        text = text[: length - 3] if len(text) > length - 3 else text[:-1]
    return text.rstrip() + "..."


def pad(text: str, length: int) -> str:
    return text + " " * (length - cells(text))


def wrap(text: str, width: int, lines: int) -> List[str]:
    """Broken between words; what does not fit on the last line is cut there."""
    wrapped: List[str] = []
    words = text.split(" ")
    while words:
        line = words.pop(0)
        while words and cells(line) + 1 + cells(words[0]) <= width:
            line += " " + words.pop(0)
        if len(wrapped) == lines - 1:
            return wrapped + [cut(" ".join([line] + words), width)]
        wrapped.append(cut(line, width))
    return wrapped


def fold(names: Iterable[str], width: int = LONGEST, named: int = NAMED_HOSTS) -> str:
    """``fits-a, fits-b (+3)``: the first few names, fewer where there is no room."""
    unique = list(dict.fromkeys(names))
    for shown in range(min(named, len(unique)), 1, -1):
        text = ", ".join(clean(name) for name in unique[:shown]) + _others(len(unique) - shown)
        if cells(text) <= width:
            return text
    more = _others(len(unique) - 1)
    return cut(clean("".join(unique[:1])), width - len(more)) + more


def _others(number: int) -> str:
    return " (+%d)" % number if number > 0 else ""


def count(number: int, noun: str) -> str:
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")


def render(report: Mapping[str, Any], page: Page) -> List[str]:
    """The lines of the page."""
    page = Page(max(page.width, NARROWEST), page.show_info, page.style, page.report_path)
    lines = [_title(report, page), ""] + verdict_lines(report, page)
    lines += [page.style("  " + line, "info") for line in wrap(_counts(report, page), page.width - 2, 3) if line]
    shown = [group for group in report["findings"] if not group["cleared"] and _is_shown(group, page)]
    sections = (
        _wrong(report, shown, page),
        _to_do(report, shown[:ROWS], page),
        _refused(report, page),
        _changed(report, page, False),
        _changed(report, page, True),
        _take_back(report, page),
    )
    for section in sections:
        lines += [""] + section if section else []
    return lines + (["", "  Report: " + clean(page.report_path)] if page.report_path else [])


def _title(report: Mapping[str, Any], page: Page) -> str:
    playbooks = fold((re.split(r"[/\\]", name)[-1] for name in report["run"]["playbooks"]), page.width // 2)
    mode = "  check mode, nothing was touched" if report["run"]["check_mode"] else ""
    title = cut("RUNBOOK SUMMARY  %s%s" % (playbooks, mode), page.width)
    return page.style(title + " " + "-" * (page.width - cells(title) - 1) if cells(title) < page.width else title, "heading")


def _is_shown(group: Mapping[str, Any], page: Page) -> bool:
    return group["severity"] in ("critical", "warning") or (page.show_info and group["severity"] == "info")


def _hosts_of(entries: Iterable[Mapping[str, Any]]) -> int:
    return len({entry["host"] for entry in entries})


def _open_failures(report: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    return [entry for entry in report["failed"] if not entry["ignored"] and not entry["rescued"]]


def verdict_lines(report: Mapping[str, Any], page: Page) -> List[str]:
    """One word and one sentence that say how things stand."""
    totals, failed = report["totals"], _open_failures(report)
    standing = [entry for group in report["findings"] if not group["cleared"] and group["severity"] in ("critical", "warning") for entry in group["hosts"]]
    found = ["%d critical" % totals["critical"]] if totals["critical"] else []
    found += [count(totals["warning"], "warning")] if totals["warning"] else []
    parts = ["%s on %d of %s" % (", ".join(found), _hosts_of(standing), count(max(len(report["hosts"]), 1), "host"))] if found else []
    for entries, words in ((report["unreachable"], "unreachable"), (failed, "failed")):
        parts += ["%s %s" % (count(_hosts_of(entries), "host"), words)] if entries else []
    parts += [count(totals["refused"], "plan") + " refused"] if totals["refused"] else []
    word, role = "ALL CLEAR", "ok"
    if totals["critical"]:
        word, role = "BROKEN", "critical"
    elif report["unreachable"] or failed:
        word, role = "INCOMPLETE", "critical"
    elif parts:
        word, role = "ATTENTION", "warning"
    elif not report["findings"]:
        word = "DONE"
    lines = wrap("; ".join(parts), page.width - 4 - len(word), 3) if parts else []
    head = "  " + page.style(word, role) + (": " if parts else "")
    return [head + "".join(lines[:1])] + [" " * (4 + len(word)) + line for line in lines[1:]]


def _counts(report: Mapping[str, Any], page: Page) -> str:
    """What is not listed, but should be known."""
    totals = report["totals"]
    parts = [count(totals["ok"], "check") + " ok"] if totals["ok"] else []
    parts += [count(totals["info"], "note") + " not shown (show_info)"] if totals["info"] and not page.show_info else []
    parts += ["cleared since the start of the run: %d" % totals["cleared"]] if totals["cleared"] else []
    parts += [count(totals["hidden_results"], "result") + " hidden by no_log left out"] if totals["hidden_results"] else []
    parts += [count(totals["unreadable_entries"], "entry").replace("entrys", "entries") + " could not be read"] if totals["unreadable_entries"] else []
    caught = len(report["failed"]) - len(_open_failures(report))
    parts += [count(caught, "failure") + " ignored or rescued"] if caught else []
    return "; ".join(parts)


def _heading(text: str, page: Page) -> str:
    return page.style("  " + text, "heading")


def _wrong(report: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], page: Page) -> List[str]:
    lost = _troubles(report["unreachable"], "unreachable")
    failed = _troubles(_open_failures(report), "failed")
    rows = [_finding_row(group) for group in shown[:ROWS]]
    kept = [lost[:ROWS], failed[:ROWS], rows]
    if not any(kept):
        return []
    every = [row for part in kept for row in part]
    word = max(len(row.word) for row in every)
    hosts = max(cells(fold(row.hosts, page.width // 3)) for row in every)
    lines = [_heading("WHAT IS WRONG", page)]
    for part, total in zip(kept, (len(lost), len(failed), len(shown))):
        for row in part:
            lines += _row(row, word, hosts, page)
        lines += ["    " + page.more(total - len(part))] if total > len(part) else []
    return lines


def _troubles(entries: Iterable[Mapping[str, Any]], word: str) -> List[Row]:
    """Hosts with the same trouble are one row."""
    hosts: Dict[str, List[str]] = {}
    for entry in entries:
        text = entry["reason"] if word == "unreachable" else "%s: %s" % (entry["task"], entry["reason"])
        hosts.setdefault(text, []).append(entry["host"])
    return [Row(word, sorted(names, key=host_key), text) for text, names in hosts.items()]


def _finding_row(group: Mapping[str, Any]) -> Row:
    subject, text = clean(group["subject"], 60), clean(group["summary"])
    if subject and subject.lower() not in text.lower():
        text = "%s: %s" % (subject, text)
    numbers = "".join(" [%d]" % number for number in group["remedies"][:3])
    return Row(group["severity"], [entry["host"] for entry in group["hosts"]], text, numbers, _old_news(group["hosts"]))


def _old_news(entries: Sequence[Mapping[str, Any]]) -> str:
    """Says on which hosts nobody has looked again since something was changed there."""
    hosts = list(dict.fromkeys(entry["host"] for entry in entries))
    fresh = {entry["host"] for entry in entries if not entry["before_change"]}
    old = [host for host in hosts if host not in fresh]
    if not old:
        return ""
    return "(seen before the change below%s: check again)" % ("" if len(old) == len(hosts) else " on " + fold(old))


def _row(row: Row, word: int, hosts: int, page: Page) -> List[str]:
    left = 4 + word + 2 + hosts + 2
    role = {"unreachable": "critical", "failed": "critical"}.get(row.word, row.word)
    lines = wrap(clean(row.text), page.width - left - len(row.remedies), 3)
    lines[-1] += row.remedies
    lines += wrap(row.note, page.width - left, 2) if row.note else []
    head = "    %s  %s  " % (page.style(pad(row.word, word), role), pad(fold(row.hosts, page.width // 3), hosts))
    return [head + lines[0]] + [" " * left + line for line in lines[1:]]


def _to_do(report: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], page: Page) -> List[str]:
    wanted = list(dict.fromkeys(number for group in shown for number in group["remedies"]))
    remedies = [report["remedies"][number - 1] for number in wanted[:ROWS]]
    lines = [_heading("WHAT TO DO", page)] if remedies else []
    for remedy in remedies:
        mark = "    [%d] " % remedy["n"]
        texts = [line for text in remedy["texts"][:3] for line in wrap(clean(text), page.width - 8, 4)]
        if remedy["command"]:
            texts.append(_limited(remedy))
        books = ['%s, "%s"' % (clean(book["file"], 60), clean(book["heading"], 60)) for book in remedy["runbooks"][:2]]
        texts += [cut("Runbook: " + "; ".join(books), page.width - 8)] if books else []
        lines += [mark + texts[0]] + ["        " + text for text in texts[1:]]
    return lines + (["    " + page.more(len(wanted) - ROWS)] if len(wanted) > ROWS else [])


def _limited(remedy: Mapping[str, Any]) -> str:
    command = clean_command(remedy["command"])
    if len(remedy["hosts"]) <= LIMIT_HOSTS:
        return command
    return command[: command.rindex(" --limit ")] + " --limit HOSTS   (the %d hosts of this remedy)" % len(remedy["hosts"])


def clean_command(command: str) -> str:
    """A command is never cut; one that holds something a terminal would obey is not shown at all."""
    return command if command.isprintable() else "(see the JSON report: the command holds unprintable characters)"


def _refused(report: Mapping[str, Any], page: Page) -> List[str]:
    """Hosts that refused the same task for the same reasons are told together."""
    alike: Dict[Tuple[Any, ...], List[Mapping[str, Any]]] = {}
    for entry in report["refusals"]:
        if not entry["resolved"]:
            alike.setdefault((entry["task"],) + tuple(tuple(refusal.values()) for refusal in entry["refusals"]), []).append(entry)
    groups = list(alike.values())
    lines = [_heading("WHAT WAS REFUSED (nothing of these plans was done)", page)] if groups else []
    for group in groups[:ROWS]:
        hosts = fold(sorted((entry["host"] for entry in group), key=host_key), page.width // 3)
        planned = _plan(group[0] if len(group) == 1 else {"total": sum(entry["total"] for entry in group), "plan_sha256": None}, "change", " planned")
        lines.append("    " + cut("%s  %s, %s" % (hosts, clean(group[0]["task"], page.width // 3), planned), page.width - 4))
        for refusal in group[0]["refusals"][:5]:
            lines += _hanging("%s: " % clean(refusal["guard"], 40), refusal["reason"], page, "warning")
            lines += _hanging("to allow it: ", refusal["allow"], page, "") if refusal["allow"] else []
    return lines + (["    " + page.more(len(groups) - ROWS)] if len(groups) > ROWS else [])


def _hanging(label: str, text: str, page: Page, role: str) -> List[str]:
    first, *rest = wrap(clean(text), page.width - 8 - len(label), 3)
    head = "        " + (page.style(label, role) if role else label)
    return [head + first] + [" " * (8 + len(label)) + line for line in rest]


def _plan(entry: Mapping[str, Any], noun: str, verb: str) -> str:
    sha = ", plan %s" % clean(entry["plan_sha256"][:12]) if entry["plan_sha256"] else ""
    return count(entry["total"], noun) + verb + sha


def _changed(report: Mapping[str, Any], page: Page, check_mode: bool) -> List[str]:
    entries = [entry for entry in report["changes"] if entry["check_mode"] is check_mode]
    title = "WHAT WOULD BE CHANGED (check mode)" if check_mode else "WHAT WAS CHANGED"
    lines = [_heading(title, page)] if entries else []
    for entry in entries[:ROWS]:
        host = clean(entry["host"], page.width // 3)
        what = cut("%s, %s" % (clean(entry["task"], page.width // 3), _extent(entry)), page.width - 6 - cells(host))
        lines.append("    %s  %s" % (page.style(host, "changed"), what))
        done = [change for change in entry["changes"] if change["done"]]
        whole = check_mode or len(done) in (0, len(entry["changes"]))
        picked, total = (entry["changes"], entry["total"]) if whole else (done, len(done))
        lines += ["        " + text for text in [_subjects(picked, total, page.width - 8)] + [cut(text, page.width - 8) for text in _losses(picked)]]
    return lines + (["    " + page.more(len(entries) - ROWS)] if len(entries) > ROWS else [])


def _extent(entry: Mapping[str, Any]) -> str:
    listed, done, total = len(entry["changes"]), entry["done"], entry["total"]
    if entry["check_mode"]:
        return "would change " + _plan(entry, "subject", "")
    if entry["failed"]:
        return "FAILED after " + _plan(dict(entry, total=done), "change", " of %d" % total)
    if done < listed:
        return _plan(dict(entry, total=done), "change", " of %d made, the others were no longer needed" % total)
    return _plan(entry, "change", " made" if listed == total else " made (%d listed)" % listed)


def _subjects(changes: Sequence[Mapping[str, Any]], total: int, width: int) -> str:
    """The first few, as many as fit, and how many more there are. An action is told once for those that share it."""
    text, action, named = "", "", 0
    for change in changes[:SUBJECTS]:
        told = change["subject"] if change["action"] == action else "%s %s" % (change["action"], change["subject"])
        more = text + (", " if text else "") + clean(told, 80)
        if text and cells(more) + len(_others(total - named - 1)) > width:
            break
        text, action, named = more, change["action"], named + 1
    return cut(text, width - len(_others(total - named))) + _others(total - named)


def _losses(changes: Sequence[Mapping[str, Any]]) -> List[str]:
    """What no undo brings back."""
    final = sum(1 for change in changes if not change["reversible"])
    lost = list(dict.fromkeys(clean(change["data_loss"]) for change in changes if change.get("data_loss")))
    texts = ["%s cannot be taken back" % count(final, "change")] if final else []
    return texts + (["data lost: " + "; ".join(lost[:SUBJECTS])] if lost else [])


def _take_back(report: Mapping[str, Any], page: Page) -> List[str]:
    entries = [entry for entry in reversed(report["undo"]) if not entry["undone"]]
    if not entries:
        return []
    lines = [_heading("HOW TO TAKE IT BACK" + (" (newest first)" if len(entries) > 1 else ""), page)]
    lines += ["    " + clean_command(entry["command"]) for entry in entries[:ROWS]]
    if len(entries) > ROWS:
        lines.append("    " + page.more(len(entries) - ROWS))
    needs = sorted({name for entry in entries for name in entry["needs"]})
    secret = ", and %s" % ", ".join(needs) if needs else ""
    hint = "(Give it what the fix was given: inventory, connection options, become%s. With --check it only shows.)" % secret
    return lines + ["    " + line for line in wrap(hint, page.width - 4, 3)]
