# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The query that a database job is waiting for, from its log alone: the only way to see whether such a job is stuck. Pure.

Two programs write these logs. cohortextractor puts a local time before each entry, and an entry of its own for the statement, which ends with
the same ``timing_id``. ehrQL writes no times; Docker's do. Lines that do not begin an entry belong to the one before.
"""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from typing import Iterable, List, Optional, Tuple

from ..connect.docker import timestamp

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_DOCKER = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z) ?(.*)", re.DOTALL)
_COHORT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \[\w+ *\] ")
_EHRQL = re.compile(r"\[(?:debug|info|warning|error|critical) *\] ")
_EHRQL_BEGIN = re.compile(r"(?:Running|Fetching results from) (query [0-9]+ / [0-9]+)\s*$")
_EHRQL_END = re.compile(r"(?:Finished (?:running|fetching results from) (query [0-9]+ / [0-9]+)|timings: .*\bquery_id=(query [0-9]+ / [0-9]+))")
_TIMING = re.compile(r"\btiming_id=(\d+)")
_SQL = re.compile(r"\bsql=")


@dataclass(frozen=True)
class Entry:
    """One entry of a log. ``time`` is Docker's, else the program's own."""

    program: str
    time: Optional[float]
    text: str


@dataclass(frozen=True)
class Query:
    """The last statement that a job sent. ``running`` is None where the log does not say whether it was answered."""

    program: str
    name: str
    issued: Optional[float]
    running: bool
    statement: str


def last_query(lines: Iterable[str]) -> Optional[Query]:
    """The last statement in a log; None where there is none."""
    found: Optional[Query] = None
    named = ""
    for entry in entries(lines):
        if entry.program == "cohortextractor":
            found = _cohort(entry, found)
        else:
            named, found = _ehrql(entry, named, found)
    return found


def entries(lines: Iterable[str]) -> List[Entry]:
    """Lines that begin no entry are added to the one before."""
    found: List[Tuple[str, Optional[float], List[str]]] = []
    for line in lines:
        moment, text = split_time(_ANSI.sub("", line.rstrip("\r\n")))
        cohort, ehrql = _COHORT.match(text), _EHRQL.match(text)
        if cohort:
            found.append(("cohortextractor", _local(cohort.group(1)) if moment is None else moment, [text[cohort.end() :]]))
        elif ehrql:
            found.append(("ehrql", moment, [text[ehrql.end() :]]))
        elif found:
            found[-1][2].append(text)
    return [Entry(program, moment, "\n".join(parts)) for program, moment, parts in found]


def split_time(line: str) -> Tuple[Optional[float], str]:
    """The time that Docker put before a line, and the line."""
    match = _DOCKER.match(line)
    return (timestamp(match.group(1)), match.group(2)) if match else (None, line)


def _cohort(entry: Entry, found: Optional[Query]) -> Optional[Query]:
    number = _TIMING.findall(entry.text)
    name = "timing_id %s" % number[-1] if number else ""
    sql = _SQL.search(entry.text)
    if sql:
        statement = _TIMING.sub("", entry.text[sql.end() :]).strip()
        return Query("cohortextractor", name, entry.time, True, statement)
    if found and "timing=stop" in entry.text and name == found.name:
        return Query(found.program, found.name, found.issued, False, found.statement)
    return found


def _ehrql(entry: Entry, named: str, found: Optional[Query]) -> Tuple[str, Optional[Query]]:
    """The name of a query comes in the entry before its statement."""
    first, _line, rest = entry.text.partition("\n")
    begin, end = _EHRQL_BEGIN.match(first), _EHRQL_END.match(first)
    if begin:
        return begin.group(1), Query("ehrql", begin.group(1), entry.time, True, "")
    if first.strip() == "SQL:":
        return named, Query("ehrql", named, entry.time, True, _dedented(rest))
    if end and found and (end.group(1) or end.group(2)) == found.name:
        return named, Query(found.program, found.name, found.issued, False, found.statement)
    return named, found


def _dedented(text: str) -> str:
    """Without the indentation that the log gives to lines after the first; entries are parted by empty lines."""
    lines = [line[10:] if line.startswith(" " * 10) else line for line in text.rstrip().split("\n")]
    return "\n".join(lines)


def _local(text: str) -> Optional[float]:
    """Containers run in UTC, whatever the node does."""
    try:
        return float(calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S")))
    except ValueError:
        return None
