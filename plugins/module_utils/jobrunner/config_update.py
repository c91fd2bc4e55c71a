# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next update of a backend would bring: commits of backend-server, generated configuration, packages that restart Docker."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..connect.git import Git, GitError, checked_ref
from ..connect.service import ServiceError, call, last_line, program
from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from .checkout import Checkout, look
from .config import Config, read_config
from .config_drift import Surroundings, look_around
from .config_findings import config_findings

RUNBOOK = ("opensafely-jobrunner.md", "Updating the infrastructure")
DOCKER = re.compile(r"docker\.io|docker-ce|docker-engine|containerd|containerd\.io|runc|moby-\w+")
"""Packages whose upgrade restarts the engine, and with it ends every container."""
_INSTALLED = re.compile(r"^Inst (\S+)(?: \[([^\]]*)\])? \((\S+)", re.MULTILINE)
_PREFIX = "jobrunner.update."


@dataclass(frozen=True)
class Package:
    """One that would be upgraded, or newly installed where there is no old version."""

    name: str
    before: str
    after: str

    @property
    def docker(self) -> bool:
        return bool(DOCKER.fullmatch(self.name))


@dataclass(frozen=True)
class UpdateState:
    config: Config
    around: Surroundings
    checkout: Optional[Checkout] = None
    checkout_error: str = ""
    packages: Optional[Tuple[Package, ...]] = None
    """None where the update touches no packages, or that cannot be told."""

    packages_error: str = ""


class UpdateInfo(Check[UpdateState]):
    """Reads only."""

    name = "jobrunner_update_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.directory = os.path.abspath(params["backend_server_dir"])
        self.files: List[str] = [os.path.abspath(path) for path in params["config_files"]]
        self.ref = checked_ref(params["ref"], "ref")
        self.timeout: float = params["timeout"]

    def observe(self) -> UpdateState:
        config = read_config(self.files)
        around = look_around(config, self.directory)
        checkout, error = self._checkout()
        packages, unknown = self._packages(around.backend)
        return UpdateState(config, around, checkout, error, packages, unknown)

    def _checkout(self) -> Tuple[Optional[Checkout], str]:
        try:
            return look(Git(self.directory, self.timeout), "backend-server", self.ref)[0], ""
        except GitError as exc:
            return None, str(exc)

    def _packages(self, backend: str) -> Tuple[Optional[Tuple[Package, ...]], str]:
        """By apt's own simulation, which changes nothing and takes no lock."""
        if not upgrades_packages(self._justfile(), backend):
            return None, ""
        apt = program("apt-get")
        if apt is None:
            return None, "apt-get is not installed on this node"
        try:
            code, output, errors = call([apt, "-s", "-q", "-o", "Debug::NoLocking=1", "upgrade"], self.timeout)
        except ServiceError as exc:
            return None, str(exc)
        return (packages_in(output), "") if code == 0 else (None, "apt-get -s upgrade failed: %s" % last_line(output, errors))

    def _justfile(self) -> str:
        try:
            with open(os.path.join(self.directory, "justfile"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def diagnose(self, state: UpdateState) -> List[Finding]:
        return [*about_update(state), *config_findings(state.config, state.around)]

    def facts(self, state: UpdateState) -> Mapping[str, Any]:
        packages = [{"name": each.name, "before": each.before, "after": each.after, "docker": each.docker} for each in state.packages or ()]
        return {
            "backend": state.around.backend or None,
            "checkout": dict(state.checkout.to_dict(), changed=list(state.checkout.changed)) if state.checkout else None,
            "packages": packages if state.packages is not None else None,
            "restarts_docker": any(each.docker and each.before for each in state.packages or ()),
        }

    def evidence(self, state: UpdateState) -> Mapping[str, Any]:
        return {"config_files": self.files, "sources": [source.source for source in state.around.sources]}


def upgrades_packages(justfile: str, backend: str) -> bool:
    """Whether the recipe of this backend has the step that upgrades all packages. Not every backend's has."""
    recipe = re.search(r"^manage-%s\s*:(.*)$" % re.escape(backend), justfile, re.MULTILINE) if backend else None
    return recipe is not None and "install-packages" in recipe.group(1).split()


def packages_in(output: str) -> Tuple[Package, ...]:
    return tuple(Package(name, before, after) for name, before, after in _INSTALLED.findall(output))


def about_update(state: UpdateState) -> List[Finding]:
    found = [*_about_checkout(state)]
    restarting = [each for each in state.packages or () if each.docker and each.before]
    if restarting:
        told = ", ".join("%s to %s" % (each.name, each.after) for each in restarting)
        summary = "the update would upgrade %s, which restarts Docker and ends every container; jobs that run would fail" % told
        remedy = Remedy("prepare for a reboot first, or update when no job runs", "fieldops.runbooks.jobrunner_prepare_for_reboot")
        detail: Dict[str, Any] = {"packages": [each.name for each in restarting]}
        found.append(Finding(_PREFIX + "docker", "warning", "packages", summary, detail, remedy, RUNBOOK))
    if state.packages_error:
        summary = "which packages would be upgraded, and whether Docker is among them, cannot be told: %s" % state.packages_error
        found.append(Finding(_PREFIX + "packages_unknown", "warning", "packages", summary, {}, Remedy("look by hand: apt-get -s upgrade"), RUNBOOK))
    return found


def _about_checkout(state: UpdateState) -> List[Finding]:
    each = state.checkout
    if each is None:
        remedy = Remedy("have a checkout of backend-server at the version that is to be applied")
        return [Finding(_PREFIX + "no_checkout", "warning", "backend-server", state.checkout_error, {}, remedy, RUNBOOK)]
    found = []
    if each.changed:
        summary = "%s has local changes, which an update would install: %s" % (each.path, ", ".join(each.changed[:10]))
        remedy = Remedy("merge them, or take them back")
        found.append(Finding(_PREFIX + "dirty", "warning", each.path, summary, {"files": list(each.changed[:100])}, remedy, RUNBOOK))
    if each.incoming:
        newest = each.commits[0] if each.commits else ""
        summary = "%s is %d commits behind %s, newest %s; an update applies what is checked out" % (each.path, each.incoming, each.ref, newest)
        remedy = Remedy("check out what is to be applied, as %s: git -C %s merge --ff-only %s" % (each.owner, each.path, each.ref))
        found.append(Finding(_PREFIX + "behind", "info", each.path, summary, each.to_dict(), remedy, RUNBOOK))
    if each.own:
        summary = "%s has commits that no remote has, newest %s" % (each.path, each.own[0])
        found.append(Finding(_PREFIX + "own_commits", "warning", each.path, summary, {"commits": list(each.own)}, Remedy("push them"), RUNBOOK))
    return found
