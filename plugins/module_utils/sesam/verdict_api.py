# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API of a node tells of it, or that it tells nothing. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from ..procedure.envelope import Finding, Remedy
from .state import Api, Limits, NodeState, Unanswered
from .times import ago

FILE = "sesam.rst"
TRACES = (FILE, "Getting a stacktrace of all the threads in the node")
WHOLE = (FILE, "Low-level debugging")
FROZEN, DOWN, STARTING, UNWELL, UNKNOWN, RUNNING = "frozen", "down", "starting", "unwell", "unknown", "running"
_FROZEN = "fieldops.runbooks.sesam_frozen"
_REPAIR = {"sesam_repair": True}
_ALWAYS = {**_REPAIR, "sesam_frozen_restart": "always"}
_EVIDENCE = Remedy("keep stack traces, logs and the container's state, then restart it and see that it has come back", _FROZEN, _REPAIR)
_NOBODY = ("refused", "closed")
_GATEWAY = (502, 504)


def condition(state: NodeState) -> str:
    """One word for the node: how its API answers, and what it says of its health."""
    api = state.api
    if is_frozen(state):
        return FROZEN
    if is_down(api):
        return DOWN
    if is_starting(api):
        return STARTING
    if api.health is None or api.health.well is None:
        return UNKNOWN
    return RUNNING if api.health.well else UNWELL


def is_frozen(state: NodeState) -> bool:
    """It takes connections and does not answer. The health counts by itself: what answers /ping only may be as frozen."""
    hanging = state.api.of("timeout")
    if not hanging or (state.api.ping and all(each.part != "health" for each in hanging)):
        return False
    # With its queue full, the kernel does not even take the connection for a process that is stopped.
    running = state.host.process is not None or (state.host.container is not None and state.host.container.running)
    return any(each.connected for each in hanging) or running


def is_down(api: Api) -> bool:
    nobody = any(each.cause in _NOBODY and each.status is None for each in api.of("unreachable"))
    return nobody or any(each.status in _GATEWAY for each in api.of("unavailable"))


def is_starting(api: Api) -> bool:
    """503 to what has nothing to do with its health."""
    return any(each.status == 503 for each in api.of("unavailable"))


def judge_api(state: NodeState, limits: Limits) -> List[Finding]:
    """The worst first. What follows from another finding is not told again."""
    found = [*_silence(state), *_starting(state, limits), *_refused(state.api), *_address(state.api), *_errors(state.api)]
    if condition(state) in (UNWELL, UNKNOWN) and state.api.health is not None:
        found.append(_health(state.api))
    return found


def _silence(state: NodeState) -> List[Finding]:
    api = state.api
    if is_frozen(state):
        return [_frozen(state)]
    if is_down(api):
        return [_down(state)]
    hanging = api.of("timeout")
    if not hanging:
        return []
    if api.ping:
        text = "%s of %s is not answered in time, though other questions are" % (_paths(hanging), api.url)
        remedy = Remedy("see in a stack trace what the node waits for, before it is restarted (sesam_stacktrace)")
        return [Finding("sesam.api.hangs", "critical", api.url, text, _detail(hanging), remedy, TRACES)]
    return [_nowhere(api, hanging)]


def _frozen(state: NodeState) -> Finding:
    api, hanging = state.api, state.api.of("timeout")
    text = "the node is frozen: its API takes connections and does not answer %s" % _paths(hanging)
    if api.ping:
        text = "the node is frozen: its API does not answer %s; that /ping is answered proves only that somebody listens" % _paths(hanging)
    container, process = state.host.container, state.host.process
    if container is not None and container.paused:
        text = "the node does not answer, since its container %s is paused" % container.name
    elif process is not None and process.state in ("T", "t"):
        text = "the node does not answer, since its process %d is stopped" % process.pid
    detail = dict(_detail(hanging), ping=api.ping, process_state=process.state if process else None, container=container.name if container else None)
    return Finding("sesam.api.frozen", "critical", api.url, text, detail, _EVIDENCE, TRACES)


def _down(state: NodeState) -> Finding:
    api, container = state.api, state.host.container
    first = next(each for each in api.of("unreachable", "unavailable"))
    if container is None:
        text = "nobody answers for the node at %s: %s" % (api.url, first.text)
        remedy = Remedy("see whether its container runs (docker ps -a), and why it ended (docker logs)")
    elif container.running:
        text = "container %s runs, and nobody answers for the node at %s: it is starting, its process has ended, or it listens elsewhere" % (
            container.name,
            api.url,
        )
        remedy = Remedy("see the end of node.log; restart it with what explains the fault kept, if it does not come back", _FROZEN, _ALWAYS)
    else:
        text = "the node is down: container %s is %s" % (container.name, container.status)
        remedy = Remedy("see why it ended (docker logs %s, node.log), then start it: docker start %s" % (container.name, container.name))
    return Finding("sesam.api.down", "critical", api.url, text, _detail([first]), remedy, WHOLE)


def _starting(state: NodeState, limits: Limits) -> List[Finding]:
    if is_down(state.api) or is_frozen(state) or not is_starting(state.api):
        return []
    container = state.host.container
    age = None if container is None or container.started_at is None else state.now - container.started_at
    young = age is not None and age <= limits.settle
    since = "" if age is None else ", %s after its container was started" % ago(age)
    text = "the node answers everything with 503%s: %s" % (since, "it is starting" if young else "it is starting, or does not get any further")
    remedy = Remedy("wait, and look again" if young else "see the end of node.log for what it waits for", None)
    detail = dict(_detail(state.api.of("unavailable")), age=age)
    return [Finding("sesam.api.starting", "warning" if young else "critical", state.api.url, text, detail, remedy, WHOLE)]


def _refused(api: Api) -> List[Finding]:
    """One finding for each way not to be let in."""
    found = []
    for status, code in ((401, "unauthorized"), (403, "forbidden")):
        word = code
        refused = [each for each in api.of("auth") if each.status == status]
        if not refused:
            continue
        text = "the token is not valid for the node at %s (401): it has expired, or is of another node; nothing is known of %s"
        remedy = Remedy("get a new one in the portal (Settings, API JSON Web Tokens), and pass it as jwt")
        if status == 403:
            text = "the token may not ask the node at %s for this (403): nothing is known of %s"
            remedy = Remedy("pass a token with the role group:Admin as jwt")
        elif not api.authenticates:
            word, text = "token_missing", "the node at %s wants a token (401), and none was passed as jwt: nothing is known of %s"
        severity = "critical" if any(each.part in ("health", "status") for each in refused) else "warning"
        parts = ", ".join(each.part for each in refused)
        found.append(Finding("sesam.api.%s" % word, severity, api.url, text % (api.url, parts), _detail(refused), remedy, WHOLE))
    return found


def _address(api: Api) -> List[Finding]:
    """What is there is not the API, or not to be reached."""
    wrong = [each for each in api.of("unreachable") if each.cause not in _NOBODY] + list(api.of("tls", "redirect"))
    return [_nowhere(api, wrong)] if wrong else []


def _nowhere(api: Api, wrong: Sequence[Unanswered]) -> Finding:
    remedy = Remedy("check api_url, the name and the port in it, and for TLS ca_cert")
    return Finding("sesam.api.unreachable", "critical", api.url, "nothing is known of the node: %s" % wrong[0].text, _detail(wrong), remedy, WHOLE)


def _errors(api: Api) -> List[Finding]:
    """Questions that failed by themselves."""
    broken = [each for each in api.of("unreachable") if each.status is not None and each.cause in _NOBODY]
    failed = [*broken, *api.of("bad_request", "not_found", "server_error", "not_json", "too_long", "conflict")]
    remedy = Remedy("see node.log at this time; if what answers is no node, check api_url")
    return [
        Finding("sesam.api.error", "warning", each.path, "nothing is known of %s: %s" % (each.part, each.text), _detail([each]), remedy, WHOLE)
        for each in failed
    ]


def _health(api: Api) -> Finding:
    health = api.health
    if health is None:
        raise ValueError("there is no answer to be judged")
    if health.well is None:
        text = "what answers for the health of the node at %s is not the node: status %d, and no JSON object" % (api.url, health.status)
        remedy = Remedy("check api_url: a proxy, or a page to log in, may be in between")
        return Finding("sesam.health.unknown", "critical", api.url, text, {"status": health.status}, remedy, WHOLE)
    text = "the node is not well: it says so of itself (status %d)%s" % (health.status, _words(health.body))
    remedy = Remedy("see what it names, node_health.log and the end of node.log; take a stack trace before anything is restarted (sesam_stacktrace)")
    return Finding("sesam.health.unwell", "critical", api.url, text, {"status": health.status, "body": health.body}, remedy, TRACES)


def _words(body: Any) -> str:
    """What of it a person may want to read; the keys are not known."""
    if not isinstance(body, dict):
        return ""
    rows = ["%s: %s" % (key, _short(value)) for key, value in body.items() if value not in (None, "", [], {})]
    return ": %s" % "; ".join(rows[:4]) if rows else ""


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _paths(unanswered: Sequence[Unanswered]) -> str:
    return ", ".join("/%s" % each.path for each in unanswered)


def _detail(unanswered: Sequence[Unanswered]) -> Dict[str, Any]:
    status: Optional[int] = unanswered[0].status
    return {"paths": [each.path for each in unanswered], "kind": unanswered[0].kind, "cause": unanswered[0].cause, "status": status, "said": unanswered[0].text}
