# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node compared with what is expected of it. ``diagnose`` and ``facts`` are pure functions of what was seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..procedure.check import Check
from ..procedure.envelope import Finding
from ..procedure.errors import RunbookError
from . import logs, paths, processes, units, vitals, web
from .expect import Options
from .observe import Expected, NodeState, Observer
from .sizes import number


class Kind(NamedTuple):
    """One list of expectations: how it is read, judged and returned."""

    option: str
    code: str
    one: str
    several: str
    parse: Callable[[Options, Optional[str]], Any]
    judge: Callable[[Any, Any], List[Finding]]
    rows: Callable[[Any, Any], List[Dict[str, Any]]]


def _one(row: Callable[[Any, Any], Dict[str, Any]]) -> Callable[[Any, Any], List[Dict[str, Any]]]:
    return lambda wanted, seen: [row(wanted, seen)]


def _certificates(part: str) -> Callable[..., Any]:
    """A part of what judges certificates, which is loaded only where some are expected."""

    def call(*given: Any) -> Any:
        from . import certificates  # noqa: PLC0415

        return getattr(certificates, part)(*given)

    return call


def _sockets(part: str) -> Callable[..., Any]:
    """The same for sockets."""

    def call(*given: Any) -> Any:
        from . import sockets  # noqa: PLC0415

        return getattr(sockets, part)(*given)

    return call


KINDS = (
    Kind("processes", "process", "process runs as expected", "processes run as expected", processes.parse, processes.judge, _one(processes.row)),
    Kind("units", "unit", "unit is as expected", "units are as expected", units.parse, units.judge, lambda _wanted, seen: units.rows(seen)),
    Kind("sockets", "socket", "socket is listened on", "sockets are listened on", _sockets("parse"), _sockets("judge"), _one(_sockets("row"))),
    Kind("paths", "path", "path is as expected", "paths are as expected", paths.parse, paths.judge, _one(paths.row)),
    Kind("logs", "log", "log is as expected", "logs are as expected", logs.parse, logs.judge, logs.rows),
    Kind("http", "http", "web service answers as expected", "web services answer as expected", web.parse, web.judge, _one(web.row)),
    Kind("tcp", "tcp", "port accepts connections", "ports accept connections", web.parse_port, web.judge_port, _one(web.row_port)),
    Kind(
        "certificates",
        "certificate",
        "certificate is as expected",
        "certificates are as expected",
        _certificates("parse"),
        _certificates("judge"),
        _one(_certificates("row")),
    ),
)


def parse(params: Mapping[str, Any]) -> Expected:
    """What a module's options expect; one clear error for what cannot be meant."""
    file = params["runbook_file"]
    read: Dict[str, Any] = {}
    for kind in KINDS:
        given = params[kind.option] or []
        read[kind.option] = [kind.parse(Options("%s[%d]" % (kind.option, place), each), file) for place, each in enumerate(given)]
    expected = Expected(limits=vitals.parse(params), **read)
    if not params["watch"]:
        for place, log in enumerate(expected.logs):
            if log.must_grow:
                raise RunbookError("logs[%d].must_grow needs watch, the seconds to wait for a line" % place)
    return expected


def mislaid(params: Mapping[str, Any]) -> List[str]:
    """Secrets that were put among the plain headers."""
    named = [(name, str(value)) for each in params["http"] or () for name, value in each["headers"].items()]
    if not named:
        return []
    from ..connect import redact  # noqa: PLC0415 - most looks send no headers, and its expressions take some milliseconds

    return [value for name, value in named if redact.secret_name(name) and len(value) >= redact.SHORTEST]


class HealthInfo(Check[NodeState]):
    """Reads only."""

    name = "node_health_info"
    judged_by = ("expected",)

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.expected = parse(params)
        options = Options("options", params)
        timeout, watch = options.number("timeout"), options.number("watch")
        if not timeout:
            raise RunbookError("timeout must be more than 0 seconds")
        manager = params["service_manager"]
        self.observer = Observer(self.expected, timeout, watch or 0.0, None if manager == "auto" else manager)

    def observe(self) -> NodeState:
        return self.observer.observe()

    def diagnose(self, state: NodeState) -> List[Finding]:
        return diagnose(self.expected, state)

    def facts(self, state: NodeState) -> Mapping[str, Any]:
        return facts(self.expected, state)

    def evidence(self, state: NodeState) -> Mapping[str, Any]:
        return state.evidence

    def to_record(self, state: NodeState) -> Tuple[NodeState, Mapping[str, Any]]:
        """Without what is only sent."""
        asked = [replace(each, body=None, headers={}, secrets=()) for each in self.expected.http]
        return state, {"expected": self.expected._replace(http=asked)}


def diagnose(expected: Expected, state: NodeState) -> List[Finding]:
    """The findings of each list in turn; a list without fault gives one that says so."""
    found: List[Finding] = []
    for kind in KINDS:
        wanted, seen = getattr(expected, kind.option), getattr(state, kind.option)
        judged = [finding for each in zip(wanted, seen) for finding in kind.judge(*each)]
        found += judged
        if wanted and all(finding.severity == "info" for finding in judged):
            names = [each.said.name for each in wanted]
            found.append(Finding("node.%s.ok" % kind.code, "ok", kind.option, number(len(names), kind.one, kind.several), {"names": names}))
    judged = vitals.judge(expected.limits, state.vitals)
    found += judged
    if expected.limits.asked and not judged:
        found.append(Finding("node.limits.ok", "ok", "node", "load and memory are within the limits that were given", state.vitals.to_dict()))
    return found


def facts(expected: Expected, state: NodeState) -> Dict[str, Any]:
    """What was measured, list by list."""
    measured: Dict[str, Any] = {"node": state.vitals.to_dict()}
    for kind in KINDS:
        pairs = zip(getattr(expected, kind.option), getattr(state, kind.option))
        measured[kind.option] = [row for each in pairs for row in kind.rows(*each)]
    return measured
