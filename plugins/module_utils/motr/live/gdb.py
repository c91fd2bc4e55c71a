# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One attachment of gdb to a live process, bounded in time: whatever becomes of gdb, the process runs on as it did before."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ...connect.command import PATH
from ...procedure.envelope import Finding, Remedy
from ..errors import MotrError
from .processes import Process, alive, is_server
from .script import BEGIN, END, SCRIPT

SEVERE = ("gone", "stuck")
RUNBOOK = ("motr-run-time-instruments.rst", "Clarification (CLARIFY)")
_POLL = 0.01
_PAUSES = (0.1, 0.3)
_SETTLE = 10.0
_STOPPED = ("T", "t")
_LIBRARY = re.compile(r"/[\w./+-]*\.so(?:\.[\w.]+)?")


class LiveError(MotrError):
    """A process that could not be looked at. ``word`` says why, for programs: it ends the code of the finding."""

    def __init__(self, word: str, message: str, remedy: str) -> None:
        super().__init__(message)
        severity = "critical" if word in SEVERE else "warning"
        self.finding = Finding("motr.process.%s" % word, severity, "m0d", message, {}, Remedy(remedy), RUNBOOK)
        self.detail: Dict[str, Any] = {"findings": [self.finding.to_dict()]}


class _NotAttached(LiveError):
    """The kernel did not let gdb attach."""


class Limits(NamedTuple):
    """``stop`` is for how long the process may stand still, ``timeout`` what gdb may take in all; in seconds."""

    gdb: Optional[str] = None
    stop: float = 5.0
    timeout: float = 120.0


class Told(NamedTuple):
    """What the script found; for how long the process stood still; and how long gdb took, with reading its symbols."""

    found: Dict[str, Any]
    stopped_seconds: float
    total_seconds: float


def attach(process: Process, request: Mapping[str, Any], limits: Limits) -> Told:
    """Attach, walk, detach. LiveError where that cannot be, and then the process runs as before."""
    check_limits(limits)
    program = _gdb(limits)
    for pause in _PAUSES:
        with contextlib.suppress(_NotAttached):  # another one was faster, and may be done already
            return _attach(program, process, request, limits)
        time.sleep(pause)
    return _attach(program, process, request, limits)


def _attach(program: str, process: Process, request: Mapping[str, Any], limits: Limits) -> Told:
    refuse(process)
    before = _state(process.pid)
    started = time.monotonic()
    whole: Optional[Dict[str, Any]] = None
    try:
        with tempfile.TemporaryDirectory(prefix="fieldops-") as folder:
            path = os.path.join(folder, "look.py")
            with open(path, "w", encoding="utf-8") as file:
                file.write(_script(process, request, limits))
            code, output, why, seen = _run([program, "-nx", "-batch", "-x", path], folder, process.pid, limits)
        whole = _told(output)
    finally:  # also where somebody interrupts
        _settle(process, before, whole is None)
    found = _judged(process, whole, code, output, why, limits)
    return Told(found, round(float(found["stopped"] or seen), 4), round(time.monotonic() - started, 3))


def check_limits(limits: Limits) -> None:
    if not 0.1 <= limits.stop <= 60:
        raise MotrError("stop_limit must be 0.1 to 60 seconds, not %s" % limits.stop)
    if not limits.stop < limits.timeout <= 3600:
        raise MotrError("timeout must be more than stop_limit (%s), and 3600 seconds at most, not %s" % (limits.stop, limits.timeout))


def refuse(process: Process) -> None:
    """LiveError for a process that is not to be attached to."""
    if not alive(process):
        raise _gone(process)
    uid = _uid(process.pid)
    if os.geteuid() not in (0, uid):
        message = "%s belongs to %s, and this module runs as user id %d, who may not trace it" % (_named(process), process.owner or uid, os.geteuid())
        raise LiveError("foreign", message, "run it as root (become: true), or as the owner")
    if not is_server(process.argv) and not _maps_motr(process.pid):
        message = "%s is %s: no m0d, and no program that has libmotr" % (_named(process), os.path.basename(process.argv[0]))
        raise LiveError("unknown", message, "name an m0d by its fid (process), or a process that uses libmotr by its pid (pid)")
    if _replaced(process.pid):
        message = "the libmotr of %s was replaced on disk since it was started, so that the symbols there are of another build" % _named(process)
        raise LiveError("replaced", message, "put back the package of the build that runs, or restart the process at a time that suits")
    _refuse_traced(process)


def _replaced(pid: int) -> bool:
    """Whether the library that a process runs is no longer the one of its name."""
    try:
        with open("/proc/%d/maps" % pid, encoding="utf-8", errors="replace") as file:
            return any("/libmotr" in line and line.rstrip().endswith("(deleted)") for line in file)
    except OSError:
        return False


def is_frozen(process: Process) -> bool:
    """Whether a signal has stopped it."""
    return _state(process.pid) == "T"


def tracer(pid: int) -> int:
    """The process that traces a process; 0 for none."""
    try:
        with open("/proc/%d/status" % pid, "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"TracerPid:")), 0)
    except OSError:
        return 0


def _refuse_traced(process: Process) -> None:
    by = tracer(process.pid)
    if by:
        message = "%s is being traced already, by %s (pid %d)" % (_named(process), _command(by), by)
        raise LiveError("traced", message, "wait until that one has detached, or end it; a process has one tracer at a time")


def _gone(process: Process) -> LiveError:
    return LiveError("gone", "%s has ended" % _named(process), "see whether it was started again, and why it ended: its journal, and hctl status")


def _named(process: Process) -> str:
    return "process %s (pid %d)" % (process.fid, process.pid) if process.fid is not None else "process %d" % process.pid


def _gdb(limits: Limits) -> str:
    found = shutil.which(limits.gdb or "gdb", path=None if limits.gdb else PATH)
    if found is None:
        message = "there is no gdb on this node" if limits.gdb is None else "gdb: %s is no program that can be run" % limits.gdb
        raise LiveError("gdb", message, "install the package gdb (with Python, as distributions build it), or say where it is: gdb")
    return found


def _script(process: Process, request: Mapping[str, Any], limits: Limits) -> str:
    program, root, settings = _program(process.pid)
    config = {
        "pid": process.pid,
        "program": program,
        "settings": settings,
        "libraries": _libraries(process.pid, root),
        "started": process.started,
        "walk": limits.stop * 0.8,
        "stop": limits.stop,
        "alarm": int(limits.timeout) + 5,
        "set": None,
        "foms": False,
        "rpc": False,
        "internal": False,
        "most_foms": 0,
    }
    # As text within text: no name of a file can end it.
    return "import json\nCONFIG = json.loads(%s)\nMARKS = %r\n%s" % (json.dumps(json.dumps(dict(config, **request))), (str(BEGIN), str(END)), SCRIPT)


def _program(pid: int) -> Tuple[str, str, List[str]]:
    """The program's file as this node sees it, where the process has its root, and what gdb must know of one in a container."""
    path = "/proc/%d/exe" % pid
    try:
        inside = os.readlink("/proc/%d/ns/mnt" % pid) != os.readlink("/proc/self/ns/mnt")
        named = os.readlink(path)
    except OSError:
        return path, "", []
    if not inside:
        return (named if os.path.exists(named) and " " not in named else path), "", []
    root = "/proc/%d/root" % pid
    return path, root, ["set sysroot %s" % root, "set debug-file-directory %s/usr/lib/debug:/usr/lib/debug" % root]


def _libraries(pid: int, root: str) -> List[str]:
    """Files of the libraries that it has loaded; names that gdb would not take as one word are left out."""
    try:
        with open("/proc/%d/maps" % pid, encoding="utf-8", errors="replace") as file:
            named = {words[5] for words in map(str.split, file) if len(words) == 6}
    except OSError:
        return []
    return sorted(root + name for name in named if _LIBRARY.fullmatch(name) and os.path.isfile(root + name))


def _run(argv: List[str], folder: str, pid: int, limits: Limits) -> Tuple[Optional[int], str, str, float]:
    """Exit code, output, why it was ended if it was, and for how long the process was seen to be traced."""
    env = {"PATH": PATH, "HOME": folder, "LC_ALL": "C.UTF-8", "TMPDIR": folder, "DEBUGINFOD_URLS": ""}
    with tempfile.TemporaryFile() as output:
        gdb = subprocess.Popen(argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            why, seen = _watch(gdb, pid, limits)
        finally:
            _end(gdb)
        output.seek(0)
        return gdb.returncode, output.read().decode("utf-8", "replace"), why, seen


def _watch(gdb: subprocess.Popen[bytes], pid: int, limits: Limits) -> Tuple[str, float]:
    started, traced, seen = time.monotonic(), None, 0.0
    while gdb.poll() is None:
        now = time.monotonic()
        if tracer(pid):
            traced = now if traced is None else traced
            seen = now - traced
            if seen > limits.stop:
                return "stop_limit", seen
        if now - started > limits.timeout:
            return "timeout", seen
        with contextlib.suppress(subprocess.TimeoutExpired):
            gdb.wait(_POLL)
    return "", seen


def _end(gdb: subprocess.Popen[bytes]) -> None:
    """At once: the kernel detaches the debugger that dies. With all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(gdb.pid, signal.SIGKILL)
    gdb.wait()


def _told(output: str) -> Optional[Dict[str, Any]]:
    _head, begun, rest = output.rpartition(BEGIN + "\n")
    text, ended, _tail = rest.partition("\n" + END)
    if not begun or not ended:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _settle(process: Process, before: str, broken: bool) -> None:
    """See that the process runs on as it did. A debugger that was killed may leave the stop behind that it attached with."""
    if broken and before not in _STOPPED:
        _signal(process, signal.SIGCONT)
    deadline = time.monotonic() + _SETTLE
    calm = 0
    while calm < (5 if broken else 1):
        if not alive(process):
            return
        left = before not in _STOPPED and _state(process.pid) in _STOPPED
        if left and not tracer(process.pid):
            _signal(process, signal.SIGCONT)
        calm = 0 if left or tracer(process.pid) else calm + 1
        if time.monotonic() > deadline:
            message = "%s is still stopped, or traced, after gdb has ended" % _named(process)
            raise LiveError("stuck", message, "look who traces it (TracerPid in /proc/%d/status), and let it run on: kill -CONT" % process.pid)
        time.sleep(0 if calm and not broken else _POLL)
    if before == "T" and _state(process.pid) != "T":
        _signal(process, signal.SIGSTOP)


def _signal(process: Process, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if alive(process):
            os.kill(process.pid, signum)


def _judged(process: Process, found: Optional[Dict[str, Any]], code: Optional[int], output: str, why: str, limits: Limits) -> Dict[str, Any]:
    """What was found, if it is an answer."""
    if found is not None and not found["error"]:
        return found
    if not alive(process):
        raise _gone(process)
    if why:
        message = "gdb was ended after %s seconds (%s), and %s runs on" % (limits.stop if why == "stop_limit" else limits.timeout, why, _named(process))
        raise LiveError("watchdog", message, "try again when the node is less busy, or allow more: %s" % why)
    last = ([line for line in output.splitlines() if line.strip()] or ["it said nothing"])[-1][:300]
    if found is None:
        ended = "by signal %d" % -code if code is not None and code < 0 else "with code %s (%s)" % (code, last)
        message = "gdb ended %s before it was done, and %s runs on" % (ended, _named(process))
        raise LiveError("killed", message, "run it again; if it stays so, see that gdb works: gdb -nx -batch -ex 'python print(1)'")
    raise _refused(process, str(found["error"]), str(found["text"]))


def _refused(process: Process, word: str, text: str) -> LiveError:
    name = _named(process)
    if word == "symbols":
        message = "%s has no debugging symbols of Motr (%s)" % (name, text)
        return LiveError("symbols", message, "install the package with the debugging symbols of this very build (cortx-motr-debuginfo); no restart is needed")
    if word == "attach":
        _refuse_traced(process)
        return _NotAttached("attach", "gdb could not attach to %s: %s" % (name, text), "run it as root; in a container it needs the capability SYS_PTRACE")
    if word == "gone":
        return _gone(process)
    if word == "version":
        return LiveError("version", "%s is of a version of Motr that is not known here: %s" % (name, text), "use the version that is meant for it")
    remedy = "run it again: a process is stopped between any two instructions, and may not have been up yet"
    return LiveError("walk", "the request handler of %s could not be read: %s" % (name, text), remedy)


def _state(pid: int) -> str:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode("ascii")
    except (OSError, IndexError):
        return ""


def _uid(pid: int) -> int:
    try:
        return os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return -1


def _command(pid: int) -> str:
    try:
        with open("/proc/%d/comm" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "a process"


def _maps_motr(pid: int) -> bool:
    try:
        with open("/proc/%d/maps" % pid, encoding="utf-8", errors="replace") as file:
            return any("/libmotr" in line for line in file)
    except OSError:
        return False
