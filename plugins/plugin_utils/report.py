# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run found and did, gathered from its task results into one document. No Ansible in here, and no I/O.

A finding stands until a check that has reported it looks again and no longer does. Where it is not certain that two
results speak of the same thing, both stand: a line too many is better than a fault that nobody sees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from .report_looks import Looks, Timeline, told_guards
from .report_read import Envelope, Scope, host_key, playbook_command, read, reason_of, same_place, undo_command

SCHEMA_VERSION = 2
WORST_FIRST = ("critical", "warning", "info", "ok")
WRONG = ("critical", "warning")
MOST_JOINED = 50
"""A command that lists more than this is not made longer still."""
MERGE_SCAN = 50
"""How many sources of one finding are compared with a new one; beyond that they are listed apart."""


@dataclass(frozen=True)
class Origin:
    """The task, or the turn of its loop, that a result came from."""

    host: str
    task: str
    action: str
    at: str
    check_mode: bool = False
    ran_on: str = ""
    """Where the module ran, when it was delegated."""
    args: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Tells one check from another; only the connection options go into an undo command, secrets never."""
    item: Any = field(default=None, repr=False)
    become: bool = False
    become_user: str = ""

    @property
    def node(self) -> str:
        return self.ran_on or self.host

    def named(self) -> Dict[str, Any]:
        return {"host": self.host, "ran_on": self.node, "task": self.task, "action": self.action, "at": self.at}


@dataclass
class Seen:
    """One finding on one host through the run."""

    origin: Origin
    scope: Scope
    finding: Dict[str, Any]
    first_seen: str
    order: int
    cleared_at: Optional[str] = None
    checks: Dict[str, None] = field(default_factory=dict)
    """Those that have reported it."""

    def again(self, origin: Origin, finding: Dict[str, Any], order: int) -> None:
        self.origin, self.finding, self.order, self.cleared_at = origin, finding, order, None


Source = Tuple[str, Scope]
Place = Tuple[str, str, str, bool, int]


class Report:
    """Takes results one by one as they come, in time linear in what they hold."""

    def __init__(self, inventory: Sequence[str] = ()) -> None:
        self.inventory = inventory
        self.envelopes = 0
        self.hidden = 0
        self.unreadable = 0
        self.changes: List[Dict[str, Any]] = []
        self.undo: List[Dict[str, Any]] = []
        self.refusals: List[Dict[str, Any]] = []
        self.troubles: List[Dict[str, Any]] = []
        self.guards: List[Dict[str, Any]] = []
        self._looks = Looks()
        self._timeline = Timeline()
        self._order = 0
        self._changed_at: Dict[str, int] = {}
        self._by_place: Dict[Place, Dict[Scope, Seen]] = {}
        self._by_source: Dict[Source, Dict[int, Seen]] = {}
        self._refused: Dict[Source, List[Dict[str, Any]]] = {}

    def __bool__(self) -> bool:
        return bool(self.envelopes or self.troubles)

    def add(self, origin: Origin, result: Mapping[str, Any], ok: bool = True) -> bool:
        """Take the envelope out of one result; false when it holds none. Nothing else of the result is kept."""
        if is_hidden(result):
            self.hidden += 1
            return False
        envelope = read(result)
        if envelope is None:
            return False
        self.envelopes += 1
        self.unreadable += envelope.unreadable
        self._order += 1
        scope = Scope.of(origin.action, origin.node, origin.args, origin.item, result.get("checked"))
        if envelope.findings is not None:
            self._add_findings(origin, scope, envelope.findings, ok)
        self._add_changes(origin, scope, envelope, ok)
        reason = "" if ok or envelope.refusals else reason_of(result, "failed")
        self._looks.add(origin.named(), scope.id, envelope, reason)
        self._timeline.add(origin.named(), origin.check_mode, envelope, reason, str(origin.args.get("undo_id") or ""))
        return True

    def add_trouble(self, kind: str, origin: Origin, result: Mapping[str, Any], ignored: bool = False) -> None:
        """A host that was not reached or a task that failed; a refused plan is told as a refusal instead."""
        reason = "hidden by no_log" if is_hidden(result) else reason_of(result, kind)
        self.troubles.append(dict(origin.named(), kind=kind, reason=reason, ignored=ignored, rescued=False))
        if kind == "failed":
            scope = Scope.of(origin.action, origin.node, origin.args, origin.item, None)
            self._looks.lost(origin.named(), scope.id, reason)
        self._timeline.lost(origin.named(), origin.check_mode, kind, reason)

    def _add_findings(self, origin: Origin, scope: Scope, findings: Sequence[Dict[str, Any]], ok: bool) -> None:
        known = self._by_source.setdefault((origin.host, scope), {})
        told: Dict[Tuple[str, str, bool], Dict[str, None]] = {}
        mentioned: Set[int] = set()
        for finding in findings:
            # A check that uses one code for good and bad clears the bad one by reporting the good one.
            what = (finding["code"], finding["subject"], finding["severity"] in WRONG)
            summaries = told.setdefault(what, {})
            if finding["summary"] in summaries:
                continue
            seen = self._seen(origin, scope, finding, (origin.host,) + what + (len(summaries),))
            summaries[finding["summary"]] = None
            seen.checks[scope.id] = None
            mentioned.add(id(seen))
            known[id(seen)] = seen
        # A failed result may be half of the truth: it adds, and takes nothing away.
        if ok and len(mentioned) < len(known):
            for key, seen in known.items():
                if key not in mentioned and seen.cleared_at is None:
                    seen.cleared_at = origin.at

    def _seen(self, origin: Origin, scope: Scope, finding: Dict[str, Any], place: Place) -> Seen:
        bucket = self._by_place.setdefault(place, {})
        seen = bucket.get(scope)
        if seen is None and len(bucket) <= MERGE_SCAN:
            seen = next((other for other in bucket.values() if same_place(other.scope, scope)), None)
        if seen is None:
            seen = Seen(origin, scope, finding, origin.at, self._order)
        seen.again(origin, finding, self._order)
        bucket[scope] = seen
        return seen

    def _add_changes(self, origin: Origin, scope: Scope, envelope: Envelope, ok: bool) -> None:
        source = (origin.host, scope)
        if ok:
            for refusal in self._refused.pop(source, ()):
                refusal["resolved"] = True
        plan = dict(origin.named(), check_mode=origin.check_mode, check=scope.id, total=envelope.total, plan_sha256=envelope.plan_sha256)
        decisions = told_guards(envelope)
        if decisions and (envelope.total or envelope.refusals):  # of a plan without changes nothing was asked
            self.guards.append(dict(plan, decisions=decisions))
        plan["changes"] = [dict(change, made_before=0) for change in envelope.changes]
        done = sum(1 for change in envelope.changes if change["done"])
        if envelope.refusals:
            refusal = dict(plan, refusals=envelope.refusals, resolved=False)
            self.refusals.append(refusal)
            self._refused.setdefault(source, []).append(refusal)
        if envelope.changes and (done or not envelope.refusals):
            self.changes.append(dict(plan, done=done, failed=not ok, undo_id=envelope.undo_id, made_before=0))
        if done and not origin.check_mode:
            self._changed_at[origin.node] = self._changed_at[origin.host] = self._order
        self._add_undo(origin, scope, envelope, done, ok)

    def _add_undo(self, origin: Origin, scope: Scope, envelope: Envelope, done: int, ok: bool) -> None:
        taken_back = origin.args.get("undo_id")
        if ok and not origin.check_mode and taken_back and not origin.args.get("changes"):
            for entry in self.undo:
                if entry["undo_id"] == taken_back and entry["ran_on"] == origin.node:
                    entry["undone"] = True
        if envelope.undo_id:
            command, secrets = undo_command(self.inventory, origin, envelope.undo_id)
            final = sum(1 for change in envelope.changes if not change["reversible"])
            entry = dict(origin.named(), check=scope.id, undo_id=envelope.undo_id, command=command, needs=secrets)
            self.undo.append(dict(entry, changes=done, irreversible=final, undone=False))

    def document(self, run: Mapping[str, Any], stats: Mapping[str, Mapping[str, int]]) -> Dict[str, Any]:
        """The whole report, as docs/schemas/report.schema.json has it."""
        self._mark_rescued(stats)
        findings = self._findings()
        remedies = gather_remedies(findings, self.inventory)
        return {
            "schema_version": SCHEMA_VERSION,
            "run": dict(run),
            "totals": self._totals(findings),
            "hosts": [dict(stats[name], name=name) for name in sorted(stats, key=host_key)],
            "findings": findings,
            "remedies": remedies,
            "changes": self.changes,
            "undo": self.undo,
            "refusals": self.refusals,
            "guards": self.guards,
            "checks": self._looks.told(self._worst()),
            "timeline": self._timeline.events,
            "history": None,
            "unreachable": [_trouble(entry) for entry in self.troubles if entry["kind"] == "unreachable"],
            "failed": [_trouble(entry) for entry in self.troubles if entry["kind"] == "failed"],
        }

    def _worst(self) -> Dict[Tuple[str, str], str]:
        """Of what stands, by host and check; a fix that has looked again clears what it was called for."""
        worst: Dict[Tuple[str, str], str] = {}
        for (host, scope), known in self._by_source.items():
            standing = [seen.finding["severity"] for seen in known.values() if seen.cleared_at is None]
            worst[host, scope.id] = min(standing, key=WORST_FIRST.index, default="ok")
        return worst

    def _findings(self) -> List[Dict[str, Any]]:
        """Deduplicated over hosts, standing before cleared, worst first."""
        groups: Dict[Tuple[Any, ...], Dict[str, Any]] = {}
        unique = {id(seen): seen for bucket in self._by_place.values() for seen in bucket.values()}
        for seen in unique.values():
            finding, cleared = seen.finding, seen.cleared_at is not None
            key = (cleared, WORST_FIRST.index(finding["severity"]), finding["code"], finding["subject"], finding["summary"])
            if key not in groups:
                shared = {name: finding[name] for name in ("code", "severity", "subject", "summary")}
                groups[key] = dict(shared, cleared=cleared, hosts=[], remedies=[])
            groups[key]["hosts"].append(self._on_host(seen))
        for group in groups.values():
            group["hosts"].sort(key=lambda entry: host_key(entry["host"]))
        order = sorted(groups, key=lambda key: (key[0], key[1], -len(groups[key]["hosts"]), key[2:]))
        return [groups[key] for key in order]

    def _on_host(self, seen: Seen) -> Dict[str, Any]:
        origin, finding = seen.origin, seen.finding
        entry: Dict[str, Any] = {name: finding[name] for name in ("detail", "remedy", "runbook")}
        entry.update(origin.named(), first_seen=seen.first_seen, last_seen=origin.at, cleared_at=seen.cleared_at)
        del entry["at"]
        entry.update(checks=list(seen.checks), since=None, status=None, came_back=0)
        entry["before_change"] = seen.order < max(self._changed_at.get(origin.host, 0), self._changed_at.get(origin.node, 0))
        return entry

    def _totals(self, findings: Sequence[Mapping[str, Any]]) -> Dict[str, int]:
        totals = dict.fromkeys(WORST_FIRST + ("cleared",), 0)
        for group in findings:
            if group["cleared"]:
                totals["cleared"] += len(group["hosts"]) if group["severity"] in WRONG else 0
            else:
                totals[group["severity"]] += len(group["hosts"]) if group["severity"] == "ok" else 1
        totals["changes_done"] = sum(made(entry) for entry in self.changes if not entry["check_mode"])
        totals["changes_planned"] = sum(entry["total"] for entry in self.changes if entry["check_mode"])
        totals.update(refused=sum(1 for entry in self.refusals if not entry["resolved"]))
        totals.update(hidden_results=self.hidden, unreadable_entries=self.unreadable)
        return totals

    def _mark_rescued(self, stats: Mapping[str, Mapping[str, int]]) -> None:
        """Ansible counts failures that a rescue caught apart: of a host's failures, the last ones are those that were not."""
        left = {host: numbers["failures"] for host, numbers in stats.items()}
        for entry in reversed(self.troubles):
            if entry["kind"] == "failed" and not entry["ignored"]:
                entry["rescued"] = left.get(entry["host"], 1) <= 0
                left[entry["host"]] = left.get(entry["host"], 1) - 1


def is_hidden(result: Mapping[str, Any]) -> bool:
    """Was the result censored by no_log?"""
    return bool(result.get("_ansible_no_log")) or "censored" in result


def made(entry: Mapping[str, Any]) -> int:
    """Changes that were made. A result lists the first thousand: where all of those were made, so were the others."""
    listed = len(entry["changes"])
    whole = entry["done"] == listed and not entry["failed"]
    return int(entry["total"] if whole else entry["done"])


def _trouble(entry: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "kind"}


def gather_remedies(findings: Sequence[Dict[str, Any]], inventory: Sequence[str]) -> List[Dict[str, Any]]:
    """What to do about the findings that stand, each once with all its hosts, and numbered in the findings."""
    wanted: Dict[Tuple[Any, ...], Dict[str, Any]] = {}
    for group in findings:
        for entry in group["hosts"] if not group["cleared"] and group["severity"] != "ok" else ():
            if entry["remedy"]:
                _want(wanted, group, entry)
    remedies = _joined(wanted.values())
    for n, remedy in enumerate(remedies, 1):
        remedy["n"] = n
        for group in remedy.pop("groups").values():
            group["remedies"].append(n)
        if remedy["playbook"]:
            remedy["command"] = playbook_command(inventory, remedy["playbook"], remedy["vars"], remedy["hosts"])
    return remedies


def _want(wanted: Dict[Tuple[Any, ...], Dict[str, Any]], group: Dict[str, Any], entry: Mapping[str, Any]) -> None:
    playbook, variables, text = (entry["remedy"][name] for name in ("playbook", "vars", "text"))
    elsewhere = entry["remedy"].get("hosts", "") if playbook else ""
    key = (playbook, repr(sorted(variables.items())), elsewhere) if playbook else (None, text)
    new = {"playbook": playbook, "vars": variables, "command": None, "texts": [], "runbooks": [], "hosts": {}, "groups": {}}
    remedy = wanted.setdefault(key, new)
    remedy["hosts"][elsewhere or entry["host"]] = None
    remedy["groups"][id(group)] = group
    _add_few(remedy["texts"], [text] if text else [])
    _add_few(remedy["runbooks"], [entry["runbook"]] if entry["runbook"] else [])


def _joined(remedies: Iterable[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """One playbook for the same hosts is one command: what its variables list (conditions, files) is listed together."""
    alike: Dict[Tuple[Any, ...], Dict[str, Any]] = {}
    joined: List[Dict[str, Any]] = []
    for remedy in remedies:
        remedy["hosts"] = sorted(remedy["hosts"], key=host_key)
        lists = sorted(name for name, value in remedy["vars"].items() if isinstance(value, list))
        rest = sorted((name, value) for name, value in remedy["vars"].items() if name not in lists)
        key = (remedy["playbook"], tuple(remedy["hosts"]), tuple(lists), repr(rest))
        first = alike.get(key) if remedy["playbook"] and lists else None
        if first is not None and all(len(first["vars"][name]) < MOST_JOINED for name in lists):
            _join(first, remedy, lists)
        else:
            alike[key] = remedy
            joined.append(remedy)
    return joined


def _join(first: Dict[str, Any], other: Mapping[str, Any], lists: Iterable[str]) -> None:
    listed = {name: first["vars"][name] + [item for item in other["vars"][name] if item not in first["vars"][name]] for name in lists}
    first["vars"] = {**first["vars"], **listed}
    first["groups"].update(other["groups"])
    _add_few(first["texts"], other["texts"])
    _add_few(first["runbooks"], other["runbooks"])


def _add_few(kept: List[Any], more: Iterable[Any]) -> None:
    """A remedy shared by many findings keeps the first few of their texts."""
    for value in more:
        if len(kept) < 5 and value not in kept:
            kept.append(value)
