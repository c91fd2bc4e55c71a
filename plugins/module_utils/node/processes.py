# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that must run."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

from ..connect.procfs import Pattern, Process
from ..procedure.envelope import Finding
from .expect import Missed, Options, Said
from .sizes import show_age

_LISTED = 50


class Running(NamedTuple):
    """A process and its age in seconds."""

    process: Process
    age: float
    contained: bool = False
    """In a container of this node."""

    def to_dict(self) -> Dict[str, Any]:
        # Not the command line: it may hold a password.
        process = self.process
        return {"pid": process.pid, "owner": process.owner, "age": round(self.age, 1), "program": (process.script() or process.argv[0])[:200]}


class Wanted(NamedTuple):
    """One expectation."""

    said: Said
    pattern: Pattern
    min: int
    max: Optional[int]
    min_age: Optional[float]
    max_age: Optional[float]
    containers: bool = False


class Sight(NamedTuple):
    """The processes that the pattern describes, oldest first. ``hidden``: this user may not see those of others."""

    right: Sequence[Running]
    others: Sequence[Running]
    hidden: bool
    contained: int = 0
    """So many more are in containers, which do not count."""


Seen = Union[Sight, Missed]


def parse(options: Options, runbook_file: Optional[str]) -> Wanted:
    least, most = options.whole("min") or 0, options.whole("max")
    if most is not None and most < least:
        raise options.refuse("max", "at least min, which is %d" % least)
    pattern = read_pattern(options)
    return Wanted(
        options.said("process", _named(pattern), runbook_file),
        pattern,
        least,
        most,
        options.number("min_age"),
        options.number("max_age"),
        options["containers"],
    )


def read_pattern(options: Options) -> Pattern:
    """Program, words, title and owner of an expectation."""
    for name in ("program", "title", "owner"):
        if options[name] is not None:
            options.filled(name)
    if not (options["program"] or options["title"] or options["args"]):
        raise options.refuse("args", "not empty where neither program nor title is given")
    return Pattern(options["program"], tuple(options["args"]), options.regex("title"), options["owner"])


def _named(pattern: Pattern) -> str:
    return " ".join(filter(None, (pattern.program, *pattern.args))) or str(pattern.title)


def look(wanted: Wanted, running: Union[Sequence[Running], Missed], hidden: bool) -> Seen:
    """Pure: the processes were read once, for all expectations."""
    if isinstance(running, Missed):
        return running
    candidates = sorted((each for each in running if wanted.pattern.describes(each.process)), key=lambda each: -each.age)
    described = [each for each in candidates if wanted.containers or not each.contained]
    right = [each for each in described if wanted.pattern.matches(each.process)]
    return Sight(right, [each for each in described if each not in right], hidden, len(candidates) - len(described))


def judge(wanted: Wanted, seen: Seen) -> List[Finding]:
    if isinstance(seen, Missed):
        return [wanted.said.unknown(seen.reason)]
    found = _count_findings(wanted, seen)
    said, right = wanted.said, seen.right
    if wanted.min_age is not None:
        young = [each for each in right if each.age < wanted.min_age]
        if young:
            found.append(said.bad("young", "warning", "started only %s ago: %s" % (show_age(young[-1].age), _some(young)), **_detail(young)))
    if wanted.max_age is not None:
        old = [each for each in right if each.age > wanted.max_age]
        if old:
            found.append(said.bad("old", "warning", "has been running for %s: %s" % (show_age(old[0].age), _some(old)), **_detail(old)))
    return found


def _count_findings(wanted: Wanted, seen: Sight) -> List[Finding]:
    said, right, others = wanted.said, seen.right, seen.others
    count = len(right)
    detail = dict(_detail(right), found=count, min=wanted.min, max=wanted.max, in_containers=seen.contained)
    if count < wanted.min:
        if seen.hidden:
            return [said.unknown("%s seen, but this user may not see the processes of others (hidepid)" % _number(count), **detail)]
        if others:
            text = "runs as %s instead of %s: %s" % (", ".join(sorted({each.process.owner for each in others})), wanted.pattern.owner, _some(others))
            return [said.bad("wrong_owner", "critical", text, **dict(detail, others=[each.to_dict() for each in others[:_LISTED]]))]
        text = "no such process runs" if not count else "%s, and %d are wanted: %s" % (_number(count), wanted.min, _some(right))
        text += "; %d in containers do not count" % seen.contained if seen.contained else ""
        return [said.bad("missing", "critical", text, **detail)]
    if wanted.max is not None and count > wanted.max:
        text = "%s, and at most %d may: %s" % (_number(count), wanted.max, _some(right))
        return [said.bad("too_many", "warning", text, **detail)]
    if wanted.max is not None and seen.hidden:
        return [said.unknown("%s seen, but this user may not see the processes of others (hidepid)" % _number(count), **detail)]
    return []


def _number(count: int) -> str:
    return "%d process%s" % (count, " runs" if count == 1 else "es run")


def _some(running: Sequence[Running]) -> str:
    shown = ", ".join("pid %d (%s, for %s)" % (each.process.pid, each.process.owner, show_age(each.age)) for each in running[:3])
    return shown + (" and %d more" % (len(running) - 3) if len(running) > 3 else "")


def _detail(running: Sequence[Running]) -> Dict[str, Any]:
    return {"processes": [each.to_dict() for each in running[:_LISTED]]}


def row(wanted: Wanted, seen: Seen) -> Dict[str, Any]:
    if isinstance(seen, Missed):
        return {"name": wanted.said.name, "found": None, "processes": [], "other_owners": [], "in_containers": None}
    others = [each.to_dict() for each in seen.others[:_LISTED]]
    return dict(_detail(seen.right), name=wanted.said.name, found=len(seen.right), other_owners=others, in_containers=seen.contained)
