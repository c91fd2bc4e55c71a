# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person would ask for tomorrow, kept before a restart destroys it: the container, its log, its processes, the node's logs and stack traces.

Nothing here may stop the restart of a node that hangs: each part is bounded in size and in time, and what could not be had is said in its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..connect.below import NotBelow, below, by_handle
from ..connect.docker import Docker, DockerError
from ..connect.files import tail
from ..connect.procfs import Process, processes
from ..procedure.errors import JournalError
from ..procedure.evidence import run_directory, write
from .api import Node
from .container import Container, folder_options
from .errors import SesamError
from .evidence import without_secret_words, without_secrets
from .process import descendants, first_process, status_of, topmost
from .stacktrace_files import read, traces

FILE_KEPT = 262144
TRACE_KEPT = 2097152
TRACES_KEPT = 5
LINES_KEPT = 2000
LOGS = ("node.log", "node_health.log", "node_config.log", "node_pipe_execution.log", "node_access.log", "node_metrics.log", "node_memory_profile.log")
_THREADS_KEPT = 256
_PROCESSES_KEPT = 64
_QUESTION = 10.0
_STATUS = ("Name", "State", "PPid", "Uid", "FDSize", "VmRSS", "VmSwap", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")
_HIDDEN_KEYS = ("Env",)


def keep(journal: str, docker: Docker, container: Optional[Container], logs: str, node: Node, answers: bool, running: Optional[Sequence[str]]) -> str:
    """The directory in which all of it is. ``logs`` is the log folder, or nothing; ``answers`` whether the API is worth asking."""
    directory = run_directory(journal, "evidence")
    parts: List[Tuple[str, Callable[[], bytes]]] = []
    if container is not None:
        parts += [("container.json", lambda: _container(docker, container)), ("container.log", lambda: _log(docker, container, node))]
        parts += [("processes.txt", lambda: _processes(container))]
    for name in LOGS if logs else ():
        parts.append(("log-%s" % name, _tail_of(logs, name, node)))
    if answers:
        parts += [("status.json", lambda: _answer(node, "/status")), ("health.json", lambda: _answer(node, "/health"))]
    if running is not None:
        parts.append(("pipes_running.json", lambda: json.dumps(list(running), indent=2).encode()))
    missing = _keep_parts(directory, parts)
    missing.update(_stacktraces(directory, logs))
    rows = dict(missing, taken=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), log_folder=os.path.realpath(logs) if logs else "not known")
    _write(directory, "index.json", json.dumps(rows, indent=2, sort_keys=True).encode())
    return directory


def by_process(stack: ExitStack) -> str:
    """The log folder as the node's process sees it, where no engine tells of a container: held open by ``stack``, and nothing where it cannot be told."""
    found = topmost(list(processes()))
    told = folder_options(found[0].argv).get("logs", "") if len(found) == 1 else ""
    if not os.path.isabs(told):
        return ""
    try:
        return by_handle(stack.enter_context(below("/proc/%d/root" % found[0].pid, os.path.normpath(told).strip("/"))))
    except (OSError, NotBelow):
        return ""


def _keep_parts(directory: str, parts: Sequence[Tuple[str, Callable[[], bytes]]]) -> Dict[str, str]:
    """What could not be had, and why."""
    missing = {}
    for name, take in parts:
        try:
            data = take()
        except (SesamError, DockerError, OSError) as exc:
            missing[name] = str(exc)
            continue
        _write(directory, name, data)
    return missing


def _write(directory: str, name: str, data: bytes, limit: int = FILE_KEPT) -> None:
    try:
        write(directory, name, data, limit)
    except OSError as exc:
        raise JournalError("evidence cannot be kept in %s: %s. Nothing was changed" % (directory, exc.strerror)) from exc


def _container(docker: Docker, container: Container) -> bytes:
    """The whole inspection, without values of the environment and what looks like a secret."""
    docker.limit(_QUESTION)
    seen = docker.inspect(container.id)
    if seen is None:
        raise SesamError("container %s is gone" % container.name, "not_found")
    config = dict(seen.get("Config") or {})
    config["Env"] = sorted(each.partition("=")[0] for each in config.get("Env") or ())
    for key in ("Cmd", "Entrypoint"):
        if isinstance(config.get(key), list):
            config[key] = without_secret_words(config[key])
    shown = dict(seen, Config=config, Args=without_secret_words(seen.get("Args") or ()))
    return without_secrets(json.dumps(shown, indent=1, sort_keys=True)).encode("utf-8", "replace")


def _log(docker: Docker, container: Container, node: Node) -> bytes:
    docker.limit(_QUESTION)
    text = docker.logs(container.id, tail=LINES_KEPT).decode("utf-8", "replace")
    return node.scrub(without_secrets(text[-4 * FILE_KEPT :])).encode("utf-8", "replace")


def _tail_of(logs: str, name: str, node: Node) -> Callable[[], bytes]:
    """By a handle: the node's user may put a link in the place of what was looked at."""

    def take() -> bytes:
        with below(logs, name) as handle:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError("%s is no regular file" % os.path.join(logs, name))
            lines = tail(by_handle(handle), FILE_KEPT)
        return node.scrub(without_secrets("\n".join(lines))).encode("utf-8", "replace")

    return take


def _answer(node: Node, path: str) -> bytes:
    reply = node.text(path, accept=(503,), limit=FILE_KEPT, timeout=_QUESTION)
    return node.scrub(without_secrets(reply.body.decode("utf-8", "replace"))).encode("utf-8", "replace")


def _processes(container: Container) -> bytes:
    """What each of its processes is, and what each of their threads waits for."""
    if not container.running:
        return b"it does not run\n"
    family = descendants(first_process(container))
    rows = ["--- process %d\n%s" % (each.pid, _process(each)) for each in family[:_PROCESSES_KEPT]]
    rows += ["--- and %d more\n" % (len(family) - _PROCESSES_KEPT)] if len(family) > _PROCESSES_KEPT else []
    return "\n".join(rows).encode("utf-8", "replace")


def _process(process: Process) -> str:
    status: Mapping[str, str] = status_of(process.pid)
    rows = ["command line: %s" % " ".join(without_secret_words(process.argv)), "owner: %s" % process.owner]
    rows += ["%s: %s" % (name, status[name]) for name in _STATUS if name in status]
    with contextlib.suppress(OSError):
        rows.append("open files: %d" % len(os.listdir("/proc/%d/fd" % process.pid)))
    with contextlib.suppress(OSError):
        threads = sorted(os.listdir("/proc/%d/task" % process.pid), key=int)
        rows += [_thread(process.pid, thread) for thread in threads[:_THREADS_KEPT]]
    return "\n".join(rows) + "\n"


def _thread(pid: int, thread: str) -> str:
    words = [_said("/proc/%d/task/%s/%s" % (pid, thread, name)) for name in ("comm", "wchan", "stack")]
    state = _said("/proc/%d/task/%s/stat" % (pid, thread)).rpartition(")")[2].split()[:1]
    return "thread %s (%s) %s waits in %s%s" % (thread, words[0], "".join(state), words[1] or "?", "\n  " + words[2].replace("\n", "\n  ") if words[2] else "")


def _said(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""


def _stacktraces(directory: str, logs: str) -> Dict[str, str]:
    """The newest ones that are left, each cut to a bound."""
    missing: Dict[str, str] = {}
    try:
        found = traces(logs) if logs else []
    except OSError as exc:
        return {"stacktrace.html": str(exc)}
    for number, trace in enumerate(found):
        data = read(logs, trace, TRACE_KEPT) if number < TRACES_KEPT else None
        if data is None:
            missing[trace.name] = "only the newest %d are kept" % TRACES_KEPT if number >= TRACES_KEPT else "it was taken away"
            continue
        _write(directory, trace.name, data, TRACE_KEPT)
        if trace.size > len(data):
            missing[trace.name] = "cut to %d of %d bytes" % (len(data), trace.size)
    return missing


def kept(directory: Optional[str]) -> List[Dict[str, Any]]:
    """What there is to be fetched."""
    if directory is None:
        return []
    names = sorted(name for name in os.listdir(directory) if not name.startswith("."))
    return [{"path": os.path.join(directory, name), "bytes": os.stat(os.path.join(directory, name)).st_size} for name in names]
