# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine of a node tells of it: container, process, files, space. Pure."""

from __future__ import annotations

from typing import Dict, List

from ..procedure.envelope import Finding, Remedy
from .container import Container
from .state import Limits, NodeState, Space
from .times import ago
from .verdict_api import FILE, TRACES, WHOLE

CHECKER = (FILE, "Checking if the health-checker thread in the node has created a stacktrace")
PROFILING = (FILE, "Profiling all Sesam API calls")
_PROFILE = "fieldops.runbooks.sesam_profile"
_PROFILER_OFF = {"sesam_repair": True, "sesam_profile_all_calls": True, "sesam_profile_state": "disabled"}
_SWITCH = "fieldops.runbooks.sesam_scheduler"
_OFF = {"sesam_repair": True, "sesam_scheduler_state": "disabled"}
_SILENT = 3600.0
_CRITICAL_SHARE = 0.3
"""Of what is worth a warning."""


def judge_host(state: NodeState, limits: Limits) -> List[Finding]:
    """All that was looked at, and what could not be."""
    machine = [*_unseen(state), *_container(state, limits), *_process(state)]
    return [*machine, *_traces(state, limits), *_health_log(state), *_profiler(state, limits), *_space(state, limits)]


def _unseen(state: NodeState) -> List[Finding]:
    """One finding for each reason."""
    reasons: Dict[str, List[str]] = {}
    for part, reason in state.host.missing.items():
        reasons.setdefault(reason, []).append(part)
    found = []
    for reason, parts in reasons.items():
        code = "sesam.container.unseen" if "container" in parts else "sesam.files.unseen"
        text = "not looked at: %s. %s" % (", ".join(parts), reason)
        remedy = Remedy("give the right that is missing, or name what was not found (container, data_folder, log_folder)")
        found.append(Finding(code, "warning", parts[0], text, {"parts": parts, "reason": reason}, remedy, WHOLE))
    return found


def _container(state: NodeState, limits: Limits) -> List[Finding]:
    container = state.host.container
    if container is None or "container" not in state.parts:
        return []
    found = []
    detail = {"status": container.status, "exit_code": container.exit_code, "restarts": container.restart_count, "oom_killed": container.oom_killed}
    if container.oom_killed:
        text = "container %s was ended for want of memory" % container.name
        remedy = Remedy("see which pipes use the memory (turn the scheduler off, run them one by one), or give it more", _SWITCH, _OFF)
        found.append(Finding("sesam.container.out_of_memory", "critical", container.name, text, detail, remedy, WHOLE))
    if not container.running or container.restarting:
        text = "container %s does not run: it is %s%s" % (container.name, container.status, _ended(container))
        remedy = Remedy("see why it ended (docker logs %s, node.log) before it is started" % container.name)
        found.append(Finding("sesam.container.down", "critical", container.name, text, detail, remedy, WHOLE))
    elif container.paused:
        text = "container %s is paused: nothing in it runs" % container.name
        remedy = Remedy("docker unpause %s, when whoever paused it is done" % container.name)
        found.append(Finding("sesam.container.paused", "critical", container.name, text, detail, remedy, WHOLE))
    found += _young(state, container, limits)
    if container.health == "unhealthy":
        text = "the engine calls container %s unhealthy, by the check of its image" % container.name
        found.append(
            Finding("sesam.container.unhealthy", "warning", container.name, text, detail, Remedy("see docker inspect %s, State.Health" % container.name), WHOLE)
        )
    return found


def _ended(container: Container) -> str:
    code = "" if container.exit_code is None else " with exit code %s" % container.exit_code
    return code + (" (%s)" % container.error if container.error else "")


def _young(state: NodeState, container: Container, limits: Limits) -> List[Finding]:
    """Started again by the engine, and not long ago."""
    age = None if container.started_at is None else state.now - container.started_at
    if not container.restart_count or age is None or age > limits.settle:
        return []
    text = "the engine has restarted container %s %d times, the last time %s ago" % (container.name, container.restart_count, ago(age))
    remedy = Remedy("see the end of docker logs and node.log for why it ended; with the scheduler off it may stay", _SWITCH, _OFF)
    detail = {"restarts": container.restart_count, "age": round(age, 1)}
    return [Finding("sesam.container.restarts", "warning", container.name, text, detail, remedy, WHOLE)]


def _process(state: NodeState) -> List[Finding]:
    host = state.host
    if "container" not in state.parts or host.container is None or not host.container.running:
        return []
    process = host.process
    if process is None:
        text = "the node's process was not found: %s" % host.process_problem
        remedy = Remedy("look again when it has started; run it as root on the machine of the container")
        return [Finding("sesam.process.unseen", "warning", host.container.name, text, {"reason": host.process_problem}, remedy, TRACES)]
    detail = {"pid": process.pid, "state": process.state, "first": process.first, "threads": process.threads}
    if process.state in ("T", "t"):
        text = "the node's process %d is stopped by a signal or a debugger: it does nothing" % process.pid
        return [
            Finding(
                "sesam.process.stopped",
                "critical",
                str(process.pid),
                text,
                detail,
                Remedy("let it go on (kill -CONT %d), when whoever stopped it is done" % process.pid),
                TRACES,
            )
        ]
    if not process.handles_sigusr1:
        text = "the node's process %d does not catch SIGUSR1: the signal would end it, and give no stack trace" % process.pid
        return [Finding("sesam.process.no_signal", "info", str(process.pid), text, detail, Remedy("take stack traces by the API alone"), TRACES)]
    return []


def _traces(state: NodeState, limits: Limits) -> List[Finding]:
    traces = state.host.traces
    if traces is None or not traces.count:
        return []
    newest = max(traces.files, key=lambda each: each.modified)
    age = state.now - newest.modified
    recent = sum(1 for each in traces.files if state.now - each.modified <= limits.trace_age)
    text = "%d stack traces were left in the log folder, the newest %s ago: the node did not hear itself then, or somebody asked for one" % (
        traces.count,
        ago(age),
    )
    remedy = Remedy("read it for what all threads wait for, and node_health.log at its time for why")
    detail = {"count": traces.count, "recent": recent, "newest": newest.path, "age": round(age, 1)}
    return [Finding("sesam.stacktrace.left", "warning" if recent else "info", newest.path, text, detail, remedy, CHECKER)]


def _health_log(state: NodeState) -> List[Finding]:
    log = state.host.health_log
    if log is None:
        return []
    if not log.exists:
        text = "there is no %s: the health checker of the node has written nothing" % log.path
        return [Finding("sesam.health_log.absent", "info", log.path, text, {}, Remedy("check log_folder"), CHECKER)]
    found = []
    if log.failures:
        since = "" if log.last_failure is None else ", the last one %s ago" % ago(state.now - log.last_failure)
        text = "the node's own health check has failed %d times%s: %s" % (log.failures, since, log.lines[-1] if log.lines else "")
        detail = {"failures": log.failures, "lines": list(log.lines), "complete": log.complete}
        remedy = Remedy("see the stack traces of these times, and node.log")
        found.append(Finding("sesam.health_log.failures", "warning", log.path, text, detail, remedy, CHECKER))
    age = None if log.modified is None else state.now - log.modified
    container = state.host.container
    if age is not None and age > _SILENT and (container is None or container.running):
        text = "the health checker of the node has not written for %s" % ago(age)
        remedy = Remedy("see whether the node runs; with a thread that hangs, a stack trace shows it (sesam_stacktrace)")
        found.append(Finding("sesam.health_log.silent", "warning", log.path, text, {"age": round(age, 1)}, remedy, CHECKER))
    return found


def _profiler(state: NodeState, limits: Limits) -> List[Finding]:
    profiler = state.host.profiler
    if profiler is None:
        return []
    size = (profiler.size or 0) + profiler.pump_size
    detail = {"enabled": profiler.enabled, "folder": profiler.folder, "files": profiler.files, "bytes": profiler.size}
    detail.update(pump_files=profiler.pump_files, pump_bytes=profiler.pump_size)
    amount = "%s%d MiB" % ("" if profiler.complete else "more than ", size >> 20)
    if profiler.enabled:
        text = "the profiler of all API calls is on: it writes a file for every call and removes none (%s)" % amount
        return [Finding("sesam.profiler.on", "warning", profiler.folder, text, detail, Remedy("turn it off", _PROFILE, _PROFILER_OFF), PROFILING)]
    if size > limits.profiles or not profiler.complete:
        text = "profiles take %s below %s" % (amount, profiler.folder)
        return [
            Finding(
                "sesam.profiler.large",
                "warning",
                profiler.folder,
                text,
                detail,
                Remedy("fetch those that are wanted, and remove the rest"),
                PROFILING,
            )
        ]
    if profiler.files or profiler.pump_files:
        text = "%d profiles were left in the log folder (%s)" % ((profiler.files or 0) + profiler.pump_files, amount)
        return [Finding("sesam.profiler.left", "info", profiler.folder, text, detail, Remedy("fetch those that are wanted, and remove the rest"), PROFILING)]
    return []


def _space(state: NodeState, limits: Limits) -> List[Finding]:
    found = []
    for name, space in (state.host.space or {}).items():
        least = min(space.percent, space.inodes_percent)
        if least < limits.min_free:
            found.append(_full(name, space, least, limits))
    return found


def _full(name: str, space: Space, least: float, limits: Limits) -> Finding:
    what = "inodes" if space.inodes_percent < space.percent else "space"
    text = "%g %% of the %s are left where the node's %s are (%s)" % (least, what, name, space.path)
    severity = "critical" if least < _CRITICAL_SHARE * limits.min_free else "warning"
    detail = {"available": space.available, "size": space.size, "percent": space.percent, "inodes_percent": space.inodes_percent}
    remedy = Remedy("make room: old stack traces, profiles and rotated logs first; the data only with Sesam's advice")
    return Finding("sesam.space.low", severity, space.path, text, detail, remedy, WHOLE)
