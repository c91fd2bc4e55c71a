# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person would ask for tomorrow, read without changing anything: units and their journals, containers and their logs, log files, processes.

Each part is bounded in size and all of it in time; what could not be had, or was cut, is said. Secrets are taken out before anything is returned.
"""

from __future__ import annotations

import fnmatch
import glob
import json
import os
import stat
import time
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from ..connect import redact
from ..connect.docker import Docker, DockerError
from ..connect.procfs import processes
from ..connect.service import ServiceError, call, program
from ..procedure.check import Check
from ..procedure.envelope import Finding
from ..procedure.errors import RunbookError

MOST_FILES = 200
"""Of one kind; the newest logs go first."""
PROCESSES = 500
Text = Union[str, Tuple[str, int]]
"""With the bytes that there were of it, where it is only the end."""
Told = Tuple[str, Callable[[], Text]]


class Kept(NamedTuple):
    """One text. ``size`` is what there was of it."""

    name: str
    text: str
    size: int

    def to_dict(self) -> Dict[str, Any]:
        length = len(self.text.encode("utf-8", "replace"))
        return {"name": self.name, "text": self.text, "bytes": self.size, "cut": self.size > length}


class Gathered(NamedTuple):
    files: List[Kept]
    missing: Mapping[str, str]


class Late(Exception):
    """The time for all of it is up."""


class Evidence(Check[Gathered]):
    """Reads only. What hangs is left behind, and told."""

    name = "node_evidence_info"

    def __init__(self, params: Mapping[str, Any]) -> None:
        for name, least in (("lines", 1), ("max_bytes", 1024), ("max_total", 1024), ("timeout", 1)):
            if not least <= params[name] <= 2**31:
                raise RunbookError("%s must be %d to %d, not %s" % (name, least, 2**31, params[name]))
        relative = [path for path in params["logs"] if not os.path.isabs(path)]
        if relative:
            raise RunbookError("logs: %r is no absolute path" % relative[0])
        self.params = params
        self.lines: int = params["lines"]
        self.docker = Docker(params["docker_host"], timeout=min(30.0, params["timeout"]))
        self.until = 0.0

    def close(self) -> None:
        self.docker.close()

    def observe(self) -> Gathered:
        self.until = time.monotonic() + self.params["timeout"]
        files: List[Kept] = []
        missing: Dict[str, str] = {}
        room: int = self.params["max_total"]
        for kind in (self._units, self._containers, self._logs, self._processes):
            try:
                for name, read in kind():
                    self._left()
                    if room <= 0:
                        missing[name] = "left out: all that is returned together may have %d bytes (max_total)" % self.params["max_total"]
                        continue
                    kept = self._kept(name, read, missing, min(room, self.params["max_bytes"]))
                    if kept is not None:
                        files.append(kept)
                        room -= len(kept.text.encode("utf-8", "replace"))
            except Late:
                missing[kind.__name__.strip("_")] = "left out, some or all: the time is up (timeout %g s)" % self.params["timeout"]
            except (DockerError, ServiceError, OSError) as exc:
                missing[kind.__name__.strip("_")] = redact.text(str(exc))
        return Gathered(files, missing)

    def diagnose(self, state: Gathered) -> List[Finding]:
        return []

    def facts(self, state: Gathered) -> Mapping[str, Any]:
        return {"files": [each.to_dict() for each in state.files], "missing": dict(state.missing)}

    def _kept(self, name: str, read: Callable[[], Text], missing: Dict[str, str], limit: int) -> Optional[Kept]:
        try:
            told = read()
        except (DockerError, ServiceError, OSError) as exc:
            missing[name] = redact.text(str(exc))
            return None
        text = redact.text(told if isinstance(told, str) else told[0])
        data = text.encode("utf-8", "replace")
        size = len(data) if isinstance(told, str) else told[1]
        # The newest is at the end; a character that was cut in two is left out.
        return Kept(name, data[-limit:].decode("utf-8", "ignore") if len(data) > limit else text, size)

    def _left(self) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            raise Late
        return left

    # -- units ------------------------------------------------------------------------------------------------------------

    def _units(self) -> Iterator[Told]:
        if not self.params["units"]:
            return
        if program("systemctl") is None:
            raise ServiceError("systemctl is not installed")
        listed = self._said(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "--", *self.params["units"]])
        yield "units.txt", lambda: listed
        for unit in [line.split()[0] for line in listed.splitlines() if line.split() and not line.startswith("[")][:MOST_FILES]:
            yield "unit-%s.txt" % unit, lambda unit=unit: self._unit(unit)  # type: ignore[misc]

    def _unit(self, unit: str) -> str:
        lines = "--lines=%d" % self.lines
        commands = (
            ["systemctl", "show", "--no-pager", "--", unit],
            ["systemctl", "status", "--no-pager", "--full", "--lines=0", "--", unit],
            ["journalctl", "--no-pager", "--quiet", "--output=short-iso", lines, "--unit", unit],
        )
        return "\n".join("--- %s\n%s" % (" ".join(command), self._said(command)) for command in commands)

    def _said(self, command: List[str]) -> str:
        found = program(command[0])
        if found is None:
            return "[%s is not installed]\n" % command[0]
        code, output, errors = call([found, *command[1:]], min(20.0, self._left()))
        return output + errors + ("[exit code %d]\n" % code if code else "")

    # -- containers -------------------------------------------------------------------------------------------------------

    def _containers(self) -> Iterator[Told]:
        wanted = self.params["containers"]
        if not wanted:
            return
        self.docker.limit(min(30.0, self._left()))
        rows = [(name.lstrip("/"), row) for row in self.docker.containers() for name in row.get("Names") or () if name.count("/") == 1]
        found = sorted((name, row) for name, row in rows if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted))
        yield "containers.txt", lambda: "".join("%s %s %s %s\n" % (name, row.get("Image"), row.get("State"), row.get("Status")) for name, row in rows)
        for name, _row in found[:MOST_FILES]:
            yield "container-%s.json" % name, lambda name=name: self._container(name)  # type: ignore[misc]
            yield "container-%s.log" % name, lambda name=name: self.docker.logs(name, tail=self.lines).decode("utf-8", "replace")  # type: ignore[misc]

    def _container(self, name: str) -> str:
        seen = self.docker.inspect(name) or {}
        return json.dumps(described(seen), indent=2, sort_keys=True)

    # -- files and processes ------------------------------------------------------------------------------------------------

    def _logs(self) -> Iterator[Told]:
        for wanted in self.params["logs"]:
            found = sorted(glob.glob(wanted) or [wanted], key=changed, reverse=True)
            for path in found[:MOST_FILES]:
                yield "log%s" % path.replace("/", "-"), lambda path=path: self._log(path)  # type: ignore[misc]

    def _log(self, path: str) -> Text:
        """The last lines. A link is not followed, since whoever writes a log may exchange it; what is no regular file might never end."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise OSError(0, "it is no regular file")
            size = self.params["max_bytes"]
            file.seek(max(0, about.st_size - size))
            text = file.read(size).decode("utf-8", "replace")
        lines = text.split("\n")
        kept = lines[1:] if about.st_size > size else lines  # the first one may have lost the name of its secret
        end = "\n".join(kept[-self.lines - 1 :])
        return end if len(kept) == len(lines) <= self.lines + 1 else (end, about.st_size)

    def _processes(self) -> Iterator[Told]:
        if self.params["processes"]:
            yield "processes.txt", listed_processes


def changed(path: str) -> float:
    """When it was written last."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def listed_processes() -> str:
    """Command lines without secrets, one of a process: what a process calls itself cannot look like a line of another one."""
    rows = sorted((each for each in processes() if each.argv), key=lambda each: each.pid)
    return "".join("%7d %-16s %s\n" % (each.pid, each.owner, one_line(" ".join(redact.words(each.argv)))) for each in rows[-PROCESSES:])


def one_line(text: str) -> str:
    """Line breaks and whatever else a terminal would obey, as Python writes them."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode() for each in text)


def described(seen: Mapping[str, Any]) -> Any:
    """What the engine says of a container; of its environment the names alone."""
    config = dict(seen.get("Config") or {})
    config["Env"] = redact.environment([str(each) for each in config.get("Env") or ()])
    for key in ("Cmd", "Entrypoint"):
        if isinstance(config.get(key), list):
            config[key] = redact.words([str(each) for each in config[key]])
    told = dict(seen, Config=config)
    if isinstance(told.get("Args"), list):
        told["Args"] = redact.words([str(each) for each in told["Args"]])
    return redact.tree(told)
