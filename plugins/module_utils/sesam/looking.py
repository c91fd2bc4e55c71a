# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be seen of a node from its machine: container, process, folders. What cannot be seen is named with the reason, and the rest is seen."""

from __future__ import annotations

import os
import pwd
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, TypeVar

from ..connect.docker import Docker, DockerError
from ..connect.procfs import started_at
from . import logfiles
from .container import Container, ContainerError, find
from .folders import folder
from .process import NodeProcess, node_process
from .profiler_config import has_option
from .state import Host

T = TypeVar("T")
_DATA = {"scheduler": "startup_options", "license": "license_file", "space": "space"}
_LOGS = {"stacktraces": "stacktraces", "health_log": "health_log", "profiler": "profiler", "space": "space"}
"""What is in a folder, by part, and the name under which it is missing."""
_RIGHTS = "run it as root (become), or as a user who may read %s"


class Looking:
    """One look."""

    def __init__(self, params: Mapping[str, Any], docker: Docker, trace_age: float, now: float) -> None:
        self.params = params
        self.docker = docker
        self.since = now - trace_age
        self.missing: Dict[str, str] = {}

    def all(self, parts: Sequence[str]) -> Host:
        """Everything that the parts need; the engine is asked only where the container or a folder has to be found."""
        if not {"container", *_DATA, *_LOGS} & set(parts):
            return Host()
        container = self._container(parts)
        process, problem = self._process(container)
        running: Sequence[str] = process.process.argv if process else ()
        data = self._folder("data", container, running, [name for part, name in _DATA.items() if part in parts])
        logs = self._folder("logs", container, running, [name for part, name in _LOGS.items() if part in parts])
        command = tuple(running) or (container.argv if container else ())
        enabled = has_option(command) if command else None
        return Host(
            container,
            process,
            started_at(process.process) if process else None,
            problem,
            data,
            logs,
            self._in("license", parts, data, logfiles.has_license),
            self._in("scheduler", parts, data, logfiles.read_startup),
            self._in("stacktraces", parts, logs, logfiles.read_traces),
            self._in("health_log", parts, logs, lambda path: logfiles.read_health_log(path, self.since)),
            self._in("profiler", parts, logs, lambda path: logfiles.read_profiler(path, enabled)),
            self._space(parts, data, logs),
            self.missing,
        )

    def _container(self, parts: Sequence[str]) -> Optional[Container]:
        """Where it is wanted, or tells where a folder is. Where it would only tell more, nobody misses it."""
        folders = [name for name, users in (("data_folder", _DATA), ("log_folder", _LOGS)) if set(users) & set(parts) and not self.params[name]]
        if folders or "container" in parts:
            return self._try("container", lambda: find(self.docker, self.params["container"]))
        if not {"profiler", "scheduler", "license"} & set(parts):
            return None
        try:
            return find(self.docker, self.params["container"])
        except (ContainerError, DockerError):
            return None

    def _process(self, container: Optional[Container]) -> tuple[Optional[NodeProcess], str]:
        """A process that is not seen is no missing part: its container tells most of it."""
        if container is None or not container.running:
            return None, ""
        try:
            return node_process(container), ""
        except ContainerError as exc:
            return None, exc.text
        except OSError as exc:
            return None, str(exc)

    def _folder(self, key: str, container: Optional[Container], running: Sequence[str], users: Sequence[str]) -> Optional[str]:
        if not users:
            return None
        try:
            return folder(container, key, self.params, running)
        except (ContainerError, OSError) as exc:
            why = str(exc)
            if container is None and "container" in self.missing:
                why = "%s, and nothing else tells where the %s folder is" % (self.missing["container"], key)
            elif os.geteuid():  # what may not be seen looks as if it were not there
                why += " (as user %s sees it, who may not see every folder: run it as root)" % _user()
            self.missing.update({name: why for name in users if name not in self.missing})
            return None

    def _in(self, part: str, parts: Sequence[str], path: Optional[str], read: Callable[[str], T]) -> Optional[T]:
        name = _DATA.get(part) or _LOGS[part]
        return self._try(name, lambda: read(str(path))) if path is not None and part in parts else None

    def _space(self, parts: Sequence[str], data: Optional[str], logs: Optional[str]) -> Optional[Mapping[str, Any]]:
        found = {name: path for name, path in (("data", data), ("logs", logs)) if path is not None}
        return self._try("space", lambda: logfiles.read_space(found)) if "space" in parts and found else None

    def _try(self, part: str, read: Callable[[], T]) -> Optional[T]:
        try:
            return read()
        except PermissionError as exc:
            path = exc.filename or "it"
            self.missing[part] = "user %s may not read %s: %s" % (_user(), path, _RIGHTS % path)
        except OSError as exc:
            self.missing[part] = "%s: %s" % (exc.filename or part, exc.strerror or exc)
        except DockerError as exc:
            self.missing[part] = _engine(str(exc))
        except ContainerError as exc:
            self.missing[part] = exc.text
        return None


def _engine(text: str) -> str:
    """What right is missing, where it is a right."""
    if "permission denied" in text.lower():
        return "%s: user %s must be of the group that the socket belongs to (docker), or run it as root (become)" % (text, _user())
    return text


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
