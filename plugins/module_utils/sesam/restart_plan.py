# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a node is to be restarted, what refuses that, and what is to be said about it. Pure: no I/O.

The image of a node says only whether it runs and was restarted. Ids, pids and times move by themselves, and a plan that somebody has approved
must still be the same plan a minute later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ..procedure.envelope import Change, Finding, Remedy
from ..procedure.errors import Refusal
from .container import Container
from .process import NodeProcess
from .restart import API, AUTO, CONTAINER, OK, UNKNOWN, UNWELL, Manner, Restarted, api_words, how

RUNBOOK = ("sesam.rst", "Getting a stacktrace of all the threads in the node")
FROZEN = Remedy("take stack traces, then restart it", "fieldops.runbooks.sesam_frozen", {"sesam_repair": True})
DOWN = Remedy("keep what explains it, then start it", "fieldops.runbooks.sesam_frozen", {"sesam_repair": True, "sesam_frozen_restart": "always"})
_NAMED = 10
_EVIDENCE_TIME = 60.0


@dataclass(frozen=True)
class ApiSeen:
    """What the API said. ``kind`` is empty when it answers; ``status_kind`` when it tells its start time."""

    kind: str = ""
    text: str = ""
    start_time: Optional[str] = None
    status_kind: str = ""
    version: Optional[str] = None
    health: str = UNKNOWN
    health_text: str = ""
    running: Optional[Tuple[str, ...]] = None
    """Pipes that run now; None where that cannot be told."""


@dataclass(frozen=True)
class Wish:
    manner: Manner
    policy: str = "always"
    allow_running_pipes: bool = False
    evidence: bool = True


@dataclass(frozen=True)
class RestartState:
    api: ApiSeen
    url: str
    container: Optional[Container] = None
    process: Optional[NodeProcess] = None
    unfit: str = ""
    """Why the container or its process is not known."""
    made: Optional[Restarted] = None
    failed: str = ""


def subject(state: RestartState) -> str:
    return "container:%s" % state.container.name if state.container is not None else "node:%s" % state.url


def trouble(state: RestartState) -> str:
    """Why a node does not work, in words; empty for one that does."""
    container = state.container
    if container is not None and container.restarting:
        return "it flaps: it has ended and is started again%s" % how(container)
    if container is not None and container.paused:
        return "its container is paused"
    if container is not None and not container.running:
        return "its container is %s%s" % (container.status, how(container))
    if state.api.kind:
        return "the API %s" % api_words(state.api.kind)
    if state.api.health == UNWELL:
        return "it is unwell"
    return ""


def plan(state: RestartState, wish: Wish) -> List[Change]:
    if state.made is not None:
        return []
    wrong = trouble(state)
    if wish.policy == "unhealthy" and not wrong:
        return []
    runs = state.container is None or state.container.running or state.container.restarting
    why = "it is asked for" if wish.policy == "always" else ""
    reason = "%s, by %s" % (", and ".join(filter(None, [why, wrong])), way(state, wish)[1])
    action = "restart" if runs else "start"
    return [Change(action, subject(state), {"running": runs, "restarted": False}, {"running": True, "restarted": True}, reason, reversible=False)]


def way(state: RestartState, wish: Wish) -> Tuple[str, str]:
    """``api``, ``container`` or nothing, and that in words."""
    method = wish.manner.method
    api = not state.api.kind and state.api.start_time is not None
    if method == CONTAINER or (method == AUTO and state.container is not None and not api):
        return (CONTAINER, "the engine") if state.container is not None else ("", "nothing")
    return (API, "its API") if api else ("", "nothing")


def guards(state: RestartState, wish: Wish, changes: Sequence[Change], lock_expiry: float) -> List[Refusal]:
    if not changes:
        return []
    refusals = []
    if not way(state, wish)[0]:
        refusals.append(_no_way(state, wish))
    if state.api.running and not wish.allow_running_pipes:
        named = ", ".join(state.api.running[:_NAMED])
        more = " and %d more" % (len(state.api.running) - _NAMED) if len(state.api.running) > _NAMED else ""
        reason = "%d pipes run now, and their runs would be cut off: %s%s." % (len(state.api.running), named, more)
        refusals.append(Refusal("running_pipes", reason, "wait until they are done, or stop them; or allow_running_pipes: true."))
    longest = wish.manner.timeout + (_EVIDENCE_TIME if wish.evidence else 0.0)
    if longest >= lock_expiry:
        reason = "it may take %d s in all, and the node's lock expires after %d s." % (longest, lock_expiry)
        refusals.append(Refusal("lock_expiry", reason, "lock_expiry: %d, or a shorter timeout." % (longest + 60)))
    return refusals


def _no_way(state: RestartState, wish: Wish) -> Refusal:
    if wish.manner.method == CONTAINER:
        return Refusal("container", "%s." % (state.unfit or "there is no container").rstrip("."), "name it: container; or method: api.")
    kind = state.api.kind or state.api.status_kind
    reason = "the API %s, so that it cannot be asked for a restart that could be proven%s." % (
        api_words(kind),
        ": %s" % state.api.text.rstrip(".") if state.api.text else "",
    )
    if kind == "auth":
        return Refusal("admin", reason, "a jwt that grants group:Admin; or method: container.")
    if state.container is None:
        return Refusal("no_way", "%s And the container is not known: %s." % (reason, (state.unfit or "none").rstrip(".")), "name it: container.")
    return Refusal("api_silent", reason, "method: auto or container.")


# -- findings ----------------------------------------------------------------------------------------------------------


def diagnose(state: RestartState, wish: Wish) -> List[Finding]:
    name = state.container.name if state.container is not None else state.url
    findings = list(_of_container(state, name)) + list(_of_api(state))
    if state.failed:
        text = "%s was restarted, and is not known to work: %s" % (name, state.failed)
        findings.append(Finding("sesam.restart.failed", "critical", name, text, {}, Remedy("read node.log and the log of the container"), RUNBOOK))
    if state.made is not None:
        findings.append(_made(state.made, name))
    if not any(finding.severity in ("warning", "critical") for finding in findings):
        findings.append(Finding("sesam.node.answers", "ok", name, "%s runs and its API answers" % name, {"start_time": state.api.start_time}))
    return findings


def _of_container(state: RestartState, name: str) -> List[Finding]:
    container = state.container
    if container is None:
        return []
    detail = container_shown(container)
    if container.restarting:
        text = "%s flaps: it has ended and is started again%s" % (name, how(container))
        return [Finding("sesam.container.flapping", "critical", name, text, detail, Remedy("read its log; a pipe may be the cause: stop the scheduler"))]
    if container.paused:
        return [Finding("sesam.container.paused", "critical", name, "%s is paused" % name, detail, Remedy("docker unpause"))]
    if not container.running:
        return [Finding("sesam.container.down", "critical", name, "%s does not run: it is %s%s" % (name, container.status, how(container)), detail, DOWN)]
    if state.process is None and state.unfit:
        return [Finding("sesam.process.unseen", "warning", name, state.unfit, detail)]
    return []


def _of_api(state: RestartState) -> List[Finding]:
    """About the same subjects as in a look, which clears them when it sees that they are mended."""
    api = state.api
    if api.kind == "timeout":
        return [
            Finding(
                "sesam.api.frozen", "critical", state.url, "the API takes connections and does not answer: %s" % api.text, {"kind": api.kind}, FROZEN, RUNBOOK
            )
        ]
    if api.kind:
        return [Finding("sesam.api.down", "critical", state.url, "the API is not there: %s" % api.text, {"kind": api.kind}, DOWN, RUNBOOK)]
    findings = []
    if api.status_kind == "auth":
        text = "the API answers and does not let us in: what runs there is not known"
        findings.append(Finding("sesam.api.needs_admin", "warning", state.url, text, {}, Remedy("pass a jwt that grants the role group:Admin")))
    if api.health == UNWELL:
        findings.append(Finding("sesam.health.unwell", "warning", state.url, "the node says that it is unwell: %s" % (api.health_text or "503"), {}))
    if api.running:
        text = "%d pipes run: %s" % (len(api.running), ", ".join(api.running[:_NAMED]))
        findings.append(Finding("sesam.pipes.running", "info", state.url, text, {"pipes": list(api.running[:100])}))
    return findings


def _made(made: Restarted, name: str) -> Finding:
    proof = {
        "node_start_time": "its start time changed from %s to %s" % (made.before, made.after),
        "container": "its container was started anew and the API answers",
    }[made.proof]
    text = "%s was restarted by %s in %.0f s: %s" % (name, "the engine" if made.method == CONTAINER else "its API", made.seconds, proof)
    if made.health != OK:
        text += "; its health is %s" % made.health
    return Finding(
        "sesam.restart.done", "ok" if made.health == OK else "warning", name, text, {"proof": made.proof, "health": made.health, "notes": list(made.notes)}
    )


def container_shown(container: Container) -> Dict[str, Any]:
    return {
        "name": container.name,
        "id": container.id,
        "image": container.image,
        "status": container.status,
        "started": utc(container.started_at),
        "restarts": container.restart_count,
        "exit_code": container.exit_code,
        "oom_killed": container.oom_killed,
        "pid": container.pid,
    }


def restarted_shown(made: Optional[Restarted]) -> Optional[Mapping[str, Any]]:
    if made is None:
        return None
    return {
        "method": made.method,
        "why": made.why,
        "proof": made.proof,
        "start_time_before": made.before,
        "start_time_after": made.after,
        "health": made.health,
        "seconds": made.seconds,
        "notes": list(made.notes),
    }


def utc(seconds: Optional[float]) -> Optional[str]:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if seconds else None
