# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the processes of a job do for some seconds, by strace of the node itself.

They are the processes of the control group of the job's container, never those whose command line looks like it. strace runs under
``timeout``, so that it lets go of them even if this module is killed, and afterwards it is made sure that it did.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..connect.docker import Docker
from ..connect.procfs import Process, processes, read_process
from ..connect.service import program
from ..procedure.check import Check
from ..procedure.envelope import Finding, Remedy
from .debug import one_id
from .errors import JobRunnerError
from .metadata import Scrubber, environment_secrets
from .names import container_name
from .place import Place
from .trace_text import Syscall, blocked, summary

LONGEST = 300.0
_GRACE = 5.0
_KEPT = 1 << 20
"""Bytes of what strace wrote; the tables come last."""
_MOST = 64
"""Processes that are traced at once."""
_RUNBOOK = ("opensafely-jobrunner.md", "stracing a running job")


@dataclass(frozen=True)
class Traced:
    """One process of the job: what it is, where it waits, and the processor time that it used meanwhile."""

    process: Process
    state: str
    waits_in: str
    cpu: float


@dataclass(frozen=True)
class TraceState:
    """``seconds`` is 0 in check mode, where nobody is traced."""

    job_id: str
    seconds: float
    members: Sequence[Traced]
    syscalls: Sequence[Syscall] = ()
    waiting: Sequence[Mapping[str, Any]] = ()
    lines: Sequence[str] = ()
    held: Sequence[int] = ()
    """Processes that still have a tracer afterwards."""


class JobTrace(Check[TraceState]):
    """``state: traced``."""

    name = "jobrunner_debug"

    def __init__(self, params: Mapping[str, Any], attach: bool) -> None:
        self.place = Place.of(params)
        self.job_id = one_id(params["job_id"])
        self.seconds: float = params["trace_seconds"]
        self.count: int = params["trace_lines"]
        self.pid: Optional[int] = params["pid"]
        self.attach = attach
        if not 0 < self.seconds <= LONGEST:
            raise JobRunnerError("trace_seconds must be more than 0 and at most %g, not %s" % (LONGEST, self.seconds))
        if self.count < 0:
            raise JobRunnerError("trace_lines must be 0 or more, not %d" % self.count)
        self.docker = Docker(self.place.docker_host, timeout=params["timeout"])
        self.scrubber = Scrubber(self.place.config.secrets())

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> TraceState:
        members = self._members()
        strace = self._strace()
        if not self.attach:
            return TraceState(self.job_id, 0.0, [_traced(member, 0.0) for member in members])
        before = {member.pid: _cpu(member.pid) for member in members}
        text, seconds = run_strace(strace, members, self.seconds)
        seen = [_traced(member, max(0.0, _cpu(member.pid) - before[member.pid])) for member in members]
        lines = [self.scrubber.text(line) for line in text.splitlines()]
        held = [member.pid for member in members if _tracer(member.pid)]
        return TraceState(self.job_id, seconds, seen, summary(lines), blocked(lines), _shown(lines, self.count), held)

    def diagnose(self, state: TraceState) -> List[Finding]:
        return diagnose(state)

    def facts(self, state: TraceState) -> Mapping[str, Any]:
        shown: Dict[str, Any] = self.scrubber.value(facts(state))
        return shown

    def evidence(self, state: TraceState) -> Mapping[str, Any]:
        return {"docker_host": self.place.docker_host}

    def _members(self) -> List[Process]:
        """Processes of the job's container, its first one first."""
        name = container_name(self.job_id)
        seen = self.docker.inspect(name)
        if seen is None or not seen["State"]["Running"]:
            raise JobRunnerError("job %s has no running container: %s" % (self.job_id, "there is no %s" % name if seen is None else "%s has ended" % name))
        self.scrubber.learn(environment_secrets(seen["Config"].get("Env") or ()))
        found = sorted((process for process in processes() if in_group(process.pid, seen["Id"])), key=lambda each: (each.pid != seen["State"]["Pid"], each.pid))
        if not found:
            raise JobRunnerError("no process of %s can be seen from here: the module must run on the node of the engine, as root" % name)
        if self.pid is not None:
            chosen = [process for process in found if process.pid == self.pid]
            if not chosen:
                raise JobRunnerError("process %d is none of job %s, whose are %s" % (self.pid, self.job_id, ", ".join(str(each.pid) for each in found)))
            found = chosen
        taken = [process.pid for process in found if _tracer(process.pid)]
        if taken:
            raise JobRunnerError("process %d of job %s is being traced already, by process %d" % (taken[0], self.job_id, _tracer(taken[0])))
        return found[:_MOST]

    def _strace(self) -> str:
        found = program("strace")
        if found is None:
            raise JobRunnerError("strace is not installed on this node (Debian and Ubuntu: strace)")
        if os.geteuid() != 0:
            raise JobRunnerError("only root can trace the processes of a container; this module runs as user id %d" % os.geteuid())
        return found


def in_group(pid: int, container_id: str) -> bool:
    """Whether a process belongs to a container, by its control group."""
    try:
        with open("/proc/%d/cgroup" % pid, encoding="ascii", errors="replace") as file:
            return container_id in file.read()
    except OSError:
        return False


def run_strace(strace: str, members: Sequence[Process], seconds: float) -> Any:
    """Its output, and how long it was at work. No string that a process reads or writes is shown: it may be a patient's."""
    still = [member for member in members if _is_same(member)]
    if not still:
        raise JobRunnerError("the processes of the job have ended")
    targets = [word for member in still for word in ("-p", str(member.pid))]
    limit = program("timeout")
    if limit is None:
        raise JobRunnerError("timeout (of coreutils) is not installed on this node, and nothing is traced without a limit")
    argv = [limit, "--signal=INT", "--kill-after=%g" % _GRACE, "%g" % seconds, strace, "-f", "-C", "-w", "-y", "-q", "-s", "0", *targets]
    started = time.monotonic()
    process = subprocess.Popen(argv, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    with process:
        text = _tail(process, started + seconds + 3 * _GRACE).decode("utf-8", "backslashreplace")
    if "Operation not permitted" in text and "attach" in text:
        raise JobRunnerError("strace may not attach to the processes of the job: %s" % text.splitlines()[0])
    return text, time.monotonic() - started


def _tail(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """The end of what a program writes, read all the while: a busy process makes some megabytes of it each second."""
    output, data = process.stderr, b""
    while output is not None:
        ready, _write, _except = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            process.kill()
            break
        more = os.read(output.fileno(), 1 << 16)
        if not more:
            break
        data = (data + more)[-_KEPT:]
    return data


def _is_same(member: Process) -> bool:
    now = read_process(member.pid)
    return now is not None and now.start == member.start


def _traced(member: Process, cpu: float) -> Traced:
    return Traced(member, _status(member.pid, "State"), _word(member.pid, "wchan"), round(cpu, 2))


def _status(pid: int, key: str) -> str:
    try:
        with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith(key + ":")), "")
    except OSError:
        return "gone"


def _tracer(pid: int) -> int:
    text = _status(pid, "TracerPid")
    return int(text) if text.isdigit() else 0


def _word(pid: int, name: str) -> str:
    try:
        with open("/proc/%d/%s" % (pid, name), encoding="ascii", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _cpu(pid: int) -> float:
    """Processor time of a process so far, in seconds."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def _shown(lines: Sequence[str], count: int) -> List[str]:
    calls = [line for line in lines if "(" in line]
    return calls[-count:] if count else []


# -- what it means ----------------------------------------------------------------------------------------------------------


def facts(state: TraceState) -> Dict[str, Any]:
    rows = [
        {"pid": each.process.pid, "argv": list(each.process.argv), "owner": each.process.owner, "state": each.state, "waits_in": each.waits_in, "cpu": each.cpu}
        for each in state.members
    ]
    trace = None
    if state.seconds:
        calls = [{"name": call.name, "calls": call.calls, "errors": call.errors, "seconds": call.seconds} for call in state.syscalls]
        trace = {"seconds": round(state.seconds, 1), "syscalls": calls, "waiting": [dict(each) for each in state.waiting], "lines": list(state.lines)}
    return {"processes": rows, "trace": trace}


def diagnose(state: TraceState) -> List[Finding]:
    count = len(state.members)
    if not state.seconds:
        text = "%d processes of job %s would be traced; a trace slows them down while it lasts" % (count, state.job_id)
        return [Finding("jobrunner.debug.would_trace", "info", state.job_id, text, {"processes": count}, None, _RUNBOOK)]
    found = [_verdict(state, count)]
    if state.held:
        text = "processes %s of job %s still have a tracer" % (", ".join(map(str, state.held)), state.job_id)
        remedy = Remedy("see who traces them (TracerPid in /proc/PID/status), and end that")
        found.append(Finding("jobrunner.debug.still_traced", "critical", state.job_id, text, {"pids": list(state.held)}, remedy, _RUNBOOK))
    return found


def _verdict(state: TraceState, count: int) -> Finding:
    calls = sum(call.calls for call in state.syscalls)
    cpu = round(sum(each.cpu for each in state.members), 2)
    detail = {"calls": calls, "cpu": cpu, "seconds": round(state.seconds, 1), "waiting": [dict(each) for each in state.waiting]}
    if calls > count:  # a call that was under way when it began is told once
        text = "job %s works: its %d processes made %d system calls in %.0f s and used %.1f s of processor time" % (
            state.job_id,
            count,
            calls,
            state.seconds,
            cpu,
        )
        return Finding("jobrunner.debug.working", "ok", state.job_id, text, detail, None, _RUNBOOK)
    if cpu > 0.1 * state.seconds:
        text = "job %s computes: %.1f s of processor time in %.0f s, and no system calls" % (state.job_id, cpu, state.seconds)
        return Finding("jobrunner.debug.computing", "ok", state.job_id, text, detail, None, _RUNBOOK)
    waits = ", ".join(sorted({str(each["call"]).partition("(")[0] for each in state.waiting})) or "nothing that can be seen"
    text = "job %s waits: in %.0f s its %d processes did nothing but wait in %s" % (state.job_id, state.seconds, count, waits)
    remedy = Remedy("for a database job see its query: fieldops.runbooks.jobrunner_job_info")
    return Finding("jobrunner.debug.waiting", "info", state.job_id, text, detail, remedy, _RUNBOOK)
