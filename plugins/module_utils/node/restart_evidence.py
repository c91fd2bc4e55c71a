# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person would ask for tomorrow, kept before a stop destroys it.

One directory for each run below ``evidence`` of the journal's directory, with a file for each service. Nothing in it is
larger than some limit, and the oldest go first. Secrets are left out as far as they can be told by their names.
"""

from __future__ import annotations

import os
import time
from typing import Iterator, List, Sequence, Tuple

from ..connect import redact
from ..connect.files import tail
from ..connect.procfs import Process
from ..connect.service import ServiceError, call, program
from ..procedure import evidence
from ..procedure.errors import JournalError
from .restart import Seen

PROCESSES_KEPT = 64
FILE_KEPT = 262144
LINES_KEPT = 200
_CALL_TIMEOUT = 10.0
_STATUS = ("Name", "State", "PPid", "Uid", "FDSize", "VmRSS", "VmSwap", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt")


def keep(journal: str, seen: Sequence[Seen], log_files: Sequence[str]) -> str:
    """The directory in which the state of these services was kept."""
    try:
        directory = evidence.run_directory(journal, "evidence")
        for each in seen:
            _write(directory, "%s.txt" % evidence.file_name(each.id), _about(each))
        for number, path in enumerate(dict.fromkeys([*log_files, *(path for each in seen for path in each.spec.log_files)])):
            _write(directory, "log-%d-%s.txt" % (number, evidence.file_name(os.path.basename(path))), _log(path))
    except JournalError as exc:
        raise JournalError("%s. Pass evidence: false to do without." % exc) from exc
    except OSError as exc:
        raise JournalError("evidence cannot be kept below %s: %s. Nothing was changed. Pass evidence: false to do without." % (journal, exc.strerror)) from exc
    return directory


def _write(directory: str, name: str, text: str) -> None:
    evidence.write(directory, name, text.encode("utf-8", "replace"), FILE_KEPT)


def _about(seen: Seen) -> str:
    parts = ["%s as it was at %s\n" % (seen.id, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))]
    parts += ["--- %s\n%s" % (title, text) for title, text in _told(seen)]
    parts += ["--- process %d\n%s" % (process.pid, _process(process)) for process in seen.running[:PROCESSES_KEPT]]
    if len(seen.running) > PROCESSES_KEPT:
        parts.append("--- and %d more processes\n" % (len(seen.running) - PROCESSES_KEPT))
    return "\n".join(parts)


def _told(seen: Seen) -> Iterator[Tuple[str, str]]:
    """What the manager has to say."""
    yield "service", "".join("%s: %s\n" % (name, value) for name, value in sorted(seen.service._asdict().items()))
    if seen.service.manager != "systemd":
        return
    lines = "--lines=%d" % LINES_KEPT
    for command in (
        ["systemctl", "show", "--no-pager", "--", seen.id],
        ["systemctl", "status", "--no-pager", "--full", lines, "--", seen.id],
        ["journalctl", "--no-pager", "--quiet", "--output=short-iso", lines, "--unit", seen.id],
    ):
        yield " ".join(command), redact.text(_said(command))


def _said(command: Sequence[str]) -> str:
    found = program(command[0])
    if found is None:
        return "%s is not installed\n" % command[0]
    try:
        code, output, errors = call([found, *command[1:]], _CALL_TIMEOUT)
    except ServiceError as exc:
        return "%s\n" % exc
    return "%s%s[exit code %d]\n" % (output, errors, code)


def _process(process: Process) -> str:
    pid = process.pid
    rows = [("command line", " ".join(redact.words(process.argv))), ("owner", process.owner)]
    rows += [("open files", _count(pid)), ("waits in", _file(pid, "wchan")), ("kernel stack", _file(pid, "stack"))]
    rows += [("status", "\n".join(line for line in _file(pid, "status").splitlines() if line.split(":")[0] in _STATUS))]
    return "".join("%s: %s\n" % (name, value) for name, value in rows)


def _count(pid: int) -> str:
    try:
        return str(len(os.listdir("/proc/%d/fd" % pid)))
    except OSError as exc:
        return "not seen (%s)" % exc.strerror


def _file(pid: int, name: str) -> str:
    try:
        with open("/proc/%d/%s" % (pid, name), encoding="utf-8", errors="replace") as file:
            return file.read(16384)
    except OSError as exc:
        return "not seen (%s)" % exc.strerror


def _log(path: str) -> str:
    """The last lines of a log. What is no regular file is not read: it might never end."""
    try:
        lines: List[str] = tail(path, FILE_KEPT // 2)[-LINES_KEPT:] if os.path.isfile(path) else ["[not a file]"]
    except OSError as exc:
        lines = ["[not read: %s]" % exc.strerror]
    return "%s\n%s" % (path, redact.text("\n".join(lines)) + "\n")
