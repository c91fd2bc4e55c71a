# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deploying job-runner: what is to be done, what speaks against it, and what is so. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ..procedure.envelope import Change, Finding, Image, Remedy
from ..procedure.errors import Refusal
from .checkout import Checkout, Release
from .service import ServiceState
from .tables import COLUMNS

RUNBOOK = ("opensafely-jobrunner.md", "Deploy job-runner")
NEWEST = max(COLUMNS)
"""The latest layout of the database that this collection knows."""
_LATER = "Later layouts (controller and agent, compose, central database) are deployed in other ways"


@dataclass(frozen=True)
class DeployState:
    """Both checkouts, the database, and the service. ``checkouts`` are in the order in which they are updated."""

    checkouts: Tuple[Checkout, ...]
    present: Release
    wanted: Release
    service: ServiceState
    restart: str
    """``auto``, ``always`` or ``never``."""

    database: str = ""
    version: Optional[int] = None
    running: Optional[Mapping[str, Optional[str]]] = None
    """By part, the commit that the running process was started with; None where there is no process."""

    variables: FrozenSet[str] = frozenset()
    """What the configuration sets."""

    restarted: bool = False
    """This run has restarted the service already."""

    forbidden: str = ""
    """Why this user cannot restart the service."""

    @property
    def moving(self) -> List[Checkout]:
        return [each for each in self.checkouts if not each.there]

    @property
    def migrates(self) -> bool:
        return self.version is not None and self.wanted.version is not None and self.version < self.wanted.version

    @property
    def on(self) -> bool:
        """It runs, or systemd tries, or it has failed: nobody has stopped it."""
        return is_on(self.service)

    @property
    def older(self) -> bool:
        """The process was started with other commits than are checked out."""
        return self.running is not None and any(self.running.get(each.part) not in (each.head, None) for each in self.checkouts)


def is_on(service: ServiceState) -> bool:
    return service.known and (service.up or service.waiting or service.active in ("failed", "activating", "reloading"))


def service_image(service: ServiceState, running: Optional[Mapping[str, Optional[str]]], heads: Mapping[str, str]) -> Image:
    """What the service runs, or, where it has no process but is to have one, what it will run."""
    runs: Mapping[str, Optional[str]] = running if running is not None else (heads if is_on(service) else {})
    return {"on": is_on(service), **{part: runs.get(part) for part in heads}}


# -- plan ----------------------------------------------------------------------------------------------------------------


def plan(state: DeployState) -> List[Change]:
    changes = [_update(each) for each in state.moving]
    if state.migrates:
        changes.append(_migrate(state))
    restart = _restart(state, bool(changes))
    return changes + ([restart] if restart else [])


def _update(each: Checkout) -> Change:
    parts = ["%s has %d commits that it has not" % (each.ref, each.incoming)] if each.incoming else []
    parts += ["it has %d that %s has not" % (each.outgoing, each.ref)] if each.outgoing else []
    newest = "; newest: %s" % each.commits[0] if each.commits else ""
    lost = ""
    if each.own:
        lost = "the place of %d commits of %s that no remote has, newest %s (they stay in its reflog alone)" % (len(each.own), each.path, each.own[0])
    return Change(
        action="update",
        subject="%s in %s" % (each.part, each.path),
        before={"path": each.path, "commit": each.head},
        after={"path": each.path, "commit": each.target},
        reason="; ".join(parts) + newest,
        data_loss=lost,
    )


def _migrate(state: DeployState) -> Change:
    return Change(
        action="migrate",
        subject="database %s" % state.database,
        before={"user_version": state.version},
        after={"user_version": state.wanted.version},
        reason="the code that is deployed does not start with an older one; a copy of the database is kept, and a migration is never taken back",
        reversible=False,
    )


def _restart(state: DeployState, changed: bool) -> Optional[Change]:
    if state.restart == "never" or not state.service.known:
        return None
    stopped = not state.on
    needed = changed or state.older or not state.service.up
    if state.restart == "auto" and (stopped or not needed):
        return None
    if state.restart == "always" and not needed and state.restarted:
        return None
    before, after = _service_images(state)
    return Change(
        action="restart" if not stopped else "start",
        subject="service:%s" % state.service.unit,
        before=before,
        after=after,
        reason=_why_restart(state, changed, stopped),
        reversible=not _final(state, before),
    )


def _service_images(state: DeployState) -> Tuple[Image, Image]:
    before = service_image(state.service, state.running, {each.part: each.head for each in state.checkouts})
    after: Image = {"on": True, **{each.part: each.target for each in state.checkouts}}
    if before == after:  # nothing differs but the process
        return dict(before, restarted=False), dict(after, restarted=True)
    return before, after


def _final(state: DeployState, before: Image) -> bool:
    """What ran before cannot be brought back: it is what runs now, or is checked out nowhere."""
    return "restarted" in before or (state.older and state.service.up)


def _why_restart(state: DeployState, changed: bool, stopped: bool) -> str:
    if changed:
        return "it runs what was there before; running jobs go on"
    if state.older:
        return "it was started before the checkouts got their present commits"
    if stopped:
        return "it is stopped, and restart is always"
    return "it is asked for" if state.service.up else "it is %s (%s)" % (state.service.active, state.service.sub)


# -- guards --------------------------------------------------------------------------------------------------------------


def guards(state: DeployState, planned: Sequence[Change]) -> List[Refusal]:
    if not planned:
        return []
    refusals = [refusal for each in state.moving for refusal in _of_checkout(each)]
    refusals += _of_layout(state, planned)
    if state.forbidden and any(change.subject.startswith("service:") for change in planned):
        refusals.append(Refusal("rights", state.forbidden, "run it as root, or as opensafely with upstream's sudoers file; or pass restart: never."))
    return refusals


def _of_checkout(each: Checkout) -> List[Refusal]:
    refusals = []
    if each.dirty:
        names = _some(each.dirty)
        reason = "%s has local changes that the deploy would destroy, in %s." % (each.path, names)
        allow = "keep them elsewhere and take them back, as %s: git -C %s diff > changes.patch; git -C %s checkout -- FILE." % (
            each.owner,
            each.path,
            each.path,
        )
        refusals.append(Refusal("dirty", reason, allow))
    if each.in_the_way:
        reason = "%s has files of its own where %s has others: %s." % (each.path, each.ref, _some(each.in_the_way))
        refusals.append(Refusal("in_the_way", reason, "move them away."))
    if each.unwritable:
        refusals.append(Refusal("rights", *not_writable(each.owner, each.path, each.unwritable)))
    if each.locked:
        refusals.append(
            Refusal("locked", "another git is at work, or was killed: there is %s." % each.locked, "wait for it; if no git runs, remove that file.")
        )
    return refusals


def not_writable(owner: str, checkout: str, place: str) -> Tuple[str, str]:
    """Why, and what to do."""
    return "%s cannot write %s, perhaps because root ran git there." % (owner, place), "chown -R %s: %s" % (owner, checkout)


def _of_layout(state: DeployState, planned: Sequence[Change]) -> List[Refusal]:
    if not any(change.action in ("update", "migrate") for change in planned):
        return []
    code = next(each for each in state.checkouts if each.part == "code")
    wanted = state.wanted.version
    if wanted is None:
        reason = "%s (%s) is not the job-runner that runs as this service: it has no jobrunner/models.py with jobrunner/cli/migrate.py." % (
            code.ref,
            code.target[:10],
        )
        return [Refusal("layout", "%s %s." % (reason, _LATER), "name an earlier ref.")]
    if wanted > NEWEST:
        reason = "%s (%s) takes the database to user_version %d, and this collection knows it up to %d." % (code.ref, code.target[:10], wanted, NEWEST)
        return [Refusal("layout", "%s %s." % (reason, _LATER), "name an earlier ref.")]
    if state.version is not None and wanted < state.version:
        reason = "the database is at user_version %d, and %s (%s) starts only with %d." % (state.version, code.ref, code.target[:10], wanted)
        return [Refusal("layout", reason, "name a later ref; a migration is not taken back.")]
    return []


# -- what is so ----------------------------------------------------------------------------------------------------------


def diagnose(state: DeployState) -> List[Finding]:
    found = [finding for each in state.checkouts for finding in _about(each)]
    found += _migration(state) + _new_variables(state) + _service(state)
    if not any(finding.severity in ("warning", "critical") or finding.code.endswith("behind") for finding in found):
        what = ", ".join("%s at %s" % (each.part, each.head[:10]) for each in state.checkouts)
        found.append(Finding("jobrunner.deploy.ok", "ok", "job-runner", "what is asked for is deployed: %s" % what, {}, None, RUNBOOK))
    return found


def _about(each: Checkout) -> List[Finding]:
    found = []
    subject, detail = "%s in %s" % (each.part, each.path), each.to_dict()
    deploy = Remedy("deploy it", "fieldops.runbooks.jobrunner_deploy")
    if not each.there:
        summary = "%s is %d commits behind %s" % (subject, each.incoming, each.ref)
        summary += ", and has %d that it has not" % each.outgoing if each.outgoing else ""
        found.append(Finding("jobrunner.deploy.behind", "info", subject, summary, detail, deploy, RUNBOOK))
    if each.own:
        summary = "%s has commits that no remote has, newest %s" % (subject, each.own[0])
        found.append(Finding("jobrunner.deploy.own_commits", "warning", subject, summary, {"commits": list(each.own)}, Remedy("push or drop them"), RUNBOOK))
    if each.dirty:
        summary = "%s has local changes in %s; no deploy goes over them" % (subject, _some(each.dirty))
        remedy = Remedy("keep or drop them, as %s" % each.owner)
        found.append(Finding("jobrunner.deploy.dirty", "warning", subject, summary, {"files": list(each.dirty[:100])}, remedy, RUNBOOK))
    for remote, said in each.away:
        summary = "%s: the remote %s did not answer; what the checkout last saw of it was taken" % (subject, remote)
        remedy = Remedy("take it out, if it is gone for good: git -C %s remote remove %s" % (each.path, remote))
        found.append(Finding("jobrunner.deploy.remote_away", "info", subject, summary, {"remote": remote, "said": said}, remedy, RUNBOOK))
    if each.stale_index:
        summary = "%s only looks changed (owners or times are others, contents are not): upstream's script would call it dirty, this deploy does not" % subject
        found.append(Finding("jobrunner.deploy.stale_index", "info", subject, summary, {}, None, RUNBOOK))
    return found


def _migration(state: DeployState) -> List[Finding]:
    if not state.migrates:
        return []
    summary = "the database is at user_version %s and the code of %s takes it to %s, for good" % (state.version, state.checkouts[-1].ref, state.wanted.version)
    detail = {"present": state.version, "wanted": state.wanted.version}
    return [Finding("jobrunner.deploy.migration", "info", state.database, summary, detail, None, RUNBOOK)]


def _new_variables(state: DeployState) -> List[Finding]:
    new = sorted(set(state.wanted.variables) - set(state.present.variables) - state.variables)
    if not new:
        return []
    summary = "the code to be deployed reads variables that nothing sets yet: %s" % ", ".join(new)
    remedy = Remedy("look whether they need a value; the module jobrunner_setting sets it, before the deploy")
    return [Finding("jobrunner.deploy.new_variables", "warning", "configuration", summary, {"names": new}, remedy, RUNBOOK)]


def _service(state: DeployState) -> List[Finding]:
    service = state.service
    if not service.known:
        return [Finding("jobrunner.deploy.no_unit", "critical", service.unit, "there is no unit %s" % service.unit, {}, Remedy("update the backend"), RUNBOOK)]
    if service.looping():
        summary = "%s is in a loop of restarts: started again %s times by systemd" % (service.unit, service.restarts)
        remedy = Remedy("read its log: what ended it last")
        return [Finding("jobrunner.deploy.looping", "critical", service.unit, summary, service.to_dict(), remedy, RUNBOOK)]
    if not service.up:
        severity = "critical" if service.active == "failed" else "warning"
        summary = "%s does not run: it is %s (%s)%s" % (
            service.unit,
            service.active,
            service.sub,
            "; a deploy leaves it so" if service.active == "inactive" else "",
        )
        return [Finding("jobrunner.deploy.down", severity, service.unit, summary, service.to_dict(), Remedy("start it when it may run"), RUNBOOK)]
    if state.older:
        summary = "%s still runs other commits than are checked out" % service.unit
        detail: Dict[str, Any] = {"running": dict(state.running or {})}
        remedy = Remedy("restart it; running jobs go on", "fieldops.runbooks.jobrunner_deploy")
        return [Finding("jobrunner.deploy.older", "warning", service.unit, summary, detail, remedy, RUNBOOK)]
    return []


def facts(state: DeployState) -> Dict[str, Any]:
    return {
        "checkouts": [each.to_dict() for each in state.checkouts],
        "migration": {"database": state.database or None, "present": state.version, "wanted": state.wanted.version, "pending": state.migrates},
        "service": dict(state.service.to_dict(), running=None if state.running is None else dict(state.running)),
    }


def _some(names: Sequence[str], limit: int = 5) -> str:
    more = " and %d more" % (len(names) - limit) if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
