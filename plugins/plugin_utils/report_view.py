# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every rendering of a report says in the same words. Pure."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from .report_read import host_key
from .report_text import Page, clean, count, verdict_lines

WRONG = ("critical", "warning")
WORST_FIRST = ("critical", "failed", "warning", "info", "ok")
OWN = "fieldops.runbooks."
EVIDENCE = 700
"""Characters of one value of evidence."""


def verdict(report: Mapping[str, Any]) -> str:
    """One word and one sentence, the same as on the terminal."""
    return " ".join(line.strip() for line in verdict_lines(report, Page(width=400)))


def word_of(report: Mapping[str, Any]) -> str:
    """The severity of the whole."""
    first = verdict(report).partition(":")[0].strip()
    return {"BROKEN": "critical", "INCOMPLETE": "failed", "ATTENTION": "warning"}.get(first, "ok")


def short(action: str) -> str:
    return action[len(OWN) :] if action.startswith(OWN) else action


def system(action: str) -> str:
    """What a check belongs to, by the first word of its name."""
    return short(action).split(".")[-1].split("_")[0]


def broken_hosts(report: Mapping[str, Any]) -> List[str]:
    hosts = {on["host"] for group in standing(report) if group["severity"] in WRONG for on in group["hosts"]}
    return sorted(hosts | {entry["host"] for entry in report["unreachable"]}, key=host_key)


def standing(report: Mapping[str, Any]) -> List[Mapping[str, Any]]:
    return [group for group in report["findings"] if not group["cleared"]]


def hosts_of(group: Mapping[str, Any]) -> List[str]:
    return list(dict.fromkeys(on["host"] for on in group["hosts"]))


def names(hosts: Sequence[str], shown: int = 6) -> str:
    more = len(hosts) - shown
    return ", ".join(hosts[:shown]) + (" and %d more" % more if more > 0 else "")


def title(group: Mapping[str, Any]) -> str:
    subject, text = clean(group["subject"], 80), clean(group["summary"], 400)
    return text if not subject or subject.lower() in text.lower() else "%s: %s" % (subject, text)


def statuses(group: Mapping[str, Any]) -> List[str]:
    return sorted({on["status"] for on in group["hosts"] if on.get("status")})


def came_back(group: Mapping[str, Any]) -> int:
    return max((on.get("came_back", 0) for on in group["hosts"]), default=0)


def since(group: Mapping[str, Any]) -> str:
    return min((on["since"] for on in group["hosts"] if on.get("since")), default="")


def value(thing: Any) -> str:
    """One value of evidence, as a person would write it, and bounded."""
    if isinstance(thing, str):
        text = thing
    elif isinstance(thing, list) and all(isinstance(one, (str, int, float)) for one in thing):
        text = ", ".join(map(str, thing))
    else:
        text = json.dumps(thing, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= EVIDENCE else text[:EVIDENCE] + " ..."


def cause(detail: Mapping[str, Any]) -> str:
    """Where a check knows why, it says so in one of these."""
    return next((value(detail[name]) for name in ("cause", "reason", "why", "error", "last_error", "newest_error") if detail.get(name)), "")


def related(report: Mapping[str, Any], group: Mapping[str, Any], on: Mapping[str, Any], section: str) -> List[Mapping[str, Any]]:
    """Plans and changes on the finding's host: by a fix that has reported it, or of its system since it was seen."""
    first, last = on["first_seen"], on["cleared_at"] or "~"
    return [
        entry
        for entry in report[section]
        if on["host"] in (entry["host"], entry["ran_on"])
        and (entry["check"] in on["checks"] or (system(entry["action"]) == group["code"].split(".")[0] and first <= entry["at"] <= last))
    ]


def fix_line(entry: Mapping[str, Any]) -> str:
    """What a fix did, or would do."""
    done = entry.get("done", 0)
    if entry["check_mode"]:
        return count(entry["total"], "change") + " planned"
    if entry.get("failed"):
        return "failed after %d of %s" % (done, count(entry["total"], "change"))
    return count(entry["total"] if done == len(entry["changes"]) else done, "change") + " made"


def clock(at: str) -> str:
    return at[11:19] if len(at) > 18 else at


def day(at: str) -> str:
    return at[:16].replace("T", " ")


def duration(report: Mapping[str, Any]) -> str:
    """Between two times as they are written; nothing when they cannot be read."""
    seconds = run_seconds(report)
    return "" if seconds is None else "%d s" % seconds if seconds < 120 else "%d min" % round(seconds / 60)


def run_seconds(report: Mapping[str, Any]) -> Any:
    try:
        started, ended = (datetime.strptime(report["run"][name], "%Y-%m-%dT%H:%M:%SZ") for name in ("started", "ended"))
    except (KeyError, ValueError, TypeError):
        return None
    return (ended - started).total_seconds()


def moments(report: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The timeline, with the same look at many hosts told once."""
    told: List[Dict[str, Any]] = []
    open_looks: Dict[Any, Dict[str, Any]] = {}
    for event in report["timeline"]:
        key = (event["kind"], event["task"], event["action"], event["text"] if event["kind"] != "look" else "")
        joined = open_looks.get(key)
        if joined is None or event["kind"] not in ("look", "unreachable"):
            if event["kind"] not in ("look", "unreachable"):
                open_looks.clear()
            joined = dict(event, hosts=[], worst=event["severity"])
            told.append(joined)
            open_looks[key] = joined
        joined["hosts"] += [event["host"]] if event["host"] not in joined["hosts"] else []
        joined["worst"] = worst([joined["worst"], event["severity"]])
    return told


def worst(words: Iterable[Any]) -> Any:
    known = [word for word in words if word in WORST_FIRST]
    return min(known, key=WORST_FIRST.index) if known else None


def heat(report: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Tables of host by check: hosts with checks of the same systems are one table. A cell is its worst look."""
    by_host: Dict[str, Dict[str, List[str]]] = {}
    for check in report["checks"]:
        found = "failed" if check["outcome"] == "failed" and check["severity"] != "critical" else check["severity"] or "failed"
        by_host.setdefault(check["host"], {}).setdefault(check["action"], []).append(found)
    tables: Dict[Any, Dict[str, Any]] = {}
    for host in sorted(by_host, key=host_key):
        systems = tuple(sorted({system(action) for action in by_host[host]}))
        table = tables.setdefault(systems, {"name": ", ".join(systems), "checks": {}, "rows": []})
        table["checks"].update(dict.fromkeys(by_host[host]))
        table["rows"].append((host, {action: worst(found) for action, found in by_host[host].items()}))
    gone = [host for host in dict.fromkeys(entry["host"] for entry in report["unreachable"]) if host not in by_host]
    for table in tables.values():
        table["checks"] = sorted(table["checks"])
        table["rows"].sort(key=lambda row: _badness(row[1]))
    told = sorted(tables.values(), key=lambda table: min(_badness(row[1]) for row in table["rows"]))
    return told + ([{"name": "not reached", "checks": [], "rows": [(host, {}) for host in gone]}] if gone else [])


def _badness(cells: Mapping[str, Any]) -> List[int]:
    return sorted(WORST_FIRST.index(word) for word in cells.values() if word in WORST_FIRST)[:3] or [len(WORST_FIRST)]


def one_line(text: Any, length: int = 400) -> str:
    return clean(text, length)


def anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
