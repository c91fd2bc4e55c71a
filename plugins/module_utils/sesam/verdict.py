# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a node, the worst first in each part, and what the module returns of it. Pure."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Mapping, Optional

from ..procedure.envelope import Finding
from .evidence import without_secret_words
from .pipes import Pipes
from .state import Host, Limits, NodeState, Traces
from .switches import scheduler
from .verdict_api import RUNNING, WHOLE, condition, judge_api
from .verdict_host import judge_host
from .verdict_pipes import is_enforced, judge_license, judge_pipes, judge_scheduler


def diagnose(state: NodeState, limits: Limits) -> List[Finding]:
    """All parts that were looked at, and those that could not be."""
    found = [*judge_api(state, limits), *judge_pipes(state), *judge_scheduler(state), *judge_license(state), *judge_host(state, limits)]
    if all(finding.severity in ("ok", "info") for finding in found) and not state.missing:
        text = "the node at %s: what was looked at is as it should be (%s)" % (state.api.url, ", ".join(state.parts))
        found.insert(0, Finding("sesam.ok", "ok", state.api.url, text, {"parts": list(state.parts)}, None, WHOLE))
    return found


def healthy(state: NodeState, findings: List[Finding]) -> Optional[bool]:
    """It says that it is well, nothing contradicts that, and nothing of what was asked for is unknown. None where its health was not asked for."""
    if "health" not in state.parts:
        return None
    pipes = state.api.pipes
    known = not state.missing and (pipes is None or (pipes.complete and not pipes.states["unknown"]))
    return known and condition(state) == RUNNING and not any(finding.severity == "critical" for finding in findings)


def facts(state: NodeState) -> Dict[str, Any]:
    """The module's return values but for what is judged."""
    api, host = state.api, state.host
    return {
        "condition": condition(state),
        "api": {"url": api.url, "authenticated": api.authenticates, "ping": api.ping, "requests": api.requests},
        "health": None
        if api.health is None
        else {"status": api.health.status, "well": api.health.well, "body": api.health.body, "seconds": api.health.seconds},
        "status": _status(state),
        "license": {"state": api.license, "file": host.license_file, "enforced": is_enforced(state)} if "license" in state.parts else None,
        "pipes": None if api.pipes is None else _pipes(api.pipes, state.now),
        "scheduler": scheduler(state).to_dict(state) if "scheduler" in state.parts else None,
        "stacktraces": None if host.traces is None else _traces(host.traces, state.now),
        "health_log": _health_log(state),
        "container": _container(host, state.now),
        "profiler": _profiler(host),
        "space": None if host.space is None else {name: dict(vars(space)) for name, space in host.space.items()},
        "folders": {"data": host.data, "logs": host.logs},
        "missing": state.missing,
    }


def _status(state: NodeState) -> Optional[Dict[str, Any]]:
    status = state.api.status
    if status is None:
        return None
    names = ("node_id", "version", "start_time", "uptime")
    return dict({name: getattr(status, name) for name in names}, memory=dict(status.memory))


def _pipes(pipes: Pipes, now: float) -> Dict[str, Any]:
    names = ("total", "complete", "queued", "queues_unknown", "scheduled")
    shown: Dict[str, Any] = {name: getattr(pipes, name) for name in names}
    return dict(shown, by_state=dict(pipes.states), list=[pipe.to_dict(now) for pipe in pipes.listed])


def _traces(traces: Traces, now: float) -> Dict[str, Any]:
    rows = [{"path": each.path, "bytes": each.size, "modified": _utc(each.modified), "age": round(now - each.modified, 1)} for each in traces.files]
    return {"count": traces.count, "list": rows}


def _health_log(state: NodeState) -> Optional[Dict[str, Any]]:
    log = state.host.health_log
    if log is None:
        return None
    ages = {name: None if value is None else round(state.now - value, 1) for name, value in (("age", log.modified), ("last_failure_age", log.last_failure))}
    shown: Mapping[str, Any] = {name: getattr(log, name) for name in ("path", "exists", "failures", "last_line", "bytes_read", "complete")}
    return dict(shown, last_failures=list(log.lines), **ages)


def _container(host: Host, now: float) -> Optional[Dict[str, Any]]:
    container = host.container
    if container is None:
        return None
    names = ("id", "name", "image", "status", "running", "paused", "restarting", "exit_code", "oom_killed", "health", "restart_policy", "pid")
    shown: Dict[str, Any] = {name: getattr(container, name) for name in names}
    age = None if container.started_at is None else round(now - container.started_at, 1)
    mounts = [{"source": mount.source, "destination": mount.destination, "writable": mount.writable} for mount in container.mounts]
    return dict(shown, restarts=container.restart_count, age=age, argv=without_secret_words(container.argv), mounts=mounts, process=_process(host, now))


def _process(host: Host, now: float) -> Optional[Dict[str, Any]]:
    process = host.process
    if process is None:
        return None
    age = None if host.process_started is None else round(now - host.process_started, 1)
    return {
        "pid": process.pid,
        "first": process.first,
        "state": process.state,
        "threads": process.threads,
        "owner": process.process.owner,
        "age": age,
        "handles_sigusr1": process.handles_sigusr1,
    }


def _profiler(host: Host) -> Optional[Dict[str, Any]]:
    found = host.profiler
    if found is None:
        return None
    names = ("enabled", "folder", "files", "size", "complete", "pump_files", "pump_size")
    return {name: getattr(found, name) for name in names}


def _utc(stamp: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(stamp))
