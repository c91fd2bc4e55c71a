# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the remedies of a report to the steps of a remediation, and from these to tasks. Pure: no Ansible in here, and no I/O.

A step is one shipped playbook with the variables that a finding named, on the hosts that it was found on. It is run as the tasks of that
playbook, stage by stage: a stage is one of its plays on some of its hosts.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .report_read import host_key

NAMESPACE = "fieldops.runbooks."
PLAY_KEYS = frozenset(("name", "hosts", "gather_facts", "tasks"))
"""What a play may have to be run as a stage; anything else would be lost on the way."""
GO = "remediate_go"
FAILED = "remediate_failed"


class RemediationError(Exception):
    """What was asked for cannot be made into steps."""


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of a playbook that mends."""

    playbook: str
    system: str
    prefix: str
    """Its variables begin with this. A report may come from anywhere: it sets no other."""
    variables: Mapping[str, Any]
    """What makes it mend, and not only look."""
    named: bool = False
    """Only run when its finding's code was asked for: a person has to want it."""
    whole: bool = False
    """Its plays need all their hosts at once."""


@dataclass(frozen=True)
class Step:
    """One playbook on some hosts. ``findings`` are (host, code, subject)."""

    playbook: str
    system: str
    variables: Mapping[str, Any]
    hosts: Tuple[str, ...]
    codes: Tuple[str, ...]
    findings: Tuple[Tuple[str, str, str], ...]
    text: str
    whole: bool = False

    def told(self, n: int) -> Dict[str, Any]:
        return {
            "n": n,
            "playbook": NAMESPACE + self.playbook,
            "hosts": list(self.hosts),
            "vars": dict(self.variables),
            "codes": list(self.codes),
            "text": self.text,
        }


class Left(NamedTuple):
    """What no step takes up, and why."""

    codes: Tuple[str, ...]
    hosts: Tuple[str, ...]
    text: str
    why: str

    def told(self) -> Dict[str, Any]:
        return {"codes": list(self.codes), "hosts": list(self.hosts), "text": self.text, "why": self.why}


class Wish(NamedTuple):
    """What was asked for. Nothing at all means every remedy that need not be asked for by its code."""

    systems: Tuple[str, ...] = ()
    codes: Tuple[str, ...] = ()


def catalogue(rows: Iterable[Mapping[str, Any]]) -> Dict[str, Entry]:
    """By the playbook's name, in the order in which systems and their parts need each other."""
    entries = (
        Entry(row["playbook"], row["system"], row["playbook"].partition("_")[0], row.get("vars", {}), row.get("named", False), row.get("whole", False))
        for row in rows
    )
    return {entry.playbook: entry for entry in entries}


def check_wish(wish: Wish, known: Mapping[str, Entry]) -> None:
    """A system that there is not is a slip of the hand."""
    systems = sorted({entry.system for entry in known.values()})
    for system in wish.systems:
        if system not in systems:
            raise RemediationError("there is no system %r; known are %s" % (system, ", ".join(systems)))


def unmatched(wish: Wish, document: Mapping[str, Any]) -> List[str]:
    """Codes that were asked for and that nothing has: it is well again, or they were mistyped."""
    codes = {group["code"] for group in standing(document)}
    return [pattern for pattern in wish.codes if not any(fnmatchcase(code, pattern) for code in codes)]


def standing(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Findings that are wrong now."""
    return (group for group in document["findings"] if not group["cleared"] and group["severity"] in ("critical", "warning"))


def choose(document: Mapping[str, Any], known: Mapping[str, Entry], wish: Wish, groups: Mapping[str, Sequence[str]]) -> Tuple[List[Step], List[Left]]:
    """The steps in their order, and what is left to a person."""
    by_number: Dict[int, List[Mapping[str, Any]]] = {}
    left: List[Left] = []
    for group in standing(document):
        for n in group["remedies"]:
            by_number.setdefault(n, []).append(group)
        if not group["remedies"]:
            left.append(Left((group["code"],), _hosts_of(group), group["summary"], "nothing is known that would mend it"))
    steps: List[Step] = []
    for remedy in document["remedies"]:
        found = by_number.get(remedy["n"])
        if not found:
            continue
        chosen, why = _chosen(remedy, found, known, wish, groups)
        if isinstance(chosen, Step):
            steps.append(chosen)
        else:
            hosts = sorted({host for group in found for host in _hosts_of(group)}, key=host_key)
            codes = tuple(dict.fromkeys(group["code"] for group in found))
            left.append(Left(codes, tuple(hosts), "; ".join(remedy["texts"]), why))
    order = list(known)
    return sorted(merged(steps), key=lambda step: order.index(step.playbook)), left


def _chosen(
    remedy: Mapping[str, Any], found: Sequence[Mapping[str, Any]], known: Mapping[str, Entry], wish: Wish, groups: Mapping[str, Sequence[str]]
) -> Tuple[Optional[Step], str]:
    name = (remedy["playbook"] or "").replace(NAMESPACE, "", 1)
    entry = known.get(name)
    if entry is None:
        return None, "no playbook of the catalogue mends it" if remedy["playbook"] else "a person has to do it"
    asked = [group for group in found if any(fnmatchcase(group["code"], pattern) for pattern in wish.codes)]
    if wish.systems and entry.system not in wish.systems:
        return None, "the system %s was not asked for" % entry.system
    if wish.codes and not asked:
        return None, "its code was not asked for"
    if entry.named and not asked:
        return None, "it is only done when its code is asked for"
    odd = [name for name in remedy["vars"] if not re.fullmatch(r"%s_[a-z0-9_]+" % re.escape(entry.prefix), name)]
    if odd:
        return None, "%s is no variable of %s" % (", ".join(sorted(odd)), name)
    if _unfilled(remedy["vars"]):
        return None, "a person has to fill in %s" % ", ".join(sorted(remedy["vars"]))
    hosts = _members(remedy["hosts"], groups)
    findings = tuple((on["host"], group["code"], group["subject"]) for group in found for on in group["hosts"])
    codes = tuple(dict.fromkeys(group["code"] for group in found))
    return Step(name, entry.system, {**remedy["vars"], **entry.variables}, hosts, codes, findings, "; ".join(remedy["texts"]), entry.whole), ""


def _unfilled(value: Any) -> bool:
    """Three dots stand where the finding could not know the value."""
    if isinstance(value, Mapping):
        return any(_unfilled(each) for each in value.values())
    return any(_unfilled(each) for each in value) if isinstance(value, (list, tuple)) else value == "..."


def _members(names: Iterable[str], groups: Mapping[str, Sequence[str]]) -> Tuple[str, ...]:
    """Hosts; a remedy may name groups, with commas between them."""
    hosts: Dict[str, None] = {}
    for name in (part for text in names for part in text.split(",")):
        hosts.update(dict.fromkeys(groups.get(name, [name])))
    return tuple(sorted(hosts, key=host_key))


def _hosts_of(group: Mapping[str, Any]) -> Tuple[str, ...]:
    return tuple(on["host"] for on in group["hosts"])


def merged(steps: Iterable[Step]) -> List[Step]:
    """The same playbook with the same variables is one step; one that needs all its hosts at once is one step whatever they are."""
    alike: Dict[Tuple[str, str], Step] = {}
    for step in steps:
        key = (step.playbook, _canonical(step.variables))
        alike[key] = _together(alike[key], step) if key in alike else step
    return list(alike.values())


def _together(one: Step, other: Step) -> Step:
    return replace(
        one,
        hosts=tuple(sorted({*one.hosts, *other.hosts}, key=host_key)),
        codes=tuple(dict.fromkeys(one.codes + other.codes)),
        findings=one.findings + other.findings,
        text="; ".join(dict.fromkeys(filter(None, (one.text, other.text)))),
    )


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def within(
    steps: Iterable[Step], playbooks: Mapping[str, Sequence[Mapping[str, Any]]], groups: Mapping[str, Sequence[str]], reach: Sequence[str]
) -> Tuple[List[Step], List[Left]]:
    """The steps on the hosts that this run may work on; one that needs all its hosts is left out where some of them are not among these."""
    kept: List[Step] = []
    left: List[Left] = []
    for step in steps:
        wanted = _all_hosts(playbooks[step.playbook], groups) if step.whole else step.hosts
        hosts = tuple(host for host in wanted if host in reach)
        missing = ", ".join(host for host in wanted if host not in reach)
        if hosts == wanted or (hosts and not step.whole):
            kept.append(replace(step, hosts=hosts))
        if missing:
            left.append(Left(step.codes, tuple(wanted), step.text, "%s not part of this run" % (missing + (" is" if "," not in missing else " are"))))
    return kept, left


def _all_hosts(plays: Sequence[Mapping[str, Any]], groups: Mapping[str, Sequence[str]]) -> Tuple[str, ...]:
    return tuple(sorted({host for play in plays for host in _members(play["hosts"].split(":"), groups)}, key=host_key))


def plan_sha256(steps: Sequence[Step]) -> str:
    """Hash of what would be run where. Not of the findings: that a fault shows in one line more does not make it another plan."""
    return hashlib.sha256(_canonical([[step.playbook, step.variables, list(step.hosts)] for step in steps]).encode("ascii")).hexdigest()


def text(steps: Sequence[Step], left: Sequence[Left], sha256: str, absent: Iterable[str] = ()) -> List[str]:
    """The plan for a person, line by line. ``absent`` are codes that were asked for and that nothing has."""
    lines = ["Plan %s: %d %s." % (sha256, len(steps), "step" if len(steps) == 1 else "steps")]
    for n, step in enumerate(steps, 1):
        given = ", ".join("%s=%s" % (name, _canonical(value)) for name, value in step.variables.items())
        lines.append("%d. %s on %s (%s): %s. For %s." % (n, step.playbook, ", ".join(step.hosts), given, step.text, ", ".join(step.codes)))
    lines += ["No finding that stands has the code %s." % pattern for pattern in absent]
    lines += ["Left: %s on %s: %s (%s)." % (", ".join(each.codes), ", ".join(each.hosts), each.text, each.why) for each in left]
    return lines


# -- steps to tasks -----------------------------------------------------------------------------------------------------------------------


class Limits(NamedTuple):
    """Absolute numbers, for the whole run."""

    at_once: int
    """Hosts that a step works on at the same time; 0 is all."""
    failures: int
    """Hosts that may fail before no further stage is begun."""


def tasks(
    steps: Sequence[Step], playbooks: Mapping[str, Sequence[Mapping[str, Any]]], groups: Mapping[str, Sequence[str]], limits: Limits
) -> List[Dict[str, Any]]:
    """What is included for the steps. Values of ``vars`` come from hosts: whoever writes this down has to mark them as no templates."""
    made: List[Dict[str, Any]] = []
    for n, step in enumerate(steps, 1):
        for hosts in _batches(step, limits.at_once):
            for play in playbooks[step.playbook]:
                made += _stage("%d of %d" % (n, len(steps)), n, step, play, _reach(play, step, hosts, groups), limits)
    return made


def _batches(step: Step, at_once: int) -> List[Tuple[str, ...]]:
    size = len(step.hosts) if step.whole or not at_once else at_once
    return [step.hosts[first : first + size] for first in range(0, len(step.hosts), size)]


def _reach(play: Mapping[str, Any], step: Step, hosts: Sequence[str], groups: Mapping[str, Sequence[str]]) -> List[str]:
    odd = sorted(set(play) - PLAY_KEYS)
    if odd:
        raise RemediationError("%s has a play with %s, which cannot be run as a step" % (step.playbook, ", ".join(odd)))
    members = set(_all_hosts([play], groups))
    return [host for host in hosts if host in members]


def _stage(place: str, n: int, step: Step, play: Mapping[str, Any], hosts: Sequence[str], limits: Limits) -> List[Dict[str, Any]]:
    if not hosts:
        return []
    lost = "(ansible_play_hosts_all | length - ansible_play_hosts | length)"
    failed = "(ansible_play_hosts | map('extract', hostvars) | map(attribute='%s', default=0) | select | length)" % FAILED
    # In check mode every step is told of, whatever became of those before.
    decide = {
        "name": "Decide whether step %s goes on (%s: %s)" % (place, step.playbook, play["name"]),
        "ansible.builtin.set_fact": {
            GO: "{{ inventory_hostname in __remediate_stage and (ansible_check_mode or not %s | default(0) and %s + %s <= %d) }}"
            % (FAILED, lost, failed, limits.failures)
        },
        "vars": {"__remediate_stage": list(hosts)},
    }
    work = {
        "name": "Step %s, %s" % (place, step.playbook),
        "when": GO,
        "vars": dict(step.variables),
        "block": list(play["tasks"]),
        "rescue": [{"name": "Have no further step done on this host", "ansible.builtin.set_fact": {FAILED: n}}],
    }
    return [decide, work]
