# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with services, and what to do about it. Pure: no I/O.

The image of a service says no more than whether it is up. Pids and times move by themselves, and a plan that somebody has
approved must still be the same plan a minute later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ..connect.procfs import Process
from ..connect.service import Service
from ..procedure.envelope import Change, Finding, Image, Remedy
from ..procedure.errors import Refusal
from .restart_options import Spec, Wish

STOP_MARGIN = 10.0
STOP_UNLIMITED = 100.0
SETTLE_MARGIN = 5.0
SETTLE_LIMIT = 60.0
UP, DOWN, LEFT = "active", "inactive", "left"
"""``left``: the manager has nothing running, yet processes of the service are there."""


@dataclass(frozen=True)
class Seen:
    """One service beside what is wanted of it."""

    spec: Spec
    service: Service
    running: Tuple[Process, ...] = ()
    """Processes of the unit, and those that its patterns match."""

    missing: Tuple[str, ...] = ()
    """Patterns that match no process."""

    probe: str = ""
    """What the probe says is wrong."""

    flapped: bool = False
    """It was started again while it was watched."""

    because_of: str = ""
    """Id of the service whose stop takes this one along; nobody has named it."""

    killed: str = ""
    """What the stop in this run had to kill."""

    own: bool = False
    """The process that looks is one of the service's own."""

    @property
    def id(self) -> str:
        return self.service.id

    @property
    def word(self) -> str:
        """up, down, or down with processes left. Where a manager cannot tell, the processes do."""
        if self.service.on:
            return UP
        if self.running:
            return UP if self.service.active == "unknown" else LEFT
        return DOWN

    @property
    def untold(self) -> bool:
        """Its manager cannot tell whether it is up, and nothing is known by which to tell."""
        return self.service.known and self.service.active == "unknown" and not self.running and not self.spec.processes


@dataclass(frozen=True)
class RestartState:
    """All services, named ones first, in the order in which they are started."""

    seen: Tuple[Seen, ...]
    made: FrozenSet[str] = frozenset()
    """Ids of the services that this run has dealt with."""

    targets: Mapping[str, str] = field(default_factory=dict)
    """Targets that are up and would go down, by the id of the service whose stop would do that."""


def subject(id_: str) -> str:
    return "service:" + id_


def stop_limit(spec: Spec, service: Service) -> float:
    """Seconds to wait for a stop."""
    if spec.stop_timeout is not None:
        return spec.stop_timeout
    own = service.stop_timeout
    return own + STOP_MARGIN if own is not None and math.isfinite(own) else STOP_UNLIMITED


def settle_time(spec: Spec, service: Service) -> float:
    """Seconds that it must stay up."""
    if spec.settle is not None:
        return spec.settle
    delay = service.restart_delay or 0.0
    return min(delay + SETTLE_MARGIN, SETTLE_LIMIT)


# -- what is wrong -----------------------------------------------------------------------------------------------------


def problems(seen: Seen) -> List[Tuple[str, str]]:
    """Why a service does not work, as code and words. Empty for one that does."""
    service = seen.service
    if seen.word == LEFT:
        return [("left_running", "is %s, but %s" % (service.active, told(seen.running)))]
    if seen.untold:
        return [("state_unknown", "cannot tell whether it is up")]
    if seen.word == DOWN:
        code = "failed" if service.active == "failed" else "inactive"
        return [(code, "is %s%s" % ("down" if code == "inactive" else "failed", _ending(service)))]
    found = []
    if service.restarting:
        found.append(("flapping", "flaps: it has ended and waits to be started again%s" % _ending(service)))
    elif seen.flapped:
        found.append(("flapping", "flaps: it was started again while it was watched%s" % _ending(service)))
    elif service.active in ("activating", "deactivating"):
        found.append(("not_up", "is %s (%s)" % (service.active, service.sub)))
    if seen.missing and not service.restarting:
        found.append(("process_missing", "is up, but no process is %s" % ", nor ".join(seen.missing)))
    if seen.probe:
        found.append(("probe_failed", "is up, but does not answer: %s" % seen.probe))
    return found


def told(processes: Sequence[Process]) -> str:
    """Processes for a person. Only their program and script: the rest of a command line may hold a secret."""
    shown = ["pid %d (%s, of %s)" % (process.pid, process.script() or process.argv[0], process.owner) for process in processes[:5]]
    more = " and %d more" % (len(processes) - 5) if len(processes) > 5 else ""
    return "%s%s %s" % (", ".join(shown), more, "runs" if len(processes) == 1 else "run")


def _ending(service: Service) -> str:
    """How it last ended, if the manager tells."""
    parts = ["%d times so far" % service.restarts] if service.restarts else []
    if service.result not in ("", "success"):
        parts.append("last result %s" % service.result)
    if service.exit_code is not None:
        parts.append("last exit code %d" % service.exit_code)
    return " (%s)" % ", ".join(parts) if parts else ""


_REMEDIES = {
    "flapping": "read its log; a service that ends at once with exit code 0 may have found a lock file: remove that only when its process is gone",
    "failed": "read its log (journalctl --unit), mend what it complains of, and start it",
    "probe_failed": "read its log, and restart it",
    "process_missing": "read its log, and restart it",
    "left_running": "find out what they do before they are killed; with force_kill: true this module does it",
    "not_up": "wait, and look again",
    "inactive": "start it",
    "state_unknown": "name its processes, by which it can be told",
}


def diagnose(state: RestartState, wish: Wish) -> List[Finding]:
    findings: List[Finding] = []
    for seen in state.seen:
        if seen.service.known:
            findings += _about(seen, wish, seen.id in state.made)
        else:
            findings.append(_finding(seen, "unknown", "critical", "is no service of this node"))
    if not any(finding.severity in ("warning", "critical") for finding in findings):
        how = "down" if wish.state == "stopped" else "up"
        summary = "%d service%s %s: %s" % (len(state.seen), "s are" if len(state.seen) > 1 else " is", how, ", ".join(seen.id for seen in state.seen))
        findings.append(Finding("node.service.ok", "ok", ", ".join(seen.id for seen in state.seen), summary))
    return findings


def _about(seen: Seen, wish: Wish, made: bool) -> List[Finding]:
    service = seen.service
    found = problems(seen)
    if wish.state == "stopped":
        found = [(code, text) for code, text in found if code == "left_running" or (code == "state_unknown" and not made)]
        if seen.word == UP:
            found = [("active", "is up")]
    # What an earlier stop killed is told as well, until the next start wipes it out.
    killed = seen.killed or ("its processes, because they had not ended in time" if service.result == "timeout" and not service.on else "")
    findings = [_finding(seen, code, "info" if code == "active" else "critical", text) for code, text in found]
    if killed:
        findings.append(_finding(seen, "killed", "warning", "was not stopped cleanly: the last stop killed %s; what it was at may be half done" % killed))
    if service.reload_needed:
        findings.append(_finding(seen, "reload_needed", "warning", "has a changed unit file that systemd has not read: run systemctl daemon-reload first"))
    if wish.state == "stopped" and service.triggered:
        findings.append(_finding(seen, "triggered", "info", "can be started again at any time by %s" % ", ".join(service.triggered)))
    return findings


def _finding(seen: Seen, code: str, severity: str, text: str) -> Finding:
    service = seen.service
    detail: Dict[str, Any] = {"active": service.active, "sub": service.sub, "restarts": service.restarts, "result": service.result}
    detail.update({"exit_code": service.exit_code, "pids": [process.pid for process in seen.running]})
    remedy = Remedy(_REMEDIES[code]) if code in _REMEDIES else None
    return Finding("node.service." + code, severity, seen.id, "%s %s" % (seen.id, text), detail, remedy)


# -- what to do --------------------------------------------------------------------------------------------------------


def plan(state: RestartState, wish: Wish) -> List[Change]:
    """In the order in which it is done; restarts in the order of their starts."""
    open_ = [seen for seen in state.seen if seen.service.known and not (seen.id in state.made and _as_wanted(seen, wish))]
    if wish.state == "started":
        return [_start(seen) for seen in open_ if seen.word in (DOWN, LEFT)]
    if wish.state == "stopped":
        chosen = _with_dependents(open_, {seen.id for seen in open_ if not seen.because_of and seen.word != DOWN})
        return [_stop(seen) for seen in reversed(chosen)]
    wanted = {seen.id for seen in open_ if not seen.because_of and (wish.policy == "always" or problems(seen))}
    return [_start(seen) if seen.word == DOWN else _restart(seen, wish) for seen in _with_dependents(open_, wanted)]


def _as_wanted(seen: Seen, wish: Wish) -> bool:
    return seen.word == DOWN if wish.state == "stopped" else not problems(seen)


def _with_dependents(open_: Sequence[Seen], chosen: set[str]) -> List[Seen]:
    """The chosen ones and, of those that are up, what their stop takes along, whether it was named or not."""
    causes: Dict[str, str] = {}
    stopped = [seen for seen in open_ if seen.id in chosen and seen.word == UP]
    others = [seen for seen in open_ if seen.id not in chosen and seen.word == UP]
    for cause in stopped:  # grows as it is read
        for seen in others:
            if seen.id not in causes and (seen.id in cause.service.stops or seen.because_of == cause.id):
                causes[seen.id] = cause.id
                stopped.append(seen)
    return [replace(seen, because_of=causes.get(seen.id, "")) for seen in open_ if seen.id in chosen or seen.id in causes]


def _restart(seen: Seen, wish: Wish) -> Change:
    wrong = "; ".join(text for _code, text in problems(seen))
    why = "it is asked for" + (", and it %s" % wrong if wrong else "")
    if wish.policy == "unhealthy":
        why = "it " + wrong
    before: Image = {"active": seen.word, "restarted": False}
    return Change("restart", subject(seen.id), before, {"active": UP, "restarted": True}, _reason(seen, why), reversible=False)


def _start(seen: Seen) -> Change:
    why = _reason(seen, "it is down%s" % _ending(seen.service))
    return Change("start", subject(seen.id), {"active": seen.word}, {"active": UP}, why, reversible=seen.word == DOWN)


def _stop(seen: Seen) -> Change:
    why = "it is asked for" if seen.word == UP else "processes of it are left: %s" % told(seen.running)
    return Change("stop", subject(seen.id), {"active": seen.word}, {"active": DOWN}, _reason(seen, why), reversible=seen.word == UP)


def _reason(seen: Seen, why: str) -> str:
    if seen.because_of:
        return "systemd stops it together with %s" % seen.because_of
    along = ", ".join(seen.service.stops)
    return why + ("; stopping it also stops %s where they are up" % along if along else "")


# -- what refuses ------------------------------------------------------------------------------------------------------


def guards(state: RestartState, wish: Wish, changes: Sequence[Change], lock_expiry: float) -> List[Refusal]:
    planned = {change.subject for change in changes}
    refusals = [refusal for refusal in (_refused(seen, wish, subject(seen.id) in planned) for seen in state.seen) if refusal is not None]
    refusals += _ambiguous(state.seen)
    refusals += [
        Refusal(
            "own_service",
            "this module is itself a process of %s, and would be ended half way, before anything was started again." % seen.id,
            "another way to the node, which does not lead through that service.",
        )
        for seen in state.seen
        if seen.own and wish.state != "started" and subject(seen.id) in planned
    ]
    refusals += [
        Refusal(
            "stops_target",
            "stopping %s would stop %s as well, and starting that again would start much more than was stopped." % (id_, target),
            "nothing here; stop it by hand, or take RequiredBy= out of its unit.",
        )
        for id_, target in sorted(state.targets.items())
        if subject(id_) in planned
    ]
    longest = sum(_longest(seen) for seen in state.seen if subject(seen.id) in planned)
    longest += max((settle_time(seen.spec, seen.service) for seen in state.seen), default=0.0)
    if planned and longest >= lock_expiry:
        refusals.append(
            Refusal(
                "lock_expiry",
                "waiting may take %d s in all, and the node's lock expires after %d s, since it is not renewed meanwhile." % (longest, lock_expiry),
                "lock_expiry: %d, or shorter stop_timeout and start_timeout." % (longest + 60),
            )
        )
    return refusals


def _longest(seen: Seen) -> float:
    return stop_limit(seen.spec, seen.service) + seen.spec.start_timeout


def _refused(seen: Seen, wish: Wish, planned: bool) -> Optional[Refusal]:
    service = seen.service
    if not service.known or seen.untold:
        return _unknown(service)
    if not planned:
        return None
    starts = wish.state != "stopped"
    if starts and service.load == "masked":
        return Refusal("masked", "%s is masked: somebody has made sure that it is not started." % seen.id, "systemctl unmask %s, if that was meant." % seen.id)
    if starts and service.load not in ("loaded", "masked"):
        return Refusal("not_loadable", "the unit file of %s cannot be loaded (%s)." % (seen.id, service.load), "mend the file; systemd-analyze verify tells.")
    if not service.manual:
        return Refusal("by_hand", "%s refuses to be started or stopped by hand (RefuseManualStart, RefuseManualStop)." % seen.id, "act on what needs it.")
    if seen.word == LEFT and not wish.force_kill:
        why = "%s is %s, but %s, and no stop of the service reaches that." % (seen.id, service.active, told(seen.running))
        return Refusal("left_running", why, "force_kill: true, which asks it to end and kills it when stop_timeout is over.")
    if service.type == "oneshot" and not service.remains:
        return Refusal("no_daemon", "%s runs once and ends (Type=oneshot), so nothing of it stays up." % seen.id, "nothing; systemctl start runs it.")
    return None


def _unknown(service: Service) -> Refusal:
    if service.known:
        why = "%s of %s does not tell whether it is up, and no process is known by which to tell." % (service.id, service.manager)
        return Refusal("state_unknown", why, "processes of that service: what must run when it is up, and must not when it is down.")
    if service.load == "template":
        return Refusal(
            "unknown_service", "%s is a template, of which units are made." % service.name, "name an instance: %s." % service.id.replace("@.", "@NAME.")
        )
    return Refusal("unknown_service", "%s knows no service %s." % (service.manager, service.name), "correct services; the names are those of the manager.")


def _ambiguous(all_: Sequence[Seen]) -> List[Refusal]:
    names: Dict[str, List[str]] = {}
    for seen in all_:
        if not seen.because_of:
            names.setdefault(seen.id, []).append(seen.spec.name)
    return [
        Refusal("ambiguous", "%s name the same unit %s." % (" and ".join(named), id_), "name it once.")
        for id_, named in sorted(names.items())
        if len(named) > 1
    ]
