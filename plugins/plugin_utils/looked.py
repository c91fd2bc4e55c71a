# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a triage has left in the variables of its hosts, as a report; and that in a few lines."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from .report import Origin, Report
from .report_read import host_key

FAILED_LOOKS = "triage_failed"
"""Variable of a host: the looks that failed, each with ``system``, ``task`` and ``reason``."""
LISTED = 50
"""Names in a status; the counts are complete."""
WORST_FIRST = ("critical", "warning", "info", "ok")


def gather(variables: Mapping[str, Mapping[str, Any]], registers: Sequence[str]) -> Dict[str, Any]:
    """The report's document on the results that hosts have in these variables."""
    report = Report()
    at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    for host in sorted(variables, key=host_key):
        for name in registers:
            for n, result in enumerate(results(variables[host].get(name))):
                report.add(Origin(host, name, "%s[%d]" % (name, n), at), result, not result.get("failed"))
    return report.document({}, {})


def results(value: Any) -> Iterator[Mapping[str, Any]]:
    """A result; or those of a loop, or of looks that were sent together."""
    if isinstance(value, Mapping):
        turns = value.get("results")
        if not isinstance(turns, list):
            yield value
            return
        for turn in turns:
            yield from results(turn)


def troubles(variables: Mapping[str, Mapping[str, Any]]) -> List[Dict[str, str]]:
    """Looks that failed, host by host."""
    return [
        {"host": host, **{key: str(entry.get(key, "")) for key in ("system", "task", "reason")}}
        for host in sorted(variables, key=host_key)
        for entry in variables[host].get(FAILED_LOOKS) or ()
        if isinstance(entry, Mapping)
    ]


def status(document: Mapping[str, Any], hosts: Iterable[str], unreachable: Iterable[str], failed: Sequence[Mapping[str, str]]) -> Dict[str, Any]:
    """A few lines that a workflow can branch on. What could not be looked at is as bad as the worst that could have been seen."""
    worst: Dict[str, str] = dict.fromkeys(hosts, "ok")
    counts = dict.fromkeys(WORST_FIRST, 0)
    codes: Dict[str, None] = {}
    for group in document["findings"]:
        if group["cleared"]:
            continue
        counts[group["severity"]] += len(group["hosts"])
        if group["severity"] in ("critical", "warning"):
            codes[group["code"]] = None
        for on in group["hosts"]:
            worst[on["host"]] = min(worst.get(on["host"], "ok"), group["severity"], key=WORST_FIRST.index)
    gone = sorted(unreachable, key=host_key)
    blind = sorted({entry["host"] for entry in failed}, key=host_key)
    worst.update(dict.fromkeys((*gone, *blind), "critical"))
    broken = [host for host in sorted(worst, key=host_key) if worst[host] in ("critical", "warning")]
    return {
        "worst": min(worst.values(), key=WORST_FIRST.index, default="ok"),
        "hosts": len(worst),
        "broken": broken[:LISTED],
        "broken_total": len(broken),
        "unreachable": gone[:LISTED],
        "failed_looks": blind[:LISTED],
        **counts,
        "codes": list(codes)[:LISTED],
    }


def still_standing(document: Mapping[str, Any], wanted: Iterable[Tuple[str, str, str]]) -> List[Tuple[str, str, str]]:
    """Of (host, code, subject), those that the document still has."""
    found = {(on["host"], group["code"], group["subject"]) for group in document["findings"] if not group["cleared"] for on in group["hosts"]}
    return [each for each in wanted if each in found]
