# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stack trace is to be had of a node, what that says about the node, and what refuses. Pure: no I/O.

The API gives one without touching anything. The signal is a change, if a harmless one: the node writes a file and renames the older ones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..procedure.envelope import Change, Finding, Remedy
from ..procedure.errors import Refusal
from .container import Container
from .process import NodeProcess
from .stacktrace_files import Trace

RUNBOOK = ("sesam.rst", "Getting a stacktrace of all the threads in the node")
HEALTH_CHECKER = ("sesam.rst", "Checking if the health-checker thread in the node has created a stacktrace")
SIGUSR1 = 10
API, SIGNAL, LEFT = "api", "signal", "left"
SILENT = frozenset(("timeout", "unreachable", "unavailable", "server_error", "not_found", "not_html"))
"""Kinds of an API that does not give a stack trace, whatever it is asked."""
AUTH = "auth"
_OLDER_SHOWN = 20


@dataclass(frozen=True)
class Wish:
    method: str
    count: int = 1
    interval: float = 5.0
    timeout: float = 30.0
    max_bytes: int = 10485760
    signal_without_admin: bool = False
    max_age: float = 0.0


@dataclass(frozen=True)
class Asked:
    """What the API answered. ``kind`` is empty when it gave a stack trace."""

    kind: str = ""
    text: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Kept:
    """A stack trace that was copied. ``original`` is where the node wrote it, by signal."""

    path: str
    source: str
    bytes: Optional[int]
    """Its size; None where the API did not tell, and more was to come."""
    kept: int
    sha256: str
    taken: str
    seconds: float = 0.0
    original: Optional[str] = None
    others: int = 0
    """Further ones that came at the same time: the node's health checker writes them too."""

    @property
    def truncated(self) -> bool:
        return self.bytes is None or self.kept < self.bytes

    def shown(self) -> Dict[str, Any]:
        return {
            "path": self.path,
            "source": self.source,
            "bytes": self.bytes,
            "kept_bytes": self.kept,
            "truncated": self.truncated,
            "sha256": self.sha256,
            "taken": self.taken,
            "seconds": self.seconds,
            "original": self.original,
            "others": self.others,
        }


@dataclass(frozen=True)
class StacktraceState:
    """``asked`` is None where the API is not to be asked; ``unfit`` says why no process can be signalled."""

    asked: Optional[Asked] = None
    container: Optional[Container] = None
    process: Optional[NodeProcess] = None
    unfit: str = ""
    folder: str = ""
    left: Tuple[Trace, ...] = ()
    age: float = 0.0
    """Seconds since the newest of those was written."""
    kept: Tuple[Kept, ...] = ()
    made: int = 0
    """Signals that this run has sent."""
    failed: str = ""
    """Why the last one gave nothing."""
    url: str = ""
    """The API's, which is what a finding about it is about."""


def way(state: StacktraceState, wish: Wish) -> Tuple[str, str]:
    """``api``, ``signal``, ``left`` where one that is there will do, or nothing; and why."""
    chosen, why = _asked_way(state, wish)
    if chosen == SIGNAL and state.left and state.age <= wish.max_age and not state.made:
        return LEFT, "%s; one that is %.0f s old is there" % (why, state.age)
    return chosen, why


def _asked_way(state: StacktraceState, wish: Wish) -> Tuple[str, str]:
    if wish.method == SIGNAL:
        return SIGNAL, "it is asked for"
    asked = state.asked or Asked()
    if not asked.kind:
        return API, "the API answers" if wish.method == "auto" else "it is asked for"
    if wish.method == API:
        return "", "the API gives none: %s" % asked.text
    if asked.kind in SILENT:
        return SIGNAL, "the API gives none: %s" % asked.text
    if asked.kind == AUTH and wish.signal_without_admin:
        return SIGNAL, "the API wants another token, and the signal is allowed then: %s" % asked.text
    return "", "the API answers, and refuses: %s" % asked.text


def subject(container: str, number: int) -> str:
    return "container:%s/stacktrace-%d" % (container, number)


def plan(state: StacktraceState, wish: Wish) -> List[Change]:
    chosen, why = way(state, wish)
    if chosen != SIGNAL or state.container is None:
        return []
    whom = "pid %d, which catches it" % state.process.pid if state.process else "its process"
    reason = "SIGUSR1 to %s: %s" % (whom, why)
    return [
        Change("signal", subject(state.container.name, number), {"written": False}, {"written": True}, reason, reversible=False)
        for number in range(state.made + 1, wish.count + 1)
    ]


def guards(state: StacktraceState, wish: Wish, lock_expiry: float) -> List[Refusal]:
    chosen, why = way(state, wish)
    if not chosen:
        return [_no_way(state, why)]
    if chosen in (API, LEFT):
        return []
    refusals = []
    process = state.process
    if process is None:
        refusals.append(Refusal("process", "%s; %s." % (why, state.unfit or "no process of the node was found"), "start it, or name the right one: container."))
    elif not process.handles_sigusr1:
        reason = "pid %d does not catch SIGUSR1, which would %s." % (process.pid, _harm(process))
        if process.ignored & 1 << (SIGUSR1 - 1):
            reason = "pid %d ignores SIGUSR1, and would write nothing." % process.pid
        refusals.append(Refusal("not_caught", reason, "nothing. Where it was started just now, wait and try again; else look at %s." % _program(process)))
    if not state.folder and process is not None:
        refusals.append(Refusal("log_folder", state.unfit or "the log folder is not known.", "name it: log_folder."))
    if state.container is not None and state.container.paused:
        refusals.append(Refusal("paused", "container %s is paused, and would not take a signal." % state.container.name, "docker unpause, if it may run."))
    longest = wish.count * (wish.timeout + wish.interval)
    if not refusals and longest >= lock_expiry:
        reason = "waiting may take %d s in all, and the node's lock expires after %d s." % (longest, lock_expiry)
        refusals.append(Refusal("lock_expiry", reason, "lock_expiry: %d, or a smaller count or timeout." % (longest + 60)))
    return refusals


def _harm(process: NodeProcess) -> str:
    """The kernel protects the first process of a container from signals that it does not know, and no other."""
    return "be lost" if process.first else "end it"


def _program(process: NodeProcess) -> str:
    return process.process.script() or process.process.argv[0]


def _no_way(state: StacktraceState, why: str) -> Refusal:
    asked = state.asked or Asked()
    if asked.kind == AUTH:
        allow = "a jwt that grants group:Admin; or signal_without_admin: true, to send SIGUSR1 although the API works."
        return Refusal("admin", "%s. The endpoint needs a token with the role group:Admin." % why.rstrip("."), allow)
    if asked.kind in SILENT:
        return Refusal("api_silent", why.rstrip(".") + ".", "method: auto, which sends SIGUSR1 then.")
    return Refusal("api", why.rstrip(".") + ".", "mend what it says of the request; or method: signal.")


# -- findings ----------------------------------------------------------------------------------------------------------


def diagnose(state: StacktraceState, wish: Wish) -> List[Finding]:
    findings = list(_of_api(state)) + list(_of_process(state, wish))
    name = state.container.name if state.container else "node"
    if state.kept:
        findings.append(_taken(state, name))
    if state.failed:
        findings.append(
            Finding(
                "sesam.stacktrace.none",
                "warning",
                name,
                "no stack trace came of %s: %s" % (name, state.failed),
                {"seconds": wish.timeout, "state": state.process.state if state.process else None},
                Remedy("its process hangs as well: keep the evidence and restart it", "fieldops.runbooks.sesam_frozen", {"sesam_repair": True}),
                RUNBOOK,
            )
        )
    if state.left:
        findings.append(_left(state))
    return findings


def _of_api(state: StacktraceState) -> List[Finding]:
    asked = state.asked
    if asked is None or not asked.kind:
        return []
    detail = {"kind": asked.kind, "seconds": asked.seconds}
    if asked.kind in SILENT:
        word = {"timeout": "frozen", "unreachable": "down"}.get(asked.kind, "no_stacktrace")
        summary = {
            "frozen": "the API takes connections and does not answer: %s",
            "down": "the API is not there: %s",
            "no_stacktrace": "the API answers, but gives no stack trace: %s",
        }[word]
        severity = "warning" if word == "no_stacktrace" else "critical"
        always = {"sesam_frozen_restart": "always"} if word == "down" else {}
        remedy = Remedy("take the evidence and restart the node", "fieldops.runbooks.sesam_frozen", dict(always, sesam_repair=True))
        return [Finding("sesam.api." + word, severity, state.url, summary % asked.text, detail, remedy, RUNBOOK)]
    if asked.kind == AUTH:
        remedy = Remedy("pass a jwt that grants the role group:Admin; the portal gives one to administrators of the subscription")
        return [
            Finding("sesam.api.needs_admin", "warning", state.url, "the API wants a token with the role group:Admin: %s" % asked.text, detail, remedy, RUNBOOK)
        ]
    return [Finding("sesam.api.refused", "warning", state.url, "the API gives no stack trace: %s" % asked.text, detail, None, RUNBOOK)]


def _of_process(state: StacktraceState, wish: Wish) -> List[Finding]:
    if way(state, wish)[0] != SIGNAL or state.container is None:
        return []
    process, name = state.process, state.container.name
    if process is None:
        return [Finding("sesam.process.unseen", "warning", name, state.unfit or "the process of %s is not known" % name, {}, None, RUNBOOK)]
    detail = process_detail(process)
    if not process.handles_sigusr1:
        summary = "%s (pid %d) does not catch SIGUSR1: the signal would %s" % (_program(process), process.pid, _harm(process))
        return [Finding("sesam.process.not_caught", "warning", name, summary, detail, Remedy("do not send it; take the other evidence"), RUNBOOK)]
    if process.state in ("T", "t", "D") or state.container.paused:
        word = {"D": "waits for a disk or a network file system, and cannot be interrupted"}.get(process.state, "is stopped")
        summary = "%s (pid %d) %s: it takes the signal only when it runs again" % (_program(process), process.pid, word)
        return [Finding("sesam.process.stopped", "warning", str(process.pid), summary, detail, None, RUNBOOK)]
    return []


def process_detail(process: NodeProcess) -> Mapping[str, Any]:
    return {
        "pid": process.pid,
        "program": _program(process),
        "owner": process.process.owner,
        "first": process.first,
        "state": process.state,
        "catches_sigusr1": process.handles_sigusr1,
        "threads": process.threads,
    }


def _taken(state: StacktraceState, name: str) -> Finding:
    cut = [kept for kept in state.kept if kept.truncated]
    summary = "%d stack trace%s taken by %s: %s" % (
        len(state.kept),
        " was" if len(state.kept) == 1 else "s were",
        state.kept[0].source,
        ", ".join(kept.path for kept in state.kept),
    )
    if cut:
        summary += "; %d cut to max_bytes" % len(cut)
    return Finding("sesam.stacktrace.taken", "warning" if cut else "ok", name, summary, {"truncated": len(cut)}, None, RUNBOOK)


def _left(state: StacktraceState) -> Finding:
    newest = state.left[0]
    summary = "%d stack traces were in the log folder before, the newest of %s" % (len(state.left), _utc(newest.modified))
    return Finding("sesam.stacktrace.left", "info", state.folder, summary, {"names": [trace.name for trace in state.left[:_OLDER_SHOWN]]}, None, HEALTH_CHECKER)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
