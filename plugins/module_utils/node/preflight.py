# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a managed node must have for the modules to work: Python, libraries, programs; and which packages hold what is missing."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.command import PATH
from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from ..procedure.errors import RunbookError

OLDEST_PYTHON = "3.8"
_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
_FAMILIES = {"debian": ("debian", "ubuntu"), "redhat": ("rhel", "centos", "fedora", "rocky", "almalinux", "ol", "amzn"), "suse": ("suse", "sles", "opensuse")}


@dataclass(frozen=True)
class Need:
    """One thing that is needed. ``kind`` is python, library or program; ``packages`` holds a package's name by family of distributions."""

    kind: str
    name: str
    reason: str = ""
    min_version: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Met:
    """A need, and what is there instead. ``problem`` is empty when it is met."""

    need: Need
    version: str
    where: str
    problem: str


@dataclass(frozen=True)
class PreflightState:
    distribution: Mapping[str, str]
    met: Tuple[Met, ...]

    @property
    def missing(self) -> List[Met]:
        return [each for each in self.met if each.problem]


def needs_of(params: Mapping[str, Any]) -> List[Need]:
    """The module's options as needs."""
    found = [Need("python", "python", "modules run with it", params["python_min"])]
    for kind, option in (("library", "libraries"), ("program", "programs")):
        found += [Need(kind, entry["name"], entry["reason"] or "", entry.get("min_version") or "", entry["packages"]) for entry in params[option]]
    return found


def version_key(text: str) -> Tuple[int, ...]:
    """The leading numbers of a version: 2.9.9 (dt dec pq3) is (2, 9, 9)."""
    match = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})*", text)
    if match is None:
        raise RunbookError("%r is no version: it must begin with numbers, such as 2.9 or 3.8.1" % text)
    return tuple(int(part) for part in match.group().split("."))


def distribution(paths: Sequence[str] = _OS_RELEASE) -> Dict[str, str]:
    """Id, version and family of this node's distribution; family is empty where it is not one that packages are named for."""
    values: Dict[str, str] = {}
    for path in paths:
        try:
            with open(path, encoding="utf-8") as lines:
                pairs = (line.strip().partition("=") for line in lines)
                values = {name: value.strip("\"'") for name, _equals, value in pairs}
            break
        except OSError:
            continue
    like = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    family = next((name for name, members in _FAMILIES.items() if any(word in members for word in like)), "")
    return {"id": values.get("ID", ""), "version": values.get("VERSION_ID", ""), "family": family}


def look(need: Need) -> Met:
    """Is it there? A library is really imported: one that is installed may still not load."""
    if need.kind == "python":
        return judged(need, platform.python_version(), sys.executable or "")
    if need.kind == "program":
        where = shutil.which(need.name, path=os.environ.get("PATH", "") + os.pathsep + PATH)
        return Met(need, "", where or "", "" if where else "there is no program %s" % need.name)
    try:
        module = importlib.import_module(need.name)
    except Exception as exc:  # noqa: BLE001  a broken library may raise anything
        return Met(need, "", "", "Python cannot import %s: %s" % (need.name, " ".join(str(exc).split()) or type(exc).__name__))
    return judged(need, str(getattr(module, "__version__", "")), str(getattr(module, "__file__", None) or ""))


def judged(need: Need, version: str, where: str) -> Met:
    problem = ""
    if need.min_version:
        wanted = version_key(need.min_version)
        if not re.match(r"\d", version):
            problem = "the version of %s cannot be told; %s or later is needed" % (need.name, need.min_version)
        elif version_key(version) < wanted:
            problem = "%s is of version %s; %s or later is needed" % (need.name, version, need.min_version)
    return Met(need, version, where, problem)


class Preflight(Check[PreflightState]):
    """Reads only. Installing is the role's, by the distribution's own tools."""

    name = "node_preflight_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.needs = needs_of(params)
        for need in self.needs:
            if need.min_version:
                version_key(need.min_version)
            if need.kind == "library" and not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", need.name):
                raise RunbookError("libraries: %r is not a name that Python can import" % need.name)
            if need.kind == "program" and (not need.name or "/" in need.name):
                raise RunbookError("programs: %r must be the name of a program, without a directory" % need.name)

    def observe(self) -> PreflightState:
        return PreflightState(distribution(), tuple(look(need) for need in self.needs))

    def diagnose(self, state: PreflightState) -> List[Finding]:
        missing = state.missing
        if not missing:
            names = ", ".join(each.need.name for each in state.met)
            return [Finding("node.preflight.complete", "ok", "node", "everything that the modules need is here: %s" % names, {"count": len(state.met)})]
        return [_finding(each, state.distribution["family"]) for each in missing]

    def facts(self, state: PreflightState) -> Mapping[str, Any]:
        family = state.distribution["family"]
        named = (package_of(each, family) for each in state.missing)
        return {
            "distribution": dict(state.distribution),
            "python": {"version": platform.python_version(), "executable": sys.executable or ""},
            "missing": [_row(each, family) for each in state.missing],
            "packages": sorted({package for package in named if package}),
            "found": [{"kind": each.need.kind, "name": each.need.name, "version": each.version, "where": each.where} for each in state.met if not each.problem],
        }


def package_of(met: Met, family: str) -> Optional[str]:
    return met.need.packages.get(family)


def _row(met: Met, family: str) -> Dict[str, Any]:
    need = met.need
    return {"kind": need.kind, "name": need.name, "problem": met.problem, "reason": need.reason, "package": package_of(met, family)}


def _finding(met: Met, family: str) -> Finding:
    need, package = met.need, package_of(met, family)
    why = " (%s)" % need.reason if need.reason else ""
    if package:
        remedy = Remedy("install the distribution's package %s" % package, "fieldops.runbooks.preflight", {"preflight_install": True})
    else:
        remedy = Remedy("install %s by hand: no package of this distribution is known for it" % need.name)
    return Finding("node.preflight.%s_missing" % need.kind, "warning", need.name, met.problem + why, _row(met, family), remedy)
