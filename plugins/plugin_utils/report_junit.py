# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as JUnit XML: a suite for each host, a case for each of its checks. Pure."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping
from xml.etree import ElementTree as ET  # only writes

from . import report_view as view
from .report_read import host_key

# XML 1.0 has no way to write these, not even escaped.
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(document: Mapping[str, Any]) -> str:
    """A check that found something critical or a warning has failed; one that could not look is an error."""
    suites = ET.Element("testsuites", name="fieldops.runbooks")
    by_host: Dict[str, List[Mapping[str, Any]]] = {}
    for check in document["checks"]:
        by_host.setdefault(check["host"], []).append(check)
    gone = {entry["host"]: entry for entry in reversed(document["unreachable"])}
    found = _found(document)
    for host in sorted({*by_host, *gone}, key=host_key):
        suite = ET.SubElement(suites, "testsuite", name=_text(host), timestamp=_text(document["run"].get("started", ""))[:19])
        for check in by_host.get(host, ()):
            _case(suite, check, found.get((host, check["id"]), []))
        if host in gone:
            case = ET.SubElement(suite, "testcase", classname=_text(host), name="reached", time="0")
            _child(case, "error", "unreachable", gone[host]["reason"])
        _count(suite)
    totals = {name: str(sum(int(suite.get(name, "0")) for suite in suites)) for name in ("tests", "failures", "errors")}
    suites.attrib.update(totals)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _found(document: Mapping[str, Any]) -> Dict[Any, List[Mapping[str, Any]]]:
    found: Dict[Any, List[Mapping[str, Any]]] = {}
    for group in view.standing(document):
        for on in group["hosts"]:
            for check in on["checks"]:
                found.setdefault((on["host"], check), []).append(group)
    return found


def _case(suite: ET.Element, check: Mapping[str, Any], groups: List[Mapping[str, Any]]) -> None:
    name = "%s: %s [%s]" % (view.short(check["action"]), check["task"], check["id"])
    case = ET.SubElement(suite, "testcase", classname=_text(check["host"]), name=_text(name), time="%.3f" % (check["elapsed"] or 0))
    wrong = [group for group in groups if group["severity"] in view.WRONG]
    if wrong:
        told = "\n".join("%s %s: %s" % (group["severity"], group["code"], view.title(group)) for group in wrong)
        _child(case, "failure", str(check["severity"]), told)
    if check["outcome"] == "failed":
        _child(case, "error", "failed", check["reason"])
    calm = [group for group in groups if group["severity"] not in view.WRONG]
    if calm:
        ET.SubElement(case, "system-out").text = _text("\n".join("%s %s: %s" % (group["severity"], group["code"], view.title(group)) for group in calm))


def _child(case: ET.Element, name: str, kind: str, text: str) -> None:
    child = ET.SubElement(case, name, type=_text(kind), message=_text(view.one_line(text, 300)))
    child.text = _text(text)


def _count(suite: ET.Element) -> None:
    cases = list(suite.iter("testcase"))
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(1 for case in cases if case.find("failure") is not None and case.find("error") is None)))
    suite.set("errors", str(sum(1 for case in cases if case.find("error") is not None)))
    suite.set("time", "%.3f" % sum(float(case.get("time", "0")) for case in cases))


def _text(value: Any) -> str:
    return _ILLEGAL.sub("\ufffd", str(value))
